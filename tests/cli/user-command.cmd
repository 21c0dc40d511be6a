A script adds a command; it is called from -c and from a script alike.

> my.rhai
| command("mark <addr> [<value:num>]", "Write a mark and read it back", |a| {
|     mww(a.addr, a.value ?? 0xfeed);
|     read_memory(a.addr, 32, 1)[0]
| });
$ rocd -f interfaces/sim.toml -f stm32h7 -f my.rhai -c "mark 0x24000000 0xabcd; mdw 0x24000000"
$ rocd -f interfaces/sim.toml -f stm32h7 -f my.rhai -c "print(mark(0x24000000))"
$ rocd -f interfaces/sim.toml -f stm32h7 -f my.rhai -c "mark"
