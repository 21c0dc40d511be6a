//! The ST-Link driver through the embedded board's cable: every kind of probe, H7 and G0, and what can go wrong on the
//! way. What reached the chip is looked at through the board's own door.

mod blocks;
mod replay;

use replay::{Replay, lines};
use rocd::adi::{MemAp, ap, dp};
use rocd::error::{Cause, Kind};
use rocd::probe::{Ap, Connect, DRIVERS, Info, MemOp, Port, Probe, Width};
use rocd::sim::{Board, Config, Inject};
use rocd::usb::{Pipe, Trace};
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

const NORMAL: Connect = Connect { khz: 24_000, under_reset: false };
/// What a target file gives: H7's core with cacheable accesses, its debug bus, G0's core.
const H7: Ap = Ap { index: 0, csw: 0xaa00_0000 };
const H7_DEBUG: Ap = Ap { index: 2, csw: 0xa200_0000 };
const G0: Ap = Ap { index: 0, csw: 0xa200_0000 };
const AXI_SRAM: u32 = 0x2400_0000;
const SRAM: u32 = 0x2000_0000;

const PROBES: [&str; 3] = ["v2", "v2-1", "v3"];

fn board(chip: &str, probe: &str, firmware: Option<&str>) -> Board {
    let config = Config {
        chip: Some(chip.to_string()),
        probe: Some(probe.to_string()),
        firmware: firmware.map(str::to_string),
        ..Config::default()
    };
    Board::new(&config).unwrap()
}

fn info(board: &Board) -> Info {
    let found = board.found();
    Info { serial: found.serial, vid: found.vid, pid: found.pid, path: found.path, ..Info::default() }
}

fn opened(board: &Board, pipe: Box<dyn Pipe>) -> Box<dyn Probe> {
    (DRIVERS[0].open)(pipe, info(board)).unwrap()
}

fn connected(board: &Board) -> Box<dyn Probe> {
    let mut probe = opened(board, board.pipe());
    probe.connect(&NORMAL).unwrap();
    probe
}

fn noise(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

#[test]
fn every_probe_names_itself_measures_and_enters_at_its_fastest_clock() {
    for (probe, name, firmware, khz) in
        [("v2", "ST-Link V2", "V2J37S7", 4000), ("v2-1", "ST-Link V2-1", "V2J33M25", 4000), ("v3", "ST-Link V3E", "V3J10M3", 24_000)]
    {
        let board = board("stm32h743", probe, None);
        let mut probe = opened(&board, board.pipe());
        assert_eq!((probe.info().name.as_str(), probe.info().firmware.as_str()), (name, firmware));
        let volts = probe.voltage().unwrap().unwrap();
        assert!((3.2..3.4).contains(&volts), "{volts}");
        assert_eq!(probe.connect(&NORMAL).unwrap(), khz);
        assert_eq!(probe.set_khz(1800).unwrap(), if khz == 4000 { 1800 } else { 1000 });
        probe.detach().unwrap();
        assert_eq!(probe.connect(&NORMAL).unwrap(), khz, "and again");
    }
}

#[test]
fn debug_port_banks_and_access_ports_are_those_of_the_chip() {
    for name in PROBES {
        let board_h7 = board("stm32h743", name, None);
        let mut probe = connected(&board_h7);
        assert_eq!(probe.read_reg(Port::Dp, dp::DPIDR).unwrap(), 0x6ba0_2477);
        assert_eq!(probe.read_reg(Port::Dp, dp::TARGETID).unwrap() >> 12 & 0xffff, 0x4500);
        for (index, idr) in [(0, 0x8477_0001), (1, 0x8477_0001), (2, 0x5477_0002)] {
            assert_eq!(probe.read_reg(Port::Ap(index), ap::IDR).unwrap(), idr, "AP {index} of {name}");
        }
        let status = probe.read_reg(Port::Dp, dp::CTRL_STAT).unwrap();
        assert_eq!(status & 0xf000_0000, 0xf000_0000, "powered and acknowledged: {status:#010x}");
        probe.write_reg(Port::Ap(0), ap::TAR, AXI_SRAM + 0x40).unwrap();
        assert_eq!(probe.read_reg(Port::Ap(0), ap::TAR).unwrap(), AXI_SRAM + 0x40);

        let board_g0 = board("stm32g071", name, None);
        let mut probe = connected(&board_g0);
        assert_eq!(probe.read_reg(Port::Dp, dp::DPIDR).unwrap(), 0x0bc1_1477);
        assert_eq!(probe.read_reg(Port::Ap(0), ap::IDR).unwrap(), 0x0477_0031);
    }
}

#[test]
fn memory_of_any_alignment_and_length_arrives_and_comes_back() {
    for name in PROBES {
        let board = board("stm32h743", name, None);
        let mut probe = connected(&board);
        let mut mem = MemAp::new(probe.as_mut(), H7);
        for (address, len) in [(0, 1), (1, 1), (3, 2), (2, 7), (5, 64), (1, 65), (3, 1030), (1020, 8), (0, 6148), (1, 50_001)] {
            let data = noise(len);
            mem.write(AXI_SRAM + address, &data).unwrap();
            assert!(board.dump(AXI_SRAM + address, len as u32).unwrap() == data, "{name}: write of {len} at +{address}");
            let mut back = vec![0; len];
            mem.read(AXI_SRAM + address, &mut back).unwrap();
            assert!(back == data, "{name}: read of {len} at +{address}");
        }
        // The neighbours of an unaligned write stay.
        mem.write(AXI_SRAM, &[0x11; 12]).unwrap();
        mem.write(AXI_SRAM + 3, &[0x22; 6]).unwrap();
        assert_eq!(board.dump(AXI_SRAM, 12).unwrap(), [0x11, 0x11, 0x11, 0x22, 0x22, 0x22, 0x22, 0x22, 0x22, 0x11, 0x11, 0x11]);
    }
}

#[test]
fn half_words_cross_the_boundaries_of_blocks_and_auto_increment() {
    for name in PROBES {
        let board = board("stm32g071", name, None);
        let mut probe = connected(&board);
        let data = noise(7000);
        probe.write_mem(G0, Width::Half, SRAM + 0x3fe, &data).unwrap();
        assert!(board.dump(SRAM + 0x3fe, 7000).unwrap() == data);
        let mut back = vec![0; 7000];
        probe.read_mem(G0, Width::Half, SRAM + 0x3fe, &mut back).unwrap();
        assert!(back == data);
    }
}

#[test]
fn a_batch_does_what_single_accesses_do_with_and_without_rw_misc() {
    for (name, firmware) in [("v2", None), ("v2-1", None), ("v3", None), ("v2", Some("V2J29S7"))] {
        let board = board("stm32g071", name, firmware);
        let mut probe = connected(&board);
        let mut ops: Vec<MemOp> = (0..500).map(|n| MemOp::write(SRAM + 4 * n, 0x0101_0101 * (n & 0xff))).collect();
        ops.extend((0..500).map(|n| MemOp::read(SRAM + 4 * n)));
        probe.batch(G0, &mut ops).unwrap();
        for n in 0..500 {
            assert_eq!(ops[500 + n].value(), 0x0101_0101 * (n as u32 & 0xff));
        }
        assert_eq!(board.dump(SRAM + 4 * 300, 4).unwrap(), [300u32 as u8; 4]);
    }
}

#[test]
fn the_debug_bus_of_an_h7_is_reached_through_ap_2_and_not_with_old_firmware() {
    for (name, firmware) in [("v2", "V2J32S7"), ("v2-1", "V2J33M25"), ("v3", "V3J2M1")] {
        let board = board("stm32h743", name, Some(firmware));
        let mut probe = connected(&board);
        let id = MemAp::new(probe.as_mut(), H7_DEBUG).read32(0xe00e_1000).unwrap();
        assert_eq!(id & 0xfff, 0x450, "{name}");
    }
    let old = board("stm32h743", "v2", Some("V2J31S7"));
    let error = MemAp::new(connected(&old).as_mut(), H7_DEBUG).read32(0xe00e_1000).unwrap_err();
    assert!(error.message.contains("V2J32") && error.message.contains("V2J31S7"), "{error}");
}

#[test]
fn firmware_from_j24_to_j47_reads_and_writes_words_and_bytes_of_ap_0() {
    for jtag in 24..48 {
        let board = board("stm32g071", "v2", Some(&format!("V2J{jtag}S7")));
        let mut probe = connected(&board);
        assert_eq!(probe.read_reg(Port::Dp, dp::DPIDR).unwrap(), 0x0bc1_1477, "J{jtag}");
        let mut mem = MemAp::new(probe.as_mut(), G0);
        mem.write(SRAM + 1, b"any firmware will do").unwrap();
        assert_eq!(board.dump(SRAM + 1, 20).unwrap(), b"any firmware will do", "J{jtag}");
        probe.detach().unwrap();
    }
}

#[test]
fn an_address_with_nothing_behind_it_faults_by_name_and_the_next_access_works() {
    for name in PROBES {
        let board = board("stm32h743", name, None);
        let mut probe = connected(&board);
        let error = probe.read_mem(H7, Width::Word, 0xd000_0000, &mut [0; 4]).unwrap_err();
        assert_eq!((error.kind, error.is_fault()), (Kind::Target, true), "{error}");
        assert!(error.message.starts_with("READMEM_32BIT 0xd0000000 (AP 0, 4 bytes): SWD AP FAULT (0x11)"), "{error}");
        // The RAM ends within this block.
        let error = probe.read_mem(H7, Width::Word, AXI_SRAM + 0x7_f000, &mut [0; 6144]).unwrap_err();
        assert_eq!(error.cause, Cause::Fault { address: Some(AXI_SRAM + 0x8_0000) });
        assert!(error.message.ends_with("(AP 0, 6144 bytes): SWD AP FAULT (0x11) at 0x24080000"), "{error}");
        probe.read_mem(H7, Width::Word, AXI_SRAM, &mut [0; 4]).unwrap();
        let error = probe.batch(H7, &mut [MemOp::read(0xe000_ed00), MemOp::read(0xd000_0000)]).unwrap_err();
        assert_eq!(error.cause, Cause::Fault { address: Some(0xd000_0000) });
        let mut ops = [MemOp::read(0xe000_ed00), MemOp::read(0xe000_ed00)];
        probe.batch(H7, &mut ops).unwrap();
        assert_eq!(ops[0].value(), 0x411f_c271);
        let status = probe.read_reg(Port::Dp, dp::CTRL_STAT).unwrap();
        assert_eq!(status & 0xb2, 0, "sticky errors are cleared: {status:#010x}");
    }
}

#[test]
fn wait_is_waited_out_in_ram_and_reported_in_flash() {
    for name in PROBES {
        let board = board("stm32h743", name, None);
        let mut probe = connected(&board);
        board.inject(Inject::Wait(3));
        probe.write_mem(H7, Width::Word, AXI_SRAM, &noise(64)).unwrap();
        assert!(board.dump(AXI_SRAM, 64).unwrap() == noise(64));
        board.inject(Inject::Wait(3));
        let mut back = vec![0; 64];
        probe.read_mem(H7, Width::Word, AXI_SRAM, &mut back).unwrap();
        assert_eq!(back, noise(64));
        board.inject(Inject::Wait(1));
        let error = probe.write_mem(H7, Width::Word, 0x0800_0000, &[0; 32]).unwrap_err();
        assert!(matches!(error.cause, Cause::Wait { .. }), "{error}");
        board.inject(Inject::Heal);
        board.inject(Inject::Wait(u32::MAX));
        let before = probe.now();
        let error = probe.read_mem(H7, Width::Word, AXI_SRAM, &mut back).unwrap_err();
        let took = probe.now() - before;
        assert!(matches!(error.cause, Cause::Wait { .. }) && error.hint.is_some(), "{error}");
        assert!((1000..1200).contains(&took.as_millis()), "{took:?}");
        board.inject(Inject::Heal);
        probe.read_mem(H7, Width::Word, AXI_SRAM, &mut back).unwrap();
    }
}

#[test]
fn a_broken_wire_a_short_reply_and_a_silent_probe_are_told_apart() {
    let board = board("stm32h743", "v2", None);
    let mut probe = connected(&board);
    let mut buf = [0; 64];
    board.inject(Inject::Parity);
    assert_eq!(probe.read_mem(H7, Width::Word, AXI_SRAM, &mut buf).unwrap_err().cause, Cause::Link);
    board.inject(Inject::ShortReply(60));
    let error = probe.read_mem(H7, Width::Word, AXI_SRAM, &mut buf).unwrap_err();
    assert!(error.message.ends_with("the probe answered 60 bytes, expected 64"), "{error}");
    board.inject(Inject::Silent);
    assert_eq!(probe.read_mem(H7, Width::Word, AXI_SRAM, &mut buf).unwrap_err().cause, Cause::Timeout);
    board.inject(Inject::Stall);
    let error = probe.read_mem(H7, Width::Word, AXI_SRAM, &mut buf).unwrap_err();
    assert_eq!(error.trail, ["READMEM_32BIT 0x24000000 (AP 0, 64 bytes)"]);
    board.inject(Inject::Heal);
    probe.read_mem(H7, Width::Word, AXI_SRAM, &mut buf).unwrap();
}

#[test]
fn a_pulled_plug_ends_a_long_write_at_once() {
    let board = board("stm32h743", "v3", None);
    let mut probe = connected(&board);
    board.inject_after(3, Inject::Unplug);
    let error = probe.write_mem(H7, Width::Word, AXI_SRAM, &noise(200_000)).unwrap_err();
    assert_eq!((error.cause, error.kind), (Cause::Unplugged, Kind::Probe));
    assert!(error.trail.last().unwrap().starts_with("WRITEMEM_32BIT 0x2400"), "{error}");
    assert_eq!(probe.detach().unwrap_err().cause, Cause::Unplugged);
}

#[test]
fn under_reset_the_debug_bus_answers_and_detach_lets_go_of_the_pin() {
    for name in PROBES {
        let board = board("stm32h743", name, None);
        let mut probe = opened(&board, board.pipe());
        probe.connect(&Connect { under_reset: true, ..NORMAL }).unwrap();
        let id = MemAp::new(probe.as_mut(), H7_DEBUG).read32(0xe00e_1000).unwrap();
        assert_eq!(id & 0xfff, 0x450, "{name}");
        probe.detach().unwrap();
        probe.connect(&NORMAL).unwrap();
        let dhcsr = MemAp::new(probe.as_mut(), H7).read32(0xe000_edf0).unwrap();
        assert_eq!(dhcsr >> 25 & 1, 1, "S_RESET_ST: there was a reset ({dhcsr:#010x})");
        let dhcsr = MemAp::new(probe.as_mut(), H7).read32(0xe000_edf0).unwrap();
        assert_eq!(dhcsr >> 25 & 1, 0, "and it is over ({dhcsr:#010x})");
    }
}

#[test]
fn no_transfer_takes_much_more_than_40_ms_at_any_clock() {
    for name in PROBES {
        let board = board("stm32g071", name, None);
        let times = Rc::new(RefCell::new(Vec::<f64>::new()));
        let log = times.clone();
        let note = move |line: String| log.borrow_mut().push(line.split(' ').next().unwrap().parse().unwrap());
        let mut probe = opened(&board, Box::new(Trace::new(board.pipe(), Box::new(note))));
        probe.connect(&NORMAL).unwrap();
        for khz in probe.speeds().unwrap() {
            probe.set_khz(khz).unwrap();
            times.borrow_mut().clear();
            let mut buf = vec![0; if khz < 100 { 256 } else { 16_384 }];
            probe.read_mem(G0, Width::Word, SRAM, &mut buf).unwrap();
            probe.write_mem(G0, Width::Word, SRAM, &buf).unwrap();
            probe.write_mem(G0, Width::Byte, SRAM, &buf[..128]).unwrap();
            probe.batch(G0, &mut vec![MemOp::read(SRAM); buf.len() / 4]).unwrap();
            let longest = times.borrow().windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f64::max);
            // At 5 kHz the few words around the data itself take 10 ms each.
            let limit = 0.045 + 4.0 * 0.054 / f64::from(khz);
            assert!(longest < limit, "{name} at {khz} kHz: {longest} s, limit {limit}");
        }
    }
}

#[test]
fn a_session_replays_from_its_trace() {
    let work = |mut probe: Box<dyn Probe>| {
        probe.connect(&NORMAL).unwrap();
        let mut mem = MemAp::new(probe.as_mut(), G0);
        mem.write(SRAM + 1, &noise(3000)).unwrap();
        let mut back = vec![0; 3000];
        mem.read(SRAM + 1, &mut back).unwrap();
        let fault = mem.read32(0xd000_0000).unwrap_err();
        probe.detach().unwrap();
        (back, fault)
    };
    for name in PROBES {
        let board = board("stm32g071", name, None);
        let told = Rc::new(RefCell::new(String::new()));
        let log = told.clone();
        let trace = Trace::new(board.pipe(), Box::new(move |line| *log.borrow_mut() += &(line + "\n")));
        let live = work(opened(&board, Box::new(trace)));
        let lines = lines(&told.borrow());
        assert!(work(opened(&board, Box::new(Replay(lines.clone(), Duration::ZERO)))) == live, "{name}");
        assert!(lines.borrow().is_empty());
    }
}
