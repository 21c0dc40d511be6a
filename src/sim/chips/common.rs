//! Register tables that both families have, and the blocks made of them.

use super::super::periph::{Block, Irq, Kind, Reg, RtcFlags, Unit, block, reg, special};
use super::super::soc::clock::Apb;

/// Timers: the fewest have all of these (RM0433 39.4, RM0444 21.4); channels compare, and neither capture nor drive pins.
pub const TIMER: &[Reg] = &timer(0xFFFF);
pub const TIMER_32: &[Reg] = &timer(u32::MAX);

const fn timer(top: u32) -> [Reg; 26] {
    [
        reg(0x00, "CR1", 0, 0xBFF),
        reg(0x04, "CR2", 0, 0x00F5_FFFD),
        reg(0x08, "SMCR", 0, 0x0031_FFFF),
        reg(0x0C, "DIER", 0, 0x7FFF),
        special(0x10, "SR", 0, 0x0003_3FFF, Kind::ZeroClears),
        reg(0x14, "EGR", 0, 0),
        reg(0x18, "CCMR1", 0, 0x0101_FFFF),
        reg(0x1C, "CCMR2", 0, 0x0101_FFFF),
        reg(0x20, "CCER", 0, 0x0033_FFFF),
        reg(0x24, "CNT", 0, top),
        reg(0x28, "PSC", 0, 0xFFFF),
        reg(0x2C, "ARR", top, top),
        reg(0x30, "RCR", 0, 0xFFFF),
        reg(0x34, "CCR1", 0, top),
        reg(0x38, "CCR2", 0, top),
        reg(0x3C, "CCR3", 0, top),
        reg(0x40, "CCR4", 0, top),
        reg(0x44, "BDTR", 0, 0x3FFF_FFFF),
        reg(0x48, "DCR", 0, 0x1F1F),
        reg(0x4C, "DMAR", 0, u32::MAX),
        reg(0x54, "CCMR3", 0, 0x0101_FFFF),
        reg(0x58, "CCR5", 0, 0xE000_FFFF),
        reg(0x5C, "CCR6", 0, 0xFFFF),
        reg(0x60, "AF1", 0, u32::MAX),
        reg(0x64, "AF2", 0, u32::MAX),
        reg(0x68, "TISEL", 0, 0x0F0F_0F0F),
    ]
}

/// A USART or LPUART (RM0433 51.7, RM0444 33.8); ISR and RDR are soc/uart.rs'.
pub const USART: &[Reg] = &[
    reg(0x00, "CR1", 0, u32::MAX),
    reg(0x04, "CR2", 0, u32::MAX),
    reg(0x08, "CR3", 0, u32::MAX),
    reg(0x0C, "BRR", 0, 0xF_FFFF),
    reg(0x10, "GTPR", 0, 0xFFFF),
    reg(0x14, "RTOR", 0, u32::MAX),
    reg(0x18, "RQR", 0, 0),
    reg(0x1C, "ISR", 0xC0, 0),
    reg(0x20, "ICR", 0, 0),
    reg(0x24, "RDR", 0, 0),
    reg(0x28, "TDR", 0, 0x1FF),
    reg(0x2C, "PRESC", 0, 0xF),
];

/// RTC of H74x and H72x (RM0433 48.6).
pub const RTC: &[Reg] = &[
    reg(0x00, "TR", 0, 0x007F_7F7F),
    reg(0x04, "DR", 0x2101, 0x00FF_FF3F),
    reg(0x08, "CR", 0, 0x00FC_FF7F),
    reg(0x0C, "ISR", 0x7, 0x80),
    reg(0x10, "PRER", 0x007F_00FF, 0x007F_7FFF),
    reg(0x14, "WUTR", 0xFFFF, 0xFFFF),
    reg(0x1C, "ALRMAR", 0, u32::MAX),
    reg(0x20, "ALRMBR", 0, u32::MAX),
    reg(0x24, "WPR", 0, 0),
    reg(0x28, "SSR", 0, 0),
    reg(0x2C, "SHIFTR", 0, 0),
    reg(0x30, "TSTR", 0, 0),
    reg(0x34, "TSDR", 0, 0),
    reg(0x38, "TSSSR", 0, 0),
    reg(0x3C, "CALR", 0, 0xE1FF),
    reg(0x40, "TAMPCR", 0, 0x01FF_FFFF),
    reg(0x44, "ALRMASSR", 0, 0x0F00_7FFF),
    reg(0x48, "ALRMBSSR", 0, 0x0F00_7FFF),
    reg(0x4C, "OR", 0, 3),
    reg(0x50, "BKP0R", 0, u32::MAX),
    reg(0x54, "BKP1R", 0, u32::MAX),
    reg(0x58, "BKP2R", 0, u32::MAX),
    reg(0x5C, "BKP3R", 0, u32::MAX),
    reg(0x60, "BKP4R", 0, u32::MAX),
];

/// RTC of G0 and H7Ax (RM0444 30.6, RM0455 51.6): other places for the same registers.
pub const RTC_3: &[Reg] = &[
    reg(0x00, "TR", 0, 0x007F_7F7F),
    reg(0x04, "DR", 0x2101, 0x00FF_FF3F),
    reg(0x08, "SSR", 0, 0),
    reg(0x0C, "ICSR", 0x7, 0x80),
    reg(0x10, "PRER", 0x007F_00FF, 0x007F_7FFF),
    reg(0x14, "WUTR", 0xFFFF, 0xFFFF),
    reg(0x18, "CR", 0, 0xFFFF_FF7F),
    reg(0x24, "WPR", 0, 0),
    reg(0x28, "CALR", 0, 0xE1FF),
    reg(0x2C, "SHIFTR", 0, 0),
    reg(0x30, "TSTR", 0, 0),
    reg(0x34, "TSDR", 0, 0),
    reg(0x38, "TSSSR", 0, 0),
    reg(0x40, "ALRMAR", 0, u32::MAX),
    reg(0x44, "ALRMASSR", 0, 0x0F00_7FFF),
    reg(0x48, "ALRMBR", 0, u32::MAX),
    reg(0x4C, "ALRMBSSR", 0, 0x0F00_7FFF),
    reg(0x50, "SR", 0, 0),
    reg(0x54, "MISR", 0, 0),
    reg(0x5C, "SCR", 0, 0),
];

/// Updates of the independent watchdog are over at once: SR reads 0 (assumed).
pub const IWDG: &[Reg] =
    &[reg(0x00, "KR", 0, 0), reg(0x04, "PR", 0, 7), reg(0x08, "RLR", 0xFFF, 0xFFF), reg(0x0C, "SR", 0, 0), reg(0x10, "WINR", 0xFFF, 0xFFF)];
pub const WWDG: &[Reg] = &[reg(0x00, "CR", 0x7F, 0xFF), reg(0x04, "CFR", 0x7F, 0x3A7F), special(0x08, "SR", 0, 1, Kind::ZeroClears)];

const PAGE: u32 = 0x400;

/// Every flag of the block.
pub const ALL: u32 = u32::MAX;
/// Of a timer with several interrupts: update, and captures and compares.
pub const UPDATE: u32 = 1 << 0;
pub const COMPARE: u32 = 0x1E;

/// A timer: 16 bits wide, clocked through `enable`, stopped with the core through `freeze` (register and bit each).
pub const fn timer_block(
    name: &'static str,
    base: u32,
    clock: Apb,
    (enable, bit): (u32, u32),
    freeze: u32,
    channels: u8,
    irq: &'static [Irq],
) -> Block {
    let unit = Unit::Timer { wide: false, clock, channels };
    block(name, base, PAGE, TIMER).unit(unit).clock(enable, bit).freeze(freeze, bit).irq(irq)
}

pub const fn timer_32(name: &'static str, base: u32, clock: Apb, enable: (u32, u32), freeze: u32, irq: &'static [Irq]) -> Block {
    let unit = Unit::Timer { wide: true, clock, channels: 4 };
    Block { regs: TIMER_32, unit, ..timer_block(name, base, clock, enable, freeze, 4, irq) }
}

pub const fn usart(name: &'static str, base: u32, unit: Unit, (enable, bit): (u32, u32), irq: &'static [Irq]) -> Block {
    block(name, base, PAGE, USART).unit(unit).clock(enable, bit).irq(irq)
}

pub const fn port(name: &'static str, base: u32, letter: char, enable: u32, regs: &'static [Reg]) -> Block {
    block(name, base, PAGE, regs).unit(Unit::Port(letter)).clock(enable, letter as u32 - 'A' as u32)
}

pub const fn rtc(base: u32, regs: &'static [Reg], bdcr: u32, flags: RtcFlags) -> Block {
    Block { kept: true, ..block("RTC", base, PAGE, regs).unit(Unit::Rtc { enable: (bdcr, 15), flags }) }
}
