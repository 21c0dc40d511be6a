//! Where the time of a command goes. Phases are told by events (`event::Note`), what passes the probe's pipe is counted in
//! it; the `Book` puts both together, on the probe's clock.

use crate::error::Result;
use crate::event::{Event, Note, Sink};
use crate::usb::{Data, Pipe, Room};
use std::cell::RefCell;
use std::ops::AddAssign;
use std::rc::Rc;
use std::time::Duration;

/// The phase of all that belongs to no other.
pub const OTHER: &str = "other";

/// What went through a pipe.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Counts {
    /// Command blocks, each with the data or the answer that belongs to it: the lines of `-d3`.
    pub transactions: u64,
    /// Of command blocks, data and answers.
    pub bytes: u64,
    /// How often it was asked whether something is done.
    pub polls: u64,
    /// Pauses, most of them between two polls, and how long they were together.
    pub waits: u64,
    pub waited: Duration,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, more: Counts) {
        self.transactions += more.transactions;
        self.bytes += more.bytes;
        self.polls += more.polls;
        self.waits += more.waits;
        self.waited += more.waited;
    }
}

/// All of a command's time in one phase. Phases overlap where the chip works while the host does something else.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub phase: &'static str,
    pub time: Duration,
    pub counts: Counts,
}

/// One piece of a phase, from the command's begin.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    pub phase: &'static str,
    /// Empty where it is no bank's.
    pub bank: String,
    pub from: Duration,
    pub to: Duration,
}

/// What one command took.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timing {
    pub time: Duration,
    /// In the order in which they began, `OTHER` at the end.
    pub rows: Vec<Row>,
    /// By begin.
    pub spans: Vec<Span>,
}

impl Timing {
    pub fn total(&self) -> Counts {
        let mut total = Counts::default();
        self.rows.iter().for_each(|row| total += row.counts);
        total
    }
}

/// Kept for the command that runs.
#[derive(Default)]
pub struct Book(RefCell<Page>);

#[derive(Default)]
struct Page {
    /// Somebody wants to know what is below.
    wanted: bool,
    /// What was heard last of work that is not at its end.
    progress: Option<Event>,
    /// What has passed on the clocks of all pipes.
    now: Duration,
    /// Phase and bank that the host is at, innermost last, and since when it is at the innermost.
    open: Vec<(&'static str, String)>,
    since: Duration,
    counts: Vec<(&'static str, Counts)>,
    spans: Vec<Span>,
}

impl Book {
    /// A new command.
    pub fn begin(&self, wanted: bool) {
        self.0.replace(Page { wanted, ..Page::default() });
    }

    /// `None`: nobody wanted to know.
    pub fn end(&self) -> Option<Timing> {
        let page = self.0.take();
        page.wanted.then(|| page.sum())
    }

    fn note(&self, note: Note) {
        let mut page = self.0.borrow_mut();
        match note {
            Note::Enter { phase, bank } => page.turn(|open| open.push((phase, bank))),
            Note::Leave => page.turn(|open| drop(open.pop())),
            Note::Worked { phase, bank, took } => {
                let from = page.now.saturating_sub(took);
                page.add(phase, &bank, from);
            }
        }
    }

    fn progress(&self, event: &Event) {
        if let Event::Progress { done, total, .. } = event {
            self.0.borrow_mut().progress = (done < total).then(|| event.clone());
        }
    }

    fn count(&self, passed: Duration, counts: Counts) {
        let mut page = self.0.borrow_mut();
        if page.wanted {
            page.now += passed;
            let phase = page.open.last().map_or(OTHER, |open| open.0);
            match page.counts.iter_mut().find(|row| row.0 == phase) {
                Some((_, there)) => *there += counts,
                None => page.counts.push((phase, counts)),
            }
        }
    }
}

impl Page {
    /// The host begins or ends something.
    fn turn(&mut self, change: impl FnOnce(&mut Vec<(&'static str, String)>)) {
        if let Some((phase, bank)) = self.open.last().cloned() {
            self.add(phase, &bank, self.since);
        }
        self.since = self.now;
        change(&mut self.open);
    }

    /// A piece that ends now, one with those that it meets.
    fn add(&mut self, phase: &'static str, bank: &str, mut from: Duration) {
        if from == self.now {
            return;
        }
        while let Some(last) = self.spans.iter().rposition(|span| span.phase == phase && span.bank == bank)
            && self.spans[last].to >= from
        {
            from = from.min(self.spans.remove(last).from);
        }
        self.spans.push(Span { phase, bank: bank.to_string(), from, to: self.now });
    }

    fn sum(mut self) -> Timing {
        self.turn(Vec::clear);
        self.spans.sort_by_key(|span| span.from);
        let mut phases: Vec<&str> = Vec::new();
        let named = self.spans.iter().map(|span| span.phase).chain(self.counts.iter().map(|row| row.0).filter(|phase| *phase != OTHER));
        named.for_each(|phase| {
            if !phases.contains(&phase) {
                phases.push(phase);
            }
        });
        let counts = |phase| self.counts.iter().find(|row| row.0 == phase).map_or(Counts::default(), |row| row.1);
        let row = |phase| {
            let time = covered(self.spans.iter().filter(|span| span.phase == phase), Duration::ZERO, self.now);
            Row { phase, time, counts: counts(phase) }
        };
        let mut rows: Vec<Row> = phases.into_iter().map(row).collect();
        rows.push(Row { phase: OTHER, time: self.now - covered(self.spans.iter(), Duration::ZERO, self.now), counts: counts(OTHER) });
        Timing { time: self.now, rows, spans: self.spans }
    }
}

/// How much of from … to lies in one of these, which come by their begin, or in several.
pub fn covered<'a>(spans: impl Iterator<Item = &'a Span>, from: Duration, to: Duration) -> Duration {
    let (mut sum, mut at) = (Duration::ZERO, from);
    for span in spans {
        let end = span.to.min(to);
        sum += end.saturating_sub(span.from.max(at));
        at = at.max(end);
    }
    sum
}

/// A sink that keeps the notes for the book and hands on the rest.
pub struct Noted {
    pub sink: Rc<dyn Sink>,
    pub book: Rc<Book>,
}

impl Noted {
    /// Still at it: called in every wait, so that a step that takes long, as an erase does, is seen to.
    pub fn still(&self) {
        let progress = self.book.0.borrow().progress.clone();
        if let Some(progress) = progress {
            self.sink.emit(progress);
        }
    }
}

impl Sink for Noted {
    fn emit(&self, event: Event) {
        match event {
            Event::Time(note) => self.book.note(note),
            other => {
                self.book.progress(&other);
                self.sink.emit(other);
            }
        }
    }
}

/// A pipe that counts.
pub struct Counted {
    pipe: Box<dyn Pipe>,
    book: Rc<Book>,
    last: Duration,
}

impl Counted {
    pub fn new(pipe: Box<dyn Pipe>, book: Rc<Book>) -> Counted {
        Counted { last: pipe.now(), pipe, book }
    }

    fn count(&mut self, counts: Counts) {
        let now = self.pipe.now();
        self.book.count(now.saturating_sub(std::mem::replace(&mut self.last, now)), counts);
    }
}

impl Pipe for Counted {
    fn transfer(&mut self, cmd: &[u8], data: Data) -> Result<usize> {
        let moved = self.pipe.transfer(cmd, data);
        let bytes = (cmd.len() + moved.as_ref().unwrap_or(&0)) as u64;
        self.count(Counts { transactions: 1, bytes, ..Counts::default() });
        moved
    }

    fn reset(&mut self) -> Result<()> {
        self.pipe.reset()
    }

    fn room(&self) -> Room {
        self.pipe.room()
    }

    fn now(&self) -> Duration {
        self.pipe.now()
    }

    fn sleep(&mut self, d: Duration) {
        self.pipe.sleep(d);
        self.count(Counts { waits: 1, waited: d, ..Counts::default() });
    }

    fn poll(&self) {
        self.book.count(Duration::ZERO, Counts { polls: 1, ..Counts::default() });
    }
}
