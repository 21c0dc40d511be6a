//! Built-in commands: peripherals by name, from an SVD file of the user's. None comes with rocd.

use super::{Args, Command, Cx, Value, memory};
use crate::desc::svd::{Field, Register, Svd};
use crate::error::{Error, Result};
use crate::near;
use std::path::{Path, PathBuf};
use std::rc::Rc;

pub const COMMANDS: &[Command] = &[Command::new(
    "svd <file>",
    "Take the names of peripherals, registers and fields from a CMSIS-SVD file: `reg RCC`, `reg RCC.CR`, `reg RCC.CR.HSEON 1`",
    "svd tests/firmware/small.svd; reg RAM.CR",
    |cx, args: &Args| load(cx, args.text("file")?).map(|svd| told(&svd)),
)];

fn told(svd: &Svd) -> Value {
    let count = svd.registers.len();
    let rows = [("file", svd.path.as_str().into()), ("device", svd.device.as_str().into()), ("registers", count.into())];
    Value::shown(Value::map(rows), format!("{}: {}, {count} registers", svd.path, svd.device))
}

/// As given, or below a folder of `-s`.
fn load(cx: &Cx, name: &str) -> Result<Rc<Svd>> {
    let search = cx.settings.borrow().search.clone();
    let places = std::iter::once(PathBuf::from(name)).chain(search.iter().map(|folder| folder.join(name)));
    let path = places.into_iter().find(|path| path.is_file()).unwrap_or_else(|| PathBuf::from(name));
    let bytes = memory::contents(&path)?;
    let svd = Rc::new(Svd::parse(&path.display().to_string(), &String::from_utf8_lossy(&bytes))?);
    svd.left_out().into_iter().for_each(|warning| cx.ears.warn(warning));
    cx.svd.replace(Some(svd.clone()));
    Ok(svd)
}

/// `None`: neither the user nor the target file has named one.
fn known(cx: &Cx) -> Result<Option<Rc<Svd>>> {
    if cx.svd.borrow().is_some() {
        return Ok(cx.svd.borrow().clone());
    }
    let named = cx.settings.borrow().target.as_ref().and_then(|target| target.svd.clone());
    named.map(|name| load(cx, &name)).transpose()
}

/// Names that a word which is being typed may become: fields only of a register that it names.
pub fn peripherals(cx: &Cx, word: &str) -> Vec<String> {
    let Ok(Some(svd)) = known(cx) else { return vec![] };
    let owner = word.rsplit_once('.').and_then(|(owner, _)| svd.find(owner));
    let fields = owner.iter().flat_map(|(owner, _)| owner.fields.iter().map(|field| format!("{}.{}", owner.name, field.name)));
    let blocks = svd.registers.iter().filter_map(|register| register.name.rsplit_once('.').map(|(block, _)| block.to_string()));
    svd.registers.iter().map(|register| register.name.clone()).chain(blocks).chain(fields).collect()
}

/// Show a peripheral, a register or a field, or write one of these two. `unknown`: the core has no such register.
pub fn peripheral(cx: &Cx, name: &str, value: Option<u64>, unknown: Error) -> Result<Value> {
    let Some(svd) = known(cx)? else {
        return Err(match name.contains('.') {
            true => {
                let hint = "peripherals are known by an SVD file: `svd FILE`, or `svd = \"FILE\"` in the target file";
                Error { hint: Some(hint.into()), ..unknown }
            }
            false => unknown,
        });
    };
    match (svd.find(name), value) {
        (Some((register, field)), Some(value)) => write(cx, register, field, value),
        (Some((register, None)), None) => {
            let value = read(cx, register)?;
            Ok(Value::shown(value, decoded(register, value)))
        }
        (Some((register, Some(field))), None) => {
            let value = field.of(read(cx, register)?);
            Ok(Value::shown(value, format!("{}.{}", register.name, line(field, value))))
        }
        (None, None) if svd.within(name).next().is_some() => block(cx, &svd, name),
        (None, Some(_)) if svd.within(name).next().is_some() => Err(Error::command(format!("{name} is no register, but has some"))),
        (None, _) => {
            let (all, depth) = (peripherals(cx, name), name.matches('.').count());
            let alike = all.iter().map(String::as_str).filter(|known| known.matches('.').count() == depth);
            let hint = near::hint(name, alike, "`reg PERIPHERAL` lists its registers");
            Err(Error::command(format!("neither this core nor {} has a register `{name}`", Path::new(&svd.path).display())).hint(hint))
        }
    }
}

fn read(cx: &Cx, register: &Register) -> Result<u64> {
    if !register.access.read {
        return Err(Error::command(format!("{} is write-only", register.name)));
    }
    memory::one(cx, register.address, memory::unit_of(register.bits)?)
}

/// A field by reading, changing and writing the register; what was written is said.
fn write(cx: &Cx, register: &Register, field: Option<&Field>, value: u64) -> Result<Value> {
    let (name, unit) = (&register.name, memory::unit_of(register.bits)?);
    let refused =
        |why: &str| Err(Error::command(format!("{name}{} {why}", field.map_or(String::new(), |field| format!(".{}", field.name)))));
    if !field.map_or(register.access, |field| field.access).write {
        return refused("is read-only");
    }
    let (value, was) = match field {
        None => (value, None),
        Some(_) if !register.access.read => return refused("cannot be written by itself: its register is write-only"),
        Some(_) if register.acts => return refused("cannot be written by itself: reading its register changes something"),
        Some(field) => {
            let was = read(cx, register)?;
            match register.with(field, was, value) {
                Some(new) => (new, Some(was)),
                None => return refused(&format!("has {} bits: {value:#x} does not fit", field.at.end - field.at.start)),
            }
        }
    };
    memory::set(cx, register.address, unit, value)?;
    let digits = unit * 2;
    let was = was.map_or(String::new(), |was| format!(" (it was 0x{was:0digits$x})"));
    Ok(Value::shown(value, format!("wrote 0x{value:0digits$x} to {name} at {:#010x}{was}", register.address)))
}

/// Every register of a peripheral but those whose reading is no mere look.
fn block(cx: &Cx, svd: &Svd, name: &str) -> Result<Value> {
    let (mut lines, mut values) = (vec![], vec![]);
    for register in svd.within(name) {
        let digits = register.bits as usize / 4;
        let why = match register {
            Register { access, .. } if !access.read => "not read: write-only".to_string(),
            Register { acts: true, .. } => "not read: reading it changes something".to_string(),
            Register { bits, .. } if memory::unit_of(*bits).is_err() => format!("not read: it has {bits} bits"),
            _ => match read(cx, register) {
                Ok(value) => {
                    values.push((register.name.clone(), value.into()));
                    format!("0x{value:0digits$x}")
                }
                Err(error) if error.is_fault() => "nothing answers".to_string(),
                Err(error) => return Err(error),
            },
        };
        lines.push(format!("{:#010x} {:<24} {why:<10}  {}", register.address, register.name, register.what).trim_end().to_string());
    }
    Ok(Value::shown(Value::Map(values), lines.join("\n")))
}

fn decoded(register: &Register, value: u64) -> String {
    let Register { name, what, address, bits, .. } = register;
    let digits = *bits as usize / 4;
    let head = format!("{name} (/{bits}) at {address:#010x}: 0x{value:0digits$x}  {what}").trim_end().to_string();
    let fields = register.fields.iter().filter(|field| field.access.read).map(|field| format!("  {}", line(field, field.of(value))));
    std::iter::once(head).chain(fields).collect::<Vec<_>>().join("\n")
}

/// `HSERDY [17] 1  Ready: clock is stable`
fn line(field: &Field, value: u64) -> String {
    let (low, high) = (field.at.start, field.at.end - 1);
    let bits = if low == high { format!("[{low}]") } else { format!("[{high}:{low}]") };
    format!("{:<12} {bits:<7} {value:#x}  {}", field.name, field.meaning(value)).trim_end().to_string()
}
