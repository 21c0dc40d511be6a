//! The flash controller of STM32G0 (RM0444 ch. 3): double words, pages, one or two banks, fast rows; strict, with real
//! times. Registers at 0x40022000.
//!
//! An operation changes the cells when it ends; whoever touches the bank meanwhile is told until when to wait. The two
//! banks of the G0B1 erase together only by one mass erase of both.

mod options;
mod program;
#[cfg(test)]
mod tests;

use super::chip::{BusError, Cause, Ns, Size};
use super::flash::{Cells, Ecc, Lock, Master, busy_words, names};
pub use options::Boot;
use options::Options;
use program::FastRow;
use std::ops::Range;

/// What differs between the dies.
pub struct G0 {
    pub size: u32,
    pub banks: Banks,
    /// PCROP, SECR, BOOT_LOCK, RDERR are there (not on G0x0).
    pub extended: bool,
    /// Bits of a page number in WRPxR, of a PCROP unit, of SEC_SIZE.
    pub wrp_bits: u32,
    pub pcrop_bits: u32,
    pub sec_bits: u32,
    pub optr: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Banks {
    One,
    /// 512 KiB parts of G0B1: always two, whatever OPTR.DUAL_BANK says.
    Two,
}

pub const REGISTERS: u32 = 0x4002_2000;
const BASE: u32 = 0x0800_0000;
const PAGE: usize = 2048;
const ROW: usize = 256;
const DOUBLE: usize = 8;
const OTP: u32 = 0x1FFF_7000;
const OTP_SIZE: u32 = 1024;
const OPTION_BYTES: u32 = 0x1FFF_7800;
const KEYS: [u32; 2] = [0x4567_0123, 0xCDEF_89AB];

/// DS of STM32G030: typical; row and mass erase are from memory (assumed).
const PROGRAM: Ns = 85_000;
const ERASE_PAGE: Ns = 22_000_000;
const ERASE_BANK: Ns = 22_100_000;
const PROGRAM_ROW: Ns = 1_700_000;
/// How long a row's words may take to arrive: the high voltage must not last longer (HAL comment, 7 ms).
const ROW_LIMIT: Ns = 7_000_000;
/// CFGBSY outlives an erase by a little (seen on G0B1; the time is assumed).
const CFGBSY_TAIL: Ns = 5_000;

mod cr {
    pub const PG: u32 = 1 << 0;
    pub const PER: u32 = 1 << 1;
    pub const MER1: u32 = 1 << 2;
    pub const BKER: u32 = 1 << 13;
    pub const MER2: u32 = 1 << 15;
    pub const STRT: u32 = 1 << 16;
    pub const OPTSTRT: u32 = 1 << 17;
    pub const FSTPG: u32 = 1 << 18;
    pub const EOPIE: u32 = 1 << 24;
    pub const OBL_LAUNCH: u32 = 1 << 27;
    pub const SEC_PROT: u32 = 1 << 28;
    pub const SEC_PROT2: u32 = 1 << 29;
    pub const OPTLOCK: u32 = 1 << 30;
    pub const LOCK: u32 = 1 << 31;
}

mod sr {
    pub const EOP: u32 = 1 << 0;
    pub const OPERR: u32 = 1 << 1;
    pub const PROGERR: u32 = 1 << 3;
    pub const WRPERR: u32 = 1 << 4;
    pub const PGAERR: u32 = 1 << 5;
    pub const SIZERR: u32 = 1 << 6;
    pub const PGSERR: u32 = 1 << 7;
    pub const MISERR: u32 = 1 << 8;
    pub const FASTERR: u32 = 1 << 9;
    pub const RDERR: u32 = 1 << 14;
    pub const OPTVERR: u32 = 1 << 15;
    pub const BSY1: u32 = 1 << 16;
    pub const BSY2: u32 = 1 << 17;
    pub const CFGBSY: u32 = 1 << 18;
    /// While one of these stands, nothing starts (RM0444 3.3.8: PGSERR).
    pub const BLOCKING: u32 = OPERR | PROGERR | WRPERR | PGAERR | SIZERR | PGSERR | MISERR | FASTERR;
    pub const FLAGS: u32 = EOP | BLOCKING | RDERR | OPTVERR;
    pub const NAMES: &[(u32, &str)] = &[
        (0, "EOP"),
        (1, "OPERR"),
        (3, "PROGERR"),
        (4, "WRPERR"),
        (5, "PGAERR"),
        (6, "SIZERR"),
        (7, "PGSERR"),
        (8, "MISERR"),
        (9, "FASTERR"),
        (14, "RDERR"),
        (15, "OPTVERR"),
        (16, "BSY1"),
        (17, "BSY2"),
        (18, "CFGBSY"),
    ];
}

mod acr {
    pub const EMPTY: u32 = 1 << 16;
    pub const DBG_SWEN: u32 = 1 << 18;
    /// The whole line, also where the header lacks DBG_SWEN (seen on G0x0 and G0x1).
    pub const RESET: u32 = 0x0004_0600;
    pub const MASK: u32 = 0x0005_0F07;
}

enum Work {
    Program { offset: usize, data: [u8; DOUBLE] },
    Otp { offset: usize, data: [u8; DOUBLE] },
    Row { offset: usize, data: Vec<u8> },
    Erase(Range<usize>),
    Options,
}

pub struct FlashG0 {
    chip: &'static G0,
    now: Ns,
    pub volts: f32,
    /// How many times longer than written here assumed times last: rows and mass erase.
    pub unmeasured: u32,
    /// What is assumed of fast rows after a mass erase does not hold.
    pub rows_by_page: bool,
    /// The core has read a word with a double error.
    pub nmi: bool,
    acr: u32,
    lock: Lock,
    cr: u32,
    flags: u32,
    eccr: [u32; 2],
    cells: Cells,
    otp: Cells,
    pub options: Options,
    /// Address and value of the first word of a double word.
    half: Option<(u32, u32)>,
    row: Option<FastRow>,
    /// Where the next fast row may go: start of the page erased last, up to its end.
    fast_window: Range<usize>,
    job: Option<(Ns, Work)>,
    cfg_busy: Ns,
    /// OBL_LAUNCH was set: the chip resets with its options loaded anew.
    pub launch: bool,
}

impl FlashG0 {
    pub fn new(chip: &'static G0) -> FlashG0 {
        let mut flash = FlashG0 {
            chip,
            now: 0,
            volts: 3.3,
            unmeasured: 1,
            rows_by_page: false,
            nmi: false,
            acr: acr::RESET,
            lock: Lock::Locked,
            cr: 0,
            flags: 0,
            eccr: [0; 2],
            cells: Cells::blank(chip.size as usize, DOUBLE),
            otp: Cells::blank(OTP_SIZE as usize, DOUBLE),
            options: Options::new(chip),
            half: None,
            row: None,
            fast_window: 0..0,
            job: None,
            cfg_busy: 0,
            launch: false,
        };
        flash.reset(Cause::Power);
        flash
    }

    /// Options and EMPTY are loaded at power-on and by OBL_LAUNCH only; EMPTY stays over other resets (facts of real
    /// chips, and HAL's comment).
    pub fn reset(&mut self, cause: Cause) {
        self.interrupt();
        self.lock = Lock::Locked;
        self.cr = 0;
        self.flags = 0;
        self.eccr = [0; 2];
        self.half = None;
        self.row = None;
        self.fast_window = 0..0;
        self.cfg_busy = 0;
        self.launch = false;
        self.acr = acr::RESET | self.acr & acr::EMPTY;
        let load = matches!(cause, Cause::Power | Cause::Options);
        if !self.options.reset(load) {
            self.flags |= sr::OPTVERR;
        }
        if self.options.debug_sealed() {
            self.acr &= !acr::DBG_SWEN;
        }
        if load {
            let blank = self.cells.value(self.physical(0), 4) == u32::MAX;
            self.acr = self.acr & !acr::EMPTY | if blank { acr::EMPTY } else { 0 };
        }
    }

    fn interrupt(&mut self) {
        match self.job.take() {
            Some((_, Work::Program { offset, .. })) => self.cells.tear(offset..offset + DOUBLE),
            Some((_, Work::Otp { offset, .. })) => self.otp.tear(offset..offset + DOUBLE),
            Some((_, Work::Row { offset, .. })) => self.cells.tear(offset..offset + ROW),
            Some((_, Work::Erase(range))) => self.cells.tear(range),
            Some((_, Work::Options)) => self.options.tear(),
            None => (),
        }
    }

    pub fn advance(&mut self, now: Ns) {
        self.now = now;
        if self.row.as_ref().is_some_and(|row| now - row.since > ROW_LIMIT) {
            self.row = None;
            self.flags |= sr::MISERR | sr::FASTERR;
        }
        if let Some((until, work)) = self.job.take_if(|(until, _)| *until <= now) {
            self.finish(until, work);
        }
    }

    /// Below 1.7 V the operation fails: OPERR and torn cells (assumed).
    fn finish(&mut self, until: Ns, work: Work) {
        if self.volts < 1.7 {
            self.job = Some((until, work));
            self.interrupt();
            self.flags |= sr::OPERR;
            return;
        }
        match work {
            Work::Program { offset, data } => self.cells.program(offset, &data),
            Work::Otp { offset, data } => self.otp.program(offset, &data),
            Work::Row { offset, data } => {
                let words = data.chunks_exact(DOUBLE).enumerate();
                words.for_each(|(index, word)| self.cells.program(offset + index * DOUBLE, word));
            }
            Work::Erase(range) => {
                self.cells.erase(range);
                self.cfg_busy = until + CFGBSY_TAIL;
            }
            Work::Options => {
                let pages = (0..self.cells.size()).step_by(PAGE);
                let kept: Vec<usize> = pages.clone().filter(|page| self.kept(*page)).collect();
                if let Some(partly) = self.options.program() {
                    let erased = pages.filter(|page| !partly || !kept.contains(page));
                    erased.for_each(|page| self.cells.erase(page..page + PAGE));
                }
            }
        }
        self.cr &= !(cr::STRT | cr::OPTSTRT);
        if self.cr & cr::EOPIE != 0 {
            self.flags |= sr::EOP;
        }
    }

    /// A page that going from RDP level 1 to 0 leaves alone while PCROP_RDP is 0 (RM0490 table 24).
    fn kept(&self, page: usize) -> bool {
        let (bank, inner) = (page / self.bank_size(), page % self.bank_size());
        let pcrop = (inner..inner + PAGE).step_by(ROW).any(|at| self.options.in_pcrop(bank, at));
        pcrop && !self.options.in_secure(bank, inner)
    }

    fn bank_size(&self) -> usize {
        self.cells.size() / if self.chip.banks == Banks::Two { 2 } else { 1 }
    }

    /// From an offset as the bus sees it to the cells: banks may be swapped.
    fn physical(&self, offset: usize) -> usize {
        if self.chip.banks == Banks::Two && self.options.swapped() { (offset + self.bank_size()) % self.cells.size() } else { offset }
    }

    fn place(&self, address: u32) -> Option<usize> {
        let offset = address.wrapping_sub(BASE);
        (offset < self.chip.size).then(|| self.physical(offset as usize))
    }

    pub fn holds(&self, address: u32) -> bool {
        self.place(address).is_some() || in_otp(address) || in_options(address)
    }

    /// The bank at work and until when.
    fn job_range(&self) -> Option<(Range<usize>, Ns)> {
        let (until, work) = self.job.as_ref()?;
        let bank = self.bank_size();
        let whole = |offset: usize| offset / bank * bank..offset / bank * bank + bank;
        let range = match work {
            Work::Program { offset, .. } | Work::Row { offset, .. } => whole(*offset),
            Work::Erase(range) if range.len() > bank => range.clone(),
            Work::Erase(range) => whole(range.start),
            Work::Otp { .. } | Work::Options => whole(0),
        };
        Some((range, *until))
    }

    pub fn busy_until(&self) -> Option<Ns> {
        self.job.as_ref().map(|(until, _)| *until)
    }

    /// When something here changes by itself next: the operation ends, CFGBSY falls, or an unfinished row is given up.
    pub fn next_event(&self) -> Option<Ns> {
        let config = (self.now < self.cfg_busy).then_some(self.cfg_busy);
        let row = self.row.as_ref().map(|row| row.since + ROW_LIMIT + 1);
        self.busy_until().into_iter().chain(config).chain(row).min()
    }

    pub fn read(&mut self, address: u32, size: Size, by: Master) -> Result<u32, BusError> {
        if in_options(address) {
            return Ok(self.options.memory(address - OPTION_BYTES, size as usize));
        }
        if in_otp(address) {
            return Ok(self.otp.value((address - OTP) as usize, size as usize));
        }
        let offset = self.place(address).ok_or(BusError::Fault)?;
        match self.job_range() {
            Some((range, until)) if range.contains(&offset) => return Err(BusError::Busy { until }),
            _ => (),
        }
        self.check_read(offset, by)?;
        self.note_ecc(offset, by);
        Ok(self.cells.value(offset, size as usize))
    }

    /// Read protection stops the debugger, the secure area everyone once SEC_PROT is set; PCROP raises RDERR. That they
    /// end in a bus fault is assumed for PCROP and the secure area.
    fn check_read(&mut self, offset: usize, by: Master) -> Result<(), BusError> {
        let (bank, inner) = (offset / self.bank_size(), offset % self.bank_size());
        let sealed = self.cr & [cr::SEC_PROT, cr::SEC_PROT2][bank] != 0;
        if by == Master::Debugger && self.options.rdp() != 0 || sealed && self.options.in_secure(bank, inner) {
            return Err(BusError::Fault);
        }
        if self.options.in_pcrop(bank, inner) {
            self.flags |= sr::RDERR;
            return Err(BusError::Fault);
        }
        Ok(())
    }

    /// A double error is an NMI for the core (RM0444 3.3.2) and a flag for the debugger; the data is what the cells hold.
    fn note_ecc(&mut self, offset: usize, by: Master) {
        let flag = match self.cells.ecc(offset) {
            Ecc::Erased | Ecc::Written => return,
            Ecc::OneBit => 1 << 30,
            Ecc::TwoBits => 1 << 31,
        };
        let (bank, inner) = (offset / self.bank_size(), offset % self.bank_size());
        self.eccr[bank] = flag | (inner / DOUBLE) as u32;
        self.nmi |= flag >> 31 == 1 && by == Master::Core;
    }

    pub fn reg(&self, offset: u32) -> Option<u32> {
        Some(match offset {
            0x00 => self.acr,
            0x08 | 0x0C => 0,
            0x10 => self.sr(),
            0x14 => self.cr_value(),
            0x18 => self.eccr[0],
            0x1C if self.chip.banks == Banks::Two => self.eccr[1],
            _ => return self.options.reg(offset),
        })
    }

    fn cr_value(&self) -> u32 {
        let lock = if self.lock.is_open() { 0 } else { cr::LOCK };
        let optlock = if self.options.lock.is_open() { 0 } else { cr::OPTLOCK };
        self.cr | lock | optlock
    }

    fn sr(&self) -> u32 {
        let mut value = self.flags;
        if let Some((range, _)) = self.job_range() {
            let bank = self.bank_size();
            value |= if range.start < bank { sr::BSY1 } else { 0 };
            value |= if range.end > bank { sr::BSY2 } else { 0 };
        }
        if self.job.is_some() || self.half.is_some() || self.row.is_some() || self.now < self.cfg_busy {
            value |= sr::CFGBSY;
        }
        value
    }

    /// False: reserved.
    pub fn write_reg(&mut self, offset: u32, value: u32) -> Result<bool, BusError> {
        match offset {
            0x00 => self.acr = value & acr::MASK,
            0x08 if !self.lock.key(KEYS, value) => return Err(BusError::Fault),
            0x0C if !self.options.key(self.lock.is_open(), value) => return Err(BusError::Fault),
            0x08 | 0x0C => (),
            0x10 => self.flags &= !(value & sr::FLAGS),
            0x14 => self.write_cr(value)?,
            0x18 => self.eccr[0] &= !(value & 3 << 30),
            0x1C if self.chip.banks == Banks::Two => self.eccr[1] &= !(value & 3 << 30),
            _ => return Ok(self.options.write(offset, value)),
        }
        Ok(true)
    }

    /// The bus is held while an operation runs (RM0444 3.7.5).
    fn write_cr(&mut self, value: u32) -> Result<(), BusError> {
        if let Some(until) = self.busy_until() {
            return Err(BusError::Busy { until });
        }
        if !self.lock.is_open() {
            return Ok(());
        }
        let two = if self.chip.banks == Banks::Two { cr::BKER | cr::MER2 | cr::SEC_PROT2 } else { 0 };
        let secure = if self.chip.extended { cr::SEC_PROT } else { 0 };
        let mask = 0x0704_1FFF | two | secure;
        self.cr = value & mask | self.cr & (cr::SEC_PROT | cr::SEC_PROT2);
        if self.cr & cr::FSTPG == 0 {
            self.row = None;
        }
        if value & cr::STRT != 0 {
            self.start();
        }
        if self.options.lock.is_open() {
            self.start_options(value);
        }
        if value & cr::OPTLOCK != 0 || value & cr::LOCK != 0 {
            self.options.lock.shut();
        }
        if value & cr::LOCK != 0 {
            self.lock.shut();
        }
        Ok(())
    }

    fn start_options(&mut self, value: u32) {
        if value & cr::OBL_LAUNCH != 0 {
            self.launch = true;
        }
        if value & cr::OPTSTRT == 0 {
            return;
        }
        match self.options.start() {
            Some(time) => {
                self.cr |= cr::OPTSTRT;
                self.job = Some((self.now + time, Work::Options));
            }
            None => self.flags |= sr::WRPERR,
        }
    }

    /// A page, or one or both banks (RM0444 3.3.7).
    fn start(&mut self) {
        let Some(range) = self.erase_range() else { return self.fail(sr::PGSERR) };
        if self.cr & (cr::PG | cr::FSTPG) != 0 || self.flags & sr::BLOCKING != 0 {
            self.fail(sr::PGSERR);
        } else if range.clone().step_by(PAGE).any(|page| self.protected(page)) {
            self.fail(sr::WRPERR);
        } else {
            let time = if range.len() == PAGE { ERASE_PAGE } else { ERASE_BANK * Ns::from(self.unmeasured) };
            self.cr |= cr::STRT;
            self.fast_window = if self.rows_by_page && range.len() > PAGE { 0..0 } else { range.clone() };
            self.job = Some((self.now + time, Work::Erase(range)));
        }
    }

    fn erase_range(&self) -> Option<Range<usize>> {
        let bank = self.bank_size();
        match (self.cr & cr::PER != 0, self.cr & cr::MER1 != 0, self.cr & cr::MER2 != 0) {
            (false, true, false) => Some(0..bank),
            (false, false, true) => Some(bank..2 * bank),
            (false, true, true) => Some(0..2 * bank),
            (true, false, false) => self.page().map(|page| page * PAGE..(page + 1) * PAGE),
            _ => None,
        }
    }

    /// PNB counts within the bank that BKER names; from 256 up (RM0444) it was seen to work with BKER as well.
    fn page(&self) -> Option<usize> {
        let pages = self.bank_size() / PAGE;
        let number = (self.cr >> 3 & 0x3FF) as usize;
        match self.cr & cr::BKER != 0 {
            false => (number < pages).then_some(number),
            true if number >= 256 => (number - 256 < pages).then(|| number - 256 + pages),
            true => (number < pages).then(|| number + pages),
        }
    }

    /// SWD answers: DBG_SWEN is set and RDP below level 2.
    pub fn debug_open(&self) -> bool {
        self.acr & acr::DBG_SWEN != 0 && self.options.rdp() != 2
    }

    pub fn empty(&self) -> bool {
        self.acr & acr::EMPTY != 0
    }

    /// Memory from this address to the end of its array: a bank's, where the banks are swapped.
    pub fn memory(&self, address: u32) -> Option<&[u8]> {
        match address {
            _ if in_options(address) => Some(self.options.from(address - OPTION_BYTES)),
            _ if in_otp(address) => Some(self.otp.from((address - OTP) as usize)),
            _ => self.place(address).map(|offset| &self.cells.from(offset)[..self.bank_rest(offset)]),
        }
    }

    fn bank_rest(&self, offset: usize) -> usize {
        self.bank_size() - offset % self.bank_size()
    }

    /// Option bytes act at the next power-on or OBL_LAUNCH.
    pub fn poke(&mut self, address: u32, bytes: &[u8]) -> usize {
        match self.place(address) {
            Some(offset) => {
                let rest = bytes.len().min(self.bank_rest(offset));
                self.cells.poke(offset, &bytes[..rest])
            }
            None if in_otp(address) => self.otp.poke((address - OTP) as usize, bytes),
            None if in_options(address) => self.options.poke(address - OPTION_BYTES, bytes[0]),
            None => 0,
        }
    }

    pub fn poke_reg(&mut self, offset: u32, value: u32) -> bool {
        match offset {
            0x00 => self.acr = value,
            0x10 => self.flags = value & sr::FLAGS,
            0x14 => self.cr = value & !(cr::LOCK | cr::OPTLOCK | cr::STRT | cr::OPTSTRT),
            0x18 => self.eccr[0] = value,
            _ => return self.options.poke_reg(offset, value),
        }
        true
    }

    pub fn set_ecc(&mut self, address: u32, ecc: Ecc) -> bool {
        self.place(address).map(|offset| self.cells.set_ecc(offset, ecc)).is_some()
    }

    pub fn report(&self) -> Vec<String> {
        let empty = if self.empty() { ", EMPTY" } else { "" };
        let mut lines = vec![format!(
            "flash: {}, {}{empty}, ACR = 0x{:08x}, CR = 0x{:08x}, SR = 0x{:08x} ({})",
            self.lock.word(),
            busy_words(self.busy_until()),
            self.acr,
            self.cr_value(),
            self.sr(),
            names(sr::NAMES, self.sr()),
        )];
        lines.extend(self.options.report());
        lines
    }

    pub fn save(&self) -> Vec<(String, Vec<u8>)> {
        vec![("flash".into(), self.cells.save()), ("otp".into(), self.otp.save()), ("options".into(), self.options.save())]
    }

    pub fn load(&mut self, name: &str, bytes: &[u8]) -> bool {
        match name {
            "flash" => self.cells.load(bytes),
            "otp" => self.otp.load(bytes),
            "options" => self.options.load(bytes),
            _ => false,
        }
    }
}

fn in_otp(address: u32) -> bool {
    address.wrapping_sub(OTP) < OTP_SIZE
}

fn in_options(address: u32) -> bool {
    address.wrapping_sub(OPTION_BYTES) < options::SIZE
}
