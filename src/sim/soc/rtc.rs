//! The real-time clock: it ticks seconds, its ready flags are up, its two alarms and its wake-up timer interrupt (RM0433
//! 48, RM0444 30).
//!
//! Assumed: the prescalers make 1 Hz, the date does not change at midnight, write protection is not checked. Not
//! modelled: sub-seconds of alarms, tamper, time stamps.

use super::super::periph::{Block, Periph, RtcFlags};
use super::Ns;
use super::ticker::Ticker;

const TR: u32 = 0x00;
const DR: u32 = 0x04;
/// RTC_ISR, or RTC_ICSR of the later kind: the flags stand alike.
const ICSR: u32 = 0x0C;
const WUTR: u32 = 0x14;
const INIT: u32 = 1 << 7;
/// Alarms and wake-up may be written, shadow registers are synchronised.
const READY: u32 = 0x27;
const DAY: u64 = 86_400;

/// Of the later kind: the flags, those that interrupt, and where ones clear them.
const SR: u32 = 0x50;
const MISR: u32 = 0x54;
const SCR: u32 = 0x5C;

/// As RTC_SR has them, and 8 bits higher RTC_ISR: alarm A, alarm B, wake-up. RTC_CR enables what they stand for from bit
/// 8 on, and their interrupts from bit 12 on.
const FLAGS: u32 = 7;
const ALARMS: u32 = 3;
const WAKE: u32 = 1 << 2;
/// Their lines of EXTI (RM0433 table 160).
const ALARM_LINE: u32 = 1 << 17;
const WAKE_LINE: u32 = 1 << 19;

pub struct Rtc {
    pub block: &'static Block,
    /// RTCEN: (register, bit).
    enable: (u32, u32),
    flags: RtcFlags,
    ticker: Ticker,
    /// The wake-up timer's clock, and its count at which the present round ends.
    waker: Ticker,
    wakes: Option<u64>,
    /// The second at which each alarm comes next.
    alarms: [Option<u64>; 2],
    /// Flags that came.
    raised: u32,
}

impl Rtc {
    pub fn new(block: &'static Block, enable: (u32, u32), flags: RtcFlags) -> Rtc {
        let (ticker, waker) = (Ticker::default(), Ticker::default());
        Rtc { block, enable, flags, ticker, waker, wakes: None, alarms: [None; 2], raised: 0 }
    }

    /// Only power-on stops it.
    pub fn reset(&mut self, now: Ns, power: bool) {
        if power {
            *self = Rtc { ticker: Ticker::at(now, 0), waker: Ticker::at(now, 0), ..Rtc::new(self.block, self.enable, self.flags) };
        }
    }

    fn reg(&self, regs: &Periph, offset: u32) -> u32 {
        regs.peek(self.block.base + offset).unwrap_or(0)
    }

    /// Offsets of CR, ALRMAR and ALRMBR.
    fn places(&self) -> [u32; 3] {
        match self.flags {
            RtcFlags::Isr => [0x08, 0x1C, 0x20],
            RtcFlags::SrByExti | RtcFlags::Sr => [0x18, 0x40, 0x48],
        }
    }

    fn control(&self, regs: &Periph) -> u32 {
        self.reg(regs, self.places()[0])
    }

    /// Runs with RTCEN, and not while it is being set.
    pub fn set_rate(&mut self, regs: &Periph, now: Ns) {
        let runs = regs.bit(Some(self.enable));
        let setting = self.reg(regs, ICSR) & INIT != 0;
        self.ticker.set_rate(now, u64::from(runs && !setting), 1);
        let (hz, divider) = self.wake_clock(regs);
        self.waker.set_rate(now, if runs { hz } else { 0 }, divider);
    }

    /// CR.WUCKSEL: RTCCLK by 16, 8, 4, 2, else the seconds; BDCR.RTCSEL: LSE, or LSI (assumed for HSE too).
    fn wake_clock(&self, regs: &Periph) -> (u64, u64) {
        let source = if regs.peek(self.enable.0).unwrap_or(0) >> 8 & 3 == 1 { 32_768 } else { 32_000 };
        match self.control(regs) & 7 {
            select @ 0..=3 => (source, 16 >> select),
            _ => (1, 1),
        }
    }

    /// Counts of one round: with WUCKSEL = 6 and 7 a 17th bit is set (RM0433 48.3.6).
    fn round(&self, regs: &Periph) -> u64 {
        let more = if self.control(regs) & 6 == 6 { 0x1_0000 } else { 0 };
        u64::from(self.reg(regs, WUTR)) + more + 1
    }

    /// After a write; `set_rate` comes next.
    pub fn wrote(&mut self, regs: &Periph, offset: u32, value: u32, now: Ns) {
        match (offset, self.flags) {
            (TR, _) => self.ticker.restart(now, from_bcd(value)),
            (ICSR, RtcFlags::Isr) => self.raised &= value >> 8,
            (SCR, RtcFlags::Sr | RtcFlags::SrByExti) => self.raised &= !value,
            _ => {}
        }
        let enabled = self.control(regs) >> 8;
        match (enabled & WAKE != 0, self.wakes) {
            (true, None) => {
                self.waker.restart(now, 0);
                self.wakes = Some(self.round(regs));
            }
            (true, Some(_)) => {}
            (false, _) => self.wakes = None,
        }
        self.alarms = [0, 1].map(|alarm| if enabled >> alarm & 1 == 1 { self.comes(regs, alarm, now) } else { None });
    }

    /// The next second at which an alarm comes, within a day.
    fn comes(&self, regs: &Periph, alarm: usize, now: Ns) -> Option<u64> {
        let wanted = self.reg(regs, self.places()[1 + alarm]);
        if !date_fits(wanted, self.reg(regs, DR)) {
            return None;
        }
        // MSK1 to MSK3: seconds, minutes, hours that do not count.
        let masks = [(7, 0x7F), (15, 0x7F00), (23, 0x7F_0000)];
        let counts = masks.iter().filter(|(bit, _)| wanted >> bit & 1 == 0).fold(0, |sum, (_, field)| sum | field);
        let next = self.ticker.count(now) + 1;
        (next..next + DAY).find(|second| (to_bcd(second % DAY) ^ wanted) & counts == 0)
    }

    /// When the next flag comes.
    pub fn due(&self) -> Option<Ns> {
        let alarms = self.alarms.iter().flatten().filter_map(|second| self.ticker.when(*second));
        alarms.chain(self.wakes.and_then(|count| self.waker.when(count))).min()
    }

    /// Flags up to `now`. True: one came.
    pub fn advance(&mut self, regs: &Periph, now: Ns) -> bool {
        let before = self.raised;
        let seconds = if self.ticker.runs() { self.ticker.count(now) } else { 0 };
        for alarm in 0..2 {
            if self.alarms[alarm].is_some_and(|second| second <= seconds) {
                self.raised |= 1 << alarm;
                self.alarms[alarm] = self.comes(regs, alarm, now);
            }
        }
        let counts = self.waker.count(now);
        if let Some(end) = self.wakes.filter(|end| *end <= counts) {
            self.raised |= WAKE;
            let round = self.round(regs);
            self.wakes = Some(end + ((counts - end) / round + 1) * round);
        }
        self.raised != before
    }

    /// Flags that interrupt: by their lines of EXTI, or as they are.
    pub fn pending(&self, regs: &Periph) -> u32 {
        let flags = self.raised & self.control(regs) >> 12 & FLAGS;
        let line = |wanted, line| if flags & wanted != 0 { line } else { 0 };
        match self.flags {
            RtcFlags::Sr => flags,
            RtcFlags::Isr | RtcFlags::SrByExti => line(ALARMS, ALARM_LINE) | line(WAKE, WAKE_LINE),
        }
    }

    pub fn read(&self, regs: &Periph, offset: u32, plain: u32, now: Ns) -> u32 {
        match (offset, self.flags) {
            (TR, _) => to_bcd(self.ticker.count(now) % DAY),
            // INITF follows INIT.
            (ICSR, RtcFlags::Isr) => plain | READY | (plain & INIT) >> 1 | self.raised << 8,
            (ICSR, _) => plain | READY | (plain & INIT) >> 1,
            (SR, RtcFlags::Sr | RtcFlags::SrByExti) => self.raised,
            (MISR, RtcFlags::Sr | RtcFlags::SrByExti) => self.raised & self.control(regs) >> 12,
            _ => plain,
        }
    }

    pub fn changes(&self, offset: u32, now: Ns) -> Option<Ns> {
        if offset == TR { self.ticker.when(self.ticker.count(now) + 1) } else { None }
    }
}

/// An alarm's day against RTC_DR: MSK4 lets every day pass, WDSEL compares the day of the week.
fn date_fits(alarm: u32, date: u32) -> bool {
    match (alarm >> 31, alarm >> 30 & 1) {
        (1, _) => true,
        (_, 1) => alarm >> 24 & 0xF == date >> 13 & 7,
        _ => alarm >> 24 & 0x3F == date & 0x3F,
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
