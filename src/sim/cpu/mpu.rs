//! The memory protection unit (PMSAv7, ARM DDI0403 B3.5; DDI0419 B3.5), and what is executable without it.

use super::exec::{Access, Done, Trap};
use super::{Core, HARD_FAULT, NMI};

const MPU_CTRL: u32 = 0xE000_ED94;
const ENABLE: u32 = 1 << 0;
const HFNMIENA: u32 = 1 << 1;
const PRIVDEFENA: u32 = 1 << 2;

impl Core {
    /// MPU_CTRL was written.
    pub(super) fn mpu_changed(&mut self) {
        self.mpu_on = self.row.mpu_type != 0 && self.mpu_ctrl() & ENABLE != 0;
        self.careful = self.mpu_on || !self.thumb;
        self.guards_changed();
    }

    fn mpu_ctrl(&self) -> u32 {
        self.scs.peek(MPU_CTRL).unwrap_or(0)
    }

    #[inline]
    pub(super) fn mpu_check(&self, address: u32, access: Access) -> Done {
        if self.mpu_on { self.mpu_judge(address, access) } else { Ok(()) }
    }

    fn mpu_judge(&self, address: u32, access: Access) -> Done {
        let ctrl = self.mpu_ctrl();
        let above = self.faultmask != 0 || matches!(self.ipsr, NMI | HARD_FAULT);
        // The private bus has its own rules (B3.5.3).
        if address >> 20 == 0xE00 || above && ctrl & HFNMIENA == 0 {
            return Ok(());
        }
        let privileged = self.privileged() && !(self.unprivileged && access != Access::Execute);
        let allowed = match self.mpu_region_of(address) {
            Some(rasr) => permits(rasr, access, privileged),
            None => privileged && ctrl & PRIVDEFENA != 0,
        };
        let told = if access == Access::Execute { None } else { Some(address) };
        if allowed { Ok(()) } else { Err(Trap::Protected { address: told }) }
    }

    /// RASR of the region whose memory attributes hold at `address`, and whether it is shareable; `None`: those of the
    /// default map.
    pub(super) fn mpu_attributes(&self, address: u32) -> Option<(u32, bool)> {
        const S: u32 = 1 << 18;
        let above = self.faultmask != 0 || matches!(self.ipsr, NMI | HARD_FAULT);
        if !self.mpu_on || above && self.mpu_ctrl() & HFNMIENA == 0 {
            return None;
        }
        self.mpu_region_of(address).map(|rasr| (rasr, rasr & S != 0))
    }

    /// RASR of the region that decides: the one with the highest number.
    fn mpu_region_of(&self, address: u32) -> Option<u32> {
        let regions = (self.row.mpu_type >> 8 & 0xFF).min(16) as usize;
        self.mpu[..regions].iter().rev().find(|(rbar, rasr)| covers(*rbar, *rasr, address)).map(|(_, rasr)| *rasr)
    }
}

/// Size is 2^(SIZE + 1), at least 32 bytes; from 256 bytes up SRD switches off eighths.
fn covers(rbar: u32, rasr: u32, address: u32) -> bool {
    let size = (rasr >> 1 & 0x1F) + 1;
    if rasr & 1 == 0 || size < 5 {
        return false;
    }
    let inside = size == 32 || (address ^ rbar) >> size == 0;
    let eighth = address >> (size - 3) & 7;
    inside && (size < 8 || rasr >> 8 >> eighth & 1 == 0)
}

/// AP (B3.5.8): who may read and write; instructions need read access and XN = 0.
fn permits(rasr: u32, access: Access, privileged: bool) -> bool {
    const XN: u32 = 1 << 28;
    let (read, write) = match (rasr >> 24 & 7, privileged) {
        (1..=3, true) | (3, false) => (true, true),
        (5..=7, true) | (2 | 6 | 7, false) => (true, false),
        _ => (false, false),
    };
    match access {
        Access::Read => read,
        Access::Write => write,
        Access::Execute => read && rasr & XN == 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_covers_its_size_less_its_disabled_eighths() {
        let rasr = 1 | 9 << 1 | 0b1000_0000 << 8;
        assert!(covers(0x2000_0000, rasr, 0x2000_0000) && covers(0x2000_0000, rasr, 0x2000_037F));
        assert!(!covers(0x2000_0000, rasr, 0x2000_0380), "the last eighth of 1 KiB");
        assert!(!covers(0x2000_0000, rasr, 0x2000_0400) && !covers(0x2000_0000, rasr & !1, 0x2000_0000));
        assert!(covers(0, 1 | 31 << 1, 0xFFFF_FFFF));
    }

    #[test]
    fn permissions_are_the_tables() {
        let both = |ap: u32, access| (permits(ap << 24, access, true), permits(ap << 24, access, false));
        let reads: Vec<_> = (0..8).map(|ap| both(ap, Access::Read)).collect();
        let writes: Vec<_> = (0..8).map(|ap| both(ap, Access::Write)).collect();
        const NO: (bool, bool) = (false, false);
        const PRIV: (bool, bool) = (true, false);
        const ALL: (bool, bool) = (true, true);
        assert_eq!(reads, [NO, PRIV, ALL, ALL, NO, PRIV, ALL, ALL]);
        assert_eq!(writes, [NO, PRIV, PRIV, ALL, NO, NO, NO, NO]);
        assert!(!permits(3 << 24 | 1 << 28, Access::Execute, true));
    }
}
