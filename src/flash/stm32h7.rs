//! STM32H7 embedded flash: RM0433 rev 8 (H742/743/750/753), RM0468 rev 3 (H723/733/730), RM0455 rev 9 (H7A3/7B3), chapter 4;
//! register positions from ST's CMSIS headers and HAL.
//!
//! One controller per bank; bank 2's registers lie 0x100 above bank 1's. A flash word (32 bytes, H7A3: 16) is written by
//! word stores in ascending order and programmed once the last has come. It can be programmed once per erase.

use super::controller::{AGAIN, Controller, Flag, KEYS, refuse_readout_protection, unknown_layout};
use super::{Bank, FlashDriver, OptionBytes};
use crate::adi::MemAp;
use crate::error::{Error, Kind, Result};
use crate::probe::{Deadline, MemOp};
use std::ops::Range;
use std::time::Duration;

pub struct Stm32H7;

/// What tells the dies' controllers apart.
struct Layout {
    name: &'static str,
    start: u32,
    /// Where PSIZE is; H7A3 has none.
    psize: Option<u32>,
    /// Where the sector number is.
    snb: u32,
    /// Sectors behind one bit of WPSN.
    protect: u32,
    /// By PSIZE; H7A3's one row.
    times: &'static [Times],
}

/// The data sheet's maxima.
struct Times {
    word_us: u64,
    sector_ms: u64,
    bank_ms: u64,
}

/// DS12110 tables 43 and 140 (rev Y and V alike), by PSIZE 8, 16, 32, 64 bits; the bank's are assumed.
const TIMES_H74X: &[Times] = &[
    Times { word_us: 580, sector_ms: 4000, bank_ms: 26_000 },
    Times { word_us: 360, sector_ms: 3600, bank_ms: 16_000 },
    Times { word_us: 260, sector_ms: 2200, bank_ms: 12_000 },
    Times { word_us: 200, sector_ms: 2000, bank_ms: 10_000 },
];

/// Sector: Zephyr's device tree (max-erase-time); word and bank are assumed, with room.
const TIMES_H7AX: &[Times] = &[Times { word_us: 100, sector_ms: 3, bank_ms: 100 }];

const LAYOUTS: &[Layout] = &[
    Layout { name: "h74x", start: 1 << 7, psize: Some(4), snb: 8, protect: 1, times: TIMES_H74X },
    Layout { name: "h72x", start: 1 << 7, psize: Some(4), snb: 8, protect: 1, times: TIMES_H74X },
    Layout { name: "h7ax", start: 1 << 5, psize: None, snb: 6, protect: 4, times: TIMES_H7AX },
];

// Per bank, from its own base (RM0433 4.9).
const KEYR: u32 = 0x04;
const CR: u32 = 0x0C;
const SR: u32 = 0x10;
const CCR: u32 = 0x14;
const WPSN_CUR: u32 = 0x38;
const WPSN_PRG: u32 = 0x3C;
const CRCCR: u32 = 0x50;
const CRCSADD: u32 = 0x54;
const CRCEADD: u32 = 0x58;
// For both banks, from bank 1's base.
const OPTKEYR: u32 = 0x08;
const OPTCR: u32 = 0x18;
const OPTSR_CUR: u32 = 0x1C;
const OPTCCR: u32 = 0x24;
/// BOOT_CUR; on dual core dies BOOT7_CUR, and BOOT4_CUR of the Cortex-M4 (RM0399 4.9).
const BOOT_CUR: [u32; 2] = [0x40, 0x48];
const CRCDATA: u32 = 0x5C;

const CR_LOCK: u32 = 1 << 0;
const CR_PG: u32 = 1 << 1;
const CR_SER: u32 = 1 << 2;
const CR_BER: u32 = 1 << 3;
const CR_CRC_EN: u32 = 1 << 15;

const SR_BSY: u32 = 1 << 0;
const SR_WBNE: u32 = 1 << 1;
const SR_QW: u32 = 1 << 2;
const SR_CRC_BUSY: u32 = 1 << 3;
const SR_BUSY: u32 = SR_BSY | SR_QW | SR_CRC_BUSY;
/// A single bit that ECC corrected on a read: to be told, no error.
const SR_SNECCERR: u32 = 1 << 25;
/// Every flag that CCR clears: EOP 16 to CRCRDERR 28.
const CCR_ALL: u32 = 0x1FEF_0000;

/// DBECCERR and CRCRDERR: the unit met what it cannot read.
const SR_CRC_ERRORS: u32 = 1 << 26 | 1 << 28;
/// Those and CRCEND, as CCR clears them.
const CCR_CRC: u32 = SR_CRC_ERRORS | 1 << 27;
/// By address (bit 8 clear), bursts of four flash words.
const CRCCR_START: u32 = 1 << 16;
const CRCCR_CLEAN: u32 = 1 << 17;
/// No source says how fast the unit is (assumed).
const CRC_NS_PER_BYTE: u32 = 1000 / 32;

/// OPTCR.SWAP_BANK and OPTSR_CUR.SWAP_BANK_OPT; reads 0 on dies with one bank.
const SWAP_BANK: u32 = 1 << 31;

/// OPTSR_CUR: 0 is a watchdog that hardware starts (RM0433 4.9.8).
const OPTSR_IWDG1_SW: u32 = 1 << 4;

/// FLASH_SR, RM0433 4.7 and 4.9.5. WRPERR first: it is the cause of others.
const ERRORS: &[Flag] = &[
    Flag {
        bit: 17,
        name: "WRPERR",
        text: "sector is write protected",
        hint: "`flash info <bank>` shows which sectors are; the option bytes (WPSN, PCROP and secure areas) protect them",
        kind: Kind::Protected,
    },
    Flag { bit: 18, name: "PGSERR", text: "the controller was not set up for this write or erase", hint: AGAIN, kind: Kind::Target },
    Flag { bit: 19, name: "STRBERR", text: "a byte was written twice before its flash word was complete", hint: AGAIN, kind: Kind::Target },
    Flag { bit: 21, name: "INCERR", text: "a flash word was begun before the one before it was complete", hint: AGAIN, kind: Kind::Target },
    Flag {
        bit: 22,
        name: "OPERR",
        text: "the write or erase failed in the flash itself",
        hint: "check the supply voltage (PSIZE x64 needs 1.8 V); erase the sector and try again",
        kind: Kind::Target,
    },
    Flag {
        bit: 23,
        name: "RDPERR",
        text: "a protected area (PCROP, or readout protection) was read",
        hint: "the option bytes PRAR and RDP protect it",
        kind: Kind::Protected,
    },
    Flag {
        bit: 24,
        name: "RDSERR",
        text: "a secure area was accessed by non-secure code or the debugger",
        hint: "the option bytes SCAR and SECURITY protect it",
        kind: Kind::Protected,
    },
    Flag {
        bit: 26,
        name: "DBECCERR",
        text: "a flash word has two wrong bits: it was programmed twice or its programming was interrupted",
        hint: "erase the sector and write it again",
        kind: Kind::Target,
    },
    Flag {
        bit: 28,
        name: "CRCRDERR",
        text: "the controller's CRC unit met a protected area",
        hint: "the option bytes PRAR and SCAR protect it",
        kind: Kind::Protected,
    },
];

/// In OPTSR_CUR (RM0433 4.9.8), and in OPTCCR, which clears it.
const OPTCHANGEERR: u32 = 30;
const OPTION_ERRORS: &[Flag] = &[Flag {
    bit: OPTCHANGEERR,
    name: "OPTCHANGEERR",
    text: "the chip refused the change of its option bytes; they are as they were",
    hint: "execute-only and secure areas can only grow, and RDP level 2 allows no change (RM0433 4.4.3)",
    kind: Kind::Protected,
}];

/// From this voltage on flash may be programmed 64 bits at a time (DS12110 table 43).
const X64_VOLTS: f32 = 1.8;
const X32: usize = 2;
const X64: usize = 3;

fn layout(bank: &Bank) -> Result<&'static Layout> {
    let row = LAYOUTS.iter().find(|row| row.name == bank.layout);
    row.ok_or_else(|| unknown_layout("stm32h7", &bank.layout, LAYOUTS.iter().map(|row| row.name)))
}

impl Layout {
    /// PSIZE's code: x32 where the voltage is low or unknown, it is good from 1.62 V on.
    fn parallelism(&self, bank: &Bank) -> usize {
        match bank.volts {
            _ if self.psize.is_none() => 0,
            Some(volts) if volts >= X64_VOLTS => X64,
            _ => X32,
        }
    }

    fn psize(&self, bank: &Bank) -> u32 {
        self.psize.map_or(0, |shift| (self.parallelism(bank) as u32) << shift)
    }

    fn times(&self, bank: &Bank) -> &'static Times {
        &self.times[self.parallelism(bank)]
    }
}

/// A register that serves both banks is in bank 1's set.
fn shared(bank: &Bank, register: u32) -> u32 {
    (bank.registers & !0x1FF) + register
}

/// OPTSR_CUR 15:8: 0xAA is level 0, 0xCC level 2, anything else level 1 (RM0433 4.5.3).
fn readout_code(options: u32) -> u8 {
    (options >> 8) as u8
}

/// One sum by the CRC unit, which is enabled; `None`: it met what it cannot read.
fn crc(mem: &mut MemAp, bank: &Bank, part: &Range<u32>) -> Result<Option<u32>> {
    let at = |register| bank.registers + register;
    let first = part.start - bank.address;
    let bytes = part.end - part.start;
    let set = [(CCR, CCR_CRC), (CRCCR, CRCCR_CLEAN), (CRCSADD, first), (CRCEADD, first + bytes - 1), (CRCCR, CRCCR_START)];
    mem.batch(&mut set.map(|(register, value)| MemOp::write(at(register), value)))?;
    let time = Duration::from_nanos(u64::from(bytes * CRC_NS_PER_BYTE));
    mem.sleep(time);
    let deadline = Deadline::after(&*mem.probe, time * 50 + Duration::from_millis(10));
    loop {
        let late = deadline.passed(&*mem.probe);
        let mut looks = [MemOp::read(at(SR)), MemOp::read(shared(bank, CRCDATA))];
        mem.batch(&mut looks)?;
        let [status, sum] = looks.map(|look| look.value());
        match status & SR_CRC_BUSY {
            0 => return Ok((status & SR_CRC_ERRORS == 0).then_some(sum)),
            _ if late => return Ok(None),
            _ => mem.sleep(time / 16),
        }
    }
}

impl FlashDriver for Stm32H7 {
    fn controller<'a>(&self, bank: &'a Bank) -> Result<Controller<'a>> {
        let layout = layout(bank)?;
        let Times { word_us, sector_ms, bank_ms } = *layout.times(bank);
        Ok(Controller {
            bank,
            suffix: (bank.number + 1).to_string(),
            keyr: KEYR,
            cr: CR,
            sr: SR,
            clear: (CCR, CCR_ALL),
            lock: CR_LOCK,
            pg: CR_PG,
            sector: (CR_SER, layout.snb),
            whole: CR_BER,
            start: layout.start,
            operation: CR_LOCK | CR_PG | CR_SER | CR_BER,
            replaced: u32::MAX,
            along: layout.psize(bank),
            // PSIZE x64
            resting: layout.psize.map_or(0, |shift| (X64 as u32) << shift),
            busy: SR_BUSY,
            partial: SR_WBNE,
            corrected: SR_SNECCERR,
            errors: ERRORS,
            fast: None,
            times: [Duration::from_micros(word_us), Duration::from_millis(sector_ms), Duration::from_millis(bank_ms)],
        })
    }

    fn check(&self, mem: &mut MemAp, bank: &Bank) -> Result<()> {
        layout(bank)?;
        let options = mem.read32(shared(bank, OPTSR_CUR))?;
        refuse_readout_protection(readout_code(options), "FLASH_OPTSR_CUR", options)?;
        let control = mem.read32(shared(bank, OPTCR))?;
        // Swapped banks take their registers along (RM0399 4.3.13), so only a swap that is to come is in the way.
        if (options ^ control) & SWAP_BANK == 0 {
            return Ok(());
        }
        let what =
            format!("the flash banks change places at the next reset (FLASH_OPTCR = {control:#010x}, FLASH_OPTSR_CUR = {options:#010x})");
        Err(Error::target(what).hint(AGAIN))
    }

    fn remark(&self, bank: &Bank) -> Option<String> {
        let layout = layout(bank).ok()?;
        if layout.psize.is_none() || layout.parallelism(bank) == X64 {
            return None;
        }
        let volts = bank.volts.map_or("not known".to_string(), |volts| format!("{volts:.2} V"));
        Some(format!("target voltage is {volts}: {} is written 32 bits at a time, 64 need {X64_VOLTS} V", bank.name))
    }

    /// Bits 31:16 of the address are in BOOT_ADD0 (RM0433 2.6).
    fn start(&self, mem: &mut MemAp, bank: &Bank, core: usize) -> Result<(u32, String)> {
        let upper = mem.read32(shared(bank, BOOT_CUR[core.min(1)]))? & 0xFFFF;
        Ok((upper << 16, format!("BOOT_ADD0 = {upper:#06x}")))
    }

    fn watchdog(&self, mem: &mut MemAp, bank: &Bank) -> Result<bool> {
        Ok(mem.read32(shared(bank, OPTSR_CUR))? & OPTSR_IWDG1_SW == 0)
    }

    /// RM0433 4.3.14, in the order of ST's HAL. CRC_EN can be set only while unlocked.
    fn sums(&self, mem: &mut MemAp, bank: &Bank, parts: &[Range<u32>]) -> Result<Option<Vec<Option<u32>>>> {
        let at = |register| bank.registers + register;
        if mem.read32(at(SR))? & (SR_BUSY | SR_WBNE) != 0 {
            return Ok(None);
        }
        let control = mem.read32(at(CR))?;
        if control & CR_LOCK != 0 {
            match KEYS.iter().try_for_each(|key| mem.write32(at(KEYR), *key)) {
                // Somebody was cut off between the two keys: locked until a reset, which comes before anything is written.
                Err(error) if error.is_fault() => return Ok(None),
                unlocked => unlocked?,
            }
        }
        mem.write32(at(CR), control & !CR_LOCK | CR_CRC_EN)?;
        let sums = parts.iter().map(|part| crc(mem, bank, part)).collect::<Result<_>>();
        let left = mem.batch(&mut [MemOp::write(at(CCR), CCR_CRC), MemOp::write(at(CR), control)]);
        sums.and_then(|sums| left.map(|()| Some(sums)))
    }

    fn protection(&self, mem: &mut MemAp, bank: &Bank) -> Result<Vec<bool>> {
        let sectors_a_bit = layout(bank)?.protect;
        let open = mem.read32(bank.registers + WPSN_CUR)?;
        Ok((0..bank.sectors()).map(|sector| open & (1 << (sector / sectors_a_bit)) == 0).collect())
    }

    fn protected_together(&self, bank: &Bank) -> Result<usize> {
        Ok(layout(bank)?.protect as usize)
    }

    fn protect(&self, bank: &Bank, sectors: &[bool]) -> Result<Vec<(u32, u32)>> {
        let mut open = 0;
        for (bit, group) in sectors.chunks(layout(bank)?.protect as usize).enumerate() {
            if group.iter().any(|sector| *sector != group[0]) {
                let first = bit * group.len();
                let what =
                    format!("sectors {first} through {} of {} are protected together or not at all", first + group.len() - 1, bank.name);
                return Err(Error::usage(what));
            }
            open |= u32::from(!group[0]) << bit;
        }
        Ok(vec![(bank.registers + WPSN_PRG, open)])
    }

    /// RM0433 4.4.3.
    fn options(&self) -> OptionBytes {
        OptionBytes {
            behind_cr: false,
            keyr: OPTKEYR,
            control: OPTCR,
            lock: 1 << 0,
            start: 1 << 1,
            launch: 0,
            status: ("FLASH_OPTSR_CUR", OPTSR_CUR),
            busy: 1 << 0,
            errors: OPTION_ERRORS,
            stands: 1 << OPTCHANGEERR,
            clear: (OPTCCR, 1 << OPTCHANGEERR),
        }
    }

    fn describe(&self, mem: &mut MemAp, bank: &Bank) -> Result<String> {
        let options = mem.read32(shared(bank, OPTSR_CUR))?;
        self.controller(bank)?.describe(mem, readout_code(options), "", &format!("FLASH_OPTSR_CUR = {options:#010x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::controller::decode;
    use crate::flash::fake::bank;

    /// ST's HAL takes 0x17ee0000 for an error of any kind; SNECCERR among it is a corrected bit.
    #[test]
    fn every_error_bit_of_the_controller_decodes_by_its_name() {
        let bits = ERRORS.iter().fold(0, |bits, flag| bits | 1 << flag.bit);
        assert_eq!(bits | SR_SNECCERR, 0x17EE_0000);
        for flag in ERRORS {
            let error = decode(ERRORS, 1 << flag.bit, "FLASH_SR2").unwrap_err();
            assert_eq!(error.message, format!("{}: {} (FLASH_SR2 = {:#010x})", flag.name, flag.text, 1u32 << flag.bit));
            assert!(error.hint.is_some(), "{}", flag.name);
        }
        assert_eq!(decode(ERRORS, SR_SNECCERR | SR_BUSY | 1 << 16, "FLASH_SR1"), Ok(()));
    }

    #[test]
    fn write_protection_is_the_cause_that_several_bits_are_told_by() {
        let error = decode(ERRORS, 1 << 17 | 1 << 18, "FLASH_SR1").unwrap_err();
        assert_eq!(error.message, "WRPERR, PGSERR: sector is write protected (FLASH_SR1 = 0x00060000)");
        assert_eq!(error.kind, Kind::Protected);
    }

    fn at_volts(layout: &str, volts: Option<f32>) -> Bank {
        Bank { layout: layout.into(), volts, ..bank(0, 0x0800_0000, 0x10_0000, 0x2_0000, 32) }
    }

    #[test]
    fn parallelism_follows_the_voltage_and_a_low_one_is_said() {
        let psize = |bank: &Bank| layout(bank).unwrap().psize(bank);
        for (volts, code, said) in [(Some(3.3), 3, false), (Some(1.8), 3, false), (Some(1.79), 2, true), (None, 2, true)] {
            let bank = at_volts("h72x", volts);
            assert_eq!((psize(&bank), Stm32H7.remark(&bank).is_some()), (code << 4, said), "{volts:?}");
        }
        let bank = at_volts("h7ax", Some(1.7));
        assert_eq!((psize(&bank), Stm32H7.remark(&bank)), (0, None));
        assert_eq!(
            Stm32H7.remark(&at_volts("h74x", Some(1.7))).unwrap(),
            "target voltage is 1.70 V: bank1 is written 32 bits at a time, 64 need 1.8 V"
        );
    }

    #[test]
    fn an_unknown_layout_is_an_error_that_lists_the_known() {
        let error = layout(&at_volts("h7rs", None)).err().unwrap();
        assert_eq!(error.message, "stm32h7 has no register layout `h7rs` (there are: h74x, h72x, h7ax)");
    }
}
