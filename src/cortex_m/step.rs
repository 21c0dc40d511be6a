//! One instruction at a time: what is pending runs before it, interrupts are masked during it, and no breakpoint is in its way.

use super::registers::{self, IPSR, PC, PRIMASK, SP, SPECIAL, XPSR};
use super::{BKPT, C_DEBUGEN, C_HALT, C_MASKINTS, C_STEP, Core, DBGKEY, DFSR, DFSR_ALL, DFSR_BKPT, DHCSR, ICSR};
use super::{S_HALT, S_LOCKUP, S_RETIRE_ST, not_halted, points};
use crate::adi::MemAp;
use crate::error::{Error, Result};
use crate::event::Ears;
use crate::probe::{Deadline, MemOp};
use std::time::Duration;

const BKPT_MASK: u16 = 0xFF00;
/// ICSR, DDI0403 B3.2.4: the exception that is pending, and whether it preempts what a halted core stands in.
const VECTPENDING: u32 = 0x1FF << 12;
const ISRPREEMPT: u32 = 1 << 23;

/// One instruction with interrupts masked; WFI is the only one that may take longer.
const STEP_WAIT: Duration = Duration::from_millis(500);
/// Handlers that run before a step, as long as OpenOCD gives them.
const SERVE_WAIT: Duration = Duration::from_millis(500);

impl Core {
    /// One instruction, interrupts masked; those that were pending are let run before it. The pc after it.
    pub fn step(&mut self, mem: &mut MemAp, ears: &Ears, at: Option<u32>) -> Result<u32> {
        // That a core still stands which stood at the last look is in the batch of the step.
        if at.is_some() || self.stood.is_none() {
            self.start_at(mem, at)?;
        }
        if self.serve(mem, ears).map_err(|error| error.during("letting pending interrupts run"))? {
            return self.pc(mem);
        }
        if self.step_freely(mem, ears)? {
            return self.pc(mem);
        }
        if let Some(pc) = self.skip_bkpt(mem)? {
            // That is the step, and not the BKPT that the core would not leave.
            mem.write32(DFSR, DFSR_ALL)?;
            self.seen.iter_mut().for_each(|seen| seen.dfsr = None);
            return Ok(pc);
        }
        self.step_off(mem, ears)?;
        self.pc(mem)
    }

    /// What is pending would wait for as long as somebody steps: it runs now, up to a breakpoint at pc (OpenOCD's maskisr
    /// `auto`). True: the core has stopped somewhere else, at a breakpoint in a handler.
    fn serve(&mut self, mem: &mut MemAp, ears: &Ears) -> Result<bool> {
        let icsr = match self.seen.as_ref().and_then(|seen| seen.icsr) {
            Some(icsr) => icsr,
            None => mem.read32(ICSR)?,
        };
        if icsr & VECTPENDING == 0 {
            return Ok(false);
        }
        let [pc, sp, xpsr, special] = self.read_core(mem, &[PC, SP, XPSR, SPECIAL])?[..] else { return Ok(false) };
        let in_handler = xpsr & IPSR != 0;
        if special & PRIMASK != 0 || in_handler && icsr & ISRPREEMPT == 0 {
            return Ok(false);
        }
        let own = self.breakpoints.iter().any(|point| point.address == pc);
        if !own && self.add_point(mem, pc).is_err() {
            // No comparator is left: what is pending waits.
            return Ok(false);
        }
        let served = self.served(mem, ears, pc, sp);
        let removed = if own { Ok(()) } else { self.remove_breakpoints(mem, Some(pc)) };
        served.and_then(|elsewhere| removed.map(|()| elsewhere))
    }

    /// A handler may come through pc, too: only with the same stack it is where the core stood.
    fn served(&mut self, mem: &mut MemAp, ears: &Ears, pc: u32, sp: u32) -> Result<bool> {
        let deadline = Deadline::after(&*mem.probe, SERVE_WAIT);
        loop {
            self.run(mem)?;
            self.until_halted(mem, ears, SERVE_WAIT)?;
            match self.read_core(mem, &[PC, SP])?[..] {
                [now, stack] if now == pc && stack != sp && !deadline.passed(&*mem.probe) => {
                    (ears.breathe)()?;
                    self.step_off(mem, ears)?;
                }
                [now, stack] => return Ok((now, stack) != (pc, sp)),
                _ => return Ok(true),
            }
        }
    }

    /// As if no breakpoint were at pc, and in the same batch its registers; false: there was one, and nothing was executed.
    fn step_freely(&mut self, mem: &mut MemAp, ears: &Ears) -> Result<bool> {
        self.code_settled(mem)?;
        let mut ops = vec![MemOp::read(DHCSR)];
        ops.extend(self.before_it_moves());
        // Our comparators are off for one instruction: one of them may be at pc.
        let compared = self.breakpoints.iter().any(|point| point.comparator.is_some());
        ops.extend(compared.then_some(points::FPB_OFF));
        // Interrupts are masked in a write of their own, before C_HALT is cleared (Cortex-M erratum 377497), and unmasked in
        // one of their own, when the core has halted: what still sleeps is halted first.
        let set = |bits: u32| MemOp::write(DHCSR, DBGKEY | C_DEBUGEN | bits);
        ops.extend([C_HALT, C_STEP].map(|bits| set(C_MASKINTS | bits)));
        let lead = ops.len();
        let mut tail = vec![set(C_MASKINTS | C_HALT), set(C_HALT), MemOp::read(DHCSR)];
        tail.extend(compared.then_some(points::FPB_ON).into_iter().flatten());
        let registers = registers::at_once(mem);
        let gathered = self.gather(mem, ops, registers, &tail);
        let on = gathered.as_ref().is_ok_and(|ops| ops.last().is_some_and(|ctrl| ctrl.value() & points::FP_ENABLE != 0));
        let on = if compared && !on { self.enable_fpb(mem, None) } else { Ok(()) };
        let ops = gathered.and_then(|ops| on.map(|()| ops))?;
        self.stepped = true;
        if ops[0].value() & S_HALT == 0 {
            // It did not stand any more, as after a reset: it goes on as it was.
            Self::control(mem, C_DEBUGEN | C_HALT)?;
            self.run(mem)?;
            return Err(self.running());
        }
        if self.stood.is_none() {
            self.until_halted(mem, ears, STEP_WAIT).map_err(|error| error.during("stepping one instruction"))?;
        }
        let looks = || ops[lead..].iter().filter(|op| op.address == DHCSR && !op.write).map(MemOp::value);
        if let Some(dhcsr) = looks().find(|dhcsr| dhcsr & (S_LOCKUP | S_HALT) == S_LOCKUP) {
            let message = format!("core {} locked up (DHCSR = {dhcsr:#010x})", self.name);
            return Err(Error { message, ..not_halted(dhcsr) }.during("stepping one instruction"));
        }
        let moved = looks().next().is_some_and(|dhcsr| dhcsr & S_RETIRE_ST != 0);
        Ok(moved || self.dfsr(mem)? & DFSR_BKPT == 0)
    }

    /// A breakpoint stands at pc: one of ours, or one that was armed before rocd came (DFSR says so).
    pub(super) fn stands_on_breakpoint(&mut self, mem: &mut MemAp) -> Result<bool> {
        let pc = self.pc(mem)?;
        Ok(self.breakpoints.iter().any(|point| point.address == pc) || self.dfsr(mem)? & DFSR_BKPT != 0)
    }

    /// Step with every breakpoint at pc lifted, and set them again also when the step went wrong.
    pub(super) fn step_off(&mut self, mem: &mut MemAp, ears: &Ears) -> Result<()> {
        let pc = self.pc(mem)?;
        if self.breakpoints.iter().any(|point| point.address == pc && point.comparator.is_some()) {
            return self.step_freely(mem, ears).map(drop);
        }
        let lifted = self.lift(mem, pc)?;
        let steps = [self.step_freely(mem, ears).map(drop), self.lower(mem, lifted)];
        steps.into_iter().collect()
    }

    /// A BKPT at pc that is not ours would halt again: go past it. The new pc, if there was one.
    pub(super) fn skip_bkpt(&mut self, mem: &mut MemAp) -> Result<Option<u32>> {
        let pc = self.pc(mem)?;
        if self.breakpoints.iter().any(|point| point.address == pc) {
            return Ok(None);
        }
        let mut half = [0; 2];
        match mem.read(pc, &mut half) {
            Ok(()) if u16::from_le_bytes(half) & BKPT_MASK == BKPT => {
                self.write_core(mem, registers::PC, pc.wrapping_add(2))?;
                Ok(Some(pc.wrapping_add(2)))
            }
            Ok(()) => Ok(None),
            // A pc where nothing can be read is the program's trouble, and it shows as soon as the core runs.
            Err(error) if error.is_fault() => Ok(None),
            Err(error) => Err(error),
        }
    }
}
