//! Descriptions: interface files (which probe) and target files (which chips), TOML to plain structs.
//!
//! Everything here could be checked without running it: numbers, names, addresses, each with its manual's section in
//! the file. What polls a register or decodes an error is Rust, what a user would edit is Rhai.

use serde::Deserialize;
use std::collections::BTreeMap;

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
}

#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    #[default]
    Usb,
    Sim,
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
    /// Where DEV_ID (bits 11:0) and REV_ID (31:16) are read; the first address that answers counts.
    pub idcode: Vec<Place>,
    #[serde(rename = "core")]
    pub cores: Vec<CoreRow>,
    /// Written at attach in this order, read back, put back at detach in reverse order.
    #[serde(default)]
    pub attach: Vec<Write>,
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
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Region {
    #[serde(default)]
    pub name: String,
    pub address: u32,
    pub size: u32,
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
    /// DEV_IDs it applies to; empty: all.
    #[serde(default)]
    pub dev_ids: Vec<u32>,
}

/// A DEV_ID and, where one id covers several dies, what tells them apart.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Die {
    /// "STM32H74x/75x"
    pub name: String,
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
    /// What every part of this row has.
    pub ram: Vec<Region>,
    #[serde(rename = "bank")]
    pub banks: Vec<BankRow>,
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
