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
const JOBS: u32 = 32;
const STACK: u32 = QUEUES + 2 * JOBS * JOB + 0x80;

// jobs.s, the mailbox and a channel.
const FAULT: u32 = 12;
const CHANNELS: u32 = 16;
const CHANNEL: u32 = 64;
const TAIL: u32 = 16;
const FAILED: u32 = 3;
const ERASE: u32 = 1;
const PROGRAM: u32 = 2;

/// Bytes of the longest program job: some 25 ms on a V2 at 4 MHz.
const CHUNK: usize = 4096;
/// What a job may take beyond the flash's own time.
const SLACK: Duration = Duration::from_millis(100);

/// RAM that the loader may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ram {
    /// Code, mailbox, queues, stack; never cached. (address, size)
    pub work: (u32, u32),
    /// Data; may be the same.
    pub data: (u32, u32),
    /// IWDG_KR and WWDG_CR, to be fed; 0: none.
    pub watchdogs: [u32; 2],
}

impl Ram {
    /// Where data goes: the rest of the work area, or RAM of its own. `None`: too little of it.
    fn ring(self) -> Option<(u32, u32)> {
        let behind = self.work.0 + STACK;
        let (start, end) = match self.data.0 == self.work.0 {
            true => (behind, self.data.0 + self.data.1),
            false => (self.data.0, self.data.0 + self.data.1),
        };
        (self.work.1 >= STACK && end.checked_sub(start)? >= CHUNK as u32).then_some((start, end - start))
    }

    pub fn is_enough(self) -> bool {
        self.ring().is_some()
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

impl<'a> Task<'a> {
    /// A run of flash words as jobs of a size that the ring takes.
    pub fn writes(bank: &'a Bank, step: &'a Step, address: u32, data: &'a [u8]) -> impl Iterator<Item = Task<'a>> {
        (address..).step_by(CHUNK).zip(data.chunks(CHUNK)).map(move |(at, data)| Task {
            bank,
            step,
            what: What::Write(at, data),
            last: false,
        })
    }
}

/// Data's place in RAM, as counts of all bytes that ever went in and came out.
struct Ring {
    start: u32,
    size: u32,
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

/// A controller's queue.
struct Channel<'a> {
    controller: Controller<'a>,
    /// CR's bits that stay as they are.
    base: u32,
    /// Of its block in the mailbox.
    address: u32,
    queue: u32,
    to_do: VecDeque<Task<'a>>,
    /// In the queue, with the ring's `freed` behind it.
    sent: VecDeque<(Task<'a>, u64)>,
    ring: Ring,
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
    fn block(&self) -> [u32; 16] {
        let controller = &self.controller;
        let errors = controller.errors.iter().fold(0, |bits, flag| bits | 1 << flag.bit);
        let (sr, cr) = (controller.at(controller.sr), controller.at(controller.cr));
        let [rest, pg] = [self.cr(0), self.cr(controller.pg)];
        [0, 0, 0, 0, 0, 0, 0, sr, cr, controller.busy, errors, rest, pg, controller.bank.word, self.queue, JOBS * JOB - 1]
    }

    /// Send the next job and its data, if there is one and room for it.
    fn push(&mut self, mem: &mut MemAp) -> Result<bool> {
        if self.sent.is_empty() {
            // From its start an empty ring takes whatever is not longer than itself.
            (self.ring.taken, self.ring.freed) = (0, 0);
        }
        let next = (self.tail + JOB) % (JOBS * JOB);
        let Some(task) = self.to_do.front().copied().filter(|_| next != self.head) else { return Ok(false) };
        let job = match task.what {
            What::Erase(what) => {
                let bits = self.cr(self.controller.erase_bits(what).0);
                [ERASE, bits, bits | self.controller.start, 0]
            }
            What::Write(address, data) => {
                let Some((at, freed)) = self.ring.take(data.len() as u32) else { return Ok(false) };
                mem.write_width(Width::Word, at, data)?;
                self.sent.push_back((task, freed));
                [PROGRAM, address, data.len() as u32, at]
            }
        };
        if job[0] == ERASE {
            self.sent.push_back((task, self.ring.taken));
        }
        mem.write_width(Width::Word, self.queue + self.tail, &bytes(&job))?;
        if self.sent.len() == 1 {
            (self.moved, self.began) = (mem.now(), mem.now());
        }
        self.tail = next;
        self.to_do.pop_front();
        mem.write32(self.address + TAIL, next)?;
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
            self.head = (self.head + JOB) % (JOBS * JOB);
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
    let enough = |ring: &(u32, u32)| ring.1 / tasks.len() as u32 >= CHUNK as u32;
    let Some(ring) = ram.ring().filter(enough) else {
        return Err(Error::target("there is too little RAM for the loader").hint("`program … noloader` does without it"));
    };
    let _upload = ears.phase("upload", "");
    let ap = mem.ap;
    let mut channels = channels(mem, ram, ring, tasks)?;
    let mut mem = MemAp::new(&mut *mem.probe, ap);
    let mem = &mut mem;
    upload(mem, ram, &channels)?;
    let guest = Guest { vectors: ram.work.0, entry: ram.work.0 + ENTRY, stack: ram.work.0 + STACK, r7: ram.work.0 + MAILBOX };
    let host = core.start_guest(mem, &guest).during("starting the loader")?;
    let worked = work(mem, ram, &mut channels, ears, done);
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
            queue: ram.work.0 + QUEUES + index * JOBS * JOB,
            to_do: to_do.into(),
            sent: VecDeque::new(),
            ring: Ring { start: ring.0 + index * share, size: share, taken: 0, freed: 0 },
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
    let blocks = [0, 1].map(|index| channels.get(index).map_or([0; 16], Channel::block));
    image.extend(blocks.iter().flat_map(|block| bytes(block)));
    mem.write_width(Width::Word, ram.work.0, &image).during("putting the loader into RAM")
}

/// Feed the queues until all is done.
fn work(mem: &mut MemAp, ram: Ram, channels: &mut [Channel], ears: &Ears, done: Heard) -> Result<()> {
    loop {
        (ears.breathe)()?;
        let mut pushed = false;
        for channel in channels.iter_mut() {
            pushed |= channel.push(mem)?;
        }
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
        let mut ring = Ring { start: 0x100, size: 1000, taken: 0, freed: 0 };
        let (first, freed) = ring.take(600).unwrap();
        assert_eq!((first, ring.take(500)), (0x100, None), "neither behind the first nor over it");
        ring.freed = freed;
        assert_eq!(ring.take(600).map(|(at, _)| at), Some(0x100), "the end that is too short is left out");
        assert_eq!(ring.take(500), None);
    }
}
