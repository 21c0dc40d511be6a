//! Why a core faulted, in words and numbers: HFSR and CFSR (DDI0403 B3.2.15, B3.2.16), which ARMv6-M does not have.

use super::{Core, DEMCR, VTOR, registers};
use crate::adi::MemAp;
use crate::error::Result;
use crate::probe::MemOp;

const CFSR: u32 = 0xE000_ED28;
const HFSR: u32 = 0xE000_ED2C;
const MMFAR: u32 = 0xE000_ED34;
const BFAR: u32 = 0xE000_ED38;
const MMARVALID: u32 = 1 << 7;
const BFARVALID: u32 = 1 << 15;
const DACCVIOL: u32 = 1 << 1;
const MSTKERR: u32 = 1 << 4;
const PRECISERR: u32 = 1 << 9;
const STKERR: u32 = 1 << 12;
/// DEMCR, DDI0403 and DDI0419, C1.6.5
const VC_HARDERR: u32 = 1 << 10;
const LR: u32 = 14;
const EXC_RETURN: u32 = 0xFFFF_FFE0;
const SPSEL: u32 = 1 << 2;

/// Bit, its name, what a program did that sets it.
type Flag = (u32, &'static str, &'static str);

/// HFSR.FORCED only says that CFSR has the reason.
const HFSR_FLAGS: &[Flag] = &[(1 << 1, "VECTTBL", "the vector table cannot be read"), (1 << 31, "DEBUGEVT", "a BKPT without a debugger")];

const CFSR_FLAGS: &[Flag] = &[
    (1 << 0, "IACCVIOL", "a jump to where no code may run"),
    (DACCVIOL, "DACCVIOL", "an access that the MPU refuses"),
    (1 << 3, "MUNSTKERR", "an exception's return from a stack that the MPU refuses"),
    (MSTKERR, "MSTKERR", "an exception's frame on a stack that the MPU refuses"),
    (1 << 5, "MLSPERR", "floating-point state saved where the MPU refuses it"),
    (1 << 8, "IBUSERR", "a jump to where nothing answers"),
    (PRECISERR, "PRECISERR", "an access where nothing answers"),
    (1 << 10, "IMPRECISERR", "an earlier access where nothing answers"),
    (1 << 11, "UNSTKERR", "an exception's return from a stack where nothing answers"),
    (STKERR, "STKERR", "an exception's frame on a stack where nothing answers"),
    (1 << 13, "LSPERR", "floating-point state saved where nothing answers"),
    (1 << 16, "UNDEFINSTR", "an undefined instruction"),
    (1 << 17, "INVSTATE", "a jump to an address without the Thumb bit"),
    (1 << 18, "INVPC", "a wrong return from an exception"),
    (1 << 19, "NOCP", "a floating-point instruction with the FPU off"),
    (1 << 24, "UNALIGNED", "an unaligned access"),
    (1 << 25, "DIVBYZERO", "a division by zero"),
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
        let sp = if from[0] >= EXC_RETURN && from[0] & SPSEL != 0 { from[2] } else { from[1] };
        let mut frame = [0; 8];
        let there = mem.read(sp.wrapping_add(24), &mut frame).is_ok();
        let words = || [0, 4].map(|at| u32::from_le_bytes([frame[at], frame[at + 1], frame[at + 2], frame[at + 3]]));
        Ok((sp, there.then(words)))
    }

    /// Where the HardFault of such a core came, which `at` names, and the instruction there.
    pub fn fault_place(&mut self, mem: &mut MemAp, at: &dyn Fn(u32) -> String) -> Result<String> {
        const T: u32 = 1 << 24;
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
