//! `backtrace`, through the program and the pipe on both chips: calls, exceptions, both stacks, and what cannot be followed.

use std::fs;
use std::path::Path;
use std::process::Command;

/// Target file, and the letters in the names of its firmware.
const CHIPS: [(&str, &str); 2] = [("targets/stm32h7.toml", "h743"), ("targets/stm32g0.toml", "g071")];

/// What it printed; it must have ended well.
fn says(target: &str, line: &str) -> String {
    let output =
        Command::new(env!("CARGO_BIN_EXE_rocd")).args(["-q", "-f", "interfaces/sim.toml", "-f", target, "-c", line]).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{line}\n{out}\n{err}");
    out
}

/// The lines of the last backtrace, without addresses and offsets.
fn trace(out: &str) -> Vec<String> {
    let from = out.rfind("\n#0 ").unwrap_or_else(|| panic!("no backtrace in\n{out}"));
    let word = |word: &str| word.split("+0x").next().unwrap().to_string();
    let plain = |line: &str| line.split_whitespace().filter(|word| !word.starts_with("0x")).map(word).collect::<Vec<_>>().join(" ");
    out[from + 1..].lines().map(|line| if line.starts_with('#') { plain(line) } else { line.to_string() }).collect()
}

/// The functions of the frames, outwards, each with what is said behind its line.
fn functions(lines: &[String]) -> Vec<String> {
    let frames = lines.iter().filter(|line| line.starts_with('#'));
    let function = |line: &String| {
        let words = line.split_once(' ').map_or("", |(_, rest)| rest);
        match (words.find(" ("), words.find(')')) {
            (Some(open), Some(close)) => format!("{}{}", &words[..open], &words[close + 1..]),
            _ => words.to_string(),
        }
    };
    frames.map(function).collect()
}

fn each_calls(test: impl Fn(&str, &str)) {
    for (target, chip) in CHIPS {
        for level in ["o0", "o2"] {
            test(target, &format!("tests/firmware/calls-{level}-{chip}.elf"));
        }
    }
}

/// To a breakpoint, from reset.
fn stop_at(elf: &str, function: &str) -> String {
    format!("program {elf}; reset halt; bp {function} 2 hw; resume; wait_halt; rbp all; ")
}

#[test]
fn calls_are_listed_outwards_with_their_lines() {
    each_calls(|target, elf| {
        // The third call of a recursion: fibonacci(6), (5), (4).
        let out =
            says(target, &(stop_at(elf, "main") + "bp fibonacci 2 hw; resume; wait_halt; resume; wait_halt; resume; wait_halt; backtrace"));
        let lines = trace(&out);
        assert_eq!(functions(&lines), ["fibonacci", "fibonacci", "fibonacci", "main", "Reset_Handler"], "{elf}: {out}");
        for (line, wanted) in lines.iter().zip(["calls.c:1", "(calls.c:16)", "(calls.c:16)", "(calls.c:52)", "(startup.c:50)"]) {
            assert!(line.contains(wanted), "{elf}: `{line}` has no {wanted}");
        }
        assert_eq!(lines.len(), 5, "{elf}: nobody called the reset handler, and that is no trouble\n{out}");
    });
}

/// At each instruction of a recursion, so in every prologue and epilogue, the callers are the same.
#[test]
fn every_instruction_knows_its_callers() {
    each_calls(|target, elf| {
        let script = "for n in 0..60 { let found = backtrace().frames; \
             print(found.map(|frame| frame.function.split(\"+\")[0]).reduce(|all, name| `${all ?? \"\"} ${name}`)); step(); }";
        let out = says(target, &(stop_at(elf, "fibonacci") + script));
        let rows: Vec<&str> = out.lines().filter(|line| line.ends_with("main Reset_Handler")).collect();
        assert_eq!(rows.len(), 60, "{elf}: {out}");
        let deep = |row: &&str| row.trim_start().trim_start_matches("fibonacci ") == "main Reset_Handler";
        assert!(rows.iter().all(deep), "{elf}: {out}");
        assert!(rows.iter().any(|row| row.matches("fibonacci").count() >= 4), "{elf}: {out}");
    });
}

#[test]
fn an_exception_shows_what_it_interrupted() {
    each_calls(|target, elf| {
        // By SysTick, where an H7's FPU has been in use: a frame of 26 words.
        let out = says(target, &(stop_at(elf, "SysTick_Handler") + "backtrace; step; step; backtrace"));
        assert_eq!(functions(&trace(&out)), ["SysTick_Handler", "main, interrupted by SysTick", "Reset_Handler"], "{elf}: {out}");
        // SVC below SysTick in priority (SHPR2), and SysTick pending (ICSR.PENDSTSET): two exceptions deep.
        let nested = "mww 0xE000ED1C 0x80000000; bp SysTick_Handler 2 hw; mww 0xE000ED04 0x04000000; resume; wait_halt; backtrace";
        let out = says(target, &(stop_at(elf, "SVC_Handler") + nested));
        let wanted = ["SysTick_Handler", "SVC_Handler, interrupted by SysTick", "main, interrupted by SVCall", "Reset_Handler"];
        assert_eq!(functions(&trace(&out)), wanted, "{elf}: {out}");
    });
}

/// Where sp is not a multiple of 8 the core leaves a word free and says so in the frame's xPSR (DDI0403E B1.5.7).
#[test]
fn a_stack_that_was_aligned_by_the_exception_is_followed() {
    for (target, chip) in CHIPS {
        // push {r4, r7, lr}: three words.
        let elf = format!("tests/firmware/calls-o0-{chip}.elf");
        let pend = "step; reg sp; bp SysTick_Handler 2 hw; mww 0xE000ED04 0x04000000; resume; wait_halt; backtrace";
        let out = says(target, &(stop_at(&elf, "fibonacci") + pend));
        let sp = out.lines().find_map(|line| line.strip_prefix("sp (/32): ")).unwrap();
        assert!(sp.ends_with('4') || sp.ends_with('c'), "{out}");
        let wanted = ["SysTick_Handler", "fibonacci, interrupted by SysTick", "main", "Reset_Handler"];
        assert_eq!(functions(&trace(&out)), wanted, "{out}");
    }
}

#[test]
fn a_thread_on_its_own_stack_is_found_by_psp() {
    each_calls(|target, elf| {
        let switch =
            "mww 0x20004000 0xffffffff 8; reg psp 0x20004000; reg control 2; bp SysTick_Handler 2 hw; resume; wait_halt; backtrace";
        let out = says(target, &(stop_at(elf, "main") + switch));
        assert_eq!(functions(&trace(&out)), ["SysTick_Handler", "main, interrupted by SysTick", "Reset_Handler"], "{elf}: {out}");
    });
}

/// tests/firmware/bad.c: the number, how far, and the frames that both chips show then.
#[test]
fn faults_lead_to_the_line_that_is_at_fault() {
    let cases: &[(u32, &[&str])] = &[
        (8, &["HardFault_Handler", "erased_code, inlined, interrupted by HardFault", "main", "Reset_Handler"]),
        (22, &["HardFault_Handler", "fpu_off, inlined, interrupted by HardFault", "main", "Reset_Handler"]),
        // Where it jumped from nobody keeps: who called that.
        (1, &["HardFault_Handler", "interrupted by HardFault", "Reset_Handler, by lr", "Reset_Handler, by lr"]),
        (15, &["sleep_for_ever, inlined", "main", "Reset_Handler"]),
        // Locked up: the handler's first fault has no frame of its own.
        (20, &["", "service_in_hardfault, inlined, interrupted by HardFault", "main", "Reset_Handler"]),
    ];
    for (target, chip) in CHIPS {
        for (number, wanted) in cases {
            let out = goes_wrong(target, chip, *number, "resume; sleep 5; halt; backtrace");
            assert_eq!(functions(&trace(&out)), *wanted, "{chip} {number}: {out}");
        }
    }
}

fn goes_wrong(target: &str, chip: &str, number: u32, then: &str) -> String {
    let line = format!("{}mww 0x20004000 {number}; reset halt; {then}", stop_at(&format!("tests/firmware/bad-{chip}.elf"), "main"));
    says(target, &line)
}

#[test]
fn a_stack_that_is_lost_is_named() {
    for (target, chip) in CHIPS {
        for (number, sp) in [(5, "0xffffff"), (10, "0x1fffff")] {
            let out = goes_wrong(target, chip, number, "resume; sleep 5; halt; backtrace");
            let lines = trace(&out);
            assert_eq!(functions(&lines), ["HardFault_Handler"], "{out}");
            // An H7 says so itself.
            let said = if chip == "h743" { "could not be written" } else { "is no place for a stack" };
            assert!(lines[1].starts_with("no further: the exception's frame is lost: ") && lines[1].ends_with(said), "{out}");
            assert!(lines[1].contains(sp), "{out}");
        }
        // The MPU refused the frame: what is there is none.
        let out = goes_wrong(target, chip, 25, "resume; sleep 5; halt; backtrace");
        let said = if chip == "h743" { "the exception's frame is lost: CFSR says" } else { "what is at 0x200" };
        assert!(trace(&out)[1].starts_with(&format!("no further: {said}")), "{out}");
    }
}

#[test]
fn overwritten_return_addresses_and_circles_end_it() {
    each_calls(|target, elf| {
        let third = "bp fibonacci 2 hw; resume; wait_halt; resume; wait_halt; ";
        // Every word above sp, so whatever is saved there.
        for (word, said) in [("0xdeadbee0", "is nothing to return to"), ("0x40000001", "is nothing to return to")] {
            let out = says(target, &format!("{}{third}mww (reg(\"sp\")) {word} 12; backtrace", stop_at(elf, "fibonacci")));
            let lines = trace(&out);
            assert!(functions(&lines).starts_with(&["fibonacci".into(), "fibonacci".into()]), "{elf}: {out}");
            assert!(lines.last().unwrap().contains(&format!("{word} {said}")), "{elf}: {out}");
        }
        // A leaf without a frame that returns to itself.
        if elf.contains("-o2-") {
            let out = says(target, &format!("{}reg pc SysTick_Handler; reg lr SysTick_Handler+5; backtrace", stop_at(elf, "main")));
            assert_eq!(trace(&out).last().unwrap(), "no further: the frames go in circles", "{elf}: {out}");
        }
    });
}

#[test]
fn a_recursion_ends_at_64_frames() {
    for (target, chip) in CHIPS {
        let deep = format!("bp recurse.isra.0 2 hw; {}backtrace", "resume; wait_halt; ".repeat(80));
        let out = goes_wrong(target, chip, 10, &deep);
        let lines = trace(&out);
        assert_eq!((lines.len(), functions(&lines).iter().filter(|name| *name == "recurse").count()), (65, 64), "{out}");
        assert_eq!(lines[64], "no further: only the innermost 64 frames are shown");
    }
}

/// Another build than what runs: its names, its lines and its frames would be wrong ones.
#[test]
fn an_elf_that_is_not_in_flash_is_refused() {
    for (target, chip) in CHIPS {
        let (is, other) = (format!("tests/firmware/calls-o0-{chip}.elf"), format!("tests/firmware/calls-o2-{chip}.elf"));
        let out = says(target, &format!("{}backtrace {other}", stop_at(&is, "fibonacci")));
        let lines = trace(&out);
        assert!(functions(&lines).iter().all(|name| name.is_empty() || name == "by lr"), "{out}");
        let stale = format!("{other} is not what the chip holds: ");
        assert!(lines.iter().any(|line| line.starts_with(&stale) && line.ends_with(": its names and lines are not used")), "{out}");
        // The right one, in a session that has programmed nothing.
        let out = says(target, &format!("{}backtrace {is}", stop_at(&is, "fibonacci").replace("program", "flash write_image erase")));
        assert_eq!(functions(&trace(&out)), ["fibonacci", "main", "Reset_Handler"]);
        let hex = says(target, &format!("try {{ backtrace(\"{is}x\") }} catch (e) {{ print(e.message) }}"));
        assert!(hex.contains("cannot open"), "{hex}");
    }
}

/// Our own breakpoint in RAM is no difference.
#[test]
fn a_file_that_is_no_elf_is_named_and_not_asked_for_an_address() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("app.bin");
    fs::write(&file, [0; 64]).unwrap();
    let line = format!("halt; backtrace {}", file.display());
    let ran = Command::new(env!("CARGO_BIN_EXE_rocd")).args(["-q", "-f", "sim", "-f", CHIPS[0].0, "-c", &line]).output().unwrap();
    let err = String::from_utf8_lossy(&ran.stderr);
    assert!(err.contains("app.bin is a raw binary: names and lines are in an ELF file"), "{err}");
}

#[test]
fn code_in_ram_with_a_breakpoint_in_it_is_the_same() {
    let elf = "tests/firmware/ramonly-h743.elf";
    let line = format!("halt; load_image {elf}; bp main 2; reg sp 0x20020000; resume Reset_Handler; wait_halt; backtrace");
    let out = says(CHIPS[0].0, &line);
    assert_eq!(functions(&trace(&out)), ["main", "Reset_Handler"], "{out}");
}

fn words(elf: &[u8], at: usize) -> usize {
    u32::from_le_bytes(elf[at..at + 4].try_into().unwrap()) as usize
}

/// Name, file offset and size of each section, and where its header is (TIS ELF 1.2).
fn sections(elf: &[u8]) -> Vec<(String, usize, usize, usize)> {
    let (table, count, names) = (words(elf, 32), usize::from(elf[48]), usize::from(elf[50]));
    let row = |nth: usize| table + nth * 40;
    let name = |nth: usize| {
        let text = &elf[words(elf, row(names) + 16) + words(elf, row(nth))..];
        String::from_utf8_lossy(text.split(|byte| *byte == 0).next().unwrap()).into_owned()
    };
    (0..count).map(|nth| (name(nth), words(elf, row(nth) + 16), words(elf, row(nth) + 20), row(nth))).collect()
}

#[test]
fn without_symbols_or_frames_it_says_how_far_lr_goes() {
    let folder = tempfile::tempdir().unwrap();
    let elf = fs::read("tests/firmware/calls-o2-h743.elf").unwrap();
    let without = |wanted: fn(&str) -> bool, name: &str| {
        let mut elf = elf.clone();
        for (_, _, _, header) in sections(&elf).iter().filter(|(name, ..)| wanted(name)) {
            // SHT_NULL, and no name that is looked for.
            elf[*header..header + 8].fill(0);
        }
        let path = folder.path().join(name);
        fs::write(&path, elf).unwrap();
        path.display().to_string()
    };
    let whole = stop_at("tests/firmware/calls-o2-h743.elf", "fibonacci") + "bp fibonacci 2 hw; resume; wait_halt; ";
    let frameless = without(|name| name == ".debug_frame", "frameless.elf");
    let out = says(CHIPS[0].0, &format!("{whole}backtrace {frameless}"));
    let lines = trace(&out);
    assert_eq!(functions(&lines), ["fibonacci", "fibonacci, by lr"], "{out}");
    assert!(lines[2].starts_with("no further: nothing is known of who called the function at 0x080000"), "{out}");
    let bare = without(|name| name.starts_with(".debug") || name == ".symtab", "bare.elf");
    let out = says(CHIPS[0].0, &format!("{whole}backtrace {bare}"));
    assert_eq!(functions(&trace(&out)), ["", "by lr"], "{out}");
    assert!(out.contains("no symbols are known: `backtrace FILE`"), "{out}");
}

/// Any byte of it may be wrong: the frames are others or fewer, and nothing falls over.
#[test]
fn damaged_unwind_information_gives_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let good = fs::read("tests/firmware/calls-o2-h743.elf").unwrap();
    let (_, start, size, _) = sections(&good).into_iter().find(|row| row.0 == ".debug_frame").unwrap();
    let mut lines = String::new();
    let mut state = 7u32;
    let mut next = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    let mut add = |path: &Path, bytes: Vec<u8>| {
        fs::write(path, bytes).unwrap();
        lines += &format!("let found = backtrace(\"{}\"); print(`${{found.frames.len()}} ${{found.end ?? \"\"}}`);\n", path.display());
    };
    for nth in 0..60 {
        let mut bad = good.clone();
        (0..4).for_each(|_| bad[start + next(size)] = next(256) as u8);
        if nth >= 40 {
            bad[start + next(size)..start + size].fill(next(256) as u8);
        }
        add(&folder.path().join(format!("{nth}.elf")), bad);
    }
    let script = folder.path().join("all.rhai");
    fs::write(&script, lines).unwrap();
    let third = "bp fibonacci 2 hw; resume; wait_halt; resume; wait_halt; ";
    let out = says(CHIPS[0].0, &format!("{}{third}script {}", stop_at("tests/firmware/calls-o2-h743.elf", "fibonacci"), script.display()));
    let rows: Vec<&str> = out.lines().filter(|line| line.split(' ').next().is_some_and(|count| count.parse::<u32>().is_ok())).collect();
    assert_eq!(rows.len(), 60, "{out}");
    for said in ["5 ", "(.debug_frame) for 0x080000", "the frames go in circles"] {
        assert!(rows.iter().any(|row| row.contains(said)), "none says `{said}`\n{out}");
    }
}

/// Debuggers are used over slow links: registers once, the stack in one piece, each function once.
#[test]
fn it_takes_few_transfers() {
    let line = stop_at("tests/firmware/calls-o2-h743.elf", "fibonacci")
        + "bp fibonacci 2 hw; resume; wait_halt; resume; wait_halt; timing on; backtrace";
    let out = Command::new(env!("CARGO_BIN_EXE_rocd"))
        .args(["--json", "-f", "interfaces/sim.toml", "-f", CHIPS[0].0, "-c", &line])
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&out.stdout).into_owned();
    let last: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    assert_eq!(last["value"]["frames"].as_array().unwrap().len(), 5, "{out}");
    let phases = last["timing"]["phases"].as_array().unwrap();
    let transactions: u64 = phases.iter().map(|phase| phase["transactions"].as_u64().unwrap()).sum();
    assert!(transactions <= 10, "{transactions}: {out}");
}

/// Whichever transfer the plug is pulled at, or not answered, is an error of the probe.
#[test]
fn a_cable_that_is_pulled_meanwhile_is_named() {
    let before = stop_at("tests/firmware/calls-o2-g071.elf", "fibonacci");
    for what in ["unplug", "silent"] {
        for nth in 0..8 {
            let line = format!("{before}sim inject {what} after {nth}; backtrace; echo ended");
            let output = Command::new(env!("CARGO_BIN_EXE_rocd"))
                .args(["-q", "-f", "interfaces/sim.toml", "-f", CHIPS[1].0, "-c", &line])
                .output()
                .unwrap();
            let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
            assert_eq!(output.status.code(), Some(3), "{what} after {nth}: {out}{err}");
            assert!(!out.contains("ended") && err.contains("error: "), "{what} after {nth}: {out}{err}");
        }
    }
    let running = Command::new(env!("CARGO_BIN_EXE_rocd"))
        .args(["-q", "-f", "interfaces/sim.toml", "-f", CHIPS[1].0, "-c", "program tests/firmware/blinky-g071.elf reset; backtrace"])
        .output()
        .unwrap();
    let err = String::from_utf8_lossy(&running.stderr).into_owned();
    assert!(err.contains("is running") && err.contains("`halt` first"), "{err}");
}
