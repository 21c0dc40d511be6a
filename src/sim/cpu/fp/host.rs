//! The host's own floating point where it gives the same bits and flags: operands and result normal, and either the
//! inexact flag has nothing left to learn or the result is exact. `None`: compute it the long way.

use super::arith::Op;
use std::ops::{Add, Div, Mul, Neg, Sub};

/// One precision as the host has it.
trait Real: Copy + PartialEq + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + Div<Output = Self> + Neg<Output = Self> {
    fn normal(self) -> bool;
    /// Normal, and not the smallest: that one may have been tiny before rounding.
    fn safe(self) -> bool;
    fn fused(self, m: Self, addend: Self) -> Self;
    /// The product has no more significant bits than the format.
    fn product_is_exact(self, other: Self) -> bool;
    fn none(self) -> bool;
}

macro_rules! real {
    ($float:ty, $fraction:expr) => {
        impl Real for $float {
            fn normal(self) -> bool {
                self.is_normal()
            }
            fn safe(self) -> bool {
                self.is_normal() && self.abs() > <$float>::MIN_POSITIVE
            }
            fn fused(self, m: Self, addend: Self) -> Self {
                self.mul_add(m, addend)
            }
            fn product_is_exact(self, other: Self) -> bool {
                let mantissa = |x: $float| u128::from(x.to_bits() & ((1 << $fraction) - 1) | 1 << $fraction);
                let product = mantissa(self) * mantissa(other);
                128 - product.leading_zeros() - product.trailing_zeros() <= $fraction + 1
            }
            fn none(self) -> bool {
                self == 0.0
            }
        }
    };
}

real!(f32, 23);
real!(f64, 52);

/// Two's error of a sum is nothing (Knuth's TwoSum).
fn sum_is_exact<R: Real>(x: R, y: R, sum: R) -> bool {
    let part = sum - x;
    ((x - (sum - part)) + (y - part)).none()
}

fn operate<R: Real>(op: Op, x: R, y: R, inexact_known: bool) -> Option<R> {
    let value = match op {
        Op::Add => x + y,
        Op::Sub => x - y,
        Op::Mul => x * y,
        Op::Div => x / y,
    };
    if !(x.normal() && y.normal() && value.safe()) {
        return None;
    }
    let exact = || match op {
        Op::Add => sum_is_exact(x, y, value),
        Op::Sub => sum_is_exact(x, -y, value),
        Op::Mul => x.product_is_exact(y),
        Op::Div => value.product_is_exact(y) && value * y == x,
    };
    (inexact_known || exact()).then_some(value)
}

fn multiply_add<R: Real>(addend: R, n: R, m: R, inexact_known: bool) -> Option<R> {
    let value = n.fused(m, addend);
    if !(addend.normal() && n.normal() && m.normal() && value.safe()) {
        return None;
    }
    let exact = || {
        let product = n * m;
        product.safe() && n.product_is_exact(m) && sum_is_exact(product, addend, value)
    };
    (inexact_known || exact()).then_some(value)
}

pub(super) fn compute(op: Op, double: bool, a: u64, b: u64, inexact_known: bool) -> Option<u64> {
    if double {
        operate(op, f64::from_bits(a), f64::from_bits(b), inexact_known).map(f64::to_bits)
    } else {
        operate(op, f32::from_bits(a as u32), f32::from_bits(b as u32), inexact_known).map(|value| value.to_bits().into())
    }
}

pub(super) fn fused(double: bool, addend: u64, n: u64, m: u64, inexact_known: bool) -> Option<u64> {
    if double {
        multiply_add(f64::from_bits(addend), f64::from_bits(n), f64::from_bits(m), inexact_known).map(f64::to_bits)
    } else {
        let [addend, n, m] = [addend, n, m].map(|bits| f32::from_bits(bits as u32));
        multiply_add(addend, n, m, inexact_known).map(|value| value.to_bits().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustc_apfloat::ieee::{Double, Single};
    use rustc_apfloat::{Float, Status, StatusAnd};

    /// Numbers with few and with many significant bits, of near and far exponents.
    fn operands(double: bool) -> Vec<u64> {
        let mut state = 0x2545_F491_4F6C_DD1Du64;
        let next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let (bits, exponent) = (state >> 24, state >> 4 & 63);
            let kept = u64::MAX << (state & 63);
            if double {
                (bits << 12 & kept & ((1 << 52) - 1)) | (990 + exponent) << 52 | state << 63
            } else {
                (bits & kept & ((1 << 23) - 1)) | (96 + exponent) << 23 | (state & 1) << 31
            }
        };
        std::iter::repeat_with(next).take(300).collect()
    }

    fn slow<F: Float>(op: Op, a: u64, b: u64) -> (u64, bool) {
        let (a, b) = (F::from_bits(a.into()), F::from_bits(b.into()));
        let StatusAnd { status, value } = match op {
            Op::Add => a + b,
            Op::Sub => a - b,
            Op::Mul => a * b,
            Op::Div => a / b,
        };
        (value.to_bits() as u64, status.contains(Status::INEXACT))
    }

    fn slow_fused<F: Float>(addend: u64, n: u64, m: u64) -> (u64, bool) {
        let [addend, n, m] = [addend, n, m].map(|bits| F::from_bits(bits.into()));
        let StatusAnd { status, value } = n.mul_add(m, addend);
        (value.to_bits() as u64, status.contains(Status::INEXACT))
    }

    #[test]
    fn the_host_rounds_as_the_library_and_knows_when_a_result_is_exact() {
        for double in [false, true] {
            let operands = operands(double);
            let mut exact = 0;
            for (a, b) in operands.iter().flat_map(|a| operands.iter().map(move |b| (*a, *b))) {
                for op in [Op::Add, Op::Sub, Op::Mul, Op::Div] {
                    let (value, inexact) = if double { slow::<Double>(op, a, b) } else { slow::<Single>(op, a, b) };
                    let Some(quick) = compute(op, double, a, b, true) else { continue };
                    assert_eq!(quick, value, "{a:x} {b:x}");
                    assert_eq!(compute(op, double, a, b, false).is_some(), !inexact, "{a:x} {b:x}");
                    exact += usize::from(!inexact);
                }
            }
            assert!(exact > 1000, "{exact}");
        }
    }

    #[test]
    fn a_fused_product_is_rounded_once() {
        for double in [false, true] {
            let operands = operands(double);
            for three in operands.windows(3).chain(operands.chunks_exact(3)) {
                let [a, n, m] = [three[0], three[1], three[2]];
                let (value, inexact) = if double { slow_fused::<Double>(a, n, m) } else { slow_fused::<Single>(a, n, m) };
                assert!(fused(double, a, n, m, true).is_none_or(|quick| quick == value), "{a:x} {n:x} {m:x}");
                assert!(!inexact || fused(double, a, n, m, false).is_none(), "{a:x} {n:x} {m:x}");
            }
        }
    }
}
