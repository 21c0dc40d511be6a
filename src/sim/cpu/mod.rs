//! One Cortex-M core: registers, the instructions it executes, exceptions, private peripherals (PPB) and debug.
//!
//! `run` brings the core up to a point in virtual time; everything it does is paid for in cycles, so no firmware can hold
//! the board up. decode.rs says what an instruction is (one row per encoding), int.rs, mem.rs, fp/ and system.rs what it
//! does, exec.rs fetches and moves data, run.rs is the loop, exception.rs and fault.rs change what runs.

mod cache;
mod debug;
mod decode;
mod exception;
mod exec;
mod fault;
mod fp;
mod int;
mod mem;
mod mpu;
mod nvic;
mod pair;
mod run;
mod scs;
mod system;
mod systick;
#[cfg(test)]
mod tests;
mod trace;
mod units;

use super::bus::Bus;
use super::coresight::{Component, Components};
use super::periph::Periph;
use cache::Caches;
use debug::Debug;
use exec::Decoded;
use fault::Noted;
use nvic::Nvic;
pub use pair::exchange;
use run::{Clock, Turn};
pub use scs::{SCS_V6M, SCS_V7M};
use systick::SysTick;
use trace::Trace;
pub use trace::{Past, What};
use units::{Dwt, Fpb};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    V6M,
    V7M,
}

/// What one core of a chip is.
pub struct CoreRow {
    pub arch: Arch,
    pub cpuid: u32,
    /// FP_CTRL and DWT_CTRL as they reset: counts and revisions.
    pub fp_ctrl: u32,
    pub dwt_ctrl: u32,
    /// MVFR0..2; `None`: no FPU.
    pub mvfr: Option<[u32; 3]>,
    pub cache: Option<Cache>,
    pub mpu_type: u32,
    pub interrupts: usize,
    /// Priority bits that are there, at the top of each byte.
    pub priority: u8,
    /// CCR after reset, and what of it can be written.
    pub ccr: (u32, u32),
    /// The core clock after reset.
    pub hz: u64,
    /// r0-r12 after power-on and reset where a chip was seen to have them the same each time, and its xPSR.
    pub reset_r: u32,
    pub reset_xpsr: u32,
    pub units: &'static [Component],
}

/// CLIDR, CTR and CCSIDR of the level 1 caches.
#[derive(Clone, Copy, Debug)]
pub struct Cache {
    pub clidr: u32,
    pub ctr: u32,
    pub data: u32,
    pub instruction: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Held by the reset pin.
    Reset,
    Running,
    Halted,
    Lockup,
}

/// What the core asks of the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// AIRCR.SYSRESETREQ
    System,
    /// AIRCR.VECTRESET
    Local,
}

/// Bits of xPSR (ARM DDI0403 B1.4.2).
mod psr {
    pub const T: u32 = 1 << 24;
    pub const IPSR: u32 = 0x1FF;
}

/// Bits of CONTROL (B1.4.4).
mod control {
    pub const NPRIV: u32 = 1 << 0;
    pub const SPSEL: u32 = 1 << 1;
    pub const FPCA: u32 = 1 << 2;
}

pub struct Core {
    row: &'static CoreRow,
    model: decode::Model,
    waits: [u8; 256],
    pub state: State,
    /// r0-r12, the stack pointer in use, lr; r15 is what an instruction reads as PC.
    r: [u32; 16],
    /// Address of the next instruction.
    pc: u32,
    /// The stack pointer that is not in use.
    other_sp: u32,
    n: bool,
    z: bool,
    c: bool,
    v: bool,
    q: bool,
    ge: u8,
    /// ITSTATE
    it: u8,
    ipsr: u16,
    thumb: bool,
    control: u32,
    primask: u32,
    basepri: u32,
    faultmask: u32,
    fpscr: u32,
    s: [u32; 32],
    /// Since power-on. Counts while the core runs or sleeps.
    cycles: u64,
    /// Instructions executed, since power-on.
    instructions: u64,
    trace: Trace,
    clock: Clock,
    /// Counts what changed in memory, so that a loop that only waits can be told from one that works.
    stores: u64,
    /// Counts short backward branches.
    turns: u32,
    /// How the core stood at an earlier turn.
    turn: Option<Turn>,
    /// The loop is to look at the turn just made.
    turning: bool,
    /// Something happened that exceptions, debug or time may have to do with: the loop looks.
    attention: bool,
    /// WFI (false) or WFE (true).
    asleep: Option<bool>,
    /// The event register of WFE.
    event: bool,
    /// SEV was executed: for the other core of a chip that has two.
    signal: bool,
    /// To which cycle it is sure that the core only waits.
    waits_until: u64,
    exclusive: bool,
    /// EXC_RETURN was loaded into PC.
    returning: Option<u32>,
    /// A multiple store that a busy slave stopped: its pc, and how many words are out.
    partial: (u32, u32),
    /// The last instruction waits for a busy slave.
    stalled: bool,
    /// The cycle at which the failure of a buffered store is noticed; the end of time: there is none.
    drain: u64,
    /// Stores are of a frame: their errors are known at once.
    stacking: bool,
    /// LDRT, STRT: the MPU judges this access as an unprivileged one.
    unprivileged: bool,
    mpu_on: bool,
    /// Instructions are looked at before they run: the MPU is on, or the core is not in Thumb state.
    careful: bool,
    /// FP instructions need no check until the mode or a register that opens them changes.
    fp_open: bool,
    /// Watchpoints are armed; one matched.
    watching: bool,
    watched: bool,
    /// Data accesses are looked at: by the MPU, the data cache or a watchpoint.
    guarded: bool,
    decoded: Decoded,
    noted: Noted,
    /// With what they hold, if they are to be strict; CCR.DC and CCR.IC count only then.
    caches: Option<Box<Caches>>,
    data_cached: bool,
    code_cached: bool,
    /// System exceptions by number.
    pending: u16,
    active: u16,
    debug: Debug,
    scs: Periph,
    /// What software set of CCR.
    scs_ccr: u32,
    systick: SysTick,
    nvic: Nvic,
    /// Which version of the interrupt lines the NVIC knows.
    heard: Option<u32>,
    mpu: [(u32, u32); 16],
    fpb: Fpb,
    dwt: Dwt,
    units: Components,
    request: Option<Request>,
}

impl Core {
    pub fn new(row: &'static CoreRow) -> Core {
        let v7m = row.arch == Arch::V7M;
        Core {
            row,
            model: decode::Model { v7m, single: row.mvfr.is_some(), double: row.mvfr.is_some_and(|mvfr| mvfr[0] >> 8 & 0xF != 0) },
            waits: exec::waits(row.arch),
            state: State::Reset,
            r: [row.reset_r; 16],
            pc: 0,
            other_sp: 0,
            n: false,
            z: false,
            c: false,
            v: false,
            q: false,
            ge: 0,
            it: 0,
            ipsr: 0,
            thumb: false,
            control: 0,
            primask: 0,
            basepri: 0,
            faultmask: 0,
            fpscr: 0,
            s: [0; 32],
            cycles: 0,
            instructions: 0,
            trace: Trace::new(),
            clock: Clock::new(row.hz),
            stores: 0,
            turns: 0,
            turn: None,
            turning: false,
            attention: true,
            asleep: None,
            event: false,
            signal: false,
            waits_until: 0,
            exclusive: false,
            returning: None,
            partial: (0, 0),
            stalled: false,
            drain: u64::MAX,
            stacking: false,
            unprivileged: false,
            mpu_on: false,
            careful: true,
            fp_open: false,
            watching: false,
            watched: false,
            guarded: false,
            decoded: Decoded::new(),
            noted: Noted::default(),
            caches: None,
            data_cached: false,
            code_cached: false,
            pending: 0,
            active: 0,
            debug: Debug::default(),
            scs: Periph::new(if v7m { SCS_V7M } else { SCS_V6M }),
            scs_ccr: 0,
            systick: SysTick::default(),
            nvic: Nvic::new(row.interrupts, row.priority),
            heard: None,
            mpu: [(0, 0); 16],
            fpb: Fpb::new(row.fp_ctrl),
            dwt: Dwt::new(row.dwt_ctrl, v7m),
            units: Components::new(row.units),
            request: None,
        }
    }

    /// Debug state is lost at power-on only.
    pub fn power_on(&mut self) {
        let (now, strict) = (self.time(), self.is_strict());
        *self = Core::new(self.row);
        self.empty_caches(strict);
        self.clock.set(now, 0);
    }

    /// The reset pin goes low: everything stops; debug settings stay, except that C_HALT clears (Cortex-M3 TRM, DHCSR).
    pub fn hold(&mut self) {
        self.state = State::Reset;
        self.debug.enter_reset();
    }

    /// Out of reset: SP and PC come from the vector table, and vector catch halts before the first instruction.
    pub fn reset(&mut self, bus: &mut Bus, vectors: u32) {
        self.hold();
        self.reset_system(vectors);
        self.reset_registers();
        self.set_hz(self.row.hz);
        self.state = State::Running;
        // A table that cannot be read is a fault at priority -1: lockup (DDI0403 B1.5.5); seen on a blank H7 too.
        match (self.vector(bus, 0), self.vector(bus, 1)) {
            (Some(sp), Some(pc)) => {
                self.set_msp(sp);
                self.pc = pc & !1;
                self.set_thumb(pc & 1 == 1);
                self.happened(What::Reset { pc: self.pc });
            }
            _ => {
                self.pc = vectors;
                self.lock_up(HARD_FAULT);
            }
        }
        if self.debug.catches_reset() {
            self.halt(debug::VCATCH);
        }
    }

    fn reset_system(&mut self, vectors: u32) {
        self.scs.reset(true);
        self.scs.poke(scs::VTOR, vectors);
        (self.nvic, self.heard) = (Nvic::new(self.row.interrupts, self.row.priority), None);
        self.systick = SysTick::default();
        self.mpu = [(0, 0); 16];
        (self.scs_ccr, self.pending, self.active) = (0, 0, 0);
        (self.mpu_on, self.unprivileged, self.fp_open) = (false, false, false);
        (self.request, self.drain) = (None, u64::MAX);
        (self.asleep, self.returning, self.turn) = (None, None, None);
        (self.event, self.exclusive, self.watched, self.stalled, self.turning) = (false, false, false, false, false);
        self.caches_changed();
        self.decoded.clear();
    }

    fn reset_registers(&mut self) {
        (self.control, self.primask, self.basepri, self.faultmask, self.fpscr) = (0, 0, 0, 0, 0);
        self.r = [self.row.reset_r; 16];
        self.r[14] = u32::MAX;
        self.set_xpsr(self.row.reset_xpsr & !(psr::T | psr::IPSR));
        self.other_sp = self.row.reset_r & !3;
        self.attention = true;
    }

    /// Instructions executed since power-on.
    pub fn instructions(&self) -> u64 {
        self.instructions
    }

    pub fn take_request(&mut self) -> Option<Request> {
        self.request.take()
    }

    // ---- the stack pointers: one is r13, the other is put away ----

    fn on_psp(&self) -> bool {
        self.ipsr == 0 && self.control & control::SPSEL != 0
    }

    fn msp(&self) -> u32 {
        if self.on_psp() { self.other_sp } else { self.r[13] }
    }

    fn psp(&self) -> u32 {
        if self.on_psp() { self.r[13] } else { self.other_sp }
    }

    fn set_msp(&mut self, value: u32) {
        let place = if self.on_psp() { &mut self.other_sp } else { &mut self.r[13] };
        *place = value & !3;
    }

    fn set_psp(&mut self, value: u32) {
        let place = if self.on_psp() { &mut self.r[13] } else { &mut self.other_sp };
        *place = value & !3;
    }

    /// Mode and CONTROL together decide which stack pointer is r13.
    fn change_mode(&mut self, ipsr: u16, control: u32) {
        let (msp, psp) = (self.msp(), self.psp());
        (self.ipsr, self.control) = (ipsr, control);
        (self.r[13], self.other_sp) = if self.on_psp() { (psp, msp) } else { (msp, psp) };
        self.fp_open = false;
    }

    fn set_thumb(&mut self, thumb: bool) {
        self.thumb = thumb;
        self.careful = self.mpu_on || !thumb;
    }

    fn set_control(&mut self, value: u32) {
        self.change_mode(self.ipsr, value);
    }

    // ---- xPSR is kept in pieces ----

    fn apsr(&self) -> u32 {
        let flags = [(self.n, 31), (self.z, 30), (self.c, 29), (self.v, 28), (self.q, 27)];
        flags.iter().fold(u32::from(self.ge) << 16, |sum, (flag, bit)| sum | u32::from(*flag) << bit)
    }

    fn xpsr(&self) -> u32 {
        let it = u32::from(self.it);
        self.apsr() | (it & 3) << 25 | u32::from(self.thumb) << 24 | (it >> 2) << 10 | u32::from(self.ipsr)
    }

    /// GE is there with the DSP extension, IT and Q in v7-M (`xpsr_mask`).
    fn set_xpsr(&mut self, value: u32) {
        let value = value & self.xpsr_mask();
        let bit = |bit: u32| value >> bit & 1 == 1;
        (self.n, self.z, self.c, self.v, self.q) = (bit(31), bit(30), bit(29), bit(28), bit(27));
        self.set_thumb(bit(24));
        self.ge = (value >> 16 & 0xF) as u8;
        self.it = (value >> 25 & 3 | value >> 8 & 0xFC) as u8;
        self.change_mode((value & psr::IPSR) as u16, self.control);
    }

    /// APSR, IPSR and T; IT/ICI and the GE and Q flags are v7-M's.
    fn xpsr_mask(&self) -> u32 {
        match self.row.arch {
            Arch::V6M => 0xF100_003F,
            Arch::V7M => 0xFF0F_FDFF,
        }
    }
}

/// Exception numbers (ARM DDI0403 B1.5.2).
const NMI: u16 = 2;
const HARD_FAULT: u16 = 3;
const MEM_MANAGE: u16 = 4;
const BUS_FAULT: u16 = 5;
const USAGE_FAULT: u16 = 6;
const SVCALL: u16 = 11;
const DEBUG_MONITOR: u16 = 12;
const PENDSV: u16 = 14;
const SYSTICK: u16 = 15;
