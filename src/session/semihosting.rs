//! Semihosting: what a program asks of its host by BKPT 0xAB ("Semihosting for AArch32 and AArch64", release 3.0; § is its).
//!
//! The operation is in r0, its argument or the address of its arguments in r1, the result goes into r0. What the program hands
//! over may be anything: what makes no sense is an error to it. Files are those below a folder that the user chose, wherever
//! their names lead; without one there are none.

use super::{ATTEND, Input, Session, core_ap};
use crate::adi::MemAp;
use crate::cortex_m::{Reason, State};
use crate::error::{Error, Result};
use crate::event::{Ears, Event};
use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{Cursor, Read, Seek, SeekFrom, Write};
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// BKPT 0xAB in T32 (§5)
const CALL: [u8; 2] = [0xAB, 0xBE];
/// Read or written at once.
const CHUNK: u32 = 1024;
/// A name, a command line or a string of SYS_WRITE0 that is longer is none; no buffer of a microcontroller is (assumed).
const LONGEST: u32 = 4096;
const LARGEST: u32 = 64 << 20;
const MOST_FILES: usize = 64;
/// Magic, then SH_EXT_EXIT_EXTENDED and SH_EXT_STDOUT_STDERR (§8.1).
const FEATURES: &[u8] = b"SHFB\x03";

/// As Linux and newlib number them.
const EPERM: u32 = 1;
const EIO: u32 = 5;
const EBADF: u32 = 9;
const EACCES: u32 = 13;
const EFAULT: u32 = 14;
const EINVAL: u32 = 22;
const EMFILE: u32 = 24;
const ENOSYS: u32 = 38;

/// ADP_Stopped_ApplicationExit (§7.24)
const APPLICATION_EXIT: u32 = 0x2_0026;
const SYS_EXIT: u32 = 0x18;
const SYS_EXIT_EXTENDED: u32 = 0x20;
const SYS_HEAPINFO: u32 = 0x16;

/// Ends that are failures: those that programs tell by themselves (§7.24).
const REASONS: &[(u32, &str)] =
    &[(0x2_0023, "a run-time error"), (0x2_0024, "an internal error"), (0x2_0027, "a stack overflow"), (0x2_0028, "a division by zero")];

/// How a program has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Code(u32),
    /// It gave a reason (§7.24) and no code: an assertion, a panic, `abort`.
    Failed(u32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "the program ended with exit code {code}"),
            Exit::Failed(reason) => {
                let words = REASONS.iter().find(|row| row.0 == *reason).map_or("a reason of its own", |row| row.1);
                write!(f, "the program ended because of {words} ({reason:#x})")
            }
        }
    }
}

/// What a session's programs may ask, and what they have open.
#[derive(Default)]
pub struct Semihosting {
    pub on: bool,
    /// What a program is told it was called by.
    pub command_line: String,
    pub folder: Option<PathBuf>,
    /// How the last program ended, until somebody takes it or the core goes on.
    pub exit: Option<Exit>,
    /// Who waits for that tells it.
    pub awaited: bool,
    /// What is typed for them; `None`: their console is at its end.
    pub input: Option<Input>,
    /// One waits for that.
    pub waits: bool,
    answered: Option<Answered>,
    /// Of a SYS_READ or SYS_WRITE in which a transfer failed: its arguments, and the bytes that are done.
    half: Option<([u32; 3], u32)>,
    /// Cores whose halt is for the user to see: he asked for it, or the program has ended.
    pub(super) held: BTreeSet<usize>,
    errno: u32,
    /// By handle, from 1 on.
    files: Vec<Option<Handle>>,
    since: Duration,
}

/// A call that was carried out and must not be once more, although a transfer failed before its core went on.
#[derive(Clone, Copy)]
struct Answered {
    core: usize,
    at: u32,
    operation: u32,
    value: u32,
    /// Its result is in r0.
    written: bool,
}

enum Handle {
    Console,
    /// ":semihosting-features"
    Features(Cursor<&'static [u8]>),
    File(File),
}

/// Why a call fails: by an errno, or because rocd does.
enum No {
    Errno(u32),
    /// Not now: it is asked again.
    Wait,
    Own(Error),
}

impl From<Error> for No {
    fn from(error: Error) -> No {
        if error.is_fault() { No::Errno(EFAULT) } else { No::Own(error) }
    }
}

impl From<std::io::Error> for No {
    fn from(error: std::io::Error) -> No {
        No::Errno(error.raw_os_error().map_or(EIO, i32::unsigned_abs))
    }
}

type Answer<T = u32> = std::result::Result<T, No>;

fn no<T>(errno: u32) -> Answer<T> {
    Err(No::Errno(errno))
}

impl Session {
    /// A core that stands now was seen to, and stays.
    pub fn set_semihosting(&mut self, on: bool) -> Result<()> {
        let new = on && !self.semihosting.on;
        for core in self.available().into_iter().filter(|_| new) {
            if let State::Halted(_) = self.state(core)? {
                self.semihosting.held.insert(core);
            }
        }
        self.semihosting.on = on;
        self.attend()
    }

    /// Every call that a core stands at is answered, and the core goes on; calls that follow at once are, too.
    pub(super) fn answer_calls(&mut self) -> Result<()> {
        for core in self.available() {
            let (found, mut mem, _) = self.parts(core)?;
            found.debugged(&mut mem)?;
            let until = self.probe.now() + ATTEND;
            while self.calls(core)? {
                let Some((next, exit)) = self.answer(core)? else { break };
                if let Some(exit) = exit {
                    self.ended(core, exit);
                    break;
                }
                let (found, mut mem, _) = self.parts(core)?;
                found.resume_afresh(&mut mem, next)?;
                self.semihosting.went_on();
                if self.probe.now() > until {
                    break;
                }
            }
        }
        Ok(())
    }

    /// The program's end is told, and its halt is for the user to see.
    fn ended(&mut self, core: usize, exit: Exit) {
        self.semihosting.exit = Some(exit);
        self.semihosting.held.insert(core);
        if !self.semihosting.awaited {
            self.ears.info(exit.to_string());
        }
    }

    /// For who lets a core go on: where it does, behind a call that it stands at and nobody has seen yet. `Err`: with that call its
    /// program has ended, which is told now.
    pub(super) fn answer_first(&mut self, core: usize) -> Result<std::result::Result<Option<u32>, Exit>> {
        let told = self.semihosting.exit.is_some();
        Ok(match self.answer(core)? {
            Some((_, Some(exit))) if !told => {
                self.ended(core, exit);
                Err(exit)
            }
            answered => Ok(answered.map(|(next, _)| next)),
        })
    }

    /// The core waits for its host: to everybody else it runs.
    pub(super) fn calls(&mut self, core: usize) -> Result<bool> {
        if !self.semihosting.on || self.semihosting.held.contains(&core) {
            return Ok(false);
        }
        let (found, mut mem, _) = self.parts(core)?;
        if found.state(&mut mem)? != State::Halted(Reason::Breakpoint) {
            return Ok(false);
        }
        let pc = found.pc(&mut mem)?;
        let free = found.breakpoints.iter().all(|point| point.address != pc);
        Ok(free && (self.call_at(core, pc) || self.answered(core, pc).is_some()))
    }

    /// What the call was answered with that the core has not left, or not further than to the next instruction.
    fn answered(&self, core: usize, pc: u32) -> Option<Answered> {
        self.semihosting.answered.filter(|call| call.core == core && [call.at, call.at.wrapping_add(2)].contains(&pc))
    }

    fn call_at(&mut self, core: usize, pc: u32) -> bool {
        let mut code = [0; 2];
        // Where nothing can be read there is no call.
        self.read_memory(core, pc, &mut code).is_ok() && code == CALL
    }

    /// Answer the call that a halted core stands at: where it goes on, and how its program has ended. `None`: there is no call.
    pub(super) fn answer(&mut self, core: usize) -> Result<Option<(u32, Option<Exit>)>> {
        if !self.semihosting.on {
            return Ok(None);
        }
        let registers = self.registers(core)?;
        let [r0, r1, pc] = [0, 1, 15].map(|number: usize| registers[number]);
        let values = self.read_regs(core, &[r0, r1, pc])?;
        let [operation, argument, at] = [0, 1, 2].map(|nth| values[nth] as u32);
        // With another r0 it has been away, and calls anew.
        let before = self.answered(core, at).filter(|call| operation == call.value || operation == call.operation && !call.written);
        let mut call = match before {
            Some(call) => call,
            None if !self.call_at(core, at) => return Ok(None),
            None => match self.carry_out(core, operation, argument)? {
                Some(Ok(value)) => Answered { core, at, operation, value, written: false },
                Some(Err(exit)) => return Ok(Some((at.wrapping_add(2), Some(exit)))),
                None => return Ok(None),
            },
        };
        self.semihosting.answered = Some(call);
        self.write_reg(core, r0, call.value.into())?;
        call.written = true;
        self.semihosting.answered = Some(call);
        Ok(Some((call.at.wrapping_add(2), None)))
    }

    /// Its result, or how the program has ended with it; `None`: not yet.
    fn carry_out(&mut self, core: usize, operation: u32, argument: u32) -> Result<Option<std::result::Result<u32, Exit>>> {
        let heap = if operation == SYS_HEAPINFO { self.heap(core)? } else { [0; 4] };
        let mem = MemAp::new(&mut *self.probe, core_ap(&self.target, core));
        let mut call = Call { host: &mut self.semihosting, mem, ears: &self.ears, heap };
        call.host.waits = false;
        let value = match call.end(operation, argument) {
            Ok(Some(exit)) => return Ok(Some(Err(exit))),
            Ok(None) => call.carry_out(operation, argument),
            Err(no) => Err(no),
        };
        match value {
            Err(No::Own(error)) => Err(error.during(format!("answering semihosting call {operation:#04x}"))),
            Err(No::Wait) => {
                self.semihosting.waits = true;
                Ok(None)
            }
            Err(No::Errno(errno)) => {
                self.semihosting.errno = errno;
                Ok(Some(Ok(u32::MAX)))
            }
            Ok(value) => Ok(Some(Ok(value))),
        }
    }

    /// Heap base and limit, stack base and limit (§7.17): from where the ELF's data end to the top of its stack, for both. Zeros
    /// where that is not known: the program's own symbols count.
    fn heap(&mut self, core: usize) -> Result<[u32; 4]> {
        let (found, mut mem, _) = self.parts(core)?;
        let (_, top, _) = found.vectors(&mut mem)?;
        let ram = self.ram(core).into_iter().find(|(start, size)| top.wrapping_sub(*start + 1) < *size);
        let names = self.names.borrow();
        let data = names.symbols.iter().filter(|symbol| ram.is_some_and(|(start, _)| (start..top).contains(&symbol.address)));
        let ends = data.filter_map(|symbol| symbol.address.checked_add(symbol.size)?.checked_next_multiple_of(8));
        let end = ends.filter(|end| *end < top).max();
        Ok(end.map_or([0; 4], |end| [end, top, top, end]))
    }
}

impl Semihosting {
    /// A program that begins has nothing open, and no core is held that runs.
    pub(super) fn begin(&mut self, now: Duration) {
        self.files.clear();
        self.held.clear();
        (self.errno, self.exit, self.since, self.waits, self.answered, self.half) = (0, None, now, false, None, None);
    }

    /// The core has left the call that it stood at.
    pub(super) fn went_on(&mut self) {
        self.answered = None;
    }

    fn handle(&mut self, handle: u32) -> Answer<&mut Handle> {
        let slot = (handle as usize).checked_sub(1).and_then(|at| self.files.get_mut(at)?.as_mut());
        slot.ok_or(No::Errno(EBADF))
    }

    /// Where a name leads, which is below the folder. What is not there yet is judged by its folder; a link that leads to nothing
    /// is refused, because opening it would make what it names.
    fn path(&self, name: &str) -> Answer<PathBuf> {
        let folder = self.folder.as_ref().ok_or(No::Errno(EACCES))?.canonicalize()?;
        let path = folder.join(name);
        let real = match (path.canonicalize(), path.parent(), path.file_name()) {
            (Ok(real), ..) => real,
            (Err(_), Some(parent), Some(name)) if path.symlink_metadata().is_err() => parent.canonicalize()?.join(name),
            (Err(error), ..) => return Err(error.into()),
        };
        let plain = real.metadata().map_or(true, |there| there.is_file());
        if real.starts_with(&folder) && plain { Ok(real) } else { no(EACCES) }
    }

    /// By fopen's modes r, rb, r+, r+b, w … a+b (§7.12).
    fn open(&self, name: &str, mode: u32) -> Answer<File> {
        let (kind, both) = (mode / 4, mode & 2 != 0);
        let path = self.path(name)?;
        let mut options = OpenOptions::new();
        options.read(kind == 0 || both).write(kind == 1 || both).append(kind == 2).create(kind > 0).truncate(kind == 1);
        Ok(options.open(path)?)
    }
}

/// One call, and what it is answered with.
struct Call<'a> {
    host: &'a mut Semihosting,
    mem: MemAp<'a>,
    ears: &'a Ears,
    heap: [u32; 4],
}

type Run = fn(&mut Call, u32) -> Answer;

/// §7
const CALLS: &[(u32, Run)] = &[
    (0x01, |call, at| call.open(at)),
    (0x02, |call, at| {
        let [handle] = call.words(at)?;
        call.host.handle(handle)?;
        call.host.files[handle as usize - 1] = None;
        Ok(0)
    }),
    (0x03, |call, at| {
        let byte = call.bytes(at, 1)?;
        call.say(byte);
        Ok(0)
    }),
    (0x04, |call, at| call.write_string(at)),
    (0x05, |call, at| call.in_pieces(at, Call::write)),
    (0x06, |call, at| call.in_pieces(at, Call::read)),
    (0x07, |call, _| call.typed(1)?.first().map_or(no(EIO), |byte| Ok(u32::from(*byte)))),
    (0x08, |call, at| call.words(at).map(|[status]| u32::from((status as i32) < 0))),
    (0x09, |call, at| {
        let [handle] = call.words(at)?;
        call.host.handle(handle).map(|handle| u32::from(matches!(handle, Handle::Console)))
    }),
    (0x0A, |call, at| {
        let [handle, to] = call.words(at)?;
        let to = SeekFrom::Start(to.into());
        Ok(match call.host.handle(handle)? {
            Handle::Console => return no(EINVAL),
            Handle::Features(text) => text.seek(to).map(|_| 0)?,
            Handle::File(file) => file.seek(to).map(|_| 0)?,
        })
    }),
    (0x0C, |call, at| {
        let [handle] = call.words(at)?;
        Ok(match call.host.handle(handle)? {
            Handle::Console => 0,
            Handle::Features(_) => FEATURES.len() as u32,
            Handle::File(file) => u32::try_from(file.metadata()?.len()).map_err(|_| No::Errno(EINVAL))?,
        })
    }),
    // SYS_TMPNAM: a name for each of the 256 numbers
    (0x0D, |call, at| {
        let [buffer, number, size] = call.words(at)?;
        call.put_text(buffer, size, &format!("tmp{}", number & 0xFF)).map(|_| 0)
    }),
    (0x0E, |call, at| {
        let [name, len] = call.words(at)?;
        let name = call.text(name, len)?;
        Ok(fs::remove_file(call.host.path(&name)?).map(|()| 0)?)
    }),
    (0x0F, |call, at| {
        let [from, from_len, to, to_len] = call.words(at)?;
        let (from, to) = (call.text(from, from_len)?, call.text(to, to_len)?);
        Ok(fs::rename(call.host.path(&from)?, call.host.path(&to)?).map(|()| 0)?)
    }),
    // SYS_CLOCK, in 10 ms
    (0x10, |call, _| Ok((call.ran().as_millis() / 10) as u32)),
    (0x11, |_, _| Ok(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs() as u32))),
    // SYS_SYSTEM: no program runs commands here
    (0x12, |_, _| no(EPERM)),
    (0x13, |call, _| Ok(call.host.errno)),
    (0x15, |call, at| {
        let [buffer, size] = call.words(at)?;
        let text = call.host.command_line.clone();
        call.put_text(buffer, size, &text)?;
        call.put(at.wrapping_add(4), &[text.len() as u32]).map(|()| 0)
    }),
    (SYS_HEAPINFO, |call, at| {
        let [block] = call.words(at)?;
        let heap = call.heap;
        call.put(block, &heap).map(|()| 0)
    }),
    // SYS_ELAPSED in ns, which SYS_TICKFREQ says
    (0x30, |call, at| {
        let ns = call.ran().as_nanos() as u64;
        call.put(at, &[ns as u32, (ns >> 32) as u32]).map(|()| 0)
    }),
    (0x31, |_, _| Ok(1_000_000_000)),
];

impl Call<'_> {
    fn carry_out(&mut self, operation: u32, argument: u32) -> Answer {
        let row = CALLS.iter().find(|row| row.0 == operation).ok_or(No::Errno(ENOSYS))?;
        (row.1)(self, argument)
    }

    fn end(&mut self, operation: u32, argument: u32) -> Answer<Option<Exit>> {
        let [reason, code] = match operation {
            SYS_EXIT => [argument, 0],
            SYS_EXIT_EXTENDED => self.words(argument)?,
            _ => return Ok(None),
        };
        Ok(Some(if reason == APPLICATION_EXIT { Exit::Code(code) } else { Exit::Failed(reason) }))
    }

    fn ran(&self) -> Duration {
        self.mem.now().saturating_sub(self.host.since)
    }

    fn say(&self, bytes: Vec<u8>) {
        self.ears.sink.emit(Event::Target(bytes));
    }

    fn bytes(&mut self, address: u32, len: u32) -> Answer<Vec<u8>> {
        if address.checked_add(len).is_none() {
            return no(EFAULT);
        }
        let mut bytes = vec![0; len as usize];
        self.mem.read(address, &mut bytes)?;
        Ok(bytes)
    }

    fn words<const N: usize>(&mut self, address: u32) -> Answer<[u32; N]> {
        let bytes = self.bytes(address, 4 * N as u32)?;
        Ok(std::array::from_fn(|nth| u32::from_le_bytes([0, 1, 2, 3].map(|byte| bytes[4 * nth + byte]))))
    }

    fn put(&mut self, address: u32, words: &[u32]) -> Answer<()> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        Ok(self.mem.write(address, &bytes)?)
    }

    fn text(&mut self, address: u32, len: u32) -> Answer<String> {
        let bytes = self.bytes(address, if len <= LONGEST { len } else { return no(EINVAL) })?;
        String::from_utf8(bytes).map_err(|_| No::Errno(EINVAL))
    }

    /// With the zero behind it.
    fn put_text(&mut self, buffer: u32, size: u32, text: &str) -> Answer<()> {
        match text.len() < size as usize {
            true => Ok(self.mem.write(buffer, &[text.as_bytes(), b"\0"].concat())?),
            false => no(EINVAL),
        }
    }

    fn open(&mut self, at: u32) -> Answer {
        let [name, mode, len] = self.words(at)?;
        if mode > 11 {
            return no(EINVAL);
        }
        let handle = match self.text(name, len)?.as_str() {
            ":tt" => Handle::Console,
            ":semihosting-features" => Handle::Features(Cursor::new(FEATURES)),
            name => Handle::File(self.host.open(name, mode)?),
        };
        let files = &mut self.host.files;
        let free = files.iter().position(Option::is_none).unwrap_or(files.len());
        if free == MOST_FILES {
            return no(EMFILE);
        }
        files.resize_with(files.len().max(free + 1), || None);
        files[free] = Some(handle);
        Ok(free as u32 + 1)
    }

    /// No piece reaches across a multiple of its size: RAM may end behind the zero.
    fn write_string(&mut self, at: u32) -> Answer {
        const PIECE: u32 = 64;
        let mut text = Vec::new();
        while text.len() < LONGEST as usize {
            let from = at.wrapping_add(text.len() as u32);
            text.extend(self.bytes(from, PIECE - from % PIECE)?);
            if let Some(end) = text.iter().position(|byte| *byte == 0) {
                text.truncate(end);
                self.say(text);
                return Ok(0);
            }
        }
        no(EINVAL)
    }

    /// SYS_READ and SYS_WRITE: handle, buffer and length, as far as it goes. How much was left, which is all of it on error, too.
    fn in_pieces(&mut self, at: u32, one: fn(&mut Self, u32, u32, u32) -> Answer) -> Answer {
        let given @ [handle, buffer, len] = self.words(at)?;
        let half = self.host.half.take().filter(|half| half.0 == given);
        let mut done = half.map_or(0, |half| half.1);
        while done < len {
            let wanted = CHUNK.min(len - done);
            let piece = (self.ears.breathe)().map_err(No::Own);
            let piece = piece.and_then(|()| if len <= LARGEST { one(self, handle, buffer.wrapping_add(done), wanted) } else { no(EINVAL) });
            match piece {
                Ok(0) => break,
                Ok(count) => done += count,
                // What has come is enough.
                Err(No::Wait) if done > 0 => break,
                Err(No::Errno(errno)) => {
                    self.host.errno = errno;
                    break;
                }
                Err(own) => {
                    self.host.half = Some((given, done));
                    return Err(own);
                }
            }
        }
        Ok(len - done)
    }

    fn write(&mut self, handle: u32, buffer: u32, len: u32) -> Answer {
        let bytes = self.bytes(buffer, len)?;
        match self.host.handle(handle)? {
            Handle::Console => self.say(bytes),
            Handle::Features(_) => return no(EBADF),
            Handle::File(file) => file.write_all(&bytes)?,
        }
        Ok(len)
    }

    /// Of the console's input.
    fn typed(&self, most: u32) -> Answer<Vec<u8>> {
        self.host.input.as_ref().map_or(Ok(Vec::new()), |input| input.take(most as usize).ok_or(No::Wait))
    }

    /// 0 at the end.
    fn read(&mut self, handle: u32, buffer: u32, len: u32) -> Answer {
        let mut bytes = vec![0; len as usize];
        let count = match self.host.handle(handle)? {
            Handle::Console => {
                let typed = self.typed(len)?;
                bytes[..typed.len()].copy_from_slice(&typed);
                typed.len()
            }
            Handle::Features(text) => text.read(&mut bytes)?,
            Handle::File(file) => file.read(&mut bytes)?,
        };
        let put = self.mem.write(buffer, &bytes[..count]).map_err(No::from);
        if let Err(No::Own(_)) = &put {
            let back = SeekFrom::Current(-(count as i64));
            match self.host.handle(handle)? {
                Handle::Console => self.host.input.iter().for_each(|input| input.give_back(&bytes[..count])),
                Handle::Features(text) => _ = text.seek(back)?,
                Handle::File(file) => _ = file.seek(back)?,
            }
        }
        put.map(|()| count as u32)
    }
}
