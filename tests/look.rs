//! Looking: source lines, symbols, text beside numbers, the maps, and a value that is watched; through the program.

use std::fs;
use std::process::{Command, Output};

const H7: [&str; 4] = ["-f", "interfaces/sim.toml", "-f", "targets/stm32h7.toml"];
const G0: [&str; 4] = ["-f", "interfaces/sim.toml", "-f", "targets/stm32g0.toml"];
const BLINKY: &str = "tests/firmware/blinky-h743.elf";

fn run(files: &[&str], line: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rocd")).args(files).args(["-c", line]).output().unwrap()
}

/// What it printed; it must have ended well.
fn says(files: &[&str], line: &str) -> String {
    let output = run(files, line);
    let (out, err) = (String::from_utf8_lossy(&output.stdout).into_owned(), String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{line}\n{out}\n{err}");
    out
}

/// What it said of an error.
fn refuses(files: &[&str], line: &str) -> String {
    let output = run(files, line);
    assert!(!output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn has(text: &str, wanted: &[&str]) {
    for wanted in wanted {
        assert!(text.contains(wanted), "no `{wanted}` in:\n{text}");
    }
}

#[test]
fn a_halt_a_breakpoint_code_and_the_trace_say_function_and_line() {
    let line = format!(
        "program {BLINKY}; bp main 2; bp; reset run; wait_halt; disassemble main 1; sim trace 1; rbp all; reset halt; step; reg pc; reg lr"
    );
    has(
        &says(&H7, &line),
        &[
            "breakpoint set at 0x080000ec main (blinky.c:24)",
            "msp: 0x2001fff8 in main (blinky.c:24)",
            "0x080000ec <main (blinky.c:24)> ",
            "-- halted at 0x080000ec main (blinky.c:24)",
            "pc: 0x08000046 msp: 0x20020000 in Reset_Handler+0x2 (startup.c:45)",
            "\nBreakpoint(IVA): 0x080000ec, 0x2, 0 main (blinky.c:24)\n",
            "\npc (/32): 0x08000046 Reset_Handler+0x2 (startup.c:45)\n",
            "\nlr (/32): 0xffffffff\n",
        ],
    );
}

#[test]
fn an_elf_without_debug_information_has_functions_only() {
    let folder = tempfile::tempdir().unwrap();
    let mut elf = fs::read(BLINKY).unwrap();
    for at in 0..elf.len() - 7 {
        if elf[at..].starts_with(b".debug_") {
            elf[at..at + 7].copy_from_slice(b".nodbg_");
        }
    }
    let path = folder.path().join("plain.elf");
    fs::write(&path, elf).unwrap();
    let out = says(&H7, &format!("program {}; reset halt", path.display()));
    assert!(out.trim_end().ends_with("msp: 0x20020000 in Reset_Handler"), "{out}");
}

/// Where the sections whose names begin with `.debug_` lie in an ELF (TIS ELF 1.2).
fn debug_sections(elf: &[u8]) -> Vec<(usize, usize)> {
    let word = |at: usize| u32::from_le_bytes(elf[at..at + 4].try_into().unwrap()) as usize;
    let (table, count, names) = (word(32), usize::from(elf[48]), usize::from(elf[50]));
    let row = |nth: usize| table + nth * 40;
    let name = |nth: usize| word(row(names) + 16) + word(row(nth));
    let debug = (0..count).filter(|nth| elf[name(*nth)..].starts_with(b".debug_"));
    debug.map(|nth| (word(row(nth) + 16), word(row(nth) + 20))).collect()
}

/// Any byte of the DWARF may be wrong: then there is another line or none, and nothing falls over.
#[test]
fn damaged_debug_information_gives_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let good = fs::read(BLINKY).unwrap();
    let sections = debug_sections(&good);
    assert!(sections.len() >= 5, "{sections:?}");
    let (mut lines, mut state) = (String::new(), 1u32);
    let mut next = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for nth in 0..60 {
        let mut bad = good.clone();
        for (start, size) in &sections {
            // Few bytes, so that not all stop at the first; the last ones lose all from somewhere on.
            (0..3).for_each(|_| bad[start + next(*size)] = next(256) as u8);
            if nth >= 50 {
                bad[start + next(*size)..start + size].fill(0);
            }
        }
        let path = folder.path().join(format!("{nth}.elf"));
        fs::write(&path, bad).unwrap();
        lines += &format!("program(\"{}\"); print(symbol(\"main\").name); disassemble(0x08000040, 60);\n", path.display());
    }
    let script = folder.path().join("all.rhai");
    fs::write(&script, lines).unwrap();
    let out = says(&H7, &format!("script {}", script.display()));
    assert_eq!(out.lines().filter(|line| *line == "main").count(), 60, "{out}");
}

/// Lines of another build would be wrong lines: the same file, written again, is another.
#[test]
fn a_file_that_was_written_anew_gives_functions_without_lines() {
    let folder = tempfile::tempdir().unwrap();
    let (elf, script) = (folder.path().join("app.elf"), folder.path().join("anew.rhai"));
    fs::copy(BLINKY, &elf).unwrap();
    let length = fs::metadata(&elf).unwrap().len();
    let known = |between: &str| {
        let lines = format!(
            "load_image(\"{0}\", 0x24000000, \"bin\"); program(\"{0}\"); {between} print(symbol(\"main\").line ?? \"none\");",
            elf.display()
        );
        fs::write(&script, lines).unwrap();
        says(&H7, &format!("script {}", script.display())).trim_end().lines().last().unwrap_or_default().to_string()
    };
    assert_eq!(known(""), "blinky.c:24");
    assert_eq!(known(&format!("dump_image(\"{}\", 0x24000000, {length});", elf.display())), "none");
    assert!(fs::read(&elf).unwrap() == fs::read(BLINKY).unwrap());
}

#[test]
fn a_symbol_is_found_by_name_and_address() {
    let known = |word: &str| says(&H7, &format!("program {BLINKY}; symbol {word}")).trim_end().lines().last().unwrap().to_string();
    assert_eq!(known("main"), "main (blinky.c:24): function at 0x080000ec, 68 bytes");
    assert_eq!(known("0x08000004"), "vectors+0x4: object at 0x08000000, 64 bytes");
    assert!(known("0x080000f0").starts_with("main+0x4 (blinky.c:"), "{}", known("0x080000f0"));
    has(&refuses(&H7, &format!("program {BLINKY}; symbol mian")), &["no symbol `mian`; did you mean `main`?"]);
    has(&refuses(&H7, &format!("program {BLINKY}; symbol 0x20010000")), &["no symbol at 0x20010000"]);
    has(&refuses(&H7, "symbol main"), &["no symbols are known", "`program` or `load_image`"]);
}

#[test]
fn a_pc_in_lockup_is_no_instruction() {
    has(&refuses(&H7, "halt; disassemble"), &["no instruction is at 0xfffffffe", "locked up", "`reset halt`"]);
}

#[test]
fn text_stands_beside_numbers_in_its_column() {
    let write = "write_memory 0x20000000 8 72 105 33 0 127 255 32 126 65";
    assert_eq!(says(&H7, &format!("{write}; mdb 0x20000000 9 ascii")).trim_end(), "0x20000000: 48 69 21 00 7f ff 20 7e 41  |Hi!... ~A|");
    assert_eq!(says(&H7, &format!("{write}; mdw 0x20000000 2 ascii")).trim_end(), "0x20000000: 00216948 7e20ff7f  |Hi!... ~|");
    let two = says(&H7, "mdh 0x20000000 17 ascii");
    let bars: Vec<_> = two.lines().map(|line| line.find('|')).collect();
    assert_eq!((bars.len(), bars[0]), (2, bars[1]), "{two}");
}

#[test]
fn the_memory_map_has_flash_ram_and_what_every_core_has() {
    has(
        &says(&H7, "memory map"),
        &[
            "0x08000000..0x080fffff     1 MiB  flash       bank 1: 8 sectors of 128 KiB, words of 32 bytes",
            "0x1ff00000..0x1ff1ffff   128 KiB  ROM         system memory",
            "0x48020000..0x48027fff    32 KiB  peripherals D2 AHB2",
            "0xe0000000..0xe00fffff     1 MiB  system",
        ],
    );
    // What one core has is no work area of the second, which this chip does not have.
    assert!(!says(&H7, "memory map").contains("cm4"));
    has(
        &says(&G0, "memory map"),
        &[
            "words of 8 bytes",
            "  RAM         SRAM: up to 36 KiB, work area of cm0p",
            "0x1fff7800..0x1fff787f     128 B  ROM         option bytes",
        ],
    );
    // Only the H7A3 has it.
    assert!(!says(&H7, "memory map").contains("OTP"));
    let a3 = [&H7[..], &["-c", "sim chip stm32h7a3"]].concat();
    has(&says(&a3, "memory map"), &["0x08fff000..0x08fff3ff     1 KiB  ROM         OTP"]);
}

#[test]
fn the_flash_map_draws_what_is_there_and_what_program_would_do() {
    let blank = says(&H7, "flash map");
    has(&blank, &["bank 1 at 0x08000000, 8 sectors of 128 KiB\n  0x08000000 ........\n", "  0x08100000 ........\n", ". blank"]);
    assert!(!blank.contains("# used"), "{blank}");
    has(&says(&H7, &format!("flash map {BLINKY}")), &["  0x08000000 w.......\n", "w blank, to be written"]);
    has(&says(&H7, &format!("program {BLINKY}; flash map")), &["  0x08000000 #.......\n", ". blank, # used"]);
    has(&says(&H7, &format!("program {BLINKY}; flash map {BLINKY}")), &["  0x08000000 =.......\n", "= holds the image already"]);
    let other = "flash map tests/firmware/calls-o0-h743.elf";
    let drawn = says(&H7, &format!("program tests/firmware/dense-200k-h743.elf; {other}"));
    has(&drawn, &["  0x08000000 K#......\n", "K to be erased and written, with bytes that are kept"]);
    has(&refuses(&H7, "flash map nothing.elf"), &["cannot open nothing.elf"]);
}

/// What the board's dirty flash is programmed with here: most of it, so that it lasts long enough to be drawn.
fn program_most_of_it(folder: &std::path::Path) -> [String; 4] {
    let image = folder.join("big.bin");
    let noise = |n: u32| (n.wrapping_mul(2_654_435_761) >> 24) as u8 & 0x7F;
    fs::write(&image, (0..900_000).map(noise).collect::<Vec<u8>>()).unwrap();
    let dirty = "for sector in 0..5 { sim_poke(0x08000000 + sector * 0x20000, 0x12) }";
    let program = format!("program {} bin force-vectors; echo over", image.display());
    ["-c".into(), dirty.into(), "-c".into(), program]
}

#[test]
#[cfg(unix)]
fn a_terminal_sees_sector_by_sector_what_program_does() {
    let folder = tempfile::tempdir().unwrap();
    let lines = program_most_of_it(folder.path());
    for columns in [100, 20] {
        let mut command = Command::new("sh");
        let run = format!("stty cols {columns} rows 40; exec \"$@\"");
        command.args(["-c", &run, "sh", env!("CARGO_BIN_EXE_rocd")]).args(H7).args(&lines).env("TERM", "xterm");
        let mut terminal = rexpect::session::spawn_command(command, Some(60_000)).unwrap();
        let seen = terminal.exp_eof().unwrap();
        let signs = ["- kept as it is", "w blank, to be written", "W to be erased and written", "e erased", "+ written"];
        // Where a bar has no room there is its rate alone.
        let bars: &[&str] = if columns == 100 { &["   erase [", "   write [", "s left"] } else { &["KiB/s", "s left"] };
        for wanted in signs.iter().chain(&["bank 1 at 0x08000000, 8 sectors of 128 KiB"]).chain(bars) {
            assert!(seen.contains(wanted), "{wanted} is not shown in {columns} columns");
        }
        // Nothing of it is left in the end.
        let size = |count| std::num::NonZero::new(count).unwrap();
        let mut screen = vt100::Parser::new(size(40), size(columns), 0);
        screen.process(seen.as_bytes());
        let left = screen.screen().contents();
        assert!(left.contains("over") && !left.contains("sectors of 128") && !left.contains("++"), "{left}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_rocd")).args(H7).args(&lines).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(!String::from_utf8_lossy(&said).contains("sectors of 128"), "a map where no terminal is");
}

#[test]
fn what_is_watched_is_said_once_a_change() {
    let watched = says(&H7, "mww 0x20000000 0x12345678; watch 0x20000000 10 5");
    assert_eq!(watched.trim_end(), "0x20000000: 0x12345678");
    let symbols = says(&H7, &format!("program {BLINKY}; reset halt; watch pc 1 2; watch main 1 2; watch \"40 + 2\" 1 3"));
    has(&symbols, &["\npc: 0x08000044 Reset_Handler (startup.c:45)\nmain: 0x", "\n40 + 2: 42\n"]);
    assert_eq!(symbols.matches("40 + 2: ").count(), 1, "{symbols}");
    has(&refuses(&H7, "watch nothing_of_that_name 1 2"), &["nothing_of_that_name"]);
}

#[test]
fn a_value_that_changes_is_a_line_each_time() {
    let out = says(&H7, &format!("program {BLINKY}; reset run; watch milliseconds 40 5"));
    let seen: Vec<_> = out.lines().filter(|line| line.starts_with("milliseconds: 0x000000")).collect();
    assert_eq!(seen.len(), 5, "{out}");
    assert!(seen.windows(2).all(|pair| pair[0] != pair[1]), "{out}");
}

/// On a terminal the value stays in its line, and Ctrl-C ends it.
#[test]
#[cfg(unix)]
fn a_terminal_shows_a_watched_value_in_its_place_until_ctrl_c() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rocd"));
    command.args(H7).args(["-c", &format!("program {BLINKY}; reset run; watch milliseconds 40; echo never")]);
    let mut terminal = rexpect::session::spawn_command(command, Some(20_000)).unwrap();
    terminal.exp_string("milliseconds: 0x000000").unwrap();
    let between = terminal.exp_string("milliseconds: 0x000000").unwrap();
    assert!(between.contains('\r') && !between.contains('\n'), "{between:?}");
    terminal.send_control('c').unwrap();
    let rest = terminal.exp_eof().unwrap();
    assert!(rest.contains("interrupted") && !rest.contains("never"), "{rest:?}");
    let status = terminal.process().wait().unwrap();
    assert!(matches!(status, rexpect::process::WaitStatus::Exited(_, 130)), "{status:?}");
}
