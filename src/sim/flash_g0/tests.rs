//! The controller by raw register writes, as a driver would.

use super::super::chip::{BusError, Size};
use super::super::flash::Ecc;
use super::super::rig::{MS, Rig};

const ACR: u32 = 0x4002_2000;
const KEYR: u32 = 0x4002_2008;
const OPTKEYR: u32 = 0x4002_200C;
const SR: u32 = 0x4002_2010;
const CR: u32 = 0x4002_2014;
const ECCR: u32 = 0x4002_2018;
const OPTR: u32 = 0x4002_2020;
const PCROP1ASR: u32 = 0x4002_2024;
const PCROP1AER: u32 = 0x4002_2028;
const WRP1AR: u32 = 0x4002_202C;
const SECR: u32 = 0x4002_2080;
const FLASH: u32 = 0x0800_0000;
const PC: u32 = 15;

const PG: u32 = 1;
const PER: u32 = 2;
const MER1: u32 = 4;
const BKER: u32 = 1 << 13;
const MER2: u32 = 1 << 15;
const STRT: u32 = 1 << 16;
const OPTSTRT: u32 = 1 << 17;
const FSTPG: u32 = 1 << 18;
const OBL_LAUNCH: u32 = 1 << 27;
const PROGERR: u32 = 1 << 3;
const WRPERR: u32 = 1 << 4;
const PGAERR: u32 = 1 << 5;
const SIZERR: u32 = 1 << 6;
const PGSERR: u32 = 1 << 7;
const BSY1: u32 = 1 << 16;
const CFGBSY: u32 = 1 << 18;

fn unlocked(name: &str) -> Rig {
    let mut rig = Rig::new(name);
    unlock(&mut rig);
    rig
}

fn unlock(rig: &mut Rig) {
    rig.write_all(&[(KEYR, 0x4567_0123), (KEYR, 0xCDEF_89AB)]);
}

fn unlock_options(rig: &mut Rig) {
    rig.write_all(&[(OPTKEYR, 0x0819_2A3B), (OPTKEYR, 0x4C5D_6E7F)]);
}

/// Unlocks, changes an option, waits, and loads it.
fn change(rig: &mut Rig, register: u32, value: u32) {
    if rig.read(CR) >> 31 == 1 {
        unlock(rig);
    }
    unlock_options(rig);
    rig.write_all(&[(register, value), (CR, OPTSTRT)]);
    rig.pass(50 * MS);
    assert_eq!(rig.read(SR), 0);
    rig.write(CR, OBL_LAUNCH);
}

#[test]
fn a_double_word_takes_85_us() {
    let mut rig = unlocked("stm32g071");
    rig.write(CR, PG);
    rig.write(FLASH + 8, 0x1111);
    assert_eq!(rig.read(SR), CFGBSY, "half of it is there");
    rig.write(FLASH + 12, 0x2222);
    assert_eq!(rig.read(SR), BSY1 | CFGBSY);
    assert_eq!(rig.try_read(FLASH), Err(BusError::Busy { until: rig.now() + 85_000 }));
    assert_eq!(rig.try_write(CR, 0), Err(BusError::Busy { until: rig.now() + 85_000 }));
    rig.pass(85_000);
    assert_eq!([rig.read(SR), rig.read(FLASH + 8), rig.read(FLASH + 12), rig.read(FLASH)], [0, 0x1111, 0x2222, u32::MAX]);
}

#[test]
fn eop_is_set_only_with_its_interrupt_enabled() {
    let mut rig = unlocked("stm32g071");
    rig.write(CR, PG | 1 << 24);
    rig.store(FLASH, &[1, 2]);
    rig.pass(MS);
    assert_eq!(rig.read(SR), 1);
    rig.write(SR, 1);
    assert_eq!(rig.read(SR), 0);
}

#[test]
fn a_page_is_erased_in_22_ms_and_its_neighbours_stay() {
    let mut rig = unlocked("stm32g071");
    for page in [2, 3, 4] {
        rig.poke(FLASH + page * 2048, page);
        rig.poke(FLASH + page * 2048 + 2044, page);
    }
    rig.write(CR, PER | STRT | 3 << 3);
    assert_eq!([rig.read(CR), rig.read(SR)], [PER | STRT | 3 << 3 | 1 << 30, BSY1 | CFGBSY]);
    rig.pass(22 * MS);
    assert_eq!([rig.read(SR), rig.read(CR)], [CFGBSY, PER | 3 << 3 | 1 << 30], "CFGBSY falls last");
    assert_eq!(rig.try_write(FLASH, 1), Err(BusError::Fault), "and until then writing faults");
    rig.pass(MS);
    assert_eq!(rig.read(SR), 0);
    let words = [rig.read(FLASH + 4096 + 2044), rig.read(FLASH + 6144), rig.read(FLASH + 8188), rig.read(FLASH + 8192)];
    assert_eq!(words, [2, u32::MAX, u32::MAX, 4]);
}

#[test]
fn mass_erase_takes_one_bank_or_both() {
    let mut rig = unlocked("stm32g0b1");
    rig.poke(FLASH, 1);
    rig.poke(FLASH + 0x4_0000, 2);
    rig.write(CR, MER1 | STRT);
    assert_eq!(rig.read(FLASH + 0x4_0000), 2, "the other bank is free");
    rig.pass(23 * MS);
    assert_eq!([rig.read(FLASH), rig.read(FLASH + 0x4_0000)], [u32::MAX, 2]);
    rig.poke(FLASH, 1);
    rig.write(CR, MER1 | MER2 | STRT);
    assert_eq!(rig.read(SR) & 3 << 16, 3 << 16);
    rig.pass(23 * MS);
    assert_eq!([rig.read(FLASH), rig.read(FLASH + 0x4_0000)], [u32::MAX; 2]);
}

#[test]
fn bank_2_pages_count_from_0_or_256() {
    for number in [5, 256 + 5] {
        let mut rig = unlocked("stm32g0b1");
        rig.poke(FLASH + 5 * 2048, 1);
        rig.poke(FLASH + 0x4_0000 + 5 * 2048, 2);
        rig.write(CR, PER | STRT | BKER | number << 3);
        assert_eq!(rig.read(SR), 1 << 17 | CFGBSY, "BSY2");
        rig.pass(23 * MS);
        assert_eq!([rig.read(FLASH + 5 * 2048), rig.read(FLASH + 0x4_0000 + 5 * 2048)], [1, u32::MAX]);
    }
    let mut rig = unlocked("stm32g071");
    rig.write(CR, PER | STRT | 64 << 3);
    assert_eq!(rig.read(SR), PGSERR, "a G071 has 64 pages");
}

#[test]
fn what_is_written_cannot_be_written_again_except_with_zeros() {
    let mut rig = unlocked("stm32g071");
    rig.write(CR, PG);
    rig.store(FLASH, &[1, 2]);
    rig.pass(MS);
    rig.store(FLASH, &[1, 2]);
    assert_eq!(rig.read(SR), PROGERR);
    rig.write(SR, PROGERR);
    rig.store(FLASH, &[0, 0]);
    rig.pass(MS);
    assert_eq!([rig.read(SR), rig.read(FLASH)], [0, 0]);
    rig.store(FLASH + 8, &[u32::MAX; 2]);
    rig.pass(MS);
    rig.store(FLASH + 8, &[0, 0]);
    assert_eq!(rig.read(SR), PROGERR, "erratum 2.25: all ones is for good");
}

#[test]
fn sequence_size_and_alignment_errors_are_told_apart() {
    let mut rig = unlocked("stm32g071");
    rig.write(FLASH, 1);
    assert_eq!(rig.read(SR), PGSERR, "without PG");
    rig.write_all(&[(CR, PG), (FLASH, 1)]);
    assert_eq!(rig.read(SR), PGSERR, "with the error standing");
    rig.write(SR, 0xC3FA);
    rig.chip.write(0, 0, FLASH, Size::Half, 1).unwrap();
    assert_eq!(rig.read(SR), SIZERR);
    rig.write(SR, 0xC3FA);
    rig.write(FLASH + 4, 1);
    assert_eq!(rig.read(SR), PGAERR, "the upper half first");
    rig.write(SR, 0xC3FA);
    rig.store(FLASH, &[1]);
    rig.store(FLASH + 8, &[1]);
    assert_eq!(rig.read(SR), PGAERR, "not the other half");
    rig.write_all(&[(SR, 0xC3FA), (CR, PG | PER | STRT)]);
    assert_eq!(rig.read(SR), PGSERR, "PG and PER together");
    assert_eq!(rig.peek(FLASH), u32::MAX);
}

#[test]
fn a_locked_controller_ignores_cr_and_a_wrong_key_lasts_until_reset() {
    let mut rig = Rig::new("stm32g071");
    rig.write(CR, PER | STRT);
    assert_eq!([rig.read(CR), rig.read(SR)], [0xC000_0000, 0]);
    assert_eq!(rig.try_write(KEYR, 1), Err(BusError::Fault));
    assert_eq!(rig.try_write(KEYR, 0x4567_0123), Err(BusError::Fault));
    rig.chip.nrst(true);
    rig.chip.nrst(false);
    unlock(&mut rig);
    assert_eq!(rig.read(CR), 0x4000_0000);
    unlock_options(&mut rig);
    rig.write(CR, 1 << 31);
    assert_eq!(rig.read(CR), 0xC000_0000, "LOCK sets OPTLOCK too");
}

#[test]
fn a_row_goes_fast_only_in_the_page_erased_last_and_in_order() {
    let mut rig = unlocked("stm32g071");
    let row: Vec<u32> = (1..=64).collect();
    rig.write(CR, FSTPG);
    rig.write(FLASH, 1);
    assert_eq!(rig.read(SR), 0x2A0, "nothing was erased");
    rig.write_all(&[(SR, 0xC3FA), (CR, PER | STRT | 2 << 3)]);
    rig.pass(23 * MS);
    rig.write(CR, FSTPG);
    rig.store(FLASH + 4096, &row);
    assert_eq!(rig.read(SR), BSY1 | CFGBSY);
    rig.pass(1_700_000);
    assert_eq!([rig.read(SR), rig.read(FLASH + 4096), rig.read(FLASH + 4096 + 252)], [0, 1, 64]);
    rig.store(FLASH + 4096 + 256, &row);
    rig.pass(2 * MS);
    assert_eq!(rig.read(FLASH + 4096 + 256), 1);
    rig.write(FLASH + 4096 + 768, 1);
    assert_eq!(rig.read(SR), 0x2A0, "row 3 before row 2");
}

#[test]
fn a_row_that_comes_too_slowly_is_miserr() {
    let mut rig = unlocked("stm32g071");
    rig.write(CR, PER | STRT);
    rig.pass(23 * MS);
    rig.write(CR, FSTPG);
    rig.write(FLASH, 1);
    rig.pass(8 * MS);
    assert_eq!(rig.read(SR), 1 << 8 | 1 << 9);
}

#[test]
fn write_protected_pages_keep_their_contents() {
    let mut rig = Rig::new("stm32g071");
    rig.poke(FLASH + 2048, 7);
    change(&mut rig, WRP1AR, 2 << 16 | 1);
    unlock(&mut rig);
    rig.write(CR, PER | STRT | 1 << 3);
    assert_eq!(rig.read(SR), WRPERR);
    rig.write_all(&[(SR, WRPERR), (CR, MER1 | STRT)]);
    assert_eq!(rig.read(SR), WRPERR);
    rig.write_all(&[(SR, WRPERR), (CR, PG)]);
    rig.store(FLASH + 2056, &[1, 2]);
    assert_eq!([rig.read(SR), rig.read(FLASH + 2048)], [WRPERR, 7]);
    rig.write_all(&[(SR, WRPERR), (CR, PER | STRT | 3 << 3)]);
    rig.pass(23 * MS);
    assert_eq!(rig.read(SR), 0, "page 3 is free");
}

#[test]
fn a_pcrop_area_faults_with_rderr() {
    let mut rig = Rig::new("stm32g071");
    change(&mut rig, PCROP1ASR, 4);
    change(&mut rig, PCROP1AER, 5);
    assert_eq!(rig.try_read(FLASH + 2048), Err(BusError::Fault));
    assert_eq!([rig.read(SR), rig.read(FLASH + 2044)], [1 << 14, u32::MAX]);
}

#[test]
fn options_act_when_loaded_and_obl_launch_resets() {
    let mut rig = unlocked("stm32g071");
    let factory = rig.read(OPTR);
    assert_eq!(factory, 0xFFFF_FEAA);
    unlock_options(&mut rig);
    rig.write_all(&[(OPTR, factory & !(1 << 22)), (CR, OPTSTRT)]);
    assert_eq!(rig.read(SR) & BSY1, BSY1);
    rig.pass(50 * MS);
    assert_eq!(rig.read(OPTR), factory, "not yet loaded");
    assert_eq!(rig.read(0x1FFF_7800), factory & !(1 << 22), "but stored");
    assert!(rig.try_read(0x2000_8000).is_ok());
    rig.write(CR, OBL_LAUNCH);
    assert_eq!([rig.read(OPTR), rig.read(CR)], [factory & !(1 << 22), 0xC000_0000]);
    assert_eq!(rig.read(0x4002_1060) >> 25 & 1, 1, "OBLRSTF");
    assert_eq!(rig.try_read(0x2000_8000), Err(BusError::Fault), "with parity there are 32 KiB");
    assert_eq!(Rig::new("stm32g030").read(OPTR), 0xDFFF_E1AA);
}

#[test]
fn optkeyr_before_keyr_is_a_wrong_key() {
    let mut rig = Rig::new("stm32g071");
    assert_eq!(rig.try_write(OPTKEYR, 0x0819_2A3B), Err(BusError::Fault));
}

#[test]
fn read_protection_stops_the_debugger_and_going_back_erases() {
    let mut rig = Rig::new("stm32g071");
    rig.poke(FLASH, 5);
    change(&mut rig, OPTR, 0xFFFF_FEBB);
    assert_eq!(rig.try_read(FLASH), Err(BusError::Fault));
    assert!(rig.try_read(0x2000_0000).is_ok());
    change(&mut rig, OPTR, 0xFFFF_FEAA);
    assert_eq!([rig.read(FLASH), rig.read(OPTR)], [u32::MAX, 0xFFFF_FEAA]);
    change(&mut rig, OPTR, 0xFFFF_FECC);
    assert!(!rig.chip.debug_port(), "level 2");
}

#[test]
fn a_word_that_does_not_match_its_complement_is_optverr_and_protects() {
    let mut rig = Rig::new("stm32g071");
    assert!(rig.chip.poke(0x1FFF_7804, 0x12));
    rig.chip.power_cycle();
    assert_eq!([rig.read(SR) & 1 << 15, rig.read(OPTR), rig.read(SECR)], [1 << 15, 0xFFFF_FEFF, 1 << 16]);
    assert_eq!([rig.read(PCROP1ASR), rig.read(PCROP1AER), rig.read(WRP1AR)], [u32::MAX, u32::MAX, 0xFF], "PCROP everywhere");
    assert_eq!(rig.try_read(FLASH), Err(BusError::Fault));
    assert!(rig.chip.debug_port(), "so that it can be mended (RM0490 4.4.2)");
}

/// RM0490 4.5.1 to 4.5.6.
#[test]
fn pcrop_only_grows_and_goes_with_level_0_if_pcrop_rdp_says_so() {
    for together in [0, 1 << 31] {
        let mut rig = Rig::new("stm32g071");
        rig.poke(FLASH, 5);
        rig.poke(FLASH + 2048, 6);
        change(&mut rig, PCROP1ASR, 4);
        change(&mut rig, PCROP1AER, together | 7);
        for (register, value) in [(PCROP1AER, 6), (PCROP1ASR, 5), (PCROP1ASR, 0xFF)] {
            change(&mut rig, register, value);
            assert_eq!([rig.read(PCROP1ASR), rig.read(PCROP1AER)], [4, together | 7], "{register:#x}");
        }
        change(&mut rig, OPTR, 0xFFFF_FEBB);
        change(&mut rig, OPTR, 0xFFFF_FEAA);
        let (page, ends) = if together == 0 { (6, [4, 7]) } else { (u32::MAX, [u32::MAX, 0]) };
        assert_eq!([rig.peek(FLASH), rig.peek(FLASH + 2048)], [u32::MAX, page]);
        assert_eq!([rig.read(PCROP1ASR), rig.read(PCROP1AER)], ends);
    }
}

#[test]
fn boot_lock_goes_only_at_level_0_and_with_level_1_closes_the_debug_port() {
    let mut rig = Rig::new("stm32g071");
    change(&mut rig, SECR, 1 << 16);
    change(&mut rig, SECR, 0);
    assert_eq!(rig.read(SECR), 0);
    change(&mut rig, SECR, 1 << 16);
    assert!(rig.chip.debug_port());
    change(&mut rig, OPTR, 0xFFFF_FEBB);
    assert!(!rig.chip.debug_port());
    rig.chip.power_cycle();
    assert!(!rig.chip.debug_port());
    let mut rig = Rig::new("stm32g071");
    change(&mut rig, OPTR, 0xFFFF_FEBB);
    change(&mut rig, SECR, 1 << 16);
    assert!(!rig.chip.debug_port());
}

#[test]
fn poked_option_bytes_load_at_power_on() {
    let mut rig = Rig::new("stm32g071");
    assert!(rig.chip.poke(0x1FFF_7803, 0xFB));
    assert_eq!(rig.read(OPTR), 0xFFFF_FEAA);
    rig.chip.power_cycle();
    assert_eq!([rig.read(OPTR), rig.read(SR)], [0xFBFF_FEAA, 0]);
}

#[test]
fn empty_is_sampled_at_power_on_and_decides_what_boots() {
    let mut rig = Rig::new("stm32g071");
    assert_eq!(rig.read(ACR), 0x0005_0600);
    assert_eq!(rig.chip.register(PC), 0x1FFF_0100, "the ROM's loop");
    rig.poke(FLASH, 0x2000_1000);
    rig.poke(FLASH + 4, FLASH + 0x101);
    rig.chip.nrst(true);
    rig.chip.nrst(false);
    assert_eq!(rig.chip.register(PC), 0x1FFF_0100, "EMPTY is stale");
    rig.write(ACR, 0x0004_0600);
    rig.chip.nrst(true);
    rig.chip.nrst(false);
    assert_eq!([rig.chip.register(PC), rig.read(ACR)], [FLASH + 0x100, 0x0004_0600], "software cleared it");
    rig.poke(FLASH, u32::MAX);
    rig.chip.power_cycle();
    assert_eq!(rig.read(ACR), 0x0005_0600);
}

#[test]
fn boot_follows_the_option_bits_and_the_pin() {
    let (flash, rom, ram) = (FLASH + 0x100, 0x1FFF_0100, 0x2000_0200);
    for (optr, secr, pin, pc) in [
        (0xFFFF_FEAA, 0, true, flash),
        (0xFBFF_FEAA, 0, false, rom),
        (0xF9FF_FEAA, 0, false, ram),
        (0xF9FF_FEAA, 1 << 16, false, flash),
        (0xFEFF_FEAA, 0, true, rom),
        (0xFEFF_FEAA, 0, false, flash),
    ] {
        let mut rig = Rig::new("stm32g071");
        rig.poke(FLASH, 0x2000_1000);
        rig.poke(FLASH + 4, flash + 1);
        rig.poke(0x1FFF_7800, optr);
        rig.poke(0x1FFF_7870, secr);
        rig.chip.power_cycle();
        rig.poke(0x2000_0004, ram + 1);
        rig.chip.boot_pin = pin;
        rig.chip.nrst(true);
        rig.chip.nrst(false);
        assert_eq!(rig.chip.register(PC), pc, "OPTR = {optr:#x}, SECR = {secr:#x}, pin {pin}");
    }
}

#[test]
fn address_0_shows_what_boots_until_mem_mode_says_otherwise() {
    let mut rig = Rig::new("stm32g071");
    rig.write(0x2000_0000, 0x55);
    assert_eq!([rig.read(0x4001_0000) & 3, rig.read(4)], [1, 0x1FFF_0101]);
    assert_eq!(rig.try_read(0x7000), Err(BusError::Fault), "the ROM is 28 KiB");
    rig.write(0x4001_0000, 3);
    assert_eq!(rig.read(0), 0x55);
    rig.write(0x4001_0000, 0);
    assert_eq!(rig.read(0x1_FFFC), u32::MAX, "flash");
    assert_eq!(rig.try_read(0x2_0000), Err(BusError::Fault), "which is 128 KiB");
}

#[test]
fn a_plain_write_of_acr_cuts_the_debug_port_until_reset() {
    let mut rig = Rig::new("stm32g071");
    rig.write(ACR, 2);
    assert!(!rig.chip.debug_port());
    assert_eq!(rig.try_read(ACR), Err(BusError::Fault));
    rig.chip.nrst(true);
    rig.chip.nrst(false);
    assert!(rig.chip.debug_port());
}

#[test]
fn a_torn_double_word_reads_and_is_told_in_eccr() {
    let mut rig = unlocked("stm32g071");
    rig.write(CR, PG);
    rig.store(FLASH + 16, &[1, 2]);
    rig.chip.nrst(true);
    rig.chip.nrst(false);
    assert!(rig.try_read(FLASH + 16).is_ok());
    assert_eq!(rig.read(ECCR), 1 << 31 | 2);
    rig.write(ECCR, 1 << 31);
    assert_eq!(rig.read(ECCR) >> 31, 0);
    rig.chip.set_ecc(FLASH, Ecc::OneBit);
    rig.read(FLASH);
    assert_eq!(rig.read(ECCR) >> 30, 1);
}

#[test]
fn otp_takes_a_double_word_once_and_no_erase() {
    let mut rig = unlocked("stm32g071");
    rig.write(CR, PG);
    rig.store(0x1FFF_7000, &[1, 2]);
    rig.pass(MS);
    rig.write(CR, MER1 | STRT);
    rig.pass(30 * MS);
    assert_eq!([rig.read(0x1FFF_7000), rig.read(SR)], [1, 0]);
    rig.write(CR, PG);
    rig.store(0x1FFF_7000, &[3, 4]);
    assert_eq!(rig.read(SR), PROGERR);
}

#[test]
fn swapped_banks_change_places() {
    let mut rig = Rig::new("stm32g0b1");
    rig.poke(FLASH, 1);
    rig.poke(FLASH + 0x4_0000, 2);
    change(&mut rig, OPTR, 0xFFFF_FEAA & !(1 << 20));
    assert_eq!([rig.read(FLASH), rig.read(FLASH + 0x4_0000)], [2, 1]);
    let dump = rig.chip.peek_all(FLASH, 0x8_0000);
    assert_eq!((dump.len(), dump[0]), (0x4_0000, 2));
}

#[test]
fn low_voltage_is_operr() {
    let mut rig = unlocked("stm32g071");
    rig.chip.set_volts(1.6);
    rig.write(CR, PG);
    rig.store(FLASH, &[1, 2]);
    rig.pass(MS);
    assert_eq!(rig.read(SR), 1 << 1);
}

#[test]
fn the_report_names_lock_errors_and_options() {
    let mut rig = unlocked("stm32g071");
    rig.write(FLASH, 1);
    let report = rig.chip.flash_report();
    assert!(report[0].starts_with("flash: unlocked, idle, EMPTY, ACR = 0x00050600"), "{}", report[0]);
    assert!(report[0].ends_with("SR = 0x00000080 (PGSERR)"), "{}", report[0]);
    assert!(report[1].starts_with("options: locked, RDP level 0, OPTR = 0xfffffeaa"), "{}", report[1]);
}
