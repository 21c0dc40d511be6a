//! A serial port (RM0433 51, 52; RM0444 33, 34): bytes leave and arrive at the baud rate, with FIFOs or without.
//!
//! Assumed: the port's clock is its bus clock, a frame is a start bit, 8 data bits and a stop bit, and the other end
//! has the same rate. Not modelled: parity, flow control, DMA, synchronous and smartcard modes.

use super::super::periph::{Block, Periph, Unit};
use super::Ns;
use super::clock::Clocks;
use std::collections::VecDeque;

const CR1: u32 = 0x00;
const CR3: u32 = 0x08;
const BRR: u32 = 0x0C;
const RQR: u32 = 0x18;
const ISR: u32 = 0x1C;
const ICR: u32 = 0x20;
const RDR: u32 = 0x24;
const TDR: u32 = 0x28;
const PRESC: u32 = 0x2C;

mod cr1 {
    pub const UE: u32 = 1 << 0;
    pub const RE: u32 = 1 << 2;
    pub const TE: u32 = 1 << 3;
    /// Enable bits that stand where their flags do in ISR: IDLE, RXNE, TC, TXE.
    pub const FLAGS: u32 = 0xF0;
    pub const RXNEIE: u32 = 1 << 5;
    pub const OVER8: u32 = 1 << 15;
    pub const FIFOEN: u32 = 1 << 29;
}
const EIE: u32 = 1;

mod isr {
    pub const ORE: u32 = 1 << 3;
    pub const IDLE: u32 = 1 << 4;
    pub const RXNE: u32 = 1 << 5;
    pub const TC: u32 = 1 << 6;
    pub const TXE: u32 = 1 << 7;
    pub const TEACK: u32 = 1 << 21;
    pub const REACK: u32 = 1 << 22;
    pub const TXFE: u32 = 1 << 23;
}

mod rqr {
    pub const RXFRQ: u32 = 1 << 3;
    pub const TXFRQ: u32 = 1 << 4;
}

/// PRESC (RM0433 51.8.14).
const PRESCALERS: [u64; 16] = [1, 2, 4, 6, 8, 10, 12, 16, 32, 64, 128, 256, 256, 256, 256, 256];
const BITS: u64 = 10;
const SECOND: u64 = 1_000_000_000;

/// What a serial port that nobody reads keeps: the latest so many bytes.
pub const SENT: usize = 0x1_0000;

pub struct Uart {
    pub block: &'static Block,
    /// Written to TDR and not yet on the line.
    out: VecDeque<u8>,
    /// The byte on the line, and when its stop bit is over.
    leaving: Option<(u8, Ns)>,
    /// What left, until somebody asks.
    sent: Vec<u8>,
    /// Received, for RDR.
    received: VecDeque<u8>,
    /// What the other end sends, and when the first of it is here.
    coming: VecDeque<u8>,
    arrives: Option<Ns>,
    /// When the line has been quiet for a frame.
    quiet: Option<Ns>,
    /// Of ISR: ORE, IDLE and TC, which stay until they are cleared.
    flags: u32,
    /// Time of one frame.
    frame: Option<Ns>,
}

impl Uart {
    pub fn new(block: &'static Block) -> Uart {
        Uart {
            block,
            out: VecDeque::new(),
            leaving: None,
            sent: Vec::new(),
            received: VecDeque::new(),
            coming: VecDeque::new(),
            arrives: None,
            quiet: None,
            flags: isr::TC,
            frame: None,
        }
    }

    /// With the chip, or by UE = 0: what was sent stays, what the other end sends goes on.
    pub fn reset(&mut self) {
        self.out.clear();
        self.received.clear();
        (self.leaving, self.quiet, self.flags) = (None, None, isr::TC);
    }

    fn reg(&self, regs: &Periph, offset: u32) -> u32 {
        regs.peek(self.block.base + offset).unwrap_or(0)
    }

    fn on(&self, regs: &Periph, bit: u32) -> bool {
        let bits = cr1::UE | bit;
        self.reg(regs, CR1) & bits == bits
    }

    /// How many bytes each direction holds.
    fn depth(&self, regs: &Periph) -> usize {
        match self.block.unit {
            Unit::Uart { fifo, .. } if self.reg(regs, CR1) & cr1::FIFOEN != 0 => fifo.into(),
            _ => 1,
        }
    }

    /// The time of one frame, from the registers and the clocks. BRR below 16 (of a low-power port 0x300) makes no rate
    /// (RM0433 51.5.7, 52.4.7).
    pub fn set_rate(&mut self, regs: &Periph, clocks: &Clocks) {
        let Unit::Uart { clock, low, .. } = self.block.unit else { return };
        let (brr, over8) = (u64::from(self.reg(regs, BRR)), self.reg(regs, CR1) & cr1::OVER8 != 0);
        let hz = clocks.apb(clock) / PRESCALERS[self.reg(regs, PRESC) as usize & 0xF];
        let (times, divider, least) = match (low, over8) {
            (true, _) => (256, brr, 0x300),
            (false, true) => (2, brr & 0xFFF0 | (brr & 7) << 1, 16),
            (false, false) => (1, brr, 16),
        };
        self.frame = (divider >= least && hz > 0).then(|| BITS * SECOND * divider / (hz * times));
    }

    /// When a byte has left or arrived, or the line is quiet.
    pub fn due(&self) -> Option<Ns> {
        let left = self.leaving.map(|(_, at)| at);
        [left, self.arrives, self.quiet].into_iter().flatten().min()
    }

    /// Bytes up to `now`. True: something changed.
    pub fn advance(&mut self, regs: &Periph, now: Ns) -> bool {
        let mut changed = false;
        while let Some(at) = self.due().filter(|at| *at <= now) {
            changed = true;
            if let Some((byte, _)) = self.leaving.take_if(|(_, end)| *end == at) {
                self.left(byte);
                self.load(at);
            } else if self.arrives == Some(at) {
                self.arrived(regs, at);
            } else {
                self.quiet = None;
                self.flags |= isr::IDLE;
            }
        }
        changed
    }

    fn left(&mut self, byte: u8) {
        self.sent.push(byte);
        if self.sent.len() > 2 * SENT {
            self.sent.drain(..self.sent.len() - SENT);
        }
        if self.out.is_empty() {
            self.flags |= isr::TC;
        }
    }

    /// The next byte goes onto the line, if there is a baud rate.
    fn load(&mut self, now: Ns) {
        if let (None, Some(frame)) = (self.leaving, self.frame) {
            self.leaving = self.out.pop_front().map(|byte| (byte, now + frame));
        }
    }

    fn arrived(&mut self, regs: &Periph, at: Ns) {
        let byte = self.coming.pop_front();
        self.arrives = if self.coming.is_empty() { None } else { self.frame.map(|frame| at + frame) };
        if !self.on(regs, cr1::RE) {
            return;
        }
        self.quiet = self.frame.filter(|_| self.arrives.is_none()).map(|frame| at + frame);
        match byte {
            Some(_) if self.received.len() >= self.depth(regs) => self.flags |= isr::ORE,
            byte => self.received.extend(byte),
        }
    }

    /// The other end sends. False: the receiver is off, or has no baud rate.
    pub fn receive(&mut self, regs: &Periph, bytes: &[u8], now: Ns) -> bool {
        let Some(frame) = self.frame.filter(|_| self.on(regs, cr1::RE)) else { return false };
        self.coming.extend(bytes);
        if !self.coming.is_empty() {
            self.arrives = self.arrives.or(Some(now + frame));
            self.quiet = None;
        }
        true
    }

    /// After a write; `set_rate` went before.
    pub fn wrote(&mut self, regs: &Periph, offset: u32, value: u32, now: Ns) {
        match offset {
            CR1 if value & cr1::UE == 0 => self.reset(),
            TDR if self.on(regs, cr1::TE) => {
                // What did not leave yet is overwritten when there is no room.
                if self.out.len() >= self.depth(regs) {
                    self.out.pop_back();
                }
                self.out.push_back(value as u8);
                self.flags &= !isr::TC;
            }
            ICR => self.flags &= !(value & (isr::ORE | isr::IDLE | isr::TC)),
            RQR => {
                if value & rqr::RXFRQ != 0 {
                    self.received.clear();
                }
                if value & rqr::TXFRQ != 0 {
                    self.out.clear();
                }
            }
            _ => {}
        }
        self.load(now);
    }

    /// Somebody read this address: RDR gives a byte away.
    pub fn took(&mut self, address: u32) -> bool {
        address & !3 == self.block.base + RDR && self.received.pop_front().is_some()
    }

    pub fn read(&self, regs: &Periph, offset: u32, plain: u32) -> u32 {
        match offset {
            ISR => self.status(regs),
            RDR => self.received.front().copied().unwrap_or(0).into(),
            _ => plain,
        }
    }

    /// USART_ISR; the acknowledges follow their enable bits.
    fn status(&self, regs: &Periph) -> u32 {
        let when = |holds: bool, flag: u32| if holds { flag } else { 0 };
        self.flags
            | when(self.out.len() < self.depth(regs), isr::TXE)
            | when(!self.received.is_empty(), isr::RXNE)
            | when(self.on(regs, cr1::TE), isr::TEACK)
            | when(self.on(regs, cr1::RE), isr::REACK)
            | when(self.reg(regs, CR1) & cr1::FIFOEN != 0 && self.out.is_empty(), isr::TXFE)
    }

    /// Flags that interrupt.
    pub fn pending(&self, regs: &Periph) -> u32 {
        let (cr1, status) = (self.reg(regs, CR1), self.status(regs));
        if cr1 & cr1::UE == 0 {
            return 0;
        }
        let errors = if cr1 & cr1::RXNEIE != 0 || self.reg(regs, CR3) & EIE != 0 { isr::ORE } else { 0 };
        status & (cr1 & cr1::FLAGS | errors)
    }

    pub fn take_sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }
}
