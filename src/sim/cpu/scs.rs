//! The core's private bus: system control space as tables, and who answers where (ARM DDI0403 B3, DDI0419 B3).

use super::super::bus::{lane, spread};
use super::super::chip::{BusError, Size};
use super::super::periph::{Block, Kind, Reg, block, reg, special};
use super::{Arch, BUS_FAULT, Core, DEBUG_MONITOR, MEM_MANAGE, NMI, PENDSV, Request, SVCALL, SYSTICK, State, USAGE_FAULT};

pub(super) const VTOR: u32 = 0xE000_ED08;
pub(super) const SHPR1: u32 = 0xE000_ED18;
pub(super) const SHCSR: u32 = 0xE000_ED24;
const NVIC: u32 = 0xE000_E100;
const PPB: std::ops::Range<u32> = 0xE000_0000..0xE010_0000;
const FPB: u32 = 0xE000_2000;
const DWT: u32 = 0xE000_1000;
const SCS: u32 = 0xE000_E000;

/// CMSIS names; resets and masks from DDI0403 and the Cortex-M7 TRM (ID registers from the TRM by memory: assumed).
const REGS_V7M: &[Reg] = &[
    reg(0x008, "ACTLR", 0, 0x1FFF_F7FF),
    reg(0x01C, "SYST_CALIB", 0x3E8, 0),
    reg(0xD08, "VTOR", 0, 0xFFFF_FF80),
    reg(0xD0C, "AIRCR", 0, 0x700),
    reg(0xD10, "SCR", 0, 0x16),
    reg(0xD18, "SHPR1", 0, 0x00F0_F0F0),
    reg(0xD1C, "SHPR2", 0, 0xF000_0000),
    reg(0xD20, "SHPR3", 0, 0xF0F0_00F0),
    reg(0xD24, "SHCSR", 0, 0x0007_0000),
    special(0xD28, "CFSR", 0, 0x030F_BFBF, Kind::Flags),
    special(0xD2C, "HFSR", 0, 0xC000_0002, Kind::Flags),
    reg(0xD34, "MMFAR", 0, u32::MAX),
    reg(0xD38, "BFAR", 0, u32::MAX),
    reg(0xD3C, "AFSR", 0, u32::MAX),
    reg(0xD40, "ID_PFR0", 0x0000_0030, 0),
    reg(0xD44, "ID_PFR1", 0x0000_0200, 0),
    reg(0xD48, "ID_DFR0", 0x0010_0000, 0),
    reg(0xD50, "ID_MMFR0", 0x0010_0030, 0),
    reg(0xD58, "ID_MMFR2", 0x0100_0000, 0),
    reg(0xD60, "ID_ISAR0", 0x0110_1110, 0),
    reg(0xD64, "ID_ISAR1", 0x0211_2000, 0),
    reg(0xD68, "ID_ISAR2", 0x2023_2231, 0),
    reg(0xD6C, "ID_ISAR3", 0x0111_1131, 0),
    reg(0xD70, "ID_ISAR4", 0x0131_0132, 0),
    reg(0xD84, "CSSELR", 0, 0xF),
    reg(0xD88, "CPACR", 0, 0x00F0_0000),
    reg(0xD94, "MPU_CTRL", 0, 7),
    reg(0xD98, "MPU_RNR", 0, 0xF),
    reg(0xF34, "FPCCR", 0xC000_0000, 0xC000_017B),
    reg(0xF38, "FPCAR", 0, 0xFFFF_FFF8),
    reg(0xF3C, "FPDSCR", 0, 0x07C0_0000),
    reg(0xF90, "ITCMCR", 0, 0xF),
    reg(0xF94, "DTCMCR", 0, 0xF),
    reg(0xF98, "AHBPCR", 0, 1),
    reg(0xF9C, "CACR", 0, 7),
    reg(0xFA0, "AHBSCR", 0x800, 0xFFFF),
];

const REGS_V6M: &[Reg] = &[
    reg(0x008, "ACTLR", 0, 0),
    reg(0x01C, "SYST_CALIB", 0x3E8, 0),
    reg(0xD08, "VTOR", 0, 0xFFFF_FF00),
    reg(0xD0C, "AIRCR", 0, 0),
    reg(0xD10, "SCR", 0, 0x16),
    reg(0xD1C, "SHPR2", 0, 0xC000_0000),
    reg(0xD20, "SHPR3", 0, 0xC0C0_0000),
    reg(0xD94, "MPU_CTRL", 0, 7),
    reg(0xD98, "MPU_RNR", 0, 7),
];

pub const SCS_V7M: &[Block] = &[block("SCS", SCS, 0xFD0, REGS_V7M)];
pub const SCS_V6M: &[Block] = &[block("SCS", SCS, 0xFD0, REGS_V6M)];

mod icsr {
    pub const NMIPENDSET: u32 = 1 << 31;
    pub const PENDSVSET: u32 = 1 << 28;
    pub const PENDSVCLR: u32 = 1 << 27;
    pub const PENDSTSET: u32 = 1 << 26;
    pub const PENDSTCLR: u32 = 1 << 25;
    pub const ISRPREEMPT: u32 = 1 << 23;
    pub const ISRPENDING: u32 = 1 << 22;
    pub const VECTPENDING: u32 = 12;
    pub const RETTOBASE: u32 = 1 << 11;
}

/// SHCSR's bits that show what is active and pending (B3.2.13): (bit, exception).
const ACTIVE: [(u32, u16); 7] =
    [(0, MEM_MANAGE), (1, BUS_FAULT), (3, USAGE_FAULT), (7, SVCALL), (8, DEBUG_MONITOR), (10, PENDSV), (11, SYSTICK)];
const PENDED: [(u32, u16); 4] = [(12, USAGE_FAULT), (13, MEM_MANAGE), (14, BUS_FAULT), (15, SVCALL)];

fn shown(table: &[(u32, u16)], exceptions: u16) -> u32 {
    table.iter().fold(0, |sum, (bit, number)| sum | u32::from(exceptions >> number & 1) << bit)
}

/// `exceptions` with those of the table as `value` has them.
fn taken(table: &[(u32, u16)], exceptions: u16, value: u32) -> u16 {
    table.iter().fold(exceptions, |sum, (bit, number)| sum & !(1 << number) | ((value >> bit & 1) as u16) << number)
}

impl Core {
    /// The PPB answers in words; v7-M takes bytes and half words of the NVIC and of the SCB, and reads them anywhere
    /// (promised for priorities and CFSR only, assumed for the rest). `None`: not the core's; the system bus may know.
    pub fn read(&mut self, address: u32, size: Size) -> Option<Result<u32, BusError>> {
        if !PPB.contains(&address) {
            return None;
        }
        if size != Size::Word && self.row.arch == Arch::V6M {
            return Some(Err(BusError::Fault));
        }
        let word = match address & !3 {
            0xE000_EDF0 => Some(self.read_dhcsr()),
            word => self.peek_word(word),
        };
        if address & !0xFFF == DWT {
            self.dwt.seen(address & 0xFFC);
        }
        word.map(|word| Ok(lane(word, address, size)))
    }

    pub fn write(&mut self, address: u32, size: Size, value: u32) -> Option<Result<(), BusError>> {
        if !PPB.contains(&address) {
            return None;
        }
        let bytewise = self.row.arch == Arch::V7M
            && matches!(address, 0xE000_E100..=0xE000_E4EF | 0xE000_ED04..=0xE000_ED2F | 0xE000_EF00..=0xE000_EF03);
        if size != Size::Word && !bytewise {
            return Some(Err(BusError::Fault));
        }
        let (value, lanes) = spread(value, address, size);
        self.write_word(address & !3, value, lanes).then_some(Ok(()))
    }

    pub fn peek(&self, address: u32) -> Option<u8> {
        let word = if PPB.contains(&address) { self.peek_word(address & !3) } else { None };
        word.map(|word| lane(word, address, Size::Byte) as u8)
    }

    fn peek_word(&self, address: u32) -> Option<u32> {
        let own = match address & !0xFFF {
            FPB => self.fpb.reg(address - FPB),
            DWT if address & 0xFFF == 0x1C => Some(self.pcsr()),
            DWT => self.dwt.reg(address - DWT, self.cycles),
            SCS => self.scs_word(address),
            _ => None,
        };
        own.or_else(|| self.units.peek(address))
    }

    /// DWT_PCSR: where the core is, or all ones while it halts or without TRCENA.
    fn pcsr(&self) -> u32 {
        if self.state == State::Running && self.debug.tracing() { self.pc } else { u32::MAX }
    }

    fn scs_word(&self, address: u32) -> Option<u32> {
        let offset = address - SCS;
        let v7m = self.row.arch == Arch::V7M;
        Some(match offset {
            0x004 if v7m => (self.row.interrupts.div_ceil(32) - 1) as u32,
            0x010 => self.systick.csr(),
            0x014 => self.systick.reload(),
            0x018 => self.systick.value(self.cycles),
            0x100..=0x4EF => return self.nvic.reg(address - NVIC).or(Some(0)),
            0xD00 => self.row.cpuid,
            0xD04 => self.icsr(),
            0xD0C => 0xFA05_0000 | self.scs.peek(address).unwrap_or(0),
            0xD14 => self.ccr(),
            0xD24 => self.shcsr(),
            0xD30 => self.debug.dfsr,
            0xD78 | 0xD7C | 0xD80 => self.cache_word(offset),
            0xD90 => self.row.mpu_type,
            0xD9C | 0xDA4 | 0xDAC | 0xDB4 => self.mpu_region(offset).map_or(0, |region| self.mpu[region].0),
            0xDA0 | 0xDA8 | 0xDB0 | 0xDB8 => self.mpu_region(offset).map_or(0, |region| self.mpu[region].1),
            0xDF0 => self.dhcsr(),
            0xDF8 => self.debug.dcrdr(),
            0xDFC => self.debug.demcr(),
            0xF40 | 0xF44 | 0xF48 => self.row.mvfr.map_or(0, |mvfr| mvfr[(offset as usize - 0xF40) / 4]),
            0xF34 | 0xF38 | 0xF3C | 0xD88 if self.row.mvfr.is_none() => 0,
            0xFD0.. => return None,
            _ => return self.scs.peek(address),
        })
    }

    pub(super) fn ccr(&self) -> u32 {
        self.row.ccr.0 & !self.row.ccr.1 | self.scs_ccr
    }

    fn icsr(&self) -> u32 {
        let v7m = self.row.arch == Arch::V7M;
        let system = [(NMI, icsr::NMIPENDSET), (PENDSV, icsr::PENDSVSET), (SYSTICK, icsr::PENDSTSET)];
        let system = system.iter().filter(|(number, _)| self.pending >> number & 1 == 1).fold(0, |sum, (_, bit)| sum | bit);
        let pending = if self.nvic.any_pending() { icsr::ISRPENDING } else { 0 };
        let base = if v7m && self.returns_to_base() { icsr::RETTOBASE } else { 0 };
        let next = self.candidate();
        let preempts = next.is_some_and(|number| number >= 16 && self.preempt_level(number) < self.execution_priority());
        let preempt = if preempts && self.state == State::Halted { icsr::ISRPREEMPT } else { 0 };
        u32::from(self.ipsr) | system | pending | base | preempt | u32::from(next.unwrap_or(0)) << icsr::VECTPENDING
    }

    fn shcsr(&self) -> u32 {
        match self.row.arch {
            Arch::V6M => shown(&PENDED[3..], self.pending),
            Arch::V7M => self.scs.peek(SHCSR).unwrap_or(0) | shown(&ACTIVE, self.active) | shown(&PENDED, self.pending),
        }
    }

    /// Software may even change what is active (B3.2.13 warns).
    fn write_shcsr(&mut self, value: u32, lanes: u32) {
        let value = self.shcsr() & !lanes | value & lanes;
        if self.row.arch == Arch::V7M {
            self.scs.write(SHCSR, value, u32::MAX);
            self.active = taken(&ACTIVE, self.active, value);
        }
        self.pending = taken(if self.row.arch == Arch::V7M { &PENDED } else { &PENDED[3..] }, self.pending, value);
    }

    /// SysTick's three registers, brought up to now first.
    fn write_systick(&mut self, offset: u32, value: u32) {
        if self.systick.sync(self.cycles) {
            self.pend(SYSTICK);
        }
        match offset {
            0x010 => self.systick.set_csr(value, self.cycles),
            0x014 => self.systick.set_reload(value),
            _ => self.systick.clear(),
        }
    }

    fn cache_word(&self, offset: u32) -> u32 {
        let Some(cache) = self.row.cache else { return 0 };
        let instruction = self.scs.peek(SCS + 0xD84).unwrap_or(0) & 1 == 1;
        match offset {
            0xD78 => cache.clidr,
            0xD7C => cache.ctr,
            _ if instruction => cache.instruction,
            _ => cache.data,
        }
    }

    /// RBAR and RASR name the region that RNR holds, their aliases the ones after it within a group of four.
    fn mpu_region(&self, offset: u32) -> Option<usize> {
        let number = self.scs.peek(SCS + 0xD98).unwrap_or(0) as usize;
        let alias = (offset as usize - 0xD9C) / 8;
        let region = if alias == 0 { number } else { number / 4 * 4 + alias };
        (region < (self.row.mpu_type >> 8 & 0xFF) as usize).then_some(region)
    }

    fn write_word(&mut self, address: u32, value: u32, lanes: u32) -> bool {
        let own = match address & !0xFFF {
            FPB => self.write_fpb(address - FPB, value),
            DWT => self.write_dwt(address - DWT, value),
            SCS => self.write_scs(address, value, lanes),
            _ => false,
        };
        self.attention = true;
        own || self.units.write(address, value)
    }

    fn write_fpb(&mut self, offset: u32, value: u32) -> bool {
        let taken = self.fpb.write(offset, value);
        self.debug_changed();
        taken
    }

    fn write_dwt(&mut self, offset: u32, value: u32) -> bool {
        let taken = self.dwt.write(offset, value, self.cycles);
        if offset >= 0x20 {
            self.debug_changed();
        }
        taken
    }

    fn write_scs(&mut self, address: u32, value: u32, lanes: u32) -> bool {
        let offset = address - SCS;
        match offset {
            0x010..=0x018 => self.write_systick(offset, value),
            0x200..=0x21F => {
                self.nvic.write(address - NVIC, value, lanes);
                self.notice_pending();
            }
            0x100..=0x4EF => drop(self.nvic.write(address - NVIC, value, lanes)),
            0xD04 => self.write_icsr(value),
            0xD0C => self.write_aircr(value),
            0xD14 => {
                self.scs_ccr = (self.scs_ccr & !lanes | value & lanes) & self.row.ccr.1;
                self.caches_changed();
            }
            0xD24 => self.write_shcsr(value, lanes),
            0xD30 => self.debug.dfsr &= !value,
            0xD9C | 0xDA4 | 0xDAC | 0xDB4 => self.write_rbar(offset, value),
            0xDA0 | 0xDA8 | 0xDB0 | 0xDB8 => {
                if let Some(region) = self.mpu_region(offset) {
                    self.mpu[region].1 = value & 0x173F_FF3F;
                }
            }
            0xDF0 => self.write_dhcsr(value),
            0xDF4 => self.write_dcrsr(value),
            0xDF8 => self.write_dcrdr(value),
            0xDFC => self.write_demcr(value),
            0xD88 | 0xF34 => {
                self.fp_open = false;
                return self.scs.write(address, value, lanes);
            }
            0xD94 => {
                self.scs.write(address, value, lanes);
                self.mpu_changed();
            }
            0xF00 => {
                self.nvic.trigger(value & 0x1FF);
                self.notice_pending();
            }
            0xFD0.. => return false,
            _ => return self.scs.write(address, value, lanes),
        }
        true
    }

    /// RBAR.VALID takes the region number along.
    fn write_rbar(&mut self, offset: u32, value: u32) {
        const VALID: u32 = 1 << 4;
        if value & VALID != 0 {
            self.scs.write(SCS + 0xD98, value & 0xF, u32::MAX);
        }
        if let Some(region) = self.mpu_region(offset) {
            self.mpu[region].0 = value & !0x1F | region as u32;
        }
    }

    /// NMI cannot be taken back; PENDSV and PENDST can.
    fn write_icsr(&mut self, value: u32) {
        for (number, bit) in [(NMI, icsr::NMIPENDSET), (PENDSV, icsr::PENDSVSET), (SYSTICK, icsr::PENDSTSET)] {
            if value & bit != 0 {
                self.pend(number);
            }
        }
        for (number, bit) in [(PENDSV, icsr::PENDSVCLR), (SYSTICK, icsr::PENDSTCLR)] {
            if value & bit != 0 {
                self.pending &= !(1 << number);
            }
        }
    }

    /// VECTRESET works for v7-M in debug state only (unpredictable else).
    fn write_aircr(&mut self, value: u32) {
        const KEY: u32 = 0x05FA;
        const SYSRESETREQ: u32 = 1 << 2;
        const VECTRESET: u32 = 1 << 0;
        if value >> 16 != KEY {
            return;
        }
        self.scs.write(SCS + 0xD0C, value, u32::MAX);
        if value & SYSRESETREQ != 0 {
            self.request = Some(Request::System);
        } else if value & VECTRESET != 0 && self.row.arch == Arch::V7M && self.state == State::Halted {
            self.request = Some(Request::Local);
        }
    }
}
