//! What the flash controllers of both families have in common: error bits, waiting, the writing of words.

use super::Bank;
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
pub(super) fn decode(flags: &[Flag], status: u32, register: &str) -> Option<Error> {
    let set: Vec<&Flag> = flags.iter().filter(|flag| status & (1 << flag.bit) != 0).collect();
    let first = set.first()?;
    let names: Vec<&str> = set.iter().map(|flag| flag.name).collect();
    let message = format!("{}: {} ({register} = {status:#010x})", names.join(", "), first.text);
    Some(Error::new(first.kind, message).hint(first.hint))
}

/// "; WRPERR: sector is write protected" for every bit set.
pub(super) fn flags_text(flags: &[Flag], status: u32) -> String {
    let set = flags.iter().filter(|flag| status & (1 << flag.bit) != 0);
    set.map(|flag| format!("; {}: {}", flag.name, flag.text)).collect()
}

/// A target file names a layout that its driver has not.
pub(super) fn unknown_layout(driver: &str, layout: &str, known: impl Iterator<Item = &'static str>) -> Error {
    let known: Vec<&str> = known.collect();
    Error::usage(format!("{driver} has no register layout `{layout}` (there are: {})", known.join(", ")))
}

/// A status register with its busy bits, and how long they may stay.
pub(super) struct Busy<'a> {
    pub(super) name: &'a str,
    pub(super) address: u32,
    pub(super) mask: u32,
    pub(super) limit: Duration,
}

impl Busy<'_> {
    /// The register once it is idle; `pause` between two looks.
    pub(super) fn wait(&self, mem: &mut MemAp, mut pause: impl FnMut(&mut MemAp) -> Result<()>) -> Result<u32> {
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
            .hint("the chip is reset when rocd leaves, which cuts the erase short: erase that sector again"),
        _ => error,
    }
}

/// What unlocks FLASH_CR on both families (RM0433 4.5.1, RM0444 3.3.6).
pub(super) const KEYS: [u32; 2] = [0x4567_0123, 0xCDEF_89AB];

/// RDP's code in the option bytes, the same on both families (RM0433 4.5.3, RM0444 3.5.1).
pub(super) fn readout_level(code: u8) -> u8 {
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
        1 => "going back to level 0 (RDP = 0xaa in the option bytes) erases the whole flash; nothing was changed",
        _ => "level 2 is for ever: this chip can no longer be programmed or debugged",
    };
    let message = format!("readout protection is at level {level}: the debugger cannot reach the flash ({register} = {value:#010x})");
    Err(Error::new(Kind::Protected, message).hint(hint))
}

/// How words get into flash: the same on every controller that takes word stores and then shows itself busy.
pub(super) struct Writer<'a> {
    status: Busy<'a>,
    errors: &'a [Flag],
    /// Bits that say a part of a flash word waits for the rest (H7: WBNE); 0 where the busy bits say it.
    partial: u32,
    looks: Cell<usize>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(status: Busy<'a>, errors: &'a [Flag], partial: u32) -> Writer<'a> {
        Writer { status, errors, partial, looks: Cell::new(2) }
    }

    /// Bytes between two calls of `done`: some 10 ms at the slowest probe and parallelism.
    const CHUNK: usize = 1024;

    /// Write whole flash words one after the other; PG is set.
    pub(super) fn write(
        &self,
        mem: &mut MemAp,
        bank: &Bank,
        address: u32,
        data: &[u8],
        done: &mut dyn FnMut(u64) -> Result<()>,
    ) -> Result<()> {
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
        decode(self.errors, status, self.status.name).map_or(Ok(()), Err)
    }

    /// The batch ended in WAIT, so nobody knows which stores the chip took. The controller and the cell tell; a flash
    /// word is programmed once per erase, so it is sent again only if it is blank and nothing of it is on the way.
    fn settle(&self, mem: &mut MemAp, address: u32, data: &[u8], wait: Error) -> Result<()> {
        let status = self.status.wait(mem, |_| Ok(()))?;
        decode(self.errors, status, self.status.name).map_or(Ok(()), Err)?;
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
        let status = Busy { name: "FLASH_SR1", address: STATUS, mask: 7, limit: Duration::from_millis(1) };
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
        let status = Busy { name: "FLASH_SR1", address: STATUS, mask: 5, limit: Duration::from_millis(1) };
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
        let status = Busy { name: "FLASH_SR", address: STATUS, mask: 1, limit: Duration::from_micros(50) };
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
