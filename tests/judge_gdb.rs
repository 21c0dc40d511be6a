//! One gdb script through OpenOCD and through rocd, each on a board of its own: what gdb says is the same, but for what is listed
//! here. And gdb through OpenOCD by both of its ways, as a judge of the board.

mod served;

use served::gdb::{FUNCTIONS, in_order, run as gdb};
use served::verdict::Verdict;
use served::{Board, DAP, HLA, Way, segments};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

struct Chip {
    board: &'static str,
    /// OpenOCD's target file, and what that calls the core.
    target: &'static str,
    core: &'static str,
    blinky: &'static str,
    calls: &'static str,
    /// Whether a blank chip needs to be told that it is no longer blank.
    boot: &'static [&'static str],
    fpu: bool,
}

const H743: Chip = Chip {
    board: "stm32h743",
    target: "stm32h7x",
    core: "stm32h7x.cpu0",
    blinky: "tests/firmware/blinky-h743.elf",
    calls: "tests/firmware/calls-o0-h743.elf",
    boot: &[],
    fpu: true,
};
const G071: Chip = Chip {
    board: "stm32g071",
    target: "stm32g0x",
    core: "stm32g0x.cpu",
    blinky: "tests/firmware/blinky-g071.elf",
    calls: "tests/firmware/calls-o0-g071.elf",
    boot: &["monitor stm32l4x option_load 0", "monitor sleep 100"],
    fpu: false,
};

/// A server in the background.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Serves gdb at this port once its log says so.
    fn started(mut command: Command, log: &Path, port: u16) -> Server {
        let server = Server(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let words = [format!("Listening on port {port} for gdb"), format!("gdb 127.0.0.1:{port}")];
        let listens = || std::fs::read_to_string(log).is_ok_and(|text| words.iter().any(|words| text.contains(words)));
        (0..600)
            .find(|_| {
                listens() || {
                    std::thread::sleep(Duration::from_millis(50));
                    false
                }
            })
            .expect("it serves");
        server
    }
}

fn judge(chip: &Chip, way: &Way, probe: &str) {
    let judge = format!("gdb through OpenOCD {}", way.name);
    let Some(_openocd) = Verdict::of("openocd", "openocd", &judge, chip.board) else { return };
    let Some(_gdb) = Verdict::of("gdb-multiarch", "gdb-multiarch", "gdb-multiarch", chip.board) else { return };
    let mut board = Board::serve(&format!("{},{probe}", chip.board), &[]);
    let session = [
        "monitor reset halt",
        "hbreak main",
        "continue",
        "delete",
        "stepi",
        "info registers pc",
        "watch milliseconds",
        "continue",
        "backtrace",
        "delete",
        "monitor reset run",
        "detach",
    ];
    let openocd = [
        "| openocd -c \"gdb_port pipe\" -c \"log_output /dev/null\" -c \"telnet_port disabled\"".to_string(),
        format!("-c \"tcl_port disabled\" -f interface/{}.cfg -c \"{} tcp {}\"", way.interface, way.backend, board.port()),
        format!("-c \"transport select {}\" -f target/{}.cfg -c init -c \"reset halt\"", way.transport, chip.target),
    ];
    let said = gdb(chip.blinky, &openocd.join(" "), &[&["load", "compare-sections"], chip.boot, &session[..]].concat());
    // over a high-level adapter OpenOCD does not know a watchpoint when it stops at one
    let watched = if way.name == "hla" { "SIGTRAP" } else { "Old value = 0\nNew value = 1" };
    in_order(
        &said,
        &[
            "Loading section .text",
            "Transfer rate",
            "Section .text, range 0x8000000",
            "matched.",
            "Hardware assisted breakpoint 1 at 0x8",
            "Breakpoint 1, main () at ",
            "pc             0x8",
            "Hardware watchpoint 2: milliseconds",
            watched,
            "#0  0x0",
            "in SysTick_Handler () at ",
            "<signal handler called>",
            "main ()",
        ],
    );
    for (address, bytes) in segments(&Path::new(env!("CARGO_MANIFEST_DIR")).join(chip.blinky)) {
        assert!(board.dump(address, bytes.len() as u32) == bytes, "flash at {address:#010x} is not the image");
    }
    board.run("sleep 2000");
    let leds = board.run("leds");
    assert!(leds.iter().any(|line| line.contains("period=500ms")), "{leds:?}");
    board.shutdown();
}

#[test]
fn gdb_through_dapdirect_on_the_h743() {
    judge(&H743, &DAP, "v3");
}

#[test]
fn gdb_through_hla_on_the_h743() {
    judge(&H743, &HLA, "v2");
}

#[test]
fn gdb_through_dapdirect_on_the_g071() {
    judge(&G071, &DAP, "v2-1");
}

#[test]
fn gdb_through_hla_on_the_g071() {
    judge(&G071, &HLA, "v3");
}

/// What both are asked: gdb's address is put for PORT, a file for CORE.
fn script(chip: &Chip) -> Vec<String> {
    let first = ["load", "compare-sections"];
    let begin = [
        "monitor reset halt",
        "info registers pc",
        // over a function with interrupts on, and through it
        "tbreak main",
        "continue",
        "next",
        "next",
        "next",
    ];
    let rest = [
        // a watchpoint of each kind
        "watch ticks",
        "continue",
        "backtrace",
        "delete",
        "rwatch ticks",
        "continue",
        "delete",
        "awatch ticks",
        "continue",
        "delete",
        "tbreak SysTick_Handler",
        "continue",
        "finish",
        // an interrupt that is pending runs before the step
        "monitor mww 0xe000ed04 0x04000000",
        "stepi",
        "stepi",
        "print ticks",
        "info registers",
        "x/4xw 0x08000000",
        "x/xw 0x70000000",
        "tbreak semihosting",
        "continue",
    ];
    let fpu: &[&str] = if chip.fpu { &["print $d7", "print $fpscr"] } else { &[] };
    let last = [
        "info threads",
        "generate-core-file CORE",
        // another gdb at the same core
        "shell gdb-multiarch -nx -batch -ex \"target extended-remote PORT\" -ex \"x/2xw 0x08000000\" -ex disconnect",
        "info registers pc",
        // the program's own BKPT, and past it
        "continue",
        "delete",
        // Ctrl-C
        "shell (sleep 1; kill -INT $PPID) >/dev/null 2>&1 &",
        "continue",
        "backtrace",
        "monitor reset halt",
        "detach",
        "target extended-remote PORT",
        "monitor reset halt",
        "maintenance flush register-cache",
        "info registers pc",
        "disconnect",
    ];
    first.iter().chain(chip.boot).chain(&begin).chain(FUNCTIONS).chain(&rest).chain(fpu).chain(&last).map(|line| line.to_string()).collect()
}

/// Lines that are not the same, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    ("0x70000000:", "a failed read is an error here; OpenOCD gives zeros"),
    ("* 1    ", "rocd has a thread, with the core's name, where OpenOCD has none and gdb says `Remote target`"),
    ("lr  ", "a pointer to code here, so gdb adds the function; an int in OpenOCD's description"),
];

/// Lines that only one of them has, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("Transfer rate", "OpenOCD takes its wall time, rocd's board is as fast as it can"),
    ("basepri", "ARMv6-M has no such register (DDI0419 B1.4), and OpenOCD shows one"),
    ("faultmask", "as basepri"),
    ("[stm32g0x.cpu] external reset", "the option bytes are loaded anew for OpenOCD only; rocd clears EMPTY itself"),
    ("[stm32g0x.cpu] halted due to breakpoint", "as above: the program runs to its BKPT before it is reset again"),
    ("xPSR: 0x21000000 pc: 0x08000132", "as above"),
    ("stm32l4x option load", "as above"),
    ("Unable to match requested speed", "as above"),
];

/// What gdb says through the server that is started with a port and a file for its log.
fn through(chip: &Chip, lines: &[String], start: impl Fn(u16, &Path) -> Command) -> Vec<String> {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = tempfile::tempdir().unwrap();
    let (log, core) = (folder.path().join("log"), folder.path().join("core"));
    let _server = Server::started(start(port, &log), &log, port);
    let (address, core) = (format!("127.0.0.1:{port}"), core.display().to_string());
    let filled: Vec<String> = lines.iter().map(|line| line.replace("PORT", &address).replace("CORE", &core)).collect();
    let said = gdb(chip.calls, &address, &filled.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(std::fs::metadata(&core).is_ok_and(|core| core.len() > 1000), "the core file is empty");
    transcript(&said.replace(&address, "PORT").replace(&core, "CORE"))
}

fn compare(chip: &Chip, probe: &str) {
    let Some(_openocd) = Verdict::of("openocd", "openocd", "gdb through OpenOCD and rocd", chip.board) else { return };
    let Some(_gdb) = Verdict::of("gdb-multiarch", "gdb-multiarch", "gdb through rocd and OpenOCD", chip.board) else { return };
    let lines = script(chip);
    let board = Board::serve(&format!("{},{probe}", chip.board), &[]);
    let openocd = through(chip, &lines, |port, log| {
        let mut openocd = Command::new("openocd");
        for line in [&format!("gdb_port {port}"), "telnet_port disabled", "tcl_port disabled", &format!("log_output {}", log.display())] {
            openocd.args(["-c", line]);
        }
        openocd.args(["-f", &format!("interface/{}.cfg", DAP.interface), "-c", &format!("{} tcp {}", DAP.backend, board.port())]);
        openocd.args(["-c", &format!("transport select {}", DAP.transport), "-f", &format!("target/{}.cfg", chip.target)]);
        openocd.args(["-c", &format!("{} configure -gdb-max-connections 2", chip.core), "-c", "init", "-c", "reset halt"]);
        openocd
    });
    board.shutdown();
    let board = Board::serve(&format!("{},{probe}", chip.board), &[]);
    let folder = tempfile::tempdir().unwrap();
    let interface = board.interface(folder.path());
    let lines: Vec<String> = lines.into_iter().filter(|line| !chip.boot.contains(&line.as_str())).collect();
    let rocd = through(chip, &lines, |port, log| {
        let mut rocd = Command::new("sh");
        let words = format!("-q -f {} -f {} serve gdb {port}", interface.display(), &chip.board[..7]);
        rocd.args(["-c", &format!("exec {} {words} > {}", env!("CARGO_BIN_EXE_rocd"), log.display())]);
        rocd
    });
    board.shutdown();
    assert_eq!(openocd.len(), rocd.len(), "{openocd:#?}\n{rocd:#?}");
    for (theirs, ours) in openocd.iter().zip(&rocd) {
        let explained = DIFFERENCES.iter().any(|(start, _)| theirs.starts_with(start) && ours.starts_with(start));
        assert!(theirs == ours || explained, "OpenOCD: {theirs}\n   rocd: {ours}");
    }
}

/// From the load on, without rates, and with one name for the core. Where it stands when gdb comes again is left out: `detach`
/// leaves it halted in OpenOCD, and lets the program go on here.
fn transcript(said: &str) -> Vec<String> {
    let mut away = false;
    let lines = said.lines().skip_while(|line| !line.starts_with("Loading section")).filter(|line| {
        away = (away || line.contains("detached]")) && !line.contains("] halted");
        !away && !LEFT_OUT.iter().any(|row| line.starts_with(row.0))
    });
    let plain = |line: &str| match line.split_once("] halted") {
        Some((_, rest)) => format!("[core] halted{rest}"),
        None => line.to_string(),
    };
    lines.map(plain).collect()
}

#[test]
fn the_same_script_through_openocd_and_rocd_on_the_h743() {
    compare(&H743, "v3");
}

#[test]
fn the_same_script_through_openocd_and_rocd_on_the_g071() {
    compare(&G071, "v2-1");
}

/// Function and line of each frame, as gdb lists them (`#1  0x08000146 in main () at calls.c:52`) and as rocd does
/// (`#1  0x08000146 main+0x26 (calls.c:52)`).
fn frames(said: &str) -> [Vec<String>; 2] {
    let (mut gdb, mut rocd) = (vec![], vec![]);
    for line in said.lines().filter(|line| line.starts_with('#')) {
        let rest = line.split_once(' ').map_or("", |(_, rest)| rest.trim_start());
        if let Some((frame, place)) = rest.split_once(" at ") {
            let function = frame.split(" in ").last().and_then(|rest| rest.split(' ').next()).unwrap_or_default();
            gdb.push(format!("{function} {place}"));
        } else if let Some((frame, place)) = rest.split_once(" (").filter(|(frame, _)| frame.starts_with("0x")) {
            let function = frame.split(' ').next_back().and_then(|name| name.split('+').next()).unwrap_or_default();
            rocd.push(format!("{function} {}", place.split(')').next().unwrap_or_default()));
        }
    }
    [gdb, rocd]
}

/// At the same stops, but at no first instruction, which may have two lines: in a recursion, in an interrupt, in the handler of a fault.
fn backtraces(target: &str, firmware: &str, number: Option<u32>) {
    let Some(_gdb) = Verdict::of("gdb-multiarch", "gdb-multiarch", "gdb's backtrace and rocd's", target) else { return };
    let elf = &format!("tests/firmware/{firmware}.elf");
    let own = format!("monitor backtrace {elf}");
    let start = ["set backtrace past-main on", "load", "monitor reset halt"];
    let which = format!("set *(int*)0x20004000={}", number.unwrap_or_default());
    let lines = match number {
        None => {
            vec![
                "hbreak fibonacci",
                "continue",
                "continue",
                "continue",
                "stepi",
                "backtrace",
                &own,
                "delete",
                "hbreak SysTick_Handler",
                "continue",
            ]
        }
        Some(_) => vec!["hbreak main", "continue", &which, "delete", "hbreak HardFault_Handler", "continue"],
    };
    let rocd = format!("| {} -q -f sim -f {target} serve gdb pipe", env!("CARGO_BIN_EXE_rocd"));
    let said = gdb(elf, &rocd, &[&start[..], &lines, &["stepi", "backtrace", &own, "detach"]].concat());
    let [theirs, ours] = frames(&said);
    assert!(theirs.len() >= 4, "{said}");
    assert_eq!(theirs, ours, "{said}");
}

#[test]
fn gdb_and_rocd_list_the_same_frames() {
    for (target, chip) in [("stm32h7", "h743"), ("stm32g0", "g071")] {
        backtraces(target, &format!("calls-o0-{chip}"), None);
        backtraces(target, &format!("calls-o2-{chip}"), None);
        backtraces(target, &format!("bad-{chip}"), Some(8));
    }
}
