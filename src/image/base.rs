//! For which address was an image linked? Its vectors alone do not say: those of a program behind a boot loader of 8 KiB
//! lie inside it at four other addresses too.
//!
//! Pointers to functions are odd words, and most functions begin by pushing lr. So for each base that the reset handler
//! allows, count the words that would then point to a PUSH with lr (DDI0403 A7.7.101: B5xx, or E92D with bit 14 set).

use super::Image;
use std::collections::BTreeSet;
use std::ops::Range;

/// What the pointers of an image say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linked {
    /// The address most of them fit.
    pub base: u32,
    /// So many of them fit it; so many the address where the image goes; so many the best of all other addresses.
    pub score: usize,
    pub here: usize,
    pub next: usize,
}

/// A vector table of the smallest core is a multiple of this (DDI0419 B3.2.5: as many words as a power of two holds).
const STEP: u32 = 0x100;

impl Linked {
    /// Few pointers, or nearly as many for another address: what they say is only probable. Measured with ten images of
    /// which eight were known: none of those that passed this was wrong.
    pub fn is_weak(&self) -> bool {
        self.score < 5 || self.score < 3 * self.next
    }
}

impl Image {
    /// The base that the pointers of the segment with the vector table speak for; `None` without a vector table, or where no
    /// pointer fits any base. `flash`: where it may have been linked.
    pub fn linked_for(&self, flash: Range<u32>) -> Option<Linked> {
        let (here, _, reset) = self.vector_table()?;
        let segment = self.segments.iter().find(|segment| segment.address == here)?;
        let data = &segment.data;
        let word = |bytes: &[u8]| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let pointers: BTreeSet<u32> = data.chunks_exact(4).map(word).filter(|word| word & 1 == 1 && flash.contains(word)).collect();
        let half = |at: usize| data.get(at..at + 2).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
        let pushes = |at: usize| match half(at) {
            Some(0xE92D) => half(at + 2).is_some_and(|list| list & 1 << 14 != 0),
            code => code.is_some_and(|code| code >> 8 == 0xB5),
        };
        let score = |base: u32| pointers.iter().filter(|to| (**to - 1).checked_sub(base).is_some_and(|at| pushes(at as usize))).count();
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let inside = |base: &u32| reset.checked_sub(*base).is_some_and(|at| at < length);
        let bases = flash.clone().step_by(STEP as usize).filter(inside).chain([here]);
        let mut scores: Vec<(usize, bool, u32)> = bases.map(|base| (score(base), base == here, base)).collect();
        scores.sort_unstable();
        scores.dedup();
        let (score, _, base) = scores.pop().filter(|(score, ..)| *score > 0)?;
        let next = scores.last().map_or(0, |(score, ..)| *score);
        Some(Linked { base, score, here: self::here(&scores, base == here, score), next })
    }
}

/// The score of the address where the image goes.
fn here(others: &[(usize, bool, u32)], best: bool, score: usize) -> usize {
    if best { score } else { others.iter().find(|(_, here, _)| *here).map_or(0, |(score, ..)| *score) }
}
