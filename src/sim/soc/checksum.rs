//! The CRC calculation unit (RM0444 ch. 14, RM0433 ch. 22): words; bytes and half words are taken for words (simplified). A
//! word takes 4 clocks of the bus and one may wait, so a core that stores as fast as it can does not notice.

use super::super::periph::{Reg, reg};

const DR: u32 = 0x00;
const IDR: u32 = 0x04;
const CR: u32 = 0x08;
const INIT: u32 = 0x10;
const POL: u32 = 0x14;

/// Values are this unit's; the register file only knows where they are.
pub const REGS: &[Reg] = &[
    reg(0x00, "DR", u32::MAX, 0),
    reg(0x04, "IDR", 0, 0),
    reg(0x08, "CR", 0, 0),
    reg(0x10, "INIT", u32::MAX, 0),
    reg(0x14, "POL", 0x04C1_1DB7, 0),
];

pub struct Checksum {
    sum: u32,
    idr: u32,
    cr: u32,
    init: u32,
    pol: u32,
}

impl Default for Checksum {
    fn default() -> Checksum {
        Checksum { sum: u32::MAX, idr: 0, cr: 0, init: u32::MAX, pol: 0x04C1_1DB7 }
    }
}

impl Checksum {
    pub fn read(&self, offset: u32) -> u32 {
        match offset {
            DR if self.cr & 1 << 7 != 0 => self.sum.reverse_bits() >> (32 - self.width()),
            DR => self.sum,
            IDR => self.idr,
            CR => self.cr,
            INIT => self.init,
            POL => self.pol,
            _ => 0,
        }
    }

    pub fn wrote(&mut self, offset: u32, value: u32) {
        match offset {
            DR => self.add(value),
            IDR => self.idr = value,
            CR => {
                self.cr = value & 0xF8;
                if value & 1 != 0 {
                    self.sum = self.init & self.mask();
                }
            }
            INIT => self.init = value,
            POL => self.pol = value,
            _ => {}
        }
    }

    /// POLYSIZE
    fn width(&self) -> u32 {
        [32, 16, 8, 7][(self.cr >> 3 & 3) as usize]
    }

    fn mask(&self) -> u32 {
        u32::MAX >> (32 - self.width())
    }

    fn add(&mut self, word: u32) {
        let word = match self.cr >> 5 & 3 {
            0 => word,
            1 => word.swap_bytes().reverse_bits(),
            2 => word.rotate_left(16).reverse_bits(),
            _ => word.reverse_bits(),
        };
        for bit in (0..32).rev() {
            let out = ((self.sum >> (self.width() - 1)) ^ (word >> bit)) & 1;
            self.sum = ((self.sum << 1) ^ (out * self.pol)) & self.mask();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crc::{CRC_32_ISO_HDLC, CRC_32_MPEG_2, Crc};

    /// As AN4187 uses it: CRC-32 of Ethernet by reversed bytes in and bits out, CRC-32/MPEG-2 as it comes.
    #[test]
    fn it_sums_as_the_known_algorithms_do() {
        let words = [0x1122_3344_u32, 0xDEAD_BEEF, 0, u32::MAX];
        let mut plain = Checksum::default();
        words.iter().for_each(|word| plain.wrote(DR, *word));
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).collect();
        assert_eq!(plain.read(DR), Crc::<u32>::new(&CRC_32_MPEG_2).checksum(&bytes));
        let mut ethernet = Checksum::default();
        ethernet.wrote(CR, 1 << 7 | 1 << 5 | 1);
        words.iter().for_each(|word| ethernet.wrote(DR, *word));
        assert_eq!(!ethernet.read(DR), Crc::<u32>::new(&CRC_32_ISO_HDLC).checksum(&bytes));
    }
}
