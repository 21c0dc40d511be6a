//! The hardware semaphores of STM32H7 (RM0433 and RM0399, "HSEM"): taken in one step or two, freed by their owner, with a
//! flag and an interrupt for each core when one is freed.

use super::super::periph::{Irq, Reg, reg};
use super::irq::Each;

/// Taken: LOCK, COREID and PROCID.
const LOCK: u32 = 1 << 31;
/// COREID of the first and the second core (stm32h7xx_hal_hsem.h).
const CORE_IDS: [u32; 2] = [3 << 8, 1 << 8];
const COREID: u32 = 0xF00;
const PROCID: u32 = 0xFF;
/// One-step takes by reading.
const RLR: u32 = 0x80;
const C1: u32 = 0x100;
const CORE_STEP: u32 = 0x10;
/// Of each core's four: IER, ICR, ISR, MISR.
const IER: u32 = 0x0;
const ICR: u32 = 0x4;
const ISR: u32 = 0x8;
const CR: u32 = 0x140;
const KEYR: u32 = 0x144;

/// HSEM1 goes to the first core, HSEM2 to the second (RM0399, table of vectors).
pub const IRQ: &[Irq] = &[(125, 1 << 0), (126, 1 << 1)];

/// Values are this unit's; the register file only knows where they are.
pub const REGS: &[Reg] = &regs();

const fn regs() -> [Reg; 74] {
    let mut regs = [reg(0, "R", 0, 0); 74];
    let mut at = 0;
    while at < 64 {
        regs[at] = reg(4 * at as u16, if at < 32 { "R" } else { "RLR" }, 0, 0);
        at += 1;
    }
    let names = ["C1IER", "C1ICR", "C1ISR", "C1MISR", "C2IER", "C2ICR", "C2ISR", "C2MISR"];
    while at < 72 {
        regs[at] = reg(C1 as u16 + 4 * (at as u16 - 64), names[at - 64], 0, 0);
        at += 1;
    }
    regs[72] = reg(CR as u16, "CR", 0, 0);
    regs[73] = reg(KEYR as u16, "KEYR", 0, 0);
    regs
}

#[derive(Default)]
pub struct Semaphores {
    taken: [u32; 32],
    enabled: [u32; 2],
    freed: [u32; 2],
    key: u32,
}

impl Semaphores {
    /// A core reads: RLR takes the semaphore with process 0 if it is free.
    pub fn seen(&mut self, offset: u32, core: usize) {
        if let Some(taken) = self.semaphore(offset).filter(|_| offset >= RLR)
            && *taken == 0
        {
            *taken = LOCK | CORE_IDS[core];
        }
    }

    /// R and RLR by their offset.
    fn semaphore(&mut self, offset: u32) -> Option<&mut u32> {
        if offset < C1 { self.taken.get_mut((offset as usize % RLR as usize) / 4) } else { None }
    }

    pub fn read(&self, offset: u32) -> u32 {
        match offset {
            ..C1 => self.taken[(offset as usize % RLR as usize) / 4],
            C1..CR => {
                let core = ((offset - C1) / CORE_STEP) as usize & 1;
                match offset % CORE_STEP {
                    IER => self.enabled[core],
                    ICR => 0,
                    ISR => self.freed[core],
                    _ => self.freed[core] & self.enabled[core],
                }
            }
            KEYR => self.key << 16,
            _ => 0,
        }
    }

    /// Two-step: written with LOCK by who will own it; freed by who owns it, with the same process.
    pub fn wrote(&mut self, offset: u32, value: u32, core: usize) {
        match offset {
            ..RLR => {
                let mine = CORE_IDS[core];
                let place = &mut self.taken[offset as usize / 4];
                let owner = value & (COREID | PROCID);
                match (value & COREID == mine, value & LOCK != 0) {
                    (true, true) if *place == 0 => *place = LOCK | owner,
                    (true, false) if *place == LOCK | owner => self.free(1 << (offset / 4)),
                    _ => {}
                }
            }
            C1..CR => {
                let core = ((offset - C1) / CORE_STEP) as usize & 1;
                match offset % CORE_STEP {
                    IER => self.enabled[core] = value,
                    ICR => self.freed[core] &= !value,
                    _ => {}
                }
            }
            KEYR => self.key = value >> 16,
            // Everything that one core holds, with the key.
            CR if value >> 16 == self.key => {
                let owned = |taken: &u32| *taken & COREID == value & COREID && *taken != 0;
                let all = self.taken.iter().enumerate().filter(|(_, taken)| owned(taken)).fold(0, |sum, (at, _)| sum | 1 << at);
                self.free(all);
            }
            _ => {}
        }
    }

    fn free(&mut self, semaphores: u32) {
        (0..32).filter(|at| semaphores >> at & 1 == 1).for_each(|at| self.taken[at] = 0);
        self.freed.iter_mut().for_each(|freed| *freed |= semaphores);
    }

    /// The flag of `IRQ` that interrupts each core.
    pub fn pending(&self) -> Each<u32> {
        [0, 1].map(|core| if self.freed[core] & self.enabled[core] != 0 { 1 << core } else { 0 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u32 = LOCK | 3 << 8;

    #[test]
    fn a_semaphore_has_one_owner_who_alone_frees_it() {
        let mut hsem = Semaphores::default();
        hsem.seen(RLR + 4, 0);
        hsem.seen(RLR + 4, 1);
        assert_eq!((hsem.read(RLR + 4), hsem.read(4)), (FIRST, FIRST));
        hsem.wrote(4, 1 << 8, 1);
        hsem.wrote(4, 3 << 8 | 7, 0);
        assert_eq!(hsem.read(4), FIRST, "neither the other core nor another process");
        hsem.wrote(4, 3 << 8, 0);
        assert_eq!(hsem.read(4), 0);
        hsem.wrote(4, LOCK | 1 << 8 | 9, 1);
        hsem.wrote(4, LOCK | 3 << 8, 0);
        assert_eq!(hsem.read(4), LOCK | 1 << 8 | 9);
    }

    #[test]
    fn a_freed_one_is_flagged_to_both_and_interrupts_who_asked() {
        let mut hsem = Semaphores::default();
        hsem.wrote(0x110, 1, 1);
        hsem.seen(RLR, 0);
        assert_eq!(hsem.pending(), [0, 0]);
        hsem.wrote(0, 3 << 8, 0);
        assert_eq!((hsem.read(0x108), hsem.read(0x118), hsem.read(0x10C), hsem.read(0x11C)), (1, 1, 0, 1));
        assert_eq!(hsem.pending(), [0, 2]);
        hsem.wrote(0x114, 1, 1);
        assert_eq!(hsem.pending(), [0, 0]);
    }
}
