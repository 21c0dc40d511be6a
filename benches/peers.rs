//! The same jobs by rocd, OpenOCD and st-flash on served boards, timed by a stopwatch: seconds of the whole process,
//! commands that its probe was given, bytes both ways. The board is paced, so a second is a second of the chip's and the
//! probe's; each tool is used as its own manual says, with its own choice of clocks. One board process serves all tools of a
//! table. What flash holds afterwards is compared by the board's own door. Tools that are not installed are left out, and named.
//!
//! The first table goes through ST's server protocol. st-flash does not speak it, so the second is over USB in the guest of
//! tests/usb-guest, whose own USB stack takes half a millisecond or more for each transfer: compare within the table.

#[path = "../tests/served/mod.rs"]
mod served;

use served::verdict::there;
use served::{Board, DAP, HLA, Way, finish};
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
    /// Over USB in the guest, where a transfer takes half a millisecond and a word is two or more.
    usb: &'static [Job],
}

const H743: Chip = Chip {
    name: "H743",
    target: "stm32h7",
    openocd: "stm32h7x_dual_bank",
    ram: 0x2400_0000,
    jobs: &[
        Job::Program("cold 1 MiB", 1 << 20, Before::Other),
        Job::Program("blank 1 MiB", 1 << 20, Before::Blank),
        Job::Program("cold 2 MiB", 2 << 20, Before::Other),
        Job::Program("one function of 1 MiB changed", 1 << 20, Before::Nearly),
        Job::Verify(1 << 20),
        Job::ReadRam,
        Job::Attach,
    ],
    usb: &[Job::Program("cold 1 MiB", 1 << 20, Before::Other), Job::Verify(128 << 10), Job::ReadRam, Job::Attach],
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
    usb: &[Job::Program("cold 64 KiB", 64 << 10, Before::Other), Job::Verify(32 << 10), Job::Attach],
};

/// What flash holds before a job.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Blank,
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
            Job::Verify(_) => format!("reset halt; verify_image \"{image}\" {FLASH:#x}"),
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
        Before::Blank => vec![0xFF; len],
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

/// A board's state with this in flash, from a board of rocd's own, which needs no time.
fn save_state(place: &Place, image: &Path, state: &Path) {
    // A blank file has no vector table; only its bytes count.
    let output = Command::new(env!("CARGO_BIN_EXE_rocd"))
        .args(["-q", "-f", "interfaces/sim.toml", "-f", place.chip.target])
        .args(["-c", &format!("program \"{}\" {FLASH:#x}; sim save \"{}\"", image.display(), state.display())])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("rocd runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
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
        save_state(place, &image, &state);
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

// ---- over USB ----

const GUEST: &str = "tests/usb-guest/run";

impl Job {
    /// How st-flash does it; the tools' own words, separated as a shell separates them.
    fn st_flash(self, chip: &Chip) -> String {
        match self {
            Job::Program(..) => format!("st-flash --reset write /mnt/image.bin {FLASH:#x}"),
            // It has no verify: read and compare.
            Job::Verify(len) => format!("sh -c 'st-flash read /mnt/back.bin {FLASH:#x} {len} && cmp /mnt/back.bin /mnt/image.bin'"),
            Job::ReadRam => format!("st-flash read /mnt/ram.bin {:#x} {RAM}", chip.ram),
            Job::Attach => "st-info --probe".to_string(),
        }
    }
}

/// In the guest: `job NAME STATE LENGTH COMMAND…` runs one on a board whose flash is as STATE says.
const GUEST_JOB: &str = r#"
job() {
    name=$1 state=$2 length=$3; shift 3
    [ "$state" = - ] || ask "sim load /mnt/$state" || exit 1
    ask "sim requests on"
    start=$(date +%s.%N); "$@" >/mnt/log 2>&1; status=$?; end=$(date +%s.%N)
    ask "sim requests" >/mnt/requests; ask "sim requests off"
    [ $status = 0 ] || { echo "failed: $name"; cat /mnt/log; exit 1; }
    if [ "$length" != 0 ]; then
        ask "sim dump /mnt/dump.bin 0x08000000 $length" >/mnt/log
        cmp /mnt/dump.bin /mnt/image.bin || { echo "flash is not the image: $name"; exit 1; }
    fi
    echo "row $start $end $(wc -l </mnt/requests) $(awk '{ n += 16; for (i = 1; i <= NF; i++) if ($i ~ /^[<>]$/) { n += NF - i; break } } END { print n }' /mnt/requests)"
}
"#;

/// The tools over USB, by turns on one board: rocd first.
fn over_usb(place: &Place, job: Job) -> Vec<(&'static str, Row)> {
    let folder = tempfile::tempdir().expect("a folder for files");
    let file = |name: &str| folder.path().join(name);
    let (state, length) = match job.image() {
        Some((len, kind)) => {
            std::fs::write(file("image.bin"), image(len)).expect("the folder can be written");
            std::fs::write(file("before.bin"), before(len, kind)).expect("the folder can be written");
            save_state(place, &file("before.bin"), &file("before.state"));
            ("before.state", len)
        }
        None => ("-", 0),
    };
    let rocd = job.rocd(Path::new("/mnt/image.bin"), place.chip, Path::new("/mnt/ram.bin"));
    let script = format!(
        "set -u\nROCD={}\n. tests/usb-guest/board.sh\n{GUEST_JOB}\nserve --vhci 0 --board {} --paced\non_bus 1\n\
         job rocd {state} {length} \"$ROCD\" -f stlink -f {} -c '{rocd}'\njob st-flash {state} {length} {}\n",
        env!("CARGO_BIN_EXE_rocd"),
        place.board,
        place.chip.target,
        job.st_flash(place.chip),
    );
    std::fs::write(file("script"), script).expect("the folder can be written");
    let output = Command::new(GUEST)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .env("GUEST_RW", folder.path())
        .env("GUEST_TIMEOUT", "900")
        .args(["/bin/sh", "/mnt/script"])
        .output()
        .expect("the guest's script is there");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let rows: Vec<Row> = said.lines().filter_map(|line| row(line.strip_prefix("row ")?)).collect();
    ["rocd", "st-flash"].into_iter().zip(rows).collect()
}

fn row(words: &str) -> Option<Row> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let [start, end, commands, bytes] = words[..] else { return None };
    let seconds = end.parse::<f64>().ok()? - start.parse::<f64>().ok()?;
    Some(Row { seconds, commands: commands.parse().ok()?, bytes: bytes.parse().ok()? })
}

fn guest() -> Option<&'static str> {
    let kernel = Command::new(GUEST).current_dir(env!("CARGO_MANIFEST_DIR")).arg("--kernel").output();
    match kernel {
        Ok(output) if output.status.success() && there("st-flash") => None,
        Ok(output) if output.status.success() => Some("st-flash is left out: it is not installed (Debian: apt-get install stlink-tools)"),
        _ => Some("st-flash is left out: the guest with a USB stack has no kernel (tests/usb-guest/build-kernel makes one)"),
    }
}

const HEAD: &str = "| job | probe | tool | seconds | of rocd's | commands | bytes |\n|---|---|---|---|---|---|---|";

fn print(place: &Place, job: Job, tool: &str, row: &Row, base: &Row) {
    let Row { seconds, commands, bytes } = row;
    let ratio = seconds / base.seconds;
    println!("| {} {} | {} | {tool} | {seconds:.3} | {ratio:.2} | {commands} | {bytes} |", place.chip.name, job.name(), place.probe);
}

/// What OpenOCD and st-flash needed, in seconds: by chip, job, probe and tool.
pub type Seconds = std::collections::BTreeMap<(String, String, &'static str, &'static str), f64>;

/// Both tables, or the second alone.
pub fn tables(usb_alone: bool) -> Seconds {
    let mut all = Seconds::new();
    if !usb_alone {
        served_table(&mut all);
    }
    match guest() {
        Some(missing) => println!("\n{missing}"),
        None => usb_table(&mut all),
    }
    all
}

fn served_table(all: &mut Seconds) {
    let peers = there("openocd");
    if !peers {
        println!("OpenOCD is left out: it is not installed (Debian: apt-get install openocd)\n");
    }
    let mut bench = Bench::new();
    println!("{HEAD}");
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
                let best = all.entry((place.chip.name.into(), job.name(), place.probe, "OpenOCD")).or_insert(f64::MAX);
                *best = best.min(theirs.seconds);
            }
        }
    }
    bench.board.shutdown();
}

fn usb_table(all: &mut Seconds) {
    println!("\n{HEAD}");
    for place in &BOARDS {
        for job in place.chip.usb {
            let rows = over_usb(place, *job);
            rows.iter().for_each(|(tool, row)| print(place, *job, &format!("{tool} over USB"), row, &rows[0].1));
            let theirs = rows.iter().find(|(tool, _)| *tool == "st-flash");
            all.extend(theirs.map(|(tool, row)| ((place.chip.name.to_string(), job.name(), place.probe, *tool), row.seconds)));
        }
    }
}
