//! The chips: one row, one address map each.

mod bare;
mod common;
mod f1_like;
mod stm32g0;
mod stm32h7;

use super::bus::{Controller, Ram, Rom};
use super::chip::{ApRow, SecondRow};
use super::coresight::Component;
use super::cpu::CoreRow;
use super::periph::Block;

pub struct Row {
    /// "stm32h743"; those that do not begin with stm32 are there for tests and not offered to users.
    pub name: &'static str,
    pub dpidr: u32,
    pub targetid: u32,
    pub aps: &'static [ApRow],
    pub core: &'static CoreRow,
    /// The second core of a chip that has two.
    pub second: Option<&'static SecondRow>,
    pub flash: Controller,
    pub ram: &'static [Ram],
    pub rom: &'static [Rom],
    pub blocks: &'static [Block],
    /// Components of the debug bus (APB-D), and ROM tables outside the core.
    pub debug: &'static [Component],
    /// What those outside the core need to answer: (clock enable register, bit).
    pub debug_clock: Option<(u32, u32)>,
    /// Addresses below this show the boot memory; 0: no alias.
    pub alias: u32,
    pub causes: Causes,
}

/// Bits that a reset adds to RCC_RSR or RCC_CSR.
#[derive(Clone, Copy, Debug)]
pub struct Causes {
    pub power: u32,
    pub pin: u32,
    pub request: u32,
    pub options: u32,
    /// The watchdogs: independent and window.
    pub independent: u32,
    pub window: u32,
}

pub const CHIPS: &[Row] = &[
    stm32h7::H743,
    stm32h7::H745,
    stm32h7::H750,
    stm32h7::H723,
    stm32h7::H7A3,
    stm32g0::G030,
    stm32g0::G031,
    stm32g0::G051,
    stm32g0::G071,
    stm32g0::G0B1,
    f1_like::F1_LIKE,
    bare::M0,
    bare::M7,
    bare::M7_SOFT,
    bare::M4,
];

/// The row of this name.
pub fn find(name: &str) -> Option<&'static Row> {
    CHIPS.iter().find(|row| row.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_access_ports_are_numbered_in_order() {
        for (index, row) in CHIPS.iter().enumerate() {
            assert!(CHIPS[..index].iter().all(|other| other.name != row.name), "{} twice", row.name);
            assert!(row.aps.iter().enumerate().all(|(index, ap)| ap.index as usize == index), "{}", row.name);
        }
        assert_eq!(find("stm32g071").unwrap().dpidr, 0x0BC1_1477);
        assert!(find("stm32f103").is_none());
    }

    #[test]
    fn no_two_places_of_an_address_map_overlap() {
        for row in CHIPS {
            let ram = row.ram.iter().map(|ram| (ram.base, ram.size.max(ram.without_parity)));
            let rom = row.rom.iter().map(|rom| (rom.base, rom.size));
            let mut places: Vec<(u32, u32)> = ram.chain(rom).chain(row.blocks.iter().map(|block| (block.base, block.size))).collect();
            places.sort();
            for pair in places.windows(2) {
                assert!(pair[0].0 as u64 + pair[0].1 as u64 <= pair[1].0 as u64, "{}: {pair:x?}", row.name);
            }
        }
    }

    #[test]
    fn the_registers_of_a_block_are_in_it_and_differ() {
        for block in CHIPS.iter().flat_map(|row| row.blocks) {
            for (index, reg) in block.regs.iter().enumerate() {
                assert!((reg.offset as u32) < block.size && reg.offset % 4 == 0, "{}.{}", block.name, reg.name);
                assert!(block.regs[..index].iter().all(|other| other.offset != reg.offset), "{}.{}", block.name, reg.name);
            }
        }
    }
}
