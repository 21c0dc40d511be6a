//! Option bytes of STM32H7 (RM0433 4.4): programmed values, the _CUR and _PRG registers, OPTCR.

use super::super::chip::{BusError, Ns};
use super::super::flash::Lock;
use super::{H7, sr};
use std::ops::Range;

const KEYS: [u32; 2] = [0x0819_2A3B, 0x4C5D_6E7F];
/// An option change without erase (assumed: no source gives it).
const CHANGE: Ns = 20_000_000;
/// VDDMMC_HSLV down to OPT_BUSY: what OPTSR_PRG takes (RM0433 4.9.9); bit 28 and the flags are read-only.
const OPTSR_MASK: u32 = 0xA3FF_FFFC;
const OPT_BUSY: u32 = 1 << 0;
const IWDG1_SW: u32 = 1 << 4;
const SECURITY: u32 = 1 << 21;
/// Dual core (RM0399 4.9.9).
const BCM4: u32 = 1 << 22;
const BCM7: u32 = 1 << 23;
const CHANGE_ERROR: u32 = 1 << 30;
const SWAP: u32 = 1 << 31;
/// DMEP in PRAR, DMES in SCAR: the area is erased when RDP falls.
const ERASE_AREA: u32 = 1 << 31;

mod optcr {
    pub const OPTSTART: u32 = 1 << 1;
    pub const MER: u32 = 1 << 4;
    pub const PG_OTP: u32 = 1 << 5;
    pub const IE: u32 = 1 << 30;
}

/// What the option bytes hold; the areas and protections by bank.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Words {
    optsr: u32,
    boot: u32,
    /// Dual core: the second core's.
    boot4: u32,
    optsr2: u32,
    otpbl: u32,
    prar: [u32; 2],
    scar: [u32; 2],
    wpsn: [u32; 2],
}

impl Words {
    /// BOOT_ADD0 0x0800, ADD1 0x1FF0 (RM0433); no area (start above end) and no protection.
    fn factory(chip: &H7) -> Words {
        Words {
            optsr: chip.optsr,
            boot: 0x1FF0_0800,
            boot4: chip.boot4.unwrap_or(0),
            optsr2: 0,
            otpbl: 0,
            prar: [0x0000_00FF; 2],
            scar: [0x0000_00FF; 2],
            wpsn: [wpsn_mask(chip); 2],
        }
    }

    fn all(&mut self, chip: &H7) -> Vec<&mut u32> {
        let ([p0, p1], [s0, s1], [w0, w1]) = (&mut self.prar, &mut self.scar, &mut self.wpsn);
        let all = [&mut self.optsr, &mut self.boot, &mut self.optsr2, &mut self.otpbl, p0, p1, s0, s1, w0, w1];
        all.into_iter().chain(chip.boot4.map(|_| &mut self.boot4)).collect()
    }

    /// The word behind a _CUR register, and the bits that can be changed.
    fn of(&mut self, chip: &H7, bank: usize, offset: u32) -> Option<(&mut u32, u32)> {
        Some(match offset {
            0x1C => (&mut self.optsr, OPTSR_MASK),
            0x28 => (&mut self.prar[bank], 0x8FFF_0FFF),
            0x30 => (&mut self.scar[bank], 0x8FFF_0FFF),
            0x38 => (&mut self.wpsn[bank], wpsn_mask(chip)),
            0x40 => (&mut self.boot, u32::MAX),
            0x48 if chip.boot4.is_some() => (&mut self.boot4, u32::MAX),
            0x68 if chip.otp.is_some() => (&mut self.otpbl, 0xFFFF),
            0x70 if chip.optsr2 => (&mut self.optsr2, 7),
            _ => return None,
        })
    }

    fn rdp(&self) -> u8 {
        level(self.optsr)
    }

    /// May these words become those? (RM0399 4.4.3, "Changing security option bytes")
    fn may_become(&self, new: &Words) -> bool {
        let falls = self.rdp() == 1 && new.rdp() == 0;
        // At level 2 only the banks may be swapped.
        let swapped = Words { optsr: self.optsr & !SWAP | new.optsr & SWAP, ..*self };
        if self.rdp() == 2 {
            return *new == swapped;
        }
        let banks = || (0..2).map(|bank| [(self.prar[bank], new.prar[bank], true), (self.scar[bank], new.scar[bank], false)]);
        // Execute-only areas grow freely; secure-only areas are the secure code's, which the debugger is not.
        let areas = banks().flatten().all(|(old, new, grows)| {
            let erased = falls && (old | new) & ERASE_AREA != 0;
            let flag = falls || old & !new & ERASE_AREA == 0;
            let (was, is) = (area(old), area(new));
            let larger = was.is_none_or(|was| is.is_some_and(|is| is.0 <= was.0 && was.1 <= is.1));
            flag && (erased || if grows { larger } else { (old ^ new) & !ERASE_AREA == 0 })
        });
        let none = banks().flatten().all(|(old, ..)| area(old).is_none());
        let leaves = self.optsr & !new.optsr & SECURITY != 0;
        areas && (!leaves || none || falls && banks().flatten().all(|(old, new, _)| (old | new) & ERASE_AREA != 0))
    }
}

/// First and last 256 bytes of an area; equal: all of the bank.
fn area(word: u32) -> Option<(u32, u32)> {
    match (word & 0xFFF, word >> 16 & 0xFFF) {
        (start, end) if start == end => Some((0, 0xFFF)),
        (start, end) => (start < end).then_some((start, end)),
    }
}

fn wpsn_mask(chip: &H7) -> u32 {
    ((1u64 << (chip.bank_size / chip.sector).div_ceil(chip.wrp_group)) - 1) as u32
}

fn level(optsr: u32) -> u8 {
    match optsr >> 8 & 0xFF {
        0xAA => 0,
        0xCC => 2,
        _ => 1,
    }
}

fn in_area(word: u32, offset: u32) -> bool {
    area(word).is_some_and(|(start, end)| (start..=end).contains(&(offset / 256)))
}

/// Areas that are kept when RDP falls, by kind and bank (RM0399 4.5.3: their sectors are not erased).
pub(super) struct Kept([[Option<(u32, u32)>; 2]; 2]);

impl Kept {
    pub fn holds(&self, bank: usize, sector: Range<u32>) -> bool {
        self.0.iter().filter_map(|areas| areas[bank]).any(|(start, end)| start * 256 < sector.end && sector.start < (end + 1) * 256)
    }
}

pub(super) struct Options {
    chip: &'static H7,
    cur: Words,
    prg: Words,
    lock: Lock,
    error: bool,
    interrupt: u32,
    pub pg_otp: bool,
    /// The banks' places in the address map, as of the last reset.
    pub swapped: bool,
    /// As of the last reset: boot addresses and level 2 act then.
    loaded: Words,
    /// Until when, and whether everything is erased at its end.
    change: Option<(Ns, bool)>,
}

impl Options {
    pub fn new(chip: &'static H7) -> Options {
        let words = Words::factory(chip);
        Options {
            chip,
            cur: words,
            prg: words,
            lock: Lock::Locked,
            error: false,
            interrupt: 0,
            pg_otp: false,
            swapped: false,
            loaded: words,
            change: None,
        }
    }

    /// Boot addresses, swap and level 2 take effect at any reset (assumed: some of it may need power-on).
    pub fn reset(&mut self) {
        self.lock = Lock::Locked;
        self.error = false;
        self.interrupt = 0;
        self.pg_otp = false;
        self.change = None;
        self.prg = self.cur;
        self.loaded = self.cur;
        self.swapped = self.chip.can_swap && self.cur.optsr & SWAP != 0;
    }

    pub fn rdp(&self) -> u8 {
        self.cur.rdp()
    }

    pub fn loaded_rdp(&self) -> u8 {
        self.loaded.rdp()
    }

    pub fn hardware_watchdog(&self) -> bool {
        self.loaded.optsr & IWDG1_SW == 0
    }

    pub fn boot_address(&self, boot_pin: bool) -> u32 {
        if boot_pin { self.loaded.boot & 0xFFFF_0000 } else { self.loaded.boot << 16 }
    }

    pub fn second_boot_address(&self, boot_pin: bool) -> u32 {
        if boot_pin { self.loaded.boot4 & 0xFFFF_0000 } else { self.loaded.boot4 << 16 }
    }

    pub fn boots(&self) -> (bool, bool) {
        (self.loaded.optsr & BCM7 != 0, self.loaded.optsr & BCM4 != 0)
    }

    /// The error flag that reading here raises, or 0.
    pub fn read_error(&self, bank: usize, offset: u32) -> u32 {
        if in_area(self.cur.prar[bank], offset) {
            sr::RDPERR
        } else if self.cur.optsr & SECURITY != 0 && in_area(self.cur.scar[bank], offset) {
            sr::RDSERR
        } else {
            0
        }
    }

    pub fn write_protected(&self, bank: usize, offset: u32) -> bool {
        let group = offset / self.chip.sector / self.chip.wrp_group;
        self.cur.wpsn[bank] >> group & 1 == 0 || self.read_error(bank, offset) != 0
    }

    /// 64 half words of OTP to a block (RM0455 4.3.10: 16 blocks of 64 bytes).
    pub fn otp_locked(&self, offset: usize) -> bool {
        self.cur.otpbl >> (offset / 64) & 1 == 1
    }

    pub fn reg(&self, bank: usize, offset: u32) -> Option<u32> {
        match offset {
            0x18 => {
                let flags = (self.pg_otp as u32) << 5 | (self.swapped as u32) << 31 | self.interrupt;
                Some(!self.lock.is_open() as u32 | flags)
            }
            0x1C => {
                let flags = self.change.map_or(0, |_| OPT_BUSY) | if self.error { CHANGE_ERROR } else { 0 };
                Some(self.cur.optsr | flags)
            }
            // Words are Copy: `of` needs them mutable only for its other caller.
            _ => {
                let (mut cur, mut prg) = (self.cur, self.prg);
                let word = cur.of(self.chip, bank, offset).or(prg.of(self.chip, bank, offset.wrapping_sub(4)));
                word.map(|(word, _)| *word)
            }
        }
    }

    /// False: reserved. _CUR is read-only, _PRG needs OPTCR unlocked.
    pub fn write(&mut self, chip: &H7, bank: usize, offset: u32, value: u32) -> Result<bool, BusError> {
        let open = self.lock.is_open() && self.change.is_none();
        match offset {
            0x08 if !self.lock.key(KEYS, value) => return Err(BusError::Fault),
            0x08 => (),
            0x24 if value & CHANGE_ERROR != 0 => self.error = false,
            0x24 => (),
            _ if self.cur.of(chip, bank, offset).is_some() => (),
            _ => match self.prg.of(chip, bank, offset.wrapping_sub(4)) {
                Some((word, mask)) if open => *word = *word & !mask | value & mask,
                Some(_) => (),
                None => return Ok(false),
            },
        }
        Ok(true)
    }

    /// True: MER was asked for.
    pub fn write_optcr(&mut self, chip: &H7, now: Ns, value: u32) -> bool {
        if !self.lock.is_open() {
            return false;
        }
        self.interrupt = value & optcr::IE;
        self.pg_otp = chip.otp.is_some() && value & optcr::PG_OTP != 0;
        if value & optcr::OPTSTART != 0 {
            self.start(chip, now);
        }
        if value & 1 == 1 {
            self.lock.shut();
        }
        value & optcr::MER != 0 && chip.banks == 2
    }

    /// What the rules do not allow is an error, and the programmed words stay to be looked at (RM0399 4.4.3); so is a start
    /// while an earlier error stands (assumed).
    fn start(&mut self, chip: &H7, now: Ns) {
        if self.change.is_some() {
            return;
        }
        if self.error || !self.cur.may_become(&self.prg) {
            self.error = true;
            return;
        }
        let erase = self.cur.rdp() == 1 && self.prg.rdp() == 0;
        let time = CHANGE + if erase { chip.times.bank[3] } else { 0 };
        self.change = Some((now + time, erase));
    }

    /// When the change ends that is under way.
    pub fn until(&self) -> Option<Ns> {
        self.change.map(|(until, _)| until)
    }

    /// Some: the change that just ended took RDP from 1 to 0, and these are the words before it.
    pub fn advance(&mut self, now: Ns) -> Option<Kept> {
        let (_, erase) = self.change.take_if(|(until, _)| *until <= now)?;
        let (old, new) = (self.cur, self.prg);
        self.cur = self.prg;
        let keeps = |old: [u32; 2], new: [u32; 2]| [0, 1].map(|bank| area(old[bank]).filter(|_| (old[bank] | new[bank]) & ERASE_AREA == 0));
        erase.then(|| Kept([keeps(old.prar, new.prar), keeps(old.scar, new.scar)]))
    }

    pub fn poke(&mut self, bank: usize, offset: u32, value: u32) -> bool {
        let Some((word, _)) = self.cur.of(self.chip, bank, offset) else { return false };
        *word = value;
        self.prg = self.cur;
        true
    }

    pub fn report(&self, chip: &H7) -> Vec<String> {
        let state = if self.change.is_some() { "being changed" } else { self.lock.word() };
        let swap = if self.swapped { ", banks swapped" } else { "" };
        let error = if self.error { ", OPTCHANGEERR" } else { "" };
        let mut lines = vec![format!(
            "options: {state}{error}, RDP level {}{swap}, OPTSR = 0x{:08x}, BOOT = 0x{:08x}",
            self.cur.rdp(),
            self.cur.optsr,
            self.cur.boot,
        )];
        for bank in 0..chip.banks {
            lines.push(format!(
                "options of bank {}: WPSN = 0x{:x}, PRAR = 0x{:08x}, SCAR = 0x{:08x}",
                bank + 1,
                self.cur.wpsn[bank],
                self.cur.prar[bank],
                self.cur.scar[bank],
            ));
        }
        lines
    }

    pub fn save(&self) -> Vec<u8> {
        { self.cur }.all(self.chip).iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    pub fn load(&mut self, bytes: &[u8]) -> bool {
        let words = self.cur.all(self.chip);
        if bytes.len() != words.len() * 4 {
            return false;
        }
        for (word, bytes) in words.into_iter().zip(bytes.chunks_exact(4)) {
            *word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        self.prg = self.cur;
        true
    }
}
