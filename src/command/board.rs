//! Built-in commands for what is around the embedded board's chip: LEDs and pins.

use super::{Args, Command, Cx, Value};
use crate::error::Result;

pub const COMMANDS: &[Command] = &[
    Command::new(
        "leds",
        "Show the embedded board's LEDs, how often they changed since reset, and how long one blink takes",
        "reset run; sleep 2000; leds",
        leds,
    ),
    Command::new(
        "pins [<name:word> [high|low]]",
        "Show the embedded board's pins that are in use, or put a level on one: PC13, or boot0 for the next reset",
        "pins; pins PC13 high; pins boot0 low",
        pins,
    ),
];

/// The pin that chooses what to boot is no port's.
const BOOT0: &str = "boot0";
const MS: f64 = 1e6;

fn leds(cx: &Cx, _: &Args) -> Result<Value> {
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for led in super::sim::board(cx)?.leds() {
        let (pin, state) = (led.pin.to_string(), if led.on { "on" } else { "off" });
        let period = led.period.map(|ns| ns as f64 / MS);
        let shown = period.map_or("-".to_string(), milliseconds);
        lines.push(format!("{} {pin} {state} edges={} period={shown}", led.name, led.edges));
        rows.push(Value::map([
            ("name", led.name.into()),
            ("pin", pin.into()),
            ("on", led.on.into()),
            ("edges", led.edges.into()),
            ("period_ms", period.into()),
        ]));
    }
    let text = if lines.is_empty() { "this board has no LED".into() } else { lines.join("\n") };
    Ok(Value::shown(rows, text))
}

/// Whole milliseconds where they are enough, three digits behind the point where a blink is shorter than 10 ms.
fn milliseconds(ms: f64) -> String {
    if ms >= 10.0 { format!("{ms:.0}ms") } else { format!("{ms:.3}ms") }
}

fn pins(cx: &Cx, args: &Args) -> Result<Value> {
    let board = super::sim::board(cx)?;
    let level = (args.has("high") || args.has("low")).then(|| args.has("high"));
    match (args.opt_text("name"), level) {
        (None, _) => {
            let mut rows: Vec<_> =
                board.pins().iter().map(|pin| row(&pin.pin.to_string(), &pin.mode.to_string(), pin.high, pin.driven)).collect();
            rows.extend(board.boot_pin().then(|| boot0(true)));
            let lines = rows.iter().map(Value::to_string).collect::<Vec<_>>();
            let text = if lines.is_empty() { "no pin is in use".into() } else { lines.join("\n") };
            Ok(Value::shown(rows, text))
        }
        (Some(name), None) if name.eq_ignore_ascii_case(BOOT0) => Ok(boot0(board.boot_pin())),
        (Some(name), Some(high)) if name.eq_ignore_ascii_case(BOOT0) => {
            board.set_boot_pin(high);
            Ok(Value::None)
        }
        (Some(name), None) => board.pin(name).map(|pin| row(&pin.pin.to_string(), &pin.mode.to_string(), pin.high, pin.driven)),
        (Some(name), Some(high)) => board.drive(name, high).map(Value::from),
    }
}

fn boot0(high: bool) -> Value {
    row("BOOT0", "input", high, high)
}

fn row(name: &str, mode: &str, high: bool, driven: bool) -> Value {
    let level = if high { "high" } else { "low" };
    let by = if driven { " (by hand)" } else { "" };
    let text = format!("{name} {mode} {level}{by}");
    Value::shown(Value::map([("pin", name.into()), ("mode", mode.into()), ("high", high.into()), ("driven", driven.into())]), text)
}
