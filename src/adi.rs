//! Bytes and words behind one access port: alignment and width are settled here, once.

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

    /// One access of `width`; address aligned to it.
    pub fn read_width(&mut self, width: Width, address: u32, buf: &mut [u8]) -> Result<()> {
        self.probe.read_mem(self.ap, width, address, buf)
    }

    pub fn write_width(&mut self, width: Width, address: u32, data: &[u8]) -> Result<()> {
        self.probe.write_mem(self.ap, width, address, data)
    }

    /// Any address, any length: words in the middle, bytes at the ends.
    pub fn read(&mut self, address: u32, buf: &mut [u8]) -> Result<()> {
        let _ = (address, buf);
        todo!()
    }

    pub fn write(&mut self, address: u32, data: &[u8]) -> Result<()> {
        let _ = (address, data);
        todo!()
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
