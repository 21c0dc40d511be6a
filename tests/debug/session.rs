//! The same by rocd's own commands, and what they say.

use rocd::command::{Settings, Value};
use rocd::error::Error;
use rocd::event::{Event, Sink};
use rocd::host::{Cancel, Host};
use rocd::image::Image;
use std::path::Path;
use std::rc::Rc;

struct Deaf;

impl Sink for Deaf {
    fn emit(&self, _: Event) {}
}

/// Target file, and the firmware's endings: debug-*.elf, calls-o0-*.elf.
const CHIPS: [(&str, &str, &str); 2] = [("targets/stm32h7.toml", "m7", "h743"), ("targets/stm32g0.toml", "v6m", "g071")];

struct Desk {
    host: Host,
    image: Image,
}

impl Desk {
    /// The firmware is in flash and the core stands at its reset vector.
    fn new(target: &str, firmware: &str) -> Desk {
        let host = Host::new(Rc::new(Deaf), Cancel::default(), Settings::default(), 0).unwrap();
        host.file("interfaces/sim.toml").unwrap();
        host.file(target).unwrap();
        let image = Image::read(Path::new(firmware), None, None).unwrap();
        let desk = Desk { host, image };
        desk.run(&format!("program {firmware}; reset halt"));
        desk
    }

    fn at(&self, name: &str) -> u32 {
        let found = self.image.symbols.iter().find(|symbol| symbol.name == name);
        found.unwrap_or_else(|| panic!("no symbol {name}")).address & !1
    }

    fn value(&self, line: &str) -> Result<Value, Error> {
        let mut last = Value::None;
        self.host.line(line, &mut |outcome| last = outcome.result.clone().unwrap_or(Value::None))?;
        Ok(last)
    }

    fn run(&self, line: &str) -> String {
        self.value(line).unwrap_or_else(|error| panic!("{line}: {error}")).to_string()
    }

    fn fails(&self, line: &str) -> String {
        self.value(line).expect_err(line).message
    }

    fn reg(&self, name: &str) -> u32 {
        number(&self.run(&format!("reg {name}")))
    }

    fn word(&self, address: u32) -> u32 {
        number(&self.run(&format!("mdw {address:#x}")))
    }

    /// Why the core halted, and where.
    fn halted(&self, line: &str) -> (String, u32) {
        let text = self.run(line);
        let why = text.split_once("halted due to ").and_then(|(_, rest)| rest.split(',').next()).unwrap_or(&text).to_string();
        (why, self.reg("pc"))
    }

    fn goes_to(&self, why: &str, address: u32) {
        assert_eq!(self.halted("resume; wait_halt 100"), (why.to_string(), address), "{}", self.image.path);
    }

    fn stand(&self, label: &str) {
        self.run(&format!("reg xpsr 0x01000000; reg sp 0x20000800; reg pc {:#x}", self.at(label)));
    }
}

/// The number behind the colon of "pc (/32): 0x08000100 main (main.c:1)" and of "0x20000000: 12345678".
fn number(text: &str) -> u32 {
    let number = text.split_once(": ").unwrap().1.split_whitespace().next().unwrap();
    u32::from_str_radix(number.trim_start_matches("0x"), 16).unwrap_or_else(|_| panic!("{text}"))
}

const COUNTER: u32 = 0x2000_0100;

#[test]
fn a_breakpoint_is_met_left_by_resume_and_by_step_and_removed() {
    for (target, debug, _) in CHIPS {
        let desk = Desk::new(target, &format!("tests/debug/debug-{debug}.elf"));
        let at = desk.at("loop_store");
        desk.run(&format!("mww {COUNTER:#x} 0; bp {at:#x} 2"));
        desk.stand("loop");
        for round in 0..3 {
            desk.goes_to("breakpoint", at);
            assert_eq!(desk.word(COUNTER), round, "each resume is one turn");
        }
        assert_eq!(desk.halted("step"), ("single-step".to_string(), desk.at("loop_end")));
        assert_eq!(desk.word(COUNTER), 3);
        desk.goes_to("breakpoint", at);
        // A breakpoint on the next instruction: the step is a step, and going on does not stop there again.
        let next = desk.at("loop_end");
        desk.run(&format!("bp {next:#x} 2"));
        assert_eq!(desk.halted("step"), ("single-step".to_string(), next));
        desk.goes_to("breakpoint", at);
        desk.goes_to("breakpoint", next);
        desk.run("rbp all; resume; sleep 10");
        assert!(desk.fails("wait_halt 20").starts_with("timed out while waiting for target halted"));
        desk.run("halt");
        assert!(desk.word(COUNTER) > 100);
    }
}

#[test]
fn a_breakpoint_in_ram_is_an_instruction_and_the_old_one_comes_back() {
    for (target, debug, _) in CHIPS {
        let desk = Desk::new(target, &format!("tests/debug/debug-{debug}.elf"));
        // adds r0, #1; adds r1, #1; b to the first
        desk.run("mww 0x20000400 0x31013001; mwh 0x20000404 0xe7fc; reg r0 0; reg r1 0");
        desk.run("bp 0x20000402 2; reg xpsr 0x01000000; reg pc 0x20000400");
        assert_eq!(desk.word(0x2000_0400), 0xBE11_3001);
        for turn in 0..3 {
            desk.goes_to("breakpoint", 0x2000_0402);
            assert_eq!((desk.reg("r0"), desk.reg("r1")), (turn + 1, turn));
        }
        assert_eq!(desk.halted("step"), ("single-step".to_string(), 0x2000_0404));
        assert_eq!((desk.reg("r1"), desk.word(0x2000_0400)), (3, 0xBE11_3001));
        desk.run("rbp all");
        assert_eq!(desk.word(0x2000_0400), 0x3101_3001);
    }
}

#[test]
fn a_comparator_too_many_is_refused_with_how_many_there_are() {
    for (target, debug, _) in CHIPS {
        let desk = Desk::new(target, &format!("tests/debug/debug-{debug}.elf"));
        let (breakpoints, watchpoints) = if debug == "m7" { (8, 4) } else { (4, 2) };
        for n in 0..breakpoints {
            desk.run(&format!("bp {:#x} 2", 0x0800_0200 + 2 * n));
        }
        assert!(desk.fails("bp 0x08000300 2").starts_with(&format!("all {breakpoints} hardware breakpoints of core")));
        for n in 0..watchpoints {
            desk.run(&format!("wp {:#x} 4 w", 0x2000_0200 + 4 * n));
        }
        assert!(desk.fails("wp 0x20000300 4").starts_with(&format!("all {watchpoints} watchpoints of core")));
        if debug == "v6m" {
            desk.run("rbp all");
            assert!(desk.fails("bp 0x20000400 2 hw").contains("compares addresses below 0x20000000 only"));
        }
    }
}

#[test]
fn a_watchpoint_stops_behind_the_access_and_goes_on() {
    for (target, debug, _) in CHIPS {
        let desk = Desk::new(target, &format!("tests/debug/debug-{debug}.elf"));
        let (load, store) = (desk.at("loop_add"), desk.at("loop_end"));
        desk.run(&format!("mww {COUNTER:#x} 0; wp {COUNTER:#x} 4 w"));
        desk.stand("loop");
        for count in 1..4 {
            desk.goes_to("watchpoint", store);
            assert_eq!(desk.word(COUNTER), count);
        }
        desk.run(&format!("rwp all; wp {COUNTER:#x} 2 r"));
        desk.goes_to("watchpoint", load);
        desk.run(&format!("rwp all; wp {COUNTER:#x} 1 a"));
        desk.goes_to("watchpoint", store);
        desk.goes_to("watchpoint", load);
        desk.run(&format!("rwp all; wp {:#x} 4 a; resume; sleep 5", COUNTER + 4));
        assert!(desk.fails("wait_halt 5").starts_with("timed out"));
    }
}

#[test]
fn a_step_ends_sleep_and_goes_past_a_bkpt() {
    for (target, debug, _) in CHIPS {
        let desk = Desk::new(target, &format!("tests/debug/debug-{debug}.elf"));
        let step = |from: &str, to: &str| {
            desk.stand(from);
            assert_eq!(desk.halted("step"), ("single-step".to_string(), desk.at(to)), "{from}");
        };
        for (from, to) in
            [("straight", "straight_end"), ("call", "leaf"), ("sleep", "sleep_end"), ("stop", "stop_end"), ("wide", "wide_end")]
        {
            step(from, to);
        }
        step("service", "svcall");
        // Let go, an interrupt comes when its turn has come (ICSR.PENDSVSET); before a step: tests/stepping.rs.
        desk.run("reset halt");
        desk.stand("idle");
        desk.run(&format!("mww 0xe000ed04 0x10000000; bp {:#x} 2", desk.at("pendsv")));
        desk.goes_to("breakpoint", desk.at("pendsv"));
    }
}

#[test]
fn calls_interrupts_and_writes_of_c_programs_are_counted_by_stopping_at_each() {
    for (target, _, chip) in CHIPS {
        for level in [0, 2] {
            let desk = Desk::new(target, &format!("tests/firmware/calls-o{level}-{chip}.elf"));
            // The global takes 1 to 10; the startup code cleared it before main.
            desk.run(&format!("bp {:#x} 2", desk.at("main")));
            desk.goes_to("breakpoint", desk.at("main"));
            desk.run(&format!("rbp all; wp {:#x} 4 w", desk.at("written")));
            for n in 1..=10 {
                let (why, _) = desk.halted("resume; wait_halt 100");
                assert_eq!((why.as_str(), desk.word(desk.at("written"))), ("watchpoint", n), "-O{level} {chip}");
            }
            // fibonacci(6) is 25 calls, not optimised; its argument is in r0.
            let function = desk.at("fibonacci");
            desk.run(&format!("rwp all; bp {function:#x} 2"));
            desk.goes_to("breakpoint", function);
            assert_eq!(desk.reg("r0"), 6);
            for _ in 1..if level == 0 { 25 } else { 1 } {
                desk.goes_to("breakpoint", function);
            }
            // Two services, three ticks, and the end: BKPT 0xAB with the operation and its argument.
            desk.run("rbp all");
            let (why, pc) = desk.halted("resume; wait_halt 1000");
            assert_eq!((why.as_str(), desk.word(pc & !3) >> (8 * (pc & 2)) & 0xFFFF), ("breakpoint", 0xBEAB), "-O{level} {chip}");
            let result = if chip == "h743" { 8 + 6 } else { 8 };
            assert_eq!((desk.reg("r0"), desk.reg("r1")), (0x18, result), "-O{level} {chip}");
            assert_eq!((desk.word(desk.at("services")), desk.word(desk.at("ticks"))), (2, 3), "-O{level} {chip}");
            // It goes on behind it, to sleep.
            desk.run("resume; sleep 1");
            assert!(desk.run("targets").contains("sleeping"), "-O{level} {chip}");
        }
    }
}
