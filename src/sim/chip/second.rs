//! The second core of a chip that has two (H745): the turns both take, how it starts, and what its access port sees.
//!
//! The cores run one after the other, each up to the same point in time, so each sees what the other did at most `TURN`
//! late. While both only wait, a turn goes to the next thing that can end it.

use super::super::bus::Flash;
use super::super::cpu::{self, Core, CoreRow, State};
use super::super::flash::Master;
use super::{BusError, Chip, Ns, Size};

pub struct SecondRow {
    pub core: &'static CoreRow,
    /// Where it has a RAM once more, and where everybody has it.
    pub sram: (u32, u32),
    /// Bits that a reset asked for by this core adds to RCC_RSR.
    pub request: u32,
    /// Registers that each core has under the same address, and how far above the second's names for its own are.
    pub own: (std::ops::Range<u32>, u32),
    /// From a clock enable as the blocks name it to that of the second core.
    pub enables: u32,
    /// A core that its option bit holds starts when software sets its bit here: register, and bits of both.
    pub start: (u32, [u32; 2]),
}

pub struct Second {
    pub row: &'static SecondRow,
    pub core: Core,
    /// Both only waited when the last turn ended, and how much they had written by then.
    waited: Option<[u64; 2]>,
    /// Both wait, and neither did anything in the last turn that the other could wait for.
    quiet: bool,
}

/// How far one core may be ahead of the other (assumed: real ones meet on the bus at every access).
const TURN: Ns = 5_000;

/// RCC_CR (RM0399 8.7.2).
const D1CKRDY: u32 = 1 << 14;
const D2CKRDY: u32 = 1 << 15;

impl Second {
    pub fn new(row: &'static SecondRow) -> Second {
        Second { row, core: Core::new(row.core), waited: None, quiet: false }
    }

    /// The address that everybody has for what the second core calls so.
    fn real(&self) -> impl Fn(u32) -> u32 + use<> {
        let (alias, base) = self.row.sram;
        move |address| if address >> 28 == alias >> 28 { address - alias + base } else { address }
    }
}

impl Chip {
    /// Both cores as far as `now`, or to where one asks for a reset or `to_stop` for the first core's stop.
    pub(super) fn take_turns(&mut self, now: Ns, to_stop: bool) {
        // What happened since the last run, neither has seen.
        self.second.iter_mut().for_each(|second| (second.waited, second.quiet) = (None, false));
        while let Some(end) = self.turn(now) {
            let Some(second) = &mut self.second else { return };
            self.core.run(&mut self.bus, end);
            self.core.rest(end);
            self.bus.select(true);
            second.core.run(&mut self.bus, end);
            second.core.rest(end);
            self.bus.select(false);
            self.exchange();
            self.settle();
            if to_stop && self.core.state != State::Running {
                return;
            }
        }
    }

    /// Where the next turn ends; `None`: no core has anything to do before `now`.
    fn turn(&self, now: Ns) -> Option<Ns> {
        let second = self.second.as_ref()?;
        let cores = [&self.core, &second.core];
        let running = || cores.into_iter().filter(|core| core.state == State::Running);
        let behind = running().map(|core| core.time()).min().filter(|time| *time < now)?;
        let soon = behind + TURN;
        // Nobody is there to be waited for; a core that is held in reset may be started.
        let alone = running().count() == 1 && cores.iter().all(|core| core.state != State::Reset);
        let event = running().filter_map(|core| core.next_tick()).chain(self.bus.next_event()).min().unwrap_or(Ns::MAX);
        let end = if alone {
            now
        } else if second.quiet {
            event.max(soon)
        } else {
            soon
        };
        Some(end.min(now))
    }

    /// What the cores tell one another, and what hangs on whether they sleep.
    fn exchange(&mut self) {
        self.hear();
        let Some(second) = &mut self.second else { return };
        let real = second.real();
        cpu::exchange(&mut self.core, &mut second.core, real);
        let ready = |core: &Core, bit: u32| if core.state == State::Reset || core.sleeps_deeply() { 0 } else { bit };
        self.bus.soc.domains = ready(&self.core, D1CKRDY) | ready(&second.core, D2CKRDY);
        let waits = |core: &Core| core.state != State::Running || core.waits();
        let written = [self.core.stores(), second.core.stores()];
        let waited = (waits(&self.core) && waits(&second.core)).then_some(written);
        second.quiet = waited.is_some() && second.waited == waited;
        second.waited = waited;
    }

    /// The option bytes BCM7 and BCM4, and RCC_GCR.BOOT_C1 and BOOT_C2: which core may run.
    fn may_run(&self, index: usize) -> bool {
        let (Some(second), Flash::H7(flash)) = (&self.second, &self.bus.flash) else { return true };
        let (register, bits) = second.row.start;
        let boots = flash.boots();
        [boots.0, boots.1][index] || self.bus.periph.bit(Some((register, bits[index])))
    }

    /// Out of reset, unless an option byte holds it.
    pub(super) fn start_first(&mut self) {
        if self.may_run(0) {
            let vectors = self.bus.vectors(self.boot_pin);
            self.core.reset(&mut self.bus, vectors);
        } else {
            self.core.hold();
        }
    }

    pub(super) fn start_second(&mut self) {
        let may_run = self.may_run(1);
        let Some(second) = &mut self.second else { return };
        if may_run {
            self.bus.select(true);
            let vectors = self.bus.vectors(self.boot_pin);
            second.core.reset(&mut self.bus, vectors);
            self.bus.select(false);
        } else {
            second.core.hold();
        }
        self.exchange();
    }

    /// Starts a core that was held and may run by now, and carries out what the second core asks for.
    pub(super) fn settle_second(&mut self) {
        if self.second.is_none() || self.low {
            return;
        }
        if self.core.state == State::Reset && self.may_run(0) {
            self.start_first();
        }
        if self.second_state() == Some(State::Reset) && self.may_run(1) {
            self.start_second();
        }
    }

    /// `None`: the chip has one core.
    pub fn second_state(&self) -> Option<State> {
        self.second.as_ref().map(|second| second.core.state)
    }

    /// The second core while somebody else has written to `address`, everybody's name of it.
    pub(super) fn forget(&mut self, address: u32) {
        self.core.forget(address);
        self.second.iter_mut().for_each(|second| second.core.forget(address));
    }

    /// As `read`, through the second core's port: without its clock everything reads 0 (seen on the H745: CPUID 0).
    pub(super) fn read_as_second(&mut self, address: u32, size: Size) -> Result<u32, BusError> {
        let Some(second) = self.second.as_mut() else { return Err(BusError::Fault) };
        if second.core.state == State::Reset && !self.low {
            return Ok(0);
        }
        if let Some(answer) = second.core.read(address, size) {
            return answer;
        }
        self.bus.select(true);
        let answer = self.bus.read(address, size, Master::Debugger);
        self.bus.select(false);
        answer
    }

    pub(super) fn write_as_second(&mut self, address: u32, size: Size, value: u32) -> Result<(), BusError> {
        let Some(second) = self.second.as_mut() else { return Err(BusError::Fault) };
        if second.core.state == State::Reset && !self.low {
            return Ok(());
        }
        let real = second.real()(address);
        let answer = second.core.write(address, size, value).unwrap_or_else(|| {
            self.bus.select(true);
            let answer = self.bus.write(address, size, value, Master::Debugger);
            self.bus.select(false);
            answer
        });
        self.forget(real);
        self.settle();
        answer
    }
}
