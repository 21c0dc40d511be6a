//! One simulated chip: its buses, memories, core debug registers and the controllers hung onto them.
//!
//! The DAP (dap.rs) reaches it through `read` and `write` of an AP; the board's own door through `peek` and `poke`.

mod second;
#[cfg(test)]
mod tests;

pub use second::SecondRow;

use super::boards::Pin;
use super::bus::{Bus, Flash};
use super::chips::Row;
use super::cpu::{Core, Past, Request, State};
use super::flash::{Ecc, Master};
use super::soc::gpio::{LedState, PinState};
use second::Second;
use std::collections::BTreeMap;

/// Virtual time, nanoseconds since the board was powered.
pub type Ns = u64;

/// Width of one access, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    Byte = 1,
    Half = 2,
    Word = 4,
}

/// Why an access did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BusError {
    /// Nothing there, not clocked, protected, or a double ECC error: the AP answers FAULT.
    Fault,
    /// The slave holds the bus until about this time (a busy flash bank): the AP answers WAIT until then.
    Busy { until: Ns },
}

/// How an access port sees the chip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum View {
    /// As the core: private peripherals, tightly coupled memories, everything on the bus.
    Core,
    /// As the second core of a chip that has two.
    Second,
    /// The system bus, without what is the core's own.
    System,
    /// The debug bus only (H7: APB-D with DBGMCU at 0xE00E1000).
    Debug,
}

/// What an access port says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApRow {
    pub index: u8,
    pub idr: u32,
    pub cfg: u32,
    pub base: u32,
    /// CSW after reset, and the bits that can be written.
    pub csw: u32,
    pub csw_mask: u32,
    pub view: View,
}

/// Why the chip was reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Power,
    Pin,
    /// SYSRESETREQ; of the second core.
    Request,
    SecondRequest,
    /// Option bytes loaded anew (G0 OBL_LAUNCH).
    Options,
    /// The independent watchdog, the window watchdog.
    Independent,
    Window,
}

pub struct Chip {
    pub row: &'static Row,
    now: Ns,
    /// The first of two, or the only one.
    core: Core,
    second: Option<Box<Second>>,
    bus: Bus,
    /// NRST is low.
    low: bool,
    /// Level of the BOOT0 pin at the next reset.
    pub boot_pin: bool,
    volts: f32,
    /// The core's supply comes from the SMPS.
    pub smps: bool,
    /// The core's supply is gone until the next power-on; its domain is in standby until the next reset.
    dead: bool,
    off: bool,
}

/// PWR_CR3: LDOEN and SMPSEN; PWR_CPUCR: PDDS_D1 (RM0399 7.8). DBGMCU_CR (RM0433 60.5.8), DBG_CR (RM0444 40.10).
const PWR_CR3: u32 = 0x5802_480C;
const SUPPLY: u32 = 3 << 1;
const LDOEN: u32 = 1 << 1;
const PWR_CPUCR: u32 = 0x5802_4810;
const PDDS_D1: u32 = 1 << 0;
const DBGMCU_CR: u32 = 0x5C00_1004;
const DBG_CR: u32 = 0x4001_5804;
/// The same bit of both; DBGSTBY_D1 is the H7's.
const DBG_STOP: u32 = 1 << 1;
const DBGSTBY_D1: u32 = 1 << 2;

/// A reset by software lasts some 20 µs (assumed; RM0433 8.4.4 and RM0444 5.1.1 stretch it to that at least).
const RESET: Ns = 20_000;

/// Starts what `save` gives; the chip's name and the parts follow, each with its length.
const MAGIC: &[u8] = b"rocd board 1\n";

impl Chip {
    /// Powered on at time 0 with flash blank and option bytes at their factory values.
    pub fn new(row: &'static Row) -> Chip {
        let (core, bus) = (Core::new(row.core), Bus::new(row));
        let second = row.second.map(|row| Box::new(Second::new(row)));
        let mut chip =
            Chip { row, now: 0, core, second, bus, low: false, boot_pin: false, volts: 3.3, smps: false, dead: false, off: false };
        chip.power_cycle();
        chip
    }

    /// Bring everything that takes time up to `now`: the core runs, flash operations end, resets that firmware asks for
    /// are carried out on the way.
    pub fn advance(&mut self, now: Ns) {
        self.now = self.now.max(now);
        self.run_core(self.now, false);
        self.core.rest(self.now);
        self.second.iter_mut().for_each(|second| second.core.rest(self.now));
        self.bus.advance(self.now);
        self.power_down();
    }

    /// What a program did to its own power: the wrong supply ends it until power-on, deep sleep with PDDS_D1 takes the core's
    /// domain away until a reset (assumed: a wake-up does not bring it back).
    fn power_down(&mut self) {
        if self.smps && !self.dead && self.bus.periph.peek(PWR_CR3).is_some_and(|supply| supply & SUPPLY == LDOEN) {
            self.dead = true;
            self.hold();
        }
        let word = |address| self.bus.periph.peek(address).unwrap_or(0);
        let standby = || word(PWR_CPUCR) & PDDS_D1 != 0 && word(DBGMCU_CR) & DBGSTBY_D1 == 0;
        self.off = self.core.sleeps_deeply() && matches!(self.bus.flash, Flash::H7(_)) && (self.off || standby());
    }

    /// Deep sleep stops the clock of the core's bus, unless DBGMCU keeps it on (RM0433 60.5.8, RM0444 40.10). That setting the
    /// bit later brings it back was seen on an H7; on a G0 nothing can set it then.
    fn stopped(&self) -> bool {
        let keeps = |register| self.bus.periph.peek(register).unwrap_or(0) & DBG_STOP != 0;
        self.core.sleeps_deeply()
            && match self.bus.flash {
                Flash::H7(_) => self.off || !keeps(DBGMCU_CR),
                Flash::G0(_) => !keeps(DBG_CR),
                Flash::Plain(_) => false,
            }
    }

    /// As `advance`, but no further than to where the core stops.
    pub fn advance_to_stop(&mut self, now: Ns) {
        self.run_core(now.max(self.now), true);
        self.now = if self.core.state == State::Running { now.max(self.now) } else { self.core.time().max(self.now) };
        self.bus.advance(self.now);
    }

    /// The core as far as `now`, through every reset that it asks for or a watchdog makes.
    fn run_core(&mut self, now: Ns, to_stop: bool) {
        loop {
            match self.second {
                None => self.core.run(&mut self.bus, now),
                Some(_) => self.take_turns(now, to_stop),
            }
            self.bus.advance(self.core.time().min(now));
            if self.settle() {
                continue;
            }
            // What comes while the core is at rest, or just as its time is up.
            let Some(event) = self.bus.next_event().filter(|event| *event <= now) else { break };
            self.core.rest(event);
            self.bus.advance(event);
        }
    }

    /// Virtual time as far as the chip has come.
    pub fn now(&self) -> Ns {
        self.now
    }

    /// Instructions that the first core has executed since power-on.
    pub fn instructions(&self) -> u64 {
        self.core.instructions()
    }

    /// What the first core did last, oldest first, since power-on.
    pub fn past(&self) -> Vec<Past> {
        self.core.past()
    }

    pub fn state(&self) -> State {
        self.core.state
    }

    fn view(&self, ap: u8) -> Option<View> {
        self.row.aps.iter().find(|row| row.index == ap).map(|row| row.view)
    }

    /// One bus access by an AP, at the chip's present time. `address` is a multiple of `size` (else Fault) and the
    /// value is right-aligned: byte lanes and TAR are the DAP's. `csw` says whether the core's data cache may answer.
    pub fn read(&mut self, ap: u8, csw: u32, address: u32, size: Size) -> Result<u32, BusError> {
        let view = self.reach(ap, address, size)?;
        if view == View::Debug {
            return self.bus.read_debug(address).ok_or(BusError::Fault);
        }
        if view == View::Second {
            return self.read_as_second(address, size);
        }
        if view == View::Core
            && let Some(answer) = self.core.read(address, size)
        {
            return answer;
        }
        if view == View::Core
            && let Some(cached) = self.core.debug_load(&self.bus, csw, address, size)
        {
            return Ok(cached);
        }
        self.bus.read(address, size, Master::Debugger)
    }

    pub fn write(&mut self, ap: u8, csw: u32, address: u32, size: Size, value: u32) -> Result<(), BusError> {
        let view = self.reach(ap, address, size)?;
        if view == View::Debug {
            return if self.bus.write_debug(address, value, u32::MAX) { Ok(()) } else { Err(BusError::Fault) };
        }
        if view == View::Second {
            return self.write_as_second(address, size, value);
        }
        let answer = match view {
            View::Core => self.core.write(address, size, value),
            _ => None,
        };
        if answer == Some(Ok(())) {
            self.core.maintain(&mut self.bus, address, value);
        }
        let answer = answer.unwrap_or_else(|| {
            if view == View::Core && self.core.debug_store(&mut self.bus, csw, address, size, value) {
                return Ok(());
            }
            self.forget(self.bus.resolve(address));
            self.bus.write(address, size, value, Master::Debugger)
        });
        self.settle();
        answer
    }

    /// How the port sees this address, if at all.
    fn reach(&self, ap: u8, address: u32, size: Size) -> Result<View, BusError> {
        let view = self.view(ap).ok_or(BusError::Fault)?;
        if matches!(view, View::Core | View::System) && self.stopped() {
            return Err(BusError::Busy { until: Ns::MAX });
        }
        let open = match view {
            View::Core | View::Second => true,
            View::System => address >> 20 != 0xE00 && !self.bus.tightly_coupled(address),
            View::Debug => size == Size::Word,
        };
        let aligned = address.is_multiple_of(size as u32);
        if open && aligned && self.debug_port() { Ok(view) } else { Err(BusError::Fault) }
    }

    /// Each core hears of its interrupt lines.
    fn hear(&mut self) {
        self.core.hear(&mut self.bus);
        if let Some(second) = &mut self.second {
            self.bus.select(true);
            second.core.hear(&mut self.bus);
            self.bus.select(false);
        }
    }

    /// Carries out the reset that software asked for or a watchdog makes; false if there is none.
    fn settle(&mut self) -> bool {
        self.bus.halt(self.core.state == State::Halted);
        self.hear();
        let request = self.core.take_request();
        let second = self.second.as_mut().and_then(|second| second.core.take_request());
        self.settle_second();
        if self.low {
            return false;
        }
        match (self.bus.wanted_reset(), request.or(second)) {
            (Some(cause), _) => self.reset(cause),
            (None, Some(Request::System)) if second == Some(Request::System) => self.reset(Cause::SecondRequest),
            (None, Some(Request::System)) => self.reset(Cause::Request),
            (None, Some(Request::Local)) if second.is_some() => self.start_second(),
            (None, Some(Request::Local)) => self.start_first(),
            (None, None) => return false,
        }
        true
    }

    /// A reset of the whole chip. The core starts `RESET` later; everything else is over in no time.
    fn reset(&mut self, cause: Cause) {
        self.reset_bus(cause);
        self.start();
        self.core.delay(RESET);
        self.second.iter_mut().for_each(|second| second.core.delay(RESET));
    }

    fn reset_bus(&mut self, cause: Cause) {
        self.bus.reset(cause, self.boot_pin);
        let causes = &self.row.causes;
        self.bus.periph.cause(match cause {
            Cause::Power => causes.power,
            Cause::Pin => causes.pin,
            Cause::Request => causes.request,
            Cause::SecondRequest => self.row.second.map_or(causes.request, |second| second.request),
            Cause::Options => causes.options,
            Cause::Independent => causes.independent,
            Cause::Window => causes.window,
        });
    }

    fn start(&mut self) {
        if self.dead {
            return;
        }
        self.start_first();
        self.start_second();
    }

    /// The reset pin as the probe drives it. While it is low the core's debug registers answer; the system bus of an H7
    /// faults and that of a G0 reads 0; the H7's debug bus answers.
    pub fn nrst(&mut self, low: bool) {
        if low == self.low {
            return;
        }
        self.low = low;
        self.bus.held = low;
        if low {
            self.hold();
            self.reset_bus(Cause::Pin);
        } else {
            self.bus.start_watchdogs(false);
            self.start();
        }
    }

    fn hold(&mut self) {
        self.core.hold();
        self.second.iter_mut().for_each(|second| second.core.hold());
    }

    pub fn nrst_low(&self) -> bool {
        self.low
    }

    /// Off and on again: RAM is lost, option bytes are loaded, EMPTY is sampled.
    pub fn power_cycle(&mut self) {
        self.dead = false;
        self.bus.power_on();
        self.core.power_on();
        self.second.iter_mut().for_each(|second| second.core.power_on());
        self.reset_bus(Cause::Power);
        if self.low {
            self.hold();
        } else {
            self.start();
        }
    }

    /// The debug port answers: false once software took its pins, cleared FLASH_ACR.DBG_SWEN (G0) or chose a supply that is not
    /// there, or RDP is at level 2.
    pub fn debug_port(&self) -> bool {
        if self.dead || !self.bus.soc.swd() {
            return false;
        }
        match &self.bus.flash {
            Flash::H7(flash) => !flash.debug_closed(),
            Flash::G0(flash) => flash.debug_open(),
            Flash::Plain(_) => true,
        }
    }

    /// Volts on VREF.
    pub fn volts(&self) -> f32 {
        self.volts
    }

    /// The supply, as the bench sets it.
    pub fn set_volts(&mut self, volts: f32) {
        self.volts = volts;
        match &mut self.bus.flash {
            Flash::H7(flash) => flash.volts = volts,
            Flash::G0(flash) => flash.volts = volts,
            Flash::Plain(_) => (),
        }
    }

    /// HSE has its crystal or not.
    pub fn set_crystal(&mut self, there: bool) {
        self.bus.soc.set_crystal(&self.bus.periph, there);
    }

    /// How the board feeds the core, as BYPASS and LDOEN of PWR_CR3 have to say it (RM0433 6.4.1).
    pub fn set_supply(&mut self, wired: u32) {
        self.bus.periph.supply = Some(wired);
    }

    /// Flash times that nobody has measured last so many times longer.
    pub fn set_unmeasured(&mut self, times: u32) {
        match &mut self.bus.flash {
            Flash::H7(flash) => flash.unmeasured = times,
            Flash::G0(flash) => flash.unmeasured = times,
            Flash::Plain(_) => (),
        }
    }

    /// Fast rows after the erase of a page alone.
    pub fn set_rows_by_page(&mut self) {
        if let Flash::G0(flash) = &mut self.bus.flash {
            flash.rows_by_page = true;
        }
    }

    /// Level 1 caches that can be stale (`true`), or memory that is always coherent. False: its core has no caches.
    pub fn set_cache_strict(&mut self, strict: bool) -> bool {
        self.core.set_strict(&mut self.bus, strict)
    }

    pub fn cache_strict(&self) -> bool {
        self.core.is_strict()
    }

    /// The board's own door: no rule of the chip applies. `None` where nothing is.
    pub fn peek(&self, address: u32) -> Option<u8> {
        self.core.peek(address).or_else(|| self.bus.peek(address))
    }

    /// `len` bytes or fewer, as many as lie together from here: for long dumps. Empty where no memory is; registers are
    /// for `peek`.
    pub fn peek_all(&self, address: u32, len: usize) -> &[u8] {
        let memory = self.bus.memory(address).unwrap_or_default();
        &memory[..memory.len().min(len)]
    }

    /// False where nothing is, and for the core's own registers: those have their debug access.
    pub fn poke(&mut self, address: u32, byte: u8) -> bool {
        self.forget(self.bus.resolve(address));
        self.bus.poke(address, &[byte]) == 1
    }

    /// How many of the bytes found a place from here on: up to the end of a memory array, one where a register is.
    pub fn poke_all(&mut self, address: u32, bytes: &[u8]) -> usize {
        self.core.forget_all();
        self.second.iter_mut().for_each(|second| second.core.forget_all());
        self.bus.poke(address, bytes)
    }

    /// By the board's own door: what the ECC of the flash word at `address` says from now on. False where no flash is.
    pub fn set_ecc(&mut self, address: u32, ecc: Ecc) -> bool {
        self.bus.set_ecc(address, ecc)
    }

    /// A core register by its DCRSR number, by the board's own door.
    pub fn register(&self, select: u32) -> u32 {
        self.core.register(select)
    }

    pub fn set_register(&mut self, select: u32, value: u32) {
        self.core.set_register(select, value);
    }

    /// What was touched in peripherals that the board does not model: (block, address) and how often.
    pub fn unmodelled(&self) -> &BTreeMap<(&'static str, u32), u32> {
        &self.bus.periph.unmodelled
    }

    pub fn leds(&self) -> Vec<LedState> {
        self.bus.soc.leds()
    }

    /// The pins in use: of another mode than after reset, or with a level put on them.
    pub fn pins(&self) -> Vec<PinState> {
        self.bus.soc.pins(&self.bus.periph)
    }

    /// `None`: the chip has no such pin.
    pub fn pin(&self, pin: Pin) -> Option<PinState> {
        self.bus.soc.pin(&self.bus.periph, pin)
    }

    /// Puts a level on a pin from outside.
    pub fn drive(&mut self, pin: Pin, high: bool) {
        self.bus.soc.drive(&mut self.bus.periph, pin, high);
        self.hear();
    }

    /// What a serial port has sent since it was last asked; without a name, the console. `None`: no such port.
    pub fn take_sent(&mut self, port: Option<&str>) -> Option<Vec<u8>> {
        self.bus.soc.take_sent(port)
    }

    /// What the other end sends to a serial port, or without a name to the console. `None`: no such port; false: its
    /// receiver is off.
    pub fn send(&mut self, port: Option<&str>, bytes: &[u8]) -> Option<bool> {
        self.bus.soc.receive(&mut self.bus.periph, port, bytes)
    }

    /// Its serial ports.
    pub fn ports(&self) -> Vec<&'static str> {
        self.bus.soc.ports()
    }

    /// The flash controllers' state in words, one line each: `sim flash`.
    pub fn flash_report(&self) -> Vec<String> {
        match &self.bus.flash {
            Flash::H7(flash) => flash.report(),
            Flash::G0(flash) => flash.report(),
            Flash::Plain(bytes) => vec![format!("flash: {} KiB without a controller", bytes.len() / 1024)],
        }
    }

    /// Flash, OTP and option bytes, for `sim save`.
    pub fn save(&self) -> Vec<u8> {
        let parts = match &self.bus.flash {
            Flash::H7(flash) => flash.save(),
            Flash::G0(flash) => flash.save(),
            Flash::Plain(bytes) => vec![("flash".into(), bytes.clone())],
        };
        let mut out = MAGIC.to_vec();
        put(&mut out, self.row.name.as_bytes());
        for (name, bytes) in parts {
            put(&mut out, name.as_bytes());
            put(&mut out, &bytes);
        }
        out
    }

    /// Takes what `save` gave of the same chip, then powers on with it. On an error nothing has changed.
    pub fn load(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut rest = bytes.strip_prefix(MAGIC).ok_or("not a saved board")?;
        let name = take(&mut rest).ok_or("the saved board is cut short")?;
        if name != self.row.name.as_bytes() {
            return Err(format!("saved from {}, this board is {}", String::from_utf8_lossy(name), self.row.name));
        }
        let mut fresh = Bus::new(self.row);
        while !rest.is_empty() {
            let (name, part) = take(&mut rest).zip(take(&mut rest)).ok_or("the saved board is cut short")?;
            let name = String::from_utf8_lossy(name);
            let fits = match &mut fresh.flash {
                Flash::H7(flash) => flash.load(&name, part),
                Flash::G0(flash) => flash.load(&name, part),
                Flash::Plain(bytes) if bytes.len() == part.len() => {
                    bytes.copy_from_slice(part);
                    true
                }
                Flash::Plain(_) => false,
            };
            if !fits {
                return Err(format!("the saved part {name:?} of {} bytes does not fit this chip", part.len()));
            }
        }
        self.bus.flash = fresh.flash;
        self.bus.advance(self.now);
        self.set_volts(self.volts);
        self.power_cycle();
        Ok(())
    }
}

fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    out.extend((bytes.len() as u32).to_le_bytes());
    out.extend(bytes);
}

fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, tail) = rest.split_first_chunk::<4>()?;
    let (bytes, tail) = tail.split_at_checked(u32::from_le_bytes(*length) as usize)?;
    *rest = tail;
    Some(bytes)
}
