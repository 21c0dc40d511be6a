//! UF2 (Microsoft, "USB Flashing Format (UF2)"): blocks of 512 bytes, each with its own address, in any order.

use super::{Image, Parts, unreadable};
use crate::error::{Error, Result};
use std::collections::BTreeSet;
use std::io::Read;

const BLOCK: usize = 512;
const START: [u8; 8] = *b"UF2\n\x57\x51\x5D\x9E";
const END: [u8; 4] = *b"\x30\x6F\xB1\x0A";
/// Where a block's data is, and what it can hold.
const DATA: usize = 32;
const MOST: u32 = 476;

const NOT_MAIN_FLASH: u32 = 1 << 0;
const FILE_CONTAINER: u32 = 1 << 12;
const FAMILY_PRESENT: u32 = 1 << 13;

/// uf2families.json beside the specification: the STM32 ones, and what is most often mistaken for them.
const FAMILIES: &[(u32, &str)] = &[
    (0x300f_5633, "STM32G0"),
    (0x6db6_6082, "STM32H7"),
    (0x647824b6, "STM32F0"),
    (0x5ee21072, "STM32F1"),
    (0x5d1a_0a2e, "STM32F2"),
    (0x57755a57, "STM32F4"),
    (0x53b8_0f00, "STM32F7"),
    (0x4c71_240a, "STM32G4"),
    (0x202e_3a91, "STM32L0"),
    (0x1e1f_432d, "STM32L1"),
    (0x0424_0bdf, "STM32L5"),
    (0x2146_0ff0, "STM32WL"),
    (0xe48b_ff56, "RP2040"),
    (0x5511_4460, "SAMD51"),
    (0x1c5f_21b0, "ESP32"),
];

/// "STM32G0", or the number of a family without a name here.
pub fn family_name(family: u32) -> String {
    FAMILIES.iter().find(|row| row.0 == family).map_or_else(|| format!("the family {family:#010x}"), |row| row.1.to_string())
}

pub fn read(image: &mut Image, mut source: impl Read, parts: &mut Parts) -> Result<()> {
    let name = image.path.clone();
    let damaged = |number: usize, what: String| Error::image(format!("{name} is a damaged UF2 file: block {number} {what}"));
    let (mut seen, mut total) = (BTreeSet::new(), None);
    for number in 0.. {
        let mut block = Vec::with_capacity(BLOCK);
        (&mut source).take(BLOCK as u64).read_to_end(&mut block).map_err(|error| unreadable(&name, error))?;
        match block.len() {
            0 => break,
            BLOCK => {}
            len => return Err(damaged(number, format!("of the file is cut short: {len} bytes of {BLOCK}"))),
        }
        if block[..8] != START || block[BLOCK - 4..] != END {
            return Err(damaged(number, format!("of the file, at {:#x}, has not the magic numbers of a block", number * BLOCK)));
        }
        let [flags, address, len, nth, blocks, family] = [8, 12, 16, 20, 24, 28].map(|at| super::word(&block, at));
        if flags & FILE_CONTAINER != 0 {
            return Err(Error::image(format!("{name} is a UF2 file that holds files, not firmware")));
        }
        if len == 0 || len > MOST || nth >= blocks {
            return Err(damaged(number, format!("of the file says it is block {nth} of {blocks} with {len} bytes; {MOST} are the most")));
        }
        if *total.get_or_insert(blocks) != blocks {
            return Err(damaged(number, format!("of the file says there are {blocks} blocks, those before it {}", total.unwrap_or(0))));
        }
        if !seen.insert(nth) {
            return Err(damaged(nth as usize, "comes twice".into()));
        }
        if flags & NOT_MAIN_FLASH != 0 {
            continue;
        }
        if flags & FAMILY_PRESENT != 0 && *image.family.get_or_insert(family) != family {
            let both = [image.family.unwrap_or(0), family].map(family_name);
            return Err(Error::image(format!("{name} holds firmware for {} and for {}: take one of its own", both[0], both[1])));
        }
        parts.add(address, len as usize, nth as usize)?.copy_from_slice(&block[DATA..DATA + len as usize]);
    }
    complete(&name, &seen, total.unwrap_or(0))?;
    if parts.is_empty() {
        return Err(Error::image(format!("{name} holds no data for flash")));
    }
    Ok(())
}

fn complete(name: &str, seen: &BTreeSet<u32>, total: u32) -> Result<()> {
    let missing = total as usize - seen.len();
    match (0..total).find(|nth| !seen.contains(nth)) {
        Some(first) => Err(Error::image(format!(
            "{name} is a damaged UF2 file: block {first} of {total} is missing ({missing} are missing in all); blocks count from 0"
        ))),
        None => Ok(()),
    }
}
