//! What the core did last: the instructions in a ring, and what happened between them.
//!
//! Always on: one store of 16 bytes an instruction, so that the way into a lockup can be looked at afterwards.

use super::Core;
use std::collections::VecDeque;

/// Instructions that are kept, and events: 16 KiB, which stays in the host's cache.
const DEPTH: usize = 1024;
/// No instruction lies at an odd address.
const NOWHERE: u32 = 1;

/// One line of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Past {
    /// The core's cycles since power-on when it began.
    pub cycle: u64,
    pub what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// An instruction; of 32 bits if the opcode is 0xE8000000 or more, its first half word on top. One that faulted is
    /// here too, with the exception behind it.
    Ran {
        pc: u32,
        opcode: u32,
    },
    /// An exception was taken; `from` is the return address.
    Entered {
        number: u16,
        from: u32,
    },
    Returned {
        number: u16,
        to: u32,
    },
    /// Turns of a loop that only waits, which were counted and not executed one by one.
    Skipped {
        turns: u64,
        pc: u32,
    },
    Reset {
        pc: u32,
    },
    LockedUp {
        pc: u32,
    },
    Halted {
        pc: u32,
    },
}

#[derive(Clone, Copy)]
struct Ran {
    cycle: u64,
    pc: u32,
    opcode: u32,
}

/// Instructions are found by their number since power-on, which the core counts anyway.
pub(super) struct Trace {
    ran: Box<[Ran; DEPTH]>,
    /// Each with the number of the instruction it comes before.
    events: VecDeque<(u64, Past)>,
}

impl Trace {
    pub fn new() -> Trace {
        Trace { ran: Box::new([Ran { cycle: 0, pc: NOWHERE, opcode: 0 }; DEPTH]), events: VecDeque::new() }
    }

    #[inline]
    pub fn run(&mut self, number: u64, cycle: u64, pc: u32, opcode: u32) {
        self.ran[number as usize & (DEPTH - 1)] = Ran { cycle, pc, opcode };
    }

    /// The instruction starts again later, or never was one.
    #[cold]
    pub fn withdraw(&mut self, number: u64) {
        self.ran[number as usize & (DEPTH - 1)].pc = NOWHERE;
    }

    fn note(&mut self, number: u64, cycle: u64, what: What) {
        if self.events.len() == DEPTH {
            self.events.pop_front();
        }
        self.events.push_back((number, Past { cycle, what }));
    }

    /// Oldest first; `next` is the number of the instruction to come.
    fn past(&self, next: u64) -> Vec<Past> {
        let first = next.saturating_sub(DEPTH as u64);
        let mut events = self.events.iter().filter(|event| event.0 >= first).peekable();
        let mut past = Vec::new();
        for number in first..=next {
            while let Some((_, event)) = events.next_if(|event| event.0 <= number) {
                past.push(*event);
            }
            let Ran { cycle, pc, opcode } = self.ran[number as usize & (DEPTH - 1)];
            if number < next && pc != NOWHERE {
                past.push(Past { cycle, what: What::Ran { pc, opcode } });
            }
        }
        past
    }
}

impl Core {
    /// The last instructions and what happened between them, oldest first, since power-on.
    pub fn past(&self) -> Vec<Past> {
        self.trace.past(self.instructions)
    }

    #[cold]
    pub(super) fn happened(&mut self, what: What) {
        self.trace.note(self.instructions, self.cycles, what);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pcs(past: &[Past]) -> Vec<u32> {
        past.iter().filter_map(|past| if let What::Ran { pc, .. } = past.what { Some(pc) } else { None }).collect()
    }

    #[test]
    fn the_ring_keeps_the_last_and_events_stay_in_their_place() {
        let mut trace = Trace::new();
        for number in 0..DEPTH as u64 + 2 {
            if number == 1 || number == DEPTH as u64 {
                trace.note(number, number, What::Reset { pc: number as u32 });
            }
            trace.run(number, number, 2 * number as u32, 0xBF00);
        }
        let past = trace.past(DEPTH as u64 + 2);
        assert_eq!(pcs(&past), (2..DEPTH as u32 + 2).map(|number| 2 * number).collect::<Vec<_>>());
        let events: Vec<_> = past.iter().enumerate().filter(|(_, past)| matches!(past.what, What::Reset { .. })).collect();
        assert_eq!(events, [(DEPTH - 2, &Past { cycle: DEPTH as u64, what: What::Reset { pc: DEPTH as u32 } })]);
    }

    #[test]
    fn what_is_withdrawn_did_not_run() {
        let mut trace = Trace::new();
        (0..3).for_each(|number| trace.run(number, number, 2 * number as u32, 0xBF00));
        trace.withdraw(1);
        assert_eq!(pcs(&trace.past(3)), [0, 4]);
    }
}
