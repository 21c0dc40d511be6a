//! Fetch, decode, execute: the loop, the decoded instructions it keeps, and data accesses as the core makes them.

use super::decode::{self, Insn};
use super::run::{LOOKS, TURNS};
use super::{Arch, Core};
use crate::sim::bus::Bus;
use crate::sim::chip::{BusError, Ns, Size};
use crate::sim::flash::Master;

pub type Done = Result<(), Trap>;
pub type Exec = fn(&mut Core, &mut Bus, &Insn) -> Done;

/// Why an instruction did not complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    Undefined,
    /// Not in Thumb state.
    InvState,
    /// EXC_RETURN or the stacked state makes no sense.
    InvPc,
    /// The FPU is off.
    NoCp,
    Unaligned,
    DivideByZero,
    /// Nothing answered a data access.
    Data {
        address: u32,
    },
    /// Nothing answered the fetch.
    Fetch,
    /// The MPU or an execute-never region refused.
    Protected {
        address: Option<u32>,
    },
    /// A flash bank holds the bus until then; the instruction starts again.
    Busy {
        until: Ns,
    },
    Supervisor,
    Breakpoint,
    /// A comparator of the FPB sits on this instruction.
    Comparator,
}

/// Decoded instructions by address: direct mapped, so that its size is fixed and forgetting is cheap.
pub struct Decoded {
    entries: Box<[(u32, Insn); ENTRIES]>,
    /// Slots filled from flash.
    flash: Vec<u16>,
    /// Blocks of RAM that may have entries, folded into 64: stores elsewhere need not look.
    ram: u64,
    /// The same of the other core of a chip that has two, and where this one wrote there.
    theirs: u64,
    written: Vec<u32>,
}

/// More than so many are not told one by one.
const WRITTEN: usize = 1024;
const ENTRIES: usize = 1 << 13;
/// No instruction lies at an odd address.
const NOWHERE: u32 = 1;

/// The bit of a block of 1 KiB.
fn block(address: u32) -> u64 {
    1 << (address >> 10 & 63)
}

impl Decoded {
    pub fn new() -> Decoded {
        Decoded { entries: Box::new([(NOWHERE, decode::UNDEFINED); ENTRIES]), flash: Vec::new(), ram: 0, theirs: 0, written: Vec::new() }
    }

    fn slot(pc: u32) -> usize {
        (pc >> 1) as usize & (ENTRIES - 1)
    }

    pub fn clear(&mut self) {
        self.entries.iter_mut().for_each(|entry| entry.0 = NOWHERE);
        self.flash.clear();
        self.ram = 0;
    }

    /// Flash changed, or got busy.
    pub fn forget_flash(&mut self) {
        for slot in self.flash.drain(..) {
            self.entries[slot as usize].0 = NOWHERE;
        }
    }

    /// Memory at `address` changed: instructions that hold one of its bytes are decoded again.
    #[inline]
    pub fn forget(&mut self, address: u32) {
        if (self.ram | self.theirs) & block(address) != 0 {
            self.forget_word(address & !3);
        }
    }

    /// As `forget`, of so many bytes and wherever they are.
    pub fn forget_range(&mut self, address: u32, len: u32) {
        (address..).step_by(4).take(len.div_ceil(4) as usize).for_each(|word| self.forget_word(word));
    }

    /// From now on writes to where the other core may have instructions are remembered.
    pub fn look_out_for(&mut self, other: &Decoded) {
        self.theirs = other.ram;
    }

    /// The words that may hold the other core's instructions; `None`: too many.
    pub fn take_written(&mut self) -> Option<Vec<u32>> {
        Some(std::mem::take(&mut self.written)).filter(|written| written.len() < WRITTEN)
    }

    fn forget_word(&mut self, word: u32) {
        if self.theirs & block(word) != 0 && self.written.len() < WRITTEN {
            self.written.push(word);
        }
        for pc in [word.wrapping_sub(2), word, word.wrapping_add(2)] {
            let entry = &mut self.entries[Self::slot(pc)];
            if entry.0 == pc {
                entry.0 = NOWHERE;
            }
        }
    }

    fn keep(&mut self, pc: u32, insn: Insn, flash: bool) {
        let slot = Self::slot(pc);
        self.entries[slot] = (pc, insn);
        if flash && self.flash.len() < ENTRIES {
            self.flash.push(slot as u16);
        } else if flash {
            self.clear();
        } else {
            self.ram |= block(pc) | block(pc.wrapping_add(2));
        }
    }
}

/// Peripherals, devices and the private bus: never executable, and no unaligned access (DDI0403E A3.2.1 and B3.1).
fn device(address: u32) -> bool {
    matches!(address >> 29, 2 | 5..=7)
}

impl Core {
    /// One instruction. On an error nothing has happened but what the trap says; `self.pc` is then the instruction's own.
    #[inline(always)]
    pub(super) fn step(&mut self, bus: &mut Bus) -> Done {
        let pc = self.pc;
        let (at, insn) = self.decoded.entries[Decoded::slot(pc)];
        if at == pc && !self.careful { self.execute(bus, pc, &insn) } else { self.step_carefully(bus, pc) }
    }

    /// The same, whatever has to be looked at before.
    #[cold]
    pub(super) fn step_carefully(&mut self, bus: &mut Bus, pc: u32) -> Done {
        let insn = self.instruction(bus, pc)?;
        self.execute(bus, pc, &insn)
    }

    #[inline(always)]
    fn execute(&mut self, bus: &mut Bus, pc: u32, insn: &Insn) -> Done {
        self.r[15] = pc.wrapping_add(4);
        self.pc = pc.wrapping_add(u32::from(insn.len));
        self.trace.run(self.instructions, self.cycles, pc, insn.raw);
        self.cycles += 1;
        self.instructions += 1;
        let done = if self.it == 0 { (insn.exec)(self, bus, insn) } else { self.execute_in_it(bus, insn) };
        // Not `done` itself: copying what was written in parts costs the host more than all the rest.
        match done {
            Ok(()) => Ok(()),
            Err(trap) => self.take_back(pc, trap),
        }
    }

    #[cold]
    fn take_back(&mut self, pc: u32, trap: Trap) -> Done {
        self.pc = pc;
        if matches!(trap, Trap::Busy { .. } | Trap::Comparator) {
            self.trace.withdraw(self.instructions - 1);
        }
        Err(trap)
    }

    /// BKPT runs whatever the condition is (DDI0403E A7.7.17).
    #[inline(never)]
    fn execute_in_it(&mut self, bus: &mut Bus, insn: &Insn) -> Done {
        if self.condition(self.it >> 4) || insn.is_bkpt() {
            (insn.exec)(self, bus, insn)?;
        }
        self.advance_it();
        Ok(())
    }

    /// Around a comparator that nobody is to be told of.
    pub(super) fn step_over(&mut self, bus: &mut Bus) -> Done {
        let pc = self.pc;
        let insn = self.decode(bus, pc)?;
        self.execute(bus, pc, &insn)
    }

    /// The instruction at `pc`, decoded now or earlier.
    fn instruction(&mut self, bus: &mut Bus, pc: u32) -> Result<Insn, Trap> {
        if !self.thumb {
            return Err(Trap::InvState);
        }
        self.mpu_check(pc, Access::Execute)?;
        let entry = &self.decoded.entries[Decoded::slot(pc)];
        if entry.0 == pc {
            return Ok(entry.1);
        }
        let mut insn = self.decode(bus, pc)?;
        if (self.fpb.hits(pc) || self.dwt.hits_pc(pc)) && self.debug.listens() {
            insn = decode::COMPARATOR;
        }
        if let Some(flash) = bus.keeps_code(pc) {
            self.decoded.keep(pc, insn, flash);
        }
        Ok(insn)
    }

    fn decode(&mut self, bus: &mut Bus, pc: u32) -> Result<Insn, Trap> {
        let first = self.fetch_half(bus, pc)?;
        let second = if first >= 0xE800 { self.fetch_half(bus, pc.wrapping_add(2))? } else { 0 };
        Ok(decode::decode(self.model, first, second))
    }

    fn fetch_half(&mut self, bus: &mut Bus, address: u32) -> Result<u16, Trap> {
        if device(address) {
            return Err(if self.row.arch == Arch::V7M { Trap::Protected { address: None } } else { Trap::Fetch });
        }
        self.mpu_check(address, Access::Execute)?;
        if bus.next_event().is_some() {
            self.bring_up(bus);
        }
        if self.code_cached
            && let Some(half) = self.cached_fetch(bus, address)?
        {
            return Ok(half);
        }
        match bus.read(address, Size::Half, Master::Core) {
            Ok(half) => {
                self.hear_flash(bus);
                Ok(half as u16)
            }
            Err(BusError::Fault) => Err(Trap::Fetch),
            Err(BusError::Busy { until }) => Err(Trap::Busy { until }),
        }
    }

    /// ITADVANCE (DDI0403E A7.3.2).
    fn advance_it(&mut self) {
        self.it = if self.it & 7 == 0 { 0 } else { self.it & 0xE0 | self.it << 1 & 0x1F };
    }

    /// Past an instruction that raised an exception of its own (SVC).
    pub(super) fn leave_it(&mut self) {
        if self.it != 0 {
            self.advance_it();
        }
    }

    /// ConditionPassed (DDI0403E A7.3.1).
    pub(super) fn condition(&self, condition: u8) -> bool {
        let holds = match condition >> 1 & 7 {
            0 => self.z,
            1 => self.c,
            2 => self.n,
            3 => self.v,
            4 => self.c && !self.z,
            5 => self.n == self.v,
            6 => self.n == self.v && !self.z,
            _ => return true,
        };
        holds != (condition & 1 != 0)
    }

    /// A register of an instruction: SP keeps its two low bits at 0. PC never comes here.
    #[inline]
    pub(super) fn set(&mut self, register: u8, value: u32) {
        self.r[register as usize & 15] = if register == 13 { value & !3 } else { value };
    }

    /// ADD and MOV may name PC: BranchWritePC.
    pub(super) fn write_any(&mut self, register: u8, value: u32) -> Done {
        if register == 15 {
            return self.jump(value);
        }
        self.set(register, value);
        Ok(())
    }

    /// A taken branch.
    #[inline]
    pub(super) fn jump(&mut self, target: u32) -> Done {
        let target = target & !1;
        let here = self.r[15].wrapping_sub(4);
        if here.wrapping_sub(target) < LOOP_SPAN {
            self.turn();
        }
        self.pc = target;
        self.cycles += 1;
        Ok(())
    }

    /// A short backward branch.
    #[inline]
    fn turn(&mut self) {
        self.turns = self.turns.wrapping_add(1);
        if self.turns & TURNS <= LOOKS {
            self.attention = true;
            self.turning = true;
        }
    }

    /// BXWritePC and LoadWritePC: bit 0 is the Thumb state; in handler mode 0xFxxxxxxx returns from the exception.
    pub(super) fn interwork(&mut self, target: u32, may_return: bool) -> Done {
        if may_return && self.ipsr != 0 && target >> 28 == 0xF {
            self.returning = Some(target);
            self.attention = true;
            return Ok(());
        }
        if target & 1 == 0 {
            self.set_thumb(false);
        }
        self.jump(target)
    }

    // ---- data ----

    #[inline]
    pub(super) fn load(&mut self, bus: &mut Bus, address: u32, size: Size) -> Result<u32, Trap> {
        if address & (size as u32 - 1) == 0 { self.load_raw(bus, address, size) } else { self.load_unaligned(bus, address, size) }
    }

    #[cold]
    fn load_unaligned(&mut self, bus: &mut Bus, address: u32, size: Size) -> Result<u32, Trap> {
        self.may_be_unaligned(address)?;
        let mut value = 0;
        for k in 0..size as u32 {
            value |= self.load_raw(bus, address.wrapping_add(k), Size::Byte)? << (8 * k);
        }
        Ok(value)
    }

    #[inline]
    pub(super) fn store(&mut self, bus: &mut Bus, address: u32, size: Size, value: u32) -> Done {
        if address & (size as u32 - 1) == 0 {
            self.store_raw(bus, address, size, value)
        } else {
            self.store_unaligned(bus, address, size, value)
        }
    }

    #[cold]
    fn store_unaligned(&mut self, bus: &mut Bus, address: u32, size: Size, value: u32) -> Done {
        self.may_be_unaligned(address)?;
        for k in 0..size as u32 {
            self.store_raw(bus, address.wrapping_add(k), Size::Byte, value >> (8 * k) & 0xff)?;
        }
        Ok(())
    }

    /// LDM, LDRD, LDREX, VLDR and kin: never unaligned.
    #[inline]
    pub(super) fn load_aligned(&mut self, bus: &mut Bus, address: u32, size: Size) -> Result<u32, Trap> {
        if address & (size as u32 - 1) == 0 { self.load_raw(bus, address, size) } else { Err(Trap::Unaligned) }
    }

    #[inline]
    pub(super) fn store_aligned(&mut self, bus: &mut Bus, address: u32, size: Size, value: u32) -> Done {
        if address & (size as u32 - 1) == 0 { self.store_raw(bus, address, size, value) } else { Err(Trap::Unaligned) }
    }

    /// ARMv6-M never, ARMv7-M unless CCR.UNALIGN_TRP is set or the memory is device memory.
    fn may_be_unaligned(&self, address: u32) -> Done {
        const UNALIGN_TRP: u32 = 1 << 3;
        let refused = self.row.arch == Arch::V6M || self.ccr() & UNALIGN_TRP != 0 || device(address);
        if refused { Err(Trap::Unaligned) } else { Ok(()) }
    }

    /// What guards data accesses changed: all that the short way through `load_raw` and `store_raw` asks.
    pub(super) fn guards_changed(&mut self) {
        self.guarded = self.mpu_on || self.data_cached || self.watching;
    }

    #[inline]
    fn load_raw(&mut self, bus: &mut Bus, address: u32, size: Size) -> Result<u32, Trap> {
        if self.guarded { self.load_guarded(bus, address, size) } else { self.load_memory(bus, address, size) }
    }

    #[inline(always)]
    fn load_memory(&mut self, bus: &mut Bus, address: u32, size: Size) -> Result<u32, Trap> {
        if private(address) {
            return self.private_load(address, size);
        }
        self.cycles += self.wait_states(address);
        match bus.load_ram(address, size) {
            Some(value) => Ok(value),
            None => self.load_slow(bus, address, size),
        }
    }

    #[cold]
    fn load_guarded(&mut self, bus: &mut Bus, address: u32, size: Size) -> Result<u32, Trap> {
        self.mpu_check(address, Access::Read)?;
        let cached = if self.data_cached && !private(address) { self.cached_load(bus, address, size)? } else { None };
        let value = match cached {
            Some(value) => value,
            None => self.load_memory(bus, address, size)?,
        };
        if self.watching {
            self.watch(address, size, value, false);
        }
        Ok(value)
    }

    /// Flash may be busy, peripherals move by themselves.
    #[inline(never)]
    fn load_slow(&mut self, bus: &mut Bus, address: u32, size: Size) -> Result<u32, Trap> {
        if device(address) || bus.next_event().is_some() {
            self.bring_up(bus);
        }
        let answer = bus.read(address, size, Master::Core);
        self.hear_flash(bus);
        match answer {
            Err(BusError::Fault) if self.ignores_bus_faults() => Ok(0),
            answer => data(answer, address),
        }
    }

    #[inline]
    fn store_raw(&mut self, bus: &mut Bus, address: u32, size: Size, value: u32) -> Done {
        if self.guarded { self.store_guarded(bus, address, size, value) } else { self.store_memory(bus, address, size, value) }
    }

    #[inline(always)]
    fn store_memory(&mut self, bus: &mut Bus, address: u32, size: Size, value: u32) -> Done {
        if private(address) {
            return self.private_store(bus, address, size, value);
        }
        match bus.store_ram(address, size, value) {
            Some(changed) => {
                self.stores += u64::from(changed);
                self.decoded.forget(address);
                Ok(())
            }
            None => self.store_slow(bus, address, size, value),
        }
    }

    /// What goes into the data cache only, memory learns of later.
    #[cold]
    fn store_guarded(&mut self, bus: &mut Bus, address: u32, size: Size, value: u32) -> Done {
        self.mpu_check(address, Access::Write)?;
        let cached = self.data_cached && !private(address) && self.cached_store(bus, address, size, value)?;
        if !cached {
            self.store_memory(bus, address, size, value)?;
        }
        if self.watching {
            self.watch(address, size, value, true);
        }
        Ok(())
    }

    #[inline(never)]
    fn store_slow(&mut self, bus: &mut Bus, address: u32, size: Size, value: u32) -> Done {
        self.bring_up(bus);
        self.stores += 1;
        self.attention = true;
        match bus.write(address, size, value, Master::Core) {
            Err(BusError::Fault) if self.ignores_bus_faults() => Ok(()),
            Err(BusError::Fault) if self.buffers(address) => {
                self.store_failed();
                Ok(())
            }
            answer => data(answer, address),
        }
    }

    /// The private bus: only privileged code, in the widths that `read` knows.
    #[inline(never)]
    fn private_load(&mut self, address: u32, size: Size) -> Result<u32, Trap> {
        let answer = if self.privileged() && !self.unprivileged { self.read(address, size) } else { None };
        if clocked(address) {
            self.stores += 1;
        }
        if address & !3 == SYST_CSR {
            self.systick.seen();
        }
        match answer {
            Some(answer) => data(answer, address),
            None => Err(Trap::Data { address }),
        }
    }

    #[inline(never)]
    fn private_store(&mut self, bus: &mut Bus, address: u32, size: Size, value: u32) -> Done {
        const STIR: u32 = 0xE000_EF00;
        const USERSETMPEND: u32 = 1 << 1;
        let open = self.privileged() && !self.unprivileged || address == STIR && self.ccr() & USERSETMPEND != 0;
        let answer = if open { self.write(address, size, value) } else { None };
        self.stores += 1;
        self.attention = true;
        data(answer.unwrap_or(Err(BusError::Fault)), address)?;
        self.maintain(bus, address, value);
        Ok(())
    }

    /// Cycles that a load waits beyond its own.
    #[inline]
    pub(super) fn wait_states(&self, address: u32) -> u64 {
        self.waits[(address >> 24) as usize].into()
    }
}

/// Wait states by the top byte of the address. M0+: every load takes 2 cycles (Cortex-M0+ TRM 3.3). M7, assumed: 3 for AXI
/// SRAM, 9 for D1 peripherals, none where flash hits the cache.
pub(super) fn waits(arch: Arch) -> [u8; 256] {
    std::array::from_fn(|top| match (arch, top) {
        (Arch::V6M, _) => 1,
        (Arch::V7M, 0x24 | 0x30 | 0x38) => 2,
        (Arch::V7M, 0x40..=0x5F) => 8,
        (Arch::V7M, _) => 0,
    })
}

/// Backward branches up to this far are looked at for loops that only wait, bytes.
const LOOP_SPAN: u32 = 256;

const SYST_CSR: u32 = 0xE000_E010;

/// The core's private bus.
fn private(address: u32) -> bool {
    address >> 20 == 0xE00
}

/// Registers that move by themselves: SysTick's count, and the DWT's counters and PC sample.
fn clocked(address: u32) -> bool {
    matches!(address & !3, 0xE000_E018 | 0xE000_1004..=0xE000_101C)
}

fn data<T>(answer: Result<T, BusError>, address: u32) -> Result<T, Trap> {
    answer.map_err(|error| match error {
        BusError::Fault => Trap::Data { address },
        BusError::Busy { until } => Trap::Busy { until },
    })
}

/// What the MPU is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Execute,
}
