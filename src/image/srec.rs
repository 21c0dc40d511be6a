//! Motorola S-records, S0 to S9.

use super::{Parts, RECORD, bad_line, each_line, hex_digits};
use crate::error::{Error, Result};
use std::io::Read;

/// What a record does, and how many bytes its address has.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Header,
    Data,
    Count,
    Start,
}

/// By the digit after the S; S4 is reserved.
const KINDS: &[(u8, Kind, usize)] = &[
    (b'0', Kind::Header, 2),
    (b'1', Kind::Data, 2),
    (b'2', Kind::Data, 3),
    (b'3', Kind::Data, 4),
    (b'5', Kind::Count, 2),
    (b'6', Kind::Count, 3),
    (b'7', Kind::Start, 4),
    (b'8', Kind::Start, 3),
    (b'9', Kind::Start, 2),
];

struct Record {
    kind: Kind,
    address: u32,
    data: Vec<u8>,
}

/// The start address; 0 counts as none, which is what tools write that know none.
pub fn read(name: &str, source: impl Read, parts: &mut Parts) -> Result<Option<u32>> {
    let (mut end, mut entry, mut count) = (None, 0, 0u32);
    let last = each_line(name, source, |number, line| {
        if let Some(end) = end {
            return Err(bad_line(name, number, format!("a record after the end record in line {end}")));
        }
        if !line.starts_with('S') {
            return Err(bad_line(name, number, "a record starts with `S` and its type"));
        }
        hex_digits(name, number, line, 1)?;
        let record = record(line).map_err(|message| bad_line(name, number, message))?;
        match record.kind {
            Kind::Header => {}
            Kind::Data => {
                parts.add(record.address, record.data.len(), number)?.copy_from_slice(&record.data);
                count += 1;
            }
            Kind::Count if record.address != count => {
                return Err(bad_line(name, number, format!("{count} data records come before it, it counts {}", record.address)));
            }
            Kind::Count => {}
            Kind::Start => (end, entry) = (Some(number), record.address),
        }
        Ok(())
    })?;
    match end {
        None => Err(Error::image(format!("{name} ends in line {last} without an end record (S7, S8 or S9): it is truncated"))),
        Some(_) if parts.is_empty() => Err(Error::image(format!("{name} holds no data"))),
        Some(_) => Ok(Some(entry).filter(|entry| *entry != 0)),
    }
}

/// S0, S3 with 32-bit addresses, S7 without a start address.
pub fn write(address: u32, data: &[u8]) -> Result<Vec<u8>> {
    let rows = data.chunks(RECORD).enumerate().map(|(nth, chunk)| line(b'3', &(address + (nth * RECORD) as u32).to_be_bytes(), chunk));
    let lines = std::iter::once(line(b'0', &[0, 0], b"rocd")).chain(rows).chain([line(b'7', &[0; 4], &[])]);
    Ok(lines.collect::<String>().into_bytes())
}

fn line(digit: u8, address: &[u8], data: &[u8]) -> String {
    let body = [&[(address.len() + data.len() + 1) as u8], address, data].concat();
    let sum = !body.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    let digits: String = body.iter().chain([&sum]).map(|byte| format!("{byte:02X}")).collect();
    format!("S{}{digits}\n", digit as char)
}

/// `S`, type, byte count, address, data, checksum: the ones' complement of the sum of all bytes before it.
fn record(line: &str) -> std::result::Result<Record, String> {
    let digits = line.as_bytes();
    let digit = *digits.get(1).ok_or("the record is cut short")?;
    let row = KINDS.iter().find(|row| row.0 == digit);
    let (_, kind, width) = *row.ok_or_else(|| format!("unknown record type S{}", digit.escape_ascii()))?;
    let bytes: Vec<u8> = digits[2..].chunks(2).map_while(byte).collect();
    let (count, rest) = bytes.split_first().ok_or("the record is cut short")?;
    if usize::from(*count) != rest.len() || !digits.len().is_multiple_of(2) || rest.len() <= width {
        return Err(format!("the record has {} bytes, it says {count}", rest.len()));
    }
    let (found, body) = rest.split_last().ok_or("the record is cut short")?;
    let right = !body.iter().fold(*count, |sum, byte| sum.wrapping_add(*byte));
    if *found != right {
        return Err(format!("checksum {found:02X} is wrong, {right:02X} is right"));
    }
    let address = body[..width].iter().fold(0, |address, byte| address << 8 | u32::from(*byte));
    Ok(Record { kind, address, data: body[width..].to_vec() })
}

fn byte(pair: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(pair).ok().filter(|text| text.len() == 2)?;
    u8::from_str_radix(text, 16).ok()
}
