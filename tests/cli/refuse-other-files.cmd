Source text, an empty file, an image for another place: each is named for what it is (exit 8).

> main.c
| #include "stm32h7xx_hal.h"
| int main(void) { HAL_Init(); for (;;) ; }
> empty.bin
> README
| This is a text, and nothing a processor could run.
$ rocd -f interfaces/sim.toml -f stm32h7 -c "program main.c"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "program empty.bin"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "program README"
$ rocd -f interfaces/sim.toml -f stm32g0 -c "program missing.elf"
