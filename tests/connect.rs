//! The 17 ways a connection fails, or seems to, each made on the board and told in its first line; with probe, pipe and driver
//! as on a desk. `bad-*.elf` (tests/firmware/bad.c) does what programs do to their debug port.

use rocd::command::{Settings, Value};
use rocd::error::{Error, Kind, Result};
use rocd::event::{Event, Sink};
use rocd::host::{Cancel, Host};
use rocd::sim::{Board, Config, Wiring};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const H7: (&str, &str) = ("stm32h743", "stm32h7");
const G0: (&str, &str) = ("stm32g071", "stm32g0");
const BOTH: [(&str, &str); 2] = [H7, G0];
const PROBES: [&str; 3] = ["v2", "v2-1", "v3"];

#[derive(Default)]
struct Heard {
    warnings: RefCell<Vec<String>>,
    evidence: RefCell<Vec<String>>,
}

impl Sink for Heard {
    fn emit(&self, event: Event) {
        match event {
            Event::Warning(text) => self.warnings.borrow_mut().push(text),
            Event::Debug(_, text) => self.evidence.borrow_mut().push(text),
            _ => {}
        }
    }
}

struct Desk {
    board: Board,
    host: Host,
    heard: Rc<Heard>,
}

impl Desk {
    fn with(chip: (&str, &str), probe: &str, firmware: Option<&str>) -> Desk {
        let config =
            Config { chip: Some(chip.0.into()), probe: Some(probe.into()), firmware: firmware.map(str::to_string), ..Config::default() };
        Desk::at(Board::new(&config).unwrap(), chip.1)
    }

    fn on(chip: (&str, &str), probe: &str) -> Desk {
        Desk::with(chip, probe, None)
    }

    /// Somebody who comes to this board anew.
    fn at(board: Board, target: &str) -> Desk {
        let heard = Rc::new(Heard::default());
        let host = Host::new(heard.clone(), Cancel::default(), Settings::default(), 1).unwrap();
        host.file("sim").unwrap();
        host.file(target).unwrap();
        host.cx().board.borrow_mut().board = Some(board.clone());
        Desk { board, host, heard }
    }

    fn run(&self, line: &str) -> Result<Value> {
        let mut last = Value::None;
        self.host.line(line, &mut |outcome| last = outcome.result.clone().unwrap_or(Value::None))?;
        Ok(last)
    }

    fn ok(&self, line: &str) {
        self.run(line).unwrap_or_else(|error| panic!("{} on {}: {line}: {error}", self.board.chip(), self.board.probe()));
    }

    fn warned(&self) -> Vec<String> {
        self.heard.warnings.take()
    }

    /// The error of a line that must fail, soon enough, and leave the probe in order.
    fn fails(&self, line: &str) -> Error {
        let before = self.board.now();
        let error = self.run(line).expect_err(line);
        let took = self.board.now() - before;
        // Under reset the attempt before the ladder has had its own waits of a second.
        let most = if line.contains("under_reset") { 5 } else { 3 };
        assert!(took < Duration::from_secs(most), "{line}: {took:?}");
        assert!(!self.board.debugging(), "{line}: the probe is still in debug mode");
        error
    }

    /// The program whose way of going wrong is `number` in bad.c runs, and nobody is attached.
    fn gone_wrong(chip: (&str, &str), probe: &str, number: u32) -> Desk {
        let desk = Desk::on(chip, probe);
        let firmware = if chip == H7 { "bad-h743.elf" } else { "bad-g071.elf" };
        desk.ok(&format!("program tests/firmware/{firmware}; reset halt; mww 0x20004000 {number}"));
        // What attach sets would keep the clocks on. A port that takes the pins of SWD has its own clock.
        desk.ok(if chip == H7 { "mww 0x5C001004 0; mww 0x580244E0 1" } else { "mww 0x40015804 0" });
        desk.ok("resume");
        let _ = desk.host.leave();
        desk.board.pass(Duration::from_millis(50));
        Desk::at(desk.board.clone(), chip.1)
    }
}

fn wiring(desk: &Desk, change: impl FnOnce(&mut Wiring)) {
    let mut wiring = desk.board.wiring();
    change(&mut wiring);
    desk.board.set_wiring(wiring);
}

fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap().to_string()
}

fn everywhere(probe: impl Fn((&str, &str), &str)) {
    for chip in BOTH {
        PROBES.iter().for_each(|name| probe(chip, name));
    }
}

#[test]
fn c1_a_board_without_power() {
    everywhere(|chip, probe| {
        let desk = Desk::on(chip, probe);
        wiring(&desk, |wiring| wiring.unpowered = true);
        let error = desk.fails("connect");
        assert_eq!(first_line(&error), "error: no voltage on the target (0.00 V)");
        assert_eq!(error.hint.as_deref(), Some("power the board, and connect the probe's VREF to its supply"));
        // Each step said what it showed.
        let evidence = desk.heard.evidence.take().join("\n");
        assert!(evidence.contains("ladder: target voltage Some(0.0)") && evidence.contains("NRST low: None"), "{evidence}");
        wiring(&desk, |wiring| wiring.unpowered = false);
        desk.ok("connect");
        assert_eq!(desk.warned(), [""; 0]);
    });
}

#[test]
fn c2_vref_is_not_wired() {
    everywhere(|chip, probe| {
        let desk = Desk::on(chip, probe);
        wiring(&desk, |wiring| wiring.vref_open = true);
        desk.ok("connect");
        assert_eq!(desk.warned()[0], "the chip answers, but the target voltage reads 0.10 V: VREF is not wired to its supply");
    });
}

#[test]
fn c3_a_wire_of_swd_is_open() {
    everywhere(|chip, probe| {
        let desk = Desk::on(chip, probe);
        wiring(&desk, |wiring| wiring.swd_open = true);
        for line in ["connect", "connect under_reset"] {
            let error = desk.fails(line);
            assert_eq!(first_line(&error), "error: nothing answers on SWD, at any clock, with NRST high or low (target voltage 3.30 V)");
            let hint = error.hint.unwrap();
            assert!(hint.starts_with("check SWDIO, SWCLK and ground"), "{hint}");
            assert_eq!(hint.contains("supply"), chip == H7, "only a program of an H7 chooses its core's supply: {hint}");
        }
    });
}

#[test]
fn c4_a_wire_that_bears_no_fast_clock() {
    everywhere(|chip, probe| {
        let desk = Desk::on(chip, probe);
        desk.board.set_wire(Some(300));
        desk.ok("connect");
        let slow = if probe == "v3" { 200 } else { 240 };
        let said = desk.warned();
        assert!(said[0].starts_with(&format!("the clock is down to {slow} kHz; above it: ")), "{said:?}");
    });
}

#[test]
fn c5_nrst_is_held_low() {
    everywhere(|chip, probe| {
        let desk = Desk::on(chip, probe);
        desk.ok("connect");
        desk.host.leave().unwrap();
        let desk = Desk::at(desk.board.clone(), chip.1);
        wiring(&desk, |wiring| wiring.nrst_held = true);
        let error = desk.fails("connect");
        assert!(first_line(&error).starts_with("error: the chip is held in reset: S_RESET_ST stays set (DHCSR = 0x"), "{error}");
        assert_eq!(error.hint.as_deref(), Some("look at NRST: a button, a supervisor, a short"));
    });
}

#[test]
fn c6_the_program_turns_swd_off() {
    everywhere(|chip, probe| {
        let desk = Desk::gone_wrong(chip, probe, 14);
        let error = desk.fails("connect");
        assert_eq!(first_line(&error), "error: the program turns SWD off: the debug port answers only while NRST is low");
        assert!(error.hint.unwrap().starts_with("`connect under_reset`"));
        desk.ok("connect under_reset; mww 0x20004000 0; reset; halt");
        // The same by GPIOA_MODER alone; the last write's own answer is lost.
        let desk = Desk::on(chip, probe);
        desk.ok(if chip == H7 { "mww 0x580244E0 1" } else { "mww 0x40021034 1" });
        let _ = desk.run(if chip == H7 { "mww 0x58020000 0xFFFFFFFF" } else { "mww 0x50000000 0xFFFFFFFF" });
        let _ = desk.host.leave();
        let desk = Desk::at(desk.board.clone(), chip.1);
        assert!(first_line(&desk.fails("connect")).starts_with("error: the program turns SWD off"));
    });
}

#[test]
fn c7_nrst_is_needed_and_not_wired() {
    // Asleep, so that only a reset would help.
    for probe in PROBES {
        let desk = Desk::gone_wrong(G0, probe, 16);
        wiring(&desk, |wiring| wiring.nrst_open = true);
        let error = desk.fails("connect under_reset");
        assert_eq!(first_line(&error), "error: the chip sleeps (AP 0 answers WAIT), and NRST does not wake it");
        assert!(error.hint.unwrap().starts_with("wire the probe's NRST to the chip's"));
    }
    // Awake, it is caught by the other reset, and that is told.
    everywhere(|chip, probe| {
        let desk = Desk::on(chip, probe);
        wiring(&desk, |wiring| wiring.nrst_open = true);
        desk.ok("connect under_reset");
        assert_eq!(desk.warned(), ["NRST did not reset the chip, SYSRESETREQ did: wire the probe's NRST to the chip's"]);
    });
}

#[test]
fn c8_a_chip_in_stop_mode() {
    for probe in PROBES {
        // An H7's debug bus answers in STOP, and sets what lets its core answer.
        let desk = Desk::gone_wrong(H7, probe, 16);
        desk.ok("connect; halt");
        let desk = Desk::gone_wrong(G0, probe, 16);
        let error = desk.fails("connect");
        assert_eq!(first_line(&error), "error: the chip sleeps: AP 0 answers WAIT");
        assert!(error.hint.unwrap().starts_with("`connect under_reset`"));
        desk.ok("connect under_reset");
        assert_eq!(desk.warned(), [""; 0]);
    }
}

#[test]
fn c9_a_program_that_takes_its_own_supply_away() {
    for probe in PROBES {
        let desk = Desk::on(("stm32h745", "stm32h7"), probe);
        wiring(&desk, |wiring| wiring.smps = true);
        // PWR_CR3: LDOEN without SMPSEN, on a board that feeds the core from the SMPS.
        let _ = desk.run("mww 0x5802480C 2");
        let _ = desk.host.leave();
        let desk = Desk::at(desk.board.clone(), "stm32h7");
        let error = desk.fails("connect");
        assert_eq!(first_line(&error), "error: nothing answers on SWD, at any clock, with NRST high or low (target voltage 3.30 V)");
        assert!(error.hint.unwrap().contains("chose a supply that the board does not have: BOOT0 high, power off and on"));
        desk.board.power_cycle();
        desk.ok("connect");
    }
}

#[test]
fn c10_read_protection_at_level_1() {
    for (chip, protect) in [
        (H7, "mww 0x52002008 0x08192A3B; mww 0x52002008 0x4C5D6E7F; mww 0x52002020 0x100655F0; mww 0x52002018 2; sleep 100"),
        (
            G0,
            "mww 0x40022008 0x45670123; mww 0x40022008 0xCDEF89AB; mww 0x4002200C 0x08192A3B; mww 0x4002200C 0x4C5D6E7F; \
             mww 0x40022020 0xFFFFFEBB; mww 0x40022014 0x00020000; sleep 100",
        ),
    ] {
        let desk = Desk::on(chip, "v3");
        desk.ok(protect);
        let _ = desk.host.leave();
        desk.board.power_cycle();
        let desk = Desk::at(desk.board.clone(), chip.1);
        // Core and RAM answer; what needs flash says why not.
        desk.ok("connect; halt; mdw 0x20000000");
        let error = desk.run("program tests/firmware/blinky-h743.elf force-machine force-vectors").unwrap_err();
        let says = "error: readout protection is at level 1: the debugger cannot reach the flash (FLASH_OPT";
        assert!(first_line(&error).starts_with(says) && error.kind == Kind::Protected, "{error}");
    }
}

#[test]
fn c11_a_chip_that_is_closed_for_ever() {
    // RDP level 2, by the board's own door: rocd does not write it.
    let desk = Desk::on(G0, "v3");
    let desk = Desk::at(desk.board.clone(), "stm32g0");
    let locked = "mww 0x40022008 0x45670123; mww 0x40022008 0xCDEF89AB; mww 0x4002200C 0x08192A3B; mww 0x4002200C 0x4C5D6E7F; \
                  mww 0x40022020 0xFFFFFECC; mww 0x40022014 0x00020000; sleep 100";
    desk.ok(locked);
    let _ = desk.host.leave();
    desk.board.power_cycle();
    let desk = Desk::at(desk.board.clone(), "stm32g0");
    let error = desk.fails("connect");
    assert_eq!(first_line(&error), "error: nothing answers on SWD, at any clock, with NRST high or low (target voltage 3.30 V)");
    assert!(error.hint.unwrap().contains("closed by RDP 2"));
}

#[test]
fn c12_another_chip_than_the_target_files() {
    for (chip, target, says) in [
        ("stm32g071", "stm32h7", "this is an STM32G07/08; DPIDR = 0x0bc11477, DEV_ID = 0x460"),
        ("stm32h743", "stm32g0", "this is an STM32H74x/75x; DPIDR = 0x6ba02477, DEV_ID = 0x450"),
    ] {
        for probe in PROBES {
            let error = Desk::on((chip, target), probe).fails("connect");
            assert!(first_line(&error).starts_with(&format!("error: {says}; the target file {target} covers ")), "{error}");
            assert_eq!(error.hint.as_deref(), Some("give the target file of this chip with -f"));
        }
    }
}

#[test]
fn c13_a_probe_in_dfu_mode_is_taken_out_of_it_and_one_that_is_being_updated_is_told() {
    // A V2 starts in DFU mode.
    Desk::on(H7, "v2").ok("connect");
    for probe in PROBES {
        let desk = Desk::on(H7, probe);
        desk.board.set_updating();
        let error = desk.fails("connect");
        assert_eq!((first_line(&error).as_str(), error.kind), ("error: the probe runs its boot loader", Kind::Probe));
        assert_eq!(error.hint.as_deref(), Some("finish or repeat the update of its firmware"));
        desk.board.unplug();
        desk.board.plug();
        desk.ok("connect");
    }
    // That another program holds the probe is told by tests/judge_usb.rs, where a USB is.
}

#[test]
fn c14_a_firmware_that_is_too_old() {
    for chip in BOTH {
        let desk = Desk::with(chip, "v2", Some("V2J20S4"));
        let error = desk.fails("connect under_reset");
        let says = "needs ST-Link firmware V2J24 or later; this probe has V2J20S4";
        assert!(first_line(&error).contains(says) && error.kind == Kind::Probe, "{error}");
        assert!(error.hint.unwrap().starts_with("update the probe's firmware"));
    }
}

#[test]
fn c15_an_error_that_somebody_left_in_the_debug_port() {
    everywhere(|chip, probe| {
        let desk = Desk::on(chip, probe);
        desk.ok("connect");
        desk.host.leave().unwrap();
        let desk = Desk::at(desk.board.clone(), chip.1);
        desk.board.leave_sticky();
        desk.ok("connect; halt; mdw 0x20000000");
        assert_eq!(desk.warned(), [""; 0]);
    });
}

#[test]
fn c16_the_cores_domain_is_off() {
    for probe in PROBES {
        let desk = Desk::gone_wrong(H7, probe, 17);
        let error = desk.fails("connect");
        assert_eq!(first_line(&error), "error: the core's domain is off: AP 0 answers WAIT, the chip's debug bus answers");
        assert_eq!(error.hint.as_deref(), Some("`connect under_reset`"));
        desk.ok("connect under_reset");
    }
}

#[test]
fn c17_a_program_that_resets_its_chip() {
    everywhere(|chip, probe| {
        for number in [11, 12] {
            let desk = Desk::gone_wrong(chip, probe, number);
            desk.ok("connect under_reset; mww 0x20004000 0; reset; sleep 10; halt");
            let desk = Desk::gone_wrong(chip, probe, number);
            desk.ok("connect");
            // One that takes longer than the attach itself is not in its way, and shows at a later look.
            if number == 11 {
                let said = desk.warned();
                assert!(said.iter().any(|line| line.starts_with("the chip resets itself: ")), "{} {probe}: {said:?}", chip.0);
            }
            desk.ok("halt");
        }
    });
}
