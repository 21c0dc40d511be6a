--json: one line per command; usage errors have the same form.

$ rocd --json -f interfaces/sim.toml -f stm32h7 -c "mww 0x24000000 1 2; mdw 0x24000000 2"
$ rocd --json -f interfaces/sim.toml -f stm32h7 -c "mdw 0x70000000"
$ rocd --json -f nosuch -c "mdw 0"
