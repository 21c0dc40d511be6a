//! Built-in commands: memory.
//!
//! Every access goes out in the width its name says, so peripherals see what the user asked for. Reads need no halt.

use super::{Args, Command, Cx, Value};
use crate::error::{Context, Error, Kind, Result};
use crate::flash::{self, Bank};
use crate::image::{self, Format, Image, Segment};
use crate::probe::Width;
use crate::session::Session;
use std::path::Path;

pub const COMMANDS: &[Command] = &[
    Command::new("mdb <addr> [<n:num>] [ascii]", "Show bytes of memory; `ascii` adds them as text", "mdb 0x20000000 16", show::<1>),
    Command::new(
        "mdh <addr> [<n:num>] [ascii]",
        "Show 16-bit halfwords of memory; `ascii` adds them as text",
        "mdh 0x20000000 8",
        show::<2>,
    ),
    Command::new("mdw <addr> [<n:num>] [ascii]", "Show 32-bit words of memory; `ascii` adds them as text", "mdw 0x08000000 8", show::<4>),
    Command::new(
        "mdd <addr> [<n:num>] [ascii]",
        "Show 64-bit doublewords of memory; `ascii` adds them as text",
        "mdd 0x20000000 4",
        show::<8>,
    ),
    Command::new("mwb <addr> <value:num> [<n:num>]", "Write a byte to memory, or n copies of it", "mwb 0x20000000 0xff 16", fill::<1>)
        .changes(0),
    Command::new("mwh <addr> <value:num> [<n:num>]", "Write a halfword to memory, or n copies of it", "mwh 0x20000000 0xbeef", fill::<2>)
        .changes(0),
    Command::new("mww <addr> <value:num> [<n:num>]", "Write a word to memory, or n copies of it", "mww 0x20000000 0xdeadbeef 4", fill::<4>)
        .changes(0),
    Command::new("mwd <addr> <value:num> [<n:num>]", "Write a doubleword to memory, or n copies of it", "mwd 0x20000000 1 2", fill::<8>)
        .changes(0),
    Command::new(
        "read_memory <addr> <width:num> <count:num>",
        "Read a list of numbers, each 8, 16, 32 or 64 bits wide",
        "read_memory 0x20000000 32 2",
        read_memory,
    ),
    Command::new(
        "write_memory <addr> <width:num> <data:num>…",
        "Write a list of numbers, each 8, 16, 32 or 64 bits wide",
        "write_memory 0x20000000 32 0xdeadbeef 0",
        write_memory,
    )
    .changes(0),
    Command::new(
        "load_image <file> [<addr>] [bin|elf|ihex|s19|uf2|dfu]",
        "Load an image into RAM; the address is where a BIN goes, and is added to those of other formats",
        "dump_image ram.bin 0x20000000 256; load_image ram.bin 0x20000000",
        load_image,
    )
    .changes(0),
    Command::new(
        "dump_image <file> <addr> <len:num>",
        "Save memory in a file: Intel HEX as .hex, S-records as .srec or .s19, else raw bytes",
        "dump_image flash.bin 0x08000000 1K",
        dump_image,
    ),
];

/// Bytes between two looks at the cancel flag: what a V2 at 4 MHz moves in 40 ms.
pub(super) const CHUNK: usize = 6144;

/// Bytes in a line of `mdw` and its sisters.
const LINE: usize = 32;

/// A value of the kind `addr`, which the grammar keeps below 2^32.
pub(super) fn address(args: &Args, name: &str) -> Result<u32> {
    Ok(args.num(name)? as u32)
}

pub(super) fn opt_address(args: &Args, name: &str) -> Option<u32> {
    args.opt_num(name).map(|address| address as u32)
}

/// What the user said an image is: one of `bin|elf|ihex|s19|uf2|dfu`.
pub(super) fn format(args: &Args) -> Option<Format> {
    Format::words().find(|word| args.has(word)).and_then(Format::from_word)
}

pub(super) fn write_file(path: &str, bytes: &[u8]) -> Result<()> {
    std::fs::write(path, bytes).map_err(|error| Error::command(format!("{path}: {error}")))
}

/// What is at an address, in the format that the file's name asks for.
pub(super) fn save(path: &str, address: u32, bytes: &[u8]) -> Result<()> {
    write_file(path, &image::written_as(Path::new(path), address, bytes)?)
}

/// Longer files are none of those that are read as a whole; ST's largest SVD file has some 5 MiB (assumed).
const LARGEST: u64 = 64 << 20;

/// A regular file as a whole: of others some have no end.
pub(super) fn contents(path: &Path) -> Result<Vec<u8>> {
    let name = path.display();
    let unread = |error| Error::command(format!("cannot read {name}: {error}"));
    match std::fs::metadata(path).map_err(unread)? {
        data if !data.is_file() => Err(Error::image(format!("{name} is no regular file"))),
        data if data.len() > LARGEST => Err(Error::image(format!("{name} is longer than {} MiB", LARGEST >> 20))),
        _ => std::fs::read(path).map_err(unread),
    }
}

/// OpenOCD's closing words: the chip's time and speed.
pub(super) fn speed(bytes: u64, seconds: f64) -> String {
    let speed = if seconds > 0.0 { bytes as f64 / 1024.0 / seconds } else { 0.0 };
    format!("in {seconds:.6}s ({speed:.3} KiB/s)")
}

fn show<const UNIT: usize>(cx: &Cx, args: &Args) -> Result<Value> {
    let from = address(args, "addr")?;
    let bytes = read_units(cx, from, UNIT, args.opt_num("n").unwrap_or(1))?;
    Ok(Value::shown(numbers(&bytes, UNIT), dump(from, &bytes, UNIT, args.has("ascii"))))
}

fn fill<const UNIT: usize>(cx: &Cx, args: &Args) -> Result<Value> {
    let to = address(args, "addr")?;
    let len = span(to, UNIT, args.opt_num("n").unwrap_or(1))?;
    let copies = pack(args.num("value")?, UNIT)?.repeat(CHUNK.min(len) / UNIT);
    for done in (0..len).step_by(CHUNK) {
        put(cx, to + done as u32, &copies[..CHUNK.min(len - done)], Some(width(UNIT)))?;
    }
    look_at_flash(cx, to)
}

fn read_memory(cx: &Cx, args: &Args) -> Result<Value> {
    let unit = unit_of(args.num("width")?)?;
    let bytes = read_units(cx, address(args, "addr")?, unit, args.num("count")?)?;
    let text: Vec<String> = bytes.chunks(unit).map(|chunk| format!("{:#x}", number(chunk))).collect();
    Ok(Value::shown(numbers(&bytes, unit), text.join(" ")))
}

fn write_memory(cx: &Cx, args: &Args) -> Result<Value> {
    let unit = unit_of(args.num("width")?)?;
    let data = args.nums("data").into_iter().map(|value| pack(value, unit)).collect::<Result<Vec<_>>>()?.concat();
    let to = address(args, "addr")?;
    span(to, unit, (data.len() / unit) as u64)?;
    for (index, chunk) in data.chunks(CHUNK).enumerate() {
        put(cx, to + (index * CHUNK) as u32, chunk, Some(width(unit)))?;
    }
    look_at_flash(cx, to)
}

/// Flash takes plain writes, and does nothing while its controller is locked. Who has unlocked it knows how to go on.
fn look_at_flash(cx: &Cx, to: u32) -> Result<Value> {
    let mut session = cx.session()?;
    let Some(bank) = session.banks.iter().find(|bank| bank.contains(to)).cloned() else { return Ok(Value::None) };
    if flash::driver(&session.target.driver)?.controller(&bank)?.is_locked(&mut session.mem(0))? {
        cx.ears.warn(format!("{to:#010x} is flash, which stays as it is: `program` and `flash write_image` write flash"));
    }
    Ok(Value::None)
}

fn load_image(cx: &Cx, args: &Args) -> Result<Value> {
    let path = args.text("file")?;
    let image = Image::read(Path::new(path), opt_address(args, "addr"), format(args))?;
    for warning in &image.warnings {
        cx.ears.warn(warning.as_str());
    }
    refuse_flash(&image, &cx.session()?.banks)?;
    cx.session()?.hurry(image.len())?;
    let start = cx.now();
    load(cx, &image).during(format!("loading {path}"))?;
    let seconds = (cx.now() - start).as_secs_f64();
    let total = image.len();
    cx.know(image);
    Ok(moved("downloaded", total, seconds))
}

fn dump_image(cx: &Cx, args: &Args) -> Result<Value> {
    let path = args.text("file")?;
    let (from, len) = (address(args, "addr")?, args.num("len")?);
    let len = span(from, 1, len)?;
    cx.session()?.hurry(len as u64)?;
    let start = cx.now();
    let bytes = fetch(cx, from, len, None)?;
    let seconds = (cx.now() - start).as_secs_f64();
    save(path, from, &bytes)?;
    Ok(moved("dumped", len as u64, seconds))
}

/// Flash takes no plain writes: said before anything is loaded.
fn refuse_flash(image: &Image, banks: &[Bank]) -> Result<()> {
    let hit = |segment: &&Segment| banks.iter().any(|bank| segment.end() > u64::from(bank.address) && segment.address <= bank.end());
    match image.segments.iter().find(hit) {
        Some(segment) => Err(Error::image(format!(
            "{}: {} bytes at {:#010x} belong into flash, and `load_image` writes RAM",
            image.path,
            segment.data.len(),
            segment.address
        ))
        .hint(format!("`program {}` erases and writes flash", image.path))),
        None => Ok(()),
    }
}

fn moved(verb: &str, bytes: u64, seconds: f64) -> Value {
    let text = format!("{verb} {bytes} bytes {}", speed(bytes, seconds));
    Value::shown(Value::map([("bytes", bytes.into()), ("seconds", seconds.into())]), text)
}

fn load(cx: &Cx, image: &Image) -> Result<()> {
    let (mut done, total) = (0, image.len() as usize);
    for Segment { address, data } in &image.segments {
        for (index, chunk) in data.chunks(CHUNK).enumerate() {
            put(cx, address + (index * CHUNK) as u32, chunk, None)?;
            done += chunk.len();
            tell(cx, "load", done, total);
        }
    }
    Ok(())
}

fn read_units(cx: &Cx, from: u32, unit: usize, count: u64) -> Result<Vec<u8>> {
    fetch(cx, from, span(from, unit, count)?, Some(width(unit)))
}

/// The number of `unit` bytes at an address.
pub(super) fn one(cx: &Cx, from: u32, unit: usize) -> Result<u64> {
    read_units(cx, from, unit, 1).map(|bytes| number(&bytes))
}

/// The same, written.
pub(super) fn set(cx: &Cx, to: u32, unit: usize, value: u64) -> Result<()> {
    span(to, unit, 1)?;
    put(cx, to, &pack(value, unit)?, Some(width(unit)))
}

/// Chunk by chunk, in accesses of `width`, or (`None`) of whatever width suits.
pub(super) fn fetch(cx: &Cx, from: u32, len: usize, width: Option<Width>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    cx.session()?.hurry(len as u64)?;
    while bytes.len() < len {
        let done = bytes.len();
        let chunk = CHUNK.min(len - done);
        bytes.resize(done + chunk, 0);
        let at = from + done as u32;
        take(cx, at, &mut bytes[done..], width).during(format!("reading {chunk} bytes at {at:#010x}"))?;
        tell(cx, "read", done + chunk, len);
    }
    cx.session()?.check_link()?;
    Ok(bytes)
}

fn take(cx: &Cx, from: u32, buf: &mut [u8], width: Option<Width>) -> Result<()> {
    (cx.ears.breathe)()?;
    let mut session = cx.session()?;
    let _phase = cx.ears.phase("read", "");
    let mut mem = session.mem(cx.core.get());
    let read = match width {
        Some(width) => mem.read_width(width, from, buf),
        None => mem.read(from, buf),
    };
    read.map_err(|error| refused(&mut session, from, error))
}

/// One chunk, in accesses of `width`, or (`None`) of whatever width suits.
fn put(cx: &Cx, to: u32, data: &[u8], width: Option<Width>) -> Result<()> {
    (cx.ears.breathe)()?;
    let mut session = cx.session()?;
    let _phase = cx.ears.phase("write", "");
    let written = session.write_memory(cx.core.get(), width, to, data);
    written.map_err(|error| refused(&mut session, to, error)).during(format!("writing {} bytes at {to:#010x}", data.len()))
}

/// What is not answered, and why if that is known.
fn refused(session: &mut Session, at: u32, error: Error) -> Error {
    if !error.is_fault() {
        return error;
    }
    let bank = session.banks.iter().find(|bank| bank.contains(at)).cloned();
    let protected = bank.and_then(|bank| session.check(&bank).err()).filter(|error| error.kind == Kind::Protected);
    protected.unwrap_or_else(|| error.hint("nothing is there, or its clock is off, or it is protected"))
}

/// Progress only where it takes more than a moment.
fn tell(cx: &Cx, phase: &'static str, done: usize, total: usize) {
    if total > CHUNK {
        cx.ears.progress(phase, done as u64, total as u64);
    }
}

/// Bytes in one number of `bits`.
pub(super) fn unit_of(bits: u64) -> Result<usize> {
    match bits {
        8 | 16 | 32 | 64 => Ok(bits as usize / 8),
        _ => Err(Error::command(format!("a width of {bits} bits is none of 8, 16, 32, 64"))),
    }
}

/// A MEM-AP of these chips moves at most a word at a time: a doubleword goes as two, the low one first.
fn width(unit: usize) -> Width {
    match unit {
        1 => Width::Byte,
        2 => Width::Half,
        _ => Width::Word,
    }
}

/// The length in bytes, once address and count are seen to fit together.
fn span(from: u32, unit: usize, count: u64) -> Result<usize> {
    let step = width(unit) as u32;
    if !from.is_multiple_of(step) {
        return Err(Error::command(format!("{from:#010x} is not a multiple of {step}"))
            .hint("the byte commands (`mdb`, `mwb`, width 8) take any address"));
    }
    let room = (1 << 32) - u64::from(from);
    match count.checked_mul(unit as u64) {
        Some(len) if len <= room => Ok(len as usize),
        _ => Err(Error::command(format!("{count} x {unit} bytes at {from:#010x} pass the end of the address space"))),
    }
}

/// Little-endian bytes of one number.
fn pack(value: u64, unit: usize) -> Result<Vec<u8>> {
    let bits = unit as u32 * 8;
    if value.checked_shr(bits).unwrap_or(0) != 0 {
        return Err(Error::command(format!("{value:#x} does not fit in {bits} bits")));
    }
    Ok(value.to_le_bytes()[..unit].to_vec())
}

fn number(chunk: &[u8]) -> u64 {
    chunk.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

pub(super) fn numbers(bytes: &[u8], unit: usize) -> Value {
    Value::List(bytes.chunks(unit).map(|chunk| Value::Int(number(chunk) as i64)).collect())
}

/// OpenOCD's form, its blank at the end of each line included: scripts that read it exist. `ascii` adds the bytes as text,
/// in memory's order, in a column of its own.
pub(super) fn dump(from: u32, bytes: &[u8], unit: usize, ascii: bool) -> String {
    let column = bytes.len().min(LINE) / unit * (unit * 2 + 1);
    let text = |line: &[u8]| line.iter().map(|&byte| if matches!(byte, b' '..=b'~') { byte as char } else { '.' }).collect::<String>();
    let line = |(index, line): (usize, &[u8])| {
        let cells = line.chunks(unit).map(|chunk| format!("{:0digits$x} ", number(chunk), digits = unit * 2));
        let shown = format!("{:#010x}: {}", from + (index * LINE) as u32, cells.collect::<String>());
        if ascii { format!("{shown:0$} |{1}|", column + 12, text(line)) } else { shown }
    };
    bytes.chunks(LINE).enumerate().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_runs_past_the_last_address() {
        assert_eq!(span(0xffff_fffc, 4, 1).unwrap(), 4);
        assert!(span(0xffff_fffc, 4, 2).unwrap_err().message.contains("end of the address space"));
        assert!(span(0, 8, u64::MAX).unwrap_err().message.contains("end of the address space"));
    }

    #[test]
    fn speed_is_the_chips_and_no_time_has_none() {
        assert_eq!(speed(3266, 0.011), "in 0.011000s (289.950 KiB/s)");
        assert_eq!(speed(0, 0.0), "in 0.000000s (0.000 KiB/s)");
    }
}
