//! The core against QEMU, instruction by instruction: 69 programs of tests/cpu run here and under qemu-system-arm at
//! the same time, and r0-r15 and xPSR are compared before every instruction.
//!
//!     cargo test --test cpu_qemu -- --nocapture            10^6 instructions of each program, or all it has
//!     ROCD_QEMU_INSTRUCTIONS=100000000 cargo test …         so many instead: every program to its end
//!
//! QEMU writes its registers before each instruction (`-singlestep -d cpu,nochain`) into a pipe; nothing is stored. The
//! board's core goes by C_STEP, as a debugger would take it. What cannot be the same is named in `Apart`, counted and
//! printed; everything else that differs fails with both states.

mod served;

use object::read::elf::ElfFile32;
use object::{Endianness, Object, ObjectSegment};
use rocd::sim::chip::{Chip, Size};
use rocd::sim::semihost::{End, Host, prepare, serve};
use served::verdict::Verdict;
use std::io::{BufRead, BufReader, Read};
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

/// Of each program, unless ROCD_QEMU_INSTRUCTIONS says otherwise.
const INSTRUCTIONS: u64 = 1_000_000;
const PROGRAMS: usize = 69;

const SP: usize = 13;
const PC: usize = 15;
const XPSR: usize = 16;
/// xPSR's exception number.
const IPSR: u32 = 0x1FF;
const SYSTICK: u32 = 15;

const DHCSR: u32 = 0xE000_EDF0;
/// C_DEBUGEN, C_HALT; C_STEP; C_MASKINTS (ARM DDI0403 C1.6.2).
const HALT: u32 = 0xA05F_0003;
const STEP: u32 = 0xA05F_0005;
const MASKINTS: u32 = 1 << 3;
const CPUID: u32 = 0xE000_ED00;
const ICSR: u32 = 0xE000_ED04;
const PENDSTSET: u32 = 1 << 26;
const RETTOBASE: u32 = 1 << 11;
/// Variant, part number's lowest digit (M0, M0+) and revision.
const CPUID_REVISION: u32 = 0x00F0_0FFF;
const SHPR1: u32 = 0xE000_ED18;
const SHPR3: u32 = 0xE000_ED20;
const IPR: u32 = 0xE000_E400;
const IPR_END: u32 = 0xE000_E5F0;
const SYST_CSR: u32 = 0xE000_E010;
const SYST_CVR: u32 = 0xE000_E018;
const BKPT_AB: u32 = 0xBEAB;
const SYS_WRITEC: u32 = 0x03;
const SYS_WRITE0: u32 = 0x04;
const SYS_ISTTY: u32 = 0x09;
const SYS_ERRNO: u32 = 0x13;
/// Longer than any instruction and exception entry, nanoseconds.
const LONG: u64 = 1_000_000;

/// What may differ, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Apart {
    /// Registers that reset leaves unknown (DDI0403 B1.5.5): ours are set to QEMU's before the first instruction.
    Reset,
    /// QEMU writes a line twice where it starts an instruction again (a load from a device, a request of its main loop).
    Twice,
    /// r0 after SYS_WRITEC and SYS_WRITE0, which return nothing and may leave anything there ("Semihosting", 3.0).
    Void,
    /// QEMU writes an instruction's line before it sees that an exception comes first; it writes it again after.
    Early,
    /// SYS_ISTTY: the board's console is a terminal, QEMU's is a pipe here, which SYS_ERRNO then tells (ENOTTY); the core
    /// goes on with QEMU's answers.
    Terminal,
    /// CPUID: QEMU has a Cortex-M0 and no M0+, and another revision of the M7.
    Part,
    /// ICSR of an M0: QEMU shows RETTOBASE, which ARMv6-M has not (DDI0419 B3.2.4).
    Base,
    /// QEMU's M7 has eight priority bits, an STM32's has four: SHPR and IPR keep the upper ones.
    Priority,
    /// A load from SysTick's registers or from ICSR, whose pending bits SysTick sets: time is not compared, and the core
    /// goes on with QEMU's value.
    Clock,
    /// SysTick's exception comes when QEMU's does: time again. That the core takes it there is compared.
    Tick,
}

const APART: [(Apart, &str); 10] = [
    (Apart::Reset, "first states (registers that reset leaves unknown)"),
    (Apart::Twice, "lines that QEMU wrote twice"),
    (Apart::Void, "r0 after a semihosting call without result"),
    (Apart::Early, "lines that QEMU wrote before an exception that came first"),
    (Apart::Terminal, "answers to SYS_ISTTY and SYS_ERRNO (QEMU's console is a pipe)"),
    (Apart::Part, "loads from CPUID (QEMU has another revision)"),
    (Apart::Base, "loads from the M0's ICSR (QEMU has RETTOBASE there)"),
    (Apart::Priority, "loads of priorities (QEMU's M7 has eight bits, ours four)"),
    (Apart::Clock, "loads from SysTick's registers and ICSR (time)"),
    (Apart::Tick, "SysTick exceptions placed where QEMU had them (time)"),
];

/// r0-r15 and xPSR before an instruction.
type State = [u32; 17];

/// What QEMU runs a program on, and its largest RAM, where its semihosting puts heap and stack.
struct Machine {
    core: &'static str,
    name: &'static str,
    ram: Range<u32>,
}

const MACHINES: [Machine; 4] = [
    Machine { core: "m0", name: "microbit", ram: 0x2000_0000..0x2000_4000 },
    // the PSRAM of the board
    Machine { core: "m7", name: "mps2-an500", ram: 0x6000_0000..0x6100_0000 },
    Machine { core: "m7s", name: "mps2-an500", ram: 0x6000_0000..0x6100_0000 },
    Machine { core: "m4", name: "mps2-an386", ram: 0x2100_0000..0x2200_0000 },
];

// ---- QEMU's side ----

struct Qemu {
    child: Child,
    lines: BufReader<ChildStderr>,
    console: ChildStdout,
}

impl Qemu {
    /// Time is counted in instructions, so that runs repeat.
    fn start(machine: &Machine, program: &Path) -> Qemu {
        let mut child = Command::new("qemu-system-arm")
            .args(["-M", machine.name, "-display", "none", "-monitor", "none", "-serial", "none"])
            .args(["-semihosting-config", "enable=on,target=native,chardev=console,arg=program", "-icount", "shift=5,sleep=off"])
            // what the program prints comes on stdout, by either way of semihosting; the trace on stderr
            .args(["-chardev", "file,id=console,path=/dev/stdout"])
            .args(["-singlestep", "-d", "cpu,nochain", "-D", "/dev/stderr", "-kernel"])
            .arg(program)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::with_capacity(1 << 20, child.stderr.take().unwrap());
        let console = child.stdout.take().unwrap();
        Qemu { child, lines, console }
    }

    /// Four lines of four registers, then XPSR; `None`: the program ended.
    fn state(&mut self, line: &mut Vec<u8>) -> Option<State> {
        let mut state = [0; 17];
        for row in 0..5 {
            line.clear();
            if self.lines.read_until(b'\n', line).unwrap() == 0 {
                assert_eq!(row, 0, "QEMU's trace ends within a state");
                return None;
            }
            for (column, start) in [4, 17, 30, 43].into_iter().enumerate().take(if row < 4 { 4 } else { 1 }) {
                let start = if row < 4 { start } else { 5 };
                state[4 * row + column] = hex(line.get(start..start + 8)).unwrap_or_else(|| panic!("{:?}", String::from_utf8_lossy(line)));
            }
        }
        Some(state)
    }

    /// What the program printed, and its exit code.
    fn end(mut self) -> (String, i32) {
        let mut text = String::new();
        self.console.read_to_string(&mut text).unwrap();
        (text, self.child.wait().unwrap().code().unwrap())
    }

    fn stop(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn hex(digits: Option<&[u8]>) -> Option<u32> {
    digits?.iter().try_fold(0, |value, digit| Some(value << 4 | (*digit as char).to_digit(16)?))
}

// ---- the board's side ----

/// Where the program's data end in this RAM, or its start.
fn image_end(elf: &[u8], ram: &Range<u32>) -> u32 {
    let file = ElfFile32::<Endianness>::parse(elf).unwrap();
    let ends = file.segments().filter(|segment| ram.contains(&(segment.address() as u32)));
    ends.map(|segment| (segment.address() + segment.size()) as u32).max().unwrap_or(ram.start)
}

/// The board's RAM holds noise after power-on, QEMU's holds zeros where the program puts nothing.
fn clear_ram(chip: &mut Chip, elf: &[u8]) {
    let row = chip.row;
    row.ram.iter().for_each(|ram| assert_eq!(chip.poke_all(ram.base, &vec![0; ram.size as usize]), ram.size as usize));
    for segment in ElfFile32::<Endianness>::parse(elf).unwrap().segments() {
        let bytes = segment.data().unwrap();
        assert_eq!(chip.poke_all(segment.address() as u32, bytes), bytes.len());
    }
}

struct Board {
    chip: Chip,
    host: Host,
    text: Vec<u8>,
    end: Option<End>,
    /// SysTick is kept away until QEMU has it.
    masked: u32,
}

impl Board {
    fn new(machine: &Machine, program: &Path, masked: bool) -> Board {
        let elf = std::fs::read(program).unwrap();
        let (mut chip, mut host) = prepare(&format!("bare-{}", machine.core), &elf).unwrap();
        let base = image_end(&elf, &machine.ram);
        host.heap = [base, machine.ram.end, machine.ram.end, base];
        clear_ram(&mut chip, &elf);
        chip.write(0, 0, DHCSR, Size::Word, HALT).unwrap();
        Board { chip, host, text: Vec::new(), end: None, masked: if masked { MASKINTS } else { 0 } }
    }

    fn state(&self) -> State {
        std::array::from_fn(|select| self.chip.register(select as u32))
    }

    fn set(&mut self, state: &State) {
        (0..17).for_each(|select| self.chip.set_register(select, state[select as usize]));
    }

    fn write(&mut self, address: u32, value: u32) {
        self.chip.write(0, 0, address, Size::Word, value).unwrap();
    }

    /// One step: an instruction (true), or an exception taken in its place.
    fn step(&mut self) -> bool {
        let (before, pc) = (self.chip.instructions(), self.pc());
        self.write(DHCSR, STEP | self.masked);
        self.chip.advance_to_stop(self.chip.now() + LONG);
        let stepped = self.chip.instructions() != before;
        if stepped && self.pc() == pc && self.half(pc) == BKPT_AB {
            self.answer();
        }
        stepped
    }

    /// SysTick's exception, now.
    fn tick(&mut self) -> bool {
        self.write(ICSR, PENDSTSET);
        let masked = std::mem::take(&mut self.masked);
        // C_MASKINTS may change in debug state only
        self.write(DHCSR, HALT);
        let stepped = self.step();
        self.masked = masked;
        self.write(DHCSR, HALT | masked);
        !stepped
    }

    fn pc(&self) -> u32 {
        self.chip.register(PC as u32)
    }

    fn half(&mut self, address: u32) -> u32 {
        self.chip.read(0, 0, address, Size::Half).unwrap_or(0)
    }

    fn answer(&mut self) {
        let (chip, host, text) = (&mut self.chip, &mut self.host, &mut self.text);
        if let ControlFlow::Break(end) = serve(chip, host, &mut |bytes| text.extend_from_slice(bytes)) {
            self.end = Some(end);
        }
    }
}

// ---- side by side ----

/// What one program gave.
struct Report {
    instructions: u64,
    /// To its end, not to the limit.
    whole: bool,
    apart: [u64; APART.len()],
}

struct Pair {
    name: String,
    qemu: Qemu,
    board: Board,
    report: Report,
}

impl Pair {
    fn new(program: &Path) -> Pair {
        let name = program.file_stem().unwrap().to_str().unwrap().to_string();
        let core = name.split('.').nth(1).unwrap();
        let machine = MACHINES.iter().find(|machine| machine.core == core).unwrap();
        let board = Board::new(machine, program, name.starts_with("p3_systick"));
        let report = Report { instructions: 0, whole: false, apart: [0; APART.len()] };
        Pair { qemu: Qemu::start(machine, program), board, report, name }
    }

    fn run(mut self, limit: u64) -> Report {
        let (mut line, mut theirs, mut before) = (Vec::new(), [0; 17], [0; 17]);
        while self.report.instructions < limit {
            let Some(next) = self.qemu.state(&mut line) else { return self.ended() };
            let twice = std::mem::replace(&mut theirs, next) == next;
            if self.report.instructions == 0 && !twice {
                self.start(&theirs);
            }
            let ours = self.board.state();
            if ours != theirs && !self.agree(&before, &theirs) {
                match twice {
                    true => self.count(Apart::Twice),
                    false => self.differ(&before, &theirs),
                }
                continue;
            }
            before = theirs;
            match self.board.step() {
                true => self.report.instructions += 1,
                // QEMU's next state tells whether it took the exception too
                false => self.count(Apart::Early),
            }
        }
        self.qemu.stop();
        self.report
    }

    fn count(&mut self, apart: Apart) {
        self.report.apart[apart as usize] += 1;
    }

    fn start(&mut self, theirs: &State) {
        let ours = self.board.state();
        assert_eq!((ours[SP], ours[PC], ours[14]), (theirs[SP], theirs[PC], theirs[14]), "{}: SP, PC, LR after reset", self.name);
        self.board.set(theirs);
        self.count(Apart::Reset);
    }

    /// The states differ: by an exception that both take, or by the time.
    fn agree(&mut self, before: &State, theirs: &State) -> bool {
        let exception = theirs[XPSR] & IPSR;
        if exception != 0 && exception != self.board.state()[XPSR] & IPSR {
            let tick = exception == SYSTICK && self.board.masked != 0;
            let taken = if tick { self.board.tick() } else { !self.board.step() };
            if tick {
                self.count(Apart::Tick);
            }
            return taken && self.board.state() == *theirs;
        }
        let Some((apart, register, bits)) = self.loose(before) else { return false };
        let mut same = self.board.state();
        let different = same[register] ^ theirs[register];
        same[register] = theirs[register];
        if same != *theirs || different & !bits != 0 {
            return false;
        }
        self.count(apart);
        self.board.set(theirs);
        true
    }

    /// What the instruction before may leave otherwise: why, the register, and its bits.
    fn loose(&mut self, before: &State) -> Option<(Apart, usize, u32)> {
        if self.board.half(before[PC]) == BKPT_AB {
            return match before[0] {
                SYS_WRITEC | SYS_WRITE0 => Some((Apart::Void, 0, u32::MAX)),
                SYS_ISTTY | SYS_ERRNO => Some((Apart::Terminal, 0, u32::MAX)),
                _ => None,
            };
        }
        let (address, register) = self.load(before)?;
        let (apart, bits) = match address {
            SYST_CSR..=SYST_CVR | ICSR if self.board.masked != 0 => (Apart::Clock, u32::MAX),
            ICSR if self.name.contains(".m0.") => (Apart::Base, RETTOBASE),
            SHPR1..=SHPR3 | IPR..IPR_END => (Apart::Priority, 0x0F0F_0F0F),
            CPUID => (Apart::Part, CPUID_REVISION),
            _ => return None,
        };
        Some((apart, register, bits))
    }

    /// Address and register of the load that stood before: LDR (immediate) T1 and T3, LDR (register) T1.
    fn load(&mut self, before: &State) -> Option<(u32, usize)> {
        let (first, second) = (self.board.half(before[PC]), self.board.half(before[PC] + 2));
        let low = |shift: u32| before[(first >> shift & 7) as usize];
        match first >> 9 {
            0x34..=0x37 => Some((low(3).wrapping_add(first >> 4 & 0x7C), (first & 7) as usize)),
            0x2C => Some((low(3).wrapping_add(low(6)), (first & 7) as usize)),
            _ if first >> 4 == 0xF8D => Some((before[(first & 15) as usize].wrapping_add(second & 0xFFF), (second >> 12) as usize)),
            _ => None,
        }
    }

    fn differ(&mut self, before: &State, theirs: &State) -> ! {
        let ours = self.board.state();
        let code = [self.board.half(before[PC]), self.board.half(before[PC] + 2)];
        panic!(
            "{}: instruction {}, {:04x?} at {:#010x}\nbefore {before:08x?}\n  ours {ours:08x?}\n  QEMU {theirs:08x?}",
            self.name, self.report.instructions, code, before[PC]
        );
    }

    /// QEMU's program is over: so is ours, with the same words and exit code.
    fn ended(mut self) -> Report {
        let (text, code) = self.qemu.end();
        let ours = (String::from_utf8(self.board.text).unwrap(), self.board.end);
        assert_eq!(ours, (text, Some(End::Exit(code as u32))), "{}", self.name);
        self.report.whole = true;
        self.report
    }
}

// ---- all of them ----

fn programs() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cpu");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut programs: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "elf")).collect();
    programs.retain(|path| path.file_name().unwrap().to_str().unwrap().starts_with('p'));
    // its ticks come while it computes, and QEMU's trace leaves out the instruction that an exception returns to: what it
    // prints is compared by tests/cpu.rs alone
    programs.retain(|path| !path.to_string_lossy().contains("p8_single"));
    programs.sort();
    programs
}

/// Two at a time: each has a QEMU beside it.
fn compare(programs: &[PathBuf], limit: u64) -> Vec<(String, Report)> {
    let (next, reports) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(program) = programs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let pair = Pair::new(program);
            let entry = (pair.name.clone(), pair.run(limit));
            reports.lock().unwrap().push(entry);
        }
    };
    std::thread::scope(|scope| (0..2).for_each(|_| drop(scope.spawn(work))));
    let mut reports = reports.into_inner().unwrap();
    reports.sort_by(|one, other| one.0.cmp(&other.0));
    reports
}

fn print(reports: &[(String, Report)], started: Instant) {
    for (name, report) in reports {
        println!("{name:20} {:>9} instructions{}", report.instructions, if report.whole { ", its end" } else { "" });
    }
    let sum = |value: fn(&Report) -> u64| reports.iter().map(|(_, report)| value(report)).sum::<u64>();
    let whole = sum(|report| report.whole.into());
    let seconds = started.elapsed().as_secs();
    println!("{} instructions of {} programs ({whole} to their end) in {seconds} s", sum(|report| report.instructions), reports.len());
    for (apart, name) in APART {
        let count: u64 = reports.iter().map(|(_, report)| report.apart[apart as usize]).sum();
        println!("apart: {count} {name}");
    }
}

#[test]
fn sixty_nine_programs_go_as_in_qemu_instruction_by_instruction() {
    let judge = Verdict::of("qemu-system-arm", "qemu-system-arm", "QEMU beside every instruction", "Cortex-M0, M4, M7");
    let Some(_verdict) = judge else { return };
    let limit = std::env::var("ROCD_QEMU_INSTRUCTIONS").map_or(INSTRUCTIONS, |number| number.parse().unwrap());
    let (programs, started) = (programs(), Instant::now());
    assert_eq!(programs.len(), PROGRAMS);
    let reports = compare(&programs, limit);
    print(&reports, started);
    assert_eq!(reports.len(), PROGRAMS);
    assert!(reports.iter().all(|(_, report)| report.whole || report.instructions == limit));
}
