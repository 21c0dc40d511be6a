//! How fast the board's core executes: millions of instructions a second on an integer and on a double-precision loop.
//!
//! The loops are tests/cpu/src/bench.c and benchfp.c, built by tests/cpu/build.sh.

use rocd::sim::semihost::{End, prepare, run};
use std::path::Path;
use std::time::Instant;

const LIMIT: u64 = 1_000_000_000_000;
const ROUNDS: usize = 5;

fn main() {
    for (name, what) in [("bench.m7.elf", "integer"), ("benchfp.m7.elf", "double precision")] {
        let elf = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cpu").join(name)).expect("the committed program");
        let best = (0..ROUNDS).map(|_| mips(&elf)).fold(0.0, f64::max);
        println!("{what}: {best:.1} MIPS");
    }
}

fn mips(elf: &[u8]) -> f64 {
    let (mut chip, mut host) = prepare("bare-m7", elf).expect("a program for this chip");
    let start = Instant::now();
    let end = run(&mut chip, &mut host, LIMIT, &mut |_| ()).expect("an open debug port");
    assert_eq!(end, End::Exit(0));
    chip.instructions() as f64 / start.elapsed().as_secs_f64() / 1e6
}
