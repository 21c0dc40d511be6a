//! Which chip is this: DPIDR, DEV_ID, die row, flash size, banks.

use super::fatal;
use crate::adi::{MemAp, ap};
use crate::desc::{Die, Target, When};
use crate::error::{Error, Result};
use crate::event::Ears;
use crate::flash::Bank;
use crate::probe::{Ap, Port, Probe};
use std::collections::{BTreeMap, BTreeSet};

/// ADIv5.2 B2.2.5: VERSION, bits 31:28, is the silicon's revision and says nothing of the family.
const DPIDR_FAMILY: u32 = 0x0FFF_FFFF;
/// CSW for an AP that is no core's: DBGSWENABLE, master, data. Without DBGSWENABLE on the H7's AP2 the firmware loses
/// APB-D until it is powered off (pyOCD#1312).
const PLAIN_CSW: u32 = 0xA200_0000;

/// DP designs seen on STM32 parts. H7 and G0 are measured; the others are assumed, and only make a message readable.
const DPS: &[(u32, &str)] = &[
    (0x6BA0_2477, "STM32H7 (or H5, L5)"),
    (0x0BC1_1477, "STM32G0 (or C0, L0: Cortex-M0+)"),
    (0x0BB1_1477, "STM32F0 (Cortex-M0)"),
    (0x1BA0_1477, "STM32F1, F2, L1 (Cortex-M3)"),
    (0x2BA0_1477, "STM32F3, F4, G4, L4, WB (Cortex-M4) or a newer STM32F1"),
    (0x5BA0_2477, "STM32F7 (Cortex-M7)"),
    (0x0BE1_2477, "STM32U5 (Cortex-M33)"),
];

/// DEV_IDs for messages only: what is supported is said by the target files. H7 and G0 from st-registers and ST's
/// headers; the others are assumed.
const DEV_IDS: &[(u32, &str)] = &[
    (0x410, "STM32F10x medium density"),
    (0x411, "STM32F2"),
    (0x412, "STM32F10x low density"),
    (0x413, "STM32F405/407/415/417"),
    (0x414, "STM32F10x high density"),
    (0x415, "STM32L47x/48x"),
    (0x416, "STM32L1"),
    (0x417, "STM32L05/06"),
    (0x418, "STM32F105/107"),
    (0x419, "STM32F42x/43x"),
    (0x421, "STM32F446"),
    (0x431, "STM32F411"),
    (0x435, "STM32L43x/44x"),
    (0x440, "STM32F05x/030x8"),
    (0x444, "STM32F03x"),
    (0x445, "STM32F04x/070x6"),
    (0x447, "STM32L07/08"),
    (0x448, "STM32F07x"),
    (0x449, "STM32F74x/75x"),
    (0x450, "STM32H74x/75x"),
    (0x451, "STM32F76x/77x"),
    (0x456, "STM32G05/06"),
    (0x457, "STM32L01/02"),
    (0x460, "STM32G07/08"),
    (0x466, "STM32G03/04"),
    (0x467, "STM32G0B/0C"),
    (0x468, "STM32G43x/44x"),
    (0x469, "STM32G47x/48x"),
    (0x480, "STM32H7Ax/7Bx"),
    (0x483, "STM32H72x/73x"),
    (0x485, "STM32H7Rx/7Sx"),
    (0x495, "STM32WB55"),
];

/// Where families keep IDCODE, through AP0: Cortex-M3 and up, M0 and M0+, H7.
const IDCODES: &[u32] = &[0xE004_2000, 0x4001_5800, 0x5C00_1000];

pub(super) fn dev_name(dev_id: u32) -> Option<&'static str> {
    DEV_IDS.iter().find(|row| row.0 == dev_id).map(|row| row.1)
}

/// Words that were read before anybody asked for them, by AP and address: none of them changes while nobody writes it.
pub(super) type Ahead = BTreeMap<(u8, u32), u32>;

/// Every word behind AP 0 that `find_die` and `flash_kib` may ask for.
pub(super) fn asked(target: &Target, dev_id: u32) -> BTreeSet<u32> {
    let dies = target.dies.iter().filter(|die| die.dev_id == dev_id);
    let words = |die: &Die| {
        let sizes = [&die.flash_size].map(|place| (place.ap, place.address & !3));
        let whens = die.when.iter().filter_map(|when| if let When::Word { ap, address, .. } = when { Some((*ap, *address)) } else { None });
        sizes.into_iter().chain(whens).collect::<Vec<_>>()
    };
    dies.flat_map(words).filter(|(ap, _)| *ap == 0).map(|(_, address)| address).collect()
}

fn read(probe: &mut dyn Probe, target: &Target, ahead: &Ahead, ap: u8, address: u32) -> Result<u32> {
    match ahead.get(&(ap, address)) {
        Some(word) => Ok(*word),
        None => MemAp::new(probe, ap_of(target, ap)).read32(address),
    }
}

/// AP `index` with the CSW the target file wants there.
pub(super) fn ap_of(target: &Target, index: u8) -> Ap {
    let csw = target.cores.iter().find(|row| row.ap == index).map_or(PLAIN_CSW, |row| row.csw);
    Ap { index, csw }
}

/// "the target file stm32h7 covers STM32H74x/75x (DEV_ID 0x450), …"
fn covers(target: &Target) -> String {
    let mut rows: Vec<String> = Vec::new();
    for die in &target.dies {
        let row = format!("{} (DEV_ID {:#05x})", die.name, die.dev_id);
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    format!("the target file {} covers {}", target.name, rows.join(", "))
}

/// `Err` names the family that answered and, where it can be read, the chip.
pub(super) fn check_dpidr(probe: &mut dyn Probe, target: &Target, dpidr: u32) -> Result<()> {
    if (dpidr ^ target.dpidr) & DPIDR_FAMILY == 0 {
        return Ok(());
    }
    let family = DPS.iter().find(|row| (row.0 ^ dpidr) & DPIDR_FAMILY == 0).map(|row| row.1);
    let (what, dev_id) = match stranger(probe) {
        Some((dev_id, name)) => (Some(name), format!(", DEV_ID = {dev_id:#05x}")),
        None => (family, String::new()),
    };
    Err(wrong_chip(target, format!("{}; DPIDR = {dpidr:#010x}{dev_id}", this_is(what))))
}

/// The DEV_ID of a chip the target file is not for, where it is one we can name.
fn stranger(probe: &mut dyn Probe) -> Option<(u32, &'static str)> {
    let ap = Ap { index: 0, csw: PLAIN_CSW };
    IDCODES.iter().find_map(|address| {
        let dev_id = MemAp::new(probe, ap).read32(*address).ok()? & 0xFFF;
        Some((dev_id, dev_name(dev_id)?))
    })
}

fn this_is(name: Option<&str>) -> String {
    name.map_or("this is a chip rocd does not know".to_string(), |name| format!("this is an {name}"))
}

fn wrong_chip(target: &Target, what: String) -> Error {
    Error::target(format!("{what}; {}", covers(target))).hint("give the target file of this chip with -f")
}

/// DEV_ID and REV_ID, from the first place that answers.
pub(super) fn read_idcode(probe: &mut dyn Probe, target: &Target) -> Result<(u32, u32)> {
    let mut last = None;
    for place in &target.idcode {
        match MemAp::new(probe, ap_of(target, place.ap)).read32(place.address) {
            // A G0 answers 0 while NRST is low (psdb's observation).
            Ok(idcode) if idcode & 0xFFF != 0 => return known(target, idcode),
            Ok(idcode) => last = Some(Error::target(format!("IDCODE reads {idcode:#010x} at {:#010x}", place.address))),
            Err(error) if fatal(&error) => return Err(error),
            Err(error) => last = Some(error),
        }
    }
    let error = last.unwrap_or_else(|| Error::target(format!("the target file {} says nowhere to read IDCODE", target.name)));
    Err(super::asleep(error.during("reading IDCODE")).hint("connect under reset: `connect under_reset`"))
}

fn known(target: &Target, idcode: u32) -> Result<(u32, u32)> {
    let dev_id = idcode & 0xFFF;
    if target.dies.iter().any(|die| die.dev_id == dev_id) {
        return Ok((dev_id, idcode >> 16));
    }
    Err(wrong_chip(target, format!("{}; DEV_ID = {dev_id:#05x}", this_is(dev_name(dev_id)))))
}

/// The AP's IDR; 0 or a refusal: nothing there.
pub(super) fn ap_answers(probe: &mut dyn Probe, index: u8) -> Result<bool> {
    match probe.read_reg(Port::Ap(index), ap::IDR) {
        Ok(idr) => Ok(idr != 0),
        Err(error) if fatal(&error) => Err(error),
        Err(_) => Ok(false),
    }
}

/// The first row whose DEV_ID and conditions hold.
pub(super) fn find_die(probe: &mut dyn Probe, target: &Target, ahead: &Ahead, dev_id: u32) -> Result<Die> {
    for die in target.dies.iter().filter(|die| die.dev_id == dev_id) {
        let mut holds = true;
        for when in &die.when {
            holds = holds && condition(probe, target, ahead, die, when)?;
        }
        if holds {
            return Ok(die.clone());
        }
    }
    let name = dev_name(dev_id).unwrap_or("chip");
    Err(wrong_chip(target, format!("this {name} (DEV_ID {dev_id:#05x}) is no variant that the target file knows")))
}

fn condition(probe: &mut dyn Probe, target: &Target, ahead: &Ahead, die: &Die, when: &When) -> Result<bool> {
    match *when {
        When::Ap(index) => ap_answers(probe, index),
        When::FlashKib(kib) => Ok(read_flash_kib(probe, target, ahead, die)? == kib),
        When::Word { ap, address, mask, value } => {
            let word = read(probe, target, ahead, ap, address);
            let word = word.map_err(|error| error.during(format!("telling the variants of {} apart", die.name)))?;
            Ok(word & mask == value)
        }
    }
}

fn read_flash_kib(probe: &mut dyn Probe, target: &Target, ahead: &Ahead, die: &Die) -> Result<u32> {
    let place = &die.flash_size;
    // As a word: not every probe firmware has 16-bit accesses.
    let word = read(probe, target, ahead, place.ap, place.address & !3);
    let word = word.map_err(|error| super::asleep(error.during("reading the flash size register")))?;
    Ok(word >> (8 * (place.address & 2)) & 0xFFFF)
}

/// What the chip says, or the die's most where it says nothing (HAL does the same) or more than the target file knows.
pub(super) fn flash_kib(probe: &mut dyn Probe, target: &Target, ahead: &Ahead, die: &Die, ears: &Ears) -> Result<u32> {
    let (says, most) = (read_flash_kib(probe, target, ahead, die)?, die.flash_size.max_kib);
    if says != 0 && says <= most {
        return Ok(says);
    }
    ears.warn(format!("the flash size register reads {says:#06x} KiB: it is taken for {most} KiB, the most that an {} has", die.name));
    Ok(most)
}

/// The die's bank rows with the chip's flash size shared out among them.
pub(super) fn banks(die: &Die, kib: u32, through: Ap, volts: Option<f32>) -> Vec<Bank> {
    let mut banks: Vec<Bank> = Vec::new();
    for row in &die.banks {
        let size = kib * 1024 / row.share;
        let behind = banks.last().map_or(0, |bank| bank.address + bank.size);
        if size == 0 {
            continue;
        }
        banks.push(Bank {
            name: row.name.clone(),
            number: banks.len(),
            address: row.address.unwrap_or(behind),
            size,
            sector: row.sector,
            word: row.word,
            registers: row.registers,
            layout: die.layout.clone(),
            // Flash is what is in its cells, not what a core's data cache kept of them.
            ap: Ap { csw: through.csw & !ap::CSW_CACHEABLE, ..through },
            volts,
        });
    }
    banks
}
