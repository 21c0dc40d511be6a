//! Built-in commands for SEGGER's RTT: what the program in the chip says and hears over rings in its RAM (session/rtt.rs).

use super::{Args, Command, Cx, Value, serve, system};
use crate::error::{Error, Result};
use crate::session::{Channel, SLOW, Session};
use std::net::TcpListener;
use std::ops::RangeInclusive;
use std::time::Duration;

pub const COMMANDS: &[Command] = &[
    Command::new(
        "rtt start [<addr> [<size:num>]]",
        "Show what the program says by RTT: its control block is at _SEGGER_RTT, or where it is found in RAM, or in the range given",
        "program tests/firmware/rtt-h743.elf reset; rtt start",
        start,
    ),
    Command::new("rtt stop", "Leave RTT alone", "rtt stop", |cx, _| {
        cx.session()?.rtt_stop();
        Ok(Value::None)
    }),
    Command::new(
        "rtt channels",
        "List the channels of RTT: number, name, bytes, flags",
        "program tests/firmware/rtt-h743.elf reset; rtt start; sleep 10; rtt channels",
        channels,
    ),
    Command::new(
        "rtt write <channel:num> <words:text>…",
        "Send the words and a line end down a channel of RTT, and wait until all are in its ring",
        "program tests/firmware/rtt-h743.elf reset; rtt start; sleep 10; rtt write 0 hello",
        write,
    ),
    Command::new(
        "rtt server start <port:num> <channel:num>",
        "Let `serve` pass a channel of RTT, up and down, to whoever connects to this port; 0 is any free port",
        "rtt server start 0 0",
        server_start,
    ),
    Command::new(
        "rtt server stop <port:num>",
        "Close a port of `rtt server start`",
        "rtt server start 5555 0; rtt server stop 5555",
        server_stop,
    ),
    Command::new(
        "rtt setup <addr> <size:num> [<id:text>]",
        "Say where `rtt start` looks for the control block",
        "rtt setup 0x24000000 1K \"SEGGER RTT\"",
        setup,
    ),
    Command::new(
        "rtt polling_interval [<ms>]",
        "Set or show how long at most RTT is not looked at while nothing comes; 1 ms while data flows",
        "rtt polling_interval 20",
        |cx, args| {
            let slowest = &mut cx.settings.borrow_mut().rtt.slowest;
            if let Some(ms) = args.opt_num("ms") {
                if !INTERVALS.contains(&ms) {
                    let (least, most) = (INTERVALS.start(), INTERVALS.end());
                    let error = Error::usage(format!("{ms} ms is no interval: it is {least} to {most} ms"));
                    return Err(error.hint("while data flow it is 1 ms in any case; the longer, the more a ring has to hold"));
                }
                *slowest = Some(Duration::from_millis(ms));
            }
            let ms = slowest.unwrap_or(SLOW).as_millis() as u64;
            Ok(Value::shown(ms, format!("RTT is looked at every {ms} ms at least")))
        },
    ),
];

/// Of `rtt polling_interval`, ms. OpenOCD's own is 100.
const INTERVALS: RangeInclusive<u64> = 1..=1000;

/// How long `rtt write` waits for a program that takes nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Where clients of a channel come in, while something serves them.
pub struct Port {
    pub listener: TcpListener,
    pub port: u16,
    pub channel: u32,
}

fn start(cx: &Cx, args: &Args) -> Result<Value> {
    let mut setup = cx.settings.borrow().rtt;
    if let Some(address) = args.opt_num("addr") {
        setup.window = Some((address as u32, size(args)?));
    }
    let found = cx.session()?.rtt_start(cx.core.get(), setup)?;
    // OpenOCD's words, for its clients.
    Ok(match found {
        Some(address) => Value::shown(address, format!("rtt: Control block found at {address:#010x}")),
        None => Value::shown(Value::None, "rtt: No control block found; it is looked for again and again"),
    })
}

/// Without one the block is there and nowhere else.
fn size(args: &Args) -> Result<u32> {
    let size = args.opt_num("size").unwrap_or(0);
    u32::try_from(size).map_err(|_| Error::usage(format!("{size:#x} bytes are more than there can be")))
}

fn setup(cx: &Cx, args: &Args) -> Result<Value> {
    if let Some(id) = args.opt_text("id").filter(|id| *id != "SEGGER RTT") {
        return Err(Error::usage(format!("rtt setup: the id is \"SEGGER RTT\", and not `{id}`")));
    }
    cx.settings.borrow_mut().rtt.window = Some((args.num("addr")? as u32, size(args)?));
    Ok(Value::None)
}

fn channels(cx: &Cx, _: &Args) -> Result<Value> {
    let channels = cx.session()?.rtt_channels()?;
    let (up, down): (Vec<&Channel>, Vec<&Channel>) = channels.iter().partition(|channel| channel.up);
    let line = |channel: &&Channel| {
        let wrong = if channel.usable || channel.size == 0 { "" } else { " (not right: left alone)" };
        format!("\n{}: {} {} {}{wrong}", channel.number, channel.name, channel.size, channel.flags)
    };
    let lines = |channels: &[&Channel]| channels.iter().map(line).collect::<String>();
    // As OpenOCD prints them.
    let text = format!("Channels: up={}, down={}\nUp-channels:{}\nDown-channels:{}", up.len(), down.len(), lines(&up), lines(&down));
    let row = |channel: &Channel| {
        Value::map([
            ("up", channel.up.into()),
            ("number", channel.number.into()),
            ("name", channel.name.as_str().into()),
            ("address", channel.buffer.into()),
            ("size", channel.size.into()),
            ("flags", channel.flags.into()),
            ("mode", channel.mode.into()),
            ("usable", channel.usable.into()),
        ])
    };
    Ok(Value::shown(channels.iter().map(row).collect::<Vec<_>>(), text))
}

fn number(args: &Args) -> Result<u32> {
    let channel = args.num("channel")?;
    u32::try_from(channel).map_err(|_| Error::usage(format!("there is no channel {channel}")))
}

fn write(cx: &Cx, args: &Args) -> Result<Value> {
    let (channel, text) = (number(args)?, args.texts("words").join(" ") + "\n");
    let known = cx.session()?.rtt_channels()?;
    if !known.iter().any(|row| !row.up && row.number == channel && row.usable) {
        return Err(Error::command(format!("RTT has no channel {channel} down to the program")).hint("`rtt channels` lists them"));
    }
    cx.session()?.rtt_send(channel, text.as_bytes())?;
    let (mut left, mut unsent) = (PATIENCE, text.len());
    while unsent > 0 {
        if left.is_zero() {
            let text = format!("the program does not read channel {channel}: {unsent} bytes wait for it");
            return Err(Error::command(text).hint("it takes them when it reads; `halt` and `reg pc` show what it does"));
        }
        system::pause(cx, system::SLICE)?;
        let before = std::mem::replace(&mut unsent, cx.session()?.rtt_unsent(channel));
        left = if unsent < before { PATIENCE } else { left.saturating_sub(system::SLICE) };
    }
    Ok(Value::None)
}

fn server_start(cx: &Cx, args: &Args) -> Result<Value> {
    let channel = number(args)?;
    // Before there is a control block nobody knows.
    let known = cx.session.borrow_mut().as_mut().map_or(Ok(None), Session::rtt_known)?;
    if let Some(known) = known.filter(|known| known.iter().all(|row| row.number != channel)) {
        let list = |up| known.iter().filter(|row| row.up == up).map(|row| row.number.to_string()).collect::<Vec<_>>().join(", ");
        let hint = format!("it has {} up and {} down; `rtt channels` says more", list(true), list(false));
        return Err(Error::command(format!("the program has no channel {channel}")).hint(hint));
    }
    let (listener, address) = serve::listen(cx, "rtt server start", args.num("port")?)?;
    cx.rtt_ports.borrow_mut().push(Port { listener, port: address.port(), channel });
    Ok(Value::shown(u64::from(address.port()), format!("rtt {address} channel {channel}")))
}

fn server_stop(cx: &Cx, args: &Args) -> Result<Value> {
    let port = args.num("port")?;
    let mut ports = cx.rtt_ports.borrow_mut();
    let before = ports.len();
    ports.retain(|row| u64::from(row.port) != port);
    if ports.len() == before {
        return Err(Error::command(format!("no channel of RTT is served at port {port}")));
    }
    Ok(Value::None)
}
