//! The debug commands (F2 …): what each looks like, since when firmware has it, and what it does.

use super::super::chip::Size;
use super::super::probes::Generation;
use super::super::time::NRST_PULSE;
use super::super::wire::{Access, Failure, Status};
use super::{Block, Mode, StLink, half, padded, word};
use std::collections::VecDeque;

/// What follows the command block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
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

pub type Handler = fn(&mut StLink, &Block, &[u8]) -> Result<Vec<u8>, Status>;

/// One debug command (F2 `op`).
pub struct Command {
    pub op: u8,
    pub shape: Shape,
    /// The JTAG firmware number it came with, V2 and V3.
    pub since: (u8, u8),
    /// Only after ENTER.
    pub entered: bool,
    pub run: Handler,
}

const ALL: (u8, u8) = (0, 0);
pub const NEVER: u8 = u8::MAX;
/// Banked DP registers, AP and CSW in memory commands, RW_MISC.
pub const CSW: (u8, u8) = (32, 2);
/// An AP must be opened by INIT_AP.
pub const INIT_AP: (u8, u8) = (28, 0);

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

pub fn find(op: u8) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.op == op)
}

/// Opcodes padded to a word, then a value each.
pub fn batch_bytes(items: u32) -> Option<usize> {
    let opcodes = items.checked_next_multiple_of(4)?;
    usize::try_from(items.checked_mul(4)?.checked_add(opcodes)?).ok()
}

impl StLink {
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
    match (link.mode, link.kind.generation) {
        (Mode::Debug, _) => {
            link.mode = Mode::Mass;
            link.forget();
        }
        // Seen on a V3 (stlink, pull request 1467).
        (_, Generation::V3) => link.hung = true,
        _ => {}
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
        0 => link.wire.drive_nrst(true),
        1 => link.wire.drive_nrst(false),
        2 => {
            link.wire.drive_nrst(true);
            link.wire.pass(NRST_PULSE);
            link.wire.drive_nrst(false);
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
    Ok((link.traced() as u16).to_le_bytes().to_vec())
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
