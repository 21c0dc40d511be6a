//! One operand: square root, comparison, rounding, and conversions to and from integers and between precisions.

use super::super::Core;
use super::{DN, IOC, IXC, Precision, rounding};
use rustc_apfloat::ieee::{Double, Single};
use rustc_apfloat::{Float, FloatConvert, Round, Status, StatusAnd};
use std::cmp::Ordering;

/// Square root, correctly rounded: the host's, then moved by one unit where another mode asks for it.
pub(super) fn sqrt<F: Precision>(c: &mut Core, a: F, host_sqrt: impl Fn(u128) -> u128) -> F {
    let a = c.flushed(a);
    if let Some(nan) = c.nan_of(&[a]) {
        return nan;
    }
    if a.is_negative() && !a.is_zero() {
        c.raise(IOC);
        return F::default_nan();
    }
    if a.is_zero() || a.is_infinite() {
        return a;
    }
    let root = F::from_bits(host_sqrt(a.to_bits()));
    // The sign of root² - a, exactly: the fused product rounds to something of the right sign. A small one is scaled, so
    // that the difference does not vanish below the smallest number.
    let scale = if a.ilogb() < 0 { 2 * F::PRECISION as i32 } else { 0 };
    let (scaled_root, scaled) = (root.scalbn(scale), a.scalbn(2 * scale));
    let excess = scaled_root.mul_add_r(scaled_root, -scaled, Round::NearestTiesToEven).value;
    if excess.is_zero() {
        return root;
    }
    c.raise(IXC);
    let above = !excess.is_negative();
    match rounding(c.fpscr) {
        Round::TowardPositive if !above => F::from_bits(root.to_bits() + 1),
        Round::TowardNegative | Round::TowardZero if above => F::from_bits(root.to_bits() - 1),
        _ => root,
    }
}

pub(super) fn compare<F: Precision>(c: &mut Core, a: F, b: F, signal_quiet: bool) {
    let (a, b) = (c.flushed(a), c.flushed(b));
    if a.is_signaling() || b.is_signaling() || signal_quiet && (a.is_nan() || b.is_nan()) {
        c.raise(IOC);
    }
    let nzcv = match a.partial_cmp(&b) {
        Some(Ordering::Equal) => 0b0110,
        Some(Ordering::Less) => 0b1000,
        Some(Ordering::Greater) => 0b0010,
        None => 0b0011,
    };
    c.fpscr = c.fpscr & 0x0fff_ffff | nzcv << 28;
}

/// FPRoundInt
pub(super) fn round_int<F: Precision>(c: &mut Core, a: F, round: Round, exact: bool) -> F {
    let a = c.flushed(a);
    if let Some(nan) = c.nan_of(&[a]) {
        return nan;
    }
    if a.is_zero() || a.is_infinite() {
        return a;
    }
    let rounded = a.round_to_integral(round).value;
    if exact && rounded != a {
        c.raise(IXC);
    }
    rounded
}

/// FPToFixed: 32-bit (or `bits`-bit) integer of a × 2^fraction, saturated; IOC when it does not fit.
pub(super) fn to_fixed<F: Precision>(c: &mut Core, a: F, fraction: i32, bits: u32, signed: bool, round: Round) -> u32 {
    let a = c.flushed(a);
    if a.is_nan() {
        c.raise(IOC);
        return 0;
    }
    // 53 + 32 bits at most matter: the scaled value is exact unless it is far below one or far beyond range.
    let (low, high) = if signed { (-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1) } else { (0, (1i128 << bits) - 1) };
    let scaled = a.scalbn_r(fraction, Round::TowardZero);
    let mut exact = true;
    let integer = scaled.to_i128_r(100, round, &mut exact);
    let value = if scaled.is_infinite() || integer.status.contains(Status::INVALID_OP) {
        if a.is_negative() { low - 1 } else { high + 1 }
    } else {
        integer.value
    };
    if value < low || value > high {
        c.raise(IOC);
    } else if !exact {
        c.raise(IXC);
    }
    value.clamp(low, high) as u32
}

pub(super) fn from_int<F: Precision>(c: &mut Core, value: i128, fraction: i32, round: Round) -> F {
    let wide = Double::from_i128_r(value, Round::NearestTiesToEven).value.scalbn(-fraction);
    let mut lost = false;
    let StatusAnd { status, value } = convert::<Double, F>(wide, round, &mut lost);
    if status.contains(Status::INEXACT) {
        c.raise(IXC);
    }
    value
}

/// Between precisions by their bits, so that generic code needs no conversion bound for every pair.
pub(super) fn convert<A: Precision, B: Precision>(a: A, round: Round, lost: &mut bool) -> StatusAnd<B> {
    match (A::DOUBLE, B::DOUBLE) {
        (true, false) => {
            let out: StatusAnd<Single> = Double::from_bits(a.to_bits()).convert_r(round, lost);
            StatusAnd { status: out.status, value: B::from_bits(out.value.to_bits()) }
        }
        (false, true) => {
            let out: StatusAnd<Double> = Single::from_bits(a.to_bits()).convert_r(round, lost);
            StatusAnd { status: out.status, value: B::from_bits(out.value.to_bits()) }
        }
        _ => StatusAnd { status: Status::OK, value: B::from_bits(a.to_bits()) },
    }
}

pub(super) fn narrow_nan(c: &mut Core, a: Double) -> Single {
    if a.is_signaling() {
        c.raise(IOC);
    }
    if c.fpscr & DN != 0 {
        return Single::default_nan();
    }
    let bits = a.to_bits();
    Single::from_bits((bits >> 63) << 31 | 0x7fc0_0000 | bits >> 29 & 0x3f_ffff)
}

pub(super) fn widen_nan(c: &mut Core, a: Single) -> Double {
    if a.is_signaling() {
        c.raise(IOC);
    }
    if c.fpscr & DN != 0 {
        return Double::default_nan();
    }
    let bits = a.to_bits();
    Double::from_bits((bits >> 31) << 63 | 0x7ff8_0000_0000_0000 | (bits & 0x3f_ffff) << 29)
}
