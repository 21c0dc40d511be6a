//! Counting clock edges without counting them: a rate, and how many there were when it last changed.

use super::Ns;

const SECOND: u128 = 1_000_000_000;

#[derive(Clone, Copy, Debug, Default)]
pub struct Ticker {
    at: Ns,
    count: u64,
    /// Ticks per second: `hz / divider`; 0 stands still.
    hz: u64,
    divider: u64,
}

impl Ticker {
    /// From `count` on, standing still.
    pub fn at(now: Ns, count: u64) -> Ticker {
        Ticker { at: now, count, hz: 0, divider: 1 }
    }

    pub fn count(&self, now: Ns) -> u64 {
        if !self.runs() {
            return self.count;
        }
        let since = u128::from(now.saturating_sub(self.at));
        let ticks = since * u128::from(self.hz) / (u128::from(self.divider.max(1)) * SECOND);
        self.count.saturating_add(ticks as u64)
    }

    pub fn runs(&self) -> bool {
        self.hz > 0
    }

    /// When it will have counted as many.
    pub fn when(&self, count: u64) -> Option<Ns> {
        if !self.runs() {
            return None;
        }
        let left = u128::from(count.saturating_sub(self.count));
        let wait = (left * u128::from(self.divider.max(1)) * SECOND).div_ceil(u128::from(self.hz));
        Some(self.at.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    /// Another rate from now on; less than a tick gets lost.
    pub fn set_rate(&mut self, now: Ns, hz: u64, divider: u64) {
        if (hz, divider) != (self.hz, self.divider) {
            *self = Ticker { at: now, count: self.count(now), hz, divider };
        }
    }

    /// From `count` on at the same rate.
    pub fn restart(&mut self, now: Ns, count: u64) {
        *self = Ticker { at: now, count, ..*self };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_counted_when_it_is_whole_and_not_before() {
        let mut ticker = Ticker::at(1_000, 5);
        assert_eq!((ticker.count(9_000), ticker.when(6)), (5, None));
        ticker.set_rate(2_000, 32_000, 3);
        assert_eq!(ticker.when(7), Some(2_000 + 187_500));
        assert_eq!([ticker.count(189_499), ticker.count(189_500)], [6, 7]);
        ticker.set_rate(189_500, 0, 1);
        assert_eq!((ticker.count(u64::MAX), ticker.when(8)), (7, None));
        assert_eq!(ticker.when(7), None);
    }
}
