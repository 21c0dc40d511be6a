//! Debug: DHCSR, DCRSR, DCRDR, DEMCR and DFSR, halting, what breakpoints and watchpoints lead to (ARM DDI0403 C1.6,
//! DDI0419 C1.6).

use super::exec::Access;
use super::{Arch, Core, DEBUG_MONITOR, State, What};
use crate::sim::bus::Bus;
use crate::sim::chip::Size;

// DFSR
pub const HALTED: u32 = 1 << 0;
pub const BKPT: u32 = 1 << 1;
pub const DWTTRAP: u32 = 1 << 2;
pub const VCATCH: u32 = 1 << 3;

/// What FPSCR has (DDI0403 A2.5.3).
pub const FPSCR: u32 = 0xF7C0_009F;

mod dhcsr {
    pub const KEY: u32 = 0xA05F;
    pub const C_DEBUGEN: u32 = 1 << 0;
    pub const C_HALT: u32 = 1 << 1;
    pub const C_STEP: u32 = 1 << 2;
    pub const C_MASKINTS: u32 = 1 << 3;
    pub const C_MASK: u32 = 0xF;
    pub const C_SNAPSTALL: u32 = 1 << 5;
    pub const S_REGRDY: u32 = 1 << 16;
    pub const S_HALT: u32 = 1 << 17;
    pub const S_SLEEP: u32 = 1 << 18;
    pub const S_LOCKUP: u32 = 1 << 19;
    pub const S_RETIRE_ST: u32 = 1 << 24;
    pub const S_RESET_ST: u32 = 1 << 25;
}

// DEMCR (C1.6.5)
const VC_CORERESET: u32 = 1 << 0;
pub const VC_MMERR: u32 = 1 << 4;
pub const VC_NOCPERR: u32 = 1 << 5;
pub const VC_CHKERR: u32 = 1 << 6;
pub const VC_STATERR: u32 = 1 << 7;
pub const VC_BUSERR: u32 = 1 << 8;
pub const VC_INTERR: u32 = 1 << 9;
pub const VC_HARDERR: u32 = 1 << 10;
const MON_EN: u32 = 1 << 16;
const MON_PEND: u32 = 1 << 17;
const TRCENA: u32 = 1 << 24;

/// The debug registers; all survive a system reset.
#[derive(Default)]
pub(super) struct Debug {
    control: u32,
    demcr: u32,
    dcrdr: u32,
    pub dfsr: u32,
    pub retired: bool,
    /// C_STEP was set when the core left debug state.
    pub stepping: bool,
    was_reset: bool,
}

impl Debug {
    pub fn enter_reset(&mut self) {
        self.control &= !dhcsr::C_HALT;
        self.was_reset = true;
        self.retired = false;
        self.stepping = false;
    }

    /// Halting debug is enabled.
    pub fn halting(&self) -> bool {
        self.control & dhcsr::C_DEBUGEN != 0
    }

    /// The debug monitor is.
    pub fn monitors(&self) -> bool {
        self.demcr & MON_EN != 0
    }

    /// Somebody is to be told of breakpoints and watchpoints.
    pub fn listens(&self) -> bool {
        self.halting() || self.monitors()
    }

    pub fn masks_interrupts(&self) -> bool {
        self.control & (dhcsr::C_DEBUGEN | dhcsr::C_MASKINTS) == dhcsr::C_DEBUGEN | dhcsr::C_MASKINTS
    }

    /// Vector catch by these bits of DEMCR.
    pub fn catches(&self, bits: u32) -> bool {
        self.halting() && self.demcr & bits != 0
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
            State::Running if self.asleep.is_some() => dhcsr::S_SLEEP,
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
        let listened = self.debug.listens();
        self.debug.control = control & !dhcsr::C_HALT;
        match (self.state, control & dhcsr::C_HALT != 0) {
            (State::Running | State::Lockup, true) => self.halt(HALTED),
            (State::Halted, false) => self.leave_debug(control & dhcsr::C_STEP != 0),
            _ => (),
        }
        if listened != self.debug.listens() {
            self.debug_changed();
        }
    }

    /// Into debug state; DFSR says why, and of a watchpoint that the last instruction met. It ends sleep, and a step.
    pub(super) fn halt(&mut self, reason: u32) {
        self.happened(What::Halted { pc: self.pc });
        self.state = State::Halted;
        let watched = if std::mem::take(&mut self.watched) { DWTTRAP } else { 0 };
        self.debug.dfsr |= reason | watched;
        self.debug.stepping = false;
        // Debug state comes after what was buffered (assumed).
        self.drain_now();
        (self.asleep, self.stalled) = (None, false);
    }

    /// A core that was locked up goes on at the lockup address, and locks up again unless the pc was moved.
    fn leave_debug(&mut self, step: bool) {
        self.state = State::Running;
        self.debug.stepping = step;
        self.attention = true;
    }

    /// Who listens decides what comparators do. MATCHED is set for anybody (C1.8.17).
    pub(super) fn debug_changed(&mut self) {
        self.decoded.clear();
        self.watching = self.debug.tracing() && self.dwt.watches();
        self.guards_changed();
        self.attention = true;
    }

    pub(super) fn write_demcr(&mut self, value: u32) {
        let mask = if self.row.arch == Arch::V7M { 0x010F_07F1 } else { 0x0100_0401 };
        let tracing = self.debug.tracing();
        self.debug.demcr = value & mask & !MON_PEND;
        if tracing != self.debug.tracing() {
            self.dwt.trace(self.debug.tracing(), self.cycles);
        }
        if value & mask & MON_PEND != 0 {
            self.pend(DEBUG_MONITOR);
        }
        self.debug_changed();
    }

    /// A data access while watchpoints are armed. The core stops after the instruction (C1.8.1).
    pub(super) fn watch(&mut self, address: u32, size: Size, value: u32, write: bool) {
        let access = if write { Access::Write } else { Access::Read };
        if self.dwt.matches(address, size, value, access) {
            self.watched = true;
            self.attention = true;
        }
    }

    /// A watchpoint matched: the debugger, else the monitor if it may, else nobody. True: the core stopped or went there.
    pub(super) fn watchpoint(&mut self, bus: &mut Bus) -> bool {
        if self.debug.halting() {
            self.halt(DWTTRAP);
            return true;
        }
        let monitor = self.debug.monitors() && self.preempt_level(DEBUG_MONITOR) < self.execution_priority();
        if monitor {
            self.debug.dfsr |= DWTTRAP;
            self.enter(bus, DEBUG_MONITOR);
        }
        monitor
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
    pub fn register(&self, select: u32) -> u32 {
        let fpu = self.row.mvfr.is_some();
        match select {
            0..=14 => self.r[select as usize],
            15 => self.pc,
            16 => self.xpsr(),
            17 => self.msp(),
            18 => self.psp(),
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
            13 => self.r[13] = value & !3,
            15 => self.pc = value & !1,
            16 => self.set_xpsr(value),
            17 => self.set_msp(value),
            18 => self.set_psp(value),
            0x14 => self.set_special(value),
            0x21 if fpu => self.fpscr = value & FPSCR,
            0x40..=0x5F if fpu => self.s[select as usize - 0x40] = value,
            _ => (),
        }
    }

    fn set_special(&mut self, value: u32) {
        self.primask = value & 1;
        let mut control = value >> 24 & 3;
        if self.row.arch == Arch::V7M {
            self.basepri = value >> 8 & 0xFF & u32::from(self.row.priority);
            self.faultmask = value >> 16 & 1;
        }
        if self.row.mvfr.is_some() {
            control |= value >> 24 & 4;
        }
        self.set_control(control);
        self.attention = true;
    }
}
