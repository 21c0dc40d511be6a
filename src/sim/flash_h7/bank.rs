//! One bank: its cells, the word that is being filled, the operation that runs and the one that waits.

use super::super::chip::{BusError, Ns, Size};
use super::super::flash::{Cells, Ecc, Lock, busy_words, names};
use super::{H7, OTP_SIZE, cr, crc, sr};
use std::ops::Range;

pub(super) enum Work {
    Program { offset: usize, data: Vec<u8> },
    Erase(Range<usize>),
    Otp { offset: usize, data: [u8; 2] },
}

pub(super) struct Job {
    pub work: Work,
    pub psize: usize,
    pub time: Ns,
}

/// A flash word on its way together.
struct Buffer {
    offset: usize,
    data: Vec<u8>,
    filled: u32,
}

pub(super) struct Bank {
    pub cells: Cells,
    /// Bank 1 only.
    pub otp: Cells,
    pub lock: Lock,
    pub cr: u32,
    /// Flags of SR that stay until CCR clears them.
    pub flags: u32,
    buffer: Option<Buffer>,
    pub running: Option<(Ns, Job)>,
    pub queued: Option<Job>,
    pub crc: crc::Unit,
    pub ecc_address: u32,
}

impl Bank {
    pub fn new(chip: &H7, index: usize) -> Bank {
        let otp = if index == 0 && chip.otp.is_some() { OTP_SIZE as usize } else { 0 };
        Bank {
            otp: Cells::blank(otp, 2),
            cells: Cells::blank(chip.bank_size as usize, chip.word as usize),
            lock: Lock::Locked,
            cr: 0,
            flags: 0,
            buffer: None,
            running: None,
            queued: None,
            crc: crc::Unit::default(),
            ecc_address: 0,
        }
    }

    /// Place in the tables of times; a die without PSIZE has one time only.
    pub fn psize(&self, chip: &H7) -> usize {
        if chip.layout.psize { (self.cr >> 4 & 3) as usize } else { 0 }
    }

    pub fn sr(&self, now: Ns) -> u32 {
        let mut value = self.flags;
        if self.running.is_some() {
            value |= sr::BSY | sr::QW;
        }
        if self.buffer.is_some() {
            value |= sr::WBNE;
        }
        if self.crc.busy(now) {
            value |= sr::CRC_BUSY;
        }
        value
    }

    pub fn busy_until(&self) -> Option<Ns> {
        let (until, _) = self.running.as_ref()?;
        Some(until + self.queued.as_ref().map_or(0, |job| job.time))
    }

    pub fn advance(&mut self, now: Ns, volts: f32) {
        while let Some((until, job)) = self.running.take_if(|(until, _)| *until <= now) {
            self.finish(job, volts);
            self.running = self.queued.take().map(|next| (until + next.time, next));
        }
    }

    pub fn begin(&mut self, now: Ns, job: Job) {
        if self.running.is_some() {
            self.queued = Some(job);
        } else {
            self.running = Some((now + job.time, job));
        }
    }

    /// x64 below 1.8 V ends in OPERR with the cells torn (assumed; DS12110 only forbids it).
    fn finish(&mut self, job: Job, volts: f32) {
        let weak = job.psize == 3 && volts < 1.8;
        match job.work {
            Work::Program { offset, data } if weak => self.cells.tear(offset..offset + data.len()),
            Work::Erase(range) if weak => self.cells.tear(range),
            Work::Program { offset, data } => self.cells.program(offset, &data),
            Work::Erase(range) => self.cells.erase(range),
            Work::Otp { offset, data } => self.otp.program(offset, &data),
        }
        self.flags |= if weak { sr::OPERR } else { sr::EOP };
    }

    /// A reset in mid-operation.
    pub fn interrupt(&mut self) {
        if let Some((_, job)) = self.running.take() {
            match job.work {
                Work::Program { offset, data } => self.cells.tear(offset..offset + data.len()),
                Work::Erase(range) => self.cells.tear(range),
                Work::Otp { offset, data } => self.otp.tear(offset..offset + data.len()),
            }
        }
        self.queued = None;
        self.buffer = None;
    }

    pub fn read(&mut self, offset: usize, size: Size, refusal: u32, word: u32) -> Result<u32, BusError> {
        if let Some(until) = self.busy_until() {
            return Err(BusError::Busy { until });
        }
        if refusal != 0 {
            self.flags |= refusal;
            return Err(BusError::Fault);
        }
        let flag = match self.cells.ecc(offset) {
            Ecc::Erased | Ecc::Written => 0,
            Ecc::OneBit => sr::SNECCERR,
            Ecc::TwoBits => sr::DBECCERR,
        };
        if flag != 0 {
            self.flags |= flag;
            self.ecc_address = offset as u32 / word;
        }
        if flag == sr::DBECCERR { Err(BusError::Fault) } else { Ok(self.cells.value(offset, size as usize)) }
    }

    /// A write into the array (RM0433 4.3.9). Errors are flags, not bus faults.
    pub fn write(&mut self, chip: &H7, now: Ns, offset: usize, size: Size, value: u32, protected: bool) -> Result<(), BusError> {
        if let (Some((until, _)), Some(_)) = (&self.running, &self.queued) {
            return Err(BusError::Busy { until: *until });
        }
        let error = self.write_error(chip, offset, size, protected);
        if error != 0 {
            self.flags |= error;
            self.buffer = None;
            return Ok(());
        }
        let word = chip.word as usize;
        let start = offset / word * word;
        let buffer = self.buffer.get_or_insert_with(|| Buffer { offset: start, data: vec![0xFF; word], filled: 0 });
        let (at, len) = (offset - start, size as usize);
        buffer.data[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
        buffer.filled |= lanes(at, len);
        if buffer.filled == lanes(0, word) {
            self.send(chip, now);
        }
        Ok(())
    }

    fn write_error(&self, chip: &H7, offset: usize, size: Size, protected: bool) -> u32 {
        let word = chip.word as usize;
        let (at, len) = (offset % word, size as usize);
        match &self.buffer {
            _ if !self.lock.is_open() || protected => sr::WRPERR,
            _ if self.cr & cr::PG == 0 || self.cr & (cr::SER | cr::BER) != 0 => sr::PGSERR,
            _ if self.flags & sr::WRITE_ERRORS != 0 => sr::PGSERR,
            Some(buffer) if buffer.offset != offset / word * word => sr::INCERR,
            Some(buffer) if buffer.filled & lanes(at, len) != 0 => sr::STRBERR,
            _ => 0,
        }
    }

    fn send(&mut self, chip: &H7, now: Ns) {
        if let Some(buffer) = self.buffer.take() {
            let psize = self.psize(chip);
            let work = Work::Program { offset: buffer.offset, data: buffer.data };
            self.begin(now, Job { work, psize, time: chip.times.program[psize] });
        }
    }

    /// CR.FW: what is missing of the word goes in as ones; without anything buffered it does nothing.
    pub fn force(&mut self, chip: &H7, now: Ns) {
        self.send(chip, now);
    }

    pub fn report(&self, index: usize, chip: &H7, now: Ns) -> String {
        let psize = if chip.layout.psize { format!(", PSIZE x{}", 8 << self.psize(chip)) } else { String::new() };
        format!(
            "bank {}: {}, {}{psize}, CR = 0x{:08x}, SR = 0x{:08x} ({})",
            index + 1,
            self.lock.word(),
            busy_words(self.busy_until()),
            self.cr | !self.lock.is_open() as u32,
            self.sr(now),
            names(sr::NAMES, self.sr(now)),
        )
    }
}

fn lanes(at: usize, len: usize) -> u32 {
    (((1u64 << len) - 1) << at) as u32
}
