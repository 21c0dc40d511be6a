//! gdb-multiarch at rocd's own server, on the embedded board, both chips; what no gdb sends is sent by hand.

mod served;
mod serving;

use served::finish;
use served::verdict::Verdict;
use serving::{Line, Rocd};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

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

/// Ctrl-C of a gdb that waits; the answer comes within 100 ms.
#[test]
fn ctrl_c_stops_the_core() {
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["gdb", "0"]);
    let mut gdb = Packets::to(rocd.address("gdb"));
    assert!(gdb.ask("?").starts_with("T05thread:1;0:"));
    gdb.send("vCont;c");
    gdb.line.send("\x03");
    let asked = Instant::now();
    let stopped = gdb.reply();
    assert!(stopped.starts_with("T02thread:1;0:"), "{stopped}");
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
    rocd.leave();
}

/// A second gdb looks on while the first one's program runs, and is told of its halt when it waits, too.
#[test]
fn two_gdbs_at_one_core() {
    let Some(_gdb) = verdict("stm32h7") else { return };
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["gdb", "0"]);
    let mut first = Packets::to(rocd.address("gdb"));
    first.ask("?");
    assert_eq!(first.ask("Z1,80000b4,2"), "OK");
    assert_eq!(first.ask("z1,80000b4,2"), "OK");
    first.send("vCont;c");
    let watch = ["print milliseconds", "shell sleep 0.2", "print milliseconds > 0", "monitor echo looking on", "detach"];
    let said = gdb(H743.1, rocd.address("gdb"), &watch);
    in_order(&said, &["$1 = ", "$2 = 1", "looking on", "detached"]);
    let mut second = Packets::to(rocd.address("gdb"));
    assert_eq!(second.ask("?"), "T00thread:1;");
    assert_eq!(second.ask("Z1,80000b4,2"), "OK");
    second.send("vCont;c");
    assert!(first.reply().starts_with("T05thread:1;"));
    assert!(second.reply().starts_with("T05thread:1;"));
    // both set it: it goes with the last
    assert_eq!(first.ask("Z1,80000b4,2"), "OK");
    drop(second);
    first.ask("qC");
    assert!(first.monitor("bp").contains("0x080000b4"));
    assert_eq!(first.ask("z1,80000b4,2"), "OK");
    assert_eq!(first.monitor("bp"), "");
    rocd.leave();
}

#[test]
fn detach_lets_the_program_go_on_and_kill_does_not() {
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["gdb", "0", "tcl", "0"]);
    let mut tcl = Line::to(rocd.address("tcl"));
    let mut state = || {
        tcl.send("cm7 curstate\x1a");
        tcl.until("\x1a").trim_end_matches('\x1a').to_string()
    };
    let mut gdb = Packets::to(rocd.address("gdb"));
    gdb.ask("?");
    assert_eq!((state().as_str(), gdb.ask("D").as_str(), state().as_str()), ("halted", "OK", "running"));
    assert!(gdb.ask("vAttach;1").starts_with("T05"));
    assert_eq!((state().as_str(), gdb.ask("vKill;1").as_str(), state().as_str()), ("halted", "OK", "halted"));
    // one that goes without a word takes its points along, and the core runs on
    assert!(gdb.ask("vRun;").starts_with("T05"));
    assert_eq!(gdb.ask("Z1,80000b4,2"), "OK");
    gdb.ask("z1,80000b4,2");
    gdb.ask("Z2,24000000,4");
    gdb.send("vCont;c");
    gdb.line.until("+");
    drop(gdb);
    assert_eq!(state(), "running");
    tcl.send("bp; wp\x1a");
    assert_eq!(tcl.until("\x1a"), "\x1a");
    rocd.leave();
}

#[test]
fn errors_have_words_and_a_failed_read_is_one() {
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["gdb", "0"]);
    let mut gdb = Packets::to(rocd.address("gdb"));
    gdb.ask("?");
    assert_eq!(gdb.ask("m70000000,4"), "E01");
    assert_eq!(gdb.ask("m8000000,4"), "00000220");
    gdb.ask("qSupported:error-message+");
    assert!(gdb.ask("m70000000,4").starts_with("E.READMEM"), "{}", gdb.ask("m70000000,4"));
    assert!(gdb.ask("M8000000,1:00").starts_with("E.0x08000000 is flash"));
    for (nth, at) in (0x0800_0100..).step_by(2).take(8).enumerate() {
        assert_eq!(gdb.ask(&format!("Z0,{at:x},2")), "OK", "breakpoint {nth}");
    }
    let full = gdb.ask("Z0,8000110,2");
    assert!(full.starts_with("E.all 8 hardware breakpoints of core cm7 are in use"), "{full}");
    rocd.leave();
}

/// Checksums, escapes, packets that are none: refused, and the next one is served.
#[test]
fn malformed_packets() {
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["gdb", "0"]);
    let mut gdb = Packets::to(rocd.address("gdb"));
    gdb.line.send("$qC#00");
    assert_eq!(gdb.line.until("-"), "-");
    gdb.line.send("-");
    for packet in [
        "m",
        "m,",
        "mzz,4",
        "mffffffff,ffffffff",
        "M0",
        "Z",
        "Z9,0,0",
        "Z0",
        "z",
        "P",
        "Pff=00",
        "p",
        "pff",
        "Gzz",
        "vCont;",
        "vCont;x",
        "vCont;r1",
        "X0",
        "vFlashErase",
        "vFlashWrite:",
        "qCRC",
        "qCRC:1",
        "qXfer:",
        "qRcmd,z",
        "sxyz",
        "H",
        "T",
    ] {
        let reply = gdb.ask(packet);
        assert!(["", "OK"].contains(&reply.as_str()) || reply.starts_with('E'), "{packet}: {reply}");
    }
    assert_eq!(gdb.ask("vNothing"), "");
    assert_eq!(gdb.ask("qC"), "QC1");
    let mut long = Line::to(rocd.address("gdb"));
    long.send(&format!("${}", "a".repeat(100_000)));
    assert!(long.closed());
    rocd.leave();
}

/// Each client is told, and the probe that is plugged in again is used.
#[test]
fn an_unplugged_probe() {
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["gdb", "0", "telnet", "0"]);
    let mut gdb = Packets::to(rocd.address("gdb"));
    gdb.ask("?");
    gdb.send("vCont;c");
    gdb.line.until("+");
    let mut telnet = Line::to(rocd.address("telnet"));
    telnet.until("> ");
    telnet.send("sim unplug\r");
    let told = gdb.reply();
    assert!(told.starts_with('O'), "{told}");
    assert!(gdb.line.closed());
    telnet.send("halt\r");
    telnet.until("error: the probe was unplugged");
    rocd.leave_unplugged();
}

/// A stop brings every register that gdb wants for its next steps.
#[test]
fn a_step_asks_for_no_register() {
    let Some(_gdb) = verdict("stm32h7") else { return };
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["gdb", "0"]);
    let steps =
        ["monitor reset halt", "tbreak main", "continue", "step", "set debug remote 1", "step", "next", "stepi", "set debug remote 0"];
    let said = gdb(H743.1, rocd.address("gdb"), &steps);
    assert!(said.contains("Sending packet: $vCont;r"), "{said}");
    let asked: Vec<&str> = said.lines().filter(|line| line.contains("packet: $p") || line.contains("packet: $g")).collect();
    assert!(asked.is_empty(), "{asked:?}");
    rocd.leave();
}

/// What Cortex-Debug sends, by the machine interface.
#[test]
fn cortex_debugs_sequence() {
    let Some(_gdb) = verdict("stm32h7") else { return };
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["gdb", "0"]);
    let mut gdb = Command::new("gdb-multiarch");
    gdb.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-nx", "-q", "--interpreter=mi2", H743.1]);
    let mut gdb = gdb.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut lines, answers) = (gdb.stdin.take().unwrap(), BufReader::new(gdb.stdout.take().unwrap()));
    let mut answers = answers.lines().map_while(Result::ok);
    let select = format!("-target-select extended-remote {}", rocd.address("gdb"));
    for (line, answer) in [
        ("-gdb-set mi-async on", "^done"),
        (&select, "^connected"),
        ("-interpreter-exec console \"monitor reset halt\"", "^done"),
        ("-target-download", "^done,address="),
        ("-interpreter-exec console \"monitor reset halt\"", "^done"),
        ("-interpreter-exec console \"monitor halt\"", "^done"),
        ("-interpreter-exec console \"monitor gdb_sync\"", "^done"),
        ("-interpreter-exec console \"stepi\"", "*stopped"),
        ("-break-insert -h main", "^done,bkpt="),
        ("-exec-continue --all", "reason=\"breakpoint-hit\""),
        ("-break-watch milliseconds", "^done,"),
        ("-exec-continue --all", "reason=\"watchpoint-trigger\""),
        ("-stack-list-frames", "func=\"main\""),
        ("-data-list-register-values x", "register-values="),
        ("-break-delete", "^done"),
        ("-exec-continue --all", "*running"),
        ("-exec-interrupt --all", "signal-name=\"SIGINT\""),
        ("-gdb-exit", "^exit"),
    ] {
        writeln!(lines, "{line}").unwrap();
        let said: Vec<String> = answers.by_ref().take_while(|said| !said.contains(answer) && !said.starts_with("^error")).collect();
        let error = said.iter().find(|said| said.contains("rror"));
        assert!(error.is_none(), "{line}: {said:?}");
    }
    assert!(gdb.wait().unwrap().success());
    rocd.leave();
}

const PROGRAM: &str = "program tests/firmware/blinky-h743.elf reset";

/// gdb's packets, sent by hand.
struct Packets {
    line: Line,
}

impl Packets {
    fn to(address: &str) -> Packets {
        Packets { line: Line::to(address) }
    }

    fn send(&mut self, packet: &str) {
        let sum = packet.bytes().fold(0u8, |sum, byte| sum.wrapping_add(byte));
        self.line.send(&format!("${packet}#{sum:02x}"));
    }

    fn reply(&mut self) -> String {
        self.line.until("$");
        let reply = self.line.until("#");
        self.line.send("+");
        reply.trim_end_matches('#').to_string()
    }

    fn ask(&mut self, packet: &str) -> String {
        self.send(packet);
        self.reply()
    }

    /// What a command says.
    fn monitor(&mut self, command: &str) -> String {
        let hex: String = command.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut said = String::new();
        let mut reply = self.ask(&format!("qRcmd,{hex}"));
        while let Some(text) = reply.strip_prefix('O').filter(|text| *text != "K") {
            let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap() as char;
            said.extend((0..text.len()).step_by(2).map(byte));
            reply = self.reply();
        }
        said
    }
}
