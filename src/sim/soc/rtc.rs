//! The real-time clock as far as it is read: it ticks seconds, and its ready flags are up (RM0433 48, RM0444 30).
//!
//! Assumed: the prescalers make 1 Hz, the date does not change at midnight, write protection is not checked.

use super::super::periph::{Block, Periph};
use super::Ns;
use super::ticker::Ticker;

const TR: u32 = 0x00;
/// RTC_ISR, or RTC_ICSR of the later kind: the flags stand alike.
const ICSR: u32 = 0x0C;
const INIT: u32 = 1 << 7;
/// Alarms and wake-up may be written, shadow registers are synchronised.
const READY: u32 = 0x27;
const DAY: u64 = 86_400;

pub struct Rtc {
    block: &'static Block,
    /// RTCEN: (register, bit).
    enable: (u32, u32),
    ticker: Ticker,
}

impl Rtc {
    pub fn new(block: &'static Block, enable: (u32, u32)) -> Rtc {
        Rtc { block, enable, ticker: Ticker::default() }
    }

    /// Only power-on stops it.
    pub fn reset(&mut self, now: Ns, power: bool) {
        if power {
            self.ticker = Ticker::at(now, 0);
        }
    }

    /// Runs with RTCEN, and not while it is being set.
    pub fn set_rate(&mut self, regs: &Periph, now: Ns) {
        let setting = regs.peek(self.block.base + ICSR).unwrap_or(0) & INIT != 0;
        let hz = u64::from(regs.bit(Some(self.enable)) && !setting);
        self.ticker.set_rate(now, hz, 1);
    }

    pub fn wrote(&mut self, offset: u32, value: u32, now: Ns) {
        if offset == TR {
            self.ticker.restart(now, from_bcd(value));
        }
    }

    pub fn read(&self, offset: u32, plain: u32, now: Ns) -> u32 {
        match offset {
            TR => to_bcd(self.ticker.count(now) % DAY),
            // INITF follows INIT.
            ICSR => plain | READY | (plain & INIT) >> 1,
            _ => plain,
        }
    }

    pub fn changes(&self, offset: u32, now: Ns) -> Option<Ns> {
        if offset == TR { self.ticker.when(self.ticker.count(now) + 1) } else { None }
    }
}

/// Hours, minutes and seconds, two digits each.
fn to_bcd(seconds: u64) -> u32 {
    let two = |value: u64| ((value / 10) * 0x10 + value % 10) as u32;
    two(seconds / 3600) << 16 | two(seconds / 60 % 60) << 8 | two(seconds % 60)
}

fn from_bcd(register: u32) -> u64 {
    let two = |shift: u32| u64::from(register >> (shift + 4) & 7) * 10 + u64::from(register >> shift & 0xF);
    two(16) * 3600 + two(8) * 60 + two(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_two_digits_each_and_back() {
        assert_eq!(to_bcd(23 * 3600 + 59 * 60 + 8), 0x23_5908);
        assert_eq!(from_bcd(0x23_5908), 23 * 3600 + 59 * 60 + 8);
    }
}
