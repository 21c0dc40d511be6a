//! gdb-multiarch at rocd's own server, on the embedded board, both chips; what no gdb sends is sent by hand.

mod served;
mod serving;

use served::finish;
use served::verdict::Verdict;
use serving::Rocd;
use std::process::Command;
use std::time::Duration;

const H743: (&str, &str) = ("stm32h7", "tests/firmware/blinky-h743.elf");
const G071: (&str, &str) = ("stm32g0", "tests/firmware/blinky-g071.elf");

fn gdb_command(elf: &str, address: &str, lines: &[&str]) -> Command {
    let mut gdb = Command::new("gdb-multiarch");
    gdb.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-nx", "-batch", elf]);
    gdb.args(["-ex", "set confirm off", "-ex", "set pagination off", "-ex", &format!("target extended-remote {address}")]);
    lines.iter().for_each(|line| _ = gdb.args(["-ex", line]));
    gdb
}

#[track_caller]
fn gdb(elf: &str, address: &str, lines: &[&str]) -> String {
    let (said, ok) = finish(&mut gdb_command(elf, address, lines), Duration::from_secs(120));
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

fn verdict(chip: &str) -> Option<Verdict> {
    Verdict::of("gdb-multiarch", "gdb-multiarch", "gdb at rocd's server", chip)
}

fn session((target, elf): (&str, &str), fpu: bool) {
    let Some(_gdb) = verdict(target) else { return };
    let rocd = Rocd::serve(target, &["gdb", "0"]);
    let core = tempfile::NamedTempFile::new().unwrap();
    let keep = format!("generate-core-file {}", core.path().display());
    let lines = [
        "load",
        "compare-sections",
        "hbreak main",
        "continue",
        "delete",
        "stepi",
        "info registers pc",
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
        "info threads",
        "info registers",
        if fpu { "print $d0" } else { "print $msp" },
        &keep,
        "monitor reset halt",
        "monitor reg pc",
        "detach",
    ];
    let said = gdb(elf, rocd.address("gdb"), &lines);
    in_order(
        &said,
        &[
            "Loading section .text",
            "Transfer rate",
            "Section .text, range 0x8000000",
            "matched.",
            "Section .data",
            "matched.",
            "Hardware assisted breakpoint 1 at 0x8",
            "Breakpoint 1, main () at ",
            "pc             0x8",
            "Hardware watchpoint 2: milliseconds",
            "Old value = 0\nNew value = 1",
            "#0  0x0",
            "in SysTick_Handler () at ",
            "<signal handler called>",
            "main ()",
            "Hardware read watchpoint 3: milliseconds",
            "Value = 1",
            "Hardware access (read/write) watchpoint 4: milliseconds",
            "Temporary breakpoint 5, SysTick_Handler () at",
            "main () at ",
            "* 1    Thread 1 \"",
            "xPSR ",
            if fpu { "fpscr" } else { "msp" },
            "$1 = ",
            "Saved corefile",
            "halted due to debug-request",
            "pc (/32): 0x08",
            "detached",
        ],
    );
    assert!(core.as_file().metadata().unwrap().len() > 1000, "the core file is empty");
    rocd.leave();
}

#[test]
fn a_session_on_the_h743() {
    session(H743, true);
}

#[test]
fn a_session_on_the_g071() {
    session(G071, false);
}

#[test]
fn gdb_with_a_file_is_a_gdb_that_is_connected_and_loaded() {
    let Some(_gdb) = verdict("stm32h7") else { return };
    let script = tempfile::NamedTempFile::with_suffix(".gdb").unwrap();
    std::fs::write(script.path(), "tbreak main\ncontinue\nquit 7\n").unwrap();
    let gdb = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&gdb, format!("#!/bin/sh\nexec gdb-multiarch -nx -batch \"$@\" -x {}\n", script.path().display())).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&gdb).status().unwrap().success());
    let mut rocd = Command::new(env!("CARGO_BIN_EXE_rocd"));
    rocd.current_dir(env!("CARGO_MANIFEST_DIR")).env("ROCD_GDB", &gdb).args(["-f", "sim", "-f", "stm32h7", "gdb", H743.1]);
    let output = rocd.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    in_order(&said, &["Loading section .text", "Transfer rate", "Temporary breakpoint 1, main () at"]);
    assert_eq!(output.status.code(), Some(7));
    rocd.env("ROCD_GDB", "no-such-gdb");
    let output = rocd.output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: no-such-gdb cannot be started"));
}

/// gdb's `|`: nothing but packets may be on rocd's stdout.
#[test]
fn gdb_over_a_pipe() {
    let Some(_gdb) = verdict("stm32h7") else { return };
    let rocd = format!("| {} -f sim -f stm32h7 serve gdb pipe", env!("CARGO_BIN_EXE_rocd"));
    let said = gdb(H743.1, &rocd, &["load", "monitor echo hello", "monitor mdw 0x08000000 1", "tbreak main", "continue", "detach"]);
    in_order(&said, &["Transfer rate", "hello", "0x08000000: 20020000", "Temporary breakpoint 1, main () at"]);
}
