//! SysTick (ARM DDI0403 B3.3), computed from the core's cycles when somebody looks.

pub(super) const ENABLE: u32 = 1 << 0;
pub(super) const TICKINT: u32 = 1 << 1;
const CLKSOURCE: u32 = 1 << 2;
const COUNTFLAG: u32 = 1 << 16;
const MASK: u32 = 0x00FF_FFFF;
/// The external reference of STM32 is HCLK / 8 (RM0433 2.6, RM0444 5.2.9); both cores' clocks are taken to be HCLK.
const REFERENCE: u64 = 8;

#[derive(Default)]
pub(super) struct SysTick {
    csr: u32,
    reload: u32,
    /// The count at cycle `at`.
    count: u32,
    at: u64,
    flag: bool,
}

impl SysTick {
    /// Cycles of one count.
    fn step(&self) -> u64 {
        if self.csr & CLKSOURCE != 0 { 1 } else { REFERENCE }
    }

    /// Counts since `at`.
    fn passed(&self, cycles: u64) -> u64 {
        if self.csr & ENABLE == 0 { 0 } else { cycles.saturating_sub(self.at) / self.step() }
    }

    /// Counts from `at` to the first time that 1 becomes 0. `None`: the counter stands.
    fn first(&self) -> Option<u64> {
        match (self.count, self.reload) {
            (0, 0) => None,
            (0, reload) => Some(u64::from(reload) + 1),
            (count, _) => Some(count.into()),
        }
    }

    /// The cycle of the next expiry after `cycles`, to which `sync` has brought it; never, for a counter that stands.
    pub fn next(&self, cycles: u64) -> u64 {
        match self.first() {
            Some(first) if self.csr & ENABLE != 0 => (self.at + first * self.step()).max(cycles + 1),
            _ => u64::MAX,
        }
    }

    /// Brings the counter up to `cycles`. True: it expired and asks for its exception.
    pub fn sync(&mut self, cycles: u64) -> bool {
        let passed = self.passed(cycles);
        let expired = self.csr & ENABLE != 0 && self.first().is_some_and(|first| passed >= first);
        self.count = self.value(cycles);
        self.at = if self.csr & ENABLE == 0 { cycles } else { self.at + passed * self.step() };
        self.flag |= expired;
        expired && self.csr & TICKINT != 0
    }

    /// SYST_CVR
    pub fn value(&self, cycles: u64) -> u32 {
        let passed = self.passed(cycles);
        let period = u64::from(self.reload) + 1;
        match self.first() {
            None => 0,
            Some(_) if passed <= u64::from(self.count) => self.count - passed as u32,
            Some(_) => match (passed - u64::from(self.count)) % period {
                0 => 0,
                beyond => (period - beyond) as u32,
            },
        }
    }

    /// SYST_CSR. COUNTFLAG clears when the core reads it (`seen`), not by a debugger.
    pub fn csr(&self) -> u32 {
        self.csr | if self.flag { COUNTFLAG } else { 0 }
    }

    pub fn seen(&mut self) {
        self.flag = false;
    }

    pub fn reload(&self) -> u32 {
        self.reload
    }

    /// The three writes come after `sync`.
    pub fn set_csr(&mut self, value: u32, cycles: u64) {
        if value & ENABLE != 0 && self.csr & ENABLE == 0 {
            self.at = cycles;
        }
        self.csr = value & (ENABLE | TICKINT | CLKSOURCE);
    }

    pub fn set_reload(&mut self, value: u32) {
        self.reload = value & MASK;
    }

    /// Any write clears count and flag, and pends nothing.
    pub fn clear(&mut self) {
        (self.count, self.flag) = (0, false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_reload_plus_one_and_the_flag_clears_when_seen() {
        let mut tick = SysTick::default();
        tick.set_reload(9);
        tick.set_csr(ENABLE | TICKINT | CLKSOURCE, 100);
        assert_eq!(tick.next(100), 110, "the first count reloads");
        assert_eq!((tick.value(101), tick.value(105), tick.value(109)), (9, 5, 1));
        assert!(!tick.sync(109) && tick.sync(110));
        assert_eq!((tick.value(110), tick.value(111), tick.next(110)), (0, 9, 120));
        assert_eq!(tick.csr() >> 16, 1);
        tick.seen();
        assert_eq!(tick.csr(), 7);
        assert!(tick.sync(145), "several periods late is one exception");
        assert_eq!((tick.value(145), tick.next(145)), (5, 150));
    }

    #[test]
    fn the_reference_counts_every_eighth_cycle_and_a_reload_of_zero_stops_it() {
        let mut tick = SysTick::default();
        tick.set_reload(3);
        tick.set_csr(ENABLE, 0);
        assert_eq!(tick.next(0), 32);
        tick.set_reload(0);
        assert_eq!(tick.next(0), u64::MAX);
        assert!(!tick.sync(1000));
    }
}
