The same for the other family. The order of -f does not matter, and a built-in file needs no folder.

$ rocd -f targets/stm32g0.toml -f interfaces/sim.toml -c "program tests/firmware/blinky-g071.elf verify reset"
$ rocd -f interfaces/sim.toml -f stm32g0 -c "program tests/firmware/blinky-g071.elf"
