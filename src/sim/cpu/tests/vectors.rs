//! Every encoding of the decode table against vectors that QEMU's core made (tests/cpu/vectors.py describes the file).

use super::super::*;
use crate::sim::bus::Bus;
use crate::sim::chip::Size;
use crate::sim::chips;
use crate::sim::flash::Master;
use std::collections::BTreeMap;

const VECTORS: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cpu/vectors.bin"));
const CODE: u32 = 0x1_1000;
const DATA: u32 = 0x2000_0000;
const WORDS: u32 = 0x800;
const EDGE: [u32; 12] = [0, 0x8000_0000, 1, 0xFFFF_FFFF, 0x7FFF_FFFF, 0x8000_0001, 0xFF, 0xFFFF, 0x8000, 0x7FFF, 0x8000_8000, 0x7FFF_7FFF];
const FP_EDGE: [u32; 19] = [
    0,
    0x8000_0000,
    0x7F80_0000,
    0xFF80_0000,
    0x3F80_0000,
    0xBF80_0000,
    1,
    0x007F_FFFF,
    0x7F7F_FFFF,
    0x4049_0FDB,
    0x4F00_0000,
    0xCF00_0000,
    0x4F80_0000,
    0x3F00_0000,
    0xBFC0_0000,
    0x7FC0_0000,
    0x7FF0_0000,
    0x41DF_FFFF,
    0xC1E0_0000,
];
/// Exception flags that the file leaves out: IXC and UFC.
const LEFT_OUT: u32 = 0x18;

struct Stream(u32);

impl Stream {
    fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn register(&mut self) -> u32 {
        let (kind, value) = (self.next() & 7, self.next());
        match kind {
            0 => EDGE[value as usize % EDGE.len()],
            1 => value & 63,
            2..=4 => DATA + 0x800 + value % 128 * 4,
            5 => DATA + 0x400 + value % 0x800,
            _ => value,
        }
    }

    fn fp_register(&mut self, number: usize) -> u32 {
        let (kind, value) = (self.next() & 7, self.next());
        match kind {
            0 | 1 => FP_EDGE[value as usize % FP_EDGE.len()],
            2 | 3 => value & 0x807F_FFFF | (120 + (value >> 24 & 15)) << 23,
            4 | 5 if number % 2 == 1 => value & 0x800F_FFFF | (1016 + (value >> 24 & 15)) << 20,
            _ => value,
        }
    }
}

struct Vector {
    wide: bool,
    v6m: bool,
    code: [u16; 2],
    seed: u32,
    changes: Vec<(u8, u32)>,
    memory: Vec<(u16, u32)>,
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (head, tail) = rest.split_first_chunk::<N>().expect("a whole record");
    *rest = tail;
    *head
}

fn vectors() -> Vec<Vector> {
    let rest = &mut &VECTORS[..];
    let mut vectors = Vec::new();
    while !rest.is_empty() {
        let [flags] = take(rest);
        let code = [u16::from_le_bytes(take(rest)), u16::from_le_bytes(take(rest))];
        let seed = u32::from_le_bytes(take(rest));
        let [count] = take(rest);
        let (mut changes, mut memory) = (Vec::new(), Vec::new());
        for _ in 0..count {
            match take(rest) {
                [255] => memory.push((u16::from_le_bytes(take(rest)), u32::from_le_bytes(take(rest)))),
                [place] => changes.push((place, u32::from_le_bytes(take(rest)))),
            }
        }
        vectors.push(Vector { wide: flags & 1 != 0, v6m: flags & 2 != 0, code, seed, changes, memory });
    }
    vectors
}

fn word(index: u32) -> u32 {
    index.wrapping_mul(0x9E37_79B1) ^ index >> 3
}

/// A core that stands before the vector's instruction.
fn prepared(vector: &Vector, bus: &mut Bus, row: &'static CoreRow) -> Core {
    let mut core = Core::new(row);
    core.state = State::Running;
    core.scs.poke(0xE000_ED88, 0x00F0_0000);
    let mut stream = Stream(vector.seed);
    let registers: [u32; 15] = std::array::from_fn(|_| stream.register());
    core.r[..15].copy_from_slice(&registers);
    core.r[13] = DATA + 0x800 + stream.next() % 64 * 4;
    core.set_xpsr(stream.next() & if vector.v6m { 0xF000_0000 } else { 0xF80F_0000 } | psr::T);
    core.s = std::array::from_fn(|number| stream.fp_register(number));
    core.pc = CODE;
    let code: Vec<u8> = vector.code[..if vector.wide { 2 } else { 1 }].iter().flat_map(|half| half.to_le_bytes()).collect();
    bus.poke(CODE, &[0; 8]);
    bus.poke(CODE, &code);
    core
}

/// Everything that a vector can change, in its order.
fn shown(core: &Core) -> Vec<u32> {
    let flags = core.apsr() & if core.row.arch == Arch::V6M { 0xF000_0000 } else { 0xF80F_0000 };
    let fpscr = core.fpscr & !LEFT_OUT;
    core.r[..15].iter().copied().chain([core.pc, flags]).chain(core.s).chain([fpscr]).collect()
}

/// What differs, in words; memory is put back.
fn differences(core: &mut Core, bus: &mut Bus, vector: &Vector, before: &[u32], size: u32) -> Vec<String> {
    let mut expected = before.to_vec();
    vector.changes.iter().for_each(|(place, value)| expected[*place as usize] = *value);
    // unicorn lets SP have any value; the manual says its two low bits are 0.
    expected[13] &= !3;
    let found = shown(core);
    let mut different: Vec<String> = (0..found.len())
        .filter(|place| found[*place] != expected[*place])
        .map(|place| format!("place {place}: {:08x}, not {:08x}", found[place], expected[place]))
        .collect();
    for index in 0..size {
        let offset = 4 * index;
        let written = vector.memory.iter().find(|(at, _)| u32::from(*at) == offset);
        let value = bus.read(DATA + offset, Size::Word, Master::Core).unwrap();
        if value != written.map_or(word(index), |(_, value)| *value) {
            different.push(format!("memory {offset:#x}: {value:08x}"));
        }
        if value != word(index) {
            bus.poke(DATA + offset, &word(index).to_le_bytes());
        }
    }
    different
}

/// An alignment fault is the core's right answer where unicorn has none.
fn unaligned(done: exec::Done) -> bool {
    done == Err(exec::Trap::Unaligned)
}

#[test]
fn every_encoding_does_what_it_does_in_qemu() {
    let rows = [chips::find("bare-m7").unwrap(), chips::find("bare-m0").unwrap()];
    let mut buses = rows.map(Bus::new);
    for bus in &mut buses {
        bus.poke(CODE & !0xFFFF, &[0; 0x1_0000]);
        (0..WORDS).for_each(|index| assert_eq!(bus.poke(DATA + 4 * index, &word(index).to_le_bytes()), 4));
    }
    let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
    for vector in vectors() {
        let (row, bus) = (rows[usize::from(vector.v6m)].core, &mut buses[usize::from(vector.v6m)]);
        let mut core = prepared(&vector, bus, row);
        let raw = if vector.wide { u32::from(vector.code[0]) << 16 | u32::from(vector.code[1]) } else { vector.code[0].into() };
        let name = decode::find(core.model, vector.wide, raw).map_or("undefined", |row| row.name);
        let before = shown(&core);
        let done = core.step(bus);
        if unaligned(done) {
            continue;
        }
        assert_eq!(done, Ok(()), "{name}: {raw:08x} seed {:08x}", vector.seed);
        let different = differences(&mut core, bus, &vector, &before, WORDS);
        assert_eq!(different, [""; 0], "{name}: {raw:08x} seed {:08x}", vector.seed);
        *counts.entry(name).or_default() += 1;
    }
    let apart = |name: &str| APART.iter().any(|prefix| name.starts_with(prefix));
    for row in decode::T16.iter().chain(decode::T32).filter(|row| !apart(row.name)) {
        assert!(counts.get(row.name).is_some_and(|count| *count >= 5), "{}: {:?} vectors", row.name, counts.get(row.name));
    }
}

/// Rows that vectors cannot show: they change no register, or go to another exception.
const APART: [&str; 19] = [
    "CPS",
    "BKPT",
    "NOP",
    "IT ",
    "UDF",
    "SVC",
    "MSR",
    "MRS",
    "(unallocated)",
    "(coprocessor)",
    "CLREX",
    "DSB",
    "DMB",
    "ISB",
    "VMSR",
    "PLD",
    "PLI",
    "STREXB",
    "STREXH",
];
