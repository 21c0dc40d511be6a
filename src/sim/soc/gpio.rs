//! Pins: what a port's registers drive, what is put on them from outside, and the LEDs that watch them.

use super::super::boards::{BoardRow, LedRow, Pin};
use super::super::periph::{Periph, Unit};
use super::Ns;
use std::collections::BTreeMap;
use std::fmt;

const MODER: u32 = 0x00;
const OTYPER: u32 = 0x04;
const PUPDR: u32 = 0x0C;
const IDR: u32 = 0x10;
const ODR: u32 = 0x14;
const AFRL: u32 = 0x20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Input,
    Output,
    Alternate(u8),
    Analog,
}

/// As `pins` prints it.
impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Mode::Input => f.write_str("input"),
            Mode::Output => f.write_str("output"),
            Mode::Alternate(function) => write!(f, "af{function}"),
            Mode::Analog => f.write_str("analog"),
        }
    }
}

/// What `pins` says of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PinState {
    pub pin: Pin,
    pub mode: Mode,
    pub high: bool,
    /// The level was put on it by hand.
    pub driven: bool,
}

/// What `leds` says of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedState {
    pub name: &'static str,
    pub pin: Pin,
    pub on: bool,
    /// Changes since reset.
    pub edges: u64,
    /// From the last but one time it went on to the last.
    pub period: Option<Ns>,
}

struct Led {
    row: &'static LedRow,
    on: bool,
    edges: u64,
    rises: [Option<Ns>; 2],
}

pub struct Gpio {
    bases: BTreeMap<char, u32>,
    /// Levels from outside: by hand, or by what is on the board.
    outside: BTreeMap<Pin, bool>,
    by_hand: BTreeMap<Pin, bool>,
    leds: Vec<Led>,
    /// PA13 and PA14 serve the debug port, as after reset: alternate function 0 on H7 and G0 (datasheets' pin tables).
    pub swd: bool,
}

impl Gpio {
    pub fn new(regs: &Periph, board: &'static BoardRow) -> Gpio {
        let ports = regs.blocks.iter().filter_map(|block| match block.unit {
            Unit::Port(letter) => Some((letter, block.base)),
            _ => None,
        });
        let leds = board.leds.iter().map(|row| Led { row, on: false, edges: 0, rises: [None; 2] }).collect();
        Gpio { bases: ports.collect(), outside: board.button.into_iter().collect(), by_hand: BTreeMap::new(), leds, swd: true }
    }

    pub fn reset(&mut self) {
        self.swd = true;
        for led in &mut self.leds {
            (led.on, led.edges, led.rises) = (false, 0, [None; 2]);
        }
    }

    pub fn has(&self, pin: Pin) -> bool {
        self.bases.contains_key(&pin.port)
    }

    pub fn drive(&mut self, pin: Pin, high: bool) {
        self.by_hand.insert(pin, high);
    }

    /// The input register, from the levels at the port's pins; other registers as they are.
    pub fn read(&self, regs: &Periph, port: char, offset: u32, plain: u32) -> u32 {
        if offset != IDR {
            return plain;
        }
        let levels = (0..16).map(|bit| Pin { port, bit }).filter(|pin| self.reads_high(regs, *pin));
        levels.fold(0, |sum, pin| sum | 1 << pin.bit)
    }

    /// An analog pin's input is cut off and reads 0 (RM0433 11.3.12).
    pub fn reads_high(&self, regs: &Periph, pin: Pin) -> bool {
        self.mode(regs, pin) != Mode::Analog && self.level(regs, pin)
    }

    /// The level at the pin: what the port drives, else what comes from outside, else its pull; low if it floats (assumed).
    fn level(&self, regs: &Periph, pin: Pin) -> bool {
        self.output(regs, pin).unwrap_or_else(|| {
            let outside = self.by_hand.get(&pin).or(self.outside.get(&pin));
            outside.copied().unwrap_or(self.two_bits(regs, pin, PUPDR) == 1)
        })
    }

    /// What the port drives: an open drain drives low only.
    fn output(&self, regs: &Periph, pin: Pin) -> Option<bool> {
        let bit = |offset| self.reg(regs, pin.port, offset) >> pin.bit & 1 == 1;
        let drives = self.mode(regs, pin) == Mode::Output && !(bit(OTYPER) && bit(ODR));
        drives.then(|| bit(ODR))
    }

    pub fn mode(&self, regs: &Periph, pin: Pin) -> Mode {
        match self.two_bits(regs, pin, MODER) {
            0 => Mode::Input,
            1 => Mode::Output,
            2 => {
                let register = self.reg(regs, pin.port, AFRL + u32::from(pin.bit / 8) * 4);
                Mode::Alternate((register >> (pin.bit % 8 * 4) & 0xF) as u8)
            }
            _ => Mode::Analog,
        }
    }

    fn two_bits(&self, regs: &Periph, pin: Pin, offset: u32) -> u32 {
        self.reg(regs, pin.port, offset) >> (2 * pin.bit) & 3
    }

    fn reg(&self, regs: &Periph, port: char, offset: u32) -> u32 {
        self.bases.get(&port).and_then(|base| regs.peek(base + offset)).unwrap_or(0)
    }

    /// A port's register was written: the LEDs and the debug port follow.
    pub fn wrote(&mut self, regs: &Periph, now: Ns) {
        let swd = [13, 14].map(|bit| Pin { port: 'A', bit });
        self.swd = swd.iter().all(|pin| !self.has(*pin) || self.mode(regs, *pin) == Mode::Alternate(0));
        let lit: Vec<bool> = self.leds.iter().map(|led| self.output(regs, led.row.pin) == Some(led.row.active)).collect();
        for (led, on) in self.leds.iter_mut().zip(lit) {
            if on != led.on {
                led.on = on;
                led.edges += 1;
                if on {
                    led.rises = [led.rises[1], Some(now)];
                }
            }
        }
    }

    pub fn leds(&self) -> Vec<LedState> {
        let state = |led: &Led| {
            let period = led.rises[0].zip(led.rises[1]).map(|(first, second)| second - first);
            LedState { name: led.row.name, pin: led.row.pin, on: led.on, edges: led.edges, period }
        };
        self.leds.iter().map(state).collect()
    }

    pub fn pin(&self, regs: &Periph, pin: Pin) -> PinState {
        let driven = self.by_hand.contains_key(&pin);
        PinState { pin, mode: self.mode(regs, pin), high: self.level(regs, pin), driven }
    }

    /// Those whose mode is not the one after reset, or that are driven by hand.
    pub fn pins(&self, regs: &Periph) -> Vec<PinState> {
        let moved = |port: char, base: &u32| regs.peek(*base).unwrap_or(0) ^ regs.reset_value(base + MODER).unwrap_or(0) | self.mask(port);
        let of_port = |(port, base): (&char, &u32)| {
            let (port, moved) = (*port, moved(*port, base));
            (0..16).map(move |bit| Pin { port, bit }).filter(move |pin| moved >> (2 * pin.bit) & 3 != 0)
        };
        self.bases.iter().flat_map(of_port).map(|pin| self.pin(regs, pin)).collect()
    }

    /// The pins driven by hand, at their places in MODER.
    fn mask(&self, port: char) -> u32 {
        self.by_hand.keys().filter(|pin| pin.port == port).fold(0, |sum, pin| sum | 1 << (2 * pin.bit))
    }
}
