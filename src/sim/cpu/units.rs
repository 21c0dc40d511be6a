//! Breakpoint unit (FPB, BPU) and watchpoint unit (DWT) as registers (ARM DDI0403 C1.8 and C1.11).

use super::super::chip::Ns;

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
    cycles: u32,
    /// Nanoseconds times hertz that did not make a whole cycle.
    rest: u128,
    counters: [u32; 5],
    comparators: Vec<Comparator>,
    v7m: bool,
}

impl Dwt {
    pub fn new(ctrl: u32, v7m: bool) -> Dwt {
        let comparators = vec![Comparator::default(); (ctrl >> 28) as usize];
        Dwt { reset: ctrl, ctrl: 0, cycles: 0, rest: 0, counters: [0; 5], comparators, v7m }
    }

    /// CYCCNT counts while the core runs.
    pub fn count(&mut self, tracing: bool, time: Ns, hz: u64) {
        if tracing && self.v7m && self.ctrl & CYCCNTENA != 0 {
            let total = self.rest + time as u128 * hz as u128;
            self.cycles = self.cycles.wrapping_add((total / 1_000_000_000) as u32);
            self.rest = total % 1_000_000_000;
        }
    }

    pub fn reg(&self, offset: u32) -> Option<u32> {
        Some(match offset {
            0x00 => self.reset | self.ctrl,
            0x04 => self.cycles,
            0x08..=0x18 => self.counters[(offset as usize - 8) / 4],
            0x20..0x120 => {
                let comparator = self.comparators.get((offset as usize - 0x20) / 16).copied().unwrap_or_default();
                [comparator.comp, comparator.mask, comparator.function, 0][offset as usize / 4 % 4]
            }
            0x120..0xF00 => 0,
            _ => return None,
        })
    }

    pub fn write(&mut self, offset: u32, value: u32) -> bool {
        match offset {
            0x00 if self.v7m => self.ctrl = value & 0x007F_1FFF,
            0x04 if self.v7m => self.cycles = value,
            0x08..=0x18 if self.v7m => self.counters[(offset as usize - 8) / 4] = value & 0xFF,
            0x20..0x120 => self.write_comparator(offset as usize - 0x20, value),
            0x00..0xF00 => (),
            _ => return false,
        }
        true
    }

    fn write_comparator(&mut self, offset: usize, value: u32) {
        let function = if self.v7m { 0x000F_FDAF } else { 0xF };
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
