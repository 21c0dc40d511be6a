//! What an ELF calls the addresses of a chip: its symbols, and the lines of its sources.

#[cfg(feature = "defmt")]
use super::Defmt;
use super::{Image, Lines, Segment, Symbol};
#[cfg(feature = "defmt")]
use std::io::Read;

/// Assembly of more than 64 KiB behind one label is not written by hand (assumed); RAM behind the last label of flash is none.
const LABEL: u32 = 1 << 16;
/// An ELF of more bytes is not read for its log (assumed).
#[cfg(feature = "defmt")]
const LONGEST: u64 = 64 << 20;

/// Of the image that was programmed or loaded last.
#[derive(Default)]
pub struct Names {
    /// Sorted by address.
    pub symbols: Vec<Symbol>,
    pub lines: Option<Lines>,
    /// As the user gave it.
    pub path: String,
    /// What the chip should hold.
    pub segments: Vec<Segment>,
    /// Places are not told: to programs that read OpenOCD's lines.
    pub hushed: bool,
    /// Where the program keeps the control block of SEGGER's RTT.
    pub rtt: Option<u32>,
    /// Its log, once it was asked for.
    #[cfg(feature = "defmt")]
    defmt: Option<Option<Defmt>>,
}

impl Names {
    pub fn of(image: Image) -> Names {
        let rtt = image.symbols.iter().find(|symbol| symbol.name == "_SEGGER_RTT").map(|symbol| symbol.address);
        Names { lines: Lines::of(&image), symbols: image.symbols, path: image.path, segments: image.segments, rtt, ..Names::default() }
    }

    /// The words of the program's log, if it is one of defmt's. An error comes once.
    #[cfg(feature = "defmt")]
    pub fn defmt(&mut self) -> crate::error::Result<Option<&mut Defmt>> {
        if self.defmt.is_none() {
            self.defmt = Some(None);
            let mut elf = Vec::new();
            let file = self.lines.as_ref().and_then(Lines::open);
            if file.is_some_and(|file| file.take(LONGEST).read_to_end(&mut elf).is_ok()) {
                self.defmt = Some(Defmt::of(&elf)?);
            }
        }
        Ok(self.defmt.as_mut().and_then(Option::as_mut))
    }

    /// The last symbol of a `kind` that `address` lies in, and the place in words: `main+0x12`. One without a size reaches as
    /// far as the next, and no further than `LABEL`.
    pub fn symbol(&self, address: u32, kind: impl Fn(&Symbol) -> bool) -> Option<(&Symbol, String)> {
        let before = self.symbols.partition_point(|symbol| symbol.address <= address);
        let found = self.symbols[..before].iter().rev().find(|symbol| kind(symbol))?;
        match address - found.address {
            0 => Some((found, found.name.clone())),
            offset if offset < found.size || found.size == 0 && offset < LABEL => Some((found, format!("{}+{offset:#x}", found.name))),
            _ => None,
        }
    }

    /// The function that a pc lies in: `main+0x12`.
    pub fn function(&self, pc: u32) -> Option<String> {
        self.symbol(pc, |symbol| symbol.function).map(|(_, name)| name)
    }

    /// Of the function that `address` lies in its name, where it begins, and its bytes in the image.
    pub fn code(&self, address: u32) -> Option<(&str, u32, &[u8])> {
        let (symbol, _) = self.symbol(address, |symbol| symbol.function)?;
        let segment = self.segments.iter().find(|part| part.address <= symbol.address && u64::from(symbol.address) < part.end())?;
        let bytes = &segment.data[(symbol.address - segment.address) as usize..];
        Some((&symbol.name, symbol.address, &bytes[..bytes.len().min(symbol.size as usize)]))
    }

    /// `main.c:42`
    pub fn line(&self, pc: u32) -> Option<String> {
        self.lines.as_ref()?.find(pc)
    }

    /// What is known of a pc, or of an address to go to: `main+0x12 (main.c:42)`, or as much of it as there is.
    pub fn place(&self, pc: u32) -> Option<String> {
        if self.hushed {
            return None;
        }
        let line = self.line(pc & !1).map(|line| format!("({line})"));
        let known: Vec<String> = self.function(pc & !1).into_iter().chain(line).collect();
        (!known.is_empty()).then(|| known.join(" "))
    }

    /// `0x08000122 main+0x12 (main.c:42)`
    pub fn at(&self, pc: u32) -> String {
        let known = self.place(pc).map_or(String::new(), |place| format!(" {place}"));
        format!("{pc:#010x}{known}")
    }
}
