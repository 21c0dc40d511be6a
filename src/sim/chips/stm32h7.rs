//! STM32H7 (RM0433, RM0468, RM0455): H743, H750, H723, H7A3; the dual-core H745 in dual.rs.

use super::super::bus::{Controller, Ram, Rom};
use super::super::chip::{ApRow, View};
use super::super::coresight::{ARM, Component, ST, rom_table, unit};
use super::super::cpu::{Arch, Cache, CoreRow};
use super::super::flash_h7::{H7, LAYOUT_H7A, LAYOUT_H74, TIMES_H7A, TIMES_H74};
use super::super::periph::{Block, ExtiKind, Irq, Kind, Reg, RtcFlags, Unit, block, reg, special};
use super::super::soc::checksum;
use super::super::soc::clock::{Apb, Tree};
use super::common::{ALL, COMPARE, IWDG, RTC, RTC_3, UPDATE, WWDG, port, rtc, timer_32, timer_block as timer, usart};
use super::{Causes, Row};

/// The core's components: the die's ROM table, the core's, its units, ETM and CTI.
macro_rules! units {
    ($part:expr) => {
        &[
            rom_table(0xE00F_E000, ST, $part, &[0xE00F_F000, 0xE004_1000, 0xE004_3000]),
            rom_table(0xE00F_F000, ARM, 0x4C7, &[0xE000_E000, 0xE000_1000, 0xE000_2000, 0xE000_0000]),
            unit(0xE000_E000, ARM, 0x00C, 0, 0xE),
            unit(0xE000_1000, ARM, 0x002, 0, 0xE),
            unit(0xE000_2000, ARM, 0x00E, 0, 0xE),
            unit(0xE000_0000, ARM, 0x001, 0, 0xE),
            Component { devtype: 0x13, devarch: 0x4770_4A13, ..unit(0xE004_1000, ARM, 0x975, 0, 9) },
            Component { devtype: 0x14, devid: 0x4_0800, ..unit(0xE004_3000, ARM, 0x906, 4, 9) },
        ]
    };
}

/// APB-D, addresses as AP2 sees them: SWO, SWO funnel, system CTI, trace funnel, ETF, TPIU (RM0433 60.5; part numbers
/// and revisions by CoreSight SoC-400, assumed).
macro_rules! debug_bus {
    ($part:expr) => {
        &[
            rom_table(0xE00E_0000, ST, $part, &[0xE00E_1000, 0xE00E_3000, 0xE00E_4000, 0xE00F_1000, 0xE00F_3000, 0xE00F_4000, 0xE00F_5000]),
            Component { devtype: 0x11, ..unit(0xE00E_3000, ARM, 0x914, 1, 9) },
            Component { devtype: 0x12, ..unit(0xE00E_4000, ARM, 0x908, 3, 9) },
            Component { devtype: 0x14, devid: 0x4_0800, ..unit(0xE00F_1000, ARM, 0x906, 4, 9) },
            Component { devtype: 0x12, ..unit(0xE00F_3000, ARM, 0x908, 3, 9) },
            Component { devtype: 0x32, ..unit(0xE00F_4000, ARM, 0x961, 1, 9) },
            Component { devtype: 0x11, ..unit(0xE00F_5000, ARM, 0x912, 4, 9) },
        ]
    };
}

/// r1p1 on H74x (8 breakpoints, 4 watchpoints, 16 KiB caches); MVFR by the Cortex-M7 TRM for double precision.
pub const CORTEX_M7: CoreRow = CoreRow {
    arch: Arch::V7M,
    cpuid: 0x411F_C271,
    fp_ctrl: 0x1000_0080,
    dwt_ctrl: 0x4000_0000,
    mvfr: Some([0x1011_0221, 0x1200_0011, 0x0000_0040]),
    cache: Some(Cache { clidr: 0x0900_0003, ctr: 0x8303_C003, data: 0xF00F_E019, instruction: 0xF01F_E009 }),
    mpu_type: 0x0000_1000,
    interrupts: 150,
    priority: 0xF0,
    ccr: (0x0004_0200, 0x0003_011B),
    hz: 64_000_000,
    reset_r: 0,
    reset_xpsr: 0x0100_0000,
    units: units!(0x450),
};

/// r1p2 as on the H735, 32 KiB caches.
const CORTEX_M7_H72: CoreRow = CoreRow {
    cpuid: 0x411F_C272,
    cache: Some(Cache { clidr: 0x0900_0003, ctr: 0x8303_C003, data: 0xF01F_E019, instruction: 0xF03F_E009 }),
    interrupts: 163,
    units: units!(0x483),
    ..CORTEX_M7
};

const CORTEX_M7_H7A: CoreRow = CoreRow { interrupts: 155, units: units!(0x480), ..CORTEX_M7 };

/// IDR and BASE as read on H743 and H750; HPROT of CSW too, its other bits and masks assumed.
const APS: &[ApRow] = &[
    ApRow { index: 0, idr: 0x8477_0001, cfg: 0, base: 0xE00F_E003, csw: 0x4B00_0040, csw_mask: 0xFF00_0037, view: View::Core },
    ApRow { index: 1, idr: 0x8477_0001, cfg: 0, base: 0x0000_0002, csw: 0x4300_0040, csw_mask: 0xFF00_0037, view: View::System },
    ApRow { index: 2, idr: 0x5477_0002, cfg: 0, base: 0xE00E_0003, csw: 0x8000_0042, csw_mask: 0x8000_0030, view: View::Debug },
];

const READY: Kind = Kind::Follows(&[(1, 2), (1 << 7, 1), (1 << 12, 1), (1 << 16, 1), (0x1500_0000, 1)]);

/// RCC (RM0433 8.7) up to 0xA0, with the bits of GCR; then the causes and enables, which sit elsewhere on the H7Ax.
macro_rules! rcc {
    ($gcr:expr, $rsr:expr, $ahb3:expr, $ahb1:expr, $ahb2:expr, $ahb4:expr $(, $more:expr)*) => {
        &[
            special(0x00, "CR", 0x21, 0x150D_129B, READY),
            reg(0x04, "HSICFGR", 0x4000_0000, 0x7F00_0000),
            reg(0x08, "CRRCR", 0, 0),
            reg(0x0C, "CSICFGR", 0x2000_0000, 0x3F00_0000),
            special(0x10, "CFGR", 0, 0xFFFF_FFC7, Kind::Follows(&[(7, 3)])),
            reg(0x18, "D1CFGR", 0, 0xF7F),
            reg(0x1C, "D2CFGR", 0, 0x770),
            reg(0x20, "D3CFGR", 0, 0x70),
            reg(0x28, "PLLCKSELR", 0x0202_0200, 0x03F3_F3F3),
            reg(0x2C, "PLLCFGR", 0x01FF_0000, 0x01FF_0FFF),
            reg(0x30, "PLL1DIVR", 0x0101_0280, 0x7F7F_FFFF),
            reg(0x34, "PLL1FRACR", 0, 0xFFF8),
            reg(0x38, "PLL2DIVR", 0x0101_0280, 0x7F7F_FFFF),
            reg(0x3C, "PLL2FRACR", 0, 0xFFF8),
            reg(0x40, "PLL3DIVR", 0x0101_0280, 0x7F7F_FFFF),
            reg(0x44, "PLL3FRACR", 0, 0xFFF8),
            reg(0x4C, "D1CCIPR", 0, u32::MAX),
            reg(0x50, "D2CCIP1R", 0, u32::MAX),
            reg(0x54, "D2CCIP2R", 0, u32::MAX),
            reg(0x58, "D3CCIPR", 0, u32::MAX),
            reg(0x60, "CIER", 0, 0x3FF),
            reg(0x64, "CIFR", 0, 0),
            reg(0x68, "CICR", 0, 0),
            special(0x70, "BDCR", 0, 0x0001_835D, Kind::Backup),
            special(0x74, "CSR", 0, 1, Kind::Follows(&[(1, 1)])),
            reg(0x7C, "AHB3RSTR", 0, u32::MAX),
            reg(0x80, "AHB1RSTR", 0, u32::MAX),
            reg(0x84, "AHB2RSTR", 0, u32::MAX),
            reg(0x88, "AHB4RSTR", 0, u32::MAX),
            reg(0x8C, "APB3RSTR", 0, u32::MAX),
            reg(0x90, "APB1LRSTR", 0, u32::MAX),
            reg(0x94, "APB1HRSTR", 0, u32::MAX),
            reg(0x98, "APB2RSTR", 0, u32::MAX),
            reg(0x9C, "APB4RSTR", 0, u32::MAX),
            reg(0xA0, "GCR", 0, $gcr),
            special($rsr, "RSR", 0, 0, Kind::Causes { clear: 1 << 16 }),
            reg($ahb3, "AHB3ENR", 0, u32::MAX),
            reg($ahb1, "AHB1ENR", 0, u32::MAX),
            reg($ahb2, "AHB2ENR", 0, u32::MAX),
            reg($ahb4, "AHB4ENR", 0, u32::MAX),
            reg($ahb4 + 0x04, "APB3ENR", 0, u32::MAX),
            reg($ahb4 + 0x08, "APB1LENR", 0, u32::MAX),
            reg($ahb4 + 0x0C, "APB1HENR", 0, u32::MAX),
            reg($ahb4 + 0x10, "APB2ENR", 0, u32::MAX),
            reg($ahb4 + 0x14, "APB4ENR", 0, u32::MAX),
            $($more),*
        ]
    };
}

const RCC_H74: &[Reg] = rcc!(1, 0xD0, 0xD4, 0xD8, 0xDC, 0xE0);
const RCC_H7A: &[Reg] = rcc!(1, 0x130, 0x134, 0x138, 0x13C, 0x140);

macro_rules! pwr {
    ($($more:expr),*) => {
        &[
            reg(0x00, "CR1", 0xF000_C000, 0x0007_C3F1),
            reg(0x04, "CSR1", 0x4000, 0),
            reg(0x08, "CR2", 0, 0x11),
            special(0x0C, "CR3", 0x6, 0x0300_0307, Kind::Supply),
            reg(0x10, "CPUCR", 0, 0x0000_0A07),
            special(0x18, "D3CR", 0x4000, 0xC000, Kind::Supply),
            reg(0x20, "WKUPCR", 0, 0),
            reg(0x24, "WKUPFR", 0, 0),
            reg(0x28, "WKUPEPR", 0, 0x0FFF_3F3F),
            $($more),*
        ]
    };
}

const PWR: &[Reg] = pwr!();

const SYSCFG: &[Reg] = &[
    reg(0x04, "PMCR", 0, 0x0F80_0BFF),
    reg(0x08, "EXTICR1", 0, 0xFFFF),
    reg(0x0C, "EXTICR2", 0, 0xFFFF),
    reg(0x10, "EXTICR3", 0, 0xFFFF),
    reg(0x14, "EXTICR4", 0, 0xFFFF),
    reg(0x18, "CFGR", 0, 0xFFFF),
    reg(0x20, "CCCSR", 0, 0x1_0003),
    reg(0x2C, "PWRCR", 0, 1),
    reg(0x124, "PKGR", 0, 0),
];

/// DBGMCU: freeze registers have the bits of a chip with one core.
const fn dbgmcu(idc: u32, cr: u32) -> [Reg; 7] {
    [
        reg(0x00, "IDC", idc, 0),
        reg(0x04, "CR", 0, cr),
        reg(0x34, "APB3FZ1", 0, 0x40),
        reg(0x3C, "APB1LFZ1", 0, 0x02E0_03FF),
        reg(0x44, "APB1HFZ1", 0, 0x0300_0100),
        reg(0x4C, "APB2FZ1", 0, 0x2007_0003),
        reg(0x54, "APB4FZ1", 0, 0x0005_1E80),
    ]
}

/// CR bits 3-5 (D2) are in the SVD of the H743, not in the H72x and H7Ax headers.
const DBGMCU_H74: &[Reg] = &dbgmcu(0x2003_6450, 0x1070_01BF);
const DBGMCU_H72: &[Reg] = &dbgmcu(0x1001_6483, 0x1070_0187);
/// Bits 15:12 read 6 on the H743; assumed here.
const DBGMCU_H7A: &[Reg] = &dbgmcu(0x1000_6480, 0x1070_0187);

const GPIO_A: &[Reg] = &gpio(0xABFF_FFFF, 0x0C00_0000, 0x6400_0000);
const GPIO_B: &[Reg] = &gpio(0xFFFF_FEBF, 0xC0, 0x100);
const GPIO: &[Reg] = &gpio(0xFFFF_FFFF, 0, 0);

const fn gpio(moder: u32, ospeedr: u32, pupdr: u32) -> [Reg; 10] {
    [
        reg(0x00, "MODER", moder, u32::MAX),
        reg(0x04, "OTYPER", 0, 0xFFFF),
        reg(0x08, "OSPEEDR", ospeedr, u32::MAX),
        reg(0x0C, "PUPDR", pupdr, u32::MAX),
        reg(0x10, "IDR", 0, 0),
        reg(0x14, "ODR", 0, 0xFFFF),
        special(0x18, "BSRR", 0, 0, Kind::SetReset(0x14)),
        reg(0x1C, "LCKR", 0, 0x1_FFFF),
        reg(0x20, "AFRL", 0, u32::MAX),
        reg(0x24, "AFRH", 0, u32::MAX),
    ]
}

/// Clock enables at the addresses that all H7 have: on H74x and H72x CPU1's names for them (RM0433 8.7, RM0455 8.7).
const AHB4: u32 = 0x5802_4540;
const APB3: u32 = 0x5802_4544;
const APB1L: u32 = 0x5802_4548;
const APB2: u32 = 0x5802_4550;
const APB4: u32 = 0x5802_4554;
const BDCR: u32 = 0x5802_4470;
/// RCC_GCR.WW1RSC
const WW1RSC: (u32, u32) = (0x5802_44A0, 0);
/// DBGMCU's freeze registers: their bits for timers and WWDG1 are those of the clock enables.
const APB3FZ: u32 = 0x5C00_1034;
const APB1LFZ: u32 = 0x5C00_103C;
const APB2FZ: u32 = 0x5C00_104C;
const APB4FZ: u32 = 0x5C00_1054;
const WINDOW: Unit = Unit::Window { clock: Apb::Three, armed: Some(WW1RSC) };

/// Serial ports on APB1, on APB2, and the low-power one (RM0433 51.4).
const UART_1: Unit = Unit::Uart { clock: Apb::One, low: false, fifo: 16 };
const UART_2: Unit = Unit::Uart { clock: Apb::Two, low: false, fifo: 16 };
const LOW_POWER: Unit = Unit::Uart { clock: Apb::Four, low: true, fifo: 16 };

/// RM0433 20.6 (RM0455 20.6 alike); lines 0-21 of the first word have edges. `D3` registers are for the other domain.
macro_rules! exti {
    ($($more:expr),*) => {
        &[
            reg(0x00, "RTSR1", 0, 0x003F_FFFF),
            reg(0x04, "FTSR1", 0, 0x003F_FFFF),
            reg(0x08, "SWIER1", 0, 0),
            reg(0x0C, "D3PMR1", 0, 0x0F9E_FFFF),
            reg(0x10, "D3PCR1L", 0, u32::MAX),
            reg(0x14, "D3PCR1H", 0, u32::MAX),
            reg(0x20, "RTSR2", 0, 0x000A_0000),
            reg(0x24, "FTSR2", 0, 0x000A_0000),
            reg(0x28, "SWIER2", 0, 0),
            reg(0x40, "RTSR3", 0, 0x0074_0000),
            reg(0x44, "FTSR3", 0, 0x0074_0000),
            reg(0x48, "SWIER3", 0, 0),
            reg(0x80, "CPUIMR1", 0xFFC0_0000, u32::MAX),
            reg(0x84, "CPUEMR1", 0, u32::MAX),
            special(0x88, "CPUPR1", 0, 0x003F_FFFF, Kind::Flags),
            reg(0x90, "CPUIMR2", 0, u32::MAX),
            reg(0x94, "CPUEMR2", 0, u32::MAX),
            reg(0x98, "CPUPR2", 0, 0),
            reg(0xA0, "CPUIMR3", 0, u32::MAX),
            reg(0xA4, "CPUEMR3", 0, u32::MAX),
            reg(0xA8, "CPUPR3", 0, 0),
            $($more),*
        ]
    };
}

const EXTI: &[Reg] = exti!();
const LINES: Unit = Unit::Exti { kind: ExtiKind::H7, select: 0x5800_0408 };
/// Pins, then alarms and wake-up of the RTC. All interrupt numbers of this file are the ones of crate stm32h7 0.16, made
/// from ST's SVD files; H743, H735 and H7B3 have the same for what is modelled here.
const EXTI_IRQ: &[Irq] = &[
    (6, 1 << 0),
    (7, 1 << 1),
    (8, 1 << 2),
    (9, 1 << 3),
    (10, 1 << 4),
    (23, 0x03E0),
    (40, 0xFC00),
    (41, 1 << 17),
    (2, 1 << 18),
    (3, 1 << 19),
];

/// RM0433 table 8; what is not modelled is named, and answers as reserved.
macro_rules! blocks {
    ($rcc:expr, $alias:expr, $pwr:expr, $dbgmcu:expr, $exti:expr, $rtc:expr, $flags:expr $(, $more:expr)*) => {
        &[
            timer_32("TIM2", 0x4000_0000, Apb::One, (APB1L, 0), APB1LFZ, &[(28, ALL)]),
            timer("TIM3", 0x4000_0400, Apb::One, (APB1L, 1), APB1LFZ, 4, &[(29, ALL)]),
            timer("TIM4", 0x4000_0800, Apb::One, (APB1L, 2), APB1LFZ, 4, &[(30, ALL)]),
            timer_32("TIM5", 0x4000_0C00, Apb::One, (APB1L, 3), APB1LFZ, &[(50, ALL)]),
            timer("TIM6", 0x4000_1000, Apb::One, (APB1L, 4), APB1LFZ, 0, &[(54, ALL)]),
            timer("TIM7", 0x4000_1400, Apb::One, (APB1L, 5), APB1LFZ, 0, &[(55, ALL)]),
            timer("TIM12", 0x4000_1800, Apb::One, (APB1L, 6), APB1LFZ, 2, &[(43, ALL)]),
            timer("TIM13", 0x4000_1C00, Apb::One, (APB1L, 7), APB1LFZ, 1, &[(44, ALL)]),
            timer("TIM14", 0x4000_2000, Apb::One, (APB1L, 8), APB1LFZ, 1, &[(45, ALL)]),
            block("LPTIM1", 0x4000_2400, 0x400, &[]),
            block("SPI2-3", 0x4000_3800, 0x800, &[]),
            block("SPDIFRX", 0x4000_4000, 0x400, &[]),
            usart("USART2", 0x4000_4400, UART_1, (APB1L, 17), &[(38, ALL)]),
            usart("USART3", 0x4000_4800, UART_1, (APB1L, 18), &[(39, ALL)]),
            usart("UART4", 0x4000_4C00, UART_1, (APB1L, 19), &[(52, ALL)]),
            usart("UART5", 0x4000_5000, UART_1, (APB1L, 20), &[(53, ALL)]),
            block("I2C1-3", 0x4000_5400, 0xC00, &[]),
            block("CEC", 0x4000_6C00, 0x400, &[]),
            block("DAC1", 0x4000_7400, 0x400, &[]),
            usart("UART7", 0x4000_7800, UART_1, (APB1L, 30), &[(82, ALL)]),
            usart("UART8", 0x4000_7C00, UART_1, (APB1L, 31), &[(83, ALL)]),
            block("CRS", 0x4000_8400, 0x400, &[]),
            block("SWPMI", 0x4000_8800, 0x400, &[]),
            block("OPAMP", 0x4000_9000, 0x400, &[]),
            block("MDIOS", 0x4000_9400, 0x400, &[]),
            block("FDCAN", 0x4000_A000, 0x3800, &[]),
            timer("TIM1", 0x4001_0000, Apb::Two, (APB2, 0), APB2FZ, 4, &[(25, UPDATE), (27, COMPARE)]),
            timer("TIM8", 0x4001_0400, Apb::Two, (APB2, 1), APB2FZ, 4, &[(44, UPDATE), (46, COMPARE)]),
            usart("USART1", 0x4001_1000, UART_2, (APB2, 4), &[(37, ALL)]),
            usart("USART6", 0x4001_1400, UART_2, (APB2, 5), &[(71, ALL)]),
            block("SPI1,4", 0x4001_3000, 0x800, &[]),
            timer("TIM15", 0x4001_4000, Apb::Two, (APB2, 16), APB2FZ, 2, &[(116, ALL)]),
            timer("TIM16", 0x4001_4400, Apb::Two, (APB2, 17), APB2FZ, 1, &[(117, ALL)]),
            timer("TIM17", 0x4001_4800, Apb::Two, (APB2, 18), APB2FZ, 1, &[(118, ALL)]),
            block("SPI5", 0x4001_5000, 0x400, &[]),
            block("SAI1-3", 0x4001_5800, 0xC00, &[]),
            block("DFSDM1", 0x4001_7000, 0x400, &[]),
            block("DMA1-2", 0x4002_0000, 0x800, &[]),
            block("DMAMUX1", 0x4002_0800, 0x400, &[]),
            block("ADC1-2", 0x4002_2000, 0x400, &[]),
            block("ETH", 0x4002_8000, 0x2000, &[]),
            block("USB1", 0x4004_0000, 0x4_0000, &[]),
            block("USB2", 0x4008_0000, 0x4_0000, &[]),
            block("DCMI", 0x4802_0000, 0x400, &[]),
            block("CRYP,HASH,RNG", 0x4802_1000, 0xC00, &[]),
            block("SDMMC2", 0x4802_2400, 0x800, &[]),
            block("LTDC", 0x5000_1000, 0x1000, &[]),
            block("WWDG1", 0x5000_3000, 0x1000, WWDG).unit(WINDOW).clock(APB3, 6).freeze(APB3FZ, 6).irq(&[(0, ALL)]),
            block("AXI GPV", 0x5100_0000, 0x10_0000, &[]),
            block("MDMA", 0x5200_0000, 0x1000, &[]),
            block("DMA2D", 0x5200_1000, 0x1000, &[]),
            block("JPEG", 0x5200_3000, 0x1000, &[]),
            block("FMC", 0x5200_4000, 0x1000, &[reg(0, "BCR1", 0x30DB, u32::MAX)]),
            block("QUADSPI", 0x5200_5000, 0x2000, &[]),
            block("SDMMC1", 0x5200_7000, 0x2000, &[]),
            block("EXTI", 0x5800_0000, 0x400, $exti).unit(LINES).irq(EXTI_IRQ),
            block("SYSCFG", 0x5800_0400, 0x400, SYSCFG),
            usart("LPUART1", 0x5800_0C00, LOW_POWER, (APB4, 3), &[(142, ALL)]),
            block("SPI6", 0x5800_1400, 0x400, &[]),
            block("I2C4", 0x5800_1C00, 0x400, &[]),
            block("LPTIM2-5", 0x5800_2400, 0x1000, &[]),
            block("COMP", 0x5800_3800, 0x400, &[]),
            block("VREFBUF", 0x5800_3C00, 0x400, &[]),
            rtc(0x5800_4000, $rtc, BDCR, $flags),
            block("IWDG1", 0x5800_4800, 0x400, IWDG).unit(Unit::Independent).freeze(APB4FZ, 18),
            block("SAI4", 0x5800_5400, 0x400, &[]),
            port("GPIOA", 0x5802_0000, 'A', AHB4, GPIO_A),
            port("GPIOB", 0x5802_0400, 'B', AHB4, GPIO_B),
            port("GPIOC", 0x5802_0800, 'C', AHB4, GPIO),
            port("GPIOD", 0x5802_0C00, 'D', AHB4, GPIO),
            port("GPIOE", 0x5802_1000, 'E', AHB4, GPIO),
            port("GPIOF", 0x5802_1400, 'F', AHB4, GPIO),
            port("GPIOG", 0x5802_1800, 'G', AHB4, GPIO),
            port("GPIOH", 0x5802_1C00, 'H', AHB4, GPIO),
            port("GPIOJ", 0x5802_2400, 'J', AHB4, GPIO),
            port("GPIOK", 0x5802_2800, 'K', AHB4, GPIO),
            Block { alias: $alias, ..block("RCC", 0x5802_4400, 0x400, $rcc) }.unit(Unit::Clocks(Tree::H7)),
            block("PWR", 0x5802_4800, 0x400, $pwr),
            block("CRC", 0x5802_4C00, 0x400, checksum::REGS).unit(Unit::Checksum).clock(AHB4, 19),
            block("BDMA", 0x5802_5400, 0x400, &[]),
            block("DMAMUX2", 0x5802_5800, 0x400, &[]),
            block("ADC3", 0x5802_6000, 0x400, &[]),
            Block { kept: true, ..block("DBGMCU", 0x5C00_1000, 0x1000, $dbgmcu) },
            $($more),*
        ]
    };
}

/// On H74x and H72x the registers from RSR up have a second name for CPU1, 0x60 above.
const CPU1: &[(u16, u16, u16)] = &[(0x130, 0x17C, 0x60)];
const HSEM: Block = block("HSEM", 0x5802_6400, 0x400, &[]);
const BLOCKS_H74: &[Block] = blocks!(
    RCC_H74,
    CPU1,
    PWR,
    DBGMCU_H74,
    EXTI,
    RTC,
    RtcFlags::Isr,
    HSEM,
    block("HRTIM", 0x4001_7400, 0x400, &[]),
    port("GPIOI", 0x5802_2000, 'I', AHB4, GPIO)
);
const BLOCKS_H72: &[Block] =
    blocks!(RCC_H74, CPU1, PWR, DBGMCU_H72, EXTI, RTC, RtcFlags::Isr, HSEM, block("TIM23-24", 0x4000_E000, 0x800, &[]));
const BLOCKS_H7A: &[Block] =
    blocks!(RCC_H7A, &[], PWR, DBGMCU_H7A, EXTI, RTC_3, RtcFlags::SrByExti, HSEM, port("GPIOI", 0x5802_2000, 'I', AHB4, GPIO));

mod dual;

pub use dual::{CORTEX_M4, H745};

const KIB: u32 = 1024;

const fn tcm(base: u32, size: u32) -> Ram {
    Ram { base, size, without_parity: 0, tightly_coupled: true }
}

const fn ram(base: u32, size: u32) -> Ram {
    Ram { base, size, without_parity: 0, tightly_coupled: false }
}

const RAM_H74: &[Ram] = &[
    tcm(0x0000_0000, 64 * KIB),
    tcm(0x2000_0000, 128 * KIB),
    ram(0x2400_0000, 512 * KIB),
    ram(0x3000_0000, 288 * KIB),
    ram(0x3800_0000, 64 * KIB),
    ram(0x3880_0000, 4 * KIB),
];
const RAM_H72: &[Ram] = &[
    tcm(0x0000_0000, 64 * KIB),
    tcm(0x2000_0000, 128 * KIB),
    ram(0x2400_0000, 320 * KIB),
    ram(0x3000_0000, 32 * KIB),
    ram(0x3800_0000, 16 * KIB),
    ram(0x3880_0000, 4 * KIB),
];
const RAM_H7A: &[Ram] = &[
    tcm(0x0000_0000, 64 * KIB),
    tcm(0x2000_0000, 128 * KIB),
    ram(0x2400_0000, 1024 * KIB),
    ram(0x3000_0000, 128 * KIB),
    ram(0x3800_0000, 32 * KIB),
    ram(0x3880_0000, 4 * KIB),
];

/// System memory with UID, calibration words (assumed values) and FSIZE inside.
macro_rules! system_memory {
    ($kib:expr) => {
        &[Rom {
            base: 0x1FF0_0000,
            size: 128 * KIB,
            vectors: Some(0x1FF0_9800),
            words: &[
                (0x1FF1_E800, 0x0037_002A),
                (0x1FF1_E804, 0x3431_510E),
                (0x1FF1_E808, 0x3538_3936),
                (0x1FF1_E820, 0xFFFF_2FC0),
                (0x1FF1_E840, 0xFFFF_3F20),
                (0x1FF1_E860, 0xFFFF_5E60),
                (0x1FF1_E880, 0xFFFF_0000 | $kib),
            ],
        }]
    };
}

/// H7Ax: vectors elsewhere; UID, FSIZE, package and calibration beside the OTP.
const ROM_H7A: &[Rom] = &[
    Rom { base: 0x1FF0_0000, size: 128 * KIB, vectors: Some(0x1FF0_A000), words: &[] },
    Rom {
        base: 0x08FF_F800,
        size: 0x20,
        vectors: None,
        words: &[
            (0x08FF_F800, 0x0037_002A),
            (0x08FF_F804, 0x3431_510E),
            (0x08FF_F808, 0x3538_3936),
            (0x08FF_F80C, 0x0000_0800),
            (0x08FF_F810, 0xFFFF_5E60),
            (0x08FF_F814, 0xFFFF_2FC0),
            (0x08FF_F818, 0xFFFF_3F20),
        ],
    },
];

/// OPTSR as an H7B0 was seen to hold it; that the others leave the factory with the same word is assumed.
const OPTSR: u32 = 0x1006_AAF0;

const FLASH_H743: H7 = H7 {
    banks: 2,
    bank_size: 1024 * KIB,
    sector: 128 * KIB,
    word: 32,
    layout: &LAYOUT_H74,
    times: &TIMES_H74,
    acr: 0x37,
    wrp_group: 1,
    can_swap: true,
    otp: None,
    optsr2: false,
    optsr: OPTSR,
    boot4: None,
};
const FLASH_H750: H7 = H7 { banks: 1, bank_size: 128 * KIB, can_swap: false, ..FLASH_H743 };
const FLASH_H723: H7 = H7 { banks: 1, can_swap: false, optsr2: true, ..FLASH_H743 };
const FLASH_H7A3: H7 =
    H7 { sector: 8 * KIB, word: 16, layout: &LAYOUT_H7A, times: &TIMES_H7A, acr: 0x13, wrp_group: 4, otp: Some(0x08FF_F000), ..FLASH_H743 };

const CAUSES_H74: Causes =
    Causes { power: 0x00FA_0000, pin: 0x0042_0000, request: 0x0142_0000, options: 0, independent: 0x0442_0000, window: 0x1042_0000 };

pub const H743: Row = Row {
    name: "stm32h743",
    dpidr: 0x6BA0_2477,
    targetid: 0x0450_0041,
    aps: APS,
    core: &CORTEX_M7,
    second: None,
    flash: Controller::H7(&FLASH_H743),
    ram: RAM_H74,
    rom: system_memory!(2048),
    blocks: BLOCKS_H74,
    debug: debug_bus!(0x450),
    debug_clock: None,
    alias: 0,
    causes: CAUSES_H74,
};

pub const H750: Row = Row { name: "stm32h750", flash: Controller::H7(&FLASH_H750), rom: system_memory!(128), ..H743 };

pub const H723: Row = Row {
    name: "stm32h723",
    targetid: 0x0483_0041,
    core: &CORTEX_M7_H72,
    flash: Controller::H7(&FLASH_H723),
    ram: RAM_H72,
    rom: system_memory!(1024),
    blocks: BLOCKS_H72,
    debug: debug_bus!(0x483),
    ..H743
};

/// SYSRESETREQ as read on an H7B0 (the manual's table says 0x01400000).
pub const H7A3: Row = Row {
    name: "stm32h7a3",
    targetid: 0x0480_0041,
    core: &CORTEX_M7_H7A,
    flash: Controller::H7(&FLASH_H7A3),
    ram: RAM_H7A,
    rom: ROM_H7A,
    blocks: BLOCKS_H7A,
    debug: debug_bus!(0x480),
    causes: Causes {
        power: 0x00E8_0000,
        pin: 0x0040_0000,
        request: 0x0148_0000,
        options: 0,
        independent: 0x0440_0000,
        window: 0x1040_0000,
    },
    ..H743
};
