//! Looking at the chip as a whole: its memory, its flash.

use super::{Args, Command, Cx, Value, flash, memory, spec, system, target};
use crate::desc;
use crate::error::Result;
use crate::event::Event;
use crate::event::map::{BankMap, SectorMap};
use crate::flash::{Action, Bank, Plan, Policy, Step};
use crate::session::{Register, Session};
use std::time::Duration;

pub const COMMANDS: &[Command] = &[
    Command::new(
        "flash map [<file> [<addr>]]",
        "Draw the sectors of all banks: blank, used, protected; with an image also what `program` would do with them",
        "flash map",
        flash_map,
    ),
    Command::new(
        "memory map",
        "List the regions of the chip's address space: flash, RAM, ROM, peripherals and the core's own registers",
        "memory map",
        memory_map,
    ),
    Command::new(
        "watch <expr:text> [<ms> [<n:num>]]",
        "Show a register, what is at an address or symbol, or the value of a line, every 500 ms until Ctrl-C or n times",
        "halt; watch pc 10 2; watch 0x20000000 10 2; watch \"40 + 2\" 10 2",
        watch,
    ),
];

/// Between two looks, ms, unless the user says another.
const EVERY: u64 = 500;

/// What is looked at.
enum Watched {
    Register(Register),
    /// Address, and bytes of the number there.
    Memory(u32, usize),
    /// A command, or Rhai.
    Line,
}

fn watch(cx: &Cx, args: &Args) -> Result<Value> {
    let expr = args.text("expr")?;
    let every = Duration::from_millis(args.opt_num("ms").unwrap_or(EVERY));
    let times = args.opt_num("n").unwrap_or(u64::MAX);
    let watched = watched(cx, expr)?;
    let (mut before, mut last) = (None, Value::None);
    for turn in 0..times {
        if turn > 0 {
            system::pause(cx, every)?;
        }
        (cx.ears.breathe)()?;
        last = look(cx, expr, &watched)?;
        let text = format!("{expr}: {last}");
        if before.as_ref() != Some(&text) {
            cx.ears.sink.emit(Event::Live(text.clone()));
        }
        before = Some(text);
    }
    Ok(Value::shown(last.plain(), ""))
}

/// A register's name wins over a symbol's, as with `reg`; a number is an address.
fn watched(cx: &Cx, expr: &str) -> Result<Watched> {
    if spec::number(expr).is_none() {
        let registers = cx.session()?.registers(cx.core.get())?;
        if let Ok(register) = target::find(&registers, expr) {
            return Ok(Watched::Register(register));
        }
    }
    let Some(address) = spec::sum(expr, &|name| cx.symbol(name)).and_then(|sum| u32::try_from(sum).ok()) else {
        return Ok(Watched::Line);
    };
    let names = cx.names.borrow();
    let said = names.symbols.iter().find(|symbol| symbol.name == expr).map_or(4, |symbol| symbol.size as usize);
    let fits = [4, 2].into_iter().find(|unit| *unit <= said && address.is_multiple_of(*unit as u32));
    Ok(Watched::Memory(address, fits.unwrap_or(1)))
}

fn look(cx: &Cx, expr: &str, watched: &Watched) -> Result<Value> {
    let hex = |value: u64, digits: usize| Value::shown(value, format!("0x{value:0digits$x}"));
    match watched {
        Watched::Register(register) => {
            let value = cx.session()?.read_reg(cx.core.get(), *register)?;
            Ok(Value::shown(value, target::register_words(*register, value, &cx.names.borrow())))
        }
        Watched::Memory(address, unit) => memory::one(cx, *address, *unit).map(|value| hex(value, unit * 2)),
        Watched::Line => (cx.up.line)(cx, expr),
    }
}

/// Where a region starts, its size, kind, name, and what is to be known of it.
type Region = (u32, u64, String, String, String);

/// What every Cortex-M has (DDI0403E B3.1, table B3-1; DDI0419E B3.1 has the same): address, bytes, kind, name, note.
const SYSTEM: (u32, u64, &str, &str, &str) =
    (0xE000_0000, 0x10_0000, "system", "private peripheral bus", "the core's own registers, words only");

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
            ("kind", kind.as_str().into()),
            ("name", name.as_str().into()),
            ("note", note.as_str().into()),
        ])
    };
    let text = regions.iter().map(line).collect::<Vec<_>>().join("\n");
    Ok(Value::shown(regions.iter().map(row).collect::<Vec<_>>(), text))
}

fn size(bytes: u64) -> String {
    let units = [(1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B")];
    let (unit, name) = units.into_iter().find(|(unit, _)| bytes.is_multiple_of(*unit)).unwrap_or((1, "B"));
    format!("{} {name}", bytes / unit)
}

/// By address.
fn regions(session: &Session) -> Vec<Region> {
    let flash = session.banks.iter().map(|bank| {
        let note = format!("{} sectors of {}, words of {} bytes", bank.sectors(), size(bank.sector.into()), bank.word);
        (bank.address, u64::from(bank.size), "flash".to_string(), bank.name.clone(), note)
    });
    let work_areas: Vec<_> =
        session.target.cores.iter().take(session.die.cores).map(|core| (core.work_area.address, core.name.as_str())).collect();
    let ram = session.die.ram.iter().map(|region| {
        let most = region.up_to.filter(|most| *most > region.size).map(|most| format!("up to {}", size(most.into())));
        let user = work_areas.iter().find(|(address, _)| address.wrapping_sub(region.address) < region.size);
        let work = user.map(|(_, core)| format!("work area of {core}"));
        let note = most.into_iter().chain(work).collect::<Vec<_>>().join(", ");
        (region.address, u64::from(region.size), "RAM".to_string(), region.name.clone(), note)
    });
    let areas = session.target.areas.iter().filter(|area| desc::applies(&area.dev_ids, session.die.dev_id));
    let areas = areas.map(|area| (area.address, u64::from(area.size), area.kind.clone(), area.name.clone(), String::new()));
    let (address, bytes, kind, name, note) = SYSTEM;
    let system = (address, bytes, kind.to_string(), name.to_string(), note.to_string());
    let mut regions: Vec<Region> = flash.chain(ram).chain(areas).chain([system]).collect();
    regions.sort_by_key(|region| region.0);
    regions
}

fn flash_map(cx: &Cx, args: &Args) -> Result<Value> {
    let plan = match args.opt_text("file") {
        Some(_) => {
            let (image, _) = flash::read_image(cx, args)?;
            Some(cx.session()?.plan(&image, Policy::Erase)?)
        }
        None => None,
    };
    let map = sectors(cx, plan.as_ref(), |bank| {
        let (bytes, _) = flash::read(cx, bank, 0, bank.size.into())?;
        let blank = |sector: &[u8]| if sector.iter().all(|byte| *byte == 0xFF) { "blank" } else { "used" };
        Ok(bytes.chunks(bank.sector as usize).map(blank).collect())
    })?;
    let row = |(bank, number): (&BankMap, usize)| {
        let (kinds, protected) = (bank.kinds.clone().into(), bank.protected.clone().into());
        Value::map([("bank", number.into()), ("sectors", kinds), ("protected", protected)])
    };
    Ok(Value::shown(map.0.iter().zip(0..).map(row).collect::<Vec<_>>(), map.to_string()))
}

/// What the plan does with every sector; what the others are is asked of `rest`, bank by bank.
pub(super) fn sectors(cx: &Cx, plan: Option<&Plan>, rest: impl Fn(&Bank) -> Result<Vec<&'static str>>) -> Result<SectorMap> {
    let banks = cx.session()?.banks.clone();
    let map = banks.iter().map(|bank| {
        let protected = cx.session()?.protection(bank)?;
        let mut kinds = rest(bank)?;
        for step in plan.iter().flat_map(|plan| &plan.steps).filter(|step| step.bank == bank.number) {
            kinds[step.sector as usize] = match step {
                Step { action: Action::Replace, kept: 1.., .. } => "keep",
                step => step.action.name(),
            };
        }
        Ok(BankMap { name: bank.name.clone(), address: bank.address, sector: bank.sector, kinds, protected })
    });
    map.collect::<Result<_>>().map(SectorMap)
}
