Probes are listed without touching the target; the clock is an upper bound.

$ rocd -f interfaces/sim.toml -f stm32h7 -c "probe list"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "adapter speed 1000; adapter speed; connect; adapter speed; adapter serial"
$ rocd -f interfaces/sim.toml -f stm32h7 -c "connect under_reset; targets"
$ rocd -f interfaces/sim.toml -c "sim probe v2 V2J14S0; probe list"
$ rocd -f interfaces/sim.toml -c "sim inject unplug; probe list"
$ rocd udev
