//! What peripherals do by themselves: clocks, pins, timers, watchdogs, the console. Registers are in periph.rs; here is
//! what a write sets off, what reads otherwise than it was written, and what happens as time goes by.
//!
//! Interrupts of peripherals are not modelled.

pub mod clock;
pub mod gpio;
mod rtc;
#[cfg(test)]
mod tests;
mod ticker;
mod timer;
mod watchdog;

pub use super::chip::Ns;

use super::boards::{self, BoardRow, Pin};
use super::chip::Cause;
use super::periph::{Block, Periph, Unit};
use clock::{Clocks, Tree};
use gpio::{Gpio, LedState, PinState};
use rtc::Rtc;
use std::collections::BTreeMap;
use timer::Timer;
use watchdog::{Independent, Window};

/// Watchdogs that option bytes start with every reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hardware {
    pub independent: bool,
    pub window: bool,
}

/// What a serial port that nobody reads keeps: the latest so many bytes.
const SENT: usize = 0x1_0000;

mod usart {
    pub const CR1: u32 = 0x00;
    pub const ISR: u32 = 0x1C;
    pub const TDR: u32 = 0x28;
    pub const UE: u32 = 1 << 0;
    pub const RE: u32 = 1 << 2;
    pub const TE: u32 = 1 << 3;
    pub const FIFOEN: u32 = 1 << 29;
    pub const TC_TXE: u32 = 3 << 6;
    pub const TEACK: u32 = 1 << 21;
    pub const REACK: u32 = 1 << 22;
    pub const TXFE: u32 = 1 << 23;
}

pub struct Soc {
    pub board: &'static BoardRow,
    rcc: Option<(Tree, u32)>,
    clocks: Option<Clocks>,
    gpio: Gpio,
    timers: Vec<Timer>,
    rtc: Option<Rtc>,
    independent: Option<Independent>,
    window: Option<Window>,
    /// What each serial port has sent, until it is asked for.
    sent: BTreeMap<&'static str, Vec<u8>>,
    now: Ns,
    halted: bool,
    bitten: Option<Cause>,
    /// When something that software read, and may be waiting for, changes.
    awaited: Option<Ns>,
}

impl Soc {
    pub fn new(chip: &str, regs: &Periph) -> Soc {
        let board = boards::of(chip);
        let mut soc = Soc {
            board,
            rcc: None,
            clocks: None,
            gpio: Gpio::new(regs, board),
            timers: Vec::new(),
            rtc: None,
            independent: None,
            window: None,
            sent: BTreeMap::new(),
            now: 0,
            halted: false,
            bitten: None,
            awaited: None,
        };
        regs.blocks.iter().for_each(|block| soc.add(block));
        soc
    }

    fn add(&mut self, block: &'static Block) {
        match block.unit {
            Unit::Registers | Unit::Port(_) | Unit::Uart => {}
            Unit::Clocks(tree) => self.rcc = Some((tree, block.base)),
            Unit::Timer { wide, clock } => self.timers.push(Timer::new(block, wide, clock)),
            Unit::Rtc { enable } => self.rtc = Some(Rtc::new(block, enable)),
            Unit::Independent => self.independent = Some(Independent::new(block)),
            Unit::Window { clock, armed } => self.window = Some(Window::new(block, clock, armed)),
        }
    }

    /// After the registers were reset. What was sent and what is put on pins stays.
    pub fn reset(&mut self, regs: &mut Periph, power: bool, hardware: Hardware) {
        let now = self.now;
        self.gpio.reset();
        self.timers.iter_mut().for_each(|timer| timer.reset(now));
        self.rtc.iter_mut().for_each(|rtc| rtc.reset(now, power));
        self.independent.iter_mut().for_each(|watchdog| watchdog.reset(now, hardware.independent));
        self.window.iter_mut().for_each(|watchdog| watchdog.reset(regs, now, hardware.window));
        (self.bitten, self.awaited) = (None, None);
        self.update(regs);
    }

    /// The core's clock in Hz; `None` where no clock tree is modelled.
    pub fn core_hz(&self) -> Option<u64> {
        self.clocks.map(|clocks| clocks.core)
    }

    /// Every rate anew, from the registers.
    fn update(&mut self, regs: &Periph) {
        let hse = self.board.hse;
        self.clocks = self.rcc.map(|(tree, base)| tree.clocks(&|offset| regs.peek(base + offset).unwrap_or(0), hse));
        let (now, halted) = (self.now, self.halted);
        if let Some(clocks) = &self.clocks {
            self.timers.iter_mut().for_each(|timer| timer.set_rate(regs, now, clocks, halted));
            self.window.iter_mut().for_each(|watchdog| watchdog.set_rate(regs, now, clocks, halted));
        }
        self.rtc.iter_mut().for_each(|rtc| rtc.set_rate(regs, now));
        self.independent.iter_mut().for_each(|watchdog| watchdog.set_rate(regs, now, halted));
    }

    /// The core stops or runs on: what DBGMCU freezes does too.
    pub fn halt(&mut self, regs: &Periph, halted: bool) {
        if self.halted != halted {
            self.halted = halted;
            self.update(regs);
        }
    }

    pub fn advance(&mut self, regs: &mut Periph, now: Ns) {
        self.now = self.now.max(now);
        self.awaited = self.awaited.filter(|at| *at > self.now);
        if let Some(clocks) = &self.clocks {
            self.timers.iter_mut().for_each(|timer| timer.advance(regs, self.now, clocks, self.halted));
        }
        if self.bitten.is_none() {
            self.bitten = self.bites(regs).filter(|(due, _)| *due <= self.now).map(|(_, cause)| cause);
        }
    }

    /// The watchdog that runs out first, and when.
    fn bites(&self, regs: &Periph) -> Option<(Ns, Cause)> {
        let independent = self.independent.as_ref().and_then(Independent::due).map(|due| (due, Cause::Independent));
        let window = self.window.as_ref().and_then(|watchdog| watchdog.due(regs)).map(|due| (due, Cause::Window));
        independent.into_iter().chain(window).min_by_key(|(due, _)| *due)
    }

    /// A watchdog resets the chip, until `reset`.
    pub fn bitten(&self) -> Option<Cause> {
        self.bitten
    }

    /// When the first watchdog runs out, or something changes that software read.
    pub fn next_event(&self, regs: &Periph) -> Option<Ns> {
        let bite = if self.bitten.is_none() { self.bites(regs).map(|(due, _)| due) } else { None };
        bite.into_iter().chain(self.awaited).min()
    }

    /// What software reads, if the register file says `plain`.
    pub fn read(&self, regs: &Periph, address: u32, plain: u32) -> u32 {
        let Some(block) = regs.block(address) else { return plain };
        let offset = (address - block.base) & !3;
        match block.unit {
            _ if !regs.clocked(block.base) => plain,
            Unit::Clocks(tree) => tree.read(offset, plain, &|offset| regs.peek(block.base + offset).unwrap_or(0), self.board.hse),
            Unit::Port(letter) => self.gpio.read(regs, letter, offset, plain),
            Unit::Uart => status(regs, block, offset, plain),
            Unit::Timer { .. } => self.timer(block).map_or(plain, |timer| timer.read(regs, offset, plain, self.now)),
            Unit::Rtc { .. } => self.rtc.as_ref().map_or(plain, |rtc| rtc.read(offset, plain, self.now)),
            Unit::Window { .. } => self.window.as_ref().map_or(plain, |watchdog| watchdog.read(offset, plain, self.now)),
            Unit::Registers | Unit::Independent => plain,
        }
    }

    fn timer(&self, block: &Block) -> Option<&Timer> {
        self.timers.iter().find(|timer| timer.block.base == block.base)
    }

    /// The core read this address: if it does so until it reads something else, `next_event` says when.
    pub fn watch(&mut self, regs: &Periph, address: u32) {
        let Some(block) = regs.block(address) else { return };
        let (offset, now) = ((address - block.base) & !3, self.now);
        let change = match block.unit {
            Unit::Timer { .. } => self.timer(block).and_then(|timer| timer.changes(regs, offset, now)),
            Unit::Rtc { .. } => self.rtc.as_ref().and_then(|rtc| rtc.changes(offset, now)),
            Unit::Window { .. } => self.window.as_ref().and_then(|watchdog| watchdog.changes(offset, now)),
            _ => None,
        };
        self.awaited = self.awaited.into_iter().chain(change).min();
    }

    /// After a write that the registers took. `value`: the bytes it carries, at their places.
    pub fn wrote(&mut self, regs: &mut Periph, address: u32, value: u32) {
        let Some(block) = regs.block(address) else { return };
        if !regs.clocked(block.base) {
            return;
        }
        let (offset, now) = ((address - block.base) & !3, self.now);
        match block.unit {
            Unit::Port(_) => return self.gpio.wrote(regs, now),
            Unit::Uart if offset == usart::TDR => return self.send(regs, block, value),
            Unit::Timer { .. } => {
                let timer = self.timers.iter_mut().find(|timer| timer.block.base == block.base);
                timer.into_iter().for_each(|timer| timer.wrote(regs, offset, value, now));
            }
            Unit::Rtc { .. } => self.rtc.iter_mut().for_each(|rtc| rtc.wrote(offset, value, now)),
            Unit::Independent => {
                if self.independent.as_mut().is_some_and(|watchdog| watchdog.wrote(regs, offset, value, now)) {
                    self.bitten = Some(Cause::Independent);
                }
            }
            Unit::Window { .. } => {
                if self.window.as_mut().is_some_and(|watchdog| watchdog.wrote(regs, offset, value, now)) {
                    self.bitten = Some(Cause::Window);
                }
            }
            Unit::Clocks(_) | Unit::Registers | Unit::Uart => {}
        }
        self.awaited = None;
        self.update(regs);
    }

    /// A byte leaves at once (assumed), whatever the pin's alternate function is; a ninth bit is dropped.
    fn send(&mut self, regs: &Periph, block: &Block, value: u32) {
        let wanted = usart::UE | usart::TE;
        if regs.peek(block.base + usart::CR1).unwrap_or(0) & wanted == wanted {
            let sent = self.sent.entry(block.name).or_default();
            sent.push(value as u8);
            if sent.len() > 2 * SENT {
                sent.drain(..sent.len() - SENT);
            }
        }
    }

    /// What this port has sent since it was last asked; without a name, the ports on the console's pin. `None`: no such
    /// port.
    pub fn take_sent(&mut self, regs: &Periph, port: Option<&str>) -> Option<Vec<u8>> {
        let there = |name: &&str| regs.blocks.iter().any(|block| block.unit == Unit::Uart && block.name.eq_ignore_ascii_case(name));
        let ports = port.map_or(self.board.console.to_vec(), |port| vec![port]);
        if !ports.iter().all(there) {
            return None;
        }
        let mine = self.sent.iter_mut().filter(|(name, _)| ports.iter().any(|port| port.eq_ignore_ascii_case(name)));
        Some(mine.flat_map(|(_, bytes)| std::mem::take(bytes)).collect())
    }

    pub fn ports(&self, regs: &Periph) -> Vec<&'static str> {
        regs.blocks.iter().filter(|block| block.unit == Unit::Uart).map(|block| block.name).collect()
    }

    pub fn leds(&self) -> Vec<LedState> {
        self.gpio.leds()
    }

    /// Pins in use: of another mode than after reset, or driven by hand.
    pub fn pins(&self, regs: &Periph) -> Vec<PinState> {
        self.gpio.pins(regs)
    }

    /// `None`: the chip has no such pin.
    pub fn pin(&self, regs: &Periph, pin: Pin) -> Option<PinState> {
        self.gpio.has(pin).then(|| self.gpio.pin(regs, pin))
    }

    /// Puts a level on a pin from outside.
    pub fn drive(&mut self, pin: Pin, high: bool) {
        self.gpio.drive(pin, high);
    }
}

/// USART_ISR: everything is sent and there is room, and the acknowledges follow their enable bits.
fn status(regs: &Periph, block: &Block, offset: u32, plain: u32) -> u32 {
    if offset != usart::ISR {
        return plain;
    }
    let cr1 = regs.peek(block.base + usart::CR1).unwrap_or(0);
    let when = |bits: u32, flag: u32| if cr1 & bits == bits { flag } else { 0 };
    let acknowledges = when(usart::UE | usart::TE, usart::TEACK) | when(usart::UE | usart::RE, usart::REACK);
    plain | usart::TC_TXE | acknowledges | when(usart::FIFOEN, usart::TXFE)
}
