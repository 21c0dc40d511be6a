//! A probe for tests: words behind access ports, and whatever else a test cares for; the rest of a probe does nothing.

use super::{Ap, Connect, Info, MemOp, Port, Probe, Width};
use crate::error::Result;
use std::time::Duration;

static INFO: Info = Info { name: String::new(), firmware: String::new(), serial: String::new(), vid: 0, pid: 0, path: String::new() };

/// What a test's probe is: two functions, and those of a probe that matter to it.
pub trait Words {
    fn read(&mut self, ap: u8, address: u32) -> Result<u32>;
    fn write(&mut self, ap: u8, address: u32, value: u32) -> Result<()>;

    /// Every access of a width, before its words.
    fn access(&mut self, _: Width, _address: u32, _len: usize) {}
    /// Operations that a batch gets through before its error.
    fn batch(&mut self, ap: Ap, ops: &mut [MemOp]) -> Result<()> {
        ops.iter_mut().try_for_each(|op| self.op(ap, op))
    }
    fn op(&mut self, ap: Ap, op: &mut MemOp) -> Result<()> {
        match op.write {
            true => self.write(ap.index, op.address, op.value),
            false => self.read(ap.index, op.address).map(|read| op.value = read),
        }
    }
    fn read_reg(&mut self, _: Port, _: u16) -> Result<u32> {
        Ok(0)
    }
    fn write_reg(&mut self, _: Port, _: u16, _: u32) -> Result<()> {
        Ok(())
    }
    fn attached(&mut self, _how: Option<&Connect>) {}
    fn voltage(&mut self) -> Option<f32> {
        None
    }
    fn drive_nrst(&mut self, _low: bool) {}
    fn now(&self) -> Duration {
        Duration::ZERO
    }
    fn sleep(&mut self, _: Duration) {}
}

impl<T: Words> Probe for T {
    fn info(&self) -> &Info {
        &INFO
    }
    fn connect(&mut self, how: &Connect) -> Result<u32> {
        self.attached(Some(how));
        Ok(how.khz)
    }
    fn detach(&mut self) -> Result<()> {
        self.attached(None);
        Ok(())
    }
    fn set_khz(&mut self, khz: u32) -> Result<u32> {
        Ok(khz)
    }
    fn speeds(&mut self) -> Result<Vec<u32>> {
        Ok(vec![1000])
    }
    fn voltage(&mut self) -> Result<Option<f32>> {
        Ok(Words::voltage(self))
    }
    fn drive_nrst(&mut self, low: bool) -> Result<()> {
        Words::drive_nrst(self, low);
        Ok(())
    }
    fn read_reg(&mut self, port: Port, address: u16) -> Result<u32> {
        Words::read_reg(self, port, address)
    }
    fn write_reg(&mut self, port: Port, address: u16, value: u32) -> Result<()> {
        Words::write_reg(self, port, address, value)
    }
    /// One access per word: reading some words has effects.
    fn read_mem(&mut self, ap: Ap, width: Width, address: u32, buf: &mut [u8]) -> Result<()> {
        self.access(width, address, buf.len());
        let (mut at, mut rest) = (address, buf);
        while !rest.is_empty() {
            let (low, word) = ((at & 3) as usize, self.read(ap.index, at & !3)?.to_le_bytes());
            let (part, behind) = rest.split_at_mut(rest.len().min(4 - low));
            part.copy_from_slice(&word[low..low + part.len()]);
            at = at.wrapping_add(part.len() as u32);
            rest = behind;
        }
        Ok(())
    }
    fn write_mem(&mut self, ap: Ap, width: Width, address: u32, data: &[u8]) -> Result<()> {
        self.access(width, address, data.len());
        let (mut at, mut rest) = (address, data);
        while !rest.is_empty() {
            let low = (at & 3) as usize;
            let (part, behind) = rest.split_at(rest.len().min(4 - low));
            let mut word = if part.len() < 4 { self.read(ap.index, at & !3)?.to_le_bytes() } else { [0; 4] };
            word[low..low + part.len()].copy_from_slice(part);
            self.write(ap.index, at & !3, u32::from_le_bytes(word))?;
            at = at.wrapping_add(part.len() as u32);
            rest = behind;
        }
        Ok(())
    }
    fn batch(&mut self, ap: Ap, ops: &mut [MemOp]) -> Result<()> {
        Words::batch(self, ap, ops)
    }
    fn now(&self) -> Duration {
        Words::now(self)
    }
    fn sleep(&mut self, d: Duration) {
        Words::sleep(self, d)
    }
}
