//! The bus of a chip with two cores: what the second one sees otherwise.

use super::{Bus, Ram};

impl Bus {
    /// Gives the bus to the second core or to the first: they see it differently, and what changed is told to both.
    pub fn select(&mut self, second: bool) {
        if self.second != second {
            (self.second, self.soc.second) = (second, second);
            self.late = (self.late.1, self.late.0);
        }
    }

    /// Where each core has registers of its own under one name: the second's.
    pub(super) fn own(&self, address: u32) -> u32 {
        match self.row.second.filter(|_| self.second).map(|second| &second.own) {
            Some((names, offset)) if names.contains(&address) => address + offset,
            _ => address,
        }
    }

    /// The second core has no tightly coupled memories, and a RAM that it sees twice.
    pub(super) fn second_ram(&self, address: u32) -> Option<(usize, usize)> {
        let holds = |ram: &Ram, address: u32| !ram.tightly_coupled && address.wrapping_sub(ram.base) < ram.size;
        let place = |address: u32| {
            let place = self.row.ram.iter().position(|ram| holds(ram, address))?;
            Some((place, (address - self.row.ram[place].base) as usize))
        };
        let (alias, base) = self.second_alias()?;
        place(address).or_else(|| place(address.checked_sub(alias)?.checked_add(base)?))
    }

    pub(super) fn second_alias(&self) -> Option<(u32, u32)> {
        self.row.second.map(|second| second.sram)
    }
}
