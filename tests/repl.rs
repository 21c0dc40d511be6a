//! The prompt, driven through a pty as a person would.
#![cfg(unix)]

use rexpect::session::{PtySession, spawn_command};
use std::fs;
use std::path::Path;
use std::process::Command;

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
    type_line(&mut repl, "STM32H742/743/753> ", "print(mark(0x20000000) + 1)");
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
    repl.exp_string("STM32H742/743/753> ").unwrap();
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
    repl.exp_string("STM32H742/743/753> ").unwrap();
    repl.process_mut().signal(rexpect::process::Signal::SIGTERM).unwrap();
    repl.exp_string("is left halted at 0x").unwrap();
    repl.exp_eof().unwrap();
    assert_eq!(exit_code(&repl), 143);
}

#[test]
fn rocd_alone_shows_a_short_usage() {
    let home = tempfile::tempdir().unwrap();
    let mut repl = rocd(home.path(), &[]);
    let text = repl.exp_eof().unwrap();
    assert!(text.contains("rocd -f INTERFACE -f TARGET -c COMMAND") && text.lines().count() < 10, "{text}");
    assert_eq!(exit_code(&repl), 0);
}
