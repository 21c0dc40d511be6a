//! Half precision. FPSCR.AHP chooses ARM's own format, which has one more binade instead of infinities and NaNs.

use super::super::Core;
use super::{AHP, DN, IOC, IXC, OFC, Precision, UFC, rounding, toward_zero_is_tiny};
use rustc_apfloat::ieee::Half;
use rustc_apfloat::{Float, FloatConvert, Round, Status, StatusAnd};

pub(super) fn half_to<F: Precision>(c: &mut Core, bits: u16) -> F
where
    Half: FloatConvert<F>,
{
    let (sign, exponent, fraction) = (bits >> 15 != 0, bits >> 10 & 31, bits & 0x3ff);
    if exponent == 31 && c.fpscr & AHP != 0 {
        // ±(1 + f/1024) × 2^16: beyond IEEE half, exact in the wider formats.
        let magnitude = F::from_u128(u128::from(1024 + fraction)).value.scalbn(6);
        return if sign { -magnitude } else { magnitude };
    }
    let half = Half::from_bits(bits.into());
    if half.is_nan() {
        if half.is_signaling() {
            c.raise(IOC);
        }
        if c.fpscr & DN != 0 {
            return F::default_nan();
        }
        // The payload keeps its place at the top of the fraction.
        let top = u128::from(fraction | 1 << 9) << (F::PRECISION - 11);
        let infinity = if sign { -F::INFINITY } else { F::INFINITY };
        return F::from_bits(infinity.to_bits() | top);
    }
    let mut lost = false;
    half.convert_r(Round::NearestTiesToEven, &mut lost).value
}

pub(super) fn to_half<F: Precision + FloatConvert<Half>>(c: &mut Core, a: F) -> u16 {
    let a = c.flushed(a);
    let sign = u16::from(a.is_negative()) << 15;
    let alternative = c.fpscr & AHP != 0;
    if a.is_nan() {
        if a.is_signaling() || alternative {
            c.raise(IOC);
        }
        if alternative {
            return sign;
        }
        if c.fpscr & DN != 0 {
            return 0x7e00;
        }
        let payload = (a.to_bits() >> (F::PRECISION - 11)) as u16 & 0x1ff;
        return sign | 0x7e00 | payload;
    }
    let round = rounding(c.fpscr);
    if alternative {
        return sign | alternative_half(c, a, round);
    }
    let mut lost = false;
    let out = a.convert_r(round, &mut lost);
    // Half results are never flushed: FPRoundBase clears fz for them.
    let mut flags = 0;
    // also where the mode makes it the largest number, which the library does not call so
    if out.status.contains(Status::OVERFLOW) || !a.is_infinite() && a.ilogb() > Half::MAX_EXP {
        flags |= OFC | IXC;
    }
    if out.status.contains(Status::INEXACT) {
        flags |= IXC;
        let truncated: StatusAnd<Half> = a.convert_r(Round::TowardZero, &mut lost);
        if toward_zero_is_tiny(truncated.value) {
            flags |= UFC;
        }
    }
    c.raise(flags);
    out.value.to_bits() as u16
}

/// ARM's alternative half: exponent 31 is one more binade; beyond it saturates with IOC. Without the sign.
fn alternative_half<F: Precision + FloatConvert<Half>>(c: &mut Core, a: F, round: Round) -> u16 {
    let magnitude = if a.is_negative() { -a } else { a };
    let round = match (round, a.is_negative()) {
        (Round::TowardPositive, true) => Round::TowardNegative,
        (Round::TowardNegative, true) => Round::TowardPositive,
        (other, _) => other,
    };
    let mut lost = false;
    let edge = F::from_u128(1 << 16).value;
    if magnitude < edge {
        let out: StatusAnd<Half> = magnitude.convert_r(round, &mut lost);
        let rounded_up = out.value.is_infinite() || out.status.contains(Status::OVERFLOW);
        if out.status.contains(Status::INEXACT) {
            c.raise(IXC);
            let truncated: StatusAnd<Half> = magnitude.convert_r(Round::TowardZero, &mut lost);
            if toward_zero_is_tiny(truncated.value) {
                c.raise(UFC);
            }
        }
        return if rounded_up { 0x7c00 } else { out.value.to_bits() as u16 };
    }
    let mut exact = true;
    let units = magnitude.scalbn(-6).to_u128_r(100, round, &mut exact).value;
    if magnitude.is_infinite() || units > 2047 {
        c.raise(IOC);
        return 0x7fff;
    }
    if !exact {
        c.raise(IXC);
    }
    0x7c00 | (units - 1024) as u16
}
