Words after the options are one more command line; each word stays one word.

$ rocd -f interfaces/sim.toml -f stm32h7 mdw 0x08000000 2
$ rocd -f interfaces/sim.toml -f stm32h7 -c "echo first" echo "two words" "(1+1)"
