A missing -f file lists every place that was looked at (exit 2).

$ rocd -f interfaces/nosuch.toml -f stm32h7 -c "probe list"
$ rocd -s lab -f nosuch -c "probe list"
