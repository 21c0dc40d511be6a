//! The tool in the hand: where the time went, what a terminal is shown while it waits, and what nobody is there to read.

mod served;

use serde_json::Value;
#[cfg(unix)]
use served::Board;
use std::collections::BTreeSet;
use std::process::{Command, Output, Stdio};

const ROCD: &str = env!("CARGO_BIN_EXE_rocd");
const BOARD: [&str; 4] = ["-f", "sim", "-f", "stm32h7"];

fn command(args: &[&str]) -> Command {
    let mut command = Command::new(ROCD);
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("ROCD_PATH").stdin(Stdio::null());
    command
}

fn rocd(args: &[&str]) -> Output {
    let output = command(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The `timing` of the one command `line`, seen to fit its schema; `more` options before it.
fn timed(more: &[&str], line: &str) -> Value {
    let output = rocd(&[&BOARD, more, &["--json", "--timing", "-c", line]].concat());
    let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut schemas = boon::Schemas::new();
    let schema = boon::Compiler::new().compile("docs/json.schema.json", &mut schemas).unwrap();
    schemas.validate(&answer, schema).unwrap_or_else(|error| panic!("{answer}: {error}"));
    let (seconds, all) = (answer["timing"]["seconds"].as_f64().unwrap(), answer["seconds"].as_f64().unwrap());
    assert!((seconds - all).abs() < 1e-6, "{seconds} of {all} s");
    answer["timing"].clone()
}

fn phase<'t>(timing: &'t Value, name: &str) -> &'t Value {
    timing["phases"].as_array().unwrap().iter().find(|row| row["phase"] == name).unwrap_or_else(|| panic!("no {name}: {timing}"))
}

fn sum(timing: &Value, what: &str) -> u64 {
    timing["phases"].as_array().unwrap().iter().map(|row| row[what].as_u64().unwrap()).sum()
}

fn names(timing: &Value) -> BTreeSet<&str> {
    timing["phases"].as_array().unwrap().iter().map(|row| row["phase"].as_str().unwrap()).collect()
}

/// Begin and end of each piece of this phase, in this bank.
fn spans(timing: &Value, name: &str, bank: Option<&str>) -> Vec<(f64, f64)> {
    let spans = timing["spans"].as_array().unwrap().iter().filter(|span| span["phase"] == name && span["bank"].as_str() == bank);
    spans.map(|span| (span["from"].as_f64().unwrap(), span["to"].as_f64().unwrap())).collect()
}

fn overlap(a: &[(f64, f64)], b: &[(f64, f64)]) -> f64 {
    let pairs = a.iter().flat_map(|a| b.iter().map(move |b| a.1.min(b.1) - a.0.max(b.0)));
    pairs.filter(|both| *both > 0.0).sum()
}

#[test]
fn transactions_and_bytes_are_those_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let timing = timed(&["-d3", "-l", log.to_str().unwrap()], "program tests/firmware/blinky-h743.elf reset");
    let log = std::fs::read_to_string(log).unwrap();
    let (mut transactions, mut bytes) = (0, 0);
    for line in log.lines().take_while(|line| !line.contains(" > program ")) {
        // The log's time, the probe's time, the command, the direction, the data.
        let words: Vec<&str> = line.split(' ').collect();
        if let [_, _, block, "in" | "out" | "none", data @ ..] = &words[..] {
            transactions += 1;
            bytes += (block.len() + data.iter().map(|data| data.len()).sum::<usize>()) as u64 / 2;
        }
    }
    assert!(transactions > 100, "{log}");
    assert_eq!((sum(&timing, "transactions"), sum(&timing, "bytes")), (transactions, bytes));
}

/// Both banks hold something else and get something new.
const BOTH: &str = "write_both(1); write_both(2)";

/// A script with `write_both`, which writes 32 KiB on both sides of the border between the banks of an H743.
fn both(folder: &std::path::Path) -> String {
    let image = |mark: u8| (0..64u32 << 10).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 ^ mark).collect::<Vec<u8>>();
    [1, 2].into_iter().for_each(|mark| std::fs::write(folder.join(format!("{mark}.bin")), image(mark)).unwrap());
    let path = folder.join("both.rhai");
    let folder = folder.display();
    std::fs::write(&path, format!("fn write_both(n) {{ flash_write_image(\"erase\", `{folder}/${{n}}.bin`, 0x080f8000, \"bin\") }}"))
        .unwrap();
    path.display().to_string()
}

#[test]
fn what_overlaps_is_seen_to() {
    let folder = tempfile::tempdir().unwrap();
    let timing = timed(&["-f", &both(folder.path())], BOTH);
    assert_eq!(names(&timing), BTreeSet::from(["attach", "read", "reset", "erase", "upload", "program", "other"]));
    let [one, two] = ["bank 1", "bank 2"].map(|bank| spans(&timing, "erase", Some(bank)));
    let erased = phase(&timing, "erase")["seconds"].as_f64().unwrap();
    // A sector of an H743 takes a second, the typical time of its data sheet: both at once.
    assert!(erased > 0.9 && erased < 1.3 && overlap(&one, &two) > 0.9 * erased, "{timing}");
    let upload = spans(&timing, "upload", None);
    assert!(overlap(&one, &upload) > 0.1 && overlap(&upload, &spans(&timing, "program", Some("bank 2"))) > 0.1, "{timing}");
    assert!(phase(&timing, "upload")["bytes"].as_u64().unwrap() > 128 << 10, "{timing}");
    let erase = phase(&timing, "erase");
    let waited = erase["waited_seconds"].as_f64().unwrap();
    assert!(erase["polls"].as_u64().unwrap() > 10 && erase["waits"].as_u64().unwrap() > 10 && waited > 0.1 && waited < erased, "{erase}");
}

#[test]
fn without_the_loader_nothing_overlaps_and_all_adds_up() {
    let timing = timed(&[], "program tests/firmware/blinky-h743.elf noloader verify reset");
    assert_eq!(names(&timing), BTreeSet::from(["attach", "read", "reset", "program", "verify", "other"]));
    let parts: f64 = timing["phases"].as_array().unwrap().iter().map(|row| row["seconds"].as_f64().unwrap()).sum();
    let all = timing["seconds"].as_f64().unwrap();
    assert!((parts - all).abs() < 1e-6, "{parts} of {all} s: {timing}");
    assert_eq!(spans(&timing, "reset", None).len(), 2, "before and after: {timing}");
}

/// The rows of the table behind `timing: LINE`, the first word apart.
fn table<'s>(said: &'s str, line: &str) -> Vec<(&'s str, Vec<&'s str>)> {
    let (_, behind) = said.split_once(&format!("timing: {line}\n")).unwrap_or_else(|| panic!("no {line}: {said}"));
    let rows = behind.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.map(|row| (row[0], row[1..].to_vec())).take_while(|row| row.0 != "timing:").collect()
}

#[test]
fn without_a_terminal_there_are_plain_lines_that_add_up() {
    let program = "program tests/firmware/dense-64k-g071.elf verify reset";
    let said =
        String::from_utf8(rocd(&[&BOARD[..], &["-q", "--timing", "-c", program, "-c", "echo; mdw 0x08000000"]].concat()).stderr).unwrap();
    let rows = table(&said, program);
    let phases: Vec<&str> = rows.iter().map(|row| row.0).collect();
    assert_eq!(phases, ["attach", "read", "reset", "upload", "program", "verify", "other", "all", "wall"], "{said}");
    for column in 1..=4 {
        let cells: Vec<u64> = rows[..8].iter().map(|row| row.1[column].parse().unwrap()).collect();
        assert_eq!(cells[..7].iter().sum::<u64>(), cells[7], "{said}");
    }
    // One transfer, whose status comes with another.
    assert_eq!(table(&said, "mdw 0x08000000")[0].1[1], "2", "{said}");
    assert!(!said.contains("timing: echo") && !said.contains(['█', '\x1b']), "{said}");
}

#[test]
fn a_failed_command_says_where_its_time_went_too() {
    let output = command(&[&BOARD[..], &["--timing", "-c", "mdw 0x70000000"]].concat()).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let (before, table) = said.split_once("\ntiming: mdw 0x70000000\n").unwrap_or_else(|| panic!("{said}"));
    assert!(before.contains("error: ") && table.contains("\nread "), "{said}");
}

#[test]
fn it_can_be_asked_for_at_any_time_and_is_kept_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let lines = ["timing", "mdw 0x20000000", "timing on", "mdw 0x20000004", "timing off", "mdw 0x20000008"];
    let output = rocd(&[&BOARD[..], &["-l", log.to_str().unwrap(), "-c", &lines.join("; ")]].concat());
    let (out, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    let told: Vec<&str> = out.lines().filter(|line| line.starts_with("timing")).collect();
    assert_eq!(told, ["timing: off", "timing: on", "timing: off"]);
    let log = std::fs::read_to_string(log).unwrap();
    for text in [said, log] {
        let asked: Vec<&str> = text.lines().filter(|line| line.contains("timing: mdw")).collect();
        assert!(asked.len() == 1 && asked[0].ends_with("timing: mdw 0x20000004"), "{text}");
    }
}

#[test]
fn whoever_does_not_listen_keeps_nobody_from_work() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let line = format!("program tests/firmware/dense-64k-g071.elf; sim save {}", state.display());
    for args in [&["--timing"][..], &["--timing", "--json"], &["-d3"]] {
        let mut child = command(&[&BOARD[..], args, &["-c", &line]].concat());
        let mut child = child.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop((child.stdout.take(), child.stderr.take()));
        assert_eq!(child.wait().unwrap().code(), Some(0), "{args:?}");
        std::fs::remove_file(&state).unwrap();
    }
}

/// On a terminal.
#[cfg(unix)]
mod terminal {
    use super::*;
    use std::time::Duration;

    /// All that rocd writes to a terminal of so many columns.
    fn shown(columns: usize, variables: &[(&str, &str)], args: &[&str]) -> String {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("stty cols {columns} rows 50; exec \"$0\" \"$@\""), ROCD]).args(args);
        command.current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("ROCD_PATH");
        command.env_remove("NO_COLOR").env("TERM", "xterm").envs(variables.iter().copied());
        let patience = u64::try_from(Duration::from_secs(60).as_millis()).unwrap();
        let said = rexpect::session::spawn_command(command, Some(patience)).unwrap().exp_eof().unwrap();
        // It makes a character of each byte.
        String::from_utf8(said.chars().map(|byte| byte as u8).collect()).unwrap()
    }

    const PLAIN: (&str, &str) = ("NO_COLOR", "1");

    #[test]
    fn bars_show_what_overlapped_in_the_width_there_is() {
        let folder = tempfile::tempdir().unwrap();
        let script = both(folder.path());
        for columns in [20, 40, 100, 200] {
            let said = shown(columns, &[PLAIN], &[&BOARD[..], &["-q", "--timing", "-f", &script, "-c", BOTH]].concat());
            let lines: Vec<&str> = said.lines().skip_while(|line| !line.starts_with("timing: ")).collect();
            let too_wide = lines.iter().find(|line| line.chars().count() > columns);
            assert!(lines.len() > 15 && too_wide.is_none(), "{columns}: {too_wide:?}: {said}");
            let bar = |name: &str| -> Vec<usize> {
                let line = lines.iter().rfind(|line| line.starts_with(&format!("{name} ")));
                let line = line.unwrap_or_else(|| panic!("no {name}: {said}"));
                line.chars().enumerate().filter(|(_, c)| "░▒▓█".contains(*c)).map(|(at, _)| at).collect()
            };
            let banks = if columns < 60 { ["1", "2"] } else { ["bank 1", "bank 2"] };
            let [one, two] = banks.map(|bank| bar(&format!("erase {bank}")));
            assert!(!one.is_empty() && one.iter().any(|at| two.contains(at)), "{said}");
            assert!(bar("upload").iter().any(|at| one.contains(at)), "{said}");
            assert!(bar("attach").iter().all(|at| !one.contains(at) && *at <= bar("read")[0]), "{said}");
        }
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        for (variables, colours) in [(&[][..], true), (&[PLAIN], false), (&[("TERM", "dumb")], false), (&[("NO_COLOR", "")], true)] {
            let program = "program tests/firmware/dense-64k-g071.elf";
            let said = shown(100, variables, &[&BOARD[..], &["-q", "--timing", "-c", program, "nosuch"]].concat());
            assert!(said.contains("unknown command `nosuch`"), "{said}");
            assert_eq!([said.contains("\x1b[1;31merror:"), said.contains("\x1b[32m")], [colours; 2], "{variables:?}: {said:?}");
            assert!(colours || !said.contains('\x1b'), "{variables:?}: {said:?}");
        }
    }

    /// A paced board takes its time, whatever this machine is busy with.
    fn paced(columns: usize, line: &str) -> (String, String) {
        let folder = tempfile::tempdir().unwrap();
        let board = Board::serve("stm32h743,v2", &["--paced"]);
        let interface = board.interface(folder.path());
        let line = line.replace("FILE", folder.path().join("part.bin").to_str().unwrap());
        let args = ["-f", interface.to_str().unwrap(), "-f", "stm32h7", "-c", &line];
        let lines = rocd(&args).stderr;
        let terminal = shown(columns, &[PLAIN], &args);
        board.shutdown();
        (terminal, String::from_utf8(lines).unwrap())
    }

    #[test]
    fn half_a_second_of_work_has_a_bar_with_rate_and_time_left_and_lines_where_there_is_no_terminal() {
        let (terminal, lines) = paced(100, "flash read_bank 0 FILE 0 256K; flash read_bank 0 FILE 0 16K");
        let bars: Vec<&str> = terminal.split('\r').filter(|bar| bar.contains("    read [")).collect();
        assert!(bars.len() > 3 && bars.iter().all(|bar| bar.contains(" of 256.00 KiB, ")), "{terminal:?}");
        assert!(bars.iter().any(|bar| bar.contains("=>") && bar.contains(" KiB/s, 1 s left")), "{terminal:?}");
        let lines: Vec<&str> = lines.lines().filter(|line| line.starts_with("read: ")).collect();
        assert!(lines.len() == 2 && lines[0].ends_with(" s left") && lines[1].starts_with("read: 256 of 256 KiB, "), "{lines:?}");
    }

    #[test]
    fn the_bar_of_what_failed_is_gone() {
        // Only a sector's last byte is another, so all of it is read, with a bar until then.
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image.bin");
        std::fs::write(&image, [vec![0xFF; (128 << 10) - 1], vec![0]].concat()).unwrap();
        let verify = format!("verify_image(`{}`, 0x08000000, \"bin\")", image.display());
        let (terminal, lines) = paced(100, &format!("try {{ {verify} }} catch {{ }} print(\"caught\"); sleep(1200)"));
        let (before, after) = terminal.split_once("caught").unwrap_or_else(|| panic!("{terminal:?}"));
        assert!(before.contains("  verify [") && !after.contains("verify"), "{terminal:?}");
        assert_eq!(lines.matches("verify: ").count(), 1, "{lines}");
    }

    #[test]
    fn a_long_erase_is_seen_to_go_on() {
        let (terminal, lines) = paced(40, "flash erase_sector 0 0 1");
        assert!(terminal.contains("\r0 s so far") || terminal.contains("1 s so far"), "{terminal:?}");
        assert!(terminal.contains(" KiB/s, 1 s left"), "{terminal:?}");
        assert!(lines.contains("erase: 128 of 256 KiB, ") && lines.contains("erase: 256 of 256 KiB, "), "{lines}");
    }
}
