//! Resetting the chip: SYSRESETREQ, or NRST where that is not seen.

use super::ladder::tolerated;
use super::{ResetMode, Session, Setup, attach, fatal};
use crate::cortex_m::State;
use crate::error::{Context, Error, Kind, Result};
use crate::probe::Deadline;
use std::time::Duration;

/// From SYSRESETREQ until S_RESET_ST must be seen: OpenOCD waits 50 ms; twice that for an H7 whose D1 comes up slowly.
const RESET_WAIT: Duration = Duration::from_millis(100);
const HALT_WAIT: Duration = Duration::from_secs(1);
/// A program that is going to lock up does so in its first instructions.
const RUN_WAIT: Duration = Duration::from_millis(10);
/// What pc is of a core in lock-up (DDI0403 and DDI0419, B1.5).
const LOCKUP: u32 = 0xFFFF_FFFE;
const POLL: Duration = Duration::from_millis(1);

impl Session {
    /// `Run`: kind not_running if the core is locked up or not running 10 ms later.
    pub fn reset(&mut self, mode: ResetMode) -> Result<()> {
        let _phase = self.ears.phase("reset", "");
        let halt = mode != ResetMode::Run;
        self.reset_chip(halt)?;
        self.ran.iter_mut().for_each(|ran| (ran.resets, ran.mode) = (ran.resets + 1, mode.word()));
        self.flash_changed = false;
        self.wanted_halted = halt;
        self.semihosting.begin(self.probe.now());
        for core in self.cores.iter_mut().flatten() {
            core.own_halt = false;
        }
        if halt { Ok(()) } else { self.check_running() }
    }

    /// Reset, and halt every core at its vector or let it run; what a reset takes away is set again.
    pub(super) fn reset_chip(&mut self, halt: bool) -> Result<()> {
        self.reset_chip_by(halt, Session::system_reset)
    }

    /// By what `request` does, which is false if no reset came of it.
    pub(super) fn reset_chip_by(&mut self, halt: bool, request: impl Fn(&mut Session) -> Result<bool>) -> Result<()> {
        let _phase = self.ears.phase("reset", "");
        self.look_again()?;
        if !self.arm_cores(halt)? {
            // Asleep or off: the pin brings it back, and then the usual way is open.
            self.pulse_nrst()?;
            self.look_again()?;
            self.arm_cores(halt)?;
        }
        if !request(self)? {
            self.ears.debug(1, || "SYSRESETREQ was not seen to work: resetting by NRST".to_string());
            self.nrst_reset()?;
        }
        self.apply_again().during("after the reset")?;
        for core in self.available() {
            let (core, mut mem, ears) = self.parts(core)?;
            match halt {
                true => core.halted_by_reset(&mut mem, ears, HALT_WAIT)?,
                false => core.run_after_reset(&mut mem)?,
            }
            core.rearm_points(&mut mem)?;
        }
        Ok(())
    }

    /// SYSRESETREQ by the first core; false if nothing came of it.
    pub(super) fn system_reset(&mut self) -> Result<bool> {
        let Some(first) = self.available().first().copied() else { return Ok(false) };
        let (core, mut mem, _) = self.parts(first)?;
        core.request_system_reset(&mut mem);
        self.reset_seen(first)
    }

    pub(super) fn reset_seen(&mut self, core: usize) -> Result<bool> {
        let deadline = Deadline::after(&*self.probe, RESET_WAIT);
        loop {
            let late = deadline.passed(&*self.probe);
            let (core, mut mem, _) = self.parts(core)?;
            if core.was_reset(&mut mem)? {
                return Ok(true);
            }
            if late {
                return Ok(false);
            }
            (self.ears.breathe)()?;
            self.probe.sleep(POLL);
        }
    }

    fn nrst_reset(&mut self) -> Result<()> {
        self.pulse_nrst()?;
        match self.available().first().copied() {
            Some(first) if self.reset_seen(first)? => Ok(()),
            _ => Err(Error::target("the chip did not reset, neither by SYSRESETREQ nor by NRST")
                .hint("wire the probe's NRST to the chip's, or switch the board off and on")),
        }
    }

    /// The pin low for as long as the target file says.
    fn pulse_nrst(&mut self) -> Result<()> {
        self.probe.drive_nrst(true)?;
        self.probe.sleep(Duration::from_millis(self.target.reset.hold_ms));
        self.probe.drive_nrst(false)?;
        self.probe.sleep(Duration::from_millis(self.target.reset.settle_ms));
        (self.ears.breathe)()
    }

    /// Cores that did not answer before may by now.
    fn look_again(&mut self) -> Result<()> {
        for (core, row) in self.cores.iter_mut().zip(&self.target.cores) {
            if core.is_none() {
                *core = attach::examine(&mut *self.probe, row)?;
            }
        }
        Ok(())
    }

    /// Every core told to halt at its vector or not; false if one could not be told, or there is none.
    fn arm_cores(&mut self, halt: bool) -> Result<bool> {
        let available = self.available();
        let mut all = !available.is_empty();
        for core in available {
            let (core, mut mem, _) = self.parts(core)?;
            match core.arm_reset(&mut mem, halt) {
                Err(error) if fatal(&error) => return Err(error),
                armed => all &= armed.is_ok(),
            }
        }
        Ok(all)
    }

    /// 10 ms of the chip's time after a reset: is the first core alive?
    fn check_running(&mut self) -> Result<()> {
        self.probe.sleep(RUN_WAIT);
        (self.ears.breathe)()?;
        let Some(first) = self.available().first().copied() else { return Ok(()) };
        let points = !self.breakpoints(first).is_empty() || !self.watchpoints(first).is_empty();
        // The first look takes the reset's own S_RESET_ST away.
        self.state(first)?;
        match self.state(first)? {
            State::Running if self.faults(first)? => Err(self.not_running(first, "is in the handler of a fault")?),
            State::Running | State::Sleeping => Ok(()),
            State::Halted(_) if points => Ok(()),
            State::Lockup => Err(self.not_running(first, "is locked up")?),
            State::Reset => Err(self.not_running(first, "is held in reset")?.hint("look at NRST: a button, a supervisor, a short")),
            State::Halted(_) => Err(self.not_running(first, "stopped by itself")?),
            State::Unavailable => Err(self.not_running(first, "does not answer")?),
        }
    }

    /// NMI and the faults; twice, for one may be handled and over.
    fn faults(&mut self, core: usize) -> Result<bool> {
        let mut twice = || -> Result<bool> {
            let (core, mut mem, _) = self.parts(core)?;
            Ok((2..=6).contains(&core.sample(&mut mem)?.exception()))
        };
        Ok(twice()? && twice()?)
    }

    /// As below, and before its hint what `doctor` makes of it. `Err`: what ended the look.
    fn not_running(&mut self, core: usize, how: &str) -> Result<Error> {
        let error = self.not_running_by_table(core, how)?;
        // Of a blank chip all is said.
        let blank = error.hint.as_ref().is_some_and(|hint| hint.contains("is blank"));
        let Some(verdict) = (if blank { None } else { self.verdict(core)? }) else { return Ok(error) };
        let hint = error.hint.map_or(verdict.clone(), |hint| format!("{verdict} ({hint})"));
        Ok(Error { hint: Some(hint), ..error })
    }

    /// With the reason of the HardFault, and the start of the vector table, which explains most of these.
    fn not_running_by_table(&mut self, core: usize, how: &str) -> Result<Error> {
        let name = self.target.cores[core].name.clone();
        let stopped = tolerated(self.stopped(core))?.flatten().unwrap_or_default();
        let error = Error::new(Kind::NotRunning, format!("core {name} {how} 10 ms after the reset{stopped}"));
        let vectors = self.parts(core).and_then(|(core, mut mem, _)| core.vectors(&mut mem));
        Ok(match tolerated(vectors)? {
            Some((table, u32::MAX, u32::MAX)) => error.hint(format!("the vector table at {table:#010x} is blank: program the chip first")),
            Some((table, sp, pc)) => {
                let names = self.names.borrow();
                let says = format!("its vector table at {table:#010x} says sp = {sp:#010x}, reset = {}", names.at(pc));
                error.hint(match pc & 1 {
                    0 => format!("{says}, which lacks the Thumb bit (bit 0): this is no vector table"),
                    _ if names.place(pc).is_some() => says,
                    _ => format!("{says}: is the image linked for this address?"),
                })
            }
            None => error,
        })
    }

    /// Where a core that is halted or locked up stands, and why it locked up; it goes on being what it was.
    fn stopped(&mut self, number: usize) -> Result<Option<String>> {
        let names = self.names.clone();
        let at = |pc| names.borrow().at(pc);
        let (core, mut mem, ears) = self.parts(number)?;
        Ok(match core.state(&mut mem)? {
            State::Halted(_) => Some(format!(", pc = {}", at(core.pc(&mut mem)?))),
            State::Lockup => {
                // The flags first: let go, the core faults again.
                let flags = core.fault_flags(&mut mem)?;
                core.halt(&mut mem, ears, Duration::from_millis(100))?;
                let pc = core.pc(&mut mem)?;
                let why = self.faulted(number, flags, false)?;
                let (core, mut mem, _) = self.parts(number)?;
                core.run_after_reset(&mut mem)?;
                Some(format!(", pc = {}: {why}", at(pc)))
            }
            _ => None,
        })
    }

    /// Of a core that is locked up or was halted by its HardFault: why and where, in words. It is halted afterwards.
    pub fn why_faulted(&mut self, core: usize) -> Result<String> {
        let (found, mut mem, ears) = self.parts(core)?;
        let flags = found.fault_flags(&mut mem)?;
        found.halt(&mut mem, ears, HALT_WAIT)?;
        let locked_up = found.pc(&mut mem)? >= LOCKUP;
        let why = self.faulted(core, flags, !locked_up)?;
        Ok(if locked_up { format!("the core locked up: {why}") } else { why })
    }

    /// Of a core that has been halted, at the first instruction of its handler (`fresh`) or somewhere.
    fn faulted(&mut self, core: usize, flags: Option<String>, fresh: bool) -> Result<String> {
        let names = self.names.clone();
        let at = |pc| names.borrow().at(pc);
        let (core, mut mem, _) = self.parts(core)?;
        let Some(flags) = flags else { return core.fault_place(&mut mem, &at) };
        // What the stack holds is no frame for sure later: only a place that the program has counts.
        let frame = core.fault_frame(&mut mem).ok().and_then(|(_, frame)| frame);
        let from = frame.filter(|[pc, _]| fresh || names.borrow().place(*pc).is_some());
        Ok(format!("{flags}{}", from.map_or(String::new(), |[pc, _]| format!(" at {}", at(pc)))))
    }

    /// Every core from its reset vector; HardFaults halt it where they come. What `core` says by RTT is told, if its ELF is
    /// known to have it.
    pub fn start(&mut self, core: usize, rtt: Setup) -> Result<()> {
        self.reset(ResetMode::Halt)?;
        self.rtt_begin(core, rtt)?;
        self.catch_faults(true)?;
        self.available().into_iter().try_for_each(|core| self.resume(core, None))
    }

    /// On every core, or as it was found.
    pub fn catch_faults(&mut self, catch: bool) -> Result<()> {
        self.available().into_iter().try_for_each(|core| {
            let (core, mut mem, _) = self.parts(core)?;
            core.catch_faults(&mut mem, catch)
        })
    }
}
