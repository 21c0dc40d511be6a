//! `image info`: what a file is, without a probe.

use super::memory::{format, opt_address};
use super::{Args, Command, Cx, Value};
use crate::error::Result;
use crate::flash::Bank;
use crate::image::{Format, Image, Names, Segment};
use std::path::Path;

pub const COMMANDS: &[Command] = &[Command::new(
    "image info <file> [<addr>] [bin|elf|ihex|s19|uf2|dfu]",
    "Say what an image is: its format, where it goes, its vectors and build id; no probe is needed",
    "image info tests/firmware/blinky-h743.elf",
    info,
)];

fn info(cx: &Cx, args: &Args) -> Result<Value> {
    let (path, said, address) = (Path::new(args.text("file")?), format(args), opt_address(args, "addr"));
    let placeless = address.is_none() && Image::recognise(path, said)? == Format::Bin;
    let image = Image::read(path, address.or(placeless.then_some(0)), said)?;
    image.warnings.iter().for_each(|warning| cx.ears.warn(warning.as_str()));
    let segment = |segment: &Segment| Value::map([("address", segment.address.into()), ("size", segment.data.len().into())]);
    let vectors = image.vector_table();
    let value = Value::map([
        ("file", image.path.as_str().into()),
        ("format", image.format.word().into()),
        ("bytes", image.len().into()),
        ("segments", image.segments.iter().map(segment).collect::<Vec<_>>().into()),
        ("vectors", vectors.map(|row| row.0).into()),
        ("stack", vectors.map(|row| row.1).into()),
        ("reset", vectors.map(|row| row.2).into()),
        ("entry", image.entry.into()),
        ("build_id", image.build_id.clone().into()),
        ("family", image.family_name().into()),
    ]);
    let banks = cx.session.borrow().as_ref().map(|session| session.banks.clone());
    Ok(Value::shown(value, lines(&image, placeless, banks.as_deref()).join("\n")))
}

fn lines(image: &Image, placeless: bool, banks: Option<&[Bank]>) -> Vec<String> {
    let count = image.segments.len();
    let plural = if count == 1 { "" } else { "s" };
    let mut lines = vec![format!("{}: {}, {} bytes in {count} segment{plural}", image.path, image.format.what(), image.len())];
    if placeless {
        lines.push("  it says not where it goes: addresses count from its first byte".into());
    }
    lines.extend(
        image
            .segments
            .iter()
            .map(|segment| format!("  {:#010x}..{:#010x} {:>8} bytes", segment.address, segment.end() - 1, segment.data.len())),
    );
    let names = Names::of(image.clone());
    let named = |address| names.at(address);
    lines.push(match image.vector_table() {
        Some((at, stack, reset)) => format!("vectors at {at:#010x}: stack {stack:#010x}, reset {}", named(reset)),
        None => "no vector table: no first segment begins with a stack in RAM and a reset handler".into(),
    });
    lines.extend(image.entry.map(|entry| format!("entry {}", named(entry))));
    lines.extend(image.build_id.as_ref().map(|id| format!("build id {id}")));
    lines.extend(image.family_name().map(|family| format!("for {family}")));
    lines.extend(banks.filter(|_| !placeless).map(|banks| share(image, banks)));
    lines
}

/// Of the flash of the chip that is attached.
fn share(image: &Image, banks: &[Bank]) -> String {
    let inside = |segment: &&Segment| banks.iter().any(|bank| bank.contains(segment.address));
    let bytes: usize = image.segments.iter().filter(inside).map(|segment| segment.data.len()).sum();
    let size: u64 = banks.iter().map(|bank| u64::from(bank.size)).sum();
    let elsewhere = image.len() - bytes as u64;
    let rest = if elsewhere > 0 { format!("; {elsewhere} bytes go elsewhere") } else { String::new() };
    format!("{bytes} of {size} bytes of the chip's flash ({:.1} %){rest}", 100.0 * bytes as f64 / size.max(1) as f64)
}
