//! The command line: options in the order given, then the words, a prompt, or stdin; and the only way out.
#![forbid(unsafe_code)]

#[path = "main/options.rs"]
mod options;
#[path = "main/pen.rs"]
mod pen;
#[path = "main/terminal.rs"]
mod terminal;
#[path = "main/timing.rs"]
mod timing;

use options::{Options, Parsed, Step};
use rocd::command::Settings;
use rocd::error::{Cause, Error, Kind, Result};
use rocd::host::{Cancel, Host, Outcome, exit_code};
use rocd::repl;
use rocd::script::STACK;
use rocd::server;
use rocd::session::Input;
use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use terminal::Terminal;

/// How often a run that waits for stdin looks at the cancel flag.
const BREATH: Duration = Duration::from_millis(50);
/// Longer than any line a user or a script writes: `rocd < /dev/zero` must not fill the memory.
const LONGEST_LINE: u64 = 1 << 20;
/// Lines of stdin read before they are needed.
const LINES_AHEAD: usize = 64;

/// `rocd` alone, at a terminal.
const SHORT_USAGE: &str = "\
rocd -f INTERFACE -f TARGET -c COMMAND   run commands and leave
rocd -f INTERFACE -f TARGET              a prompt; `help` lists the commands
rocd COMMAND…                            one command, such as `rocd probe list`

without hardware:  rocd -f sim -f stm32h7
options and more:  rocd --help";

fn main() -> ExitCode {
    let given: Vec<OsString> = std::env::args_os().skip(1).collect();
    let args: Vec<String> = given.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    // Taken as something like it, a file's name would be another file's.
    if let Some(arg) = given.iter().find(|arg| arg.to_str().is_none()) {
        return refused(Error::usage(format!("`{}` is not UTF-8", arg.to_string_lossy())), &args, false);
    }
    if args.is_empty() && std::io::stdin().is_terminal() {
        return printed(SHORT_USAGE);
    }
    let options = match options::parse(&args) {
        Parsed::Options(options) => options,
        Parsed::Text(text) => return printed(text.trim_end()),
        Parsed::Refused(error, json) => return refused(error, &args, json),
    };
    // Scripts may nest deeper than a main thread's stack.
    let running = std::thread::Builder::new().stack_size(STACK).spawn(move || run(options));
    ExitCode::from(running.ok().and_then(|thread| thread.join().ok()).unwrap_or(Kind::Bug.exit_code()))
}

/// What a user asked to read.
fn printed(text: &str) -> ExitCode {
    ExitCode::from(u8::from(terminal::print(text).is_err()))
}

/// A command line that makes no sense is told as every other error is.
fn refused(error: Error, args: &[String], json: bool) -> ExitCode {
    let code = exit_code(&error);
    Terminal::plain(json).show(&Outcome::start_up(args.join(" "), error));
    ExitCode::from(code)
}

fn run(options: Options) -> u8 {
    let terminal = match Terminal::new(&options) {
        Ok(terminal) => Rc::new(terminal),
        Err(error) => {
            Terminal::plain(options.json).show(&Outcome::start_up("-l", error.clone()));
            return exit_code(&error);
        }
    };
    let panic = Panic::caught();
    let settings = Settings {
        dry_run: options.dry_run,
        timing: options.timing,
        search: options.search.clone(),
        options: options::table(),
        about_options: options::MORE,
        input: terminal.stdin_is_free(&options).then(|| Input::new(std::io::stdin())),
        ..Settings::default()
    };
    let made = Cancel::on_signals().and_then(|cancel| Host::new(terminal.clone(), cancel, settings, options.debug));
    let printer = terminal.clone();
    let made = made.map(|host| server::ready(host, move |on| printer.serve(on)));
    let result = match &made {
        Ok(host) => guarded(|| steps(host, &options, &terminal)),
        Err(error) => told(&terminal, "rocd", Err(error.clone())),
    };
    terminal.serve(false);
    // Whatever happened, the chip and the probe are left in order.
    let left = made.as_ref().map_or(Ok(()), |host| guarded(|| host.leave()));
    // An unplugged probe cannot be left in order, and has been told of.
    let unplugged = matches!(&result, Err(error) if error.cause == Cause::Unplugged);
    let left = if unplugged { Ok(()) } else { told(&terminal, "leaving", left) };
    if let Some(text) = panic.text() {
        let error = Error::new(Kind::Bug, text).hint("this is a bug in rocd; what was typed and the log of `-d3 -l FILE` help to find it");
        return terminal.code(&told(&terminal, "rocd", Err::<(), _>(error)).expect_err("an error stays one"));
    }
    let written = told(&terminal, "writing", terminal.complete());
    ended([result, left, written], |error| terminal.code(error))
}

/// The first error's code; an `exit 0` is no excuse for a chip that was left in disorder.
fn ended(ends: [Result<()>; 3], code: impl Fn(&Error) -> u8) -> u8 {
    let codes = ends.map(|end| end.err().map_or(0, |error| code(&error)));
    codes.into_iter().find(|code| *code != 0).unwrap_or(0)
}

/// Show the error of something that is no command.
fn told<T>(terminal: &Terminal, what: &str, result: Result<T>) -> Result<T> {
    result.inspect_err(|error| terminal.show(&Outcome::start_up(what, error.clone())))
}

/// Everything that was asked for, in the order given. Every error has been shown when it comes back.
fn steps(host: &Host, options: &Options, terminal: &Rc<Terminal>) -> Result<()> {
    for step in &options.steps {
        match step {
            Step::File(name) => told(terminal, &format!("-f {name}"), host.file(name))?,
            Step::Line(line) => host.line(line, &mut |outcome| terminal.show(outcome))?,
        }
    }
    if !options.words.is_empty() {
        return host.words(&options.words, &mut |outcome| terminal.show(outcome));
    }
    match options.asked() {
        true => Ok(()),
        false if std::io::stdin().is_terminal() => repl::run(host, &mut |outcome| terminal.show(outcome), &|above| terminal.divert(above)),
        false => lines(host, terminal),
    }
}

/// Commands from stdin, each run as soon as it is complete.
fn lines(host: &Host, terminal: &Terminal) -> Result<()> {
    let input = stdin_lines();
    let mut text = String::new();
    loop {
        match input.recv_timeout(BREATH) {
            Ok(line) => {
                text += &told(terminal, "reading stdin", line)?;
                if !host.unfinished(&text) {
                    host.line(&std::mem::take(&mut text), &mut |outcome| terminal.show(outcome))?;
                }
            }
            Err(RecvTimeoutError::Timeout) => told(terminal, "waiting for stdin", host.cancel().check())?,
            Err(RecvTimeoutError::Disconnected) => return host.line(&text, &mut |outcome| terminal.show(outcome)),
        }
    }
}

/// A thread reads, so that a signal is noticed while nothing comes.
fn stdin_lines() -> Receiver<Result<String>> {
    let (sender, receiver) = sync_channel(LINES_AHEAD);
    std::thread::spawn(move || {
        let mut input = std::io::stdin().lock();
        while let Some(line) = next_line(&mut input) {
            let last = line.is_err();
            if sender.send(line).is_err() || last {
                return;
            }
        }
    });
    receiver
}

/// Nothing at the end. A byte order mark in front says nothing.
fn next_line(input: &mut impl BufRead) -> Option<Result<String>> {
    let mut bytes = Vec::new();
    match (&mut *input).take(LONGEST_LINE).read_until(b'\n', &mut bytes) {
        Ok(0) => None,
        Ok(count) if count as u64 == LONGEST_LINE => Some(Err(Error::usage("a line of stdin is longer than 1 MiB"))),
        Ok(_) => Some(Ok(String::from_utf8_lossy(&bytes).trim_start_matches('\u{feff}').to_string())),
        Err(error) => Some(Err(Error::command(format!("stdin cannot be read: {error}")))),
    }
}

/// The text of a panic, kept from stderr until it can be told as an error.
struct Panic(Arc<Mutex<Option<String>>>);

impl Panic {
    fn caught() -> Panic {
        let kept = Arc::new(Mutex::new(None));
        let keep = kept.clone();
        std::panic::set_hook(Box::new(move |info| {
            if let Ok(mut first) = keep.lock() {
                first.get_or_insert_with(|| info.to_string().replace('\n', " "));
            }
        }));
        Panic(kept)
    }

    fn text(&self) -> Option<String> {
        self.0.lock().ok().and_then(|kept| kept.clone())
    }
}

/// A panic inside has been noted by the hook, and what comes after still happens.
fn guarded(run: impl FnOnce() -> Result<()>) -> Result<()> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_does_not_hide_that_the_chip_was_left_in_disorder() {
        let exit = |code| Err(Error::command("exit").cause(Cause::Exit(code)));
        let left = || Err(Error::probe("unplugged"));
        assert_eq!([exit(0), exit(9), Ok(())].map(|end| ended([end, left(), Ok(())], exit_code)), [3, 9, 3]);
        assert_eq!([exit(0), Ok(())].map(|end| ended([end, Ok(()), Ok(())], exit_code)), [0, 0]);
    }
}
