//! What the flash controllers of both families do alike, with what tells them apart as data: error bits, waiting,
//! unlocking, erasing, the writing of words.

use super::{Bank, Erase};
use crate::adi::MemAp;
use crate::error::{Cause, Context, Error, Kind, Result};
use crate::event::Ears;
use crate::probe::{Deadline, MemOp, Width};
use std::cell::Cell;
use std::time::Duration;

/// One error bit of a status register.
pub(super) struct Flag {
    pub(super) bit: u32,
    pub(super) name: &'static str,
    pub(super) text: &'static str,
    pub(super) hint: &'static str,
    pub(super) kind: Kind,
}

/// The error that the bits of `status` make, named with the register that holds them; the first row gives text and hint.
pub(super) fn decode(flags: &[Flag], status: u32, register: &str) -> Result<()> {
    let set: Vec<&Flag> = flags.iter().filter(|flag| status & (1 << flag.bit) != 0).collect();
    let Some(first) = set.first() else { return Ok(()) };
    let names: Vec<&str> = set.iter().map(|flag| flag.name).collect();
    let message = format!("{}: {} ({register} = {status:#010x})", names.join(", "), first.text);
    Err(Error::new(first.kind, message).hint(first.hint))
}

/// A target file names a layout that its driver has not.
pub(super) fn unknown_layout(driver: &str, layout: &str, known: impl Iterator<Item = &'static str>) -> Error {
    let known: Vec<&str> = known.collect();
    Error::usage(format!("{driver} has no register layout `{layout}` (there are: {})", known.join(", ")))
}

/// A status register with its busy bits, and how long they may stay.
pub(super) struct Busy {
    pub(super) name: String,
    pub(super) address: u32,
    pub(super) mask: u32,
    pub(super) limit: Duration,
}

impl Busy {
    /// The register once it is idle; `pause` between two looks.
    fn wait(&self, mem: &mut MemAp, mut pause: impl FnMut(&mut MemAp) -> Result<()>) -> Result<u32> {
        let deadline = Deadline::after(&*mem.probe, self.limit);
        loop {
            let late = deadline.passed(&*mem.probe);
            let status = mem.read32(self.address)?;
            if status & self.mask == 0 {
                return Ok(status);
            }
            if late {
                return Err(self.timeout(status));
            }
            pause(mem)?;
        }
    }

    /// Wait for an operation of many milliseconds. It cannot be stopped, so Ctrl-C is answered by words first; its error
    /// comes beside the status, for when the operation is settled.
    pub(super) fn wait_long(&self, mem: &mut MemAp, ears: &Ears) -> Result<(u32, Result<()>)> {
        let pause = (self.limit / 1000).clamp(Duration::from_millis(1), Duration::from_millis(10));
        let mut interrupted = Ok(());
        let status = self.wait(mem, |mem| {
            mem.sleep(pause);
            match (ears.breathe)() {
                Err(again) if interrupted.is_err() => return Err(abandoned(again)),
                Err(first) => {
                    ears.warn(format!("waiting for the running erase, up to {:.1} s; again to leave now", self.limit.as_secs_f64()));
                    interrupted = Err(first);
                }
                Ok(()) => {}
            }
            Ok(())
        })?;
        Ok((status, interrupted))
    }

    fn timeout(&self, status: u32) -> Error {
        Error::target(format!("flash is still busy after {} ms ({} = {status:#010x})", self.limit.as_millis(), self.name))
            .cause(Cause::Timeout)
            .hint("`reset halt` ends what the flash controller is doing; then run the command again")
    }
}

/// The second interrupt in one wait.
fn abandoned(error: Error) -> Error {
    match error.cause {
        Cause::Interrupted(signal) => Error { message: "interrupted again: the erase was left running".into(), ..error }
            .cause(Cause::Abandoned(signal))
            .hint("the chip is reset when rocd leaves, which cuts the erase short: erase it again"),
        _ => error,
    }
}

/// RDP's code in the option bytes, the same on both families (RM0433 4.5.3, RM0444 3.5.1).
fn readout_level(code: u8) -> u8 {
    match code {
        0xAA => 0,
        0xCC => 2,
        _ => 1,
    }
}

/// `register` with its `value` holds RDP's `code`.
pub(super) fn refuse_readout_protection(code: u8, register: &str, value: u32) -> Result<()> {
    let level = readout_level(code);
    if level == 0 {
        return Ok(());
    }
    let hint = match level {
        1 => "`option write RDP level0 yes --allow RDP` goes back to level 0, which erases the whole flash; nothing was changed",
        _ => "level 2 is for ever: this chip can no longer be programmed or debugged",
    };
    let message = format!("readout protection is at level {level}: the debugger cannot reach the flash ({register} = {value:#010x})");
    Err(Error::new(Kind::Protected, message).hint(hint))
}

/// What unlocks FLASH_CR on both families (RM0433 4.5.1, RM0444 3.3.6).
pub(super) const KEYS: [u32; 2] = [0x4567_0123, 0xCDEF_89AB];

/// For a controller that is not as it was left.
pub(super) const AGAIN: &str = "`reset halt`, then run the command again";

/// A controller as one bank sees it: where its registers are, and what their bits mean.
pub struct Controller<'a> {
    pub(super) bank: &'a Bank,
    /// Behind the names FLASH_CR and FLASH_SR: "2" where each bank has its own.
    pub(super) suffix: String,
    /// Registers, from the bank's base.
    pub(super) keyr: u32,
    pub(super) cr: u32,
    pub(super) sr: u32,
    /// The register, and the bits written to it, that clear every error.
    pub(super) clear: (u32, u32),
    pub(super) lock: u32,
    /// Allows programming.
    pub(super) pg: u32,
    /// Erases the sector whose number is in CR from this bit on.
    pub(super) sector: (u32, u32),
    /// Erases the bank.
    pub(super) whole: u32,
    /// Starts an erase.
    pub(super) start: u32,
    /// What says which operation, and is to read back as written.
    pub(super) operation: u32,
    /// CR's bits that every write replaces; the rest of it stays as it is.
    pub(super) replaced: u32,
    /// Goes with every operation, and what a reset leaves there (H7: PSIZE).
    pub(super) along: u32,
    pub(super) resting: u32,
    /// Status bits: an operation runs; a part of a flash word waits for the rest (H7: WBNE; 0 where the busy bits say
    /// it); ECC corrected a bit on a read.
    pub(super) busy: u32,
    pub(super) partial: u32,
    pub(super) corrected: u32,
    pub(super) errors: &'static [Flag],
    /// CR's bits for fast programming, and bytes of a row, where the family has it.
    pub(super) fast: Option<(u32, u32)>,
    /// The data sheet's maxima for a flash word, a sector, the bank.
    pub(super) times: [Duration; 3],
}

impl Controller<'_> {
    pub(super) fn at(&self, register: u32) -> u32 {
        self.bank.registers + register
    }

    fn control(&self, mem: &mut MemAp) -> Result<u32> {
        mem.read32(self.at(self.cr))
    }

    fn put(&self, mem: &mut MemAp, bits: u32) -> Result<()> {
        match self.replaced {
            u32::MAX => mem.write32(self.at(self.cr), bits),
            mask => mem.update(self.at(self.cr), mask, bits).map(|_| ()),
        }
    }

    /// CR with the bits of an operation; a write that the controller ignored is an error.
    fn set(&self, mem: &mut MemAp, bits: u32) -> Result<()> {
        let value = bits | self.along;
        self.put(mem, value)?;
        let there = self.control(mem)?;
        if there & (value | self.operation) == value {
            return Ok(());
        }
        let done = if self.replaced == u32::MAX { "written" } else { "set" };
        Err(Error::target(format!("FLASH_CR{} reads {there:#010x} after {value:#010x} was {done}", self.suffix)).hint(AGAIN))
    }

    /// Twice the data sheet's maximum: past that something else is wrong.
    fn busy(&self, limit: Duration) -> Busy {
        Busy { name: format!("FLASH_SR{}", self.suffix), address: self.at(self.sr), mask: self.busy, limit: limit * 2 }
    }

    fn idle(&self, mem: &mut MemAp) -> Result<u32> {
        self.busy(self.times[2]).wait(mem, |mem| {
            mem.sleep(Duration::from_millis(1));
            Ok(())
        })
    }

    fn clear(&self, mem: &mut MemAp) -> Result<()> {
        mem.write32(self.at(self.clear.0), self.clear.1)
    }

    /// What the status says of the operation that just ended.
    fn verdict(&self, status: u32, ears: &Ears) -> Result<()> {
        let register = format!("FLASH_SR{}", self.suffix);
        if status & self.corrected != 0 {
            ears.warn(format!("SNECCERR: ECC corrected a bit on a read of {} ({register} = {status:#010x})", self.bank.name));
        }
        decode(self.errors, status, &register)
    }

    pub fn is_locked(&self, mem: &mut MemAp) -> Result<bool> {
        Ok(self.control(mem)? & self.lock != 0)
    }

    pub(super) fn unlock(&self, mem: &mut MemAp) -> Result<()> {
        let status = self.idle(mem)?;
        if status & self.partial != 0 {
            let what = format!("a part of a flash word waits for the rest (FLASH_SR{} = {status:#010x})", self.suffix);
            return Err(Error::target(what).hint("`reset halt` discards it; then run the command again"));
        }
        self.clear(mem)?;
        // Writing KEYR while unlocked is an error, so look first (RM0433 4.5.1, RM0444 3.3.6).
        if self.is_locked(mem)? {
            for key in KEYS {
                mem.write32(self.at(self.keyr), key)?;
            }
        }
        let control = self.control(mem)?;
        if control & self.lock != 0 {
            return Err(Error::target(format!("flash stays locked (FLASH_CR{} = {control:#010x})", self.suffix))
                .hint("a wrong key locks it until the next reset: `reset halt`, then run the command again"));
        }
        self.set(mem, 0)
    }

    /// CR's bits for an erase, and how long it lasts at most (RM0433 4.3.10 sector, 4.3.11 bank; RM0444 3.3.7).
    pub(super) fn erase_bits(&self, what: Erase) -> (u32, Duration) {
        match what {
            Erase::Sector(index) => (self.sector.0 | index << self.sector.1, self.times[1]),
            Erase::Bank => (self.whole, self.times[2]),
        }
    }

    pub(super) fn erase(&self, mem: &mut MemAp, what: Erase, ears: &Ears) -> Result<()> {
        let (bits, limit) = self.erase_bits(what);
        self.set(mem, bits)?;
        self.put(mem, bits | self.along | self.start)?;
        self.finish_erase(mem, limit, ears)
    }

    /// Wait for an erase that was started.
    pub(super) fn finish_erase(&self, mem: &mut MemAp, limit: Duration, ears: &Ears) -> Result<()> {
        let (status, interrupted) = self.busy(limit).wait_long(mem, ears)?;
        self.verdict(status, ears)?;
        self.set(mem, 0)?;
        interrupted
    }

    /// RM0433 4.3.9; RM0444 3.3.8, standard programming. PG stays set over the words of a run.
    pub(super) fn program(
        &self,
        mem: &mut MemAp,
        address: u32,
        data: &[u8],
        ears: &Ears,
        done: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        self.verdict(self.idle(mem)?, ears)?;
        self.set(mem, self.pg)?;
        Writer::new(self.busy(self.times[0]), self.errors, self.partial).write(mem, self.bank, address, data, done)?;
        self.set(mem, 0)
    }

    /// CR as a reset leaves it, locked.
    pub(super) fn lock(&self, mem: &mut MemAp) -> Result<()> {
        if self.is_locked(mem)? {
            return Ok(());
        }
        self.idle(mem)?;
        self.clear(mem)?;
        self.put(mem, self.resting)?;
        self.put(mem, self.resting | self.lock)?;
        match self.control(mem)? {
            control if control & self.lock != 0 => Ok(()),
            control => Err(Error::target(format!("flash stays unlocked (FLASH_CR{} = {control:#010x})", self.suffix))),
        }
    }

    /// Its state in words: RDP's `code` and a note, then CR, SR and what `registers` says of others.
    pub(super) fn describe(&self, mem: &mut MemAp, code: u8, note: &str, registers: &str) -> Result<String> {
        let (status, control) = (mem.read32(self.at(self.sr))?, self.control(mem)?);
        let set = self.errors.iter().filter(|flag| status & (1 << flag.bit) != 0);
        let errors: String = set.map(|flag| format!("; {}: {}", flag.name, flag.text)).collect();
        Ok(format!(
            "{}, {}, readout protection level {}{note} (FLASH_CR{n} = {control:#010x}, FLASH_SR{n} = {status:#010x}, {registers}){errors}",
            if control & self.lock != 0 { "locked" } else { "unlocked" },
            if status & self.busy != 0 { "busy" } else { "idle" },
            readout_level(code),
            n = self.suffix,
        ))
    }
}

/// How words get into flash: the same on every controller that takes word stores and then shows itself busy.
struct Writer<'a> {
    status: Busy,
    errors: &'a [Flag],
    /// Bits that say a part of a flash word waits for the rest (H7: WBNE); 0 where the busy bits say it.
    partial: u32,
    looks: Cell<usize>,
}

impl<'a> Writer<'a> {
    fn new(status: Busy, errors: &'a [Flag], partial: u32) -> Writer<'a> {
        Writer { status, errors, partial, looks: Cell::new(2) }
    }

    /// Bytes between two calls of `done`: some 10 ms at the slowest probe and parallelism.
    const CHUNK: usize = 1024;

    /// Write whole flash words one after the other; PG is set.
    fn write(&self, mem: &mut MemAp, bank: &Bank, address: u32, data: &[u8], done: &mut dyn FnMut(u64) -> Result<()>) -> Result<()> {
        let mut at = address;
        for chunk in data.chunks(Self::CHUNK) {
            for word in chunk.chunks(bank.word as usize) {
                // Left unprogrammed, a word of ones stays writable (STM32G071 errata 2.25).
                if word.iter().any(|byte| *byte != 0xFF) {
                    self.word(mem, at, word).during(format_args!("writing the flash word at {at:#010x}"))?;
                }
                at += word.len() as u32;
            }
            done(chunk.len() as u64)?;
        }
        Ok(())
    }

    fn word(&self, mem: &mut MemAp, address: u32, data: &[u8]) -> Result<()> {
        match self.send(mem, address, data) {
            Err(error) if matches!(error.cause, Cause::Wait { .. }) => self.settle(mem, address, data, error),
            result => result,
        }
    }

    /// The word's stores and looks at the status register in one batch, because a round trip costs as much as a word. As
    /// many looks as the word before needed: that depends on the probe, its clock, and the parallelism.
    fn send(&self, mem: &mut MemAp, address: u32, data: &[u8]) -> Result<()> {
        const MOST: usize = 16;
        let stores = data.chunks_exact(4).zip((address..).step_by(4)).map(|(bytes, at)| MemOp::write(at, word_of(bytes)));
        let looks = std::iter::repeat_n(MemOp::read(self.status.address), self.looks.get());
        let mut ops: Vec<MemOp> = stores.chain(looks).collect();
        mem.batch(&mut ops)?;
        let looks = &ops[data.len() / 4..];
        let idle = looks.iter().position(|look| look.value() & self.status.mask == 0);
        self.looks.set(idle.map_or(MOST.min(looks.len() + 2), |index| index + 1));
        self.finish(mem, ops[ops.len() - 1].value())
    }

    /// Wait until the word is in, starting from a status already read.
    fn finish(&self, mem: &mut MemAp, status: u32) -> Result<()> {
        let status = if status & self.status.mask == 0 { status } else { self.status.wait(mem, |_| Ok(()))? };
        decode(self.errors, status, &self.status.name)
    }

    /// The batch ended in WAIT, so nobody knows which stores the chip took. The controller and the cell tell; a flash
    /// word is programmed once per erase, so it is sent again only if it is blank and nothing of it is on the way.
    fn settle(&self, mem: &mut MemAp, address: u32, data: &[u8], wait: Error) -> Result<()> {
        let status = self.status.wait(mem, |_| Ok(()))?;
        decode(self.errors, status, &self.status.name)?;
        if status & self.partial != 0 {
            return Err(wait.during(format_args!("a part of the flash word waits for the rest ({} = {status:#010x})", self.status.name)));
        }
        let mut there = vec![0; data.len()];
        mem.read_width(Width::Word, address, &mut there)?;
        if there == data {
            return Ok(());
        }
        if there.iter().all(|byte| *byte == 0xFF) {
            return self.send(mem, address, data);
        }
        Err(wait.hint("the flash word holds neither what was there nor what was written: erase its sector and write it again"))
    }
}

fn word_of(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::fake::{AP, Fake, bank};
    use std::collections::BTreeMap;

    const STATUS: u32 = 0x5200_2010;
    const WORD: u32 = 0x0800_0020;

    /// One flash word through a `Writer`, on a fake whose next batch may end in WAIT.
    fn write_word(fake: &mut Fake, data: &[u8]) -> Result<()> {
        let bank = bank(0, 0x0800_0000, 0x100, 0x100, 16);
        let status = Busy { name: "FLASH_SR1".into(), address: STATUS, mask: 7, limit: Duration::from_millis(1) };
        let errors = &[Flag { bit: 17, name: "WRPERR", text: "sector is write protected", hint: "look", kind: Kind::Protected }];
        let writer = Writer::new(status, errors, 2);
        writer.write(&mut MemAp::new(fake, AP), &bank, WORD, data, &mut |_| Ok(()))
    }

    fn stores(fake: &Fake) -> usize {
        fake.writes.iter().filter(|(address, _)| (WORD..WORD + 16).contains(address)).count()
    }

    #[test]
    fn a_word_is_stored_in_ascending_order() {
        let mut fake = Fake::default();
        write_word(&mut fake, &(0..16).collect::<Vec<u8>>()).unwrap();
        assert_eq!(fake.writes, [(WORD, 0x0302_0100), (WORD + 4, 0x0706_0504), (WORD + 8, 0x0B0A_0908), (WORD + 12, 0x0F0E_0D0C)]);
    }

    #[test]
    fn a_word_of_ones_is_never_stored() {
        let mut fake = Fake::default();
        write_word(&mut fake, &[0xFF; 16]).unwrap();
        assert_eq!(fake.writes, []);
    }

    #[test]
    fn a_word_that_came_through_before_wait_is_not_sent_again() {
        let mut fake = Fake { wait_after: Some(5), ..Fake::default() };
        write_word(&mut fake, &[3; 16]).unwrap();
        assert_eq!(stores(&fake), 4);
    }

    #[test]
    fn a_word_that_wait_kept_from_the_chip_is_sent_once_more() {
        let mut fake = Fake { wait_after: Some(2), lose_stores: true, ..Fake::default() };
        write_word(&mut fake, &[3; 16]).unwrap();
        assert_eq!((stores(&fake), fake.words[&(WORD + 12)]), (2 + 4, 0x0303_0303));
    }

    #[test]
    fn a_word_that_is_half_there_after_wait_is_an_error_with_its_address() {
        let mut fake = Fake { wait_after: Some(2), ..Fake::default() };
        let error = write_word(&mut fake, &[3; 16]).unwrap_err();
        assert_eq!(stores(&fake), 2);
        assert_eq!(error.trail, ["writing the flash word at 0x08000020"]);
        assert!(error.hint.unwrap().contains("erase its sector"));
    }

    #[test]
    fn a_word_that_waits_for_its_rest_is_not_touched() {
        let mut fake = Fake { wait_after: Some(2), lose_stores: true, words: BTreeMap::from([(STATUS, 2)]), ..Fake::default() };
        let status = Busy { name: "FLASH_SR1".into(), address: STATUS, mask: 5, limit: Duration::from_millis(1) };
        let writer = Writer::new(status, &[], 2);
        let bank = bank(0, 0x0800_0000, 0x100, 0x100, 16);
        let error = writer.write(&mut MemAp::new(&mut fake, AP), &bank, WORD, &[3; 16], &mut |_| Ok(())).unwrap_err();
        assert_eq!(error.trail[0], "a part of the flash word waits for the rest (FLASH_SR1 = 0x00000002)");
        assert_eq!(stores(&fake), 2);
    }

    #[test]
    fn a_controller_that_stays_busy_is_an_error_with_its_status() {
        let mut fake = Fake { words: BTreeMap::from([(STATUS, 4)]), ..Fake::default() };
        let error = write_word(&mut fake, &[3; 16]).unwrap_err();
        assert_eq!(error.message, "flash is still busy after 1 ms (FLASH_SR1 = 0x00000004)");
        assert_eq!(error.cause, Cause::Timeout);
    }

    #[test]
    fn a_controller_that_was_idle_in_time_is_not_late_because_the_host_was() {
        // One look takes longer than the limit.
        let status = Busy { name: "FLASH_SR".into(), address: STATUS, mask: 1, limit: Duration::from_micros(50) };
        let mut fake = Fake { words: BTreeMap::from([(STATUS, 1)]), ..Fake::default() };
        let idle = status.wait(&mut MemAp::new(&mut fake, AP), |mem| mem.write32(STATUS, 0));
        assert_eq!(idle, Ok(0));
    }

    #[test]
    fn an_error_bit_is_decoded_by_name() {
        let mut fake = Fake { words: BTreeMap::from([(STATUS, 1 << 17)]), ..Fake::default() };
        let error = write_word(&mut fake, &[3; 16]).unwrap_err();
        assert_eq!(error.message, "WRPERR: sector is write protected (FLASH_SR1 = 0x00020000)");
        assert_eq!(error.kind, Kind::Protected);
    }
}
