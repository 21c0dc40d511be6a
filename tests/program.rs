//! `program` with the firmware of tests/firmware on every die, and the files that it must refuse.
//!
//! Flash is compared through the board's own door with what Debian's objcopy makes of the file; where that is not
//! installed, with the bytes of the sections at their load addresses.

use object::read::elf::{ElfFile32, FileHeader, ProgramHeader, SectionHeader};
use object::{LittleEndian, elf};
use rocd::command::{Settings, Value};
use rocd::error::{Error, Kind, Result};
use rocd::event::Silent;
use rocd::host::{Cancel, Host, exit_code};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;

/// Every die: its target file and how much flash it has at 0x08000000 without a gap, KiB.
const DIES: &[(&str, &str, u32)] = &[
    ("stm32h743", "stm32h7", 2048),
    ("stm32h745", "stm32h7", 2048),
    ("stm32h750", "stm32h7", 128),
    ("stm32h723", "stm32h7", 1024),
    ("stm32h7a3", "stm32h7", 2048),
    ("stm32g030", "stm32g0", 64),
    ("stm32g031", "stm32g0", 64),
    ("stm32g051", "stm32g0", 64),
    ("stm32g071", "stm32g0", 128),
    ("stm32g0b1", "stm32g0", 512),
];

const FLASH: u32 = 0x0800_0000;
/// What flash holds before a file that is to be refused.
const MARK: &str = "sim poke 0x08000000 0x12 0x34 0x56 0x78";
const MARKED: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

struct Bench {
    host: Host,
    folder: tempfile::TempDir,
}

impl Bench {
    fn on(chip: &str, target: &str) -> Bench {
        let bench = Bench {
            host: Host::new(Rc::new(Silent), Cancel::default(), Settings::default(), 0).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        };
        bench.host.file("sim").unwrap();
        bench.host.file(target).unwrap();
        bench.run(&format!("sim chip {chip}")).unwrap();
        bench
    }

    fn run(&self, line: &str) -> Result<Value> {
        let mut last = Value::None;
        self.host.line(line, &mut |outcome| last = outcome.result.clone().unwrap_or(Value::None))?;
        Ok(last)
    }

    /// The board's memory, by its own door.
    fn dump(&self, address: u32, len: usize) -> Vec<u8> {
        let path = self.folder.path().join("dump.bin");
        self.run(&format!("sim dump {} {address:#x} {len}", path.display())).unwrap();
        std::fs::read(path).unwrap()
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// The error of a program that must not touch flash.
    fn refused(&self, words: &str) -> Error {
        self.run(MARK).unwrap();
        let error = self.run(&format!("program {words}")).expect_err(words);
        assert_eq!(self.dump(FLASH, 4), MARKED, "{words}: flash was changed");
        assert_eq!(self.dump(FLASH + 0x400, 64), [0xFF; 64], "{words}: flash was changed");
        error
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = self.host.leave();
    }
}

fn firmware(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/firmware").join(name)
}

fn elves() -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(firmware(""))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|x| x == "elf"))
        .collect();
    files.sort();
    assert!(files.len() >= 12, "{files:?}");
    files
}

/// Load address and bytes of everything that is loaded, by section.
fn sections(path: &Path) -> Vec<(u32, Vec<u8>)> {
    let bytes = std::fs::read(path).unwrap();
    let file = ElfFile32::<LittleEndian>::parse(&*bytes).unwrap();
    let endian = file.endian();
    let header = file.elf_header();
    let segments = header.program_headers(endian, &*bytes).unwrap();
    let virtual_only = segments.iter().all(|segment| segment.p_paddr(endian) == 0);
    let mut found = Vec::new();
    for section in header.section_headers(endian, &*bytes).unwrap() {
        let (offset, size) = (section.sh_offset(endian), section.sh_size(endian));
        let loaded = section.sh_flags(endian).0 & elf::SHF_ALLOC.0 != 0 && section.sh_type(endian) != elf::SHT_NOBITS && size > 0;
        let home = segments.iter().find(|segment| {
            let (start, len) = segment.file_range(endian);
            segment.p_type(endian) == elf::PT_LOAD && u64::from(offset) >= start && u64::from(offset + size) <= start + len
        });
        if let Some(segment) = home.filter(|_| loaded) {
            let base = if virtual_only { segment.p_vaddr(endian) } else { segment.p_paddr(endian) };
            found.push((base + (offset - segment.p_offset(endian)), bytes[offset as usize..(offset + size) as usize].to_vec()));
        }
    }
    found.sort();
    found
}

/// What flash must hold from the lowest address on; objcopy's answer where it is installed.
fn flattened(path: &Path, folder: &Path) -> (u32, Vec<u8>) {
    let parts = sections(path);
    let base = parts[0].0;
    let end = parts.iter().map(|(at, bytes)| at + bytes.len() as u32).max().unwrap();
    let mut own = vec![0xFF; (end - base) as usize];
    parts.iter().for_each(|(at, bytes)| own[(at - base) as usize..][..bytes.len()].copy_from_slice(bytes));
    let out = folder.join("objcopy.bin");
    let paddr0 = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("paddr0"));
    let copied = Command::new("arm-none-eabi-objcopy").args(["-O", "binary", "--gap-fill", "0xff"]).arg(path).arg(&out).status();
    match copied {
        Ok(status) if status.success() && !paddr0 => {
            let theirs = std::fs::read(out).unwrap();
            assert_eq!(own.len(), theirs.len(), "{}", path.display());
            assert!(own == theirs, "{}: objcopy sees other bytes", path.display());
        }
        _ => {}
    }
    (base, own)
}

/// All of it lies in flash at `FLASH`, `kib` long.
fn fits(parts: &[(u32, Vec<u8>)], kib: u32) -> bool {
    parts.iter().all(|(at, bytes)| *at >= FLASH && at - FLASH + bytes.len() as u32 <= kib * 1024)
}

#[test]
fn every_firmware_that_fits_a_die_is_in_its_flash_and_the_others_are_refused() {
    let mut programmed = 0;
    for &(chip, target, kib) in DIES {
        for path in elves() {
            let bench = Bench::on(chip, target);
            let (name, parts) = (path.display(), sections(&path));
            if fits(&parts, kib) {
                let (base, wanted) = flattened(&path, bench.folder.path());
                // An image for another core, or with its stack past the end of a smaller chip's RAM, is refused first.
                let own = name.to_string().contains(&chip[5..]);
                if let Err(error) = bench.run(&format!("program {name}")) {
                    let why = ["does not run", "is not in RAM"].iter().any(|why| error.message.contains(why));
                    assert!(why && !own, "{chip} {name}: {error}");
                    let forced = bench.run(&format!("program {name} force-machine force-vectors"));
                    forced.unwrap_or_else(|error| panic!("{chip} {name}: {error}"));
                }
                assert!(bench.dump(base, wanted.len()) == wanted, "{chip}: flash is not {name}");
                programmed += 1;
            } else {
                let error = bench.refused(&name.to_string());
                assert_eq!((error.kind, exit_code(&error)), (Kind::Image, 8), "{chip} {name}: {error}");
            }
        }
    }
    assert!(programmed >= 50, "{programmed}");
}

#[test]
fn an_image_for_ram_is_sent_to_load_image() {
    let error = Bench::on("stm32h743", "stm32h7").refused(&firmware("ramonly-h743.elf").display().to_string());
    assert!(error.hint.as_deref().unwrap_or_default().contains("load_image"), "{error}");
}

/// An ELF header alone, with this class, data encoding, type and machine.
fn elf_header(class: u8, data: u8, kind: u16, machine: u16) -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..8].copy_from_slice(&[0x7F, b'E', b'L', b'F', class, data, 1, 0]);
    let half = |value: u16| if data == 1 { value.to_le_bytes() } else { value.to_be_bytes() };
    bytes[16..18].copy_from_slice(&half(kind));
    bytes[18..20].copy_from_slice(&half(machine));
    bytes[20] = 1;
    bytes
}

/// Word 0 and word 1 of a vector table, then `len` bytes of something.
fn raw(sp: u32, reset: u32, len: usize) -> Vec<u8> {
    let mut bytes = [sp.to_le_bytes(), reset.to_le_bytes()].concat();
    bytes.extend((8..len).map(|k| (k * 7) as u8 | 0x80));
    bytes
}

#[test]
fn what_is_no_firmware_is_refused_by_its_content_and_changes_nothing() {
    let linker_script = std::fs::read(firmware("flash_like_st.ld")).unwrap();
    let cases: &[(&str, Vec<u8>, &str)] = &[
        ("STM32H753XIHX_FLASH.ld", linker_script.clone(), "STM32H753XIHX_FLASH.ld is a linker script, not firmware"),
        ("firmware.bin", linker_script, "is a linker script"),
        ("main.c", b"#include <stdint.h>\n\nint main(void)\n{\n  for (;;) { }\n}\n".to_vec(), "is C source"),
        ("project.ioc", b"#MicroXplorer Configuration settings - do not modify\nMcu.Family=STM32H7\nMcu.Name=STM32H753\n".to_vec(), "CubeMX"),
        (
            "app.map",
            b"\nArchive member included to satisfy reference by file (symbol)\n\nMemory Configuration\n\nName             Origin             Length\n"
                .to_vec(),
            "map",
        ),
        ("x86", elf_header(2, 1, 2, 62), "x86-64"),
        ("riscv.elf", elf_header(1, 1, 2, 243), "RISC-V"),
        ("aarch64.elf", elf_header(2, 1, 2, 183), "AArch64"),
        ("big.elf", elf_header(1, 2, 2, 40), "big-endian"),
        ("main.o", elf_header(1, 1, 1, 40), "relocatable"),
        ("update.bin", [b"DfuSe\x01".to_vec(), vec![0; 600]].concat(), "DfuSe"),
        ("empty.bin", Vec::new(), "is empty"),
        ("elsewhere.bin", raw(0x2400_0000 + 0x8000, 0x0802_0401, 0x1000), "0x0802"),
    ];
    for (name, bytes, words) in cases {
        let bench = Bench::on("stm32h743", "stm32h7");
        let error = bench.refused(&bench.write(name, bytes).display().to_string());
        assert_eq!((error.kind, exit_code(&error)), (Kind::Image, 8), "{name}: {error}");
        assert!(error.message.contains(words), "{name}: {error}");
    }
}

#[test]
fn an_image_for_external_flash_is_refused_before_anything_is_erased() {
    let bench = Bench::on("stm32h743", "stm32h7");
    // A HEX record of 16 bytes at 0x90000000.
    let hex = ":020000049000 6A\n:1000000000000224010000900000000000000000C8\n:00000001FF\n".replace(' ', "");
    let hex = with_checksums(&hex);
    let error = bench.refused(&bench.write("qspi.hex", hex.as_bytes()).display().to_string());
    assert_eq!(exit_code(&error), 8, "{error}");
    assert!(error.message.contains("0x90000000"), "{error}");
}

/// Intel HEX lines with their last byte made right.
fn with_checksums(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let body = &line[1..line.len() - 2];
        let sum = (0..body.len()).step_by(2).map(|k| u8::from_str_radix(&body[k..k + 2], 16).unwrap()).fold(0u8, u8::wrapping_add);
        out += &format!(":{body}{:02X}\n", sum.wrapping_neg());
    }
    out
}

#[test]
fn hex_and_s_record_are_known_by_content_whatever_their_names() {
    let hex = with_checksums(":020000040800F2\n:080000000080002401010008FF\n:00000001FF\n");
    let sum = |body: &str| (0..body.len()).step_by(2).map(|k| u8::from_str_radix(&body[k..k + 2], 16).unwrap()).fold(0u8, u8::wrapping_add);
    let line = |kind: u8, body: &str| format!("S{kind}{body}{:02X}\n", !sum(body));
    let s19 = [line(3, "0D080000000080002401010008"), line(7, "0508000101")].concat();
    let wanted = [0x00, 0x80, 0x00, 0x24, 0x01, 0x01, 0x00, 0x08];
    for (name, text) in [("firmware.bin", &hex), ("firmware.hex", &s19)] {
        let bench = Bench::on("stm32h743", "stm32h7");
        bench.run(&format!("program {}", bench.write(name, text.as_bytes()).display())).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(bench.dump(FLASH, 8), wanted, "{name}");
    }
}
