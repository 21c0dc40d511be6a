Shells ask what may come next, in the tables of options and commands.

$ rocd complete -- flash
$ rocd complete -- -f sim -f stm32h7 reset
$ rocd complete -- -qf
$ rocd complete -- -f
$ rocd complete -- -f sim -c "reset halt; flash er"
$ rocd complete -- -c "program a.elf v"
$ rocd completions bash
$ rocd completions tcsh
