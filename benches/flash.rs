//! Writing flash: `cargo bench --bench flash` prints, as Markdown, rocd beside OpenOCD and st-flash on paced boards
//! (peers.rs), then the goals. `-- goals` prints these alone, `-- usb` the table over USB alone.
//!
//! A goal's seconds are in the board's own time, which is exact, of a whole command (look, erase, write; or verify) in a
//! session that is attached and has tested its link; flash is compared byte for byte afterwards, by the board's own door. A goal that is met only with
//! constants that nobody has measured (erasing a bank, rows and mass erase of a G0, the H7's CRC unit) is open: the column
//! "assumed x 2" is with each of these at twice its value. OpenOCD's and st-flash's seconds are of their whole processes, by
//! the stopwatch of the first part (the better of OpenOCD's two ways; st-flash over USB, with a guest's USB stack).

#[path = "peers.rs"]
mod peers;

use rocd::desc::{Known, Target};
use rocd::event::Ears;
use rocd::flash::{Manner, Policy};
use rocd::image::{Format, Image, Segment};
use rocd::probe::{self, Info};
use rocd::session::{AttachOptions, ResetMode, Session};
use rocd::sim::{Board, Config};
use std::rc::Rc;

const H7: &str = include_str!("../targets/stm32h7.toml");
const G0: &str = include_str!("../targets/stm32g0.toml");
const FLASH: u32 = 0x0800_0000;

enum Before {
    Blank,
    /// Another image of the same length.
    Other,
    /// The image, but for bytes in the middle of so many sectors of this size.
    Changed(u32, u32),
}

enum Work {
    Program(Before),
    Verify,
    ReadRam,
}

struct Goal {
    name: &'static str,
    /// What peers.rs calls chip and job.
    peers: (&'static str, &'static str),
    chip: &'static str,
    work: Work,
    len: u32,
    /// Seconds, V2 and V3; 0: none is set.
    goals: [f64; 2],
    floor: f64,
}

const GOALS: &[Goal] = &[
    Goal {
        name: "H743 cold 1 MiB",
        peers: ("H743", "cold 1 MiB"),
        chip: "stm32h743",
        work: Work::Program(Before::Other),
        len: 1 << 20,
        goals: [8.8, 8.5],
        floor: 8.28,
    },
    Goal {
        name: "H743 blank 1 MiB",
        peers: ("H743", "blank 1 MiB"),
        chip: "stm32h743",
        work: Work::Program(Before::Blank),
        len: 1 << 20,
        goals: [6.7, 3.45],
        floor: 3.28,
    },
    Goal {
        name: "H743 cold 2 MiB, both banks",
        peers: ("H743", "cold 2 MiB"),
        chip: "stm32h743",
        work: Work::Program(Before::Other),
        len: 2 << 20,
        goals: [0.0, 8.6],
        floor: 8.28,
    },
    Goal {
        name: "H743 one function of 1 MiB changed",
        peers: ("H743", "one function of 1 MiB changed"),
        chip: "stm32h743",
        work: Work::Program(Before::Changed(1, 128 << 10)),
        len: 1 << 20,
        goals: [1.5, 1.5],
        floor: 1.41,
    },
    Goal {
        name: "H743 verify 1 MiB",
        peers: ("H743", "verify 1024 KiB"),
        chip: "stm32h743",
        work: Work::Verify,
        len: 1 << 20,
        goals: [0.06, 0.06],
        floor: 0.03,
    },
    Goal {
        name: "G071 cold 64 KiB, the upper 64 KiB blank",
        peers: ("G071", "cold 64 KiB"),
        chip: "stm32g071",
        work: Work::Program(Before::Other),
        len: 64 << 10,
        goals: [0.5, 0.5],
        floor: 0.457,
    },
    Goal {
        name: "G071 two pages of 64 KiB changed",
        peers: ("G071", "two pages of 64 KiB changed"),
        chip: "stm32g071",
        work: Work::Program(Before::Changed(2, 2 << 10)),
        len: 64 << 10,
        goals: [0.1, 0.1],
        floor: 0.088,
    },
    Goal {
        name: "H743 read 64 KiB of RAM",
        peers: ("H743", ""),
        chip: "stm32h743",
        work: Work::ReadRam,
        len: 64 << 10,
        goals: [0.37, 0.088],
        floor: 0.084,
    },
];

/// Dense as code is.
fn dense(len: u32, seed: u32) -> Vec<u8> {
    let mut state = seed;
    let word = |_| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()
    };
    (0..len / 4).flat_map(word).collect()
}

fn before(goal: &Goal, image: &[u8]) -> Vec<u8> {
    match &goal.work {
        Work::Program(Before::Other) => dense(goal.len, 0x8765_4321),
        Work::Program(Before::Blank) => vec![0xFF; image.len()],
        Work::Program(Before::Changed(count, sector)) => {
            let mut bytes = image.to_vec();
            for index in 1..=*count {
                let at = (goal.len / sector / 4 * index * sector + sector / 2) as usize;
                bytes[at..at + 32].iter_mut().for_each(|byte| *byte = !*byte);
            }
            bytes
        }
        Work::Verify | Work::ReadRam => image.to_vec(),
    }
}

/// Seconds of the board.
fn measure(goal: &Goal, probe: &str, assumed: u32) -> f64 {
    let board = Board::new(&Config { chip: Some(goal.chip.into()), probe: Some(probe.into()), ..Config::default() }).expect("a board");
    board.set_unmeasured(assumed);
    let known = Known { probes: &["stlink"], flash: &["stm32h7", "stm32g0"] };
    let text = if goal.chip.starts_with("stm32h7") { H7 } else { G0 };
    let target = Rc::new(Target::parse(text, goal.chip, &known).expect("a target file"));
    let data = dense(goal.len, 0x1234_5678);
    let image = Image::new("image.bin", Format::Bin, vec![Segment { address: FLASH, data: data.clone() }]);
    if !matches!(goal.work, Work::ReadRam) {
        board.poke(FLASH, &before(goal, &data)).expect("flash");
    }
    let found = board.found();
    let info = Info { vid: found.vid, pid: found.pid, serial: found.serial, path: found.path, ..Info::default() };
    let probe = (probe::DRIVERS[0].open)(board.pipe(), info).expect("a probe");
    let mut session =
        Session::attach(probe, target, &AttachOptions { khz: None, exact: false, under_reset: false }, Ears::none()).expect("a chip");
    session.reset(ResetMode::Halt).expect("a reset");
    session.hurry(u64::MAX).expect("a link that bears the fastest clock");
    let started = session.probe.now();
    match goal.work {
        Work::Program(_) => {
            let plan = session.plan_to_write(&image, Policy::Erase, Manner::default()).expect("a plan");
            session.execute(&plan, Manner::default()).expect("programmed");
        }
        Work::Verify => drop(session.verify(&image).expect("verified")),
        Work::ReadRam => {
            let mut ram = vec![0; goal.len as usize];
            session.mem(0).read(0x2400_0000, &mut ram).expect("RAM");
        }
    }
    let seconds = (session.probe.now() - started).as_secs_f64();
    if !matches!(goal.work, Work::ReadRam) {
        assert!(board.dump(FLASH, goal.len).expect("flash") == data, "{}: flash is not the image", goal.name);
    }
    seconds
}

fn main() {
    let alone = |word: &str| std::env::args().any(|given| given == word);
    let theirs = if alone("goals") { peers::Seconds::new() } else { peers::tables(alone("usb")) };
    if alone("usb") {
        return;
    }
    println!("\n| work | probe | rocd | goal | floor | assumed x 2 | | OpenOCD | st-flash |\n|---|---|---|---|---|---|---|---|---|");
    for goal in GOALS {
        for (probe, limit) in [("v2", "V2"), ("v3", "V3")].into_iter().zip(goal.goals).filter(|(_, limit)| *limit > 0.0) {
            let [seconds, doubled] = [1, 2].map(|assumed| measure(goal, probe.0, assumed));
            let verdict = match (seconds <= limit, doubled <= limit) {
                (true, true) => "met",
                (true, false) => "open: only by an assumed constant",
                _ => "missed",
            };
            let other = |tool| {
                let (chip, job) = goal.peers;
                theirs.get(&(chip.into(), job.into(), probe.1, tool)).map_or(String::new(), |seconds| format!("{seconds:.2}"))
            };
            println!(
                "| {} | {} | {seconds:.3} | {limit} | {} | {doubled:.3} | {verdict} | {} | {} |",
                goal.name,
                probe.1,
                goal.floor,
                other("OpenOCD"),
                other("st-flash")
            );
        }
    }
}
