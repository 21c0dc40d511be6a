//! Sums that the chip makes of its flash, so that not every byte has to come over the wire. A G0 makes them by its CRC
//! calculation unit and a program of ours in RAM (loaders/sums.s), which is gone again afterwards.
//!
//! The H7's controller has a unit for them: polynomial 0x04C11DB7, no reflection, no final xor, little-endian words taken
//! most significant byte first, from an initial value of its own (one measured vector, H753: 128 zero bytes give
//! 0x11E66C62). Should a die do it otherwise, its sums agree with nothing, and flash is read as without them.

use super::Help;
use crate::adi::MemAp;
use crate::cortex_m::Guest;
use crate::error::{Context, Result};
use crate::event::Ears;
use crate::probe::{Deadline, MemOp, Width};
use crc::{CRC_32_MPEG_2, Crc};
use std::ops::Range;
use std::time::Duration;

/// What a part's address and length are multiples of: the shortest burst of the H7's unit, 4 flash words of 32 bytes.
pub const GRAIN: u32 = 128;
/// What the H7's unit starts from.
pub(super) const START: u32 = 0xB6C0_AE5A;

/// As the chip makes it.
pub fn sum(bytes: &[u8]) -> u32 {
    const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_MPEG_2);
    let mut digest = CRC.digest_with_initial(START);
    let swapped: Vec<u8> = bytes.chunks_exact(4).flat_map(|word| [word[3], word[2], word[1], word[0]]).collect();
    digest.update(&swapped);
    digest.finalize()
}

/// The CRC calculation unit of a chip, and what belongs to it: addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unit {
    /// CRC_DR
    pub registers: u32,
    /// The register that enables its clock, and the bit.
    pub clock: (u32, u32),
    /// FLASH_ECCR: tells of damaged words, and is cleared by writing back what it reads.
    pub eccr: u32,
}

/// Assembled from loaders/sums.s by loaders/build.
const CODE: &[u8] = include_bytes!("loaders/sums.bin");
/// Behind the vectors and the handler.
const ENTRY: u32 = 0x4E;
const BLOCK: u32 = 0xD0;
const PARTS: u32 = BLOCK + 24;
/// Two frames of an exception.
const STACK: u32 = 64;
/// Parts in one go.
const MOST: usize = 64;
// Registers of the unit (RM0444 14.4).
const CR: u32 = 0x08;
const INIT: u32 = 0x10;
const POL: u32 = 0x14;
/// CR with REV_IN, REV_OUT and POLYSIZE 0, and DR set to INIT.
const CR_RESET: u32 = 1;
const POLYNOMIAL: u32 = 0x04C1_1DB7;
/// A core of 64 MHz, the fastest, sums 16 bytes in so many nanoseconds.
const NS_PER_16: u64 = 400;
const LIMIT: Duration = Duration::from_secs(1);

/// `FlashDriver::sums` by the core, which is halted; RAM, the core and the unit are left as found.
pub fn by_core(help: Help, unit: Unit, mem: &mut MemAp, ears: &Ears, parts: &[Range<u32>]) -> Result<Vec<Option<u32>>> {
    let Help { core, ram } = help;
    let mut sums = Vec::new();
    for parts in parts.chunks(MOST) {
        sums.extend(some(Help { core: &mut *core, ram }, unit, mem, ears, parts)?);
    }
    Ok(sums)
}

fn some(help: Help, unit: Unit, mem: &mut MemAp, ears: &Ears, parts: &[Range<u32>]) -> Result<Vec<Option<u32>>> {
    let base = help.ram.work.0;
    let past = PARTS + 8 * parts.len() as u32;
    let mut there = vec![0; (past + STACK) as usize];
    mem.read_width(Width::Word, base, &mut there)?;
    let clock = mem.update(unit.clock.0, 0, 1 << unit.clock.1)?;
    let [dr, cr, init, pol] = [0, CR, INIT, POL].map(|register| unit.registers + register);
    // DR as it is, not turned round by REV_OUT.
    let set = [MemOp::write(cr, 0), MemOp::read(dr), MemOp::write(init, START), MemOp::write(pol, POLYNOMIAL)];
    let mut ops: Vec<MemOp> = [cr, init, pol].map(MemOp::read).into_iter().chain(set).collect();
    mem.batch(&mut ops)?;
    let summed = run(help, unit, mem, ears, parts);
    let [control, start, polynomial, sum] = [0, 1, 2, 4].map(|at: usize| ops[at].value());
    // DR takes what INIT holds by a reset of the unit.
    let back = [(init, sum), (pol, polynomial), (cr, control | CR_RESET), (init, start)];
    mem.batch(&mut back.map(|(register, value)| MemOp::write(register, value)))?;
    mem.write32(unit.clock.0, clock)?;
    mem.write_width(Width::Word, base, &there)?;
    summed
}

fn run(help: Help, unit: Unit, mem: &mut MemAp, ears: &Ears, parts: &[Range<u32>]) -> Result<Vec<Option<u32>>> {
    let Help { core, ram } = help;
    let base = ram.work.0;
    let past = base + PARTS + 8 * parts.len() as u32;
    let mut image = CODE.to_vec();
    image.resize(BLOCK as usize, 0);
    let words = [unit.registers, past, unit.eccr, ram.watchdogs[0], ram.watchdogs[1], 0]
        .into_iter()
        .chain(parts.iter().flat_map(|part| [part.start, part.end - part.start]));
    image.extend(words.flat_map(u32::to_le_bytes));
    mem.write_width(Width::Word, base, &image)?;
    let guest = Guest { vectors: base, entry: base + ENTRY, stack: past + STACK, r7: base + BLOCK };
    let host = core.start_guest(mem, &guest)?;
    let bytes: u32 = parts.iter().map(|part| part.end - part.start).sum();
    let pause = Duration::from_nanos(u64::from(bytes) / 16 * NS_PER_16).max(Duration::from_micros(100));
    let deadline = Deadline::after(&*mem.probe, LIMIT);
    let worked = loop {
        let late = deadline.passed(&*mem.probe);
        mem.sleep(pause);
        match core.is_halted(mem) {
            Ok(false) if !late => {}
            other => break other,
        }
    };
    core.stop_guest(mem, ears, host)?;
    let mut raw = vec![0; 8 * parts.len()];
    mem.read_width(Width::Word, base + PARTS, &mut raw).during("reading the sums")?;
    let word = |at: usize| u32::from_le_bytes([raw[at], raw[at + 1], raw[at + 2], raw[at + 3]]);
    worked.map(|_| (0..parts.len()).map(|part| (word(8 * part) == 0).then(|| word(8 * part + 4))).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_measured_on_a_chip_comes_out() {
        assert_eq!(sum(&[0; 128]), 0x11E6_6C62);
    }
}
