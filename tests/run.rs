//! `run`: a program's output, its exit code, and what goes wrong with it, on both chips.

mod served;
mod serving;

use served::verdict::{Verdict, there};
use served::{Board, HLA, programmed};
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};

/// Target file, ELF of every call (tests/firmware/semihosting.c), ELF of the C project, ELF of the Rust project.
type Chip = (&'static str, &'static str, &'static str, &'static str);

const CHIPS: [Chip; 2] = [
    ("stm32h7", "tests/firmware/semihosting-h743.elf", "tests/samples/c/sample-h743.elf", "tests/samples/rust/sample-h743.elf"),
    ("stm32g0", "tests/firmware/semihosting-g071.elf", "tests/samples/c/sample-g071.elf", "tests/samples/rust/sample-g071.elf"),
];

fn rocd(target: &str, words: &[&str]) -> Command {
    let mut rocd = Command::new(env!("CARGO_BIN_EXE_rocd"));
    rocd.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-f", "sim", "-f", target]).args(words).stdin(Stdio::null());
    rocd
}

/// Exit code, stdout and stderr.
fn ended(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[track_caller]
fn run(target: &str, words: &[&str]) -> (i32, String, String) {
    ended(&rocd(target, &[&["run"], words].concat()).output().unwrap())
}

#[test]
fn a_program_ends_as_if_it_ran_here() {
    for (target, _, elf, _) in CHIPS {
        let (code, said, aside) = run(target, &[elf, "greet", "world", "two words", "it's", ""]);
        assert_eq!((code, said.as_str()), (0, "hello, world\nhello, two words\nhello, it's\nhello, \n"), "{target}: {aside}");
        assert!(aside.contains("wrote") && aside.contains("verified"), "{aside}");
        let (code, said, aside) = run(target, &[elf]);
        assert_eq!((code, said), (2, format!("usage: {elf} greet NAME… | lines FILE | exit N | assert | fault\n")), "{aside}");
    }
}

#[test]
fn exit_codes_are_the_programs_own_up_to_123() {
    for (target, elf, ..) in CHIPS {
        for (words, code, told) in [
            (vec!["code", "0"], 0, ""),
            (vec!["code", "7"], 7, "the program ended with exit code 7"),
            (vec!["code", "123"], 123, "the program ended with exit code 123"),
            (vec!["code", "124"], 123, "the program ended with exit code 124"),
            (vec!["code", "200"], 123, "the program ended with exit code 200"),
            (vec!["exit"], 0, ""),
            (vec!["fail", "3"], 126, "the program ended because of a run-time error (0x20023)"),
            (vec!["fail", "7"], 126, "the program ended because of a stack overflow (0x20027)"),
            (vec!["fail", "64"], 126, "the program ended because of a reason of its own (0x20060)"),
        ] {
            let (is, said, aside) = run(target, &[&[elf], words.as_slice()].concat());
            assert_eq!((is, said.as_str()), (code, ""), "{target} {words:?}: {aside}");
            assert!(aside.contains(told) && (code > 0) == aside.contains("error:"), "{target} {words:?}: {aside}");
        }
    }
}

/// What a fault is, where, in which function and line.
#[test]
fn faults_are_126_with_their_reason() {
    for (target, elf, sample, _) in CHIPS {
        let v7m = target == "stm32h7";
        let (code, _, aside) = run(target, &[elf, "fault"]);
        assert_eq!(code, 126, "{aside}");
        assert!(aside.contains("error: HardFault"), "{aside}");
        assert!(aside.contains(" faulty+0x") && aside.contains("(semihosting.c:"), "{aside}");
        if v7m {
            assert!(aside.contains("PRECISERR") || aside.contains("IMPRECISERR"), "{aside}");
        }
        let (code, _, aside) = run(target, &[elf, "lockup"]);
        assert_eq!(code, 126, "{aside}");
        assert!(aside.contains("error: the core locked up: HardFault"), "{aside}");
        let (code, _, aside) = run(target, &[elf, "bkpt"]);
        assert_eq!(code, 126, "{aside}");
        assert!(aside.contains("error: the program stopped at a breakpoint, pc = 0x0800") && aside.contains(" main"), "{aside}");
        let (code, said, aside) = run(target, &[sample, "assert"]);
        assert_eq!((code, said.trim_end()), (126, "assertion \"argc > 100\" failed: file \"main.c\", line 46, function: main"), "{aside}");
        assert!(aside.contains("the program ended because of a run-time error"), "{aside}");
    }
}

/// By the chip's clock: no test waits for it.
#[test]
fn a_program_that_does_not_end_is_124() {
    for (target, elf, ..) in CHIPS {
        let (code, said, aside) = run(target, &["timeout", "0.05", elf, "hang"]);
        assert_eq!((code, said.as_str()), (124, ""), "{aside}");
        assert!(aside.contains("error: the program did not end within 0.05 s\n"), "{aside}");
    }
    // the word belongs to the program where it stands behind the file
    let (code, said, aside) = run("stm32h7", &[CHIPS[0].2, "greet", "timeout", "3"]);
    assert_eq!((code, said.as_str()), (0, "hello, timeout\nhello, 3\n"));
    let note = "warning: `timeout 3` behind the file is the program's: rocd's own is `run timeout 3 tests/samples/c/sample-h743.elf`";
    assert!(aside.contains(note), "{aside}");
    for words in [&["timeout", "9", CHIPS[0].2, "greet", "timeout", "3"][..], &[CHIPS[0].2, "greet", "timeout", "soon"]] {
        let (code, _, aside) = run("stm32h7", words);
        assert!(code == 0 && !aside.contains("behind the file"), "{aside}");
    }
}

/// None of them is a code that a program could have.
#[test]
fn rocds_own_failures_are_125_with_their_kind() {
    let elf = CHIPS[0].2;
    let empty = tempfile::NamedTempFile::with_suffix(".elf").unwrap();
    for (words, kind, what) in [
        (vec!["run", "no-such.elf"], "command", "cannot open no-such.elf"),
        (vec!["run", "tests"], "command", "tests is a directory"),
        (vec!["run", empty.path().to_str().unwrap()], "image", ".elf is empty"),
        (vec!["run", "/dev/null"], "usage", "/dev/null is no regular file\n  hint: `program` takes what comes through a pipe"),
        (vec!["run", "timeout"], "usage", "run needs"),
        (vec!["run", "Cargo.toml"], "image", "Cargo.toml"),
        (vec!["run", "tests/firmware/ramonly-h743.elf"], "image", "ramonly-h743.elf"),
        (vec!["run", "timeout", "soon", elf], "usage", "`soon` is not a number"),
        (vec!["run", "timeout", "-1", elf], "usage", "-1 s is no time-out"),
        (vec!["run", "timeout", "1e300", elf], "usage", "is no time-out"),
        (vec!["-c", "arm semihosting_basedir no-such-folder", "run", elf], "usage", "no-such-folder is no folder"),
        (vec!["run"], "usage", "run needs"),
        (vec!["-f", "no-such-file", "run", elf], "usage", "no-such-file"),
        (vec!["-c", "sim inject unplug after 40", "run", elf], "probe", "unplugged"),
        (vec!["-c", "sim inject unplug after 40", "-c", "run tests/samples/c/sample-h743.elf"], "probe", "unplugged"),
    ] {
        let (code, said, aside) = ended(&rocd("stm32h7", &words).output().unwrap());
        assert_eq!((code, said.as_str()), (125, ""), "{words:?}: {aside}");
        let told = format!("exit 125: rocd failed, and not the program; kind {kind}");
        assert!(aside.contains(&told) && aside.contains(what), "{words:?}: {aside}");
    }
    let output = rocd("stm32h7", &["--json", "run", "no-such.elf"]).output().unwrap();
    let line: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &line["error"]["exit"], &line["error"]["kind"]), (Some(125), &125.into(), &"command".into()));
}

/// In a line with others, and again: what flash holds is not written twice, and the chip is left where the program ended.
#[test]
fn what_is_there_is_skipped() {
    let line = "run tests/samples/c/sample-h743.elf greet you; run tests/samples/c/sample-h743.elf greet \"me, too\"";
    let (code, said, aside) = ended(&rocd("stm32h7", &["-c", line]).output().unwrap());
    assert_eq!((code, said.as_str()), (0, "hello, you\nhello, me, too\n"), "{aside}");
    let at = aside.find("verified").expect("the first one is written");
    assert!(aside[at..].contains("nothing to write: flash holds"), "{aside}");
    assert!(aside.contains("cm7 is left halted at 0x0800"), "{aside}");
}

/// stdout is the program's, stdin is not read.
#[test]
fn nothing_of_stdin_is_eaten() {
    let rocd = format!("{} -q -f sim -f stm32h7 run {} greet you; cat", env!("CARGO_BIN_EXE_rocd"), CHIPS[0].2);
    let mut shell = Command::new("sh");
    let text = std::fs::File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/rustfmt.toml")).unwrap();
    let output = shell.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-c", &rocd]).stdin(text).output().unwrap();
    let wanted = format!("hello, you\n{}", std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/rustfmt.toml")).unwrap());
    assert_eq!(ended(&output), (0, wanted, String::new()));
}

/// Output comes at once, and Ctrl-C ends a program that does not end by itself.
#[test]
fn ctrl_c() {
    let mut child = rocd("stm32g0", &["run", CHIPS[1].1, "ticks"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.by_ref().take(3).collect::<Vec<_>>(), ["tick 00000000", "tick 00000001", "tick 00000002"]);
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[test]
fn a_rust_program() {
    for (target, _, _, elf) in CHIPS {
        let (code, said, aside) = run(target, &[elf, "greet", "world"]);
        assert_eq!((code, said.as_str()), (0, "hello, world\n"), "{aside}");
        assert_eq!(run(target, &[elf, "exit", "42"]).0, 42);
        let (code, said, aside) = run(target, &[elf, "panic", "coffee"]);
        assert_eq!(code, 126, "{aside}");
        assert!(said.contains("panicked at src/main.rs:") && said.contains("no coffee here"), "{said}");
        assert!(aside.contains("the program ended because of a run-time error (0x20023)"), "{aside}");
        let (code, _, aside) = run(target, &[elf, "fault"]);
        assert_eq!(code, 126, "{aside}");
        assert!(aside.contains("error: HardFault") && aside.contains(" sample::stray+0x"), "{aside}");
    }
}

/// `cargo test` calls its runner with the test's ELF and what stands behind `--`.
#[test]
fn a_rust_projects_tests() {
    for (target, elf) in [("stm32h7", "tests/samples/rust/on_target-h743.elf"), ("stm32g0", "tests/samples/rust/on_target-g071.elf")] {
        let (code, said, aside) = run(target, &["timeout", "10", elf, "--nocapture"]);
        assert_eq!((code, said.as_str()), (0, "test numbers_add_up ... ok\ntest time_goes_on ... ok\n"), "{aside}");
        assert_eq!(run(target, &[elf, "numbers"]).1, "test numbers_add_up ... ok\n");
    }
}

/// The C project as its Makefile builds and tests it, where the compiler is there.
#[test]
fn the_c_project_builds_and_its_tests_pass() {
    let tools = ["make", "arm-none-eabi-gcc"];
    if let Some(missing) = tools.iter().find(|tool| !there(tool)) {
        assert!(std::env::var("ROCD_JUDGES").as_deref() != Ok("required"), "{missing} is not installed");
        return eprintln!("skipped: {missing} is not installed");
    }
    let folder = tempfile::tempdir().unwrap();
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/c");
    for file in ["Makefile", "main.c", "startup.c", "sections.ld", "h743.ld", "g071.ld"] {
        std::fs::copy(format!("{sources}/{file}"), folder.path().join(file)).unwrap();
    }
    for chip in ["h743", "g071"] {
        let rocd = format!("ROCD={} -q -f sim", env!("CARGO_BIN_EXE_rocd"));
        let output = Command::new("make").current_dir(&folder).args(["test", &format!("CHIP={chip}"), &rocd]).output().unwrap();
        assert!(output.status.success(), "{:?}", ended(&output));
    }
}

/// The Rust project, where the toolchain has its targets.
#[test]
fn the_rust_project_builds() {
    let sysroot = Command::new("rustc").args(["--print", "sysroot"]).output().unwrap();
    let sysroot = String::from_utf8(sysroot.stdout).unwrap();
    let targets = ["thumbv7em-none-eabihf", "thumbv6m-none-eabi"];
    if let Some(missing) = targets.iter().find(|target| !std::path::Path::new(&format!("{}/lib/rustlib/{target}", sysroot.trim())).exists())
    {
        return eprintln!("skipped: rustup has no target {missing}");
    }
    let folder = tempfile::tempdir().unwrap();
    let built = Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/samples/rust/build.sh")).arg(folder.path()).output().unwrap();
    assert!(built.status.success(), "{:?}", ended(&built));
    for (target, chip) in [("stm32h7", "h743"), ("stm32g0", "g071")] {
        let elf = folder.path().join(format!("sample-{chip}.elf"));
        assert_eq!(run(target, &[elf.to_str().unwrap(), "greet", "you"]).1, "hello, you\n");
    }
}

/// The same program, the same words, the same board: output and exit code are what OpenOCD gives.
#[test]
fn openocd_runs_it_alike() {
    for (board, script, (target, calls, sample, _)) in [("stm32h743", "stm32h7x", CHIPS[0]), ("stm32g071", "stm32g0x", CHIPS[1])] {
        let Some(_verdict) = Verdict::of("openocd", "openocd", "OpenOCD semihosting", board) else { return };
        for (elf, words, wanted) in [(sample, ["greet", "you"], (0, "hello, you\n")), (calls, ["code", "7"], (7, ""))] {
            let state = programmed(board, elf);
            let board = Board::serve(&format!("{board},v3"), &["--state", state.path().to_str().unwrap()]);
            let mut openocd = HLA.openocd(board.port(), script, &[]);
            let line = format!("arm semihosting_cmdline app {}; resume; sleep 30000; shutdown error", words.join(" "));
            openocd.args(["-c", "init; reset halt; arm semihosting enable", "-c", &line]).stdin(Stdio::null());
            let (code, said, aside) = ended(&openocd.output().unwrap());
            assert_eq!((code, said.as_str()), wanted, "OpenOCD: {aside}");
            board.shutdown();
            let (code, said, aside) = run(target, &[&[elf], &words[..]].concat());
            assert_eq!((code, said.as_str()), wanted, "rocd: {aside}");
        }
    }
}
