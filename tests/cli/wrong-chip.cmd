A chip that is not the target file's is named.

> g0-on-h7.toml
| driver = "stlink"
| transport = "sim"
| [sim]
| chip = "stm32g071"
$ rocd -f g0-on-h7.toml -f stm32h7 -c "targets"
