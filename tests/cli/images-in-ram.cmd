load_image writes RAM and sends flash images to `program`; dump_image takes them back out.

> words.hex
| :020000042400D6
| :0400000001020304F2
| :00000001FF
$ rocd -f interfaces/sim.toml -f stm32h7 -c "load_image words.hex; mdw 0x24000000; dump_image out.bin 0x24000000 4; load_image out.bin 0x24000100; mdb 0x24000100 4"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "load_image tests/firmware/blinky-h743.elf"
