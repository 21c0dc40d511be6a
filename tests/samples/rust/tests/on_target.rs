//! `cargo test`: what is to be tested on the chip itself.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use cortex_m_semihosting::{hprint, hprintln};
use sample::{command_line, exit};

const TESTS: &[(&str, fn())] = &[("numbers_add_up", numbers_add_up), ("time_goes_on", time_goes_on)];

fn numbers_add_up() {
    assert_eq!((1..=10).sum::<u32>(), 55);
}

fn time_goes_on() {
    let mut core = cortex_m::Peripherals::take().unwrap();
    core.SYST.set_reload(0xFF_FFFF);
    core.SYST.clear_current();
    core.SYST.enable_counter();
    let before = cortex_m::peripheral::SYST::get_current();
    cortex_m::asm::delay(1000);
    assert_ne!(before, cortex_m::peripheral::SYST::get_current());
}

/// Words behind `cargo test --` choose tests by a part of their names; options of the usual harness are not known.
#[entry]
fn main() -> ! {
    let mut buffer = [0; 256];
    let line = command_line(&mut buffer);
    let mut wanted = line.split(' ').skip(1).filter(|word| !word.starts_with('-'));
    let wanted = wanted.next().unwrap_or("");
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(wanted)) {
        hprint!("test {} ... ", name);
        test();
        hprintln!("ok");
    }
    exit(0)
}
