//! Not a chip of ST's range: a Cortex-M3 with the identity that the recorded ST-Link V2 session talked to, so that the
//! recording can be replayed (CPUID 0x412fc230, IDCODE 0x10186416 at 0xE0042000).

use super::super::bus::{Controller, Ram, Rom};
use super::super::chip::{ApRow, View};
use super::super::coresight::{ARM, Component, ST, rom_table, unit};
use super::super::cpu::{Arch, CoreRow};
use super::super::periph::{Block, Kind, Reg, block, reg, special};
use super::{Causes, Row};

const UNITS: &[Component] = &[
    rom_table(0xE00F_F000, ST, 0x416, &[0xE000_E000, 0xE000_1000, 0xE000_2000, 0xE000_0000]),
    unit(0xE000_E000, ARM, 0x000, 3, 0xE),
    unit(0xE000_1000, ARM, 0x002, 3, 0xE),
    unit(0xE000_2000, ARM, 0x003, 2, 0xE),
    unit(0xE000_0000, ARM, 0x001, 3, 0xE),
];

const CORTEX_M3: CoreRow = CoreRow {
    arch: Arch::V7M,
    cpuid: 0x412F_C230,
    fp_ctrl: 0x0000_0260,
    dwt_ctrl: 0x4000_0000,
    mvfr: None,
    cache: None,
    mpu_type: 0,
    interrupts: 60,
    priority: 0xF0,
    ccr: (0x200, 0x11B),
    hz: 8_000_000,
    reset_r: 0,
    reset_xpsr: 0x0100_0000,
    units: UNITS,
};

const RCC: &[Reg] = &[
    special(0x00, "CR", 0x81, 0x010D_00F9, Kind::Follows(&[(1, 1), (1 << 16, 1), (1 << 24, 1)])),
    special(0x04, "CFGR", 0, 0x07FF_FFF3, Kind::Follows(&[(3, 2)])),
    reg(0x14, "AHBENR", 0x14, 0x0000_0557),
    reg(0x18, "APB2ENR", 0, 0x0038_FFFD),
    reg(0x1C, "APB1ENR", 0, 0x3AFE_C9FF),
    special(0x24, "CSR", 0, 1, Kind::Causes { clear: 1 << 24 }),
];
const DBGMCU: &[Reg] = &[reg(0x00, "IDCODE", 0x1018_6416, 0), reg(0x04, "CR", 0, 0x003F_FFE7), reg(0x08, "APB1_FZ", 0, u32::MAX)];

const BLOCKS: &[Block] = &[
    block("RCC", 0x4002_1000, 0x400, RCC),
    block("FLASH", 0x4002_2000, 0x400, &[]),
    Block { kept: true, ..block("DBGMCU", 0xE004_2000, 0x400, DBGMCU) },
];

pub const F1_LIKE: Row = Row {
    name: "f1-like",
    dpidr: 0x1BA0_1477,
    targetid: 0,
    aps: &[ApRow { index: 0, idr: 0x1477_0011, cfg: 0, base: 0xE00F_F003, csw: 0x4300_0042, csw_mask: 0x6300_0037, view: View::Core }],
    core: &CORTEX_M3,
    second: None,
    flash: Controller::Plain(0x2_0000),
    ram: &[Ram { base: 0x2000_0000, size: 0x4000, without_parity: 0, tightly_coupled: false }],
    rom: &[
        Rom { base: 0x1FF0_0000, size: 0x2000, vectors: Some(0x1FF0_0000), words: &[] },
        Rom { base: 0x1FF8_0000, size: 0x100, vectors: None, words: &[(0x1FF8_004C, 0xFFFF_0080)] },
    ],
    blocks: BLOCKS,
    debug: &[],
    debug_clock: None,
    alias: 0x2_0000,
    causes: Causes { power: 0x0C00_0000, pin: 0x0400_0000, request: 0x1400_0000, options: 0, independent: 0, window: 0 },
};
