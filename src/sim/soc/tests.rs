//! By raw register accesses: the debugger's through `Rig`, the core's on a bus of its own.

use super::*;
use crate::sim::boards::Pin;
use crate::sim::bus::Bus;
use crate::sim::chip::Size;
use crate::sim::chips;
use crate::sim::flash::Master;
use crate::sim::rig::{MS, Rig};
use gpio::Mode;

const AHB4ENR: u32 = 0x5802_44E0;
const GPIOB: u32 = 0x5802_0400;
const GPIOC: u32 = 0x5802_0800;
const MODER: u32 = 0x00;
const IDR: u32 = 0x10;
const ODR: u32 = 0x14;
const BSRR: u32 = 0x18;

fn pin(name: &str) -> Pin {
    Pin::parse(name).unwrap()
}

fn led(rig: &Rig, name: &str) -> LedState {
    rig.chip.leds().into_iter().find(|led| led.name == name).unwrap()
}

#[test]
fn an_led_shines_while_its_pin_drives_and_its_edges_have_times() {
    let mut rig = Rig::new("stm32h743");
    rig.write_all(&[(GPIOB + MODER, 1), (GPIOB + BSRR, 1)]);
    assert_eq!((rig.read(GPIOB + MODER), led(&rig, "LD1").edges), (0, 0), "the port has no clock");
    rig.write_all(&[(AHB4ENR, 1 << 1), (GPIOB + BSRR, 1)]);
    assert!(!led(&rig, "LD1").on, "the pin is no output");
    rig.write(GPIOB + MODER, 0xFFFF_FEBD);
    assert_eq!(led(&rig, "LD1"), LedState { name: "LD1", pin: pin("PB0"), on: true, edges: 1, period: None });
    for level in [1 << 16, 1, 1 << 16, 1] {
        rig.pass(250 * MS);
        rig.write(GPIOB + BSRR, level);
    }
    assert_eq!(led(&rig, "LD1"), LedState { name: "LD1", pin: pin("PB0"), on: true, edges: 5, period: Some(500 * MS) });
    rig.write(GPIOB + BSRR, 1);
    rig.write(GPIOB + ODR, 1);
    assert_eq!((led(&rig, "LD1").edges, led(&rig, "LD3").edges), (5, 0), "the same level is no edge");
    rig.chip.nrst(true);
    rig.chip.nrst(false);
    assert_eq!(led(&rig, "LD1"), LedState { name: "LD1", pin: pin("PB0"), on: false, edges: 0, period: None });
}

#[test]
fn a_pin_reads_what_drives_it() {
    let mut rig = Rig::new("stm32h743");
    rig.write_all(&[(AHB4ENR, 6), (GPIOC + MODER, 0)]);
    assert_eq!(rig.read(GPIOC + IDR), 0, "the button is not pressed");
    rig.chip.drive(pin("PC13"), true);
    assert_eq!(rig.read(GPIOC + IDR), 1 << 13);
    rig.write(GPIOC + MODER, 3 << 26);
    assert_eq!(rig.read(GPIOC + IDR), 0, "an analog pin reads 0");
    // PB3 output high, PB4 pull-up, PB5 open drain that lets go of its pull-up, PB6 open drain low against a level.
    rig.write_all(&[
        (GPIOB + MODER, 0b01_01_00_01 << 6),
        (GPIOB + 0x0C, 0b01_01 << 8),
        (GPIOB + 0x04, 3 << 5),
        (GPIOB + BSRR, 1 << 3 | 1 << 5),
    ]);
    rig.chip.drive(pin("PB6"), true);
    assert_eq!(rig.read(GPIOB + IDR), 1 << 3 | 1 << 4 | 1 << 5);
    let found: Vec<_> = rig.chip.pins().into_iter().map(|state| (state.pin.to_string(), state.mode, state.high, state.driven)).collect();
    assert!(found.contains(&("PB3".into(), Mode::Output, true, false)));
    assert!(found.contains(&("PB6".into(), Mode::Output, false, true)));
    assert!(!found.iter().any(|(name, ..)| name == "PA0"));
    assert_eq!(rig.chip.pin(pin("PL1")), None);
}

#[test]
fn the_button_of_a_g0_board_pulls_its_pin_down_when_it_is_pressed() {
    let mut rig = Rig::new("stm32g071");
    rig.write_all(&[(0x4002_1034, 4), (0x5000_0800, 0)]);
    assert_eq!(rig.read(0x5000_0810), 1 << 13);
    rig.chip.drive(pin("PC13"), false);
    assert_eq!(rig.read(0x5000_0810), 0);
    rig.write_all(&[(0x4002_1034, 1), (0x5000_0000, 0xEBFF_F7FF), (0x5000_0018, 1 << 5)]);
    assert!(led(&rig, "LD4").on);
    rig.write(0x5000_0028, 1 << 5);
    assert_eq!((led(&rig, "LD4").on, led(&rig, "LD4").edges), (false, 2));
}

#[test]
fn the_core_clock_follows_rcc_and_falls_back_with_a_reset() {
    let mut bus = Bus::new(chips::find("stm32g071").unwrap());
    bus.reset(Cause::Power, false);
    assert_eq!(bus.core_hz(), 16_000_000);
    let mut write = |address, value| bus.write(address, Size::Word, value, Master::Core).unwrap();
    write(0x4002_100C, 0x3000_0802);
    write(0x4002_1000, 0x0100_0500);
    write(0x4002_1008, 2);
    assert_eq!(bus.core_hz(), 64_000_000);
    assert_eq!(bus.read(0x4002_1008, Size::Word, Master::Core), Ok(0x12));
    // A Nucleo G0 has no crystal: HSE never gets ready, and SWS never follows.
    bus.write(0x4002_1000, Size::Word, 0x0101_0500, Master::Core).unwrap();
    bus.write(0x4002_1008, Size::Word, 1, Master::Core).unwrap();
    assert_eq!(bus.read(0x4002_1000, Size::Word, Master::Core), Ok(0x0301_0500));
    assert_eq!(bus.read(0x4002_1008, Size::Word, Master::Core), Ok(1));
    bus.reset(Cause::Request, false);
    assert_eq!(bus.core_hz(), 16_000_000);
}

#[test]
fn the_console_sends_once_it_is_clocked_and_enabled() {
    for (chip, enable, port, base) in [
        ("stm32h743", (0x5802_44E8, 1 << 18), "USART3", 0x4000_4800),
        ("stm32g071", (0x4002_103C, 1 << 17), "USART2", 0x4000_4400),
        ("stm32g0b1", (0x4002_103C, 1 << 20), "LPUART1", 0x4000_8000),
    ] {
        let mut rig = Rig::new(chip);
        rig.write_all(&[(base, 9), (base + 0x28, b'x'.into()), (enable.0, enable.1)]);
        assert_eq!([rig.read(base), rig.read(base + 0x1C)], [0, 0xC0], "{chip}");
        rig.write_all(&[(base + 0x28, b'y'.into()), (base + 0x0C, 0x300), (base, 0xD)]);
        assert_eq!(rig.read(base + 0x1C), 0x0060_00C0, "{chip}: TEACK and REACK");
        for byte in b"hi\n" {
            rig.write(base + 0x28, u32::from(*byte));
            rig.pass(MS);
        }
        assert_eq!(rig.chip.take_sent(None), Some(b"hi\n".to_vec()), "{chip}");
        assert_eq!(rig.chip.take_sent(Some(&port.to_lowercase())), Some(vec![]), "{chip}");
        assert_eq!(rig.chip.take_sent(Some("USART9")), None);
    }
}

/// (chip, base of IWDG, freeze register and bit, cause register and causes).
type Dog = (&'static str, u32, (u32, u32), (u32, u32));
const INDEPENDENT: [Dog; 2] = [
    ("stm32h743", 0x5800_4800, (0x5C00_1054, 18), (0x5802_44D0, 0x0442_0000)),
    ("stm32g071", 0x4000_3000, (0x4001_5808, 12), (0x4002_1060, 0x2400_0000)),
];

#[test]
fn the_independent_watchdog_resets_in_time_unless_it_is_refreshed() {
    for (chip, iwdg, _, (causes, wanted)) in INDEPENDENT {
        let mut rig = Rig::new(chip);
        rig.write(causes, 3 << 16 | 1 << 23);
        rig.write_all(&[(iwdg, 0xCCCC), (iwdg + 4, 3), (iwdg + 8, 99)]);
        assert_eq!([rig.read(iwdg + 4), rig.read(iwdg + 8)], [0, 0xFFF], "{chip}: locked");
        // 100 steps of 32 / 32 kHz.
        rig.write_all(&[(iwdg, 0x5555), (iwdg + 4, 3), (iwdg + 8, 99), (iwdg, 0xAAAA)]);
        for _ in 0..3 {
            rig.pass(99 * MS);
            rig.write(iwdg, 0xAAAA);
        }
        rig.pass(99 * MS);
        assert_eq!(rig.read(iwdg + 8), 99, "{chip}");
        rig.pass(MS);
        assert_eq!([rig.read(iwdg + 8), rig.read(causes) & 0xFF7E_0000], [0xFFF, wanted], "{chip}");
        rig.pass(10_000 * MS);
        assert_eq!(rig.read(iwdg + 8), 0xFFF, "{chip}: it is stopped by the reset");
    }
}

#[test]
fn a_refresh_before_the_window_resets() {
    let (_, iwdg, _, (causes, wanted)) = INDEPENDENT[1];
    let mut rig = Rig::new("stm32g071");
    rig.write_all(&[(causes, 1 << 23), (iwdg, 0xCCCC), (iwdg, 0x5555), (iwdg + 4, 3), (iwdg + 8, 99), (iwdg + 0x10, 50)]);
    rig.pass(51 * MS);
    rig.write(iwdg, 0xAAAA);
    assert_eq!(rig.read(causes), 0, "in the window");
    rig.pass(48 * MS);
    rig.write(iwdg, 0xAAAA);
    assert_eq!(rig.read(causes), wanted);
}

const DHCSR: u32 = 0xE000_EDF0;

#[test]
fn a_halted_core_freezes_a_watchdog_if_dbgmcu_says_so() {
    for (chip, iwdg, (freeze, bit), (causes, wanted)) in INDEPENDENT {
        let mut rig = Rig::new(chip);
        rig.write_all(&[(causes, 1 << 16 | 1 << 23), (DHCSR, 0xA05F_0003), (0x4002_103C, 1 << 27)].map(|write| match (chip, write.0) {
            ("stm32h743", 0x4002_103C) => (freeze, 0),
            _ => write,
        }));
        rig.write_all(&[(freeze, 1 << bit), (iwdg, 0xCCCC)]);
        rig.pass(5_000 * MS);
        assert_eq!(rig.read(causes) & 0xFF7E_0000, 0, "{chip}");
        rig.write(freeze, 0);
        rig.pass(511 * MS);
        assert_eq!(rig.read(causes) & 0xFF7E_0000, 0, "{chip}");
        rig.pass(MS);
        assert_eq!(rig.read(causes) & 0xFF7E_0000, wanted, "{chip}");
    }
}

#[test]
fn an_option_byte_starts_the_watchdog_with_every_reset() {
    let mut rig = Rig::new("stm32h743");
    rig.poke(0x5200_201C, 0x1006_AAE0);
    rig.chip.power_cycle();
    rig.write(0x5802_44D0, 1 << 16);
    for _ in 0..3 {
        rig.pass(513 * MS);
        assert_eq!(rig.read(0x5802_44D0), 0x0442_0000);
        rig.write(0x5802_44D0, 1 << 16);
    }
    let mut rig = Rig::new("stm32g071");
    rig.poke(0x4002_2020, 0xFFF7_FEAA);
    rig.chip.power_cycle();
    rig.write(0x4002_1060, 1 << 23);
    // 64 steps of 4096 / 16 MHz.
    rig.pass(17 * MS);
    assert_eq!(rig.read(0x4002_1060), 0x4400_0000);
}

#[test]
fn the_window_watchdog_counts_its_bus_clock_and_has_a_window() {
    let (wwdg, causes, wanted) = (0x4000_2C00, 0x4002_1060, 0x4400_0000);
    let mut rig = Rig::new("stm32g071");
    // 16 MHz / 4096 / 8: 2.048 ms a step.
    rig.write_all(&[(causes, 1 << 23), (0x4002_103C, 1 << 11), (wwdg + 4, 3 << 11 | 0x60), (wwdg, 0xFF)]);
    rig.pass(64 * 2_048_000 - 1);
    assert_eq!([rig.read(wwdg), rig.read(causes)], [0xC0, 0]);
    rig.pass(1);
    assert_eq!(rig.read(causes), wanted);
    rig.write_all(&[(causes, 1 << 23), (0x4002_103C, 1 << 11), (wwdg + 4, 3 << 11 | 0x60), (wwdg, 0xFF)]);
    rig.pass(31 * 2_048_000);
    rig.write(wwdg, 0xFF);
    assert_eq!(rig.read(causes), 0, "T = 0x60 is in the window");
    rig.write(wwdg, 0xFF);
    assert_eq!(rig.read(causes), wanted, "T = 0x7F is above it");
}

#[test]
fn the_window_watchdog_of_an_h7_resets_only_with_ww1rsc() {
    let (wwdg, apb3enr, gcr, rsr) = (0x5000_3000, 0x5802_44E4, 0x5802_44A0, 0x5802_44D0);
    for (ww1rsc, wanted) in [(0, 0), (1, 0x1042_0000)] {
        let mut rig = Rig::new("stm32h743");
        rig.write_all(&[(rsr, 1 << 16), (apb3enr, 1 << 6), (gcr, ww1rsc), (wwdg, 0xFF)]);
        rig.pass(10 * MS);
        assert_eq!(rig.read(rsr), wanted);
    }
}

/// (chip, clock enable, base of TIM2, of TIM3, timer clock in MHz).
const TIMERS: [(&str, u32, u32, u32, u32); 2] =
    [("stm32h743", 0x5802_44E8, 0x4000_0000, 0x4000_0400, 64), ("stm32g071", 0x4002_103C, 0x4000_0000, 0x4000_0400, 16)];

#[test]
fn a_timer_counts_and_flags_its_updates() {
    for (chip, enable, tim2, tim3, mhz) in TIMERS {
        let mut rig = Rig::new(chip);
        rig.write(tim3 + 0x2C, 9);
        assert_eq!(rig.read(tim3 + 0x2C), 0, "{chip}: no clock");
        rig.write_all(&[(enable, 3), (tim2 + 0x28, mhz - 1), (tim2 + 0x14, 1), (tim2 + 0x10, 0), (tim2, 1)]);
        rig.pass(70_000 * 1000 + 999);
        assert_eq!([rig.read(tim2 + 0x24), rig.read(tim2 + 0x10)], [70_000, 0], "{chip}: 32 bits in µs");
        rig.write(tim2, 0);
        rig.pass(MS);
        assert_eq!(rig.read(tim2 + 0x24), 70_000, "{chip}");
        // 10 steps of 1 ms: PSC comes with the update that EGR makes, which raises UIF.
        rig.write_all(&[(tim3 + 0x28, 1000 * mhz - 1), (tim3 + 0x2C, 9), (tim3 + 0x14, 1)]);
        assert_eq!(rig.read(tim3 + 0x10), 1, "{chip}");
        rig.write_all(&[(tim3 + 0x10, 0), (tim3, 1)]);
        rig.pass(9 * MS);
        assert_eq!([rig.read(tim3 + 0x24), rig.read(tim3 + 0x10)], [9, 0], "{chip}");
        rig.pass(1001 * MS);
        assert_eq!([rig.read(tim3 + 0x24), rig.read(tim3 + 0x10)], [0, 0x1F], "{chip}: CCR1 to CCR4 are 0 too");
        rig.write_all(&[(tim3 + 0x10, 0), (tim3 + 0x24, 4), (tim3, 0x11)]);
        rig.pass(3 * MS);
        assert_eq!(rig.read(tim3 + 0x24), 1, "{chip}: down from 4");
    }
}

#[test]
fn one_pulse_stops_the_counter_and_a_prescaler_waits_for_the_update() {
    let mut rig = Rig::new("stm32g071");
    let tim3 = 0x4000_0400;
    // The first 16,000 steps are undivided, 1 ms; then 1 µs each.
    rig.write_all(&[(0x4002_103C, 2), (tim3 + 0x28, 15), (tim3 + 0x2C, 15_999), (tim3, 1)]);
    rig.pass(MS + 5_000);
    assert_eq!(rig.read(tim3 + 0x24), 5);
    rig.write(tim3, 9);
    rig.pass(100 * MS);
    assert_eq!([rig.read(tim3), rig.read(tim3 + 0x24)], [8, 0]);
}

#[test]
fn a_timer_freezes_with_the_core_if_dbgmcu_says_so() {
    let mut rig = Rig::new("stm32h743");
    rig.write_all(&[(0x5802_44E8, 1), (DHCSR, 0xA05F_0003), (0x5C00_103C, 1), (0x4000_0000, 1)]);
    rig.pass(MS);
    assert_eq!(rig.read(0x4000_0024), 0);
    rig.write(0x5C00_103C, 0);
    rig.pass(MS);
    assert_eq!(rig.read(0x4000_0024), 64_000);
}

#[test]
fn the_clock_ticks_and_its_ready_flags_follow() {
    for (chip, rtc, bdcr) in
        [("stm32h743", 0x5800_4000, 0x5802_4470), ("stm32h7a3", 0x5800_4000, 0x5802_4470), ("stm32g071", 0x4000_2800, 0x4002_105C)]
    {
        let mut rig = Rig::new(chip);
        rig.write_all(&[(bdcr, 0x8101), (rtc + 0x24, 0xCA), (rtc + 0x24, 0x53), (rtc + 0x0C, 0x80)]);
        assert_eq!(rig.read(rtc + 0x0C), 0xE7, "{chip}: INITF");
        rig.write(rtc, 0x23_5958);
        rig.pass(5_000 * MS);
        assert_eq!(rig.read(rtc), 0x23_5958, "{chip}: it stands while it is set");
        rig.write(rtc + 0x0C, 0);
        rig.pass(3_000 * MS);
        assert_eq!([rig.read(rtc + 0x0C), rig.read(rtc)], [0x27, 0x00_0001], "{chip}");
        rig.chip.nrst(true);
        rig.chip.nrst(false);
        rig.pass(1_000 * MS);
        assert_eq!([rig.read(bdcr), rig.read(rtc)], [0x8103, 0x00_0002], "{chip}: the backup domain lives on");
    }
}

#[test]
fn only_what_the_core_touches_counts_as_touched() {
    let mut rig = Rig::new("stm32h743");
    rig.read(0x4001_3000);
    rig.write(0x4001_3000, 1);
    assert!(rig.chip.unmodelled().is_empty());
    let mut bus = Bus::new(rig.chip.row);
    bus.read(0x4001_3000, Size::Word, Master::Core).unwrap();
    bus.write(0x4001_3004, Size::Byte, 1, Master::Core).unwrap();
    bus.write(AHB4ENR, Size::Word, 1, Master::Core).unwrap();
    let found: Vec<_> = bus.periph.unmodelled.iter().map(|(place, count)| (*place, *count)).collect();
    assert_eq!(found, [(("SPI1,4", 0x4001_3000), 1), (("SPI1,4", 0x4001_3004), 1)]);
}

#[test]
fn what_the_core_polls_has_an_event() {
    let mut bus = Bus::new(chips::find("stm32g071").unwrap());
    bus.reset(Cause::Power, false);
    let mut write = |address, value| bus.write(address, Size::Word, value, Master::Core).unwrap();
    let tim3 = 0x4000_0400;
    [(0x4002_103C, 2), (tim3 + 0x28, 15), (tim3 + 0x14, 1), (tim3 + 0x2C, 999), (tim3 + 0x10, 0), (tim3, 1)]
        .iter()
        .for_each(|(at, value)| write(*at, *value));
    assert_eq!(bus.next_event(), None);
    bus.read(tim3 + 0x10, Size::Word, Master::Debugger).unwrap();
    assert_eq!(bus.next_event(), None, "the debugger waits for nothing");
    bus.read(tim3 + 0x10, Size::Word, Master::Core).unwrap();
    assert_eq!(bus.next_event(), Some(MS), "the update");
    bus.read(tim3 + 0x24, Size::Word, Master::Core).unwrap();
    assert_eq!(bus.next_event(), Some(1_000), "the next step");
    bus.advance(1_000);
    assert_eq!(bus.next_event(), None);
}

#[test]
fn a_silent_reader_does_not_fill_memory() {
    let mut rig = Rig::new("stm32g071");
    // 10 bits of 16 / 16 MHz: 10 µs a byte.
    rig.write_all(&[(0x4002_103C, 1 << 17), (0x4000_440C, 16), (0x4000_4400, 9)]);
    for n in 0..200_000u32 {
        rig.write(0x4000_4428, n & 0xFF);
        rig.pass(10_000);
    }
    let sent = rig.chip.take_sent(None).unwrap();
    assert!((uart::SENT..=2 * uart::SENT).contains(&sent.len()));
    assert_eq!(sent.last(), Some(&(199_999u32 as u8)));
}

/// Programs in RAM, started by the debugger.
mod run {
    use super::*;

    const RAM: u32 = 0x2000_0000;

    fn start(chip: &str, program: &[u16]) -> Rig {
        let mut rig = Rig::new(chip);
        launch(&mut rig, program);
        rig
    }

    /// Halts the core, writes the program and lets it run from its first instruction.
    fn launch(rig: &mut Rig, program: &[u16]) {
        rig.write(DHCSR, 0xA05F_0003);
        let words: Vec<u32> = program.chunks(2).map(|two| u32::from(two[0]) | u32::from(two[1]) << 16).collect();
        rig.store(RAM, &words);
        set_pc(rig);
        rig.write(DHCSR, 0xA05F_0000);
    }

    fn set_pc(rig: &mut Rig) {
        for (select, value) in [(15, RAM), (16, 0x0100_0000)] {
            rig.write(0xE000_EDF8, value);
            rig.write(0xE000_EDF4, 1 << 16 | select);
        }
    }

    #[test]
    fn a_loop_that_never_refreshes_is_reset_in_time_however_long_the_board_runs() {
        // r0 = 0x40003000; r1 = 0xCCCC; [r0] = r1; b .
        let program = [0x4801, 0x4902, 0x6001, 0xE7FE, 0x3000, 0x4000, 0xCCCC, 0x0000];
        let mut rig = start("stm32g071", &program);
        rig.write(0x4002_1060, 1 << 23);
        rig.pass(2_000 * MS);
        assert_eq!(rig.read(0x4002_1060), 0x2400_0000);
        assert_ne!(rig.chip.register(15) & !3, RAM + 4, "it runs what the reset starts");
    }

    #[test]
    fn a_loop_that_polls_a_timer_sees_each_step() {
        // r0 = TIM3; nop; loop: r1 = [r0, CNT]; nop; if r1 < 3: loop; b .
        let program = [0x4803, 0xBF00, 0x6A41, 0xBF00, 0x2903, 0xD3FB, 0xE7FE, 0xBF00, 0x0400, 0x4000];
        let mut rig = Rig::new("stm32g071");
        rig.write_all(&[(0x4002_103C, 2), (0x4000_0428, 15_999), (0x4000_0414, 1), (0x4000_0400, 1)]);
        launch(&mut rig, &program);
        rig.pass(2_999_000);
        assert_eq!(rig.chip.register(15) & !0xF, RAM, "still in the loop");
        assert!(rig.chip.register(1) < 3);
        rig.pass(3_000);
        assert_eq!((rig.chip.register(1), rig.chip.register(15)), (3, RAM + 0xC));
    }

    #[test]
    fn the_core_runs_at_the_speed_that_it_sets() {
        // r1 = 0x100; r0 = RCC; [r0] = HSION with HSIDIV = 2; loop: r2 = r2 + 1; b loop
        let program = [0x4802, 0x4903, 0x6001, 0x2200, 0x3201, 0xE7FD, 0x1000, 0x4002, 0x0900, 0x0000];
        let mut rig = start("stm32g071", &program);
        rig.pass(MS);
        let slow = rig.chip.register(2);
        rig.pass(10 * MS);
        let turns = rig.chip.register(2) - slow;
        // 8 MHz, 3 cycles a turn.
        assert!((26_600..26_700).contains(&turns), "{turns} turns in 10 ms");
        rig.write(0x4002_1000, 0x500);
        let slow = rig.chip.register(2);
        rig.pass(10 * MS);
        let turns = rig.chip.register(2) - slow;
        assert!((53_300..53_400).contains(&turns), "{turns} turns in 10 ms at 16 MHz");
    }

    #[test]
    fn what_firmware_touches_is_told() {
        // r0 = SPI1; r1 = [r0]; b .
        let mut rig = start("stm32g071", &[0x4801, 0x6801, 0xE7FE, 0xBF00, 0x3000, 0x4001]);
        rig.pass(MS);
        assert_eq!(rig.chip.unmodelled().iter().collect::<Vec<_>>(), [(&("SPI1", 0x4001_3000), &1)]);
    }
}
