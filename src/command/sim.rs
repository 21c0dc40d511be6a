//! Built-in commands of the embedded board: `sim …`. The only command file that knows it.
//!
//! They act on the board itself, not through its probe: nothing in a session notices, save what they change.

mod trace;

use super::memory::{contents, save};
use super::serve::no_client;
use super::{Args, Command, Cx, Value};
use crate::desc::Transport;
use crate::error::{Cause, Context, Error, Kind, Result};
use crate::event::Event;
use crate::sim::chips::CHIPS;
use crate::sim::cpu::{Past, What};
use crate::sim::probes::KINDS;
use crate::sim::semihost::{End, run_elf};
use crate::sim::serve::{Clock, Heard, Server};
use crate::sim::{Board, Config, DEFAULT_CHIP, DEFAULT_PROBE, Inject, Wiring};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The board of this run: what it is to be, until the first attach makes it.
#[derive(Default)]
pub struct Slot {
    pub config: Config,
    pub board: Option<Board>,
    /// While they are served: all of them; `board` is the one that commands act on.
    pub served: Vec<Board>,
}

pub const COMMANDS: &[Command] = &[
    Command::new("sim chip [<name:word>]", "Choose the embedded board's chip, or list them", "sim chip stm32g071", chip),
    Command::new(
        "sim probe (v2|v2-1|v3) [<firmware:word>]",
        "Choose the embedded board's probe and what firmware it says it runs",
        "sim probe v3 V3J10M3",
        probe,
    ),
    Command::new("sim flash", "Show the state of the board's flash controllers", "sim flash", |cx, _| {
        Ok(Value::lines(board(cx)?.flash_report()))
    }),
    Command::new(
        "sim cache [strict|off]",
        "Let the board's caches hold copies that can be stale, as a real Cortex-M7's do, or show whether they may",
        "sim cache strict",
        cache,
    ),
    Command::new(
        "sim wire [off|<khz:num>]",
        "The fastest clock that the board's wires bear: above it two bits of each word flip, unseen by parity; off: any",
        "sim wire 8000; adapter speed; sim wire off",
        wire,
    ),
    Command::new(
        "sim wiring [(unpowered|swd-open|vref-open|nrst-open|nrst-held|smps) (on|off)]",
        "Let something around the board's chip be wrong: no supply, a wire without contact, NRST held low by something else, a core \
         fed by the SMPS; or say what is",
        "sim wiring vref-open on; connect; sim wiring; sim wiring vref-open off",
        wiring,
    ),
    Command::new("sim unplug", "Pull the board's USB plug", "sim unplug; sim plug; connect", |cx, _| {
        board(cx).map(|board| board.unplug()).map(Value::from)
    }),
    Command::new("sim plug", "Put the board's USB plug back", "sim plug", |cx, _| board(cx).map(|board| board.plug()).map(Value::from)),
    Command::new("sim power", "Switch the board off and on: RAM is lost, option bytes are loaded", "sim power; connect", |cx, _| {
        board(cx).map(|board| board.power_cycle()).map(Value::from)
    }),
    Command::new(
        "sim inject (stall|silent|unplug|heal) [after <n:num>]",
        "Make the probe's next command, or the one after n others, go wrong: refused, not answered, the plug pulled; or mend all",
        "sim inject stall after 10; sim inject heal",
        inject,
    ),
    Command::new(
        "sim dump <file> <addr> <len:num>",
        "Save the board's memory in a file, as `dump_image` does, by its own door",
        "sim dump flash.bin 0x08000000 1K",
        dump,
    ),
    Command::new(
        "sim poke <addr> <byte:num>…",
        "Write bytes into the board's memory, by its own door",
        "sim poke 0x20000000 0xde 0xad",
        poke,
    ),
    Command::new(
        "sim tear <addr>",
        "Make a flash word of the board one whose programming was interrupted: it cannot be read until it is erased",
        "sim tear 0x08020000",
        |cx, args| board(cx)?.tear(number(args.num("addr")?)?).map(Value::from),
    ),
    Command::new("sim save <file>", "Save the board's flash and option bytes", "sim save board.state", |cx, args| {
        board(cx)?.save(Path::new(args.text("file")?)).map(Value::from)
    }),
    Command::new("sim load <file>", "Put back what `sim save` saved", "sim save board.state; sim load board.state", |cx, args| {
        board(cx)?.load(Path::new(args.text("file")?)).map(Value::from)
    }),
    Command::new(
        "sim requests [on|off]",
        "Record the probe's commands, or show what was recorded",
        "sim requests on; mdw 0x20000000; sim requests",
        requests,
    ),
    Command::new(
        "sim trace [<n:num>]",
        "The last n (20) instructions that the board's core, of two the first, executed, with the exceptions between them",
        "sim trace 5",
        trace::trace,
    ),
    Command::new(
        "sim uart [<port:word>]",
        "What the board's console, or another serial port, has sent since this was last asked",
        "sim uart; sim uart USART1",
        uart,
    ),
    Command::new(
        "sim send <text:word> [<port:word>]",
        "Send text to the board's console, or another serial port, at its baud rate; \\r, \\n and \\t in it are control characters",
        "mww 0x580244e8 0x40000; mww 0x4000480c 556; mww 0x40004800 5; sim send \"AT\\r\\n\" USART3",
        send,
    ),
    Command::new("sim unmodelled", "What the firmware touched and the board does not have", "sim unmodelled", unmodelled),
    Command::new("sim board [<n:num>]", "Choose which of the served boards the commands act on, or list them", "sim board 0", board_n),
    Command::new(
        "sim run <chip:word> <file> [<ms>]",
        "Run an ELF file on a bare chip with semihosting, for at most 20000 ms of its time",
        "sim run bare-m0 tests/cpu/p1_arith.m0.O0.elf 1000",
        run,
    ),
    Command::new(
        "sim serve [--board <spec:word>…] [--stlink-tcp <stlink:word>] [--usbip <usbip:word>] [--vhci <port:num>] [--paced] [--state <file>]",
        "Offer boards, each CHIP[,PROBE[:FIRMWARE][,SERIAL]], to other tools until `shutdown`: over ST's server protocol, \
         over USB/IP, or plugged into this kernel's vhci_hcd, the first at that port. Time: a transaction takes none, but \
         the board's own clock advances by what it costs; the wall time between transactions counts too. With --paced each \
         reply waits until the wall clock has reached the board's, so that speeds can be measured",
        "sim serve --board stm32g071,v3:V3J10M3 --stlink-tcp 127.0.0.1:0",
        serve,
    ),
];

/// The port of ST's own server.
const SERVER: &str = "127.0.0.1:7184";
/// How often a server with nothing to do looks at the cancel flag.
const BREATH: Duration = Duration::from_millis(50);

/// The session's board, made on demand.
pub fn board(cx: &Cx) -> Result<Board> {
    if let Some(board) = &cx.board.borrow().board {
        return Ok(board.clone());
    }
    let board = Board::new(&config(cx))?;
    cx.board.borrow_mut().board = Some(board.clone());
    Ok(board)
}

/// Time goes by on the board without anybody attached to it. False: there is no board in this run.
pub fn pass(cx: &Cx, time: Duration) -> Result<bool> {
    let simulated = cx.settings.borrow().interface.as_ref().is_some_and(|interface| interface.transport == Transport::Sim);
    if !simulated && cx.board.borrow().board.is_none() {
        return Ok(false);
    }
    board(cx)?.pass(time);
    Ok(true)
}

/// Write the board's state file, if there is a board and it has one: at the end of a run.
pub fn keep(cx: &Cx) -> Result<()> {
    cx.board.borrow().board.as_ref().map_or(Ok(()), Board::keep)
}

/// What `sim chip` and `sim probe` said, then the interface file, then the target file's chip.
fn config(cx: &Cx) -> Config {
    let (chosen, settings) = (cx.board.borrow().config.clone(), cx.settings.borrow());
    let file = settings.interface.as_ref().and_then(|interface| interface.sim.clone()).unwrap_or_default();
    let target = settings.target.as_ref().map(|target| target.sim_chip.clone());
    // A firmware belongs to its probe: the file's counts only with the file's probe.
    let firmware = if chosen.probe.is_some() { chosen.firmware } else { chosen.firmware.or(file.firmware) };
    Config {
        chip: chosen.chip.or(file.chip).or(target),
        probe: chosen.probe.or(file.probe),
        firmware,
        serial: chosen.serial.or(file.serial),
        state: chosen.state.or(file.state.map(PathBuf::from)),
    }
}

/// Change what the board is to be; refused once there is one.
fn choose(cx: &Cx, what: &str, change: impl FnOnce(&mut Config)) -> Result<Value> {
    if let Some(board) = &cx.board.borrow().board {
        let error = Error::command(format!("the board is made already: {} with a {} probe", board.chip(), board.probe()));
        return Err(error.hint(format!("`sim {what}` comes before the first command that needs the board")));
    }
    let mut wanted = cx.board.borrow().config.clone();
    change(&mut wanted);
    Board::new(&Config { state: None, ..wanted.clone() })?;
    cx.board.borrow_mut().config = wanted;
    Ok(Value::None)
}

/// The chips that a board may have.
pub fn chips() -> Vec<String> {
    CHIPS.iter().map(|row| row.name).filter(|name| name.starts_with("stm32")).map(str::to_string).collect()
}

fn chip(cx: &Cx, args: &Args) -> Result<Value> {
    match args.opt_text("name") {
        Some(name) => choose(cx, "chip", |config| config.chip = Some(name.to_string())),
        None => {
            let made = cx.board.borrow().board.as_ref().map(|board| board.chip().to_string());
            let now = made.or(config(cx).chip).unwrap_or_else(|| DEFAULT_CHIP.to_string());
            let names = chips();
            let lines: Vec<_> = names.iter().map(|name| format!("{} {name}", if *name == now { '*' } else { ' ' })).collect();
            Ok(Value::shown(names, lines.join("\n")))
        }
    }
}

fn probe(cx: &Cx, args: &Args) -> Result<Value> {
    let name = KINDS.iter().map(|kind| kind.name).find(|name| args.has(name)).unwrap_or(DEFAULT_PROBE);
    choose(cx, "probe", |config| {
        config.probe = Some(name.to_string());
        config.firmware = args.opt_text("firmware").map(str::to_string);
    })
}

fn cache(cx: &Cx, args: &Args) -> Result<Value> {
    let board = board(cx)?;
    if args.has("strict") || args.has("off") {
        return board.set_cache_strict(args.has("strict")).map(Value::from);
    }
    Ok(if board.cache_strict() { "strict" } else { "off" }.into())
}

fn wire(cx: &Cx, args: &Args) -> Result<Value> {
    let board = board(cx)?;
    match args.opt_num("khz") {
        Some(khz) => board.set_wire(Some(number(khz)?)),
        None if args.has("off") => board.set_wire(None),
        None => return Ok(board.wire().map_or("off".into(), |khz| Value::shown(khz, format!("{khz} kHz")))),
    }
    Ok(Value::None)
}

const INJECTIONS: &[(&str, Inject)] =
    &[("stall", Inject::Stall), ("silent", Inject::Silent), ("unplug", Inject::Unplug), ("heal", Inject::Heal)];

type Part = fn(&mut Wiring) -> &mut bool;

/// What can be wrong, by its word.
const WIRING: &[(&str, Part)] = &[
    ("unpowered", |wiring| &mut wiring.unpowered),
    ("swd-open", |wiring| &mut wiring.swd_open),
    ("vref-open", |wiring| &mut wiring.vref_open),
    ("nrst-open", |wiring| &mut wiring.nrst_open),
    ("nrst-held", |wiring| &mut wiring.nrst_held),
    ("smps", |wiring| &mut wiring.smps),
];

fn wiring(cx: &Cx, args: &Args) -> Result<Value> {
    let board = board(cx)?;
    let mut wiring = board.wiring();
    if let Some((_, part)) = WIRING.iter().find(|(word, _)| args.has(word)) {
        *part(&mut wiring) = args.has("on");
        board.set_wiring(wiring);
        return Ok(Value::None);
    }
    let wrong: Vec<&str> = WIRING.iter().filter(|(_, part)| *part(&mut wiring)).map(|(word, _)| *word).collect();
    Ok(if wrong.is_empty() { "all is wired and powered".into() } else { wrong.join(", ").into() })
}

fn inject(cx: &Cx, args: &Args) -> Result<Value> {
    let wanted = args.opt_num("n").unwrap_or(0);
    let after = u32::try_from(wanted).map_err(|_| Error::usage(format!("{wanted} transfers are more than {}", u32::MAX)))?;
    let board = board(cx)?;
    for (_, what) in INJECTIONS.iter().filter(|(word, _)| args.has(word)) {
        board.inject_after(after, *what);
    }
    Ok(Value::None)
}

fn dump(cx: &Cx, args: &Args) -> Result<Value> {
    let (file, address, len) = (args.text("file")?, number(args.num("addr")?)?, number(args.num("len")?)?);
    let bytes = board(cx)?.dump(address, len)?;
    save(file, address, &bytes)?;
    Ok(Value::shown(bytes.len(), format!("{len} bytes from {address:#010x} are in {file}")))
}

fn poke(cx: &Cx, args: &Args) -> Result<Value> {
    let bytes: std::result::Result<Vec<u8>, _> = args.nums("byte").into_iter().map(u8::try_from).collect();
    let bytes = bytes.map_err(|_| Error::usage("a byte is at most 0xff"))?;
    board(cx)?.poke(number(args.num("addr")?)?, &bytes).map(Value::from)
}

fn number(wide: u64) -> Result<u32> {
    u32::try_from(wide).map_err(|_| Error::usage(format!("{wide:#x} has more than 32 bits")))
}

fn requests(cx: &Cx, args: &Args) -> Result<Value> {
    let board = board(cx)?;
    if args.has("on") || args.has("off") {
        board.record(args.has("on"));
        return Ok(Value::None);
    }
    Ok(Value::lines(board.log().iter().map(ToString::to_string).collect()))
}

fn uart(cx: &Cx, args: &Args) -> Result<Value> {
    let sent = board(cx)?.take_sent(args.opt_text("port"))?;
    Ok(String::from_utf8_lossy(&sent).into_owned().into())
}

fn send(cx: &Cx, args: &Args) -> Result<Value> {
    let text = [("\\r", "\r"), ("\\n", "\n"), ("\\t", "\t")]
        .iter()
        .fold(args.text("text")?.to_string(), |text, (from, to)| text.replace(from, to));
    board(cx)?.send(args.opt_text("port"), text.as_bytes()).map(Value::from)
}

fn unmodelled(cx: &Cx, _: &Args) -> Result<Value> {
    let touched = board(cx)?.unmodelled();
    let mut names: Vec<&str> = touched.iter().map(|(name, ..)| *name).collect();
    names.dedup();
    let text = match names.len() {
        0 => "the firmware touched nothing that the board does not have".to_string(),
        1 => format!("the firmware touched 1 peripheral the board does not have: {}", names[0]),
        many => format!("the firmware touched {many} peripherals the board does not have: {}", names.join(", ")),
    };
    let rows = touched
        .into_iter()
        .map(|(name, address, count)| Value::map([("name", name.into()), ("addr", address.into()), ("accesses", count.into())]));
    Ok(Value::shown(rows.collect::<Vec<_>>(), text))
}

fn board_n(cx: &Cx, args: &Args) -> Result<Value> {
    let current = board(cx)?.found().serial;
    let mut slot = cx.board.borrow_mut();
    let boards: Vec<Board> = if slot.served.is_empty() { slot.board.iter().cloned().collect() } else { slot.served.clone() };
    let Some(wanted) = args.opt_num("n") else {
        let line = |(n, board): (usize, &Board)| {
            let found = board.found();
            let mark = if found.serial == current { '*' } else { ' ' };
            format!("{mark} {n} {} {} {}", board.chip(), board.probe(), found.serial)
        };
        return Ok(boards.iter().enumerate().map(line).collect::<Vec<_>>().join("\n").into());
    };
    let Some(chosen) = usize::try_from(wanted).ok().and_then(|n| boards.get(n)) else {
        return Err(Error::usage(format!("there is no board {wanted}")).hint(format!("the boards are 0 to {}", boards.len() - 1)));
    };
    slot.board = Some(chosen.clone());
    Ok(Value::None)
}

fn unended(path: &str, why: &str, printed: &str) -> Error {
    Error::new(Kind::NotRunning, format!("{path} did not end: {why}")).during(format_args!("running it; it had printed {printed:?}"))
}

/// What the program printed, then `rc=N`; a program that does not end is an error of kind not_running.
fn run(cx: &Cx, args: &Args) -> Result<Value> {
    let path = args.text("file")?;
    let elf = contents(Path::new(path))?;
    let mut printed = Vec::new();
    let ms = args.opt_num("ms").unwrap_or(20_000);
    let end = run_elf(args.text("chip")?, &elf, ms, &mut |bytes| printed.extend_from_slice(bytes), &*cx.ears.breathe)
        .map_err(|error| if error.kind == Kind::Image { error.during(format_args!("loading {path}")) } else { error })?;
    let printed = String::from_utf8_lossy(&printed).into_owned();
    match end {
        End::Exit(code) => {
            let value = Value::map([("output", printed.as_str().into()), ("rc", code.into())]);
            Ok(Value::shown(value, format!("{printed}rc={code}")))
        }
        End::Breakpoint { pc } => Err(unended(path, &format!("a breakpoint at {pc:#010x} is no semihosting call"), &printed)),
        End::Timeout => Err(unended(path, &format!("its time, {ms} ms, was up"), &printed)),
        End::Lockup { hfsr, cfsr } => {
            Err(unended(path, &format!("the core locked up (HFSR = {hfsr:#010x}, CFSR = {cfsr:#010x})"), &printed))
        }
    }
}

/// Blocks until `shutdown`, Ctrl-C or a termination signal. Lines from stdin are commands like any other; each is
/// answered on stdout by its value and `ok`, or by one line that begins with `error:`.
fn serve(cx: &Cx, args: &Args) -> Result<Value> {
    no_client(cx, "sim serve")?;
    if !cx.board.borrow().served.is_empty() {
        return Err(Error::command("the boards are being served already"));
    }
    let boards = boards(cx, args)?;
    if let (Some(file), Some(first)) = (args.opt_text("file"), boards.first()) {
        first.keep_in(Path::new(file))?;
    }
    let clock = if args.has("--paced") { Clock::Paced } else { Clock::Virtual };
    let mut server = Server::new(boards.clone(), clock);
    {
        let mut slot = cx.board.borrow_mut();
        slot.board = boards.first().cloned();
        slot.served = boards.clone();
    }
    let end = open_doors(cx, args, &mut server).and_then(|()| {
        server.hear(std::io::BufReader::new(std::io::stdin()));
        attend(cx, &mut server)
    });
    server.close();
    cx.board.borrow_mut().served.clear();
    let kept = keep_all(&boards);
    end.and(kept).map(Value::from)
}

/// What is asked for, else ST's own port; each is told by a line.
fn open_doors(cx: &Cx, args: &Args, server: &mut Server) -> Result<()> {
    let say = |line: String| cx.ears.sink.emit(Event::Output(line));
    let (usbip, port) = (args.opt_text("usbip"), args.opt_num("port"));
    let stlink = args.opt_text("stlink").or((usbip.is_none() && port.is_none()).then_some(SERVER));
    if let Some(address) = stlink {
        say(format!("stlink-tcp {}", server.stlink(address)?));
    }
    if let Some(address) = usbip {
        say(format!("usbip {}", server.usbip(address)?));
    }
    if let Some(port) = port {
        server.vhci(usize::try_from(port).unwrap_or(usize::MAX))?;
        say(format!("vhci {port}"));
    }
    Ok(())
}

fn boards(cx: &Cx, args: &Args) -> Result<Vec<Board>> {
    let specs = args.texts("spec");
    if specs.is_empty() {
        return Ok(vec![board(cx)?]);
    }
    let made =
        specs.iter().enumerate().map(|(n, spec)| Board::numbered(&parse_board(spec)?, n as u32).during(format!("making board {spec}")));
    let made: Vec<Board> = made.collect::<Result<_>>()?;
    let serials: Vec<_> = made.iter().map(|board| board.found().serial).collect();
    match serials.iter().enumerate().find(|(n, serial)| serials[..*n].contains(serial)) {
        None => Ok(made),
        Some((_, serial)) => {
            let error = Error::usage(format!("two boards have the serial number {serial}"));
            Err(error.hint("other tools tell them apart by it; without one, each board gets its own"))
        }
    }
}

/// CHIP[,PROBE[:FIRMWARE][,SERIAL]]
fn parse_board(spec: &str) -> Result<Config> {
    let parts: Vec<&str> = spec.split(',').collect();
    if parts.len() > 3 || parts.iter().any(|part| part.is_empty()) {
        return Err(Error::usage(format!("`{spec}` is no board")).hint("CHIP[,PROBE[:FIRMWARE][,SERIAL]], such as stm32h743,v3:V3J10M3"));
    }
    let (probe, firmware) = match parts.get(1).map(|part| part.split_once(':').ok_or(*part)) {
        None => (None, None),
        Some(Ok((probe, firmware))) => (Some(probe.to_string()), Some(firmware.to_string())),
        Some(Err(probe)) => (Some(probe.to_string()), None),
    };
    let serial = parts.get(2).map(|part| part.to_string());
    Ok(Config { chip: Some(parts[0].to_string()), probe, firmware, serial, state: None })
}

fn keep_all(boards: &[Board]) -> Result<()> {
    boards.iter().try_for_each(Board::keep)
}

/// `Ok` on a signal, `shutdown`'s own end, or the failure to keep the state.
fn attend(cx: &Cx, server: &mut Server) -> Result<()> {
    loop {
        match attend_once(cx, server) {
            Err(error) if matches!(error.cause, Cause::Interrupted(_)) => return Ok(()),
            other => other?,
        }
    }
}

fn attend_once(cx: &Cx, server: &mut Server) -> Result<()> {
    (cx.ears.breathe)()?;
    match server.next(BREATH) {
        None => {}
        Some(Heard::Left) => keep_all(server.boards())?,
        Some(Heard::Failed(error)) => cx.ears.sink.emit(Event::Warning(error.to_string())),
        Some(Heard::Line { text, read_on }) => {
            answer(cx, &text)?;
            // The reader of stdin waits for this; it is gone at the end of stdin.
            read_on.send(()).ok();
        }
    }
    Ok(())
}

/// Only what ends the run is an error here; what fails is told to whoever wrote the line.
fn answer(cx: &Cx, line: &str) -> Result<()> {
    let say = |text: String| cx.ears.sink.emit(Event::Output(text));
    match (cx.up.line)(cx, line) {
        Ok(value) => {
            let text = value.to_string();
            if !text.is_empty() {
                say(text);
            }
            say("ok".into());
        }
        Err(error) if matches!(error.cause, Cause::Exit(_)) => {
            say("ok".into());
            return Err(error);
        }
        Err(error) => {
            say(error.to_string().replace("\n  ", "; "));
            // The signal that ended the line is for the server.
            if matches!(error.cause, Cause::Interrupted(_)) {
                return Err(error);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_board_is_named_by_commas() {
        let full = parse_board("stm32g071,v3:V3J7M3B5S1,303030303030303030303030").unwrap();
        assert_eq!((full.chip.as_deref(), full.probe.as_deref()), (Some("stm32g071"), Some("v3")));
        assert_eq!((full.firmware.as_deref(), full.serial.as_deref()), (Some("V3J7M3B5S1"), Some("303030303030303030303030")));
        let plain = parse_board("stm32h743").unwrap();
        assert_eq!((plain.probe, plain.firmware, plain.serial), (None, None, None));
        for bad in ["", "stm32h743,", ",v2", "stm32h743,v2,,", "a,b,c,d"] {
            assert_eq!(parse_board(bad).unwrap_err().message, format!("`{bad}` is no board"));
        }
    }
}
