-q leaves results and errors.

$ rocd -q -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/blinky-h743.elf; mdw 0x08000000 2"
