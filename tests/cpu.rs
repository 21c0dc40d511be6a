//! The core executes: 63 programs (7 sources, three cores, -O0 -O2 -Os) print what QEMU printed, to the byte.
//!
//! The files of tests/cpu/ are built by tests/cpu/build.sh; `expected` is what qemu-system-arm 7.2 printed, with its
//! exit code.

use rocd::sim::semihost::{End, run_elf};
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
    let end = run_elf(&chip, &std::fs::read(path).unwrap(), LIMIT_MS, &mut |bytes| text.extend_from_slice(bytes)).unwrap();
    (text, end)
}

fn programs(prefix: &str) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut programs: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "elf"))
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(prefix))
        .collect();
    programs.sort();
    programs
}

fn all_print_what_is_expected(prefix: &str) {
    let programs = programs(prefix);
    assert_eq!(programs.len(), 9, "{prefix}");
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

#[test]
fn interrupts_priorities_and_masks() {
    all_print_what_is_expected("p7_nvic");
}
