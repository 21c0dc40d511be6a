//! The interrupt lines from the peripherals to the cores: a line is high while a flag and its enable bit are both set in
//! one of the blocks that share it. Each core of a chip has its own; most blocks drive both alike.

#[cfg(test)]
mod tests;

use super::super::periph::{Block, Periph};

/// One bit for each interrupt, by its number.
pub type Levels = [u32; 8];
/// For the first core and the second.
pub type Each<T> = [T; 2];

pub struct Lines {
    /// Each block that interrupts, and its flags that do at present.
    sources: Vec<(&'static Block, Each<u32>)>,
    levels: Each<Levels>,
    /// Counts the changes of `levels`, so that whoever has seen them need not look.
    version: u32,
}

impl Lines {
    pub fn new(regs: &Periph) -> Lines {
        let sources = regs.blocks.iter().filter(|block| !block.irq.is_empty()).map(|block| (block, [0; 2]));
        Lines { sources: sources.collect(), levels: [[0; 8]; 2], version: 0 }
    }

    pub fn blocks(&self) -> Vec<&'static Block> {
        self.sources.iter().map(|(block, _)| *block).collect()
    }

    /// The flags of one block that interrupt from now on.
    pub fn set(&mut self, block: &'static Block, pending: Each<u32>) {
        let source = self.sources.iter_mut().find(|(other, _)| other.base == block.base);
        let Some((_, old)) = source.filter(|(_, old)| *old != pending) else { return };
        *old = pending;
        let levels = [0, 1].map(|core| self.levels_of(core));
        if levels != self.levels {
            self.levels = levels;
            self.version = self.version.wrapping_add(1);
        }
    }

    fn levels_of(&self, core: usize) -> Levels {
        let mut levels = [0; 8];
        for (block, pending) in &self.sources {
            let high = block.irq.iter().filter(|(_, flags)| pending[core] & flags != 0);
            high.for_each(|(number, _)| levels[usize::from(number / 32)] |= 1 << (number % 32));
        }
        levels
    }

    /// The flags of one block that interrupt at present.
    pub fn pending(&self, block: &'static Block) -> Each<u32> {
        self.sources.iter().find(|(other, _)| other.base == block.base).map_or([0; 2], |(_, pending)| *pending)
    }

    pub fn levels(&self, core: usize) -> &Levels {
        &self.levels[core]
    }

    pub fn version(&self) -> u32 {
        self.version
    }
}
