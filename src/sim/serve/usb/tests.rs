use super::*;
use crate::sim::{Config, Inject};

const OUT: u8 = 0x01;
const IN: u8 = 0x81;
const HALT_OUT: [u8; 8] = [0x02, 1, 0, 0, OUT, 0, 0, 0];

/// A host's view of a device: transfers with numbers, and how they ended.
struct Host {
    device: Device,
    board: Board,
    seq: u32,
    /// Ended while another was waited for.
    kept: Vec<Done>,
}

impl Host {
    fn new(probe: &str) -> Host {
        let config = Config { chip: Some("stm32g071".into()), probe: Some(probe.into()), ..Config::default() };
        let board = Board::new(&config).unwrap();
        let mut host = Host { device: Device::new(&board), board, seq: 0, kept: vec![] };
        assert_eq!(host.control([0x00, 9, 1, 0, 0, 0, 0, 0]), Ok(vec![]));
        host
    }

    fn entered(probe: &str) -> Host {
        let mut host = Host::new(probe);
        assert_eq!(host.ask(&[0xF2, 0x30, 0xA3], 2), [0x80, 0]);
        host
    }

    fn submit(&mut self, endpoint: u8, len: usize, data: &[u8]) -> u32 {
        self.seq += 1;
        self.device.submit(Urb { seq: self.seq, endpoint, len, data: data.to_vec(), ..Urb::default() });
        self.seq
    }

    /// Number, status and data of each transfer that ended.
    fn ended(&mut self) -> Vec<(u32, i32, Vec<u8>)> {
        self.kept.drain(..).chain(self.device.done()).map(|done| (done.seq, done.status, done.data)).collect()
    }

    fn control(&mut self, setup: [u8; 8]) -> Result<Vec<u8>, i32> {
        self.seq += 1;
        let len = usize::from(u16::from_le_bytes([setup[6], setup[7]]));
        self.device.submit(Urb { seq: self.seq, endpoint: setup[0] & 0x80, setup, len, ..Urb::default() });
        let done = self.device.done().pop().expect("a control transfer ends at once");
        if done.status == 0 { Ok(done.data) } else { Err(done.status) }
    }

    /// Status and how much went out.
    fn put(&mut self, data: &[u8]) -> (i32, usize) {
        let seq = self.submit(OUT, 0, data);
        let (mut mine, others) = self.device.done().into_iter().partition::<Vec<_>, _>(|done| done.seq == seq);
        self.kept.extend(others);
        let done = mine.pop().expect("a transfer out ends at once");
        (done.status, done.moved)
    }

    fn command(&mut self, command: &[u8]) {
        let mut block = command.to_vec();
        block.resize(16, 0);
        assert_eq!(self.put(&block), (0, 16));
    }

    fn ask(&mut self, command: &[u8], len: usize) -> Vec<u8> {
        self.command(command);
        let seq = self.submit(IN, len, &[]);
        let (mut mine, others) = self.device.done().into_iter().partition::<Vec<_>, _>(|done| done.seq == seq);
        self.kept.extend(others);
        let done = mine.pop().unwrap_or_else(|| panic!("{command:02x?} is not answered"));
        assert_eq!(done.status, 0, "{command:02x?}");
        done.data
    }

    fn memory(op: u8, len: u16) -> Vec<u8> {
        [&[0xF2, op, 0, 0, 0, 0x20][..], &len.to_le_bytes()].concat()
    }
}

#[test]
fn a_transfer_in_waits_until_there_is_something() {
    let mut host = Host::new("v2-1");
    let seq = host.submit(IN, 6, &[]);
    assert_eq!(host.ended(), []);
    host.device.poll();
    assert_eq!(host.ended(), []);
    host.submit(OUT, 0, &[0xF1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let ended = host.ended();
    assert_eq!(ended[0].1, 0, "the command went out");
    assert_eq!(ended[1], (seq, 0, vec![0x28, 0x59, 0x83, 4, 0x4B, 0x37]));
}

#[test]
fn unlink_takes_what_waits_and_nothing_else() {
    let mut host = Host::new("v2-1");
    let (first, second) = (host.submit(IN, 6, &[]), host.submit(IN, 6, &[]));
    assert!(host.device.unlink(first));
    assert!(!host.device.unlink(first), "it is gone");
    assert!(!host.device.unlink(99));
    host.submit(OUT, 0, &[0xF5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(host.ended()[1], (second, 0, vec![1, 0]));
    assert!(!host.device.unlink(second), "it has ended");
}

#[test]
fn a_command_comes_in_any_split() {
    for split in 1..16 {
        let mut host = Host::new("v3");
        let mut block = vec![0xFB];
        block.resize(16, 0);
        assert_eq!((host.put(&block[..split]), host.put(&block[split..])), ((0, split), (0, 16 - split)));
        host.submit(IN, 12, &[]);
        assert_eq!(host.ended()[0].2, [3, 0, 10, 3, 0, 0, 0, 0, 0x83, 4, 0x4E, 0x37], "split at {split}");
    }
}

#[test]
fn a_packet_of_no_bytes_is_no_command() {
    let mut host = Host::new("v3");
    assert_eq!(host.put(&[]), (0, 0));
    assert_eq!(host.ask(&[0xF5], 2), [1, 0]);
}

#[test]
fn data_of_whole_packets_and_of_one_more_byte_arrive() {
    for (probe, packet) in [("v2-1", 64), ("v3", 512)] {
        for len in [4, packet - 4, packet, packet + 4, 2 * packet, 4 * packet] {
            let mut host = Host::entered(probe);
            let data: Vec<u8> = (0..len).map(|n| (n % 251) as u8).collect();
            host.command(&Host::memory(0x08, len as u16));
            assert_eq!(host.put(&data), (0, len));
            assert_eq!(host.ask(&[0xF2, 0x3E], 12)[0], 0x80);
            assert_eq!(host.board.dump(0x2000_0000, len as u32).unwrap(), data, "{probe} {len}");
            assert_eq!(host.ask(&Host::memory(0x07, len as u16), len), data, "{probe} {len}");
        }
    }
}

#[test]
fn data_may_come_in_several_transfers_of_whole_packets() {
    let mut host = Host::entered("v2-1");
    let data: Vec<u8> = (0..200).collect();
    host.command(&Host::memory(0x08, 200));
    for part in [&data[..64], &data[64..192], &data[192..]] {
        assert_eq!(host.put(part), (0, part.len()));
    }
    assert_eq!(host.board.dump(0x2000_0000, 200).unwrap(), data);
}

#[test]
fn a_short_packet_ends_a_data_phase_and_spoils_its_own_command_only() {
    let mut host = Host::entered("v2-1");
    host.command(&Host::memory(0x08, 100));
    assert_eq!(host.put(&[7; 20]), (0, 20));
    assert_ne!(host.ask(&[0xF2, 0x3E], 12)[0], 0x80, "the next command is one again");
    assert_ne!(host.board.dump(0x2000_0000, 4).unwrap(), [7; 4]);
    assert_eq!(host.ask(&[0xF5], 2), [2, 0]);
}

#[test]
fn a_packet_of_no_bytes_behind_whole_ones_changes_nothing() {
    let mut host = Host::entered("v2-1");
    host.command(&Host::memory(0x08, 64));
    host.device.submit(Urb { seq: 900, endpoint: OUT, data: vec![9; 64], zero: true, ..Urb::default() });
    assert_eq!(host.ended(), [(900, 0, vec![])]);
    assert_eq!(host.ask(&Host::memory(0x07, 64), 64), [9; 64]);
}

#[test]
fn asked_for_more_than_there_is_a_short_packet_ends_it_and_a_whole_one_does_not() {
    let mut host = Host::entered("v2-1");
    assert_eq!(host.ask(&[0xF2, 0x3E], 4096).len(), 12);
    host.command(&Host::memory(0x07, 64));
    let seq = host.submit(IN, 128, &[]);
    assert_eq!(host.ended(), [], "64 bytes are one whole packet");
    assert!(host.device.unlink(seq));
    assert_eq!(host.ask(&[0xF5], 2), [2, 0]);
}

#[test]
fn asked_for_less_whole_packets_come_in_turn_and_a_cut_one_is_an_overflow() {
    let mut host = Host::entered("v2-1");
    host.board.poke(0x2000_0000, &(0..100).collect::<Vec<u8>>()).unwrap();
    host.command(&Host::memory(0x07, 100));
    let (first, second) = (host.submit(IN, 64, &[]), host.submit(IN, 36, &[]));
    assert_eq!(host.ended(), [(first, 0, (0..64).collect()), (second, 0, (64..100).collect())]);
    host.command(&[0xF1]);
    let seq = host.submit(IN, 2, &[]);
    assert_eq!(host.ended(), [(seq, EOVERFLOW, vec![])]);
    let seq = host.submit(IN, 6, &[]);
    assert_eq!(host.ended()[0], (seq, 0, vec![0x28, 0x59, 0x83, 4, 0x4B, 0x37]), "nobody had acknowledged it");
}

#[test]
fn a_new_command_discards_the_reply_of_the_last() {
    let mut host = Host::entered("v2-1");
    host.command(&Host::memory(0x07, 4096));
    host.submit(IN, 64, &[]);
    assert_eq!(host.ended().len(), 1);
    assert_eq!(host.ask(&[0xF5], 2), [2, 0]);
    let seq = host.submit(IN, 64, &[]);
    assert_eq!(host.ended(), []);
    assert!(host.device.unlink(seq));
}

#[test]
fn a_stall_stays_until_it_is_cleared() {
    let mut host = Host::new("v2-1");
    host.board.inject(Inject::Stall);
    let mut version = vec![0xF1];
    version.resize(16, 0);
    assert_eq!(host.put(&version), (EPIPE, 0));
    assert_eq!(host.put(&version), (EPIPE, 0));
    assert_eq!(host.control([0x82, 0, 0, 0, OUT, 0, 2, 0]), Ok(vec![1, 0]));
    assert_eq!(host.control([0x82, 0, 0, 0, IN, 0, 2, 0]), Ok(vec![0, 0]));
    assert_eq!(host.control(HALT_OUT), Ok(vec![]));
    assert_eq!(host.control([0x82, 0, 0, 0, OUT, 0, 2, 0]), Ok(vec![0, 0]));
    assert_eq!(host.ask(&[0xF1], 6)[..2], [0x28, 0x59]);
}

#[test]
fn a_halted_endpoint_in_ends_what_waits_there() {
    let mut host = Host::new("v2-1");
    let seq = host.submit(IN, 6, &[]);
    host.device.submit(Urb { seq: 900, setup: [0x02, 3, 0, 0, IN, 0, 0, 0], ..Urb::default() });
    assert_eq!(host.ended(), [(900, 0, vec![]), (seq, EPIPE, vec![])]);
}

#[test]
fn a_silent_probe_is_naked_and_the_next_command_is_answered() {
    let mut host = Host::new("v2-1");
    host.board.inject(Inject::Silent);
    host.command(&[0xF1]);
    let seq = host.submit(IN, 6, &[]);
    assert_eq!(host.ended(), []);
    assert!(host.device.unlink(seq));
    assert_eq!(host.ask(&[0xF1], 6)[..2], [0x28, 0x59]);
}

#[test]
fn a_short_reply_is_a_short_packet() {
    let mut host = Host::new("v2-1");
    host.board.inject(Inject::ShortReply(3));
    assert_eq!(host.ask(&[0xF1], 6), [0x28, 0x59, 0x83]);
}

/// What hosts seldom or never send. Seen: the lengths, and that a V3 has no F2 44; assumed (src/sim/stlink): the answers
/// to an unknown opcode, to F2 53 and to a read of more than 6144 bytes.
#[test]
fn rare_commands_are_answered_with_as_many_bytes_as_the_firmware_sends() {
    let read = |len: u16| Host::memory(0x07, len);
    for (probe, command, len, first) in [
        ("v2-1", vec![0xF2, 0x3A], 88, 0x80),
        ("v2-1", vec![0xF2, 0x44, 4, 0], 2, 0x80),
        ("v3", vec![0xF2, 0x44, 4, 0], 2, 0x42),
        ("v2-1", vec![0xF2, 0x3B], 2, 0x80),
        ("v2-1", vec![0xF2, 0x53], 8, 0x80),
        ("v2-1", vec![0xF2, 0x77], 2, 0x42),
        ("v2-1", read(6144), 6144, 7),
        ("v2-1", read(6148), 6148, 0),
        ("v3", read(0xFFFC), 0xFFFC, 0),
    ] {
        let mut host = Host::entered(probe);
        host.board.poke(0x2000_0000, &[7; 8]).unwrap();
        // C_HALT and C_DEBUGEN of DHCSR
        assert_eq!(host.ask(&[0xF2, 0x35, 0xF0, 0xED, 0, 0xE0, 3, 0, 0x5F, 0xA0], 2), [0x80, 0]);
        let reply = host.ask(&command, len);
        assert_eq!((reply.len(), reply[0]), (len, first), "{probe} {:02x?}", &command[..2]);
        assert_eq!(host.ask(&[0xF5], 2), [2, 0], "it goes on");
    }
    let mut host = Host::entered("v2-1");
    host.ask(&read(6148), 6148);
    assert_ne!(host.ask(&[0xF2, 0x3E], 12)[0], 0x80, "nothing was read");
    // A block that is no command at all is not answered.
    host.command(&[0xAA]);
    let seq = host.submit(IN, 64, &[]);
    assert_eq!(host.ended(), []);
    assert!(host.device.unlink(seq));
}

#[test]
fn standard_requests_are_answered_as_the_specification_says() {
    let mut host = Host::new("v3");
    let stall = Err(EPIPE);
    for (setup, answer) in [
        ([0x80, 0, 0, 0, 0, 0, 2, 0], Ok(vec![0, 0])),
        ([0x81, 0, 0, 0, 3, 0, 2, 0], Ok(vec![0, 0])),
        ([0x81, 0, 0, 0, 4, 0, 2, 0], stall.clone()),
        ([0x82, 0, 0, 0, 0x09, 0, 2, 0], stall.clone()),
        ([0x80, 8, 0, 0, 0, 0, 1, 0], Ok(vec![1])),
        ([0x80, 6, 0, 3, 0, 0, 255, 0], Ok(vec![4, 3, 9, 4])),
        ([0x80, 6, 0, 3, 0, 0, 2, 0], Ok(vec![4, 3])),
        ([0x80, 6, 0, 9, 0, 0, 8, 0], stall.clone()),
        ([0x81, 10, 0, 0, 0, 0, 1, 0], Ok(vec![0])),
        ([0x01, 11, 0, 0, 0, 0, 0, 0], Ok(vec![])),
        ([0x01, 11, 1, 0, 0, 0, 0, 0], stall.clone()),
        ([0x01, 11, 0, 0, 7, 0, 0, 0], stall.clone()),
        ([0x02, 1, 0, 0, 0x77, 0, 0, 0], stall.clone()),
        // remote wakeup, SYNCH_FRAME, a vendor's own
        ([0x00, 3, 1, 0, 0, 0, 0, 0], stall.clone()),
        ([0x82, 12, 0, 0, 0x81, 0, 2, 0], stall.clone()),
        ([0xC0, 1, 0, 0, 0, 0, 8, 0], stall.clone()),
        ([0x00, 9, 2, 0, 0, 0, 0, 0], stall),
        ([0xA1, 0xFE, 0, 0, 1, 0, 1, 0], Ok(vec![0])),
        ([0xA1, 0x21, 0, 0, 2, 0, 7, 0], Ok(vec![0, 0xC2, 1, 0, 0, 0, 8])),
    ] {
        assert_eq!(host.control(setup), answer, "{setup:02x?}");
    }
    // The device answers on: a STALL of endpoint 0 ends with the next SETUP (USB 2.0 8.5.3.4).
    assert_eq!(host.ask(&[0xF5], 2), [1, 0]);
}

#[test]
fn set_interface_and_set_configuration_clear_halts_and_what_is_half_done() {
    for setup in [[0x01, 11, 0, 0, 0, 0, 0, 0], [0x00, 9, 1, 0, 0, 0, 0, 0]] {
        let mut host = Host::new("v2-1");
        assert_eq!(host.put(&[0xF1]), (0, 1));
        assert_eq!(host.control([0x02, 3, 0, 0, OUT, 0, 0, 0]), Ok(vec![]));
        assert_eq!(host.control(setup), Ok(vec![]));
        assert_eq!(host.ask(&[0xF5], 2), [1, 0], "{setup:02x?}");
    }
}

#[test]
fn before_set_configuration_there_is_only_endpoint_0() {
    let board = Board::new(&Config::default()).unwrap();
    let mut host = Host { device: Device::new(&board), board, seq: 0, kept: vec![] };
    assert_eq!(host.control([0x80, 8, 0, 0, 0, 0, 1, 0]), Ok(vec![0]));
    host.submit(0x02, 0, &[0; 16]);
    host.submit(0x81, 6, &[]);
    assert_eq!(host.ended().iter().map(|(_, status, _)| *status).collect::<Vec<_>>(), [EPROTO, EPROTO]);
    assert_eq!(host.control([0x00, 9, 1, 0, 0, 0, 0, 0]), Ok(vec![]));
    host.submit(0x09, 0, &[0]);
    assert_eq!(host.ended()[0].1, EPROTO, "no such endpoint");
}

#[test]
fn the_disk_fails_every_command_in_its_own_words() {
    let mut host = Host::new("v2-1");
    let mut inquiry = vec![b'U', b'S', b'B', b'C', 1, 2, 3, 4, 36, 0, 0, 0, 0x80, 0, 6, 0x12, 0, 0, 0, 36];
    inquiry.resize(31, 0);
    host.submit(DISK_OUT, 0, &inquiry);
    let data = host.submit(DISK_IN, 36, &[]);
    assert_eq!(host.ended()[1], (data, EPIPE, vec![]));
    assert_eq!(host.control([0x02, 1, 0, 0, DISK_IN, 0, 0, 0]), Ok(vec![]));
    host.submit(DISK_IN, 13, &[]);
    assert_eq!(host.ended()[0].2, [b'U', b'S', b'B', b'S', 1, 2, 3, 4, 36, 0, 0, 0, 1]);
    host.submit(DISK_OUT, 0, b"garbage");
    assert_eq!(host.ended()[0].1, EPIPE);
    assert_eq!(host.ask(&[0xF5], 2), [1, 0], "debug goes on");
}

/// A G071's USART2: its clock (RCC_APBENR1 bit 17), BRR for 1 MBd, UE, RE and TE, then characters into TDR and out of RDR
/// (RM0444 5.4.15, 33.8).
#[test]
fn the_serial_port_is_the_consoles_other_end() {
    let mut host = Host::entered("v2-1");
    const FRAME: std::time::Duration = std::time::Duration::from_micros(10);
    let write = |host: &mut Host, address: u32, value: u32| {
        let words = [&[0xF2, 0x35][..], &address.to_le_bytes(), &value.to_le_bytes()].concat();
        assert_eq!(host.ask(&words, 2), [0x80, 0]);
    };
    write(&mut host, 0x4002_103C, 1 << 17);
    write(&mut host, 0x4000_440C, 16);
    write(&mut host, 0x4000_4400, 1 | 1 << 2 | 1 << 3);
    let seq = host.submit(CONSOLE_IN, 64, &[]);
    write(&mut host, 0x4000_4428, u32::from(b'h'));
    host.board.pass(FRAME);
    host.device.poll();
    assert_eq!(host.ended(), [(seq, 0, b"h".to_vec())]);
    for byte in b"ls" {
        host.submit(CONSOLE_OUT, 0, &[*byte]);
        assert_eq!(host.ended()[0].1, 0);
        host.board.pass(FRAME);
        let reply = host.ask(&[&[0xF2, 0x36][..], &0x4000_4424u32.to_le_bytes()].concat(), 8);
        assert_eq!(reply[4], *byte, "{reply:02x?}");
    }
    assert_eq!(host.control([0xA1, 0x21, 0, 0, 2, 0, 7, 0]), Ok(vec![0, 0xC2, 1, 0, 0, 0, 8]));
    let coding = Urb { seq: 900, setup: [0x21, 0x20, 0, 0, 2, 0, 7, 0], data: vec![0x80, 0x25, 0, 0, 0, 0, 8], ..Urb::default() };
    host.device.submit(coding);
    assert_eq!(host.ended(), [(900, 0, vec![])]);
    assert_eq!(host.control([0xA1, 0x21, 0, 0, 2, 0, 7, 0]), Ok(vec![0x80, 0x25, 0, 0, 0, 0, 8]));
}

#[test]
fn trace_comes_when_there_is_some() {
    let mut host = Host::entered("v2-1");
    let seq = host.submit(0x82, 64, &[]);
    assert_eq!(host.ask(&[0xF2, 0x40, 0, 16, 0x80, 0x84, 0x1E, 0], 2), [0x80, 0]);
    host.board.swo(b"hello");
    host.device.poll();
    assert_eq!(host.ended(), [(seq, 0, b"hello".to_vec())]);
}

#[test]
fn no_transfers_make_the_device_fall_over() {
    let mut host = Host::new("v3");
    let mut state = 1u32;
    let mut random = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    for seq in 0..20_000 {
        let bytes: Vec<u8> = (0..random() % 40).map(|_| random() as u8).collect();
        let mut setup = [0; 8];
        setup.iter_mut().for_each(|byte| *byte = random() as u8 & 0x8F);
        let endpoint = [0, 0x80, OUT, IN, 0x82, 3, 0x83, 0x85, 9][random() as usize % 9];
        host.device.submit(Urb { seq, endpoint, setup, len: random() as usize % 1024, data: bytes, zero: random() & 1 == 0 });
        host.device.unlink(random());
    }
    for seq in 0..20_000 {
        host.device.unlink(seq);
    }
    assert_eq!(host.control([0x00, 9, 1, 0, 0, 0, 0, 0]), Ok(vec![]));
    assert_eq!(host.ask(&[0xF5], 2), [1, 0]);
}
