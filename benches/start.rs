//! What the host itself takes: `cargo bench --bench start` prints Markdown, each figure the median of several runs beside its goal.
//!
//! The first transaction is seen by a go-between: rocd asks a served board (`rocd sim serve`) through a port of ours, and the
//! first transfer to the probe that comes by stops the watch. On USB, finding the probe takes the place of asking the server.

#[path = "../tests/served/mod.rs"]
mod served;

use served::Board;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

const ROCD: &str = env!("CARGO_BIN_EXE_rocd");
const SMALL: [&str; 6] = ["-f", "sim", "-f", "stm32g0", "-c", "program tests/firmware/dense-64k-g071.elf verify reset"];
const RUNS: usize = 15;
/// A transfer, in the first byte of a request to the server (src/tcp.rs).
const TRANSFER: u8 = 0x05;

fn main() {
    let folder = tempfile::tempdir().expect("a folder for files");
    let large = folder.path().join("large.bin");
    std::fs::write(&large, noise(2 << 20)).expect("the folder can be written");
    let board = Board::serve("stm32h743,v2", &[]);
    let interface = board.interface(folder.path());
    println!("| what | median | slowest | goal | |\n|---|---|---|---|---|");
    row("start to the first transaction", "ms", 20.0, || first_transaction(&board.address, folder.path()));
    row("`rocd --version`", "ms", 10.0, || whole(&["--version"]));
    row("the whole process: 64 KiB written, verified, started, board inside", "ms", 300.0, || whole(&SMALL));
    row("peak memory: 2 MiB written and verified, board elsewhere", "MiB", 40.0, || peak(&interface, &large));
    row("peak memory: the same, board inside", "MiB", 40.0, || peak(Path::new("sim"), &large));
    board.shutdown();
}

fn row(what: &str, unit: &str, goal: f64, measure: impl Fn() -> f64) {
    let mut found: Vec<f64> = (0..RUNS).map(|_| measure()).collect();
    found.sort_by(f64::total_cmp);
    let (median, slowest) = (found[RUNS / 2], found[RUNS - 1]);
    let verdict = if median <= goal { "met" } else { "missed" };
    println!("| {what} | {median:.1} {unit} | {slowest:.1} {unit} | {goal:.0} {unit} | {verdict} |");
}

/// No byte is blank, no sector like another.
fn noise(len: u32) -> Vec<u8> {
    (0..len).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

fn program(image: &Path) -> String {
    format!("program {} 0x08000000 bin verify", image.display())
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn whole(args: &[impl AsRef<std::ffi::OsStr>]) -> f64 {
    let began = Instant::now();
    let output = Command::new(ROCD).args(args).current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).output().expect("rocd starts");
    let took = ms(began);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    took
}

fn first_transaction(server: &str, folder: &Path) -> f64 {
    let between = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = between.local_addr().expect("it is bound");
    let file = folder.join("between.toml");
    std::fs::write(&file, format!("driver = \"stlink\"\ntransport = \"tcp\"\naddress = \"{address}\"\n"))
        .expect("the folder can be written");
    let (seen, first) = channel();
    let server = server.to_string();
    // One connection to look for the probe, one to use it.
    std::thread::spawn(move || between.incoming().take(2).flatten().for_each(|client| pass(client, &server, &seen)));
    let began = Instant::now();
    let rocd = Command::new(ROCD).arg("-f").arg(&file).args(["-f", "stm32h7", "-c", "targets"]).output().expect("rocd starts");
    assert!(rocd.status.success(), "{}", String::from_utf8_lossy(&rocd.stderr));
    let first: Instant = first.recv_timeout(Duration::from_secs(1)).expect("rocd used the probe");
    (first - began).as_secs_f64() * 1e3
}

/// Hand on both ways, and say when the first transfer came.
fn pass(mut client: TcpStream, server: &str, seen: &Sender<Instant>) {
    let mut server = TcpStream::connect(server).expect("the server takes connections");
    for stream in [&client, &server] {
        stream.set_nodelay(true).expect("a connected socket");
    }
    let (mut answers, mut back) = (server.try_clone().expect("a socket"), client.try_clone().expect("a socket"));
    let seen = seen.clone();
    std::thread::spawn(move || std::io::copy(&mut answers, &mut back));
    std::thread::spawn(move || {
        let mut bytes = [0; 16 << 10];
        while let Ok(count @ 1..) = client.read(&mut bytes) {
            if bytes[0] == TRANSFER {
                let _ = seen.send(Instant::now());
            }
            if server.write_all(&bytes[..count]).is_err() {
                return;
            }
        }
        let _ = server.shutdown(std::net::Shutdown::Both);
    });
}

/// MiB that the process has had at most when all is done: it is asked while rocd waits for another line.
fn peak(interface: &Path, image: &Path) -> f64 {
    let mut rocd = Command::new(ROCD);
    rocd.arg("-q").arg("-f").arg(interface).args(["-f", "stm32h7"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut rocd = rocd.spawn().expect("rocd starts");
    let (mut lines, answers) = (rocd.stdin.take().expect("a pipe"), rocd.stdout.take().expect("a pipe"));
    writeln!(lines, "{}\necho done", program(image)).expect("rocd reads lines");
    let done = BufReader::new(answers).lines().map_while(Result::ok).any(|line| line == "done");
    let status = std::fs::read_to_string(format!("/proc/{}/status", rocd.id())).expect("Linux");
    drop(lines);
    assert!(rocd.wait().is_ok_and(|status| status.success()) && done, "rocd failed");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.split_whitespace().next()?.parse::<f64>().ok());
    peak.expect("VmHWM is a line of /proc/PID/status (proc(5))") / 1024.0
}
