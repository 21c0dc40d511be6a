//! The pipe through a server that shares probes: ST's stlink-server, or `rocd sim serve`.
//!
//! Little endian throughout, one request at a time; the lengths are fixed, so a reply is read whole. The protocol is not
//! published: these facts were seen between OpenOCD 0.12 and a stub.
//!
//! | op | request, bytes | reply |
//! |---|---|---|
//! | 06 version | 06, our API, 0 0 | u32 API, major, minor, build |
//! | 00 refresh | 00, 0 | status |
//! | 01 how many | 01 | u32 count |
//! | 02 which | 02, index, 0 0, u32 41 | status, u32 id, serial in 32 bytes, u16 vid, u16 pid, u8 used |
//! | 03 open | 03, 0 0 0, u32 id | status, u32 connection |
//! | 05 transfer | 05, 0 0 0, u32 connection, the block's 16 bytes, direction, 0 0 0, u32 size, data if out | status, data if in |
//!
//! A closed socket closes the connection to the probe.

use crate::error::{Cause, Context, Error, Result};
use crate::usb::{Data, Found, Pipe, Room};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// Where ST's server listens.
pub const DEFAULT_ADDRESS: &str = "127.0.0.1:7184";

const API: u8 = 1;
/// The server's buffers hold so many bytes each way; a transfer's request has 32 beside its data, a reply 4.
const BUFFER: usize = 10_240;
const TRANSFER: usize = 32;
/// What a server with an API below 2 takes at a time.
const OLD_ROOM: usize = 1024;
/// From this API on a server passes RW_MISC on.
const BATCH_API: u32 = 3;
const DEVICE_INFO: u32 = 41;

// Direction of a transfer.
const OUT: u8 = 0;
const IN: u8 = 1;

// Status words.
const OK: u32 = 1;
const BUSY: u32 = 0x2004;
const STATUS: &[(u32, &str, Cause)] = &[
    (0x1000, "the server is out of memory", Cause::Link),
    (0x1001, "the probe did not answer the server in time", Cause::Timeout),
    (0x1002, "the server does not take this request", Cause::Link),
    (0x1003, "the server cannot open the probe", Cause::Unplugged),
    (0x1052, "the probe sent less than was asked for", Cause::Link),
    (0x1053, "the server has lost the probe", Cause::Unplugged),
    (BUSY, "the server is busy with another client", Cause::Timeout),
];

/// A probe has as long as on USB, and the server's own share comes on top.
const PATIENCE: Duration = Duration::from_secs(8);
/// Whoever does not take a connection by then is no server, or very far away.
const CONNECT: Duration = Duration::from_secs(2);
const BUSY_PAUSE: Duration = Duration::from_millis(1);

/// Every probe that the server at `address` (host:port) has. Nothing is sent to a probe.
pub fn find(address: &str) -> Result<Vec<Found>> {
    Ok(Link::to(address)?.devices()?.into_iter().map(|(_, found)| found).collect())
}

/// Open the probe that `find` showed.
pub fn open(address: &str, found: &Found) -> Result<Box<dyn Pipe>> {
    let mut link = Link::to(address)?;
    let connection = link.open(found)?;
    Ok(Box::new(TcpPipe { link, connection, found: found.clone(), opened: Instant::now() }))
}

/// One conversation with a server.
struct Link {
    stream: TcpStream,
    address: String,
    api: u32,
}

impl Link {
    fn to(address: &str) -> Result<Link> {
        let mut link = Link { stream: connect(address)?, address: address.to_string(), api: 0 };
        let [api, _, _, _] = link.ask(&[0x06, API, 0, 0]).during("asking for the server's version")?;
        link.api = api;
        Ok(link)
    }

    /// Id and description of each probe. A server that lists a probe and cannot tell of it has just lost it.
    fn devices(&mut self) -> Result<Vec<(u32, Found)>> {
        let [status] = self.ask(&[0x00, 0])?;
        self.judge(status).during("looking for probes anew")?;
        let [count] = self.ask(&[0x01])?;
        let mut devices = Vec::new();
        for index in 0..u8::try_from(count).unwrap_or(u8::MAX) {
            let request = [&[0x02, index, 0, 0][..], &DEVICE_INFO.to_le_bytes()].concat();
            let mut reply = [0; 4 + DEVICE_INFO as usize];
            self.exchange(&request, &[], &mut reply)?;
            if word(&reply, 0) == OK {
                devices.push((word(&reply, 4), described(&reply, &self.address, index)));
            }
        }
        Ok(devices)
    }

    fn open(&mut self, found: &Found) -> Result<u32> {
        let same = |(_, other): &(u32, Found)| (other.vid, other.pid, &other.serial) == (found.vid, found.pid, &found.serial);
        let (id, _) = self.devices()?.into_iter().find(same).ok_or_else(|| {
            Error::probe(format!("the server at {} has no probe with serial number {} any more", self.address, found.serial))
                .cause(Cause::Unplugged)
                .hint("plug it in again and repeat the command")
        })?;
        let [status, connection] = self.ask(&[&[0x03, 0, 0, 0][..], &id.to_le_bytes()].concat())?;
        self.judge(status).during(format_args!("opening probe {}", found.serial))?;
        Ok(connection)
    }

    /// A request whose reply is words.
    fn ask<const N: usize>(&mut self, request: &[u8]) -> Result<[u32; N]> {
        let mut reply = vec![0; 4 * N];
        self.exchange(request, &[], &mut reply)?;
        Ok(std::array::from_fn(|at| word(&reply, 4 * at)))
    }

    fn exchange(&mut self, request: &[u8], data: &[u8], reply: &mut [u8]) -> Result<()> {
        let sent = self.stream.write_all(&[request, data].concat());
        sent.and_then(|()| self.stream.read_exact(reply)).map_err(|error| broken(&self.address, &error))
    }

    fn judge(&self, status: u32) -> Result<()> {
        if status == OK {
            return Ok(());
        }
        let row = STATUS.iter().find(|(code, ..)| *code == status);
        let (text, cause) = row.map_or(("the server reports an error", Cause::Link), |(_, text, cause)| (text, *cause));
        Err(Error::probe(format!("{text} (status {status:#06x} from {})", self.address)).cause(cause))
    }
}

fn connect(address: &str) -> Result<TcpStream> {
    let refuse = |why: String| {
        let error = Error::probe(format!("no ST-LINK server answers at {address}: {why}")).cause(Cause::Link);
        error.hint("start ST's stlink-server, or `rocd sim serve`; `address` in the interface file says where it listens")
    };
    let places = address.to_socket_addrs().map_err(|error| refuse(error.to_string()))?;
    let mut outcome = Err(refuse("the name stands for no address".into()));
    for place in places {
        outcome = TcpStream::connect_timeout(&place, CONNECT).map_err(|error| refuse(error.to_string()));
        if outcome.is_ok() {
            break;
        }
    }
    let stream = outcome?;
    let set = stream.set_nodelay(true).and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
    set.and_then(|()| stream.set_write_timeout(Some(PATIENCE))).map_err(|error| refuse(error.to_string()))?;
    Ok(stream)
}

fn broken(address: &str, error: &std::io::Error) -> Error {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => {
            let error = Error::probe(format!("the server at {address} did not answer within {} s", PATIENCE.as_secs()));
            error.cause(Cause::Timeout).hint("is it an ST-LINK server? another program may hold its port")
        }
        ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            Error::probe(format!("the server at {address} closed the connection")).cause(Cause::Unplugged)
        }
        _ => Error::probe(format!("the connection to the server at {address} broke: {error}")).cause(Cause::Unplugged),
    }
}

/// From the reply to request 02. What a terminal would take for a command does not belong into a serial number. A server shares its probes, so one that is in use can be used all the same.
fn described(reply: &[u8], address: &str, index: u8) -> Found {
    let half = |at: usize| u16::from_le_bytes([reply[at], reply[at + 1]]);
    let serial = reply[8..40].split(|byte| *byte == 0).next().unwrap_or_default();
    Found {
        vid: half(40),
        pid: half(42),
        serial: String::from_utf8_lossy(serial).replace(char::is_control, "?"),
        path: format!("{address}/{index}"),
        trouble: None,
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

struct TcpPipe {
    link: Link,
    connection: u32,
    found: Found,
    opened: Instant,
}

impl TcpPipe {
    /// One transfer, again while the server is busy with others.
    fn carry(&mut self, command: &[u8], direction: u8, data: &[u8], buf: &mut [u8]) -> Result<()> {
        let size = if direction == OUT { data.len() } else { buf.len() };
        let mut request = [0; TRANSFER];
        request[0] = 0x05;
        request[4..8].copy_from_slice(&self.connection.to_le_bytes());
        request[8..8 + command.len()].copy_from_slice(command);
        request[24] = direction;
        request[28..].copy_from_slice(&(size as u32).to_le_bytes());
        let mut reply = vec![0; 4 + buf.len()];
        let give_up = Instant::now() + PATIENCE;
        loop {
            self.link.exchange(&request, data, &mut reply)?;
            let status = word(&reply, 0);
            if status != BUSY || Instant::now() >= give_up {
                buf.copy_from_slice(&reply[4..]);
                return self.link.judge(status);
            }
            std::thread::sleep(BUSY_PAUSE);
        }
    }
}

impl Pipe for TcpPipe {
    /// A block without a data phase goes as a read of nothing, as OpenOCD sends it.
    fn transfer(&mut self, cmd: &[u8], data: Data) -> Result<usize> {
        match data {
            Data::None => self.carry(cmd, IN, &[], &mut []).map(|()| 0),
            Data::Out(bytes) => self.carry(cmd, OUT, bytes, &mut []).map(|()| bytes.len()),
            Data::In(buf) => self.carry(cmd, IN, &[], buf).map(|()| buf.len()),
        }
    }

    /// A server does not reset the port of a probe that others may be using: the probe is opened anew.
    fn reset(&mut self) -> Result<()> {
        self.link = Link::to(&self.link.address)?;
        self.connection = self.link.open(&self.found)?;
        Ok(())
    }

    fn room(&self) -> Room {
        let bytes = if self.link.api < 2 { OLD_ROOM } else { BUFFER - TRANSFER };
        Room { bytes, batches: self.link.api >= BATCH_API }
    }

    fn now(&self) -> Duration {
        self.opened.elapsed()
    }

    fn sleep(&mut self, d: Duration) {
        std::thread::sleep(d)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread::{self, JoinHandle};

    /// A server that reads requests of these lengths and gives these replies, then hangs up. Its requests are the result.
    fn server(script: &'static [(usize, &'static [u8])]) -> (String, JoinHandle<Vec<Vec<u8>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let serve = move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut asked = Vec::new();
            for (len, reply) in script {
                let mut request = vec![0; *len];
                stream.read_exact(&mut request).unwrap();
                asked.push(request);
                stream.write_all(reply).unwrap();
            }
            asked
        };
        (address, thread::spawn(serve))
    }

    const VERSION: (usize, &[u8]) = (4, &[3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    const GOOD: &[u8] = &[1, 0, 0, 0];
    const DEVICE: &[u8] = b"\x01\0\0\0\x07\0\0\x00066DFF515055657867152628\0\0\0\0\0\0\0\0\x83\x04\x4b\x37\0";

    #[test]
    fn a_probe_is_listed_opened_and_used_as_the_protocol_says() {
        let script: &[(usize, &[u8])] = &[
            VERSION,
            (2, GOOD),
            (1, &[1, 0, 0, 0]),
            (8, DEVICE),
            (8, &[1, 0, 0, 0, 9, 0, 0, 0]),
            (32, &[4, 0x20, 0, 0, 0, 0]),
            (32, &[1, 0, 0, 0, 0x24, 0]),
            (35, GOOD),
            (32, GOOD),
        ];
        let (address, server) = server(script);
        let found = Found { vid: 0x0483, pid: 0x374b, serial: "066DFF515055657867152628".into(), path: String::new(), trouble: None };
        let mut pipe = open(&address, &found).unwrap();
        let mut reply = [0; 2];
        assert_eq!(pipe.transfer(&[0xF1], Data::In(&mut reply)).unwrap(), 2, "asked again after `busy`");
        assert_eq!(reply, [0x24, 0]);
        assert_eq!(pipe.transfer(&[0xF2, 8], Data::Out(&[5, 6, 7])).unwrap(), 3);
        assert_eq!(pipe.transfer(&[0xF2, 0x21], Data::None).unwrap(), 0);
        assert_eq!((pipe.room().bytes, pipe.room().batches), (10_208, true));
        let asked = server.join().unwrap();
        assert_eq!(asked[3], [2, 0, 0, 0, 41, 0, 0, 0]);
        assert_eq!(asked[4], [3, 0, 0, 0, 7, 0, 0, 0]);
        assert_eq!(asked[5], asked[6]);
        assert_eq!((&asked[6][..10], &asked[6][24..]), (&[5, 0, 0, 0, 9, 0, 0, 0, 0xF1, 0][..], &[1, 0, 0, 0, 2, 0, 0, 0][..]));
        assert_eq!(asked[7][24..], [0, 0, 0, 0, 3, 0, 0, 0, 5, 6, 7]);
        assert_eq!(asked[8][24..], [1, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn what_the_server_reports_is_said_in_words_with_its_cause() {
        let (address, _server) = server(&[VERSION, (2, &[0x53, 0x10, 0, 0])]);
        let error = find(&address).unwrap_err();
        assert_eq!(error.message, format!("the server has lost the probe (status 0x1053 from {address})"));
        assert_eq!((error.cause, error.kind), (Cause::Unplugged, crate::error::Kind::Probe));
        let (address, _server) = server(&[VERSION]);
        assert_eq!(find(&address).unwrap_err().message, format!("the server at {address} closed the connection"));
    }

    #[test]
    fn a_serial_number_of_control_characters_does_not_reach_the_terminal() {
        const RAW: &[u8] = b"\x01\0\0\0\x07\0\0\0\x1b[2J\n7\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x83\x04\x4b\x37\0";
        let (address, _server) = server(&[VERSION, (2, GOOD), (1, &[1, 0, 0, 0]), (8, RAW)]);
        assert_eq!(find(&address).unwrap()[0].serial, "?[2J?7");
    }

    #[test]
    fn where_nobody_listens_the_hint_names_the_servers() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        for address in [taken.as_str(), "nowhere", "127.0.0.1:70000"] {
            let error = find(address).unwrap_err();
            assert!(error.message.starts_with(&format!("no ST-LINK server answers at {address}: ")), "{error}");
            assert!(error.hint.unwrap().contains("stlink-server"));
        }
    }
}
