//! A timer as a counter that can be read, polled and waited for (RM0433 38-42, RM0444 21-25): counting up or down,
//! prescaler and reload with their preload, one-pulse mode, the flags of updates and of channels that compare.
//!
//! Not modelled: capture, what channels do to pins, repetition (RCR), center-aligned counting, triggers and slave modes.

use super::super::periph::{Block, Periph};
use super::Ns;
use super::clock::{Apb, Clocks};
use super::ticker::Ticker;

const CR1: u32 = 0x00;
const DIER: u32 = 0x0C;
const SR: u32 = 0x10;
const EGR: u32 = 0x14;
const CCMR1: u32 = 0x18;
const CNT: u32 = 0x24;
const PSC: u32 = 0x28;
const ARR: u32 = 0x2C;
const CCR1: u32 = 0x34;

mod cr1 {
    pub const CEN: u32 = 1 << 0;
    pub const UDIS: u32 = 1 << 1;
    pub const URS: u32 = 1 << 2;
    pub const OPM: u32 = 1 << 3;
    pub const DIR: u32 = 1 << 4;
    pub const ARPE: u32 = 1 << 7;
}
/// Of DIER, SR and EGR; CC1IF to CC4IF are bits 1 to 4.
const UIF: u32 = 1;

/// Settings of the counter that are in use, and how far it has come.
#[derive(Clone, Copy)]
struct Run {
    ticker: Ticker,
    /// The ticker's count at which the present period began.
    start: u64,
    /// PSC + 1 as the last update took it over.
    prescaler: u64,
    /// ARR as the last update, or without preload the last write, took it over.
    reload: u32,
    /// Steps of the present period: more than ARR + 1 when ARR was set below the counter, which then goes on to the top.
    round: u64,
    /// Compares up to this count of the ticker have their flags.
    seen: u64,
    /// Counting down: the steps are those since ARR.
    down: bool,
}

pub struct Timer {
    pub block: &'static Block,
    clock: Apb,
    top: u32,
    channels: u8,
    run: Run,
    /// When the next flag comes, and when the next one that interrupts.
    pub due: Option<Ns>,
    pub wakes: Option<Ns>,
}

impl Timer {
    pub fn new(block: &'static Block, wide: bool, clock: Apb, channels: u8) -> Timer {
        let top = if wide { u32::MAX } else { 0xFFFF };
        Timer { block, clock, top, channels, run: Run::new(0, top), due: None, wakes: None }
    }

    pub fn reset(&mut self, now: Ns) {
        self.run = Run::new(now, self.top);
        (self.due, self.wakes) = (None, None);
    }

    fn reg(&self, regs: &Periph, offset: u32) -> u32 {
        regs.peek(self.block.base + offset).unwrap_or(0)
    }

    fn cr1(&self, regs: &Periph, bit: u32) -> bool {
        self.reg(regs, CR1) & bit != 0
    }

    fn period(&self) -> u64 {
        u64::from(self.run.reload) + 1
    }

    /// Flags that interrupt.
    pub fn pending(&self, regs: &Periph) -> u32 {
        self.reg(regs, SR) & self.reg(regs, DIER) & 0x1F
    }

    /// The rate as the registers, the clocks and the debugger want it. ARR = 0 stops the counter (RM0433 40.3.1).
    pub fn set_rate(&mut self, regs: &Periph, now: Ns, clocks: &Clocks, halted: bool) {
        let stopped = !self.cr1(regs, cr1::CEN) || halted && regs.bit(self.block.freeze) || self.run.round == 1;
        let hz = if stopped || !regs.clocked(self.block.base) { 0 } else { clocks.timer(self.clock) };
        self.run.ticker.set_rate(now, hz, self.run.prescaler);
        self.foresee(regs);
    }

    /// Fills `due` and `wakes`.
    fn foresee(&mut self, regs: &Periph) {
        (self.due, self.wakes) = (None, None);
        if !self.run.ticker.runs() {
            return;
        }
        let missing = self.reg(regs, DIER) & !self.reg(regs, SR);
        for (flag, at) in self.flags(regs) {
            self.due = self.due.into_iter().chain(at).min();
            if missing & flag != 0 {
                self.wakes = self.wakes.into_iter().chain(at).min();
            }
        }
    }

    /// Each flag and when it comes next: the update's first, then those of the channels.
    fn flags(&self, regs: &Periph) -> [(u32, Option<Ns>); 5] {
        let mut flags = [(UIF, self.run.ticker.when(self.run.end())), (2, None), (4, None), (8, None), (16, None)];
        for channel in 0..u32::from(self.channels) {
            let mode = self.reg(regs, CCMR1 + channel / 2 * 4) >> (8 * (channel % 2)) & 3;
            // CCxS = 0: the channel is an output.
            if mode == 0 {
                flags[channel as usize + 1].1 = self.run.ticker.when(self.meets(self.reg(regs, CCR1 + 4 * channel)));
            }
        }
        flags
    }

    /// The flags that come up to this moment.
    fn came(&self, regs: &Periph, until: Ns) -> u32 {
        let came = self.flags(regs).into_iter().filter(|(_, at)| at.is_some_and(|at| at <= until));
        came.fold(0, |sum, (flag, _)| sum | flag)
    }

    /// The first count of the ticker behind `seen` at which CNT is `compare`. One above ARR is met when the counter
    /// overflows (RM0433 38.4.5, CC1IF).
    fn meets(&self, compare: u32) -> u64 {
        let (compare, last) = (u64::from(compare & self.top), self.run.round - 1);
        let place = match self.run.down {
            _ if compare > last => 0,
            true => last - compare,
            false => compare,
        };
        let count = self.run.start + place;
        if count > self.run.seen { count } else { count + self.run.round }
    }

    /// Flags up to `now`, and with an update the new prescaler and reload, or the end of one pulse. True: a flag came.
    pub fn advance(&mut self, regs: &mut Periph, now: Ns, clocks: &Clocks, halted: bool) -> bool {
        let mut came = false;
        while self.due.is_some_and(|due| due <= now) {
            came = true;
            let update = self.run.ticker.when(self.run.end()).filter(|update| *update <= now);
            let flags: u32 = self.came(regs, update.unwrap_or(now));
            let without = if self.cr1(regs, cr1::UDIS) { UIF } else { 0 };
            regs.poke(self.block.base + SR, self.reg(regs, SR) | flags & !without);
            match update {
                Some(update) => self.update(regs, update, now, clocks, halted),
                None => self.run.seen = self.run.ticker.count(now),
            }
            self.foresee(regs);
        }
        came
    }

    /// One period is over. Where the next ones are the same, all that are over by `now` go at once.
    fn update(&mut self, regs: &mut Periph, update: Ns, now: Ns, clocks: &Clocks, halted: bool) {
        let before = (self.run.prescaler, self.run.round);
        if !self.cr1(regs, cr1::UDIS) {
            self.take_over(regs);
        }
        self.run.round = self.period();
        if self.cr1(regs, cr1::OPM) {
            let cr1 = self.reg(regs, CR1);
            regs.poke(self.block.base + CR1, cr1 & !cr1::CEN);
        } else if before == (self.run.prescaler, self.run.round) {
            return self.whole_periods(regs, now);
        }
        self.run.restart(update, 0);
        self.set_rate(regs, update, clocks, halted);
    }

    /// The period that `now` lies in is the present one; the ticker goes on, so that nothing is rounded.
    fn whole_periods(&mut self, regs: &mut Periph, now: Ns) {
        let over = self.run.steps(now) / self.run.round;
        if over > 1 {
            // Every compare was met in one of them.
            let met = self.came(regs, Ns::MAX) & !UIF;
            regs.poke(self.block.base + SR, self.reg(regs, SR) | met);
        }
        self.run.start += over * self.run.round;
        self.run.seen = self.run.start;
    }

    /// Prescaler and reload as an update takes them over.
    fn take_over(&mut self, regs: &Periph) {
        self.run.prescaler = u64::from(self.reg(regs, PSC)) + 1;
        self.run.reload = self.reg(regs, ARR) & self.top;
    }

    /// After a write; `set_rate` comes next.
    pub fn wrote(&mut self, regs: &mut Periph, offset: u32, value: u32, now: Ns) {
        match offset {
            EGR => self.generate(regs, value, now),
            CNT => self.run.restart(now, self.mirror(u64::from(value & self.top))),
            ARR if !self.cr1(regs, cr1::ARPE) => {
                let count = self.mirror(self.run.steps(now));
                self.run.reload = value & self.top;
                self.run.round = if count < self.period() { self.period() } else { u64::from(self.top) + 1 };
                if self.run.down {
                    self.run.restart(now, self.mirror(count));
                }
            }
            CR1 if self.run.down != (value & cr1::DIR != 0) => {
                let count = self.mirror(self.run.steps(now));
                self.run.down = !self.run.down;
                self.run.restart(now, self.mirror(count));
            }
            // What a compare register now holds is met from here on.
            _ => self.run.seen = self.run.ticker.count(now),
        }
    }

    /// Events by software: an update, which URS keeps from raising its flag and UDIS from taking over, and compares.
    fn generate(&mut self, regs: &mut Periph, value: u32, now: Ns) {
        let silent = if self.cr1(regs, cr1::URS | cr1::UDIS) { UIF } else { 0 };
        let compares = ((1 << self.channels) - 1) << 1;
        let sr = self.reg(regs, SR);
        regs.poke(self.block.base + SR, sr | value & (UIF | compares) & !silent);
        if value & UIF != 0 {
            if !self.cr1(regs, cr1::UDIS) {
                self.take_over(regs);
            }
            self.run.round = self.period();
            self.run.restart(now, 0);
        }
    }

    /// From CNT to steps and back.
    fn mirror(&self, count: u64) -> u64 {
        if self.run.down { (self.period() - 1).saturating_sub(count) } else { count }
    }

    pub fn read(&self, offset: u32, plain: u32, now: Ns) -> u32 {
        if offset != CNT {
            return plain;
        }
        self.mirror(self.run.steps(now) % self.run.round) as u32
    }

    /// When what is read at this offset will read otherwise.
    pub fn changes(&self, offset: u32, now: Ns) -> Option<Ns> {
        match offset {
            CNT => self.run.ticker.when(self.run.ticker.count(now) + 1),
            SR | CR1 => self.due,
            _ => None,
        }
    }
}

impl Run {
    fn new(now: Ns, top: u32) -> Run {
        Run { ticker: Ticker::at(now, 0), start: 0, prescaler: 1, reload: top, round: u64::from(top) + 1, seen: 0, down: false }
    }

    /// Steps of the present period, or more if it is over.
    fn steps(&self, now: Ns) -> u64 {
        self.ticker.count(now) - self.start
    }

    /// The ticker's count at which the present period ends.
    fn end(&self) -> u64 {
        self.start + self.round
    }

    /// From `count` on; a compare with the very value does not match.
    fn restart(&mut self, now: Ns, count: u64) {
        self.ticker.restart(now, count);
        (self.start, self.seen) = (0, count);
    }
}
