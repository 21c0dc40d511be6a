//! One attached chip: a probe, its cores and its banks, and the verbs a command may use.

use crate::adi::MemAp;
use crate::desc::{Die, Target};
use crate::error::Result;
use crate::event::Ears;
use crate::flash::Bank;
use crate::image::Image;
use crate::probe::Probe;
use std::rc::Rc;
use std::time::Duration;

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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetMode {
    Run,
    Halt,
    /// Halt, then the target file's reset_init hook (fired by the command, not here).
    Init,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakKind {
    /// Hardware in flash, software in RAM.
    Auto,
    Hardware,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breakpoint {
    pub address: u32,
    pub length: u32,
    /// The FPB comparator, or `None` for a BKPT in RAM.
    pub comparator: Option<u32>,
    /// The instruction a software breakpoint replaced.
    pub original: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Any,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watchpoint {
    pub address: u32,
    pub length: u32,
    pub access: Access,
    pub comparator: u32,
}

/// One register as `reg` lists it. `number` is OpenOCD's and gdb's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    pub number: u32,
    pub name: &'static str,
    pub bits: u32,
}

/// How the user wants to come in, and what he allowed.
#[derive(Clone, Debug)]
pub struct AttachOptions {
    pub khz: Option<u32>,
    pub under_reset: bool,
}

/// How `detach` left the chip, for the last line the user reads.
#[derive(Clone, Debug, PartialEq)]
pub enum Left {
    /// As it was found.
    AsFound,
    /// Reset and started because flash was changed.
    Started,
    /// Halted, and where.
    Halted { core: String, pc: u32 },
}

pub struct Session {
    pub probe: Box<dyn Probe>,
    pub target: Rc<Target>,
    pub die: Die,
    pub dev_id: u32,
    pub rev_id: u32,
    pub khz: u32,
    pub volts: Option<f32>,
    pub banks: Vec<Bank>,
    pub ears: Ears,
}

impl Session {
    /// Connect, identify, apply the attach writes. Neither halts nor resets (under reset: halted at the reset vector).
    pub fn attach(probe: Box<dyn Probe>, target: Rc<Target>, options: &AttachOptions, ears: Ears) -> Result<Session> {
        let _ = (probe, target, options, ears);
        todo!()
    }

    /// Put back everything attach found, leave the chip as DESIGN says, leave the debug port. Always tries every step.
    pub fn detach(&mut self) -> Result<Left> {
        todo!()
    }

    /// Memory as core `core` sees it.
    pub fn mem(&mut self, core: usize) -> MemAp<'_> {
        let _ = core;
        todo!()
    }

    pub fn core_names(&self) -> Vec<String> {
        todo!()
    }

    pub fn state(&mut self, core: usize) -> Result<State> {
        let _ = core;
        todo!()
    }

    pub fn halt(&mut self, core: usize, wait: Duration) -> Result<()> {
        let _ = (core, wait);
        todo!()
    }

    pub fn wait_halt(&mut self, core: usize, wait: Duration) -> Result<()> {
        let _ = (core, wait);
        todo!()
    }

    pub fn resume(&mut self, core: usize, at: Option<u32>) -> Result<()> {
        let _ = (core, at);
        todo!()
    }

    /// The pc after the step.
    pub fn step(&mut self, core: usize, at: Option<u32>) -> Result<u32> {
        let _ = (core, at);
        todo!()
    }

    /// `Run`: kind not_running if the core is locked up or not running 10 ms later.
    pub fn reset(&mut self, mode: ResetMode) -> Result<()> {
        let _ = mode;
        todo!()
    }

    /// Every register this core has, in OpenOCD's order.
    pub fn registers(&mut self, core: usize) -> Result<Vec<Register>> {
        let _ = core;
        todo!()
    }

    pub fn read_reg(&mut self, core: usize, register: Register) -> Result<u64> {
        let _ = (core, register);
        todo!()
    }

    pub fn write_reg(&mut self, core: usize, register: Register, value: u64) -> Result<()> {
        let _ = (core, register, value);
        todo!()
    }

    pub fn breakpoints(&self, core: usize) -> &[Breakpoint] {
        let _ = core;
        todo!()
    }

    pub fn add_breakpoint(&mut self, core: usize, address: u32, length: u32, kind: BreakKind) -> Result<Breakpoint> {
        let _ = (core, address, length, kind);
        todo!()
    }

    pub fn remove_breakpoint(&mut self, core: usize, address: Option<u32>) -> Result<()> {
        let _ = (core, address);
        todo!()
    }

    pub fn watchpoints(&self, core: usize) -> &[Watchpoint] {
        let _ = core;
        todo!()
    }

    pub fn add_watchpoint(&mut self, core: usize, address: u32, length: u32, access: Access) -> Result<Watchpoint> {
        let _ = (core, address, length, access);
        todo!()
    }

    pub fn remove_watchpoint(&mut self, core: usize, address: Option<u32>) -> Result<()> {
        let _ = (core, address);
        todo!()
    }

    /// Read the sectors an image touches and plan. Changes nothing.
    pub fn plan(&mut self, image: &Image, policy: crate::flash::Policy) -> Result<crate::flash::Plan> {
        let _ = (image, policy);
        todo!()
    }

    /// Reset-halt (unless `noreset`: only halt), carry out the plan, note that flash changed.
    pub fn execute(&mut self, plan: &crate::flash::Plan, noreset: bool) -> Result<crate::flash::Done> {
        let _ = (plan, noreset);
        todo!()
    }

    pub fn erase(&mut self, bank: usize, what: crate::flash::Erase, noreset: bool) -> Result<()> {
        let _ = (bank, what, noreset);
        todo!()
    }

    pub fn protection(&mut self, bank: usize) -> Result<Vec<bool>> {
        let _ = bank;
        todo!()
    }

    /// Compare memory with an image; kind mismatch names the first bad address, expected and actual.
    pub fn verify(&mut self, image: &Image) -> Result<u64> {
        let _ = image;
        todo!()
    }
}
