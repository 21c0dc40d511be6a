//! Option bytes by name, through the ST-Link's pipe: read, written, loaded, kept without power; what cannot be taken back is
//! refused, and what the chip does by itself (erase all, close the debug port) is said before. The chip's words are looked at
//! by the board's own door.

use rocd::command::{Settings, Value};
use rocd::desc::{Interface, Known, Target};
use rocd::error::{Error, Kind, Result};
use rocd::event::{Event, Sink};
use rocd::host::{Cancel, Host};
use rocd::image::Image;
use std::cell::RefCell;
use std::rc::Rc;

const H7: &str = include_str!("../targets/stm32h7.toml");
const G0: &str = include_str!("../targets/stm32g0.toml");
const KNOWN: Known = Known { probes: &["stlink"], flash: &["stm32h7", "stm32g0"] };

/// FLASH_OPTSR_CUR; where a G0 stores FLASH_OPTR, FLASH_SECR (RM0433 4.9, RM0490 4.4.1).
const OPTSR: u32 = 0x5200_201C;
const OPTR: u32 = 0x1FFF_7800;
const SECR: u32 = 0x1FFF_7870;

#[derive(Default)]
struct Heard(RefCell<Vec<Event>>);

impl Sink for Heard {
    fn emit(&self, event: Event) {
        self.0.borrow_mut().push(event);
    }
}

struct Bench {
    host: Host,
    heard: Rc<Heard>,
    folder: tempfile::TempDir,
    target: Rc<Target>,
}

impl Bench {
    fn new(chip: &str) -> Bench {
        Bench::with(chip, Settings::default())
    }

    fn with(chip: &str, settings: Settings) -> Bench {
        let text = if chip.starts_with("stm32h7") { H7 } else { G0 };
        let target = Rc::new(Target::parse(text, chip, &KNOWN).unwrap());
        let interface = format!("driver = \"stlink\"\ntransport = \"sim\"\nsim = {{ chip = \"{chip}\", probe = \"v3\" }}");
        let interface = Rc::new(Interface::parse(&interface, "sim.toml", &KNOWN).unwrap());
        let settings = Settings { interface: Some(interface), target: Some(target.clone()), ..settings };
        let heard = Rc::new(Heard::default());
        let host = Host::new(heard.clone(), Cancel::default(), settings, 0).unwrap();
        Bench { host, heard, folder: tempfile::tempdir().unwrap(), target }
    }

    fn run(&self, line: &str) -> Result<Value> {
        let mut last = Value::None;
        self.host.line(line, &mut |outcome| last = outcome.result.clone().unwrap_or(Value::None))?;
        Ok(last)
    }

    fn ok(&self, line: &str) -> String {
        self.run(line).unwrap_or_else(|error| panic!("{line}: {error}")).to_string()
    }

    fn fails(&self, line: &str, kind: Kind, words: &str) -> Error {
        let error = self.run(line).expect_err(line);
        assert!(error.kind == kind && error.to_string().contains(words), "{line}: {error}");
        error
    }

    fn option(&self, name: &str) -> i64 {
        match self.run(&format!("option read {name}")).unwrap().plain() {
            Value::Int(number) => number,
            other => panic!("{name}: {other:?}"),
        }
    }

    /// A word of the chip's, by the board's own door.
    fn word(&self, address: u32) -> u32 {
        let file = self.folder.path().join("word.bin");
        self.ok(&format!("sim dump \"{}\" {address:#x} 4", file.display()));
        u32::from_le_bytes(std::fs::read(file).unwrap().try_into().unwrap())
    }

    fn poke(&self, address: u32, word: u32) {
        let bytes: Vec<String> = word.to_le_bytes().iter().map(u8::to_string).collect();
        self.ok(&format!("sim poke {address:#x} {}", bytes.join(" ")));
    }

    fn warnings(&self) -> Vec<String> {
        self.heard.0.take().into_iter().filter_map(|event| if let Event::Warning(text) = event { Some(text) } else { None }).collect()
    }

    /// Off and on again, and in anew; that the chip of before is gone is no matter.
    fn power_cycle(&self) {
        let before = self.warnings();
        assert_eq!(before, [""; 0]);
        self.ok("sim power; connect");
        self.warnings();
    }
}

/// A chip, how many fields it has, what some of them hold, and some that others have.
type Factory = (&'static str, usize, &'static [(&'static str, i64)], &'static [&'static str]);

#[test]
fn each_die_has_its_fields_as_they_leave_the_factory() {
    let cases: [Factory; 10] = [
        (
            "stm32h743",
            27,
            &[("RDP", 0xAA), ("BOOT_ADD0", 0x800), ("BOOT_ADD1", 0x1FF0), ("WRPSn2", 0xFF), ("SWAP_BANK_OPT", 0)],
            &["BCM4", "LOCKBL"],
        ),
        ("stm32h745", 34, &[("BCM4", 1), ("BCM7", 1), ("BOOT_CM4_ADD0", 0x810), ("IWDG2_SW", 1)], &["TCM_AXI_SHARED"]),
        ("stm32h750", 19, &[("RDP", 0xAA), ("WRPSn1", 1)], &["SWAP_BANK_OPT", "WRPSn2", "PROT_AREA_START2"]),
        ("stm32h723", 21, &[("TCM_AXI_SHARED", 0), ("CPUFREQ_BOOST", 0)], &["SWAP_BANK_OPT", "BCM7"]),
        ("stm32h7a3", 29, &[("WRPSn1", 0xFFFF_FFFF), ("LOCKBL", 0), ("VDDMMC_HSLV", 0)], &["CPUFREQ_BOOST"]),
        ("stm32g030", 28, &[("RDP", 0xAA), ("nBOOT_SEL", 1)], &["nSWAP_BANK", "WRP2A_STRT"]),
        ("stm32g031", 28, &[("PCROP1A_STRT", 0x7F), ("WRP1A_STRT", 0x1F), ("SEC_SIZE", 0), ("BOOT_LOCK", 0)], &["DUAL_BANK"]),
        ("stm32g051", 28, &[("PCROP1A_STRT", 0x7F)], &["DUAL_BANK"]),
        ("stm32g071", 28, &[("PCROP1A_STRT", 0xFF), ("WRP1A_STRT", 0x3F), ("BORR_LEV", 3), ("BOR_EN", 0)], &["SEC_SIZE2"]),
        ("stm32g0b1", 39, &[("PCROP2B_STRT", 0x1FF), ("WRP2A_STRT", 0x7F), ("nSWAP_BANK", 1), ("SEC_SIZE2", 0)], &[]),
    ];
    for (chip, count, holds, lacks) in cases {
        let bench = Bench::new(chip);
        let Value::List(rows) = bench.run("option read").unwrap().plain() else { panic!("{chip}") };
        assert_eq!(rows.len(), count, "{chip}");
        holds.iter().for_each(|(name, value)| assert_eq!(bench.option(name), *value, "{chip}: {name}"));
        lacks.iter().for_each(|name| drop(bench.fails(&format!("option read {name}"), Kind::Usage, &format!("no option `{name}`"))));
        assert_eq!(bench.warnings(), [""; 0], "{chip}");
    }
}

#[test]
fn a_table_says_what_values_mean_and_what_is_dangerous() {
    let bench = Bench::new("stm32g071");
    let table = bench.ok("option read");
    for line in [
        "RDP                    0xaa  level0: none                            readout protection [irreversible]",
        "BORR_LEV                0x3  2.9V                                    brown-out reset ends when the supply rises to",
        "WRP1A_END               0x0  0x08000000                              write protected area A: last page",
        "NRST_MODE               0x3  both: input, and pulled by the chip     pin NRST [may lose SWD]",
    ] {
        assert!(table.lines().any(|known| known == line), "{line}\n{table}");
    }
    assert_eq!(bench.ok("option read boot_lock"), "BOOT_LOCK: 0x0 (off)", "letters' case is no matter");
}

#[test]
fn what_is_written_is_loaded_read_back_and_there_after_power() {
    for (chip, stored, line, before, after) in [
        ("stm32h743", OPTSR, "BOR_LEV 2.4V NRST_STOP_D1 0", 0x1006_AAF0, 0x1006_AAB8),
        ("stm32g071", OPTR, "BOR_EN on BORR_LEV 2 IWDG_STOP frozen", 0xFFFF_FEAA, 0xFFFD_FDAA),
    ] {
        let bench = Bench::new(chip);
        assert_eq!(bench.word(stored), before, "{chip}");
        let error = bench.fails(&format!("option write {line}"), Kind::Command, "nothing was changed without `yes`");
        assert_eq!(error.hint.unwrap(), format!("`option write {line} yes` does it and resets the chip"));
        assert_eq!(bench.word(stored), before, "{chip}");
        assert!(bench.ok(&format!("option write {line} yes")).ends_with("; the chip was reset, so that it acts"));
        assert_eq!(bench.word(stored), after, "{chip}");
        assert_eq!(bench.ok(&format!("option write {line} yes")), "nothing to write: the option bytes hold that already");
        bench.power_cycle();
        assert_eq!(bench.word(stored), after, "{chip}");
        assert!(bench.ok("option read").contains("frozen") == (chip == "stm32g071"));
        assert_eq!(bench.warnings(), [""; 0], "{chip}");
    }
}

#[test]
fn after_the_reset_of_a_load_the_chip_is_programmed_and_runs_as_ever() {
    for (chip, app) in [("stm32h743", "blinky-h743.elf"), ("stm32g071", "blinky-g071.elf")] {
        let bench = Bench::new(chip);
        bench.ok(&format!("option write {} yes", if chip == "stm32h743" { "BOR_LEV 1" } else { "BOR_EN 1" }));
        bench.ok(&format!("program tests/firmware/{app} reset"));
        bench.ok("sleep 50; halt");
        let Value::Int(pc) = bench.run("reg(\"pc\")").unwrap().plain() else { panic!("{chip}") };
        assert!((0x0800_0000..0x0801_0000).contains(&pc), "{chip}: {pc:#x}");
    }
}

#[test]
fn rdp_1_keeps_the_debugger_out_and_the_way_back_erases_as_was_said() {
    for (chip, level1) in [("stm32h743", 0x55), ("stm32g071", 0xBB)] {
        let bench = Bench::new(chip);
        bench.poke(0x0800_0000, 0x1234_5678);
        let error = bench.fails("option write RDP level1 yes", Kind::Protected, "mass erase: at level 1");
        assert_eq!(error.hint.unwrap(), "`option write RDP level1 yes --allow RDP` does it and resets the chip");
        bench.ok("option write RDP level1 yes --allow RDP");
        assert_eq!(bench.option("RDP"), level1, "{chip}");
        assert!(bench.warnings().concat().contains("mass erase: at level 1"), "{chip}");
        bench.power_cycle();
        assert_eq!(bench.option("RDP"), level1, "{chip}");
        for line in ["mdw 0x08000000", "dump_image no.bin 0x08000000 16"] {
            bench.fails(line, Kind::Protected, "readout protection is at level 1: the debugger cannot reach the flash");
        }
        assert_eq!(bench.word(0x0800_0000), 0x1234_5678, "{chip}: it is all there");
        for line in ["option write RDP level0 yes", "option write RDP level0 --allow RDP"] {
            let error = bench.run(line).expect_err(line).to_string();
            assert!(
                error.contains("going back to level 0 erases the whole flash") && error.contains(" --allow RDP") && error.contains(" yes"),
                "{error}"
            );
        }
        assert_eq!(bench.word(0x0800_0000), 0x1234_5678, "{chip}: refused");
        bench.warnings();
        bench.ok("option write RDP level0 yes --allow RDP");
        let warnings = bench.warnings();
        assert!(warnings.iter().any(|text| text.contains("mass erase: going back to level 0 erases")), "{chip}: {warnings:?}");
        assert_eq!((bench.option("RDP"), bench.word(0x0800_0000)), (0xAA, u32::MAX), "{chip}");
        assert_eq!(bench.ok("mdw 0x08000000"), "0x08000000: ffffffff ");
    }
}

#[test]
fn what_cannot_be_taken_back_is_refused_unless_it_is_allowed_by_name() {
    let mut seen = 0;
    for chip in ["stm32h743", "stm32h745", "stm32h7a3", "stm32g071", "stm32g0b1"] {
        let bench = Bench::new(chip);
        let Value::List(rows) = bench.run("option read").unwrap().plain() else { panic!("{chip}") };
        let there: Vec<String> = rows.iter().map(Value::to_string).collect();
        let dangers = bench.target.options.iter().flat_map(|row| &row.dangers);
        let irreversible = dangers.filter(|danger| danger.kind == "irreversible" && danger.unless.is_empty());
        for (danger, field) in irreversible.flat_map(|danger| danger.fields.iter().map(move |field| (danger, field))) {
            if !there.iter().any(|row| row.starts_with(&format!("name: {field}\n"))) {
                continue;
            }
            let to = danger.to.unwrap_or(1 - bench.option(field).min(1) as u32);
            bench.fails(&format!("option write {field} {to:#x} yes --allow FOO"), Kind::Usage, "no option `FOO`");
            let mut names = there.iter().filter_map(|row| row.strip_prefix("name: ")?.lines().next());
            let other = names.find(|name| name != field).unwrap();
            let line = format!("option write {field} {to:#x} yes --allow {other}");
            let error = bench.fails(&line, Kind::Protected, &format!("(irreversible: {}); nothing was changed", danger.text));
            assert!(error.hint.unwrap().contains(&format!("--allow {field}`")), "{line}");
            seen += 1;
        }
        let Value::List(after) = bench.run("option read").unwrap().plain() else { panic!("{chip}") };
        assert_eq!(after, rows, "{chip}");
    }
    assert!(seen >= 60, "{seen}");
}

/// G0: BOOT_LOCK with level 1, whichever comes second, closes SWD until firmware opens it (RM0490 4.5.6).
#[test]
fn boot_lock_and_level_1_together_are_told_as_what_they_are() {
    let bench = Bench::new("stm32g071");
    bench.fails("option write BOOT_LOCK on RDP level1 yes", Kind::Protected, "irreversible: with RDP level 1, BOOT_LOCK closes SWD");
    bench.ok("option write BOOT_LOCK on yes --allow BOOT_LOCK");
    assert_eq!(bench.word(SECR), 1 << 16);
    bench.fails("option write RDP level1 yes", Kind::Protected, "irreversible: with BOOT_LOCK, level 1 closes SWD");
    bench.ok("option write BOOT_LOCK off yes");
    bench.ok("option write BOOT_LOCK on yes --allow BOOT_LOCK");
    let said = bench.ok("option write RDP level1 yes --allow RDP");
    assert!(said.ends_with("the chip no longer answers, so nothing could be read back"), "{said}");
    bench.fails("sim power; connect", Kind::Target, "");
    assert_eq!(bench.word(OPTR), 0xFFFF_FEBB);
}

#[test]
fn level_2_is_for_ever() {
    for (chip, stored, word) in [("stm32h743", OPTSR, 0x1006_CCF0), ("stm32g071", OPTR, 0xFFFF_FECC)] {
        let bench = Bench::new(chip);
        let error = bench.fails("option write RDP level2 yes", Kind::Protected, "can never again be debugged");
        assert_eq!(error.kind.exit_code(), 5);
        let said = bench.ok("option write RDP level2 yes --allow RDP");
        assert!(said.ends_with("the chip no longer answers, so nothing could be read back"), "{said}");
        bench.fails("connect", Kind::Target, "");
        bench.fails("sim power; connect", Kind::Target, "");
        assert_eq!(bench.word(stored), word, "{chip}");
    }
}

#[test]
fn what_may_keep_the_chip_from_booting_is_said_and_needs_only_yes() {
    let bench = Bench::new("stm32h743");
    bench.fails("option write BOOT_ADD0 0x1FF00000", Kind::Command, "(may not boot: the chip starts at another address)");
    bench.ok("option write BOOT_ADD0 0x1FF00000 yes");
    assert_eq!((bench.option("BOOT_ADD0"), bench.ok("option read BOOT_ADD0").as_str()), (0x1FF0, "BOOT_ADD0: 0x1ff0 (0x1ff00000)"));
    assert_eq!(bench.word(0x5200_2040), 0x1FF0_1FF0);
    let bench = Bench::new("stm32g071");
    bench.fails("option write NRST_MODE GPIO yes", Kind::Protected, "may lose SWD: without NRST there is no connect under reset");
    bench.ok("option write nBOOT_SEL pin nBOOT0 0 yes");
    assert_eq!(bench.word(OPTR), 0xFAFF_FEAA);
}

#[test]
fn names_and_values_that_are_not_there_are_told_with_what_is() {
    let bench = Bench::new("stm32g071");
    let told = |line: &str, words: &str, hint: &str| {
        let error = bench.fails(line, Kind::Usage, words);
        assert!(error.hint.as_ref().is_some_and(|told| told.contains(hint)), "{error}");
    };
    told("option write BOOTLOCK 1 yes", "this chip has no option `BOOTLOCK`", "did you mean `BOOT_LOCK`?");
    told("option read nBOOTSEL", "this chip has no option `nBOOTSEL`", "did you mean `nBOOT_SEL`?");
    told(
        "option write RDP 0 yes --allow RDP",
        "`0` is no value of RDP, which takes level0 (0xaa), level1 (0xbb), level2 (0xcc)",
        "`option read`",
    );
    told("option write RDP levl1 yes", "`levl1` is no value of RDP", "did you mean `level1`?");
    told("option write BORR_LEV 4 yes", "`4` is no value of BORR_LEV, which takes 2.1V (0x0)", "`option read`");
    told("option write WRP1A_STRT 64 yes", "`64` is no value of WRP1A_STRT, which takes 0 to 0x3f", "`option read`");
    told("option write PCROP1A_STRT 0x08000123 yes", "is no value of PCROP1A_STRT, which takes 0 to 0xff", "`option read`");
    told("option write PCROP1A_STRT 0x08020000 yes", "is no value of PCROP1A_STRT", "`option read`");
    told("option write BOR_EN", "option write needs <value>", "usage: option write");
    bench.fails("option write IWDG_SW 1 iwdg_sw 0 yes", Kind::Usage, "IWDG_SW is given twice");
    bench.fails("option protect 0 3 64 yes", Kind::Usage, "no sectors 3 through 64: bank 1 has sectors 0 through 63");
    bench.fails("option protect 0 70 last yes", Kind::Usage, "no sector 70: bank 1 has sectors 0 through 63");
    let error = bench.fails("option protect 0 5 2 yes", Kind::Usage, "sector 5 comes behind sector 2: the first is named first");
    assert!(error.hint.is_none());
    told("option protect 1 0 1 yes", "no flash bank 1", "`flash banks`");
    assert_eq!(bench.word(OPTR), 0xFFFF_FEAA);
    let bench = Bench::new("stm32h743");
    bench.fails("otp read", Kind::Command, "has no one-time programmable memory");
}

/// RM0399 4.4.3: OPTCHANGEERR, and nothing is changed.
#[test]
fn what_an_h7_refuses_is_an_error_and_the_words_stay() {
    let bench = Bench::new("stm32h743");
    bench.ok("option write PROT_AREA_START1 0 PROT_AREA_END1 15 yes --allow PROT_AREA_START1 --allow PROT_AREA_END1");
    assert_eq!(bench.word(0x5200_2028), 15 << 16);
    let line = "option write PROT_AREA_END1 7 yes --allow PROT_AREA_END1";
    let error = bench.fails(line, Kind::Protected, "OPTCHANGEERR: the chip refused the change of its option bytes");
    assert_eq!(error.trail[0], "writing the option bytes");
    assert_eq!(bench.word(0x5200_2028), 15 << 16);
    let secure = "option write SEC_AREA_START1 0 SEC_AREA_END1 15 yes --allow SEC_AREA_START1 --allow SEC_AREA_END1";
    bench.fails(secure, Kind::Protected, "OPTCHANGEERR");
    assert_eq!(bench.word(0x5200_2030), 0xFF);
    bench.ok("option write BOR_LEV 1 yes");
    assert_eq!(bench.option("BOR_LEV"), 1, "an error is cleared before the next change");
}

#[test]
fn a_g0_that_keeps_an_area_is_not_taken_for_one_that_changed_it() {
    let bench = Bench::new("stm32g071");
    bench.ok("option write PCROP1A_STRT 4 PCROP1A_END 11 yes --allow PCROP1A_STRT --allow PCROP1A_END");
    let error = bench.fails("option write PCROP1A_END 8 yes --allow PCROP1A_END", Kind::Mismatch, "PCROP1A_END reads 0xb (0x08001600)");
    assert!(error.message.ends_with("after 0x8 (0x08001000) was written"), "{error}");
}

#[test]
fn option_bytes_that_do_not_match_their_complement_are_told_and_mended() {
    let bench = Bench::new("stm32g071");
    bench.poke(0x0800_0000, 0x1234_5678);
    bench.ok("sim poke 0x1FFF7804 0x12");
    bench.power_cycle();
    assert_eq!(bench.ok("option read RDP"), "RDP: 0xff (level1: the debugger cannot read flash)");
    let warnings = bench.warnings();
    assert!(warnings.len() == 1 && warnings[0].starts_with("OPTVERR: the option bytes do not match their complements"), "{warnings:?}");
    let named = "; FLASH_OPTR is stored at 0x1fff7800 as 0xfffffeaa beside 0x00000112; `option read`";
    assert!(warnings[0].contains(named), "{warnings:?}");
    assert_eq!((bench.option("BOOT_LOCK"), bench.option("PCROP1A_END"), bench.option("BOR_EN")), (1, 0xFF, 0));
    bench.ok("option write RDP level0 BOOT_LOCK off yes --allow RDP");
    bench.warnings();
    assert_eq!((bench.option("RDP"), bench.option("BOOT_LOCK"), bench.option("PCROP1A_END")), (0xAA, 0, 0));
    assert_eq!(bench.warnings(), [""; 0]);
    assert_eq!(bench.word(0x0800_0000), u32::MAX, "going back to level 0 erased it");
    bench.power_cycle();
    assert_eq!((bench.option("RDP"), bench.warnings()), (0xAA, vec![]));
}

/// The chip finishes by itself what was started, unless power goes too: an H7 then keeps the old words, a G0's match nothing.
#[test]
fn a_plug_that_is_pulled_in_the_middle_is_one_error_and_the_words_are_old_or_new_or_told() {
    for (chip, power, stored, line, old, new) in [
        ("stm32h743", "", OPTSR, "option write BOR_LEV 3 yes", 0x1006_AAF0, 0x1006_AAFC),
        ("stm32g071", "", OPTR, "option write BOR_EN on yes", 0xFFFF_FEAA, 0xFFFF_FFAA),
        ("stm32h743", "sim power; ", OPTSR, "option write BOR_LEV 3 yes", 0x1006_AAF0, 0x1006_AAFC),
        ("stm32g071", "sim power; ", OPTR, "option write BOR_EN on yes", 0xFFFF_FEAA, 0xFFFF_FFAA),
    ] {
        let (mut after, mut changed, mut torn) = (0, 0, 0);
        loop {
            let bench = Bench::new(chip);
            bench.ok(&format!("connect; sim inject unplug after {after}"));
            let Err(error) = bench.run(line) else { break };
            assert_eq!(error.kind, Kind::Probe, "{chip}, after {after}: {error}");
            bench.ok(&format!("{power}sim plug; sleep 100; connect"));
            bench.warnings();
            let (word, says, told) = (bench.word(stored), bench.ok("option read RDP"), bench.warnings().concat());
            match word {
                u32::MAX => assert!(says.contains("(level1:") && told.contains("OPTVERR"), "{chip}, after {after}: {says} {told}"),
                _ => assert_eq!((says.as_str(), told.as_str()), ("RDP: 0xaa (level0: none)", ""), "{chip}, after {after}"),
            }
            assert!([old, new, u32::MAX].contains(&word), "{chip}, after {after}: {word:#x}");
            changed += u32::from(word == new);
            torn += u32::from(word == u32::MAX);
            after += 3;
        }
        assert!(after > 60 && changed > 0, "{chip}: {after} commands, {changed} times changed");
        assert_eq!(torn > 0, chip == "stm32g071" && !power.is_empty(), "{chip} {power}");
    }
}

/// A probe that refuses a command at any place: the way to the option bytes is shut behind the error, as it was before.
#[test]
fn after_an_error_the_option_bytes_are_locked() {
    for (chip, control, shut, line) in [
        // FLASH_OPTCR.OPTLOCK; FLASH_CR.LOCK and OPTLOCK (RM0433 4.9.7, RM0444 3.7.5)
        ("stm32h743", 0x5200_2018, 1, "option write BOR_LEV 3 yes"),
        ("stm32g071", 0x4002_2014, 3 << 30, "option write BOR_EN on yes"),
    ] {
        let mut failed = 0;
        for after in 0..150 {
            let bench = Bench::new(chip);
            bench.ok(&format!("connect; sim inject stall after {after}"));
            failed += u32::from(bench.run(line).is_err());
            bench.ok("sim inject heal");
            assert_eq!(bench.word(control) & shut, shut, "{chip}, after {after}");
        }
        assert!(failed > 20, "{chip}: {failed}");
    }
}

#[test]
fn to_allow_what_needs_none_is_told() {
    let bench = Bench::new("stm32g071");
    bench.ok("option write BOR_EN on yes --allow BOR_EN --allow rdp");
    assert_eq!(bench.warnings(), ["`--allow BOR_EN --allow rdp` allows nothing here: no such change is dangerous"]);
    bench.ok("option write NRST_MODE GPIO yes --allow nrst_mode");
    let warnings = bench.warnings();
    assert!(warnings.len() == 1 && warnings[0].contains("may lose SWD"), "{warnings:?}");
}

#[test]
fn sectors_are_protected_and_unprotected_by_number() {
    for (chip, register, words) in
        [("stm32h743", 0x5200_2038, [0xFF, 0xF9, 0xFD]), ("stm32g071", 0x1FFF_7818, [0xFF, 2 << 16 | 1, 2 << 16 | 2])]
    {
        let bench = Bench::new(chip);
        let freed = if chip == "stm32h743" { 2 } else { 1 };
        assert_eq!(bench.word(register), words[0], "{chip}");
        let error = bench.fails(
            "option protect 0 1 2",
            Kind::Command,
            "sectors 1 through 2 of bank 0 (bank 1 in the manual) write protected: not yet",
        );
        assert_eq!(error.hint.unwrap(), "`option protect 0 1 2 yes` does it and resets the chip");
        bench.ok("option protect 0 1 2 yes");
        assert_eq!(bench.word(register), words[1], "{chip}");
        bench.fails("flash erase_sector 0 1 1", Kind::Protected, "write protected by option bytes: sector 1 of bank 1");
        bench.ok(&format!("option unprotect 0 {freed} {freed} yes"));
        assert_eq!(bench.word(register), words[2], "{chip}");
        let said = bench.ok(&format!("option unprotect 0 {freed} {freed} yes"));
        let there =
            format!("nothing to write: sectors {freed} through {freed} of bank 0 (bank 1 in the manual) not write protected already");
        assert_eq!(said, there);
        bench.ok(&format!("flash erase_sector 0 {freed} {freed}"));
        bench.ok("option unprotect 0 0 last yes");
        assert_eq!(bench.word(register), words[0], "{chip}");
    }
}

#[test]
fn protection_that_the_chip_cannot_express_is_an_error() {
    let bench = Bench::new("stm32g071");
    bench.ok("option protect 0 0 0 yes; option protect 0 4 5 yes");
    bench.fails("option protect 0 8 8 yes", Kind::Usage, "bank 1 can protect two areas, these are 3");
    assert_eq!([bench.word(0x1FFF_7818), bench.word(0x1FFF_7820)], [0, 5 << 16 | 4]);
    let bench = Bench::new("stm32h7a3");
    bench.fails("option protect 0 0 4 yes", Kind::Usage, "sectors 4 through 7 of bank 1 are protected together or not at all");
    bench.ok("option protect 1 4 11 yes");
    assert_eq!(bench.word(0x5200_2138), 0xFFFF_FFF9);
}

#[test]
fn unlock_takes_protection_off_what_is_written_and_off_nothing_else() {
    let bench = Bench::new("stm32g071");
    bench.ok("option protect 0 0 9 yes");
    bench.fails("flash write_image erase tests/firmware/blinky-g071.elf", Kind::Protected, "write protected");
    bench.ok("flash write_image erase unlock tests/firmware/blinky-g071.elf");
    assert_eq!(bench.word(0x1FFF_7818), 9 << 16 | 1);
    bench.ok("flash erase_address unlock 0x08001000 2K");
    assert_eq!([bench.word(0x1FFF_7818), bench.word(0x1FFF_7820)], [1 << 16 | 1, 9 << 16 | 3]);
    // What holds the image already stays as it is, protection too.
    bench.ok("option protect 0 0 9 yes");
    let said = bench.ok("flash write_image erase unlock tests/firmware/blinky-g071.elf");
    assert!(said.starts_with("nothing to write: "), "{said}");
    assert_eq!([bench.word(0x1FFF_7818), bench.word(0x1FFF_7820)], [9 << 16, 0xFF]);
}

/// What cannot be read needs it most.
#[test]
fn unlock_takes_protection_off_a_damaged_word() {
    let bench = Bench::new("stm32h743");
    bench.ok("option protect 0 1 1 yes; sim tear 0x08020000");
    bench.ok("flash write_image erase unlock tests/firmware/dense-200k-h743.elf");
    bench.ok("verify_image tests/firmware/dense-200k-h743.elf");
}

#[test]
fn banks_are_swapped_and_swapped_back() {
    for (chip, upper, line, back) in [
        ("stm32h743", 0x0810_0000, "SWAP_BANK_OPT swapped", "SWAP_BANK_OPT normal"),
        ("stm32g0b1", 0x0804_0000, "nSWAP_BANK swapped", "nSWAP_BANK normal"),
    ] {
        let bench = Bench::new(chip);
        bench.poke(0x0800_0000, 1);
        bench.poke(upper, 2);
        bench.fails(&format!("option write {line}"), Kind::Command, "may not boot: the chip starts what is in the other bank");
        bench.ok(&format!("option write {line} yes"));
        assert_eq!([bench.word(0x0800_0000), bench.word(upper)], [2, 1], "{chip}");
        bench.ok(&format!("option write {back} yes"));
        assert_eq!([bench.word(0x0800_0000), bench.word(upper)], [1, 2], "{chip}");
    }
}

/// Registers go along with an H7's banks (RM0399 table 19): what is programmed is where it was to be, and in the other bank.
#[test]
fn swapped_banks_of_an_h7_are_programmed_where_they_are() {
    let bench = Bench::new("stm32h743");
    bench.poke(0x0800_0000, 1);
    bench.ok("option write SWAP_BANK_OPT swapped yes; program tests/firmware/blinky-h743.elf");
    let vectors = bench.word(0x0800_0004);
    assert_eq!(bench.word(0x0810_0000), 1);
    bench.ok("option protect 0 7 7 yes");
    assert_eq!([bench.word(0x5200_2038), bench.word(0x5200_2138)], [0x7F, 0xFF]);
    bench.ok("option write SWAP_BANK_OPT normal yes");
    assert_eq!([bench.word(0x0800_0000), bench.word(0x0810_0004)], [1, vectors]);
    assert_eq!([bench.word(0x5200_2038), bench.word(0x5200_2138)], [0xFF, 0x7F]);
}

#[test]
fn a_dry_run_says_what_would_be_and_changes_nothing() {
    let bench = Bench::with("stm32g071", Settings { dry_run: true, ..Settings::default() });
    let said = bench.ok("option write BOR_EN on yes");
    assert_eq!(said, "dry run: BOR_EN goes from 0x0 (off) to 0x1 (on: by BORR_LEV and BORF_LEV); nothing was changed");
    assert!(bench.ok("option protect 0 0 1 yes").starts_with("dry run: "));
    assert_eq!([bench.word(OPTR), bench.word(0x1FFF_7818)], [0xFFFF_FEAA, 0xFF]);
}

#[test]
fn one_time_programmable_memory_is_shown_and_saved() {
    for (chip, address) in [("stm32g071", 0x1FFF_7000), ("stm32h7a3", 0x08FF_F000)] {
        let bench = Bench::new(chip);
        bench.poke(address, 0x1234_5678);
        let shown = bench.ok("otp read");
        assert!(shown.starts_with(&format!("{address:#010x}: 12345678 ffffffff ")) && shown.lines().count() == 32, "{shown}");
        let file = bench.folder.path().join("otp.bin");
        bench.ok(&format!("otp read \"{}\"", file.display()));
        let bytes = std::fs::read(file).unwrap();
        assert_eq!((bytes.len(), &bytes[..5]), (1024, &[0x78, 0x56, 0x34, 0x12, 0xFF][..]), "{chip}");
        // As its name says, with its address; so does the board's own door.
        for (line, name) in [("otp read", "otp.hex"), ("otp read", "otp.srec"), ("sim dump", "dump.ihex")] {
            let file = bench.folder.path().join(name);
            let range = if line == "sim dump" { format!(" {address:#x} 1K") } else { String::new() };
            bench.ok(&format!("{line} \"{}\"{range}", file.display()));
            let image = Image::read(&file, None, None).unwrap();
            assert_eq!((image.segments.len(), image.segments[0].address), (1, address), "{name}");
            assert_eq!(image.segments[0].data, bytes, "{name}");
        }
    }
}
