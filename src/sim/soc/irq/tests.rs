//! From a peripheral's flag to NVIC_ISPR, by raw register accesses.

use crate::sim::boards::Pin;
use crate::sim::chip::Size;
use crate::sim::chips;
use crate::sim::rig::{MS, Rig};

const US: u64 = 1_000;
const ICPR: u32 = 0xE000_E280;

/// Whether this interrupt is pending.
fn pending(rig: &mut Rig, number: u32) -> bool {
    rig.read(0xE000_E200 + number / 32 * 4) >> (number % 32) & 1 == 1
}

#[test]
fn numbers_are_those_that_the_core_has() {
    for row in chips::CHIPS {
        for block in row.blocks {
            assert!(block.irq.iter().all(|(number, _)| usize::from(*number) < row.core.interrupts), "{}: {}", row.name, block.name);
        }
    }
}

/// (chip, clock enable, TIM3, its interrupt, TIM6, its interrupt, timer clock in MHz).
const TIMERS: [(&str, u32, u32, u32, u32, u32, u32); 2] =
    [("stm32h743", 0x5802_44E8, 0x4000_0400, 29, 0x4000_1000, 54, 64), ("stm32g071", 0x4002_103C, 0x4000_0400, 16, 0x4000_1000, 17, 16)];

#[test]
fn an_update_interrupts_when_it_is_enabled_and_until_its_flag_is_cleared() {
    for (chip, enable, tim3, irq, tim6, other, mhz) in TIMERS {
        let mut rig = Rig::new(chip);
        rig.write_all(&[(enable, 0x12), (tim3 + 0x28, mhz - 1), (tim3 + 0x2C, 999), (tim3 + 0x14, 1), (tim3 + 0x10, 0), (tim3, 1)]);
        rig.pass(MS);
        assert_eq!((rig.read(tim3 + 0x10) & 1, pending(&mut rig, irq)), (1, false), "{chip}: UIE is 0");
        rig.write_all(&[(tim3 + 0x10, 0), (tim3 + 0x0C, 1)]);
        rig.pass(MS - 1);
        assert!(!pending(&mut rig, irq), "{chip}");
        rig.pass(1);
        assert!(pending(&mut rig, irq) && !pending(&mut rig, other), "{chip}");
        let clear = (ICPR + irq / 32 * 4, 1 << (irq % 32));
        rig.write_all(&[clear]);
        assert!(pending(&mut rig, irq), "{chip}: the line is high");
        rig.write_all(&[(tim3 + 0x10, 0), clear]);
        assert!(!pending(&mut rig, irq), "{chip}");
        // By software: EGR.UG, which URS keeps quiet.
        rig.write_all(&[(tim6 + 0x0C, 1), (tim6, 4), (tim6 + 0x14, 1)]);
        assert!(!pending(&mut rig, other), "{chip}");
        rig.write_all(&[(tim6, 0), (tim6 + 0x14, 1)]);
        assert!(pending(&mut rig, other), "{chip}");
    }
}

#[test]
fn a_compare_interrupts_in_every_period_and_updates_do_not_drift() {
    let mut rig = Rig::new("stm32h743");
    let tim3 = 0x4000_0400;
    // 64 MHz / 3 steps: a period of 1000 of them is 46,875 ns.
    rig.write_all(&[(0x5802_44E8, 2), (tim3 + 0x28, 2), (tim3 + 0x2C, 999), (tim3 + 0x38, 250), (tim3 + 0x14, 1)]);
    rig.write_all(&[(tim3 + 0x10, 0), (tim3 + 0x0C, 4), (tim3, 1)]);
    let mut at = 0;
    for period in 0..1000u64 {
        let due = period * 46_875 + 11_719;
        rig.pass(due - 1 - at);
        assert!(!pending(&mut rig, 29), "period {period}");
        rig.pass(1);
        assert!(pending(&mut rig, 29), "period {period}");
        assert_eq!(rig.read(tim3 + 0x24), 250);
        rig.write_all(&[(tim3 + 0x10, 0), (ICPR, 1 << 29)]);
        at = due;
    }
}

#[test]
fn a_reload_with_preload_waits_for_the_update_and_one_below_the_counter_goes_round() {
    let mut rig = Rig::new("stm32g071");
    let tim3 = 0x4000_0400;
    rig.write_all(&[(0x4002_103C, 2), (tim3 + 0x28, 15), (tim3 + 0x2C, 999), (tim3 + 0x14, 1), (tim3, 0x81)]);
    rig.pass(500 * US);
    rig.write(tim3 + 0x2C, 99);
    rig.pass(499 * US);
    assert_eq!(rig.read(tim3 + 0x24), 999, "ARPE");
    rig.pass(101 * US);
    assert_eq!(rig.read(tim3 + 0x24), 0, "the new period is 100");
    rig.write_all(&[(tim3, 1), (tim3 + 0x2C, 999)]);
    rig.pass(500 * US);
    rig.write_all(&[(tim3 + 0x2C, 99), (tim3 + 0x10, 0)]);
    rig.pass(65_035 * US);
    assert_eq!([rig.read(tim3 + 0x24), rig.read(tim3 + 0x10) & 1], [65_535, 0], "to the top");
    rig.pass(151 * US);
    assert_eq!([rig.read(tim3 + 0x24), rig.read(tim3 + 0x10) & 1], [50, 1]);
}

/// (chip, clocks of ports, base of GPIOC, EXTICR4 and its value for PC13, the trigger and pending registers, IMR1, interrupt,
/// the level of the button while it is pressed).
type Button = (&'static str, u32, u32, (u32, u32), [u32; 2], u32, u32, bool);
const BUTTONS: [Button; 2] = [
    ("stm32h743", 0x5802_44E0, 0x5802_0800, (0x5800_0414, 2 << 4), [0x5800_0000, 0x5800_0088], 0x5800_0080, 40, true),
    ("stm32g071", 0x4002_1034, 0x5000_0800, (0x4002_186C, 2 << 8), [0x4002_1804, 0x4002_1810], 0x4002_1880, 7, false),
];

#[test]
fn the_button_makes_an_edge_that_interrupts() {
    for (chip, clocks, gpioc, (exticr, port), [trigger, flags], imr, irq, pressed) in BUTTONS {
        let mut rig = Rig::new(chip);
        let button = Pin::parse("PC13").unwrap();
        rig.write_all(&[(clocks, 4), (gpioc, 0), (trigger, 1 << 13), (imr, 1 << 13)]);
        rig.chip.drive(button, pressed);
        assert_eq!((rig.read(flags), pending(&mut rig, irq)), (0, false), "{chip}: PA13 is chosen");
        rig.chip.drive(button, !pressed);
        rig.write(exticr, port);
        rig.write_all(&[(flags, 1 << 13), (ICPR + irq / 32 * 4, 1 << (irq % 32))]);
        assert!(!pending(&mut rig, irq), "{chip}");
        rig.chip.drive(button, pressed);
        assert_eq!((rig.read(flags), pending(&mut rig, irq)), (1 << 13, true), "{chip}");
        rig.write_all(&[(flags, 1 << 13), (ICPR + irq / 32 * 4, 1 << (irq % 32))]);
        rig.chip.drive(button, !pressed);
        assert_eq!((rig.read(flags), pending(&mut rig, irq)), (0, false), "{chip}: the other edge");
    }
}

#[test]
fn software_and_the_ports_own_output_make_edges_too() {
    let mut rig = Rig::new("stm32g071");
    // PA0 is an output; line 0 rises; line 1 by SWIER.
    rig.write_all(&[(0x4002_1034, 1), (0x5000_0000, 0xEBFF_FFFD), (0x4002_1800, 1), (0x4002_1880, 3)]);
    rig.write(0x5000_0018, 1);
    assert_eq!((rig.read(0x4002_180C), pending(&mut rig, 5)), (1, true));
    rig.write_all(&[(0x4002_180C, 1), (ICPR, 1 << 5)]);
    assert!(!pending(&mut rig, 5));
    rig.write(0x4002_1808, 2);
    assert_eq!((rig.read(0x4002_180C), pending(&mut rig, 5)), (2, true));
}

const USART2: u32 = 0x4000_4400;
const ISR: u32 = USART2 + 0x1C;

/// 16 MHz / 16: 10 µs a byte.
fn port(cr1: u32) -> Rig {
    let mut rig = Rig::new("stm32g071");
    rig.write_all(&[(0x4002_103C, 1 << 17), (USART2 + 0x0C, 16), (USART2, cr1)]);
    rig
}

#[test]
fn bytes_take_their_time_and_interrupt_when_there_is_room_and_when_all_is_out() {
    let mut rig = port(0x9 | 1 << 6);
    rig.write(USART2 + 0x20, 1 << 6);
    rig.write(ICPR, 1 << 28);
    rig.write(USART2 + 0x28, b'a'.into());
    assert_eq!(rig.read(ISR) & 0xC0, 0x80, "on the line already");
    rig.write(USART2 + 0x28, b'b'.into());
    assert_eq!(rig.read(ISR) & 0xC0, 0);
    rig.pass(10 * US - 1);
    assert_eq!((rig.read(ISR) & 0xC0, rig.chip.take_sent(None).unwrap()), (0, vec![]));
    rig.pass(1);
    assert_eq!((rig.read(ISR) & 0xC0, rig.chip.take_sent(None).unwrap()), (0x80, b"a".to_vec()));
    rig.pass(10 * US - 1);
    assert!(!pending(&mut rig, 28));
    rig.pass(1);
    assert!(pending(&mut rig, 28), "TC");
    assert_eq!((rig.read(ISR) & 0xC0, rig.chip.take_sent(None).unwrap()), (0xC0, b"b".to_vec()));
    rig.write_all(&[(USART2 + 0x20, 1 << 6), (ICPR, 1 << 28)]);
    assert!(!pending(&mut rig, 28));
    rig.write(USART2, 0x9 | 1 << 7);
    assert!(pending(&mut rig, 28), "TXE");
}

#[test]
fn without_a_baud_rate_nothing_leaves() {
    let mut rig = port(0x9);
    rig.write_all(&[(USART2 + 0x0C, 0), (USART2 + 0x28, b'a'.into())]);
    rig.pass(1_000 * MS);
    assert_eq!((rig.read(ISR) & 0xC0, rig.chip.take_sent(None)), (0, Some(vec![])));
}

#[test]
fn what_is_received_interrupts_and_is_lost_when_nobody_reads_it() {
    let mut rig = port(0x1);
    assert_eq!(rig.chip.send(None, b"x"), Some(false), "RE is 0");
    assert_eq!(rig.chip.send(Some("USART9"), b"x"), None);
    rig.write(USART2, 0x5 | 1 << 5);
    assert_eq!(rig.chip.send(Some("usart2"), b"abc"), Some(true));
    rig.pass(10 * US - 1);
    assert!(!pending(&mut rig, 28));
    rig.pass(1);
    assert!(pending(&mut rig, 28), "RXNE");
    assert_eq!([rig.read(USART2 + 0x24), rig.read(ISR) & 0x38], [b'a'.into(), 0], "reading RDR clears RXNE");
    rig.pass(20 * US);
    assert_eq!(rig.read(ISR) & 0x38, 0x28, "ORE");
    assert_eq!([rig.read(USART2 + 0x24), rig.read(ISR) & 0x38], [b'b'.into(), 8]);
    rig.write_all(&[(USART2 + 0x20, 8), (ICPR, 1 << 28)]);
    assert!(!pending(&mut rig, 28));
    rig.pass(10 * US);
    assert_eq!(rig.read(ISR) & 0x38, 0x10, "IDLE");
}

#[test]
fn a_fifo_holds_what_comes() {
    let mut rig = port(0x5 | 1 << 29);
    assert_eq!(rig.chip.send(None, b"12345678"), Some(true));
    rig.pass(80 * US);
    assert_eq!(rig.read(ISR) & 0x28, 0x20);
    let read: Vec<u8> = (0..8).map(|_| rig.read(USART2 + 0x24) as u8).collect();
    assert_eq!((read.as_slice(), rig.read(ISR) & 0x20), (&b"12345678"[..], 0));
}

#[test]
fn the_rtc_wakes_up_and_its_alarm_rings() {
    // WUTE, WUTIE, ALRAE, ALRAIE; seconds by WUCKSEL = 4.
    let (wake, alarm) = (1 << 10 | 1 << 14 | 4, 1 << 8 | 1 << 12);
    for (chip, rtc, bdcr, cr, alarm_a, wake_irq, alarm_irq) in
        [("stm32h743", 0x5800_4000, 0x5802_4470, 0x08, 0x1C, 3, 41), ("stm32g071", 0x4000_2800, 0x4002_105C, 0x18, 0x40, 2, 2)]
    {
        let mut rig = Rig::new(chip);
        if chip == "stm32h743" {
            rig.write_all(&[(0x5800_0000, 1 << 17 | 1 << 19), (0x5800_0080, 1 << 17 | 1 << 19)]);
        }
        rig.write_all(&[(bdcr, 0x8101), (rtc + 0x14, 1), (rtc + cr, wake)]);
        rig.pass(2_000 * MS - 1);
        assert!(!pending(&mut rig, wake_irq), "{chip}");
        rig.pass(1);
        assert!(pending(&mut rig, wake_irq), "{chip}: two seconds");
        let mut rig = Rig::new(chip);
        if chip == "stm32h743" {
            rig.write_all(&[(0x5800_0000, 1 << 17 | 1 << 19), (0x5800_0080, 1 << 17 | 1 << 19)]);
        }
        // 00:00:05 on any day.
        rig.write_all(&[(bdcr, 0x8101), (rtc + alarm_a, 0x8000_0005), (rtc + cr, alarm)]);
        rig.pass(4_999 * MS);
        assert!(!pending(&mut rig, alarm_irq), "{chip}");
        rig.pass(MS);
        assert!(pending(&mut rig, alarm_irq), "{chip}: the alarm");
    }
}

#[test]
fn the_window_watchdog_warns_one_step_before_it_bites() {
    let (wwdg, causes) = (0x4000_2C00, 0x4002_1060);
    let mut rig = Rig::new("stm32g071");
    // 2.048 ms a step, EWI.
    rig.write_all(&[(causes, 1 << 23), (0x4002_103C, 1 << 11), (wwdg + 4, 3 << 11 | 1 << 9 | 0x7F), (wwdg, 0xFF)]);
    rig.pass(63 * 2_048_000 - 1);
    assert!(!pending(&mut rig, 0));
    rig.pass(1);
    assert!(pending(&mut rig, 0));
    rig.write_all(&[(wwdg, 0xFF), (wwdg + 8, 0), (ICPR, 1)]);
    rig.pass(2_048_000);
    assert_eq!((pending(&mut rig, 0), rig.read(causes)), (false, 0));
}

/// On the H745 each core has its own mask and pending bits in EXTI, and its own interrupt of the semaphores.
#[test]
fn each_of_two_cores_has_lines_of_its_own() {
    const SECOND: u8 = 3;
    const ISPR1: u32 = 0xE000_E204;
    const ISPR3: u32 = 0xE000_E20C;
    let mut rig = Rig::new("stm32h745");
    let both = |rig: &mut Rig, address: u32| [0, SECOND].map(|ap| rig.chip.read(ap, 0, address, Size::Word).unwrap());
    // Both cores loop in AXI SRAM, so that the second has a clock.
    rig.write_all(&[(0x2400_0000, 0x2400_1000), (0x2400_0004, 0x2400_0009), (0x2400_0008, 0xE7FE_E7FE)]);
    // PC13 by C2IMR1; PC13 is line 13, interrupt 40.
    let button = Pin::parse("PC13").unwrap();
    rig.write_all(&[(0x5802_44E0, 1 << 25 | 4), (0x5802_0800, 0), (0x5800_0414, 2 << 4), (0x5800_0000, 1 << 13), (0x5800_00C0, 1 << 13)]);
    rig.chip.drive(button, true);
    assert_eq!(both(&mut rig, ISPR1), [0, 1 << 8], "C1IMR1 masks it");
    assert_eq!([rig.read(0x5800_0088), rig.read(0x5800_00C8)], [1 << 13, 1 << 13], "both remember the edge");
    rig.write(0x5800_0088, 1 << 13);
    rig.write(0x5800_0080, 1 << 13);
    assert_eq!(rig.read(0x5800_00C8), 1 << 13, "the other's flag is its own");
    assert_eq!(both(&mut rig, ISPR1), [0, 1 << 8]);
    // A timer's line goes to both: TIM3, interrupt 29.
    rig.write_all(&[(0x5802_44E8, 2), (0x4000_040C, 1), (0x4000_0414, 1)]);
    assert_eq!(both(&mut rig, 0xE000_E200), [1 << 29, 1 << 29]);
    // Semaphore 0 for the second core: HSEM2, 126; the line falls with the flag, what is pending stays.
    rig.write_all(&[(0x5802_6510, 1), (0x5802_6400, 1 << 31 | 3 << 8), (0x5802_6400, 3 << 8)]);
    assert_eq!(both(&mut rig, ISPR3), [0, 1 << 30]);
    rig.chip.write(SECOND, 0, 0xE000_E28C, Size::Word, 1 << 30).unwrap();
    assert_eq!(both(&mut rig, ISPR3), [0, 1 << 30], "the line is high");
    rig.write(0x5802_6514, 1);
    rig.chip.write(SECOND, 0, 0xE000_E28C, Size::Word, 1 << 30).unwrap();
    assert_eq!(both(&mut rig, ISPR3), [0, 0]);
}
