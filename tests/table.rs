//! The command table tests itself: names, words, and every example on the embedded board.

use rocd::command::{BUILT_IN, Command, Commands};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Output, Stdio};

/// Words that Rhai 1.27 keeps for itself, or that its scripts could not call.
const RESERVED: &[&str] = &[
    "as",
    "async",
    "await",
    "break",
    "call",
    "case",
    "catch",
    "const",
    "continue",
    "curry",
    "debug",
    "default",
    "do",
    "else",
    "eval",
    "exit_now",
    "export",
    "false",
    "fn",
    "for",
    "Fn",
    "global",
    "go",
    "goto",
    "if",
    "import",
    "in",
    "is",
    "is_def_fn",
    "is_def_var",
    "is_shared",
    "let",
    "loop",
    "match",
    "module",
    "new",
    "nil",
    "null",
    "package",
    "print",
    "private",
    "protected",
    "public",
    "return",
    "shared",
    "spawn",
    "static",
    "super",
    "switch",
    "sync",
    "this",
    "thread",
    "throw",
    "true",
    "try",
    "type_of",
    "unless",
    "until",
    "use",
    "var",
    "void",
    "while",
    "with",
    "yield",
];

/// What must be said before the board is made, or is a server instead of it.
const WITHOUT_FIRMWARE: &[&str] = &["otp read", "sim chip", "sim probe", "sim serve"];

const FIRMWARE: &str = "program tests/firmware/blinky-h743.elf";

fn rows() -> impl Iterator<Item = &'static Command> {
    BUILT_IN.iter().copied().flatten()
}

#[test]
fn every_usage_line_is_a_grammar() {
    let commands = Commands::built_in().unwrap();
    assert_eq!(commands.iter().count(), rows().count(), "two commands share a name");
}

#[test]
fn every_name_can_be_called_from_a_script() {
    let commands = Commands::built_in().unwrap();
    let mut seen = BTreeSet::new();
    for entry in commands.iter() {
        let function = entry.spec.function();
        let mut letters = function.chars();
        assert!(letters.next().is_some_and(|first| first.is_ascii_lowercase()), "{function}");
        assert!(letters.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_'), "{function}");
        assert!(!RESERVED.contains(&function.as_str()), "`{function}` is a word of Rhai");
        assert!(seen.insert(function.clone()), "`{function}` is the name of two commands");
    }
}

#[test]
fn every_command_has_one_line_of_help_and_an_example_of_itself() {
    for entry in Commands::built_in().unwrap().iter() {
        let (name, help, example) = (entry.name(), &entry.help, &entry.example);
        assert!(!help.is_empty() && !help.contains('\n') && !help.ends_with('.'), "{name}: {help:?}");
        assert!(example.split("; ").any(|line| line == name || line.starts_with(&format!("{name} "))), "{name}: {example:?}");
    }
}

#[test]
fn every_example_runs_on_the_embedded_board() {
    let entries = Commands::built_in().unwrap();
    let examples: Vec<(String, String)> = entries.iter().map(|entry| (entry.name().to_string(), entry.example.clone())).collect();
    let (left, right) = examples.split_at(examples.len() / 2);
    let wrong = std::thread::scope(|scope| {
        let other = scope.spawn(|| failures(right));
        [failures(left), other.join().unwrap()].concat()
    });
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

fn failures(examples: &[(String, String)]) -> Vec<String> {
    examples.iter().filter_map(|(name, example)| failure(name, example)).collect()
}

fn failure(name: &str, example: &str) -> Option<String> {
    let output = run(name, example);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = format!("{}{}", text(&output.stdout), text(&output.stderr));
    (!output.status.success()).then(|| format!("{name}: `{example}` ended with {}\n{said}", output.status))
}

/// In a folder of its own, where an example may write; what serves is told to leave.
fn run(name: &str, example: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let wanted = [FIRMWARE, example].join(" ");
    for files in ["tests/firmware", "tests/cpu"].into_iter().filter(|files| wanted.contains(files)) {
        let copies = folder.path().join(files);
        std::fs::create_dir_all(&copies).unwrap();
        for entry in std::fs::read_dir(root.join(files)).unwrap().map(|entry| entry.unwrap()) {
            if entry.file_type().unwrap().is_file() {
                std::fs::copy(entry.path(), copies.join(entry.file_name())).unwrap();
            }
        }
    }
    let mut rocd = std::process::Command::new(env!("CARGO_BIN_EXE_rocd"));
    rocd.args(["-f", "interfaces/sim.toml", "-f", "targets/stm32h7.toml"]);
    if !WITHOUT_FIRMWARE.contains(&name) {
        rocd.args(["-c", FIRMWARE]);
    }
    let leave = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(leave.path(), "shutdown\n").unwrap();
    // a gdb that has nothing to say
    rocd.env("ROCD_GDB", "true");
    rocd.args(["-c", example]).current_dir(folder.path()).stdin(Stdio::from(leave.reopen().unwrap()));
    rocd.output().unwrap()
}
