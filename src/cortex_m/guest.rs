//! A program of ours in the target's RAM: what it needs of the core is set, and what was there is put back.

use super::registers::{MSP, PC, PRIMASK, SPECIAL, XPSR};
use super::{Core, MPU_CTRL, VTOR};
use crate::adi::MemAp;
use crate::error::Result;
use crate::event::Ears;
use std::time::Duration;

/// Selectors of what a guest may change: r0-r12, lr, pc, xPSR, msp, psp, and CONTROL to PRIMASK.
const SAVED: [u32; 19] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, PC, XPSR, MSP, MSP + 1, SPECIAL];
/// EPSR.T
const THUMB: u32 = 1 << 24;
const HALT_WAIT: Duration = Duration::from_secs(1);

/// Where a guest lies, and what it is given.
pub struct Guest {
    /// Its vector table: aligned to 128 bytes, its first words not used.
    pub vectors: u32,
    pub entry: u32,
    pub stack: u32,
    pub r7: u32,
}

/// What `start_guest` found.
pub struct Host {
    registers: Vec<u32>,
    vtor: u32,
    mpu: u32,
    own_halt: bool,
}

impl Core {
    /// Run it: privileged, interrupts masked, the MPU off, faults through its own vectors. The core is halted.
    pub fn start_guest(&mut self, mem: &mut MemAp, guest: &Guest) -> Result<Host> {
        let registers = self.read_core(mem, &SAVED)?;
        let host =
            Host { registers, vtor: mem.update(VTOR, !0, guest.vectors)?, mpu: mem.update(MPU_CTRL, !0, 0)?, own_halt: self.own_halt };
        let set = [(SPECIAL, PRIMASK), (MSP, guest.stack), (7, guest.r7), (XPSR, THUMB), (PC, guest.entry)];
        self.write_core_all(mem, &set)?;
        self.run(mem)?;
        Ok(host)
    }

    /// Halt it, and put everything back.
    pub fn stop_guest(&mut self, mem: &mut MemAp, ears: &Ears, host: Host) -> Result<()> {
        self.halt(mem, &Ears { breathe: std::rc::Rc::new(|| Ok(())), ..ears.clone() }, HALT_WAIT)?;
        mem.write32(VTOR, host.vtor)?;
        mem.write32(MPU_CTRL, host.mpu)?;
        let found: Vec<(u32, u32)> = SAVED.into_iter().zip(host.registers).collect();
        self.write_core_all(mem, &found)?;
        self.own_halt = host.own_halt;
        Ok(())
    }
}
