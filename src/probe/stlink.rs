//! ST-Link V2, V2-1 and V3: the probe is the DAP, spoken to in blocks of 16 bytes.
//!
//! Commands answer with a status byte; memory transfers answer with bare data and leave their status to be asked for.
//! The firmware drives SELECT, CSW and TAR itself and repeats WAIT for about 2 ms before it reports one. Versions differ
//! in what they know: `tables::Feature` is the one place that says so. The protocol is not published; where its facts
//! come from stands in tables.rs.

mod memory;
mod registers;
mod tables;
mod version;

use super::dap::dp;
use super::{Ap, Connect, Deadline, Driver, Info, MemOp, Port, Probe, Width};
use crate::error::{Cause, Context, Error, Kind, Result};
use crate::usb::{Data, Pipe};
use std::fmt::Display;
use std::time::Duration;
use tables::*;
use version::Version;

pub const DRIVER: Driver = Driver { name: "stlink", usb: USB, open };

fn open(pipe: Box<dyn Pipe>, info: Info) -> Result<Box<dyn Probe>> {
    Ok(Box::new(StLink::new(pipe, info)?))
}

/// WAIT is repeated for this long in all: Black Magic's limit, between OpenOCD's 255 ms and the 2 s of a slow erase.
const WAIT_LIMIT: Duration = Duration::from_secs(1);
const WAIT_FIRST_PAUSE: Duration = Duration::from_micros(100);
const WAIT_LONGEST_PAUSE: Duration = Duration::from_millis(20);
/// A probe needs this long after a USB reset.
const RESET_PAUSE: Duration = Duration::from_secs(1);
/// A probe that did not answer so often running will not.
const SILENCES: u32 = 2;
/// Below this the target counts as not powered (OpenOCD's limit).
const LOWEST_VOLTAGE: f32 = 1.5;

/// DP ABORT: ORUNERRCLR, WDERRCLR, STKERRCLR, STKCMPCLR (ADIv5.2 B2.2).
const CLEAR_STICKY: u32 = 0x1e;

/// What the probe is doing, as GET_CURRENT_MODE says.
const DFU: u8 = 0;
const DEBUG: u8 = 2;
const SWIM: u8 = 3;
const BOOTLOADER: u8 = 4;

/// A command block: the operation's bytes, then its little-endian fields, then zeros.
struct Block {
    op: Op,
    bytes: [u8; 16],
    len: usize,
}

impl Block {
    fn new(op: Op) -> Block {
        Block { op, bytes: [0; 16], len: 0 }.put(op.code)
    }

    fn put(mut self, field: &[u8]) -> Block {
        self.bytes[self.len..][..field.len()].copy_from_slice(field);
        self.len += field.len();
        self
    }

    fn u8(self, value: u8) -> Block {
        self.put(&[value])
    }

    fn u16(self, value: u16) -> Block {
        self.put(&value.to_le_bytes())
    }

    fn u32(self, value: u32) -> Block {
        self.put(&value.to_le_bytes())
    }
}

pub struct StLink {
    pipe: Box<dyn Pipe>,
    info: Info,
    version: Version,
    limits: &'static Limits,
    khz: u32,
    /// Something was done to probe or target that `detach` has to undo.
    engaged: bool,
    /// The target answered to ENTER.
    entered: bool,
    /// Opened by INIT_AP, oldest first.
    open_aps: Vec<u8>,
    /// Transfers running that were not answered.
    silences: u32,
}

/// Opening.
impl StLink {
    /// Asks for the version and nothing else. A probe that does not answer is reset once.
    pub fn new(mut pipe: Box<dyn Pipe>, info: Info) -> Result<StLink> {
        let version = match ask_version(pipe.as_mut()) {
            Err(error) if error.cause == Cause::Unplugged || error.kind == Kind::Bug => return Err(error),
            Err(_) => {
                pipe.reset()?;
                pipe.sleep(RESET_PAUSE);
                ask_version(pipe.as_mut()).during("asking again after a USB reset")?
            }
            Ok(version) => version,
        };
        if version.hardware < 2 {
            return Err(
                Error::probe(format!("ST-Link firmware {version}: ST-LINK/V1 is not supported")).hint("use an ST-Link V2, V2-1 or V3")
            );
        }
        let limits = if version.hardware < 3 { &V2_LIMITS } else { &V3_LIMITS };
        let name = USB.iter().find(|id| id.pid == info.pid).map_or(info.name, |id| id.name.to_string());
        let info = Info { name, firmware: version.to_string(), ..info };
        Ok(StLink { pipe, info, version, limits, khz: SAFE_KHZ, engaged: false, entered: false, open_aps: Vec::new(), silences: 0 })
    }

    fn has(&self, feature: Feature) -> bool {
        feature.of(&self.version)
    }

    fn need(&self, feature: Feature) -> Result<()> {
        if self.has(feature) {
            return Ok(());
        }
        let (hardware, since) = (self.version.hardware, feature.since(self.version.hardware));
        let text = format!("{} needs ST-Link firmware V{hardware}J{since} or later; this probe has {}", feature.0, self.version);
        Err(Error::probe(text).cause(Cause::TooOld).hint("update the probe's firmware with ST's STM32CubeProgrammer or STSW-LINK007"))
    }
}

fn ask_version(pipe: &mut dyn Pipe) -> Result<Version> {
    let mut short = [0; 6];
    receive(pipe, &Block::new(GET_VERSION), &mut short)?;
    let version = Version::decode(&short);
    if !version.is_extended() {
        return Ok(version);
    }
    let mut long = [0; 12];
    receive(pipe, &Block::new(GET_VERSION_EX), &mut long)?;
    Ok(Version::decode_extended(&long))
}

/// A command that answers exactly `reply.len()` bytes.
fn receive(pipe: &mut dyn Pipe, block: &Block, reply: &mut [u8]) -> Result<()> {
    let n = pipe.transfer(&block.bytes, Data::In(reply)).during(block.op.name)?;
    whole(block, n, reply.len())
}

fn whole(block: &Block, n: usize, expected: usize) -> Result<()> {
    if n < expected { Err(short_reply(&block.op.name, n, expected)) } else { Ok(()) }
}

fn short_reply(what: &dyn Display, n: usize, expected: usize) -> Error {
    Error::probe(format!("{what}: the probe answered {n} bytes, expected {expected}")).hint("unplug the probe and plug it in again")
}

/// `Ok` if the status byte says so. `address` is where it happened, if that is known.
fn judge(code: u8, what: &dyn Display, address: Option<u32>) -> Result<()> {
    let (name, meaning) = status(code);
    let at = address.map_or(String::new(), |address| format!(" at {address:#010x}"));
    let error = || Error::target(format!("{what}: {name} ({code:#04x}){at}"));
    match meaning {
        Meaning::Done => Ok(()),
        Meaning::Wait => Err(error().cause(Cause::Wait { address })),
        Meaning::Fault => Err(error().cause(Cause::Fault { address })),
        Meaning::Link => Err(error().cause(Cause::Link)),
        Meaning::Refused => Err(error()),
    }
}

/// What a user can do about a failed access.
fn advise(error: Error) -> Error {
    match error.cause {
        Cause::Wait { .. } => {
            error.hint("the bus is held: a busy flash bank, a clock that is off, or a core asleep; `connect under_reset` gets in")
        }
        Cause::Link => {
            error.hint("check cable and ground, go slower with `adapter speed`; if the firmware turned SWD off: `connect under_reset`")
        }
        _ => error,
    }
}

/// Commands with a status byte, and patience with WAIT.
impl StLink {
    /// Every transfer after opening. Each that is not answered costs seconds, and going out takes many: a probe that was
    /// silent twice running is not asked again before the next `connect`.
    fn transfer(&mut self, block: &Block, data: Data) -> Result<usize> {
        if self.silences >= SILENCES {
            return Err(Error::probe("the probe has stopped answering")
                .cause(Cause::Timeout)
                .hint("unplug the probe and plug it in again"));
        }
        let done = self.pipe.transfer(&block.bytes, data);
        let silent = matches!(&done, Err(error) if error.cause == Cause::Timeout);
        self.silences = if silent { self.silences + 1 } else { 0 };
        done
    }

    fn receive(&mut self, block: &Block, reply: &mut [u8]) -> Result<()> {
        let n = self.transfer(block, Data::In(&mut *reply)).during(block.op.name)?;
        whole(block, n, reply.len())
    }

    /// One command whose reply begins with a status; `about` follows the command's name in an error.
    fn ask(&mut self, block: &Block, about: &dyn Display, reply: &mut [u8]) -> Result<()> {
        self.receive(block, reply)?;
        judge(reply[0], &format_args!("{}{about}", block.op.name), None)
    }

    /// One command that answers its status and nothing else.
    fn command(&mut self, block: &Block, about: &dyn Display) -> Result<()> {
        self.patiently(true, |link| link.ask(block, about, &mut [0; 2]))
    }

    /// The one place that repeats WAIT, and only if the caller says that repeating is harmless. A fault is never
    /// repeated but for one case: V3 firmware answers AP FAULT once after a WAIT (Black Magic PR 1072).
    fn patiently(&mut self, harmless: bool, mut once: impl FnMut(&mut StLink) -> Result<()>) -> Result<()> {
        let deadline = Deadline::after(self, WAIT_LIMIT);
        let mut pause = WAIT_FIRST_PAUSE;
        let mut waited = false;
        loop {
            let Err(error) = once(self) else { return Ok(()) };
            let again = match error.cause {
                Cause::Wait { .. } => !deadline.passed(self),
                Cause::Fault { .. } => waited && self.version.hardware >= 3,
                _ => false,
            };
            waited = matches!(error.cause, Cause::Wait { .. });
            // A parity error leaves one too: CTRL/STAT.WDATAERR (ADIv5.2 B2.2).
            if error.is_fault() || error.cause == Cause::Link {
                self.clear_sticky();
            }
            if !(harmless && again) {
                return Err(error);
            }
            self.pipe.sleep(pause);
            pause = (pause * 2).min(WAIT_LONGEST_PAUSE);
        }
    }

    /// Otherwise every later access would fail too. Should the clearing fail, the next access will tell; the error
    /// that is on its way is the one to report.
    fn clear_sticky(&mut self) {
        if self.entered {
            let _ = self.dap_write(Port::Dp, dp::ABORT, CLEAR_STICKY);
        }
    }
}

/// Modes, clock, entering and leaving.
impl StLink {
    fn mode(&mut self) -> Result<u8> {
        let mut reply = [0; 2];
        self.receive(&Block::new(GET_CURRENT_MODE), &mut reply)?;
        Ok(reply[0])
    }

    /// Leave whatever the probe is in. The mode is read first: a V3 locks up when told to leave a debug mode that it is
    /// not in (stlink PR 1467).
    fn leave_mode(&mut self) -> Result<()> {
        let op = match self.mode()? {
            DFU => DFU_EXIT,
            DEBUG => DEBUG_EXIT,
            SWIM => SWIM_EXIT,
            BOOTLOADER => {
                return Err(Error::probe("the probe runs its boot loader").hint("finish or repeat the update of its firmware"));
            }
            _ => return Ok(()),
        };
        self.transfer(&Block::new(op), Data::None).during(op.name)?;
        Ok(())
    }

    /// Tried again if it fails: for steps that may be repeated and must not be left out.
    fn twice(&mut self, step: impl Fn(&mut StLink) -> Result<()>) -> Result<()> {
        step(self).or_else(|error| if error.cause == Cause::Unplugged { Err(error) } else { step(self) })
    }

    fn enter(&mut self) -> Result<()> {
        self.command(&Block::new(ENTER_SWD), &"").map_err(|error| self.no_target(error))
    }

    fn no_target(&mut self, error: Error) -> Error {
        if error.kind != Kind::Target {
            return error;
        }
        match self.voltage() {
            Ok(Some(volts)) if volts < LOWEST_VOLTAGE => {
                error.hint(format!("the target has no power: {volts:.2} V on the probe's VREF pin"))
            }
            _ => error.hint("check ground, SWDIO and SWCLK; if the firmware sleeps or turns SWD off: `connect under_reset`"),
        }
    }

    fn connect_steps(&mut self, how: &Connect) -> Result<u32> {
        self.usable()?;
        self.leave_mode()?;
        let khz = self.set_khz(how.khz)?;
        if how.under_reset {
            // Some firmware refuses this outside debug mode; it is repeated below, where it must succeed.
            let _ = self.drive_nrst(true);
        }
        self.enter()?;
        if how.under_reset {
            self.drive_nrst(true)?;
        }
        self.entered = true;
        self.open_ap(0)?;
        Ok(khz)
    }

    /// GET_COM_FREQ: status, count at 8, then up to ten clocks in kHz from 12.
    fn v3_speeds(&mut self) -> Result<Vec<u32>> {
        let mut reply = [0; 52];
        self.patiently(true, |link| link.ask(&Block::new(GET_COM_FREQ), &"", &mut reply))?;
        let count = usize::from(reply[8]).min(10);
        let most = if self.has(Feature::FASTEST_CLOCK) { u32::MAX } else { SAFE_KHZ };
        let borne = |khz: &u32| (1..=most).contains(khz);
        let speeds: Vec<u32> = reply[12..].chunks_exact(4).take(count).map(word).filter(borne).collect();
        if speeds.is_empty() {
            return Err(Error::probe("GET_COM_FREQ: the probe names no clock").hint("unplug the probe and plug it in again"));
        }
        Ok(speeds)
    }

    fn send_khz(&mut self, khz: u32) -> Result<()> {
        let about = format!(" {khz} kHz");
        if self.version.hardware >= 3 {
            let block = Block::new(SET_COM_FREQ).u16(0).u32(khz);
            return self.patiently(true, |link| link.ask(&block, &about, &mut [0; 8]));
        }
        match SWD_DIVISORS.iter().find(|row| row.0 == khz) {
            Some(row) => self.command(&Block::new(SWD_SET_FREQ).u16(row.1), &about),
            None => Ok(()),
        }
    }
}

/// The greatest clock that is no faster than asked, else the slowest there is.
fn clock_below(speeds: &[u32], khz: u32) -> u32 {
    let below = speeds.iter().filter(|speed| **speed <= khz).max();
    *below.or(speeds.iter().min()).expect("every probe has at least one clock")
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

impl Probe for StLink {
    fn info(&self) -> &Info {
        &self.info
    }

    fn connect(&mut self, how: &Connect) -> Result<u32> {
        self.engaged = true;
        self.entered = false;
        self.silences = 0;
        self.open_aps.clear();
        self.connect_steps(how).inspect_err(|_| {
            // The reason for the failure is what the user needs, not what else failed on the way out.
            let _ = self.detach();
        })
    }

    fn detach(&mut self) -> Result<()> {
        if !self.engaged {
            return Ok(());
        }
        self.entered = false;
        let mut steps = vec![];
        for index in std::mem::take(&mut self.open_aps) {
            steps.push(self.close_ap(index));
        }
        // Nobody comes after this to put right what one lost transfer left undone.
        steps.push(self.twice(|link| link.drive_nrst(false)));
        steps.push(self.twice(StLink::leave_mode));
        self.engaged = false;
        steps.into_iter().collect::<Result<()>>().during("leaving the debug port")
    }

    fn set_khz(&mut self, khz: u32) -> Result<u32> {
        let usual = clock_below(V3_SPEEDS, khz);
        if self.version.hardware >= 3 && usual <= SAFE_KHZ && self.send_khz(usual).is_ok() {
            self.khz = usual;
            return Ok(usual);
        }
        let chosen = clock_below(&self.speeds()?, khz);
        self.send_khz(chosen)?;
        self.khz = chosen;
        Ok(chosen)
    }

    fn speeds(&mut self) -> Result<Vec<u32>> {
        if self.version.hardware >= 3 {
            return self.v3_speeds();
        }
        Ok(SWD_DIVISORS.iter().map(|row| row.0).collect())
    }

    /// Attaching reads the DP's registers, which came with `Feature::DAP_REGISTERS`.
    fn usable(&self) -> Result<()> {
        if self.version.jtag == 0 {
            return Err(Error::probe(format!("ST-Link firmware {} has no SWD or JTAG part", self.version))
                .hint("this probe is for STM8 only; ST's STSW-LINK007 may change its firmware"));
        }
        self.need(Feature::DAP_REGISTERS)
    }

    fn voltage(&mut self) -> Result<Option<f32>> {
        if !self.has(Feature::VOLTAGE) {
            return Ok(None);
        }
        // It cannot measure in DFU mode, in which a V2 starts; one that is in use stays as it is.
        if !self.entered && self.mode()? != DEBUG {
            self.leave_mode()?;
        }
        let mut reply = [0; 8];
        self.receive(&Block::new(GET_TARGET_VOLTAGE), &mut reply)?;
        // The reference (1.2 V) and half of the target's voltage, as the same converter sees them.
        let (reference, half) = (word(&reply[..4]) as f32, word(&reply[4..]) as f32);
        Ok(Some(if reference == 0.0 { 0.0 } else { 2.0 * half * 1.2 / reference }))
    }

    fn drive_nrst(&mut self, low: bool) -> Result<()> {
        self.engaged = true;
        let about = if low { " low" } else { " high" };
        self.command(&Block::new(DRIVE_NRST).u8(u8::from(!low)), &about)
    }

    fn read_reg(&mut self, port: Port, address: u16) -> Result<u32> {
        self.read_register(port, address).map_err(advise)
    }

    fn write_reg(&mut self, port: Port, address: u16, value: u32) -> Result<()> {
        self.write_register(port, address, value).map_err(advise)
    }

    fn read_mem(&mut self, ap: Ap, width: Width, address: u32, buf: &mut [u8]) -> Result<()> {
        self.read_memory(ap, width, address, buf).map_err(advise)
    }

    fn write_mem(&mut self, ap: Ap, width: Width, address: u32, data: &[u8]) -> Result<()> {
        self.write_memory(ap, width, address, data).map_err(advise)
    }

    fn batch(&mut self, ap: Ap, ops: &mut [MemOp]) -> Result<()> {
        self.run_batch(ap, ops).map_err(advise)
    }

    fn room(&self) -> usize {
        if self.batches() { self.misc_room() } else { 0 }
    }

    fn core_registers(&mut self, ap: Ap, ops: &mut [MemOp]) -> Result<bool> {
        self.own_registers(ap, ops).map_err(advise)
    }

    fn now(&self) -> Duration {
        self.pipe.now()
    }

    fn sleep(&mut self, d: Duration) {
        self.pipe.sleep(d)
    }

    fn poll(&self) {
        self.pipe.poll();
    }
}
