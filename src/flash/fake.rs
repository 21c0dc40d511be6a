//! A probe with words behind it and a script of what goes wrong: for what the embedded board never does.

use super::Bank;
use crate::error::{Cause, Error, Result};
use crate::image::{Format, Image, Segment};
use crate::probe::fake::Words;
use crate::probe::{Ap, MemOp, Width};
use std::collections::BTreeMap;
use std::time::Duration;

pub const AP: Ap = Ap { index: 0, csw: 0 };

pub fn bank(number: usize, address: u32, size: u32, sector: u32, word: u32) -> Bank {
    let name = format!("bank{}", number + 1);
    Bank { name, number, address, size, sector, word, registers: 0x5200_2000, layout: "h74x".into(), ap: AP, volts: Some(3.3) }
}

pub fn image(segments: &[(u32, Vec<u8>)]) -> Image {
    let segments = segments.iter().map(|(address, data)| Segment { address: *address, data: data.clone() }).collect();
    Image::new("app.elf", Format::Elf, segments)
}

#[derive(Default)]
pub struct Fake {
    pub now: Duration,
    pub words: BTreeMap<u32, u32>,
    /// Every write, in order.
    pub writes: Vec<(u32, u32)>,
    /// The next batch does this many operations, then the chip keeps answering WAIT.
    pub wait_after: Option<usize>,
    /// Whether stores before that WAIT reach the memory.
    pub lose_stores: bool,
}

impl Words for Fake {
    fn read(&mut self, _: u8, address: u32) -> Result<u32> {
        let blank = if (0x0800_0000..0x1000_0000).contains(&address) { 0xFFFF_FFFF } else { 0 };
        Ok(self.words.get(&address).copied().unwrap_or(blank))
    }
    fn write(&mut self, _: u8, address: u32, value: u32) -> Result<()> {
        self.writes.push((address, value));
        self.words.insert(address, value);
        Ok(())
    }
    fn access(&mut self, _: Width, _: u32, _: usize) {
        self.now += Duration::from_micros(100);
    }
    fn batch(&mut self, ap: Ap, ops: &mut [MemOp]) -> Result<()> {
        let Some(stop) = self.wait_after.take() else { return ops.iter_mut().try_for_each(|op| self.op(ap, op)) };
        let kept = self.words.clone();
        ops[..stop].iter_mut().try_for_each(|op| self.op(ap, op))?;
        if self.lose_stores {
            self.words = kept;
        }
        Err(Error::target("WAIT").cause(Cause::Wait { address: None }))
    }
    fn now(&self) -> Duration {
        self.now
    }
    fn sleep(&mut self, d: Duration) {
        self.now += d;
    }
}
