//! The clocks of a board that is served: its own and the wall's.

use super::super::Board;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// A transaction costs what the model says, in no time; the wall time between transactions counts, so that a
    /// client's own sleeps are seen. No speed is to be measured this way.
    Virtual,
    /// A reply is held back until the wall clock has reached the board's, so that any tool can be timed by a stopwatch.
    Paced,
}

/// A board with both of its clocks.
pub struct Served {
    pub board: Board,
    clock: Clock,
    /// Virtual: up to when the board has followed the wall clock; what a transaction costs comes on top.
    seen: Instant,
    /// Paced: the board's time then was `base`.
    start: Instant,
    base: Duration,
}

/// Bytes for a client, and from when on it may have them.
pub struct Held {
    pub bytes: Vec<u8>,
    pub due: Option<Instant>,
}

/// A core that never sleeps may take longer to simulate than it would run, and hosts wait for no longer than a second
/// (OpenOCD over TCP): on a machine that is too slow the board's clock falls behind the wall's.
const AT_ONCE: Duration = Duration::from_millis(250);
/// What a sleep may come late by; the rest is waited for awake. Assumed.
const LATE: Duration = Duration::from_micros(200);

impl Served {
    pub fn new(board: Board, clock: Clock) -> Served {
        let (now, base) = (Instant::now(), board.now());
        Served { board, clock, seen: now, start: now, base }
    }

    /// The wall time since the last transaction passes on the board too: before the next one, whenever somebody looks,
    /// and often while nobody does, for no more than `AT_ONCE` is made up for.
    pub fn catch_up(&mut self) {
        let now = Instant::now();
        let late = match self.clock {
            Clock::Virtual => now - self.seen,
            Clock::Paced => (self.base + (now - self.start)).saturating_sub(self.board.now()),
        };
        self.board.pass(late.min(AT_ONCE));
        self.seen = now;
    }

    /// A transaction is over: when its reply may leave.
    pub fn due(&mut self) -> Option<Instant> {
        self.seen = Instant::now();
        (self.clock == Clock::Paced).then(|| self.start + self.board.now().saturating_sub(self.base))
    }
}

impl Held {
    pub fn now(bytes: Vec<u8>) -> Held {
        Held { bytes, due: None }
    }

    /// Wait until it is due, then write it.
    pub fn write(&self, to: &mut impl Write) -> std::io::Result<()> {
        let left = || self.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(Instant::now()));
        thread::sleep(left().saturating_sub(LATE));
        while !left().is_zero() {
            std::hint::spin_loop();
        }
        to.write_all(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Config;

    fn served(clock: Clock) -> Served {
        Served::new(Board::new(&Config::default()).unwrap(), clock)
    }

    #[test]
    fn a_virtual_board_runs_ahead_and_the_wall_time_between_comes_on_top() {
        let mut served = served(Clock::Virtual);
        served.catch_up();
        let before = served.board.now();
        served.board.pass(Duration::from_secs(5));
        assert_eq!(served.due(), None);
        thread::sleep(Duration::from_millis(20));
        served.catch_up();
        let passed = served.board.now() - before;
        assert!(passed >= Duration::from_millis(5020), "{passed:?}");
    }

    #[test]
    fn what_was_missed_is_not_made_up_for_at_once() {
        for clock in [Clock::Virtual, Clock::Paced] {
            let mut served = served(clock);
            let hour = Duration::from_secs(3600);
            (served.seen, served.start) = (Instant::now() - Duration::from_secs(1), Instant::now() - Duration::from_secs(1));
            served.base += hour;
            let before = served.board.now();
            served.catch_up();
            assert_eq!(served.board.now() - before, AT_ONCE, "{clock:?}");
        }
    }

    #[test]
    fn a_paced_board_is_never_ahead_for_who_waits_and_never_behind() {
        let mut served = served(Clock::Paced);
        served.catch_up();
        served.board.pass(Duration::from_millis(30));
        let due = served.due();
        assert!(due.is_some_and(|due| due > Instant::now()));
        let mut reply = Vec::new();
        Held { bytes: vec![1, 2], due }.write(&mut reply).unwrap();
        assert!(served.start.elapsed() >= served.board.now() - served.base);
        assert_eq!(reply, [1, 2]);
        // Ahead of the wall clock nothing is added; behind it, it catches up.
        served.board.pass(Duration::from_secs(1000));
        let ahead = served.board.now();
        served.catch_up();
        assert_eq!(served.board.now(), ahead);
    }
}
