//! A Cortex-M7 program with both caches on, and rocd beside it: the board's caches are strict here, so what is not looked
//! up, cleaned or invalidated as the manuals demand (DDI0403 B2.2, B3.2.2) is stale, as on a chip.

use rocd::desc::{Known, Target};
use rocd::event::Ears;
use rocd::flash::{Manner, Policy};
use rocd::image::{Format, Image, Segment};
use rocd::probe::{Ap, Info, MemOp, stlink};
use rocd::session::{AttachOptions, BreakKind, Left, Reason, ResetMode, Session, State};
use rocd::sim::{Board, Config};
use std::rc::Rc;
use std::time::Duration;

const H7: &str = include_str!("../targets/stm32h7.toml");
const FLASH: u32 = 0x0800_0000;
const AXI: u32 = 0x2400_0000;
/// What the program writes to, over and over.
const COUNT: u32 = AXI + 0x200;
const SECOND: Duration = Duration::from_secs(1);

// Registers of the core (DDI0403 B3.2).
const CCR: u32 = 0xE000_ED14;
const DC_IC: u32 = 3 << 16;
const ICIALLU: u32 = 0xE000_EF50;

/// Both caches on, then r0 counts at COUNT and a routine at 0x24000100 is called, for ever:
///
/// ```text
///         ldr  r1, =0xE000ED14    @ CCR
///         ldr  r2, =0x00030200    @ DC, IC, STKALIGN
///         ldr  r3, =0x24000200
///         ldr  r4, =0x24000101
///         movs r0, #0
///         str  r2, [r1]
///         dsb; isb
/// again:  adds r0, #1
///         str  r0, [r3]
///         ldr  r6, [r5]           @ r5 = flash at 0x08000400
///         blx  r4
///         b    again
/// ```
const PROGRAM: &[u16] = &[
    0x4907, 0x4A08, 0x4B08, 0x4C09, 0x4D09, 0x2000, 0x600A, 0xF3BF, 0x8F4F, 0xF3BF, 0x8F6F, 0x3001, 0x6018, 0x682E, 0x47A0,
    0xE7FA, // code
    0xED14, 0xE000, 0x0200, 0x0003, 0x0200, 0x2400, 0x0101, 0x2400, 0x0400, 0x0800, // its literals
];
/// `adds r0, #1` in the program.
const ADDS: u32 = FLASH + 0x100 + 2 * 11;
/// movs r7, #n; bx lr
fn routine(n: u16) -> Vec<u8> {
    halves(&[0x2700 | n, 0x4770])
}

fn halves(code: &[u16]) -> Vec<u8> {
    code.iter().flat_map(|half| half.to_le_bytes()).collect()
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().expect("four bytes"))
}

struct Bench {
    board: Board,
    session: Session,
}

/// The program runs, on a chip whose caches are strict, and rocd is attached.
fn running(probe: &str) -> Bench {
    let board = Board::new(&Config { chip: Some("stm32h743".into()), probe: Some(probe.into()), ..Config::default() }).unwrap();
    board.set_cache_strict(true).unwrap();
    board.poke(FLASH, &[0x2001_0000, FLASH + 0x101].map(u32::to_le_bytes).concat()).unwrap();
    board.poke(FLASH + 0x100, &halves(PROGRAM)).unwrap();
    board.poke(FLASH + 0x400, &[0x11; 32]).unwrap();
    board.poke(AXI + 0x100, &routine(1)).unwrap();
    board.poke(COUNT, &[0; 4]).unwrap();
    let known = Known { probes: &["stlink"], flash: &["stm32h7"] };
    let found = board.found();
    let info = Info { vid: found.vid, pid: found.pid, serial: found.serial, path: found.path, ..Info::default() };
    let probe = (stlink::DRIVER.open)(board.pipe(), info).unwrap();
    let target = Rc::new(Target::parse(H7, "stm32h7.toml", &known).unwrap());
    let mut session = Session::attach(probe, target, &AttachOptions { khz: None, exact: false, under_reset: false }, Ears::none()).unwrap();
    session.reset(ResetMode::Run).unwrap();
    board.pass(Duration::from_millis(1));
    assert_eq!(session.mem(0).read32(CCR).unwrap() & DC_IC, DC_IC, "the program switched its caches on");
    Bench { board, session }
}

impl Bench {
    fn halt(&mut self) {
        self.session.halt(0, SECOND).unwrap();
    }

    fn register(&mut self, name: &str) -> u32 {
        let register = self.session.registers(0).unwrap().into_iter().find(|register| register.name == name).unwrap();
        self.session.read_reg(0, register).unwrap() as u32
    }

    /// On for a while and halted again; what the routine left in r7.
    fn go_on(&mut self) -> u32 {
        self.session.resume(0, None).unwrap();
        self.board.pass(Duration::from_millis(1));
        self.halt();
        self.register("r7")
    }

    /// By steps to the addition and past it: what the core adds.
    fn next_addition(&mut self) -> u32 {
        for _ in 0..20 {
            let (pc, before) = (self.register("pc"), self.register("r0"));
            self.session.step(0, None).unwrap();
            if pc == ADDS {
                return self.register("r0") - before;
            }
        }
        panic!("the loop has no addition");
    }

    fn in_memory(&self, address: u32) -> u32 {
        word(&self.board.dump(address, 4).unwrap())
    }

    fn program(&mut self, address: u32, data: &[u8], noreset: bool) -> u64 {
        let image = image(address, data);
        let plan = self.session.plan(&image, Policy::Erase).unwrap();
        let done = self.session.execute(&plan, Manner { noreset, noloader: false }).unwrap();
        assert_eq!(self.session.verify(&image), Ok(data.len() as u64));
        done.written_bytes
    }
}

fn image(address: u32, data: &[u8]) -> Image {
    let segments = vec![Segment { address, data: data.to_vec() }];
    Image::new("app.bin", Format::Bin, segments)
}

#[test]
fn rocd_reads_what_the_program_sees_and_a_plain_csw_does_not() {
    for probe in ["v2", "v2-1", "v3"] {
        let mut bench = running(probe);
        bench.halt();
        let count = bench.register("r0");
        let ap = bench.session.mem(0).ap;
        let mut plain = bench.session.mem(0);
        plain.ap = Ap { csw: ap.csw & !(1 << 27), ..ap };
        let stale = plain.read32(COUNT).unwrap();
        assert_eq!((stale, bench.in_memory(COUNT)), (0, 0), "{probe}: memory knows nothing yet");
        let seen = bench.session.mem(0).read32(COUNT).unwrap();
        assert!(seen == count || seen + 1 == count, "{probe}: {seen}, and r0 = {count}");
        let mut ops = [MemOp::read(CCR), MemOp::read(COUNT), MemOp::read(COUNT)];
        bench.session.mem(0).batch(&mut ops).unwrap();
        assert_eq!([ops[1].value(), ops[2].value()], [seen; 2], "{probe}: in a batch");
        bench.session.mem(0).write(COUNT + 1, &[0xAB]).unwrap();
        assert_eq!(bench.session.mem(0).read32(COUNT).unwrap(), seen & !0xFF00 | 0xAB00, "{probe}: beside what was dirty");
    }
}

#[test]
fn a_software_breakpoint_stops_cached_code_and_leaves_it_as_it_was() {
    for probe in ["v2", "v3"] {
        let mut bench = running(probe);
        bench.session.add_breakpoint(0, AXI + 0x102, 2, BreakKind::Auto).unwrap();
        assert_eq!(bench.session.breakpoints(0)[0].comparator, None, "in RAM");
        bench.session.wait_halt(0, SECOND).unwrap();
        for _ in 0..2 {
            assert_eq!((bench.session.state(0), bench.register("pc")), (Ok(State::Halted(Reason::Breakpoint)), AXI + 0x102), "{probe}");
            bench.session.resume(0, None).unwrap();
            bench.session.wait_halt(0, SECOND).unwrap();
        }
        bench.session.remove_breakpoint(0, None).unwrap();
        assert_eq!(bench.go_on(), 1, "{probe}");
        assert_eq!((bench.session.state(0), bench.in_memory(AXI + 0x100)), (Ok(State::Halted(Reason::Request)), word(&routine(1))));
    }
}

#[test]
fn a_line_left_dirty_in_a_data_cache_that_is_off_does_not_overwrite_a_breakpoint() {
    let mut bench = running("v3");
    bench.halt();
    bench.session.mem(0).write(AXI + 0x100, &routine(9)).unwrap();
    bench.session.mem(0).update(CCR, DC_IC, 1 << 17).unwrap();
    assert_eq!(bench.in_memory(AXI + 0x100), word(&routine(1)), "the line is dirty");
    bench.session.add_breakpoint(0, AXI + 0x102, 2, BreakKind::Auto).unwrap();
    assert_eq!(bench.in_memory(AXI + 0x100), word(&halves(&[0x2701, 0xBE11])));
    bench.session.resume(0, None).unwrap();
    bench.session.wait_halt(0, SECOND).unwrap();
    assert_eq!((bench.session.state(0), bench.register("pc")), (Ok(State::Halted(Reason::Breakpoint)), AXI + 0x102));
}

#[test]
fn code_loaded_into_ram_is_what_runs() {
    for (probe, len) in [("v2", 4), ("v3", 4), ("v2", 40_000), ("v3", 40_000)] {
        let mut bench = running(probe);
        bench.halt();
        assert_eq!(bench.register("r7"), 1);
        let mut code = routine(2);
        code.resize(len, 0);
        let dirty = bench.session.mem(0).read32(COUNT).unwrap();
        if len > 4 {
            code[0x100..0x104].copy_from_slice(&dirty.to_le_bytes());
        }
        bench.session.write_memory(0, None, AXI + 0x100, &code).unwrap();
        assert_eq!(bench.go_on(), 2, "{probe}, {len} bytes");
        bench.session.write_memory(0, None, AXI + 0x100, &routine(3)[..2]).unwrap();
        let pc = bench.register("pc");
        for _ in 0..20 {
            bench.session.step(0, None).unwrap();
        }
        assert_eq!(bench.register("r7"), 3, "{probe}, {len} bytes: by steps, from {pc:#x}");
        bench.session.resume(0, None).unwrap();
        bench.session.write_memory(0, None, AXI + 0x100, &routine(4)).unwrap();
        assert_eq!(bench.in_memory(AXI + 0x100), word(&routine(3)), "{probe}, {len} bytes: the core runs");
        assert_eq!(bench.session.detach(), Ok(Left::AsFound));
        assert_eq!(bench.in_memory(AXI + 0x100), word(&routine(4)), "{probe}, {len} bytes: also when rocd leaves");
    }
}

#[test]
fn a_cached_program_goes_on_with_the_new_flash_after_noreset() {
    for probe in ["v2", "v3"] {
        let mut bench = running(probe);
        bench.halt();
        let before = bench.session.mem(0).read32(COUNT).unwrap();
        // In place of `adds r0, #1`: adds r0, #2. And the data that it reads.
        let mut new = bench.board.dump(FLASH, 0x420).unwrap();
        new[(ADDS - FLASH) as usize] = 2;
        new[0x400..].fill(0x22);
        bench.program(FLASH, &new, true);
        assert_eq!(bench.session.mem(0).read32(CCR).unwrap() & DC_IC, DC_IC, "{probe}: its caches are on again");
        assert_eq!(bench.session.mem(0).read32(COUNT).unwrap(), before, "{probe}: what was dirty is not lost");
        let first = bench.register("r0");
        bench.session.step(0, None).unwrap();
        bench.go_on();
        let (count, flash) = (bench.register("r0"), bench.register("r6"));
        assert!(count > first + 2, "{probe}: it runs");
        assert_eq!(flash, 0x2222_2222, "{probe}");
        assert_eq!(bench.next_addition(), 2, "{probe}");
    }
}

#[test]
fn flash_that_changed_behind_the_caches_is_old_to_the_program_until_they_are_invalidated() {
    let mut bench = running("v3");
    bench.halt();
    bench.board.poke(ADDS, &[2]).unwrap();
    assert_eq!(bench.next_addition(), 1);
    bench.session.mem(0).write32(ICIALLU, 0).unwrap();
    assert_eq!(bench.next_addition(), 2);
}

#[test]
fn a_plan_and_a_verify_look_at_flash_and_not_at_what_the_program_s_cache_kept_of_it() {
    let mut bench = running("v3");
    let old = bench.board.dump(FLASH + 0x400, 32).unwrap();
    bench.halt();
    // The program erased and wrote flash itself and forgot its cache.
    bench.board.poke(FLASH + 0x400, &[0x33; 32]).unwrap();
    assert_eq!(bench.session.mem(0).read32(FLASH + 0x400).unwrap(), 0x1111_1111, "so the program still sees the old");
    assert!(bench.session.verify(&image(FLASH + 0x400, &old)).is_err());
    assert_eq!(bench.session.verify(&image(FLASH + 0x400, &[0x33; 32])), Ok(32));
    assert!(bench.program(FLASH + 0x400, &old, true) > 0, "it is to be programmed");
    assert_eq!(bench.board.dump(FLASH + 0x400, 32).unwrap(), old);
}

#[test]
fn a_reset_with_dirty_caches_programs_and_starts_the_new_program() {
    for probe in ["v2", "v3"] {
        let mut bench = running(probe);
        let mut new = bench.board.dump(FLASH, 0x420).unwrap();
        new[(ADDS - FLASH) as usize] = 3;
        bench.program(FLASH, &new, false);
        assert_eq!(bench.session.detach(), Ok(Left::Started), "{probe}");
        assert_eq!(bench.board.dump(FLASH, 0x420).unwrap(), new, "{probe}");
    }
}
