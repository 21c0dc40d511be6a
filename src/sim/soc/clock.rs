//! The clock trees (RM0433 8.5, RM0444 5.2): from the registers to the clocks, as pure functions.

/// Which bus clock a peripheral lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Apb {
    One = 0,
    Two = 1,
    Three = 2,
    Four = 3,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tree {
    H7,
    /// G0 has one APB clock: all four are the same.
    G0,
}

/// In Hz.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    pub core: u64,
    /// AHB and AXI.
    pub bus: u64,
    pub apb: [u64; 4],
    /// What timers count: APB1's and APB2's.
    pub timer: [u64; 2],
}

impl Clocks {
    pub fn timer(&self, apb: Apb) -> u64 {
        self.timer[(apb as usize).min(1)]
    }

    pub fn apb(&self, apb: Apb) -> u64 {
        self.apb[apb as usize]
    }
}

const HSI_H7: u64 = 64_000_000;
const CSI: u64 = 4_000_000;
const HSI_G0: u64 = 16_000_000;
const LSI_G0: u64 = 32_000;
const LSE: u64 = 32_768;

/// RCC_CR: what is on is ready, and these need more than their enable bit.
const HSEON: u32 = 1 << 16;
const HSERDY: u32 = 1 << 17;
const PLLON: u32 = 1 << 24;
const PLLRDY: u32 = 1 << 25;

/// HPRE and D1CPRE: divisor 2^shift. There is no division by 32.
const SHIFTS: [u32; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 6, 7, 8, 9];

/// Reads a register of RCC by its offset.
pub type Regs<'a> = &'a dyn Fn(u32) -> u32;

fn shift_ahb(register: u32, low: u32) -> u32 {
    SHIFTS[field(register, low, 4) as usize]
}

fn shift_apb(register: u32, low: u32) -> u32 {
    let code = field(register, low, 3);
    if code < 4 { 0 } else { code - 3 }
}

fn field(register: u32, low: u32, bits: u32) -> u32 {
    register >> low & ((1 << bits) - 1)
}

impl Tree {
    /// What of RCC_CR (offset 0) and RCC_CFGR reads otherwise than the register file says: a clock that does not come is
    /// not ready, and SWS stays where it was. `hse` is the frequency of the board's crystal, 0 without one.
    pub fn read(self, offset: u32, plain: u32, reg: Regs, hse: u64) -> u32 {
        match offset {
            CR => plain & !self.missing(reg, hse),
            _ if offset == self.cfgr() => plain & !(7 << 3) | self.source(reg, hse) << 3,
            _ => plain,
        }
    }

    fn missing(self, reg: Regs, hse: u64) -> u32 {
        let silent = if hse == 0 { HSERDY } else { 0 };
        if self.pll(reg, hse).is_none() { silent | PLLRDY } else { silent }
    }

    fn cfgr(self) -> u32 {
        match self {
            Tree::H7 => 0x10,
            Tree::G0 => 0x08,
        }
    }

    /// What drives SYSCLK, as SW numbers it; the internal clock until the chosen one is ready.
    fn source(self, reg: Regs, hse: u64) -> u32 {
        let wanted = reg(self.cfgr()) & 7;
        if wanted == 0 || self.sysclk(wanted, reg, hse).is_some() { wanted } else { 0 }
    }

    /// SYSCLK in Hz from this source; `None`: it does not run. The H7 numbers HSI, CSI, HSE, PLL1; the G0 HSISYS, HSE,
    /// PLLR, LSI, LSE.
    fn sysclk(self, source: u32, reg: Regs, hse: u64) -> Option<u64> {
        let crystal = || (hse > 0 && reg(CR) & HSEON != 0).then_some(hse);
        match (self, source) {
            (Tree::H7, 0) => Some(HSI_H7 >> field(reg(CR), 3, 2)),
            (Tree::H7, 1) => (reg(CR) & 1 << 7 != 0).then_some(CSI),
            (Tree::H7, 2) | (Tree::G0, 1) => crystal(),
            (Tree::H7, 3) | (Tree::G0, 2) => self.pll(reg, hse).filter(|_| reg(CR) & PLLON != 0),
            (Tree::G0, 0) => Some(HSI_G0 >> field(reg(CR), 11, 3)),
            (Tree::G0, 3) => (reg(G0_CSR) & 1 != 0).then_some(LSI_G0),
            (Tree::G0, 4) => (reg(G0_BDCR) & 1 != 0).then_some(LSE),
            _ => None,
        }
    }

    /// The PLL's output to SYSCLK, whether it is on or not; `None`: it has no input.
    fn pll(self, reg: Regs, hse: u64) -> Option<u64> {
        match self {
            Tree::H7 => {
                let select = reg(0x28);
                let input = match select & 3 {
                    0 => self.sysclk(0, reg, hse),
                    1 => self.sysclk(1, reg, hse),
                    2 => self.sysclk(2, reg, hse),
                    _ => None,
                }?;
                let (divide, ratios) = (u64::from(field(select, 4, 6)), reg(0x30));
                let fraction = if reg(0x2C) & 1 == 1 { u64::from(field(reg(0x34), 3, 13)) } else { 0 };
                let multiply = (u64::from(field(ratios, 0, 9)) + 1) * 8192 + fraction;
                (input * multiply).checked_div(divide * 8192).map(|vco| vco / (u64::from(field(ratios, 9, 7)) + 1))
            }
            Tree::G0 => {
                let setting = reg(0x0C);
                let input = match setting & 3 {
                    2 => Some(HSI_G0),
                    3 => self.sysclk(1, reg, hse),
                    _ => None,
                }?;
                let (m, n, r) = (field(setting, 4, 3) + 1, field(setting, 8, 7), field(setting, 29, 3) + 1);
                Some(input * u64::from(n) / u64::from(m) / u64::from(r))
            }
        }
    }

    /// Every clock, from the registers of RCC by their offset.
    pub fn clocks(self, reg: Regs, hse: u64) -> Clocks {
        let source = self.source(reg, hse);
        // A PLL without a factor stands still; a clock of 0 would stop time.
        let sysclk = self.sysclk(source, reg, hse).unwrap_or(1).max(1);
        let shift = |clock: u64, shift: u32| (clock >> shift).max(1);
        match self {
            Tree::H7 => {
                let (d1, d2, d3) = (reg(0x18), reg(0x1C), reg(0x20));
                let core = shift(sysclk, shift_ahb(d1, 8));
                let bus = shift(core, shift_ahb(d1, 0));
                let apb = [(d2, 4), (d2, 8), (d1, 4), (d3, 4)].map(|(register, low)| shift(bus, shift_apb(register, low)));
                // RM0433 table 54: twice the APB clock with TIMPRE = 0, four times with 1, never above the bus.
                let times = if reg(0x10) & 1 << 15 == 0 { 2 } else { 4 };
                Clocks { core, bus, apb, timer: [apb[0], apb[1]].map(|apb| bus.min(apb * times)) }
            }
            Tree::G0 => {
                let bus = shift(sysclk, shift_ahb(reg(0x08), 8));
                let apb = shift(bus, shift_apb(reg(0x08), 12));
                Clocks { core: bus, bus, apb: [apb; 4], timer: [bus.min(apb * 2); 2] }
            }
        }
    }
}

const CR: u32 = 0;
const G0_BDCR: u32 = 0x5C;
const G0_CSR: u32 = 0x60;

#[cfg(test)]
mod tests {
    use super::*;

    fn core(tree: Tree, hse: u64, regs: &[(u32, u32)]) -> Clocks {
        let reg = |offset: u32| regs.iter().find(|(at, _)| *at == offset).map_or(0, |(_, value)| *value);
        tree.clocks(&reg, hse)
    }

    const MHZ: u64 = 1_000_000;

    #[test]
    fn an_h7_divides_hsi_and_multiplies_hse() {
        assert_eq!(core(Tree::H7, 0, &[(0, 0x25)]).core, 64 * MHZ);
        assert_eq!(core(Tree::H7, 0, &[(0, 0x25 | 3 << 3)]).core, 8 * MHZ);
        assert_eq!(core(Tree::H7, 0, &[(0, 0x80), (0x10, 1)]).core, 4 * MHZ);
        // 8 MHz / 4 * 480 / 2 = 480 MHz; HPRE /2, D1PPRE /2, D2PPRE1 /2, D2PPRE2 /4, D3PPRE /2.
        let nucleo = [(0, 0x0101_0001), (0x10, 3), (0x18, 0x048), (0x1C, 0x540), (0x20, 0x40), (0x28, 2 | 4 << 4), (0x30, 479 | 1 << 9)];
        let clocks = core(Tree::H7, 8 * MHZ, &nucleo);
        assert_eq!((clocks.core, clocks.bus), (480 * MHZ, 240 * MHZ));
        assert_eq!(clocks.apb, [120 * MHZ, 60 * MHZ, 120 * MHZ, 120 * MHZ]);
        assert_eq!(clocks.timer, [240 * MHZ, 120 * MHZ]);
        // Without the crystal SYSCLK stays at HSI.
        assert_eq!(core(Tree::H7, 0, &nucleo).core, 64 * MHZ);
    }

    #[test]
    fn the_fraction_counts_when_it_is_enabled() {
        let regs = |enable| [(0, 0x0100_0001), (0x10, 3), (0x28, 16 << 4), (0x2C, enable), (0x30, 99), (0x34, 4096 << 3)];
        assert_eq!(core(Tree::H7, 0, &regs(0)).core, 400 * MHZ);
        assert_eq!(core(Tree::H7, 0, &regs(1)).core, 402 * MHZ);
    }

    #[test]
    fn a_g0_reaches_64_mhz_from_hsi() {
        assert_eq!(core(Tree::G0, 0, &[(0, 0x500)]).core, 16 * MHZ);
        assert_eq!(core(Tree::G0, 0, &[(0, 0x500 | 7 << 11)]).core, 125_000);
        let clocks = core(Tree::G0, 0, &[(0, 0x0100_0500), (8, 2 | 5 << 12), (0xC, 0x3000_0802)]);
        assert_eq!((clocks.core, clocks.apb[0], clocks.timer[0]), (64 * MHZ, 16 * MHZ, 32 * MHZ));
        assert_eq!(core(Tree::G0, 0, &[(8, 3 | 8 << 8), (0x60, 1)]).core, 16_000);
        assert_eq!(core(Tree::G0, 0, &[(8, 4), (0x5C, 1)]).core, 32_768);
    }

    #[test]
    fn a_clock_that_does_not_come_is_not_ready_and_not_switched_to() {
        let regs = |offset: u32| match offset {
            0 => 0x0301_0500 | HSERDY,
            8 => 1,
            0xC => 0x3000_0803,
            _ => 0,
        };
        assert_eq!(Tree::G0.read(0, regs(0), &regs, 0), 0x0101_0500);
        assert_eq!(Tree::G0.read(8, 1 | 1 << 3, &regs, 0), 1);
        assert_eq!(Tree::G0.read(0, regs(0), &regs, 8 * MHZ), regs(0));
        assert_eq!(Tree::G0.read(8, 1 | 1 << 3, &regs, 8 * MHZ), 9);
    }

    #[test]
    fn no_setting_stops_time() {
        assert_eq!(core(Tree::G0, 0, &[(0, PLLON), (8, 2 | 0xF << 8 | 7 << 12), (0xC, 2)]).apb, [1; 4]);
        assert_eq!(core(Tree::H7, 0, &[(0, PLLON), (0x10, 3), (0x28, 0)]).core, 64 * MHZ);
    }
}
