//! The embedded board: a simulated ST-Link wired to a simulated STM32, behind a `Pipe` like the real thing.
//!
//! No constant is shared with the drivers: every register number here was read from the manual a second time.
//! `Board` is a handle to one board; `pipe()` is the near end of its USB cable, `dump` and `poke` are its own door,
//! which no rule of the chip or the probe stands in the way of.
//!
//! ```
//! use rocd::sim::{Board, Config};
//! use rocd::usb::Data;
//!
//! let board = Board::new(&Config { probe: Some("v2".into()), ..Config::default() })?;
//! let mut version = [0; 6];
//! board.pipe().transfer(&[0xF1], Data::In(&mut version))?;
//! assert_eq!(version, [0x29, 0x47, 0x83, 0x04, 0x48, 0x37]);
//! # Ok::<(), rocd::error::Error>(())
//! ```

pub mod boards;
pub mod bus;
mod cable;
pub mod chip;
pub mod chips;
pub mod coresight;
pub mod cpu;
pub mod dap;
pub mod flash;
pub mod flash_g0;
pub mod flash_h7;
pub mod periph;
pub mod probes;
#[cfg(test)]
mod rig;
pub mod semihost;
pub mod serve;
pub mod soc;
pub mod stlink;
pub mod time;
pub mod wire;

use crate::error::{Context, Error, Result};
use crate::usb::{Found, Pipe};
use boards::Pin;
use cable::Cable;
pub use cable::Inject;
use chip::{Chip, Ns};
use probes::{Firmware, Kind};
use soc::gpio::{LedState, PinState};
use std::cell::RefCell;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;
use stlink::{Exchange, StLink};
pub use wire::Wiring;

/// Which probe and which chip; `None`: the default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub chip: Option<String>,
    /// "v2", "v2-1", "v3"
    pub probe: Option<String>,
    /// "V2J37S7"
    pub firmware: Option<String>,
    pub serial: Option<String>,
    pub state: Option<PathBuf>,
}

/// Without a target file that says otherwise.
pub const DEFAULT_CHIP: &str = "stm32h743";
pub const DEFAULT_PROBE: &str = "v2";

/// A saved board is the size of its flash and a little more; no chip here has 16 MiB.
const LARGEST_STATE: u64 = 16 << 20;

struct Inner {
    probe: StLink,
    serial: String,
    number: u32,
    state: Option<PathBuf>,
    plugged: bool,
    /// Counts the times it was plugged in: a pipe from before the last one is dead, as a USB handle is.
    plugs: u32,
    /// What goes wrong, and in how many transfers from now.
    injected: Vec<(u32, Inject)>,
}

/// A handle to one board; clones are the same board.
#[derive(Clone)]
pub struct Board(Rc<RefCell<Inner>>);

impl Board {
    /// Powered on and plugged in. Unknown names are `Kind::Usage` errors with what there is; a state file that exists
    /// is loaded.
    pub fn new(config: &Config) -> Result<Board> {
        Board::numbered(config, 0)
    }

    /// The `number`th board of several, from 0: it shows in the default serial number and the USB path.
    pub fn numbered(config: &Config, number: u32) -> Result<Board> {
        let row = chip_row(config.chip.as_deref().unwrap_or(DEFAULT_CHIP))?;
        let kind = Kind::named(config.probe.as_deref().unwrap_or(DEFAULT_PROBE))?;
        let firmware = Firmware::parse(config.firmware.as_deref().unwrap_or(kind.firmware), kind)?;
        let inner = Inner {
            probe: StLink::new(kind, firmware, row),
            serial: serial(config.serial.as_deref(), number)?,
            number,
            state: None,
            plugged: true,
            plugs: 0,
            injected: Vec::new(),
        };
        let board = Board(Rc::new(RefCell::new(inner)));
        config.state.as_deref().map_or(Ok(()), |path| board.keep_in(path))?;
        Ok(board)
    }

    /// The probe's USB identity, as a bus would show it.
    pub fn found(&self) -> Found {
        let inner = self.0.borrow();
        let Kind { vid, pid, .. } = *inner.probe.kind;
        Found { vid, pid, serial: inner.serial.clone(), path: format!("sim-{}", inner.number), trouble: None }
    }

    /// "stm32h743"
    pub fn chip(&self) -> &'static str {
        self.0.borrow().probe.wire.chip.row.name
    }

    /// "v2", "v2-1", "v3"
    pub fn probe(&self) -> &'static str {
        self.0.borrow().probe.kind.name
    }

    /// The near end of the cable.
    pub fn pipe(&self) -> Box<dyn Pipe> {
        let inner = self.0.borrow();
        Box::new(Cable { board: self.clone(), opened: inner.probe.wire.now, plug: inner.plugs })
    }

    pub fn plugged(&self) -> bool {
        self.0.borrow().plugged
    }

    /// The chip keeps its own supply; the probe loses everything.
    pub fn unplug(&self) {
        let mut inner = self.0.borrow_mut();
        inner.plugged = false;
        inner.probe.start_over();
    }

    /// The probe holds the chip's reset pin low.
    pub fn nrst_low(&self) -> bool {
        self.0.borrow().probe.wire.chip.nrst_low()
    }

    /// The probe is in debug mode: its green light.
    pub fn debugging(&self) -> bool {
        self.0.borrow().probe.mode == stlink::Mode::Debug
    }

    /// Pipes from before stay dead.
    pub fn plug(&self) {
        let mut inner = self.0.borrow_mut();
        if !inner.plugged {
            inner.plugged = true;
            inner.plugs += 1;
        }
    }

    /// The board's reset button, pressed and released: NRST low for 10 ms.
    pub fn press_reset(&self) {
        let wire = &mut self.0.borrow_mut().probe.wire;
        let wiring = wire.wiring();
        wire.set_wiring(Wiring { nrst_held: true, ..wiring });
        wire.pass(10 * time::MS);
        wire.set_wiring(wiring);
    }

    /// The chip's supply off and on again: RAM and the debug port forget, option bytes are loaded. The probe stays.
    pub fn power_cycle(&self) {
        let wire = &mut self.0.borrow_mut().probe.wire;
        wire.chip.power_cycle();
        wire.dap.power_cycle();
        wire.pass(10 * time::MS);
    }

    /// The board's own door: memory as it is, not through the probe. Works in flash, RAM, option bytes and registers.
    pub fn dump(&self, address: u32, len: u32) -> Result<Vec<u8>> {
        let inner = self.0.borrow();
        let chip = &inner.probe.wire.chip;
        let mut bytes = Vec::new();
        while bytes.len() < len as usize {
            let at = u64::from(address) + bytes.len() as u64;
            let here = u32::try_from(at).map_err(|_| nothing_at(chip.row.name, at))?;
            match chip.peek_all(here, len as usize - bytes.len()) {
                [] => bytes.push(chip.peek(here).ok_or_else(|| nothing_at(chip.row.name, at))?),
                memory => bytes.extend(memory),
            }
        }
        Ok(bytes)
    }

    pub fn poke(&self, address: u32, bytes: &[u8]) -> Result<()> {
        let mut inner = self.0.borrow_mut();
        let chip = &mut inner.probe.wire.chip;
        let mut done = 0;
        while done < bytes.len() {
            let at = u64::from(address) + done as u64;
            match u32::try_from(at).map_or(0, |here| chip.poke_all(here, &bytes[done..])) {
                0 => return Err(nothing_at(chip.row.name, at)),
                taken => done += taken,
            }
        }
        Ok(())
    }

    /// Level 1 caches that hold copies and can be stale, as on the chip, or memory that is always coherent (the default).
    /// `dump` and `poke` are memory in both cases. A core without caches is an error.
    pub fn set_cache_strict(&self, strict: bool) -> Result<()> {
        let chip = &mut self.0.borrow_mut().probe.wire.chip;
        if chip.set_cache_strict(strict) { Ok(()) } else { Err(Error::command(format!("{}'s core has no caches", chip.row.name))) }
    }

    pub fn cache_strict(&self) -> bool {
        self.0.borrow().probe.wire.chip.cache_strict()
    }

    /// Takes the crystal at HSE away, or puts it back.
    pub fn set_crystal(&self, there: bool) {
        self.0.borrow_mut().probe.wire.chip.set_crystal(there);
    }

    /// The core supply is by an outer regulator (PWR_CR3.BYPASS) or by the chip's LDO: what software chooses otherwise is never
    /// ready. On a board that was not told, everything works.
    pub fn set_bypass(&self, bypass: bool) {
        self.0.borrow_mut().probe.wire.chip.set_supply(if bypass { 1 } else { 2 });
    }

    /// Volts on VREF.
    pub fn set_volts(&self, volts: f32) {
        self.0.borrow_mut().probe.wire.chip.set_volts(volts);
    }

    /// What a goal is worth that rests on times which nobody has measured: they last so many times longer.
    pub fn set_unmeasured(&self, times: u32) {
        self.0.borrow_mut().probe.wire.chip.set_unmeasured(times);
    }

    /// A G0 whose mass erase opens no rows for fast programming, if nobody has seen that it does: SR is 0x2A0 then.
    pub fn set_rows_by_page(&self) {
        self.0.borrow_mut().probe.wire.chip.set_rows_by_page();
    }

    /// Make the flash word at `address` one whose programming was interrupted: it cannot be read until it is erased.
    pub fn tear(&self, address: u32) -> Result<()> {
        let chip = &mut self.0.borrow_mut().probe.wire.chip;
        if chip.set_ecc(address, flash::Ecc::TwoBits) {
            Ok(())
        } else {
            Err(Error::command(format!("{} has no flash at {address:#010x}", chip.row.name)))
        }
    }

    /// The fastest clock, kHz, that the wire between probe and chip bears; above it two bits of each word are flipped,
    /// which its parity does not show. `None`: any.
    pub fn set_wire(&self, max_khz: Option<u32>) {
        self.0.borrow_mut().probe.wire.max_khz = max_khz;
    }

    pub fn wire(&self) -> Option<u32> {
        self.0.borrow().probe.wire.max_khz
    }

    /// What is wrong around the chip.
    pub fn wiring(&self) -> Wiring {
        self.0.borrow().probe.wire.wiring()
    }

    pub fn set_wiring(&self, wiring: Wiring) {
        self.0.borrow_mut().probe.wire.set_wiring(wiring);
    }

    /// The probe is in its boot loader, as after an update that was broken off; plugging it in anew gets it out.
    pub fn set_updating(&self) {
        self.0.borrow_mut().probe.mode = stlink::Mode::Bootloader;
    }

    /// An access of somebody's went wrong and its sticky flag was left in the debug port.
    pub fn leave_sticky(&self) {
        self.0.borrow_mut().probe.wire.dap.leave_sticky();
    }

    /// The flash controllers' state, one line each.
    pub fn flash_report(&self) -> Vec<String> {
        self.0.borrow().probe.wire.chip.flash_report()
    }

    pub fn leds(&self) -> Vec<LedState> {
        self.0.borrow().probe.wire.chip.leds()
    }

    /// The pins in use: of another mode than after reset, or with a level put on them.
    pub fn pins(&self) -> Vec<PinState> {
        self.0.borrow().probe.wire.chip.pins()
    }

    pub fn pin(&self, name: &str) -> Result<PinState> {
        let inner = self.0.borrow();
        let chip = &inner.probe.wire.chip;
        Pin::parse(name).and_then(|pin| chip.pin(pin)).ok_or_else(|| no_pin(chip.row.name, name))
    }

    /// Puts a level on a pin from outside.
    pub fn drive(&self, name: &str, high: bool) -> Result<()> {
        let pin = self.pin(name)?.pin;
        self.0.borrow_mut().probe.wire.chip.drive(pin, high);
        Ok(())
    }

    /// The level of the BOOT0 pin, which counts at the next reset.
    pub fn boot_pin(&self) -> bool {
        self.0.borrow().probe.wire.chip.boot_pin
    }

    pub fn set_boot_pin(&self, high: bool) {
        self.0.borrow_mut().probe.wire.chip.boot_pin = high;
    }

    /// What a serial port has sent since it was last asked; without a name, the console.
    pub fn take_sent(&self, port: Option<&str>) -> Result<Vec<u8>> {
        let mut inner = self.0.borrow_mut();
        let chip = &mut inner.probe.wire.chip;
        chip.take_sent(port).ok_or_else(|| no_port(chip, port))
    }

    /// Sends bytes to a serial port, or without a name to the console, which get there at its baud rate. An error of kind
    /// command: the firmware does not listen.
    pub fn send(&self, port: Option<&str>, bytes: &[u8]) -> Result<()> {
        let mut inner = self.0.borrow_mut();
        let chip = &mut inner.probe.wire.chip;
        match chip.send(port, bytes) {
            None => Err(no_port(chip, port)),
            Some(true) => Ok(()),
            Some(false) => {
                let name = port.map_or("the console".to_string(), str::to_uppercase);
                let error = Error::command(format!("{name} does not receive: UE, RE or a baud rate is not set, or its clock is off"));
                Err(error.hint("let the firmware set it up first, as with `sleep 100`"))
            }
        }
    }

    /// What firmware touched and the board does not have: (peripheral, address, accesses).
    pub fn unmodelled(&self) -> Vec<(&'static str, u32, u32)> {
        let inner = self.0.borrow();
        inner.probe.wire.chip.unmodelled().iter().map(|((name, address), count)| (*name, *address, *count)).collect()
    }

    /// Flash and option bytes to a file, which is replaced as a whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let bytes = self.0.borrow().probe.wire.chip.save();
        let beside = beside(path);
        unsaved(path, std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path)))
    }

    /// What `save` wrote for the same chip, which powers on with it (its debug port keeps its connection). Another
    /// chip's state, or a file that is none, changes nothing.
    pub fn load(&self, path: &Path) -> Result<()> {
        let mut bytes = Vec::new();
        let read = File::open(path).and_then(|file| file.take(LARGEST_STATE).read_to_end(&mut bytes));
        let read = read.map(|_| bytes).map_err(|error| error.to_string());
        let loaded = read.and_then(|bytes| self.0.borrow_mut().probe.wire.chip.load(&bytes));
        loaded.map_err(|why| Error::command(format!("{}: {why}", path.display()))).during("loading the board's state")
    }

    /// Load the state file, if it exists, and save there from now on (`keep`). Where nothing can be saved, that is said
    /// now and not after the work.
    pub fn keep_in(&self, path: &Path) -> Result<()> {
        if path.exists() {
            self.load(path)?;
        }
        let beside = beside(path);
        unsaved(path, File::create(&beside).and_then(|_| std::fs::remove_file(&beside)))?;
        self.0.borrow_mut().state = Some(path.to_path_buf());
        Ok(())
    }

    /// Save to the state file, if there is one: whoever ends a run calls this.
    pub fn keep(&self) -> Result<()> {
        let state = self.0.borrow().state.clone();
        state.map_or(Ok(()), |path| self.save(&path))
    }

    /// Time since power-on.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.0.borrow().probe.wire.now)
    }

    /// Let time go by without the probe: a server's idle time.
    pub fn pass(&self, time: Duration) {
        self.0.borrow_mut().probe.wire.pass(ns(time));
    }

    /// Make something go wrong from the next transfer on.
    pub fn inject(&self, what: Inject) {
        self.inject_after(0, what);
    }

    /// Make something go wrong after so many more transfers.
    pub fn inject_after(&self, transfers: u32, what: Inject) {
        self.0.borrow_mut().injected.push((transfers, what));
    }

    /// Record every command from now on, or stop and forget.
    pub fn record(&self, on: bool) {
        self.0.borrow_mut().probe.log = on.then(Vec::new);
    }

    /// What was recorded.
    pub fn log(&self) -> Vec<Exchange> {
        self.0.borrow().probe.log.clone().unwrap_or_default()
    }

    /// What the chip's core, of two the first, did last, oldest first, since power-on: some thousand instructions and what
    /// came between.
    pub fn past(&self) -> Vec<cpu::Past> {
        self.0.borrow().probe.wire.chip.past()
    }

    /// The chip's SWO pin sends this, until the ITM is modelled.
    pub fn swo(&self, bytes: &[u8]) {
        self.0.borrow_mut().probe.swo(bytes);
    }
}

/// Where a state is written before it takes its file's place.
fn beside(path: &Path) -> PathBuf {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    beside.into()
}

fn unsaved(path: &Path, written: std::io::Result<()>) -> Result<()> {
    written.map_err(|error| Error::command(format!("{}: {error}", path.display()))).during("saving the board's state")
}

fn chip_row(name: &str) -> Result<&'static chips::Row> {
    chips::CHIPS.iter().find(|row| row.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let known = chips::CHIPS.iter().map(|row| row.name).filter(|name| name.starts_with("stm32"));
        let hint = format!("its chips: {}", known.collect::<Vec<_>>().join(", "));
        Error::usage(format!("the board has no chip `{name}`")).hint(hint)
    })
}

/// "RocdBoard" in hex and the board's number, unless one was given.
fn serial(given: Option<&str>, number: u32) -> Result<String> {
    match given {
        None => Ok(format!("526F6364426F617264{number:06X}")),
        Some(text) if text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) => Ok(text.to_ascii_uppercase()),
        Some(text) => Err(Error::usage(format!("`{text}` is no serial number: an ST-Link's has 24 hex digits"))),
    }
}

fn no_port(chip: &Chip, port: Option<&str>) -> Error {
    let (name, ports) = (chip.row.name, chip.ports());
    if ports.is_empty() {
        return Error::usage(format!("{name} has no serial port"));
    }
    let which = port.map_or("console".into(), |port| format!("serial port `{port}`"));
    Error::usage(format!("{name} has no {which}")).hint(format!("its serial ports: {}", ports.join(", ")))
}

fn no_pin(chip: &str, name: &str) -> Error {
    Error::usage(format!("{chip} has no pin `{name}`")).hint("pins are named as PB0; `boot0` is the boot pin")
}

fn nothing_at(chip: &str, address: u64) -> Error {
    Error::command(format!("{chip} has nothing at {address:#010x}"))
}

fn ns(time: Duration) -> Ns {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_serial_number_has_24_hex_digits_and_ends_in_the_boards_number() {
        assert_eq!(serial(None, 0x1F).unwrap(), "526F6364426F61726400001F");
        assert_eq!(serial(Some("066fff485550755187212345"), 3).unwrap(), "066FFF485550755187212345");
        assert_eq!(serial(Some("12"), 0).unwrap_err().kind, crate::error::Kind::Usage);
    }
}
