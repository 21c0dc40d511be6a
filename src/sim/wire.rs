//! What the probe's firmware does on SWD: transactions repeated while they are answered WAIT, registers behind SELECT,
//! blocks of memory through CSW, TAR and DRW; and the time all of it takes.

use super::chip::{Chip, Ns, Size};
use super::chips::Row;
use super::dap::{Dap, Nack, Port};
use super::time::{Costs, ENTER, ENTER_CLOCKS, WAIT_MAX, clocks};
use std::collections::BTreeMap;

/// A status byte of the ST-Link protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(pub u8);

impl Status {
    pub const OK: Status = Status(0x80);
    /// Also "unknown error" in other hosts' lists.
    pub const FAULT: Status = Status(0x81);
    pub const COMMAND: Status = Status(0x08);
    pub const NO_IDCODE: Status = Status(0x09);
    pub const ALIGNMENT: Status = Status(0x0A);
    pub const BAD_AP: Status = Status(0x1D);
    pub const FREQUENCY: Status = Status(0x41);
    pub const UNKNOWN: Status = Status(0x42);
    const AP_WAIT: Status = Status(0x10);
    const AP_FAULT: Status = Status(0x11);
    const AP_ERROR: Status = Status(0x12);
    const AP_PARITY: Status = Status(0x13);
    const AP_STICKY: Status = Status(0x19);
    const DP_WAIT: Status = Status(0x14);
    const DP_FAULT: Status = Status(0x15);
    const DP_ERROR: Status = Status(0x16);
    const DP_PARITY: Status = Status(0x17);
}

/// What ended a memory access, and where: the probe reads it from TAR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub status: Status,
    pub address: u32,
}

/// Memory behind an AP. `csw`: bits 31:8, size and increment are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub ap: u8,
    pub csw: u32,
    pub address: u32,
    pub size: Size,
    pub increment: bool,
}

impl Access {
    fn csw(&self) -> u32 {
        let size = match self.size {
            Size::Byte => 0,
            Size::Half => 1,
            Size::Word => 2,
        };
        self.csw & !0xFF | size | u32::from(self.increment) << 4
    }

    /// The next address at which TAR must be written anew: it is sure to count through 1 KiB only (ADIv5.2 C2.2.2).
    fn block_end(&self, address: u32) -> u64 {
        if self.increment { u64::from(address | 0x3FF) + 1 } else { u64::MAX }
    }
}

const DPIDR_ABORT: u8 = 0x0;
const CTRL_STAT: u8 = 0x4;
const SELECT: u8 = 0x8;
const RDBUFF: u8 = 0xC;
const CSW: u8 = 0x00;
const TAR: u8 = 0x04;
const DRW: u8 = 0x0C;
pub const IDR: u8 = 0xFC;
const CLEAR_STICKY: u32 = 0x1E;
const POWER_UP: u32 = 0x5000_0000;

/// What is wrong around the chip: nothing, as it comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wiring {
    /// The chip's supply is off.
    pub unpowered: bool,
    /// SWDIO, SWCLK or ground makes no contact.
    pub swd_open: bool,
    /// The probe's VREF goes nowhere.
    pub vref_open: bool,
    /// The probe's NRST goes nowhere.
    pub nrst_open: bool,
    /// Something else holds NRST low: a button, a supervisor, a short.
    pub nrst_held: bool,
    /// The core is fed by the SMPS: a program that chooses the LDO (PWR_CR3) takes its own supply away.
    pub smps: bool,
}

/// A pin that floats, as the probe's converter sees it (assumed; 0 to 0.5 V were seen).
const FLOATING_VOLTS: f32 = 0.1;

pub struct Wire {
    pub dap: Dap,
    pub chip: Chip,
    pub now: Ns,
    pub khz: u32,
    costs: &'static Costs,
    /// What the firmware knows to be in SELECT and in each AP's CSW.
    select: Option<u32>,
    csw: BTreeMap<u8, u32>,
    /// Fault injection: so many commands meet an AP that answers WAIT for too long; the next read has a wrong parity bit.
    pub waits: u32,
    pub parity: bool,
    /// A write was answered WAIT since this was last taken.
    pub waited: bool,
    /// The fastest clock, kHz, at which words arrive as they were sent; `None`: any.
    pub max_khz: Option<u32>,
    /// Words that did not.
    flipped: u32,
    wiring: Wiring,
    /// The probe drives NRST low.
    nrst: bool,
}

impl Wire {
    pub fn new(row: &'static Row, costs: &'static Costs, khz: u32) -> Wire {
        let (dap, chip) = (Dap::new(row), Chip::new(row));
        Wire {
            dap,
            chip,
            now: 0,
            khz,
            costs,
            select: None,
            csw: BTreeMap::new(),
            waits: 0,
            parity: false,
            waited: false,
            max_khz: None,
            flipped: 0,
            wiring: Wiring::default(),
            nrst: false,
        }
    }

    pub fn wiring(&self) -> Wiring {
        self.wiring
    }

    pub fn set_wiring(&mut self, wiring: Wiring) {
        let back = self.wiring.unpowered && !wiring.unpowered;
        self.wiring = wiring;
        self.chip.smps = wiring.smps;
        self.drive_nrst(self.nrst);
        if back {
            self.chip.power_cycle();
            self.dap.power_cycle();
        }
    }

    /// The probe's NRST pin. A chip without supply does nothing, as one that is held in reset.
    pub fn drive_nrst(&mut self, low: bool) {
        self.nrst = low;
        let Wiring { unpowered, nrst_open, nrst_held, .. } = self.wiring;
        self.chip.nrst(unpowered || nrst_held || low && !nrst_open);
    }

    /// Of the probe's VREF pin.
    pub fn volts(&self) -> f32 {
        match self.wiring {
            Wiring { unpowered: true, .. } => 0.0,
            Wiring { vref_open: true, .. } => FLOATING_VOLTS,
            _ => self.chip.volts(),
        }
    }

    /// Let time go by, for the chip too.
    pub fn pass(&mut self, time: Ns) {
        self.now += time;
        self.chip.advance(self.now);
    }

    /// Repeats what is answered WAIT for up to `WAIT_MAX`. The repeats until the slave is ready are taken in one step.
    fn transaction(&mut self, port: Port, a: u8, write: Option<u32>) -> Result<u32, Status> {
        self.pass(if write.is_some() { self.costs.write_word(self.khz) } else { self.costs.read_word(self.khz) });
        if let Some(status) = self.injected(port, write) {
            return Err(status);
        }
        if self.wiring.swd_open || self.wiring.unpowered {
            return Err(status(port, Nack::Silent));
        }
        let deadline = self.now + WAIT_MAX;
        let flips = self.flips();
        loop {
            let answer = match write {
                Some(value) => self.dap.write(&mut self.chip, port, a, value ^ flips),
                None => self.dap.read(&mut self.chip, port, a),
            };
            match answer {
                Ok(value) => return Ok(value ^ flips),
                Err(Nack::Wait { until }) if self.now < deadline => {
                    self.waited |= write.is_some();
                    self.wait(until.min(deadline));
                }
                Err(nack) => return Err(status(port, nack)),
            }
        }
    }

    fn wait(&mut self, until: Ns) {
        let retry = self.costs.retry(self.khz);
        let retries = until.saturating_sub(self.now).div_ceil(retry).max(1);
        self.pass(retries * retry);
    }

    /// What the wire does to the next word, in either direction: two bits each time, so that its parity stays right, and
    /// other ones than the last time. Simplified: a real wire fails gradually, and requests and acknowledges too.
    fn flips(&mut self) -> u32 {
        if self.max_khz.is_none_or(|most| self.khz <= most) {
            return 0;
        }
        self.flipped = self.flipped.wrapping_add(1);
        let (first, apart) = (self.flipped.wrapping_mul(11) % 32, 1 + self.flipped % 31);
        1 << first | 1 << ((first + apart) % 32)
    }

    fn injected(&mut self, port: Port, write: Option<u32>) -> Option<Status> {
        if port == Port::Ap && self.waits > 0 {
            self.waits -= 1;
            self.pass(WAIT_MAX);
            return Some(Status::AP_WAIT);
        }
        if !std::mem::take(&mut self.parity) {
            return None;
        }
        if write.is_some() {
            self.dap.bad_write();
        }
        Some(if port == Port::Ap { Status::AP_PARITY } else { Status::DP_PARITY })
    }

    /// Switch to SWD, read DPIDR, power up the debug domain, clear what an earlier session left.
    pub fn enter(&mut self) -> Result<u32, Status> {
        self.pass(ENTER + clocks(ENTER_CLOCKS, self.khz));
        self.dap.line_reset();
        self.select = None;
        self.csw.clear();
        let dpidr = self.dp_read(DPIDR_ABORT).map_err(|_| Status::NO_IDCODE)?;
        self.dp_write(DPIDR_ABORT, CLEAR_STICKY)?;
        self.dp_write(CTRL_STAT, POWER_UP)?;
        Ok(dpidr)
    }

    fn select(&mut self, value: u32) -> Result<(), Status> {
        if self.select != Some(value) {
            self.transaction(Port::Dp, SELECT, Some(value))?;
            self.select = Some(value);
        }
        Ok(())
    }

    /// Address 4 is banked; `register` carries the bank in bits 7:4.
    fn dp_bank(&mut self, register: u8) -> Result<u8, Status> {
        if register & 0xF == CTRL_STAT {
            self.select(self.select.unwrap_or(0) & !0xF | u32::from(register >> 4))?;
        }
        Ok(register & 0xC)
    }

    pub fn dp_read(&mut self, register: u8) -> Result<u32, Status> {
        let a = self.dp_bank(register)?;
        self.transaction(Port::Dp, a, None)
    }

    pub fn dp_write(&mut self, register: u8, value: u32) -> Result<(), Status> {
        let a = self.dp_bank(register)?;
        self.transaction(Port::Dp, a, Some(value))?;
        if a == SELECT {
            self.select = Some(value);
        }
        Ok(())
    }

    fn ap_bank(&mut self, ap: u8, register: u8) -> Result<u8, Status> {
        self.select(u32::from(ap) << 24 | u32::from(register & 0xF0)).map_err(sticky)?;
        Ok(register & 0xC)
    }

    /// A FAULT at the first access speaks of an error left by an earlier command, at RDBUFF of this one.
    pub fn ap_read(&mut self, ap: u8, register: u8) -> Result<u32, Status> {
        let a = self.ap_bank(ap, register)?;
        self.transaction(Port::Ap, a, None).map_err(sticky)?;
        self.transaction(Port::Dp, RDBUFF, None).map_err(own)
    }

    pub fn ap_write(&mut self, ap: u8, register: u8, value: u32) -> Result<(), Status> {
        let a = self.ap_bank(ap, register)?;
        self.transaction(Port::Ap, a, Some(value)).map_err(sticky)?;
        if register == CSW {
            self.csw.insert(ap, value);
        }
        Ok(())
    }

    /// Bits 31:8 of the CSW that was written last, if any was since ENTER.
    pub fn csw(&self, ap: u8) -> Option<u32> {
        self.csw.get(&ap).map(|csw| csw & !0xFF)
    }

    /// Bring CSW to what `access` needs; `always`: as the block commands do, whatever the firmware knows.
    fn open(&mut self, access: &Access, always: bool) -> Result<(), Failure> {
        let csw = access.csw();
        let known = !always && self.csw.get(&access.ap) == Some(&csw);
        let opened = if known { self.ap_bank(access.ap, CSW).map(drop) } else { self.ap_write(access.ap, CSW, csw) };
        opened.map_err(|status| Failure { status, address: access.address })
    }

    /// Note where it stopped. An error that this command caused is cleared, else a host that knows no DP registers
    /// (OpenOCD's hla) could never go on (assumed); one that was there before (`open`) is left for the host's ABORT.
    fn failed(&mut self, access: &Access, status: Status) -> Failure {
        let address = self.dap.tar(access.ap).unwrap_or(access.address);
        // Whether the ABORT gets through changes nothing: the failure is reported already.
        self.transaction(Port::Dp, DPIDR_ABORT, Some(CLEAR_STICKY)).ok();
        Failure { status, address }
    }

    pub fn read_block(&mut self, access: Access, into: &mut [u8]) -> Result<(), Failure> {
        self.open(&access, true)?;
        self.read_open(&access, into).map_err(|status| self.failed(&access, status))
    }

    pub fn write_block(&mut self, access: Access, data: &[u8]) -> Result<(), Failure> {
        self.open(&access, true)?;
        self.write_open(&access, data).map_err(|status| self.failed(&access, status))
    }

    /// One word, CSW written only if it must be: debug registers, RW_MISC.
    pub fn read_word(&mut self, access: Access) -> Result<u32, Failure> {
        let mut word = [0; 4];
        self.open(&access, false)?;
        self.read_open(&access, &mut word).map_err(|status| self.failed(&access, status))?;
        Ok(u32::from_le_bytes(word))
    }

    pub fn write_word(&mut self, access: Access, value: u32) -> Result<(), Failure> {
        self.open(&access, false)?;
        self.write_open(&access, &value.to_le_bytes()).map_err(|status| self.failed(&access, status))
    }

    /// Bytes of `data` up to which one TAR write reaches from `address` on.
    fn reach(&self, access: &Access, address: u32, left: usize) -> usize {
        (access.block_end(address) - u64::from(address)).min(left as u64) as usize
    }

    /// Posted reads: each DRW read gives the datum of the one before, RDBUFF the last of a block.
    fn read_open(&mut self, access: &Access, into: &mut [u8]) -> Result<(), Status> {
        let (size, mut done) = (access.size as usize, 0);
        while done < into.len() {
            let address = access.address.wrapping_add(done as u32);
            let block = self.reach(access, address, into.len() - done);
            let a = self.at(address)?;
            self.transaction(Port::Ap, a, None).map_err(own)?;
            for offset in (0..block).step_by(size) {
                let last = offset + size >= block;
                let (port, a) = if last { (Port::Dp, RDBUFF) } else { (Port::Ap, a) };
                let word = self.transaction(port, a, None).map_err(own)?;
                let lane = lane(access, address.wrapping_add(offset as u32));
                let bytes = &mut into[done + offset..done + offset + size];
                bytes.copy_from_slice(&(word >> lane).to_le_bytes()[..size]);
            }
            done += block;
        }
        Ok(())
    }

    /// The last word's fault shows at RDBUFF; that read hides in the command's own time, as the fitted model has it.
    fn write_open(&mut self, access: &Access, data: &[u8]) -> Result<(), Status> {
        let (size, mut done) = (access.size as usize, 0);
        while done < data.len() {
            let address = access.address.wrapping_add(done as u32);
            let block = self.reach(access, address, data.len() - done);
            let a = self.at(address)?;
            for offset in (0..block).step_by(size) {
                let mut word = [0; 4];
                word[..size].copy_from_slice(&data[done + offset..done + offset + size]);
                let lane = lane(access, address.wrapping_add(offset as u32));
                self.transaction(Port::Ap, a, Some(u32::from_le_bytes(word) << lane)).map_err(own)?;
            }
            done += block;
        }
        match self.dap.read(&mut self.chip, Port::Dp, RDBUFF) {
            Ok(_) => Ok(()),
            Err(nack) => Err(own(status(Port::Dp, nack))),
        }
    }

    /// TAR to `address`; DRW is in the same bank. A FAULT here is that of the word before: CSW was written without one.
    fn at(&mut self, address: u32) -> Result<u8, Status> {
        self.transaction(Port::Ap, TAR, Some(address)).map_err(own)?;
        Ok(DRW)
    }
}

/// Byte lane: the data of a byte or half word is in the bits its address selects. Without increment, always those of the start.
fn lane(access: &Access, address: u32) -> u32 {
    8 * (if access.increment { address } else { access.address } & 3)
}

fn status(port: Port, nack: Nack) -> Status {
    match (port, nack) {
        (Port::Ap, Nack::Wait { .. }) => Status::AP_WAIT,
        (Port::Ap, Nack::Fault) => Status::AP_FAULT,
        (Port::Ap, Nack::Silent) => Status::AP_ERROR,
        (Port::Dp, Nack::Wait { .. }) => Status::DP_WAIT,
        (Port::Dp, Nack::Fault) => Status::DP_FAULT,
        (Port::Dp, Nack::Silent) => Status::DP_ERROR,
    }
}

/// A FAULT that an earlier command's access left behind.
fn sticky(status: Status) -> Status {
    if matches!(status, Status::AP_FAULT | Status::DP_FAULT) { Status::AP_STICKY } else { status }
}

/// A FAULT that this command's AP access caused, wherever it showed.
fn own(status: Status) -> Status {
    if status == Status::DP_FAULT { Status::AP_FAULT } else { status }
}
