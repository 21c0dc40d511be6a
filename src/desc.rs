//! Descriptions: interface files (which probe) and target files (which chips), TOML to plain structs.
//!
//! Everything here could be checked without running it: numbers, names, addresses, each with its manual's section in
//! the file. What polls a register or decodes an error is Rust, what a user would edit is Rhai.
//!
//! `load("stm32h7", …)` finds the file (find.rs), tells by its content what it describes, and checks it (check.rs): an
//! error names file and line and shows the line's text.

mod check;
mod find;
mod option;
pub mod svd;

pub use check::HOOKS;
pub use find::{BUILT_IN, Loaded, Wanted, find};
pub use option::{DANGERS, Danger, OptionField, OptionRegister, on_die};

use crate::error::Result;
use crate::tcp;
use check::Source;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// The words a `driver = "…"` may be: rows of `probe::DRIVERS` and of `flash::DRIVERS`, which are above or beside this module.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub probes: &'a [&'a str],
    pub flash: &'a [&'a str],
}

/// What a file given with -f turned out to be.
#[derive(Clone, Debug)]
pub enum Description {
    Interface(Interface),
    Target(Target),
    /// A .rhai file: its path for messages, and its text.
    Script(String, String),
}

/// Keys that only one kind of description has.
const TARGET_KEYS: &[&str] = &["die", "core", "idcode", "attach", "reset", "dpidr", "sim_chip", "manuals", "hooks", "option"];
const INTERFACE_KEYS: &[&str] = &["transport", "usb", "serial", "sim", "driver", "khz", "address"];

/// Find the file that `-f name` means and read it. Kind usage: not found (with every place looked at), not readable, or faulty.
pub fn load(name: &str, search: &[PathBuf], known: &Known) -> Result<Description> {
    let Loaded { path, text } = find(name, Wanted::Any, search)?;
    if path.trim_end_matches(" (built in)").ends_with(".rhai") {
        return Ok(Description::Script(path, text));
    }
    let source = Source::new(&path, &text)?;
    if TARGET_KEYS.iter().any(|key| source.has(key)) {
        return Target::parse(&text, &path, known).map(Description::Target);
    }
    if INTERFACE_KEYS.iter().any(|key| source.has(key)) {
        return Interface::parse(&text, &path, known).map(Description::Interface);
    }
    Err(source
        .error("", "neither an interface (`driver`, `transport`, `usb` …) nor a target (`die`, `core`, `idcode` …)")
        .hint("`-f` takes interface, target and .rhai files; firmware goes into `program FILE`"))
}

impl Interface {
    /// `file` is its name for messages.
    pub fn parse(text: &str, file: &str, known: &Known) -> Result<Interface> {
        let source = Source::new(file, text)?;
        let interface = source.fill()?;
        check::interface(&interface, &source, known.probes)?;
        Ok(interface)
    }

    /// Where its server listens, if its probes are behind one.
    pub fn server(&self) -> Option<&str> {
        let address = self.address.as_deref().unwrap_or(tcp::DEFAULT_ADDRESS);
        (self.transport == Transport::Tcp).then_some(address)
    }
}

impl Target {
    /// `file` is its name for messages.
    pub fn parse(text: &str, file: &str, known: &Known) -> Result<Target> {
        let source = Source::new(file, text)?;
        let target = source.fill()?;
        check::target(&target, &source, known.flash)?;
        Ok(target)
    }
}

impl Die {
    /// As OpenOCD names its targets: stm32h745.cpu1 is the second core of this chip.
    pub fn core_name(&self, core: usize) -> String {
        let first = self.name.split(['/', ',']).next().unwrap_or_default();
        format!("{}.cpu{core}", self.chip.as_deref().unwrap_or(first).to_lowercase())
    }

    /// The letter ST prints on the package for this REV_ID, or the number where the file has none.
    pub fn revision(&self, rev_id: u32) -> String {
        let number = |key: &str| u32::from_str_radix(key.trim_start_matches("0x"), 16).ok();
        let row = self.revisions.iter().find(|(key, _)| number(key) == Some(rev_id));
        row.map_or_else(|| format!("{rev_id:#06x}"), |(_, letter)| letter.clone())
    }

    /// Address and size of each RAM on the largest part of this row: where a stack may be, as opposed to what may be used.
    pub fn ram_at_most(&self) -> Vec<(u32, u32)> {
        self.ram.iter().map(|region| (region.address, region.up_to.unwrap_or(region.size))).collect()
    }
}

/// interfaces/*.toml
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interface {
    /// A row of `probe::DRIVERS`.
    pub driver: String,
    #[serde(default)]
    pub transport: Transport,
    /// USB ids that count as this interface, "0483:374b"; empty: every id the driver knows.
    #[serde(default)]
    pub usb: Vec<String>,
    /// Upper bound of the clock in kHz; without it the fastest that probe and target file allow.
    pub khz: Option<u32>,
    /// Only the probe with this serial number.
    pub serial: Option<String>,
    /// The embedded board, for `transport = "sim"`.
    pub sim: Option<Sim>,
    /// host:port of the server, for `transport = "tcp"`; without it the port of ST's on this machine.
    pub address: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    #[default]
    Usb,
    Sim,
    /// Through an ST-LINK server.
    Tcp,
}

/// The embedded board as sim.toml describes it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sim {
    /// A row of sim/chips.rs; without it the target file's `sim_chip`.
    pub chip: Option<String>,
    /// "v2", "v2-1" or "v3".
    pub probe: Option<String>,
    /// "V2J37S7"
    pub firmware: Option<String>,
    pub serial: Option<String>,
    /// Keeps flash and option bytes between runs.
    pub state: Option<String>,
}

/// targets/*.toml
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    pub name: String,
    /// Manuals with revision, for people.
    pub manuals: Vec<String>,
    /// A row of `flash::DRIVERS`.
    pub driver: String,
    /// What the DP answers over SWD.
    pub dpidr: u32,
    /// The fastest SWD clock the chip bears, kHz.
    pub khz: u32,
    /// The board that `transport = "sim"` builds when nothing else names one.
    pub sim_chip: String,
    pub reset: Reset,
    #[serde(default)]
    pub watchdogs: Watchdogs,
    /// By which flash is summed, where its controller cannot.
    pub crc: Option<CrcUnit>,
    /// Where DEV_ID (bits 11:0) and REV_ID (31:16) are read; the first address that answers counts.
    pub idcode: Vec<Place>,
    #[serde(rename = "core")]
    pub cores: Vec<CoreRow>,
    /// Written at attach in this order, read back, put back at detach in reverse order.
    #[serde(default)]
    pub attach: Vec<Write>,
    /// A CMSIS-SVD file of the user's, by which `reg` knows the peripherals.
    pub svd: Option<String>,
    /// What `memory map` shows beside flash, RAM and the core's own registers.
    #[serde(default, rename = "area")]
    pub areas: Vec<Area>,
    /// Where the option bytes are.
    #[serde(default, rename = "option")]
    pub options: Vec<OptionRegister>,
    /// What `doctor` reads of the chip.
    #[serde(default, rename = "sign")]
    pub signs: Vec<Sign>,
    /// Event name (examine_end, reset_start, reset_init, reset_end, halted) to Rhai function.
    #[serde(default)]
    pub hooks: BTreeMap<String, String>,
    /// First match wins.
    #[serde(rename = "die")]
    pub dies: Vec<Die>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Reset {
    /// How long NRST is held low, ms.
    pub hold_ms: u64,
    /// From the release of NRST until the debug port answers, ms.
    pub settle_ms: u64,
}

/// The CRC calculation unit, for a program of ours in RAM.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct CrcUnit {
    /// CRC_DR
    pub registers: u32,
    /// The register with its clock's enable bit, and the bit.
    pub clock: u32,
    pub bit: u32,
    /// FLASH_ECCR
    pub eccr: u32,
}

/// What a loader must feed, because it stops only while the core is halted. 0: there is none.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Watchdogs {
    /// IWDG_KR
    pub iwdg: u32,
    /// WWDG_CR
    pub wwdg: u32,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Place {
    pub ap: u8,
    pub address: u32,
    pub section: String,
}

/// One core, in the order that numbers them.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct CoreRow {
    pub name: String,
    pub ap: u8,
    /// CPUID.PARTNO: 0xc27 for the Cortex-M7.
    pub part: u32,
    /// CSW bits 31:8 for memory through this AP; cacheable on the M7, else cached RAM reads stale.
    pub csw: u32,
    /// RAM where loaders run and that is never cached.
    pub work_area: Region,
    /// RAM that this core alone has at this place: here, too, a stack may be.
    #[serde(default)]
    pub own_ram: Vec<Region>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Region {
    #[serde(default)]
    pub name: String,
    pub address: u32,
    /// What every part of the row has.
    pub size: u32,
    /// What the largest part of the row has, where that is more.
    pub up_to: Option<u32>,
}

/// `register = (register & !mask) | value`
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Write {
    pub name: String,
    pub ap: u8,
    pub address: u32,
    pub mask: u32,
    pub value: u32,
    pub section: String,
    /// Where the same register stands behind AP 0, which is open already.
    #[serde(default)]
    pub alias: Option<u32>,
    /// DEV_IDs it applies to; empty: all.
    #[serde(default)]
    pub dev_ids: Vec<u32>,
}

/// A part of the address space that rocd itself does not use.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Area {
    pub name: String,
    /// "ROM", "peripherals"
    pub kind: String,
    pub address: u32,
    pub size: u32,
    pub section: String,
    /// DEV_IDs it is there on; empty: all.
    #[serde(default)]
    pub dev_ids: Vec<u32>,
}

/// A register, and what some of its bits are: by these names session/doctor asks for them.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    pub register: String,
    pub address: u32,
    pub fields: BTreeMap<String, Bits>,
    pub section: String,
    /// DEV_IDs it is there on; empty: all.
    #[serde(default)]
    pub dev_ids: Vec<u32>,
}

/// A bit by its number, or several: the lowest, and how many.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(untagged)]
pub enum Bits {
    One(u32),
    Several([u32; 2]),
}

impl Bits {
    /// The lowest, and how many.
    pub fn place(self) -> (u32, u32) {
        match self {
            Bits::One(low) => (low, 1),
            Bits::Several([low, count]) => (low, count),
        }
    }

    pub fn of(self, word: u32) -> u32 {
        let (low, count) = self.place();
        word >> low & u32::MAX >> (32 - count)
    }
}

/// A DEV_ID and, where one id covers several dies, what tells them apart.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Die {
    /// "STM32H74x/75x"
    pub name: String,
    /// The chip that stands for all of this row where one word must do; without it the first one of `name`.
    #[serde(default)]
    pub chip: Option<String>,
    pub dev_id: u32,
    /// All must hold.
    #[serde(default)]
    pub when: Vec<When>,
    /// REV_ID in hex ("0x2003") to the letter ST prints.
    #[serde(default)]
    pub revisions: BTreeMap<String, String>,
    pub flash_size: FlashSize,
    /// The flash driver's register layout.
    pub layout: String,
    /// How many of the target file's cores it has, in their order.
    #[serde(default = "one")]
    pub cores: usize,
    /// What every part of this row has.
    pub ram: Vec<Region>,
    #[serde(rename = "bank")]
    pub banks: Vec<BankRow>,
}

/// Is the row that names these DEV_IDs for this one? None means all.
pub fn applies(dev_ids: &[u32], dev_id: u32) -> bool {
    dev_ids.is_empty() || dev_ids.contains(&dev_id)
}

fn one() -> usize {
    1
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum When {
    /// This AP is there (its IDR is not 0).
    Ap(u8),
    /// The flash size register reads this many KiB.
    FlashKib(u32),
    /// A word through AP `ap`: `(word & mask) == value`.
    Word { ap: u8, address: u32, mask: u32, value: u32 },
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct FlashSize {
    pub ap: u8,
    /// A u16 in KiB; 0 and 0xFFFF mean "not programmed": `max_kib` then.
    pub address: u32,
    pub max_kib: u32,
    pub section: String,
}

#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct BankRow {
    pub name: String,
    /// Fixed, or `None`: right behind the bank before it.
    pub address: Option<u32>,
    /// The bank's share of the flash size: 1 all of it, 2 half of it.
    pub share: u32,
    /// Unit of erase, bytes.
    pub sector: u32,
    /// Flash word: unit of write, bytes.
    pub word: u32,
    /// Base of the flash controller's registers for this bank.
    pub registers: u32,
    pub section: String,
}

#[cfg(test)]
mod tests;
