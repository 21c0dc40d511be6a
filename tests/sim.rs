//! The embedded board as its host sees it: raw ST-Link commands against what real probes and chips answered.

use rocd::error::Cause;
use rocd::sim::{Board, Config, Inject};
use rocd::usb::{Data, Pipe};
use std::time::Duration;

/// A board and the commands of one host.
struct Host {
    board: Board,
    pipe: Box<dyn Pipe>,
}

impl Host {
    fn new(chip: &str, probe: &str, firmware: Option<&str>) -> Host {
        let config = Config { chip: Some(chip.into()), probe: Some(probe.into()), firmware: firmware.map(Into::into), ..Config::default() };
        let board = Board::new(&config).unwrap();
        let pipe = board.pipe();
        Host { board, pipe }
    }

    /// In debug mode, at the fastest clock.
    fn entered(chip: &str, probe: &str) -> Host {
        let mut host = Host::new(chip, probe, None);
        host.send(&[0xF3, 0x07]);
        match probe {
            "v3" => assert_eq!(host.ask(&[0xF2, 0x61, 0, 0, 0xC0, 0x5D, 0, 0], 8), [0x80, 0, 0, 0, 0xC0, 0x5D, 0, 0]),
            _ => assert_eq!(host.ask(&[0xF2, 0x43, 0, 0], 2), [0x80, 0]),
        }
        assert_eq!(host.ask(&[0xF2, 0x30, 0xA3], 2), [0x80, 0]);
        host
    }

    fn ask(&mut self, command: &[u8], len: usize) -> Vec<u8> {
        let mut reply = vec![0; len];
        let got = self.pipe.transfer(command, Data::In(&mut reply)).unwrap();
        reply.truncate(got);
        reply
    }

    fn send(&mut self, command: &[u8]) {
        assert_eq!(self.pipe.transfer(command, Data::None).unwrap(), 0);
    }

    fn put(&mut self, command: &[u8], data: &[u8]) {
        assert_eq!(self.pipe.transfer(command, Data::Out(data)).unwrap(), data.len());
    }

    /// Status and value of a reply of 8 bytes.
    fn value(&mut self, command: &[u8]) -> (u8, u32) {
        let reply = self.ask(command, 8);
        assert_eq!(reply.len(), 8, "{command:02x?}");
        (reply[0], u32::from_le_bytes([reply[4], reply[5], reply[6], reply[7]]))
    }

    /// READ_DAP_REG; port 0xFFFF is the DP.
    fn dap(&mut self, port: u16, register: u16) -> (u8, u32) {
        self.value(&[&[0xF2, 0x45][..], &port.to_le_bytes(), &register.to_le_bytes()].concat())
    }

    /// WRITE_DAP_REG's status.
    fn set_dap(&mut self, port: u16, register: u16, value: u32) -> u8 {
        self.ask(&[&[0xF2, 0x46][..], &port.to_le_bytes(), &register.to_le_bytes(), &value.to_le_bytes()].concat(), 2)[0]
    }

    fn memory(op: u8, address: u32, len: usize, ap: u8, csw: u32) -> Vec<u8> {
        let (len, csw) = ((len as u16).to_le_bytes(), csw.to_le_bytes());
        [&[0xF2, op][..], &address.to_le_bytes(), &len, &[ap], &csw[1..]].concat()
    }

    fn read(&mut self, op: u8, address: u32, len: usize) -> Vec<u8> {
        self.ask(&Host::memory(op, address, len, 0, 0), len.max(2))
    }

    fn write(&mut self, op: u8, address: u32, data: &[u8]) {
        self.put(&Host::memory(op, address, data.len(), 0, 0), data);
    }

    /// Status and fault address of GETLASTRWSTATUS2.
    fn last(&mut self) -> (u8, u32) {
        let reply = self.ask(&[0xF2, 0x3E], 12);
        assert_eq!(reply.len(), 12);
        (reply[0], u32::from_le_bytes([reply[4], reply[5], reply[6], reply[7]]))
    }

    /// A word by READDEBUGREG.
    fn word(&mut self, address: u32) -> u32 {
        let (status, value) = self.value(&[&[0xF2, 0x36][..], &address.to_le_bytes()].concat());
        assert_eq!(status, 0x80, "word at {address:#010x}");
        value
    }

    fn set_word(&mut self, address: u32, value: u32) {
        let reply = self.ask(&[&[0xF2, 0x35][..], &address.to_le_bytes(), &value.to_le_bytes()].concat(), 2);
        assert_eq!(reply, [0x80, 0], "word at {address:#010x}");
    }

    /// A word behind any AP, with that AP's own CSW.
    fn word_at(&mut self, ap: u8, address: u32) -> u32 {
        let reply = self.ask(&Host::memory(0x07, address, 4, ap, 0), 4);
        assert_eq!(self.last().0, 0x80, "AP {ap}, word at {address:#010x}");
        u32::from_le_bytes([reply[0], reply[1], reply[2], reply[3]])
    }
}

/// What a V2J16 on an STM32F1 answered on the wire (usbmon of ST's own tool and of st-flash).
#[test]
fn a_v2j16_answers_byte_for_byte_as_it_was_seen_to() {
    let mut host = Host::new("f1-like", "v2", Some("V2J16S0"));
    // A chip that runs: vectors and `b .`, then the reset button.
    host.board.poke(0x0800_0000, &[0x00, 0x10, 0x00, 0x20, 0x09, 0x00, 0x00, 0x08, 0xFE, 0xE7]).unwrap();
    host.board.press_reset();
    assert_eq!(host.ask(&[0xF1, 0x80], 6), [0x24, 0x00, 0x83, 0x04, 0x48, 0x37]);
    assert_eq!(host.ask(&[0xF5], 2), [0x00, 0x01]);
    host.send(&[0xF3, 0x07]);
    let volts = host.ask(&[0xF7], 8);
    assert_eq!(volts[..4], [0x9B, 0x06, 0, 0]);
    let counts = u32::from_le_bytes([volts[4], volts[5], volts[6], volts[7]]);
    assert!((2.4 * counts as f32 / 1691.0 - 3.3).abs() < 0.001, "{counts}");
    assert_eq!(host.ask(&[0xF2, 0x30, 0xA3], 2), [0x80, 0x00]);
    assert_eq!(host.ask(&[0xF5], 2), [0x02, 0x00]);
    // DBGMCU_CR, then the core is halted: S_RESET_ST and S_RETIRE_ST read as one once.
    assert_eq!(host.ask(&[0xF2, 0x35, 0x04, 0x20, 0x04, 0xE0, 0x07, 0x01, 0, 0], 2), [0x80, 0x00]);
    assert_eq!(host.ask(&[0xF2, 0x35, 0xF0, 0xED, 0x00, 0xE0, 0x03, 0x00, 0x5F, 0xA0], 2), [0x80, 0x00]);
    assert_eq!(host.ask(&[0xF2, 0x36, 0xF0, 0xED, 0x00, 0xE0], 8), [0x80, 0, 0, 0, 0x03, 0x00, 0x03, 0x03]);
    assert_eq!(host.ask(&[0xF2, 0x36, 0xF0, 0xED, 0x00, 0xE0], 8), [0x80, 0, 0, 0, 0x03, 0x00, 0x03, 0x00]);
    // Reset with vector catch.
    host.set_word(0xE000_EDFC, 1);
    host.set_word(0xE000_ED0C, 0x05FA_0004);
    host.pipe.sleep(Duration::from_millis(10));
    assert_eq!(host.word(0xE000_ED0C) & 0xFFFF_0000, 0xFA05_0000);
    assert_eq!(host.word(0xE000_EDF0), 0x0203_0003);
    assert_eq!(host.word(0xE000_EDF0), 0x0003_0003);
    host.set_word(0xE000_EDFC, 0);
    assert_eq!(host.word(0xE000_ED00), 0x412F_C230);
    assert_eq!(host.word(0xE004_2000), 0x1018_6416);
    // xPSR, memory, status, trace.
    assert_eq!(host.ask(&[0xF2, 0x34, 0x10, 0x00, 0x00, 0x00, 0x01], 2), [0x80, 0x00]);
    host.put(&[0xF2, 0x08, 0x00, 0x00, 0x00, 0x20, 0x08, 0x00], &[1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(host.ask(&[0xF2, 0x3E], 12), [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(host.ask(&[0xF2, 0x07, 0x00, 0x00, 0x00, 0x20, 0x08, 0x00], 8), [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(host.ask(&[0xF2, 0x40, 0x00, 0x10, 0x80, 0x84, 0x1E, 0x00], 2), [0x80, 0x00]);
    host.board.swo(&[0x03, 0x41, 0x42]);
    assert_eq!(host.ask(&[0xF2, 0x42], 2), [3, 0]);
    let mut trace = [0; 3];
    assert_eq!((host.pipe.read_trace(&mut trace).unwrap(), trace), (3, [0x03, 0x41, 0x42]));
    assert_eq!(host.ask(&[0xF2, 0x41], 2), [0x80, 0x00]);
    host.send(&[0xF2, 0x21]);
    assert_eq!(host.ask(&[0xF5], 2)[0], 1);
}

#[test]
fn a_v3_tells_its_version_in_two_commands_and_its_clocks_in_a_list() {
    let mut host = Host::new("stm32h743", "v3", Some("V3J7M3B5S1"));
    assert_eq!(host.ask(&[0xF1], 6), [0x30, 0x00, 0x83, 0x04, 0x4E, 0x37]);
    assert_eq!(host.ask(&[0xFB], 12), [3, 1, 7, 3, 5, 0, 0, 0, 0x83, 0x04, 0x4E, 0x37]);
    let list = host.ask(&[0xF2, 0x62, 0], 52);
    let words: Vec<u32> = list[8..].chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect();
    assert_eq!((list[0], list.len(), &words[..8]), (0x80, 52, &[7, 24_000, 8_000, 3_300, 1_000, 200, 50, 5][..]));
    assert_eq!(host.ask(&[0xF2, 0x61, 0, 0, 0xA0, 0x0F, 0, 0], 8)[0], 0x41, "4000 kHz is not in the list");
}

/// A command that came with a later firmware is not known to an earlier one.
#[test]
fn firmware_knows_the_commands_of_its_time() {
    let known = |probe: &str, firmware: &str, op: u8| {
        let mut host = Host::new("f1-like", probe, Some(firmware));
        host.send(&[0xF3, 0x07]);
        host.ask(&[0xF2, 0x30, 0xA3], 2);
        // An odd length: refused, but known, where it is a memory command.
        let reply = host.ask(&[0xF2, op, 0, 0, 0, 0x20, 4, 0], 52);
        reply != [0x42, 0]
    };
    for (probe, op, before, from) in [
        ("v2", 0x40, "V2J12S0", "V2J13S0"),
        ("v2", 0x3E, "V2J14S0", "V2J15S0"),
        ("v2", 0x43, "V2J21S4", "V2J22S4"),
        ("v2", 0x45, "V2J23S4", "V2J24S4"),
        ("v2", 0x47, "V2J25S4", "V2J26S4"),
        ("v2", 0x4B, "V2J27S6", "V2J28S6"),
        ("v2-1", 0x53, "V2J31M21", "V2J32M22"),
        ("v3", 0x54, "V3J1M1", "V3J2M1"),
    ] {
        assert!(!known(probe, before, op), "{before} knows {op:02x}");
        assert!(known(probe, from, op), "{from} does not know {op:02x}");
    }
    assert!(!known("v2", "V2J37S7", 0x62) && known("v3", "V3J1M1", 0x62) && !known("v3", "V3J10M3", 0x43));
}

/// Values from real boards.
#[test]
fn an_h743_shows_its_debug_port_and_components() {
    for probe in ["v2", "v3"] {
        let mut host = Host::entered("stm32h743", probe);
        assert_eq!(host.ask(&[0xF2, 0x31], 12), [0x80, 0, 0, 0, 0x77, 0x24, 0xA0, 0x6B, 0, 0, 0, 0]);
        assert_eq!(host.dap(0xFFFF, 0x00), (0x80, 0x6BA0_2477));
        let (status, targetid) = host.dap(0xFFFF, 0x24);
        // Bits 27:12: part; 11:1: ST, continuation 0, code 0x20.
        assert_eq!((status, targetid & 0x0FFF_FFFF), (0x80, 0x0450_0041));
        assert_eq!(host.dap(0xFFFF, 0x34).1 & 0xF, 1, "DLPIDR.PROTVSN");
        for (ap, idr, base) in [(0, 0x8477_0001, 0xE00F_E003), (1, 0x8477_0001, 0), (2, 0x5477_0002, 0xE00E_0003)] {
            assert_eq!(host.ask(&[0xF2, 0x4B, ap], 2), [0x80, 0], "INIT_AP {ap}");
            assert_eq!(host.dap(u16::from(ap), 0xFC), (0x80, idr), "IDR of AP {ap}");
            let (_, there) = host.dap(u16::from(ap), 0xF8);
            match base {
                0 => assert_eq!(there & 1, 0, "AP 1 has no ROM table"),
                base => assert_eq!(there, base, "BASE of AP {ap}"),
            }
        }
        assert_eq!(host.ask(&[0xF2, 0x4B, 3], 2), [0x1D, 0], "there is no AP 3");
        assert_eq!(host.word(0xE000_ED00), 0x411F_C271);
        assert_eq!(host.word(0xE000_2000) & 0xFFFF_FFF0, 0x1000_0080, "8 breakpoints, FPB revision 2");
        assert_eq!(host.word(0xE000_1000) >> 28, 4, "4 watchpoints");
        assert_eq!(host.word_at(2, 0xE00E_1000) & 0xFFF, 0x450);
        assert_eq!(host.word_at(0, 0x5C00_1000), host.word_at(2, 0xE00E_1000));
        let flash_size = host.read(0x47, 0x1FF1_E880, 2);
        assert_eq!(u16::from_le_bytes([flash_size[0], flash_size[1]]), 2048);
    }
}

#[test]
fn a_g071_shows_its_debug_port_and_components() {
    let mut host = Host::entered("stm32g071", "v2-1");
    assert_eq!(host.dap(0xFFFF, 0x00), (0x80, 0x0BC1_1477));
    assert_eq!(host.dap(0xFFFF, 0x24), (0x80, 0), "a DPv1 has no TARGETID");
    assert_eq!(host.dap(0, 0xFC), (0x80, 0x0477_0031));
    assert_eq!(host.dap(0, 0xF8), (0x80, 0xF000_0003));
    assert_eq!(host.ask(&[0xF2, 0x4B, 1], 2), [0x1D, 0], "there is no AP 1");
    assert_eq!(host.word(0xE000_ED00), 0x410C_C601);
    assert_eq!(host.word(0xE000_2000) & 0xF0, 0x40, "4 breakpoints");
    assert_eq!(host.word(0xE000_1000) >> 28, 2, "2 watchpoints");
    assert_eq!(host.word(0x4001_5800) & 0xFFF, 0x460);
    assert_eq!(host.read(0x47, 0x1FFF_75E0, 2), [128, 0]);
}

#[test]
fn core_registers_go_through_dcrsr() {
    let mut host = Host::entered("stm32h743", "v3");
    host.set_word(0xE000_EDF0, 0xA05F_0003);
    assert_eq!(host.ask(&[0xF2, 0x34, 3, 0x78, 0x56, 0x34, 0x12], 2), [0x80, 0]);
    assert_eq!(host.value(&[0xF2, 0x33, 3]), (0x80, 0x1234_5678));
    let all = host.ask(&[0xF2, 0x3A], 88);
    assert_eq!((all.len(), all[0], &all[16..20]), (88, 0x80, &[0x78, 0x56, 0x34, 0x12][..]));
}

#[test]
fn tar_counts_within_its_block_only() {
    // 1 KiB on the M7, 4 KiB on the M3's AHB-AP (ADIv5.2 C2.2.2: at least 1 KiB).
    for (chip, firmware, last, ram) in [("stm32h743", None, 0x3FC, 0x2000_0000), ("f1-like", Some("V2J24S4"), 0xFFC, 0x2000_0000)] {
        let mut host = Host::new(chip, "v2", firmware);
        host.send(&[0xF3, 0x07]);
        host.ask(&[0xF2, 0x30, 0xA3], 2);
        let (_, csw) = host.dap(0, 0);
        assert_eq!(host.set_dap(0, 0x00, csw & !0x37 | 0x12), 0x80);
        assert_eq!(host.set_dap(0, 0x04, ram + last), 0x80);
        assert_eq!(host.set_dap(0, 0x0C, 0x1111_1111), 0x80);
        assert_eq!(host.dap(0, 0x04), (0x80, ram), "{chip}");
        assert_eq!(host.set_dap(0, 0x0C, 0x2222_2222), 0x80);
        assert_eq!(host.board.dump(ram + last, 4).unwrap(), [0x11; 4]);
        assert_eq!(host.board.dump(ram, 4).unwrap(), [0x22; 4]);
        // A block command does not care: it writes TAR anew.
        host.write(0x08, ram + last, &[1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(host.board.dump(ram + last, 8).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(host.read(0x07, ram + last, 8), [1, 2, 3, 4, 5, 6, 7, 8]);
    }
}

#[test]
fn bytes_and_halves_travel_in_their_lanes() {
    let mut host = Host::entered("stm32g071", "v2");
    let (_, csw) = host.dap(0, 0);
    host.set_dap(0, 0x00, csw & !0x37 | 0x10);
    host.set_dap(0, 0x04, 0x2000_0002);
    host.set_dap(0, 0x0C, 0x44AB_2211);
    assert_eq!(host.board.dump(0x2000_0000, 4).unwrap()[2], 0xAB);
    assert_eq!(host.dap(0, 0x04), (0x80, 0x2000_0003));
    host.board.poke(0x2000_0000, &[1, 2, 3, 4]).unwrap();
    host.set_dap(0, 0x04, 0x2000_0001);
    assert_eq!(host.dap(0, 0x0C), (0x80, 0x0000_0200));
    host.write(0x0D, 0x2000_0101, &[0xA1, 0xA2, 0xA3, 0xA4, 0xA5]);
    assert_eq!(host.read(0x0C, 0x2000_0101, 5), [0xA1, 0xA2, 0xA3, 0xA4, 0xA5]);
    assert_eq!(host.read(0x0C, 0x2000_0103, 1), [0xA3, 0], "one byte comes as two");
    host.write(0x48, 0x2000_0202, &[1, 2, 3, 4]);
    assert_eq!(host.read(0x47, 0x2000_0202, 4), [1, 2, 3, 4]);
    assert_eq!(host.board.dump(0x2000_0202, 4).unwrap(), [1, 2, 3, 4]);
}

#[test]
fn bd_registers_reach_four_words_around_tar() {
    let mut host = Host::entered("stm32h743", "v3");
    host.set_dap(0, 0x04, 0x2000_0014);
    assert_eq!(host.set_dap(0, 0x18, 0xCAFE_F00D), 0x80);
    assert_eq!(host.board.dump(0x2000_0018, 4).unwrap(), 0xCAFE_F00D_u32.to_le_bytes());
    assert_eq!(host.dap(0, 0x18), (0x80, 0xCAFE_F00D));
    assert_eq!(host.dap(0, 0x04), (0x80, 0x2000_0014));
}

#[test]
fn a_fault_by_dap_registers_sticks_until_abort() {
    let mut host = Host::entered("stm32g071", "v2");
    host.set_dap(0, 0x04, 0x6000_0000);
    assert_eq!(host.dap(0, 0x0C).0, 0x11);
    assert_eq!(host.dap(0xFFFF, 0x04).1 & 0x20, 0x20, "STICKYERR");
    assert_eq!(host.dap(0, 0xFC).0, 0x19);
    host.read(0x07, 0x2000_0000, 4);
    assert_eq!(host.last(), (0x19, 0x2000_0000));
    assert_eq!(host.set_dap(0xFFFF, 0x00, 0x04), 0x80);
    assert_eq!(host.dap(0xFFFF, 0x04).1 & 0x20, 0);
    assert_eq!(host.dap(0, 0xFC), (0x80, 0x0477_0031));
}

#[test]
fn a_fault_by_a_memory_command_names_its_address_and_does_not_stick() {
    let mut host = Host::entered("stm32h743", "v3");
    host.board.poke(0x2000_0400, &[0; 8]).unwrap();
    host.board.inject(Inject::Fault(0x2000_0404));
    for op in [0x08, 0x07] {
        match op {
            0x08 => host.write(op, 0x2000_03F0, &[0x5A; 64]),
            _ => drop(host.read(op, 0x2000_03F0, 64)),
        }
        assert_eq!(host.last(), (0x11, 0x2000_0404), "{op:02x}");
    }
    assert_eq!(host.board.dump(0x2000_0400, 8).unwrap(), [0x5A, 0x5A, 0x5A, 0x5A, 0, 0, 0, 0]);
    assert_eq!(host.dap(0xFFFF, 0x04).1 & 0x20, 0);
    host.board.inject(Inject::Heal);
    host.write(0x08, 0x2000_0404, &[1, 2, 3, 4]);
    assert_eq!(host.last(), (0x80, 0));
}

/// RM0433 4.3: a bank that works stalls whoever reads it; the firmware repeats for 2 ms, then says AP WAIT.
#[test]
fn a_busy_bank_makes_the_probe_wait_and_at_last_give_up() {
    let mut host = Host::entered("stm32h743", "v3");
    for key in [0x4567_0123, 0xCDEF_89AB] {
        host.set_word(0x5200_2004, key);
    }
    // PG, PSIZE x64, one flash word: about 100 µs.
    host.set_word(0x5200_200C, 0x32);
    host.write(0x08, 0x0800_0000, &[0x5A; 32]);
    let start = host.pipe.now();
    assert_eq!(host.read(0x07, 0x0800_0000, 4), [0x5A; 4]);
    let took = host.pipe.now() - start;
    assert!(took > Duration::from_micros(90) && took < Duration::from_micros(400), "{took:?}");
    assert_eq!(host.last().0, 0x80);
    // SER and START, sector 0: a second.
    host.set_word(0x5200_200C, 0x34);
    host.set_word(0x5200_200C, 0xB4);
    let start = host.pipe.now();
    host.read(0x07, 0x0800_0010, 4);
    let took = host.pipe.now() - start;
    assert!(took > Duration::from_micros(2000) && took < Duration::from_micros(2300), "{took:?}");
    assert_eq!(host.last(), (0x10, 0x0800_0010));
    assert_eq!(host.read(0x07, 0x0810_0000, 4), [0xFF; 4], "the other bank answers");
    assert_eq!(host.last().0, 0x80);
    host.pipe.sleep(Duration::from_secs(3));
    assert_eq!(host.read(0x07, 0x0800_0010, 4), [0xFF; 4]);
    assert_eq!(host.last().0, 0x80);
}

#[test]
fn without_debug_power_the_ap_is_an_error() {
    let mut host = Host::entered("stm32h743", "v3");
    assert_eq!(host.dap(0xFFFF, 0x04).1 & 0xF000_0000, 0xF000_0000, "requested and acknowledged");
    assert_eq!(host.set_dap(0xFFFF, 0x04, 0), 0x80);
    assert_eq!(host.dap(0xFFFF, 0x04).1 & 0xF000_0000, 0);
    assert_eq!(host.dap(0, 0xFC).0, 0x19);
    host.set_dap(0xFFFF, 0x00, 0x1E);
    host.set_dap(0xFFFF, 0x04, 0x5000_0000);
    assert_eq!(host.dap(0, 0xFC), (0x80, 0x8477_0001));
}

#[test]
fn memory_commands_have_limits() {
    let mut v2 = Host::entered("stm32g071", "v2");
    let mut old = Host::new("stm32g071", "v3", Some("V3J5M1"));
    old.ask(&[0xF2, 0x30, 0xA3], 2);
    let mut new = Host::entered("stm32g071", "v3");
    for (host, most) in [(&mut v2, 64), (&mut old, 64), (&mut new, 512)] {
        host.read(0x0C, 0x2000_0000, most);
        assert_eq!(host.last().0, 0x80);
        assert_eq!(host.read(0x0C, 0x2000_0000, most + 1).len(), most + 1);
        assert_ne!(host.last().0, 0x80, "{} bytes", most + 1);
    }
    v2.read(0x07, 0x2000_0000, 6144);
    assert_eq!(v2.last().0, 0x80);
    v2.read(0x07, 0x2000_0000, 6148);
    assert_ne!(v2.last().0, 0x80);
    for (op, address, len) in [(0x07, 0x2000_0002, 4), (0x07, 0x2000_0000, 6), (0x47, 0x2000_0001, 2)] {
        v2.read(op, address, len);
        assert_eq!(v2.last(), (0x0A, address), "{op:02x} {address:08x} {len}");
    }
    v2.board.poke(0x2000_0000, &[0; 3]).unwrap();
    v2.write(0x08, 0x2000_0000, &[0xA5; 3]);
    assert_eq!(v2.last().0, 0x0A);
    assert_eq!(v2.board.dump(0x2000_0000, 3).unwrap(), [0; 3]);
}

#[test]
fn an_ap_must_be_opened_first() {
    let mut host = Host::entered("stm32h743", "v3");
    assert_eq!(host.dap(2, 0xFC).0, 0x1D);
    host.ask(&Host::memory(0x07, 0xE00E_1000, 4, 2, 0), 4);
    assert_eq!(host.last().0, 0x1D);
    assert_eq!(host.ask(&[0xF2, 0x4B, 2], 2), [0x80, 0]);
    assert_eq!(host.word_at(2, 0xE00E_1000) & 0xFFF, 0x450);
    assert_eq!(host.ask(&[0xF2, 0x4C, 2], 2), [0x80, 0]);
    assert_eq!(host.dap(2, 0xFC).0, 0x1D);
}

/// Opcodes padded to a word, then the values; results, then statuses.
fn batch(host: &mut Host, items: &[(u8, u32)]) -> (Vec<u32>, Vec<u32>) {
    let mut data: Vec<u8> = items.iter().map(|item| item.0).collect();
    data.resize(items.len().next_multiple_of(4), 0);
    data.extend(items.iter().flat_map(|item| item.1.to_le_bytes()));
    host.put(&[&[0xF2, 0x51][..], &(items.len() as u32).to_le_bytes()].concat(), &data);
    let reply = host.ask(&[0xF2, 0x52], 8 * items.len());
    let mut words: Vec<u32> = reply.chunks_exact(4).map(|word| u32::from_le_bytes([word[0], word[1], word[2], word[3]])).collect();
    let states = words.split_off(words.len() / 2);
    (words, states)
}

#[test]
fn a_batch_reads_and_writes_words_in_order() {
    let mut host = Host::entered("stm32h743", "v3");
    host.ask(&[0xF2, 0x4B, 2], 2);
    let items = [(1, 0x2000_0000), (2, 0xAA55_AA55), (3, 0x2000_0000), (5, 2), (3, 0xE00E_1000)];
    let (results, states) = batch(&mut host, &items);
    assert_eq!((results[2], results[4] & 0xFFF, &states[..]), (0xAA55_AA55, 0x450, &[0x80; 5][..]));
    host.board.poke(0x2000_0020, &[0; 4]).unwrap();
    host.board.inject(Inject::Fault(0x2000_0010));
    let (results, states) = batch(&mut host, &[(3, 0x2000_0000), (3, 0x2000_0010), (1, 0x2000_0020), (2, 7)]);
    assert_eq!((results[0], &states[..]), (0xAA55_AA55, &[0x80, 0x11, 0x11, 0x11][..]));
    assert_eq!(host.board.dump(0x2000_0020, 4).unwrap(), [0; 4], "nothing is done after an item that failed");
    // The example of OpenOCD: 53 registers are 213 items.
    assert_eq!(batch(&mut host, &[(3, 0x2000_0000); 213]).0.len(), 213);
    assert_eq!(host.ask(&[0xF2, 0x53], 8)[4..6], 1227_u16.to_le_bytes());
}

/// Published rates of 16 KiB to and from RAM of an H743, KiB/s; the model was fitted to them to within 3.1 %.
#[test]
fn ram_moves_as_fast_as_was_measured() {
    for (probe, chunk, write, read) in [("v2", 4096, 156.8, 175.9), ("v3", 16384, 1081.0, 743.0)] {
        let mut host = Host::entered("stm32h743", probe);
        let start = host.pipe.now();
        for at in (0..16384).step_by(chunk) {
            host.write(0x08, 0x2400_0000 + at as u32, &vec![0x5A; chunk]);
            assert_eq!(host.last().0, 0x80);
        }
        let wrote = 16.0 / (host.pipe.now() - start).as_secs_f64();
        let start = host.pipe.now();
        for at in (0..16384).step_by(4096) {
            host.read(0x07, 0x2400_0000 + at as u32, 4096);
            assert_eq!(host.last().0, 0x80);
        }
        let got = 16.0 / (host.pipe.now() - start).as_secs_f64();
        assert!((wrote / write - 1.0).abs() < 0.04, "{probe} writes {wrote:.1} KiB/s, {write} was measured");
        assert!((got / read - 1.0).abs() < 0.04, "{probe} reads {got:.1} KiB/s, {read} was measured");
    }
}

#[test]
fn time_is_the_boards_own() {
    let mut host = Host::entered("stm32h743", "v2");
    let start = host.pipe.now();
    host.pipe.sleep(Duration::from_secs(5));
    assert_eq!(host.pipe.now() - start, Duration::from_secs(5));
    host.ask(&[0xF1], 6);
    assert_eq!(host.pipe.now() - start, Duration::from_micros(5_000_080));
}

#[test]
fn a_pulled_plug_ends_the_pipe_for_good() {
    let mut host = Host::entered("stm32g071", "v2");
    host.write(0x08, 0x2000_0000, &[9, 8, 7, 6]);
    host.board.inject_after(2, Inject::Unplug);
    host.ask(&[0xF5], 2);
    host.ask(&[0xF5], 2);
    let gone = |host: &mut Host| host.pipe.transfer(&[0xF5], Data::In(&mut [0; 2])).unwrap_err().cause;
    assert_eq!(gone(&mut host), Cause::Unplugged);
    host.board.plug();
    assert_eq!(gone(&mut host), Cause::Unplugged, "a handle from before");
    host.pipe = host.board.pipe();
    assert_eq!(host.ask(&[0xF5], 2), [0, 1], "it started over");
    assert_eq!(host.board.dump(0x2000_0000, 4).unwrap(), [9, 8, 7, 6], "the chip kept its supply");
}

#[test]
fn what_is_injected_happens_once() {
    let mut host = Host::entered("stm32g071", "v2");
    host.board.inject(Inject::Wait(2));
    for _ in 0..2 {
        let start = host.pipe.now();
        host.read(0x07, 0x2000_0000, 4);
        assert_eq!(host.last().0, 0x10);
        assert!(host.pipe.now() - start >= Duration::from_millis(2));
    }
    host.read(0x07, 0x2000_0000, 4);
    assert_eq!(host.last().0, 0x80);
    host.board.inject(Inject::Parity);
    assert_eq!(host.dap(0xFFFF, 0x00).0, 0x17);
    host.board.inject(Inject::ShortReply(1));
    assert_eq!(host.ask(&[0xF5], 2), [2]);
    let fails = |host: &mut Host, what: Inject| {
        host.board.inject(what);
        host.pipe.transfer(&[0xF5], Data::In(&mut [0; 2])).unwrap_err().cause
    };
    assert_eq!(fails(&mut host, Inject::Stall), Cause::Link);
    assert_eq!(fails(&mut host, Inject::Silent), Cause::Timeout);
    assert_eq!(host.ask(&[0xF5], 2), [2, 0]);
}

#[test]
fn a_data_phase_cut_short_spoils_only_its_own_command() {
    let mut host = Host::entered("stm32g071", "v2");
    host.board.poke(0x2000_0000, &[0; 8]).unwrap();
    host.put(&[0xF2, 0x08, 0, 0, 0, 0x20, 8, 0], &[1, 2, 3, 4]);
    assert_eq!(host.ask(&[0xF5], 2), [2, 0]);
    assert_eq!(host.last(), (0x08, 0x2000_0000));
    assert_eq!(host.board.dump(0x2000_0000, 8).unwrap(), [0; 8]);
    // More items than there are: nothing is waited for.
    host.send(&[0xF2, 0x51, 0xFF, 0xFF, 0xFF, 0xFF]);
    assert_eq!(host.ask(&[0xF2, 0x52], 2), [0x08, 0]);
    assert_eq!(host.ask(&[0xF5], 2), [2, 0]);
}

/// Noise: nothing but answers and errors, and the probe is usable afterwards.
#[test]
fn no_bytes_make_the_probe_fall_over() {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    for (chip, probe) in [("stm32h743", "v3"), ("stm32g071", "v2"), ("f1-like", "v2-1")] {
        let mut host = Host::entered(chip, probe);
        for _ in 0..3000 {
            let mut command: Vec<u8> = (0..16).map(|_| random() as u8).collect();
            // Mostly debug commands, of a few hundred bytes at most, so that it ends.
            if random() % 8 != 0 {
                (command[0], command[1], command[7]) = (0xF2, (random() % 0x64) as u8, 0);
            }
            let data: Vec<u8> = (0..random() % 80).map(|_| random() as u8).collect();
            match random() % 3 {
                0 => drop(host.pipe.transfer(&command, Data::None)),
                1 => drop(host.pipe.transfer(&command, Data::Out(&data))),
                _ => drop(host.pipe.transfer(&command, Data::In(&mut [0; 600]))),
            }
        }
        host.pipe.reset().unwrap();
        host.send(&[0xF3, 0x07]);
        host.ask(&[0xF2, 0x3C, 1], 2);
        host.pipe.sleep(Duration::from_secs(60));
        assert_eq!(host.ask(&[0xF2, 0x30, 0xA3], 2), [0x80, 0], "{chip}");
        assert_eq!(host.word(0xE000_ED00) >> 24, 0x41, "{chip}");
    }
}

#[test]
fn a_reply_that_does_not_fit_is_an_overflow_as_on_usb() {
    let mut host = Host::entered("stm32g071", "v2");
    let error = host.pipe.transfer(&[0xF1], Data::In(&mut [0; 4])).unwrap_err();
    assert_eq!(error.message, "the probe sent 6 bytes where 4 were asked for");
    assert_eq!(host.ask(&[0xF5], 2), [2, 0], "and the next command is answered");
}

#[test]
fn every_command_is_on_record() {
    let mut host = Host::new("stm32g071", "v2", None);
    host.board.record(true);
    host.ask(&[0xF1], 6);
    host.send(&[0xF3, 0x07]);
    host.ask(&[0xF2, 0x30, 0xA3], 2);
    host.write(0x08, 0x2000_0000, &[1, 2, 3, 4]);
    let lines: Vec<String> = host.board.log().iter().map(ToString::to_string).collect();
    assert_eq!(lines[..2], ["0.080 f1 < 29 47 83 04 48 37", "0.128 f3 07"]);
    assert!(lines[2].ends_with(" f2 30 a3 < 80 00"), "{}", lines[2]);
    assert!(lines[3].ends_with(" f2 08 00 00 00 20 04 > 01 02 03 04"), "{}", lines[3]);
}

#[test]
fn nrst_holds_the_chip() {
    let mut host = Host::entered("stm32h743", "v3");
    assert_eq!(host.ask(&[0xF2, 0x3C, 0], 2), [0x80, 0]);
    assert_eq!(host.dap(0xFFFF, 0x00), (0x80, 0x6BA0_2477), "the debug port answers under reset");
    host.ask(&[0xF2, 0x4B, 2], 2);
    assert_eq!(host.word_at(2, 0xE00E_1000) & 0xFFF, 0x450, "and so does AP 2");
    assert_eq!(host.ask(&[0xF2, 0x3C, 1], 2), [0x80, 0]);
    host.pipe.sleep(Duration::from_millis(10));
    assert_ne!(host.word(0xE000_EDF0) & 1 << 25, 0, "S_RESET_ST");
    assert_eq!(host.word(0xE000_EDF0) & 1 << 25, 0, "read once");
}

#[test]
fn a_power_cycle_forgets_ram_and_the_debug_port_but_no_flash() {
    let mut host = Host::entered("stm32g071", "v2");
    host.board.poke(0x0800_0000, &[1, 2, 3, 4]).unwrap();
    host.write(0x08, 0x2000_0000, &[1, 2, 3, 4]);
    host.board.power_cycle();
    assert_eq!(host.dap(0xFFFF, 0x00).0, 0x16, "no line reset since: nobody answers");
    assert_eq!(host.ask(&[0xF2, 0x30, 0xA3], 2), [0x80, 0]);
    assert_eq!(host.read(0x07, 0x0800_0000, 4), [1, 2, 3, 4]);
    assert_ne!(host.read(0x07, 0x2000_0000, 4), [1, 2, 3, 4]);
}

/// Packets as a bus splits them.
mod packets {
    use rocd::sim::chips::CHIPS;
    use rocd::sim::probes::{Firmware, Kind};
    use rocd::sim::stlink::StLink;

    #[test]
    fn a_data_phase_may_come_and_go_in_pieces() {
        let kind = Kind::named("v2").unwrap();
        let row = CHIPS.iter().find(|row| row.name == "stm32g071").unwrap();
        let mut probe = StLink::new(kind, Firmware::parse(kind.firmware, kind).unwrap(), row);
        assert_eq!(probe.input(64), None, "nothing was asked");
        probe.out(&[0xF3, 0x07]);
        probe.out(&[0xF2, 0x30, 0xA3]);
        assert_eq!(probe.input(64), Some(vec![0x80, 0]));
        probe.out(&[0xF2, 0x08, 0, 0, 0, 0x20, 100, 0]);
        let data: Vec<u8> = (0..100).collect();
        probe.out(&data[..64]);
        assert_eq!(probe.input(64), None);
        probe.out(&data[64..]);
        probe.out(&[0xF2, 0x07, 0, 0, 0, 0x20, 100, 0]);
        assert_eq!((probe.input(64), probe.waiting()), (Some(data[..64].to_vec()), 36));
        assert_eq!((probe.input(64), probe.input(64)), (Some(data[64..].to_vec()), None));
        // A reply that nobody fetched does not come later.
        probe.out(&[0xF1]);
        probe.out(&[0xF5]);
        assert_eq!((probe.input(64), probe.input(64)), (Some(vec![2, 0]), None));
    }
}

/// ST's server protocol, by a client that speaks it raw.
mod tcp {
    use rocd::sim::serve::{Clock, Heard, Server};
    use rocd::sim::{Board, Config};
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpStream};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;
    use std::thread::JoinHandle;
    use std::time::Duration;

    /// Boards live in the thread that serves them.
    struct Served {
        address: SocketAddr,
        stop: Arc<AtomicBool>,
        thread: Option<JoinHandle<usize>>,
    }

    impl Served {
        fn new(chips: &'static [&'static str]) -> Served {
            let (tell, told) = mpsc::channel();
            let stop = Arc::new(AtomicBool::new(false));
            let stopped = stop.clone();
            let thread = std::thread::spawn(move || {
                let config = |chip: &&str| Config { chip: Some(chip.to_string()), probe: Some("v3".into()), ..Config::default() };
                let boards = chips.iter().enumerate().map(|(n, chip)| Board::numbered(&config(chip), n as u32).unwrap()).collect();
                let mut server = Server::new(boards, Clock::Virtual);
                tell.send(server.stlink("127.0.0.1:0").unwrap()).unwrap();
                let mut left = 0;
                while !stopped.load(Ordering::Relaxed) {
                    left += usize::from(matches!(server.next(Duration::from_millis(10)), Some(Heard::Left)));
                }
                server.close();
                left
            });
            Served { address: told.recv().unwrap(), stop, thread: Some(thread) }
        }

        fn client(&self) -> Client {
            let stream = TcpStream::connect(self.address).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            Client(stream)
        }

        /// How many clients left while it served.
        fn end(mut self) -> usize {
            self.stop.store(true, Ordering::Relaxed);
            self.thread.take().unwrap().join().unwrap()
        }
    }

    struct Client(TcpStream);

    impl Client {
        fn ask(&mut self, request: &[u8], len: usize) -> Vec<u8> {
            self.0.write_all(request).unwrap();
            let mut reply = vec![0; len];
            self.0.read_exact(&mut reply).unwrap();
            reply
        }

        fn open(&mut self, device: usize) -> u32 {
            let info = self.ask(&[2, device as u8, 0, 0, 41, 0, 0, 0], 45);
            assert_eq!((word(&info, 0), &info[40..45]), (1, &[0x83, 0x04, 0x4E, 0x37, 0][..]));
            let opened = self.ask(&[&[3, 0, 0, 0], &info[4..8]].concat(), 8);
            assert_eq!(word(&opened, 0), 1);
            assert_ne!(word(&opened, 4), 0);
            word(&opened, 4)
        }

        /// Status and reply of a command with `size` bytes in.
        fn command(&mut self, connection: u32, command: &[u8], size: usize) -> (u32, Vec<u8>) {
            let reply = self.ask(&request(connection, command, 1, size), 4 + size);
            (word(&reply, 0), reply[4..].to_vec())
        }

        fn closed(&mut self) -> bool {
            // A reset counts: the server may close with bytes of ours unread.
            self.0.read(&mut [0]).map_or(true, |count| count == 0)
        }
    }

    fn request(connection: u32, command: &[u8], direction: u8, size: usize) -> Vec<u8> {
        let mut bytes = [&[5, 0, 0, 0][..], &connection.to_le_bytes(), command].concat();
        bytes.resize(24, 0);
        bytes.extend([direction, 0, 0, 0]);
        bytes.extend((size as u32).to_le_bytes());
        bytes
    }

    fn word(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
    }

    #[test]
    fn a_client_lists_opens_commands_and_closes() {
        let served = Served::new(&["stm32g071", "stm32h743"]);
        let mut client = served.client();
        assert_eq!(word(&client.ask(&[6, 1, 0, 0], 16), 0), 3, "API 3");
        assert_eq!(client.ask(&[0, 0], 4), [1, 0, 0, 0]);
        assert_eq!(client.ask(&[1], 4), [2, 0, 0, 0]);
        let info = client.ask(&[2, 1, 0, 0, 41, 0, 0, 0], 45);
        assert_eq!(info[8..40], *b"526F6364426F617264000001\0\0\0\0\0\0\0\0");
        let (g0, h7) = (client.open(0), client.open(1));
        assert_eq!(client.command(g0, &[0xF1], 6), (1, vec![0x30, 0, 0x83, 4, 0x4E, 0x37]));
        for (connection, dpidr) in [(g0, 0x0BC1_1477), (h7, 0x6BA0_2477)] {
            assert_eq!(client.command(connection, &[0xF2, 0x30, 0xA3], 2), (1, vec![0x80, 0]));
            assert_eq!(word(&client.command(connection, &[0xF2, 0x31], 12).1, 4), dpidr);
        }
        let mut write = request(g0, &[0xF2, 0x08, 0, 0, 0, 0x20, 8, 0], 0, 8);
        write.extend([1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(client.ask(&write, 4), [1, 0, 0, 0]);
        assert_eq!(client.command(g0, &[0xF2, 0x07, 0, 0, 0, 0x20, 8, 0], 8), (1, vec![1, 2, 3, 4, 5, 6, 7, 8]));
        // EXIT: a read of nothing.
        assert_eq!(client.command(g0, &[0xF2, 0x21], 0), (1, vec![]));
        assert_eq!(client.ask(&[&[4, 0, 0, 0][..], &g0.to_le_bytes()].concat(), 4), [1, 0, 0, 0]);
        assert_eq!(client.command(g0, &[0xF5], 2), (0x1002, vec![0, 0]), "closed");
        assert_eq!(word(&client.ask(&[2, 2, 0, 0, 41, 0, 0, 0], 45), 0), 0x1002, "there is no third board");
        assert_eq!(client.ask(&[3, 0, 0, 0, 9, 9, 9, 9], 8), [0x03, 0x10, 0, 0, 0, 0, 0, 0]);
        drop(client);
        std::thread::sleep(Duration::from_millis(200));
        assert_eq!(served.end(), 1);
    }

    #[test]
    fn garbage_and_half_messages_cost_nobody_else_anything() {
        let served = Served::new(&["stm32g071"]);
        let mut good = served.client();
        let connection = good.open(0);
        let mut half = served.client();
        half.0.write_all(&request(connection, &[0xF5], 1, 2)[..20]).unwrap();
        let mut browser = served.client();
        browser.0.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
        let mut huge = served.client();
        huge.0.write_all(&request(connection, &[0xF5], 1, 1 << 30)).unwrap();
        let mut thief = served.client();
        assert_eq!(thief.command(connection, &[0xF5], 2).0, 0x1002, "another client's connection");
        for _ in 0..20 {
            assert_eq!(good.command(connection, &[0xF5], 2), (1, vec![1, 0]));
        }
        assert!(browser.closed());
        assert!(huge.closed());
        // A client that leaves without a word takes only its own connection with it.
        let mut second = served.client();
        let other = second.open(0);
        assert_ne!(other, connection);
        drop(second);
        assert_eq!(good.command(connection, &[0xF5], 2), (1, vec![1, 0]));
        served.end();
        assert!(good.closed());
    }

    #[test]
    fn a_taken_port_is_named() {
        let served = Served::new(&["stm32g071"]);
        let address = served.address.to_string();
        let mut second = Server::new(Vec::new(), Clock::Virtual);
        for error in [second.stlink(&address).unwrap_err(), second.usbip(&address).unwrap_err()] {
            assert!(error.message.starts_with(&format!("cannot listen on {address}: ")), "{error}");
        }
        served.end();
    }
}

/// `rocd sim serve`, the program.
mod program {
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpStream;
    use std::path::Path;
    use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
    use std::time::{Duration, Instant};

    struct Served {
        child: Child,
        stdin: Option<ChildStdin>,
        stdout: BufReader<ChildStdout>,
        port: u16,
    }

    impl Served {
        fn new(words: &[&str]) -> Served {
            let mut child = Command::new(env!("CARGO_BIN_EXE_rocd"))
                .args(["sim", "serve", "--stlink-tcp", "127.0.0.1:0"])
                .args(words)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .unwrap();
            let (stdin, stdout) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
            let mut served = Served { child, stdin, stdout, port: 0 };
            let line = served.heard();
            let port = line.strip_prefix("stlink-tcp 127.0.0.1:").and_then(|port| port.parse().ok());
            served.port = port.unwrap_or_else(|| panic!("it said {line:?}"));
            served
        }

        fn heard(&mut self) -> String {
            let mut line = String::new();
            self.stdout.read_line(&mut line).unwrap();
            line.trim_end().to_string()
        }

        /// The answer to a line: everything up to `ok`, or the error.
        fn ask(&mut self, line: &str) -> Vec<String> {
            writeln!(self.stdin.as_mut().unwrap(), "{line}").unwrap();
            let mut said = vec![self.heard()];
            while !matches!(said.last().map(String::as_str), Some("ok" | "")) && !said[said.len() - 1].starts_with("error:") {
                said.push(self.heard());
            }
            said
        }

        fn ended(&mut self) -> ExitStatus {
            let end = Instant::now() + Duration::from_secs(10);
            while Instant::now() < end {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return status;
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            panic!("it goes on");
        }

        fn devices(&self) -> u8 {
            let mut client = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
            client.write_all(&[1]).unwrap();
            let mut count = [0; 4];
            client.read_exact(&mut count).unwrap();
            count[0]
        }
    }

    impl Drop for Served {
        /// After a failed assertion nobody else would end it.
        fn drop(&mut self) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }

    fn dumped(served: &mut Served, folder: &Path, words: &str) -> Vec<u8> {
        let file = folder.join("dump.bin");
        let said = served.ask(&format!("sim dump \"{}\" {words}", file.display()));
        assert_eq!(said[said.len() - 1], "ok", "{said:?}");
        std::fs::read(file).unwrap()
    }

    #[test]
    fn lines_from_stdin_are_answered_and_act_on_the_chosen_board() {
        let folder = tempfile::tempdir().unwrap();
        let mut served = Served::new(&["--board", "stm32g071,v3", "--board", "stm32h743,v2-1:V2J31M21,303030303030303030303031"]);
        assert_eq!(served.ask("sim poke 0x20000000 1 2 3 4"), ["ok"]);
        assert_eq!(served.ask("sim board 1"), ["ok"]);
        assert_eq!(served.ask("sim poke 0x24000000 5 6 7 8"), ["ok"]);
        assert_eq!(dumped(&mut served, folder.path(), "0x24000000 4"), [5, 6, 7, 8]);
        let list = served.ask("sim board");
        assert_eq!(list, ["  0 stm32g071 v3 526F6364426F617264000000", "* 1 stm32h743 v2-1 303030303030303030303031", "ok"]);
        assert!(served.ask("sim board 2")[0].starts_with("error: there is no board 2; hint: "));
        assert_eq!(served.ask("sim board 0"), ["ok"]);
        assert_eq!(dumped(&mut served, folder.path(), "0x20000000 4"), [1, 2, 3, 4]);
        assert!(served.ask("sim poke 0x24000000 1")[0].starts_with("error: stm32g071 has nothing at 0x24000000"));
        assert!(served.ask("simm flash")[0].starts_with("error: unknown command `simm`"));
        assert!(served.ask("sim serve")[0].starts_with("error: the boards are being served already"));
        assert!(served.ask("sim flash").len() > 1);
        assert_eq!(served.devices(), 2);
        assert_eq!(served.ask("sim unplug"), ["ok"]);
        assert_eq!(served.devices(), 1);
        assert_eq!(served.ask("sim plug"), ["ok"]);
        assert_eq!(served.devices(), 2);
        writeln!(served.stdin.as_mut().unwrap(), "shutdown").unwrap();
        assert!(served.ended().success());
    }

    #[test]
    fn the_state_is_loaded_at_the_start_and_kept_when_a_client_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let state = folder.path().join("board.state");
        let words = ["--board", "stm32g071", "--state", state.to_str().unwrap()];
        let mut first = Served::new(&words);
        first.ask("sim poke 0x08000000 0xca 0xfe");
        assert!(!state.exists());
        first.devices();
        let end = Instant::now() + Duration::from_secs(5);
        while !state.exists() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(10));
        }
        let at_leaving = std::fs::read(&state).unwrap();
        first.ask("sim poke 0x08000002 0xba 0xbe");
        writeln!(first.stdin.as_mut().unwrap(), "shutdown").unwrap();
        assert!(first.ended().success());
        assert_ne!(std::fs::read(&state).unwrap(), at_leaving, "written at exit too");
        let mut second = Served::new(&words);
        assert_eq!(dumped(&mut second, folder.path(), "0x08000000 4"), [0xCA, 0xFE, 0xBA, 0xBE]);
    }

    #[test]
    fn an_interface_file_keeps_flash_between_runs() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kept.toml");
        let text = "driver = \"stlink\"\ntransport = \"sim\"\n[sim]\nchip = \"stm32g071\"\nstate = \"board.state\"\n";
        std::fs::write(&file, text).unwrap();
        let run = |line: &str| {
            let output = Command::new(env!("CARGO_BIN_EXE_rocd")).current_dir(folder.path()).args(["-f", "kept.toml", "-c", line]).output();
            let output = output.unwrap();
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run("sim poke 0x08000000 0xca 0xfe");
        run("sim dump flash.bin 0x08000000 2");
        assert_eq!(std::fs::read(folder.path().join("flash.bin")).unwrap(), [0xCA, 0xFE]);
    }

    #[cfg(unix)]
    #[test]
    fn the_end_of_stdin_does_not_end_it_but_a_signal_does() {
        for signal in ["-INT", "-TERM"] {
            let mut served = Served::new(&["--board", "stm32g071"]);
            drop(served.stdin.take());
            std::thread::sleep(Duration::from_millis(200));
            assert_eq!(served.devices(), 1);
            let sent = Command::new("kill").args([signal, &served.child.id().to_string()]).status().unwrap();
            assert!(sent.success());
            assert_eq!(served.ended().code(), Some(0), "{signal}");
        }
    }

    #[test]
    fn what_cannot_be_served_is_named() {
        let served = Served::new(&["--board", "stm32g071"]);
        let taken = format!("127.0.0.1:{}", served.port);
        for (words, code, said) in [
            (&["--stlink-tcp", &taken][..], 1, format!("error: cannot listen on {taken}: ")),
            (&["--usbip", &taken], 1, format!("error: cannot listen on {taken}: ")),
            (&["--usbip", "nowhere"], 2, "error: `nowhere` is no address to listen on".into()),
            (&["--vhci", "8"], 2, "error: 1 board does not fit behind port 8 of vhci_hcd".into()),
            (&["--board", "stm32z9"], 2, "error: the board has no chip `stm32z9`".into()),
            (&["--board", "stm32g071,v4"], 2, "error: the board has no probe `v4`".into()),
            (&["--board", "stm32g071,v3:V2J37S7"], 2, "error: `V2J37S7` is no firmware of a v3 probe".into()),
            (&["--board", "stm32g071,v3,12"], 2, "error: `12` is no serial number".into()),
        ] {
            let output = Command::new(env!("CARGO_BIN_EXE_rocd")).args(["sim", "serve"]).args(words).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert!(stderr.contains(&said), "{words:?}: {stderr}");
            assert_eq!(output.status.code(), Some(code), "{words:?}");
        }
    }
}
