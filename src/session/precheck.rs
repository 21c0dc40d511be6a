//! Before flash is erased: is this image for this chip, and will the chip start it?
//!
//! What only the chip knows (where its cores start, and what flash holds there) is read once; then every row of `CHECKS`
//! looks at that and at the image, and has something to say or not. What a row calls an error is a warning once the user
//! said its `force-` word, and its warning is not said. What no word can force, because the chip itself refuses it, is
//! refused elsewhere: memory that is no flash, write and readout protection, banks that are swapped (G0) or are to be (H7) (`flash::check_plan`).

use super::Session;
use crate::adi::MemAp;
use crate::cortex_m;
use crate::error::{Error, Result};
use crate::flash;
use crate::image::{Format, Image, Linked};

/// One thing that can be wrong with an image.
pub struct Check {
    /// `force-` and this is the user's word for "I know".
    pub word: &'static str,
    look: fn(&Facts) -> Option<Finding>,
}

/// In this order: what is found first explains what the later ones would find.
pub const CHECKS: &[Check] = &[
    Check { word: "machine", look: machine },
    Check { word: "address", look: address },
    Check { word: "vectors", look: vectors },
    Check { word: "boot", look: boot },
];

/// A fact with its numbers, and what to do about it.
#[derive(Debug, PartialEq)]
enum Finding {
    Error(String, &'static str),
    Warning(String, &'static str),
}

/// Address and size.
type Range = (u32, u32);

/// Where a core begins after a reset.
struct Start {
    address: u32,
    /// "BOOT_ADD0 = 0x0800"
    why: String,
    there: There,
}

enum There {
    /// No flash of this chip.
    Elsewhere,
    /// The image goes there.
    Image,
    /// Stack and reset handler, as flash has them now.
    Words(u32, u32),
    /// What cannot be read: a torn word.
    Unknown,
}

struct Facts<'a> {
    image: &'a Image,
    /// "STM32G07x/08x"
    chip: &'a str,
    driver: &'a str,
    /// PARTNO of each core.
    cores: Vec<u32>,
    flash: Vec<Range>,
    ram: Vec<Range>,
    starts: Vec<Start>,
}

/// Tag_CPU_arch (IHI0045 3.3.6) and the Cortex-M that run it, by PARTNO: 0xc20 M0, 0xc60 M0+, 0xc23 M3, 0xc24 M4, 0xc27 M7.
/// Older architectures are not here: a file of hand-written Thumb code may name one and run on all of these.
const ARCHITECTURES: &[(u64, &str, &[u32])] = &[
    (10, "ARMv7-M", &[0xC23, 0xC24, 0xC27]),
    (11, "ARMv6-M", &[0xC20, 0xC60, 0xC23, 0xC24, 0xC27]),
    (12, "ARMv6S-M", &[0xC20, 0xC60, 0xC23, 0xC24, 0xC27]),
    (13, "ARMv7E-M", &[0xC24, 0xC27]),
    (14, "ARMv8-A", &[]),
    (15, "ARMv8-R", &[]),
    (16, "ARMv8-M baseline", &[]),
    (17, "ARMv8-M mainline", &[]),
    (21, "ARMv8.1-M mainline", &[]),
];

/// Where STM32 have flash, up to the largest: an image may be linked for a larger chip than this one.
const LINKED: std::ops::Range<u32> = 0x0800_0000..0x0820_0000;

fn within(ranges: &[Range], address: u32) -> bool {
    ranges.iter().any(|(start, size)| address.wrapping_sub(*start) < *size)
}

/// UF2's family, ELF's attributes.
fn machine(facts: &Facts) -> Option<Finding> {
    let (path, chip) = (&facts.image.path, facts.chip);
    // Microsoft's names of families are those of our drivers.
    if let Some(family) = facts.image.family_name().filter(|family| !family.eq_ignore_ascii_case(facts.driver)) {
        return Some(Finding::Error(format!("{path} is for {family}, the chip is an {chip}"), "program what was built for this chip"));
    }
    let built = facts.image.architecture?;
    let (_, name, run_by) = ARCHITECTURES.iter().find(|row| row.0 == built.cpu)?;
    let application = built.cpu == 10 && matches!(u8::try_from(built.profile), Ok(b'A' | b'R'));
    if !application && facts.cores.iter().any(|part| run_by.contains(part)) {
        return None;
    }
    let name = if application { "ARMv7-A or -R" } else { name };
    let core = cortex_m::part_name(*facts.cores.first()?);
    Some(Finding::Error(
        format!("{path} is {name} code, which the {core} of this {chip} does not run"),
        "build it for this core (-mcpu, or the target of Rust), or program the file that was",
    ))
}

/// Is it linked for where it goes? What its vectors say is certain; what its pointers say, mostly.
fn address(facts: &Facts) -> Option<Finding> {
    let image = facts.image;
    let (at, _, reset) = image.vector_table()?;
    let segment = image.segments.iter().find(|segment| segment.address == at)?;
    let outside = within(&facts.flash, reset) && !image.segments.iter().any(|segment| segment.holds(reset));
    let linked = image.linked_for(LINKED).filter(|linked| linked.base != at && linked.score > linked.here);
    let sure = linked.is_some_and(|linked| !linked.is_weak());
    if !outside && !sure && !linked.is_some_and(|linked| linked.here == 0 && linked.score > 1) {
        return None;
    }
    let likely = if sure { "" } else { "probably " };
    let fits = linked.map_or(String::new(), |Linked { base, score, .. }| {
        format!(", {likely}for {base:#010x}, where {score} of its pointers meet functions")
    });
    let here = match (outside, linked) {
        (false, Some(linked)) => format!("; at {at:#010x}, where it goes, {} do", linked.here),
        _ => format!(": at {at:#010x}..{:#010x} its reset handler, {:#010x}, is not in it", segment.end() - 1, reset & !1),
    };
    let message = format!("{} was linked for another address{fits}{here}", image.path);
    let hint = match image.format {
        Format::Bin => "give the address it was linked for behind the file's name",
        _ => "what stands behind the name of a file with addresses is added to them: leave it out, or link the program for this place",
    };
    // Of a file with addresses, a part may be programmed.
    let certain = sure || outside && image.format == Format::Bin;
    Some(if certain { Finding::Error(message, hint) } else { Finding::Warning(message, hint) })
}

/// Where a core starts and the image goes there, does it have a vector table there?
fn vectors(facts: &Facts) -> Option<Finding> {
    let path = &facts.image.path;
    let tables = facts.starts.iter().filter_map(|start| Some((start.address, facts.image.vectors(start.address)?)));
    let hint = "program what the linker for this chip made, which begins with the vector table";
    let look = |(at, (stack, reset)): (u32, (u32, u32))| {
        let no_table =
            |why: String| Some(Finding::Error(format!("{path} has no vector table at {at:#010x}, where the chip starts: {why}"), hint));
        // The stack is full descending, so it may start right behind the RAM (DDI0403E B1.5.5).
        let in_ram = stack != 0 && within(&facts.ram, stack - 1);
        // Where no RAM is at 0, flash is seen there too (G0).
        let alias = !within(&facts.ram, reset) && within(&facts.flash, reset.wrapping_add(at));
        let in_flash = within(&facts.flash, reset) || alias;
        match (stack, reset) {
            (u32::MAX, u32::MAX) => {
                Some(Finding::Warning(format!("{path} is blank at {at:#010x}, where the chip starts: it will not start"), hint))
            }
            _ if !in_ram => no_table(format!("its stack, {stack:#010x}, is not in RAM{}", instead(&facts.ram, stack))),
            _ if stack & 3 != 0 => no_table(format!("its stack, {stack:#010x}, is no multiple of 4")),
            _ if reset & 1 == 0 => no_table(format!("its reset handler, {reset:#010x}, lacks the Thumb bit (bit 0)")),
            _ if !in_flash => no_table(format!("its reset handler, {reset:#010x}, is not in flash")),
            _ if stack & 7 != 0 => Some(Finding::Warning(
                format!(
                    "the stack of {path}, {stack:#010x}, is no multiple of 8: 64-bit values on it will be read wrong (AAPCS32 6.2.1.2)"
                ),
                "align the stack's top in the linker script to 8",
            )),
            _ => None,
        }
    };
    tables.filter_map(look).min_by_key(|finding| matches!(finding, Finding::Warning(..)))
}

/// What a stack that is in no RAM may be: past the end of one, as for a larger chip, or text.
fn instead(ram: &[Range], stack: u32) -> String {
    let past = ram.iter().find(|(start, size)| (1..1 << 20).contains(&(i64::from(stack) - i64::from(start + (size - 1)))));
    if let Some((start, size)) = past {
        return format!(", which ends at {:#010x} ({} KiB from {start:#010x})", start + (size - 1), size / 1024);
    }
    let bytes = stack.to_le_bytes();
    let text = bytes.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
    if text { format!("; as text it is {:?}", String::from_utf8_lossy(&bytes)) } else { String::new() }
}

/// A program that goes nowhere where a core starts needs somebody who starts it.
fn boot(facts: &Facts) -> Option<Finding> {
    let Facts { image, starts, .. } = facts;
    let entered = || image.entry.is_some_and(|entry| image.segments.iter().any(|segment| segment.holds(entry)));
    let program = image.vector_table().is_some() || entered();
    if !program || starts.iter().any(|start| matches!(start.there, There::Image)) {
        return None;
    }
    let Start { address, why, there } = starts.first()?;
    let begins = format!("the chip starts at {address:#010x} ({why}), where {} does not go", image.path);
    let loader = "program the boot loader that starts it, or link it for where the chip starts";
    match *there {
        There::Elsewhere => Some(Finding::Warning(
            format!("{begins} and no flash is"),
            "the option bytes say so; as the chip is delivered it starts from flash",
        )),
        There::Words(u32::MAX, _) => Some(Finding::Warning(format!("{begins} and flash is blank: it will not be started"), loader)),
        There::Words(stack, reset) if stack == 0 || !within(&facts.ram, stack - 1) || reset & 1 == 0 => Some(Finding::Warning(
            format!("{begins} and no vector table is (stack {stack:#010x}, reset handler {reset:#010x}): it will not be started"),
            loader,
        )),
        _ => None,
    }
}

impl Session {
    /// Kind image: the first thing that is wrong with the image, for this chip, and not `forced`. What may be wrong is told.
    /// Changes nothing.
    pub fn precheck(&mut self, image: &Image, forced: impl Fn(&str) -> bool) -> Result<()> {
        for (word, finding) in self.findings(image)? {
            match (finding, forced(word)) {
                (Finding::Error(message, hint), false) => {
                    // Not everybody who asks has these words: `run`, gdb's `load`.
                    let force = format!("`program` and `flash write_image` do it nevertheless with `force-{word}`");
                    return Err(Error::image(message).hint(format!("{hint}; {force}")));
                }
                (Finding::Error(message, _), true) => self.ears.warn(message),
                (Finding::Warning(message, hint), false) => self.ears.warn(format!("{message}; {hint}")),
                (Finding::Warning(..), true) => {}
            }
        }
        Ok(())
    }

    /// Why this image cannot be this chip's program, if it surely is not.
    pub(super) fn misfit(&mut self, image: &Image) -> Result<Option<String>> {
        let sure = |(_, finding)| if let Finding::Error(message, _) = finding { Some(message) } else { None };
        Ok(self.findings(image)?.into_iter().find_map(sure))
    }

    /// What the checks find, with their words.
    fn findings(&mut self, image: &Image) -> Result<Vec<(&'static str, Finding)>> {
        let starts = self.starts(image)?;
        let rows = &self.target.cores[..self.die.cores];
        let own = rows.iter().flat_map(|row| &row.own_ram).map(|region| (region.address, region.size));
        let facts = Facts {
            image,
            chip: &self.die.name,
            driver: &self.target.driver,
            cores: rows.iter().map(|row| row.part).collect(),
            flash: self.banks.iter().map(|bank| (bank.address, bank.size)).collect(),
            ram: self.die.ram_at_most().into_iter().chain(own).collect(),
            starts,
        };
        Ok(CHECKS.iter().filter_map(|check| Some((check.word, (check.look)(&facts)?))).collect())
    }

    /// Where each core of the die starts. What else is there is read only if nothing forbids it.
    fn starts(&mut self, image: &Image) -> Result<Vec<Start>> {
        let driver = flash::driver(&self.target.driver)?;
        let Some(first) = self.banks.first().cloned() else { return Ok(Vec::new()) };
        let mut starts = Vec::new();
        for core in 0..self.die.cores {
            let (address, why) = driver.start(&mut MemAp::new(&mut *self.probe, first.ap), &first, core)?;
            let bank = self.banks.iter().find(|bank| bank.contains(address)).cloned();
            let there = match bank {
                _ if image.vectors(address).is_some() => There::Image,
                None => There::Elsewhere,
                Some(bank) => {
                    self.check(&bank)?;
                    let mut words = [0; 8];
                    match MemAp::new(&mut *self.probe, bank.ap).read(address, &mut words) {
                        Ok(()) => {
                            let word = |at: usize| u32::from_le_bytes([words[at], words[at + 1], words[at + 2], words[at + 3]]);
                            There::Words(word(0), word(4))
                        }
                        Err(error) if error.is_fault() => There::Unknown,
                        Err(error) => return Err(error),
                    }
                }
            };
            starts.push(Start { address, why, there });
        }
        Ok(starts)
    }
}
