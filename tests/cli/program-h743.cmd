The README's first command: an ELF file into a blank chip, verified, started.

$ rocd -f interfaces/sim.toml -f targets/stm32h7.toml -c "program tests/firmware/blinky-h743.elf verify reset"
