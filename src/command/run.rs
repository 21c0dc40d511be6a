//! `run`: a program in the chip from its start to its end, as if it ran on this machine; and what programs may ask of their host.

use super::{Arg, Args, Command, Cx, Value, flash};
use crate::error::{Cause, Error, Result};
use crate::image::Image;
use crate::session::{Exit, Reason, Session, State};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub const COMMANDS: &[Command] = &[
    Command::new(
        "run [timeout <s:float>] <file> [<args:text>…]",
        "Write an image where flash does not hold it already, start it, show what it says, and end as it ends: 124 is its time-out in \
         seconds, 126 a fault; 125 is a failure of rocd",
        "run timeout 5 tests/firmware/semihosting-h743.elf console",
        run,
    )
    .changes(1),
    Command::new(
        "arm semihosting [enable|disable]",
        "Answer what programs ask of their host by BKPT 0xAB, or say whether that is done",
        "arm semihosting enable",
        semihosting,
    )
    .changes(1),
    Command::new(
        "arm semihosting_cmdline [<words:text>…]",
        "Set the command line that programs are told, or say what it is",
        "arm semihosting_cmdline app -v",
        |cx, args| {
            let line = &mut cx.session()?.semihosting.command_line;
            if args.words().is_empty() {
                return Ok(line.as_str().into());
            }
            *line = command_line(args.texts("words"));
            Ok(Value::None)
        },
    ),
    Command::new(
        "arm semihosting_basedir [<folder:file>]",
        "Let programs use the files below a folder, or say which; without one they may use none",
        "arm semihosting_basedir .",
        |cx, args| {
            let folder = &mut cx.session()?.semihosting.folder;
            let Some(chosen) = args.opt_text("folder") else {
                return Ok(folder.as_ref().map_or(String::new(), |folder| folder.display().to_string()).into());
            };
            if !Path::new(chosen).is_dir() {
                return Err(Error::usage(format!("{chosen} is no folder")));
            }
            *folder = Some(PathBuf::from(chosen));
            Ok(Value::None)
        },
    ),
];

/// Between two looks at the program.
const LOOK: Duration = Duration::from_millis(2);
/// An exit code that would be one of ours.
const TOO_LARGE: u8 = 123;
const TIME_OUT: u8 = 124;
const FAULT: u8 = 126;

fn semihosting(cx: &Cx, args: &Args) -> Result<Value> {
    let mut session = cx.session()?;
    let on = args.has("enable") || session.semihosting.on && !args.has("disable");
    session.set_semihosting(on)?;
    Ok(Value::shown(on, format!("semihosting is {}", if on { "enabled" } else { "disabled" })))
}

/// As newlib takes it apart: words with blanks in them in quotes of a kind that they do not have.
fn command_line<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted = |word: &str| match word.contains(|c: char| c.is_whitespace() || c == '"' || c == '\'') || word.is_empty() {
        true if word.contains('"') => format!("'{word}'"),
        true => format!("\"{word}\""),
        false => word.to_string(),
    };
    words.into_iter().map(quoted).collect::<Vec<_>>().join(" ")
}

fn run(cx: &Cx, args: &Args) -> Result<Value> {
    let limit = args.of("s").first().and_then(|arg| if let Arg::Float(s) = arg { Some(*s) } else { None });
    let time = |s| Duration::try_from_secs_f64(s).map_err(|error| Error::usage(format!("{s} s is no time-out: {error}")));
    let (limit, file) = (limit.map(time).transpose()?, args.text("file")?);
    // As people write who think of `program FILE verify`; nobody but the program can say what it means there.
    if let (None, [.., "timeout", s]) = (limit, &*args.texts("args"))
        && s.parse::<f64>().is_ok()
    {
        cx.ears.warn(format!("`timeout {s}` behind the file is the program's: rocd's own is `run timeout {s} {file}`"));
    }
    if Image::comes_once(Path::new(file)) {
        let error = Error::usage(format!("{file} is no regular file"));
        return Err(error.hint("`program` takes what comes through a pipe; what is to run is read more than once"));
    }
    flash::put(cx, args)?;
    let mut session = cx.session()?;
    let words = std::iter::once(file).chain(args.texts("args"));
    let on = std::mem::replace(&mut session.semihosting.on, true);
    session.semihosting.command_line = command_line(words);
    session.semihosting.input = cx.settings.borrow().input.clone();
    session.semihosting.awaited = true;
    let (rtt, told) = (cx.settings.borrow().rtt, session.rtt_due().is_some());
    let ended = session.start(cx.core.get(), rtt).and_then(|()| until_end(cx, &mut session, limit));
    (session.semihosting.awaited, session.semihosting.input) = (false, None);
    session.semihosting.on = on;
    let said = session.rtt_rest();
    if !told {
        session.rtt_stop();
    }
    let free = session.catch_faults(false);
    ended.and(said).and(free).map(|()| Value::shown(0u32, ""))
}

/// `Err` with `Cause::Ended` unless the program says that it went well.
fn until_end(cx: &Cx, session: &mut Session, limit: Option<Duration>) -> Result<()> {
    let (core, began) = (cx.core.get(), session.probe.now());
    let ended = |code, text: String| Err(Error::command(text).cause(Cause::Ended(code)));
    loop {
        let (before, looked) = (session.probe.now(), Instant::now());
        session.wait(LOOK)?;
        if session.semihosting.waits {
            // For what a user types: the board's clock goes no faster than his.
            std::thread::sleep((session.probe.now() - before).saturating_sub(looked.elapsed()));
        }
        match session.semihosting.exit {
            None => {}
            Some(Exit::Code(0)) => return Ok(()),
            Some(exit @ Exit::Code(code)) => return ended(u8::try_from(code).unwrap_or(TOO_LARGE).min(TOO_LARGE), exit.to_string()),
            Some(exit) => return ended(FAULT, exit.to_string()),
        }
        match session.state(core)? {
            State::Lockup | State::Halted(Reason::VectorCatch) => {
                let why = session.why_faulted(core)?;
                let verdict = session.verdict(core)?;
                return ended(FAULT, why).map_err(|error| verdict.into_iter().fold(error, Error::hint));
            }
            State::Halted(_) => {
                let pc = session.pc(core)?;
                return ended(FAULT, format!("the program stopped at a breakpoint, pc = {}", cx.names.borrow().at(pc)));
            }
            _ => {}
        }
        if let Some(limit) = limit.filter(|limit| session.probe.now() - began >= *limit) {
            let how = if session.semihosting.waits { "; it waits for input" } else { "" };
            return ended(TIME_OUT, format!("the program did not end within {} s{how}", limit.as_secs_f64()));
        }
        (cx.ears.breathe)()?;
    }
}

#[cfg(test)]
mod tests {
    use super::command_line;

    #[test]
    fn words_come_apart_again() {
        assert_eq!(command_line(["app", "-v", "a b", "", "it's", "say \"x\""]), "app -v \"a b\" \"\" \"it's\" 'say \"x\"'");
    }
}
