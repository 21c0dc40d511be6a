//! The core executes: 63 programs (7 sources, three cores, -O0 -O2 -Os) and 9 of the Cortex-M4 print what QEMU printed, to the byte.
//!
//! The files of tests/cpu/ are built by tests/cpu/build.sh; `expected` is what qemu-system-arm 7.2 printed, with its
//! exit code.

use rocd::sim::chip::Size;
use rocd::sim::semihost::{End, prepare, run, run_elf};
use std::path::{Path, PathBuf};

const LIMIT_MS: u64 = 20_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cpu")
}

/// What the program prints, and how it ends.
fn output(path: &Path) -> (Vec<u8>, End) {
    let name = path.file_name().unwrap().to_str().unwrap();
    let chip = format!("bare-{}", name.split('.').nth(1).unwrap());
    let mut text = Vec::new();
    let end = run_elf(&chip, &std::fs::read(path).unwrap(), LIMIT_MS, &mut |bytes| text.extend_from_slice(bytes), &|| Ok(())).unwrap();
    (text, end)
}

fn programs(prefix: &str, core: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut programs: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "elf"))
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
        .filter(|path| path.to_string_lossy().contains(".m4.") == (core == "m4"))
        .collect();
    programs.sort();
    programs
}

fn all_print_what_is_expected(prefix: &str) {
    print_what_is_expected(programs(prefix, "others"), 9);
}

fn print_what_is_expected(programs: Vec<PathBuf>, number: usize) {
    assert_eq!(programs.len(), number, "{programs:?}");
    for path in programs {
        let (text, end) = output(&path);
        let End::Exit(code) = end else { panic!("{}: {end:?} after {}", path.display(), String::from_utf8_lossy(&text)) };
        let found = format!("{}rc={code}", String::from_utf8_lossy(&text));
        let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        assert_eq!(found, expected.trim_end_matches('\n'), "{}", path.display());
    }
}

#[test]
fn integer_arithmetic_copies_and_switches() {
    all_print_what_is_expected("p1_arith");
}

#[test]
fn the_c_library() {
    all_print_what_is_expected("p2_printf");
}

#[test]
fn systick_and_sleep() {
    all_print_what_is_expected("p3_systick");
}

#[test]
fn three_tasks_switched_by_pendsv() {
    all_print_what_is_expected("p4_ctxsw");
}

#[test]
fn dsp_saturation_bit_fields_and_it_blocks() {
    all_print_what_is_expected("p5_dsp");
}

#[test]
fn floating_point() {
    all_print_what_is_expected("p6_fp");
}

/// CCR.DC and CCR.IC of a Cortex-M7, and STKALIGN, which it has from reset (DDI0403 B3.2.8).
const CCR: (u32, u32) = (0xE000_ED14, 0x0003_0200);

#[test]
fn a_program_that_is_alone_on_the_chip_does_not_notice_its_caches() {
    for path in programs("p", "others").into_iter().filter(|path| path.to_str().unwrap().contains(".m7.")) {
        let (mut chip, mut host) = prepare("bare-m7", &std::fs::read(&path).unwrap()).unwrap();
        assert!(chip.set_cache_strict(true));
        chip.write(0, 0, CCR.0, Size::Word, CCR.1).unwrap();
        let mut text = Vec::new();
        let end = run(&mut chip, &mut host, LIMIT_MS * 1_000_000, &mut |bytes| text.extend_from_slice(bytes)).unwrap();
        let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap();
        let End::Exit(code) = end else { panic!("{}: {end:?} after {}", path.display(), String::from_utf8_lossy(&text)) };
        let found = format!("{}rc={code}", String::from_utf8_lossy(&text));
        assert_eq!(found, expected.trim_end_matches('\n'), "{}", path.display());
        assert_eq!(chip.read(0, 0, CCR.0, Size::Word).map(|ccr| ccr & CCR.1), Ok(CCR.1), "{}: still on", path.display());
    }
}

#[test]
fn interrupts_priorities_and_masks() {
    all_print_what_is_expected("p7_nvic");
}

#[test]
fn a_cortex_m4_has_single_precision_lazy_stacking_and_no_more() {
    print_what_is_expected(programs("p", "m4"), 9);
}
