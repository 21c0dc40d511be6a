//! Option bytes: where their fields are, what their values mean, and what may come of changing them.

use serde::Deserialize;
use std::collections::BTreeMap;

/// A register of option bytes.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct OptionRegister {
    pub register: String,
    pub address: u32,
    /// Where it is written, if that is another (H7: _PRG for _CUR).
    pub write: Option<u32>,
    /// Where its word stands in flash, its complement behind it, if the chip shows that (G0).
    pub stored: Option<u32>,
    /// It is there if this bank is, and its units count from that bank's start.
    pub bank: Option<usize>,
    pub section: String,
    /// How the names of the dies begin that have it; empty: all.
    #[serde(default)]
    pub dies: Vec<String>,
    pub fields: Vec<OptionField>,
    #[serde(default)]
    pub dangers: Vec<Danger>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct OptionField {
    pub name: String,
    /// The lowest.
    pub bit: u32,
    #[serde(default = "one")]
    pub width: u32,
    pub help: String,
    /// Number to "word" or "word: more", where only these are written.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// What every other number means.
    pub other: Option<String>,
    /// Bytes that one of its value stands for; 0: it is no address.
    #[serde(default)]
    pub unit: u32,
    #[serde(default)]
    pub dies: Vec<String>,
}

/// What a change may bring.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Danger {
    /// Whose change brings it.
    pub fields: Vec<String>,
    /// The new value that brings it; `None`: any.
    pub to: Option<u32>,
    /// Not while another field holds this.
    #[serde(default)]
    pub unless: BTreeMap<String, u32>,
    /// One of `DANGERS`.
    pub kind: String,
    pub text: String,
}

/// Kinds of danger, the worst first, and whether a change that brings one must be allowed by the field's name.
pub const DANGERS: &[(&str, bool)] = &[("irreversible", true), ("mass erase", true), ("may lose SWD", true), ("may not boot", false)];

fn one() -> u32 {
    1
}

/// Is the row with these beginnings of names for this die?
pub fn on_die(dies: &[String], die: &str) -> bool {
    dies.is_empty() || dies.iter().any(|begin| die.starts_with(begin.as_str()))
}

/// A number as a key of TOML writes it.
pub(super) fn key(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

impl OptionField {
    /// Its bits, from bit 0.
    pub fn most(&self) -> u32 {
        u32::MAX >> (32 - self.width)
    }

    pub fn of(&self, word: u32) -> u32 {
        word >> self.bit & self.most()
    }

    /// `word` with this in it.
    pub fn put(&self, word: u32, value: u32) -> u32 {
        word & !(self.most() << self.bit) | value << self.bit
    }

    /// Each value that has a word, and its text.
    pub fn meanings(&self) -> impl Iterator<Item = (u32, &str)> {
        self.values.iter().filter_map(|(number, text)| Some((key(number)?, text.as_str())))
    }

    /// What a value means: the field's text for it, or the address, counted from `base`.
    pub fn meaning(&self, value: u32, base: u32) -> String {
        let said = self.meanings().find(|(number, _)| *number == value).map(|(_, text)| text);
        match said.or(self.other.as_deref()) {
            Some(text) => text.to_string(),
            None if self.unit != 0 => format!("{:#010x}", base.wrapping_add(value.wrapping_mul(self.unit))),
            None => String::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desc::{BUILT_IN, Known, Target};
    use std::collections::BTreeSet;

    const KNOWN: Known = Known { probes: &[], flash: &["stm32h7", "stm32g0"] };

    fn text(name: &str) -> &'static str {
        BUILT_IN.iter().find(|(path, _)| path.contains(name)).unwrap().1
    }

    #[test]
    fn on_every_die_a_bit_is_one_fields_and_a_name_stands_once() {
        for name in ["targets/stm32h7", "targets/stm32g0"] {
            let target = Target::parse(text(name), name, &KNOWN).unwrap();
            let begins = target.options.iter().flat_map(|row| row.fields.iter().flat_map(|field| &field.dies).chain(&row.dies));
            begins.for_each(|begin| assert!(target.dies.iter().any(|die| die.name.starts_with(begin.as_str())), "{begin}"));
            for die in &target.dies {
                let mut names = BTreeSet::new();
                for row in target.options.iter().filter(|row| on_die(&row.dies, &die.name)) {
                    let mut bits = 0;
                    for field in row.fields.iter().filter(|field| on_die(&field.dies, &die.name)) {
                        assert_eq!(bits & field.most() << field.bit, 0, "{}: {}", die.name, field.name);
                        bits |= field.most() << field.bit;
                        assert!(names.insert(field.name.to_lowercase()), "{}: {}", die.name, field.name);
                    }
                }
                let speak_of = target.options.iter().flat_map(|row| &row.dangers).flat_map(|danger| danger.unless.keys());
                speak_of.for_each(|name| assert!(names.contains(&name.to_lowercase()), "{}: {name}", die.name));
                assert!(names.contains("rdp") && names.len() >= 24, "{}: {names:?}", die.name);
            }
        }
    }

    #[test]
    fn a_field_is_put_read_and_said_in_words() {
        let target = Target::parse(text("targets/stm32h7"), "x.toml", &KNOWN).unwrap();
        let field = |name: &str| target.options.iter().flat_map(|row| &row.fields).find(|field| field.name == name).unwrap();
        let (rdp, add1) = (field("RDP"), field("BOOT_ADD1"));
        assert_eq!((rdp.put(0x1006_AAF0, 0x55), rdp.of(0x1006_AAF0)), (0x1006_55F0, 0xAA));
        assert_eq!((add1.put(0x1FF0_0800, 0), add1.of(0x1FF0_0800)), (0x0800, 0x1FF0));
        assert_eq!((add1.meaning(0x1FF0, 0), rdp.meaning(0x12, 0)), ("0x1ff00000".into(), rdp.other.clone().unwrap()));
        let wide = OptionField { bit: 0, width: 32, ..rdp.clone() };
        assert_eq!((wide.put(1, u32::MAX), wide.of(u32::MAX)), (u32::MAX, u32::MAX));
    }

    #[test]
    fn each_check_names_the_line() {
        let cases = [
            ("bit = 29, help", "bit = 32, help", "bit 32 and 1 bits are not in 32"),
            ("{ 0 = \"on: until", "{ 2 = \"on: until", "`2` is no value of 1 bits"),
            ("0 = \"2.1V\"", "0 = \"2.1 V\"", "`2.1 V` does not begin with a word, or `word: more`"),
            ("fields = [\"nBOOT_SEL\"", "fields = [\"BOOT\"", "there is no field `BOOT` here"),
            (
                "kind = \"may not boot\"",
                "kind = \"bad\"",
                "unknown kind `bad`, expected one of irreversible, mass erase, may lose SWD, may not boot",
            ),
        ];
        for (from, to, expected) in cases {
            let error = Target::parse(&text("targets/stm32g0").replacen(from, to, 1), "x.toml", &KNOWN).expect_err(to);
            assert!(error.message.contains(&format!(": {expected} in `")), "{to}: {}", error.message);
        }
    }
}
