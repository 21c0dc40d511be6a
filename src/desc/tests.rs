use super::*;
use crate::error::{Error, Kind};

const KNOWN: Known = Known { probes: &["stlink"], flash: &["stm32h7", "stm32g0"] };

/// The smallest target that loads; tests break it one line at a time.
const SMALL: &str = r#"name = "x"
manuals = ["RM0001"]
driver = "stm32g0"
dpidr = 0x0BC11477
khz = 4000
sim_chip = "stm32g071"
reset = { hold_ms = 10, settle_ms = 100 }
idcode = [{ ap = 0, address = 0x40015800, section = "DBG_IDCODE" }]
[[core]]
name = "cm0p"
ap = 0
part = 0xC60
csw = 0xA2000000
work_area = { address = 0x20000000, size = 0x2000 }
[[attach]]
name = "DBG_CR"
ap = 0
address = 0x40015804
mask = 0x6
value = 0x6
section = "DBG_CR"
dev_ids = [0x460]
[hooks]
reset_init = "clocks"
[[die]]
name = "STM32G07x/08x"
dev_id = 0x460
revisions = { 0x1000 = "A" }
layout = "g0"
flash_size = { ap = 0, address = 0x1FFF75E0, max_kib = 128, section = "FLASHSIZE" }
ram = [{ name = "SRAM", address = 0x20000000, size = 0x8000, up_to = 0x9000 }]
[[die.bank]]
name = "bank 1"
address = 0x08000000
share = 1
sector = 0x800
word = 8
registers = 0x40022000
section = "3.3.1"
[[area]]
name = "OTP"
kind = "ROM"
address = 0x1FFF7000
size = 0x400
section = "OTP"
"#;

fn broken(from: &str, to: &str) -> Error {
    assert!(SMALL.contains(from), "`{from}` is not in the sample");
    Target::parse(&SMALL.replacen(from, to, 1), "targets/x.toml", &KNOWN).expect_err(to)
}

#[test]
fn every_built_in_description_loads() {
    for (path, text) in BUILT_IN {
        match path.split_once('/') {
            Some(("targets", _)) => drop(Target::parse(text, path, &KNOWN).unwrap()),
            Some(("interfaces", _)) => drop(Interface::parse(text, path, &KNOWN).unwrap()),
            _ => assert!(path.starts_with("scripts/") && path.ends_with(".rhai"), "{path}"),
        }
    }
}

#[test]
fn every_file_of_the_folders_is_built_in() {
    for folder in ["targets", "interfaces", "scripts"] {
        let entries = std::fs::read_dir(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder));
        for entry in entries.into_iter().flatten() {
            let path = format!("{folder}/{}", entry.unwrap().file_name().into_string().unwrap());
            assert!(BUILT_IN.iter().any(|(known, _)| *known == path), "{path} is not in BUILT_IN");
        }
    }
}

#[test]
fn the_target_files_have_a_row_for_every_dev_id() {
    let ids = |name: &str| {
        let text = BUILT_IN.iter().find(|(path, _)| path.contains(name)).unwrap().1;
        let mut ids: Vec<u32> = Target::parse(text, name, &KNOWN).unwrap().dies.iter().map(|die| die.dev_id).collect();
        ids.dedup();
        ids
    };
    assert_eq!(ids("stm32h7"), [0x450, 0x483, 0x480]);
    assert_eq!(ids("stm32g0"), [0x466, 0x456, 0x460, 0x467]);
}

#[test]
fn the_small_target_loads() {
    let target = Target::parse(SMALL, "targets/x.toml", &KNOWN).unwrap();
    assert_eq!([0x1000, 0x2003].map(|rev_id| target.dies[0].revision(rev_id)), ["A", "0x2003"]);
    assert_eq!(target.dies[0].ram_at_most(), [(0x2000_0000, 0x9000)]);
    assert_eq!(target.hooks["reset_init"], "clocks");
}

#[test]
fn an_unknown_key_names_file_line_text_and_the_nearest_key() {
    let error = broken("part = 0xC60", "prat = 0xC60");
    assert_eq!(error.kind, Kind::Usage);
    assert_eq!(
        error.message,
        "targets/x.toml:12: unknown field `prat`, expected one of `name`, `ap`, `part`, `csw`, `work_area`, `own_ram` in `prat = 0xC60`"
    );
    assert_eq!(error.hint.as_deref(), Some("did you mean `part`?"));
}

#[test]
fn toml_errors_name_line_and_text() {
    let cases = [
        ("khz = 4000", "khz = ", "targets/x.toml:5: ", "in `khz =`"),
        ("ap = 0\npart", "ap = 300\npart", "targets/x.toml:11: ", "in `ap = 300`"),
        ("dpidr = 0x0BC11477", "dpidr = 5000000000", "targets/x.toml:4: ", "in `dpidr = 5000000000`"),
        ("khz = 4000", "khz = \"fast\"", "targets/x.toml:5: ", "in `khz = \"fast\"`"),
        ("khz = 4000", "khz = 4000\nkhz = 1", "targets/x.toml:6: ", "in `khz = 1`"),
        ("layout = \"g0\"\n", "", "targets/x.toml:25: missing field `layout`", "in `[[die]]`"),
    ];
    for (from, to, begin, end) in cases {
        let message = broken(from, to).message;
        assert!(message.starts_with(begin) && message.ends_with(end), "{message}");
    }
}

#[test]
fn each_check_names_the_line_and_its_text() {
    let cases = [
        ("driver = \"stm32g0\"", "driver = \"stm32g1\"", "3: unknown driver `stm32g1`, known: stm32h7, stm32g0"),
        ("name = \"x\"", "name = \" \"", "1: `name` is empty"),
        ("dpidr = 0x0BC11477", "dpidr = 0", "4: DPIDR cannot be 0"),
        ("khz = 4000", "khz = 0", "5: the clock cannot be 0 kHz"),
        ("0x40015800", "0x40015802", "8: 0x40015802 is not a multiple of 4"),
        ("section = \"DBG_IDCODE\"", "section = \"\"", "8: `section` is empty"),
        ("[{ ap = 0, address = 0x40015800, section = \"DBG_IDCODE\" }]", "[]", "8: at least one `idcode` is needed"),
        ("0xC60", "0x1C60", "12: part 0x1c60 is not 12 bits"),
        ("0xA2000000", "0xA2000012", "13: csw 0xa2000012 sets bits 7:0, which are the probe's (size and increment)"),
        ("size = 0x2000 }", "size = 0 }", "14: cannot be 0"),
        ("mask = 0x6", "mask = 0x2", "20: value 0x00000006 has bits outside the mask 0x00000002"),
        ("mask = 0x6", "mask = 0", "19: a mask of 0 changes nothing"),
        ("dev_ids = [0x460]", "dev_ids = [0x461]", "22: no die has DEV_ID 0x461"),
        ("size = 0x400", "size = 0", "44: cannot be 0"),
        (
            "reset_init =",
            "reset_int =",
            "24: unknown event `reset_int`, expected one of examine_end, reset_start, reset_init, reset_end, halted",
        ),
        ("dev_id = 0x460", "dev_id = 0x1460", "27: DEV_ID 0x1460 is not 12 bits"),
        ("0x1000 = \"A\"", "1000 = \"A\"", "28: revision `1000` is no REV_ID such as \"0x2003\""),
        ("max_kib = 128", "max_kib = 0", "30: 0 KiB is no flash size"),
        ("up_to = 0x9000", "up_to = 0x7000", "31: up_to 0x7000 is less than size 0x8000"),
        ("0x20000000, size = 0x8000, up_to = 0x9000", "0xFFFFF000, size = 0x8000", "31: 0xfffff000 + 0x8000 passes 4 GiB"),
        ("address = 0x08000000\n", "address = 0x08000400\n", "34: 0x8000400 is not a multiple of 2048"),
        ("address = 0x08000000\n", "", "32: the first bank needs an address"),
        ("share = 1", "share = 0", "35: share is 1 for all of the flash, 2 for half of it …"),
        ("share = 1", "share = 2", "32: the banks' shares make up 0x10000 of 0x20000 bytes"),
        (
            "share = 1\n",
            "share = 1\nsector = 0x800\nword = 8\nregisters = 4\nsection = \"x\"\n[[die.bank]]\nname = \"b\"\nshare = 1\n",
            "32: the banks' shares make up 0x40000 of 0x20000 bytes",
        ),
        ("sector = 0x800", "sector = 0x804", "36: 0x804 is not a multiple of 8"),
        ("word = 8", "word = 6", "37: 0x6 is not a multiple of 4"),
        ("registers = 0x40022000", "registers = 0", "38: cannot be 0"),
    ];
    for (from, to, expected) in cases {
        let message = broken(from, to).message;
        assert!(message.starts_with(&format!("targets/x.toml:{expected} in `")), "{to}: {message}");
    }
}

#[test]
fn a_row_that_can_never_match_is_an_error() {
    let die = &SMALL[SMALL.find("[[die]]").unwrap()..];
    let message = |second: &str| Target::parse(&format!("{SMALL}{second}"), "x.toml", &KNOWN).unwrap_err().message;
    let expected = "x.toml:46: die `STM32G07x/08x` is never reached: `STM32G07x/08x` matches first in `[[die]]`";
    assert_eq!(message(die), expected);
    assert_eq!(message(&die.replace("layout", "when = [{ flash_kib = 64 }]\nlayout")), expected);
    assert!(Target::parse(&format!("{SMALL}{}", die.replace("0x460", "0x461").replace("07x", "09x")), "x.toml", &KNOWN).is_ok());
}

#[test]
fn interfaces_are_checked_too() {
    let cases = [
        ("driver = \"stlnk\"", "x.toml:1: unknown driver `stlnk`, known: stlink in `driver = \"stlnk\"`"),
        ("driver = \"stlink\"\nusb = [\"0483:374b\", \"483:1\"]", "x.toml:2: `483:1` is no USB id such as \"0483:374b\""),
        ("driver = \"stlink\"\nkhz = 0", "x.toml:2: the clock cannot be 0 kHz"),
        ("driver = \"stlink\"\n[sim]\nchip = \"stm32h743\"", "x.toml:2: `sim` needs `transport = \"sim\"`"),
        ("driver = \"stlink\"\ntransport = \"serial\"", "x.toml:2: unknown variant `serial`, expected one of `usb`, `sim`, `tcp`"),
        ("driver = \"stlink\"\naddress = \"127.0.0.1:7184\"", "x.toml:2: `address` needs `transport = \"tcp\"`"),
        ("driver = \"stlink\"\ntransport = \"tcp\"\naddress = \"host\"", "x.toml:3: `host` is no address such as \"127.0.0.1:7184\""),
    ];
    for (text, expected) in cases {
        let message = Interface::parse(text, "x.toml", &KNOWN).unwrap_err().message;
        assert!(message.starts_with(expected), "{message}");
    }
    let text = "driver = \"stlink\"\ntransport = \"sim\"\nkhz = 100\nsim = { probe = \"v2\" }";
    assert_eq!(Interface::parse(text, "x.toml", &KNOWN).unwrap().sim.unwrap().probe.as_deref(), Some("v2"));
}

#[test]
fn what_a_file_is_is_told_by_its_content() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).unwrap();
        super::load(name, &[folder.path().to_path_buf()], &KNOWN)
    };
    assert!(matches!(load("a.toml", "driver = \"stlink\""), Ok(Description::Interface(_))));
    assert!(matches!(load("b.toml", SMALL), Ok(Description::Target(target)) if target.name == "x"));
    assert!(matches!(load("c.rhai", "print(1)"), Ok(Description::Script(path, text)) if path.ends_with("c.rhai") && text == "print(1)"));
    assert!(matches!(super::load("program", &[], &KNOWN), Ok(Description::Script(..))), "built in");
    let error = load("d.toml", "[package]\nname = \"app\"").unwrap_err();
    assert!(error.message.contains("d.toml:1: neither an interface"), "{error}");
    assert!(error.message.ends_with("in `[package]`"), "{error}");
}
