//! Debugging code that runs, through the ST-Link's pipe alone: the registers that a debugger writes and reads, on cores
//! with each kind of breakpoint unit. The program is tests/debug/debug.S; its labels say what happens where.
//!
//! The register numbers are ARM DDI0403E's (ARMv7-M) and DDI0419E's (ARMv6-M), C1.

mod bench;
mod breakpoints;
mod catch;
mod noise;
mod session;
mod state;
mod step;
mod watchpoints;
