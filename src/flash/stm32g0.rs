//! STM32G0 embedded flash: RM0444 rev 5 (G0x1), RM0454 rev 5 (G0x0), chapter 3; register positions from ST's CMSIS headers
//! and HAL.
//!
//! One controller for all: on dies with two banks BKER chooses the bank of an erase, and each bank has its own BSY, MER
//! and protection areas. ST's page is our sector (2 KiB), its double word our flash word (8 bytes).

use super::controller::{Busy, Flag, KEYS, Writer, decode, flags_text, readout_level, refuse_readout_protection, unknown_layout};
use super::{Bank, Erase, FlashDriver};
use crate::adi::MemAp;
use crate::error::{Error, Kind, Result};
use crate::event::Ears;
use std::time::Duration;

pub struct Stm32G0;

/// Layouts of target files: one bank, two banks.
const LAYOUTS: &[(&str, bool)] = &[("g0", false), ("g0-dual", true)];

// RM0444 3.7.
const ACR: u32 = 0x00;
const KEYR: u32 = 0x08;
const SR: u32 = 0x10;
const CR: u32 = 0x14;
const OPTR: u32 = 0x20;
/// Write protection areas A and B, by bank.
const WRP: [[u32; 2]; 2] = [[0x2C, 0x30], [0x4C, 0x50]];

const ACR_EMPTY: u32 = 1 << 16;

const SR_BSY1: u32 = 1 << 16;
const SR_BSY2: u32 = 1 << 17;
/// Stays set for a while after an erase; programming before it is clear faults (ST community 138555).
const SR_CFGBSY: u32 = 1 << 18;
const SR_BUSY: u32 = SR_BSY1 | SR_BSY2 | SR_CFGBSY;
/// EOP and every error bit, cleared by writing 1.
const SR_CLEAR: u32 = 0xC3FB;

const CR_PG: u32 = 1 << 0;
const CR_PER: u32 = 1 << 1;
const CR_MER1: u32 = 1 << 2;
const CR_PNB: u32 = 0x3FF << 3;
const CR_BKER: u32 = 1 << 13;
const CR_MER2: u32 = 1 << 15;
const CR_STRT: u32 = 1 << 16;
const CR_FSTPG: u32 = 1 << 18;
const CR_LOCK: u32 = 1 << 31;
/// What says which operation; the rest of CR stays as it is (SEC_PROT can only be set, OPTLOCK is not ours).
const CR_OPERATION: u32 = CR_PG | CR_PER | CR_MER1 | CR_PNB | CR_BKER | CR_MER2 | CR_STRT | CR_FSTPG;

/// 0: the banks are swapped (dies with two banks).
const OPTR_NSWAP_BANK: u32 = 1 << 20;

/// Where an empty chip is recognised, RM0444 2.5.
const BOOT_WORD: u32 = 0x0800_0000;

// Maxima of the data sheet (STM32G030 table "Flash memory characteristics"); mass erase assumed.
const WORD: Duration = Duration::from_micros(125);
const PAGE: Duration = Duration::from_millis(40);
const BANK: Duration = Duration::from_millis(41);

const AGAIN: &str = "`reset halt`, then run the command again";

/// FLASH_SR, RM0444 3.7.4. WRPERR first: it is the cause of others.
const ERRORS: &[Flag] = &[
    Flag {
        bit: 4,
        name: "WRPERR",
        text: "sector is write protected",
        hint: "`flash info <bank>` shows which sectors are; the option bytes (WRP, PCROP and the securable area) protect them",
        kind: Kind::Protected,
    },
    Flag {
        bit: 3,
        name: "PROGERR",
        text: "the double word was not blank",
        hint: "erase the sector first: `flash write_image erase …`",
        kind: Kind::Target,
    },
    Flag { bit: 5, name: "PGAERR", text: "the two words do not lie in one double word", hint: AGAIN, kind: Kind::Target },
    Flag { bit: 6, name: "SIZERR", text: "flash was written by bytes or half words", hint: AGAIN, kind: Kind::Target },
    Flag { bit: 7, name: "PGSERR", text: "the controller was not set up for this write or erase", hint: AGAIN, kind: Kind::Target },
    Flag { bit: 8, name: "MISERR", text: "a word of a fast programmed row came too late", hint: AGAIN, kind: Kind::Target },
    Flag { bit: 9, name: "FASTERR", text: "fast programming of a row failed", hint: AGAIN, kind: Kind::Target },
    Flag {
        bit: 14,
        name: "RDERR",
        text: "a protected area (PCROP) was read",
        hint: "the option bytes PCROP1A and PCROP1B protect it",
        kind: Kind::Protected,
    },
    Flag {
        bit: 15,
        name: "OPTVERR",
        text: "the option bytes do not match their complements",
        hint: "write the option bytes anew and reset",
        kind: Kind::Target,
    },
    Flag {
        bit: 1,
        name: "OPERR",
        text: "the write or erase failed",
        hint: "check the supply voltage; erase the sector and try again",
        kind: Kind::Target,
    },
];

/// The controller as one bank sees it.
struct Controller<'a> {
    bank: &'a Bank,
    dual: bool,
}

impl<'a> Controller<'a> {
    fn new(bank: &'a Bank) -> Result<Controller<'a>> {
        match LAYOUTS.iter().find(|(name, _)| *name == bank.layout) {
            Some((_, dual)) => Ok(Controller { bank, dual: *dual }),
            None => Err(unknown_layout("stm32g0", &bank.layout, LAYOUTS.iter().map(|row| row.0))),
        }
    }

    fn second(&self) -> bool {
        self.bank.number == 1
    }

    fn at(&self, register: u32) -> u32 {
        self.bank.registers + register
    }

    /// Twice the data sheet's maximum: past that something else is wrong.
    fn busy(&self, limit: Duration) -> Busy<'static> {
        Busy { name: "FLASH_SR", address: self.at(SR), mask: SR_BUSY, limit: limit * 2 }
    }

    fn idle(&self, mem: &mut MemAp) -> Result<u32> {
        self.busy(BANK).wait(mem, |mem| {
            mem.sleep(Duration::from_millis(1));
            Ok(())
        })
    }

    /// Set the operation in CR, the rest of it kept; a write that the controller ignored is an error. STRT clears itself.
    fn set(&self, mem: &mut MemAp, operation: u32) -> Result<()> {
        mem.update(self.at(CR), CR_OPERATION, operation)?;
        let there = mem.read32(self.at(CR))?;
        let checked = CR_OPERATION & !CR_STRT;
        if there & checked == operation & checked {
            return Ok(());
        }
        Err(Error::target(format!("FLASH_CR reads {there:#010x} after {operation:#010x} was set")).hint(AGAIN))
    }

    fn unlock(&self, mem: &mut MemAp) -> Result<()> {
        self.idle(mem)?;
        mem.write32(self.at(SR), SR_CLEAR)?;
        // Writing KEYR while unlocked is an error, so look first (RM0444 3.3.6).
        if mem.read32(self.at(CR))? & CR_LOCK != 0 {
            for key in KEYS {
                mem.write32(self.at(KEYR), key)?;
            }
        }
        let control = mem.read32(self.at(CR))?;
        if control & CR_LOCK != 0 {
            return Err(Error::target(format!("flash stays locked (FLASH_CR = {control:#010x})"))
                .hint("a wrong key locks it until the next reset: `reset halt`, then run the command again"));
        }
        self.set(mem, 0)
    }

    /// RM0444 3.3.7. Bank 2's pages are numbered from 0 with BKER, as ST's HAL does.
    fn erase(&self, mem: &mut MemAp, what: Erase, ears: &Ears) -> Result<()> {
        let (operation, limit) = match (what, self.second()) {
            (Erase::Sector(index), second) => (CR_PER | index << 3 | if second { CR_BKER } else { 0 }, PAGE),
            (Erase::Bank, false) => (CR_MER1, BANK),
            (Erase::Bank, true) => (CR_MER2, BANK),
        };
        self.set(mem, operation)?;
        mem.update(self.at(CR), CR_OPERATION, operation | CR_STRT)?;
        let (status, interrupted) = self.busy(limit).wait_long(mem, ears)?;
        verdict(status)?;
        self.set(mem, 0)?;
        interrupted
    }

    /// RM0444 3.3.8, standard programming. PG stays set over the words of a run.
    fn program(&self, mem: &mut MemAp, address: u32, data: &[u8], done: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        verdict(self.idle(mem)?)?;
        self.set(mem, CR_PG)?;
        Writer::new(self.busy(WORD), ERRORS, 0).write(mem, self.bank, address, data, done)?;
        self.set(mem, 0)
    }

    fn lock(&self, mem: &mut MemAp) -> Result<()> {
        if mem.read32(self.at(CR))? & CR_LOCK == 0 {
            self.idle(mem)?;
            mem.write32(self.at(SR), SR_CLEAR)?;
            mem.update(self.at(CR), CR_OPERATION, 0)?;
            mem.update(self.at(CR), 0, CR_LOCK)?;
        }
        let control = mem.read32(self.at(CR))?;
        if control & CR_LOCK == 0 {
            return Err(Error::target(format!("flash stays unlocked (FLASH_CR = {control:#010x})")));
        }
        Ok(())
    }

    /// EMPTY makes the next reset run the system boot loader. The option byte loader alone sets it, at power-on, and
    /// programming does not clear it, so a chip that was blank would not boot what was written (RM0444 2.5 and 3.7.1).
    /// Read-modify-write: ACR also holds DBG_SWEN, without which SWD is dead.
    fn clear_empty(&self, mem: &mut MemAp) -> Result<()> {
        if !self.bank.contains(BOOT_WORD) || mem.read32(self.at(ACR))? & ACR_EMPTY == 0 {
            return Ok(());
        }
        if mem.read32(BOOT_WORD)? == 0xFFFF_FFFF {
            return Ok(());
        }
        mem.update(self.at(ACR), ACR_EMPTY, 0)?;
        let control = mem.read32(self.at(ACR))?;
        if control & ACR_EMPTY == 0 {
            return Ok(());
        }
        Err(Error::target(format!("EMPTY stays set (FLASH_ACR = {control:#010x}): a reset starts the system boot loader"))
            .hint("switch the power off and on: then the chip sees that it is programmed"))
    }

    fn check(&self, mem: &mut MemAp) -> Result<()> {
        let options = mem.read32(self.at(OPTR))?;
        refuse_readout_protection(options as u8, "FLASH_OPTR", options)?;
        if !self.dual || options & OPTR_NSWAP_BANK != 0 {
            return Ok(());
        }
        Err(Error::target(format!("the flash banks are swapped (nSWAP_BANK is 0, FLASH_OPTR = {options:#010x})"))
            .hint("set nSWAP_BANK in the option bytes: rocd maps the banks only as the chip is delivered"))
    }

    /// Two areas per bank, page numbers, both ends included; none where the start is behind the end (RM0444 3.5.4).
    fn protection(&self, mem: &mut MemAp) -> Result<Vec<bool>> {
        let mut flags = vec![false; self.bank.sectors() as usize];
        for register in WRP[usize::from(self.second())] {
            let area = mem.read32(self.at(register))?;
            let (start, end) = (area & 0x7F, area >> 16 & 0x7F);
            for page in start..=end {
                if let Some(flag) = flags.get_mut(page as usize) {
                    *flag = true;
                }
            }
        }
        Ok(flags)
    }
}

fn verdict(status: u32) -> Result<()> {
    decode(ERRORS, status, "FLASH_SR").map_or(Ok(()), Err)
}

impl FlashDriver for Stm32G0 {
    fn check(&self, mem: &mut MemAp, bank: &Bank) -> Result<()> {
        Controller::new(bank)?.check(mem)
    }

    fn unlock(&self, mem: &mut MemAp, bank: &Bank) -> Result<()> {
        let controller = Controller::new(bank)?;
        controller.check(mem)?;
        controller.unlock(mem)
    }

    fn erase(&self, mem: &mut MemAp, bank: &Bank, what: Erase, ears: &Ears) -> Result<()> {
        Controller::new(bank)?.erase(mem, what, ears)
    }

    fn program(
        &self,
        mem: &mut MemAp,
        bank: &Bank,
        address: u32,
        data: &[u8],
        _: &Ears,
        done: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        Controller::new(bank)?.program(mem, address, data, done)
    }

    fn lock(&self, mem: &mut MemAp, bank: &Bank) -> Result<()> {
        Controller::new(bank)?.lock(mem)
    }

    fn boot(&self, mem: &mut MemAp, bank: &Bank) -> Result<()> {
        Controller::new(bank)?.clear_empty(mem)
    }

    fn protection(&self, mem: &mut MemAp, bank: &Bank) -> Result<Vec<bool>> {
        Controller::new(bank)?.protection(mem)
    }

    fn describe(&self, mem: &mut MemAp, bank: &Bank) -> Result<String> {
        let controller = Controller::new(bank)?;
        let status = mem.read32(controller.at(SR))?;
        let control = mem.read32(controller.at(CR))?;
        let options = mem.read32(controller.at(OPTR))?;
        let access = mem.read32(controller.at(ACR))?;
        let mut text = format!(
            "{}, {}, readout protection level {}{} (FLASH_CR = {control:#010x}, FLASH_SR = {status:#010x}, FLASH_OPTR = \
             {options:#010x}, FLASH_ACR = {access:#010x})",
            if control & CR_LOCK != 0 { "locked" } else { "unlocked" },
            if status & SR_BUSY != 0 { "busy" } else { "idle" },
            readout_level(options as u8),
            if access & ACR_EMPTY != 0 { ", EMPTY: a reset starts the system boot loader" } else { "" },
        );
        text += &flags_text(ERRORS, status);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// ST's HAL takes 0xc3fa for an error of any kind.
    #[test]
    fn every_error_bit_of_the_controller_decodes_by_its_name() {
        assert_eq!(ERRORS.iter().fold(0, |bits, flag| bits | 1 << flag.bit), 0xC3FA);
        for flag in ERRORS {
            let error = verdict(1 << flag.bit).unwrap_err();
            assert_eq!(error.message, format!("{}: {} (FLASH_SR = {:#010x})", flag.name, flag.text, 1u32 << flag.bit));
            assert!(error.hint.is_some(), "{}", flag.name);
        }
        assert_eq!(verdict(SR_BUSY | 1), Ok(()));
    }

    #[test]
    fn a_failed_fast_row_is_told_by_all_its_bits() {
        let error = verdict(0x2A0).unwrap_err();
        assert_eq!(error.message, "PGAERR, PGSERR, FASTERR: the two words do not lie in one double word (FLASH_SR = 0x000002a0)");
    }
}
