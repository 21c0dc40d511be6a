//! Reading an image takes memory for the bytes to be loaded, whatever else the file holds. In a process of its own: the
//! peak is the process's.
#![cfg(target_os = "linux")]

use rocd::image::Image;
use std::fs::File;
use std::path::Path;

const GIB: u32 = 1 << 30;

/// A committed ELF with some of its words changed, drawn out (sparsely) to `len`.
fn changed(folder: &Path, name: &str, len: u64, words: &[(usize, u32)]) -> std::path::PathBuf {
    let mut bytes = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/firmware/dense-1m-h743.elf")).unwrap();
    for (at, word) in words {
        bytes[*at..at + 4].copy_from_slice(&word.to_le_bytes());
    }
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(len).unwrap();
    path
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn an_axf_with_a_gib_between_its_segments_and_a_gib_of_debug_information_takes_less_than_40_mib() {
    let folder = tempfile::tempdir().unwrap();
    // The second program header, from offset 84: p_offset, p_vaddr, p_paddr, p_filesz; and no section table (e_shoff).
    let apart = [(88, GIB), (92, 0x4800_0000), (96, 0x4800_0000), (100, 16), (32, 0)];
    let image = Image::read(&changed(folder.path(), "apart.axf", u64::from(GIB) + 16, &apart), None, None).unwrap();
    assert_eq!(image.segments.iter().map(|segment| segment.address).collect::<Vec<_>>(), [0x0800_0000, 0x4800_0000]);
    assert_eq!(image.len(), (1 << 20) + 16);

    let plain = std::fs::read(changed(folder.path(), "plain.axf", 1 << 21, &[])).unwrap();
    let table = u32::from_le_bytes(plain[32..36].try_into().unwrap()) as usize;
    // Section headers of 40 bytes; sh_flags is the third word, sh_offset the fifth, sh_size the sixth.
    let sections = (0..).map(|index| table + 40 * index);
    let debug = sections.skip(1).find(|at| plain[at + 4] == 1 && plain[at + 8] == 0).unwrap();
    let huge = [(debug + 16, 0x1000), (debug + 20, GIB)];
    let image = Image::read(&changed(folder.path(), "debug.axf", u64::from(GIB) * 2, &huge), None, None).unwrap();
    assert_eq!(image.len(), 1 << 20);
    assert!(!image.symbols.is_empty());

    assert!(peak_kib() < 40 * 1024, "{} KiB", peak_kib());
}
