//! Floating point: FPv4-SP (Cortex-M4) and FPv5-D16 (Cortex-M7), DDI0403E A2.5 and A6.
//!
//! Arithmetic is crate rustc_apfloat's (every rounding mode, every exception flag); the common case (default mode,
//! everything finite and normal) takes the host's own floating point, which rounds alike (host.rs).

mod arith;
mod convert;
mod half;
mod host;
mod insn;

use super::Core;
use super::decode::Insn;
pub use insn::*;
use rustc_apfloat::ieee::{Double, Single};
use rustc_apfloat::{Float, Round, Status, StatusAnd};

// FPSCR, DDI0403E A2.5.3
const IOC: u32 = 1 << 0;
const DZC: u32 = 1 << 1;
const OFC: u32 = 1 << 2;
const UFC: u32 = 1 << 3;
const IXC: u32 = 1 << 4;
const IDC: u32 = 1 << 7;
const FZ: u32 = 1 << 24;
const DN: u32 = 1 << 25;
const AHP: u32 = 1 << 26;

/// FPSCR.RMode
fn rounding(fpscr: u32) -> Round {
    [Round::NearestTiesToEven, Round::TowardPositive, Round::TowardNegative, Round::TowardZero][(fpscr >> 22 & 3) as usize]
}

/// One precision: how its registers are numbered, and its bits.
trait Precision: Float + Copy {
    const DOUBLE: bool;
    fn operand(c: &Core, number: usize) -> Self;
    fn put(self, c: &mut Core, number: usize);
    fn default_nan() -> Self;
}

impl Precision for Single {
    const DOUBLE: bool = false;
    fn operand(c: &Core, number: usize) -> Single {
        Single::from_bits(c.s[number & 31].into())
    }
    fn put(self, c: &mut Core, number: usize) {
        c.s[number & 31] = self.to_bits() as u32;
    }
    fn default_nan() -> Single {
        Single::from_bits(0x7fc0_0000)
    }
}

impl Precision for Double {
    const DOUBLE: bool = true;
    fn operand(c: &Core, number: usize) -> Double {
        Double::from_bits(c.d(number).into())
    }
    fn put(self, c: &mut Core, number: usize) {
        c.set_d(number, self.to_bits() as u64);
    }
    fn default_nan() -> Double {
        Double::from_bits(0x7ff8_0000_0000_0000)
    }
}

/// Register number from its four bits and the extra one: Vx:X for S, X:Vx for D.
fn number(i: &Insn, low: u32, extra: u32) -> usize {
    let (v, x) = (i.raw >> low & 15, i.raw >> extra & 1);
    (if i.double { x << 4 | v } else { v << 1 | x }) as usize
}

fn vd(i: &Insn) -> usize {
    number(i, 12, 22)
}

fn vn(i: &Insn) -> usize {
    number(i, 16, 7)
}

fn vm(i: &Insn) -> usize {
    number(i, 0, 5)
}

fn single_of(v: u32, x: u32) -> usize {
    (v << 1 | x) as usize
}

impl Core {
    pub fn d(&self, number: usize) -> u64 {
        u64::from(self.s[(number * 2) & 31]) | u64::from(self.s[(number * 2 + 1) & 31]) << 32
    }

    pub fn set_d(&mut self, number: usize, value: u64) {
        self.s[(number * 2) & 31] = value as u32;
        self.s[(number * 2 + 1) & 31] = (value >> 32) as u32;
    }

    fn raise(&mut self, flags: u32) {
        self.fpscr |= flags;
    }

    /// FZ: a denormal operand counts as zero (FPUnpack).
    fn flushed<F: Precision>(&mut self, value: F) -> F {
        if self.fpscr & FZ != 0 && value.is_denormal() {
            self.raise(IDC);
            return if value.is_negative() { -F::ZERO } else { F::ZERO };
        }
        value
    }

    fn fetch<F: Precision>(&mut self, number: usize) -> F {
        let value = F::operand(self, number);
        self.flushed(value)
    }

    /// FPProcessNaNs: signalling before quiet, left before right; `None`: no NaN among them.
    fn nan_of<F: Precision>(&mut self, operands: &[F]) -> Option<F> {
        let chosen = operands.iter().find(|x| x.is_signaling()).or_else(|| operands.iter().find(|x| x.is_nan()))?;
        if operands.iter().any(|x| x.is_signaling()) {
            self.raise(IOC);
        }
        Some(if self.fpscr & DN != 0 { F::default_nan() } else { quiet(*chosen) })
    }

    /// Flags of a rounded result. ARM detects tininess before rounding, the library after it; and the library tells no
    /// overflow that ends in the largest number instead of infinity (DDI0403E D6, FPRound). `halved` is half the result,
    /// rounded toward zero.
    fn round_off<F: Precision>(&mut self, outcome: StatusAnd<F>, toward_zero: impl FnOnce() -> F, halved: impl FnOnce() -> F) -> F {
        let StatusAnd { status, value } = outcome;
        if value.is_nan() {
            self.raise(IOC);
            return F::default_nan();
        }
        let mut flags = 0;
        if status.contains(Status::DIV_BY_ZERO) {
            flags |= DZC;
        }
        let largest = status.contains(Status::INEXACT) && magnitude(value) == F::largest();
        if status.contains(Status::OVERFLOW) || largest && magnitude(halved()) > half(F::largest()) {
            flags |= OFC;
        }
        if status.contains(Status::INEXACT) {
            flags |= IXC;
            let at_edge = value.is_denormal() || value.is_zero() || value.is_smallest_normalized();
            if at_edge && toward_zero_is_tiny(toward_zero()) {
                flags |= UFC;
            }
        }
        if self.fpscr & FZ != 0 && (value.is_denormal() || flags & UFC != 0) {
            self.raise(UFC);
            return if value.is_negative() { -F::ZERO } else { F::ZERO };
        }
        self.raise(flags);
        value
    }

    /// Rounding is to nearest, nothing is flushed or defaulted: the host's own arithmetic.
    fn plain(&self) -> bool {
        self.fpscr & (FZ | DN | 3 << 22) == 0
    }
}

fn magnitude<F: Float>(value: F) -> F {
    if value.is_negative() { -value } else { value }
}

/// Exact unless the result is denormal.
fn half<F: Float>(value: F) -> F {
    value.scalbn(-1)
}

fn toward_zero_is_tiny<F: Float>(value: F) -> bool {
    value.is_denormal() || value.is_zero()
}

fn quiet<F: Float>(value: F) -> F {
    // The top fraction bit is the quiet bit; the sign and the rest of the payload stay.
    F::from_bits(value.to_bits() | 1 << (F::PRECISION - 2))
}

fn read_bits(c: &Core, i: &Insn, number: usize) -> u64 {
    if i.double { c.d(number) } else { c.s[number & 31].into() }
}

fn write_bits(c: &mut Core, i: &Insn, number: usize, value: u64) {
    if i.double { c.set_d(number, value) } else { c.s[number & 31] = value as u32 }
}

fn negated(i: &Insn, value: u64) -> u64 {
    value ^ if i.double { 1 << 63 } else { 1 << 31 }
}
