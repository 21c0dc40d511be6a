//! The prompt, driven through a pty as a person would.
#![cfg(unix)]

use rexpect::process::PtyProcess;
use rexpect::session::{PtySession, spawn_command};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

const PATIENCE_MS: u64 = 20_000;

fn rocd(home: &Path, args: &[&str]) -> PtySession {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocd"));
    command.args(args).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("ROCD_PATH");
    command
        .env("HOME", home)
        .env("XDG_STATE_HOME", home.join("state"))
        .env("XDG_CONFIG_HOME", home.join("config"))
        .env("NO_COLOR", "1")
        .env("TERM", "xterm");
    spawn_command(command, Some(PATIENCE_MS)).unwrap()
}

/// A terminal with a prompt in it, of which one sees what a person would.
struct Screen {
    terminal: Arc<Mutex<vt100::Parser>>,
    keys: File,
    _process: PtyProcess,
}

impl Screen {
    fn new(home: &Path, columns: u16) -> Screen {
        const ROWS: u16 = 200;
        let mut command = Command::new("sh");
        let run = format!("stty cols {columns} rows {ROWS}; exec \"$0\" -f sim -f stm32h7");
        command.args(["-c", &run, env!("CARGO_BIN_EXE_rocd")]).current_dir(env!("CARGO_MANIFEST_DIR")).env_remove("ROCD_PATH");
        command.env("HOME", home).env("XDG_STATE_HOME", home.join("state")).env("XDG_CONFIG_HOME", home.join("config"));
        let process = PtyProcess::new({
            command.env("TERM", "xterm").env_remove("NO_COLOR");
            command
        });
        let process = process.unwrap();
        let (keys, mut output) = (process.get_file_handle().unwrap(), process.get_file_handle().unwrap());
        let size = |count| std::num::NonZero::new(count).unwrap();
        let terminal = Arc::new(Mutex::new(vt100::Parser::new(size(ROWS), size(columns), 0)));
        let shown = terminal.clone();
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shown.lock().unwrap().process(&bytes[..count]);
            }
        });
        Screen { terminal, keys, _process: process }
    }

    fn text(&self) -> String {
        let contents = self.terminal.lock().unwrap().screen().contents();
        contents.lines().map(|line| line.trim_end().to_string() + "\n").collect()
    }

    /// Type, and wait until the screen ends so (`¦`: or so, where the chip may have been quicker).
    fn step(&mut self, keys: &str, end: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
        let began = Instant::now();
        while !end.split('¦').any(|end| self.text().trim_end().ends_with(end)) {
            assert!(
                began.elapsed() < Duration::from_millis(PATIENCE_MS),
                "after {keys:?} there is no {end:?} at the end of:\n{}",
                self.text()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Numbers with a point are times and speeds.
    fn steady(&self) -> String {
        let number = |word: &str| word.contains('.') && word.trim_matches(['(', 's']).parse::<f64>().is_ok();
        self.text()
            .split_inclusive([' ', '\n'])
            .map(|word| if number(word.trim_end()) { word.replace(|c: char| c.is_ascii_digit(), "") } else { word.into() })
            .collect()
    }
}

/// Wait for the prompt, then type.
fn type_line(repl: &mut PtySession, prompt: &str, line: &str) {
    repl.exp_string(prompt).unwrap();
    repl.send_line(line).unwrap();
}

fn exit_code(repl: &PtySession) -> i32 {
    match repl.process().wait().unwrap() {
        rexpect::process::WaitStatus::Exited(_, code) => code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_users_command_runs_at_the_prompt() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("lab.rhai");
    fs::write(
        &file,
        "command(\"mark <addr> [<value:num>]\", \"Write a mark\", |a| { mww(a.addr, a.value ?? 7); read_memory(a.addr, 32, 1)[0] });",
    )
    .unwrap();
    let mut repl = rocd(home.path(), &["-f", "sim", "-f", "stm32h7", "-f", file.to_str().unwrap()]);
    type_line(&mut repl, "rocd> ", "mark 0x20000000 41");
    repl.exp_string("\r\n41\r\n").unwrap();
    // Attached now, so the prompt names the chip.
    type_line(&mut repl, "STM32H742/743/753 locked up> ", "print(mark(0x20000000) + 1)");
    repl.exp_string("\r\n8\r\n").unwrap();
    type_line(&mut repl, "> ", "mark nowhere");
    repl.exp_string("error: mark: `nowhere` is not an address").unwrap();
    type_line(&mut repl, "> ", "exit 3");
    repl.exp_eof().unwrap();
    assert_eq!(exit_code(&repl), 3);
}

#[test]
fn an_unfinished_text_goes_on_and_ctrl_c_and_ctrl_d_do_what_they_should() {
    let home = tempfile::tempdir().unwrap();
    let mut repl = rocd(home.path(), &["-f", "sim"]);
    type_line(&mut repl, "rocd> ", "fn add(a, b) {");
    repl.send_line("a + b }").unwrap();
    type_line(&mut repl, "rocd> ", "print(add(20, 3))");
    repl.exp_string("\r\n23\r\n").unwrap();
    // Ctrl-C clears the line …
    repl.exp_string("rocd> ").unwrap();
    repl.send("nosuch command").unwrap();
    repl.flush().unwrap();
    repl.exp_string("nosuch command").unwrap();
    repl.send_control('c').unwrap();
    repl.flush().unwrap();
    // … and ends what runs.
    type_line(&mut repl, "rocd> ", "print(\"on it\"); loop { }");
    repl.exp_string("\r\non it\r\n").unwrap();
    repl.send_control('c').unwrap();
    repl.flush().unwrap();
    repl.exp_string("error: interrupted").unwrap();
    type_line(&mut repl, "rocd> ", "echo still here");
    repl.exp_string("\r\nstill here\r\n").unwrap();
    repl.exp_string("rocd> ").unwrap();
    repl.send_control('d').unwrap();
    repl.flush().unwrap();
    repl.exp_eof().unwrap();
    assert_eq!(exit_code(&repl), 0);
}

#[test]
fn the_board_lives_while_the_prompt_waits() {
    let home = tempfile::tempdir().unwrap();
    let mut repl = rocd(home.path(), &["-f", "sim", "-f", "stm32h7"]);
    type_line(&mut repl, "rocd> ", "program tests/firmware/blinky-h743.elf reset");
    repl.exp_string("reset: the core was started").unwrap();
    repl.exp_string("STM32H742/743/753 sleeping> ").unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1200));
    repl.send_line("leds").unwrap();
    // Four changes in 1.2 s; more on a machine that was slow to send the line.
    repl.exp_regex("LD1 PB0 (on|off) edges=([4-9]|[0-9]{2,}) period=500ms").unwrap();
    repl.send_control('d').unwrap();
    repl.flush().unwrap();
    repl.exp_eof().unwrap();
}

#[test]
fn tab_completes_and_the_history_outlives_the_run() {
    let home = tempfile::tempdir().unwrap();
    let mut repl = rocd(home.path(), &["-f", "sim"]);
    repl.exp_string("rocd> ").unwrap();
    repl.send("shutd\t").unwrap();
    repl.flush().unwrap();
    repl.exp_string("shutdown ").unwrap();
    repl.send_control('u').unwrap();
    repl.flush().unwrap();
    repl.send_line("echo remember me").unwrap();
    repl.exp_string("\r\nremember me\r\n").unwrap();
    repl.exp_string("rocd> ").unwrap();
    repl.send_line("exit").unwrap();
    repl.exp_eof().unwrap();
    assert!(fs::read_to_string(home.path().join("state/rocd/history")).unwrap().contains("echo remember me"));
    let mut repl = rocd(home.path(), &["-f", "sim"]);
    repl.exp_string("rocd> ").unwrap();
    repl.send("\x1b[A\x1b[A").unwrap();
    repl.flush().unwrap();
    repl.exp_string("echo remember me").unwrap();
    repl.send_line("").unwrap();
    repl.exp_string("\r\nremember me\r\n").unwrap();
}

#[test]
fn a_signal_at_the_prompt_leaves_in_order() {
    let home = tempfile::tempdir().unwrap();
    let mut repl = rocd(home.path(), &["-f", "sim", "-f", "stm32h7"]);
    type_line(&mut repl, "rocd> ", "halt");
    repl.exp_string("STM32H742/743/753 halted 0x").unwrap();
    repl.process_mut().signal(rexpect::process::Signal::SIGTERM).unwrap();
    repl.exp_string("is left halted at 0x").unwrap();
    repl.exp_eof().unwrap();
    assert_eq!(exit_code(&repl), 143);
}

#[test]
fn ten_megabytes_pasted_are_refused_in_words_and_a_half_typed_line_runs_nothing() {
    let home = tempfile::tempdir().unwrap();
    let mut repl = rocd(home.path(), &["-f", "sim", "-f", "stm32h7"]);
    repl.exp_string("rocd> ").unwrap();
    repl.send_line(&format!("\x1b[200~echo {}\x1b[201~", "a".repeat(10_000_000 - 5))).unwrap();
    repl.exp_string("error: this text has 10000000 bytes, and a prompt takes 1048576 at most").unwrap();
    repl.exp_string("`script FILE` runs a file").unwrap();
    type_line(&mut repl, "rocd> ", "mww 0x20000000 5; mdw 0x20000000");
    repl.exp_string("0x20000000: 00000005").unwrap();
    repl.exp_string("> ").unwrap();
    // The terminal goes away in the middle of a word.
    repl.send("echo never run").unwrap();
    repl.flush().unwrap();
    repl.exp_string("echo n").unwrap();
    repl.process_mut().signal(rexpect::process::Signal::SIGHUP).unwrap();
    let rest = repl.exp_eof().unwrap();
    assert!(!rest.contains("\nnever run"), "{rest}");
    assert_eq!(exit_code(&repl), 129);
}

#[test]
fn rocd_alone_shows_a_short_usage() {
    let home = tempfile::tempdir().unwrap();
    let mut repl = rocd(home.path(), &[]);
    let text = repl.exp_eof().unwrap();
    assert!(text.contains("rocd -f INTERFACE -f TARGET -c COMMAND") && text.lines().count() < 10, "{text}");
    assert_eq!(exit_code(&repl), 0);
}

/// What is typed, and how the screen ends then. `\x03` is Ctrl-C, `\x12` Ctrl-R, `\x1b[A` the arrow up.
const SESSION: &[(&str, &str)] = &[
    ("", "rocd>"),
    ("shutd\t", "rocd> shutdown [error]"),
    ("\x03", "rocd>"),
    ("flash \t\t", "rocd> flash"),
    ("ban\t", "rocd> flash banks"),
    ("\x15reset", "rocd> reset [run|halt|init]"),
    ("\x15help reset\r", "in Rhai:  reset(…)\nrocd>"),
    ("help lines\r", "command, and never Rhai.\nrocd>"),
    ("flsh banks\r", "lists the commands\nrocd>"),
    ("sim chip stm32g07\t", "rocd> sim chip stm32g071"),
    ("\x03", "rocd>"),
    ("script tests/scr\t", "script tests/scripts.rs"),
    ("\x03", "scripts.rs\nrocd>"),
    ("program tests/firmware/blinky-h\t", "blinky-h74"),
    ("3.elf reset\r", "STM32H742/743/753 sleeping>"),
    ("halt\r", "STM32H742/743/753 halted main+0x38>"),
    ("reg contr\t", "halted main+0x38> reg control [<value>]"),
    ("\r", "control (/3): 0x0\nSTM32H742/743/753 halted main+0x38>"),
    ("mdw half_p\t\r", "0x20000000: 000000fa\nSTM32H742/743/753 halted main+0x38>"),
    ("watch half_p\t20 2\r", "half_period_ms: 0x000000fa\nSTM32H742/743/753 halted main+0x38>"),
    ("symbol SysT\t\r", "SysTick_Handler (blinky.c:16): function at 0x080000b4, 56 bytes\nSTM32H742/743/753 halted main+0x38>"),
    ("mdw half_period_ms many\r", "[<n:num>] [ascii]\nSTM32H742/743/753 halted main+0x38>"),
    ("fn twice(n) {\r", "halted main+0x38> fn twice(n) {\n...>"),
    ("n * 2\r", "...> n * 2\n...>"),
    ("}\r", "...> }\nSTM32H742/743/753 halted main+0x38>"),
    ("\x1b[200~let a = twice(4);\nlet b = a + 1;\nprint(b)\x1b[201~", "print(b)"),
    ("\r", "print(b)\n9\nSTM32H742/743/753 halted main+0x38>"),
    ("print(twice(\r", "...>"),
    ("\x03", "...>\nSTM32H742/743/753 halted main+0x38>"),
    ("print(\"on it\"); loop { }\r", "on it"),
    ("\x03", "interrupted\nSTM32H742/743/753 halted main+0x38>"),
    // The LED's change is 250 ms away: the line is half typed by then.
    ("bp 0x080000c6 2\r", "halted main+0x38>"),
    ("resume\r", "STM32H742/743/753 sleeping>¦   halted>"),
    ("mdw 0x2000", "breakpoint at SysTick_Handler+0x12 (blinky.c:18)\n                    halted> mdw 0x2000"),
    ("0000 1\r", "STM32H742/743/753 halted SysTick_Handler+0x12>"),
    // A loop in RAM that then resets the chip.
    ("rbp all; write_memory 0x20000000 32 {0x38014803 0x4903d1fd 0x600a4a03 0xbf00e7fe 3000000 0xe000ed0c 0x05fa0004}\r", "+0x12>"),
    ("resume 0x20000000\r", "STM32H742/743/753 running>¦    sleeping>"),
    ("echo st", "was reset\n                 sleeping> echo st"),
    ("ill here\r", "still here\nSTM32H742/743/753 sleeping>"),
    ("sim inject unplug after 20\r", "STM32H742/743/753 sleeping>¦   unplugged>"),
    ("echo no", "unplugged> echo no"),
    ("w\r", "now\nSTM32H742/743/753 unplugged>"),
    ("halt\r", "reconnect\nSTM32H742/743/753 unplugged>"),
    ("sim plug; connect\r", "STM32H742/743/753 sleeping>"),
    ("\x12ill h", "`ill h': echo still here"),
    ("\r", "still here\nSTM32H742/743/753 sleeping>"),
];

#[test]
fn a_long_session_looks_as_it_should() {
    let home = tempfile::tempdir().unwrap();
    let mut screen = Screen::new(home.path(), 100);
    for (keys, end) in SESSION {
        screen.step(keys, end);
    }
    let seen = screen.steady();
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("repl.screen");
    fs::write(&kept, &seen).unwrap();
    assert_eq!(seen, include_str!("repl.screen"), "it is in {}", kept.display());
    screen.step("\x04", "sleeping>");
    // The history is there again, in a narrow terminal that has room for less of the state.
    let mut screen = Screen::new(home.path(), 20);
    screen.step("", "rocd>");
    screen.step("\x1b[A\x1b[A", "rocd> sim plug; connect [under_reset|no");
    // What is typed together with Ctrl-C goes with the line.
    screen.step("\x03", "no\nrocd>");
    screen.step("halt\r", "halted>");
    screen.step("mdw 0x08000000 12", "halted> mdw 0x08000000 12");
    screen.step("\x03", "12\nhalted>");
    // There is no program: the flash is blank.
    screen.step("resume\r", "locked up>");
}

/// Line by line, above the line that is being typed.
#[test]
fn what_the_program_says_goes_above_the_prompt() {
    let home = tempfile::tempdir().unwrap();
    let mut repl = rocd(home.path(), &["-f", "sim", "-f", "stm32g0"]);
    type_line(&mut repl, "> ", "program tests/firmware/semihosting-g071.elf; arm semihosting enable; arm semihosting_cmdline x ticks");
    type_line(&mut repl, "halted ", "reset run");
    repl.exp_string("tick 00000000\r\n").unwrap();
    repl.exp_string("tick 00000001\r\n").unwrap();
    repl.exp_string("running> ").unwrap();
    repl.send_line("arm semihosting_cmdline x code 3; reset run").unwrap();
    repl.exp_string("the program ended with exit code 3").unwrap();
    repl.send_line("exit").unwrap();
    repl.exp_eof().unwrap();
    assert_eq!(exit_code(&repl), 0);
}
