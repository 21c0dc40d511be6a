The first error ends the run: what stands behind it is not done.

$ rocd -f interfaces/sim.toml -f stm32h7 -c "echo one; mdw 0x20000001; echo two" -c "echo three"
