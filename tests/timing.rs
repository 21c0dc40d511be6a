//! Is the board's clock true? Published figures of real probes and chips beside what the board needs for the same work.
//!
//! `cargo test --test timing -- --nocapture` prints the table. Virtual time is exact: the figures are the
//! same in every run.

mod served;

use rocd::sim::Config;
use rocd::usb::{Data, Pipe};
use served::verdict::Verdict;
use served::{Board, DAP, HLA, Way, finish};
use std::fmt::Write;
use std::time::Duration;

/// One row: probe, clock in kHz, KiB/s written to and read from RAM of an H743 in blocks of 16 KiB, as measured with
/// probe-rs on Linux (9names, "CMSIS-DAP debug probe performance", 2022). The model's constants were fitted to all but the
/// rows that `MISSED` names.
const RAM: &[(&str, u32, f64, f64)] = &[
    ("v2", 240, 16.9, 19.3),
    ("v2", 480, 32.2, 36.6),
    ("v2", 1200, 75.5, 83.2),
    ("v2", 1800, 96.5, 107.7),
    ("v2", 4000, 156.8, 175.9),
    ("v3", 200, 16.9, 16.4),
    ("v3", 1000, 81.2, 77.6),
    ("v3", 3300, 249.8, 232.4),
    ("v3", 8000, 489.0, 443.0),
    ("v3", 24_000, 1081.0, 743.0),
];

/// Percent that a row may be off, and why where it is more than 3.
const CLOSE: f64 = 3.0;
const MISSED: &[(&str, u32, f64, &str)] = &[
    ("v2", 1200, 8.5, "the probe's clock is not what it says: 1.2 MHz by its table"),
    ("v3", 3300, 3.7, "fitted; the fit misses the read"),
    ("v3", 8000, 7.0, "the probe's clock is not what it says: 8 MHz by its table"),
];

/// One transfer of a write; a V2 and a V3 take 65,532 bytes.
const BLOCK: usize = 16 * 1024;
/// One transfer of a read.
const READ: usize = 6144;
const AXI_SRAM: u32 = 0x2400_0000;

struct Link(Box<dyn Pipe>);

impl Link {
    /// In debug mode on an H743 at this clock, commands as ST-Link firmware takes them.
    fn new(probe: &str, khz: u32) -> Link {
        let board =
            rocd::sim::Board::new(&Config { chip: Some("stm32h743".into()), probe: Some(probe.into()), ..Config::default() }).unwrap();
        let mut link = Link(board.pipe());
        link.0.transfer(&[0xF3, 0x07], Data::None).unwrap();
        match probe {
            "v3" => assert_eq!(link.ask(&[&[0xF2, 0x61, 0, 0][..], &khz.to_le_bytes()].concat(), 8)[4..], khz.to_le_bytes()),
            _ => assert_eq!(link.ask(&[0xF2, 0x43, divisor(khz), 0], 2), [0x80, 0]),
        }
        assert_eq!(link.ask(&[0xF2, 0x30, 0xA3], 2), [0x80, 0]);
        link
    }

    fn ask(&mut self, command: &[u8], len: usize) -> Vec<u8> {
        let mut reply = vec![0; len];
        assert_eq!(self.0.transfer(command, Data::In(&mut reply)).unwrap(), len);
        reply
    }

    fn status(&mut self) {
        assert_eq!(self.ask(&[0xF2, 0x3E], 12)[0], 0x80);
    }

    fn write(&mut self, at: u32, bytes: &[u8]) {
        let command = [&[0xF2, 0x08][..], &at.to_le_bytes(), &(bytes.len() as u16).to_le_bytes()].concat();
        self.0.transfer(&command, Data::Out(bytes)).unwrap();
        self.status();
    }

    fn read(&mut self, at: u32, len: usize) -> Vec<u8> {
        let bytes = self.ask(&[&[0xF2, 0x07][..], &at.to_le_bytes(), &(len as u16).to_le_bytes()].concat(), len);
        self.status();
        bytes
    }

    /// KiB/s of what `work` does with a block.
    fn rate(&mut self, work: impl FnOnce(&mut Link)) -> f64 {
        let start = self.0.now();
        work(self);
        BLOCK as f64 / 1024.0 / (self.0.now() - start).as_secs_f64()
    }
}

/// The V2's argument for a clock: its firmware's table.
fn divisor(khz: u32) -> u8 {
    match khz {
        4000 => 0,
        1800 => 1,
        1200 => 2,
        950 => 3,
        480 => 7,
        240 => 15,
        _ => panic!("a V2 has no {khz} kHz"),
    }
}

fn percent(found: f64, published: f64) -> f64 {
    (found / published - 1.0) * 100.0
}

#[test]
fn ram_moves_at_the_published_rates() {
    let mut table = String::from(
        "| probe | SWD clock | written, KiB/s: published, board, error | read: published, board, error | |\n|---|---|---|---|---|\n",
    );
    let mut wrong = Vec::new();
    for &(probe, khz, write, read) in RAM {
        let mut link = Link::new(probe, khz);
        let noise: Vec<u8> = (0..BLOCK as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        let wrote = link.rate(|link| link.write(AXI_SRAM, &noise));
        let mut back = Vec::new();
        let got = link.rate(|link| {
            for at in (0..BLOCK).step_by(READ) {
                back.extend(link.read(AXI_SRAM + at as u32, READ.min(BLOCK - at)));
            }
        });
        assert!(back == noise, "{probe} at {khz} kHz reads what it wrote");
        let (off_write, off_read) = (percent(wrote, write), percent(got, read));
        let missed = MISSED.iter().find(|row| (row.0, row.1) == (probe, khz));
        let allowed = missed.map_or(CLOSE, |row| row.2);
        let note = missed.map_or("fitted", |row| row.3);
        writeln!(table, "| {probe} | {khz} kHz | {write} {wrote:.1} {off_write:+.1} % | {read} {got:.1} {off_read:+.1} % | {note} |")
            .unwrap();
        if off_write.abs() > allowed || off_read.abs() > allowed {
            wrong.push(format!("{probe} at {khz} kHz: {off_write:+.1} % and {off_read:+.1} %, {allowed} % are allowed"));
        }
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{}\n{table}", wrong.join("\n"));
}

/// What OpenOCD 0.12 was seen to need on real hardware, which nothing was fitted to: programs of this many bytes into the
/// first sectors of an H743, with their erase. The board is paced and OpenOCD tells its own time, so only what is too fast
/// is an error here: a busy machine makes everything slower.
struct Run {
    source: &'static str,
    board: &'static str,
    way: &'static Way,
    len: usize,
    seconds: f64,
    /// Percent that it may be too fast, and why where that is more than 15.
    fast: f64,
    note: &'static str,
}

const RUNS: &[Run] = &[
    Run {
        source: "ST-Link V3J7, 5696 bytes, 1 sector (upload log of an H743)",
        board: "stm32h743,v3:V3J7M3",
        way: &DAP,
        len: 5696,
        seconds: 0.978,
        fast: 15.0,
        note: "",
    },
    Run {
        source: "ST-Link V3, 224 KiB, 2 sectors (humility, issue 381)",
        board: "stm32h743,v3",
        way: &HLA,
        len: 224 * 1024,
        seconds: 4.70,
        fast: 15.0,
        note: "",
    },
    Run {
        source: "ST-Link V2J17, 1.8 MHz, 141,344 bytes, 2 sectors (NuttX' page of a board)",
        board: "stm32h743,v2:V2J17S4",
        way: &HLA,
        len: 141_344,
        seconds: 4.683,
        fast: 25.0,
        note: "the erase of that chip (1 s a sector typically, 2 s at most), or what so old a firmware takes for a command",
    },
];

#[test]
fn openocd_is_no_faster_than_on_real_probes() {
    let Some(_verdict) = Verdict::of("openocd", "openocd", "OpenOCD's own times", "stm32h743") else { return };
    let mut table = String::from("| run | published, s | board, s | error | |\n|---|---|---|---|---|\n");
    let mut wrong = Vec::new();
    for run in RUNS {
        let board = Board::serve(run.board, &["--paced"]);
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("image.bin");
        let dense: Vec<u8> = (0..run.len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        std::fs::write(&image, dense).unwrap();
        let write = format!("flash write_image erase {} 0x08000000", image.display());
        let mut openocd = run.way.openocd(board.port(), "stm32h7x", &[]);
        for line in ["init", "reset init", &write, "shutdown"] {
            openocd.args(["-c", line]);
        }
        let (said, ok) = finish(&mut openocd, Duration::from_secs(120));
        assert!(ok, "{said}");
        let told = said.lines().find_map(|line| line.strip_prefix("wrote ")?.split_once(" in ")?.1.split_once('s')?.0.parse::<f64>().ok());
        let seconds = told.unwrap_or_else(|| panic!("openocd told no time:\n{said}"));
        let off = percent(seconds, run.seconds);
        writeln!(table, "| {} | {} | {seconds:.3} | {off:+.0} % | {} |", run.source, run.seconds, run.note).unwrap();
        if off < -run.fast {
            wrong.push(format!("{}: {off:+.0} %, {} % are allowed", run.source, run.fast));
        }
        board.shutdown();
    }
    println!("{table}");
    assert!(wrong.is_empty(), "{}\n{table}", wrong.join("\n"));
}
