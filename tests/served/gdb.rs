//! gdb-multiarch as a child process.

use super::finish;
use std::process::Command;
use std::time::Duration;

/// calls.c stopped before its functions, over and through them, and in a handler.
pub const FUNCTIONS: &[&str] = &[
    "break 52",
    "continue",
    "next",
    "print result",
    "monitor reset halt",
    "continue",
    "step",
    "backtrace",
    "stepi",
    "nexti",
    "finish",
    "delete",
    "hbreak SVC_Handler",
    "continue",
    "backtrace",
    "finish",
    "delete",
];

/// `rocd gdb`, whose gdb does these lines, and the files that it needs meanwhile.
pub fn of_rocds_own(target: &str, elf: &str, lines: &str) -> (Command, [tempfile::TempPath; 2]) {
    let [script, gdb] = [".gdb", ""].map(|suffix| tempfile::NamedTempFile::with_suffix(suffix).unwrap().into_temp_path());
    std::fs::write(&script, lines).unwrap();
    std::fs::write(&gdb, format!("#!/bin/sh\nexec gdb-multiarch -nx -batch \"$@\" -x {}\n", script.display())).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&gdb).status().unwrap().success());
    let mut rocd = Command::new(env!("CARGO_BIN_EXE_rocd"));
    rocd.current_dir(env!("CARGO_MANIFEST_DIR")).env("ROCD_GDB", &gdb).args(["-f", "sim", "-f", target, "gdb", elf]);
    (rocd, [script, gdb])
}

/// Connected to `server`, an address or a pipe, it does these lines and leaves.
pub fn command(elf: &str, server: &str, lines: &[&str]) -> Command {
    let mut gdb = Command::new("gdb-multiarch");
    gdb.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-nx", "-batch", elf]);
    let head = ["set confirm off", "set pagination off", "set remotetimeout 30", &format!("target extended-remote {server}")];
    head.iter().chain(lines).for_each(|line| _ = gdb.args(["-ex", line]));
    gdb
}

/// What it says meanwhile.
#[track_caller]
pub fn run(elf: &str, server: &str, lines: &[&str]) -> String {
    let (said, ok) = finish(&mut command(elf, server, lines), Duration::from_secs(180));
    assert!(ok, "gdb failed:\n{said}");
    said
}

/// The words stand in the text in this order.
#[track_caller]
pub fn in_order(text: &str, words: &[&str]) {
    let mut rest = text;
    for word in words {
        let Some(at) = rest.find(word) else { panic!("gdb did not say `{word}` in its place:\n{text}") };
        rest = &rest[at + word.len()..];
    }
}
