//! Sums that the chip makes of its flash, so that not every byte has to come over the wire.
//!
//! The H7's controller has a unit for them: polynomial 0x04C11DB7, no reflection, no final xor, little-endian words taken
//! most significant byte first, from an initial value of its own (one measured vector, H753: 128 zero bytes give
//! 0x11E66C62). Should a die do it otherwise, its sums agree with nothing, and flash is read as without them.

use crc::{CRC_32_MPEG_2, Crc};

/// What a part's address and length are multiples of: the shortest burst of the H7's unit, 4 flash words of 32 bytes.
pub const GRAIN: u32 = 128;
/// What the H7's unit starts from.
pub(super) const START: u32 = 0xB6C0_AE5A;

/// As the chip makes it.
pub fn sum(bytes: &[u8]) -> u32 {
    const CRC: Crc<u32, crc::Table<16>> = Crc::<u32, crc::Table<16>>::new(&CRC_32_MPEG_2);
    let mut digest = CRC.digest_with_initial(START);
    let swapped: Vec<u8> = bytes.chunks_exact(4).flat_map(|word| [word[3], word[2], word[1], word[0]]).collect();
    digest.update(&swapped);
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_measured_on_a_chip_comes_out() {
        assert_eq!(sum(&[0; 128]), 0x11E6_6C62);
    }
}
