//! A fault that the core is in, or is locked up by.

use super::super::evidence::{Access, BKPT, CPACR, Evidence};
use super::{Strength, Words, dead, likely, sure};
use crate::cortex_m::faults::{
    BFAR, BFARVALID, CFSR, DACCVIOL, DEBUGEVT, DIVBYZERO, HFSR, IACCVIOL, IBUSERR, IMPRECISERR, INVSTATE, MMARVALID, MMFAR, MSTKERR,
    MUNSTKERR, NOCP, PRECISERR, STKERR, UNALIGNED, UNDEFINSTR, UNSTKERR,
};
use crate::cortex_m::{MPU_CTRL, State, VTOR};

/// A frame could not be written, or not be read.
const MEM_STACK: u32 = MUNSTKERR | MSTKERR;
const BUS_STACK: u32 = UNSTKERR | STKERR;

/// What the fault was about, where the core tells.
fn cfsr(e: &Evidence, bits: u32) -> bool {
    !e.v6m && e.faulted() && e.get(CFSR) & bits != 0
}

/// "at main+0x12 (main.c:42)"
fn place(e: &Evidence) -> String {
    e.frame.map_or("at a place that is not known".into(), |frame| format!("at {}", e.at(frame.pc())))
}

fn flags(e: &Evidence) -> String {
    let frame =
        || e.frame.map_or(e.no_frame.clone(), |frame| format!("HardFault; the frame at {:#010x} has pc = {:#010x}", frame.at, frame.pc()));
    if e.v6m { frame() } else { format!("HFSR = {:#010x}, CFSR = {:#010x}", e.get(HFSR), e.get(CFSR)) }
}

/// What the program tried to reach.
fn target(e: &Evidence) -> Option<Access> {
    let known = if e.v6m { 0 } else { e.get(CFSR) };
    let write = e.access().is_some_and(|access| access.write);
    let told = |bits: u32, register: u32| (known & bits == bits).then(|| Access { address: e.get(register), size: 4, write });
    told(PRECISERR | BFARVALID, BFAR).or(told(DACCVIOL | MMARVALID, MMFAR)).or(e.access())
}

pub fn damaged(e: &Evidence) -> Words {
    let (bank, _) = e.signs("ecc.").find(|(bank, value)| bank.len() == 1 && *value == 1 && dead(e))?;
    let number: usize = bank.parse().ok()?;
    let at = e.flash.get(number)?.start + e.sign(&format!("ecc.word.{bank}"))? * e.flash_word;
    sure(format!("The flash word at {at:#010x} is damaged."), "the flash controller found an error of two bits there")
}

pub fn nmi(e: &Evidence) -> Words {
    match (e.exception(), e.sign("css")) {
        (2, Some(1)) => sure("The clock failed: HSE stopped while the program ran.", "an NMI, and the clock security system's flag is set"),
        (2, _) => likely("An NMI came, and its handler does not end.", "IPSR = 2"),
        _ => None,
    }
}

pub fn other_table(e: &Evidence) -> Words {
    let (table, base) = (e.get(VTOR), e.base());
    let lost = table != base && e.tables.get(&table).is_none_or(|words| !(e.reset_fits(words[3]) || e.reset_fits(words[1])));
    if e.locked() && lost {
        let word = e.tables.get(&table).map_or(0, |words| words[3]);
        return sure(
            format!("VTOR points at {table:#010x}, where there is no vector table."),
            format!("the word for HardFault there is {word:#010x}"),
        );
    }
    let handled = e.exception();
    let thread = e.frame.filter(|_| handled > 6).map(|frame| frame.pc())?;
    let (own, _) = e.tables.range(..=thread).next_back()?;
    let far = *own != table && e.in_flash(table) && thread.wrapping_sub(*own) < 1 << 20;
    let cause = format!("Interrupts use the vector table at {table:#010x}, and the program's own is at {own:#010x}.");
    let handler = e.at(e.pc().unwrap_or(0));
    if far { sure(cause, format!("exception {handled} came at {}, and its handler {handler} does not end", e.at(thread))) } else { None }
}

pub fn bkpt(e: &Evidence) -> Words {
    let halted = matches!(e.state, Some(State::Halted(_)));
    let fault = e.frame.filter(|_| e.faulted() && (e.v6m || e.get(HFSR) & DEBUGEVT != 0));
    let pc = if halted { e.pc() } else { fault.map(|frame| frame.pc()) }?;
    let how = if halted { "the core is halted there" } else { "a BKPT without a debugger is a HardFault" };
    match e.opcode(pc)?[0] {
        0xBEAB => sure("The program waits for a debugger's file service (semihosting).", format!("BKPT 0xAB at {}; {how}", e.at(pc))),
        op if op >> 8 == BKPT => sure(format!("The program stops itself with BKPT {:#x} at {}.", op & 0xFF, e.at(pc)), how),
        _ => None,
    }
}

pub fn fpu_off(e: &Evidence) -> Words {
    let evidence = format!("NOCP, CPACR = {:#010x}", e.get(CPACR));
    if cfsr(e, NOCP) { sure(format!("Floating point is used before the FPU is switched on, {}.", place(e)), evidence) } else { None }
}

/// Names that linker scripts give to where the stack must not come.
const LIMITS: &[&str] = &["__stack_limit", "_end", "end", "__end__", "_ebss", "__bss_end__", "__ebss", "bss_end"];

pub fn stack_overflow(e: &Evidence) -> Words {
    let stood = e.stood?;
    let sp = if e.faulted() { e.frame.map_or(stood.msp(), |frame| frame.at) } else { stood.sp() };
    let table = e.vectors().filter(|table| e.sp_fits(table[0]))?;
    let ram = e.ram_of(table[0])?;
    if e.faulted() && !ram.contains(&sp) && e.ram_of(sp).is_none() {
        // Grown downwards, or a frame that could not be written; else it may have been set to somewhere.
        let certain = ram.start.wrapping_sub(sp) < 1 << 16 || cfsr(e, MEM_STACK | BUS_STACK) || e.v6m && e.frame.is_none();
        let cause = format!("The stack left RAM: sp is {sp:#010x}, RAM begins at {:#010x}.", ram.start);
        return if certain { sure(cause, flags(e)) } else { likely(cause, flags(e)) };
    }
    let limit = LIMITS.iter().find_map(|name| e.symbol(name)).filter(|limit| ram.contains(limit) && ram.contains(&sp) && sp < *limit)?;
    let cause = format!("The stack has grown over the program's variables: sp is {sp:#010x}, they end at {limit:#010x}.");
    if e.faulted() { sure(cause, flags(e)) } else { likely(cause, "by the symbols of the ELF") }
}

/// What it accesses; of a store that came to nothing later, what a register of then points at.
fn reaches(e: &Evidence, wanted: impl Fn(u32) -> bool) -> Option<u32> {
    if !e.faulted() {
        return None;
    }
    let pc = e.frame.map(|frame| frame.pc()).filter(|_| cfsr(e, IBUSERR | IACCVIOL));
    let late = (0..13).map(|n| e.at_fault(n)).filter(|_| cfsr(e, IMPRECISERR));
    let stack = e.stood.map(|stood| stood.msp()).filter(|_| cfsr(e, BUS_STACK));
    pc.into_iter().chain(target(e).map(|access| access.address)).chain(stack).chain(late).find(|address| wanted(*address))
}

pub fn dark_ram(e: &Evidence) -> Words {
    let start = |name: &str| u32::from_str_radix(name.trim_start_matches("0x"), 16).ok();
    let dark = |address: u32| {
        let clocks = e.signs("ram.").filter_map(|(name, on)| Some((start(name)?, on))).filter(|(at, _)| *at <= address);
        clocks.max().is_some_and(|(_, on)| on == 0) && e.ram_of(address | 1).is_some()
    };
    let address = reaches(e, dark)?;
    let evidence = format!("{}, and its bit in RCC_AHB2ENR is 0; {}", flags(e), place(e));
    sure(format!("RAM at {address:#010x} is used before its clock is on."), evidence)
}

pub fn external(e: &Evidence) -> Words {
    let address = reaches(e, |address| matches!(address >> 28, 6..=9 | 0xC | 0xD) && !e.v6m)?;
    sure(format!("The program uses external memory at {address:#010x}, which is not set up."), format!("{}; {}", flags(e), place(e)))
}

pub fn misaligned(e: &Evidence) -> Words {
    let access = e.access().filter(|_| e.v6m && e.faulted() && e.frame.is_some_and(|frame| frame.thumb()));
    let odd = access.filter(|access| !access.address.is_multiple_of(access.size));
    let verb = |write: bool| if write { "write" } else { "read" };
    let what = match odd {
        Some(Access { address, size, write }) => format!("{} of {size} bytes at {address:#010x}", verb(write)),
        None if cfsr(e, UNALIGNED) => "access".into(),
        None => return None,
    };
    sure(format!("A misaligned {what}, {}.", place(e)), flags(e))
}

pub fn mpu(e: &Evidence) -> Words {
    let what = if cfsr(e, DACCVIOL) { format!("an access to {:#010x}", e.get(MMFAR)) } else { "code there, or a stack".into() };
    let forbidden = e.get(MPU_CTRL) & 1 == 1 && cfsr(e, IACCVIOL | DACCVIOL | MEM_STACK);
    let evidence = format!("{}, MPU_CTRL = {:#x}", flags(e), e.get(MPU_CTRL));
    if forbidden { sure(format!("The MPU forbids {what}, {}.", place(e)), evidence) } else { None }
}

pub fn no_data(e: &Evidence) -> Words {
    let names = [("_sidata", "_sdata"), ("data_load", "data_start"), ("__sidata", "__sdata"), ("__etext", "__data_start__")];
    let same = names.iter().find_map(|(load, start)| e.symbol(start).filter(|start| e.symbol(load) == Some(*start)));
    let place = e.for_ram.or(same).filter(|_| e.faulted())?;
    let evidence = format!("what is to be at {place:#010x} is loaded there and nowhere else; {}", flags(e));
    sure("The initial values of variables are not in flash: nothing can copy them to RAM.", evidence)
}

pub fn wild_call(e: &Evidence) -> Words {
    let frame = e.frame.filter(|_| e.faulted())?;
    let pc = frame.pc();
    // On an H7 the ITCM is at 0: a call there runs whatever it holds.
    let null = pc < 0x400 && !e.in_flash(pc);
    let wild = null || !e.code(pc) || cfsr(e, IBUSERR | INVSTATE) || !frame.thumb();
    if !wild || cfsr(e, IACCVIOL) && e.get(MPU_CTRL) & 1 == 1 {
        return None;
    }
    let lr = frame.lr();
    let from = if e.code(lr) && lr & 1 == 1 { format!(", from {}", e.at((lr & !1).saturating_sub(2))) } else { String::new() };
    let what = match e.code(pc) && !frame.thumb() {
        _ if null => "called address 0".to_string(),
        true => format!("jumped to {pc:#010x} without the Thumb bit"),
        false => format!("jumped to {pc:#010x}, where no code is"),
    };
    sure(format!("The program {what}{from}."), format!("{}; xPSR there = {:#010x}", flags(e), frame.words[7]))
}

/// 32-bit instructions that ARMv6-M has: BL, and DMB, DSB, ISB, MRS, MSR, UDF (DDI0419 A5.3).
fn wide_of_v6m([first, second]: [u16; 2]) -> bool {
    first >> 11 == 0b11110 && (second >> 14 == 0b11 && second >> 12 & 1 == 1 || second >> 14 == 0b10)
}

pub fn other_core(e: &Evidence) -> Words {
    let frame = e.frame.filter(|frame| e.faulted() && frame.thumb() && e.in_flash(frame.pc()))?;
    let code = e.opcode(frame.pc())?;
    let wide = code[0] >> 11 >= 0b11101;
    let on_purpose = code[0] >> 8 == 0xDE || code[0] == 0xFFFF;
    let foreign = if e.v6m { wide && !wide_of_v6m(code) } else { cfsr(e, UNDEFINSTR) } && !on_purpose;
    let words = format!("{:04x} {:04x}", code[0], code[1]);
    let cause = format!("This code is for another core: a {} does not have the instruction {words}, {}.", e.part, place(e));
    match (foreign, e.v6m) {
        (true, true) => sure(cause, flags(e)),
        (true, false) => likely(cause, flags(e)),
        _ => None,
    }
}

pub fn double_fault(e: &Evidence) -> Words {
    let table = e.tables.get(&e.get(VTOR)).filter(|table| e.locked() && e.table_fits(table))?;
    let first = e.frame.map_or(String::new(), |frame| format!("; the first crash was at {}", e.at(frame.pc())));
    let evidence = format!("locked up; HardFault is at {}; {}", e.at(table[3]), flags(e));
    likely(format!("The handler for crashes crashed, too{first}."), evidence)
}

pub fn crash(e: &Evidence) -> Words {
    if !e.faulted() || e.exception() == 2 && !e.locked() || e.locked() && e.frame.is_none() {
        return None;
    }
    let code = e.frame.and_then(|frame| e.opcode(frame.pc())).map_or(0, |[op, _]| op);
    let what = match target(e) {
        _ if cfsr(e, DIVBYZERO) => "it divided by zero".to_string(),
        _ if code == 0xFFFF => "it ran into erased flash".into(),
        _ if code >> 8 == 0xDE => "an instruction that is undefined on purpose (a trap of the compiler's)".into(),
        _ if code >> 8 == 0xDF => "a service call (SVC) where none may be made".into(),
        _ if cfsr(e, IMPRECISERR) => "an earlier write went to where nothing is".into(),
        Some(Access { address, write, .. }) if e.v6m || cfsr(e, PRECISERR) => {
            format!("it {} {address:#010x}, where nothing is", if write { "wrote to" } else { "read" })
        }
        _ if e.v6m => "an ARMv6-M core keeps no reason".into(),
        _ => "see the fault flags".into(),
    };
    let strength = if e.frame.is_some() { Strength::Likely } else { Strength::Hint };
    Some((strength, format!("The program crashed {}: {what}.", place(e)), flags(e)))
}
