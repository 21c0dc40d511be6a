//! System instructions: special registers, hints, barriers, CPS, IT, SVC, BKPT (DDI0403E A7.7 and B5.2).

use super::control::{FPCA, NPRIV, SPSEL};
use super::decode::Insn;
use super::exec::{Done, Trap};
use super::{Arch, Core};
use crate::sim::bus::Bus;

macro_rules! ops {
    ($($(#[$meta:meta])* $name:ident($c:ident, $i:ident) $body:block)*) => {
        $($(#[$meta])* pub fn $name($c: &mut Core, _: &mut Bus, $i: &Insn) -> Done { $body })*
    };
}

ops! {
    nop(_c, _i) { Ok(()) }
    udf(_c, _i) { Err(Trap::Undefined) }
    svc(_c, _i) { Err(Trap::Supervisor) }
    bkpt(_c, _i) { Err(Trap::Breakpoint) }
    comparator(_c, _i) { Err(Trap::Comparator) }
    clrex(c, _i) { c.exclusive = false; Ok(()) }
    /// DSB, DMB, ISB: accesses are done in order anyway; interrupts that became possible are taken now. DSB (bits 7:4 are 4)
    /// waits for the store buffer.
    barrier(c, i) {
        if i.raw >> 4 & 0xF == 4 {
            c.drain_now();
        }
        c.attention = true;
        Ok(())
    }
    hint(c, i) {
        match i.imm {
            2 if c.event => c.event = false,
            2 => c.sleep(true),
            3 => c.sleep(false),
            4 => (c.event, c.signal) = (true, true),
            _ => {}
        }
        Ok(())
    }
    it(c, i) { c.it = i.imm as u8; Ok(()) }
    cps(c, i) {
        // x: disable; bit 1 PRIMASK, bit 0 FAULTMASK (ARMv7-M)
        if !c.privileged() { return Ok(()); }
        let value = u32::from(i.x);
        if i.imm & 2 != 0 { c.primask = value; }
        if i.imm & 1 != 0 && c.row.arch == Arch::V7M { c.set_faultmask(value); }
        c.attention = true;
        Ok(())
    }
    mrs(c, i) {
        let value = c.special(i.imm);
        c.set(i.d, value);
        Ok(())
    }
    msr(c, i) {
        let value = c.r[i.n as usize & 15];
        c.set_special_register(i.imm, i.x, value);
        c.attention = true;
        Ok(())
    }
}

impl Core {
    pub(super) fn privileged(&self) -> bool {
        self.ipsr != 0 || self.control & NPRIV == 0
    }

    /// WFI, WFE: until an interrupt, an event or the debugger.
    fn sleep(&mut self, for_event: bool) {
        self.asleep = Some(for_event);
        self.attention = true;
    }

    /// FAULTMASK cannot be set from NMI and HardFault (DDI0403E B5.2.3).
    fn set_faultmask(&mut self, value: u32) {
        if value == 0 || !matches!(self.ipsr, 2 | 3) {
            self.faultmask = value;
        }
    }

    /// MRS by SYSm (DDI0403E B5.1.1).
    fn special(&self, number: u32) -> u32 {
        let v7m = self.row.arch == Arch::V7M;
        match number {
            0..=7 => {
                let apsr = if number & 4 == 0 { self.xpsr() & 0xF80F_0000 } else { 0 };
                let ipsr = if number & 1 != 0 { u32::from(self.ipsr) } else { 0 };
                apsr | ipsr
            }
            8 if self.privileged() => self.msp(),
            9 if self.privileged() => self.psp(),
            16 if self.privileged() => self.primask,
            17 | 18 if v7m && self.privileged() => self.basepri,
            19 if v7m && self.privileged() => self.faultmask,
            20 => self.control,
            _ => 0,
        }
    }

    /// MSR; `mask`: 2 writes NZCVQ, 1 writes GE.
    fn set_special_register(&mut self, number: u32, mask: u8, value: u32) {
        let v7m = self.row.arch == Arch::V7M;
        match number {
            0..=3 => self.set_apsr(value, mask),
            _ if !self.privileged() => {}
            8 => self.set_msp(value),
            9 => self.set_psp(value),
            16 => self.primask = value & 1,
            17 if v7m => self.basepri = value & u32::from(self.row.priority),
            18 if v7m => {
                let value = value & u32::from(self.row.priority);
                if value != 0 && (value < self.basepri || self.basepri == 0) {
                    self.basepri = value;
                }
            }
            19 if v7m => self.set_faultmask(value & 1),
            20 => {
                let fpca = if self.row.mvfr.is_some() { value & FPCA } else { 0 };
                // SPSEL takes no effect in handler mode (DDI0403E B1.4.4).
                let spsel = if self.ipsr == 0 { value & SPSEL } else { self.control & SPSEL };
                self.set_control(value & NPRIV | spsel | fpca);
            }
            _ => {}
        }
    }

    fn set_apsr(&mut self, value: u32, mask: u8) {
        let v7m = self.row.arch == Arch::V7M;
        if mask & 2 != 0 || !v7m {
            (self.n, self.z, self.c, self.v) = (value >> 31 & 1 != 0, value >> 30 & 1 != 0, value >> 29 & 1 != 0, value >> 28 & 1 != 0);
            if v7m {
                self.q = value >> 27 & 1 != 0;
            }
        }
        if mask & 1 != 0 && v7m {
            self.ge = (value >> 16 & 0xF) as u8;
        }
    }
}
