Shells ask what may come next, in the tables of options and commands.

$ rocd complete -- flash
$ rocd complete -- -f sim -f stm32h7 reset
$ rocd complete -- -qf
$ rocd complete -- -f
$ rocd completions bash
$ rocd completions tcsh
