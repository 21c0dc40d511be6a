//! The chips: one row, one address map each.

use super::chip::ApRow;

pub struct Row {
    /// "stm32h743"
    pub name: &'static str,
    pub dpidr: u32,
    pub targetid: u32,
    pub aps: &'static [ApRow],
}

pub const CHIPS: &[Row] = &[];
