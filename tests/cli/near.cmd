A mistyped name is answered with the nearest there is: commands, words, files, registers, cores.

> blinky.elf
| no firmware, but a name
$ rocd flsah banks
$ rocd -f sim -f stm32h7 -c "reset halr"
$ rocd -f stm32h8
$ rocd -c "script progam"
$ rocd -f sim -f stm32h7 -c "program blimky.elf"
$ rocd -f sim -f stm32h7 -c "halt; reg xpsx"
$ rocd -f sim -f stm32h7 -c "targets cm8"
$ rocd -f sim -f stm32h7 -c "targets zzz"
