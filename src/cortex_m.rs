//! The Cortex-M core through a MEM-AP: halt, resume, step, reset, registers, breakpoints, watchpoints.
