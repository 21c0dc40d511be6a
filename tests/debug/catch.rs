//! Vector catch: each bit of DEMCR with a fault that it is for, and with one that it is not for (C1.6.5).

use crate::bench::*;

const CFSR: u32 = 0xE000_ED28;
const SHCSR: u32 = 0xE000_ED24;
const CCR: u32 = 0xE000_ED14;
const CPACR: u32 = 0xE000_ED88;

const CORERESET: u32 = 1 << 0;
const MMERR: u32 = 1 << 4;
const NOCPERR: u32 = 1 << 5;
const CHKERR: u32 = 1 << 6;
const STATERR: u32 = 1 << 7;
const BUSERR: u32 = 1 << 8;
const HARDERR: u32 = 1 << 10;
const CATCHES: [u32; 6] = [MMERR, NOCPERR, CHKERR, STATERR, BUSERR, HARDERR];

/// A fault: label, r0, r1, the catch that is for it, its handler. Nothing answers at 0x70000000; peripherals are never
/// executable.
type Fault = (&'static str, u32, u32, u32, &'static str);
const FAULTS: &[Fault] = &[
    ("at_ldr", 0x7000_0000, 0, BUSERR, "bus_fault"),
    ("undefined", 0, 0, STATERR, "usage_fault"),
    ("no_state", 0x0800_0100, 0, STATERR, "usage_fault"),
    ("divide", 1, 0, CHKERR, "usage_fault"),
    ("at_ldm", RAM + 2, 0, CHKERR, "usage_fault"),
    ("no_state", 0x4000_0001, 0, MMERR, "mem_manage"),
];
const FLOAT: Fault = ("float", 0, 0, NOCPERR, "usage_fault");

impl Bench {
    /// Every fault has a handler of its own, and dividing by 0 is one.
    fn faults_apart(&mut self) {
        self.set(SHCSR, 7 << 16);
        self.set(CCR, 0x210);
        self.set(CPACR, 0);
    }

    fn run_fault(&mut self, fault: &Fault) {
        self.stand(fault.0);
        self.set_reg(0, fault.1);
        self.set_reg(1, fault.2);
        self.resume();
        self.pass(1);
    }

    /// Halted by the catch: in the handler, before its first instruction.
    fn caught(&mut self, handler: &str) -> bool {
        let caught = self.is_halted();
        self.halt();
        let reasons = self.take_reasons();
        assert_eq!(reasons, if caught { VCATCH } else { HALTED });
        let end = if caught { handler.to_string() } else { format!("{handler}_end") };
        assert_eq!(self.pc(), self.at(&end));
        caught
    }

    /// Out of a handler: a reset, and its halt.
    fn afresh(&mut self) {
        self.set(DEMCR, CORERESET);
        self.reset();
        assert_eq!(self.take_reasons(), VCATCH);
        self.set(DEMCR, 0);
    }
}

#[test]
fn each_catch_stops_at_its_own_faults_and_no_others() {
    for chip in V7M {
        let mut bench = Bench::new(chip);
        let float = if chip == H743 { &[FLOAT][..] } else { &[] };
        for fault in FAULTS.iter().chain(float) {
            for catch in CATCHES {
                bench.afresh();
                bench.faults_apart();
                bench.set(DEMCR, catch);
                bench.run_fault(fault);
                assert_eq!(bench.caught(fault.4), catch == fault.3, "{chip}: {} with DEMCR {catch:#x}", fault.0);
            }
        }
    }
}

#[test]
fn flags_of_an_earlier_fault_do_not_choose_the_catch() {
    let mut bench = Bench::new(H743);
    for (earlier, fault) in [(FLOAT, FAULTS[1]), (FAULTS[3], FAULTS[1]), (FLOAT, FAULTS[3]), (FAULTS[1], FLOAT)] {
        bench.afresh();
        bench.faults_apart();
        bench.set(DEMCR, fault.3);
        bench.run_fault(&earlier);
        assert!(!bench.caught(earlier.4));
        let flags = bench.word(CFSR);
        // Back to thread mode with the flag still there, as after a handler that did not clear it.
        bench.set(SHCSR, 7 << 16);
        bench.run_fault(&fault);
        assert!(bench.caught(fault.4), "{} after {}", fault.0, earlier.0);
        assert_eq!(bench.word(CFSR) & flags, flags);
    }
}

#[test]
fn a_fault_of_the_entry_or_the_return_is_caught_by_interr() {
    const INTERR: u32 = 1 << 9;
    for chip in V7M {
        for catch in [INTERR, BUSERR, CHKERR] {
            let mut bench = Bench::new(chip);
            bench.faults_apart();
            bench.set(DEMCR, catch);
            // A stack where nothing is: the frame of SVC cannot be pushed, the BusFault preempts it.
            bench.set(0xE000_ED1C, 0x8000_0000);
            bench.stand("at_svc");
            bench.set_reg(SP, 0x7000_0100);
            bench.resume();
            bench.pass(1);
            assert_eq!(bench.caught("bus_fault"), catch != CHKERR, "{chip}: entry, DEMCR {catch:#x}");
            assert_eq!(bench.word(CFSR), 1 << 12, "{chip}: STKERR");
            // A return from it that cannot read the frame.
            let mut bench = Bench::new(chip);
            bench.faults_apart();
            bench.set(0xE000_ED1C, 0x8000_0000);
            bench.stand("at_svc");
            bench.step_masked();
            bench.set_reg(SP, 0x7000_0100);
            bench.set(DEMCR, catch);
            bench.take_reasons();
            bench.resume();
            bench.pass(1);
            assert_eq!(bench.caught("bus_fault"), catch != CHKERR, "{chip}: return, DEMCR {catch:#x}");
            assert_eq!(bench.word(CFSR), 1 << 11, "{chip}: UNSTKERR");
        }
    }
}

#[test]
fn a_hardfault_is_caught_on_every_core() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        for (catch, label, r0, caught) in [
            (HARDERR, "undefined", 0, true),
            (0, "undefined", 0, false),
            (HARDERR, "at_ldr", 0x7000_0000, true),
            (CORERESET, "at_ldr", 0x7000_0000, false),
        ] {
            bench.afresh();
            bench.set(DEMCR, catch);
            bench.run_fault(&(label, r0, 0, 0, ""));
            assert_eq!(bench.caught("hard_fault"), caught, "{chip}: {label} with DEMCR {catch:#x}");
            assert_eq!((bench.reg(XPSR) & 0x1FF, bench.word(STACK - 8)), (3, bench.at(label)), "{chip}: {label}");
        }
    }
}

#[test]
fn a_catch_is_for_a_debugger_alone() {
    for chip in ALL {
        let mut bench = Bench::new(chip);
        bench.set(DEMCR, HARDERR | CORERESET);
        bench.stand("undefined");
        bench.set(DHCSR, 0xA05F_0000);
        bench.pass(1);
        assert!(!bench.is_halted(), "{chip}");
        bench.reset();
        assert!(!bench.is_halted(), "{chip}");
        bench.halt();
        let idle = bench.at("idle");
        assert!((idle..idle + 8).contains(&bench.pc()), "{chip}: the program was started");
    }
}

#[test]
fn a_reset_is_caught_before_the_first_instruction() {
    for chip in ALL {
        for halted in [false, true] {
            let mut bench = Bench::new(chip);
            bench.stand("loop");
            bench.set(DEMCR, CORERESET);
            if !halted {
                bench.resume();
                bench.pass(1);
            }
            bench.state();
            bench.reset();
            let state = bench.state();
            assert_eq!(state & (S_HALT | S_RESET_ST | S_RETIRE_ST), S_HALT | S_RESET_ST, "{chip}: {state:#010x}");
            assert_eq!((bench.take_reasons(), bench.pc(), bench.reg(SP)), (VCATCH, bench.at("idle"), STACK), "{chip}");
            assert_eq!(bench.reg(LR), u32::MAX, "{chip}");
            bench.step_masked();
            assert_eq!(bench.pc(), bench.at("idle") + 2, "{chip}");
        }
    }
}

#[test]
fn demcr_keeps_what_the_architecture_has() {
    for (chip, bits) in [(H743, 0x0100_07F1), (M3, 0x0100_07F1), (G071, 0x0100_0401)] {
        let mut bench = Bench::new(chip);
        bench.set(DEMCR, 0xFF00_07F1);
        assert_eq!(bench.word(DEMCR), bits, "{chip}");
        bench.reset();
        assert_eq!(bench.word(DEMCR), bits, "{chip}: a reset leaves it");
    }
}
