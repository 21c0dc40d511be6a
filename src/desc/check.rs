//! Checks at load: what TOML and the types cannot say. Every error names file and line and shows the line's text.
//!
//! A place in the file is written as its keys and indexes with dots: "die.0.bank.1.sector".

use super::{BankRow, CoreRow, Die, Interface, Place, Region, Target, Transport, When, Write};
use crate::error::{Error, Result, excerpt};
use crate::near::nearest;
use serde::de::DeserializeOwned;
use std::collections::BTreeSet;
use std::ops::Range;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// The event hooks a target file may name.
pub const HOOKS: &[&str] = &["examine_end", "reset_start", "reset_init", "reset_end", "halted"];

/// DEV_ID and CPUID.PARTNO are 12 bits wide, REV_ID 16 (RM0433 60.5.8, DDI0403 B3.2.3).
const TWELVE_BITS: u32 = 0xFFF;

/// A TOML file that parses, and where each of its values stands.
pub struct Source<'a> {
    file: &'a str,
    text: &'a str,
    root: Spanned<DeTable<'a>>,
}

impl<'a> Source<'a> {
    pub fn new(file: &'a str, text: &'a str) -> Result<Source<'a>> {
        match DeTable::parse(text) {
            Ok(root) => Ok(Source { file, text, root }),
            Err(error) => Err(toml_error(file, text, &error)),
        }
    }

    /// The file as a `T`; unknown keys and wrong types are errors.
    pub fn fill<T: DeserializeOwned>(&self) -> Result<T> {
        toml::from_str(self.text).map_err(|error| toml_error(self.file, self.text, &error))
    }

    pub fn has(&self, key: &str) -> bool {
        self.root.get_ref().get(key).is_some()
    }

    /// An error at `place`, or at the innermost table around it that is there.
    pub fn error(&self, place: &str, message: impl AsRef<str>) -> Error {
        at(self.file, self.text, self.span(place), message.as_ref())
    }

    fn must(&self, holds: bool, place: &str, message: impl FnOnce() -> String) -> Result<()> {
        if holds { Ok(()) } else { Err(self.error(place, message())) }
    }

    fn span(&self, place: &str) -> Range<usize> {
        let mut steps = place.split('.').filter(|step| !step.is_empty());
        let Some(mut found) = steps.next().and_then(|key| self.root.get_ref().get(key)) else {
            return 0..0;
        };
        for step in steps {
            let next = match found.get_ref() {
                DeValue::Table(table) => table.get(step),
                DeValue::Array(array) => step.parse().ok().and_then(|index: usize| array.get(index)),
                _ => None,
            };
            match next {
                Some(value) => found = value,
                None => break,
            }
        }
        found.span()
    }
}

/// "targets/x.toml:12: unknown field `foo`, expected one of … in `foo = 3`"
fn at(file: &str, text: &str, span: Range<usize>, message: &str) -> Error {
    let before = &text.as_bytes()[..span.start.min(text.len())];
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let number = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let line = text[start..].lines().next().unwrap_or("").trim();
    match line {
        "" => Error::usage(format!("{file}:{number}: {message}")),
        line => Error::usage(format!("{file}:{number}: {message} in `{}`", excerpt(line))),
    }
}

fn toml_error(file: &str, text: &str, error: &toml::de::Error) -> Error {
    let message = error.message().replace('\n', ", ");
    let found = at(file, text, error.span().unwrap_or(0..0), &message);
    match suggestion(&message) {
        Some(key) => found.hint(format!("did you mean `{key}`?")),
        None => found,
    }
}

/// Serde's "unknown field `foo`, expected one of `a`, `b`": the expected word nearest to the one that was written.
fn suggestion(message: &str) -> Option<String> {
    if !message.starts_with("unknown ") {
        return None;
    }
    let words: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (written, expected) = words.split_first()?;
    nearest(written, expected.iter().copied()).map(str::to_string)
}

fn driver(source: &Source, name: &str, known: &[&str]) -> Result<()> {
    source.must(known.contains(&name), "driver", || format!("unknown driver `{name}`, known: {}", known.join(", "))).map_err(|error| {
        match nearest(name, known.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        }
    })
}

pub fn interface(interface: &Interface, source: &Source, known: &[&str]) -> Result<()> {
    driver(source, &interface.driver, known)?;
    for (index, id) in interface.usb.iter().enumerate() {
        source.must(is_usb_id(id), &format!("usb.{index}"), || format!("`{id}` is no USB id such as \"0483:374b\""))?;
    }
    source.must(interface.khz != Some(0), "khz", || "the clock cannot be 0 kHz".into())?;
    source.must(interface.serial.as_deref() != Some(""), "serial", || "an empty serial number".into())?;
    let simulated = interface.transport == Transport::Sim;
    source.must(simulated || interface.sim.is_none(), "sim", || "`sim` needs `transport = \"sim\"`".into())?;
    let served = interface.transport == Transport::Tcp;
    source.must(served || interface.address.is_none(), "address", || "`address` needs `transport = \"tcp\"`".into())?;
    let address = interface.address.as_deref().unwrap_or(":0");
    let port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    source.must(port, "address", || format!("`{address}` is no address such as \"127.0.0.1:7184\""))
}

fn is_usb_id(id: &str) -> bool {
    let hex = |part: &str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    id.split_once(':').is_some_and(|(vid, pid)| hex(vid) && hex(pid))
}

pub fn target(target: &Target, source: &Source, known: &[&str]) -> Result<()> {
    driver(source, &target.driver, known)?;
    for (key, value) in [("name", &target.name), ("sim_chip", &target.sim_chip)] {
        text(source, key, value)?;
    }
    source.must(target.dpidr != 0, "dpidr", || "DPIDR cannot be 0".into())?;
    source.must(target.khz != 0, "khz", || "the clock cannot be 0 kHz".into())?;
    for (key, empty) in [("idcode", target.idcode.is_empty()), ("core", target.cores.is_empty()), ("die", target.dies.is_empty())] {
        source.must(!empty, key, || format!("at least one `{key}` is needed"))?;
    }
    each("idcode", &target.idcode, |place, row| idcode(source, place, row))?;
    each("core", &target.cores, |place, row| core(source, place, row))?;
    unique(source, "core", target.cores.iter().map(|row| row.name.as_str()))?;
    for (event, function) in &target.hooks {
        source.must(HOOKS.contains(&event.as_str()), &format!("hooks.{event}"), || {
            format!("unknown event `{event}`, expected one of {}", HOOKS.join(", "))
        })?;
        text(source, &format!("hooks.{event}"), function)?;
    }
    each("die", &target.dies, |place, row| die(source, place, row))?;
    each("attach", &target.attach, |place, row| attach(source, place, row, &target.dies))?;
    dies_differ(source, &target.dies)
}

fn each<T>(key: &str, rows: &[T], check: impl Fn(&str, &T) -> Result<()>) -> Result<()> {
    rows.iter().enumerate().try_for_each(|(index, row)| check(&format!("{key}.{index}"), row))
}

fn unique<'n>(source: &Source, key: &str, names: impl Iterator<Item = &'n str>) -> Result<()> {
    let mut seen = BTreeSet::new();
    for (index, name) in names.enumerate() {
        source.must(seen.insert(name), &format!("{key}.{index}.name"), || format!("a second {key} named `{name}`"))?;
    }
    Ok(())
}

fn text(source: &Source, place: &str, value: &str) -> Result<()> {
    source.must(!value.trim().is_empty(), place, || format!("`{}` is empty", place.rsplit('.').next().unwrap_or(place)))
}

/// Not 0, and a multiple of `unit`.
fn multiple(source: &Source, place: &str, value: u32, unit: u32) -> Result<()> {
    source.must(value != 0, place, || "cannot be 0".into())?;
    aligned(source, place, value, unit)
}

fn aligned(source: &Source, place: &str, value: u32, unit: u32) -> Result<()> {
    source.must(value.is_multiple_of(unit), place, || format!("{value:#x} is not a multiple of {unit}"))
}

/// The mask has bits, and the value has no others.
fn masked(source: &Source, place: &str, mask: u32, value: u32) -> Result<()> {
    source.must(mask != 0, &format!("{place}.mask"), || "a mask of 0 changes nothing".into())?;
    source.must(value & !mask == 0, &format!("{place}.value"), || format!("value {value:#010x} has bits outside the mask {mask:#010x}"))
}

fn idcode(source: &Source, place: &str, row: &Place) -> Result<()> {
    multiple(source, &format!("{place}.address"), row.address, 4)?;
    text(source, &format!("{place}.section"), &row.section)
}

fn core(source: &Source, place: &str, row: &CoreRow) -> Result<()> {
    text(source, &format!("{place}.name"), &row.name)?;
    source.must((1..=TWELVE_BITS).contains(&row.part), &format!("{place}.part"), || format!("part {:#x} is not 12 bits", row.part))?;
    source.must(row.csw & 0xFF == 0, &format!("{place}.csw"), || {
        format!("csw {:#010x} sets bits 7:0, which are the probe's (size and increment)", row.csw)
    })?;
    region(source, &format!("{place}.work_area"), &row.work_area)
}

fn region(source: &Source, place: &str, row: &Region) -> Result<()> {
    aligned(source, &format!("{place}.address"), row.address, 4)?;
    multiple(source, &format!("{place}.size"), row.size, 4)?;
    let most = row.up_to.unwrap_or(row.size);
    source.must(most >= row.size, &format!("{place}.up_to"), || format!("up_to {most:#x} is less than size {:#x}", row.size))?;
    inside(source, place, row.address, most)
}

fn inside(source: &Source, place: &str, address: u32, size: u32) -> Result<()> {
    source.must(u64::from(address) + u64::from(size) <= 1 << 32, place, || format!("{address:#010x} + {size:#x} passes 4 GiB"))
}

fn attach(source: &Source, place: &str, row: &Write, dies: &[Die]) -> Result<()> {
    text(source, &format!("{place}.name"), &row.name)?;
    text(source, &format!("{place}.section"), &row.section)?;
    multiple(source, &format!("{place}.address"), row.address, 4)?;
    masked(source, place, row.mask, row.value)?;
    each(&format!("{place}.dev_ids"), &row.dev_ids, |place, id| {
        source.must(dies.iter().any(|die| die.dev_id == *id), place, || format!("no die has DEV_ID {id:#x}"))
    })
}

fn die(source: &Source, place: &str, row: &Die) -> Result<()> {
    text(source, &format!("{place}.name"), &row.name)?;
    text(source, &format!("{place}.layout"), &row.layout)?;
    source
        .must((1..=TWELVE_BITS).contains(&row.dev_id), &format!("{place}.dev_id"), || format!("DEV_ID {:#x} is not 12 bits", row.dev_id))?;
    each(&format!("{place}.when"), &row.when, |place, when| condition(source, place, when))?;
    for (revision, letter) in &row.revisions {
        let place = format!("{place}.revisions.{revision}");
        let number = revision.strip_prefix("0x").and_then(|digits| u16::from_str_radix(digits, 16).ok());
        source.must(number.is_some(), &place, || format!("revision `{revision}` is no REV_ID such as \"0x2003\""))?;
        text(source, &place, letter)?;
    }
    multiple(source, &format!("{place}.flash_size.address"), row.flash_size.address, 2)?;
    text(source, &format!("{place}.flash_size.section"), &row.flash_size.section)?;
    let max_kib = row.flash_size.max_kib;
    source.must((1..=1 << 20).contains(&max_kib), &format!("{place}.flash_size.max_kib"), || format!("{max_kib} KiB is no flash size"))?;
    source.must(!row.ram.is_empty(), &format!("{place}.ram"), || "a chip has RAM".into())?;
    each(&format!("{place}.ram"), &row.ram, |place, row| region(source, place, row))?;
    source.must(!row.banks.is_empty(), &format!("{place}.bank"), || "a chip has a flash bank".into())?;
    each(&format!("{place}.bank"), &row.banks, |place, row| bank(source, place, row, max_kib * 1024))?;
    unique(source, &format!("{place}.bank"), row.banks.iter().map(|bank| bank.name.as_str()))?;
    banks(source, place, row)
}

fn condition(source: &Source, place: &str, when: &When) -> Result<()> {
    match when {
        When::Ap(_) => Ok(()),
        When::FlashKib(kib) => source.must(*kib != 0, place, || "cannot be 0".into()),
        When::Word { address, mask, value, .. } => {
            aligned(source, &format!("{place}.word.address"), *address, 4)?;
            masked(source, &format!("{place}.word"), *mask, *value)
        }
    }
}

fn bank(source: &Source, place: &str, row: &BankRow, flash: u32) -> Result<()> {
    text(source, &format!("{place}.name"), &row.name)?;
    text(source, &format!("{place}.section"), &row.section)?;
    multiple(source, &format!("{place}.word"), row.word, 4)?;
    multiple(source, &format!("{place}.sector"), row.sector, row.word)?;
    multiple(source, &format!("{place}.registers"), row.registers, 4)?;
    if let Some(address) = row.address {
        aligned(source, &format!("{place}.address"), address, row.sector)?;
        inside(source, &format!("{place}.address"), address, flash)?;
    }
    source.must(row.share != 0, &format!("{place}.share"), || "share is 1 for all of the flash, 2 for half of it …".into())?;
    let size = flash / row.share;
    source.must(size != 0 && size.is_multiple_of(row.sector), &format!("{place}.share"), || {
        format!("{size:#x} bytes of flash are no whole number of sectors of {:#x}", row.sector)
    })
}

/// The shares make up the whole flash, the first bank has an address, and none lies in another at the largest size.
fn banks(source: &Source, place: &str, row: &Die) -> Result<()> {
    let flash = row.flash_size.max_kib * 1024;
    let total: u64 = row.banks.iter().map(|bank| u64::from(flash / bank.share)).sum();
    source.must(total == u64::from(flash), &format!("{place}.bank"), || {
        format!("the banks' shares make up {total:#x} of {flash:#x} bytes")
    })?;
    let mut end = 0;
    for (index, bank) in row.banks.iter().enumerate() {
        let place = format!("{place}.bank.{index}");
        source.must(index > 0 || bank.address.is_some(), &place, || "the first bank needs an address".into())?;
        let start = bank.address.map_or(end, u64::from);
        source.must(start >= end, &format!("{place}.address"), || format!("{start:#010x} lies in the bank before it"))?;
        end = start + u64::from(flash / bank.share);
    }
    source.must(end <= 1 << 32, &format!("{place}.bank"), || "the banks pass 4 GiB".into())
}

/// First match wins, so a row behind one that matches whenever it does is never taken.
fn dies_differ(source: &Source, dies: &[Die]) -> Result<()> {
    for (index, die) in dies.iter().enumerate() {
        let place = format!("die.{index}");
        for before in &dies[..index] {
            let hidden = before.dev_id == die.dev_id && before.when.iter().all(|when| die.when.contains(when));
            source.must(!hidden, &place, || format!("die `{}` is never reached: `{}` matches first", die.name, before.name))?;
            let same = before.name == die.name && before.when == die.when;
            source
                .must(!same, &format!("{place}.name"), || format!("a second die named `{}` that `when` does not tell apart", die.name))?;
        }
    }
    Ok(())
}
