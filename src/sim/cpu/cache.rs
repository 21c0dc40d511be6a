//! The level 1 caches of a Cortex-M7 with what they hold, for `sim cache strict`: data and instructions can be stale, as
//! on the chip (ARM DDI0403 A3.8, B2.2 and B3.1; Cortex-M7 TRM DDI0489, level 1 memory system).
//!
//! Otherwise a core has no `Caches`, and memory is always coherent. Where the manuals leave a choice, the strict one is
//! taken, so that what works here works on any chip:
//! - reset clears CCR.IC and CCR.DC and keeps the lines, which software has to invalidate before it switches a cache on
//!   (the TRM demands that); at power-on they are empty (assumed: real tags are unknown then);
//! - lines are replaced in turn (assumed: the chip chooses pseudo-randomly);
//! - a debugger's cacheable access looks data up while CCR.DC is set, under the attributes that the core's own has; a read
//!   that misses takes no line, a write does where the memory is write-allocate (assumed).

use super::exec::Trap;
use super::{Cache, Core};
use crate::sim::bus::Bus;
use crate::sim::chip::{BusError, Size};
use crate::sim::flash::Master;

/// Bytes of a line: all Cortex-M7 caches have this, and their CCSIDR says so.
const LINE: usize = 32;

/// CCR (B3.2.8).
const DC: u32 = 1 << 16;
const IC: u32 = 1 << 17;
/// CSW of an AHB-AP, HPROT[3]: cacheable.
const CACHEABLE: u32 = 1 << 27;

/// CACR (Cortex-M7 TRM): shared memory is cached write-through; write-back memory is.
const CACR: u32 = 0xE000_EF9C;
const SIWT: u32 = 1 << 0;
const FORCEWT: u32 = 1 << 2;

/// How the level 1 data cache treats an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Policy {
    Uncached,
    WriteThrough,
    WriteBack { allocate: bool },
}

const THROUGH: Policy = Policy::WriteThrough;
const BACK: Policy = Policy::WriteBack { allocate: false };
const BACK_ALLOCATE: Policy = Policy::WriteBack { allocate: true };

/// The address map without MPU, by 512 MiB (DDI0403 B3.1, table B3-1).
const MAP: [Policy; 8] =
    [THROUGH, BACK_ALLOCATE, Policy::Uncached, BACK_ALLOCATE, THROUGH, Policy::Uncached, Policy::Uncached, Policy::Uncached];

/// An MPU region's TEX, C and B as the inner cache takes them (B3.5.9, table B3-15): `None` is device memory.
fn attributes(rasr: u32) -> Policy {
    let (tex, cb) = (rasr >> 19 & 7, rasr >> 16 & 3);
    match (tex, cb) {
        (0, 2) | (4.., 2) => THROUGH,
        (0, 3) | (4.., 3) => BACK,
        (1, 3) | (4.., 1) => BACK_ALLOCATE,
        _ => Policy::Uncached,
    }
}

/// What a maintenance operation does to the lines that it names.
#[derive(Clone, Copy)]
struct Effect {
    clean: bool,
    invalidate: bool,
}

const CLEAN: Effect = Effect { clean: true, invalidate: false };
const INVALIDATE: Effect = Effect { clean: false, invalidate: true };
const BOTH: Effect = Effect { clean: true, invalidate: true };

enum Operation {
    Instructions,
    InstructionAt,
    DataAt(Effect),
    DataWay(Effect),
}

/// Write-only registers of the SCS (B3.2.2, table B3-6), ICIALLU to DCCISW.
fn operation(address: u32) -> Option<Operation> {
    Some(match address {
        0xE000_EF50 => Operation::Instructions,
        0xE000_EF58 => Operation::InstructionAt,
        0xE000_EF5C => Operation::DataAt(INVALIDATE),
        0xE000_EF60 => Operation::DataWay(INVALIDATE),
        // By DCCMVAU to the point of unification, by DCCMVAC to that of coherency: both are memory.
        0xE000_EF64 | 0xE000_EF68 => Operation::DataAt(CLEAN),
        0xE000_EF6C => Operation::DataWay(CLEAN),
        0xE000_EF70 => Operation::DataAt(BOTH),
        0xE000_EF74 => Operation::DataWay(BOTH),
        _ => return None,
    })
}

#[derive(Clone, Copy)]
struct Line {
    /// Of its first byte.
    address: u32,
    valid: bool,
    dirty: bool,
    bytes: [u8; LINE],
}

const EMPTY: Line = Line { address: 0, valid: false, dirty: false, bytes: [0; LINE] };

/// One cache.
struct Level1 {
    sets: usize,
    ways: usize,
    /// Set by set.
    lines: Vec<Line>,
    /// The way that is given up next.
    turn: usize,
}

impl Level1 {
    /// CCSIDR (B4.8.2).
    fn new(ccsidr: u32) -> Level1 {
        let (sets, ways) = ((ccsidr >> 13 & 0x7FFF) as usize + 1, (ccsidr >> 3 & 0x3FF) as usize + 1);
        Level1 { sets, ways, lines: vec![EMPTY; sets * ways], turn: 0 }
    }

    fn set(&self, address: u32) -> std::ops::Range<usize> {
        let set = address as usize / LINE % self.sets;
        set * self.ways..(set + 1) * self.ways
    }

    fn find(&self, address: u32) -> Option<usize> {
        self.set(address).find(|line| self.lines[*line].valid && self.lines[*line].address == base(address))
    }

    /// Where a new line goes: an empty place, else the next in turn.
    fn place(&mut self, address: u32) -> usize {
        let set = self.set(address);
        if let Some(empty) = set.clone().find(|line| !self.lines[*line].valid) {
            return empty;
        }
        self.turn = (self.turn + 1) % self.ways;
        set.start + self.turn
    }

    /// The line that a set/way operation names: way at the top, set above the offset (B2.2.7).
    fn by_way(&self, value: u32) -> Option<usize> {
        let way_bits = self.ways.next_power_of_two().trailing_zeros();
        let way = if way_bits == 0 { 0 } else { value as usize >> (32 - way_bits) };
        let set = value as usize / LINE % self.sets.next_power_of_two();
        (way < self.ways && set < self.sets).then_some(set * self.ways + way)
    }
}

fn base(address: u32) -> u32 {
    address & !(LINE as u32 - 1)
}

/// Both caches of one core.
pub(super) struct Caches {
    data: Level1,
    instruction: Level1,
}

impl Caches {
    fn new(row: &Cache) -> Caches {
        Caches { data: Level1::new(row.data), instruction: Level1::new(row.instruction) }
    }
}

fn part(line: &Line, address: u32, size: Size) -> u32 {
    let offset = address as usize % LINE;
    line.bytes[offset..offset + size as usize].iter().rev().fold(0, |sum, byte| sum << 8 | u32::from(*byte))
}

/// True if that changed anything.
fn put(line: &mut Line, address: u32, size: Size, value: u32) -> bool {
    let offset = address as usize % LINE;
    let place = &mut line.bytes[offset..offset + size as usize];
    let new = &value.to_le_bytes()[..size as usize];
    let changed = place != new;
    place.copy_from_slice(new);
    changed
}

// ---- the mode, CCR and maintenance ----

impl Core {
    /// Caches that can be stale, or none at all. False: the core has no caches. What is dirty is written to memory first.
    pub fn set_strict(&mut self, bus: &mut Bus, strict: bool) -> bool {
        if strict != self.is_strict() {
            self.clean_all(bus);
            self.caches = self.row.cache.filter(|_| strict).map(|row| Box::new(Caches::new(&row)));
            self.caches_changed();
        }
        self.row.cache.is_some()
    }

    pub fn is_strict(&self) -> bool {
        self.caches.is_some()
    }

    fn clean_all(&mut self, bus: &mut Bus) {
        let lines = self.caches.as_ref().map_or(0, |caches| caches.data.lines.len());
        (0..lines).for_each(|line| self.write_back(bus, line));
    }

    /// Power is on: strict caches are empty.
    pub(super) fn empty_caches(&mut self, strict: bool) {
        self.caches = self.row.cache.filter(|_| strict).map(|row| Box::new(Caches::new(&row)));
    }

    /// CCR was written, or reset: which caches take part.
    pub(super) fn caches_changed(&mut self) {
        let ccr = if self.caches.is_some() { self.ccr() } else { 0 };
        self.data_cached = ccr & DC != 0;
        self.guards_changed();
        if self.code_cached != (ccr & IC != 0) {
            self.code_cached = !self.code_cached;
            self.decoded.clear();
        }
    }

    /// A word was written to the private bus: what of it the caches have to do.
    #[inline]
    pub fn maintain(&mut self, bus: &mut Bus, address: u32, value: u32) {
        if self.caches.is_some()
            && let Some(operation) = operation(address)
        {
            self.carry_out(bus, operation, value);
        }
    }

    #[cold]
    fn carry_out(&mut self, bus: &mut Bus, operation: Operation, value: u32) {
        let Some(caches) = &mut self.caches else { return };
        match operation {
            Operation::Instructions => {
                caches.instruction.lines.fill(EMPTY);
                self.decoded.clear();
            }
            Operation::InstructionAt => {
                if let Some(line) = caches.instruction.find(value) {
                    caches.instruction.lines[line] = EMPTY;
                    self.decoded.forget_range(base(value), LINE as u32);
                }
            }
            Operation::DataAt(effect) => {
                if let Some(line) = caches.data.find(value) {
                    self.treat(bus, line, effect);
                }
            }
            Operation::DataWay(effect) => {
                if let Some(line) = caches.data.by_way(value) {
                    self.treat(bus, line, effect);
                }
            }
        }
    }

    fn treat(&mut self, bus: &mut Bus, line: usize, effect: Effect) {
        if effect.clean {
            self.write_back(bus, line);
        }
        if effect.invalidate
            && let Some(caches) = &mut self.caches
        {
            caches.data.lines[line] = EMPTY;
        }
    }

    /// A dirty line goes to memory. Where memory has gone it is lost, and that comes out later.
    fn write_back(&mut self, bus: &mut Bus, line: usize) {
        let Some(line) = self.caches.as_mut().map(|caches| &mut caches.data.lines[line]) else { return };
        if !std::mem::take(&mut line.dirty) {
            return;
        }
        let (address, bytes) = (line.address, line.bytes);
        for (word, at) in bytes.as_chunks().0.iter().zip((address..).step_by(4)) {
            if bus.write(at, Size::Word, u32::from_le_bytes(*word), Master::Core).is_err() {
                self.store_failed();
            }
        }
        self.decoded.forget_range(address, LINE as u32);
    }
}

// ---- accesses ----

impl Core {
    fn policy(&self, bus: &Bus, address: u32) -> Policy {
        if bus.held || bus.tightly_coupled(address) {
            return Policy::Uncached;
        }
        let cacr = self.scs.peek(CACR).unwrap_or(0);
        let policy = match self.mpu_attributes(address) {
            None => MAP[(address >> 29) as usize],
            Some((_, true)) if cacr & SIWT == 0 => Policy::Uncached,
            Some((rasr, true)) if attributes(rasr) != Policy::Uncached => THROUGH,
            Some((rasr, _)) => attributes(rasr),
        };
        match policy {
            Policy::WriteBack { .. } if cacr & FORCEWT != 0 => THROUGH,
            policy => policy,
        }
    }

    /// A load by the core while CCR.DC is set. `None`: not through the cache.
    #[cold]
    pub(super) fn cached_load(&mut self, bus: &mut Bus, address: u32, size: Size) -> Result<Option<u32>, Trap> {
        if self.policy(bus, address) == Policy::Uncached {
            return Ok(None);
        }
        if self.held(address).is_none() {
            self.cycles += self.wait_states(address);
        }
        let line = self.data_line(bus, address)?;
        Ok(line.map(|line| part(line, address, size)))
    }

    /// A store by the core while CCR.DC is set. False: memory has to be written as without a cache.
    #[cold]
    pub(super) fn cached_store(&mut self, bus: &mut Bus, address: u32, size: Size, value: u32) -> Result<bool, Trap> {
        let policy = self.policy(bus, address);
        if policy == BACK_ALLOCATE {
            self.data_line(bus, address)?;
        }
        let Some(line) = self.held(address).filter(|_| policy != Policy::Uncached) else { return Ok(false) };
        let changed = put(line, address, size, value);
        line.dirty |= policy != THROUGH;
        self.stores += u64::from(changed);
        Ok(policy != THROUGH)
    }

    /// A fetch by the core while CCR.IC is set: memory as it was when the line was read. `None`: not through the cache.
    #[cold]
    pub(super) fn cached_fetch(&mut self, bus: &mut Bus, address: u32) -> Result<Option<u16>, Trap> {
        if self.policy(bus, address) == Policy::Uncached {
            return Ok(None);
        }
        let found = self.caches.as_ref().and_then(|caches| caches.instruction.find(address));
        let place = match found {
            Some(place) => place,
            None => {
                self.cycles += self.wait_states(address);
                let Some(bytes) = self.fetch_line(bus, address)? else { return Ok(None) };
                let Some(cache) = self.caches.as_mut().map(|caches| &mut caches.instruction) else { return Ok(None) };
                let place = cache.place(address);
                let gone = std::mem::replace(&mut cache.lines[place], Line { address: base(address), valid: true, dirty: false, bytes });
                if gone.valid {
                    self.decoded.forget_range(gone.address, LINE as u32);
                }
                place
            }
        };
        Ok(self.caches.as_ref().map(|caches| part(&caches.instruction.lines[place], address, Size::Half) as u16))
    }

    /// The vector table and a debugger see what the data cache holds, and take no line.
    fn seen(&self, bus: &Bus, address: u32) -> Option<&Line> {
        if !self.data_cached || self.policy(bus, address) == Policy::Uncached {
            return None;
        }
        let caches = self.caches.as_ref()?;
        caches.data.find(address).map(|line| &caches.data.lines[line])
    }

    /// A read as `bus.read`, of what the data cache holds if it does.
    pub(super) fn read_seen(&self, bus: &mut Bus, address: u32, size: Size) -> Result<u32, BusError> {
        match self.seen(bus, address) {
            Some(line) => Ok(part(line, address, size)),
            None => bus.read(address, size, Master::Core),
        }
    }

    /// A debugger's read: what the data cache answers. `None`: memory does.
    pub fn debug_load(&self, bus: &Bus, csw: u32, address: u32, size: Size) -> Option<u32> {
        let line = self.seen(bus, address).filter(|_| csw & CACHEABLE != 0)?;
        Some(part(line, address, size))
    }

    /// A debugger's write. False: memory has to be written.
    pub fn debug_store(&mut self, bus: &mut Bus, csw: u32, address: u32, size: Size, value: u32) -> bool {
        // A line that cannot be read leaves the write to memory, which knows why.
        self.data_cached && csw & CACHEABLE != 0 && self.cached_store(bus, address, size, value).unwrap_or(false)
    }

    fn held(&mut self, address: u32) -> Option<&mut Line> {
        let data = &mut self.caches.as_mut()?.data;
        let line = data.find(address)?;
        Some(&mut data.lines[line])
    }

    /// The data cache's line of `address`, read from memory if it is not there. `None`: memory does not give all of it.
    fn data_line(&mut self, bus: &mut Bus, address: u32) -> Result<Option<&mut Line>, Trap> {
        if self.held(address).is_none() {
            let Some(bytes) = self.fetch_line(bus, address)? else { return Ok(None) };
            let Some(place) = self.caches.as_mut().map(|caches| caches.data.place(address)) else { return Ok(None) };
            self.write_back(bus, place);
            if let Some(caches) = &mut self.caches {
                caches.data.lines[place] = Line { address: base(address), valid: true, dirty: false, bytes };
            }
        }
        Ok(self.held(address))
    }

    fn fetch_line(&mut self, bus: &mut Bus, address: u32) -> Result<Option<[u8; LINE]>, Trap> {
        self.bring_up(bus);
        let mut bytes = [0; LINE];
        for (word, at) in bytes.as_chunks_mut().0.iter_mut().zip((base(address)..).step_by(4)) {
            *word = match bus.read(at, Size::Word, Master::Core) {
                Ok(value) => value.to_le_bytes(),
                Err(BusError::Fault) => return Ok(None),
                Err(BusError::Busy { until }) => return Err(Trap::Busy { until }),
            };
        }
        Ok(Some(bytes))
    }
}
