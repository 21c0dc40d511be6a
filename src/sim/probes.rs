//! The probes a board can have: USB identity, firmware versions and what each version can do.

use super::time::{Costs, V2, V3};
use crate::error::{Error, Result};

/// One kind of probe.
#[derive(Debug)]
pub struct Kind {
    /// The word of `sim probe` and sim.toml.
    pub name: &'static str,
    pub vid: u16,
    pub pid: u16,
    pub generation: Generation,
    /// Its firmware is named V2J33M25: the third number is that of the mass storage part, not of SWIM.
    pub mass_storage: bool,
    /// The firmware it has unless told otherwise.
    pub firmware: &'static str,
    pub costs: &'static Costs,
    /// SWD clock after power-on, kHz: V2 as its hosts' logs show; V3 assumed.
    pub khz: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    V2,
    V3,
}

pub const KINDS: &[Kind] = &[
    Kind {
        name: "v2",
        vid: 0x0483,
        pid: 0x3748,
        generation: Generation::V2,
        mass_storage: false,
        firmware: "V2J37S7",
        costs: &V2,
        khz: 1800,
    },
    Kind {
        name: "v2-1",
        vid: 0x0483,
        pid: 0x374B,
        generation: Generation::V2,
        mass_storage: true,
        firmware: "V2J33M25",
        costs: &V2,
        khz: 1800,
    },
    Kind {
        name: "v3",
        vid: 0x0483,
        pid: 0x374E,
        generation: Generation::V3,
        mass_storage: true,
        firmware: "V3J10M3",
        costs: &V3,
        khz: 1000,
    },
];

impl Kind {
    pub fn named(name: &str) -> Result<&'static Kind> {
        let known = || KINDS.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
        KINDS
            .iter()
            .find(|kind| kind.name.eq_ignore_ascii_case(name))
            .ok_or_else(|| Error::usage(format!("the board has no probe `{name}`")).hint(format!("its probes: {}", known())))
    }
}

/// V`major`J`jtag`M`mass`B`bridge`S`swim`; a part the probe does not have is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Firmware {
    pub major: u8,
    pub jtag: u8,
    pub mass: u8,
    pub bridge: u8,
    pub swim: u8,
}

impl Firmware {
    /// "V2J37S7", for a probe of this kind.
    pub fn parse(text: &str, kind: &Kind) -> Result<Firmware> {
        let refuse = |why: &str| {
            let error = Error::usage(format!("`{text}` is no firmware of a {} probe: {why}", kind.name));
            error.hint(format!("such as {}", kind.firmware))
        };
        let firmware = read(text).ok_or_else(|| refuse("not V<n>J<n>, then M<n>, B<n>, S<n>"))?;
        match kind.generation {
            _ if firmware.major != kind.generation.number() => return Err(refuse("another generation")),
            Generation::V3 => {}
            // GET_VERSION has 6 bits for each number, and one field for M or S.
            Generation::V2 if firmware.jtag > 63 || firmware.mass > 63 || firmware.swim > 63 => return Err(refuse("a number above 63")),
            Generation::V2 if firmware.bridge != 0 => return Err(refuse("no bridge (B) there")),
            Generation::V2 if kind.mass_storage && firmware.swim != 0 => return Err(refuse("this kind says M, not S")),
            Generation::V2 if !kind.mass_storage && firmware.mass != 0 => return Err(refuse("this kind says S, not M")),
            Generation::V2 => {}
        }
        Ok(firmware)
    }

    /// GET_VERSION's first two bytes: 4, 6 and 6 bits, most significant first. A V3 leaves the last two 0 and tells the
    /// rest by GET_VERSION_EX.
    pub fn short(&self) -> [u8; 2] {
        let (x, y) = if self.major >= 3 { (0, 0) } else { (self.jtag, self.mass | self.swim) };
        (u16::from(self.major) << 12 | u16::from(x) << 6 | u16::from(y)).to_be_bytes()
    }
}

impl Generation {
    fn number(self) -> u8 {
        match self {
            Generation::V2 => 2,
            Generation::V3 => 3,
        }
    }
}

/// Letters in order, each with its number; V and J must be there.
fn read(text: &str) -> Option<Firmware> {
    let mut firmware = Firmware::default();
    let upper = text.to_ascii_uppercase();
    let mut rest = upper.as_str();
    for (letter, field, required) in [
        ('V', &mut firmware.major, true),
        ('J', &mut firmware.jtag, true),
        ('M', &mut firmware.mass, false),
        ('B', &mut firmware.bridge, false),
        ('S', &mut firmware.swim, false),
    ] {
        let Some(after) = rest.strip_prefix(letter) else {
            if required {
                return None;
            }
            continue;
        };
        let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
        *field = after[..digits].parse().ok()?;
        rest = &after[digits..];
    }
    rest.is_empty().then_some(firmware)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_encoded_as_real_probes_sent_them() {
        let v2 = Kind::named("v2").unwrap();
        assert_eq!(Firmware::parse("V2J16S0", v2).unwrap().short(), [0x24, 0x00]);
        assert_eq!(Firmware::parse("V2J37S7", v2).unwrap().short(), [0x29, 0x47]);
        assert_eq!(Firmware::parse("V2J33M25", Kind::named("v2-1").unwrap()).unwrap().short(), [0x28, 0x59]);
        let v3 = Firmware::parse("V3J7M3B5S1", Kind::named("V3").unwrap()).unwrap();
        assert_eq!((v3.short(), v3.jtag, v3.mass, v3.bridge, v3.swim), ([0x30, 0x00], 7, 3, 5, 1));
        assert_eq!(Firmware::parse("V3J15", Kind::named("v3").unwrap()).unwrap().jtag, 15);
    }

    #[test]
    fn firmware_that_the_probe_cannot_have_is_refused_with_an_example() {
        for (kind, text) in [
            ("v2", "J37"),
            ("v2", "V2"),
            ("v2", "V3J10M3"),
            ("v2", "V2J64S7"),
            ("v2", "V2J37M7"),
            ("v2-1", "V2J33S25"),
            ("v2-1", "V2J33M25B1"),
            ("v3", "V2J37S7"),
            ("v3", "V3J10M3x"),
            ("v3", "V3J300"),
            ("v3", "V3JM3"),
        ] {
            let kind = Kind::named(kind).unwrap();
            let error = Firmware::parse(text, kind).unwrap_err();
            assert!(error.message.starts_with(&format!("`{text}` is no firmware of a {}", kind.name)), "{error}");
            assert_eq!(error.hint.as_deref(), Some(format!("such as {}", kind.firmware).as_str()));
        }
        assert_eq!(Kind::named("v4").unwrap_err().hint.as_deref(), Some("its probes: v2, v2-1, v3"));
    }
}
