The firmware is programmed and runs: the LED blinks as its source says, 250 ms on and 250 ms off.
$ rocd -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/blinky-h743.elf reset; sleep 2000; leds; pins; sim unmodelled"
$ rocd -f interfaces/sim.toml -f stm32g0 -c "program tests/firmware/blinky-g071.elf reset; sleep 2000; leds; pins; sim unmodelled"

The clock goes on with a core that is halted, the LED does not.
$ rocd -q -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/blinky-h743.elf reset; sleep 600; halt; sleep 2000; leds"

Time is the board's also when nobody is attached to it.
$ rocd -q -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/blinky-h743.elf; sim save blinky.state"
$ rocd -q -f interfaces/sim.toml -f stm32h7 -c "sim load blinky.state; sleep 1300; leds"
