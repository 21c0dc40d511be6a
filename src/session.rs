//! One attached chip: a probe, its cores and its banks, and the verbs a command may use.
//!
//! Attach neither halts nor resets. What it changes (power requests, the target file's attach writes, the cores' debug
//! registers) is remembered, and `detach` puts it back on every path.

mod attach;
mod backtrace;
mod clock;
mod detach;
mod doctor;
mod flashing;
mod identify;
mod input;
mod ladder;
mod options;
mod precheck;
mod reset;
mod rtt;
mod semihosting;
mod survey;
#[cfg(test)]
mod tests;

pub use doctor::{CAUSES, CauseRow, Depth, Finding, Report};
pub use input::Input;
pub use precheck::CHECKS;
pub use semihosting::Exit;

pub use crate::cortex_m::{Access, Breakpoint, Reason, Register, State, Watchpoint};
pub use backtrace::{Backtrace, Frame};
pub use options::{OptionChange, OptionValue, find_option};
pub use rtt::{Channel, SLOW, Setup};

use crate::adi::{MemAp, ap};
use crate::cortex_m::{Core, Plain};
use crate::desc::{Die, Target};
use crate::error::{Cause, Error, Result};
use crate::event::Ears;
use crate::flash::Bank;
use crate::image::Names;
use crate::probe::{Ap, Probe, Width};
use attach::Found;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResetMode {
    Run,
    Halt,
    /// Halt, then the target file's reset_init hook (fired by the command, not here).
    Init,
}

impl ResetMode {
    fn word(self) -> &'static str {
        match self {
            ResetMode::Run => "run",
            ResetMode::Halt => "halt",
            ResetMode::Init => "init",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakKind {
    /// Hardware in flash, software in RAM.
    Auto,
    Hardware,
}

/// How long a program waits at most until its host attends to it, while that only waits.
const ATTEND: Duration = Duration::from_millis(10);

/// How the user wants to come in, and what he allowed.
#[derive(Clone, Debug)]
pub struct AttachOptions {
    /// Upper bound of the clock; `None`: what the target file says.
    pub khz: Option<u32>,
    /// `khz`, and no other.
    pub exact: bool,
    pub under_reset: bool,
}

/// How often a core was let go, stepped and reset by us, and the last `reset`'s word: who looks on can tell what it missed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ran {
    pub resumes: usize,
    pub steps: usize,
    pub resets: usize,
    pub mode: &'static str,
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
    /// In force now.
    pub khz: u32,
    pub volts: Option<f32>,
    pub banks: Vec<Bank>,
    pub ears: Ears,
    /// Of what was programmed or loaded last, as far as whoever attached knows them.
    pub names: Rc<RefCell<Names>>,
    /// In the target file's order; `None`: its AP does not answer.
    cores: Vec<Option<Core>>,
    /// Of each core.
    pub ran: Vec<Ran>,
    found: Found,
    clock: clock::Clock,
    pub semihosting: semihosting::Semihosting,
    /// Since the last reset.
    flash_changed: bool,
    /// The last change of flash was to do without a program of ours in RAM: looks at flash do, too.
    no_guest: bool,
    /// The last verb that spoke of running or halting asked for halted.
    wanted_halted: bool,
    /// `rtt start` was given.
    rtt: Option<rtt::Rtt>,
}

impl Session {
    /// Memory as core `core` sees it.
    pub fn mem(&mut self, core: usize) -> MemAp<'_> {
        MemAp::new(&mut *self.probe, core_ap(&self.target, core))
    }

    /// Bytes into memory as core `core` sees it, in accesses of `width`, or of whatever width suits (`None`).
    pub fn write_memory(&mut self, core: usize, width: Option<Width>, address: u32, data: &[u8]) -> Result<()> {
        if let Some(Some(found)) = self.cores.get_mut(core) {
            found.wrote(address, data.len());
        }
        self.cores.iter_mut().flatten().for_each(Core::memory_changed);
        let mut mem = self.mem(core);
        match width {
            Some(width) => mem.write_width(width, address, data),
            None => mem.write(address, data),
        }
    }

    /// As core `core` sees it. What lies around its pc and sp is read at once when it has halted, and remembered for a moment.
    pub fn read_memory(&mut self, core: usize, address: u32, buf: &mut [u8]) -> Result<()> {
        let plain = self.plain(core);
        let (core, mut mem, _) = self.parts(core)?;
        core.read_around(&mut mem, &plain, address, buf)
    }

    fn plain(&self, core: usize) -> Plain {
        let row = &self.target.cores[core];
        let uncached = (row.csw & ap::CSW_CACHEABLE == 0).then_some(&self.die.ram).into_iter().flatten();
        let ram = uncached.chain([&row.work_area]).map(|region| region.address..region.address + region.size);
        Plain { flash: self.banks.iter().map(|bank| bank.address..bank.address + bank.size).collect(), ram: ram.collect() }
    }

    pub fn core_names(&self) -> Vec<String> {
        self.target.cores.iter().take(self.cores.len()).map(|row| row.name.clone()).collect()
    }

    /// A core that answers, with the way to it and the ears to hear with.
    fn parts(&mut self, core: usize) -> Result<(&mut Core, MemAp<'_>, &Ears)> {
        let found = self.cores.get_mut(core).ok_or_else(|| Error::command(format!("there is no core {core}")))?;
        let row = &self.target.cores[core];
        let found = found.as_mut().ok_or_else(|| {
            Error::target(format!("core {} is not available: AP{} does not answer", row.name, row.ap))
                .hint("its domain may be off or asleep; connect under reset (`connect under_reset`)")
        })?;
        Ok((found, MemAp::new(&mut *self.probe, Ap { index: row.ap, csw: row.csw }), &self.ears))
    }

    /// The numbers of the cores that answer.
    fn available(&self) -> Vec<usize> {
        (0..self.cores.len()).filter(|core| self.cores[*core].is_some()).collect()
    }

    /// One that stands at a semihosting call waits for `attend`, and runs to everybody else.
    pub fn state(&mut self, core: usize) -> Result<State> {
        if self.cores.get(core).is_some_and(Option::is_none) {
            // It may have been clocked since.
            self.cores[core] = attach::examine(&mut *self.probe, &self.target.cores[core])?;
            if self.cores[core].is_none() {
                return Ok(State::Unavailable);
            }
        }
        let (found, mut mem, _) = self.parts(core)?;
        let state = found.state(&mut mem).map_err(asleep)?;
        if state == State::Halted(Reason::Breakpoint) && self.calls(core)? { Ok(State::Running) } else { Ok(state) }
    }

    pub fn halt(&mut self, core: usize, wait: Duration) -> Result<()> {
        let (found, mut mem, ears) = self.parts(core)?;
        found.halt(&mut mem, ears, wait).map_err(asleep)?;
        found.own_halt = false;
        self.semihosting.held.insert(core);
        self.wanted_halted = true;
        Ok(())
    }

    pub fn wait_halt(&mut self, core: usize, wait: Duration) -> Result<()> {
        let until = self.probe.now() + wait;
        loop {
            let left = until.saturating_sub(self.probe.now());
            let slice = left.min(self.unattended());
            let (found, mut mem, ears) = self.parts(core)?;
            let waited = found.wait_halt(&mut mem, ears, slice);
            self.attend()?;
            match waited {
                Err(error) if error.cause == Cause::Timeout && slice < left => {}
                Ok(()) if self.semihosting.on && !matches!(self.state(core)?, State::Halted(_)) => {}
                waited => return waited,
            }
        }
    }

    /// What the programs in the chip want of their host is done, and what they say is told (`Event::Target`): wherever rocd
    /// waits while a core may run, every `ATTEND` and `rtt_due`. Nothing of the chip is touched while nobody asked for this.
    pub fn attend(&mut self) -> Result<()> {
        let answered = if self.semihosting.on { self.answer_calls() } else { Ok(()) };
        let looked = self.rtt_attend();
        answered.and(looked)
    }

    /// How long the chip may be left alone now: for ever while nobody asked for anything.
    pub fn unattended(&self) -> Duration {
        let calls = if self.semihosting.on { ATTEND } else { Duration::MAX };
        calls.min(self.rtt_due().unwrap_or(Duration::MAX))
    }

    /// Let time pass on the chip's clock.
    pub fn wait(&mut self, time: Duration) -> Result<()> {
        let until = self.probe.now() + time;
        loop {
            let left = until.saturating_sub(self.probe.now());
            if left.is_zero() {
                return Ok(());
            }
            self.probe.sleep(left.min(self.unattended()));
            self.attend()?;
        }
    }

    pub fn resume(&mut self, core: usize, at: Option<u32>) -> Result<()> {
        if !self.go_on(core, at)? {
            return Ok(());
        }
        self.ran[core].resumes += 1;
        self.semihosting.held.remove(&core);
        (self.semihosting.exit, self.wanted_halted) = (None, false);
        Ok(())
    }

    /// False: it stands where its program has ended, which nobody has seen before.
    fn go_on(&mut self, core: usize, at: Option<u32>) -> Result<bool> {
        let call = if at.is_none() { self.answer_first(core)? } else { Ok(None) };
        let Ok(behind) = call else { return Ok(false) };
        let (core, mut mem, ears) = self.parts(core)?;
        match behind {
            Some(next) => core.resume_afresh(&mut mem, next)?,
            None => core.resume(&mut mem, ears, at)?,
        }
        self.semihosting.went_on();
        Ok(true)
    }

    /// The pc after the step.
    pub fn step(&mut self, core: usize, at: Option<u32>) -> Result<u32> {
        let call = if at.is_none() { self.answer_first(core)? } else { Ok(None) };
        let (found, mut mem, ears) = self.parts(core)?;
        let pc = found.step(&mut mem, ears, at)?;
        // A handler may have stopped it in front of the call, which is not to be answered again behind it.
        if call.is_ok_and(|next| next.is_none_or(|next| next == pc)) {
            self.semihosting.went_on();
        }
        self.ran[core].steps += 1;
        Ok(pc)
    }

    /// Where a halted core is.
    pub fn pc(&mut self, core: usize) -> Result<u32> {
        let (core, mut mem, _) = self.parts(core)?;
        core.pc(&mut mem)
    }

    /// Has this core been reset since this was asked last? By us, by its watchdog, by its pin.
    pub fn take_reset_seen(&mut self, core: usize) -> Result<bool> {
        Ok(std::mem::take(&mut self.parts(core)?.0.reset_seen))
    }

    /// Every register this core has, in OpenOCD's order.
    pub fn registers(&mut self, core: usize) -> Result<Vec<Register>> {
        Ok(self.parts(core)?.0.registers())
    }

    pub fn read_reg(&mut self, core: usize, register: Register) -> Result<u64> {
        Ok(self.read_regs(core, &[register])?[0])
    }

    /// Several at once, which is much faster than one by one.
    pub fn read_regs(&mut self, core: usize, registers: &[Register]) -> Result<Vec<u64>> {
        let (core, mut mem, _) = self.parts(core)?;
        core.read_registers(&mut mem, registers)
    }

    /// Of r0 to psp those that are known when the core has just stopped.
    pub fn stop_regs(&mut self, core: usize) -> Result<Vec<(Register, u64)>> {
        let (core, mut mem, _) = self.parts(core)?;
        core.stop_registers(&mut mem)
    }

    pub fn write_reg(&mut self, core: usize, register: Register, value: u64) -> Result<()> {
        let (core, mut mem, _) = self.parts(core)?;
        core.write_register(&mut mem, register, value)
    }

    pub fn breakpoints(&self, core: usize) -> &[Breakpoint] {
        self.cores.get(core).and_then(Option::as_ref).map_or(&[], |core| &core.breakpoints)
    }

    /// One that is already there is the answer to asking for it again, as gdb does.
    pub fn add_breakpoint(&mut self, core: usize, address: u32, length: u32, kind: BreakKind) -> Result<Breakpoint> {
        let in_ram = self.in_ram(core, address);
        let (core, mut mem, _) = self.parts(core)?;
        if let Some(point) = core.breakpoints.iter().find(|point| point.address == address & !1) {
            return Ok(*point);
        }
        match kind == BreakKind::Auto && in_ram {
            true => core.add_software_breakpoint(&mut mem, address, length),
            false => core.add_hardware_breakpoint(&mut mem, address, length),
        }
    }

    /// In memory where a BKPT can be written: the die's RAM, or the core's work area.
    fn in_ram(&self, core: usize, address: u32) -> bool {
        self.ram_from(core, address).is_some()
    }

    /// Bytes of such memory from `address` on; `None`: it is in none.
    fn ram_from(&self, core: usize, address: u32) -> Option<u32> {
        let regions = self.ram(core);
        regions.into_iter().find_map(|(start, size)| size.checked_sub(address.wrapping_sub(start)).filter(|left| *left > 0))
    }

    /// RAM as this core sees it: the die's, and what is its own. (address, size)
    fn ram(&self, core: usize) -> Vec<(u32, u32)> {
        let own = self.target.cores.get(core).into_iter().flat_map(|row| row.own_ram.iter().chain([&row.work_area]));
        self.die.ram_at_most().into_iter().chain(own.map(|region| (region.address, region.size))).collect()
    }

    pub fn remove_breakpoint(&mut self, core: usize, address: Option<u32>) -> Result<()> {
        let (core, mut mem, _) = self.parts(core)?;
        core.remove_breakpoints(&mut mem, address)
    }

    pub fn watchpoints(&self, core: usize) -> &[Watchpoint] {
        self.cores.get(core).and_then(Option::as_ref).map_or(&[], |core| &core.watchpoints)
    }

    pub fn add_watchpoint(&mut self, core: usize, address: u32, length: u32, access: Access) -> Result<Watchpoint> {
        let (core, mut mem, _) = self.parts(core)?;
        core.add_watchpoint(&mut mem, address, length, access)
    }

    /// The watchpoint that has matched since this was asked last.
    pub fn watch_hit(&mut self, core: usize) -> Result<Option<Watchpoint>> {
        let (core, mut mem, _) = self.parts(core)?;
        core.watch_hit(&mut mem)
    }

    pub fn remove_watchpoint(&mut self, core: usize, address: Option<u32>) -> Result<()> {
        let (core, mut mem, _) = self.parts(core)?;
        core.remove_watchpoints(&mut mem, address)
    }
}

/// The AP that core `core` is reached through.
fn core_ap(target: &Target, core: usize) -> Ap {
    let row = &target.cores[core];
    Ap { index: row.ap, csw: row.csw }
}

/// An AP that keeps saying WAIT belongs to a core that sleeps (facts of many boards: STOP, STANDBY, a gated clock).
fn asleep(error: Error) -> Error {
    match error.cause {
        Cause::Wait { .. } => error.hint("the core may be asleep: connect under reset (`connect under_reset`)"),
        _ => error,
    }
}

/// What must end any attempt, however tolerant.
fn fatal(error: &Error) -> bool {
    matches!(error.cause, Cause::Unplugged | Cause::Interrupted(_) | Cause::Abandoned(_) | Cause::Exit(_))
}
