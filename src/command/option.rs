//! Built-in commands: option bytes by name, write protection, OTP. What a change may bring is said before it is made.

use super::flash::{bank, sector_range};
use super::{Args, Command, Cx, Value, memory, spec};
use crate::desc::{self, DANGERS};
use crate::error::{Context, Error, Kind, Result, excerpt};
use crate::near;
use crate::session::{OptionChange, OptionValue, find_option};

pub const COMMANDS: &[Command] = &[
    Command::new("option read [<name:word>]", "Show the option bytes, or one of their fields, and what they mean", "option read RDP", read),
    Command::new(
        "option write (<name:word> <value:word>)… [yes] [--allow <field:word>…]",
        "Show what would become of fields of the option bytes; with `yes` write them, and reset the chip so that they act",
        "option write BOR_LEV 2.1V yes",
        write,
    ),
    Command::new(
        "option protect <bank:num> <first:num> (last|<end:num>) [yes]",
        "Protect sectors of a bank from being written, by number, both ends included; resets the chip",
        "option protect 0 1 2 yes",
        |cx, args| protect(cx, args, true),
    ),
    Command::new(
        "option unprotect <bank:num> <first:num> (last|<end:num>) [yes]",
        "Let sectors of a bank be written again; resets the chip",
        "option unprotect 0 0 last yes",
        |cx, args| protect(cx, args, false),
    ),
    Command::new(
        "otp read [<file>]",
        "Show the one-time programmable memory, or save it in a file, as `dump_image` does",
        "sim chip stm32h7a3; otp read otp.bin",
        otp_read,
    ),
];

fn read(cx: &Cx, args: &Args) -> Result<Value> {
    let mut session = cx.session()?;
    let options = session.options()?;
    if let Err(error) = session.check_options() {
        cx.ears.warn(error.remedy());
    }
    if let Some(name) = args.opt_text("name") {
        let option = find_option(&options, name)?;
        return Ok(Value::shown(option.value, format!("{}: {}", option.field.name, option.says(option.value))));
    }
    let (mut rows, mut lines) = (Vec::new(), Vec::new());
    for OptionValue { field, value, base, dangers, .. } in &options {
        let danger = DANGERS.iter().find(|kind| dangers.iter().any(|danger| danger.kind == kind.0)).map_or("", |kind| kind.0);
        let meaning = field.meaning(*value, *base);
        let brackets = if danger.is_empty() { String::new() } else { format!(" [{danger}]") };
        lines.push(format!("{:16} {value:>#10x}  {meaning:39} {}{brackets}", field.name, field.help));
        let [name, help] = [&field.name, &field.help].map(|text| text.as_str().into());
        rows.push(Value::map([
            ("name", name),
            ("value", (*value).into()),
            ("meaning", meaning.into()),
            ("help", help),
            ("danger", danger.into()),
        ]));
    }
    Ok(Value::shown(rows, lines.join("\n")))
}

/// A word of the field's, a number, or an address where it counts units of memory.
fn value(option: &OptionValue, word: &str) -> Result<u32> {
    let OptionValue { field, base, .. } = option;
    let words = || field.meanings().filter_map(|(number, text)| Some((number, text.split(':').next()?)));
    let number = spec::number(word).and_then(|number| u32::try_from(number).ok());
    let offset = |number: u32| number.checked_sub(*base).filter(|offset| number > field.most() && offset.is_multiple_of(field.unit));
    let unit = |number: u32| offset(number)?.checked_div(field.unit);
    let number = number.map(|number| unit(number).unwrap_or(number)).filter(|number| *number <= field.most());
    let known = words().find(|(value, known)| known.eq_ignore_ascii_case(word) || number == Some(*value)).map(|known| known.0);
    known.or(number.filter(|_| field.values.is_empty())).ok_or_else(|| {
        let all: Vec<String> = words().map(|(number, known)| format!("{known} ({number:#x})")).collect();
        let takes = if all.is_empty() { format!("0 to {:#x}", field.most()) } else { all.join(", ") };
        let hint = near::hint(word, words().map(|known| known.1), "`option read` shows what it holds");
        Error::usage(format!("`{}` is no value of {}, which takes {takes}", excerpt(word), field.name)).hint(hint)
    })
}

fn write(cx: &Cx, args: &Args) -> Result<Value> {
    let mut session = cx.session()?;
    let options = session.options()?;
    let mut wanted: Vec<(&OptionValue, u32)> = Vec::new();
    for (name, word) in args.texts("name").into_iter().zip(args.texts("value")) {
        let option = find_option(&options, name)?;
        if wanted.iter().any(|(known, _)| known.field == option.field) {
            return Err(Error::usage(format!("{} is given twice", option.field.name)));
        }
        wanted.push((option, value(option, word)?));
    }
    for name in args.texts("field") {
        find_option(&options, name).during("honouring `--allow`")?;
    }
    let holds = |name: &str| {
        let becomes = wanted.iter().find(|(option, _)| option.field.name == name).map(|(_, to)| *to);
        becomes.or(options.iter().find(|option| option.field.name == name).map(|option| option.value))
    };
    let changed = wanted.iter().filter(|(option, to)| option.value != *to);
    let changes: Vec<OptionChange> = changed.map(|(option, to)| (*option, *to, option.danger(*to, holds))).collect();
    if changes.is_empty() {
        return Ok("nothing to write: the option bytes hold that already".into());
    }
    let allowed = |name: &str| args.texts("field").iter().any(|field| field.eq_ignore_ascii_case(name));
    let refused = changes.iter().filter(|(option, _, danger)| {
        danger.is_some_and(|danger| DANGERS.contains(&(danger.kind.as_str(), true))) && !allowed(&option.field.name)
    });
    let dangerous = |name: &str| changes.iter().any(|(option, _, danger)| danger.is_some() && option.field.name.eq_ignore_ascii_case(name));
    let needless: Vec<String> = args.texts("field").iter().filter(|name| !dangerous(name)).map(|name| format!("--allow {name}")).collect();
    if !needless.is_empty() {
        cx.ears.warn(format!("`{}` allows nothing here: no such change is dangerous", needless.join(" ")));
    }
    let allow: String = refused.map(|(option, ..)| format!(" --allow {}", option.field.name)).collect();
    let words = changes.iter().map(difference).collect::<Vec<_>>().join("; ");
    if !agreed(cx, args, &words, &allow)? {
        return Ok(format!("dry run: {words}; nothing was changed").into());
    }
    changes.iter().filter(|change| change.2.is_some()).for_each(|change| cx.ears.warn(difference(change)));
    let answers = session.change_options(&changes)?;
    let list: Vec<String> = changes.iter().map(|(option, to, _)| format!("{} is {}", option.field.name, option.says(*to))).collect();
    if answers {
        return Ok(format!("{}; the chip was reset, so that it acts", list.join(", ")).into());
    }
    drop(session);
    cx.session.take().map_or(Ok(()), |mut session| session.probe.detach())?;
    Ok(format!("{}; the chip no longer answers, so nothing could be read back", list.join(", ")).into())
}

/// May it be done, `allow` being what is to be allowed yet? False: this is a dry run.
fn agreed(cx: &Cx, args: &Args, words: &str, allow: &str) -> Result<bool> {
    let (yes, dry_run) = (args.has("yes"), cx.settings.borrow().dry_run);
    if allow.is_empty() && (yes || dry_run) {
        return Ok(!dry_run);
    }
    let (kind, without) = if allow.is_empty() { (Kind::Command, " without `yes`") } else { (Kind::Protected, "") };
    let line = format!("{} {}{}{allow}", args.spec().name, args.words().join(" "), if yes { "" } else { " yes" });
    Err(Error::new(kind, format!("{words}; nothing was changed{without}")).hint(format!("`{line}` does it and resets the chip")))
}

/// What is, what would be, and what may come of it.
fn difference((option, to, danger): &OptionChange) -> String {
    let danger = danger.map_or(String::new(), |danger| format!(" ({}: {})", danger.kind, danger.text));
    format!("{} goes from {} to {}{danger}", option.field.name, option.says(option.value), option.says(*to))
}

fn protect(cx: &Cx, args: &Args, on: bool) -> Result<Value> {
    let mut session = cx.session()?;
    let bank = bank(&session, args.num("bank")?)?;
    let (first, last) = sector_range(&bank, args)?;
    let before = session.protection(&bank)?;
    let mut wanted = before.clone();
    wanted[first as usize..=last as usize].fill(on);
    let not = if on { "" } else { "not " };
    let words = format!("sectors {first} through {last} of bank {} ({} in the manual) {not}write protected", bank.number, bank.name);
    if wanted == before {
        return Ok(format!("nothing to write: {words} already").into());
    }
    if !agreed(cx, args, &format!("{words}: not yet"), "")? {
        return Ok(format!("dry run: {words}; nothing was changed").into());
    }
    session.protect(&bank, &wanted)?;
    Ok(format!("{words}; the chip was reset, so that it acts").into())
}

fn otp_read(cx: &Cx, args: &Args) -> Result<Value> {
    let mut session = cx.session()?;
    let area = session.target.areas.iter().find(|area| area.name == "OTP" && desc::applies(&area.dev_ids, session.dev_id)).cloned();
    let area = area.ok_or_else(|| Error::command(format!("{} has no one-time programmable memory", session.die.name)))?;
    let mut bytes = vec![0; area.size as usize];
    session.mem(0).read(area.address, &mut bytes)?;
    let Some(path) = args.opt_text("file") else {
        return Ok(Value::shown(memory::numbers(&bytes, 4), memory::dump(area.address, &bytes, 4, false)));
    };
    memory::save(path, area.address, &bytes)?;
    Ok(format!("wrote {} bytes of one-time programmable memory at {:#010x} to file {path}", bytes.len(), area.address).into())
}
