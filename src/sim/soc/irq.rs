//! The interrupt lines from the peripherals to the core: a line is high while a flag and its enable bit are both set in
//! one of the blocks that share it.

#[cfg(test)]
mod tests;

use super::super::periph::{Block, Periph};

/// One bit for each interrupt, by its number.
pub type Levels = [u32; 8];

pub struct Lines {
    /// Each block that interrupts, and its flags that do at present.
    sources: Vec<(&'static Block, u32)>,
    levels: Levels,
    /// Counts the changes of `levels`, so that whoever has seen them need not look.
    version: u32,
}

impl Lines {
    pub fn new(regs: &Periph) -> Lines {
        let sources = regs.blocks.iter().filter(|block| !block.irq.is_empty()).map(|block| (block, 0));
        Lines { sources: sources.collect(), levels: [0; 8], version: 0 }
    }

    pub fn blocks(&self) -> Vec<&'static Block> {
        self.sources.iter().map(|(block, _)| *block).collect()
    }

    /// The flags of one block that interrupt from now on.
    pub fn set(&mut self, block: &'static Block, pending: u32) {
        let source = self.sources.iter_mut().find(|(other, _)| other.base == block.base);
        let Some((_, old)) = source.filter(|(_, old)| *old != pending) else { return };
        *old = pending;
        let mut levels = [0; 8];
        for (block, pending) in &self.sources {
            let high = block.irq.iter().filter(|(_, flags)| pending & flags != 0);
            high.for_each(|(number, _)| levels[usize::from(number / 32)] |= 1 << (number % 32));
        }
        if levels != self.levels {
            self.levels = levels;
            self.version = self.version.wrapping_add(1);
        }
    }

    pub fn levels(&self) -> &Levels {
        &self.levels
    }

    pub fn version(&self) -> u32 {
        self.version
    }
}
