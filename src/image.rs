//! Images: ELF, Intel HEX, S-record and raw binaries, recognised by content and never by name.

use crate::error::Result;
use std::path::Path;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Elf,
    Hex,
    Srec,
    Bin,
}

impl Format {
    /// The word OpenOCD uses: "elf", "ihex", "s19", "bin".
    pub fn from_word(word: &str) -> Option<Format> {
        let _ = word;
        todo!()
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
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    pub name: String,
    pub address: u32,
    pub size: u32,
    pub function: bool,
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
    /// Sorted by address; ELF only.
    pub symbols: Vec<Symbol>,
    /// What the user should hear although the image is taken.
    pub warnings: Vec<String>,
}

impl Image {
    /// `address`: where a BIN goes (required for one), added to the addresses of the other formats.
    /// `format`: what the user said it is; `Bin` takes any file as raw bytes, with a warning.
    pub fn read(path: &Path, address: Option<u32>, format: Option<Format>) -> Result<Image> {
        let _ = (path, address, format);
        todo!()
    }

    /// Like `read`, from bytes already in memory.
    pub fn parse(name: &str, bytes: &[u8], address: Option<u32>, format: Option<Format>) -> Result<Image> {
        let _ = (name, bytes, address, format);
        todo!()
    }

    /// Bytes in all segments.
    pub fn len(&self) -> u64 {
        self.segments.iter().map(|segment| segment.data.len() as u64).sum()
    }

    pub fn is_empty(&self) -> bool {
        self.segments.is_empty()
    }
}
