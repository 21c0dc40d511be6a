Without -c and words, commands come from stdin.

$ rocd -f interfaces/sim.toml -f stm32h7
< mww 0x24000000 0x11
< mdw (0x24000000 + 0)
< let v = read_memory(0x24000000, 32, 1); print(v[0] + 1)
