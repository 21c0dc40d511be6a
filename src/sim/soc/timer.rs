//! A timer as a counter that can be read and polled (RM0433 38-42, RM0444 21-25): counting up or down, prescaler,
//! one-pulse mode, the update flag. Channels are registers only.

use super::super::periph::{Block, Periph};
use super::Ns;
use super::clock::{Apb, Clocks};
use super::ticker::Ticker;

const CR1: u32 = 0x00;
const SR: u32 = 0x10;
const EGR: u32 = 0x14;
const CNT: u32 = 0x24;
const PSC: u32 = 0x28;
const ARR: u32 = 0x2C;

mod cr1 {
    pub const CEN: u32 = 1 << 0;
    pub const URS: u32 = 1 << 2;
    pub const OPM: u32 = 1 << 3;
    pub const DIR: u32 = 1 << 4;
}
const UIF: u32 = 1;

pub struct Timer {
    pub block: &'static Block,
    clock: Apb,
    top: u32,
    /// Counts within one period, from 0 to ARR.
    ticker: Ticker,
    /// The prescaler in use: PSC is taken over by an update.
    prescaler: u64,
    /// Counting down: the ticker holds the steps since ARR.
    down: bool,
}

impl Timer {
    pub fn new(block: &'static Block, wide: bool, clock: Apb) -> Timer {
        let top = if wide { u32::MAX } else { 0xFFFF };
        Timer { block, clock, top, ticker: Ticker::default(), prescaler: 1, down: false }
    }

    pub fn reset(&mut self, now: Ns) {
        (self.ticker, self.prescaler, self.down) = (Ticker::at(now, 0), 1, false);
    }

    fn reg(&self, regs: &Periph, offset: u32) -> u32 {
        regs.peek(self.block.base + offset).unwrap_or(0)
    }

    fn period(&self, regs: &Periph) -> u64 {
        u64::from(self.reg(regs, ARR) & self.top) + 1
    }

    fn counting(&self, regs: &Periph) -> bool {
        self.reg(regs, CR1) & cr1::CEN != 0
    }

    /// The rate as the registers, the clocks and the debugger want it. ARR = 0 stops the counter (RM0433 40.3.1).
    pub fn set_rate(&mut self, regs: &Periph, now: Ns, clocks: &Clocks, halted: bool) {
        let stopped = !self.counting(regs) || halted && regs.bit(self.block.freeze) || self.period(regs) == 1;
        let hz = if stopped || !regs.clocked(self.block.base) { 0 } else { clocks.timer(self.clock) };
        self.ticker.set_rate(now, hz, self.prescaler);
    }

    /// Updates up to `now`: the flag, the new prescaler, the end of one pulse.
    pub fn advance(&mut self, regs: &mut Periph, now: Ns, clocks: &Clocks, halted: bool) {
        if !self.ticker.runs() {
            return;
        }
        let (period, pulse) = (self.period(regs), self.reg(regs, CR1) & cr1::OPM != 0);
        let Some(update) = self.ticker.when(period).filter(|update| *update <= now) else { return };
        self.flag(regs);
        let wanted = u64::from(self.reg(regs, PSC)) + 1;
        if pulse {
            let cr1 = self.reg(regs, CR1);
            regs.poke(self.block.base + CR1, cr1 & !cr1::CEN);
        }
        if pulse || wanted != self.prescaler {
            self.prescaler = wanted;
            self.ticker.restart(update, 0);
            self.set_rate(regs, update, clocks, halted);
            // With the new prescaler there may be more updates.
            return self.advance(regs, now, clocks, halted);
        }
        self.whole_periods(now, period);
    }

    /// Moves the reference by whole periods, so that nothing is rounded.
    fn whole_periods(&mut self, now: Ns, period: u64) {
        let over = self.ticker.count(now) / period * period;
        if let Some(at) = self.ticker.when(over) {
            self.ticker.restart(at.min(now), 0);
        }
    }

    fn flag(&self, regs: &mut Periph) {
        let sr = self.reg(regs, SR);
        regs.poke(self.block.base + SR, sr | UIF);
    }

    pub fn wrote(&mut self, regs: &mut Periph, offset: u32, value: u32, now: Ns) {
        match offset {
            EGR if value & 1 == 1 => {
                self.prescaler = u64::from(self.reg(regs, PSC)) + 1;
                self.ticker.restart(now, 0);
                if self.reg(regs, CR1) & cr1::URS == 0 {
                    self.flag(regs);
                }
            }
            CNT => self.ticker.restart(now, self.mirror(regs, u64::from(value & self.top))),
            CR1 if self.down != (value & cr1::DIR != 0) => {
                let count = self.mirror(regs, self.ticker.count(now));
                self.down = !self.down;
                self.ticker.restart(now, self.mirror(regs, count));
            }
            _ => {}
        }
    }

    /// From CNT to steps and back.
    fn mirror(&self, regs: &Periph, count: u64) -> u64 {
        if self.down { (self.period(regs) - 1).saturating_sub(count) } else { count }
    }

    pub fn read(&self, regs: &Periph, offset: u32, plain: u32, now: Ns) -> u32 {
        if offset != CNT {
            return plain;
        }
        self.mirror(regs, self.ticker.count(now) % self.period(regs)) as u32
    }

    /// When what is read at this offset will read otherwise.
    pub fn changes(&self, regs: &Periph, offset: u32, now: Ns) -> Option<Ns> {
        match offset {
            CNT => self.ticker.when(self.ticker.count(now) + 1),
            SR | CR1 => self.ticker.when(self.period(regs)),
            _ => None,
        }
    }
}
