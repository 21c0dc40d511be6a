//! The core as a debugger sees it, through the first access port.

use super::super::chip::{BusError, Size};
use super::super::rig::{MS, Rig};

mod caches;
mod programs;
mod sweep;
mod vectors;

const CPUID: u32 = 0xE000_ED00;
const VTOR: u32 = 0xE000_ED08;
const AIRCR: u32 = 0xE000_ED0C;
const DFSR: u32 = 0xE000_ED30;
const DHCSR: u32 = 0xE000_EDF0;
const DCRSR: u32 = 0xE000_EDF4;
const DCRDR: u32 = 0xE000_EDF8;
const DEMCR: u32 = 0xE000_EDFC;
const RESET: u32 = 0x05FA_0004;

/// A chip whose flash holds a vector table and a loop.
fn running(name: &str) -> Rig {
    let mut rig = Rig::new(name);
    for (at, word) in [(0, 0x2000_1000), (4, 0x0800_0101), (0x100, 0xE7FE_E7FE)] {
        rig.poke(0x0800_0000 + at, word);
    }
    rig.chip.power_cycle();
    rig
}

fn halted(name: &str) -> Rig {
    let mut rig = running(name);
    rig.write(DHCSR, 0xA05F_0003);
    rig.read(DHCSR);
    rig
}

fn register(rig: &mut Rig, select: u32) -> u32 {
    rig.write(DCRSR, select);
    rig.read(DCRDR)
}

fn set_register(rig: &mut Rig, select: u32, value: u32) {
    rig.write_all(&[(DCRDR, value), (DCRSR, 1 << 16 | select)]);
}

#[test]
fn dhcsr_takes_its_key_and_halts_and_resumes() {
    let mut rig = running("stm32h743");
    assert_eq!(rig.read(DHCSR), 0x0201_0000, "S_RESET_ST once");
    assert_eq!(rig.read(DHCSR), 0x0001_0000);
    rig.write(DHCSR, 0x0000_0003);
    assert_eq!(rig.read(DHCSR), 0x0001_0000, "without the key");
    rig.write(DHCSR, 0xA05F_0002);
    assert_eq!(rig.read(DHCSR), 0x0001_0000, "C_HALT needs C_DEBUGEN");
    rig.pass(MS);
    rig.write(DHCSR, 0xA05F_0003);
    assert_eq!(rig.read(DHCSR), 0x0103_0003, "S_RETIRE_ST once");
    assert_eq!([rig.read(DHCSR), rig.read(DFSR)], [0x0003_0003, 1]);
    rig.write(DFSR, 1);
    assert_eq!(rig.read(DFSR), 0);
    rig.write(DHCSR, 0xA05F_0001);
    rig.pass(MS);
    assert_eq!(rig.read(DHCSR), 0x0101_0001);
    rig.write(DHCSR, 0xA05F_0003);
    rig.write(DHCSR, 0xA05F_0000);
    assert_eq!(rig.read(DHCSR) & 0x2_000F, 0, "without C_DEBUGEN it runs");
}

#[test]
fn the_sequence_recorded_from_st_s_tool_reads_the_same() {
    let mut rig = running("f1-like");
    rig.pass(MS);
    rig.write_all(&[(0xE004_2008, 0x1000), (0xE004_2004, 0x107), (DHCSR, 0xA05F_0003)]);
    assert_eq!([rig.read(DHCSR), rig.read(DHCSR)], [0x0303_0003, 0x0003_0003]);
    rig.write_all(&[(DEMCR, 1), (AIRCR, RESET)]);
    assert_eq!(rig.read(AIRCR), 0xFA05_0000);
    assert_eq!([rig.read(DHCSR), rig.read(DHCSR)], [0x0203_0003, 0x0003_0003]);
    rig.write(DEMCR, 0);
    assert_eq!([rig.read(CPUID), rig.read(0xE004_2000)], [0x412F_C230, 0x1018_6416]);
}

#[test]
fn a_step_halts_again_at_the_same_place() {
    let mut rig = halted("stm32h743");
    rig.write(DFSR, 0x1F);
    rig.write(DHCSR, 0xA05F_000B);
    rig.write(DHCSR, 0xA05F_000D);
    rig.pass(1_000);
    assert_eq!(rig.read(DHCSR) & 0x12_000F, 0x2_000F);
    assert_eq!([rig.read(DFSR), register(&mut rig, 15)], [1, 0x0800_0100]);
}

#[test]
fn every_register_moves_through_dcrdr() {
    let mut rig = halted("stm32h743");
    for select in (0..=12).chain([14]).chain(0x40..=0x5F) {
        set_register(&mut rig, select, 0x1234_0000 + select);
    }
    for select in (0..=12).chain([14]).chain(0x40..=0x5F) {
        assert_eq!(register(&mut rig, select), 0x1234_0000 + select);
    }
    for (select, value, kept) in [
        (15, 0x2000_0001, 0x2000_0000),
        (16, 0x6100_0003, 0x6100_0003),
        (16, 0x0100_0000, 0x0100_0000),
        (17, 0x2000_0103, 0x2000_0100),
        (18, 0x2000_0207, 0x2000_0204),
        (0x14, 0xFF01_FF01, 0x0701_F001),
        (0x21, u32::MAX, 0xF7C0_009F),
        (0x22, 5, 0),
    ] {
        set_register(&mut rig, select, value);
        assert_eq!(register(&mut rig, select), kept, "register {select:#x}");
    }
    assert_eq!(register(&mut rig, 13), 0x2000_0204, "SPSEL takes PSP");
    set_register(&mut rig, 16, 0x0100_0003);
    assert_eq!(register(&mut rig, 13), 0x2000_0100, "a handler has MSP");
}

#[test]
fn v6m_lacks_what_v7m_has() {
    let mut rig = halted("stm32g071");
    set_register(&mut rig, 0x14, 0xFF01_FF01);
    assert_eq!(register(&mut rig, 0x14), 0x0300_0001, "no BASEPRI, no FAULTMASK, no FPCA");
    set_register(&mut rig, 0x40, 5);
    assert_eq!(register(&mut rig, 0x40), 0);
    rig.write(DEMCR, u32::MAX);
    assert_eq!(rig.read(DEMCR), 0x0100_0401);
    for absent in [0xE000_ED28, 0xE000_ED88, 0xE000_EF34, 0xE000_EF40, 0xE000_E004] {
        rig.write(absent, u32::MAX);
        assert_eq!(rig.read(absent), 0, "{absent:#x}");
    }
    assert_eq!(rig.chip.read(0, 0, DHCSR, Size::Half), Err(BusError::Fault), "words only");
}

#[test]
fn registers_stand_still_while_the_core_runs() {
    let mut rig = halted("stm32h743");
    set_register(&mut rig, 0, 7);
    rig.write(DHCSR, 0xA05F_0001);
    set_register(&mut rig, 0, 8);
    rig.write_all(&[(DCRDR, 0x55), (DCRSR, 0)]);
    assert_eq!(rig.read(DCRDR), 0x55);
    rig.write(DHCSR, 0xA05F_0003);
    assert_eq!(register(&mut rig, 0), 7);
}

#[test]
fn reset_loads_sp_and_pc_and_vector_catch_halts_there() {
    for name in ["stm32h743", "stm32g071"] {
        let mut rig = halted(name);
        set_register(&mut rig, 15, 0x2000_0000);
        rig.write_all(&[(0xE000_E100, 1), (DEMCR, 0x0100_0001), (DFSR, 0x1F), (AIRCR, RESET)]);
        assert_eq!(rig.read(DHCSR), 0x0203_0003, "{name}");
        assert_eq!([rig.read(DFSR), register(&mut rig, 13), register(&mut rig, 15)], [8, 0x2000_1000, 0x0800_0100]);
        assert_eq!(register(&mut rig, 16) >> 24 & 1, 1, "T comes from the vector");
        assert_eq!([register(&mut rig, 14), rig.read(0xE000_E100), rig.read(DEMCR)], [u32::MAX, 0, 0x0100_0001]);
        rig.write_all(&[(DEMCR, 0), (AIRCR, RESET)]);
        assert_eq!(rig.read(DHCSR) & 0x0202_0003, 0x0200_0001, "without it the reset runs on, C_HALT gone");
    }
}

#[test]
fn a_g0b1_comes_out_of_reset_with_the_registers_seen_on_a_real_one() {
    let mut rig = halted("stm32g0b1");
    rig.write_all(&[(DEMCR, 1), (AIRCR, RESET)]);
    assert!((0..=12).chain([14]).all(|select| register(&mut rig, select) == u32::MAX));
    assert_eq!([register(&mut rig, 16), register(&mut rig, 18)], [0xF100_0000, 0xFFFF_FFFC]);
}

#[test]
fn aircr_needs_its_key_and_vectreset_a_halted_v7m_core() {
    let mut rig = halted("stm32h743");
    rig.write(AIRCR, 0x0000_0004);
    assert_eq!(rig.read(DHCSR), 0x0003_0003);
    rig.write(0x5802_4400 + 0xE0, 2);
    set_register(&mut rig, 15, 0x2000_0000);
    rig.write_all(&[(DEMCR, 1), (AIRCR, 0x05FA_0001)]);
    assert_eq!([rig.read(DHCSR) >> 25 & 1, register(&mut rig, 15)], [1, 0x0800_0100]);
    assert_eq!(rig.read(0x5802_44E0), 2, "peripherals are not reset");
    rig.write(AIRCR, RESET);
    assert_eq!(rig.read(0x5802_44E0), 0);
    let mut rig = halted("stm32g071");
    rig.write(AIRCR, 0x05FA_0001);
    assert_eq!(rig.read(DHCSR) >> 25 & 1, 0);
}

#[test]
fn under_nrst_the_debug_registers_answer_and_the_catch_works_on_release() {
    for name in ["stm32h743", "stm32g071"] {
        let mut rig = running(name);
        rig.chip.nrst(true);
        rig.write_all(&[(DHCSR, 0xA05F_0003), (DEMCR, 1)]);
        assert_eq!([rig.read(DHCSR), rig.read(DHCSR)], [0x0201_0001; 2], "{name}: held, C_HALT stays clear");
        rig.chip.nrst(false);
        rig.pass(MS);
        assert_eq!([rig.read(DHCSR), rig.read(DHCSR)], [0x0203_0003, 0x0003_0003], "{name}");
        assert_eq!(register(&mut rig, 15), 0x0800_0100);
    }
}

#[test]
fn blank_h7_flash_locks_up_at_the_end_of_the_address_space() {
    let mut rig = Rig::new("stm32h743");
    rig.pass(MS);
    assert_eq!(rig.read(DHCSR) & 0x10A_0000, 0x8_0000, "S_LOCKUP, nothing retired");
    rig.write(DHCSR, 0xA05F_0003);
    assert_eq!(rig.read(DHCSR) & 0xE_0000, 0x2_0000, "halting ends it");
    assert_eq!([register(&mut rig, 15), register(&mut rig, 17)], [0xFFFF_FFFE, 0xFFFF_FFD8], "one frame below the table's SP");
    assert_eq!(register(&mut rig, 16) & 0x1FF, 3);
    rig.write_all(&[(DEMCR, 1), (AIRCR, RESET)]);
    assert_eq!([register(&mut rig, 15), register(&mut rig, 16) & 0x1FF], [0xFFFF_FFFE, 0], "caught before the fetch");
    rig.write(DHCSR, 0xA05F_0001);
    rig.pass(MS);
    assert_eq!(rig.read(DHCSR) >> 19 & 1, 1);
}

#[test]
fn text_as_a_vector_table_locks_up_for_want_of_thumb_state() {
    let mut rig = Rig::new("stm32h743");
    rig.poke(0x0800_0000, 0x2A0A_2A2F);
    rig.poke(0x0800_0004, 0x2A2A_2A2A);
    rig.chip.power_cycle();
    rig.pass(MS);
    assert_eq!(rig.read(DHCSR) >> 19 & 1, 1);
}

#[test]
fn breakpoint_units_have_their_counts_keys_and_masks() {
    for (name, ctrl, count, kept) in
        [("stm32h743", 0x1000_0080, 8, u32::MAX), ("stm32g071", 0x40, 4, 0xDFFF_FFFD), ("f1-like", 0x260, 8, 0xDFFF_FFFD)]
    {
        let mut rig = Rig::new(name);
        assert_eq!(rig.read(0xE000_2000), ctrl);
        rig.write(0xE000_2000, 1);
        assert_eq!(rig.read(0xE000_2000), ctrl, "{name}: needs its key");
        rig.write(0xE000_2000, 3);
        assert_eq!(rig.read(0xE000_2000), ctrl | 1);
        for index in 0..10 {
            rig.write(0xE000_2008 + 4 * index, u32::MAX);
            assert_eq!(rig.read(0xE000_2008 + 4 * index), if index < count { kept } else { 0 }, "{name} {index}");
        }
        rig.write(AIRCR, RESET);
        assert_eq!(rig.read(0xE000_2008), kept, "a system reset leaves them");
        rig.chip.power_cycle();
        assert_eq!([rig.read(0xE000_2000), rig.read(0xE000_2008)], [ctrl, 0]);
    }
}

#[test]
fn watchpoint_units_have_their_counts_and_the_m7_counts_cycles() {
    let mut rig = running("stm32h743");
    assert_eq!(rig.read(0xE000_1000), 0x4000_0000);
    rig.write_all(&[(0xE000_1020, 0x2000_0004), (0xE000_1024, 0x3F), (0xE000_1028, 0x6), (0xE000_1060, 1)]);
    let words = [0xE000_1020, 0xE000_1024, 0xE000_1028, 0xE000_1060].map(|address| rig.read(address));
    assert_eq!(words, [0x2000_0004, 0x1F, 6, 0], "there is no fifth");
    rig.write_all(&[(0xE000_1004, 0), (0xE000_1000, 1)]);
    rig.pass(MS);
    assert_eq!(rig.read(0xE000_1004), 0, "TRCENA is off");
    rig.write(DEMCR, 1 << 24);
    rig.pass(MS);
    assert_eq!([rig.read(0xE000_1004), rig.read(0xE000_101C)], [64_000, 0x0800_0100]);
    rig.write(DHCSR, 0xA05F_0003);
    rig.pass(MS);
    assert_eq!([rig.read(0xE000_1004), rig.read(0xE000_101C)], [64_000, u32::MAX]);
    let mut rig = Rig::new("stm32g071");
    rig.write_all(&[(0xE000_1000, 1), (0xE000_1028, 0xFFFF_FFFF)]);
    assert_eq!([rig.read(0xE000_1000), rig.read(0xE000_1004), rig.read(0xE000_1028)], [0x2000_0000, 0, 0xF]);
}

#[test]
fn system_registers_have_masks_and_flags_clear_by_ones() {
    let mut rig = halted("stm32h743");
    for (address, kept) in [
        (VTOR, 0xFFFF_FF80),
        (0xE000_ED10, 0x16),
        (0xE000_ED20, 0xF0F0_00F0),
        (0xE000_ED88, 0x00F0_0000),
        (0xE000_E014, 0x00FF_FFFF),
        (0xE000_ED14, 0x0007_031B),
        (0xE000_E100, u32::MAX),
        (0xE000_E110, 0x003F_FFFF),
        (0xE000_E400, 0xF0F0_F0F0),
        (0xE000_ED94, 7),
    ] {
        rig.write(address, u32::MAX);
        assert_eq!(rig.read(address), kept, "{address:#x}");
    }
    rig.write(0xE000_E180, 1);
    assert_eq!(rig.read(0xE000_E100), u32::MAX - 1);
    rig.write(0xE000_E018, 5);
    assert_eq!(rig.read(0xE000_E018), 0, "SYST_CVR clears");
    rig.chip.write(0, 0, 0xE000_E401, Size::Byte, 0x30).unwrap();
    assert_eq!(rig.read(0xE000_E400), 0xF0F0_30F0);
    rig.write(0xE000_ED04, 1 << 28 | 1 << 26);
    assert_eq!(rig.read(0xE000_ED04), 1 << 28 | 1 << 26 | 14 << 12 | 1 << 11, "PendSV comes first; RETTOBASE");
    rig.write(0xE000_ED04, 1 << 27);
    assert_eq!(rig.read(0xE000_ED04), 1 << 26 | 15 << 12 | 1 << 11);
    rig.write(AIRCR, 0x05FA_0300);
    assert_eq!(rig.read(AIRCR), 0xFA05_0300);
}

#[test]
fn caches_fpu_and_mpu_say_what_they_are() {
    let mut rig = Rig::new("stm32h743");
    let words = [0xE000_ED78, 0xE000_ED7C, 0xE000_ED80, 0xE000_EF40, 0xE000_ED90].map(|address| rig.read(address));
    assert_eq!(words, [0x0900_0003, 0x8303_C003, 0xF00F_E019, 0x1011_0221, 0x1000]);
    rig.write(0xE000_ED84, 1);
    assert_eq!(rig.read(0xE000_ED80), 0xF01F_E009);
    rig.write_all(&[(0xE000_ED98, 3), (0xE000_ED9C, 0x2000_0000), (0xE000_EDA0, 0x0300_0021)]);
    rig.write_all(&[(0xE000_ED9C, 0x0800_0015), (0xE000_EDA0, 1)]);
    assert_eq!([rig.read(0xE000_ED98), rig.read(0xE000_ED9C), rig.read(0xE000_EDA0)], [5, 0x0800_0005, 1]);
    rig.write(0xE000_ED98, 3);
    assert_eq!([rig.read(0xE000_ED9C), rig.read(0xE000_EDA0)], [0x2000_0003, 0x0300_0021]);
}

/// Rows that stand for what no manual gives a meaning.
const NO_TEXT: [&str; 2] = ["(unallocated)", "(coprocessor)"];
const SAMPLES: usize = 64;
/// Fields at random make unpredictable forms too (STR with Rn = 15), but fewer than half in any row.
const KNOWN: usize = SAMPLES / 2;

#[test]
fn every_encoding_has_a_text() {
    use super::decode::{T16, T32};
    use crate::command::disasm::{Code, Disassembler, UNKNOWN};
    let mut engine = Disassembler::new().unwrap();
    let mut poor = vec![];
    for row in T16.iter().chain(T32) {
        let mut seed = 0x2545_F491u32;
        let mut bit = || {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            seed >> 16 & 1
        };
        let letters = || row.pattern.bytes().filter(|letter| *letter != b'_');
        let mut fill =
            || letters().fold(0, |raw, letter| raw << 1 | if matches!(letter, b'0' | b'1') { u32::from(letter - b'0') } else { bit() });
        let known = (0..SAMPLES).filter(|_| engine.text(Code { pc: 0, opcode: fill() }) != UNKNOWN).count();
        if known < KNOWN {
            poor.push(row.name);
        }
    }
    poor.dedup();
    assert_eq!(poor, NO_TEXT);
}

#[test]
fn the_past_shows_the_way_into_a_lockup() {
    use super::What;
    let mut rig = Rig::new("stm32h743");
    // udf; the HardFault handler is a udf, too
    for (at, word) in [(0, 0x2000_1000), (4, 0x0800_0101), (0xC, 0x0800_0105), (0x100, 0xDE00_BF00), (0x104, 0xDE01_DE01)] {
        rig.poke(0x0800_0000 + at, word);
    }
    rig.chip.power_cycle();
    rig.pass(MS);
    let what: Vec<What> = rig.chip.past().iter().map(|past| past.what).collect();
    let way = [
        What::Reset { pc: 0x0800_0100 },
        What::Ran { pc: 0x0800_0100, opcode: 0xBF00 },
        What::Ran { pc: 0x0800_0102, opcode: 0xDE00 },
        What::Entered { number: 3, from: 0x0800_0102 },
        What::Ran { pc: 0x0800_0104, opcode: 0xDE01 },
        What::LockedUp { pc: 0x0800_0104 },
    ];
    assert_eq!(what, way);
}

#[test]
fn a_core_whose_vectors_cannot_be_read_never_started() {
    use super::What;
    let mut rig = running("stm32h743");
    rig.chip.set_ecc(0x0800_0000, crate::sim::flash::Ecc::TwoBits);
    rig.chip.power_cycle();
    let what: Vec<What> = rig.chip.past().iter().map(|past| past.what).collect();
    assert_eq!(what, [What::LockedUp { pc: 0x0800_0000 }]);
}

/// ldr r0, [pc, #12]; b . of a word at 0x110 that is damaged: the handler at 0x120 runs.
#[test]
fn a_core_that_reads_a_damaged_word_of_a_g0_gets_an_nmi() {
    let mut rig = running("stm32g071");
    for (at, word) in [(8, 0x0800_0121), (0x100, 0xE7FE_4803), (0x120, 0xE7FE_E7FE)] {
        rig.poke(0x0800_0000 + at, word);
    }
    rig.chip.set_ecc(0x0800_0110, crate::sim::flash::Ecc::TwoBits);
    rig.chip.power_cycle();
    rig.pass(MS);
    rig.write(DHCSR, 0xA05F_0003);
    rig.read(DHCSR);
    assert_eq!(register(&mut rig, 15), 0x0800_0120);
    assert_eq!(register(&mut rig, 16) & 0x1FF, 2, "IPSR");
    assert_eq!(rig.read(0x4002_2018), 0x8000_0022, "FLASH_ECCR");
}

#[test]
fn turns_that_were_skipped_are_counted_in_the_past() {
    use super::What;
    let mut rig = running("stm32h743");
    rig.pass(100 * MS);
    let skipped = |what: What| if let What::Skipped { turns, pc: 0x0800_0100 } = what { Some(turns) } else { None };
    let past = rig.chip.past();
    let turns: u64 = past.iter().filter_map(|past| skipped(past.what)).sum();
    // 64 MHz, two cycles a turn
    assert!(turns > 3_000_000, "{turns}");
    assert!(past.iter().any(|past| past.what == What::Ran { pc: 0x0800_0100, opcode: 0xE7FE }));
}
