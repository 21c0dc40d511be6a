//! STM32G0 (RM0444, RM0454): G030, G031, G051, G071, G0B1.

use super::super::bus::{Controller, Ram, Rom};
use super::super::chip::{ApRow, View};
use super::super::coresight::{ARM, Component, ST, rom_table, unit};
use super::super::cpu::{Arch, CoreRow};
use super::super::flash_g0::{Banks, G0};
use super::super::periph::{Block, ExtiKind, Kind, Reg, RtcFlags, Unit, block, reg, special};
use super::super::soc::checksum;
use super::super::soc::clock::{Apb, Tree};
use super::common::{ALL, COMPARE, IWDG, RTC_3, UPDATE, WWDG, port, rtc, timer_32, timer_block as timer, usart};
use super::{Causes, Row};

const CORE_ROM: u32 = 0xE00F_F000;

const UNITS: &[Component] = &[
    rom_table(CORE_ROM, ARM, 0x4C0, &[0xE000_E000, 0xE000_1000, 0xE000_2000]),
    unit(0xE000_E000, ARM, 0x008, 0, 0xE),
    unit(0xE000_1000, ARM, 0x00A, 0, 0xE),
    unit(0xE000_2000, ARM, 0x00B, 0, 0xE),
];

/// r0p1, 4 breakpoints, 2 watchpoints; the registers after reset as a G0B1 was seen to have them.
pub const CORTEX_M0PLUS: CoreRow = CoreRow {
    arch: Arch::V6M,
    cpuid: 0x410C_C601,
    fp_ctrl: 0x0000_0040,
    dwt_ctrl: 0x2000_0000,
    mvfr: None,
    cache: None,
    mpu_type: 0x0000_0800,
    interrupts: 32,
    priority: 0xC0,
    ccr: (0x208, 0),
    hz: 16_000_000,
    reset_r: u32::MAX,
    reset_xpsr: 0xF100_0000,
    units: UNITS,
};

/// CSW and its mask are assumed; the rest was read on a G071.
const APS: &[ApRow] =
    &[ApRow { index: 0, idr: 0x0477_0031, cfg: 0, base: 0xF000_0003, csw: 0x0300_0042, csw_mask: 0x0F00_0017, view: View::Core }];

/// The system ROM table hangs on the bus; it needs the debug clock.
macro_rules! rom {
    ($part:expr) => {
        &[rom_table(0xF000_0000, ST, $part, &[CORE_ROM])]
    };
}

const RCC: &[Reg] = &[
    special(0x00, "CR", 0x100, 0x014D_3B00, Kind::Follows(&[(1 << 8, 2), (1 << 16, 1), (1 << 22, 1), (1 << 24, 1)])),
    reg(0x04, "ICSCR", 0x4000, 0x7F00),
    special(0x08, "CFGR", 0, 0xFFFF_7F07, Kind::Follows(&[(7, 3)])),
    reg(0x0C, "PLLCFGR", 0x1000, 0xFFFF_7F73),
    reg(0x18, "CIER", 0, 0x3F),
    reg(0x1C, "CIFR", 0, 0),
    reg(0x20, "CICR", 0, 0),
    reg(0x24, "IOPRSTR", 0, 0x3F),
    reg(0x28, "AHBRSTR", 0, u32::MAX),
    reg(0x2C, "APBRSTR1", 0, u32::MAX),
    reg(0x30, "APBRSTR2", 0, u32::MAX),
    reg(0x34, "IOPENR", 0, 0x3F),
    reg(0x38, "AHBENR", 0x100, 0x0005_1103),
    reg(0x3C, "APBENR1", 0, u32::MAX),
    reg(0x40, "APBENR2", 0, 0x0017_D801),
    reg(0x44, "IOPSMENR", 0x3F, 0x3F),
    reg(0x48, "AHBSMENR", 0x0005_1303, 0x0005_1303),
    reg(0x4C, "APBSMENR1", u32::MAX, u32::MAX),
    reg(0x50, "APBSMENR2", 0x0017_D801, 0x0017_D801),
    reg(0x54, "CCIPR", 0, u32::MAX),
    special(0x5C, "BDCR", 0, 0x0301_83BD, Kind::Backup),
    special(0x60, "CSR", 0, 1, Kind::Causes { clear: 1 << 23 }),
];

const PWR: &[Reg] = &[
    reg(0x00, "CR1", 0x208, 0x0000_477F),
    reg(0x04, "CR2", 0, 0x7FF),
    reg(0x08, "CR3", 0x8000, 0x0000_873F),
    reg(0x0C, "CR4", 0, 0x33F),
    reg(0x10, "SR1", 0, 0),
    // FLASH_RDY; VOSF falls at once.
    reg(0x14, "SR2", 0x80, 0),
    reg(0x18, "SCR", 0, 0),
];

const SYSCFG: &[Reg] = &[reg(0x00, "CFGR1", 0, 0x01FF_001F), reg(0x18, "CFGR2", 0, 0x1F)];

const GPIO_A: &[Reg] = &gpio(0xEBFF_FFFF, 0x0C00_0000, 0x2400_0000);
const GPIO: &[Reg] = &gpio(0xFFFF_FFFF, 0, 0);

const fn gpio(moder: u32, ospeedr: u32, pupdr: u32) -> [Reg; 11] {
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
        special(0x28, "BRR", 0, 0, Kind::Clear(0x14)),
    ]
}

/// Without RCC_APBENR1.DBGEN writes are ignored; reads, IDCODE among them, answer.
/// CRCEN is bit 12.
const RCC_AHBENR: u32 = 0x4002_1038;
const DEBUG_CLOCK: (u32, u32) = (0x4002_103C, 27);

const fn dbg(idcode: u32) -> [Reg; 4] {
    [reg(0x00, "IDCODE", idcode, 0), reg(0x04, "CR", 0, 0x6), reg(0x08, "APB_FZ1", 0, 0xC060_1C37), reg(0x0C, "APB_FZ2", 0, 0x0007_8800)]
}

const DBG_G03: &[Reg] = &dbg(0x1001_6466);
const DBG_G05: &[Reg] = &dbg(0x1000_6456);
const DBG_G07: &[Reg] = &dbg(0x2000_6460);
const DBG_G0B: &[Reg] = &dbg(0x1001_6467);

/// Clock enables (RM0444 5.4.13-5.4.16) and the freeze registers, whose bits for timers and WWDG are the same.
const IOP: u32 = 0x4002_1034;
const APB1: u32 = 0x4002_103C;
const APB2: u32 = 0x4002_1040;
const BDCR: u32 = 0x4002_105C;
const FZ1: u32 = 0x4001_5808;
const FZ2: u32 = 0x4001_580C;
const WINDOW: Unit = Unit::Window { clock: Apb::One, armed: None };

const UART: Unit = Unit::Uart { clock: Apb::One, low: false, fifo: 8 };
const LOW_POWER: Unit = Unit::Uart { clock: Apb::One, low: true, fifo: 8 };

/// RM0444 13.5; lines 0-20 have edges, of which the pins' are modelled.
const EXTI: &[Reg] = &[
    reg(0x00, "RTSR1", 0, 0x001F_FFFF),
    reg(0x04, "FTSR1", 0, 0x001F_FFFF),
    reg(0x08, "SWIER1", 0, 0),
    special(0x0C, "RPR1", 0, 0x001F_FFFF, Kind::Flags),
    special(0x10, "FPR1", 0, 0x001F_FFFF, Kind::Flags),
    reg(0x60, "EXTICR1", 0, u32::MAX),
    reg(0x64, "EXTICR2", 0, u32::MAX),
    reg(0x68, "EXTICR3", 0, u32::MAX),
    reg(0x6C, "EXTICR4", 0, u32::MAX),
    reg(0x80, "IMR1", 0xFFF8_0000, u32::MAX),
    reg(0x84, "EMR1", 0, u32::MAX),
    reg(0x90, "IMR2", u32::MAX, u32::MAX),
    reg(0x94, "EMR2", 0, u32::MAX),
];
const LINES: Unit = Unit::Exti { kind: ExtiKind::G0, select: 0x4002_1860 };

/// What all five have, with interrupt numbers from crate stm32g0 0.16, made from ST's SVD files; what is not modelled is named, and answers as reserved.
macro_rules! blocks {
    ($dbg:expr $(, $more:expr)*) => {
        &[
            timer_32("TIM2", 0x4000_0000, Apb::One, (APB1, 0), FZ1, &[(15, ALL)]),
            timer("TIM3", 0x4000_0400, Apb::One, (APB1, 1), FZ1, 4, &[(16, ALL)]),
            timer("TIM14", 0x4000_2000, Apb::One, (APB2, 15), FZ2, 1, &[(19, ALL)]),
            rtc(0x4000_2800, RTC_3, BDCR, RtcFlags::Sr).irq(&[(2, ALL)]),
            block("WWDG", 0x4000_2C00, 0x400, WWDG).unit(WINDOW).clock(APB1, 11).freeze(FZ1, 11).irq(&[(0, ALL)]),
            block("IWDG", 0x4000_3000, 0x400, IWDG).unit(Unit::Independent).freeze(FZ1, 12),
            block("SPI2", 0x4000_3800, 0x400, &[]),
            usart("USART2", 0x4000_4400, UART, (APB1, 17), &[(28, ALL)]),
            block("I2C1", 0x4000_5400, 0x400, &[]),
            block("I2C2", 0x4000_5800, 0x400, &[]),
            block("PWR", 0x4000_7000, 0x400, PWR),
            block("LPTIM1", 0x4000_7C00, 0x400, &[]),
            usart("LPUART1", 0x4000_8000, LOW_POWER, (APB1, 20), &[(29, ALL)]),
            block("LPTIM2", 0x4000_9400, 0x400, &[]),
            block("TAMP", 0x4000_B000, 0x400, &[]),
            block("SYSCFG", 0x4001_0000, 0x400, SYSCFG),
            block("ADC", 0x4001_2400, 0x400, &[]),
            timer("TIM1", 0x4001_2C00, Apb::One, (APB2, 11), FZ2, 4, &[(13, UPDATE), (14, COMPARE)]),
            block("SPI1", 0x4001_3000, 0x400, &[]),
            usart("USART1", 0x4001_3800, UART, (APB2, 14), &[(27, ALL)]),
            timer("TIM16", 0x4001_4400, Apb::One, (APB2, 17), FZ2, 1, &[(21, ALL)]),
            timer("TIM17", 0x4001_4800, Apb::One, (APB2, 18), FZ2, 1, &[(22, ALL)]),
            Block { kept: true, gate: Some(DEBUG_CLOCK), ..block("DBG", 0x4001_5800, 0x400, $dbg) },
            block("DMA1", 0x4002_0000, 0x400, &[]),
            block("DMAMUX", 0x4002_0800, 0x400, &[]),
            block("RCC", 0x4002_1000, 0x400, RCC).unit(Unit::Clocks(Tree::G0)),
            block("EXTI", 0x4002_1800, 0x400, EXTI).unit(LINES).irq(&[(5, 0x0003), (6, 0x000C), (7, 0xFFF0)]),
            block("CRC", 0x4002_3000, 0x400, checksum::REGS).unit(Unit::Checksum).clock(RCC_AHBENR, 12),
            port("GPIOA", 0x5000_0000, 'A', IOP, GPIO_A),
            port("GPIOB", 0x5000_0400, 'B', IOP, GPIO),
            port("GPIOC", 0x5000_0800, 'C', IOP, GPIO),
            port("GPIOD", 0x5000_0C00, 'D', IOP, GPIO),
            port("GPIOF", 0x5000_1400, 'F', IOP, GPIO),
            $($more),*
        ]
    };
}

const BLOCKS_G03: &[Block] = blocks!(DBG_G03);
const BLOCKS_G05: &[Block] = blocks!(
    DBG_G05,
    timer("TIM6", 0x4000_1000, Apb::One, (APB1, 4), FZ1, 0, &[(17, ALL)]),
    timer("TIM15", 0x4001_4000, Apb::One, (APB2, 16), FZ2, 2, &[(20, ALL)])
);
const BLOCKS_G07: &[Block] = blocks!(
    DBG_G07,
    timer("TIM6", 0x4000_1000, Apb::One, (APB1, 4), FZ1, 0, &[(17, ALL)]),
    timer("TIM7", 0x4000_1400, Apb::One, (APB1, 5), FZ1, 0, &[(18, ALL)]),
    usart("USART3", 0x4000_4800, UART, (APB1, 18), &[(29, ALL)]),
    usart("USART4", 0x4000_4C00, UART, (APB1, 19), &[(29, ALL)]),
    block("DAC", 0x4000_7400, 0x400, &[]),
    block("CEC", 0x4000_7800, 0x400, &[]),
    block("UCPD1", 0x4000_A000, 0x400, &[]),
    block("UCPD2", 0x4000_A400, 0x400, &[]),
    timer("TIM15", 0x4001_4000, Apb::One, (APB2, 16), FZ2, 2, &[(20, ALL)])
);
const BLOCKS_G0B: &[Block] = blocks!(
    DBG_G0B,
    timer("TIM4", 0x4000_0800, Apb::One, (APB1, 2), FZ1, 4, &[(16, ALL)]),
    timer("TIM6", 0x4000_1000, Apb::One, (APB1, 4), FZ1, 0, &[(17, ALL)]),
    timer("TIM7", 0x4000_1400, Apb::One, (APB1, 5), FZ1, 0, &[(18, ALL)]),
    block("SPI3", 0x4000_3C00, 0x400, &[]),
    usart("USART3", 0x4000_4800, UART, (APB1, 18), &[(29, ALL)]),
    usart("USART4", 0x4000_4C00, UART, (APB1, 19), &[(29, ALL)]),
    usart("USART5", 0x4000_5000, UART, (APB1, 8), &[(29, ALL)]),
    block("USB", 0x4000_5C00, 0x400, &[]),
    block("FDCAN", 0x4000_6400, 0x800, &[]),
    block("CRS", 0x4000_6C00, 0x400, &[]),
    block("DAC", 0x4000_7400, 0x400, &[]),
    block("CEC", 0x4000_7800, 0x400, &[]),
    usart("LPUART2", 0x4000_8400, LOW_POWER, (APB1, 7), &[(28, ALL)]),
    block("I2C3", 0x4000_8800, 0x400, &[]),
    block("UCPD1", 0x4000_A000, 0x400, &[]),
    block("UCPD2", 0x4000_A400, 0x400, &[]),
    usart("USART6", 0x4001_3C00, UART, (APB1, 9), &[(29, ALL)]),
    timer("TIM15", 0x4001_4000, Apb::One, (APB2, 16), FZ2, 2, &[(20, ALL)]),
    block("DMA2", 0x4002_0400, 0x400, &[]),
    port("GPIOE", 0x5000_1000, 'E', IOP, GPIO)
);

/// UID is this board's own; calibration words are plausible (assumed).
macro_rules! info {
    ($package:expr, $fsize:expr) => {
        &[
            Rom { base: 0x1FFF_0000, size: 0x7000, vectors: Some(0x1FFF_0000), words: &[] },
            Rom {
                base: 0x1FFF_7500,
                size: 0x300,
                vectors: None,
                words: &[
                    (0x1FFF_7500, $package),
                    (0x1FFF_7590, 0x0038_002B),
                    (0x1FFF_7594, 0x5346_500A),
                    (0x1FFF_7598, 0x2035_3552),
                    (0x1FFF_75A8, 0x067B_0408),
                    (0x1FFF_75C8, 0x0565_FFFF),
                    (0x1FFF_75E0, 0xFFFF_0000 | $fsize),
                ],
            },
        ]
    };
}

const fn ram(size: u32, without_parity: u32) -> [Ram; 1] {
    [Ram { base: 0x2000_0000, size, without_parity, tightly_coupled: false }]
}

const KIB: u32 = 1024;
/// Factory OPTR of G0x1 and G0x0 (RM0444, RM0454).
const OPTR_X1: u32 = 0xFFFF_FEAA;
const OPTR_X0: u32 = 0xDFFF_E1AA;

const FLASH_G030: G0 = G0 { extended: false, optr: OPTR_X0, ..FLASH_G031 };
const FLASH_G031: G0 = G0 { size: 64 * KIB, banks: Banks::One, extended: true, wrp_bits: 5, pcrop_bits: 7, sec_bits: 6, optr: OPTR_X1 };
const FLASH_G071: G0 = G0 { size: 128 * KIB, wrp_bits: 6, pcrop_bits: 8, sec_bits: 7, ..FLASH_G031 };
const FLASH_G0B1: G0 = G0 { size: 512 * KIB, banks: Banks::Two, wrp_bits: 7, pcrop_bits: 9, sec_bits: 8, ..FLASH_G031 };

pub const G030: Row = Row { name: "stm32g030", flash: Controller::G0(&FLASH_G030), ..G031 };

pub const G031: Row = Row {
    name: "stm32g031",
    flash: Controller::G0(&FLASH_G031),
    ram: &ram(8 * KIB, 8 * KIB),
    rom: info!(0, 64),
    blocks: BLOCKS_G03,
    debug: rom!(0x466),
    ..G071
};

pub const G051: Row = Row {
    name: "stm32g051",
    flash: Controller::G0(&FLASH_G031),
    ram: &ram(16 * KIB, 18 * KIB),
    rom: info!(0, 64),
    blocks: BLOCKS_G05,
    debug: rom!(0x456),
    ..G071
};

pub const G071: Row = Row {
    name: "stm32g071",
    dpidr: 0x0BC1_1477,
    targetid: 0,
    aps: APS,
    core: &CORTEX_M0PLUS,
    second: None,
    flash: Controller::G0(&FLASH_G071),
    ram: &ram(32 * KIB, 36 * KIB),
    rom: info!(0, 128),
    blocks: BLOCKS_G07,
    debug: rom!(0x460),
    debug_clock: Some(DEBUG_CLOCK),
    alias: 0x0800_0000,
    causes: Causes {
        power: 0x0C00_0000,
        pin: 0x0400_0000,
        request: 0x1400_0000,
        options: 0x0600_0000,
        independent: 0x2400_0000,
        window: 0x4400_0000,
    },
};

/// Package word 25:24 = 2: two banks whatever DUAL_BANK says.
pub const G0B1: Row = Row {
    name: "stm32g0b1",
    flash: Controller::G0(&FLASH_G0B1),
    ram: &ram(128 * KIB, 144 * KIB),
    rom: info!(0x0200_0000, 512),
    blocks: BLOCKS_G0B,
    debug: rom!(0x467),
    ..G071
};
