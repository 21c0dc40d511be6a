//! Breakpoints (FPB, DDI0403 C1.11; BPU, DDI0419 C1.9; BKPT in RAM) and watchpoints (DWT, DDI0403 C1.8; DDI0419 C1.8).

use super::{BKPT, Core, DEMCR, TRCENA};
use crate::adi::MemAp;
use crate::error::{Error, Result};
use crate::probe::{MemOp, Width};

const FP_CTRL: u32 = 0xE000_2000;
const FP_COMP: u32 = 0xE000_2008;
pub(super) const FP_ENABLE: u32 = 1 << 0;
/// Writes of FP_CTRL without it are ignored.
const FP_KEY: u32 = 1 << 1;
/// Revision 1 compares addresses below this only.
const FP_REV1_END: u32 = 0x2000_0000;

const DWT_CTRL: u32 = 0xE000_1000;
const DWT_COMP: u32 = 0xE000_1020;
/// COMP, MASK, FUNCTION and a hole.
const DWT_STRIDE: u32 = 16;
/// DWT_FUNCTION; clears when read.
const MATCHED: u32 = 1 << 24;
/// The most that a MASK is asked for: what OpenOCD's `wp` takes.
const MAX_WATCH: u32 = 0x8000;

/// The FPB as a whole, for one step: off, and on with a look at whether it is.
pub(super) const FPB_OFF: MemOp = MemOp { address: FP_CTRL, value: FP_KEY, write: true };
pub(super) const FPB_ON: [MemOp; 2] =
    [MemOp { address: FP_CTRL, value: FP_KEY | FP_ENABLE, write: true }, MemOp { address: FP_CTRL, value: 0, write: false }];

/// What we put into RAM: any number would halt, this is the one OpenOCD uses.
const OUR_BKPT: u16 = BKPT | 0x11;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breakpoint {
    pub address: u32,
    pub length: u32,
    /// The FPB comparator, or `None` for a BKPT in RAM.
    pub comparator: Option<u32>,
    /// The instruction a software breakpoint replaced.
    pub original: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Any,
}

impl Access {
    /// DWT_FUNCTION.FUNCTION, the same in ARMv6-M and ARMv7-M.
    fn function(self) -> u32 {
        match self {
            Access::Read => 5,
            Access::Write => 6,
            Access::Any => 7,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchpoint {
    pub address: u32,
    pub length: u32,
    pub access: Access,
    pub comparator: u32,
}

/// FPB and DWT as they were before rocd used them.
#[derive(Clone, Debug)]
pub(super) struct Units {
    fp_ctrl: u32,
    fp_comp: Vec<u32>,
    /// COMP, MASK, FUNCTION
    dwt: Vec<[u32; 3]>,
}

impl Units {
    /// The DWT answers only with TRCENA set, and reading DWT_FUNCTION clears MATCHED: so this is not done at attach,
    /// but when the first point is set.
    fn read(mem: &mut MemAp) -> Result<Units> {
        mem.update(DEMCR, TRCENA, TRCENA)?;
        let fp_ctrl = mem.read32(FP_CTRL)?;
        let fp_comp = read_words(mem, (0..code_comparators(fp_ctrl)).map(|n| FP_COMP + 4 * n))?;
        let watchers = mem.read32(DWT_CTRL)? >> 28;
        let dwt = read_words(mem, (0..watchers).flat_map(|n| (0..3).map(move |i| dwt_register(n, i))))?;
        Ok(Units { fp_ctrl, fp_comp, dwt: dwt.chunks(3).map(|words| [words[0], words[1], words[2]]).collect() })
    }

    /// FP_CTRL.REV: 0 is revision 1.
    fn revision(&self) -> u32 {
        (self.fp_ctrl >> 28) + 1
    }

    fn write_back(&self, mem: &mut MemAp) -> Result<()> {
        let mut ops: Vec<MemOp> = Vec::new();
        ops.extend((0..).zip(&self.fp_comp).map(|(n, comp)| MemOp::write(FP_COMP + 4 * n, *comp)));
        ops.push(MemOp::write(FP_CTRL, FP_KEY | self.fp_ctrl & FP_ENABLE));
        for (n, words) in (0..).zip(&self.dwt) {
            // FUNCTION last: only with its address and mask in place may it match.
            ops.push(MemOp::write(dwt_register(n, 2), 0));
            ops.extend((0..).zip(words).map(|(i, word)| MemOp::write(dwt_register(n, i), *word)));
        }
        mem.batch(&mut ops)
    }
}

fn read_words(mem: &mut MemAp, addresses: impl Iterator<Item = u32>) -> Result<Vec<u32>> {
    let mut ops: Vec<MemOp> = addresses.map(MemOp::read).collect();
    mem.batch(&mut ops)?;
    Ok(ops.iter().map(MemOp::value).collect())
}

/// NUM_CODE is split: bits 14:12 above bits 7:4.
fn code_comparators(fp_ctrl: u32) -> u32 {
    fp_ctrl >> 8 & 0x70 | fp_ctrl >> 4 & 0xF
}

fn dwt_register(comparator: u32, index: u32) -> u32 {
    DWT_COMP + DWT_STRIDE * comparator + 4 * index
}

/// Revision 1 compares words and picks a half with bits 31:30, revision 2 compares the address.
fn comparator_word(revision: u32, address: u32) -> u32 {
    match (revision, address & 2) {
        (1, 0) => address & 0x1FFF_FFFC | 1 << 30 | 1,
        (1, _) => address & 0x1FFF_FFFC | 2 << 30 | 1,
        _ => address & !1 | 1,
    }
}

/// Points lifted for one step.
pub(super) struct Lifted {
    fpb: bool,
    code: Option<u32>,
}

impl Core {
    fn units(&mut self, mem: &mut MemAp) -> Result<&Units> {
        if self.units.is_none() {
            self.units = Some(Units::read(mem)?);
        }
        // Looked at above.
        Ok(self.units.as_ref().expect("just read"))
    }

    /// A comparator of the FPB. `address` may carry the Thumb bit.
    pub fn add_hardware_breakpoint(&mut self, mem: &mut MemAp, address: u32, length: u32) -> Result<Breakpoint> {
        let address = address & !1;
        let units = self.units(mem)?.clone();
        if units.revision() == 1 && address >= FP_REV1_END {
            let what =
                format!("the breakpoint unit of core {} compares addresses below {FP_REV1_END:#010x} only, not {address:#010x}", self.name);
            return Err(Error::command(what).hint("leave out `hw`: in RAM a software breakpoint does it"));
        }
        let comparator = self.free_comparator(&units)?;
        let word = MemOp::write(FP_COMP + 4 * comparator, comparator_word(units.revision(), address));
        self.enable_fpb(mem, Some(word))?;
        let point = Breakpoint { address, length, comparator: Some(comparator), original: 0 };
        self.breakpoints.push(point);
        Ok(point)
    }

    /// One that is not ours and was not armed by somebody else before us.
    fn free_comparator(&self, units: &Units) -> Result<u32> {
        let used = |n: u32| self.breakpoints.iter().any(|point| point.comparator == Some(n));
        let free = (0..).zip(&units.fp_comp).find(|(n, found)| **found & 1 == 0 && !used(*n));
        free.map(|(n, _)| n).ok_or_else(|| {
            let what = format!("all {} hardware breakpoints of core {} are in use", units.fp_comp.len(), self.name);
            Error::command(what).hint("`rbp all` frees those set here; in RAM a software breakpoint needs none")
        })
    }

    /// With a comparator before it, if there is one to be set.
    pub(super) fn enable_fpb(&mut self, mem: &mut MemAp, first: Option<MemOp>) -> Result<()> {
        let mut ops: Vec<MemOp> = first.into_iter().chain(FPB_ON).collect();
        mem.batch(&mut ops)?;
        match ops.last().map_or(0, MemOp::value) {
            ctrl if ctrl & FP_ENABLE != 0 => Ok(()),
            ctrl => Err(Error::target(format!("failed to enable the FPB (FP_CTRL = {ctrl:#010x})"))),
        }
    }

    /// A BKPT in RAM in place of the instruction there.
    pub fn add_software_breakpoint(&mut self, mem: &mut MemAp, address: u32, length: u32) -> Result<Breakpoint> {
        let address = address & !1;
        let original = read_code(mem, address)?;
        self.debug_enabled(mem)?;
        self.write_code(mem, address, OUR_BKPT)?;
        let point = Breakpoint { address, length, comparator: None, original };
        self.breakpoints.push(point);
        Ok(point)
    }

    fn write_code(&mut self, mem: &mut MemAp, address: u32, code: u16) -> Result<()> {
        self.memory_changed();
        mem.write_width(Width::Half, address, &code.to_le_bytes())?;
        self.code_changed(mem, address)?;
        match read_code(mem, address)? {
            now if now == code => Ok(()),
            now => Err(Error::target(format!("{address:#010x} reads {now:#06x} after {code:#06x} was written"))),
        }
    }

    /// A comparator, or where there can be none and RAM is for certain (DDI0403 B3.1) a BKPT.
    pub(super) fn add_point(&mut self, mem: &mut MemAp, address: u32) -> Result<Breakpoint> {
        self.add_hardware_breakpoint(mem, address, 2).or_else(|error| match address {
            0x2000_0000..0x4000_0000 => self.add_software_breakpoint(mem, address, 2),
            _ => Err(error),
        })
    }

    /// All of them, or those at an address.
    pub fn remove_breakpoints(&mut self, mem: &mut MemAp, address: Option<u32>) -> Result<()> {
        let gone = |point: &Breakpoint| address.is_none_or(|address| point.address == address & !1);
        let going: Vec<Breakpoint> = self.breakpoints.iter().copied().filter(gone).collect();
        if let (true, Some(address)) = (going.is_empty(), address) {
            return Err(Error::command(format!("no breakpoint at {address:#010x}")).hint("`bp` lists them"));
        }
        let results: Vec<Result<()>> = going.iter().map(|point| self.remove_breakpoint(mem, point)).collect();
        self.breakpoints.retain(|point| !gone(point));
        results.into_iter().collect()
    }

    fn remove_breakpoint(&mut self, mem: &mut MemAp, point: &Breakpoint) -> Result<()> {
        match point.comparator {
            Some(comparator) => mem.write32(FP_COMP + 4 * comparator, 0),
            // Somebody may have loaded other code over it: that stays.
            None if read_code(mem, point.address)? == OUR_BKPT => self.write_code(mem, point.address, point.original),
            None => Ok(()),
        }
    }

    pub fn add_watchpoint(&mut self, mem: &mut MemAp, address: u32, length: u32, access: Access) -> Result<Watchpoint> {
        if !length.is_power_of_two() || length > MAX_WATCH {
            return Err(Error::command(format!("a watchpoint's length is a power of two up to {MAX_WATCH}, not {length}")));
        }
        if !address.is_multiple_of(length) {
            return Err(Error::command(format!("a watchpoint of {length} bytes must be aligned to {length}; {address:#010x} is not")));
        }
        let units = self.units(mem)?.clone();
        let comparator = self.free_watcher(&units)?;
        let point = Watchpoint { address, length, access, comparator };
        self.write_watchpoint(mem, &point)?;
        self.watchpoints.push(point);
        Ok(point)
    }

    fn free_watcher(&self, units: &Units) -> Result<u32> {
        let used = |n: u32| self.watchpoints.iter().any(|point| point.comparator == n);
        let free = (0..).zip(&units.dwt).find(|(n, found)| found[2] & 0xF == 0 && !used(*n));
        free.map(|(n, _)| n).ok_or_else(|| {
            Error::command(format!("all {} watchpoints of core {} are in use", units.dwt.len(), self.name))
                .hint("`rwp all` frees those set here")
        })
    }

    fn write_watchpoint(&mut self, mem: &mut MemAp, point: &Watchpoint) -> Result<()> {
        let mask = point.length.trailing_zeros();
        let [comp, masks, function] = [0, 1, 2].map(|i| dwt_register(point.comparator, i));
        mem.batch(&mut [MemOp::write(function, 0), MemOp::write(comp, point.address), MemOp::write(masks, mask)])?;
        // How many mask bits there are is the implementation's choice (DDI0403 C1.8.16).
        let kept = mem.read32(masks)?;
        if kept != mask {
            let what =
                format!("core {} cannot watch {} bytes at once (DWT_MASK{} keeps {kept})", self.name, point.length, point.comparator);
            return Err(Error::command(what));
        }
        mem.write32(function, point.access.function())
    }

    /// The watchpoint that has matched since this was asked last.
    pub fn watch_hit(&mut self, mem: &mut MemAp) -> Result<Option<Watchpoint>> {
        let functions = read_words(mem, self.watchpoints.iter().map(|point| dwt_register(point.comparator, 2)))?;
        let mut hits = self.watchpoints.iter().zip(functions).filter(|(_, function)| function & MATCHED != 0);
        Ok(hits.next().map(|(point, _)| *point))
    }

    /// All of them, or those at an address.
    pub fn remove_watchpoints(&mut self, mem: &mut MemAp, address: Option<u32>) -> Result<()> {
        let gone = |point: &Watchpoint| address.is_none_or(|address| point.address == address);
        let going: Vec<u32> = self.watchpoints.iter().filter(|point| gone(point)).map(|point| point.comparator).collect();
        if let (true, Some(address)) = (going.is_empty(), address) {
            return Err(Error::command(format!("no watchpoint at {address:#010x}")).hint("`wp` lists them"));
        }
        let results: Vec<Result<()>> = going.iter().map(|n| mem.write32(dwt_register(*n, 2), 0)).collect();
        self.watchpoints.retain(|point| !gone(point));
        results.into_iter().collect()
    }

    /// A reset may have cleared FPB and DWT: what is set here is written again.
    pub fn rearm_points(&mut self, mem: &mut MemAp) -> Result<()> {
        let Some(units) = &self.units else { return Ok(()) };
        let revision = units.revision();
        mem.update(DEMCR, TRCENA, TRCENA)?;
        for point in self.breakpoints.clone() {
            if let Some(comparator) = point.comparator {
                mem.write32(FP_COMP + 4 * comparator, comparator_word(revision, point.address))?;
            }
        }
        if self.breakpoints.iter().any(|point| point.comparator.is_some()) {
            self.enable_fpb(mem, None)?;
        }
        for point in self.watchpoints.clone() {
            self.write_watchpoint(mem, &point)?;
        }
        Ok(())
    }

    /// Take away whatever would halt at `pc`: the FPB as a whole, and a BKPT of ours.
    pub(super) fn lift(&mut self, mem: &mut MemAp, pc: u32) -> Result<Lifted> {
        let fpb = mem.read32(FP_CTRL)? & FP_ENABLE != 0;
        if fpb {
            mem.write32(FP_CTRL, FP_KEY)?;
        }
        let ours = self.breakpoints.iter().copied().find(|point| point.address == pc && point.comparator.is_none());
        if let Some(point) = ours {
            self.write_code(mem, pc, point.original)?;
        }
        Ok(Lifted { fpb, code: ours.map(|point| point.address) })
    }

    pub(super) fn lower(&mut self, mem: &mut MemAp, lifted: Lifted) -> Result<()> {
        let code = lifted.code.map_or(Ok(()), |address| self.write_code(mem, address, OUR_BKPT));
        let fpb = if lifted.fpb { self.enable_fpb(mem, None) } else { Ok(()) };
        code.and(fpb)
    }

    /// Original instructions, then FPB and DWT as found. Every step is tried.
    pub(super) fn put_points_back(&mut self, mem: &mut MemAp) -> Result<()> {
        let breakpoints = self.remove_breakpoints(mem, None);
        let watchpoints = self.remove_watchpoints(mem, None);
        let units = match self.units.take() {
            // A reset may have cleared TRCENA, without which the DWT takes no writes.
            Some(units) => mem.update(DEMCR, TRCENA, TRCENA).and_then(|_| units.write_back(mem)),
            None => Ok(()),
        };
        breakpoints.and(watchpoints).and(units)
    }
}

fn read_code(mem: &mut MemAp, address: u32) -> Result<u16> {
    let mut half = [0; 2];
    mem.read_width(Width::Half, address, &mut half)?;
    Ok(u16::from_le_bytes(half))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comparators_are_counted_from_both_fields_of_fp_ctrl() {
        // Values of a real Cortex-M7 and Cortex-M0+ (stlink#820, DDI0419 C1.9.3).
        assert_eq!(code_comparators(0x1000_0080), 8);
        assert_eq!(code_comparators(0x40), 4);
        assert_eq!(code_comparators(0x1260), 0x16);
    }

    #[test]
    fn revision_1_selects_a_half_word_and_revision_2_an_address() {
        assert_eq!(comparator_word(1, 0x0800_0100), 0x4800_0101);
        assert_eq!(comparator_word(1, 0x0800_0102), 0x8800_0101);
        assert_eq!(comparator_word(2, 0x2400_0102), 0x2400_0103);
    }
}
