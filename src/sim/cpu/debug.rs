//! Halting debug: DHCSR, DCRSR, DCRDR, DEMCR and DFSR (ARM DDI0403 C1.6, DDI0419 C1.6).

use super::{Arch, Core, State};

pub const HALTED: u32 = 1 << 0;
pub const VCATCH: u32 = 1 << 3;

mod dhcsr {
    pub const KEY: u32 = 0xA05F;
    pub const C_DEBUGEN: u32 = 1 << 0;
    pub const C_HALT: u32 = 1 << 1;
    pub const C_STEP: u32 = 1 << 2;
    pub const C_MASK: u32 = 0xF;
    pub const C_SNAPSTALL: u32 = 1 << 5;
    pub const S_REGRDY: u32 = 1 << 16;
    pub const S_HALT: u32 = 1 << 17;
    pub const S_LOCKUP: u32 = 1 << 19;
    pub const S_RETIRE_ST: u32 = 1 << 24;
    pub const S_RESET_ST: u32 = 1 << 25;
}

const TRCENA: u32 = 1 << 24;
const VC_CORERESET: u32 = 1 << 0;

/// The debug registers; all survive a system reset.
#[derive(Default)]
pub(super) struct Debug {
    control: u32,
    demcr: u32,
    dcrdr: u32,
    pub dfsr: u32,
    pub retired: bool,
    was_reset: bool,
}

impl Debug {
    pub fn enter_reset(&mut self) {
        self.control &= !dhcsr::C_HALT;
        self.was_reset = true;
        self.retired = false;
    }

    pub fn catches_reset(&self) -> bool {
        self.control & dhcsr::C_DEBUGEN != 0 && self.demcr & VC_CORERESET != 0
    }

    pub fn tracing(&self) -> bool {
        self.demcr & TRCENA != 0
    }

    pub fn demcr(&self) -> u32 {
        self.demcr
    }

    pub fn dcrdr(&self) -> u32 {
        self.dcrdr
    }
}

impl Core {
    /// S_REGRDY reads 1 at all times: transfers take no time.
    pub(super) fn dhcsr(&self) -> u32 {
        let debug = &self.debug;
        let state = match self.state {
            State::Halted => dhcsr::S_HALT,
            State::Lockup => dhcsr::S_LOCKUP,
            State::Running | State::Reset => 0,
        };
        let retired = if debug.retired { dhcsr::S_RETIRE_ST } else { 0 };
        let reset = if debug.was_reset || self.state == State::Reset { dhcsr::S_RESET_ST } else { 0 };
        let halting = if self.state == State::Halted { dhcsr::C_HALT } else { 0 };
        debug.control | halting | state | retired | reset | dhcsr::S_REGRDY
    }

    /// Reading clears S_RETIRE_ST and S_RESET_ST; the latter stays while the reset lasts.
    pub(super) fn read_dhcsr(&mut self) -> u32 {
        let value = self.dhcsr();
        self.debug.retired = false;
        self.debug.was_reset = false;
        value
    }

    pub(super) fn write_dhcsr(&mut self, value: u32) {
        if value >> 16 != dhcsr::KEY {
            return;
        }
        let mut control = value & dhcsr::C_MASK;
        if self.row.arch == Arch::V7M {
            control |= value & dhcsr::C_SNAPSTALL;
        }
        // With C_DEBUGEN 0 the other bits do nothing (DDI0403 C1.6.2).
        if control & dhcsr::C_DEBUGEN == 0 {
            control = 0;
        }
        if self.state == State::Reset {
            control &= !dhcsr::C_HALT;
        }
        self.debug.control = control & !dhcsr::C_HALT;
        match (self.state, control & dhcsr::C_HALT != 0) {
            (State::Running | State::Lockup, true) => self.halt(HALTED),
            (State::Halted, false) => self.leave_debug(control & dhcsr::C_STEP != 0),
            _ => (),
        }
    }

    /// A step retires nothing yet and halts at once; a locked-up core goes on where it was.
    fn leave_debug(&mut self, step: bool) {
        self.state = State::Running;
        if step {
            self.debug.retired = true;
            self.halt(HALTED);
        }
    }

    pub(super) fn write_demcr(&mut self, value: u32) {
        let mask = if self.row.arch == Arch::V7M { 0x010F_07F1 } else { 0x0100_0401 };
        self.debug.demcr = value & mask;
    }

    pub(super) fn write_dcrdr(&mut self, value: u32) {
        self.debug.dcrdr = value;
    }

    /// Registers can be moved in debug state only; else nothing happens (unpredictable in the manual).
    pub(super) fn write_dcrsr(&mut self, value: u32) {
        const WRITE: u32 = 1 << 16;
        if self.state != State::Halted {
            return;
        }
        let select = value & 0x7F;
        if value & WRITE != 0 {
            self.set_register(select, self.debug.dcrdr);
        } else {
            self.debug.dcrdr = self.register(select);
        }
    }

    /// A register by its DCRSR number; what the core does not have reads 0.
    pub fn register(&mut self, select: u32) -> u32 {
        let fpu = self.row.mvfr.is_some();
        match select {
            0..=12 | 14 | 15 => self.r[select as usize],
            13 => *self.sp(),
            16 => self.xpsr,
            17 => self.msp,
            18 => self.psp,
            0x14 => self.control << 24 | self.faultmask << 16 | self.basepri << 8 | self.primask,
            0x21 if fpu => self.fpscr,
            0x40..=0x5F if fpu => self.s[select as usize - 0x40],
            _ => 0,
        }
    }

    pub fn set_register(&mut self, select: u32, value: u32) {
        let fpu = self.row.mvfr.is_some();
        match select {
            0..=12 | 14 => self.r[select as usize] = value,
            13 => *self.sp() = value & !3,
            15 => self.r[15] = value & !1,
            16 => self.xpsr = value & self.xpsr_mask(),
            17 => self.msp = value & !3,
            18 => self.psp = value & !3,
            0x14 => self.set_special(value),
            // DDI0403 A2.5.3: what FPSCR has.
            0x21 if fpu => self.fpscr = value & 0xF7C0_009F,
            0x40..=0x5F if fpu => self.s[select as usize - 0x40] = value,
            _ => (),
        }
    }

    /// APSR, IPSR and T; IT/ICI and the GE and Q flags are v7-M's.
    fn xpsr_mask(&self) -> u32 {
        match self.row.arch {
            Arch::V6M => 0xF100_003F,
            Arch::V7M if self.row.mvfr.is_some() => 0xFF0F_FDFF,
            Arch::V7M => 0xFF00_FDFF,
        }
    }

    fn set_special(&mut self, value: u32) {
        self.primask = value & 1;
        self.control = value >> 24 & 3;
        if self.row.arch == Arch::V7M {
            self.basepri = value >> 8 & 0xFF & self.row.priority as u32;
            self.faultmask = value >> 16 & 1;
        }
        if self.row.mvfr.is_some() {
            self.control |= value >> 24 & 4;
        }
    }
}
