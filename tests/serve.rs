//! `serve` beside gdb: telnet, OpenOCD's Tcl RPC and its clients, and what must not come in.

mod served;
mod serving;

use served::finish;
use served::verdict::Verdict;
use serving::{Line, Rocd};
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

const PROGRAM: &str = "program tests/firmware/blinky-h743.elf reset; halt";

#[test]
fn telnet_edits_completes_and_remembers() {
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["telnet", "0"]);
    let mut line = Line::to(rocd.address("telnet"));
    let hello = line.until("> ");
    assert!(hello.starts_with('\u{fffd}') && hello.ends_with("rocd 0.1.0\r\n\r> "), "{hello:?}");
    for (typed, shown) in [
        ("mdw 0x08000000 1\r\n", "0x08000000: 20020000"),
        // Backspace, to the beginning, delete, back to the end
        ("xeg pqc\x1b[D\x7f\x01\x1b[3~r\x05\r\n", "pc (/32): 0x"),
        // the line before, by an arrow and by Ctrl-P
        ("\x1b[A\r\n", "pc (/32): 0x"),
        ("\x10\x10\r\n", "0x08000000: 20020000"),
        // what there is, and as far as it agrees
        ("res\t", "reset resume "),
        ("um\t\r", "\r\n\r\u{1b}[K> "),
        // a word is open: the line goes on
        ("echo \"a\r", "...> "),
        ("b\"\r", "a\r\nb\r\n"),
        ("nonsense\r", "error: unknown command `nonsense`"),
        ("garbage\x03echo anew\r", "\r\nanew\r\n"),
        ("reset halt\r", "halted due to debug-request"),
    ] {
        line.send(typed);
        let said = line.until(shown);
        assert!(said.ends_with(shown), "{typed:?}: {said:?}");
    }
    line.send("exit\r");
    assert!(line.closed());
    rocd.leave();
}

/// What others do to the core, and Ctrl-C while a command runs.
#[test]
fn telnet_hears_what_happens() {
    let mut rocd = Rocd::after("stm32h7", &[PROGRAM], &["telnet", "0", "tcl", "0"]);
    let (mut one, mut other) = (Line::to(rocd.address("telnet")), Line::to(rocd.address("telnet")));
    one.until("> ");
    other.until("> ");
    let mut tcl = Line::to(rocd.address("tcl"));
    tcl.send("resume\x1a");
    // running, or asleep until its next tick
    other.until("ing\r\n");
    tcl.send("halt\x1a");
    other.until("[cm7] halted due to debug-request at ");
    one.send("print(6 * 7); while true { sleep(1) }\r");
    one.until("42\r\n");
    one.send("\x03");
    one.until("error: interrupted");
    other.send("echo still here\r");
    other.until("\r\nstill here\r\n");
    one.send("shutdown\r");
    assert!(one.closed() && other.closed());
    rocd.ended();
}

#[test]
fn a_real_telnet() {
    let judge = "telnet at rocd's server";
    let Some(_telnet) = Verdict::of("telnet", "inetutils-telnet", judge, "stm32h7") else { return };
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["telnet", "0"]);
    let (host, port) = rocd.address("telnet").split_once(':').unwrap();
    let script = format!("(sleep 0.5; echo 'mdw 0x08000000 1'; sleep 0.5; echo exit; sleep 0.5) | telnet {host} {port}");
    let (said, _) = finish(Command::new("sh").args(["-c", &script]), Duration::from_secs(30));
    assert!(said.contains("rocd 0.1.0") && said.contains("0x08000000: 20020000"), "{said}");
    rocd.leave();
}

#[test]
fn tcl_answers_as_openocd_does() {
    let mut rocd = Rocd::after("stm32h7", &[PROGRAM, "reset halt"], &["tcl", "0"]);
    let mut line = Line::to(rocd.address("tcl"));
    let caught = |script: &str| format!("set CMD_RETCODE [ catch {{ {script} }} CMD_OUTPUT ] ; return \"<$CMD_RETCODE,$CMD_OUTPUT>\" ; ");
    for (script, result) in [
        ("mdw 0x08000000 2", "0x08000000: 20020000 08000045 \n"),
        ("read_memory 0x08000000 32 2", "0x20020000 0x8000045"),
        ("write_memory 0x24000000 32 {0x12 0x34}; read_memory 0x24000004 32 1", "0x34"),
        ("nosuch", "invalid command name \"nosuch\""),
        ("echo hi", ""),
        ("capture {echo hi}", "hi\n"),
        ("capture \"echo $nothing\"", "can't read \"nothing\": no such variable"),
        ("set word \"a b\"; capture {echo $word ${word}}", "a b a b\n"),
        ("[target current] curstate", "halted"),
        ("target names", "cm7"),
        ("dict get [ get_reg -force pc ] pc", "0x08000044"),
        ("set_reg {r0 0x1234}; get_reg {r0 r1}", "r0 0x00001234 r1 0x00000000"),
        (&caught("capture { reg pc }"), "<0,pc (/32): 0x08000044>"),
        (&caught("reg nonsense"), "<1,this core has no register `nonsense`; `reg` lists the registers by number and name>"),
        (&caught("reg $nothing"), "<1,can't read \"nothing\": no such variable>"),
        ("echo [target current", "missing close-bracket `]`"),
    ] {
        line.send(&format!("{script}\x1a"));
        assert_eq!(line.until("\x1a"), format!("{result}\x1a"), "{script}");
    }
    // Scripts without an end are an error, and nobody else's trouble.
    for (script, result) in [
        ("\"", "missing \""),
        ("\"abc", "missing \""),
        ("echo \"a\\", "missing \""),
        ("set b a\\", "a"),
        ("echo {a", "missing close-bracket `}`"),
        ("set a 7", "7"),
    ] {
        line.send(&format!("{script}\x1a"));
        assert_eq!(line.until("\x1a"), format!("{result}\x1a"), "{script}");
    }
    // What fails leaves nothing behind that what comes after would fail by.
    for script in ["nosuch", "return 5", "echo [nosuch]"].repeat(40) {
        line.send(&format!("{script}\x1a"));
        line.until("\x1a");
    }
    let long = "set long abcdefgh\x1a".to_string() + &"set long $long$long$long$long$long$long$long$long\x1a".repeat(7);
    line.send(&long);
    let lengths: Vec<usize> = (0..8).map(|_| line.until("\x1a").len() - 1).collect();
    // Seven doublings of eight are 16 MiB: the last is refused, and the word keeps what it had.
    assert_eq!(lengths[5..], [8 << 15, 8 << 18, "word too long".len()]);
    for (script, result) in [
        ("write_memory 0x24000000 32 0x12345678; read_memory 0x24000000 32 1", "0x12345678"),
        ("serve tcl 0", "serve is for the terminal: rocd is serving already"),
        ("gdb tests/firmware/blinky-h743.elf", "serve is for the terminal: rocd is serving already"),
        ("sim serve --stlink-tcp 127.0.0.1:0", "sim serve is for the terminal: rocd is serving already"),
    ] {
        line.send(&format!("{script}\x1a"));
        assert_eq!(line.until("\x1a"), format!("{result}\x1a"), "{script}");
    }
    line.send("shutdown\x1a");
    assert_eq!(line.until("\x1a"), "\x1a");
    assert!(line.closed());
    rocd.ended();
}

/// What OpenOCD 0.12 said to the same commands, each as often as it has one core; of `reset run` it does not tell that the core
/// runs, which here it is.
#[test]
fn tcl_notifications_come_as_openocd_has_them() {
    let rocd = Rocd::after("stm32h7", &[PROGRAM, "resume"], &["tcl", "0"]);
    let (mut line, mut other) = (Line::to(rocd.address("tcl")), Line::to(rocd.address("tcl")));
    let event = |name: &str| format!("type target_event event {name}\r\n\x1a");
    let state = |name: &str| format!("type target_state state {name}\r\n\x1a");
    let reset = |mode: &str| format!("type target_reset mode {mode}\r\n\x1a");
    let events = |names: &[&str]| names.iter().map(|name| event(name)).collect::<String>();
    let halted = [event("gdb-halt"), state("halted"), event("halted")].concat();
    let resumed = [event("resume-start"), event("resumed"), state("running"), event("resume-end")].concat();
    for (command, told) in [
        ("tcl_notifications on", String::new()),
        ("tcl_trace on", String::new()),
        ("halt", halted.clone()),
        ("halt", String::new()),
        ("step", events(&["step-start", "resumed", "gdb-halt", "halted", "step-end"])),
        ("resume", resumed.clone()),
        ("reset halt", reset("halt") + &halted),
        ("reset init", reset("init") + &events(&["gdb-halt", "halted"])),
        ("reset run", reset("run") + &state("running")),
        ("reset", reset("run")),
    ] {
        line.send(&format!("catch {{{command}}}\x1a"));
        assert_eq!(line.until("0\x1a"), format!("{told}0\x1a"), "{command}");
    }
    // what another client does, and what the core does by itself
    other.send("halt\x1a");
    assert_eq!(line.until(&halted), halted);
    other.send("bp SysTick_Handler 2; resume\x1a");
    assert_eq!(line.until(&halted), resumed + &halted);
    line.send("tcl_notifications off\x1a");
    assert_eq!(line.until("\x1a"), "\x1a");
    line.send("catch step\x1a");
    assert_eq!(line.until("\x1a"), "0\x1a");
    rocd.leave();
}

/// https://pypi.org/project/pyopenocdclient and https://pypi.org/project/openocd
const PYTHON: &str = "
import sys
host, port = sys.argv[1].split(':')
from py_openocd_client import PyOpenocdClient
with PyOpenocdClient(host, int(port)) as ocd:
    ocd.reset_halt()
    assert ocd.is_halted(), ocd.curstate()
    assert ocd.get_reg('pc') == 0x08000044
    ocd.set_reg('r3', 0x55)
    assert ocd.get_reg('r3', force=True) == 0x55
    ocd.write_memory(0x24000000, 32, [1, 0xdeadbeef])
    assert ocd.read_memory(0x24000000, 32, 2) == [1, 0xdeadbeef]
    ocd.add_bp(0x080000b4, 2, hw=True)
    assert ocd.list_bp()[0].addr == 0x080000b4
    ocd.remove_all_bp()
    ocd.step()
    ocd.resume()
    assert ocd.is_running(), ocd.curstate()
    failed = ocd.cmd('mdw 0x70000000', throw=False)
    assert failed.retcode == 1 and '0x70000000' in failed.out, failed
    print('pyopenocdclient', ocd.cmd('version').out)
from openocd import OpenOcd
with OpenOcd(host, int(port)) as oocd:
    oocd.halt()
    assert str(oocd.target_state()) == 'TargetState.HALTED', oocd.target_state()
    oocd.write_memory(0x24000000, [7, 8], 32)
    assert oocd.read_memory(0x24000000, 2, 32) == [7, 8]
    oocd.write_registers({'r1': 0x77})
    assert oocd.read_registers(['r1'])['r1'] == 0x77
    print('openocd', oocd.current_target())
";

#[test]
fn clients_from_pypi() {
    let there = |python: &str| {
        let imports = ["-c", "import py_openocd_client, openocd"];
        Command::new(python).args(imports).output().is_ok_and(|output| output.status.success())
    };
    let python = ["python3", "target/openocd-clients/bin/python3"].into_iter().find(|python| there(python));
    let missing = "pyopenocdclient and openocd are not installed (pip install pyopenocdclient openocd)";
    let missing = python.is_none().then(|| missing.to_string());
    let Some(_clients) = Verdict::unless(missing, "pyopenocdclient and openocd of PyPI", "stm32h7") else { return };
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["tcl", "0"]);
    let mut client = Command::new(python.unwrap_or_default());
    let (said, ok) = finish(client.args(["-c", PYTHON, rocd.address("tcl")]), Duration::from_secs(60));
    assert!(ok && said.contains("pyopenocdclient rocd") && said.contains("openocd cm7"), "{said}");
    rocd.leave();
}

/// A page in a browser must not drive a debugger.
#[test]
fn http_is_closed_at_once_and_nothing_of_it_is_run() {
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["gdb", "0", "telnet", "0", "tcl", "0"]);
    for port in ["gdb", "telnet", "tcl"] {
        for request in
            ["GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "POST /x HTTP/1.1\r\n\r\nmww 0x24000000 0x666\r\n\x1amww 0x24000000 0x666\x1a"]
        {
            let mut line = Line::to(rocd.address(port));
            line.send(request);
            assert!(line.closed(), "{port}");
        }
    }
    let mut line = Line::to(rocd.address("tcl"));
    line.send("mdw 0x24000000 1\x1a");
    let word = line.until("\x1a");
    assert!(word.starts_with("0x24000000: ") && !word.contains("666"), "{word}");
    let said = rocd.leave();
    assert_eq!(said, "", "-q keeps warnings to itself");
}

#[test]
fn fifty_clients_one_that_reads_nothing_and_one_that_says_too_much() {
    let rocd = Rocd::after("stm32h7", &[PROGRAM], &["telnet", "0", "tcl", "0"]);
    let mut lines: Vec<Line> = (0..50).map(|_| Line::to(rocd.address("tcl"))).collect();
    for (nth, line) in lines.iter_mut().enumerate() {
        line.send(&format!("mdw {:#x} 1\x1a", 0x0800_0000 + 4 * (nth % 2)));
    }
    for (nth, line) in lines.iter_mut().enumerate() {
        let word = ["08000000: 20020000", "08000004: 08000045"][nth % 2];
        assert_eq!(line.until("\x1a"), format!("0x{word} \n\x1a"));
    }
    // it asks for more than a socket holds and never reads
    let mut deaf = Line::to(rocd.address("tcl"));
    (0..100).for_each(|_| deaf.send("mdw 0x08000000 16384\x1a"));
    let mut flood = Line::to(rocd.address("tcl"));
    flood.send(&"x".repeat(5 << 20));
    assert!(flood.closed());
    lines[0].send("echo still\x1a");
    assert_eq!(lines[0].until("\x1a"), "\x1a");
    rocd.leave();
}

#[test]
fn a_port_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let rocd = |words: &[&str]| Command::new(env!("CARGO_BIN_EXE_rocd")).args(["-f", "sim", "-f", "stm32h7"]).args(words).output().unwrap();
    let output = rocd(&["serve", "telnet", &port.to_string()]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&format!("error: telnet cannot listen at 127.0.0.1:{port}: Address already in use")), "{said}");
    assert_eq!(output.status.code(), Some(1));
    let output = rocd(&["-c", "bindto 192.0.2.1; serve tcl 0"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("error: tcl cannot listen at 192.0.2.1:0"), "{output:?}");
}

/// How it ends, which it does.
#[track_caller]
fn ended(rocd: &mut Child) -> ExitStatus {
    let ended = (0..2000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        rocd.try_wait().unwrap()
    });
    let _ = rocd.kill();
    ended.expect("it does not end")
}

/// Over a pipe, and it reads nothing of all that it asks for: it is no client any more, and rocd leaves.
#[test]
fn a_gdb_behind_a_pipe_that_reads_nothing() {
    for serve in ["serve  gdb   pipe", "serve(\"gdb\", \"pipe\")"] {
        let mut rocd = Command::new(env!("CARGO_BIN_EXE_rocd"));
        rocd.args(["-q", "-f", "sim", "-f", "stm32h7", "-c", &format!("echo aside; {serve}")]);
        let mut rocd = rocd.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut stdin = rocd.stdin.take().expect("stdin is piped");
        stdin.write_all("$m8000000,2000#b3".repeat(1000).as_bytes()).unwrap();
        assert!(ended(&mut rocd).success(), "{serve}");
        let output = rocd.wait_with_output().unwrap();
        assert!(output.stdout.starts_with(b"+$"), "{serve}: something else is on gdb's pipe");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "aside\n");
    }
}

/// Nobody reads stdout, on which a program in the chip says more than any pipe holds: clients are served, what is lost is told where it
/// is missing and at the end, and Ctrl-C ends it at once.
#[test]
fn a_stdout_that_nobody_reads_holds_nobody_up() {
    let mut rocd = Command::new(env!("CARGO_BIN_EXE_rocd"));
    rocd.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-q", "-f", "sim", "-f", "stm32h7"]);
    rocd.args(["-c", "program tests/firmware/rtt-h743.elf reset", "-c", "serve tcl 0"]);
    let mut rocd = rocd.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(rocd.stdout.take().expect("stdout is piped"));
    let listens = said.by_ref().lines().map_while(Result::ok).find_map(|line| line.strip_prefix("tcl ").map(str::to_string));
    let mut tcl = Line::to(&listens.expect("where it listens"));
    tcl.send("rtt start; rtt server start 0 0\x1a");
    let port = tcl.until("\x1a");
    let port = port.strip_prefix("rtt ").and_then(|rest| rest.split(' ').next()).unwrap_or_else(|| panic!("{port:?}"));
    let mut reader = Line::to(port);
    reader.send("e");
    // 2 MiB, whose lines are numbered
    reader.until("\n0001ffff");
    tcl.send("read_memory 0x08000000 32 1\x1a");
    assert_eq!(tcl.until("\x1a").get(..2), Some("0x"));
    let gap = said.by_ref().lines().map_while(Result::ok).find(|line| line.starts_with("[rocd: "));
    assert!(gap.is_some_and(|gap| gap.ends_with(" bytes are lost here: nobody read them]")));
    reader.until("\n0003ffff");
    assert!(Command::new("kill").args(["-INT", &rocd.id().to_string()]).status().unwrap().success());
    let ended = ended(&mut rocd);
    assert_eq!(ended.code(), Some(1));
    let mut aside = String::new();
    rocd.stderr.take().expect("stderr is piped").read_to_string(&mut aside).unwrap();
    assert!(aside.contains(" bytes of stdout are lost: nobody read them"), "{aside}");
}
