//! The firmware of an ST-Link: a state machine that takes bytes from the command endpoint and gives bytes on request.
//!
//! A command is a block of 16 bytes, zero padded, then at most one data phase, out or in. What firmware answers was seen
//! on real probes or is written down in the notes of hosts that talk to them; the rest is marked *assumed*. Commands that
//! came with a later firmware than this one's are answered as unknown ones.
//!
//! `out` takes chunks of any size, so packets may be split as a bus splits them; `input` gives the reply.

use super::chip::{Ns, Size};
use super::chips::Row;
use super::probes::{Firmware, Generation, Kind};
use super::time::{MS, NRST_PULSE};
use super::wire::{Access, Failure, IDR, Status, Wire};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// GET_CURRENT_MODE's first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Dfu = 0,
    Mass = 1,
    Debug = 2,
    Swim = 3,
}

type Block = [u8; 16];

/// What follows the command block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A reply of this many bytes, the first of them the status.
    Reply(usize),
    /// As many raw bytes as bytes 6 and 7 say; the status is kept for GETLASTRWSTATUS.
    Read,
    /// As many bytes out; the status is kept.
    Write,
    /// The opcodes and values of a batch.
    Batch,
    Nothing,
}

type Handler = fn(&mut StLink, &Block, &[u8]) -> Result<Vec<u8>, Status>;

/// One debug command (F2 `op`).
struct Command {
    op: u8,
    shape: Shape,
    /// The JTAG firmware number it came with, V2 and V3.
    since: (u8, u8),
    /// Only after ENTER.
    entered: bool,
    run: Handler,
}

const ALL: (u8, u8) = (0, 0);
const NEVER: u8 = u8::MAX;
/// Banked DP registers, AP and CSW in memory commands, RW_MISC.
const CSW: (u8, u8) = (32, 2);
/// An AP must be opened by INIT_AP.
const INIT_AP: (u8, u8) = (28, 0);

const COMMANDS: &[Command] = &[
    Command { op: 0x07, shape: Shape::Read, since: ALL, entered: true, run: read_32 },
    Command { op: 0x08, shape: Shape::Write, since: ALL, entered: true, run: write_32 },
    Command { op: 0x0C, shape: Shape::Read, since: ALL, entered: true, run: read_8 },
    Command { op: 0x0D, shape: Shape::Write, since: ALL, entered: true, run: write_8 },
    Command { op: 0x21, shape: Shape::Nothing, since: ALL, entered: false, run: exit },
    Command { op: 0x30, shape: Shape::Reply(2), since: ALL, entered: false, run: enter },
    Command { op: 0x31, shape: Shape::Reply(12), since: ALL, entered: true, run: read_idcodes },
    Command { op: 0x32, shape: Shape::Reply(2), since: ALL, entered: true, run: reset_sys },
    Command { op: 0x33, shape: Shape::Reply(8), since: ALL, entered: true, run: read_reg },
    Command { op: 0x34, shape: Shape::Reply(2), since: ALL, entered: true, run: write_reg },
    Command { op: 0x35, shape: Shape::Reply(2), since: ALL, entered: true, run: write_debug_reg },
    Command { op: 0x36, shape: Shape::Reply(8), since: ALL, entered: true, run: read_debug_reg },
    Command { op: 0x3A, shape: Shape::Reply(88), since: ALL, entered: true, run: read_all_regs },
    Command { op: 0x3B, shape: Shape::Reply(2), since: ALL, entered: false, run: last_status },
    Command { op: 0x3C, shape: Shape::Reply(2), since: ALL, entered: false, run: drive_nrst },
    Command { op: 0x3E, shape: Shape::Reply(12), since: (15, 0), entered: false, run: last_status_and_address },
    Command { op: 0x40, shape: Shape::Reply(2), since: (13, 0), entered: false, run: start_trace },
    Command { op: 0x41, shape: Shape::Reply(2), since: (13, 0), entered: false, run: stop_trace },
    Command { op: 0x42, shape: Shape::Reply(2), since: (13, 0), entered: false, run: trace_count },
    Command { op: 0x43, shape: Shape::Reply(2), since: (22, NEVER), entered: false, run: set_divisor },
    Command { op: 0x44, shape: Shape::Reply(2), since: (24, NEVER), entered: false, run: set_jtag_divisor },
    Command { op: 0x45, shape: Shape::Reply(8), since: (24, 0), entered: true, run: read_dap },
    Command { op: 0x46, shape: Shape::Reply(2), since: (24, 0), entered: true, run: write_dap },
    Command { op: 0x47, shape: Shape::Read, since: (26, 0), entered: true, run: read_16 },
    Command { op: 0x48, shape: Shape::Write, since: (26, 0), entered: true, run: write_16 },
    Command { op: 0x4B, shape: Shape::Reply(2), since: INIT_AP, entered: true, run: init_ap },
    Command { op: 0x4C, shape: Shape::Reply(2), since: INIT_AP, entered: true, run: close_ap },
    Command { op: 0x50, shape: Shape::Write, since: (26, 0), entered: true, run: write_32_fixed },
    Command { op: 0x51, shape: Shape::Batch, since: CSW, entered: true, run: batch_out },
    Command { op: 0x52, shape: Shape::Reply(0), since: CSW, entered: true, run: batch_in },
    Command { op: 0x53, shape: Shape::Reply(8), since: CSW, entered: false, run: batch_items },
    Command { op: 0x54, shape: Shape::Read, since: CSW, entered: true, run: read_32_fixed },
    Command { op: 0x61, shape: Shape::Reply(8), since: (NEVER, 0), entered: false, run: set_com_freq },
    Command { op: 0x62, shape: Shape::Reply(52), since: (NEVER, 0), entered: false, run: com_freqs },
];

/// SWD clock, kHz, by the divisor of SWD_SET_FREQ. Other divisors are delay loops too: 4000 / (divisor + 1), fitted to these.
const DIVISORS: &[(u16, u32)] =
    &[(0, 4000), (1, 1800), (2, 1200), (3, 950), (7, 480), (15, 240), (31, 125), (40, 100), (79, 50), (158, 25), (265, 15), (798, 5)];

/// SWD clocks of a V3, kHz, as an STLINK-V3 listed them.
const V3_CLOCKS: &[u32] = &[24_000, 8_000, 3_300, 1_000, 200, 50, 5];

// Core debug registers (ARM DDI0403 C1.6).
const DHCSR: u32 = 0xE000_EDF0;
const DCRSR: u32 = 0xE000_EDF4;
const DCRDR: u32 = 0xE000_EDF8;
const S_REGRDY: u32 = 1 << 16;
const DCRSR_WRITE: u32 = 1 << 16;
const AIRCR: u32 = 0xE000_ED0C;
const SYSRESETREQ: u32 = 0x05FA_0004;
/// Reads of DHCSR until a core that is not halted is given up. Assumed.
const REGRDY_TRIES: u32 = 16;
/// R0 to R15, xPSR, MSP, PSP, then CONTROL/FAULTMASK/BASEPRI/PRIMASK; the 21st word is not understood and sent as 0.
const ALL_REGS: std::ops::RangeInclusive<u8> = 0..=0x12;
const SPECIAL: u8 = 0x14;

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
            trace: None,
            log: None,
        }
    }

    /// The probe lost its power or the port was reset: it starts over, NRST floats high. The chip has its own supply.
    pub fn start_over(&mut self) {
        self.forget();
        self.mode = power_on_mode(self.kind);
        self.wire.khz = self.kind.khz;
        self.wire.chip.nrst(false);
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
        match (block[0], debug_command(block[1])) {
            (0xF2, Some(Command { shape: Shape::Write, .. })) => usize::from(half(block, 6)),
            (0xF2, Some(Command { shape: Shape::Batch, .. })) => batch_bytes(word(block, 2)).filter(|len| *len <= WRITE_MAX).unwrap_or(0),
            _ => 0,
        }
    }

    fn execute(&mut self, block: Block, data: Vec<u8>) {
        let reply = match block[0] {
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
        let counts = (self.wire.chip.volts() * VREF_COUNTS as f32 / 2.4).round() as u32;
        let (a0, a1) = if self.mode == Mode::Dfu { (0, 0) } else { (VREF_COUNTS, counts) };
        [a0.to_le_bytes(), a1.to_le_bytes()].concat()
    }

    /// An unknown command gets a status of two bytes; so does any while the firmware is not running (assumed).
    fn debug(&mut self, block: &Block, data: &[u8]) -> Option<Vec<u8>> {
        let command = debug_command(block[1]);
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
        match () {
            () if len > max => Err(Status::COMMAND),
            () if !len.is_multiple_of(size) || !(access.address as usize).is_multiple_of(size) => Err(Status::ALIGNMENT),
            () => Ok(()),
        }
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
        let outcome = self.wire.write_block(access, data);
        self.keep(outcome);
        Ok(Vec::new())
    }

    /// A word of the core's own space, through AP 0.
    fn core(&mut self, address: u32) -> Result<Access, Status> {
        let csw = self.ap(0)?;
        Ok(Access { ap: 0, csw, address, size: Size::Word, increment: true })
    }

    fn core_read(&mut self, address: u32) -> Result<u32, Status> {
        let access = self.core(address)?;
        self.wire.read_word(access).map_err(|failure| failure.status)
    }

    fn core_write(&mut self, address: u32, value: u32) -> Result<(), Status> {
        let access = self.core(address)?;
        self.wire.write_word(access, value).map_err(|failure| failure.status)
    }

    /// A core that is not halted never says S_REGRDY: FAULT then (assumed).
    fn register_ready(&mut self) -> Result<(), Status> {
        for _ in 0..REGRDY_TRIES {
            if self.core_read(DHCSR)? & S_REGRDY != 0 {
                return Ok(());
            }
        }
        Err(Status::FAULT)
    }

    fn register(&mut self, number: u8) -> Result<u32, Status> {
        self.core_write(DCRSR, u32::from(number))?;
        self.register_ready()?;
        self.core_read(DCRDR)
    }

    fn batch_max(&self) -> usize {
        match self.kind.generation {
            Generation::V2 => 64,
            Generation::V3 => 1227,
        }
    }
}

fn power_on_mode(kind: &Kind) -> Mode {
    // A V2 starts in DFU mode (seen); with a mass storage part the running firmware is its start (assumed).
    if kind.mass_storage { Mode::Mass } else { Mode::Dfu }
}

fn debug_command(op: u8) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.op == op)
}

fn half(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

fn word(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

/// Opcodes padded to a word, then a value each.
fn batch_bytes(items: u32) -> Option<usize> {
    let opcodes = items.checked_next_multiple_of(4)?;
    usize::try_from(items.checked_mul(4)?.checked_add(opcodes)?).ok()
}

/// Status, then zeros up to byte 4, then the words; `len` bytes in all.
fn padded(status: Status, words: &[u32], len: usize) -> Vec<u8> {
    let mut reply = vec![status.0, 0, 0, 0];
    reply.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    reply.resize(len, 0);
    reply
}

fn done() -> Result<Vec<u8>, Status> {
    Ok(padded(Status::OK, &[], 2))
}

fn read_32(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    link.read_mem(block, Size::Word, true)
}

fn read_32_fixed(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    link.read_mem(block, Size::Word, false)
}

fn read_16(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    link.read_mem(block, Size::Half, true)
}

fn read_8(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    link.read_mem(block, Size::Byte, true)
}

fn write_32(link: &mut StLink, block: &Block, data: &[u8]) -> Result<Vec<u8>, Status> {
    link.write_mem(block, data, Size::Word, true)
}

fn write_32_fixed(link: &mut StLink, block: &Block, data: &[u8]) -> Result<Vec<u8>, Status> {
    link.write_mem(block, data, Size::Word, false)
}

fn write_16(link: &mut StLink, block: &Block, data: &[u8]) -> Result<Vec<u8>, Status> {
    link.write_mem(block, data, Size::Half, true)
}

fn write_8(link: &mut StLink, block: &Block, data: &[u8]) -> Result<Vec<u8>, Status> {
    link.write_mem(block, data, Size::Byte, true)
}

/// The wire is let go; the chip keeps what was set up in it, NRST what it was driven to (assumed).
fn exit(link: &mut StLink, _: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    if link.mode == Mode::Debug {
        link.mode = Mode::Mass;
        link.forget();
    }
    Ok(Vec::new())
}

/// A3: SWD. The chip's JTAG pins are not wired on this board, so A4 and 00 find no IDCODE. AP 0 is open afterwards
/// (assumed: hosts that know no INIT_AP reach memory).
fn enter(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    if block[2] != 0xA3 {
        return Err(Status::NO_IDCODE);
    }
    link.aps.clear();
    link.wire.enter()?;
    link.open(0)?;
    link.mode = Mode::Debug;
    done()
}

fn read_idcodes(link: &mut StLink, _: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    let dpidr = link.wire.dp_read(0).map_err(|_| Status::NO_IDCODE)?;
    Ok(padded(Status::OK, &[dpidr], 12))
}

fn reset_sys(link: &mut StLink, _: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    link.core_write(AIRCR, SYSRESETREQ)?;
    done()
}

fn read_reg(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    Ok(padded(Status::OK, &[link.register(block[2])?], 8))
}

fn write_reg(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    link.core_write(DCRDR, word(block, 3))?;
    link.core_write(DCRSR, u32::from(block[2]) | DCRSR_WRITE)?;
    link.register_ready()?;
    done()
}

fn write_debug_reg(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    link.core_write(word(block, 2), word(block, 6))?;
    done()
}

fn read_debug_reg(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    Ok(padded(Status::OK, &[link.core_read(word(block, 2))?], 8))
}

fn read_all_regs(link: &mut StLink, _: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    let numbers = ALL_REGS.chain([SPECIAL]);
    let registers = numbers.map(|number| link.register(number)).collect::<Result<Vec<_>, _>>()?;
    Ok(padded(Status::OK, &registers, 88))
}

fn last_status(link: &mut StLink, _: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    Ok(padded(link.last.status, &[], 2))
}

fn last_status_and_address(link: &mut StLink, _: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    Ok(padded(link.last.status, &[link.last.address], 12))
}

fn drive_nrst(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    match block[2] {
        0 => link.wire.chip.nrst(true),
        1 => link.wire.chip.nrst(false),
        2 => {
            link.wire.chip.nrst(true);
            link.wire.pass(NRST_PULSE);
            link.wire.chip.nrst(false);
        }
        _ => return Err(Status::COMMAND),
    }
    done()
}

fn start_trace(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    link.trace = Some((VecDeque::new(), usize::from(half(block, 2))));
    done()
}

fn stop_trace(link: &mut StLink, _: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    link.trace = None;
    done()
}

/// The one reply of two bytes that holds no status.
fn trace_count(link: &mut StLink, _: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    let count = link.trace.as_ref().map_or(0, |(bytes, _)| bytes.len());
    Ok((count as u16).to_le_bytes().to_vec())
}

fn set_divisor(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    let divisor = half(block, 2);
    let listed = DIVISORS.iter().find(|(entry, _)| *entry == divisor).map(|(_, khz)| *khz);
    link.wire.khz = listed.unwrap_or((4000 / (u32::from(divisor) + 1)).max(1));
    done()
}

/// JTAG's clock: taken and without effect, SWD is all that is wired.
fn set_jtag_divisor(_: &mut StLink, _: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    done()
}

/// The DP is port FFFF.
fn read_dap(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    let register = link.dap_register(block)?;
    let value = match half(block, 2) {
        0xFFFF => link.wire.dp_read(register)?,
        ap => {
            link.ap(ap as u8)?;
            link.wire.ap_read(ap as u8, register)?
        }
    };
    Ok(padded(Status::OK, &[value], 8))
}

fn write_dap(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    let register = link.dap_register(block)?;
    let value = word(block, 6);
    match half(block, 2) {
        0xFFFF => link.wire.dp_write(register, value)?,
        ap => {
            link.ap(ap as u8)?;
            link.wire.ap_write(ap as u8, register, value)?;
        }
    }
    done()
}

impl StLink {
    /// The register of a DAP command: a byte with bits 1:0 clear; the DP's bank in bits 7:4 only where firmware knows banks.
    fn dap_register(&self, block: &Block) -> Result<u8, Status> {
        let register = half(block, 4);
        let banked = half(block, 2) == 0xFFFF && register & 0xF0 != 0;
        if register > 0xFF || register & 3 != 0 || banked && !self.has(CSW) {
            return Err(Status::COMMAND);
        }
        Ok(register as u8)
    }
}

fn init_ap(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    link.open(block[2])?;
    done()
}

/// J28 closes it but says it did not.
fn close_ap(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    link.aps.remove(&block[2]);
    if link.has((29, 0)) { done() } else { Err(Status::FAULT) }
}

/// Opcodes of a batch.
const SET_ADDRESS: u8 = 1;
const WRITE: u8 = 2;
const READ: u8 = 3;
const SELECT_AP: u8 = 5;

/// The batch runs when its items are here; BATCH IN fetches the results: a word and a status for each item. After an item
/// that failed the rest are not carried out and have its status (assumed).
fn batch_out(link: &mut StLink, block: &Block, data: &[u8]) -> Result<Vec<u8>, Status> {
    let items = word(block, 2) as usize;
    link.batch.clear();
    if items > link.batch_max() {
        return Err(Status::COMMAND);
    }
    let (opcodes, values) = data.split_at(items.next_multiple_of(4));
    let (mut ap, mut address, mut failed) = (0, 0, None);
    let (mut results, mut states) = (Vec::new(), Vec::new());
    for (opcode, value) in opcodes.iter().zip(values.chunks_exact(4)) {
        let value = word(value, 0);
        let result = match failed {
            Some(status) => Err(status),
            None => link.batch_item(*opcode, value, &mut ap, &mut address),
        };
        failed = result.err();
        results.extend(result.unwrap_or(0).to_le_bytes());
        states.extend(u32::from(failed.unwrap_or(Status::OK).0).to_le_bytes());
    }
    link.batch = [results, states].concat();
    Ok(Vec::new())
}

fn batch_in(link: &mut StLink, _: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    let results = std::mem::take(&mut link.batch);
    if results.is_empty() { Err(Status::COMMAND) } else { Ok(results) }
}

/// The reply's layout is assumed: status, then the number.
fn batch_items(link: &mut StLink, _: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    Ok(padded(Status::OK, &[link.batch_max() as u32], 8))
}

impl StLink {
    /// A batch cannot set CSW: bits 31:8 stay as the last access of that AP left them.
    fn batch_item(&mut self, opcode: u8, value: u32, ap: &mut u8, address: &mut u32) -> Result<u32, Status> {
        let at = |address: u32, ap: u8, csw: u32| Access { ap, csw, address, size: Size::Word, increment: true };
        match opcode {
            SET_ADDRESS => *address = value,
            SELECT_AP => {
                self.ap(value as u8)?;
                *ap = value as u8;
            }
            WRITE | READ => {
                let own = self.ap(*ap)?;
                let csw = self.wire.csw(*ap).unwrap_or(own);
                let outcome = match opcode {
                    READ => self.wire.read_word(at(value, *ap, csw)),
                    _ => self.wire.write_word(at(*address, *ap, csw), value).map(|()| 0),
                };
                self.last = outcome.err().unwrap_or(Failure { status: Status::OK, address: 0 });
                return outcome.map_err(|failure| failure.status);
            }
            _ => return Err(Status::COMMAND),
        }
        Ok(0)
    }
}

fn set_com_freq(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    let khz = word(block, 4);
    if block[2] != 0 || !V3_CLOCKS.contains(&khz) {
        return Err(Status::FREQUENCY);
    }
    link.wire.khz = khz;
    Ok(padded(Status::OK, &[khz], 8))
}

/// SWD's clocks; JTAG is not wired and has none.
fn com_freqs(link: &mut StLink, block: &Block, _: &[u8]) -> Result<Vec<u8>, Status> {
    let clocks: &[u32] = if block[2] == 0 { V3_CLOCKS } else { &[] };
    let words = [&[link.wire.khz, clocks.len() as u32], clocks].concat();
    Ok(padded(Status::OK, &words, 52))
}
