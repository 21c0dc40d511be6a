//! What the driver sends, block by block, and what it makes of answers that the board does not give.

use super::*;
use rocd::error::Result;
use rocd::usb::{Data, Room};
use std::collections::VecDeque;

/// What went through a cable, and what is to come in the place of the board's own answers.
#[derive(Default)]
struct Notes {
    /// Blocks, and the data sent with them.
    sent: Vec<(Vec<u8>, Vec<u8>)>,
    /// The next answer to a block that begins so: where it is other than the board's, and the bytes there.
    instead: VecDeque<([u8; 2], usize, Vec<u8>)>,
    room: Option<Room>,
    resets: usize,
}

/// The board's cable with somebody at it.
struct Meddled(Box<dyn Pipe>, Rc<RefCell<Notes>>);

impl Pipe for Meddled {
    fn transfer(&mut self, cmd: &[u8], data: Data) -> Result<usize> {
        let mut notes = self.1.borrow_mut();
        let out = if let Data::Out(bytes) = &data { bytes.to_vec() } else { vec![] };
        notes.sent.push((cmd.to_vec(), out));
        let Data::In(buf) = data else { return self.0.transfer(cmd, data) };
        let moved = self.0.transfer(cmd, Data::In(&mut *buf))?;
        if let Some((_, at, bytes)) = notes.instead.front().filter(|row| row.0 == cmd[..2]) {
            buf[*at..at + bytes.len()].copy_from_slice(bytes);
            notes.instead.pop_front();
        }
        Ok(moved)
    }

    fn reset(&mut self) -> Result<()> {
        self.1.borrow_mut().resets += 1;
        self.0.reset()
    }

    fn room(&self) -> Room {
        self.1.borrow().room.unwrap_or(self.0.room())
    }

    fn now(&self) -> Duration {
        self.0.now()
    }

    fn sleep(&mut self, d: Duration) {
        self.0.sleep(d)
    }
}

const AP0: Ap = Ap { index: 0, csw: 0 };
const STATUS: [u8; 2] = [0xf2, 0x3e];
const READ_REG: [u8; 2] = [0xf2, 0x45];

/// A probe on an H743 board.
struct Desk {
    board: Board,
    notes: Rc<RefCell<Notes>>,
}

impl Desk {
    fn new(probe: &str, firmware: &str) -> Desk {
        Desk { board: board("stm32h743", probe, Some(firmware)), notes: Rc::default() }
    }

    fn open(&self) -> Result<Box<dyn Probe>> {
        (DRIVERS[0].open)(Box::new(Meddled(self.board.pipe(), self.notes.clone())), info(&self.board))
    }

    /// With what was sent so far forgotten.
    fn connect(&self) -> Box<dyn Probe> {
        let mut probe = self.open().unwrap();
        probe.connect(&NORMAL).unwrap();
        self.notes.borrow_mut().sent.clear();
        probe
    }

    fn instead(&self, block: [u8; 2], at: usize, bytes: &[u8]) {
        self.notes.borrow_mut().instead.push_back((block, at, bytes.to_vec()));
    }

    /// Answers of GETLASTRWSTATUS2 that say this of this address.
    fn statuses(&self, statuses: &[(u8, u32)]) {
        for (status, address) in statuses {
            self.instead(STATUS, 0, &[&[*status, 0, 0, 0][..], &address.to_le_bytes()].concat());
        }
    }

    /// The first bytes of each block sent since the last look, in hex.
    fn blocks(&self, bytes: usize) -> Vec<String> {
        let hex = |sent: (Vec<u8>, Vec<u8>)| sent.0[..bytes].iter().map(|byte| format!("{byte:02x}")).collect();
        self.notes.borrow_mut().sent.drain(..).map(hex).collect()
    }

    /// Command, address and length of each memory command sent since the last look.
    fn memory(&self) -> Vec<(u8, u32, usize)> {
        let sent = std::mem::take(&mut self.notes.borrow_mut().sent);
        let memory = sent.iter().filter(|sent| matches!(sent.0[1], 0x07 | 0x08 | 0x0c | 0x0d | 0x47 | 0x48));
        memory.map(|sent| (sent.0[1], word(&sent.0[2..]), usize::from(u16::from_le_bytes([sent.0[6], sent.0[7]])))).collect()
    }

    /// The items of each RW_MISC sent since the last look.
    fn items(&self) -> Vec<u32> {
        let sent = std::mem::take(&mut self.notes.borrow_mut().sent);
        sent.iter().filter(|sent| sent.0[1] == 0x51).map(|sent| word(&sent.0[2..])).collect()
    }
}

fn v2() -> Desk {
    Desk::new("v2", "V2J37S7")
}

fn v3() -> Desk {
    Desk::new("v3", "V3J10M3")
}

fn word(bytes: &[u8]) -> u32 {
    u32::from_le_bytes(bytes[..4].try_into().unwrap())
}

#[test]
fn each_transfer_is_told_as_a_line() {
    let board = board("stm32g071", "v2", None);
    let told = Rc::new(RefCell::new(Vec::new()));
    let log = told.clone();
    let mut pipe = Trace::new(board.pipe(), Box::new(move |line: String| log.borrow_mut().push(line)));
    let block = |start: &[u8]| [start, &[0; 16]].concat()[..16].to_vec();
    pipe.transfer(&block(&[0xf5]), Data::In(&mut [0; 2])).unwrap();
    pipe.transfer(&block(&[0xf3, 7]), Data::None).unwrap();
    pipe.transfer(&block(&[0xf2, 8, 0, 0, 0, 0x20, 4]), Data::Out(&[0x78, 0x56, 0x34, 0x12])).unwrap();
    pipe.reset().unwrap();
    board.unplug();
    pipe.transfer(&block(&[0xf5]), Data::In(&mut [0; 2])).unwrap_err();
    let lines: Vec<String> = told.borrow().iter().map(|line| line.split_once(' ').unwrap().1.to_string()).collect();
    assert_eq!(
        lines,
        [
            "f5000000000000000000000000000000 in 0001",
            "f3070000000000000000000000000000 none",
            "f2080000002004000000000000000000 out 78563412",
            "reset",
            "f5000000000000000000000000000000 in ! the probe was unplugged",
        ]
    );
    assert!(told.borrow()[0].starts_with("0.000"), "{told:?}");
}

// ---- opening, connecting, leaving ----

#[test]
fn connecting_leaves_the_mode_sets_the_clock_enters_swd_and_opens_ap_0() {
    let desk = v2();
    assert_eq!(desk.open().unwrap().connect(&Connect { khz: 2000, ..NORMAL }).unwrap(), 1800);
    assert_eq!(desk.blocks(4), ["f1000000", "f5000000", "f3070000", "f2430100", "f230a300", "f24b0000"]);
}

#[test]
fn a_v3_takes_the_greatest_clock_of_its_own_list_that_is_not_above_and_one_that_dies_of_wait_at_24_mhz_stays_below() {
    let desk = v3();
    let mut probe = desk.open().unwrap();
    for (asked, taken) in [(1800, 1000), (4000, 3300), (24_000, 24_000), (100_000, 24_000), (1, 5)] {
        assert_eq!(probe.set_khz(asked).unwrap(), taken);
        let last = desk.notes.borrow_mut().sent.pop().unwrap().0;
        assert_eq!((&last[..4], word(&last[4..])), (&[0xf2, 0x61, 0, 0][..], taken));
    }
    let mut old = Desk::new("v3", "V3J9M3").open().unwrap();
    assert_eq!((old.set_khz(24_000).unwrap(), old.set_khz(3300).unwrap()), (8000, 3300));
}

#[test]
fn under_reset_nrst_is_low_before_and_after_swd_is_entered_and_the_first_may_fail() {
    let desk = v3();
    desk.instead([0xf2, 0x3c], 0, &[0x81]);
    desk.open().unwrap().connect(&Connect { under_reset: true, ..NORMAL }).unwrap();
    let sent = desk.blocks(3).join(" ");
    assert!(sent.contains("f23c00 f230a3 f23c00") && sent.matches("f23c00").count() == 2, "{sent}");
}

#[test]
fn a_target_that_does_not_answer_is_no_target_and_the_probe_is_left_clean() {
    let desk = v3();
    desk.instead([0xf2, 0x30], 0, &[0x09]);
    let error = desk.open().unwrap().connect(&NORMAL).unwrap_err();
    assert_eq!((error.kind, error.cause), (Kind::Target, Cause::Link));
    assert_eq!(error.message, "ENTER_SWD_NO_RESET: JTAG GET IDCODE ERROR (0x09)");
    assert!(error.hint.unwrap().contains("connect under_reset"));
    assert!(desk.blocks(3).ends_with(&["f23c01".into(), "f50000".into(), "f22100".into()]));
}

#[test]
fn detach_tries_every_step_and_reports_the_first_failure() {
    let desk = v2();
    let mut probe = desk.connect();
    probe.read_reg(Port::Ap(2), ap::IDR).unwrap();
    desk.notes.borrow_mut().sent.clear();
    desk.instead([0xf2, 0x4c], 0, &[0x1d]);
    desk.instead([0xf2, 0x3c], 0, &[0x0c]);
    assert_eq!(probe.detach().unwrap_err().message, "CLOSE_AP AP 0: BAD AP (0x1d)");
    // Releasing NRST is tried again.
    assert_eq!(desk.blocks(3), ["f24c00", "f24c02", "f23c01", "f23c01", "f50000", "f22100"]);
    probe.detach().unwrap();
    assert_eq!(desk.blocks(3), [""; 0], "what is left already is left alone");
    // The firmware that answers CLOSE_AP with nonsense is not sent it.
    let desk = Desk::new("v2", "V2J28S7");
    desk.connect().detach().unwrap();
    assert_eq!(desk.blocks(3), ["f23c01", "f50000", "f22100"]);
}

#[test]
fn a_probe_that_does_not_say_its_version_is_reset_once() {
    let failing = |what: &[Inject]| {
        let desk = v2();
        what.iter().zip(0..).for_each(|(what, after)| desk.board.inject_after(after, *what));
        let opened = desk.open();
        let resets = desk.notes.borrow().resets;
        (opened, resets)
    };
    let (probe, resets) = failing(&[Inject::Silent]);
    let probe = probe.unwrap();
    assert_eq!((resets, probe.info().firmware.as_str()), (1, "V2J37S7"));
    assert!(probe.now() >= Duration::from_secs(1));
    let (probe, resets) = failing(&[Inject::Unplug]);
    assert_eq!((probe.err().unwrap().cause, resets), (Cause::Unplugged, 0));
}

#[test]
fn an_stm8_probe_and_a_v1_are_refused_by_name() {
    let opened = |version: [u8; 6]| {
        let desk = v2();
        desk.instead([0xf1, 0], 0, &version);
        desk.open()
    };
    let stm8 = opened([0x25, 0x07, 0x83, 0x04, 0x4b, 0x37]).unwrap().connect(&NORMAL).unwrap_err();
    assert_eq!(stm8.message, "ST-Link firmware V2M20S7 has no SWD or JTAG part");
    let v1 = opened([0x12, 0xc0, 0x83, 0x04, 0x44, 0x37]).err().unwrap();
    assert_eq!(v1.message, "ST-Link firmware V1J11S0: ST-LINK/V1 is not supported");
}

// ---- firmware too old ----

#[test]
fn what_an_old_firmware_cannot_do_names_both_versions() {
    type Asked = fn(&mut dyn Probe) -> Result<()>;
    let cases: [(u8, &str, Asked); 4] = [
        (25, "16-bit memory access", |p| p.read_mem(AP0, Width::Half, SRAM, &mut [0; 2])),
        (27, "opening an access port", |p| p.read_reg(Port::Ap(1), 0xfc).map(drop)),
        (31, "reaching banked DP registers", |p| p.read_reg(Port::Dp, dp::TARGETID).map(drop)),
        (31, "memory behind an access port other than AP 0", |p| p.read_mem(H7_DEBUG, Width::Word, 0xe00e_1000, &mut [0; 4])),
    ];
    for (jtag, what, ask) in cases {
        let error = ask(Desk::new("v2", &format!("V2J{jtag}S7")).connect().as_mut()).unwrap_err();
        let text = format!("{what} needs ST-Link firmware V2J{} or later; this probe has V2J{jtag}S7", jtag + 1);
        assert_eq!((error.message, error.kind), (text, Kind::Probe));
        assert!(error.hint.unwrap().starts_with("update the probe's firmware"));
        ask(Desk::new("v2", &format!("V2J{}S7", jtag + 1)).connect().as_mut()).unwrap();
    }
    let error = Desk::new("v3", "V3J1M3").connect().read_reg(Port::Dp, dp::DLCR).unwrap_err();
    assert_eq!(error.message, "reaching banked DP registers needs ST-Link firmware V3J2 or later; this probe has V3J1M3");
    let error = Desk::new("v2", "V2J23S7").open().unwrap().connect(&NORMAL).unwrap_err();
    assert_eq!(error.message, "reaching DP and AP registers needs ST-Link firmware V2J24 or later; this probe has V2J23S7");
    assert_eq!(Desk::new("v2", "V2J12S0").open().unwrap().voltage().unwrap(), None);
}

#[test]
fn ap_and_csw_are_fields_of_the_command_only_where_the_firmware_knows_them() {
    let desk = Desk::new("v2", "V2J32S7");
    desk.connect().read_mem(H7_DEBUG, Width::Word, 0xe00e_1000, &mut [0; 4]).unwrap();
    assert_eq!(desk.blocks(12), ["f24b02000000000000000000", "f20700100ee00400020000a2", "f23e00000000000000000000"]);
    let desk = Desk::new("v2", "V2J31S7");
    desk.connect().read_mem(H7, Width::Word, AXI_SRAM, &mut [0; 4]).unwrap();
    assert_eq!(desk.blocks(12)[0], "f20700000024040000000000");
}

#[test]
fn an_address_outside_of_the_access_is_not_believed() {
    let fault = |desk: &Desk| desk.connect().read_mem(AP0, Width::Word, AXI_SRAM, &mut [0; 4]).unwrap_err();
    for (address, known) in [(0, None), (AXI_SRAM, Some(AXI_SRAM))] {
        let desk = v2();
        desk.statuses(&[(0x11, address)]);
        assert_eq!(fault(&desk).cause, Cause::Fault { address: known });
    }
}

// ---- memory ----

#[test]
fn words_are_split_by_what_40_ms_and_the_probe_allow_and_each_part_is_followed_by_its_status() {
    let cases: [(_, u32, usize, &[usize]); 5] = [
        (v2(), 4000, 20_000, &[6144, 6144, 6144, 1568]),
        (v3(), 24_000, 100_000, &[40_960, 40_960, 18_080]),
        (v3(), 3300, 30_000, &[9216, 9216, 9216, 2352]),
        (v2(), 480, 3000, &[1024, 1024, 952]),
        (v3(), 5, 40, &[16, 16, 8]),
    ];
    for (desk, khz, len, expected) in cases {
        let mut probe = desk.connect();
        probe.set_khz(khz).unwrap();
        desk.notes.borrow_mut().sent.clear();
        probe.write_mem(AP0, Width::Word, AXI_SRAM, &vec![0; len]).unwrap();
        assert!(desk.notes.borrow().sent.chunks(2).all(|pair| pair[0].0[1] == 0x08 && pair[1].0[1] == 0x3e));
        let mut next = AXI_SRAM;
        for ((_, address, len), expected) in desk.memory().into_iter().zip(expected) {
            assert_eq!((address, len), (next, *expected), "{khz} kHz");
            next += len as u32;
        }
        assert_eq!(next, AXI_SRAM + len as u32);
    }
}

#[test]
fn a_narrow_way_to_the_probe_splits_further_and_keeps_batches_apart() {
    let desk = v3();
    let mut probe = desk.connect();
    desk.notes.borrow_mut().room = Some(Room { bytes: 1022, batches: false });
    probe.write_mem(AP0, Width::Word, AXI_SRAM, &[0; 2048]).unwrap();
    probe.read_mem(AP0, Width::Half, AXI_SRAM, &mut [0; 1024]).unwrap();
    assert_eq!(desk.memory().iter().map(|command| command.2).collect::<Vec<_>>(), [1020, 1020, 8, 1022, 2]);
    probe.batch(AP0, &mut [MemOp::read(0xE000_ED00), MemOp::write(0xE000_EDFC, 0)]).unwrap();
    assert_eq!(desk.blocks(2), ["f236", "f235"], "one command each");
}

#[test]
fn bytes_go_by_64_or_512_and_half_words_by_6144() {
    for (probe, firmware, most) in [("v2", "V2J46S7", 64), ("v3", "V3J5M2", 64), ("v3", "V3J6M2", 512)] {
        let desk = Desk::new(probe, firmware);
        desk.connect().read_mem(AP0, Width::Byte, SRAM + 3, &mut [0; 1025]).unwrap();
        let lens: Vec<usize> = desk.memory().iter().map(|command| command.2).collect();
        assert_eq!((lens[0], lens.len(), *lens.last().unwrap()), (most, 1024 / most + 1, 1));
    }
    let desk = v3();
    let mut probe = desk.connect();
    probe.read_mem(AP0, Width::Half, SRAM + 2, &mut vec![0; 7000]).unwrap();
    assert_eq!(desk.memory(), [(0x47, SRAM + 2, 6144), (0x47, SRAM + 6146, 856)]);
    probe.write_mem(AP0, Width::Half, SRAM + 2, &vec![0; 7000]).unwrap();
    assert_eq!(desk.memory(), [(0x48, SRAM + 2, 6144), (0x48, SRAM + 6146, 856)]);
}

#[test]
fn unaligned_words_and_the_end_of_the_address_space_are_refused_before_anything_is_sent() {
    let desk = v2();
    let mut probe = desk.connect();
    let error = probe.read_mem(AP0, Width::Word, 0x2000_0001, &mut [0; 4]).unwrap_err();
    assert_eq!(error.message, "READMEM_32BIT 0x20000001 (AP 0, 4 bytes): address and length must be multiples of 4");
    assert!(probe.write_mem(AP0, Width::Half, 0x2000_0000, &[0; 3]).is_err());
    assert!(probe.batch(AP0, &mut [MemOp::read(2)]).is_err());
    let error = probe.read_mem(AP0, Width::Word, 0xffff_fffc, &mut [0; 8]).unwrap_err();
    assert!(error.message.ends_with("runs past the end of the address space"));
    assert_eq!(desk.blocks(2), [""; 0]);
    let error = probe.read_mem(AP0, Width::Word, 0xffff_fffc, &mut [0; 4]).unwrap_err();
    assert!(error.is_fault(), "the last word may be asked for: {error}");
}

#[test]
fn a_write_that_meets_wait_is_repeated_in_ram_and_debug_registers_only() {
    for (address, times) in [
        (0x2000_0000, 2),
        (0x3800_0000, 2),
        (0xe000_edf0, 2),
        (0x0800_0000, 1),
        (0x5200_200c, 1),
        (0x4002_2014, 1),
        (0x0000_0000, 1),
        // A block that only begins in RAM.
        (0x3fff_fff0, 1),
    ] {
        let desk = v3();
        let mut probe = desk.connect();
        desk.statuses(&[(0x10, address), (0x80, 0)]);
        let result = probe.write_mem(AP0, Width::Word, address, &[0; 32]);
        assert_eq!(desk.memory().len(), times, "{address:#010x}");
        match times {
            1 => assert_eq!(result.unwrap_err().cause, Cause::Wait { address: Some(address) }),
            _ => result.unwrap(),
        }
    }
}

#[test]
fn a_v3_fault_right_after_a_wait_is_tried_once_more_and_no_oftener() {
    let read = |desk: Desk, statuses: &[(u8, u32)]| {
        let mut probe = desk.connect();
        desk.statuses(statuses);
        probe.read_mem(AP0, Width::Word, AXI_SRAM, &mut [0; 4])
    };
    read(v3(), &[(0x10, 0), (0x11, 0)]).unwrap();
    assert!(read(v3(), &[(0x10, 0), (0x11, 0), (0x11, 0)]).unwrap_err().is_fault());
    assert!(read(v2(), &[(0x10, 0), (0x11, 0)]).unwrap_err().is_fault());
}

#[test]
fn parity_and_lost_acknowledges_speak_of_the_wire_and_what_is_sticky_is_cleared() {
    for code in [0x12, 0x13, 0x16, 0x17, 0x18] {
        let desk = v2();
        let mut probe = desk.connect();
        desk.statuses(&[(code, 0)]);
        let error = probe.read_mem(AP0, Width::Word, AXI_SRAM, &mut [0; 4]).unwrap_err();
        assert_eq!(error.cause, Cause::Link);
        assert!(error.hint.unwrap().contains("adapter speed"));
        assert_eq!(desk.blocks(10).last().unwrap(), "f246ffff00001e000000");
    }
}

#[test]
fn an_unknown_status_is_refused_by_its_number_and_one_says_more_than_a_short_reply() {
    let desk = v2();
    let mut probe = desk.connect();
    desk.statuses(&[(0x42, 0), (0x11, AXI_SRAM + 60)]);
    let mut read = || probe.read_mem(AP0, Width::Word, AXI_SRAM, &mut [0; 64]).unwrap_err();
    assert!(read().message.ends_with("unknown status (0x42)"));
    desk.board.inject(Inject::ShortReply(60));
    assert!(read().is_fault());
}

// ---- registers ----

#[test]
fn registers_carry_port_and_bank_and_an_ap_write_is_flushed() {
    let desk = v3();
    let mut probe = desk.connect();
    probe.read_reg(Port::Dp, dp::TARGETID).unwrap();
    probe.read_reg(Port::Ap(2), ap::IDR).unwrap();
    probe.write_reg(Port::Ap(2), ap::TAR, 0x1234_5678).unwrap();
    assert_eq!(
        desk.blocks(10),
        ["f245ffff240000000000", "f24b0200000000000000", "f2450200fc0000000000", "f2460200040078563412", "f245ffff0c0000000000"]
    );
    desk.instead(READ_REG, 0, &[0x11]);
    let error = probe.write_reg(Port::Ap(0), ap::DRW, 1).unwrap_err();
    assert!(error.is_fault(), "a posted write that fails is reported as that write: {error}");
    assert_eq!(error.trail, ["WRITE_DAP_REG AP 0 0x0c"]);
}

#[test]
fn wait_on_drw_is_not_repeated_and_on_other_registers_it_is() {
    for (port, address, times) in [(Port::Ap(0), ap::DRW, 1), (Port::Ap(0), 0x14, 1), (Port::Ap(0), ap::CSW, 2), (Port::Dp, 4, 2)] {
        let desk = v3();
        let mut probe = desk.connect();
        desk.instead(READ_REG, 0, &[0x10]);
        assert_eq!(probe.read_reg(port, address).is_ok(), times == 2);
        assert_eq!(desk.blocks(2), vec!["f245"; times]);
    }
}

#[test]
fn select_and_overrun_detection_stay_the_firmwares() {
    let desk = v3();
    let mut probe = desk.connect();
    assert!(probe.write_reg(Port::Dp, dp::SELECT, 0).unwrap_err().message.contains("SELECT"));
    assert!(probe.write_reg(Port::Dp, dp::CTRL_STAT, 0x5000_0001).unwrap_err().message.contains("ORUNDETECT"));
    assert!(probe.read_reg(Port::Ap(0), 0x102).is_err());
    assert_eq!(desk.blocks(2), [""; 0]);
    probe.write_reg(Port::Dp, dp::CTRL_STAT, 0x5000_0000).unwrap();
}

#[test]
fn a_v3_keeps_no_more_than_eight_aps_open_and_opens_each_once() {
    let desk = v3();
    let mut probe = desk.connect();
    for index in [1, 2, 3, 4, 5, 6, 7, 7, 1, 8] {
        desk.instead([0xf2, 0x4b], 0, &[0x80]);
        let _ = probe.read_reg(Port::Ap(index), ap::IDR);
    }
    let sent = desk.blocks(3);
    assert_eq!(sent.iter().filter(|block| block.starts_with("f24b")).count(), 8);
    let close = sent.iter().position(|block| block == "f24c00").expect("the oldest is closed");
    assert_eq!(sent[close + 1], "f24b08");
}

// ---- batches ----

#[test]
fn a_batch_is_one_rw_misc_with_ap_address_and_value_items() {
    let desk = v2();
    let mut probe = desk.connect();
    let mut ops = [MemOp::write(0xe000_edf4, 15), MemOp::read(0xe000_ed00)];
    probe.batch(AP0, &mut ops).unwrap();
    assert_eq!(ops.map(|op| op.value()), [15, 0x411f_c271]);
    let words = [0u32, 0xe000_edf4, 15, 0xe000_ed00].iter().flat_map(|word| word.to_le_bytes());
    let expected: Vec<u8> = [5, 1, 2, 3].into_iter().chain(words).collect();
    assert_eq!(desk.notes.borrow().sent[0].1, expected);
    assert_eq!(desk.blocks(6), ["f25104000000", "f25200000000"]);
}

#[test]
fn a_batch_is_split_at_the_probes_number_of_items_and_at_40_ms() {
    for (desk, khz, ops, expected) in
        [(v2(), 4000, 100, vec![64, 38]), (v3(), 24_000, 1300, vec![1227, 75]), (v3(), 50, 100, vec![14, 14, 14, 14, 14, 14, 14, 10])]
    {
        let mut probe = desk.connect();
        probe.set_khz(khz).unwrap();
        probe.batch(AP0, &mut vec![MemOp::read(0xe000_ed00); ops]).unwrap();
        assert_eq!(desk.items(), expected, "{khz} kHz");
    }
    // A write is two items and is never torn apart: the last one goes alone.
    let desk = v2();
    desk.connect().batch(AP0, &mut [MemOp::write(0xe000_edfc, 0); 32]).unwrap();
    assert_eq!(desk.notes.borrow().sent[2].0[1], 0x35);
    assert_eq!(desk.items(), [63]);
}

#[test]
fn words_that_a_cache_may_hold_do_not_go_by_rw_misc_which_cannot_set_csw() {
    let desk = v3();
    let addresses = [0xe000_edf0, 0xe000_edf4, AXI_SRAM, 0x5200_2010, 0x0800_0000];
    desk.connect().batch(H7, &mut addresses.map(MemOp::read)).unwrap();
    assert_eq!(desk.notes.borrow().sent[2].0[8..12], [0, 0, 0, 0xaa]);
    assert_eq!(desk.blocks(2), ["f251", "f252", "f207", "f23e", "f251", "f252"]);
}

#[test]
fn a_batch_stops_at_the_first_failure_and_names_it() {
    let desk = v3();
    let mut ops = [MemOp::read(0xe000_ed00), MemOp::write(0xd000_0000, 1), MemOp::read(0xe000_ed00)];
    let error = desk.connect().batch(AP0, &mut ops).unwrap_err();
    assert_eq!(error.message, "RW_MISC write (AP 0): SWD AP FAULT (0x11) at 0xd0000000");
    assert_eq!((ops[0].value(), ops[2].value()), (0x411f_c271, 0));
    assert_eq!(desk.blocks(10).last().unwrap(), "f246ffff00001e000000");
}

#[test]
fn wait_in_a_batch_goes_on_where_it_was_if_harmless_and_is_an_error_if_flash_is_written() {
    let desk = v3();
    let mut probe = desk.connect();
    // The statuses stand behind the results: of five items, that of the fourth.
    desk.instead([0xf2, 0x52], 5 * 4 + 3 * 4, &[0x10]);
    let mut ops = [MemOp::write(0xe000_edf4, 15), MemOp::read(0xe000_ed00), MemOp::read(0xe000_ed00)];
    probe.batch(AP0, &mut ops).unwrap();
    assert_eq!(desk.items(), [5, 3], "the write was done and is not done again");
    assert_eq!(ops.map(|op| op.value()), [15, 0x411f_c271, 0x411f_c271]);
    desk.instead([0xf2, 0x52], 5 * 4 + 2 * 4, &[0x10]);
    let error = probe.batch(AP0, &mut [MemOp::write(0x0800_0000, 1), MemOp::write(0x0800_0004, 2)]).unwrap_err();
    assert_eq!(error.cause, Cause::Wait { address: Some(0x0800_0000) });
}
