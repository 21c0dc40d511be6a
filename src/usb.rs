//! The pipe to a probe: one command block and at most one data phase per `transfer`.
//!
//! `Pipe` is the seam between rocd and anything that answers like an ST-Link: a real probe (rusb, below), the
//! embedded board (`sim`), a server (`tcp`). Time belongs to the pipe: it is the wall clock
//! on USB and the board's virtual clock on the embedded board.

#[cfg(target_os = "linux")]
mod holders;
mod trace;

pub use trace::Trace;

use crate::error::{Cause, Error, Result};
use rusb::UsbContext;
use std::time::{Duration, Instant};

/// The data phase of a transfer.
#[derive(Debug)]
pub enum Data<'a> {
    None,
    Out(&'a [u8]),
    /// At most this many bytes are taken; the count that came is `transfer`'s result.
    In(&'a mut [u8]),
}

/// What goes through a pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// The largest data phase.
    pub bytes: usize,
    /// The probe's batches of register accesses (RW_MISC) come through.
    pub batches: bool,
}

pub trait Pipe {
    /// Send `cmd` (16 bytes for an ST-Link), then move the data phase. Returns the bytes moved in it.
    fn transfer(&mut self, cmd: &[u8], data: Data) -> Result<usize>;
    /// What the trace endpoint has, at most `buf.len()` bytes: of a board, for those whom it is served to. No driver asks.
    fn read_trace(&mut self, _buf: &mut [u8]) -> Result<usize> {
        Ok(0)
    }
    /// A USB port reset; the probe forgets what it was doing.
    fn reset(&mut self) -> Result<()>;
    /// What a transfer may be on this way, beyond what the probe takes.
    fn room(&self) -> Room {
        Room { bytes: usize::MAX, batches: true }
    }
    /// Time since the pipe was opened.
    fn now(&self) -> Duration;
    fn sleep(&mut self, d: Duration);
    /// The next transfers ask whether something is done: for who counts them.
    fn poll(&self) {}
}

/// One probe as the bus shows it, before anything is opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub vid: u16,
    pub pid: u16,
    /// 24 hex digits for an ST-Link; empty if it could not be read.
    pub serial: String,
    /// `bus-port.port`, as sysfs and `adapter usb location` spell it; behind a server `host:port/number`.
    pub path: String,
    /// Why it cannot be used, with the remedy (`None`: it can).
    pub trouble: Option<String>,
}

impl Found {
    /// Its row among `ids`.
    pub fn id<'a>(&self, ids: &'a [UsbId]) -> Option<&'a UsbId> {
        ids.iter().find(|id| (id.vid, id.pid) == (self.vid, self.pid))
    }

    /// "serial 0668FF… at USB path 1-2"
    pub fn whereabouts(&self) -> String {
        format!("serial {} at {}", if self.serial.is_empty() { "unknown" } else { &self.serial }, self.place())
    }

    /// For people: its USB path, or where the server that has it listens.
    pub fn place(&self) -> String {
        if self.path.contains(':') { self.path.clone() } else { format!("USB path {}", self.path) }
    }
}

/// USB ids that a driver knows, with the endpoints of commands and data out, and data in.
#[derive(Clone, Copy, Debug)]
pub struct UsbId {
    pub vid: u16,
    pub pid: u16,
    pub name: &'static str,
    pub out: u8,
    pub input: u8,
}

/// The probe is interface 0 of the first configuration on every ST-Link; mass storage and serial port come after.
const INTERFACE: u8 = 0;
const BULK_TIMEOUT: Duration = Duration::from_secs(6);
const STRING_TIMEOUT: Duration = Duration::from_secs(1);
/// A probe is back on the bus within this time of a port reset, or it is gone.
const RESET_LIMIT: Duration = Duration::from_secs(3);
const RESET_POLL: Duration = Duration::from_millis(100);

/// Every probe on the bus with one of `ids`, by path. Opens a device only to read its serial number; a probe that
/// cannot be opened is listed with the reason. Nothing is sent to a target.
pub fn find(ids: &[UsbId]) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for device in devices(&context()?)?.iter() {
        if let Some(probe) = device.device_descriptor().ok().and_then(|descriptor| look(&device, &descriptor, ids)) {
            found.push(probe);
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Open the probe that `find` showed and claim its interface.
pub fn open(found: &Found, ids: &[UsbId]) -> Result<Box<dyn Pipe>> {
    let id = found.id(ids).ok_or_else(|| {
        Error::probe(format!("{:04x}:{:04x} at USB path {} is no probe that this driver knows", found.vid, found.pid, found.path))
    })?;
    Ok(Box::new(UsbPipe { handle: claim(found)?, found: found.clone(), id: *id, opened: Instant::now() }))
}

fn context() -> Result<rusb::Context> {
    rusb::Context::new().map_err(|error| {
        Error::probe(format!("USB cannot be used on this machine: {error}"))
            .hint("in a container, pass /dev/bus/usb through; `-f interfaces/sim.toml` needs no USB")
    })
}

fn devices(context: &rusb::Context) -> Result<rusb::DeviceList<rusb::Context>> {
    context.devices().map_err(|error| Error::probe(format!("USB devices cannot be listed: {error}")))
}

type Device = rusb::Device<rusb::Context>;
type Handle = rusb::DeviceHandle<rusb::Context>;

/// `None`: not one of `ids`, or unplugged while we looked.
fn look(device: &Device, descriptor: &rusb::DeviceDescriptor, ids: &[UsbId]) -> Option<Found> {
    let (vid, pid) = (descriptor.vendor_id(), descriptor.product_id());
    ids.iter().find(|id| (id.vid, id.pid) == (vid, pid))?;
    let path = path(device);
    let (serial, trouble) = match device.open().and_then(|handle| serial(&handle, descriptor)) {
        Ok(serial) => (serial, None),
        Err(rusb::Error::NoDevice) => return None,
        Err(error) => (serial_from_sysfs(&path).unwrap_or_default(), Some(explain(error, vid, pid, "opened").remedy())),
    };
    Some(Found { vid, pid, serial, path, trouble })
}

/// `bus-port.port`, libusb's port numbers being those of sysfs; the bus alone for a root hub.
fn path(device: &Device) -> String {
    let ports: Vec<String> = device.port_numbers().unwrap_or_default().iter().map(u8::to_string).collect();
    format!("{}-{}", device.bus_number(), ports.join("."))
}

/// Read raw (GET_DESCRIPTOR, USB 2.0 9.4.3), because libusb's own reader replaces what is not ASCII.
fn serial(handle: &Handle, descriptor: &rusb::DeviceDescriptor) -> rusb::Result<String> {
    const DEVICE_TO_HOST_STANDARD: u8 = 0x80;
    const GET_DESCRIPTOR: u8 = 6;
    const STRING: u16 = 3 << 8;
    const ENGLISH_US: u16 = 0x0409;
    let Some(index) = descriptor.serial_number_string_index() else { return Ok(String::new()) };
    let mut raw = [0; 255];
    let n =
        handle.read_control(DEVICE_TO_HOST_STANDARD, GET_DESCRIPTOR, STRING | u16::from(index), ENGLISH_US, &mut raw, STRING_TIMEOUT)?;
    Ok(decode_serial(&raw[..n]))
}

/// A string descriptor of 50 bytes holds 24 hex digits. Old ST-Link V2 boot loaders send 26 bytes whose 12 code units
/// are the raw bytes of the number; those are printed as the hex digits they should have been.
fn decode_serial(descriptor: &[u8]) -> String {
    const RAW_BYTES_LENGTH: usize = 26;
    let units = descriptor.get(2..).unwrap_or_default().chunks_exact(2);
    if descriptor.len() == RAW_BYTES_LENGTH {
        return units.map(|unit| format!("{:02X}", unit[0])).collect();
    }
    let units: Vec<u16> = units.map(|unit| u16::from_le_bytes([unit[0], unit[1]])).collect();
    String::from_utf16_lossy(&units).trim_end_matches('\0').to_string()
}

/// Linux shows the serial number also to those who may not open the device.
fn serial_from_sysfs(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(format!("/sys/bus/usb/devices/{path}/serial")).ok()?;
    let text = text.trim();
    (text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| text.to_string())
}

/// Find the device again by its path and take interface 0.
fn claim(found: &Found) -> Result<Handle> {
    let context = context()?;
    let same = |device: &Device| {
        let same_id = |d: rusb::DeviceDescriptor| (d.vendor_id(), d.product_id()) == (found.vid, found.pid);
        path(device) == found.path && device.device_descriptor().is_ok_and(same_id)
    };
    let device = devices(&context)?.iter().find(same).ok_or_else(|| unplugged(found))?;
    let handle = device.open().map_err(|error| explain(error, found.vid, found.pid, "opened"))?;
    // Only Linux has kernel drivers to move aside; elsewhere this is not supported, and not needed.
    let _ = handle.set_auto_detach_kernel_driver(true);
    handle.claim_interface(INTERFACE).map_err(|error| match (error, handle.kernel_driver_active(INTERFACE)) {
        (rusb::Error::Busy, Ok(true)) => Error::probe(format!("a kernel driver holds interface 0 of the probe at USB path {}", found.path))
            .hint("unbind the driver (`lsusb -t` names it) or unload its module, then plug the probe in again"),
        (rusb::Error::Busy, _) => busy(&device, found),
        _ => explain(error, found.vid, found.pid, "claimed"),
    })?;
    Ok(handle)
}

/// Another program has claimed the probe: which, if the system tells.
fn busy(device: &Device, found: &Found) -> Error {
    let mut error = explain(rusb::Error::Busy, found.vid, found.pid, "claimed");
    if let Some(who) = holders(device) {
        error.message += &format!("; {who}");
    }
    error
}

#[cfg(target_os = "linux")]
fn holders(device: &Device) -> Option<String> {
    holders::holders(std::path::Path::new("/proc"), &holders::node(device.bus_number(), device.address()))
}

#[cfg(not(target_os = "linux"))]
fn holders(_: &Device) -> Option<String> {
    None
}

fn unplugged(found: &Found) -> Error {
    Error::probe(format!("the probe {:04x}:{:04x} at USB path {} was unplugged", found.vid, found.pid, found.path))
        .cause(Cause::Unplugged)
        .hint("plug it in again and repeat the command")
}

/// What libusb says, in the user's words. `done` completes "the probe … cannot be …".
fn explain(error: rusb::Error, vid: u16, pid: u16, done: &str) -> Error {
    let probe = format!("the probe {vid:04x}:{pid:04x}");
    match error {
        rusb::Error::Access => Error::probe(format!("no permission to use {probe}")).hint(permission_hint(vid, pid)),
        rusb::Error::Busy => Error::probe(format!("another program is using {probe}"))
            .hint("close the other debugger (OpenOCD, an IDE's gdb server, STM32CubeProgrammer …) and try again"),
        rusb::Error::NoDevice => {
            Error::probe(format!("{probe} was unplugged")).cause(Cause::Unplugged).hint("plug it in again and repeat the command")
        }
        rusb::Error::Timeout => Error::probe(format!("{probe} did not answer within {} s", BULK_TIMEOUT.as_secs()))
            .cause(Cause::Timeout)
            .hint("unplug the probe and plug it in again"),
        rusb::Error::Pipe => Error::probe(format!("{probe} refused the command (USB stall)"))
            .hint("the firmware may not know this command: update it with ST's STM32CubeProgrammer or STSW-LINK007"),
        rusb::Error::NotSupported => {
            Error::probe(format!("{probe} cannot be {done}: its USB driver is not WinUSB")).hint("install ST's USB driver (STSW-LINK009)")
        }
        other => Error::probe(format!("{probe} cannot be {done}: {other}")).hint("unplug the probe and plug it in again"),
    }
}

fn permission_hint(vid: u16, pid: u16) -> String {
    if !cfg!(target_os = "linux") {
        return "run as a user who may open USB devices, or install ST's USB driver (STSW-LINK009)".to_string();
    }
    format!(
        "`rocd udev | sudo tee {UDEV_FILE}`, `sudo udevadm control --reload`, then plug the probe in again; its line there: {}",
        udev_rule(vid, pid)
    )
}

/// Where udev's rules for probes go. `uaccess` is given to who sits at the machine by 73-seat-late.rules, so the number is below 73.
pub const UDEV_FILE: &str = "/etc/udev/rules.d/60-rocd.rules";

/// Lets who sits at the machine, and the group plugdev, use the devices of these USB ids.
pub fn udev_rule(vid: u16, pid: u16) -> String {
    format!(
        "SUBSYSTEM==\"usb\", ATTR{{idVendor}}==\"{vid:04x}\", ATTR{{idProduct}}==\"{pid:04x}\", MODE=\"0660\", GROUP=\"plugdev\", TAG+=\"uaccess\""
    )
}

/// A real probe.
struct UsbPipe {
    handle: Handle,
    found: Found,
    id: UsbId,
    opened: Instant,
}

impl UsbPipe {
    fn write(&self, bytes: &[u8]) -> Result<usize> {
        let sent = self.moved(self.id.out, self.handle.write_bulk(self.id.out, bytes, BULK_TIMEOUT))?;
        if sent != bytes.len() {
            return Err(Error::probe(format!("the probe took {sent} of {} bytes", bytes.len())).cause(Cause::Timeout));
        }
        Ok(sent)
    }

    fn read(&self, endpoint: u8, buf: &mut [u8]) -> Result<usize> {
        self.moved(endpoint, self.handle.read_bulk(endpoint, buf, BULK_TIMEOUT))
    }

    /// A stalled endpoint stays stalled until told otherwise (USB 2.0 9.4.5), so a stall is cleared at once.
    fn moved(&self, endpoint: u8, result: rusb::Result<usize>) -> Result<usize> {
        result.map_err(|error| match (error, self.clear_stall(error, endpoint)) {
            (rusb::Error::NoDevice, _) => unplugged(&self.found),
            (_, Ok(())) => explain(error, self.id.vid, self.id.pid, "used"),
            (_, Err(second)) => explain(second, self.id.vid, self.id.pid, "used"),
        })
    }

    fn clear_stall(&self, error: rusb::Error, endpoint: u8) -> rusb::Result<()> {
        if error == rusb::Error::Pipe { self.handle.clear_halt(endpoint) } else { Ok(()) }
    }

    /// After a reset the probe may come back as a new device in the same place.
    fn reopen(&mut self) -> Result<()> {
        let give_up = Instant::now() + RESET_LIMIT;
        loop {
            match claim(&self.found) {
                Ok(handle) => {
                    self.handle = handle;
                    return Ok(());
                }
                Err(error) if Instant::now() >= give_up => return Err(error.during("looking for the probe after a USB reset")),
                Err(_) => std::thread::sleep(RESET_POLL),
            }
        }
    }
}

impl Pipe for UsbPipe {
    fn transfer(&mut self, cmd: &[u8], data: Data) -> Result<usize> {
        self.write(cmd)?;
        match data {
            Data::None => Ok(0),
            Data::Out(bytes) => self.write(bytes),
            Data::In(buf) => self.read(self.id.input, buf),
        }
    }

    fn reset(&mut self) -> Result<()> {
        // The interface may be lost already: the reset is tried all the same.
        let _ = self.handle.release_interface(INTERFACE);
        match self.handle.reset() {
            Ok(()) => {
                self.handle.claim_interface(INTERFACE).map_err(|error| explain(error, self.id.vid, self.id.pid, "claimed after a reset"))
            }
            Err(rusb::Error::NotFound | rusb::Error::NoDevice) => self.reopen(),
            Err(error) => Err(explain(error, self.id.vid, self.id.pid, "reset")),
        }
    }

    fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    fn sleep(&mut self, d: Duration) {
        std::thread::sleep(d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string_descriptor(units: &[u16]) -> Vec<u8> {
        let mut raw = vec![2 + 2 * units.len() as u8, 3];
        raw.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
        raw
    }

    #[test]
    fn a_serial_is_taken_as_it_is_or_as_the_digits_that_raw_bytes_should_have_been_and_a_broken_one_is_no_panic() {
        let digits = "066DFF515055657867152628";
        assert_eq!(decode_serial(&string_descriptor(&digits.encode_utf16().collect::<Vec<_>>())), digits);
        let raw = [0x53, 0xff, 0x6d, 0x06, 0x49, 0x87, 0x48, 0x53, 0x57, 0x08, 0x02, 0x67];
        assert_eq!(decode_serial(&string_descriptor(&raw)), "53FF6D064987485357080267");
        for broken in [&[][..], &[2], &[2, 3], &[5, 3, b'A', 0, b'B']] {
            assert!(decode_serial(broken).len() <= 1, "{broken:?}");
        }
    }

    #[test]
    fn a_missing_permission_comes_with_the_udev_rule_for_this_probe() {
        let text = explain(rusb::Error::Access, 0x0483, 0x374b, "opened").remedy();
        assert!(text.starts_with("no permission to use the probe 0483:374b; "), "{text}");
        if cfg!(target_os = "linux") {
            let rule = "SUBSYSTEM==\"usb\", ATTR{idVendor}==\"0483\", ATTR{idProduct}==\"374b\", MODE=\"0660\", GROUP=\"plugdev\", TAG+=\"uaccess\"";
            assert!(text.contains(rule), "{text}");
            assert!(text.contains("/etc/udev/rules.d/60-rocd.rules"), "{text}");
        }
    }

    #[test]
    fn every_libusb_error_says_what_to_do() {
        use rusb::Error::*;
        for error in [Io, InvalidParam, Access, NoDevice, NotFound, Busy, Timeout, Overflow, Pipe, Interrupted, NoMem, NotSupported, Other]
        {
            let explained = explain(error, 0x0483, 0x3748, "used");
            assert!(explained.hint.is_some() && explained.message.contains("0483:3748"), "{explained}");
        }
        assert_eq!(explain(NoDevice, 1, 2, "used").cause, Cause::Unplugged);
        assert_eq!(explain(Timeout, 1, 2, "used").cause, Cause::Timeout);
        assert!(explain(Busy, 1, 2, "used").message.contains("another program"));
    }

    #[test]
    fn opening_what_is_not_there_is_an_unplugged_probe_or_no_usb_at_all() {
        let id = UsbId { vid: 0xffff, pid: 0xfffe, name: "none", out: 1, input: 0x81 };
        let found = Found { vid: 0xffff, pid: 0xfffe, serial: String::new(), path: "250-9.9".into(), trouble: None };
        let error = open(&found, &[id]).err().expect("no such device");
        assert!(error.cause == Cause::Unplugged || error.message.starts_with("USB "), "{error}");
        assert_eq!(open(&found, &[]).err().expect("no such id").kind, crate::error::Kind::Probe);
    }
}
