Registers by name, alias and number; a running core's are not readable.

$ rocd -f interfaces/sim.toml -f stm32h7 -c "halt; reg r0 0x1234; reg 0; reg R15; reg control"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "halt; reg r77"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "halt; reg primask 2"
