//! NVIC (ARM DDI0403 B3.4): enable, pending, active, priority. Interrupts are numbered from 0 here, from 16 outside.

pub(super) struct Nvic {
    enabled: [u32; 8],
    pending: [u32; 8],
    active: [u32; 8],
    /// The lines as they come from the peripherals.
    levels: [u32; 8],
    priority: Vec<u8>,
    mask: u8,
    interrupts: usize,
}

impl Nvic {
    pub fn new(interrupts: usize, mask: u8) -> Nvic {
        let priority = vec![0; interrupts.div_ceil(4) * 4];
        Nvic { enabled: [0; 8], pending: [0; 8], active: [0; 8], levels: [0; 8], priority, mask, interrupts }
    }

    /// Interrupts of word `index` that there are.
    fn lines(&self, index: usize) -> u32 {
        ((1u64 << self.interrupts.saturating_sub(index * 32).min(32)) - 1) as u32
    }

    /// `offset` from 0xE000E100. `None`: no such register.
    pub fn reg(&self, offset: u32) -> Option<u32> {
        let index = (offset as usize / 4) % 32;
        match offset {
            0x000..=0x01F | 0x080..=0x09F => Some(self.enabled[index]),
            0x100..=0x11F | 0x180..=0x19F => Some(self.pending[index]),
            0x200..=0x21F => Some(self.active[index]),
            0x300..=0x3EF => {
                let at = offset as usize - 0x300;
                Some(self.priority.get(at..at + 4).map_or(0, |four| u32::from_le_bytes([four[0], four[1], four[2], four[3]])))
            }
            _ => None,
        }
    }

    pub fn write(&mut self, offset: u32, value: u32, lanes: u32) -> bool {
        let index = (offset as usize / 4) % 32;
        match offset {
            0x000..=0x01F => self.enabled[index] |= value & self.lines(index),
            0x080..=0x09F => self.enabled[index] &= !value,
            0x100..=0x11F => self.pending[index] |= value & self.lines(index),
            0x180..=0x19F => {
                self.pending[index] &= !value;
                self.pend_high(index);
            }
            0x200..=0x21F => (),
            0x300..=0x3EF => self.write_priority(offset as usize - 0x300, value, lanes),
            _ => return false,
        }
        true
    }

    fn write_priority(&mut self, at: usize, value: u32, lanes: u32) {
        let bytes = value.to_le_bytes().into_iter().zip(lanes.to_le_bytes());
        for (priority, (byte, lane)) in self.priority.iter_mut().skip(at).take(4).zip(bytes) {
            if lane != 0 {
                *priority = byte & self.mask;
            }
        }
    }

    /// STIR: pend by number.
    pub fn trigger(&mut self, number: u32) {
        if (number as usize) < self.interrupts {
            self.pending[number as usize / 32] |= 1 << (number % 32);
        }
    }

    pub fn any_pending(&self) -> bool {
        self.pending.iter().any(|word| *word != 0)
    }

    /// Something is pending and enabled.
    pub fn any_ready(&self) -> bool {
        self.pending.iter().zip(&self.enabled).any(|(pending, enabled)| pending & enabled != 0)
    }

    /// Exception numbers that are pending and enabled.
    pub fn ready_numbers(&self) -> impl Iterator<Item = u16> {
        let words = self.pending.iter().zip(&self.enabled).map(|(pending, enabled)| pending & enabled);
        words.enumerate().flat_map(numbers)
    }

    /// Exception numbers that are active.
    pub fn active_numbers(&self) -> impl Iterator<Item = u16> {
        self.active.iter().copied().enumerate().flat_map(numbers)
    }

    pub fn active_count(&self) -> u32 {
        self.active.iter().map(|word| word.count_ones()).sum()
    }

    pub fn priority(&self, number: u16) -> u8 {
        self.priority.get(number as usize).copied().unwrap_or(0)
    }

    pub fn is_active(&self, number: u16) -> bool {
        self.active.get(number as usize / 32).is_some_and(|word| word >> (number % 32) & 1 == 1)
    }

    pub fn set_active(&mut self, number: u16, on: bool) {
        set_bit(&mut self.active, number, on);
        self.pend_high(usize::from(number / 32));
    }

    /// New levels of the lines. An interrupt gets pending with the rising edge of its line, and again while the line is
    /// high and the handler is not active (DDI0403 B3.4.1). True: one got pending.
    pub fn set_levels(&mut self, levels: &[u32; 8]) -> bool {
        let mut pended = false;
        for (index, level) in levels.iter().enumerate() {
            let before = self.pending[index];
            let level = level & self.lines(index);
            self.pending[index] |= level & !self.levels[index];
            self.levels[index] = level;
            self.pend_high(index);
            pended |= self.pending[index] != before;
        }
        pended
    }

    fn pend_high(&mut self, index: usize) {
        if let (Some(level), Some(active)) = (self.levels.get(index), self.active.get(index)) {
            self.pending[index] |= level & !active;
        }
    }

    pub fn set_pending(&mut self, number: u16, on: bool) {
        set_bit(&mut self.pending, number, on);
    }
}

/// The exception numbers of the bits in one word.
fn numbers((index, word): (usize, u32)) -> impl Iterator<Item = u16> {
    (0..32).filter(move |bit| word >> bit & 1 == 1).map(move |bit| 16 + 32 * index as u16 + bit)
}

fn set_bit(words: &mut [u32; 8], number: u16, on: bool) {
    if let Some(word) = words.get_mut(number as usize / 32) {
        *word = *word & !(1 << (number % 32)) | u32::from(on) << (number % 32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(nvic: &Nvic) -> u32 {
        nvic.reg(0x100).unwrap()
    }

    #[test]
    fn a_high_line_pends_once_and_again_when_its_handler_is_over() {
        let mut nvic = Nvic::new(32, 0xC0);
        let (high, low) = ([1 << 5, 0, 0, 0, 0, 0, 0, 0], [0; 8]);
        assert!(nvic.set_levels(&high));
        nvic.write(0x180, 1 << 5, u32::MAX);
        assert_eq!(pending(&nvic), 1 << 5, "ICPR does nothing while the line is high");
        nvic.set_pending(5, false);
        nvic.set_active(5, true);
        assert_eq!(pending(&nvic), 0, "the handler runs");
        nvic.set_active(5, false);
        assert_eq!(pending(&nvic), 1 << 5, "it did not clear the flag");
        nvic.set_pending(5, false);
        nvic.set_active(5, true);
        assert!(!nvic.set_levels(&low));
        nvic.set_active(5, false);
        assert_eq!(pending(&nvic), 0, "it did");
        nvic.set_active(5, true);
        assert!(nvic.set_levels(&high), "an edge under the handler pends");
        assert!(!nvic.set_levels(&low));
        assert_eq!(pending(&nvic), 1 << 5, "and stays pending when the line falls");
        assert!(!nvic.set_levels(&[0, 1, 0, 0, 0, 0, 0, 0]), "the chip has 32 interrupts");
    }
}
