--dry-run prints the plan and changes nothing.

$ rocd --dry-run -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/blinky-h743.elf" -c "mdw 0x08000000 4"
