A wrong key is an error with file, line and the offending text (exit 2).

> my.toml
| driver = "stlink"
| transprot = "sim"
$ rocd -f my.toml -f stm32h7 -c "probe list"
