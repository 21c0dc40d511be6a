//! How many commands the probe gets for what a user does all day: counted by the board, each command with its data phase
//! being one transfer over USB.

use rocd::command::{Settings, Value};
use rocd::event::Silent;
use rocd::host::{Cancel, Host};
use rocd::sim::{Board, Config};
use std::rc::Rc;

struct Desk {
    host: Host,
    board: Board,
    probe: &'static str,
}

/// Chip, target file, firmware.
const CHIPS: [(&str, &str, &str); 2] = [("stm32h743", "stm32h7", "blinky-h743.elf"), ("stm32g071", "stm32g0", "blinky-g071.elf")];
const PROBES: [&str; 3] = ["v2", "v2-1", "v3"];

impl Desk {
    /// Programmed and left running, nobody attached.
    fn new(chip: (&str, &str, &str), probe: &'static str, firmware: Option<&str>) -> Desk {
        let config =
            Config { chip: Some(chip.0.into()), probe: Some(probe.into()), firmware: firmware.map(str::to_string), ..Config::default() };
        let board = Board::new(&config).unwrap();
        let desk = Desk { host: Desk::host(&board, chip.1), board, probe };
        desk.run(&format!("program tests/firmware/{} verify reset", chip.2));
        desk.host.leave().unwrap();
        Desk { host: Desk::host(&desk.board, chip.1), ..desk }
    }

    fn host(board: &Board, target: &str) -> Host {
        let host = Host::new(Rc::new(Silent), Cancel::default(), Settings::default(), 0).unwrap();
        host.file("sim").unwrap();
        host.file(target).unwrap();
        host.cx().board.borrow_mut().board = Some(board.clone());
        host
    }

    fn run(&self, line: &str) -> String {
        let mut last = Value::None;
        let done = self.host.line(line, &mut |outcome| last = outcome.result.clone().unwrap_or(Value::None));
        done.unwrap_or_else(|error| panic!("{line} on {}: {error}", self.probe));
        last.to_string()
    }

    /// What `line` says, and the commands it took.
    fn count(&self, line: &str) -> (String, usize) {
        self.board.record(true);
        let said = self.run(line);
        let count = self.board.log().len();
        self.board.record(false);
        (said, count)
    }

    fn is_v3(&self) -> bool {
        self.probe == "v3"
    }
}

fn at_most(desk: &Desk, line: &str, (v2, v3): (usize, usize)) -> String {
    let (said, count) = desk.count(line);
    let most = if desk.is_v3() { v3 } else { v2 };
    assert!(count <= most, "{} on {}: `{line}` took {count} transfers, {most} are allowed", desk.board.chip(), desk.probe);
    said
}

#[test]
fn a_step_and_the_registers_that_are_looked_at_are_one_batch() {
    for chip in CHIPS {
        let mut listed = vec![];
        for (probe, firmware) in PROBES.map(|probe| (probe, None)).into_iter().chain([("v2", Some("V2J31S7"))]) {
            let desk = Desk::new(chip, probe, firmware);
            desk.run("reset halt");
            for _ in 0..5 {
                // Without batches the probe's own commands for registers do it: READALLREGS, READREG.
                let most = if firmware.is_some() { (16, 16) } else { (2, 2) };
                at_most(&desk, "step; reg pc; reg r0; reg xPSR; reg psp; reg primask", most);
            }
            if firmware.is_none() {
                at_most(&desk, "step; reg", if chip.1 == "stm32h7" { (8, 4) } else { (4, 2) });
                at_most(&desk, "reg; halt; targets", (0, 0));
            } else {
                desk.run("step");
            }
            listed.push(desk.run("reg"));
        }
        // With and without batches a chip tells the same.
        assert!(listed.iter().all(|list| *list == listed[0]), "{listed:#?}");
        assert!(listed[0].contains("pc (/32): 0x08"), "{}", listed[0]);
    }
}

#[test]
fn start_up_to_halted_and_identified_is_14_transfers() {
    for (chip, target, _) in CHIPS {
        for probe in PROBES {
            // Powered on, as a probe that was just plugged in: the first command counts too.
            let board = Board::new(&Config { chip: Some(chip.into()), probe: Some(probe.into()), ..Config::default() }).unwrap();
            let desk = Desk { host: Desk::host(&board, target), board, probe };
            let said = at_most(&desk, "halt", (14, 14));
            assert!(said.contains("halted due to debug-request") && said.contains(" pc: 0x"), "{said}");
            let session = desk.host.cx().session.borrow();
            let session = session.as_ref().unwrap();
            assert!(session.die.name.starts_with(if target == "stm32h7" { "STM32H742/743" } else { "STM32G07" }), "{}", session.die.name);
            assert!(session.volts.is_some() && !session.banks.is_empty());
            // Both watchdogs stop while the core does (DBGMCU_APB4FZ1, DBG_APB_FZ1).
            let (freeze, bit) = if target == "stm32h7" { (0x5C00_1054, 1 << 18) } else { (0x4001_5808, 1 << 12) };
            let word = desk.board.dump(freeze, 4).unwrap();
            assert_ne!(u32::from_le_bytes(word.try_into().unwrap()) & bit, 0, "{chip} on {probe}");
        }
    }
}

#[test]
fn registers_are_read_once_more_after_anything_that_may_have_changed_them() {
    for chip in CHIPS {
        for probe in PROBES {
            let desk = Desk::new(chip, probe, None);
            desk.run("reset halt; step");
            let pc = desk.run("reg pc");
            desk.run("reg r3 0x12345678; reg sp 0x20000800");
            assert_eq!((desk.run("reg r3"), desk.run("reg msp")), ("r3 (/32): 0x12345678".into(), "msp (/32): 0x20000800".into()));
            // By hand, through DCRDR and DCRSR.
            desk.run("mww 0xe000edf8 0x87654321; mww 0xe000edf4 0x10003");
            assert_eq!(desk.run("reg r3"), "r3 (/32): 0x87654321");
            // The button: the core runs from its vector, and there is nothing to read.
            desk.board.press_reset();
            let mut error = None;
            let line = |line: &str, error: &mut Option<String>| {
                *error = desk.host.line(line, &mut |_| {}).err().map(|error| error.message);
            };
            line("step", &mut error);
            assert!(error.as_deref().is_some_and(|text| text.ends_with("is running")), "{error:?}");
            line("reg pc", &mut error);
            assert!(error.as_deref().is_some_and(|text| text.ends_with("is running")), "{error:?}");
            desk.run("halt");
            assert_ne!(desk.run("reg pc"), pc);
        }
    }
}

#[test]
fn a_poll_is_one_transfer_and_polls_are_as_far_apart_as_what_they_wait_for() {
    for chip in CHIPS {
        let desk = Desk::new(chip, "v3", None);
        desk.run("connect");
        desk.board.record(true);
        let error = desk.host.line("wait_halt 1000", &mut |_| {}).unwrap_err();
        assert!(error.message.starts_with("timed out while waiting"), "{error}");
        let polls = desk.board.log();
        let looks = polls.iter().filter(|sent| sent.command[..6] == [0xF2, 0x36, 0xF0, 0xED, 0x00, 0xE0]).count();
        assert!(looks >= polls.len() - 1, "{looks} of {} commands are looks at DHCSR", polls.len());
        assert!((50..200).contains(&looks), "{looks} looks in a second");
        let apart: Vec<u64> = polls.windows(2).map(|pair| pair[1].at - pair[0].at).collect();
        assert!(apart.iter().all(|ns| *ns < 11_000_000) && apart[1..4].iter().all(|ns| *ns < 500_000), "{apart:?}");
    }
}
