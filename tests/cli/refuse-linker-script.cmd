The forum's story: a linker script is no firmware, and flash stays as it was.

> STM32H753XIHX_FLASH.ld
| /*
| ** LinkerScript for STM32H753XI
| */
| ENTRY(Reset_Handler)
| MEMORY
| {
|   RAM_D1 (xrw) : ORIGIN = 0x24000000, LENGTH = 512K
|   FLASH   (rx) : ORIGIN = 0x08000000, LENGTH = 2048K
| }
$ rocd -f interfaces/sim.toml -f stm32h7 -c "program STM32H753XIHX_FLASH.ld"
> refused.rhai
| try {
|     program("STM32H753XIHX_FLASH.ld");
| } catch (e) {
|     print(`refused as ${e.kind}`);
| }
$ rocd -f interfaces/sim.toml -f stm32h7 -f refused.rhai -c "mdw 0x08000000 8"
