//! Small files made by hand, and tests/firmware.

use super::*;
use crate::error::Kind;
use std::path::PathBuf;

fn parse(bytes: &[u8]) -> Result<Image> {
    Image::parse("app", bytes, None, None)
}

fn refusal(bytes: &[u8]) -> String {
    let error = parse(bytes).expect_err("refused");
    assert_eq!(error.kind, Kind::Image, "{error}");
    error.message
}

fn firmware(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/firmware").join(name)
}

fn load(name: &str) -> Image {
    Image::read(&firmware(name), None, None).unwrap()
}

/// (address, bytes) of each segment.
fn ranges(image: &Image) -> Vec<(u32, usize)> {
    image.segments.iter().map(|segment| (segment.address, segment.data.len())).collect()
}

/// An ELF32 file: header, program headers, bodies at the offsets they ask for, section headers.
struct Elf {
    class: u8,
    order: u8,
    kind: u16,
    machine: u16,
    /// p_type, p_offset, p_vaddr, p_paddr, p_filesz
    segments: Vec<[u32; 5]>,
    /// sh_type, sh_flags, sh_offset, sh_size, sh_addralign
    sections: Vec<[u32; 5]>,
    /// Length of the file before the section headers.
    len: usize,
}

const LOAD: u32 = 1;
const ALLOC: u32 = 2;
const PROGBITS: u32 = 1;

impl Elf {
    fn new() -> Elf {
        Elf { class: 1, order: 1, kind: 2, machine: 40, segments: vec![], sections: vec![], len: 0x400 }
    }

    fn load(mut self, offset: u32, vaddr: u32, paddr: u32, size: u32) -> Elf {
        self.segments.push([LOAD, offset, vaddr, paddr, size]);
        self
    }

    fn section(mut self, offset: u32, size: u32, align: u32) -> Elf {
        self.sections.push([PROGBITS, ALLOC, offset, size, align]);
        self
    }

    /// Byte n of the file is n mod 251, except in the headers.
    fn bytes(&self) -> Vec<u8> {
        let mut file: Vec<u8> = (0..self.len).map(|n| (n % 251) as u8).collect();
        let sections = if self.sections.is_empty() { 0 } else { self.sections.len() as u16 + 1 };
        let table = if sections == 0 { 0 } else { self.len as u32 };
        let mut head = vec![0x7F, b'E', b'L', b'F', self.class, self.order, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        for half in [self.kind, self.machine] {
            head.extend(if self.order == 2 { half.to_be_bytes() } else { half.to_le_bytes() });
        }
        for word in [1, 0x0800_0101, 52, table, 0] {
            head.extend(u32::to_le_bytes(word));
        }
        for half in [52, 32, self.segments.len() as u16, 40, sections, 0] {
            head.extend(half.to_le_bytes());
        }
        for [kind, offset, vaddr, paddr, size] in &self.segments {
            for word in [*kind, *offset, *vaddr, *paddr, *size, *size, 5, 1] {
                head.extend(word.to_le_bytes());
            }
        }
        file[..head.len()].copy_from_slice(&head);
        if sections > 0 {
            file.extend([0; 40]);
        }
        for [kind, flags, offset, size, align] in &self.sections {
            for word in [0, *kind, *flags, 0, *offset, *size, 0, 0, *align, 0] {
                file.extend(u32::to_le_bytes(word));
            }
        }
        file
    }
}

#[test]
fn elf_segments_go_to_their_physical_addresses() {
    let elf = Elf::new().load(0x100, 0x0800_0000, 0x0800_0000, 0x40).load(0x200, 0x2000_0000, 0x0800_1000, 0x10).bytes();
    let image = parse(&elf).unwrap();
    assert_eq!(ranges(&image), [(0x0800_0000, 0x40), (0x0800_1000, 0x10)]);
    assert_eq!(image.segments[1].data, elf[0x200..0x210]);
    assert_eq!((image.format, image.entry), (Format::Elf, Some(0x0800_0101)));
}

#[test]
fn adjacent_segments_are_one_and_an_empty_one_is_none() {
    let elf = Elf::new().load(0x100, 0, 0x0800_0010, 0x10).load(0x110, 0, 0x0800_0000, 0x10).load(0x120, 0, 0x2000_0000, 0);
    let image = parse(&elf.bytes()).unwrap();
    assert_eq!(ranges(&image), [(0x0800_0000, 0x20)]);
    assert_eq!(image.segments[0].data[..0x10], elf.bytes()[0x110..0x120]);
}

#[test]
fn if_no_physical_address_is_set_virtual_ones_count() {
    let zero = Elf::new().load(0x100, 0x0800_0000, 0, 0x40).load(0x200, 0x0800_1000, 0, 0x10);
    assert_eq!(ranges(&parse(&zero.bytes()).unwrap()), [(0x0800_0000, 0x40), (0x0800_1000, 0x10)]);
    let one = Elf::new().load(0x100, 0x0800_0000, 0, 0x40).load(0x200, 0x0800_1000, 0x0800_0000, 0x10);
    assert_eq!(ranges(&parse(&one.bytes()).unwrap()), [(0, 0x40), (0x0800_0000, 0x10)]);
}

#[test]
fn bytes_of_no_allocated_section_are_left_out() {
    let elf = Elf::new().load(0, 0x0802_0000, 0x0802_0000, 0x300).section(0x200, 0x80, 4);
    assert_eq!(ranges(&parse(&elf.bytes()).unwrap()), [(0x0802_0200, 0x80)]);
    let mut debug = Elf::new().load(0, 0x0802_0000, 0x0802_0000, 0x300).section(0x200, 0x80, 4).section(0x100, 0x40, 4);
    debug.sections[1][1] = 0;
    assert_eq!(ranges(&parse(&debug.bytes()).unwrap()), [(0x0802_0200, 0x80)]);
    let unstripped = Elf::new().load(0, 0x0802_0000, 0x0802_0000, 0x300);
    assert_eq!(ranges(&parse(&unstripped.bytes()).unwrap()), [(0x0802_0000, 0x300)]);
}

#[test]
fn the_linkers_padding_stays_and_a_hole_does_not() {
    let sections = |align: u32, second: u32| {
        let elf = Elf::new().load(0x100, 0, 0x0800_0000, 0x200).section(0x100, 0x0C, 4).section(second, 0x10, align);
        ranges(&parse(&elf.bytes()).unwrap())
    };
    assert_eq!(sections(8, 0x110), [(0x0800_0000, 0x20)]);
    assert_eq!(sections(4, 0x110), [(0x0800_0000, 0x0C), (0x0800_0010, 0x10)]);
    assert_eq!(sections(0x100, 0x200), [(0x0800_0000, 0x0C), (0x0800_0100, 0x10)]);
}

#[test]
fn overlapping_segments_are_an_error_that_names_both() {
    let elf = Elf::new().load(0x100, 0, 0x0800_0000, 0x40).load(0x200, 0, 0x0800_0030, 0x10);
    let expected = "app: segment 1 (0x08000030..0x0800003f) overlaps segment 0 (0x08000000..0x0800003f)";
    assert_eq!(refusal(&elf.bytes()), expected);
}

#[test]
fn a_segment_beyond_4_gib_is_an_error() {
    let elf = Elf::new().load(0x100, 0, 0xFFFF_FFF0, 0x11);
    assert_eq!(refusal(&elf.bytes()), "app: segment 0: 0x11 bytes at 0xfffffff0 pass the end of the address space");
    let elf = Elf::new().load(0x100, 0, 0xFFFF_FFF0, 0x10);
    assert_eq!(ranges(&parse(&elf.bytes()).unwrap()), [(0xFFFF_FFF0, 0x10)]);
    let moved = Image::parse("app", &elf.bytes(), Some(0x10), None).unwrap_err();
    assert_eq!(moved.message, "app: segment 0: 0x10 bytes at 0xfffffff0 + 0x00000010 pass the end of the address space");
}

#[test]
fn an_address_is_added_to_those_of_an_elf() {
    let elf = Elf::new().load(0x100, 0, 0x1000, 0x10).bytes();
    assert_eq!(ranges(&Image::parse("app", &elf, Some(0x0800_0000), None).unwrap()), [(0x0800_1000, 0x10)]);
}

#[test]
fn elf_files_that_are_no_firmware_are_named() {
    let with = |change: fn(&mut Elf)| {
        let mut elf = Elf::new().load(0x100, 0, 0x0800_0000, 0x40);
        change(&mut elf);
        refusal(&elf.bytes())
    };
    assert_eq!(with(|elf| (elf.class, elf.machine) = (2, 62)), "app is an ELF file for x86-64, not for ARM");
    assert_eq!(with(|elf| elf.machine = 3), "app is an ELF file for x86, not for ARM");
    assert_eq!(with(|elf| elf.machine = 243), "app is an ELF file for RISC-V, not for ARM");
    assert_eq!(with(|elf| (elf.class, elf.machine) = (2, 183)), "app is an ELF file for AArch64, not for ARM");
    assert_eq!(with(|elf| elf.machine = 4711), "app is an ELF file for machine 4711, not for ARM");
    assert_eq!(with(|elf| elf.order = 2), "app is a big-endian ARM ELF file; the chip is little-endian");
    assert_eq!(with(|elf| elf.class = 2), "app is an ELF file of class 2; ARM firmware is class 1, 32 bits");
    assert_eq!(with(|elf| elf.order = 3), "app is an ELF file of unknown byte order 3");
    assert_eq!(with(|elf| elf.kind = 1), "app is a relocatable object, not linked");
    assert_eq!(with(|elf| elf.kind = 3), "app is a shared object or a position-independent program, which needs a loader");
    assert_eq!(with(|elf| elf.kind = 4), "app is a core dump");
    assert_eq!(with(|elf| elf.kind = 9), "app is an ELF file of type 9, no program");
    assert_eq!(with(|elf| elf.segments.clear()), "app has nothing to load: no PT_LOAD segment with bytes in the file");
    assert_eq!(with(|elf| elf.segments.push([3, 0x100, 0, 0, 8])), "app is a program for an operating system: it names an interpreter");
    assert_eq!(
        with(|elf| elf.sections.push([PROGBITS, 0, 0x100, 8, 1])),
        "app has nothing to load: no segment with bytes of a loaded section"
    );
}

#[test]
fn a_truncated_elf_is_an_error_wherever_it_is_cut() {
    let whole = Elf::new().load(0x100, 0, 0x0800_0000, 0x40).section(0x100, 0x40, 4).bytes();
    for len in 4..whole.len() {
        let message = refusal(&whole[..len]);
        assert!(message.contains(" is truncated: "), "cut to {len}: {message}");
    }
    assert_eq!(refusal(&whole[..0x120]), "app is truncated: segment 0 (file offset 0x100, 0x40 bytes) lies past its end at 0x120");
}

#[test]
fn no_change_of_one_byte_in_an_elf_panics() {
    let whole = std::fs::read(firmware("blinky-h743.elf")).unwrap();
    let headers = (4..0x100).chain(whole.len() - 0x400..whole.len());
    for at in headers {
        for value in [0, 1, 0x7F, 0xFF] {
            let mut bytes = whole.clone();
            bytes[at] = value;
            if let Err(error) = parse(&bytes) {
                assert_eq!(error.kind, Kind::Image, "byte {at:#x} = {value:#x}: {error}");
            }
        }
    }
}

#[test]
fn more_than_any_chip_holds_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.axf");
    std::fs::write(&path, Elf::new().load(0x100, 0, 0x0800_0000, 0x3000_0000).bytes()).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(0x4000_0000).unwrap();
    let error = Image::read(&path, None, None).unwrap_err();
    assert!(error.message.contains("bytes to load, more than the 16 MiB"), "{error}");
}

#[test]
fn the_committed_firmware_starts_at_its_reset_handler() {
    let committed = std::fs::read_dir(firmware("")).unwrap().flatten();
    let mut names: Vec<_> = committed.map(|file| file.file_name().into_string().unwrap()).filter(|name| name.ends_with(".elf")).collect();
    names.sort();
    for name in &names {
        let image = load(name);
        let (stack, reset) = image.vectors(image.segments[0].address).unwrap();
        // The M4 of the H745 has its RAM at 0x10000000, RTT on the H743 is in AXI SRAM.
        assert!([0x2000_0000, 0x1000_0000, 0x2404_0000].iter().any(|ram| (*ram..=ram + 0x4_8000).contains(&stack)), "{name}");
        assert_eq!(image.entry, Some(reset), "{name}");
        assert!(image.warnings.is_empty(), "{name}");
        let handler = image.symbols.iter().find(|symbol| symbol.name == "Reset_Handler");
        let stripped = ["interrupts", "offset"].iter().any(|start| name.starts_with(start));
        assert_eq!(handler.is_none(), stripped, "{name}");
        assert!(handler.is_none_or(|handler| handler.address | 1 == reset && handler.function && handler.size > 0), "{name}");
    }
    assert!(names.len() > 20, "{names:?}");
    assert_eq!(ranges(&load("ram-h743.elf")), [(0x0800_0000, 304), (0x2000_0000, 8)]);
    assert_eq!(ranges(&load("ramonly-h743.elf")), [(0x2000_0000, 312)]);
}

#[test]
fn symbols_are_sorted_functions_and_objects() {
    let symbols = load("blinky-h743.elf").symbols;
    assert!(symbols.is_sorted_by_key(|symbol| symbol.address));
    let named = |name: &str| symbols.iter().find(|symbol| symbol.name == name);
    assert!(named("milliseconds").is_some_and(|symbol| !symbol.function && symbol.size == 4));
    assert!(named("main").is_some_and(|symbol| symbol.function && symbol.address & 1 == 0));
    assert!(named("$t").is_none() && named("stack_top").is_none() && named("blinky.c").is_none());
}

/// As Windows' tools write them.
fn records(lines: &[&str]) -> Vec<u8> {
    lines.iter().map(|line| format!("{line}\r\n")).collect::<String>().into_bytes()
}

#[test]
fn hex_with_every_record_type() {
    let text = records(&[
        ":020000040800F2",
        "",
        ":0400000001020304F2",
        ":0400040005060708DE",
        ":02000002FFFFFE",
        ":02001000AABB89",
        ":0400000508000101ED",
        ":0400000308000101EF",
        ":00000001FF",
        "",
    ]);
    let image = parse(&text).unwrap();
    assert_eq!(image.format, Format::Hex);
    assert_eq!(ranges(&image), [(0x0010_0000, 2), (0x0800_0000, 8)]);
    assert_eq!(image.segments[1].data, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(image.entry, Some(0x8101), "the last start record counts: 0800:0101");
}

#[test]
fn hex_is_recognised_in_lower_case_and_behind_a_byte_order_mark() {
    let image = Image::parse("app.bin", b"\xEF\xBB\xBF\n:02001000aabb89\n:00000001ff", Some(0x0800_0000), None).unwrap();
    assert_eq!(ranges(&image), [(0x0800_0010, 2)]);
}

#[test]
fn every_error_of_hex_names_its_line() {
    let cases: &[(&[&str], &str)] = &[
        (&[":0400000001020304F3", ":00000001FF"], "app:1: checksum F3 is wrong, F2 is right"),
        (&[":0400000001020304F2", ":04000400050607"], "app:2: the record has 15 characters, by its length it should have 19"),
        (&[":0400000001020304F2", ":0400"], "app:2: the record has 5 characters, by its length it should have 19"),
        (&[":0400000001020304F2", ":04000400050607083"], "app:2: the record has 18 characters, by its length it should have 19"),
        (&[":0400000001020304F2", "", ":04000400O5060708DE"], "app:3: `O` in column 10 is no hexadecimal digit"),
        (&[":0400000001020304F2", "hello"], "app:2: a record starts with `:`"),
        (&[":0400000001020304F2", ":00000006FA"], "app:2: unknown record type 06"),
        (&[":0400000001020304F2"], "app ends in line 1 without an end-of-file record (:00000001FF): it is truncated"),
        (&[":00000001FF"], "app holds no data, only an end-of-file record"),
        (&[":00000001FF", ":0400000001020304F2"], "app:2: a record after the end-of-file record in line 1"),
        (
            &[":0400000001020304F2", ":0400040005060708DE", ":020002000102F9", ":00000001FF"],
            "app: line 3 (0x00000002..0x00000003) overlaps line 1 (0x00000000..0x00000003)",
        ),
        (&[":020000021000EC", ":02FFFF000102FD", ":00000001FF"], "app:2: the record passes the end of its 64 KiB segment"),
        (&[":02000004FFFFFC", ":02FFFF000102FD", ":00000001FF"], "app: line 2: 0x2 bytes at 0xffffffff pass the end of the address space"),
    ];
    for (lines, expected) in cases {
        assert_eq!(refusal(&records(lines)), *expected);
    }
    let long = format!(":0400000001020304F2\n:{}", "0".repeat(2000));
    assert_eq!(refusal(long.as_bytes()), "app:2: the line is too long for a record");
}

#[test]
fn srec_with_every_record_type() {
    let text = records(&["S00600004844521B", "S1050000AABB95", "S206100000CCDD40", "S307080000000102ED", "S5030003F9", "S70508000101F0"]);
    let image = parse(&text).unwrap();
    assert_eq!(image.format, Format::Srec);
    assert_eq!(ranges(&image), [(0, 2), (0x10_0000, 2), (0x0800_0000, 2)]);
    assert_eq!(image.segments[2].data, [1, 2]);
    assert_eq!(image.entry, Some(0x0800_0101));
}

#[test]
fn every_error_of_srec_names_its_line() {
    let cases: &[(&[&str], &str)] = &[
        (&["S1050000AABB96", "S9030000FC"], "app:1: checksum 96 is wrong, 95 is right"),
        (&["S1050000AABB95", "S1050000AA"], "app:2: the record has 3 bytes, it says 5"),
        (&["S1050000AABB95", "S1020000FD"], "app:2: the record has 3 bytes, it says 2"),
        (&["S1050000AABB95", "S10200FD"], "app:2: the record has 2 bytes, it says 2"),
        (&["S1050000AABB95", "S4030000FC"], "app:2: unknown record type S4"),
        (&["S1050000AABB95", "S1050002AAXB95"], "app:2: `X` in column 11 is no hexadecimal digit"),
        (&["S1050000AABB95", "junk"], "app:2: a record starts with `S` and its type"),
        (&["S1050000AABB95"], "app ends in line 1 without an end record (S7, S8 or S9): it is truncated"),
        (&["S9030000FC"], "app holds no data"),
        (&["S9030000FC", "S1050000AABB95"], "app:2: a record after the end record in line 1"),
        (&["S1050000AABB95", "S5030002FA", "S9030000FC"], "app:2: 1 data records come before it, it counts 2"),
        (
            &["S1050001AABB94", "S1050000AABB95", "S9030000FC"],
            "app: line 2 (0x00000000..0x00000001) overlaps line 1 (0x00000001..0x00000002)",
        ),
    ];
    for (lines, expected) in cases {
        assert_eq!(refusal(&records(lines)), *expected);
    }
}

#[test]
fn a_raw_binary_needs_an_address() {
    let raw = [0, 0, 2, 0x20, 0x41, 0, 0, 8];
    let error = parse(&raw).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (Kind::Usage, "app is a raw binary: it needs an address"));
    let image = Image::parse("app.elf", &raw, Some(0x0800_4000), None).unwrap();
    assert_eq!((image.format, ranges(&image)), (Format::Bin, vec![(0x0800_4000, 8)]), "the name says nothing");
    let error = Image::parse("app", &raw, Some(0xFFFF_FFFC), None).unwrap_err();
    assert_eq!(error.message, "app: 0x8 bytes at 0xfffffffc pass the end of the address space");
}

#[test]
fn a_format_that_was_said_must_be_there() {
    let elf = Elf::new().load(0x100, 0, 0x0800_0000, 0x40).bytes();
    let error = Image::parse("app", &elf, None, Some(Format::Hex)).unwrap_err();
    assert_eq!(error.message, "app is an ELF file, not an Intel HEX file as the word `ihex` says");
    let error = Image::parse("app", &[0, 1, 2, 3], None, Some(Format::Elf)).unwrap_err();
    assert_eq!((error.kind, error.message.as_str()), (Kind::Image, "app is a raw binary, not an ELF file as the word `elf` says"));
    for format in [Format::Elf, Format::Hex, Format::Srec, Format::Bin] {
        assert_eq!(Format::from_word(format.word()), Some(format));
    }
    assert_eq!(Format::from_word("srec"), None);
}

#[test]
fn the_word_bin_takes_any_file_with_a_warning() {
    let script = std::fs::read(firmware("flash_like_st.ld")).unwrap();
    let image = Image::parse("a.ld", &script, Some(0x0800_0000), Some(Format::Bin)).unwrap();
    assert_eq!(image.segments[0].data, script);
    assert_eq!(image.warnings, ["a.ld is a linker script, taken as raw bytes because of the word `bin`"]);
    assert_eq!(image.vectors(0x0800_0000).unwrap().0, 0x2A0A_2A2F, "as the forum thread's chip read it");
    let plain = Image::parse("a.bin", &[0, 1, 2, 3], Some(0), Some(Format::Bin)).unwrap();
    assert!(plain.warnings.is_empty());
}

#[test]
fn files_that_are_no_firmware_are_named() {
    let script = std::fs::read(firmware("flash_like_st.ld")).unwrap();
    let cases: &[(&[u8], &str)] = &[
        (b"", "app is empty"),
        (&script, "app is a linker script, not firmware"),
        (b"/* blink */\n#include <stdint.h>\nint main(void) { return 0; }\n", "app is C source, not firmware"),
        ("/* \u{b5}C \u{dc}bung */\nvoid blink(void);\n".as_bytes(), "app is C source, not firmware"),
        (b"  .syntax unified\n  .thumb\n", "app is assembler source, not firmware"),
        (b"#MicroXplorer Configuration settings - do not modify\nMcu.Name=STM32H753ZITx\n", "app is an STM32CubeMX project, not firmware"),
        (b"Archive member included to satisfy reference by file (symbol)\n\nlibc.a(x.o)\n", "app is a linker map, not firmware"),
        (b"\nMemory Configuration\n\nName Origin\n\nSECTIONS {", "app is a linker map, not firmware"),
        (b"hello world\n", "app is text, not firmware"),
        (b":hello\n", "app is text, not firmware"),
        (b"S1 is a button\n", "app is text, not firmware"),
        (b"\xFF\xFE:\x000\x004\x00", "app is text, not firmware"),
        (b"DfuSe\x01\x00\x00\x00\x00\x01", "app is a damaged DfuSe file: it has 11 bytes"),
        (b"UF2\n\x57\x51\x5D\x9E\0\0\0\0", "app is a damaged UF2 file: block 0 of the file is cut short"),
        (b"!<arch>\nmain.o/", "app is a static library, not firmware"),
        (b"PK\x03\x04\x14\0", "app is a ZIP archive, not firmware"),
        (b"\x1F\x8B\x08\0", "app is a gzip archive, not firmware"),
        (b"MZ\x90\x00\x03", "app is a Windows program, not firmware"),
    ];
    for (bytes, expected) in cases {
        assert!(refusal(bytes).starts_with(expected), "{}", refusal(bytes));
    }
    let crlf = String::from_utf8(script).unwrap().replace('\n', "\r\n");
    assert!(refusal(crlf.as_bytes()).starts_with("app is a linker script, not firmware"));
}

#[test]
fn a_linker_script_points_to_the_elf_that_was_built_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("STM32H753XIHX_FLASH.ld");
    std::fs::copy(firmware("flash_like_st.ld"), &script).unwrap();
    let message = || Image::read(&script, None, None).unwrap_err().message;
    assert_eq!(message(), format!("{} is a linker script, not firmware; did you mean Debug/<project>.elf?", script.display()));
    std::fs::create_dir(folder.path().join("Debug")).unwrap();
    let built = folder.path().join("Debug/blinky.elf");
    std::fs::write(&built, b"\x7FELF").unwrap();
    assert!(message().ends_with("did you mean Debug/<project>.elf?"), "what is no firmware itself is not meant");
    std::fs::copy(firmware("blinky-h743.elf"), &built).unwrap();
    assert_eq!(message(), format!("{} is a linker script, not firmware; did you mean {}?", script.display(), built.display()));
    let source = folder.path().join("main.c");
    std::fs::write(&source, "int main(void) {}").unwrap();
    let error = Image::read(&source, None, None).unwrap_err();
    assert!(error.message.ends_with(&format!("is C source, not firmware; did you mean {}?", built.display())), "{error}");
    let missing = Image::read(&folder.path().join("blinky.elf"), None, None).unwrap_err();
    assert_eq!((missing.kind, missing.hint.unwrap()), (Kind::Command, format!("did you mean {}?", built.display())));
}

#[test]
fn a_file_is_recognised_without_being_read() {
    assert_eq!(Image::recognise(&firmware("blinky-h743.elf"), None), Ok(Format::Elf));
    assert_eq!(Image::recognise(&firmware("blinky-h743.elf"), Some(Format::Bin)), Ok(Format::Bin));
    assert!(Image::recognise(&firmware("flash_like_st.ld"), None).is_err());
}

#[test]
fn vectors_are_read_where_they_lie_whole() {
    let image = Image::parse("app", &[1, 0, 0, 0x20, 5, 0, 0, 8, 0xFF], Some(0x0800_0000), None).unwrap();
    assert_eq!(image.vectors(0x0800_0000), Some((0x2000_0001, 0x0800_0005)));
    assert_eq!(image.vectors(0x0800_0001), Some((0x0520_0000, 0xFF08_0000)));
    assert_eq!(image.vectors(0x0800_0002), None);
    assert_eq!(image.vectors(0x07FF_FFFF), None);
}
