//! Intel HEX (Intel's specification of 1988): records by crate `ihex`, addresses and order here.

use super::{Parts, RECORD, bad_line, each_line, hex_digits};
use crate::error::{Error, Kind, Result};
use ihex::{ReaderError, Record};
use std::io::Read;

/// The start address, if a record 03 or 05 gives one.
pub fn read(name: &str, source: impl Read, parts: &mut Parts) -> Result<Option<u32>> {
    let (mut entry, mut end) = (None, None);
    // What the address of the next data record is added to, and whether that is a segment (type 02): it has 64 KiB.
    let (mut base, mut segment) = (0, false);
    let last = each_line(name, source, |number, line| {
        if let Some(end) = end {
            return Err(bad_line(name, number, format!("a record after the end-of-file record in line {end}")));
        }
        match record(name, number, line)? {
            Record::Data { offset, value } => {
                if segment && usize::from(offset) + value.len() > 0x1_0000 {
                    return Err(bad_line(name, number, "the record passes the end of its 64 KiB segment"));
                }
                parts.add(base + u32::from(offset), value.len(), number)?.copy_from_slice(&value);
            }
            Record::EndOfFile => end = Some(number),
            Record::ExtendedSegmentAddress(address) => (base, segment) = (u32::from(address) << 4, true),
            Record::ExtendedLinearAddress(high) => (base, segment) = (u32::from(high) << 16, false),
            Record::StartSegmentAddress { cs, ip } => entry = Some((u32::from(cs) << 4) + u32::from(ip)),
            Record::StartLinearAddress(address) => entry = Some(address),
        }
        Ok(())
    })?;
    match end {
        None => Err(Error::image(format!("{name} ends in line {last} without an end-of-file record (:00000001FF): it is truncated"))),
        Some(_) if parts.is_empty() => Err(Error::image(format!("{name} holds no data, only an end-of-file record"))),
        Some(_) => Ok(entry),
    }
}

/// No record passes the end of its 64 KiB, and each 64 KiB begins with its upper half of the address.
pub fn write(address: u32, data: &[u8]) -> Result<Vec<u8>> {
    let (mut records, mut at, mut rest) = (vec![], address, data);
    while !rest.is_empty() {
        let offset = at as u16;
        if at == address || offset == 0 {
            records.push(Record::ExtendedLinearAddress((at >> 16) as u16));
        }
        let (value, more) = rest.split_at(rest.len().min(RECORD).min(0x1_0000 - usize::from(offset)));
        records.push(Record::Data { offset, value: value.to_vec() });
        (at, rest) = (at.wrapping_add(value.len() as u32), more);
    }
    records.push(Record::EndOfFile);
    let text = ihex::create_object_file_representation(&records);
    text.map(String::into_bytes).map_err(|error| Error::new(Kind::Bug, format!("no Intel HEX: {error}")))
}

fn record(name: &str, number: usize, line: &str) -> Result<Record> {
    if !line.starts_with(':') {
        return Err(bad_line(name, number, "a record starts with `:`"));
    }
    hex_digits(name, number, line, 1)?;
    // The crate looks at the checksum first, which says less about a line that was cut.
    let said = line.get(1..3).and_then(|digits| usize::from_str_radix(digits, 16).ok());
    let whole = 11 + 2 * said.unwrap_or(0);
    if line.len() != whole {
        return Err(bad_line(name, number, format!("the record has {} characters, by its length it should have {whole}", line.len())));
    }
    Record::from_record_string(line).map_err(|error| match error {
        // The crate gives the sum it computed first, then the one it read.
        ReaderError::ChecksumMismatch(right, found) => {
            bad_line(name, number, format!("checksum {found:02X} is wrong, {right:02X} is right"))
        }
        ReaderError::UnsupportedRecordType(kind) => bad_line(name, number, format!("unknown record type {kind:02X}")),
        other => bad_line(name, number, other),
    })
}
