//! What a file is, by its first bytes; and in which words it is refused if it is no firmware.

use super::Format;
use crate::error::Error;
use crate::near::nearest;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Bytes looked at: past the comment that heads ST's linker scripts, past a map file's list of archives.
pub const HEAD: u64 = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Content {
    Image(Format),
    Other(Other),
}

/// A file that is no firmware.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Other {
    /// "a linker script"
    what: &'static str,
    hint: &'static str,
}

pub const LINK: &str = "program what the linker for the chip (such as arm-none-eabi-ld) makes: the .elf, .hex or .bin";
const UNPACK: &str = "unpack it first";
const OTHER_SYSTEM: &str = "firmware is built by a compiler for ARM, such as arm-none-eabi-gcc";
const RAW: &str = "`program`, `load_image` and `verify_image` take any file as raw bytes by the word `bin`";

const FORMATS: &[(&[u8], Format)] = &[(b"\x7FELF", Format::Elf), (b"UF2\n\x57\x51\x5D\x9E", Format::Uf2), (b"DfuSe", Format::Dfuse)];

const MAGIC: &[(&[u8], Other)] = &[
    (b"!<arch>\n", Other { what: "a static library", hint: LINK }),
    (b"BC\xC0\xDE", Other { what: "LLVM bitcode", hint: LINK }),
    (b"PK\x03\x04", Other { what: "a ZIP archive", hint: UNPACK }),
    (b"\x1F\x8B\x08", Other { what: "a gzip archive", hint: UNPACK }),
    (b"MZ\x90\x00", Other { what: "a Windows program", hint: OTHER_SYSTEM }),
    (b"\xCF\xFA\xED\xFE", Other { what: "a macOS program", hint: OTHER_SYSTEM }),
];

/// Words that a kind of text has; all words of a row must be there, the first row that fits counts.
const TEXTS: &[(&[&str], Other)] = &[
    (&["Linker script and memory map"], MAP),
    (&["Archive member included"], MAP),
    (&["Memory Configuration"], MAP),
    (&["Image Symbol Table"], MAP),
    (&["SECTIONS", "{"], SCRIPT),
    (&["MEMORY", "ORIGIN"], SCRIPT),
    (&["LR_IROM1"], Other { what: "a scatter file", hint: LINK }),
    (&["#MicroXplorer"], IOC),
    (&["Mcu.Name="], IOC),
    (&[".syntax"], ASSEMBLER),
    (&[".global"], ASSEMBLER),
    (&["EXPORT", "AREA"], ASSEMBLER),
    (&["#include"], C_SOURCE),
    (&["#define"], C_SOURCE),
    (&["int main"], C_SOURCE),
    (&["void "], C_SOURCE),
    (&["fn main"], Other { what: "Rust source", hint: LINK }),
];

const MAP: Other = Other { what: "a linker map", hint: LINK };
const SCRIPT: Other = Other { what: "a linker script", hint: LINK };
const IOC: Other = Other { what: "an STM32CubeMX project", hint: LINK };
const ASSEMBLER: Other = Other { what: "assembler source", hint: LINK };
const C_SOURCE: Other = Other { what: "C source", hint: LINK };
const TEXT: Other = Other { what: "text", hint: RAW };

impl Content {
    /// `head` is the file's beginning, at most HEAD bytes, not empty. Raw binary is what nothing else fits.
    pub fn of(head: &[u8]) -> Content {
        if let Some((_, format)) = FORMATS.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Content::Image(*format);
        }
        if let Some((_, other)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            return Content::Other(*other);
        }
        let line = first_line(head);
        if record(line, 1, 2) && line[0] == b':' {
            return Content::Image(Format::Hex);
        }
        if record(line, 2, 6) && line[0] == b'S' && line[1].is_ascii_digit() {
            return Content::Image(Format::Srec);
        }
        if is_text(head) || is_utf16(head) { Content::Other(text(head)) } else { Content::Image(Format::Bin) }
    }

    pub fn what(self) -> &'static str {
        match self {
            Content::Image(format) => format.what(),
            Content::Other(other) => other.what,
        }
    }
}

fn first_line(head: &[u8]) -> &[u8] {
    let head = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(head).trim_ascii_start();
    head.split(|byte| *byte == b'\n').next().unwrap_or(head)
}

/// The `count` bytes from `from` on are there and are hexadecimal digits.
fn record(line: &[u8], from: usize, count: usize) -> bool {
    line.get(from..from + count).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

/// No control characters but those of text, and mostly ASCII; a program has zeros.
fn is_text(head: &[u8]) -> bool {
    let control = |byte: &u8| byte.is_ascii_control() && !b"\t\n\r\x0C\x1A\x1B".contains(byte);
    let ascii = head.iter().filter(|byte| byte.is_ascii()).count();
    !head.iter().any(control) && ascii * 2 >= head.len()
}

/// As Windows' shells write it.
fn is_utf16(head: &[u8]) -> bool {
    let zeros = |odd: usize| head.iter().skip(2 + odd).step_by(2).take(32).all(|byte| *byte == 0);
    head.len() >= 4 && (head.starts_with(b"\xFF\xFE") && zeros(1) || head.starts_with(b"\xFE\xFF") && zeros(0))
}

fn text(head: &[u8]) -> Other {
    let text = String::from_utf8_lossy(head);
    let fits = |words: &[&str]| words.iter().all(|word| text.contains(word));
    TEXTS.iter().find(|(words, _)| fits(words)).map_or(TEXT, |row| row.1)
}

impl Other {
    /// "STM32H753XIHX_FLASH.ld is a linker script, not firmware; did you mean Debug/blinky.elf?"
    pub fn refusal(self, name: &str, path: Option<&Path>) -> Error {
        Error::image(format!("{name} is {}, not firmware{}", self.what, meant(path, self == SCRIPT))).hint(self.hint)
    }
}

/// "; did you mean Debug/blinky.elf?": the ELF that was built near `path`; `always` also says what to look for if there is none.
pub fn meant(path: Option<&Path>, always: bool) -> String {
    match path.and_then(built_near) {
        Some(built) => format!("; did you mean {}?", built.display()),
        None if always => "; did you mean Debug/<project>.elf?".into(),
        None => String::new(),
    }
}

/// Where IDEs and build tools put what they link, seen from the project's folder.
const BUILD_FOLDERS: &[&str] = &[
    "",
    "Debug",
    "Release",
    "build",
    "build/Debug",
    "build/Release",
    "cmake-build-debug",
    "cmake-build-release",
    "out",
    "Objects",
    "target/thumbv7em-none-eabihf/debug",
    "target/thumbv7em-none-eabihf/release",
    "target/thumbv6m-none-eabi/debug",
    "target/thumbv6m-none-eabi/release",
];

/// The newest ELF in the file's folder, the two above it, and their build folders: the first folder that has one counts.
pub fn built_near(path: &Path) -> Option<PathBuf> {
    path.parent()?
        .ancestors()
        .take(3)
        .find_map(|project| BUILD_FOLDERS.iter().filter_map(|folder| newest(&project.join(folder))).max())
        .map(|(_, built)| built)
}

fn newest(folder: &Path) -> Option<(SystemTime, PathBuf)> {
    let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let files = std::fs::read_dir(listed).ok()?.flatten();
    let built = files.filter(|file| {
        let name = file.file_name();
        Path::new(&name).extension().is_some_and(|ending| ending == "elf" || ending == "axf") && is_linked_for_arm(&file.path())
    });
    built.filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, folder.join(file.file_name())))).max()
}

/// The file that a name which is not there may stand for: one of that name in a build folder, else the nearest name beside it.
pub fn meant_by(path: &Path) -> Option<PathBuf> {
    let (folder, name) = (path.parent()?, path.file_name()?);
    let built = || BUILD_FOLDERS.iter().map(|build| folder.join(build).join(name)).find(|file| file.is_file());
    let beside = || {
        let listed = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let names = std::fs::read_dir(listed).ok()?.flatten().filter_map(|file| file.file_name().into_string().ok());
        let names: Vec<String> = names.collect();
        nearest(name.to_str()?, names.iter().map(String::as_str)).map(|near| folder.join(near))
    };
    built().or_else(beside)
}

/// What may be meant can itself be programmed: ELFCLASS32, ELFDATA2LSB, ET_EXEC, EM_ARM (ELF for the ARM architecture, 4.1).
fn is_linked_for_arm(path: &Path) -> bool {
    let mut head = [0; 20];
    let read = std::fs::File::open(path).and_then(|mut file| file.read_exact(&mut head));
    read.is_ok() && head[..6] == *b"\x7FELF\x01\x01" && head[16..] == [2, 0, 40, 0]
}
