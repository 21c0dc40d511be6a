//! Who called: an ELF's call frame information (DWARF 5, 6.4), by crate gimli. r0 to r15 have these numbers (AADWARF32, 4.1).

use super::Lines;
use crate::error::{Error, Result};
use addr2line::gimli::{self, BaseAddresses, CfaRule, DebugFrame, Register, RegisterRule, UnwindContext, UnwindSection};

/// r0 to r15.
pub type Registers = [u32; 16];

pub const SP: usize = 13;
pub const LR: usize = 14;
pub const PC: usize = 15;

/// What lr holds after a reset (DDI0403E B1.5.5): nobody called.
pub const NOBODY: u32 = u32::MAX;

impl Lines {
    /// What the registers were where the function was called that the instruction at `at` is of; pc is what it returns to.
    /// `load` reads words of the stack. `None`: there is no information about this instruction. Kind image: it is damaged, or
    /// of a form that no compiler for these cores makes.
    pub fn caller(&self, at: u32, registers: &Registers, load: &mut dyn FnMut(u32) -> Result<u32>) -> Result<Option<Registers>> {
        let Some(section) = self.frames() else { return Ok(None) };
        let mut context = UnwindContext::new();
        let row = section.unwind_info_for_address(&BaseAddresses::default(), &mut context, at.into(), DebugFrame::cie_from_offset);
        let row = match row {
            Ok(row) => row,
            Err(gimli::Error::NoUnwindInfoForAddress) => return Ok(None),
            Err(error) => return Err(damaged(at, &error.to_string())),
        };
        let known = |Register(number): Register| {
            registers.get(usize::from(number)).copied().ok_or_else(|| damaged(at, "a rule names a register that is none"))
        };
        let CfaRule::RegisterAndOffset { register, offset } = row.cfa() else { return Err(damaged(at, "the frame is an expression")) };
        let cfa = known(*register)?.wrapping_add(*offset as u32);
        let mut caller = *registers;
        caller[SP] = cfa;
        for (register, rule) in row.registers() {
            // The FPU's have other numbers.
            let Some(value) = caller.get_mut(usize::from(register.0)) else { continue };
            *value = match rule {
                RegisterRule::Offset(offset) => load(cfa.wrapping_add(*offset as u32))?,
                RegisterRule::ValOffset(offset) => cfa.wrapping_add(*offset as u32),
                RegisterRule::Register(other) => known(*other)?,
                RegisterRule::Undefined if usize::from(register.0) == LR => NOBODY,
                RegisterRule::Undefined | RegisterRule::SameValue => continue,
                _ => return Err(damaged(at, "a register is an expression")),
            };
        }
        caller[PC] = caller[LR];
        Ok(Some(caller))
    }
}

fn damaged(at: u32, why: &str) -> Error {
    Error::image(format!("the unwind information (.debug_frame) for {at:#010x} cannot be used: {why}"))
}
