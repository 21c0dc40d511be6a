//! Who called whom, from where a halted core stands: by the ELF's call frame information, through exceptions
//! (DDI0403E B1.5.6 to B1.5.8; DDI0419E has the same, without the FPU), and by lr where nothing better is known.

use super::Session;
use crate::cortex_m::faults::{ExcReturn, IPSR, T, sp_before};
use crate::error::{Error, Kind, Result};
use crate::image::{LR, NOBODY, Names, PC, Registers, SP};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// More are a recursion, or a stack that leads in circles.
const MOST: usize = 64;
/// Bytes of the stack that are read at once: one transfer of a few milliseconds.
const CHUNK: u32 = 1024;
/// Bytes of a function that are compared, from its beginning: one transfer, and another build differs sooner (assumed).
const COMPARED: usize = 6144;

/// HardFault to UsageFault, by number.
const FAULTS: RangeInclusive<u32> = 3..=6;

/// A function that has not returned yet, or the part of one that was inlined.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Frame {
    /// The next instruction there: for a caller the one behind the call.
    pub pc: u32,
    pub sp: u32,
    /// `main+0x12`; without the number of one that was inlined.
    pub function: Option<String>,
    /// `main.c:42`
    pub line: Option<String>,
    /// Into the next frame.
    pub inlined: bool,
    /// It called nobody: the exception of this number came here.
    pub exception: Option<u32>,
    /// By lr, without the ELF's word for it, or behind one that is.
    pub guess: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Backtrace {
    /// From where the core stands outwards; at most 64.
    pub frames: Vec<Frame>,
    /// Why it goes no further, unless the last frame is one that nobody called.
    pub end: Option<String>,
    /// Why the loaded ELF was not used: it is not what the chip holds.
    pub stale: Option<String>,
}

/// The state of one frame.
#[derive(Clone, Copy)]
struct Level {
    registers: Registers,
    xpsr: u32,
    exception: Option<u32>,
    /// pc is an instruction that is not executed yet, not where a call returns to.
    exact: bool,
    guess: bool,
}

impl Level {
    /// An address of the instruction that is under way.
    fn at(&self) -> u32 {
        let pc = self.registers[PC] & !1;
        if self.exact { pc } else { pc.wrapping_sub(1) }
    }
}

/// Words of RAM, and functions that were compared.
#[derive(Default)]
struct Memory {
    chunks: BTreeMap<u32, Vec<u8>>,
    same: BTreeSet<u32>,
}

impl Session {
    /// Kind target: the core is not halted, or does not answer; kind probe. What cannot be followed is in `Backtrace::end`.
    pub fn backtrace(&mut self, core: usize) -> Result<Backtrace> {
        // By number: r0 to pc, xPSR, msp, psp.
        let wanted: Vec<_> = self.registers(core)?.into_iter().filter(|register| register.number <= 18).collect();
        let values: Vec<u32> = self.read_regs(core, &wanted)?.into_iter().map(|value| value as u32).collect();
        let mut registers = [0; 16];
        registers.copy_from_slice(&values[..16]);
        let start = Level { registers, xpsr: values[16], exception: None, exact: true, guess: false };
        let names = self.names.clone();
        let (mut memory, psp) = (Memory::default(), values[18]);
        let found = self.walk(core, &names.borrow(), start, psp, &mut memory)?;
        let Some(stale) = found.stale else { return Ok(found) };
        let bare = self.walk(core, &Names::default(), start, psp, &mut memory)?;
        Ok(Backtrace { stale: Some(stale), ..bare })
    }

    fn walk(&mut self, core: usize, names: &Names, start: Level, psp: u32, memory: &mut Memory) -> Result<Backtrace> {
        let (mut trace, mut level, mut seen) = (Backtrace::default(), start, BTreeSet::new());
        loop {
            trace.stale = self.differs(core, names, level.at(), memory)?;
            if trace.stale.is_some() {
                return Ok(trace);
            }
            trace.frames.extend(frames(names, &level));
            let next = match trace.frames.len() < MOST {
                true => self.caller(core, names, &level, psp, memory),
                false => Err(Error::image(format!("only the innermost {MOST} frames are shown"))),
            };
            trace.frames.truncate(MOST);
            let why = match next {
                Ok(Some(next)) if !seen.insert((next.registers[PC], next.registers[SP])) => "the frames go in circles".to_string(),
                Ok(Some(next)) => {
                    level = next;
                    continue;
                }
                Ok(None) => return Ok(trace),
                Err(error) if error.kind == Kind::Image => error.message,
                Err(error) => return Err(error),
            };
            trace.end = Some(why);
            return Ok(trace);
        }
    }

    /// `None`: nobody called. Kind image: why it is not known who did.
    fn caller(&mut self, core: usize, names: &Names, level: &Level, psp: u32, memory: &mut Memory) -> Result<Option<Level>> {
        let mut load = |address| self.word(core, address, memory);
        // Without the Thumb bit nothing ran here: it is where a wrong jump went.
        let jumped = level.exact && level.xpsr & T == 0;
        let lines = names.lines.as_ref().filter(|_| !jumped);
        let known = lines.map(|lines| lines.caller(level.at(), &level.registers, &mut load)).transpose()?.flatten();
        let (from, mut registers) = (level.registers[PC] & !1, known.unwrap_or(level.registers));
        if known.is_none() {
            if !level.exact {
                return Err(Error::image(format!("nothing is known of who called the function at {from:#010x}")));
            }
            registers[PC] = registers[LR];
        }
        match registers[PC] {
            NOBODY | 0 => return Ok(None),
            link if link >> 28 == 0xf => return self.interrupted(core, registers, level.xpsr, psp, memory).map(Some),
            link if link & 1 == 0 || !self.holds_code(core, names, link) => {
                return Err(Error::image(format!("{link:#010x} is nothing to return to: the stack or lr was overwritten")));
            }
            _ => {}
        }
        let (was, sp) = (level.registers[SP], registers[SP]);
        if sp < was || sp % 4 != 0 {
            return Err(Error::image(format!("the caller's stack would be at {sp:#010x}, and this one is at {was:#010x}")));
        }
        Ok(Some(Level { registers, exception: None, exact: false, guess: level.guess || known.is_none(), ..*level }))
    }

    /// In flash, RAM or ROM of the chip, or where the ELF has something, as behind a QUADSPI.
    fn holds_code(&self, core: usize, names: &Names, address: u32) -> bool {
        let roms = self.target.areas.iter().filter(|area| area.kind == "ROM").map(|area| (area.address, area.size));
        let parts = names.segments.iter().map(|segment| (segment.address, segment.data.len() as u32));
        let within = roms.chain(parts).any(|(start, size)| address.wrapping_sub(start) < size);
        within || self.ram_from(core, address).is_some() || self.banks.iter().any(|bank| bank.contains(address))
    }

    /// What ran when the exception came whose handler began with these registers, pc being its EXC_RETURN.
    fn interrupted(&mut self, core: usize, mut registers: Registers, xpsr: u32, psp: u32, memory: &mut Memory) -> Result<Level> {
        let link = ExcReturn::from(registers[PC]);
        let sp = if link.psp { psp } else { registers[SP] };
        if FAULTS.contains(&(xpsr & IPSR)) {
            let (found, mut mem, _) = self.parts(core)?;
            if found.frame_lost(&mut mem)? {
                return Err(Error::image(format!("the exception's frame is lost: CFSR says that {sp:#010x} could not be written")));
            }
        }
        let mut frame = [0; 8];
        for (word, at) in frame.iter_mut().zip((0..).step_by(4)) {
            let there = self.word(core, sp.wrapping_add(at), memory);
            *word = there.map_err(|error| Error { message: format!("the exception's frame is lost: {}", error.message), ..error })?;
        }
        let before = frame[7];
        if xpsr & IPSR == 0 || link.thread != (before & IPSR == 0) {
            let text =
                format!("what is at {sp:#010x} is no exception's frame: EXC_RETURN is {:#010x}, xPSR there {before:#010x}", registers[PC]);
            return Err(Error::image(text));
        }
        for (number, value) in [0, 1, 2, 3, 12, LR, PC].into_iter().zip(frame) {
            registers[number] = value;
        }
        registers[SP] = sp_before(sp, link.extended, before);
        Ok(Level { registers, xpsr: before, exception: Some(xpsr & IPSR), exact: true, guess: false })
    }

    /// A word of RAM. Kind image: there is none, or nothing answers.
    fn word(&mut self, core: usize, address: u32, memory: &mut Memory) -> Result<u32> {
        let kept = memory.chunks.range(..=address).next_back().map(|(start, bytes)| (address - start, bytes));
        if let Some((offset, bytes)) = kept.filter(|(offset, bytes)| offset % 4 == 0 && (*offset as usize) < bytes.len()) {
            let word = &bytes[offset as usize..][..4];
            return Ok(u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        }
        let Some(room) = self.ram_from(core, address).filter(|_| address.is_multiple_of(4)) else {
            return Err(Error::image(format!("{address:#010x} is no place for a stack")));
        };
        // The last of what a die may have need not be there.
        for len in [(room.min(CHUNK) & !3).max(4), 4] {
            let mut bytes = vec![0; len as usize];
            match self.mem(core).read(address, &mut bytes) {
                Ok(()) => {
                    memory.chunks.insert(address, bytes);
                    return self.word(core, address, memory);
                }
                Err(error) if error.is_fault() => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::image(format!("nothing answers at {address:#010x}")))
    }

    /// Why the names are of another program: the function that `at` is in is not what the chip holds.
    fn differs(&mut self, core: usize, names: &Names, at: u32, memory: &mut Memory) -> Result<Option<String>> {
        let Some((name, address, wanted)) = names.code(at).filter(|(_, address, _)| memory.same.insert(*address)) else { return Ok(None) };
        let mut there = vec![0; wanted.len().min(COMPARED)];
        match self.mem(core).read(address, &mut there) {
            Err(error) if error.is_fault() => return Ok(None),
            read => read?,
        }
        for point in self.breakpoints(core).iter().filter(|point| point.comparator.is_none()) {
            let offset = point.address.wrapping_sub(address) as usize;
            there.iter_mut().skip(offset).zip(point.original.to_le_bytes()).for_each(|(byte, was)| *byte = was);
        }
        let wrong = there.iter().zip(wanted).position(|(is, wanted)| is != wanted);
        Ok(wrong.map(|offset| format!("{} is not what the chip holds: {name} differs at {:#010x}", names.path, address + offset as u32)))
    }
}

fn frames(names: &Names, level: &Level) -> Vec<Frame> {
    let Level { registers, exception, guess, .. } = *level;
    let (pc, sp) = (registers[PC] & !1, registers[SP]);
    let mut chain = names.lines.as_ref().map_or(vec![], |lines| lines.chain(level.at()));
    let whole = chain.pop().unwrap_or_default();
    let symbol = names.symbol(level.at(), |symbol| symbol.function).map(|(symbol, _)| symbol);
    // A handler that has many names has one in the source.
    let name = whole.0.or_else(|| symbol.map(|symbol| symbol.name.clone()));
    let offset = symbol.map_or(0, |symbol| pc - symbol.address);
    let function = name.map(|name| if offset == 0 { name } else { format!("{name}+{offset:#x}") });
    let inlined = chain.into_iter().map(|(function, line)| Frame { pc, sp, function, line, inlined: true, ..Frame::default() });
    let mut frames: Vec<Frame> = inlined.chain([Frame { pc, sp, function, line: whole.1, ..Frame::default() }]).collect();
    frames.iter_mut().take(1).for_each(|first| (first.exception, first.guess) = (exception, guess));
    frames
}
