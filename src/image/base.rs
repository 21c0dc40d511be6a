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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Format, Segment};

    /// Goes to 0x08000000, was linked for `base`: vectors, `count` functions that push lr, a pointer to each.
    fn linked(base: u32, count: u32, push: [u8; 4]) -> Image {
        let mut data = [0x2000_1000u32, base + 0x101].map(u32::to_le_bytes).concat();
        data.resize(0x4000, 0);
        for n in 0..count {
            data[0x100 + 8 * n as usize..][..4].copy_from_slice(&push);
            data[0x2000 + 4 * n as usize..][..4].copy_from_slice(&(base + 0x101 + 8 * n).to_le_bytes());
        }
        Image::new("app.bin", Format::Bin, vec![Segment { address: 0x0800_0000, data }])
    }

    const FLASH: Range<u32> = 0x0800_0000..0x0820_0000;

    #[test]
    fn pointers_to_functions_tell_the_base_and_few_of_them_only_probably() {
        // push {r4, lr}; push.w {r4-r8, lr}
        for push in [[0x10, 0xB5, 0, 0], [0x2D, 0xE9, 0xF0, 0x41]] {
            for base in [0x0800_0000, 0x0800_2000, 0x0800_3E00] {
                for (count, weak) in [(1, true), (4, true), (5, false), (40, false)] {
                    let found = linked(base, count, push).linked_for(FLASH).unwrap();
                    let here = if base == 0x0800_0000 { count as usize } else { 0 };
                    assert_eq!((found.base, found.score, found.here, found.is_weak()), (base, count as usize, here, weak), "{found:?}");
                }
            }
        }
    }

    #[test]
    fn what_pushes_no_lr_is_no_function_and_data_says_nothing() {
        // push {r4}; push.w {r4-r8}: functions that call none, and no proof.
        for push in [[0x10, 0xB4, 0, 0], [0x2D, 0xE9, 0xF0, 0x01]] {
            assert_eq!(linked(0x0800_2000, 40, push).linked_for(FLASH), None);
        }
        let data = Segment { address: 0x0800_0000, data: vec![0xB5; 4096] };
        assert_eq!(Image::new("data.bin", Format::Bin, vec![data]).linked_for(FLASH), None);
    }

    #[test]
    fn two_bases_that_fit_nearly_alike_are_weak() {
        let found = Linked { base: 0x0800_2000, score: 12, here: 5, next: 5 };
        assert!(found.is_weak() && !Linked { next: 4, ..found }.is_weak());
    }
}
