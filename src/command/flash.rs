//! Built-in commands: flash. OpenOCD's names, argument order and closing lines; what was not done is never called done.

use super::look::sectors;
use super::memory::{CHUNK, format, opt_address, speed, write_file};
use super::{Args, Command, Cx, Value};
use crate::adi::MemAp;
use crate::error::{Context, Error, Kind, Result};
use crate::event::Event;
use crate::flash::{Action, Bank, Done, Erase, Manner, Plan, Policy, Step};
use crate::image::{Format, Image};
use crate::session::Session;
use std::fs::File;
use std::io::Read;
use std::path::Path;

pub const COMMANDS: &[Command] = &[
    Command::new("flash banks", "List the flash banks of the chip", "flash banks", banks),
    Command::new(
        "flash info <bank:num> [sectors]",
        "Show the sectors of a bank, which are write protected, and the controller's state",
        "flash info 0",
        info,
    ),
    Command::new(
        "flash erase_sector <bank:num> <first:num> (last|<end:num>) [noreset]",
        "Erase sectors of a bank, by number, both ends included",
        "flash erase_sector 0 1 2",
        erase_sector,
    ),
    Command::new(
        "flash erase_address [pad] [unlock] <addr> <length:num> [noreset]",
        "Erase the sectors of an address range; `pad` widens it to whole sectors",
        "flash erase_address pad 0x08020000 1K",
        erase_address,
    ),
    Command::new("flash mass_erase [<bank:num>] [noreset]", "Erase a whole bank, or all of them", "flash mass_erase 1", mass_erase),
    Command::new(
        "flash write_image [erase] [unlock] <file> [<addr>] [bin|elf|ihex|s19|uf2|dfu] [noreset] [noloader] \
         [force-machine] [force-address] [force-vectors] [force-boot]",
        "Write an image into flash; `erase` erases the sectors that need it and keeps what the image does not cover. An image \
         that is not for this chip, or will not start, is refused: `force-` and the check's name does it nevertheless",
        "flash read_bank 0 part.bin 0 8K; flash write_image erase part.bin",
        write_image,
    ),
    Command::new(
        "flash read_bank <bank:num> <file> [<offset:num> [<length:num>]]",
        "Save a bank, or a part of it, in a file, as raw bytes",
        "flash read_bank 0 part.bin 0 1K",
        read_bank,
    ),
    Command::new(
        "flash verify_bank <bank:num> <file> [<offset:num>]",
        "Compare a bank with the raw bytes of a file",
        "flash read_bank 0 part.bin 0 1K; flash verify_bank 0 part.bin",
        verify_bank,
    ),
    Command::new(
        "verify_image <file> [<addr>] [bin|elf|ihex|s19|uf2|dfu]",
        "Compare memory with an image; the first difference is named",
        "flash read_bank 0 part.bin 0 8K; verify_image part.bin 0x08000000",
        verify_image,
    ),
];

pub(super) fn bank(session: &Session, number: u64) -> Result<Bank> {
    let bank = session.banks.iter().find(|bank| bank.number as u64 == number).cloned();
    bank.ok_or_else(|| {
        let count = session.banks.len();
        Error::usage(format!("no flash bank {number}: {} has {count}, numbered from 0", session.die.name)).hint("`flash banks` lists them")
    })
}

/// With the seconds it took on the chip's clock.
pub(super) fn timed<T>(session: &mut Session, work: impl FnOnce(&mut Session) -> Result<T>) -> Result<(T, f64)> {
    let started = session.probe.now();
    let done = work(session)?;
    Ok((done, (session.probe.now() - started).as_secs_f64()))
}

/// "1 sector", "2 sectors"
pub(super) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// "128 KiB", "100 bytes"
pub(super) fn size(bytes: u64) -> String {
    if bytes.is_multiple_of(1024) { format!("{} KiB", bytes / 1024) } else { format!("{bytes} bytes") }
}

// ---- what there is ----

fn banks(cx: &Cx, _: &Args) -> Result<Value> {
    let session = cx.session()?;
    let row = |bank: &Bank| {
        Value::map([
            ("number", bank.number.into()),
            ("name", bank.name.as_str().into()),
            ("driver", session.target.driver.as_str().into()),
            ("base", bank.address.into()),
            ("size", bank.size.into()),
            ("sector", bank.sector.into()),
            ("word", bank.word.into()),
        ])
    };
    let lines: Vec<String> = session.banks.iter().map(|bank| format!("{} ({})", headline(bank), session.target.driver)).collect();
    Ok(Value::shown(session.banks.iter().map(row).collect::<Vec<_>>(), lines.join("\n")))
}

/// As OpenOCD's `flash banks` and `flash info` begin.
fn headline(bank: &Bank) -> String {
    format!("#{} : {} at {:#010x}, size {:#010x}, buswidth 0, chipwidth 0", bank.number, bank.name, bank.address, bank.size)
}

fn info(cx: &Cx, args: &Args) -> Result<Value> {
    let mut session = cx.session()?;
    let bank = bank(&session, args.num("bank")?)?;
    let protection = session.protection(&bank)?;
    let state = session.describe(&bank)?;
    let chip = format!("{} - Rev: {}", session.die.name, session.die.revision(session.rev_id));
    let mut lines = vec![headline(&bank)];
    lines.extend((0..bank.sectors()).map(|sector| sector_line(&bank, sector, protection[sector as usize])));
    lines.extend([chip.clone(), state.clone()]);
    let value = Value::map([
        ("bank", bank.number.into()),
        ("name", bank.name.as_str().into()),
        ("base", bank.address.into()),
        ("size", bank.size.into()),
        ("sector", bank.sector.into()),
        ("protected", protection.into()),
        ("chip", chip.into()),
        ("state", state.into()),
    ]);
    Ok(Value::shown(value, lines.join("\n")))
}

fn sector_line(bank: &Bank, sector: u32, protected: bool) -> String {
    let not = if protected { "" } else { "not " };
    format!("\t#{sector:3}: {:#010x} ({:#x} {}kB) {not}protected", sector * bank.sector, bank.sector, bank.sector / 1024)
}

// ---- erasing ----

fn erase_sector(cx: &Cx, args: &Args) -> Result<Value> {
    let bank = bank(&*cx.session()?, args.num("bank")?)?;
    let (first, last) = sector_range(&bank, args)?;
    let line = format!("erased sectors {first} through {last} on flash bank {} in ", bank.number);
    erase(cx, args, &[(bank, first, last)], by_sector, |seconds| format!("{line}{seconds:.6}s"))
}

/// The sectors that `<first:num> (last|<end:num>)` names.
pub(super) fn sector_range(bank: &Bank, args: &Args) -> Result<(u32, u32)> {
    let first = args.num("first")?;
    let last = args.opt_num("end").unwrap_or(u64::from(bank.sectors() - 1));
    let count = u64::from(bank.sectors());
    let why = match (first, last) {
        _ if last >= count => format!("no sectors {first} through {last}: {} has sectors 0 through {}", bank.name, count - 1),
        _ if first >= count => format!("no sector {first}: {} has sectors 0 through {}", bank.name, count - 1),
        _ if first > last => format!("sector {first} comes behind sector {last}: the first is named first"),
        _ => return Ok((first as u32, last as u32)),
    };
    Err(Error::usage(why))
}

/// A bank and the first and last of its sectors.
type Range = (Bank, u32, u32);

fn range_bytes(ranges: &[Range]) -> u64 {
    ranges.iter().map(|(bank, first, last)| u64::from(last - first + 1) * u64::from(bank.sector)).sum()
}

fn erased_value(ranges: &[Range], seconds: f64) -> Value {
    let sectors: u64 = ranges.iter().map(|(_, first, last)| u64::from(last - first + 1)).sum();
    Value::map([("sectors", sectors.into()), ("bytes", range_bytes(ranges).into()), ("seconds", seconds.into())])
}

fn range_text((bank, first, last): &Range) -> String {
    let from = bank.sector_address(*first);
    let to = bank.sector_address(*last) + (bank.sector - 1);
    format!("sectors {first} through {last} of {}, {from:#010x}..{to:#010x}", bank.name)
}

fn would_erase(ranges: &[Range]) -> Value {
    let list: Vec<String> = ranges.iter().map(range_text).collect();
    let line = format!("dry run: would erase {} ({}); nothing was changed", list.join(" and "), size(range_bytes(ranges)));
    Value::shown(erased_value(ranges, 0.0), line)
}

/// Erase, or in a dry run check whether that could be done; `line` is told the chip's seconds.
fn erase(
    cx: &Cx,
    args: &Args,
    ranges: &[Range],
    parts: fn(&Range) -> Vec<(Bank, Erase)>,
    line: impl FnOnce(f64) -> String,
) -> Result<Value> {
    let parts: Vec<_> = ranges.iter().flat_map(parts).collect();
    let mut session = cx.session()?;
    if cx.settings.borrow().dry_run {
        return session.check_erase(&parts).map(|()| would_erase(ranges));
    }
    let (_, seconds) = timed(&mut session, |session| session.erase(&parts, args.has("noreset")))?;
    Ok(Value::shown(erased_value(ranges, seconds), line(seconds)))
}

fn by_sector((bank, first, last): &Range) -> Vec<(Bank, Erase)> {
    (*first..=*last).map(|sector| (bank.clone(), Erase::Sector(sector))).collect()
}

fn as_a_whole((bank, ..): &Range) -> Vec<(Bank, Erase)> {
    vec![(bank.clone(), Erase::Bank)]
}

fn erase_address(cx: &Cx, args: &Args) -> Result<Value> {
    let (from, length) = (args.num("addr")?, args.num("length")?);
    let ranges = covering(&cx.session()?.banks, from, length, args.has("pad"))?;
    let (start, bytes) = (ranges[0].0.sector_address(ranges[0].1), range_bytes(&ranges));
    let line = |seconds| format!("erased address {start:#010x} (length {bytes}) {}", speed(bytes, seconds));
    let sectors: Vec<_> = ranges.iter().flat_map(|(bank, first, last)| (*first..=*last).map(|sector| (bank.number, sector))).collect();
    unlock(cx, args, &sectors, |_, _| Ok(true))?;
    erase(cx, args, &ranges, by_sector, line)
}

/// The sectors of an address range, which must be whole sectors unless it may be padded.
fn covering(banks: &[Bank], from: u64, length: u64, pad: bool) -> Result<Vec<Range>> {
    if length == 0 {
        return Err(Error::usage("nothing to erase: the length is 0"));
    }
    let past = from.saturating_add(length);
    let mut ranges: Vec<Range> = Vec::new();
    let mut at = from;
    while at < past {
        let bank = banks.iter().find(|bank| u32::try_from(at).is_ok_and(|at| bank.contains(at)));
        let bank =
            bank.ok_or_else(|| Error::usage(format!("no flash at address {at:#010x}")).hint("`flash banks` shows where flash is"))?;
        let first = (at as u32 - bank.address) / bank.sector;
        let last = ((past - 1).min(u64::from(bank.end())) as u32 - bank.address) / bank.sector;
        let bank_past = u64::from(bank.end()) + 1;
        let at_sector = |address: u64| (address - u64::from(bank.address)).is_multiple_of(bank.sector.into());
        let whole = at_sector(at) && at_sector(past.min(bank_past));
        if !pad && !whole {
            return Err(Error::usage(format!(
                "{from:#010x}, {length} bytes are not whole sectors of {} ({} each)",
                bank.name,
                size(bank.sector.into())
            ))
            .hint(format!("`flash erase_address pad {from:#010x} {length}` erases {}", range_text(&(bank.clone(), first, last)))));
        }
        ranges.push((bank.clone(), first, last));
        at = bank_past;
    }
    Ok(ranges)
}

fn mass_erase(cx: &Cx, args: &Args) -> Result<Value> {
    let wanted = match args.opt_num("bank") {
        Some(number) => vec![bank(&*cx.session()?, number)?],
        None => cx.session()?.banks.clone(),
    };
    let names: Vec<&str> = wanted.iter().map(|bank| bank.name.as_str()).collect();
    let ranges: Vec<Range> = wanted.iter().map(|bank| (bank.clone(), 0, bank.sectors() - 1)).collect();
    let line = format!("erased {} ({}) in ", names.join(", "), size(range_bytes(&ranges)));
    erase(cx, args, &ranges, as_a_whole, |seconds| format!("{line}{seconds:.6}s"))
}

// ---- images ----

/// The image, and what the output must say of where it goes.
pub(super) fn read_image(cx: &Cx, args: &Args) -> Result<(Image, Option<String>)> {
    let path = args.text("file")?;
    let said = format(args);
    let mut address = opt_address(args, "addr");
    let mut note = None;
    if address.is_none() && Image::recognise(Path::new(path), said)? == Format::Bin {
        let start = cx.session()?.banks.first().map_or(0, |bank| bank.address);
        address = Some(start);
        note = Some(format!("{path} is a raw binary: it goes to {start:#010x}, the start of flash"));
    }
    let image = Image::read(Path::new(path), address, said)?;
    Ok((image, note))
}

fn write_image(cx: &Cx, args: &Args) -> Result<Value> {
    let (image, note) = read_image(cx, args)?;
    image.warnings.iter().for_each(|warning| cx.ears.warn(warning.as_str()));
    cx.session()?.precheck(&image, |check| args.has(&format!("force-{check}")))?;
    let policy = if args.has("erase") { Policy::Erase } else { Policy::NoErase };
    let manner = Manner { noreset: args.has("noreset"), noloader: args.has("noloader") };
    let touched = crate::flash::touched(&image, &cx.session()?.banks)?;
    let unlocked = unlock(cx, args, &touched, |bank, sector| differs(cx, &image, bank, sector));
    let written = unlocked.and_then(|()| plan_and_write(cx, &image, policy, manner));
    let (plan, done, seconds) = written.during(format_args!("writing {}", image.path))?;
    let mut lines: Vec<String> = note.into_iter().collect();
    match &done {
        None => lines.push(format!("{plan}\ndry run: nothing was changed")),
        Some(done) => lines.extend(report(&image, &plan, done)),
    }
    // Whoever wants it verified later cannot read it again.
    let verified = done.is_some() && Image::comes_once(Path::new(&image.path));
    if verified {
        lines.push(compare(cx, &image)?.2);
    }
    let summary = lines.join("\n");
    let value = written_value(&image.path, &plan, done.as_ref(), verified, seconds, &summary);
    cx.know(image);
    Ok(Value::shown(value, summary))
}

/// The file written and verified, unless flash holds it already; that is told in passing.
pub(super) fn put(cx: &Cx, args: &Args) -> Result<()> {
    let (image, note) = read_image(cx, args)?;
    image.warnings.iter().for_each(|warning| cx.ears.warn(warning.as_str()));
    cx.session()?.precheck(&image, |_| false)?;
    let (plan, done, _) = plan_and_write(cx, &image, Policy::Erase, Manner::default()).during(format_args!("writing {}", image.path))?;
    let mut lines: Vec<String> = note.into_iter().chain(done.iter().flat_map(|done| report(&image, &plan, done))).collect();
    if !plan.is_done() {
        lines.push(compare(cx, &image)?.2);
    }
    lines.into_iter().for_each(|line| cx.ears.info(line));
    cx.know(image);
    Ok(())
}

/// Nothing done: a dry run.
fn plan_and_write(cx: &Cx, image: &Image, policy: Policy, manner: Manner) -> Result<(Plan, Option<Done>, f64)> {
    if cx.settings.borrow().dry_run {
        return Ok((cx.session()?.plan(image, policy)?, None, 0.0));
    }
    let (plan, planned) = timed(&mut *cx.session()?, |session| session.plan_to_write(image, policy, manner))?;
    cx.ears.sink.emit(Event::Map(sectors(cx, Some(&plan), |bank| Ok(vec!["untouched"; bank.sectors() as usize]))?));
    let (done, worked) = timed(&mut *cx.session()?, |session| session.execute(&plan, manner))?;
    Ok((plan, Some(done), planned + worked))
}

/// Does a sector hold something else than the image has for it?
fn differs(cx: &Cx, image: &Image, bank: &Bank, sector: u32) -> Result<bool> {
    let start = u64::from(bank.sector_address(sector));
    for segment in &image.segments {
        let (from, past) = (start.max(segment.address.into()), (start + u64::from(bank.sector)).min(segment.end()));
        if from < past {
            let wanted = &segment.data[(from - u64::from(segment.address)) as usize..][..(past - from) as usize];
            let mut there = vec![0; wanted.len()];
            match MemAp::new(&mut *cx.session()?.probe, bank.ap).read(from as u32, &mut there) {
                // A damaged word.
                Err(error) if error.is_fault() => return Ok(true),
                read => read.during(format!("reading what is write protected at {from:#010x}"))?,
            }
            if there != wanted {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// `unlock`: which of these sectors of banks are write protected and `needed` are so no longer. Resets the chip.
fn unlock(cx: &Cx, args: &Args, sectors: &[(usize, u32)], needed: impl Fn(&Bank, u32) -> Result<bool>) -> Result<()> {
    if !args.has("unlock") || cx.settings.borrow().dry_run {
        return Ok(());
    }
    let banks = cx.session()?.banks.clone();
    for bank in banks {
        let before = cx.session()?.protection(&bank)?;
        let group = crate::flash::driver(&cx.session()?.target.driver)?.protected_together(&bank)?;
        let mut after = before.clone();
        for (_, sector) in sectors.iter().filter(|sector| sector.0 == bank.number && before[sector.1 as usize]) {
            if !needed(&bank, *sector)? {
                continue;
            }
            let first = *sector as usize / group * group;
            after.iter_mut().skip(first).take(group).for_each(|protected| *protected = false);
        }
        if after != before && args.has("noreset") {
            return Err(Error::usage("`unlock` resets the chip, and `noreset` forbids that").hint("`option unprotect` first"));
        }
        if after != before {
            cx.ears.info(format!("taking write protection off sectors of {}", bank.name));
            cx.session()?.protect(&bank, &after)?;
        }
    }
    Ok(())
}

/// What was done, a line for each kind of work.
fn report(image: &Image, plan: &Plan, done: &Done) -> Vec<String> {
    let skipped = count(done.skipped_sectors as usize, "sector");
    if plan.is_done() {
        return vec![format!("nothing to write: flash holds {} already ({} bytes in {skipped})", image.path, plan.image_bytes)];
    }
    let mut lines = vec![match done.erased_sectors {
        0 => "erased no sector: flash was blank where the image goes".to_string(),
        erased => format!("erased {} ({}) in {:.6}s", count(erased as usize, "sector"), size(done.erased_bytes), done.erase_seconds),
    }];
    if done.skipped_sectors > 0 {
        lines.push(format!("skipped {skipped} that held the image already"));
    }
    if done.kept_bytes > 0 {
        lines.push(format!("kept {} bytes outside the image", done.kept_bytes));
    }
    lines.push(format!("wrote {} bytes from file {} {}", done.written_bytes, image.path, speed(done.written_bytes, done.write_seconds)));
    lines
}

fn written_value(path: &str, plan: &Plan, done: Option<&Done>, verified: bool, seconds: f64, summary: &str) -> Value {
    let nothing = Done::default();
    let dry_run = done.is_none();
    let done = done.unwrap_or(&nothing);
    Value::map([
        ("file", path.into()),
        ("dry_run", dry_run.into()),
        ("verified", verified.into()),
        ("image_bytes", plan.image_bytes.into()),
        ("erased_sectors", done.erased_sectors.into()),
        ("erased_bytes", done.erased_bytes.into()),
        ("written_bytes", done.written_bytes.into()),
        ("skipped_sectors", done.skipped_sectors.into()),
        ("kept_bytes", done.kept_bytes.into()),
        ("erase_seconds", done.erase_seconds.into()),
        ("write_seconds", done.write_seconds.into()),
        ("seconds", seconds.into()),
        ("plan", plan.steps.iter().map(step_value).collect::<Vec<_>>().into()),
        ("summary", summary.into()),
    ])
}

fn step_value(step: &Step) -> Value {
    Value::map([
        ("bank", step.bank.into()),
        ("sector", step.sector.into()),
        ("address", step.address.into()),
        ("size", step.size.into()),
        ("action", step.action.name().into()),
        ("erase", (step.action == Action::Replace).into()),
        ("write_bytes", step.bytes().into()),
        ("kept_bytes", step.kept.into()),
    ])
}

/// Bytes, the chip's seconds and the closing line of a verify that found no difference.
fn compare(cx: &Cx, image: &Image) -> Result<(u64, f64, String)> {
    let (bytes, seconds) = timed(&mut *cx.session()?, |session| session.verify(image)).during(format_args!("verifying {}", image.path))?;
    if bytes == 0 {
        return Err(Error::image(format!("{} has no bytes to verify", image.path)));
    }
    Ok((bytes, seconds, format!("verified {bytes} bytes {}", speed(bytes, seconds))))
}

fn verify_image(cx: &Cx, args: &Args) -> Result<Value> {
    let (image, note) = read_image(cx, args)?;
    let (bytes, seconds, line) = compare(cx, &image)?;
    let value = Value::map([
        ("file", image.path.as_str().into()),
        ("bytes", bytes.into()),
        ("seconds", seconds.into()),
        ("summary", line.as_str().into()),
    ]);
    Ok(Value::shown(value, note.into_iter().chain([line]).collect::<Vec<_>>().join("\n")))
}

// ---- banks and files ----

fn read_bank(cx: &Cx, args: &Args) -> Result<Value> {
    let bank = bank(&*cx.session()?, args.num("bank")?)?;
    let path = args.text("file")?;
    let offset = args.opt_num("offset").unwrap_or(0);
    let length = args.opt_num("length").unwrap_or(u64::from(bank.size).saturating_sub(offset));
    let (bytes, seconds) = read(cx, &bank, offset, length)?;
    write_file(path, &bytes)?;
    let line =
        format!("wrote {length} bytes to file {path} from flash bank {} at offset {offset:#010x} {}", bank.number, speed(length, seconds));
    Ok(Value::shown(file_value(path, length, seconds), line))
}

fn file_value(path: &str, bytes: u64, seconds: f64) -> Value {
    Value::map([("file", path.into()), ("bytes", bytes.into()), ("seconds", seconds.into())])
}

/// Bytes of a bank and the chip's seconds it took to read them.
pub(super) fn read(cx: &Cx, bank: &Bank, offset: u64, length: u64) -> Result<(Vec<u8>, f64)> {
    if length == 0 || offset.checked_add(length).is_none_or(|past| past > u64::from(bank.size)) {
        return Err(Error::usage(format!("{length} bytes at offset {offset:#x} are not inside {} ({} bytes)", bank.name, bank.size)));
    }
    let mut session = cx.session()?;
    session.check(bank)?;
    session.hurry(length)?;
    cx.ears.progress("read", 0, length);
    let _phase = cx.ears.phase("read", "");
    timed(&mut session, |session| {
        let mut bytes = vec![0; length as usize];
        for (index, chunk) in bytes.chunks_mut(CHUNK).enumerate() {
            (cx.ears.breathe)()?;
            let at = bank.address + offset as u32 + (index * CHUNK) as u32;
            MemAp::new(&mut *session.probe, bank.ap).read(at, chunk).during(format_args!("reading {} at {at:#010x}", bank.name))?;
            cx.ears.progress("read", (index * CHUNK + chunk.len()) as u64, length);
        }
        session.check_link()?;
        Ok(bytes)
    })
}

/// A file's bytes; not of one that could not fit, such as a device that has no end.
fn contents(path: &str, bank: &Bank) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let most = u64::from(bank.size);
    let read = File::open(path).and_then(|file| file.take(most + 1).read_to_end(&mut bytes));
    read.map_err(|error| Error::command(format!("{path}: {error}")))?;
    match bytes.len() as u64 <= most {
        true => Ok(bytes),
        false => Err(Error::usage(format!("{path} is longer than {} ({most} bytes)", bank.name))),
    }
}

fn verify_bank(cx: &Cx, args: &Args) -> Result<Value> {
    let bank = bank(&*cx.session()?, args.num("bank")?)?;
    let path = args.text("file")?;
    let offset = args.opt_num("offset").unwrap_or(0);
    let wanted = contents(path, &bank)?;
    let (there, seconds) = read(cx, &bank, offset, wanted.len() as u64).during(format_args!("verifying {path}"))?;
    let mut differ = wanted.iter().zip(&there).enumerate().filter(|(_, (wanted, there))| wanted != there);
    if let Some((at, (wanted, there))) = differ.next() {
        let address = u64::from(bank.address) + offset + at as u64;
        let others = differ.count();
        let message = format!(
            "contents differ: {address:#010x} holds {there:#04x}, {path} has {wanted:#04x} ({} differ in all)",
            count(others + 1, "byte")
        );
        return Err(Error::new(Kind::Mismatch, message)
            .hint(format!("`flash write_image erase {path} {:#010x}` writes the file", u64::from(bank.address) + offset)));
    }
    let bytes = wanted.len() as u64;
    let line = format!(
        "contents match: verified {bytes} bytes of flash bank {} at offset {offset:#010x} with file {path} {}",
        bank.number,
        speed(bytes, seconds)
    );
    Ok(Value::shown(file_value(path, bytes, seconds), line))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::Ap;

    fn bank(number: usize, address: u32) -> Bank {
        let name = format!("bank {}", number + 1);
        let ap = Ap { index: 0, csw: 0 };
        Bank { name, number, address, size: 0x4000, sector: 0x800, word: 8, registers: 0, layout: "g0".into(), ap, volts: None }
    }

    fn banks() -> Vec<Bank> {
        vec![bank(0, 0x0800_0000), bank(1, 0x0800_4000)]
    }

    fn sectors(from: u64, length: u64, pad: bool) -> Result<Vec<(usize, u32, u32)>> {
        let ranges = covering(&banks(), from, length, pad)?;
        Ok(ranges.into_iter().map(|(bank, first, last)| (bank.number, first, last)).collect())
    }

    #[test]
    fn whole_sectors_are_erased_by_address() {
        assert_eq!(sectors(0x0800_0800, 0x1000, false).unwrap(), [(0, 1, 2)]);
        assert_eq!(sectors(0x0800_0000, 0x8000, false).unwrap(), [(0, 0, 7), (1, 0, 7)]);
        assert_eq!(sectors(0x0800_3800, 0x1000, false).unwrap(), [(0, 7, 7), (1, 0, 0)]);
    }

    #[test]
    fn parts_of_sectors_need_pad_and_the_hint_says_what_that_erases() {
        for (from, length) in [(0x0800_0804, 0x7FC), (0x0800_0800, 4), (0x0800_3800, 0x801)] {
            let error = sectors(from, length, false).unwrap_err();
            assert!(error.message.contains("are not whole sectors of bank"), "{error}");
            assert_eq!(error.kind, Kind::Usage);
        }
        let error = sectors(0x0800_0804, 4, false).unwrap_err();
        assert_eq!(
            error.hint.unwrap(),
            "`flash erase_address pad 0x08000804 4` erases sectors 1 through 1 of bank 1, 0x08000800..0x08000fff"
        );
        assert_eq!(sectors(0x0800_37FF, 0x802, true).unwrap(), [(0, 6, 7), (1, 0, 0)]);
    }

    #[test]
    fn where_no_flash_is_nothing_is_erased() {
        assert_eq!(sectors(0x2000_0000, 4, true).unwrap_err().message, "no flash at address 0x20000000");
        assert_eq!(sectors(0x0800_7800, 0x1000, false).unwrap_err().message, "no flash at address 0x08008000");
        assert_eq!(sectors(0x0800_0000, 0, false).unwrap_err().message, "nothing to erase: the length is 0");
        assert!(sectors(0xFFFF_FFFF, u64::MAX, true).is_err());
    }

    #[test]
    fn a_sector_reads_as_in_openocd() {
        assert_eq!(sector_line(&bank(0, 0x0800_0000), 1, false), "\t#  1: 0x00000800 (0x800 2kB) not protected");
        assert_eq!(headline(&bank(1, 0x0800_4000)), "#1 : bank 2 at 0x08004000, size 0x00004000, buswidth 0, chipwidth 0");
    }
}
