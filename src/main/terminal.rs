//! The terminal: results on stdout; progress, information, warnings and errors on stderr; the log; `--json`.
//!
//! Nobody may be there to read: a closed stdout or stderr is no error, and what was asked for is done all the same.

use crate::options::{Options, Step};
use crate::pen::Pen;
use crate::timing;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use rocd::error::{Cause, Error, Result};
use rocd::event::map::SectorMap;
use rocd::event::{Event, Lines, Sink};
use rocd::host::{Outcome, exit_code};
use rocd::repl::Above;
use serde_json::{Value, json};
use std::cell::RefCell;
use std::fs::File;
use std::io::{ErrorKind, IsTerminal, Write};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The version of the lines that `--json` prints: docs/json.schema.json.
const JSON_VERSION: u32 = 1;

/// Of a terminal that does not say.
const COLUMNS: usize = 80;

fn columns() -> usize {
    console::Term::stderr().size_checked().map_or(COLUMNS, |(_, columns)| columns.into())
}

/// Of `run`, as of env(1) and timeout(1).
const OWN_FAILURE: u8 = 125;

const RED: &str = "\x1b[1;31m";
const YELLOW: &str = "\x1b[33m";
const PLAIN: &str = "\x1b[0m";

pub struct Terminal {
    quiet: bool,
    /// stdout is gdb's, so results go to stderr.
    lent: bool,
    json: bool,
    /// There is a `run`, whose program's exit codes are the process's own.
    runs: bool,
    debug: u8,
    /// stderr is a terminal, so a bar and colours make sense.
    lively: bool,
    colours: bool,
    log: RefCell<Option<File>>,
    started: Instant,
    /// A value that is shown in place of the one before it.
    live: RefCell<Option<ProgressBar>>,
    picture: RefCell<Picture>,
    /// A prompt waits, and lines are to go above it through this.
    above: RefCell<Option<Above>>,
    /// What the program in the chip has said there of a line that is not at its end.
    unended: Lines,
    /// The first line that was asked for and could not be written.
    lost: RefCell<Option<Error>>,
    stdout: Pen,
    stderr: Pen,
}

/// One text to stdout. That nobody reads it is no error; a full disk is one.
pub fn print(text: &str) -> std::io::Result<()> {
    write(format!("{text}\n").as_bytes())
}

/// At once, also where no line ends.
fn write(bytes: &[u8]) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

fn write_aside(bytes: &[u8]) -> std::io::Result<()> {
    std::io::stderr().lock().write_all(bytes)
}

impl Terminal {
    /// Kind usage if the log file cannot be written.
    pub fn new(options: &Options) -> Result<Terminal> {
        let log = options.log.as_ref().map(|path| {
            File::create(path).map_err(|error| Error::usage(format!("log file {} cannot be written: {error}", path.display())))
        });
        let Options { quiet, json, debug, .. } = *options;
        let plain = |line: &str| line.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ");
        // as words, or as a call of Rhai's
        let lends = |line: &str| plain(line).contains("serve gdb pipe");
        let lines = options.steps.iter().filter_map(|step| if let Step::Line(line) = step { Some(line.clone()) } else { None });
        let lines: Vec<String> = lines.chain([options.words.join(" ")]).collect();
        let asked = |what: &dyn Fn(&str) -> bool| lines.iter().any(|line| what(line));
        let lent = asked(&lends);
        let runs = |line: &str| line.split(';').any(|part| part.split_whitespace().next() == Some("run"));
        let runs = asked(&runs);
        let terminal = Terminal { quiet, lent, runs, debug, log: RefCell::new(log.transpose()?), ..Terminal::plain(json) };
        terminal.note(&format!("rocd {}, {} s since 1970", env!("CARGO_PKG_VERSION"), since_1970()));
        Ok(terminal)
    }

    /// For errors before there are options.
    pub fn plain(json: bool) -> Terminal {
        let lively = std::io::stderr().is_terminal();
        Terminal {
            quiet: false,
            lent: false,
            json,
            runs: false,
            debug: 0,
            lively,
            // https://no-color.org
            colours: lively
                && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
                && std::env::var_os("TERM").is_none_or(|value| value != "dumb"),
            log: RefCell::default(),
            started: Instant::now(),
            live: RefCell::default(),
            picture: RefCell::default(),
            above: RefCell::default(),
            unended: Lines::default(),
            lost: RefCell::default(),
            stdout: Pen::new(write),
            stderr: Pen::new(write_aside),
        }
    }

    /// It has neither lines for us nor gdb's packets.
    pub fn stdin_is_free(&self, options: &Options) -> bool {
        !self.lent && options.asked()
    }

    /// While others are served nobody waits for a reader of stdout or stderr.
    pub fn serve(&self, on: bool) {
        self.keep_loss("stdout", self.stdout.serve(on));
        let _ = self.stderr.serve(on);
    }

    /// `Err` if results or log are not all where they were asked for.
    pub fn complete(&self) -> Result<()> {
        self.keep_loss("stdout", self.stdout.failed());
        match (self.lost.borrow().clone(), self.stdout.lost()) {
            (Some(error), _) => Err(error),
            (None, 0) => Ok(()),
            (None, lost) => Err(Error::command(format!("{lost} bytes of stdout are lost: nobody read them"))),
        }
    }

    fn keep_loss(&self, what: &str, written: std::io::Result<()>) {
        if let Err(error) = written {
            self.lost.borrow_mut().get_or_insert_with(|| Error::command(format!("{what} cannot be written: {error}")));
        }
    }

    fn print(&self, text: &str) {
        if self.lent {
            return self.print_aside(text);
        }
        self.keep_loss("stdout", self.stdout.put(format!("{text}\n").as_bytes()));
    }

    fn print_aside(&self, text: &str) {
        let _ = self.stderr.put(format!("{text}\n").as_bytes());
    }

    /// The process's exit code when this error ends the run. With `run`, what is rocd's own failure is no code of a program.
    pub fn code(&self, error: &Error) -> u8 {
        let told = matches!(error.cause, Cause::Exit(_) | Cause::Ended(_) | Cause::Interrupted(_) | Cause::Abandoned(_));
        if self.runs && !told { OWN_FAILURE } else { exit_code(error) }
    }

    /// What the program in the chip says.
    fn target(&self, bytes: &[u8]) {
        self.note(&String::from_utf8_lossy(bytes));
        if let Some(above) = self.above.borrow().as_ref() {
            self.unended.whole(bytes).inspect(|text| above(text));
            return;
        }
        let bytes = [self.unended.take().as_slice(), bytes].concat();
        self.beside(|| match self.lent || self.json {
            true => _ = self.stderr.put(&bytes),
            false => self.keep_loss("stdout", self.stdout.put(&bytes)),
        });
    }

    /// What a command came to: its value on stdout, or its error on stderr; as JSON both on stdout.
    pub fn show(&self, outcome: &Outcome) {
        self.end_picture();
        self.note(&format!("> {}", outcome.command));
        match &outcome.result {
            Err(error) if matches!(error.cause, Cause::Exit(_)) && !self.json => {}
            result if self.json => {
                if let Err(error) = result {
                    self.note(&error.to_string());
                }
                self.print(&json_line(outcome, |error| self.code(error)));
            }
            Ok(value) => {
                let text = value.to_string();
                if !text.is_empty() {
                    self.note(&text);
                    self.print(&text);
                }
            }
            Err(error) => {
                let own = match self.code(error) {
                    OWN_FAILURE => format!("\n  exit 125: rocd failed, and not the program; kind {}", error.kind.name()),
                    _ => String::new(),
                };
                let text = format!("{}{own}", without_controls(&error.to_string()));
                self.note(&text);
                self.print_aside(&match text.strip_prefix("error:") {
                    Some(rest) => format!("{}{rest}", self.coloured(RED, "error:")),
                    None => text,
                });
            }
        }
        if !self.json {
            timing::report(outcome, None, false).inspect(|text| self.note(text));
            timing::report(outcome, self.lively.then(columns), self.colours).inspect(|text| self.print_aside(text));
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
            match self.above.borrow().as_ref() {
                Some(above) => above(text),
                None => self.beside(|| self.print_aside(text)),
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
            self.beside(|| self.print_aside(text));
        }
    }

    /// A bar per phase that takes longer than `QUICK`, gone when the phase ends; no terminal gets a line in its stead when a
    /// long phase begins to be one, and one at its end.
    fn progress(&self, phase: &'static str, done: u64, total: u64) {
        if self.quiet {
            return;
        }
        self.end_live();
        let told = self.picture.borrow_mut().progress(phase, done, total, self.lively);
        if let Some(line) = told {
            self.print_aside(&line);
        }
    }

    /// In place of the last one, which stays when something else is said.
    fn live(&self, text: String) {
        self.note(&text);
        self.live.borrow_mut().get_or_insert_with(|| line("{msg}")).set_message(without_controls(&text));
    }

    fn end_live(&self) {
        if let Some(line) = self.live.take() {
            line.abandon();
            // It leaves the cursor behind its line, which a prompt would clear.
            self.print_aside("");
        }
    }

    fn end_picture(&self) {
        self.end_live();
        self.picture.take();
    }

    /// Say something while a picture stands below.
    fn beside(&self, say: impl FnOnce()) {
        self.end_live();
        let lines = self.picture.borrow().lines.clone();
        lines.suspend(say);
    }
}

/// Work that takes no longer than this shows no progress.
const QUICK: Duration = Duration::from_millis(500);

/// What a terminal shows of the work under way, in place: the sectors of flash that is changed, and a bar for each phase.
#[derive(Default)]
struct Picture {
    lines: MultiProgress,
    map: Option<SectorMap>,
    map_line: Option<ProgressBar>,
    bars: Vec<Bar>,
}

/// A phase under way.
struct Bar {
    phase: &'static str,
    done: u64,
    began: Instant,
    shown: Option<ProgressBar>,
}

impl Picture {
    /// The line to be told where there is no terminal. Erasing and writing take turns; every other phase ends the one before it.
    fn progress(&mut self, phase: &'static str, done: u64, total: u64, lively: bool) -> Option<String> {
        if total == 0 {
            self.end_bars(|_| true);
            return None;
        }
        let known = self.bars.iter().position(|bar| bar.phase == phase && done >= bar.done);
        let at = known.unwrap_or_else(|| {
            self.end_bars(|bar| bar.done > 0 || bar.phase == phase);
            self.bars.push(Bar { phase, done, began: Instant::now(), shown: None });
            self.bars.len() - 1
        });
        let told = self.bars[at].advance(done, total, lively, &self.lines);
        self.draw_map();
        if done >= total {
            self.end_bars(|bar| bar.phase == phase);
        }
        told
    }

    /// From the moment on that something takes its time.
    fn draw_map(&mut self) {
        let Some(map) = self.map.as_ref().filter(|_| self.map_line.is_some() || self.bars.iter().any(|bar| bar.shown.is_some())) else {
            return;
        };
        let line = self.map_line.get_or_insert_with(|| self.lines.insert(0, line("{msg}")));
        line.set_message(map.to_string());
    }

    fn set(&mut self, sector: u32, kind: &'static str) {
        if let Some(map) = &mut self.map {
            map.set(sector, kind);
            self.draw_map();
        }
    }

    fn end_bars(&mut self, which: impl Fn(&Bar) -> bool) {
        let ended = self.bars.extract_if(.., |bar| which(bar));
        ended.filter_map(|bar| bar.shown).for_each(|bar| bar.finish_and_clear());
    }
}

impl Drop for Picture {
    fn drop(&mut self) {
        self.end_bars(|_| true);
        self.map_line.iter().for_each(ProgressBar::finish_and_clear);
    }
}

impl Bar {
    /// The line to be told where there is no terminal.
    fn advance(&mut self, done: u64, total: u64, lively: bool, lines: &MultiProgress) -> Option<String> {
        self.done = done;
        let took = self.began.elapsed();
        // A line without a rate says nothing.
        if took < QUICK || (done == 0 && !lively) {
            return None;
        }
        let first = self.shown.is_none();
        let form = FORMS.iter().find(|form| form.0 <= columns()).map_or("", |form| form.1);
        let shown = self.shown.get_or_insert_with(|| lines.add(line(form)).with_message(self.phase).with_elapsed(took));
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
                self.end_picture();
                self.print(&text);
            }
            Event::Target(bytes) => self.target(&bytes),
            Event::Info(text) => self.aside(&text),
            Event::Warning(text) => self.aside(&format!("{} {text}", self.coloured(YELLOW, "warning:"))),
            Event::Debug(level, text) => self.debug_line(level, &text),
            Event::Progress { phase, done, total } => self.progress(phase, done, total),
            Event::Map(map) if self.lively && !self.quiet => self.picture.borrow_mut().map = Some(map),
            Event::Sector(address, kind) => self.picture.borrow_mut().set(address, kind),
            Event::Map(_) | Event::Time(_) => {}
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

/// A line of a picture. Where stderr is no terminal it draws nothing.
fn line(form: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(form).unwrap_or_else(|_| ProgressStyle::default_bar());
    // indicatif's own rate takes all that was done before the bar was shown for the work of a moment.
    let pace = |state: &ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = out.write_str(&pace(state.pos(), state.len().unwrap_or(0), state.elapsed()));
    };
    let style = style.with_key("pace", pace).progress_chars("=> ");
    ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style)
}

fn since_1970() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// One line of docs/json.schema.json.
fn json_line(outcome: &Outcome, code: impl Fn(&Error) -> u8) -> String {
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
        Err(error) => line["error"] = json_error(error, code(error)),
    }
    line.to_string()
}

fn json_error(error: &Error, code: u8) -> Value {
    json!({
        "kind": error.kind.name(), "message": error.message, "trail": error.trail, "hint": error.hint, "exit": code,
    })
}
