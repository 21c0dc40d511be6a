Halt, step and run; waiting for a halt that does not come is an error with the time it took.

$ rocd -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/blinky-h743.elf; reset halt; reg pc 0x08000050; resume 0x08000044; targets"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/blinky-h743.elf reset; wait_halt 20"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/blinky-h743.elf; reset init; halt 0"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "reset"
