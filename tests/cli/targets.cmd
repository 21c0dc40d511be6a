The table of cores, before and after a halt.

$ rocd -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/blinky-h743.elf; reset halt; targets"
$ rocd -f interfaces/sim.toml -f stm32g0 -c "program tests/firmware/blinky-g071.elf reset; targets"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "targets nosuch"
