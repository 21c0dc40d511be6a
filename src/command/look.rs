//! Looking at the chip as a whole: its memory, its flash.

use super::{Args, Command, Cx, Value};
use crate::error::Result;
use crate::session::Session;

pub const COMMANDS: &[Command] = &[Command::new(
    "memory map",
    "List the regions of the chip's address space: flash, RAM and what the core adds",
    "memory map",
    memory_map,
)];

/// Where a region starts, its size, kind, name, and what is to be known of it.
type Region = (u32, u64, &'static str, String, String);

/// What every Cortex-M has beside code and RAM (DDI0403E B3.1, table B3-1; DDI0419E B3.1 has the same).
const ARCHITECTURE: &[(u32, u64, &str, &str, &str)] = &[
    (0x4000_0000, 0x2000_0000, "peripherals", "peripherals", "device memory, no code"),
    (0xE000_0000, 0x10_0000, "system", "private peripheral bus", "the core's own registers, words only"),
];

fn memory_map(cx: &Cx, _: &Args) -> Result<Value> {
    let regions = regions(&*cx.session()?);
    let end = |region: &Region| u64::from(region.0) + region.1 - 1;
    let line = |region: &Region| {
        let (start, bytes, kind, name, note) = region;
        format!(
            "{start:#010x}..{:#010x} {:>9}  {kind:11} {name}{}{note}",
            end(region),
            size(*bytes),
            if note.is_empty() { "" } else { ": " }
        )
    };
    let row = |(start, bytes, kind, name, note): &Region| {
        Value::map([
            ("address", (*start).into()),
            ("size", (*bytes).into()),
            ("kind", (*kind).into()),
            ("name", name.as_str().into()),
            ("note", note.as_str().into()),
        ])
    };
    let text = regions.iter().map(line).collect::<Vec<_>>().join("\n");
    Ok(Value::shown(regions.iter().map(row).collect::<Vec<_>>(), text))
}

fn size(bytes: u64) -> String {
    let (unit, name) = if bytes.is_multiple_of(1 << 20) { (1 << 20, "MiB") } else { (1 << 10, "KiB") };
    format!("{} {name}", bytes / unit)
}

/// By address.
fn regions(session: &Session) -> Vec<Region> {
    let flash = session.banks.iter().map(|bank| {
        let note = format!("{} sectors of {}, words of {} bytes", bank.sectors(), size(bank.sector.into()), bank.word);
        (bank.address, u64::from(bank.size), "flash", bank.name.clone(), note)
    });
    let work_areas: Vec<_> = session.target.cores.iter().map(|core| (core.work_area.address, core.name.as_str())).collect();
    let ram = session.die.ram.iter().map(|region| {
        let most = region.up_to.filter(|most| *most > region.size).map(|most| format!("up to {}", size(most.into())));
        let user = work_areas.iter().find(|(address, _)| address.wrapping_sub(region.address) < region.size);
        let work = user.map(|(_, core)| format!("work area of {core}"));
        let note = most.into_iter().chain(work).collect::<Vec<_>>().join(", ");
        (region.address, u64::from(region.size), "RAM", region.name.clone(), note)
    });
    let rest = ARCHITECTURE.iter().map(|(address, bytes, kind, name, note)| (*address, *bytes, *kind, name.to_string(), note.to_string()));
    let mut regions: Vec<Region> = flash.chain(ram).chain(rest).collect();
    regions.sort_by_key(|region| region.0);
    regions
}
