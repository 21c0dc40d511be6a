//! Integer instructions that touch registers and flags only, and branches (DDI0403E A7.7).

use super::Core;
use super::decode::{Flags, Insn};
use super::exec::{Done, Trap};
use crate::sim::bus::Bus;

/// CCR
const DIV_0_TRP: u32 = 1 << 4;

// ---- the manual's helper functions (DDI0403E A2.2.1, A7.4.2, D6) ----

/// AddWithCarry: sum, carry out, overflow.
pub fn add_with_carry(x: u32, y: u32, carry: bool) -> (u32, bool, bool) {
    let wide = u64::from(x) + u64::from(y) + u64::from(carry);
    let sum = wide as u32;
    (sum, wide >> 32 != 0, (!(x ^ y) & (x ^ sum)) >> 31 != 0)
}

/// Shift_C for a register's low byte as amount (0..255): types LSL, LSR, ASR, ROR.
fn shift_reg_c(value: u32, kind: u8, amount: u32, carry: bool) -> (u32, bool) {
    match (kind, amount) {
        (_, 0) => (value, carry),
        (0, 1..=31) => (value << amount, value >> (32 - amount) & 1 != 0),
        (0, 32) => (0, value & 1 != 0),
        (1, 1..=31) => (value >> amount, value >> (amount - 1) & 1 != 0),
        (1, 32) => (0, value >> 31 != 0),
        (2, 1..=31) => (((value as i32) >> amount) as u32, value >> (amount - 1) & 1 != 0),
        (2, _) => (((value as i32) >> 31) as u32, value >> 31 != 0),
        (3, _) => {
            let turned = value.rotate_right(amount & 31);
            (turned, turned >> 31 != 0)
        }
        _ => (0, false),
    }
}

/// Shift_C with a decoded immediate; type 4 is RRX.
fn shift_imm_c(value: u32, kind: u8, amount: u32, carry: bool) -> (u32, bool) {
    if kind == 4 { (u32::from(carry) << 31 | value >> 1, value & 1 != 0) } else { shift_reg_c(value, kind, amount, carry) }
}

fn signed_sat(value: i64, bits: u32) -> (u32, bool) {
    let (low, high) = (-(1i64 << (bits - 1)), (1i64 << (bits - 1)) - 1);
    (value.clamp(low, high) as u32, value < low || value > high)
}

fn unsigned_sat(value: i64, bits: u32) -> (u32, bool) {
    let high = (1i64 << bits) - 1;
    (value.clamp(0, high) as u32, value < 0 || value > high)
}

impl Core {
    fn wants_flags(&self, i: &Insn) -> bool {
        match i.flags {
            Flags::Keep => false,
            Flags::Set => true,
            Flags::OutsideIt => self.it == 0,
        }
    }

    fn set_nz(&mut self, value: u32) {
        self.n = value >> 31 != 0;
        self.z = value == 0;
    }

    /// A sum or difference: all four flags.
    fn sum(&mut self, i: &Insn, x: u32, y: u32, carry: bool) -> Done {
        let (value, c, v) = add_with_carry(x, y, carry);
        if self.wants_flags(i) {
            self.set_nz(value);
            (self.c, self.v) = (c, v);
        }
        self.set(i.d, value);
        Ok(())
    }

    fn compare(&mut self, x: u32, y: u32, carry: bool) -> Done {
        let (value, c, v) = add_with_carry(x, y, carry);
        self.set_nz(value);
        (self.c, self.v) = (c, v);
        Ok(())
    }

    /// A logical result: N, Z and the shifter's carry.
    fn logic(&mut self, i: &Insn, value: u32, carry: bool) -> Done {
        if self.wants_flags(i) {
            self.set_nz(value);
            self.c = carry;
        }
        self.set(i.d, value);
        Ok(())
    }

    fn test(&mut self, value: u32, carry: bool) -> Done {
        self.set_nz(value);
        self.c = carry;
        Ok(())
    }

    /// The second operand of "data processing (shifted register)".
    fn shifted(&self, i: &Insn) -> (u32, bool) {
        shift_imm_c(self.r[i.m as usize & 15], i.y, i.imm, self.c)
    }

    /// The second operand of "data processing (modified immediate)".
    fn expanded(&self, i: &Insn) -> (u32, bool) {
        (i.imm, if i.carry == 0 { self.c } else { i.carry & 1 != 0 })
    }

    fn rn(&self, i: &Insn) -> u32 {
        self.r[i.n as usize & 15]
    }

    fn rm(&self, i: &Insn) -> u32 {
        self.r[i.m as usize & 15]
    }

    fn rd(&self, i: &Insn) -> u32 {
        self.r[i.d as usize & 15]
    }

    /// Ra, or 0 where Ra = 15 names the form without accumulator.
    fn accumulator(&self, i: &Insn) -> u32 {
        if i.a == 15 { 0 } else { self.r[i.a as usize & 15] }
    }

    /// RdHi:RdLo
    fn long(&self, i: &Insn) -> u64 {
        u64::from(self.rd(i)) << 32 | u64::from(self.r[i.t as usize & 15])
    }

    fn set_long(&mut self, i: &Insn, value: u64) -> Done {
        self.set(i.t, value as u32);
        self.set(i.d, (value >> 32) as u32);
        Ok(())
    }
}

fn low(value: u32) -> i32 {
    i32::from(value as i16)
}

fn high(value: u32) -> i32 {
    (value as i32) >> 16
}

fn half(value: u32, top: bool) -> i32 {
    if top { high(value) } else { low(value) }
}

macro_rules! ops {
    ($($(#[$meta:meta])* $name:ident($c:ident, $i:ident) $body:block)*) => {
        $($(#[$meta])* pub fn $name($c: &mut Core, _: &mut Bus, $i: &Insn) -> Done { $body })*
    };
}

// ---- shift, add, subtract, move, compare ----
ops! {
    shift_imm(c, i) { let (value, carry) = shift_imm_c(c.rm(i), i.y, i.imm, c.c); c.logic(i, value, carry) }
    add_reg(c, i) { c.sum(i, c.rn(i), c.rm(i), false) }
    sub_reg(c, i) { c.sum(i, c.rn(i), !c.rm(i), true) }
    add_imm(c, i) { c.sum(i, c.rn(i), i.imm, false) }
    sub_imm(c, i) { c.sum(i, c.rn(i), !i.imm, true) }
    add_imm8(c, i) { c.sum(i, c.rd(i), i.imm, false) }
    sub_imm8(c, i) { c.sum(i, c.rd(i), !i.imm, true) }
    rsb_imm(c, i) { c.sum(i, !c.rn(i), 0, true) }
    mov_imm(c, i) { c.logic(i, i.imm, c.c) }
    cmp_imm(c, i) { c.compare(c.rn(i), !i.imm, true) }
    cmp_reg(c, i) { c.compare(c.rn(i), !c.rm(i), true) }
    cmn_reg(c, i) { c.compare(c.rn(i), c.rm(i), false) }
    tst_reg(c, i) { c.test(c.rn(i) & c.rm(i), c.c) }
    and_rdn(c, i) { c.logic(i, c.rd(i) & c.rm(i), c.c) }
    eor_rdn(c, i) { c.logic(i, c.rd(i) ^ c.rm(i), c.c) }
    orr_rdn(c, i) { c.logic(i, c.rd(i) | c.rm(i), c.c) }
    bic_rdn(c, i) { c.logic(i, c.rd(i) & !c.rm(i), c.c) }
    mvn_reg(c, i) { c.logic(i, !c.rm(i), c.c) }
    adc_rdn(c, i) { c.sum(i, c.rd(i), c.rm(i), c.c) }
    sbc_rdn(c, i) { c.sum(i, c.rd(i), !c.rm(i), c.c) }
    mul_rdn(c, i) { c.logic(i, c.rd(i).wrapping_mul(c.rn(i)), c.c) }
    lsl_rdn(c, i) { c.shift_by_reg(i, c.rd(i), 0) }
    lsr_rdn(c, i) { c.shift_by_reg(i, c.rd(i), 1) }
    asr_rdn(c, i) { c.shift_by_reg(i, c.rd(i), 2) }
    ror_rdn(c, i) { c.shift_by_reg(i, c.rd(i), 3) }
    lsl_reg(c, i) { c.shift_by_reg(i, c.rn(i), 0) }
    lsr_reg(c, i) { c.shift_by_reg(i, c.rn(i), 1) }
    asr_reg(c, i) { c.shift_by_reg(i, c.rn(i), 2) }
    ror_reg(c, i) { c.shift_by_reg(i, c.rn(i), 3) }
    adr_add(c, i) { c.set(i.d, (c.r[15] & !3).wrapping_add(i.imm)); Ok(()) }
    adr_sub(c, i) { c.set(i.d, (c.r[15] & !3).wrapping_sub(i.imm)); Ok(()) }
    add_sp(c, i) { c.set(i.d, c.r[13].wrapping_add(i.imm)); Ok(()) }
    sp_add(c, i) { c.set(13, c.r[13].wrapping_add(i.imm)); Ok(()) }
    sp_sub(c, i) { c.set(13, c.r[13].wrapping_sub(i.imm)); Ok(()) }
    movw(c, i) { c.set(i.d, imm16(i)); Ok(()) }
    movt(c, i) { let value = c.rd(i) & 0xffff | imm16(i) << 16; c.set(i.d, value); Ok(()) }
}

/// MOVW and MOVT: imm4:i:imm3:imm8, while the field's bits were gathered as i:imm4:imm3:imm8.
fn imm16(i: &Insn) -> u32 {
    i.imm & 0x7ff | (i.imm >> 11 & 0xf) << 12 | (i.imm >> 15 & 1) << 11
}

impl Core {
    fn shift_by_reg(&mut self, i: &Insn, value: u32, kind: u8) -> Done {
        let amount = self.rm(i) & 0xff;
        let (value, carry) = match (kind, amount) {
            (0 | 1, 33..) => (0, false),
            _ => shift_reg_c(value, kind, amount, self.c),
        };
        self.logic(i, value, carry)
    }
}

// ---- data processing with shifted register, with modified immediate ----
ops! {
    tst_shift(c, i) { let (y, k) = c.shifted(i); c.test(c.rn(i) & y, k) }
    and_shift(c, i) { let (y, k) = c.shifted(i); c.logic(i, c.rn(i) & y, k) }
    bic_shift(c, i) { let (y, k) = c.shifted(i); c.logic(i, c.rn(i) & !y, k) }
    mov_shift(c, i) { let (y, k) = c.shifted(i); c.logic(i, y, k) }
    orr_shift(c, i) { let (y, k) = c.shifted(i); c.logic(i, c.rn(i) | y, k) }
    mvn_shift(c, i) { let (y, k) = c.shifted(i); c.logic(i, !y, k) }
    orn_shift(c, i) { let (y, k) = c.shifted(i); c.logic(i, c.rn(i) | !y, k) }
    teq_shift(c, i) { let (y, k) = c.shifted(i); c.test(c.rn(i) ^ y, k) }
    eor_shift(c, i) { let (y, k) = c.shifted(i); c.logic(i, c.rn(i) ^ y, k) }
    cmn_shift(c, i) { let (y, _) = c.shifted(i); c.compare(c.rn(i), y, false) }
    add_shift(c, i) { let (y, _) = c.shifted(i); c.sum(i, c.rn(i), y, false) }
    adc_shift(c, i) { let (y, _) = c.shifted(i); c.sum(i, c.rn(i), y, c.c) }
    sbc_shift(c, i) { let (y, _) = c.shifted(i); c.sum(i, c.rn(i), !y, c.c) }
    cmp_shift(c, i) { let (y, _) = c.shifted(i); c.compare(c.rn(i), !y, true) }
    sub_shift(c, i) { let (y, _) = c.shifted(i); c.sum(i, c.rn(i), !y, true) }
    rsb_shift(c, i) { let (y, _) = c.shifted(i); c.sum(i, !c.rn(i), y, true) }
    tst_exp(c, i) { let (y, k) = c.expanded(i); c.test(c.rn(i) & y, k) }
    and_exp(c, i) { let (y, k) = c.expanded(i); c.logic(i, c.rn(i) & y, k) }
    bic_exp(c, i) { let (y, k) = c.expanded(i); c.logic(i, c.rn(i) & !y, k) }
    mov_exp(c, i) { let (y, k) = c.expanded(i); c.logic(i, y, k) }
    orr_exp(c, i) { let (y, k) = c.expanded(i); c.logic(i, c.rn(i) | y, k) }
    mvn_exp(c, i) { let (y, k) = c.expanded(i); c.logic(i, !y, k) }
    orn_exp(c, i) { let (y, k) = c.expanded(i); c.logic(i, c.rn(i) | !y, k) }
    teq_exp(c, i) { let (y, k) = c.expanded(i); c.test(c.rn(i) ^ y, k) }
    eor_exp(c, i) { let (y, k) = c.expanded(i); c.logic(i, c.rn(i) ^ y, k) }
    cmn_exp(c, i) { c.compare(c.rn(i), i.imm, false) }
    add_exp(c, i) { c.sum(i, c.rn(i), i.imm, false) }
    adc_exp(c, i) { c.sum(i, c.rn(i), i.imm, c.c) }
    sbc_exp(c, i) { c.sum(i, c.rn(i), !i.imm, c.c) }
    cmp_exp(c, i) { c.compare(c.rn(i), !i.imm, true) }
    sub_exp(c, i) { c.sum(i, c.rn(i), !i.imm, true) }
    rsb_exp(c, i) { c.sum(i, !c.rn(i), i.imm, true) }
    pkh(c, i) {
        // y bit 1 is tb: PKHTB takes the shifted operand's bottom half.
        let tb = i.raw & 0x20 != 0;
        let amount = (i.raw >> 12 & 7) << 2 | i.raw >> 6 & 3;
        let (y, _) = shift_imm_c(c.rm(i), if tb { 2 } else { 0 }, if tb && amount == 0 { 32 } else { amount }, false);
        let value = if tb { c.rn(i) & 0xffff_0000 | y & 0xffff } else { y & 0xffff_0000 | c.rn(i) & 0xffff };
        c.set(i.d, value);
        Ok(())
    }
}

// ---- registers above r7, branches ----
ops! {
    add_high(c, i) { let value = c.rd(i).wrapping_add(c.rm(i)); c.write_any(i.d, value) }
    mov_high(c, i) { c.write_any(i.d, c.rm(i)) }
    bx(c, i) { c.interwork(c.rm(i), true) }
    blx(c, i) {
        let target = c.rm(i);
        c.r[14] = c.r[15].wrapping_sub(2) | 1;
        c.interwork(target, false)
    }
    b(c, i) { c.jump(c.r[15].wrapping_add(i.imm)) }
    bl(c, i) { c.r[14] = c.r[15] | 1; c.jump(c.r[15].wrapping_add(i.imm)) }
    b_cond(c, i) { if c.condition(i.x) { c.jump(c.r[15].wrapping_add(i.imm)) } else { Ok(()) } }
    b_cond_wide(c, i) {
        // S:J2:J1:imm6:imm11, while the bits were gathered as S:imm6:J1:J2:imm11.
        if !c.condition(i.x) { return Ok(()); }
        let g = i.imm;
        let offset = g & 0x7ff | (g >> 13 & 0x3f) << 11 | (g >> 12 & 1) << 17 | (g >> 11 & 1) << 18 | (g >> 19 & 1) << 19;
        c.jump(c.r[15].wrapping_add(((offset << 12) as i32 >> 11) as u32))
    }
    cbz(c, i) { if c.rn(i) == 0 { c.jump(c.r[15].wrapping_add(i.imm)) } else { Ok(()) } }
    cbnz(c, i) { if c.rn(i) != 0 { c.jump(c.r[15].wrapping_add(i.imm)) } else { Ok(()) } }
}

// ---- extend, reverse, bit fields, saturate ----
ops! {
    sxth(c, i) { c.set(i.d, c.rm(i) as i16 as u32); Ok(()) }
    sxtb(c, i) { c.set(i.d, c.rm(i) as i8 as u32); Ok(()) }
    uxth(c, i) { c.set(i.d, c.rm(i) & 0xffff); Ok(()) }
    uxtb(c, i) { c.set(i.d, c.rm(i) & 0xff); Ok(()) }
    sxtah(c, i) { let v = c.extend_base(i).wrapping_add(c.rotated(i) as i16 as u32); c.set(i.d, v); Ok(()) }
    uxtah(c, i) { let v = c.extend_base(i).wrapping_add(c.rotated(i) & 0xffff); c.set(i.d, v); Ok(()) }
    sxtab(c, i) { let v = c.extend_base(i).wrapping_add(c.rotated(i) as i8 as u32); c.set(i.d, v); Ok(()) }
    uxtab(c, i) { let v = c.extend_base(i).wrapping_add(c.rotated(i) & 0xff); c.set(i.d, v); Ok(()) }
    sxtab16(c, i) { let (b, m) = (c.extend_base(i), c.rotated(i)); c.set(i.d, lanes16(b, m as i8 as u32, (m >> 16) as i8 as u32)); Ok(()) }
    uxtab16(c, i) { let (b, m) = (c.extend_base(i), c.rotated(i)); c.set(i.d, lanes16(b, m & 0xff, m >> 16 & 0xff)); Ok(()) }
    rev(c, i) { c.set(i.d, c.rm(i).swap_bytes()); Ok(()) }
    rev16(c, i) { c.set(i.d, c.rm(i).swap_bytes().rotate_right(16)); Ok(()) }
    revsh(c, i) { c.set(i.d, (c.rm(i) as u16).swap_bytes() as i16 as u32); Ok(()) }
    rbit(c, i) { c.set(i.d, c.rm(i).reverse_bits()); Ok(()) }
    clz(c, i) { c.set(i.d, c.rm(i).leading_zeros()); Ok(()) }
    sel(c, i) {
        let mask = (0..4).fold(0, |mask, lane| if c.ge >> lane & 1 != 0 { mask | 0xff << (8 * lane) } else { mask });
        c.set(i.d, c.rn(i) & mask | c.rm(i) & !mask);
        Ok(())
    }
    sbfx(c, i) {
        let (lsb, width) = (i.imm, u32::from(i.x) + 1);
        if lsb + width > 32 { return Err(Trap::Undefined); }
        c.set(i.d, ((c.rn(i) << (32 - lsb - width)) as i32 >> (32 - width)) as u32);
        Ok(())
    }
    ubfx(c, i) {
        let (lsb, width) = (i.imm, u32::from(i.x) + 1);
        if lsb + width > 32 { return Err(Trap::Undefined); }
        c.set(i.d, c.rn(i) << (32 - lsb - width) >> (32 - width));
        Ok(())
    }
    bfi(c, i) {
        let (lsb, msb) = (i.imm, u32::from(i.x));
        if msb < lsb { return Err(Trap::Undefined); }
        let mask = u32::MAX >> (31 - (msb - lsb)) << lsb;
        let source = if i.n == 15 { 0 } else { c.rn(i) << lsb };
        c.set(i.d, c.rd(i) & !mask | source & mask);
        Ok(())
    }
    ssat(c, i) { let v = c.sat_operand(i); c.saturated(i, signed_sat(v, u32::from(i.x) + 1)) }
    usat(c, i) { let v = c.sat_operand(i); c.saturated(i, unsigned_sat(v, u32::from(i.x))) }
    ssat16(c, i) {
        let bits = u32::from(i.x) + 1;
        let (a, s) = signed_sat(low(c.rn(i)).into(), bits);
        let (b, t) = signed_sat(high(c.rn(i)).into(), bits);
        c.saturated(i, (a & 0xffff | b << 16, s | t))
    }
    usat16(c, i) {
        let bits = u32::from(i.x);
        let (a, s) = unsigned_sat(low(c.rn(i)).into(), bits);
        let (b, t) = unsigned_sat(high(c.rn(i)).into(), bits);
        c.saturated(i, (a & 0xffff | b << 16, s | t))
    }
}

/// Two independent 16-bit sums.
fn lanes16(base: u32, lo: u32, hi: u32) -> u32 {
    base.wrapping_add(lo) & 0xffff | ((base >> 16).wrapping_add(hi) & 0xffff) << 16
}

impl Core {
    /// Rn of the extend-and-add forms; 15 names the form without addition.
    fn extend_base(&self, i: &Insn) -> u32 {
        if i.n == 15 { 0 } else { self.rn(i) }
    }

    /// Rm rotated by 0, 8, 16 or 24.
    fn rotated(&self, i: &Insn) -> u32 {
        self.rm(i).rotate_right(8 * u32::from(i.x))
    }

    /// SSAT and USAT: sh is `y`, ASR #0 does not occur (it names SSAT16 and USAT16).
    fn sat_operand(&self, i: &Insn) -> i64 {
        let (value, _) = shift_imm_c(self.rn(i), if i.y == 0 { 0 } else { 2 }, i.imm, false);
        i64::from(value as i32)
    }

    fn saturated(&mut self, i: &Insn, (value, sat): (u32, bool)) -> Done {
        self.set(i.d, value);
        self.q |= sat;
        Ok(())
    }
}

// ---- parallel addition and subtraction (A5.3.13, A5.3.14) ----

/// Lane results of 8 or 16 bits before wrapping; `x`: 0 wrap and write GE, 1 saturate, 2 halve.
fn parallel(c: &mut Core, i: &Insn, results: &[i32], signed: bool, is_sub: &[bool]) -> Done {
    let bits = 32 / results.len() as u32;
    let mask = u32::MAX >> (32 - bits);
    let mut value = 0;
    let mut ge = 0;
    for (lane, &result) in results.iter().enumerate() {
        let part = match i.x {
            0 => {
                let set = if signed || is_sub[lane] { result >= 0 } else { result > mask as i32 };
                let per = 4 / results.len() as u32;
                if set {
                    ge |= ((1u8 << per) - 1) << (lane as u32 * per);
                }
                result as u32
            }
            1 if signed => signed_sat(result.into(), bits).0,
            1 => unsigned_sat(result.into(), bits).0,
            2 => (result >> 1) as u32,
            _ => return Err(Trap::Undefined),
        };
        value |= (part & mask) << (lane as u32 * bits);
    }
    if i.x == 0 {
        c.ge = ge;
    }
    c.set(i.d, value);
    Ok(())
}

fn lane8(value: u32, lane: u32, signed: bool) -> i32 {
    let byte = (value >> (8 * lane)) as u8;
    if signed { i32::from(byte as i8) } else { i32::from(byte) }
}

fn lane16(value: u32, lane: u32, signed: bool) -> i32 {
    let part = (value >> (16 * lane)) as u16;
    if signed { i32::from(part as i16) } else { i32::from(part) }
}

fn parallel8(c: &mut Core, i: &Insn, signed: bool, sub: bool) -> Done {
    let (n, m) = (c.rn(i), c.rm(i));
    let mut results = [0; 4];
    for (lane, result) in results.iter_mut().enumerate() {
        let (x, y) = (lane8(n, lane as u32, signed), lane8(m, lane as u32, signed));
        *result = if sub { x - y } else { x + y };
    }
    parallel(c, i, &results, signed, &[sub; 4])
}

/// `cross`: the operand's halves are exchanged (ASX, SAX).
fn parallel16(c: &mut Core, i: &Insn, signed: bool, sub: [bool; 2], cross: bool) -> Done {
    let (n, m) = (c.rn(i), if cross { c.rm(i).rotate_left(16) } else { c.rm(i) });
    let mut results = [0; 2];
    for (lane, result) in results.iter_mut().enumerate() {
        let (x, y) = (lane16(n, lane as u32, signed), lane16(m, lane as u32, signed));
        *result = if sub[lane] { x - y } else { x + y };
    }
    parallel(c, i, &results, signed, &sub)
}

ops! {
    sadd16(c, i) { parallel16(c, i, true, [false, false], false) }
    sasx(c, i) { parallel16(c, i, true, [true, false], true) }
    ssax(c, i) { parallel16(c, i, true, [false, true], true) }
    ssub16(c, i) { parallel16(c, i, true, [true, true], false) }
    sadd8(c, i) { parallel8(c, i, true, false) }
    ssub8(c, i) { parallel8(c, i, true, true) }
    uadd16(c, i) { parallel16(c, i, false, [false, false], false) }
    uasx(c, i) { parallel16(c, i, false, [true, false], true) }
    usax(c, i) { parallel16(c, i, false, [false, true], true) }
    usub16(c, i) { parallel16(c, i, false, [true, true], false) }
    uadd8(c, i) { parallel8(c, i, false, false) }
    usub8(c, i) { parallel8(c, i, false, true) }
    qadd(c, i) { let v = signed_sat(i64::from(c.rm(i) as i32) + i64::from(c.rn(i) as i32), 32); c.saturated(i, v) }
    qsub(c, i) { let v = signed_sat(i64::from(c.rm(i) as i32) - i64::from(c.rn(i) as i32), 32); c.saturated(i, v) }
    qdadd(c, i) { qd(c, i, 1) }
    qdsub(c, i) { qd(c, i, -1) }
}

/// QDADD, QDSUB: the doubling saturates first.
fn qd(c: &mut Core, i: &Insn, sign: i64) -> Done {
    let (doubled, first) = signed_sat(2 * i64::from(c.rn(i) as i32), 32);
    let (value, second) = signed_sat(i64::from(c.rm(i) as i32) + sign * i64::from(doubled as i32), 32);
    c.saturated(i, (value, first | second))
}

// ---- multiply and divide ----
ops! {
    mul(c, i) { c.set(i.d, c.rn(i).wrapping_mul(c.rm(i))); Ok(()) }
    mla(c, i) { let v = c.rn(i).wrapping_mul(c.rm(i)).wrapping_add(c.r[i.a as usize & 15]); c.set(i.d, v); Ok(()) }
    mls(c, i) { let v = c.r[i.a as usize & 15].wrapping_sub(c.rn(i).wrapping_mul(c.rm(i))); c.set(i.d, v); Ok(()) }
    smlaxy(c, i) {
        let product = half(c.rn(i), i.x & 2 != 0) * half(c.rm(i), i.x & 1 != 0);
        c.accumulate(i, i64::from(product))
    }
    smlaw(c, i) {
        let product = (i64::from(c.rn(i) as i32) * i64::from(half(c.rm(i), i.x & 1 != 0))) >> 16;
        c.accumulate(i, product)
    }
    smlad(c, i) { let (p, q) = c.dual(i); c.accumulate(i, p + q) }
    smlsd(c, i) { let (p, q) = c.dual(i); c.accumulate(i, p - q) }
    smmla(c, i) {
        let product = i64::from(c.rn(i) as i32).wrapping_mul(i64::from(c.rm(i) as i32));
        let sum = (i64::from(c.accumulator(i)) << 32).wrapping_add(product).wrapping_add(i64::from(i.x) << 31);
        c.set(i.d, (sum >> 32) as u32);
        Ok(())
    }
    smmls(c, i) {
        let product = i64::from(c.rn(i) as i32).wrapping_mul(i64::from(c.rm(i) as i32));
        let difference = (i64::from(c.r[i.a as usize & 15]) << 32).wrapping_sub(product).wrapping_add(i64::from(i.x) << 31);
        c.set(i.d, (difference >> 32) as u32);
        Ok(())
    }
    usada8(c, i) {
        let (n, m) = (c.rn(i), c.rm(i));
        let sum: i32 = (0..4).map(|lane| (lane8(n, lane, false) - lane8(m, lane, false)).abs()).sum();
        let value = c.accumulator(i).wrapping_add(sum as u32);
        c.set(i.d, value);
        Ok(())
    }
    smull(c, i) { let v = i64::from(c.rn(i) as i32) * i64::from(c.rm(i) as i32); c.set_long(i, v as u64) }
    umull(c, i) { let v = u64::from(c.rn(i)) * u64::from(c.rm(i)); c.set_long(i, v) }
    smlal(c, i) { let v = (i64::from(c.rn(i) as i32) * i64::from(c.rm(i) as i32)) as u64; c.set_long(i, c.long(i).wrapping_add(v)) }
    umlal(c, i) { let v = u64::from(c.rn(i)) * u64::from(c.rm(i)); c.set_long(i, c.long(i).wrapping_add(v)) }
    umaal(c, i) {
        let v = u64::from(c.rn(i)) * u64::from(c.rm(i)) + u64::from(c.rd(i)) + u64::from(c.r[i.t as usize & 15]);
        c.set_long(i, v)
    }
    smlalxy(c, i) {
        let product = i64::from(half(c.rn(i), i.x & 2 != 0) * half(c.rm(i), i.x & 1 != 0));
        c.set_long(i, c.long(i).wrapping_add(product as u64))
    }
    smlald(c, i) { let (p, q) = c.dual(i); c.set_long(i, c.long(i).wrapping_add((p + q) as u64)) }
    smlsld(c, i) { let (p, q) = c.dual(i); c.set_long(i, c.long(i).wrapping_add((p - q) as u64)) }
    sdiv(c, i) {
        let (n, m) = (c.rn(i) as i32, c.rm(i) as i32);
        let value = c.divide(m != 0, || n.wrapping_div(m) as u32)?;
        c.set(i.d, value);
        Ok(())
    }
    udiv(c, i) {
        let (n, m) = (c.rn(i), c.rm(i));
        let value = c.divide(m != 0, || n / m)?;
        c.set(i.d, value);
        Ok(())
    }
}

impl Core {
    /// The two 16×16 products of the dual multiplies; `x` exchanges Rm's halves.
    fn dual(&self, i: &Insn) -> (i64, i64) {
        let (n, m) = (self.rn(i), if i.x & 1 != 0 { self.rm(i).rotate_left(16) } else { self.rm(i) });
        (i64::from(low(n)) * i64::from(low(m)), i64::from(high(n)) * i64::from(high(m)))
    }

    /// Adds Ra; Q tells that the 32-bit result overflowed.
    fn accumulate(&mut self, i: &Insn, product: i64) -> Done {
        let sum = product + i64::from(self.accumulator(i) as i32);
        self.q |= sum != i64::from(sum as i32);
        self.set(i.d, sum as u32);
        Ok(())
    }

    /// Division by zero gives 0, or traps with CCR.DIV_0_TRP.
    fn divide(&mut self, possible: bool, quotient: impl FnOnce() -> u32) -> Result<u32, Trap> {
        match possible {
            true => Ok(quotient()),
            false if self.ccr() & DIV_0_TRP != 0 => Err(Trap::DivideByZero),
            false => Ok(0),
        }
    }
}
