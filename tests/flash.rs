//! Flash, from a plan to the cells: the drivers through the ST-Link protocol on every die of the embedded board. What the
//! chip holds is read by the board's own door, never through the probe.

use rocd::desc::{Known, Target};
use rocd::error::{Cause, Error, Kind, Result};
use rocd::event::{Ears, Event, Sink};
use rocd::flash::{Action, Erase, Manner, Policy};
use rocd::image::{Format, Image, Segment};
use rocd::probe::{self, Info};
use rocd::session::{AttachOptions, Left, Session};
use rocd::sim::{Board, Config, Inject};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const H7: &str = include_str!("../targets/stm32h7.toml");
const G0: &str = include_str!("../targets/stm32g0.toml");

struct Chip {
    name: &'static str,
    target: &'static str,
    flash: u32,
    sector: u32,
    word: u32,
}

const CHIPS: &[Chip] = &[
    Chip { name: "stm32h743", target: H7, flash: 2048 << 10, sector: 128 << 10, word: 32 },
    Chip { name: "stm32h745", target: H7, flash: 2048 << 10, sector: 128 << 10, word: 32 },
    Chip { name: "stm32h750", target: H7, flash: 128 << 10, sector: 128 << 10, word: 32 },
    Chip { name: "stm32h723", target: H7, flash: 1024 << 10, sector: 128 << 10, word: 32 },
    Chip { name: "stm32h7a3", target: H7, flash: 2048 << 10, sector: 8 << 10, word: 16 },
    Chip { name: "stm32g030", target: G0, flash: 64 << 10, sector: 2 << 10, word: 8 },
    Chip { name: "stm32g031", target: G0, flash: 64 << 10, sector: 2 << 10, word: 8 },
    Chip { name: "stm32g051", target: G0, flash: 64 << 10, sector: 2 << 10, word: 8 },
    Chip { name: "stm32g071", target: G0, flash: 128 << 10, sector: 2 << 10, word: 8 },
    Chip { name: "stm32g0b1", target: G0, flash: 512 << 10, sector: 2 << 10, word: 8 },
];

const FLASH: u32 = 0x0800_0000;

fn chip(name: &str) -> &'static Chip {
    CHIPS.iter().find(|chip| chip.name == name).expect("a chip of the table")
}

#[derive(Default)]
struct Heard(RefCell<Vec<Event>>);

impl Sink for Heard {
    fn emit(&self, event: Event) {
        self.0.borrow_mut().push(event);
    }
}

impl Heard {
    fn progress(&self, wanted: &str) -> Vec<(u64, u64)> {
        let events = self.0.borrow();
        let progress = events.iter().filter_map(|event| match event {
            Event::Progress { phase, done, total } if *phase == wanted => Some((*done, *total)),
            _ => None,
        });
        progress.collect()
    }
}

/// A board with a chip, and a session on it.
struct Rig {
    board: Board,
    session: Session,
    heard: Rc<Heard>,
    stop: Rc<Cell<Stop>>,
}

/// When Ctrl-C comes.
#[derive(Clone, Copy, Default)]
enum Stop {
    #[default]
    Never,
    /// After so many looks at the cancel flag.
    Looks(u32),
    /// The same, and at the next look again.
    Twice(u32),
    /// Once so many bytes are written.
    Written(u64),
    /// Once so many bytes are written something happens to the chip instead.
    Then(u64, fn(&Board)),
}

fn rig(chip: &Chip) -> Rig {
    rig_with(chip, "v3")
}

fn rig_with(chip: &Chip, probe: &str) -> Rig {
    let board = Board::new(&Config { chip: Some(chip.name.into()), probe: Some(probe.into()), ..Config::default() }).unwrap();
    // An M7's caches hold what was, as on the chip.
    if chip.target == H7 {
        board.set_cache_strict(true).unwrap();
    }
    attach(chip, board)
}

fn attach(chip: &Chip, board: Board) -> Rig {
    let known = Known { probes: &["stlink"], flash: &["stm32h7", "stm32g0"] };
    let target = Rc::new(Target::parse(chip.target, chip.name, &known).unwrap());
    let heard = Rc::new(Heard::default());
    let stop: Rc<Cell<Stop>> = Rc::default();
    let (ask, events, there) = (stop.clone(), heard.clone(), board.clone());
    let breathe = move || match ask.get() {
        Stop::Never => Ok(()),
        Stop::Looks(more) if more > 0 => {
            ask.set(Stop::Looks(more - 1));
            Ok(())
        }
        Stop::Written(bytes) if events.progress("write").last().is_none_or(|(done, _)| *done < bytes) => Ok(()),
        Stop::Then(bytes, what) => {
            if events.progress("write").last().is_some_and(|(done, _)| *done >= bytes) {
                what(&there);
                ask.set(Stop::Never);
            }
            Ok(())
        }
        Stop::Twice(more) if more > 0 => {
            ask.set(Stop::Twice(more - 1));
            Ok(())
        }
        stop => {
            ask.set(if matches!(stop, Stop::Twice(_)) { Stop::Looks(0) } else { Stop::Never });
            Err(Error::command("interrupted").cause(Cause::Interrupted(2)))
        }
    };
    let ears = Ears { sink: heard.clone(), breathe: Rc::new(breathe) };
    let found = board.found();
    let info = Info { vid: found.vid, pid: found.pid, serial: found.serial, path: found.path, ..Info::default() };
    let probe = (probe::DRIVERS[0].open)(board.pipe(), info).unwrap();
    let session = Session::attach(probe, target, &AttachOptions { khz: None, exact: false, under_reset: false }, ears).unwrap();
    Rig { board, session, heard, stop }
}

impl Rig {
    fn program(&mut self, image: &Image) -> Result<rocd::flash::Done> {
        let plan = self.session.plan(image, Policy::Erase)?;
        self.session.execute(&plan, Manner::default())
    }

    fn word(&self, address: u32) -> u32 {
        u32::from_le_bytes(self.board.dump(address, 4).unwrap().try_into().unwrap())
    }

    fn set_word(&self, address: u32, value: u32) {
        self.board.poke(address, &value.to_le_bytes()).unwrap();
    }

    fn flash(&self, chip: &Chip) -> Vec<u8> {
        self.board.dump(FLASH, chip.flash).unwrap()
    }
}

/// Dense, unlike in every place, and without a word of ones.
fn pattern(seed: u32, len: u32) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(0x9E37_79B1) ^ seed.wrapping_mul(0x85EB_CA6B)).to_be_bytes()[0] & 0x7F).collect()
}

fn image(segments: &[(u32, Vec<u8>)]) -> Image {
    let segments = segments.iter().map(|(address, data)| Segment { address: *address, data: data.clone() }).collect();
    Image::new("app.elf", Format::Elf, segments)
}

fn overlay(flash: &mut [u8], segments: &[(u32, Vec<u8>)]) {
    for (address, data) in segments {
        let at = (address - FLASH) as usize;
        flash[at..at + data.len()].copy_from_slice(data);
    }
}

/// A short image at the start, one across the middle (of two banks, where there are two), one that ends with flash.
fn spread(chip: &Chip) -> Vec<(u32, Vec<u8>)> {
    let middle = FLASH + chip.flash / 2;
    vec![
        (FLASH, pattern(1, 3 * chip.word + 5)),
        (middle - 2 * chip.word - 3, pattern(2, 4 * chip.word + 6)),
        (FLASH + chip.flash - 70, pattern(3, 70)),
    ]
}

#[test]
fn every_die_holds_the_image_and_nothing_else_after_programming() {
    for chip in CHIPS {
        let mut rig = rig(chip);
        let mut wanted = rig.flash(chip);
        let segments = spread(chip);
        let done = rig.program(&image(&segments)).unwrap();
        overlay(&mut wanted, &segments);
        assert!(rig.flash(chip) == wanted, "{}", chip.name);
        assert_eq!(done.erased_sectors, 0, "{}: a blank chip needs no erase", chip.name);
        assert_eq!(rig.heard.progress("write").last(), Some(&(done.written_bytes, done.written_bytes)), "{}", chip.name);
    }
}

#[test]
fn every_die_keeps_what_shares_a_sector_with_the_image() {
    for chip in CHIPS {
        let mut rig = rig(chip);
        let old = pattern(7, 5 * chip.word);
        // Calibration data in the image's first sector, an old program where the image goes, another at the end of the sector.
        let places = [FLASH, FLASH + 8 * chip.word, FLASH + chip.sector - 5 * chip.word];
        places.iter().for_each(|place| rig.board.poke(*place, &old).unwrap());
        let mut wanted = rig.flash(chip);
        let segments = [(FLASH + chip.word + 3, pattern(8, 9 * chip.word))];
        let done = rig.program(&image(&segments)).unwrap();
        overlay(&mut wanted, &segments);
        assert!(rig.flash(chip) == wanted, "{}", chip.name);
        assert_eq!((done.erased_sectors, done.erased_bytes), (1, chip.sector.into()), "{}", chip.name);
        assert!(done.kept_bytes >= u64::from(6 * chip.word), "{}: {}", chip.name, done.kept_bytes);
        assert!(done.erase_seconds > 0.001 && done.write_seconds > 0.0, "{}: {done:?}", chip.name);
    }
}

#[test]
fn a_second_run_writes_nothing() {
    for chip in CHIPS {
        let mut rig = rig(chip);
        let image = image(&spread(chip));
        rig.program(&image).unwrap();
        let flash = rig.flash(chip);
        // The program may be writing flash itself: it is not disturbed.
        let (keyr, cr, lock) =
            if chip.name.starts_with("stm32h7") { (0x5200_2004, 0x5200_200C, 1) } else { (0x4002_2008, 0x4002_2014, 1 << 31) };
        write(&mut rig, &[(keyr, 0x4567_0123), (keyr, 0xCDEF_89AB)]);
        let plan = rig.session.plan(&image, Policy::NoErase).unwrap();
        assert!(plan.steps.iter().all(|step| step.action == Action::Skip), "{}", chip.name);
        let done = rig.session.execute(&plan, Manner::default()).unwrap();
        assert_eq!((done.written_bytes, done.erased_sectors), (0, 0), "{}", chip.name);
        assert_eq!(rig.word(cr) & lock, 0, "{}", chip.name);
        assert!(rig.flash(chip) == flash, "{}", chip.name);
    }
}

#[test]
fn a_plan_changes_nothing() {
    for chip in CHIPS {
        let mut rig = rig(chip);
        rig.board.poke(FLASH, &pattern(1, 64)).unwrap();
        let (flash, report) = (rig.flash(chip), rig.board.flash_report());
        rig.session.plan(&image(&spread(chip)), Policy::Erase).unwrap();
        assert!(rig.flash(chip) == flash, "{}", chip.name);
        assert_eq!(rig.board.flash_report(), report, "{}", chip.name);
    }
}

#[test]
fn without_erase_a_used_sector_is_refused_and_a_blank_one_written() {
    for name in ["stm32h743", "stm32g071"] {
        let chip = chip(name);
        let mut rig = rig(chip);
        rig.board.poke(FLASH, &[0; 32]).unwrap();
        let flash = rig.flash(chip);
        let error = rig.session.plan(&image(&[(FLASH, vec![1; 32])]), Policy::NoErase).unwrap_err();
        assert!(error.hint.as_ref().unwrap().starts_with("add erase"), "{error}");
        assert!(rig.flash(chip) == flash);
        let plan = rig.session.plan(&image(&[(FLASH + 64, vec![1; 32])]), Policy::NoErase).unwrap();
        rig.session.execute(&plan, Manner::default()).unwrap();
        assert_eq!(rig.board.dump(FLASH, 96).unwrap(), [vec![0; 32], vec![0xFF; 32], vec![1; 32]].concat());
    }
}

#[test]
fn every_probe_programs_the_same() {
    for probe in ["v2", "v2-1", "v3"] {
        for name in ["stm32h743", "stm32g071"] {
            let chip = chip(name);
            let mut rig = rig_with(chip, probe);
            let mut wanted = rig.flash(chip);
            let segments = [(FLASH + 40, pattern(4, 3000))];
            rig.program(&image(&segments)).unwrap();
            overlay(&mut wanted, &segments);
            assert!(rig.flash(chip) == wanted, "{name} with {probe}");
        }
    }
}

#[test]
fn sectors_and_banks_are_erased_alone() {
    for chip in CHIPS {
        let mut rig = rig(chip);
        rig.board.poke(FLASH, &vec![0x5A; chip.flash as usize]).unwrap();
        let last = rig.session.banks.len() - 1;
        let bank = rig.session.banks[last].clone();
        rig.session.erase(&[(bank.clone(), Erase::Sector(bank.sectors() - 1))], false).unwrap();
        let mut wanted = vec![0x5A; chip.flash as usize];
        wanted[(chip.flash - chip.sector) as usize..].fill(0xFF);
        assert!(rig.flash(chip) == wanted, "{}: the last sector", chip.name);
        let first = rig.session.banks[0].clone();
        rig.session.erase(&[(first, Erase::Bank)], false).unwrap();
        wanted[..rig.session.banks[0].size as usize].fill(0xFF);
        assert!(rig.flash(chip) == wanted, "{}: the first bank", chip.name);
    }
}

#[test]
fn flash_is_locked_afterwards_whatever_happened() {
    for (name, lock) in [("stm32h743", (0x5200_200C, 1)), ("stm32g071", (0x4002_2014, 1 << 31))] {
        let mut rig = rig(chip(name));
        let (register, bit) = lock;
        rig.program(&image(&[(FLASH, pattern(1, 500))])).unwrap();
        assert_eq!(rig.word(register) & bit, bit, "{name}: after success");
        rig.stop.set(Stop::Looks(3));
        let error = rig.program(&image(&[(FLASH, pattern(2, 5000))])).unwrap_err();
        assert!(matches!(error.cause, Cause::Interrupted(_)), "{error}");
        assert_eq!(rig.word(register) & bit, bit, "{name}: after an interrupt");
    }
}

#[test]
fn an_interrupted_run_says_what_flash_holds_and_the_next_run_completes() {
    for name in ["stm32h743", "stm32h7a3", "stm32g071", "stm32g0b1"] {
        let chip = chip(name);
        let start = FLASH + chip.sector - 2048;
        let segments = [(start, pattern(5, 6144))];
        for stop in [1, 2048, 5000] {
            let mut rig = rig(chip);
            rig.board.poke(start, &[0; 64]).unwrap();
            let plan = rig.session.plan(&image(&segments), Policy::Erase).unwrap();
            rig.stop.set(Stop::Written(stop));
            let error = rig.session.execute(&plan, Manner::NORESET).unwrap_err();
            assert!(matches!(error.cause, Cause::Interrupted(_)), "{name}: {error}");
            let (reported, total) = *rig.heard.progress("write").last().unwrap();
            assert!(reported >= stop && reported < total, "{name}: {reported} of {total}");
            let told = format!("{reported} of {total} bytes");
            assert!(error.trail.iter().any(|line| line.contains(&told)), "{name}: {told} is not in {error}");
            let there = rig.board.dump(start, reported as u32).unwrap();
            assert!(there == segments[0].1[..reported as usize], "{name}: what is told is there");
            rig.stop.set(Stop::Never);
            let mut wanted = rig.flash(chip);
            rig.program(&image(&segments)).unwrap();
            overlay(&mut wanted, &segments);
            assert!(rig.flash(chip) == wanted, "{name}: second run");
        }
    }
}

#[test]
fn a_pulled_plug_is_an_error_and_the_next_session_completes() {
    for name in ["stm32h743", "stm32g071"] {
        let chip = chip(name);
        let segments = [(FLASH, pattern(6, 20_000))];
        let mut rig = rig(chip);
        let plan = rig.session.plan(&image(&segments), Policy::Erase).unwrap();
        rig.board.inject_after(200, Inject::Unplug);
        let error = rig.session.execute(&plan, Manner::default()).unwrap_err();
        assert_eq!(error.cause, Cause::Unplugged, "{error}");
        assert!(error.trail.iter().any(|line| line.contains("written so far")), "{error}");
        rig.board.plug();
        let mut rig = attach(chip, rig.board);
        rig.program(&image(&segments)).unwrap();
        assert!(rig.board.dump(FLASH, 20_000).unwrap() == segments[0].1, "{name}");
    }
}

#[test]
fn what_two_banks_hold_when_the_plug_is_pulled_is_one_range_for_each() {
    let chip = chip("stm32h743");
    let segments = [(FLASH, pattern(6, 200_000)), (FLASH + 0x10_0000, pattern(7, 200_000))];
    let mut rig = rig(chip);
    let plan = rig.session.plan(&image(&segments), Policy::Erase).unwrap();
    rig.stop.set(Stop::Then(200_000, |board| board.unplug()));
    let error = rig.session.execute(&plan, Manner::default()).unwrap_err();
    let told = error.trail.iter().find_map(|line| line.split_once("written so far: ")).unwrap().1;
    assert!(told.starts_with("0x08000000..0x08") && told.contains(", 0x08100000..0x081"), "{error}");
    assert_eq!(told.matches("..").count(), 2, "{error}");
}

#[test]
fn an_erase_that_ctrl_c_meets_is_waited_for_and_told() {
    for (name, erase) in [("stm32h743", "erasing sector 0 of bank 1, 0x08000000"), ("stm32g071", "erasing sector 0 of bank 1, 0x08000000")]
    {
        let chip = chip(name);
        let mut rig = rig(chip);
        rig.board.poke(FLASH, &[0; 64]).unwrap();
        let plan = rig.session.plan(&image(&[(FLASH, pattern(1, 64))]), Policy::Erase).unwrap();
        rig.stop.set(Stop::Looks(2));
        let error = rig.session.execute(&plan, Manner::NORESET).unwrap_err();
        assert_eq!(error.trail[0], erase, "{error}");
        assert!(error.trail[1].contains("erased so far: sector 0 of bank 1; written so far: nothing"), "{error}");
        assert!(rig.board.dump(FLASH, chip.sector).unwrap().iter().all(|byte| *byte == 0xFF), "{name}");
        let said = Event::Warning(format!(
            "waiting for the running erase, up to {} s; again to leave now",
            if name == "stm32h743" { "4.0" } else { "0.1" }
        ));
        assert!(rig.heard.0.borrow().contains(&said), "{name}: {:?}", rig.heard.0.borrow().last());
    }
}

#[test]
fn a_second_ctrl_c_leaves_the_erase_to_the_reset_and_the_sector_is_erased_again() {
    let chip = chip("stm32h743");
    let mut rig = rig(chip);
    rig.board.poke(FLASH, &[0; 64]).unwrap();
    let wanted = image(&[(FLASH, pattern(1, 64))]);
    let plan = rig.session.plan(&wanted, Policy::Erase).unwrap();
    let before = rig.session.probe.now();
    rig.stop.set(Stop::Twice(2));
    let error = rig.session.execute(&plan, Manner::NORESET).unwrap_err();
    assert_eq!(error.cause, Cause::Abandoned(2), "{error}");
    assert!(error.trail.iter().any(|line| line.contains("erased so far: nothing")), "{error}");
    assert!(rig.session.probe.now() - before < Duration::from_millis(200), "a second interrupt waits for nothing");
    rig.session.detach().unwrap_err();
    let mut again = attach(chip, rig.board);
    // What a torn erase left beside the image cannot be kept, so the user decides.
    let torn = again.program(&wanted).unwrap_err();
    assert!(torn.message.contains("is damaged and cannot be read"), "{torn}");
    let bank = again.session.banks[0].clone();
    again.session.erase(&[(bank, Erase::Sector(0))], false).unwrap();
    again.program(&wanted).unwrap();
    assert_eq!(again.board.dump(FLASH, 64).unwrap(), pattern(1, 64));
}

/// A word whose programming was interrupted: in a sector that otherwise holds the image, in one that is replaced, in one
/// that is not touched, and beside the image.
#[test]
fn a_torn_word_costs_its_sector_and_never_reads_as_blank() {
    for (name, noloader) in [("stm32h743", false), ("stm32h743", true), ("stm32g071", false), ("stm32g071", true)] {
        let chip = chip(name);
        let manner = Manner { noloader, ..Manner::default() };
        let wanted = pattern(16, 2 * chip.sector);
        let mut rig = rig(chip);
        rig.board.poke(FLASH, &wanted).unwrap();
        rig.board.poke(FLASH + chip.sector, &[0x55; 64]).unwrap();
        for torn in [64, chip.sector + 64, 3 * chip.sector + 64] {
            rig.board.tear(FLASH + torn).unwrap();
        }
        let plan = rig.session.plan_to_write(&image(&[(FLASH, wanted.clone())]), Policy::Erase, manner).unwrap();
        assert_eq!(plan.steps.iter().map(|step| step.action).collect::<Vec<_>>(), [Action::Replace; 2], "{name}");
        rig.session.execute(&plan, manner).unwrap();
        assert!(rig.board.dump(FLASH, 2 * chip.sector).unwrap() == wanted, "{name}");
        assert_eq!(rig.session.verify(&image(&[(FLASH, wanted.clone())])).unwrap(), u64::from(2 * chip.sector), "{name}: readable again");

        let before = rig.flash(chip);
        let part = image(&[(FLASH + 3 * chip.sector, pattern(17, 64))]);
        let error = rig.session.plan_to_write(&part, Policy::Erase, Manner::default()).unwrap_err();
        let at = FLASH + 3 * chip.sector + 64;
        assert_eq!(error.message, format!("the flash word at {at:#010x} is damaged and cannot be read, and the image does not cover it"));
        assert!(error.hint.as_ref().unwrap().contains("flash erase_sector 0 3 3"), "{error}");
        assert!(rig.flash(chip) == before, "nothing was changed");
        let bank = rig.session.banks[0].clone();
        rig.session.erase(&[(bank, Erase::Sector(3))], false).unwrap();
        rig.program(&part).unwrap();
        assert!(rig.board.dump(FLASH + 3 * chip.sector, 64).unwrap() == pattern(17, 64), "{name}");
    }
}

/// As an erase leaves it that was cut short: a sector that the image covers is replaced, of another the way out is told.
#[test]
fn a_sector_of_which_nothing_can_be_read_is_replaced_or_named() {
    for name in ["stm32h743", "stm32g071"] {
        let chip = chip(name);
        let wanted = pattern(16, chip.sector);
        let mut rig = rig(chip);
        for sector in [0, 1] {
            for torn in (0..1024).step_by(8) {
                rig.board.tear(FLASH + sector * chip.sector + torn).unwrap();
            }
        }
        rig.program(&image(&[(FLASH, wanted.clone())])).unwrap();
        assert!(rig.board.dump(FLASH, chip.sector).unwrap() == wanted, "{name}");
        let error = rig.program(&image(&[(FLASH + chip.sector, pattern(17, 512))])).unwrap_err();
        assert!(error.message.starts_with("more than 8 flash words cannot be read"), "{name}: {error}");
        assert!(error.hint.as_ref().unwrap().contains("`flash erase_sector 0 1 1`"), "{name}: {error}");
    }
}

/// What may happen to the chip while the loader works: an endless loop where its code was, a reset, no clock for RAM's code.
#[test]
fn a_loader_that_does_not_go_on_is_told_with_its_place_and_a_second_run_completes() {
    let endless: fn(&Board) = |board| board.poke(0x2000_0040, &[0xFE, 0xE7].repeat(0x60)).unwrap();
    let reset: fn(&Board) = |board| board.press_reset();
    for (name, what) in [("stm32h743", endless), ("stm32h743", reset), ("stm32g071", endless), ("stm32g071", reset)] {
        let chip = chip(name);
        let wanted = image(&[(FLASH, pattern(22, 48 << 10))]);
        let mut rig = rig(chip);
        rig.board.poke(FLASH, &[0; 64]).unwrap();
        let plan = rig.session.plan_to_write(&wanted, Policy::Erase, Manner::default()).unwrap();
        rig.stop.set(Stop::Then(1, what));
        let error = rig.session.execute(&plan, Manner::default()).unwrap_err();
        let next = format!("next address {:#010x}", FLASH).replace("08000000", "0800");
        assert!(error.message.starts_with("the loader "), "{name}: {error}");
        assert!(error.message.contains(&next) && error.message.contains("FLASH_SR"), "{name}: {error}");
        assert!(error.trail.iter().any(|line| line.contains("written so far: 0x08000000..")), "{name}: {error}");
        assert!(error.hint.is_some(), "{name}: {error}");
        let mut rig = attach(chip, {
            drop(rig.session);
            rig.board
        });
        rig.program(&wanted).unwrap();
        assert!(rig.board.dump(FLASH, 48 << 10).unwrap() == pattern(22, 48 << 10), "{name}");
    }
}

/// A program that has switched the core to a slow clock and its flash to many wait states is reset first, so it does not matter;
/// one that is only halted (`noreset`) writes through the debug port, which needs no core.
#[test]
fn an_application_that_slowed_its_clocks_does_not_hinder() {
    let chip = chip("stm32g071");
    for noreset in [false, true] {
        let mut rig = rig(chip);
        rig.board.poke(FLASH, &[0; 64]).unwrap();
        rig.session.halt(0, Duration::from_secs(1)).unwrap();
        // RCC_CR.HSIDIV = /128, RCC_CFGR.HPRE = /512: 244 Hz (RM0444 5.4.1, 5.4.3)
        for (register, value) in [(0x4002_1000, 0x500 | 7 << 11), (0x4002_1008, 0xF << 8)] {
            rig.session.mem(0).write32(register, value).unwrap();
        }
        let wanted = image(&[(FLASH, pattern(23, 8192))]);
        let plan = rig.session.plan_to_write(&wanted, Policy::Erase, Manner::default()).unwrap();
        rig.session.execute(&plan, Manner { noreset, ..Manner::default() }).unwrap();
        assert!(rig.board.dump(FLASH, 8192).unwrap() == pattern(23, 8192), "noreset: {noreset}");
    }
}

/// The independent watchdog at its shortest, which the program started: with `noreset` it stops while the core is halted.
#[test]
fn a_watchdog_of_two_milliseconds_does_not_bite_a_change_without_reset() {
    for (name, kr) in [("stm32h743", 0x5800_4800), ("stm32g071", 0x4000_3000)] {
        let chip = chip(name);
        let mut rig = rig(chip);
        rig.board.poke(FLASH, &[0x11; 64]).unwrap();
        rig.session.halt(0, Duration::from_secs(1)).unwrap();
        // KR = 0x5555, PR = 0 (/4), RLR = 15: 16 * 4 / 32 kHz = 2 ms; KR = 0xAAAA, 0xCCCC (RM0433 46.4, RM0444 28.4)
        for (register, value) in [(kr, 0xCCCC), (kr, 0x5555), (kr + 4, 0), (kr + 8, 15), (kr, 0xAAAA)] {
            rig.session.mem(0).write32(register, value).unwrap();
        }
        rig.session.take_reset_seen(0).unwrap();
        let bank = rig.session.banks[0].clone();
        rig.session.erase(&[(bank, Erase::Bank)], true).unwrap();
        let plan = rig.session.plan_to_write(&image(&[(FLASH, pattern(18, 4096))]), Policy::Erase, Manner::default()).unwrap();
        rig.session.execute(&plan, Manner::NORESET).unwrap();
        assert!(rig.board.dump(FLASH, 4096).unwrap() == pattern(18, 4096), "{name}");
        assert!(!rig.session.take_reset_seen(0).unwrap(), "{name}: it bit");
    }
}

/// What was looked at leaves no trace: RAM, registers, the CRC unit and its clock.
#[test]
fn sums_leave_the_chip_as_it_was_and_a_running_program_is_read_instead() {
    let chip = chip("stm32g071");
    let wanted = image(&[(FLASH, pattern(19, chip.flash))]);
    let mut rig = rig(chip);
    rig.board.poke(FLASH, &pattern(19, chip.flash)).unwrap();
    rig.session.reset(rocd::session::ResetMode::Halt).unwrap();
    // CRCEN; INIT, CR (REV_OUT) and DR are the program's.
    for (register, value) in [(0x4002_1038, 0x1100), (0x4002_3010, 0x1234), (0x4002_3008, 0x81), (0x4002_3010, 7)] {
        rig.session.mem(0).write32(register, value).unwrap();
    }
    let look = |rig: &mut Rig| {
        let registers = rig.session.registers(0).unwrap();
        let values = rig.session.read_regs(0, &registers).unwrap();
        let unit = [0x4002_1038, 0x4002_3000, 0x4002_3008, 0x4002_3010, 0x4002_3014].map(|at| rig.session.mem(0).read32(at).unwrap());
        (rig.board.dump(0x2000_0000, 0x2000).unwrap(), values, unit)
    };
    let before = look(&mut rig);
    let seconds = |rig: &mut Rig| {
        let started = rig.session.probe.now();
        assert_eq!(rig.session.verify(&wanted).unwrap(), u64::from(chip.flash));
        (rig.session.probe.now() - started).as_secs_f64()
    };
    let summed = seconds(&mut rig);
    assert!(look(&mut rig) == before, "a trace is left");
    rig.board.poke(FLASH + 0x5000, &[0]).unwrap();
    let error = rig.session.verify(&wanted).unwrap_err();
    assert_eq!((error.kind, error.message.split(' ').next().unwrap()), (Kind::Mismatch, "0x08005000"), "{error}");
    rig.board.poke(FLASH + 0x5000, &pattern(19, chip.flash)[0x5000..0x5008]).unwrap();
    // b . at 0x20000000
    rig.session.mem(0).write32(0x2000_0000, 0xE7FE_E7FE).unwrap();
    rig.session.resume(0, Some(0x2000_0000)).unwrap();
    let read = seconds(&mut rig);
    assert!(read > 2.0 * summed, "{read} {summed}");
    assert_eq!(rig.session.state(0).unwrap(), rocd::session::State::Running);
}

#[test]
fn a_cold_g0_is_erased_whole_and_written_by_rows() {
    let chip = chip("stm32g071");
    let seconds = |upper: &[u8]| {
        let mut rig = rig(chip);
        rig.board.poke(FLASH, &pattern(20, 64 << 10)).unwrap();
        rig.board.poke(FLASH + chip.flash - chip.sector, upper).unwrap();
        let plan = rig.session.plan_to_write(&image(&[(FLASH, pattern(21, 64 << 10))]), Policy::Erase, Manner::default()).unwrap();
        let started = rig.session.probe.now();
        rig.session.execute(&plan, Manner::default()).unwrap();
        let taken = (rig.session.probe.now() - started).as_secs_f64();
        assert!(rig.board.dump(FLASH, 64 << 10).unwrap() == pattern(21, 64 << 10));
        assert!(rig.board.dump(FLASH + chip.flash - chip.sector, upper.len() as u32).unwrap() == upper, "a page of calibration survives");
        taken
    };
    let (whole, by_pages) = (seconds(&[]), seconds(&[0x5A; 32]));
    assert!(whole < 0.5 && by_pages > 1.0, "{whole} {by_pages}");
}

/// A chip may take a fast row amiss: the loader goes on word by word, and says so once.
#[test]
fn rows_that_are_refused_are_written_by_words() {
    let chip = chip("stm32g071");
    let mut rig = rig(chip);
    rig.board.set_rows_by_page();
    rig.board.poke(FLASH, &pattern(20, 64 << 10)).unwrap();
    let wanted = pattern(21, 64 << 10);
    let plan = rig.session.plan_to_write(&image(&[(FLASH, wanted.clone())]), Policy::Erase, Manner::default()).unwrap();
    rig.session.execute(&plan, Manner::default()).unwrap();
    assert!(rig.board.dump(FLASH, 64 << 10).unwrap() == wanted);
    let events = rig.heard.0.borrow();
    let warned: Vec<_> =
        events.iter().filter_map(|event| if let Event::Warning(text) = event { Some(text.as_str()) } else { None }).collect();
    assert_eq!(warned, ["the chip took a row amiss (FLASH_SR = 0x2a0): fast programming is off, words go one by one"]);
}

/// Fast rows end with the page that was erased: a blank page behind it is written word by word, and nothing is amiss.
#[test]
fn rows_behind_an_erased_page_are_not_tried_fast() {
    let chip = chip("stm32g0b1");
    let mut rig = rig(chip);
    rig.board.poke(FLASH, &[0x55; 64]).unwrap();
    let wanted = pattern(24, 3 * chip.sector);
    rig.program(&image(&[(FLASH, wanted.clone()), (FLASH + chip.flash / 2, wanted.clone())])).unwrap();
    assert!(rig.board.dump(FLASH, 3 * chip.sector).unwrap() == wanted);
    let events = rig.heard.0.borrow();
    let warned: Vec<_> = events.iter().filter(|event| matches!(event, Event::Warning(_))).collect();
    assert!(warned.is_empty(), "{warned:?}");
}

/// FLASH_OPTSR_CUR, WPSN1_CUR (H7), FLASH_OPTR, WRP1AR (G0): RM0433 4.9, RM0444 3.7.
const H7_OPTSR: u32 = 0x5200_201C;
const H7_WPSN1: u32 = 0x5200_2038;
const G0_OPTR: u32 = 0x4002_2020;
const G0_WRP1AR: u32 = 0x4002_202C;

/// Write an option register of a G0 as RM0444 3.4.2 says, launch the load, which resets the chip, and come in anew.
fn set_g0_option(chip: &Chip, mut rig: Rig, register: u32, value: u32) -> Rig {
    const KEYS: [(u32, u32); 4] =
        [(0x4002_2008, 0x4567_0123), (0x4002_2008, 0xCDEF_89AB), (0x4002_200C, 0x0819_2A3B), (0x4002_200C, 0x4C5D_6E7F)];
    const CR: u32 = 0x4002_2014;
    let mut mem = rig.session.mem(0);
    for (register, value) in KEYS.into_iter().chain([(register, value), (CR, 1 << 17)]) {
        mem.write32(register, value).unwrap();
    }
    mem.sleep(std::time::Duration::from_millis(100));
    // The reset may cut the answer off.
    let _ = mem.write32(CR, 1 << 27);
    attach(chip, rig.board)
}

fn refused(rig: &mut Rig, chip: &Chip, kind: Kind, words: &str) {
    let flash = rig.flash(chip);
    let error = rig.program(&image(&[(FLASH, pattern(1, 2 * chip.sector.min(chip.flash / 2)))])).unwrap_err();
    assert_eq!(error.kind, kind, "{}: {error}", chip.name);
    assert!(error.message.contains(words), "{}: {error}", chip.name);
    assert!(rig.flash(chip) == flash, "{}", chip.name);
}

#[test]
fn a_write_protected_sector_is_refused_before_anything_is_erased() {
    let h743 = chip("stm32h743");
    let mut h7 = rig(h743);
    h7.board.poke(FLASH, &[0; 64]).unwrap();
    h7.set_word(H7_WPSN1, 0xFD);
    refused(&mut h7, h743, Kind::Protected, "sector 1 of bank 1");
    let bank = h7.session.banks[0].clone();
    assert_eq!(h7.session.protection(&bank).unwrap(), [false, true, false, false, false, false, false, false]);
    let error = h7.session.erase(&[(bank.clone(), Erase::Sector(0)), (bank, Erase::Sector(1))], false).unwrap_err();
    assert_eq!(error.message, "write protected by option bytes: sector 1 of bank 1; nothing was changed");
    // Nor was the program stopped for it.
    assert_eq!(h7.session.detach(), Ok(Left::AsFound));
    let g071 = chip("stm32g071");
    let g0 = rig(g071);
    g0.board.poke(FLASH, &[0; 64]).unwrap();
    let mut g0 = set_g0_option(g071, g0, G0_WRP1AR, 1 | 3 << 16);
    refused(&mut g0, g071, Kind::Protected, "sector 1 of bank 1");
    let bank = g0.session.banks[0].clone();
    let flags = g0.session.protection(&bank).unwrap();
    assert_eq!(flags.iter().enumerate().filter(|(_, flag)| **flag).map(|(page, _)| page).collect::<Vec<_>>(), [1, 2, 3]);
}

#[test]
fn readout_protection_is_named() {
    let h743 = chip("stm32h743");
    let mut h7 = rig(h743);
    h7.set_word(H7_OPTSR, h7.word(H7_OPTSR) & !0xFF00 | 0x5500);
    refused(&mut h7, h743, Kind::Protected, "readout protection is at level 1");
    let g071 = chip("stm32g071");
    let g0 = rig(g071);
    let options = g0.word(G0_OPTR);
    let mut g0 = set_g0_option(g071, g0, G0_OPTR, options & !0xFF | 0xBB);
    refused(&mut g0, g071, Kind::Protected, "readout protection is at level 1");
}

#[test]
fn swapped_banks_are_refused_by_name() {
    let h743 = chip("stm32h743");
    let mut h7 = rig(h743);
    h7.set_word(H7_OPTSR, h7.word(H7_OPTSR) | 1 << 31);
    refused(&mut h7, h743, Kind::Target, "banks change places at the next reset");
    let g0b1 = chip("stm32g0b1");
    let g0 = rig(g0b1);
    let options = g0.word(G0_OPTR);
    let mut g0 = set_g0_option(g0b1, g0, G0_OPTR, options & !(1 << 20));
    refused(&mut g0, g0b1, Kind::Target, "banks are swapped");
}

/// FLASH_ACR: EMPTY is bit 16, DBG_SWEN bit 18.
const G0_ACR: u32 = 0x4002_2000;

#[test]
fn a_blank_g0_boots_what_was_programmed() {
    for name in ["stm32g030", "stm32g071", "stm32g0b1"] {
        let chip = chip(name);
        let mut rig = rig(chip);
        assert_eq!(rig.word(G0_ACR) >> 16 & 5, 5, "{name}: blank, and SWD is on");
        rig.program(&image(&[(FLASH + 64, pattern(1, 64))])).unwrap();
        assert_eq!(rig.word(G0_ACR) >> 16 & 1, 1, "{name}: its first word is still blank");
        rig.program(&image(&[(FLASH, pattern(1, 64))])).unwrap();
        assert_eq!(rig.word(G0_ACR) >> 16 & 5, 4, "{name}: EMPTY is cleared and SWD stays on");
    }
}

#[test]
fn an_image_outside_flash_is_refused_before_anything_is_touched() {
    let chip = chip("stm32g071");
    let mut rig = rig(chip);
    let flash = rig.flash(chip);
    for (address, words) in [(0x0802_0000, "outside flash"), (0x2000_0000, "lies in RAM"), (0x0000_0000, "outside flash")] {
        let error = rig.program(&image(&[(FLASH, vec![1; 8]), (address, vec![1; 8])])).unwrap_err();
        assert_eq!(error.kind.exit_code(), 8, "{error}");
        assert!(error.message.contains(words) && error.message.contains("0x08000000..0x0801ffff"), "{error}");
    }
    assert!(rig.flash(chip) == flash);
}

/// Through the probe, as firmware or another tool would do it.
fn write(rig: &mut Rig, writes: &[(u32, u32)]) {
    writes.iter().for_each(|(register, value)| rig.session.mem(0).write32(*register, *value).unwrap());
}

#[test]
fn whatever_goes_wrong_on_the_way_success_is_never_claimed_falsely() {
    let wrongs = [Inject::Wait(1), Inject::Wait(3), Inject::Parity, Inject::ShortReply(1), Inject::Stall, Inject::Silent];
    for name in ["stm32h743", "stm32g071"] {
        let chip = chip(name);
        let segments = [(FLASH + 8, pattern(9, 2000))];
        let mut failed = 0;
        for (nth, wrong) in wrongs.into_iter().enumerate() {
            for after in [30, 51, 77] {
                let mut rig = rig(chip);
                rig.board.poke(FLASH, &[3; 8]).unwrap();
                let mut wanted = rig.flash(chip);
                overlay(&mut wanted, &segments);
                rig.board.inject_after(after + nth as u32, wrong);
                if let Err(error) = rig.program(&image(&segments)) {
                    failed += 1;
                    assert!(!error.message.is_empty());
                    rig = attach(chip, rig.board);
                    rig.program(&image(&segments)).unwrap_or_else(|error| panic!("{name}: {wrong:?} after {after}: second run: {error}"));
                } else {
                    assert!(rig.flash(chip) == wanted, "{name}: {wrong:?} after {after} transfers");
                }
                assert!(rig.board.dump(FLASH + 8, 2000).unwrap() == segments[0].1, "{name}: {wrong:?} after {after}: the image");
            }
        }
        assert!(failed > 0, "{name}: something that went wrong was noticed");
    }
}

#[test]
fn a_word_that_is_not_blank_any_more_is_an_error_by_name() {
    let chip = chip("stm32g071");
    let mut rig = rig(chip);
    let plan = rig.session.plan(&image(&[(FLASH, pattern(1, 64))]), Policy::NoErase).unwrap();
    rig.board.poke(FLASH + 16, &[0x55; 8]).unwrap();
    let error = rig.session.execute(&plan, Manner::NORESET).unwrap_err();
    assert!(error.message.starts_with("PROGERR: the double word was not blank (FLASH_SR = 0x"), "{error}");
    assert_eq!(error.trail[0], "writing the flash word at 0x08000010");
    assert_eq!(rig.board.dump(FLASH, 32).unwrap(), [&pattern(1, 16)[..], &[0x55; 8], &[0xFF; 8]].concat());
}

/// PRAR1_CUR: 256-byte units, both ends included (RM0433 4.9.16).
#[test]
fn a_protected_area_is_an_error_by_name_and_loses_nothing() {
    let chip = chip("stm32h743");
    let mut rig = rig(chip);
    rig.board.poke(FLASH, &[0; 64]).unwrap();
    let plan = rig.session.plan(&image(&[(FLASH, pattern(1, 64))]), Policy::Erase).unwrap();
    rig.set_word(0x5200_2028, 0x0001_0000);
    let flash = rig.flash(chip);
    let error = rig.session.execute(&plan, Manner::NORESET).unwrap_err();
    assert!(error.message.starts_with("WRPERR: sector is write protected (FLASH_SR1 = 0x"), "{error}");
    assert_eq!((error.kind, error.trail[0].as_str()), (Kind::Protected, "erasing sector 0 of bank 1, 0x08000000"));
    assert!(rig.flash(chip) == flash);
}

const H7_KEYR: u32 = 0x5200_2004;
const H7_CR: u32 = 0x5200_200C;
const KEYS: [u32; 2] = [0x4567_0123, 0xCDEF_89AB];

#[test]
fn an_erase_that_still_runs_is_waited_for() {
    let chip = chip("stm32h743");
    let mut rig = rig(chip);
    rig.board.poke(FLASH + 7 * chip.sector, &[0; 64]).unwrap();
    let plan = rig.session.plan(&image(&[(FLASH, pattern(1, 64))]), Policy::Erase).unwrap();
    write(&mut rig, &[(H7_KEYR, KEYS[0]), (H7_KEYR, KEYS[1]), (H7_CR, 0x34 | 7 << 8), (H7_CR, 0xB4 | 7 << 8)]);
    rig.session.execute(&plan, Manner::NORESET).unwrap();
    assert_eq!(rig.board.dump(FLASH, 64).unwrap(), pattern(1, 64));
    assert_eq!(rig.board.dump(FLASH + 7 * chip.sector, 64).unwrap(), [0xFF; 64]);
}

#[test]
fn a_controller_locked_by_a_wrong_key_is_named_and_a_reset_opens_it() {
    let chip = chip("stm32h743");
    let mut rig = rig(chip);
    let plan = rig.session.plan(&image(&[(FLASH, pattern(1, 64))]), Policy::Erase).unwrap();
    // The wrong key itself faults (RM0433 4.5.1).
    let _ = rig.session.mem(0).write32(H7_KEYR, 0x1234_5678);
    let error = rig.session.execute(&plan, Manner::NORESET).unwrap_err();
    assert_eq!(error.kind, Kind::Target, "{error}");
    assert!(error.trail.iter().any(|line| line == "unlocking bank 1"), "{error}");
    rig.session.execute(&plan, Manner::default()).unwrap();
    assert_eq!(rig.board.dump(FLASH, 64).unwrap(), pattern(1, 64));
}

#[test]
fn a_low_voltage_makes_it_slower_and_is_said() {
    let chip = chip("stm32h743");
    let seconds = |volts: f32| {
        let mut rig = rig(chip);
        rig.session.banks.iter_mut().for_each(|bank| bank.volts = Some(volts));
        rig.board.poke(FLASH, &[0; 64]).unwrap();
        let done = rig.program(&image(&[(FLASH, pattern(1, 4096))])).unwrap();
        assert_eq!(rig.board.dump(FLASH, 4096).unwrap(), pattern(1, 4096));
        let warned = rig.heard.0.borrow().iter().any(|event| matches!(event, Event::Warning(text) if text.contains("32 bits at a time")));
        (done.erase_seconds, warned)
    };
    let (high, low) = (seconds(3.3), seconds(1.7));
    assert!(low.0 > high.0, "{low:?} {high:?}");
    assert!(low.1 && !high.1);
}

#[test]
fn with_and_without_a_loader_flash_holds_the_same_and_with_it_sooner() {
    for chip in CHIPS {
        // Both banks where there are two, an odd length, words of ones in the middle.
        let mut data = pattern(11, 20_004);
        data[8000..9000].fill(0xFF);
        let segments = [(FLASH, data.clone()), (FLASH + chip.flash / 2 + 2048, data)];
        let mut seconds = vec![];
        let mut flash = vec![];
        for noloader in [false, true] {
            let mut rig = rig(chip);
            rig.board.poke(FLASH + 100, &[0x55; 64]).unwrap();
            let plan = rig.session.plan(&image(&segments), Policy::Erase).unwrap();
            let started = rig.session.probe.now();
            let done = rig.session.execute(&plan, Manner { noloader, ..Manner::default() }).unwrap();
            seconds.push((rig.session.probe.now() - started).as_secs_f64());
            assert_eq!(done.written_bytes, plan.write_bytes(), "{}", chip.name);
            flash.push(rig.flash(chip));
        }
        assert!(flash[0] == flash[1], "{}", chip.name);
        assert!(seconds[0] < seconds[1], "{}: {seconds:?}", chip.name);
    }
}

#[test]
fn the_loader_leaves_the_core_as_it_was() {
    for name in ["stm32h743", "stm32g071"] {
        let chip = chip(name);
        let mut rig = rig(chip);
        rig.session.reset(rocd::session::ResetMode::Halt).unwrap();
        let registers = rig.session.registers(0).unwrap();
        let before = rig.session.read_regs(0, &registers).unwrap();
        rig.program(&image(&[(FLASH, pattern(12, 8192))])).unwrap();
        assert_eq!(rig.session.read_regs(0, &registers).unwrap(), before, "{name}");
    }
}

#[test]
fn a_bank_that_is_replaced_whole_is_erased_whole_and_a_sector_to_be_kept_forbids_it() {
    let chip = chip("stm32g071");
    for (len, erases_of_sectors) in [(chip.flash, false), (chip.flash - chip.sector, true)] {
        let mut rig = rig(chip);
        rig.board.poke(FLASH, &vec![0x11; chip.flash as usize]).unwrap();
        let plan = rig.session.plan(&image(&[(FLASH, pattern(13, len))]), Policy::Erase).unwrap();
        let done = rig.session.execute(&plan, Manner::default()).unwrap();
        assert_eq!(done.erased_sectors, len / chip.sector);
        assert_eq!(done.erase_seconds > 1.0, erases_of_sectors, "{done:?}");
        let mut wanted = vec![0x11; chip.flash as usize];
        overlay(&mut wanted, &[(FLASH, pattern(13, len))]);
        assert!(rig.flash(chip) == wanted);
    }
}

#[test]
fn an_error_that_the_loader_meets_names_the_word_and_what_is_written() {
    // A double word that is not blank is refused; an H7 would program its word twice, which nobody notices before a read.
    let chip = chip("stm32g071");
    let wanted = image(&[(FLASH, pattern(14, 8192))]);
    let mut rig = rig(chip);
    let plan = rig.session.plan(&wanted, Policy::Erase).unwrap();
    rig.board.poke(FLASH + 5120, &[0; 32]).unwrap();
    let error = rig.session.execute(&plan, Manner::default()).unwrap_err();
    assert!(error.message.starts_with("PROGERR: the double word was not blank (FLASH_SR = 0x"), "{error}");
    assert_eq!(error.trail[0], "writing the flash word at 0x08001400", "{error}");
    assert!(error.trail.iter().any(|line| line.contains("written so far: 0x08000000..0x08000fff")), "{error}");
    rig.program(&wanted).unwrap();
    assert!(rig.board.dump(FLASH, 8192).unwrap() == pattern(14, 8192), "second run");
}

/// The watchdog that option bytes start with every reset bites 512 ms later (H7: 32 kHz / 4 / 4096; IWDG_SW in OPTSR and OPTR).
#[test]
fn a_watchdog_that_always_runs_does_not_bite_the_loader() {
    let h743 = chip("stm32h743");
    let mut h7 = rig(h743);
    h7.board.poke(FLASH, &[0; 64]).unwrap();
    let options = h7.session.mem(0).read32(H7_OPTSR).unwrap();
    // OPTKEYR twice, OPTSR_PRG, OPTCR.OPTSTART (RM0433 4.4.3, 4.9)
    let unlock = [(0x5200_2008, 0x0819_2A3B), (0x5200_2008, 0x4C5D_6E7F), (0x5200_2020, options & !(1 << 4)), (0x5200_2018, 2)];
    let mut mem = h7.session.mem(0);
    unlock.iter().for_each(|(register, value)| mem.write32(*register, *value).unwrap());
    mem.sleep(Duration::from_secs(1));
    h7.session.reset(rocd::session::ResetMode::Halt).unwrap();
    assert_eq!(h7.session.mem(0).read32(H7_OPTSR).unwrap() & 1 << 4, 0, "the watchdog is a hardware one");
    let g071 = chip("stm32g071");
    let g0 = rig(g071);
    g0.board.poke(FLASH, &vec![0; 128 << 10]).unwrap();
    let mut g0 = g0;
    let options = g0.session.mem(0).read32(G0_OPTR).unwrap();
    let g0 = set_g0_option(g071, g0, G0_OPTR, options & !(1 << 16));
    for (mut rig, len) in [(h7, 100_000), (g0, 120_000)] {
        let started = rig.session.probe.now();
        rig.program(&image(&[(FLASH, pattern(15, len))])).unwrap();
        assert!(rig.session.probe.now() - started > Duration::from_secs(1), "it would have bitten");
        assert!(rig.board.dump(FLASH, len).unwrap() == pattern(15, len));
    }
}
