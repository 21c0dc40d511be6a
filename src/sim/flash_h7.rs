//! The flash controller of STM32H7 (RM0433 ch. 4 for H74x, RM0468 for H72x, RM0455 for H7Ax): strict, with real times.
//!
//! Registers of bank 1 are at 0x52002000, those of bank 2 0x100 above; they change places with the banks (RM0399 table 19), so
//! those below are of the bank at 0x08000000. Programming goes through a buffer of one flash word and a queue of one; erasing goes first come, first
//! served. An operation changes the cells when it ends: whoever touches the bank meanwhile is told until when to wait.

mod bank;
mod crc;
mod options;
#[cfg(test)]
mod tests;

use super::chip::{BusError, Ns, Size};
use super::flash::{Ecc, Lock, Master};
use bank::{Bank, Job, Work};
use options::{Kept, Options};

/// One die's flash: what differs between the three families and their parts.
pub struct H7 {
    pub banks: usize,
    pub bank_size: u32,
    pub sector: u32,
    /// Bytes of a flash word.
    pub word: u32,
    pub layout: &'static Layout,
    pub times: &'static Times,
    pub acr: u32,
    /// Sectors that share a WPSN bit.
    pub wrp_group: u32,
    pub can_swap: bool,
    /// One-time-programmable area of 1 KiB in 16-bit words (H7Ax), with OTPBL.
    pub otp: Option<u32>,
    /// OPTSR2 is there (H72x).
    pub optsr2: bool,
    pub optsr: u32,
    /// Dual core: what the boot addresses of the second core leave the factory with.
    pub boot4: Option<u32>,
}

/// Where CR keeps what.
pub struct Layout {
    pub fw: u32,
    pub start: u32,
    pub snb: u32,
    pub snb_mask: u32,
    /// CR.PSIZE is there, and SR.OPERR.
    pub psize: bool,
    pub reset: u32,
    /// Bits that can be written.
    pub mask: u32,
}

/// Typical times by PSIZE (8, 16, 32, 64 bits).
pub struct Times {
    pub program: [Ns; 4],
    pub sector: [Ns; 4],
    pub bank: [Ns; 4],
}

/// H74x, H72x: RM0433 4.9.4.
pub const LAYOUT_H74: Layout = Layout { fw: 6, start: 7, snb: 8, snb_mask: 7, psize: true, reset: 0x31, mask: 0x1FEF_87FF };
/// H7Ax: RM0455 4.9.4; no PSIZE, seven bits of SNB.
pub const LAYOUT_H7A: Layout = Layout { fw: 4, start: 5, snb: 6, snb_mask: 0x7F, psize: false, reset: 0x01, mask: 0x1FAF_9FFF };

/// DS12110 tables 53 and 140: typical; the bank erase is from memory (assumed).
pub const TIMES_H74: Times = Times {
    program: [290_000, 180_000, 130_000, 100_000],
    sector: [2_000_000_000, 1_800_000_000, 1_100_000_000, 1_000_000_000],
    bank: [13_000_000_000, 8_000_000_000, 6_000_000_000, 5_000_000_000],
};
/// H7Ax: all assumed (20 µs a word, 2 ms a sector, 10 ms a bank); only the sector's maximum of 3 ms is published.
pub const TIMES_H7A: Times = Times { program: [20_000; 4], sector: [2_000_000; 4], bank: [10_000_000; 4] };

const BANK_BASES: [u32; 2] = [0x0800_0000, 0x0810_0000];
pub const REGISTERS: u32 = 0x5200_2000;
const OTP_SIZE: u32 = 1024;
const KEYS: [u32; 2] = [0x4567_0123, 0xCDEF_89AB];

mod cr {
    pub const LOCK: u32 = 1 << 0;
    pub const PG: u32 = 1 << 1;
    pub const SER: u32 = 1 << 2;
    pub const BER: u32 = 1 << 3;
    pub const CRC_EN: u32 = 1 << 15;
}

mod sr {
    pub const BSY: u32 = 1 << 0;
    pub const WBNE: u32 = 1 << 1;
    pub const QW: u32 = 1 << 2;
    pub const CRC_BUSY: u32 = 1 << 3;
    pub const EOP: u32 = 1 << 16;
    pub const WRPERR: u32 = 1 << 17;
    pub const PGSERR: u32 = 1 << 18;
    pub const STRBERR: u32 = 1 << 19;
    pub const INCERR: u32 = 1 << 21;
    pub const OPERR: u32 = 1 << 22;
    pub const RDPERR: u32 = 1 << 23;
    pub const RDSERR: u32 = 1 << 24;
    pub const SNECCERR: u32 = 1 << 25;
    pub const DBECCERR: u32 = 1 << 26;
    pub const CRCEND: u32 = 1 << 27;
    pub const CRCRDERR: u32 = 1 << 28;
    /// Errors of writing and erasing: none of them may stand when the next operation starts (assumed: HAL refuses too).
    pub const WRITE_ERRORS: u32 = WRPERR | PGSERR | STRBERR | INCERR | OPERR;
    pub const NAMES: &[(u32, &str)] = &[
        (0, "BSY"),
        (1, "WBNE"),
        (2, "QW"),
        (3, "CRC_BUSY"),
        (16, "EOP"),
        (17, "WRPERR"),
        (18, "PGSERR"),
        (19, "STRBERR"),
        (21, "INCERR"),
        (22, "OPERR"),
        (23, "RDPERR"),
        (24, "RDSERR"),
        (25, "SNECCERR"),
        (26, "DBECCERR"),
        (27, "CRCEND"),
        (28, "CRCRDERR"),
    ];
}

pub struct FlashH7 {
    chip: &'static H7,
    now: Ns,
    /// Volts on VDD: x64 needs 1.8 V (DS12110).
    pub volts: f32,
    /// How many times longer than written here assumed times last: erasing a bank, the CRC unit.
    pub unmeasured: u32,
    acr: u32,
    banks: Vec<Bank>,
    options: Options,
    /// The CRC unit's result, one for both banks (HAL reads 0x5C for bank 2 too).
    crc_data: u32,
}

impl FlashH7 {
    pub fn new(chip: &'static H7) -> FlashH7 {
        let mut flash = FlashH7 {
            chip,
            now: 0,
            volts: 3.3,
            unmeasured: 1,
            acr: chip.acr,
            banks: (0..chip.banks).map(|index| Bank::new(chip, index)).collect(),
            options: Options::new(chip),
            crc_data: 0,
        };
        flash.reset();
        flash
    }

    /// Any reset stops what runs and leaves those cells torn; the swap takes effect here.
    pub fn reset(&mut self) {
        for bank in &mut self.banks {
            bank.interrupt();
            bank.lock = Lock::Locked;
            bank.cr = self.chip.layout.reset & !cr::LOCK;
            bank.flags = 0;
            bank.crc = crc::Unit::default();
            bank.ecc_address = 0;
        }
        self.acr = self.chip.acr;
        self.crc_data = 0;
        self.options.reset();
    }

    pub fn advance(&mut self, now: Ns) {
        self.now = now;
        let volts = self.volts;
        for bank in &mut self.banks {
            bank.advance(now, volts);
        }
        self.advance_crc();
        if let Some(kept) = self.options.advance(now) {
            self.regress(&kept);
        }
    }

    /// RDP 1 → 0: every sector but those of kept areas is erased (RM0399 4.5.3); its time was counted with the option change.
    fn regress(&mut self, kept: &Kept) {
        for (index, bank) in self.banks.iter_mut().enumerate() {
            for start in (0..self.chip.bank_size).step_by(self.chip.sector as usize) {
                let sector = start..start + self.chip.sector;
                if !kept.holds(index, sector.clone()) {
                    bank.cells.erase(sector.start as usize..sector.end as usize);
                }
            }
        }
    }

    fn place(&self, address: u32) -> Option<(usize, usize)> {
        let place = (0..self.chip.banks).find(|bank| address.wrapping_sub(BANK_BASES[*bank]) < self.chip.bank_size)?;
        let bank = if self.options.swapped { 1 - place } else { place };
        Some((bank, (address - BANK_BASES[place]) as usize))
    }

    /// The bank that this register is of; both have those of neither.
    fn bank_of(&self, offset: u32) -> Option<usize> {
        let place = Some(offset as usize / 0x100).filter(|place| *place < self.chip.banks)?;
        Some(if self.options.swapped { 1 - place } else { place })
    }

    fn otp_offset(&self, address: u32) -> Option<usize> {
        let offset = address.wrapping_sub(self.chip.otp?);
        (offset < OTP_SIZE).then_some(offset as usize)
    }

    /// Flash and OTP memory.
    pub fn holds(&self, address: u32) -> bool {
        self.place(address).is_some() || self.otp_offset(address).is_some()
    }

    pub fn read(&mut self, address: u32, size: Size, by: Master) -> Result<u32, BusError> {
        if by == Master::Debugger && self.options.rdp() != 0 {
            return Err(BusError::Fault);
        }
        if let Some(offset) = self.otp_offset(address) {
            return Ok(self.banks[0].otp.value(offset, size as usize));
        }
        let (bank, offset) = self.place(address).ok_or(BusError::Fault)?;
        let refusal = self.options.read_error(bank, offset as u32);
        self.banks[bank].read(offset, size, refusal, self.chip.word)
    }

    pub fn write(&mut self, address: u32, size: Size, value: u32, by: Master) -> Result<(), BusError> {
        if by == Master::Debugger && self.options.rdp() != 0 {
            return Err(BusError::Fault);
        }
        if let Some(offset) = self.otp_offset(address) {
            return self.write_otp(offset, size, value);
        }
        let (bank, offset) = self.place(address).ok_or(BusError::Fault)?;
        let protected = self.options.write_protected(bank, offset as u32);
        self.banks[bank].write(self.chip, self.now, offset, size, value, protected)
    }

    /// OTP goes in half words, with OPTCR.PG_OTP, block by block until OTPBL locks it (RM0455 4.3.10).
    fn write_otp(&mut self, offset: usize, size: Size, value: u32) -> Result<(), BusError> {
        let locked = self.options.otp_locked(offset);
        let open = self.options.pg_otp && size == Size::Half;
        let bank = &mut self.banks[0];
        if let Some(until) = bank.busy_until() {
            return Err(BusError::Busy { until });
        }
        match (open, locked) {
            (false, _) => bank.flags |= sr::PGSERR,
            (_, true) => bank.flags |= sr::WRPERR,
            _ => {
                let work = Work::Otp { offset, data: (value as u16).to_le_bytes() };
                bank.begin(self.now, Job { work, psize: 0, time: self.chip.times.program[0] });
            }
        }
        Ok(())
    }

    /// A register's value; offsets from 0x52002000. `None`: reserved.
    pub fn reg(&self, offset: u32) -> Option<u32> {
        let bank = self.bank_of(offset)?;
        let state = &self.banks[bank];
        Some(match offset % 0x100 {
            0x00 => self.acr,
            0x04 | 0x08 | 0x14 | 0x24 => 0,
            0x0C => state.cr | !state.lock.is_open() as u32,
            0x10 => state.sr(self.now),
            0x50 => state.crc.cr,
            0x54 => state.crc.start,
            0x58 => state.crc.end,
            0x5C => self.crc_data,
            0x60 => state.ecc_address,
            other => return self.options.reg(bank, other),
        })
    }

    /// False: reserved.
    pub fn write_reg(&mut self, offset: u32, value: u32) -> Result<bool, BusError> {
        let Some(index) = self.bank_of(offset) else { return Ok(false) };
        // RM0433 gives bits 19:2 of an address within the bank.
        let inner = (self.chip.bank_size - 1) & !3;
        let bank = &mut self.banks[index];
        match offset % 0x100 {
            0x00 => self.acr = value & 0x3F,
            0x04 if !bank.lock.key(KEYS, value) => return Err(BusError::Fault),
            0x04 | 0x10 | 0x5C | 0x60 => (),
            0x0C => self.write_cr(index, value),
            0x14 => bank.flags &= !value,
            0x18 => self.write_optcr(value),
            0x50 => self.write_crccr(index, value),
            0x54 => bank.crc.start = value & inner,
            0x58 => bank.crc.end = value & inner,
            other => return self.options.write(self.chip, index, other, value),
        }
        Ok(true)
    }

    fn write_cr(&mut self, index: usize, value: u32) {
        let layout = self.chip.layout;
        let bank = &mut self.banks[index];
        if !bank.lock.is_open() {
            return;
        }
        let (start, force) = (value >> layout.start & 1 == 1, value >> layout.fw & 1 == 1);
        bank.cr = value & layout.mask & !(cr::LOCK | 1 << layout.start | 1 << layout.fw);
        if force {
            bank.force(self.chip, self.now);
        }
        if start {
            self.start(index);
        }
        if value & cr::LOCK != 0 {
            self.banks[index].lock.shut();
        }
    }

    /// CR.START: a sector or the whole bank (RM0433 4.3.10). What does not fit together is PGSERR (assumed in detail).
    fn start(&mut self, index: usize) {
        let chip = self.chip;
        let bank = &mut self.banks[index];
        let sector = bank.cr >> chip.layout.snb & chip.layout.snb_mask;
        let whole = bank.cr & cr::BER != 0;
        let range = if whole { 0..chip.bank_size } else { sector * chip.sector..(sector + 1) * chip.sector };
        let consistent = bank.cr & (cr::SER | cr::BER) != 0 && bank.cr & cr::PG == 0 && range.end <= chip.bank_size;
        if !consistent || bank.flags & sr::WRITE_ERRORS != 0 || bank.busy_until().is_some() {
            bank.flags |= sr::PGSERR;
        } else if range.clone().step_by(chip.sector as usize).any(|at| self.options.write_protected(index, at)) {
            bank.flags |= sr::WRPERR;
        } else {
            let psize = bank.psize(chip);
            let time = if whole { chip.times.bank[psize] * Ns::from(self.unmeasured) } else { chip.times.sector[psize] };
            let work = Work::Erase(range.start as usize..range.end as usize);
            bank.begin(self.now, Job { work, psize, time });
        }
    }

    /// OPTCR: MER erases both banks, each with its own PSIZE and only if its CR is unlocked (assumed: else WRPERR).
    fn write_optcr(&mut self, value: u32) {
        if !self.options.write_optcr(self.chip, self.now, value) {
            return;
        }
        for index in 0..self.banks.len() {
            let bank = &mut self.banks[index];
            if bank.lock.is_open() {
                bank.cr |= cr::BER;
                self.start(index);
            } else {
                bank.flags |= sr::WRPERR;
            }
        }
    }

    /// When the first of what runs ends: a program or erase operation, an option change, a CRC.
    pub fn next_event(&self) -> Option<Ns> {
        let banks = self.banks.iter().flat_map(|bank| [bank.running.as_ref().map(|(until, _)| *until), bank.crc.until()]);
        banks.flatten().chain(self.options.until()).min()
    }

    /// Level 2: the debug port is closed for good.
    pub fn debug_closed(&self) -> bool {
        self.options.loaded_rdp() == 2
    }

    /// Where the core finds its vectors: BOOT_ADD0 with the BOOT pin low, else BOOT_ADD1.
    pub fn boot_address(&self, boot_pin: bool) -> u32 {
        self.options.boot_address(boot_pin)
    }

    /// As `boot_address`, for the second core: BOOT4_ADD0 or BOOT4_ADD1.
    pub fn second_boot_address(&self, boot_pin: bool) -> u32 {
        self.options.second_boot_address(boot_pin)
    }

    /// OPTSR.BCM7 and BCM4: which of two cores start with a reset.
    pub fn boots(&self) -> (bool, bool) {
        self.options.boots()
    }

    /// OPTSR.IWDG1_SW = 0: the independent watchdog starts with every reset.
    pub fn hardware_watchdog(&self) -> bool {
        self.options.hardware_watchdog()
    }

    /// Memory from this address to the end of its array.
    pub fn memory(&self, address: u32) -> Option<&[u8]> {
        match self.otp_offset(address) {
            Some(offset) => Some(self.banks[0].otp.from(offset)),
            None => self.place(address).map(|(bank, offset)| self.banks[bank].cells.from(offset)),
        }
    }

    pub fn poke(&mut self, address: u32, bytes: &[u8]) -> usize {
        match (self.otp_offset(address), self.place(address)) {
            (Some(offset), _) => self.banks[0].otp.poke(offset, bytes),
            (None, Some((bank, offset))) => self.banks[bank].cells.poke(offset, bytes),
            (None, None) => 0,
        }
    }

    /// By the board's own door: options are set in their _CUR registers, and count as programmed.
    pub fn poke_reg(&mut self, offset: u32, value: u32) -> bool {
        let (Some(bank), offset) = (self.bank_of(offset), offset % 0x100) else { return false };
        match offset {
            0x00 => self.acr = value,
            0x0C => self.banks[bank].cr = value & self.chip.layout.mask & !cr::LOCK,
            0x10 => self.banks[bank].flags = value & !0xF,
            _ => return self.options.poke(bank, offset, value),
        }
        true
    }

    /// Damages the ECC of one flash word: a flipped bit, or a torn word.
    pub fn set_ecc(&mut self, address: u32, ecc: Ecc) -> bool {
        self.place(address).map(|(bank, offset)| self.banks[bank].cells.set_ecc(offset, ecc)).is_some()
    }

    pub fn report(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (index, bank) in self.banks.iter().enumerate() {
            lines.push(bank.report(index, self.chip, self.now));
        }
        lines.extend(self.options.report(self.chip));
        lines
    }

    /// Named parts for `sim save`.
    pub fn save(&self) -> Vec<(String, Vec<u8>)> {
        let banks = self.banks.iter().enumerate().map(|(index, bank)| (format!("bank{index}"), bank.cells.save()));
        banks.chain([("otp".into(), self.banks[0].otp.save()), ("options".into(), self.options.save())]).collect()
    }

    pub fn load(&mut self, name: &str, bytes: &[u8]) -> bool {
        match name {
            "otp" => self.banks[0].otp.load(bytes),
            "options" => self.options.load(bytes),
            _ => match name.strip_prefix("bank").and_then(|index| index.parse::<usize>().ok()) {
                Some(index) if index < self.banks.len() => self.banks[index].cells.load(bytes),
                _ => false,
            },
        }
    }
}
