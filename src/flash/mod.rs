//! Flash: what to do is a pure `plan`; `execute` carries it out through a driver, always unlock → … → lock.

mod controller;
mod execute;
#[cfg(test)]
mod fake;
mod loader;
mod options;
mod plan;
pub mod stm32g0;
pub mod stm32h7;
mod sums;

pub use execute::{Done, by_bank, check_erase, check_plan, erase, execute, worth_whole};
pub use loader::{Help, Ram};
pub use options::{OptionBytes, check_options, launch, lock_options, write_options};
pub use plan::{Action, Found, Plan, Policy, Step, plan, touched};
pub use sums::{GRAIN, Unit, by_core as sums_by_core, sum};

use crate::adi::MemAp;
use crate::error::{Error, Result};
use crate::event::Ears;
use crate::probe::Ap;
use controller::Controller;
use std::ops::Range;

/// One bank of the attached chip.
#[derive(Clone, Debug, PartialEq)]
pub struct Bank {
    pub name: String,
    /// From 0.
    pub number: usize,
    pub address: u32,
    pub size: u32,
    /// Unit of erase, bytes.
    pub sector: u32,
    /// Flash word, bytes: the unit of write, written once per erase.
    pub word: u32,
    /// Base of the controller's registers for this bank.
    pub registers: u32,
    /// The driver's register layout (desc::Die::layout).
    pub layout: String,
    /// The AP its registers and cells are reached through.
    pub ap: Ap,
    /// Volts at attach; what H7's parallelism (PSIZE) may be.
    pub volts: Option<f32>,
}

impl Bank {
    pub fn end(&self) -> u32 {
        self.address + (self.size - 1)
    }

    pub fn contains(&self, address: u32) -> bool {
        (self.address..=self.end()).contains(&address)
    }

    pub fn sectors(&self) -> u32 {
        self.size / self.sector
    }

    pub fn sector_address(&self, index: u32) -> u32 {
        self.address + index * self.sector
    }
}

/// What a user may ask of a change of flash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Manner {
    /// Only halt the chip, and let its program go on afterwards. Its RAM is its own, so there is no loader.
    pub noreset: bool,
    /// No program of ours in the target's RAM.
    pub noloader: bool,
}

impl Manner {
    pub const NORESET: Manner = Manner { noreset: true, noloader: false };
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erase {
    /// Index within the bank.
    Sector(u32),
    Bank,
}

impl Erase {
    fn sectors(self, bank: &Bank) -> Range<u32> {
        match self {
            Erase::Sector(index) => index..index + 1,
            Erase::Bank => 0..bank.sectors(),
        }
    }

    fn bytes(self, bank: &Bank) -> u64 {
        u64::from(self.sectors(bank).end - self.sectors(bank).start) * u64::from(bank.sector)
    }

    /// For the trail of an error.
    fn text(self, bank: &Bank) -> String {
        match self {
            Erase::Sector(index) => format!("erasing sector {index} of {}, {:#010x}", bank.name, bank.sector_address(index)),
            Erase::Bank => format!("erasing {}, {:#010x}..{:#010x}", bank.name, bank.address, bank.end()),
        }
    }
}

/// A family's flash controller. All through `MemAp`; only this module calls a driver to change anything. Unlocking,
/// erasing, programming and locking go the way that `controller` describes, unless a family has its own.
pub trait FlashDriver {
    fn controller<'a>(&self, bank: &'a Bank) -> Result<Controller<'a>>;
    /// Refuse what can be neither read nor programmed now (readout protection, swapped banks). Changes nothing.
    fn check(&self, mem: &mut MemAp, bank: &Bank) -> Result<()>;
    /// What the user should know before this bank is erased or written: slower at low voltage …
    fn remark(&self, _: &Bank) -> Option<String> {
        None
    }
    /// `check`, wait for an operation that still runs, clear old errors, unlock.
    fn unlock(&self, mem: &mut MemAp, bank: &Bank) -> Result<()> {
        self.check(mem, bank)?;
        self.controller(bank)?.unlock(mem)
    }
    fn erase(&self, mem: &mut MemAp, bank: &Bank, what: Erase, ears: &Ears) -> Result<()> {
        self.controller(bank)?.erase(mem, what, ears)
    }
    /// `address` and `data` are whole flash words; words of 0xFF are left out. `done(bytes)` after each chunk.
    fn program(
        &self,
        mem: &mut MemAp,
        bank: &Bank,
        address: u32,
        data: &[u8],
        ears: &Ears,
        done: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        self.controller(bank)?.program(mem, address, data, ears, done)
    }
    /// Lock again. Also called after an error.
    fn lock(&self, mem: &mut MemAp, bank: &Bank) -> Result<()> {
        self.controller(bank)?.lock(mem)
    }
    /// Where core `core` starts after a reset, as the option bytes say with BOOT0 low, and what in them says so.
    fn start(&self, _: &mut MemAp, bank: &Bank, _core: usize) -> Result<(u32, String)> {
        Ok((bank.address, "the start of flash".into()))
    }
    /// Leave the chip so that a reset boots what the bank holds (G0: EMPTY; most families need nothing). The program may
    /// be running.
    fn boot(&self, _: &mut MemAp, _: &Bank) -> Result<()> {
        Ok(())
    }
    /// May a watchdog run after a reset, started by option bytes? It would bite the loader.
    fn watchdog(&self, _: &mut MemAp, _: &Bank) -> Result<bool> {
        Ok(true)
    }
    /// Has a read met a word with two wrong bits since this was last asked? For families where such a read does not fault.
    fn damaged(&self, _: &mut MemAp, _: &Bank) -> Result<bool> {
        Ok(false)
    }
    /// `sums::sum` of parts of the bank, multiples of `GRAIN` by address and length, made by the controller itself; a part
    /// that it could not read has none. `None`: the controller makes no sums, or not now. No core may be using flash.
    fn sums(&self, _: &mut MemAp, _: &Bank, _: &[Range<u32>]) -> Result<Option<Vec<Option<u32>>>> {
        Ok(None)
    }
    /// One flag per sector of the bank: write protected.
    fn protection(&self, mem: &mut MemAp, bank: &Bank) -> Result<Vec<bool>>;
    /// So many sectors share a bit of write protection.
    fn protected_together(&self, _: &Bank) -> Result<usize> {
        Ok(1)
    }
    /// The option registers, and their words, that protect these sectors of the bank and no others.
    fn protect(&self, bank: &Bank, sectors: &[bool]) -> Result<Vec<(u32, u32)>>;
    fn options(&self) -> OptionBytes;
    /// The controller's state in words, for `flash info` and after an error.
    fn describe(&self, mem: &mut MemAp, bank: &Bank) -> Result<String>;
}

/// The word in a target file to its driver.
pub const DRIVERS: &[(&str, &dyn FlashDriver)] = &[("stm32h7", &stm32h7::Stm32H7), ("stm32g0", &stm32g0::Stm32G0)];

/// The driver a target file names.
pub fn driver(name: &str) -> Result<&'static dyn FlashDriver> {
    let known = || DRIVERS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    let row = DRIVERS.iter().find(|(row, _)| *row == name);
    row.map(|(_, driver)| *driver).ok_or_else(|| Error::usage(format!("no flash driver `{name}` (there are: {})", known())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_driver_that_is_not_there_is_an_error_that_lists_those_that_are() {
        let error = driver("stm32f1").err().unwrap();
        assert_eq!(error.message, "no flash driver `stm32f1` (there are: stm32h7, stm32g0)");
    }
}
