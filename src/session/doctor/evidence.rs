//! What is known of a chip that may not do what it should: only what was read, no opinion (those are in causes.rs).

use crate::cortex_m::faults::{BFAR, CFSR, HFSR, IPSR, MMFAR, T};
use crate::cortex_m::{DFSR, MPU_CTRL, Sample, State, Stood, VTOR};
use crate::desc::{Die, Region};
use crate::flash::Bank;
use crate::image::Names;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

// DDI0403 B3.2, B3.3, B3.4, B3.5; DDI0419 has those up to VTOR, SCR, SysTick, NVIC_ISER0 and MPU_CTRL.
pub const SYST_CSR: u32 = 0xE000_E010;
pub const NVIC_ISER: u32 = 0xE000_E100;
pub const SCR: u32 = 0xE000_ED10;
pub const CPACR: u32 = 0xE000_ED88;
/// Of every core, and of those that are no ARMv6-M; five words of NVIC_ISER have all lines of an STM32H7 (RM0433 19.1.2).
pub const OF_ALL: [u32; 6] = [SYST_CSR, NVIC_ISER, VTOR, SCR, DFSR, MPU_CTRL];
pub const OF_V7M: [u32; 9] = [CFSR, HFSR, MMFAR, BFAR, CPACR, NVIC_ISER + 4, NVIC_ISER + 8, NVIC_ISER + 12, NVIC_ISER + 16];

pub const BKPT: u16 = 0xBE;

/// The first words of a vector table.
pub type Table = [u32; 16];

#[derive(Default)]
pub struct Evidence {
    /// The core's number, and what it is.
    pub core: usize,
    pub part: &'static str,
    pub v6m: bool,
    pub dual: bool,
    pub volts: Option<f32>,
    pub flash_word: u32,
    pub state: Option<State>,
    /// Halted by the user of this session, or by its commands.
    pub by_user: bool,
    /// DHCSR and DEMCR when rocd came.
    pub at_first: (u32, u32),
    pub samples: Vec<Sample>,
    pub registers: BTreeMap<u32, u32>,
    /// The target file's `[[sign]]`, by their names.
    pub signs: BTreeMap<String, u32>,
    /// Where the registers of those are, by name.
    pub pages: BTreeMap<String, u32>,
    /// Reset flags that came after the old ones had been cleared.
    pub again: BTreeMap<String, u32>,
    pub flash: Vec<Range<u32>>,
    pub ram: Vec<Region>,
    pub rom: Vec<Range<u32>>,
    /// The vector tables that were looked at, by address: the one in use, the start of each bank, and where one seems to be.
    pub tables: BTreeMap<u32, Table>,
    /// The words at 0 and 4.
    pub zero: Option<[u32; 2]>,
    /// The beginning of flash, of a chip that does not run.
    pub head: Vec<u8>,
    pub stood: Option<Stood>,
    pub frame: Option<Frame>,
    /// Why there is none.
    pub no_frame: String,
    /// Words of memory that were asked for: code around pc and the frame's pc, the log buffer …
    pub memory: BTreeMap<u32, u32>,
    /// pc and VTOR as the chip came out of a reset, if it was reset.
    pub caught: Option<(u32, u32)>,
    /// The second core's state.
    pub other: Option<State>,
    /// Where flash is not what the file says, or why that cannot be seen.
    pub differs: Option<String>,
    pub unread: Option<&'static str>,
    /// Why the file cannot be this chip's program.
    pub misfit: Option<String>,
    /// What the file is to put into RAM, which nothing but a debugger does.
    pub for_ram: Option<u32>,
    pub names: Rc<RefCell<Names>>,
}

/// What an exception pushed (DDI0403 B1.5.6).
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    pub at: u32,
    pub words: [u32; 8],
    /// The stack pointer before.
    pub sp: u32,
    pub on_psp: bool,
}

impl Frame {
    pub fn pc(&self) -> u32 {
        self.words[6]
    }

    pub fn lr(&self) -> u32 {
        self.words[5]
    }

    pub fn thumb(&self) -> bool {
        self.words[7] & T != 0
    }
}

/// A load or a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    pub address: u32,
    pub size: u32,
    pub write: bool,
}

impl Evidence {
    pub fn get(&self, register: u32) -> u32 {
        self.registers.get(&register).copied().unwrap_or(0)
    }

    pub fn sign(&self, name: &str) -> Option<u32> {
        self.signs.get(name).copied()
    }

    /// The KiB that this register is in.
    pub fn page(&self, register: &str) -> Option<u32> {
        self.pages.get(register).map(|address| address & !0x3FF)
    }

    /// The signs whose names begin so, without that.
    pub fn signs<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, u32)> {
        self.signs.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, *value)))
    }

    pub fn at(&self, pc: u32) -> String {
        self.names.borrow().at(pc & !1)
    }

    pub fn function(&self, pc: u32) -> Option<String> {
        let names = self.names.borrow();
        names.symbol(pc & !1, |symbol| symbol.function).map(|(symbol, _)| symbol.name.clone())
    }

    pub fn symbol(&self, name: &str) -> Option<u32> {
        self.names.borrow().symbols.iter().find(|symbol| symbol.name == name).map(|symbol| symbol.address)
    }

    /// Where the core begins with factory options: each in a bank of its own (RM0399 2.6).
    pub fn bank(&self) -> Option<&Range<u32>> {
        self.flash.get(self.core).or(self.flash.first())
    }

    pub fn base(&self) -> u32 {
        self.bank().map_or(0, |bank| bank.start)
    }

    pub fn in_flash(&self, address: u32) -> bool {
        self.flash.iter().any(|bank| bank.contains(&address))
    }

    pub fn in_rom(&self, address: u32) -> bool {
        self.rom.iter().any(|rom| rom.contains(&address))
    }

    /// The RAM that holds this address, or ends before it: where a stack may begin.
    pub fn ram_of(&self, sp: u32) -> Option<Range<u32>> {
        let mut rams = self.ram.iter().map(|region| region.address..region.address + region.up_to.unwrap_or(region.size));
        rams.find(|ram| ram.start < sp && sp <= ram.end)
    }

    /// Where code may be.
    pub fn code(&self, address: u32) -> bool {
        self.in_flash(address)
            || self.in_rom(address)
            || self.ram_of(address | 1).is_some()
            || self.v6m && address < 1 << 20 && self.in_flash(address + self.base())
    }

    pub fn pcs(&self) -> impl Iterator<Item = u32> + '_ {
        self.samples.iter().map(|sample| sample.pc).filter(|pc| *pc != u32::MAX && *pc != 0)
    }

    /// Where it is, or was most of the time.
    pub fn pc(&self) -> Option<u32> {
        self.stood.map(|stood| stood.pc()).or_else(|| self.pcs().last())
    }

    /// The samples' first and last address, if they are together.
    pub fn tight(&self) -> Option<Range<u32>> {
        let (first, last) = (self.pcs().min()?, self.pcs().max()?);
        (last - first <= 64).then_some(first..last.saturating_add(4))
    }

    /// The exception that is being handled, and was in every look.
    pub fn exception(&self) -> u32 {
        let halted = self.stood.map(|stood| stood.xpsr() & IPSR);
        let first = halted.or(self.samples.last().map(Sample::exception)).unwrap_or(0);
        if self.samples.iter().all(|sample| sample.exception() == first) { first } else { 0 }
    }

    pub fn locked(&self) -> bool {
        self.state == Some(State::Lockup)
    }

    pub fn faulted(&self) -> bool {
        self.locked() || (2..=6).contains(&self.exception())
    }

    /// It is in ST's loader.
    pub fn booted_rom(&self) -> bool {
        let now = self.samples.last().map(|sample| sample.pc).filter(|pc| *pc != u32::MAX && *pc != 0);
        now.or(self.pc()).is_some_and(|pc| {
            self.in_rom(pc)
                || self.v6m
                    && pc < 0x1_0000
                    && self.zero.is_some_and(|zero| self.tables.get(&self.base()).is_some_and(|table| zero[..] != table[..2]))
        })
    }

    /// Resets that were seen, beyond the one that the first look may tell of, and over what time.
    pub fn resets(&self) -> (usize, Duration) {
        let seen = self.samples.iter().skip(1).filter(|sample| sample.reset()).count();
        let time = self.samples.first().zip(self.samples.last()).map_or(Duration::ZERO, |(first, last)| last.at - first.at);
        (seen, time)
    }

    /// It stays in reset, and executes nothing.
    pub fn held(&self) -> bool {
        self.samples.len() > 1 && self.samples.iter().skip(1).all(|sample| sample.reset() && !sample.retired())
    }

    /// Resets again and again, and the flags that they set; nobody knows how old those are that nobody cleared.
    pub fn reset_by(&self) -> Option<(usize, Duration, Vec<&str>)> {
        let (count, time) = self.resets();
        (count >= 2 && !self.held() && !self.again.is_empty()).then(|| (count, time, self.reset_flags()))
    }

    /// The reset flags that are set and say something.
    pub fn reset_flags(&self) -> Vec<&str> {
        let from = if self.again.is_empty() { &self.signs } else { &self.again };
        let set = from.iter().filter(|(_, value)| **value == 1).filter_map(|(name, _)| name.strip_prefix("reset."));
        set.filter(|name| *name != "clear").collect()
    }

    /// The option that starts the watchdog of this reset flag, if it does; an H7's first one has a number in its option only.
    pub fn hardware_watchdog(&self, dog: &str) -> Option<String> {
        let options = [format!("{dog}_SW"), format!("{dog}1_SW")];
        options.into_iter().find(|name| self.sign(&format!("option.{name}")) == Some(0))
    }

    pub fn sp_fits(&self, sp: u32) -> bool {
        sp.is_multiple_of(4) && self.ram_of(sp).is_some()
    }

    pub fn reset_fits(&self, reset: u32) -> bool {
        reset & 1 == 1 && self.code(reset & !1)
    }

    pub fn table_fits(&self, table: &Table) -> bool {
        self.sp_fits(table[0]) && self.reset_fits(table[1])
    }

    /// The table at the start of flash.
    pub fn vectors(&self) -> Option<&Table> {
        self.tables.get(&self.base())
    }

    /// The two halfwords at this address, if they were read.
    pub fn opcode(&self, at: u32) -> Option<[u16; 2]> {
        let half = |at: u32| self.memory.get(&(at & !3)).map(|word| (word >> (8 * (at & 2))) as u16);
        Some([half(at & !1)?, half((at & !1).wrapping_add(2)).unwrap_or(0)])
    }

    /// A register as it was when the fault came; r4 to r11 only if no handler has used them.
    pub fn at_fault(&self, number: usize) -> u32 {
        let (Some(frame), Some(stood)) = (&self.frame, &self.stood) else { return 0 };
        match number {
            0..=3 => frame.words[number],
            12 => frame.words[4],
            13 => frame.sp,
            14 => frame.words[5],
            _ => stood.r(number),
        }
    }

    /// What the instruction that faulted accesses (DDI0419 A5.2.4, A5.2.5; the wide ones of ARMv7-M are not decoded).
    pub fn access(&self) -> Option<Access> {
        let op = u32::from(self.opcode(self.frame?.pc())?[0]);
        let r = |low: u32| self.at_fault((op >> low & 7) as usize);
        let imm = op >> 6 & 0x1F;
        let (address, size, write) = match op >> 11 {
            0b01010 | 0b01011 => {
                let (size, write) =
                    [(4, true), (2, true), (1, true), (1, false), (4, false), (2, false), (1, false), (2, false)][(op >> 9 & 7) as usize];
                (r(3).wrapping_add(r(6)), size, write)
            }
            0b01100 | 0b01101 => (r(3).wrapping_add(4 * imm), 4, op >> 11 & 1 == 0),
            0b01110 | 0b01111 => (r(3).wrapping_add(imm), 1, op >> 11 & 1 == 0),
            0b10000 | 0b10001 => (r(3).wrapping_add(2 * imm), 2, op >> 11 & 1 == 0),
            0b10010 | 0b10011 => (self.at_fault(13).wrapping_add(4 * (op & 0xFF)), 4, op >> 11 & 1 == 0),
            0b11000 | 0b11001 => (r(8), 4, op >> 11 & 1 == 0),
            0b10110 if op >> 9 & 3 == 2 => (self.at_fault(13).wrapping_sub(4), 4, true),
            0b10111 if op >> 9 & 3 == 2 => (self.at_fault(13), 4, false),
            _ => return None,
        };
        Some(Access { address, size, write })
    }

    /// Does it look like one? `sure`: it must be one, so that a pc that leads nowhere is the program's fault.
    pub fn believes(&self, frame: &Frame, sure: bool) -> bool {
        let odd = if self.v6m { 0x0EFF_FC00 } else { 0x00F0_0000 };
        let xpsr = frame.words[7];
        let (pc, lr) = (frame.pc(), frame.lr());
        let code = |address: u32| self.in_flash(address) || self.in_rom(address);
        let returns = lr & 1 == 1 && (code(lr) || lr >= 0xFFFF_FFE1);
        xpsr & odd == 0 && pc & 1 == 0 && (sure || returns && (code(pc) && xpsr & T != 0 || code(lr)))
    }

    /// Around pc something is read in this block: by a base that a register holds now, or that comes from the literal pool.
    /// Of a loop that was halted only the loop counts: what is beside it may be another function.
    pub fn looks_at(&self, page: u32) -> bool {
        let Some(pc) = self.pc() else { return false };
        let live = self.stood.into_iter().flat_map(|stood| (0..13).map(move |n| stood.r(n)));
        let (mut bases, mut offsets) = (live.collect::<Vec<u32>>(), vec![0]);
        let around = pc.saturating_sub(32) & !3..pc.saturating_add(32) & !3;
        let own = |range: Range<u32>| range.start.saturating_sub(4) & !1..range.end.saturating_add(4);
        for at in self.stood.and_then(|_| self.tight()).map_or(around, own).step_by(2) {
            let Some([op, next]) = self.opcode(at) else { continue };
            match op >> 11 {
                // LDR literal, LDR immediate, LDR.W immediate (DDI0403 A7.7.43, A7.7.42)
                0b01001 => bases.extend(self.memory.get(&(((at + 4) & !3) + 4 * u32::from(op & 0xFF)))),
                0b01101 => offsets.push(4 * u32::from(op >> 6 & 0x1F)),
                0b11111 if op >> 4 == 0xF8D => offsets.push(u32::from(next & 0xFFF)),
                _ => {}
            }
        }
        bases.iter().any(|base| offsets.iter().any(|offset| base.wrapping_add(*offset) & !0x3FF == page))
    }

    /// `b .`, or a NOP and a branch back to it, as a compiler writes it that does not optimise.
    pub fn endless(&self, pc: u32) -> bool {
        let op = |at: u32| self.opcode(at).map(|[op, _]| op);
        let nop = |at: u32| matches!(op(at), Some(0xBF00 | 0x46C0));
        let back = |at: u32| op(at) == Some(0xE7FD);
        op(pc) == Some(0xE7FE) || nop(pc) && back(pc + 2) || back(pc) && nop(pc.saturating_sub(2))
    }

    /// Some of these functions are what it is in: a sample's, its caller's.
    pub fn within(&self, wanted: impl Fn(&str) -> bool) -> Option<String> {
        let live = self.stood.into_iter().flat_map(|stood| [stood.pc(), stood.lr()]);
        let frame = self.frame.into_iter().flat_map(|frame| [frame.pc(), frame.lr()]);
        live.chain(frame).chain(self.pcs()).filter(|pc| self.in_flash(*pc)).filter_map(|pc| self.function(pc)).find(|name| wanted(name))
    }

    /// Interrupt lines that are enabled, and whether SysTick interrupts.
    pub fn wakes(&self) -> bool {
        let lines = (0..5).any(|n| self.get(NVIC_ISER + 4 * n) != 0);
        // In STOP, SysTick stands (RM0433 6.6.4).
        lines || self.get(SYST_CSR) & 3 == 3 && self.get(SCR) & 4 == 0
    }

    pub fn take_chip(&mut self, die: &Die, banks: &[Bank], volts: Option<f32>) {
        // Tightly coupled memory is the first core's alone (RM0399 2.1).
        let seen = |region: &&Region| self.core == 0 || !region.name.ends_with("TCM");
        self.ram = die.ram.iter().filter(seen).cloned().collect();
        self.flash = banks.iter().map(|bank| bank.address..bank.address + bank.size).collect();
        self.flash_word = banks.first().map_or(8, |bank| bank.word);
        self.dual = die.cores > 1;
        self.volts = volts;
    }
}
