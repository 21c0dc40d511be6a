//! Time on the board: a virtual clock in nanoseconds, and what each thing a probe does costs.
//!
//! The clock moves only by what comes through the pipe (transfers and sleeps), so a run is exact and repeatable.
//! The model: a command costs its USB turn-around, and every word on the wire costs `clocks / f + overhead`, the overhead
//! being the probe's own handling of that word, its share of the USB data phase included. Each constant is marked: *fitted*
//! to published rates (probe-rs' RAM benchmark on an H743: V2 at 0.24 to 4 MHz, V3 at 0.2 to 24 MHz, -3.1 to +1.7 %),
//! *measured*, *specified* or *assumed*.

use super::chip::Ns;

pub const US: Ns = 1_000;
pub const MS: Ns = 1_000_000;

/// What one kind of probe costs its host.
#[derive(Debug, PartialEq, Eq)]
pub struct Costs {
    /// One word written or read: clocks on the wire and ns beside them. Fitted.
    pub write: (u64, Ns),
    pub read: (u64, Ns),
    /// A command with one data phase: two waited USB transfers, wire and firmware (Linux, xHCI). Fitted.
    pub command: Ns,
    /// A command without a data phase: one transfer less. The split of `command` is assumed.
    pub silent: Ns,
    /// The probe's pause before it repeats a request that was answered WAIT. Assumed.
    pub wait: Ns,
}

/// V2 and V2-1: the same STM32F103, SWD by software, USB full speed.
pub const V2: Costs = Costs { write: (54, 11_200), read: (47, 10_300), command: 80 * US, silent: 48 * US, wait: 7 * US };
/// V3: STM32F723, SWD by a SPI, USB high speed.
pub const V3: Costs = Costs { write: (46, 1_700), read: (47, 3_100), command: 70 * US, silent: 42 * US, wait: 1_200 };

/// The firmware repeats a request that is answered WAIT for this long, then gives up. Assumed.
pub const WAIT_MAX: Ns = 2 * MS;
/// Request, turn-around and acknowledge without a data phase: 8 + 1 + 3 + 1 clocks. Specified (ADIv5.2 B4.2.3).
pub const WAIT_CLOCKS: u64 = 13;
/// Entering SWD: two line resets and the switching sequence between them (specified, ADIv5.2 B5.2.2, rounded up to what
/// firmware sends), and the pauses of the firmware around them (assumed).
pub const ENTER_CLOCKS: u64 = 142;
pub const ENTER: Ns = 200 * US;
/// NRST low of `DRIVE_NRST 2`. Assumed.
pub const NRST_PULSE: Ns = 100 * US;
/// How long a host waits for an answer before it gives a bulk transfer up. OpenOCD's time-out.
pub const USB_TIMEOUT: Ns = 6_000 * MS;

impl Costs {
    pub fn write_word(&self, khz: u32) -> Ns {
        clocks(self.write.0, khz) + self.write.1
    }

    pub fn read_word(&self, khz: u32) -> Ns {
        clocks(self.read.0, khz) + self.read.1
    }

    pub fn retry(&self, khz: u32) -> Ns {
        clocks(WAIT_CLOCKS, khz) + self.wait
    }
}

/// What a V3 calls 3300 kHz is a third of 10 MHz (other hosts' lists say 3.33 MHz, and the published rates fit it).
const V3_NAMED: u32 = 3300;
const V3_REAL: u32 = 3333;

/// The duration of `count` clocks at `khz`.
pub fn clocks(count: u64, khz: u32) -> Ns {
    let khz = if khz == V3_NAMED { V3_REAL } else { khz };
    count * MS / u64::from(khz.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The model's own table of steps, µs: w(4) = 24.7, r(4) = 22.05, w(1.8) = 41.2, r(1.8) = 36.4; V3: w(24) = 3.62, r(24) = 5.06.
    #[test]
    fn a_word_costs_what_was_fitted() {
        assert_eq!(V2.write_word(4000), 24_700);
        assert_eq!(V2.read_word(4000), 22_050);
        assert_eq!(V2.write_word(1800), 41_200);
        assert_eq!(V2.read_word(1800), 36_411);
        assert_eq!(V3.write_word(24_000), 3_616);
        assert_eq!(V3.read_word(24_000), 5_058);
    }
}
