//! The interactive prompt: a line editor in front of the host, which it asks for everything it knows.
//!
//! The editor blocks while its user types, so it has a thread of its own and sends what it asks to the host's. That one looks at the
//! chip meanwhile, and what the chip does by itself is said above the line that is being typed.

use crate::error::{Cause, Error, Result};
use crate::host::{Choices, Host, LONGEST_COLOURED, LONGEST_TEXT, Mark, Show};
use rustyline::completion::Completer;
use rustyline::config::{ColorMode, CompletionType};
use rustyline::error::ReadlineError;
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::{Hint, Hinter};
use rustyline::history::FileHistory;
use rustyline::validate::Validator;
use rustyline::{Config, Context, Editor, ExternalPrinter, Helper};
use std::borrow::Cow;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const HISTORY_LINES: usize = 10_000;
/// A longer text, such as a file that was pasted, is run and not kept.
const LONGEST_KEPT: usize = 64 << 10;
const CONTINUED: &str = "...> ";
/// Where the terminal's width is not known.
const COLUMNS: usize = 80;
const GREY: &str = "\x1b[90m";
const PLAIN: &str = "\x1b[0m";
const COLOURS: &[(Mark, &str)] = &[(Mark::Command, "\x1b[1;36m"), (Mark::Constant, "\x1b[33m"), (Mark::Unknown, "\x1b[31m")];
/// How often the chip is looked at, and a signal for, while the prompt waits.
const POLL: Duration = Duration::from_millis(100);
/// How often the editor is told to end, and how long until it is left alone: one without a terminal cannot be woken.
const WAKE: Duration = Duration::from_millis(50);
const WAKES: u32 = 20;

/// What the editor's thread asks the host's.
type Ask = Box<dyn FnOnce(&Host, Show) + Send>;

/// Prints lines above the one that is being typed.
pub type Above = Rc<dyn Fn(&str)>;

/// Until Ctrl-D or `exit`. An error in a line has been shown and ends nothing. While the prompt waits, `divert` gets what the
/// front-end's events must be printed with, and `None` when it no longer does.
pub fn run(host: &Host, show: Show, divert: &dyn Fn(Option<Above>)) -> Result<()> {
    let cannot = |error: &dyn std::fmt::Display| Error::command(format!("the prompt cannot be shown: {error}"));
    host.look_afresh();
    let (asker, asks) = channel();
    let mut editor = editor(Asker(asker)).map_err(|error| cannot(&error))?;
    let above = editor.create_external_printer().ok().map(above);
    let thread = std::thread::Builder::new().spawn(move || prompt_until_left(&mut editor)).map_err(|error| cannot(&error))?;
    let mut editing = Editing(Some(thread));
    serve(host, &asks, show, &|waits| divert(above.clone().filter(|_| waits)), above.is_some())?;
    drop(asks);
    editing.end()
}

/// Answer the editor until it ends or a signal comes.
fn serve(host: &Host, asks: &Receiver<Ask>, show: Show, waiting: &dyn Fn(bool), looks: bool) -> Result<()> {
    let (mut last, mut looked) = (Instant::now(), Instant::now());
    loop {
        let wait = POLL.min(host.unattended());
        let asked = asks.recv_timeout(wait);
        let began = Instant::now();
        match asked {
            Ok(ask) => ask(host, &mut *show),
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Err(RecvTimeoutError::Timeout) => {}
        }
        // Ctrl-C at the prompt is the editor's.
        if ![0, signal_hook::consts::SIGINT].contains(&host.cancel().get()) {
            return host.cancel().check();
        }
        // The commands of a line have let their own time go by.
        last += began.elapsed();
        if last.elapsed() >= wait {
            host.waited(last.elapsed());
            last = Instant::now();
            if looks {
                waiting(true);
                host.attend();
                if looked.elapsed() >= POLL {
                    looked = Instant::now();
                    host.look();
                }
                waiting(false);
            }
        }
    }
}

/// The editor takes one line at a time, and not while it asks something: a thread waits for it, so that the host need not.
fn above(mut printer: impl ExternalPrinter + Send + 'static) -> Above {
    let (sender, texts) = channel::<String>();
    std::thread::spawn(move || texts.into_iter().try_for_each(|text| printer.print(text)));
    Rc::new(move |text| {
        let _ = sender.send(format!("{text}\n"));
    })
}

/// The editor's thread. It is woken when the host ends, however that comes about.
struct Editing(Option<JoinHandle<Result<()>>>);

impl Editing {
    /// What the prompt ended with.
    fn end(&mut self) -> Result<()> {
        let Some(thread) = self.0.take() else { return Ok(()) };
        for _ in 0..WAKES {
            if thread.is_finished() {
                // Its panic has been noted by the hook.
                return thread.join().unwrap_or(Ok(()));
            }
            let _ = signal_hook::low_level::raise(signal_hook::consts::SIGINT);
            std::thread::sleep(WAKE);
        }
        Ok(())
    }
}

impl Drop for Editing {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

struct Asker(Sender<Ask>);

impl Asker {
    /// `None`: the host has ended.
    fn ask<T: Send + 'static>(&self, what: impl FnOnce(&Host, Show) -> T + Send + 'static) -> Option<T> {
        let (answer, answered) = channel();
        let ask: Ask = Box::new(move |host, show| {
            let _ = answer.send(what(host, show));
        });
        self.0.send(ask).ok()?;
        answered.recv().ok()
    }
}

type Prompt = Editor<Asks, FileHistory>;

fn editor(asker: Asker) -> rustyline::Result<Prompt> {
    let config = Config::builder()
        .max_history_size(HISTORY_LINES)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        // The prompt changes while it waits, which is the highlighter's to say: it is called without colours, too.
        .color_mode(ColorMode::Forced)
        .build();
    let mut editor = Editor::with_config(config)?;
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    editor.set_helper(Some(Asks { asker, before: String::new(), prompt: String::new(), columns: COLUMNS, colours }));
    Ok(editor)
}

fn prompt_until_left(editor: &mut Prompt) -> Result<()> {
    let history = history_file();
    if let Some(path) = &history {
        // There is none before the first run.
        let _ = editor.load_history(path);
    }
    while let Some(asks) = editor.helper() {
        if asks.before.is_empty() && !new_prompt(editor) {
            return Ok(());
        }
        let prompt = editor.helper().map_or(String::new(), |asks| asks.prompt.clone());
        match editor.readline(&prompt) {
            Ok(line) => text_so_far(editor, &line, history.as_ref())?,
            Err(ReadlineError::Eof) => return Ok(()),
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => forget(editor)?,
            Err(error) => return Err(Error::command(format!("the prompt ended: {error}"))),
        }
    }
    Ok(())
}

/// False: the host has ended.
fn new_prompt(editor: &mut Prompt) -> bool {
    let columns = editor.dimensions().map_or(COLUMNS, |(columns, _)| usize::from(columns));
    let Some(asks) = editor.helper_mut() else { return false };
    asks.columns = columns;
    let prompt = asks.asker.ask(move |host, _| host.prompt(columns));
    asks.prompt = prompt.clone().unwrap_or_default();
    prompt.is_some()
}

/// Run what was typed, or wait for more where a quote, parenthesis or block is open.
fn text_so_far(editor: &mut Prompt, line: &str, history: Option<&PathBuf>) -> Result<()> {
    let Some(asks) = editor.helper_mut() else { return Ok(()) };
    let text = std::mem::take(&mut asks.before) + line;
    let asked = text.clone();
    if text.len() <= LONGEST_TEXT && asks.asker.ask(move |host, _| host.unfinished(&asked)).unwrap_or(false) {
        asks.before = text + "\n";
        asks.prompt = CONTINUED.chars().skip(if asks.columns < COLUMNS / 2 { 3 } else { 0 }).collect();
        return Ok(());
    }
    if text.len() <= LONGEST_KEPT {
        keep(editor, text.trim_end(), history);
    }
    let Some(asks) = editor.helper() else { return Ok(()) };
    let ran = asks.asker.ask(move |host, show| host.typed_line(&text, show));
    ended(ran)
}

/// Ctrl-C: what was typed so far is dropped.
fn forget(editor: &mut Prompt) -> Result<()> {
    let Some(asks) = editor.helper_mut() else { return Ok(()) };
    asks.before.clear();
    ended(asks.asker.ask(|host, _| host.cancel().check()))
}

/// Ctrl-C ends what runs, every other signal and `exit` end the prompt.
fn ended(ran: Option<Result<()>>) -> Result<()> {
    let leaves = |error: &Error| match error.cause {
        Cause::Exit(_) => true,
        Cause::Interrupted(signal) | Cause::Abandoned(signal) => signal != signal_hook::consts::SIGINT,
        _ => false,
    };
    match ran {
        Some(Err(error)) if leaves(&error) => Err(error),
        _ => Ok(()),
    }
}

/// `$XDG_STATE_HOME/rocd/history`, or what this system has for it.
fn history_file() -> Option<PathBuf> {
    let folder = |variable: &str| std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from);
    let state = match cfg!(windows) {
        true => folder("LOCALAPPDATA"),
        false => folder("XDG_STATE_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/state"))),
    };
    state.map(|state| state.join("rocd").join("history"))
}

/// At once, and behind what other prompts have kept. A history that cannot be kept is no reason to fail a run that went well.
fn keep(editor: &mut Prompt, text: &str, path: Option<&PathBuf>) {
    let added = editor.add_history_entry(text).unwrap_or(false);
    if let Some(path) = path.filter(|_| added) {
        let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        let _ = folder.map(|()| editor.append_history(path));
    }
}

/// What the editor asks while a line is being typed.
struct Asks {
    asker: Asker,
    /// The lines before this one of the same text.
    before: String,
    /// As it was when the line began: the editor counts on its width.
    prompt: String,
    columns: usize,
    colours: bool,
}

impl Completer for Asks {
    type Candidate = String;

    fn complete(&self, line: &str, pos: usize, _: &Context) -> rustyline::Result<(usize, Vec<String>)> {
        let (text, before) = (format!("{}{}", self.before, &line[..pos]), self.before.len());
        let Choices { start, words } = self.asker.ask(move |host, _| host.choices(&text)).unwrap_or_default();
        Ok(if start < before { (pos, Vec::new()) } else { (start - before, words) })
    }
}

/// Shown behind the line, and never taken into it.
struct Usage(String);

impl Hint for Usage {
    fn display(&self) -> &str {
        &self.0
    }

    fn completion(&self) -> Option<&str> {
        None
    }
}

impl Hinter for Asks {
    type Hint = Usage;

    /// As much as there is room for in the row.
    fn hint(&self, line: &str, pos: usize, _: &Context) -> Option<Usage> {
        if pos < line.len() || line.contains('\n') {
            return None;
        }
        let text = format!("{}{line}", self.before);
        let hint = self.asker.ask(move |host, _| host.hint(&text)).flatten()?;
        let used = self.prompt.chars().count() + line.chars().count();
        let room = self.columns.saturating_sub(used % self.columns.max(1) + 1);
        let cut: String = hint.chars().take(room).collect();
        (!cut.trim().is_empty()).then_some(Usage(cut))
    }
}

impl Highlighter for Asks {
    /// The state may have changed: it is shown in a form that is as wide as the one that was shown first.
    fn highlight_prompt<'b, 's: 'b, 'p: 'b>(&'s self, prompt: &'p str, default: bool) -> Cow<'b, str> {
        if !default || !self.before.is_empty() {
            return Cow::Borrowed(prompt);
        }
        let width = prompt.chars().count();
        let now = self.asker.ask(move |host, _| host.prompt_of(width)).unwrap_or_else(|| prompt.to_string());
        Cow::Owned(format!("{now:>width$}"))
    }

    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        if !self.colours {
            return Cow::Borrowed(line);
        }
        let (text, before) = (format!("{}{line}", self.before), self.before.len());
        let (mut shown, mut at) = (String::new(), 0);
        for (range, mark) in self.asker.ask(move |host, _| host.marks(&text)).unwrap_or_default() {
            let colour = COLOURS.iter().find(|row| row.0 == mark).map_or(PLAIN, |row| row.1);
            let (start, end) = (range.start.saturating_sub(before).max(at), range.end.saturating_sub(before));
            if start < end {
                shown += &format!("{}{colour}{}{PLAIN}", &line[at..start], &line[start..end]);
                at = end;
            }
        }
        Cow::Owned(shown + &line[at..])
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        match self.colours {
            true => Cow::Owned(format!("{GREY}{hint}{PLAIN}")),
            false => Cow::Borrowed(hint),
        }
    }

    /// Every key may change what the word is that it belongs to.
    fn highlight_char(&self, line: &str, _: usize, kind: CmdKind) -> bool {
        self.colours && kind == CmdKind::Other && line.len() <= LONGEST_COLOURED
    }
}

impl Validator for Asks {}

impl Helper for Asks {}
