//! Not chips: a core with flash and RAM and nothing else, to run programs on that were linked for no board.
//!
//! Flash lies at 0 (and at 0x08000000), RAM at 0x20000000; M7 and M4 have the external RAM (PSRAM, 16 MiB) of Arm's MPS2
//! boards with AN500 and AN386 too, because QEMU's semihosting puts the stack of a program there (tests/cpu_qemu.rs).

use super::super::bus::{Controller, Ram};
use super::super::chip::{ApRow, View};
use super::super::cpu::CoreRow;
use super::{Causes, Row, stm32g0, stm32h7};

const KIB: u32 = 1024;

const fn ram(size: u32) -> Ram {
    Ram { base: 0x2000_0000, size, without_parity: 0, tightly_coupled: false }
}

const fn external(base: u32) -> Ram {
    Ram { base, size: 16 * 1024 * KIB, without_parity: 0, tightly_coupled: false }
}

const CORTEX_M0PLUS: CoreRow = CoreRow { mpu_type: 0, units: &[], ..stm32g0::CORTEX_M0PLUS };
const CORTEX_M7: CoreRow = CoreRow { units: &[], ..stm32h7::CORTEX_M7 };
const CORTEX_M4: CoreRow = CoreRow { units: &[], ..stm32h7::CORTEX_M4 };
const CORTEX_M7_SOFT: CoreRow = CoreRow { mvfr: None, ..CORTEX_M7 };

/// Cortex-M7 with the double-precision FPU.
pub const M7: Row = Row {
    name: "bare-m7",
    dpidr: 0x6BA0_2477,
    targetid: 0,
    aps: &[ApRow { index: 0, idr: 0x8477_0001, cfg: 0, base: 2, csw: 0x4300_0040, csw_mask: 0xFF00_0037, view: View::Core }],
    core: &CORTEX_M7,
    second: None,
    flash: Controller::Plain(1024 * KIB),
    ram: &[ram(1024 * KIB), external(0x6000_0000)],
    rom: &[],
    blocks: &[],
    debug: &[],
    debug_clock: None,
    alias: 1024 * KIB,
    causes: Causes { power: 0, pin: 0, request: 0, options: 0, independent: 0, window: 0 },
};

/// Cortex-M7 without FPU.
pub const M7_SOFT: Row = Row { name: "bare-m7s", core: &CORTEX_M7_SOFT, ..M7 };

/// Cortex-M4 with the single-precision FPU, without caches.
pub const M4: Row = Row { name: "bare-m4", core: &CORTEX_M4, ram: &[ram(1024 * KIB), external(0x2100_0000)], ..M7 };

pub const M0: Row = Row {
    name: "bare-m0",
    dpidr: 0x0BC1_1477,
    aps: &[ApRow { index: 0, idr: 0x0477_0031, cfg: 0, base: 2, csw: 0x0300_0042, csw_mask: 0x0F00_0017, view: View::Core }],
    core: &CORTEX_M0PLUS,
    flash: Controller::Plain(256 * KIB),
    ram: &[ram(16 * KIB)],
    alias: 256 * KIB,
    ..M7
};
