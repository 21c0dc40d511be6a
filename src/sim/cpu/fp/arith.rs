//! Two and three operands: add, subtract, multiply, divide, chained and fused multiply-add, maximum and minimum.

use super::super::Core;
use super::super::decode::Insn;
use super::super::exec::Done;
use super::{IOC, IXC, Precision, half, host, magnitude, negated, read_bits, rounding, vd, vm, vn, write_bits};
use rustc_apfloat::ieee::{Double, Single};
use rustc_apfloat::{Float, Round, StatusAnd};

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Op {
    Add,
    Sub,
    Mul,
    Div,
}

fn compute<F: Float>(op: Op, a: F, b: F, round: Round) -> StatusAnd<F> {
    match op {
        Op::Add => a.add_r(b, round),
        Op::Sub => a.sub_r(b, round),
        Op::Mul => a.mul_r(b, round),
        Op::Div => a.div_r(b, round),
    }
}

/// Half the result, rounded toward zero: what is halved is large where it matters.
fn halved<F: Float>(op: Op, a: F, b: F) -> F {
    let (a, b) = match op {
        Op::Add | Op::Sub => (half(a), half(b)),
        Op::Mul if magnitude(a) < magnitude(b) => (a, half(b)),
        Op::Mul | Op::Div => (half(a), b),
    };
    compute(op, a, b, Round::TowardZero).value
}

fn arith<F: Precision>(c: &mut Core, op: Op, a: F, b: F) -> F {
    let (a, b) = (c.flushed(a), c.flushed(b));
    if let Some(nan) = c.nan_of(&[a, b]) {
        return nan;
    }
    let round = rounding(c.fpscr);
    c.round_off(compute(op, a, b, round), || compute(op, a, b, Round::TowardZero).value, || halved(op, a, b))
}

/// `op` on raw bits, in the precision the instruction names.
fn arith_bits(c: &mut Core, i: &Insn, op: Op, a: u64, b: u64) -> u64 {
    if c.plain()
        && let Some(value) = host::compute(op, i.double, a, b, c.fpscr & IXC != 0)
    {
        return value;
    }
    if i.double {
        arith(c, op, Double::from_bits(a.into()), Double::from_bits(b.into())).to_bits() as u64
    } else {
        arith(c, op, Single::from_bits(a.into()), Single::from_bits(b.into())).to_bits() as u64
    }
}

pub(super) fn two(c: &mut Core, i: &Insn, op: Op, negate: bool) -> Done {
    let value = arith_bits(c, i, op, read_bits(c, i, vn(i)), read_bits(c, i, vm(i)));
    write_bits(c, i, vd(i), if negate { negated(i, value) } else { value });
    Ok(())
}

/// VMLA and kin: two roundings, the product's first.
pub(super) fn chained(c: &mut Core, i: &Insn, negate_product: bool, negate_addend: bool) -> Done {
    let product = arith_bits(c, i, Op::Mul, read_bits(c, i, vn(i)), read_bits(c, i, vm(i)));
    let product = if negate_product { negated(i, product) } else { product };
    let addend = read_bits(c, i, vd(i));
    let addend = if negate_addend { negated(i, addend) } else { addend };
    let value = arith_bits(c, i, Op::Add, addend, product);
    write_bits(c, i, vd(i), value);
    Ok(())
}

/// FPMulAdd: one rounding.
pub(super) fn fused(c: &mut Core, i: &Insn, negate_product: bool, negate_addend: bool) -> Done {
    let [addend, n, m] = [vd(i), vn(i), vm(i)].map(|number| read_bits(c, i, number));
    let n = if negate_product { negated(i, n) } else { n };
    let addend = if negate_addend { negated(i, addend) } else { addend };
    let quick = if c.plain() { host::fused(i.double, addend, n, m, c.fpscr & IXC != 0) } else { None };
    let value = match quick {
        Some(value) => value,
        None if i.double => fused_slowly::<Double>(c, addend, n, m),
        None => fused_slowly::<Single>(c, addend, n, m),
    };
    write_bits(c, i, vd(i), value);
    Ok(())
}

fn fused_slowly<F: Precision>(c: &mut Core, addend: u64, n: u64, m: u64) -> u64 {
    let [addend, n, m] = [addend, n, m].map(|bits| F::from_bits(bits.into()));
    let (addend, n, m) = (c.flushed(addend), c.flushed(n), c.flushed(m));
    let invalid = n.is_infinite() && m.is_zero() || n.is_zero() && m.is_infinite();
    let value = if invalid && addend.is_nan() && !addend.is_signaling() {
        c.raise(IOC);
        F::default_nan()
    } else if let Some(nan) = c.nan_of(&[addend, n, m]) {
        nan
    } else {
        let round = rounding(c.fpscr);
        let (large, small) = if magnitude(n) < magnitude(m) { (m, n) } else { (n, m) };
        let halved = || half(large).mul_add_r(small, half(addend), Round::TowardZero).value;
        c.round_off(n.mul_add_r(m, addend, round), || n.mul_add_r(m, addend, Round::TowardZero).value, halved)
    };
    value.to_bits() as u64
}

/// FPMaxNum, FPMinNum: a quiet NaN loses against a number.
pub(super) fn max_min<F: Precision>(c: &mut Core, i: &Insn) -> Done {
    let min = i.x & 1 != 0;
    let (a, b): (F, F) = (c.fetch(vn(i)), c.fetch(vm(i)));
    let quiet_nan = |x: &F| x.is_nan() && !x.is_signaling();
    let value = match (quiet_nan(&a), quiet_nan(&b)) {
        (true, false) if !b.is_nan() => b,
        (false, true) if !a.is_nan() => a,
        _ => match c.nan_of(&[a, b]) {
            Some(nan) => nan,
            // ±0: the maximum is +0, the minimum is -0.
            None if a.is_zero() && b.is_zero() => {
                if a.is_negative() == min {
                    a
                } else {
                    b
                }
            }
            None => {
                if (a < b) == min {
                    a
                } else {
                    b
                }
            }
        },
    };
    value.put(c, vd(i));
    Ok(())
}
