//! Built-in commands: flash.

use super::Command;

pub const COMMANDS: &[Command] = &[];
