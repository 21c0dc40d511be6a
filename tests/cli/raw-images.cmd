A raw image goes to the start of flash or to an address; one linked for another place is refused by its vectors.

$ rocd -f interfaces/sim.toml -f stm32h7 -c "program tests/firmware/blinky-h743.elf; dump_image app.bin 0x08000000 320"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "program app.bin reset"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "program app.bin 0x08020000"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "program app.bin 0x08020000 force-address"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "program app.bin 0x20000000"
