//! The sectors of all banks as a picture: a sign for each, in place of two thousand words.

use std::fmt;

/// Sectors in a row.
const ROW: usize = 64;

/// What a sector is, the sign that draws it, and the words that explain the sign.
const SIGNS: &[(&str, char, &str)] = &[
    ("blank", '.', "blank"),
    ("used", '#', "used"),
    ("untouched", '-', "kept as it is"),
    ("skip", '=', "holds the image already"),
    ("write", 'w', "blank, to be written"),
    ("erase and write", 'W', "to be erased and written"),
    ("keep", 'K', "to be erased and written, with bytes that are kept"),
    (SectorMap::ERASED, 'e', "erased"),
    (SectorMap::WRITTEN, '+', "written"),
    (PROTECTED, 'P', "write protected"),
];

const PROTECTED: &str = "protected";

/// A bank's name, address and bytes of a sector; for each sector what it is, and whether it is protected.
#[derive(Clone, Debug, PartialEq)]
pub struct BankMap {
    pub name: String,
    pub address: u32,
    pub sector: u32,
    pub kinds: Vec<&'static str>,
    pub protected: Vec<bool>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct SectorMap(pub Vec<BankMap>);

impl SectorMap {
    pub const ERASED: &str = "erased";
    pub const WRITTEN: &str = "written";

    /// The sector at this address is something else now.
    pub fn set(&mut self, address: u32, kind: &'static str) {
        for bank in &mut self.0 {
            let sector = address.wrapping_sub(bank.address) / bank.sector;
            if let Some(there) = bank.kinds.get_mut(sector as usize) {
                *there = kind;
            }
        }
    }
}

impl BankMap {
    /// Rows of `SIGNS`.
    fn signs(&self) -> Vec<&'static (&'static str, char, &'static str)> {
        let shown = |(kind, protected): (&&'static str, &bool)| if *protected { PROTECTED } else { *kind };
        self.kinds.iter().zip(&self.protected).map(shown).filter_map(|kind| SIGNS.iter().find(|row| row.0 == kind)).collect()
    }
}

/// Rows of signs, and what the signs that are there mean.
impl fmt::Display for SectorMap {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut drawn = Vec::new();
        for bank in &self.0 {
            let signs = bank.signs();
            let kib = bank.sector / 1024;
            writeln!(f, "{} at {:#010x}, {} sectors of {kib} KiB", bank.name, bank.address, signs.len())?;
            for (row, nth) in signs.chunks(ROW).zip(0..) {
                let at = bank.address + nth * ROW as u32 * bank.sector;
                writeln!(f, "  {at:#010x} {}", row.iter().map(|row| row.1).collect::<String>())?;
            }
            drawn.extend(signs);
        }
        let legend = SIGNS.iter().filter(|row| drawn.contains(row)).map(|(_, sign, words)| format!("{sign} {words}"));
        write!(f, "{}", legend.collect::<Vec<_>>().join(", "))
    }
}
