//! Built-in commands: memory.

use super::Command;

pub const COMMANDS: &[Command] = &[];
