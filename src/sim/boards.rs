//! What is soldered around each chip: LEDs, a button, a crystal, the console. One row per chip.
//!
//! Nucleo boards by the pin tables of UM2407 (H7), UM2324 and UM2591 (G0).

use std::fmt;

/// "PB0"
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pin {
    pub port: char,
    pub bit: u8,
}

impl Pin {
    /// Case does not matter; `None`: no name of a pin.
    pub fn parse(name: &str) -> Option<Pin> {
        let mut letters = name.chars().map(|c| c.to_ascii_uppercase());
        let (p, port) = (letters.next()?, letters.next()?);
        let bit = name.get(2..)?.parse().ok().filter(|bit| *bit < 16)?;
        (p == 'P' && port.is_ascii_uppercase()).then_some(Pin { port, bit })
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "P{}{}", self.port, self.bit)
    }
}

pub struct LedRow {
    pub name: &'static str,
    pub pin: Pin,
    /// The level at which it shines.
    pub active: bool,
}

const fn pin(port: char, bit: u8) -> Pin {
    Pin { port, bit }
}

const fn led(name: &'static str, port: char, bit: u8) -> LedRow {
    LedRow { name, pin: pin(port, bit), active: true }
}

pub struct BoardRow {
    pub chip: &'static str,
    /// "NUCLEO-H743ZI2"
    pub name: &'static str,
    pub leds: &'static [LedRow],
    /// The button's pin, and its level while nobody presses.
    pub button: Option<(Pin, bool)>,
    /// Frequency of the crystal, or of the clock that comes from the probe, at HSE; 0: none.
    pub hse: u64,
    /// The serial ports on the console's pin.
    pub console: &'static [&'static str],
}

const MHZ: u64 = 1_000_000;

const NUCLEO_144: BoardRow = BoardRow {
    chip: "stm32h743",
    name: "NUCLEO-H743ZI2",
    leds: &[led("LD1", 'B', 0), led("LD2", 'E', 1), led("LD3", 'B', 14)],
    button: Some((pin('C', 13), false)),
    hse: 8 * MHZ,
    console: &["USART3"],
};

/// TX of both ports can be on PA2.
const NUCLEO_64: BoardRow = BoardRow {
    chip: "stm32g071",
    name: "NUCLEO-G071RB",
    leds: &[led("LD4", 'A', 5)],
    button: Some((pin('C', 13), true)),
    hse: 0,
    console: &["USART2", "LPUART1"],
};

/// The levels of the two WeAct LEDs are assumed.
const BOARDS: &[BoardRow] = &[
    NUCLEO_144,
    BoardRow { chip: "stm32h745", name: "NUCLEO-H745ZI-Q", ..NUCLEO_144 },
    BoardRow { chip: "stm32h723", name: "NUCLEO-H723ZG", ..NUCLEO_144 },
    BoardRow { chip: "stm32h7a3", name: "NUCLEO-H7A3ZI-Q", ..NUCLEO_144 },
    BoardRow {
        chip: "stm32h750",
        name: "WeAct MiniSTM32H7",
        leds: &[led("LED", 'E', 3)],
        button: None,
        hse: 25 * MHZ,
        console: &["USART1"],
    },
    NUCLEO_64,
    BoardRow { chip: "stm32g0b1", name: "NUCLEO-G0B1RE", ..NUCLEO_64 },
    BoardRow { chip: "stm32g031", name: "NUCLEO-G031K8", leds: &[led("LD3", 'C', 6)], button: None, ..NUCLEO_64 },
    BoardRow { chip: "stm32g030", name: "WeAct STM32G030", leds: &[led("LED", 'A', 4)], button: None, hse: 8 * MHZ, ..NUCLEO_64 },
];

/// For chips without a board of their own: nothing around them.
const BARE: BoardRow = BoardRow { chip: "", name: "", leds: &[], button: None, hse: 0, console: &["USART2"] };

pub fn of(chip: &str) -> &'static BoardRow {
    BOARDS.iter().find(|row| row.chip == chip).unwrap_or(&BARE)
}

#[cfg(test)]
mod tests {
    use super::super::chips;
    use super::super::periph::Unit;
    use super::*;

    #[test]
    fn every_row_names_a_chip_that_has_the_pins_and_the_console() {
        for board in BOARDS {
            let chip = chips::find(board.chip).expect(board.name);
            let has = |pin: Pin| chip.blocks.iter().any(|block| block.unit == Unit::Port(pin.port));
            assert!(board.leds.iter().all(|led| has(led.pin)), "{}", board.name);
            assert!(board.button.is_none_or(|(pin, _)| has(pin)), "{}", board.name);
            let uart = |name: &&str| chip.blocks.iter().any(|block| block.name == *name && matches!(block.unit, Unit::Uart { .. }));
            assert!(board.console.iter().all(uart), "{}", board.name);
            assert_eq!(of(board.chip).name, board.name);
        }
        assert!(of("stm32g051").leds.is_empty());
    }

    #[test]
    fn a_pin_has_a_port_and_a_number_below_16() {
        assert_eq!(Pin::parse("pb14"), Some(pin('B', 14)));
        assert_eq!(Pin::parse("PC6").unwrap().to_string(), "PC6");
        for bad in ["", "P", "PB", "PB16", "PB-1", "QB1", "P11", "PBx", "Pé1", "PB0x"] {
            assert_eq!(Pin::parse(bad), None, "{bad}");
        }
    }
}
