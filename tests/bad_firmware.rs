//! Firmware that goes wrong in every way known to us, through the binary: nothing hangs or panics, rocd says what the core
//! does, and the debugger halts it. The programs are those of tests/firmware/bad.c and vector tables made here.

use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A run of the binary that takes longer than this of wall-clock time hangs; it needs a second or two.
const HANGS: Duration = Duration::from_secs(300);

struct Ran {
    out: String,
    err: String,
    code: i32,
}

fn rocd(target: &str, line: &str) -> Ran {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocd"));
    command.args(["-f", "interfaces/sim.toml", "-f", target, "-c", line]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > HANGS {
            child.kill().unwrap();
            panic!("it hangs: {line}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let code = status.code().unwrap_or_else(|| panic!("ended by a signal: {line}"));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { out: text(stdout), err: text(stderr), code }
}

const H7: (&str, &str) = ("targets/stm32h7.toml", "tests/firmware/bad-h743.elf");
const G0: (&str, &str) = ("targets/stm32g0.toml", "tests/firmware/bad-g071.elf");

/// What is wrong (the number in bad.c), the state that `targets` shows, the mode that a halt finds, in the order M7, M0+; `|`
/// where the moment decides.
struct Case(u32, &'static str, [&'static str; 2], [&'static str; 2]);

const HARD: &str = "Handler HardFault";
const THREAD: &str = "Thread ";
const CASES: &[Case] = &[
    Case(1, "jump to 0xf0000001", ["running"; 2], [HARD; 2]),
    Case(2, "jump into peripherals", ["running"; 2], [HARD; 2]),
    Case(3, "jump to 0xffffffff", ["running"; 2], [HARD; 2]),
    Case(4, "jump without the Thumb bit", ["running"; 2], [HARD; 2]),
    // The frame of the HardFault is lost, its handler runs (Cortex-M3 TRM 5.12.1).
    Case(5, "stack at 0", ["running"; 2], [HARD; 2]),
    // Flash that is not unlocked and a timer that is not clocked take what they get.
    Case(6, "stack in flash", ["running"; 2], [THREAD; 2]),
    Case(7, "stack in peripherals", ["running"; 2], [THREAD; 2]),
    Case(8, "0xffffffff executed", ["running"; 2], [HARD; 2]),
    Case(9, "endless loop", ["running"; 2], [THREAD; 2]),
    Case(10, "endless recursion", ["running"; 2], [HARD; 2]),
    Case(11, "resets itself", ["running|reset"; 2], [THREAD; 2]),
    Case(12, "watchdog not fed", ["running"; 2], [THREAD; 2]),
    Case(13, "vector table lost", ["lockup"; 2], [HARD; 2]),
    Case(15, "sleeps with nothing to wake it", ["sleeping"; 2], [THREAD; 2]),
    Case(16, "stop mode", ["sleeping"; 2], [THREAD; 2]),
    Case(17, "standby", ["sleeping"; 2], [THREAD; 2]),
    Case(18, "clock switched off", ["running"; 2], [THREAD; 2]),
    Case(19, "interrupts without end", ["running"; 2], ["Handler PendSV|Handler SysTick"; 2]),
    Case(20, "SVC in HardFault", ["lockup"; 2], [HARD; 2]),
    Case(21, "undefined instruction in HardFault", ["lockup"; 2], [HARD; 2]),
    Case(22, "FPU off", ["running"; 2], [HARD; 2]),
    Case(23, "unaligned", ["running"; 2], [HARD; 2]),
    Case(24, "division by zero", ["running"; 2], [HARD; 2]),
    Case(25, "locked out by the MPU", ["running"; 2], [HARD; 2]),
    Case(26, "erases itself", ["lockup"; 2], [HARD; 2]),
];

fn go_wrong(chip: usize, (target, elf): (&str, &str)) {
    let mut wrong = Vec::new();
    for Case(number, what, states, modes) in CASES {
        // A bank of the H7 is erased in 2 s.
        let ms = match number {
            11 | 12 => 1000,
            26 => 5000,
            // An exception every few cycles is what the board is slowest at.
            19 => 20,
            _ => 200,
        };
        let line = format!("program {elf}; reset halt; mww 0x20004000 {number}; resume; sleep {ms}; targets; halt; targets; reg pc");
        let ran = rocd(target, &line);
        let state = ran.out.lines().filter(|line| line.contains("cortex_m")).map(|line| line.split_whitespace().last().unwrap());
        let states_seen: Vec<&str> = state.collect();
        let mode = ran.out.lines().filter_map(|line| line.split_once("current mode: ")).next_back().map(|(_, mode)| mode.trim_end());
        let one_of = |words: &str, word: &str| words.split('|').any(|known| known.trim_end() == word);
        let right = match (states_seen.as_slice(), mode) {
            ([before, "halted"], Some(mode)) => one_of(states[chip], before) && one_of(modes[chip], mode),
            _ => false,
        };
        if ran.code != 0 || !right || !ran.out.contains("halted due to debug-request") {
            wrong.push(format!("{number} {what}: exit {}\n{}{}", ran.code, ran.out, ran.err));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn whatever_the_program_does_an_m7_is_halted_and_its_state_told() {
    go_wrong(0, H7);
}

#[test]
fn whatever_the_program_does_an_m0_plus_is_halted_and_its_state_told() {
    go_wrong(1, G0);
}

#[test]
fn debug_pins_switched_off_are_said_and_connect_under_reset_gets_in() {
    let closed = format!("program {}; reset halt; mww 0x20004000 14; resume; sleep 1000", G0.1);
    let ran = rocd(G0.0, &format!("{closed}; halt"));
    assert_eq!(ran.code, 4, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("if the firmware turned SWD off: `connect under_reset`"), "{}", ran.err);
    let ran = rocd(G0.0, &format!("{closed}; connect under_reset; mww 0x20004000 0; reset; sleep 10; halt"));
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("halted due to debug-request, current mode: Thread"), "{}", ran.out);
}

/// What is written to address 0x08000000 as it is: sp and reset vector, and what of them the message says.
const TABLES: &[(u32, u32, [&str; 2])] = &[
    (0x2A0A_2A2F, 0x2A2A_2A2A, ["INVSTATE, a jump to an address without the Thumb bit", "HardFault, and no frame on the stack"]),
    (0x2000_1000, 0x0800_0100, ["INVSTATE", "HardFault at 0x08000100: a jump to an address without the Thumb bit"]),
    (0x2000_1000, 0xF000_0001, ["IACCVIOL, a jump to where no code may run", "HardFault at 0xf0000000, where no code may run"]),
    (0x2000_1000, 0x1000_0001, ["IBUSERR, a jump to where nothing answers", "HardFault at 0x10000000, where nothing answers"]),
    (0x2000_1000, 0xFFFF_FFFF, ["IACCVIOL", "HardFault at 0xfffffffe, where no code may run"]),
    (0x0000_0000, 0x0800_0101, ["UNDEFINSTR, an undefined instruction", "HardFault"]),
    (
        0xFFFF_FFFC,
        0x0800_0101,
        ["STKERR, an exception's frame on a stack where nothing answers; UNDEFINSTR", "HardFault, and no frame on the stack"],
    ),
];

#[test]
fn a_table_that_leads_nowhere_is_lockup_with_the_reason_of_the_hardfault() {
    let folder = tempfile::tempdir().unwrap();
    for (sp, reset, reasons) in TABLES {
        // Behind the two words: a HardFault vector that leads nowhere, and 0xFF as erased flash has it.
        let mut image = [*sp, *reset, 0, 0].map(u32::to_le_bytes).concat();
        image.resize(0x200, 0xFF);
        let path = folder.path().join("table.bin");
        std::fs::write(&path, image).unwrap();
        for ((target, _), reason) in [H7, G0].into_iter().zip(reasons) {
            let ran =
                rocd(target, &format!("flash write_image erase {} 0x08000000 bin force-vectors force-address; reset", path.display()));
            assert_eq!(ran.code, 7, "{sp:#x} {reset:#x}: {}", ran.err);
            let line = ran.err.lines().find(|line| line.starts_with("error: ")).unwrap_or_default();
            assert!(line.contains("is locked up 10 ms after the reset, pc = 0xfffffffe: HardFault"), "{sp:#x} {reset:#x}: {line}");
            assert!(line.contains(reason), "{sp:#x} {reset:#x}: {line}");
            let table = format!("says sp = {sp:#010x}, reset = {reset:#010x}");
            assert!(ran.err.contains(&table), "{sp:#x} {reset:#x}: {}", ran.err);
        }
    }
}

#[test]
fn a_linker_script_forced_in_is_lockup_with_the_reason_in_words_and_numbers() {
    let line = "flash write_image erase tests/firmware/flash_like_st.ld 0x08000000 bin force-vectors force-address; reset";
    let ran = rocd(H7.0, line);
    assert_eq!(ran.code, 7, "{}", ran.err);
    for words in
        ["HardFault: ", "INVSTATE, a jump to an address without the Thumb bit", "HFSR = 0x4", "CFSR = 0x", "this is no vector table"]
    {
        assert!(ran.err.contains(words), "{words}: {}", ran.err);
    }
    let ran = rocd(G0.0, line);
    assert_eq!(ran.code, 7, "{}", ran.err);
    assert!(ran.err.contains("pc = 0xfffffffe: HardFault") && ran.err.contains("this is no vector table"), "{}", ran.err);
}

#[test]
fn the_function_and_line_of_a_fault_are_told_where_the_program_is_known() {
    for ((target, elf), place) in [
        (H7, "CFSR = 0x00010000) at 0x08000146 main+0x2a (bad.c:144)\n"),
        (G0, "HardFault at 0x08000122 main+0x12 (bad.c:144), instruction 0xde00\n"),
    ] {
        let ran = rocd(target, &format!("program {elf}; mww 0x20004000 20; reset"));
        assert_eq!(ran.code, 7, "{}", ran.err);
        assert!(ran.err.contains(place) && ran.err.contains("reset = 0x08000045 Reset_Handler (startup.c:45)"), "{}", ran.err);
    }
}
