//! `sim cache strict`: what the core, a debugger and memory see of the same address.

use super::super::super::chip::Size;
use super::super::super::rig::{MS, Rig};

const CCR: u32 = 0xE000_ED14;
/// STKALIGN is always on; DC, IC.
const DC: u32 = 1 << 16 | 0x200;
const BOTH: u32 = 3 << 16 | 0x200;
const ICIALLU: u32 = 0xE000_EF50;
const ICIMVAU: u32 = 0xE000_EF58;
const DCIMVAC: u32 = 0xE000_EF5C;
const DCISW: u32 = 0xE000_EF60;
const DCCMVAC: u32 = 0xE000_EF68;
const DCCSW: u32 = 0xE000_EF6C;
const DCCIMVAC: u32 = 0xE000_EF70;
const DCCISW: u32 = 0xE000_EF74;
const CACR: u32 = 0xE000_EF9C;
const DHCSR: u32 = 0xE000_EDF0;
const HALT: u32 = 0xA05F_0003;
const RUN: u32 = 0xA05F_0001;
const RESET: (u32, u32) = (0xE000_ED0C, 0x05FA_0004);

const FLASH: u32 = 0x0800_0000;
const DTCM: u32 = 0x2000_0000;
const AXI: u32 = 0x2400_0000;
/// A way of the H743's data cache: addresses this far apart share a set.
const WAY: u32 = 0x1000;
const CACHEABLE: u32 = 1 << 27;
const PC: u32 = 15;

// str r0, [r1]; b .   ldr r0, [r1]; b .   movs r0, #n; b .
const STORE: u32 = 0xE7FE_6008;
const LOAD: u32 = 0xE7FE_6808;
const fn movs(n: u32) -> u32 {
    0xE7FE_2000 | n
}

fn strict() -> Rig {
    strict_of("stm32h743")
}

/// An H7 with strict caches, halted, with a table and `b .` in flash, zeros in the RAM used here.
fn strict_of(name: &str) -> Rig {
    let mut rig = Rig::new(name);
    for (at, word) in [(0, DTCM + 0x1000), (4, FLASH + 0x101), (0x100, 0xE7FE_E7FE), (0x200, STORE), (0x300, LOAD)] {
        rig.poke(FLASH + at, word);
    }
    rig.chip.power_cycle();
    assert!(rig.chip.set_cache_strict(true));
    rig.write(DHCSR, HALT);
    (0..8).for_each(|way| rig.poke(AXI + way * WAY, 0));
    rig.poke(DTCM, 0);
    rig
}

/// The core does one thing at `code`; halted again afterwards. r0.
fn run(rig: &mut Rig, code: u32, r0: u32, r1: u32) -> u32 {
    rig.chip.set_register(0, r0);
    rig.chip.set_register(1, r1);
    rig.chip.set_register(PC, code);
    rig.write(DHCSR, RUN);
    rig.pass(MS);
    rig.write(DHCSR, HALT);
    assert_eq!(rig.chip.register(PC), code + 2, "it went through");
    rig.chip.register(0)
}

fn store(rig: &mut Rig, address: u32, value: u32) {
    run(rig, FLASH + 0x200, value, address);
}

fn load(rig: &mut Rig, address: u32) -> u32 {
    run(rig, FLASH + 0x300, 0, address)
}

/// AP0 with a cacheable CSW.
fn through(rig: &mut Rig, address: u32) -> u32 {
    rig.chip.read(0, CACHEABLE, address, Size::Word).unwrap()
}

fn write_through(rig: &mut Rig, address: u32, value: u32) {
    rig.chip.write(0, CACHEABLE, address, Size::Word, value).unwrap();
}

#[test]
fn what_the_core_stored_is_in_the_cache_until_it_is_cleaned() {
    let mut rig = strict();
    rig.write(CCR, DC);
    store(&mut rig, AXI, 7);
    let system = rig.chip.read(1, CACHEABLE, AXI, Size::Word).unwrap();
    assert_eq!([rig.read(AXI), system, rig.peek(AXI), through(&mut rig, AXI)], [0, 0, 0, 7]);
    assert_eq!(rig.chip.read(0, CACHEABLE, AXI, Size::Byte), Ok(7));
    rig.write(DCCMVAC, AXI + 12);
    assert_eq!([rig.read(AXI), load(&mut rig, AXI)], [7, 7], "the whole line, and it stays");
    rig.write(AXI, 8);
    assert_eq!([load(&mut rig, AXI), through(&mut rig, AXI), rig.read(AXI)], [7, 7, 8], "written behind the cache");
    rig.write(DCIMVAC, AXI);
    assert_eq!([load(&mut rig, AXI), through(&mut rig, AXI)], [8, 8]);
}

#[test]
fn every_operation_cleans_or_invalidates_by_address_or_by_way() {
    // (register, memory has the core's 7 afterwards, the core still sees it)
    for (register, by_way, cleans, keeps) in [
        (DCIMVAC, false, false, false),
        (DCISW, true, false, false),
        (0xE000_EF64, false, true, true),
        (DCCMVAC, false, true, true),
        (DCCSW, true, true, true),
        (DCCIMVAC, false, true, false),
        (DCCISW, true, true, false),
    ] {
        let mut rig = strict();
        rig.write(CCR, DC);
        let address = AXI + 5 * 32;
        rig.poke(address, 1);
        store(&mut rig, address, 7);
        rig.write(register, if by_way { 1 << 30 | 0xA0 } else { address + 32 });
        assert_eq!([rig.read(address), through(&mut rig, address)], [1, 7], "{register:#x}: another line");
        rig.write(register, if by_way { 5 * 32 } else { address });
        assert_eq!(rig.read(address), if cleans { 7 } else { 1 }, "{register:#x}");
        rig.poke(address, 9);
        assert_eq!(load(&mut rig, address), if keeps { 7 } else { 9 }, "{register:#x}");
    }
}

#[test]
fn a_debugger_s_cacheable_write_is_what_the_core_reads_and_stays_in_the_cache() {
    let mut rig = strict();
    rig.write(CCR, DC);
    load(&mut rig, AXI);
    write_through(&mut rig, AXI, 5);
    write_through(&mut rig, AXI + WAY, 6);
    assert_eq!([load(&mut rig, AXI), load(&mut rig, AXI + WAY)], [5, 6]);
    assert_eq!([rig.read(AXI), rig.read(AXI + WAY)], [0, 0]);
}

#[test]
fn a_fifth_line_of_a_set_drives_one_out_into_memory() {
    let mut rig = strict();
    rig.write(CCR, DC);
    (0..4).for_each(|way| store(&mut rig, AXI + way * WAY, way + 1));
    assert_eq!((0..4).map(|way| rig.read(AXI + way * WAY)).collect::<Vec<_>>(), [0; 4]);
    load(&mut rig, AXI + 4 * WAY);
    let in_memory = (0..4).filter(|way| rig.read(AXI + way * WAY) == way + 1).count();
    assert_eq!(in_memory, 1);
    assert_eq!((0..4).map(|way| load(&mut rig, AXI + way * WAY)).collect::<Vec<_>>(), [1, 2, 3, 4]);
}

#[test]
fn with_dc_off_dirty_lines_lie_where_nobody_looks_and_reset_keeps_them() {
    let mut rig = strict();
    rig.write(CCR, DC);
    store(&mut rig, AXI, 7);
    rig.write(CCR, 0x200);
    assert_eq!([load(&mut rig, AXI), through(&mut rig, AXI)], [0, 0]);
    rig.write_all(&[(0xE000_EDFC, 1), RESET]);
    rig.pass(MS);
    assert_eq!([rig.read(CCR) & BOTH, load(&mut rig, AXI)], [0x200, 0], "reset switches the caches off");
    rig.write(CCR, DC);
    assert_eq!(load(&mut rig, AXI), 7, "switched on without invalidating");
    rig.write(CCR, 0x200);
    (0..4).flat_map(|way| (0..128).map(move |set| way << 30 | set << 5)).for_each(|line: u32| rig.write(DCCISW, line));
    assert_eq!(rig.read(AXI), 7);
}

#[test]
fn code_is_stale_until_it_left_the_data_cache_and_the_instruction_cache_forgot_it() {
    for (register, value) in [(ICIALLU, 0), (ICIMVAU, AXI + 2)] {
        let mut rig = strict();
        rig.write(CCR, BOTH);
        rig.poke(AXI, movs(1));
        assert_eq!(run(&mut rig, AXI, 0, 0), 1);
        write_through(&mut rig, AXI, movs(2));
        assert_eq!(run(&mut rig, AXI, 0, 0), 1, "in the data cache only");
        rig.write(register, value);
        assert_eq!(run(&mut rig, AXI, 0, 0), 1, "memory has the old code");
        rig.write(DCCMVAC, AXI);
        assert_eq!(run(&mut rig, AXI, 0, 0), 1, "and the instruction cache still");
        rig.write(register, value);
        assert_eq!(run(&mut rig, AXI, 0, 0), 2);
    }
}

#[test]
fn the_core_s_own_new_code_needs_the_same() {
    let mut rig = strict();
    rig.write(CCR, BOTH);
    rig.poke(AXI, movs(1));
    assert_eq!(run(&mut rig, AXI, 0, 0), 1);
    store(&mut rig, AXI, movs(3));
    assert_eq!(run(&mut rig, AXI, 0, 0), 1);
    // str r0, [r1] by the core itself, in the PPB.
    store(&mut rig, DCCMVAC, AXI);
    store(&mut rig, ICIALLU, 0);
    assert_eq!(run(&mut rig, AXI, 0, 0), 3);
}

#[test]
fn with_the_instruction_cache_off_code_comes_from_memory() {
    let mut rig = strict();
    rig.write(CCR, DC);
    rig.poke(AXI, movs(1));
    assert_eq!(run(&mut rig, AXI, 0, 0), 1);
    store(&mut rig, AXI, movs(2));
    assert_eq!(run(&mut rig, AXI, 0, 0), 1, "new code that is dirty data is not fetched");
    rig.write(DCCMVAC, AXI);
    assert_eq!(run(&mut rig, AXI, 0, 0), 2);
}

#[test]
fn a_line_driven_out_of_the_instruction_cache_is_fetched_anew() {
    let mut rig = strict();
    rig.write(CCR, BOTH);
    // Two ways of 8 KiB: of lines 8 KiB apart, two fit.
    for at in 0..4 {
        rig.poke(AXI + at * 0x2000, movs(1));
    }
    run(&mut rig, AXI, 0, 0);
    rig.poke(AXI, movs(2));
    assert_eq!(run(&mut rig, AXI, 0, 0), 1);
    assert!((1..4).all(|at| run(&mut rig, AXI + at * 0x2000, 0, 0) == 1));
    assert_eq!(run(&mut rig, AXI, 0, 0), 2);
}

#[test]
fn flash_written_behind_the_caches_is_old_to_the_core() {
    let mut rig = strict();
    rig.poke(FLASH + 0x400, movs(1));
    rig.write(CCR, BOTH);
    assert_eq!([run(&mut rig, FLASH + 0x400, 0, 0), load(&mut rig, FLASH + 0x400)], [1, movs(1)]);
    rig.poke(FLASH + 0x400, movs(2));
    assert_eq!([run(&mut rig, FLASH + 0x400, 0, 0), load(&mut rig, FLASH + 0x400)], [1, movs(1)]);
    assert_eq!([through(&mut rig, FLASH + 0x400), rig.read(FLASH + 0x400)], [movs(1), movs(2)]);
    rig.write(ICIALLU, 0);
    assert_eq!([run(&mut rig, FLASH + 0x400, 0, 0), load(&mut rig, FLASH + 0x400)], [2, movs(1)]);
    rig.write(DCIMVAC, FLASH + 0x400);
    assert_eq!(load(&mut rig, FLASH + 0x400), movs(2));
}

#[test]
fn the_mpu_and_cacr_say_what_is_cached() {
    // MPU_RASR: TEX, S, C, B of a region of 1 MiB at AXI, full access.
    let region = |attributes: u32| [(0xE000_ED9C, AXI | 0x10), (0xE000_EDA0, 3 << 24 | attributes << 16 | 19 << 1 | 1), (0xE000_ED94, 5)];
    let (tex0, tex1, shared) = (0 << 3, 1 << 3, 1 << 2);
    // (attributes, CACR, memory has a store at once, the core sees what is written behind its line)
    for (attributes, cacr, at_once, coherent) in [
        (tex1 | 3, 0, false, false),
        (tex0 | 3, 0, false, false),
        (tex0 | 2, 0, true, false),
        (tex1, 0, true, true),
        (tex0, 0, true, true),
        (tex0 | 1, 0, true, true),
        (tex1 | 3 | shared, 0, true, true),
        (tex1 | 3 | shared, 1, true, false),
        (tex1 | 3, 4, true, false),
        (4 << 3 | 1, 0, false, false),
        (4 << 3, 0, true, true),
    ] {
        let mut rig = strict();
        rig.write_all(&region(attributes));
        rig.write_all(&[(CACR, cacr), (CCR, DC)]);
        load(&mut rig, AXI);
        store(&mut rig, AXI, 7);
        assert_eq!(rig.read(AXI) == 7, at_once, "{attributes:#b} {cacr}");
        rig.poke(AXI, 9);
        assert_eq!(load(&mut rig, AXI) == 9, coherent, "{attributes:#b} {cacr}");
    }
}

#[test]
fn only_write_allocate_memory_takes_a_line_for_a_store() {
    for (attributes, taken) in [(1 << 3 | 3, true), (3, false)] {
        let mut rig = strict();
        rig.write_all(&[(0xE000_ED9C, AXI | 0x10), (0xE000_EDA0, 3 << 24 | attributes << 16 | 19 << 1 | 1), (0xE000_ED94, 5), (CCR, DC)]);
        store(&mut rig, AXI, 7);
        assert_eq!(rig.read(AXI) == 0, taken, "{attributes:#b}");
    }
}

#[test]
fn tightly_coupled_memory_and_registers_are_never_cached() {
    let mut rig = strict();
    rig.write(CCR, BOTH);
    store(&mut rig, DTCM, 7);
    assert_eq!(rig.read(DTCM), 7);
    rig.write(DTCM, 8);
    assert_eq!(load(&mut rig, DTCM), 8);
    rig.poke(0, movs(1));
    assert_eq!(run(&mut rig, 0, 0, 0), 1);
    rig.write(0, movs(2));
    assert_eq!(run(&mut rig, 0, 0, 0), 2, "ITCM");
    // GPIOA's clock: RCC_AHB4ENR.
    store(&mut rig, 0x5802_44E0, 1);
    assert_eq!(rig.read(0x5802_44E0), 1);
}

#[test]
fn a_vector_that_is_dirty_in_the_cache_is_the_one_taken() {
    let mut rig = strict();
    rig.write(CCR, DC);
    // A table at AXI; its SVCall vector is stored by the core and not cleaned. svc in flash.
    rig.poke(FLASH + 0x500, 0xE7FE_DF00);
    rig.write(0xE000_ED08, AXI);
    store(&mut rig, AXI + 4 * 11, FLASH + 0x101);
    rig.chip.set_register(PC, FLASH + 0x500);
    rig.write(DHCSR, RUN);
    rig.pass(MS);
    assert_eq!([rig.chip.register(PC), rig.chip.register(16) & 0x1FF], [FLASH + 0x100, 11]);
}

#[test]
fn off_is_coherent_and_leaving_strict_loses_nothing() {
    let mut rig = strict();
    rig.write(CCR, BOTH);
    store(&mut rig, AXI, 7);
    assert!(rig.chip.set_cache_strict(false) && !rig.chip.cache_strict());
    assert_eq!(rig.read(AXI), 7);
    store(&mut rig, AXI, 8);
    assert_eq!(rig.read(AXI), 8);
    rig.chip.set_cache_strict(true);
    store(&mut rig, AXI, 9);
    assert_eq!(rig.read(AXI), 8, "CCR counts again");
    rig.chip.power_cycle();
    assert!(rig.chip.cache_strict(), "the mode stays when the power goes");
    rig.write_all(&[(DHCSR, HALT), (CCR, BOTH)]);
    assert_ne!(through(&mut rig, AXI), 9, "the lines do not");
}

/// The M4 of an H745 has no cache: it writes memory, and knows nothing of what the M7's cache holds.
#[test]
fn the_second_core_sees_memory_and_the_first_ones_cache_does_not_see_it() {
    const M4: u8 = 3;
    const DCRSR: u32 = 0xE000_EDF4;
    const DCRDR: u32 = 0xE000_EDF8;
    /// The M4 does one thing at `code`; r0.
    fn run_m4(rig: &mut Rig, code: u32, r0: u32, r1: u32) -> u32 {
        let mut write = |address, value| rig.chip.write(M4, 0, address, Size::Word, value).unwrap();
        write(DHCSR, HALT);
        // with the Thumb bit: a blank chip's M4 is locked up
        for (register, value) in [(0, r0), (1, r1), (PC, code), (16, 1 << 24)] {
            write(DCRDR, value);
            write(DCRSR, 1 << 16 | register);
        }
        write(DHCSR, RUN);
        rig.pass(MS);
        rig.chip.write(M4, 0, DHCSR, Size::Word, HALT).unwrap();
        rig.chip.write(M4, 0, DCRSR, Size::Word, 0).unwrap();
        rig.chip.read(M4, 0, DCRDR, Size::Word).unwrap()
    }
    let mut rig = strict_of("stm32h745");
    rig.write(CCR, BOTH);
    store(&mut rig, AXI, 7);
    assert_eq!([run_m4(&mut rig, FLASH + 0x300, 9, AXI), load(&mut rig, AXI)], [0, 7], "dirty in the M7's cache");
    rig.write(DCCMVAC, AXI);
    assert_eq!(run_m4(&mut rig, FLASH + 0x300, 9, AXI), 7);
    run_m4(&mut rig, FLASH + 0x200, 8, AXI);
    assert_eq!([rig.peek(AXI), load(&mut rig, AXI)], [8, 7], "stale for the M7");
    rig.write(DCIMVAC, AXI);
    assert_eq!(load(&mut rig, AXI), 8);
    // Code that the M4 writes over stays in the M7's instruction cache.
    let code = AXI + WAY;
    rig.poke(code, movs(1));
    assert_eq!(run(&mut rig, code, 0, 0), 1);
    run_m4(&mut rig, FLASH + 0x200, movs(2), code);
    assert_eq!([rig.peek(code), run(&mut rig, code, 0, 0)], [movs(2), 1]);
    rig.write(ICIALLU, 0);
    assert_eq!(run(&mut rig, code, 0, 0), 2);
}

#[test]
fn a_core_without_caches_has_no_strict_ones() {
    for name in ["stm32g071", "f1-like"] {
        let mut rig = Rig::new(name);
        assert!(!rig.chip.set_cache_strict(true) && !rig.chip.cache_strict(), "{name}");
    }
}
