//! DfuSe (ST UM0391, "DfuSe File Format Specification"): targets by alternate setting, each with elements at addresses.

use super::{Image, LARGEST, Parts, unreadable, word};
use crate::error::{Error, Result};
use crc::{CRC_32_JAMCRC, Crc};
use std::io::Read;

const PREFIX: usize = 11;
const TARGET: usize = 274;
const SUFFIX: usize = 16;

/// What ST's bootloader answers as (AN2606), and what stands for any device (USB DFU 1.1, appendix B).
const DEVICES: &[(u16, u16)] = &[(0x0483, 0xDF11), (0xFFFF, 0xFFFF)];

/// The rest of what is to be read, with the file's name for messages.
struct Rest<'a> {
    name: &'a str,
    bytes: &'a [u8],
}

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize, what: impl std::fmt::Display) -> Result<&'a [u8]> {
        let (taken, rest) = self
            .bytes
            .split_at_checked(len)
            .ok_or_else(|| damaged(self.name, format!("{what} needs {len} bytes, {} are left", self.bytes.len())))?;
        self.bytes = rest;
        Ok(taken)
    }

    fn ended(&self, what: &str) -> Result<()> {
        match self.bytes.len() {
            0 => Ok(()),
            left => Err(damaged(self.name, format!("{left} bytes follow {what}"))),
        }
    }
}

fn damaged(name: &str, what: impl std::fmt::Display) -> Error {
    Error::image(format!("{name} is a damaged DfuSe file: {what}"))
}

pub fn read(image: &mut Image, source: impl Read, parts: &mut Parts) -> Result<()> {
    let (name, mut bytes) = (image.path.clone(), Vec::new());
    source.take(2 * LARGEST).read_to_end(&mut bytes).map_err(|error| unreadable(&name, error))?;
    let body = checked(image, &bytes)?;
    let mut rest = Rest { name: &name, bytes: body };
    let targets = rest.take(PREFIX, "its prefix")?[10];
    for number in 0..targets {
        target(image, &mut rest, number, parts)?;
    }
    rest.ended("its last target")?;
    if parts.is_empty() {
        return Err(Error::image(format!("{name} holds no data for the internal flash (alternate setting 0)")));
    }
    Ok(())
}

/// All but the suffix, once CRC and length are seen to be right.
fn checked<'a>(image: &mut Image, bytes: &'a [u8]) -> Result<&'a [u8]> {
    let name = &image.path;
    let (body, suffix) = bytes
        .len()
        .checked_sub(SUFFIX)
        .filter(|len| *len >= PREFIX)
        .map(|len| bytes.split_at(len))
        .ok_or_else(|| damaged(name, format!("it has {} bytes, a prefix and a suffix have {}", bytes.len(), PREFIX + SUFFIX)))?;
    if suffix[8..12] != *b"UFD\x10" {
        return Err(damaged(name, "it does not end with a DFU suffix, so it is truncated or has something behind it"));
    }
    let (said, found) = (word(suffix, 12), Crc::<u32>::new(&CRC_32_JAMCRC).checksum(&bytes[..bytes.len() - 4]));
    if said != found {
        return Err(damaged(name, format!("its suffix has the CRC {said:#010x}, its bytes give {found:#010x}")));
    }
    if body[5] != 1 {
        return Err(damaged(name, format!("its version is {}, known is 1", body[5])));
    }
    if word(body, 6) as usize != body.len() {
        return Err(damaged(name, format!("its prefix says {} bytes, there are {}", word(body, 6), body.len())));
    }
    let half = |at: usize| u16::from_le_bytes([suffix[at], suffix[at + 1]]);
    let device = (half(4), half(2));
    if !DEVICES.contains(&device) {
        let warning = format!("{name} is for the USB device {:04x}:{:04x}, not for ST's bootloader 0483:df11", device.0, device.1);
        image.warnings.push(warning);
    }
    Ok(body)
}

fn target(image: &mut Image, rest: &mut Rest, number: u8, parts: &mut Parts) -> Result<()> {
    let head = rest.take(TARGET, format_args!("the head of target {number}"))?;
    if !head.starts_with(b"Target") {
        return Err(damaged(rest.name, format!("target {number} does not begin with the word `Target`")));
    }
    let (setting, named) = (head[6], word(head, 7) != 0);
    let label = head[11..266].split(|byte| *byte == 0).next().filter(|_| named).unwrap_or_default();
    let bytes = rest.take(word(head, 266) as usize, format_args!("target {number}"))?;
    if setting != 0 {
        let label = String::from_utf8_lossy(label);
        image.warnings.push(format!(
            "{}: target {number} `{}` (alternate setting {setting}, {} bytes) is left out: setting 0 is the internal flash",
            rest.name,
            label.trim(),
            bytes.len()
        ));
        return Ok(());
    }
    let mut inside = Rest { name: rest.name, bytes };
    for element in 0..word(head, 270) {
        let place = inside.take(8, format_args!("element {element} of target {number}"))?;
        let data = inside.take(word(place, 4) as usize, format_args!("element {element} of target {number}"))?;
        parts.add(word(place, 0), data.len(), element as usize)?.copy_from_slice(data);
    }
    inside.ended(&format!("the last element of target {number}"))
}
