//! What an ST-Link understands and answers, as tables.
//!
//! ST does not publish the protocol. Commands, status bytes and version gates are those that OpenOCD, pyOCD, probe-rs
//! and Black Magic agree on; values marked "assumed" are not confirmed by two of them.

use super::super::UsbId;
use super::version::Version;

const fn id(pid: u16, name: &'static str, out: u8) -> UsbId {
    UsbId { vid: 0x0483, pid, name, out, input: 0x81 }
}

/// The endpoint for commands and data out.
const V2: u8 = 0x02;
const LATER: u8 = 0x01;

pub const USB: &[UsbId] = &[
    id(0x3748, "ST-Link V2", V2),
    id(0x374b, "ST-Link V2-1", LATER),
    id(0x3752, "ST-Link V2-1 (no mass storage)", LATER),
    id(0x374d, "ST-Link V3 (boot loader)", LATER),
    id(0x374e, "ST-Link V3E", LATER),
    id(0x374f, "ST-Link V3SET", LATER),
    id(0x3753, "ST-Link V3 (two serial ports)", LATER),
    id(0x3754, "ST-Link V3E (no mass storage)", LATER),
    id(0x3755, "ST-Link V3P (boot loader)", LATER),
    id(0x3757, "ST-Link V3PWR", LATER),
];

/// A command: its name as ST's tools and OpenOCD spell it, and the bytes it begins with.
#[derive(Clone, Copy, Debug)]
pub struct Op {
    pub name: &'static str,
    pub code: &'static [u8],
}

const fn op(name: &'static str, code: &'static [u8]) -> Op {
    Op { name, code }
}

pub const GET_VERSION: Op = op("GET_VERSION", &[0xf1]);
pub const GET_VERSION_EX: Op = op("GET_VERSION_EX", &[0xfb]);
pub const GET_CURRENT_MODE: Op = op("GET_CURRENT_MODE", &[0xf5]);
pub const GET_TARGET_VOLTAGE: Op = op("GET_TARGET_VOLTAGE", &[0xf7]);
pub const DFU_EXIT: Op = op("DFU_EXIT", &[0xf3, 0x07]);
pub const SWIM_EXIT: Op = op("SWIM_EXIT", &[0xf4, 0x01]);
pub const DEBUG_EXIT: Op = op("DEBUG_EXIT", &[0xf2, 0x21]);
pub const ENTER_SWD: Op = op("ENTER_SWD_NO_RESET", &[0xf2, 0x30, 0xa3]);
pub const GETLASTRWSTATUS2: Op = op("GETLASTRWSTATUS2", &[0xf2, 0x3e]);
pub const READREG: Op = op("READREG", &[0xf2, 0x33]);
pub const WRITEREG: Op = op("WRITEREG", &[0xf2, 0x34]);
pub const READALLREGS: Op = op("READALLREGS", &[0xf2, 0x3a]);
pub const WRITEDEBUGREG: Op = op("WRITEDEBUGREG", &[0xf2, 0x35]);
pub const READDEBUGREG: Op = op("READDEBUGREG", &[0xf2, 0x36]);
pub const DRIVE_NRST: Op = op("DRIVE_NRST", &[0xf2, 0x3c]);
pub const SWD_SET_FREQ: Op = op("SWD_SET_FREQ", &[0xf2, 0x43]);
pub const READ_DAP_REG: Op = op("READ_DAP_REG", &[0xf2, 0x45]);
pub const WRITE_DAP_REG: Op = op("WRITE_DAP_REG", &[0xf2, 0x46]);
pub const INIT_AP: Op = op("INIT_AP", &[0xf2, 0x4b]);
pub const CLOSE_AP: Op = op("CLOSE_AP", &[0xf2, 0x4c]);
pub const RW_MISC_OUT: Op = op("RW_MISC_OUT", &[0xf2, 0x51]);
pub const RW_MISC_IN: Op = op("RW_MISC_IN", &[0xf2, 0x52]);
pub const SET_COM_FREQ: Op = op("SET_COM_FREQ", &[0xf2, 0x61]);
pub const GET_COM_FREQ: Op = op("GET_COM_FREQ", &[0xf2, 0x62]);

pub const READMEM_8BIT: Op = op("READMEM_8BIT", &[0xf2, 0x0c]);
pub const READMEM_16BIT: Op = op("READMEM_16BIT", &[0xf2, 0x47]);
pub const READMEM_32BIT: Op = op("READMEM_32BIT", &[0xf2, 0x07]);
pub const WRITEMEM_8BIT: Op = op("WRITEMEM_8BIT", &[0xf2, 0x0d]);
pub const WRITEMEM_16BIT: Op = op("WRITEMEM_16BIT", &[0xf2, 0x48]);
pub const WRITEMEM_32BIT: Op = op("WRITEMEM_32BIT", &[0xf2, 0x08]);

/// Item kinds of RW_MISC: a write is two items, a read and a change of AP are one each.
pub const MISC_ADDRESS: u8 = 1;
pub const MISC_WRITE: u8 = 2;
pub const MISC_READ: u8 = 3;
pub const MISC_AP: u8 = 5;

/// What a status byte says about the access it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    Done,
    /// The target was busy; nothing says whether the last word of a block got through.
    Wait,
    /// The bus refused the access, now or (sticky) before.
    Fault,
    /// No or broken answer on the wire.
    Link,
    Refused,
}

pub const STATUS: &[(u8, &str, Meaning)] = &[
    (0x80, "OK", Meaning::Done),
    (0x81, "FAULT", Meaning::Fault),
    (0x09, "JTAG GET IDCODE ERROR", Meaning::Link),
    (0x0c, "JTAG WRITE ERROR", Meaning::Link),
    // OpenOCD and Black Magic take a write-verify error for success: the probe compares what cannot be read back.
    (0x0d, "JTAG WRITE VERIFY ERROR", Meaning::Done),
    (0x10, "SWD AP WAIT", Meaning::Wait),
    (0x11, "SWD AP FAULT", Meaning::Fault),
    (0x12, "SWD AP ERROR", Meaning::Link),
    (0x13, "SWD AP PARITY ERROR", Meaning::Link),
    (0x14, "SWD DP WAIT", Meaning::Wait),
    (0x15, "SWD DP FAULT", Meaning::Fault),
    (0x16, "SWD DP ERROR", Meaning::Link),
    (0x17, "SWD DP PARITY ERROR", Meaning::Link),
    (0x18, "SWD AP WDATA ERROR", Meaning::Link),
    (0x19, "SWD AP STICKY ERROR", Meaning::Fault),
    (0x1a, "SWD AP STICKY OVERRUN", Meaning::Link),
    (0x1d, "BAD AP", Meaning::Refused),
];

/// Name and meaning of a status byte.
pub fn status(code: u8) -> (&'static str, Meaning) {
    STATUS.iter().find(|row| row.0 == code).map_or(("unknown status", Meaning::Refused), |row| (row.1, row.2))
}

/// What a firmware version can or cannot do: what it is for (completes "… needs firmware"), and the first JTAG/SWD number
/// of a V2 and of a V3 that has it. V4 (V3P, V3PWR) counts like V3 (pyOCD).
#[derive(Clone, Copy)]
pub struct Feature(pub &'static str, u8, u8);

/// No firmware of this probe has the feature.
const NEVER: u8 = u8::MAX;

impl Feature {
    pub const VOLTAGE: Feature = Feature("measuring the target voltage", 13, 0);
    /// No chip is attached to without it, so what came before (J13 to J23) is no feature here.
    pub const DAP_REGISTERS: Feature = Feature("reaching DP and AP registers", 24, 0);
    pub const MEM_16: Feature = Feature("16-bit memory access", 26, 0);
    pub const INIT_AP: Feature = Feature("opening an access port", 28, 0);
    /// V2J28 answers CLOSE_AP with an error that means nothing.
    pub const CLOSE_AP: Feature = Feature("closing an access port", 29, 0);
    pub const BANKED_DP: Feature = Feature("reaching banked DP registers", 32, 2);
    pub const CSW: Feature = Feature("memory behind an access port other than AP 0", 32, 2);
    pub const RW_MISC: Feature = Feature("batches of memory accesses", 32, 2);
    pub const PACKET_512: Feature = Feature("byte transfers of 512 bytes", NEVER, 6);
    /// Earlier V3 firmware stops answering when a write to flash meets WAIT at 24 MHz (psdb, stlink_v3.py).
    pub const FASTEST_CLOCK: Feature = Feature("SWD at 24 MHz", 0, 10);

    /// The first JTAG/SWD firmware number that has it.
    pub fn since(self, hardware: u8) -> u8 {
        if hardware < 3 { self.1 } else { self.2 }
    }

    pub fn of(self, version: &Version) -> bool {
        version.jtag >= self.since(version.hardware)
    }
}

/// SWD clocks of V2 and V2-1: kHz and the divisor that SWD_SET_FREQ takes, fastest first.
pub const SWD_DIVISORS: &[(u32, u16)] =
    &[(4000, 0), (1800, 1), (1200, 2), (950, 3), (480, 7), (240, 15), (125, 31), (100, 40), (50, 79), (25, 158), (15, 265), (5, 798)];

/// SWD clocks of a V3, kHz, as one listed them: worth a try before the list is asked for.
pub const V3_SPEEDS: &[u32] = &[24_000, 8_000, 3_300, 1_000, 200, 50, 5];

/// The fastest clock that a firmware without `Feature::FASTEST_CLOCK` bears.
pub const SAFE_KHZ: u32 = 8000;

/// What one generation of probes can move, and how fast.
pub struct Limits {
    /// Items of one RW_MISC.
    pub misc_items: usize,
    /// Bytes of one write of words; what DESIGN.md allows, not what the probe takes (65,532).
    pub write: usize,
    /// Access ports that may be open at a time.
    pub open_aps: usize,
    pub write_pace: Pace,
    pub read_pace: Pace,
}

/// The time of one memory access: SWD clocks, and the firmware's own time in ns. Fitted to published measurements of
/// an H743 (9names, "CMSIS-DAP debug probe performance", 2022), good to 5 %.
pub struct Pace {
    pub clocks: u64,
    pub own_ns: u64,
}

pub const V2_LIMITS: Limits = Limits {
    misc_items: 64,
    write: 6144,
    open_aps: usize::MAX,
    write_pace: Pace { clocks: 54, own_ns: 11_200 },
    read_pace: Pace { clocks: 47, own_ns: 10_300 },
};

pub const V3_LIMITS: Limits = Limits {
    misc_items: 1227,
    write: 40 * 1024,
    open_aps: 8,
    write_pace: Pace { clocks: 46, own_ns: 1_700 },
    read_pace: Pace { clocks: 47, own_ns: 3_100 },
};

/// Bytes of one READMEM_16BIT, READMEM_32BIT or WRITEMEM_16BIT.
pub const BLOCK: usize = 6144;
/// Bytes of one 8-bit transfer: a full-speed USB packet, or (`Feature::PACKET_512`) a high-speed one.
pub const BYTES: usize = 64;
pub const BYTES_512: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_and_usb_ids_are_unambiguous() {
        for (index, row) in STATUS.iter().enumerate() {
            assert!(STATUS[..index].iter().all(|other| other.0 != row.0 && other.1 != row.1), "{}", row.1);
        }
        for (index, id) in USB.iter().enumerate() {
            assert!(USB[..index].iter().all(|other| other.pid != id.pid && other.name != id.name));
        }
    }
}
