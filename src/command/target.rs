//! Built-in commands: the core. Run control, registers, breakpoints and watchpoints, in OpenOCD's words and forms.

use super::memory::opt_address;
use super::{Args, Command, Cx, Value, svd};
use crate::cortex_m::exception_name;
use crate::error::{Error, Result};
use crate::image::Names;
use crate::near;
use crate::session::{Access, BreakKind, Breakpoint, Reason, Register, ResetMode, Session, State, Watchpoint};
use std::time::Duration;

pub const COMMANDS: &[Command] = &[
    Command::new("targets [<name:word>]", "List the cores and their state, or make one the current core", "targets", targets),
    Command::new("halt [<ms>]", "Halt the core and say where; waits up to 5000 ms, with 0 not at all", "halt", |cx, args| {
        stop(cx, args, Session::halt)
    })
    .changes(0),
    Command::new("wait_halt [<ms>]", "Wait up to 5000 ms until the core has halted", "halt; wait_halt 100", |cx, args| {
        stop(cx, args, Session::wait_halt)
    }),
    Command::new("resume [<addr>]", "Let the core run, from its pc or from an address", "halt; resume", resume).changes(0),
    Command::new("step [<addr>]", "Execute one instruction, at the pc or at an address", "halt; step", step).changes(0),
    Command::new("reset [run|halt|init]", "Reset the chip, then run it or hold it at its reset vector", "reset halt", reset).changes(0),
    Command::new(
        "reg [<reg> [<value:num>]]",
        "List the core's registers, or show or set one by name or number; by an SVD file also a peripheral, its register or field",
        "halt; reg pc",
        reg,
    )
    .changes(2),
    Command::new(
        "bp [<addr> <len:num> [hw]]",
        "List breakpoints, or set one: in RAM by an instruction, elsewhere or with hw by a comparator",
        "bp 0x08000200 2 hw; rbp all",
        bp,
    )
    .changes(1),
    Command::new("rbp (all|<addr>)", "Remove a breakpoint, or all", "rbp all", |cx, args| {
        cx.session()?.remove_breakpoint(cx.core.get(), opt_address(args, "addr")).map(Value::from)
    })
    .changes(0),
    Command::new(
        "wp [<addr> <len:num> [r|w|a]]",
        "List watchpoints, or set one that halts on reads, writes or any access",
        "wp 0x20000000 4 w; rwp all",
        wp,
    )
    .changes(1),
    Command::new("rwp (all|<addr>)", "Remove a watchpoint, or all", "rwp all", |cx, args| {
        cx.session()?.remove_watchpoint(cx.core.get(), opt_address(args, "addr")).map(Value::from)
    })
    .changes(0),
];

/// How long `halt` and `wait_halt` wait, as OpenOCD does.
const WAIT_MS: u64 = 5000;

fn targets(cx: &Cx, args: &Args) -> Result<Value> {
    let names = cx.session()?.core_names();
    if let Some(name) = args.opt_text("name") {
        cx.core.set(core_index(&names, name)?);
        return Ok(Value::None);
    }
    let mut session = cx.session()?;
    let mut rows = vec![];
    for (index, name) in names.into_iter().enumerate() {
        rows.push((name, state_word(session.state(index)?), index == cx.core.get()));
    }
    let tap = session.target.name.clone();
    Ok(Value::shown(rows.iter().map(target_value).collect::<Vec<_>>(), target_table(&rows, &tap)))
}

fn core_index(names: &[String], name: &str) -> Result<usize> {
    let found = names.iter().position(|known| known == name).or_else(|| name.parse().ok().filter(|index| *index < names.len()));
    found.ok_or_else(|| {
        let hint = near::hint(name, names.iter().map(String::as_str), &format!("the cores are {}", names.join(", ")));
        Error::command(format!("no core `{name}`")).hint(hint)
    })
}

type TargetRow = (String, &'static str, bool);

fn target_value((name, state, current): &TargetRow) -> Value {
    Value::map([("name", name.as_str().into()), ("state", (*state).into()), ("current", (*current).into())])
}

fn target_table(rows: &[TargetRow], tap: &str) -> String {
    let mut lines = vec![
        "    TargetName         Type       Endian TapName            State       ".to_string(),
        "--  ------------------ ---------- ------ ------------------ ------------".to_string(),
    ];
    for (index, (name, state, current)) in rows.iter().enumerate() {
        let mark = if *current { '*' } else { ' ' };
        lines.push(format!("{index:2}{mark} {name:<18} {:<10} {:<6} {tap:<18} {state}", "cortex_m", "little"));
    }
    lines.join("\n")
}

fn state_word(state: State) -> &'static str {
    match state {
        State::Running => "running",
        State::Halted(_) => "halted",
        State::Sleeping => "sleeping",
        State::Lockup => "lockup",
        State::Reset => "reset",
        State::Unavailable => "unavailable",
    }
}

/// The hook `halted` hears of a core that was not halted before; so a hook that halts does not call itself.
fn stop(cx: &Cx, args: &Args, how: fn(&mut Session, usize, Duration) -> Result<()>) -> Result<Value> {
    let wait = Duration::from_millis(args.opt_num("ms").unwrap_or(WAIT_MS));
    let core = cx.core.get();
    let mut session = cx.session()?;
    let heard = cx.settings.borrow().target.as_ref().is_some_and(|target| target.hooks.contains_key("halted"));
    let ran = heard && halted(session.state(core)?).is_none();
    how(&mut session, core, wait)?;
    let stopped = ran && halted(session.state(core)?).is_some();
    drop(session);
    if stopped {
        cx.fire("halted")?;
    }
    where_it_is(cx, None)
}

fn halted(state: State) -> Option<Reason> {
    match state {
        State::Halted(reason) => Some(reason),
        _ => None,
    }
}

fn resume(cx: &Cx, args: &Args) -> Result<Value> {
    let at = opt_address(args, "addr");
    cx.session()?.resume(cx.core.get(), at).map(Value::from)
}

fn step(cx: &Cx, args: &Args) -> Result<Value> {
    let at = opt_address(args, "addr");
    cx.session()?.step(cx.core.get(), at)?;
    cx.fire("halted")?;
    where_it_is(cx, None)
}

fn reset(cx: &Cx, args: &Args) -> Result<Value> {
    let mode = match (args.has("halt"), args.has("init")) {
        (true, _) => ResetMode::Halt,
        (_, true) => ResetMode::Init,
        _ => ResetMode::Run,
    };
    drop(cx.session()?);
    cx.fire("reset_start")?;
    cx.session()?.reset(mode)?;
    if mode == ResetMode::Init {
        cx.fire("reset_init")?;
    }
    cx.fire("reset_end")?;
    // the vector catch was ours: to the user it is the halt that he asked for
    if mode == ResetMode::Run { Ok(Value::None) } else { where_it_is(cx, Some(Reason::Request)) }
}

/// The current core's state; of a halted one where and why (`why`, where the caller knows better), in the words OpenOCD logs.
fn where_it_is(cx: &Cx, why: Option<Reason>) -> Result<Value> {
    let core = cx.core.get();
    let mut session = cx.session()?;
    let name = session.core_names().into_iter().nth(core).unwrap_or_default();
    match session.state(core)? {
        State::Halted(reason) => halted_value(cx, &mut session, core, name, why.unwrap_or(reason)),
        state => {
            let text = format!("[{name}] {}", state_word(state));
            Ok(Value::shown(core_map(name, state_word(state), vec![]), text))
        }
    }
}

fn core_map(name: String, state: &str, rest: Vec<(&'static str, Value)>) -> Value {
    let head = [("core", name.into()), ("state", state.into())];
    Value::map(head.into_iter().chain(rest))
}

fn halted_value(cx: &Cx, session: &mut Session, core: usize, name: String, reason: Reason) -> Result<Value> {
    let registers = session.registers(core)?;
    let mut read = |name| session.read_reg(core, find(&registers, name)?);
    let (xpsr, pc, control) = (read("xPSR")?, read("pc")?, read("control")?);
    // CONTROL.SPSEL chooses the stack of Thread mode; a handler always uses MSP (DDI0403E B1.4.4)
    let stack = if control & 2 != 0 && exception(xpsr) == 0 { "psp" } else { "msp" };
    let sp = read(stack)?;
    let (reason, mode) = (reason_word(reason), mode_words(exception(xpsr)));
    let place = cx.names.borrow().place(pc as u32);
    // OpenOCD's line as far as the stack pointer: scripts that read it exist
    let known = place.as_ref().map_or(String::new(), |place| format!(" in {place}"));
    let state = format!("xPSR: {xpsr:#010x} pc: {pc:#010x} {stack}: {sp:#010x}");
    let text = format!("[{name}] halted due to {reason}, current mode: {mode}\n{state}{known}");
    let rest = vec![
        ("reason", reason.into()),
        ("mode", mode.trim_end().into()),
        ("pc", pc.into()),
        ("place", place.into()),
        ("xpsr", xpsr.into()),
        ("sp", sp.into()),
    ];
    Ok(Value::shown(core_map(name, "halted", rest), text))
}

/// As OpenOCD logs it.
pub fn reason_word(reason: Reason) -> &'static str {
    match reason {
        Reason::Request => "debug-request",
        Reason::Breakpoint => "breakpoint",
        Reason::Watchpoint => "watchpoint",
        Reason::VectorCatch => "vector-catch",
        Reason::Step => "single-step",
        Reason::External => "external-request",
        Reason::Unknown => "undefined",
    }
}

/// IPSR, the number of the exception being handled (DDI0403E B1.4.2).
fn exception(xpsr: u64) -> u32 {
    xpsr as u32 & 0x1ff
}

/// OpenOCD's text has a blank after `Thread`.
fn mode_words(exception: u32) -> String {
    match exception {
        0 => "Thread ".to_string(),
        1 => "Handler Reset".to_string(),
        2..16 => format!("Handler {}", exception_name(exception).unwrap_or("RESERVED")),
        _ => format!("Handler External Interrupt({})", exception - 16),
    }
}

fn reg(cx: &Cx, args: &Args) -> Result<Value> {
    let core = cx.core.get();
    let mut session = cx.session()?;
    let registers = session.registers(core)?;
    let names = cx.names.borrow();
    let Some(name) = args.opt_text("reg") else {
        return list_registers(&mut session, core, &registers, &names);
    };
    let register = match find(&registers, name) {
        Err(unknown) => {
            drop(session);
            return svd::peripheral(cx, name, args.opt_num("value"), unknown);
        }
        register => register?,
    };
    if let Some(value) = args.opt_num("value") {
        session.write_reg(core, register, fits(register, value)?)?;
    }
    let value = session.read_reg(core, register)?;
    Ok(Value::shown(value, register_line(register, Some(value), &names)))
}

/// A running core's registers cannot be read: they are listed without values.
fn list_registers(session: &mut Session, core: usize, registers: &[Register], names: &Names) -> Result<Value> {
    let read = halted(session.state(core)?).map(|_| session.read_regs(core, registers)).transpose()?;
    let (mut lines, mut values) = (vec!["===== arm v7m registers".to_string()], vec![]);
    for (index, register) in registers.iter().enumerate() {
        let value = read.as_ref().map(|values| values[index]);
        lines.push(format!("({}) {}", register.number, register_line(*register, value, names)));
        values.push((register.name.to_string(), value.into()));
    }
    Ok(Value::shown(Value::Map(values), lines.join("\n")))
}

fn register_line(register: Register, value: Option<u64>, names: &Names) -> String {
    let Register { name, bits, .. } = register;
    match value {
        Some(value) => format!("{name} (/{bits}): {}", register_words(register, value, names)),
        None => format!("{name} (/{bits})"),
    }
}

/// In its own width; of a pc and of where a call returns to also what the loaded ELF says.
pub(super) fn register_words(Register { name, bits, .. }: Register, value: u64, names: &Names) -> String {
    let digits = bits.div_ceil(4) as usize;
    let place = names.place(value as u32).filter(|_| ["pc", "lr"].contains(&name)).map(|place| format!(" {place}"));
    format!("0x{value:0digits$x}{}", place.unwrap_or_default())
}

/// Other names in use for the same register.
const ALIASES: &[(&str, &str)] = &[("r13", "sp"), ("r14", "lr"), ("r15", "pc"), ("psr", "xPSR")];

pub(super) fn find(registers: &[Register], word: &str) -> Result<Register> {
    let name = ALIASES.iter().find(|(alias, _)| alias.eq_ignore_ascii_case(word)).map_or(word, |(_, name)| name);
    let number = word.parse::<u32>().ok();
    let mut known = registers.iter();
    let found = known.find(|register| register.name.eq_ignore_ascii_case(name) || Some(register.number) == number);
    found.copied().ok_or_else(|| {
        let names = registers.iter().map(|register| register.name);
        Error::command(format!("this core has no register `{word}`")).hint(near::hint(
            word,
            names,
            "`reg` lists the registers by number and name",
        ))
    })
}

fn fits(register: Register, value: u64) -> Result<u64> {
    match value.checked_shr(register.bits) {
        Some(high) if high != 0 => Err(Error::command(format!("{value:#x} does not fit in {} ({} bits)", register.name, register.bits))),
        _ => Ok(value),
    }
}

fn bp(cx: &Cx, args: &Args) -> Result<Value> {
    let Some(at) = opt_address(args, "addr") else {
        let session = cx.session()?;
        let points = session.breakpoints(cx.core.get());
        let names = cx.names.borrow();
        return Ok(listed(points.iter().map(|point| (point.address, point.length, breakpoint_line(point, names.place(point.address))))));
    };
    let kind = if args.has("hw") { BreakKind::Hardware } else { BreakKind::Auto };
    let point = cx.session()?.add_breakpoint(cx.core.get(), at, length(args)?, kind)?;
    Ok(Value::shown(point.address, format!("breakpoint set at {}", cx.names.borrow().at(point.address))))
}

fn wp(cx: &Cx, args: &Args) -> Result<Value> {
    let Some(at) = opt_address(args, "addr") else {
        let session = cx.session()?;
        let points = session.watchpoints(cx.core.get());
        return Ok(listed(points.iter().map(|point| (point.address, point.length, watchpoint_line(point)))));
    };
    let access = match (args.has("r"), args.has("w")) {
        (true, _) => Access::Read,
        (_, true) => Access::Write,
        _ => Access::Any,
    };
    let point = cx.session()?.add_watchpoint(cx.core.get(), at, length(args)?, access)?;
    Ok(Value::shown(point.address, format!("watchpoint set at {:#010x}", point.address)))
}

fn length(args: &Args) -> Result<u32> {
    let len = args.num("len")?;
    u32::try_from(len).map_err(|_| Error::command(format!("a length of {len:#x} is beyond the 32-bit address space")))
}

/// Of each point its address, length and line.
fn listed(points: impl Iterator<Item = (u32, u32, String)>) -> Value {
    let entry = |(address, length, line)| (Value::map([("address", Value::from(address)), ("length", Value::from(length))]), line);
    let (rows, lines): (Vec<_>, Vec<_>) = points.map(entry).unzip();
    Value::shown(rows, lines.join("\n"))
}

fn breakpoint_line(point: &Breakpoint, place: Option<String>) -> String {
    let Breakpoint { address, length, comparator, original } = point;
    let place = place.map_or(String::new(), |place| format!(" {place}"));
    match comparator {
        Some(number) => format!("Breakpoint(IVA): {address:#010x}, {length:#x}, {number}{place}"),
        None => format!("Breakpoint(IVA): {address:#010x}, {length:#x}, 0x{original:04x}{place}"),
    }
}

fn watchpoint_line(point: &Watchpoint) -> String {
    let access = match point.access {
        Access::Read => 0,
        Access::Write => 1,
        Access::Any => 2,
    };
    format!("address: {:#010x}, len: {:#010x}, r/w/a: {access}, value: 0x00000000, mask: 0xffffffff", point.address, point.length)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PC: Register = Register { number: 15, name: "pc", bits: 32 };
    const XPSR: Register = Register { number: 16, name: "xPSR", bits: 32 };
    const CONTROL: Register = Register { number: 23, name: "control", bits: 3 };
    const D0: Register = Register { number: 42, name: "d0", bits: 64 };

    #[test]
    fn registers_print_in_their_own_width() {
        assert_eq!(register_line(PC, Some(0x0800_0100), &Names::default()), "pc (/32): 0x08000100");
        assert_eq!(register_line(CONTROL, Some(2), &Names::default()), "control (/3): 0x2");
        assert_eq!(register_line(D0, Some(1), &Names::default()), "d0 (/64): 0x0000000000000001");
        assert_eq!(register_line(PC, None, &Names::default()), "pc (/32)");
    }

    #[test]
    fn a_register_is_found_by_name_alias_and_number() {
        let registers = [PC, XPSR, CONTROL, D0];
        for (word, register) in [("pc", PC), ("R15", PC), ("15", PC), ("xpsr", XPSR), ("PSR", XPSR), ("42", D0)] {
            assert_eq!(find(&registers, word).unwrap(), register, "{word}");
        }
        let error = find(&registers, "r99").unwrap_err();
        assert_eq!(error.message, "this core has no register `r99`");
    }

    #[test]
    fn a_value_wider_than_the_register_is_refused() {
        assert_eq!(fits(CONTROL, 7).unwrap(), 7);
        assert_eq!(fits(D0, u64::MAX).unwrap(), u64::MAX);
        assert_eq!(fits(CONTROL, 8).unwrap_err().message, "0x8 does not fit in control (3 bits)");
    }

    #[test]
    fn the_mode_names_the_exception() {
        assert_eq!(mode_words(exception(0x0100_0000)), "Thread ");
        assert_eq!(mode_words(exception(0x2100_0003)), "Handler HardFault");
        assert_eq!(mode_words(exception(0x0100_0010)), "Handler External Interrupt(0)");
    }

    #[test]
    fn the_table_of_targets_marks_the_current_core() {
        let rows = [("stm32h7.cpu0".to_string(), "halted", false), ("stm32h7.cpu1".to_string(), "unavailable", true)];
        let table = target_table(&rows, "stm32h7");
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(lines[2], " 0  stm32h7.cpu0       cortex_m   little stm32h7            halted");
        assert_eq!(lines[3], " 1* stm32h7.cpu1       cortex_m   little stm32h7            unavailable");
    }

    #[test]
    fn a_core_is_named_or_numbered() {
        let names = ["stm32h7.cpu0".to_string(), "stm32h7.cpu1".to_string()];
        assert_eq!(core_index(&names, "stm32h7.cpu1").unwrap(), 1);
        assert_eq!(core_index(&names, "0").unwrap(), 0);
        let error = core_index(&names, "2").unwrap_err();
        assert_eq!(error.hint.unwrap(), "the cores are stm32h7.cpu0, stm32h7.cpu1");
    }

    #[test]
    fn points_are_listed_in_openocds_form() {
        let hard = Breakpoint { address: 0x0800_0104, length: 2, comparator: Some(0), original: 0 };
        let soft = Breakpoint { address: 0x2000_0104, length: 2, comparator: None, original: 0xbf00 };
        assert_eq!(breakpoint_line(&hard, Some("main".into())), "Breakpoint(IVA): 0x08000104, 0x2, 0 main");
        assert_eq!(breakpoint_line(&soft, None), "Breakpoint(IVA): 0x20000104, 0x2, 0xbf00");
        let watch = Watchpoint { address: 0x2000_0000, length: 4, access: Access::Write, comparator: 1 };
        let text = "address: 0x20000000, len: 0x00000004, r/w/a: 1, value: 0x00000000, mask: 0xffffffff";
        assert_eq!(watchpoint_line(&watch), text);
    }
}
