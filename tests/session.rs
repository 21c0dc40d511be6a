//! A session on the embedded board, through the ST-Link driver: what it finds, does and leaves, seen by the board's own door.

use rocd::desc::{Known, Target};
use rocd::error::{Cause, Error, Kind, Result};
use rocd::event::{Ears, Event, Sink};
use rocd::flash::{Erase, Manner, Policy};
use rocd::image::{Format, Image, Segment};
use rocd::probe::{Info, stlink};
use rocd::session::{Access, AttachOptions, BreakKind, Left, Reason, ResetMode, Session, State};
use rocd::sim::{Board, Config, Inject};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

const H7: &str = include_str!("../targets/stm32h7.toml");
const G0: &str = include_str!("../targets/stm32g0.toml");

/// Chip, target file, DEV_ID, banks.
type ChipRow = (&'static str, &'static str, u32, &'static [(u32, u32)]);

/// DEV_ID, and base and KiB of each bank (RM0433 4.3.4, RM0468 4.3.4, RM0455 4.3.4, RM0444 3.3.1).
const CHIPS: &[ChipRow] = &[
    ("stm32h743", H7, 0x450, &[(0x0800_0000, 1024), (0x0810_0000, 1024)]),
    ("stm32h750", H7, 0x450, &[(0x0800_0000, 128)]),
    ("stm32h723", H7, 0x483, &[(0x0800_0000, 1024)]),
    ("stm32h7a3", H7, 0x480, &[(0x0800_0000, 1024), (0x0810_0000, 1024)]),
    ("stm32g030", G0, 0x466, &[(0x0800_0000, 64)]),
    ("stm32g031", G0, 0x466, &[(0x0800_0000, 64)]),
    ("stm32g051", G0, 0x456, &[(0x0800_0000, 64)]),
    ("stm32g071", G0, 0x460, &[(0x0800_0000, 128)]),
    ("stm32g0b1", G0, 0x467, &[(0x0800_0000, 256), (0x0804_0000, 256)]),
    ("stm32h745", H7, 0x450, &[(0x0800_0000, 1024), (0x0810_0000, 1024)]),
];
const PROBES: &[&str] = &["v2", "v2-1", "v3"];
const SECOND: Duration = Duration::from_secs(1);

fn board(chip: &str, probe: &str) -> Board {
    let config = Config { chip: Some(chip.to_string()), probe: Some(probe.to_string()), ..Config::default() };
    let board = Board::new(&config).expect("the board has this chip and probe");
    // An M7's caches hold what was, as on the chip.
    if chip.starts_with("stm32h7") {
        board.set_cache_strict(true).unwrap();
    }
    board
}

fn target(text: &str) -> Rc<Target> {
    let known = Known { probes: &["stlink"], flash: &["stm32h7", "stm32g0"] };
    Rc::new(Target::parse(text, "target.toml", &known).expect("the target file is right"))
}

fn try_attach(board: &Board, text: &str, under_reset: bool) -> Result<Session> {
    attach_with(board, text, under_reset, Ears::none())
}

fn attach_with(board: &Board, text: &str, under_reset: bool, ears: Ears) -> Result<Session> {
    let found = board.found();
    let info = Info { vid: found.vid, pid: found.pid, serial: found.serial, path: found.path, ..Info::default() };
    let probe = (stlink::DRIVER.open)(board.pipe(), info)?;
    Session::attach(probe, target(text), &AttachOptions { khz: None, exact: false, under_reset }, ears)
}

fn attach(board: &Board, text: &str) -> Session {
    try_attach(board, text, false).expect("it attaches")
}

fn refused(board: &Board, text: &str) -> Error {
    try_attach(board, text, false).err().expect("it is refused")
}

/// A vector table (stack, reset vector) and an endless loop, `b .`, behind it.
fn with_program(board: &Board) {
    let words = [0x2000_1000u32, 0x0800_0101];
    board.poke(0x0800_0000, &words.map(u32::to_le_bytes).concat()).unwrap();
    board.poke(0x0800_0100, &[0xFE, 0xE7, 0xFE, 0xE7]).unwrap();
    // A G0 that powered on blank starts ST's loader until FLASH_ACR.EMPTY (bit 16) is cleared (RM0444 3.7.1).
    if board.chip().starts_with("stm32g0") {
        let upper = board.dump(0x4002_2002, 1).unwrap()[0];
        board.poke(0x4002_2002, &[upper & !1]).unwrap();
    }
}

fn word(board: &Board, address: u32) -> u32 {
    let bytes = board.dump(address, 4).expect("the board has this address");
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

/// DHCSR without the bits that clear when they are read, and without S_REGRDY, which a transfer moves (DDI0403 C1.6.2).
const DHCSR: (u32, u32) = (0xE000_EDF0, 0x000E_000F);
/// DCRDR, DEMCR, FP_CTRL, VTOR, CCR and, from DDI0403 C1.8 and C1.11, the first comparators.
const CORE: &[u32] = &[0xE000_EDF8, 0xE000_EDFC, 0xE000_2000, 0xE000_2008, 0xE000_200C, 0xE000_1020, 0xE000_1024, 0xE000_ED08, 0xE000_ED14];
/// DBGMCU_CR, APB3FZ1, APB1LFZ1, APB4FZ1, FLASH_ACR, FLASH_CR1, FLASH_SR1 (RM0433 60.5.8, 4.9)
const H7_CHIP: [u32; 7] = [0x5C00_1004, 0x5C00_1034, 0x5C00_103C, 0x5C00_1054, 0x5200_2000, 0x5200_200C, 0x5200_2010];
/// RCC_APBENR1, DBG_CR, DBG_APB_FZ1, FLASH_ACR, FLASH_CR, FLASH_SR (RM0444)
const G0_CHIP: &[u32] = &[0x4002_103C, 0x4001_5804, 0x4001_5808, 0x4002_2000, 0x4002_2014, 0x4002_2010];

/// What a session that only reads must not change, as the board's own door shows it.
fn trace(board: &Board, text: &str) -> Vec<(u32, u32)> {
    let chip = if text == H7 { &H7_CHIP } else { G0_CHIP };
    let mut seen = vec![(DHCSR.0, word(board, DHCSR.0) & DHCSR.1)];
    seen.extend(CORE.iter().chain(chip).map(|address| (*address, word(board, *address))));
    let ram = board.dump(0x2000_0000, 0x2000).expect("RAM is there");
    let sum = ram.iter().fold(0u32, |sum, byte| sum.rotate_left(5) ^ u32::from(*byte));
    seen.push((0x2000_0000, sum));
    seen
}

fn image(address: u32, data: &[u8]) -> Image {
    let segments = vec![Segment { address, data: data.to_vec() }];
    Image::new("test.bin", Format::Bin, segments)
}

/// Everything that only reads.
fn look_around(session: &mut Session) {
    let halted = matches!(session.state(0).unwrap(), State::Halted(_));
    if halted {
        let registers = session.registers(0).unwrap();
        session.read_regs(0, &registers).unwrap();
    }
    let mut bytes = [0; 1003];
    session.mem(0).read(0x2000_0001, &mut bytes).unwrap();
    let there = image(0x0800_0000, &[0x00, 0x10, 0x00, 0x20]);
    assert_eq!(session.verify(&there), Ok(4));
    session.plan(&image(0x0800_0000, &[1; 3000]), Policy::Erase).unwrap();
    for bank in session.banks.clone() {
        session.protection(&bank).unwrap();
        session.describe(&bank).unwrap();
    }
}

/// Warnings.
#[derive(Default)]
struct Heard(RefCell<Vec<String>>);

impl Sink for Heard {
    fn emit(&self, event: Event) {
        if let Event::Warning(text) = event {
            self.0.borrow_mut().push(text);
        }
    }
}

#[test]
fn every_chip_on_every_probe_is_identified_with_its_banks() {
    for (chip, text, dev_id, banks) in CHIPS {
        for probe in PROBES {
            let board = board(chip, probe);
            let heard = Rc::new(Heard::default());
            let ears = Ears { sink: heard.clone(), ..Ears::none() };
            let mut session = attach_with(&board, text, false, ears).expect("it attaches");
            // No attach write was ignored by the chip.
            assert_eq!(*heard.0.borrow(), [""; 0], "{chip} on {probe}");
            let seen: Vec<(u32, u32)> = session.banks.iter().map(|bank| (bank.address, bank.size / 1024)).collect();
            assert_eq!((session.dev_id, seen.as_slice()), (*dev_id, *banks), "{chip} on {probe}");
            assert!(session.volts.is_some_and(|volts| (3.2..3.4).contains(&volts)), "{chip} on {probe}: {:?}", session.volts);
            session.detach().unwrap();
        }
    }
}

#[test]
fn a_running_core_is_left_as_it_was_found() {
    for (chip, text, ..) in CHIPS {
        let board = board(chip, "v3");
        with_program(&board);
        board.poke(0x2000_0000, &[0x5A; 64]).unwrap();
        reset_run(&board, text);
        let before = trace(&board, text);
        let mut session = attach(&board, text);
        assert_eq!(session.state(0), Ok(State::Running), "{chip}");
        look_around(&mut session);
        assert_eq!(session.detach(), Ok(Left::AsFound), "{chip}");
        assert_eq!(trace(&board, text), before, "{chip}");
    }
}

/// Out of whatever the board powered on into, without a debugger's traces.
fn reset_run(board: &Board, text: &str) {
    let mut session = attach(board, text);
    session.reset(ResetMode::Run).expect("the program runs");
    session.detach().unwrap();
}

#[test]
fn a_halted_core_is_left_as_it_was_found_registers_included() {
    for (chip, text, ..) in [CHIPS[0], CHIPS[7]] {
        for probe in PROBES {
            let board = board(chip, probe);
            with_program(&board);
            let (registers, values) = halt_with_values(&board, text);
            let before = trace(&board, text);
            let mut session = attach(&board, text);
            assert!(matches!(session.state(0), Ok(State::Halted(_))), "{chip} on {probe}");
            look_around(&mut session);
            let left = session.detach().unwrap();
            assert!(matches!(left, Left::Halted { pc: 0x0800_0100, .. }), "{chip} on {probe}: {left:?}");
            assert_eq!(trace(&board, text), before, "{chip} on {probe}");
            let mut session = attach(&board, text);
            assert_eq!(session.read_regs(0, &registers), Ok(values), "{chip} on {probe}");
        }
    }
}

/// Leave the core halted at its reset vector with a value of its own in each of r0 to r12.
fn halt_with_values(board: &Board, text: &str) -> (Vec<rocd::session::Register>, Vec<u64>) {
    let mut session = attach(board, text);
    session.reset(ResetMode::Halt).unwrap();
    let registers = session.registers(0).unwrap();
    for register in &registers[..13] {
        session.write_reg(0, *register, 0x1111_1111 * u64::from(register.number % 16)).unwrap();
    }
    let values = session.read_regs(0, &registers).unwrap();
    assert_eq!((values[3], values[12], values[15]), (0x3333_3333, 0xCCCC_CCCC, 0x0800_0100));
    assert!(matches!(session.detach(), Ok(Left::Halted { .. })));
    (registers, values)
}

#[test]
fn double_registers_are_there_with_an_fpu_and_only_there() {
    let h7 = board("stm32h743", "v3");
    let mut session = attach(&h7, H7);
    session.reset(ResetMode::Halt).unwrap();
    let registers = session.registers(0).unwrap();
    let d3 = *registers.iter().find(|register| register.name == "d3").expect("an M7 with FPU");
    session.write_reg(0, d3, 0x0123_4567_89AB_CDEF).unwrap();
    assert_eq!(session.read_reg(0, d3), Ok(0x0123_4567_89AB_CDEF));
    let mut session = attach(&board("stm32g071", "v3"), G0);
    let names: Vec<&str> = session.registers(0).unwrap().iter().map(|register| register.name).collect();
    assert_eq!(names[16..], ["xPSR", "msp", "psp", "primask", "control"]);
}

#[test]
fn halt_resume_and_reset_do_what_they_say_on_every_chip() {
    for (chip, text, ..) in CHIPS {
        let board = board(chip, "v2");
        with_program(&board);
        let mut session = attach(&board, text);
        session.reset(ResetMode::Run).unwrap();
        assert_eq!(session.state(0), Ok(State::Running), "{chip}");
        session.halt(0, SECOND).unwrap();
        assert_eq!(session.state(0), Ok(State::Halted(Reason::Request)), "{chip}");
        session.resume(0, None).unwrap();
        assert_eq!(session.state(0), Ok(State::Running), "{chip}");
        session.reset(ResetMode::Halt).unwrap();
        assert_eq!(session.state(0), Ok(State::Halted(Reason::VectorCatch)), "{chip}");
        let pc = session.registers(0).unwrap()[15];
        assert_eq!(session.read_reg(0, pc), Ok(0x0800_0100), "{chip}");
        assert!(session.take_reset_seen(0).unwrap(), "{chip}");
        assert!(matches!(session.detach(), Ok(Left::Halted { pc: 0x0800_0100, .. })), "{chip}");
    }
}

#[test]
fn verbs_that_need_a_halted_core_say_so() {
    let board = board("stm32h743", "v2-1");
    with_program(&board);
    let mut session = attach(&board, H7);
    session.reset(ResetMode::Run).unwrap();
    let pc = session.registers(0).unwrap()[15];
    let name = session.core_names()[0].clone();
    for error in [session.read_reg(0, pc).unwrap_err(), session.write_reg(0, pc, 0).unwrap_err(), session.step(0, None).unwrap_err()] {
        assert_eq!((error.kind, error.message), (Kind::Target, format!("core {name} is running")));
        assert_eq!(error.hint.as_deref(), Some("`halt` first"));
    }
    // Memory needs no halt.
    session.mem(0).write32(0x2000_0000, 0xCAFE_F00D).unwrap();
    assert_eq!(word(&board, 0x2000_0000), 0xCAFE_F00D);
    let error = session.wait_halt(0, Duration::from_millis(20)).unwrap_err();
    assert!(error.message.starts_with("timed out while waiting for target halted (DHCSR = 0x"), "{error}");
}

#[test]
fn under_reset_every_chip_stands_at_its_vector_and_nrst_is_released() {
    for (chip, text, dev_id, _) in CHIPS {
        for probe in ["v2", "v3"] {
            let board = board(chip, probe);
            with_program(&board);
            let demcr = word(&board, 0xE000_EDFC);
            let mut session = try_attach(&board, text, true).unwrap_or_else(|error| panic!("{chip} on {probe}: {error}"));
            assert_eq!(session.dev_id, *dev_id);
            assert_eq!(session.state(0), Ok(State::Halted(Reason::VectorCatch)), "{chip} on {probe}");
            let pc = session.registers(0).unwrap()[15];
            assert_eq!(session.read_reg(0, pc), Ok(0x0800_0100), "{chip} on {probe}");
            assert_eq!(session.detach(), Ok(Left::AsFound), "{chip} on {probe}");
            assert_eq!(word(&board, 0xE000_EDFC), demcr, "{chip} on {probe}");
            assert_eq!(word(&board, DHCSR.0) & DHCSR.1, 0, "{chip} on {probe}");
        }
    }
}

#[test]
fn breakpoints_and_watchpoints_are_as_many_as_the_chip_has_and_gone_afterwards() {
    for (text, chip, breakpoints, watchpoints) in [(H7, "stm32h743", 8, 4), (G0, "stm32g071", 4, 2)] {
        let board = board(chip, "v3");
        with_program(&board);
        reset_run(&board, text);
        let before = trace(&board, text);
        let mut session = attach(&board, text);
        for n in 0..breakpoints {
            session.add_breakpoint(0, 0x0800_0200 + 2 * n, 2, BreakKind::Auto).unwrap();
        }
        let error = session.add_breakpoint(0, 0x0800_0300, 2, BreakKind::Auto).unwrap_err();
        assert!(error.message.starts_with(&format!("all {breakpoints} hardware breakpoints")), "{error}");
        for n in 0..watchpoints {
            session.add_watchpoint(0, 0x2000_0100 + 4 * n, 4, Access::Write).unwrap();
        }
        let error = session.add_watchpoint(0, 0x2000_0200, 4, Access::Any).unwrap_err();
        assert!(error.message.starts_with(&format!("all {watchpoints} watchpoints")), "{error}");
        let soft = session.add_breakpoint(0, 0x2000_0010, 2, BreakKind::Auto).unwrap();
        assert_eq!((soft.comparator, board.dump(0x2000_0010, 2).unwrap()), (None, vec![0x11, 0xBE]));
        assert_eq!(session.detach(), Ok(Left::AsFound));
        assert_eq!(trace(&board, text), before, "{chip}");
    }
}

#[test]
fn a_faulting_access_does_not_poison_the_next() {
    for (chip, text) in [("stm32h743", H7), ("stm32g071", G0)] {
        for probe in PROBES {
            let board = board(chip, probe);
            let mut session = attach(&board, text);
            board.poke(0x2000_0040, &[1, 2, 3, 4]).unwrap();
            // Nothing is here on either family.
            let error = session.mem(0).read32(0x1000_0000).unwrap_err();
            assert!(error.is_fault(), "{chip} on {probe}: {error}");
            assert_eq!(session.mem(0).read32(0x2000_0040), Ok(0x0403_0201), "{chip} on {probe}");
            session.detach().unwrap();
        }
    }
}

#[test]
fn the_wrong_target_file_is_refused_by_the_chips_name_and_nothing_is_written() {
    for (chip, text, name, id) in [("stm32g071", H7, "STM32G07", "0x460"), ("stm32h743", G0, "STM32H74", "0x450")] {
        let board = board(chip, "v3");
        with_program(&board);
        reset_run(&board, if text == H7 { G0 } else { H7 });
        let before = trace(&board, if text == H7 { G0 } else { H7 });
        let error = refused(&board, text);
        assert_eq!(error.kind, Kind::Target);
        assert!(error.message.contains(name) && error.message.contains(id), "{error}");
        assert!(error.message.contains(&format!("the target file {} covers", target(text).name)), "{error}");
        assert_eq!(trace(&board, if text == H7 { G0 } else { H7 }), before);
    }
}

#[test]
fn a_chip_of_no_target_file_is_named() {
    // IDCODE 0x10186416 is an STM32L1's.
    let error = refused(&board("f1-like", "v2"), H7);
    assert!(error.message.starts_with("this is an STM32L1; DPIDR = 0x"), "{error}");
}

#[test]
fn a_pulled_plug_is_told_and_detach_does_not_hang() {
    let board = board("stm32h743", "v3");
    let mut session = attach(&board, H7);
    board.inject(Inject::Unplug);
    assert_eq!(session.state(0).unwrap_err().cause, Cause::Unplugged);
    assert_eq!(session.detach().unwrap_err().cause, Cause::Unplugged);
}

#[test]
fn an_attach_survives_waits_and_a_parity_error_ends_it_with_the_probe_put_away() {
    let board = board("stm32h743", "v3");
    board.inject_after(12, Inject::Wait(3));
    attach(&board, H7).detach().unwrap();
    for after in 0..60 {
        board.inject(Inject::Heal);
        board.inject_after(after, Inject::Parity);
        match try_attach(&board, H7, false) {
            Ok(mut session) => drop(session.detach()),
            Err(error) => assert_ne!(error.kind, Kind::Bug, "{error}"),
        }
        board.inject(Inject::Heal);
        attach(&board, H7).detach().unwrap_or_else(|error| panic!("after a parity error in transfer {after}: {error}"));
    }
}

#[test]
fn flash_that_was_changed_is_started_on_the_way_out() {
    for (chip, text, ..) in [CHIPS[0], CHIPS[7]] {
        let board = board(chip, "v3");
        let program = program();
        let mut session = attach(&board, text);
        let plan = session.plan(&program, Policy::Erase).unwrap();
        session.execute(&plan, Manner::default()).unwrap();
        assert_eq!(session.verify(&program), Ok(program.len()), "{chip}");
        assert_eq!(session.detach(), Ok(Left::Started), "{chip}");
        assert_eq!(board.dump(0x0800_0000, 0x104).unwrap(), program.segments[0].data, "{chip}");
        assert_eq!(word(&board, DHCSR.0) & DHCSR.1, 0, "{chip}");
        let mut session = attach(&board, text);
        assert_eq!(session.state(0), Ok(State::Running), "{chip}");
    }
}

fn program() -> Image {
    let mut bytes = vec![0xFF; 0x104];
    bytes[..8].copy_from_slice(&[0x2000_1000u32, 0x0800_0101].map(u32::to_le_bytes).concat());
    bytes[0x100..].copy_from_slice(&[0xFE, 0xE7, 0xFE, 0xE7]);
    image(0x0800_0000, &bytes)
}

#[test]
fn noreset_halts_where_the_core_is_and_gives_the_caches_back() {
    let board = board("stm32h743", "v3");
    with_program(&board);
    let mut session = attach(&board, H7);
    session.reset(ResetMode::Run).unwrap();
    session.take_reset_seen(0).unwrap();
    // CCR.IC and DC on (DDI0403 B3.2.8), as a program would have them.
    let ccr = session.mem(0).update(0xE000_ED14, 0, 0x0003_0000).unwrap() | 0x0003_0000;
    let far = image(0x0810_0000, &[0x5A; 32]);
    let plan = session.plan(&far, Policy::Erase).unwrap();
    session.execute(&plan, Manner::NORESET).unwrap();
    assert!(!session.take_reset_seen(0).unwrap());
    assert_eq!(session.state(0), Ok(State::Halted(Reason::Request)));
    assert_eq!(word(&board, 0xE000_ED14), ccr);
    assert_eq!(board.dump(0x0810_0000, 32).unwrap(), [0x5A; 32]);
}

#[test]
fn a_plan_that_is_done_already_does_not_stop_the_program() {
    let board = board("stm32g071", "v3");
    let mut session = attach(&board, G0);
    let plan = session.plan(&program(), Policy::Erase).unwrap();
    session.execute(&plan, Manner::default()).unwrap();
    session.reset(ResetMode::Run).unwrap();
    session.take_reset_seen(0).unwrap();
    let again = session.plan(&program(), Policy::Erase).unwrap();
    session.execute(&again, Manner::default()).unwrap();
    assert_eq!((session.state(0), session.take_reset_seen(0)), (Ok(State::Running), Ok(false)));
    assert_eq!(session.detach(), Ok(Left::AsFound));
}

#[test]
fn ctrl_c_in_the_middle_of_flash_still_puts_everything_back() {
    for (chip, text, ..) in [CHIPS[0], CHIPS[7]] {
        let board = board(chip, "v2");
        with_program(&board);
        reset_run(&board, text);
        let before = trace(&board, text);
        let countdown = Rc::new(Cell::new(u32::MAX));
        let mut session = attach_with(&board, text, false, interrupted_after(&countdown)).unwrap();
        let plan = session.plan(&image(0x0800_0000, &[0x5A; 8000]), Policy::Erase).unwrap();
        countdown.set(10);
        let error = session.execute(&plan, Manner::default()).unwrap_err();
        assert_eq!(error.cause, Cause::Interrupted(2), "{chip}: {error}");
        // What was half written does not run, and that is said; all the rest is as it was.
        let told = session.detach();
        assert!(told.is_ok() || told.as_ref().is_err_and(|error| error.kind == Kind::NotRunning), "{chip}: {told:?}");
        let after = trace(&board, text);
        let debug = |seen: &[(u32, u32)]| {
            seen.iter().copied().skip(1).filter(|(address, _)| *address < 0xE000_ED00 && *address >> 28 != 2).collect::<Vec<_>>()
        };
        assert_eq!(debug(&after), debug(&before), "{chip}");
        assert_eq!(after[0].1 & 0xF, 0, "{chip}: DHCSR");
        assert_eq!(word(&board, 0xE000_EDFC), 0, "{chip}: DEMCR");
    }
}

/// Interrupted when the countdown comes to 0, and from then on.
/// One Ctrl-C after so many looks.
fn interrupted_after(countdown: &Rc<Cell<u32>>) -> Ears {
    let left = countdown.clone();
    let breathe = move || match left.get() {
        0 => {
            left.set(u32::MAX);
            Err(Error::command("interrupted").cause(Cause::Interrupted(2)))
        }
        n => {
            left.set(n - 1);
            Ok(())
        }
    };
    Ears { breathe: Rc::new(breathe), ..Ears::none() }
}

#[test]
fn a_step_leaves_interrupts_unmasked_and_tells_that_it_was_one() {
    for (chip, text, ..) in [CHIPS[0], CHIPS[7]] {
        let board = board(chip, "v3");
        with_program(&board);
        let mut session = attach(&board, text);
        session.reset(ResetMode::Halt).unwrap();
        session.step(0, None).unwrap();
        assert_eq!(session.state(0), Ok(State::Halted(Reason::Step)), "{chip}");
        // C_MASKINTS is 0, C_HALT and C_DEBUGEN are 1.
        assert_eq!(word(&board, DHCSR.0) & 0xF, 0x3, "{chip}");
    }
}

#[test]
fn verify_names_the_first_byte_that_differs() {
    let board = board("stm32g071", "v2");
    with_program(&board);
    let mut session = attach(&board, G0);
    let mut wrong = program();
    wrong.segments[0].data[0x101] = 0x12;
    let error = session.verify(&wrong).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (Kind::Mismatch, "0x08000101 reads 0xe7, the image has 0x12 there"));
}

fn erase_first_sector(session: &mut Session) {
    let bank = session.banks[0].clone();
    session.erase(&[(bank, Erase::Sector(0))], false).unwrap();
}

#[test]
fn an_erased_sector_is_blank() {
    let board = board("stm32h7a3", "v3");
    with_program(&board);
    let mut session = attach(&board, H7);
    erase_first_sector(&mut session);
    assert_eq!(board.dump(0x0800_0000, 8).unwrap(), [0xFF; 8]);
}

#[test]
fn a_blank_chip_that_is_started_is_not_running() {
    let board = board("stm32h743", "v3");
    let mut session = attach(&board, H7);
    erase_first_sector(&mut session);
    let error = session.reset(ResetMode::Run).unwrap_err();
    assert_eq!(error.kind, Kind::NotRunning, "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("is blank")));
}

#[test]
fn a_probe_too_old_for_the_debug_access_port_reaches_the_same_registers_through_the_core() {
    for under_reset in [false, true] {
        let config =
            Config { chip: Some("stm32h743".into()), probe: Some("v2-1".into()), firmware: Some("V2J28M17".into()), ..Config::default() };
        let board = Board::new(&config).unwrap();
        with_program(&board);
        let before = H7_CHIP.map(|address| word(&board, address));
        let heard = Rc::new(Heard::default());
        let ears = Ears { sink: heard.clone(), ..Ears::none() };
        let mut session = attach_with(&board, H7, under_reset, ears).unwrap();
        assert_eq!(word(&board, 0x5C00_1004), 0x0060_0007);
        session.reset(ResetMode::Halt).unwrap();
        assert_eq!((word(&board, 0x5C00_1034), word(&board, 0x5C00_1054)), (0x40, 0x4_0000));
        session.detach().unwrap();
        assert_eq!(H7_CHIP.map(|address| word(&board, address)), before);
        assert_eq!(*heard.0.borrow(), [""; 0]);
    }
}
