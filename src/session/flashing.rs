//! Flash and images: read what is there, plan, carry out, verify.

use super::{Session, State, fatal};
use crate::adi::MemAp;
use crate::error::{Context, Error, Kind, Result};
use crate::flash::{self, Bank, Done, Erase, FlashDriver, Help, Manner, Plan, Policy, Ram};
use crate::image::Image;
use std::collections::BTreeMap;
use std::time::Duration;

/// Between two looks at Ctrl-C: some 40 ms on a V2 at 4 MHz.
const CHUNK: usize = 8192;
const HALT_WAIT: Duration = Duration::from_secs(1);
/// More unreadable flash words than this are no interrupted write but a protected or dying flash.
const MAX_DAMAGED: usize = 8;

impl Session {
    /// Read the sectors an image touches and plan; a plan that `execute` would refuse is an error. Changes nothing.
    pub fn plan(&mut self, image: &Image, policy: Policy) -> Result<Plan> {
        let touched = flash::touched(image, &self.banks)?;
        let sectors: Vec<(Bank, u32)> = touched.iter().map(|(bank, sector)| (self.banks[*bank].clone(), *sector)).collect();
        for one_bank in sectors.chunk_by(|(a, _), (b, _)| a.number == b.number) {
            self.check(&one_bank[0].0)?;
        }
        let reading = self.ears.phase("read", "");
        let total = sectors.iter().map(|(bank, _)| u64::from(bank.sector)).sum();
        let mut there = BTreeMap::new();
        let mut damaged = Vec::new();
        let mut done = 0;
        for (bank, sector) in sectors {
            let address = bank.sector_address(sector);
            let mut bytes = vec![0; bank.sector as usize];
            for (index, chunk) in bytes.chunks_mut(CHUNK).enumerate() {
                self.ears.progress("read", done, total);
                self.read_flash(&bank, address + (index * CHUNK) as u32, chunk, image, &mut damaged)?;
                done += chunk.len() as u64;
                (self.ears.breathe)()?;
            }
            there.insert(address, bytes);
        }
        self.ears.progress("read", done, total);
        drop(reading);
        let plan = flash::plan(image, &self.banks, &there, policy)?;
        let banks = self.banks.clone();
        flash::check_plan(&plan, &banks, flash::driver(&self.target.driver)?, &mut self.mem(0))?;
        Ok(plan)
    }

    /// What can be neither read nor programmed (readout protection, swapped banks) is said before flash is read.
    pub fn check(&mut self, bank: &Bank) -> Result<()> {
        flash::driver(&self.target.driver)?.check(&mut self.mem(0), bank)
    }

    /// A flash word that an interrupted write left damaged cannot be read (H7: DBECCERR faults the access), and only
    /// erasing its sector mends it: it reads as something the image is not, so that the sector is replaced. Where the
    /// image does not cover all of it, bytes that were to be kept are lost already, and the user decides.
    fn read_flash(&mut self, bank: &Bank, address: u32, chunk: &mut [u8], image: &Image, damaged: &mut Vec<u32>) -> Result<()> {
        let mut mem = MemAp::new(&mut *self.probe, bank.ap);
        let error = match mem.read(address, chunk) {
            Err(error) if error.is_fault() => error,
            other => return other.during(format!("reading flash at {address:#010x}")),
        };
        for (index, word) in chunk.chunks_mut(bank.word as usize).enumerate() {
            let at = address + index as u32 * bank.word;
            match MemAp::new(&mut *self.probe, bank.ap).read(at, word) {
                Ok(()) => {}
                Err(fault) if fault.is_fault() && damaged.len() < MAX_DAMAGED => {
                    if !covers(image, at, bank.word) {
                        return Err(lost(bank, at));
                    }
                    damaged.push(at);
                    self.ears.warn(format!("the flash word at {at:#010x} is damaged and cannot be read: its sector must be erased"));
                    word.iter_mut().zip(0..).for_each(|(byte, i)| *byte = unlike(image, at + i));
                }
                Err(fault) if fault.is_fault() => {
                    let hint = "flash cannot be read: is it read protected (RDP), or its clock or supply wrong?";
                    return Err(error.during(format!("reading flash at {address:#010x}")).hint(hint));
                }
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// Reset-halt (unless `noreset`: only halt), carry out the plan, note that flash changed.
    pub fn execute(&mut self, plan: &Plan, manner: Manner) -> Result<Done> {
        let work = |session: &mut Session, driver: &dyn FlashDriver| {
            let banks = session.banks.clone();
            let ram = session.loader_ram().filter(|_| !manner.noreset && !manner.noloader);
            let (core, mut mem, ears) = session.parts(0)?;
            let help = ram.map(|ram| Help { core, ram });
            flash::execute(plan, &banks, driver, &mut mem, ears, help)
        };
        match plan.is_done() {
            // Nothing to do is done without stopping the program.
            true => work(self, flash::driver(&self.target.driver)?),
            false => self.change_flash(manner.noreset, work),
        }
    }

    /// RAM for the loader: the first core's work area, and for data the largest that every part of this die has.
    fn loader_ram(&self) -> Option<Ram> {
        let work = &self.target.cores.first()?.work_area;
        let data = self.die.ram.iter().max_by_key(|region| region.size)?;
        let dogs = self.target.watchdogs;
        Some(Ram { work: (work.address, work.size), data: (data.address, data.size), watchdogs: [dogs.iwdg, dogs.wwdg] })
    }

    /// Would `erase` refuse? Changes nothing.
    pub fn check_erase(&mut self, parts: &[(Bank, Erase)]) -> Result<()> {
        flash::check_erase(parts, flash::driver(&self.target.driver)?, &mut self.mem(0))
    }

    /// Reset-halt (unless `noreset`: only halt) and erase. What is refused is refused before that.
    pub fn erase(&mut self, parts: &[(Bank, Erase)], noreset: bool) -> Result<()> {
        self.check_erase(parts)?;
        self.change_flash(noreset, |session, driver| {
            let ears = session.ears.clone();
            flash::erase(parts, driver, &mut session.mem(0), &ears)
        })
    }

    /// What every change of flash needs around it: a quiet core, caches out of the way, and the note for `detach`.
    pub(super) fn change_flash<T>(&mut self, noreset: bool, work: impl FnOnce(&mut Session, &dyn FlashDriver) -> Result<T>) -> Result<T> {
        let driver = flash::driver(&self.target.driver)?;
        self.quieten(noreset).during("halting before flash is changed")?;
        let (core, mut mem, _) = self.parts(0)?;
        let ccr = core.caches_off(&mut mem)?;
        self.flash_changed = true;
        self.wanted_halted = false;
        let worked = work(self, driver);
        let back = match ccr {
            Some(ccr) => self.parts(0).and_then(|(core, mut mem, _)| core.caches_back(&mut mem, ccr)),
            None => Ok(()),
        };
        worked.and_then(|done| back.map(|()| done))
    }

    /// Every core halted, for rocd's own purposes unless it already was.
    fn quieten(&mut self, noreset: bool) -> Result<()> {
        for core in self.available() {
            match self.state(core) {
                Ok(State::Halted(_)) => {}
                Err(error) if fatal(&error) => return Err(error),
                // Asleep or unreachable: a reset may mend that, and if not, the halt below says what is wrong.
                _ => self.parts(core)?.0.own_halt = true,
            }
        }
        if !noreset {
            self.reset_chip(true)?;
        }
        for core in self.available() {
            let (core, mut mem, ears) = self.parts(core)?;
            core.halt(&mut mem, ears, HALT_WAIT)?;
        }
        Ok(())
    }

    /// One flag per sector: write protected.
    pub fn protection(&mut self, bank: &Bank) -> Result<Vec<bool>> {
        flash::driver(&self.target.driver)?.protection(&mut self.mem(0), bank)
    }

    /// The flash controller's state in words.
    pub fn describe(&mut self, bank: &Bank) -> Result<String> {
        flash::driver(&self.target.driver)?.describe(&mut self.mem(0), bank)
    }

    /// Flash as its cells hold it, everything else as the core sees it.
    fn as_it_is(&mut self, address: u32) -> MemAp<'_> {
        match self.banks.iter().find(|bank| bank.contains(address)) {
            Some(bank) => MemAp::new(&mut *self.probe, bank.ap),
            None => self.mem(0),
        }
    }

    /// Compare memory with an image; kind mismatch names the first bad address, expected and actual. The bytes compared.
    pub fn verify(&mut self, image: &Image) -> Result<u64> {
        let _phase = self.ears.phase("verify", "");
        let total = image.len();
        let mut done = 0;
        for segment in &image.segments {
            for (index, wanted) in segment.data.chunks(CHUNK).enumerate() {
                let address = segment.address.wrapping_add((index * CHUNK) as u32);
                self.ears.progress("verify", done, total);
                let mut is = vec![0; wanted.len()];
                self.as_it_is(address).read(address, &mut is).during(format!("verifying at {address:#010x}"))?;
                if let Some(at) = is.iter().zip(wanted).position(|(is, wanted)| is != wanted) {
                    return Err(mismatch(address + at as u32, is[at], wanted[at]));
                }
                done += wanted.len() as u64;
                (self.ears.breathe)()?;
            }
        }
        self.ears.progress("verify", done, total);
        Ok(done)
    }
}

fn mismatch(address: u32, is: u8, wanted: u8) -> Error {
    Error::new(Kind::Mismatch, format!("{address:#010x} reads {is:#04x}, the image has {wanted:#04x} there"))
}

/// The image has every byte of the flash word.
fn covers(image: &Image, address: u32, word: u32) -> bool {
    let end = u64::from(address) + u64::from(word);
    image.segments.iter().any(|segment| segment.address <= address && end <= segment.end())
}

/// Bytes beside the image that cannot be read, so cannot be put back after the erase.
fn lost(bank: &Bank, address: u32) -> Error {
    let sector = (address - bank.address) / bank.sector;
    Error::target(format!("the flash word at {address:#010x} is damaged and cannot be read, and the image does not cover it"))
        .during(format!("keeping what shares sector {sector} of {} with the image", bank.name))
        .hint(format!("`flash erase_sector {} {sector} {sector}` gives up what is in that sector; then program again", bank.number))
}

/// A byte that is neither blank nor what the image has at `address`.
pub(super) fn unlike(image: &Image, address: u32) -> u8 {
    let byte = image.segments.iter().find_map(|segment| segment.data.get(address.checked_sub(segment.address)? as usize));
    if byte == Some(&0) { 0x55 } else { 0 }
}
