`program` can be replaced by the user's own.

> mine.rhai
| command("program <file>", "Mine", |a| { print(`not today: ${a.file}`); });
$ rocd -f interfaces/sim.toml -f stm32h7 -f mine.rhai -c "program app.elf"
