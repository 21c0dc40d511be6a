//! Which encodings are instructions: every 16-bit one and a dense sample of 32-bit ones.
//!
//! ARMv7E-M is asked of unicorn (tests/cpu/vectors.py sweep), ARMv6-M of the manual's own short list (DDI0419 A5.2, A5.3).
//! Where the core and unicorn rightly differ the encodings stand in `EXPLAINED`, with the reason:
//!
//!     cargo test --lib undefined_encodings -- --nocapture      prints their counts

use super::super::*;
use super::vectors::{DATA, made};
use crate::sim::bus::Bus;
use crate::sim::chips;
use exec::Trap;
use std::collections::BTreeMap;

const CODE: u32 = 0x1_1000;

struct Explained {
    halves: u8,
    mask: u32,
    value: u32,
    /// What it is here; it is the opposite in unicorn.
    undefined: bool,
    why: &'static str,
}

const fn explained(halves: u8, mask: u32, value: u32, undefined: bool, why: &'static str) -> Explained {
    Explained { halves, mask, value, undefined, why }
}

/// Encodings on which unicorn is no judge: it is a Cortex-M33, and an A-profile core where FP is concerned.
const EXPLAINED: &[Explained] = &[
    explained(1, 0xFF04, 0x4704, true, "BXNS, BLXNS are v8-M's; a set bit there is unpredictable (DDI0403E A7.7.19, A7.7.20)"),
    explained(1, 0xFFF7, 0xB650, true, "SETEND is A-profile's"),
    explained(1, 0xF0FF, 0xC000, false, "LDM, STM without registers: unpredictable"),
    explained(1, 0xF7FF, 0xB400, false, "PUSH, POP without registers: unpredictable"),
    explained(2, 0xFE40_0000, 0xE800_0000, true, "LDM, STM of SP, STM of PC: a set bit there is unpredictable (A7.7.41, A7.7.159)"),
    explained(2, 0xFE40_0000, 0xE800_0000, false, "LDM, STM of fewer than two registers, or by PC: unpredictable"),
    explained(2, 0xFFE0_0000, 0xE840_0000, false, "LDREX, STREX of PC, SP, or Rd = Rn or Rt: unpredictable"),
    explained(2, 0xFFE0_0000, 0xE8C0_0000, true, "load-acquire, store-release are v8-M's; other bits of STREXB, STREXH are unpredictable"),
    explained(2, 0xF800_D000, 0xF000_C000, true, "BLX (immediate) is A-profile's, loops are v8.1-M's"),
    explained(2, 0xFF10_0000, 0xF900_0000, true, "element loads and stores are Advanced SIMD's"),
    explained(2, 0xEF00_0000, 0xEF00_0000, true, "data processing of Advanced SIMD"),
    explained(2, 0xEC40_0F00, 0xEC40_0B00, true, "D16 to D31 (D): not in FPv5-D16"),
    explained(2, 0xEC00_0F80, 0xEC00_0B80, true, "D16 to D31 (N): not in FPv5-D16"),
    explained(2, 0xEC00_0F20, 0xEC00_0B20, true, "D16 to D31 (M): not in FPv5-D16"),
    explained(2, 0xFFE0_0F10, 0xEEE0_0A10, true, "VMSR, VMRS of another register than FPSCR are A-profile's"),
    explained(2, 0xFF20_0E00, 0xED20_0A00, true, "VLDM, VSTM beyond the last register: unpredictable"),
    explained(2, 0xFF80_0E00, 0xEC80_0A00, true, "VLDM, VSTM beyond the last register: unpredictable"),
    explained(2, 0xFE00_0E00, 0xEC00_0A00, false, "VLDM, VSTM of no register or too many: unpredictable"),
];

/// True: the core raises UNDEFINSTR or NOCP. Its registers point into RAM.
fn undefined(core: &mut Core, bus: &mut Bus, halves: u8, raw: u32) -> bool {
    core.reset_system(0);
    core.reset_registers();
    core.state = State::Running;
    core.scs.poke(0xE000_ED88, 0x00F0_0000);
    core.r[..15].fill(DATA + 0x800);
    core.set_xpsr(psr::T);
    core.pc = CODE;
    let code = if halves == 2 { raw.rotate_left(16).to_le_bytes() } else { raw.to_le_bytes() };
    bus.poke(CODE, &code);
    matches!(core.step(bus), Err(Trap::Undefined | Trap::NoCp))
}

#[test]
fn undefined_encodings_of_v7m_are_those_of_qemu() {
    let Some((_verdict, records)) = made("unicorn, which encodings are undefined", &["sweep", "1"]) else { return };
    let row = chips::find("bare-m7").unwrap();
    let (mut core, mut bus) = (Core::new(row.core), Bus::new(row));
    let mut counts = BTreeMap::<&str, u32>::new();
    let mut wrong = BTreeMap::<(String, bool), Vec<u32>>::new();
    for record in records.chunks_exact(6) {
        let raw = u32::from_le_bytes([record[0], record[1], record[2], record[3]]);
        let (halves, theirs) = (record[4], record[5] != 0);
        let ours = undefined(&mut core, &mut bus, halves, raw);
        let explained = EXPLAINED.iter().find(|e| (e.halves, e.value, e.undefined) == (halves, raw & e.mask, ours));
        match explained {
            _ if ours == theirs => *counts.entry(if ours { "undefined in both" } else { "defined in both" }).or_default() += 1,
            Some(explained) => *counts.entry(explained.why).or_default() += 1,
            None => {
                let name = decode::find(core.model, halves == 2, raw).map_or("no row", |row| row.name);
                wrong.entry((name.to_string(), ours)).or_default().push(raw);
            }
        }
    }
    counts.iter().for_each(|(why, count)| println!("{count:>7} {why}"));
    let wrong: Vec<String> = wrong
        .iter()
        .map(|((name, ours), all)| format!("{name}: undefined here: {ours}: {} as {:08x?}", all.len(), &all[..all.len().min(12)]))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// DDI0419 A5.3: the 32-bit instructions of ARMv6-M, with their (0) and (1) bits as drawn: otherwise they are unpredictable,
/// and undefined here.
const V6M_WIDE: [(u32, u32, &str); 7] = [
    (0xFFF0_F300, 0xF380_8000, "MSR"),
    (0xFFFF_F000, 0xF3EF_8000, "MRS"),
    (0xFFFF_FFF0, 0xF3BF_8F40, "DSB"),
    (0xFFFF_FFF0, 0xF3BF_8F50, "DMB"),
    (0xFFFF_FFF0, 0xF3BF_8F60, "ISB"),
    (0xF800_D000, 0xF000_D000, "BL"),
    (0xFFF0_F000, 0xF7F0_A000, "UDF"),
];

/// DDI0419 A5.2: what is no 16-bit instruction of ARMv6-M. CBZ, CBNZ and IT are v7-M's; the rest is free space.
const V6M_NARROW_UNDEFINED: [(u32, u32, &str); 12] = [
    (0xF500, 0xB100, "CBZ, CBNZ"),
    (0xFF00, 0xB600, "CPS's space"),
    (0xFFC0, 0xBA80, "between REV16 and REVSH"),
    (0xFF00, 0xB700, "free"),
    (0xFE00, 0xB800, "free"),
    (0xFF00, 0xBB00, "free"),
    (0xFF00, 0xDE00, "UDF"),
    (0xFF00, 0xBF00, "IT"),
    (0xFF87, 0x4700, "BX"),
    (0xFF87, 0x4780, "BLX"),
    (0xFFEC, 0xB660, "CPS"),
    (0xFF0F, 0xBF00, "hints"),
];

#[test]
fn v6m_has_the_instructions_of_its_manual() {
    let row = chips::find("bare-m0").unwrap();
    let (mut core, mut bus) = (Core::new(row.core), Bus::new(row));
    let fits = |list: &[(u32, u32, &str)], raw: u32| list.iter().any(|(mask, value, _)| raw & mask == *value);
    let (free, back) = V6M_NARROW_UNDEFINED.split_at(8);
    for raw in 0..0xE800 {
        // what a pattern of the last four names is an instruction, though an earlier one covers it
        let bx = raw & 0xFF00 == 0x4700 && !fits(back, raw);
        let wanted = bx || fits(free, raw) && !fits(back, raw);
        assert_eq!(undefined(&mut core, &mut bus, 1, raw), wanted, "{raw:04x}");
    }
    let mut stream = super::vectors::Stream(0x2545_F491);
    for first in 0xE800..=0xFFFFu32 {
        for _ in 0..64 {
            let raw = first << 16 | stream.next() >> 16;
            let wanted = raw & 0xFFF0_F000 == 0xF7F0_A000 || !fits(&V6M_WIDE, raw);
            let ours = undefined(&mut core, &mut bus, 2, raw);
            assert_eq!(ours, wanted, "{raw:08x}");
        }
    }
}
