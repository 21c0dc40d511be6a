//! defmt: a log whose program sends numbers and whose ELF has the words, by crate defmt-decoder.
//!
//! The crate believes a frame what it says of its lengths, and takes as much memory. So each is walked through before.

use crate::error::{Error, Result};
use defmt_decoder::{DecodeError, Encoding, Frame, Locations, Table};
use defmt_parser::{DisplayHint, Fragment, ParserMode, Type};
use object::LittleEndian as LE;
use object::elf::FileHeader32;
use object::read::elf::ElfFile;
use object::{Object, ObjectSymbol};
use serde::Deserialize;
use std::collections::BTreeMap;

/// A frame without an end is none; nor is one of more elements, or of values in values in values.
const LONGEST: usize = 16 << 10;
const DEEPEST: usize = 32;
/// The last ms of the year 9999: no frame is of later.
const LAST_MS: u64 = 253_402_300_799_999;

pub struct Defmt {
    table: Table,
    places: Locations,
    strings: Strings,
    /// Of a frame that is not complete.
    rest: Vec<u8>,
}

/// The crate's table keeps its texts to itself.
#[derive(Default)]
struct Strings {
    timestamp: Option<String>,
    by_index: BTreeMap<u16, String>,
}

/// What the name of a symbol says, in JSON (defmt book, "Interning").
#[derive(Deserialize)]
struct Known {
    tag: String,
    data: String,
}

impl Defmt {
    /// `None`: this ELF's program has no such log. Kind image: of a version that the crate does not know.
    pub fn of(elf: &[u8]) -> Result<Option<Defmt>> {
        let table = Table::parse(elf).map_err(|error| Error::image(format!("its defmt log cannot be read: {error}")))?;
        let places = |table: &Table| table.get_locations(elf).unwrap_or_default();
        Ok(table.map(|table| Defmt { places: places(&table), table, strings: Strings::of(elf), rest: Vec::new() }))
    }

    /// What follows is no continuation.
    pub fn begin(&mut self) {
        self.rest.clear();
    }

    /// A line for each frame that is complete with these bytes, and how many bytes were none and were skipped.
    pub fn decode(&mut self, bytes: &[u8]) -> (String, usize) {
        self.rest.extend(bytes);
        let (mut text, mut skipped) = (String::new(), 0);
        if self.table.encoding() == Encoding::Rzcobs {
            // A 0 ends each frame, whatever is in it.
            while let Some(end) = self.rest.iter().position(|byte| *byte == 0) {
                let frame: Vec<u8> = self.rest.drain(..=end).collect();
                match unpacked(&frame[..end]).filter(|_| end < LONGEST).map(|frame| self.line(&frame)) {
                    Some(Ok((line, _))) => text += &line,
                    _ if end == 0 => {}
                    _ => skipped += frame.len(),
                }
            }
        }
        while self.table.encoding() == Encoding::Raw && !self.rest.is_empty() {
            let used = match self.line(&self.rest) {
                Ok((line, used)) => {
                    text += &line;
                    used
                }
                Err(DecodeError::UnexpectedEof) if self.rest.len() < LONGEST => break,
                // Where the next one begins nobody knows: it is looked for.
                Err(_) => {
                    skipped += 1;
                    1
                }
            };
            self.rest.drain(..used);
        }
        if self.rest.len() > LONGEST {
            skipped += std::mem::take(&mut self.rest).len();
        }
        (text, skipped)
    }

    /// Time, level and text as the crate has them, and where it was said; and the frame's bytes.
    fn line(&self, bytes: &[u8]) -> Walked<(String, usize)> {
        let mut walk = Walk { strings: &self.strings, bytes, left: LONGEST };
        walk.frame()?;
        let (frame, used) = self.table.decode(bytes)?;
        debug_assert_eq!(used, bytes.len() - walk.bytes.len());
        Ok((self.shown(&frame), used))
    }

    fn shown(&self, frame: &Frame) -> String {
        let place = self.places.get(&frame.index()).and_then(|place| Some((place.file.file_name()?.to_string_lossy(), place.line)));
        let place = place.map_or(String::new(), |(file, line)| format!(" ({file}:{line})"));
        format!("{}{place}\n", frame.display(false))
    }
}

/// Reverse zero-compressing COBS (github.com/Dirbaio/rzcobs), without the 0 at its end. `None`: it is none.
fn unpacked(frame: &[u8]) -> Option<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::new(), frame.iter().rev().copied());
    while let Some(code) = rest.next() {
        // From the last byte on: seven, a bit for each that is 0; or a 0 and a run; or a run of 134.
        if (0x80..0xFF).contains(&code) {
            bytes.push(0);
        }
        let run = code.saturating_sub(0x80) + 7;
        for nth in (0..run).rev() {
            bytes.push(if code < 0x80 && code >> nth & 1 == 1 { 0 } else { rest.next()? });
        }
    }
    bytes.reverse();
    Some(bytes)
}

impl Strings {
    fn of(elf: &[u8]) -> Strings {
        let mut strings = Strings::default();
        let file = ElfFile::<FileHeader32<LE>>::parse(elf).ok();
        for symbol in file.iter().flat_map(|file| file.symbols()) {
            let known = symbol.name().ok().filter(|name| name.starts_with('{')).and_then(|name| serde_json::from_str::<Known>(name).ok());
            match known {
                Some(known) if known.tag == "defmt_timestamp" => strings.timestamp = Some(known.data),
                Some(known) if known.tag.starts_with("defmt_") && known.tag != "defmt_bitflags_value" => {
                    strings.by_index.extend(u16::try_from(symbol.address()).ok().map(|index| (index, known.data)));
                }
                _ => {}
            }
        }
        strings
    }
}

/// The way of crate defmt-decoder through a frame, but for what it keeps of it.
struct Walk<'a> {
    strings: &'a Strings,
    bytes: &'a [u8],
    /// So many elements of arrays and slices are still taken.
    left: usize,
}

type Walked<T = ()> = std::result::Result<T, DecodeError>;

impl<'a> Walk<'a> {
    fn frame(&mut self) -> Walked {
        let index = self.number(2)? as u16;
        if let Some(timestamp) = &self.strings.timestamp {
            self.values(timestamp, None, DEEPEST)?;
        }
        let format = self.strings.by_index.get(&index).ok_or(DecodeError::Malformed)?;
        self.values(format, None, DEEPEST)
    }

    fn number(&mut self, bytes: usize) -> Walked<u64> {
        let (head, rest) = self.bytes.split_at_checked(bytes).ok_or(DecodeError::UnexpectedEof)?;
        self.bytes = rest;
        Ok(head.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
    }

    fn format(&mut self) -> Walked<&'a str> {
        let index = self.number(2)? as u16;
        self.strings.by_index.get(&index).map(String::as_str).ok_or(DecodeError::Malformed)
    }

    /// A value of a format that may be one of several: `A|B({=u8})`.
    fn value(&mut self, format: &str, hint: Option<&DisplayHint>, depth: usize) -> Walked {
        let format = match format.matches('|').count() {
            0 => format,
            others => {
                let chosen = self.number(if others <= 0xFF { 1 } else { 2 })?;
                format.split('|').nth(chosen as usize).ok_or(DecodeError::Malformed)?
            }
        };
        self.left = self.left.checked_sub(1).ok_or(DecodeError::Malformed)?;
        self.values(format, hint, deeper(depth)?)
    }

    fn values(&mut self, format: &str, around: Option<&DisplayHint>, depth: usize) -> Walked {
        let fragments = defmt_parser::parse(format, ParserMode::ForwardsCompatible).map_err(|_| DecodeError::Malformed)?;
        // One for each number, in their order; of the parts of a bit field all that they cover.
        let mut values = BTreeMap::new();
        for fragment in fragments {
            let Fragment::Parameter(found) = fragment else { continue };
            let (kind, _) = values.entry(found.index).or_insert_with(|| (found.ty.clone(), found.hint));
            if let (Type::BitField(all), Type::BitField(part)) = (kind, found.ty) {
                *all = all.start.min(part.start)..all.end.max(part.end);
            }
        }
        for (kind, hint) in values.values() {
            let hint = hint.as_ref().or(around);
            let width = match kind {
                Type::Bool | Type::I8 | Type::U8 => 1,
                Type::I16 | Type::U16 | Type::IStr => 2,
                Type::Char | Type::F32 | Type::I32 | Type::U32 | Type::Isize | Type::Usize => 4,
                Type::F64 | Type::I64 | Type::U64 => 8,
                Type::I128 | Type::U128 => 16,
                Type::BitField(bits) => usize::from((bits.end - 1) / 8 - bits.start / 8 + 1).next_power_of_two(),
                Type::Debug | Type::Display => self.bytes.iter().position(|byte| *byte == 0xFF).ok_or(DecodeError::UnexpectedEof)? + 1,
                Type::Str | Type::U8Slice => self.number(4)? as usize,
                Type::U8Array(bytes) => *bytes,
                Type::Format | Type::FormatSequence | Type::FormatSlice | Type::FormatArray(_) => 0,
            };
            let number = self.number(width)?;
            match (kind, hint) {
                // Two that the crate cannot show: it panics.
                (Type::Isize, Some(DisplayHint::Hexadecimal { .. })) => return Err(DecodeError::Malformed),
                (Type::U64 | Type::U128, Some(DisplayHint::ISO8601(_))) if number > LAST_MS => return Err(DecodeError::Malformed),
                (Type::Format, _) => {
                    let format = self.format()?;
                    self.value(format, hint, depth)?;
                }
                (Type::FormatSequence, _) => {
                    while self.bytes.get(..2).ok_or(DecodeError::UnexpectedEof)? != [0, 0] {
                        let format = self.format()?;
                        self.values(format, hint, deeper(depth)?)?;
                    }
                    self.number(2)?;
                }
                (Type::FormatSlice | Type::FormatArray(_), _) => {
                    let count = if let Type::FormatArray(count) = kind { *count } else { self.number(4)? as usize };
                    let format = self.format()?;
                    if count > self.left {
                        return Err(DecodeError::Malformed);
                    }
                    (0..count).try_for_each(|_| self.value(format, hint, depth))?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn deeper(depth: usize) -> Walked<usize> {
    depth.checked_sub(1).ok_or(DecodeError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a program with these texts, each at its place in the list.
    fn program(encoding: &str, timestamp: Option<&str>) -> Defmt {
        let entry = |tag: &str, text: &str| serde_json::json!({ "string": { "tag": tag, "string": text }, "raw_symbol": "" });
        let entries: serde_json::Map<_, _> = TEXTS.iter().enumerate().map(|(n, (tag, text))| (n.to_string(), entry(tag, text))).collect();
        let at = timestamp.map(|text| entry("Timestamp", text));
        let table = serde_json::json!({ "timestamp": at, "entries": entries, "bitflags": {}, "encoding": encoding });
        let by_index = (0..).zip(TEXTS).map(|(n, (_, text))| (n, text.to_string())).collect();
        let strings = Strings { timestamp: timestamp.map(str::to_string), by_index };
        Defmt { table: serde_json::from_str(&table.to_string()).unwrap(), places: Locations::new(), strings, rest: vec![] }
    }

    const TEXTS: &[(&str, &str)] = &[
        ("Info", "{=[?]}"),
        ("Prim", "{=u8}"),
        ("Prim", ""),
        ("Derived", "{=?}"),
        ("Info", "{=[?;3]} {=[u8;2]}"),
        ("Info", "{=[?;99999999999]}"),
        ("Derived", "A|B({=u16})|C"),
        ("Info", "{0=0..3} {1=str} {0=9..11} {2=[u8]:a} {3=bool} {4=char} {5=i128} {6=f32}"),
        ("Info", "{=__internal_Debug} {=istr} {=?} {=__internal_FormatSequence}"),
        ("Prim", "{=[?]}"),
        ("Info", "{=[u8;99999999999]}"),
        ("Info", "{:x} {=u64:iso8601s}"),
        ("Prim", "{=isize}"),
    ];

    fn frame(index: u8, parts: &[&[u8]]) -> Vec<u8> {
        [&[index, 0][..], &parts.concat()].concat()
    }

    #[test]
    fn frames_are_read_as_they_are_written() {
        let mut log = program("Raw", Some("{=u16:ms}"));
        let all: [&[u8]; 8] = [&[1, 0, 0xFF, 0xFF, 2, 0, 0, 0], b"ab", &[1, 0, 0, 0], b"c", &[1], &[0x41, 0, 0, 0], &[0xFF; 16], &[0; 4]];
        for (bytes, line) in [
            (frame(0, &[&[1, 0, 2, 0, 0, 0, 1, 0, 7, 8]]), "0.001 INFO [7, 8]"),
            (frame(0, &[&[1, 0, 3, 0, 0, 0, 6, 0, 0, 1, 5, 0, 2]]), "0.001 INFO [A, B(5), C]"),
            (frame(0, &[&[1, 0, 3, 0, 0, 0, 2, 0]]), "0.001 INFO [, , ]"),
            (frame(4, &[&[1, 0, 1, 0, 1, 2, 3, 4, 5]]), "0.001 INFO [1, 2, 3] [4, 5]"),
            (frame(7, &all), "0.001 INFO 7 ab 3 b\"c\" true A -1 0.0"),
            (frame(8, &[&[1, 0], b"dbg", &[0xFF, 1, 0, 1, 0, 9, 1, 0, 8, 0, 0]]), "0.001 INFO dbg {=u8} 9 8"),
        ] {
            for cut in 0..bytes.len() {
                log.begin();
                assert_eq!(log.decode(&bytes[..cut]), (String::new(), 0), "{line}: {cut} bytes");
                assert_eq!(log.decode(&bytes[cut..]), (format!("{line}\n"), 0), "{line}: cut behind {cut} bytes");
            }
        }
    }

    /// None of them takes memory or time by what it says of itself, and what comes behind is read.
    #[test]
    fn damaged_frames_are_skipped() {
        for damaged in [
            frame(0, &[&[0xFF; 4], &[1, 0, 7]]),
            frame(0, &[&[0xFF; 4], &[2, 0]]),
            frame(0, &[&[0xFF, 0xFF, 0, 0, 2, 0]]),
            frame(0, &[&[2, 0, 0, 0, 9, 0], &[0, 0x30, 0, 0, 2, 0].repeat(2)]),
            frame(0, &[&[1, 0, 0, 0], &[9, 0, 1, 0, 0, 0].repeat(100), &[2, 0]]),
            frame(5, &[&[2, 0]]),
            frame(8, &[&[0xFF, 1, 0], &[3, 0].repeat(1000), &[2, 0, 0, 0]]),
            frame(11, &[&[12, 0], &[1; 12]]),
            frame(11, &[&[1, 0, 1], &[0xFF; 8]]),
            frame(99, &[]),
        ] {
            let mut log = program("Rzcobs", None);
            let good = packed(&frame(0, &[&[1, 0, 0, 0, 1, 0, 7]]));
            let bad = packed(&damaged);
            let (text, skipped) = log.decode(&[bad.clone(), good].concat());
            assert_eq!((text.as_str(), skipped), ("INFO [7]\n", bad.len()), "{:x?}", &damaged[..damaged.len().min(16)]);
            program("Raw", None).decode(&[damaged, vec![0xFE; 99]].concat());
        }
        // What never ends waits for more, and is given up.
        for index in [7, 10] {
            let mut log = program("Raw", None);
            let skipped: usize = (0..20).map(|_| log.decode(&frame(index, &[&[0xFE; 1022]])).1).sum();
            assert!(skipped >= 20 * 1024 - LONGEST, "{skipped}");
        }
    }

    /// As a program does it: in sevens a bit for each that is 0; without a 0 among them a run, up to the next one.
    fn packed(frame: &[u8]) -> Vec<u8> {
        let (mut bytes, mut run, mut zeros) = (Vec::new(), 0, 0u8);
        for byte in frame {
            match (*byte, run) {
                (0, 7..) => bytes.push((run - 7) | 0x80),
                (0, _) => zeros |= 1 << run,
                (byte, _) => bytes.push(byte),
            }
            run = if *byte == 0 && run >= 7 { 0 } else { run + 1 };
            if run == 7 && zeros != 0 {
                bytes.push(zeros);
            }
            if run == 134 {
                bytes.push(0xFF);
            }
            if run == 7 && zeros != 0 || run == 134 {
                (run, zeros) = (0, 0);
            }
        }
        match run {
            0 => {}
            1..=6 => bytes.push((zeros | 0xFF << run) & 0x7F),
            _ => bytes.push((run - 7) | 0x80),
        }
        bytes.push(0);
        bytes
    }
}
