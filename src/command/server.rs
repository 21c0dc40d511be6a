//! Built-in commands that serve others: `sim serve` now, gdb, telnet and tcl later.

use super::Command;

pub const COMMANDS: &[Command] = &[];
