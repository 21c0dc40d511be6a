//! Flash: what to do is a pure `plan`; `execute` carries it out through a driver, always unlock → … → lock.

pub mod stm32g0;
pub mod stm32h7;

use crate::adi::MemAp;
use crate::error::Result;
use crate::event::Ears;
use crate::image::Image;
use crate::probe::Ap;
use std::collections::BTreeMap;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erase {
    /// Index within the bank.
    Sector(u32),
    Bank,
}

/// A family's flash controller. All through `MemAp`; only `execute` (and the erase commands beside it) call a driver.
pub trait FlashDriver {
    /// Refuse what cannot be programmed now (RDP, swapped banks, busy), clear old errors, unlock.
    fn unlock(&self, mem: &mut MemAp, bank: &Bank) -> Result<()>;
    fn erase(&self, mem: &mut MemAp, bank: &Bank, what: Erase, ears: &Ears) -> Result<()>;
    /// `address` and `data` are whole flash words; words of 0xFF are left out. `done(bytes)` after each chunk.
    fn program(&self, mem: &mut MemAp, bank: &Bank, address: u32, data: &[u8], done: &mut dyn FnMut(u64) -> Result<()>) -> Result<()>;
    /// Lock again and leave the chip so that it boots what was programmed (G0: EMPTY). Also called after an error.
    fn lock(&self, mem: &mut MemAp, bank: &Bank) -> Result<()>;
    /// One flag per sector of the bank: write protected.
    fn protection(&self, mem: &mut MemAp, bank: &Bank) -> Result<Vec<bool>>;
    /// The controller's state in words, for `flash info` and after an error.
    fn describe(&self, mem: &mut MemAp, bank: &Bank) -> Result<String>;
}

/// The word in a target file to its driver.
pub const DRIVERS: &[(&str, &dyn FlashDriver)] = &[("stm32h7", &stm32h7::Stm32H7), ("stm32g0", &stm32g0::Stm32G0)];

/// What happens to one sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Holds already what it should.
    Skip,
    /// Blank where the image goes: programmed without an erase.
    Program,
    /// Erased, then programmed.
    Replace,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub bank: usize,
    pub sector: u32,
    pub address: u32,
    pub action: Action,
    /// Whole flash words to program, by address; none for `Skip`.
    pub runs: Vec<(u32, Vec<u8>)>,
    /// Bytes of the sector outside the image that are put back after the erase.
    pub kept: u32,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Bytes of the image.
    pub image_bytes: u64,
}

/// May sectors be erased?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `program`, `write_image erase`
    Erase,
    /// `write_image`: a sector that is not blank and differs is an error that says `add erase`.
    NoErase,
}

/// The sectors an image touches, as (bank index, sector index), or the refusal: outside flash, RAM only …
pub fn touched(image: &Image, banks: &[Bank]) -> Result<Vec<(usize, u32)>> {
    let _ = (image, banks);
    todo!()
}

/// What must be done so that flash holds `image`, given what is there (`there`: sector address → its bytes, for every touched sector).
pub fn plan(image: &Image, banks: &[Bank], there: &BTreeMap<u32, Vec<u8>>, policy: Policy) -> Result<Plan> {
    let _ = (image, banks, there, policy);
    todo!()
}

/// What `execute` did, in bytes and in the chip's time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Done {
    pub erased_sectors: u32,
    pub erased_bytes: u64,
    pub written_bytes: u64,
    pub skipped_sectors: u32,
    pub kept_bytes: u64,
    pub erase_seconds: f64,
    pub write_seconds: f64,
}

/// Carry out a plan: per bank unlock → erase and program → lock, lock also after an error. On error and Ctrl-C the trail lists what is erased and written.
pub fn execute(plan: &Plan, banks: &[Bank], driver: &dyn FlashDriver, mem: &mut MemAp, ears: &Ears) -> Result<Done> {
    let _ = (plan, banks, driver, mem, ears);
    todo!()
}
