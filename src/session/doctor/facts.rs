//! What was read, in words, for whoever wants to judge for himself.

use super::evidence::{Evidence, SCR, SYST_CSR};
use crate::cortex_m::faults::{BFAR, CFSR, HFSR, MMFAR, explained};
use crate::cortex_m::{State, VTOR};

type Facts = Vec<(&'static str, String)>;

pub fn facts(e: &Evidence) -> Facts {
    let mut facts: Facts = vec![("core", core(e)), ("vectors", vectors(e)), ("boot", boot(e))];
    if let Some(stood) = &e.stood {
        facts.push(("registers", format!("pc = {}, lr = {}, xPSR = {:#010x}", e.at(stood.pc()), e.at(stood.lr()), stood.xpsr())));
        facts.push(("frame", frame(e)));
        facts.push(("stack", stack(e)));
    }
    let faults = !e.v6m && (e.get(CFSR) != 0 || e.get(HFSR) != 0);
    facts.extend(faults.then(|| ("faults", explained(e.get(HFSR), e.get(CFSR), e.get(MMFAR), e.get(BFAR)))));
    facts.extend(e.unread.iter().map(|why| ("file", format!("not compared: {why}"))));
    facts.push(("resets", e.reset_flags().join(", ")));
    facts.push(("clocks", clocks(e)));
    facts.push(("sleep", sleep(e)));
    facts.push(("watchdogs", watchdogs(e)));
    facts.retain(|(_, text)| !text.is_empty());
    facts
}

fn core(e: &Evidence) -> String {
    let state = match e.state {
        Some(State::Running) => "running",
        Some(State::Halted(_)) => "halted",
        Some(State::Sleeping) => "asleep",
        Some(State::Lockup) => "locked up",
        Some(State::Reset) => "held in reset",
        _ => "does not answer",
    };
    let exception = match e.exception() {
        0 => String::new(),
        number => format!(", in exception {number}"),
    };
    let pcs = if e.samples.len() > 1 { format!("; {} looks: {}", e.samples.len(), super::causes::shares(e)) } else { String::new() };
    format!("{state}{exception}{pcs}")
}

fn vectors(e: &Evidence) -> String {
    let tables = e.tables.iter().map(|(at, table)| format!("{at:#010x}: sp = {:#010x}, reset = {}", table[0], e.at(table[1])));
    tables.chain([format!("VTOR = {:#010x}", e.get(VTOR))]).collect::<Vec<_>>().join("; ")
}

/// The options that have to do with the start, and EMPTY.
fn boot(e: &Evidence) -> String {
    let wanted = |name: &str| ["BOOT", "SWAP", "WDG", "RDP"].iter().any(|part| name.contains(part));
    let options = e.signs("option.").filter(|(name, _)| wanted(name)).map(|(name, value)| format!("{name} = {value:#x}"));
    options.chain(e.sign("empty").map(|empty| format!("EMPTY = {empty}"))).collect::<Vec<_>>().join(", ")
}

fn frame(e: &Evidence) -> String {
    match &e.frame {
        Some(frame) => {
            let stack = if frame.on_psp { "psp" } else { "msp" };
            format!(
                "at {:#010x} ({stack}): pc = {}, lr = {}, xPSR = {:#010x}",
                frame.at,
                e.at(frame.pc()),
                e.at(frame.lr()),
                frame.words[7]
            )
        }
        None => format!("none that can be used: {}", e.no_frame),
    }
}

fn stack(e: &Evidence) -> String {
    let Some(stood) = &e.stood else { return String::new() };
    let place = |sp| e.ram_of(sp).map_or("in no RAM".into(), |ram| format!("{} bytes above {:#010x}", sp - ram.start, ram.start));
    format!("msp = {:#010x} ({}), psp = {:#010x}", stood.msp(), place(stood.msp()), stood.psp())
}

fn clocks(e: &Evidence) -> String {
    let on = e.signs("on.").filter(|(_, on)| *on == 1).map(|(name, _)| match e.sign(&format!("ready.{name}")) {
        Some(0) => format!("{name} on and not ready"),
        _ => format!("{name} ready"),
    });
    let source = e.sign("source").map(|source| format!("SWS = {source}"));
    let wait = e.sign("latency").map(|states| format!("{states} wait states"));
    on.chain(source).chain(wait).collect::<Vec<_>>().join(", ")
}

fn sleep(e: &Evidence) -> String {
    let asleep = e.samples.iter().filter(|sample| sample.asleep()).count();
    let tick = if e.get(SYST_CSR) & 3 == 3 { "SysTick interrupts" } else { "SysTick does not interrupt" };
    let deep = if e.get(SCR) & 4 != 0 { ", SLEEPDEEP is set" } else { "" };
    format!(
        "asleep in {asleep} of {} looks; {tick}{deep}; {}",
        e.samples.len(),
        if e.wakes() { "something can wake it" } else { "nothing can wake it" }
    )
}

/// LSI runs and nobody asked for it: the independent watchdog did (RM0433 8.5.6, RM0444 5.2.6).
fn watchdogs(e: &Evidence) -> String {
    let runs = e.sign("ready.LSI") == Some(1) && e.sign("on.LSI") == Some(0);
    let options =
        ["IWDG", "IWDG2", "WWDG"].into_iter().filter_map(|dog| e.hardware_watchdog(dog).map(|_| format!("{dog} starts by option byte")));
    runs.then(|| "IWDG runs".to_string()).into_iter().chain(options).collect::<Vec<_>>().join(", ")
}
