//! The first judge: Debian's OpenOCD, unmodified, with its stock files, works on the embedded board through ST's
//! server protocol; what it did is read back through the board's own door.

mod served;

use served::verdict::Verdict;
use served::{Board, DAP, HLA, Way, finish, programmed};
use std::time::Duration;

struct Chip {
    board: &'static str,
    target: &'static str,
    firmware: &'static str,
    /// Bytes of sector 0.
    sector: u32,
    /// RAM beyond OpenOCD's work area (stm32h7x.cfg and stm32g0x.cfg put it at 0x20000000).
    ram: u32,
    /// What OpenOCD calls the units of protection.
    protected: &'static str,
    /// The word that shows sector 0 protected, the bits that say so, and their value then.
    protection: (u32, u32, u32),
}

const CHIPS: &[Chip] = &[
    // FLASH_WPSN_CUR1R, WRPSn1 bit 0 = 0: protected (RM0433 4.9.18)
    Chip {
        board: "stm32h743",
        target: "stm32h7x",
        firmware: "blinky-h743.elf",
        sector: 128 << 10,
        ram: 0x2400_0000,
        protected: "blocks",
        protection: (0x5200_2038, 1, 0),
    },
    // the option bytes of WRP1A, STRT and END = 0: page 0 alone. FLASH_WRP1AR shows it after the next load only (RM0444 3.4)
    Chip {
        board: "stm32g071",
        target: "stm32g0x",
        firmware: "blinky-g071.elf",
        sector: 2 << 10,
        ram: 0x2000_2000,
        protected: "sectors",
        protection: (0x1fff_7818, 0x003f_003f, 0),
    },
];

#[test]
fn openocd_hla_on_h743() {
    judge(&CHIPS[0], &HLA, "v2-1");
}

#[test]
fn openocd_dapdirect_on_h743() {
    judge(&CHIPS[0], &DAP, "v3");
}

#[test]
fn openocd_hla_on_g071() {
    judge(&CHIPS[1], &HLA, "v3");
}

#[test]
fn openocd_dapdirect_on_g071() {
    judge(&CHIPS[1], &DAP, "v2");
}

fn judge(chip: &Chip, way: &Way, probe: &str) {
    let Some(_verdict) = Verdict::of("openocd", "openocd", &format!("OpenOCD {}", way.name), chip.board) else { return };
    let state = programmed(chip.board, &format!("tests/firmware/{}", chip.firmware));
    let mut board = Board::serve(&format!("{},{probe}", chip.board), &["--state", state.path().to_str().unwrap()]);
    let before = prepare(chip, &mut board);
    let said = openocd(chip, way, board.port());
    check_words(chip, &said);
    check_board(chip, &mut board, &before);
    board.shutdown();
}

/// Something beside sector 0 that must stay; a word in RAM to be read and one to be written over.
fn prepare(chip: &Chip, board: &mut Board) -> Vec<u8> {
    let first = board.dump(0x0800_0000, 8);
    assert_ne!(first, [0xff; 8], "there is nothing to be erased");
    board.run(&format!("sim poke {:#x} 0x5a 0xa5 0x5a 0xa5", 0x0800_0000 + chip.sector));
    board.run(&format!("sim poke {:#x} 0x78 0x56 0x34 0x12 0 0 0 0", chip.ram));
    board.dump(0x0800_0000 + chip.sector, chip.sector)
}

fn openocd(chip: &Chip, way: &Way, port: u16) -> String {
    let (ram, second) = (chip.ram, chip.ram + 4);
    let (read, write, again) = (format!("mdw {ram:#x} 2"), format!("mww {second:#x} 0xdeadbeef"), format!("mdw {second:#x}"));
    let flash = ["flash probe 0", "flash erase_sector 0 0 0", "flash protect 0 0 0 on"];
    let work = [&["init", "halt", "reg", &read, &write, &again], &flash[..], &["reset halt", "shutdown"]].concat();
    let mut openocd = way.openocd(port, chip.target, &[]);
    // a -c each: of a line with `;` OpenOCD shows only the last result
    for line in work {
        openocd.args(["-c", line]);
    }
    let (said, ok) = finish(&mut openocd, Duration::from_secs(120));
    assert!(ok, "openocd failed:\n{said}");
    said
}

fn check_words(chip: &Chip, said: &str) {
    let ram = chip.ram;
    let expected = [
        "halted due to debug-request".to_string(),
        "(0) r0 (/32): 0x".to_string(),
        "pc (/32): 0x".to_string(),
        format!("{ram:#010x}: 12345678 00000000"),
        format!("{:#010x}: deadbeef", ram + 4),
        "erased sectors 0 through 0 on flash bank 0".to_string(),
        format!("set protection for {} 0 through 0 on flash bank 0", chip.protected),
    ];
    for words in expected {
        assert!(said.contains(&words), "openocd did not say `{words}`:\n{said}");
    }
    // it looks for IDCODE where other families have it, and 0xe0042000 is nothing on a G0
    let errors: Vec<&str> = said.lines().filter(|line| line.contains("Error:") && !line.ends_with("0xe0042000")).collect();
    assert!(errors.is_empty(), "openocd met errors:\n{said}");
}

fn check_board(chip: &Chip, board: &mut Board, before: &[u8]) {
    let first = board.dump(0x0800_0000, chip.sector);
    assert!(first.iter().all(|byte| *byte == 0xff), "sector 0 of {} is not erased", chip.board);
    assert_eq!(board.dump(0x0800_0000 + chip.sector, chip.sector), before, "sector 1 of {} changed", chip.board);
    assert_eq!(board.word(chip.ram + 4), 0xdead_beef);
    assert_eq!(board.word(chip.ram), 0x1234_5678);
    let (place, mask, value) = chip.protection;
    assert_eq!(board.word(place) & mask, value, "sector 0 of {} is not protected", chip.board);
}
