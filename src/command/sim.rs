//! Built-in commands of the embedded board: `sim …`. The only command file that knows it.

use super::Command;
use crate::sim::{Board, Config};

/// The board of this run: what it is to be, until the first attach makes it.
#[derive(Default)]
pub struct Slot {
    pub config: Config,
    pub board: Option<Board>,
}

pub const COMMANDS: &[Command] = &[];
