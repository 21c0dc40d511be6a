//! Debug probes. A probe *is* the DAP: it moves DP and AP registers and memory behind an AP.

pub mod dap;
#[cfg(test)]
pub mod fake;
pub mod stlink;

pub use crate::usb::UsbId;

use crate::error::Result;
use crate::usb::Pipe;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Dp,
    Ap(u8),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    Byte = 1,
    Half = 2,
    Word = 4,
}

/// An access port and the CSW bits 31:8 (protection, cacheability) its memory accesses carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ap {
    pub index: u8,
    pub csw: u32,
}

/// How to reach the target.
#[derive(Clone, Debug, PartialEq)]
pub struct Connect {
    /// Upper bound; the probe takes the nearest speed below.
    pub khz: u32,
    /// Hold NRST low before and while the debug port is entered; the caller releases it.
    pub under_reset: bool,
}

/// One word access of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemOp {
    pub address: u32,
    pub value: u32,
    /// Else a read, whose value is filled in.
    pub write: bool,
}

impl MemOp {
    pub fn read(address: u32) -> MemOp {
        MemOp { address, value: 0, write: false }
    }

    pub fn write(address: u32, value: u32) -> MemOp {
        MemOp { address, value, write: true }
    }

    /// The value read, or the value that was written.
    pub fn value(&self) -> u32 {
        self.value
    }
}

/// What a probe says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Info {
    /// "ST-Link V2", "ST-Link V2-1", "ST-Link V3" …
    pub name: String,
    /// As ST and OpenOCD spell it: "V2J37S7".
    pub firmware: String,
    pub serial: String,
    pub vid: u16,
    pub pid: u16,
    pub path: String,
}

pub trait Probe {
    fn info(&self) -> &Info;
    /// `Err` if its firmware is too old to attach with, or made for other chips.
    fn usable(&self) -> Result<()> {
        Ok(())
    }
    /// Enter the debug port. The speed taken, in kHz, is the result.
    fn connect(&mut self, how: &Connect) -> Result<u32>;
    /// Leave the debug port; NRST is released.
    fn detach(&mut self) -> Result<()>;
    /// Change the clock while connected; the speed taken, in kHz.
    fn set_khz(&mut self, khz: u32) -> Result<u32>;
    /// Every clock the probe has and its firmware bears, in kHz, fastest first.
    fn speeds(&mut self) -> Result<Vec<u32>>;
    /// Volts on the target's VREF; `None` where the probe cannot measure.
    fn voltage(&mut self) -> Result<Option<f32>>;
    fn drive_nrst(&mut self, low: bool) -> Result<()>;
    /// `address`: bits 7:0 of the register; for the DP bits 7:4 are the bank (`dap::dp`).
    fn read_reg(&mut self, port: Port, address: u16) -> Result<u32>;
    fn write_reg(&mut self, port: Port, address: u16, value: u32) -> Result<()>;
    /// Address and length are multiples of `width`. Any length: the probe splits it into transfers of at most 40 ms.
    fn read_mem(&mut self, ap: Ap, width: Width, address: u32, buf: &mut [u8]) -> Result<()>;
    fn write_mem(&mut self, ap: Ap, width: Width, address: u32, data: &[u8]) -> Result<()>;
    /// Word accesses in order, in as few transfers as the probe can. Stops at the first that fails.
    fn batch(&mut self, ap: Ap, ops: &mut [MemOp]) -> Result<()>;
    /// What one exchange with the probe holds of a `batch`: a read counts 1, a write 2, the whole 1. 0: it has no batches.
    fn room(&self) -> usize {
        usize::MAX
    }
    /// Registers of the halted core behind `ap`, an operation's address being the DCRSR selector, by commands of the probe's
    /// own; false: it has none that are shorter than a `batch`. DCRDR is lost, and whether the core stood is not said.
    fn core_registers(&mut self, _ap: Ap, _ops: &mut [MemOp]) -> Result<bool> {
        Ok(false)
    }
    /// The probe's clock: real on USB, the board's on the embedded board.
    fn now(&self) -> Duration;
    fn sleep(&mut self, d: Duration);
    /// The next accesses ask whether something is done: for who counts them.
    fn poll(&self) {}
}

/// A point in the probe's time by which something must have happened. Ask whether it has passed before the look that
/// may be the last: a host that was held up between the two must not take an old answer for a late one.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Duration);

impl Deadline {
    pub fn after(probe: &dyn Probe, wait: Duration) -> Deadline {
        Deadline(probe.now() + wait)
    }

    pub fn passed(&self, probe: &dyn Probe) -> bool {
        probe.poll();
        probe.now() >= self.0
    }
}

/// Make a probe from an open pipe; `Info` comes with what the bus knows.
pub type Open = fn(Box<dyn Pipe>, Info) -> Result<Box<dyn Probe>>;

/// What a driver needs to recognise its probes and to make one from an open pipe.
pub struct Driver {
    /// The word in an interface file: `driver = "stlink"`.
    pub name: &'static str,
    /// USB vendor and product ids, with the endpoints for commands and data out, and data in.
    pub usb: &'static [UsbId],
    pub open: Open,
}

pub const DRIVERS: &[Driver] = &[stlink::DRIVER];
