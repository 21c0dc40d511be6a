//! Semihosting's calls, on both chips: what they answer, what they refuse, and in gdb, telnet and the prompt's commands.

mod served;
mod serving;

use rocd::command::{Settings, Value};
use rocd::event::{Event, Heard};
use rocd::host::{Cancel, Host};
use rocd::sim::{Board, Config, Inject};
use served::finish;
use served::gdb::{in_order, of_rocds_own, run as gdb};
use served::verdict::Verdict;
use serving::{Line, Rocd};
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

const CHIPS: [(&str, &str); 2] = [("stm32h7", "tests/firmware/semihosting-h743.elf"), ("stm32g0", "tests/firmware/semihosting-g071.elf")];

/// What the program prints, which must end well.
#[track_caller]
fn said(target: &str, lines: &[&str], words: &[&str]) -> String {
    let mut rocd = Command::new(env!("CARGO_BIN_EXE_rocd"));
    rocd.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-q", "-f", "sim", "-f", target]);
    lines.iter().for_each(|line| _ = rocd.args(["-c", line]));
    let output = rocd.arg("run").args(words).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {said}{}", output.status, String::from_utf8_lossy(&output.stderr));
    said
}

#[test]
fn the_console() {
    let wanted = "*write0\nstdout\nleft 00000000\nstderr\nleft 00000000\ninput 00000008\nreadc ffffffff\n  errno 00000005\n\
                  tty 00000001\ntty 00000000\nflen 00000005\nleft 00000003\nfeatures 42464853\nflags 00000003\nclose 00000000\n\
                  close ffffffff\n  errno 00000009\niserror 00000001\niserror 00000000\nsystem ffffffff\n  errno 00000001\n\
                  unknown ffffffff\n  errno 00000026\n";
    for (target, elf) in CHIPS {
        assert_eq!(said(target, &[], &[elf, "console"]), wanted, "{target}");
    }
}

/// `run`, whose stdin is a pipe.
fn piped(target: &str, words: &[&str]) -> Child {
    let mut rocd = Command::new(env!("CARGO_BIN_EXE_rocd"));
    rocd.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-f", "sim", "-f", target]).args(words);
    rocd.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// All that is said up to these words.
#[track_caller]
fn until(rocd: &mut Child, words: &str) -> String {
    let (stdout, mut said) = (rocd.stdout.as_mut().expect("stdout is piped"), String::new());
    while !said.ends_with(words) {
        let mut byte = [0];
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "`{words}` did not come: {said}");
        said.push(byte[0] as char);
    }
    said
}

#[test]
fn stdin_is_the_programs_input() {
    for (target, elf) in CHIPS {
        for (typed, shown) in
            [("12345678Z", "input 00000000\nreadc 0000005a\n"), ("abc", "input 00000005\nreadc ffffffff\n  errno 00000005\n")]
        {
            let mut rocd = piped(target, &["run", elf, "console"]);
            rocd.stdin.take().unwrap().write_all(typed.as_bytes()).unwrap();
            let output = rocd.wait_with_output().unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && said.contains(shown), "{target}: {typed}: {said}");
        }
        // while it waits, and line by line
        let mut rocd = piped(target, &["-c", &format!("run {elf} console")]);
        until(&mut rocd, "stderr\nleft 00000000\n");
        rocd.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
        assert_eq!(until(&mut rocd, "\n"), "input 00000002\n");
        rocd.stdin.as_mut().unwrap().write_all(b"x").unwrap();
        assert_eq!(until(&mut rocd, "\n"), "readc 00000078\n");
        assert!(rocd.wait().unwrap().success());
    }
}

/// Its time-out is that of a user's clock, and Ctrl-C is answered. The chip stands at the call then, which is told.
#[test]
fn a_program_that_waits_for_input_can_be_stopped() {
    let (target, elf) = CHIPS[1];
    let began = Instant::now();
    let rocd = piped(target, &["run", "timeout", "0.5", elf, "console"]);
    let ended = |mut rocd: Child, code| {
        let stdin = rocd.stdin.take();
        let output = rocd.wait_with_output().unwrap();
        drop(stdin);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(code) && told.contains("cm0p is left halted at "), "{}: {told}", output.status);
        told
    };
    assert!(ended(rocd, 124).contains("the program did not end within 0.5 s; it waits for input"));
    assert!(began.elapsed() > Duration::from_millis(250), "the board's clock ran away: {:?}", began.elapsed());
    let mut rocd = piped(target, &["run", elf, "console"]);
    until(&mut rocd, "stderr\nleft 00000000\n");
    assert!(Command::new("kill").args(["-INT", &rocd.id().to_string()]).status().unwrap().success());
    ended(rocd, 130);
}

/// Where rocd's own commands come from there, nothing of it is a program's.
#[test]
fn a_script_on_stdin_is_no_input() {
    let (target, elf) = CHIPS[0];
    let mut rocd = piped(target, &[]);
    writeln!(rocd.stdin.take().unwrap(), "run {elf} console\necho a command").unwrap();
    let output = rocd.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("input 00000008\nreadc ffffffff\n") && said.ends_with("a command\n"), "{said}");
}

/// In this process, on a board that can have bad luck.
fn desk((target, _): (&str, &str)) -> (Host, Board, Rc<Heard>) {
    let board =
        Board::new(&Config { chip: Some(format!("{target}{}", if target == "stm32h7" { "43" } else { "71" })), ..Config::default() });
    let (board, heard) = (board.unwrap(), Rc::<Heard>::default());
    let host = Host::new(heard.clone(), Cancel::default(), Settings::default(), 0).unwrap();
    host.file("sim").unwrap();
    host.file(target).unwrap();
    host.cx().board.borrow_mut().board = Some(board.clone());
    (host, board, heard)
}

/// Whichever transfer fails, no call is carried out twice and none is left out.
#[test]
fn a_transfer_that_fails_does_not_repeat_a_call() {
    for (chip, what) in
        [(CHIPS[0], Inject::Stall), (CHIPS[1], Inject::Stall), (CHIPS[1], Inject::Silent), (CHIPS[0], Inject::ShortReply(0))]
    {
        let (host, board, heard) = desk(chip);
        let run = |line: &str| host.line(line, &mut |_| {});
        run(&format!("program {}; arm semihosting enable; arm semihosting_cmdline x ticks; reset run; sleep 5", chip.1)).unwrap();
        let mut failed = 0;
        for n in 0..60 {
            board.inject_after(n, what);
            failed += usize::from(run("sleep 5").is_err());
            let _ = run("sleep 5");
        }
        let mut said = Vec::new();
        heard.0.take().into_iter().for_each(|event| {
            if let Event::Target(bytes) = event {
                said.extend(bytes)
            }
        });
        let said = String::from_utf8(said).unwrap();
        let wanted: String = (0..2000).map(|n| format!("tick {n:08x}\n")).collect();
        assert!(failed > 10, "{what:?} on {}: {failed} failed", chip.0);
        assert!(said.lines().count() > 20 && wanted.starts_with(&said), "{what:?} on {}: {said}", chip.0);
    }
}

/// Nor does SYS_WRITE or SYS_READ of several pieces, of which some were done before one failed.
#[test]
fn a_transfer_that_fails_does_not_repeat_a_piece() {
    const LEN: usize = 3000;
    for chip in CHIPS {
        let (host, board, heard) = desk(chip);
        let run = |line: &str| {
            let mut last = String::new();
            host.line(line, &mut |outcome| last = outcome.result.as_ref().map_or(String::new(), Value::to_string)).map(|()| last)
        };
        let folder = tempfile::tempdir().unwrap();
        let data: Vec<u8> = (0..LEN).map(|n| (n * 7 / 3) as u8).collect();
        std::fs::write(folder.path().join("data"), &data).unwrap();
        let base = served::quoted(folder.path());
        run(&format!("program {}; reset halt; arm semihosting enable; arm semihosting_basedir {base}", chip.1)).unwrap();
        // BKPT 0xAB; b .; and ":tt", "data"
        run("mww 0x20004000 0xe7febeab; mww 0x20004100 0x0074743a; mww 0x20004110 0x61746164").unwrap();
        let set = |operation: u32, args: [u32; 3]| {
            let [a, b, c] = args;
            let place = format!("mww 0x20004200 {a:#x}; mww 0x20004204 {b:#x}; mww 0x20004208 {c:#x}");
            run(&format!("{place}; reg r0 {operation}; reg r1 0x20004200; reg pc 0x20004000")).unwrap();
        };
        let call = |operation, args| {
            set(operation, args);
            run("resume; sleep 20; halt; reg r0").unwrap()
        };
        assert!(call(1, [0x2000_4100, 4, 3]).contains("0x00000001") && call(1, [0x2000_4110, 0, 4]).contains("0x00000002"));
        let mut failed = 0;
        for n in 0..60 {
            for (operation, handle, buffer) in [(5, 1, 0x0800_0000u32), (6, 2, 0x2000_5000)] {
                let what = format!("operation {operation} on {}, transfer {n}", chip.0);
                assert!(call(0x0A, [2, 0, 0]).contains("0x00000000"), "{what}: seek");
                set(operation, [handle, buffer, LEN as u32]);
                heard.0.take();
                board.inject_after(n, Inject::Stall);
                let first = run("resume");
                // It acts with the next transfer.
                board.inject(Inject::Heal);
                let _ = run("mdw 0x20004100");
                if first.is_err() {
                    failed += 1;
                    // It may have gone on before its answer was lost.
                    let _ = run("resume");
                }
                assert!(run("sleep 20; halt; reg r0").unwrap().contains("0x00000000"), "{what}");
                let mut said = Vec::new();
                heard.0.take().into_iter().for_each(|event| {
                    if let Event::Target(bytes) = event {
                        said.extend(bytes)
                    }
                });
                let wanted = if operation == 5 { board.dump(buffer, LEN as u32).unwrap() } else { data.clone() };
                let got = if operation == 5 { said } else { board.dump(buffer, LEN as u32).unwrap() };
                assert!(got == wanted, "{what}: {} bytes for {LEN}, {first:?}", got.len());
            }
        }
        assert!(failed > 20, "{failed} failed");
    }
}

/// As where a panic says why and stops: only the call is gone past.
#[test]
fn a_breakpoint_right_behind_a_call_is_a_halt() {
    for chip in CHIPS {
        let (host, ..) = desk(chip);
        // BKPT 0xAB; BKPT 0, which is the program's; or NOP; B ., and a breakpoint of the user's. SYS_TIME
        for after in ["mww 0x20004000 0xbe00beab", "mww 0x20004000 0xbf00beab; mww 0x20004004 0xe7fee7fe; bp 0x20004002 2"] {
            let mut last = String::new();
            let line = format!("{after}; reg r0 0x11; reg pc 0x20004000; resume; wait_halt 100; reg pc");
            let line = format!("program {}; reset halt; arm semihosting enable; {line}", chip.1);
            host.line(&line, &mut |outcome| last = outcome.result.as_ref().map_or(String::new(), Value::to_string)).unwrap();
            assert!(last.contains("0x20004002"), "{}: {after}: {last}", chip.0);
        }
    }
}

/// An end that is met by a step, or by going on from there, is told, once.
#[test]
fn an_end_that_is_stepped_over_is_told() {
    for (target, elf) in [("stm32h7", "tests/firmware/calls-o0-h743.elf"), ("stm32g0", "tests/firmware/calls-o0-g071.elf")] {
        for go in ["step", "resume"] {
            let (host, _, heard) = desk((target, elf));
            let run = |line: &str| {
                let mut last = Value::None;
                host.line(line, &mut |outcome| last = outcome.result.clone().unwrap_or(Value::None)).unwrap();
                last.to_string()
            };
            run(&format!("program {elf}; reset halt; resume; wait_halt; arm semihosting enable"));
            let ends = || {
                let heard = heard.0.take().into_iter();
                heard.filter(|event| matches!(event, Event::Info(text) if text.contains("the program ended"))).count()
            };
            let at = run("reg pc");
            assert_eq!(ends(), 0);
            run(go);
            assert_eq!((ends(), run("reg pc") == at), (1, go == "resume"), "{go} on {target}");
            run("resume");
            assert_eq!((ends(), run("sleep 1; targets").contains("halted")), (0, false), "{go} on {target}");
        }
    }
}

#[test]
fn files_below_a_folder() {
    let wanted = "open 00000001\nleft 00000000\nflen 0000000a\nclose 00000000\nappend 00000001\nleft 00000000\nclose 00000000\n\
                  update 00000001\nflen 0000000d\nseek 00000000\nleft 00000003\n89abc\nseek 00000000\nleft 00000000\ntty 00000000\n\
                  close 00000000\nrename 00000000\ngone ffffffff\n  errno 00000002\nremove 00000000\ntmpnam 00000000\ntmp7\n\
                  tmpnam ffffffff\n  errno 00000016\n";
    for (target, elf) in CHIPS {
        let folder = tempfile::tempdir().unwrap();
        let chosen = format!("arm semihosting_basedir {}", served::quoted(folder.path()));
        assert_eq!(said(target, &[&chosen], &[elf, "files"]), wanted, "{target}");
        assert_eq!(std::fs::read_to_string(folder.path().join("two.txt")).unwrap(), "0X23456789abc");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

/// By `..`, by its own name, by links to files, to folders and to nothing: whatever leads out of the folder stays untouched.
#[cfg(unix)]
#[test]
fn nothing_outside_the_folder() {
    use std::os::unix::fs::symlink;
    const DENIED: &str = "read ffffffff\n  errno 0000000d\nwrite ffffffff\n  errno 0000000d\nremove ffffffff\n  errno 0000000d\n";
    let (target, elf) = CHIPS[1];
    let folder = tempfile::tempdir().unwrap();
    let (inside, secret) = (folder.path().join("inside"), folder.path().join("secret"));
    std::fs::create_dir_all(inside.join("deep")).unwrap();
    std::fs::write(&secret, "untouched").unwrap();
    symlink(&secret, inside.join("link")).unwrap();
    symlink(folder.path(), inside.join("out")).unwrap();
    symlink(folder.path().join("new"), inside.join("dangling")).unwrap();
    assert!(Command::new("mkfifo").arg(inside.join("fifo")).status().unwrap().success());
    let chosen = format!("arm semihosting_basedir {}", served::quoted(&inside));
    let absolute = secret.display().to_string();
    for name in ["../secret", "deep/../../secret", "link", "out/secret", absolute.as_str(), "deep", ".", "..", "fifo", "/dev/null"] {
        assert_eq!(said(target, &[&chosen], &[elf, "open", name]), DENIED, "{name}");
    }
    let dangling = said(target, &[&chosen], &[elf, "open", "dangling"]);
    assert_eq!(dangling, DENIED.replace("0000000d", "00000002"));
    // without a folder there is none
    assert_eq!(said(target, &[], &[elf, "open", "Cargo.toml"]), DENIED);
    assert_eq!(std::fs::read_to_string(&secret).unwrap(), "untouched");
    assert!(!Path::new(&folder.path().join("new")).exists());
    // and what leads back in is in
    let there = said(target, &[&chosen], &[elf, "open", "deep/../out/inside/mine"]);
    assert_eq!(there, "read ffffffff\n  errno 00000002\nwrite 00000001\nremove 00000000\n");
}

/// Pointers to nowhere, lengths of 4 GiB: errors of the program's, and rocd goes on.
#[test]
fn what_makes_no_sense_is_an_error_to_the_program() {
    for (target, elf) in CHIPS {
        let text = said(target, &[], &[elf, "bad"]);
        assert!(text.ends_with("alive\n"), "{target}: {text}");
        for line in [
            "name ffffffff\n  errno 0000000e\n",
            "long name ffffffff\n  errno 00000016\n",
            "mode ffffffff\n  errno 00000016\n",
            "write nowhere 00000010\n",
            "write 4 GiB ffffffff\n",
            "write past the end 00000040\n",
            "read to nowhere 00000010\n",
            "read no handle 00000004\n",
            "seek no handle ffffffff\n  errno 00000009\n",
            "rename ffffffff\n",
            "short command line ffffffff\n  errno 00000016\n",
            "command line nowhere ffffffff\n  errno 0000000e\n",
        ] {
            assert!(text.contains(line), "{target}: {line} is not in\n{text}");
        }
        // every call that takes a pointer refuses one to nowhere
        let refused = text.matches("nowhere ffffffff\n  errno 0000000e\n").count();
        assert!(refused >= 17, "{target}: {refused} refused\n{text}");
    }
}

#[test]
fn time_and_heap() {
    for (target, elf) in CHIPS {
        let text = said(target, &[], &[elf, "time"]);
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap_or_else(|| panic!("{name}: {text}"));
            u32::from_str_radix(line, 16).unwrap()
        };
        assert_eq!(value("frequency"), 1_000_000_000);
        assert!((2..200).contains(&value("ms")), "{text}");
        assert!(value("cs") < 100, "{text}");
        assert!(value("time") > 1_577_836_800, "{text}");
        let heap: Vec<String> = said(target, &[], &[elf, "heap"]).lines().map(str::to_string).collect();
        let top = if target == "stm32h7" { "20020000" } else { "20008000" };
        assert_eq!((&heap[1], &heap[2]), (&format!("heap {top}"), &format!("heap {top}")));
        assert_eq!(heap[0], heap[3]);
        assert!(heap[0].starts_with("heap 200001"), "behind line and buffer: {heap:?}");
    }
}

/// Off, a call is a breakpoint of the program's; on, it is nobody's halt, also while commands wait.
#[test]
fn by_commands() {
    for (target, elf) in CHIPS {
        let script = format!(
            "program {elf}; reset halt; arm semihosting; resume; wait_halt; arm semihosting enable; arm semihosting_cmdline x ticks; \
             reset run; sleep 50; halt; resume; sleep 50; arm semihosting_cmdline x code 9; reset run; wait_halt; arm semihosting disable"
        );
        let output = Command::new(env!("CARGO_BIN_EXE_rocd"))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["-f", "sim", "-f", target, "-c", &script])
            .output()
            .unwrap();
        let (said, aside) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}{aside}");
        let words =
            ["semihosting is disabled\n", "halted due to breakpoint", "semihosting is enabled\n", "tick 00000000\n", "tick 00000001\n"];
        in_order(&said, &[&words[..], &["halted due to breakpoint", "semihosting is disabled\n"]].concat());
        assert!(aside.contains("the program ended with exit code 9"), "{aside}");
    }
}

/// gdb's console shows it, `continue` goes on over every call, and breakpoints are where they are set.
#[test]
fn in_gdb() {
    for (target, elf) in CHIPS {
        let Some(_gdb) = Verdict::of("gdb-multiarch", "gdb-multiarch", "gdb with semihosting", target) else { return };
        let rocd = Rocd::serve(target, &["gdb", "0"]);
        let lines = [
            "load",
            "monitor arm semihosting enable",
            "monitor arm semihosting_cmdline app console",
            "tbreak main",
            "continue",
            "tbreak console",
            "continue",
            "next",
            "continue",
            "monitor arm semihosting_cmdline app ticks",
            "monitor reset halt",
            "break number if value == 5",
            "continue",
            "print value",
            "stepi 40",
            "detach",
        ];
        let said = gdb(elf, rocd.address("gdb"), &lines);
        let words = [
            "semihosting is enabled",
            "Temporary breakpoint 1, main () at semihosting.c:",
            "Temporary breakpoint 2, ",
            "*write0\nstdout\nleft 00000000\nstderr\n",
            "unknown ffffffff\n  errno 00000026\n",
            "the program ended with exit code 0",
            "received signal SIGTRAP",
            "tick 00000000\ntick 00000001\ntick 00000002\ntick 00000003\ntick 00000004\n",
            "Breakpoint 3, ",
            "$1 = 5",
            "detached",
        ];
        in_order(&said, &words);
        assert_eq!(said.matches("SIGTRAP").count(), 1, "a call was shown as a halt:\n{said}");
        rocd.leave();
    }
}

/// Who looks on is told line by line; rocd's own stdout has it, too.
#[test]
fn in_telnet() {
    let (target, elf) = CHIPS[0];
    let mut rocd =
        Rocd::after(target, &[&format!("program {elf}"), "arm semihosting enable; arm semihosting_cmdline x ticks"], &["telnet", "0"]);
    let mut telnet = Line::to(rocd.address("telnet"));
    telnet.until("> ");
    telnet.send("reset run\r");
    telnet.until("tick 00000000\r\n");
    telnet.until("tick 00000001\r\n");
    telnet.send("arm semihosting_cmdline x code 5; reset run\r");
    telnet.until("the program ended with exit code 5\r\n");
    telnet.send("shutdown\r");
    rocd.ended();
}

/// Between two calls or at one: Ctrl-C stops it, and it goes on from there.
#[test]
fn ctrl_c_in_gdb() {
    const GO: &str = "+$vCont;c#a8";
    /// "tick", in hex
    const TICK: &str = "7469636b";
    let (target, elf) = CHIPS[1];
    let lines = [&format!("program {elf}"), "arm semihosting enable; arm semihosting_cmdline x ticks; reset halt"];
    let rocd = Rocd::after(target, &lines, &["gdb", "0"]);
    let mut gdb = Line::to(rocd.address("gdb"));
    gdb.send("$?#3f");
    gdb.until("$T05thread:1;");
    for _ in 0..10 {
        gdb.send(GO);
        let said = format!("{}{}", gdb.until(TICK), gdb.until(TICK));
        assert!(!said.contains("$T"), "a call was shown as a halt: {said}");
        gdb.send("\x03");
        assert_eq!(gdb.until("$T").find("$T05"), None);
        assert!(gdb.until("thread:1;").starts_with("02"));
        gdb.until("#");
    }
    rocd.leave();
}

/// gdb and rocd share a terminal: what the program says is there once.
#[test]
fn in_a_gdb_of_rocds_own() {
    let (target, elf) = CHIPS[0];
    let Some(_gdb) = Verdict::of("gdb-multiarch", "gdb-multiarch", "rocd's gdb with semihosting", target) else { return };
    let lines = "monitor arm semihosting enable\nmonitor arm semihosting_cmdline app console\ncontinue\nquit\n";
    let (mut rocd, _files) = of_rocds_own(target, elf, lines);
    let (said, _) = finish(&mut rocd, Duration::from_secs(120));
    for words in ["*write0\n", "unknown ffffffff\n", "the program ended with exit code 0\n"] {
        assert_eq!(said.matches(words).count(), 1, "`{words}` is not there once:\n{said}");
    }
}
