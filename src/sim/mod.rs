//! The embedded board: a simulated ST-Link wired to a simulated STM32, behind a `Pipe` like the real thing.
//!
//! No constant is shared with the drivers: every register number here was read from the manual a second time.

pub mod chip;
pub mod chips;
pub mod dap;
pub mod flash_g0;
pub mod flash_h7;
pub mod serve;
pub mod stlink;
pub mod time;

use crate::error::Result;
use crate::usb::{Found, Pipe};
use std::path::PathBuf;

/// Which probe and which chip; `None`: the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub chip: Option<String>,
    /// "v2", "v2-1", "v3"
    pub probe: Option<String>,
    /// "V2J37S7"
    pub firmware: Option<String>,
    pub serial: Option<String>,
    pub state: Option<PathBuf>,
}

/// A handle to one board; clones are the same board.
#[derive(Clone)]
pub struct Board {}

impl Board {
    pub fn new(config: &Config) -> Result<Board> {
        let _ = config;
        todo!()
    }

    /// The probe's USB identity, as a bus would show it.
    pub fn found(&self) -> Found {
        todo!()
    }

    /// The near end of the cable.
    pub fn pipe(&self) -> Box<dyn Pipe> {
        todo!()
    }

    /// The board's own door: memory as it is, not through the probe. Works in flash, RAM, option bytes and registers.
    pub fn dump(&self, address: u32, len: u32) -> Result<Vec<u8>> {
        let _ = (address, len);
        todo!()
    }

    pub fn poke(&self, address: u32, bytes: &[u8]) -> Result<()> {
        let _ = (address, bytes);
        todo!()
    }
}
