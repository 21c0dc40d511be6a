//! rocd in a terminal, as an SVG: a pty is read until it is quiet, vt100 makes a screen of it, each cell becomes text.

use rexpect::process::PtyProcess;
use std::fmt::Write as _;
use std::io::{Read, Write};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

const COLUMNS: u16 = 104;
const ROWS: u16 = 48;
/// A prompt behind which nothing moves for so long is the one that waits.
const QUIET: Duration = Duration::from_millis(150);
/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of a character, in the picture's units.
const WIDTH: f32 = 8.4;
const HEIGHT: usize = 19;
const PROMPT: &str = "$ ";

/// The screen after `rocd args`, and after these lines were typed at its prompt.
pub fn of(folder: &Path, args: &[&str], lines: &[&str]) -> String {
    let mut command = Command::new("sh");
    let start = format!("stty cols {COLUMNS} rows {ROWS}; exec \"$0\" \"$@\"");
    command.args(["-c", &start, env!("CARGO_BIN_EXE_rocd")]).args(args).current_dir(folder);
    command.env("HOME", folder).env("XDG_STATE_HOME", folder).env("XDG_CONFIG_HOME", folder).env("TERM", "xterm-256color");
    command.env_remove("ROCD_PATH").env_remove("NO_COLOR");
    let process = PtyProcess::new(command).unwrap();
    let mut terminal = process.get_file_handle().unwrap();
    let heard = listen(process.get_file_handle().unwrap());
    let mut screen = vt100::Parser::new(ROWS.try_into().unwrap(), COLUMNS.try_into().unwrap(), 0);
    screen.process(format!("{PROMPT}rocd {}\r\n", args.join(" ")).as_bytes());
    for line in lines {
        settle(&heard, &mut screen);
        terminal.write_all(format!("{line}\r").as_bytes()).unwrap();
    }
    settle(&heard, &mut screen);
    if !lines.is_empty() {
        terminal.write_all(b"\x04").unwrap();
    }
    svg(screen.screen())
}

/// Take in what comes until the prompt waits, or rocd is gone.
fn settle(heard: &Receiver<Vec<u8>>, screen: &mut vt100::Parser) {
    let mut wait = PATIENCE;
    loop {
        match heard.recv_timeout(wait) {
            Ok(bytes) => screen.process(&bytes),
            Err(_) => return,
        }
        let (row, column) = screen.screen().cursor_position();
        let line = screen.screen().contents_between(row, 0, row, column);
        wait = if line.ends_with("> ") { QUIET } else { PATIENCE };
    }
}

fn listen(mut terminal: std::fs::File) -> Receiver<Vec<u8>> {
    let (says, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = terminal.read(&mut buffer) {
            if says.send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    heard
}

fn svg(screen: &vt100::Screen) -> String {
    let rows: Vec<Vec<(String, String)>> = (0..ROWS).map(|row| runs(screen, row)).collect();
    let used = rows.iter().rposition(|row| !row.is_empty()).map_or(0, |last| last + 1);
    let (width, height) = (f32::from(COLUMNS) * WIDTH + 24.0, used * HEIGHT + 24);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width:.0}\" height=\"{height}\" font-family=\"monospace\" font-size=\"14\">\n\
         <rect width=\"100%\" height=\"100%\" rx=\"6\" fill=\"#1d2128\"/>\n"
    );
    for (row, runs) in rows.iter().enumerate().filter(|(_, runs)| !runs.is_empty()) {
        let y = 12 + (row + 1) * HEIGHT - 5;
        let _ = write!(out, "<text x=\"12\" y=\"{y}\" xml:space=\"preserve\">");
        for (style, text) in runs {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
            let _ = write!(out, "<tspan {style}>{escaped}</tspan>");
        }
        out += "</text>\n";
    }
    out + "</svg>\n"
}

/// A row as pieces of one style each, without blanks at its end.
fn runs(screen: &vt100::Screen, row: u16) -> Vec<(String, String)> {
    let cells = (0..COLUMNS).filter_map(|column| screen.cell(row, column)).filter(|cell| !cell.is_wide_continuation());
    let mut runs: Vec<(String, String)> = Vec::new();
    for cell in cells {
        let text = if cell.has_contents() { cell.contents() } else { " " };
        match runs.last_mut() {
            Some((style, run)) if *style == self::style(cell) => run.push_str(text),
            _ => runs.push((style(cell), text.to_string())),
        }
    }
    while let Some((_, text)) = runs.last_mut() {
        text.truncate(text.trim_end().len());
        if !text.is_empty() {
            break;
        }
        runs.pop();
    }
    runs
}

fn style(cell: &vt100::Cell) -> String {
    /// The eight colours of ECMA-48, on a dark ground.
    const COLOURS: [&str; 8] = ["#5c6370", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#dcdfe4"];
    let colour = match cell.fgcolor() {
        vt100::Color::Idx(index) => COLOURS[usize::from(index) % 8].to_string(),
        vt100::Color::Rgb(red, green, blue) => format!("#{red:02x}{green:02x}{blue:02x}"),
        vt100::Color::Default => COLOURS[7].to_string(),
    };
    let weight = if cell.bold() { " font-weight=\"bold\"" } else { "" };
    format!("fill=\"{colour}\"{weight}")
}
