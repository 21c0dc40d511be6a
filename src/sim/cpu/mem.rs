//! Loads, stores and table branches (DDI0403E A7.7). A multiple access commits its registers only when all of it succeeded.

use super::Core;
use super::decode::Insn;
use super::exec::{Done, Trap};
use crate::sim::bus::Bus;
use crate::sim::chip::Size;

const WORD: Size = Size::Word;
const HALF: Size = Size::Half;
const BYTE: Size = Size::Byte;

impl Core {
    fn offset(&self, base: u32, i: &Insn, offset: u32) -> u32 {
        if i.add { base.wrapping_add(offset) } else { base.wrapping_sub(offset) }
    }

    fn base(&self, i: &Insn) -> u32 {
        self.r[i.n as usize & 15]
    }

    /// Rn + (Rm << imm2)
    fn indexed(&self, i: &Insn) -> u32 {
        self.base(i).wrapping_add(self.r[i.m as usize & 15] << (i.imm & 3))
    }

    /// Align(PC, 4) ± imm12
    fn literal(&self, i: &Insn) -> u32 {
        self.offset(self.r[15] & !3, i, i.imm)
    }

    /// Address of the access and what Rn becomes, for the forms with P, U and W.
    fn pre_or_post(&self, i: &Insn) -> Result<(u32, u32), Trap> {
        if !i.index && !i.wback {
            return Err(Trap::Undefined);
        }
        let base = self.base(i);
        let moved = self.offset(base, i, i.imm);
        Ok((if i.index { moved } else { base }, if i.wback { moved } else { base }))
    }

    fn store_reg(&mut self, bus: &mut Bus, i: &Insn, address: u32, size: Size) -> Done {
        self.store(bus, address, size, self.r[i.t as usize & 15])
    }

    fn load_reg(&mut self, bus: &mut Bus, i: &Insn, address: u32, size: Size, signed: bool) -> Done {
        let raw = self.load(bus, address, size)?;
        self.set_loaded(i.t, extend(raw, size, signed))
    }

    /// A load's destination: PC takes the value as BX does.
    fn set_loaded(&mut self, t: u8, value: u32) -> Done {
        if t == 15 {
            return self.interwork(value, true);
        }
        self.set(t, value);
        Ok(())
    }

    /// STR, LDR with P, U, W. The write-back comes last, so a fault leaves Rn as it was.
    fn store_indexed(&mut self, bus: &mut Bus, i: &Insn, size: Size) -> Done {
        let (address, after) = self.pre_or_post(i)?;
        self.unprivileged = unprivileged(i);
        let done = self.store_reg(bus, i, address, size);
        self.unprivileged = false;
        done?;
        self.set(i.n, after);
        Ok(())
    }

    fn load_indexed(&mut self, bus: &mut Bus, i: &Insn, size: Size, signed: bool) -> Done {
        let (address, after) = self.pre_or_post(i)?;
        self.unprivileged = unprivileged(i);
        let raw = self.load(bus, address, size);
        self.unprivileged = false;
        let raw = raw?;
        self.set(i.n, after);
        self.set_loaded(i.t, extend(raw, size, signed))
    }

    fn load_many(&mut self, bus: &mut Bus, from: u32, list: u32, n: u8, after: Option<u32>) -> Done {
        let mut values = [0; 16];
        let mut address = from;
        let listed = |register: &u8| list >> register & 1 != 0;
        for register in (0..16).filter(listed) {
            values[register as usize] = self.load_aligned(bus, address, WORD)?;
            address = address.wrapping_add(4);
        }
        if let Some(after) = after {
            self.set(n, after);
        }
        (0..15).filter(listed).for_each(|register| self.set(register, values[register as usize]));
        if list >> 15 != 0 { self.interwork(values[15], true) } else { Ok(()) }
    }

    fn store_many(&mut self, bus: &mut Bus, from: u32, list: u32, n: u8, after: Option<u32>) -> Done {
        let done = std::mem::take(&mut self.partial);
        let first = if done.0 == self.pc { done.1 } else { 0 };
        let registers = (0..15).filter(|register| list >> register & 1 != 0);
        for (index, register) in registers.enumerate().skip(first as usize) {
            let stored = self.store_aligned(bus, from.wrapping_add(4 * index as u32), WORD, self.r[register]);
            if let Err(trap) = stored {
                self.partial = (self.pc, index as u32);
                return Err(trap);
            }
        }
        if let Some(after) = after {
            self.set(n, after);
        }
        Ok(())
    }
}

/// P, U, W = 1, 1, 0 name LDRT, STRT and kin.
fn unprivileged(i: &Insn) -> bool {
    i.index && i.add && !i.wback
}

pub fn extend(raw: u32, size: Size, signed: bool) -> u32 {
    match (size, signed) {
        (Size::Byte, true) => raw as i8 as u32,
        (Size::Half, true) => raw as i16 as u32,
        _ => raw,
    }
}

macro_rules! ops {
    ($($(#[$meta:meta])* $name:ident($c:ident, $bus:ident, $i:ident) $body:block)*) => {
        $($(#[$meta])* pub fn $name($c: &mut Core, $bus: &mut Bus, $i: &Insn) -> Done { $body })*
    };
}

// ---- one register ----
ops! {
    str_off(c, bus, i) { c.store_reg(bus, i, c.base(i).wrapping_add(i.imm), WORD) }
    strh_off(c, bus, i) { c.store_reg(bus, i, c.base(i).wrapping_add(i.imm), HALF) }
    strb_off(c, bus, i) { c.store_reg(bus, i, c.base(i).wrapping_add(i.imm), BYTE) }
    ldr_off(c, bus, i) { c.load_reg(bus, i, c.base(i).wrapping_add(i.imm), WORD, false) }
    ldrh_off(c, bus, i) { c.load_reg(bus, i, c.base(i).wrapping_add(i.imm), HALF, false) }
    ldrb_off(c, bus, i) { c.load_reg(bus, i, c.base(i).wrapping_add(i.imm), BYTE, false) }
    ldrsh_off(c, bus, i) { c.load_reg(bus, i, c.base(i).wrapping_add(i.imm), HALF, true) }
    ldrsb_off(c, bus, i) { c.load_reg(bus, i, c.base(i).wrapping_add(i.imm), BYTE, true) }
    str_reg(c, bus, i) { c.store_reg(bus, i, c.indexed(i), WORD) }
    strh_reg(c, bus, i) { c.store_reg(bus, i, c.indexed(i), HALF) }
    strb_reg(c, bus, i) { c.store_reg(bus, i, c.indexed(i), BYTE) }
    ldr_reg(c, bus, i) { c.load_reg(bus, i, c.indexed(i), WORD, false) }
    ldrh_reg(c, bus, i) { c.load_reg(bus, i, c.indexed(i), HALF, false) }
    ldrb_reg(c, bus, i) { c.load_reg(bus, i, c.indexed(i), BYTE, false) }
    ldrsh_reg(c, bus, i) { c.load_reg(bus, i, c.indexed(i), HALF, true) }
    ldrsb_reg(c, bus, i) { c.load_reg(bus, i, c.indexed(i), BYTE, true) }
    str_sp(c, bus, i) { c.store_reg(bus, i, c.r[13].wrapping_add(i.imm), WORD) }
    ldr_sp(c, bus, i) { c.load_reg(bus, i, c.r[13].wrapping_add(i.imm), WORD, false) }
    ldr_literal16(c, bus, i) { c.load_reg(bus, i, (c.r[15] & !3).wrapping_add(i.imm), WORD, false) }
    ldr_lit(c, bus, i) { c.load_reg(bus, i, c.literal(i), WORD, false) }
    ldrh_lit(c, bus, i) { c.load_reg(bus, i, c.literal(i), HALF, false) }
    ldrb_lit(c, bus, i) { c.load_reg(bus, i, c.literal(i), BYTE, false) }
    ldrsh_lit(c, bus, i) { c.load_reg(bus, i, c.literal(i), HALF, true) }
    ldrsb_lit(c, bus, i) { c.load_reg(bus, i, c.literal(i), BYTE, true) }
    str_idx(c, bus, i) { c.store_indexed(bus, i, WORD) }
    strh_idx(c, bus, i) { c.store_indexed(bus, i, HALF) }
    strb_idx(c, bus, i) { c.store_indexed(bus, i, BYTE) }
    ldr_idx(c, bus, i) { c.load_indexed(bus, i, WORD, false) }
    ldrh_idx(c, bus, i) { c.load_indexed(bus, i, HALF, false) }
    ldrb_idx(c, bus, i) { c.load_indexed(bus, i, BYTE, false) }
    ldrsh_idx(c, bus, i) { c.load_indexed(bus, i, HALF, true) }
    ldrsb_idx(c, bus, i) { c.load_indexed(bus, i, BYTE, true) }
}

// ---- two registers ----
impl Core {
    fn store_dual(&mut self, bus: &mut Bus, i: &Insn, address: u32) -> Done {
        self.store_aligned(bus, address, WORD, self.r[i.t as usize & 15])?;
        self.store_aligned(bus, address.wrapping_add(4), WORD, self.r[i.a as usize & 15])
    }

    fn load_dual(&mut self, bus: &mut Bus, i: &Insn, address: u32, after: Option<u32>) -> Done {
        let first = self.load_aligned(bus, address, WORD)?;
        let second = self.load_aligned(bus, address.wrapping_add(4), WORD)?;
        if let Some(after) = after {
            self.set(i.n, after);
        }
        self.set(i.t, first);
        self.set(i.a, second);
        Ok(())
    }
}

ops! {
    strd(c, bus, i) {
        let address = c.offset(c.base(i), i, i.imm);
        c.store_dual(bus, i, address)?;
        if i.wback { c.set(i.n, address); }
        Ok(())
    }
    strd_post(c, bus, i) {
        let (base, after) = (c.base(i), c.offset(c.base(i), i, i.imm));
        c.store_dual(bus, i, base)?;
        c.set(i.n, after);
        Ok(())
    }
    ldrd(c, bus, i) {
        let base = if i.n == 15 { c.r[15] & !3 } else { c.base(i) };
        let address = c.offset(base, i, i.imm);
        c.load_dual(bus, i, address, i.wback.then_some(address))
    }
    ldrd_post(c, bus, i) { c.load_dual(bus, i, c.base(i), Some(c.offset(c.base(i), i, i.imm))) }
}

// ---- many registers ----
ops! {
    push(c, bus, i) {
        let list = i.imm | u32::from(i.m) << 14;
        let from = c.r[13].wrapping_sub(4 * list.count_ones());
        c.store_many(bus, from, list, 13, Some(from))
    }
    pop(c, bus, i) {
        let list = i.imm | u32::from(i.m) << 15;
        let from = c.r[13];
        c.load_many(bus, from, list, 13, Some(from.wrapping_add(4 * list.count_ones())))
    }
    stm16(c, bus, i) { let from = c.base(i); c.store_many(bus, from, i.imm, i.n, Some(from.wrapping_add(4 * i.imm.count_ones()))) }
    ldm16(c, bus, i) {
        let from = c.base(i);
        let after = (i.imm >> i.n & 1 == 0).then_some(from.wrapping_add(4 * i.imm.count_ones()));
        c.load_many(bus, from, i.imm, i.n, after)
    }
    stmia(c, bus, i) {
        let (from, list) = (c.base(i), i.raw & 0xffff);
        c.store_many(bus, from, list, i.n, i.wback.then_some(from.wrapping_add(4 * list.count_ones())))
    }
    ldmia(c, bus, i) {
        let (from, list) = (c.base(i), i.raw & 0xffff);
        c.load_many(bus, from, list, i.n, i.wback.then_some(from.wrapping_add(4 * list.count_ones())))
    }
    stmdb(c, bus, i) {
        let list = i.raw & 0xffff;
        let from = c.base(i).wrapping_sub(4 * list.count_ones());
        c.store_many(bus, from, list, i.n, i.wback.then_some(from))
    }
    ldmdb(c, bus, i) {
        let list = i.raw & 0xffff;
        let from = c.base(i).wrapping_sub(4 * list.count_ones());
        c.load_many(bus, from, list, i.n, i.wback.then_some(from))
    }
}

// ---- exclusive access (one core, so the local monitor decides alone), table branches ----
impl Core {
    fn load_exclusive(&mut self, bus: &mut Bus, i: &Insn, address: u32, size: Size) -> Done {
        let value = self.load_aligned(bus, address, size)?;
        self.exclusive = true;
        self.set(i.t, value);
        Ok(())
    }

    /// ExclusiveMonitorsPass looks at the alignment before the monitor (DDI0403E B2.3.7).
    fn store_exclusive(&mut self, bus: &mut Bus, i: &Insn, address: u32, size: Size, status: u8) -> Done {
        if !address.is_multiple_of(size as u32) {
            return Err(Trap::Unaligned);
        }
        let granted = std::mem::replace(&mut self.exclusive, false);
        if granted {
            self.store_aligned(bus, address, size, self.r[i.t as usize & 15])?;
        }
        self.set(status, u32::from(!granted));
        Ok(())
    }

    fn table_branch(&mut self, bus: &mut Bus, i: &Insn, size: Size) -> Done {
        let base = if i.n == 15 { self.r[15] } else { self.base(i) };
        let index = self.r[i.m as usize & 15];
        let entry = self.load(bus, base.wrapping_add(index.wrapping_mul(size as u32)), size)?;
        self.jump(self.r[15].wrapping_add(2 * entry))
    }
}

ops! {
    ldrex(c, bus, i) { c.load_exclusive(bus, i, c.base(i).wrapping_add(i.imm), WORD) }
    ldrexh(c, bus, i) { c.load_exclusive(bus, i, c.base(i), HALF) }
    ldrexb(c, bus, i) { c.load_exclusive(bus, i, c.base(i), BYTE) }
    strex(c, bus, i) { c.store_exclusive(bus, i, c.base(i).wrapping_add(i.imm), WORD, i.d) }
    strexh(c, bus, i) { c.store_exclusive(bus, i, c.base(i), HALF, i.d) }
    strexb(c, bus, i) { c.store_exclusive(bus, i, c.base(i), BYTE, i.d) }
    tbb(c, bus, i) { c.table_branch(bus, i, BYTE) }
    tbh(c, bus, i) { c.table_branch(bus, i, HALF) }
}
