//! Source lines from an ELF's DWARF, by crates addr2line and gimli. Nothing is read before the first line is asked for.

use super::Image;
use addr2line::gimli::{DebugFrame, Dwarf, EndianReader, LittleEndian, Section, SectionId};
use addr2line::{Context, Location};
use object::LittleEndian as LE;
use object::elf::{FileHeader32, SHF_COMPRESSED};
use object::read::ReadCache;
use object::read::elf::{FileHeader, SectionHeader};
use std::cell::OnceCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

pub(super) type Reader = EndianReader<LittleEndian, Rc<[u8]>>;

/// A section of more bytes than this is left alone: the DWARF of firmware of 2 MiB has some 20 MiB in all (assumed).
const LONGEST: u64 = 64 << 20;

/// Of one ELF file, as it was when its image was read.
pub struct Lines {
    path: PathBuf,
    written: SystemTime,
    /// None: it is no ELF, or no longer the file it was.
    debug: OnceCell<Option<Debug>>,
}

/// What a file's DWARF tells, as far as it has any and it is not damaged.
struct Debug {
    context: Option<Context<Reader>>,
    frames: DebugFrame<Reader>,
}

impl Lines {
    /// `None` of what was no file: a pipe cannot be read again.
    pub fn of(image: &Image) -> Option<Lines> {
        Some(Lines { path: PathBuf::from(&image.path), written: image.written?, debug: OnceCell::new() })
    }

    fn debug(&self) -> Option<&Debug> {
        self.debug.get_or_init(|| self.load()).as_ref()
    }

    /// "main.c:42", if the line of the instruction at `address` is known.
    pub fn find(&self, address: u32) -> Option<String> {
        line_of(self.debug()?.context.as_ref()?.find_location(address.into()).ok().flatten()?)
    }

    /// The function that the instruction at `address` is of and its line, before it each that was inlined there, innermost first.
    pub fn chain(&self, address: u32) -> Vec<(Option<String>, Option<String>)> {
        let mut chain = Vec::new();
        let Some(context) = self.debug().and_then(|debug| debug.context.as_ref()) else { return chain };
        if let Ok(mut frames) = context.find_frames(address.into()).skip_all_loads() {
            while let Ok(Some(frame)) = frames.next() {
                let name = frame.function.and_then(|name| name.raw_name().ok().map(|name| super::elf::demangled(&name)));
                chain.push((name, frame.location.and_then(line_of)));
            }
        }
        chain
    }

    pub(super) fn frames(&self) -> Option<&DebugFrame<Reader>> {
        self.debug().map(|debug| &debug.frames)
    }

    /// What another build says would be wrong, so a file written since is not looked at.
    pub fn open(&self) -> Option<File> {
        File::open(&self.path).ok().filter(|_| written(&self.path) == Some(self.written))
    }

    fn load(&self) -> Option<Debug> {
        let cache = ReadCache::new(self.open()?);
        let header = FileHeader32::<LE>::parse(&cache).ok()?;
        let table = header.sections(LE, &cache).ok()?;
        let section = |id: SectionId| -> Result<Reader, ()> {
            let row = table.section_by_name(LE, id.name().as_bytes()).map(|(_, row)| row);
            let row = row.filter(|row| !row.sh_flags(LE).contains(SHF_COMPRESSED) && u64::from(row.sh_size(LE)) <= LONGEST);
            let bytes = row.and_then(|row| row.data(LE, &cache).ok()).unwrap_or_default();
            Ok(EndianReader::new(bytes.into(), LittleEndian))
        };
        let context = Dwarf::load(section).and_then(|dwarf| Context::from_dwarf(dwarf).map_err(|_| ())).ok();
        let mut frames = DebugFrame::load(section).ok()?;
        frames.set_address_size(4);
        Some(Debug { context, frames })
    }
}

fn line_of(location: Location) -> Option<String> {
    let file = location.file?.rsplit(['/', '\\']).next()?.to_string();
    // 0: the compiler attributes the instruction to no line (DWARF 5, 6.2.2).
    Some(format!("{file}:{}", location.line.filter(|line| *line != 0)?))
}

/// When the file was written last.
pub fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok().filter(|data| data.is_file())?.modified().ok()
}
