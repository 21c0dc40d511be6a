//! Semihosting (Arm's "Semihosting for AArch32 and AArch64", release 3.0): what a program asks of its host by BKPT 0xAB,
//! and `run_elf`, which runs one on a bare chip.
//!
//! The program has a console (":tt") and nothing else: no file of the machine it runs on can be opened.

use super::chip::{BusError, Chip, Ns, Size};
use super::chips;
use super::cpu::State;
use crate::error::{Error, Result};
use object::LittleEndian;
use object::elf::{EM_ARM, PT_LOAD};
use object::read::elf::{ElfFile32, FileHeader, ProgramHeader};
use std::ops::ControlFlow;

mod op {
    pub const OPEN: u32 = 0x01;
    pub const CLOSE: u32 = 0x02;
    pub const WRITEC: u32 = 0x03;
    pub const WRITE0: u32 = 0x04;
    pub const WRITE: u32 = 0x05;
    pub const READ: u32 = 0x06;
    pub const READC: u32 = 0x07;
    pub const ISERROR: u32 = 0x08;
    pub const ISTTY: u32 = 0x09;
    pub const SEEK: u32 = 0x0A;
    pub const FLEN: u32 = 0x0C;
    pub const CLOCK: u32 = 0x10;
    pub const TIME: u32 = 0x11;
    pub const ERRNO: u32 = 0x13;
    pub const GET_CMDLINE: u32 = 0x15;
    pub const HEAPINFO: u32 = 0x16;
    pub const EXIT: u32 = 0x18;
    pub const EXIT_EXTENDED: u32 = 0x20;
    pub const ELAPSED: u32 = 0x30;
    pub const TICKFREQ: u32 = 0x31;
}

/// SYS_EXIT's reason for an end that is no error: ADP_Stopped_ApplicationExit.
const APPLICATION_EXIT: u32 = 0x2_0026;
const FAILED: u32 = u32::MAX;
const EINVAL: u32 = 22;
/// What ":semihosting-features" holds: magic, then SH_EXT_EXIT_EXTENDED and SH_EXT_STDOUT_STDERR.
const FEATURES: &[u8] = b"SHFB\x03";
/// A string or buffer is never longer than this: beyond it the program's pointer is taken to be wild.
const LONGEST: u32 = 1 << 20;
/// How long `run_elf` runs before it looks whether to go on; the wall time of it is some 10 ms.
const SLICE: Ns = 100_000_000;
/// The wall clock that programs see starts here: 2020-01-01, so that runs repeat.
const EPOCH: u64 = 1_577_836_800;

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Exit(u32),
    /// Its time was up.
    Timeout,
    /// The core locked up: pc of the fault is lost, the reason is in HFSR and CFSR.
    Lockup {
        hfsr: u32,
        cfsr: u32,
    },
    /// A breakpoint that is no semihosting call.
    Breakpoint {
        pc: u32,
    },
}

/// What the program sees of its host.
pub struct Host {
    pub command_line: String,
    /// Heap base, heap limit, stack base, stack limit; zeros: the program's own symbols hold.
    pub heap: [u32; 4],
    errno: u32,
    /// Handles from 1 up; the lowest that is free is given next, as QEMU does.
    files: Vec<Option<File>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum File {
    Console,
    Features { at: usize },
}

/// What follows from one call.
enum Answer {
    Value(u32),
    Exit(u32),
}

impl Host {
    pub fn new(command_line: &str) -> Host {
        Host { command_line: command_line.into(), heap: [0; 4], errno: 0, files: Vec::new() }
    }

    /// The operation in r0 with its argument in r1.
    fn call(&mut self, memory: &mut Memory, operation: u32, argument: u32, console: &mut dyn FnMut(&[u8])) -> Answer {
        let value = match operation {
            op::EXIT if argument == APPLICATION_EXIT => return Answer::Exit(0),
            op::EXIT => return Answer::Exit(1),
            op::EXIT_EXTENDED => {
                let [reason, code] = memory.words(argument).unwrap_or([0, 1]);
                return Answer::Exit(if reason == APPLICATION_EXIT { code } else { 1 });
            }
            op::WRITEC => memory.bytes(argument, 1).map(|byte| console(&byte)).map(|()| 0),
            op::WRITE0 => memory.string(argument).map(|text| console(&text)).map(|()| 0),
            op::WRITE => self.write(memory, argument, console),
            op::OPEN => self.open(memory, argument),
            op::CLOSE => memory.words(argument).map(|[handle]| self.close(handle)),
            op::READ => self.read(memory, argument),
            // The console has no input.
            op::READC => Some(FAILED),
            op::ISERROR => memory.words(argument).map(|[status]| u32::from((status as i32) < 0)),
            op::ISTTY => memory.words(argument).map(|[handle]| u32::from(self.file(handle) == Some(File::Console))),
            op::SEEK => self.seek(memory, argument),
            op::FLEN => memory.words(argument).map(|[handle]| self.length(handle)),
            op::CLOCK => Some((memory.now() / 10_000_000) as u32),
            op::TIME => Some((EPOCH + memory.now() / 1_000_000_000) as u32),
            op::ERRNO => Some(self.errno),
            op::GET_CMDLINE => self.tell_command_line(memory, argument),
            op::HEAPINFO => memory.words(argument).and_then(|[block]| memory.set_words(block, &self.heap)).map(|()| 0),
            op::ELAPSED => memory.set_words(argument, &[memory.now() as u32, (memory.now() >> 32) as u32]).map(|()| 0),
            op::TICKFREQ => Some(1_000_000_000),
            _ => None,
        };
        Answer::Value(value.unwrap_or_else(|| self.refuse()))
    }

    fn refuse(&mut self) -> u32 {
        self.errno = EINVAL;
        FAILED
    }

    fn file(&self, handle: u32) -> Option<File> {
        *self.files.get((handle as usize).checked_sub(1)?)?
    }

    fn place(&mut self, handle: u32) -> Option<&mut File> {
        self.files.get_mut((handle as usize).checked_sub(1)?)?.as_mut()
    }

    fn open(&mut self, memory: &mut Memory, argument: u32) -> Option<u32> {
        let [name, _mode, length] = memory.words(argument)?;
        let file = match memory.bytes(name, length)?.as_slice() {
            b":tt" => File::Console,
            b":semihosting-features" => File::Features { at: 0 },
            _ => return None,
        };
        let at = self.files.iter().position(Option::is_none).unwrap_or(self.files.len());
        self.files.resize(self.files.len().max(at + 1), None);
        self.files[at] = Some(file);
        Some(at as u32 + 1)
    }

    fn close(&mut self, handle: u32) -> u32 {
        let slot = (handle as usize).checked_sub(1).and_then(|at| self.files.get_mut(at));
        match slot.and_then(Option::take) {
            Some(_) => 0,
            None => self.refuse(),
        }
    }

    /// How many bytes were not written.
    fn write(&mut self, memory: &mut Memory, argument: u32, console: &mut dyn FnMut(&[u8])) -> Option<u32> {
        let [handle, buffer, length] = memory.words(argument)?;
        if self.file(handle) != Some(File::Console) {
            return Some(length);
        }
        console(&memory.bytes(buffer, length)?);
        Some(0)
    }

    /// How many bytes were not read; all of them is the end of the file.
    fn read(&mut self, memory: &mut Memory, argument: u32) -> Option<u32> {
        let [handle, buffer, length] = memory.words(argument)?;
        let Some(File::Features { at }) = self.place(handle) else { return Some(length) };
        let rest = FEATURES.get(*at..).unwrap_or_default();
        let part = &rest[..rest.len().min(length as usize)];
        *at += part.len();
        memory.set_bytes(buffer, part)?;
        Some(length - part.len() as u32)
    }

    fn seek(&mut self, memory: &mut Memory, argument: u32) -> Option<u32> {
        let [handle, to] = memory.words(argument)?;
        let File::Features { at } = self.place(handle)? else { return None };
        *at = to as usize;
        Some(0)
    }

    fn length(&mut self, handle: u32) -> u32 {
        match self.file(handle) {
            Some(File::Features { .. }) => FEATURES.len() as u32,
            Some(File::Console) => 0,
            None => self.refuse(),
        }
    }

    /// Into the buffer with its zero, and the length without it.
    fn tell_command_line(&mut self, memory: &mut Memory, argument: u32) -> Option<u32> {
        let [buffer, size] = memory.words(argument)?;
        let text = [self.command_line.as_bytes(), b"\0"].concat();
        if text.len() > size as usize {
            return None;
        }
        memory.set_bytes(buffer, &text)?;
        memory.set_words(argument.wrapping_add(4), &[text.len() as u32 - 1])?;
        Some(0)
    }
}

/// The program's memory as a debugger reaches it. `None`: an address where nothing is.
struct Memory<'a> {
    chip: &'a mut Chip,
}

impl Memory<'_> {
    fn now(&self) -> Ns {
        self.chip.now()
    }

    fn bytes(&mut self, address: u32, length: u32) -> Option<Vec<u8>> {
        if length > LONGEST {
            return None;
        }
        (0..length).map(|at| self.byte(address.wrapping_add(at))).collect()
    }

    fn byte(&mut self, address: u32) -> Option<u8> {
        self.chip.read(AP, CACHEABLE, address, Size::Byte).ok().map(|byte| byte as u8)
    }

    fn string(&mut self, address: u32) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        for at in 0..LONGEST {
            match self.byte(address.wrapping_add(at))? {
                0 => return Some(text),
                byte => text.push(byte),
            }
        }
        None
    }

    fn words<const N: usize>(&mut self, address: u32) -> Option<[u32; N]> {
        let bytes = self.bytes(address, 4 * N as u32)?;
        Some(std::array::from_fn(|at| u32::from_le_bytes([bytes[4 * at], bytes[4 * at + 1], bytes[4 * at + 2], bytes[4 * at + 3]])))
    }

    fn set_bytes(&mut self, address: u32, bytes: &[u8]) -> Option<()> {
        bytes
            .iter()
            .zip(0..)
            .try_for_each(|(byte, at)| self.chip.write(AP, CACHEABLE, address.wrapping_add(at), Size::Byte, (*byte).into()))
            .ok()
    }

    fn set_words(&mut self, address: u32, words: &[u32]) -> Option<()> {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.set_bytes(address, &bytes)
    }
}

/// The access port that sees what the core sees; the first on every chip.
const AP: u8 = 0;
/// CSW of an AHB-AP, HPROT[3]: what a cache of the core holds counts.
const CACHEABLE: u32 = 1 << 27;
const DHCSR: u32 = 0xE000_EDF0;
const DEBUG: u32 = 0xA05F_0001;
const HFSR: u32 = 0xE000_ED2C;
const CFSR: u32 = 0xE000_ED28;
const PC: u32 = 15;

/// Runs what is in the chip's memory for at most `time`, as a debugger with semihosting would.
pub fn run(chip: &mut Chip, host: &mut Host, time: Ns, console: &mut dyn FnMut(&[u8])) -> Result<End> {
    let end = chip.now().saturating_add(time);
    attach(chip)?;
    run_on(chip, host, end, console)
}

/// Until `end`, of a chip that is attached to.
fn run_on(chip: &mut Chip, host: &mut Host, end: Ns, console: &mut dyn FnMut(&[u8])) -> Result<End> {
    loop {
        chip.advance_to_stop(end);
        match chip.state() {
            State::Lockup => return Ok(lockup(chip)),
            State::Halted => match serve(chip, host, console) {
                ControlFlow::Continue(()) => chip.write(AP, CACHEABLE, DHCSR, Size::Word, DEBUG).map_err(closed)?,
                ControlFlow::Break(end) => return Ok(end),
            },
            State::Running | State::Reset => return Ok(End::Timeout),
        }
        if chip.now() >= end {
            return Ok(End::Timeout);
        }
    }
}

fn attach(chip: &mut Chip) -> Result<()> {
    chip.write(AP, CACHEABLE, DHCSR, Size::Word, DEBUG).map_err(closed)
}

fn closed(_: BusError) -> Error {
    Error::command("the chip's debug port is closed").hint("its read protection is at level 2, or firmware closed the port")
}

fn lockup(chip: &mut Chip) -> End {
    let mut word = |address| chip.read(AP, CACHEABLE, address, Size::Word).unwrap_or(0);
    End::Lockup { hfsr: word(HFSR), cfsr: word(CFSR) }
}

/// Answers the call that the halted core stands at; it stands behind it then, still halted. Breaks at the program's end
/// and at a breakpoint that is no call.
pub fn serve(chip: &mut Chip, host: &mut Host, console: &mut dyn FnMut(&[u8])) -> ControlFlow<End> {
    const BKPT_AB: u32 = 0xBEAB;
    let (operation, argument, pc) = (chip.register(0), chip.register(1), chip.register(PC));
    if chip.read(AP, CACHEABLE, pc, Size::Half) != Ok(BKPT_AB) {
        return ControlFlow::Break(End::Breakpoint { pc });
    }
    match host.call(&mut Memory { chip }, operation, argument, console) {
        Answer::Exit(code) => return ControlFlow::Break(End::Exit(code)),
        Answer::Value(value) => chip.set_register(0, value),
    }
    chip.set_register(PC, pc.wrapping_add(2));
    ControlFlow::Continue(())
}

/// Runs an ELF file on a chip of its own for at most `ms` of virtual time: its PT_LOAD bytes go in by the board's own
/// door, then the chip is reset. What the program prints goes to `console`; an error of `breathe` ends it.
///
/// Errors: `Kind::Usage` for a chip that there is not, `Kind::Image` for a file that is no 32-bit little-endian ELF file
/// for Arm or does not fit the chip.
pub fn run_elf(chip: &str, elf: &[u8], ms: u64, console: &mut dyn FnMut(&[u8]), breathe: &dyn Fn() -> Result<()>) -> Result<End> {
    let (mut chip, mut host) = prepare(chip, elf)?;
    let end = chip.now().saturating_add(ms.saturating_mul(1_000_000));
    attach(&mut chip)?;
    loop {
        breathe()?;
        let before = chip.now();
        match run_on(&mut chip, &mut host, end.min(before.saturating_add(SLICE)), console)? {
            // A chip whose time stands still would never come to its end.
            End::Timeout if before < chip.now() && chip.now() < end => {}
            other => return Ok(other),
        }
    }
}

/// The chip with the program in it, just reset, and its host. Errors as `run_elf`.
pub fn prepare(chip: &str, elf: &[u8]) -> Result<(Chip, Host)> {
    let row = chips::find(chip).ok_or_else(|| {
        let known: Vec<_> = chips::CHIPS.iter().map(|row| row.name).collect();
        Error::usage(format!("the board has no chip `{chip}`")).hint(format!("its chips: {}", known.join(", ")))
    })?;
    let mut chip = Chip::new(row);
    let mut host = Host::new("program");
    host.heap = heap(row, load(&mut chip, elf)?);
    chip.nrst(true);
    chip.nrst(false);
    Ok((chip, host))
}

/// Where the image ends in the chip's first RAM.
fn load(chip: &mut Chip, elf: &[u8]) -> Result<u32> {
    let endian = LittleEndian;
    let file = ElfFile32::<LittleEndian>::parse(elf)
        .map_err(|error| Error::image(format!("not an ELF file of 32 bits, little-endian: {error}")))?;
    match file.elf_header().e_machine(endian) {
        EM_ARM => {}
        other => return Err(Error::image(format!("a program for another machine (e_machine = {other})")).hint("Arm is 40")),
    }
    let name = chip.row.name;
    let unfit = |len: usize, address: u32| Error::image(format!("{len} bytes at {address:#010x} do not fit {name}"));
    let ram = chip.row.ram.first().map_or(0..0, |ram| ram.base..ram.base + ram.size);
    let (mut end, mut loaded) = (ram.start, 0);
    for header in file.elf_program_headers().iter().filter(|header| header.p_type(endian) == PT_LOAD) {
        let bytes = header.data(endian, elf).map_err(|()| Error::image("a segment lies outside the file"))?;
        let (address, start, len) = (header.p_paddr(endian), header.p_vaddr(endian), header.p_memsz(endian));
        if !bytes.is_empty() && chip.poke_all(address, bytes) != bytes.len() {
            return Err(unfit(bytes.len(), address));
        }
        loaded += bytes.len();
        if ram.contains(&start) {
            let last = start.checked_add(len).filter(|last| *last <= ram.end).ok_or_else(|| unfit(len as usize, start))?;
            end = end.max(last);
        }
    }
    if loaded == 0 {
        return Err(Error::image("no segment of it is loaded").hint("an object file has none: link it first"));
    }
    Ok(end)
}

/// From the end of the image to the end of RAM, for both.
fn heap(row: &chips::Row, image_end: u32) -> [u32; 4] {
    let Some(ram) = row.ram.first() else { return [0; 4] };
    let (base, top) = (image_end.next_multiple_of(8), ram.base + ram.size);
    [base, top, top, base]
}
