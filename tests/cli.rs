//! Transcripts: tests/cli/NAME.cmd is what a user types, tests/cli/NAME.out what rocd answers.
//!
//! A .cmd file holds lines of these kinds, the rest is commentary:
//!
//!     > app.ld            a file is made …
//!     | MEMORY { }        … of the lines that follow
//!     $ rocd -c "…"       rocd is run
//!     < mdw 0x20000000    … with these lines as its stdin
//!
//! A .out file repeats each `$` line, then shows stdout, stderr (each line marked `! `) and the exit code.
//! `ROCD_BLESS=1 cargo test --test cli` writes the .out files anew: read the difference before it is committed.
//! `ROCD_TEST_INTERFACE=stlink` runs the same lines on another interface than the embedded board.

mod served;

use served::Board;
use served::verdict::Verdict;
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

const BOARD: &str = "interfaces/sim.toml";

#[test]
fn transcripts_hold() {
    let mut scripts = files("cmd");
    scripts.sort();
    assert!(!scripts.is_empty());
    let wrong: Vec<String> = scripts.iter().filter_map(|script| check(script).err()).collect();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// What only the embedded board's own process can do, by the words a line has then.
const OWN: &[&str] = &["sim ", "leds", "pins", "board.state"];

/// A probe behind a server and the board itself give the same answers, but for where the probe is.
#[test]
fn transcripts_hold_through_a_server() {
    hold_elsewhere(Way::Served);
}

/// As a USB device, in a guest with a real USB stack (tests/usb-guest), and rocd there with it.
#[test]
#[cfg(target_os = "linux")]
fn transcripts_hold_over_usb() {
    let kernel = Command::new(GUEST).current_dir(repo("")).arg("--kernel").output().unwrap();
    let missing = "the guest's kernel is missing (tests/usb-guest/build-kernel makes one)";
    let missing = (!kernel.status.success()).then(|| missing.to_string());
    let Some(_verdict) = Verdict::unless(missing, "the same transcripts over USB", "all") else { return };
    hold_elsewhere(Way::Usb);
}

const GUEST: &str = "tests/usb-guest/run";

fn hold_elsewhere(way: Way) {
    let scripts: Vec<PathBuf> = files("cmd").into_iter().filter(|script| goes_elsewhere(&fs::read_to_string(script).unwrap())).collect();
    assert!(scripts.len() >= 15, "only {} transcripts can go elsewhere", scripts.len());
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(script) = scripts.get(next.fetch_add(1, Ordering::Relaxed)) {
            let answer = script.with_extension("out");
            let difference = difference(&fs::read_to_string(&answer).unwrap(), &play(&fs::read_to_string(script).unwrap(), way));
            assert!(difference.is_none(), "{}: {}", answer.display(), difference.unwrap_or_default());
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
}

fn goes_elsewhere(script: &str) -> bool {
    let mut runs = script.lines().filter(|line| line.starts_with("$ rocd") && line.contains(BOARD)).peekable();
    runs.peek().is_some() && !runs.any(|line| OWN.iter().any(|word| line.contains(word)))
}

#[test]
fn every_answer_has_its_question() {
    for answer in files("out") {
        assert!(answer.with_extension("cmd").exists(), "{} has no .cmd beside it", answer.display());
    }
}

fn files(extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(repo("tests/cli")).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension() == Some(OsStr::new(extension))).collect()
}

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn check(script: &Path) -> Result<(), String> {
    let actual = play(&fs::read_to_string(script).unwrap(), Way::Inside);
    let answer = script.with_extension("out");
    if std::env::var_os("ROCD_BLESS").is_some() {
        fs::write(&answer, actual).unwrap();
        return Ok(());
    }
    let expected = fs::read_to_string(&answer).unwrap_or_default();
    match difference(&expected, &actual) {
        Some(difference) => Err(format!("{}: {difference}", answer.display())),
        None => Ok(()),
    }
}

fn difference(expected: &str, actual: &str) -> Option<String> {
    let (mut old, mut new) = (expected.lines(), actual.lines());
    for number in 1.. {
        match (old.next(), new.next()) {
            (None, None) => return None,
            (old, new) if old == new => {}
            (old, new) => {
                let show = |line: Option<&str>| line.unwrap_or("(end)").to_string();
                return Some(format!("line {number}\n  expected {}\n  but was  {}\n{actual}", show(old), show(new)));
            }
        }
    }
    None
}

/// Where the board is that `interfaces/sim.toml` means.
#[derive(Clone, Copy, PartialEq)]
enum Way {
    Inside,
    /// In another process, a new one for each run.
    Served,
    /// Plugged into the kernel of a guest, a new one for each run.
    Usb,
}

/// The chip that a line's target file is for.
fn chip(line: &str) -> &'static str {
    if line.contains("stm32g0") { "stm32g071" } else { "stm32h743" }
}

/// Run a .cmd file in a folder of its own, with copies of the project's files where the README has them.
fn play(script: &str, way: Way) -> String {
    let folder = tempfile::tempdir().unwrap();
    for name in ["interfaces", "targets", "scripts", "tests/firmware", "tests/cpu"] {
        if name != "tests/cpu" || script.contains(name) {
            copy(&repo(name), &folder.path().join(name));
        }
    }
    let lines: Vec<&str> = script.lines().collect();
    let mut transcript = String::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        at += 1;
        if let Some(name) = line.strip_prefix("> ") {
            fs::write(folder.path().join(name), block(&lines, &mut at, "|")).unwrap();
        } else if let Some(command) = line.strip_prefix("$ rocd") {
            let stdin = block(&lines, &mut at, "<");
            transcript += &match way {
                Way::Inside => answer(line, &rocd(folder.path(), command, &stdin), folder.path()),
                Way::Served => {
                    let board = Board::serve(chip(line), &[]);
                    fs::rename(board.interface(folder.path()), folder.path().join(BOARD)).unwrap();
                    let told = answer(line, &rocd(folder.path(), command, &stdin), folder.path());
                    told.replace(&format!("{}/0", board.address), "USB path sim-0")
                }
                Way::Usb => {
                    fs::write(folder.path().join(BOARD), "driver = \"stlink\"\n").unwrap();
                    let told = answer(line, &rocd_in_guest(folder.path(), command, chip(line), &stdin), Path::new("/mnt"));
                    told.replace("USB path 1-1", "USB path sim-0")
                }
            };
        }
    }
    transcript
}

/// The lines from `at` on that start with `mark`, without it.
fn block(lines: &[&str], at: &mut usize, mark: &str) -> String {
    let mut text = String::new();
    while let Some(line) = lines.get(*at).and_then(|line| line.strip_prefix(mark)) {
        text += line.strip_prefix(' ').unwrap_or(line);
        text.push('\n');
        *at += 1;
    }
    text
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn rocd(folder: &Path, command: &str, stdin: &str) -> Output {
    let interface = std::env::var("ROCD_TEST_INTERFACE").unwrap_or(BOARD.to_string());
    let mut child = Command::new(env!("CARGO_BIN_EXE_rocd"))
        .args(words(&command.replace(BOARD, &interface)))
        .current_dir(folder)
        .env("HOME", folder)
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env_remove("ROCD_PATH")
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // rocd may leave before it has read everything: that is no fault of the transcript
    let _ = child.stdin.take().expect("stdin is piped").write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

#[cfg(unix)]
/// As `rocd`, in a guest in which a board of this chip is plugged in. The guest shares `folder` as /mnt.
fn rocd_in_guest(folder: &Path, command: &str, chip: &str, stdin: &str) -> Output {
    fs::write(folder.join(".stdin"), stdin).unwrap();
    let script = format!(
        "set -u; ROCD={}; . tests/usb-guest/board.sh; serve --vhci 0 --board {chip}; on_bus 1
        cd /mnt; export HOME=/mnt XDG_CONFIG_HOME=/mnt/config
        \"$ROCD\" {command} <.stdin >.stdout 2>.stderr; echo $? >.code",
        env!("CARGO_BIN_EXE_rocd")
    );
    fs::write(folder.join(".script"), script).unwrap();
    let guest = Command::new(GUEST).current_dir(repo("")).env("GUEST_RW", folder).args(["/bin/sh", "/mnt/.script"]).output().unwrap();
    assert!(guest.status.success(), "{}", String::from_utf8_lossy(&guest.stderr));
    let read = |name: &str| fs::read(folder.join(name)).unwrap();
    let code: i32 = String::from_utf8(read(".code")).unwrap().trim().parse().unwrap();
    Output { status: std::os::unix::process::ExitStatusExt::from_raw(code << 8), stdout: read(".stdout"), stderr: read(".stderr") }
}

/// Words as a shell splits them: blanks separate, `"…"` and `'…'` keep together, no escapes.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (vec![], None::<String>, None);
    for c in line.chars() {
        match (c, quote) {
            (c, Some(end)) if c == end => quote = None,
            ('"' | '\'', None) => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (' ', None) => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn answer(line: &str, output: &Output, folder: &Path) -> String {
    let mut text = format!("{line}\n");
    for out in steady(&output.stdout, folder).lines() {
        text += &format!("{out}\n");
    }
    for err in steady(&output.stderr, folder).lines().filter(|line| !is_progress(line)) {
        text += format!("! {err}").trim_end();
        text.push('\n');
    }
    let code = output.status.code().map_or("none, ended by a signal".to_string(), |code| code.to_string());
    text + &format!("exit {code}\n\n")
}

/// "erase: 1024 of 1024 KiB, 209 KiB/s", which only work that takes half a second shows.
fn is_progress(line: &str) -> bool {
    let rest = line.split_once(": ").map(|(_, rest)| rest.split(' ').collect::<Vec<_>>());
    rest.is_some_and(|words| matches!(words[..], [_, "of", _, "KiB,", _, "KiB/s" | "KiB/s,", ..]))
}

/// What stands between two texts, a number, and what it is shown as: how long things take is not what transcripts are about,
/// and differs on real hardware.
const MASKS: &[(&str, &str, &str)] =
    &[(" in ", "s", "TIME "), ("(", " KiB/s)", "SPEED"), ("\"seconds\":", ",", "0"), ("\"wall_seconds\":", "}", "0")];

/// Without what differs from run to run or from machine to machine: the folder's name and durations.
fn steady(bytes: &[u8], folder: &Path) -> String {
    let text = String::from_utf8_lossy(bytes).replace(&*folder.to_string_lossy(), "FOLDER");
    MASKS.iter().fold(text, |text, (before, after, shown)| mask(&text, before, after, shown))
}

fn mask(text: &str, before: &str, after: &str, shown: &str) -> String {
    let mut parts = text.split(before);
    let mut masked = parts.next().unwrap_or_default().to_string();
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit() || ".e-".contains(c));
        let number = rest.len() < part.len() && rest.starts_with(after);
        masked += &format!("{before}{}", if number { format!("{shown}{rest}") } else { part.to_string() });
    }
    masked
}

#[test]
fn only_numbers_in_their_place_are_masked() {
    let text = "wrote 320 bytes in 0.009533s (32.782 KiB/s), see (1 KiB/s less in sector 2) in seconds";
    let folder = Path::new("/nowhere");
    let expected = "wrote 320 bytes in TIME s (SPEED KiB/s), see (1 KiB/s less in sector 2) in seconds";
    assert_eq!(steady(text.as_bytes(), folder), expected);
    let json = br#"{"seconds":1.5e-3,"value":[1.5],"wall_seconds":0.25}"#;
    assert_eq!(steady(json, folder), r#"{"seconds":0,"value":[1.5],"wall_seconds":0}"#);
}
