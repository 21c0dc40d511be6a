//! Machine code as text: crate capstone behind one type, and the command `disassemble`.

use super::memory::{fetch, opt_address};
use super::{Args, Command, Cx, Value};
use crate::error::{Error, Kind, Result};
use capstone::Capstone;
use capstone::arch::arm::{ArchExtraMode, ArchMode};
use capstone::arch::{BuildsCapstone, BuildsCapstoneExtraMode};

pub const COMMANDS: &[Command] = &[Command::new(
    "disassemble [<addr> [<n:num>]]",
    "Show instructions of memory: 8 from the pc of a halted core, or n from an address",
    "reset halt; disassemble; disassemble 0x08000100 4",
    disassemble,
)];

/// Lines without a number.
const LINES: u64 = 8;
/// A screen is 50 lines; 16 KiB of code is more than anybody reads, and keeps a mistyped number harmless.
const MOST: u64 = 4096;

/// The pc of a core in lockup, where no instruction is (DDI0403E B1.5.15).
const LOCKUP: u32 = 0xFFFF_FFFE;

/// What stands for a code that no manual gives a meaning.
pub const UNKNOWN: &str = "(unknown)";

/// One instruction in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    pub pc: u32,
    /// A 32-bit one has its first half word on top, which is 0xE800 or more (DDI0403E A5.1).
    pub opcode: u32,
}

impl Code {
    fn wide(self) -> bool {
        self.opcode >= 0xE800_0000
    }

    /// As memory holds it: half words, each little-endian.
    fn bytes(self) -> Vec<u8> {
        let halves = if self.wide() { vec![self.opcode >> 16, self.opcode] } else { vec![self.opcode] };
        halves.iter().flat_map(|half| (*half as u16).to_le_bytes()).collect()
    }

    /// How many of the next instructions an IT makes conditional: by the lowest bit of its mask (DDI0403E A7.3.2).
    fn it(self) -> u32 {
        let mask = self.opcode & 0xF;
        if !self.wide() && self.opcode & 0xFF00 == 0xBF00 && mask != 0 { 4 - mask.trailing_zeros() } else { 0 }
    }
}

/// The instruction at the start of `bytes`, if all of it is there.
fn first(pc: u32, bytes: &[u8]) -> Option<Code> {
    let half = |at: usize| bytes.get(at..at + 2).map(|half| u32::from(half[0]) | u32::from(half[1]) << 8);
    let one = half(0)?;
    let opcode = if one >= 0xE800 { one << 16 | half(2)? } else { one };
    Some(Code { pc, opcode })
}

/// Thumb as ARMv7E-M has it, with the FPv5 that capstone counts to ARMv8.
pub struct Disassembler {
    engine: Capstone,
    /// From an IT on: capstone knows what is conditional only when it sees the block whole.
    block: Vec<u8>,
    block_pc: u32,
    left: u32,
}

impl Disassembler {
    /// Kind bug: capstone was built without ARM.
    pub fn new() -> Result<Disassembler> {
        let extra = [ArchExtraMode::MClass, ArchExtraMode::V8];
        let engine = Capstone::new().arm().mode(ArchMode::Thumb).extra_mode(extra.into_iter()).build();
        let engine = engine.map_err(|error| Error::new(Kind::Bug, format!("no disassembler: {error}")))?;
        Ok(Disassembler { engine, block: Vec::new(), block_pc: 0, left: 0 })
    }

    /// `movs r0, #1`, or `UNKNOWN`. Instructions are to be given in order where they follow an IT.
    pub fn text(&mut self, code: Code) -> String {
        let bytes = code.bytes();
        let next = self.block_pc.wrapping_add(self.block.len() as u32);
        if self.left > 0 && code.pc == next {
            self.left -= 1;
            self.block.extend(bytes);
            return self.last(self.block_pc, &self.block, code.pc);
        }
        if code.it() > 0 {
            (self.block, self.block_pc, self.left) = (bytes.clone(), code.pc, code.it());
        }
        self.last(code.pc, &bytes, code.pc)
    }

    /// The text of the instruction at `pc`, the last one of `bytes`.
    fn last(&self, from: u32, bytes: &[u8], pc: u32) -> String {
        let found = self.engine.disasm_all(bytes, from.into()).ok();
        let last = found.as_ref().and_then(|found| found.iter().last()).filter(|insn| insn.address() == u64::from(pc));
        let words = last.map(|insn| format!("{} {}", insn.mnemonic().unwrap_or_default(), insn.op_str().unwrap_or_default()));
        words.map_or(UNKNOWN.to_string(), |words| words.trim_end().to_string())
    }
}

/// `0x08000110 <main+0x4> 4b01      ldr r3, [pc, #4]`
pub fn line(cx: &Cx, code: Code, text: &str) -> String {
    let place = cx.names.borrow().place(code.pc).map_or(String::new(), |place| format!(" <{place}>"));
    let opcode =
        if code.wide() { format!("{:04x} {:04x}", code.opcode >> 16, code.opcode & 0xFFFF) } else { format!("{:04x}", code.opcode) };
    format!("{:#010x}{place} {opcode:9} {text}", code.pc)
}

pub fn row(code: Code, text: &str) -> [(&'static str, Value); 3] {
    [("pc", code.pc.into()), ("opcode", code.opcode.into()), ("text", text.into())]
}

fn disassemble(cx: &Cx, args: &Args) -> Result<Value> {
    let count = args.opt_num("n").unwrap_or(LINES);
    if count > MOST {
        return Err(Error::usage(format!("{count} instructions are more than {MOST}, which is the most at a time")));
    }
    let from = match opt_address(args, "addr") {
        Some(address) => address & !1,
        None => pc(cx)?,
    };
    if from == LOCKUP {
        return Err(Error::command(format!("no instruction is at {LOCKUP:#010x}: this is the pc of a core that is locked up"))
            .hint("`reset halt` halts it where it starts; `disassemble <addr>` shows other code"));
    }
    let mut engine = Disassembler::new()?;
    let listing: Vec<_> = read(cx, from, count as usize)?.into_iter().map(|code| (code, engine.text(code))).collect();
    let lines: Vec<_> = listing.iter().map(|(code, text)| line(cx, *code, text)).collect();
    let rows: Vec<_> = listing.iter().map(|(code, text)| Value::map(row(*code, text))).collect();
    Ok(Value::shown(rows, lines.join("\n")))
}

fn pc(cx: &Cx) -> Result<u32> {
    let core = cx.core.get();
    let mut session = cx.session()?;
    let registers = session.registers(core)?;
    let pc = registers.into_iter().find(|register| register.name == "pc");
    let pc = pc.ok_or_else(|| Error::new(Kind::Bug, "this core has no register `pc`"))?;
    Ok(session.read_reg(core, pc)? as u32)
}

/// No byte is read that is not part of one of the `count` instructions: what lies behind may not be readable.
fn read(cx: &Cx, from: u32, count: usize) -> Result<Vec<Code>> {
    let (mut bytes, mut at, mut codes) = (Vec::new(), 0, Vec::new());
    while codes.len() < count {
        let missing = 2 * (count - codes.len()).max(1);
        let here = from.wrapping_add(bytes.len() as u32);
        bytes.extend(fetch(cx, here, missing, Some(crate::probe::Width::Half))?);
        while let Some(code) = first(from.wrapping_add(at as u32), &bytes[at..]) {
            if codes.len() == count {
                break;
            }
            at += code.bytes().len();
            codes.push(code);
        }
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(codes: &[(u32, u32)]) -> Vec<String> {
        let mut engine = Disassembler::new().unwrap();
        codes.iter().map(|(pc, opcode)| engine.text(Code { pc: *pc, opcode: *opcode })).collect()
    }

    #[test]
    fn integer_system_and_floating_point_code_is_known() {
        let codes =
            [(0, 0x2006), (0, 0xF3EF_8008), (0, 0xEE20_0A01), (0, 0xEEBF_0B00), (0, 0xFE00_0A01), (0x0800_0000, 0xE7FE), (0, 0xBF30)];
        let known = [
            "movs r0, #6",
            "mrs r0, msp",
            "vmul.f32 s0, s0, s2",
            "vmov.f64 d0, #-1.000000e+00",
            "vseleq.f32 s0, s0, s2",
            "b #0x8000000",
            "wfi",
        ];
        assert_eq!(texts(&codes), known);
    }

    #[test]
    fn what_an_it_makes_conditional_says_so_even_around_an_interrupt() {
        let block = [(0x10, 0xBF0C), (0x12, 0x2001), (0x100, 0x2007), (0x14, 0x2002), (0x16, 0x2003)];
        assert_eq!(texts(&block), ["ite eq", "moveq r0, #1", "movs r0, #7", "movne r0, #2", "movs r0, #3"]);
    }

    #[test]
    fn an_unknown_code_says_so_and_hides_nothing_behind_it() {
        assert_eq!(texts(&[(0, 0xFFFF_FFFF), (4, 0xBF00)]), [UNKNOWN, "nop"]);
    }
}
