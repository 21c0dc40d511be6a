//! What DHCSR and DFSR say of a core, halting it in any state, and every register there is.

use crate::bench::*;

#[test]
fn every_register_can_be_written_and_read_back() {
    // r0-r12, sp, lr, pc, xPSR, msp, psp; what each keeps of all ones and of a pattern (B1.4).
    for chip in ALL {
        let mut bench = Bench::new(chip);
        let flags = if bench.is_v6m() { 0xF000_0000 } else { 0xF800_0000 };
        for number in (0..19).filter(|number| *number != PC) {
            let kept = match number {
                SP | 17 | 18 => !3,
                XPSR => flags,
                _ => u32::MAX,
            };
            for value in [u32::MAX, 0xA5A5_5A5A, 0] {
                let value = if number == XPSR { value & 0xF800_0000 } else { value };
                bench.set_reg(number, value);
                assert_eq!(bench.reg(number), value & kept, "{chip}: register {number}");
            }
        }
        for number in 0..13 {
            bench.set_reg(number, 0x1000 + number);
        }
        assert!((0..13).all(|number| bench.reg(number) == 0x1000 + number), "{chip}: each is one of its own");
        bench.set_reg(PC, 0x0800_0051);
        assert_eq!(bench.pc(), 0x0800_0050, "{chip}: bit 0 is not kept");
        // CONTROL, FAULTMASK, BASEPRI, PRIMASK in one word, v6-M has the outer two.
        bench.set_reg(XPSR, T);
        bench.set_reg(20, 0x0201_F001);
        assert_eq!(bench.reg(20), if bench.is_v6m() { 0x0200_0001 } else { 0x0201_F001 }, "{chip}");
        bench.set_reg(18, 0x2000_0600);
        assert_eq!(bench.reg(SP), 0x2000_0600, "{chip}: CONTROL.SPSEL makes psp the sp");
        bench.set_reg(20, 0);
        bench.set_reg(17, 0x2000_0700);
        assert_eq!((bench.reg(SP), bench.reg(18)), (0x2000_0700, 0x2000_0600), "{chip}");
    }
}

#[test]
fn fp_registers_are_there_with_an_fpu() {
    let mut bench = Bench::new(H743);
    for number in 0..32 {
        bench.set_reg(0x40 + number, 0x3F80_0000 + number);
    }
    assert!((0..32).all(|number| bench.reg(0x40 + number) == 0x3F80_0000 + number));
    bench.set_reg(0x21, u32::MAX);
    assert_eq!(bench.reg(0x21), 0xF7C0_009F, "FPSCR");
    for chip in [G071, M3] {
        let mut bench = Bench::new(chip);
        bench.set_reg(0x40, 1);
        assert_eq!((bench.reg(0x40), bench.reg(0x21)), (0, 0), "{chip}");
    }
}

#[test]
fn registers_of_a_running_core_are_not_moved() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("wide");
        bench.set_reg(3, 0x3333);
        bench.resume();
        bench.set_reg(3, 0x4444);
        bench.set(0xE000_EDF8, 0x5555);
        assert_eq!(bench.reg(3), 0x5555, "{chip}: DCRDR keeps what was written");
        bench.halt();
        assert_eq!(bench.reg(3), 0x3333, "{chip}");
    }
}

#[test]
fn retired_says_that_something_ran_since_it_was_read() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("straight");
        bench.state();
        assert_eq!(bench.state() & S_RETIRE_ST, 0, "{chip}: halted");
        bench.step_masked();
        // `step_masked` looked at it.
        assert_eq!(bench.state() & S_RETIRE_ST, 0, "{chip}: cleared by the read");
        bench.control(C_DEBUGEN | C_STEP);
        assert_eq!(bench.state() & S_RETIRE_ST, S_RETIRE_ST, "{chip}: a step retires one");
        assert_eq!(bench.state() & S_RETIRE_ST, 0, "{chip}");
        // A few instructions and then a breakpoint instruction.
        bench.mem().write(RAM, &[0x01, 0x30, 0x01, 0x30, 0x00, 0xBE]).unwrap();
        bench.stand_at(RAM);
        bench.resume();
        bench.pass(1);
        let state = bench.state();
        assert_eq!(state & (S_HALT | S_RETIRE_ST), S_HALT | S_RETIRE_ST, "{chip}: {state:#010x}");
        // From the breakpoint instruction nothing retires.
        bench.resume();
        bench.pass(1);
        assert_eq!(bench.state() & (S_HALT | S_RETIRE_ST), S_HALT, "{chip}");
        bench.stand("idle");
        bench.resume();
        for _ in 0..3 {
            bench.pass(1);
            assert_eq!(bench.state() & S_RETIRE_ST, S_RETIRE_ST, "{chip}: it runs");
        }
    }
}

#[test]
fn a_sleeping_core_says_so_retires_nothing_and_can_be_halted() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("sleep");
        bench.resume();
        bench.pass(1);
        bench.state();
        bench.pass(5);
        let state = bench.state();
        assert_eq!(state & (S_SLEEP | S_HALT | S_LOCKUP | S_RETIRE_ST), S_SLEEP, "{chip}: {state:#010x}");
        bench.halt();
        assert_eq!(bench.state() & (S_SLEEP | S_HALT), S_HALT, "{chip}");
        assert_eq!((bench.pc(), bench.take_reasons()), (bench.at("sleep_end"), HALTED), "{chip}: WFI is done");
        // It goes on behind WFI, and sleeps again.
        bench.resume();
        bench.pass(1);
        assert_eq!(bench.state() & S_SLEEP, S_SLEEP, "{chip}");
        // Memory can be read while it sleeps, and it sleeps on.
        bench.word(RAM);
        assert_eq!(bench.state() & S_SLEEP, S_SLEEP, "{chip}");
        bench.set(ICSR, PENDSVSET);
        bench.pass(1);
        assert_eq!(bench.state() & S_SLEEP, 0, "{chip}: an interrupt ends it");
    }
}

/// A load where nothing is, in the handler of a HardFault.
fn lock_up(bench: &mut Bench) {
    bench.stand("at_ldr");
    bench.set_reg(0, 0x7000_0000);
    bench.set_reg(SP, 0x7000_0000);
    bench.resume();
    bench.pass(1);
    let handler = bench.at("hard_fault_end");
    bench.halt();
    assert_eq!(bench.pc(), handler);
    let at = bench.at("at_ldr");
    bench.set_reg(PC, at);
    bench.set_reg(0, 0x7000_0000);
    bench.take_reasons();
    bench.resume();
    bench.pass(1);
}

#[test]
fn a_core_in_lockup_says_so_can_be_halted_read_and_brought_back() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        lock_up(&mut bench);
        let state = bench.state();
        assert_eq!(state & (S_LOCKUP | S_HALT | S_SLEEP), S_LOCKUP, "{chip}: {state:#010x}");
        assert_eq!(bench.state() & S_LOCKUP, S_LOCKUP, "{chip}: it stays");
        bench.halt();
        assert_eq!(bench.state() & (S_LOCKUP | S_HALT), S_HALT, "{chip}");
        assert_eq!((bench.pc(), bench.reg(XPSR) & 0x1FF), (0xFFFF_FFFE, 3), "{chip}");
        assert_eq!(bench.reg(0), 0x7000_0000, "{chip}: registers are as they were");
        // Let go, it locks up again; with pc moved it runs.
        bench.resume();
        bench.pass(1);
        assert_eq!(bench.state() & S_LOCKUP, S_LOCKUP, "{chip}");
        bench.halt();
        bench.set_reg(SP, STACK);
        let idle = bench.at("idle");
        bench.set_reg(PC, idle);
        bench.resume();
        bench.pass(1);
        assert_eq!(bench.state() & (S_LOCKUP | S_HALT), 0, "{chip}");
        lock_up(&mut Bench::new(chip));
        bench.reset();
        assert_eq!(bench.state() & S_LOCKUP, 0, "{chip}: a reset ends it");
    }
}

#[test]
fn reset_is_seen_once_and_held_reset_always() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.state();
        assert_eq!(bench.state() & S_RESET_ST, 0, "{chip}");
        bench.reset();
        assert_eq!([0, 0].map(|_| bench.state() & S_RESET_ST), [S_RESET_ST, 0], "{chip}");
        bench.nrst(true);
        assert_eq!([0, 0].map(|_| bench.state() & (S_RESET_ST | S_HALT)), [S_RESET_ST; 2], "{chip}: as long as the pin is low");
        bench.nrst(false);
        assert_eq!([0, 0].map(|_| bench.state() & S_RESET_ST), [S_RESET_ST, 0], "{chip}");
        bench.board.press_reset();
        assert_eq!([0, 0].map(|_| bench.state() & S_RESET_ST), [S_RESET_ST, 0], "{chip}");
    }
}

#[test]
fn systick_stands_still_with_the_core() {
    const CVR: u32 = 0xE000_E018;
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.set(0xE000_E014, 0xFF_FFFF);
        bench.set(0xE000_E010, 5);
        bench.stand("wide");
        bench.runs_on();
        let count = bench.word(CVR);
        bench.pass(5);
        assert_eq!(bench.word(CVR), count, "{chip}");
        bench.runs_on();
        assert!(bench.word(CVR) < count - 1000, "{chip}");
    }
}

#[test]
fn dfsr_adds_up_until_ones_are_written() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("stop");
        bench.resume();
        bench.pass(1);
        bench.stand("wide");
        bench.resume();
        bench.halt();
        bench.set(DEMCR, 1);
        bench.reset();
        assert_eq!(bench.word(DFSR), HALTED | BKPT | VCATCH, "{chip}");
        bench.set(DFSR, BKPT);
        assert_eq!(bench.word(DFSR), HALTED | VCATCH, "{chip}");
        bench.set(DFSR, 0);
        assert_eq!(bench.word(DFSR), HALTED | VCATCH, "{chip}");
        bench.set(DFSR, u32::MAX);
        assert_eq!(bench.word(DFSR), 0, "{chip}");
    }
}

#[test]
fn debug_registers_live_through_a_system_reset() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        // DHCSR's C_DEBUGEN, DEMCR, DCRDR, FP_CTRL, FP_COMP0, DWT_COMP0, DWT_MASK0, DWT_FUNCTION0.
        let registers = [
            (DEMCR, 0x0100_0400),
            (0xE000_EDF8, 0x1234_5678),
            (0xE000_2000, 3),
            (0xE000_2008, 0x4800_0F01),
            (0xE000_1020, 0x2000_0F00),
            (0xE000_1024, 2),
            (0xE000_1028, 6),
        ];
        registers.iter().for_each(|(address, value)| bench.set(*address, *value));
        let before = registers.map(|(address, _)| bench.word(address));
        bench.reset();
        assert_eq!(registers.map(|(address, _)| bench.word(address)), before, "{chip}");
        assert_eq!(bench.state() & C_DEBUGEN, C_DEBUGEN, "{chip}");
    }
}

#[test]
fn halted_at_any_moment_the_core_is_between_two_instructions() {
    // SysTick every 50 cycles, so that entries and returns are often under way.
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.set(TICKS, 0);
        bench.set(0xE000_E014, 49);
        bench.set(0xE000_E010, 7);
        bench.stand("loop");
        let (systick, leaving) = (bench.at("systick"), bench.at("systick_end"));
        let (first, last) = (bench.at("loop"), bench.at("loop_end"));
        for n in 0..400 {
            bench.resume();
            bench.pass_us(n % 13);
            bench.halt();
            let (pc, exception, sp) = (bench.pc(), bench.reg(XPSR) & 0x1FF, bench.reg(SP));
            match exception {
                0 => assert!((first..=last).contains(&pc) && sp == STACK, "{chip}: {pc:#010x}, sp {sp:#010x}"),
                15 => assert!((systick..=leaving).contains(&pc) && sp == STACK - 32, "{chip}: {pc:#010x}, sp {sp:#010x}"),
                other => panic!("{chip}: exception {other}"),
            }
        }
        assert!(bench.word(TICKS) > 100, "{chip}: ticks came");
    }
}

#[test]
fn a_program_that_resets_itself_over_and_over_can_be_halted() {
    // AIRCR = SYSRESETREQ as the program's first act, in RAM beyond the reset: ldr r0, [pc]; ldr r1, [pc, 4]; str r1, [r0].
    for chip in ALL {
        let mut bench = Bench::new(chip);
        let idle = bench.at("idle");
        let code = [0x4801u16, 0x4902, 0x6001, 0xE7FE].map(u16::to_le_bytes).concat();
        let words = [AIRCR, SYSRESETREQ].map(u32::to_le_bytes).concat();
        // Literals are read from the next multiple of 4 behind pc.
        let code = [code, words].concat();
        let at = idle.next_multiple_of(4);
        bench.board.poke(at, &code).unwrap();
        bench.board.poke(4, &(at | 1).to_le_bytes()).ok();
        bench.board.poke(0x0800_0004, &(at | 1).to_le_bytes()).unwrap();
        bench.state();
        bench.reset();
        for _ in 0..20 {
            bench.resume();
            bench.pass(7);
            let state = bench.state();
            assert_eq!(state & (S_HALT | S_RESET_ST), S_RESET_ST, "{chip}: {state:#010x}");
            bench.halt();
            let pc = bench.pc();
            assert!((at..at + 8).contains(&pc), "{chip}: {pc:#010x}");
            bench.pass(7);
            assert!(bench.is_halted(), "{chip}: it stays halted");
        }
    }
}
