The board's LEDs, pins and console, worked by registers as firmware works them.

PB0 gets its clock, becomes an output and is set and cleared; the LED says how often and how fast.
$ rocd -f interfaces/sim.toml -f stm32h7 -c "leds; mww 0x580244e0 6; mww 0x58020400 0xfffffebd; mww 0x58020418 1; leds; sleep 250; mww 0x58020418 0x10000; sleep 250; mww 0x58020418 1; leds; pins"
$ rocd --json -q -f interfaces/sim.toml -f stm32g0 -c "leds; mww 0x40021034 1; mww 0x50000000 0xebfff7ff; mww 0x50000018 0x20; sleep 100; mww 0x50000028 0x20; sleep 100; mww 0x50000018 0x20; leds"

Without its clock the port takes nothing, and without a mode the pin drives nothing.
$ rocd -f interfaces/sim.toml -f stm32h7 -c "mww 0x58020400 0xfffffebd; mdw 0x58020400; mww 0x580244e0 2; mdw 0x58020400; mww 0x58020418 1; leds"

The button, pressed by hand.
$ rocd -f interfaces/sim.toml -f stm32h7 -c "mww 0x580244e0 4; mww 0x58020800 0xf3ffffff; mdw 0x58020810; pins PC13 high; mdw 0x58020810; pins pc13; pins; pins PC13 low; mdw 0x58020810"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "pins PB16"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "pins PL0 high"

The boot pin chooses BOOT_ADD1: the boot loader's vectors.
$ rocd -f interfaces/sim.toml -f stm32h7 -c "pins boot0 high; pins; reset halt; mdw 0xe000ed08; reg pc; pins boot0 low; pins boot0"

The console, and another port.
$ rocd -f interfaces/sim.toml -f stm32h7 -c "mww 0x580244e8 0x60000; mww 0x4000480c 16; mww 0x40004800 9; mww 0x40004828 0x68; mww 0x40004828 0x69; mww 0x4000440c 16; mww 0x40004400 9; mww 0x40004428 0x21; mdw 0x4000481c; sim uart; sim uart; sim uart usart2"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "sim uart USART9"

What the debugger touches is not what the firmware touched.
$ rocd -f interfaces/sim.toml -f stm32h7 -c "mdw 0x40013000; sim unmodelled"
