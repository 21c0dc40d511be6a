//! Built-in commands: system.

use super::Command;

pub const COMMANDS: &[Command] = &[];
