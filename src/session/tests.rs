use super::*;
use crate::cortex_m::fake::{Chip, Fake};
use crate::error::Kind;
use crate::event::{Event, Heard};
use crate::image::{Format, Image, Segment};

const PC: u32 = 0x0800_0100;
const CR: u32 = 0xE00E_1004;
const FREEZE: u32 = 0xE00E_103C;

/// Toy families with the shapes of the real files: a split pair of banks, a single one, banks told apart by a word.
const TARGET: &str = r#"
name = "toy"
manuals = []
driver = "stm32h7"
dpidr = 0x6BA02477
khz = 4000
sim_chip = "none"
reset = { hold_ms = 10, settle_ms = 20 }
idcode = [{ ap = 2, address = 0xE00E1000, section = "" }, { ap = 0, address = 0x5C001000, section = "" }]
attach = [
  { name = "CR", ap = 2, address = 0xE00E1004, mask = 0x700007, value = 0x600007, section = "" },
  { name = "FREEZE", ap = 2, address = 0xE00E103C, mask = 0x40, value = 0x40, section = "", dev_ids = [0x450] },
]

[[core]]
name = "cpu0"
ap = 0
part = 0xC27
csw = 0xAA000000
work_area = { address = 0x20000000, size = 0x20000 }

[[core]]
name = "cpu1"
ap = 3
part = 0xC24
csw = 0xA2000000
work_area = { address = 0x38000000, size = 0x10000 }

[[die]]
name = "small"
dev_id = 0x450
when = [{ flash_kib = 128 }]
flash_size = { ap = 0, address = 0x1FF1E880, max_kib = 128, section = "" }
layout = "one"
ram = [{ name = "AXI", address = 0x24000000, size = 0x80000 }]
bank = [{ name = "bank 1", address = 0x08000000, share = 1, sector = 0x20000, word = 32, registers = 0x52002000, section = "" }]

[[die]]
name = "large"
dev_id = 0x450
cores = 2
flash_size = { ap = 0, address = 0x1FF1E880, max_kib = 2048, section = "" }
layout = "two"
ram = [{ name = "AXI", address = 0x24000000, size = 0x80000 }]
bank = [
  { name = "bank 1", address = 0x08000000, share = 2, sector = 0x20000, word = 32, registers = 0x52002000, section = "" },
  { name = "bank 2", address = 0x08100000, share = 2, sector = 0x20000, word = 32, registers = 0x52002100, section = "" },
]

[[die]]
name = "dual"
dev_id = 0x467
when = [{ word = { ap = 0, address = 0x1FFF7500, mask = 0x02000000, value = 0x02000000 } }]
flash_size = { ap = 0, address = 0x1FFF75E0, max_kib = 512, section = "" }
layout = "g0"
ram = [{ name = "SRAM", address = 0x20000000, size = 0x20000 }]
bank = [
  { name = "bank 1", address = 0x08000000, share = 2, sector = 0x800, word = 8, registers = 0x40022000, section = "" },
  { name = "bank 2", share = 2, sector = 0x800, word = 8, registers = 0x40022000, section = "" },
]
"#;

fn target() -> Rc<Target> {
    Rc::new(toml::from_str(TARGET).expect("the toy target parses"))
}

/// A chip of the toy family with this much flash, its DBGMCU behind AP2.
fn chip(dev_id: u32, kib: u32) -> Chip {
    let mut chip = Chip::m7();
    chip.mapped.extend([(2, 0xE00E_1000, 0xE00E_1FFF), (0, 0x1FF1_E880, 0x1FF1_E883), (0, 0x1FFF_7500, 0x1FFF_75E3)]);
    chip.idr.insert(2, 0x5477_0002);
    chip.words.extend([((2, 0xE00E_1000), 0x2003_6000 | dev_id), ((2, CR), 0x0000_0001), ((2, FREEZE), 0x8000_0000)]);
    chip.words.extend([((0, 0x1FF1_E880), 0xABCD_0000 | kib), ((0, 0x1FFF_75E0), 0xFFFF_0000 | kib), ((0, 0x1FFF_7500), 0x0300_0000)]);
    chip.words.extend([((0, 0x0800_0000), 0x2002_0000), ((0, 0x0800_0004), PC | 1)]);
    chip.poke(0xE000_ED08, 0x0800_0000);
    chip.regs.insert(15, 0x0800_0ABC);
    chip
}

fn attach_to(fake: &Fake, under_reset: bool) -> Result<Session> {
    let options = AttachOptions { khz: None, exact: false, under_reset };
    Session::attach(Box::new(fake.clone()), target(), &options, Ears::none())
}

fn attached(chip: Chip) -> (Session, Fake) {
    let fake = Fake::new(chip);
    let session = attach_to(&fake, false).expect("it attaches");
    (session, fake)
}

fn error_of(chip: Chip) -> (Error, Fake) {
    let fake = Fake::new(chip);
    let error = attach_to(&fake, false).err().expect("this chip is refused");
    (error, fake)
}

fn spans(session: &Session) -> Vec<(u32, u32)> {
    session.banks.iter().map(|bank| (bank.address, bank.size / 1024)).collect()
}

#[test]
fn attach_neither_halts_nor_resets_and_writes_only_the_target_files_list() {
    let (session, fake) = attached(chip(0x450, 2048));
    assert_eq!((session.die.name.as_str(), session.dev_id, session.rev_id, session.khz), ("large", 0x450, 0x2003, 4000));
    assert_eq!(session.core_names(), ["cpu0", "cpu1"]);
    let chip = fake.chip.borrow();
    assert_eq!(chip.writes, [(CR, 0x0060_0007), (FREEZE, 0x8000_0040)]);
    assert_eq!((chip.halted, chip.resets, chip.control), (false, 0, 0));
}

#[test]
fn attach_writes_are_put_back_in_reverse_order() {
    let (mut session, fake) = attached(chip(0x450, 2048));
    fake.chip.borrow_mut().writes.clear();
    // What the program did to other bits of the register meanwhile stays.
    fake.chip.borrow_mut().words.insert((2, FREEZE), 0x8000_0041);
    assert_eq!(session.detach(), Ok(Left::AsFound));
    let chip = fake.chip.borrow();
    let writes: Vec<(u32, u32)> = chip.writes.iter().copied().filter(|write| write.0 >> 12 == 0xE00E1).collect();
    assert_eq!(writes, [(FREEZE, 0x8000_0001), (CR, 0x0000_0001)]);
    assert!(!chip.attached);
}

#[test]
fn an_attach_write_that_is_there_already_is_neither_made_nor_taken_back() {
    let mut chip = chip(0x450, 2048);
    chip.words.insert((2, CR), 0x0060_0007);
    let (mut session, fake) = attached(chip);
    session.detach().unwrap();
    assert_eq!(fake.chip.borrow().writes_to(CR), [0; 0]);
}

#[test]
fn banks_follow_the_flash_size_at_fixed_and_following_addresses() {
    assert_eq!(spans(&attached(chip(0x450, 2048)).0), [(0x0800_0000, 1024), (0x0810_0000, 1024)]);
    // xG: half the flash, and bank 2 where it always is.
    assert_eq!(spans(&attached(chip(0x450, 1024)).0), [(0x0800_0000, 512), (0x0810_0000, 512)]);
    // The 128 KiB part matches the row before.
    let (small, _) = attached(chip(0x450, 128));
    assert_eq!((small.die.name.as_str(), spans(&small)), ("small", vec![(0x0800_0000, 128)]));
    // Bank 2 right behind bank 1.
    assert_eq!(spans(&attached(chip(0x467, 512)).0), [(0x0800_0000, 256), (0x0804_0000, 256)]);
    assert_eq!(spans(&attached(chip(0x467, 256)).0), [(0x0800_0000, 128), (0x0802_0000, 128)]);
}

#[test]
fn an_unprogrammed_flash_size_means_the_most_the_die_has() {
    for unprogrammed in [0, 0xFFFF] {
        assert_eq!(spans(&attached(chip(0x450, unprogrammed)).0), [(0x0800_0000, 1024), (0x0810_0000, 1024)]);
    }
}

#[test]
fn a_bank_carries_volts_and_the_cores_csw_past_its_data_cache() {
    let (session, _) = attached(chip(0x450, 2048));
    let bank = &session.banks[1];
    assert_eq!((bank.number, bank.volts, bank.ap), (1, Some(3.3), Ap { index: 0, csw: 0xA200_0000 }));
}

#[test]
fn a_chip_with_another_debug_port_is_named_and_nothing_in_it_is_written() {
    let mut stranger = chip(0x450, 2048);
    stranger.dpidr = 0x1BA0_1477;
    stranger.mapped = vec![(0, 0xE004_2000, 0xE004_2003)];
    stranger.poke(0xE004_2000, 0x1001_6410);
    let (error, fake) = error_of(stranger);
    assert_eq!(error.kind, Kind::Target);
    assert_eq!(
        error.message,
        "this is an STM32F10x medium density; DPIDR = 0x1ba01477, DEV_ID = 0x410; the target file toy covers small (DEV_ID 0x450), \
         large (DEV_ID 0x450), dual (DEV_ID 0x467)"
    );
    assert_eq!(fake.chip.borrow().writes, []);
    assert!(!fake.chip.borrow().attached);
}

#[test]
fn a_debug_port_that_does_not_say_its_chip_names_the_family() {
    let mut stranger = chip(0x450, 2048);
    stranger.dpidr = 0x0BC1_1477;
    stranger.mapped.clear();
    let (error, _) = error_of(stranger);
    assert!(
        error.message.starts_with("this is an STM32G0 (or C0, L0: Cortex-M0+); DPIDR = 0x0bc11477; the target file toy covers"),
        "{error}"
    );
}

#[test]
fn another_chip_of_the_same_family_is_named_by_dev_id_and_nothing_in_it_is_written() {
    let (error, fake) = error_of(chip(0x485, 2048));
    assert!(error.message.starts_with("this is an STM32H7Rx/7Sx; DEV_ID = 0x485; the target file toy covers"), "{error}");
    assert_eq!(fake.chip.borrow().writes, []);
}

#[test]
fn a_variant_no_row_fits_is_refused_and_the_attach_writes_are_taken_back() {
    let mut single = chip(0x467, 256);
    single.poke(0x1FFF_7500, 0);
    let (error, fake) = error_of(single);
    assert!(error.message.starts_with("this STM32G0B/0C (DEV_ID 0x467) is no variant"), "{error}");
    assert_eq!(fake.chip.borrow().words[&(2, CR)], 1);
}

#[test]
fn idcode_is_taken_from_the_first_place_that_answers() {
    let mut other = chip(0x450, 2048);
    other.words.remove(&(2, 0xE00E_1000));
    other.mapped.push((0, 0x5C00_1000, 0x5C00_1FFF));
    other.poke(0x5C00_1000, 0x1003_6450);
    assert_eq!(attached(other).0.rev_id, 0x1003);
}

#[test]
fn a_core_without_an_ap_is_unavailable_and_no_error() {
    let (mut session, _) = attached(chip(0x450, 2048));
    assert_eq!((session.state(0), session.state(1)), (Ok(State::Running), Ok(State::Unavailable)));
    let error = session.halt(1, Duration::ZERO).unwrap_err();
    assert_eq!(error.message, "core cpu1 is not available: AP3 does not answer");
    assert_eq!(session.halt(2, Duration::ZERO).unwrap_err().message, "there is no core 2");
}

#[test]
fn a_sleeping_chip_hints_at_connect_under_reset() {
    let mut sleeper = chip(0x450, 2048);
    sleeper.asleep = true;
    let (error, _) = error_of(sleeper);
    assert!(error.message.contains("AP 0 answers WAIT"), "{error}");
    assert!(error.hint.unwrap().contains("connect under_reset"));
}

#[test]
fn low_voltage_is_a_warning_with_the_number() {
    let mut low = chip(0x450, 2048);
    low.volts = Some(0.42);
    let heard = Rc::new(Heard::default());
    let ears = Ears { sink: heard.clone(), ..Ears::none() };
    let options = AttachOptions { khz: Some(1000), exact: false, under_reset: false };
    let session = Session::attach(Box::new(Fake::new(low)), target(), &options, ears).unwrap();
    assert_eq!((session.volts, session.khz), (Some(0.42), 1000));
    assert_eq!(
        heard.0.borrow()[0],
        Event::Warning("the chip answers, but the target voltage reads 0.42 V: VREF is not wired to its supply".to_string())
    );
}

#[test]
fn power_requests_go_back_to_what_was_found() {
    let mut off = chip(0x450, 2048);
    off.ctrl_stat = 0;
    let (mut session, fake) = attached(off);
    assert_eq!(fake.chip.borrow().ctrl_stat, 0xF000_0000);
    session.detach().unwrap();
    assert_eq!(fake.chip.borrow().ctrl_stat, 0);
}

#[test]
fn power_requests_go_back_after_an_attach_that_failed_and_was_looked_into() {
    for (dev_id, asleep) in [(0x485, false), (0x450, true)] {
        let mut wrong = chip(dev_id, 2048);
        (wrong.ctrl_stat, wrong.asleep) = (0, asleep);
        let (_, fake) = error_of(wrong);
        assert_eq!(fake.chip.borrow().ctrl_stat, 0, "{dev_id:#x}");
    }
}

#[test]
fn under_reset_the_core_stands_at_its_reset_vector_and_nrst_is_high() {
    let mut asleep = chip(0x450, 2048);
    asleep.poke(0xE000_EDFC, 0x400);
    let fake = Fake::new(asleep);
    let mut session = attach_to(&fake, true).unwrap();
    assert_eq!(session.state(0), Ok(State::Halted(Reason::VectorCatch)));
    let chip = fake.chip.borrow();
    assert_eq!((chip.nrst_low, chip.resets, chip.regs[&15]), (false, 1, PC));
    // Nobody asked for halted: leaving lets it run, and takes the vector catch away.
    drop(chip);
    assert_eq!(session.detach(), Ok(Left::AsFound));
    let chip = fake.chip.borrow();
    assert_eq!((chip.halted, chip.control, chip.word(0xE000_EDFC)), (false, 0, 0x400));
}

#[test]
fn under_reset_a_core_that_answers_only_later_is_caught_in_a_second_reset() {
    let mut asleep = chip(0x450, 2048);
    asleep.asleep = true;
    let fake = Fake::new(asleep);
    let mut session = attach_to(&fake, true).unwrap();
    let chip = fake.chip.borrow();
    assert_eq!((chip.resets, chip.regs[&15], chip.halted), (2, PC, true));
    drop(chip);
    session.detach().unwrap();
    assert_eq!((fake.chip.borrow().halted, fake.chip.borrow().word(0xE000_EDFC)), (false, 0));
}

#[test]
fn a_core_found_halted_stays_halted_and_is_not_written_to() {
    let mut stopped = chip(0x450, 2048);
    (stopped.halted, stopped.control) = (true, 3);
    let (mut session, fake) = attached(stopped);
    assert_eq!(session.detach(), Ok(Left::Halted { core: "cpu0".to_string(), pc: 0x0800_0ABC }));
    let chip = fake.chip.borrow();
    assert_eq!((chip.halted, chip.control, chip.writes_to(0xE000_EDF0)), (true, 3, vec![]));
}

#[test]
fn a_core_the_user_halted_stays_halted_and_one_he_resumed_runs() {
    let (mut session, fake) = attached(chip(0x450, 2048));
    session.halt(0, Duration::from_secs(1)).unwrap();
    assert_eq!(session.detach(), Ok(Left::Halted { core: "cpu0".to_string(), pc: 0x0800_0ABC }));
    assert!(fake.chip.borrow().halted);
    let mut session = attach_to(&fake, false).unwrap();
    session.resume(0, None).unwrap();
    assert_eq!(session.detach(), Ok(Left::AsFound));
    // C_DEBUGEN as found: it was set.
    assert_eq!((fake.chip.borrow().halted, fake.chip.borrow().control), (false, 1));
}

#[test]
fn flash_changed_and_nobody_asked_for_halted_means_reset_and_run() {
    let (mut session, fake) = attached(chip(0x450, 2048));
    session.change_flash(false, |_, _| Ok(())).unwrap();
    assert!(fake.chip.borrow().halted);
    assert_eq!(session.detach(), Ok(Left::Started));
    let chip = fake.chip.borrow();
    assert_eq!((chip.resets, chip.halted, chip.control, chip.regs[&15], chip.word(0xE000_EDFC)), (2, false, 0, PC, 0));
}

#[test]
fn flash_changed_and_then_halted_stays_halted() {
    let (mut session, fake) = attached(chip(0x450, 2048));
    session.change_flash(false, |_, _| Ok(())).unwrap();
    session.reset(ResetMode::Halt).unwrap();
    assert_eq!(session.detach(), Ok(Left::Halted { core: "cpu0".to_string(), pc: PC }));
    assert!(fake.chip.borrow().halted);
}

#[test]
fn noreset_halts_only_and_works_with_the_caches_out_of_the_way() {
    let mut cached = chip(0x450, 2048);
    cached.poke(0xE000_ED14, 0x0003_0200);
    cached.poke(0xE000_ED80, 0xF00F_E019);
    let (mut session, fake) = attached(cached);
    let seen = fake.chip.clone();
    session
        .change_flash(true, |_, _| {
            let chip = seen.borrow();
            assert_eq!((chip.halted, chip.resets, chip.word(0xE000_ED14)), (true, 0, 0x200));
            assert_eq!(chip.writes_to(0xE000_EF74).len(), 512);
            Ok(())
        })
        .unwrap();
    assert_eq!(fake.chip.borrow().word(0xE000_ED14), 0x0003_0200);
}

#[test]
fn caches_come_back_and_flash_counts_as_changed_also_after_an_error() {
    let mut cached = chip(0x450, 2048);
    cached.poke(0xE000_ED14, 0x0002_0200);
    let (mut session, fake) = attached(cached);
    let error = session.change_flash(true, |_, _| Err::<(), _>(Error::target("WRPERR"))).unwrap_err();
    assert_eq!(error.message, "WRPERR");
    assert_eq!(fake.chip.borrow().word(0xE000_ED14), 0x0002_0200);
    assert_eq!(session.detach(), Ok(Left::Started));
}

#[test]
fn detach_goes_on_after_an_error_and_reports_the_first() {
    let (mut session, fake) = attached(chip(0x450, 2048));
    session.halt(0, Duration::from_secs(1)).unwrap();
    session.add_breakpoint(0, 0x0800_1000, 2, BreakKind::Auto).unwrap();
    session.resume(0, None).unwrap();
    fake.chip.borrow_mut().refuse = vec![0xE000_2008, FREEZE];
    fake.chip.borrow_mut().nrst_low = true;
    let error = session.detach().unwrap_err();
    assert_eq!((error.message.as_str(), error.trail.as_slice()), ("refused at 0xe0002008", &["leaving the cores".to_string()][..]));
    let chip = fake.chip.borrow();
    assert_eq!((chip.control, chip.words[&(2, CR)], chip.nrst_low, chip.attached), (0, 1, false, false));
}

#[test]
fn a_program_that_does_not_run_hides_no_other_error_of_detach() {
    let (mut session, fake) = attached(chip(0x450, 2048));
    fake.chip.borrow_mut().dies = true;
    session.change_flash(true, |_, _| Ok(())).unwrap();
    fake.chip.borrow_mut().refuse = vec![FREEZE];
    assert_eq!(session.detach().unwrap_err().trail, ["putting back FREEZE"]);
}

#[test]
fn reset_halt_stops_at_the_vector_and_takes_the_catch_away() {
    let (mut session, fake) = attached(chip(0x450, 2048));
    session.reset(ResetMode::Halt).unwrap();
    assert_eq!(session.state(0), Ok(State::Halted(Reason::VectorCatch)));
    assert!(session.take_reset_seen(0).unwrap());
    assert!(!session.take_reset_seen(0).unwrap());
    let chip = fake.chip.borrow();
    assert_eq!((chip.regs[&15], chip.word(0xE000_EDFC), chip.resets), (PC, 0, 1));
}

#[test]
fn a_chip_deaf_to_sysresetreq_is_reset_by_its_pin() {
    let mut deaf = chip(0x450, 2048);
    deaf.deaf_to_sysreset = true;
    let (mut session, fake) = attached(deaf);
    session.reset(ResetMode::Halt).unwrap();
    let chip = fake.chip.borrow();
    assert_eq!((chip.resets, chip.halted, chip.nrst_low, chip.regs[&15]), (1, true, false, PC));
}

#[test]
fn reset_run_runs_as_without_a_debugger() {
    let mut caught = chip(0x450, 2048);
    caught.poke(0xE000_EDFC, 1);
    let (mut session, fake) = attached(caught);
    session.halt(0, Duration::from_secs(1)).unwrap();
    let before = fake.chip.borrow().now;
    session.reset(ResetMode::Run).unwrap();
    let chip = fake.chip.borrow();
    assert_eq!((chip.resets, chip.halted, chip.control), (1, false, 0));
    assert!(chip.now - before >= Duration::from_millis(10));
}

#[test]
fn attach_writes_lost_in_a_reset_are_made_again() {
    let (mut session, fake) = attached(chip(0x450, 2048));
    fake.chip.borrow_mut().words.insert((2, CR), 0);
    session.reset(ResetMode::Halt).unwrap();
    assert_eq!(fake.chip.borrow().words[&(2, CR)], 0x0060_0007);
    session.detach().unwrap();
    assert_eq!(fake.chip.borrow().words[&(2, CR)], 1);
}

#[test]
fn a_lock_up_after_reset_is_not_running_with_pc_and_vectors() {
    let mut dying = chip(0x450, 2048);
    dying.dies = true;
    let (mut session, fake) = attached(dying);
    let error = session.reset(ResetMode::Run).unwrap_err();
    assert_eq!(error.kind, Kind::NotRunning);
    assert_eq!(
        error.message,
        "core cpu0 is locked up 10 ms after the reset, pc = 0x08000100: HardFault: no reason is kept (HFSR = 0x00000000, CFSR = 0x00000000)"
    );
    let hint = "its vector table at 0x08000000 says sp = 0x20020000, reset = 0x08000101: is the image linked for this address?";
    assert_eq!(error.hint.as_deref(), Some(hint));
    assert!(!fake.chip.borrow().halted);
}

#[test]
fn breakpoints_are_software_in_ram_and_hardware_in_flash() {
    let (mut session, _) = attached(chip(0x450, 2048));
    let ram = session.add_breakpoint(0, 0x2400_0101, 2, BreakKind::Auto).unwrap();
    let flash = session.add_breakpoint(0, 0x0800_0101, 2, BreakKind::Auto).unwrap();
    let forced = session.add_breakpoint(0, 0x2400_0200, 2, BreakKind::Hardware).unwrap();
    assert_eq!((ram.comparator, flash.comparator, forced.comparator), (None, Some(0), Some(1)));
    // Asked for again, as gdb does, it is the same one.
    assert_eq!(session.add_breakpoint(0, 0x0800_0100, 2, BreakKind::Auto), Ok(flash));
    assert_eq!(session.breakpoints(0).len(), 3);
    assert_eq!(session.remove_breakpoint(0, Some(0x0800_0104)).unwrap_err().message, "no breakpoint at 0x08000104");
    session.remove_breakpoint(0, None).unwrap();
    assert_eq!(session.breakpoints(0), []);
}

#[test]
fn a_damaged_flash_byte_never_looks_like_the_image() {
    let segments = vec![Segment { address: 0x0800_0010, data: vec![0x00, 0xFF] }];
    let image = Image::new("", Format::Bin, segments);
    let bytes = [0x0800_0010, 0x0800_0011].map(|address| survey::unlike(&image, address));
    assert_eq!(bytes, [0x55, 0]);
}
