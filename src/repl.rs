//! The interactive prompt: a line editor in front of the host, which it asks for everything it knows.

use crate::command::spec::Completion;
use crate::error::{Cause, Error, Result};
use crate::host::{Cancel, Host, Show};
use rustyline::completion::{Candidate, Completer, FilenameCompleter};
use rustyline::config::CompletionType;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::FileHistory;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Config, Context, Editor, Helper};
use std::borrow::Cow;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const HISTORY_LINES: usize = 10_000;
const GREY: &str = "\x1b[90m";
const PLAIN: &str = "\x1b[0m";
/// How often a signal other than Ctrl-C is looked for while the prompt waits.
const BREATH: Duration = Duration::from_millis(100);

/// Until Ctrl-D or `exit`. An error in a line has been shown and ends nothing.
pub fn run(host: &Host, show: Show) -> Result<()> {
    let mut editor = editor(host).map_err(|error| Error::command(format!("the prompt cannot be shown: {error}")))?;
    let history = history_file();
    if let Some(path) = &history {
        // There is none before the first run.
        let _ = editor.load_history(path);
    }
    // While there is a printer the editor waits in select(), which a signal wakes; a plain read() would go on.
    let _printer = editor.create_external_printer();
    let _guard = SignalGuard::new(host.cancel().clone());
    let result = prompt_until_left(host, &mut editor, show);
    if let Some(path) = &history {
        keep_history(&mut editor, path);
    }
    result
}

type Prompt<'a> = Editor<Asks<'a>, FileHistory>;

fn editor(host: &Host) -> rustyline::Result<Prompt<'_>> {
    let config = Config::builder()
        .max_history_size(HISTORY_LINES)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .auto_add_history(true)
        .build();
    let mut editor = Editor::with_config(config)?;
    let colours = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    editor.set_helper(Some(Asks { host, files: FilenameCompleter::new(), colours }));
    Ok(editor)
}

fn prompt_until_left(host: &Host, editor: &mut Prompt, show: Show) -> Result<()> {
    loop {
        let prompt = host.chip().map_or("rocd> ".to_string(), |chip| format!("{chip}> "));
        let shown = Instant::now();
        let typed = editor.readline(&prompt);
        host.waited(shown.elapsed());
        match typed {
            Ok(line) => match host.line(&line, show) {
                Err(error) if leaves(&error) => return Err(error),
                _ => {}
            },
            Err(ReadlineError::Eof) => return Ok(()),
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => match host.cancel().check() {
                Err(error) if leaves(&error) => return Err(error),
                _ => {}
            },
            Err(error) => return Err(Error::command(format!("the prompt ended: {error}"))),
        }
    }
}

/// Ctrl-C ends what runs, every other signal and `exit` end the prompt.
fn leaves(error: &Error) -> bool {
    match error.cause {
        Cause::Exit(_) => true,
        Cause::Interrupted(signal) | Cause::Abandoned(signal) => signal != signal_hook::consts::SIGINT,
        _ => false,
    }
}

/// Turns a SIGTERM that comes while the prompt waits into a Ctrl-C, the one signal that the editor answers.
struct SignalGuard(Arc<AtomicBool>);

impl SignalGuard {
    fn new(cancel: Cancel) -> SignalGuard {
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        std::thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) {
                std::thread::sleep(BREATH);
                // A command that runs takes the signal itself, within this time.
                if ![0, signal_hook::consts::SIGINT].contains(&cancel.get()) {
                    let _ = signal_hook::low_level::raise(signal_hook::consts::SIGINT);
                }
            }
        });
        SignalGuard(over)
    }
}

impl Drop for SignalGuard {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
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

/// A history that cannot be kept is no reason to fail a run that went well.
fn keep_history(editor: &mut Prompt, path: &PathBuf) {
    let folder = path.parent().map_or(Ok(()), std::fs::create_dir_all);
    if folder.is_ok() {
        let _ = editor.save_history(path);
    }
}

/// What the editor asks the host.
struct Asks<'a> {
    host: &'a Host,
    files: FilenameCompleter,
    colours: bool,
}

/// The last command of a line as it is typed.
struct Typed {
    /// Complete words before the one that is being typed.
    words: Vec<String>,
    /// Where the word begins that is being typed, and its text.
    start: usize,
    word: String,
}

impl Typed {
    fn new(line: &str) -> Typed {
        let command = line.rfind([';', '\n']).map_or(0, |separator| separator + 1);
        let start = line.rfind(|c: char| c.is_whitespace() || c == ';').map_or(0, |blank| blank + 1);
        let words = line[command..start].split_whitespace().map(str::to_string).collect();
        Typed { words, start, word: line[start..].to_string() }
    }
}

/// One completion.
struct Choice(String);

impl Candidate for Choice {
    fn display(&self) -> &str {
        &self.0
    }

    fn replacement(&self) -> &str {
        &self.0
    }
}

impl Asks<'_> {
    /// What may stand where the word is being typed: words, and whether it may be a file's name.
    fn choices(&self, typed: &Typed) -> (Vec<String>, bool) {
        let (mut words, mut file) = (Vec::new(), false);
        let cx = self.host.cx();
        if let Some((entry, count)) = cx.commands.borrow().find(&typed.words) {
            let next = entry.spec.next(&typed.words[count..]);
            words.extend(next.literals);
            match next.value.map(|(_, kind)| kind.completion) {
                Some(Completion::File) => file = true,
                Some(Completion::Symbol) => words.extend(cx.symbols.borrow().iter().map(|symbol| symbol.name.clone())),
                Some(Completion::None) | None => {}
            }
        }
        words.extend(self.names(&typed.words));
        if typed.words.is_empty() {
            words.extend(self.host.defined());
        }
        words.retain(|word| word.starts_with(&typed.word));
        words.sort();
        words.dedup();
        (words, file)
    }

    /// The next word of every command whose name begins with these words.
    fn names(&self, words: &[String]) -> Vec<String> {
        let next = |name: &str| {
            let mut name = name.split(' ');
            words.iter().all(|word| name.next() == Some(word)).then(|| name.next().map(str::to_string)).flatten()
        };
        self.host.cx().commands.borrow().iter().filter_map(|entry| next(entry.name())).collect()
    }
}

impl Completer for Asks<'_> {
    type Candidate = Choice;

    fn complete(&self, line: &str, pos: usize, _: &Context) -> rustyline::Result<(usize, Vec<Choice>)> {
        let typed = Typed::new(&line[..pos]);
        let (words, file) = self.choices(&typed);
        let mut choices: Vec<Choice> = words.into_iter().map(|word| Choice(word + " ")).collect();
        if file {
            let (start, files) = self.files.complete_path(line, pos)?;
            if start == typed.start || choices.is_empty() {
                choices.extend(files.into_iter().map(|file| Choice(file.replacement().to_string())));
                return Ok((start, choices));
            }
        }
        Ok((typed.start, choices))
    }
}

impl Hinter for Asks<'_> {
    type Hint = String;

    /// The rest of the usage line behind a command's name.
    fn hint(&self, line: &str, pos: usize, _: &Context) -> Option<String> {
        let typed = Typed::new(line);
        if pos < line.len() || !typed.word.is_empty() || typed.words.is_empty() {
            return None;
        }
        let (entry, count) = self.host.cx().commands.borrow().find(&typed.words)?;
        (typed.words.len() == count)
            .then(|| entry.spec.usage[entry.name().len()..].trim_start().to_string())
            .filter(|rest| !rest.is_empty())
    }
}

impl Highlighter for Asks<'_> {
    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        match self.colours {
            true => Cow::Owned(format!("{GREY}{hint}{PLAIN}")),
            false => Cow::Borrowed(hint),
        }
    }
}

impl Validator for Asks<'_> {
    /// An open quote, parenthesis or block goes on in the next line.
    fn validate(&self, context: &mut ValidationContext) -> rustyline::Result<ValidationResult> {
        Ok(if self.host.unfinished(context.input()) { ValidationResult::Incomplete } else { ValidationResult::Valid(None) })
    }
}

impl Helper for Asks<'_> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Settings;
    use crate::event::Silent;
    use std::rc::Rc;

    fn host() -> Host {
        let host = Host::new(Rc::new(Silent), Cancel::default(), Settings::default(), 0).unwrap();
        host.line("command(\"lamp (on|off) [<times:num>]\", \"\", |a| {}); fn flicker() {}", &mut |_| {}).unwrap();
        host
    }

    fn choices(host: &Host, line: &str) -> (Vec<String>, bool) {
        Asks { host, files: FilenameCompleter::new(), colours: false }.choices(&Typed::new(line))
    }

    #[test]
    fn completion_knows_names_literals_and_where_files_stand() {
        let host = host();
        assert_eq!(choices(&host, "lam"), (vec!["lamp".to_string()], false));
        assert_eq!(choices(&host, "echo a; lamp o").0, ["off", "on"]);
        assert_eq!(choices(&host, "lamp on o").0, Vec::<String>::new());
        assert!(choices(&host, "flash er").0.contains(&"erase_sector".to_string()));
        assert!(choices(&host, "flick").0.contains(&"flicker".to_string()));
        assert!(choices(&host, "script ").1);
    }

    #[test]
    fn the_usage_line_is_the_hint() {
        let host = host();
        let asks = Asks { host: &host, files: FilenameCompleter::new(), colours: false };
        let history = FileHistory::new();
        let hint = |line: &str| asks.hint(line, line.len(), &Context::new(&history));
        assert_eq!(hint("lamp ").as_deref(), Some("(on|off) [<times:num>]"));
        assert_eq!((hint("lamp"), hint("lamp on "), hint("nothing ")), (None, None, None));
    }

    #[test]
    fn files_complete_with_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lab.rhai");
        std::fs::write(&path, "").unwrap();
        let host = host();
        let asks = Asks { host: &host, files: FilenameCompleter::new(), colours: false };
        let line = format!("echo a; script {}", folder.path().join("la").display());
        let (start, choices) = asks.complete(&line, line.len(), &Context::new(&FileHistory::new())).unwrap();
        assert_eq!(start, "echo a; script ".len());
        assert_eq!(choices.iter().map(|choice| choice.0.clone()).collect::<Vec<_>>(), [path.display().to_string()]);
    }
}
