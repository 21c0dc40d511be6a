//! Boards that do not do what they should, each for one of the causes of docs/doctor.md.

use rocd::desc::{Known, Target};
use rocd::event::Ears;
use rocd::image::{Image, Names};
use rocd::probe::{Info, stlink};
use rocd::session::{AttachOptions, Depth, Report, ResetMode, Session};
use rocd::sim::{Board, Config};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

pub const H7: &str = include_str!("../../targets/stm32h7.toml");
pub const G0: &str = include_str!("../../targets/stm32g0.toml");
pub const FLASH: u32 = 0x0800_0000;

/// Chip and firmware: compiled without optimisation and with it, on another chip.
pub type Body = (&'static str, &'static str);
pub const ON_H7: [Body; 3] = [("stm32h743", "doctor-o2-h743"), ("stm32h743", "doctor-o0-h743"), ("stm32h723", "doctor-o2-h743")];
pub const ON_G0: [Body; 3] = [("stm32g071", "doctor-o2-g071"), ("stm32g071", "doctor-o0-g071"), ("stm32g0b1", "doctor-o2-g071")];

/// By the second core, beside a first that blinks.
pub const ON_M4: Body = ("stm32h745", "doctor-o2-h745-m4");

pub fn core_of(firmware: &str) -> usize {
    usize::from(firmware.ends_with("-m4"))
}

/// Where the core starts.
pub fn start_of(firmware: &str) -> u32 {
    [FLASH, 0x0810_0000][core_of(firmware)]
}

pub fn is_g0(chip: &str) -> bool {
    chip.starts_with("stm32g0")
}

pub fn board(chip: &str) -> Board {
    Board::new(&Config { chip: Some(chip.into()), ..Config::default() }).unwrap()
}

pub fn image(name: &str) -> Image {
    Image::read(Path::new(&format!("tests/firmware/{name}.elf")), None, None).unwrap()
}

pub fn put(board: &Board, name: &str) {
    for segment in image(name).segments.iter().filter(|segment| segment.address >> 24 == 8) {
        board.poke(segment.address, &segment.data).unwrap();
    }
}

pub fn words(board: &Board, address: u32, words: &[u32]) {
    board.poke(address, &words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>()).unwrap();
}

pub fn word(board: &Board, address: u32) -> u32 {
    u32::from_le_bytes(board.dump(address, 4).unwrap().try_into().unwrap())
}

/// Another byte than the firmware's last, behind main, so that it changes nothing but what is compared.
pub fn spoil(board: &Board, firmware: &str) {
    let last = image(firmware).segments.iter().map(|segment| segment.end() as u32).filter(|end| end >> 24 == 8).max().unwrap();
    board.poke(last - 1, &[0x5A]).unwrap();
}

/// What programming a blank G0 does at its end (RM0444 3.7.1).
pub fn not_empty(board: &Board) {
    if is_g0(board.chip()) {
        let upper = board.dump(0x4002_2002, 1).unwrap()[0];
        board.poke(0x4002_2002, &[upper & !1]).unwrap();
    }
}

/// A board of which everything works but the core in question.
pub fn bench((chip, firmware): Body) -> Board {
    let board = board(chip);
    if core_of(firmware) == 1 {
        put(&board, "blinky-h743");
    }
    board
}

/// A board whose firmware is `which`, not yet started: that is a word in RAM, which tests/firmware/doctor.c reads.
pub fn patient(body: Body, which: u32) -> Board {
    let board = bench(body);
    put(&board, body.1);
    not_empty(&board);
    words(&board, [0x2000_4000, 0x3000_4000][core_of(body.1)], &[which]);
    board
}

pub fn start(board: &Board) {
    board.press_reset();
    board.pass(Duration::from_millis(100));
}

pub fn attach(board: &Board, firmware: &str) -> Session {
    attached(board, firmware, false)
}

pub fn attached(board: &Board, firmware: &str, under_reset: bool) -> Session {
    let text = if is_g0(board.chip()) { G0 } else { H7 };
    let known = Known { probes: &["stlink"], flash: &["stm32h7", "stm32g0"] };
    let target = Rc::new(Target::parse(text, "target.toml", &known).unwrap());
    let found = board.found();
    let info = Info { vid: found.vid, pid: found.pid, serial: found.serial, path: found.path, ..Info::default() };
    let probe = (stlink::DRIVER.open)(board.pipe(), info).unwrap();
    let session = Session::attach(probe, target, &AttachOptions { khz: None, exact: false, under_reset }, Ears::none()).unwrap();
    if !firmware.is_empty() {
        *session.names.borrow_mut() = Names::of(image(firmware));
    }
    session
}

pub fn ask(board: &Board, firmware: &str) -> Report {
    attach(board, firmware).doctor(core_of(firmware), None, Depth::Halt).unwrap()
}

/// What it is, the cause's number, and how to make it.
pub struct Case(pub u8, pub &'static str, pub &'static [Body], pub fn(Body) -> Board);

macro_rules! firmware {
    ($which:literal) => {
        |body| {
            let board = patient(body, $which);
            start(&board);
            board
        }
    };
}

pub const ALL: &[Body] = &[ON_H7[0], ON_H7[1], ON_H7[2], ON_M4, ON_G0[0], ON_G0[1], ON_G0[2]];
pub const H7S: &[Body] = &ON_H7;
pub const V7M: &[Body] = &[ON_H7[0], ON_H7[1], ON_H7[2], ON_M4];
pub const G0S: &[Body] = &ON_G0;
/// Linked for another address: two chips, and another build.
pub const APPS: &[Body] = &[
    ("stm32h743", "doctor-app-h743"),
    ("stm32h7a3", "doctor-app-h743"),
    ("stm32g071", "doctor-app-g071"),
    ("stm32g0b1", "doctor-app-g071"),
];

pub fn base_of(firmware: &str) -> u32 {
    image(firmware).segments[0].address
}

pub const CASES: &[Case] = &[
    Case(1, "BOOT0 high", H7S, |body| {
        let board = patient(body, 8);
        board.set_boot_pin(true);
        start(&board);
        board
    }),
    Case(1, "BOOT0 high, and the options listen to it", G0S, |body| {
        let board = patient(body, 8);
        option(&board, 0x20, |optr| optr & !(1 << 24));
        board.set_boot_pin(true);
        start(&board);
        board
    }),
    Case(2, "supply by bypass, the program takes the LDO", H7S, |body| {
        let board = patient(body, 2);
        board.set_bypass(true);
        start(&board);
        board
    }),
    Case(3, "blank at power-on, then programmed", G0S, |body| {
        let board = board(body.0);
        board.power_cycle();
        put(&board, body.1);
        words(&board, 0x2000_4000, &[8]);
        start(&board);
        board
    }),
    Case(4, "image for behind a boot loader, at the start of flash", APPS, |(chip, firmware)| {
        let board = board(chip);
        for segment in &image(firmware).segments {
            board.poke(segment.address - base_of(firmware) + FLASH, &segment.data).unwrap();
        }
        not_empty(&board);
        start(&board);
        board
    }),
    Case(4, "image where it belongs, and no boot loader", APPS, |(chip, firmware)| {
        let board = board(chip);
        put(&board, firmware);
        not_empty(&board);
        start(&board);
        board
    }),
    Case(5, "the linker script", ALL, |body| text(body, &std::fs::read("tests/firmware/flash_like_st.ld").unwrap())),
    Case(5, "an ELF as raw bytes", ALL, |body| text(body, &std::fs::read(format!("tests/firmware/{}.elf", body.1)).unwrap())),
    Case(5, "Intel HEX as raw bytes", ALL, |body| text(body, b":020000040800F2\r\n:10000000000002204500000843000008430000087E\r\n:1000")),
    Case(5, "blank", ALL, |body| {
        let board = bench(body);
        start(&board);
        board
    }),
    Case(5, "zeros", ALL, |body| text(body, &[0; 1024])),
    Case(6, "the boot loader's table is in use", APPS, |(chip, firmware)| {
        let board = patient((chip, firmware), 6);
        // A boot loader that goes on to the program: every exception ends in an endless loop.
        let reset = Image::vectors(&image(firmware), base_of(firmware)).unwrap().1;
        let mut table = vec![0x2000_2000, reset];
        table.resize(16, FLASH + 0x80 + 1);
        words(&board, FLASH, &table);
        words(&board, FLASH + 0x80, &[0xE7FE_E7FE]);
        start(&board);
        board
    }),
    Case(7, "an interrupt", ALL, firmware!(7)),
    Case(7, "an SVC", ALL, firmware!(107)),
    Case(9, "no crystal, waits for it", ALL, no_crystal::<9>),
    Case(9, "no crystal, gives up", ALL, no_crystal::<109>),
    Case(10, "Error_Handler", ALL, firmware!(10)),
    Case(11, "a read of nothing", ALL, firmware!(11)),
    Case(11, "a write of nothing", ALL, firmware!(111)),
    Case(11, "udf", ALL, firmware!(211)),
    Case(12, "halted by another tool", ALL, |body| {
        let board = patient(body, 8);
        start(&board);
        let mut session = attach(&board, "");
        session.halt(core_of(body.1), Duration::from_secs(1)).unwrap();
        session.detach().unwrap();
        board
    }),
    Case(13, "semihosting", ALL, firmware!(13)),
    Case(13, "bkpt 0", ALL, firmware!(113)),
    Case(14, "stack in a larger chip's RAM", ALL, |body| {
        let board = patient(body, 15);
        words(&board, start_of(body.1), &[0x2010_0000]);
        start(&board);
        board
    }),
    Case(15, "recursion", ALL, firmware!(15)),
    Case(16, "interrupts masked", ALL, firmware!(16)),
    Case(16, "in an interrupt", ALL, firmware!(116)),
    Case(16, "tick not switched on", ALL, firmware!(216)),
    Case(17, "IWDG", ALL, firmware!(17)),
    Case(17, "IWDG, slower", ALL, firmware!(117)),
    Case(17, "IWDG, later than a short look", &[("stm32h743", "bad-h743"), ("stm32g071", "bad-g071")], |body| {
        let board = patient(body, 12);
        start(&board);
        board.pass(Duration::from_secs(2));
        board
    }),
    Case(18, "VMOV", V7M, firmware!(18)),
    Case(18, "VPUSH", V7M, firmware!(118)),
    Case(19, "1.2 V", ALL, |body| {
        let board = patient(body, 8);
        start(&board);
        board.set_volts(1.2);
        board
    }),
    Case(21, "a jump", V7M, firmware!(21)),
    Case(21, "a read", V7M, firmware!(121)),
    Case(22, "misaligned", ALL, firmware!(22)),
    Case(23, "a call of 0", G0S, firmware!(23)),
    Case(23, "a wild call", ALL, firmware!(123)),
    Case(23, "no Thumb bit", ALL, firmware!(223)),
    Case(
        24,
        ".data is loaded where it lives",
        &[
            ("stm32h743", "doctor-nodata-h743"),
            ("stm32h723", "doctor-nodata-h743"),
            ("stm32g071", "doctor-nodata-g071"),
            ("stm32g0b1", "doctor-nodata-g071"),
        ],
        firmware!(24),
    ),
    Case(25, "a torn word", ALL, |body| {
        let board = patient(body, 25);
        board.tear(start_of(body.1) + 0x1_0000).unwrap();
        start(&board);
        board
    }),
    Case(27, "wfi, nothing enabled", ALL, firmware!(27)),
    Case(27, "stop, nothing enabled", ALL, |body| {
        let board = patient(body, 127);
        // Somebody was here before and left DBGMCU's bits set: without them the debug port has no clock in STOP.
        attached(&board, "", true).reset(ResetMode::Run).unwrap();
        board.pass(Duration::from_millis(100));
        board
    }),
    Case(28, "foreign instruction", ALL, firmware!(28)),
    Case(29, "BOOT_ADD0 is the loader's", H7S, |body| {
        let board = patient(body, 8);
        words(&board, 0x5200_2040, &[0x1FF0_1FF0]);
        start(&board);
        board
    }),
    Case(29, "nBOOT0 is 0", G0S, |body| {
        let board = patient(body, 8);
        option(&board, 0x20, |optr| optr & !(1 << 26));
        start(&board);
        board
    }),
    Case(29, "BCM7 is 0", &[("stm32h745", "doctor-o2-h743")], |body| {
        let board = patient(body, 8);
        put(&board, "doctor-o2-h745-m4");
        words(&board, 0x5200_201C, &[word(&board, 0x5200_201C) & !(1 << 23)]);
        start(&board);
        board
    }),
    Case(30, "RTT blocks", ALL, firmware!(30)),
    Case(32, "a region without access", V7M, firmware!(32)),
    Case(33, "PLL left on", ALL, firmware!(33)),
    Case(35, "the handler crashes", ALL, firmware!(35)),
    Case(36, "NMI", ALL, firmware!(36)),
    Case(37, "SYSRESETREQ", ALL, firmware!(37)),
    Case(31, "the M4's flash is blank", &[("stm32h745", "pair-h745-m7")], firmware!(0)),
    Case(38, "a byte is another", ALL, |body| {
        let board = patient(body, 8);
        spoil(&board, body.1);
        start(&board);
        board
    }),
    Case(39, "an H7's file, and a G0", &[("stm32g071", "blinky-h743"), ("stm32g0b1", "pair-h745-m7")], |body| {
        let board = patient((body.0, ON_G0[0].1), 8);
        start(&board);
        board
    }),
];

pub fn text(body: Body, bytes: &[u8]) -> Board {
    let board = bench(body);
    board.poke(start_of(body.1), &bytes[..bytes.len().min(1 << 16)]).unwrap();
    not_empty(&board);
    start(&board);
    board
}

pub fn no_crystal<const WHICH: u32>(body: Body) -> Board {
    let board = patient(body, WHICH);
    board.set_crystal(false);
    start(&board);
    board
}

/// Options as a power-on loads them.
pub fn option(board: &Board, offset: u32, change: impl Fn(u32) -> u32) {
    let at = 0x4002_2000 + offset;
    words(board, at, &[change(word(board, at))]);
}
