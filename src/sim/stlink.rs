//! The firmware of an ST-Link: a state machine that takes bytes from the command endpoint and gives bytes on request.
//!
//! A command is a block of 16 bytes, zero padded, then at most one data phase, out or in. What firmware answers was seen
//! on real probes or is written down in the notes of hosts that talk to them; the rest is marked *assumed*. Commands that
//! came with a later firmware than this one's are answered as unknown ones.
//!
//! `out` takes chunks of any size, so packets may be split as a bus splits them; `input` gives the reply.

mod commands;

use super::chip::{Ns, Size};
use super::chips::Row;
use super::probes::{Firmware, Generation, Kind};
use super::time::MS;
use super::wire::{Access, Failure, IDR, Status, Wire};
use commands::{CSW, Command, INIT_AP, NEVER, Shape};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// GET_CURRENT_MODE's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Dfu = 0,
    Mass = 1,
    Debug = 2,
    Swim = 3,
    /// Its firmware is being written, or was not written whole.
    Bootloader = 4,
}

type Block = [u8; 16];

const READ_MAX: usize = 6144;
const WRITE_MAX: usize = 65_532;
/// The reference of F7's reply: a0, as a real V2 sent it; the voltage is 2 · a1 · 1.2 V / a0.
const VREF_COUNTS: u32 = 0x69B;

/// One command with everything that was said, for the board's trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// When its reply was ready.
    pub at: Ns,
    pub command: [u8; 16],
    pub data: Vec<u8>,
    pub reply: Vec<u8>,
}

impl fmt::Display for Exchange {
    /// Milliseconds, the command block without its padding, `> data`, `< reply`.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let used = self.command.iter().rposition(|byte| *byte != 0).map_or(1, |last| last + 1);
        write!(f, "{:.3} {}", self.at as f64 / MS as f64, hex(&self.command[..used]))?;
        for (sign, bytes) in [('>', &self.data), ('<', &self.reply)] {
            if !bytes.is_empty() {
                write!(f, " {sign} {}", hex(bytes))?;
            }
        }
        Ok(())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().join(" ")
}

/// The data phase of a command that is still to come.
struct Pending {
    block: Block,
    want: usize,
    data: Vec<u8>,
}

pub struct StLink {
    pub kind: &'static Kind,
    pub firmware: Firmware,
    pub wire: Wire,
    pub mode: Mode,
    pending: Option<Pending>,
    reply: Option<Vec<u8>>,
    /// What GETLASTRWSTATUS tells.
    last: Failure,
    batch: Vec<u8>,
    /// Open APs with the CSW that memory commands without one use.
    aps: BTreeMap<u8, u32>,
    /// It answers nothing any more until its power is cut.
    hung: bool,
    /// What arrived on SWO, and room for how much; `None`: not capturing.
    trace: Option<(VecDeque<u8>, usize)>,
    /// Every command since recording was turned on.
    pub log: Option<Vec<Exchange>>,
}

impl StLink {
    pub fn new(kind: &'static Kind, firmware: Firmware, row: &'static Row) -> StLink {
        StLink {
            kind,
            firmware,
            wire: Wire::new(row, kind.costs, kind.khz),
            mode: power_on_mode(kind),
            pending: None,
            reply: None,
            last: Failure { status: Status::OK, address: 0 },
            batch: Vec::new(),
            aps: BTreeMap::new(),
            hung: false,
            trace: None,
            log: None,
        }
    }

    /// The probe lost its power or the port was reset: it starts over, NRST floats high. The chip has its own supply.
    pub fn start_over(&mut self) {
        self.forget();
        self.hung = false;
        self.mode = power_on_mode(self.kind);
        self.wire.khz = self.kind.khz;
        self.wire.drive_nrst(false);
    }

    fn forget(&mut self) {
        self.pending = None;
        self.reply = None;
        self.last = Failure { status: Status::OK, address: 0 };
        self.batch.clear();
        self.aps.clear();
        self.trace = None;
    }

    /// Bytes from the host: a command block, or a part of the data phase that a command announced. A new command
    /// discards the reply of the one before, if the host did not fetch it.
    pub fn out(&mut self, bytes: &[u8]) {
        let Some(mut pending) = self.pending.take() else { return self.command(bytes) };
        pending.data.extend_from_slice(bytes);
        if pending.data.len() < pending.want {
            self.pending = Some(pending);
            return;
        }
        pending.data.truncate(pending.want);
        self.execute(pending.block, pending.data);
    }

    /// The host begins a transfer: a data phase that is still open was ended by a short packet. Its command is not begun.
    pub fn begin(&mut self) {
        if let Some(pending) = self.pending.take() {
            self.refused(Status::COMMAND, &pending.block, 0);
        }
    }

    /// A command waits for its data phase.
    pub fn receiving(&self) -> bool {
        self.pending.is_some()
    }

    /// The reply ends after so many bytes: what a test makes go wrong. False: there is none.
    pub fn cut(&mut self, len: usize) -> bool {
        self.reply.iter_mut().for_each(|reply| reply.truncate(len));
        self.reply.is_some()
    }

    /// At most `max` bytes of the reply; `None` while there is nothing to send.
    pub fn input(&mut self, max: usize) -> Option<Vec<u8>> {
        let mut reply = self.reply.take()?;
        if reply.len() > max {
            self.reply = Some(reply.split_off(max));
        }
        Some(reply)
    }

    /// Bytes of a reply that the host has not fetched.
    pub fn waiting(&self) -> usize {
        self.reply.as_ref().map_or(0, Vec::len)
    }

    /// Bytes that the trace endpoint has.
    pub fn traced(&self) -> usize {
        self.trace.as_ref().map_or(0, |(bytes, _)| bytes.len())
    }

    /// What arrived on SWO, from the trace endpoint.
    pub fn trace_input(&mut self, max: usize) -> Vec<u8> {
        let Some((bytes, _)) = &mut self.trace else { return Vec::new() };
        bytes.drain(..max.min(bytes.len())).collect()
    }

    /// The chip's SWO pin sent this; what does not fit is lost.
    pub fn swo(&mut self, sent: &[u8]) {
        if let Some((bytes, room)) = &mut self.trace {
            bytes.extend(&sent[..sent.len().min(*room - bytes.len())]);
        }
    }

    fn command(&mut self, bytes: &[u8]) {
        let mut block = [0; 16];
        let used = bytes.len().min(16);
        block[..used].copy_from_slice(&bytes[..used]);
        self.reply = None;
        match self.data_out(&block) {
            0 => self.execute(block, Vec::new()),
            want => self.pending = Some(Pending { block, want, data: Vec::new() }),
        }
    }

    /// How many bytes the host will send behind this block. Also for commands that this firmware does not have, so that
    /// the data is not taken for commands (assumed). No batch of any firmware is longer than `WRITE_MAX`.
    fn data_out(&self, block: &Block) -> usize {
        match (block[0], commands::find(block[1])) {
            (0xF2, Some(Command { shape: Shape::Write, .. })) => usize::from(half(block, 6)),
            (0xF2, Some(Command { shape: Shape::Batch, .. })) => {
                commands::batch_bytes(word(block, 2)).filter(|len| *len <= WRITE_MAX).unwrap_or(0)
            }
            _ => 0,
        }
    }

    fn execute(&mut self, block: Block, data: Vec<u8>) {
        let reply = match block[0] {
            _ if self.hung => None,
            0xF2 => self.debug(&block, &data),
            _ => {
                self.spend(block[0] != 0xF3 && block[0] != 0xF4);
                self.general(&block)
            }
        };
        if let Some(log) = &mut self.log {
            log.push(Exchange { at: self.wire.now, command: block, data, reply: reply.clone().unwrap_or_default() });
        }
        self.reply = reply;
    }

    fn spend(&mut self, data_phase: bool) {
        self.wire.pass(if data_phase { self.kind.costs.command } else { self.kind.costs.silent });
    }

    /// Commands that every mode knows. A block that is no command gets no answer (assumed).
    fn general(&mut self, block: &Block) -> Option<Vec<u8>> {
        let id = [self.kind.vid.to_le_bytes(), self.kind.pid.to_le_bytes()].concat();
        match block[..2] {
            [0xF1, _] => Some([&self.firmware.short()[..], &id].concat()),
            [0xFB, _] if self.kind.generation == Generation::V3 => {
                let Firmware { major, jtag, mass, bridge, swim } = self.firmware;
                Some([&[major, swim, jtag, mass, bridge, 0, 0, 0][..], &id].concat())
            }
            // The second byte in DFU mode is as a V2J16 sent it.
            [0xF5, _] => Some(vec![self.mode as u8, u8::from(self.mode == Mode::Dfu)]),
            [0xF7, _] if self.has((13, 0)) => Some(self.voltage()),
            [0xF3, 0x07] => self.leave(Mode::Dfu),
            [0xF4, 0x00] => {
                self.mode = Mode::Swim;
                None
            }
            [0xF4, 0x01] => self.leave(Mode::Swim),
            _ => None,
        }
    }

    /// Out of `from`, if that is the mode; nothing is answered.
    fn leave(&mut self, from: Mode) -> Option<Vec<u8>> {
        if self.mode == from {
            self.mode = Mode::Mass;
        }
        None
    }

    /// Not measured in DFU mode: all zero (assumed).
    fn voltage(&self) -> Vec<u8> {
        let counts = (self.wire.volts() * VREF_COUNTS as f32 / 2.4).round() as u32;
        let (a0, a1) = if self.mode == Mode::Dfu { (0, 0) } else { (VREF_COUNTS, counts) };
        [a0.to_le_bytes(), a1.to_le_bytes()].concat()
    }

    /// An unknown command gets a status of two bytes; so does any while the firmware is not running (assumed).
    fn debug(&mut self, block: &Block, data: &[u8]) -> Option<Vec<u8>> {
        let command = commands::find(block[1]);
        self.spend(command.is_none_or(|command| command.shape != Shape::Nothing));
        let Some(command) = command.filter(|command| self.has(command.since) && self.mode != Mode::Dfu) else {
            return Some(vec![Status::UNKNOWN.0, 0]);
        };
        let answer = if command.entered && self.mode != Mode::Debug { Err(Status::COMMAND) } else { (command.run)(self, block, data) };
        self.reply_to(command.shape, block, answer)
    }

    fn reply_to(&mut self, shape: Shape, block: &Block, answer: Result<Vec<u8>, Status>) -> Option<Vec<u8>> {
        match shape {
            Shape::Nothing => None,
            Shape::Reply(len) => Some(match answer {
                Ok(bytes) => bytes,
                Err(status) => padded(status, &[], len.max(2)),
            }),
            Shape::Read => {
                let len = usize::from(half(block, 6));
                let bytes = answer.unwrap_or_else(|status| self.refused(status, block, len));
                Some(if len == 1 { [&bytes[..], &[0]].concat() } else { bytes })
            }
            Shape::Write | Shape::Batch => {
                answer.unwrap_or_else(|status| self.refused(status, block, 0));
                None
            }
        }
    }

    /// A memory command that was not begun: its length is honoured, its status kept.
    fn refused(&mut self, status: Status, block: &Block, len: usize) -> Vec<u8> {
        self.last = Failure { status, address: word(block, 2) };
        vec![0; len]
    }

    fn has(&self, since: (u8, u8)) -> bool {
        let since = match self.kind.generation {
            Generation::V2 => since.0,
            Generation::V3 => since.1,
        };
        self.firmware.jtag >= since && since != NEVER
    }

    /// The CSW (bits 31:8) for memory behind `ap`. From INIT_AP on an AP must be open; before, any is opened silently.
    fn ap(&mut self, ap: u8) -> Result<u32, Status> {
        match self.aps.get(&ap) {
            Some(csw) => Ok(*csw),
            None if self.has(INIT_AP) => Err(Status::BAD_AP),
            None => self.open(ap),
        }
    }

    /// Memory commands that carry no CSW use the one the AP had when it was opened (assumed).
    fn open(&mut self, ap: u8) -> Result<u32, Status> {
        if self.wire.ap_read(ap, IDR)? == 0 {
            return Err(Status::BAD_AP);
        }
        let csw = self.wire.ap_read(ap, 0)? & !0xFF;
        self.aps.insert(ap, csw);
        Ok(csw)
    }

    /// AP and CSW of a memory command; firmware before `CSW` knows AP 0 only and does not look.
    fn access(&mut self, block: &Block, size: Size, increment: bool) -> Result<Access, Status> {
        let (ap, csw) = if self.has(CSW) { (block[8], word(block, 8) & !0xFF) } else { (0, 0) };
        let own = self.ap(ap)?;
        let csw = if csw == 0 { own } else { csw };
        Ok(Access { ap, csw, address: word(block, 2), size, increment })
    }

    /// Length and alignment rules: what breaks them is not begun (the status is assumed).
    fn checked(&self, access: &Access, len: usize, max: usize) -> Result<(), Status> {
        let size = access.size as usize;
        let max = match access.size {
            Size::Byte if self.has((NEVER, 6)) => 512,
            Size::Byte => 64,
            _ => max,
        };
        if len > max {
            return Err(Status::COMMAND);
        }
        let aligned = len.is_multiple_of(size) && (access.address as usize).is_multiple_of(size);
        if aligned { Ok(()) } else { Err(Status::ALIGNMENT) }
    }

    fn keep(&mut self, outcome: Result<(), Failure>) {
        self.last = outcome.err().unwrap_or(Failure { status: Status::OK, address: 0 });
    }

    fn read_mem(&mut self, block: &Block, size: Size, increment: bool) -> Result<Vec<u8>, Status> {
        let access = self.access(block, size, increment)?;
        let mut bytes = vec![0; usize::from(half(block, 6))];
        self.checked(&access, bytes.len(), READ_MAX)?;
        let outcome = self.wire.read_block(access, &mut bytes);
        self.keep(outcome);
        Ok(bytes)
    }

    fn write_mem(&mut self, block: &Block, data: &[u8], size: Size, increment: bool) -> Result<Vec<u8>, Status> {
        let access = self.access(block, size, increment)?;
        self.checked(&access, data.len(), WRITE_MAX)?;
        self.wire.waited = false;
        let outcome = self.wire.write_block(access, data);
        self.keep(outcome);
        // A V3 before J10 stops answering when it meets WAIT in a write at its fastest clock (seen by psdb's authors).
        self.hung |= self.wire.waited && self.wire.khz > 8000 && !self.has((0, 10));
        Ok(Vec::new())
    }
}

fn power_on_mode(kind: &Kind) -> Mode {
    // A V2 starts in DFU mode (seen); with a mass storage part the running firmware is its start (assumed).
    if kind.mass_storage { Mode::Mass } else { Mode::Dfu }
}

fn half(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// Status, then zeros up to byte 4, then the words; `len` bytes in all.
fn padded(status: Status, words: &[u32], len: usize) -> Vec<u8> {
    let mut reply = vec![status.0, 0, 0, 0];
    reply.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    reply.resize(len, 0);
    reply
}
