//! How fast RTT is on the embedded board: what a program that waits for room gets through a ring of 4 KiB, and whether one
//! that says 109 KiB/s for 5 s and does not wait loses any of it. Virtual time: the figures are the same in every run.

use rocd::command::Settings;
use rocd::event::{Event, Sink};
use rocd::host::{Cancel, Host};
use rocd::sim::{Board, Config};
use std::cell::Cell;
use std::rc::Rc;

/// Bytes from the program.
#[derive(Default)]
struct Count(Cell<usize>);

impl Sink for Count {
    fn emit(&self, event: Event) {
        if let Event::Target(bytes) = event {
            self.0.set(self.0.get() + bytes.len());
        }
    }
}

struct Desk(Host, Rc<Count>);

impl Desk {
    fn new(chip: &str, target: &str, program: &str, probe: &str) -> Desk {
        let board = Board::new(&Config { chip: Some(chip.into()), probe: Some(probe.into()), ..Config::default() }).unwrap();
        let count = Rc::<Count>::default();
        let host = Host::new(count.clone(), Cancel::default(), Settings::default(), 0).unwrap();
        host.file("sim").unwrap();
        host.file(target).unwrap();
        host.cx().board.borrow_mut().board = Some(board);
        let desk = Desk(host, count);
        desk.run(&format!("program {program} reset; sleep 5; rtt start"));
        desk
    }

    /// KiB, and seconds of the chip.
    fn run(&self, line: &str) -> (f64, f64) {
        self.1.0.set(0);
        let start = self.0.cx().now();
        self.0.line(line, &mut |_| {}).unwrap_or_else(|error| panic!("{line}: {error}"));
        (self.1.0.get() as f64 / 1024.0, (self.0.cx().now() - start).as_secs_f64())
    }
}

fn main() {
    println!("| chip | probe | waiting for room, KiB/s | 546.9 KiB in 5 s: KiB that came |\n|---|---|---|---|");
    for (chip, target, program) in [("stm32h743", "stm32h7", "rtt-h743.elf"), ("stm32g071", "stm32g0", "rtt-g071.elf")] {
        for probe in ["v2", "v2-1", "v3"] {
            let program = format!("{}/tests/firmware/{program}", env!("CARGO_MANIFEST_DIR"));
            let paced = Desk::new(chip, target, &program, probe).run("rtt write 0 p; sleep 5100").0;
            let (kib, seconds) = Desk::new(chip, target, &program, probe).run("rtt write 0 e; sleep 2000");
            println!("| {chip} | {probe} | {:.0} | {paced:.1} |", kib / seconds);
        }
    }
}
