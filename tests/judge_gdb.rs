//! gdb-multiarch through OpenOCD on the embedded board: load, compare-sections, breakpoints, watchpoints, stepi, backtrace; and
//! the same script through rocd, whose transcript is OpenOCD's but for what is listed here.

mod served;

use served::verdict::Verdict;
use served::{Board, DAP, HLA, Way, finish, segments};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

struct Chip {
    board: &'static str,
    target: &'static str,
    elf: &'static str,
    /// Whether a blank chip needs to be told that it is no longer blank.
    boot: &'static [&'static str],
}

const H743: Chip = Chip { board: "stm32h743", target: "stm32h7x", elf: "tests/firmware/blinky-h743.elf", boot: &[] };
const G071: Chip = Chip {
    board: "stm32g071",
    target: "stm32g0x",
    elf: "tests/firmware/blinky-g071.elf",
    boot: &["monitor stm32l4x option_load 0", "monitor sleep 100"],
};

/// What gdb says while it does `lines`, connected through a pipe to OpenOCD.
fn gdb(chip: &Chip, way: &Way, port: u16, lines: &[&str]) -> String {
    let openocd = [
        format!("openocd -c \"gdb_port pipe\" -c \"log_output {}\" -c \"telnet_port disabled\"", "/dev/null"),
        format!("-c \"tcl_port disabled\" -f interface/{}.cfg -c \"{} tcp {port}\"", way.interface, way.backend),
        format!("-c \"transport select {}\" -f target/{}.cfg -c init -c \"reset halt\"", way.transport, chip.target),
    ];
    gdb_at(chip, &openocd.join(" "), lines)
}

/// Connected through a pipe to this program.
fn gdb_at(chip: &Chip, server: &str, lines: &[&str]) -> String {
    let mut gdb = Command::new("gdb-multiarch");
    gdb.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-nx", "-batch", chip.elf]);
    gdb.args(["-ex", "set confirm off", "-ex", "set pagination off", "-ex", "set remotetimeout 30"]);
    gdb.args(["-ex", &format!("target extended-remote | {server}")]);
    for line in lines {
        gdb.args(["-ex", line]);
    }
    let (said, ok) = finish(&mut gdb, Duration::from_secs(180));
    assert!(ok, "gdb failed:\n{said}");
    said
}

/// The words stand in the text in this order.
#[track_caller]
fn in_order(text: &str, words: &[&str]) {
    let mut rest = text;
    for word in words {
        let Some(at) = rest.find(word) else { panic!("gdb did not say `{word}` in its place:\n{text}") };
        rest = &rest[at + word.len()..];
    }
}

fn judge(chip: &Chip, way: &Way, probe: &str) {
    let judge = format!("gdb through OpenOCD {}", way.name);
    let Some(_openocd) = Verdict::of("openocd", "openocd", &judge, chip.board) else { return };
    let Some(_gdb) = Verdict::of("gdb-multiarch", "gdb-multiarch", "gdb-multiarch", chip.board) else { return };
    let mut board = Board::serve(&format!("{},{probe}", chip.board), &[]);
    let session = [
        "monitor reset halt",
        "hbreak main",
        "continue",
        "delete",
        "stepi",
        "info registers pc",
        "watch milliseconds",
        "continue",
        "backtrace",
        "delete",
        "monitor reset run",
        "detach",
    ];
    let said = gdb(chip, way, board.port(), &[&["load", "compare-sections"], chip.boot, &session[..]].concat());
    // over a high-level adapter OpenOCD does not know a watchpoint when it stops at one
    let watched = if way.name == "hla" { "SIGTRAP" } else { "Old value = 0\nNew value = 1" };
    in_order(
        &said,
        &[
            "Loading section .text",
            "Transfer rate",
            "Section .text, range 0x8000000",
            "matched.",
            "Hardware assisted breakpoint 1 at 0x8",
            "Breakpoint 1, main () at ",
            "pc             0x8",
            "Hardware watchpoint 2: milliseconds",
            watched,
            "#0  0x0",
            "in SysTick_Handler () at ",
            "<signal handler called>",
            "main ()",
        ],
    );
    for (address, bytes) in segments(&Path::new(env!("CARGO_MANIFEST_DIR")).join(chip.elf)) {
        assert!(board.dump(address, bytes.len() as u32) == bytes, "flash at {address:#010x} is not the image");
    }
    board.run("sleep 2000");
    let leds = board.run("leds");
    assert!(leds.iter().any(|line| line.contains("period=500ms")), "{leds:?}");
    board.shutdown();
}

#[test]
fn gdb_through_dapdirect_on_the_h743() {
    judge(&H743, &DAP, "v3");
}

#[test]
fn gdb_through_hla_on_the_h743() {
    judge(&H743, &HLA, "v2");
}

#[test]
fn gdb_through_dapdirect_on_the_g071() {
    judge(&G071, &DAP, "v2-1");
}

#[test]
fn gdb_through_hla_on_the_g071() {
    judge(&G071, &HLA, "v3");
}

/// Lines that are not the same, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("0x70000000:", "a failed read is an error here; OpenOCD gives zeros"),
    ("lr  ", "a pointer to code here, so gdb adds the function; an int in OpenOCD's description"),
];

/// Lines that only one of them has, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("Transfer rate", "OpenOCD takes its wall time, rocd's board is as fast as it can"),
    ("basepri", "ARMv6-M has no such register (DDI0419 B1.4), and OpenOCD shows one"),
    ("faultmask", "as basepri"),
    ("[stm32g0x.cpu] external reset", "the option bytes are loaded anew for OpenOCD only; rocd clears EMPTY itself"),
    ("stm32l4x option load", "as above"),
    ("Unable to match requested speed", "as above"),
];

fn compare(chip: &Chip, probe: &str) {
    let Some(_openocd) = Verdict::of("openocd", "openocd", "gdb through OpenOCD and rocd", chip.board) else { return };
    let Some(_gdb) = Verdict::of("gdb-multiarch", "gdb-multiarch", "gdb through rocd and OpenOCD", chip.board) else { return };
    let session = [
        "monitor reset halt",
        "hbreak main",
        "continue",
        "delete",
        "stepi",
        "watch milliseconds",
        "continue",
        "backtrace",
        "delete",
        "rwatch milliseconds",
        "continue",
        "delete",
        "awatch milliseconds",
        "continue",
        "delete",
        "tbreak SysTick_Handler",
        "continue",
        "finish",
        "next",
        "step",
        "info registers",
        "x/4xw 0x08000000",
        "x/xw 0x70000000",
        "detach",
    ];
    let lines = [&["load", "compare-sections"], chip.boot, &session[..]].concat();
    let board = Board::serve(&format!("{},{probe}", chip.board), &[]);
    let openocd = transcript(&gdb(chip, &DAP, board.port(), &lines));
    board.shutdown();
    let board = Board::serve(&format!("{},{probe}", chip.board), &[]);
    let folder = tempfile::tempdir().unwrap();
    let interface = board.interface(folder.path());
    let rocd = format!("{} -q -f {} -f {} serve gdb pipe", env!("CARGO_BIN_EXE_rocd"), interface.display(), &chip.board[..7]);
    let lines: Vec<&str> = lines.into_iter().filter(|line| !chip.boot.contains(line)).collect();
    let rocd = transcript(&gdb_at(chip, &rocd, &lines));
    board.shutdown();
    assert_eq!(openocd.len(), rocd.len(), "{openocd:#?}\n{rocd:#?}");
    for (theirs, ours) in openocd.iter().zip(&rocd) {
        let explained = DIFFERENCES.iter().any(|(start, _)| theirs.starts_with(start) && ours.starts_with(start));
        assert!(theirs == ours || explained, "OpenOCD: {theirs}\n   rocd: {ours}");
    }
}

/// From the load on, without rates, and with one name for the core.
fn transcript(said: &str) -> Vec<String> {
    let lines = said
        .lines()
        .skip_while(|line| !line.starts_with("Loading section"))
        .filter(|line| !LEFT_OUT.iter().any(|row| line.starts_with(row.0)));
    let plain = |line: &str| match line.split_once("] halted") {
        Some((_, rest)) => format!("[core] halted{rest}"),
        None => line.to_string(),
    };
    lines.map(plain).collect()
}

#[test]
fn the_same_script_through_openocd_and_rocd_on_the_h743() {
    compare(&H743, "v3");
}

#[test]
fn the_same_script_through_openocd_and_rocd_on_the_g071() {
    compare(&G071, "v2-1");
}

/// Function and line of each frame, as gdb lists them (`#1  0x08000146 in main () at calls.c:52`) and as rocd does
/// (`#1  0x08000146 main+0x26 (calls.c:52)`).
fn frames(said: &str) -> [Vec<String>; 2] {
    let (mut gdb, mut rocd) = (vec![], vec![]);
    for line in said.lines().filter(|line| line.starts_with('#')) {
        let rest = line.split_once(' ').map_or("", |(_, rest)| rest.trim_start());
        if let Some((frame, place)) = rest.split_once(" at ") {
            let function = frame.split(" in ").last().and_then(|rest| rest.split(' ').next()).unwrap_or_default();
            gdb.push(format!("{function} {place}"));
        } else if let Some((frame, place)) = rest.split_once(" (").filter(|(frame, _)| frame.starts_with("0x")) {
            let function = frame.split(' ').next_back().and_then(|name| name.split('+').next()).unwrap_or_default();
            rocd.push(format!("{function} {}", place.split(')').next().unwrap_or_default()));
        }
    }
    [gdb, rocd]
}

/// At the same stops, but at no first instruction, which may have two lines: in a recursion, in an interrupt, in the handler of a fault.
fn backtraces(target: &'static str, firmware: &str, number: Option<u32>) {
    let Some(_gdb) = Verdict::of("gdb-multiarch", "gdb-multiarch", "gdb's backtrace and rocd's", target) else { return };
    let elf: &'static str = format!("tests/firmware/{firmware}.elf").leak();
    let own = format!("monitor backtrace {elf}");
    let start = ["set backtrace past-main on", "load", "monitor reset halt"];
    let which = format!("set *(int*)0x20004000={}", number.unwrap_or_default());
    let lines = match number {
        None => {
            vec![
                "hbreak fibonacci",
                "continue",
                "continue",
                "continue",
                "stepi",
                "backtrace",
                &own,
                "delete",
                "hbreak SysTick_Handler",
                "continue",
            ]
        }
        Some(_) => vec!["hbreak main", "continue", &which, "delete", "hbreak HardFault_Handler", "continue"],
    };
    let rocd = format!("{} -q -f sim -f {target} serve gdb pipe", env!("CARGO_BIN_EXE_rocd"));
    let chip = Chip { board: target, target, elf, boot: &[] };
    let said = gdb_at(&chip, &rocd, &[&start[..], &lines, &["stepi", "backtrace", &own, "detach"]].concat());
    let [theirs, ours] = frames(&said);
    assert!(theirs.len() >= 4, "{said}");
    assert_eq!(theirs, ours, "{said}");
}

#[test]
fn gdb_and_rocd_list_the_same_frames() {
    for (target, chip) in [("stm32h7", "h743"), ("stm32g0", "g071")] {
        backtraces(target, &format!("calls-o0-{chip}"), None);
        backtraces(target, &format!("calls-o2-{chip}"), None);
        backtraces(target, &format!("bad-{chip}"), Some(8));
    }
}
