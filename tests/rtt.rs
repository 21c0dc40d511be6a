//! SEGGER's RTT on the embedded board: both chips, ST-Link V2 and V3, beside a running core, and with what is no control block.
//!
//! tests/firmware/rtt.c is the program; on the H743 its rings are in cached memory, and the board's caches are strict.

mod served;
mod serving;

use rocd::command::{Settings, Value};
use rocd::event::{Event, Sink};
use rocd::host::{Cancel, Host};
use rocd::image::Image;
use rocd::sim::{Board, Config};
use rocd::timing::Timing;
use served::verdict::Verdict;
use serving::{Line, Rocd};
use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

/// Chip, target file, program, where its control block is, and its RAM.
type Chip = (&'static str, &'static str, &'static str, u32, (u32, u32));
const H743: Chip = ("stm32h743", "stm32h7", "tests/firmware/rtt-h743.elf", 0x2400_000C, (0x2400_0000, 0x8_0000));
const G071: Chip = ("stm32g071", "stm32g0", "tests/firmware/rtt-g071.elf", 0x2000_000C, (0x2000_0000, 0x9000));
const CHIPS: [Chip; 2] = [H743, G071];
const PROBES: [&str; 2] = ["v2", "v3"];

#[derive(Default)]
struct Ear {
    target: RefCell<Vec<u8>>,
    warnings: RefCell<Vec<String>>,
}

impl Sink for Ear {
    fn emit(&self, event: Event) {
        match event {
            Event::Target(bytes) => self.target.borrow_mut().extend(bytes),
            Event::Warning(text) => self.warnings.borrow_mut().push(text),
            _ => {}
        }
    }
}

struct Desk {
    host: Host,
    ear: Rc<Ear>,
}

impl Desk {
    fn new(chip: Chip, probe: &str) -> Desk {
        let config = Config { chip: Some(chip.0.into()), probe: Some(probe.into()), ..Config::default() };
        let (board, ear) = (Board::new(&config).unwrap(), Rc::<Ear>::default());
        let host = Host::new(ear.clone(), Cancel::default(), Settings::default(), 0).unwrap();
        host.file("sim").unwrap();
        host.file(chip.1).unwrap();
        host.cx().board.borrow_mut().board = Some(board);
        let desk = Desk { host, ear };
        if chip == H743 {
            desk.run("sim cache strict");
        }
        desk
    }

    /// With its program, which runs.
    fn running(chip: Chip, probe: &str) -> Desk {
        let desk = Desk::new(chip, probe);
        desk.run(&format!("program {} reset; sleep 5", chip.2));
        desk
    }

    fn started(chip: Chip, probe: &str) -> Desk {
        let desk = Desk::running(chip, probe);
        assert_eq!(desk.run("rtt start"), format!("rtt: Control block found at {:#010x}", chip.3));
        desk
    }

    #[track_caller]
    fn run(&self, line: &str) -> String {
        self.timed(line).0
    }

    #[track_caller]
    fn timed(&self, line: &str) -> (String, Option<Timing>) {
        let mut last = (Value::None, None);
        let done = self.host.line(line, &mut |outcome| last = (outcome.result.clone().unwrap_or(Value::None), outcome.timing.clone()));
        done.unwrap_or_else(|error| panic!("{line}: {error}"));
        (last.0.to_string(), last.1)
    }

    /// The message.
    #[track_caller]
    fn refused(&self, line: &str) -> String {
        self.host.line(line, &mut |_| {}).expect_err(line).message
    }

    /// What the program has said since this was asked last.
    fn said(&self) -> String {
        String::from_utf8(self.ear.target.take()).unwrap()
    }

    fn word(&self, symbol: &str) -> u32 {
        let said = self.run(&format!("mdw {symbol}"));
        u32::from_str_radix(said.split(": ").nth(1).unwrap_or_default().trim(), 16).unwrap_or_else(|_| panic!("{said}"))
    }
}

/// A line of rtt.c with its number.
fn numbered(number: u32) -> String {
    let letters = (8..15).map(|i| char::from(b'A' + ((number + i) & 15) as u8)).collect::<String>();
    format!("{number:08x}{letters}\n")
}

/// The lines from 0 on, as many as there are, and nothing else.
#[track_caller]
fn counts(said: &str, lines: u32) {
    let whole: String = (0..lines).map(numbered).collect();
    if said != whole {
        let at = said.bytes().zip(whole.bytes()).take_while(|(a, b)| a == b).count();
        let piece = |text: &str| text.get(at.saturating_sub(20)..(at + 40).min(text.len())).map(str::to_string);
        panic!("{} bytes for {}, and byte {at} differs: {:?} for {:?}", said.len(), whole.len(), piece(said), piece(&whole));
    }
}

#[test]
fn the_control_block_is_found_by_its_symbol_in_a_range_and_by_a_search() {
    for chip in CHIPS {
        let desk = Desk::running(chip, "v3");
        let found = format!("rtt: Control block found at {:#010x}", chip.3);
        assert_eq!(desk.run("rtt start"), found);
        assert_eq!(desk.said(), "hello\n");
        // at the place, in a range, and where a range does not reach
        assert_eq!(desk.run(&format!("rtt start {:#x}", chip.3)), found);
        assert_eq!(desk.run(&format!("rtt start {:#x} 0x1000", chip.3)), found);
        assert!(desk.run(&format!("rtt start {:#x} 0x1000", chip.3 + 0x40)).starts_with("rtt: No control block found"));
        desk.run(&format!("rtt setup {:#x} 0x10 \"SEGGER RTT\"; rtt start; rtt write 0 a", chip.3));
        assert_eq!(desk.said(), "'a'\n");
        assert_eq!(desk.refused("rtt start 0x08000000 0x1000"), "0x08000000 and what follows is no RAM");
        assert_eq!(desk.refused("rtt setup 0x20000000 16 other"), "rtt setup: the id is \"SEGGER RTT\", and not `other`");
        assert_eq!(desk.run("rtt polling_interval 20"), "RTT is looked at every 20 ms at least");
        for ms in ["0", "1001", "0xffffffffffffffff"] {
            let error = desk.host.line(&format!("rtt polling_interval {ms}"), &mut |_| {}).expect_err(ms);
            assert!(error.message.ends_with(" ms is no interval: it is 1 to 1000 ms") && error.hint.is_some(), "{error}");
        }
        assert_eq!(desk.run("rtt polling_interval"), "RTT is looked at every 20 ms at least");

        // a raw binary has no symbols
        let image = Image::read(Path::new(chip.2), None, None).unwrap();
        let file = tempfile::NamedTempFile::with_suffix(".bin").unwrap();
        std::fs::write(file.path(), &image.segments[0].data).unwrap();
        let desk = Desk::new(chip, "v3");
        desk.run(&format!("program {} 0x08000000 reset; sleep 5", file.path().display()));
        assert_eq!(desk.run("rtt start"), found);
        assert_eq!(desk.said(), "hello\n");
    }
}

#[test]
fn two_channels_up_and_one_down() {
    for chip in CHIPS {
        let desk = Desk::started(chip, "v2");
        let listed = "Channels: up=2, down=1\nUp-channels:\n0: Terminal 4096 0\n1: Data 2048 0\nDown-channels:\n0: Terminal 16 0";
        // before anything is known of the channels a port waits for them
        desk.run("rtt stop; rtt server start 0 99; rtt start");
        assert_eq!(desk.run("rtt channels"), listed);
        let error = desk.host.line("rtt server start 0 99", &mut |_| {}).expect_err("no such channel");
        assert_eq!(error.message, "the program has no channel 99");
        assert_eq!(error.hint.as_deref(), Some("it has 0, 1 up and 0 down; `rtt channels` says more"));
        assert_eq!(desk.host.cx().rtt_ports.borrow().len(), 1);
        desk.run("rtt server start 0 1");
        // a look that fails is told as what it is, and the next one sees all
        desk.run("sim inject stall");
        assert_eq!(desk.refused("rtt channels"), "the probe refused the transfer (STALL)");
        assert_eq!(desk.run("rtt channels"), listed);
        desk.run("rtt write 0 LONGER THAN THE RING OF ITS BYTES");
        let echo = |text: &str| text.chars().map(|c| format!("'{c}'\n")).collect::<String>();
        assert_eq!(desk.said(), format!("hello\n{}", echo("LONGER THAN THE RING OF ITS BYTES")));
    }
}

/// What the program says while it waits for room, and what it says at a pace and without waiting, comes whole and in order.
#[test]
fn a_hundred_kib_a_second_for_five_seconds() {
    for chip in CHIPS {
        for probe in PROBES {
            let desk = Desk::started(chip, probe);
            desk.said();
            desk.run("rtt write 0 p; sleep 5100");
            assert_eq!((desk.word("left_out"), desk.word("sent")), (0, 35_000), "{probe} at {}", chip.0);
            counts(&desk.said(), 35_000);
        }
    }
}

#[test]
fn a_program_that_waits_for_room() {
    for chip in CHIPS {
        for probe in PROBES {
            let desk = Desk::started(chip, probe);
            desk.said();
            desk.run("rtt write 0 s; sleep 2000");
            counts(&desk.said(), 0x2000);
        }
    }
}

/// A channel that nobody takes is left alone, and one that is taken has all of it.
#[test]
fn another_channel_is_read_for_who_takes_it() {
    for chip in CHIPS {
        let desk = Desk::started(chip, "v3");
        desk.said();
        desk.run("rtt write 0 1s; sleep 200");
        assert_eq!(desk.said(), "");
        let (mut came, wanted) = (Vec::new(), [1].into());
        for _ in 0..400 {
            came.extend(desk.host.cx().session().unwrap().rtt_taken(&wanted).remove(&1).unwrap_or_default());
            desk.run("sleep 10");
        }
        counts(&String::from_utf8(came).unwrap(), 0x2000);
    }
}

/// The program resets the chip while it is being read: what it said before is cut, what it says after is whole.
#[test]
fn a_reset_in_mid_stream() {
    for chip in CHIPS {
        for probe in PROBES {
            let desk = Desk::started(chip, probe);
            for turn in 0..40 {
                desk.run(&format!("rtt write 0 r; sleep {}", 60 + turn % 7));
            }
            let said = desk.said();
            let lives: Vec<&str> = said.split("hello\n").skip(1).collect();
            assert_eq!(lives.len(), 41, "{probe} at {}", chip.0);
            for life in &lives[..40] {
                let lines = life.len() as u32 / 16;
                assert!(lines > 50, "{lines} lines before a reset");
                counts(&life[..16 * lines as usize], lines);
                assert!(numbered(lines).starts_with(&life[16 * lines as usize..]));
            }
        }
    }
}

/// rocd's own resets, with a halt in between: the block is there again when the program has made it.
#[test]
fn a_reset_by_rocd() {
    for chip in CHIPS {
        let desk = Desk::started(chip, "v3");
        desk.run("rtt write 0 s; sleep 50; reset halt; sleep 200");
        // what RAM still had of the last life
        desk.said();
        desk.run("resume; sleep 200; rtt write 0 A");
        assert_eq!(desk.said(), "hello\n'A'\n");
        desk.run("reset run; sleep 200; rtt stop; sleep 100");
        assert_eq!(desk.said(), "hello\n");
        assert_eq!(desk.refused("rtt channels"), "RTT is not on");
    }
}

/// What stands in memory where the control block should be, and why it is none.
fn garbage(chip: Chip) -> Vec<(&'static str, Vec<(usize, u32)>)> {
    let (_, _, _, at, (ram, size)) = chip;
    let ring = |fields: [u32; 5]| [28, 32, 36, 40, 44].into_iter().zip(fields).collect::<Vec<(usize, u32)>>();
    vec![
        ("counts", vec![(16, 0x4000_0000), (20, 1)]),
        ("no channels", vec![(16, 0), (20, 0)]),
        ("more channels than RAM has room for", vec![(16, 33)]),
        ("half an id", vec![(0, 0x4747_4553), (8, 0)]),
        ("ring in flash", ring([0x0800_0000, 64, 8, 0, 0])),
        ("ring in a peripheral", ring([0x4000_0000, 64, 8, 0, 0])),
        ("ring below RAM", ring([ram - 4, 64, 8, 0, 0])),
        ("ring past the end of RAM", ring([ram + size - 32, 64, 8, 0, 0])),
        ("ring round the end of memory", ring([0xFFFF_FFF0, 64, 8, 0, 0])),
        ("ring of all memory", ring([ram, 0xFFFF_FFFF, 8, 0, 0])),
        ("ring over the block itself", ring([at + 32, 64, 8, 0, 0])),
        ("written past its end", ring([at + 0x400, 64, 64, 0, 0])),
        ("read past its end", ring([at + 0x400, 64, 8, 0xFFFF_FFFF, 0])),
        ("flags", ring([at + 0x400, 64, 8, 0, 0xA500_0000])),
        ("mode", ring([at + 0x400, 64, 8, 0, 3])),
    ]
}

/// Neither a read elsewhere nor a write anywhere; and as soon as it is right it is used.
#[test]
fn garbage_is_left_alone() {
    for chip in CHIPS {
        let desk = Desk::started(chip, "v3");
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("dump");
        let dump = || {
            desk.run(&format!("sim dump {} {:#x} {:#x}", file.display(), chip.4.0, chip.4.1));
            std::fs::read(&file).unwrap()
        };
        desk.run("halt; sleep 100");
        let block: Vec<u32> = (0..24).map(|word| desk.word(&format!("{:#x}", chip.3 + 4 * word))).collect();
        for (what, words) in garbage(chip) {
            words.iter().for_each(|(at, value)| _ = desk.run(&format!("mww {:#x} {value:#x}", chip.3 + *at as u32)));
            desk.said();
            let before = dump();
            desk.run("sim requests on; rtt start; sleep 200");
            let log = desk.run("sim requests");
            assert!(!log.contains("WRITEMEM"), "{what}: {log}");
            assert_eq!((desk.said().as_str(), dump() == before), ("", true), "{what}");
            if words.len() == 5 {
                assert!(desk.run("rtt channels").contains("(not right: left alone)"), "{what}");
            }
            let whole: String = (0..).zip(&block).map(|(n, word)| format!("mww {:#x} {word:#x};", chip.3 + 4 * n)).collect();
            desk.run(&format!("{whole} mww {:#x} 4; sleep 100", chip.3 + 24 + 12));
            assert_eq!(desk.said().len() as u32, (4 + 4096 - block[10]) % 4096, "{what}");
        }
    }
}

#[test]
fn a_look_is_cheap_and_its_cost_is_told() {
    for chip in CHIPS {
        for probe in PROBES {
            let desk = Desk::started(chip, probe);
            desk.run("sleep 2000; timing on");
            let (_, timing) = desk.timed("sleep 1000");
            let row = timing.unwrap().rows.into_iter().find(|row| row.phase == "rtt").expect("a row");
            // one READMEM and its status every 50 ms
            assert!((36..=42).contains(&row.counts.transactions), "{} transactions", row.counts.transactions);
            let (_, timing) = desk.timed("rtt write 0 s; sleep 1000");
            let row = timing.unwrap().rows.into_iter().find(|row| row.phase == "rtt").expect("a row");
            assert!(row.counts.transactions > 100 && row.time.as_secs_f64() > 0.1, "{row:?}");
            desk.run("rtt stop");
            let (_, timing) = desk.timed("sleep 1000");
            assert!(timing.unwrap().rows.iter().all(|row| row.phase != "rtt"));
        }
    }
}

/// OpenOCD's ports: a client of its own for each channel, while gdb waits for the program.
#[test]
fn a_port_for_each_channel_while_gdb_waits() {
    for chip in CHIPS {
        let Some(_gdb) = Verdict::of("gdb-multiarch", "gdb-multiarch", "gdb beside RTT", chip.1) else { return };
        let program = format!("program {} reset", chip.2);
        let rocd = Rocd::after(chip.1, &[&program], &["gdb", "0", "telnet", "0"]);
        let mut telnet = Line::to(rocd.address("telnet"));
        let mut ask = |line: &str, end: &str| {
            telnet.send(&format!("{line}\n"));
            telnet.until(end)
        };
        ask("rtt start", "Control block found at");
        let mut port = |channel: u32| {
            ask(&format!("rtt server start 0 {channel}"), "rtt 127.0.0.1:");
            format!("127.0.0.1:{}", ask("", " channel ").trim_end_matches(" channel "))
        };
        let (first, second) = (port(0), port(1));
        let folder = tempfile::tempdir().unwrap();
        let there = folder.path().join("there");
        let mut gdb = Command::new("gdb-multiarch");
        gdb.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-nx", "-batch", chip.2]);
        let (connect, touch) = (format!("target extended-remote {}", rocd.address("gdb")), format!("shell touch {}", there.display()));
        [&connect, "hbreak stop", &touch, "continue", "detach"].iter().for_each(|line| _ = gdb.args(["-ex", line]));
        let gdb = std::thread::spawn(move || served::finish(&mut gdb, Duration::from_secs(300)));

        while !there.exists() && !gdb.is_finished() {
            std::thread::sleep(Duration::from_millis(10));
        }
        let (mut terminal, mut data) = (Line::to(&first), Line::to(&second));
        let mut browser = Line::to(&first);
        browser.send("GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
        assert!(browser.closed());
        terminal.send("A");
        terminal.until("'A'\n");
        terminal.send("1s");
        let said = data.until(&numbered(0x1FFF));
        counts(&said, 0x2000);
        while !gdb.is_finished() {
            terminal.send("b");
            std::thread::sleep(Duration::from_millis(100));
        }
        let (said, ok) = gdb.join().unwrap();
        assert!(ok && said.contains("Breakpoint 1, ") && said.contains("stop ("), "{said}");
        terminal.send("B");
        terminal.until("'B'\n");
        ask(&format!("rtt server stop {}", first.rsplit(':').next().unwrap_or_default()), "> ");
        assert!(terminal.closed());
        data.send("C");
        ask("echo alive", "alive");
        rocd.leave();
    }
}

const LOGS: [(Chip, &str); 2] = [(H743, "tests/firmware/rust/log-h743.elf"), (G071, "tests/firmware/rust/log-g071.elf")];

/// rust/src/main.rs, encoded by rzcobs on the H743 and not at all on the G071.
#[cfg(feature = "defmt")]
#[test]
fn a_log_of_defmt_is_put_into_words() {
    for (chip, program) in LOGS {
        let desk = Desk::new(chip, "v3");
        desk.run(&format!("program {program} reset; sleep 20; rtt start; sleep 100"));
        let said = desk.said();
        let lines: Vec<&str> = said.lines().collect();
        let expected = [
            "0.000 no level (main.rs:46)",
            "0.000 TRACE trace (main.rs:47)",
            "0.000 DEBUG at Point { x: -3, y: 70 } (main.rs:48)",
            "0.000 INFO 0x0000beef true 1.5 (main.rs:49)",
            "0.000 WARN b\"ab\\n\" [Some(1), None] (main.rs:50)",
            "0.000 ERROR 10 101 (main.rs:51)",
            "0.001 INFO count 1 (main.rs:56)",
            "0.002 INFO count 2 (main.rs:56)",
        ];
        assert_eq!(lines[..8], expected);
        assert!(lines.len() > 60);
        assert_eq!(desk.ear.warnings.take(), [""; 0]);

        // frames that are none: told, and the next ones are right
        let last = lines.len() - 6;
        desk.run("halt; sleep 100");
        let last = last + desk.said().lines().count();
        let at = |offset: u32| desk.word(&format!("_SEGGER_RTT+{offset}"));
        let (buffer, size, write) = (at(28), at(32), at(36));
        for (n, byte) in (0..).zip([0xFE, 0xFF, 0xFF, 0x00].iter().take(if chip == H743 { 4 } else { 2 })) {
            desk.run(&format!("mwb {:#x} {byte}; mww _SEGGER_RTT+36 {}", buffer + (write + n) % size, (write + n + 1) % size));
        }
        desk.run("resume; sleep 100");
        let said = desk.said();
        assert!(said.contains(&format!("INFO count {} (main.rs:56)\n", last + 5)), "{last}: {said}");
        let told = desk.ear.warnings.take();
        assert!(
            !told.is_empty() && told.iter().all(|text| text.ends_with(" bytes of the defmt log are no frame and were skipped")),
            "{told:?}"
        );
    }
}

/// What the program says at once and what was in RAM of its last life are told apart.
#[test]
fn run_shows_what_the_program_says() {
    for (chip, program) in LOGS {
        let desk = Desk::new(chip, "v3");
        for _ in 0..2 {
            assert_eq!(desk.refused(&format!("run timeout 0.05 {}", chip.2)), "the program did not end within 0.05 s");
            assert_eq!(desk.said(), "hello\n");
        }
        for _ in 0..2 {
            desk.refused(&format!("run timeout 0.05 {program}"));
            assert!(!cfg!(feature = "defmt") || desk.ear.target.take().starts_with(b"0.000 no level (main.rs:46)\n0.000 TRACE trace"));
        }
        assert_eq!(desk.ear.warnings.take(), [""; 0]);
    }
}

/// It is sent away once what the system keeps for it is full; until then, and then, the others get all of it.
#[test]
fn a_client_that_stops_reading_holds_nobody_up() {
    let rocd = Rocd::after("stm32h7", &[&format!("program {} reset", H743.2)], &["telnet", "0"]);
    let mut telnet = Line::to(rocd.address("telnet"));
    telnet.send("rtt start; rtt server start 0 0\n");
    telnet.until("rtt 127.0.0.1:");
    let port = format!("127.0.0.1:{}", telnet.until(" channel ").trim_end_matches(" channel "));
    let (mut idle, mut reader) = (Line::to(&port), Line::to(&port));
    reader.send("A");
    reader.until("'A'\n");
    reader.send("e");
    const LINES: u32 = 1024;
    for block in 0..256 {
        let lines: String = (LINES * block..LINES * (block + 1)).map(numbered).collect();
        let said = reader.until(&lines[lines.len() - 16..]);
        assert!(said == lines, "block {block}: {} bytes for {}", said.len(), lines.len());
    }
    telnet.send("echo alive\n");
    telnet.until("alive\r\n");
    assert!(idle.closed());
    rocd.leave();
}
