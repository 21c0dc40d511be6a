//! Breakpoint unit (FPB, BPU) and watchpoint unit (DWT): registers and matching (ARM DDI0403 C1.8 and C1.11).

use super::exec::Access;
use crate::sim::chip::Size;

/// FP_CTRL 31:28 is the revision less one: 0 has addresses below 0x20000000 only, 1 (Cortex-M7) any address.
pub(super) struct Fpb {
    reset: u32,
    enabled: bool,
    remap: u32,
    comparators: Vec<u32>,
}

impl Fpb {
    pub fn new(ctrl: u32) -> Fpb {
        let codes = ctrl >> 4 & 0xF | ctrl >> 8 & 0x70;
        let literals = ctrl >> 8 & 0xF;
        Fpb { reset: ctrl, enabled: false, remap: 0, comparators: vec![0; (codes + literals) as usize] }
    }

    /// A comparator sits on the instruction at `pc`. Revision 1 names a word and which half of it (BP_MATCH in 31:30,
    /// 0 is a remap, which nothing here uses); revision 2 the instruction. Literal comparators do not take part.
    pub fn hits(&self, pc: u32) -> bool {
        if !self.enabled {
            return false;
        }
        let codes = (self.reset >> 4 & 0xF | self.reset >> 8 & 0x70) as usize;
        self.comparators[..codes].iter().filter(|comparator| *comparator & 1 == 1).any(|comparator| {
            if self.revision_2() {
                return comparator & !1 == pc;
            }
            let half = if pc & 2 == 0 { 1 } else { 2 };
            comparator & 0x1FFF_FFFC == pc & !3 && comparator >> 30 & half != 0
        })
    }

    fn revision_2(&self) -> bool {
        self.reset >> 28 == 1
    }

    pub fn reg(&self, offset: u32) -> Option<u32> {
        match offset {
            0x00 => Some(self.reset | self.enabled as u32),
            0x04 => Some(self.remap),
            0x08..0xF00 => Some(self.comparators.get((offset as usize - 8) / 4).copied().unwrap_or(0)),
            _ => None,
        }
    }

    pub fn write(&mut self, offset: u32, value: u32) -> bool {
        const KEY: u32 = 1 << 1;
        let mask = if self.revision_2() { u32::MAX } else { 0xDFFF_FFFD };
        match offset {
            0x00 if value & KEY != 0 => self.enabled = value & 1 != 0,
            0x00 => (),
            // Remapping is gone in revision 2 (reads 0).
            0x04 if !self.revision_2() => self.remap = 0x2000_0000 | value & 0x1FFF_FFE0,
            0x04 => (),
            0x08..0xF00 => {
                if let Some(comparator) = self.comparators.get_mut((offset as usize - 8) / 4) {
                    *comparator = value & mask;
                }
            }
            _ => return false,
        }
        true
    }
}

#[derive(Clone, Copy, Default)]
struct Comparator {
    comp: u32,
    mask: u32,
    function: u32,
}

const CYCCNTENA: u32 = 1;

pub(super) struct Dwt {
    reset: u32,
    ctrl: u32,
    tracing: bool,
    /// CYCCNT when the core's count stood at `since`.
    count: u32,
    since: u64,
    counters: [u32; 5],
    comparators: Vec<Comparator>,
    v7m: bool,
}

/// FUNCTION 3:0 (C1.8.17, and the same codes in v6-M): instruction, read, write, either.
const PC_MATCH: u32 = 4;
const READ: u32 = 5;
const WRITE: u32 = 6;
const ACCESS: u32 = 7;
const DATAVMATCH: u32 = 1 << 8;
/// Second linked addresses are supported (reads as one).
const LNK1ENA: u32 = 1 << 9;
const MATCHED: u32 = 1 << 24;

/// What FUNCTION keeps: CYCMATCH is comparator 0's, values are compared by 1 (C1.8.17; Cortex-M3 and M4 TRM, DWT
/// registers; the M7 alike: assumed). CYCMATCH matches nothing here.
const KEPT: [u32; 3] = [0x0000_00AF, 0x000F_FD2F, 0x0000_002F];
const KEPT_V6M: u32 = 0xF;

impl Comparator {
    fn code(&self) -> u32 {
        self.function & 0xF
    }

    /// COMP is a value, held in every lane that is as large as it; an access that is larger matches if one of its lanes does
    /// (a smaller lane of a larger access: assumed).
    fn is_value_of(&self, value: u32, size: Size) -> bool {
        let bytes = 1 << (self.function >> 10 & 3);
        let mask = if bytes == 4 { u32::MAX } else { (1 << (8 * bytes)) - 1 };
        (0..size as u32 / bytes).any(|lane| (value >> (8 * bytes * lane) ^ self.comp) & mask == 0)
    }

    fn covers(&self, first: u32, last: u32) -> bool {
        let ignored = ((1u64 << self.mask) - 1) as u32;
        first <= self.comp | ignored && last >= self.comp & !ignored
    }
}

impl Dwt {
    pub fn new(ctrl: u32, v7m: bool) -> Dwt {
        let comparators = vec![Comparator::default(); (ctrl >> 28) as usize];
        Dwt { reset: ctrl, ctrl: 0, tracing: false, count: 0, since: 0, counters: [0; 5], comparators, v7m }
    }

    /// Some comparator looks at data.
    pub fn watches(&self) -> bool {
        self.comparators.iter().any(|comparator| matches!(comparator.code(), READ..=ACCESS))
    }

    pub fn hits_pc(&self, pc: u32) -> bool {
        self.tracing && self.comparators.iter().any(|comparator| comparator.code() == PC_MATCH && comparator.covers(pc, pc))
    }

    /// The instruction at `pc` is reached; sets MATCHED, which reading FUNCTION clears.
    pub fn reached(&mut self, pc: u32) -> bool {
        let hits = self.hits_pc(pc);
        let reached = |comparator: &&mut Comparator| hits && comparator.code() == PC_MATCH && comparator.covers(pc, pc);
        self.comparators.iter_mut().filter(reached).for_each(|comparator| comparator.function |= MATCHED);
        hits
    }

    /// A data access, and the value that it moves; sets MATCHED.
    pub fn matches(&mut self, address: u32, size: Size, value: u32, access: Access) -> bool {
        let hits: Vec<usize> = (0..self.comparators.len()).filter(|n| self.hits_data(*n, address, size, value, access)).collect();
        hits.iter().for_each(|n| self.comparators[*n].function |= MATCHED);
        !hits.is_empty()
    }

    fn hits_data(&self, number: usize, address: u32, size: Size, value: u32, access: Access) -> bool {
        let comparator = &self.comparators[number];
        let last = address.saturating_add(size as u32 - 1);
        let wanted = if access == Access::Write { WRITE } else { READ };
        if comparator.code() != wanted && comparator.code() != ACCESS {
            return false;
        }
        if comparator.function & DATAVMATCH == 0 {
            return comparator.covers(address, last);
        }
        comparator.is_value_of(value, size) && self.is_linked(number, address, last)
    }

    /// DATAVADDR0 and DATAVADDR1 name the comparators that hold the value's addresses; its own number: none (C1.8.17).
    fn is_linked(&self, number: usize, first: u32, last: u32) -> bool {
        let function = self.comparators[number].function;
        let links = [function >> 12 & 0xF, function >> 16 & 0xF].map(|link| link as usize);
        let mut others = links.into_iter().filter(|link| *link != number).peekable();
        others.peek().is_none() || others.any(|link| self.comparators.get(link).is_some_and(|other| other.covers(first, last)))
    }

    /// CYCCNT: counts with TRCENA and CYCCNTENA.
    fn cycles(&self, now: u64) -> u32 {
        let counts = self.v7m && self.tracing && self.ctrl & CYCCNTENA != 0;
        if counts { self.count.wrapping_add((now - self.since) as u32) } else { self.count }
    }

    /// DEMCR.TRCENA changed.
    pub fn trace(&mut self, on: bool, now: u64) {
        (self.count, self.since) = (self.cycles(now), now);
        self.tracing = on;
    }

    /// Reading FUNCTION clears its MATCHED.
    pub fn seen(&mut self, offset: u32) {
        if (0x20..0x120).contains(&offset)
            && offset & 0xC == 8
            && let Some(comparator) = self.comparators.get_mut((offset as usize - 0x20) / 16)
        {
            comparator.function &= !MATCHED;
        }
    }

    pub fn reg(&self, offset: u32, now: u64) -> Option<u32> {
        Some(match offset {
            0x00 => self.reset | self.ctrl,
            0x04 => self.cycles(now),
            0x08..=0x18 => self.counters[(offset as usize - 8) / 4],
            0x20..0x120 => {
                let comparator = self.comparators.get((offset as usize - 0x20) / 16).copied().unwrap_or_default();
                let second = if self.v7m && (0x30..0x40).contains(&offset) { LNK1ENA } else { 0 };
                [comparator.comp, comparator.mask, comparator.function | second, 0][offset as usize / 4 % 4]
            }
            0x120..0xF00 => 0,
            _ => return None,
        })
    }

    pub fn write(&mut self, offset: u32, value: u32, now: u64) -> bool {
        match offset {
            0x00 if self.v7m => {
                (self.count, self.since) = (self.cycles(now), now);
                self.ctrl = value & 0x007F_1FFF;
            }
            0x04 if self.v7m => (self.count, self.since) = (value, now),
            0x08..=0x18 if self.v7m => self.counters[(offset as usize - 8) / 4] = value & 0xFF,
            0x20..0x120 => self.write_comparator(offset as usize - 0x20, value),
            0x00..0xF00 => (),
            _ => return false,
        }
        true
    }

    fn write_comparator(&mut self, offset: usize, value: u32) {
        let function = if self.v7m { KEPT[(offset / 16).min(2)] } else { KEPT_V6M };
        if let Some(comparator) = self.comparators.get_mut(offset / 16) {
            match offset / 4 % 4 {
                0 => comparator.comp = value,
                1 => comparator.mask = value & 0x1F,
                2 => comparator.function = value & function,
                _ => (),
            }
        }
    }
}
