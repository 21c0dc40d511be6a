//! Flash written by a program of ours in the target's RAM (loaders/jobs.s): it works off queues of jobs, one for each
//! flash controller, while more jobs and their data are on the way. So an erase hides the upload, and two banks are
//! worked at once.

use super::controller::{Controller, decode};
use super::{Bank, Erase, Step};
use crate::adi::MemAp;
use crate::cortex_m::{Core, Guest};
use crate::error::{Cause, Context, Error, Result};
use crate::event::{Ears, Phase};
use crate::probe::Width;
use std::collections::VecDeque;
use std::time::Duration;

/// Assembled from loaders/jobs.s by loaders/build.
const CODE: &[u8] = include_bytes!("loaders/jobs.bin");
/// Behind the vectors.
const ENTRY: u32 = 0x40;

// The work area: code, mailbox, queues, stack; then, if there is no other RAM for it, data.
const MAILBOX: u32 = 0x200;
const QUEUES: u32 = 0x300;
const JOB: u32 = 16;

// jobs.s, the mailbox and a channel.
const FAULT: u32 = 12;
const CHANNELS: u32 = 16;
const CHANNEL: u32 = 80;
const STATUS: u32 = 8;
const TAIL: u32 = 16;
const FAST: u32 = 64;
const FAILED: u32 = 3;
const ERASE: u32 = 1;
const PROGRAM: u32 = 2;
const FASTROWS: u32 = 3;

/// Bytes of the longest program job, where there is room for many: some 100 ms on a V2 at 4 MHz.
const MOST: u32 = 16 << 10;
/// And of the shortest where there is little room: so much must a ring take.
const LEAST: u32 = 1024;
/// While there is room for more the queue is looked at so often.
const LOOK: Duration = Duration::from_millis(250);
/// What a job may take beyond the flash's own time.
const SLACK: Duration = Duration::from_millis(100);

/// RAM that the loader may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ram {
    /// Code, mailbox, queues, stack; never cached. (address, size)
    pub work: (u32, u32),
    /// Data; may be the same.
    pub data: (u32, u32),
    /// Bytes of `data` on the largest part that it may be.
    pub up_to: u32,
    /// IWDG_KR and WWDG_CR, to be fed; 0: none.
    pub watchdogs: [u32; 2],
}

impl Ram {
    /// Jobs in a queue: so many that they fill a large ring.
    fn jobs(self) -> u32 {
        if self.work.1 < 0x4000 { 32 } else { 128 }
    }

    fn stack(self) -> u32 {
        QUEUES + 2 * self.jobs() * JOB + 0x80
    }

    /// Where data goes: the rest of the work area, or RAM of its own. `None`: too little of it.
    fn ring(self) -> Option<(u32, u32)> {
        let behind = self.work.0 + self.stack();
        let (start, end) = match self.data.0 == self.work.0 {
            true => (behind, self.data.0 + self.data.1),
            false => (self.data.0, self.data.0 + self.data.1),
        };
        (self.work.1 >= self.stack() && end.checked_sub(start)? >= 2 * LEAST).then_some((start, end - start))
    }

    pub fn is_enough(self) -> bool {
        self.ring().is_some()
    }

    /// With as much of `data` as this part has: where there is more, its end takes what its beginning does not.
    fn measured(self, mem: &mut MemAp) -> Result<Ram> {
        const MARKS: [u32; 2] = [0x5AA5_C33C, 0xA55A_3CC3];
        let more = Ram { data: (self.data.0, self.up_to), ..self };
        if self.up_to <= self.data.1 {
            return Ok(self);
        }
        let ends = [self.data.0, self.data.0 + self.up_to - 4];
        let marked = ends.iter().zip(MARKS).try_for_each(|(at, mark)| mem.write32(*at, mark));
        let there = marked.and_then(|()| Ok([mem.read32(ends[0])?, mem.read32(ends[1])?]));
        match there {
            Ok(there) if there == MARKS => Ok(more),
            Err(error) if !error.is_fault() => Err(error),
            _ => Ok(self),
        }
    }
}

/// What the loader runs on: a core that is halted, and RAM.
pub struct Help<'a> {
    pub core: &'a mut Core,
    pub ram: Ram,
}

/// One thing to do in a bank, and what it is of the plan.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    pub bank: &'a Bank,
    pub step: &'a Step,
    pub what: What<'a>,
    /// Its step is done with it.
    pub last: bool,
}

#[derive(Clone, Copy)]
pub enum What<'a> {
    Erase(Erase),
    Write(u32, &'a [u8]),
}

impl What<'_> {
    /// As `Ears::phase` calls it.
    fn phase(&self) -> &'static str {
        match self {
            What::Erase(_) => "erase",
            What::Write(..) => "program",
        }
    }
}

/// Data's place in RAM, as counts of all bytes that ever went in and came out.
struct Ring {
    start: u32,
    size: u32,
    /// The longest piece.
    chunk: u32,
    taken: u64,
    freed: u64,
}

impl Ring {
    /// Room for `len` bytes in one piece: its address, and `freed` once it is done with.
    fn take(&mut self, len: u32) -> Option<(u32, u64)> {
        let offset = (self.taken % u64::from(self.size)) as u32;
        let skip = if offset + len > self.size { self.size - offset } else { 0 };
        let taken = self.taken + u64::from(skip + len);
        if taken - self.freed > u64::from(self.size) {
            return None;
        }
        self.taken = taken;
        Some((self.start + (offset + skip) % self.size, taken))
    }
}

/// Where rows may be written fast (G0), from `next` up to `past`: in order in the page that was erased last, anywhere ahead
/// after the whole bank was (seen on G0B1 and G030; RM0444 says less).
#[derive(Clone, Copy, Default)]
struct Rows {
    next: u32,
    past: u32,
    anywhere: bool,
}

impl Rows {
    fn after(self, what: What, fast: bool, bank: &Bank) -> Rows {
        match what {
            What::Erase(Erase::Bank) => Rows { next: bank.address, past: bank.address + bank.size, anywhere: true },
            What::Erase(Erase::Sector(index)) => {
                let next = bank.sector_address(index);
                Rows { next, past: next + bank.sector, anywhere: false }
            }
            What::Write(address, data) if fast || self.anywhere => Rows { next: address + data.len() as u32, ..self },
            What::Write(..) => Rows::default(),
        }
    }

    fn take(self, address: u32) -> bool {
        (self.next..self.past).contains(&address) && (self.anywhere || address == self.next)
    }
}

/// A controller's queue.
struct Channel<'a> {
    controller: Controller<'a>,
    /// CR's bits that stay as they are.
    base: u32,
    /// Of its block in the mailbox.
    address: u32,
    queue: u32,
    /// Bytes of the queue.
    length: u32,
    to_do: VecDeque<Task<'a>>,
    /// In the queue, with the ring's `freed` behind it.
    sent: VecDeque<(Task<'a>, u64)>,
    ring: Ring,
    rows: Rows,
    tail: u32,
    head: u32,
    at: u32,
    /// When `head` or `at` was last seen to move.
    moved: Duration,
    /// When the job under way began.
    began: Duration,
}

impl<'a> Channel<'a> {
    fn cr(&self, bits: u32) -> u32 {
        self.base | self.controller.along | bits
    }

    /// Its block, at rest.
    fn block(&self) -> [u32; 20] {
        let controller = &self.controller;
        let errors = controller.errors.iter().fold(0, |bits, flag| bits | 1 << flag.bit);
        let (sr, cr) = (controller.at(controller.sr), controller.at(controller.cr));
        let [rest, pg] = [self.cr(0), self.cr(controller.pg)];
        let fast = controller.fast.map_or(0, |(bits, _)| self.cr(bits));
        let (word, mask) = (controller.bank.word, self.length - 1);
        [0, 0, 0, 0, 0, 0, 0, sr, cr, controller.busy, errors, rest, pg, word, self.queue, mask, fast, 0, 0, 0]
    }

    /// What comes next, no longer than a job may be; and whether as rows.
    fn next(&self) -> Option<(Task<'a>, bool)> {
        let task = *self.to_do.front()?;
        let What::Write(address, data) = task.what else { return Some((task, false)) };
        let most = data.len().min(self.ring.chunk as usize);
        let row = self.controller.fast.map_or(u32::MAX, |(_, row)| row);
        let rows = most as u32 / row * row;
        let fast = rows > 0 && address.is_multiple_of(row) && self.rows.take(address);
        let len = match fast {
            true => rows as usize,
            // Up to where rows may begin.
            false if row != u32::MAX && self.rows.anywhere => most.min((row - address % row) as usize),
            false => most,
        };
        Some((Task { what: What::Write(address, &data[..len]), last: task.last && len == data.len(), ..task }, fast))
    }

    /// It is sent: what is left of it comes next.
    fn sent(&mut self, task: Task<'a>, fast: bool, freed: u64) {
        self.rows = self.rows.after(task.what, fast, task.bank);
        self.sent.push_back((task, freed));
        match (self.to_do.front_mut().map(|task| &mut task.what), task.what) {
            (Some(What::Write(address, data)), What::Write(_, now)) if now.len() < data.len() => {
                (*address, *data) = (*address + now.len() as u32, &data[now.len()..]);
            }
            _ => drop(self.to_do.pop_front()),
        }
    }

    /// Send the next job and its data, if there is one and room for it.
    fn push(&mut self, mem: &mut MemAp) -> Result<bool> {
        if self.sent.is_empty() {
            // From its start an empty ring takes whatever is not longer than itself.
            (self.ring.taken, self.ring.freed) = (0, 0);
        }
        let next = (self.tail + JOB) % self.length;
        let Some((task, fast)) = self.next().filter(|_| next != self.head) else { return Ok(false) };
        let (job, freed) = match task.what {
            What::Erase(what) => {
                let bits = self.cr(self.controller.erase_bits(what).0);
                ([ERASE, bits, bits | self.controller.start, 0], self.ring.taken)
            }
            What::Write(address, data) => {
                let Some((at, freed)) = self.ring.take(data.len() as u32) else { return Ok(false) };
                mem.write_width(Width::Word, at, data)?;
                ([if fast { FASTROWS } else { PROGRAM }, address, data.len() as u32, at], freed)
            }
        };
        mem.write_width(Width::Word, self.queue + self.tail, &bytes(&job))?;
        mem.write32(self.address + TAIL, next)?;
        self.tail = next;
        self.sent(task, fast, freed);
        if self.sent.len() == 1 {
            (self.moved, self.began) = (mem.now(), mem.now());
        }
        Ok(true)
    }

    /// What the loader says of this channel, taken in: the tasks that are done.
    fn hear(&mut self, block: [u32; 4], now: Duration) -> Result<Vec<Task<'a>>> {
        let [head, phase, status, at] = block;
        if (head, at) != (self.head, self.at) {
            self.moved = now;
        }
        self.at = at;
        let mut done = Vec::new();
        while self.head != head {
            let Some((task, freed)) = self.sent.pop_front() else { return Err(astray(format!("HEAD = {head:#x}"))) };
            self.ring.freed = freed;
            self.head = (self.head + JOB) % self.length;
            done.push(task);
        }
        if phase == FAILED && done.is_empty() {
            return self.failed(status).map(|()| done);
        }
        Ok(done)
    }

    fn failed(&self, status: u32) -> Result<()> {
        let Some((task, _)) = self.sent.front() else { return Err(astray(format!("SR = {status:#010x}"))) };
        let error = decode(self.controller.errors, status, &format!("FLASH_SR{}", self.controller.suffix));
        match task.what {
            What::Erase(what) => error.during(what.text(task.bank)),
            What::Write(..) => error.during(format_args!("writing the flash word at {:#010x}", self.at - task.bank.word)),
        }
    }

    /// How long the job under way may stand still.
    fn limit(&self) -> Duration {
        let time = match self.sent.front().map(|(task, _)| task.what) {
            Some(What::Erase(what)) => self.controller.erase_bits(what).1,
            _ => self.controller.times[0],
        };
        time * 2 + SLACK
    }

    /// What the host waits for when it looks; `None`: nothing.
    fn phase(&self, ears: &Ears) -> Option<Phase> {
        self.sent.front().map(|(task, _)| ears.phase(task.what.phase(), &task.bank.name))
    }

    /// Between two looks.
    fn pause(&self) -> Duration {
        match self.sent.front().map(|(task, _)| task.what) {
            Some(What::Erase(_)) => (self.controller.times[1] / 400).clamp(Duration::from_micros(200), Duration::from_millis(5)),
            _ => Duration::from_micros(500),
        }
    }
}

/// Told of each task that is done, and when.
pub type Heard<'h> = &'h mut dyn FnMut(&Task, Duration);

/// The flash of one chip through the loader; the banks that `tasks` name are unlocked, the core is halted.
pub fn run(help: Help, mem: &mut MemAp, tasks: Vec<(Controller, Vec<Task>)>, ears: &Ears, done: Heard) -> Result<()> {
    let Help { core, ram } = help;
    let ram = ram.measured(mem)?;
    let enough = |ring: &(u32, u32)| ring.1 / tasks.len() as u32 >= 2 * LEAST;
    let Some(ring) = ram.ring().filter(enough) else {
        return Err(Error::target("there is too little RAM for the loader").hint("`program … noloader` does without it"));
    };
    let _upload = ears.phase("upload", "");
    let ap = mem.ap;
    let mut channels = channels(mem, ram, ring, tasks)?;
    let mut mem = MemAp::new(&mut *mem.probe, ap);
    let mem = &mut mem;
    upload(mem, ram, &channels)?;
    let guest = Guest { vectors: ram.work.0, entry: ram.work.0 + ENTRY, stack: ram.work.0 + ram.stack(), r7: ram.work.0 + MAILBOX };
    let host = core.start_guest(mem, &guest).during("starting the loader")?;
    let worked = work(mem, ram, &mut channels, ears, done).and_then(|()| say_refused(mem, &channels, ears));
    let stopped = core.stop_guest(mem, ears, host).during("stopping the loader");
    let settled = match &worked {
        Err(error) if matches!(error.cause, Cause::Unplugged) => Ok(()),
        _ => channels.iter().try_for_each(|channel| settle(mem, channel, ears, done)),
    };
    worked.and(stopped).and(settled)
}

fn channels<'a>(mem: &mut MemAp, ram: Ram, ring: (u32, u32), tasks: Vec<(Controller<'a>, Vec<Task<'a>>)>) -> Result<Vec<Channel<'a>>> {
    let share = (ring.1 / tasks.len() as u32) & !31;
    let mut channels = Vec::new();
    for (index, (controller, to_do)) in (0..).zip(tasks) {
        let base = mem.read32(controller.at(controller.cr))? & !controller.replaced;
        channels.push(Channel {
            base,
            address: ram.work.0 + MAILBOX + CHANNELS + index * CHANNEL,
            queue: ram.work.0 + QUEUES + index * ram.jobs() * JOB,
            length: ram.jobs() * JOB,
            to_do: to_do.into(),
            sent: VecDeque::new(),
            ring: Ring { start: ring.0 + index * share, size: share, chunk: (share / 16).clamp(LEAST, MOST) & !255, taken: 0, freed: 0 },
            rows: Rows::default(),
            tail: 0,
            head: 0,
            at: 0,
            moved: mem.now(),
            began: mem.now(),
            controller,
        });
    }
    Ok(channels)
}

/// Code and mailbox, with both channels' blocks: one that is not used has no SR.
fn upload(mem: &mut MemAp, ram: Ram, channels: &[Channel]) -> Result<()> {
    let mut image = CODE.to_vec();
    image.resize(MAILBOX as usize, 0);
    image.extend(bytes(&[ram.watchdogs[0], ram.watchdogs[1], 0, 0]));
    let blocks = [0, 1].map(|index| channels.get(index).map_or([0; 20], Channel::block));
    image.extend(blocks.iter().flat_map(|block| bytes(block)));
    mem.write_width(Width::Word, ram.work.0, &image).during("putting the loader into RAM")
}

/// Feed the queues until all is done.
fn work(mem: &mut MemAp, ram: Ram, channels: &mut [Channel], ears: &Ears, done: Heard) -> Result<()> {
    let mut looked = mem.now();
    loop {
        (ears.breathe)()?;
        let mut pushed = false;
        for channel in channels.iter_mut() {
            pushed |= channel.push(mem)?;
        }
        if pushed && mem.now() < looked + LOOK {
            continue;
        }
        looked = mem.now();
        let late: Vec<bool> = channels.iter().map(|channel| mem.now() > channel.moved + channel.limit()).collect();
        for (channel, late) in channels.iter_mut().zip(late) {
            if channel.sent.is_empty() {
                continue;
            }
            let _phase = channel.phase(ears);
            mem.probe.poll();
            let (block, now) = (read(mem, channel.address)?, mem.now());
            for task in channel.hear(block, now)? {
                ears.worked(task.what.phase(), &task.bank.name, now - channel.began);
                channel.began = now;
                done(&task, now);
            }
            if late && channel.moved != now && !channel.sent.is_empty() {
                return Err(stuck(mem, ram, channel));
            }
        }
        if channels.iter().all(|channel| channel.sent.is_empty() && channel.to_do.is_empty()) {
            return Ok(());
        }
        if !pushed {
            let _phase = channels.iter().find_map(|channel| channel.phase(ears));
            let pause = channels.iter().map(Channel::pause).min().unwrap_or_default();
            mem.sleep(pause);
        }
    }
}

/// Rows that the chip did not take fast.
fn say_refused(mem: &mut MemAp, channels: &[Channel], ears: &Ears) -> Result<()> {
    for channel in channels.iter().filter(|channel| channel.controller.fast.is_some()) {
        if mem.read32(channel.address + FAST)? == 0 {
            let status = mem.read32(channel.address + STATUS)?;
            ears.warn(format!("the chip took a row amiss (FLASH_SR = {status:#x}): fast programming is off, words go one by one"));
        }
    }
    Ok(())
}

/// After an error or Ctrl-C the core is halted, but its controller ends the erase that it had begun.
fn settle(mem: &mut MemAp, channel: &Channel, ears: &Ears, done: Heard) -> Result<()> {
    let Some((task, _)) = channel.sent.front() else { return Ok(()) };
    let What::Erase(what) = task.what else { return Ok(()) };
    let (bits, limit) = channel.controller.erase_bits(what);
    if mem.read32(channel.controller.at(channel.controller.cr))? & bits != bits {
        return Ok(());
    }
    channel.controller.finish_erase(mem, limit, ears)?;
    done(task, mem.now());
    Ok(())
}

fn stuck(mem: &mut MemAp, ram: Ram, channel: &Channel) -> Error {
    let fault = mem.read32(ram.work.0 + MAILBOX + FAULT).unwrap_or(0);
    let status = mem.read32(channel.controller.at(channel.controller.sr)).unwrap_or(0);
    let what = match fault {
        0 => format!("the loader does not go on (next address {:#010x}", channel.at),
        number => format!("the loader met exception {number} (next address {:#010x}", channel.at),
    };
    Error::target(format!("{what}, FLASH_SR{} = {status:#010x})", channel.controller.suffix))
        .cause(Cause::Timeout)
        .hint("`program … noloader` writes flash without it")
}

fn astray(what: String) -> Error {
    Error::target(format!("the loader's mailbox in RAM holds what the loader never writes ({what})"))
        .hint("is something else writing to that RAM (DMA, a second core)? `program … noloader` does without it")
}

fn bytes(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn read<const N: usize>(mem: &mut MemAp, address: u32) -> Result<[u32; N]> {
    let mut raw = vec![0; 4 * N];
    mem.read_width(Width::Word, address, &mut raw)?;
    let mut words = raw.chunks(4).map(|bytes| u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    Ok(std::array::from_fn(|_| words.next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_gives_pieces_that_do_not_overlap_and_takes_them_back() {
        let mut ring = Ring { start: 0x100, size: 1000, chunk: 600, taken: 0, freed: 0 };
        let (first, freed) = ring.take(600).unwrap();
        assert_eq!((first, ring.take(500)), (0x100, None), "neither behind the first nor over it");
        ring.freed = freed;
        assert_eq!(ring.take(600).map(|(at, _)| at), Some(0x100), "the end that is too short is left out");
        assert_eq!(ring.take(500), None);
    }
}
