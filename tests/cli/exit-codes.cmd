Each kind of error has its own exit code; nothing that failed ends with 0.

$ rocd -f interfaces/sim.toml -f stm32h7 -c "echo done"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "exit 42"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "script nosuch.rhai"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "mdw"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "mdw 0x70000000"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "verify_image tests/firmware/blinky-h743.elf"
$ rocd --no-such-option
