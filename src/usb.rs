//! The pipe to a probe: one command block and at most one data phase per `transfer`.
//!
//! `Pipe` is the seam between rocd and anything that answers like an ST-Link: a real probe (rusb, below), the
//! embedded board (`sim`), a server (`tcp`), a recording (`Replay`). Time belongs to the pipe: it is the wall clock
//! on USB and the board's virtual clock on the embedded board.

use crate::error::Result;
use std::time::Duration;

/// The data phase of a transfer.
#[derive(Debug)]
pub enum Data<'a> {
    None,
    Out(&'a [u8]),
    /// At most this many bytes are taken; the count that came is `transfer`'s result.
    In(&'a mut [u8]),
}

pub trait Pipe {
    /// Send `cmd` (16 bytes for an ST-Link), then move the data phase. Returns the bytes moved in it.
    fn transfer(&mut self, cmd: &[u8], data: Data) -> Result<usize>;
    /// What the trace endpoint has, at most `buf.len()` bytes.
    fn read_trace(&mut self, buf: &mut [u8]) -> Result<usize>;
    /// A USB port reset; the probe forgets what it was doing.
    fn reset(&mut self) -> Result<()>;
    /// Time since the pipe was opened.
    fn now(&self) -> Duration;
    fn sleep(&mut self, d: Duration);
}

/// One probe as the bus shows it, before anything is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub vid: u16,
    pub pid: u16,
    /// 24 hex digits for an ST-Link; empty if it could not be read.
    pub serial: String,
    /// `bus-port.port`, as sysfs and `adapter usb location` spell it.
    pub path: String,
    /// Why it cannot be used, with the remedy (`None`: it can).
    pub trouble: Option<String>,
}
