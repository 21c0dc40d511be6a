//! The controller by raw register writes, as a driver would.

use super::super::chip::{BusError, Size};
use super::super::flash::Ecc;
use super::super::rig::{MS, Rig};

const KEYR: u32 = 0x5200_2004;
const OPTKEYR: u32 = 0x5200_2008;
const CR: u32 = 0x5200_200C;
const SR: u32 = 0x5200_2010;
const CCR: u32 = 0x5200_2014;
const OPTCR: u32 = 0x5200_2018;
const OPTSR_CUR: u32 = 0x5200_201C;
const OPTSR_PRG: u32 = 0x5200_2020;
const WPSN_PRG: u32 = 0x5200_203C;
const PRAR_PRG: u32 = 0x5200_202C;
const SCAR_CUR: u32 = 0x5200_2030;
const SCAR_PRG: u32 = 0x5200_2034;
const ECC_FA: u32 = 0x5200_2060;
const BANK2: u32 = 0x100;
const FLASH: u32 = 0x0800_0000;
const UPPER: u32 = 0x0810_0000;
const WORD: [u32; 8] = [1, 2, 3, 4, 5, 6, 7, 8];

const EOP: u32 = 1 << 16;
const WRPERR: u32 = 1 << 17;
const PGSERR: u32 = 1 << 18;
const STRBERR: u32 = 1 << 19;
const INCERR: u32 = 1 << 21;
const OPERR: u32 = 1 << 22;
const RDPERR: u32 = 1 << 23;
const RDSERR: u32 = 1 << 24;
const SNECCERR: u32 = 1 << 25;
const DBECCERR: u32 = 1 << 26;

fn unlocked(name: &str) -> Rig {
    let mut rig = Rig::new(name);
    rig.write_all(&[(KEYR, 0x4567_0123), (KEYR, 0xCDEF_89AB)]);
    rig
}

fn unlock_options(rig: &mut Rig) {
    rig.write_all(&[(OPTKEYR, 0x0819_2A3B), (OPTKEYR, 0x4C5D_6E7F)]);
}

/// Programs an option register and waits.
fn change(rig: &mut Rig, writes: &[(u32, u32)]) {
    unlock_options(rig);
    rig.write_all(writes);
    rig.write(OPTCR, 2);
    assert_eq!(rig.read(OPTSR_CUR) & 1, 1, "OPT_BUSY");
    rig.pass(6_000 * MS);
    assert_eq!(rig.read(OPTSR_CUR) & 1, 0);
    rig.write(OPTCR, 1);
}

#[test]
fn a_flash_word_takes_its_time_by_psize_and_is_there_afterwards() {
    for (psize, time) in [(0, 290_000), (1, 180_000), (2, 130_000), (3, 100_000)] {
        let mut rig = unlocked("stm32h743");
        rig.write(CR, 0x02 | psize << 4);
        rig.store(FLASH + 0x40, &WORD[..7]);
        assert_eq!(rig.read(SR), 0x2, "WBNE while a word is partly there");
        rig.write(FLASH + 0x5C, 8);
        assert_eq!(rig.read(SR), 0x5, "BSY and QW");
        assert_eq!(rig.try_read(FLASH), Err(BusError::Busy { until: rig.now() + time }));
        rig.pass(time - 1);
        assert_eq!(rig.read(SR) & 5, 5);
        rig.pass(1);
        assert_eq!(rig.read(SR), EOP);
        assert_eq!([rig.read(FLASH + 0x3C), rig.read(FLASH + 0x40), rig.read(FLASH + 0x5C)], [u32::MAX, 1, 8]);
    }
}

#[test]
fn one_word_runs_one_waits_and_the_next_stalls_the_bus() {
    let mut rig = unlocked("stm32h743");
    rig.write(CR, 0x32);
    rig.store(FLASH, &WORD);
    rig.store(FLASH + 32, &WORD);
    assert_eq!(rig.try_write(FLASH + 64, 1), Err(BusError::Busy { until: 100_000 }));
    assert_eq!(rig.read(UPPER), u32::MAX, "the other bank is free");
    rig.pass(100_000);
    rig.store(FLASH + 64, &WORD);
    rig.pass(100_000);
    assert_eq!(rig.read(SR) & 5, 5);
    rig.pass(100_000);
    assert_eq!([rig.read(SR), rig.read(FLASH + 32), rig.read(FLASH + 64)], [EOP, 1, 1]);
}

#[test]
fn bytes_and_half_words_fill_a_flash_word_too() {
    let mut rig = unlocked("stm32h743");
    rig.write(CR, 0x32);
    rig.chip.write(0, 0, FLASH, Size::Byte, 0x11).unwrap();
    rig.chip.write(0, 0, FLASH + 1, Size::Byte, 0x22).unwrap();
    rig.chip.write(0, 0, FLASH + 2, Size::Half, 0x4433).unwrap();
    rig.store(FLASH + 4, &WORD[1..]);
    rig.pass(MS);
    assert_eq!(rig.read(FLASH), 0x4433_2211);
    assert_eq!(rig.chip.read(0, 0, FLASH + 2, Size::Half), Ok(0x4433));
    assert_eq!(rig.chip.read(0, 0, FLASH + 1, Size::Half), Err(BusError::Fault), "unaligned");
}

#[test]
fn a_forced_write_fills_up_with_ones_and_does_nothing_without_data() {
    let mut rig = unlocked("stm32h743");
    rig.write(CR, 0x72);
    assert_eq!([rig.read(SR), rig.read(CR)], [0, 0x32]);
    rig.store(FLASH, &WORD[..2]);
    rig.write(CR, 0x72);
    assert_eq!([rig.read(SR), rig.read(CR)], [5, 0x32], "FW clears itself");
    rig.pass(MS);
    assert_eq!([rig.read(FLASH + 4), rig.read(FLASH + 8)], [2, u32::MAX]);
}

#[test]
fn a_sector_and_a_bank_are_erased_in_their_times_and_nothing_else() {
    let mut rig = unlocked("stm32h743");
    for sector in 0..8 {
        rig.poke(FLASH + sector * 0x2_0000, sector);
        rig.poke(FLASH + sector * 0x2_0000 + 0x1_FFFC, sector);
    }
    rig.write(CR, 0x34 | 2 << 8);
    rig.write(CR, 0xB4 | 2 << 8);
    assert_eq!(rig.read(CR), 0x34 | 2 << 8, "START clears itself");
    rig.pass(999 * MS);
    assert_eq!(rig.read(SR) & 4, 4);
    rig.pass(MS);
    assert_eq!(rig.read(SR), EOP);
    assert_eq!([rig.read(FLASH + 0x4_0000), rig.read(FLASH + 0x5_FFFC)], [u32::MAX; 2]);
    assert_eq!([rig.read(FLASH + 0x3_FFFC), rig.read(FLASH + 0x6_0000)], [1, 3]);
    rig.write(CR, 0x08 | 0x80);
    rig.pass(12_999 * MS);
    assert_eq!(rig.read(SR) & 1, 1, "x8 takes 13 s");
    rig.pass(MS);
    assert_eq!([rig.read(FLASH), rig.read(FLASH + 0xF_FFFC)], [u32::MAX; 2]);
}

#[test]
fn both_banks_erase_at_once_each_by_its_own_control_register() {
    let mut rig = unlocked("stm32h743");
    rig.poke(FLASH, 0);
    rig.poke(UPPER, 0);
    rig.write_all(&[(KEYR + BANK2, 0x4567_0123), (KEYR + BANK2, 0xCDEF_89AB)]);
    rig.write_all(&[(CR, 0xB4), (CR + BANK2, 0xB4)]);
    rig.pass(1_000 * MS);
    assert_eq!([rig.read(FLASH), rig.read(UPPER)], [u32::MAX; 2]);
}

#[test]
fn mass_erase_needs_all_three_locks_open() {
    let mut rig = unlocked("stm32h743");
    rig.poke(FLASH, 0);
    rig.poke(UPPER, 0);
    rig.write(OPTCR, 1 << 4);
    assert_eq!(rig.read(SR), 0, "OPTCR is locked");
    unlock_options(&mut rig);
    rig.write(OPTCR, 1 << 4);
    assert_eq!(rig.read(SR + BANK2), WRPERR, "CR2 is locked");
    rig.pass(5_000 * MS);
    assert_eq!([rig.read(FLASH), rig.read(UPPER)], [u32::MAX, 0]);
    rig.write_all(&[(CCR + BANK2, WRPERR), (KEYR + BANK2, 0x4567_0123), (KEYR + BANK2, 0xCDEF_89AB)]);
    rig.write(OPTCR, 1 << 4);
    rig.pass(5_000 * MS);
    assert_eq!(rig.read(UPPER), u32::MAX);
}

#[test]
fn keys_open_cr_and_a_wrong_one_shuts_it_until_reset() {
    let mut rig = Rig::new("stm32h743");
    assert_eq!(rig.read(CR), 0x31);
    rig.write(CR, 0x32);
    assert_eq!(rig.read(CR), 0x31, "locked");
    rig.write(KEYR, 0x4567_0123);
    assert_eq!(rig.try_write(KEYR, 0x1234_5678), Err(BusError::Fault));
    assert_eq!(rig.try_write(KEYR, 0x4567_0123), Err(BusError::Fault));
    assert_eq!(rig.read(CR) & 1, 1);
    rig.chip.nrst(true);
    rig.chip.nrst(false);
    rig.write_all(&[(KEYR, 0x4567_0123), (KEYR, 0xCDEF_89AB)]);
    assert_eq!(rig.read(CR), 0x30);
    rig.write(CR, 1);
    assert_eq!(rig.read(CR) & 1, 1);
}

#[test]
fn writing_while_locked_is_wrperr_and_without_pg_pgserr() {
    let mut rig = Rig::new("stm32h743");
    rig.write(FLASH, 1);
    assert_eq!(rig.read(SR), WRPERR);
    let mut rig = unlocked("stm32h743");
    rig.write(FLASH, 1);
    assert_eq!(rig.read(SR), PGSERR);
    rig.write(CR, 0x32);
    rig.store(FLASH, &WORD);
    assert_eq!(rig.read(SR), PGSERR, "refused until the flag is cleared");
    rig.write(CCR, PGSERR);
    rig.store(FLASH, &WORD);
    rig.pass(MS);
    assert_eq!([rig.read(SR), rig.read(FLASH)], [EOP, 1]);
}

#[test]
fn start_without_an_erase_bit_or_with_pg_or_while_busy_is_pgserr() {
    for cr in [0x80, 0x82, 0x86] {
        let mut rig = unlocked("stm32h743");
        rig.write(CR, cr);
        assert_eq!(rig.read(SR), PGSERR, "CR = {cr:#x}");
    }
    let mut rig = unlocked("stm32h743");
    rig.write_all(&[(CR, 0xB4), (CR, 0xB4 | 1 << 8)]);
    assert_eq!(rig.read(SR), PGSERR | 5);
    let mut rig = unlocked("stm32h750");
    rig.write(CR, 0xB4 | 1 << 8);
    assert_eq!(rig.read(SR), PGSERR, "there is no sector 1");
}

#[test]
fn the_same_byte_twice_is_strberr_and_another_word_incerr() {
    let mut rig = unlocked("stm32h743");
    rig.write(CR, 0x32);
    rig.store(FLASH, &[1]);
    rig.store(FLASH, &[1]);
    assert_eq!(rig.read(SR), STRBERR, "and the buffer is empty");
    rig.write(CCR, STRBERR);
    rig.store(FLASH, &[1]);
    rig.store(FLASH + 32, &[1]);
    assert_eq!(rig.read(SR), INCERR);
}

#[test]
fn a_second_different_value_breaks_the_word_and_zeros_mend_it() {
    let mut rig = unlocked("stm32h743");
    rig.write(CR, 0x32);
    for words in [&WORD, &WORD, &[9; 8]] {
        rig.store(FLASH + 64, words);
        rig.pass(MS);
    }
    assert_eq!(rig.try_read(FLASH + 64), Err(BusError::Fault));
    assert_eq!([rig.read(SR), rig.read(ECC_FA)], [EOP | DBECCERR, 2]);
    assert_eq!(rig.read(FLASH + 32), u32::MAX);
    rig.write(CCR, DBECCERR);
    rig.store(FLASH + 64, &[0; 8]);
    rig.pass(MS);
    assert_eq!([rig.read(FLASH + 64), rig.read(SR)], [0, EOP]);
}

#[test]
fn a_flipped_bit_reads_right_and_is_told() {
    let mut rig = Rig::new("stm32h743");
    rig.poke(UPPER + 96, 7);
    assert!(rig.chip.set_ecc(UPPER + 96, Ecc::OneBit));
    assert_eq!([rig.read(UPPER + 96), rig.read(SR + BANK2), rig.read(ECC_FA + BANK2)], [7, SNECCERR, 3]);
    assert_eq!(rig.read(SR), 0);
}

#[test]
fn a_reset_in_the_middle_leaves_torn_cells() {
    let mut rig = unlocked("stm32h743");
    rig.write(CR, 0x32);
    rig.store(FLASH + 32, &WORD);
    rig.pass(50_000);
    rig.chip.nrst(true);
    rig.chip.nrst(false);
    assert_eq!(rig.try_read(FLASH + 32), Err(BusError::Fault));
    assert_eq!([rig.read(SR), rig.read(FLASH + 64)], [DBECCERR, u32::MAX]);
}

#[test]
fn x64_below_1v8_is_operr() {
    let mut rig = unlocked("stm32h743");
    // The core would look for its vectors in the torn word, and DBECCERR would tell.
    rig.write(0xE000_EDF0, 0xA05F_0003);
    rig.chip.set_volts(1.7);
    rig.write(CR, 0x32);
    rig.store(FLASH, &WORD);
    rig.pass(MS);
    assert_eq!(rig.read(SR), OPERR);
    assert_eq!(rig.try_read(FLASH), Err(BusError::Fault));
    rig.write_all(&[(CCR, OPERR), (CR, 0x22)]);
    rig.store(FLASH + 32, &WORD);
    rig.pass(MS);
    assert_eq!(rig.read(FLASH + 32), 1);
}

#[test]
fn a_protected_sector_keeps_its_contents() {
    let mut rig = unlocked("stm32h743");
    rig.poke(FLASH + 0x2_0000, 5);
    change(&mut rig, &[(WPSN_PRG, 0xFD)]);
    rig.write(CR, 0xB4 | 1 << 8);
    assert_eq!(rig.read(SR), WRPERR);
    rig.write_all(&[(CCR, WRPERR), (CR, 0xB8)]);
    assert_eq!(rig.read(SR), WRPERR, "nor is the bank erased");
    rig.write_all(&[(CCR, WRPERR), (CR, 0x32)]);
    rig.write(FLASH + 0x2_0020, 1);
    assert_eq!([rig.read(SR), rig.read(FLASH + 0x2_0000)], [WRPERR, 5]);
}

#[test]
fn pcrop_and_secure_areas_fault_with_their_flag() {
    let mut rig = Rig::new("stm32h743");
    change(&mut rig, &[(PRAR_PRG, 2 << 16 | 1)]);
    assert_eq!(rig.try_read(FLASH + 0x100), Err(BusError::Fault));
    assert_eq!([rig.read(SR), rig.read(FLASH), rig.read(FLASH + 0x300)], [RDPERR, u32::MAX, u32::MAX]);
    let mut rig = Rig::new("stm32h743");
    rig.poke(SCAR_CUR, 2 << 16 | 1);
    assert_eq!(rig.read(FLASH + 0x100), u32::MAX, "SECURITY is off");
    let optsr = rig.read(OPTSR_PRG);
    change(&mut rig, &[(OPTSR_PRG, optsr | 1 << 21)]);
    assert_eq!(rig.try_read(FLASH + 0x2FC), Err(BusError::Fault));
    assert_eq!(rig.read(SR), RDSERR);
}

#[test]
fn options_change_only_unlocked_and_when_the_change_has_ended() {
    let mut rig = Rig::new("stm32h743");
    let factory = rig.read(OPTSR_CUR);
    rig.write(OPTSR_PRG, factory | 0xC);
    assert_eq!(rig.read(OPTSR_PRG), factory, "locked");
    unlock_options(&mut rig);
    rig.write(OPTSR_PRG, factory | 0xC);
    assert_eq!([rig.read(OPTSR_PRG), rig.read(OPTSR_CUR)], [factory | 0xC, factory]);
    rig.write(OPTCR, 2);
    assert_eq!(rig.read(OPTSR_CUR), factory | 1);
    rig.pass(20 * MS);
    assert_eq!(rig.read(OPTSR_CUR), factory | 0xC);
    rig.chip.power_cycle();
    assert_eq!([rig.read(OPTSR_CUR), rig.read(OPTCR)], [factory | 0xC, 1]);
    assert_eq!(rig.try_write(OPTKEYR + BANK2, 1), Err(BusError::Fault), "the same register in both banks");
    assert_eq!(rig.try_write(OPTKEYR, 0x0819_2A3B), Err(BusError::Fault));
}

#[test]
fn read_protection_stops_the_debugger_and_going_back_erases() {
    let mut rig = Rig::new("stm32h743");
    rig.poke(FLASH, 5);
    rig.poke(UPPER, 6);
    let optsr = rig.read(OPTSR_CUR);
    change(&mut rig, &[(OPTSR_PRG, optsr & !0xFF00 | 0x5500)]);
    assert_eq!(rig.try_read(FLASH), Err(BusError::Fault));
    assert_eq!(rig.try_write(FLASH, 0), Err(BusError::Fault));
    assert!(rig.try_read(0x2400_0000).is_ok(), "RAM stays open");
    assert_eq!(rig.peek(FLASH), 5);
    change(&mut rig, &[(OPTSR_PRG, optsr)]);
    assert_eq!([rig.read(FLASH), rig.read(UPPER), rig.read(OPTSR_CUR)], [u32::MAX, u32::MAX, optsr]);
}

#[test]
fn level_2_is_for_ever_and_closes_the_debug_port_at_the_next_reset() {
    let mut rig = Rig::new("stm32h743");
    let optsr = rig.read(OPTSR_CUR);
    change(&mut rig, &[(OPTSR_PRG, optsr & !0xFF00 | 0xCC00)]);
    unlock_options(&mut rig);
    rig.write_all(&[(OPTSR_PRG, optsr), (OPTCR, 2)]);
    assert_eq!(rig.read(OPTSR_CUR) >> 30 & 1, 1, "OPTCHANGEERR");
    rig.write(0x5200_2024, 1 << 30);
    assert_eq!(rig.read(OPTSR_CUR) >> 30 & 1, 0);
    assert!(rig.chip.debug_port());
    rig.chip.power_cycle();
    assert!(!rig.chip.debug_port());
    assert_eq!(rig.try_read(0x2400_0000), Err(BusError::Fault));
}

/// RM0399 4.4.3, "Changing security option bytes".
#[test]
fn areas_only_grow_and_secure_ones_are_not_the_debuggers() {
    let mut rig = Rig::new("stm32h743");
    let refused = |rig: &mut Rig, writes: &[(u32, u32)]| {
        unlock_options(rig);
        rig.write_all(writes);
        rig.write(OPTCR, 2);
        assert_eq!(rig.read(OPTSR_CUR) >> 30 & 1, 1, "{writes:x?}");
        assert_eq!(rig.read(writes[0].0), writes[0].1, "what was asked for stays to be looked at");
        rig.write_all(&[(0x5200_2024, 1 << 30), (OPTCR, 1)]);
        rig.chip.nrst(true);
        rig.chip.nrst(false);
    };
    change(&mut rig, &[(PRAR_PRG, 0x21 << 16 | 0x10)]);
    change(&mut rig, &[(PRAR_PRG, 1 << 31 | 0x21 << 16 | 0xF)]);
    for smaller in [1 << 31 | 0x20 << 16 | 0xF, 1 << 31 | 0x21 << 16 | 0x10, 1 << 31 | 0xFF, 0x21 << 16 | 0xF] {
        refused(&mut rig, &[(PRAR_PRG, smaller)]);
    }
    refused(&mut rig, &[(SCAR_PRG, 2 << 16 | 1)]);
    let optsr = rig.read(OPTSR_CUR);
    change(&mut rig, &[(OPTSR_PRG, optsr | 1 << 21)]);
    refused(&mut rig, &[(OPTSR_PRG, optsr)]);
    assert_eq!(rig.read(0x5200_2028), 1 << 31 | 0x21 << 16 | 0xF);
}

#[test]
fn going_back_to_level_0_keeps_the_sectors_of_an_area_unless_dmep_is_set() {
    for dmep in [0, 1 << 31] {
        let mut rig = Rig::new("stm32h743");
        let optsr = rig.read(OPTSR_CUR);
        for place in [FLASH, FLASH + 0x2_0000, UPPER] {
            rig.poke(place, 5);
        }
        change(&mut rig, &[(PRAR_PRG, dmep | 0x21 << 16 | 0x10)]);
        change(&mut rig, &[(OPTSR_PRG, optsr & !0xFF00 | 0x5500)]);
        change(&mut rig, &[(OPTSR_PRG, optsr)]);
        let kept = if dmep == 0 { 5 } else { u32::MAX };
        assert_eq!([rig.peek(FLASH), rig.peek(FLASH + 0x2_0000), rig.peek(UPPER)], [kept, u32::MAX, u32::MAX]);
        assert_eq!(rig.read(0x5200_2028), dmep | 0x21 << 16 | 0x10, "areas go only if their ends are changed");
    }
}

#[test]
fn at_level_2_the_banks_can_still_be_swapped() {
    let mut rig = Rig::new("stm32h743");
    let optsr = rig.read(OPTSR_CUR) & !0xFF00 | 0xCC00;
    change(&mut rig, &[(OPTSR_PRG, optsr)]);
    change(&mut rig, &[(OPTSR_PRG, optsr | 1 << 31)]);
    assert_eq!(rig.read(OPTSR_CUR), optsr | 1 << 31);
}

#[test]
fn banks_swap_at_the_next_reset_and_their_registers_with_them() {
    let mut rig = Rig::new("stm32h743");
    rig.poke(FLASH, 1);
    rig.poke(UPPER, 2);
    let optsr = rig.read(OPTSR_CUR);
    change(&mut rig, &[(OPTSR_PRG, optsr | 1 << 31)]);
    assert_eq!([rig.read(FLASH), rig.read(OPTCR)], [1, 1]);
    rig.chip.nrst(true);
    rig.chip.nrst(false);
    assert_eq!([rig.read(FLASH), rig.read(UPPER), rig.read(OPTCR)], [2, 1, 1 << 31 | 1]);
    rig.write_all(&[(KEYR, 0x4567_0123), (KEYR, 0xCDEF_89AB), (CR, 0xB4)]);
    rig.pass(1_000 * MS);
    assert_eq!([rig.read(FLASH), rig.read(UPPER)], [u32::MAX, 1]);
}

#[test]
fn the_crc_unit_sums_addresses_sectors_and_banks() {
    const CRCCR: u32 = 0x5200_2050;
    let mut rig = unlocked("stm32h743");
    (0..32).for_each(|word| rig.poke(FLASH + 4 * word, 0));
    rig.write_all(&[(CR, 1 << 15), (0x5200_2054, 0), (0x5200_2058, 0x7C), (CRCCR, 1 << 17), (CRCCR, 1 << 16)]);
    assert_eq!(rig.read(SR), 1 << 3);
    rig.pass(MS);
    assert_eq!([rig.read(SR), rig.read(0x5200_205C)], [1 << 27, 0x11E6_6C62]);
    rig.write_all(&[(CRCCR, 1 << 17 | 1 << 10), (CRCCR, 1 << 8 | 1 << 9 | 1), (CRCCR, 1 << 8 | 1 << 16)]);
    rig.pass(10 * MS);
    let sector = rig.read(0x5200_205C);
    rig.write_all(&[(CRCCR, 1 << 17), (0x5200_2054, 0x2_0000), (0x5200_2058, 0x3_FFFC), (CRCCR, 3 << 20 | 1 << 16)]);
    rig.pass(10 * MS);
    assert_eq!(rig.read(0x5200_205C), sector, "sector 1 by its addresses");
}

#[test]
fn h7a3_has_small_sectors_short_words_and_its_own_bits() {
    let mut rig = unlocked("stm32h7a3");
    assert_eq!(rig.read(CR), 0);
    rig.poke(UPPER + 0xF_E000, 1);
    rig.poke(FLASH + 127 * 0x2000, 1);
    rig.poke(FLASH + 126 * 0x2000, 1);
    rig.write(CR, 0x24 | 127 << 6);
    rig.pass(2 * MS);
    let words = [rig.read(FLASH + 127 * 0x2000), rig.read(FLASH + 126 * 0x2000), rig.read(UPPER + 0xF_E000)];
    assert_eq!(words, [u32::MAX, 1, 1]);
    rig.write_all(&[(CCR, EOP), (CR, 2)]);
    rig.store(FLASH + 16, &WORD[..4]);
    assert_eq!(rig.read(SR), 5);
    rig.pass(20_000);
    assert_eq!([rig.read(SR), rig.read(FLASH + 28), rig.read(FLASH + 32)], [EOP, 4, u32::MAX]);
    rig.write(FLASH + 32, 1);
    rig.write(CR, 0x12);
    rig.pass(20_000);
    assert_eq!([rig.read(FLASH + 32), rig.read(FLASH + 36)], [1, u32::MAX], "FW is bit 4");
}

#[test]
fn h7a3_has_no_operr() {
    let mut rig = unlocked("stm32h7a3");
    rig.chip.set_volts(1.7);
    rig.write(CR, 2);
    rig.store(FLASH, &WORD[..4]);
    rig.pass(MS);
    assert_eq!([rig.read(SR), rig.read(FLASH)], [EOP, 1]);
}

#[test]
fn otp_takes_half_words_once_and_only_with_pg_otp() {
    let mut rig = Rig::new("stm32h7a3");
    rig.chip.write(0, 0, 0x08FF_F000, Size::Half, 0x1234).unwrap();
    assert_eq!(rig.read(SR), PGSERR);
    rig.write(CCR, PGSERR);
    unlock_options(&mut rig);
    rig.write(OPTCR, 1 << 5);
    rig.chip.write(0, 0, 0x08FF_F002, Size::Half, 0x1234).unwrap();
    rig.pass(MS);
    assert_eq!(rig.read(0x08FF_F000), 0x1234_FFFF);
}

#[test]
fn dies_with_one_bank_have_no_second_set_of_registers() {
    let mut rig = Rig::new("stm32h723");
    assert_eq!([rig.read(CR), rig.read(CR + BANK2), rig.read(0x5200_2070)], [0x31, 0, 0]);
    assert_eq!(rig.read(FLASH + 0xF_FFFC), u32::MAX);
    assert_eq!(rig.try_read(UPPER), Err(BusError::Fault));
    assert_eq!(Rig::new("stm32h750").try_read(FLASH + 0x2_0000), Err(BusError::Fault));
}

#[test]
fn the_report_names_lock_time_errors_and_options() {
    let mut rig = unlocked("stm32h743");
    rig.write(FLASH, 1);
    rig.write_all(&[(CCR, PGSERR), (CR, 0xB4)]);
    rig.write(FLASH + 4, 1);
    let report = rig.chip.flash_report();
    assert!(report[0].starts_with("bank 1: unlocked, busy until 1.000000 s, PSIZE x64"), "{}", report[0]);
    assert!(report[0].ends_with("(BSY|QW|PGSERR)"), "{}", report[0]);
    assert!(report[1].starts_with("bank 2: locked, idle"), "{}", report[1]);
    assert_eq!(report[2], "options: locked, RDP level 0, OPTSR = 0x1006aaf0, BOOT = 0x1ff00800");
}
