//! gdb's remote protocol: a table of packets and a function for each (gdb's manual, "Remote Protocol").
//!
//! Our own and not the crate gdbstub's: qCRC and qSymbol are not in it, its client owns the loop that several clients share
//! here, and what would be left for it to do is the table below.

mod flash;
mod points;
mod xml;

pub use points::Set;

use super::packet::{Item, LONGEST, Wire, hex, hex_bytes};
use super::{Desk, Out, said, shown};
use crate::error::{Cause, Error, Result};
use crate::image::Segment;
use crate::session::{Access, Reason, Register, ResetMode, Session, State};
use crc::{CRC_32_MPEG_2, Crc};
use points::Point;
use std::ops::Range;
use std::time::{Duration, Instant};

/// One step of a range costs about a millisecond; others are served in between.
const SLICE: Duration = Duration::from_millis(10);
const HALT_WAIT: Duration = Duration::from_secs(1);
/// r0 to xPSR: the registers of `g`.
const CORE_REGISTERS: usize = 17;
/// Read at once for qCRC.
const CHUNK: usize = 4096;

/// SIGINT, SIGTRAP and SIGSEGV as gdb numbers them.
const INTERRUPTED: u8 = 2;
const TRAPPED: u8 = 5;
const FAULTED: u8 = 11;

/// What the client waits for.
#[derive(Clone, Default, PartialEq)]
enum Run {
    #[default]
    No,
    Yes,
    /// Until pc is outside.
    Range(Range<u32>),
}

#[derive(Default)]
pub struct Gdb {
    wire: Wire,
    points: Vec<Point>,
    attached: bool,
    run: Run,
    /// Errors of any packet may have words.
    words: bool,
    /// `monitor gdb_sync`: the next step only reports.
    sync: bool,
    erases: Vec<(u32, u32)>,
    writes: Vec<Segment>,
}

/// `None`: no reply, or not now.
type Answer = Result<Option<Vec<u8>>>;
type Handler = fn(&mut Gdb, &Desk, &[u8]) -> Answer;

/// The whole packet, or how it begins (`*`): the handler has the rest.
const PACKETS: &[(&str, Handler)] = &[
    ("qSupported*", Gdb::supported),
    ("QStartNoAckMode", Gdb::no_acks),
    ("!", |_, _, _| ok()),
    ("?", Gdb::attach),
    ("vAttach;*", |gdb, desk, rest| thread(rest, &[1]).and_then(|_| gdb.attach(desk, b""))),
    ("vRun;*", Gdb::restart),
    ("R*", |gdb, desk, _| gdb.restart(desk, b"").map(|_| None)),
    ("D", Gdb::detach),
    // whatever number gdb has for the process that the core is
    ("vKill;*", |gdb, desk, rest| number(rest).and_then(|_| gdb.kill(desk, b""))),
    ("k", |gdb, desk, _| gdb.kill(desk, b"").map(|_| None)),
    ("Hg*", |_, _, rest| thread(rest, ANY_THREAD)),
    ("Hc*", |_, _, rest| thread(rest, ANY_THREAD)),
    ("T*", |_, _, rest| thread(rest, &[1])),
    ("qC", |_, _, _| text("QC1")),
    ("qAttached", |_, _, _| text("1")),
    ("qAttached:*", |_, _, rest| thread(rest, &[1]).and_then(|_| text("1"))),
    ("qfThreadInfo", |_, _, _| text("m1")),
    ("qsThreadInfo", |_, _, _| text("l")),
    ("qThreadExtraInfo,*", Gdb::thread_name),
    ("qSymbol:*", |_, _, _| ok()),
    ("qXfer:*", Gdb::transfer),
    ("qCRC:*", Gdb::checksum),
    ("qRcmd,*", Gdb::monitor),
    ("g", Gdb::registers),
    ("G*", Gdb::set_registers),
    ("p*", Gdb::register),
    ("P*", Gdb::set_register),
    ("m*", Gdb::memory),
    ("M*", |_, desk, rest| write(desk, rest, |data| hex_bytes(data).ok_or_else(malformed))),
    ("X*", |_, desk, rest| write(desk, rest, |data| Ok(data.to_vec()))),
    ("Z*", Gdb::set_point),
    ("z*", Gdb::clear_point),
    ("vCont?", |_, _, _| text("vCont;c;C;s;S;r")),
    ("vCont;*", Gdb::resume),
    ("c*", |gdb, desk, rest| gdb.go(desk, b'c', rest)),
    ("C*", |gdb, desk, rest| gdb.go(desk, b'c', behind_signal(rest)?)),
    ("s*", |gdb, desk, rest| gdb.go(desk, b's', rest)),
    ("S*", |gdb, desk, rest| gdb.go(desk, b's', behind_signal(rest)?)),
    ("vFlashErase:*", Gdb::flash_erase),
    ("vFlashWrite:*", Gdb::flash_write),
    ("vFlashDone", Gdb::flash_done),
];

/// Packets whose errors are numbers to a gdb before version 14.
const NUMBERED: &[&str] = &["m*", "M*", "X*"];

/// The core is thread 1; 0 is any thread and -1 all of them.
const ANY_THREAD: &[u32] = &[0, 1, ALL_THREADS];
const ALL_THREADS: u32 = u32::MAX;

fn ok() -> Answer {
    text("OK")
}

fn text(text: &str) -> Answer {
    Ok(Some(text.as_bytes().to_vec()))
}

fn malformed() -> Error {
    Error::command("the packet is malformed")
}

/// What a row of `PACKETS` leaves of a packet.
fn rest<'a>(row: &str, packet: &'a [u8]) -> Option<&'a [u8]> {
    match row.strip_suffix('*') {
        Some(start) => packet.strip_prefix(start.as_bytes()),
        None => (packet == row.as_bytes()).then_some(b""),
    }
}

fn number(digits: &[u8]) -> Result<u32> {
    let digits = std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
    digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()).ok_or_else(malformed)
}

/// `OK` for a thread, or a process, that is there.
fn thread(id: &[u8], there: &[u32]) -> Answer {
    let number = if id == b"-1" { ALL_THREADS } else { number(id)? };
    if there.contains(&number) { ok() } else { Err(Error::command(format!("there is no thread {}", String::from_utf8_lossy(id)))) }
}

/// `addr,len`
fn pair(digits: &[u8]) -> Result<(u32, u32)> {
    let (address, len) = split(digits, b',')?;
    Ok((number(address)?, number(len)?))
}

fn split(bytes: &[u8], at: u8) -> Result<(&[u8], &[u8])> {
    let at = bytes.iter().position(|byte| *byte == at).ok_or_else(malformed)?;
    Ok((&bytes[..at], &bytes[at + 1..]))
}

/// `sig[;addr]`: what the program is to be told it cannot be, but where it goes on.
fn behind_signal(rest: &[u8]) -> Result<&[u8]> {
    let (signal, at) = split(rest, b';').unwrap_or((rest, b""));
    number(signal).map(|_| at)
}

fn name(names: &[String], desk: &Desk) -> String {
    names.get(desk.core.get()).cloned().unwrap_or_default()
}

/// `addr,len:data`. Flash is written by vFlash packets only.
fn write(desk: &Desk, rest: &[u8], bytes: fn(&[u8]) -> Result<Vec<u8>>) -> Answer {
    let (place, data) = split(rest, b':')?;
    let ((address, len), data) = (pair(place)?, bytes(data)?);
    if data.len() != len as usize {
        return Err(malformed());
    }
    let mut session = desk.session()?;
    if let Some(bank) = session.banks.iter().find(|bank| bank.contains(address) && !data.is_empty()) {
        return Err(Error::command(format!("{address:#010x} is flash ({}): `load` writes it", bank.name)));
    }
    if !data.is_empty() {
        session.write_memory(desk.core.get(), None, address, &data)?;
    }
    ok()
}

impl Gdb {
    /// `Err`: what came is not gdb's, or it said to leave.
    pub fn hear(&mut self, desk: &Desk, bytes: &[u8]) -> Result<()> {
        self.wire.put(bytes);
        while let Some(item) = self.wire.next(&|bytes| desk.out.send(bytes.to_vec()))? {
            match item {
                _ if desk.out.gone.get() => return Ok(()),
                Item::Interrupt if self.run != Run::No => self.interrupt(desk),
                Item::Interrupt => {}
                Item::Packet(packet) => self.answer(desk, &packet)?,
            }
        }
        Ok(())
    }

    fn answer(&mut self, desk: &Desk, packet: &[u8]) -> Result<()> {
        desk.host.cx().ears.debug(2, || format!("gdb: {}", String::from_utf8_lossy(&packet[..packet.len().min(40)])));
        let row = PACKETS.iter().find_map(|(row, handler)| Some((row, handler, rest(row, packet)?)));
        // what is not known has an empty answer
        let answer = row.map_or(text(""), |(_, handler, rest)| handler(self, desk, rest));
        match answer {
            Ok(Some(reply)) => self.reply(desk, &reply),
            Ok(None) => {}
            Err(error) if matches!(error.cause, Cause::Exit(_)) => return Err(error),
            Err(error) => {
                let numbered = !self.words && row.is_some_and(|(row, ..)| NUMBERED.contains(row));
                desk.host.cx().ears.debug(1, || format!("gdb: {error}"));
                self.reply(desk, if numbered { "E01".into() } else { in_words(&error) }.as_bytes());
            }
        }
        Ok(())
    }

    fn reply(&mut self, desk: &Desk, contents: &[u8]) {
        desk.out.send(self.wire.framed(contents));
    }

    /// For its console, which listens while it waits only: whether it does.
    pub fn tell(&mut self, out: &Out, text: &[u8]) -> bool {
        let listens = self.run != Run::No && !text.is_empty();
        if listens {
            out.send(self.wire.framed(format!("O{}", hex(text)).as_bytes()));
        }
        listens
    }

    fn supported(&mut self, _: &Desk, rest: &[u8]) -> Answer {
        self.words = String::from_utf8_lossy(rest).contains("error-message+");
        let transfers = "qXfer:memory-map:read+;qXfer:features:read+;qXfer:threads:read+";
        text(&format!("PacketSize={LONGEST:x};{transfers};QStartNoAckMode+;vContSupported+"))
    }

    fn no_acks(&mut self, _: &Desk, _: &[u8]) -> Answer {
        self.wire.trusted = true;
        ok()
    }

    /// The first to come halts the core; those that come later look at what it does.
    fn attach(&mut self, desk: &Desk, _: &[u8]) -> Answer {
        let core = desk.core.get();
        let first = !desk.shared.borrow().attached.contains(&core);
        if !std::mem::replace(&mut self.attached, true) {
            desk.shared.borrow_mut().attached.push(core);
        }
        if first {
            desk.session()?.halt(core, HALT_WAIT)?;
        }
        stop(&mut *desk.session()?, core, TRAPPED).map(Some)
    }

    fn restart(&mut self, desk: &Desk, _: &[u8]) -> Answer {
        let (core, mut session) = (desk.core.get(), desk.session()?);
        reset(&mut session, core)?;
        stop(&mut session, core, TRAPPED).map(Some)
    }

    /// The program goes on, unless another gdb holds it.
    fn detach(&mut self, desk: &Desk, _: &[u8]) -> Answer {
        let core = desk.core.get();
        self.leave(desk);
        let mut session = desk.session()?;
        if !desk.shared.borrow().attached.contains(&core) && matches!(session.state(core)?, State::Halted(_)) {
            session.resume(core, None)?;
        }
        ok()
    }

    /// The program does not go on.
    fn kill(&mut self, desk: &Desk, _: &[u8]) -> Answer {
        self.leave(desk);
        ok()
    }

    /// Its points are taken away; the core does what it did.
    pub fn leave(&mut self, desk: &Desk) {
        let mut shared = desk.shared.borrow_mut();
        let attached = std::mem::take(&mut self.attached).then_some(desk.core.get());
        if let Some(at) = shared.attached.iter().position(|core| attached == Some(*core)) {
            shared.attached.swap_remove(at);
        }
        self.points.drain(..).for_each(|point| shared.give_up(point));
        drop(shared);
        // An unplugged probe has been told of.
        let _ = desk.settle(None);
    }

    fn thread_name(&mut self, desk: &Desk, rest: &[u8]) -> Answer {
        thread(rest, &[1])?;
        text(&hex(name(&desk.session()?.core_names(), desk).as_bytes()))
    }

    fn transfer(&mut self, desk: &Desk, rest: &[u8]) -> Answer {
        let rest = String::from_utf8_lossy(rest).into_owned();
        let parts: Vec<&str> = rest.split(':').collect();
        let &[object, "read", annex, place] = parts.as_slice() else { return text("") };
        let core = desk.core.get();
        let mut session = desk.session()?;
        let whole = match (object, annex) {
            ("features", "target.xml") => xml::target(&session.registers(core)?),
            ("memory-map", "") => xml::memory_map(&session.banks),
            ("threads", "") => xml::threads(&name(&session.core_names(), desk), core),
            ("features" | "memory-map" | "threads", _) => return text("E00"),
            _ => return text(""),
        };
        let (offset, len) = pair(place.as_bytes())?;
        let start = whole.len().min(offset as usize);
        let end = whole.len().min(start + len.min(LONGEST as u32 - 1) as usize);
        let more: &[u8] = if end < whole.len() { b"m" } else { b"l" };
        Ok(Some([more, &whole.as_bytes()[start..end]].concat()))
    }

    /// CRC-32 as gdb's `compare-sections` has it, over what reads give: nothing of the chip is touched.
    fn checksum(&mut self, desk: &Desk, rest: &[u8]) -> Answer {
        let (address, len) = pair(rest)?;
        let crc = Crc::<u32>::new(&CRC_32_MPEG_2);
        let mut digest = crc.digest();
        let mut session = desk.session()?;
        let mut at = 0;
        while at < len {
            let mut chunk = vec![0; CHUNK.min((len - at) as usize)];
            session.mem(desk.core.get()).read(address.wrapping_add(at), &mut chunk)?;
            digest.update(&chunk);
            at += chunk.len() as u32;
            (session.ears.breathe)()?;
        }
        text(&format!("C{:08x}", digest.finalize()))
    }

    /// Any command, its output as it happens. gdb gives up a script at an error, whose words have gone before.
    fn monitor(&mut self, desk: &Desk, rest: &[u8]) -> Answer {
        let line = hex_bytes(rest).ok_or_else(malformed)?;
        let line = String::from_utf8_lossy(&line).into_owned();
        if line == "gdb_sync" {
            self.sync = true;
            return ok();
        }
        let tell = console(desk);
        let ran =
            desk.run(console(desk), |host| host.line(&line, &mut |outcome| shown(outcome).iter().for_each(|text| tell(text.as_bytes()))));
        match ran {
            Err(error) if matches!(error.cause, Cause::Exit(_)) => {
                self.reply(desk, b"OK");
                Err(error)
            }
            Err(_) => text("E01"),
            Ok(()) => ok(),
        }
    }

    /// Of a core that runs they are unavailable.
    fn registers(&mut self, desk: &Desk, _: &[u8]) -> Answer {
        let (core, mut session) = (desk.core.get(), desk.session()?);
        match session.state(core)? {
            State::Halted(_) => {
                let registers: Vec<Register> = session.registers(core)?.into_iter().take(CORE_REGISTERS).collect();
                let values = session.read_regs(core, &registers)?;
                text(&registers.iter().zip(values).map(|(register, value)| value_text(*register, value)).collect::<String>())
            }
            // gdb does not come in without pc and the Thumb bit
            _ => text(&format!("{}0000000000000001", "x".repeat(8 * (CORE_REGISTERS - 2)))),
        }
    }

    fn set_registers(&mut self, desk: &Desk, rest: &[u8]) -> Answer {
        let values = hex_bytes(rest).ok_or_else(malformed)?;
        let (core, mut session) = (desk.core.get(), desk.session()?);
        let registers = session.registers(core)?;
        if values.len() < 4 * CORE_REGISTERS {
            return Err(malformed());
        }
        for (register, value) in registers.into_iter().take(CORE_REGISTERS).zip(values.chunks(4)) {
            session.write_reg(core, register, little_endian(value))?;
        }
        ok()
    }

    fn register(&mut self, desk: &Desk, rest: &[u8]) -> Answer {
        let (core, mut session) = (desk.core.get(), desk.session()?);
        let register = find(&mut session, core, number(rest)?)?;
        match session.state(core)? {
            State::Halted(_) => text(&value_text(register, session.read_reg(core, register)?)),
            _ => text(&"xx".repeat(bytes_of(register))),
        }
    }

    fn set_register(&mut self, desk: &Desk, rest: &[u8]) -> Answer {
        let (digits, value) = split(rest, b'=')?;
        let value = hex_bytes(value).ok_or_else(malformed)?;
        let (core, mut session) = (desk.core.get(), desk.session()?);
        let register = find(&mut session, core, number(digits)?)?;
        if value.len() != bytes_of(register) {
            return Err(malformed());
        }
        session.write_reg(core, register, little_endian(&value))?;
        ok()
    }

    /// With the program's own instructions in place of our breakpoints.
    fn memory(&mut self, desk: &Desk, rest: &[u8]) -> Answer {
        let (address, len) = pair(rest)?;
        let mut bytes = vec![0; (len as usize).min(LONGEST / 2)];
        let (core, mut session) = (desk.core.get(), desk.session()?);
        session.read_memory(core, address, &mut bytes)?;
        for point in session.breakpoints(core).iter().filter(|point| point.comparator.is_none()) {
            for (byte, at) in point.original.to_le_bytes().into_iter().zip(point.address..) {
                bytes.get_mut(at.wrapping_sub(address) as usize).into_iter().for_each(|place| *place = byte);
            }
        }
        text(&hex(&bytes))
    }

    /// `action[:thread];…`: the first that is for our thread, after a look at all of them.
    fn resume(&mut self, desk: &Desk, rest: &[u8]) -> Answer {
        let mut first = None;
        for action in rest.split(|byte| *byte == b';') {
            let (action, id) = split(action, b':').unwrap_or((action, b"1"));
            thread(id, ANY_THREAD)?;
            let what = match action {
                [how @ (b'c' | b's')] => (*how, None),
                [how @ (b'C' | b'S'), signal @ ..] => number(signal).map(|_| (how.to_ascii_lowercase(), None))?,
                [how @ b'r', range @ ..] => (*how, Some(pair(range)?)),
                _ => return Err(malformed()),
            };
            first.get_or_insert(what);
        }
        match first.ok_or_else(malformed)? {
            (_, Some((start, end))) => {
                desk.settle(None)?;
                self.run = Run::Range(start..end);
                Ok(None)
            }
            (how, None) => self.go(desk, how, b""),
        }
    }

    /// One step (`s`) or on (`c`), from `at` if it says so. A core that another client lets run is waited for.
    fn go(&mut self, desk: &Desk, how: u8, at: &[u8]) -> Answer {
        let at = if at.is_empty() { None } else { Some(number(at)?) };
        let core = desk.core.get();
        // A step does not meet what is at pc: gdb takes points away to step off one, and sets them again behind it.
        let here = if how == b's' && desk.shared.borrow().has_idle() { desk.session()?.pc(core).ok() } else { None };
        desk.settle(here)?;
        let mut session = desk.session()?;
        if how == b's' {
            let stepped = if std::mem::take(&mut self.sync) { Ok(0) } else { heard(desk, || session.step(core, at)) };
            match stepped {
                // Of a core that runs it is refused, and then there is something to wait for.
                Err(error) if matches!(session.state(core)?, State::Halted(_)) => return Err(error),
                Err(_) => {}
                Ok(_) => return stop(&mut session, core, TRAPPED).map(Some),
            }
        }
        let halted = matches!(session.state(core)?, State::Halted(_));
        if halted {
            heard(desk, || session.resume(core, at))?;
        }
        self.run = Run::Yes;
        Ok(None)
    }

    /// Steps of a range are to be made.
    pub fn steps(&self) -> bool {
        matches!(self.run, Run::Range(_))
    }

    /// Has the core stopped that this client waits for?
    pub fn look(&mut self, desk: &Desk) {
        let looked = match &self.run {
            Run::No => Ok(None),
            Run::Yes => desk.session().and_then(|mut session| halted(&mut session, desk.core.get())),
            Run::Range(range) => heard(desk, || desk.session().and_then(|mut session| step_range(&mut session, desk.core.get(), range))),
        };
        self.tell_stop(desk, looked);
    }

    fn interrupt(&mut self, desk: &Desk) {
        let core = desk.core.get();
        let halted = desk.session().and_then(|mut session| {
            session.halt(core, HALT_WAIT)?;
            stop(&mut session, core, INTERRUPTED).map(Some)
        });
        self.tell_stop(desk, halted);
    }

    /// Whoever waits is told, also when nothing more can be seen; with the probe goes the connection.
    fn tell_stop(&mut self, desk: &Desk, looked: Answer) {
        let reply = match looked {
            Ok(None) => return,
            Ok(Some(stopped)) => stopped,
            Err(error) => {
                self.reply(desk, format!("O{}", hex(format!("{error}\n").as_bytes())).as_bytes());
                if error.cause == Cause::Unplugged {
                    return desk.out.gone.set(true);
                }
                in_words(&error).into_bytes()
            }
        };
        self.run = Run::No;
        self.reply(desk, &reply);
    }
}

/// gdb's console.
fn console(desk: &Desk) -> impl Fn(&[u8]) + use<> {
    let out = desk.out.clone();
    move |text: &[u8]| out.send(Wire::default().framed(format!("O{}", hex(text)).as_bytes()))
}

/// What the program says while it is stepped or let go belongs there.
fn heard<T>(desk: &Desk, work: impl FnOnce() -> T) -> T {
    desk.host.heard_by(said(console(desk)), work)
}

/// To the reset vector; who asked for it need not be told of it.
fn reset(session: &mut Session, core: usize) -> Result<()> {
    session.reset(ResetMode::Halt)?;
    session.take_reset_seen(core).map(|_| ())
}

/// As gdb prints it behind "Remote failure reply".
fn in_words(error: &Error) -> String {
    format!("E.{}", error.remedy().replace(['#', '$', '}', '*'], " "))
}

fn find(session: &mut Session, core: usize, number: u32) -> Result<Register> {
    let found = session.registers(core)?.into_iter().find(|register| register.number == number);
    found.ok_or_else(|| Error::command(format!("this core has no register number {number}")))
}

fn bytes_of(register: Register) -> usize {
    register.bits.next_power_of_two().max(8) as usize / 8
}

/// In the target's order of bytes; registers of a few bits have one byte.
fn value_text(register: Register, value: u64) -> String {
    hex(&value.to_le_bytes()[..bytes_of(register)])
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// Why the core stopped, with every register that gdb is going to ask for; of one that runs, only that it is there.
fn stop(session: &mut Session, core: usize, signal: u8) -> Result<Vec<u8>> {
    let State::Halted(reason) = session.state(core)? else { return Ok(b"T00thread:1;".to_vec()) };
    let hit = if reason == Reason::Watchpoint { session.watch_hit(core)? } else { None };
    let watched = hit.map_or(String::new(), |point| {
        let word = match point.access {
            Access::Read => "rwatch",
            Access::Write => "watch",
            Access::Any => "awatch",
        };
        format!("{word}:{:x};", point.address)
    });
    let line = |(register, value): &(Register, u64)| format!("{:x}:{};", register.number, value_text(*register, *value));
    let registers: String = session.stop_regs(core)?.iter().map(line).collect();
    Ok(format!("T{signal:02x}{watched}thread:1;{registers}").into_bytes())
}

/// A core in lock-up will not stop by itself any more.
fn halted(session: &mut Session, core: usize) -> Result<Option<Vec<u8>>> {
    match session.state(core)? {
        State::Halted(_) => stop(session, core, TRAPPED).map(Some),
        State::Lockup => {
            session.halt(core, HALT_WAIT)?;
            stop(session, core, FAULTED).map(Some)
        }
        _ => Ok(None),
    }
}

/// A slice of a range's steps; breakpoints and watchpoints stop it as they stop a run.
fn step_range(session: &mut Session, core: usize, range: &Range<u32>) -> Result<Option<Vec<u8>>> {
    let began = Instant::now();
    while began.elapsed() < SLICE {
        let pc = session.step(core, None)?;
        let watched = !session.watchpoints(core).is_empty() && session.state(core)? == State::Halted(Reason::Watchpoint);
        if watched || !range.contains(&pc) || session.breakpoints(core).iter().any(|point| point.address == pc) {
            return stop(session, core, TRAPPED).map(Some);
        }
    }
    Ok(None)
}
