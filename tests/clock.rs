//! The clock of the debug port on wires that bear less than probe and chip: what is taken, what is said, what is left alone.

use rocd::command::{Settings, Value};
use rocd::error::{Error, Kind, Result};
use rocd::event::{Event, Sink};
use rocd::host::{Cancel, Host};
use rocd::probe::{Info, stlink};
use rocd::session::{AttachOptions, Session};
use rocd::sim::{Board, Config};
use rocd::usb::{Data, Pipe};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

#[derive(Default)]
struct Kept(RefCell<Vec<Event>>);

impl Sink for Kept {
    fn emit(&self, event: Event) {
        self.0.borrow_mut().push(event);
    }
}

impl Kept {
    fn warnings(&self) -> Vec<String> {
        self.0.take().into_iter().filter_map(|event| if let Event::Warning(text) = event { Some(text) } else { None }).collect()
    }
}

struct Bench {
    host: Host,
    kept: Rc<Kept>,
    board: Board,
}

/// Pattern of what a program has in its RAM: as much as the test of the link covers, and behind it.
const RAM: u32 = 0x2000_0000;
const LEN: u32 = 0x2000;

impl Bench {
    fn new(family: &str, probe: &str, wire: Option<u32>) -> Bench {
        let chip = if family == "stm32h7" { "stm32h743" } else { "stm32g071" };
        let board = Board::new(&Config { chip: Some(chip.into()), probe: Some(probe.into()), ..Config::default() }).unwrap();
        board.set_wire(wire);
        let kept = Rc::new(Kept::default());
        let host = Host::new(kept.clone(), Cancel::default(), Settings::default(), 0).unwrap();
        host.file("sim").unwrap();
        host.file(family).unwrap();
        host.cx().board.borrow_mut().board = Some(board.clone());
        Bench { host, kept, board }
    }

    /// With firmware that runs.
    fn running(family: &str, probe: &str, wire: Option<u32>) -> Bench {
        let bench = Bench::new(family, probe, None);
        let image = if family == "stm32h7" { "blinky-h743.elf" } else { "blinky-g071.elf" };
        bench.value(&format!("program tests/firmware/{image} verify reset")).unwrap();
        bench.host.cx().session.borrow_mut().take().unwrap().detach().unwrap();
        bench.board.set_wire(wire);
        bench.kept.0.take();
        bench
    }

    fn value(&self, line: &str) -> Result<Value> {
        let mut last = Value::None;
        self.host.line(line, &mut |outcome| last = outcome.result.clone().unwrap_or(Value::None))?;
        Ok(last)
    }

    fn shown(&self, line: &str) -> String {
        self.value(line).unwrap_or_else(|error| panic!("{line}: {error}")).to_string()
    }

    fn fails(&self, line: &str) -> Error {
        self.value(line).expect_err(line)
    }
}

/// Family, probe, what the wire bears in kHz, the clock that is to be taken, and how often it went down from one on the way.
const WIRES: &[(&str, &str, Option<u32>, u32, usize)] = &[
    ("stm32h7", "v3", None, 24_000, 0),
    ("stm32h7", "v3", Some(24_000), 24_000, 0),
    ("stm32h7", "v3", Some(20_000), 8_000, 1),
    ("stm32g0", "v3", Some(8_000), 8_000, 1),
    ("stm32g0", "v3", Some(5_000), 3_300, 2),
    ("stm32h7", "v3", Some(2_000), 1_000, 1),
    ("stm32g0", "v3", Some(200), 200, 1),
    ("stm32h7", "v2", None, 4_000, 0),
    ("stm32g0", "v2", Some(3_999), 1_800, 1),
    ("stm32h7", "v2", Some(950), 950, 1),
    ("stm32g0", "v2-1", Some(100), 100, 1),
];

#[test]
fn the_fastest_clock_that_the_wire_bears_is_taken_and_steps_down_are_told() {
    for (family, probe, wire, khz, steps) in WIRES.iter().copied() {
        for halted in [false, true] {
            let what = format!("{family} on {probe}, {wire:?} kHz, halted: {halted}");
            let bench = Bench::running(family, probe, wire);
            bench.value(if halted { "halt" } else { "connect" }).unwrap();
            let noise: Vec<u8> = (0..LEN).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
            let before = if halted {
                bench.board.poke(RAM, &noise).unwrap();
                noise
            } else {
                bench.board.dump(RAM, LEN).unwrap()
            };
            let dcrdr = bench.board.dump(0xE000_EDF8, 4).unwrap();
            assert_eq!(bench.shown("adapter speed"), format!("adapter speed: {khz} kHz"), "{what}");
            let warnings = bench.kept.warnings();
            assert_eq!(warnings.len(), steps, "{what}: {warnings:?}");
            assert!(warnings.last().is_none_or(|text| text.contains(&format!("down to {khz} kHz"))), "{what}: {warnings:?}");
            // A running program counts in its RAM; what it leaves alone the test left alone too.
            let after = bench.board.dump(RAM, LEN).unwrap();
            let other = before.iter().zip(&after).filter(|(a, b)| a != b).count();
            assert!(other <= if halted { 0 } else { 64 }, "{what}: {other} bytes of RAM are others");
            assert_eq!(bench.board.dump(0xE000_EDF8, 4).unwrap(), dcrdr, "{what}");
            let read = bench.value(&format!("read_memory {:#x} 8 64", 0x0800_0000)).unwrap();
            let flash = bench.board.dump(0x0800_0000, 64).unwrap().into_iter().map(|byte| Value::Int(byte.into())).collect();
            let Value::Shown(read, _) = read else { panic!("a list is shown") };
            assert_eq!(*read, Value::List(flash), "{what}");
        }
    }
}

#[test]
fn no_write_goes_over_a_wire_that_cannot_be_read_through() {
    for family in ["stm32h7", "stm32g0"] {
        let bench = Bench::running(family, "v3", Some(8_000));
        bench.value("halt").unwrap();
        bench.board.record(true);
        bench.value("adapter speed").unwrap();
        let (mut fast, mut writes) = (false, 0);
        for exchange in bench.board.log() {
            match exchange.command[..2] {
                [0xF2, 0x61] => fast = exchange.command[4..8] == 24_000u32.to_le_bytes(),
                [0xF2, 0x08 | 0x35 | 0x46 | 0x48 | 0x0D | 0x50 | 0x51] => writes += usize::from(fast),
                _ => {}
            }
        }
        assert_eq!(writes, 0, "{family}");
    }
}

#[test]
fn a_wire_that_bears_nothing_is_an_error_and_no_chip_is_named() {
    for probe in ["v2", "v3"] {
        let bench = Bench::new("stm32h7", probe, Some(40));
        let error = bench.fails("connect");
        assert_eq!(error.kind, Kind::Target, "{error}");
        assert!(!bench.board.debugging() && !bench.board.nrst_low());
    }
}

#[test]
fn adapter_speed_bounds_the_clock_and_exact_is_a_must() {
    let bench = Bench::new("stm32g0", "v3", None);
    assert_eq!(bench.shown("adapter speed 9000"), "adapter speed: at most 9000 kHz, not connected yet");
    assert_eq!(bench.shown("connect; adapter speed"), "adapter speed: 8000 kHz");
    assert_eq!(bench.shown("adapter speed 24000"), "adapter speed: 24000 kHz");
    assert_eq!(bench.shown("adapter speed 500"), "adapter speed: 200 kHz");
    assert_eq!(bench.shown("adapter speed 1000 exact"), "adapter speed: 1000 kHz");
    let error = bench.fails("adapter speed 1800 exact");
    assert_eq!(error.message, "there is no clock of exactly 1800 kHz with this probe and this chip");
    assert!(error.hint.unwrap().starts_with("there is 24000, 8000, 3300, 1000, 200, 50, 5 kHz"));
    assert_eq!(bench.kept.warnings(), [""; 0]);

    for (probe, wire, khz) in [("v3", 8_000, 24_000), ("v2", 1_800, 4_000)] {
        let bench = Bench::new("stm32h7", probe, Some(wire));
        assert_eq!(bench.shown(&format!("adapter speed {khz} exact")), format!("adapter speed: exactly {khz} kHz, not connected yet"));
        assert_eq!(bench.fails("connect").kind, Kind::Target, "{probe}");
        assert!(!bench.board.debugging(), "{probe}");
        assert_eq!(bench.shown(&format!("adapter speed {wire} exact; connect; adapter speed")), format!("adapter speed: {wire} kHz"));
    }
    // Firmware that dies of WAIT at 24 MHz is not asked for it.
    let board = Board::new(&Config { probe: Some("v3".into()), firmware: Some("V3J7M3".into()), ..Config::default() }).unwrap();
    let bench = Bench::new("stm32h7", "v3", None);
    bench.host.cx().board.borrow_mut().board = Some(board);
    assert!(bench.fails("adapter speed 24000 exact; connect").message.starts_with("there is no clock of exactly 24000 kHz"));
    assert_eq!(bench.shown("adapter speed 24000; connect; adapter speed"), "adapter speed: 8000 kHz");
}

#[test]
fn what_a_wire_garbles_later_is_not_passed_on() {
    for (family, probe) in [("stm32h7", "v3"), ("stm32g0", "v2")] {
        let bench = Bench::running(family, probe, None);
        bench.value("halt; adapter speed").unwrap();
        bench.board.set_wire(Some(100));
        for line in [
            "mdw 0x20000000",
            "mdw 0x08000000 4000",
            "dump_image /dev/null 0x20000000 4096",
            "flash read_bank 0 /dev/null 0 4096",
            "reg pc",
            "step",
            "halt; reg",
        ] {
            let error = bench.fails(line);
            assert_eq!(error.kind, Kind::Target, "{line}: {error}");
        }
        bench.board.set_wire(None);
        bench.value("connect; mdw 0x20000000; reg pc").unwrap();
    }
}

/// A cable that garbles one word of the pattern's way back while the clock is 24 MHz, which no look at DPIDR shows.
struct Flaky {
    pipe: Box<dyn Pipe>,
    fast: bool,
}

impl Pipe for Flaky {
    fn transfer(&mut self, cmd: &[u8], data: Data) -> Result<usize> {
        if cmd[..2] == [0xF2, 0x61] {
            self.fast = cmd[4..8] == 24_000u32.to_le_bytes();
        }
        match data {
            Data::In(buf) => {
                let got = self.pipe.transfer(cmd, Data::In(&mut *buf))?;
                if self.fast && matches!(cmd[..2], [0xF2, 0x07 | 0x52]) && got >= 4096 {
                    buf[2054] ^= 0x21;
                }
                Ok(got)
            }
            other => self.pipe.transfer(cmd, other),
        }
    }
    fn reset(&mut self) -> Result<()> {
        self.pipe.reset()
    }
    fn now(&self) -> Duration {
        self.pipe.now()
    }
    fn sleep(&mut self, d: Duration) {
        self.pipe.sleep(d)
    }
}

#[test]
fn one_wrong_word_of_the_pattern_is_a_step_down_and_ram_is_put_back() {
    for halted in [false, true] {
        let bench = Bench::running("stm32h7", "v3", None);
        let (board, kept) = (&bench.board, Rc::new(Kept::default()));
        let target = bench.host.cx().settings.borrow().target.clone().unwrap();
        let info = Info { pid: 0x374E, vid: 0x0483, ..Info::default() };
        let probe = (stlink::DRIVER.open)(Box::new(Flaky { pipe: board.pipe(), fast: false }), info).unwrap();
        let ears = rocd::event::Ears { sink: kept.clone(), ..rocd::event::Ears::none() };
        let options = AttachOptions { khz: None, exact: false, under_reset: false };
        let mut session = Session::attach(probe, target, &options, ears).unwrap();
        if halted {
            session.halt(0, Duration::from_secs(1)).unwrap();
        }
        board.poke(RAM + 0x800, &[0xA5; 0x900]).unwrap();
        session.hurry(1 << 20).unwrap();
        assert_eq!(session.khz, 8_000);
        let told = kept.warnings();
        assert!(told.len() == 1 && told[0].contains("of a pattern came back as"), "{told:?}");
        assert_eq!(board.dump(RAM + 0x800, 0x900).unwrap(), [0xA5; 0x900]);
        session.detach().unwrap();
    }
}

#[test]
fn a_few_bytes_are_not_worth_a_test_and_64_kib_are_read_in_the_time_they_need() {
    // Seconds for 64 KiB, the test of the link not counted.
    for (probe, most) in [("v3", 0.088), ("v2", 0.37)] {
        for line in ["connect", "halt"] {
            let bench = Bench::running("stm32h7", probe, None);
            bench.value(&format!("{line}; mdw 0x24000000 16")).unwrap();
            let khz = bench.host.cx().session.borrow().as_ref().unwrap().khz;
            assert_eq!(khz, if probe == "v3" { 3_300 } else { 4_000 });
            let text = bench.shown("dump_image /dev/null 0x24000000 0x10000");
            let seconds: f64 = text.split(" in ").nth(1).and_then(|rest| rest.split('s').next()).unwrap().parse().unwrap();
            assert!(seconds <= most, "{probe} after {line}: {text}");
        }
    }
}

/// What real V3 are known to die of: leaving a debug mode they are not in, and before J10 a WAIT in a write at 24 MHz.
#[test]
fn a_v3_hangs_where_real_ones_do_and_rocd_does_not_go_there() {
    let board = Board::new(&Config { probe: Some("v3".into()), ..Config::default() }).unwrap();
    let mut pipe = board.pipe();
    pipe.transfer(&[0xF2, 0x21], Data::None).unwrap();
    let error = pipe.transfer(&[0xF1], Data::In(&mut [0; 6])).unwrap_err();
    assert_eq!(error.message, "the probe did not answer within 6 s");

    for firmware in ["V3J7M3", "V3J10M3"] {
        let board = Board::new(&Config { probe: Some("v3".into()), firmware: Some(firmware.into()), ..Config::default() }).unwrap();
        let bench = Bench::new("stm32h7", "v3", None);
        bench.host.cx().board.borrow_mut().board = Some(board.clone());
        bench.value("connect; connect; halt; adapter speed").unwrap();
        // One word after the other into a busy bank: WAIT on the wire.
        let words = "mww 0x52002004 0x45670123; mww 0x52002004 0xcdef89ab; mww 0x5200200c 0x32; mww 0x08000000 1 8; mww 0x08000020 2 8; \
                     mww 0x08000040 3 8; mww 0x08000060 4 8";
        let done = bench.value(words);
        assert!(done.is_ok() || done.as_ref().is_err_and(|error| error.kind == Kind::Target), "{firmware}: {done:?}");
        assert_eq!(board.dump(0x0800_0000, 4).unwrap(), [1, 0, 0, 0], "{firmware}");
        bench.value("mdw 0x08000000").unwrap();
        // Another host, which takes the fastest clock whatever the firmware.
        let mut pipe = board.pipe();
        let send = |pipe: &mut dyn Pipe, command: &[u8], len: usize| pipe.transfer(command, Data::In(&mut vec![0; len]));
        send(&mut *pipe, &[&[0xF2, 0x61, 0, 0][..], &24_000u32.to_le_bytes()].concat(), 8).unwrap();
        let write = [&[0xF2, 0x08][..], &0x0800_0100u32.to_le_bytes(), &512u16.to_le_bytes()].concat();
        pipe.transfer(&write, Data::Out(&[0x55; 512])).unwrap();
        let alive = send(&mut *pipe, &[0xF2, 0x3E], 12).is_ok();
        assert_eq!(alive, firmware == "V3J10M3", "{firmware}");
    }
}
