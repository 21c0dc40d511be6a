//! Two cores of one chip: what one tells the other between two turns at the bus.

use super::run::TURNS;
use super::{Core, State};
use crate::sim::chip::Ns;

const SCR: u32 = 0xE000_ED10;
const SLEEPDEEP: u32 = 1 << 2;

/// SEV of one is an event for the other; code that one wrote over is decoded anew by the other; a loop that waits is
/// looked at afresh, and at once. `real`: the first core's address of what the second calls so.
pub fn exchange(first: &mut Core, second: &mut Core, real: impl Fn(u32) -> u32) {
    let signals = [std::mem::take(&mut first.signal), std::mem::take(&mut second.signal)];
    for (core, signal) in [(&mut *second, signals[0]), (&mut *first, signals[1])] {
        if signal {
            core.signal_event();
        }
        core.turn = None;
        core.turns |= TURNS;
    }
    second.overwritten(first.decoded.take_written());
    first.overwritten(second.decoded.take_written().map(|words| words.into_iter().map(real).collect()));
    first.decoded.look_out_for(&second.decoded);
    second.decoded.look_out_for(&first.decoded);
}

impl Core {
    fn overwritten(&mut self, words: Option<Vec<u32>>) {
        match words {
            Some(words) => words.into_iter().for_each(|word| self.forget(word)),
            None => self.forget_all(),
        }
    }

    /// An event from outside: ends a WFE.
    pub fn signal_event(&mut self) {
        self.event = true;
        self.attention = true;
    }

    /// WFI or WFE with SCR.SLEEPDEEP: the core's domain may stop.
    pub fn sleeps_deeply(&self) -> bool {
        self.state == State::Running && self.asleep.is_some() && self.scs.peek(SCR).unwrap_or(0) & SLEEPDEEP != 0
    }

    /// Counts what the core changed in memory.
    pub fn stores(&self) -> u64 {
        self.stores
    }

    /// The core does nothing until its own timer or something outside.
    pub fn waits(&self) -> bool {
        match self.asleep {
            Some(_) => !self.event && !self.would_wake(),
            None => self.cycles <= self.waits_until,
        }
    }

    /// When its SysTick will expire.
    pub fn next_tick(&self) -> Option<Ns> {
        let cycle = self.systick.next(self.cycles);
        (cycle != u64::MAX).then(|| self.clock.time(cycle))
    }
}
