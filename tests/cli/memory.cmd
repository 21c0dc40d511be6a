Memory in OpenOCD's forms; what does not fit is said in numbers.

$ rocd -f interfaces/sim.toml -f stm32h7 -c "mww 0x24000000 0xdeadbeef 2; mdw 0x24000000 2; mdh 0x24000000 2; mdb 0x24000001 3; mdd 0x24000000"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "mwb 0x24000000 0xaa 40; mdb 0x24000000 40"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "write_memory 0x24000000 16 {1 2 0xffff}; read_memory 0x24000000 16 3"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "mdw 0x24000002"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "mwb 0x24000000 0x100"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "read_memory 0x24000000 24 1"
