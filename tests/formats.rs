//! Formats: what is written reads back, what is damaged is named, and what a file is; through the program.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const H7: &str = "targets/stm32h7.toml";
const G0: &str = "targets/stm32g0.toml";
const H7_FAMILY: u32 = 0x6DB6_6082;
const G0_FAMILY: u32 = 0x300F_5633;

fn run(target: &str, line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rocd")).args(["-f", "interfaces/sim.toml", "-f", target, "-c", line]).output().unwrap()
}

/// stdout and stderr; it must have ended well.
fn says(target: &str, line: &str) -> String {
    let output = run(target, line);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{line}\n{text}");
    text
}

/// Of a file that must be refused as an image (exit code 8), nothing erased.
fn refuses(target: &str, file: &Path) -> String {
    let output = run(target, &format!("program {} force-vectors", file.display()));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(8), "{text}");
    assert!(!text.contains("erased"), "{text}");
    text
}

fn has(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "no `{wanted}` in:\n{text}");
    }
}

/// Bytes without a pattern, none blank for long.
fn bytes(len: usize) -> Vec<u8> {
    let mut state = 0x1234_5678u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..len).map(|_| next()).collect()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Folder {
        Folder(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        fs::write(self.path(name), bytes).unwrap();
        self.path(name)
    }
}

// ---- what is written reads back ----

#[test]
fn each_written_format_reads_back_to_the_same_bytes() {
    let folder = Folder::new();
    // Around the 64 KiB at which Intel HEX changes its upper half, and lengths that fill no record.
    for (start, len) in [(0x2400_0000u32, 1usize), (0x2400_0003, 333), (0x2400_FFF5, 40), (0x2400_8000, 0x1_0011)] {
        let given = bytes(len);
        let source = folder.write("given.bin", &given);
        for name in ["out.bin", "out.hex", "out.IHEX", "out.srec", "out.s19", "out.mot"] {
            let (out, back) = (folder.path(name), folder.path("back.bin"));
            let at = if name.ends_with("bin") { format!(" {start:#x} bin") } else { String::new() };
            let (source, out, back) = (source.display(), out.display(), back.display());
            says(
                H7,
                &format!(
                    "load_image {source} {start:#x} bin; dump_image {out} {start:#x} {len}; mwb {start:#x} 0 {len}; \
                     load_image {out}{at}; dump_image {back} {start:#x} {len}"
                ),
            );
            assert!(fs::read(folder.path("back.bin")).unwrap() == given, "{name} at {start:#x}, {len} bytes");
        }
    }
}

#[test]
fn written_records_are_in_their_formats_own_form() {
    let folder = Folder::new();
    let (hex, srec) = (folder.path("a.hex"), folder.path("a.s37"));
    let data = "write_memory 0x24000000 8 1 2 3";
    says(H7, &format!("{data}; dump_image {} 0x24000000 3; dump_image {} 0x24000000 3", hex.display(), srec.display()));
    // Checksums by hand: the bytes of a HEX record sum to 0, those of an S-record to 0xFF.
    assert_eq!(fs::read_to_string(hex).unwrap(), ":020000042400D6\n:03000000010203F7\n:00000001FF\n");
    assert_eq!(fs::read_to_string(srec).unwrap(), "S0070000726F636450\nS3082400000001020 3CD\nS70500000000FA\n".replace(' ', ""));
}

#[test]
fn a_dump_that_cannot_be_written_says_so() {
    let output = run(H7, "dump_image /nonexistent/a.hex 0x24000000 16");
    assert!(!output.status.success());
    has(&String::from_utf8_lossy(&output.stderr), &["/nonexistent/a.hex"]);
}

// ---- UF2 ----

fn uf2_block(flags: u32, address: u32, nth: u32, total: u32, family: u32, data: &[u8]) -> Vec<u8> {
    let words = [0x0A32_4655, 0x9E5D_5157, flags, address, data.len() as u32, nth, total, family];
    let mut block: Vec<u8> = words.iter().flat_map(|word: &u32| word.to_le_bytes()).collect();
    block.extend(data);
    block.resize(508, 0);
    block.extend(0x0AB1_6F30u32.to_le_bytes());
    block
}

/// Blocks of 256 bytes from 0x08000000 on.
fn uf2(family: u32, data: &[u8]) -> Vec<Vec<u8>> {
    let total = data.len().div_ceil(256) as u32;
    let block = |(chunk, nth): (&[u8], u32)| uf2_block(0x2000, 0x0800_0000 + nth * 256, nth, total, family, chunk);
    data.chunks(256).zip(0..).map(block).collect()
}

#[test]
fn a_uf2_is_programmed_whatever_the_order_of_its_blocks() {
    let folder = Folder::new();
    let data = bytes(1000);
    for (target, family) in [(H7, H7_FAMILY), (G0, G0_FAMILY)] {
        let mut blocks = uf2(family, &data);
        blocks.reverse();
        blocks.swap(0, 2);
        let (file, back) = (folder.write("app.uf2", &blocks.concat()), folder.path("back.bin"));
        let line = format!("program {} verify force-vectors; dump_image {} 0x08000000 1000", file.display(), back.display());
        has(&says(target, &line), &["verified 1000 bytes"]);
        assert!(fs::read(back).unwrap() == data);
    }
}

#[test]
fn a_block_that_is_not_for_main_flash_is_left_out() {
    let folder = Folder::new();
    let blocks =
        [uf2_block(0x2000, 0x0800_0000, 0, 2, H7_FAMILY, &bytes(256)), uf2_block(0x2001, 0x9000_0000, 1, 2, H7_FAMILY, &bytes(256))];
    has(&says(H7, &format!("program {} verify force-vectors", folder.write("a.uf2", &blocks.concat()).display())), &["verified 256 bytes"]);
    let only = uf2_block(1, 0x0800_0000, 0, 1, 0, &bytes(256));
    has(&refuses(H7, &folder.write("b.uf2", &only)), &["holds no data for flash"]);
}

#[test]
fn a_uf2_for_another_chip_or_for_two_is_refused() {
    let folder = Folder::new();
    let file = folder.write("g0.uf2", &uf2(G0_FAMILY, &bytes(300)).concat());
    has(&refuses(H7, &file), &["g0.uf2 is for STM32G0, the chip is an STM32H74"]);
    let file = folder.write("pico.uf2", &uf2(0xE48B_FF56, &bytes(300)).concat());
    has(&refuses(G0, &file), &["is for RP2040"]);
    let file = folder.write("other.uf2", &uf2(0x1111_2222, &bytes(300)).concat());
    has(&refuses(G0, &file), &["is for the family 0x11112222"]);
    let two = [uf2_block(0x2000, 0x0800_0000, 0, 2, H7_FAMILY, &[1]), uf2_block(0x2000, 0x0800_0100, 1, 2, G0_FAMILY, &[2])];
    has(&refuses(H7, &folder.write("two.uf2", &two.concat())), &["for STM32H7 and for STM32G0"]);
}

#[test]
fn a_damaged_uf2_says_what_is_wrong_with_it() {
    let folder = Folder::new();
    let good = uf2(H7_FAMILY, &bytes(1000));
    let with = |index: usize, at: usize, value: u8| {
        let mut blocks = good.clone();
        blocks[index][at] = value;
        blocks.concat()
    };
    let without = |index: usize| good.iter().enumerate().filter(|(nth, _)| *nth != index).flat_map(|(_, block)| block.clone()).collect();
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (without(1), "block 1 of 4 is missing (1 are missing in all)"),
        (good[3].clone(), "block 0 of 4 is missing (3 are missing in all)"),
        (good.concat()[..2000].to_vec(), "block 3 of the file is cut short: 464 bytes of 512"),
        (with(2, 0, 0), "block 2 of the file, at 0x400, has not the magic numbers"),
        (with(2, 511, 0), "block 2 of the file, at 0x400, has not the magic numbers"),
        (with(1, 20, 2), "block 2 comes twice"),
        (with(1, 20, 9), "says it is block 9 of 4"),
        (with(1, 24, 5), "says there are 5 blocks, those before it 4"),
        (with(1, 18, 1), "with 65792 bytes; 476 are the most"),
        (with(1, 9, 0x30), "holds files, not firmware"),
        (with(1, 13, 0), "overlaps block 0"),
        (with(1, 15, 0xFF), "0xff"),
    ];
    for (nth, (bytes, words)) in cases.into_iter().enumerate() {
        let said = refuses(H7, &folder.write(&format!("{nth}.uf2"), &bytes));
        assert!(said.contains(words), "{words}: {said}");
    }
}

// ---- DfuSe ----

/// Bit by bit, as UM0391 has it: no table, no final inversion.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 })
    })
}

fn dfu_target(setting: u8, name: &str, elements: &[(u32, &[u8])]) -> Vec<u8> {
    let element = |(address, data): &(u32, &[u8])| [&address.to_le_bytes()[..], &(data.len() as u32).to_le_bytes(), data].concat();
    let body: Vec<u8> = elements.iter().flat_map(element).collect();
    let mut label = name.as_bytes().to_vec();
    label.resize(255, 0);
    let counts = [(body.len() as u32).to_le_bytes(), (elements.len() as u32).to_le_bytes()].concat();
    [b"Target".to_vec(), vec![setting], 1u32.to_le_bytes().to_vec(), label, counts, body].concat()
}

fn dfuse(device: (u16, u16), targets: &[Vec<u8>]) -> Vec<u8> {
    let body = targets.concat();
    let mut file = [b"DfuSe\x01".to_vec(), (body.len() as u32 + 11).to_le_bytes().to_vec(), vec![targets.len() as u8], body].concat();
    for half in [0x2200, device.1, device.0, 0x011A] {
        file.extend(u16::to_le_bytes(half));
    }
    file.extend(b"UFD\x10");
    sealed(file)
}

fn sealed(mut file: Vec<u8>) -> Vec<u8> {
    file.extend(crc(&file).to_le_bytes());
    file
}

const ST: (u16, u16) = (0x0483, 0xDF11);

#[test]
fn a_dfuse_file_is_programmed_and_other_settings_are_named() {
    let folder = Folder::new();
    let (data, more) = (bytes(700), bytes(64));
    let targets = [
        dfu_target(0, "Internal Flash", &[(0x0800_0000, &data), (0x0802_0000, &more)]),
        dfu_target(1, "Option Bytes", &[(0x5200_201C, &[1, 2, 3, 4])]),
    ];
    let (file, back) = (folder.write("app.dfu", &dfuse(ST, &targets)), folder.path("back.bin"));
    let said = says(H7, &format!("program {} verify force-vectors; dump_image {} 0x08000000 700", file.display(), back.display()));
    has(&said, &["verified 764 bytes", "target 1 `Option Bytes` (alternate setting 1, 12 bytes) is left out"]);
    assert!(fs::read(back).unwrap() == data);
}

#[test]
fn a_dfuse_file_for_another_device_is_taken_with_a_warning() {
    let folder = Folder::new();
    let targets = [dfu_target(0, "x", &[(0x0800_0000, &[1, 2, 3, 4])])];
    let said = says(H7, &format!("program {} force-vectors", folder.write("a.dfu", &dfuse((0x1209, 1), &targets)).display()));
    has(&said, &["warning:", "for the USB device 1209:0001, not for ST's bootloader 0483:df11"]);
    let any = says(H7, &format!("program {} force-vectors", folder.write("b.dfu", &dfuse((0xFFFF, 0xFFFF), &targets)).display()));
    assert!(!any.contains("for the USB device"), "{any}");
}

#[test]
fn a_damaged_dfuse_file_says_what_is_wrong_with_it() {
    let folder = Folder::new();
    let data = bytes(100);
    let good = dfuse(ST, &[dfu_target(0, "Flash", &[(0x0800_0000, &data)])]);
    let with = |at: usize, value: u8| {
        let mut bytes = good[..good.len() - 4].to_vec();
        bytes[at] = value;
        sealed(bytes)
    };
    let mut flipped = good.clone();
    flipped[400] ^= 1;
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (flipped, "its suffix has the CRC"),
        (good[..good.len() - 1].to_vec(), "does not end with a DFU suffix"),
        (good[..20].to_vec(), "it has 20 bytes"),
        ([&good[..], &[0]].concat(), "does not end with a DFU suffix"),
        (with(5, 2), "its version is 2"),
        (with(6, 1), "its prefix says"),
        (with(10, 2), "the head of target 1 needs 274 bytes, 0 are left"),
        (with(10, 0), "bytes follow its last target"),
        (with(11, b'X'), "target 0 does not begin with the word `Target`"),
        (with(11 + 266, 200), "target 0 needs 200 bytes"),
        (with(11 + 270, 2), "element 1 of target 0 needs 8 bytes, 0 are left"),
        (with(11 + 270, 0), "bytes follow the last element of target 0"),
        (with(11 + 274 + 4, 101), "element 0 of target 0 needs 101 bytes"),
        (dfuse(ST, &[dfu_target(1, "Option", &[(0x0800_0000, &data)])]), "no data for the internal flash (alternate setting 0)"),
        (dfuse(ST, &[dfu_target(0, "F", &[(0x0800_0000, &data), (0x0800_0010, &data)])]), "overlaps element 0"),
    ];
    for (nth, (bytes, words)) in cases.into_iter().enumerate() {
        let said = refuses(H7, &folder.write(&format!("{nth}.dfu"), &bytes));
        assert!(said.contains(words), "{words}: {said}");
    }
}

// ---- pipes ----

/// `program` of what comes through a pipe, in the form that `word` says.
#[cfg(unix)]
fn piped(folder: &Folder, word: &str, bytes: &[u8]) -> (Option<i32>, String) {
    let pipe = folder.path("pipe");
    let _ = fs::remove_file(&pipe);
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let (to, bytes) = (pipe.clone(), bytes.to_vec());
    // Waits until rocd opens the other end.
    std::thread::spawn(move || fs::write(to, bytes));
    let output = run(H7, &format!("program {} {word} force-vectors", pipe.display()));
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.code(), text)
}

#[test]
#[cfg(unix)]
fn a_pipe_carries_every_format_and_one_that_is_closed_early_is_named() {
    let folder = Folder::new();
    let data = bytes(1000);
    let (hex, srec) = (folder.path("a.hex"), folder.path("a.s19"));
    let dump = |file: &Path| format!("dump_image {} 0x24000000 1000", file.display());
    let load = format!("load_image {} 0x24000000 bin", folder.write("a.bin", &data).display());
    says(H7, &format!("{load}; {}; {}", dump(&hex), dump(&srec)));
    let at_flash = |file: &Path| fs::read_to_string(file).unwrap();
    let hex = at_flash(&hex).replace(":020000042400D6", ":020000040800F2");
    let uf2 = uf2(H7_FAMILY, &data).concat();
    let dfu = dfuse(ST, &[dfu_target(0, "Flash", &[(0x0800_0000, &data)])]);
    let elf = fs::read("tests/firmware/blinky-h743.elf").unwrap();
    for (word, whole, cut, words) in [
        ("elf", elf, 600, "is truncated: segment 0 (file offset 0x1000, 0x130 bytes) lies past its end at 0x258"),
        ("ihex", hex.clone().into_bytes(), 200, ":6: the record has 8 characters, by its length it should have 43"),
        (
            "ihex",
            hex.clone().into_bytes(),
            hex.find(":00000001FF").unwrap(),
            "without an end-of-file record (:00000001FF): it is truncated",
        ),
        ("uf2", uf2.clone(), 1024, "block 2 of 4 is missing (2 are missing in all)"),
        ("uf2", uf2, 700, "block 1 of the file is cut short: 188 bytes of 512"),
        ("dfu", dfu, 700, "does not end with a DFU suffix"),
        ("bin", data, 0, "is empty"),
    ] {
        let (code, said) = piped(&folder, word, &whole[..cut]);
        assert!(code == Some(8) && said.contains(words) && !said.contains("erased"), "{word}: {words}: {said}");
        let (code, said) = piped(&folder, word, &whole);
        assert!(code == Some(0) && said.matches("verified").count() == 1, "{word}: {said}");
    }
    let (code, said) = piped(&folder, "s19", &at_flash(&srec).into_bytes()[..200]);
    assert!(code == Some(8) && said.contains(":5: the record has 18 bytes, it says 21"), "{said}");
    let pipe = folder.path("unsaid");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let output = run(H7, &format!("program {} force-vectors", pipe.display()));
    has(&String::from_utf8_lossy(&output.stderr), &["say what comes through it, one of elf, ihex, s19, uf2, dfu, bin"]);
}

// ---- image info ----

/// Without interface, target and probe.
fn info(arguments: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_rocd")).args(["-c", &format!("image info {arguments}")]).output().unwrap();
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn what_an_image_is_needs_no_probe() {
    let elf = "tests/firmware/blinky-h743.elf";
    let said = info(elf);
    has(
        &said,
        &[
            "blinky-h743.elf: an ELF file, 312 bytes in ",
            "  0x08000000..0x08000",
            "vectors at 0x08000000: stack 0x20020000, reset 0x08000045 Reset_Handler",
            "entry 0x08000045 Reset_Handler",
        ],
    );
    assert!(!said.contains("build id"), "{said}");
    let folder = Folder::new();
    let uf2 = folder.write("a.bin", &uf2(G0_FAMILY, &bytes(256)).concat());
    has(&info(&uf2.display().to_string()), &["a UF2 file, 256 bytes in 1 segment\n", "for STM32G0", "no vector table"]);
    let mut raw = bytes(64);
    raw[..8].copy_from_slice(&[0, 0, 2, 0x20, 0x45, 0, 0, 8]);
    let raw = folder.write("raw.bin", &raw);
    has(&info(&raw.display().to_string()), &["a raw binary, 64 bytes", "it says not where it goes", "reset 0x08000045"]);
    has(&info(&format!("{} 0x08020000", raw.display())), &["0x08020000..0x0802003f"]);
    has(&says(H7, &format!("halt; image info {elf}")), &["312 of 2097152 bytes of the chip's flash (0.0 %)"]);
}

#[test]
fn a_build_id_is_shown() {
    let folder = Folder::new();
    let good = fs::read("tests/firmware/blinky-h743.elf").unwrap();
    let file = folder.write("id.elf", &with_build_id(good));
    has(&info(&file.display().to_string()), &["build id 0123456789abcdef"]);
}

/// The ELF with a section SHT_NOTE behind its end, in place of its first section (the empty one).
fn with_build_id(mut elf: Vec<u8>) -> Vec<u8> {
    let word = |elf: &[u8], at: usize| u32::from_le_bytes(elf[at..at + 4].try_into().unwrap()) as usize;
    let table = word(&elf, 32);
    let count = usize::from(elf[48]);
    let note_at = elf.len().next_multiple_of(4);
    elf.resize(note_at, 0);
    elf.extend([4u32, 8, 3].iter().flat_map(|word| word.to_le_bytes()));
    elf.extend(b"GNU\0\x01\x23\x45\x67\x89\xab\xcd\xef");
    let moved = elf.len();
    let mut rows = elf[table..table + 40 * count].to_vec();
    rows.extend([0u32, 7, 0, 0, note_at as u32, 24, 0, 0, 4, 0].iter().flat_map(|word| word.to_le_bytes()));
    elf.extend(rows);
    elf[32..36].copy_from_slice(&(moved as u32).to_le_bytes());
    elf[48] += 1;
    elf
}

#[test]
fn what_is_no_image_is_said_by_name() {
    let folder = Folder::new();
    has(&info(&folder.write("a.ld", b"MEMORY { FLASH : ORIGIN = 0x08000000 }\n").display().to_string()), &["is a linker script"]);
    has(&info(&folder.path("gone.elf").display().to_string()), &["cannot open"]);
    let elf = fs::read("tests/firmware/blinky-h743.elf").unwrap();
    // A file that shrinks while it is written by somebody: every length is an error or a whole image, never a panic.
    for len in (4..elf.len()).step_by(97) {
        let said = info(&folder.write("part.elf", &elf[..len]).display().to_string());
        assert!(said.contains("error:") || said.contains("an ELF file"), "{len}: {said}");
        assert!(!said.contains("panicked"), "{len}: {said}");
    }
}
