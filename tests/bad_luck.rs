//! Something goes wrong at the n-th transfer of a whole run: for each n the run ends with a named error or overcomes it,
//! NRST is released, the probe is out of debug mode, and the next run on the same board succeeds.

use rocd::command::Settings;
use rocd::error::{Error, Kind, Result};
use rocd::event::Silent;
use rocd::host::{Cancel, Host};
use rocd::sim::{Board, Config, Inject};
use std::rc::Rc;
use std::time::Duration;

struct Case {
    chip: &'static str,
    target: &'static str,
    probe: &'static str,
    image: &'static str,
}

const G0: Case = Case { chip: "stm32g071", target: "stm32g0", probe: "v2", image: "blinky-g071.elf" };
const H7: Case = Case { chip: "stm32h743", target: "stm32h7", probe: "v3", image: "blinky-h743.elf" };

const FLASH: u32 = 0x0800_0000;

impl Case {
    fn board(&self) -> Board {
        let config = Config { chip: Some(self.chip.into()), probe: Some(self.probe.into()), ..Config::default() };
        Board::new(&config).unwrap()
    }

    /// A complete run of rocd on this board.
    fn run(&self, board: &Board, before: &str) -> Result<()> {
        let host = Host::new(Rc::new(Silent), Cancel::default(), Settings::default(), 0)?;
        host.file("sim")?;
        host.file(self.target)?;
        host.cx().board.borrow_mut().board = Some(board.clone());
        let image = format!("{}/tests/firmware/{}", env!("CARGO_MANIFEST_DIR"), self.image);
        let done = host.line(&format!("{before} program {{{image}}} verify reset"), &mut |_| {});
        let left = host.leave();
        done.and(left)
    }

    /// How many transfers a run without bad luck takes, and what is in flash after it.
    fn clean(&self, before: &str) -> (u32, Vec<u8>) {
        let board = self.board();
        board.record(true);
        self.run(&board, before).unwrap();
        (board.log().len() as u32, board.dump(FLASH, 4096).unwrap())
    }
}

/// One run with bad luck at transfer `n`, and one without.
fn twice(case: &Case, before: &str, n: u32, what: Inject, flash: &[u8]) {
    let at = format!("{what:?} at transfer {n} on {}", case.chip);
    let board = case.board();
    board.inject_after(n, what);
    match case.run(&board, before) {
        Ok(()) => assert_eq!(board.dump(FLASH, flash.len() as u32).unwrap(), flash, "{at}: success without the image"),
        Err(error) => is_named(&error, what, &at),
    }
    assert!(!board.nrst_low(), "{at}: the chip is left in reset");
    assert!(!board.debugging(), "{at}: the probe is left in debug mode");
    board.inject(Inject::Heal);
    board.plug();
    case.run(&board, before).unwrap_or_else(|error| panic!("{at}: the next run: {error}"));
    assert_eq!(board.dump(FLASH, flash.len() as u32).unwrap(), flash, "{at}: the next run");
}

fn is_named(error: &Error, what: Inject, at: &str) {
    let kinds: &[Kind] = match what {
        Inject::Unplug | Inject::Stall | Inject::Silent | Inject::ShortReply(_) => &[Kind::Probe],
        Inject::Wait(_) | Inject::Parity => &[Kind::Target],
        Inject::Fault(_) | Inject::Heal => &[],
    };
    assert!(kinds.contains(&error.kind) && !error.message.is_empty(), "{at}: {error}");
}

/// Every `step`th transfer of a run, beginning with another one for each kind of bad luck.
fn sweep(case: &Case, before: &str, what: &[Inject], step: usize) {
    let (transfers, flash) = case.clean(before);
    for (first, what) in what.iter().enumerate() {
        for n in (first as u32 % step as u32..transfers).step_by(step) {
            twice(case, before, n, *what, &flash);
        }
    }
}

/// What a cable does. The `Stall` also loses the command, where `ShortReply` and `Silent` only lose its answer.
const CABLE: &[Inject] = &[Inject::Unplug, Inject::Stall, Inject::Silent, Inject::ShortReply(0), Inject::ShortReply(1)];
/// What a wire does, and a bus that is held for a moment and for ever.
const WIRE: &[Inject] = &[Inject::Parity, Inject::Wait(1), Inject::Wait(100_000)];

#[test]
fn a_bad_cable_on_a_g0() {
    sweep(&G0, "", CABLE, 29);
}

#[test]
fn a_bad_cable_on_an_h7() {
    sweep(&H7, "", CABLE, 61);
}

#[test]
fn a_bad_wire_on_a_g0() {
    sweep(&G0, "", WIRE, 29);
}

#[test]
fn a_bad_wire_on_an_h7() {
    sweep(&H7, "", WIRE, 61);
}

/// Coming in under reset and going out are where NRST and debug mode can be left wrong: every transfer of both.
fn in_and_out(case: &Case) {
    const BEFORE: &str = "connect under_reset;";
    let (transfers, flash) = case.clean(BEFORE);
    for what in [Inject::Stall, Inject::Silent, Inject::Wait(100_000)] {
        for n in (0..16).chain(transfers - 6..transfers) {
            twice(case, BEFORE, n, what, &flash);
        }
    }
}

#[test]
fn the_first_and_last_transfers_of_a_g0_under_reset() {
    in_and_out(&G0);
}

#[test]
fn the_first_and_last_transfers_of_an_h7_under_reset() {
    in_and_out(&H7);
}

/// A probe whose firmware has crashed answers nothing more, and each question costs its time-out.
#[test]
fn a_probe_that_died_is_given_up_soon() {
    for n in [0, 5, 40, 100, 200] {
        let board = G0.board();
        for later in 0..400 {
            board.inject_after(n + later, Inject::Silent);
        }
        let before = board.now();
        let error = G0.run(&board, "").unwrap_err();
        assert_eq!(error.kind, Kind::Probe, "{error}");
        let waited = board.now() - before;
        assert!(waited < Duration::from_secs(30), "from transfer {n} on: {waited:?} until {error}");
    }
}
