//! Option bytes by name, as the target file lays them out.

use super::Session;
use crate::desc::{OptionField, OptionRegister, on_die};
use crate::error::{Context, Error, Result};
use crate::near;
use crate::probe::MemOp;
use std::rc::Rc;

/// A field of the chip's option bytes, and what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionValue {
    /// The place of its register in the target file.
    pub row: usize,
    pub register: String,
    pub field: OptionField,
    pub value: u32,
    /// Where its addresses count from.
    pub base: u32,
}

impl OptionValue {
    /// In words; empty if the target file has none.
    pub fn meaning(&self) -> String {
        self.field.meaning(self.value, self.base)
    }
}

impl Session {
    /// What a field of the option bytes holds, by its name in the manual: "RDP".
    pub fn option(&mut self, name: &str) -> Result<u32> {
        let fields = self.options()?;
        find_option(&fields, name).map(|found| found.value)
    }

    /// Every field that this die has, as loaded last.
    pub fn options(&mut self) -> Result<Vec<OptionValue>> {
        let target = Rc::clone(&self.target);
        let rows: Vec<(usize, &OptionRegister)> = target.options.iter().enumerate().filter(|(_, row)| self.has_register(row)).collect();
        let mut words: Vec<MemOp> = rows.iter().map(|(_, row)| MemOp::read(row.address)).collect();
        self.mem(0).batch(&mut words).map_err(super::asleep).during("reading the option bytes")?;
        let mut found = Vec::new();
        for ((number, row), word) in rows.iter().zip(&words) {
            let base = row.bank.and_then(|bank| self.banks.get(bank)).map_or(0, |bank| bank.address);
            let fields = row.fields.iter().filter(|field| on_die(&field.dies, &self.die.name));
            found.extend(fields.map(|field| OptionValue {
                row: *number,
                register: row.register.clone(),
                field: field.clone(),
                value: field.of(word.value()),
                base,
            }));
        }
        Ok(found)
    }

    fn has_register(&self, row: &OptionRegister) -> bool {
        on_die(&row.dies, &self.die.name) && row.bank.is_none_or(|bank| bank < self.banks.len())
    }
}

/// By its name, whatever its letters' case.
pub fn find_option<'o>(options: &'o [OptionValue], name: &str) -> Result<&'o OptionValue> {
    options.iter().find(|option| option.field.name.eq_ignore_ascii_case(name)).ok_or_else(|| {
        let hint = near::hint(name, options.iter().map(|option| option.field.name.as_str()), "`option read` lists them");
        Error::usage(format!("this chip has no option `{}`", crate::error::excerpt(name))).hint(hint)
    })
}
