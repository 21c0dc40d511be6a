//! Looks at a core that disturb nothing: samples of its pc (DWT_PCSR, DDI0403 C1.8.6), the registers that say what it was set
//! to. And how a core that was halted for such a look goes on as if it had not been.

use super::{C_DEBUGEN, Core, DBGKEY, DEMCR, DHCSR, ICSR, S_HALT, S_LOCKUP, S_RESET_ST, S_RETIRE_ST, S_SLEEP, TRCENA, registers};
use crate::adi::MemAp;
use crate::error::Result;
use crate::probe::MemOp;
use std::time::Duration;

const DWT_PCSR: u32 = 0xE000_101C;

/// One look at a running core.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    pub at: Duration,
    dhcsr: u32,
    /// Where the core is; all ones where that cannot be seen.
    pub pc: u32,
    pub icsr: u32,
}

impl Sample {
    #[cfg(test)]
    pub fn made(dhcsr: u32, pc: u32) -> Sample {
        Sample { at: Duration::ZERO, dhcsr, pc, icsr: 0 }
    }

    /// Has the core been reset since the look before?
    pub fn reset(&self) -> bool {
        self.dhcsr & S_RESET_ST != 0
    }

    /// Has it executed anything since the look before?
    pub fn retired(&self) -> bool {
        self.dhcsr & S_RETIRE_ST != 0
    }

    pub fn rests(&self) -> bool {
        self.dhcsr & (S_SLEEP | S_HALT | S_LOCKUP) != 0
    }

    /// C_DEBUGEN, with which a BKPT halts and is no fault.
    pub fn debugged(&self) -> bool {
        self.dhcsr & C_DEBUGEN != 0
    }

    pub fn asleep(&self) -> bool {
        self.dhcsr & S_SLEEP != 0
    }

    /// The exception that is being handled, 0 for none (ICSR.VECTACTIVE).
    pub fn exception(&self) -> u32 {
        self.icsr & 0x1FF
    }
}

/// What a halted core holds: r0 to r12, sp, lr, pc, xPSR, msp, psp, and CONTROL to PRIMASK.
#[derive(Clone, Copy, Debug)]
pub struct Stood([u32; 20]);

impl Stood {
    pub fn r(&self, number: usize) -> u32 {
        self.0[number]
    }

    pub fn sp(&self) -> u32 {
        self.0[13]
    }

    pub fn lr(&self) -> u32 {
        self.0[14]
    }

    pub fn pc(&self) -> u32 {
        self.0[15]
    }

    pub fn xpsr(&self) -> u32 {
        self.0[16]
    }

    pub fn msp(&self) -> u32 {
        self.0[17]
    }

    pub fn psp(&self) -> u32 {
        self.0[18]
    }

    /// PRIMASK, or FAULTMASK.
    pub fn masked(&self) -> bool {
        self.0[19] & 0x0001_0001 != 0
    }
}

impl Core {
    /// DEMCR as it was; from now on pc can be sampled.
    pub fn open_samples(&mut self, mem: &mut MemAp) -> Result<u32> {
        let demcr = mem.read32(DEMCR)?;
        if demcr & TRCENA == 0 {
            mem.write32(DEMCR, demcr | TRCENA)?;
        }
        Ok(demcr)
    }

    pub fn close_samples(&mut self, mem: &mut MemAp, demcr: u32) -> Result<()> {
        if demcr & TRCENA == 0 { mem.write32(DEMCR, demcr) } else { Ok(()) }
    }

    pub fn sample(&mut self, mem: &mut MemAp) -> Result<Sample> {
        let mut ops = [DHCSR, DWT_PCSR, ICSR].map(MemOp::read);
        mem.batch(&mut ops)?;
        let [dhcsr, pc, icsr] = ops.map(|op| op.value());
        self.note(dhcsr, mem.now());
        Ok(Sample { at: mem.now(), dhcsr, pc, icsr })
    }

    /// DHCSR and DEMCR when the core was first looked at.
    pub fn at_first(&self) -> (u32, u32) {
        (self.found_dhcsr, self.found_demcr)
    }

    pub fn stood(&mut self, mem: &mut MemAp) -> Result<Stood> {
        let words = self.read_core(mem, &registers::CORE)?;
        Ok(Stood(words.try_into().expect("read_core gives as many as it is asked for")))
    }

    /// A core that ran goes on from where it was halted, past no breakpoint; a BKPT is a fault for it again if it was before.
    pub fn let_go(&mut self, mem: &mut MemAp, debug: bool) -> Result<()> {
        let mut ops = self.before_it_moves();
        ops.push(MemOp::write(DHCSR, DBGKEY | if debug { C_DEBUGEN } else { 0 }));
        mem.batch(&mut ops)
    }
}
