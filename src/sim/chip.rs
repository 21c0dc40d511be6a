//! One simulated chip: its buses, memories, core debug registers and the controllers hung onto them.
//!
//! The DAP (dap.rs) reaches it through `read` and `write` of an AP; the board's own door through `peek` and `poke`.

use super::chips::Row;

/// Virtual time, nanoseconds since the board was powered.
pub type Ns = u64;

/// Width of one access, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Byte = 1,
    Half = 2,
    Word = 4,
}

/// Why an access did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusError {
    /// Nothing there, not clocked, protected, or a double ECC error: the AP answers FAULT.
    Fault,
    /// The slave holds the bus until about this time (a busy flash bank): the AP answers WAIT until then.
    Busy { until: Ns },
}

/// What an access port says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApRow {
    pub index: u8,
    pub idr: u32,
    pub cfg: u32,
    pub base: u32,
    /// CSW after reset, and the bits that can be written.
    pub csw: u32,
    pub csw_mask: u32,
}

pub struct Chip {
    pub row: &'static Row,
}

impl Chip {
    /// Powered on at time 0 with flash blank and option bytes at their factory values.
    pub fn new(row: &'static Row) -> Chip {
        Chip { row }
    }

    /// Bring everything that takes time up to `now`: flash operations end, resets end, the core runs.
    pub fn advance(&mut self, now: Ns) {
        let _ = now;
        todo!()
    }

    /// One bus access by an AP, at the chip's present time. `address` is a multiple of `size` (else Fault) and the
    /// value is right-aligned: byte lanes and TAR are the DAP's. Cacheable bits come with `csw`.
    pub fn read(&mut self, ap: u8, csw: u32, address: u32, size: Size) -> Result<u32, BusError> {
        let _ = (ap, csw, address, size);
        todo!()
    }

    pub fn write(&mut self, ap: u8, csw: u32, address: u32, size: Size, value: u32) -> Result<(), BusError> {
        let _ = (ap, csw, address, size, value);
        todo!()
    }

    /// The reset pin as the probe drives it.
    pub fn nrst(&mut self, low: bool) {
        let _ = low;
        todo!()
    }

    /// Off and on again: RAM is lost, option bytes are loaded, EMPTY is sampled.
    pub fn power_cycle(&mut self) {
        todo!()
    }

    /// The debug port answers: false once software cleared FLASH_ACR.DBG_SWEN (G0) or RDP is at level 2.
    pub fn debug_port(&self) -> bool {
        true
    }

    /// Volts on VREF.
    pub fn volts(&self) -> f32 {
        3.3
    }

    /// The board's own door: no rule of the chip applies. `None` where nothing is.
    pub fn peek(&self, address: u32) -> Option<u8> {
        let _ = address;
        todo!()
    }

    /// False where nothing is.
    pub fn poke(&mut self, address: u32, byte: u8) -> bool {
        let _ = (address, byte);
        todo!()
    }

    /// The flash controllers' state in words, one line each: `sim flash`.
    pub fn flash_report(&self) -> Vec<String> {
        todo!()
    }

    /// Flash, OTP and option bytes, for `sim save`.
    pub fn save(&self) -> Vec<u8> {
        todo!()
    }

    pub fn load(&mut self, bytes: &[u8]) -> Result<(), String> {
        let _ = bytes;
        todo!()
    }
}
