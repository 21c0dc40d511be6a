//! The dual-core STM32H745 through the ST-Link's pipe: each core found, halted, stepped and read by itself, and both running.

use rocd::desc::{Known, Target};
use rocd::event::Ears;
use rocd::image::Image;
use rocd::probe::{Info, stlink};
use rocd::session::{AttachOptions, BreakKind, Reason, ResetMode, Session, State};
use rocd::sim::{Board, Config};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

const H7: &str = include_str!("../targets/stm32h7.toml");
const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const M7: usize = 0;
const M4: usize = 1;
const PC: usize = 15;
/// FLASH_OPTSR_CUR with BCM4 (bit 22), BOOT4_CUR (RM0399 4.9).
const OPTSR: u32 = 0x5200_201C;
const BOOT4: u32 = 0x5200_2048;
const RCC_GCR: u32 = 0x5802_44A0;
const RCC_RSR: u32 = 0x5802_44D0;
const AIRCR: u32 = 0xE000_ED0C;

fn board() -> Board {
    let config = Config { chip: Some("stm32h745".to_string()), probe: Some("v3".to_string()), ..Config::default() };
    Board::new(&config).expect("the board has this chip and probe")
}

fn attach(board: &Board) -> Session {
    let known = Known { probes: &["stlink"], flash: &["stm32h7", "stm32g0"] };
    let target = Rc::new(Target::parse(H7, "target.toml", &known).expect("the target file is right"));
    let found = board.found();
    let info = Info { vid: found.vid, pid: found.pid, serial: found.serial, path: found.path, ..Info::default() };
    let probe = (stlink::DRIVER.open)(board.pipe(), info).unwrap();
    Session::attach(probe, target, &AttachOptions { khz: None, exact: false, under_reset: false }, Ears::none()).expect("it attaches")
}

/// The image's bytes, put into flash by the board's own door.
fn put(board: &Board, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/firmware").join(name);
    let image = Image::read(&path, None, None).expect("a committed program");
    image.segments.iter().for_each(|segment| board.poke(segment.address, &segment.data).unwrap());
}

fn word(board: &Board, address: u32) -> u32 {
    u32::from_le_bytes(board.dump(address, 4).unwrap().try_into().unwrap())
}

fn poke(board: &Board, address: u32, word: u32) {
    board.poke(address, &word.to_le_bytes()).unwrap();
}

fn pc(session: &mut Session, core: usize) -> u32 {
    let pc = session.registers(core).unwrap()[PC];
    session.read_reg(core, pc).unwrap() as u32
}

fn shines(board: &Board, led: &str) -> bool {
    board.leds().iter().find(|state| state.name == led).expect("the board has it").on
}

#[test]
fn a_board_whose_m4_has_no_program_shows_it_locked_up_and_its_m7_well() {
    let board = board();
    put(&board, "blinky-h743.elf");
    board.press_reset();
    let mut session = attach(&board);
    assert_eq!(session.die.name, "STM32H745/747/755/757");
    assert_eq!(session.core_names(), ["cm7", "cm4"]);
    board.pass(10 * MS);
    session.state(M7).unwrap();
    assert_eq!(session.state(M7), Ok(State::Sleeping));
    session.state(M4).unwrap();
    assert_eq!(session.state(M4), Ok(State::Lockup));
    session.reset(ResetMode::Run).expect("the first core runs");
    assert_eq!([session.mem(M7).read32(0xE000_ED00), session.mem(M4).read32(0xE000_ED00)], [Ok(0x411F_C271), Ok(0x410F_C241)]);
    assert_eq!(session.mem(M4).read32(BOOT4), Ok(0x1000_0810));
    session.detach().unwrap();
}

#[test]
fn each_core_halts_steps_and_runs_by_itself() {
    let board = board();
    put(&board, "blinky-h743.elf");
    put(&board, "blinky-h745-m4.elf");
    let mut session = attach(&board);
    session.reset(ResetMode::Halt).unwrap();
    assert_eq!([session.state(M7), session.state(M4)], [Ok(State::Halted(Reason::VectorCatch)), Ok(State::Halted(Reason::VectorCatch))]);
    let [m7, m4] = [pc(&mut session, M7), pc(&mut session, M4)];
    assert_eq!([m7 >> 20, m4 >> 20], [0x080, 0x081]);
    let stepped = session.step(M4, None).unwrap();
    assert!(stepped != m4 && stepped >> 20 == 0x081, "{stepped:#x}");
    assert_eq!(pc(&mut session, M7), m7, "the other one stands");
    session.resume(M7, None).unwrap();
    board.pass(10 * MS);
    session.state(M7).unwrap();
    assert_eq!(session.state(M7), Ok(State::Sleeping));
    assert!(matches!(session.state(M4), Ok(State::Halted(_))));
    assert_eq!(pc(&mut session, M4), stepped);
    let r5 = session.registers(M4).unwrap()[5];
    session.write_reg(M4, r5, 0x1234_5678).unwrap();
    assert_eq!(session.read_reg(M4, r5), Ok(0x1234_5678));
    let names: Vec<&str> = session.registers(M4).unwrap().iter().map(|register| register.name).collect();
    assert!(names.contains(&"fpscr"), "it has an FPU: {names:?}");
    // Six comparators, which name addresses below 0x20000000 only (FPB revision 1).
    for n in 0..6 {
        session.add_breakpoint(M4, 0x0810_0200 + 2 * n, 2, BreakKind::Hardware).unwrap();
    }
    assert!(session.add_breakpoint(M4, 0x0810_0300, 2, BreakKind::Hardware).is_err());
    session.remove_breakpoint(M4, None).unwrap();
}

#[test]
fn each_port_sees_what_its_core_sees() {
    let board = board();
    put(&board, "blinky-h743.elf");
    put(&board, "blinky-h745-m4.elf");
    let mut session = attach(&board);
    session.reset(ResetMode::Halt).unwrap();
    session.mem(M7).write32(0x2000_0000, 0xCAFE_F00D).unwrap();
    assert!(session.mem(M4).read32(0x2000_0000).unwrap_err().is_fault(), "the M4 has no DTCM");
    assert!(session.mem(M4).read32(0x0000_0000).unwrap_err().is_fault(), "nor an ITCM");
    session.mem(M4).write32(0x1000_0010, 0x0BAD_CAFE).unwrap();
    assert_eq!([session.mem(M7).read32(0x3000_0010), session.mem(M4).read32(0x3000_0010)], [Ok(0x0BAD_CAFE), Ok(0x0BAD_CAFE)]);
    assert!(session.mem(M7).read32(0x1000_0010).unwrap_err().is_fault(), "only the M4 has this name for it");
    for address in [0x2400_0000, 0x3800_0000] {
        session.mem(M7).write32(address, address).unwrap();
        assert_eq!(session.mem(M4).read32(address), Ok(address));
    }
    assert_eq!(session.mem(M4).read32(0x0810_0000), session.mem(M7).read32(0x0810_0000));
}

#[test]
fn both_blink_each_with_its_own_led() {
    let board = board();
    put(&board, "blinky-h743.elf");
    put(&board, "blinky-h745-m4.elf");
    let mut session = attach(&board);
    session.reset(ResetMode::Run).unwrap();
    session.detach().unwrap();
    let seen: Vec<[bool; 2]> = (0..4)
        .map(|_| {
            board.pass(250 * MS);
            [shines(&board, "LD1"), shines(&board, "LD2")]
        })
        .collect();
    assert_eq!(seen, [[true; 2], [false; 2], [true; 2], [false; 2]]);
}

#[test]
fn the_cores_meet_by_semaphore_and_d2ckrdy_and_pass_a_number_to_and_fro() {
    let board = board();
    put(&board, "pair-h745-m7.elf");
    put(&board, "pair-h745-m4.elf");
    board.press_reset();
    board.pass(20 * MS);
    assert_eq!([word(&board, 0x3800_0000), word(&board, 0x3800_0004)], [100, 100]);
    assert_eq!([shines(&board, "LD1"), shines(&board, "LD2")], [true, true]);
    assert_eq!(word(&board, 0x3800_0008), 1, "one SEV woke the M4 once");
}

#[test]
fn a_core_that_its_option_bit_holds_is_unavailable_until_it_is_started() {
    let board = board();
    put(&board, "blinky-h743.elf");
    put(&board, "blinky-h745-m4.elf");
    poke(&board, OPTSR, word(&board, OPTSR) & !(1 << 22));
    board.press_reset();
    let mut session = attach(&board);
    assert_eq!(session.die.name, "STM32H745/747/755/757", "its port is there");
    assert_eq!(session.state(M4), Ok(State::Unavailable));
    session.halt(M7, SECOND).unwrap();
    session.resume(M7, None).unwrap();
    session.reset(ResetMode::Run).unwrap();
    assert_eq!(session.state(M4), Ok(State::Unavailable));
    let error = session.halt(M4, SECOND).unwrap_err();
    assert_eq!(error.message, "core cm4 is not available: AP3 does not answer");
    session.mem(M7).write32(RCC_GCR, 1 << 3).unwrap();
    board.pass(10 * MS);
    session.state(M4).unwrap();
    assert_eq!(session.state(M4), Ok(State::Sleeping));
    session.halt(M4, SECOND).unwrap();
    assert_eq!(pc(&mut session, M4) >> 20, 0x081);
}

#[test]
fn a_reset_asked_for_by_either_core_resets_both_and_names_it() {
    let board = board();
    put(&board, "blinky-h743.elf");
    put(&board, "blinky-h745-m4.elf");
    let mut session = attach(&board);
    session.reset(ResetMode::Run).unwrap();
    for (core, flag) in [(M7, 1 << 24), (M4, 1 << 25)] {
        [M7, M4].iter().for_each(|core| session.mem(*core).write32(RCC_RSR, 1 << 16).unwrap());
        session.take_reset_seen(M7).unwrap();
        let _ = session.mem(core).write32(AIRCR, 0x05FA_0004);
        board.pass(10 * MS);
        let causes = [M7, M4].map(|core| session.mem(core).read32(RCC_RSR).unwrap() & 3 << 24);
        assert_eq!(causes, [flag; 2], "each core has the causes for itself");
        session.state(M7).unwrap();
        assert!(session.take_reset_seen(M7).unwrap());
    }
}

#[test]
fn a_block_runs_by_the_clock_enable_of_either_core() {
    const AHB4ENR: u32 = 0x5802_44E0;
    const GPIOE_MODER: u32 = 0x5802_1000;
    let board = board();
    let mut session = attach(&board);
    session.reset(ResetMode::Halt).unwrap();
    assert_eq!(session.mem(M7).read32(GPIOE_MODER), Ok(0), "no clock");
    session.mem(M4).write32(AHB4ENR, 1 << 4).unwrap();
    assert_eq!([session.mem(M7).read32(AHB4ENR), session.mem(M4).read32(AHB4ENR)], [Ok(0), Ok(1 << 4)]);
    assert_eq!([session.mem(M7).read32(0x5802_4540), session.mem(M7).read32(0x5802_45A0)], [Ok(0), Ok(1 << 4)], "C1_, C2_");
    assert_eq!(session.mem(M7).read32(GPIOE_MODER), Ok(u32::MAX));
}

#[test]
fn code_that_one_core_writes_over_is_decoded_anew_by_the_other() {
    let board = board();
    put(&board, "blinky-h743.elf");
    put(&board, "blinky-h745-m4.elf");
    let mut session = attach(&board);
    session.reset(ResetMode::Halt).unwrap();
    // M4 in AXI SRAM: 0: adds r0, #1; b 0. M7: str r1, [r2]; b . over the M4's first instruction and branch: b 0.
    session.mem(M4).write32(0x2400_0000, 0xE7FD_3001).unwrap();
    session.mem(M7).write32(0x2400_0100, 0xE7FE_6011).unwrap();
    let regs = session.registers(M7).unwrap();
    session.write_reg(M7, regs[1], 0xE7FE_E7FE).unwrap();
    session.write_reg(M7, regs[2], 0x2400_0000).unwrap();
    session.resume(M4, Some(0x2400_0000)).unwrap();
    board.pass(MS);
    session.resume(M7, Some(0x2400_0100)).unwrap();
    board.pass(MS);
    let pick = |session: &mut Session| {
        session.halt(M4, SECOND).unwrap();
        let r0 = session.registers(M4).unwrap()[0];
        session.read_reg(M4, r0).unwrap()
    };
    let first = pick(&mut session);
    assert!(first > 1000, "it ran: {first}");
    session.resume(M4, None).unwrap();
    board.pass(MS);
    assert_eq!(pick(&mut session), first, "it stands in the new loop");
}
