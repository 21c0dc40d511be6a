Breakpoints and watchpoints are set, listed and removed.

$ rocd -f interfaces/sim.toml -f stm32h7 -c "halt; mww 0x24000000 0xbf00bf00; bp 0x08000200 2 hw; bp 0x24000000 2; bp; rbp 0x08000200; bp; rbp all; bp"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "halt; wp 0x24000000 4 w; wp 0x24000010 4; wp; rwp all; wp"
