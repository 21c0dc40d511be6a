//! For tests: a chip driven by raw register accesses through its first access port.

use super::chip::{BusError, Chip, Ns, Size};
use super::chips;

pub struct Rig {
    pub chip: Chip,
    now: Ns,
}

pub const MS: Ns = 1_000_000;

impl Rig {
    pub fn new(name: &str) -> Rig {
        Rig { chip: Chip::new(chips::find(name).expect("a row of this name")), now: 0 }
    }

    pub fn pass(&mut self, time: Ns) {
        self.now += time;
        self.chip.advance(self.now);
    }

    pub fn now(&self) -> Ns {
        self.now
    }

    pub fn try_read(&mut self, address: u32) -> Result<u32, BusError> {
        self.chip.read(0, 0, address, Size::Word)
    }

    pub fn try_write(&mut self, address: u32, value: u32) -> Result<(), BusError> {
        self.chip.write(0, 0, address, Size::Word, value)
    }

    #[track_caller]
    pub fn read(&mut self, address: u32) -> u32 {
        self.try_read(address).unwrap_or_else(|error| panic!("read of {address:#010x}: {error:?}"))
    }

    #[track_caller]
    pub fn write(&mut self, address: u32, value: u32) {
        self.try_write(address, value).unwrap_or_else(|error| panic!("write of {address:#010x}: {error:?}"));
    }

    #[track_caller]
    pub fn write_all(&mut self, writes: &[(u32, u32)]) {
        writes.iter().for_each(|(address, value)| self.write(*address, *value));
    }

    /// Consecutive words.
    #[track_caller]
    pub fn store(&mut self, address: u32, words: &[u32]) {
        words.iter().enumerate().for_each(|(index, word)| self.write(address + 4 * index as u32, *word));
    }

    pub fn poke(&mut self, address: u32, word: u32) {
        let bytes = word.to_le_bytes();
        assert!((0..4).all(|at| self.chip.poke(address + at as u32, bytes[at])), "nothing at {address:#010x}");
    }

    pub fn peek(&self, address: u32) -> u32 {
        let bytes = [0, 1, 2, 3].map(|at| self.chip.peek(address + at).expect("memory is there"));
        u32::from_le_bytes(bytes)
    }
}
