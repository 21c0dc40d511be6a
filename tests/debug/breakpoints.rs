//! FPB, BPU and BKPT: where they halt, where they do not, and how to go on.

use crate::bench::*;

const FP_CTRL: u32 = 0xE000_2000;
const FP_COMP: u32 = 0xE000_2008;
const ON: u32 = 3;

impl Bench {
    /// By a comparator, in the words of the unit's revision (C1.11.5): half words of a word below 0x20000000, or any address.
    fn break_at(&mut self, comparator: u32, address: u32) {
        let half = if address & 2 == 0 { 1 << 30 } else { 2 << 30 };
        let first = half | address & 0x1FFF_FFFC | 1;
        let value = if self.word(FP_CTRL) >> 28 == 0 { first } else { address | 1 };
        self.set(FP_COMP + 4 * comparator, value);
        self.set(FP_CTRL, ON);
    }

    fn comparators(&mut self) -> u32 {
        let ctrl = self.word(FP_CTRL);
        ctrl >> 8 & 0x70 | ctrl >> 4 & 0xF
    }

    fn counter(&mut self) -> u32 {
        self.word(COUNTER)
    }
}

#[test]
fn units_are_what_the_cores_have() {
    for (chip, revision, breakpoints) in [(H743, 2, 8), (G071, 1, 4), (M3, 1, 6)] {
        let mut bench = Bench::new(chip);
        assert_eq!((bench.word(FP_CTRL) >> 28, bench.comparators()), (revision - 1, breakpoints), "{chip}");
        // Only with its key, bit 1, is FP_CTRL written.
        bench.set(FP_CTRL, 1);
        assert_eq!(bench.word(FP_CTRL) & 3, 0, "{chip}");
        bench.set(FP_CTRL, 3);
        assert_eq!(bench.word(FP_CTRL) & 3, 1, "{chip}");
    }
}

#[test]
fn the_core_halts_before_the_instruction_on_either_half_of_a_word() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        for label in ["loop_load", "loop_add", "loop_store", "loop_end"] {
            let at = bench.at(label);
            bench.break_at(0, at);
            bench.set(COUNTER, 0);
            bench.stand("loop");
            assert_eq!(bench.runs_into(), (BKPT, at), "{chip}: {label}");
            let stored = u32::from(label == "loop_end");
            assert_eq!(bench.counter(), stored, "{chip}: {label} has not run, what is before it has");
        }
        assert!(["loop_load", "loop_add"].map(|label| bench.at(label) & 2) != [0, 0], "both halves were tried");
    }
}

#[test]
fn a_breakpoint_is_stepped_off_hit_again_and_removed() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        let at = bench.at("loop_store");
        bench.set(COUNTER, 0);
        bench.break_at(0, at);
        bench.stand("loop");
        for round in 0..3 {
            assert_eq!((bench.runs_into(), bench.counter()), ((BKPT, at), round), "{chip}");
            // Where it stands it is hit again, before anything is done.
            assert_eq!((bench.runs_into(), bench.counter()), ((BKPT, at), round), "{chip}");
            bench.set(FP_CTRL, 2);
            bench.step_masked();
            bench.set(FP_CTRL, ON);
            assert_eq!((bench.take_reasons(), bench.pc()), (HALTED, bench.at("loop_end")), "{chip}");
        }
        bench.set(FP_COMP, 0);
        bench.runs_on();
        assert!(bench.counter() > 100, "{chip}");
    }
}

#[test]
fn stepping_onto_a_breakpoint_is_a_step_and_running_from_there_is_a_hit() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        let (first, second) = (bench.at("loop_add"), bench.at("loop_store"));
        bench.break_at(1, second);
        bench.stand_at(first);
        bench.step_masked();
        assert_eq!((bench.take_reasons(), bench.pc()), (HALTED, second), "{chip}");
        bench.step_masked();
        assert_eq!((bench.take_reasons() & BKPT, bench.pc()), (BKPT, second), "{chip}: not executed by a step either");
        assert_eq!(bench.runs_into(), (BKPT, second), "{chip}");
    }
}

#[test]
fn every_comparator_works_and_those_that_are_not_there_read_0() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        let all = bench.comparators();
        let at = bench.at("loop_add");
        for comparator in 0..all {
            bench.break_at(comparator, at);
            bench.stand("loop");
            assert_eq!(bench.runs_into(), (BKPT, at), "{chip}: comparator {comparator}");
            bench.set(FP_COMP + 4 * comparator, 0);
        }
        let literals = bench.word(FP_CTRL) >> 8 & 0xF;
        for comparator in all..all + literals + 2 {
            bench.break_at(comparator, at);
            bench.stand("loop");
            bench.runs_on();
        }
        let beyond = FP_COMP + 4 * (all + literals);
        assert_eq!(bench.word(beyond), 0, "{chip}");
    }
}

#[test]
fn all_comparators_at_once_stop_at_each_place() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        let places = ["loop_load", "loop_add", "loop_store", "loop_end"].map(|label| bench.at(label));
        for (comparator, at) in (0..).zip(places) {
            bench.break_at(comparator, at);
        }
        bench.stand("loop");
        for at in places {
            assert_eq!(bench.runs_into(), (BKPT, at), "{chip}");
            bench.set(FP_CTRL, 2);
            bench.step_masked();
            bench.set(FP_CTRL, ON);
            bench.take_reasons();
        }
    }
}

#[test]
fn beside_an_instruction_and_in_its_second_half_nothing_is_hit() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        // DSB is 32 bits long: an instruction is compared where it begins (C1.11.2).
        let wide = bench.at("wide");
        for (place, at) in [("second half", wide + 2), ("before", wide - 2), ("elsewhere", wide + 0x10000)] {
            bench.break_at(0, at);
            bench.stand_at(wide);
            bench.runs_on();
            assert!((wide..wide + 8).contains(&bench.pc()), "{chip}: {place}");
        }
        // Disabled as a unit, or by the comparator's own bit.
        bench.break_at(0, wide);
        bench.set(FP_CTRL, 2);
        bench.stand_at(wide);
        bench.runs_on();
        let comparator = bench.word(FP_COMP);
        bench.set(FP_CTRL, ON);
        bench.set(FP_COMP, comparator & !1);
        bench.stand_at(wide);
        bench.runs_on();
    }
}

/// ADDS r0, #1; B to it.
const COUNTING: [u8; 4] = [0x01, 0x30, 0xFD, 0xE7];

#[test]
fn in_ram_revision_2_has_comparators_and_revision_1_has_bkpt() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.mem().write(RAM, &COUNTING).unwrap();
        bench.break_at(0, RAM + 2);
        bench.stand_at(RAM);
        bench.set_reg(0, 0);
        if chip == H743 {
            assert_eq!((bench.runs_into(), bench.reg(0)), ((BKPT, RAM + 2), 1));
        } else {
            // The comparator names 0x00000402 or so, which is not where this runs.
            bench.runs_on();
        }
        bench.set(FP_CTRL, 2);
        // Code that was decoded is changed under it.
        bench.set_half(RAM + 2, 0xBE11);
        bench.stand_at(RAM);
        bench.set_reg(0, 0);
        assert_eq!((bench.runs_into(), bench.reg(0)), ((BKPT, RAM + 2), 1), "{chip}");
        bench.set_half(RAM + 2, 0xE7FD);
        bench.runs_on();
        assert!(bench.reg(0) > 1, "{chip}");
    }
}

#[test]
fn a_semihosting_call_is_seen_where_it_stands_with_its_number_and_arguments() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("stop");
        bench.set_reg(0, 0x18);
        bench.set_reg(1, 0x20026);
        assert_eq!(bench.runs_into(), (BKPT, bench.at("stop")), "{chip}");
        let mut instruction = [0; 2];
        let at = bench.pc();
        bench.mem().read(at, &mut instruction).unwrap();
        assert_eq!((instruction, bench.reg(0), bench.reg(1)), ([0xAB, 0xBE], 0x18, 0x20026), "{chip}");
        // The debugger goes past it.
        bench.set_reg(PC, at + 2);
        bench.runs_on();
        assert_eq!(bench.pc(), bench.at("stop_end"), "{chip}");
    }
}

#[test]
fn a_bkpt_without_a_debugger_is_a_hardfault() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("stop");
        bench.set(DHCSR, 0xA05F_0000);
        bench.pass(1);
        bench.halt();
        assert_eq!((bench.pc(), bench.reg(XPSR) & 0x1FF), (bench.at("hard_fault_end"), 3), "{chip}");
        if chip != G071 {
            assert_eq!(bench.word(0xE000_ED2C), 1 << 31, "{chip}: HFSR.DEBUGEVT");
        }
        // A comparator alone, without a debugger, is nothing.
        let mut bench = Bench::new(chip);
        let at = bench.at("loop_add");
        bench.break_at(0, at);
        bench.stand("loop");
        bench.set(DHCSR, 0xA05F_0000);
        bench.pass(1);
        assert!(bench.counter() > 10, "{chip}");
        bench.control(C_DEBUGEN);
        bench.pass(1);
        assert_eq!((bench.take_reasons(), bench.pc()), (BKPT, at), "{chip}: armed by C_DEBUGEN while it runs");
    }
}

#[test]
fn a_breakpoint_set_while_the_core_runs_is_hit() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("loop");
        bench.resume();
        bench.pass(5);
        let at = bench.at("loop_end");
        bench.break_at(2, at);
        bench.pass(5);
        assert!(bench.is_halted(), "{chip}");
        assert_eq!((bench.take_reasons(), bench.pc()), (BKPT, at), "{chip}");
    }
}

#[test]
fn breakpoints_stay_over_a_reset() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        let at = bench.at("idle") + 2;
        bench.break_at(0, at);
        bench.reset();
        assert!(bench.is_halted(), "{chip}");
        assert_eq!((bench.take_reasons(), bench.pc()), (BKPT, at), "{chip}");
    }
}
