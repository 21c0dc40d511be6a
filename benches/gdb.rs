//! What a user of gdb waits for: `cargo bench --bench gdb` prints Markdown. Transfers are ST-Link commands, each with its data phase
//! one round trip over USB, counted in the log of rocd under a real gdb-multiarch; `load` is of a paced board, whose seconds are
//! the chip's and the probe's.

#[path = "../tests/served/mod.rs"]
mod served;
#[path = "../tests/serving/mod.rs"]
mod serving;

use served::{Board, gdb};
use serving::{Packets, Rocd, steps};
use std::time::{Duration, Instant};

const RUNS: usize = 100;
const CHIPS: [(&str, &str, &str); 2] =
    [("H743", "stm32h7", "tests/firmware/calls-o0-h743.elf"), ("G071", "stm32g0", "tests/firmware/calls-o0-g071.elf")];

fn main() {
    println!("| what | median | most | goal | |\n|---|---|---|---|---|");
    for (chip, target, elf) in CHIPS {
        let blinky = elf.replace("calls-o0", "blinky");
        let rocd = Rocd::after(target, &[&format!("program {blinky} reset")], &["gdb", "0"]);
        let mut gdb = Packets::to(rocd.address("gdb"));
        gdb.ask("?");
        row(&format!("{chip}: Ctrl-C to the stop"), "ms", 100.0, (0..RUNS).map(|n| ctrl_c(&mut gdb, n)).collect());
        rocd.leave();
    }
    if !served::verdict::there("gdb-multiarch") {
        return println!("\ngdb-multiarch is not installed: no steps, no load");
    }
    for (chip, target, elf) in CHIPS {
        for probe in ["v2", "v3"] {
            let count = |what: &str, goal: f64, lines: &[&str]| {
                let counts = transfers(target, probe, elf, lines).into_iter().map(|(transfers, _)| transfers as f64).collect();
                row(&format!("{chip} on {probe}: transfers of {what}"), "", goal, counts);
            };
            count("`stepi`", 4.0, &[&["tbreak fibonacci", "continue"][..], &["stepi"; 60]].concat());
            let points = ["hbreak SysTick_Handler", "watch result", "tbreak fibonacci", "continue"];
            count("`stepi` with a breakpoint and a watchpoint", 4.0, &[&points[..], &["stepi"; 60]].concat());
            let lines = [&["tbreak fibonacci", "continue"][..], &["step"; 30]].concat();
            let each = transfers(target, probe, elf, &lines).into_iter().map(|(transfers, n)| (transfers as f64 - 2.0) / n as f64);
            row(&format!("{chip} on {probe}: transfers of each instruction of a `step`, and 2 at its end"), "", 2.0, each.collect());
        }
    }
    for (probe, goal) in [("v2", 3.0), ("v3", 3.0)] {
        row(&format!("H743 on {probe}: `load` of 200 KiB"), "s", goal, vec![load(probe)]);
    }
}

fn row(what: &str, unit: &str, goal: f64, mut found: Vec<f64>) {
    found.sort_by(f64::total_cmp);
    let (median, most) = (found[found.len() / 2], found[found.len() - 1]);
    let verdict = if median <= goal { "met" } else { "missed" };
    println!("| {what} | {median:.1} {unit} | {most:.1} {unit} | {goal:.0} {unit} | {verdict} |");
}

/// Milliseconds from the byte to the whole stop packet, at different times of the server's own rounds.
fn ctrl_c(gdb: &mut Packets, n: usize) -> f64 {
    gdb.send("vCont;c");
    gdb.line.until("+");
    std::thread::sleep(Duration::from_millis(20 + n as u64 % 17));
    let began = Instant::now();
    gdb.line.send("\x03");
    let stopped = gdb.reply();
    let took = began.elapsed();
    assert!(stopped.starts_with("T02"), "{stopped}");
    took.as_secs_f64() * 1e3
}

fn transfers(target: &str, probe: &str, elf: &str, lines: &[&str]) -> Vec<(usize, usize)> {
    let log = tempfile::NamedTempFile::new().expect("a file for the log");
    let options = ["-d3", "-l", log.path().to_str().expect("its name is UTF-8")];
    let rocd = Rocd::with(&options, target, &[&format!("sim probe {probe}")], &["gdb", "0"]);
    gdb::run(elf, rocd.address("gdb"), &[&["load"][..], lines].concat());
    rocd.leave();
    steps(&std::fs::read_to_string(log.path()).expect("rocd wrote its log"))
}

fn load(probe: &str) -> f64 {
    let board = Board::serve(&format!("stm32h743,{probe}"), &["--paced"]);
    let folder = tempfile::tempdir().expect("a folder for files");
    let interface = board.interface(folder.path());
    let server = format!("| {} -q -f {} -f stm32h7 serve gdb pipe", env!("CARGO_BIN_EXE_rocd"), interface.display());
    let python = "python import time; began = time.time()";
    let lines = [python, "load", "python print('took', time.time() - began)"];
    let said = gdb::run("tests/firmware/dense-200k-h743.elf", &server, &lines);
    board.shutdown();
    said.lines().find_map(|line| line.strip_prefix("took ")?.parse().ok()).expect("gdb said how long it took")
}
