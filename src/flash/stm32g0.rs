//! STM32G0 embedded flash: RM0444 rev 5 (G0x1), RM0454 rev 5 (G0x0), chapter 3; register positions from ST's CMSIS headers
//! and HAL.
//!
//! One controller for all: on dies with two banks BKER chooses the bank of an erase, and each bank has its own BSY, MER
//! and protection areas. ST's page is our sector (2 KiB), its double word our flash word (8 bytes).

use super::controller::{AGAIN, Controller, Flag, refuse_readout_protection, unknown_layout};
use super::{Bank, FlashDriver, OptionBytes};
use crate::adi::MemAp;
use crate::error::{Error, Kind, Result};
use std::time::Duration;

pub struct Stm32G0;

/// Layouts of target files: one bank, two banks.
const LAYOUTS: &[(&str, bool)] = &[("g0", false), ("g0-dual", true)];

// RM0444 3.7.
const ACR: u32 = 0x00;
const KEYR: u32 = 0x08;
const OPTKEYR: u32 = 0x0C;
const SR: u32 = 0x10;
const CR: u32 = 0x14;
/// By bank.
const ECCR: [u32; 2] = [0x18, 0x1C];
const ECCR_ECCD: u32 = 1 << 31;
const OPTR: u32 = 0x20;
const SECR: u32 = 0x80;
/// Write protection areas A and B, by bank.
const WRP: [[u32; 2]; 2] = [[0x2C, 0x30], [0x4C, 0x50]];

/// WRPxR of no area: its start is behind every end (what new chips hold).
const NO_AREA: u32 = 0xFF;

const ACR_EMPTY: u32 = 1 << 16;

const SR_BSY1: u32 = 1 << 16;
const SR_BSY2: u32 = 1 << 17;
/// Stays set for a while after an erase; programming before it is clear faults (ST community 138555).
const SR_CFGBSY: u32 = 1 << 18;
const SR_BUSY: u32 = SR_BSY1 | SR_BSY2 | SR_CFGBSY;
const SR_OPTVERR: u32 = 1 << 15;
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
const CR_OPTSTRT: u32 = 1 << 17;
const CR_OBL_LAUNCH: u32 = 1 << 27;
const CR_OPTLOCK: u32 = 1 << 30;
const CR_LOCK: u32 = 1 << 31;
/// Bytes of a row of fast programming (RM0444 3.3.8).
const ROW: u32 = 256;
/// What says which operation; the rest of CR stays as it is (SEC_PROT can only be set, OPTLOCK is not ours).
const CR_OPERATION: u32 = CR_PG | CR_PER | CR_MER1 | CR_PNB | CR_BKER | CR_MER2 | CR_STRT | CR_FSTPG;

/// IWDG_SW and WWDG_SW: 0 is a watchdog that hardware starts.
const OPTR_WDG_SW: u32 = 1 << 16 | 1 << 19;
/// 0: the banks are swapped (dies with two banks).
const OPTR_NSWAP_BANK: u32 = 1 << 20;
/// 0: the pin says what else nBOOT0 says.
const OPTR_NBOOT_SEL: u32 = 1 << 24;
const OPTR_NBOOT1: u32 = 1 << 25;
const OPTR_NBOOT0: u32 = 1 << 26;
/// 1: always main flash. Reads 0 on the G0x0, which have no SECR (assumed).
const SECR_BOOT_LOCK: u32 = 1 << 16;

/// Where an empty chip is recognised, RM0444 2.5.
const BOOT_WORD: u32 = 0x0800_0000;
/// What else a G0 starts from (RM0444 2.5): the system memory, and SRAM.
const SYSTEM_MEMORY: u32 = 0x1FFF_0000;
const SRAM: u32 = 0x2000_0000;

// Maxima of the data sheet (STM32G030 table "Flash memory characteristics"); mass erase assumed.
const WORD: Duration = Duration::from_micros(125);
const PAGE: Duration = Duration::from_millis(40);
const BANK: Duration = Duration::from_millis(41);

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
        hint: "`option read` shows what the chip took instead; write them all anew (`option write`)",
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

/// A die with two banks?
fn dual(bank: &Bank) -> Result<bool> {
    let row = LAYOUTS.iter().find(|(name, _)| *name == bank.layout);
    row.map(|row| row.1).ok_or_else(|| unknown_layout("stm32g0", &bank.layout, LAYOUTS.iter().map(|row| row.0)))
}

impl FlashDriver for Stm32G0 {
    /// Bank 2's pages are numbered from 0 with BKER, as ST's HAL does.
    fn controller<'a>(&self, bank: &'a Bank) -> Result<Controller<'a>> {
        dual(bank)?;
        let (bker, whole) = if bank.number == 1 { (CR_BKER, CR_MER2) } else { (0, CR_MER1) };
        Ok(Controller {
            bank,
            suffix: String::new(),
            keyr: KEYR,
            cr: CR,
            sr: SR,
            clear: (SR, SR_CLEAR),
            lock: CR_LOCK,
            pg: CR_PG,
            sector: (CR_PER | bker, 3),
            whole,
            start: CR_STRT,
            // STRT clears itself.
            operation: CR_OPERATION & !CR_STRT,
            replaced: CR_OPERATION,
            along: 0,
            resting: 0,
            busy: SR_BUSY,
            partial: 0,
            corrected: 0,
            errors: ERRORS,
            fast: Some((CR_FSTPG, ROW)),
            times: [WORD, PAGE, BANK],
        })
    }

    fn check(&self, mem: &mut MemAp, bank: &Bank) -> Result<()> {
        let dual = dual(bank)?;
        let options = mem.read32(bank.registers + OPTR)?;
        refuse_readout_protection(options as u8, "FLASH_OPTR", options)?;
        if !dual || options & OPTR_NSWAP_BANK != 0 {
            return Ok(());
        }
        Err(Error::target(format!("the flash banks are swapped (nSWAP_BANK is 0, FLASH_OPTR = {options:#010x})"))
            .hint("`option write nSWAP_BANK normal yes` puts them back: rocd maps the banks only as the chip is delivered"))
    }

    /// RM0444 2.5, "Boot modes". EMPTY does not count: whoever writes flash clears it (`boot`).
    fn start(&self, mem: &mut MemAp, bank: &Bank, _: usize) -> Result<(u32, String)> {
        let [options, lock] = [mem.read32(bank.registers + OPTR)?, mem.read32(bank.registers + SECR)?];
        let bit = |mask: u32| u32::from(options & mask != 0);
        let why = format!("nBOOT_SEL = {}, nBOOT0 = {}, nBOOT1 = {}", bit(OPTR_NBOOT_SEL), bit(OPTR_NBOOT0), bit(OPTR_NBOOT1));
        Ok(match (lock & SECR_BOOT_LOCK != 0, bit(OPTR_NBOOT_SEL), bit(OPTR_NBOOT0), bit(OPTR_NBOOT1)) {
            (true, ..) => (BOOT_WORD, "BOOT_LOCK = 1".to_string()),
            (_, 0, ..) | (_, _, 1, _) => (BOOT_WORD, why),
            (_, _, _, 1) => (SYSTEM_MEMORY, why),
            _ => (SRAM, why),
        })
    }

    /// EMPTY makes the next reset run the system boot loader. The option byte loader alone sets it, at power-on, and
    /// programming does not clear it, so a chip that was blank would not boot what was written (RM0444 2.5 and 3.7.1).
    /// Read-modify-write: ACR also holds DBG_SWEN, without which SWD is dead.
    fn boot(&self, mem: &mut MemAp, bank: &Bank) -> Result<()> {
        let acr = bank.registers + ACR;
        if !bank.contains(BOOT_WORD) || mem.read32(acr)? & ACR_EMPTY == 0 || mem.read32(BOOT_WORD)? == 0xFFFF_FFFF {
            return Ok(());
        }
        mem.update(acr, ACR_EMPTY, 0)?;
        match mem.read32(acr)? {
            control if control & ACR_EMPTY == 0 => Ok(()),
            control => Err(Error::target(format!("EMPTY stays set (FLASH_ACR = {control:#010x}): a reset starts the system boot loader"))
                .hint("switch the power off and on: then the chip sees that it is programmed")),
        }
    }

    fn watchdog(&self, mem: &mut MemAp, bank: &Bank) -> Result<bool> {
        Ok(mem.read32(bank.registers + OPTR)? & OPTR_WDG_SW != OPTR_WDG_SW)
    }

    /// ECCD tells of it, and is cleared by writing 1 (RM0444 3.7.6).
    fn damaged(&self, mem: &mut MemAp, bank: &Bank) -> Result<bool> {
        let register = bank.registers + ECCR[usize::from(bank.number == 1)];
        let told = mem.read32(register)?;
        if told & ECCR_ECCD != 0 {
            mem.write32(register, told)?;
        }
        Ok(told & ECCR_ECCD != 0)
    }

    /// Two areas per bank, page numbers, both ends included; none where the start is behind the end (RM0444 3.5.4).
    fn protection(&self, mem: &mut MemAp, bank: &Bank) -> Result<Vec<bool>> {
        let mut flags = vec![false; bank.sectors() as usize];
        for register in WRP[usize::from(bank.number == 1)] {
            let area = mem.read32(bank.registers + register)?;
            let (start, end) = (area & 0x7F, area >> 16 & 0x7F);
            for page in start..=end {
                if let Some(flag) = flags.get_mut(page as usize) {
                    *flag = true;
                }
            }
        }
        Ok(flags)
    }

    fn protect(&self, bank: &Bank, sectors: &[bool]) -> Result<Vec<(u32, u32)>> {
        let mut areas = Vec::new();
        for (page, _) in sectors.iter().enumerate().filter(|(_, protected)| **protected) {
            match areas.last_mut() {
                Some((_, end)) if *end + 1 == page => *end = page,
                _ => areas.push((page, page)),
            }
        }
        if areas.len() > 2 {
            let what = format!("{} can protect two areas, these are {}", bank.name, areas.len());
            return Err(Error::usage(what).hint("protect what lies between, or unprotect one of them: `flash info` shows them"));
        }
        let word = |index: usize| areas.get(index).map_or(NO_AREA, |(start, end)| (*start | end << 16) as u32);
        Ok(WRP[usize::from(bank.number == 1)]
            .iter()
            .enumerate()
            .map(|(index, register)| (bank.registers + register, word(index)))
            .collect())
    }

    /// RM0444 3.4.2.
    fn options(&self) -> OptionBytes {
        OptionBytes {
            behind_cr: true,
            keyr: OPTKEYR,
            control: CR,
            lock: CR_OPTLOCK,
            start: CR_OPTSTRT,
            launch: CR_OBL_LAUNCH,
            status: ("FLASH_SR", SR),
            busy: SR_BUSY,
            errors: ERRORS,
            stands: SR_OPTVERR,
            clear: (SR, SR_CLEAR),
        }
    }

    fn describe(&self, mem: &mut MemAp, bank: &Bank) -> Result<String> {
        let [options, access] = [mem.read32(bank.registers + OPTR)?, mem.read32(bank.registers + ACR)?];
        let note = if access & ACR_EMPTY != 0 { ", EMPTY: a reset starts the system boot loader" } else { "" };
        let registers = format!("FLASH_OPTR = {options:#010x}, FLASH_ACR = {access:#010x}");
        self.controller(bank)?.describe(mem, options as u8, note, &registers)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::controller::decode;

    fn verdict(status: u32) -> Result<()> {
        decode(ERRORS, status, "FLASH_SR")
    }

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

    /// RM0444 2.5, "Boot modes", with the pin low: BOOT_LOCK, nBOOT_SEL, nBOOT0, nBOOT1.
    #[test]
    fn the_option_bytes_say_where_a_g0_starts() {
        use crate::flash::fake::{AP, Fake, bank};
        let bank = bank(0, BOOT_WORD, 0x2_0000, 0x800, 8);
        let table = [
            ([1, 1, 0, 0], BOOT_WORD),
            ([0, 0, 0, 0], BOOT_WORD),
            ([0, 1, 1, 0], BOOT_WORD),
            ([0, 1, 0, 1], SYSTEM_MEMORY),
            ([0, 1, 0, 0], SRAM),
        ];
        for ([lock, select, boot0, boot1], starts) in table {
            let mut fake = Fake::default();
            fake.words.insert(bank.registers + 0x20, select << 24 | boot0 << 26 | boot1 << 25);
            fake.words.insert(bank.registers + 0x80, lock << 16);
            let (address, why) = Stm32G0.start(&mut MemAp::new(&mut fake, AP), &bank, 0).unwrap();
            assert_eq!(address, starts, "{why}");
            assert_eq!(why == "BOOT_LOCK = 1", lock == 1);
        }
    }

    #[test]
    fn a_failed_fast_row_is_told_by_all_its_bits() {
        let error = verdict(0x2A0).unwrap_err();
        assert_eq!(error.message, "PGAERR, PGSERR, FASTERR: the two words do not lie in one double word (FLASH_SR = 0x000002a0)");
    }
}
