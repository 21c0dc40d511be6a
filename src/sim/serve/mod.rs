//! Boards for other programs: ST's stlink-server protocol over TCP (API 3).
//!
//! One thread owns the boards: `Server::next`. A thread per client reads requests whole, sends each to the owner and
//! writes what it answers; so half a message, garbage or a client that stops reading costs nobody else anything.
//! Lines (stdin) come through the same channel and are handed out by `next`.
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

use super::Board;
use crate::error::{Cause, Error, Result};
use crate::usb::{Data, Pipe};
use std::collections::BTreeMap;
use std::io::{self, BufRead, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// RW_MISC goes over TCP from 3 on; the rest of the version is ours.
const VERSION: [u32; 4] = [3, 2, 1, 1];
/// Buffers of the real server, each way: a request with its data must fit, and so must a reply.
const BUFFER: usize = 10_240;
const MAX_CLIENTS: usize = 64;
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
enum Direction {
    Out,
    In,
    Trace,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Request {
    Version,
    Refresh,
    Count,
    Device { index: usize, size: usize },
    Open { id: u32 },
    Close { connection: u32 },
    Transfer { connection: u32, command: [u8; 16], direction: Direction, size: usize, data: Vec<u8> },
}

/// What reaches the owner.
enum Mail {
    Client(TcpStream),
    Request { client: u32, request: Request, reply: Sender<Vec<u8>> },
    Gone { client: u32 },
    Line { text: String, read_on: Sender<()> },
}

/// What the caller of `next` must act on.
pub enum Heard {
    /// A line to run; the next one is read when `read_on` is sent to, never if it is dropped.
    Line { text: String, read_on: Sender<()> },
    /// A client went away.
    Left,
}

struct Connection {
    client: u32,
    board: usize,
    pipe: Box<dyn Pipe>,
}

pub struct Server {
    boards: Vec<Board>,
    /// Up to when each board's clock has followed the wall clock; what a transaction costs comes on top.
    seen: Vec<Instant>,
    address: SocketAddr,
    mail: Receiver<Mail>,
    post: Sender<Mail>,
    clients: BTreeMap<u32, TcpStream>,
    connections: BTreeMap<u32, Connection>,
    next_number: u32,
}

impl Server {
    /// Listen on `address`: `host:port`, or a port on the loopback interface; port 0 picks one.
    pub fn listen(address: &str, boards: Vec<Board>) -> Result<Server> {
        let refuse = |error: io::Error| {
            let error = Error::command(format!("cannot listen on {address}: {error}"));
            error.hint("port 0 picks a free one: --stlink-tcp 127.0.0.1:0")
        };
        let listener = TcpListener::bind(&resolve(address)?[..]).map_err(refuse)?;
        let local = listener.local_addr().map_err(refuse)?;
        let (post, mail) = mpsc::channel();
        let seen = vec![Instant::now(); boards.len()];
        let accepted = post.clone();
        thread::spawn(move || accept(listener, accepted));
        Ok(Server { boards, seen, address: local, mail, post, clients: BTreeMap::new(), connections: BTreeMap::new(), next_number: 1 })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn boards(&self) -> &[Board] {
        &self.boards
    }

    /// Hand out the lines of `input`, one at a time.
    pub fn hear(&self, input: impl BufRead + Send + 'static) {
        let post = self.post.clone();
        thread::spawn(move || read_lines(input, post));
    }

    /// Serve for `time`, or until there is something for the caller.
    pub fn next(&mut self, time: Duration) -> Option<Heard> {
        let end = Instant::now() + time;
        loop {
            let mail = match self.mail.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(mail) => mail,
                // The server holds a sender itself, so the channel is never closed.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            };
            match mail {
                Mail::Client(stream) => self.welcome(stream),
                Mail::Request { client, request, reply } => {
                    // A client that left meanwhile needs no answer.
                    reply.send(self.answer(client, request)).ok();
                }
                Mail::Gone { client } => {
                    self.forget(client);
                    return Some(Heard::Left);
                }
                Mail::Line { text, read_on } => {
                    self.catch_up();
                    return Some(Heard::Line { text, read_on });
                }
            }
        }
    }

    /// Close every connection and the port.
    pub fn close(mut self) {
        for stream in std::mem::take(&mut self.clients).into_values() {
            stream.shutdown(Shutdown::Both).ok();
        }
        drop(self.mail);
        // Wakes the accepting thread, which finds nobody to tell and ends.
        TcpStream::connect_timeout(&self.address, Duration::from_secs(1)).ok();
    }

    fn number(&mut self) -> u32 {
        self.next_number += 1;
        self.next_number - 1
    }

    fn welcome(&mut self, stream: TcpStream) {
        let ready = stream.set_nodelay(true).and_then(|()| stream.try_clone());
        let Ok(reader) = ready else { return };
        if self.clients.len() >= MAX_CLIENTS {
            return;
        }
        let client = self.number();
        self.clients.insert(client, stream);
        let post = self.post.clone();
        thread::spawn(move || converse(client, reader, post));
    }

    fn forget(&mut self, client: u32) {
        self.clients.remove(&client);
        self.connections.retain(|_, connection| connection.client != client);
    }

    /// The wall clock counts between transactions: a board that is being served lives in real time.
    fn catch_up(&mut self) {
        for board in 0..self.boards.len() {
            self.boards[board].pass(self.seen[board].elapsed());
            self.seen[board] = Instant::now();
        }
    }

    fn plugged(&self) -> Vec<usize> {
        (0..self.boards.len()).filter(|board| self.boards[*board].plugged()).collect()
    }

    fn answer(&mut self, client: u32, request: Request) -> Vec<u8> {
        match request {
            Request::Version => words(&VERSION),
            Request::Refresh => words(&[OK]),
            Request::Count => words(&[self.plugged().len() as u32]),
            Request::Device { index, size } => self.device(index, size),
            Request::Open { id } => self.open(client, id),
            Request::Close { connection } => {
                let closed = self.connections.get(&connection).is_some_and(|entry| entry.client == client);
                if closed {
                    self.connections.remove(&connection);
                }
                words(&[if closed { OK } else { BAD_PARAMETER }])
            }
            Request::Transfer { connection, command, direction, size, data } => {
                let (status, bytes) = match self.connections.get(&connection).filter(|entry| entry.client == client) {
                    None => (BAD_PARAMETER, vec![0; if direction == Direction::Out { 0 } else { size }]),
                    Some(_) => self.transfer(connection, &command, direction, size, &data),
                };
                [words(&[status]), bytes].concat()
            }
        }
    }

    fn device(&self, index: usize, size: usize) -> Vec<u8> {
        let info = self.plugged().get(index).map(|board| (*board, self.boards[*board].found()));
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

    fn open(&mut self, client: u32, id: u32) -> Vec<u8> {
        let board = self.plugged().into_iter().find(|board| DEVICE_ID + *board as u32 == id);
        let Some(board) = board else { return words(&[NOT_OPEN, 0]) };
        let number = self.number();
        let pipe = self.boards[board].pipe();
        self.connections.insert(number, Connection { client, board, pipe });
        words(&[OK, number])
    }

    fn transfer(&mut self, connection: u32, command: &[u8], direction: Direction, size: usize, data: &[u8]) -> (u32, Vec<u8>) {
        let Some(entry) = self.connections.get_mut(&connection) else { return (BAD_PARAMETER, Vec::new()) };
        self.boards[entry.board].pass(self.seen[entry.board].elapsed());
        let outcome = exchange(entry.pipe.as_mut(), command, direction, size, data);
        self.seen[entry.board] = Instant::now();
        outcome
    }
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

/// `host:port`; a bare port, or `:port`, is one on the loopback interface.
fn resolve(address: &str) -> Result<Vec<SocketAddr>> {
    let port = address.strip_prefix(':').unwrap_or(address);
    let full = if port.bytes().all(|byte| byte.is_ascii_digit()) { format!("127.0.0.1:{port}") } else { address.to_string() };
    let found: Vec<_> = full.to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    if found.is_empty() {
        return Err(Error::usage(format!("`{address}` is no address to listen on")).hint("such as 127.0.0.1:7184, or 127.0.0.1:0"));
    }
    Ok(found)
}

fn accept(listener: TcpListener, post: Sender<Mail>) {
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                if post.send(Mail::Client(stream)).is_err() {
                    return;
                }
            }
            // Out of file descriptors, or the client was gone before it was met: try again, not at full speed.
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// One client: read a request, have it answered, write the answer; until it leaves or makes no sense.
fn converse(client: u32, mut stream: TcpStream, post: Sender<Mail>) {
    while let Ok(request) = read_request(&mut stream) {
        let (reply, answer) = mpsc::channel();
        if post.send(Mail::Request { client, request, reply }).is_err() {
            return;
        }
        let Ok(bytes) = answer.recv() else { break };
        if stream.write_all(&bytes).is_err() {
            break;
        }
    }
    stream.shutdown(Shutdown::Both).ok();
    // Nobody is left to be told when the server has closed.
    post.send(Mail::Gone { client }).ok();
}

fn read_lines(input: impl BufRead, post: Sender<Mail>) {
    for line in input.split(b'\n') {
        let Ok(line) = line else { return };
        let text = String::from_utf8_lossy(&line).into_owned();
        let (read_on, go) = mpsc::channel();
        if post.send(Mail::Line { text, read_on }).is_err() || go.recv().is_err() {
            return;
        }
    }
}

/// One whole request; an unknown operation or a size that the server has no room for ends the conversation.
fn read_request(from: &mut impl Read) -> io::Result<Request> {
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

fn take<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn garbage() -> io::Error {
    ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn a_bare_port_is_on_the_loopback_interface() {
        assert_eq!(resolve("7184").unwrap(), ["127.0.0.1:7184".parse().unwrap()]);
        assert_eq!(resolve(":0").unwrap(), ["127.0.0.1:0".parse().unwrap()]);
        assert_eq!(resolve("0.0.0.0:1").unwrap(), ["0.0.0.0:1".parse().unwrap()]);
        for bad in ["", "127.0.0.1", "a:b", "127.0.0.1:99999", "99999"] {
            assert_eq!(resolve(bad).unwrap_err().message, format!("`{bad}` is no address to listen on"));
        }
    }
}
