Firmware that lives by interrupts: a timer blinks, the button stops and starts it and reports, the console echoes.
$ rocd -q -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/interrupts-h743.elf reset; sleep 1010; leds; pins PC13 high; sleep 10; sim uart; sleep 500; leds; pins PC13 low; pins PC13 high; sleep 500; leds; sim uart; sim unmodelled"
$ rocd -q -f interfaces/sim.toml -f stm32g0 -c "program tests/firmware/interrupts-g071.elf reset; sleep 1010; leds; pins PC13 low; sleep 10; sim uart; sleep 500; leds; pins PC13 high; pins PC13 low; sleep 500; leds; sim uart; sim unmodelled"

What is sent to it comes back, at the baud rate: ten bytes a millisecond or so.
$ rocd -q -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/interrupts-h743.elf reset; sleep 10; sim send hello\n; sleep 10; sim uart; sim send again usart3; sleep 10; sim uart USART3"
$ rocd -q -f interfaces/sim.toml -f stm32g0 -c "program tests/firmware/interrupts-g071.elf reset; sleep 10; sim send hello\n; sleep 10; sim uart"

Nobody listens, or there is no such port.
$ rocd -q -f interfaces/sim.toml -f stm32h7 -c "sim send hello"
$ rocd -q -f interfaces/sim.toml -f stm32h7 -c "sim send hello USART9"
