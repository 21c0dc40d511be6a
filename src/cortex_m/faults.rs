//! Why a core faulted, in words and numbers: HFSR and CFSR (DDI0403 B3.2.15, B3.2.16), which ARMv6-M does not have.

use super::{Core, DEMCR, VTOR, registers};
use crate::adi::MemAp;
use crate::error::Result;
use crate::probe::MemOp;

pub const CFSR: u32 = 0xE000_ED28;
pub const HFSR: u32 = 0xE000_ED2C;
pub const MMFAR: u32 = 0xE000_ED34;
pub const BFAR: u32 = 0xE000_ED38;
/// Bits of HFSR, then of CFSR.
pub const DEBUGEVT: u32 = 1 << 31;
pub const IACCVIOL: u32 = 1 << 0;
pub const DACCVIOL: u32 = 1 << 1;
pub const MUNSTKERR: u32 = 1 << 3;
pub const MSTKERR: u32 = 1 << 4;
pub const MMARVALID: u32 = 1 << 7;
pub const IBUSERR: u32 = 1 << 8;
pub const PRECISERR: u32 = 1 << 9;
pub const IMPRECISERR: u32 = 1 << 10;
pub const UNSTKERR: u32 = 1 << 11;
pub const STKERR: u32 = 1 << 12;
pub const BFARVALID: u32 = 1 << 15;
pub const UNDEFINSTR: u32 = 1 << 16;
pub const INVSTATE: u32 = 1 << 17;
pub const NOCP: u32 = 1 << 19;
pub const UNALIGNED: u32 = 1 << 24;
pub const DIVBYZERO: u32 = 1 << 25;
/// xPSR: the Thumb bit, the exception's number, and of a pushed one whether sp was aligned by 4 (B1.4.2, B1.5.7).
pub const T: u32 = 1 << 24;
pub const IPSR: u32 = 0x1FF;
const ALIGNED: u32 = 1 << 9;
/// DEMCR, DDI0403 and DDI0419, C1.6.5
const VC_HARDERR: u32 = 1 << 10;
const LR: u32 = 14;

/// What lr holds at the start of a handler, EXC_RETURN (DDI0403 and DDI0419, B1.5.8), taken apart.
#[derive(Clone, Copy, Debug)]
pub struct ExcReturn {
    /// lr is one: what called something holds another.
    pub valid: bool,
    /// The frame is on the process stack.
    pub psp: bool,
    /// Thread mode was interrupted, and no handler.
    pub thread: bool,
    /// The FPU's registers are in the frame.
    pub extended: bool,
}

impl From<u32> for ExcReturn {
    fn from(lr: u32) -> ExcReturn {
        ExcReturn { valid: lr >= 0xFFFF_FFE1, psp: lr & 4 != 0, thread: lr & 8 != 0, extended: lr & 0x10 == 0 }
    }
}

/// The stack pointer before an exception pushed the frame at `at`, in which xPSR is this (DDI0403 B1.5.6, B1.5.7).
pub fn sp_before(at: u32, extended: bool, xpsr: u32) -> u32 {
    let size = if extended { 0x68 } else { 0x20 };
    at.wrapping_add(size).wrapping_add(if xpsr & ALIGNED != 0 { 4 } else { 0 })
}

/// By number, from 2 on (DDI0403E B1.5.2).
pub fn exception_name(number: u32) -> Option<&'static str> {
    const NAMES: &[&str] = &["NMI", "HardFault", "MemManage", "BusFault", "UsageFault", "SecureFault"];
    const LATER: &[(u32, &str)] = &[(11, "SVCall"), (12, "DebugMonitor"), (14, "PendSV"), (15, "SysTick")];
    let early = number.checked_sub(2).and_then(|index| NAMES.get(index as usize)).copied();
    early.or_else(|| LATER.iter().find(|row| row.0 == number).map(|row| row.1))
}

/// Bit, its name, what a program did that sets it.
type Flag = (u32, &'static str, &'static str);

/// HFSR.FORCED only says that CFSR has the reason.
const HFSR_FLAGS: &[Flag] = &[(1 << 1, "VECTTBL", "the vector table cannot be read"), (DEBUGEVT, "DEBUGEVT", "a BKPT without a debugger")];

const CFSR_FLAGS: &[Flag] = &[
    (IACCVIOL, "IACCVIOL", "a jump to where no code may run"),
    (DACCVIOL, "DACCVIOL", "an access that the MPU refuses"),
    (MUNSTKERR, "MUNSTKERR", "an exception's return from a stack that the MPU refuses"),
    (MSTKERR, "MSTKERR", "an exception's frame on a stack that the MPU refuses"),
    (1 << 5, "MLSPERR", "floating-point state saved where the MPU refuses it"),
    (IBUSERR, "IBUSERR", "a jump to where nothing answers"),
    (PRECISERR, "PRECISERR", "an access where nothing answers"),
    (IMPRECISERR, "IMPRECISERR", "an earlier access where nothing answers"),
    (UNSTKERR, "UNSTKERR", "an exception's return from a stack where nothing answers"),
    (STKERR, "STKERR", "an exception's frame on a stack where nothing answers"),
    (1 << 13, "LSPERR", "floating-point state saved where nothing answers"),
    (UNDEFINSTR, "UNDEFINSTR", "an undefined instruction"),
    (INVSTATE, "INVSTATE", "a jump to an address without the Thumb bit"),
    (1 << 18, "INVPC", "a wrong return from an exception"),
    (NOCP, "NOCP", "a floating-point instruction with the FPU off"),
    (UNALIGNED, "UNALIGNED", "an unaligned access"),
    (DIVBYZERO, "DIVBYZERO", "a division by zero"),
];

fn words(flags: &[Flag], value: u32) -> impl Iterator<Item = String> {
    let set = flags.iter().filter(move |flag| value & flag.0 != 0);
    set.map(|(_, name, what)| format!("{name}, {what}"))
}

/// "HardFault: INVSTATE, a jump to …; STKERR, … (HFSR = 0x40000000, CFSR = 0x00021000)"
pub fn explained(hfsr: u32, cfsr: u32, mmfar: u32, bfar: u32) -> String {
    let mut reasons: Vec<String> = words(HFSR_FLAGS, hfsr).chain(words(CFSR_FLAGS, cfsr)).collect();
    for (flag, valid, address) in [(DACCVIOL, MMARVALID, mmfar), (PRECISERR, BFARVALID, bfar)] {
        if cfsr & flag != 0 && cfsr & valid != 0 {
            reasons.push(format!("at address {address:#010x}"));
        }
    }
    if reasons.is_empty() {
        reasons.push("no reason is kept".to_string());
    }
    format!("HardFault: {} (HFSR = {hfsr:#010x}, CFSR = {cfsr:#010x})", reasons.join("; "))
}

/// Peripherals, devices and the private bus (DDI0419 B3.1).
fn never_executable(address: u32) -> bool {
    matches!(address >> 29, 2 | 5..=7)
}

impl Core {
    /// A BKPT halts the core from now on, also after a reset.
    pub fn debugged(&mut self, mem: &mut MemAp) -> Result<()> {
        if std::mem::replace(&mut self.debugged, true) { Ok(()) } else { self.debug_enabled(mem) }
    }

    /// A HardFault halts the core where it comes (`true`), or does what it did when the core was found.
    pub fn catch_faults(&mut self, mem: &mut MemAp, catch: bool) -> Result<()> {
        mem.update(DEMCR, VC_HARDERR, if catch { VC_HARDERR } else { self.found_demcr & VC_HARDERR }).map(|_| ())
    }

    /// The first two words of the vector table in use: where it is, stack pointer, reset vector.
    pub fn vectors(&mut self, mem: &mut MemAp) -> Result<(u32, u32, u32)> {
        let vtor = mem.read32(VTOR)?;
        Ok((vtor, mem.read32(vtor)?, mem.read32(vtor.wrapping_add(4))?))
    }

    /// What the fault registers say, of a core in any state; `None` for ARMv6-M, which has none. The flags add up until a
    /// reset or the program clears them.
    pub fn fault_flags(&mut self, mem: &mut MemAp) -> Result<Option<String>> {
        if self.part.v6m {
            return Ok(None);
        }
        let mut ops = [HFSR, CFSR, MMFAR, BFAR].map(MemOp::read);
        mem.batch(&mut ops)?;
        let [hfsr, cfsr, mmfar, bfar] = ops.map(|op| op.value());
        Ok(Some(explained(hfsr, cfsr, mmfar, bfar)))
    }

    /// The frame of the last fault was not written, or not all of it; ARMv6-M does not tell.
    pub fn frame_lost(&mut self, mem: &mut MemAp) -> Result<bool> {
        Ok(!self.part.v6m && mem.read32(CFSR)? & (MSTKERR | STKERR) != 0)
    }

    /// Of a halted core that was locked up or has just come into its HardFault: the stack pointer, and pc and xPSR when the
    /// HardFault came, by the frame there (DDI0403 and DDI0419, B1.5.6); `None` if nothing answers.
    pub fn fault_frame(&mut self, mem: &mut MemAp) -> Result<(u32, Option<[u32; 2]>)> {
        let from = self.read_core(mem, &[LR, registers::MSP, registers::MSP + 1])?;
        // An EXC_RETURN to psp (B1.5.8) is still there, unless the handler has called something.
        let link = ExcReturn::from(from[0]);
        let sp = if link.valid && link.psp { from[2] } else { from[1] };
        let mut frame = [0; 8];
        let there = mem.read(sp.wrapping_add(24), &mut frame).is_ok();
        let words = || [0, 4].map(|at| u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]));
        Ok((sp, there.then(words)))
    }

    /// Where the HardFault of such a core came, which `at` names, and the instruction there.
    pub fn fault_place(&mut self, mem: &mut MemAp, at: &dyn Fn(u32) -> String) -> Result<String> {
        let (sp, frame) = self.fault_frame(mem)?;
        let Some([pc, xpsr]) = frame else {
            return Ok(format!("HardFault, and no frame on the stack: nothing answers at sp = {sp:#010x}"));
        };
        let place = at(pc);
        if never_executable(pc) {
            return Ok(format!("HardFault at {place}, where no code may run"));
        }
        let mut code = [0; 2];
        match mem.read(pc, &mut code) {
            Ok(()) if xpsr & T != 0 => Ok(format!("HardFault at {place}, instruction {:#06x}", u16::from_le_bytes(code))),
            Ok(()) => Ok(format!("HardFault at {place}: a jump to an address without the Thumb bit (xPSR = {xpsr:#010x})")),
            Err(_) => Ok(format!("HardFault at {place}, where nothing answers")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_has_its_words_its_address_and_the_registers() {
        let text = explained(1 << 30, PRECISERR | BFARVALID, 0x1111_1111, 0x7000_0000);
        let wanted = "HardFault: PRECISERR, an access where nothing answers; at address 0x70000000 (HFSR = 0x40000000, CFSR = 0x00008200)";
        assert_eq!(text, wanted);
        let text = explained(1 << 30, 0x0002_1000, 0, 0);
        assert!(text.starts_with("HardFault: STKERR, an exception's frame on a stack where nothing answers; INVSTATE, a jump"), "{text}");
        assert_eq!(explained(2, 0, 0, 0), "HardFault: VECTTBL, the vector table cannot be read (HFSR = 0x00000002, CFSR = 0x00000000)");
        assert_eq!(explained(0, 0, 0, 0), "HardFault: no reason is kept (HFSR = 0x00000000, CFSR = 0x00000000)");
    }

    #[test]
    fn every_flag_is_one_bit_and_none_comes_twice() {
        for flags in [HFSR_FLAGS, CFSR_FLAGS] {
            assert!(flags.iter().all(|flag| flag.0.is_power_of_two()));
            assert_eq!(
                flags.iter().fold(0, |sum, flag| sum + u64::from(flag.0)),
                u64::from(flags.iter().fold(0, |sum, flag| sum | flag.0))
            );
        }
    }
}
