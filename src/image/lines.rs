//! Source lines from an ELF's DWARF, by crates addr2line and gimli. Nothing is read before the first line is asked for.

use super::Image;
use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianReader, LittleEndian, SectionId};
use object::LittleEndian as LE;
use object::elf::{FileHeader32, SHF_COMPRESSED};
use object::read::ReadCache;
use object::read::elf::{FileHeader, SectionHeader};
use std::cell::OnceCell;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

type Reader = EndianReader<LittleEndian, Rc<[u8]>>;

/// A section of more bytes than this is left alone: the DWARF of firmware of 2 MiB has some 20 MiB in all (assumed).
const LONGEST: u64 = 64 << 20;

/// Of one ELF file, as it was when its image was read.
pub struct Lines {
    path: PathBuf,
    written: SystemTime,
    /// None: it has no DWARF, or a damaged one, or is no longer the file it was.
    context: OnceCell<Option<Context<Reader>>>,
}

impl Lines {
    /// `None` of what was no file: a pipe cannot be read again.
    pub fn of(image: &Image) -> Option<Lines> {
        Some(Lines { path: PathBuf::from(&image.path), written: image.written?, context: OnceCell::new() })
    }

    /// "main.c:42", if the line of the instruction at `address` is known.
    pub fn find(&self, address: u32) -> Option<String> {
        let context = self.context.get_or_init(|| self.load()).as_ref()?;
        let location = context.find_location(address.into()).ok().flatten()?;
        let file = location.file?.rsplit(['/', '\\']).next()?.to_string();
        // 0: the compiler attributes the instruction to no line (DWARF 5, 6.2.2).
        Some(format!("{file}:{}", location.line.filter(|line| *line != 0)?))
    }

    /// Addresses of another build would be wrong lines, so a file written since is not looked at.
    fn load(&self) -> Option<Context<Reader>> {
        let file = File::open(&self.path).ok().filter(|_| written(&self.path) == Some(self.written))?;
        let cache = ReadCache::new(file);
        let header = FileHeader32::<LE>::parse(&cache).ok()?;
        let table = header.sections(LE, &cache).ok()?;
        let section = |id: SectionId| -> Result<Reader, ()> {
            let row = table.section_by_name(LE, id.name().as_bytes()).map(|(_, row)| row);
            let row = row.filter(|row| !row.sh_flags(LE).contains(SHF_COMPRESSED) && u64::from(row.sh_size(LE)) <= LONGEST);
            let bytes = row.and_then(|row| row.data(LE, &cache).ok()).unwrap_or_default();
            Ok(EndianReader::new(bytes.into(), LittleEndian))
        };
        Context::from_dwarf(Dwarf::load(section).ok()?).ok()
    }
}

/// When the file was written last.
pub fn written(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).ok().filter(|data| data.is_file())?.modified().ok()
}
