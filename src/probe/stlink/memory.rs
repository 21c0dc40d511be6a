//! Memory through an ST-Link: READMEM and WRITEMEM in three widths, and RW_MISC, which carries many words at once.

use super::tables::*;
use super::{Block, StLink, judge, short_reply, word};
use crate::error::{Context, Error, Result};
use crate::probe::dap::ap;
use crate::probe::{Ap, MemOp, Width};
use crate::usb::Data;
use std::fmt::{self, Display};
use std::time::Duration;

/// A transfer lasts no longer than this, so that Ctrl-C and gdb are heard (DESIGN.md).
const LONGEST_TRANSFER: Duration = Duration::from_millis(40);

/// Where a repeated write does no harm: SRAM and the private peripheral bus (ARMv7-M, DDI0403 B3.1).
const REPEATABLE: &[(u32, u32)] = &[(0x2000_0000, 0x3fff_ffff), (0xe000_0000, 0xe00f_ffff)];
/// Where READDEBUGREG and WRITEDEBUGREG, whose reply has its status in it, do for a word: the private peripheral bus.
const DEBUG_REGISTERS: &[(u32, u32)] = &[(0xe000_0000, 0xe00f_ffff)];
/// Where a data cache may hold the word: SRAM and external RAM (ARMv7-M, DDI0403 B3.1).
const CACHED_RAM: &[(u32, u32)] = &[(0x2000_0000, 0x3fff_ffff), (0x6000_0000, 0x9fff_ffff)];

/// One READMEM or WRITEMEM.
#[derive(Clone, Copy)]
struct Access {
    op: Op,
    ap: Ap,
    address: u32,
    len: usize,
}

impl Access {
    fn is_debug_register(&self, width: Width) -> bool {
        width == Width::Word && self.len == 4 && self.ap.index == 0 && within(DEBUG_REGISTERS, self.address, 4)
    }

    fn covers(&self, address: u32) -> bool {
        address.checked_sub(self.address).is_some_and(|offset| offset as usize <= self.len)
    }
}

impl Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let plural = if self.len == 1 { "" } else { "s" };
        write!(f, "{} {:#010x} (AP {}, {} byte{plural})", self.op.name, self.address, self.ap.index, self.len)
    }
}

/// Blocks of bytes, half words and words.
impl StLink {
    pub(super) fn read_memory(&mut self, ap: Ap, width: Width, address: u32, buf: &mut [u8]) -> Result<()> {
        let op = match width {
            Width::Byte => READMEM_8BIT,
            Width::Half => READMEM_16BIT,
            Width::Word => READMEM_32BIT,
        };
        let mut access = Access { op, ap, address, len: buf.len() };
        self.ready_memory(&access, width)?;
        if access.is_debug_register(width) {
            access.op = READDEBUGREG;
            let (block, mut reply) = (Block::new(READDEBUGREG).u32(address), [0; 8]);
            self.patiently(true, |link| link.debug_register(&access, &block, &mut reply))?;
            buf.copy_from_slice(&reply[4..]);
            return Ok(());
        }
        for part in buf.chunks_mut(self.chunk(width, &self.limits.read_pace, BLOCK)) {
            access.len = part.len();
            self.patiently(true, |link| link.read_block(&access, part))?;
            access.address = access.address.wrapping_add(part.len() as u32);
        }
        Ok(())
    }

    pub(super) fn write_memory(&mut self, ap: Ap, width: Width, address: u32, data: &[u8]) -> Result<()> {
        let op = match width {
            Width::Byte => WRITEMEM_8BIT,
            Width::Half => WRITEMEM_16BIT,
            Width::Word => WRITEMEM_32BIT,
        };
        let mut access = Access { op, ap, address, len: data.len() };
        self.ready_memory(&access, width)?;
        if access.is_debug_register(width) {
            access.op = WRITEDEBUGREG;
            let block = Block::new(WRITEDEBUGREG).u32(address).put(data);
            return self.patiently(true, |link| link.debug_register(&access, &block, &mut [0; 2]));
        }
        for part in data.chunks(self.chunk(width, &self.limits.write_pace, self.limits.write)) {
            access.len = part.len();
            let harmless = within(REPEATABLE, access.address, part.len());
            self.patiently(harmless, |link| link.write_block(&access, part))?;
            access.address = access.address.wrapping_add(part.len() as u32);
        }
        Ok(())
    }

    fn debug_register(&mut self, access: &Access, block: &Block, reply: &mut [u8]) -> Result<()> {
        self.receive(block, reply).during(access)?;
        judge(reply[0], access, Some(access.address))
    }

    fn ready_memory(&mut self, access: &Access, width: Width) -> Result<()> {
        let (size, start, len) = (width as usize, access.address, access.len);
        if !(start as usize).is_multiple_of(size) || !len.is_multiple_of(size) {
            return Err(Error::command(format!("{access}: address and length must be multiples of {size}")));
        }
        if u64::from(start) + len as u64 > 1 << 32 {
            return Err(Error::command(format!("{access}: runs past the end of the address space")));
        }
        if width == Width::Half {
            self.need(Feature::MEM_16)?;
        }
        if access.ap.index != 0 {
            self.need(Feature::CSW)?;
        }
        self.open_ap(access.ap.index)
    }

    /// AP and CSW are fields of the command where the firmware knows them, else zero (it uses AP 0 and its own CSW).
    fn memory_block(&self, access: &Access) -> Block {
        let block = Block::new(access.op).u32(access.address).u16(access.len as u16);
        if !self.has(Feature::CSW) {
            return block;
        }
        let csw = access.ap.csw.to_le_bytes();
        block.u8(access.ap.index).put(&csw[1..])
    }

    /// Bytes of one transfer of `width`: what fits into 40 ms, in whole KiB if it can be, and what the probe takes.
    fn chunk(&self, width: Width, pace: &Pace, words: usize) -> usize {
        let in_time = self.accesses_in_time(pace, 1) * width as usize;
        let in_time = if in_time >= 1024 { in_time - in_time % 1024 } else { in_time };
        let most = match width {
            Width::Byte if self.has(Feature::PACKET_512) => BYTES_512,
            Width::Byte => BYTES,
            Width::Half => BLOCK,
            Width::Word => words,
        };
        in_time.min(most).min(self.pipe.room().bytes / width as usize * width as usize)
    }

    fn accesses_in_time(&self, pace: &Pace, clocks_factor: u64) -> usize {
        let one = pace.clocks * clocks_factor * 1_000_000 / u64::from(self.khz.max(1)) + pace.own_ns * clocks_factor;
        (LONGEST_TRANSFER.as_nanos() as u64 / one).max(1) as usize
    }

    /// The status is asked for even if data is missing: it says why.
    fn read_block(&mut self, access: &Access, buf: &mut [u8]) -> Result<()> {
        let block = self.memory_block(access);
        // The firmware answers at least two bytes, also when one was asked for.
        let mut two = [0; 2];
        let room = if access.len == 1 { &mut two } else { &mut *buf };
        let n = self.transfer(&block, Data::In(room)).during(access)?;
        self.last_status(access)?;
        if n < access.len {
            return Err(short_reply(access, n, access.len));
        }
        if let [byte] = buf {
            *byte = two[0];
        }
        Ok(())
    }

    fn write_block(&mut self, access: &Access, data: &[u8]) -> Result<()> {
        let block = self.memory_block(access);
        let n = self.transfer(&block, Data::Out(data)).during(access)?;
        if n < data.len() {
            return Err(Error::probe(format!("{access}: the probe took {n} bytes")).hint("unplug the probe and plug it in again"));
        }
        self.last_status(access)
    }

    /// How the last memory access went. An address outside of the access says nothing and is left out.
    fn last_status(&mut self, access: &Access) -> Result<()> {
        let mut reply = [0; 12];
        self.receive(&Block::new(GETLASTRWSTATUS2), &mut reply).during(access)?;
        judge(reply[0], access, Some(word(&reply[4..])).filter(|address| access.covers(*address)))
    }
}

/// `[first, last]` of one row holds all of `address .. address + len`.
fn within(ranges: &[(u32, u32)], address: u32, len: usize) -> bool {
    let last = u64::from(address) + (len as u64).saturating_sub(1);
    ranges.iter().any(|range| address >= range.0 && last <= u64::from(range.1))
}

/// Batches by RW_MISC.
impl StLink {
    pub(super) fn run_batch(&mut self, ap: Ap, ops: &mut [MemOp]) -> Result<()> {
        for op in ops.iter() {
            let command = if op.write { WRITEMEM_32BIT } else { READMEM_32BIT };
            self.ready_memory(&Access { op: command, ap, address: op.address, len: 4 }, Width::Word)?;
        }
        let mut rest = ops;
        while !rest.is_empty() {
            let together = self.misc_len(ap, rest);
            let (now, later) = rest.split_at_mut(together.max(1));
            match now {
                [op] => self.single(ap, op)?,
                ops => self.misc(ap, ops)?,
            }
            rest = later;
        }
        Ok(())
    }

    /// RW_MISC is there, and comes through on this way.
    pub(super) fn batches(&self) -> bool {
        self.has(Feature::RW_MISC) && self.pipe.room().batches
    }

    /// Items of one RW_MISC. A read is address, data and result: three transfers on the wire.
    pub(super) fn misc_room(&self) -> usize {
        self.limits.misc_items.min(self.accesses_in_time(&self.limits.write_pace, 3))
    }

    /// How many of `ops`, from the first, one RW_MISC can carry. It cannot set CSW, so words that a cache may hold go
    /// by READMEM and WRITEMEM when `ap` asks for cacheable accesses.
    fn misc_len(&self, ap: Ap, ops: &[MemOp]) -> usize {
        if !self.batches() {
            return 0;
        }
        let (most, mut items) = (self.misc_room(), 1);
        let fits = |op: &&MemOp| {
            items += item_count(op);
            items <= most && !(ap.csw & ap::CSW_CACHEABLE != 0 && within(CACHED_RAM, op.address, 4))
        };
        ops.iter().take_while(fits).count()
    }

    fn single(&mut self, ap: Ap, op: &mut MemOp) -> Result<()> {
        let mut bytes = op.value.to_le_bytes();
        if op.write {
            return self.write_memory(ap, Width::Word, op.address, &bytes);
        }
        self.read_memory(ap, Width::Word, op.address, &mut bytes)?;
        op.value = word(&bytes);
        Ok(())
    }

    /// After a WAIT what was done is not done again. That the firmware stops at the first failed item is assumed; should
    /// it go on, what follows is only repeated where that is harmless.
    fn misc(&mut self, ap: Ap, ops: &mut [MemOp]) -> Result<()> {
        let harmless = ops.iter().all(|op| !op.write || within(REPEATABLE, op.address, 4));
        let mut done = 0;
        self.patiently(harmless, |link| link.misc_once(ap, ops, &mut done))
    }

    /// Out: opcodes padded to a word, then a word for each. In: a result for each, then a status for each.
    fn misc_once(&mut self, ap: Ap, ops: &mut [MemOp], done: &mut usize) -> Result<()> {
        let items = misc_items(ap, &ops[*done..]);
        let mut out: Vec<u8> = items.iter().map(|item| item.0).collect();
        out.resize(items.len().next_multiple_of(4), 0);
        out.extend(items.iter().flat_map(|item| item.1.to_le_bytes()));
        let count = items.len() as u32;
        self.transfer(&Block::new(RW_MISC_OUT).u32(count), Data::Out(&out)).during(RW_MISC_OUT.name)?;
        let mut reply = vec![0; 8 * items.len()];
        self.receive(&Block::new(RW_MISC_IN), &mut reply)?;
        let (results, statuses) = reply.split_at(4 * items.len());

        judge(statuses[0], &format_args!("RW_MISC select AP {}", ap.index), None)?;
        let mut at = 1;
        for op in &mut ops[*done..] {
            let (verb, items) = (if op.write { "write" } else { "read" }, item_count(op));
            for item in at..at + items {
                judge(statuses[4 * item], &format_args!("RW_MISC {verb} (AP {})", ap.index), Some(op.address))?;
            }
            if !op.write {
                op.value = word(&results[4 * at..]);
            }
            at += items;
            *done += 1;
        }
        Ok(())
    }
}

fn misc_items(ap: Ap, ops: &[MemOp]) -> Vec<(u8, u32)> {
    let mut items = vec![(MISC_AP, u32::from(ap.index))];
    for op in ops {
        match op.write {
            false => items.push((MISC_READ, op.address)),
            true => items.extend([(MISC_ADDRESS, op.address), (MISC_WRITE, op.value)]),
        }
    }
    items
}

fn item_count(op: &MemOp) -> usize {
    if op.write { 2 } else { 1 }
}
