write_image without erase refuses flash that is not blank; the neighbours of what is written are kept.

$ rocd -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/blinky-h743.elf" -c "sim poke 0x08001000 0xaa 0xbb" -c "flash write_image tests/firmware/header-h743.elf" -c "flash write_image tests/firmware/dense-200k-h743.elf"
$ rocd -f interfaces/sim.toml -f stm32g0 -c "sim poke 0x08000700 0xaa 0xbb" -c "program tests/firmware/blinky-g071.elf" -c "sim poke 0x08000000 0x11" -c "program tests/firmware/blinky-g071.elf reset" -c "mdb 0x08000700 4"
