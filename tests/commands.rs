//! Commands on the embedded board: what they return, which hooks they call, and what the board's own door shows of it.

use rocd::command::{Settings, Value};
use rocd::error::{Error, Kind, Result};
use rocd::event::{Event, Sink};
use rocd::host::{Cancel, Host};
use rocd::sim::Board;
use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

/// Keeps what was said.
#[derive(Default)]
struct Kept(RefCell<Vec<Event>>);

impl Sink for Kept {
    fn emit(&self, event: Event) {
        self.0.borrow_mut().push(event);
    }
}

struct Bench {
    host: Host,
    kept: Rc<Kept>,
}

impl Bench {
    fn new(files: &[&str]) -> Bench {
        let kept = Rc::new(Kept::default());
        let host = Host::new(kept.clone(), Cancel::default(), Settings::default(), 0).unwrap();
        for file in [&["interfaces/sim.toml"], files].concat() {
            host.file(file).unwrap();
        }
        Bench { host, kept }
    }

    /// With firmware that runs; a core without it is locked up.
    fn with_firmware() -> Bench {
        let bench = Bench::new(&["targets/stm32h7.toml"]);
        bench.value("program tests/firmware/blinky-h743.elf reset").unwrap();
        bench
    }

    /// The value of the line's last part.
    fn value(&self, line: &str) -> Result<Value> {
        let mut last = Value::None;
        self.host.line(line, &mut |outcome| last = outcome.result.clone().unwrap_or(Value::None))?;
        Ok(last)
    }

    fn fails(&self, line: &str) -> Error {
        self.value(line).expect_err(line)
    }

    /// An entry of the map that a line returns.
    fn entry(&self, line: &str, key: &str) -> Value {
        let value = self.value(line).unwrap();
        let Value::Shown(map, _) = value else { panic!("{line}: {value:?}") };
        let Value::Map(entries) = *map else { panic!("{line}: {map:?}") };
        entries.into_iter().find(|entry| entry.0 == key).unwrap_or_else(|| panic!("{line}: no {key}")).1
    }

    fn shown(&self, line: &str) -> String {
        self.value(line).unwrap().to_string()
    }

    /// What scripts printed since the last call.
    fn printed(&self) -> Vec<String> {
        let events = self.kept.0.take();
        events.into_iter().filter_map(|event| if let Event::Output(text) = event { Some(text) } else { None }).collect()
    }

    fn board(&self) -> Board {
        self.host.cx().board.borrow().board.clone().expect("the board is made at the first attach")
    }
}

/// A copy of a target file that names the hooks of a script, and the script.
fn with_hooks(folder: &Path, script: &str) -> Bench {
    let target = std::fs::read_to_string("targets/stm32h7.toml").unwrap();
    let names = ["examine_end", "reset_start", "reset_init", "reset_end", "halted"];
    let defined = names.iter().filter(|name| script.contains(&format!("fn on_{name}()")));
    let hooks: String = defined.map(|name| format!("{name} = \"on_{name}\"\n")).collect();
    let (target_file, script_file) = (folder.join("hooked.toml"), folder.join("hooks.rhai"));
    std::fs::write(&target_file, format!("{target}\n[hooks]\n{hooks}")).unwrap();
    std::fs::write(&script_file, script).unwrap();
    let bench = Bench::new(&[&target_file.to_string_lossy(), &script_file.to_string_lossy()]);
    bench.value("program tests/firmware/blinky-h743.elf reset").unwrap();
    bench.printed();
    bench
}

/// Each reads memory, so that a session held across it would be found out.
const TALKING: &str = r#"
    fn say(what) { mdw(0x20000000); print(what); }
    fn on_examine_end() { say("examine_end"); }
    fn on_reset_start() { say("reset_start"); }
    fn on_reset_init() { say("reset_init"); }
    fn on_reset_end() { say("reset_end"); }
    fn on_halted() { halt(); say("halted"); }
"#;

#[test]
fn reset_calls_its_hooks_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let bench = with_hooks(folder.path(), TALKING);
    bench.value("reset init").unwrap();
    assert_eq!(bench.printed(), ["reset_start", "reset_init", "reset_end"]);
    bench.value("reset halt").unwrap();
    assert_eq!(bench.printed(), ["reset_start", "reset_end"]);
    bench.value("reset").unwrap();
    assert_eq!(bench.printed(), ["reset_start", "reset_end"]);
    bench.value("connect").unwrap();
    assert_eq!(bench.printed(), ["examine_end"]);
}

#[test]
fn halted_is_called_when_the_core_stops_and_not_when_it_stands() {
    let folder = tempfile::tempdir().unwrap();
    let bench = with_hooks(folder.path(), TALKING);
    bench.value("halt").unwrap();
    assert_eq!(bench.printed(), ["halted"]);
    bench.value("halt; wait_halt").unwrap();
    assert_eq!(bench.printed(), [""; 0]);
    bench.value("resume; halt").unwrap();
    assert_eq!(bench.printed(), ["halted"]);
}

#[test]
fn an_error_in_a_hook_is_the_commands_error() {
    let folder = tempfile::tempdir().unwrap();
    let bench = with_hooks(folder.path(), "fn on_reset_init() { mdw(0x70000000); }");
    let error = bench.fails("reset init");
    assert_eq!(error.kind, Kind::Target);
    assert!(error.to_string().contains("0x70000000"), "{error}");
}

#[test]
fn memory_is_written_where_the_own_door_finds_it() {
    let bench = Bench::with_firmware();
    bench.value("mwb 0x24000001 0x5a; mwh 0x24000002 0xbeef; mww 0x24000004 0x12345678 2; mwd 0x24000010 0x1122334455667788").unwrap();
    let board = bench.board();
    assert_eq!(board.dump(0x2400_0001, 3).unwrap(), [0x5a, 0xef, 0xbe]);
    assert_eq!(board.dump(0x2400_0004, 8).unwrap(), [0x78, 0x56, 0x34, 0x12, 0x78, 0x56, 0x34, 0x12]);
    assert_eq!(board.dump(0x2400_0010, 8).unwrap(), [0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11]);
    bench.value("mwb 0x24002000 0xa5 20K").unwrap();
    assert_eq!(board.dump(0x2400_2000, 20 << 10).unwrap(), vec![0xa5; 20 << 10]);
    bench.value("write_memory 0x24000020 16 1 2 0xffff").unwrap();
    assert_eq!(board.dump(0x2400_0020, 6).unwrap(), [1, 0, 2, 0, 0xff, 0xff]);
}

#[test]
fn memory_is_read_as_numbers_and_as_text() {
    let bench = Bench::with_firmware();
    bench.board().poke(0x2400_0000, &[0xef, 0xbe, 0xad, 0xde, 0, 0, 0, 0x80]).unwrap();
    let words = Value::List(vec![Value::Int(0xdead_beef), Value::Int(0x8000_0000)]);
    assert_eq!(bench.value("mdw 0x24000000 2").unwrap(), Value::shown(words.clone(), "0x24000000: deadbeef 80000000 "));
    assert_eq!(bench.value("read_memory 0x24000000 32 2").unwrap(), Value::shown(words, "0xdeadbeef 0x80000000"));
    assert_eq!(bench.shown("mdd 0x24000000"), "0x24000000: 80000000deadbeef ");
    assert_eq!(bench.shown("mdb 0x24000002 3"), "0x24000002: ad de 00 ");
}

#[test]
fn what_cannot_be_reached_is_an_error_with_its_address() {
    let bench = Bench::with_firmware();
    for line in ["mdw 0x70000000", "mww 0x70000000 1", "read_memory 0x70000000 8 4", "dump_image out.bin 0x70000000 64"] {
        let error = bench.fails(line);
        assert_eq!(error.kind, Kind::Target, "{line}: {error}");
        assert!(error.trail.iter().any(|doing| doing.contains("at 0x70000000")), "{line}: {error}");
        assert!(error.hint.is_some(), "{line}: {error}");
    }
    assert!(!Path::new("out.bin").exists(), "a file was left behind by a dump that failed");
    bench.value("mdw 0x24000000").expect("the next access is not hurt by the fault");
}

#[test]
fn reads_leave_no_trace() {
    let bench = Bench::with_firmware();
    let board = bench.board();
    // A program that writes nothing, so that every change is the debugger's: vectors and `b .`.
    board.poke(0x0800_0000, &[0x00, 0x10, 0x00, 0x20, 0x09, 0x00, 0x00, 0x08, 0xFE, 0xE7]).unwrap();
    board.press_reset();
    // Reading DHCSR clears S_RESET_ST, as the chip has it.
    bench.value("targets").unwrap();
    // RAM, and DHCSR to DEMCR, FP_CTRL, DWT_CTRL, as the board has them
    let look = || {
        [(0x2000_0000, 0x2000), (0x2400_0000, 0x2000), (0xe000_edf0, 16), (0xe000_2000, 4), (0xe000_1000, 4)]
            .map(|(at, len)| board.dump(at, len).unwrap())
    };
    let before = look();
    bench.value("mdw 0x08000000 64; mdb 0x24000001 33; read_memory 0x20000000 64 8; targets; reg; bp; wp; probe list").unwrap();
    assert_eq!(look(), before);
    assert!(bench.shown("targets").contains("running"));
}

#[test]
fn an_image_goes_to_ram_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let (input, output) = (folder.path().join("in.bin"), folder.path().join("out.bin"));
    let bytes: Vec<u8> = (0..20_001u32).map(|n| (n * 7) as u8).collect();
    std::fs::write(&input, &bytes).unwrap();
    let bench = Bench::with_firmware();
    let loaded = bench.entry(&format!("load_image \"{}\" 0x24000003 bin", input.display()), "bytes");
    assert_eq!(loaded, Value::Int(20_001));
    assert_eq!(bench.board().dump(0x2400_0003, 20_001).unwrap(), bytes);
    bench.value(&format!("dump_image \"{}\" 0x24000003 20001", output.display())).unwrap();
    assert_eq!(std::fs::read(output).unwrap(), bytes);
}

#[test]
fn flash_is_no_place_for_load_image() {
    let bench = Bench::with_firmware();
    let before = bench.board().dump(0x0800_0000, 1024).unwrap();
    let error = bench.fails("load_image tests/firmware/blinky-h743.elf");
    assert_eq!(error.kind, Kind::Image);
    assert_eq!(error.hint.as_deref(), Some("`program tests/firmware/blinky-h743.elf` erases and writes flash"));
    assert_eq!(bench.board().dump(0x0800_0000, 1024).unwrap(), before);
}

#[test]
fn a_pulled_plug_is_a_probe_error_and_connect_comes_back() {
    let bench = Bench::with_firmware();
    bench.value("sim unplug").unwrap();
    assert_eq!(bench.fails("mdw 0x20000000").kind, Kind::Probe);
    bench.value("sim plug").unwrap();
    assert_eq!(bench.entry("connect", "dev_id"), Value::Int(0x450));
    bench.value("mdw 0x20000000").unwrap();
}

#[test]
fn connect_under_reset_catches_the_core_at_its_first_instruction() {
    let bench = Bench::with_firmware();
    bench.value("connect under_reset").unwrap();
    let reset = u32::from_le_bytes(bench.board().dump(0x0800_0004, 4).unwrap().try_into().unwrap());
    assert_eq!(bench.shown("reg pc"), format!("pc (/32): {:#010x} Reset_Handler (startup.c:45)", reset & !1));
    assert!(bench.shown("targets").contains("halted"));
    bench.value("connect normal").unwrap();
}

#[test]
fn the_clock_is_an_upper_bound() {
    let bench = Bench::new(&["targets/stm32h7.toml"]);
    assert!(bench.shown("adapter speed").contains("not connected yet"));
    bench.value("adapter speed 1000; connect").unwrap();
    let Value::Shown(khz, _) = bench.value("adapter speed").unwrap() else { panic!("a number with its text") };
    let Value::Int(khz) = *khz else { panic!("{khz:?}") };
    assert!((1..=1000).contains(&khz), "{khz}");
    let Value::Shown(faster, _) = bench.value("adapter speed 4000").unwrap() else { panic!("a number with its text") };
    assert!(matches!(*faster, Value::Int(taken) if taken > khz && taken <= 4000), "{faster:?}");
}

#[test]
fn registers_are_set_and_shown_of_a_halted_core_only() {
    let bench = Bench::with_firmware();
    assert!(bench.shown("reg").lines().any(|line| line == "(15) pc (/32)"));
    assert!(bench.value("reg pc").is_err());
    bench.value("halt").unwrap();
    assert_eq!(bench.shown("reg r7 0xcafe"), "r7 (/32): 0x0000cafe");
    assert_eq!(bench.value("reg 7").unwrap(), Value::shown(Value::Int(0xcafe), "r7 (/32): 0x0000cafe"));
    assert!(bench.shown("reg").contains("(7) r7 (/32): 0x0000cafe"));
    assert_eq!(bench.entry("halt", "reason"), Value::Text("debug-request".into()));
}

#[test]
fn points_are_set_listed_and_removed() {
    let bench = Bench::with_firmware();
    bench.value("halt; bp 0x08000100 2 hw; bp 0x24000100 2; wp 0x24000200 4 w").unwrap();
    assert_eq!(bench.board().dump(0x2400_0101, 1).unwrap(), [0xbe], "a BKPT stands in RAM");
    assert_eq!(bench.shown("bp").lines().count(), 2);
    assert!(bench.shown("wp").starts_with("address: 0x24000200, len: 0x00000004, r/w/a: 1"));
    bench.value("rbp 0x24000100; rwp all").unwrap();
    assert_eq!(bench.shown("bp").lines().count(), 1);
    assert_eq!(bench.shown("wp"), "");
    assert!(bench.value("rbp 0x24000100").is_err(), "there is none any more");
}

#[test]
fn memory_is_disassembled_with_the_functions_of_the_loaded_elf() {
    let bench = Bench::with_firmware();
    bench.value("halt; mww 0x20000000 0x2001bf08; mww 0x20000004 0x0a01ee20; mww 0x20000008 0xffffffff").unwrap();
    let text = bench.shown("disassemble 0x20000000 4");
    let lines = ["bf08      it eq", "2001      moveq r0, #1", "ee20 0a01 vmul.f32 s0, s0, s2", "ffff ffff (unknown)"];
    let places = [0x2000_0000u32, 0x2000_0002, 0x2000_0004, 0x2000_0008];
    let expected: Vec<String> = places.iter().zip(lines).map(|(at, line)| format!("{at:#010x} {line}")).collect();
    assert_eq!(text, expected.join("\n"));
    bench.value("reset halt").unwrap();
    let here = bench.shown("disassemble");
    assert_eq!(here.lines().count(), 8, "{here}");
    assert!(here.lines().next().is_some_and(|line| line.contains(" <Reset_Handler (startup.c:45)> ")), "{here}");
    assert_eq!(bench.fails("disassemble 0x20000000 5000").kind, Kind::Usage);
}

#[test]
fn the_last_instructions_are_listed_with_what_came_between() {
    let bench = Bench::with_firmware();
    bench.value("reset halt; step; step; step").unwrap();
    let text = bench.shown("sim trace 6");
    let words: Vec<&str> = text.lines().map(|line| line.trim_start().split_once(' ').map_or("", |parts| parts.1)).collect();
    assert_eq!(words.len(), 6, "{text}");
    assert!(words[1].starts_with("-- halted at ") && words[5].starts_with("-- halted at "), "{text}");
    assert!(words[4].starts_with("0x08") && words[4].contains("Reset_Handler"), "{text}");
    let Value::Shown(rows, _) = bench.value("sim trace 2").unwrap() else { panic!("{text}") };
    let json = rows.json();
    assert_eq!(json[1]["opcode"], serde_json::Value::Null);
    assert!(json[0]["opcode"].as_u64().is_some() && json[0]["cycle"].as_u64() < json[1]["cycle"].as_u64(), "{json}");
}

#[test]
fn strict_caches_let_memory_lag_behind_what_the_core_sees() {
    let bench = Bench::with_firmware();
    let memory = |bench: &Bench| bench.board().dump(0x2400_0000, 4).unwrap();
    assert_eq!(bench.shown("sim cache"), "off");
    bench.value("halt; mww 0x24000000 1; sim cache strict; mww 0xe000ed14 0x30200; mww 0x24000000 5").unwrap();
    assert_eq!((bench.shown("sim cache").as_str(), memory(&bench)), ("strict", vec![1, 0, 0, 0]));
    assert_eq!(bench.value("read_memory 0x24000000 32 1").unwrap().to_string(), "0x5");
    bench.value("sim cache off").unwrap();
    assert_eq!(memory(&bench), [5, 0, 0, 0], "nothing is lost");
    let error = Bench::new(&["targets/stm32g0.toml"]).fails("sim cache strict");
    assert_eq!((error.kind, error.message.as_str()), (Kind::Command, "stm32g071's core has no caches"));
}
