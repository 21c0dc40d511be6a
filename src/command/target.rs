//! Built-in commands: target.

use super::Command;

pub const COMMANDS: &[Command] = &[];
