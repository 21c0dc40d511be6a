//! Option bytes of STM32G0 (RM0444 3.4): 0x1FFF7800, each word followed by its complement; the registers show what was
//! loaded at power-on or by OBL_LAUNCH, writes to them wait for OPTSTRT.

use super::super::chip::Ns;
use super::super::flash::Lock;
use super::super::soc::Hardware;
use super::{Banks, ERASE_BANK, G0, PAGE};

pub const SIZE: u32 = 0x80;
const KEYS: [u32; 2] = [0x0819_2A3B, 0x4C5D_6E7F];
/// Erase and program of the option page (assumed: a page erase and its words).
const CHANGE: Ns = 25_000_000;
/// Bytes of a PCROP unit.
const PCROP_UNIT: usize = 512;

/// Places in `ROWS`; an area's end follows its start.
mod word {
    pub const OPTR: usize = 0;
    pub const PCROP1A: usize = 1;
    pub const WRP1A: usize = 3;
    pub const WRP1B: usize = 4;
    pub const PCROP1B: usize = 5;
    pub const PCROP2A: usize = 7;
    pub const WRP2A: usize = 9;
    pub const WRP2B: usize = 10;
    pub const PCROP2B: usize = 11;
    pub const SECR: usize = 13;
}

struct Row {
    /// Offset of the register, and of the word in 0x1FFF7800 (RM0490 4.4.1; bank 2's are assumed).
    register: u32,
    memory: u32,
    needs: Needs,
}

#[derive(Clone, Copy, PartialEq)]
enum Needs {
    Nothing,
    Extended,
    TwoBanks,
}

const fn row(register: u32, memory: u32, needs: Needs) -> Row {
    Row { register, memory, needs }
}

const ROWS: [Row; 14] = [
    row(0x20, 0x00, Needs::Nothing),
    row(0x24, 0x08, Needs::Extended),
    row(0x28, 0x10, Needs::Extended),
    row(0x2C, 0x18, Needs::Nothing),
    row(0x30, 0x20, Needs::Nothing),
    row(0x34, 0x28, Needs::Extended),
    row(0x38, 0x30, Needs::Extended),
    row(0x44, 0x38, Needs::TwoBanks),
    row(0x48, 0x40, Needs::TwoBanks),
    row(0x4C, 0x48, Needs::TwoBanks),
    row(0x50, 0x50, Needs::TwoBanks),
    row(0x54, 0x58, Needs::TwoBanks),
    row(0x58, 0x60, Needs::TwoBanks),
    row(0x80, 0x70, Needs::Extended),
];

/// No PCROP, no write protection (start above end), no secure area: what new chips were seen to hold.
const FACTORY: [u32; 14] = [0, u32::MAX, 0, 0x0000_00FF, 0x0000_00FF, u32::MAX, 0, u32::MAX, 0, 0x0000_00FF, 0x0000_00FF, u32::MAX, 0, 0];

/// What loads where a word and its complement disagree: every user option 1 but BOR_EN, level 1, PCROP everywhere, no write
/// protection, BOOT_LOCK (RM0490 4.4.2; that all words load so, and SEC_SIZE 0, is assumed).
const MISMATCH: [u32; 14] = {
    let mut words = [u32::MAX; 14];
    words[word::OPTR] = 0xFFFF_FEFF;
    words[word::WRP1A] = 0x0000_00FF;
    words[word::WRP1B] = 0x0000_00FF;
    words[word::WRP2A] = 0x0000_00FF;
    words[word::WRP2B] = 0x0000_00FF;
    words[word::SECR] = BOOT_LOCK;
    words
};
/// In PCROP1AER.
const PCROP_RDP: u32 = 1 << 31;
const AREAS: [usize; 4] = [word::PCROP1A, word::PCROP1B, word::PCROP2A, word::PCROP2B];
const IWDG_SW: u32 = 1 << 16;
const WWDG_SW: u32 = 1 << 19;
const N_SWAP_BANK: u32 = 1 << 20;
const RAM_PARITY_OFF: u32 = 1 << 22;
const N_BOOT_SEL: u32 = 1 << 24;
const N_BOOT1: u32 = 1 << 25;
const N_BOOT0: u32 = 1 << 26;
const BOOT_LOCK: u32 = 1 << 16;

/// What the core boots from, as SYSCFG_CFGR1.MEM_MODE numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    Flash = 0,
    System = 1,
    Ram = 3,
}

pub struct Options {
    chip: &'static G0,
    pub lock: Lock,
    memory: Vec<u8>,
    loaded: [u32; 14],
    pending: [u32; 14],
    /// The last load found a word and its complement at odds.
    mismatch: bool,
}

impl Options {
    pub fn new(chip: &'static G0) -> Options {
        let mut factory = FACTORY;
        factory[word::OPTR] = chip.optr;
        let memory = vec![0xFF; SIZE as usize];
        let mut options = Options { chip, lock: Lock::Locked, memory, loaded: factory, pending: factory, mismatch: false };
        options.store(factory);
        options
    }

    fn has(&self, needs: Needs) -> bool {
        match needs {
            Needs::Nothing => true,
            Needs::Extended => self.chip.extended,
            Needs::TwoBanks => self.chip.banks == Banks::Two,
        }
    }

    fn store(&mut self, words: [u32; 14]) {
        for (row, word) in ROWS.iter().zip(words) {
            let at = row.memory as usize;
            self.memory[at..at + 4].copy_from_slice(&word.to_le_bytes());
            self.memory[at + 4..at + 8].copy_from_slice(&(!word).to_le_bytes());
        }
    }

    /// False: a word and its complement disagree.
    pub fn reset(&mut self, load: bool) -> bool {
        self.lock = Lock::Locked;
        if load {
            self.mismatch = !self.check();
            self.loaded = if self.mismatch { MISMATCH } else { ROWS.map(|row| self.memory(row.memory, 4)) };
        }
        self.pending = self.loaded;
        !(load && self.mismatch)
    }

    /// BOOT_LOCK with level 1: a reset clears DBG_SWEN, and only firmware sets it (RM0490 4.5.6; not after a failed load, 4.4.2).
    pub fn debug_sealed(&self) -> bool {
        self.chip.extended && !self.mismatch && self.rdp() == 1 && self.word(word::SECR) & BOOT_LOCK != 0
    }

    fn check(&self) -> bool {
        let rows = ROWS.iter().filter(|row| self.has(row.needs));
        rows.map(|row| row.memory).all(|at| self.memory(at, 4) == !self.memory(at + 4, 4))
    }

    pub fn memory(&self, offset: u32, size: usize) -> u32 {
        let at = offset as usize;
        self.memory[at..at + size].iter().rev().fold(0, |sum, byte| sum << 8 | *byte as u32)
    }

    /// A byte of a word takes its complement along, so that it loads; a byte of a complement stays alone.
    pub fn poke(&mut self, offset: u32, byte: u8) -> usize {
        self.memory[offset as usize] = byte;
        if offset & 4 == 0 {
            self.memory[offset as usize + 4] = !byte;
        }
        1
    }

    /// The bytes from this offset to the end.
    pub fn from(&self, offset: u32) -> &[u8] {
        &self.memory[offset as usize..]
    }

    /// A reset in mid-change: nothing matches its complement.
    pub fn tear(&mut self) {
        self.memory.fill(0xFF);
    }

    /// OPTKEYR counts only while CR is unlocked (RM0444 3.7.3; else the key is wrong).
    pub fn key(&mut self, unlocked: bool, value: u32) -> bool {
        if !unlocked {
            self.lock = Lock::Dead;
            return false;
        }
        self.lock.key(KEYS, value)
    }

    fn find(&self, offset: u32) -> Option<usize> {
        ROWS.iter().position(|row| row.register == offset && self.has(row.needs))
    }

    pub fn reg(&self, offset: u32) -> Option<u32> {
        self.find(offset).map(|index| self.loaded[index])
    }

    /// Kept until OPTSTRT; the register goes on reading what was loaded (RM0444 p. 90).
    pub fn write(&mut self, offset: u32, value: u32) -> bool {
        let Some(index) = self.find(offset) else { return false };
        if self.lock.is_open() {
            self.pending[index] = value;
        }
        true
    }

    /// By the board's own door, through a register: loaded and stored at once.
    pub fn poke_reg(&mut self, offset: u32, value: u32) -> bool {
        let Some(index) = self.find(offset) else { return false };
        self.loaded[index] = value;
        self.pending = self.loaded;
        self.store(self.loaded);
        true
    }

    /// How long the change takes; `None`: refused, level 2 is for ever.
    pub fn start(&self) -> Option<Ns> {
        if self.rdp() == 2 {
            return None;
        }
        Some(CHANGE + if self.regresses() { ERASE_BANK } else { 0 })
    }

    fn regresses(&self) -> bool {
        self.rdp() == 1 && level(self.pending[word::OPTR]) == 0
    }

    /// Some: RDP falls from 1 to 0, so everything is to be erased, but for PCROP areas if this is true. Areas only grow,
    /// PCROP_RDP is only set and BOOT_LOCK stays, but for that fall (RM0490 4.5.1, 4.5.2, 4.5.6).
    pub fn program(&mut self) -> Option<bool> {
        let erase = self.regresses();
        let all = self.pending[word::PCROP1A + 1] & PCROP_RDP != 0;
        let none = AREAS.iter().all(|start| self.area([self.loaded[*start], self.loaded[*start + 1]]).is_none());
        let mut words = self.pending;
        for start in AREAS {
            let old = self.area([self.loaded[start], self.loaded[start + 1]]);
            let new = self.area([words[start], words[start + 1]]);
            let grows = old.is_none_or(|old| new.is_some_and(|new| new.0 <= old.0 && old.1 <= new.1));
            match erase && all {
                true => (words[start], words[start + 1]) = (FACTORY[start], FACTORY[start + 1]),
                false if !grows => (words[start], words[start + 1]) = (self.loaded[start], self.loaded[start + 1]),
                false => (),
            }
        }
        if !erase {
            words[word::PCROP1A + 1] |= self.loaded[word::PCROP1A + 1] & PCROP_RDP;
        }
        if self.rdp() != 0 && !(erase && (all || none)) {
            words[word::SECR] |= self.loaded[word::SECR] & BOOT_LOCK;
        }
        self.store(words);
        erase.then_some(!all)
    }

    /// First and last unit; equal: all of the bank.
    fn area(&self, [start, end]: [u32; 2]) -> Option<(u32, u32)> {
        let mask = (1 << self.chip.pcrop_bits) - 1;
        match (start & mask, end & mask) {
            (start, end) if start == end => Some((0, mask)),
            (start, end) => (start < end).then_some((start, end)),
        }
    }

    fn word(&self, index: usize) -> u32 {
        self.loaded[index]
    }

    pub fn rdp(&self) -> u8 {
        level(self.word(word::OPTR))
    }

    pub fn swapped(&self) -> bool {
        self.word(word::OPTR) & N_SWAP_BANK == 0
    }

    pub fn parity_off(&self) -> bool {
        self.word(word::OPTR) & RAM_PARITY_OFF != 0
    }

    /// OPTR.IWDG_SW and WWDG_SW: 0 starts the watchdog with every reset.
    pub fn hardware_watchdogs(&self) -> Hardware {
        let optr = self.word(word::OPTR);
        Hardware { independent: optr & IWDG_SW == 0, window: optr & WWDG_SW == 0 }
    }

    /// The table of RM0444 2.5.
    pub fn boot(&self, pin: bool, empty: bool) -> Boot {
        let optr = self.word(word::OPTR);
        let locked = self.chip.extended && self.word(word::SECR) & BOOT_LOCK != 0;
        let boot0 = if optr & N_BOOT_SEL != 0 { optr & N_BOOT0 == 0 } else { pin };
        match (boot0, optr & N_BOOT1 != 0) {
            _ if locked => Boot::Flash,
            (false, _) if empty => Boot::System,
            (false, _) => Boot::Flash,
            (true, true) => Boot::System,
            (true, false) => Boot::Ram,
        }
    }

    /// `offset` counts within the bank.
    pub fn write_protected(&self, bank: usize, offset: usize) -> bool {
        let page = (offset / PAGE) as u32;
        let areas = [[word::WRP1A, word::WRP1B], [word::WRP2A, word::WRP2B]][bank];
        let mask = (1 << self.chip.wrp_bits) - 1;
        let mut inside = areas.iter().map(|area| self.word(*area));
        inside.any(|area| (area & mask..=area >> 16 & mask).contains(&page)) || self.in_pcrop(bank, offset)
    }

    pub fn in_pcrop(&self, bank: usize, offset: usize) -> bool {
        let areas = [[word::PCROP1A, word::PCROP1B], [word::PCROP2A, word::PCROP2B]][bank];
        let unit = (offset / PCROP_UNIT) as u32;
        let area = |start: &usize| self.area([self.loaded[*start], self.loaded[*start + 1]]);
        self.chip.extended && areas.iter().filter_map(area).any(|(first, last)| (first..=last).contains(&unit))
    }

    pub fn in_secure(&self, bank: usize, offset: usize) -> bool {
        let pages = self.word(word::SECR) >> [0, 20][bank] & ((1 << self.chip.sec_bits) - 1);
        self.chip.extended && ((offset / PAGE) as u32) < pages
    }

    pub fn report(&self) -> Vec<String> {
        let mut line = format!("options: {}, RDP level {}", self.lock.word(), self.rdp());
        if self.pending != self.loaded {
            line += ", changed but not loaded";
        }
        for (name, word) in [("OPTR", word::OPTR), ("WRP1AR", word::WRP1A), ("WRP1BR", word::WRP1B)] {
            line += &format!(", {name} = 0x{:08x}", self.word(word));
        }
        vec![line]
    }

    pub fn save(&self) -> Vec<u8> {
        self.memory.clone()
    }

    pub fn load(&mut self, bytes: &[u8]) -> bool {
        let fits = bytes.len() == self.memory.len();
        if fits {
            self.memory.copy_from_slice(bytes);
        }
        fits
    }
}

fn level(optr: u32) -> u8 {
    match optr & 0xFF {
        0xAA => 0,
        0xCC => 2,
        _ => 1,
    }
}
