//! Built-in commands: the probe. What is plugged in, which one to use, how fast, and how to come in.

use super::{Args, Command, Cx, Settings, Value};
use crate::desc::{Interface, Transport};
use crate::error::{Error, Result};
use crate::probe::{DRIVERS, Driver, Info};
use crate::session::Session;
use crate::tcp;
use crate::usb::{self, Found, UDEV_FILE};

pub const COMMANDS: &[Command] = &[
    Command::new("probe list", "List the probes that are plugged in; no target notices", "probe list", list),
    Command::new("udev", "Print the udev rules that let users open probes on Linux, with where they go", "udev", udev),
    Command::new(
        "connect [under_reset|normal]",
        "Attach to the chip, anew if attached, and say what it is; under_reset holds NRST until the core is caught",
        "connect under_reset",
        connect,
    ),
    Command::new(
        "adapter speed [<khz:num> [exact]]",
        "Show the clock of the debug port, the fastest that a test of the link has shown to be right; or set its upper bound \
         in kHz, or with exact the one that must be",
        "adapter speed 1000; adapter speed 1800 exact",
        adapter_speed,
    ),
    Command::new(
        "adapter serial [<serial:word>]",
        "Show the probe's serial number, or choose the probe by it",
        "adapter serial",
        |cx, args| choose(cx, args, "serial", |settings| &mut settings.serial, |info| &info.serial),
    ),
    Command::new(
        "adapter usb location [<path:word>]",
        "Show where the probe is plugged in, or choose the probe by it (bus-port.port)",
        "adapter usb location",
        |cx, args| choose(cx, args, "path", |settings| &mut settings.usb_path, |info| &info.path),
    ),
];

fn list(cx: &Cx, _: &Args) -> Result<Value> {
    let interface = cx.settings.borrow().interface.clone();
    let probes = match interface {
        Some(interface) if interface.transport == Transport::Sim => vec![super::sim::board(cx)?.found()],
        Some(interface) => every(|driver| probes(&interface, driver))?,
        None => every(|driver| usb::find(driver.usb))?,
    };
    let probes: Vec<(Found, About)> = probes.into_iter().map(|found| about(cx, found)).collect();
    Ok(Value::shown(probes.iter().map(probe_value).collect::<Vec<_>>(), probe_lines(&probes)))
}

/// What only the probe itself knows.
#[derive(Default)]
struct About {
    firmware: Option<String>,
    /// On the target's VREF.
    volts: Option<f32>,
}

/// Ask a probe that can be used, or the one that is in use here; why another one cannot is told with it.
fn about(cx: &Cx, mut found: Found) -> (Found, About) {
    if let Some(session) = cx.session.borrow().as_ref().filter(|session| session.probe.info().path == found.path) {
        let firmware = Some(session.probe.info().firmware.clone());
        return (found, About { firmware, volts: session.volts });
    }
    let about = match found.trouble {
        None => ask(cx, &found),
        Some(_) => return (found, About::default()),
    };
    let (about, trouble) = about.unwrap_or_else(|error| (About::default(), Some(error)));
    found.trouble = trouble.map(|error| error.remedy());
    (found, about)
}

/// Version and voltage, neither of which the target notices; what goes wrong after the version is trouble.
fn ask(cx: &Cx, found: &Found) -> Result<(About, Option<Error>)> {
    let interface = cx.settings.borrow().interface.clone();
    let driver = DRIVERS.iter().find(|driver| found.id(driver.usb).is_some());
    let driver = driver.ok_or_else(|| Error::probe("no driver knows it"))?;
    let pipe = match interface.as_deref().map(|interface| (interface.transport, interface.server())) {
        Some((Transport::Sim, _)) => super::sim::board(cx)?.pipe(),
        Some((_, Some(address))) => tcp::open(address, found)?,
        _ => usb::open(found, driver.usb)?,
    };
    let mut probe = (driver.open)(pipe, Info { vid: found.vid, pid: found.pid, path: found.path.clone(), ..Info::default() })?;
    let firmware = Some(probe.info().firmware.clone());
    let volts = probe.voltage();
    let trouble = volts.as_ref().err().cloned().or(probe.usable().err());
    Ok((About { firmware, volts: volts.ok().flatten() }, trouble))
}

/// A file for udev, rows from the drivers' tables.
fn udev(_: &Cx, _: &Args) -> Result<Value> {
    let mut text = format!(
        "# Debug probes that rocd knows.  rocd udev | sudo tee {UDEV_FILE}\n\
         # then: sudo udevadm control --reload, and plug the probe in again.  Where there is no group plugdev, take GROUP out."
    );
    for id in DRIVERS.iter().flat_map(|driver| driver.usb) {
        text += &format!("\n\n# {}\n{}", id.name, usb::udev_rule(id.vid, id.pid));
    }
    Ok(Value::Text(text))
}

fn every(find: impl Fn(&Driver) -> Result<Vec<Found>>) -> Result<Vec<Found>> {
    Ok(DRIVERS.iter().map(find).collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
}

/// The probes of this driver that are on the bus, or that the interface's server has.
pub fn probes(interface: &Interface, driver: &Driver) -> Result<Vec<Found>> {
    match interface.server() {
        Some(address) => Ok(tcp::find(address)?.into_iter().filter(|found| found.id(driver.usb).is_some()).collect()),
        None => usb::find(driver.usb),
    }
}

/// What kind of probe these USB ids belong to.
fn type_name(found: &Found) -> &'static str {
    DRIVERS.iter().find_map(|driver| found.id(driver.usb)).map_or("unknown probe", |id| id.name)
}

fn probe_value((found, about): &(Found, About)) -> Value {
    Value::map([
        ("type", type_name(found).into()),
        ("usb", format!("{:04x}:{:04x}", found.vid, found.pid).into()),
        ("serial", found.serial.as_str().into()),
        ("path", found.path.as_str().into()),
        ("firmware", about.firmware.as_deref().into()),
        ("volts", about.volts.map(f64::from).into()),
        ("trouble", found.trouble.as_deref().into()),
    ])
}

fn probe_lines(probes: &[(Found, About)]) -> String {
    if probes.is_empty() {
        return "no ST-Link found; is it powered, and the cable one with data lines?".to_string();
    }
    probes.iter().map(probe_line).collect::<Vec<_>>().join("\n")
}

fn probe_line((found, about): &(Found, About)) -> String {
    let firmware = about.firmware.as_ref().map_or(String::new(), |firmware| format!(" {firmware}"));
    let volts = about.volts.map_or(String::new(), |volts| format!(", target at {volts:.2} V"));
    let line = format!("{} ({:04x}:{:04x}){firmware} {}{volts}", type_name(found), found.vid, found.pid, found.whereabouts());
    match &found.trouble {
        Some(trouble) => format!("{line}\n    {}", trouble.replace('\n', "\n    ")),
        None => line,
    }
}

fn connect(cx: &Cx, args: &Args) -> Result<Value> {
    if args.has("under_reset") || args.has("normal") {
        cx.settings.borrow_mut().under_reset = args.has("under_reset");
    }
    let before = cx.session.borrow_mut().take();
    if let Some(mut session) = before {
        // a probe that was unplugged cannot be left in order, and that must not keep the user from the next one
        if let Err(error) = session.detach() {
            cx.ears.warn(format!("leaving the chip: {}", error.message));
        }
    }
    Ok(describe(&*cx.session()?))
}

fn describe(session: &Session) -> Value {
    let Session { probe, die, dev_id, rev_id, khz, volts, .. } = session;
    let Info { name, firmware, serial, .. } = probe.info();
    let revision = die.revision(*rev_id);
    let measured = volts.map_or(String::new(), |volts| format!(", target at {volts:.2} V"));
    let line = format!("{} revision {revision} (DEV_ID {dev_id:#05x}) through {name} {firmware} at {khz} kHz{measured}", die.name);
    let value = Value::map([
        ("chip", die.name.as_str().into()),
        ("dev_id", (*dev_id).into()),
        ("rev_id", (*rev_id).into()),
        ("probe", name.as_str().into()),
        ("firmware", firmware.as_str().into()),
        ("serial", serial.as_str().into()),
        ("khz", (*khz).into()),
        ("volts", volts.map(f64::from).into()),
    ]);
    Value::shown(value, line)
}

fn adapter_speed(cx: &Cx, args: &Args) -> Result<Value> {
    if let Some(khz) = args.opt_num("khz") {
        set_speed(cx, speed(khz)?, args.has("exact"))?;
    }
    if let Some(session) = cx.session.borrow_mut().as_mut() {
        session.hurry(u64::MAX)?;
        return Ok(Value::shown(session.khz, format!("adapter speed: {} kHz", session.khz)));
    }
    Ok(match cx.settings.borrow().khz {
        Some(khz) => Value::shown(
            khz,
            format!("adapter speed: {} {khz} kHz, not connected yet", if cx.settings.borrow().exact { "exactly" } else { "at most" }),
        ),
        None => Value::shown(Value::None, "adapter speed: the fastest that probe and chip bear, not connected yet"),
    })
}

fn speed(khz: u64) -> Result<u32> {
    match u32::try_from(khz) {
        Ok(khz) if khz > 0 => Ok(khz),
        _ => Err(Error::command(format!("{khz} kHz is no clock a probe could make"))),
    }
}

fn set_speed(cx: &Cx, khz: u32, exact: bool) -> Result<()> {
    let mut settings = cx.settings.borrow_mut();
    (settings.khz, settings.exact) = (Some(khz), exact);
    cx.session.borrow_mut().as_mut().map_or(Ok(()), |session| session.set_clock(khz, exact).map(drop))
}

/// One way to say which probe is meant: shown, or set for the next attach.
fn choose(
    cx: &Cx,
    args: &Args,
    name: &str,
    setting: fn(&mut Settings) -> &mut Option<String>,
    actual: fn(&Info) -> &String,
) -> Result<Value> {
    let connected = cx.session.borrow().as_ref().map(|session| actual(session.probe.info()).clone());
    let mut settings = cx.settings.borrow_mut();
    let Some(choice) = args.opt_text(name) else {
        return Ok(match connected.or_else(|| setting(&mut settings).clone()) {
            Some(text) => Value::Text(text),
            None => Value::shown(Value::None, "any probe will do; not connected yet"),
        });
    };
    *setting(&mut settings) = Some(choice.to_string());
    if connected.is_some_and(|connected| connected != choice) {
        cx.ears.info("another probe is in use until `connect`");
    }
    Ok(Value::None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found() -> Found {
        let (serial, path) = ("0668FF303430484257255318".to_string(), "1-4.2".to_string());
        Found { vid: 0x0483, pid: 0x3748, serial, path, trouble: None }
    }

    fn asked(found: Found) -> (Found, About) {
        (found, About::default())
    }

    #[test]
    fn trouble_stands_below_its_probe() {
        let locked = Found { serial: String::new(), trouble: Some("no permission\nadd a udev rule".into()), ..found() };
        let lines = probe_lines(&[asked(locked.clone()), asked(found())]);
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(lines[0], "ST-Link V2 (0483:3748) serial unknown at USB path 1-4.2");
        assert_eq!(lines[1..3], ["    no permission", "    add a udev rule"]);
        assert!(lines[3].contains("0668FF303430484257255318"));
        let Value::Map(entries) = probe_value(&asked(locked)) else { panic!("a probe is a map") };
        assert!(entries.contains(&("trouble".to_string(), Value::Text("no permission\nadd a udev rule".into()))));
    }

    #[test]
    fn an_empty_list_says_so() {
        assert!(probe_lines(&[]).starts_with("no ST-Link found"));
    }

    #[test]
    fn no_probe_makes_every_clock() {
        assert_eq!(speed(24000).unwrap(), 24000);
        assert_eq!(speed(0).unwrap_err().message, "0 kHz is no clock a probe could make");
        assert!(speed(1 << 32).is_err());
    }
}
