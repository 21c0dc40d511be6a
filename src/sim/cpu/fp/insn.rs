//! The floating-point instructions, as rows of decode.rs name them.

use super::super::Core;
use super::super::debug::FPSCR;
use super::super::decode::Insn;
use super::super::exec::{Done, Trap};
use super::arith::{Op, chained, fused, max_min, two};
use super::convert::{compare, convert, from_int, narrow_nan, round_int, sqrt, to_fixed, widen_nan};
use super::half::{half_to, to_half};
use super::{Precision, half, negated, read_bits, rounding, single_of, vd, vm, vn, write_bits};
use crate::sim::bus::Bus;
use crate::sim::chip::Size;
use rustc_apfloat::ieee::{Double, Single};
use rustc_apfloat::{Float, Round};

macro_rules! ops {
    ($($(#[$meta:meta])* $name:ident($c:ident, $bus:ident, $i:ident) $body:block)*) => {
        $($(#[$meta])* pub fn $name($c: &mut Core, $bus: &mut Bus, $i: &Insn) -> Done { $c.fp_ready($bus)?; $body })*
    };
}

/// Arithmetic also asks whether the core has the precision, and D16-D31 do not exist.
macro_rules! arithmetic {
    ($($(#[$meta:meta])* $name:ident($c:ident, $i:ident) $body:block)*) => {
        $($(#[$meta])* pub fn $name($c: &mut Core, bus: &mut Bus, $i: &Insn) -> Done { $c.fp_ready(bus)?; $c.has_precision($i)?; $body })*
    };
}

/// `$body` with `F` as the instruction's precision.
macro_rules! with_precision {
    ($i:ident, $f:ident, $body:expr) => {
        if $i.double {
            type $f = Double;
            $body
        } else {
            type $f = Single;
            $body
        }
    };
}

impl Core {
    fn has_precision(&self, i: &Insn) -> Done {
        if i.double && !self.model.double { Err(Trap::Undefined) } else { Ok(()) }
    }
}

arithmetic! {
    vmla(c, i) { chained(c, i, i.x & 1 != 0, false) }
    vnmla(c, i) { chained(c, i, i.x & 1 != 0, true) }
    vmul(c, i) { two(c, i, Op::Mul, false) }
    vnmul(c, i) { two(c, i, Op::Mul, true) }
    vadd(c, i) { two(c, i, Op::Add, false) }
    vsub(c, i) { two(c, i, Op::Sub, false) }
    vdiv(c, i) { two(c, i, Op::Div, false) }
    vfnma(c, i) { fused(c, i, i.x & 1 != 0, true) }
    vfma(c, i) { fused(c, i, i.x & 1 != 0, false) }
    vmov(c, i) { let value = read_bits(c, i, vm(i)); write_bits(c, i, vd(i), value); Ok(()) }
    vneg(c, i) { let value = negated(i, read_bits(c, i, vm(i))); write_bits(c, i, vd(i), value); Ok(()) }
    vabs(c, i) {
        let value = read_bits(c, i, vm(i)) & if i.double { u64::MAX >> 1 } else { 0x7fff_ffff };
        write_bits(c, i, vd(i), value);
        Ok(())
    }
    vmov_imm(c, i) {
        // VFPExpandImm: a NOT(b) bbbbb cdefgh 0… for single, eight copies of b for double.
        let imm = u64::from((i.raw >> 12 & 0xf0 | i.raw & 0xf) & 0xff);
        let (sign, b, rest) = (imm >> 7, imm >> 6 & 1, imm & 0x3f);
        let value = if i.double {
            sign << 63 | (1 - b) << 62 | (if b != 0 { 0xff } else { 0 }) << 54 | rest << 48
        } else {
            sign << 31 | (1 - b) << 30 | (if b != 0 { 0x1f } else { 0 }) << 25 | rest << 19
        };
        write_bits(c, i, vd(i), value);
        Ok(())
    }
    vsqrt(c, i) {
        if i.double {
            let a = Double::operand(c, vm(i));
            sqrt(c, a, |bits| f64::from_bits(bits as u64).sqrt().to_bits().into()).put(c, vd(i));
        } else {
            let a = Single::operand(c, vm(i));
            sqrt(c, a, |bits| f32::from_bits(bits as u32).sqrt().to_bits().into()).put(c, vd(i));
        }
        Ok(())
    }
    vcmp(c, i) { with_precision!(i, F, { let (a, b) = (F::operand(c, vd(i)), F::operand(c, vm(i))); compare(c, a, b, i.x & 1 != 0) }); Ok(()) }
    vcmp_zero(c, i) { with_precision!(i, F, { let a = F::operand(c, vd(i)); compare(c, a, F::ZERO, i.x & 1 != 0) }); Ok(()) }
    vrint(c, i) {
        let round = if i.x & 1 != 0 { Round::TowardZero } else { rounding(c.fpscr) };
        with_precision!(i, F, { let a = F::operand(c, vm(i)); round_int(c, a, round, false).put(c, vd(i)) });
        Ok(())
    }
    vrintx(c, i) {
        let round = rounding(c.fpscr);
        with_precision!(i, F, { let a = F::operand(c, vm(i)); round_int(c, a, round, true).put(c, vd(i)) });
        Ok(())
    }
    vrint_mode(c, i) {
        with_precision!(i, F, { let a = F::operand(c, vm(i)); round_int(c, a, directed(i.x & 3), false).put(c, vd(i)) });
        Ok(())
    }
    vsel(c, i) {
        // cc: EQ, VS, GE, GT
        let taken = c.condition([0b0000, 0b0110, 0b1010, 0b1100][i.x as usize & 3]);
        let value = read_bits(c, i, if taken { vn(i) } else { vm(i) });
        write_bits(c, i, vd(i), value);
        Ok(())
    }
    vmaxnm(c, i) { with_precision!(i, F, max_min::<F>(c, i)) }
}

/// The two rounding bits of VRINTx and VCVTx: A, N, P, M.
fn directed(bits: u8) -> Round {
    [Round::NearestTiesToAway, Round::NearestTiesToEven, Round::TowardPositive, Round::TowardNegative][bits as usize & 3]
}

impl Core {
    fn integer_of(&mut self, i: &Insn, signed: bool, round: Round) -> Done {
        let value = with_precision!(i, F, {
            let a = F::operand(self, vm(i));
            to_fixed(self, a, 0, 32, signed, round)
        });
        self.s[single_of(i.raw >> 12 & 15, i.raw >> 22 & 1)] = value;
        Ok(())
    }
}

arithmetic! {
    vcvt_to_int(c, i) {
        // x: signed, round towards zero (else FPSCR)
        let round = if i.x & 1 != 0 { Round::TowardZero } else { rounding(c.fpscr) };
        c.integer_of(i, i.x & 2 != 0, round)
    }
    vcvt_mode(c, i) { c.integer_of(i, i.x & 1 != 0, directed(i.x >> 1)) }
    vcvt_from_int(c, i) {
        let raw = c.s[single_of(i.raw & 15, i.raw >> 5 & 1)];
        let value = if i.x & 1 != 0 { i128::from(raw as i32) } else { i128::from(raw) };
        let round = rounding(c.fpscr);
        with_precision!(i, F, from_int::<F>(c, value, 0, round).put(c, vd(i)));
        Ok(())
    }
    vcvt_fixed(c, i) {
        // x, from the top: to fixed point, unsigned, 32 bits wide (else 16).
        let (to_fixed_point, unsigned, wide) = (i.x & 4 != 0, i.x & 2 != 0, i.x & 1 != 0);
        let bits = if wide { 32 } else { 16 };
        let fraction = bits as i32 - ((i.raw & 15) << 1 | i.raw >> 5 & 1) as i32;
        with_precision!(i, F, {
            if to_fixed_point {
                let a = F::operand(c, vd(i));
                let raw = to_fixed(c, a, fraction, bits, !unsigned, Round::TowardZero);
                let value = if wide { if unsigned { u64::from(raw) } else { raw as i32 as u64 } } else if unsigned { u64::from(raw as u16) } else { raw as i16 as u64 };
                write_bits(c, i, vd(i), value);
            } else {
                let raw = read_bits(c, i, vd(i)) as u32;
                let value = match (wide, unsigned) {
                    (true, true) => i128::from(raw),
                    (true, false) => i128::from(raw as i32),
                    (false, true) => i128::from(raw as u16),
                    (false, false) => i128::from(raw as i16),
                };
                from_int::<F>(c, value, fraction, Round::NearestTiesToEven).put(c, vd(i));
            }
        });
        Ok(())
    }
    vcvt_size(c, i) {
        // The size bit names the source.
        let extra = if i.double { 5 } else { 22 };
        if !c.model.double || i.raw >> extra & 1 != 0 { return Err(Trap::Undefined); }
        let mut lost = false;
        if i.double {
            let a: Double = c.fetch(vm(i));
            let target = single_of(i.raw >> 12 & 15, i.raw >> 22 & 1);
            let value = if a.is_nan() { narrow_nan(c, a) } else {
                let round = rounding(c.fpscr);
                let toward_zero = |a| convert::<Double, Single>(a, Round::TowardZero, &mut false).value;
                c.round_off(convert::<Double, Single>(a, round, &mut lost), || toward_zero(a), || toward_zero(half(a)))
            };
            value.put(c, target);
        } else {
            let a: Single = c.fetch(vm(i));
            let target = i.raw >> 12 & 15;
            let value = if a.is_nan() { widen_nan(c, a) } else { convert::<Single, Double>(a, Round::NearestTiesToEven, &mut lost).value };
            value.put(c, target as usize);
        }
        Ok(())
    }
    vcvt_from_half(c, i) {
        let source = c.s[single_of(i.raw & 15, i.raw >> 5 & 1)];
        let bits = (if i.x & 1 != 0 { source >> 16 } else { source }) as u16;
        if i.double { half_to::<Double>(c, bits).put(c, vd(i)) } else { half_to::<Single>(c, bits).put(c, vd(i)) }
        Ok(())
    }
    vcvt_to_half(c, i) {
        let bits = u32::from(if i.double { let a = Double::operand(c, vm(i)); to_half(c, a) } else { let a = Single::operand(c, vm(i)); to_half(c, a) });
        let target = single_of(i.raw >> 12 & 15, i.raw >> 22 & 1);
        let old = c.s[target];
        c.s[target] = if i.x & 1 != 0 { old & 0xffff | bits << 16 } else { old & 0xffff_0000 | bits };
        Ok(())
    }
}

// ---- moves and memory ----
ops! {
    vmov_from_core(c, bus, i) { c.s[single_of(i.raw >> 16 & 15, i.raw >> 7 & 1)] = c.r[i.t as usize & 15]; Ok(()) }
    vmov_to_core(c, bus, i) { c.set(i.t, c.s[single_of(i.raw >> 16 & 15, i.raw >> 7 & 1)]); Ok(()) }
    /// No FPU, another coprocessor, or nothing that the FPU knows.
    coprocessor(c, bus, i) { Err(if matches!(i.imm, 0xA | 0xB) { Trap::Undefined } else { Trap::NoCp }) }
    vmov_from_core_half(c, bus, i) { c.s[half_of_d(i)] = c.r[i.t as usize & 15]; Ok(()) }
    vmov_to_core_half(c, bus, i) { c.set(i.t, c.s[half_of_d(i)]); Ok(()) }
    vmov_from_core2(c, bus, i) {
        let first = pair(i)?;
        c.s[first] = c.r[i.t as usize & 15];
        c.s[first + 1] = c.r[i.a as usize & 15];
        Ok(())
    }
    vmov_to_core2(c, bus, i) {
        let first = pair(i)?;
        c.set(i.t, c.s[first]);
        c.set(i.a, c.s[first + 1]);
        Ok(())
    }
    vmsr(c, bus, i) { c.fpscr = c.r[i.t as usize & 15] & FPSCR; Ok(()) }
    vmrs(c, bus, i) {
        if i.t == 15 {
            (c.n, c.z, c.c, c.v) = (c.fpscr >> 31 & 1 != 0, c.fpscr >> 30 & 1 != 0, c.fpscr >> 29 & 1 != 0, c.fpscr >> 28 & 1 != 0);
        } else {
            c.set(i.t, c.fpscr);
        }
        Ok(())
    }
    vldr(c, bus, i) {
        let base = if i.n == 15 { c.r[15] & !3 } else { c.r[i.n as usize & 15] };
        let address = fp_offset(i, base);
        c.load_fp(bus, i, address, if i.double { 2 } else { 1 })
    }
    vstr(c, bus, i) {
        let base = if i.n == 15 { c.r[15] & !3 } else { c.r[i.n as usize & 15] };
        let address = fp_offset(i, base);
        c.store_fp(bus, i, address, if i.double { 2 } else { 1 })
    }
    vldm_ia(c, bus, i) { let base = c.r[i.n as usize & 15]; c.load_fp(bus, i, base, words(i))?; c.fp_writeback(i, base, true) }
    vstm_ia(c, bus, i) { let base = c.r[i.n as usize & 15]; c.store_fp(bus, i, base, words(i))?; c.fp_writeback(i, base, true) }
    vldm_db(c, bus, i) { let base = c.r[i.n as usize & 15]; c.load_fp(bus, i, base.wrapping_sub(4 * (i.imm & 0xff)), words(i))?; c.fp_writeback(i, base, false) }
    vstm_db(c, bus, i) { let base = c.r[i.n as usize & 15]; c.store_fp(bus, i, base.wrapping_sub(4 * (i.imm & 0xff)), words(i))?; c.fp_writeback(i, base, false) }
}

fn half_of_d(i: &Insn) -> usize {
    ((i.raw >> 16 & 15) << 1 | u32::from(i.x & 1)) as usize
}

/// VMOV of two registers: S[2m], S[2m+1] as D, or S[m], S[m+1].
fn pair(i: &Insn) -> Result<usize, Trap> {
    let (v, x) = (i.raw & 15, i.raw >> 5 & 1);
    let first = if i.double { v << 1 | x << 5 } else { v << 1 | x } as usize;
    if first > 30 { Err(Trap::Undefined) } else { Ok(first) }
}

fn fp_offset(i: &Insn, base: u32) -> u32 {
    let offset = (i.imm & 0xff) << 2;
    if i.add { base.wrapping_add(offset) } else { base.wrapping_sub(offset) }
}

/// Words of a multiple transfer: imm8, for doubles an even count (FLDMX's odd one is one less).
fn words(i: &Insn) -> u32 {
    if i.double { i.imm & 0xfe } else { i.imm & 0xff }
}

impl Core {
    fn first_word(&self, i: &Insn) -> usize {
        if i.double { vd(i) * 2 } else { vd(i) }
    }

    fn load_fp(&mut self, bus: &mut Bus, i: &Insn, address: u32, count: u32) -> Done {
        let first = self.first_word(i);
        if first + count as usize > 32 {
            return Err(Trap::Undefined);
        }
        let mut values = [0; 32];
        for (k, value) in values.iter_mut().take(count as usize).enumerate() {
            *value = self.load_aligned(bus, address.wrapping_add(4 * k as u32), Size::Word)?;
        }
        self.s[first..first + count as usize].copy_from_slice(&values[..count as usize]);
        Ok(())
    }

    fn store_fp(&mut self, bus: &mut Bus, i: &Insn, address: u32, count: u32) -> Done {
        let first = self.first_word(i);
        if first + count as usize > 32 {
            return Err(Trap::Undefined);
        }
        for k in 0..count as usize {
            self.store_aligned(bus, address.wrapping_add(4 * k as u32), Size::Word, self.s[first + k])?;
        }
        Ok(())
    }

    fn fp_writeback(&mut self, i: &Insn, base: u32, up: bool) -> Done {
        let bytes = 4 * (i.imm & 0xff);
        if i.wback || !up {
            self.set(i.n, if up { base.wrapping_add(bytes) } else { base.wrapping_sub(bytes) });
        }
        Ok(())
    }
}
