//! The loop: the core lives up to a point in virtual time, cycle by cycle, and sleeps or waits in one step.

use super::exec::Trap;
use super::{Core, State, What, debug};
use crate::sim::bus::Bus;
use crate::sim::chip::Ns;

const SECOND: Ns = 1_000_000_000;

/// Cycles against nanoseconds: at `ns` the core had counted `cycles`, and it does `hz` a second since.
pub(super) struct Clock {
    ns: Ns,
    cycles: u64,
    hz: u64,
    /// Where the present run ends, in both.
    limit: u64,
    until: Ns,
}

impl Clock {
    pub fn new(hz: u64) -> Clock {
        Clock { ns: 0, cycles: 0, hz: hz.max(1), limit: u64::MAX, until: 0 }
    }

    pub fn set(&mut self, ns: Ns, cycles: u64) {
        (self.ns, self.cycles) = (ns, cycles);
    }

    pub fn time(&self, cycles: u64) -> Ns {
        let since = cycles.saturating_sub(self.cycles);
        match since.checked_mul(SECOND) {
            Some(product) => self.ns + product / self.hz,
            None => self.ns + (u128::from(since) * u128::from(SECOND) / u128::from(self.hz)) as Ns,
        }
    }

    /// The first cycle at or after `ns`.
    fn cycle(&self, ns: Ns) -> u64 {
        let since = u128::from(ns.saturating_sub(self.ns));
        self.cycles + (since * u128::from(self.hz)).div_ceil(u128::from(SECOND)) as u64
    }

    /// Moves the reference by whole seconds, so that products stay small and nothing is rounded.
    fn follow(&mut self, cycles: u64) {
        let seconds = cycles.saturating_sub(self.cycles) / self.hz;
        self.ns += seconds * SECOND;
        self.cycles += seconds * self.hz;
    }
}

/// How the core stood at one turn of a loop. Two that are equal, with no memory changed between, mean that every further
/// turn is the same until something happens outside.
pub(super) struct Turn {
    cycles: u64,
    stores: u64,
    pc: u32,
    r: [u32; 16],
    psr: u32,
    masks: [u32; 5],
    s: [u32; 32],
}

impl Turn {
    fn same(&self, other: &Turn) -> bool {
        (self.stores, self.pc, self.r, self.psr, self.masks, self.s) == (other.stores, other.pc, other.r, other.psr, other.masks, other.s)
    }
}

impl Core {
    /// The core's own time: ahead of the board's by less than one instruction, behind while `run` is under way.
    pub fn time(&self) -> Ns {
        self.clock.time(self.cycles)
    }

    /// The core clock from now on, as RCC is set.
    pub fn set_hz(&mut self, hz: u64) {
        let now = self.time();
        self.clock.hz = hz.max(1);
        self.clock.set(now, self.cycles);
    }

    /// Time passes without a cycle of a core that is halted, locked up or held in reset.
    pub fn rest(&mut self, until: Ns) {
        if self.state != State::Running {
            self.clock.set(until.max(self.time()), self.cycles);
        }
    }

    /// The core does nothing for this long.
    pub fn delay(&mut self, time: Ns) {
        self.clock.set(self.time() + time, self.cycles);
    }

    /// Memory at `address` was written by somebody else.
    pub fn forget(&mut self, address: u32) {
        self.decoded.forget(address);
    }

    pub fn forget_all(&mut self) {
        self.decoded.clear();
    }

    /// Everything that the core does by itself up to `until`. Returns early when it asks for a reset.
    pub fn run(&mut self, bus: &mut Bus, until: Ns) {
        self.clock.follow(self.cycles);
        (self.clock.limit, self.clock.until) = (self.clock.cycle(until), until);
        self.follow_rcc(bus);
        while self.state == State::Running && self.cycles < self.clock.limit && !self.wants_reset(bus) {
            self.attention = false;
            self.follow_rcc(bus);
            let event = bus.next_event().map_or(u64::MAX, |event| self.clock.cycle(event));
            if event <= self.cycles {
                self.bring_up(bus);
                continue;
            }
            let stop = self.clock.limit.min(self.systick.next(self.cycles)).min(event).min(self.drain);
            self.look(bus, stop);
            if self.state == State::Running && self.asleep.is_none() && !self.attention {
                self.burst(bus, stop);
            }
        }
        // A debugger that comes now finds the core between two instructions.
        if self.state == State::Running {
            self.complete(bus);
        }
    }

    /// What the last instruction left to do: the return from an exception, a watchpoint. True: the core stopped, or went to
    /// the debug monitor.
    fn complete(&mut self, bus: &mut Bus) -> bool {
        if let Some(exc_return) = self.returning.take() {
            self.exception_return(bus, exc_return);
        }
        std::mem::take(&mut self.watched) && self.watchpoint(bus)
    }

    /// The core's clock is what RCC is set to.
    fn follow_rcc(&mut self, bus: &Bus) {
        if bus.core_hz() != self.clock.hz {
            self.set_hz(bus.core_hz());
            self.clock.limit = self.clock.cycle(self.clock.until);
        }
    }

    fn wants_reset(&self, bus: &Bus) -> bool {
        self.request.is_some() || bus.wants_reset()
    }

    /// Instructions, until something asks for a look.
    fn burst(&mut self, bus: &mut Bus, stop: u64) {
        let mut retired = false;
        while self.cycles < stop {
            if let Err(trap) = self.step(bus) {
                self.trapped(bus, trap);
                break;
            }
            retired = true;
            if self.attention {
                break;
            }
        }
        self.debug.retired |= retired;
    }

    /// One instruction that did not complete.
    pub(super) fn trapped(&mut self, bus: &mut Bus, trap: Trap) {
        self.attention = true;
        match trap {
            Trap::Busy { until } => self.stall(bus, until),
            Trap::Breakpoint | Trap::Comparator => self.breakpoint(bus, trap),
            trap => {
                self.partial = (0, 0);
                self.fault(bus, trap);
            }
        }
    }

    /// A busy slave holds the core, at most to the end of this run: then the instruction starts again.
    pub(super) fn stall(&mut self, bus: &mut Bus, until: Ns) {
        let ready = self.clock.cycle(until).min(self.clock.limit);
        self.cycles = ready.max(self.cycles + 1);
        self.bring_up(bus);
        self.stalled = true;
    }

    /// What cannot start again waits to the end.
    pub(super) fn wait_for(&mut self, bus: &mut Bus, until: Ns) {
        self.cycles = self.clock.cycle(until).max(self.cycles + 1);
        self.clock.until = self.clock.until.max(until);
        self.bring_up(bus);
    }

    /// The bus lives up to the core's time, but not beyond the board's when the last instruction went over it, and instructions read from a flash that changed are forgotten.
    pub(super) fn bring_up(&mut self, bus: &mut Bus) {
        bus.advance(self.time().min(self.clock.until));
        if bus.take_flash_change() {
            self.decoded.forget_flash();
        }
        self.hear(bus);
    }

    /// The interrupt lines and events of the peripherals, if they changed since the core last heard of them.
    pub fn hear(&mut self, bus: &mut Bus) {
        let (levels, version) = bus.soc.lines();
        if self.heard != Some(version) {
            self.heard = Some(version);
            if self.nvic.set_levels(levels) {
                self.attention = true;
                self.notice_pending();
            }
        }
        if bus.soc.take_event() {
            self.signal_event();
        }
    }

    /// Flash that is damaged has it told at once.
    #[inline]
    pub(super) fn hear_flash(&mut self, bus: &mut Bus) {
        if bus.take_nmi() {
            self.pend(super::NMI);
        }
    }

    /// Between two instructions: what happened, and what comes next.
    fn look(&mut self, bus: &mut Bus, stop: u64) {
        self.tick();
        if self.cycles >= self.drain {
            self.drain_now();
        }
        if bus.take_flash_change() {
            self.decoded.forget_flash();
        }
        self.hear(bus);
        if self.complete(bus) {
            return;
        }
        // The instruction that a busy slave stalled goes before an interrupt.
        let stalled = std::mem::take(&mut self.stalled);
        if !stalled && self.take_exception(bus) {
            self.attention = true;
        } else if self.debug.stepping {
            self.step_once(bus);
        } else if self.asleep.is_some() {
            self.doze(stop);
        } else if std::mem::take(&mut self.turning) {
            self.turned(bus, stop);
        }
        if self.debug.stepping && self.state == State::Running && !self.stalled {
            self.halt(debug::HALTED);
        }
    }

    /// SysTick as far as the present cycle.
    fn tick(&mut self) {
        if self.systick.sync(self.cycles) {
            self.pend(super::SYSTICK);
        }
    }

    /// Sleep ends with an exception that would be taken if PRIMASK were 0, or for WFE with an event (DDI0403 B1.5.18).
    fn doze(&mut self, stop: u64) {
        let for_event = self.asleep == Some(true);
        if self.would_wake() || for_event && std::mem::take(&mut self.event) {
            self.asleep = None;
        } else {
            self.cycles = stop.max(self.cycles);
        }
    }

    /// A loop that only waits is skipped to the next thing that can end it.
    fn turned(&mut self, bus: &mut Bus, stop: u64) {
        let now = self.snapshot();
        if self.turns & TURNS == 0 {
            self.turn = Some(now);
        } else if let Some(earlier) = self.turn.take_if(|turn| turn.same(&now)) {
            self.bring_up(bus);
            let event = bus.next_event().map_or(u64::MAX, |ns| self.clock.cycle(ns));
            let room = stop.min(event).saturating_sub(self.cycles);
            let period = now.cycles - earlier.cycles;
            let turns = room.checked_div(period).unwrap_or(0);
            if turns > 0 {
                self.happened(What::Skipped { turns, pc: self.pc });
            }
            self.cycles += turns * period;
            self.waits_until = self.cycles + 2 * period;
        }
    }

    fn snapshot(&self) -> Turn {
        let masks = [self.control, self.primask, self.basepri, self.faultmask, self.fpscr];
        Turn { cycles: self.cycles, stores: self.stores, pc: self.pc, r: self.r, psr: self.xpsr(), masks, s: self.s }
    }

    /// C_STEP: one instruction, which may sleep no longer than that.
    fn step_once(&mut self, bus: &mut Bus) {
        self.asleep = None;
        if let Err(trap) = self.step_carefully(bus, self.pc) {
            return self.trapped(bus, trap);
        }
        self.debug.retired = true;
        self.asleep = None;
        if let Some(exc_return) = self.returning.take() {
            self.exception_return(bus, exc_return);
        }
    }
}

/// Turns are counted in groups of one more than this; the first is remembered, those up to `LOOKS` are compared with it.
pub(super) const TURNS: u32 = 63;
pub(super) const LOOKS: u32 = 4;
