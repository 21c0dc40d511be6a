//! Peripherals as register files: tables say which registers there are, what they hold after reset and which bits stay.
//!
//! Enough for drivers and start-up code: ready bits follow their enable bits, flags clear as the manual says. An address
//! inside a block that no row names answers as reserved (reads 0, writes are ignored); what the core touches of that is
//! counted. What a peripheral does by itself is soc.rs': a block's `unit` says which it is.

use super::soc::clock::{Apb, Tree};
use std::collections::BTreeMap;

/// What a write does beyond the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Plain,
    /// Writing 1 clears.
    Flags,
    /// Writing 0 clears (flags of timers).
    ZeroClears,
    /// Reads as the plain value with `(value & mask) << shift` added: ready bits that follow at once.
    Follows(&'static [(u32, u32)]),
    /// RCC_BDCR: LSERDY follows LSEON; survives everything but power-on.
    Backup,
    /// Reset causes: bits from 16 up collect until a write of `clear` (RMVF) removes them. Below may be LSION, which
    /// LSIRDY follows.
    Causes {
        clear: u32,
    },
    /// GPIO set/reset: low half sets, high half clears the register at this offset.
    SetReset(u16),
    /// GPIO BRR: clears the register at this offset.
    Clear(u16),
    /// H7 PWR_CR3 and PWR_D3CR: CSR1.ACTVOS follows D3CR.VOS and both ready bits rise (st: HAL polls them).
    Supply,
}

#[derive(Clone, Copy, Debug)]
pub struct Reg {
    pub offset: u16,
    pub name: &'static str,
    pub reset: u32,
    /// Bits that software can change.
    pub mask: u32,
    pub kind: Kind,
}

pub const fn reg(offset: u16, name: &'static str, reset: u32, mask: u32) -> Reg {
    Reg { offset, name, reset, mask, kind: Kind::Plain }
}

pub const fn special(offset: u16, name: &'static str, reset: u32, mask: u32, kind: Kind) -> Reg {
    Reg { offset, name, reset, mask, kind }
}

/// What a peripheral does beyond its registers (soc.rs).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Registers,
    /// Reset and clock control: the tree that makes the core's clock.
    Clocks(Tree),
    /// A port, by its letter.
    Port(char),
    /// A timer: how wide it counts, which clock it counts, and how many channels compare.
    Timer {
        wide: bool,
        clock: Apb,
        channels: u8,
    },
    /// A serial port: its bus clock, whether it is a low-power one, and the bytes of each FIFO.
    Uart {
        clock: Apb,
        low: bool,
        fifo: u8,
    },
    /// It runs while this bit is set, RTCEN: (register, bit).
    Rtc {
        enable: (u32, u32),
        flags: RtcFlags,
    },
    /// External interrupts; `select`: the address of EXTICR1.
    Exti {
        kind: ExtiKind,
        select: u32,
    },
    /// The hardware semaphores.
    Semaphores,
    /// The CRC calculation unit.
    Checksum,
    /// The independent watchdog, and the window watchdog.
    Independent,
    Window {
        clock: Apb,
        /// It resets the chip only with this bit set: (register, bit).
        armed: Option<(u32, u32)>,
    },
}

/// Where the flags of the real-time clock are, and how they reach the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RtcFlags {
    /// RTC_ISR; alarms on line 17 of EXTI, wake-up on 19 (RM0433 48.6.4, table 160).
    Isr,
    /// RTC_SR; the same lines of EXTI (RM0455 51.6).
    SrByExti,
    /// RTC_SR; the block's own interrupt (RM0444 30.6).
    Sr,
}

/// How EXTI keeps what is pending, and how it chooses ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExtiKind {
    /// PR for both edges; four bits for each port (RM0433 20.6, 12.3).
    H7,
    /// RPR and FPR; eight bits for each port (RM0444 13.5).
    G0,
}

/// An interrupt of a block: its number, and the flags that raise it, as soc.rs lays them out for this unit.
pub type Irq = (u8, u32);

/// One peripheral's place in the address map.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    pub name: &'static str,
    pub base: u32,
    pub size: u32,
    pub regs: &'static [Reg],
    /// Survives everything but power-on.
    pub kept: bool,
    /// Writes are ignored while this bit of that register is 0: (address, bit).
    pub gate: Option<(u32, u32)>,
    /// Reads give 0 meanwhile.
    pub dark: bool,
    /// Stops while the core is halted and this bit of that register is 1.
    pub freeze: Option<(u32, u32)>,
    pub unit: Unit,
    pub irq: &'static [Irq],
    /// `(first, last, minus)`: offsets that are a second name of others.
    pub alias: &'static [(u16, u16, u16)],
}

pub const fn block(name: &'static str, base: u32, size: u32, regs: &'static [Reg]) -> Block {
    Block { name, base, size, regs, kept: false, gate: None, dark: false, freeze: None, unit: Unit::Registers, irq: &[], alias: &[] }
}

impl Block {
    pub const fn unit(self, unit: Unit) -> Block {
        Block { unit, ..self }
    }

    /// Needs a clock: while it is off reads give 0 and writes are ignored (assumed: the manuals leave it open).
    pub const fn clock(self, enable: u32, bit: u32) -> Block {
        Block { gate: Some((enable, bit)), dark: true, ..self }
    }

    pub const fn irq(self, irq: &'static [Irq]) -> Block {
        Block { irq, ..self }
    }

    pub const fn freeze(self, register: u32, bit: u32) -> Block {
        Block { freeze: Some((register, bit)), ..self }
    }

    fn holds(&self, address: u32) -> bool {
        address.wrapping_sub(self.base) < self.size
    }

    fn index(&self, address: u32) -> Option<usize> {
        let offset = (address - self.base) & !3;
        let alias = self.alias.iter().find(|(first, last, _)| (*first as u32..=*last as u32).contains(&offset));
        let offset = offset - alias.map_or(0, |(.., minus)| *minus as u32);
        self.regs.iter().position(|reg| reg.offset as u32 == offset)
    }
}

/// The values of a list of blocks.
pub struct Periph {
    pub blocks: &'static [Block],
    values: Vec<Vec<u32>>,
    /// What the core touched and the tables do not have: accesses by block name and address.
    pub unmodelled: BTreeMap<(&'static str, u32), u32>,
    /// From the first core's clock enables to the second's, of a chip that has two: a block runs by either.
    pub twin: Option<u32>,
    /// BYPASS and LDOEN of PWR_CR3 as the board's core supply needs them; `None`: whatever software chooses works.
    pub supply: Option<u32>,
}

const H7_VOS: u32 = 3 << 14;
const H7_VOS_READY: u32 = 1 << 13;

impl Periph {
    pub fn new(blocks: &'static [Block]) -> Periph {
        let values = blocks.iter().map(|block| block.regs.iter().map(|reg| reg.reset).collect()).collect();
        Periph { blocks, values, unmodelled: BTreeMap::new(), twin: None, supply: None }
    }

    /// Back to reset values, except what survives a system reset.
    pub fn reset(&mut self, power: bool) {
        for (block, values) in self.blocks.iter().zip(&mut self.values) {
            for (reg, value) in block.regs.iter().zip(values) {
                let kept = block.kept || matches!(reg.kind, Kind::Causes { .. } | Kind::Backup);
                if power || !kept {
                    *value = reg.reset;
                }
            }
        }
    }

    fn find(&self, address: u32) -> Option<usize> {
        self.blocks.iter().position(|block| block.holds(address))
    }

    /// The register's value as software would read it; `None` where no block is, 0 where the block has nothing.
    pub fn peek(&self, address: u32) -> Option<u32> {
        let block = self.find(address)?;
        Some(self.blocks[block].index(address).map_or(0, |reg| self.value(block, reg)))
    }

    fn value(&self, block: usize, reg: usize) -> u32 {
        let value = self.values[block][reg];
        match self.blocks[block].regs[reg].kind {
            Kind::Follows(rules) => rules.iter().fold(value, |sum, (mask, shift)| sum | (value & mask) << shift),
            Kind::SetReset(_) | Kind::Clear(_) => 0,
            Kind::Causes { .. } | Kind::Backup => value | (value & 1) << 1,
            _ => value,
        }
    }

    /// As software reads it: 0 where no clock is.
    pub fn read(&self, address: u32) -> Option<u32> {
        let block = self.find(address)?;
        if self.blocks[block].dark && !self.open(block) { Some(0) } else { self.peek(address) }
    }

    /// What the register at this address holds after reset.
    pub fn reset_value(&self, address: u32) -> Option<u32> {
        let block = &self.blocks[self.find(address)?];
        block.index(address).map(|reg| block.regs[reg].reset)
    }

    /// The block that holds this address.
    pub fn block(&self, address: u32) -> Option<&'static Block> {
        self.find(address).map(|block| &self.blocks[block])
    }

    /// Whether writes at this address are taken: its block has its clock.
    pub fn clocked(&self, address: u32) -> bool {
        self.find(address).is_some_and(|block| self.open(block))
    }

    /// One bit of a register; `None` stands for a bit that is 0.
    pub fn bit(&self, place: Option<(u32, u32)>) -> bool {
        place.is_some_and(|(address, bit)| self.peek(address).unwrap_or(0) >> bit & 1 == 1)
    }

    /// False where no block is. `lanes` masks the bytes that the access carries.
    pub fn write(&mut self, address: u32, value: u32, lanes: u32) -> bool {
        let Some(block) = self.find(address) else { return false };
        if let Some(reg) = self.blocks[block].index(address)
            && self.open(block)
        {
            self.store(block, reg, value, lanes);
        }
        true
    }

    /// The board's own door: no mask and no side effect. False where no register is.
    pub fn poke(&mut self, address: u32, value: u32) -> bool {
        let Some(block) = self.find(address) else { return false };
        let Some(reg) = self.blocks[block].index(address) else { return false };
        self.values[block][reg] = value;
        true
    }

    fn open(&self, block: usize) -> bool {
        let Some((register, bit)) = self.blocks[block].gate else { return true };
        self.bit(Some((register, bit))) || self.twin.is_some_and(|twin| self.bit(Some((register + twin, bit))))
    }

    /// Remembers an access of the core to what the tables do not have.
    pub fn count(&mut self, address: u32) {
        if let Some(block) = self.find(address)
            && self.blocks[block].index(address).is_none()
        {
            *self.unmodelled.entry((self.blocks[block].name, address & !3)).or_insert(0) += 1;
        }
    }

    fn store(&mut self, block: usize, index: usize, value: u32, lanes: u32) {
        let reg = self.blocks[block].regs[index];
        let old = self.values[block][index];
        let bits = reg.mask & lanes;
        match reg.kind {
            Kind::Flags => self.values[block][index] = old & !(value & bits),
            Kind::ZeroClears => self.values[block][index] = old & (value | !bits),
            Kind::Causes { clear } => {
                let flags = if value & lanes & clear != 0 { 0 } else { old & !bits };
                self.values[block][index] = flags | value & bits | old & reg.mask & !lanes;
            }
            Kind::SetReset(offset) => self.change(block, offset, value & lanes & 0xFFFF, (value & lanes) >> 16),
            Kind::Clear(offset) => self.change(block, offset, 0, value & lanes & 0xFFFF),
            Kind::Plain | Kind::Follows(_) | Kind::Backup | Kind::Supply => {
                self.values[block][index] = old & !bits | value & bits;
            }
        }
        if reg.kind == Kind::Supply {
            self.settle_supply(block);
        }
    }

    /// BSRR: set wins over clear (RM0433 11.4.7).
    fn change(&mut self, block: usize, offset: u16, set: u32, clear: u32) {
        if let Some(reg) = self.blocks[block].regs.iter().position(|reg| reg.offset == offset) {
            let value = &mut self.values[block][reg];
            *value = *value & !clear | set;
        }
    }

    fn settle_supply(&mut self, block: usize) {
        const CSR1: u16 = 0x04;
        const CR3: u16 = 0x0C;
        const D3CR: u16 = 0x18;
        let at = |offset| self.blocks[block].regs.iter().position(|reg: &Reg| reg.offset == offset);
        let (Some(csr1), Some(cr3), Some(d3cr)) = (at(CSR1), at(CR3), at(D3CR)) else { return };
        let vos = self.values[block][d3cr] & H7_VOS;
        let fits = self.supply.is_none_or(|wired| self.values[block][cr3] & 3 == wired);
        let ready = if fits { H7_VOS_READY } else { 0 };
        self.values[block][d3cr] = vos | ready;
        self.values[block][csr1] = vos | ready;
    }

    /// Adds reset causes to the register that collects them.
    pub fn cause(&mut self, bits: u32) {
        for (block, values) in self.blocks.iter().zip(&mut self.values) {
            for (reg, value) in block.regs.iter().zip(values) {
                if matches!(reg.kind, Kind::Causes { .. }) {
                    *value |= bits;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGS: &[Reg] = &[
        special(0x00, "CR", 0x25, 0x0101_0001, Kind::Follows(&[(1, 2), (1 << 24, 1)])),
        special(0x04, "ISR", 0xC0, 0xFF, Kind::Flags),
        special(0x08, "RSR", 0, 0, Kind::Causes { clear: 1 << 16 }),
        special(0x0C, "BSRR", 0, 0, Kind::SetReset(0x10)),
        reg(0x10, "ODR", 0, 0xFFFF),
    ];
    const BLOCKS: &[Block] = &[
        Block { alias: &[(0x60, 0x70, 0x60)], ..block("UNIT", 0x4000_0000, 0x400, REGS) },
        Block { gate: Some((0x4000_0010, 3)), kept: true, ..block("DBG", 0x4001_0000, 0x400, &[reg(4, "CR", 0, 7)]) },
    ];

    #[test]
    fn a_ready_bit_follows_its_enable_bit_and_masked_bits_stay() {
        let mut periph = Periph::new(BLOCKS);
        periph.write(0x4000_0000, 0xFFFF_FFFF, !0);
        assert_eq!(periph.read(0x4000_0000), Some(0x0301_0025));
        periph.write(0x4000_0000, 0, !0);
        assert_eq!(periph.read(0x4000_0000), Some(0x24));
        assert_eq!(periph.read(0x4000_0060), Some(0x24), "the alias is the same register");
    }

    #[test]
    fn flags_clear_by_ones_and_causes_last_until_removed() {
        let mut periph = Periph::new(BLOCKS);
        periph.write(0x4000_0004, 0x40, !0);
        assert_eq!(periph.read(0x4000_0004), Some(0x80));
        periph.cause(0x0142_0000);
        periph.reset(false);
        periph.cause(0x0042_0000);
        assert_eq!(periph.read(0x4000_0008), Some(0x0142_0000));
        periph.write(0x4000_0008, 1 << 16, !0);
        assert_eq!(periph.read(0x4000_0008), Some(0));
    }

    #[test]
    fn a_gated_block_ignores_writes_until_its_clock_runs_and_keeps_them_over_reset() {
        let mut periph = Periph::new(BLOCKS);
        periph.write(0x4001_0004, 7, !0);
        assert_eq!(periph.read(0x4001_0004), Some(0));
        periph.write(0x4000_000C, 1 << 3, !0);
        periph.write(0x4001_0004, 7, !0);
        periph.reset(false);
        assert_eq!(periph.read(0x4001_0004), Some(7));
        periph.reset(true);
        assert_eq!(periph.read(0x4001_0004), Some(0));
    }

    #[test]
    fn reserved_addresses_read_zero_and_are_counted() {
        let mut periph = Periph::new(BLOCKS);
        assert_eq!(periph.read(0x4000_0100), Some(0));
        assert!(periph.write(0x4000_0102, 1, !0));
        assert!(periph.unmodelled.is_empty());
        for address in [0x4000_0000, 0x4000_0100, 0x4000_0102, 0x5000_0000] {
            periph.count(address);
        }
        assert_eq!(periph.unmodelled.get(&("UNIT", 0x4000_0100)), Some(&2));
        assert_eq!(periph.read(0x5000_0000), None);
    }

    #[test]
    fn bytes_of_a_register_can_be_written_alone() {
        let mut periph = Periph::new(BLOCKS);
        periph.write(0x4000_0010, 0x1234, !0);
        periph.write(0x4000_0010, 0xAB00, 0xFF00);
        assert_eq!(periph.read(0x4000_0010), Some(0xAB34));
    }
}
