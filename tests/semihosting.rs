//! Semihosting's calls, on both chips: what they answer, what they refuse, and in gdb, telnet and the prompt's commands.

mod served;
mod serving;

use served::finish;
use served::verdict::Verdict;
use serving::{Line, Rocd};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

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
        let mut rest = &said[..];
        for words in
            ["semihosting is disabled\n", "halted due to breakpoint", "semihosting is enabled\n", "tick 00000000\n", "tick 00000001\n"]
        {
            let at = rest.find(words).unwrap_or_else(|| panic!("`{words}` is not in its place:\n{said}"));
            rest = &rest[at + words.len()..];
        }
        assert!(rest.contains("halted due to breakpoint") && rest.contains("semihosting is disabled\n"), "{said}");
        assert!(aside.contains("the program ended with exit code 9"), "{aside}");
    }
}

/// gdb's console shows it, `continue` goes on over every call, and breakpoints are where they are set.
#[test]
fn in_gdb() {
    for (target, elf) in CHIPS {
        let Some(_gdb) = Verdict::of("gdb-multiarch", "gdb-multiarch", "gdb with semihosting", target) else { return };
        let rocd = Rocd::serve(target, &["gdb", "0"]);
        let mut gdb = Command::new("gdb-multiarch");
        gdb.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-nx", "-batch", elf]);
        gdb.args(["-ex", "set confirm off", "-ex", &format!("target extended-remote {}", rocd.address("gdb"))]);
        for line in [
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
        ] {
            gdb.args(["-ex", line]);
        }
        let (said, ok) = finish(&mut gdb, Duration::from_secs(120));
        assert!(ok, "gdb failed:\n{said}");
        let mut rest = &said[..];
        for words in [
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
        ] {
            let at = rest.find(words).unwrap_or_else(|| panic!("`{words}` is not in its place:\n{said}"));
            rest = &rest[at + words.len()..];
        }
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
        let said = gdb.until(TICK) + &gdb.until(TICK);
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
    let script = tempfile::NamedTempFile::with_suffix(".gdb").unwrap();
    let lines = "monitor arm semihosting enable\nmonitor arm semihosting_cmdline app console\ncontinue\nquit\n";
    std::fs::write(script.path(), lines).unwrap();
    let gdb = tempfile::NamedTempFile::new().unwrap().into_temp_path();
    std::fs::write(&gdb, format!("#!/bin/sh\nexec gdb-multiarch -nx -batch \"$@\" -x {}\n", script.path().display())).unwrap();
    assert!(Command::new("chmod").arg("+x").arg(&gdb).status().unwrap().success());
    let mut rocd = Command::new(env!("CARGO_BIN_EXE_rocd"));
    rocd.current_dir(env!("CARGO_MANIFEST_DIR")).env("ROCD_GDB", &gdb).args(["-f", "sim", "-f", target, "gdb", elf]);
    let (said, _) = finish(&mut rocd, Duration::from_secs(120));
    for words in ["*write0\n", "unknown ffffffff\n", "the program ended with exit code 0\n"] {
        assert_eq!(said.matches(words).count(), 1, "`{words}` is not there once:\n{said}");
    }
}
