//! USB/IP (Linux Documentation/usb/usbip_protocol.rst), version 1.1.1: devices over TCP, or over a socket to a kernel.
//!
//! Big endian throughout. A connection asks (8 bytes: version, operation, status) for the list of devices or for one of
//! them; from then on its messages are transfers, 48 bytes each, with data behind a SUBMIT that goes out.

use super::super::Board;
#[cfg(target_os = "linux")]
use super::descriptors::Speed;
use super::descriptors::{BCD_DEVICE, Shape};
use super::usb::{Done, ECONNRESET, Urb};
use super::{garbage, take};
use std::io::{self, Read};

const VERSION: u16 = 0x0111;
const DEVLIST: u16 = 0x8005;
const IMPORT: u16 = 0x8003;
/// A reply has the request's number without this bit.
const IS_REQUEST: u16 = 0x8000;
const REFUSED: u32 = 1;

const CMD_SUBMIT: u32 = 1;
const CMD_UNLINK: u32 = 2;
const RET_SUBMIT: u32 = 3;
const RET_UNLINK: u32 = 4;
/// transfer_flags: a packet of no bytes ends whole packets (Linux include/linux/usb.h).
const ZERO_PACKET: u32 = 0x40;
/// An ST-Link moves 65,532 bytes at most.
const LONGEST: usize = 1 << 20;

/// What a connection asks before it has a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    List,
    Import { bus_id: String },
}

/// What a host says to its device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    Submit(Urb),
    Unlink { seq: u32, victim: u32 },
}

pub fn read_request(from: &mut impl Read) -> io::Result<Request> {
    let head = take::<8>(from)?;
    let half = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    match (half(0), half(2)) {
        (VERSION, DEVLIST) => Ok(Request::List),
        (VERSION, IMPORT) => {
            let bus_id = take::<32>(from)?;
            let len = bus_id.iter().position(|byte| *byte == 0).unwrap_or(bus_id.len());
            Ok(Request::Import { bus_id: String::from_utf8_lossy(&bus_id[..len]).into_owned() })
        }
        _ => Err(garbage()),
    }
}

/// One message, whole. Isochronous transfers are not for these devices.
pub fn read_message(from: &mut impl Read) -> io::Result<Message> {
    let head = take::<48>(from)?;
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let seq = word(4);
    match word(0) {
        CMD_UNLINK => Ok(Message::Unlink { seq, victim: word(20) }),
        CMD_SUBMIT => {
            let (input, number, len, packets) = (word(12) == 1, word(16), word(24) as usize, word(32));
            if number > 15 || word(12) > 1 || len > LONGEST || !matches!(packets, 0 | u32::MAX) {
                return Err(garbage());
            }
            let mut data = vec![0; if input { 0 } else { len }];
            from.read_exact(&mut data)?;
            let mut setup = [0; 8];
            setup.copy_from_slice(&head[40..48]);
            let endpoint = number as u8 | if input { 0x80 } else { 0 };
            let zero = word(20) & ZERO_PACKET != 0;
            Ok(Message::Submit(Urb { seq, endpoint, setup, len: if input { len } else { 0 }, data, zero }))
        }
        _ => Err(garbage()),
    }
}

/// These boards, each with its number.
pub fn list(boards: &[(usize, &Board)]) -> Vec<u8> {
    let mut reply = head(DEVLIST, 0);
    reply.extend((boards.len() as u32).to_be_bytes());
    for (number, board) in boards {
        reply.extend(device(*number, board));
        let classes = shape(board).interfaces.iter().map(|interface| interface.class);
        reply.extend(classes.flat_map(|[class, subclass, protocol]| [class, subclass, protocol, 0]));
    }
    reply
}

/// The answer to IMPORT.
pub fn imported(number: usize, board: &Board) -> Vec<u8> {
    [head(IMPORT, 0), device(number, board)].concat()
}

pub fn refused() -> Vec<u8> {
    head(IMPORT, REFUSED)
}

/// Bus 1 is the board's hub, whose first port is 1.
pub fn bus_id(number: usize) -> String {
    format!("1-{}", number + 1)
}

/// Bus number above 16 bits of device number; the root hub is device 1.
pub fn device_id(number: usize) -> u32 {
    1 << 16 | (number as u32 + 2)
}

#[cfg(target_os = "linux")]
pub fn speed(board: &Board) -> Speed {
    shape(board).speed
}

fn shape(board: &Board) -> &'static Shape {
    Shape::of(board.0.borrow().probe.kind)
}

fn head(operation: u16, status: u32) -> Vec<u8> {
    [&VERSION.to_be_bytes()[..], &(operation & !IS_REQUEST).to_be_bytes(), &status.to_be_bytes()].concat()
}

/// The 312 bytes that both replies show a device with.
fn device(number: usize, board: &Board) -> Vec<u8> {
    let (found, shape) = (board.found(), shape(board));
    let mut bytes = format!("/sys/devices/rocd/usb1/{}", bus_id(number)).into_bytes();
    bytes.resize(256, 0);
    bytes.extend(bus_id(number).into_bytes());
    bytes.resize(288, 0);
    let id = device_id(number);
    bytes.extend([id >> 16, id & 0xFFFF, shape.speed as u32].map(u32::to_be_bytes).concat());
    bytes.extend([found.vid, found.pid, BCD_DEVICE].map(u16::to_be_bytes).concat());
    bytes.extend(shape.class);
    // The configuration is set by who imports it.
    bytes.extend([0, 1, shape.interfaces.len() as u8]);
    bytes
}

/// RET_SUBMIT, with data in behind it.
pub fn submitted(done: &Done) -> Vec<u8> {
    let words = [RET_SUBMIT, done.seq, 0, 0, 0, done.status as u32, done.moved as u32, 0, 0, 0, 0, 0];
    [words.map(u32::to_be_bytes).concat(), done.data.clone()].concat()
}

/// RET_UNLINK; a transfer that had ended before is no failure.
pub fn unlinked(seq: u32, was_there: bool) -> Vec<u8> {
    let status = if was_there { ECONNRESET } else { 0 };
    [RET_UNLINK, seq, 0, 0, 0, status as u32, 0, 0, 0, 0, 0, 0].map(u32::to_be_bytes).concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::Config;
    use std::io::ErrorKind;

    fn submit(direction: u32, endpoint: u32, flags: u32, len: u32, packets: u32) -> Vec<u8> {
        let words = [CMD_SUBMIT, 7, device_id(0), direction, endpoint, flags, len, 0, packets, 0];
        [&words.map(u32::to_be_bytes).concat()[..], &[0x80, 6, 0, 1, 0, 0, 18, 0]].concat()
    }

    #[test]
    fn messages_are_read_whole_with_the_data_that_goes_out() {
        let mut bytes = [submit(0, 1, ZERO_PACKET, 3, 0), vec![1, 2, 3]].concat();
        bytes.extend(submit(1, 0, 0, 64, u32::MAX));
        bytes.extend([CMD_UNLINK, 9, 0, 0, 1, 7, 0, 0, 0, 0, 0, 0].map(u32::to_be_bytes).concat());
        let mut from = &bytes[..];
        let setup = [0x80, 6, 0, 1, 0, 0, 18, 0];
        let out = Urb { seq: 7, endpoint: 1, setup, len: 0, data: vec![1, 2, 3], zero: true };
        assert_eq!(read_message(&mut from).unwrap(), Message::Submit(out));
        let control = Urb { seq: 7, endpoint: 0x80, setup, len: 64, data: vec![], zero: false };
        assert_eq!(read_message(&mut from).unwrap(), Message::Submit(control));
        assert_eq!(read_message(&mut from).unwrap(), Message::Unlink { seq: 9, victim: 7 });
        assert!(from.is_empty());
    }

    #[test]
    fn what_is_no_message_ends_the_conversation() {
        let iso = submit(1, 1, 0, 64, 8);
        for bytes in [&submit(1, 16, 0, 0, 0), &submit(2, 1, 0, 0, 0), &submit(0, 1, 0, 1 << 30, 0), &iso, &vec![9; 48]] {
            assert_eq!(read_message(&mut &bytes[..]).unwrap_err().kind(), ErrorKind::InvalidData);
        }
        for bytes in [&submit(0, 1, 0, 3, 0)[..], &[0, 0, 0, 1]] {
            assert_eq!(read_message(&mut &bytes[..]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
        assert_eq!(read_request(&mut &b"GET / HTTP/1.1"[..]).unwrap_err().kind(), ErrorKind::InvalidData);
        assert_eq!(read_request(&mut &[1, 0x11, 0x80, 3, 0, 0, 0, 0, b'1'][..]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
    }

    #[test]
    fn a_device_is_shown_in_312_bytes_and_four_for_each_interface() {
        let board = Board::new(&Config { probe: Some("v3".into()), ..Config::default() }).unwrap();
        let reply = list(&[(2, &board)]);
        assert_eq!((reply.len(), &reply[..12]), (12 + 312 + 16, &[1, 0x11, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1][..]));
        let shown = &reply[12..];
        assert_eq!((&shown[256..260], shown[260]), (&b"1-3\0"[..], 0));
        let numbers = [0, 0, 0, 1, 0, 0, 0, 4, 0, 0, 0, 3, 4, 0x83, 0x37, 0x4E, 1, 0, 239, 2, 1, 0, 1, 4];
        assert_eq!(shown[288..312], numbers);
        assert_eq!(shown[312..], [255, 255, 255, 0, 8, 6, 0x50, 0, 2, 2, 1, 0, 10, 0, 0, 0]);
        assert_eq!(imported(2, &board), [&[1, 0x11, 0, 3, 0, 0, 0, 0], &shown[..312]].concat());
    }

    #[test]
    fn ends_of_transfers_are_48_bytes_with_data_behind_them() {
        let done = Done { seq: 7, endpoint: 0x81, status: -32, moved: 2, data: vec![5, 6] };
        let bytes = submitted(&done);
        assert_eq!((bytes.len(), &bytes[48..]), (50, &[5, 6][..]));
        assert_eq!(bytes[20..28], [0xFF, 0xFF, 0xFF, 0xE0, 0, 0, 0, 2]);
        assert_eq!((unlinked(9, true).len(), &unlinked(9, true)[20..24]), (48, &(-104i32).to_be_bytes()[..]));
        assert_eq!(unlinked(9, false)[20..24], [0; 4]);
    }
}
