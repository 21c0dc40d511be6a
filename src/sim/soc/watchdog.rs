//! The watchdogs: independent (RM0433 46, RM0444 28) and window (RM0433 47, RM0444 29).

use super::super::periph::{Block, Periph};
use super::Ns;
use super::clock::{Apb, Clocks};
use super::ticker::Ticker;

/// RM0433 8.5.7, RM0444 5.2.5.
const LSI: u64 = 32_000;

/// Runs from LSI; nothing stops it but a reset.
pub struct Independent {
    pub block: &'static Block,
    running: bool,
    /// PR, RLR and WINR can be written.
    open: bool,
    prescaler: u32,
    reload: u32,
    window: u32,
    /// What the counter was loaded with, and its steps since.
    from: u32,
    ticker: Ticker,
}

const KR: u32 = 0x00;
const PR: u32 = 0x04;
const RLR: u32 = 0x08;
const WINR: u32 = 0x10;
const TOP: u32 = 0xFFF;

impl Independent {
    pub fn new(block: &'static Block) -> Independent {
        let ticker = Ticker::default();
        Independent { block, running: false, open: false, prescaler: 0, reload: TOP, window: TOP, from: TOP, ticker }
    }

    /// `hardware`: an option byte starts it with every reset.
    pub fn reset(&mut self, now: Ns, hardware: bool) {
        *self = Independent { running: hardware, ticker: Ticker::at(now, 0), ..Independent::new(self.block) };
    }

    /// Divider 4 to 256; codes 6 and 7 are the same.
    pub fn set_rate(&mut self, regs: &Periph, now: Ns, halted: bool) {
        let frozen = halted && regs.bit(self.block.freeze);
        let hz = if self.running && !frozen { LSI } else { 0 };
        self.ticker.set_rate(now, hz, 4 << self.prescaler.min(6));
    }

    /// When it runs out.
    pub fn due(&self) -> Option<Ns> {
        self.ticker.when(u64::from(self.from) + 1)
    }

    /// True: refreshed outside the window, so the chip is reset.
    pub fn wrote(&mut self, regs: &mut Periph, offset: u32, value: u32, now: Ns) -> bool {
        let mut early = false;
        match (offset, value & 0xFFFF) {
            (KR, 0xCCCC) => {
                self.open = false;
                if !std::mem::replace(&mut self.running, true) {
                    self.ticker.restart(now, 0);
                }
            }
            (KR, 0x5555) => self.open = true,
            (KR, 0xAAAA) => {
                self.open = false;
                early = self.refresh(now);
            }
            (KR, _) => self.open = false,
            (PR, value) if self.open => self.prescaler = value & 7,
            (RLR, value) if self.open => self.reload = value & TOP,
            // A write of WINR refreshes too (RM0433 46.3.2).
            (WINR, value) if self.open => {
                self.window = value & TOP;
                self.load(now);
            }
            _ => {}
        }
        for (offset, value) in [(PR, self.prescaler), (RLR, self.reload), (WINR, self.window)] {
            regs.poke(self.block.base + offset, value);
        }
        early
    }

    fn refresh(&mut self, now: Ns) -> bool {
        let left = u64::from(self.from).saturating_sub(self.ticker.count(now));
        let early = self.running && left > u64::from(self.window);
        self.load(now);
        early
    }

    fn load(&mut self, now: Ns) {
        self.from = self.reload;
        self.ticker.restart(now, 0);
    }
}

/// Runs from an APB clock divided by 4096.
pub struct Window {
    pub block: &'static Block,
    clock: Apb,
    armed: Option<(u32, u32)>,
    /// T as it was written, while WDGA is set.
    from: Option<u32>,
    /// EWIF came since T was written.
    warned: bool,
    ticker: Ticker,
}

const CR: u32 = 0x00;
const CFR: u32 = 0x04;
const SR: u32 = 0x08;
const WDGA: u32 = 1 << 7;
const T: u32 = 0x7F;
const EWI: u32 = 1 << 9;
const EWIF: u32 = 1;
/// The last value of T before the reset.
const LAST: u32 = 0x40;

impl Window {
    pub fn new(block: &'static Block, clock: Apb, armed: Option<(u32, u32)>) -> Window {
        Window { block, clock, armed, from: None, warned: false, ticker: Ticker::default() }
    }

    pub fn reset(&mut self, regs: &mut Periph, now: Ns, hardware: bool) {
        (self.from, self.warned, self.ticker) = (hardware.then_some(T), false, Ticker::at(now, 0));
        if hardware {
            regs.poke(self.block.base + CR, T | WDGA);
        }
    }

    pub fn set_rate(&mut self, regs: &Periph, now: Ns, clocks: &Clocks, halted: bool) {
        let frozen = halted && regs.bit(self.block.freeze);
        let hz = if self.from.is_some() && !frozen { clocks.apb(self.clock) } else { 0 };
        let step = regs.peek(self.block.base + CFR).unwrap_or(0) >> 11 & 7;
        self.ticker.set_rate(now, hz, 4096 << step);
    }

    /// When T falls from 0x40 to 0x3F. On the H7 that resets the chip only with RCC_GCR.WW1RSC set.
    pub fn due(&self, regs: &Periph) -> Option<Ns> {
        let from = self.from.filter(|_| self.armed.is_none() || regs.bit(self.armed))?;
        self.ticker.when(u64::from((from + 1).saturating_sub(LAST)))
    }

    /// When T gets to 0x40 and EWIF comes (RM0433 47.4.5).
    pub fn warns(&self) -> Option<Ns> {
        let from = self.from.filter(|_| !self.warned)?;
        self.ticker.when(u64::from(from.saturating_sub(LAST)))
    }

    /// True: EWIF came.
    pub fn advance(&mut self, regs: &mut Periph, now: Ns) -> bool {
        let came = self.warns().is_some_and(|at| at <= now);
        if came {
            self.warned = true;
            regs.poke(self.block.base + SR, EWIF);
        }
        came
    }

    /// Flags that interrupt. EWI stays set until a reset; that software cannot clear it is not modelled.
    pub fn pending(&self, regs: &Periph) -> u32 {
        let enabled = regs.peek(self.block.base + CFR).unwrap_or(0) & EWI != 0;
        if enabled { regs.peek(self.block.base + SR).unwrap_or(0) & EWIF } else { 0 }
    }

    /// True: T was written while it was above the window, or as less than 0x40.
    pub fn wrote(&mut self, regs: &mut Periph, offset: u32, value: u32, now: Ns) -> bool {
        if offset != CR {
            return false;
        }
        let window = regs.peek(self.block.base + CFR).unwrap_or(0) & T;
        let early = self.from.is_some() && self.left(now) > window;
        // WDGA stays set until a reset.
        if value & WDGA != 0 || self.from.is_some() {
            self.from = Some(value & T);
            self.warned = false;
            self.ticker.restart(now, 0);
            regs.poke(self.block.base + CR, value & T | WDGA);
        }
        let armed = self.armed.is_none() || regs.bit(self.armed);
        armed && self.from.is_some_and(|from| early || from < LAST)
    }

    fn left(&self, now: Ns) -> u32 {
        let count = u32::try_from(self.ticker.count(now)).unwrap_or(T);
        self.from.unwrap_or(T).wrapping_sub(count) & T
    }

    pub fn read(&self, offset: u32, plain: u32, now: Ns) -> u32 {
        if offset == CR && self.from.is_some() { self.left(now) | WDGA } else { plain }
    }

    pub fn changes(&self, offset: u32, now: Ns) -> Option<Ns> {
        if offset == CR { self.ticker.when(self.ticker.count(now) + 1) } else { None }
    }
}
