//! Memory around where a halted core stands: a debugger asks for it word by word after each stop, and it is read at once.

use super::Core;
use super::registers::{LR, PC, SP};
use crate::adi::{MemAp, ap};
use crate::error::Result;
use crate::probe::{Ap, MemOp};
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// So long what RAM held at the stop is an answer, and once only: who asks again wants to see what became of it.
const SOON: Duration = Duration::from_secs(1);
/// Bytes of code before and behind pc, and about where lr returns to; of stack from the line of gdb's cache on that sp is in.
const BEFORE: u32 = 16;
const BEHIND: u32 = 32;
const RETURN: u32 = 12;
const STACK: u32 = 128;
const LINE: u32 = 64;
/// Words elsewhere that come along because they were asked for before: with all of these a V2's batch is full.
const MOST_ASKED: usize = 16;

/// Memory without surprises: no peripherals, nothing that a cache may hold. Flash is what lasts while a core stands.
pub struct Plain {
    pub flash: Vec<Range<u32>>,
    pub ram: Vec<Range<u32>>,
}

impl Plain {
    fn lasts(&self, at: u32) -> bool {
        self.flash.iter().any(|range| range.contains(&at))
    }

    fn has(&self, at: u32) -> bool {
        self.lasts(at) || self.ram.iter().any(|range| range.contains(&at))
    }
}

/// Words by address, and when they were read.
#[derive(Debug, Default)]
pub(super) struct Around {
    at: Duration,
    words: BTreeMap<u32, u32>,
}

impl Around {
    /// `None`: some of it is not known, or not any more.
    fn take(&mut self, now: Duration, asked: &[u32], plain: &Plain) -> Option<Vec<u32>> {
        let old = now.saturating_sub(self.at) >= SOON;
        let known = |at: &u32| self.words.get(at).copied().filter(|_| !old || plain.lasts(*at));
        let words = asked.iter().map(known).collect::<Option<Vec<u32>>>();
        if words.is_some() {
            self.words.retain(|at, _| plain.lasts(*at) || !asked.contains(at));
        }
        words
    }
}

impl Core {
    /// As `mem.read`, but what is asked for after each stop comes in one exchange.
    pub fn read_around(&mut self, mem: &mut MemAp, plain: &Plain, address: u32, buf: &mut [u8]) -> Result<()> {
        let asked: Vec<u32> = words(address & !3, (address & 3) + buf.len() as u32).collect();
        let found = match self.take_around(mem.now(), &asked, plain) {
            None if self.look_around(mem, &asked, plain) => self.take_around(mem.now(), &asked, plain),
            found => found,
        };
        let Some(found) = found else { return mem.read(address, buf) };
        let bytes = found.into_iter().flat_map(u32::to_le_bytes).skip(address as usize % 4);
        buf.iter_mut().zip(bytes).for_each(|(place, byte)| *place = byte);
        Ok(())
    }

    fn take_around(&mut self, now: Duration, asked: &[u32], plain: &Plain) -> Option<Vec<u32>> {
        self.seen.as_mut().and_then(|seen| seen.around.take(now, asked, plain))
    }

    /// False: what is asked for is not among it.
    fn look_around(&mut self, mem: &mut MemAp, asked: &[u32], plain: &Plain) -> bool {
        let mut wanted = self.near();
        if asked.len() <= MOST_ASKED && !asked.iter().all(|at| wanted.contains(at)) {
            // A variable that is shown, or a breakpoint's place, is going to be asked for at every stop.
            self.asked.retain(|at| !asked.contains(at));
            self.asked.extend(asked);
            self.asked.drain(..self.asked.len().saturating_sub(MOST_ASKED));
        }
        wanted.extend(&self.asked);
        wanted.retain(|at| plain.has(*at));
        let mut ops: Vec<MemOp> = wanted.into_iter().map(MemOp::read).collect();
        let Some(seen) = self.seen.as_mut().filter(|_| mem.probe.room() > 0) else { return false };
        let among = asked.iter().all(|at| ops.iter().any(|op| op.address == *at));
        let ap = Ap { csw: mem.ap.csw & !ap::CSW_CACHEABLE, ..mem.ap };
        let read = among && mem.probe.batch(ap, &mut ops).is_ok();
        if read {
            seen.around = Around { at: mem.now(), words: ops.iter().map(|op| (op.address, op.value())).collect() };
        }
        read
    }

    /// Words of code about pc and lr, and of stack from sp on; none where the core is not known to stand.
    fn near(&self) -> Vec<u32> {
        let word = |selector| self.seen.as_ref().and_then(|seen| seen.words.get(&selector)).copied();
        let (Some(pc), Some(lr), Some(sp)) = (word(PC), word(LR), word(SP)) else { return Vec::new() };
        let code = words((pc & !3).wrapping_sub(BEFORE), BEFORE + BEHIND);
        let caller = words((lr & !3).wrapping_sub(4), RETURN);
        code.chain(caller).chain(words(sp & !(LINE - 1), STACK)).collect()
    }

    /// It may hold something else now than what was read.
    pub fn memory_changed(&mut self) {
        self.seen.iter_mut().for_each(|seen| seen.around = Around::default());
    }
}

fn words(start: u32, len: u32) -> impl Iterator<Item = u32> {
    (0..len).step_by(4).map(move |offset| start.wrapping_add(offset))
}
