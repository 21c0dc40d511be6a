//! The Cortex-M7's caches, worked by the debugger through the PPB (DDI0403 B2.2.7, B4.8).

use super::Core;
use crate::adi::MemAp;
use crate::error::Result;
use crate::probe::MemOp;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// DDI0403 B3.2.8
const CCR: u32 = 0xE000_ED14;
const CCR_DC: u32 = 1 << 16;
const CCR_IC: u32 = 1 << 17;
const CCSIDR: u32 = 0xE000_ED80;
const CSSELR: u32 = 0xE000_ED84;
const ICIALLU: u32 = 0xE000_EF50;
const ICIMVAU: u32 = 0xE000_EF58;
const DCCIMVAC: u32 = 0xE000_EF70;
const DCCISW: u32 = 0xE000_EF74;

/// Bytes of a line on every Cortex-M7 (its TRM, level 1 memory system).
const LINE: u32 = 32;
/// Beyond so many lines all of the cache is less work (its 512 lines go in 9 transfers of a V2, in one of a V3).
const MOST_LINES: usize = 64;
/// The private peripheral bus (DDI0403 B3.1).
const PRIVATE: u32 = 0xE000_0000;
/// Where cached code can be: code, SRAM and external RAM (DDI0403 B3.1).
const EXECUTABLE: [RangeInclusive<u32>; 2] = [0..=0x3FFF_FFFF, 0x6000_0000..=0x9FFF_FFFF];

impl Core {
    /// Code was written: let the data reach memory and the next fetch see it.
    pub(super) fn code_changed(&mut self, mem: &mut MemAp, address: u32) -> Result<()> {
        match self.part.caches {
            true => refresh(mem, &BTreeSet::from([address])),
            false => Ok(()),
        }
    }

    /// Memory was written that may be code: `code_settled` sees to it before the core runs.
    pub fn wrote(&mut self, address: u32, len: usize) {
        let last = u64::from(address) + (len as u64).saturating_sub(1);
        if address >= PRIVATE {
            // Registers may be written by hand, through DCRSR.
            self.forget();
        }
        let executable = EXECUTABLE.iter().any(|range| range.contains(&address));
        if self.part.caches && executable && len > 0 {
            let lines = (address / LINE..).map(|line| line * LINE).take_while(|line| u64::from(*line) <= last);
            self.written.extend(lines.take(MOST_LINES + 1));
        }
    }

    /// What rocd wrote since the core last ran is in memory, and no older copy of it in the instruction cache.
    pub(super) fn code_settled(&mut self, mem: &mut MemAp) -> Result<()> {
        if !self.written.is_empty() {
            refresh(mem, &self.written)?;
            self.written.clear();
        }
        Ok(())
    }

    /// Clean and switch off both caches of a halted core. What CCR was, for `caches_back`; `None`: they were off.
    pub fn caches_off(&mut self, mem: &mut MemAp) -> Result<Option<u32>> {
        if !self.part.caches {
            return Ok(None);
        }
        let ccr = mem.read32(CCR)?;
        if ccr & (CCR_DC | CCR_IC) == 0 {
            return Ok(None);
        }
        self.need_halted(mem)?;
        mem.write32(CCR, ccr & !(CCR_DC | CCR_IC))?;
        if ccr & CCR_DC != 0 {
            clean_and_invalidate(mem)?;
        }
        Ok(Some(ccr))
    }

    /// Both caches are empty of anything older than what was just written, then on as they were.
    pub fn caches_back(&mut self, mem: &mut MemAp, ccr: u32) -> Result<()> {
        mem.write32(ICIALLU, 0)?;
        mem.write32(CCR, ccr)
    }
}

/// Clean these lines of the data cache and drop them from the instruction cache; all there are, if these are too many. A
/// data cache that is off is left alone: its dirty lines are from before a reset, and would overwrite what is newer.
fn refresh(mem: &mut MemAp, lines: &BTreeSet<u32>) -> Result<()> {
    let ccr = mem.read32(CCR)?;
    let (data, code) = (ccr & CCR_DC != 0, ccr & CCR_IC != 0);
    if lines.len() > MOST_LINES {
        if data {
            clean_and_invalidate(mem)?;
        }
        return if code { mem.write32(ICIALLU, 0) } else { Ok(()) };
    }
    let cleaned = lines.iter().filter(|_| data).map(|line| MemOp::write(DCCIMVAC, *line));
    let dropped = lines.iter().filter(|_| code).map(|line| MemOp::write(ICIMVAU, *line));
    let mut ops: Vec<MemOp> = cleaned.chain(dropped).collect();
    if ops.is_empty() { Ok(()) } else { mem.batch(&mut ops) }
}

/// By set and way, all of the first-level data cache (16 KiB on the H7: 512 lines, some milliseconds). Not to be
/// interrupted: with the cache off, a dirty line that is left out is lost to the program.
fn clean_and_invalidate(mem: &mut MemAp) -> Result<()> {
    let selected = mem.read32(CSSELR)?;
    mem.write32(CSSELR, 0)?;
    let lines = lines(mem.read32(CCSIDR)?);
    let mut ops: Vec<MemOp> = lines.into_iter().map(|line| MemOp::write(DCCISW, line)).collect();
    mem.batch(&mut ops)?;
    mem.write32(CSSELR, selected)
}

/// Every set and way as DCCISW takes them (DDI0403 B2.2.7): way at the top, set above the line offset.
fn lines(ccsidr: u32) -> Vec<u32> {
    let sets = (ccsidr >> 13 & 0x7FFF) + 1;
    let ways = (ccsidr >> 3 & 0x3FF) + 1;
    let line_bits = (ccsidr & 7) + 4;
    // ceil(log2(ways)) bits hold the way.
    let way_shift = (ways - 1).leading_zeros() % 32;
    (0..ways).flat_map(|way| (0..sets).map(move |set| way << way_shift | set << line_bits)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_h7s_data_cache_has_512_lines_with_the_way_in_the_top_bits() {
        // D-CCSIDR of a real H7 (stlink#820): 4 ways, 128 sets, 32-byte lines.
        let lines = lines(0xF00F_E019);
        assert_eq!(lines.len(), 512);
        assert_eq!((lines[0], lines[1], lines[127]), (0, 0x20, 0xFE0));
        assert_eq!((lines[128], lines[511]), (0x4000_0000, 0xC000_0FE0));
    }
}
