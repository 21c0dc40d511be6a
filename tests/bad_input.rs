//! What a clumsy or hostile user gives: every answer is one named error and its exit code, soon, and in bounded memory.
#![cfg(unix)]

use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Far above what any of these takes, far below for ever.
const LONG: Duration = Duration::from_secs(30);
const BOARD: [&str; 4] = ["-f", "sim", "-f", "stm32h7"];

fn start(args: &[&str]) -> Child {
    command().args(args).spawn().unwrap()
}

fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocd"));
    command.env_remove("ROCD_PATH").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// What became of it; one that does not end by itself is ended and has failed.
fn ended(mut child: Child, what: &str) -> Output {
    let start = Instant::now();
    drop(child.stdin.take());
    let (pid, late) = (child.id(), std::sync::Arc::new(std::sync::atomic::AtomicBool::new(true)));
    let watched = late.clone();
    std::thread::spawn(move || {
        while start.elapsed() < LONG {
            std::thread::sleep(Duration::from_millis(20));
            if !watched.load(std::sync::atomic::Ordering::SeqCst) {
                return;
            }
        }
        signal(pid, "KILL");
    });
    let output = child.wait_with_output().unwrap();
    late.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(start.elapsed() < LONG, "{what} does not end");
    output
}

fn signal(pid: u32, name: &str) {
    Command::new("kill").args([&format!("-{name}"), &pid.to_string()]).status().unwrap();
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// One error with this exit code, and these words in it.
fn refused(args: &[&str], code: i32, words: &str) {
    let output = ended(start(args), &format!("{args:?}"));
    is_refused(&output, code, words);
}

fn is_refused(output: &Output, code: i32, words: &str) {
    let text = err(output);
    assert_eq!(output.status.code(), Some(code), "{words}: {text}");
    assert_eq!(text.matches("error: ").count(), 1, "{text}");
    assert!(text.contains(words), "{words} is not in: {text}");
    assert!(text.len() < 4096, "an error of {} bytes", text.len());
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn a_word_of_any_length_is_answered_at_once_and_in_short() {
    let long = "a".repeat(100_000);
    refused(&[&long], 2, "… (100000 bytes)`");
    refused(&["-c", &format!("{long} x")], 2, "unknown command");
    refused(&["-c", &format!("mdw {long}")], 2, "is not an address");
    refused(&["-c", &format!("sim serve --{}", &long[..1000])], 2, "is no option");
}

#[test]
fn scripts_that_import_each_other_in_a_circle_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    file(folder.path(), "b.rhai", "import \"a\" as a;");
    refused(&["-f", &file(folder.path(), "a.rhai", "import \"b\" as b;")], 2, "being imported already");
}

#[test]
fn a_usage_line_without_end_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for brackets in ["(", "[", "[a]"] {
        let text = format!("command(\"x {}\", \"\", |a| 1)", brackets.repeat(100_000));
        refused(&["-f", &file(folder.path(), "x.rhai", &text)], 2, "usage line `x ");
    }
}

#[test]
fn a_script_cannot_fill_the_memory() {
    let folder = tempfile::tempdir().unwrap();
    for text in [
        "let s = \"aaaaaaaaaaaaaaaa\"; loop { s += s; }",
        "let a = [1, 2, 3, 4]; loop { a += a; }",
        "let a = []; a.pad(1000000000000, 0);",
        "let s = \"\"; s.pad(1000000000000, \"x\");",
        "let b = blob(1000000000000, 0);",
    ] {
        refused(&["-f", &file(folder.path(), "big.rhai", text)], 1, "too large");
    }
}

#[test]
fn a_closure_of_another_shape_is_told_what_a_command_needs() {
    let folder = tempfile::tempdir().unwrap();
    for closure in ["|| 1", "|a, b| 1"] {
        let script = file(folder.path(), "x.rhai", &format!("command(\"foo\", \"\", {closure})"));
        refused(&["-f", &script, "-c", "foo"], 1, "a command's closure has one");
    }
}

#[test]
fn a_byte_order_mark_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let script = file(folder.path(), "x.rhai", "\u{feff}print(\"from a file\")");
    let mut child = start(&["-f", &script]);
    child.stdin.take().unwrap().write_all("\u{feff}echo from stdin\r\n".as_bytes()).unwrap();
    let output = ended(child, "a byte order mark");
    assert_eq!((String::from_utf8_lossy(&output.stdout), output.status.code()), ("from a file\nfrom stdin\n".into(), Some(0)));
}

#[test]
fn a_file_without_end_is_not_read_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let sparse = folder.path().join("sparse");
    fs::File::create(&sparse).unwrap().set_len(3 << 30).unwrap();
    for path in ["/dev/zero", sparse.to_str().unwrap()] {
        let run = |line: &str, code, words: &str| refused(&[&BOARD[..], &["-c", &format!("{line} {path}")]].concat(), code, words);
        run("flash verify_bank 0", 2, "longer than bank 1");
        run("sim load", 1, "not a saved board");
        run("script", 2, "longer than 1 MiB");
    }
    for line in ["program", "verify_image", "load_image"] {
        let line = format!("{line} {} 0x08000000 bin", sparse.display());
        refused(&[&BOARD[..], &["-c", &line]].concat(), 8, "more than the 16 MiB");
    }
}

#[test]
fn a_line_of_stdin_without_end_is_refused() {
    let output = ended(command().stdin(fs::File::open("/dev/zero").unwrap()).spawn().unwrap(), "/dev/zero");
    is_refused(&output, 2, "a line of stdin is longer than 1 MiB");
    let output = ended(command().stdin(fs::File::open("/").unwrap()).spawn().unwrap(), "a folder as stdin");
    is_refused(&output, 1, "stdin cannot be read");
}

#[test]
fn what_is_not_utf_8_is_refused_and_not_taken_for_something_like_it() {
    let output = ended(command().args(["-f".into(), OsString::from_vec(b"a\xff.toml".to_vec())]).spawn().unwrap(), "no UTF-8");
    is_refused(&output, 2, "is not UTF-8");
}

#[test]
fn control_characters_in_an_error_do_not_reach_the_terminal() {
    let output = ended(start(&["-c", "program \x1b[2Jx.elf"]), "an escape sequence");
    assert!(!err(&output).contains('\x1b'), "{:?}", err(&output));
}

#[cfg(target_os = "linux")]
#[test]
fn results_that_cannot_be_written_are_a_failure_and_a_closed_stdout_is_none() {
    let full = || fs::File::options().write(true).open("/dev/full").unwrap();
    for args in [&["-c", "echo x"][..], &["--help"], &["--json", "-c", "echo x"]] {
        let output = ended(command().args(args).stdout(full()).spawn().unwrap(), "a full stdout");
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", err(&output));
    }
    refused(&["-l", "/dev/full", "-c", "echo x"], 1, "the log file cannot be written");
    let mut child = start(&["-c", "help; echo x"]);
    drop(child.stdout.take());
    assert_eq!(ended(child, "a closed stdout").status.code(), Some(0));
}

/// On the embedded board as with any other.
#[test]
fn a_probe_that_is_not_there_is_not_taken_for_the_one_that_is() {
    refused(
        &["-f", "sim", "-f", "stm32h7", "-c", "adapter serial NOSUCH; targets"],
        3,
        "no probe with serial number NOSUCH is plugged in; there is ST-Link V2",
    );
    refused(&["-f", "sim", "-f", "stm32h7", "-c", "adapter usb location 9-9; targets"], 3, "no probe at USB path 9-9 is plugged in");
}

/// While others are served a thread writes: its error is told as what it is, and later output finds no dead thread.
#[cfg(target_os = "linux")]
#[test]
fn a_full_disk_is_told_while_others_are_served() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let lines = format!("serve tcl {port}; echo x");
    let stdout = fs::File::options().write(true).open("/dev/full").unwrap();
    let child = command().args(["-q", "-f", "sim", "-f", "stm32h7", "-c", &lines]).stdout(stdout).spawn().unwrap();
    let mut tcl = (0..1000).find_map(|_| {
        std::thread::sleep(Duration::from_millis(10));
        std::net::TcpStream::connect(("127.0.0.1", port)).ok()
    });
    std::io::Write::write_all(tcl.as_mut().expect("it serves"), b"shutdown\x1a").unwrap();
    let output = ended(child, "serve");
    assert_eq!(output.status.code(), Some(1));
    assert!(
        err(&output).contains("stdout cannot be written: No space left on device") && !err(&output).contains("lost"),
        "{}",
        err(&output)
    );
}

#[test]
fn a_state_file_that_cannot_be_written_is_an_error_before_the_work() {
    let folder = tempfile::tempdir().unwrap();
    let sim = file(folder.path(), "sim.toml", "driver = \"stlink\"\ntransport = \"sim\"\n[sim]\nstate = \"/nonexistent/board\"\n");
    refused(&["-f", &sim, "-f", "stm32h7", "-c", "flash mass_erase"], 1, "saving the board's state");
    refused(&["sim", "serve", "--stlink-tcp", "127.0.0.1:0", "--state", "/nonexistent/board"], 1, "saving the board's state");
}

/// As `mkfifo` makes it, with nobody at the other end.
fn fifo(folder: &Path) -> String {
    let path = folder.join("fifo.toml").display().to_string();
    assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    path
}

#[test]
fn a_pipe_is_read_once_and_programmed_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = fifo(folder.path());
    let firmware = format!("{}/tests/firmware/blinky-h743.elf", env!("CARGO_MANIFEST_DIR"));
    let child = start(&[&BOARD[..], &["-c", &format!("program {pipe} elf")]].concat());
    // Waits until rocd opens the other end.
    fs::write(&pipe, fs::read(firmware).unwrap()).unwrap();
    let output = ended(child, "a pipe");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!((output.status.code(), text.matches("verified 312 bytes").count()), (Some(0), 1), "{text}{}", err(&output));
}

/// One line at a time; what the line answers is on stdout, and its last line says `until`.
fn say(child: &mut Child, line: &str, until: &str) {
    use std::io::Read;
    writeln!(child.stdin.as_mut().unwrap(), "{line}").unwrap();
    let (mut seen, mut byte) = (String::new(), [0]);
    while !(seen.ends_with('\n') && seen.lines().next_back().is_some_and(|last| last.contains(until))) {
        assert_eq!(child.stdout.as_mut().unwrap().read(&mut byte).unwrap(), 1, "no {until} in {seen}");
        seen.push(char::from(byte[0]));
    }
}

/// What happens to a file, and what the next command says of it.
type Fate = (fn(&Path), &'static str);

#[test]
fn a_file_that_vanishes_or_changes_between_two_looks_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let firmware = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/firmware/blinky-h743.elf");
    let path = folder.path().join("app.elf");
    let fates: [Fate; 4] = [
        (|path| fs::remove_file(path).unwrap(), "app.elf: No such file or directory"),
        (|path| fs::File::options().write(true).open(path).unwrap().set_len(600).unwrap(), "app.elf is truncated: segment 0"),
        (|path| fs::write(path, "").unwrap(), "app.elf is empty"),
        (
            |path| {
                fs::remove_file(path).unwrap();
                fs::create_dir(path).unwrap();
            },
            "app.elf is a directory",
        ),
    ];
    for (fate, words) in fates {
        fs::copy(firmware, &path).unwrap();
        let mut child = start(&BOARD);
        say(&mut child, &format!("flash write_image erase {}", path.display()), "wrote 320 bytes");
        fate(&path);
        // The source lines are gone with the file, the rest is not.
        say(&mut child, "reset halt", "pc: 0x08000044 msp: 0x20020000 in Reset_Handler");
        writeln!(child.stdin.as_mut().unwrap(), "verify_image {}", path.display()).unwrap();
        let output = ended(child, words);
        let text = err(&output);
        assert!(output.status.code() != Some(0) && text.contains(words), "{words}: {text}");
        let _ = fs::remove_dir(&path);
    }
}

#[test]
fn a_folder_or_a_file_in_a_file_is_said_to_be_one() {
    let folder = tempfile::tempdir().unwrap();
    let (at, inside) = (folder.path().display().to_string(), format!("{}/x", file(folder.path(), "plain", "")));
    for (line, code) in
        [("program", 1), ("load_image", 1), ("verify_image", 1), ("image info", 1), ("script", 2), ("flash verify_bank 0", 1)]
    {
        let words = if line == "flash verify_bank 0" { "Is a directory" } else { "is a directory" };
        refused(&[&BOARD[..], &["-c", &format!("{line} {at}")]].concat(), code, words);
        if line != "script" {
            refused(&[&BOARD[..], &["-c", &format!("{line} {inside}")]].concat(), code, "Not a directory");
        }
    }
    refused(&["-f", &at], 2, "is a directory");
    refused(&[&BOARD[..], &["-c", &format!("dump_image {at} 0x20000000 4")]].concat(), 1, "Is a directory");
}

#[test]
fn nobody_reads_stderr_and_the_work_is_done() {
    let mut child = start(&[&BOARD[..], &["-c", "mww 0x20000000 5; mdw 0x20000000; mdw 0x70000000"]].concat());
    drop(child.stderr.take());
    let output = ended(child, "a closed stderr");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned()), (Some(4), "0x20000000: 00000005 \n".into()));
}

/// Every front-end has its end in the middle of something: a word, a quote, a block, an expression.
#[test]
fn lines_that_stop_half_way_are_errors_and_run_nothing() {
    for (text, code, words) in [
        ("echo one; mdw", 2, "mdw needs <addr>"),
        ("echo \"one", 2, "a closing `\"` is missing"),
        ("echo {one", 2, "a closing `}` is missing"),
        ("mww (0x20000000 + 4", 2, "a closing `)` is missing"),
        ("let v = read_memory(0x20000000,", 2, "script is incomplete"),
        ("fn f() {\n  1", 2, "expecting ';'"),
        ("flash", 2, "unknown command `flash`; did you mean `flash banks`?"),
    ] {
        let mut child = start(&["-f", "sim"]);
        child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
        let output = ended(child, text);
        assert_eq!(output.status.code(), Some(code), "{text}: {}", err(&output));
        is_refused(&output, code, words);
    }
}

#[test]
fn a_second_ctrl_c_ends_what_the_system_holds() {
    let folder = tempfile::tempdir().unwrap();
    let child = start(&["-f", &fifo(folder.path())]);
    for pause in [300, 1300] {
        std::thread::sleep(Duration::from_millis(pause));
        signal(child.id(), "INT");
    }
    assert_eq!(ended(child, "an open that waits").status.code(), Some(130));
}

#[test]
fn a_signal_ends_a_server_whatever_it_is_doing() {
    for line in ["sleep 100000000\n", "loop {}\n", "wait_halt 100000000\n", ""] {
        let mut child = start(&["sim", "serve", "--board", "stm32g071", "--stlink-tcp", "127.0.0.1:0"]);
        child.stdin.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
        std::thread::sleep(Duration::from_millis(300));
        signal(child.id(), "TERM");
        // Its stdin stays open.
        let stdin = child.stdin.take();
        let output = ended(child, line);
        drop(stdin);
        assert_eq!(output.status.code(), Some(0), "{line}: {}", err(&output));
    }
}

/// An ELF file for an Arm core with one segment: initial SP, the reset vector, and `code` behind them at 0.
fn elf(code: &[u8]) -> Vec<u8> {
    let mut file = b"\x7fELF\x01\x01\x01".to_vec();
    file.resize(16, 0);
    let half = |value: u16| value.to_le_bytes();
    let word = |value: u32| value.to_le_bytes();
    let bytes = [&word(0x2000_1000)[..], &word(9), code].concat();
    file.extend([half(2), half(40)].concat());
    file.extend([word(1), word(9), word(52), word(0), word(0x0500_0000)].concat());
    file.extend([half(52), half(32), half(1), half(0), half(0), half(0)].concat());
    file.extend([word(1), word(84), word(0), word(0), word(bytes.len() as u32), word(bytes.len() as u32), word(5), word(4)].concat());
    [file, bytes].concat()
}

/// Counts for ever: `adds r0, #1`, `b` to it. The board sees no loop that does nothing.
const COUNTS: &[u8] = &[0x01, 0x30, 0xFD, 0xE7];

fn saved(folder: &Path, name: &str, bytes: &[u8]) -> String {
    let path = folder.join(name);
    fs::write(&path, bytes).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn a_segment_up_to_the_end_of_the_address_space_is_no_bug() {
    let folder = tempfile::tempdir().unwrap();
    let mut bytes = elf(COUNTS);
    bytes[60..64].copy_from_slice(&0x2000_0000u32.to_le_bytes());
    bytes[72..76].copy_from_slice(&u32::MAX.to_le_bytes());
    let path = saved(folder.path(), "huge.elf", &bytes);
    refused(&["sim", "run", "bare-m0", &path, "1"], 8, "4294967295 bytes at 0x20000000 do not fit bare-m0");
}

/// On both chips the bus takes it and flash stays as it is.
#[test]
fn a_plain_write_into_flash_is_told() {
    for target in ["stm32h7", "stm32g0"] {
        for line in ["mww 0x08000000 1 9000", "mwb 0x08000003 0", "write_memory 0x08000000 16 1 2"] {
            let lines = format!("{line}; mdb 0x08000003; mww 0x20000000 1");
            let output = ended(start(&["-f", "sim", "-f", target, "-c", &lines]), line);
            assert!(output.status.success() && String::from_utf8_lossy(&output.stdout).contains("0x08000003: ff"), "{line}");
            let told = "is flash, which stays as it is: `program` and `flash write_image` write flash";
            assert_eq!(err(&output).matches(told).count(), 1, "{target}: {line}: {}", err(&output));
        }
    }
}

#[test]
fn what_has_no_end_is_no_program_for_the_board() {
    let folder = tempfile::tempdir().unwrap();
    refused(&["sim", "run", "bare-m0", "/dev/zero"], 8, "/dev/zero is no regular file");
    refused(&["sim", "run", "bare-m0", folder.path().to_str().unwrap()], 8, "is no regular file");
    refused(&["sim", "run", "bare-m0", "no-such.elf"], 1, "cannot read no-such.elf");
    let file = std::fs::File::create(folder.path().join("long.elf")).unwrap();
    file.set_len(1 << 40).unwrap();
    refused(&["sim", "run", "bare-m0", folder.path().join("long.elf").to_str().unwrap()], 8, "is longer than 64 MiB");
}

#[test]
fn ctrl_c_ends_a_program_that_does_not_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = saved(folder.path(), "counts.elf", &elf(COUNTS));
    let child = start(&["sim", "run", "bare-m0", &path, "18446744073709551615"]);
    std::thread::sleep(Duration::from_millis(500));
    signal(child.id(), "INT");
    let output = ended(child, "sim run");
    is_refused(&output, 130, "interrupted");
}

#[test]
fn a_file_that_is_no_program_for_the_board_is_refused_by_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let good = elf(COUNTS);
    for (name, at, byte, words) in [
        ("wide.elf", 4, 2, "not an ELF file of 32 bits, little-endian"),
        ("big.elf", 5, 2, "not an ELF file of 32 bits, little-endian"),
        ("x86.elf", 18, 0x3E, "a program for another machine (e_machine = 62)"),
        ("none.elf", 52, 0, "no segment of it is loaded"),
        ("far.elf", 67, 0x70, "12 bytes at 0x70000000 do not fit bare-m0"),
    ] {
        let mut bytes = good.clone();
        bytes[at] = byte;
        let path = saved(folder.path(), name, &bytes);
        let output = ended(start(&["sim", "run", "bare-m0", &path]), name);
        is_refused(&output, 8, words);
        assert!(err(&output).contains(&format!("while loading {path}")), "{}", err(&output));
    }
    let path = saved(folder.path(), "counts.elf", &good);
    refused(&["sim", "run", "nosuch", &path], 2, "hint: its chips: stm32h743, ");
    refused(&["sim", "run", "bare-m0", &path, "30"], 7, "its time, 30 ms, was up");
}

#[test]
fn a_board_is_what_was_chosen_before_it_was_made_and_its_state_is_of_no_other_chip() {
    let folder = tempfile::tempdir().unwrap();
    let (state, junk) = (folder.path().join("g0.state"), file(folder.path(), "junk.state", "no state"));
    refused(&["-c", "sim chip stm32z1"], 2, "the board has no chip `stm32z1`\n  hint: its chips: ");
    refused(&["-c", "sim probe v2 V3J1"], 2, "`V3J1` is no firmware of a v2 probe: another generation");
    let made = "sim chip stm32g071; sim probe v3 V3J7M3B5S1; sim uart; sim chip stm32h743";
    refused(&["-c", made], 1, "the board is made already: stm32g071 with a v3 probe");
    refused(&["-c", "sim poke 0x20000010 256"], 2, "a byte is at most 0xff");
    refused(&["-c", "sim poke 0xffffffff 1 2"], 1, "stm32h743 has nothing at 0xffffffff");
    let line =
        format!("sim chip stm32g071; sim poke 0x08000000 1 2 3; sim save {0}; sim poke 0x08000000 4 5 6; sim load {0}", state.display());
    let (kept, dump) = (format!("try {{ sim_load(\"{junk}\") }} catch {{}}"), folder.path().join("dump"));
    let last = format!("sim dump {} 0x08000000 3", dump.display());
    assert!(ended(start(&["-c", &line, "-c", &kept, "-c", &last]), "saved and loaded").status.success());
    assert_eq!(fs::read(dump).unwrap(), [1, 2, 3]);
    refused(&["-c", &format!("sim load {}", state.display())], 1, "saved from stm32g071, this board is stm32h743");
    refused(&["-c", &format!("sim load {junk}")], 1, "not a saved board");
}

#[test]
fn what_the_board_lacks_is_said_in_whole_sentences() {
    refused(&["-c", "sim chip bare-m0; sim uart"], 2, "bare-m0 has no serial port\n");
    refused(&["-c", "sim inject stall after 4294967296"], 2, "4294967296 transfers are more than 4294967295");
    refused(&["sim", "serve", "--vhci", "8"], 2, "1 board does not fit behind port 8 of vhci_hcd");
    let twin = "stm32g071,v3,303030303030303030303030";
    let twins = ["sim", "serve", "--board", twin, "--board", twin, "--stlink-tcp", "0"];
    refused(&twins, 2, "two boards have the serial number 303030303030303030303030");
    refused(&["sim", "serve", "--stlink-tcp", "192.0.2.1:80"], 1, "hint: an address of this machine is needed");
    let output = ended(start(&[&BOARD[..], &["-c", "halt; step"]].concat()), "step of a core that locks up");
    is_refused(&output, 4, "hint: the core is locked up");
    for (line, said) in [("pins", "no pin is in use"), ("sim trace 0", "")] {
        let output = ended(start(&[&BOARD[..], &["-c", line]].concat()), line);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), said, "{line}");
    }
}
