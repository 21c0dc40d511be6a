//! Every encoding of the decode table against what QEMU's core makes of it, by way of unicorn (tests/cpu/vectors.py says how
//! vectors are made and what a record is).
//!
//! The committed file has 20 vectors of each row; where python3 has unicorn a thousand are made anew:
//!
//!     cargo test --lib every_encoding_a_thousand_times -- --nocapture      prints the count of each row on each core
//!
//! ROCD_PYTHON names a python3 that has unicorn; ROCD_VECTORS another number than 1,000, ROCD_SEED another seed than 1.

use super::super::*;
use crate::sim::bus::Bus;
use crate::sim::chip::Size;
use crate::sim::chips;
use crate::sim::flash::Master;
use exec::Trap;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use verdict::Verdict;

#[path = "../../../../tests/served/verdict.rs"]
mod verdict;

const VECTORS: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cpu/vectors.bin"));
const CODE: u32 = 0x1_1000;
pub(super) const DATA: u32 = 0x2000_0000;
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

pub(super) struct Stream(pub u32);

impl Stream {
    pub fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }

    fn register(&mut self, operands: bool) -> u32 {
        let (kind, value) = (self.next() & 7, self.next());
        match kind {
            0 => EDGE[value as usize % EDGE.len()],
            2..=4 if operands => EDGE[value as usize % EDGE.len()],
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

/// What a record calls its trap, from 1.
const TRAPS: [Trap; 5] = [Trap::Undefined, Trap::Supervisor, Trap::Breakpoint, Trap::NoCp, Trap::Unaligned];

struct Vector {
    v6m: bool,
    operands: bool,
    /// Instructions, and which of them is the row's.
    count: u8,
    which: u8,
    code: Vec<u16>,
    seed: u32,
    trap: Option<Trap>,
    changes: Vec<(u8, u32)>,
    memory: Vec<(u16, u32)>,
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (head, tail) = rest.split_first_chunk::<N>().expect("a whole record");
    *rest = tail;
    *head
}

fn vector(rest: &mut &[u8]) -> Vector {
    let [flags, count, which, halves] = take(rest);
    let code = (0..halves).map(|_| u16::from_le_bytes(take(rest))).collect();
    let seed = u32::from_le_bytes(take(rest));
    let [trap, places] = take(rest);
    let (mut changes, mut memory) = (Vec::new(), Vec::new());
    for _ in 0..places {
        match take(rest) {
            [255] => memory.push((u16::from_le_bytes(take(rest)), u32::from_le_bytes(take(rest)))),
            [place] => changes.push((place, u32::from_le_bytes(take(rest)))),
        }
    }
    let trap = (trap != 0).then(|| TRAPS[usize::from(trap) - 1]);
    Vector { v6m: flags & 1 != 0, operands: flags & 2 != 0, count, which, code, seed, trap, changes, memory }
}

fn word(index: u32) -> u32 {
    index.wrapping_mul(0x9E37_79B1) ^ index >> 3
}

/// A core that stands before the vector's first instruction.
fn prepare(core: &mut Core, vector: &Vector, bus: &mut Bus) {
    core.reset_system(0);
    core.reset_registers();
    core.state = State::Running;
    core.scs.poke(0xE000_ED88, 0x00F0_0000);
    let mut stream = Stream(vector.seed);
    let registers: [u32; 15] = std::array::from_fn(|_| stream.register(vector.operands));
    core.r[..15].copy_from_slice(&registers);
    core.r[13] = DATA + 0x800 + stream.next() % 64 * 4;
    core.other_sp = 0;
    core.set_xpsr(stream.next() & if vector.v6m { 0xF000_0000 } else { 0xF80F_0000 } | psr::T);
    core.s = std::array::from_fn(|number| stream.fp_register(number));
    let fpscr = stream.next() & 0xF7C0_0000;
    core.fpscr = if vector.seed & 1 != 0 { fpscr } else { 0 };
    // FPCCR.ASPEN off: the first FP instruction does not load FPSCR from FPDSCR
    core.scs.poke(0xE000_EF34, 0);
    core.pc = CODE;
    let code: Vec<u8> = vector.code.iter().flat_map(|half| half.to_le_bytes()).collect();
    bus.poke(CODE, &[0; 40]);
    bus.poke(CODE, &code);
}

/// Everything that a vector can change, in its order.
fn shown(core: &Core) -> Vec<u32> {
    let flags = core.apsr() & if core.row.arch == Arch::V6M { 0xF000_0000 } else { 0xF80F_0000 };
    let fpscr = core.fpscr & !LEFT_OUT;
    core.r[..15].iter().copied().chain([core.pc, flags]).chain(core.s).chain([fpscr]).collect()
}

/// What differs, in words; memory is put back.
fn differences(core: &Core, bus: &mut Bus, vector: &Vector, before: &[u32]) -> Vec<String> {
    let mut expected = before.to_vec();
    vector.changes.iter().for_each(|(place, value)| expected[*place as usize] = *value);
    // unicorn lets SP have any value; the manual says its two low bits are 0.
    expected[13] &= !3;
    let found = shown(core);
    let mut different: Vec<String> = (0..found.len())
        .filter(|place| found[*place] != expected[*place])
        .map(|place| format!("{}: {:08x}, not {:08x}", place_name(place), found[place], expected[place]))
        .collect();
    let stored = |offset: u32| vector.memory.iter().find(|(at, _)| u32::from(*at) == offset).map(|(_, value)| *value);
    let image = bus.memory(DATA).expect("RAM lies there");
    let mut changed = Vec::new();
    for (offset, bytes) in (0..4 * WORDS).step_by(4).zip(image.chunks_exact(4)) {
        let value = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        let wanted = stored(offset).unwrap_or(word(offset / 4));
        if value != wanted {
            different.push(format!("memory at {:#010x}: {value:08x}, not {wanted:08x}", DATA + offset));
        }
        if value != word(offset / 4) {
            changed.push(offset);
        }
    }
    for offset in changed {
        bus.poke(DATA + offset, &word(offset / 4).to_le_bytes());
    }
    different
}

fn place_name(place: usize) -> String {
    match place {
        0..=14 => format!("r{place}"),
        15 => "pc".into(),
        16 => "APSR".into(),
        17..=48 => format!("s{}", place - 17),
        _ => "FPSCR".into(),
    }
}

/// One instruction: 16 or 32 bits of it.
fn raw(core: &mut Core, bus: &mut Bus) -> (bool, u32) {
    let mut half = |address| bus.read(address, Size::Half, Master::Core).unwrap_or(0);
    let first = half(core.pc);
    if first >= 0xE800 { (true, first << 16 | half(core.pc + 2)) } else { (false, first) }
}

/// Runs a vector: the row that it is for, and what is wrong with it.
fn run(core: &mut Core, bus: &mut Bus, vector: &Vector) -> (&'static str, Vec<String>) {
    prepare(core, vector, bus);
    let before = shown(core);
    let (mut name, mut done) = ("undefined", Ok(()));
    for index in 0..vector.count {
        if index == vector.which {
            let (wide, raw) = raw(core, bus);
            name = decode::find(core.model, wide, raw).map_or("undefined", |row| row.name);
        }
        done = core.step(bus);
        if done.is_err() {
            break;
        }
    }
    let different = match (done.err(), vector.trap) {
        (None, None) => differences(core, bus, vector, &before),
        (found, wanted) if found == wanted => Vec::new(),
        (found, wanted) => vec![format!("trap {found:?}, not {wanted:?}")],
    };
    (name, different)
}

/// Counts by row and core: (vectors, those of them that trap).
type Counts = BTreeMap<(&'static str, bool), (u32, u32)>;

/// Runs them all; what differs, up to three of a row, in words.
fn check(records: &[u8]) -> (Counts, Vec<String>) {
    let rows = [chips::find("bare-m7").unwrap(), chips::find("bare-m0").unwrap()];
    let mut buses = rows.map(Bus::new);
    for bus in &mut buses {
        bus.poke(CODE & !0xFFFF, &[0; 0x1_0000]);
        (0..WORDS).for_each(|index| assert_eq!(bus.poke(DATA + 4 * index, &word(index).to_le_bytes()), 4));
    }
    let mut cores = rows.map(|row| Core::new(row.core));
    let (mut counts, mut wrong, rest) = (Counts::new(), Vec::new(), &mut &records[..]);
    while !rest.is_empty() {
        let vector = vector(rest);
        let at = usize::from(vector.v6m);
        let (name, different) = run(&mut cores[at], &mut buses[at], &vector);
        let count = counts.entry((name, vector.v6m)).or_default();
        count.0 += 1;
        count.1 += u32::from(vector.trap.is_some());
        if !different.is_empty() && wrong.iter().filter(|line: &&String| line.starts_with(name)).count() < 3 {
            let core = if vector.v6m { "ARMv6-M" } else { "ARMv7E-M" };
            let before = before(&mut cores[at], &mut buses[at], &vector);
            wrong.push(format!(
                "{name} on {core}: {:04x?} seed {:08x}: {}; before: {before:08x?}",
                vector.code,
                vector.seed,
                different.join(", ")
            ));
        }
    }
    (counts, wrong)
}

/// r0-r14 and the flags that a vector starts with.
fn before(core: &mut Core, bus: &mut Bus, vector: &Vector) -> Vec<u32> {
    prepare(core, vector, bus);
    shown(core)[..17].to_vec()
}

/// Every row of every core has so many vectors that complete, or that trap where it does nothing else.
fn too_few(counts: &Counts, wanted: u32) -> Vec<String> {
    let rows = || decode::T16.iter().chain(decode::T32);
    let pairs = rows().map(|row| (row, false)).chain(rows().filter(|row| row.arch == decode::Arch::V6M).map(|row| (row, true)));
    pairs
        .filter(|(row, v6m)| {
            let (all, trapped) = counts.get(&(row.name, *v6m)).copied().unwrap_or_default();
            // those that do nothing but trap complete where an IT block skips them
            let complete = if 2 * trapped > all { all } else { all - trapped };
            complete < wanted
        })
        .map(|(row, v6m)| format!("{} (v6-M: {v6m}): {:?}", row.name, counts.get(&(row.name, v6m))))
        .collect()
}

#[test]
fn every_encoding_does_what_it_does_in_qemu() {
    let (counts, wrong) = check(VECTORS);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(too_few(&counts, 20), [""; 0], "vectors of each row");
}

/// A python3 that has unicorn.
fn python() -> Option<String> {
    let venv = concat!(env!("CARGO_MANIFEST_DIR"), "/target/unicorn/bin/python3");
    let named = std::env::var("ROCD_PYTHON").ok();
    named.into_iter().chain([venv.to_string(), "python3".into()]).find(|python| {
        let asked = Command::new(python).args(["-c", "import unicorn"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    })
}

fn number(variable: &str, otherwise: u32) -> u32 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().expect("a number"))
}

/// What the script makes of these arguments, and unicorn as the judge of it; `None`, and said so, without a python3 that has
/// unicorn.
pub(super) fn made(judge: &str, arguments: &[&str]) -> Option<(Verdict, Vec<u8>)> {
    let python = python();
    let missing = "python3 has no unicorn (pip install unicorn==2.1.4, in a venv at target/unicorn)".to_string();
    let verdict = Verdict::unless(python.is_none().then_some(missing), judge, "Cortex-M0+, M4, M7")?;
    let python = python?;
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("vectors.bin");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cpu/vectors.py");
    let said = Command::new(python).arg(script).args(arguments).arg(&out).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    println!("{}", String::from_utf8_lossy(&said.stdout));
    Some((verdict, std::fs::read(&out).unwrap()))
}

#[test]
fn every_encoding_a_thousand_times() {
    let (wanted, seed) = (number("ROCD_VECTORS", 1000), number("ROCD_SEED", 1));
    let judge = format!("unicorn, {wanted} vectors of every encoding");
    let Some((_verdict, records)) = made(&judge, &[&wanted.to_string(), &seed.to_string()]) else { return };
    let (counts, wrong) = check(&records);
    for ((name, v6m), (all, trapped)) in &counts {
        println!("{:9} {all:>6} vectors, {trapped:>6} of them trap: {name}", if *v6m { "ARMv6-M" } else { "ARMv7E-M" });
    }
    println!("{} vectors of {} rows and cores", counts.values().map(|count| count.0).sum::<u32>(), counts.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(too_few(&counts, wanted), [""; 0]);
}
