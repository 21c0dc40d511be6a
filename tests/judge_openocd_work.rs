//! OpenOCD 0.12, unmodified, does a day's work on the embedded board: programs every firmware, sets breakpoints and
//! watchpoints, steps, comes in under reset, writes option bytes, starts the program. What it did is read back through the
//! board's own door; what it asked of the probe is in the board's log.

mod served;

use served::verdict::Verdict;
use served::{Board, DAP, HLA, Way, finish, programmed, segments};
use std::path::Path;
use std::time::Duration;

struct Chip {
    board: &'static str,
    target: &'static str,
    /// Those that fit the die and have no segment in RAM or at 0.
    firmware: &'static [&'static str],
    blinky: &'static str,
    /// So that a chip that was blank boots what was programmed.
    boot: &'static [&'static str],
    led: &'static str,
}

const H743: Chip = Chip {
    board: "stm32h743",
    target: "stm32h7x",
    firmware: &["dense-200k-h743", "blinky-h743", "lma-h743", "header-h743"],
    blinky: "tests/firmware/blinky-h743.elf",
    boot: &[],
    led: "LD1 PB0 ",
};
const G071: Chip = Chip {
    board: "stm32g071",
    target: "stm32g0x",
    firmware: &["dense-120k-g071", "dense-64k-g071", "blinky-g071", "header-g071"],
    blinky: "tests/firmware/blinky-g071.elf",
    // EMPTY is sampled at power-on and when option bytes are loaded (RM0444 3.7.22), and a reset alone leads to the boot loader
    boot: &["stm32l4x option_load 0", "sleep 100"],
    led: "LD4 PA5 ",
};

/// What OpenOCD says while it does `lines`, one -c each; it must succeed.
#[track_caller]
fn openocd(chip: &Chip, way: &Way, board: &Board, before: &str, lines: &[&str]) -> String {
    let mut openocd = way.openocd(board.port(), chip.target, &[]);
    if !before.is_empty() {
        openocd.args(["-c", before]);
    }
    for line in lines {
        openocd.args(["-c", line]);
    }
    let (said, ok) = finish(&mut openocd, Duration::from_secs(180));
    assert!(ok, "openocd failed:\n{said}");
    said
}

#[track_caller]
fn says(said: &str, words: &[&str]) {
    for words in words {
        assert!(said.contains(words), "openocd did not say `{words}`:\n{said}");
    }
}

fn each_firmware(chip: &Chip, way: &Way, probe: &str) {
    let Some(_verdict) = Verdict::of("openocd", "openocd", &format!("OpenOCD {} program", way.name), chip.board) else { return };
    let mut board = Board::serve(&format!("{},{probe}", chip.board), &[]);
    for name in chip.firmware {
        let elf = format!("tests/firmware/{name}.elf");
        let said = openocd(chip, way, &board, "", &[&format!("program {elf} verify reset exit")]);
        says(&said, &["** Programming Finished **", "** Verified OK **", "** Resetting Target **"]);
        for (address, bytes) in segments(&Path::new(env!("CARGO_MANIFEST_DIR")).join(&elf)) {
            assert!(board.dump(address, bytes.len() as u32) == bytes, "{name}: flash at {address:#010x} is not the image");
        }
    }
    board.shutdown();
}

#[test]
fn hla_programs_every_firmware_of_the_h743() {
    each_firmware(&H743, &HLA, "v3");
}

#[test]
fn dapdirect_programs_every_firmware_of_the_h743() {
    each_firmware(&H743, &DAP, "v2-1");
}

#[test]
fn hla_programs_every_firmware_of_the_g071() {
    each_firmware(&G071, &HLA, "v2");
}

#[test]
fn dapdirect_programs_every_firmware_of_the_g071() {
    each_firmware(&G071, &DAP, "v3");
}

/// Programmed, stopped where it was to stop, stepped, watched; then it runs and the LED blinks.
fn debugs(chip: &Chip, way: &Way, probe: &str, places: &Places) {
    let Some(_verdict) = Verdict::of("openocd", "openocd", &format!("OpenOCD {} debug", way.name), chip.board) else { return };
    let mut board = Board::serve(&format!("{},{probe}", chip.board), &[]);
    let Places { at, next, data, stored } = *places;
    let (bp, rbp) = (format!("bp {at:#x} 2 hw"), format!("rbp {at:#x}"));
    let (wp, rwp, mdw) = (format!("wp {data:#x} 4 w"), format!("rwp {data:#x}"), format!("mdw {data:#x}"));
    let program = format!("flash write_image erase {}", chip.blinky);
    let boot = chip.boot;
    let stop = [&bp, "resume", "wait_halt 1000", "reg pc", &rbp, "step", "reg pc"];
    let watch = [&wp, "resume", "wait_halt 1000", "reg pc", &mdw, &rwp];
    let work = [&["init", "reset halt", &program], boot, &["reset halt"], &stop[..], &watch[..], &["reset run", "shutdown"]].concat();
    let said = openocd(chip, way, &board, "", &work);
    says(
        &said,
        &[
            "halted due to breakpoint, current mode: Thread",
            &format!("pc (/32): {at:#010x}"),
            "halted due to single-step, current mode: Thread",
            &format!("pc (/32): {next:#010x}"),
            &format!("pc (/32): {stored:#010x}"),
            &format!("{data:#010x}: "),
        ],
    );
    // its high-level adapters do not tell a watchpoint from a breakpoint
    let reason = if way.name == "hla" { "halted due to breakpoint" } else { "halted due to watchpoint" };
    says(&said, &[reason]);
    board.run("sleep 2000");
    let leds = board.run("leds");
    let led = leds.iter().find(|line| line.starts_with(chip.led)).unwrap_or_else(|| panic!("{leds:?}"));
    assert!(led.ends_with("period=500ms"), "{led}");
    board.shutdown();
}

/// Where things are in the loop that copies .data.
struct Places {
    /// The load, and the instruction behind it.
    at: u32,
    next: u32,
    /// What is stored first, and the instruction behind the store.
    data: u32,
    stored: u32,
}

const H743_PLACES: Places = Places { at: 0x0800_0060, next: 0x0800_0064, data: 0x2000_0000, stored: 0x0800_006a };
const G071_PLACES: Places = Places { at: 0x0800_005c, next: 0x0800_005e, data: 0x2000_0000, stored: 0x0800_0060 };

#[test]
fn hla_debugs_the_h743() {
    debugs(&H743, &HLA, "v2", &H743_PLACES);
}

#[test]
fn dapdirect_debugs_the_h743() {
    debugs(&H743, &DAP, "v3", &H743_PLACES);
}

#[test]
fn hla_debugs_the_g071() {
    debugs(&G071, &HLA, "v3", &G071_PLACES);
}

#[test]
fn dapdirect_debugs_the_g071() {
    debugs(&G071, &DAP, "v2", &G071_PLACES);
}

/// Connect under reset: the core is caught before its first instruction, and NRST is high again at the end.
fn under_reset(chip: &Chip, way: &Way, probe: &str, reset_handler: u32) {
    let Some(_verdict) = Verdict::of("openocd", "openocd", &format!("OpenOCD {} under reset", way.name), chip.board) else { return };
    let state = programmed(chip.board, chip.blinky);
    let mut board = Board::serve(&format!("{},{probe}", chip.board), &["--state", state.path().to_str().unwrap()]);
    board.run("sleep 600");
    assert!(!board.run("leds")[0].contains("edges=0"), "the firmware runs before");
    let before = "reset_config srst_only srst_nogate connect_assert_srst";
    let said = openocd(chip, way, &board, before, &["init", "reset halt", "reg pc", "shutdown"]);
    says(&said, &[&format!("pc (/32): {reset_handler:#010x}")]);
    let leds = board.run("leds");
    assert!(leds.iter().any(|line| line.starts_with(chip.led) && line.contains("edges=0")), "{leds:?}");
    openocd(chip, way, &board, before, &["init", "reset run", "shutdown"]);
    board.run("sleep 2000");
    let leds = board.run("leds");
    assert!(leds.iter().any(|line| line.starts_with(chip.led) && line.contains("period=500ms")), "{leds:?}");
    board.shutdown();
}

#[test]
fn hla_comes_in_under_reset() {
    under_reset(&H743, &HLA, "v2", 0x0800_0044);
    under_reset(&G071, &HLA, "v3", 0x0800_0044);
}

#[test]
fn dapdirect_comes_in_under_reset() {
    under_reset(&H743, &DAP, "v3", 0x0800_0044);
    under_reset(&G071, &DAP, "v2", 0x0800_0044);
}

/// Option bytes of the H743 by OpenOCD's own commands: read, written, in force at once, and flash keeps them.
#[test]
fn options_of_the_h743_are_read_written_and_in_force() {
    let Some(_verdict) = Verdict::of("openocd", "openocd", "OpenOCD option bytes", "stm32h743") else { return };
    let mut board = Board::serve("stm32h743,v3", &[]);
    let protect = ["stm32h7x option_write 0 0x3c 0xfe", "stm32h7x option_read 0 0x38", "flash protect 0 1 1 on"];
    let work =
        [&["init", "reset halt", "stm32h7x option_read 0 0x1c"], &protect[..], &["stm32h7x option_read 0 0x38", "shutdown"]].concat();
    let said = openocd(&H743, &DAP, &board, "", &work);
    says(&said, &["<0x5200201c> = 0x1006aaf0", "<0x52002038> = 0xfe", "set protection for blocks 1 through 1", "<0x52002038> = 0xfc"]);
    assert_eq!(board.word(0x5200_2038) & 0xff, 0xfc);
    let (said, ok) = finish(
        DAP.openocd(board.port(), "stm32h7x", &[]).args([
            "-c",
            "init",
            "-c",
            "reset halt",
            "-c",
            "flash erase_sector 0 0 0",
            "-c",
            "shutdown",
        ]),
        Duration::from_secs(60),
    );
    assert!(!ok && said.contains("WRPERR detected"), "{said}");
    let open = ["flash protect 0 0 7 off", "flash erase_sector 0 0 0", "flash erase_check 0"];
    let said = openocd(&H743, &DAP, &board, "", &[&["init", "reset halt"], &open[..1], &["flash erase_sector 0 0 0", "shutdown"]].concat());
    says(&said, &["cleared protection for blocks 0 through 7", "erased sectors 0 through 0 on flash bank 0"]);
    assert_eq!(board.word(0x5200_2038) & 0xff, 0xff);
    board.shutdown();
}

/// Of the G071: in force once loaded.
#[test]
fn options_of_the_g071_are_in_force_once_loaded() {
    let Some(_verdict) = Verdict::of("openocd", "openocd", "OpenOCD option bytes", "stm32g071") else { return };
    let mut board = Board::serve("stm32g071,v3", &[]);
    let write = ["stm32l4x option_write 0 0x2c 0x00010001", "stm32l4x option_read 0 0x2c"];
    let load = ["stm32l4x option_load 0", "sleep 100", "reset halt", "stm32l4x option_read 0 0x2c"];
    let said = openocd(&G071, &HLA, &board, "", &[&["init", "reset halt"], &write[..], &load[..], &["shutdown"]].concat());
    says(&said, &["<0x4002202c> = 0xff", "<0x4002202c> = 0x10001"]);
    board.run("sim poke 0x08000800 0x11");
    let erase = ["-c", "init", "-c", "reset halt", "-c", "flash erase_sector 0 0 1", "-c", "shutdown"];
    let (said, ok) = finish(HLA.openocd(board.port(), "stm32g0x", &[]).args(erase), Duration::from_secs(60));
    assert!(!ok && said.contains("stm32x device protected"), "{said}");
    assert_eq!(board.dump(0x0800_0800, 1), [0x11], "page 1 is protected");
    board.shutdown();
}

/// The M4's flash is blank, so it has locked up; OpenOCD clears that when it halts the core.
#[test]
fn openocd_halts_each_core_of_an_h745() {
    let Some(_verdict) = Verdict::of("openocd", "openocd", "OpenOCD dapdirect, both cores", "stm32h745") else { return };
    let state = programmed("stm32h745", H743.blinky);
    let board = Board::serve("stm32h745,v3", &["--state", state.path().to_str().unwrap()]);
    let m7 = ["targets stm32h7x.cpu0", "halt", "mdw 0xe000ed00"];
    let m4 = ["targets stm32h7x.cpu1", "halt", "mdw 0xe000ed00", "mww 0x10000000 0x12345678", "mdw 0x30000000"];
    let mut openocd = DAP.openocd(board.port(), "stm32h7x", &["set DUAL_CORE 1"]);
    for line in [&["init"], &m7[..], &m4, &["targets", "shutdown"]].concat() {
        openocd.args(["-c", line]);
    }
    let (said, ok) = finish(&mut openocd, Duration::from_secs(60));
    assert!(ok, "openocd failed:\n{said}");
    says(
        &said,
        &[
            "[stm32h7x.cpu0] Cortex-M7 r1p1 processor detected",
            "[stm32h7x.cpu1] Cortex-M4 r0p1 processor detected",
            "[stm32h7x.cpu0] target has 8 breakpoints, 4 watchpoints",
            "[stm32h7x.cpu1] target has 6 breakpoints, 4 watchpoints",
            "0xe000ed00: 411fc271",
            "0xe000ed00: 410fc241",
            "0x30000000: 12345678",
        ],
    );
    let halted = said.lines().filter(|line| line.contains("stm32h7x.cpu") && line.trim_end().ends_with(" halted")).count();
    assert_eq!(halted, 2, "{said}");
    board.shutdown();
}

/// What OpenOCD asks of an H743 in each flow, as commands of the probe in their order; others may stand between.
const SEQUENCES: &[(&str, &Way, &[&str], &[&str])] = &[
    (
        "dap init: AP2 and AP0 are opened, the core is examined, its comparators cleared, DBGMCU set",
        &DAP,
        &["init"],
        &[
            "f2 4b 02",             // INIT_AP 2
            "f2 46 02 00 00 00",    // AP2 CSW
            "f2 07 00 ed 00 e0 04", // CPUID
            "f2 07 f0 ed 00 e0 04",
            "f2 08 f0 ed 00 e0 04 00 00 00 00 aa > 01 00 5f a0",
            "f2 08 fc ed 00 e0 04",
            "f2 07 00 20 00 e0 04", // FP_CTRL
            "f2 08 08 20 00 e0 04",
            "f2 08 24 20 00 e0 04",       // FP_COMP7
            "f2 07 00 10 00 e0 04",       // DWT_CTRL
            "f2 08 28 10 00 e0 04",       // DWT_FUNCTION0
            "f2 08 04 10 0e e0 04 00 02", // DBGMCU_CR by AP2
        ],
    ),
    (
        "hla halt: DHCSR, then every register by READREG",
        &HLA,
        &["init", "halt"],
        &[
            "f2 35 f0 ed 00 e0 03 00 5f a0",
            "f2 36 f0 ed 00 e0",
            "f2 33 <", // r0: trailing zeros of a block are not shown
            "f2 33 10",
            "f2 33 14",
            "f2 33 40",
            "f2 33 5f",
            "f2 33 21",
            "f2 35 fc ed 00 e0 00 00 00 01",
        ],
    ),
    (
        "hla reset halt without NRST: vector catch, SYSRESETREQ, RESETSYS",
        &HLA,
        &["init", "reset halt"],
        &[
            "f2 35 f0 ed 00 e0 01 00 5f a0",
            "f2 35 fc ed 00 e0 01 00 00 01",
            "f2 35 0c ed 00 e0 04 00 fa 05",
            "f2 32",
            "f2 36 f0 ed 00 e0",
            "f2 35 fc ed 00 e0 00 00 00 01",
        ],
    ),
    (
        "dap program: identity, keys, erase, the loader in DTCM, data through its ring",
        &DAP,
        &["init", "reset halt", "flash write_image erase tests/firmware/blinky-h743.elf"],
        &[
            "f2 07 00 10 00 5c 04",                              // IDCODE
            "f2 47 80 e8 f1 1f 02",                              // flash size
            "f2 08 04 20 00 52 04 00 00 00 00 aa > 23 01 67 45", // KEYR1
            "f2 08 04 20 00 52 04 00 00 00 00 aa > ab 89 ef cd",
            "f2 08 0c 20 00 52 04 00 00 00 00 aa > 34 00 00 00",
            "f2 08 0c 20 00 52 04 00 00 00 00 aa > b4 00 00 00",
            "f2 07 10 20 00 52 04",
            "f2 08 00 00 00 20 6c 00", // 108 bytes of loader
            "f2 08 6c 00 00 20 04",    // its write pointer
            "f2 07 70 00 00 20 04",    // its read pointer
        ],
    ),
];

#[test]
fn the_requests_are_those_that_were_recorded() {
    let Some(_verdict) = Verdict::of("openocd", "openocd", "OpenOCD's requests", "stm32h743") else { return };
    for (what, way, work, expected) in SEQUENCES {
        let mut board = Board::serve("stm32h743,v3", &[]);
        board.run("sim requests on");
        openocd(&H743, way, &board, "", &[work, &["shutdown"][..]].concat());
        let log = board.run("sim requests");
        let mut rest = log.iter().map(|line| line.split_once(' ').map_or("", |(_, request)| request));
        for request in *expected {
            assert!(rest.any(|line| line.starts_with(request)), "{what}: no `{request}` in its place:\n{}", log.join("\n"));
        }
        board.shutdown();
    }
}
