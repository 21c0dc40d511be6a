//! Core registers by DCRSR and DCRDR (DDI0403 C1.6.3, C1.6.4), named and numbered as OpenOCD and gdb do.

use super::{CPUID, Core, DFSR, DHCSR, ICSR, S_HALT, S_REGRDY, S_RESET_ST, S_RETIRE_ST};
use crate::adi::MemAp;
use crate::error::{Cause, Error, Result};
use crate::probe::{Deadline, MemOp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const DCRSR: u32 = 0xE000_EDF4;
/// Between debugger and core; alone it does nothing.
pub const DCRDR: u32 = 0xE000_EDF8;
const WRITE: u32 = 1 << 16;
/// A transfer takes a few core clocks; this is for a core at 32 kHz behind a slow probe.
const TRANSFER_WAIT: Duration = Duration::from_millis(100);

pub(super) const SP: u32 = 13;
pub(super) const LR: u32 = 14;
pub(super) const PC: u32 = 15;
pub(super) const XPSR: u32 = 16;
/// Of xPSR: the exception that is being handled (DDI0403 B1.4.2).
pub(super) const IPSR: u32 = 0x1FF;
pub(super) const MSP: u32 = 17;
/// CONTROL 31:24, FAULTMASK 23:16, BASEPRI 15:8, PRIMASK 7:0.
pub(super) const SPECIAL: u32 = 0x14;
pub(super) const PRIMASK: u32 = 1;
/// Selectors of what every core has: r0-r12, sp, lr, pc, xPSR, msp, psp, and CONTROL to PRIMASK.
pub(super) const CORE: [u32; 20] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, PC, XPSR, MSP, MSP + 1, SPECIAL];
/// What a debugger asks for at every stop, r7 being Thumb's frame pointer; with a step it fits into one batch of a V2.
const FEW: [u32; 10] = [PC, XPSR, SP, LR, MSP, MSP + 1, SPECIAL, 7, 0, 1];
/// Items of a batch that has `CORE` and a step in it: 4 for each, and 24.
const FULL: usize = 4 * CORE.len() + 24;
const FPSCR: u32 = 0x21;
/// S0, then S1 …
const S0: u32 = 0x40;

/// What a halted core was seen to hold.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub dfsr: Option<u32>,
    pub icsr: Option<u32>,
    /// By selector.
    pub words: BTreeMap<u32, u32>,
    pub around: super::around::Around,
}

/// One register as `reg` lists it. `number` is OpenOCD's and gdb's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    pub number: u32,
    pub name: &'static str,
    pub bits: u32,
}

/// Who has it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Has {
    All,
    V7m,
    Fpu,
}

/// Where it is behind DCRSR.
#[derive(Clone, Copy)]
enum Place {
    Word(u32),
    /// A byte of SPECIAL, by its lowest bit.
    Byte(u32),
    /// S(2n) and S(2n+1).
    Double(u32),
}

/// number, name, bits, place, who has it
#[derive(Clone, Copy)]
struct Row(u32, &'static str, u32, Place, Has);

/// By number, which is also their selector.
const WORDS: [&str; 19] =
    ["r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9", "r10", "r11", "r12", "sp", "lr", "pc", "xPSR", "msp", "psp"];
const SPECIALS: [Row; 4] = [
    Row(20, "primask", 1, Place::Byte(0), Has::All),
    Row(21, "basepri", 8, Place::Byte(8), Has::V7m),
    Row(22, "faultmask", 1, Place::Byte(16), Has::V7m),
    Row(23, "control", 3, Place::Byte(24), Has::All),
];
/// From number 42 on.
const DOUBLES: [&str; 16] = ["d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d8", "d9", "d10", "d11", "d12", "d13", "d14", "d15"];

/// Every register there is, in OpenOCD's order.
fn rows() -> impl Iterator<Item = Row> {
    let words = (0..).zip(WORDS).map(|(n, name)| Row(n, name, 32, Place::Word(n), Has::All));
    let doubles = (0..).zip(DOUBLES).map(|(n, name)| Row(42 + n, name, 64, Place::Double(n), Has::Fpu));
    words.chain(SPECIALS).chain(doubles).chain([Row(58, "fpscr", 32, Place::Word(FPSCR), Has::Fpu)])
}

impl Place {
    fn selectors(self) -> Vec<u32> {
        match self {
            Place::Word(selector) => vec![selector],
            Place::Byte(_) => vec![SPECIAL],
            Place::Double(n) => vec![S0 + 2 * n, S0 + 2 * n + 1],
        }
    }

    /// The register's value out of what its selectors gave.
    fn value(self, words: &[u32], bits: u32) -> u64 {
        match self {
            Place::Word(_) => u64::from(words[0]),
            Place::Byte(low) => u64::from(words[0] >> low & mask(bits)),
            Place::Double(_) => u64::from(words[0]) | u64::from(words[1]) << 32,
        }
    }
}

/// The registers that come with a step or a halt in one exchange.
pub(super) fn at_once(mem: &MemAp) -> &'static [u32] {
    match mem.probe.room() {
        1..FULL => &FEW,
        _ => &CORE,
    }
}

fn mask(bits: u32) -> u32 {
    (1 << bits) - 1
}

fn row_of(register: Register) -> Result<Row> {
    let row = rows().find(|row| row.0 == register.number);
    row.ok_or_else(|| Error::command(format!("no register has the number {}", register.number)))
}

/// `Err` if CPUID, which never changes, is not what it was: the wire garbles words, and parity does not show it.
pub fn check_link(mem: &mut MemAp, cpuid: u32) -> Result<()> {
    match mem.read32(CPUID)? {
        now if now == cpuid => Ok(()),
        now => Err(garbled(cpuid, now)),
    }
}

fn garbled(cpuid: u32, now: u32) -> Error {
    Error::target(format!("the link is not right any more: CPUID reads {now:#010x}, not {cpuid:#010x}"))
        .cause(Cause::Link)
        .hint("nothing read through it was passed on; look at the wires, then `connect`, or go slower with `adapter speed`")
}

/// Registers through DCRSR and DCRDR, each with a look at DHCSR between; then DFSR, ICSR and `tail`.
fn by_batch(mem: &mut MemAp, ops: &mut Vec<MemOp>, registers: &mut [MemOp], tail: &[MemOp]) -> Result<bool> {
    let start = ops.len();
    for register in registers.iter() {
        ops.extend([MemOp::write(DCRSR, register.address), MemOp::read(DHCSR), MemOp::read(DCRDR)]);
    }
    ops.extend([DFSR, ICSR].map(MemOp::read));
    ops.extend(tail);
    mem.batch(ops)?;
    for (register, ops) in registers.iter_mut().zip(ops[start..].chunks_exact(3)) {
        register.value = ops[2].value();
    }
    Ok(true)
}

/// The same by the probe's own commands, with looks at DHCSR before and behind them. False: the core did not stand before.
fn by_commands(mem: &mut MemAp, ops: &mut Vec<MemOp>, registers: &mut [MemOp], tail: &[MemOp]) -> Result<bool> {
    ops.push(MemOp::read(DHCSR));
    mem.batch(ops)?;
    let stood = ops.last().is_some_and(|op| op.value() & S_HALT != 0);
    let known = stood && mem.probe.core_registers(mem.ap, registers)?;
    let mut rest = [&[DHCSR, DFSR, ICSR].map(MemOp::read), tail].concat();
    mem.batch(&mut rest)?;
    ops.extend(rest);
    Ok(known)
}

impl Core {
    fn has(&self, row: &Row) -> bool {
        match row.4 {
            Has::All => true,
            Has::V7m => !self.part.v6m,
            Has::Fpu => self.fpu,
        }
    }

    /// Every register this core has, in OpenOCD's order.
    pub fn registers(&self) -> Vec<Register> {
        rows().filter(|row| self.has(row)).map(|row| Register { number: row.0, name: row.1, bits: row.2 }).collect()
    }

    /// Several registers in as few transfers as the probe can.
    pub fn read_registers(&mut self, mem: &mut MemAp, registers: &[Register]) -> Result<Vec<u64>> {
        let rows: Vec<Row> = registers.iter().map(|register| row_of(*register)).collect::<Result<_>>()?;
        if let Some(row) = rows.iter().find(|row| !self.has(row)) {
            return Err(self.lacks(row));
        }
        let selectors: Vec<u32> = rows.iter().flat_map(|row| row.3.selectors()).collect();
        let words = self.read_core(mem, &selectors)?;
        let mut words = words.as_slice();
        let take = |row: &Row| {
            let (own, rest) = words.split_at(row.3.selectors().len());
            words = rest;
            row.3.value(own, row.2)
        };
        Ok(rows.iter().map(take).collect())
    }

    /// Of r0 to psp those that are known at a stop, in one exchange if they are not yet.
    pub fn stop_registers(&mut self, mem: &mut MemAp) -> Result<Vec<(Register, u64)>> {
        let wanted = at_once(mem);
        let known = |core: &Core, selector| core.seen.as_ref().and_then(|seen| seen.words.get(selector)).copied();
        if !wanted.iter().all(|selector| known(self, selector).is_some()) {
            self.need_halted(mem)?;
            self.gather(mem, vec![], wanted, &[])?;
        }
        let registers = self.registers().into_iter().zip(&CORE[..WORDS.len()]);
        Ok(registers.filter_map(|(register, selector)| Some((register, known(self, selector)?.into()))).collect())
    }

    pub fn write_register(&mut self, mem: &mut MemAp, register: Register, value: u64) -> Result<()> {
        let row = row_of(register)?;
        if !self.has(&row) {
            return Err(self.lacks(&row));
        }
        if row.2 < 64 && value >> row.2 != 0 {
            return Err(Error::command(format!("{value:#x} does not fit {}, which has {} bits", row.1, row.2)));
        }
        let low = value as u32;
        match row.3 {
            Place::Word(selector) => self.write_core(mem, selector, low),
            Place::Byte(bit) => {
                let others = self.read_core(mem, &[SPECIAL])?[0] & !(0xFF << bit);
                self.write_core(mem, SPECIAL, others | low << bit)
            }
            Place::Double(n) => {
                self.write_core(mem, S0 + 2 * n, low)?;
                self.write_core(mem, S0 + 2 * n + 1, (value >> 32) as u32)
            }
        }
    }

    fn lacks(&self, row: &Row) -> Error {
        let without = if row.4 == Has::Fpu { " without FPU" } else { "" };
        Error::command(format!("core {} has no register {}: it is a {}{without}", self.name, row.1, self.part.name))
    }

    /// Raw DCRSR selectors to values. All that every core has come together: one is hardly ever wanted alone.
    pub(super) fn read_core(&mut self, mem: &mut MemAp, selectors: &[u32]) -> Result<Vec<u32>> {
        self.need_halted(mem)?;
        let seen = self.seen.as_ref().map(|seen| &seen.words);
        let missing = |selector: &u32| seen.is_none_or(|words| !words.contains_key(selector));
        let others = CORE.iter().filter(|_| selectors.iter().any(|selector| CORE.contains(selector) && missing(selector)));
        let wanted: BTreeSet<u32> = selectors.iter().chain(others).copied().filter(missing).collect();
        if !wanted.is_empty() {
            self.gather(mem, vec![], &wanted.into_iter().collect::<Vec<_>>(), &[])?;
        }
        let words = self.seen.as_ref().map(|seen| &seen.words);
        selectors.iter().map(|selector| words.and_then(|words| words.get(selector)).copied().ok_or_else(|| self.running())).collect()
    }

    /// `lead`, these registers and `tail` in one batch, which is returned; what was read is in `seen`, and nothing is if the
    /// core did not stand. A register counts only if the DHCSR read before it shows S_HALT and S_REGRDY: if one does not,
    /// all are read once more, one by one. CPUID, which never changes, is asked on the way for whether words come right.
    pub(super) fn gather(&mut self, mem: &mut MemAp, lead: Vec<MemOp>, selectors: &[u32], tail: &[MemOp]) -> Result<Vec<MemOp>> {
        let (mut ops, first) = (lead, self.dcrdr.is_none());
        ops.extend([MemOp::read(CPUID)].into_iter().chain(first.then_some(MemOp::read(DCRDR))));
        let start = ops.len();
        let mut registers: Vec<MemOp> = selectors.iter().copied().map(MemOp::read).collect();
        let known = match mem.probe.core_registers(mem.ap, &mut [])? {
            true => by_commands(mem, &mut ops, &mut registers, tail)?,
            false => by_batch(mem, &mut ops, &mut registers, tail)?,
        };
        if let Some(other) = ops[..start].iter().find(|op| op.address == CPUID && op.value() != self.cpuid) {
            return Err(garbled(self.cpuid, other.value()));
        }
        if first {
            self.dcrdr = Some(ops[start - 1].value());
        }
        let (now, end) = (mem.now(), ops.len() - tail.len() - 2);
        ops.iter().filter(|op| op.address == DHCSR && !op.write).for_each(|op| self.note(op.value(), now));
        let states: Vec<u32> = ops[start..end].iter().filter(|op| op.address == DHCSR).map(MemOp::value).collect();
        let moved = states.iter().skip(1).any(|dhcsr| dhcsr & (S_RETIRE_ST | S_RESET_ST) != 0);
        let good = known && !moved && states.iter().all(|dhcsr| dhcsr & (S_HALT | S_REGRDY) == S_HALT | S_REGRDY);
        if !good && self.stood.is_some() {
            // The batch was faster than the core.
            for register in &mut registers {
                register.value = self.read_slowly(mem, register.address)?;
            }
        }
        if let Some(seen) = self.seen.as_mut() {
            seen.words.extend(registers.iter().map(|register| (register.address, register.value())));
            seen.dfsr = seen.dfsr.or(good.then_some(ops[end].value()));
            seen.icsr = good.then_some(ops[end + 1].value());
        }
        Ok(ops)
    }

    fn read_slowly(&mut self, mem: &mut MemAp, selector: u32) -> Result<u32> {
        mem.write32(DCRSR, selector)?;
        self.until_transferred(mem, selector)?;
        mem.read32(DCRDR)
    }

    pub(super) fn write_core(&mut self, mem: &mut MemAp, selector: u32, value: u32) -> Result<()> {
        self.write_core_all(mem, &[(selector, value)])
    }

    /// Values to raw DCRSR selectors, in order. A batch that was faster than the core is written once more, one by one.
    pub(super) fn write_core_all(&mut self, mem: &mut MemAp, values: &[(u32, u32)]) -> Result<()> {
        self.need_halted(mem)?;
        let first = self.dcrdr.is_none();
        let mut ops: Vec<MemOp> = first.then_some(MemOp::read(DCRDR)).into_iter().collect();
        for (selector, value) in values {
            ops.extend([MemOp::write(DCRDR, *value), MemOp::write(DCRSR, WRITE | selector), MemOp::read(DHCSR)]);
        }
        let mut own: Vec<MemOp> = values.iter().map(|(selector, value)| MemOp::write(*selector, *value)).collect();
        if mem.probe.core_registers(mem.ap, &mut [])? {
            ops.truncate(usize::from(first));
            mem.batch(&mut ops)?;
            mem.probe.core_registers(mem.ap, &mut own)?;
        } else {
            mem.batch(&mut ops)?;
        }
        if first {
            self.dcrdr = Some(ops[0].value());
        }
        // One register is seen through several selectors: sp, msp and psp.
        self.seen.iter_mut().for_each(|seen| seen.words.clear());
        let now = mem.now();
        let states: Vec<u32> = ops.iter().filter(|op| op.address == DHCSR).map(MemOp::value).collect();
        states.iter().for_each(|dhcsr| self.note(*dhcsr, now));
        if states.iter().all(|dhcsr| dhcsr & S_REGRDY != 0) {
            return Ok(());
        }
        for (selector, value) in values {
            self.until_transferred(mem, *selector)?;
            mem.write32(DCRDR, *value)?;
            mem.write32(DCRSR, WRITE | selector)?;
            self.until_transferred(mem, *selector)?;
        }
        Ok(())
    }

    fn until_transferred(&mut self, mem: &mut MemAp, selector: u32) -> Result<()> {
        let deadline = Deadline::after(mem.probe, TRANSFER_WAIT);
        loop {
            let late = deadline.passed(mem.probe);
            let dhcsr = self.dhcsr(mem)?;
            if dhcsr & S_REGRDY != 0 {
                return Ok(());
            }
            if dhcsr & S_HALT == 0 || late {
                let what = format!("core register {selector:#x} was not transferred (DHCSR = {dhcsr:#010x})");
                return Err(Error::target(what).cause(Cause::Timeout));
            }
            mem.sleep(super::POLLS.0);
        }
    }
}
