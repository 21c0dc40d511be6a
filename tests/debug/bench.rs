//! A board with tests/debug/debug.S in flash, and the debug registers by their names.

use rocd::adi::MemAp;
use rocd::image::Image;
use rocd::probe::{Ap, Connect, DRIVERS, Info, Probe, Width};
use rocd::sim::{Board, Config};
use std::path::Path;
use std::time::Duration;

pub const H743: &str = "stm32h743";
pub const G071: &str = "stm32g071";
/// A Cortex-M3 with the breakpoint unit's revision 1.
pub const M3: &str = "f1-like";
pub const ALL: [&str; 3] = [H743, G071, M3];
pub const V7M: [&str; 2] = [H743, M3];

/// Where `loop` of the program counts, and how often SysTick came.
pub const COUNTER: u32 = 0x2000_0100;
pub const TICKS: u32 = 0x2000_0104;
pub const STACK: u32 = 0x2000_0800;
/// Without meaning to the program; in RAM on every chip.
pub const RAM: u32 = 0x2000_0400;

pub const DFSR: u32 = 0xE000_ED30;
pub const HALTED: u32 = 1 << 0;
pub const BKPT: u32 = 1 << 1;
pub const DWTTRAP: u32 = 1 << 2;
pub const VCATCH: u32 = 1 << 3;

pub const DHCSR: u32 = 0xE000_EDF0;
pub const C_DEBUGEN: u32 = 1 << 0;
pub const C_HALT: u32 = 1 << 1;
pub const C_STEP: u32 = 1 << 2;
pub const C_MASKINTS: u32 = 1 << 3;
pub const S_HALT: u32 = 1 << 17;
pub const S_SLEEP: u32 = 1 << 18;
pub const S_LOCKUP: u32 = 1 << 19;
pub const S_RETIRE_ST: u32 = 1 << 24;
pub const S_RESET_ST: u32 = 1 << 25;

pub const DEMCR: u32 = 0xE000_EDFC;
pub const TRCENA: u32 = 1 << 24;
pub const ICSR: u32 = 0xE000_ED04;
pub const PENDSVSET: u32 = 1 << 28;
pub const AIRCR: u32 = 0xE000_ED0C;
pub const SYSRESETREQ: u32 = 0x05FA_0004;

// Core registers by DCRSR's number.
pub const SP: u32 = 13;
pub const LR: u32 = 14;
pub const PC: u32 = 15;
pub const XPSR: u32 = 16;
pub const T: u32 = 1 << 24;

pub struct Bench {
    pub board: Board,
    probe: Box<dyn Probe>,
    ap: Ap,
    image: Image,
}

impl Bench {
    /// Halted at its reset vector, `idle`, with no flag of DFSR set.
    pub fn new(chip: &str) -> Bench {
        let mut bench = Bench::running(chip);
        bench.halt();
        bench.set(DFSR, 0x1F);
        bench
    }

    /// Running `idle`, and no debugger was there before.
    pub fn running(chip: &str) -> Bench {
        let config = Config { chip: Some(chip.to_string()), probe: Some("v3".to_string()), ..Config::default() };
        let board = Board::new(&config).unwrap();
        let image = Image::read(Path::new(firmware(chip)), None, None).unwrap();
        for segment in &image.segments {
            board.poke(segment.address, &segment.data).unwrap();
        }
        // A G0 that powered on blank starts ST's loader until FLASH_ACR.EMPTY (bit 16) is cleared (RM0444 3.7.1).
        if chip == G071 {
            let upper = board.dump(0x4002_2002, 1).unwrap()[0];
            board.poke(0x4002_2002, &[upper & !1]).unwrap();
        }
        board.press_reset();
        let found = board.found();
        let info = Info { serial: found.serial, vid: found.vid, pid: found.pid, path: found.path, ..Info::default() };
        let mut probe = (DRIVERS[0].open)(board.pipe(), info).unwrap();
        probe.connect(&Connect { khz: 24_000, under_reset: false }).unwrap();
        Bench { board, probe, ap: Ap { index: 0, csw: 0xA200_0000 }, image }
    }

    pub fn is_v6m(&self) -> bool {
        self.board.chip() == G071
    }

    /// The address of a label.
    pub fn at(&self, label: &str) -> u32 {
        let found = self.image.symbols.iter().find(|symbol| symbol.name == label);
        found.unwrap_or_else(|| panic!("no label {label}")).address & !1
    }

    pub fn mem(&mut self) -> MemAp<'_> {
        MemAp::new(self.probe.as_mut(), self.ap)
    }

    pub fn word(&mut self, address: u32) -> u32 {
        self.mem().read32(address).unwrap()
    }

    pub fn set(&mut self, address: u32, value: u32) {
        self.mem().write32(address, value).unwrap();
    }

    pub fn set_half(&mut self, address: u32, value: u16) {
        self.mem().write_width(Width::Half, address, &value.to_le_bytes()).unwrap();
    }

    pub fn pass(&mut self, ms: u64) {
        self.probe.sleep(Duration::from_millis(ms));
    }

    pub fn pass_us(&mut self, us: u64) {
        self.probe.sleep(Duration::from_micros(us));
    }

    /// DCRSR and DCRDR (C1.6.3, C1.6.4).
    pub fn reg(&mut self, number: u32) -> u32 {
        self.set(0xE000_EDF4, number);
        self.word(0xE000_EDF8)
    }

    pub fn set_reg(&mut self, number: u32, value: u32) {
        self.set(0xE000_EDF8, value);
        self.set(0xE000_EDF4, 1 << 16 | number);
    }

    pub fn pc(&mut self) -> u32 {
        self.reg(PC)
    }

    /// Bits of DHCSR, with the key.
    pub fn control(&mut self, bits: u32) {
        self.set(DHCSR, 0xA05F_0000 | bits);
    }

    pub fn state(&mut self) -> u32 {
        self.word(DHCSR)
    }

    pub fn is_halted(&mut self) -> bool {
        self.state() & S_HALT != 0
    }

    pub fn halt(&mut self) {
        self.control(C_DEBUGEN | C_HALT);
        assert!(self.is_halted());
    }

    pub fn resume(&mut self) {
        self.control(C_DEBUGEN);
    }

    /// Where to go on, in thread mode, on a fresh stack.
    pub fn stand(&mut self, label: &str) {
        let at = self.at(label);
        self.stand_at(at);
    }

    pub fn stand_at(&mut self, address: u32) {
        self.set_reg(XPSR, T);
        self.set_reg(SP, STACK);
        self.set_reg(PC, address);
    }

    /// One instruction with interrupts masked, as OpenOCD does it: the mask in a write of its own.
    pub fn step_masked(&mut self) {
        self.control(C_DEBUGEN | C_HALT | C_MASKINTS);
        self.control(C_DEBUGEN | C_STEP | C_MASKINTS);
        assert!(self.is_halted(), "{:#010x}", self.state());
        self.control(C_DEBUGEN | C_HALT);
    }

    pub fn step(&mut self) {
        self.control(C_DEBUGEN | C_STEP);
        assert!(self.is_halted(), "{:#010x}", self.state());
    }

    /// DFSR, which is cleared by writing ones.
    pub fn take_reasons(&mut self) -> u32 {
        let reasons = self.word(DFSR);
        self.set(DFSR, reasons);
        assert_eq!(self.word(DFSR), 0);
        reasons
    }

    /// Runs until it halts by itself, 10 ms at most. What DFSR says, and where pc stands.
    pub fn runs_into(&mut self) -> (u32, u32) {
        self.resume();
        self.pass(10);
        assert!(self.is_halted(), "it runs on: DHCSR = {:#010x}", self.state());
        (self.take_reasons(), self.pc())
    }

    /// Runs for 10 ms and is then halted by us.
    pub fn runs_on(&mut self) {
        self.resume();
        self.pass(10);
        assert!(!self.is_halted(), "it stopped by itself: DFSR = {:#x}, pc = {:#010x}", self.word(DFSR), self.pc());
        self.halt();
        assert_eq!(self.take_reasons(), HALTED);
    }

    pub fn reset(&mut self) {
        self.set(AIRCR, SYSRESETREQ);
        self.pass(1);
    }

    /// The reset pin, as the probe drives it.
    pub fn nrst(&mut self, low: bool) {
        self.probe.drive_nrst(low).unwrap();
        self.pass(1);
    }

    pub fn trace(&mut self) {
        let demcr = self.word(DEMCR);
        self.set(DEMCR, demcr | TRCENA);
    }
}

fn firmware(chip: &str) -> &'static str {
    match chip {
        H743 => "tests/debug/debug-m7.elf",
        G071 => "tests/debug/debug-v6m.elf",
        _ => "tests/debug/debug-v7m.elf",
    }
}
