Sectors are erased by number or by address; what does not lie in flash is refused.

$ rocd -f interfaces/sim.toml -f stm32g0 -c "program tests/firmware/blinky-g071.elf; flash erase_sector 0 0 0; mdw 0x08000000 2"
$ rocd -f interfaces/sim.toml -f stm32g0 -c "flash erase_address 0x08000400 1K"
$ rocd -f interfaces/sim.toml -f stm32g0 -c "flash erase_sector 0 64 64"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "flash banks; flash mass_erase 1"
