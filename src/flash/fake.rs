//! A probe with words behind it and a script of what goes wrong: for what the embedded board never does.

use super::Bank;
use crate::error::{Cause, Error, Result};
use crate::image::{Format, Image, Segment};
use crate::probe::{Ap, Connect, Info, MemOp, Port, Probe, Width};
use std::collections::BTreeMap;
use std::time::Duration;

pub const AP: Ap = Ap { index: 0, csw: 0 };

pub fn bank(number: usize, address: u32, size: u32, sector: u32, word: u32) -> Bank {
    let name = format!("bank{}", number + 1);
    Bank { name, number, address, size, sector, word, registers: 0x5200_2000, layout: "h74x".into(), ap: AP, volts: Some(3.3) }
}

pub fn image(segments: &[(u32, Vec<u8>)]) -> Image {
    let segments = segments.iter().map(|(address, data)| Segment { address: *address, data: data.clone() }).collect();
    Image { path: "app.elf".into(), format: Format::Elf, segments, entry: None, symbols: Vec::new(), warnings: Vec::new() }
}

#[derive(Default)]
pub struct Fake {
    pub info: Info,
    pub now: Duration,
    pub words: BTreeMap<u32, u32>,
    /// Every write, in order.
    pub writes: Vec<(u32, u32)>,
    /// The next batch does this many operations, then the chip keeps answering WAIT.
    pub wait_after: Option<usize>,
    /// Whether stores before that WAIT reach the memory.
    pub lose_stores: bool,
}

impl Fake {
    fn read(&mut self, address: u32) -> u32 {
        let blank = if (0x0800_0000..0x1000_0000).contains(&address) { 0xFFFF_FFFF } else { 0 };
        self.words.get(&address).copied().unwrap_or(blank)
    }

    fn write(&mut self, address: u32, value: u32, kept: bool) {
        self.writes.push((address, value));
        if kept {
            self.words.insert(address, value);
        }
    }
}

impl Probe for Fake {
    fn info(&self) -> &Info {
        &self.info
    }
    fn connect(&mut self, _: &Connect) -> Result<u32> {
        Ok(1000)
    }
    fn detach(&mut self) -> Result<()> {
        Ok(())
    }
    fn set_khz(&mut self, khz: u32) -> Result<u32> {
        Ok(khz)
    }
    fn speeds(&mut self) -> Result<Vec<u32>> {
        Ok(vec![1000])
    }
    fn voltage(&mut self) -> Result<Option<f32>> {
        Ok(None)
    }
    fn drive_nrst(&mut self, _: bool) -> Result<()> {
        Ok(())
    }
    fn read_reg(&mut self, _: Port, _: u16) -> Result<u32> {
        Ok(0)
    }
    fn write_reg(&mut self, _: Port, _: u16, _: u32) -> Result<()> {
        Ok(())
    }
    fn read_mem(&mut self, _: Ap, _: Width, address: u32, buf: &mut [u8]) -> Result<()> {
        self.now += Duration::from_micros(100);
        for (bytes, at) in buf.chunks_mut(4).zip((address..).step_by(4)) {
            bytes.copy_from_slice(&self.read(at).to_le_bytes());
        }
        Ok(())
    }
    fn write_mem(&mut self, _: Ap, _: Width, address: u32, data: &[u8]) -> Result<()> {
        self.now += Duration::from_micros(100);
        for (bytes, at) in data.chunks(4).zip((address..).step_by(4)) {
            self.write(at, u32::from_le_bytes(bytes.try_into().expect("whole words")), true);
        }
        Ok(())
    }
    fn batch(&mut self, _: Ap, ops: &mut [MemOp]) -> Result<()> {
        let stop = self.wait_after.take();
        for (index, op) in ops.iter_mut().enumerate() {
            if stop == Some(index) {
                return Err(Error::target("WAIT").cause(Cause::Wait { address: None }));
            }
            match op {
                MemOp::Read { address, value } => *value = self.read(*address),
                MemOp::Write { address, value } => self.write(*address, *value, stop.is_none() || !self.lose_stores),
            }
        }
        Ok(())
    }
    fn trace(&mut self, _: Option<u32>) -> Result<()> {
        Ok(())
    }
    fn read_trace(&mut self, _: &mut [u8]) -> Result<usize> {
        Ok(0)
    }
    fn now(&self) -> Duration {
        self.now
    }
    fn sleep(&mut self, d: Duration) {
        self.now += d;
    }
}
