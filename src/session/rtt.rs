//! SEGGER's Real Time Transfer: rings in the chip's RAM, which its program and the host fill and empty beside each other.
//!
//! A control block (SEGGER UM08001, "RTT"; an id, two counts, a descriptor for each channel) says where they are. Nothing in
//! it is believed: it is used once two looks have seen the same, and of its channels those whose ring lies in RAM and whose
//! offsets lie in the ring. It may be gone at any look, because the chip was reset, and come again.

use super::ladder::tolerated;
use super::{Session, fatal};
use crate::adi::MemAp;
use crate::cortex_m::Core;
use crate::error::{Context, Error, Result};
use crate::event::Event;
use crate::probe::Width;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const ID: &[u8; 16] = b"SEGGER RTT\0\0\0\0\0\0";
/// The id and the counts of channels up and down.
const HEADER: u32 = 24;
/// Of a channel: its name, its ring, the ring's size, where is written and where is read next, flags.
const DESCRIPTOR: u32 = 24;
const WRITE: u32 = 12;
const READ: u32 = 16;
/// Bits 1:0 are what the program does when a ring is full; bits 31:24 are 0.
const MODES: [&str; 3] = ["skip", "trim", "block"];
const FLAGS_CHECK: u32 = 0xFF00_0000;
/// More channels one way are garbage (assumed; SEGGER's default is 3), and a name ends here.
const MOST_CHANNELS: u32 = 32;
const LONGEST_NAME: u32 = 32;
/// Read at once of a channel, or of RAM where the block is looked for: one transfer of any probe.
const PIECE: usize = 6140;
/// Kept for who takes it, or for the program to take it; more waits in the ring, or is refused.
const KEPT: usize = 64 << 10;
/// Between two looks: while data flows, at most, and after an error, as where the chip sleeps.
const FAST: Duration = Duration::from_millis(1);
pub const SLOW: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(1);
/// The largest RAM is searched in a sixth of them.
const MOST_LOOKS: u32 = 4096;
/// At a program that has ended: one that runs on would never let go.
const LAST_LOOKS: usize = 16;

/// How `rtt start` was asked to go about it.
#[derive(Clone, Copy, Default)]
pub struct Setup {
    /// Address and bytes of where the block is; none: at the symbol `_SEGGER_RTT`, or else anywhere in RAM.
    pub window: Option<(u32, u32)>,
    /// Between two looks at most; none: `SLOW`.
    pub slowest: Option<Duration>,
}

/// A channel for a user to read.
#[derive(Clone, Debug, PartialEq)]
pub struct Channel {
    pub up: bool,
    pub number: u32,
    pub name: String,
    /// Address and bytes of its ring.
    pub buffer: u32,
    pub size: u32,
    pub flags: u32,
    /// "skip", "trim" or "block": what the program does when the ring is full.
    pub mode: &'static str,
    /// Its ring lies in RAM, and its offsets in the ring; or it was never set up (size 0) or is not right.
    pub usable: bool,
}

/// A descriptor, read.
#[derive(Clone, Copy)]
struct Ring {
    /// Its own address.
    at: u32,
    name: u32,
    buffer: u32,
    size: u32,
    write: u32,
    read: u32,
    flags: u32,
}

/// Where a control block is, and what it held at the last look.
#[derive(Default)]
struct Block {
    address: u32,
    counts: (u32, u32),
    /// Up before down.
    rings: Vec<Ring>,
    /// The look before had seen the same of what does not change.
    settled: bool,
}

/// What was read of a channel up.
struct Piece {
    number: u32,
    bytes: Vec<u8>,
    /// Where reading was left, and where writing was.
    left: u32,
    wrote: u32,
    /// Reading went on where it had been left before: the ring was not begun anew until then.
    ours: bool,
}

#[derive(Default)]
pub struct Rtt {
    core: usize,
    setup: Setup,
    /// Where a block may be, and where it may be searched for.
    ram: Vec<(u32, u32)>,
    areas: Vec<(u32, u32)>,
    block: Option<Block>,
    /// Of the last block that was right.
    last: Option<u32>,
    /// Where the search goes on: which area, and from where in it; how often all was searched.
    search: (usize, u32),
    searched: u32,
    /// The next look, and how long was waited for it.
    next: Duration,
    wait: Duration,
    /// Of each channel up, where reading was left.
    left: BTreeMap<u32, u32>,
    /// A reset came while these were read.
    doubts: Vec<Piece>,
    /// What came up for those who take it, and what is to go down.
    taps: BTreeMap<u32, Vec<u8>>,
    down: BTreeMap<u32, Vec<u8>>,
    /// That memory cannot be read was told.
    told: bool,
    /// The terminal's channel was begun anew.
    fresh: bool,
    /// It is a log to be put into words.
    #[cfg(feature = "defmt")]
    log: bool,
}

impl Ring {
    /// Nothing of it is used unless all of it is right.
    fn usable(&self, ram: &[(u32, u32)], block: &Block) -> bool {
        self.size > 0
            && inside(ram, self.buffer, self.size)
            && (self.buffer >= block.address + Block::size(block.counts) || self.buffer + self.size <= block.address)
            && self.write < self.size
            && self.read < self.size
            && self.mode().is_some()
    }

    /// What the program sets once.
    fn fixed(&self) -> [u32; 4] {
        [self.name, self.buffer, self.size, self.flags]
    }

    fn mode(&self) -> Option<&'static str> {
        MODES.get(self.flags as usize & 3).copied().filter(|_| self.flags & FLAGS_CHECK == 0)
    }

    /// So many bytes from an offset on are in one part, or in two: address, bytes.
    fn parts(&self, from: u32, count: u32) -> impl Iterator<Item = (u32, usize)> {
        let first = count.min(self.size - from);
        let parts = [(self.buffer + from, first as usize), (self.buffer, (count - first) as usize)];
        parts.into_iter().filter(|part| part.1 > 0)
    }
}

impl Block {
    fn new(address: u32) -> Block {
        Block { address, ..Block::default() }
    }

    fn size(counts: (u32, u32)) -> u32 {
        HEADER + DESCRIPTOR * (counts.0 + counts.1)
    }

    /// False: there is no control block.
    fn look(&mut self, mem: &mut MemAp, ram: &[(u32, u32)]) -> Result<bool> {
        let bytes = read(mem, self.address, Block::size(self.counts) as usize)?;
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let counts = (word(16), word(20));
        let counted = counts.0.max(counts.1) <= MOST_CHANNELS && counts != (0, 0);
        if bytes[..16] != *ID || !counted || !inside(ram, self.address, Block::size(counts)) {
            return Ok(false);
        }
        let ring = |offset: usize| {
            let [name, buffer, size, write, read, flags] = [0, 4, 8, 12, 16, 20].map(|field| word(offset + field));
            Ring { at: self.address + offset as u32, name, buffer, size, write, read, flags }
        };
        let rings: Vec<Ring> = (HEADER as usize..bytes.len()).step_by(DESCRIPTOR as usize).map(ring).collect();
        self.settled = counts == self.counts && rings.iter().map(Ring::fixed).eq(self.rings.iter().map(Ring::fixed));
        (self.counts, self.rings) = (counts, rings);
        Ok(true)
    }
}

/// Whole words, which is one access where bytes at the ends would be two more: reading more of RAM does no harm.
fn read(mem: &mut MemAp, address: u32, len: usize) -> Result<Vec<u8>> {
    let before = (address & 3) as usize;
    let mut bytes = vec![0; (before + len).next_multiple_of(4)];
    mem.read_width(Width::Word, address & !3, &mut bytes)?;
    bytes.drain(..before);
    bytes.truncate(len);
    Ok(bytes)
}

fn inside(ram: &[(u32, u32)], address: u32, size: u32) -> bool {
    ram.iter().any(|(start, len)| address >= *start && u64::from(address) + u64::from(size) <= u64::from(*start) + u64::from(*len))
}

impl Rtt {
    fn new(core: usize, setup: Setup, ram: Vec<(u32, u32)>, searched: Vec<(u32, u32)>) -> Rtt {
        // A block is made of words.
        let areas = setup.window.map_or(searched, |(address, size)| vec![(address & !3, size + (address & 3))]);
        Rtt { core, setup, ram, areas, fresh: true, ..Rtt::default() }
    }

    /// One look, and when the next is due. What came for the terminal; true: there is reason to look again at once.
    fn look(&mut self, core: &mut Core, mem: &mut MemAp, symbol: Option<u32>) -> Result<(bool, Vec<u8>)> {
        let looked = self.transfer(core, mem, symbol);
        self.wait = match &looked {
            Ok((true, _)) => FAST,
            Ok((false, _)) => (self.wait * 5 / 4).min(self.setup.slowest.unwrap_or(SLOW)).max(FAST),
            Err(_) => LATER,
        };
        self.next = mem.now() + self.wait;
        looked
    }

    fn transfer(&mut self, core: &mut Core, mem: &mut MemAp, symbol: Option<u32>) -> Result<(bool, Vec<u8>)> {
        let known = self.setup.window.map_or(symbol, |(address, size)| Some(address).filter(|_| size <= HEADER));
        let known = known.filter(|address| address.is_multiple_of(4) && inside(&self.ram, *address, HEADER));
        if known.is_some_and(|known| self.block.as_ref().is_none_or(|block| block.address != known)) {
            self.block = known.map(Block::new);
        }
        if self.block.is_none() {
            self.block = self.find(mem)?.map(Block::new);
        }
        let searching = known.is_none() && self.searched == 0;
        let Some(mut block) = self.block.take() else { return Ok((searching, Vec::new())) };
        if !block.look(mem, &self.ram)? {
            return Ok((searching, Vec::new()));
        }
        let moved = match block.settled {
            true => self.move_data(core, mem, &block),
            false => Ok((true, Vec::new())),
        };
        self.last = block.settled.then_some(block.address).or(self.last);
        self.block = Some(block);
        moved
    }

    /// Where the next control block may be: where the last one was, or in the next piece of RAM.
    fn find(&mut self, mem: &mut MemAp) -> Result<Option<u32>> {
        if let Some(last) = self.last
            && read(mem, last, ID.len())? == ID
        {
            return Ok(Some(last));
        }
        let (area, from) = self.search;
        let Some((start, size)) = self.areas.get(area).copied().filter(|(_, size)| from < *size) else { return Ok(self.skip_area()) };
        let bytes = match read(mem, start + from, PIECE.min((size - from) as usize)) {
            Err(error) if fatal(&error) => return Err(error),
            // The clock of this RAM may be off.
            Err(_) => return Ok(self.skip_area()),
            Ok(bytes) => bytes,
        };
        let found = bytes.windows(ID.len()).step_by(4).position(|bytes| bytes == ID).map(|word| from + 4 * word as u32);
        // A block that lies across the end of a piece is found in the next one.
        let end = if bytes.len() < PIECE { size } else { from + (PIECE - ID.len()) as u32 };
        self.search = (area, found.map_or(end, |found| found + 4));
        Ok(found.map(|found| start + found))
    }

    /// On to the next one, or back to the first.
    fn skip_area(&mut self) -> Option<u32> {
        let next = (self.search.0 + 1) % self.areas.len().max(1);
        self.searched += u32::from(next == 0);
        self.search = (next, 0);
        None
    }

    fn move_data(&mut self, core: &mut Core, mem: &mut MemAp, block: &Block) -> Result<(bool, Vec<u8>)> {
        let (mut moved, mut pieces) = (false, Vec::new());
        let (up, down) = block.rings.split_at(block.counts.0 as usize);
        for (number, mut ring) in (0..).zip(up.iter().copied()) {
            if !ring.usable(&self.ram, block) {
                continue;
            }
            pieces.extend(self.settle(mem, number, &mut ring)?);
            let room = match self.taps.get(&number) {
                Some(tap) => KEPT.saturating_sub(tap.len()),
                None if number == 0 => PIECE,
                None => 0,
            };
            let count = ((ring.write + ring.size - ring.read) % ring.size).min(room.min(PIECE) as u32);
            if count > 0 {
                let mut bytes = Vec::new();
                for (address, len) in ring.parts(ring.read, count) {
                    bytes.extend(read(mem, address, len)?);
                }
                let left = (ring.read + count) % ring.size;
                mem.write32(ring.at + READ, left)?;
                let goes_on = self.left.insert(number, left) == Some(ring.read);
                let ours = goes_on && ring.read != 0;
                self.fresh |= number == 0 && !goes_on;
                pieces.push(Piece { number, bytes, left, wrote: ring.write, ours });
                moved = true;
            }
        }
        for (number, ring) in (0..).zip(down).filter(|(_, ring)| ring.usable(&self.ram, block)) {
            let Some(queue) = self.down.get_mut(&number) else { continue };
            let count = ((ring.read + ring.size - ring.write - 1) % ring.size).min(queue.len() as u32);
            if count > 0 {
                for (address, len) in ring.parts(ring.write, count) {
                    mem.write(address, &queue.drain(..len).collect::<Vec<u8>>())?;
                }
                mem.write32(ring.at + WRITE, (ring.write + count) % ring.size)?;
                moved = true;
            }
        }
        // Last of all, so that a reset before anything of this is seen.
        let reset = moved && was_reset(core, mem)?;
        let (doubts, sure): (Vec<Piece>, Vec<Piece>) = pieces.into_iter().partition(|piece| reset && piece.ours);
        self.doubts.extend(doubts);
        let mut terminal = Vec::new();
        for piece in sure {
            if let Some(tap) = self.taps.get_mut(&piece.number) {
                tap.extend(&piece.bytes);
            }
            if piece.number == 0 {
                terminal.extend(piece.bytes);
            }
        }
        Ok((moved, terminal))
    }

    /// The chip was reset while a piece of this ring was read. Where the ring is as it was, the piece is right, too. Where the
    /// program has begun it anew since, it reads and writes from 0 on, and where to read from may be a leftover of ours.
    fn settle(&mut self, mem: &mut MemAp, number: u32, ring: &mut Ring) -> Result<Option<Piece>> {
        let Some(doubt) = self.doubts.iter().position(|doubt| doubt.number == number) else { return Ok(None) };
        let doubt = self.doubts.remove(doubt);
        if ring.read == doubt.left && ring.write != doubt.wrote {
            mem.write32(ring.at + READ, 0)?;
            ring.read = 0;
        }
        Ok(Some(Piece { ours: false, ..doubt }).filter(|doubt| ring.read == doubt.left))
    }
}

/// Since its DHCSR was read last; whoever else wants to know hears of it, too.
fn was_reset(core: &mut Core, mem: &mut MemAp) -> Result<bool> {
    let before = std::mem::take(&mut core.reset_seen);
    core.is_halted(mem)?;
    let now = core.reset_seen;
    core.reset_seen |= before;
    Ok(now)
}

impl Session {
    /// From now on `attend` looks at the rings. Where the control block is, if it is there yet.
    pub fn rtt_start(&mut self, core: usize, setup: Setup) -> Result<Option<u32>> {
        let ram = self.ram(core);
        if let Some((address, _)) = setup.window.filter(|window| !inside(&ram, window.0, window.1)) {
            return Err(Error::usage(format!("{address:#010x} and what follows is no RAM")).hint("`memory map` shows what is"));
        }
        let own = self.target.cores.get(core).into_iter().flat_map(|row| &row.own_ram);
        let searched = self.die.ram.iter().chain(own).map(|region| (region.address, region.size)).collect();
        self.rtt = Some(Rtt::new(core, setup, ram, searched));
        // A block that changes at every look never settles.
        let mut looks = 0..MOST_LOOKS;
        while looks.next().is_some() && self.rtt_look()? && self.rtt.as_ref().is_some_and(|rtt| rtt.last.is_none()) {
            (self.ears.breathe)()?;
        }
        Ok(self.rtt.as_ref().and_then(|rtt| rtt.last))
    }

    pub fn rtt_stop(&mut self) {
        self.rtt = None;
    }

    fn rtt(&mut self) -> Result<&mut Rtt> {
        self.rtt.as_mut().ok_or_else(|| Error::command("RTT is not on").hint("`rtt start` looks for the program's control block"))
    }

    /// How long until the next look at the rings, on the probe's clock.
    pub fn rtt_due(&self) -> Option<Duration> {
        self.rtt.as_ref().map(|rtt| rtt.next.saturating_sub(self.probe.now()))
    }

    /// Move what there is to move, if it is time to look.
    pub(super) fn rtt_attend(&mut self) -> Result<()> {
        match self.rtt_due() {
            Some(Duration::ZERO) => self.rtt_look().map(|_| ()),
            _ => Ok(()),
        }
    }

    /// What fails is told once, and tried again.
    fn rtt_look(&mut self) -> Result<bool> {
        let looked = self.rtt_try();
        let told = self.rtt.as_mut().is_some_and(|rtt| std::mem::replace(&mut rtt.told, looked.is_err()));
        match looked {
            Err(error) if !fatal(&error) => {
                if !told {
                    self.ears.warn(format!("RTT: {}; it is tried again every second", error.remedy()));
                }
                Ok(false)
            }
            looked => looked,
        }
    }

    fn rtt_try(&mut self) -> Result<bool> {
        let Some(mut rtt) = self.rtt.take() else { return Ok(false) };
        let symbol = self.names.borrow().rtt;
        let _phase = self.ears.phase("rtt", "");
        let looked = self.parts(rtt.core).and_then(|(core, mut mem, _)| rtt.look(core, &mut mem, symbol));
        let looked = looked.map(|(again, bytes)| (again, if bytes.is_empty() { bytes } else { self.in_words(&mut rtt, bytes) }));
        self.rtt = Some(rtt);
        let (again, bytes) = looked?;
        if !bytes.is_empty() {
            self.ears.sink.emit(Event::Target(bytes));
        }
        Ok(again)
    }

    /// A log of defmt's in lines of text; everything else as it is.
    #[cfg(feature = "defmt")]
    fn in_words(&mut self, rtt: &mut Rtt, bytes: Vec<u8>) -> Vec<u8> {
        let (names, fresh) = (self.names.clone(), std::mem::take(&mut rtt.fresh));
        let mut names = names.borrow_mut();
        let log = names.defmt().unwrap_or_else(|error| {
            self.ears.warn(error.message);
            None
        });
        let Some(log) = log else { return bytes };
        if fresh {
            log.begin();
            let memory = self.memory();
            let at = rtt.block.as_ref().and_then(|block| block.rings.first()).map_or(0, |ring| ring.name);
            rtt.log = name(&mut self.mem(rtt.core), &memory, at) == "defmt";
        }
        if !rtt.log {
            return bytes;
        }
        let (text, skipped) = log.decode(&bytes);
        if skipped > 0 {
            self.ears.warn(format!("{skipped} bytes of the defmt log are no frame and were skipped"));
        }
        text.into_bytes()
    }

    #[cfg(not(feature = "defmt"))]
    fn in_words(&mut self, _: &mut Rtt, bytes: Vec<u8>) -> Vec<u8> {
        bytes
    }

    /// Where reading does no harm: address and bytes.
    fn memory(&self) -> Vec<(u32, u32)> {
        self.die.ram_at_most().into_iter().chain(self.banks.iter().map(|bank| (bank.address, bank.size))).collect()
    }

    /// For a program that begins now: what its last life left in RAM is no control block of its own.
    pub(super) fn rtt_begin(&mut self, core: usize, setup: Setup) -> Result<()> {
        let symbol = self.names.borrow().rtt.filter(|at| inside(&self.die.ram_at_most(), *at, HEADER));
        match (setup.window, symbol) {
            (None, None) => return Ok(()),
            (None, Some(at)) => self.write_memory(core, None, at, &[0; ID.len()])?,
            (Some(_), _) => {}
        }
        self.rtt_start(core, setup).map(|_| ())
    }

    /// What is left in the rings of a program that has ended.
    pub fn rtt_rest(&mut self) -> Result<()> {
        let mut looks = 0..LAST_LOOKS;
        while looks.next().is_some() && self.rtt_look()? {}
        Ok(())
    }

    /// What the control block says now, up before down; `None`: there is none yet, or it cannot be read.
    pub fn rtt_known(&mut self) -> Result<Option<Vec<Channel>>> {
        tolerated(self.rtt_channels())
    }

    /// As `rtt_known`, but `Err` says what is in the way.
    pub fn rtt_channels(&mut self) -> Result<Vec<Channel>> {
        self.rtt()?;
        // Counts, channels, and the same once more.
        for look in 0..3 {
            if look == 0 || self.rtt()?.block.as_ref().is_none_or(|block| !block.settled) {
                self.rtt_try().during("looking at RTT's control block")?;
            }
        }
        let rtt = self.rtt()?;
        let (core, ram) = (rtt.core, rtt.ram.clone());
        let block = rtt.block.take().filter(|block| block.settled);
        let block =
            block.ok_or_else(|| Error::command("there is no control block yet").hint("the program makes it before it writes first"))?;
        let memory = self.memory();
        let mut mem = self.mem(core);
        let channels = (0..).zip(&block.rings).map(|(n, ring)| {
            let up = n < block.counts.0;
            Channel {
                up,
                number: if up { n } else { n - block.counts.0 },
                name: name(&mut mem, &memory, ring.name),
                buffer: ring.buffer,
                size: ring.size,
                flags: ring.flags,
                mode: ring.mode().unwrap_or("?"),
                usable: ring.usable(&ram, &block),
            }
        });
        let channels = channels.collect();
        self.rtt()?.block = Some(block);
        Ok(channels)
    }

    /// Bytes for the program, which go down as it takes them.
    pub fn rtt_send(&mut self, channel: u32, bytes: &[u8]) -> Result<()> {
        let queue = self.rtt()?.down.entry(channel).or_default();
        if queue.len() + bytes.len() > KEPT {
            return Err(Error::command(format!("the program does not read channel {channel}: {} bytes wait for it", queue.len())));
        }
        queue.extend(bytes);
        self.rtt()?.next = Duration::ZERO;
        Ok(())
    }

    /// How many bytes still wait for the program to take them.
    pub fn rtt_unsent(&self, channel: u32) -> usize {
        self.rtt.as_ref().and_then(|rtt| rtt.down.get(&channel)).map_or(0, Vec::len)
    }

    /// What came up in these channels since this was asked last; from now on they are read, and no others but the terminal's.
    pub fn rtt_taken(&mut self, channels: &BTreeSet<u32>) -> BTreeMap<u32, Vec<u8>> {
        let Some(rtt) = &mut self.rtt else { return BTreeMap::new() };
        let fresh = channels.iter().map(|channel| (*channel, Vec::new())).collect();
        std::mem::replace(&mut rtt.taps, fresh)
    }
}

/// Up to its NUL; nothing where there is no memory.
fn name(mem: &mut MemAp, memory: &[(u32, u32)], address: u32) -> String {
    let room =
        memory.iter().filter(|(start, size)| address.wrapping_sub(*start) < *size).map(|(start, size)| start + (size - 1) - address + 1);
    let len = room.max().unwrap_or(0).min(LONGEST_NAME);
    let bytes = if len > 0 { read(mem, address, len as usize).unwrap_or_default() } else { Vec::new() };
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).chars().filter(|c| !c.is_control()).collect()
}
