//! Built-in commands: help, and what a run is made of.

use super::{Args, Command, Commands, Cx, Entry, Value, line, spec};
use crate::desc::HOOKS;
use crate::error::{Cause, Error, Result};
use crate::event::Event;
use crate::near;
use std::io::Write;
use std::rc::Rc;
use std::time::Duration;

pub const COMMANDS: &[Command] = &[
    Command::new("help [<words:word>…]", "List the commands, or explain one; also `help lines` and `help usage`", "help reset", help),
    Command::new("echo [<words:text>…]", "Print the words", "echo done", echo),
    Command::new(
        "append_line <file> <words:text>…",
        "Add the words to a file, as one line",
        "append_line line.log unit 1042 pass",
        append_line,
    ),
    Command::new(
        "hook <event:word> <function:word>",
        "Let a function of a script run at an event: examine_end, reset_start, reset_init, reset_end, halted",
        "hook reset_init bring_up",
        hook,
    ),
    Command::new("sleep <ms>", "Wait, on the chip's clock", "sleep 10", sleep),
    Command::new("timing [on|off]", "Say for each command where its time went, or whether that is said", "timing on", timing),
    Command::new("script <file>", "Run a .rhai file", "script scripts/program.rhai", script),
    Command::new("exit [<code:num>]", "Leave rocd with this exit code", "exit 0", exit),
    Command::new("shutdown [error]", "Leave rocd; with `error`, exit code 1", "shutdown", shutdown),
];

/// Ctrl-C is answered within 200 ms; the sleep is cut into slices well below.
pub(super) const SLICE: Duration = Duration::from_millis(50);

fn help(cx: &Cx, args: &Args) -> Result<Value> {
    let words = args.texts("words");
    let commands = cx.commands.borrow();
    match words.as_slice() {
        [] => Ok(list(&commands.iter().collect::<Vec<_>>())),
        ["lines"] => Ok(line::RULE.into()),
        ["usage"] => Ok(spec::RULE.into()),
        words => topic(&commands, words),
    }
}

/// One command in full, or all that begin with these words.
fn topic(commands: &Commands, words: &[&str]) -> Result<Value> {
    let name = words.join(" ");
    if let Some(entry) = commands.get(&name).or_else(|| commands.function(&name)) {
        return Ok(explain(&entry));
    }
    let family: Vec<&Rc<Entry>> = commands.iter().filter(|entry| entry.name().starts_with(&format!("{name} "))).collect();
    if family.is_empty() { Err(commands.unknown(words)) } else { Ok(list(&family)) }
}

fn explain(entry: &Entry) -> Value {
    let call = entry.spec.function();
    let mut text = format!("{}\n  {}\n", entry.spec.usage, entry.help);
    if !entry.example.is_empty() {
        text += &format!("  example:  {}\n", entry.example);
    }
    text += &format!("  in Rhai:  {call}(…)");
    Value::shown(describe(entry), text)
}

fn describe(entry: &Entry) -> Value {
    Value::map([
        ("name", entry.name().into()),
        ("usage", entry.spec.usage.as_str().into()),
        ("help", entry.help.as_str().into()),
        ("example", entry.example.as_str().into()),
        ("function", entry.spec.function().into()),
    ])
}

/// Usage and help in two columns; a long usage line has its help below.
fn list(entries: &[&Rc<Entry>]) -> Value {
    const COLUMN: usize = 36;
    let mut sorted = entries.to_vec();
    sorted.sort_by_key(|entry| entry.name().to_string());
    let row = |entry: &&Rc<Entry>| match &entry.spec.usage {
        usage if usage.chars().count() < COLUMN => format!("{usage:COLUMN$} {}", entry.help),
        usage => format!("{usage}\n{:COLUMN$} {}", "", entry.help),
    };
    let text = sorted.iter().map(row).collect::<Vec<_>>().join("\n");
    Value::shown(sorted.iter().map(|entry| describe(entry)).collect::<Vec<_>>(), text)
}

fn echo(cx: &Cx, args: &Args) -> Result<Value> {
    cx.ears.sink.emit(Event::Output(args.texts("words").join(" ")));
    Ok(Value::None)
}

fn append_line(_: &Cx, args: &Args) -> Result<Value> {
    let (path, line) = (args.text("file")?, args.texts("words").join(" "));
    let opened = std::fs::OpenOptions::new().append(true).create(true).open(path);
    let written = opened.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes()));
    written.map(Value::from).map_err(|error| Error::command(format!("{path}: {error}")))
}

/// Names a function that need not be there yet; of a target file loaded later, the hooks count.
fn hook(cx: &Cx, args: &Args) -> Result<Value> {
    let (event, function) = (args.text("event")?, args.text("function")?);
    if !HOOKS.contains(&event) {
        let hint = near::hint(event, HOOKS.iter().copied(), "docs/scripting.md says when each comes");
        return Err(Error::usage(format!("hook: unknown event `{event}`, expected one of {}", HOOKS.join(", "))).hint(hint));
    }
    let mut settings = cx.settings.borrow_mut();
    let target = settings.target.as_mut();
    let target = target.ok_or_else(|| Error::usage("hook: there is no target file yet").hint("give it first: -f stm32h7 -f hooks.rhai"))?;
    Rc::make_mut(target).hooks.insert(event.into(), function.into());
    Ok(Value::None)
}

fn sleep(cx: &Cx, args: &Args) -> Result<Value> {
    pause(cx, Duration::from_millis(args.num("ms")?)).map(Value::from)
}

/// From the next command on.
fn timing(cx: &Cx, args: &Args) -> Result<Value> {
    let timing = &mut cx.settings.borrow_mut().timing;
    *timing = args.has("on") || (*timing && !args.has("off"));
    Ok(Value::shown(*timing, format!("timing: {}", if *timing { "on" } else { "off" })))
}

/// Wait on the chip's clock.
pub(super) fn pause(cx: &Cx, mut left: Duration) -> Result<()> {
    while !left.is_zero() {
        (cx.ears.breathe)()?;
        let slice = left.min(SLICE);
        match cx.session.borrow_mut().as_mut() {
            Some(session) => session.wait(slice)?,
            None if super::sim::pass(cx, slice)? => {}
            None => std::thread::sleep(slice),
        }
        left -= slice;
    }
    Ok(())
}

fn script(cx: &Cx, args: &Args) -> Result<Value> {
    (cx.up.script)(cx, args.text("file")?)
}

fn exit(_: &Cx, args: &Args) -> Result<Value> {
    let code = args.opt_num("code").unwrap_or(0);
    let code = u8::try_from(code).map_err(|_| Error::usage(format!("exit: {code} is no exit code; they go from 0 to 255")))?;
    Err(leave(code))
}

fn shutdown(_: &Cx, args: &Args) -> Result<Value> {
    Err(leave(u8::from(args.has("error"))))
}

fn leave(code: u8) -> Error {
    Error::command(format!("exit {code}")).cause(Cause::Exit(code))
}
