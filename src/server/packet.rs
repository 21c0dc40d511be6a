//! gdb's packets on the wire: framing, checksums, acknowledgements, escapes (gdb's manual, "Remote Protocol: Overview").

use crate::error::{Error, Result};
use std::collections::VecDeque;

/// Bytes of a packet's contents, `PacketSize`.
pub const LONGEST: usize = 0x4000;

#[derive(Debug, PartialEq)]
pub enum Item {
    Packet(Vec<u8>),
    /// Ctrl-C
    Interrupt,
}

/// One client's end of the wire.
#[derive(Default)]
pub struct Wire {
    bytes: VecDeque<u8>,
    /// What came is trusted, and nobody acknowledges.
    pub trusted: bool,
    /// For a client that did not get it.
    last: Vec<u8>,
}

impl Wire {
    pub fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
    }

    /// The next thing that came; `say` sends acknowledgements. `Err`: this is no gdb.
    pub fn next(&mut self, say: &dyn Fn(&[u8])) -> Result<Option<Item>> {
        while let Some(first) = self.bytes.front() {
            match first {
                b'+' => {}
                b'-' => say(&self.last),
                3 => {
                    self.bytes.pop_front();
                    return Ok(Some(Item::Interrupt));
                }
                b'$' => match self.packet(say)? {
                    None => return Ok(None),
                    Some(None) => continue,
                    Some(Some(contents)) => return Ok(Some(Item::Packet(contents))),
                },
                other => return Err(Error::command(format!("{other:#04x} is not of gdb's protocol"))),
            }
            self.bytes.pop_front();
        }
        Ok(None)
    }

    /// `None`: not complete; `Some(None)`: its checksum was wrong.
    fn packet(&mut self, say: &dyn Fn(&[u8])) -> Result<Option<Option<Vec<u8>>>> {
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'#') else {
            // escapes at most double it
            return match self.bytes.len() > 2 * LONGEST + 1 {
                true => Err(Error::command(format!("a packet is longer than {LONGEST} bytes"))),
                false => Ok(None),
            };
        };
        if self.bytes.len() < end + 3 {
            return Ok(None);
        }
        let packet: Vec<u8> = self.bytes.drain(..end + 3).collect();
        let raw = &packet[1..end];
        let good = self.trusted || hex_bytes(&packet[end + 1..]) == Some(vec![checksum(raw)]);
        if !self.trusted {
            say(if good { b"+" } else { b"-" });
        }
        Ok(Some(good.then(|| unescaped(raw))))
    }

    /// A reply, framed.
    pub fn framed(&mut self, contents: &[u8]) -> Vec<u8> {
        let mut raw = Vec::new();
        for byte in contents {
            match byte {
                b'$' | b'#' | b'}' | b'*' => raw.extend([b'}', byte ^ 0x20]),
                byte => raw.push(*byte),
            }
        }
        let sum = checksum(&raw);
        self.last = [b"$", raw.as_slice(), format!("#{sum:02x}").as_bytes()].concat();
        self.last.clone()
    }
}

fn checksum(raw: &[u8]) -> u8 {
    raw.iter().fold(0, |sum: u8, byte| sum.wrapping_add(*byte))
}

fn unescaped(raw: &[u8]) -> Vec<u8> {
    let mut bytes = raw.iter();
    let mut plain = Vec::with_capacity(raw.len());
    while let Some(byte) = bytes.next() {
        match byte {
            b'}' => plain.extend(bytes.next().map(|byte| byte ^ 0x20)),
            byte => plain.push(*byte),
        }
    }
    plain
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub fn hex_bytes(text: &[u8]) -> Option<Vec<u8>> {
    let digit = |byte: &u8| (*byte as char).to_digit(16).map(|digit| digit as u8);
    let pair = |pair: &[u8]| Some(digit(&pair[0])? << 4 | digit(pair.get(1)?)?);
    text.chunks(2).map(pair).collect()
}
