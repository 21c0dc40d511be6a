//! One Cortex-M core: registers, private peripherals (PPB) and the debug half that a debugger sees.
//!
//! The core obeys halt, resume, step, reset and register access. It does not execute yet: while it runs the pc stays,
//! a step retires nothing and halts again, and the only thing that happens by itself is lockup, when the next
//! instruction cannot be fetched. `Core::run` is the one place where execution belongs.

mod debug;
mod nvic;
mod scs;
#[cfg(test)]
mod tests;
mod units;

use super::bus::Bus;
use super::chip::{BusError, Ns, Size};
use super::coresight::{Component, Components};
use super::flash::Master;
use super::periph::Periph;
use debug::Debug;
use nvic::Nvic;
pub use scs::{SCS_V6M, SCS_V7M};
use units::{Dwt, Fpb};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    V6M,
    V7M,
}

/// What one core of a chip is.
pub struct CoreRow {
    pub name: &'static str,
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

const XPSR_T: u32 = 1 << 24;
/// Where the pc stands in lockup (ARM DDI0403 B1.5.15).
const LOCKUP_PC: u32 = 0xFFFF_FFFE;
const HARD_FAULT: u32 = 3;

pub struct Core {
    row: &'static CoreRow,
    pub state: State,
    /// r0-r12, unused, lr, pc.
    r: [u32; 16],
    msp: u32,
    psp: u32,
    xpsr: u32,
    control: u32,
    primask: u32,
    basepri: u32,
    faultmask: u32,
    fpscr: u32,
    s: [u32; 32],
    debug: Debug,
    scs: Periph,
    /// What software set of CCR, and of ICSR's pending bits.
    scs_ccr: u32,
    pending: u32,
    nvic: Nvic,
    mpu: [(u32, u32); 16],
    fpb: Fpb,
    dwt: Dwt,
    units: Components,
    request: Option<Request>,
    now: Ns,
}

impl Core {
    pub fn new(row: &'static CoreRow) -> Core {
        let v7m = row.arch == Arch::V7M;
        Core {
            row,
            state: State::Reset,
            r: [row.reset_r; 16],
            msp: 0,
            psp: 0,
            xpsr: 0,
            control: 0,
            primask: 0,
            basepri: 0,
            faultmask: 0,
            fpscr: 0,
            s: [0; 32],
            debug: Debug::default(),
            scs: Periph::new(if v7m { SCS_V7M } else { SCS_V6M }),
            scs_ccr: 0,
            pending: 0,
            nvic: Nvic::new(row.interrupts, row.priority),
            mpu: [(0, 0); 16],
            fpb: Fpb::new(row.fp_ctrl),
            dwt: Dwt::new(row.dwt_ctrl, v7m),
            units: Components::new(row.units),
            request: None,
            now: 0,
        }
    }

    /// Debug state is lost at power-on only.
    pub fn power_on(&mut self) {
        let now = self.now;
        *self = Core { now, ..Core::new(self.row) };
    }

    /// The reset pin goes low: everything stops; debug settings stay, except that C_HALT clears (Cortex-M3 TRM, DHCSR).
    pub fn hold(&mut self) {
        self.state = State::Reset;
        self.debug.enter_reset();
    }

    /// Out of reset: SP and PC come from the vector table, and vector catch halts before the first instruction.
    pub fn reset(&mut self, bus: &mut Bus, vectors: u32) {
        self.hold();
        self.scs.reset(true);
        self.nvic = Nvic::new(self.row.interrupts, self.row.priority);
        self.mpu = [(0, 0); 16];
        (self.scs_ccr, self.pending) = (0, 0);
        self.request = None;
        self.scs.poke(scs::VTOR, vectors);
        self.r = [self.row.reset_r; 16];
        self.r[14] = u32::MAX;
        (self.control, self.primask, self.basepri, self.faultmask, self.fpscr) = (0, 0, 0, 0, 0);
        self.psp = self.row.reset_r & !3;
        self.xpsr = self.row.reset_xpsr & !XPSR_T;
        self.state = State::Running;
        // A table that cannot be read is a fault at priority -1: lockup (DDI0403 B1.5.5); seen on a blank H7 too.
        match (bus.read(vectors, Size::Word, Master::Core), bus.read(vectors.wrapping_add(4), Size::Word, Master::Core)) {
            (Ok(sp), Ok(pc)) => {
                self.msp = sp & !3;
                self.r[15] = pc & !1;
                self.xpsr |= if pc & 1 == 1 { XPSR_T } else { 0 };
            }
            _ => self.lock_up(),
        }
        if self.debug.catches_reset() {
            self.halt(debug::VCATCH);
        }
    }

    /// Everything that the core does by itself up to `until`. Execution belongs here.
    pub fn run(&mut self, bus: &mut Bus, until: Ns) {
        if self.state == State::Running {
            if self.fetches(bus) {
                self.debug.retired = true;
                self.dwt.count(self.debug.tracing(), until.saturating_sub(self.now), self.row.hz);
            } else {
                self.lock_up();
            }
        }
        self.now = until;
    }

    /// The next instruction can be fetched: Thumb state, and memory that may hold code answers. A busy flash stalls the
    /// fetch and is no fault.
    fn fetches(&self, bus: &mut Bus) -> bool {
        let pc = self.r[15];
        let executable = pc < 0x4000_0000 || (0x6000_0000..0xA000_0000).contains(&pc);
        let thumb = self.xpsr & XPSR_T != 0;
        thumb && executable && bus.read(pc, Size::Half, Master::Core) != Err(BusError::Fault)
    }

    /// A fault that cannot be taken. That the HardFault handler cannot run either is assumed until handlers execute.
    fn lock_up(&mut self) {
        self.state = State::Lockup;
        self.r[15] = LOCKUP_PC;
        self.xpsr = self.xpsr & !0x1FF | HARD_FAULT;
    }

    fn halt(&mut self, reason: u32) {
        self.state = State::Halted;
        self.debug.dfsr |= reason;
    }

    pub fn take_request(&mut self) -> Option<Request> {
        self.request.take()
    }

    /// The stack pointer in use: PSP in thread mode with CONTROL.SPSEL.
    fn sp(&mut self) -> &mut u32 {
        let thread = self.xpsr & 0x1FF == 0;
        if thread && self.control & 2 != 0 { &mut self.psp } else { &mut self.msp }
    }
}
