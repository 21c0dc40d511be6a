//! What the flash controllers share: the cells, the key locks, and who asks.

use super::chip::Ns;
use std::ops::Range;

/// Who makes an access: read protection stops the debugger only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Master {
    Core,
    Debugger,
}

/// What the ECC of one flash word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ecc {
    Erased,
    Written,
    /// A flipped bit that is corrected when read.
    OneBit,
    /// Torn, or programmed twice with different values: not readable until erased.
    TwoBits,
}

const ECC_CODES: [Ecc; 4] = [Ecc::Erased, Ecc::Written, Ecc::OneBit, Ecc::TwoBits];

/// Flash cells with one ECC state for each flash word. Offsets count from the start of the array.
pub struct Cells {
    bytes: Vec<u8>,
    ecc: Vec<Ecc>,
    word: usize,
}

impl Cells {
    pub fn blank(size: usize, word: usize) -> Cells {
        Cells { bytes: vec![0xFF; size], ecc: vec![Ecc::Erased; size / word], word }
    }

    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.bytes[range]
    }

    /// `size` bytes, little-endian, right-aligned.
    pub fn value(&self, offset: usize, size: usize) -> u32 {
        self.bytes[offset..offset + size].iter().rev().fold(0, |sum, byte| sum << 8 | *byte as u32)
    }

    pub fn ecc(&self, offset: usize) -> Ecc {
        self.ecc[offset / self.word]
    }

    pub fn set_ecc(&mut self, offset: usize, ecc: Ecc) {
        self.ecc[offset / self.word] = ecc;
    }

    pub fn erase(&mut self, range: Range<usize>) {
        self.ecc[range.start / self.word..range.end / self.word].fill(Ecc::Erased);
        self.bytes[range].fill(0xFF);
    }

    /// One flash word. Bits only fall; a second, different value leaves data and ECC at odds, except all zeros, which
    /// both can become (facts of real H7: a word is programmed once per erase, zeros excepted).
    pub fn program(&mut self, offset: usize, data: &[u8]) {
        let old = &mut self.bytes[offset..offset + data.len()];
        let clean = self.ecc[offset / self.word] == Ecc::Erased || old == data || data.iter().all(|byte| *byte == 0);
        old.iter_mut().zip(data).for_each(|(old, new)| *old &= new);
        self.ecc[offset / self.word] = if clean { Ecc::Written } else { Ecc::TwoBits };
    }

    /// An operation that was cut short.
    pub fn tear(&mut self, range: Range<usize>) {
        self.ecc[range.start / self.word..range.end.div_ceil(self.word)].fill(Ecc::TwoBits);
    }

    /// From the offset to the end.
    pub fn from(&self, offset: usize) -> &[u8] {
        &self.bytes[offset..]
    }

    /// By the board's own door: the words then are as freshly programmed, or erased if they are all ones. How many of
    /// the bytes there was room for.
    pub fn poke(&mut self, offset: usize, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.bytes.len() - offset);
        self.bytes[offset..offset + len].copy_from_slice(&bytes[..len]);
        for word in offset / self.word..(offset + len).div_ceil(self.word) {
            let blank = self.bytes[word * self.word..(word + 1) * self.word].iter().all(|byte| *byte == 0xFF);
            self.ecc[word] = if blank { Ecc::Erased } else { Ecc::Written };
        }
        len
    }

    pub fn save(&self) -> Vec<u8> {
        let codes = self.ecc.iter().map(|ecc| ECC_CODES.iter().position(|code| code == ecc).unwrap_or(0) as u8);
        self.bytes.iter().copied().chain(codes).collect()
    }

    /// False if the bytes are not a saved array of this size.
    pub fn load(&mut self, saved: &[u8]) -> bool {
        if saved.len() != self.bytes.len() + self.ecc.len() {
            return false;
        }
        let (bytes, codes) = saved.split_at(self.bytes.len());
        self.bytes.copy_from_slice(bytes);
        for (ecc, code) in self.ecc.iter_mut().zip(codes) {
            *ecc = ECC_CODES[*code as usize & 3];
        }
        true
    }
}

/// A lock that two keys in a row open; anything else shuts it until the next reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    Locked,
    HalfOpen,
    Open,
    /// A wrong key was written.
    Dead,
}

impl Lock {
    pub fn is_open(self) -> bool {
        self == Lock::Open
    }

    /// False if the key is wrong: the access then faults (RM0444 3.3.6; the H7 is assumed alike).
    /// A key written while open faults too and changes nothing (assumed).
    pub fn key(&mut self, keys: [u32; 2], value: u32) -> bool {
        let next = match *self {
            Lock::Locked if value == keys[0] => Lock::HalfOpen,
            Lock::HalfOpen if value == keys[1] => Lock::Open,
            Lock::Open => return false,
            _ => Lock::Dead,
        };
        *self = next;
        next != Lock::Dead
    }

    pub fn shut(&mut self) {
        if *self != Lock::Dead {
            *self = Lock::Locked;
        }
    }

    pub fn word(self) -> &'static str {
        match self {
            Lock::Open => "unlocked",
            Lock::Dead => "locked until reset (wrong key)",
            Lock::Locked | Lock::HalfOpen => "locked",
        }
    }
}

/// The names of the bits that are set: "PGSERR|WRPERR", or "none".
pub fn names(table: &[(u32, &str)], value: u32) -> String {
    let set: Vec<&str> = table.iter().filter(|(bit, _)| value >> bit & 1 == 1).map(|(_, name)| *name).collect();
    if set.is_empty() { "none".into() } else { set.join("|") }
}

/// "idle", or until when.
pub fn busy_words(until: Option<Ns>) -> String {
    until.map_or("idle".into(), |until| format!("busy until {:.6} s", until as f64 / 1e9))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_programmed_once_except_with_the_same_or_with_zeros() {
        let mut cells = Cells::blank(64, 16);
        cells.program(16, &[0x0F; 16]);
        assert_eq!(cells.ecc(16), Ecc::Written);
        cells.program(16, &[0x0F; 16]);
        assert_eq!(cells.ecc(31), Ecc::Written);
        cells.program(16, &[0xF1; 16]);
        assert_eq!((cells.ecc(16), cells.value(16, 1)), (Ecc::TwoBits, 0x01));
        cells.program(16, &[0; 16]);
        assert_eq!((cells.ecc(16), cells.value(16, 1)), (Ecc::Written, 0));
        assert_eq!(cells.ecc(0), Ecc::Erased);
        cells.erase(16..32);
        assert_eq!((cells.ecc(16), cells.value(16, 1)), (Ecc::Erased, 0xFF));
    }

    #[test]
    fn a_wrong_key_shuts_the_lock_for_good() {
        let mut lock = Lock::Locked;
        assert!(lock.key([1, 2], 1) && lock.key([1, 2], 2) && lock.is_open());
        assert!(!lock.key([1, 2], 1), "keys while open fault");
        lock.shut();
        assert!(lock.key([1, 2], 1) && !lock.key([1, 2], 1));
        assert_eq!(lock, Lock::Dead);
        assert!(!lock.key([1, 2], 1) && !lock.key([1, 2], 2) && !lock.is_open());
    }

    #[test]
    fn what_is_saved_loads_again() {
        let mut cells = Cells::blank(64, 32);
        assert_eq!(cells.poke(33, &[5; 40]), 31);
        cells.set_ecc(0, Ecc::OneBit);
        let mut other = Cells::blank(64, 32);
        assert!(other.load(&cells.save()));
        assert_eq!((other.value(33, 1), other.ecc(32), other.ecc(0)), (5, Ecc::Written, Ecc::OneBit));
        assert!(!other.load(&[0; 3]));
    }
}
