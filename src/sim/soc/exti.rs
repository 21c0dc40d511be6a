//! EXTI (RM0433 20, RM0399 20, RM0444 13): edges of pins, and of the RTC on an H7, become pending bits, interrupts and
//! events. On a chip with two cores each has its own mask and pending bits; elsewhere the second's registers are not there.
//!
//! Assumed: an edge is remembered whether its line is masked or not, and SWIER reads 0.

use super::super::boards::Pin;
use super::super::periph::{Block, ExtiKind, Periph};
use super::gpio::Gpio;
use super::irq::Each;

const RTSR: u32 = 0x00;
const FTSR: u32 = 0x04;
const SWIER: u32 = 0x08;
const IMR: u32 = 0x80;
const EMR: u32 = 0x84;
/// From the first core's mask and pending registers to the second's (H745).
const SECOND: u32 = 0x40;
/// The lower half of the lines are pins.
const PINS: u32 = 0xFFFF;

pub struct Exti {
    pub block: &'static Block,
    kind: ExtiKind,
    select: u32,
    /// Lines that wait for an edge.
    armed: u32,
    /// The level of each armed line when it was last looked at.
    levels: u32,
    /// Lines whose level something on the chip makes.
    inner: u32,
    /// An edge became an event (EMR).
    events: Each<bool>,
}

impl Exti {
    pub fn new(block: &'static Block, kind: ExtiKind, select: u32) -> Exti {
        Exti { block, kind, select, armed: 0, levels: 0, inner: 0, events: [false; 2] }
    }

    pub fn reset(&mut self) {
        *self = Exti { inner: self.inner, ..Exti::new(self.block, self.kind, self.select) };
    }

    fn reg(&self, regs: &Periph, offset: u32) -> u32 {
        regs.peek(self.block.base + offset).unwrap_or(0)
    }

    /// Where rising and where falling edges are remembered.
    fn places(&self, core: u32) -> [u32; 2] {
        match self.kind {
            ExtiKind::H7 => [0x88 + core * SECOND; 2],
            ExtiKind::G0 => [0x0C, 0x10],
        }
    }

    /// Lines that interrupt.
    pub fn pending(&self, regs: &Periph) -> Each<u32> {
        [0, 1].map(|core| {
            let remembered = self.places(core).iter().fold(0, |sum, place| sum | self.reg(regs, *place));
            remembered & self.reg(regs, IMR + core * SECOND)
        })
    }

    /// True once after an edge that is an event for this core.
    pub fn take_event(&mut self, core: usize) -> bool {
        std::mem::take(&mut self.events[core])
    }

    /// After a write to a register of EXTI: what waits for an edge now looks at its line first.
    pub fn wrote(&mut self, regs: &mut Periph, gpio: &Gpio, offset: u32, value: u32) {
        match offset {
            RTSR | FTSR => {
                let armed = self.reg(regs, RTSR) | self.reg(regs, FTSR);
                let fresh = armed & !self.armed;
                self.armed = armed;
                self.levels = self.levels & !fresh | self.look(regs, gpio) & fresh;
            }
            SWIER => self.edges(regs, [value, 0]),
            _ => {}
        }
        self.sense(regs, gpio);
    }

    /// The levels of lines that the chip itself drives, such as the RTC's.
    pub fn drive(&mut self, regs: &mut Periph, gpio: &Gpio, inner: u32) {
        if inner != self.inner {
            self.inner = inner;
            self.sense(regs, gpio);
        }
    }

    /// Levels may have changed.
    pub fn sense(&mut self, regs: &mut Periph, gpio: &Gpio) {
        if self.armed == 0 {
            return;
        }
        let levels = self.look(regs, gpio);
        let (rising, falling) = (levels & !self.levels, self.levels & !levels);
        self.levels = levels;
        self.edges(regs, [rising & self.reg(regs, RTSR), falling & self.reg(regs, FTSR)]);
    }

    fn edges(&mut self, regs: &mut Periph, edges: [u32; 2]) {
        for core in [0, 1] {
            for (place, lines) in self.places(core).into_iter().zip(edges) {
                regs.poke(self.block.base + place, self.reg(regs, place) | lines);
            }
            self.events[core as usize] |= (edges[0] | edges[1]) & self.reg(regs, EMR + core * SECOND) != 0;
        }
    }

    /// The levels of the armed lines.
    fn look(&self, regs: &Periph, gpio: &Gpio) -> u32 {
        let pins = (0..16).filter(|line| self.armed & PINS & 1 << line != 0);
        let high = pins.filter(|line| gpio.reads_high(regs, self.pin(regs, *line)));
        high.fold(self.inner & self.armed & !PINS, |sum, line| sum | 1 << line)
    }

    /// EXTICR: the port of a line, A as 0.
    fn pin(&self, regs: &Periph, line: u8) -> Pin {
        let bits = match self.kind {
            ExtiKind::H7 => 4,
            ExtiKind::G0 => 8,
        };
        let word = regs.peek(self.select + u32::from(line / 4) * 4).unwrap_or(0);
        let port = word >> (u32::from(line % 4) * bits) & 0xF;
        Pin { port: char::from(b'A' + port as u8), bit: line }
    }
}
