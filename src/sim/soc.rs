//! What peripherals do by themselves: clocks, pins, timers, watchdogs, serial ports, interrupts. Registers are in
//! periph.rs; here is what a write sets off, what reads otherwise than it was written, and what happens as time goes by.

pub mod checksum;
pub mod clock;
mod exti;
pub mod gpio;
pub mod hsem;
pub mod irq;
mod rtc;
#[cfg(test)]
mod tests;
mod ticker;
mod timer;
mod uart;
mod watchdog;

pub use super::chip::Ns;

use super::boards::{self, BoardRow, Pin};
use super::chip::Cause;
use super::periph::{Block, Periph, RtcFlags, Unit};
use checksum::Checksum;
use clock::{Clocks, Tree};
use exti::Exti;
use gpio::{Gpio, LedState, PinState};
use hsem::Semaphores;
use irq::{Each, Levels, Lines};
use rtc::Rtc;
use timer::Timer;
use uart::Uart;
use watchdog::{Independent, Window};

/// Watchdogs that option bytes start with every reset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hardware {
    pub independent: bool,
    pub window: bool,
}

pub struct Soc {
    pub board: &'static BoardRow,
    /// What is at HSE, Hz: the board's, until it is taken away.
    hse: u64,
    rcc: Option<(Tree, u32)>,
    clocks: Option<Clocks>,
    gpio: Gpio,
    timers: Vec<Timer>,
    rtc: Option<Rtc>,
    independent: Option<Independent>,
    window: Option<Window>,
    uarts: Vec<Uart>,
    exti: Option<Exti>,
    lines: Lines,
    semaphores: Semaphores,
    checksum: Checksum,
    /// A semaphore's interrupt line rose.
    freed: Each<bool>,
    /// It is the second core, or its access port, that reads and writes now.
    pub second: bool,
    /// Added to RCC_CR: D1CKRDY and D2CKRDY of a dual-core chip.
    pub domains: u32,
    now: Ns,
    halted: bool,
    bitten: Option<Cause>,
    /// When something that software read, and may be waiting for, changes.
    awaited: Option<Ns>,
    /// When the core has to be told of something, and when something happens at all.
    next: Option<Ns>,
    due: Option<Ns>,
}

impl Soc {
    pub fn new(chip: &str, regs: &Periph) -> Soc {
        let board = boards::of(chip);
        let mut soc = Soc {
            board,
            hse: board.hse,
            rcc: None,
            clocks: None,
            gpio: Gpio::new(regs, board),
            timers: Vec::new(),
            rtc: None,
            independent: None,
            window: None,
            uarts: Vec::new(),
            exti: None,
            lines: Lines::new(regs),
            semaphores: Semaphores::default(),
            checksum: Checksum::default(),
            freed: [false; 2],
            second: false,
            domains: 0,
            now: 0,
            halted: false,
            bitten: None,
            awaited: None,
            next: None,
            due: None,
        };
        regs.blocks.iter().for_each(|block| soc.add(block));
        soc
    }

    fn add(&mut self, block: &'static Block) {
        match block.unit {
            Unit::Registers | Unit::Port(_) | Unit::Semaphores | Unit::Checksum => {}
            Unit::Uart { .. } => self.uarts.push(Uart::new(block)),
            Unit::Exti { kind, select } => self.exti = Some(Exti::new(block, kind, select)),
            Unit::Clocks(tree) => self.rcc = Some((tree, block.base)),
            Unit::Timer { wide, clock, channels } => self.timers.push(Timer::new(block, wide, clock, channels)),
            Unit::Rtc { enable, flags } => self.rtc = Some(Rtc::new(block, enable, flags)),
            Unit::Independent => self.independent = Some(Independent::new(block)),
            Unit::Window { clock, armed } => self.window = Some(Window::new(block, clock, armed)),
        }
    }

    /// After the registers were reset. What was sent and what is put on pins stays.
    pub fn reset(&mut self, regs: &mut Periph, power: bool, hardware: Hardware) {
        let now = self.now;
        self.gpio.reset();
        (self.semaphores, self.freed) = (Semaphores::default(), [false; 2]);
        self.checksum = Checksum::default();
        self.timers.iter_mut().for_each(|timer| timer.reset(now));
        self.uarts.iter_mut().for_each(Uart::reset);
        self.exti.iter_mut().for_each(Exti::reset);
        self.rtc.iter_mut().for_each(|rtc| rtc.reset(now, power));
        self.independent.iter_mut().for_each(|watchdog| watchdog.reset(now, hardware.independent));
        self.window.iter_mut().for_each(|watchdog| watchdog.reset(regs, now, hardware.window));
        (self.bitten, self.awaited) = (None, None);
        self.update(regs);
        self.lines.blocks().into_iter().for_each(|block| self.judge(regs, block));
    }

    /// The debug port has its pins.
    pub fn swd(&self) -> bool {
        self.gpio.swd
    }

    /// The core's clock in Hz; `None` where no clock tree is modelled.
    pub fn core_hz(&self) -> Option<u64> {
        self.clocks.map(|clocks| clocks.core)
    }

    /// The second core's clock, that of the bus.
    pub fn bus_hz(&self) -> Option<u64> {
        self.clocks.map(|clocks| clocks.bus)
    }

    /// The crystal is there, or not.
    pub fn set_crystal(&mut self, regs: &Periph, there: bool) {
        self.hse = if there { self.board.hse } else { 0 };
        self.update(regs);
    }

    /// Every rate anew, from the registers.
    fn update(&mut self, regs: &Periph) {
        let hse = self.hse;
        self.clocks = self.rcc.map(|(tree, base)| tree.clocks(&|offset| regs.peek(base + offset).unwrap_or(0), hse));
        let (now, halted) = (self.now, self.halted);
        if let Some(clocks) = &self.clocks {
            self.timers.iter_mut().for_each(|timer| timer.set_rate(regs, now, clocks, halted));
            self.uarts.iter_mut().for_each(|uart| uart.set_rate(regs, clocks));
            self.window.iter_mut().for_each(|watchdog| watchdog.set_rate(regs, now, clocks, halted));
        }
        self.rtc.iter_mut().for_each(|rtc| rtc.set_rate(regs, now));
        self.independent.iter_mut().for_each(|watchdog| watchdog.set_rate(regs, now, halted));
        self.foresee(regs);
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
        if self.due.is_none_or(|due| due > self.now) {
            return;
        }
        self.awaited = self.awaited.filter(|at| *at > self.now);
        for block in self.live(regs) {
            self.judge(regs, block);
        }
        if self.bitten.is_none() {
            self.bitten = self.bites(regs).filter(|(due, _)| *due <= self.now).map(|(_, cause)| cause);
        }
        self.foresee(regs);
    }

    /// What ticks, up to now; the blocks whose flags came.
    fn live(&mut self, regs: &mut Periph) -> Vec<&'static Block> {
        let (now, halted) = (self.now, self.halted);
        let mut changed = Vec::new();
        if let Some(clocks) = &self.clocks {
            let timers = self.timers.iter_mut().filter_map(|timer| timer.advance(regs, now, clocks, halted).then_some(timer.block));
            changed.extend(timers);
        }
        changed.extend(self.uarts.iter_mut().filter_map(|uart| uart.advance(regs, now).then_some(uart.block)));
        changed.extend(self.rtc.iter_mut().filter_map(|rtc| rtc.advance(regs, now).then_some(rtc.block)));
        changed.extend(self.window.iter_mut().filter_map(|watchdog| watchdog.advance(regs, now).then_some(watchdog.block)));
        changed
    }

    /// Fills `next` and `due`.
    fn foresee(&mut self, regs: &Periph) {
        let bite = if self.bitten.is_none() { self.bites(regs).map(|(due, _)| due) } else { None };
        let wakes = self.timers.iter().filter_map(|timer| timer.wakes);
        let bytes = self.uarts.iter().filter_map(Uart::due);
        let clock = self.rtc.as_ref().and_then(Rtc::due);
        let warning = self.window.as_ref().and_then(Window::warns);
        let once = bite.into_iter().chain(self.awaited).chain(clock).chain(warning);
        self.next = once.chain(wakes).chain(bytes).min();
        self.due = self.timers.iter().filter_map(|timer| timer.due).chain(self.next).min();
    }

    /// The interrupt lines of one block, from its flags.
    fn judge(&mut self, regs: &mut Periph, block: &'static Block) {
        let pending = match block.unit {
            Unit::Timer { .. } => self.timer(block).map(|timer| timer.pending(regs)),
            Unit::Uart { .. } => self.uart(block).map(|uart| uart.pending(regs)),
            Unit::Exti { .. } => return self.judge_exti(regs),
            Unit::Semaphores => return self.judge_semaphores(block),
            Unit::Window { .. } => self.window.as_ref().map(|watchdog| watchdog.pending(regs)),
            Unit::Rtc { .. } => self.rtc.as_ref().map(|rtc| rtc.pending(regs)),
            Unit::Registers | Unit::Clocks(_) | Unit::Port(_) | Unit::Independent | Unit::Checksum => None,
        };
        let pending = pending.unwrap_or(0);
        self.lines.set(block, [pending; 2]);
        if let (Unit::Rtc { flags, .. }, Some(exti)) = (block.unit, &mut self.exti)
            && flags != RtcFlags::Sr
        {
            exti.drive(regs, &self.gpio, pending);
            self.judge_exti(regs);
        }
    }

    fn judge_exti(&mut self, regs: &Periph) {
        if let Some(exti) = &self.exti {
            self.lines.set(exti.block, exti.pending(regs));
        }
    }

    /// The way of the semaphores' lines through EXTI makes an event of them, too (assumed: it is enabled there).
    fn judge_semaphores(&mut self, block: &'static Block) {
        let pending = self.semaphores.pending();
        for ((freed, new), old) in self.freed.iter_mut().zip(pending).zip(self.lines.pending(block)) {
            *freed |= new & !old != 0;
        }
        self.lines.set(block, pending);
    }

    /// Levels of pins may have changed: EXTI looks at those it waits for.
    fn sense(&mut self, regs: &mut Periph) {
        if let Some(exti) = &mut self.exti {
            exti.sense(regs, &self.gpio);
            self.judge_exti(regs);
        }
    }

    /// The levels of the interrupt lines to the core that has the bus, and a number that changes with them.
    pub fn lines(&self) -> (&Levels, u32) {
        (self.lines.levels(usize::from(self.second)), self.lines.version())
    }

    /// True once after something that is an event for the core that has the bus.
    pub fn take_event(&mut self) -> bool {
        let core = usize::from(self.second);
        let freed = std::mem::take(&mut self.freed[core]);
        self.exti.as_mut().is_some_and(|exti| exti.take_event(core)) || freed
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

    /// When the first watchdog runs out, an interrupt comes, or something changes that software read.
    pub fn next_event(&self) -> Option<Ns> {
        self.next
    }

    /// What software reads, if the register file says `plain`.
    pub fn read(&self, regs: &Periph, address: u32, plain: u32) -> u32 {
        let Some(block) = regs.block(address) else { return plain };
        let offset = (address - block.base) & !3;
        match block.unit {
            _ if !regs.clocked(block.base) => plain,
            Unit::Clocks(tree) => {
                let domains = if offset == 0 { self.domains } else { 0 };
                tree.read(offset, plain, &|offset| regs.peek(block.base + offset).unwrap_or(0), self.hse) | domains
            }
            Unit::Port(letter) => self.gpio.read(regs, letter, offset, plain),
            Unit::Uart { .. } => self.uart(block).map_or(plain, |uart| uart.read(regs, offset, plain)),
            Unit::Timer { .. } => self.timer(block).map_or(plain, |timer| timer.read(offset, plain, self.now)),
            Unit::Rtc { .. } => self.rtc.as_ref().map_or(plain, |rtc| rtc.read(regs, offset, plain, self.now)),
            Unit::Window { .. } => self.window.as_ref().map_or(plain, |watchdog| watchdog.read(offset, plain, self.now)),
            Unit::Semaphores => self.semaphores.read(offset),
            Unit::Checksum => self.checksum.read(offset),
            Unit::Registers | Unit::Independent | Unit::Exti { .. } => plain,
        }
    }

    fn timer(&self, block: &Block) -> Option<&Timer> {
        self.timers.iter().find(|timer| timer.block.base == block.base)
    }

    fn uart(&self, block: &Block) -> Option<&Uart> {
        self.uarts.iter().find(|uart| uart.block.base == block.base)
    }

    /// This address was read: a serial port gives a byte away.
    pub fn took(&mut self, regs: &mut Periph, address: u32) {
        let port = self.uarts.iter_mut().find_map(|uart| uart.took(address).then_some(uart.block));
        port.into_iter().for_each(|block| self.judge(regs, block));
    }

    /// The core read this address: if it does so until it reads something else, `next_event` says when.
    pub fn watch(&mut self, regs: &Periph, address: u32) {
        let Some(block) = regs.block(address) else { return };
        let (offset, now) = ((address - block.base) & !3, self.now);
        if block.unit == Unit::Semaphores && regs.clocked(block.base) {
            self.semaphores.seen(offset, usize::from(self.second));
        }
        let change = match block.unit {
            Unit::Timer { .. } => self.timer(block).and_then(|timer| timer.changes(offset, now)),
            Unit::Rtc { .. } => self.rtc.as_ref().and_then(|rtc| rtc.changes(offset, now)),
            Unit::Window { .. } => self.window.as_ref().and_then(|watchdog| watchdog.changes(offset, now)),
            _ => None,
        };
        self.awaited = self.awaited.into_iter().chain(change).min();
        self.next = self.next.into_iter().chain(change).min();
        self.due = self.due.into_iter().chain(change).min();
    }

    /// After a write that the registers took. `value`: the bytes it carries, at their places.
    pub fn wrote(&mut self, regs: &mut Periph, address: u32, value: u32) {
        let Some(block) = regs.block(address) else { return };
        if !regs.clocked(block.base) {
            return;
        }
        let (offset, now, halted) = ((address - block.base) & !3, self.now, self.halted);
        match block.unit {
            Unit::Port(_) => {
                self.gpio.wrote(regs, now);
                return self.sense(regs);
            }
            Unit::Timer { .. } => {
                let timer = self.timers.iter_mut().find(|timer| timer.block.base == block.base);
                if let (Some(timer), Some(clocks)) = (timer, &self.clocks) {
                    timer.wrote(regs, offset, value, now);
                    timer.set_rate(regs, now, clocks, halted);
                }
            }
            Unit::Uart { .. } => {
                let uart = self.uarts.iter_mut().find(|uart| uart.block.base == block.base);
                if let (Some(uart), Some(clocks)) = (uart, &self.clocks) {
                    uart.set_rate(regs, clocks);
                    uart.wrote(regs, offset, value, now);
                }
            }
            Unit::Exti { .. } => self.exti.iter_mut().for_each(|exti| exti.wrote(regs, &self.gpio, offset, value)),
            Unit::Rtc { .. } => self.rtc.iter_mut().for_each(|rtc| rtc.wrote(regs, offset, value, now)),
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
            Unit::Semaphores => {
                self.semaphores.wrote(offset, value, usize::from(self.second));
                return self.judge_semaphores(block);
            }
            Unit::Checksum => return self.checksum.wrote(offset, value),
            // EXTICR may be another's, in SYSCFG.
            Unit::Clocks(_) | Unit::Registers => self.sense(regs),
        }
        self.awaited = None;
        match block.unit {
            Unit::Timer { .. } | Unit::Uart { .. } | Unit::Exti { .. } => self.foresee(regs),
            _ => self.update(regs),
        }
        self.judge(regs, block);
    }

    /// What the other end sends to this port, or without a name to the first on the console's pin that listens. `None`:
    /// no such port; false: it does not listen.
    pub fn receive(&mut self, regs: &mut Periph, port: Option<&str>, bytes: &[u8]) -> Option<bool> {
        let ports = self.named(port)?;
        let now = self.now;
        let mut mine = self.uarts.iter_mut().filter(|uart| ports.iter().any(|port| port.eq_ignore_ascii_case(uart.block.name)));
        let heard = mine.any(|uart| uart.receive(regs, bytes, now));
        self.foresee(regs);
        Some(heard)
    }

    /// The ports of this name, or those on the console's pin. `None`: no such port.
    fn named<'a>(&self, port: Option<&'a str>) -> Option<Vec<&'a str>> {
        let ports = port.map_or(self.board.console.to_vec(), |port| vec![port]);
        let there = |name: &&str| self.uarts.iter().any(|uart| uart.block.name.eq_ignore_ascii_case(name));
        ports.iter().all(there).then_some(ports)
    }

    /// What this port has sent since it was last asked; without a name, the ports on the console's pin. `None`: no such
    /// port.
    pub fn take_sent(&mut self, port: Option<&str>) -> Option<Vec<u8>> {
        let ports = self.named(port)?;
        let mine = self.uarts.iter_mut().filter(|uart| ports.iter().any(|port| port.eq_ignore_ascii_case(uart.block.name)));
        Some(mine.flat_map(Uart::take_sent).collect())
    }

    pub fn ports(&self) -> Vec<&'static str> {
        self.uarts.iter().map(|uart| uart.block.name).collect()
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
    pub fn drive(&mut self, regs: &mut Periph, pin: Pin, high: bool) {
        self.gpio.drive(pin, high);
        self.sense(regs);
    }
}
