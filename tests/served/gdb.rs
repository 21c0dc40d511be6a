//! gdb-multiarch as a child process.

use super::finish;
use std::process::Command;
use std::time::Duration;

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
