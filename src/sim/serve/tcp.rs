//! ST's stlink-server protocol over TCP (API 3).
//!
//! Little endian throughout. Requests and replies (lengths in bytes; "status" is a u32):
//!
//! | op | request | reply |
//! |---|---|---|
//! | 06 version | 4: op, client's API, 0 0 | 16: api, major, minor, build |
//! | 00 refresh | 2: op, clear | status |
//! | 01 devices | 1: op | 4: count |
//! | 02 device | 8: op, index, 0 0, u32 size | 45: status, u32 id, 32 serial, u16 vid, u16 pid, u8 used |
//! | 03 open | 8: op, 0 0 0, u32 id | 8: status, u32 connection |
//! | 04 close | 8: op, 0 0 0, u32 connection | status |
//! | 05 transfer | 32: op, 0 0 0, u32 connection, 16 command, u8 direction, 0 0 0, u32 size; + size out | status; + size in |

use super::clock::{Held, Served};
use super::{garbage, take};
use crate::error::Cause;
use crate::usb::{Data, Pipe};
use std::collections::BTreeMap;
use std::io::{self, Read};

/// RW_MISC goes over TCP from 3 on; the rest of the version is ours.
const VERSION: [u32; 4] = [3, 2, 1, 1];
/// Buffers of the real server, each way: a request with its data must fit, and so must a reply.
const BUFFER: usize = 10_240;
const DEVICE_INFO: usize = 45;
/// A device id is this plus the board's number: never 0, never a connection's number.
const DEVICE_ID: u32 = 0x1000;

// Status words.
const OK: u32 = 0x0001;
const TIMEOUT: u32 = 0x1001;
const BAD_PARAMETER: u32 = 0x1002;
const NOT_OPEN: u32 = 0x1003;
const TRUNCATED: u32 = 0x1052;
const NOT_AVAILABLE: u32 = 0x1053;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Out,
    In,
    Trace,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Version,
    Refresh,
    Count,
    Device { index: usize, size: usize },
    Open { id: u32 },
    Close { connection: u32 },
    Transfer { connection: u32, command: [u8; 16], direction: Direction, size: usize, data: Vec<u8> },
}

struct Connection {
    client: u32,
    board: usize,
    pipe: Box<dyn Pipe>,
}

/// Who has opened what.
#[derive(Default)]
pub struct Connections {
    open: BTreeMap<u32, Connection>,
    made: u32,
}

impl Connections {
    pub fn forget(&mut self, client: u32) {
        self.open.retain(|_, connection| connection.client != client);
    }

    pub fn answer(&mut self, boards: &mut [Served], client: u32, request: Request) -> Held {
        Held::now(match request {
            Request::Version => words(&VERSION),
            Request::Refresh => words(&[OK]),
            Request::Count => words(&[plugged(boards).len() as u32]),
            Request::Device { index, size } => device(boards, index, size),
            Request::Open { id } => self.open(boards, client, id),
            Request::Close { connection } => {
                let closed = self.open.get(&connection).is_some_and(|entry| entry.client == client);
                if closed {
                    self.open.remove(&connection);
                }
                words(&[if closed { OK } else { BAD_PARAMETER }])
            }
            Request::Transfer { connection, command, direction, size, data } => {
                return match self.open.get_mut(&connection).filter(|entry| entry.client == client) {
                    None => Held::now([words(&[BAD_PARAMETER]), vec![0; if direction == Direction::Out { 0 } else { size }]].concat()),
                    Some(entry) => {
                        let board = &mut boards[entry.board];
                        board.catch_up();
                        let (status, bytes) = exchange(entry.pipe.as_mut(), &command, direction, size, &data);
                        Held { bytes: [words(&[status]), bytes].concat(), due: board.due() }
                    }
                };
            }
        })
    }

    fn open(&mut self, boards: &[Served], client: u32, id: u32) -> Vec<u8> {
        let board = plugged(boards).into_iter().find(|board| DEVICE_ID + *board as u32 == id);
        let Some(board) = board else { return words(&[NOT_OPEN, 0]) };
        // From 1 on: 0 is no connection.
        self.made += 1;
        self.open.insert(self.made, Connection { client, board, pipe: boards[board].board.pipe() });
        words(&[OK, self.made])
    }
}

fn plugged(boards: &[Served]) -> Vec<usize> {
    (0..boards.len()).filter(|board| boards[*board].board.plugged()).collect()
}

fn device(boards: &[Served], index: usize, size: usize) -> Vec<u8> {
    let info = plugged(boards).get(index).map(|board| (*board, boards[*board].board.found()));
    let Some((board, found)) = info.filter(|_| size >= DEVICE_INFO - 4) else {
        let mut reply = words(&[BAD_PARAMETER]);
        reply.resize(DEVICE_INFO, 0);
        return reply;
    };
    let mut serial = found.serial.into_bytes();
    serial.resize(32, 0);
    let ids = [found.vid.to_le_bytes(), found.pid.to_le_bytes()].concat();
    // Not in use, whoever has it open: sharing a probe is what the server is for.
    [words(&[OK, DEVICE_ID + board as u32]), serial, ids, vec![0]].concat()
}

/// One transfer; what was asked for is sent whatever came, so that the client stays in step.
fn exchange(pipe: &mut dyn Pipe, command: &[u8], direction: Direction, size: usize, data: &[u8]) -> (u32, Vec<u8>) {
    let mut bytes = vec![0; if direction == Direction::Out { 0 } else { size }];
    let moved = match direction {
        Direction::Out if size == 0 => pipe.transfer(command, Data::None),
        Direction::Out => pipe.transfer(command, Data::Out(data)),
        Direction::In if size == 0 => pipe.transfer(command, Data::None),
        Direction::In => pipe.transfer(command, Data::In(&mut bytes)),
        Direction::Trace => pipe.read_trace(&mut bytes),
    };
    let status = match moved {
        Ok(count) if direction == Direction::In && count < size => TRUNCATED,
        Ok(_) => OK,
        Err(error) if error.cause == Cause::Timeout => TIMEOUT,
        Err(_) => NOT_AVAILABLE,
    };
    (status, bytes)
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// One whole request; an unknown operation or a size that the server has no room for ends the conversation.
pub fn read_request(from: &mut impl Read) -> io::Result<Request> {
    let [op] = take::<1>(from)?;
    let word = |bytes: &[u8], at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    Ok(match op {
        0x00 => {
            take::<1>(from)?;
            Request::Refresh
        }
        0x01 => Request::Count,
        0x02 => {
            let rest = take::<7>(from)?;
            Request::Device { index: usize::from(rest[0]), size: word(&rest, 3) as usize }
        }
        0x03 => Request::Open { id: word(&take::<7>(from)?, 3) },
        0x04 => Request::Close { connection: word(&take::<7>(from)?, 3) },
        0x05 => {
            let rest = take::<31>(from)?;
            let (direction, size) = (direction(rest[23])?, word(&rest, 27) as usize);
            // A command block and a status are the most that comes on top.
            if size > BUFFER - 32 {
                return Err(garbage());
            }
            let mut data = vec![0; if direction == Direction::Out { size } else { 0 }];
            from.read_exact(&mut data)?;
            let mut command = [0; 16];
            command.copy_from_slice(&rest[7..23]);
            Request::Transfer { connection: word(&rest, 3), command, direction, size, data }
        }
        0x06 => {
            take::<3>(from)?;
            Request::Version
        }
        _ => return Err(garbage()),
    })
}

fn direction(byte: u8) -> io::Result<Direction> {
    match byte {
        0 => Ok(Direction::Out),
        1 => Ok(Direction::In),
        3 => Ok(Direction::Trace),
        _ => Err(garbage()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    fn transfer(direction: u8, size: u32, data: &[u8]) -> Vec<u8> {
        let mut bytes = vec![5, 0, 0, 0, 9, 0, 0, 0, 0xF2, 0x36];
        bytes.resize(24, 0);
        bytes.extend([direction, 0, 0, 0]);
        bytes.extend(size.to_le_bytes());
        [&bytes, data].concat()
    }

    #[test]
    fn requests_are_cut_by_their_own_lengths() {
        let mut bytes: Vec<u8> = vec![6, 1, 0, 0, 0, 0, 1, 2, 3, 0, 0, 41, 0, 0, 0];
        bytes.extend(transfer(0, 3, &[7, 8, 9]));
        bytes.extend(transfer(1, 100, &[]));
        bytes.extend([4, 0, 0, 0, 9, 0, 0, 0]);
        let mut from = &bytes[..];
        let mut command = [0; 16];
        command[..2].copy_from_slice(&[0xF2, 0x36]);
        let expected = [
            Request::Version,
            Request::Refresh,
            Request::Count,
            Request::Device { index: 3, size: 41 },
            Request::Transfer { connection: 9, command, direction: Direction::Out, size: 3, data: vec![7, 8, 9] },
            Request::Transfer { connection: 9, command, direction: Direction::In, size: 100, data: vec![] },
            Request::Close { connection: 9 },
        ];
        for request in expected {
            assert_eq!(read_request(&mut from).unwrap(), request);
        }
        assert!(from.is_empty());
    }

    #[test]
    fn what_is_no_request_ends_the_conversation() {
        for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x07], &transfer(2, 1, &[]), &transfer(0, 10_209, &[0; 10_209])] {
            assert_eq!(read_request(&mut &bytes[..]).unwrap_err().kind(), ErrorKind::InvalidData, "{:02x?}", &bytes[..1]);
        }
        for bytes in [&[][..], &[6, 1], &transfer(0, 3, &[7])] {
            assert_eq!(read_request(&mut &bytes[..]).unwrap_err().kind(), ErrorKind::UnexpectedEof);
        }
    }
}
