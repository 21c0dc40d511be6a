//! The driver against recorded exchanges, and against a scripted probe that misbehaves on command.

use super::*;
use crate::probe::dap::ap;
use crate::usb::{Replay, Room, Trace};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

/// What the scripted probe was sent: the block, the data out.
type Sent = (Vec<u8>, Vec<u8>);

/// A probe whose memory reads as the low byte of each address and whose statuses are OK but for those queued here.
#[derive(Default)]
struct Script {
    version: [u8; 6],
    extended: [u8; 12],
    mode: u8,
    sent: Vec<Sent>,
    /// Answers of GETLASTRWSTATUS2: status and address.
    memory_status: VecDeque<(u8, u32)>,
    /// Status of the next commands with this second byte.
    command_status: VecDeque<(u8, u8)>,
    /// Status of the item with this number in the next RW_MISC.
    misc_status: VecDeque<Option<(usize, u8)>>,
    misc: Vec<u8>,
    /// Bytes missing in the next memory reads.
    missing: VecDeque<usize>,
    /// The transfer with this number fails like this.
    failures: VecDeque<(usize, Error)>,
    registers: Vec<(u16, u16, u32)>,
    resets: usize,
    clock: Duration,
    room: Option<Room>,
}

#[derive(Clone)]
struct Scripted(Rc<RefCell<Script>>);

impl Pipe for Scripted {
    fn transfer(&mut self, cmd: &[u8], data: Data) -> Result<usize> {
        let mut script = self.0.borrow_mut();
        assert_eq!(cmd.len(), 16);
        let out = if let Data::Out(bytes) = &data { bytes.to_vec() } else { vec![] };
        script.sent.push((cmd.to_vec(), out.clone()));
        script.clock += Duration::from_micros(80);
        if script.failures.front().is_some_and(|failure| failure.0 == script.sent.len()) {
            return Err(script.failures.pop_front().unwrap().1);
        }
        match data {
            Data::None => {
                script.leave(cmd);
                Ok(0)
            }
            Data::Out(bytes) => {
                script.misc = out;
                Ok(bytes.len())
            }
            Data::In(buf) => {
                let answer = script.answer(cmd, buf.len());
                let n = answer.len().min(buf.len());
                buf[..n].copy_from_slice(&answer[..n]);
                Ok(n)
            }
        }
    }

    fn reset(&mut self) -> Result<()> {
        self.0.borrow_mut().resets += 1;
        Ok(())
    }

    fn room(&self) -> Room {
        self.0.borrow().room.unwrap_or(Room { bytes: usize::MAX, batches: true })
    }

    fn now(&self) -> Duration {
        self.0.borrow().clock
    }

    fn sleep(&mut self, d: Duration) {
        self.0.borrow_mut().clock += d;
    }
}

impl Script {
    fn leave(&mut self, cmd: &[u8]) {
        assert!(self.mode != 2 || cmd[..2] == [0xf2, 0x21], "in debug mode, told {cmd:02x?}");
        assert!(cmd[..2] != [0xf2, 0x21] || self.mode == 2, "a V3 locks up on this outside debug mode");
        self.mode = 1;
    }

    fn status_of(&mut self, command: u8) -> u8 {
        match self.command_status.front() {
            Some((wanted, status)) if *wanted == command => {
                let status = *status;
                self.command_status.pop_front();
                status
            }
            _ => 0x80,
        }
    }

    fn answer(&mut self, cmd: &[u8], room: usize) -> Vec<u8> {
        match (cmd[0], cmd[1]) {
            (0xf1, _) => self.version.to_vec(),
            (0xfb, _) => self.extended.to_vec(),
            (0xf5, _) => vec![self.mode, 1],
            (0xf7, _) => [1691u32.to_le_bytes(), 2050u32.to_le_bytes()].concat(),
            (0xf2, 0x07 | 0x0c | 0x47) => self.memory(cmd, room),
            (0xf2, 0x3e) => {
                let (status, address) = self.memory_status.pop_front().unwrap_or((0x80, 0));
                [&[status, 0, 0, 0][..], &address.to_le_bytes(), &[0; 4]].concat()
            }
            (0xf2, 0x3b) => vec![self.memory_status.pop_front().map_or(0x80, |row| row.0), 0],
            (0xf2, 0x36) => {
                let bytes = (0..4).map(|offset| word(&cmd[2..]).wrapping_add(offset) as u8);
                [self.status_of(0x36), 0, 0, 0].into_iter().chain(bytes).collect()
            }
            (0xf2, 0x45) => self.register(cmd),
            (0xf2, 0x52) => self.misc(),
            (0xf2, 0x62) => speeds_reply(&[24000, 8000, 3300, 1000, 200, 50, 5]),
            (0xf2, 0x61) => vec![self.status_of(0x61), 0, 0, 0, 0, 0, 0, 0],
            (0xf2, 0x31) => [&[0x80, 0, 0, 0][..], &0x6ba0_2477u32.to_le_bytes(), &[0; 4]].concat(),
            (0xf2, 0x30) => {
                self.mode = 2;
                vec![self.status_of(0x30), 0]
            }
            (0xf2, other) => vec![self.status_of(other), 0],
            other => panic!("unexpected command {other:02x?}"),
        }
    }

    fn memory(&mut self, cmd: &[u8], room: usize) -> Vec<u8> {
        let (address, len) = (word(&cmd[2..]), usize::from(u16::from_le_bytes([cmd[6], cmd[7]])));
        assert!(room >= 2 && room == len.max(2), "asked for {len}, room for {room}");
        let missing = self.missing.pop_front().unwrap_or(0);
        (0..(room - missing) as u32).map(|offset| address.wrapping_add(offset) as u8).collect()
    }

    fn register(&mut self, cmd: &[u8]) -> Vec<u8> {
        let (port, address) = (u16::from_le_bytes([cmd[2], cmd[3]]), u16::from_le_bytes([cmd[4], cmd[5]]));
        let value = self.registers.iter().find(|row| (row.0, row.1) == (port, address)).map_or(0, |row| row.2);
        [&[self.status_of(0x45), 0, 0, 0][..], &value.to_le_bytes()].concat()
    }

    /// Reads answer their address, writes nothing.
    fn misc(&mut self) -> Vec<u8> {
        let out = std::mem::take(&mut self.misc);
        let (_, request) = self.sent.iter().rev().find(|sent| sent.0[1] == 0x51).expect("RW_MISC_OUT came before");
        assert_eq!(&out, request);
        let n = word(&self.sent[self.sent.len() - 2].0[2..]) as usize;
        assert_eq!(out.len(), n.next_multiple_of(4) + 4 * n);
        let mut reply = out[n.next_multiple_of(4)..].to_vec();
        let bad = self.misc_status.pop_front().flatten();
        for item in 0..n {
            let status = bad.filter(|bad| bad.0 == item).map_or(0x80, |bad| bad.1);
            reply.extend([status, 0, 0, 0]);
        }
        reply
    }
}

fn speeds_reply(khz: &[u32]) -> Vec<u8> {
    let mut reply = vec![0; 52];
    reply[0] = 0x80;
    reply[8] = khz.len() as u8;
    for (index, khz) in khz.iter().enumerate() {
        reply[12 + 4 * index..][..4].copy_from_slice(&khz.to_le_bytes());
    }
    reply
}

fn scripted(version: [u8; 6], extended: [u8; 12]) -> (Rc<RefCell<Script>>, Info) {
    let script = Script { version, extended, ..Script::default() };
    let info = Info { pid: u16::from_le_bytes([version[4], version[5]]), vid: 0x0483, ..Info::default() };
    (Rc::new(RefCell::new(script)), info)
}

fn v2(jtag: u16) -> (Rc<RefCell<Script>>, Info) {
    let v = (2 << 12 | jtag << 6 | 7u16).to_be_bytes();
    scripted([v[0], v[1], 0x83, 0x04, 0x48, 0x37], [0; 12])
}

fn v3(jtag: u8) -> (Rc<RefCell<Script>>, Info) {
    scripted([0x30, 0, 0x83, 0x04, 0x4e, 0x37], [3, 0, jtag, 3, 0, 0, 0, 0, 0x83, 0x04, 0x4e, 0x37])
}

const NORMAL: Connect = Connect { khz: 24_000, under_reset: false };
const AP0: Ap = Ap { index: 0, csw: 0 };
const CACHED: Ap = Ap { index: 0, csw: 0xaa00_0000 };

fn try_open((script, info): (Rc<RefCell<Script>>, Info)) -> Result<StLink> {
    StLink::new(Box::new(Scripted(script)), info)
}

fn opened((script, info): (Rc<RefCell<Script>>, Info)) -> (Rc<RefCell<Script>>, StLink) {
    (script.clone(), try_open((script, info)).unwrap())
}

/// Connected, with what was sent so far forgotten.
fn connected(probe: (Rc<RefCell<Script>>, Info)) -> (Rc<RefCell<Script>>, StLink) {
    let (script, mut probe) = opened(probe);
    probe.connect(&NORMAL).unwrap();
    script.borrow_mut().sent.clear();
    (script, probe)
}

/// The first bytes of each block sent, in hex.
fn blocks(script: &Rc<RefCell<Script>>, bytes: usize) -> Vec<String> {
    let hex = |sent: &Sent| sent.0[..bytes].iter().map(|byte| format!("{byte:02x}")).collect();
    script.borrow().sent.iter().map(hex).collect()
}

/// Address and length of each memory command sent.
fn memory_commands(script: &Rc<RefCell<Script>>) -> Vec<(u8, u32, usize)> {
    let script = script.borrow();
    let memory = script.sent.iter().filter(|sent| matches!(sent.0[1], 0x07 | 0x08 | 0x0c | 0x0d | 0x47 | 0x48));
    memory.map(|sent| (sent.0[1], word(&sent.0[2..]), usize::from(u16::from_le_bytes([sent.0[6], sent.0[7]])))).collect()
}

// ---- recorded exchanges ----

/// Bytes as a V2 with firmware J16 gave them to ST's tool on a real F1 board (usbmon), in this driver's order.
const V2J16: &str = "
    f1                          in 24 00 83 04 48 37
    f5                          in 00 01                    # DFU after power-on
    f3 07                       none
    f2 30 a3                    in 80 00
    f2 31                       in 80 00 00 00 77 14 a0 1b 00 00 00 00
    f7                          in 9b 06 00 00 02 08 00 00
    f2 36 f0 ed 00 e0           in 80 00 78 00 03 00 03 03  # DHCSR; what stands beside the status means nothing
    f2 35 f0 ed 00 e0 03 00 5f a0   in 80 00
    f2 07 00 00 00 20 04 00     in 00 00 03 00
    f2 3e                       in 80 00 00 00 00 00 00 00 00 00 00 00
    f2 08 00 00 00 20 04 00     out 03 00 5f a0
    f2 3e                       in 80 00 00 00 00 00 00 00 00 00 00 00
    f2 3c 01                    in 80 00
    f5                          in 02 00
    f2 21                       none
";

#[test]
fn an_old_v2_is_spoken_to_byte_for_byte_as_it_answered_on_a_real_board() {
    let replay = Replay::new(V2J16).unwrap();
    let unused = replay.unused();
    let info = Info { vid: 0x0483, pid: 0x3748, ..Info::default() };
    let mut probe = open(Box::new(replay), info).unwrap();
    assert_eq!((probe.info().name.as_str(), probe.info().firmware.as_str()), ("ST-Link V2", "V2J16S0"));
    assert_eq!(probe.connect(&NORMAL).unwrap(), 1800, "before J22 the clock cannot be set");
    assert_eq!(probe.read_reg(Port::Dp, dp::DPIDR).unwrap(), 0x1ba0_1477);
    let volts = probe.voltage().unwrap().unwrap();
    assert!((volts - 2.91).abs() < 0.01, "{volts}");
    let mut dhcsr = [0; 4];
    probe.read_mem(CACHED, Width::Word, 0xe000_edf0, &mut dhcsr).unwrap();
    assert_eq!(u32::from_le_bytes(dhcsr), 0x0303_0003);
    probe.write_mem(CACHED, Width::Word, 0xe000_edf0, &0xa05f_0003u32.to_le_bytes()).unwrap();
    let mut word = [0; 4];
    probe.read_mem(CACHED, Width::Word, 0x2000_0000, &mut word).unwrap();
    assert_eq!(word, [0, 0, 3, 0]);
    probe.write_mem(CACHED, Width::Word, 0x2000_0000, &0xa05f_0003u32.to_le_bytes()).unwrap();
    probe.detach().unwrap();
    assert_eq!(unused(), 0);
}

#[test]
fn a_whole_session_replays_from_its_own_trace() {
    let work = |pipe: Box<dyn Pipe>, info: Info| {
        let mut probe = StLink::new(pipe, info).unwrap();
        probe.connect(&NORMAL).unwrap();
        let mut ops = [MemOp::write(0x2000_0000, 1), MemOp::read(0x2000_0004)];
        probe.batch(AP0, &mut ops).unwrap();
        probe.detach().unwrap();
        ops[1].value()
    };
    let (script, info) = v3(10);
    let lines = Rc::new(RefCell::new(String::new()));
    let log = lines.clone();
    let trace = Trace::new(Box::new(Scripted(script)), Box::new(move |line| *log.borrow_mut() += &(line + "\n")));
    let value = work(Box::new(trace), info.clone());
    let replay = Replay::new(&lines.borrow()).unwrap();
    let unused = replay.unused();
    assert_eq!(work(Box::new(replay), info), value);
    assert_eq!(unused(), 0);
}

// ---- opening, connecting, leaving ----

#[test]
fn connecting_leaves_the_mode_sets_the_clock_enters_swd_and_opens_ap_0() {
    let (script, mut probe) = opened(v2(37));
    assert_eq!(probe.connect(&Connect { khz: 2000, ..NORMAL }).unwrap(), 1800);
    assert_eq!(blocks(&script, 4), ["f1000000", "f5000000", "f3070000", "f2430100", "f230a300", "f24b0000"]);
}

#[test]
fn a_v3_takes_the_greatest_clock_of_its_own_list_that_is_not_above() {
    let (script, mut probe) = opened(v3(10));
    assert_eq!((probe.info().name.as_str(), probe.info().firmware.as_str()), ("ST-Link V3E", "V3J10M3"));
    for (asked, taken) in [(1800, 1000), (4000, 3300), (24_000, 24_000), (100_000, 24_000), (1, 5)] {
        assert_eq!(probe.set_khz(asked).unwrap(), taken);
        let script = script.borrow();
        let block = &script.sent.last().unwrap().0;
        assert_eq!((block[1], block[2], block[3], word(&block[4..])), (0x61, 0, 0, taken));
    }
    assert_eq!(probe.speeds().unwrap(), [24000, 8000, 3300, 1000, 200, 50, 5]);
}

#[test]
fn a_v3_that_dies_of_wait_at_24_mhz_is_kept_below() {
    let (_, mut probe) = opened(v3(9));
    assert_eq!((probe.set_khz(24_000).unwrap(), probe.set_khz(3300).unwrap()), (8000, 3300));
}

#[test]
fn under_reset_nrst_is_low_before_and_after_swd_is_entered_and_the_first_may_fail() {
    let (script, mut probe) = opened(v3(10));
    script.borrow_mut().command_status.push_back((0x3c, 0x81));
    probe.connect(&Connect { under_reset: true, ..NORMAL }).unwrap();
    let sent = blocks(&script, 3);
    let at = |block: &str| sent.iter().position(|sent| sent == block).unwrap();
    assert_eq!(sent.iter().filter(|block| *block == "f23c00").count(), 2);
    assert!(at("f23c00") < at("f230a3"));
    assert_eq!(sent[at("f230a3") + 1], "f23c00");
}

#[test]
fn a_target_that_does_not_answer_is_no_target_and_the_probe_is_left_clean() {
    let (script, mut probe) = opened(v3(10));
    script.borrow_mut().command_status.push_back((0x30, 0x09));
    let error = probe.connect(&NORMAL).unwrap_err();
    assert_eq!((error.kind, error.cause), (Kind::Target, Cause::Link));
    assert_eq!(error.message, "ENTER_SWD_NO_RESET: JTAG GET IDCODE ERROR (0x09)");
    assert!(error.hint.unwrap().contains("connect under_reset"));
    assert_eq!(blocks(&script, 3)[blocks(&script, 3).len() - 3..], ["f23c01", "f50000", "f22100"]);
}

#[test]
fn detach_tries_every_step_and_reports_the_first_failure() {
    let (script, mut probe) = connected(v2(37));
    probe.read_reg(Port::Ap(2), ap::IDR).unwrap();
    script.borrow_mut().sent.clear();
    script.borrow_mut().command_status.extend([(0x4c, 0x1d), (0x3c, 0x0c)]);
    let error = probe.detach().unwrap_err();
    assert_eq!(error.message, "CLOSE_AP AP 0: BAD AP (0x1d)");
    // Releasing NRST is tried again.
    assert_eq!(blocks(&script, 3), ["f24c00", "f24c02", "f23c01", "f23c01", "f50000", "f22100"]);
    script.borrow_mut().sent.clear();
    probe.detach().unwrap();
    assert!(script.borrow().sent.is_empty(), "what is left already is left alone");
}

#[test]
fn close_ap_is_not_sent_to_the_firmware_that_answers_it_with_nonsense() {
    let (script, mut probe) = connected(v2(28));
    probe.detach().unwrap();
    assert_eq!(blocks(&script, 3), ["f23c01", "f50000", "f22100"]);
}

#[test]
fn a_probe_that_does_not_say_its_version_is_reset_once() {
    let failing = |count: usize, cause: Cause| {
        let (script, info) = v2(37);
        script.borrow_mut().failures.extend((1..=count).map(|n| (n, Error::probe("no answer").cause(cause))));
        (try_open((script.clone(), info)), script)
    };
    let (probe, script) = failing(1, Cause::Timeout);
    let probe = probe.unwrap();
    assert_eq!((script.borrow().resets, probe.info.firmware.as_str()), (1, "V2J37S7"));
    assert!(probe.now() >= Duration::from_secs(1));
    assert_eq!(failing(2, Cause::Timeout).0.err().unwrap().trail, ["GET_VERSION", "asking again after a USB reset"]);
    let (probe, script) = failing(1, Cause::Unplugged);
    assert_eq!((probe.err().unwrap().cause, script.borrow().resets), (Cause::Unplugged, 0));
}

#[test]
fn an_stm8_probe_and_a_v1_are_refused_by_name() {
    let error = opened(scripted([0x25, 0x07, 0x83, 0x04, 0x4b, 0x37], [0; 12])).1.connect(&NORMAL).unwrap_err();
    assert_eq!(error.message, "ST-Link firmware V2M20S7 has no SWD or JTAG part");
    let error = try_open(scripted([0x12, 0xc0, 0x83, 0x04, 0x44, 0x37], [0; 12])).err().unwrap();
    assert_eq!(error.message, "ST-Link firmware V1J11S0: ST-LINK/V1 is not supported");
}

// ---- firmware too old ----

#[test]
fn what_an_old_firmware_cannot_do_names_both_versions() {
    type Asked = fn(&mut StLink) -> Result<()>;
    let cases: [(u16, &str, Asked); 6] = [
        (21, "setting the SWD clock", |p| p.set_khz(480).map(drop)),
        (23, "reaching DP and AP registers", |p| p.read_reg(Port::Dp, 4).map(drop)),
        (25, "16-bit memory access", |p| p.read_mem(AP0, Width::Half, 0, &mut [0; 2])),
        (27, "opening an access port", |p| p.read_reg(Port::Ap(1), 0xfc).map(drop)),
        (31, "reaching banked DP registers", |p| p.read_reg(Port::Dp, dp::TARGETID).map(drop)),
        (31, "memory behind an access port other than AP 0", |p| p.write_mem(Ap { index: 2, csw: 0 }, Width::Word, 0, &[0; 4])),
    ];
    for (jtag, what, ask) in cases {
        let (_, mut probe) = connected(v2(jtag));
        let error = ask(&mut probe).unwrap_err();
        let text = format!("{what} needs ST-Link firmware V2J{} or later; this probe has V2J{jtag}S7", jtag + 1);
        assert_eq!((error.message, error.kind), (text, Kind::Probe));
        assert!(error.hint.unwrap().starts_with("update the probe's firmware"));
        let (_, mut probe) = connected(v2(jtag + 1));
        ask(&mut probe).unwrap();
    }
    let (_, mut probe) = connected(v3(1));
    let error = probe.read_reg(Port::Dp, dp::DLCR).unwrap_err();
    assert_eq!(error.message, "reaching banked DP registers needs ST-Link firmware V3J2 or later; this probe has V3J1M3");
    let (_, mut probe) = connected(v2(12));
    assert_eq!(probe.voltage().unwrap(), None);
}

#[test]
fn ap_and_csw_are_fields_of_the_command_only_where_the_firmware_knows_them() {
    let ap2 = Ap { index: 2, csw: 0xa200_0000 };
    let (script, mut probe) = connected(v2(32));
    probe.read_mem(ap2, Width::Word, 0xe00e_1000, &mut [0; 4]).unwrap();
    assert_eq!(blocks(&script, 12), ["f24b02000000000000000000", "f20700100ee00400020000a2", "f23e00000000000000000000"]);
    let (script, mut probe) = connected(v2(31));
    probe.read_mem(CACHED, Width::Word, 0x5c00_1000, &mut [0; 4]).unwrap();
    assert_eq!(blocks(&script, 12)[0], "f2070010005c040000000000");
}

#[test]
fn before_j15_the_short_status_is_asked_for_and_no_address_is_known() {
    let (script, mut probe) = connected(v2(14));
    script.borrow_mut().memory_status.push_back((0x11, 0));
    let error = probe.read_mem(AP0, Width::Word, 0x9000_0000, &mut [0; 4]).unwrap_err();
    assert_eq!(
        (error.message.as_str(), error.cause),
        ("READMEM_32BIT 0x90000000 (AP 0, 4 bytes): SWD AP FAULT (0x11)", Cause::Fault { address: None })
    );
    assert_eq!(blocks(&script, 2), ["f207", "f23b"]);
}

// ---- memory ----

#[test]
fn words_are_split_by_what_40_ms_and_the_probe_allow() {
    let cases: [(_, u32, usize, &[usize]); 5] = [
        (v2(37), 4000, 20_000, &[6144, 6144, 6144, 1568]),
        (v3(10), 24_000, 100_000, &[40_960, 40_960, 18_080]),
        (v3(10), 3300, 30_000, &[9216, 9216, 9216, 2352]),
        (v2(37), 480, 3000, &[1024, 1024, 952]),
        (v3(10), 5, 40, &[16, 16, 8]),
    ];
    for (probe, khz, len, expected) in cases {
        let (script, mut probe) = connected(probe);
        probe.set_khz(khz).unwrap();
        probe.write_mem(AP0, Width::Word, 0x2400_0000, &vec![0; len]).unwrap();
        let lens: Vec<usize> = memory_commands(&script).iter().map(|command| command.2).collect();
        assert_eq!(lens, expected, "{khz} kHz");
        let mut next = 0x2400_0000;
        for (_, address, len) in memory_commands(&script) {
            assert_eq!(address, next);
            next += len as u32;
        }
    }
}

#[test]
fn a_narrow_way_to_the_probe_splits_further_and_keeps_batches_apart() {
    let (script, mut probe) = connected(v3(10));
    script.borrow_mut().room = Some(Room { bytes: 1022, batches: false });
    script.borrow_mut().sent.clear();
    probe.write_mem(AP0, Width::Word, 0x2400_0000, &[0; 2048]).unwrap();
    probe.read_mem(AP0, Width::Half, 0x2400_0000, &mut [0; 1024]).unwrap();
    let lens: Vec<usize> = memory_commands(&script).iter().map(|command| command.2).collect();
    assert_eq!(lens, [1020, 1020, 8, 1022, 2]);
    script.borrow_mut().sent.clear();
    probe.batch(AP0, &mut [MemOp::read(0xE000_ED00), MemOp::write(0xE000_EDFC, 1)]).unwrap();
    assert_eq!(blocks(&script, 2), ["f236", "f235"], "one command each");
}

#[test]
fn no_transfer_is_longer_than_40_ms_by_the_bits_on_the_wire() {
    for probe in [v2(37), v3(10)] {
        let (script, mut probe) = connected(probe);
        for khz in probe.speeds().unwrap() {
            probe.set_khz(khz).unwrap();
            script.borrow_mut().sent.clear();
            probe.read_mem(AP0, Width::Word, 0x2000_0000, &mut vec![0; 16_384]).unwrap();
            probe.write_mem(AP0, Width::Byte, 0x2000_0000, &[0; 1024]).unwrap();
            for (op, _, len) in memory_commands(&script) {
                let accesses = if op == 0x07 { len.div_ceil(4) } else { len };
                // 46 clocks a word (ADIv5); one access may take longer than 40 ms, but then it goes alone.
                assert!(accesses == 1 || accesses * 46 <= khz as usize * 40, "{khz} kHz: {accesses} accesses");
                assert!(op != 0x07 || len <= 6144);
            }
        }
    }
}

#[test]
fn bytes_go_by_64_or_512_and_half_words_by_6144() {
    for (probe, most) in [(v2(46), 64), (v3(5), 64), (v3(6), 512)] {
        let (script, mut probe) = connected(probe);
        let mut buf = [0; 1025];
        probe.read_mem(AP0, Width::Byte, 0x2000_0003, &mut buf).unwrap();
        assert_eq!(buf.map(u32::from), std::array::from_fn(|n| (3 + n as u32) & 0xff));
        let lens: Vec<usize> = memory_commands(&script).iter().map(|command| command.2).collect();
        assert_eq!((lens[0], lens.len(), *lens.last().unwrap()), (most, 1024 / most + 1, 1));
    }
    let (script, mut probe) = connected(v3(10));
    let mut buf = vec![0; 7000];
    probe.read_mem(AP0, Width::Half, 0x2000_0002, &mut buf).unwrap();
    assert_eq!(memory_commands(&script), [(0x47, 0x2000_0002, 6144), (0x47, 0x2000_1802, 856)]);
    assert_eq!(buf[6144..6147], [0x02, 0x03, 0x04]);
    script.borrow_mut().sent.clear();
    probe.write_mem(AP0, Width::Half, 0x2000_0002, &vec![0; 7000]).unwrap();
    assert_eq!(memory_commands(&script), [(0x48, 0x2000_0002, 6144), (0x48, 0x2000_1802, 856)]);
}

#[test]
fn every_memory_command_is_followed_by_its_status() {
    let (script, mut probe) = connected(v2(37));
    probe.write_mem(AP0, Width::Word, 0x0800_0000, &[0; 8000]).unwrap();
    assert_eq!(blocks(&script, 2), ["f208", "f23e", "f208", "f23e"]);
}

#[test]
fn unaligned_words_and_the_end_of_the_address_space_are_refused_before_anything_is_sent() {
    let (script, mut probe) = connected(v2(37));
    let error = probe.read_mem(AP0, Width::Word, 0x2000_0001, &mut [0; 4]).unwrap_err();
    assert_eq!(error.message, "READMEM_32BIT 0x20000001 (AP 0, 4 bytes): address and length must be multiples of 4");
    assert!(probe.write_mem(AP0, Width::Half, 0x2000_0000, &[0; 3]).is_err());
    assert!(probe.batch(AP0, &mut [MemOp::read(2)]).is_err());
    let error = probe.read_mem(AP0, Width::Word, 0xffff_fffc, &mut [0; 8]).unwrap_err();
    assert!(error.message.ends_with("runs past the end of the address space"));
    probe.read_mem(AP0, Width::Word, 0xffff_fffc, &mut [0; 4]).unwrap();
    assert_eq!(memory_commands(&script), [(0x07, 0xffff_fffc, 4)]);
}

#[test]
fn a_fault_names_the_access_and_the_address_and_clears_the_sticky_error() {
    let (script, mut probe) = connected(v3(10));
    script.borrow_mut().memory_status.push_back((0x11, 0x2408_0000));
    let error = probe.read_mem(AP0, Width::Word, 0x2407_f000, &mut [0; 6144]).unwrap_err();
    assert_eq!(error.message, "READMEM_32BIT 0x2407f000 (AP 0, 6144 bytes): SWD AP FAULT (0x11) at 0x24080000");
    assert_eq!((error.kind, error.cause), (Kind::Target, Cause::Fault { address: Some(0x2408_0000) }));
    assert_eq!(blocks(&script, 10).last().unwrap(), "f246ffff00001e000000");
    assert_eq!(memory_commands(&script).len(), 1, "a fault is not repeated");
    probe.read_mem(AP0, Width::Word, 0x2400_0000, &mut [0; 4]).unwrap();
}

#[test]
fn an_address_outside_of_the_access_is_not_believed() {
    let (script, mut probe) = connected(v2(37));
    script.borrow_mut().memory_status.push_back((0x11, 0));
    let error = probe.read_mem(AP0, Width::Word, 0x2400_0000, &mut [0; 4]).unwrap_err();
    assert_eq!(error.cause, Cause::Fault { address: None });
}

#[test]
fn a_read_that_meets_wait_is_repeated_as_a_whole_until_it_gets_through() {
    let (script, mut probe) = connected(v2(37));
    script.borrow_mut().memory_status.extend([(0x10, 0), (0x14, 0), (0x80, 0)]);
    let mut buf = [0; 8];
    probe.read_mem(AP0, Width::Word, 0x0800_0010, &mut buf).unwrap();
    assert_eq!(buf, [0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17]);
    assert_eq!(memory_commands(&script), [(0x07, 0x0800_0010, 8); 3]);
}

#[test]
fn wait_is_given_up_after_one_second_of_the_probes_clock() {
    let (script, mut probe) = connected(v2(37));
    script.borrow_mut().memory_status.extend([(0x10, 0x0800_0004); 200]);
    let before = probe.now();
    let error = probe.read_mem(AP0, Width::Word, 0x0800_0000, &mut [0; 8]).unwrap_err();
    let took = probe.now() - before;
    assert!(took >= Duration::from_secs(1) && took < Duration::from_millis(1100), "{took:?}");
    assert_eq!(error.cause, Cause::Wait { address: Some(0x0800_0004) });
    assert_eq!(error.message, "READMEM_32BIT 0x08000000 (AP 0, 8 bytes): SWD AP WAIT (0x10) at 0x08000004");
    assert!(error.hint.is_some());
}

#[test]
fn a_write_that_meets_wait_is_repeated_in_ram_and_debug_registers_only() {
    for (address, times) in
        [(0x2000_0000, 2), (0x3800_0000, 2), (0xe000_edf0, 2), (0x0800_0000, 1), (0x5200_200c, 1), (0x4002_2014, 1), (0x0000_0000, 1)]
    {
        let (script, mut probe) = connected(v3(10));
        script.borrow_mut().memory_status.push_back((0x10, address));
        let result = probe.write_mem(AP0, Width::Word, address, &[0; 32]);
        assert_eq!(memory_commands(&script).len(), times, "{address:#010x}");
        match times {
            1 => assert_eq!(result.unwrap_err().cause, Cause::Wait { address: Some(address) }),
            _ => result.unwrap(),
        }
    }
    // A block that only begins in RAM.
    assert!(!memory::within(memory::REPEATABLE, 0x3fff_fff0, 32));
    assert!(memory::within(memory::REPEATABLE, 0x3fff_fff0, 16));
}

#[test]
fn a_v3_fault_right_after_a_wait_is_tried_once_more_and_no_oftener() {
    let (script, mut probe) = connected(v3(10));
    script.borrow_mut().memory_status.extend([(0x10, 0), (0x11, 0), (0x80, 0)]);
    probe.read_mem(AP0, Width::Word, 0x0800_0000, &mut [0; 4]).unwrap();
    script.borrow_mut().memory_status.extend([(0x10, 0), (0x11, 0), (0x11, 0)]);
    assert!(probe.read_mem(AP0, Width::Word, 0x0800_0000, &mut [0; 4]).unwrap_err().is_fault());
    let (script, mut probe) = connected(v2(37));
    script.borrow_mut().memory_status.extend([(0x10, 0), (0x11, 0), (0x80, 0)]);
    assert!(probe.read_mem(AP0, Width::Word, 0x0800_0000, &mut [0; 4]).unwrap_err().is_fault());
}

#[test]
fn parity_and_lost_acknowledges_speak_of_the_wire() {
    for code in [0x12, 0x13, 0x16, 0x17, 0x18] {
        let (script, mut probe) = connected(v2(37));
        script.borrow_mut().memory_status.push_back((code, 0));
        let error = probe.read_mem(AP0, Width::Word, 0x2000_0000, &mut [0; 4]).unwrap_err();
        assert_eq!(error.cause, Cause::Link);
        assert!(error.hint.unwrap().contains("adapter speed"));
        assert_eq!(blocks(&script, 10).last().unwrap(), "f246ffff00001e000000", "what is sticky is cleared");
    }
}

#[test]
fn a_short_reply_is_an_error_with_both_counts_unless_the_status_says_more() {
    let (script, mut probe) = connected(v2(37));
    script.borrow_mut().missing.push_back(4);
    let error = probe.read_mem(AP0, Width::Word, 0x2000_0000, &mut [0; 64]).unwrap_err();
    assert_eq!(error.message, "READMEM_32BIT 0x20000000 (AP 0, 64 bytes): the probe answered 60 bytes, expected 64");
    script.borrow_mut().missing.push_back(4);
    script.borrow_mut().memory_status.push_back((0x11, 0x2000_003c));
    assert!(probe.read_mem(AP0, Width::Word, 0x2000_0000, &mut [0; 64]).unwrap_err().is_fault());
}

#[test]
fn a_plug_pulled_in_mid_transfer_ends_the_access_at_once_and_says_where() {
    let (script, mut probe) = connected(v2(37));
    let gone = Error::probe("the probe was unplugged").cause(Cause::Unplugged);
    script.borrow_mut().failures.push_back((3, gone));
    let error = probe.read_mem(AP0, Width::Word, 0x2000_0000, &mut [0; 20_000]).unwrap_err();
    assert_eq!(error.cause, Cause::Unplugged);
    assert_eq!(error.trail, ["READMEM_32BIT 0x20001800 (AP 0, 6144 bytes)"]);
    assert_eq!(script.borrow().sent.len(), 3);
}

// ---- registers ----

#[test]
fn registers_carry_port_and_bank_and_an_ap_write_is_flushed() {
    let (script, mut probe) = connected(v3(10));
    script.borrow_mut().registers.extend([(0xffff, 0x24, 0x0450_0041), (2, 0xfc, 0x5477_0002)]);
    assert_eq!(probe.read_reg(Port::Dp, dp::TARGETID).unwrap(), 0x0450_0041);
    assert_eq!(probe.read_reg(Port::Ap(2), ap::IDR).unwrap(), 0x5477_0002);
    probe.write_reg(Port::Ap(2), ap::TAR, 0x1234_5678).unwrap();
    assert_eq!(
        blocks(&script, 10),
        ["f245ffff240000000000", "f24b0200000000000000", "f2450200fc0000000000", "f2460200040078563412", "f245ffff0c0000000000"]
    );
}

#[test]
fn a_posted_ap_write_that_fails_is_reported_as_that_write() {
    let (script, mut probe) = connected(v3(10));
    script.borrow_mut().command_status.push_back((0x45, 0x11));
    let error = probe.write_reg(Port::Ap(0), ap::DRW, 1).unwrap_err();
    assert!(error.is_fault());
    assert_eq!(error.trail, ["WRITE_DAP_REG AP 0 0x0c"]);
}

#[test]
fn wait_on_drw_is_not_repeated_and_on_other_registers_it_is() {
    for (port, address, times) in [(Port::Ap(0), ap::DRW, 1), (Port::Ap(0), 0x14, 1), (Port::Ap(0), ap::CSW, 2), (Port::Dp, 4, 2)] {
        let (script, mut probe) = connected(v3(10));
        script.borrow_mut().command_status.push_back((0x45, 0x10));
        assert_eq!(probe.read_reg(port, address).is_ok(), times == 2);
        assert_eq!(script.borrow().sent.len(), times);
    }
}

#[test]
fn select_and_overrun_detection_stay_the_firmwares() {
    let (script, mut probe) = connected(v3(10));
    assert!(probe.write_reg(Port::Dp, dp::SELECT, 0).unwrap_err().message.contains("SELECT"));
    assert!(probe.write_reg(Port::Dp, dp::CTRL_STAT, 0x5000_0001).unwrap_err().message.contains("ORUNDETECT"));
    assert!(probe.read_reg(Port::Ap(0), 0x102).is_err());
    assert!(script.borrow().sent.is_empty());
    probe.write_reg(Port::Dp, dp::CTRL_STAT, 0x5000_0000).unwrap();
}

#[test]
fn a_v3_keeps_no_more_than_eight_aps_open_and_opens_each_once() {
    let (script, mut probe) = connected(v3(10));
    for index in [1, 2, 3, 4, 5, 6, 7, 7, 1, 8] {
        probe.read_reg(Port::Ap(index), ap::IDR).unwrap();
    }
    let sent = blocks(&script, 3);
    assert_eq!(sent.iter().filter(|block| block.starts_with("f24b")).count(), 8);
    let close = sent.iter().position(|block| block == "f24c00").expect("the oldest is closed");
    assert_eq!(sent[close + 1], "f24b08");
}

// ---- batches ----

#[test]
fn a_batch_is_one_rw_misc_with_ap_address_and_value_items() {
    let (script, mut probe) = connected(v2(37));
    let mut ops = [MemOp::write(0xe000_edf4, 15), MemOp::read(0xe000_edf0), MemOp::read(0xe000_edf8)];
    probe.batch(AP0, &mut ops).unwrap();
    assert_eq!(ops.map(|op| op.value()), [15, 0xe000_edf0, 0xe000_edf8]);
    assert_eq!(blocks(&script, 6), ["f25105000000", "f25200000000"]);
    let words = [0u32, 0xe000_edf4, 15, 0xe000_edf0, 0xe000_edf8].iter().flat_map(|word| word.to_le_bytes());
    let expected: Vec<u8> = [5, 1, 2, 3, 3, 0, 0, 0].into_iter().chain(words).collect();
    assert_eq!(script.borrow().sent[0].1, expected);
}

#[test]
fn a_batch_is_split_at_the_probes_number_of_items_and_at_40_ms() {
    for (probe, khz, ops, expected) in
        [(v2(37), 4000, 100, vec![64, 38]), (v3(10), 24_000, 1300, vec![1227, 75]), (v3(10), 50, 100, vec![14, 14, 14, 14, 14, 14, 14, 10])]
    {
        let (script, mut probe) = connected(probe);
        probe.set_khz(khz).unwrap();
        script.borrow_mut().sent.clear();
        let mut batch: Vec<MemOp> = (0..ops).map(|n| MemOp::read(0xe000_0000 + 4 * n)).collect();
        probe.batch(AP0, &mut batch).unwrap();
        assert!(batch.iter().enumerate().all(|(n, op)| op.value() == 0xe000_0000 + 4 * n as u32));
        let script = script.borrow();
        let items: Vec<u32> = script.sent.iter().filter(|sent| sent.0[1] == 0x51).map(|sent| word(&sent.0[2..])).collect();
        assert_eq!(items, expected, "{khz} kHz");
    }
    // A write is two items and is never torn apart.
    let (script, mut probe) = connected(v2(37));
    probe.batch(AP0, &mut [MemOp::write(0xe000_0000, 0); 32]).unwrap();
    let script = script.borrow();
    let items: Vec<u8> = script.sent.iter().filter(|sent| sent.0[1] == 0x51).map(|sent| sent.0[2]).collect();
    assert_eq!((items, script.sent[2].0[1]), (vec![63], 0x35), "the last one goes alone");
}

#[test]
fn old_firmware_runs_a_batch_as_single_accesses_in_order() {
    let (script, mut probe) = connected(v2(31));
    let mut ops = [MemOp::write(0xe000_edf4, 15), MemOp::read(0xe000_edf0)];
    probe.batch(AP0, &mut ops).unwrap();
    assert_eq!(blocks(&script, 2), ["f235", "f236"]);
    assert_eq!(ops[1].value(), 0xf3f2_f1f0);
}

#[test]
fn words_that_a_cache_may_hold_do_not_go_by_rw_misc_which_cannot_set_csw() {
    let (script, mut probe) = connected(v3(10));
    let mut ops =
        [MemOp::read(0xe000_edf0), MemOp::read(0xe000_edf4), MemOp::read(0x2400_0000), MemOp::read(0x5200_2010), MemOp::read(0x0800_0000)];
    probe.batch(CACHED, &mut ops).unwrap();
    assert_eq!(blocks(&script, 2), ["f251", "f252", "f207", "f23e", "f251", "f252"]);
    assert_eq!(script.borrow().sent[2].0[8..12], [0, 0, 0, 0xaa]);
}

#[test]
fn a_batch_stops_at_the_first_failure_and_names_it() {
    let (script, mut probe) = connected(v3(10));
    script.borrow_mut().misc_status.push_back(Some((3, 0x11)));
    let mut ops = [MemOp::read(0x5200_2010), MemOp::write(0x0800_0000, 1), MemOp::read(0x5200_2010)];
    let error = probe.batch(AP0, &mut ops).unwrap_err();
    assert_eq!(error.message, "RW_MISC write (AP 0): SWD AP FAULT (0x11) at 0x08000000");
    assert_eq!(error.cause, Cause::Fault { address: Some(0x0800_0000) });
    assert_eq!((ops[0].value(), ops[2].value()), (0x5200_2010, 0));
    assert_eq!(blocks(&script, 10).last().unwrap(), "f246ffff00001e000000");
}

#[test]
fn wait_in_a_batch_goes_on_where_it_was_if_harmless_and_is_an_error_if_flash_is_written() {
    let (script, mut probe) = connected(v3(10));
    script.borrow_mut().misc_status.push_back(Some((3, 0x10)));
    let mut ops = [MemOp::write(0xe000_edf4, 15), MemOp::read(0xe000_edf0), MemOp::read(0xe000_edf8)];
    probe.batch(AP0, &mut ops).unwrap();
    let items: Vec<u8> = script.borrow().sent.iter().filter(|sent| sent.0[1] == 0x51).map(|sent| sent.0[2]).collect();
    assert_eq!(items, [5, 3], "the write was done and is not done again");
    assert_eq!(ops.map(|op| op.value()), [15, 0xe000_edf0, 0xe000_edf8]);

    script.borrow_mut().misc_status.push_back(Some((2, 0x10)));
    let error = probe.batch(AP0, &mut [MemOp::write(0x0800_0000, 1), MemOp::write(0x0800_0004, 2)]).unwrap_err();
    assert_eq!(error.cause, Cause::Wait { address: Some(0x0800_0000) });
}

// ---- tables ----

#[test]
fn statuses_features_and_usb_ids_are_unambiguous() {
    for (index, row) in STATUS.iter().enumerate() {
        assert!(STATUS[..index].iter().all(|other| other.0 != row.0 && other.1 != row.1), "{}", row.1);
    }
    for (index, row) in FEATURES.iter().enumerate() {
        assert!(FEATURES[..index].iter().all(|other| other.0 != row.0));
    }
    for (index, id) in USB.iter().enumerate() {
        assert!(USB[..index].iter().all(|other| other.pid != id.pid && other.name != id.name));
    }
    assert_eq!(status(0x42), ("unknown status", Meaning::Refused));
    let error = judge(0x42, &"X", None).unwrap_err();
    assert_eq!(error.message, "X: unknown status (0x42)");
}
