//! Programming: double words, and rows in fast mode.

use super::super::chip::{BusError, Ns, Size};
use super::super::flash::{Ecc, Master};
use super::{DOUBLE, FlashG0, OTP, PAGE, PROGRAM, PROGRAM_ROW, ROW, Work, cr, in_options, sr};

/// The row being filled in fast mode.
pub(super) struct FastRow {
    offset: usize,
    data: Vec<u8>,
    pub since: Ns,
}

impl FlashG0 {
    /// A store into flash or OTP (RM0444 3.3.8). Errors are flags, not bus faults.
    pub fn write(&mut self, address: u32, size: Size, value: u32, by: Master) -> Result<(), BusError> {
        if in_options(address) {
            return Err(BusError::Fault);
        }
        if by == Master::Debugger && self.options.rdp() != 0 {
            return Err(BusError::Fault);
        }
        if let Some(until) = self.busy_until() {
            return Err(BusError::Busy { until });
        }
        if self.now < self.cfg_busy {
            return Err(BusError::Fault);
        }
        let error = self.sequence_error(size);
        if error != 0 {
            self.fail(error);
        } else if self.cr & cr::FSTPG != 0 {
            self.write_fast(address, value);
        } else {
            self.write_half(address, value);
        }
        Ok(())
    }

    pub(super) fn fail(&mut self, error: u32) {
        self.flags |= error;
        self.half = None;
        self.row = None;
    }

    fn sequence_error(&self, size: Size) -> u32 {
        let program = self.cr & (cr::PG | cr::FSTPG);
        let erase = self.cr & (cr::PER | cr::MER1 | cr::MER2);
        match program {
            _ if !self.lock.is_open() || self.flags & sr::BLOCKING != 0 => sr::PGSERR,
            cr::PG | cr::FSTPG if erase == 0 && size == Size::Word => 0,
            cr::PG | cr::FSTPG if erase == 0 => sr::SIZERR,
            _ => sr::PGSERR,
        }
    }

    fn write_half(&mut self, address: u32, value: u32) {
        match self.half.take() {
            None if address.is_multiple_of(DOUBLE as u32) => self.half = Some((address, value)),
            Some((first, low)) if address == first + 4 => {
                let mut data = [0; DOUBLE];
                data[..4].copy_from_slice(&low.to_le_bytes());
                data[4..].copy_from_slice(&value.to_le_bytes());
                self.program(first, data);
            }
            _ => self.fail(sr::PGAERR),
        }
    }

    fn program(&mut self, address: u32, data: [u8; DOUBLE]) {
        let (cells, offset) = match self.place(address) {
            Some(offset) => (&self.cells, offset),
            None => (&self.otp, (address - OTP) as usize),
        };
        let zeros = data == [0; DOUBLE];
        // Erratum 2.25: what was programmed with all ones takes nothing any more, not even zeros.
        let ones = cells.bytes(offset..offset + DOUBLE).iter().all(|byte| *byte == 0xFF);
        let erased = cells.ecc(offset) == Ecc::Erased;
        if self.place(address).is_some() && self.protected(offset) {
            self.fail(sr::WRPERR);
        } else if !erased && (!zeros || ones) {
            self.fail(sr::PROGERR);
        } else {
            let otp = self.place(address).is_none();
            let work = if otp { Work::Otp { offset, data } } else { Work::Program { offset, data } };
            self.job = Some((self.now + PROGRAM, work));
        }
    }

    pub(super) fn protected(&self, offset: usize) -> bool {
        let (bank, inner) = (offset / self.bank_size(), offset % self.bank_size());
        self.options.write_protected(bank, inner)
    }

    /// FSTPG: rows of the page erased last, in order; anywhere else SR = 0x2A0 (seen on G0B1, G0B0, G030).
    fn write_fast(&mut self, address: u32, value: u32) {
        let Some(offset) = self.place(address) else { return self.fail(sr::PGAERR) };
        if self.row.is_none() && !self.starts_row(offset) {
            return self.fail(sr::FASTERR | sr::PGSERR | sr::PGAERR);
        }
        let row = self.row.get_or_insert_with(|| FastRow { offset, data: Vec::new(), since: self.now });
        if offset != row.offset + row.data.len() {
            return self.fail(sr::FASTERR | sr::PGAERR);
        }
        row.data.extend(value.to_le_bytes());
        if row.data.len() == ROW {
            self.send_row();
        }
    }

    /// After a page erase rows go in order; after a mass erase a row may start at any row not passed yet (assumed).
    fn starts_row(&self, offset: usize) -> bool {
        let inside = self.fast_window.contains(&offset) && offset.is_multiple_of(ROW);
        inside && (self.fast_window.len() > PAGE || offset == self.fast_window.start)
    }

    fn send_row(&mut self) {
        let Some(FastRow { offset, data, .. }) = self.row.take() else { return };
        if self.protected(offset) {
            return self.fail(sr::WRPERR);
        }
        self.fast_window.start = offset + ROW;
        self.job = Some((self.now + PROGRAM_ROW * Ns::from(self.unmeasured), Work::Row { offset, data }));
    }
}
