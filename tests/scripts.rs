//! The scripts that people copy, each on the embedded board, through the program.

use std::fs;
use std::path::Path;
use std::process::Command;

/// What a run came to: exit code, and all that it said.
struct Run {
    code: i32,
    said: String,
}

impl Run {
    #[track_caller]
    fn ends(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{}", self.said);
        words.iter().for_each(|words| assert!(self.said.contains(words), "`{words}` is not in:\n{}", self.said));
    }
}

/// `files` are further -f files; in a folder with the firmware beside it.
fn rocd(folder: &Path, target: &str, files: &[&str], lines: &[&str]) -> Run {
    for name in ["blinky-h743", "blinky-g071"] {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/firmware/{name}.elf"));
        fs::copy(from, folder.join(format!("{name}.elf"))).unwrap();
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocd"));
    command.current_dir(folder).env_remove("ROCD_PATH").env("HOME", folder).env("XDG_CONFIG_HOME", folder);
    command.args(["sim", target].iter().chain(files).flat_map(|file| ["-f", file]));
    command.args(lines.iter().flat_map(|line| ["-c", line]));
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    Run { code: output.status.code().unwrap(), said: String::from_utf8(said).unwrap() }
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

#[test]
fn the_production_line_writes_the_number_and_logs_the_unit() {
    for (target, at) in [("stm32h7", "0x081e0000"), ("stm32g0", "0x0801f800")] {
        let folder = folder();
        let firmware = if target == "stm32h7" { "blinky-h743.elf" } else { "blinky-g071.elf" };
        let unit = format!("unit {firmware} 1042 {at}");
        rocd(folder.path(), target, &["production"], &[&unit, &format!("mdw {at}"), "sleep 600; leds"])
            .ends(0, &["unit 1042: PASS", "00000412", "edges=2 "]);
        let log = fs::read_to_string(folder.path().join("production.log")).unwrap();
        let (head, uid_and_more) = log.split_once(" uid=").unwrap();
        assert_eq!(head, "serial=1042");
        let (uid, rest) = uid_and_more.split_once(' ').unwrap();
        assert!(uid.len() == 24 && uid.bytes().all(|byte| byte.is_ascii_hexdigit()) && !uid.trim_matches(['0', 'f']).is_empty(), "{uid}");
        assert!(rest.starts_with("chip=STM32") && rest.ends_with(" rdp=open PASS\n"), "{log}");
    }
}

#[test]
fn a_unit_that_fails_is_logged_with_its_step_and_ends_the_run() {
    let folder = folder();
    let lines = ["unit missing.elf 7 0x081e0000 --log line.log", "unit blinky-h743.elf 8 0x081e0000 --log line.log"];
    rocd(folder.path(), "stm32h7", &["production"], &lines).ends(1, &["missing.elf"]);
    let lines = ["sim unplug", "unit blinky-h743.elf 9 0x081e0000 --log line.log"];
    assert_ne!(rocd(folder.path(), "stm32h7", &["production"], &lines).code, 0);
    let log = fs::read_to_string(folder.path().join("line.log")).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 2, "{log}");
    assert!(lines[0].starts_with("serial=7 uid=3") && lines[0].contains(" FAIL program: ") && lines[0].contains("missing.elf"), "{log}");
    assert!(lines[1].starts_with("serial=9 uid=- chip=- rdp=- FAIL connect: "), "{log}");
}

#[test]
fn a_unit_that_is_to_be_locked_and_is_not_is_no_plain_pass() {
    let folder = folder();
    let lines = ["unit blinky-h743.elf 1 0x081e0000 lock", "unit_locked 1"];
    rocd(folder.path(), "stm32h7", &["production"], &lines).ends(1, &["operator: set RDP to level 1", "unit 1 is not locked"]);
    let log = fs::read_to_string(folder.path().join("production.log")).unwrap();
    assert!(log.contains("rdp=open PASS-UNLOCKED\n") && log.ends_with("serial=1 rdp=open FAIL lock: readout protection is off\n"), "{log}");
}

#[test]
fn the_smoke_test_ends_with_a_code() {
    let folder = folder();
    let smoke = |line: &str| rocd(folder.path(), "stm32h7", &["smoke"], &[line]);
    smoke("smoke blinky-h743.elf milliseconds").ends(0, &["smoke: blinky-h743.elf runs"]);
    // A constant does not count.
    smoke("smoke blinky-h743.elf half_period_ms").ends(7, &["half_period_ms stood at 250 for 217 ms"]);
    fs::write(folder.path().join("text.hex"), intel_hex(&[b'*'; 16])).unwrap();
    smoke("smoke text.hex").ends(8, &["no vector table"]);
    // A vector table, and behind it no code: the core locks up at once, which `reset` finds.
    let empty = [&[0x00, 0x10, 0x00, 0x20, 0x09, 0x00, 0x00, 0x08][..], &[0xFF; 8]].concat();
    fs::write(folder.path().join("empty.hex"), intel_hex(&empty)).unwrap();
    smoke("smoke empty.hex").ends(7, &["locked up"]);
    smoke("smoke missing.elf").ends(1, &["missing.elf"]);
}

/// One record at 0x08000000, and the end.
fn intel_hex(bytes: &[u8]) -> String {
    let record = |head: [u8; 4], data: &[u8]| {
        let all: Vec<u8> = head.iter().chain(data).copied().collect();
        let sum = all.iter().fold(0u8, |sum, byte| sum.wrapping_sub(*byte));
        let digits: String = all.iter().chain([&sum]).map(|byte| format!("{byte:02X}")).collect();
        format!(":{digits}\n")
    };
    record([2, 0, 0, 4], &[8, 0]) + &record([bytes.len() as u8, 0, 0, 0], bytes) + &record([0, 0, 0, 1], &[])
}

#[test]
fn memtest_passes_good_ram() {
    let folder = folder();
    let lines = ["memtest 0x24000000 40K", "memtest 0x20000000 4"];
    rocd(folder.path(), "stm32h7", &["memtest"], &lines).ends(0, &["cells: ok, 40960 bytes at 0x24000000", "cells: ok, 4 bytes"]);
    rocd(folder.path(), "stm32g0", &["memtest"], &["memtest 0x20000000 32K"]).ends(0, &["cells: ok, 32768 bytes"]);
}

/// The board has no faulty RAM, so this file stands between the script and the board: it replaces the two commands that the
/// test reads and writes with.
fn faulty(folder: &Path, place: &str, value: &str) {
    let text = format!(
        "fn place(at) {{ {place} }}\nfn value(at, value) {{ {value} }}\n\
         command(\"write_memory <addr> <width:num> <data:num>…\", \"\", |a| {{\n\
             for n in 0..a.data.len() {{ mww(place(a.addr + 4 * n), a.data[n]); }} }});\n\
         command(\"read_memory <addr> <width:num> <count:num>\", \"\", |a| {{\n\
             let all = [];\n\
             for n in 0..a.count {{ let at = a.addr + 4 * n; all.push(value(at, mdw(place(at))[0])); }}\n\
             all }});\n"
    );
    fs::write(folder.join("faulty.rhai"), text).unwrap();
}

#[test]
fn memtest_finds_stuck_bits_lines_and_cells() {
    let cases = [
        ("at", "value & 0xFFFFFFDF", "data line at 0x24000000: wrote 0x00000020, read 0x00000000 (bits 0x00000020 differ)"),
        ("at & 0xFFFFFEFF", "value", "address lines: a write to 0x24000000 changed 0x24000100"),
        ("at", "if at == 0x24000504 { value | 8 } else { value }", "cell at 0x24000504: wrote "),
    ];
    for (place, value, words) in cases {
        let folder = folder();
        faulty(folder.path(), place, value);
        rocd(folder.path(), "stm32h7", &["faulty", "memtest"], &["memtest 0x24000000 2K"]).ends(6, &[words]);
    }
    let folder = folder();
    rocd(folder.path(), "stm32h7", &["memtest"], &["memtest 0x70000000 64"]).ends(4, &["0x70000000"]);
    rocd(folder.path(), "stm32h7", &["memtest"], &["memtest 0x24000001 64"]).ends(2, &["must be multiples of 4"]);
}

#[test]
fn the_bring_up_runs_at_its_events_and_moves_the_pin() {
    let folder = folder();
    let lines = ["reset init; blink 3; leds", "program blinky-h743.elf reset; sleep 10; halt"];
    rocd(folder.path(), "stm32h7", &["bringup"], &lines)
        .ends(0, &["bring-up: GPIOB has its clock", "blink: PB0 follows", "LD1 PB0 off edges=6", "halted with sp = 0x2001"]);
    // Without its clock the port swallows what it is told.
    rocd(folder.path(), "stm32h7", &["bringup"], &["reset halt; blink"]).ends(1, &["PB0 was driven to 1 and reads 0"]);
    rocd(folder.path(), "stm32h7", &[], &["hook boot bring_up"]).ends(2, &["unknown event `boot`, expected one of examine_end"]);
    rocd(folder.path(), "bringup", &[], &["halt"]).ends(2, &["hook: there is no target file yet"]);
}

#[test]
fn files_that_cannot_be_written_or_are_gone_are_said_in_words() {
    let folder = folder();
    let run = |files: &[&str], lines: &[&str]| rocd(folder.path(), "stm32h7", files, lines);
    run(&[], &["append_line . unit 1"]).ends(1, &["error: .: ", "directory"]);
    run(&[], &["append_line missing/line.log unit 1"]).ends(1, &["error: missing/line.log: "]);
    #[cfg(target_os = "linux")]
    run(&["production"], &["unit blinky-h743.elf 1 0x081e0000 --log /dev/full"])
        .ends(1, &["error: /dev/full: ", "while append_line /dev/full"]);
    // There when the file with the import was read, gone when it is asked for; and there, but no text.
    fs::write(folder.path().join("main.rhai"), "command(\"late\", \"\", |a| { import \"gone\" as gone; gone::x() });").unwrap();
    run(&["main"], &["late"]).ends(2, &["import \"gone\": not found", "while late (main.rhai:1 `command("]);
    fs::write(folder.path().join("gone.rhai"), [b'x', 0xFF, 0xFE]).unwrap();
    run(&["main"], &["late"]).ends(2, &["gone.rhai: ", "UTF-8"]);
}

#[test]
#[cfg(unix)]
fn a_reader_that_leaves_ends_no_script_in_a_panic() {
    let folder = folder();
    let lines = "for n in 0..20000 { print(`line ${n} of many`) }";
    fs::write(folder.path().join("many.rhai"), lines).unwrap();
    let line = format!("{} -f many.rhai -c 'echo done' 2>said | head -n 1", env!("CARGO_BIN_EXE_rocd"));
    let output = Command::new("sh").args(["-c", &line]).current_dir(folder.path()).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "line 0 of many\n");
    assert_eq!(fs::read_to_string(folder.path().join("said")).unwrap(), "");
}

/// What the operator's tool does: option keys, RDP = 0x55, start, and on the G0 a launch (RM0433, RM0444: option bytes).
const LOCK: [(&str, &str, &str); 2] = [
    (
        "stm32h7",
        "unit blinky-h743.elf 1 0x081e0000 lock",
        "mww 0x52002008 0x08192A3B; mww 0x52002008 0x4C5D6E7F; mww 0x52002020 ((mdw(0x52002020)[0] & 0xFFFF00FF) | 0x5500); \
         mww 0x52002018 2",
    ),
    (
        "stm32g0",
        "unit blinky-g071.elf 1 0x0801f800 lock",
        "mww 0x40022008 0x45670123; mww 0x40022008 0xCDEF89AB; mww 0x4002200C 0x08192A3B; mww 0x4002200C 0x4C5D6E7F; \
         mww 0x40022020 ((mdw(0x40022020)[0] & 0xFFFFFF00) | 0x55); mww 0x40022014 0x20000; sleep 500; mww 0x40022014 0x08000000",
    ),
];

#[test]
fn a_unit_that_the_operator_locked_passes_and_is_not_programmed_again() {
    for (target, unit, lock) in LOCK {
        let folder = folder();
        let again = unit.trim_end_matches(" lock");
        rocd(folder.path(), target, &["production"], &[unit, lock, "sleep 500", "unit_locked 1", again])
            .ends(5, &["operator: set RDP", "unit 1: locked, RDP level1"]);
        let log = fs::read_to_string(folder.path().join("production.log")).unwrap();
        let results: Vec<&str> = log.lines().filter_map(|line| line.split_once("rdp=")?.1.split(": ").next()).collect();
        assert_eq!(results, ["open PASS-UNLOCKED", "level1 PASS", "level1 FAIL program"], "{log}");
    }
}
