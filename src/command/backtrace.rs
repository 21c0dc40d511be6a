//! Built-in commands: who called whom.

use super::{Args, Command, Cx, Value};
use crate::cortex_m::exception_name;
use crate::error::{Error, Result};
use crate::image::{Format, Image};
use crate::session::{Backtrace, Frame};
use std::path::Path;

pub const COMMANDS: &[Command] = &[Command::new(
    "backtrace [<file>]",
    "List the functions that a halted core is in, innermost first, by the ELF that was programmed or loaded last, or by another",
    "program tests/firmware/blinky-h743.elf; reset halt; backtrace",
    backtrace,
)];

fn backtrace(cx: &Cx, args: &Args) -> Result<Value> {
    if let Some(path) = args.opt_text("file") {
        let format = Image::recognise(Path::new(path), None)?;
        if format != Format::Elf {
            return Err(Error::image(format!("{path} is {}: names and lines are in an ELF file", format.what())));
        }
        cx.know(Image::read(Path::new(path), None, Some(format))?);
    }
    let trace = cx.session()?.backtrace(cx.core.get())?;
    let mut lines = lines(&trace);
    if cx.names.borrow().symbols.is_empty() {
        lines.push("no symbols are known: `backtrace FILE` takes them from an ELF file that was not stripped".into());
    }
    let rows =
        [("frames", trace.frames.iter().map(value).collect::<Vec<_>>().into()), ("end", trace.end.into()), ("stale", trace.stale.into())];
    Ok(Value::shown(Value::map(rows), lines.join("\n")))
}

fn value(frame: &Frame) -> Value {
    Value::map([
        ("pc", frame.pc.into()),
        ("sp", frame.sp.into()),
        ("function", frame.function.clone().into()),
        ("line", frame.line.clone().into()),
        ("inlined", frame.inlined.into()),
        ("exception", frame.exception.into()),
        ("guess", frame.guess.into()),
    ])
}

/// `#1  0x08000122 main+0x12 (main.c:42)` for each frame, then what else there is to know.
pub fn lines(trace: &Backtrace) -> Vec<String> {
    let frame = |(number, frame): (usize, &Frame)| {
        let line = frame.line.as_ref().map(|line| format!("({line})"));
        let known: String = frame.function.iter().chain(&line).map(|word| format!(" {word}")).collect();
        let inlined = if frame.inlined { ", inlined" } else { "" };
        let guess = if frame.guess { ", by lr" } else { "" };
        let exception = frame.exception.map(|number| match exception_name(number) {
            Some(name) => format!(", interrupted by {name}"),
            None => format!(", interrupted by exception {number}"),
        });
        format!("#{number:<2} {:#010x}{known}{inlined}{guess}{}", frame.pc, exception.unwrap_or_default())
    };
    let stale = trace.stale.iter().map(|why| format!("{why}: its names and lines are not used"));
    let end = trace.end.iter().map(|why| format!("no further: {why}"));
    trace.frames.iter().enumerate().map(frame).chain(stale).chain(end).collect()
}
