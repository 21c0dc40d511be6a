//! gdb-multiarch at rocd's own server, on the embedded board, both chips; what no gdb sends is sent by hand.

mod served;
mod serving;

use served::gdb::{FUNCTIONS, in_order, of_rocds_own, run as gdb};
use served::verdict::Verdict;
use serving::{Line, Packets, Rocd, steps};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

const H743: (&str, &str) = ("stm32h7", "tests/firmware/blinky-h743.elf");
const G071: (&str, &str) = ("stm32g0", "tests/firmware/blinky-g071.elf");
const CALLS_H743: (&str, &str) = ("stm32h7", "tests/firmware/calls-o0-h743.elf");
const CALLS_G071: (&str, &str) = ("stm32g0", "tests/firmware/calls-o0-g071.elf");

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

/// Functions, interrupts, a second gdb, Ctrl-C, and coming back: OpenOCD's transcript of the same is in judge_gdb.rs.
fn functions((target, elf): (&str, &str), fpu: bool) {
    let Some(_gdb) = verdict(target) else { return };
    let rocd = Rocd::serve(target, &["gdb", "0"]);
    let second = "shell gdb-multiarch -nx -batch -ex \"target extended-remote PORT\" -ex \"x/2xw 0x08000000\" -ex disconnect";
    let second = second.replace("PORT", rocd.address("gdb"));
    let then = [
        "tbreak semihosting",
        "continue",
        "info all-registers",
        &second,
        "info registers pc",
        "continue",
        "shell (sleep 0.5; kill -INT $PPID) >/dev/null 2>&1 &",
        "continue",
        "backtrace",
        "detach",
        "attach 1",
        "backtrace",
        "monitor reset halt",
        "detach",
    ];
    let lines = [&["load"], FUNCTIONS, &then].concat();
    let said = gdb(elf, rocd.address("gdb"), &lines);
    in_order(
        &said,
        &[
            "Breakpoint 1, main () at calls.c:52",
            "53\t",
            "$1 = 8",
            "Breakpoint 1, main () at calls.c:52",
            "fibonacci (n=6) at calls.c:14",
            "#0  fibonacci (n=6) at calls.c:14",
            "in main () at calls.c:52",
            "14\t",
            "Value returned is $2 = 8",
            "Breakpoint 2, SVC_Handler () at calls.c:35",
            "#1  <signal handler called>",
            "#2  main () at calls.c:54",
            "main () at calls.c:54",
            "semihosting (operation=24, argument=",
            "xPSR ",
            "msp ",
            "0x8000000:\t0x200",
            "<semihosting+",
            "Program received signal SIGTRAP",
            "semihosting (operation=24",
            "Program received signal SIGINT, Interrupt.",
            "main () at calls.c:64",
            "detached",
            "main () at calls.c:64",
            "halted due to debug-request",
            "detached",
        ],
    );
    // s14 to s15, of low + high and of its half
    assert!(!fpu || said.lines().any(|line| line.starts_with("s14 ") && line.contains("12")), "{said}");
    rocd.leave();
}

#[test]
fn functions_on_the_h743() {
    functions(CALLS_H743, true);
}

#[test]
fn functions_on_the_g071() {
    functions(CALLS_G071, false);
}

#[test]
fn gdb_with_a_file_is_a_gdb_that_is_connected_and_loaded() {
    let Some(_gdb) = verdict("stm32h7") else { return };
    let (mut rocd, _files) = of_rocds_own(H743.0, H743.1, "tbreak main\ncontinue\nquit 7\n");
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

/// Ctrl-C of a gdb that waits; benches/gdb.rs shows how soon the answer comes.
#[test]
fn ctrl_c_stops_the_core() {
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["gdb", "0"]);
    let mut gdb = Packets::to(rocd.address("gdb"));
    assert!(gdb.ask("?").starts_with("T05thread:1;0:"));
    gdb.send("vCont;c");
    gdb.line.send("\x03");
    let stopped = gdb.reply();
    assert!(stopped.starts_with("T02thread:1;0:"), "{stopped}");
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

/// A loop that only an interrupt ends: gdb steps its line instruction by instruction, and interrupts run in between.
#[test]
fn next_over_a_loop_that_waits_for_an_interrupt_comes_to_its_end() {
    for (target, elf) in [CALLS_H743, CALLS_G071] {
        let Some(_gdb) = verdict(target) else { return };
        let rocd = Rocd::serve(target, &["gdb", "0"]);
        // line 61 ends the loop of lines 60 and 61
        let said = gdb(elf, rocd.address("gdb"), &["load", "tbreak 61", "continue", "print ticks < 3", "until", "until", "print ticks"]);
        in_order(&said, &["$1 = 1", "\n62\t", "$2 = 3"]);
        rocd.leave();
    }
}

/// Each core at its own port, and one runs while the other is stopped.
#[test]
fn both_cores_of_an_h745() {
    let Some(_gdb) = verdict("stm32h745") else { return };
    let (m7, m4) = ("tests/firmware/blinky-h743.elf", "tests/firmware/blinky-h745-m4.elf");
    let lines = ["sim chip stm32h745", &format!("program {m7}"), &format!("program {m4} reset")];
    let rocd = Rocd::after("stm32h7", &lines, &["gdb", "0"]);
    let ports = [0, 1].map(|core| rocd.port("gdb", core));
    assert_eq!(ports.map(|port| port[2].as_str()), ["stm32h745.cpu0", "stm32h745.cpu1"]);
    let mut first = Packets::to(&ports[0][1]);
    assert!(first.ask("?").starts_with("T05thread:1;0:"));
    first.send("vCont;c");
    let session = |elf, port: &[String]| {
        let lines = [
            "info threads",
            "hbreak SysTick_Handler",
            "continue",
            "backtrace",
            "stepi",
            "finish",
            "delete",
            "watch milliseconds",
            "continue",
            "info registers pc",
            "print &milliseconds",
            "compare-sections .text",
            "detach",
        ];
        gdb(elf, &port[1], &lines)
    };
    let said = session(m4, ports[1]);
    let words =
        ["* 1    Thread 1 \"cm4\"", "Breakpoint 1, SysTick_Handler", "<signal handler called>", "main ()", "Old value", "0x10000008"];
    in_order(&said, &words);
    first.line.send("\x03");
    let stopped = first.reply();
    assert!(stopped.starts_with("T02thread:1;0:"), "the M7 ran all the time: {stopped}");
    assert_eq!(first.ask("D"), "OK");
    // both at once
    let said = std::thread::scope(|scope| {
        let other = scope.spawn(|| session(m4, ports[1]));
        (session(m7, ports[0]), other.join().unwrap())
    });
    in_order(&said.0, &["* 1    Thread 1 \"cm7\"", "Breakpoint 1, SysTick_Handler", "<signal handler called>", "Old value", "0x20000008"]);
    in_order(&said.1, &words);
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

/// Checksums, escapes, packets that are none, threads and points that are not there: refused (`E…`) or, where gdb is to try something
/// else, not known (empty); and the next one is served.
#[test]
fn malformed_packets() {
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["gdb", "0"]);
    let mut gdb = Packets::to(rocd.address("gdb"));
    gdb.line.send("$qC#00");
    assert_eq!(gdb.line.until("-"), "-");
    gdb.line.send("-");
    let refused = "m m, mzz,4 m+8000000,4 m8000000,+4 mffffffff,ffffffff M0 M24000000,0:aabb M24000000,ffff:00 X24000000,4:a Pf= Pf=00 G00 \
                   Z z Z0 z0 Z2 Z0,8000100 Z0,8000100,ffffffff Z0,8000100,0 Z0,8000100,5 Z1,8000100,1 z0,8000100,5 Z0,zz,2 \
                   Z2,24000000,0 Z2,24000000,3 Z2,24000001,4 Z4,24000000,ffffffff P Pff=00 p pff Gzz \
                   vCont; vCont;x vCont;r1 vCont;c; vCont;c:2 vCont;s:99 vCont;r8000000,8000002:zz vCont;c:1;s:7 vCont;C vCont;Czz \
                   T T2 T99 T-1 Tx Hg Hg2 Hg99 Hc Hc99 Hcx c+8000000 cxyz sxyz C Czz S Szz;8000000 \
                   X0 vFlashErase: vFlashErase:8000000 vFlashErase:24000000,400 vFlashErase:8000000,ffffffff vFlashErase:8000000,0 \
                   vFlashWrite: vFlashWrite:24000000:abcd qCRC: qCRC:1 qXfer:features:read:target.xml: qXfer:features:read:none:0,10 \
                   qRcmd,z qRcmd,6 qThreadExtraInfo,2 qAttached:9 vAttach;9 vAttach; vKill;";
    for packet in refused.split_whitespace() {
        let reply = gdb.ask(packet);
        assert!(reply.starts_with('E'), "{packet}: {reply}");
    }
    for packet in
        "Z9,0,0 z9,0,0 Z5,8000100,2 Zx,8000100,2 qXfer: qXfer:none:read::0,10 H Hz1 qCx gx kx ?x vFlashErase vCont qCRC".split_whitespace()
    {
        assert_eq!(gdb.ask(packet), "", "{packet}");
    }
    for packet in
        "T1 T01 Hg0 Hg1 Hc-1 Hc0 Hc1 Z0,8000100,3 z0,8000100,3 Z2,24000000,4 z2,24000000,4 z1,8000300,2 Z1,8000100,2;X1,0 z1,8000100,2"
            .split_whitespace()
    {
        assert_eq!(gdb.ask(packet), "OK", "{packet}");
    }
    assert_eq!(gdb.ask("vNothing"), "");
    assert_eq!(gdb.ask("qC"), "QC1");
    // of a `load` that was given up nothing stays
    let zeros = "z".repeat(32);
    for packet in ["vFlashErase:8020000,20000", &format!("vFlashWrite:8020000:{zeros}"), "vFlashErase:8040000,20000"] {
        assert_eq!(gdb.ask(packet), "OK", "{packet}");
    }
    for packet in [&format!("vFlashWrite:8040000:{zeros}"), "vFlashDone"] {
        assert_eq!(gdb.ask(packet), "OK", "{packet}");
    }
    assert_eq!((gdb.ask("m8020000,4"), gdb.ask("m8040000,4")), ("ffffffff".into(), "7a7a7a7a".into()));
    // gdb's own number of the process that it did not attach to
    assert_eq!(gdb.ask("vKill;a410"), "OK");
    let mut long = Line::to(rocd.address("gdb"));
    long.send(&format!("${}", "a".repeat(100_000)));
    assert!(long.closed());
    rocd.leave();
}

/// Many at one core, one of them deaf; when all go without a word, their points go along and the core runs on.
#[test]
fn fifty_gdbs_one_that_reads_nothing_and_all_gone_while_the_core_runs() {
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["gdb", "0", "tcl", "0"]);
    let mut gdbs: Vec<Packets> = (0..50).map(|_| Packets::to(rocd.address("gdb"))).collect();
    for gdb in &mut gdbs {
        assert!(gdb.ask("?").starts_with("T05"));
    }
    // it asks for more than a socket holds
    let mut deaf = Packets::to(rocd.address("gdb"));
    (0..2000).for_each(|_| deaf.send("m8000000,1000"));
    for (nth, gdb) in gdbs.iter_mut().enumerate() {
        let reply = gdb.ask(&format!("m{:x},4", 0x0800_0000 + 4 * (nth % 2)));
        assert_eq!(reply, ["00000220", "45000008"][nth % 2]);
    }
    assert_eq!(gdbs[0].ask("Z2,24000000,4"), "OK");
    assert_eq!(gdbs[1].ask("Z1,8001000,2"), "OK");
    assert_eq!(gdbs[2].ask("z1,8001000,2"), "OK");
    gdbs[0].send("vCont;c");
    gdbs[0].line.until("+");
    drop((gdbs, deaf));
    let mut tcl = Line::to(rocd.address("tcl"));
    tcl.send("cm7 curstate\x1a");
    assert_eq!(tcl.until("\x1a"), "running\x1a");
    // the last of them may be still on its way
    let points = (0..100).map(|_| {
        tcl.send("bp; wp\x1a");
        tcl.until("\x1a")
    });
    assert!(points.into_iter().any(|points| points == "\x1a"));
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

/// Two for the instruction and the registers, two for the code and the stack around it, which gdb wants to see: at calls, returns
/// and branches in a nested function, with and without breakpoints. Those of a range have no more than two each.
#[test]
fn a_step_is_four_round_trips() {
    for (probe, (target, elf)) in [("v2", CALLS_H743), ("v3", CALLS_H743), ("v2-1", CALLS_G071), ("v3", CALLS_G071)] {
        let Some(_gdb) = verdict(target) else { return };
        let log = tempfile::NamedTempFile::new().unwrap();
        let options = ["-d3", "-l", log.path().to_str().unwrap()];
        let rocd = Rocd::with(&options, target, &[&format!("sim probe {probe}")], &["gdb", "0"]);
        let mut lines = vec!["load", "tbreak fibonacci", "continue"];
        lines.extend(["stepi"; 20]);
        lines.extend(["hbreak SysTick_Handler", "watch result"]);
        lines.extend(["stepi"; 20]);
        lines.extend(["step"; 10]);
        let said = gdb(elf, rocd.address("gdb"), &lines);
        assert!(said.matches("fibonacci (n=").count() > 4, "it came so far:\n{said}");
        rocd.leave();
        let steps = steps(&std::fs::read_to_string(log.path()).unwrap());
        assert!(steps.len() > 50 && steps.iter().all(|(_, instructions)| *instructions > 0), "{steps:?}");
        // Something that gdb has not looked at before costs two more, once; so does RAM that was read too long ago on a busy machine.
        let over: Vec<_> = steps.iter().filter(|(transfers, instructions)| *transfers > 2 * instructions + 2).collect();
        assert!(over.len() < steps.len() / 4, "{target} on {probe}: {over:?} of {steps:?}");
    }
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

/// What Cortex-Debug sends, by the machine interface, and its live watch, which is a gdb of its own.
#[test]
fn cortex_debugs_sequence() {
    for (target, elf) in [H743, G071] {
        let Some(_gdb) = verdict(target) else { return };
        let rocd = Rocd::after(target, &[&format!("program {elf} reset")], &["gdb", "0"]);
        let (mut session, mut live) = (Machine::start(elf), Machine::start(elf));
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
            ("-interpreter-exec console \"monitor mwb 0x20004000 0x5a 16\"", "^done"),
            ("-data-read-memory-bytes 0x2000400c 8", "contents=\"5a5a5a5a"),
            ("-break-insert -h main", "^done,bkpt="),
            ("-exec-continue --all", "reason=\"breakpoint-hit\""),
            ("-break-watch milliseconds", "^done,"),
            ("-exec-continue --all", "reason=\"watchpoint-trigger\""),
            ("-stack-list-frames", "func=\"main\""),
            ("-data-list-register-values x", "register-values="),
            ("-break-delete", "^done"),
            ("-exec-continue --all", "*running"),
        ] {
            session.ask(line, answer);
        }
        for (line, answer) in [
            ("-gdb-set mi-async on", "^done"),
            ("-interpreter-exec console \"set remote interrupt-on-connect off\"", "^done"),
            (&select, "^connected"),
            ("-var-create led * half_period_ms", "^done,name=\"led\",numchild=\"0\",value=\"250\""),
            ("-var-update --all-values *", "^done,changelist="),
            ("-gdb-exit", "^exit"),
        ] {
            live.ask(line, answer);
        }
        session.ask("-exec-interrupt --all", "signal-name=\"SIGINT\"");
        session.ask("-gdb-exit", "^exit");
        rocd.leave();
    }
}

/// A gdb that is spoken to by lines (gdb's manual, "The GDB/MI Interface").
struct Machine {
    gdb: Child,
    answers: BufReader<ChildStdout>,
}

impl Machine {
    fn start(elf: &str) -> Machine {
        let mut gdb = Command::new("gdb-multiarch");
        gdb.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-nx", "-q", "--interpreter=mi2", elf]);
        let mut gdb = gdb.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let answers = BufReader::new(gdb.stdout.take().unwrap());
        Machine { gdb, answers }
    }

    #[track_caller]
    fn ask(&mut self, line: &str, answer: &str) {
        writeln!(self.gdb.stdin.as_mut().unwrap(), "{line}").unwrap();
        let mut said = String::new();
        while !said.contains(answer) {
            let count = self.answers.read_line(&mut said).unwrap();
            assert!(count > 0 && !said.contains("rror"), "{line}: {said}");
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        let _ = self.gdb.kill();
        let _ = self.gdb.wait();
    }
}

const PROGRAM: &str = "program tests/firmware/blinky-h743.elf reset";
