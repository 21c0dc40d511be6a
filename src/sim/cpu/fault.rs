//! Faults: which exception a trap becomes, what the status registers say, escalation and lockup (ARM DDI0403 B1.5.14, B1.5.15).

use super::exec::Trap;
use super::{Arch, BUS_FAULT, Core, DEBUG_MONITOR, HARD_FAULT, MEM_MANAGE, NMI, SVCALL, State, USAGE_FAULT, What, debug};
use crate::sim::bus::Bus;

const CFSR: u32 = 0xE000_ED28;
const HFSR: u32 = 0xE000_ED2C;
const MMFAR: u32 = 0xE000_ED34;
const BFAR: u32 = 0xE000_ED38;
const ACTLR: u32 = 0xE000_E008;

/// Cycles until the bus answers a buffered store that nobody takes (assumed; on a chip some ten, and not always the same).
const DRAIN: u64 = 4;

/// CFSR and HFSR (B3.2.15, B3.2.16).
mod cfsr {
    pub const IACCVIOL: u32 = 1 << 0;
    pub const DACCVIOL: u32 = 1 << 1;
    pub const MUNSTKERR: u32 = 1 << 3;
    pub const MSTKERR: u32 = 1 << 4;
    pub const MLSPERR: u32 = 1 << 5;
    pub const MMARVALID: u32 = 1 << 7;
    pub const IBUSERR: u32 = 1 << 8;
    pub const PRECISERR: u32 = 1 << 9;
    pub const IMPRECISERR: u32 = 1 << 10;
    pub const UNSTKERR: u32 = 1 << 11;
    pub const STKERR: u32 = 1 << 12;
    pub const LSPERR: u32 = 1 << 13;
    pub const BFARVALID: u32 = 1 << 15;
    pub const UNDEFINSTR: u32 = 1 << 16;
    pub const INVSTATE: u32 = 1 << 17;
    pub const INVPC: u32 = 1 << 18;
    pub const NOCP: u32 = 1 << 19;
    pub const UNALIGNED: u32 = 1 << 24;
    pub const DIVBYZERO: u32 = 1 << 25;
}
const VECTTBL: u32 = 1 << 1;
const FORCED: u32 = 1 << 30;
const DEBUGEVT: u32 = 1 << 31;

/// Where the pc stands in lockup (B1.5.15).
const LOCKUP_PC: u32 = 0xFFFF_FFFE;

/// The fault that was noted last: its flags of CFSR, and whether it was one of entering or leaving an exception.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Noted {
    flags: u32,
    between: bool,
}

/// What the core was doing for itself when an access failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum During {
    Instruction,
    Stacking,
    Unstacking,
    LazyStacking,
}

impl Core {
    /// A synchronous exception: taken now, with the faulting instruction (SVC: the next one) as return address.
    pub(super) fn fault(&mut self, bus: &mut Bus, trap: Trap) {
        let wanted = self.note(trap, During::Instruction);
        let Some(number) = self.escalate(wanted) else { return self.lock_up(self.ipsr) };
        if let Some(until) = self.vector_busy(bus, number) {
            return self.stall(bus, until);
        }
        if trap == Trap::Supervisor {
            self.pc = self.pc.wrapping_add(2);
            self.leave_it();
        }
        self.enter(bus, number);
    }

    /// Writes the status registers; the exception that the trap asks for.
    pub(super) fn note(&mut self, trap: Trap, during: During) -> u16 {
        let (number, bits) = cause(trap, during);
        self.noted = Noted { flags: bits, between: matches!(during, During::Stacking | During::Unstacking) };
        if self.row.arch == Arch::V6M {
            return if number == SVCALL { SVCALL } else { HARD_FAULT };
        }
        self.add_flags(CFSR, bits);
        match (trap, during) {
            (Trap::Data { address }, During::Instruction) => drop(self.scs.poke(BFAR, address)),
            (Trap::Protected { address: Some(address) }, During::Instruction) => drop(self.scs.poke(MMFAR, address)),
            _ => (),
        }
        number
    }

    fn add_flags(&mut self, register: u32, bits: u32) {
        let flags = self.scs.peek(register).unwrap_or(0);
        self.scs.poke(register, flags | bits);
    }

    /// The exception itself if it is enabled and may preempt, else HardFault; `None`: not even that (B1.5.14).
    pub(super) fn escalate(&mut self, wanted: u16) -> Option<u16> {
        let execution = self.execution_priority();
        if wanted != HARD_FAULT && self.fault_enabled(wanted) && self.preempt_level(wanted) < execution {
            return Some(wanted);
        }
        if execution <= self.priority(HARD_FAULT) {
            return None;
        }
        if self.row.arch == Arch::V7M && wanted != HARD_FAULT {
            self.add_flags(HFSR, FORCED);
        }
        Some(HARD_FAULT)
    }

    /// SHCSR's enables; SVCall always is.
    fn fault_enabled(&self, number: u16) -> bool {
        let shcsr = self.scs.peek(super::scs::SHCSR).unwrap_or(0);
        match number {
            MEM_MANAGE..=USAGE_FAULT => shcsr >> (12 + number) & 1 == 1,
            _ => true,
        }
    }

    /// The vector of `number` could not be read.
    pub(super) fn vector_failed(&mut self, number: u16) -> Option<u16> {
        self.noted.between = true;
        if self.row.arch == Arch::V7M {
            self.add_flags(HFSR, VECTTBL);
        }
        if matches!(number, NMI | HARD_FAULT) { None } else { Some(HARD_FAULT) }
    }

    /// A BKPT or a comparator: the debugger, else the monitor, else HardFault for the instruction alone (C1.4).
    pub(super) fn breakpoint(&mut self, bus: &mut Bus, trap: Trap) {
        let reason = self.breakpoint_reason(trap);
        if self.debug.halting() {
            return self.halt(reason);
        }
        if self.debug.monitors() && self.preempt_level(DEBUG_MONITOR) < self.execution_priority() {
            self.debug.dfsr |= reason;
            return self.enter(bus, DEBUG_MONITOR);
        }
        if trap == Trap::Comparator {
            if let Err(trap) = self.step_over(bus) {
                self.trapped(bus, trap);
            }
            return;
        }
        if self.row.arch == Arch::V7M {
            self.add_flags(HFSR, DEBUGEVT);
            self.debug.dfsr |= debug::BKPT;
        }
        match self.escalate_breakpoint() {
            true => self.enter(bus, HARD_FAULT),
            false => self.lock_up(self.ipsr),
        }
    }

    /// DFSR: both units may name the same instruction.
    fn breakpoint_reason(&mut self, trap: Trap) -> u32 {
        let watched = if trap == Trap::Comparator && self.dwt.reached(self.pc) { debug::DWTTRAP } else { 0 };
        let hit = trap == Trap::Breakpoint || self.fpb.hits(self.pc);
        watched | if hit { debug::BKPT } else { 0 }
    }

    fn escalate_breakpoint(&self) -> bool {
        self.priority(HARD_FAULT) < self.execution_priority()
    }

    /// A store to `address` goes into a buffer, and that nobody took it comes out later. Cortex-M7: every store, "including
    /// stores to Device and Strongly-ordered regions" (DUI0646 2.4.3); the private bus is the core's own and answers at
    /// once. Cortex-M3 and M4: not strongly-ordered memory, and nothing of the default map with ACTLR.DISDEFWBUF (their
    /// TRMs).
    pub(super) fn buffers(&self, address: u32) -> bool {
        const DISDEFWBUF: u32 = 1 << 1;
        const TEX_C_B: u32 = 7 << 19 | 3 << 16;
        match self.row.cpuid >> 4 & 0xFFF {
            _ if self.stacking => false,
            0xC27 => true,
            0xC23 | 0xC24 => match self.mpu_attributes(address) {
                Some((rasr, _)) => rasr & TEX_C_B != 0,
                None => self.scs.peek(ACTLR).unwrap_or(0) & DISDEFWBUF == 0,
            },
            _ => false,
        }
    }

    /// Nobody took what the buffer held.
    pub(super) fn store_failed(&mut self) {
        self.drain = self.drain.min(self.cycles + DRAIN);
        self.attention = true;
    }

    /// The buffer is empty, at the latest now: DSB, debug state.
    pub(super) fn drain_now(&mut self) {
        if self.drain != u64::MAX {
            self.drain = u64::MAX;
            self.imprecise();
        }
    }

    /// An asynchronous BusFault becomes pending, or HardFault where it is not enabled; it never locks the core up
    /// (DUI0646 2.4.3, DDI0403 B1.5.14).
    fn imprecise(&mut self) {
        self.add_flags(CFSR, cfsr::IMPRECISERR);
        if self.fault_enabled(BUS_FAULT) {
            return self.pend(BUS_FAULT);
        }
        self.add_flags(HFSR, FORCED);
        self.pend(HARD_FAULT);
    }

    /// CCR.BFHFNMIGN: at priority -1 and -2 data accesses that nobody answers are no fault.
    pub(super) fn ignores_bus_faults(&self) -> bool {
        const BFHFNMIGN: u32 = 1 << 8;
        self.ccr() & BFHFNMIGN != 0 && self.execution_priority() < 0
    }

    /// A fault that cannot be taken. `number` is the exception that was running; none means reset (shown as HardFault).
    pub(super) fn lock_up(&mut self, number: u16) {
        self.happened(What::LockedUp { pc: self.pc });
        self.state = State::Lockup;
        self.pc = LOCKUP_PC;
        let number = if matches!(number, NMI | HARD_FAULT) { number } else { HARD_FAULT };
        self.change_mode(number, self.control);
        if self.debug.catches(debug::VC_HARDERR) {
            self.halt(debug::VCATCH);
        }
    }
}

fn cause(trap: Trap, during: During) -> (u16, u32) {
    let memory = |mem, bus| if matches!(trap, Trap::Protected { .. }) { (MEM_MANAGE, mem) } else { (BUS_FAULT, bus) };
    match (trap, during) {
        (Trap::Supervisor, _) => (SVCALL, 0),
        (Trap::Undefined, _) => (USAGE_FAULT, cfsr::UNDEFINSTR),
        (Trap::InvState, _) => (USAGE_FAULT, cfsr::INVSTATE),
        (Trap::InvPc, _) => (USAGE_FAULT, cfsr::INVPC),
        (Trap::NoCp, _) => (USAGE_FAULT, cfsr::NOCP),
        (Trap::Unaligned, _) => (USAGE_FAULT, cfsr::UNALIGNED),
        (Trap::DivideByZero, _) => (USAGE_FAULT, cfsr::DIVBYZERO),
        (_, During::Stacking) => memory(cfsr::MSTKERR, cfsr::STKERR),
        (_, During::Unstacking) => memory(cfsr::MUNSTKERR, cfsr::UNSTKERR),
        (_, During::LazyStacking) => memory(cfsr::MLSPERR, cfsr::LSPERR),
        (Trap::Fetch, _) => (BUS_FAULT, cfsr::IBUSERR),
        (Trap::Protected { address: None }, _) => (MEM_MANAGE, cfsr::IACCVIOL),
        (Trap::Protected { .. }, _) => (MEM_MANAGE, cfsr::DACCVIOL | cfsr::MMARVALID),
        (Trap::Data { .. } | Trap::Busy { .. } | Trap::Breakpoint | Trap::Comparator, _) => (BUS_FAULT, cfsr::PRECISERR | cfsr::BFARVALID),
    }
}

/// The vector catch bits of DEMCR that go with an exception about to be entered (C1.6.5). The flags are the fault's own:
/// CFSR keeps those of earlier ones.
pub(super) fn catch_bits(number: u16, noted: Noted) -> u32 {
    let cfsr = noted.flags;
    let between = if noted.between { debug::VC_INTERR } else { 0 };
    between
        | match number {
            HARD_FAULT => debug::VC_HARDERR,
            MEM_MANAGE => debug::VC_MMERR,
            BUS_FAULT => debug::VC_BUSERR,
            USAGE_FAULT if cfsr & cfsr::NOCP != 0 => debug::VC_NOCPERR,
            USAGE_FAULT if cfsr & (cfsr::UNALIGNED | cfsr::DIVBYZERO) != 0 => debug::VC_CHKERR,
            USAGE_FAULT => debug::VC_STATERR,
            _ => 0,
        }
}
