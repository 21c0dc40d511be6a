//! ELF (TIS ELF 1.2, "ELF for the Arm Architecture" IHI0044): PT_LOAD segments at their physical addresses.
//!
//! Headers and symbols are read through a cache by crate `object`; a segment's bytes are read once, straight to where
//! they stay. Debug information, of any size, is never read.

use super::content::{LINK, meant};
use super::{Architecture, Image, Parts, Symbol, check_size, unreadable};
use crate::error::{Error, Result};
use object::LittleEndian as LE;
use object::elf::{
    FileHeader32, NT_GNU_BUILD_ID, PT_INTERP, PT_LOAD, SHF_ALLOC, SHN_UNDEF, SHT_ARM_ATTRIBUTES, SHT_NOBITS, SHT_NOTE, SHT_SYMTAB,
    STB_WEAK, STT_FUNC, STT_OBJECT, Tag_File,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, SectionTable, Sym};
use object::read::{ReadCache, ReadRef, StringTable};
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::Path;

type Header = FileHeader32<LE>;

/// A gap before a section that is shorter than this, and than the section's alignment, is the linker's padding: it
/// belongs to the image. A longer one is somebody's hole. 32 bytes is the longest flash word.
const PADDING: u64 = 32;

/// Tables longer than this are no firmware's: not read.
const LONGEST_TABLE: u64 = 8 << 20;

const ARM: u16 = 40;

/// e_machine of what is most often mistaken for ARM firmware.
const MACHINES: &[(u16, &str)] = &[
    (2, "SPARC"),
    (3, "x86"),
    (4, "68000"),
    (8, "MIPS"),
    (20, "PowerPC"),
    (42, "SuperH"),
    (62, "x86-64"),
    (83, "AVR"),
    (94, "Xtensa"),
    (105, "MSP430"),
    (164, "Hexagon"),
    (173, "RX"),
    (183, "AArch64"),
    (243, "RISC-V"),
    (258, "LoongArch"),
];

/// A PT_LOAD segment with bytes in the file.
struct Load {
    /// From 0, as `readelf -l` counts.
    number: usize,
    file: Range<u64>,
    physical: u32,
    virtual_: u32,
}

/// A section that takes memory and has bytes in the file.
struct Section {
    file: Range<u64>,
    align: u64,
}

pub fn read<R: Read + Seek>(image: &mut Image, path: Option<&Path>, mut source: R, parts: &mut Parts) -> Result<()> {
    let name = image.path.clone();
    let size = source.seek(SeekFrom::End(0)).map_err(|error| unreadable(&name, error))?;
    check_header(&name, path, &mut source)?;
    let cache = ReadCache::new(source);
    let header = Header::parse(&cache).map_err(|_| truncated(&name, "the ELF header", size))?;
    let loads = loads(&name, header, &cache, size)?;
    let table = sections(&name, header, &cache, size)?;
    let pieces: Vec<(usize, u32, Range<u64>)> = pieces(&loads, table.as_ref());
    image.entry = Some(header.e_entry(LE)).filter(|entry| *entry != 0);
    if let Some(table) = &table {
        image.build_id = build_id(table, &cache);
        image.architecture = architecture(table, &cache);
        image.symbols = symbols(table, &cache).unwrap_or_else(|why| {
            image.warnings.push(format!("{name}: {why}: no symbols were read"));
            Vec::new()
        });
    }
    let mut source = cache.into_inner();
    if pieces.is_empty() {
        return Err(Error::image(format!("{name} has nothing to load: no segment with bytes of a loaded section")));
    }
    for (number, address, file) in pieces {
        let bytes = parts.add(address, (file.end - file.start) as usize, number)?;
        source.seek(SeekFrom::Start(file.start)).and_then(|_| source.read_exact(bytes)).map_err(|error| unreadable(&name, error))?;
    }
    Ok(())
}

/// A Rust function's path, without the hash; any other name as it is.
pub(super) fn demangled(name: &str) -> String {
    rustc_demangle::try_demangle(name).map_or_else(|_| name.to_string(), |name| format!("{name:#}"))
}

fn truncated(name: &str, what: &str, size: u64) -> Error {
    Error::image(format!("{name} is truncated: {what} lies past its end at {size:#x}"))
}

/// Class, byte order, machine and type, which say most about a file that is no firmware.
fn check_header(name: &str, path: Option<&Path>, source: &mut (impl Read + Seek)) -> Result<()> {
    let mut bytes = Vec::new();
    source.rewind().and_then(|()| source.take(52).read_to_end(&mut bytes)).map_err(|error| unreadable(name, error))?;
    if bytes.len() < 20 {
        return Err(truncated(name, "the ELF header", bytes.len() as u64));
    }
    let (class, order) = (bytes[4], bytes[5]);
    let half = |at: usize| match order {
        2 => u16::from_be_bytes([bytes[at], bytes[at + 1]]),
        _ => u16::from_le_bytes([bytes[at], bytes[at + 1]]),
    };
    let refuse = |what: String| Err(Error::image(format!("{name} is {what}{}", meant(path, false))).hint(LINK));
    let machine = half(18);
    if machine != ARM {
        let known = MACHINES.iter().find(|row| row.0 == machine).map_or_else(|| format!("machine {machine}"), |row| row.1.to_string());
        return refuse(format!("an ELF file for {known}, not for ARM"));
    }
    match (class, order) {
        (1, 1) => {}
        (1, 2) => return refuse("a big-endian ARM ELF file; the chip is little-endian".into()),
        (1, _) => return refuse(format!("an ELF file of unknown byte order {order}")),
        (class, _) => return refuse(format!("an ELF file of class {class}; ARM firmware is class 1, 32 bits")),
    }
    if bytes.len() < 52 {
        return Err(truncated(name, "the ELF header", bytes.len() as u64));
    }
    match half(16) {
        1 => refuse("a relocatable object, not linked".into()),
        2 => Ok(()),
        3 => refuse("a shared object or a position-independent program, which needs a loader".into()),
        4 => refuse("a core dump".into()),
        other => refuse(format!("an ELF file of type {other}, no program")),
    }
}

fn loads<'a>(name: &str, header: &Header, cache: impl ReadRef<'a>, size: u64) -> Result<Vec<Load>> {
    let rows = header.program_headers(LE, cache).map_err(|_| truncated(name, "the program header table", size))?;
    if rows.iter().any(|row| row.p_type(LE) == PT_INTERP) {
        return Err(Error::image(format!("{name} is a program for an operating system: it names an interpreter")));
    }
    let mut loads = Vec::new();
    for (number, row) in rows.iter().enumerate().filter(|(_, row)| row.p_type(LE) == PT_LOAD && row.p_filesz(LE) > 0) {
        let start = u64::from(row.p_offset(LE));
        let file = start..start + u64::from(row.p_filesz(LE));
        if file.end > size {
            let what = format!("segment {number} (file offset {start:#x}, {:#x} bytes)", row.p_filesz(LE));
            return Err(truncated(name, &what, size));
        }
        loads.push(Load { number, file, physical: row.p_paddr(LE), virtual_: row.p_vaddr(LE) });
    }
    if loads.is_empty() {
        return Err(Error::image(format!("{name} has nothing to load: no PT_LOAD segment with bytes in the file")));
    }
    check_size(name, loads.iter().map(|load| load.file.end - load.file.start).sum())?;
    Ok(loads)
}

/// `None` if the file has no section table.
fn sections<'a, R: ReadRef<'a>>(name: &str, header: &Header, cache: R, size: u64) -> Result<Option<SectionTable<'a, Header, R>>> {
    if header.e_shoff(LE) == 0 {
        return Ok(None);
    }
    let lost = |_| truncated(name, "the section table", size);
    let count = u64::from(header.shnum(LE, cache).map_err(lost)?);
    if count * u64::from(header.e_shentsize(LE)) > LONGEST_TABLE {
        return Err(Error::image(format!("{name} is damaged: it claims {count} sections")));
    }
    // Without the sections' names, which nobody here needs and which may be missing.
    let table = SectionTable::new(header.section_headers(LE, cache).map_err(lost)?, StringTable::default());
    Ok(Some(table).filter(|table| !table.is_empty()))
}

/// What goes where: segment number, address, bytes of the file. Bytes that belong to no allocated section are left out:
/// GNU ld puts ELF's own headers into the first segment when the origin is not page aligned.
fn pieces<'a, R: ReadRef<'a>>(loads: &[Load], table: Option<&SectionTable<'a, Header, R>>) -> Vec<(usize, u32, Range<u64>)> {
    let unset = loads.iter().all(|load| load.physical == 0);
    let sections = table.map(allocated);
    let mut pieces = Vec::new();
    for load in loads {
        let base = if unset { load.virtual_ } else { load.physical };
        let kept = match &sections {
            Some(sections) => covered(&load.file, sections),
            None => vec![load.file.clone()],
        };
        pieces.extend(kept.into_iter().map(|file| (load.number, base.wrapping_add((file.start - load.file.start) as u32), file)));
    }
    pieces
}

/// Sorted by place in the file.
fn allocated<'a, R: ReadRef<'a>>(table: &SectionTable<'a, Header, R>) -> Vec<Section> {
    let rows = table.iter().filter(|row| row.sh_flags(LE).contains(SHF_ALLOC) && row.sh_type(LE) != SHT_NOBITS && row.sh_size(LE) > 0);
    let mut sections: Vec<Section> = rows
        .map(|row| {
            let start = u64::from(row.sh_offset(LE));
            Section { file: start..start + u64::from(row.sh_size(LE)), align: u64::from(row.sh_addralign(LE)) }
        })
        .collect();
    sections.sort_by_key(|section| (section.file.start, section.file.end));
    sections
}

/// The runs of `segment` that sections cover, with the padding between them.
fn covered(segment: &Range<u64>, sections: &[Section]) -> Vec<Range<u64>> {
    let mut runs: Vec<Range<u64>> = Vec::new();
    for section in sections {
        let (start, end) = (section.file.start.max(segment.start), section.file.end.min(segment.end));
        if start >= end {
            continue;
        }
        match runs.last_mut() {
            Some(last) if start <= last.end || start - last.end < section.align.min(PADDING) => last.end = last.end.max(end),
            _ => runs.push(start..end),
        }
    }
    runs
}

/// In hex; a damaged note is none.
fn build_id<'a, R: ReadRef<'a>>(table: &SectionTable<'a, Header, R>, cache: R) -> Option<String> {
    let rows = table.iter().filter(|row| row.sh_type(LE) == SHT_NOTE && u64::from(row.sh_size(LE)) <= LONGEST_TABLE);
    let mut notes = rows.filter_map(|row| row.notes(LE, cache).ok().flatten()).flatten().map_while(|note| note.ok());
    let note = notes.find(|note| note.name() == b"GNU" && note.n_type(LE) == NT_GNU_BUILD_ID)?;
    Some(note.desc().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// What .ARM.attributes says of the whole file (IHI0045 3.2, 3.3.6): Tag_CPU_arch is 6, Tag_CPU_arch_profile 7. Strings are the
/// values of tags 4, 5 and 32 (behind a number), and of odd ones from there on. Damaged attributes are none.
fn architecture<'a, R: ReadRef<'a>>(table: &SectionTable<'a, Header, R>, cache: R) -> Option<Architecture> {
    let row = table.iter().find(|row| row.sh_type(LE) == SHT_ARM_ATTRIBUTES && u64::from(row.sh_size(LE)) <= LONGEST_TABLE)?;
    let mut vendors = row.attributes(LE, cache).ok()?.subsections().ok()?;
    let mut found = Architecture { cpu: 0, profile: 0 };
    while let Some(vendor) = vendors.next().ok()? {
        let mut scopes = vendor.subsubsections();
        while let Some(scope) = scopes.next().ok()?.filter(|_| vendor.vendor() == b"aeabi") {
            let mut values = scope.attributes();
            while let Some(tag) = values.read_tag().ok()?.filter(|_| scope.tag() == Tag_File) {
                if !matches!(tag, 4 | 5) && (tag <= 32 || tag % 2 == 0) {
                    let value = values.read_integer().ok()?;
                    match tag {
                        6 => found.cpu = value,
                        7 => found.profile = value,
                        _ => {}
                    }
                }
                if matches!(tag, 4 | 5 | 32) || tag > 32 && tag % 2 == 1 {
                    values.read_string().ok()?;
                }
            }
        }
    }
    Some(found)
}

/// Functions and objects of .symtab, by address. `Err`: why there are none although there is a table.
fn symbols<'a, R: ReadRef<'a>>(table: &SectionTable<'a, Header, R>, cache: R) -> std::result::Result<Vec<Symbol>, &'static str> {
    let Some(row) = table.iter().find(|row| row.sh_type(LE) == SHT_SYMTAB) else {
        return Ok(Vec::new());
    };
    if u64::from(row.sh_size(LE)) > LONGEST_TABLE {
        return Err("its symbol table is longer than 8 MiB");
    }
    let rows = table.symbols(LE, cache, SHT_SYMTAB).map_err(|_| "its symbol table is damaged")?;
    let mut symbols: Vec<(bool, Symbol)> = rows
        .iter()
        .filter_map(|row| {
            let function = row.st_type() == STT_FUNC;
            let wanted = (function || row.st_type() == STT_OBJECT) && row.st_shndx(LE) != SHN_UNDEF;
            let name = row.name(LE, rows.strings()).ok().filter(|name| wanted && !name.is_empty())?;
            // Bit 0 of a function's value says Thumb (IHI0044 5.5.3).
            let address = if function { row.st_value(LE) & !1 } else { row.st_value(LE) };
            let name = demangled(&String::from_utf8_lossy(name));
            let symbol = Symbol { name, address, size: row.st_size(LE), function };
            Some((row.st_bind() != STB_WEAK, symbol))
        })
        .collect();
    // The last one at an address names it: the function itself, and no handler that is another name of it.
    symbols.sort_by(|(a, x), (b, y)| (x.address, a, &x.name).cmp(&(y.address, b, &y.name)));
    Ok(symbols.into_iter().map(|(_, symbol)| symbol).collect())
}
