//! What gdb reads of a target: registers, memory map, threads (gdb's manual, "Target Descriptions", "Memory Map Format").

use crate::flash::Bank;
use crate::session::Register;

/// gdb's name of a group of registers, and the numbers that are in it.
const FEATURES: &[(&str, std::ops::Range<u32>)] =
    &[("org.gnu.gdb.arm.m-profile", 0..17), ("org.gnu.gdb.arm.m-system", 17..24), ("org.gnu.gdb.arm.vfp", 42..59)];

/// Registers that are no plain numbers to gdb.
const TYPES: &[(&str, &str)] = &[("sp", "data_ptr"), ("lr", "code_ptr"), ("pc", "code_ptr"), ("msp", "data_ptr"), ("psp", "data_ptr")];

pub fn target(registers: &[Register]) -> String {
    let mut xml = r#"<?xml version="1.0"?><!DOCTYPE target SYSTEM "gdb-target.dtd"><target version="1.0"><architecture>arm</architecture>"#
        .to_string();
    for (feature, numbers) in FEATURES {
        let own: String = registers.iter().filter(|register| numbers.contains(&register.number)).map(register_line).collect();
        if !own.is_empty() {
            xml += &format!(r#"<feature name="{feature}">{own}</feature>"#);
        }
    }
    xml + "</target>"
}

fn register_line(register: &Register) -> String {
    let Register { number, name, bits } = register;
    let size = bits.next_power_of_two().max(8);
    let kind = match bits {
        64 => "ieee_double",
        ..=8 => "int8",
        _ => TYPES.iter().find(|row| row.0 == *name).map_or("int", |row| row.1),
    };
    format!(r#"<reg name="{name}" bitsize="{size}" regnum="{number}" type="{kind}"/>"#)
}

/// Flash as it is; everything else may be RAM, peripherals or nothing, and is read and written as asked.
pub fn memory_map(banks: &[Bank]) -> String {
    let mut sorted: Vec<&Bank> = banks.iter().collect();
    sorted.sort_by_key(|bank| bank.address);
    let mut rows = String::new();
    let mut at = 0;
    let ram = |from: u64, to: u64| match to > from {
        true => format!(r#"<memory type="ram" start="{from:#x}" length="{:#x}"/>"#, to - from),
        false => String::new(),
    };
    for bank in sorted {
        rows += &ram(at, bank.address.into());
        let (start, len, sector) = (bank.address, bank.size, bank.sector);
        rows += &format!(
            r#"<memory type="flash" start="{start:#x}" length="{len:#x}"><property name="blocksize">{sector:#x}</property></memory>"#
        );
        at = u64::from(bank.end()) + 1;
    }
    rows += &ram(at, 1 << 32);
    format!(
        r#"<?xml version="1.0"?><!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" "http://sourceware.org/gdb/gdb-memory-map.dtd"><memory-map>{rows}</memory-map>"#
    )
}

/// The one thread that a core is.
pub fn threads(name: &str, core: usize) -> String {
    format!(r#"<?xml version="1.0"?><threads><thread id="1" core="{core}" name="{name}"/></threads>"#)
}
