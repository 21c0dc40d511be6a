//! DWT: what matches, what stands beside it, where the core stops, and the counters.

use crate::bench::*;

const DWT_CTRL: u32 = 0xE000_1000;
const CYCCNT: u32 = 0xE000_1004;
const PCSR: u32 = 0xE000_101C;
const COMP: u32 = 0xE000_1020;
const MASK: u32 = 0xE000_1024;
const FUNCTION: u32 = 0xE000_1028;
const PC_MATCH: u32 = 4;
const READ: u32 = 5;
const WRITE: u32 = 6;
const ACCESS: u32 = 7;
const MATCHED: u32 = 1 << 24;
const DATAVMATCH: u32 = 1 << 8;
/// Reads as one in comparator 1 of ARMv7-M.
const LNK1ENA: u32 = 1 << 9;

impl Bench {
    fn watch(&mut self, comparator: u32, address: u32, bytes: u32, function: u32) {
        self.trace();
        self.set(FUNCTION + 16 * comparator, 0);
        self.set(COMP + 16 * comparator, address);
        self.set(MASK + 16 * comparator, bytes.trailing_zeros());
        self.set(FUNCTION + 16 * comparator, function);
    }

    /// Stand at an access of `address` and let it run: did a watchpoint stop it?
    fn access_stops(&mut self, label: &str, address: u32) -> bool {
        let at = self.at(&format!("at_{label}"));
        self.stand_at(at);
        self.set_reg(0, address);
        self.resume();
        self.pass(1);
        let stopped = self.is_halted();
        self.halt();
        let reasons = self.take_reasons();
        assert_eq!(reasons, if stopped { DWTTRAP } else { HALTED }, "{label} of {address:#010x}");
        if stopped {
            assert_eq!(self.pc(), self.at(&format!("after_{label}")), "{label}: the access is done, and nothing after it");
        }
        stopped
    }
}

/// Label and bytes of an access at r0, and whether it writes.
const ACCESSES: &[(&str, u32, bool)] = &[
    ("str", 4, true),
    ("strh", 2, true),
    ("strb", 1, true),
    ("ldr", 4, false),
    ("ldrh", 2, false),
    ("ldrb", 1, false),
    ("stm", 16, true),
    ("ldm", 16, false),
];

#[test]
fn an_access_stops_if_it_touches_what_is_watched_in_the_way_that_is_watched() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        for (label, bytes, writes) in ACCESSES.iter().copied() {
            for function in [READ, WRITE, ACCESS] {
                for watched in [1u32, 2, 4, 8, 32] {
                    bench.watch(0, RAM, watched, function);
                    let step = bytes.min(4);
                    for offset in [0, step, watched.next_multiple_of(step), bytes.wrapping_neg(), 64] {
                        let address = RAM.wrapping_add(offset);
                        let touches = address < RAM + watched && address + bytes > RAM;
                        let expected = touches && (function == ACCESS || (function == WRITE) == writes);
                        let stopped = bench.access_stops(label, address);
                        assert_eq!(stopped, expected, "{chip}: {label} at {offset:#x}, {watched} bytes watched, function {function}");
                    }
                }
            }
        }
    }
}

#[test]
fn what_was_accessed_has_been_done_when_the_core_stands() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.watch(1, RAM, 4, ACCESS);
        bench.set(RAM, 0x1234_5678);
        bench.set_reg(1, 0x9ABC_DEF0);
        assert!(bench.access_stops("str", RAM));
        assert_eq!(bench.word(RAM), 0x9ABC_DEF0, "{chip}");
        bench.set_reg(1, 0);
        assert!(bench.access_stops("ldr", RAM));
        assert_eq!(bench.reg(1), 0x9ABC_DEF0, "{chip}");
        assert!(bench.access_stops("ldm", RAM - 8));
        assert_eq!(bench.reg(0), RAM + 8, "{chip}: all of the multiple load is done");
    }
}

#[test]
fn the_debuggers_own_accesses_do_not_match() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.watch(0, RAM, 4, ACCESS);
        bench.stand("wide");
        bench.resume();
        bench.set(RAM, 1);
        bench.word(RAM);
        bench.pass(1);
        assert!(!bench.is_halted(), "{chip}");
        assert_eq!(bench.word(FUNCTION), ACCESS, "{chip}");
    }
}

#[test]
fn matched_is_set_by_the_match_and_cleared_by_reading_it() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.watch(0, RAM, 4, WRITE);
        bench.watch(1, RAM + 4, 4, WRITE);
        assert!(bench.access_stops("str", RAM + 4));
        let mut functions = || [0, 16, 16].map(|at| bench.word(FUNCTION + at) & !LNK1ENA);
        assert_eq!(functions(), [WRITE, WRITE | MATCHED, WRITE], "{chip}");
        // It is set for whoever looks, also without a debugger that would be halted for.
        bench.stand("at_str");
        bench.set_reg(0, RAM);
        bench.set(DHCSR, 0xA05F_0000);
        bench.pass(1);
        assert!(!bench.is_halted(), "{chip}");
        assert_eq!([0, 0].map(|_| bench.word(FUNCTION)), [WRITE | MATCHED, WRITE], "{chip}");
    }
}

#[test]
fn masks_are_as_wide_as_they_read_back() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.watch(0, RAM & !0x3FF, 0x400, WRITE);
        assert_eq!(bench.word(MASK), 10, "{chip}");
        assert!(bench.access_stops("strb", (RAM & !0x3FF) + 0x3FF), "{chip}");
        assert!(!bench.access_stops("strb", (RAM & !0x3FF) + 0x400), "{chip}");
    }
}

#[test]
fn every_comparator_watches_and_no_more_are_there() {
    for (chip, count) in [(H743, 4), (G071, 2), (M3, 4)] {
        let mut bench = Bench::new(chip);
        assert_eq!(bench.word(DWT_CTRL) >> 28, count, "{chip}");
        for comparator in 0..count {
            bench.watch(comparator, RAM, 4, WRITE);
            assert!(bench.access_stops("str", RAM), "{chip}: comparator {comparator}");
            bench.set(FUNCTION + 16 * comparator, 0);
            assert!(!bench.access_stops("str", RAM), "{chip}: comparator {comparator} is off");
        }
        bench.watch(count, RAM, 4, WRITE);
        assert!(!bench.access_stops("str", RAM), "{chip}");
        assert_eq!(bench.word(FUNCTION + 16 * count), 0, "{chip}");
    }
}

#[test]
fn without_trcena_nothing_is_watched() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.watch(0, RAM, 4, WRITE);
        bench.set(DEMCR, 0);
        assert!(!bench.access_stops("str", RAM), "{chip}");
        bench.set(DEMCR, TRCENA);
        assert!(bench.access_stops("str", RAM), "{chip}");
    }
}

#[test]
fn the_frame_that_an_exception_pushes_is_an_access() {
    for chip in ALL {
        // r0 of the frame of SVC: written before its handler begins, read before the program goes on.
        for (offset, function, stop) in [(32, WRITE, Some("svcall")), (36, WRITE, None), (32, READ, Some("after_svc")), (0, READ, None)] {
            let mut bench = Bench::new(chip);
            bench.watch(0, STACK - offset, 4, function);
            bench.stand("at_svc");
            match stop {
                Some(label) => assert_eq!(bench.runs_into(), (DWTTRAP, bench.at(label)), "{chip}: function {function}"),
                None => bench.runs_on(),
            }
        }
    }
}

#[test]
fn a_push_is_watched_as_the_stack_grows() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        for (offset, stops) in [(4, true), (12, true), (16, false)] {
            bench.watch(0, STACK - offset, 4, WRITE);
            assert_eq!(bench.access_stops("push", 0), stops, "{chip}: {offset}");
        }
    }
}

#[test]
fn double_and_unaligned_accesses_touch_all_their_bytes() {
    for chip in V7M {
        let mut bench = Bench::new(chip);
        bench.watch(0, RAM + 4, 4, ACCESS);
        assert!(bench.access_stops("strd", RAM), "{chip}");
        assert!(bench.access_stops("ldrd", RAM), "{chip}");
        assert!(!bench.access_stops("strd", RAM + 8), "{chip}");
        // str.w r1, [r0, #1] ends in the next word.
        assert!(bench.access_stops("unaligned", RAM), "{chip}");
        assert!(!bench.access_stops("unaligned", RAM - 4), "{chip}");
    }
}

#[test]
fn a_watchpoint_met_by_a_step_is_said_with_the_step_and_not_later() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.watch(0, RAM, 4, WRITE);
        bench.stand("at_str");
        bench.set_reg(0, RAM);
        bench.step_masked();
        assert_eq!(bench.take_reasons(), HALTED | DWTTRAP, "{chip}");
        assert_eq!(bench.pc(), bench.at("after_str"), "{chip}");
        bench.runs_on();
    }
}

#[test]
fn halted_by_the_debugger_right_behind_a_watched_access_nothing_is_left_over() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.watch(0, COUNTER, 4, WRITE);
        bench.stand("loop");
        for _ in 0..50 {
            let (reasons, pc) = bench.runs_into();
            assert_eq!((reasons, pc), (DWTTRAP, bench.at("loop_end")), "{chip}");
        }
    }
}

#[test]
fn a_pc_match_stops_at_the_instruction_and_is_a_watchpoint() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        let at = bench.at("loop_add");
        bench.watch(0, at, 1, PC_MATCH);
        bench.stand("loop");
        assert_eq!(bench.runs_into(), (DWTTRAP, at), "{chip}");
        assert_eq!([0, 0].map(|_| bench.word(FUNCTION)), [PC_MATCH | MATCHED, PC_MATCH], "{chip}");
        bench.set(FUNCTION, 0);
        bench.runs_on();
        // Reading an instruction as data is no match.
        bench.watch(0, at & !3, 4, PC_MATCH);
        assert!(!bench.access_stops("ldr", at & !3), "{chip}");
    }
}

// ---- data value (C1.8.17): comparator 1 of Cortex-M3, M4 and M7 ----

/// DATAVSIZE of so many bytes; both linked addresses are `linked`, or the comparator itself for none.
fn value_match(function: u32, bytes: u32, linked: u32) -> u32 {
    function | DATAVMATCH | bytes.trailing_zeros() << 10 | linked << 12 | linked << 16
}

impl Bench {
    fn watch_value(&mut self, value: u32, function: u32) {
        self.trace();
        self.set(FUNCTION + 16, 0);
        self.set(COMP + 16, value);
        self.set(MASK + 16, 0);
        self.set(FUNCTION + 16, function);
    }

    fn write_stops(&mut self, label: &str, address: u32, value: u32) -> bool {
        self.set_reg(1, value);
        self.access_stops(label, address)
    }
}

#[test]
fn a_value_is_watched_anywhere_by_comparator_1() {
    for chip in V7M {
        let mut bench = Bench::new(chip);
        bench.watch_value(0xCAFE_F00D, value_match(WRITE, 4, 1));
        assert!(bench.write_stops("str", RAM, 0xCAFE_F00D), "{chip}");
        assert_eq!(bench.word(FUNCTION + 16) & MATCHED, MATCHED, "{chip}");
        assert!(bench.write_stops("str", RAM + 64, 0xCAFE_F00D), "{chip}: no address is linked");
        assert!(!bench.write_stops("str", RAM, 0xCAFE_F00C), "{chip}");
        assert!(!bench.write_stops("strh", RAM, 0xCAFE_F00D), "{chip}: smaller than the value");
        bench.set(RAM, 0xCAFE_F00D);
        assert!(!bench.access_stops("ldr", RAM), "{chip}: a read");
        bench.watch_value(0xCAFE_F00D, value_match(READ, 4, 1));
        assert!(bench.access_stops("ldr", RAM), "{chip}");
        assert!(!bench.write_stops("str", RAM + 4, 0xCAFE_F00D), "{chip}: a write");
    }
}

#[test]
fn a_value_is_watched_at_the_address_of_a_linked_comparator() {
    for chip in V7M {
        let mut bench = Bench::new(chip);
        bench.watch(0, RAM, 4, 0);
        bench.watch_value(42, value_match(ACCESS, 4, 0));
        assert!(bench.write_stops("str", RAM, 42), "{chip}");
        assert!(!bench.write_stops("str", RAM, 43), "{chip}: another value");
        assert!(!bench.write_stops("str", RAM + 4, 42), "{chip}: another address");
        bench.set(RAM, 42);
        assert!(bench.access_stops("ldr", RAM), "{chip}");
        // Two addresses: comparators 0 and 2.
        bench.watch(2, RAM + 16, 4, 0);
        let function = ACCESS | DATAVMATCH | 2 << 10 | 2 << 16;
        bench.watch_value(42, function);
        assert_eq!(bench.word(FUNCTION + 16) & !MATCHED, function | LNK1ENA, "{chip}: LNK1ENA, and what was written");
        assert!(bench.write_stops("str", RAM, 42) && bench.write_stops("str", RAM + 16, 42), "{chip}");
        assert!(!bench.write_stops("str", RAM + 8, 42), "{chip}");
    }
}

#[test]
fn a_byte_or_half_word_is_found_in_the_lane_where_it_lies() {
    for chip in V7M {
        let mut bench = Bench::new(chip);
        // The comparator holds a smaller value in every lane (C1.8.17).
        bench.watch_value(0x5A5A_5A5A, value_match(WRITE, 1, 1));
        assert!(bench.write_stops("strb", RAM + 3, 0x5A), "{chip}");
        assert!(bench.write_stops("str", RAM, 0x1234_5A78), "{chip}: a byte of a word");
        assert!(!bench.write_stops("str", RAM, 0x05A0_A505), "{chip}");
        bench.watch_value(0xBEEF_BEEF, value_match(WRITE, 2, 1));
        assert!(bench.write_stops("strh", RAM + 2, 0xBEEF), "{chip}");
        assert!(bench.write_stops("str", RAM, 0xBEEF_0000), "{chip}");
        assert!(!bench.write_stops("str", RAM, 0x00BE_EF00), "{chip}: across half words");
        assert!(!bench.write_stops("strb", RAM, 0xEF), "{chip}");
    }
}

#[test]
fn only_comparator_1_compares_values_and_v6m_has_none() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.trace();
        for comparator in 0..bench.word(DWT_CTRL) >> 28 {
            bench.set(FUNCTION + 16 * comparator, DATAVMATCH);
            let kept = bench.word(FUNCTION + 16 * comparator) & DATAVMATCH != 0;
            assert_eq!(kept, chip != G071 && comparator == 1, "{chip}: comparator {comparator}");
        }
    }
}

// ---- counters and samples ----

#[test]
fn cyccnt_counts_while_the_core_runs_and_only_then() {
    for chip in V7M {
        let mut bench = Bench::new(chip);
        bench.trace();
        bench.set(CYCCNT, 1000);
        assert_eq!(bench.word(CYCCNT), 1000, "{chip}: not enabled, and halted");
        bench.set(DWT_CTRL, 1);
        bench.pass(5);
        assert_eq!(bench.word(CYCCNT), 1000, "{chip}: halted");
        bench.stand("loop");
        bench.resume();
        bench.pass(5);
        bench.halt();
        let count = bench.word(CYCCNT);
        let hz = if chip == H743 { 64_000 } else { 8_000 };
        assert!((5 * hz..6 * hz).contains(&count), "{chip}: {count} in 5 ms and a few transfers at {hz} kHz");
        assert_eq!(bench.word(CYCCNT), count, "{chip}: it stands still again");
        bench.stand("straight");
        bench.step_masked();
        let one = bench.word(CYCCNT) - count;
        assert!((1..4).contains(&one), "{chip}: {one} cycles for one instruction");
        bench.set(DEMCR, 0);
        let count = bench.word(CYCCNT);
        bench.stand("loop");
        bench.resume();
        bench.pass(1);
        assert_eq!(bench.word(CYCCNT), count, "{chip}: without TRCENA");
        bench.set(DEMCR, TRCENA);
        bench.set(DWT_CTRL, 0);
        assert_eq!(bench.word(CYCCNT) - count, bench.word(CYCCNT) - count, "{chip}");
    }
    let mut bench = Bench::new(G071);
    bench.trace();
    bench.set(DWT_CTRL, 1);
    bench.stand("loop");
    bench.resume();
    bench.pass(1);
    assert_eq!((bench.word(CYCCNT), bench.word(DWT_CTRL) & 1), (0, 0), "ARMv6-M has no counter");
}

#[test]
fn pc_samples_are_where_the_core_runs_and_all_ones_when_it_does_not() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.stand("loop");
        bench.resume();
        assert_eq!(bench.word(PCSR), u32::MAX, "{chip}: without TRCENA");
        bench.trace();
        let span = bench.at("loop_load")..=bench.at("loop_end");
        let mut seen = std::collections::BTreeSet::new();
        for n in 0..200 {
            bench.pass_us(10 + n);
            let sample = bench.word(PCSR);
            assert!(span.contains(&sample), "{chip}: {sample:#010x}");
            seen.insert(sample);
        }
        assert!(seen.len() > 1, "{chip}: {seen:x?}");
        assert!(!bench.is_halted(), "{chip}: nothing stopped it");
        bench.halt();
        assert_eq!(bench.word(PCSR), u32::MAX, "{chip}: halted");
    }
}
