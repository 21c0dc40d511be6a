//! CoreSight identification: the last page words of every debug component, and ROM tables (ADIv5.2 part D).
//!
//! A component that the board does not model keeps what is written to it, so that tools can read back what they set.

use std::collections::BTreeMap;

/// JEP106 (continuation, identity).
pub const ARM: (u8, u8) = (4, 0x3B);
pub const ST: (u8, u8) = (0, 0x20);

#[derive(Clone, Copy, Debug)]
pub struct Component {
    pub base: u32,
    pub designer: (u8, u8),
    pub part: u16,
    pub rev: u8,
    /// 1 ROM table, 9 CoreSight, 0xE generic IP, 0xF PrimeCell.
    pub class: u8,
    pub devtype: u8,
    pub devarch: u32,
    pub devid: u32,
    /// A ROM table's components, by address.
    pub entries: &'static [u32],
}

/// A generic IP component without registers of its own in the last page.
pub const fn unit(base: u32, designer: (u8, u8), part: u16, rev: u8, class: u8) -> Component {
    Component { base, designer, part, rev, class, devtype: 0, devarch: 0, devid: 0, entries: &[] }
}

pub const fn rom_table(base: u32, designer: (u8, u8), part: u16, entries: &'static [u32]) -> Component {
    Component { entries, ..unit(base, designer, part, 0, 1) }
}

impl Component {
    /// The identification words, offsets 0xF00 up, and a ROM table's entries.
    fn id_word(&self, offset: u32) -> Option<u32> {
        let (part, (bank, id)) = (self.part as u32, (self.designer.0 as u32, self.designer.1 as u32));
        Some(match offset {
            0xFBC => self.devarch,
            0xFC8 => self.devid,
            0xFCC => self.devtype as u32 | (self.class == 1) as u32,
            0xFD0 => bank,
            0xFE0 => part & 0xFF,
            0xFE4 => part >> 8 | (id & 0xF) << 4,
            0xFE8 => id >> 4 | 8 | (self.rev as u32) << 4,
            0xFF0 => 0x0D,
            0xFF4 => (self.class as u32) << 4,
            0xFF8 => 0x05,
            0xFFC => 0xB1,
            0xF00..0x1000 => 0,
            _ if self.class == 1 => self.entry(offset),
            _ => return None,
        })
    }

    fn entry(&self, offset: u32) -> u32 {
        self.entries.get(offset as usize / 4).map_or(0, |target| target.wrapping_sub(self.base) | 3)
    }
}

/// A set of components and what was written to them.
pub struct Components {
    rows: &'static [Component],
    written: BTreeMap<u32, u32>,
}

impl Components {
    pub fn new(rows: &'static [Component]) -> Components {
        Components { rows, written: BTreeMap::new() }
    }

    fn find(&self, address: u32) -> Option<&'static Component> {
        self.rows.iter().find(|row| row.base == address & !0xFFF)
    }

    pub fn peek(&self, address: u32) -> Option<u32> {
        let row = self.find(address)?;
        Some(row.id_word(address & 0xFFC).unwrap_or_else(|| self.written.get(&(address & !3)).copied().unwrap_or(0)))
    }

    /// False where no component is.
    pub fn write(&mut self, address: u32, value: u32) -> bool {
        let Some(row) = self.find(address) else { return false };
        if row.id_word(address & 0xFFC).is_none() {
            self.written.insert(address & !3, value);
        }
        true
    }

    pub fn power_on(&mut self) {
        self.written.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROWS: &[Component] = &[rom_table(0xE00F_E000, ST, 0x450, &[0xE00F_F000, 0xE004_1000])];

    #[test]
    fn a_rom_table_says_who_made_it_and_where_its_parts_are() {
        let mut table = Components::new(ROWS);
        let word = |offset: u32| table.peek(0xE00F_E000 + offset).unwrap();
        let pidr = word(0xFE0) | word(0xFE4) << 8 | word(0xFE8) << 16;
        assert_eq!(pidr, 0x000A_0450);
        let cidr = word(0xFF0) | word(0xFF4) << 8 | word(0xFF8) << 16 | word(0xFFC) << 24;
        assert_eq!(cidr, 0xB105_100D);
        assert_eq!([word(0), word(4), word(8)], [0x0000_1003, 0xFFF4_3003, 0]);
        assert!(table.write(0xE00F_E000, 0) && table.peek(0xE00F_E000) == Some(0x0000_1003), "read-only");
        assert_eq!(table.peek(0xE00F_D000), None);
    }
}
