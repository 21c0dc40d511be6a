//! STM32H745 (RM0399): the H743 with a Cortex-M4 behind AP3.
//!
//! The watchdogs of the second core are registers only, and its freeze bits stop nothing.

use super::super::super::chip::SecondRow;
use super::super::super::soc::hsem;
use super::*;

/// r0p1 with FPv4-SP, 6 breakpoints (FPB revision 1), 4 watchpoints, 8 regions, no caches (Cortex-M4 TRM). CCR.STKALIGN is
/// read-only here (assumed); the registers after reset and the rest of CCR as on the M7.
pub const CORTEX_M4: CoreRow = CoreRow {
    cpuid: 0x410F_C241,
    fp_ctrl: 0x0000_0260,
    dwt_ctrl: 0x4000_0000,
    mvfr: Some([0x1011_0021, 0x1100_0011, 0]),
    cache: None,
    mpu_type: 0x0000_0800,
    ccr: (0x0000_0200, 0x0000_011B),
    units: &[
        rom_table(0xE00F_F000, ARM, 0x4C4, &[0xE000_E000, 0xE000_1000, 0xE000_2000, 0xE000_0000, 0xE004_1000, 0xE004_3000]),
        unit(0xE000_E000, ARM, 0x00C, 0, 0xE),
        unit(0xE000_1000, ARM, 0x002, 3, 0xE),
        unit(0xE000_2000, ARM, 0x003, 2, 0xE),
        unit(0xE000_0000, ARM, 0x001, 3, 0xE),
        Component { devtype: 0x13, ..unit(0xE004_1000, ARM, 0x925, 0, 9) },
        Component { devtype: 0x14, devid: 0x4_0800, ..unit(0xE004_3000, ARM, 0x906, 4, 9) },
    ],
    ..CORTEX_M7
};

/// AP3's IDR as read on H745 and H747; BASE by the M4's ROM table, CSW and its mask assumed.
const APS: &[ApRow] = &[
    super::APS[0],
    super::APS[1],
    super::APS[2],
    ApRow { index: 3, idr: 0x2477_0011, cfg: 0, base: 0xE00F_F003, csw: 0x2300_0040, csw_mask: 0xFF00_0037, view: View::Second },
];

/// GCR: WW1RSC, WW2RSC, BOOT_C1, BOOT_C2 (RM0399 8.7).
const RCC: &[Reg] = rcc!(
    0xF,
    0xD0,
    0xD4,
    0xD8,
    0xDC,
    0xE0,
    special(0x190, "C2_RSR", 0, 0, Kind::Causes { clear: 1 << 16 }),
    reg(0x194, "C2_AHB3ENR", 0, u32::MAX),
    reg(0x198, "C2_AHB1ENR", 0, u32::MAX),
    reg(0x19C, "C2_AHB2ENR", 0, u32::MAX),
    reg(0x1A0, "C2_AHB4ENR", 0, u32::MAX),
    reg(0x1A4, "C2_APB3ENR", 0, u32::MAX),
    reg(0x1A8, "C2_APB1LENR", 0, u32::MAX),
    reg(0x1AC, "C2_APB1HENR", 0, u32::MAX),
    reg(0x1B0, "C2_APB2ENR", 0, u32::MAX),
    reg(0x1B4, "C2_APB4ENR", 0, u32::MAX)
);
const PWR_DUAL: &[Reg] = pwr!(reg(0x14, "CPU2CR", 0, 0x0000_0E07));

/// FZ2 are for the second core; WWDG2 is bit 11 of APB1LFZ2, IWDG2 bit 19 of APB4FZ2.
const DBGMCU: &[Reg] = &[
    super::DBGMCU_H74[0],
    super::DBGMCU_H74[1],
    super::DBGMCU_H74[2],
    reg(0x38, "APB3FZ2", 0, 0x40),
    reg(0x3C, "APB1LFZ1", 0, 0x02E0_0BFF),
    reg(0x40, "APB1LFZ2", 0, 0x02E0_0BFF),
    super::DBGMCU_H74[4],
    reg(0x48, "APB1HFZ2", 0, 0x0300_0100),
    super::DBGMCU_H74[5],
    reg(0x50, "APB2FZ2", 0, 0x2007_0003),
    reg(0x54, "APB4FZ1", 0, 0x000D_1E80),
    reg(0x58, "APB4FZ2", 0, 0x000D_1E80),
];

/// RM0399 20.6: the second core's masks and pending bits behind the first's; C2IMR1 after reset is assumed to be as C1IMR1.
const EXTI: &[Reg] = exti!(
    reg(0xC0, "C2IMR1", 0xFFC0_0000, u32::MAX),
    reg(0xC4, "C2EMR1", 0, u32::MAX),
    special(0xC8, "C2PR1", 0, 0x003F_FFFF, Kind::Flags),
    reg(0xD0, "C2IMR2", 0, u32::MAX),
    reg(0xD4, "C2EMR2", 0, u32::MAX),
    reg(0xD8, "C2PR2", 0, 0),
    reg(0xE0, "C2IMR3", 0, u32::MAX),
    reg(0xE4, "C2EMR3", 0, u32::MAX),
    reg(0xE8, "C2PR3", 0, 0)
);

const BLOCKS: &[Block] = blocks!(
    RCC,
    CPU1,
    PWR_DUAL,
    DBGMCU,
    EXTI,
    RTC,
    RtcFlags::Isr,
    block("HSEM", 0x5802_6400, 0x400, hsem::REGS).unit(Unit::Semaphores).clock(AHB4, 25).irq(hsem::IRQ),
    block("HRTIM", 0x4001_7400, 0x400, &[]),
    block("WWDG2", 0x4000_2C00, 0x400, WWDG).clock(APB1L, 11),
    block("DSIHOST", 0x5000_0000, 0x1000, &[]),
    block("IWDG2", 0x5800_4C00, 0x400, IWDG),
    port("GPIOI", 0x5802_2000, 'I', AHB4, GPIO)
);

/// BCM4 and BCM7, NRST_STOP_D2 and NRST_STBY_D2; BOOT4 starts at bank 2, or with the pin high in the M4's SRAM.
const FLASH: H7 = H7 { optsr: OPTSR | 3 << 22 | 3 << 24, boot4: Some(0x1000_0810), ..FLASH_H743 };

pub const H745: Row = Row {
    name: "stm32h745",
    aps: APS,
    second: Some(&SecondRow {
        core: &CORTEX_M4,
        sram: (0x1000_0000, 0x3000_0000),
        request: 0x0246_0000,
        own: (0x5802_44D0..0x5802_4520, 0xC0),
        enables: 0x60,
        start: (0x5802_44A0, [2, 3]),
    }),
    flash: Controller::H7(&FLASH),
    blocks: BLOCKS,
    causes: Causes {
        power: 0x00FE_0000,
        pin: 0x0046_0000,
        request: 0x0146_0000,
        options: 0,
        independent: 0x0446_0000,
        window: 0x1046_0000,
    },
    ..H743
};
