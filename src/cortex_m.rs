//! The Cortex-M core through a MEM-AP: halt, resume, step, registers, breakpoints, watchpoints, caches.
//!
//! ARMv7-M is ARM DDI0403E, ARMv6-M is ARM DDI0419E; both put the debug registers at the same addresses. Nothing here
//! knows of reset lines, chips or flash: that is session.rs. What was found when the core was first looked at is kept
//! and put back by `put_back`.

mod around;
mod cache;
#[cfg(test)]
pub mod fake;
pub mod faults;
mod guest;
mod look;
mod points;
mod registers;
mod step;

pub use around::Plain;
pub use faults::exception_name;
pub use guest::{Guest, Host};
pub use look::{Sample, Stood};
pub use points::{Access, Breakpoint, Watchpoint};
pub use registers::{DCRDR, Register, check_link};

use crate::adi::MemAp;
use crate::error::{Cause, Error, Result};
use crate::event::Ears;
use crate::probe::{Deadline, MemOp};
use points::Units;
use registers::Seen;
use std::collections::BTreeSet;
use std::time::Duration;

/// DDI0403 B3.2.3
const CPUID: u32 = 0xE000_ED00;
/// DDI0403 B3.2.4
pub const ICSR: u32 = 0xE000_ED04;
/// DDI0403 B3.2.6; reads of the key give 0xFA05.
const AIRCR: u32 = 0xE000_ED0C;
const AIRCR_KEY: u32 = 0x05FA_0000;
const SYSRESETREQ: u32 = 1 << 2;
/// DDI0403 B3.2.5
pub const VTOR: u32 = 0xE000_ED08;
/// DDI0403 B3.5.2; reads 0 where there is no MPU.
pub const MPU_CTRL: u32 = 0xE000_ED94;
/// DDI0403 B4.7.2; 0 where there is no FPU.
const MVFR0: u32 = 0xE000_EF40;

/// DDI0403 C1.6.1
pub const DFSR: u32 = 0xE000_ED30;
const DFSR_ALL: u32 = 0x1F;
const DFSR_BKPT: u32 = 1 << 1;

/// DDI0403 C1.6.2
const DHCSR: u32 = 0xE000_EDF0;
const DBGKEY: u32 = 0xA05F_0000;
pub const C_DEBUGEN: u32 = 1 << 0;
const C_HALT: u32 = 1 << 1;
const C_STEP: u32 = 1 << 2;
const C_MASKINTS: u32 = 1 << 3;
const S_REGRDY: u32 = 1 << 16;
const S_HALT: u32 = 1 << 17;
const S_SLEEP: u32 = 1 << 18;
const S_LOCKUP: u32 = 1 << 19;
/// Clears when read.
const S_RETIRE_ST: u32 = 1 << 24;
/// Clears when read.
const S_RESET_ST: u32 = 1 << 25;

/// DDI0403 C1.6.5; ARMv6-M has VC_CORERESET, VC_HARDERR and TRCENA (there DWTENA) only (DDI0419 C1.6.5).
const DEMCR: u32 = 0xE000_EDFC;
const VC_CORERESET: u32 = 1 << 0;
const TRCENA: u32 = 1 << 24;

/// BKPT #imm8, DDI0403 A7.7.17
const BKPT: u16 = 0xBE00;

/// Between two looks at DHCSR: an eighth of the time waited so far, within these.
const POLLS: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(10));
/// A look at DHCSR so short ago needs no other: less than the time of one to answer a slow host.
const FRESH: Duration = Duration::from_millis(1);

/// What a core is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Running,
    Halted(Reason),
    Sleeping,
    Lockup,
    /// Held in reset.
    Reset,
    /// Its AP does not answer.
    Unavailable,
}

/// Why a core halted (DFSR).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Request,
    Breakpoint,
    Watchpoint,
    VectorCatch,
    Step,
    External,
    Unknown,
}

impl Reason {
    /// DFSR bits by what they say most: several may be set after one halt.
    const TABLE: &[(u32, Reason)] = &[
        (1 << 3, Reason::VectorCatch),
        (1 << 2, Reason::Watchpoint),
        (DFSR_BKPT, Reason::Breakpoint),
        (1 << 4, Reason::External),
        (1 << 0, Reason::Request),
    ];

    fn from_dfsr(dfsr: u32) -> Reason {
        Self::TABLE.iter().find(|row| dfsr & row.0 != 0).map_or(Reason::Unknown, |row| row.1)
    }
}

/// A processor by CPUID.PARTNO (bits 15:4).
#[derive(Debug, PartialEq, Eq)]
pub struct Part {
    pub number: u32,
    pub name: &'static str,
    pub v6m: bool,
    /// The FPU is an option of the part; MVFR0 says whether it is there.
    fpu: bool,
    caches: bool,
}

const fn part(number: u32, name: &'static str, v6m: bool, fpu: bool, caches: bool) -> Part {
    Part { number, name, v6m, fpu, caches }
}

const PARTS: &[Part] = &[
    part(0xC20, "Cortex-M0", true, false, false),
    part(0xC60, "Cortex-M0+", true, false, false),
    part(0xC23, "Cortex-M3", false, false, false),
    part(0xC24, "Cortex-M4", false, true, false),
    part(0xC27, "Cortex-M7", false, true, true),
];

fn part_of(cpuid: u32) -> Option<&'static Part> {
    PARTS.iter().find(|part| part.number == (cpuid >> 4) & 0xFFF)
}

/// "Cortex-M7", or the number where the name is not known.
pub fn part_name(number: u32) -> String {
    part_of(number << 4).map_or(format!("PARTNO {number:#05x}"), |part| part.name.to_string())
}

/// One core, and what it looked like when it was found.
#[derive(Debug)]
pub struct Core {
    pub name: String,
    pub part: &'static Part,
    pub cpuid: u32,
    pub fpu: bool,
    pub breakpoints: Vec<Breakpoint>,
    pub watchpoints: Vec<Watchpoint>,
    /// Halted for rocd's own purposes, so it is resumed when rocd leaves.
    pub own_halt: bool,
    /// S_RESET_ST and S_RETIRE_ST since somebody last asked: they clear when read, so every read adds to these.
    pub reset_seen: bool,
    pub retired: bool,
    /// Somebody waits for BKPTs of the program, also after a reset.
    pub debugged: bool,
    found_dhcsr: u32,
    found_demcr: u32,
    /// The last look at DHCSR showed S_HALT; when that was.
    stood: Option<Duration>,
    /// What the halted core holds; `None` where it may have moved since.
    seen: Option<Seen>,
    /// Words elsewhere in plain memory that were asked for last.
    asked: Vec<u32>,
    /// What DCRDR held before registers went through it: back before the core runs, for a program may speak to a debugger
    /// by it.
    dcrdr: Option<u32>,
    /// FPB and DWT before rocd used them.
    units: Option<Units>,
    stepped: bool,
    /// Lines that rocd wrote since the core last ran, on a core with caches.
    written: BTreeSet<u32>,
}

impl Core {
    /// What a look at a core of this PARTNO reads: CPUID, DEMCR, MVFR0 where there may be one, DHCSR.
    pub fn look(number: u32) -> [u32; 4] {
        let fpu = part_of(number << 4).is_some_and(|part| part.fpu);
        [CPUID, DEMCR, if fpu { MVFR0 } else { DEMCR }, DHCSR]
    }

    /// Look at a core without changing it. `number` is the PARTNO the target file promises.
    pub fn examine(name: &str, number: u32, mem: &mut MemAp) -> Result<Core> {
        let mut ops = Core::look(number).map(MemOp::read);
        mem.batch(&mut ops)?;
        Core::found(name, number, ops.map(|op| op.value()), mem.now())
    }

    /// What `look` showed.
    pub fn found(name: &str, number: u32, [cpuid, demcr, mvfr0, dhcsr]: [u32; 4], now: Duration) -> Result<Core> {
        if cpuid == 0 {
            // The H745's second core until it is clocked (OpenOCD: "PARTNO 0x0 is unrecognized").
            let error = Error::target(format!("core {name} is not clocked (CPUID = 0)"));
            return Err(error.cause(Cause::Fault { address: Some(CPUID) }));
        }
        let part = part_of(cpuid).filter(|part| part.number == number).ok_or_else(|| {
            let (is, wanted) = (part_name((cpuid >> 4) & 0xFFF), part_name(number));
            Error::target(format!("core {name} is a {is} (CPUID = {cpuid:#010x}), the target file says {wanted}"))
        })?;
        let mut core = Core {
            name: name.to_string(),
            part,
            cpuid,
            fpu: part.fpu && mvfr0 != 0,
            breakpoints: Vec::new(),
            watchpoints: Vec::new(),
            own_halt: false,
            reset_seen: false,
            retired: false,
            debugged: false,
            found_dhcsr: dhcsr,
            found_demcr: demcr,
            stood: None,
            seen: None,
            asked: Vec::new(),
            dcrdr: None,
            units: None,
            stepped: false,
            written: BTreeSet::new(),
        };
        core.note(dhcsr, now);
        Ok(core)
    }

    /// The core was armed while it could not be looked at (under reset): these are what was found then.
    pub fn found_before(&mut self, found: &Armed) {
        self.found_dhcsr = found.dhcsr;
        self.found_demcr = found.demcr;
    }

    fn dhcsr(&mut self, mem: &mut MemAp) -> Result<u32> {
        let dhcsr = mem.read32(DHCSR)?;
        self.note(dhcsr, mem.now());
        Ok(dhcsr)
    }

    /// Halted, by a look that may be `FRESH` old; of a core that runs each look is a new one.
    fn stands(&mut self, mem: &mut MemAp) -> Result<bool> {
        let fresh = self.stood.is_some_and(|at| mem.now().saturating_sub(at) < FRESH);
        Ok(fresh || self.dhcsr(mem)? & S_HALT != 0)
    }

    /// What was seen of a core stays true while it stands: S_RETIRE_ST and S_RESET_ST would tell if it had not.
    fn note(&mut self, dhcsr: u32, now: Duration) {
        self.reset_seen |= dhcsr & S_RESET_ST != 0;
        self.retired |= dhcsr & S_RETIRE_ST != 0;
        if dhcsr & (S_HALT | S_RETIRE_ST | S_RESET_ST) != S_HALT {
            self.seen = None;
        }
        self.stood = (dhcsr & S_HALT != 0).then_some(now);
        if self.stood.is_some() {
            self.seen.get_or_insert_default();
        }
    }

    /// It may move, or was moved.
    fn forget(&mut self) {
        (self.seen, self.stood) = (None, None);
    }

    pub fn state(&mut self, mem: &mut MemAp) -> Result<State> {
        if self.stood.is_some() && self.stands(mem)? {
            return Ok(State::Halted(self.reason(mem)?));
        }
        let mut dhcsr = self.dhcsr(mem)?;
        if dhcsr & S_RESET_ST != 0 {
            // It clears when read, so a second 1 is a reset that lasts (DDI0403 C1.6.2).
            dhcsr = self.dhcsr(mem)?;
            if dhcsr & S_RESET_ST != 0 && dhcsr & (S_RETIRE_ST | S_HALT) == 0 {
                return Ok(State::Reset);
            }
        }
        Ok(match dhcsr {
            _ if dhcsr & S_HALT != 0 => State::Halted(self.reason(mem)?),
            _ if dhcsr & S_LOCKUP != 0 => State::Lockup,
            _ if dhcsr & S_SLEEP != 0 => State::Sleeping,
            _ => State::Running,
        })
    }

    fn reason(&mut self, mem: &mut MemAp) -> Result<Reason> {
        Ok(match Reason::from_dfsr(self.dfsr(mem)?) {
            // A step sets DFSR.HALTED as a request does.
            Reason::Request | Reason::Unknown if self.stepped => Reason::Step,
            reason => reason,
        })
    }

    pub fn is_halted(&mut self, mem: &mut MemAp) -> Result<bool> {
        Ok(self.dhcsr(mem)? & S_HALT != 0)
    }

    /// DFSR, which a halted core does not change.
    fn dfsr(&mut self, mem: &mut MemAp) -> Result<u32> {
        if let Some(Seen { dfsr: Some(dfsr), .. }) = self.seen {
            return Ok(dfsr);
        }
        let dfsr = mem.read32(DFSR)?;
        self.seen.iter_mut().for_each(|seen| seen.dfsr = Some(dfsr));
        Ok(dfsr)
    }

    fn running(&self) -> Error {
        Error::target(format!("core {} is running", self.name)).hint("`halt` first")
    }

    /// `Err` unless the core is halted: what needs a halted core says so before it touches anything.
    fn need_halted(&mut self, mem: &mut MemAp) -> Result<()> {
        if self.stands(mem)? { Ok(()) } else { Err(self.running()) }
    }

    fn control(mem: &mut MemAp, bits: u32) -> Result<()> {
        mem.write32(DHCSR, DBGKEY | bits)
    }

    /// Ask the core to halt; a core in lock-up leaves it for debug state. `wait` of 0 does not wait.
    pub fn halt(&mut self, mem: &mut MemAp, ears: &Ears, wait: Duration) -> Result<()> {
        if self.stood.is_some() && self.stands(mem)? {
            return Ok(());
        }
        self.stepped = false;
        let request = MemOp::write(DHCSR, DBGKEY | C_DEBUGEN | C_HALT);
        let mut ops = vec![MemOp::read(DHCSR), MemOp::read(DFSR), MemOp::write(DFSR, DFSR_ALL), request];
        match wait.is_zero() {
            true => mem.batch(&mut ops)?,
            false => {
                let registers = registers::at_once(mem);
                ops = self.gather(mem, ops, registers, &[])?;
            }
        }
        if ops[0].value() & S_HALT != 0 {
            // It had halted since the last look: why is what DFSR said before it was cleared.
            self.seen.iter_mut().for_each(|seen| seen.dfsr = Some(ops[1].value()));
        }
        if wait.is_zero() || self.stood.is_some() { Ok(()) } else { self.until_halted(mem, ears, wait) }
    }

    /// Wait for a halt that is on its way (a breakpoint, another front-end's request).
    pub fn wait_halt(&mut self, mem: &mut MemAp, ears: &Ears, wait: Duration) -> Result<()> {
        self.debug_enabled(mem)?;
        self.until_halted(mem, ears, wait)
    }

    /// With C_DEBUGEN clear the core cannot halt at all: a BKPT is a HardFault then (DDI0403 C1.5.1).
    fn debug_enabled(&mut self, mem: &mut MemAp) -> Result<()> {
        match self.dhcsr(mem)? & C_DEBUGEN {
            0 => Self::control(mem, C_DEBUGEN),
            _ => Ok(()),
        }
    }

    fn until_halted(&mut self, mem: &mut MemAp, ears: &Ears, wait: Duration) -> Result<()> {
        let (start, deadline, mut retired) = (mem.now(), Deadline::after(mem.probe, wait), 0);
        loop {
            let late = deadline.passed(mem.probe);
            let dhcsr = self.dhcsr(mem)?;
            if dhcsr & S_HALT != 0 {
                return Ok(());
            }
            // It clears when read: what is told is of the whole wait, not of its last moment.
            retired |= dhcsr & S_RETIRE_ST;
            if late {
                return Err(not_halted(dhcsr | retired));
            }
            (ears.breathe)()?;
            let waited = mem.now() - start;
            mem.sleep((waited / 8).clamp(POLLS.0, POLLS.1).min(wait.saturating_sub(waited)).max(POLLS.0));
        }
    }

    /// Run on, over an own breakpoint: from pc, past a BKPT that is the program's, or from `at`.
    pub fn resume(&mut self, mem: &mut MemAp, ears: &Ears, at: Option<u32>) -> Result<()> {
        self.start_at(mem, at)?;
        // What DFSR says, and a BKPT of the program's, are of the place where it stood.
        let in_the_way = match at {
            Some(pc) => self.breakpoints.iter().any(|point| point.address == pc & !1),
            None => self.skip_bkpt(mem)?.is_none() && self.stands_on_breakpoint(mem)?,
        };
        if in_the_way {
            self.step_off(mem, ears)?;
        }
        self.run(mem)
    }

    /// Run on from where the core has not stood: a breakpoint there halts it.
    pub fn resume_afresh(&mut self, mem: &mut MemAp, at: u32) -> Result<()> {
        self.start_at(mem, Some(at))?;
        self.run(mem)
    }

    fn run(&mut self, mem: &mut MemAp) -> Result<()> {
        self.code_settled(mem)?;
        self.stepped = false;
        self.own_halt = false;
        let mut ops = self.before_it_moves();
        // C_MASKINTS must not change in the write that clears C_HALT (DDI0403 C1.6.2).
        ops.extend([C_DEBUGEN | C_HALT, C_DEBUGEN].map(|bits| MemOp::write(DHCSR, DBGKEY | bits)));
        mem.batch(&mut ops)
    }

    /// DCRDR as the program left it, and no reasons of an earlier halt, which stay until they are cleared. What was seen is not true any more.
    fn before_it_moves(&mut self) -> Vec<MemOp> {
        self.forget();
        let dcrdr = self.dcrdr.take().map(|value| MemOp::write(DCRDR, value));
        dcrdr.into_iter().chain([MemOp::write(DFSR, DFSR_ALL)]).collect()
    }

    fn start_at(&mut self, mem: &mut MemAp, at: Option<u32>) -> Result<()> {
        self.need_halted(mem)?;
        match at {
            Some(pc) => self.write_core(mem, registers::PC, pc & !1),
            None => Ok(()),
        }
    }

    pub fn pc(&mut self, mem: &mut MemAp) -> Result<u32> {
        Ok(self.read_core(mem, &[registers::PC])?[0])
    }

    /// Before a reset: halt at the reset vector (`true`) or not. A sleeping core is woken so that it sees the reset.
    pub fn arm_reset(&mut self, mem: &mut MemAp, halt: bool) -> Result<()> {
        let dhcsr = self.dhcsr(mem)?;
        self.reset_seen = false;
        self.stepped = false;
        mem.batch(&mut self.before_it_moves())?;
        if halt {
            Self::control(mem, C_DEBUGEN | if dhcsr & (S_SLEEP | S_HALT) != 0 { C_HALT } else { 0 })?;
        }
        mem.update(DEMCR, VC_CORERESET, if halt { VC_CORERESET } else { 0 })?;
        match mem.read32(DEMCR)? {
            demcr if (demcr & VC_CORERESET != 0) == halt => Ok(()),
            demcr => Err(Error::target(format!("DEMCR.VC_CORERESET does not keep what is written (DEMCR = {demcr:#010x})"))),
        }
    }

    /// Ask the whole chip to reset. The write itself may be lost in the reset, so its error means nothing.
    pub fn request_system_reset(&mut self, mem: &mut MemAp) {
        let _ = mem.write32(AIRCR, AIRCR_KEY | SYSRESETREQ);
    }

    /// Has the core been reset since `arm_reset`? An AP that is itself being reset does not answer: not yet.
    pub fn was_reset(&mut self, mem: &mut MemAp) -> Result<bool> {
        match self.dhcsr(mem) {
            Ok(_) => Ok(self.reset_seen),
            Err(error) if matches!(error.cause, Cause::Unplugged | Cause::Interrupted(_)) => Err(error),
            Err(_) => Ok(false),
        }
    }

    /// After a reset that should halt: wait for it, then take the vector catch away.
    pub fn halted_by_reset(&mut self, mem: &mut MemAp, ears: &Ears, wait: Duration) -> Result<()> {
        let halted = self.until_halted(mem, ears, wait).map_err(|error| Error {
            message: error.message.replace("timed out while waiting for target halted", "not halted after reset"),
            ..error
        });
        let caught = mem.update(DEMCR, VC_CORERESET, self.found_demcr & VC_CORERESET);
        halted.and(caught.map(|_| ()))
    }

    /// After a reset that should run: C_HALT survives a reset, so it is cleared now and the core starts from its vectors.
    pub fn run_after_reset(&mut self, mem: &mut MemAp) -> Result<()> {
        self.own_halt = false;
        self.forget();
        let points = self.debugged || !self.breakpoints.is_empty() || !self.watchpoints.is_empty();
        // As without a debugger, unless somebody waits for a point: C_DEBUGEN turns a HardFault at a BKPT into a halt.
        Self::control(mem, if points { C_DEBUGEN } else { self.found_dhcsr & C_DEBUGEN })
    }

    /// Breakpoints off, FPB, DWT, DEMCR and DHCSR as they were found; a core that is halted stays so if `stay_halted`.
    /// Every step is tried; the first error is the result.
    pub fn put_back(&mut self, mem: &mut MemAp, stay_halted: bool) -> Result<()> {
        let points = self.put_points_back(mem);
        let code = self.code_settled(mem);
        let demcr = mem.write32(DEMCR, self.found_demcr);
        let dcrdr = self.dcrdr.take().map_or(Ok(()), |value| mem.write32(DCRDR, value));
        let dhcsr = if stay_halted { Ok(()) } else { Self::control(mem, self.found_dhcsr & (C_DEBUGEN | C_MASKINTS)) };
        self.forget();
        points.and(code).and(demcr).and(dcrdr).and(dhcsr)
    }
}

/// What a core held when it was armed under reset, before anything else could be learnt of it.
#[derive(Clone, Copy, Debug)]
pub struct Armed {
    dhcsr: u32,
    demcr: u32,
    /// It was not in reset although NRST was low.
    pub deaf: bool,
}

/// While NRST is low, or right after it rose: make the core halt at its reset vector. `hurry`: it may be running already.
pub fn arm(mem: &mut MemAp, hurry: bool) -> Result<Armed> {
    // DHCSR again: the first look takes an old S_RESET_ST away, and one that is there still is of now.
    let mut found = [MemOp::read(DHCSR), MemOp::read(DEMCR), MemOp::read(DHCSR)];
    mem.batch(&mut found)?;
    let [dhcsr, demcr, now] = found.map(|op| op.value());
    let deaf = !hurry && now & S_RESET_ST == 0;
    let halt = if hurry { C_HALT } else { 0 };
    // An old DFSR.VCATCH would pass for the one that is waited for.
    let forget = MemOp::write(DFSR, DFSR_ALL);
    mem.batch(&mut [forget, MemOp::write(DHCSR, DBGKEY | C_DEBUGEN | halt), MemOp::write(DEMCR, demcr | VC_CORERESET)])?;
    match mem.read32(DEMCR)? & VC_CORERESET {
        0 => Err(Error::target("DEMCR.VC_CORERESET cannot be set while the chip is in reset")),
        _ => Ok(Armed { dhcsr, demcr, deaf }),
    }
}

/// Undo `arm`, for an attach that goes no further.
pub fn disarm(mem: &mut MemAp, armed: &Armed) -> Result<()> {
    let demcr = mem.write32(DEMCR, armed.demcr);
    let halt = armed.dhcsr & (C_DEBUGEN | C_HALT);
    demcr.and(mem.write32(DHCSR, DBGKEY | if halt & C_DEBUGEN != 0 { halt } else { 0 }))
}

fn not_halted(dhcsr: u32) -> Error {
    let error = Error::target(format!("timed out while waiting for target halted (DHCSR = {dhcsr:#010x})")).cause(Cause::Timeout);
    match dhcsr & (S_SLEEP | S_RESET_ST | S_LOCKUP) {
        0 => error,
        bits if bits & S_LOCKUP != 0 => error.hint("the core is locked up, and does so again from where it stands: `reset halt`"),
        bits if bits & S_RESET_ST != 0 => error.hint("the core is held in reset: look at NRST"),
        _ => error.hint("the core sleeps: connect under reset (`connect under_reset`)"),
    }
}

#[cfg(test)]
mod tests;
