--dry-run prints the plan and changes nothing.

$ rocd --dry-run -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/blinky-h743.elf" -c "mdw 0x08000000 4"
$ rocd --dry-run -f interfaces/sim.toml -f stm32h7 -c "mww 0x24000000 0x12345678; halt; reset halt; bp 0x08000200 2; reg pc"
