//! What flash holds, without reading more of it than must be: the chip's own sums are compared with the image's, and
//! only what differs and is to be kept comes over the wire.

use super::{Session, State, fatal};
use crate::adi::MemAp;
use crate::error::{Context, Error, Kind, Result};
use crate::flash::{self, Bank, Found, GRAIN, Policy};
use crate::image::Image;
use std::collections::BTreeMap;
use std::ops::Range;

/// A bank and a sector's number.
pub(super) type Sector = (Bank, u32);

/// Between two looks at Ctrl-C: some 40 ms on a V2 at 4 MHz.
const CHUNK: usize = 8192;
/// More unreadable flash words than this are no interrupted write but a protected or dying flash.
const MAX_DAMAGED: usize = 8;
/// A sector with more pieces of the image than this is read sooner than summed.
const MOST_PIECES: usize = 4;
/// Less than this is read sooner than summed.
const WORTH_A_SUM: usize = 2048;

impl Session {
    /// What the sectors hold, as far as a plan needs it.
    pub(super) fn survey(&mut self, image: &Image, sectors: &[Sector], policy: Policy) -> Result<BTreeMap<u32, Found>> {
        let _phase = self.ears.phase("read", "");
        let total = sectors.iter().map(|(bank, _)| u64::from(bank.sector)).sum();
        let mut there = BTreeMap::new();
        let mut damaged = Vec::new();
        let mut done = 0;
        self.ears.progress("read", 0, total);
        for group in sectors.chunk_by(|(a, _), (b, _)| a.number == b.number) {
            let looked = self.summed(image, group)?;
            for ((bank, sector), found) in group.iter().zip(looked) {
                let address = bank.sector_address(*sector);
                let found = match found {
                    Some(Found::Other) if policy == Policy::NoErase => None,
                    found => found,
                };
                let found = match found {
                    Some(found) => found,
                    None => match self.read_sector(bank, address, image, &mut damaged) {
                        Ok(bytes) => Found::Bytes(bytes),
                        // As an erase leaves it that was cut short. Nothing of it is to be kept.
                        Err(error) if damaged.len() >= MAX_DAMAGED && !fatal(&error) && covers(image, address, bank.sector) => Found::Other,
                        Err(error) => return Err(error),
                    },
                };
                there.insert(address, found);
                done += u64::from(bank.sector);
                self.ears.progress("read", done, total);
            }
        }
        Ok(there)
    }

    /// What the sums of one bank's sectors tell; `None`: nothing.
    fn summed(&mut self, image: &Image, sectors: &[Sector]) -> Result<Vec<Option<Found>>> {
        let nothing = vec![None; sectors.len()];
        let bank = &sectors[0].0;
        let pieces: Vec<Vec<(u32, &[u8])>> = sectors.iter().map(|(_, sector)| pieces(image, bank, *sector)).collect();
        let mut parts: Vec<Range<u32>> = Vec::new();
        for ((_, sector), pieces) in sectors.iter().zip(&pieces) {
            let address = bank.sector_address(*sector);
            parts.push(address..address + bank.sector);
            let smaller = pieces.iter().filter(|piece| piece.1.len() < bank.sector as usize);
            parts.extend(smaller.map(|piece| inner(*piece).0).filter(|part| !part.is_empty()));
        }
        let Some(sums) = self.sums(bank, &parts)? else { return Ok(nothing) };
        let mut sums = sums.into_iter();
        let mut found = Vec::new();
        for pieces in pieces {
            let whole = sums.next().flatten();
            let covered = matches!(pieces[..], [(_, data)] if data.len() == bank.sector as usize);
            let mut own = |piece: &(u32, &[u8])| if inner(*piece).0.is_empty() { None } else { sums.next().flatten() };
            let own: Vec<Option<u32>> = if covered { vec![whole] } else { pieces.iter().map(&mut own).collect() };
            found.push(match whole {
                None => None,
                Some(sum) if sum == flash::sum(&vec![0xFF; bank.sector as usize]) => Some(Found::Blank),
                Some(_) if pieces.len() <= MOST_PIECES && self.all_same(bank, &pieces, &own)? => Some(Found::Same),
                Some(_) => covered.then_some(Found::Other),
            });
        }
        Ok(found)
    }

    /// Do the pieces' inner sums agree, and what is read of their ends?
    fn all_same(&mut self, bank: &Bank, pieces: &[(u32, &[u8])], sums: &[Option<u32>]) -> Result<bool> {
        for (piece, is) in pieces.iter().zip(sums) {
            let (part, data) = inner(*piece);
            if !part.is_empty() && *is != Some(flash::sum(data)) {
                return Ok(false);
            }
            for (address, wanted) in ends(*piece) {
                let mut there = vec![0; wanted.len()];
                match MemAp::new(&mut *self.probe, bank.ap).read(address, &mut there) {
                    Ok(()) if there == wanted => {}
                    Err(error) if !error.is_fault() => return Err(error),
                    _ => return Ok(false),
                }
            }
        }
        Ok(true)
    }

    /// Those of the sectors that are blank, as far as sums tell.
    pub(super) fn blank(&mut self, sectors: &[Sector]) -> Result<Vec<(u32, Found)>> {
        let mut blank = Vec::new();
        for group in sectors.chunk_by(|(a, _), (b, _)| a.number == b.number) {
            let bank = &group[0].0;
            let parts: Vec<Range<u32>> =
                group.iter().map(|(_, sector)| bank.sector_address(*sector)).map(|at| at..at + bank.sector).collect();
            let blank_sum = flash::sum(&vec![0xFF; bank.sector as usize]);
            let sums = self.sums(bank, &parts)?.unwrap_or_default();
            blank.extend(parts.iter().zip(sums).filter(|(_, sum)| *sum == Some(blank_sum)).map(|(part, _)| (part.start, Found::Blank)));
        }
        Ok(blank)
    }

    /// What of the bytes wanted from `address` on sums do not prove to be there.
    pub(super) fn unproven<'a>(&mut self, address: u32, wanted: &'a [u8]) -> Result<Vec<(u32, &'a [u8])>> {
        let whole = vec![(address, wanted)];
        let Some(bank) = self.banks.iter().find(|bank| bank.contains(address)).cloned().filter(|_| wanted.len() >= WORTH_A_SUM) else {
            return Ok(whole);
        };
        let (wanted, behind) = wanted.split_at(wanted.len().min((bank.end() - address) as usize + 1));
        let mut unproven = self.unproven_in(&bank, address, wanted)?;
        if !behind.is_empty() {
            unproven.extend(self.unproven(bank.end().wrapping_add(1), behind)?);
        }
        Ok(unproven)
    }

    fn unproven_in<'a>(&mut self, bank: &Bank, address: u32, wanted: &'a [u8]) -> Result<Vec<(u32, &'a [u8])>> {
        let (part, data) = inner((address, wanted));
        let step = bank.sector;
        let parts: Vec<Range<u32>> = part.clone().step_by(step as usize).map(|at| at..part.end.min(at + step)).collect();
        let Some(sums) = self.sums(bank, &parts)? else { return Ok(vec![(address, wanted)]) };
        let parts = parts.iter().zip(data.chunks(step as usize)).zip(sums);
        let differ = parts.filter(|((_, data), sum)| *sum != Some(flash::sum(data))).map(|((part, data), _)| (part.start, data));
        let mut unproven: Vec<_> = ends((address, wanted)).into_iter().chain(differ).collect();
        unproven.sort_by_key(|(address, _)| *address);
        Ok(unproven)
    }

    /// Sums by the chip, unless a core runs that could be using flash meanwhile.
    fn sums(&mut self, bank: &Bank, parts: &[Range<u32>]) -> Result<Option<Vec<Option<u32>>>> {
        let mut halted = !self.no_guest;
        for core in self.available() {
            match self.state(core) {
                Ok(State::Halted(_)) => {}
                Ok(State::Lockup) => halted = false,
                Err(error) if fatal(&error) || error.kind == Kind::Probe => return Err(error),
                _ => return Ok(None),
            }
        }
        let driver = flash::driver(&self.target.driver)?;
        let what = format!("summing {}", bank.name);
        let own = driver.sums(&mut MemAp::new(&mut *self.probe, bank.ap), bank, parts).during(&what)?;
        let (Some(unit), Some(ram), None, true) = (self.target.crc, self.loader_ram(), &own, halted) else { return Ok(own) };
        let unit = flash::Unit { registers: unit.registers, clock: (unit.clock, unit.bit), eccr: unit.eccr };
        let (core, mut mem, ears) = self.parts(0)?;
        flash::sums_by_core(flash::Help { core, ram }, unit, &mut mem, ears, parts).during(what).map(Some)
    }

    fn read_sector(&mut self, bank: &Bank, address: u32, image: &Image, damaged: &mut Vec<u32>) -> Result<Vec<u8>> {
        let mut bytes = vec![0; bank.sector as usize];
        for (index, chunk) in bytes.chunks_mut(CHUNK).enumerate() {
            self.read_flash(bank, address + (index * CHUNK) as u32, chunk, image, damaged)?;
            (self.ears.breathe)()?;
        }
        Ok(bytes)
    }

    /// A flash word that an interrupted write left damaged cannot be read (H7: DBECCERR faults the access; G0: FLASH_ECCR
    /// tells), and only erasing its sector mends it: it reads as something the image is not, so that the sector is
    /// replaced. Where the image does not cover all of it, bytes that were to be kept are lost already, and the user decides.
    fn read_flash(&mut self, bank: &Bank, address: u32, chunk: &mut [u8], image: &Image, damaged: &mut Vec<u32>) -> Result<()> {
        if self.read_whole(bank, address, chunk)? {
            return Ok(());
        }
        for (index, word) in chunk.chunks_mut(bank.word as usize).enumerate() {
            let at = address + index as u32 * bank.word;
            if self.read_whole(bank, at, word)? {
                continue;
            }
            if damaged.len() >= MAX_DAMAGED {
                let what = format!("more than {MAX_DAMAGED} flash words cannot be read, the last at {at:#010x}");
                let (number, sector) = (bank.number, (at - bank.address) / bank.sector);
                return Err(Error::target(what).hint(format!(
                    "was an erase cut short? `flash erase_sector {number} {sector} {sector}` gives up what is in that sector; or is flash read \
                     protected (RDP), or its clock or supply wrong?"
                )));
            }
            if !covers(image, at, bank.word) {
                return Err(lost(bank, at));
            }
            damaged.push(at);
            self.ears.warn(format!("the flash word at {at:#010x} is damaged and cannot be read: its sector must be erased"));
            word.iter_mut().zip(0..).for_each(|(byte, i)| *byte = unlike(image, at + i));
        }
        Ok(())
    }

    /// False: something of it is damaged.
    fn read_whole(&mut self, bank: &Bank, address: u32, bytes: &mut [u8]) -> Result<bool> {
        let mut mem = MemAp::new(&mut *self.probe, bank.ap);
        match mem.read(address, bytes) {
            Ok(()) => Ok(!flash::driver(&self.target.driver)?.damaged(&mut MemAp::new(&mut *self.probe, bank.ap), bank)?),
            Err(error) if error.is_fault() => Ok(false),
            Err(other) => Err(other.during(format!("reading flash at {address:#010x}"))),
        }
    }
}

/// What the image has of a sector.
fn pieces<'a>(image: &'a Image, bank: &Bank, sector: u32) -> Vec<(u32, &'a [u8])> {
    let first = u64::from(bank.sector_address(sector));
    let past = first + u64::from(bank.sector);
    let pieces = image.segments.iter().filter_map(|segment| {
        let start = u64::from(segment.address);
        let (from, to) = (start.max(first), segment.end().min(past));
        (from < to).then(|| (from as u32, &segment.data[(from - start) as usize..(to - start) as usize]))
    });
    pieces.collect()
}

/// A piece's whole grains: where, and the bytes.
fn inner((address, data): (u32, &[u8])) -> (Range<u32>, &[u8]) {
    let head = (address.next_multiple_of(GRAIN) - address) as usize;
    let Some(rest) = data.get(head..) else { return (address..address, &[]) };
    let bytes = &rest[..rest.len() / GRAIN as usize * GRAIN as usize];
    let start = address + head as u32;
    (start..start + bytes.len() as u32, bytes)
}

/// What of a piece is outside its whole grains.
fn ends((address, data): (u32, &[u8])) -> Vec<(u32, &[u8])> {
    let (part, _) = inner((address, data));
    if part.is_empty() {
        return vec![(address, data)];
    }
    let (head, tail) = ((part.start - address) as usize, (part.end - address) as usize);
    [(address, &data[..head]), (part.end, &data[tail..])].into_iter().filter(|(_, bytes)| !bytes.is_empty()).collect()
}

/// The image has every byte of the flash word, or of the sector.
fn covers(image: &Image, address: u32, len: u32) -> bool {
    let end = u64::from(address) + u64::from(len);
    image.segments.iter().any(|segment| segment.address <= address && end <= segment.end())
}

/// Bytes beside the image that cannot be read, so cannot be put back after the erase.
fn lost(bank: &Bank, address: u32) -> Error {
    let sector = (address - bank.address) / bank.sector;
    Error::target(format!("the flash word at {address:#010x} is damaged and cannot be read, and the image does not cover it"))
        .during(format!("keeping what shares sector {sector} of {} with the image", bank.name))
        .hint(format!("`flash erase_sector {} {sector} {sector}` gives up what is in that sector; then program again", bank.number))
}

/// A byte that is neither blank nor what the image has at `address`.
pub(super) fn unlike(image: &Image, address: u32) -> u8 {
    let byte = image.segments.iter().find_map(|segment| segment.data.get(address.checked_sub(segment.address)? as usize));
    if byte == Some(&0) { 0x55 } else { 0 }
}
