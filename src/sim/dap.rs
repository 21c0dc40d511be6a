//! The chip's debug port and its access ports, as SWD sees them (ADIv5.2, ARM IHI 0031).
//!
//! One call is one SWD transaction: request, acknowledge, data. Time is the caller's (the probe's firmware): WAIT says
//! until when, and the caller repeats. A write of DRW is answered OK before it is carried out (posted), so what went
//! wrong with it is told by the next transaction: FAULT, until ABORT clears the sticky flag.

use super::chip::{ApRow, BusError, Chip, Ns, Size};
use super::chips::Row;

/// RnW and the address are the call's; this is APnDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    Dp,
    Ap,
}

/// An acknowledge other than OK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nack {
    Wait {
        until: Ns,
    },
    Fault,
    /// Nobody drives the line.
    Silent,
}

pub type Answer = Result<u32, Nack>;

// DP registers, A[3:2] (ADIv5.2 B2.2); several share an address by direction or by SELECT.DPBANKSEL.
const DPIDR_ABORT: u8 = 0x0;
const BANKED: u8 = 0x4;
const RESEND_SELECT: u8 = 0x8;

// CTRL/STAT (ADIv5.2 B2.2.2). SWD: the sticky flags are read only, ABORT clears them.
const ORUNDETECT: u32 = 1 << 0;
const STICKYORUN: u32 = 1 << 1;
const STICKYCMP: u32 = 1 << 4;
const STICKYERR: u32 = 1 << 5;
const READOK: u32 = 1 << 6;
const WDATAERR: u32 = 1 << 7;
const STICKY: u32 = STICKYORUN | STICKYCMP | STICKYERR | WDATAERR;
const CDBGRSTREQ: u32 = 1 << 26;
const CDBGPWRUPREQ: u32 = 1 << 28;
const CSYSPWRUPREQ: u32 = 1 << 30;
/// Pushed operations and the transaction counter: not in a minimal DP (DPIDR.MIN).
const TRN: u32 = 0x00FF_FF0C;
const DPIDR_MIN: u32 = 1 << 16;

/// ABORT bit to the sticky flag it clears (ADIv5.2 B2.2.1).
const ABORT: &[(u32, u32)] = &[(1 << 1, STICKYCMP), (1 << 2, STICKYERR), (1 << 3, WDATAERR), (1 << 4, STICKYORUN)];

/// DLCR: bit 6 reads as one, TURNROUND is bits 9:8 (ADIv5.2 B2.2.4).
const DLCR_ONE: u32 = 1 << 6;
const DLCR_TURNROUND: u32 = 3 << 8;
/// DLPIDR: protocol version 1 = SWD v2, instance 0.
const DLPIDR: u32 = 1;
/// EVENTSTAT.EA set: no event needs attention. Assumed: no chip's value was seen.
const EVENTSTAT: u32 = 1;

// MEM-AP registers (ADIv5.2 C2.6).
const CSW: u8 = 0x00;
const TAR: u8 = 0x04;
const DRW: u8 = 0x0C;
const BD0: u8 = 0x10;
const BD3: u8 = 0x1C;
const CFG: u8 = 0xF4;
const BASE: u8 = 0xF8;
const IDR: u8 = 0xFC;

/// AHB-APs of the Cortex-M3 and M4, all revisions: TAR counts through 4 KiB. Elsewhere 1 KiB (ADIv5.2 C2.2.2: the least).
const AHB_AP_M3_M4: u32 = 0x0477_0011;
const IDR_WITHOUT_REVISION: u32 = 0x0FFF_FFFF;

struct MemAp {
    row: &'static ApRow,
    csw: u32,
    tar: u32,
}

impl MemAp {
    fn size(&self) -> Size {
        match self.csw & 7 {
            0 => Size::Byte,
            1 => Size::Half,
            _ => Size::Word,
        }
    }

    fn packed(&self) -> bool {
        self.csw >> 4 & 3 == 2
    }

    fn wrap(&self) -> u32 {
        if self.row.idr & IDR_WITHOUT_REVISION == AHB_AP_M3_M4 { 0xFFF } else { 0x3FF }
    }

    /// Only the low bits count: past the end of the block TAR starts again at its beginning.
    fn step(&mut self) {
        if self.csw >> 4 & 3 != 0 {
            let wrap = self.wrap();
            self.tar = self.tar & !wrap | self.tar.wrapping_add(self.size() as u32) & wrap;
        }
    }

    /// Accesses of one DRW transfer: packed ones go on to the end of the word (ADIv5.2 C2.2.7).
    fn accesses(&self) -> u32 {
        let size = self.size() as u32;
        if self.packed() { (4 - (self.tar & 3)).div_ceil(size) } else { 1 }
    }
}

pub struct Dap {
    row: &'static Row,
    /// A line reset and the switch to SWD were seen since power-on.
    connected: bool,
    select: u32,
    ctrl: u32,
    dlcr: u32,
    rdbuff: u32,
    aps: Vec<MemAp>,
    /// Words whose access the AP refuses whatever the chip says: fault injection.
    pub broken: Vec<u32>,
}

impl Dap {
    pub fn new(row: &'static Row) -> Dap {
        let aps = row.aps.iter().map(|row| MemAp { row, csw: row.csw, tar: 0 }).collect();
        Dap { row, connected: false, select: 0, ctrl: 0, dlcr: DLCR_ONE, rdbuff: 0, aps, broken: Vec::new() }
    }

    /// Line reset, JTAG-to-SWD, line reset: the registers keep what they hold (ADIv5.2 B4.3.3), the DP answers.
    pub fn line_reset(&mut self) {
        self.connected = true;
        self.dlcr = DLCR_ONE;
    }

    /// The chip was off: everything as after power-on.
    pub fn power_cycle(&mut self) {
        *self = Dap { broken: std::mem::take(&mut self.broken), ..Dap::new(self.row) };
    }

    pub fn read(&mut self, chip: &mut Chip, port: Port, a: u8) -> Answer {
        self.listen(chip)?;
        match (port, a) {
            (Port::Dp, DPIDR_ABORT) => Ok(self.row.dpidr),
            (Port::Dp, BANKED) if self.select & 0xF == 0 => Ok(self.ctrl_stat()),
            _ => {
                self.refuse_while_sticky()?;
                match port {
                    Port::Dp if a == BANKED => Ok(self.banked()),
                    Port::Dp => Ok(self.rdbuff),
                    Port::Ap => self.ap_read(chip, a),
                }
            }
        }
    }

    pub fn write(&mut self, chip: &mut Chip, port: Port, a: u8, value: u32) -> Answer {
        self.listen(chip)?;
        if (port, a) == (Port::Dp, DPIDR_ABORT) {
            self.abort(value);
            return Ok(0);
        }
        self.refuse_while_sticky()?;
        match (port, a) {
            (Port::Dp, BANKED) => self.write_banked(value),
            (Port::Dp, RESEND_SELECT) => self.select = value,
            (Port::Dp, _) => {}
            (Port::Ap, _) => self.ap_write(chip, a, value)?,
        }
        Ok(0)
    }

    /// The data of a write came with a wrong parity bit: it is not carried out.
    pub fn bad_write(&mut self) {
        self.ctrl |= WDATAERR;
    }

    /// An access went wrong that nobody cleared.
    pub fn leave_sticky(&mut self) {
        self.ctrl |= STICKYERR;
    }

    pub fn tar(&self, ap: u8) -> Option<u32> {
        self.aps.iter().find(|entry| entry.row.index == ap).map(|entry| entry.tar)
    }

    fn listen(&self, chip: &Chip) -> Result<(), Nack> {
        if self.connected && chip.debug_port() { Ok(()) } else { Err(Nack::Silent) }
    }

    /// Everything but DPIDR, CTRL/STAT and ABORT answers FAULT then; an overrun is noted (ADIv5.2 B4.2.4, B4.2.6).
    fn refuse_while_sticky(&mut self) -> Result<(), Nack> {
        if self.ctrl & STICKY == 0 {
            return Ok(());
        }
        if self.ctrl & ORUNDETECT != 0 {
            self.ctrl |= STICKYORUN;
        }
        Err(Nack::Fault)
    }

    fn version(&self) -> u32 {
        self.row.dpidr >> 12 & 0xF
    }

    /// The acknowledge of a power request follows at once (assumed); a debug reset is not implemented and never acknowledged.
    fn ctrl_stat(&self) -> u32 {
        let requests = self.ctrl & (CDBGPWRUPREQ | CSYSPWRUPREQ);
        self.ctrl | requests << 1
    }

    fn powered(&self) -> bool {
        self.ctrl & CDBGPWRUPREQ != 0
    }

    /// DLCR came with DPv1; TARGETID, DLPIDR and EVENTSTAT with DPv2 (ADIv5.2 B2.2). What is not there reads as zero.
    fn banked(&self) -> u32 {
        match (self.select & 0xF, self.version()) {
            (1, _) => self.dlcr,
            (2, 2..) => self.row.targetid,
            (3, 2..) => DLPIDR,
            (4, 2..) => EVENTSTAT,
            _ => 0,
        }
    }

    fn write_banked(&mut self, value: u32) {
        match self.select & 0xF {
            0 => {
                let trn = if self.row.dpidr & DPIDR_MIN != 0 { 0 } else { TRN };
                let mask = ORUNDETECT | CDBGRSTREQ | CDBGPWRUPREQ | CSYSPWRUPREQ | trn;
                self.ctrl = self.ctrl & !mask | value & mask;
            }
            1 => self.dlcr = DLCR_ONE | value & DLCR_TURNROUND,
            _ => {}
        }
    }

    fn abort(&mut self, value: u32) {
        for (bit, flag) in ABORT {
            if value & bit != 0 {
                self.ctrl &= !flag;
            }
        }
    }

    /// The AP that SELECT names; a number without an AP reads as zero and ignores writes (ADIv5.2 B2.2.9, C1.3).
    fn selected(&self) -> Option<usize> {
        let index = (self.select >> 24) as u8;
        self.aps.iter().position(|ap| ap.row.index == index)
    }

    fn register(&self, a: u8) -> u8 {
        self.select as u8 & 0xF0 | a
    }

    /// AP reads are posted: the data is that of the read before, RDBUFF gives the last (ADIv5.2 B4.2.2).
    fn ap_read(&mut self, chip: &mut Chip, a: u8) -> Answer {
        self.gate()?;
        let register = self.register(a);
        let value = match self.selected() {
            None => 0,
            Some(index) => match self.mem_ap_read(chip, index, register) {
                Ok(value) => value,
                Err(BusError::Busy { until }) => return Err(self.wait(until)),
                Err(BusError::Fault) => self.sticky_error(),
            },
        };
        self.ctrl |= READOK;
        Ok(std::mem::replace(&mut self.rdbuff, value))
    }

    fn ap_write(&mut self, chip: &mut Chip, a: u8, value: u32) -> Result<(), Nack> {
        self.gate()?;
        let register = self.register(a);
        let Some(index) = self.selected() else { return Ok(()) };
        match self.mem_ap_write(chip, index, register, value) {
            Ok(()) => {}
            Err(BusError::Busy { until }) => return Err(self.wait(until)),
            Err(BusError::Fault) => drop(self.sticky_error()),
        }
        Ok(())
    }

    /// An AP access without debug power is an error (ADIv5.2 B2.4.3).
    fn gate(&mut self) -> Result<(), Nack> {
        if self.powered() {
            return Ok(());
        }
        self.sticky_error();
        Err(Nack::Fault)
    }

    fn sticky_error(&mut self) -> u32 {
        self.ctrl = self.ctrl & !READOK | STICKYERR;
        0
    }

    fn wait(&mut self, until: Ns) -> Nack {
        if self.ctrl & ORUNDETECT != 0 {
            self.ctrl |= STICKYORUN;
        }
        Nack::Wait { until }
    }

    fn mem_ap_read(&mut self, chip: &mut Chip, index: usize, register: u8) -> Result<u32, BusError> {
        let ap = &self.aps[index];
        Ok(match register {
            CSW => ap.csw,
            TAR => ap.tar,
            DRW => return self.drw(chip, index, None),
            BD0..=BD3 => {
                let address = ap.tar & !0xF | u32::from(register & 0xC);
                return self.access(chip, index, address, Size::Word, None);
            }
            CFG => ap.row.cfg,
            BASE => ap.row.base,
            IDR => ap.row.idr,
            _ => 0,
        })
    }

    fn mem_ap_write(&mut self, chip: &mut Chip, index: usize, register: u8, value: u32) -> Result<(), BusError> {
        let ap = &mut self.aps[index];
        match register {
            CSW => ap.csw = ap.csw & !ap.row.csw_mask | value & ap.row.csw_mask,
            TAR => ap.tar = value,
            DRW => drop(self.drw(chip, index, Some(value))?),
            BD0..=BD3 => {
                let address = ap.tar & !0xF | u32::from(register & 0xC);
                self.access(chip, index, address, Size::Word, Some(value))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Data sits in the byte lanes of its address (ADIv5.2 C2.2.6); TAR steps only past what was done.
    fn drw(&mut self, chip: &mut Chip, index: usize, write: Option<u32>) -> Result<u32, BusError> {
        let mut value = 0;
        for _ in 0..self.aps[index].accesses() {
            let (address, size) = (self.aps[index].tar, self.aps[index].size());
            let lane = 8 * (address & 3);
            value |= self.access(chip, index, address, size, write.map(|word| word >> lane))? << lane;
            self.aps[index].step();
        }
        Ok(value)
    }

    fn access(&self, chip: &mut Chip, index: usize, address: u32, size: Size, write: Option<u32>) -> Result<u32, BusError> {
        let ap = &self.aps[index];
        if self.broken.contains(&(address & !3)) {
            return Err(BusError::Fault);
        }
        let bits = u32::MAX >> (32 - 8 * size as u32);
        match write {
            None => chip.read(ap.row.index, ap.csw, address, size).map(|value| value & bits),
            Some(value) => chip.write(ap.row.index, ap.csw, address, size, value & bits).map(|()| 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::chips::CHIPS;

    const ABORT_ALL: u32 = 0x1E;

    /// A powered-up debug port and its chip.
    fn powered(name: &str) -> (Dap, Chip) {
        let row = CHIPS.iter().find(|row| row.name == name).expect("the test names a chip");
        let (mut dap, mut chip) = (Dap::new(row), Chip::new(row));
        dap.line_reset();
        dap.write(&mut chip, Port::Dp, BANKED, CDBGPWRUPREQ | CSYSPWRUPREQ).unwrap();
        (dap, chip)
    }

    fn read(dap: &mut Dap, chip: &mut Chip, bank: u32, a: u8) -> u32 {
        dap.write(chip, Port::Dp, RESEND_SELECT, bank).unwrap();
        dap.read(chip, Port::Dp, a).unwrap()
    }

    #[test]
    fn nobody_answers_before_a_line_reset() {
        let row = &CHIPS[0];
        let (mut dap, mut chip) = (Dap::new(row), Chip::new(row));
        assert_eq!(dap.read(&mut chip, Port::Dp, DPIDR_ABORT), Err(Nack::Silent));
        dap.line_reset();
        assert_eq!(dap.read(&mut chip, Port::Dp, DPIDR_ABORT), Ok(row.dpidr));
    }

    #[test]
    fn banks_of_a_dpv2_and_of_a_dpv1() {
        let (mut h7, mut chip) = powered("stm32h743");
        h7.write(&mut chip, Port::Dp, RESEND_SELECT, 1).unwrap();
        h7.write(&mut chip, Port::Dp, BANKED, u32::MAX).unwrap();
        let bank = |dap: &mut Dap, chip: &mut Chip| [1, 2, 3, 4, 5].map(|bank| read(dap, chip, bank, BANKED));
        assert_eq!(bank(&mut h7, &mut chip), [0x340, chip.row.targetid, 1, 1, 0]);
        let (mut g0, mut chip) = powered("stm32g071");
        assert_eq!(bank(&mut g0, &mut chip), [0x40, 0, 0, 0, 0]);
        // A minimal DP has no transaction counter (DPIDR.MIN).
        for (dap, chip, trn) in [(&mut g0, &mut chip, 0), (&mut h7, &mut powered("stm32h743").1, TRN)] {
            dap.write(chip, Port::Dp, RESEND_SELECT, 0).unwrap();
            dap.write(chip, Port::Dp, BANKED, TRN | CDBGPWRUPREQ).unwrap();
            assert_eq!(dap.read(chip, Port::Dp, BANKED).unwrap() & TRN, trn);
        }
    }

    #[test]
    fn an_ap_that_is_not_there_reads_zero_and_ignores_writes() {
        let (mut dap, mut chip) = powered("stm32h743");
        dap.write(&mut chip, Port::Dp, RESEND_SELECT, 9 << 24 | 0xF0).unwrap();
        dap.write(&mut chip, Port::Ap, 0x0C, 1).unwrap();
        dap.read(&mut chip, Port::Ap, 0x0C).unwrap();
        assert_eq!(dap.read(&mut chip, Port::Dp, 0xC), Ok(0));
        assert_eq!(read(&mut dap, &mut chip, 0, BANKED) & STICKY, 0);
    }

    #[test]
    fn while_an_error_sticks_only_its_cause_and_its_cure_answer() {
        let (mut dap, mut chip) = powered("stm32g071");
        dap.write(&mut chip, Port::Dp, RESEND_SELECT, 0).unwrap();
        dap.write(&mut chip, Port::Ap, TAR, 0x6000_0000).unwrap();
        assert_eq!(dap.write(&mut chip, Port::Ap, DRW, 1), Ok(0), "a posted write is acknowledged");
        assert_eq!(dap.write(&mut chip, Port::Ap, TAR, 0x2000_0000), Err(Nack::Fault));
        assert_eq!(dap.write(&mut chip, Port::Dp, RESEND_SELECT, 1), Err(Nack::Fault));
        assert_eq!(dap.read(&mut chip, Port::Dp, 0xC), Err(Nack::Fault));
        assert_eq!(dap.read(&mut chip, Port::Dp, DPIDR_ABORT), Ok(chip.row.dpidr));
        assert_eq!(dap.read(&mut chip, Port::Dp, BANKED).unwrap() & STICKY, STICKYERR);
        assert_eq!(dap.tar(0), Some(0x6000_0000), "TAR stays where it failed");
        dap.write(&mut chip, Port::Dp, DPIDR_ABORT, 1 << 2).unwrap();
        assert_eq!(dap.write(&mut chip, Port::Ap, TAR, 0x2000_0000), Ok(0));
    }

    #[test]
    fn overruns_and_bad_parity_have_their_own_flags() {
        let (mut dap, mut chip) = powered("stm32h743");
        dap.write(&mut chip, Port::Dp, BANKED, CDBGPWRUPREQ | ORUNDETECT).unwrap();
        dap.bad_write();
        assert_eq!(dap.read(&mut chip, Port::Ap, 0), Err(Nack::Fault));
        assert_eq!(dap.read(&mut chip, Port::Dp, BANKED).unwrap() & STICKY, WDATAERR | STICKYORUN);
        dap.write(&mut chip, Port::Dp, DPIDR_ABORT, ABORT_ALL).unwrap();
        assert_eq!(dap.read(&mut chip, Port::Dp, BANKED).unwrap() & STICKY, 0);
    }

    #[test]
    fn packed_bytes_go_to_the_end_of_the_word() {
        let (mut dap, mut chip) = powered("stm32h743");
        chip.advance(1);
        dap.write(&mut chip, Port::Dp, RESEND_SELECT, 0).unwrap();
        dap.write(&mut chip, Port::Ap, CSW, dap.aps[0].row.csw & !0x37 | 0x20).unwrap();
        dap.write(&mut chip, Port::Ap, TAR, 0x2000_0001).unwrap();
        dap.write(&mut chip, Port::Ap, DRW, 0x4433_2211).unwrap();
        let there: Vec<_> = (0x2000_0001..0x2000_0004).map(|at| chip.peek(at)).collect();
        assert_eq!(there, [Some(0x22), Some(0x33), Some(0x44)]);
    }
}
