//! The terminal: results on stdout; progress, information, warnings and errors on stderr; the log; `--json`.
//!
//! Nobody may be there to read: a closed stdout or stderr is no error, and what was asked for is done all the same.

use crate::options::Options;
use crate::timing;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use rocd::error::{Cause, Error, Result};
use rocd::event::{Event, Sink};
use rocd::host::{Outcome, exit_code};
use rocd::repl::Above;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The version of the lines that `--json` prints: docs/json.schema.json.
const JSON_VERSION: u32 = 1;

/// What stands for the phase of a bar where a value is shown in its place.
const LIVE: &str = "live";

/// Of a terminal that does not say.
const COLUMNS: usize = 80;

fn columns() -> usize {
    console::Term::stderr().size_checked().map_or(COLUMNS, |(_, columns)| columns.into())
}

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

pub struct Terminal {
    quiet: bool,
    json: bool,
    debug: u8,
    /// stderr is a terminal, so a bar and colours make sense.
    lively: bool,
    colours: bool,
    log: RefCell<Option<File>>,
    started: Instant,
    bar: RefCell<Option<Bar>>,
    /// A prompt waits, and lines are to go above it through this.
    above: RefCell<Option<Above>>,
    /// The first line that was asked for and could not be written.
    lost: RefCell<Option<Error>>,
}

/// One text to stdout. That nobody reads it is no error; a full disk is one.
pub fn print(text: &str) -> std::io::Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn print_aside(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

impl Terminal {
    /// Kind usage if the log file cannot be written.
    pub fn new(options: &Options) -> Result<Terminal> {
        let log = options.log.as_ref().map(|path| {
            File::create(path).map_err(|error| Error::usage(format!("log file {} cannot be written: {error}", path.display())))
        });
        let Options { quiet, json, debug, .. } = *options;
        let terminal = Terminal { quiet, debug, log: RefCell::new(log.transpose()?), ..Terminal::plain(json) };
        terminal.note(&format!("rocd {}, {} s since 1970", env!("CARGO_PKG_VERSION"), since_1970()));
        Ok(terminal)
    }

    /// For errors before there are options.
    pub fn plain(json: bool) -> Terminal {
        let lively = std::io::stderr().is_terminal();
        Terminal {
            quiet: false,
            json,
            debug: 0,
            lively,
            // https://no-color.org
            colours: lively
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::env::var_os("TERM").is_none_or(|value| value != "dumb"),
            log: RefCell::default(),
            started: Instant::now(),
            bar: RefCell::default(),
            above: RefCell::default(),
            lost: RefCell::default(),
        }
    }

    /// `Err` if results or log are not all where they were asked for.
    pub fn complete(&self) -> Result<()> {
        self.lost.borrow().clone().map_or(Ok(()), Err)
    }

    fn keep_loss(&self, what: &str, written: std::io::Result<()>) {
        if let Err(error) = written {
            self.lost.borrow_mut().get_or_insert_with(|| Error::command(format!("{what} cannot be written: {error}")));
        }
    }

    fn print(&self, text: &str) {
        self.keep_loss("stdout", print(text));
    }

    /// What a command came to: its value on stdout, or its error on stderr; as JSON both on stdout.
    pub fn show(&self, outcome: &Outcome) {
        self.end_bar();
        self.note(&format!("> {}", outcome.command));
        match &outcome.result {
            Err(error) if matches!(error.cause, Cause::Exit(_)) && !self.json => {}
            result if self.json => {
                if let Err(error) = result {
                    self.note(&error.to_string());
                }
                self.print(&json_line(outcome));
            }
            Ok(value) => {
                let text = value.to_string();
                if !text.is_empty() {
                    self.note(&text);
                    self.print(&text);
                }
            }
            Err(error) => {
                let text = without_controls(&error.to_string());
                self.note(&text);
                print_aside(&match text.strip_prefix("error:") {
                    Some(rest) => format!("{}{rest}", self.coloured(RED, "error:")),
                    None => text,
                });
            }
        }
        if !self.json {
            timing::report(outcome, None, false).inspect(|text| self.note(text));
            timing::report(outcome, self.lively.then(columns), self.colours).inspect(|text| print_aside(text));
        }
    }

    fn coloured(&self, colour: &str, text: &str) -> String {
        if self.colours { format!("{colour}{text}{PLAIN}") } else { text.to_string() }
    }

    /// One entry of the log file.
    fn note(&self, text: &str) {
        let written = self.log.borrow_mut().as_mut().map(|log| writeln!(log, "{:.6} {text}", self.started.elapsed().as_secs_f64()));
        self.keep_loss("the log file", written.unwrap_or(Ok(())));
    }

    fn aside(&self, text: &str) {
        self.note(text);
        if !self.quiet {
            self.end_bar();
            match self.above.borrow().as_ref() {
                Some(above) => above(text),
                None => print_aside(text),
            }
        }
    }

    /// From now on what is said in passing goes above a prompt; `None`: no longer.
    pub fn divert(&self, above: Option<Above>) {
        self.above.replace(above);
    }

    fn debug_line(&self, level: u8, text: &str) {
        if level > self.debug {
            return;
        }
        let logged = self.log.borrow().is_some();
        if logged {
            self.note(text);
        } else {
            self.end_bar();
            print_aside(text);
        }
    }

    /// A bar per phase that takes longer than `QUICK`, gone when the phase ends; no terminal gets a line in its stead when a
    /// long phase begins to be one, and one at its end.
    fn progress(&self, phase: &'static str, done: u64, total: u64) {
        if self.quiet {
            return;
        }
        if self.bar.borrow().as_ref().is_none_or(|bar| bar.phase != phase || done < bar.done) {
            self.end_bar();
            *self.bar.borrow_mut() = Some(Bar { phase, done, began: Instant::now(), shown: None });
        }
        let told = self.bar.borrow_mut().as_mut().and_then(|bar| bar.advance(done, total, self.lively));
        if let Some(line) = told {
            print_aside(&line);
        }
        if done >= total {
            self.end_bar();
        }
    }

    /// In place of the last one, which stays when something else is said.
    fn live(&self, text: String) {
        self.note(&text);
        if self.bar.borrow().as_ref().is_none_or(|bar| bar.phase != LIVE) {
            self.end_bar();
            let style = ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
            let line = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr()).with_style(style);
            *self.bar.borrow_mut() = Some(Bar { phase: LIVE, done: 0, began: Instant::now(), shown: Some(line) });
        }
        if let Some(line) = self.bar.borrow().as_ref().and_then(|bar| bar.shown.as_ref()) {
            line.set_message(without_controls(&text));
        }
    }

    fn end_bar(&self) {
        match self.bar.borrow_mut().take() {
            Some(Bar { phase: LIVE, shown: Some(line), .. }) => line.abandon(),
            Some(Bar { shown: Some(bar), .. }) => bar.finish_and_clear(),
            _ => {}
        }
    }
}

/// Work that takes no longer than this shows no progress.
const QUICK: Duration = Duration::from_millis(500);

/// A phase under way.
struct Bar {
    phase: &'static str,
    done: u64,
    began: Instant,
    shown: Option<ProgressBar>,
}

impl Bar {
    /// The line to be told where there is no terminal.
    fn advance(&mut self, done: u64, total: u64, lively: bool) -> Option<String> {
        self.done = done;
        let took = self.began.elapsed();
        // A line without a rate says nothing.
        if took < QUICK || (done == 0 && !lively) {
            return None;
        }
        let first = self.shown.is_none();
        let shown = self.shown.get_or_insert_with(|| bar(self.phase, total, lively).with_elapsed(took));
        shown.set_length(total);
        shown.set_position(done);
        let line = || format!("{}: {} of {} KiB, {}", self.phase, done / 1024, total / 1024, pace(done, total, took));
        (!lively && (first || done >= total)).then(line)
    }
}

impl Sink for Terminal {
    fn emit(&self, event: Event) {
        match event {
            Event::Live(text) if self.lively && !self.json && std::io::stdout().is_terminal() => self.live(text),
            Event::Output(text) | Event::Live(text) if self.json => self.aside(&text),
            Event::Output(text) | Event::Live(text) => {
                self.note(&text);
                self.end_bar();
                self.print(&text);
            }
            Event::Info(text) => self.aside(&text),
            Event::Warning(text) => self.aside(&format!("{} {text}", self.coloured(YELLOW, "warning:"))),
            Event::Debug(level, text) => self.debug_line(level, &text),
            Event::Progress { phase, done, total } => self.progress(phase, done, total),
            Event::Time(_) => {}
        }
    }
}

/// What a user or a file wrote may stand in an error: it must not steer the terminal.
fn without_controls(text: &str) -> String {
    let shown = |c: char| if c.is_control() && c != '\n' { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// "146 KiB/s, 3 s left"; while nothing is done there is no rate.
fn pace(done: u64, total: u64, took: Duration) -> String {
    let seconds = took.as_secs_f64();
    let rate = done as f64 / seconds;
    match (done, total.saturating_sub(done)) {
        (0, _) => format!("{seconds:.0} s so far"),
        (_, 0) => format!("{:.0} KiB/s", rate / 1024.0),
        (_, left) => format!("{:.0} KiB/s, {:.0} s left", rate / 1024.0, left as f64 / rate),
    }
}

/// Columns that it takes, and what a bar looks like.
const FORMS: &[(usize, &str)] =
    &[(92, "{msg:>8} [{bar:32}] {bytes} of {total_bytes}, {pace}"), (46, "{msg:>8} [{bar:8}] {pace}"), (0, "{pace}")];

fn bar(phase: &'static str, total: u64, lively: bool) -> ProgressBar {
    let form = FORMS.iter().find(|form| form.0 <= columns()).map_or("", |form| form.1);
    let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
    // indicatif's own rate takes all that was done before the bar was shown for the work of a moment.
    let pace = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = out.write_str(&pace(state.pos(), state.len().unwrap_or(0), state.elapsed()));
    };
    let style = style.with_key("pace", pace);
    let target = if lively { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(total), target).with_style(style.progress_chars("=> "));
    bar.set_message(phase);
    bar
}

fn since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// One line of docs/json.schema.json.
fn json_line(outcome: &Outcome) -> String {
    let Outcome { command, result, seconds, wall_seconds, probe, chip, timing } = outcome;
    let ended = matches!(result, Err(error) if matches!(error.cause, Cause::Exit(_)));
    let mut line = json!({
        "v": JSON_VERSION, "command": command, "ok": result.is_ok() || ended,
        "seconds": seconds, "wall_seconds": wall_seconds, "probe": probe, "chip": chip,
    });
    if let Some(timing) = timing {
        line["timing"] = timing::json(timing);
    }
    match result {
        Ok(value) => line["value"] = value.json(),
        Err(_) if ended => line["value"] = Value::Null,
        Err(error) => line["error"] = json_error(error),
    }
    line.to_string()
}

fn json_error(error: &Error) -> Value {
    json!({
        "kind": error.kind.name(), "message": error.message, "trail": error.trail, "hint": error.hint, "exit": exit_code(error),
    })
}
