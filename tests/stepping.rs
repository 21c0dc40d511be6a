//! A step is one instruction, whatever is pending: interrupts run before it and not into it, as with OpenOCD's maskisr `auto`.

use rocd::command::{Settings, Value};
use rocd::event::Silent;
use rocd::host::{Cancel, Host};
use rocd::sim::{Board, Config};
use std::rc::Rc;

/// Chip, target file, firmware.
const CORES: [(&str, &str, &str); 2] = [("stm32h743", "stm32h7", "calls-o0-h743.elf"), ("stm32g071", "stm32g0", "calls-o0-g071.elf")];
/// RAM for a program or a vector table, on both.
const RAM: u32 = 0x2000_4000;
/// ICSR with PENDSTSET (DDI0403 B3.2.4).
const PEND_SYSTICK: &str = "mww 0xe000ed04 0x04000000";

struct Desk {
    host: Host,
    chip: &'static str,
}

impl Desk {
    /// At the first instruction of fibonacci, with SysTick's interrupt enabled and nothing pending.
    fn in_fibonacci((chip, target, firmware): (&'static str, &str, &str)) -> Desk {
        let board = Board::new(&Config { chip: Some(chip.into()), ..Config::default() }).unwrap();
        let host = Host::new(Rc::new(Silent), Cancel::default(), Settings::default(), 0).unwrap();
        host.file("sim").unwrap();
        host.file(target).unwrap();
        host.cx().board.borrow_mut().board = Some(board);
        let desk = Desk { host, chip };
        desk.run(&format!("program tests/firmware/{firmware}; reset halt; bp fibonacci 2; resume; wait_halt; rbp all"));
        assert_eq!(desk.number("ticks"), 0, "{chip}: so far the program takes less than a tick");
        desk
    }

    fn run(&self, line: &str) -> Value {
        let mut last = Value::None;
        let done = self.host.line(line, &mut |outcome| last = outcome.result.clone().unwrap_or(Value::None));
        done.unwrap_or_else(|error| panic!("{line} on {}: {error}", self.chip));
        last
    }

    fn number(&self, symbol: &str) -> i64 {
        self.of(&format!("read_memory {symbol} 32 1"))
    }

    fn register(&self, name: &str) -> i64 {
        self.of(&format!("reg {name}"))
    }

    fn of(&self, line: &str) -> i64 {
        let value = match self.run(line) {
            Value::Shown(value, _) => *value,
            value => value,
        };
        match value {
            Value::Int(number) => number,
            Value::List(numbers) if matches!(numbers[..], [Value::Int(_)]) => match numbers[0] {
                Value::Int(number) => number,
                _ => unreachable!(),
            },
            other => panic!("{line} on {}: {other:?}", self.chip),
        }
    }

    /// pc, the exception that is handled, and how often SysTick's handler ran.
    fn place(&self) -> (i64, i64, i64) {
        (self.register("pc"), self.register("xPSR") & 0x1FF, self.number("ticks"))
    }
}

#[test]
fn what_is_pending_runs_before_a_step_and_the_step_is_the_programs() {
    for core in CORES {
        let desk = Desk::in_fibonacci(core);
        let (pc, ..) = desk.place();
        desk.run("step");
        assert_eq!(desk.place(), (pc + 2, 0, 0), "{}: nothing was pending", core.0);
        desk.run(PEND_SYSTICK);
        desk.run("step");
        assert_eq!(desk.place(), (pc + 4, 0, 1), "{}", core.0);
        desk.run("step");
        assert_eq!(desk.place(), (pc + 6, 0, 1), "{}: it is pending no more", core.0);
        assert_eq!(desk.run("bp").to_string(), "", "{}: what was set for it is gone", core.0);
        // A breakpoint of the user's where the core stands serves as well, and stays.
        desk.run(&format!("bp {} 2; {PEND_SYSTICK}; step", pc + 6));
        assert_eq!(desk.place(), (pc + 8, 0, 2), "{}", core.0);
        assert!(desk.run("bp").to_string().contains(&format!("{:#010x}", pc + 6)), "{}", core.0);
    }
}

#[test]
fn masked_interrupts_stay_pending_and_a_breakpoint_in_a_handler_is_a_stop() {
    for core in CORES {
        let desk = Desk::in_fibonacci(core);
        let (pc, ..) = desk.place();
        desk.run(&format!("reg primask 1; {PEND_SYSTICK}; step; step"));
        assert_eq!(desk.place(), (pc + 4, 0, 0), "{}", core.0);
        desk.run("reg primask 0; bp SysTick_Handler 2; step");
        let handler = desk.register("pc");
        assert_eq!((desk.register("xPSR") & 0x1FF, desk.number("ticks")), (15, 0), "{}", core.0);
        assert!(desk.run("targets; halt").to_string().contains("halted due to breakpoint"), "{}", core.0);
        // In a handler nothing of the same priority is let in.
        desk.run(&format!("{PEND_SYSTICK}; step"));
        assert_eq!((desk.register("pc"), desk.register("xPSR") & 0x1FF), (handler + 2, 15), "{}", core.0);
    }
}

#[test]
fn without_a_comparator_what_is_pending_waits() {
    for core in CORES {
        let desk = Desk::in_fibonacci(core);
        let (pc, ..) = desk.place();
        let most = if core.1 == "stm32h7" { 8 } else { 4 };
        for n in 0..most {
            desk.run(&format!("bp {:#x} 2 hw", 0x0800_1000 + 2 * n));
        }
        desk.run(&format!("{PEND_SYSTICK}; step"));
        assert_eq!(desk.place(), (pc + 2, 0, 0), "{}", core.0);
        desk.run("rbp 0x08001000; step");
        assert_eq!(desk.place(), (pc + 4, 0, 1), "{}", core.0);
    }
}

/// The handler itself comes by where the core stands, in RAM.
#[test]
fn a_handler_that_runs_the_code_that_is_stepped_returns_to_it() {
    for core in CORES {
        let desk = Desk::in_fibonacci(core);
        let (table, code) = (RAM, RAM + 0x200);
        // nop; nop; bx lr; b .
        desk.run(&format!("mww {code:#x} 0xbf00bf00; mww {:#x} 0xe7fe4770", code + 4));
        desk.run(&format!("mww {:#x} {:#x}; mww 0xe000ed08 {table:#x}", table + 15 * 4, code | 1));
        desk.run(&format!("reg pc {code:#x}; reg lr 0x08000041; {PEND_SYSTICK}; step"));
        assert_eq!((desk.register("pc"), desk.register("xPSR") & 0x1FF), (i64::from(code) + 2, 0), "{}", core.0);
        assert_eq!(desk.of("read_memory 0xe000ed04 32 1") & 0x1FF_F000, 0, "{}: it ran", core.0);
        assert_eq!(desk.of(&format!("read_memory {code:#x} 32 1")), 0xBF00_BF00, "{}: no BKPT is left", core.0);
    }
}

/// On OpenOCD's terms: 500 ms, then the core is left running.
#[test]
fn a_handler_without_end_is_told() {
    for core in CORES {
        let desk = Desk::in_fibonacci(core);
        // HardFault's is `b .`
        let endless = desk.of("read_memory 0x0800000c 32 1");
        desk.run(&format!("mww {:#x} {endless}; mww 0xe000ed08 {RAM:#x}; {PEND_SYSTICK}", RAM + 15 * 4));
        let error = desk.host.line("step", &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains("while letting pending interrupts run"), "{}: {error}", core.0);
        assert_eq!(desk.run("bp").to_string(), "", "{}", core.0);
        assert!(desk.run("targets").to_string().contains("running"), "{}", core.0);
    }
}
