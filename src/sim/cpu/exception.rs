//! Exceptions: priorities, entry, return (ARM DDI0403 B1.5; DDI0419 B1.5).

use super::debug;
use super::exec::{Done, Trap};
use super::fault::{During, catch_bits};
use super::{Arch, Core, HARD_FAULT, NMI, SYSTICK, What, control, psr};
use crate::sim::bus::Bus;
use crate::sim::chip::{BusError, Ns, Size};

/// Nothing runs that could keep an interrupt away.
const LOWEST: i16 = 256;
/// Cycles of entry and return without wait states (Cortex-M4 and M7 TRM 12; M0+ 15 and 11), of a tail-chain.
const ENTRY: u64 = 12;
const RETURN: u64 = 10;
const TAIL_CHAIN: u64 = 6;

/// FPCCR (B3.2.21).
mod fpccr {
    pub const LSPACT: u32 = 1 << 0;
    pub const USER: u32 = 1 << 1;
    pub const THREAD: u32 = 1 << 3;
    pub const HFRDY: u32 = 1 << 4;
    pub const MMRDY: u32 = 1 << 5;
    pub const BFRDY: u32 = 1 << 6;
    pub const MONRDY: u32 = 1 << 8;
    pub const LSPEN: u32 = 1 << 30;
    pub const ASPEN: u32 = 1 << 31;
}
const FPCCR: u32 = 0xE000_EF34;
const FPCAR: u32 = 0xE000_EF38;
const FPDSCR: u32 = 0xE000_EF3C;
const CPACR: u32 = 0xE000_ED88;
const SCR: u32 = 0xE000_ED10;
const AIRCR: u32 = 0xE000_ED0C;

// ---- priorities ----

impl Core {
    /// The priority as written: -2, -1 or the register's byte.
    pub(super) fn priority(&self, number: u16) -> i16 {
        match number {
            1 => -3,
            NMI => -2,
            HARD_FAULT => -1,
            4..=15 => {
                let word = self.scs.peek(super::scs::SHPR1 + u32::from(number & !3) - 4).unwrap_or(0);
                (word >> (8 * (number & 3)) & 0xFF) as i16
            }
            _ => self.nvic.priority(number - 16).into(),
        }
    }

    /// The part of a priority that decides about preemption (AIRCR.PRIGROUP, B1.5.4).
    fn group(&self, priority: i16) -> i16 {
        if priority < 0 {
            return priority;
        }
        let prigroup = if self.row.arch == Arch::V7M { self.scs.peek(AIRCR).unwrap_or(0) >> 8 & 7 } else { 0 };
        // v6-M has two bits and no groups; PRIGROUP 0 leaves bits 7:1.
        priority & !((2 << prigroup) - 1)
    }

    pub(super) fn preempt_level(&self, number: u16) -> i16 {
        self.group(self.priority(number))
    }

    /// ExecutionPriority: of what is active, lowered by the masks.
    pub(super) fn execution_priority(&self) -> i16 {
        let active = self.active_priority();
        let base = if self.basepri != 0 { self.group(self.basepri as i16) } else { LOWEST };
        let masked = if self.faultmask != 0 {
            -1
        } else if self.primask != 0 {
            0
        } else {
            base
        };
        active.min(masked)
    }

    /// The priority of the most urgent active exception.
    fn active_priority(&self) -> i16 {
        let system = (2..16).filter(|number| self.active >> number & 1 == 1);
        system.chain(self.nvic.active_numbers()).map(|number| self.preempt_level(number)).min().unwrap_or(LOWEST)
    }

    pub(super) fn pend(&mut self, number: u16) {
        self.pending |= 1 << number;
        self.attention = true;
        self.notice_pending();
    }

    /// SCR.SEVONPEND: what becomes pending is an event.
    pub(super) fn notice_pending(&mut self) {
        const SEVONPEND: u32 = 1 << 4;
        if self.scs.peek(SCR).unwrap_or(0) & SEVONPEND != 0 {
            self.event = true;
        }
    }

    fn unpend(&mut self, number: u16) {
        match number {
            0..=15 => self.pending &= !(1 << number),
            _ => self.nvic.set_pending(number - 16, false),
        }
    }

    pub(super) fn is_active(&self, number: u16) -> bool {
        match number {
            0..=15 => self.active >> number & 1 == 1,
            _ => self.nvic.is_active(number - 16),
        }
    }

    fn set_active(&mut self, number: u16, active: bool) {
        match number {
            0..=15 => self.active = self.active & !(1 << number) | u16::from(active) << number,
            _ => self.nvic.set_active(number - 16, active),
        }
    }

    fn active_count(&self) -> u32 {
        self.active.count_ones() + self.nvic.active_count()
    }

    /// What is pending and enabled with the highest priority; the lower number wins a tie.
    pub(super) fn candidate(&self) -> Option<u16> {
        if self.pending == 0 && !self.nvic.any_ready() {
            return None;
        }
        let system = (2..16).filter(|number| self.pending >> number & 1 == 1);
        system.chain(self.nvic.ready_numbers()).min_by_key(|number| (self.priority(*number), *number))
    }

    /// RETTOBASE: no other exception is active than the one that runs.
    pub(super) fn returns_to_base(&self) -> bool {
        self.active_count() <= u32::from(self.ipsr != 0)
    }

    /// C_MASKINTS hides PendSV, SysTick and external interrupts.
    fn hidden(&self, number: u16) -> bool {
        number >= super::PENDSV && self.debug.masks_interrupts()
    }

    /// An exception that would be taken if PRIMASK were 0 (WFI, B1.5.19).
    pub(super) fn would_wake(&self) -> bool {
        let Some(number) = self.candidate() else { return false };
        let base = if self.basepri != 0 { self.group(self.basepri as i16) } else { LOWEST };
        let masked = if self.faultmask != 0 { -1 } else { base };
        !self.hidden(number) && self.preempt_level(number) < self.active_priority().min(masked)
    }

    /// Takes what is pending if it may preempt, or waits for a vector table in a busy bank. False: nothing to take.
    pub(super) fn take_exception(&mut self, bus: &mut Bus) -> bool {
        let Some(number) = self.candidate().filter(|number| !self.hidden(*number)) else { return false };
        if self.preempt_level(number) >= self.execution_priority() {
            return false;
        }
        match self.vector_busy(bus, number) {
            Some(until) => self.stall(bus, until),
            None => self.enter(bus, number),
        }
        true
    }

    /// The vector lies in a bank that is busy until then.
    pub(super) fn vector_busy(&self, bus: &mut Bus, number: u16) -> Option<Ns> {
        match self.read_seen(bus, self.vector_address(number), Size::Word) {
            Err(BusError::Busy { until }) => Some(until),
            _ => None,
        }
    }

    fn vector_address(&self, number: u16) -> u32 {
        self.scs.peek(super::scs::VTOR).unwrap_or(0).wrapping_add(4 * u32::from(number))
    }
}

// ---- entry ----

impl Core {
    /// ExceptionEntry. A stacking error leaves the frame as it is; the fault that it is comes first or stays pending.
    pub(super) fn enter(&mut self, bus: &mut Bus, number: u16) {
        self.cycles += ENTRY;
        self.bring_up(bus);
        let pushed = self.push_frame(bus);
        let extended = self.row.mvfr.is_some() && self.control & control::FPCA != 0;
        let from = match (self.ipsr != 0, self.control & control::SPSEL != 0) {
            (true, _) => 0x1,
            (false, false) => 0x9,
            (false, true) => 0xD,
        };
        let frame = if extended { 0xFFFF_FFE0 } else { 0xFFFF_FFF0 };
        let number = self.derived(pushed, number, During::Stacking);
        self.take(bus, number, frame | from);
    }

    /// A fault of the stacking itself: whichever of the two is more urgent is taken, the other stays pending. A fault
    /// that cannot preempt the one being entered is not escalated (Cortex-M3 TRM 5.12.1).
    fn derived(&mut self, outcome: Done, number: u16, during: During) -> u16 {
        let Err(trap) = outcome else { return number };
        let wanted = self.note(trap, during);
        let Some(fault) = self.escalate(wanted).filter(|fault| self.preempt_level(*fault) < self.preempt_level(number)) else {
            return number;
        };
        if number < 16 {
            self.pend(number);
        }
        fault
    }

    /// ExceptionTaken: `exc_return` goes to LR. A vector that cannot be read is a HardFault, or lockup.
    fn take(&mut self, bus: &mut Bus, number: u16, exc_return: u32) {
        let mut number = number;
        let vector = loop {
            match self.vector(bus, number) {
                Some(vector) => break vector,
                None => match self.vector_failed(number) {
                    Some(next) => number = next,
                    None => return self.lock_up(number),
                },
            }
        };
        self.happened(What::Entered { number, from: self.pc });
        self.unpend(number);
        self.set_active(number, true);
        self.change_mode(number, self.control & control::NPRIV);
        self.r[14] = exc_return;
        self.pc = vector & !1;
        self.set_thumb(vector & 1 == 1);
        self.it = 0;
        (self.exclusive, self.event, self.asleep) = (false, true, None);
        (self.partial, self.attention) = ((0, 0), true);
        let caught = catch_bits(number, std::mem::take(&mut self.noted));
        if self.debug.catches(caught) {
            self.halt(debug::VCATCH);
        }
    }

    /// One word of the vector table. A table in a bank that is busy is waited for.
    pub(super) fn vector(&mut self, bus: &mut Bus, number: u16) -> Option<u32> {
        let address = self.vector_address(number);
        loop {
            match self.read_seen(bus, address, Size::Word) {
                Ok(word) => return Some(word),
                Err(BusError::Fault) => return None,
                Err(BusError::Busy { until }) => self.wait_for(bus, until),
            }
        }
    }

    /// PushStack
    fn push_frame(&mut self, bus: &mut Bus) -> Done {
        const STKALIGN: u32 = 1 << 9;
        let extended = self.control & control::FPCA != 0 && self.row.mvfr.is_some();
        let forced = extended || self.ccr() & STKALIGN != 0;
        let sp = self.r[13];
        let padded = forced && sp & 4 != 0;
        let size = if extended { 0x68 } else { 0x20 };
        let frame = sp.wrapping_sub(size) & if forced { !7 } else { !3 };
        let psr = self.xpsr() & !(1 << 9) | u32::from(padded) << 9;
        let words = [self.r[0], self.r[1], self.r[2], self.r[3], self.r[12], self.r[14], self.pc, psr];
        self.r[13] = frame;
        let first = self.push_words(bus, frame, &words);
        let second = if extended { self.push_fp(bus, frame.wrapping_add(0x20)) } else { Ok(()) };
        first.and(second)
    }

    fn push_words(&mut self, bus: &mut Bus, at: u32, words: &[u32]) -> Done {
        let mut outcome = Ok(());
        self.stacking = true;
        for (index, word) in words.iter().enumerate() {
            outcome = outcome.and(self.store_waiting(bus, at.wrapping_add(4 * index as u32), *word));
        }
        self.stacking = false;
        outcome
    }

    /// Stacking cannot start again, so it waits.
    fn store_waiting(&mut self, bus: &mut Bus, address: u32, value: u32) -> Done {
        loop {
            match self.store(bus, address, Size::Word, value) {
                Err(Trap::Busy { until }) => self.wait_for(bus, until),
                outcome => return outcome,
            }
        }
    }

    fn load_waiting(&mut self, bus: &mut Bus, address: u32) -> Result<u32, Trap> {
        loop {
            match self.load(bus, address, Size::Word) {
                Err(Trap::Busy { until }) => self.wait_for(bus, until),
                outcome => return outcome,
            }
        }
    }

    /// Space for the FP registers, filled now or when the handler first uses them (B1.5.7).
    fn push_fp(&mut self, bus: &mut Bus, at: u32) -> Done {
        let old = self.scs.peek(FPCCR).unwrap_or(0);
        if old & fpccr::LSPEN == 0 {
            return self.push_fp_words(bus, at);
        }
        let ready = fpccr::HFRDY | fpccr::MMRDY | fpccr::BFRDY | fpccr::MONRDY;
        let user = if self.privileged() { 0 } else { fpccr::USER };
        let thread = if self.ipsr == 0 { fpccr::THREAD } else { 0 };
        self.scs.poke(FPCCR, old & (fpccr::ASPEN | fpccr::LSPEN) | ready | user | thread | fpccr::LSPACT);
        self.scs.poke(FPCAR, at & !7);
        Ok(())
    }

    fn push_fp_words(&mut self, bus: &mut Bus, at: u32) -> Done {
        let mut words = [0; 17];
        words[..16].copy_from_slice(&self.s[..16]);
        words[16] = self.fpscr;
        self.push_words(bus, at, &words)
    }

    fn set_lspact(&mut self, active: bool) {
        let old = self.scs.peek(FPCCR).unwrap_or(0);
        self.scs.poke(FPCCR, old & !fpccr::LSPACT | u32::from(active));
    }

    /// ExecuteFPCheck: access by CPACR, lazy state saved, FPCA set (B1.4.7).
    #[inline]
    pub(super) fn fp_ready(&mut self, bus: &mut Bus) -> Done {
        if self.fp_open { Ok(()) } else { self.fp_open_up(bus) }
    }

    #[cold]
    fn fp_open_up(&mut self, bus: &mut Bus) -> Done {
        let access = self.scs.peek(CPACR).unwrap_or(0) >> 20 & 0xF;
        if self.row.mvfr.is_none() || access == 0 || access == 0b0101 && !self.privileged() {
            return Err(Trap::NoCp);
        }
        let mode = self.scs.peek(FPCCR).unwrap_or(0);
        if mode & fpccr::LSPACT != 0 {
            let at = self.scs.peek(FPCAR).unwrap_or(0);
            self.set_lspact(false);
            if let Err(trap) = self.push_fp_words(bus, at) {
                let wanted = self.note(trap, During::LazyStacking);
                let fault = self.escalate(wanted).unwrap_or(HARD_FAULT);
                self.pend(fault);
            }
        }
        if mode & fpccr::ASPEN != 0 && self.control & control::FPCA == 0 {
            self.fpscr = self.scs.peek(FPDSCR).unwrap_or(0) & 0x07C0_0000;
            self.control |= control::FPCA;
        }
        // Until CPACR, CONTROL, FPCCR or the mode changes there is nothing to look at again.
        self.fp_open = access == 0xF;
        Ok(())
    }
}

// ---- return ----

impl Core {
    /// ExceptionReturn (B1.5.8).
    pub(super) fn exception_return(&mut self, bus: &mut Bus, exc_return: u32) {
        self.cycles += RETURN;
        self.bring_up(bus);
        let returning = self.ipsr;
        let was_active = self.is_active(returning);
        let nested = self.active_count();
        self.set_active(returning, false);
        if returning != NMI {
            self.faultmask = 0;
        }
        if !was_active || !self.allowed(exc_return, nested) {
            return self.refuse_return(bus, exc_return | 0xF000_0000);
        }
        if let Some(next) = self.chained().filter(|next| self.vector_busy(bus, *next).is_none()) {
            self.cycles -= RETURN - TAIL_CHAIN;
            return self.take(bus, next, exc_return);
        }
        self.unstack(bus, exc_return, nested == 1);
    }

    /// EXC_RETURN names a frame that can be there: reserved bits ones, FP frames with an FPU only, thread mode when
    /// nothing else is active (or NONBASETHRDENA).
    fn allowed(&self, exc_return: u32, nested: u32) -> bool {
        const NONBASETHRDENA: u32 = 1;
        let basic = exc_return & 1 << 4 != 0 || self.row.mvfr.is_some();
        let reserved = exc_return | 0x1F == u32::MAX;
        let base = match exc_return & 0xF {
            0x1 => nested > 1,
            0x9 | 0xD => nested == 1 || self.ccr() & NONBASETHRDENA != 0,
            _ => false,
        };
        basic && reserved && base
    }

    /// INVPC: the UsageFault is taken instead, on the frame that is there.
    fn refuse_return(&mut self, bus: &mut Bus, exc_return: u32) {
        let wanted = self.note(Trap::InvPc, During::Instruction);
        match self.escalate(wanted) {
            Some(number) => self.take(bus, number, exc_return),
            None => self.lock_up(self.ipsr),
        }
    }

    /// Another exception that would be taken at once after the return.
    fn chained(&self) -> Option<u16> {
        let number = self.candidate().filter(|number| !self.hidden(*number))?;
        (self.preempt_level(number) < self.execution_priority()).then_some(number)
    }

    fn unstack(&mut self, bus: &mut Bus, exc_return: u32, last: bool) {
        let to_thread = exc_return & 8 != 0;
        let spsel = if exc_return & 0xF == 0xD { control::SPSEL } else { 0 };
        let fpca = if exc_return & 1 << 4 == 0 { control::FPCA } else { 0 };
        let frame = if spsel != 0 { self.psp() } else { self.msp() };
        let extended = fpca != 0;
        let mut words = [0; 8];
        let outcome = self.pop_words(bus, frame, &mut words).and_then(|()| if extended { self.pop_fp(bus, frame) } else { Ok(()) });
        if let Err(trap) = outcome {
            return self.unstacking_failed(bus, trap, exc_return);
        }
        let psr = words[7];
        let size: u32 = if extended { 0x68 } else { 0x20 };
        let padding = if psr & 1 << 9 != 0 && (extended || self.ccr() & 1 << 9 != 0) { 4 } else { 0 };
        [self.r[0], self.r[1], self.r[2], self.r[3], self.r[12], self.r[14]] = [words[0], words[1], words[2], words[3], words[4], words[5]];
        // SP moves before the mode does: `frame` belongs to the stack that EXC_RETURN names.
        let sp = frame.wrapping_add(size) | padding;
        if spsel != 0 {
            self.set_psp(sp)
        } else {
            self.set_msp(sp)
        }
        let number = self.ipsr;
        self.set_xpsr(psr & !(1 << 9));
        self.change_mode(self.ipsr, self.control & control::NPRIV | spsel | fpca);
        self.set_thumb(psr & psr::T != 0);
        self.pc = words[6] & !1;
        self.happened(What::Returned { number, to: self.pc });
        (self.exclusive, self.event, self.attention) = (false, true, true);
        if to_thread != (self.ipsr == 0) {
            return self.wrong_mode(bus);
        }
        if last && to_thread && self.scs.peek(SCR).unwrap_or(0) & 2 != 0 {
            self.asleep = Some(false);
        }
    }

    /// The stacked IPSR must fit the mode returned to: INVPC on a frame of its own.
    fn wrong_mode(&mut self, bus: &mut Bus) {
        let wanted = self.note(Trap::InvPc, During::Instruction);
        match self.escalate(wanted) {
            Some(number) => self.enter(bus, number),
            None => self.lock_up(self.ipsr),
        }
    }

    /// The frame stays where it is; the fault is taken on it (B1.5.8).
    fn unstacking_failed(&mut self, bus: &mut Bus, trap: Trap, exc_return: u32) {
        let wanted = self.note(trap, During::Unstacking);
        match self.escalate(wanted) {
            Some(number) => self.take(bus, number, exc_return),
            None => self.lock_up(self.ipsr),
        }
    }

    fn pop_words(&mut self, bus: &mut Bus, at: u32, words: &mut [u32]) -> Done {
        for (index, word) in words.iter_mut().enumerate() {
            *word = self.load_waiting(bus, at.wrapping_add(4 * index as u32))?;
        }
        Ok(())
    }

    /// Lazily saved registers that nobody used are still there.
    fn pop_fp(&mut self, bus: &mut Bus, frame: u32) -> Done {
        if self.scs.peek(FPCCR).unwrap_or(0) & fpccr::LSPACT != 0 {
            self.set_lspact(false);
            return Ok(());
        }
        let mut words = [0; 17];
        self.pop_words(bus, frame.wrapping_add(0x20), &mut words)?;
        self.s[..16].copy_from_slice(&words[..16]);
        self.fpscr = words[16] & super::debug::FPSCR;
        Ok(())
    }
}

/// SysTick and the external interrupts are what C_MASKINTS hides, with PendSV before them.
const _: () = assert!(super::PENDSV + 1 == SYSTICK);
