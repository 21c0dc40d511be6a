//! Built-in commands: probe.

use super::Command;

pub const COMMANDS: &[Command] = &[];
