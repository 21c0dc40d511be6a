//! What is refused, or said, before flash is erased: `program` and `flash write_image` on the embedded board, each check on
//! the chip it matters to, and everything that is in order and must be taken without a word.

use rocd::command::{Settings, Value};
use rocd::error::{Error, Kind, Result};
use rocd::event::{Event, Sink};
use rocd::host::{Cancel, Host};
use rocd::session::CHECKS;
use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

const FLASH: u32 = 0x0800_0000;
/// `RM0433` 4.4 and `RM0444` 3.4: unlock, the option register, start; a G0 then loads them, which resets it.
const H7_BOOT_TO_ROM: &str = "mww 0x52002008 0x08192A3B; mww 0x52002008 0x4C5D6E7F; mww 0x52002044 0x1FF01FF0; mww 0x52002018 2; sleep 100";
const H7_BOOT_TO_BANK_2: &str =
    "mww 0x52002008 0x08192A3B; mww 0x52002008 0x4C5D6E7F; mww 0x52002044 0x1FF00810; mww 0x52002018 2; sleep 100";

#[derive(Default)]
struct Heard(RefCell<Vec<String>>);

impl Sink for Heard {
    fn emit(&self, event: Event) {
        if let Event::Warning(text) = event {
            self.0.borrow_mut().push(text);
        }
    }
}

struct Bench {
    host: Host,
    heard: Rc<Heard>,
    folder: tempfile::TempDir,
}

impl Bench {
    fn on(chip: &str) -> Bench {
        let heard = Rc::new(Heard::default());
        let host = Host::new(heard.clone(), Cancel::default(), Settings::default(), 0).unwrap();
        host.file("sim").unwrap();
        host.file(if chip.starts_with("stm32h7") { "stm32h7" } else { "stm32g0" }).unwrap();
        let bench = Bench { host, heard, folder: tempfile::tempdir().unwrap() };
        bench.run(&format!("sim chip {chip}")).unwrap();
        bench
    }

    fn run(&self, line: &str) -> Result<Value> {
        let mut last = Value::None;
        self.host.line(line, &mut |outcome| last = outcome.result.clone().unwrap_or(Value::None))?;
        Ok(last)
    }

    /// What it warned of.
    fn warnings(&self, line: &str) -> Vec<String> {
        self.heard.0.borrow_mut().clear();
        self.run(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        self.heard.0.borrow().clone()
    }

    fn refused(&self, line: &str) -> Error {
        self.run("sim poke 0x08000400 0x12 0x34").unwrap();
        let error = self.run(line).expect_err(line);
        assert_eq!(self.dump(FLASH + 0x400, 2), [0x12, 0x34], "{line}: flash was changed");
        assert_eq!(error.kind, Kind::Image, "{line}: {error}");
        error
    }

    fn dump(&self, address: u32, len: usize) -> Vec<u8> {
        let path = self.folder.path().join("dump.bin");
        self.run(&format!("sim dump {} {address:#x} {len}", path.display())).unwrap();
        std::fs::read(path).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path.display().to_string()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        // What was programmed in spite of a warning does not run, which is said here.
        let _ = self.host.leave();
    }
}

fn firmware(name: &str) -> String {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/firmware").join(name).display().to_string()
}

/// The bytes of an ELF's flash, as objcopy -O binary makes them.
fn raw(name: &str) -> Vec<u8> {
    let image = rocd::image::Image::read(firmware(name).as_ref(), None, None).unwrap();
    assert_eq!(image.segments.len(), 1, "{name}");
    image.segments[0].data.clone()
}

/// A vector table and 1 KiB behind it.
fn table(stack: u32, reset: u32) -> Vec<u8> {
    let mut bytes = [stack.to_le_bytes(), reset.to_le_bytes()].concat();
    bytes.resize(1024, 0);
    bytes
}

#[test]
fn code_for_another_core_is_refused_and_each_check_is_forced_by_its_own_word() {
    let bench = Bench::on("stm32g071");
    let elf = firmware("blinky-h743.elf");
    let error = bench.refused(&format!("program {elf}"));
    assert_eq!(error.message, format!("{elf} is ARMv7E-M code, which the Cortex-M0+ of this STM32G07x/08x does not run"));
    assert!(
        error.hint.as_deref().unwrap().ends_with("; `program` and `flash write_image` do it nevertheless with `force-machine`"),
        "{error}"
    );
    let error = bench.refused(&format!("program {elf} force-machine"));
    let why = "its stack, 0x20020000, is not in RAM, which ends at 0x20008fff (36 KiB from 0x20000000)";
    assert_eq!(error.message, format!("{elf} has no vector table at 0x08000000, where the chip starts: {why}"));
    assert!(
        error.hint.as_deref().unwrap().ends_with("; `program` and `flash write_image` do it nevertheless with `force-vectors`"),
        "{error}"
    );
    bench.refused(&format!("flash write_image erase {elf} force-vectors force-boot force-address"));
    let said = bench.warnings(&format!("program {elf} force-machine force-vectors"));
    assert!(said[0].contains("is ARMv7E-M code") && said[1].contains("is not in RAM"), "{said:#?}");
    let data = raw("blinky-h743.elf");
    assert!(bench.dump(FLASH, data.len()) == data);
}

#[test]
fn who_has_no_word_for_it_is_told_who_has() {
    let bench = Bench::on("stm32g071");
    let elf = firmware("blinky-h743.elf");
    let hint = bench.refused(&format!("run {elf}")).hint.unwrap();
    assert!(hint.ends_with("; `program` and `flash write_image` do it nevertheless with `force-machine`"), "{hint}");
}

#[test]
fn an_elf_that_any_core_of_the_chip_runs_is_taken() {
    // Thumb code for a Cortex-M0+ runs on a Cortex-M7; what its stack says is another matter, and in order here.
    for (chip, name) in [("stm32h743", "blinky-g071.elf"), ("stm32h745", "blinky-h745-m4.elf"), ("stm32h743", "../debug/debug-v7m.elf")] {
        assert_eq!(Bench::on(chip).warnings(&format!("program {}", firmware(name))), [""; 0], "{name} on {chip}");
    }
}

#[test]
fn a_uf2_for_another_family_is_refused() {
    // A block of 16 bytes (github.com/microsoft/uf2), family STM32H7.
    let mut block = vec![0; 512];
    let words = [0x0A32_4655u32, 0x9E5D_5157, 0x2000, FLASH, 16, 0, 1, 0x6DB6_6082];
    block[..32].copy_from_slice(&words.map(u32::to_le_bytes).concat());
    block[32..40].copy_from_slice(&[0x2000_2000u32, FLASH + 9].map(u32::to_le_bytes).concat());
    block[508..].copy_from_slice(&0x0AB1_6F30u32.to_le_bytes());
    let bench = Bench::on("stm32g071");
    let file = bench.write("app.uf2", &block);
    assert_eq!(bench.refused(&format!("program {file}")).message, format!("{file} is for STM32H7, the chip is an STM32G07x/08x"));
    assert_eq!(bench.warnings(&format!("program {file} force-machine")).len(), 1);
    assert_eq!(Bench::on("stm32h743").warnings(&format!("program {file}")), [""; 0]);
}

#[test]
fn a_raw_image_that_its_vectors_would_allow_at_four_addresses_is_known_by_its_pointers() {
    let bench = Bench::on("stm32g071");
    let file = bench.write("app.bin", &raw("offset-g071.elf"));
    let error = bench.refused(&format!("program {file}"));
    let fits = "for 0x08002000, where 8 of its pointers meet functions; at 0x08000000, where it goes, 0 do";
    assert_eq!(error.message, format!("{file} was linked for another address, {fits}"));
    assert!(error.hint.as_deref().unwrap().starts_with("give the address it was linked for behind the file's name; `program`"));
    bench.refused(&format!("flash write_image erase {file} 0x08000000 bin"));
    bench.refused(&format!("program {file} 0x08004000"));
    // A file with addresses that are moved is no other case.
    bench.refused(&format!("flash write_image erase {} 0x2000", firmware("offset-g071.elf")));
    let said = bench.warnings(&format!("program {file} force-address"));
    assert!(said.len() == 1 && said[0].contains(fits), "{said:#?}");
}

#[test]
fn what_only_the_vectors_say_names_no_base_and_few_pointers_say_probably() {
    let bench = Bench::on("stm32h743");
    let bare = bench.write("bare.bin", &table(0x2408_0000, 0x0802_0299));
    let error = bench.refused(&format!("program {bare}"));
    let place = "at 0x08000000..0x080003ff its reset handler, 0x08020298, is not in it";
    assert_eq!(error.message, format!("{bare} was linked for another address: {place}"));
    // Three functions that push lr, and a pointer to each.
    let mut few = table(0x2408_0000, 0x0802_0299);
    for n in 0..3 {
        few[0x100 + 16 * n..][..2].copy_from_slice(&[0x10, 0xB5]);
        few[0x200 + 4 * n..][..4].copy_from_slice(&(0x0802_0101 + 16 * n as u32).to_le_bytes());
    }
    let file = bench.write("few.bin", &few);
    let error = bench.refused(&format!("program {file}"));
    let fits = "probably for 0x08020000, where 3 of its pointers meet functions";
    assert_eq!(error.message, format!("{file} was linked for another address, {fits}: {place}"));
    // Where its reset handler could be here too, that is too little to refuse it.
    few[4..8].copy_from_slice(&0x0800_0299u32.to_le_bytes());
    for n in 0..3 {
        few[0x200 + 4 * n..][..4].copy_from_slice(&(0x0800_0001 + 16 * n as u32).to_le_bytes());
    }
    few.resize(0x1000, 0);
    few[4..8].copy_from_slice(&0x0800_0F01u32.to_le_bytes());
    few.copy_within(0x100..0x130, 0x300);
    for n in 0..3 {
        few[0x200 + 4 * n..][..4].copy_from_slice(&(0x0800_0B01 + 16 * n as u32).to_le_bytes());
    }
    few[0x100..0x130].fill(0);
    let file = bench.write("weak.bin", &few);
    let said = bench.warnings(&format!("program {file}"));
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(
        said[0].contains("probably for 0x08000800, where 3 of its pointers meet functions; at 0x08000000, where it goes, 0 do"),
        "{said:#?}"
    );
    assert_eq!(bench.warnings(&format!("program {file} force-address")), [""; 0]);
}

#[test]
fn what_is_no_vector_table_where_the_chip_starts_is_refused_with_its_numbers() {
    for (chip, stack, end) in [
        ("stm32h743", 0x2002_0000u32, "0x2001ffff (128 KiB from 0x20000000)"),
        ("stm32g071", 0x2000_8000, "0x20008fff (36 KiB from 0x20000000)"),
    ] {
        let bench = Bench::on(chip);
        let cases = [
            (0x2003_0000, FLASH + 0x101, format!("its stack, 0x20030000, is not in RAM, which ends at {end}")),
            (stack + 2, FLASH + 0x101, format!("its stack, {:#010x}, is no multiple of 4", stack - 2)),
            (stack, FLASH + 0x100, "its reset handler, 0x08000100, lacks the Thumb bit (bit 0)".into()),
            (stack, 0x9000_0101, "its reset handler, 0x90000101, is not in flash".into()),
            (0xA5A5_A5A5, 0xA5A5_A5A5, "its stack, 0xa5a5a5a5, is not in RAM".into()),
        ];
        for (sp, reset, why) in cases {
            let sp = if sp == stack + 2 { stack - 2 } else { sp };
            let file = bench.write("app.bin", &table(sp, reset));
            let error = bench.refused(&format!("program {file}"));
            assert_eq!(error.message, format!("{file} has no vector table at 0x08000000, where the chip starts: {why}"), "{chip}");
            assert!(
                error.hint.as_deref().unwrap().ends_with("; `program` and `flash write_image` do it nevertheless with `force-vectors`"),
                "{chip}: {error}"
            );
        }
        let file = bench.write("odd.bin", &table(stack - 4, FLASH + 0x101));
        let said = bench.warnings(&format!("program {file}"));
        assert!(said.len() == 1 && said[0].contains("is no multiple of 8"), "{chip}: {said:#?}");
        assert_eq!(bench.warnings(&format!("program {file} force-vectors")), [""; 0], "{chip}");
    }
}

#[test]
fn a_linker_script_needs_two_words_to_be_flashed() {
    let bench = Bench::on("stm32h743");
    let script = firmware("flash_like_st.ld");
    bench.refused(&format!("program {script}"));
    let error = bench.refused(&format!("program {script} bin"));
    assert!(error.message.contains("its stack, 0x2a0a2a2f, is not in RAM; as text it is \"/*\\n*"), "{error}");
    let said = bench.warnings(&format!("program {script} bin force-vectors"));
    assert!(said.len() == 2 && said[0].contains("is a linker script, taken as raw bytes"), "{said:#?}");
}

#[test]
fn a_program_that_the_chip_will_not_start_is_told_by_where_it_starts() {
    let blank = |name: &str| {
        let why = if name.contains("g071") { "nBOOT_SEL = 1, nBOOT0 = 1, nBOOT1 = 1" } else { "BOOT_ADD0 = 0x0800" };
        format!("the chip starts at 0x08000000 ({why}), where {} does not go and flash is blank", firmware(name))
    };
    for (chip, name, loader) in [
        ("stm32h743", "header-h743.elf", "blinky-h743.elf"),
        ("stm32g071", "header-g071.elf", "blinky-g071.elf"),
        ("stm32g071", "offset-g071.elf", "blinky-g071.elf"),
    ] {
        let bench = Bench::on(chip);
        let line = format!("program {}", firmware(name));
        let said = bench.warnings(&line);
        assert!(said.len() == 1 && said[0].starts_with(&blank(name)), "{chip}: {said:#?}");
        assert_eq!(bench.warnings(&format!("{line} force-boot")), [""; 0], "{chip}");
        // What is there is no boot loader.
        bench.run("sim poke 0x08000000 1 2 3 4 5 6 7 8").unwrap();
        let said = bench.warnings(&line);
        assert!(
            said.len() == 1 && said[0].contains("no vector table is (stack 0x04030201, reset handler 0x08070605)"),
            "{chip}: {said:#?}"
        );
        bench.warnings(&format!("program {}", firmware(loader)));
        assert_eq!(bench.warnings(&line), [""; 0], "{chip}: a boot loader is there");
    }
}

#[test]
fn option_bytes_that_start_something_else_are_told() {
    let bench = Bench::on("stm32h743");
    let blinky = firmware("blinky-h743.elf");
    bench.run(H7_BOOT_TO_ROM).unwrap();
    let said = bench.warnings(&format!("program {blinky}"));
    assert!(said.len() == 1, "{said:#?}");
    assert!(
        said[0].starts_with(&format!("the chip starts at 0x1ff00000 (BOOT_ADD0 = 0x1ff0), where {blinky} does not go and no flash is")),
        "{said:#?}"
    );
    let bench = Bench::on("stm32h743");
    bench.run(H7_BOOT_TO_BANK_2).unwrap();
    // It starts in bank 2: there a program is in order, and at the start of flash another thing is.
    let said = bench.warnings(&format!("program {blinky}"));
    assert!(
        said.len() == 1 && said[0].contains("starts at 0x08100000 (BOOT_ADD0 = 0x0810)") && said[0].contains("flash is blank"),
        "{said:#?}"
    );
    let file = bench.write("settings.bin", &[0xA5; 64]);
    assert_eq!(bench.warnings(&format!("program {file}")), [""; 0]);
    assert!(bench.refused(&format!("program {file} 0x08100000")).message.contains("no vector table at 0x08100000"));
    for (options, place) in
        [("0xFAFFFEAA", "0x1fff0000 (nBOOT_SEL = 0, nBOOT0 = 0"), ("0xFBFFFEAA", "0x1fff0000"), ("0xF9FFFEAA", "0x20000000")]
    {
        let bench = Bench::on("stm32g071");
        let keys = "mww 0x40022008 0x45670123; mww 0x40022008 0xCDEF89AB; mww 0x4002200C 0x08192A3B; mww 0x4002200C 0x4C5D6E7F";
        bench
            .run(&format!(
                "{keys}; mww 0x40022020 {options}; mww 0x40022014 0x00020000; sleep 100; sim save {0}; sim load {0}",
                bench.folder.path().join("board").display()
            ))
            .unwrap();
        bench.run("connect").unwrap();
        let said = bench.warnings(&format!("program {}", firmware("blinky-g071.elf")));
        // With nBOOT_SEL at 0 the pin says, and it is low.
        match place.contains("nBOOT_SEL = 0") {
            true => assert_eq!(said, [""; 0]),
            false => assert!(said.len() == 1 && said[0].contains(&format!("the chip starts at {place}")), "{options}: {said:#?}"),
        }
    }
}

#[test]
fn what_is_in_order_is_taken_without_a_word() {
    let data: Vec<u8> = (0..700u32).map(|n| (n * 7) as u8).collect();
    // Chip, what is in flash before, file and address behind `program`.
    let cases: &[(&str, &[&str], &str, &str)] = &[
        ("stm32h743", &[], "blinky-h743.elf", ""),
        ("stm32h743", &[], "paddr0-h743.elf", ""),
        ("stm32h743", &[], "lma-h743.elf", ""),
        ("stm32h743", &[], "calls-o2-h743.elf", ""),
        ("stm32h743", &[], "dense-200k-h743.elf", ""),
        ("stm32g071", &[], "blinky-g071.elf", ""),
        ("stm32g071", &[], "calls-o0-g071.elf", ""),
        ("stm32g0b1", &[], "interrupts-g071.elf", ""),
        ("stm32g0b1", &[], "dense-120k-g071.elf", ""),
        // The second core's image, alone, first, and after the first core's.
        ("stm32h745", &[], "pair-h745-m4.elf", ""),
        ("stm32h745", &["pair-h745-m7.elf"], "pair-h745-m4.elf", ""),
        ("stm32h745", &["pair-h745-m4.elf"], "pair-h745-m7.elf", ""),
        // Data anywhere but where the chip starts, on a blank chip and beside a program.
        ("stm32h743", &[], "data.bin", "0x081e0000"),
        ("stm32g071", &[], "data.bin", "0x0801f800"),
        ("stm32g071", &["blinky-g071.elf"], "data.bin", "0x0801f800"),
        ("stm32h743", &["blinky-h743.elf"], "data.bin", "0x08020000"),
        // Behind a boot loader that is there.
        ("stm32h743", &["blinky-h743.elf"], "header-h743.elf", ""),
        ("stm32g071", &["blinky-g071.elf"], "offset-g071.elf", ""),
        ("stm32g071", &["blinky-g071.elf"], "offset.bin", "0x08002000"),
        ("stm32h743", &[], "blinky.bin", ""),
    ];
    for (chip, before, name, words) in cases {
        let bench = Bench::on(chip);
        before.iter().for_each(|name| drop(bench.warnings(&format!("program {}", firmware(name)))));
        let file = match *name {
            "data.bin" => bench.write(name, &data),
            "offset.bin" => bench.write(name, &raw("offset-g071.elf")),
            "blinky.bin" => bench.write(name, &raw("blinky-h743.elf")),
            name => firmware(name),
        };
        assert_eq!(bench.warnings(&format!("flash write_image erase {file} {words}")), [""; 0], "{name} on {chip}");
    }
    // What is for RAM alone is nobody's business here.
    assert_eq!(Bench::on("stm32h743").warnings(&format!("load_image {}", firmware("ramonly-h743.elf"))), [""; 0]);
}

#[test]
fn a_backup_of_a_blank_chip_may_come_back_and_is_told_that_it_does_not_start() {
    for chip in ["stm32h743", "stm32g071"] {
        let bench = Bench::on(chip);
        let file = bench.write("blank.bin", &[0xFF; 4096]);
        let said = bench.warnings(&format!("program {file}"));
        assert!(
            said.len() == 1 && said[0].contains("is blank at 0x08000000, where the chip starts: it will not start"),
            "{chip}: {said:#?}"
        );
    }
}

#[test]
fn a_dry_run_refuses_what_the_real_one_would() {
    let bench = Bench::on("stm32g071");
    bench.host.cx().settings.borrow_mut().dry_run = true;
    let error = bench.run(&format!("program {}", firmware("blinky-h743.elf"))).unwrap_err();
    assert!(error.message.contains("ARMv7E-M"), "{error}");
}

#[test]
fn every_check_has_its_word_and_no_word_is_for_all() {
    let bench = Bench::on("stm32g071");
    for command in ["flash write_image", "program"] {
        let help = bench.run(&format!("help {command}")).unwrap().to_string();
        for check in CHECKS {
            assert!(help.contains(&format!("[force-{}]", check.word)), "{command}: {}", check.word);
        }
        assert_eq!(help.matches("[force-").count(), CHECKS.len(), "{command}");
    }
}
