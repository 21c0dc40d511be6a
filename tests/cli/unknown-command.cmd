A mistyped command is answered with the nearest one, never with a parser's message (exit 2).

$ rocd -f interfaces/sim.toml -f stm32h7 -c "flash ersae_sector 0 0 0"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "porgram app.elf"
$ rocd -f interfaces/sim.toml -f stm32h7 mwd
