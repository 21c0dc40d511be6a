//! Debug hosts side by side: the same jobs by rocd and by OpenOCD on the same served board, timed by a stopwatch.
//!
//! `cargo bench --bench peers` prints Markdown: seconds of the whole process, commands that its probe was given, bytes both
//! ways. The board is paced, so a second is a second of the chip's and the probe's; each tool is used as its own manual
//! says, with its own choice of clocks. One board process serves all. What flash holds afterwards is compared by the
//! board's own door. OpenOCD is left out, and named, where it is not installed.

#[path = "../tests/served/mod.rs"]
mod served;

use served::{Board, DAP, HLA, Way, finish, there};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

const FLASH: u32 = 0x0800_0000;
const PATIENCE: Duration = Duration::from_secs(300);

/// The boards of the one process, in the order of `sim board N`.
const BOARDS: [Place; 4] = [
    Place { board: "stm32h743,v2", chip: &H743, probe: "V2" },
    Place { board: "stm32h743,v3", chip: &H743, probe: "V3" },
    Place { board: "stm32g071,v2", chip: &G071, probe: "V2" },
    Place { board: "stm32g071,v3", chip: &G071, probe: "V3" },
];

struct Place {
    board: &'static str,
    chip: &'static Chip,
    probe: &'static str,
}

struct Chip {
    name: &'static str,
    /// rocd's target file and OpenOCD's.
    target: &'static str,
    openocd: &'static str,
    ram: u32,
    jobs: &'static [Job],
}

const H743: Chip = Chip {
    name: "H743",
    target: "stm32h7",
    openocd: "stm32h7x",
    ram: 0x2400_0000,
    jobs: &[
        Job::Program("cold 1 MiB", 1 << 20, Before::Other),
        Job::Program("one function of 1 MiB changed", 1 << 20, Before::Nearly),
        Job::Verify(1 << 20),
        Job::ReadRam,
        Job::Attach,
    ],
};
const G071: Chip = Chip {
    name: "G071",
    target: "stm32g0",
    openocd: "stm32g0x",
    ram: 0x2000_0000,
    jobs: &[
        Job::Program("cold 64 KiB", 64 << 10, Before::Other),
        Job::Program("two pages of 64 KiB changed", 64 << 10, Before::Nearly),
        Job::Verify(64 << 10),
        Job::Attach,
    ],
};

/// What flash holds before a job.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// Every sector something else.
    Other,
    /// The image, but for a few bytes.
    Nearly,
    Image,
}

#[derive(Clone, Copy)]
enum Job {
    /// What it is called, bytes, and what is there before: written, verified, started.
    Program(&'static str, usize, Before),
    Verify(usize),
    /// 32 KiB, which every chip has.
    ReadRam,
    /// From nothing to a halted core.
    Attach,
}

const RAM: usize = 32 << 10;

impl Job {
    fn name(self) -> String {
        match self {
            Job::Program(name, ..) => name.to_string(),
            Job::Verify(len) => format!("verify {} KiB", len >> 10),
            Job::ReadRam => format!("read {} KiB of RAM", RAM >> 10),
            Job::Attach => "attach and halt".to_string(),
        }
    }

    fn image(self) -> Option<(usize, Before)> {
        match self {
            Job::Program(_, len, before) => Some((len, before)),
            Job::Verify(len) => Some((len, Before::Image)),
            Job::ReadRam | Job::Attach => None,
        }
    }

    fn rocd(self, image: &Path, chip: &Chip, out: &Path) -> String {
        let (image, out) = (image.display(), out.display());
        match self {
            Job::Program(..) => format!("program \"{image}\" {FLASH:#x} verify reset"),
            Job::Verify(_) => format!("verify_image \"{image}\" {FLASH:#x}"),
            Job::ReadRam => format!("dump_image \"{out}\" {:#x} {RAM}", chip.ram),
            Job::Attach => "halt".to_string(),
        }
    }

    fn openocd(self, image: &Path, chip: &Chip, out: &Path) -> Vec<String> {
        let (image, out) = (image.display(), out.display());
        let last = "shutdown".to_string();
        match self {
            Job::Program(..) => vec![format!("program {image} verify reset exit {FLASH:#x}")],
            Job::Verify(_) => vec!["init".into(), "reset init".into(), format!("verify_image {image} {FLASH:#x}"), last],
            Job::ReadRam => vec!["init".into(), "halt".into(), format!("dump_image {out} {:#x} {RAM}", chip.ram), last],
            Job::Attach => vec!["init".into(), "halt".into(), last],
        }
    }
}

/// Dense as code is: no run of 0xFF, no pattern that a controller could treat alike.
fn dense(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let mut words: Vec<u8> = (0..len / 4)
        .flat_map(|_| {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state.to_le_bytes()
        })
        .collect();
    // A vector table that a chip can start with, and a loop behind it.
    words[..8].copy_from_slice(&[0x00, 0x10, 0x00, 0x20, 0x01, 0x01, 0x00, 0x08]);
    words[0x100..0x104].copy_from_slice(&[0xFE, 0xE7, 0xFE, 0xE7]);
    words
}

fn image(len: usize) -> Vec<u8> {
    dense(len, 0x1234_5678)
}

fn before(len: usize, kind: Before) -> Vec<u8> {
    match kind {
        Before::Other => dense(len, 0x8765_4321),
        Before::Image => image(len),
        Before::Nearly => {
            let mut bytes = image(len);
            let at = len / 2 + 0x7F0;
            bytes[at..at + 0x20].iter_mut().for_each(|byte| *byte = !*byte);
            bytes
        }
    }
}

struct Bench {
    board: Board,
    serials: Vec<String>,
    folder: tempfile::TempDir,
}

/// What one tool needed for one job.
struct Row {
    seconds: f64,
    commands: usize,
    bytes: usize,
}

impl Bench {
    fn new() -> Bench {
        let more: Vec<&str> = BOARDS[1..].iter().flat_map(|place| ["--board", place.board]).chain(["--paced"]).collect();
        let mut board = Board::serve(BOARDS[0].board, &more);
        let serials = board.run("sim board").iter().filter_map(|line| line.split_whitespace().last().map(String::from)).collect();
        Bench { board, serials, folder: tempfile::tempdir().expect("a folder for files") }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).expect("the folder can be written");
        path
    }

    /// Flash as it is to be, by way of a board of rocd's own, which needs no time.
    fn prepare(&mut self, place: &Place, bytes: &[u8]) {
        let (image, state) = (self.file("before.bin", bytes), self.folder.path().join("before.state"));
        let output = Command::new(env!("CARGO_BIN_EXE_rocd"))
            .args(["-q", "-f", "interfaces/sim.toml", "-f", place.chip.target])
            .args(["-c", &format!("program \"{}\" {FLASH:#x}; sim save \"{}\"", image.display(), state.display())])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("rocd runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        self.board.run(&format!("sim load \"{}\"", state.display()));
    }

    fn run(&mut self, number: usize, job: Job, command: &mut Command) -> Row {
        let place = &BOARDS[number];
        self.board.run(&format!("sim board {number}"));
        if let Some((len, kind)) = job.image() {
            self.prepare(place, &before(len, kind));
        }
        self.board.run("sim requests on");
        let start = Instant::now();
        let (said, ok) = finish(command, PATIENCE);
        let seconds = start.elapsed().as_secs_f64();
        assert!(ok, "{said}");
        let log = self.board.run("sim requests");
        self.board.run("sim requests off");
        if let Some((len, _)) = job.image() {
            assert!(self.board.dump(FLASH, len as u32) == image(len), "flash is not the image:\n{said}");
        }
        Row { seconds, commands: log.len(), bytes: log.iter().map(|line| bytes(line)).sum() }
    }
}

/// The block's 16 bytes and those of the data phase, from a line of the board's log.
fn bytes(line: &str) -> usize {
    let data = line.split_once(['>', '<']).map_or("", |(_, data)| data);
    16 + data.split_whitespace().filter(|word| word.len() == 2).count()
}

fn rocd(bench: &Bench, place: &Place, serial: &str, line: &str) -> Command {
    let interface = bench.board.interface(bench.folder.path());
    let mut rocd = Command::new(env!("CARGO_BIN_EXE_rocd"));
    rocd.arg("-f").arg(interface).args(["-f", place.chip.target]);
    rocd.args(["-c", &format!("adapter serial {serial}"), "-c", line]);
    rocd
}

fn openocd(bench: &Bench, place: &Place, way: &Way, serial: &str, lines: &[String]) -> Command {
    let mut openocd = way.openocd(bench.board.port(), place.chip.openocd, &[]);
    openocd.args(["-c", &format!("adapter serial {serial}")]);
    for line in lines {
        openocd.args(["-c", line]);
    }
    openocd
}

fn print(place: &Place, job: Job, tool: &str, row: &Row, base: &Row) {
    let Row { seconds, commands, bytes } = row;
    let ratio = seconds / base.seconds;
    println!("| {} {} | {} | {tool} | {seconds:.3} | {ratio:.2} | {commands} | {bytes} |", place.chip.name, job.name(), place.probe);
}

fn main() {
    let peers = there("openocd");
    if !peers {
        println!("OpenOCD is left out: it is not installed (Debian: apt-get install openocd)\n");
    }
    let mut bench = Bench::new();
    println!("| job | probe | tool | seconds | of rocd's | commands | bytes |\n|---|---|---|---|---|---|---|");
    for (number, place) in BOARDS.iter().enumerate() {
        let serial = bench.serials[number].clone();
        for job in place.chip.jobs {
            let file = bench.file("image.bin", &job.image().map_or_else(Vec::new, |(len, _)| image(len)));
            let out = bench.folder.path().join("ram.bin");
            let mut command = rocd(&bench, place, &serial, &job.rocd(&file, place.chip, &out));
            let ours = bench.run(number, *job, &mut command);
            print(place, *job, "rocd", &ours, &ours);
            for way in [&HLA, &DAP].into_iter().filter(|_| peers) {
                let mut command = openocd(&bench, place, way, &serial, &job.openocd(&file, place.chip, &out));
                let theirs = bench.run(number, *job, &mut command);
                print(place, *job, &format!("OpenOCD {}", way.name), &theirs, &ours);
            }
        }
    }
    bench.board.shutdown();
}
