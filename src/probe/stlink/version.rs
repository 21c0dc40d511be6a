//! The firmware version of an ST-Link.

use std::fmt;

/// Numbers of the parts of a probe's firmware; 0 where there is no such part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Version {
    /// 1, 2 (also V2-1), 3, 4 (V3P and V3PWR).
    pub hardware: u8,
    /// JTAG and SWD: every feature gate looks at this one.
    pub jtag: u8,
    pub swim: u8,
    pub mass_storage: u8,
    pub bridge: u8,
    pub pid: u16,
}

/// V2-1 boards, whose second number is the mass storage's and not the SWIM part's.
const V2_1: [u16; 2] = [0x374b, 0x3752];

impl Version {
    /// GET_VERSION: one big-endian half word (hardware 15:12, x 11:6, y 5:0), then vid and pid little-endian.
    pub fn decode(reply: &[u8; 6]) -> Version {
        let word = u16::from_be_bytes([reply[0], reply[1]]);
        let (x, y) = ((word >> 6 & 0x3f) as u8, (word & 0x3f) as u8);
        let version = Version { hardware: (word >> 12) as u8, pid: u16::from_le_bytes([reply[4], reply[5]]), ..Version::default() };
        if !V2_1.contains(&version.pid) {
            return Version { jtag: x, swim: y, ..version };
        }
        // Some V2-1 firmware for STM8 boards has mass storage and SWIM and no JTAG part.
        let swim_only = (x <= 22 && y == 7) || (x >= 25 && (7..=12).contains(&y));
        if swim_only { Version { mass_storage: x, swim: y, ..version } } else { Version { jtag: x, mass_storage: y, ..version } }
    }

    /// V3 says 0 for both numbers above and has another command, GET_VERSION_EX.
    pub fn is_extended(&self) -> bool {
        self.hardware >= 3 && self.jtag == 0 && self.swim == 0
    }

    /// GET_VERSION_EX: hardware, SWIM, JTAG, mass storage, bridge, 3 unused, vid, pid.
    pub fn decode_extended(reply: &[u8; 12]) -> Version {
        let pid = u16::from_le_bytes([reply[10], reply[11]]);
        Version { hardware: reply[0], swim: reply[1], jtag: reply[2], mass_storage: reply[3], bridge: reply[4], pid }
    }
}

/// As OpenOCD and ST spell it: V2J37S7, V2J33M25, V3J7M3B5S1.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "V{}", self.hardware)?;
        let part = |f: &mut fmt::Formatter, letter, number: u8, always| match number > 0 || always {
            true => write!(f, "{letter}{number}"),
            false => Ok(()),
        };
        part(f, 'J', self.jtag, self.mass_storage == 0)?;
        part(f, 'M', self.mass_storage, false)?;
        part(f, 'B', self.bridge, false)?;
        part(f, 'S', self.swim, self.mass_storage == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(hardware: u16, x: u16, y: u16, pid: u16) -> [u8; 6] {
        let word = (hardware << 12 | x << 6 | y).to_be_bytes();
        let pid = pid.to_le_bytes();
        [word[0], word[1], 0x83, 0x04, pid[0], pid[1]]
    }

    #[test]
    fn versions_are_spelled_as_openocd_spells_them() {
        let cases = [
            (reply(2, 37, 7, 0x3748), "V2J37S7", 37),
            (reply(2, 33, 25, 0x374b), "V2J33M25", 33),
            (reply(2, 31, 21, 0x374b), "V2J31M21", 31),
            (reply(2, 29, 0, 0x3748), "V2J29S0", 29),
            // No JTAG part: STM8 boards.
            (reply(2, 20, 7, 0x374b), "V2M20S7", 0),
            (reply(2, 26, 9, 0x3752), "V2M26S9", 0),
            // The neighbours of those odd cases have one.
            (reply(2, 24, 7, 0x374b), "V2J24M7", 24),
            (reply(2, 22, 8, 0x374b), "V2J22M8", 22),
            (reply(2, 25, 13, 0x374b), "V2J25M13", 25),
        ];
        for (reply, text, jtag) in cases {
            let version = Version::decode(&reply);
            assert_eq!((version.to_string().as_str(), version.jtag), (text, jtag));
        }
    }

    #[test]
    fn v3_has_its_own_command() {
        assert!(Version::decode(&reply(3, 0, 0, 0x374e)).is_extended());
        assert!(!Version::decode(&reply(2, 37, 7, 0x3748)).is_extended());
        let full = Version::decode_extended(&[3, 1, 7, 3, 5, 0, 0, 0, 0x83, 0x04, 0x4f, 0x37]);
        assert_eq!((full.to_string().as_str(), full.pid), ("V3J7M3B5S1", 0x374f));
        let usual = Version::decode_extended(&[3, 0, 10, 3, 0, 0, 0, 0, 0x83, 0x04, 0x4e, 0x37]);
        assert_eq!(usual.to_string(), "V3J10M3");
    }
}
