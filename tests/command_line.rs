//! The binary from outside: order of options, stdin, exit codes, signals, streams, `--json`.

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocd"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env_remove("ROCD_PATH").env("XDG_CONFIG_HOME", "/nonexistent").stdin(Stdio::null());
    command
}

fn rocd(args: &[&str]) -> Output {
    command(args).output().unwrap()
}

fn with_stdin(args: &[&str], text: &str) -> Output {
    let mut child = piped(args);
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn piped(args: &[&str]) -> Child {
    command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn script(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn files_and_lines_run_in_the_order_given_and_words_last() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (script(folder.path(), "a.rhai", "print(\"a\")"), script(folder.path(), "b.rhai", "print(\"b\")"));
    let output = rocd(&["-c", "echo one", "-f", &a, "-c", "echo two; echo three", "-f", &b, "echo", "(1+1)", "x y", "-c"]);
    assert_eq!(out(&output), "one\na\ntwo\nthree\nb\n(1+1) x y -c\n");
    assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""));
}

#[test]
fn values_cling_to_their_letters_or_follow_them_and_options_end_where_the_command_begins() {
    let folder = tempfile::tempdir().unwrap();
    let a = script(folder.path(), "a.rhai", "print(\"a\")");
    for (args, said) in [
        (&["-cecho one", "-f", &a, "-q", "-c", "-1", "-c", "echo two"][..], "one\na\n-1\ntwo\n"),
        (&["-qf", &a, "echo", "-q", "-d3", "--help"], "a\n-q -d3 --help\n"),
        (&["-f", &a, "--", "echo", "x"], "a\nx\n"),
        // The number of -d never stands apart.
        (&["-d", "echo", "3"], "3\n"),
        (&["-d0", "echo", "3"], "3\n"),
    ] {
        let output = rocd(args);
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(0), said), "{args:?}: {}", err(&output));
    }
    for (args, said) in [
        (&["--no-such-option"][..], "error: unexpected argument '--no-such-option' found\n  hint: rocd --help\n"),
        (&["--jsno"], "hint: did you mean `--json`? rocd --help\n"),
        (&["-f"], "-f <FILE>"),
        (&["-f", "-d"], "-f <FILE>"),
    ] {
        let output = rocd(args);
        assert!(output.status.code() == Some(2) && err(&output).contains(said), "{args:?}: {}", err(&output));
    }
}

#[test]
fn the_first_error_ends_the_run_and_is_told_once() {
    let output = rocd(&["-c", "echo one; sleep soon; echo two", "-c", "echo three", "echo", "four"]);
    assert_eq!(out(&output), "one\n");
    assert_eq!(err(&output), "error: sleep: `soon` is not a whole number of milliseconds\n  hint: usage: sleep <ms>\n");
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn exit_codes_are_those_of_the_table() {
    let folder = tempfile::tempdir().unwrap();
    let throw = |kind: &str| script(folder.path(), &format!("{kind}.rhai"), &format!("throw #{{ kind: \"{kind}\", message: \"m\" }}"));
    for (kind, code) in [
        ("command", 1),
        ("usage", 2),
        ("probe", 3),
        ("target", 4),
        ("protected", 5),
        ("mismatch", 6),
        ("not_running", 7),
        ("image", 8),
        ("bug", 101),
    ] {
        let output = rocd(&["-f", &throw(kind), "-c", "echo no"]);
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(code), ""), "{kind}");
        assert!(err(&output).starts_with("error: m\n"));
    }
    for (args, code) in [
        (&["-c", "exit 42"][..], 42),
        (&["-c", "exit; echo no"], 0),
        (&["-c", "shutdown error"], 1),
        (&["-f", "nosuch"], 2),
        (&["-f"], 2),
        (&["--no-such-option"], 2),
        (&["nosuch"], 2),
        (&["-c", "nosuch"], 2),
        (&["-c", "echo \"open"], 2),
        (&["-d7"], 2),
        (&["-l", "/nonexistent/log", "-c", "echo x"], 2),
        (&["--version"], 0),
        (&["--help"], 0),
        (&["help"], 0),
    ] {
        assert_eq!(rocd(args).status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn a_missing_or_faulty_file_ends_the_run_before_anything_is_done() {
    let folder = tempfile::tempdir().unwrap();
    let faulty = script(folder.path(), "faulty.rhai", "let x = ;");
    for file in ["nosuch.toml", &faulty] {
        let output = rocd(&["-f", file, "-c", "echo no"]);
        assert_eq!((output.status.code(), out(&output).as_str()), (Some(2), ""), "{file}");
        assert!(err(&output).contains(file), "{}", err(&output));
    }
}

#[test]
fn help_and_version_go_to_stdout() {
    assert_eq!(out(&rocd(&["--version"])), concat!("rocd ", env!("CARGO_PKG_VERSION"), "\n"));
    let help = out(&rocd(&["--help"]));
    for option in
        ["-f <FILE>", "-c <LINE>", "-s <FOLDER>", "-d <N>", "-l <FILE>", "-q", "--json", "--timing", "--dry-run", "--version", "--help"]
    {
        assert!(help.contains(option), "{option}\n{help}");
    }
}

#[test]
fn stdin_is_lines_that_run_as_they_come() {
    let mut child = piped(&["-f", "sim"]);
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut answer = |text: &str| {
        input.write_all(text.as_bytes()).unwrap();
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(answer("echo a\n"), "a\n");
    assert_eq!(answer("echo {b\nc}\n"), "b\n");
    assert_eq!(answer("let f = |n| {\n  n + 1\n};\nprint(f.call(4))\n"), "c\n");
    assert_eq!(answer("// nothing\n\necho d; echo e\n"), "5\n");
    drop(input);
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "d\ne\n");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn stdin_ends_at_the_first_error_and_an_unfinished_text_is_one() {
    let output = with_stdin(&[], "echo a\nnosuch\necho b\n");
    assert_eq!((out(&output).as_str(), output.status.code()), ("a\n", Some(2)));
    let output = with_stdin(&[], "echo a\necho {b\n");
    assert_eq!((out(&output).as_str(), output.status.code()), ("a\n", Some(2)));
    assert_eq!(err(&output), "error: a closing `}` is missing\n  hint: `help lines` explains words and quotes\n");
    assert_eq!(with_stdin(&[], "").status.code(), Some(0));
}

#[test]
fn a_closed_stdout_is_no_panic() {
    for args in [&["help"][..], &["--help"], &["--json", "help"], &["-c", "for n in 0..5000 { print(`line ${n}`) }"]] {
        let mut child = command(args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), err(&output).as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn quiet_leaves_results_and_errors() {
    let output = rocd(&["-q", "-f", "sim", "-c", "mdw 0x20000000; debug(1)", "-c", "nosuch"]);
    assert!(out(&output).starts_with("0x20000000: "));
    assert!(err(&output).starts_with("error: unknown command `nosuch`"), "{}", err(&output));
}

#[test]
fn there_is_no_colour_and_no_bar_where_there_is_no_terminal() {
    let output = rocd(&["-f", "sim", "-f", "stm32h7", "-c", "program tests/firmware/blinky-h743.elf", "-c", "nosuch"]);
    assert!(!err(&output).contains('\x1b') && !out(&output).contains('\x1b'), "{}", err(&output));
    assert!(!err(&output).contains('\r'));
}

#[test]
fn the_log_takes_the_debug_lines() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("rocd.log");
    let path = log.display().to_string();
    let output = rocd(&["-d3", "-l", &path, "-f", "sim", "-c", "mdw 0x20000000"]);
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("> mdw 0x20000000") && text.contains(" f5000000000000000000000000000000 in "), "{text}");
    assert!(!err(&output).contains("f500000000"), "{}", err(&output));
    let seen = err(&rocd(&["-d3", "-f", "sim", "-c", "mdw 0x20000000"]));
    assert!(seen.contains("f5000000000000000000000000000000"), "{seen}");
    assert!(!err(&rocd(&["-d2", "-f", "sim", "-c", "mdw 0x20000000"])).contains("f5000000000000000000000000000000"));
}

/// Each line of stdout, checked against the committed schema.
fn json(args: &[&str]) -> (Vec<Value>, Option<i32>) {
    let mut schemas = boon::Schemas::new();
    let schema = boon::Compiler::new().compile("docs/json.schema.json", &mut schemas).unwrap();
    let output = rocd(&[&["--json"], args].concat());
    let lines: Vec<Value> = out(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        if let Err(error) = schemas.validate(line, schema) {
            panic!("{line}: {error}");
        }
    }
    assert!(!err(&output).contains("error:"), "{}", err(&output));
    (lines, output.status.code())
}

#[test]
fn json_is_one_line_per_command() {
    let (lines, code) =
        json(&["-f", "sim", "-c", "echo hi; mww 0x20000000 5", "-c", "[read_memory(0x20000000, 32, 1), #{ a: 1.5 }, ()]", "sim", "flash"]);
    let commands: Vec<&str> = lines.iter().map(|line| line["command"].as_str().unwrap()).collect();
    assert_eq!(commands, ["echo hi", "mww 0x20000000 5", "[read_memory(0x20000000, 32, 1), #{ a: 1.5 }, ()]", "sim flash"]);
    assert_eq!((&lines[0]["value"], &lines[0]["probe"], &lines[0]["chip"]), (&Value::Null, &Value::Null, &Value::Null));
    assert_eq!(lines[2]["value"], serde_json::json!([[5], { "a": 1.5 }, null]));
    assert!(lines[2]["probe"].as_str().unwrap().starts_with("ST-Link "), "{}", lines[2]);
    assert!(lines[2]["chip"].as_str().unwrap().starts_with("STM32H7"));
    assert_eq!(code, Some(0));
}

#[test]
fn json_tells_errors_too_also_before_the_first_command() {
    for (args, command, kind, exit) in [
        (&["-c", "echo a; sleep x; echo b"][..], "sleep x", "usage", 2),
        (&["-c", "echo {"], "echo {", "usage", 2),
        (&["-c", "throw \"x\""], "throw \"x\"", "command", 1),
        (&["-f", "nosuch"], "-f nosuch", "usage", 2),
        (&["--no-such-option"], "--json --no-such-option", "usage", 2),
        (&["-l", "/nonexistent/x"], "-l", "usage", 2),
        (&["nosuch", "a b"], "nosuch \"a b\"", "usage", 2),
    ] {
        let (lines, code) = json(args);
        let last = lines.last().unwrap();
        assert_eq!(
            (last["command"].as_str(), last["ok"].as_bool(), last["error"]["kind"].as_str()),
            (Some(command), Some(false), Some(kind)),
            "{args:?}"
        );
        assert_eq!((last["error"]["exit"].as_i64(), code), (Some(exit.into()), Some(exit)), "{args:?}");
    }
    let (lines, code) = json(&["-c", "echo a; exit 9; echo b"]);
    assert_eq!((lines.len(), lines[1]["ok"].as_bool(), code), (2, Some(true), Some(9)));
}

#[test]
fn json_seconds_are_the_boards() {
    let start = Instant::now();
    let (lines, _) = json(&["-f", "sim", "-c", "connect; sleep 60000"]);
    let seconds = lines[1]["seconds"].as_f64().unwrap();
    assert!((60.0..60.1).contains(&seconds), "{seconds}");
    assert!(lines[1]["wall_seconds"].as_f64().unwrap() < 30.0 && start.elapsed() < Duration::from_secs(30));
}

#[test]
fn the_boards_state_outlives_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let sim = format!("driver = \"stlink\"\ntransport = \"sim\"\n[sim]\nstate = {:?}\n", folder.path().join("board.state"));
    let interface = script(folder.path(), "kept.toml", &sim);
    let run = |line: &str| rocd(&["-q", "-f", &interface, "-f", "stm32g0", "-c", line]);
    assert_eq!(run("program tests/firmware/blinky-g071.elf").status.code(), Some(0));
    assert!(!out(&run("mdw 0x08000000")).contains("ffffffff"));
    assert_eq!(run("flash erase_sector 0 0 last; sleep never").status.code(), Some(2));
    assert!(out(&run("mdw 0x08000000")).contains("ffffffff"));
}

#[test]
fn a_pulled_plug_is_told_once() {
    let output = rocd(&["-q", "-f", "sim", "-c", "halt; sim unplug; mdw 0x20000000"]);
    assert_eq!((output.status.code(), err(&output).matches("error:").count()), (Some(3), 1), "{}", err(&output));
}

#[cfg(unix)]
mod signals {
    use super::*;

    fn after_signal(args: &[&str], signal: &str) -> (Option<i32>, String, Duration) {
        let mut child = piped(args);
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        let start = Instant::now();
        assert!(Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap().success());
        let mut err = String::new();
        child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
        (child.wait().unwrap().code(), err, start.elapsed())
    }

    #[test]
    fn signals_end_waits_loops_and_stdin_with_their_exit_code() {
        for (line, signal, code) in [
            ("echo ready; sleep 60000", "-INT", 130),
            ("print(\"ready\"); loop { try { loop { } } catch { } }", "-TERM", 143),
            ("print(\"ready\"); for n in 0..1000000000 { }", "-HUP", 129),
        ] {
            let (exit, err, took) = after_signal(&["-c", line], signal);
            assert_eq!((exit, err.as_str()), (Some(code), "error: interrupted\n"), "{line}");
            assert!(took < Duration::from_secs(1), "{line}: {took:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let ready = script(folder.path(), "ready.rhai", "print(\"ready\")");
        let (exit, err, took) = after_signal(&["-f", &ready], "-TERM");
        assert_eq!((exit, err.as_str()), (Some(143), "error: interrupted\n"));
        assert!(took < Duration::from_secs(1), "{took:?}");
    }

    #[test]
    fn an_interrupted_run_leaves_the_chip_and_says_how() {
        let (exit, err, _) = after_signal(&["-f", "sim", "-c", "halt(); print(\"ready\"); loop { }"], "-INT");
        assert_eq!(exit, Some(130));
        assert!(err.contains("is left halted at 0x"), "{err}");
    }
}
