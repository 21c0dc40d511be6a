//! C_STEP: one instruction of every kind, with interrupts and without.

use crate::bench::*;

/// Label that is stepped, label where pc then stands.
const COMMON: &[(&str, &str)] = &[
    ("straight", "straight_end"),
    ("branch", "branch_to"),
    ("not_taken", "not_taken_end"),
    ("call", "leaf"),
    ("load_many", "load_many_end"),
    ("load_many_end", "store_many_end"),
    ("sleep", "sleep_end"),
    ("service", "svcall"),
    ("mask", "unmask"),
    ("unmask", "unmask_end"),
    ("wide", "wide_end"),
    ("undefined", "hard_fault"),
];
const V7M_ONLY: &[(&str, &str)] = &[("conditional", "conditional_then"), ("compare_branch", "compare_branch_to"), ("table", "table_0")];

#[test]
fn one_instruction_of_every_kind_is_stepped_to_where_it_leads() {
    for chip in ALL {
        let more = if chip == G071 { &[][..] } else { V7M_ONLY };
        for (from, to) in COMMON.iter().chain(more) {
            for masked in [false, true] {
                let mut bench = Bench::new(chip);
                bench.stand(from);
                bench.set_reg(0, if *from == "load_many" || *from == "load_many_end" { RAM } else { 0 });
                if masked {
                    bench.step_masked()
                } else {
                    bench.step()
                }
                let to = bench.at(to);
                assert_eq!(bench.pc(), to, "{chip}: {from}, masked: {masked}");
                assert_eq!(bench.take_reasons(), HALTED, "{chip}: {from}");
            }
        }
    }
}

#[test]
fn a_step_does_what_the_instruction_does() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("straight");
        bench.set_reg(0, 41);
        bench.step_masked();
        assert_eq!(bench.reg(0), 42);

        bench.stand("call");
        bench.step_masked();
        let back = bench.at("call_back");
        assert_eq!(bench.reg(LR), back | 1);
        bench.step_masked();
        assert_eq!((bench.reg(SP), bench.word(STACK - 4)), (STACK - 8, back | 1), "push");
        bench.step_masked();
        bench.step_masked();
        assert_eq!((bench.pc(), bench.reg(SP)), (back, STACK), "pop into pc");

        for (n, value) in [0x11, 0x22, 0x33].into_iter().enumerate() {
            bench.set(RAM + 4 * n as u32, value);
        }
        bench.stand("load_many");
        bench.set_reg(0, RAM);
        bench.step_masked();
        assert_eq!([0, 1, 2, 3].map(|n| bench.reg(n)), [RAM + 12, 0x11, 0x22, 0x33], "{chip}");
    }
}

#[test]
fn an_it_block_is_stepped_with_its_state_in_xpsr() {
    for chip in V7M {
        for (zero, first, second) in [(true, 1, 1), (false, 0, 2)] {
            let mut bench = Bench::new(chip);
            bench.stand("conditional");
            bench.set_reg(XPSR, T | u32::from(zero) << 30);
            bench.set_reg(1, 0);
            bench.step_masked();
            // ITSTATE of ITE EQ: firstcond 0000, mask 1100 (A7.3.2); its bits 1:0 are xPSR 26:25, 7:2 are xPSR 15:10.
            assert_eq!(bench.reg(XPSR) & 0x0600_FC00, 0x0000_0C00, "{chip}");
            bench.step_masked();
            let (here, value) = (bench.pc(), bench.reg(1));
            assert_eq!((here, value), (bench.at("conditional_else"), first), "{chip}, Z = {zero}");
            bench.step_masked();
            let (here, value) = (bench.pc(), bench.reg(1));
            assert_eq!((here, value), (bench.at("conditional_end"), second), "{chip}, Z = {zero}");
            assert_eq!(bench.reg(XPSR) & 0x0600_FC00, 0, "the block is over");
        }
    }
}

#[test]
fn a_pending_interrupt_is_entered_by_a_step_unless_interrupts_are_masked() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("straight");
        bench.set(ICSR, PENDSVSET);
        bench.step_masked();
        assert_eq!((bench.pc(), bench.reg(XPSR) & 0x1FF), (bench.at("straight_end"), 0), "{chip}");
        assert_eq!(bench.word(ICSR) & PENDSVSET, PENDSVSET, "{chip}: it stays pending");

        bench.stand("straight");
        bench.set_reg(0, 7);
        bench.state();
        bench.step();
        // The entry is the step: nothing of the handler has run, and the frame says where it came from (C1.5.4).
        assert_eq!((bench.pc(), bench.reg(XPSR) & 0x1FF), (bench.at("pendsv"), 14), "{chip}");
        assert_eq!((bench.word(ICSR) & PENDSVSET, bench.reg(0), bench.reg(SP)), (0, 7, STACK - 32), "{chip}");
        assert_eq!((bench.word(STACK - 8), bench.reg(LR)), (bench.at("straight"), 0xFFFF_FFF9), "{chip}");
        bench.step();
        assert_eq!(bench.pc(), bench.at("pendsv_end"), "{chip}");
    }
}

#[test]
fn a_system_tick_comes_between_steps_only_when_it_may() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        // SysTick every 2 cycles of the core: RVR 1, CSR with interrupt and core clock.
        bench.set(TICKS, 0);
        bench.set(0xE000_E014, 1);
        bench.set(0xE000_E010, 7);
        bench.stand("loop");
        for _ in 0..30 {
            bench.step_masked();
            assert_eq!(bench.reg(XPSR) & 0x1FF, 0, "{chip}: a masked step does not leave the program");
        }
        assert_eq!(bench.word(TICKS), 0, "{chip}: `ticks`");
        bench.step();
        assert_eq!((bench.pc(), bench.reg(XPSR) & 0x1FF), (bench.at("systick"), 15), "{chip}");
    }
}

#[test]
fn a_handler_is_left_by_a_step_and_the_registers_are_those_of_the_program() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("service");
        (0..4).for_each(|n| bench.set_reg(n, 0x100 + n));
        bench.step_masked();
        assert_eq!((bench.pc(), bench.reg(XPSR) & 0x1FF), (bench.at("svcall"), 11), "{chip}");
        (0..4).for_each(|n| bench.set_reg(n, 0));
        bench.step_masked();
        assert_eq!(bench.pc(), bench.at("svcall_end"), "{chip}");
        bench.step_masked();
        assert_eq!((bench.pc(), bench.reg(XPSR) & 0x1FF, bench.reg(SP)), (bench.at("service_end"), 0, STACK), "{chip}");
        assert_eq!([0, 1, 2, 3].map(|n| bench.reg(n)), [0x100, 0x101, 0x102, 0x103], "{chip}");
    }
}

#[test]
fn the_step_that_leaves_a_handler_enters_the_next_one_unless_interrupts_are_masked() {
    for chip in ALL {
        for masked in [true, false] {
            let mut bench = Bench::new(chip);
            bench.stand("service");
            bench.step_masked();
            bench.set(ICSR, PENDSVSET);
            bench.step_masked();
            assert_eq!(bench.pc(), bench.at("svcall_end"), "{chip}");
            if masked {
                bench.step_masked()
            } else {
                bench.step()
            }
            let (to, exception, sp) = if masked { ("service_end", 0, STACK) } else { ("pendsv", 14, STACK - 32) };
            assert_eq!((bench.pc(), bench.reg(XPSR) & 0x1FF, bench.reg(SP)), (bench.at(to), exception, sp), "{chip}");
        }
    }
}

#[test]
fn masked_interrupts_stay_away_while_the_core_runs_and_svc_does_not() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("wide");
        bench.set(ICSR, PENDSVSET);
        bench.control(C_DEBUGEN | C_HALT | C_MASKINTS);
        bench.control(C_DEBUGEN | C_MASKINTS);
        bench.pass(1);
        bench.control(C_DEBUGEN | C_HALT | C_MASKINTS);
        let wide = bench.at("wide");
        assert!((wide..wide + 8).contains(&bench.pc()), "{chip}");
        bench.stand("service");
        bench.control(C_DEBUGEN | C_MASKINTS);
        bench.pass(1);
        bench.control(C_DEBUGEN | C_HALT);
        assert!(bench.pc() >= bench.at("service_end"), "{chip}: SVC was done");
        bench.stand("wide");
        bench.resume();
        bench.pass(1);
        bench.halt();
        assert_eq!((bench.pc(), bench.reg(XPSR) & 0x1FF), (bench.at("pendsv_end"), 14), "{chip}: no longer masked");
    }
}

#[test]
fn a_breakpoint_instruction_cannot_be_stepped() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("stop");
        bench.state();
        bench.step();
        assert_eq!(bench.pc(), bench.at("stop"), "{chip}");
        assert_eq!(bench.take_reasons() & BKPT, BKPT, "{chip}");
        assert_eq!(bench.state() & S_RETIRE_ST, 0, "{chip}: it is not retired");
    }
}

#[test]
fn writes_of_dhcsr_without_the_key_or_debug_do_nothing() {
    for chip in ALL {
        let mut bench = Bench::running(chip);
        for value in [C_DEBUGEN | C_HALT, 0x5FA0_0003, 0xA05F_0000 | C_HALT] {
            bench.set(DHCSR, value);
            assert_eq!(bench.state() & (S_HALT | 0xF), 0, "{chip}: {value:#x}");
        }
        bench.halt();
        // C_STEP means nothing while C_HALT stays (C1.6.2).
        bench.stand("straight");
        bench.control(C_DEBUGEN | C_HALT | C_STEP);
        assert_eq!(bench.pc(), bench.at("straight"), "{chip}");
        // Without C_DEBUGEN the core leaves debug state.
        bench.set(DHCSR, 0xA05F_0000);
        assert!(!bench.is_halted(), "{chip}");
    }
}

#[test]
fn sleep_lasts_no_longer_than_a_step() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("sleep");
        bench.step_masked();
        bench.step_masked();
        assert_eq!(bench.pc(), bench.at("sleep_end") + 2, "{chip}");
    }
}

#[test]
fn an_instruction_of_no_thumb_state_faults_when_it_is_stepped() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("straight");
        bench.set_reg(XPSR, 0);
        bench.step_masked();
        assert_eq!((bench.pc(), bench.reg(XPSR) & 0x1FF), (bench.at("hard_fault"), 3), "{chip}");
        if chip != G071 {
            assert_eq!(bench.word(0xE000_ED28), 1 << 17, "{chip}: CFSR.INVSTATE");
        }
    }
}
