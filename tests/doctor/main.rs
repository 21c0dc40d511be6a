//! `doctor` on chips that do not do what they should, and on healthy ones: through the pipe, by a session of its own.
//!
//!     cargo test --test doctor -- table --nocapture
//! prints the table of results that stands in docs/doctor.md.

mod cases;

use cases::*;
use rocd::error::{Cause, Error, Kind};
use rocd::event::Ears;
use rocd::image::Image;
use rocd::session::{CAUSES, CauseRow, Depth, ResetMode, Session};
use rocd::sim::{Board, Inject, Wiring};
use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

const MARK: &str = "## The causes";
const CAUSE_TABLE: &str = "| # | cause | what `doctor` says, for example | what to do |\n|---|---|---|---|\n";
const RESULTS: &str = "\n## Tried on the embedded board\nEach in up to seven variants: compiled with -O0 and -O2, two chips of each family, the second core of an H745. \
`cargo test --test doctor -- table --nocapture` prints this table.\n\n\
| # | what was wrong | right | second | wrong | unknown | what `doctor` said |\n|---|---|---|---|---|---|---|\n";

#[test]
fn table() {
    let (mut wrong, mut rows, mut said_of) = (Vec::new(), Vec::new(), Vec::new());
    for Case(number, what, bodies, make) in CASES {
        let (mut right, mut second, mut unknown, mut said) = (0, 0, 0, String::new());
        for body in *bodies {
            let board = make(*body);
            // What only the file says.
            let file = [24, 38, 39].contains(number).then(|| image(body.1));
            let report = attach(&board, body.1).doctor(core_of(body.1), file, Depth::Halt).unwrap();
            let first = report.findings[0].number;
            if first == *number {
                right += 1;
                said = report.findings[0].cause.clone();
            } else {
                second += usize::from(report.findings.iter().any(|finding| finding.number == *number));
                unknown += usize::from([0, 8].contains(&first));
                wrong.push(format!("{number} {what}, {} {}:\n{}\n", body.0, body.1, report.lines().join("\n")));
            }
        }
        said_of.push((*number, said.clone()));
        rows.push(format!("| {number} | {what} | {right} | {second} | {} | {unknown} | {said} |", bodies.len() - right - second - unknown));
    }
    let results = format!("{RESULTS}{}\n", rows.join("\n"));
    println!("{results}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let say = |number: u8| said_of.iter().find(|(known, _)| *known == number).map_or("", |(_, said)| said);
    let cause = |row: &CauseRow| format!("| {} | {} | {} | {} |\n", row.0, row.1, say(row.0), row.4);
    let mut causes: Vec<_> = CAUSES.iter().collect();
    causes.sort_by_key(|row| row.0);
    let page = std::fs::read_to_string("docs/doctor.md").unwrap();
    let head = page.split(MARK).next().unwrap();
    let wanted = format!("{head}{MARK}\n{CAUSE_TABLE}{}{results}", causes.into_iter().map(cause).collect::<String>());
    if std::env::var_os("ROCD_BLESS").is_some() {
        std::fs::write("docs/doctor.md", &wanted).unwrap();
    }
    let now = std::fs::read_to_string("docs/doctor.md").unwrap();
    assert!(now == wanted, "docs/doctor.md is not current: `ROCD_BLESS=1 cargo test --test doctor` writes it anew");
}

/// Chip, firmware, what it is to do if it is doctor.c.
const HEALTHY: &[(&str, &str, u32)] = &[
    ("stm32h743", "blinky-h743", 0),
    ("stm32h743", "interrupts-h743", 0),
    ("stm32h743", "paddr0-h743", 0),
    ("stm32h743", "dense-200k-h743", 0),
    ("stm32h743", "dense-1m-h743", 0),
    ("stm32h723", "blinky-h743", 0),
    ("stm32h7a3", "blinky-h743", 0),
    ("stm32h750", "blinky-h743", 0),
    ("stm32h745", "blinky-h743", 0),
    ("stm32g071", "blinky-g071", 0),
    ("stm32g071", "interrupts-g071", 0),
    ("stm32g071", "dense-64k-g071", 0),
    ("stm32g071", "dense-120k-g071", 0),
    ("stm32g0b1", "blinky-g071", 0),
    ("stm32h743", "doctor-o2-h743", 8),
    ("stm32h743", "doctor-o0-h743", 8),
    ("stm32h743", "doctor-o2-h743", 108),
    ("stm32h743", "doctor-o0-h743", 108),
    ("stm32h745", "doctor-o2-h743", 8),
    ("stm32h745", "doctor-o2-h745-m4", 8),
    ("stm32h745", "doctor-o2-h745-m4", 108),
    ("stm32g071", "doctor-o2-g071", 8),
    ("stm32g071", "doctor-o0-g071", 8),
    ("stm32g071", "doctor-o2-g071", 108),
    ("stm32g071", "doctor-o0-g071", 108),
];

#[test]
fn of_healthy_programs_no_cause_is_given_1_ms_100_ms_and_3_s_after_reset() {
    let mut wrong = Vec::new();
    for (chip, firmware, which) in HEALTHY {
        for ms in [1, 100, 3000] {
            let board = patient((chip, firmware), *which);
            board.press_reset();
            board.pass(Duration::from_millis(ms));
            // Without the ELF, too: what names tell must not be needed.
            for names in ["", firmware] {
                let report = attach(&board, names).doctor(core_of(firmware), None, Depth::Halt).unwrap();
                if report.findings[0].number != 8 {
                    wrong.push(format!("{chip} {firmware} {which} after {ms} ms, {names:?}:\n{}", report.lines().join("\n")));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn two_causes_at_once_are_both_listed() {
    for body in [ON_H7[0], ON_G0[0]] {
        let numbers = |board: &Board, image: Option<Image>| {
            let report = attach(board, body.1).doctor(0, image, Depth::Halt).unwrap();
            let also = report.lines().iter().filter(|line| line.starts_with("Also seen: ")).count();
            assert_eq!(also + 1, report.findings.len());
            report.findings.iter().map(|finding| finding.number).collect::<Vec<u8>>()
        };
        let board = no_crystal::<9>(body);
        board.set_volts(1.2);
        assert_eq!(numbers(&board, None), [19, 9], "{}", body.0);
        let board = patient(body, 11);
        start(&board);
        assert_eq!(numbers(&board, Some(image(body.1))), [11]);
        spoil(&board, body.1);
        assert_eq!(numbers(&board, Some(image(body.1))), [11, 38]);
    }
}

#[test]
fn an_m7_that_waits_for_an_m4_without_a_program() {
    let board = patient(("stm32h745", "pair-h745-m7"), 0);
    start(&board);
    let report = ask(&board, "pair-h745-m7");
    assert_eq!(report.findings[0].number, 31, "{}", report.lines().join("\n"));
    put(&board, "pair-h745-m4");
    start(&board);
    assert_ne!(ask(&board, "pair-h745-m7").findings[0].number, 31);
}

/// By the board's own door: RAM; VTOR, CCR, DCRDR, DEMCR, FPB, DWT, DHCSR without what a look changes, DFSR.
fn traces(board: &Board) -> (Vec<u8>, Vec<u32>) {
    let word = |address: u32| word(board, address);
    let registers = [0xE000_ED08, 0xE000_ED14, 0xE000_EDF8, 0xE000_EDFC, 0xE000_2000, 0xE000_2008, 0xE000_1020, 0xE000_1028];
    let words = registers.map(word).into_iter().chain([word(0xE000_EDF0) & 0x000E_000F, word(0xE000_ED30)]).collect();
    let ram = if board.chip() == "stm32h745" { 0x3000_0000 } else { 0x2000_0000 };
    (board.dump(ram, 0x8000).unwrap(), words)
}

/// Without r0 to r3, r12, pc and xPSR: the turn of a loop may be another, for the board's time passes in other pieces.
fn registers(session: &mut Session, core: usize) -> Vec<u64> {
    session.halt(core, Duration::from_secs(1)).unwrap();
    let kept =
        session.registers(core).unwrap().into_iter().filter(|row| !["r0", "r1", "r2", "r3", "r12", "pc", "xPSR"].contains(&row.name));
    session.read_regs(core, &kept.collect::<Vec<_>>()).unwrap()
}

/// Beside a twin that nobody looks at: the same RAM, debug registers and core registers at the same time.
#[test]
fn the_passive_look_leaves_a_running_chip_as_it_is() {
    for (body, which) in
        [ON_H7[0], ON_M4, ON_G0[0]].into_iter().flat_map(|body| [8, 108, 9, 10, 11, 15, 16, 27, 30, 35].map(|which| (body, which)))
    {
        let twins = [0, 1].map(|_| {
            let board = patient(body, which);
            start(&board);
            let session = attach(&board, body.1);
            (board, session)
        });
        let [(looked_at, mut session), (other, mut twin)] = twins;
        assert!(traces(&looked_at) == traces(&other), "{body:?} {which}: twins");
        let core = core_of(body.1);
        let report = session.doctor(core, None, Depth::Passive).unwrap();
        assert!(!report.findings.is_empty());
        other.pass(looked_at.now() - other.now());
        let (is, should) = (traces(&looked_at), traces(&other));
        assert!(is.0 == should.0, "{body:?} {which}: RAM");
        assert_eq!(is.1, should.1, "{body:?} {which}");
        assert_eq!(registers(&mut session, core), registers(&mut twin, core), "{body:?} {which}");
    }
}

#[test]
fn a_halt_for_a_look_leaves_the_core_running_and_its_debug_registers_as_they_were() {
    for (body, which) in [ON_H7[0], ON_M4, ON_G0[0]].into_iter().flat_map(|body| [8, 10, 13, 35].map(|which| (body, which))) {
        let board = patient(body, which);
        start(&board);
        let mut session = attach(&board, body.1);
        // DFSR, which a halt sets and nobody can put back, is the last.
        let core = core_of(body.1);
        let mut before = (session.state(core).unwrap(), traces(&board).1);
        let mut after = || (session.doctor(core, None, Depth::Halt).map(|_| session.state(core).unwrap()).unwrap(), traces(&board).1);
        let mut after = after();
        before.1.pop();
        after.1.pop();
        assert_eq!(after, before, "{body:?} {which}");
    }
}

/// RCC_RSR, RCC_CSR: what the last resets were.
fn reset_flags(board: &Board) -> u32 {
    let at = if is_g0(board.chip()) { 0x4002_1060 } else { 0x5802_44D0 };
    word(board, at)
}

/// Programs read their reset flags, too: only who asks for `doctor` has them cleared.
#[test]
fn a_reset_that_says_why_the_program_does_not_run_leaves_the_reset_flags() {
    for body in [ON_H7[0], ON_G0[0]] {
        // It crashes, and a watchdog ends that every 12 ms.
        let board = patient(body, 217);
        start(&board);
        let before = reset_flags(&board);
        let mut session = attach(&board, body.1);
        let error = session.reset(ResetMode::Run).unwrap_err();
        assert_eq!(error.kind, Kind::NotRunning, "{error}");
        let after = reset_flags(&board);
        assert_eq!(after & before, before, "{}: {before:#010x} {after:#010x} {error}", body.0);
        session.doctor(0, None, Depth::Halt).unwrap();
        assert_ne!(reset_flags(&board) & before, before, "{}", body.0);
    }
}

/// Ctrl-C and a pulled plug end it, wherever they come: they are no reason why a program does not run.
#[test]
fn what_ends_a_look_is_not_taken_for_what_it_saw() {
    for body in [ON_H7[0], ON_G0[0]] {
        let patient = || {
            let board = patient(body, 35);
            start(&board);
            board
        };
        let heard = Rc::new(Cell::new(0u32));
        let until = |most: u32| {
            let heard = heard.clone();
            heard.set(0);
            Ears {
                breathe: Rc::new(move || {
                    heard.set(heard.get() + 1);
                    if heard.get() > most { Err(Error::command("interrupted").cause(Cause::Interrupted(2))) } else { Ok(()) }
                }),
                ..Ears::none()
            }
        };
        let reset = |most: u32| {
            let board = patient();
            let mut session = attach(&board, body.1);
            session.ears = until(most);
            session.reset(ResetMode::Run).unwrap_err()
        };
        assert_eq!(reset(u32::MAX).kind, Kind::NotRunning);
        let breaths = heard.get();
        for most in [breaths - 1, breaths - 30] {
            let error = reset(most);
            assert_eq!(error.cause, Cause::Interrupted(2), "{} after {most} of {breaths}: {error}", body.0);
        }
        for transfers in (0..).step_by(13) {
            let board = patient();
            let mut session = attach(&board, body.1);
            board.inject_after(transfers, Inject::Unplug);
            let error = session.reset(ResetMode::Run).unwrap_err();
            if board.plugged() {
                assert!(transfers > 50, "{transfers}");
                break;
            }
            assert_eq!(error.cause, Cause::Unplugged, "{} after {transfers}: {error}", body.0);
        }
    }
}

const DIES: &[Body] = &[
    ("stm32h743", "doctor-o2-h743"),
    ("stm32h723", "doctor-o2-h743"),
    ("stm32h7a3", "doctor-o2-h743"),
    ("stm32h750", "doctor-o2-h743"),
    ("stm32h745", "doctor-o2-h743"),
    ON_M4,
    ("stm32g071", "doctor-o2-g071"),
    ("stm32g0b1", "doctor-o2-g071"),
];

/// On every die and both cores, at each depth: what is said of a program that is in order, after `harm`; with the file.
fn healthy_but(harm: impl Fn(&Board, &mut Session), says: impl Fn(Depth, &str)) {
    for body in DIES {
        for depth in [Depth::Passive, Depth::Halt, Depth::Reset] {
            let board = patient(*body, 8);
            start(&board);
            let mut session = attach(&board, body.1);
            harm(&board, &mut session);
            let before = board.now();
            let report = session.doctor(core_of(body.1), Some(image(body.1)), depth).unwrap();
            let took = board.now() - before;
            assert!(took < Duration::from_secs(7), "{body:?} {depth:?}: {took:?}");
            println!("{body:?} {depth:?}");
            says(depth, &report.lines().join("\n"));
        }
    }
}

#[test]
fn a_chip_that_is_held_in_reset_is_that_and_nothing_else() {
    healthy_but(
        |board, _| board.set_wiring(Wiring { nrst_held: true, ..board.wiring() }),
        |_, said| assert!(said.starts_with("The chip is held in reset.\n") && !said.contains("Also seen"), "{said}"),
    );
}

#[test]
fn resets_by_the_button_are_no_brown_outs_and_old_flags_prove_nothing() {
    let press = |board: &Board, session: &mut Session| {
        let (button, breaths) = (board.clone(), Cell::new(0));
        let breathe = Rc::new(move || {
            breaths.set(breaths.get() + 1);
            if breaths.get() % 10 == 0 {
                button.press_reset();
            }
            Ok(())
        });
        session.ears = Ears { breathe, ..Ears::none() };
    };
    healthy_but(press, |depth, said| {
        let wanted = if depth == Depth::Passive {
            "The chip is reset again and again: 1"
        } else {
            "The chip is reset from outside again and again: 1"
        };
        assert!(said.starts_with(wanted), "{said}");
    });
}

#[test]
fn protected_flash_is_not_taken_for_another_program() {
    let protect = |board: &Board, _: &mut Session| match is_g0(board.chip()) {
        true => option(board, 0x20, |optr| optr & !0xFF | 0xBB),
        false => words(board, 0x5200_201C, &[word(board, 0x5200_201C) & !0xFF00 | 0x5500]),
    };
    healthy_but(protect, |_, said| {
        assert!(said.starts_with("The program is running: ") && said.contains("file: not compared: readout protection"), "{said}");
    });
}

/// Machine code: FLASH_KEYR, FLASH_OPTKEYR, 50 ms, FLASH_CR.OBL_LAUNCH (RM0444 3.7), `b .`; from the tenth on, the words it loads.
const OBL_LAUNCH: &[u32] = &[
    0x4909_4808,
    0x4909_6081,
    0x4909_6081,
    0x4909_60C1,
    0x2201_60C1,
    0x3A01_0492,
    0x0009_D1FD,
    0x06C9_2101,
    0xE7FE_6141,
    0x4002_2000,
    0x4567_0123,
    0xCDEF_89AB,
    0x0819_2A3B,
    0x4C5D_6E7F,
];

/// Only by NRST is a chip reset from outside: a program may load its options, and so reset itself, again and again.
#[test]
fn a_program_that_loads_its_options_again_and_again_is_not_reset_from_outside() {
    let board = board("stm32g071");
    words(&board, FLASH, &[0x2000_2000, FLASH + 0x41]);
    words(&board, FLASH + 0x40, OBL_LAUNCH);
    not_empty(&board);
    start(&board);
    let said = ask(&board, "").lines().join("\n");
    assert!(said.starts_with("The chip is reset again and again: ") && !said.contains("from outside"), "{said}");
    assert!(said.lines().nth(1).unwrap().starts_with("  evidence: reset flags: options"), "{said}");
}

#[test]
fn a_misfit_that_was_not_compared_is_not_said_to_be_in_flash() {
    let said = |harm: fn(&Board), shift: u32| {
        let board = patient(ON_G0[0], 8);
        harm(&board);
        start(&board);
        let mut file = image("blinky-h743");
        file.segments.iter_mut().for_each(|segment| segment.address += shift);
        let report = attach(&board, ON_G0[0].1).doctor(0, Some(file), Depth::Halt).unwrap();
        assert_eq!(report.findings[0].number, 39, "{}", report.lines().join("\n"));
        report.findings[0].evidence.clone()
    };
    assert_eq!(said(|board| option(board, 0x20, |optr| optr & !0xFF | 0xBB), 0), "not compared: readout protection");
    assert_eq!(said(|_| (), 0x0100_0000), "not compared: none of it is in flash");
}

#[test]
fn banks_are_swapped_only_if_the_program_is_in_the_other_ones_place() {
    let swap = |board: &Board| words(board, 0x5200_201C, &[word(board, 0x5200_201C) | 1 << 31]);
    let said = |board: &Board, firmware: &str| {
        start(board);
        ask(board, firmware).lines().join("\n")
    };
    let told = "The banks are swapped: ";
    for body in [("stm32h743", "doctor-o2-h743"), ("stm32h7a3", "doctor-o2-h743"), ON_M4] {
        let board = board(body.0);
        put(&board, body.1);
        swap(&board);
        let said = said(&board, body.1);
        assert!(said.contains(told), "{body:?}: {said}");
    }
    // An A/B update; an M4's program that crashes beside the M7's; the M7's alone.
    let (app, m7, m4) = (ON_H7[0].1, "blinky-h743", ON_M4.1);
    for (body, programs) in [(ON_H7[0], [app; 2]), (ON_M4, [m7, m4]), (ON_M4, [m7; 2])] {
        let board = board(body.0);
        swap(&board);
        start(&board);
        programs.iter().for_each(|program| put(&board, program));
        if body == ON_H7[0] {
            board.poke(0x0810_0000, &board.dump(FLASH, 0x40).unwrap()).unwrap();
        }
        words(&board, [0x2000_4000, 0x3000_4000][core_of(body.1)], &[11]);
        let said = said(&board, body.1);
        assert!(!said.contains(told) && said.contains("SWAP_BANK_OPT = 0x1"), "{programs:?}: {said}");
    }
}

#[test]
fn an_option_is_named_only_for_the_dog_that_it_starts() {
    let evidence = |body: Body, at: u32, clear: u32| {
        let board = patient(body, 8);
        words(&board, at, &[word(&board, at) & !clear]);
        start(&board);
        // The slower one bites after 512 ms.
        board.pass(Duration::from_secs(1));
        let report = ask(&board, body.1);
        assert_eq!(report.findings[0].number, 17, "{}", report.lines().join("\n"));
        format!("{} {}", report.findings[0].cause, report.findings[0].evidence)
    };
    let said = evidence(ON_H7[0], 0x5200_201C, 1 << 4);
    assert!(said.contains("(IWDG)") && said.ends_with("; the option bytes start it (IWDG1_SW = 0)"), "{said}");
    // Both start, and the faster one bites.
    let said = evidence(ON_G0[0], 0x4002_2020, 1 << 16 | 1 << 19);
    assert!(said.contains("(WWDG)") && said.ends_with("; the option bytes start it (WWDG_SW = 0)"), "{said}");
}

mod through_the_host {
    use rocd::command::{Settings, Value};
    use rocd::error::{Error, Kind};
    use rocd::event::Silent;
    use rocd::host::{Cancel, Host};
    use std::rc::Rc;

    fn host(target: &str) -> Host {
        let host = Host::new(Rc::new(Silent), Cancel::default(), Settings::default(), 0).unwrap();
        host.file("sim").unwrap();
        host.file(target).unwrap();
        host
    }

    fn run(host: &Host, line: &str) -> Result<Value, Error> {
        let mut last = Value::None;
        host.line(line, &mut |outcome| last = outcome.result.clone().unwrap_or(Value::None))?;
        Ok(last)
    }

    /// The user of a forum was told "verified" by a tool that had flashed the linker script.
    #[test]
    fn the_forums_story() {
        for (target, blinky) in [("stm32h7", "tests/firmware/blinky-h743.elf"), ("stm32g0", "tests/firmware/blinky-g071.elf")] {
            let host = host(target);
            let script = "tests/firmware/flash_like_st.ld";
            let refused = run(&host, &format!("program {script}")).unwrap_err();
            assert_eq!(refused.kind, Kind::Image, "{refused}");
            assert!(refused.to_string().contains("linker script"), "{refused}");
            let forced =
                run(&host, &format!("flash write_image erase {script} 0x08000000 bin force-vectors force-address; reset")).unwrap_err();
            assert_eq!(forced.kind, Kind::NotRunning, "{forced}");
            let hint = forced.hint.unwrap_or_default();
            assert!(hint.starts_with("What is in flash is no program: its vector table is text"), "{hint}");
            let said = run(&host, "doctor").unwrap().to_string();
            let first = said.lines().next().unwrap();
            assert!(
                first.starts_with("What is in flash is no program: its vector table is text: \"/*")
                    && first.ends_with("and the core is locked up."),
                "{said}"
            );
            run(&host, &format!("program {blinky} reset; sleep 2000")).unwrap();
            let said = run(&host, "doctor").unwrap().to_string();
            assert!(said.starts_with("The program is running: "), "{said}");
            let leds = run(&host, "leds").unwrap().to_string();
            assert!(leds.contains("period=500ms"), "{leds}");
        }
    }

    #[test]
    fn a_file_is_compared_wherever_it_goes_and_an_empty_chip_is_no_change_of_it() {
        let folder = tempfile::tempdir().unwrap();
        for (target, elf) in [("stm32h7", "blinky-h743.elf"), ("stm32g0", "blinky-g071.elf")] {
            let host = host(target);
            let elf = format!("tests/firmware/{elf}");
            let image = rocd::image::Image::read(elf.as_ref(), None, None).unwrap();
            let bin = folder.path().join("app.bin").display().to_string();
            std::fs::write(&bin, &image.segments[0].data).unwrap();
            run(&host, "reset halt; resume").unwrap();
            for file in [elf.clone(), bin.clone()] {
                let said = run(&host, &format!("doctor {file}")).unwrap().to_string();
                assert!(said.starts_with("Flash is blank at 0x08000000: there is no program") && !said.contains("Also seen"), "{said}");
            }
            run(&host, &format!("program {elf} reset")).unwrap();
            for words in [bin.clone(), format!("{bin} 0x08000000"), format!("{bin} 0x08000000 passive")] {
                let said = run(&host, &format!("doctor {words}")).unwrap().to_string();
                assert!(said.starts_with("The program is running: "), "{words}: {said}");
            }
            let said = run(&host, &format!("doctor {bin} 0x08000040")).unwrap().to_string();
            assert!(said.starts_with("Flash is not what the file says.\n  evidence: "), "{said}");
        }
    }

    #[test]
    fn a_file_for_another_chip_is_named() {
        let (host, small) = (host("stm32g0"), host("stm32g0"));
        run(&host, "program tests/firmware/blinky-g071.elf reset").unwrap();
        let elf = "tests/firmware/blinky-h743.elf";
        let said = run(&host, &format!("doctor {elf}")).unwrap().to_string();
        let wanted =
            format!("The file does not fit this chip: {elf} is ARMv7E-M code, which the Cortex-M0+ of this STM32G07x/08x does not run.");
        assert!(said.starts_with(&wanted) && !said.contains("Also seen"), "{said}");
        run(&small, "sim chip stm32g030; program tests/firmware/interrupts-g071.elf force-vectors").unwrap();
        let said = run(&small, "doctor tests/firmware/interrupts-g071.elf").unwrap().to_string();
        assert!(said.contains("The file does not fit this chip: ") && said.contains("its stack, 0x20008000, is not in RAM"), "{said}");
    }

    #[test]
    fn a_program_that_crashes_at_once_is_no_program_that_was_started() {
        let host = host("stm32h7");
        let error = run(&host, "program tests/firmware/doctor-o2-h743.elf; mww 0x20004000 11; reset").unwrap_err();
        assert_eq!(error.kind, Kind::NotRunning, "{error}");
        let hint = error.hint.clone().unwrap_or_default();
        assert!(hint.contains("The program crashed at 0x") && hint.contains("it read 0x10000000, where nothing is."), "{error} {hint}");
    }
}

#[test]
fn every_cause_has_a_number_of_its_own() {
    let mut numbers: Vec<u8> = CAUSES.iter().map(|row| row.0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), CAUSES.len());
}
