//! Bytes and words behind one access port: alignment and width are settled here, once.

pub use crate::probe::dap::{ap, dp};

use crate::error::Result;
use crate::probe::{Ap, MemOp, Probe, Width};
use std::time::Duration;

/// A probe and one of its APs, borrowed for a while.
pub struct MemAp<'a> {
    pub probe: &'a mut dyn Probe,
    pub ap: Ap,
}

impl<'a> MemAp<'a> {
    pub fn new(probe: &'a mut dyn Probe, ap: Ap) -> MemAp<'a> {
        MemAp { probe, ap }
    }

    pub fn read32(&mut self, address: u32) -> Result<u32> {
        let mut word = [0; 4];
        self.probe.read_mem(self.ap, Width::Word, address, &mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    pub fn write32(&mut self, address: u32, value: u32) -> Result<()> {
        self.probe.write_mem(self.ap, Width::Word, address, &value.to_le_bytes())
    }

    /// Accesses of `width`; address and length aligned to it.
    pub fn read_width(&mut self, width: Width, address: u32, buf: &mut [u8]) -> Result<()> {
        self.probe.read_mem(self.ap, width, address, buf)
    }

    pub fn write_width(&mut self, width: Width, address: u32, data: &[u8]) -> Result<()> {
        self.probe.write_mem(self.ap, width, address, data)
    }

    /// Any address, any length: words in the middle, bytes at the ends.
    pub fn read(&mut self, address: u32, buf: &mut [u8]) -> Result<()> {
        let mut rest = buf;
        for (width, at, len) in parts(address, rest.len()) {
            let (part, behind) = rest.split_at_mut(len);
            self.probe.read_mem(self.ap, width, at, part)?;
            rest = behind;
        }
        Ok(())
    }

    /// Any address, any length. Only the bytes named are written: the ends are byte accesses, never a word that was
    /// read, changed and written back, which would undo what the core stored in between.
    pub fn write(&mut self, address: u32, data: &[u8]) -> Result<()> {
        let mut rest = data;
        for (width, at, len) in parts(address, rest.len()) {
            let (part, behind) = rest.split_at(len);
            self.probe.write_mem(self.ap, width, at, part)?;
            rest = behind;
        }
        Ok(())
    }

    /// `register = (register & !mask) | value`; returns what it was.
    pub fn update(&mut self, address: u32, mask: u32, value: u32) -> Result<u32> {
        let old = self.read32(address)?;
        self.write32(address, (old & !mask) | value)?;
        Ok(old)
    }

    pub fn batch(&mut self, ops: &mut [MemOp]) -> Result<()> {
        self.probe.batch(self.ap, ops)
    }

    pub fn now(&self) -> Duration {
        self.probe.now()
    }

    pub fn sleep(&mut self, d: Duration) {
        self.probe.sleep(d)
    }
}

/// Width, address and length: bytes up to the first aligned word, whole words, the bytes behind them; none that is empty.
fn parts(address: u32, len: usize) -> impl Iterator<Item = (Width, u32, usize)> {
    let head = (address.wrapping_neg() as usize % 4).min(len);
    let words = (len - head) / 4 * 4;
    let parts = [(Width::Byte, 0, head), (Width::Word, head, words), (Width::Byte, head + words, len - head - words)];
    parts.into_iter().filter(|part| part.2 > 0).map(move |(width, offset, len)| (width, address.wrapping_add(offset as u32), len))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::fake::Words;

    /// 64 KiB of memory at 0 that notes each access and refuses unaligned ones.
    struct Memory {
        bytes: Vec<u8>,
        log: Vec<(Width, u32, usize)>,
    }

    impl Memory {
        fn new() -> Memory {
            Memory { bytes: (0..=255).cycle().take(256 * 256).collect(), log: vec![] }
        }
    }

    impl Words for Memory {
        fn read(&mut self, _: u8, address: u32) -> Result<u32> {
            Ok(u32::from_le_bytes(self.bytes[address as usize..][..4].try_into().unwrap()))
        }
        fn write(&mut self, _: u8, address: u32, value: u32) -> Result<()> {
            self.bytes[address as usize..][..4].copy_from_slice(&value.to_le_bytes());
            Ok(())
        }
        fn access(&mut self, width: Width, address: u32, len: usize) {
            let aligned = address.is_multiple_of(width as u32) && len.is_multiple_of(width as usize);
            assert!(aligned && len > 0, "{width:?} {address:#x} {len}");
            self.log.push((width, address, len));
        }
    }

    const AP: Ap = Ap { index: 0, csw: 0 };

    #[test]
    fn every_alignment_and_length_reads_and_writes_exactly_its_bytes() {
        for address in 0x100..0x108u32 {
            for len in 0..20usize {
                let mut memory = Memory::new();
                let before = memory.bytes.clone();
                let mut buf = vec![0; len];
                MemAp::new(&mut memory, AP).read(address, &mut buf).unwrap();
                assert_eq!(buf, before[address as usize..][..len]);
                assert!(memory.log.len() <= 3);

                let data: Vec<u8> = (0..len).map(|n| 0x80 | n as u8).collect();
                MemAp::new(&mut memory, AP).write(address, &data).unwrap();
                let mut expected = before.clone();
                expected[address as usize..][..len].copy_from_slice(&data);
                assert_eq!(memory.bytes, expected, "{address:#x} {len}");
            }
        }
    }

    #[test]
    fn the_ends_are_bytes_and_the_middle_is_words() {
        let mut memory = Memory::new();
        MemAp::new(&mut memory, AP).write(0x103, &[0xaa; 10]).unwrap();
        assert_eq!(memory.log, [(Width::Byte, 0x103, 1), (Width::Word, 0x104, 8), (Width::Byte, 0x10c, 1)]);
    }

    #[test]
    fn update_changes_only_the_masked_bits_and_returns_the_old_word() {
        let mut memory = Memory::new();
        memory.bytes[0x10..0x14].copy_from_slice(&0xf0f0_1234u32.to_le_bytes());
        let mut mem = MemAp::new(&mut memory, AP);
        assert_eq!(mem.update(0x10, 0xff, 0x56).unwrap(), 0xf0f0_1234);
        assert_eq!(mem.read32(0x10).unwrap(), 0xf0f0_1256);
    }
}
