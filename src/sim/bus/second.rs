//! The bus of a chip with two cores: what the second one sees otherwise.

use super::{Bus, Window};

impl Bus {
    /// Gives the bus to the second core or to the first: they see it differently, and what changed is told to both.
    pub fn select(&mut self, second: bool) {
        if self.second != second {
            (self.second, self.soc.second) = (second, second);
            std::mem::swap(&mut self.windows, &mut self.other_windows);
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
    pub(super) fn second_windows(&self) -> Vec<Window> {
        let seen = || self.row.ram.iter().enumerate().filter(|(_, row)| !row.tightly_coupled);
        let alias = |base: u32| self.second_alias().and_then(|(alias, real)| Some(base.checked_sub(real)? + alias));
        let direct = seen().map(|(ram, row)| Window { base: row.base, size: row.size, ram });
        direct.chain(seen().filter_map(|(ram, row)| Some(Window { base: alias(row.base)?, size: row.size, ram }))).collect()
    }

    pub(super) fn second_alias(&self) -> Option<(u32, u32)> {
        self.row.second.map(|second| second.sram)
    }
}
