//! A probe for tests with a toy Cortex-M behind it: words in a map, and debug registers that behave.
//!
//! The numbers here are spelled out once more, so that a wrong constant in the code under test cannot hide.

use crate::error::{Cause, Error, Result};
use crate::probe::fake::Words;
use crate::probe::{Connect, Port};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// What a test can see and arrange. AP0 is the core's.
#[derive(Default)]
pub struct Chip {
    pub words: HashMap<(u8, u32), u32>,
    /// (AP, first, last) that answer; everything else faults.
    pub mapped: Vec<(u8, u32, u32)>,
    pub idr: HashMap<u8, u32>,
    pub dpidr: u32,
    pub ctrl_stat: u32,
    /// Every write to an AP's memory, in order.
    pub writes: Vec<(u32, u32)>,
    /// Writes to these addresses are refused.
    pub refuse: Vec<u32>,
    pub nrst_low: bool,
    pub attached: bool,
    pub volts: Option<f32>,
    /// AP0 answers WAIT: the core sleeps.
    pub asleep: bool,
    pub regs: HashMap<u32, u32>,
    pub halted: bool,
    pub lockup: bool,
    /// DHCSR bits 3:0 as written.
    pub control: u32,
    pub dfsr: u32,
    pub reset_seen: bool,
    /// Resets since the start.
    pub resets: u32,
    /// So many reads of DHCSR after a register transfer show S_REGRDY = 0.
    pub slow: u32,
    busy: u32,
    /// SYSRESETREQ does nothing.
    pub deaf_to_sysreset: bool,
    /// Runs into lock-up when it runs after a reset.
    pub dies: bool,
    pub now: Duration,
}

const DHCSR: u32 = 0xE000_EDF0;
const DCRSR: u32 = 0xE000_EDF4;
const DCRDR: u32 = 0xE000_EDF8;
const DEMCR: u32 = 0xE000_EDFC;

impl Chip {
    /// A running Cortex-M7 with 8 comparators (FPB revision 2), 4 watchers, RAM and flash, and nothing else.
    pub fn m7() -> Chip {
        let mut chip = Chip {
            mapped: vec![
                (0, 0xE000_0000, 0xE00F_FFFF),
                (0, 0x2000_0000, 0x2001_FFFF),
                (0, 0x2400_0000, 0x2400_FFFF),
                (0, 0x0800_0000, 0x081F_FFFF),
            ],
            idr: HashMap::from([(0, 0x8477_0001)]),
            dpidr: 0x6BA0_2477,
            ctrl_stat: 0xF000_0000,
            volts: Some(3.3),
            ..Chip::default()
        };
        let words = [(0xE000_ED00, 0x411F_C271), (0xE000_EF40, 0x1011_0221), (0xE000_2000, 0x1000_0080), (0xE000_1000, 0x4000_0000)];
        chip.words.extend(words.map(|(address, value)| ((0, address), value)));
        chip
    }

    /// A running Cortex-M0+ with 4 comparators (as revision 1) and 2 watchers.
    pub fn m0p() -> Chip {
        let mut chip = Chip { dpidr: 0x0BC1_1477, idr: HashMap::from([(0, 0x0477_0031)]), ..Chip::m7() };
        let words = [(0xE000_ED00, 0x410C_C601), (0xE000_2000, 0x40), (0xE000_1000, 0x2000_0000)];
        chip.words.extend(words.map(|(address, value)| ((0, address), value)));
        chip
    }

    pub fn word(&self, address: u32) -> u32 {
        self.words.get(&(0, address)).copied().unwrap_or(0)
    }

    pub fn poke(&mut self, address: u32, value: u32) {
        self.words.insert((0, address), value);
    }

    /// Writes to one address, in order.
    pub fn writes_to(&self, address: u32) -> Vec<u32> {
        self.writes.iter().filter(|write| write.0 == address).map(|write| write.1).collect()
    }

    fn check(&self, ap: u8, address: u32) -> Result<()> {
        if self.asleep && ap == 0 {
            return Err(Error::target("SWD_AP_WAIT").cause(Cause::Wait { address: None }));
        }
        match self.mapped.iter().any(|(on, first, last)| *on == ap && (*first..=*last).contains(&address)) {
            true => Ok(()),
            false => Err(Error::target(format!("fault at {address:#010x}")).cause(Cause::Fault { address: Some(address) })),
        }
    }

    fn read(&mut self, ap: u8, address: u32) -> Result<u32> {
        self.check(ap, address)?;
        Ok(match (ap, address) {
            (0, DHCSR) => self.dhcsr(),
            (0, 0xE000_ED30) => self.dfsr,
            // FP_CTRL.KEY reads as 0
            (0, 0xE000_2000) => self.word(address) & !2,
            _ => self.words.get(&(ap, address)).copied().unwrap_or(0),
        })
    }

    fn dhcsr(&mut self) -> u32 {
        let ready = self.busy == 0;
        self.busy = self.busy.saturating_sub(1);
        let reset = std::mem::replace(&mut self.reset_seen, self.nrst_low);
        self.control & 0xF
            | u32::from(ready && self.halted) << 16
            | u32::from(self.halted) << 17
            | u32::from(self.lockup) << 19
            | u32::from(!self.halted && !self.nrst_low) << 24
            | u32::from(reset) << 25
    }

    fn write(&mut self, ap: u8, address: u32, value: u32) -> Result<()> {
        self.check(ap, address)?;
        if self.refuse.contains(&address) {
            return Err(Error::target(format!("refused at {address:#010x}")));
        }
        self.writes.push((address, value));
        match (ap, address) {
            (0, DHCSR) => self.write_dhcsr(value),
            (0, 0xE000_ED30) => self.dfsr &= !value,
            (0, DCRSR) => self.transfer(value),
            (0, 0xE000_ED0C) if value == 0x05FA_0004 && !self.deaf_to_sysreset => self.reset(),
            (0, 0xE000_2000) if value & 2 != 0 => self.poke(address, self.word(address) & !1 | value & 1),
            (0, 0xE000_2000) => {}
            _ => {
                self.words.insert((ap, address), value);
            }
        }
        Ok(())
    }

    fn write_dhcsr(&mut self, value: u32) {
        assert_eq!(value >> 16, 0xA05F, "DHCSR written without its key");
        let was = std::mem::replace(&mut self.control, value & 0xF);
        if self.control & 1 == 0 {
            self.halted = false;
            return;
        }
        if was & 2 != 0 && self.control & 2 == 0 {
            assert_eq!((was ^ self.control) & 8, 0, "C_MASKINTS changed in the write that clears C_HALT");
        }
        let stepping = self.control & 4 != 0 && self.halted;
        if stepping {
            let pc = self.regs.get(&15).copied().unwrap_or(0);
            self.regs.insert(15, pc + 2);
        } else if self.control & 2 == 0 {
            self.halted = false;
            return;
        }
        if !self.halted || stepping {
            self.dfsr |= 1;
        }
        self.halted = true;
        self.lockup = false;
    }

    fn transfer(&mut self, selector: u32) {
        self.busy = self.slow;
        match selector >> 16 {
            1 => {
                let value = self.word(DCRDR);
                self.regs.insert(selector & 0x7F, value);
            }
            _ => {
                let value = self.regs.get(&selector).copied().unwrap_or(0);
                self.poke(DCRDR, value);
            }
        }
    }

    fn reset(&mut self) {
        self.resets += 1;
        self.reset_seen = true;
        self.lockup = false;
        self.regs.insert(15, self.word(0x0800_0004) & !1);
        let caught = self.control & 1 != 0 && self.word(DEMCR) & 1 != 0;
        self.halted = self.control & 1 != 0 && (caught || self.control & 2 != 0);
        if caught {
            self.dfsr |= 8;
        }
        // FPB and DWT are lost.
        self.poke(0xE000_2000, self.word(0xE000_2000) & !1);
        for n in 0..8 {
            self.poke(0xE000_2008 + 4 * n, 0);
        }
    }

    fn let_time_pass(&mut self, d: Duration) {
        self.now += d;
        self.lockup |= self.dies && self.resets > 0 && !self.halted;
    }
}

/// Near end of the chip; clones share it.
#[derive(Clone)]
pub struct Fake {
    pub chip: Rc<RefCell<Chip>>,
}

impl Fake {
    pub fn new(chip: Chip) -> Fake {
        Fake { chip: Rc::new(RefCell::new(chip)) }
    }
}

impl Words for Fake {
    fn read(&mut self, ap: u8, address: u32) -> Result<u32> {
        self.chip.borrow_mut().read(ap, address)
    }
    fn write(&mut self, ap: u8, address: u32, value: u32) -> Result<()> {
        self.chip.borrow_mut().write(ap, address, value)
    }
    fn attached(&mut self, how: Option<&Connect>) {
        let mut chip = self.chip.borrow_mut();
        chip.attached = how.is_some();
        chip.nrst_low |= how.is_some_and(|how| how.under_reset);
    }
    fn voltage(&mut self) -> Option<f32> {
        self.chip.borrow().volts
    }
    fn drive_nrst(&mut self, low: bool) {
        let mut chip = self.chip.borrow_mut();
        if chip.nrst_low && !low {
            chip.reset();
            chip.asleep = false;
        }
        chip.nrst_low = low;
    }
    fn read_reg(&mut self, port: Port, address: u16) -> Result<u32> {
        let chip = self.chip.borrow();
        Ok(match (port, address) {
            (Port::Dp, 0) => chip.dpidr,
            (Port::Dp, 4) => chip.ctrl_stat,
            (Port::Ap(ap), 0xFC) => chip.idr.get(&ap).copied().unwrap_or(0),
            other => return Err(Error::target(format!("no such register: {other:?}"))),
        })
    }
    fn write_reg(&mut self, port: Port, address: u16, value: u32) -> Result<()> {
        if (port, address) == (Port::Dp, 4) {
            assert_eq!(value & 1, 0, "CORUNDETECT");
            let requests = value & 0x5000_0000;
            self.chip.borrow_mut().ctrl_stat = requests | requests << 1;
        }
        Ok(())
    }
    fn now(&self) -> Duration {
        self.chip.borrow().now
    }
    fn sleep(&mut self, d: Duration) {
        self.chip.borrow_mut().let_time_pass(d);
    }
}
