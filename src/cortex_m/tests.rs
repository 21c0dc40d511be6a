use super::fake::{Chip, Fake};
use super::*;
use crate::probe::Ap;

const AP: Ap = Ap { index: 0, csw: 0xAA00_0000 };
const PC: u32 = 0x0800_0100;

/// A core found running, with the fake it lives in.
fn running(mut chip: Chip) -> (Core, Fake) {
    chip.regs.insert(15, PC);
    let part = chip.word(0xE000_ED00) >> 4 & 0xFFF;
    let mut fake = Fake::new(chip);
    let core = Core::examine("cpu0", part, &mut MemAp::new(&mut fake, AP)).expect("the fake answers");
    (core, fake)
}

fn halted(chip: Chip) -> (Core, Fake) {
    let (mut core, mut fake) = running(chip);
    core.halt(&mut MemAp::new(&mut fake, AP), &Ears::none(), Duration::from_secs(1)).expect("it halts");
    fake.chip.borrow_mut().writes.clear();
    (core, fake)
}

fn numbered(core: &Core, name: &str) -> Register {
    core.registers().into_iter().find(|register| register.name == name).expect("it has that register")
}

#[test]
fn looking_at_a_core_writes_nothing() {
    let (core, fake) = running(Chip::m7());
    assert_eq!((core.part.name, core.fpu), ("Cortex-M7", true));
    assert_eq!(fake.chip.borrow().writes, []);
}

#[test]
fn a_core_of_another_kind_is_named() {
    let mut fake = Fake::new(Chip::m0p());
    let error = Core::examine("cpu0", 0xC27, &mut MemAp::new(&mut fake, AP)).unwrap_err();
    assert_eq!(error.message, "core cpu0 is a Cortex-M0+ (CPUID = 0x410cc601), the target file says Cortex-M7");
}

#[test]
fn states_come_from_dhcsr_and_dfsr() {
    let (mut core, mut fake) = running(Chip::m7());
    let chip = fake.chip.clone();
    let mem = &mut MemAp::new(&mut fake, AP);
    assert_eq!(core.state(mem), Ok(State::Running));
    chip.borrow_mut().lockup = true;
    assert_eq!(core.state(mem), Ok(State::Lockup));
    core.halt(mem, &Ears::none(), Duration::from_secs(1)).unwrap();
    assert_eq!(core.state(mem), Ok(State::Halted(Reason::Request)));
    for (dfsr, reason) in [(0b11, Reason::Breakpoint), (0b110, Reason::Watchpoint), (0, Reason::Unknown)] {
        core.forget();
        chip.borrow_mut().dfsr = dfsr;
        assert_eq!(core.state(mem), Ok(State::Halted(reason)));
    }
}

#[test]
fn held_in_reset_is_told_from_a_reset_that_is_over_and_both_are_remembered() {
    let (mut core, mut fake) = running(Chip::m7());
    let chip = fake.chip.clone();
    let mem = &mut MemAp::new(&mut fake, AP);
    chip.borrow_mut().reset_seen = true;
    assert_eq!(core.state(mem), Ok(State::Running));
    assert!(std::mem::take(&mut core.reset_seen));
    chip.borrow_mut().nrst_low = true;
    chip.borrow_mut().reset_seen = true;
    assert_eq!(core.state(mem), Ok(State::Reset));
    assert!(core.reset_seen && core.retired);
}

#[test]
fn a_halt_that_does_not_come_says_what_dhcsr_was() {
    let (mut core, mut fake) = running(Chip::m7());
    let before = fake.chip.borrow().now;
    let error = core.wait_halt(&mut MemAp::new(&mut fake, AP), &Ears::none(), Duration::from_millis(50)).unwrap_err();
    assert_eq!(error.message, "timed out while waiting for target halted (DHCSR = 0x01000001)");
    assert_eq!(error.cause, Cause::Timeout);
    assert_eq!(fake.chip.borrow().now - before, Duration::from_millis(50));
}

#[test]
fn ctrl_c_ends_a_wait() {
    let (mut core, mut fake) = running(Chip::m7());
    let mut ears = Ears::none();
    ears.breathe = std::rc::Rc::new(|| Err(Error::command("interrupted").cause(Cause::Interrupted(2))));
    let error = core.wait_halt(&mut MemAp::new(&mut fake, AP), &ears, Duration::from_secs(5)).unwrap_err();
    assert_eq!(error.cause, Cause::Interrupted(2));
}

#[test]
fn interrupts_are_masked_before_a_step_and_unmasked_after_it() {
    let (mut core, mut fake) = halted(Chip::m7());
    let pc = core.step(&mut MemAp::new(&mut fake, AP), &Ears::none(), None).unwrap();
    assert_eq!(pc, PC + 2);
    assert_eq!(fake.chip.borrow().writes_to(0xE000_EDF0), [0xA05F_000B, 0xA05F_000D, 0xA05F_000B, 0xA05F_0003]);
    assert_eq!(core.state(&mut MemAp::new(&mut fake, AP)), Ok(State::Halted(Reason::Step)));
}

#[test]
fn a_running_core_is_neither_stepped_nor_read_and_the_hint_says_halt() {
    let (mut core, mut fake) = running(Chip::m7());
    let pc = numbered(&core, "pc");
    let mem = &mut MemAp::new(&mut fake, AP);
    let errors = [
        core.step(mem, &Ears::none(), None).unwrap_err(),
        core.read_registers(mem, &[pc]).unwrap_err(),
        core.resume(mem, &Ears::none(), None).unwrap_err(),
    ];
    for error in errors {
        assert_eq!((error.message.as_str(), error.hint.as_deref()), ("core cpu0 is running", Some("`halt` first")));
    }
    assert_eq!(fake.chip.borrow().writes, []);
}

#[test]
fn where_the_batch_came_too_early_for_one_register_all_are_read_again() {
    let mut chip = Chip::m7();
    chip.regs.extend([(0, 0x1111_1111), (1, 0x2222_2222)]);
    let (mut core, mut fake) = halted(chip);
    fake.chip.borrow_mut().slow = 3;
    core.forget();
    let registers = [numbered(&core, "r0"), numbered(&core, "r1")];
    let values = core.read_registers(&mut MemAp::new(&mut fake, AP), &registers).unwrap();
    assert_eq!(values, [0x1111_1111, 0x2222_2222]);
    let all: Vec<u32> = (0..19).chain([0x14]).collect();
    assert_eq!(fake.chip.borrow().writes_to(0xE000_EDF4), [all.clone(), all].concat());
}

#[test]
fn a_register_that_never_comes_is_an_error_and_not_a_wrong_value() {
    let (mut core, mut fake) = halted(Chip::m7());
    fake.chip.borrow_mut().slow = u32::MAX;
    core.forget();
    let r0 = numbered(&core, "r0");
    let error = core.read_registers(&mut MemAp::new(&mut fake, AP), &[r0]).unwrap_err();
    assert_eq!(error.message, "core register 0x0 was not transferred (DHCSR = 0x00020003)");
}

#[test]
fn the_program_finds_dcrdr_as_it_left_it() {
    let mut chip = Chip::m7();
    chip.poke(0xE000_EDF8, 0xC0FF_EE00);
    let (mut core, mut fake) = halted(chip);
    core.pc(&mut MemAp::new(&mut fake, AP)).unwrap();
    core.resume(&mut MemAp::new(&mut fake, AP), &Ears::none(), None).unwrap();
    assert_eq!(fake.chip.borrow().word(0xE000_EDF8), 0xC0FF_EE00);
    core.halt(&mut MemAp::new(&mut fake, AP), &Ears::none(), Duration::from_secs(1)).unwrap();
    core.put_back(&mut MemAp::new(&mut fake, AP), true).unwrap();
    assert_eq!(fake.chip.borrow().word(0xE000_EDF8), 0xC0FF_EE00);
}

#[test]
fn registers_have_openocds_numbers_and_an_m0_plus_has_fewer() {
    let names = |core: &Core| core.registers().iter().map(|register| (register.number, register.name)).collect::<Vec<_>>();
    let m7 = names(&running(Chip::m7()).0);
    assert_eq!((m7[13], m7[16], m7[19], m7[22]), ((13, "sp"), (16, "xPSR"), (20, "primask"), (23, "control")));
    assert_eq!((m7[23], m7[38], m7.last()), ((42, "d0"), (57, "d15"), Some(&(58, "fpscr"))));
    let m0 = names(&running(Chip::m0p()).0);
    assert_eq!(m0[18..], [(18, "psp"), (20, "primask"), (23, "control")]);
}

#[test]
fn bytes_and_doubles_are_put_together_and_taken_apart() {
    let mut chip = Chip::m7();
    chip.regs.extend([(0x14, 0x0301_4001), (0x42, 0x89AB_CDEF), (0x43, 0x0123_4567)]);
    let (mut core, mut fake) = halted(chip);
    let names = ["primask", "basepri", "faultmask", "control", "d1"].map(|name| numbered(&core, name));
    let mem = &mut MemAp::new(&mut fake, AP);
    assert_eq!(core.read_registers(mem, &names).unwrap(), [1, 0x40, 1, 3, 0x0123_4567_89AB_CDEF]);
    core.write_register(mem, names[1], 0x80).unwrap();
    core.write_register(mem, names[4], 0x0102_0304_0506_0708).unwrap();
    let error = core.write_register(mem, names[0], 2).unwrap_err();
    assert_eq!(error.message, "0x2 does not fit primask, which has 1 bits");
    let chip = fake.chip.borrow();
    assert_eq!((chip.regs[&0x14], chip.regs[&0x42], chip.regs[&0x43]), (0x0301_8001, 0x0506_0708, 0x0102_0304));
}

#[test]
fn breakpoints_use_free_comparators_until_there_are_none() {
    let mut chip = Chip::m7();
    // Armed by an earlier debugger: not ours to take.
    chip.poke(0xE000_2008, 0x0800_0001);
    let (mut core, mut fake) = halted(chip);
    let mem = &mut MemAp::new(&mut fake, AP);
    for n in 1..8 {
        let point = core.add_hardware_breakpoint(mem, 0x0800_1001 + 2 * n, 2).unwrap();
        assert_eq!((point.address, point.comparator), (0x0800_1000 + 2 * n, Some(n)));
    }
    let error = core.add_hardware_breakpoint(mem, 0x0800_2000, 2).unwrap_err();
    assert_eq!(error.message, "all 8 hardware breakpoints of core cpu0 are in use");
    core.remove_breakpoints(mem, Some(0x0800_1004)).unwrap();
    assert_eq!(core.add_hardware_breakpoint(mem, 0x0800_2000, 2).unwrap().comparator, Some(2));
    let chip = fake.chip.borrow();
    assert_eq!((chip.word(0xE000_2008), chip.word(0xE000_2010), chip.word(0xE000_2000)), (0x0800_0001, 0x0800_2001, 0x1000_0081));
}

#[test]
fn revision_1_cannot_break_in_ram() {
    let (mut core, mut fake) = halted(Chip::m0p());
    let mem = &mut MemAp::new(&mut fake, AP);
    let error = core.add_hardware_breakpoint(mem, 0x2000_0100, 2).unwrap_err();
    assert!(error.message.contains("below 0x20000000 only, not 0x20000100"), "{}", error.message);
    core.add_hardware_breakpoint(mem, 0x0800_0102, 2).unwrap();
    assert_eq!(fake.chip.borrow().word(0xE000_2008), 0x8800_0101);
}

#[test]
fn a_software_breakpoint_keeps_the_instruction_and_gives_it_back() {
    let mut chip = Chip::m7();
    chip.poke(0x2400_0100, 0xBF00_4770);
    chip.poke(0xE000_ED14, 0x0003_0200);
    let (mut core, mut fake) = halted(chip);
    let mem = &mut MemAp::new(&mut fake, AP);
    let point = core.add_software_breakpoint(mem, 0x2400_0102, 2).unwrap();
    assert_eq!((point.original, point.comparator), (0xBF00, None));
    let chip = fake.chip.clone();
    assert_eq!(chip.borrow().word(0x2400_0100), 0xBE11_4770);
    // Both caches are on: the data line is cleaned, the instruction line thrown away.
    assert_eq!((chip.borrow().writes_to(0xE000_EF70), chip.borrow().writes_to(0xE000_EF58)), (vec![0x2400_0102], vec![0x2400_0102]));
    core.remove_breakpoints(&mut MemAp::new(&mut fake, AP), None).unwrap();
    assert_eq!(chip.borrow().word(0x2400_0100), 0xBF00_4770);
}

#[test]
fn code_loaded_over_a_software_breakpoint_stays() {
    let (mut core, mut fake) = halted(Chip::m7());
    core.add_software_breakpoint(&mut MemAp::new(&mut fake, AP), 0x2400_0000, 2).unwrap();
    fake.chip.borrow_mut().poke(0x2400_0000, 0x1234_5678);
    core.remove_breakpoints(&mut MemAp::new(&mut fake, AP), None).unwrap();
    assert_eq!(fake.chip.borrow().word(0x2400_0000), 0x1234_5678);
}

#[test]
fn resuming_on_an_own_breakpoint_steps_off_it_first() {
    let (mut core, mut fake) = halted(Chip::m7());
    let mem = &mut MemAp::new(&mut fake, AP);
    core.add_hardware_breakpoint(mem, PC, 2).unwrap();
    fake.chip.borrow_mut().writes.clear();
    core.resume(&mut MemAp::new(&mut fake, AP), &Ears::none(), None).unwrap();
    let chip = fake.chip.borrow();
    // Off for one step, then on again, then running.
    assert_eq!(chip.writes_to(0xE000_2000), [2, 3]);
    assert_eq!((chip.regs[&15], chip.halted, chip.control), (PC + 2, false, 1));
}

#[test]
fn resuming_on_the_programs_bkpt_goes_past_it() {
    let mut chip = Chip::m7();
    chip.poke(PC, 0x0000_BEAB);
    let (mut core, mut fake) = halted(chip);
    core.resume(&mut MemAp::new(&mut fake, AP), &Ears::none(), None).unwrap();
    let chip = fake.chip.borrow();
    assert_eq!((chip.regs[&15], chip.halted), (PC + 2, false));
    assert_eq!(chip.writes_to(0xE000_EDF0), [0xA05F_0003, 0xA05F_0001]);
}

#[test]
fn resuming_at_an_address_ignores_the_thumb_bit() {
    let (mut core, mut fake) = halted(Chip::m7());
    core.resume(&mut MemAp::new(&mut fake, AP), &Ears::none(), Some(0x0800_0201)).unwrap();
    assert_eq!(fake.chip.borrow().regs[&15], 0x0800_0200);
}

#[test]
fn watchpoints_are_powers_of_two_aligned_and_as_many_as_there_are() {
    let (mut core, mut fake) = halted(Chip::m0p());
    let mem = &mut MemAp::new(&mut fake, AP);
    let error = core.add_watchpoint(mem, 0x2000_0000, 3, Access::Write).unwrap_err();
    assert_eq!(error.message, "a watchpoint's length is a power of two up to 32768, not 3");
    let error = core.add_watchpoint(mem, 0x2000_0002, 4, Access::Write).unwrap_err();
    assert_eq!(error.message, "a watchpoint of 4 bytes must be aligned to 4; 0x20000002 is not");
    core.add_watchpoint(mem, 0x2000_0010, 8, Access::Write).unwrap();
    core.add_watchpoint(mem, 0x2000_0020, 1, Access::Any).unwrap();
    assert_eq!(core.add_watchpoint(mem, 0x2000_0030, 4, Access::Read).unwrap_err().message, "all 2 watchpoints of core cpu0 are in use");
    let chip = fake.chip.borrow();
    assert_eq!([0xE000_1020, 0xE000_1024, 0xE000_1028].map(|address| chip.word(address)), [0x2000_0010, 3, 6]);
    assert_eq!([0xE000_1030, 0xE000_1034, 0xE000_1038].map(|address| chip.word(address)), [0x2000_0020, 0, 7]);
    // Without TRCENA the DWT is dead.
    assert_eq!(chip.word(0xE000_EDFC), 1 << 24);
}

#[test]
fn points_are_set_again_after_a_reset() {
    let (mut core, mut fake) = halted(Chip::m7());
    let mem = &mut MemAp::new(&mut fake, AP);
    core.add_hardware_breakpoint(mem, 0x0800_1000, 2).unwrap();
    core.arm_reset(mem, true).unwrap();
    core.request_system_reset(mem);
    assert_eq!(fake.chip.borrow().word(0xE000_2008), 0);
    core.rearm_points(&mut MemAp::new(&mut fake, AP)).unwrap();
    let chip = fake.chip.borrow();
    assert_eq!((chip.word(0xE000_2008), chip.word(0xE000_2000) & 1), (0x0800_1001, 1));
}

#[test]
fn everything_found_is_put_back() {
    let mut chip = Chip::m7();
    for (address, value) in [(0xE000_EDFC, 0x400), (0xE000_2000, 0x1000_0081), (0xE000_2008, 0x0800_0001), (0xE000_1020, 0x2000_0040)] {
        chip.poke(address, value);
    }
    let before = chip.words.clone();
    let (mut core, mut fake) = running(chip);
    let mem = &mut MemAp::new(&mut fake, AP);
    core.halt(mem, &Ears::none(), Duration::from_secs(1)).unwrap();
    core.add_hardware_breakpoint(mem, 0x0800_1000, 2).unwrap();
    core.add_watchpoint(mem, 0x2000_0000, 4, Access::Write).unwrap();
    core.put_back(mem, false).unwrap();
    let chip = fake.chip.borrow();
    for (address, value) in before {
        assert_eq!(chip.words[&address], value, "{:#010x}", address.1);
    }
    assert_eq!((chip.word(0xE000_200C), chip.word(0xE000_1028)), (0, 0));
    assert_eq!((chip.halted, chip.control), (false, 0));
}
