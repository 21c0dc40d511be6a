//! Checks at load: what TOML and the types cannot say. Every error names file and line and shows the line's text.
//!
//! A place in the file is written as its keys and indexes with dots: "die.0.bank.1.sector".

use super::{Area, BankRow, CoreRow, DANGERS, Danger, Die, Interface, OptionField, OptionRegister, Place, Region, Target, Transport};
use super::{Sign, When, Write, option};
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

/// A place in a file, whose parts are checked.
struct At<'a> {
    source: &'a Source<'a>,
    place: String,
}

impl<'a> At<'a> {
    fn to(&self, key: &str) -> At<'a> {
        let place = if self.place.is_empty() || key.is_empty() { format!("{}{key}", self.place) } else { format!("{}.{key}", self.place) };
        At { source: self.source, place }
    }

    fn must(&self, holds: bool, key: &str, message: impl FnOnce() -> String) -> Result<()> {
        if holds { Ok(()) } else { Err(self.source.error(&self.to(key).place, message())) }
    }

    fn each<T>(&self, key: &str, rows: &[T], check: impl Fn(&At, &T) -> Result<()>) -> Result<()> {
        rows.iter().enumerate().try_for_each(|(index, row)| check(&self.to(&format!("{key}.{index}")), row))
    }

    fn unique<'n>(&self, key: &str, names: impl Iterator<Item = &'n str>) -> Result<()> {
        let (list, mut seen) = (self.to(key).place, BTreeSet::new());
        names.enumerate().try_for_each(|(index, name)| {
            self.must(seen.insert(name), &format!("{key}.{index}.name"), || format!("a second {list} named `{name}`"))
        })
    }

    /// None of these is empty.
    fn texts(&self, texts: &[(&str, &str)]) -> Result<()> {
        let text = |(key, text): &(&str, &str)| {
            self.must(!text.trim().is_empty(), key, || format!("`{}` is empty", key.rsplit('.').next().unwrap_or(key)))
        };
        texts.iter().try_for_each(text)
    }

    /// Not 0, and a multiple of `unit`.
    fn multiple(&self, key: &str, value: u32, unit: u32) -> Result<()> {
        self.must(value != 0, key, || "cannot be 0".into())?;
        self.aligned(key, value, unit)
    }

    fn aligned(&self, key: &str, value: u32, unit: u32) -> Result<()> {
        self.must(value.is_multiple_of(unit), key, || format!("{value:#x} is not a multiple of {unit}"))
    }

    fn inside(&self, key: &str, address: u32, size: u32) -> Result<()> {
        self.must(u64::from(address) + u64::from(size) <= 1 << 32, key, || format!("{address:#010x} + {size:#x} passes 4 GiB"))
    }

    /// The mask has bits, and the value has no others.
    fn masked(&self, mask: u32, value: u32) -> Result<()> {
        self.must(mask != 0, "mask", || "a mask of 0 changes nothing".into())?;
        self.must(value & !mask == 0, "value", || format!("value {value:#010x} has bits outside the mask {mask:#010x}"))
    }

    fn driver(&self, name: &str, known: &[&str]) -> Result<()> {
        let unknown = || format!("unknown driver `{name}`, known: {}", known.join(", "));
        self.must(known.contains(&name), "driver", unknown).map_err(|error| match nearest(name, known.iter().copied()) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        })
    }
}

pub fn interface(interface: &Interface, source: &Source, known: &[&str]) -> Result<()> {
    let at = At { source, place: String::new() };
    at.driver(&interface.driver, known)?;
    at.each("usb", &interface.usb, |at, id| at.must(is_usb_id(id), "", || format!("`{id}` is no USB id such as \"0483:374b\"")))?;
    at.must(interface.khz != Some(0), "khz", || "the clock cannot be 0 kHz".into())?;
    at.must(interface.serial.as_deref() != Some(""), "serial", || "an empty serial number".into())?;
    let simulated = interface.transport == Transport::Sim;
    at.must(simulated || interface.sim.is_none(), "sim", || "`sim` needs `transport = \"sim\"`".into())?;
    let served = interface.transport == Transport::Tcp;
    at.must(served || interface.address.is_none(), "address", || "`address` needs `transport = \"tcp\"`".into())?;
    let address = interface.address.as_deref().unwrap_or(":0");
    let port = address.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    at.must(port, "address", || format!("`{address}` is no address such as \"127.0.0.1:7184\""))
}

fn is_usb_id(id: &str) -> bool {
    let hex = |part: &str| part.len() == 4 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    id.split_once(':').is_some_and(|(vid, pid)| hex(vid) && hex(pid))
}

pub fn target(target: &Target, source: &Source, known: &[&str]) -> Result<()> {
    let at = At { source, place: String::new() };
    at.driver(&target.driver, known)?;
    at.texts(&[("name", &target.name), ("sim_chip", &target.sim_chip)])?;
    at.must(target.dpidr != 0, "dpidr", || "DPIDR cannot be 0".into())?;
    at.must(target.khz != 0, "khz", || "the clock cannot be 0 kHz".into())?;
    for (key, empty) in [("idcode", target.idcode.is_empty()), ("core", target.cores.is_empty()), ("die", target.dies.is_empty())] {
        at.must(!empty, key, || format!("at least one `{key}` is needed"))?;
    }
    at.each("idcode", &target.idcode, idcode)?;
    at.each("core", &target.cores, core)?;
    at.unique("core", target.cores.iter().map(|row| row.name.as_str()))?;
    for (event, function) in &target.hooks {
        let place = format!("hooks.{event}");
        let known = HOOKS.contains(&event.as_str());
        at.must(known, &place, || format!("unknown event `{event}`, expected one of {}", HOOKS.join(", ")))?;
        at.texts(&[(&place, function)])?;
    }
    at.each("die", &target.dies, die)?;
    at.each("attach", &target.attach, |at, row| attach(at, row, &target.dies))?;
    at.each("area", &target.areas, |at, row| area(at, row, &target.dies))?;
    at.each("option", &target.options, options)?;
    at.each("sign", &target.signs, |at, row| sign(at, row, &target.dies))?;
    dies_differ(&at, &target.dies)
}

fn options(at: &At, row: &OptionRegister) -> Result<()> {
    at.texts(&[("register", &row.register), ("section", &row.section)])?;
    at.aligned("address", row.address, 4)?;
    at.aligned("write", row.write.unwrap_or(0), 4)?;
    at.each("fields", &row.fields, option_field)?;
    at.each("dangers", &row.dangers, |at, danger| danger_row(at, danger, &row.fields))
}

fn option_field(at: &At, field: &OptionField) -> Result<()> {
    at.texts(&[("name", &field.name), ("help", &field.help)])?;
    let inside = field.width > 0 && field.bit.checked_add(field.width).is_some_and(|end| end <= 32);
    at.must(inside, "", || format!("bit {} and {} bits are not in 32", field.bit, field.width))?;
    for (number, text) in &field.values {
        let fits = option::key(number).is_some_and(|number| number <= field.most());
        at.must(fits, "values", || format!("`{number}` is no value of {} bits", field.width))?;
        let word = text.split(':').next().unwrap_or_default();
        at.must(!word.is_empty() && !word.contains(' '), "values", || format!("`{text}` does not begin with a word, or `word: more`"))?;
    }
    Ok(())
}

fn danger_row(at: &At, danger: &Danger, fields: &[OptionField]) -> Result<()> {
    at.texts(&[("text", &danger.text)])?;
    let there = |name: &String| fields.iter().any(|field| field.name == *name);
    at.each("fields", &danger.fields, |at, name| at.must(there(name), "", || format!("there is no field `{name}` here")))?;
    let kinds = || DANGERS.iter().map(|row| row.0).collect::<Vec<_>>().join(", ");
    let known = DANGERS.iter().any(|row| row.0 == danger.kind);
    at.must(known, "kind", || format!("unknown kind `{}`, expected one of {}", danger.kind, kinds()))
}

fn idcode(at: &At, row: &Place) -> Result<()> {
    at.multiple("address", row.address, 4)?;
    at.texts(&[("section", &row.section)])
}

fn core(at: &At, row: &CoreRow) -> Result<()> {
    at.texts(&[("name", &row.name)])?;
    at.must((1..=TWELVE_BITS).contains(&row.part), "part", || format!("part {:#x} is not 12 bits", row.part))?;
    let csw = || format!("csw {:#010x} sets bits 7:0, which are the probe's (size and increment)", row.csw);
    at.must(row.csw & 0xFF == 0, "csw", csw)?;
    at.each("own_ram", &row.own_ram, region)?;
    region(&at.to("work_area"), &row.work_area)
}

fn region(at: &At, row: &Region) -> Result<()> {
    at.aligned("address", row.address, 4)?;
    at.multiple("size", row.size, 4)?;
    let most = row.up_to.unwrap_or(row.size);
    at.must(most >= row.size, "up_to", || format!("up_to {most:#x} is less than size {:#x}", row.size))?;
    at.inside("", row.address, most)
}

fn attach(at: &At, row: &Write, dies: &[Die]) -> Result<()> {
    at.texts(&[("name", &row.name), ("section", &row.section)])?;
    at.multiple("address", row.address, 4)?;
    at.masked(row.mask, row.value)?;
    dev_ids(at, &row.dev_ids, dies)
}

fn area(at: &At, row: &Area, dies: &[Die]) -> Result<()> {
    at.texts(&[("name", &row.name), ("kind", &row.kind), ("section", &row.section)])?;
    at.multiple("size", row.size, 4)?;
    at.inside("", row.address, row.size)?;
    dev_ids(at, &row.dev_ids, dies)
}

fn sign(at: &At, row: &Sign, dies: &[Die]) -> Result<()> {
    at.texts(&[("register", &row.register), ("section", &row.section)])?;
    at.multiple("address", row.address, 4)?;
    for (name, bits) in &row.fields {
        let (low, count) = bits.place();
        let fits = count > 0 && u64::from(low) + u64::from(count) <= 32;
        at.must(fits, &format!("fields.{name}"), || format!("{count} bits from bit {low} are not in a register of 32"))?;
    }
    dev_ids(at, &row.dev_ids, dies)
}

fn dev_ids(at: &At, ids: &[u32], dies: &[Die]) -> Result<()> {
    let known = |id| dies.iter().any(|die| die.dev_id == id);
    at.each("dev_ids", ids, |at, id| at.must(known(*id), "", || format!("no die has DEV_ID {id:#x}")))
}

fn die(at: &At, row: &Die) -> Result<()> {
    at.texts(&[("name", &row.name), ("layout", &row.layout)])?;
    at.must((1..=TWELVE_BITS).contains(&row.dev_id), "dev_id", || format!("DEV_ID {:#x} is not 12 bits", row.dev_id))?;
    at.each("when", &row.when, condition)?;
    for (revision, letter) in &row.revisions {
        let place = format!("revisions.{revision}");
        let number = revision.strip_prefix("0x").and_then(|digits| u16::from_str_radix(digits, 16).ok());
        at.must(number.is_some(), &place, || format!("revision `{revision}` is no REV_ID such as \"0x2003\""))?;
        at.texts(&[(&place, letter)])?;
    }
    at.multiple("flash_size.address", row.flash_size.address, 2)?;
    at.texts(&[("flash_size.section", &row.flash_size.section)])?;
    let max_kib = row.flash_size.max_kib;
    at.must((1..=1 << 20).contains(&max_kib), "flash_size.max_kib", || format!("{max_kib} KiB is no flash size"))?;
    at.must(!row.ram.is_empty(), "ram", || "a chip has RAM".into())?;
    at.each("ram", &row.ram, region)?;
    at.must(!row.banks.is_empty(), "bank", || "a chip has a flash bank".into())?;
    at.each("bank", &row.banks, |at, row| bank(at, row, max_kib * 1024))?;
    at.unique("bank", row.banks.iter().map(|bank| bank.name.as_str()))?;
    banks(at, row)
}

fn condition(at: &At, when: &When) -> Result<()> {
    match when {
        When::Ap(_) => Ok(()),
        When::FlashKib(kib) => at.must(*kib != 0, "", || "cannot be 0".into()),
        When::Word { address, mask, value, .. } => {
            at.aligned("word.address", *address, 4)?;
            at.to("word").masked(*mask, *value)
        }
    }
}

fn bank(at: &At, row: &BankRow, flash: u32) -> Result<()> {
    at.texts(&[("name", &row.name), ("section", &row.section)])?;
    at.multiple("word", row.word, 4)?;
    at.multiple("sector", row.sector, row.word)?;
    at.multiple("registers", row.registers, 4)?;
    if let Some(address) = row.address {
        at.aligned("address", address, row.sector)?;
        at.inside("address", address, flash)?;
    }
    at.must(row.share != 0, "share", || "share is 1 for all of the flash, 2 for half of it …".into())?;
    let size = flash / row.share;
    let uneven = || format!("{size:#x} bytes of flash are no whole number of sectors of {:#x}", row.sector);
    at.must(size != 0 && size.is_multiple_of(row.sector), "share", uneven)
}

/// The shares make up the whole flash, the first bank has an address, and none lies in another at the largest size.
fn banks(at: &At, row: &Die) -> Result<()> {
    let flash = row.flash_size.max_kib * 1024;
    let total: u64 = row.banks.iter().map(|bank| u64::from(flash / bank.share)).sum();
    at.must(total == u64::from(flash), "bank", || format!("the banks' shares make up {total:#x} of {flash:#x} bytes"))?;
    let mut end = 0;
    for (index, bank) in row.banks.iter().enumerate() {
        let at = at.to(&format!("bank.{index}"));
        at.must(index > 0 || bank.address.is_some(), "", || "the first bank needs an address".into())?;
        let start = bank.address.map_or(end, u64::from);
        at.must(start >= end, "address", || format!("{start:#010x} lies in the bank before it"))?;
        end = start + u64::from(flash / bank.share);
    }
    at.must(end <= 1 << 32, "bank", || "the banks pass 4 GiB".into())
}

/// First match wins, so a row behind one that matches whenever it does is never taken.
fn dies_differ(at: &At, dies: &[Die]) -> Result<()> {
    for (index, die) in dies.iter().enumerate() {
        let at = at.to(&format!("die.{index}"));
        for before in &dies[..index] {
            let hidden = before.dev_id == die.dev_id && before.when.iter().all(|when| die.when.contains(when));
            at.must(!hidden, "", || format!("die `{}` is never reached: `{}` matches first", die.name, before.name))?;
            let same = before.name == die.name && before.when == die.when;
            at.must(!same, "name", || format!("a second die named `{}` that `when` does not tell apart", die.name))?;
        }
    }
    Ok(())
}
