//! What the engine says while it works: progress, warnings, output of scripts. Front-ends show it; nobody below prints.

pub mod map;

use map::SectorMap;
use std::rc::Rc;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// One line of a script's `print` or of `echo`: a result, so stdout.
    Output(String),
    /// A value that is looked at again and again and has changed: a terminal shows it in place of the one before it.
    Live(String),
    /// One line that the user should see in passing.
    Info(String),
    /// Something is not as it should be, but work goes on.
    Warning(String),
    /// Detail for `-d`: 1 engine steps, 3 every transfer.
    Debug(u8, String),
    /// `phase` ("erase", "write", "verify", "read" …) has done `done` of `total` bytes; the first has `done` 0, the last `done == total`.
    /// Nothing of nothing: whatever was under way has failed.
    Progress { phase: &'static str, done: u64, total: u64 },
    /// Flash is about to be worked on: all its sectors, for a terminal to draw.
    Map(SectorMap),
    /// The sector at this address of the map is erased or written now (a kind of the map).
    Sector(u32, &'static str),
    /// For whoever wants to know where the time goes (`timing`).
    Time(Note),
}

/// `phase` is "attach", "read", "write", "reset", "erase", "upload", "program" or "verify"; `bank` is empty where it is no bank's.
#[derive(Clone, Debug, PartialEq)]
pub enum Note {
    /// From now on the host is at this, until the `Leave` that belongs to it.
    Enter {
        phase: &'static str,
        bank: String,
    },
    Leave,
    /// The chip was at this by itself, whatever the host did meanwhile, and has just ended.
    Worked {
        phase: &'static str,
        bank: String,
        took: Duration,
    },
}

/// What the host does is part of a phase until this is dropped.
#[must_use]
pub struct Phase(Rc<dyn Sink>);

impl Drop for Phase {
    fn drop(&mut self) {
        self.0.emit(Event::Time(Note::Leave));
    }
}

/// Where events go. One front-end, one sink.
pub trait Sink {
    fn emit(&self, event: Event);
}

/// Swallows everything: for tests and for reads whose progress nobody asked for.
pub struct Silent;

impl Sink for Silent {
    fn emit(&self, _: Event) {}
}

/// Keeps everything, for tests.
#[cfg(test)]
#[derive(Default)]
pub struct Heard(pub std::cell::RefCell<Vec<Event>>);

#[cfg(test)]
impl Sink for Heard {
    fn emit(&self, event: Event) {
        self.0.borrow_mut().push(event);
    }
}

/// What every layer that works for a while is given: somewhere to speak to, and a reason to stop.
#[derive(Clone)]
pub struct Ears {
    pub sink: Rc<dyn Sink>,
    /// Called in every wait and between chunks: `Err` with `Cause::Interrupted` when the user wants to stop.
    pub breathe: Rc<dyn Fn() -> crate::error::Result<()>>,
}

impl Ears {
    /// Deaf: events vanish and nothing interrupts.
    pub fn none() -> Ears {
        Ears { sink: Rc::new(Silent), breathe: Rc::new(|| Ok(())) }
    }

    pub fn info(&self, text: impl Into<String>) {
        self.sink.emit(Event::Info(text.into()));
    }

    pub fn warn(&self, text: impl Into<String>) {
        self.sink.emit(Event::Warning(text.into()));
    }

    pub fn debug(&self, level: u8, text: impl FnOnce() -> String) {
        self.sink.emit(Event::Debug(level, text()));
    }

    pub fn progress(&self, phase: &'static str, done: u64, total: u64) {
        self.sink.emit(Event::Progress { phase, done, total });
    }

    pub fn phase(&self, phase: &'static str, bank: &str) -> Phase {
        self.sink.emit(Event::Time(Note::Enter { phase, bank: bank.to_string() }));
        Phase(self.sink.clone())
    }

    pub fn worked(&self, phase: &'static str, bank: &str, took: Duration) {
        self.sink.emit(Event::Time(Note::Worked { phase, bank: bank.to_string(), took }));
    }
}
