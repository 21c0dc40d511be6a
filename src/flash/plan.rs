//! What must be done so that flash holds an image: a pure function of the image, the banks and what is there.

use super::Bank;
use crate::error::{Error, Kind, Result};
use crate::image::{Image, Segment};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;

/// What happens to one sector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Holds already what it should.
    Skip,
    /// Blank where the image goes: programmed without an erase.
    Program,
    /// Erased, then programmed.
    Replace,
}

impl Action {
    /// The word people and scripts read.
    pub fn name(self) -> &'static str {
        match self {
            Action::Skip => "skip",
            Action::Program => "write",
            Action::Replace => "erase and write",
        }
    }
}

#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    pub bank: usize,
    pub bank_name: String,
    pub sector: u32,
    pub address: u32,
    /// Of the sector, bytes.
    pub size: u32,
    pub action: Action,
    /// Whole flash words to program, by address; none for `Skip`, and never a word of 0xFF.
    pub runs: Vec<(u32, Vec<u8>)>,
    /// Bytes of the sector outside the image that are put back after the erase; blank flash words do not count.
    pub kept: u32,
}

impl Step {
    /// Bytes to program.
    pub fn bytes(&self) -> u64 {
        self.runs.iter().map(|(_, data)| data.len() as u64).sum()
    }

    pub fn end(&self) -> u32 {
        self.address + (self.size - 1)
    }
}

/// What is known of a sector before it is planned.
#[derive(Clone, Debug, PartialEq)]
pub enum Found {
    /// What the image has, wherever it has something.
    Same,
    /// 0xFF, all of it.
    Blank,
    /// Neither, and the image has every byte of it: what it is does not matter.
    Other,
    Bytes(Vec<u8>),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub steps: Vec<Step>,
    /// Numbers of the banks where every sector without a step was found blank.
    pub blank_beside: Vec<usize>,
    /// Bytes of the image.
    pub image_bytes: u64,
}

impl Plan {
    /// Bytes to program, those put back included.
    pub fn write_bytes(&self) -> u64 {
        self.steps.iter().map(Step::bytes).sum()
    }

    pub fn erase_bytes(&self) -> u64 {
        self.with(Action::Replace).map(|step| u64::from(step.size)).sum()
    }

    pub fn kept_bytes(&self) -> u64 {
        self.steps.iter().map(|step| u64::from(step.kept)).sum()
    }

    pub fn with(&self, action: Action) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |step| step.action == action)
    }

    /// Nothing is to be erased or written.
    pub fn is_done(&self) -> bool {
        self.steps.iter().all(|step| step.action == Action::Skip)
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} sector {:3}  {:#010x}..{:#010x}  ", self.bank_name, self.sector, self.address, self.end())?;
        match (self.action, self.kept) {
            (Action::Skip, _) => write!(f, "skip: holds already what it should"),
            (action, 0) => write!(f, "{}: {} bytes", action.name(), self.bytes()),
            (action, kept) => write!(f, "{}: {} bytes, {kept} of them kept from what is there", action.name(), self.bytes()),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for step in &self.steps {
            writeln!(f, "{step}")?;
        }
        let count = |action| self.with(action).count();
        write!(
            f,
            "image of {} bytes: {} sectors to erase ({} KiB), {} to write without erase, {} to skip; {} bytes to write, {} of them kept",
            self.image_bytes,
            count(Action::Replace),
            self.erase_bytes() / 1024,
            count(Action::Program),
            count(Action::Skip),
            self.write_bytes(),
            self.kept_bytes()
        )
    }
}

/// May sectors be erased?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// `program`, `write_image erase`
    Erase,
    /// `write_image`: a sector that is not blank and differs is an error that says `add erase`.
    NoErase,
}

/// The sectors an image touches, as (bank index, sector index), or the refusal: outside flash, RAM only …
pub fn touched(image: &Image, banks: &[Bank]) -> Result<Vec<(usize, u32)>> {
    if image.segments.iter().all(|segment| segment.data.is_empty()) {
        return Err(Error::image(format!("{} has no bytes to write", image.path)));
    }
    let mut sectors = BTreeSet::new();
    for segment in &image.segments {
        let mut at = u64::from(segment.address);
        while at < segment.end() {
            let (index, bank) = bank_of(at, banks).ok_or_else(|| outside(image, segment, at, banks))?;
            let sector = (at as u32 - bank.address) / bank.sector;
            sectors.insert((index, sector));
            at = u64::from(bank.sector_address(sector)) + u64::from(bank.sector);
        }
    }
    Ok(sectors.into_iter().collect())
}

fn bank_of(address: u64, banks: &[Bank]) -> Option<(usize, &Bank)> {
    let address = u32::try_from(address).ok()?;
    banks.iter().enumerate().find(|(_, bank)| bank.contains(address))
}

/// SRAM by the architecture's memory map (DDI0403 B3.1, DDI0419 B3.1), where every RAM of both families but the ITCM lies.
const SRAM: RangeInclusive<u64> = 0x2000_0000..=0x3FFF_FFFF;

/// The refusal of a segment whose byte at `at` is not in flash, with the hint that fits where it is.
fn outside(image: &Image, segment: &Segment, at: u64, banks: &[Bank]) -> Error {
    let start = u64::from(segment.address);
    let in_ram = |segment: &Segment| SRAM.contains(&u64::from(segment.address));
    let place = if in_ram(segment) { "lies in RAM" } else { "lies outside flash" };
    let from = if at == start { String::new() } else { format!(" from {at:#010x} on") };
    let message = format!(
        "{}: segment {start:#010x}..{:#010x} ({} bytes) {place}{from}; this chip's flash is {}",
        image.path,
        segment.end() - 1,
        segment.data.len(),
        ranges(banks)
    );
    let hint = if image.segments.iter().all(in_ram) {
        "the whole image is for RAM: `load_image` puts it there"
    } else if in_ram(segment) {
        "initialised RAM data must have its load address in flash (in the linker script `.data : { … } > RAM AT> FLASH`); an \
         image for RAM goes there with `load_image`"
    } else if start < u64::from(banks.first().map_or(0, |bank| bank.address)) {
        "addresses below the flash are an alias of it or another memory: link the image to where the flash itself is"
    } else {
        "link the image for this chip (linker script: FLASH origin and length), or check that the target file is the right one"
    };
    Error::image(message).hint(hint)
}

/// "0x08000000..0x080fffff, 0x08100000..0x081fffff"
fn ranges(banks: &[Bank]) -> String {
    let ranges: Vec<String> = banks.iter().map(|bank| format!("{:#010x}..{:#010x}", bank.address, bank.end())).collect();
    ranges.join(", ")
}

/// What must be done so that flash holds `image`, given what is there (`there`: by the sector's address, every touched
/// sector, and others that were looked at).
pub fn plan(image: &Image, banks: &[Bank], there: &BTreeMap<u32, Found>, policy: Policy) -> Result<Plan> {
    let mut steps = Vec::new();
    for (index, sector) in touched(image, banks)? {
        let bank = &banks[index];
        let address = bank.sector_address(sector);
        let (mut old, action) = match there.get(&address) {
            Some(Found::Same) => (Vec::new(), Some(Action::Skip)),
            Some(Found::Blank) => (vec![0xFF; bank.sector as usize], None),
            Some(Found::Other) if policy == Policy::NoErase => return Err(not_blank(bank, sector, 0)),
            Some(Found::Other) => (vec![0xFF; bank.sector as usize], Some(Action::Replace)),
            Some(Found::Bytes(bytes)) if bytes.len() == bank.sector as usize => (bytes.clone(), None),
            _ => return Err(Error::new(Kind::Bug, format!("the sector at {address:#010x} was not looked at before planning"))),
        };
        let wanted = Wanted::new(image, address, &old);
        let (action, kept) = match action {
            Some(action) => (action, 0),
            None => choose(bank, sector, &old, &wanted, policy)?,
        };
        if action == Action::Replace {
            old.fill(0xFF);
        }
        let runs = runs(bank, address, &wanted.bytes, |at| wanted.bytes[at.clone()] != old[at]);
        steps.push(Step { bank: bank.number, bank_name: bank.name.clone(), sector, address, size: bank.sector, action, runs, kept });
    }
    let blank_beside = |bank: &&Bank| {
        let has_step = |sector: &u32| steps.iter().any(|step| (step.bank, step.sector) == (bank.number, *sector));
        let mut others = (0..bank.sectors()).filter(|sector| !has_step(sector));
        others.all(|sector| there.get(&bank.sector_address(sector)) == Some(&Found::Blank))
    };
    let blank_beside = banks.iter().filter(blank_beside).map(|bank| bank.number).collect();
    Ok(Plan { steps, blank_beside, image_bytes: image.len() })
}

/// What a sector is to hold, and which of its bytes the image gives.
struct Wanted {
    bytes: Vec<u8>,
    given: Vec<bool>,
}

impl Wanted {
    fn new(image: &Image, address: u32, old: &[u8]) -> Wanted {
        let mut wanted = Wanted { bytes: old.to_vec(), given: vec![false; old.len()] };
        let first = u64::from(address);
        let past = first + old.len() as u64;
        for segment in &image.segments {
            let (from, to) = (u64::from(segment.address).max(first), segment.end().min(past));
            if from < to {
                let at = (from - first) as usize..(to - first) as usize;
                let source = (from - u64::from(segment.address)) as usize;
                wanted.bytes[at.clone()].copy_from_slice(&segment.data[source..source + at.len()]);
                wanted.given[at].fill(true);
            }
        }
        wanted
    }

    /// Bytes outside the image in flash words where there is something to lose.
    fn kept(&self, old: &[u8], word: usize) -> u32 {
        let mut kept = 0;
        for (given, old) in self.given.chunks(word).zip(old.chunks(word)) {
            let outside = || given.iter().zip(old).filter(|(given, _)| !**given);
            if outside().any(|(_, byte)| *byte != 0xFF) {
                kept += outside().count() as u32;
            }
        }
        kept
    }
}

/// A blank word in a sector that is not blank is written without an erase only when the user forbade erasing: it may be
/// a word of ones that was programmed (STM32G071 errata 2.25: it cannot be programmed again) or the rest of an interrupted erase.
fn choose(bank: &Bank, sector: u32, old: &[u8], wanted: &Wanted, policy: Policy) -> Result<(Action, u32)> {
    if wanted.bytes == old {
        return Ok((Action::Skip, 0));
    }
    if blank(old) {
        return Ok((Action::Program, 0));
    }
    let word = bank.word as usize;
    match policy {
        Policy::Erase => Ok((Action::Replace, wanted.kept(old, word))),
        Policy::NoErase => match (0..old.len()).step_by(word).find(|at| in_the_way(old, &wanted.bytes, *at, word)) {
            None => Ok((Action::Program, 0)),
            Some(at) => Err(not_blank(bank, sector, at)),
        },
    }
}

fn in_the_way(old: &[u8], new: &[u8], at: usize, word: usize) -> bool {
    let range = at..at + word;
    old[range.clone()] != new[range.clone()] && !blank(&old[range])
}

fn not_blank(bank: &Bank, sector: u32, at: usize) -> Error {
    let address = bank.sector_address(sector) + at as u32;
    Error::command(format!("flash is not blank at {address:#010x} (sector {sector} of {}) and differs from the image", bank.name))
        .hint("add erase: `flash write_image erase …` erases the sectors it needs and keeps what the image does not cover")
}

fn blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0xFF)
}

/// The flash words of a sector that `choose` takes, neighbours joined. Words of 0xFF are never programmed: an erased
/// word stays writable, a programmed word of ones does not (STM32G071 errata 2.25).
fn runs(bank: &Bank, address: u32, new: &[u8], choose: impl Fn(std::ops::Range<usize>) -> bool) -> Vec<(u32, Vec<u8>)> {
    let mut runs: Vec<(u32, Vec<u8>)> = Vec::new();
    for (index, word) in new.chunks(bank.word as usize).enumerate() {
        let at = index * bank.word as usize;
        if blank(word) || !choose(at..at + word.len()) {
            continue;
        }
        let here = address + at as u32;
        match runs.last_mut() {
            Some((start, data)) if *start + data.len() as u32 == here => data.extend_from_slice(word),
            _ => runs.push((here, word.to_vec())),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flash::fake::{bank, image};

    const BANKS: fn() -> Vec<Bank> = || vec![bank(0, 0x0800_0000, 0x400, 0x100, 16), bank(1, 0x0800_0800, 0x400, 0x100, 16)];

    /// xorshift32: the same cases on every run.
    struct Random(u32);

    impl Random {
        fn below(&mut self, limit: u32) -> u32 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 17;
            self.0 ^= self.0 << 5;
            self.0 % limit
        }

        /// Mostly dense, with stretches of 0xFF as linkers leave them.
        fn bytes(&mut self, len: u32) -> Vec<u8> {
            let mut bytes = Vec::new();
            while (bytes.len() as u32) < len {
                let value = |random: &mut Random| random.below(256) as u8;
                let (stretch, solid) = (self.below(60) + 1, self.below(3) == 0);
                bytes.extend((0..stretch).map(|_| if solid { 0xFF } else { value(self) }));
            }
            bytes.truncate(len as usize);
            bytes
        }
    }

    /// Flash as a chip has it: a word is programmed once per erase, and only while blank.
    struct Flash(BTreeMap<u32, Vec<u8>>);

    fn found(there: &BTreeMap<u32, Vec<u8>>) -> BTreeMap<u32, Found> {
        there.iter().map(|(at, bytes)| (*at, Found::Bytes(bytes.clone()))).collect()
    }

    impl Flash {
        fn random(random: &mut Random) -> Flash {
            let mut sectors = BTreeMap::new();
            for bank in BANKS() {
                for sector in 0..bank.sectors() {
                    let bytes = if random.below(3) == 0 { vec![0xFF; 0x100] } else { random.bytes(0x100) };
                    sectors.insert(bank.sector_address(sector), bytes);
                }
            }
            Flash(sectors)
        }

        fn apply(&mut self, plan: &Plan) {
            for step in &plan.steps {
                let sector = self.0.get_mut(&step.address).expect("a step names a sector");
                if step.action == Action::Replace {
                    sector.fill(0xFF);
                }
                for (address, data) in &step.runs {
                    for (word, at) in data.chunks(16).zip(((address - step.address) as usize..).step_by(16)) {
                        assert_eq!(at % 16, 0, "words are whole");
                        assert!(blank(&sector[at..at + 16]), "{address:#x}: a word is written twice");
                        assert!(!blank(word), "{address:#x}: a blank word is written");
                        sector[at..at + 16].copy_from_slice(word);
                    }
                }
            }
        }

        fn overlay(&self, image: &Image) -> BTreeMap<u32, Vec<u8>> {
            let mut wanted = self.0.clone();
            for segment in &image.segments {
                for (at, byte) in (segment.address..).zip(&segment.data) {
                    let (start, bytes) = wanted.range_mut(..=at).next_back().expect("in flash");
                    bytes[(at - start) as usize] = *byte;
                }
            }
            wanted
        }
    }

    fn random_image(random: &mut Random, flash: &Flash) -> Image {
        let mut segments = Vec::new();
        for base in [0x0800_0000, 0x0800_0800] {
            let from = random.below(0x300);
            let len = random.below(0x400 - from) + 1;
            // Often what is there already, so that sectors are skipped.
            let there = |at: u32| flash.0[&(at & !0xFF)][(at & 0xFF) as usize];
            let data = if random.below(4) == 0 { (0..len).map(|at| there(base + from + at)).collect() } else { random.bytes(len) };
            segments.push((base + from, data));
        }
        image(&segments)
    }

    #[test]
    fn carrying_out_a_plan_gives_the_image_over_what_was_there() {
        let mut random = Random(0x2545_F491);
        let mut seen = BTreeSet::new();
        for _ in 0..2000 {
            let mut flash = Flash::random(&mut random);
            let image = random_image(&mut random, &flash);
            let plan = plan(&image, &BANKS(), &found(&flash.0), Policy::Erase).unwrap();
            let wanted = flash.overlay(&image);
            flash.apply(&plan);
            assert_eq!(flash.0, wanted);
            seen.extend(plan.steps.iter().map(|step| step.action.name()));
        }
        assert_eq!(seen.len(), 3, "every action was met: {seen:?}");
    }

    #[test]
    fn without_erase_a_plan_either_gives_the_image_or_says_add_erase() {
        let mut random = Random(0x9E37_79B9);
        let (mut planned, mut refused) = (0, 0);
        for _ in 0..2000 {
            let mut flash = Flash::random(&mut random);
            let image = random_image(&mut random, &flash);
            let wanted = flash.overlay(&image);
            match plan(&image, &BANKS(), &found(&flash.0), Policy::NoErase) {
                Ok(plan) => {
                    assert_eq!(plan.with(Action::Replace).count(), 0);
                    flash.apply(&plan);
                    assert_eq!(flash.0, wanted);
                    planned += 1;
                }
                Err(error) => {
                    assert!(error.hint.unwrap().starts_with("add erase"));
                    refused += 1;
                }
            }
        }
        assert!(planned > 50 && refused > 50, "{planned} planned, {refused} refused");
    }

    fn one_sector(bytes: Vec<u8>) -> BTreeMap<u32, Found> {
        BTreeMap::from([(0x0800_0000, Found::Bytes(bytes))])
    }

    #[test]
    fn a_sector_that_holds_the_image_is_skipped() {
        let there = one_sector((0..=255).collect());
        let plan = plan(&image(&[(0x0800_0010, (0x10..0x20).collect())]), &BANKS(), &there, Policy::NoErase).unwrap();
        assert_eq!((plan.steps[0].action, plan.steps[0].runs.len(), plan.write_bytes()), (Action::Skip, 0, 0));
        assert!(plan.is_done());
    }

    #[test]
    fn a_blank_sector_is_written_without_erase_and_its_words_of_ones_are_left_out() {
        let mut data = vec![1; 16];
        data.extend([0xFF; 16]);
        data.extend([2; 3]);
        let plan = plan(&image(&[(0x0800_0000, data)]), &BANKS(), &one_sector(vec![0xFF; 256]), Policy::Erase).unwrap();
        let last = [vec![2; 3], vec![0xFF; 13]].concat();
        assert_eq!(plan.steps[0].runs, [(0x0800_0000, vec![1; 16]), (0x0800_0020, last)]);
        assert_eq!((plan.steps[0].action, plan.steps[0].kept), (Action::Program, 0));
    }

    #[test]
    fn bytes_outside_the_image_are_put_back_and_counted() {
        let mut old = vec![0xFF; 256];
        old[0x08..0x10].fill(0x55);
        old[0x80..0x84].fill(0xAA);
        let plan = plan(&image(&[(0x0800_0000, vec![7; 8])]), &BANKS(), &one_sector(old), Policy::Erase).unwrap();
        let step = &plan.steps[0];
        assert_eq!(step.action, Action::Replace);
        // 8 in the image's own word, and the word at 0x80, of which 4 bytes are not blank.
        assert_eq!(step.kept, 8 + 16);
        assert_eq!(step.runs[0].1, [vec![7; 8], vec![0x55; 8]].concat());
        assert_eq!(step.runs[1].0, 0x0800_0080);
    }

    #[test]
    fn without_erase_blank_words_of_a_used_sector_are_written_and_only_those() {
        let mut old = vec![0xFF; 256];
        old[..16].fill(0x11);
        let plan = plan(&image(&[(0x0800_0000, [vec![0x11; 16], vec![3; 16]].concat())]), &BANKS(), &one_sector(old), Policy::NoErase);
        assert_eq!(plan.unwrap().steps[0].runs, [(0x0800_0010, vec![3; 16])]);
    }

    #[test]
    fn without_erase_the_first_word_in_the_way_is_named() {
        let mut old = vec![0xFF; 256];
        old[0x23] = 0;
        let error = plan(&image(&[(0x0800_0000, vec![3; 0x40])]), &BANKS(), &one_sector(old), Policy::NoErase).unwrap_err();
        assert_eq!(error.message, "flash is not blank at 0x08000020 (sector 0 of bank1) and differs from the image");
        assert_eq!(error.kind, Kind::Command);
    }

    #[test]
    fn an_image_touches_each_sector_it_lies_in_once() {
        let image = image(&[(0x0800_00FF, vec![0; 2]), (0x0800_01F0, vec![0; 0x10]), (0x0800_0900, vec![0; 0x101])]);
        assert_eq!(touched(&image, &BANKS()).unwrap(), [(0, 0), (0, 1), (1, 1), (1, 2)]);
    }

    fn refusal(segments: &[(u32, Vec<u8>)]) -> Error {
        let error = touched(&image(segments), &BANKS()).unwrap_err();
        assert_eq!(error.kind.exit_code(), 8, "{error}");
        error
    }

    #[test]
    fn a_segment_outside_flash_is_refused_with_the_ranges_of_the_chip() {
        let error = refusal(&[(0x0800_0000, vec![0; 4]), (0x9000_0000, vec![0; 0x10])]);
        assert_eq!(
            error.message,
            "app.elf: segment 0x90000000..0x9000000f (16 bytes) lies outside flash; this chip's flash is \
             0x08000000..0x080003ff, 0x08000800..0x08000bff"
        );
        assert!(error.hint.unwrap().starts_with("link the image for this chip"));
    }

    #[test]
    fn each_refusal_says_where_the_segment_lies_and_what_to_do() {
        let ram = "the whole image is for RAM: `load_image` puts it there";
        let cases = [
            (vec![(0x0800_03F8, 16)], "lies outside flash from 0x08000400 on", ""),
            (vec![(0x2000_0000, 4), (0x2400_0000, 4)], "segment 0x20000000..0x20000003 (4 bytes) lies in RAM", ram),
            (vec![(0x0800_0000, 4), (0x2000_0000, 4)], "segment 0x20000000..0x20000003", "load address in flash"),
            (vec![(0, 4)], "segment 0x00000000..0x00000003", "alias"),
            (vec![(0xFFFF_FFF0, 16)], "segment 0xfffffff0..0xffffffff", ""),
            (vec![], "app.elf has no bytes to write", ""),
        ];
        for (segments, message, hint) in cases {
            let segments: Vec<_> = segments.into_iter().map(|(address, len)| (address, vec![0; len])).collect();
            let error = refusal(&segments);
            assert!(error.message.contains(message) && error.hint.clone().unwrap_or_default().contains(hint), "{error}");
        }
    }

    #[test]
    fn a_plan_reads_as_what_will_be_done() {
        let mut there = one_sector(vec![0xFF; 256]);
        there.insert(0x0800_0100, Found::Bytes([vec![0xFF; 0xF0], vec![9; 16]].concat()));
        let image = image(&[(0x0800_0000, vec![5; 0x110])]);
        assert_eq!(
            plan(&image, &BANKS(), &there, Policy::Erase).unwrap().to_string(),
            "bank1 sector   0  0x08000000..0x080000ff  write: 256 bytes\n\
             bank1 sector   1  0x08000100..0x080001ff  erase and write: 32 bytes, 16 of them kept from what is there\n\
             image of 272 bytes: 1 sectors to erase (0 KiB), 1 to write without erase, 0 to skip; 288 bytes to write, 16 of them kept"
        );
    }
}
