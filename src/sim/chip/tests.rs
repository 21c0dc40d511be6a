//! What is where, who reaches it, and what survives what.

use super::*;
use crate::sim::chips::CHIPS;
use crate::sim::rig::{MS, Rig};

fn read(rig: &mut Rig, ap: u8, address: u32) -> Result<u32, BusError> {
    rig.chip.read(ap, 0, address, Size::Word)
}

/// (base, PIDR4..0 as one number, CIDR) of everything that the ROM tables lead to, the tables too.
fn walk(rig: &mut Rig, ap: u8, base: u32, found: &mut Vec<(u32, u64, u32)>) {
    let mut byte = |offset| u64::from(read(rig, ap, base + offset).unwrap() & 0xFF);
    let pidr = byte(0xFE0) | byte(0xFE4) << 8 | byte(0xFE8) << 16 | byte(0xFEC) << 24 | byte(0xFD0) << 32;
    let cidr = (byte(0xFF0) | byte(0xFF4) << 8 | byte(0xFF8) << 16 | byte(0xFFC) << 24) as u32;
    found.push((base, pidr, cidr));
    if cidr != 0xB105_100D {
        return;
    }
    for entry in (0..).map(|index| 4 * index) {
        match read(rig, ap, base + entry).unwrap() {
            0 => return,
            entry => walk(rig, ap, base.wrapping_add(entry & !0xFFF), found),
        }
    }
}

#[test]
fn the_rom_tables_of_an_h743_lead_to_its_components() {
    let mut rig = Rig::new("stm32h743");
    let mut found = Vec::new();
    walk(&mut rig, 0, 0xE00F_E000, &mut found);
    let wanted = [
        (0xE00F_E000, 0x0_000A_0450, 0xB105_100D),
        (0xE00F_F000, 0x4_000B_B4C7, 0xB105_100D),
        (0xE000_E000, 0x4_000B_B00C, 0xB105_E00D),
        (0xE000_1000, 0x4_000B_B002, 0xB105_E00D),
        (0xE000_2000, 0x4_000B_B00E, 0xB105_E00D),
        (0xE000_0000, 0x4_000B_B001, 0xB105_E00D),
        (0xE004_1000, 0x4_000B_B975, 0xB105_900D),
        (0xE004_3000, 0x4_004B_B906, 0xB105_900D),
    ];
    assert_eq!(found, wanted);
    found.clear();
    assert_eq!([read(&mut rig, 2, 0xE00E_0FE0), read(&mut rig, 2, 0xE00E_0FFC)], [Ok(0x50), Ok(0xB1)]);
    walk(&mut rig, 2, 0xE00E_0000, &mut found);
    assert_eq!(found[0], (0xE00E_0000, 0x000A_0450, 0xB105_100D));
    assert_eq!(found.last().unwrap(), &(0xE00F_5000, 0x4_004B_B912, 0xB105_900D));
}

#[test]
fn the_rom_table_of_a_g0_is_garbage_until_its_clock_runs_but_idcode_reads() {
    let mut rig = Rig::new("stm32g071");
    assert_eq!([rig.read(0xF000_0FE0), rig.read(0x4001_5800)], [0x9090_9090, 0x2000_6460]);
    rig.write_all(&[(0x4001_5804, 6), (0x4001_5808, 0x1800)]);
    assert_eq!([rig.read(0x4001_5804), rig.read(0x4001_5808)], [0, 0]);
    rig.write_all(&[(0x4002_103C, 1 << 27), (0x4001_5804, 6), (0x4001_5808, 0x1800)]);
    assert_eq!([rig.read(0x4001_5804), rig.read(0x4001_5808)], [6, 0x1800]);
    let mut found = Vec::new();
    walk(&mut rig, 0, 0xF000_0000, &mut found);
    assert_eq!(found[0], (0xF000_0000, 0x000A_0460, 0xB105_100D));
    let parts: Vec<u64> = found[1..].iter().map(|(_, pidr, _)| pidr & 0xFFF).collect();
    assert_eq!(parts, [0x4C0, 0x008, 0x00A, 0x00B]);
}

#[test]
fn every_chip_identifies_itself() {
    for (name, cpuid, id_at, id, size_at, kib) in [
        ("stm32h743", 0x411F_C271, 0x5C00_1000, 0x2003_6450, 0x1FF1_E880, 2048),
        ("stm32h745", 0x411F_C271, 0x5C00_1000, 0x2003_6450, 0x1FF1_E880, 2048),
        ("stm32h750", 0x411F_C271, 0x5C00_1000, 0x2003_6450, 0x1FF1_E880, 128),
        ("stm32h723", 0x411F_C272, 0x5C00_1000, 0x1001_6483, 0x1FF1_E880, 1024),
        ("stm32h7a3", 0x411F_C271, 0x5C00_1000, 0x1000_6480, 0x08FF_F80C, 2048),
        ("stm32g030", 0x410C_C601, 0x4001_5800, 0x1001_6466, 0x1FFF_75E0, 64),
        ("stm32g031", 0x410C_C601, 0x4001_5800, 0x1001_6466, 0x1FFF_75E0, 64),
        ("stm32g051", 0x410C_C601, 0x4001_5800, 0x1000_6456, 0x1FFF_75E0, 64),
        ("stm32g071", 0x410C_C601, 0x4001_5800, 0x2000_6460, 0x1FFF_75E0, 128),
        ("stm32g0b1", 0x410C_C601, 0x4001_5800, 0x1001_6467, 0x1FFF_75E0, 512),
        ("f1-like", 0x412F_C230, 0xE004_2000, 0x1018_6416, 0x1FF8_004C, 128),
    ] {
        let mut rig = Rig::new(name);
        assert_eq!([rig.read(0xE000_ED00), rig.read(id_at)], [cpuid, id], "{name}");
        assert_eq!(rig.chip.read(0, 0, size_at, Size::Half), Ok(kib), "{name}");
        let last = 0x0800_0000 + kib * 1024 - 4;
        assert_eq!(rig.read(last), u32::MAX, "{name}");
        let beyond = rig.try_read(last + 4);
        assert_eq!(beyond, Err(BusError::Fault), "{name}: no flash beyond");
    }
}

#[test]
fn ram_is_where_the_manual_has_it_and_ends_there() {
    const KIB: u32 = 1024;
    for (name, places) in [
        ("stm32h743", &[(0, 64), (0x2000_0000, 128), (0x2400_0000, 512), (0x3000_0000, 288), (0x3800_0000, 64)][..]),
        ("stm32h723", &[(0x2000_0000, 128), (0x2400_0000, 320), (0x3000_0000, 32), (0x3800_0000, 16)]),
        ("stm32h7a3", &[(0x2400_0000, 1024), (0x3000_0000, 128), (0x3800_0000, 32)]),
        ("stm32g030", &[(0x2000_0000, 8)]),
        ("stm32g051", &[(0x2000_0000, 18)]),
        ("stm32g071", &[(0x2000_0000, 36)]),
        ("stm32g0b1", &[(0x2000_0000, 144)]),
    ] {
        let mut rig = Rig::new(name);
        for (base, kib) in places {
            let last = base + kib * KIB - 4;
            rig.write_all(&[(*base, 0x1122_3344), (last, 0x5566_7788)]);
            assert_eq!([rig.read(*base), rig.read(last)], [0x1122_3344, 0x5566_7788], "{name} {base:#x}");
            assert_eq!(rig.chip.read(0, 0, last + 3, Size::Byte), Ok(0x55));
            assert_eq!(rig.try_read(last + 4), Err(BusError::Fault), "{name} {base:#x}");
        }
    }
}

#[test]
fn each_access_port_of_an_h7_sees_its_own_part() {
    let mut rig = Rig::new("stm32h743");
    rig.write_all(&[(0x2000_0000, 1), (0x2400_0000, 2)]);
    assert_eq!(read(&mut rig, 1, 0x2400_0000), Ok(2));
    for address in [0x2000_0000, 0, 0xE000_ED00] {
        assert_eq!(read(&mut rig, 1, address), Err(BusError::Fault), "{address:#x} is the core's own");
    }
    assert_eq!(read(&mut rig, 2, 0xE00E_1000), Ok(0x2003_6450));
    for address in [0x2400_0000, 0x5C00_1000, 0xE000_ED00] {
        assert_eq!(read(&mut rig, 2, address), Err(BusError::Fault), "AP2 sees the debug bus only");
    }
    assert_eq!(read(&mut rig, 0, 0xE00E_1000), Err(BusError::Fault));
    assert_eq!(read(&mut rig, 3, 0), Err(BusError::Fault), "there is no AP3");
    rig.chip.write(2, 0, 0xE00E_1004, Size::Word, 0x0060_0007).unwrap();
    assert_eq!(read(&mut rig, 0, 0x5C00_1004), Ok(0x0060_0007), "one register, two addresses");
    rig.write(0x5C00_4000, 3);
    assert_eq!(read(&mut rig, 2, 0xE00E_4000), Ok(3));
}

#[test]
fn under_nrst_an_h7_s_debug_bus_answers_and_its_memory_faults() {
    let mut rig = Rig::new("stm32h743");
    rig.chip.nrst(true);
    assert_eq!(read(&mut rig, 2, 0xE00E_1000), Ok(0x2003_6450));
    for address in [0x5C00_1000, 0x2400_0000, 0x0800_0000] {
        assert_eq!(rig.try_read(address), Err(BusError::Fault));
    }
    rig.chip.write(2, 0, 0xE00E_1004, Size::Word, 7).unwrap();
    rig.chip.nrst(false);
    assert_eq!(rig.read(0x5C00_1004), 7, "and DBGMCU survives the reset");
    let mut rig = Rig::new("stm32g071");
    rig.chip.nrst(true);
    assert_eq!([rig.read(0x4001_5800), rig.read(0xE000_ED00)], [0, 0x410C_C601]);
}

#[test]
fn reset_causes_add_up_until_they_are_removed() {
    let rsr = 0x5802_44D0;
    let mut rig = Rig::new("stm32h743");
    assert_eq!(rig.read(rsr), 0x00FA_0000);
    rig.write(rsr, 1 << 16);
    rig.write(0xE000_ED0C, 0x05FA_0004);
    assert_eq!([rig.read(rsr), rig.read(0x5802_4530)], [0x0142_0000; 2]);
    rig.write(rsr, 1 << 16);
    rig.chip.nrst(true);
    rig.chip.nrst(false);
    assert_eq!(rig.read(rsr), 0x0042_0000);
    let mut rig = Rig::new("stm32h7a3");
    assert_eq!(rig.read(0x5802_4530), 0x00E8_0000);
    let mut rig = Rig::new("stm32g071");
    assert_eq!(rig.read(0x4002_1060), 0x0C00_0000);
    rig.write_all(&[(0x4002_1060, 1 << 23), (0xE000_ED0C, 0x05FA_0004)]);
    assert_eq!(rig.read(0x4002_1060), 0x1400_0000);
}

#[test]
fn clocks_report_ready_and_the_supply_settles() {
    let mut rig = Rig::new("stm32h743");
    assert_eq!(rig.read(0x5802_4400), 0x25);
    rig.write(0x5802_4400, 0x0101_0001);
    assert_eq!(rig.read(0x5802_4400), 0x0303_0025);
    rig.write(0x5802_4410, 3);
    assert_eq!(rig.read(0x5802_4410), 0x1B);
    rig.write_all(&[(0x5802_480C, 2), (0x5802_4818, 0xC000)]);
    assert_eq!([rig.read(0x5802_4804), rig.read(0x5802_4818)], [0xE000, 0xE000]);
    let mut rig = Rig::new("stm32g071");
    assert_eq!([rig.read(0x4002_1000), rig.read(0x4002_1038)], [0x500, 0x100]);
    rig.write_all(&[(0x4002_100C, 0x3000_0802), (0x4002_1000, 0x0100_0500), (0x4002_1008, 2)]);
    assert_eq!([rig.read(0x4002_1000), rig.read(0x4002_1008)], [0x0300_0500, 0x12]);
}

#[test]
fn unmodelled_peripherals_read_zero_and_nothing_else_answers() {
    let mut rig = Rig::new("stm32h743");
    rig.write(0x4001_3000, 1);
    assert_eq!(rig.read(0x4001_3000), 0);
    for nowhere in [0x4100_0000, 0x6000_0000, 0x0900_0000, 0xE010_0000, 0xE004_5000] {
        assert_eq!(rig.try_read(nowhere), Err(BusError::Fault), "{nowhere:#x}");
        assert_eq!(rig.try_write(nowhere, 0), Err(BusError::Fault), "{nowhere:#x}");
        assert_eq!(rig.chip.peek(nowhere), None, "{nowhere:#x}");
        assert!(!rig.chip.poke(nowhere, 0), "{nowhere:#x}");
    }
    assert_eq!(rig.try_read(0x2400_0001), Err(BusError::Fault), "unaligned");
}

#[test]
fn ram_survives_a_reset_and_not_the_power() {
    let mut rig = Rig::new("stm32h743");
    rig.write(0x2400_0000, 0x1234_5678);
    rig.poke(0x0800_0000, 5);
    rig.write(0xE000_ED0C, 0x05FA_0004);
    assert_eq!(rig.read(0x2400_0000), 0x1234_5678);
    rig.chip.power_cycle();
    assert_ne!(rig.read(0x2400_0000), 0x1234_5678);
    assert_eq!(rig.read(0x0800_0000), 5);
}

#[test]
fn boot_pin_and_boot_addresses_choose_the_vector_table() {
    let mut rig = Rig::new("stm32h743");
    rig.chip.boot_pin = true;
    rig.write(0xE000_ED0C, 0x05FA_0004);
    assert_eq!([rig.read(0xE000_ED08), rig.chip.register(15)], [0x1FF0_9800, 0x1FF0_9900]);
    rig.chip.boot_pin = false;
    rig.poke(0x5200_2040, 0x1FF0_0810);
    rig.write(0xE000_ED0C, 0x05FA_0004);
    assert_eq!(rig.read(0xE000_ED08), 0x0810_0000);
}

#[test]
fn what_is_saved_comes_back_on_the_same_chip_only() {
    for row in CHIPS {
        let mut rig = Rig::new(row.name);
        rig.poke(0x0800_0040, 0x1234_5678);
        let saved = rig.chip.save();
        let mut other = Rig::new(row.name);
        other.pass(MS);
        other.chip.load(&saved).unwrap();
        assert_eq!(other.read(0x0800_0040), 0x1234_5678, "{}", row.name);
        assert_eq!(other.chip.load(&saved[..saved.len() - 1]).unwrap_err(), "the saved board is cut short");
        assert_eq!(other.chip.load(b"nonsense").unwrap_err(), "not a saved board");
        assert_eq!(other.read(0x0800_0040), 0x1234_5678, "a refused load changes nothing");
    }
    let mut rig = Rig::new("stm32h743");
    let optsr = rig.peek(0x5200_201C);
    rig.poke(0x5200_201C, optsr | 0xC);
    let saved = rig.chip.save();
    let mut other = Rig::new("stm32h743");
    other.chip.load(&saved).unwrap();
    assert_eq!(other.read(0x5200_201C), optsr | 0xC);
    let error = Rig::new("stm32g071").chip.load(&saved).unwrap_err();
    assert_eq!(error, "saved from stm32h743, this board is stm32g071");
}

#[test]
fn the_own_door_knows_no_rule() {
    let mut rig = Rig::new("stm32h743");
    rig.poke(0x0800_0000, 0x1234_5678);
    rig.poke(0x0800_0000, 0x8765_4321);
    assert_eq!(rig.read(0x0800_0000), 0x8765_4321, "as freshly programmed");
    rig.chip.nrst(true);
    assert_eq!(rig.peek(0x0800_0000), 0x8765_4321);
    assert_eq!(rig.peek(0xE000_ED00), 0x411F_C271);
    let dhcsr = rig.peek(0xE000_EDF0);
    assert_eq!(rig.peek(0xE000_EDF0), dhcsr, "peeking clears nothing");
    assert_eq!(rig.chip.peek_all(0x081F_FFF0, 64).len(), 16);
    assert_eq!(rig.chip.peek_all(0x5200_2000, 4).len(), 0, "registers are no memory");
    assert_eq!(rig.chip.poke_all(0x081F_FFF0, &[1; 64]), 16);
}
