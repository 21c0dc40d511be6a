//! The flash controller's CRC unit (RM0433 4.3.14).
//!
//! Polynomial 0x04C11DB7, no reflection, no final xor, initial value 0xB6C0AE5A, little-endian words taken most
//! significant byte first: one measured vector (H753: 128 zero bytes give 0x11E66C62).

use super::super::chip::Ns;
use super::{Ecc, FlashH7, cr, sr};
use crc::{CRC_32_MPEG_2, Crc};

const INITIAL: u32 = 0xB6C0_AE5A;
/// As CRC-32/MPEG-2, but for its initial value.
const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_MPEG_2);
const BY_SECTOR: u32 = 1 << 8;
const ADD_SECTOR: u32 = 1 << 9;
const CLEAN_SECTORS: u32 = 1 << 10;
const START: u32 = 1 << 16;
const CLEAN_CRC: u32 = 1 << 17;
const ALL_BANK: u32 = 1 << 22;
/// 1 µs for 32 bytes (assumed: no source says how fast the unit is).
const NS_PER_BYTE: f64 = 1000.0 / 32.0;

/// One bank's CRC registers and its running sum.
pub(super) struct Unit {
    pub cr: u32,
    pub start: u32,
    pub end: u32,
    sectors: Vec<u32>,
    sum: u32,
    running: Option<(Ns, u32)>,
}

impl Default for Unit {
    fn default() -> Unit {
        Unit { cr: 0x001C_0000, start: 0, end: 0, sectors: Vec::new(), sum: INITIAL, running: None }
    }
}

impl Unit {
    pub fn until(&self) -> Option<Ns> {
        self.running.map(|(until, _)| until)
    }

    pub fn busy(&self, now: Ns) -> bool {
        self.running.is_some_and(|(until, _)| until > now)
    }
}

impl FlashH7 {
    pub(super) fn write_crccr(&mut self, index: usize, value: u32) {
        let crc = &mut self.banks[index].crc;
        crc.cr = value & !(ADD_SECTOR | CLEAN_SECTORS | START | CLEAN_CRC);
        if value & CLEAN_CRC != 0 {
            crc.sum = INITIAL;
        }
        if value & CLEAN_SECTORS != 0 {
            crc.sectors.clear();
        }
        if value & ADD_SECTOR != 0 {
            crc.sectors.push(value & self.chip.layout.snb_mask);
        }
        if value & START != 0 {
            self.start_crc(index);
        }
    }

    fn start_crc(&mut self, index: usize) {
        let (starts, len) = self.crc_blocks(index);
        let bank = &mut self.banks[index];
        if bank.cr & cr::CRC_EN == 0 || bank.crc.running.is_some() {
            return;
        }
        let mut words = starts.iter().flat_map(|start| (*start..start + len).step_by(self.chip.word as usize));
        if words.clone().any(|at| self.options.read_error(index, at as u32) != 0) {
            bank.flags |= sr::CRCRDERR;
            return;
        }
        if words.any(|at| bank.cells.ecc(at) == Ecc::TwoBits) {
            bank.flags |= sr::DBECCERR;
        }
        let sum = starts.iter().fold(bank.crc.sum, |sum, start| crc32(sum, bank.cells.bytes(*start..start + len)));
        let time = (starts.len() * len) as f64 * NS_PER_BYTE * f64::from(self.unmeasured);
        bank.crc.running = Some((self.now + time as Ns, sum));
    }

    /// Where the blocks to be summed start, and how long each is. By address the end is inclusive, and both are rounded
    /// to the burst (4, 16, 64 or 256 flash words).
    fn crc_blocks(&self, index: usize) -> (Vec<usize>, usize) {
        let crc = &self.banks[index].crc;
        let (size, sector) = (self.chip.bank_size as usize, self.chip.sector as usize);
        if crc.cr & ALL_BANK != 0 {
            return (vec![0], size);
        }
        if crc.cr & BY_SECTOR != 0 {
            let starts = crc.sectors.iter().map(|number| *number as usize * sector);
            return (starts.filter(|start| start + sector <= size).collect(), sector);
        }
        let burst = (self.chip.word as usize) << (2 + 2 * (crc.cr >> 20 & 3));
        let (start, end) = (crc.start as usize / burst * burst, crc.end as usize / burst * burst + burst);
        if start < end && end <= size { (vec![start], end - start) } else { (Vec::new(), 0) }
    }

    pub(super) fn advance_crc(&mut self) {
        for bank in &mut self.banks {
            if let Some((_, sum)) = bank.crc.running.take_if(|(until, _)| *until <= self.now) {
                bank.crc.sum = sum;
                bank.flags |= sr::CRCEND;
                self.crc_data = sum;
            }
        }
    }
}

/// Go on from `sum`.
fn crc32(sum: u32, bytes: &[u8]) -> u32 {
    let mut digest = CRC.digest_with_initial(sum);
    bytes.chunks_exact(4).for_each(|word| digest.update(&[word[3], word[2], word[1], word[0]]));
    digest.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_measured_vector_comes_out() {
        assert_eq!(crc32(INITIAL, &[0; 128]), 0x11E6_6C62);
        assert_eq!(crc32(u32::MAX, &[0; 128]), 0x46A0_EABC);
        assert_eq!(crc32(crc32(INITIAL, &[0; 64]), &[0; 64]), 0x11E6_6C62);
    }
}
