//! A program that `cargo run` runs on the chip as if it were one of this machine.
#![no_std]
#![no_main]

use cortex_m_rt::entry;
use cortex_m_semihosting::hprintln;
use sample::{command_line, exit};

#[entry]
fn main() -> ! {
    let mut buffer = [0; 256];
    let line = command_line(&mut buffer);
    let mut words = line.split(' ').skip(1);
    match words.next() {
        Some("greet") => words.for_each(|name| hprintln!("hello, {}", name)),
        Some("exit") => exit(words.next().and_then(|code| code.parse().ok()).unwrap_or(2)),
        Some("panic") => panic!("no {} here", words.next().unwrap_or("reason")),
        Some("fault") => stray(),
        _ => {
            hprintln!("usage: sample greet NAME… | exit N | panic WHY | fault");
            exit(2);
        }
    }
    exit(0)
}

#[inline(never)]
fn stray() {
    // SAFETY: none; nothing answers there.
    unsafe { core::ptr::write_volatile(0x7000_0000 as *mut u32, 1) };
    cortex_m::asm::dsb();
}
