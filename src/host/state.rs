//! What a front-end's prompt says of the chip, and what it tells of a chip that does something by itself.
//!
//! One look costs a read of DHCSR, of a halted core also of DFSR; its pc is read once per halt. Nothing is read while nobody
//! is attached, nor, until the next line, from a probe that has failed.

use super::{Host, Outcome, Show, TRACE_LEVEL};
use crate::command::Value;
use crate::command::target::reason_word;
use crate::error::{Cause, Error, Result, excerpt};
use crate::session::{Reason, Session, State};
use std::cell::{Cell, RefCell};
use std::time::Duration;

/// The columns that a prompt leaves for what is typed, where a form of it is that short.
const ROOM: usize = 40;

/// Longer than anything a user types or pastes by intent, as of a line of stdin.
pub const LONGEST_TEXT: usize = 1 << 20;

/// What was seen last.
#[derive(Default)]
pub struct Watch {
    seen: Cell<Option<Seen>>,
    /// Why nothing is seen any more.
    lost: RefCell<Option<Error>>,
    /// The line that runs has said what the core is doing, as `halt` does.
    told: Cell<bool>,
    /// That the program in the chip cannot be attended to.
    deaf: Cell<bool>,
}

impl Watch {
    pub(super) fn hear(&self, outcome: &Outcome) {
        let state = |value: &Value| matches!(value, Value::Map(entries) if entries.iter().any(|(key, _)| key == "state"));
        let told = match &outcome.result {
            Ok(Value::Shown(value, _)) => state(value),
            result => result.as_ref().is_ok_and(state),
        };
        self.told.set(self.told.get() || told);
    }
}

#[derive(Clone, Copy, PartialEq)]
struct Seen {
    core: usize,
    state: State,
    /// Of a halted core.
    pc: Option<u32>,
}

impl Host {
    /// The front-end waits: see to what the program in the chip wants of its host.
    pub fn attend(&self) {
        let Ok(mut session) = self.cx.session.try_borrow_mut() else { return };
        let attended = session.as_mut().map_or(Ok(()), Session::attend);
        let deaf = self.watch.deaf.replace(attended.is_err());
        match attended {
            // It was meant for the front-end.
            Err(Error { cause: Cause::Interrupted(signal), .. }) => self.cancel.set(signal),
            Err(error) if !deaf => self.cx.ears.warn(error.remedy()),
            _ => {}
        }
    }

    /// How long a front-end may wait until it attends again.
    pub fn unattended(&self) -> Duration {
        let session = self.cx.session.try_borrow();
        session.ok().and_then(|session| session.as_ref().map(Session::unattended)).unwrap_or(Duration::MAX)
    }

    /// The front-end waits for its user: look at the chip, and tell what it did by itself.
    pub fn look(&self) {
        if self.debug < TRACE_LEVEL && self.watch.lost.borrow().is_none() {
            self.look_and_tell(true);
        }
    }

    /// What a user typed, as `line` runs it, between two looks at the chip.
    pub fn typed_line(&self, text: &str, show: Show) -> Result<()> {
        self.look();
        let before = self.watch.seen.get();
        self.watch.told.set(false);
        let result = match text.len() {
            ..=LONGEST_TEXT => self.line(text, show),
            len => self.outcome(&excerpt(text), show, || {
                let error = Error::usage(format!("this text has {len} bytes, and a prompt takes {LONGEST_TEXT} at most"));
                Err(error.hint("`script FILE` runs a file"))
            }),
        };
        self.look_afresh();
        self.tell_halt(before);
        result
    }

    /// Look at a chip that commands were given for: what became of it they have told.
    pub fn look_afresh(&self) {
        self.watch.lost.take();
        self.watch.seen.take();
        self.look_and_tell(false);
    }

    /// Save a halt on its way that no command waited for.
    fn tell_halt(&self, before: Option<Seen>) {
        let now = self.watch.seen.get();
        let Some(Seen { core, state: State::Halted(reason @ (Reason::Breakpoint | Reason::Watchpoint)), pc }) = now else { return };
        if !self.watch.told.get() && before.is_some() && before != now {
            self.cx.ears.info(format!("[{}] {}", self.core_name(core), halted_words(reason, self.place(pc))));
        }
    }

    fn look_and_tell(&self, tell: bool) {
        let Ok(mut session) = self.cx.session.try_borrow_mut() else { return };
        let Some(session) = session.as_mut() else { return self.watch.seen.set(None) };
        let (core, before) = (self.cx.core.get(), self.watch.seen.get());
        let name = session.core_names().into_iter().nth(core).unwrap_or_default();
        let news = match see(session, core, before) {
            Ok((now, reset)) => {
                self.watch.seen.set(Some(now));
                let reset = reset.then(|| format!("[{name}] was reset"));
                let changed = self.change(before.filter(|before| before.core == core), now).map(|change| format!("[{name}] {change}"));
                [reset, changed].into_iter().flatten().collect()
            }
            Err(error) => {
                let hint = error.hint.iter().map(|hint| format!("; {hint}"));
                let text = format!("{}{}", error.message, hint.collect::<String>());
                *self.watch.lost.borrow_mut() = Some(error);
                self.watch.seen.set(None);
                vec![text]
            }
        };
        news.into_iter().filter(|_| tell).for_each(|text| self.cx.ears.info(text));
    }

    /// A core that sleeps and wakes runs all the same.
    fn change(&self, before: Option<Seen>, now: Seen) -> Option<String> {
        let runs = |state| matches!(state, State::Running | State::Sleeping);
        match (before?.state, now.state) {
            (State::Halted(_), State::Halted(_)) => None,
            (before, after) if before == after || (runs(before) && runs(after)) => None,
            (_, State::Halted(reason)) => Some(halted_words(reason, self.place(now.pc))),
            (_, state) => Some(word(state).to_string()),
        }
    }

    fn core_name(&self, core: usize) -> String {
        self.cx.session.borrow().as_ref().and_then(|session| session.core_names().into_iter().nth(core)).unwrap_or_default()
    }

    /// `main+0x12`, or the address where no function is known.
    fn where_is(&self, pc: Option<u32>) -> String {
        pc.map_or(String::new(), |pc| self.cx.names.borrow().function(pc).unwrap_or_else(|| format!("{pc:#010x}")))
    }

    /// With the source line.
    fn place(&self, pc: Option<u32>) -> String {
        pc.map_or(String::new(), |pc| self.cx.names.borrow().place(pc).unwrap_or_else(|| format!("{pc:#010x}")))
    }

    /// What the prompt of a terminal of so many columns says: chip and state as far as there is room. Reads nothing.
    pub fn prompt(&self, columns: usize) -> String {
        self.prompt_of((columns * 3 / 5).max(columns.saturating_sub(ROOM)))
    }

    /// The prompt that says most in at most so many characters.
    pub fn prompt_of(&self, width: usize) -> String {
        let forms = self.prompts();
        forms.iter().find(|form| form.chars().count() <= width).or(forms.last()).cloned().unwrap_or_default()
    }

    /// From the longest to the shortest.
    fn prompts(&self) -> Vec<String> {
        let Some(chip) = self.attached().1 else { return vec!["rocd> ".to_string(), "> ".to_string()] };
        let (state, at) = match (self.watch.lost.borrow().as_ref(), self.watch.seen.get()) {
            (Some(error), _) if error.cause == Cause::Unplugged => ("unplugged", String::new()),
            (None, Some(seen)) => (word(seen.state), self.where_is(seen.pc)),
            _ => ("no answer", String::new()),
        };
        let cores = self.cx.session.borrow().as_ref().map_or(0, |session| session.core_names().len());
        let core = if cores > 1 { self.core_name(self.cx.core.get()) } else { String::new() };
        let form = |words: &[&str]| words.iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ") + "> ";
        vec![form(&[&chip, &core, state, &at]), form(&[&core, state, &at]), form(&[&core, state]), form(&[state]), "> ".to_string()]
    }
}

/// What the core is doing, and whether it was reset since the last look.
fn see(session: &mut Session, core: usize, before: Option<Seen>) -> Result<(Seen, bool)> {
    let state = session.state(core)?;
    let known = before.filter(|before| before.core == core && before.state == state).and_then(|before| before.pc);
    let pc = match state {
        State::Halted(_) if known.is_none() => Some(session.pc(core)?),
        State::Halted(_) => known,
        _ => None,
    };
    let reset = state != State::Unavailable && session.take_reset_seen(core)?;
    Ok((Seen { core, state, pc }, reset))
}

fn word(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Halted(_) => "halted",
        State::Sleeping => "sleeping",
        State::Lockup => "locked up",
        State::Reset => "in reset",
        State::Unavailable => "unavailable",
    }
}

fn halted_words(reason: Reason, at: String) -> String {
    format!("halted due to {} at {at}", reason_word(reason))
}
