//! Images: ELF, Intel HEX, S-record and raw binaries, recognised by content and never by name.
//!
//! `Image::read` looks at the first bytes (content.rs), refuses what is no firmware with kind image, and hands the rest
//! to one reader per format. Only bytes that are to be loaded are ever in memory, whatever else the file holds.

mod base;
mod content;
#[cfg(feature = "defmt")]
mod defmt;
mod dfuse;
mod elf;
mod hex;
mod lines;
mod names;
mod srec;
mod uf2;
mod unwind;

use crate::error::{Error, Result};
pub use base::Linked;
use content::Content;
#[cfg(feature = "defmt")]
pub use defmt::Defmt;
pub use lines::Lines;
pub use names::Names;
use std::fs::File;
use std::io::{BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::SystemTime;
pub use unwind::{LR, NOBODY, PC, Registers, SP};

/// Bytes to load at most: far above internal flash (2 MiB) and RAM; keeps a wrong file from filling the host's memory.
const LARGEST: u64 = 16 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Elf,
    Hex,
    Srec,
    Uf2,
    Dfuse,
    Bin,
}

impl Format {
    /// With OpenOCD's word for it, as far as it has one; and what is counted where two of them overlap.
    const TABLE: &[(Format, &str, &str, &str)] = &[
        (Format::Elf, "elf", "an ELF file", "segment"),
        (Format::Hex, "ihex", "an Intel HEX file", "line"),
        (Format::Srec, "s19", "an S-record file", "line"),
        (Format::Uf2, "uf2", "a UF2 file", "block"),
        (Format::Dfuse, "dfu", "a DfuSe file", "element"),
        (Format::Bin, "bin", "a raw binary", ""),
    ];

    fn row(self) -> &'static (Format, &'static str, &'static str, &'static str) {
        Self::TABLE.iter().find(|row| row.0 == self).expect("every format has a row")
    }

    pub fn words() -> impl Iterator<Item = &'static str> {
        Self::TABLE.iter().map(|row| row.1)
    }

    pub fn from_word(word: &str) -> Option<Format> {
        Self::TABLE.iter().find(|row| row.1 == word).map(|row| row.0)
    }

    pub fn word(self) -> &'static str {
        self.row().1
    }

    /// "an ELF file"
    pub fn what(self) -> &'static str {
        self.row().2
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub address: u32,
    pub data: Vec<u8>,
}

impl Segment {
    pub fn end(&self) -> u64 {
        u64::from(self.address) + self.data.len() as u64
    }

    pub fn holds(&self, address: u32) -> bool {
        (u64::from(self.address)..self.end()).contains(&u64::from(address))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    pub name: String,
    pub address: u32,
    pub size: u32,
    pub function: bool,
}

/// What an ELF was compiled for, by the numbers of IHI0045 3.3.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Architecture {
    /// Tag_CPU_arch
    pub cpu: u64,
    /// Tag_CPU_arch_profile: a letter, or 0.
    pub profile: u64,
}

/// What is to be put where: sorted by address, nothing overlaps.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// As the user gave it, for messages.
    pub path: String,
    pub format: Format,
    pub segments: Vec<Segment>,
    /// ELF entry, HEX start address, S7/S8/S9.
    pub entry: Option<u32>,
    /// Of the GNU build-id note, in hex; ELF only.
    pub build_id: Option<String>,
    /// `None` where the file does not say; ELF only.
    pub architecture: Option<Architecture>,
    /// The kind of chip that a UF2 is for, by the number Microsoft gives it.
    pub family: Option<u32>,
    /// Sorted by address; ELF only.
    pub symbols: Vec<Symbol>,
    /// When its file was written last, seen before it was read; `None` of what is no file.
    pub written: Option<SystemTime>,
    /// What the user should hear although the image is taken.
    pub warnings: Vec<String>,
}

impl Image {
    /// Nothing but bytes at addresses.
    pub fn new(path: &str, format: Format, segments: Vec<Segment>) -> Image {
        Image {
            path: path.into(),
            format,
            segments,
            entry: None,
            build_id: None,
            architecture: None,
            family: None,
            symbols: vec![],
            written: None,
            warnings: vec![],
        }
    }

    /// `address`: where a BIN goes (required for one), added to the addresses of the other formats.
    /// `format`: what the user said it is; `Bin` takes any file as raw bytes, with a warning.
    ///
    /// Kind command: the file cannot be opened. Kind image: it is no firmware, damaged, or not what `format` says.
    pub fn read(path: &Path, address: Option<u32>, format: Option<Format>) -> Result<Image> {
        let name = path.display().to_string();
        let written = lines::written(path);
        Ok(Image { written, ..read_from(&name, Some(path), open(path)?, address, format)? })
    }

    /// Like `read`, from bytes already in memory.
    #[cfg(test)]
    pub fn parse(name: &str, bytes: &[u8], address: Option<u32>, format: Option<Format>) -> Result<Image> {
        read_from(name, None, Cursor::new(bytes), address, format)
    }

    /// What `read` would take the file for; the same errors, except those found further inside. A pipe, which can be read
    /// only once, is what it is said to be.
    pub fn recognise(path: &Path, format: Option<Format>) -> Result<Format> {
        let name = path.display().to_string();
        if Image::comes_once(path) {
            return format.ok_or_else(|| {
                let words = Format::words().collect::<Vec<_>>().join(", ");
                Error::usage(format!("{name} is no regular file: say what comes through it, one of {words}"))
            });
        }
        Ok(decide(&name, Some(path), &head(&name, open(path)?)?, format)?.0)
    }

    /// A pipe or a device: what was read of it cannot be read again.
    pub fn comes_once(path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|data| !data.is_file() && !data.is_dir())
    }

    /// Bytes in all segments.
    pub fn len(&self) -> u64 {
        self.segments.iter().map(|segment| segment.data.len() as u64).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }

    /// The first two words of a vector table at `at` (initial stack pointer, reset handler), if the image holds them.
    pub fn vectors(&self, at: u32) -> Option<(u32, u32)> {
        let segment = self.segments.iter().find(|segment| segment.address <= at && u64::from(at) + 8 <= segment.end())?;
        let bytes = &segment.data[(at - segment.address) as usize..];
        Some((word(bytes, 0), word(bytes, 4)))
    }

    /// "STM32G0", where the file says which chips it is for.
    pub fn family_name(&self) -> Option<String> {
        self.family.map(uf2::family_name)
    }

    /// Address, stack and reset handler of the first segment that begins with a vector table: the stack is in RAM, which a
    /// Cortex-M has from 0x20000000 to 0x3FFFFFFF and some chips below 0x20000000 (DDI0403E B3.1), and the handler is Thumb.
    pub fn vector_table(&self) -> Option<(u32, u32, u32)> {
        let rows = self.segments.iter().filter_map(|segment| Some((segment.address, self.vectors(segment.address)?)));
        let fits = |stack: u32, reset: u32| (0x1000_0000..=0x4000_0000).contains(&stack) && stack.is_multiple_of(4) && reset & 1 == 1;
        rows.map(|(at, (stack, reset))| (at, stack, reset)).find(|(_, stack, reset)| fits(*stack, *reset))
    }
}

type Writer = fn(u32, &[u8]) -> Result<Vec<u8>>;

/// How a file is written whose name ends so; any other is raw bytes.
const WRITERS: &[(&[&str], Writer)] = &[(&["hex", "ihex", "ihx"], hex::write), (&["srec", "s19", "s28", "s37", "mot"], srec::write)];

/// Bytes in a record that is written, as most tools do.
const RECORD: usize = 16;

/// What a file of this name holds when it holds `data` at `address`: Intel HEX, S-records or raw bytes, by its ending.
pub fn written_as(path: &Path, address: u32, data: &[u8]) -> Result<Vec<u8>> {
    let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
    match WRITERS.iter().find(|row| row.0.contains(&ending.as_str())) {
        Some((_, write)) => write(address, data),
        None => Ok(data.to_vec()),
    }
}

trait Source: Read + Seek {}
impl<T: Read + Seek> Source for T {}

/// A file, or what came through a pipe, which cannot seek.
fn open(path: &Path) -> Result<Box<dyn Source>> {
    let shown = path.display();
    let failed = |error: std::io::Error| {
        let failure = Error::command(format!("cannot open {shown}: {error}"));
        match content::meant_by(path) {
            Some(meant) => failure.hint(format!("did you mean {}?", meant.display())),
            None => failure,
        }
    };
    let data = std::fs::metadata(path).map_err(failed)?;
    if data.is_dir() {
        return Err(Error::command(format!("{shown} is a directory")));
    }
    let file = File::open(path).map_err(failed)?;
    if data.is_file() {
        return Ok(Box::new(file));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Box::new(Cursor::new(bytes)))
}

fn unreadable(name: &str, error: std::io::Error) -> Error {
    Error::command(format!("cannot read {name}: {error}"))
}

/// The first bytes, by which a file is recognised.
fn head(name: &str, source: impl Read) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    source.take(content::HEAD).read_to_end(&mut head).map_err(|error| unreadable(name, error))?;
    Ok(head)
}

/// The format to read it as, and what the user should hear about that.
fn decide(name: &str, path: Option<&Path>, head: &[u8], said: Option<Format>) -> Result<(Format, Vec<String>)> {
    if head.is_empty() {
        return Err(Error::image(format!("{name} is empty")));
    }
    let content = Content::of(head);
    match (content, said) {
        (Content::Image(Format::Bin), Some(Format::Bin)) => Ok((Format::Bin, vec![])),
        (content, Some(Format::Bin)) => {
            Ok((Format::Bin, vec![format!("{name} is {}, taken as raw bytes because of the word `bin`", content.what())]))
        }
        (Content::Other(other), _) => Err(other.refusal(name, path)),
        (Content::Image(found), Some(said)) if said != found => {
            Err(Error::image(format!("{name} is {}, not {} as the word `{}` says", found.what(), said.what(), said.word())))
        }
        (Content::Image(found), _) => Ok((found, vec![])),
    }
}

fn read_from<R: Read + Seek>(name: &str, path: Option<&Path>, mut source: R, address: Option<u32>, said: Option<Format>) -> Result<Image> {
    let (format, warnings) = decide(name, path, &head(name, &mut source)?, said)?;
    source.rewind().map_err(|error| unreadable(name, error))?;
    let mut parts = Parts::new(name, format.row().3, address.unwrap_or(0));
    let mut image = Image { warnings, ..Image::new(name, format, vec![]) };
    match format {
        Format::Elf => elf::read(&mut image, path, source, &mut parts)?,
        Format::Hex => image.entry = hex::read(name, source, &mut parts)?,
        Format::Srec => image.entry = srec::read(name, source, &mut parts)?,
        Format::Uf2 => uf2::read(&mut image, source, &mut parts)?,
        Format::Dfuse => dfuse::read(&mut image, source, &mut parts)?,
        Format::Bin => {
            image.segments = vec![raw(name, source, address)?];
            return Ok(image);
        }
    }
    image.segments = parts.into_segments()?;
    Ok(image)
}

fn raw(name: &str, mut source: impl Read + Seek, address: Option<u32>) -> Result<Segment> {
    let address = address.ok_or_else(|| Error::usage(format!("{name} is a raw binary: it needs an address")))?;
    let size = source.seek(SeekFrom::End(0)).and_then(|size| source.rewind().map(|()| size)).map_err(|error| unreadable(name, error))?;
    check_size(name, size)?;
    let mut data = vec![0; size as usize];
    source.read_exact(&mut data).map_err(|error| unreadable(name, error))?;
    let segment = Segment { address, data };
    match segment.end() <= 1 << 32 {
        true => Ok(segment),
        false => Err(Error::image(format!("{name}: {size:#x} bytes at {address:#010x} pass the end of the address space"))),
    }
}

/// Little-endian; the caller has seen that it is there.
fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn check_size(name: &str, size: u64) -> Result<()> {
    match size <= LARGEST {
        true => Ok(()),
        false => Err(Error::image(format!("{name} has {size} bytes to load, more than the {} MiB that are taken", LARGEST >> 20))),
    }
}

/// The bytes of an image as they come, each run with the line or segment it came from.
struct Parts<'a> {
    name: &'a str,
    /// What `origin` counts, by `Format::TABLE`.
    unit: &'static str,
    /// Added to every address.
    offset: u32,
    data: Vec<u8>,
    rows: Vec<Part>,
}

struct Part {
    address: u32,
    /// Index into `data`.
    start: usize,
    len: usize,
    origin: usize,
}

impl Part {
    fn end(&self) -> u64 {
        u64::from(self.address) + self.len as u64
    }

    /// "line 12 (0x08000000..0x0800000f)"
    fn shown(&self, unit: &str) -> String {
        format!("{unit} {} ({:#010x}..{:#010x})", self.origin, self.address, self.end() - 1)
    }
}

impl<'a> Parts<'a> {
    fn new(name: &'a str, unit: &'static str, offset: u32) -> Parts<'a> {
        Parts { name, unit, offset, data: Vec::new(), rows: Vec::new() }
    }

    fn is_empty(&self) -> bool {
        self.data.is_empty()
    }

    /// Make room for `len` bytes at `address`; the caller fills them.
    fn add(&mut self, address: u32, len: usize, origin: usize) -> Result<&mut [u8]> {
        let start = self.data.len();
        check_size(self.name, (start + len) as u64)?;
        let moved = u64::from(address) + u64::from(self.offset);
        if moved + len as u64 > 1 << 32 {
            let offset = if self.offset == 0 { String::new() } else { format!(" + {:#010x}", self.offset) };
            return Err(Error::image(format!(
                "{}: {} {origin}: {len:#x} bytes at {address:#010x}{offset} pass the end of the address space",
                self.name, self.unit
            )));
        }
        if len > 0 {
            self.rows.push(Part { address: moved as u32, start, len, origin });
        }
        self.data.resize(start + len, 0);
        Ok(&mut self.data[start..])
    }

    /// Sorted, adjacent runs joined. An overlap is an error that names both.
    fn into_segments(mut self) -> Result<Vec<Segment>> {
        self.rows.sort_by_key(|row| (row.address, row.origin));
        for pair in self.rows.windows(2) {
            if pair[0].end() > u64::from(pair[1].address) {
                let (first, second) = if pair[0].origin <= pair[1].origin { (&pair[0], &pair[1]) } else { (&pair[1], &pair[0]) };
                return Err(Error::image(format!("{}: {} overlaps {}", self.name, second.shown(self.unit), first.shown(self.unit))));
            }
        }
        let mut segments: Vec<Segment> = Vec::new();
        for row in &self.rows {
            let bytes = &self.data[row.start..row.start + row.len];
            match segments.last_mut().filter(|segment| segment.end() == u64::from(row.address)) {
                Some(segment) => segment.data.extend_from_slice(bytes),
                None => segments.push(Segment { address: row.address, data: bytes.to_vec() }),
            }
        }
        Ok(segments)
    }
}

/// Call `each` with every line that is not blank and its number, from 1, until it says stop. The number of the last line.
fn each_line(name: &str, source: impl Read, mut each: impl FnMut(usize, &str) -> Result<()>) -> Result<usize> {
    // The longest HEX record has 521 characters, the longest S-record 514.
    const LONGEST: u64 = 1024;
    let mut reader = BufReader::new(source);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        let read = (&mut reader).take(LONGEST).read_until(b'\n', &mut line).map_err(|error| unreadable(name, error))?;
        if read == 0 {
            return Ok(number - 1);
        }
        if read as u64 == LONGEST {
            return Err(bad_line(name, number, "the line is too long for a record"));
        }
        let text = String::from_utf8_lossy(&line);
        match text.trim_start_matches('\u{feff}').trim() {
            "" => {}
            text => each(number, text)?,
        }
    }
    unreachable!("the loop has no end but those above")
}

fn bad_line(name: &str, number: usize, message: impl std::fmt::Display) -> Error {
    Error::image(format!("{name}:{number}: {message}"))
}

/// Every character from `from` on is a hexadecimal digit.
fn hex_digits(name: &str, number: usize, line: &str, from: usize) -> Result<()> {
    match line.char_indices().find(|(index, letter)| *index >= from && !letter.is_ascii_hexdigit()) {
        Some((index, letter)) => {
            Err(bad_line(name, number, format!("`{}` in column {} is no hexadecimal digit", letter.escape_default(), index + 1)))
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
