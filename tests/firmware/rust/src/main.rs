//! Logs a little of everything, then a count every millisecond.
#![no_std]
#![no_main]

use core::cell::Cell;
use cortex_m::interrupt::Mutex;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{entry, exception};
use defmt_rtt as _;

/// Core clock after a reset, kHz: STM32H743 (RM0433 8.5), STM32G071 (RM0444 5.2).
const KHZ: u32 = if cfg!(target_abi = "eabihf") { 64_000 } else { 16_000 };

static MS: Mutex<Cell<u32>> = Mutex::new(Cell::new(0));

defmt::timestamp!("{=u32:ms}", cortex_m::interrupt::free(|token| MS.borrow(token).get()));

#[derive(defmt::Format)]
struct Point {
    x: i16,
    y: i16,
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[exception]
fn SysTick() {
    cortex_m::interrupt::free(|token| {
        let ms = MS.borrow(token);
        ms.set(ms.get() + 1);
    });
}

#[entry]
fn main() -> ! {
    let mut core = cortex_m::Peripherals::take().unwrap();
    core.SYST.set_clock_source(SystClkSource::Core);
    core.SYST.set_reload(KHZ - 1);
    core.SYST.clear_current();
    core.SYST.enable_counter();
    core.SYST.enable_interrupt();

    defmt::println!("no level");
    defmt::trace!("{=str}", "trace");
    defmt::debug!("at {}", Point { x: -3, y: 70 });
    defmt::info!("{=u32:#010x} {=bool} {=f32}", 0xBEEF, true, 1.5);
    defmt::warn!("{=[u8]:a} {=[?]}", *b"ab\n", [Some(1u8), None]);
    defmt::error!("{0=4..8} {0=0..4:b}", 0xA5u8);
    let mut count = 0u32;
    loop {
        cortex_m::asm::wfi();
        count += 1;
        defmt::info!("count {=u32}", count);
    }
}
