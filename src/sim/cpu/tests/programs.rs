//! Exceptions, faults, sleep, debug and time: small programs, looked at through the first access port.

use crate::sim::chip::Size;
use crate::sim::rig::{MS, Rig};

const ICSR: u32 = 0xE000_ED04;
const SHCSR: u32 = 0xE000_ED24;
const CFSR: u32 = 0xE000_ED28;
const HFSR: u32 = 0xE000_ED2C;
const DFSR: u32 = 0xE000_ED30;
const MMFAR: u32 = 0xE000_ED34;
const BFAR: u32 = 0xE000_ED38;
const DHCSR: u32 = 0xE000_EDF0;
const DEMCR: u32 = 0xE000_EDFC;
const FPCCR: u32 = 0xE000_EF34;
const RAM: u32 = 0x2000_0000;
const STACK: u32 = 0x2000_0800;
const CODE: u32 = 0x100;
const FLASH: u32 = 0x0800_0000;

const RUN: u32 = 0xA05F_0001;
const HALT: u32 = 0xA05F_0003;
const STEP: u32 = 0xA05F_0005;
const STEP_MASKED: u32 = 0xA05F_000D;
const S_SLEEP: u32 = 1 << 18;
const S_HALT: u32 = 1 << 17;
const S_LOCKUP: u32 = 1 << 19;
const BKPT: u32 = 1 << 1;
const DWTTRAP: u32 = 1 << 2;
const VCATCH: u32 = 1 << 3;

const PC: u32 = 15;
const XPSR: u32 = 16;

// Thumb, ARM DDI0403 A7.7
const B_SELF: u16 = 0xE7FE;
const NOP: u16 = 0xBF00;
const UDF: u16 = 0xDE00;
const WFI: u16 = 0xBF30;
const SVC: u16 = 0xDF00;
const BREAK: u16 = 0xBE00;
const STR_R0_R1: u16 = 0x6008;
const LDR_R0_R1: u16 = 0x6808;
const ADDS_R0_1: u16 = 0x3001;
const BX_LR: u16 = 0x4770;

/// Where the handler of an exception is: `b .` unless the test puts something else there.
fn handler(number: u32) -> u32 {
    0x400 + 0x20 * number
}

fn put(rig: &mut Rig, address: u32, code: &[u16]) {
    for (index, half) in code.iter().enumerate() {
        for (byte, at) in half.to_le_bytes().into_iter().zip(0..) {
            assert!(rig.chip.poke(FLASH + address + 2 * index as u32 + at, byte));
        }
    }
}

/// A chip with a vector table, a handler of `b .` for everything, and `code`. It runs from now on.
fn program(name: &str, code: &[u16]) -> Rig {
    let mut rig = Rig::new(name);
    load(&mut rig, code);
    // A G0 looks whether it is EMPTY at power-on only.
    rig.chip.power_cycle();
    rig
}

fn load(rig: &mut Rig, code: &[u16]) {
    rig.poke(FLASH, STACK);
    rig.poke(FLASH + 4, (FLASH + CODE) | 1);
    for number in 2..40 {
        rig.poke(FLASH + 4 * number, (FLASH + handler(number)) | 1);
        put(rig, handler(number), &[B_SELF, B_SELF]);
    }
    put(rig, CODE, code);
}

fn restart(rig: &mut Rig) {
    rig.chip.nrst(true);
    rig.chip.nrst(false);
}

fn exception(rig: &Rig) -> u32 {
    rig.chip.register(XPSR) & 0x1FF
}

fn stacked(rig: &mut Rig, word: u32) -> u32 {
    let sp = rig.chip.register(13);
    rig.read(sp + 4 * word)
}

#[test]
fn an_undefined_instruction_is_a_hard_fault_until_usage_faults_are_enabled() {
    let mut rig = program("stm32h743", &[NOP, UDF]);
    rig.pass(MS);
    assert_eq!((exception(&rig), rig.chip.register(PC)), (3, FLASH + handler(3)));
    assert_eq!([rig.read(CFSR), rig.read(HFSR)], [1 << 16, 1 << 30], "UNDEFINSTR, FORCED");
    assert_eq!([stacked(&mut rig, 6), stacked(&mut rig, 7)], [FLASH + CODE + 2, 0x0100_0000]);
    assert_eq!(rig.chip.register(14), 0xFFFF_FFF9);
    restart(&mut rig);
    rig.write(SHCSR, 1 << 18);
    rig.pass(MS);
    assert_eq!((exception(&rig), rig.read(HFSR)), (6, 0));
    assert_eq!(rig.read(SHCSR), 1 << 18 | 1 << 3, "USGFAULTACT");
    rig.write(CFSR, 1 << 16);
    assert_eq!(rig.read(CFSR), 0);
}

#[test]
fn a_load_from_nowhere_tells_its_address() {
    // ldr r1, [pc, #0]; ldr r0, [r1]; .word 0x70000004
    let code = [0x4900, LDR_R0_R1, 0x0004, 0x7000];
    let mut rig = program("stm32h743", &code);
    rig.write(SHCSR, 1 << 17);
    rig.pass(MS);
    assert_eq!([exception(&rig), rig.read(CFSR), rig.read(BFAR)], [5, 0x8200, 0x7000_0004]);
    assert_eq!(stacked(&mut rig, 6), FLASH + CODE + 2);
    let mut rig = program("stm32g071", &code);
    rig.pass(MS);
    assert_eq!([exception(&rig), stacked(&mut rig, 6)], [3, FLASH + CODE + 2], "v6-M has HardFault only");
}

const NOWHERE: [u16; 2] = [0x0000, 0x7000];
/// ldr r1, [pc, #20]; str r0, [r1]; then eight instructions; b .; the literal 0x70000000.
fn store_to_nowhere(then: [u16; 8]) -> Vec<u16> {
    [&[0x4905, STR_R0_R1], &then[..], &[B_SELF, NOP], &NOWHERE].concat()
}
const DSB: [u16; 2] = [0xF3BF, 0x8F4F];
const AFTER_STORE: u32 = FLASH + CODE + 4;
const END: u32 = AFTER_STORE + 16;
const IMPRECISERR: u32 = 1 << 10;
const BUSFAULTENA: u32 = 1 << 17;

#[test]
fn a_store_to_nowhere_is_noticed_some_instructions_later_without_its_address() {
    for name in ["stm32h743", "f1-like"] {
        let mut rig = program(name, &store_to_nowhere([NOP; 8]));
        rig.write(SHCSR, BUSFAULTENA);
        rig.pass(MS);
        assert_eq!([exception(&rig), rig.read(CFSR), rig.read(HFSR)], [5, IMPRECISERR, 0], "{name}");
        let pc = stacked(&mut rig, 6);
        assert!(pc > AFTER_STORE && pc <= END, "{name}: {pc:#x}");
        let mut rig = program(name, &store_to_nowhere([NOP; 8]));
        rig.pass(MS);
        assert_eq!([exception(&rig), rig.read(CFSR), rig.read(HFSR)], [3, IMPRECISERR, 1 << 30], "{name}: FORCED");
    }
    let mut rig = program("stm32g071", &store_to_nowhere([NOP; 8]));
    rig.pass(MS);
    assert_eq!([exception(&rig), stacked(&mut rig, 6)], [3, AFTER_STORE - 2], "v6-M has no store buffer");
}

#[test]
fn a_dsb_waits_for_the_store_and_its_fault() {
    let mut rig = program("stm32h743", &store_to_nowhere([DSB[0], DSB[1], NOP, NOP, NOP, NOP, NOP, NOP]));
    rig.write(SHCSR, BUSFAULTENA);
    rig.pass(MS);
    assert_eq!([exception(&rig), rig.read(CFSR), stacked(&mut rig, 6)], [5, IMPRECISERR, AFTER_STORE + 4]);
}

#[test]
fn without_the_default_write_buffer_a_cortex_m3_is_precise_and_an_m7_has_no_such_bit() {
    const ACTLR: (u32, u32) = (0xE000_E008, 1 << 1);
    for (name, cfsr) in [("f1-like", 0x8200), ("stm32h743", IMPRECISERR)] {
        let mut rig = program(name, &store_to_nowhere([NOP; 8]));
        rig.write_all(&[ACTLR, (SHCSR, BUSFAULTENA)]);
        rig.pass(MS);
        assert_eq!([exception(&rig), rig.read(CFSR)], [5, cfsr], "{name}");
        if cfsr == 0x8200 {
            assert_eq!([rig.read(BFAR), stacked(&mut rig, 6)], [0x7000_0000, AFTER_STORE - 2]);
        }
    }
}

#[test]
fn strongly_ordered_stores_of_a_cortex_m7_are_buffered_too() {
    let mut rig = program("stm32h743", &store_to_nowhere([NOP; 8]));
    // Region 0: 512 MiB at 0x60000000, full access, TEX C B = 0; PRIVDEFENA.
    rig.write_all(&[(SHCSR, BUSFAULTENA), (0xE000_ED9C, 0x6000_0010), (0xE000_EDA0, 3 << 24 | 28 << 1 | 1), (0xE000_ED94, 5)]);
    rig.pass(MS);
    assert_eq!([exception(&rig), rig.read(CFSR)], [5, IMPRECISERR]);
}

#[test]
fn a_bus_fault_handler_can_return_from_an_imprecise_fault() {
    let mut rig = program("stm32h743", &store_to_nowhere([NOP; 8]));
    // ldr r2, [pc, #8]; ldr r4, [r2]; str r4, [r2]; bx lr; .word CFSR
    put(&mut rig, handler(5), &[0x4A02, 0x6814, 0x6014, BX_LR, NOP, NOP, 0xED28, 0xE000]);
    rig.write(SHCSR, BUSFAULTENA);
    rig.pass(MS);
    assert_eq!([exception(&rig), rig.chip.register(PC), rig.chip.register(13)], [0, END, STACK]);
    assert_eq!([rig.read(CFSR), rig.chip.register(4)], [0, IMPRECISERR]);
}

#[test]
fn in_a_hard_fault_handler_it_stays_pending_and_locks_nothing_up() {
    let mut rig = program("stm32h743", &[UDF]);
    // ldr r1, [pc, #4]; str r0, [r1]; dsb; b . — and after it the literal.
    put(&mut rig, handler(3), &[0x4902, STR_R0_R1, DSB[0], DSB[1], B_SELF, NOP, NOWHERE[0], NOWHERE[1]]);
    rig.pass(MS);
    assert_eq!([rig.read(DHCSR) & S_LOCKUP, exception(&rig), rig.read(CFSR)], [0, 3, 1 << 16 | IMPRECISERR]);
    assert_eq!(rig.chip.register(PC), FLASH + handler(3) + 8);
}

#[test]
fn a_step_shows_which_store_it_was() {
    let mut rig = program("stm32h743", &store_to_nowhere([NOP; 8]));
    rig.write_all(&[(DHCSR, HALT), (SHCSR, BUSFAULTENA)]);
    rig.write(CFSR, u32::MAX);
    rig.chip.set_register(PC, FLASH + CODE);
    for cfsr in [0, IMPRECISERR] {
        rig.write(DHCSR, STEP);
        rig.pass(1000);
        assert_eq!(rig.read(CFSR), cfsr);
    }
    assert_eq!(rig.chip.register(PC), AFTER_STORE);
    rig.write(DHCSR, RUN);
    rig.pass(MS);
    assert_eq!([exception(&rig), stacked(&mut rig, 6)], [5, AFTER_STORE]);
}

#[test]
fn a_fault_in_the_hard_fault_handler_is_lockup_and_a_halt_ends_it() {
    for name in ["stm32h743", "stm32g071"] {
        let mut rig = program(name, &[UDF]);
        put(&mut rig, handler(3), &[UDF]);
        rig.pass(MS);
        assert_eq!(rig.read(DHCSR) & (S_LOCKUP | S_HALT), S_LOCKUP, "{name}");
        assert_eq!((rig.chip.register(PC), exception(&rig)), (0xFFFF_FFFE, 3), "{name}");
        rig.write(DHCSR, HALT);
        assert_eq!(rig.read(DHCSR) & (S_LOCKUP | S_HALT), S_HALT, "{name}");
        rig.write(DHCSR, RUN);
        rig.pass(MS);
        assert_eq!(rig.read(DHCSR) & S_LOCKUP, S_LOCKUP, "{name}: where it was");
        rig.write(DHCSR, HALT);
        rig.chip.set_register(PC, FLASH + handler(4));
        rig.write(DHCSR, RUN);
        rig.pass(MS);
        assert_eq!((rig.read(DHCSR) & S_LOCKUP, rig.chip.register(PC)), (0, FLASH + handler(4)), "{name}: a new pc runs");
    }
}

#[test]
fn a_stack_that_is_nowhere_still_reaches_the_handler() {
    // mov sp, r0 with r0 = 0x70000000 (movs r0, #7; lsls r0, #28); udf
    let mut rig = program("stm32h743", &[0x2007, 0x0700, 0x4685, UDF]);
    rig.pass(MS);
    assert_eq!((exception(&rig), rig.chip.register(PC)), (3, FLASH + handler(3)));
    assert_eq!(rig.read(CFSR) & 0x1000, 0x1000, "STKERR");
}

#[test]
fn vector_catch_halts_before_the_handler() {
    let mut rig = program("stm32h743", &[UDF]);
    rig.write_all(&[(DHCSR, RUN), (DEMCR, 1 << 10)]);
    rig.pass(MS);
    assert_eq!([rig.read(DHCSR) & S_HALT, rig.read(DFSR), rig.chip.register(PC)], [S_HALT, VCATCH, FLASH + handler(3)]);
    assert_eq!(rig.chip.register(XPSR) & 0x1FF, 3);
}

#[test]
fn a_breakpoint_instruction_halts_for_a_debugger_and_faults_without_one() {
    let mut rig = program("stm32h743", &[NOP, BREAK, NOP, B_SELF]);
    rig.pass(MS);
    assert_eq!([exception(&rig), rig.read(HFSR) >> 31], [3, 1], "DEBUGEVT");
    restart(&mut rig);
    rig.write(DHCSR, RUN);
    rig.write(DFSR, 0x1F);
    rig.pass(MS);
    assert_eq!([rig.read(DHCSR) & S_HALT, rig.read(DFSR), rig.chip.register(PC)], [S_HALT, BKPT, FLASH + CODE + 2]);
    rig.chip.set_register(PC, FLASH + CODE + 4);
    rig.write(DHCSR, RUN);
    rig.pass(MS);
    assert_eq!([rig.read(DHCSR) & S_HALT, rig.chip.register(PC)], [0, FLASH + CODE + 6]);
}

#[test]
fn a_step_is_one_instruction() {
    let mut rig = program("stm32h743", &[ADDS_R0_1, ADDS_R0_1, 0xE7FC]);
    rig.write(DHCSR, HALT);
    rig.write(DFSR, 0x1F);
    rig.chip.set_register(PC, FLASH + CODE);
    rig.chip.set_register(0, 0);
    for (r0, at) in [(1, 2), (2, 4), (2, 0), (3, 2)] {
        rig.read(DHCSR);
        rig.write(DHCSR, STEP);
        rig.pass(1000);
        assert_eq!(rig.read(DHCSR) & (S_HALT | 1 << 24), S_HALT | 1 << 24, "halted, and S_RETIRE_ST");
        assert_eq!([rig.chip.register(0), rig.chip.register(PC)], [r0, FLASH + CODE + at]);
    }
    assert_eq!(rig.read(DFSR), 1);
}

#[test]
fn a_pending_interrupt_goes_before_a_step_unless_masked() {
    let mut rig = program("stm32h743", &[ADDS_R0_1, B_SELF]);
    rig.write(DHCSR, HALT);
    rig.chip.set_register(PC, FLASH + CODE);
    rig.write(ICSR, 1 << 28);
    rig.write(DHCSR, STEP_MASKED);
    rig.pass(1000);
    assert_eq!([exception(&rig), rig.chip.register(PC)], [0, FLASH + CODE + 2]);
    rig.write(DHCSR, STEP);
    rig.pass(1000);
    assert_eq!([exception(&rig), rig.chip.register(PC)], [14, FLASH + handler(14)]);
    assert_eq!(rig.read(DHCSR) & S_HALT, S_HALT);
}

#[test]
fn breakpoint_comparators_of_every_revision_halt_before_the_instruction() {
    let target = FLASH + CODE + 6;
    // FPB revision 2, revision 1 (BP_MATCH: upper half word), and the breakpoint unit of v6-M.
    for (name, comparator) in [("stm32h743", target | 1), ("f1-like", target & !3 | 2 << 30 | 1), ("stm32g071", target & !3 | 2 << 30 | 1)]
    {
        let mut rig = program(name, &[NOP, NOP, NOP, ADDS_R0_1, B_SELF]);
        rig.write_all(&[(0xE000_2008, comparator), (0xE000_2000, 3), (DFSR, 0x1F), (DHCSR, RUN)]);
        rig.pass(MS);
        assert_eq!([rig.read(DHCSR) & S_HALT, rig.chip.register(PC)], [S_HALT, target], "{name}");
        assert_eq!(rig.read(DFSR), BKPT, "{name}");
        rig.write(0xE000_2008, 0);
        rig.write(DHCSR, RUN);
        rig.pass(MS);
        assert_eq!(rig.chip.register(PC), target + 2, "{name}: taken away again");
    }
}

#[test]
fn a_comparator_without_a_debugger_does_nothing() {
    let mut rig = program("stm32h743", &[NOP, ADDS_R0_1, B_SELF]);
    rig.write_all(&[(0xE000_2008, (FLASH + CODE + 2) | 1), (0xE000_2000, 3)]);
    rig.pass(MS);
    assert_eq!(rig.chip.register(PC), FLASH + CODE + 4);
}

#[test]
fn a_watchpoint_stops_after_the_access_and_says_which() {
    // ldr r1, [pc, #8]; ldr r0, [r1]; adds r0, #1; str r0, [r1]; nop; b .; .word RAM + 0x44
    let code = [0x4902, LDR_R0_R1, ADDS_R0_1, STR_R0_R1, NOP, B_SELF, 0x0044, 0x2000];
    for (name, function, after) in [("stm32h743", 6, 8), ("stm32h743", 5, 4), ("stm32g071", 7, 4)] {
        let mut rig = program(name, &code);
        let comparator = [(0xE000_1020, RAM + 0x40), (0xE000_1024, 3), (0xE000_1028, function)];
        rig.write_all(&comparator);
        rig.write_all(&[(DEMCR, 1 << 24), (DFSR, 0x1F), (DHCSR, RUN)]);
        rig.pass(MS);
        assert_eq!([rig.read(DHCSR) & S_HALT, rig.read(DFSR)], [S_HALT, DWTTRAP], "{name} {function}");
        assert_eq!(rig.chip.register(PC), FLASH + CODE + after, "{name} {function}");
        assert_eq!([rig.read(0xE000_1028) >> 24, rig.read(0xE000_1028) >> 24], [1, 0], "{name}: MATCHED clears when read");
    }
}

#[test]
fn sleep_shows_and_ends_with_systick() {
    let mut rig = program("stm32g071", &[WFI, ADDS_R0_1, 0xE7FC]);
    rig.write(DHCSR, RUN);
    rig.pass(MS);
    assert_eq!(rig.read(DHCSR) & (S_SLEEP | S_HALT), S_SLEEP);
    put(&mut rig, handler(15), &[BX_LR]);
    rig.write_all(&[(0xE000_E014, 15_999), (0xE000_E018, 0), (0xE000_E010, 7)]);
    rig.pass(10 * MS + MS / 2);
    assert_eq!(rig.read(DHCSR) & S_SLEEP, S_SLEEP);
    rig.write(DHCSR, HALT);
    assert_eq!(rig.chip.register(0).wrapping_add(1), 10, "one turn a millisecond at 16 MHz");
}

#[test]
fn svc_and_pendsv_nest_by_priority_and_return() {
    let mut rig = program("stm32h743", &[SVC, B_SELF]);
    rig.pass(MS);
    assert_eq!([exception(&rig), stacked(&mut rig, 6)], [11, FLASH + CODE + 2]);
    rig.write(ICSR, 1 << 28);
    rig.pass(MS);
    assert_eq!([exception(&rig), rig.read(ICSR) >> 12 & 0x1FF], [11, 14], "the same priority waits");
    rig.write(0xE000_ED1C, 0x8000_0000);
    rig.pass(MS);
    assert_eq!([exception(&rig), rig.read(SHCSR)], [14, 1 << 10 | 1 << 7], "now it preempts");
    assert_eq!([rig.chip.register(14), rig.read(ICSR) >> 11 & 1], [0xFFFF_FFF1, 0]);
    rig.write(DHCSR, HALT);
    put(&mut rig, handler(14), &[BX_LR]);
    put(&mut rig, handler(11), &[BX_LR]);
    rig.write(DHCSR, RUN);
    rig.pass(MS);
    assert_eq!([exception(&rig), rig.chip.register(PC), rig.chip.register(13)], [0, FLASH + CODE + 2, STACK]);
}

#[test]
fn an_exc_return_that_fits_nothing_is_invpc() {
    // In the SVC handler: movs r0, #0xC (mvns) → bx with 0xFFFFFFF3
    let mut rig = program("stm32h743", &[SVC]);
    put(&mut rig, handler(11), &[0x200C, 0x43C0, 0x4700]);
    rig.pass(MS);
    assert_eq!([exception(&rig), rig.read(CFSR)], [3, 1 << 18]);
}

#[test]
fn fp_registers_are_stacked_when_the_handler_uses_them() {
    // vmov s1, r0; svc; vmov r2, s1; b .
    let code = [0xEE00, 0x0A90, SVC, 0xEE10, 0x2A90, B_SELF];
    let mut rig = program("stm32h743", &code);
    rig.write(DHCSR, HALT);
    rig.chip.set_register(0, 0x4048_F5C3);
    rig.chip.set_register(PC, FLASH + CODE);
    rig.write(0xE000_ED88, 0xF << 20);
    rig.write(DHCSR, RUN);
    rig.pass(MS);
    assert_eq!([exception(&rig), rig.chip.register(14), rig.read(FPCCR) & 1], [11, 0xFFFF_FFE9, 1], "LSPACT");
    assert_eq!(rig.chip.register(13), STACK - 0x68);
    let place = rig.read(0xE000_EF38);
    assert_eq!(place, STACK - 0x48);
    rig.write(DHCSR, HALT);
    // vmov s1, lr; bx lr
    put(&mut rig, handler(11), &[0xEE00, 0xEA90, BX_LR]);
    rig.write(DHCSR, STEP);
    rig.pass(1000);
    assert_eq!([rig.read(FPCCR) & 1, rig.read(place + 4)], [0, 0x4048_F5C3], "saved by the first FP instruction");
    rig.write(DHCSR, RUN);
    rig.pass(MS);
    assert_eq!([rig.chip.register(2), exception(&rig), rig.chip.register(13)], [0x4048_F5C3, 0, STACK]);
}

#[test]
fn without_cpacr_an_fp_instruction_is_nocp() {
    let mut rig = program("stm32h743", &[0xEE00, 0x0A90]);
    rig.pass(MS);
    assert_eq!([exception(&rig), rig.read(CFSR)], [3, 1 << 19]);
}

#[test]
fn the_mpu_refuses_and_tells_where() {
    // ldr r1, [pc, #4]; ldr r0, [r1]; str r0, [r1]; b .; .word RAM + 0x40
    let code = [0x4901, LDR_R0_R1, STR_R0_R1, B_SELF, 0x0040, 0x2000];
    for (name, exception_number) in [("stm32h743", 4), ("stm32g071", 3)] {
        let mut rig = program(name, &code);
        // Region 0: 64 bytes at RAM, read-only (AP 5); the rest as without MPU (PRIVDEFENA). 64 more at 0x40: region 1.
        rig.write_all(&[(0xE000_ED9C, (RAM + 0x40) | 0x10), (0xE000_EDA0, 5 << 24 | 7 << 1 | 1), (0xE000_ED94, 5)]);
        if name == "stm32h743" {
            rig.write(SHCSR, 1 << 16);
        }
        rig.pass(MS);
        assert_eq!([exception(&rig), stacked(&mut rig, 6)], [exception_number, FLASH + CODE + 4], "{name}");
        if name == "stm32h743" {
            assert_eq!([rig.read(CFSR), rig.read(MMFAR)], [0x82, RAM + 0x40]);
        }
    }
}

#[test]
fn code_in_peripherals_is_never_executed() {
    // movs r0, #0x40; lsls r0, #24; adds r0, #1; bx r0
    let mut rig = program("stm32h743", &[0x2040, 0x0600, 0x3001, 0x4700]);
    rig.pass(MS);
    assert_eq!([exception(&rig), rig.read(CFSR), stacked(&mut rig, 6)], [3, 1, 0x4000_0000], "IACCVIOL");
}

#[test]
fn a_branch_to_an_even_address_leaves_thumb_state() {
    // movs r0, #8; lsls r0, #24; bx r0
    let mut rig = program("stm32h743", &[0x2008, 0x0600, 0x4700]);
    rig.pass(MS);
    assert_eq!([exception(&rig), rig.read(CFSR), stacked(&mut rig, 7) & 1 << 24], [3, 1 << 17, 0], "INVSTATE");
}

#[test]
fn v6m_faults_on_an_unaligned_access_and_v7m_when_told_to() {
    // ldr r1, [pc, #0]; ldr r0, [r1]; .word RAM + 0x41 … then b .
    let code = [0x4901, LDR_R0_R1, B_SELF, NOP, 0x0041, 0x2000];
    let mut rig = program("stm32g071", &code);
    rig.pass(MS);
    assert_eq!(exception(&rig), 3);
    let mut rig = program("stm32h743", &code);
    rig.pass(MS);
    assert_eq!(rig.chip.register(PC), FLASH + CODE + 4);
    restart(&mut rig);
    rig.write(0xE000_ED14, 1 << 3);
    rig.pass(MS);
    assert_eq!([exception(&rig), rig.read(CFSR)], [3, 1 << 24], "UNALIGNED");
}

#[test]
fn what_the_debugger_writes_is_what_the_core_executes() {
    let mut rig = program("stm32h743", &[B_SELF]);
    rig.write(DHCSR, HALT);
    rig.write(RAM + 0x100, u32::from(B_SELF) << 16 | u32::from(ADDS_R0_1));
    rig.chip.set_register(0, 0);
    rig.chip.set_register(PC, RAM + 0x100);
    rig.write(DHCSR, RUN);
    rig.pass(MS);
    // In place of `b .`: adds r0, #1, and `b .` after it.
    rig.write(RAM + 0x104, u32::from(B_SELF));
    rig.write(RAM + 0x100, u32::from(ADDS_R0_1) << 16 | u32::from(ADDS_R0_1));
    rig.pass(MS);
    assert_eq!([rig.chip.register(0), rig.chip.register(PC)], [2, RAM + 0x104]);
}

#[test]
fn a_busy_bank_stalls_the_code_in_it_for_as_long() {
    let mut rig = program("stm32h743", &[ADDS_R0_1, 0xE7FD]);
    rig.pass(MS);
    const SECTOR_7: u32 = 7 << 8;
    rig.write_all(&[(0x5200_2004, 0x4567_0123), (0x5200_2004, 0xCDEF_89AB), (0x5200_200C, 4 | 2 << 4 | SECTOR_7)]);
    rig.write(0x5200_200C, 4 | 2 << 4 | SECTOR_7 | 1 << 7);
    rig.pass(MS);
    let before = rig.chip.register(0);
    rig.pass(10 * MS);
    assert_eq!(rig.chip.register(0), before, "stalled");
    rig.pass(4000 * MS);
    assert_eq!(rig.read(0x5200_2010) & 5, 0, "the erase has ended");
    assert_ne!(rig.chip.register(0), before);
    rig.write(DHCSR, HALT);
    assert_eq!(rig.read(DHCSR) & S_HALT, S_HALT);
}

#[test]
fn a_second_in_a_loop_that_waits_costs_next_to_nothing() {
    let mut rig = program("stm32h743", &[B_SELF]);
    let before = rig.chip.instructions();
    rig.pass(10_000 * MS);
    assert!(rig.chip.instructions() - before < 10_000, "{}", rig.chip.instructions() - before);
    // A poll of a variable in RAM: ldr r1, [pc, #4]; ldr r0, [r1]; cmp r0, #7; bne back; b .
    let mut rig = program("stm32h743", &[0x4902, LDR_R0_R1, 0x2807, 0xD1FC, B_SELF, NOP, 0x0040, 0x2000]);
    rig.write(RAM + 0x40, 0);
    rig.pass(10_000 * MS);
    assert!(rig.chip.instructions() < 10_000);
    rig.write(RAM + 0x40, 7);
    rig.pass(MS);
    assert_eq!(rig.chip.register(PC), FLASH + CODE + 8, "and sees the change");
}

#[test]
fn cyccnt_counts_cycles_and_pcsr_samples_the_pc() {
    let mut rig = program("stm32h743", &[B_SELF]);
    assert_eq!(rig.read(0xE000_101C), u32::MAX, "without TRCENA");
    rig.write_all(&[(DEMCR, 1 << 24), (0xE000_1004, 0), (0xE000_1000, 1)]);
    rig.pass(MS);
    let cycles = rig.read(0xE000_1004);
    assert!((64_000..64_004).contains(&cycles), "{cycles} in a millisecond at 64 MHz");
    assert_eq!(rig.read(0xE000_101C), FLASH + CODE);
    rig.write(DHCSR, HALT);
    let halted = rig.read(0xE000_1004);
    rig.pass(MS);
    assert_eq!([rig.read(0xE000_1004), rig.read(0xE000_101C)], [halted, u32::MAX]);
}

#[test]
fn firmware_that_resets_itself_for_ever_is_paid_for_in_time() {
    // ldr r0, [pc, #4]; ldr r1, [pc, #8]; str r0, [r1]; b .
    let code = [0x4801, 0x4902, STR_R0_R1, B_SELF, 0x0004, 0x05FA, 0xED0C, 0xE000];
    let mut rig = program("stm32g071", &code);
    rig.pass(100 * MS);
    assert!(rig.chip.instructions() < 100_000);
    rig.write_all(&[(DHCSR, RUN), (DEMCR, 1)]);
    rig.pass(MS);
    assert_eq!(rig.read(DHCSR) & S_HALT, S_HALT, "vector catch holds it");
}

#[test]
fn whatever_is_in_memory_time_goes_on_and_the_debugger_can_halt() {
    for (name, seed) in
        ["bare-m0", "bare-m7", "bare-m7s", "stm32h743", "stm32g071"].into_iter().flat_map(|name| (1..12).map(move |seed| (name, seed)))
    {
        let mut rig = Rig::new(name);
        let mut state = 0x9E37_79B9u32.wrapping_mul(seed);
        for address in (0..0x2000).step_by(4) {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            rig.poke(FLASH + 0x100 + address, state);
        }
        load(&mut rig, &[]);
        (2..16).for_each(|number| rig.poke(FLASH + 4 * number, (FLASH + 0x100 + 0x88 * number) | 1));
        rig.chip.power_cycle();
        rig.pass(20 * MS);
        rig.chip.write(0, 0, DHCSR, Size::Word, HALT).unwrap();
        rig.pass(MS);
        assert_eq!(rig.read(DHCSR) & S_HALT, S_HALT, "{name} {seed}");
    }
}
