//! What the engine says while it works: progress, warnings, output of scripts. Front-ends show it; nobody below prints.

pub mod map;

use map::SectorMap;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// One line of a script's `print` or of `echo`: a result, so stdout.
    Output(String),
    /// What the program in the chip says, as it comes: any bytes, to which nothing is added. A result, so stdout.
    Target(Vec<u8>),
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

/// Keeps everything, for who wants it later.
#[derive(Default)]
pub struct Heard(pub RefCell<Vec<Event>>);

impl Sink for Heard {
    fn emit(&self, event: Event) {
        self.0.borrow_mut().push(event);
    }
}

/// Whole lines of what comes in pieces, for whoever must print it above a prompt.
#[derive(Default)]
pub struct Lines(RefCell<Vec<u8>>);

impl Lines {
    /// Something without an end is no line, and is not waited for.
    const LONGEST: usize = 4096;

    /// What is complete with these, without the last line's end.
    pub fn whole(&self, bytes: &[u8]) -> Option<String> {
        let mut kept = self.0.borrow_mut();
        kept.extend(bytes);
        let end = kept.iter().rposition(|byte| *byte == b'\n').or(kept.len().checked_sub(Self::LONGEST).map(|_| kept.len() - 1))?;
        let text: Vec<u8> = kept.drain(..=end).collect();
        Some(String::from_utf8_lossy(text.strip_suffix(b"\n").unwrap_or(&text)).into_owned())
    }

    /// What is not complete yet.
    pub fn take(&self) -> Vec<u8> {
        self.0.take()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_when_they_are_complete() {
        let lines = Lines::default();
        assert_eq!(lines.whole(b"one"), None);
        assert_eq!(lines.whole(b" line\ntwo\n\nthr").as_deref(), Some("one line\ntwo\n"));
        assert_eq!(lines.take(), b"thr");
        assert_eq!(lines.whole(&[b'x'; Lines::LONGEST]).map(|text| text.len()), Some(Lines::LONGEST));
        assert_eq!(lines.whole(b""), None);
    }
}
