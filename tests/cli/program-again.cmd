What flash already holds is neither erased nor written.

$ rocd -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/blinky-h743.elf; program tests/firmware/blinky-h743.elf preverify"
$ rocd --dry-run -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/blinky-h743.elf preverify reset"
