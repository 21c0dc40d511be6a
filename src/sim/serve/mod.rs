//! Boards for other programs: ST's stlink-server protocol (`tcp`) and USB, over a network (`usbip`) or in this kernel
//! (`vhci`).
//!
//! One thread owns the boards: `Server::next`. A thread per client reads requests whole, sends each to the owner and
//! writes what it answers; a USB client has a second one that writes, for its transfers end when they can. So half a
//! message, garbage or a client that stops reading costs nobody else anything. Lines (stdin) come through the same
//! channel and are handed out by `next`.

mod clock;
mod descriptors;
mod functions;
mod tcp;
mod usb;
mod usbip;
mod vhci;

pub use clock::Clock;

use super::Board;
use crate::error::{Error, Result};
use clock::{Held, Served};
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender};
use std::thread;
use std::time::{Duration, Instant};
use usb::Device;

const MAX_CLIENTS: usize = 64;
/// Answers that a USB client has not read yet; one that lets so many wait reads none.
const MAX_UNREAD: usize = 1024;

/// What a port speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Door {
    StLink,
    Usbip,
}

/// What reaches the owner.
enum Mail {
    Client {
        stream: TcpStream,
        door: Door,
    },
    StLink {
        client: u32,
        request: tcp::Request,
        reply: Sender<Held>,
    },
    /// The reply comes with the place for all later ones, if the client has a device now.
    Usbip {
        client: u32,
        request: usbip::Request,
        reply: Sender<(Vec<u8>, Option<Receiver<Held>>)>,
    },
    Usb {
        client: u32,
        message: usbip::Message,
    },
    Gone {
        client: u32,
    },
    Line {
        text: String,
        read_on: Sender<()>,
    },
}

/// What the caller of `next` must act on.
pub enum Heard {
    /// A line to run; the next one is read when `read_on` is sent to, never if it is dropped.
    Line { text: String, read_on: Sender<()> },
    /// A client went away.
    Left,
    /// A board that was plugged in again is not on the bus.
    Failed(Error),
}

/// A board on a USB.
struct Link {
    board: usize,
    /// Of its plug: what was pulled since is gone.
    plug: u32,
    device: Device,
    answers: SyncSender<Held>,
}

/// Ends a client's connection.
type HangUp = Box<dyn Fn()>;

pub struct Server {
    boards: Vec<Served>,
    /// For those who look at them: the same boards.
    handles: Vec<Board>,
    mail: Receiver<Mail>,
    post: Sender<Mail>,
    ports: Vec<SocketAddr>,
    clients: BTreeMap<u32, HangUp>,
    next_client: u32,
    connections: tcp::Connections,
    links: BTreeMap<u32, Link>,
    vhci: Option<Vhci>,
}

/// This kernel's controller.
struct Vhci {
    /// The port that the first board goes into, the others behind it.
    port: usize,
    /// Which plug of each board (`Inner::plugs`) has been there: what the kernel let go of comes back only by a new one.
    tried: Vec<Option<u32>>,
}

impl Server {
    pub fn new(boards: Vec<Board>, clock: Clock) -> Server {
        let (post, mail) = mpsc::channel();
        Server {
            handles: boards.clone(),
            boards: boards.into_iter().map(|board| Served::new(board, clock)).collect(),
            mail,
            post,
            ports: Vec::new(),
            clients: BTreeMap::new(),
            next_client: 0,
            connections: tcp::Connections::default(),
            links: BTreeMap::new(),
            vhci: None,
        }
    }

    /// ST's protocol on `address`: `host:port`, or a port on the loopback interface; port 0 picks one. The address it is.
    pub fn stlink(&mut self, address: &str) -> Result<SocketAddr> {
        self.listen(address, Door::StLink, "--stlink-tcp")
    }

    /// USB/IP, likewise.
    pub fn usbip(&mut self, address: &str) -> Result<SocketAddr> {
        self.listen(address, Door::Usbip, "--usbip")
    }

    /// Plug the boards into this kernel's vhci_hcd: the first into `port`, the others into those after it.
    pub fn vhci(&mut self, port: usize) -> Result<()> {
        let last = vhci::PORTS.saturating_sub(self.boards.len());
        if port > last {
            let said = match self.boards.len() {
                1 => format!("1 board does not fit behind port {port} of vhci_hcd"),
                many => format!("{many} boards do not fit behind port {port} of vhci_hcd"),
            };
            return Err(Error::usage(said).hint(format!("it has {} ports: the first board goes into 0 to {last}", vhci::PORTS)));
        }
        self.vhci = Some(Vhci { port, tried: vec![None; self.boards.len()] });
        self.settle()
    }

    fn listen(&mut self, address: &str, door: Door, option: &str) -> Result<SocketAddr> {
        let refuse = |error: io::Error| {
            let kind = error.kind();
            let error = Error::command(format!("cannot listen on {address}: {error}"));
            match kind {
                ErrorKind::AddrNotAvailable => error.hint("an address of this machine is needed, such as 127.0.0.1"),
                ErrorKind::PermissionDenied => error.hint("ports below 1024 are for root"),
                _ => error.hint(format!("port 0 picks a free one: {option} 127.0.0.1:0")),
            }
        };
        let listener = TcpListener::bind(&resolve(address)?[..]).map_err(refuse)?;
        let local = listener.local_addr().map_err(refuse)?;
        let post = self.post.clone();
        thread::spawn(move || accept(listener, door, post));
        self.ports.push(local);
        Ok(local)
    }

    pub fn boards(&self) -> &[Board] {
        &self.handles
    }

    /// Hand out the lines of `input`, one at a time.
    pub fn hear(&self, input: impl BufRead + Send + 'static) {
        let post = self.post.clone();
        thread::spawn(move || read_lines(input, post));
    }

    /// Serve for `time`, or until there is something for the caller.
    pub fn next(&mut self, time: Duration) -> Option<Heard> {
        let end = Instant::now() + time;
        self.live();
        loop {
            if let Err(error) = self.settle() {
                return Some(Heard::Failed(error));
            }
            let mail = match self.mail.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(mail) => mail,
                // The server holds a sender itself, so the channel is never closed.
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return None,
            };
            match mail {
                Mail::Client { stream, door } => self.welcome(stream, door),
                // A client that left meanwhile needs no answer.
                Mail::StLink { client, request, reply } => {
                    reply.send(self.connections.answer(&mut self.boards, client, request)).ok();
                }
                Mail::Usbip { client, request, reply } => {
                    reply.send(self.usb_request(client, request)).ok();
                }
                Mail::Usb { client, message } => self.usb_message(client, message),
                Mail::Gone { client } => {
                    self.forget(client);
                    return Some(Heard::Left);
                }
                Mail::Line { text, read_on } => {
                    self.boards.iter_mut().for_each(Served::catch_up);
                    return Some(Heard::Line { text, read_on });
                }
            }
        }
    }

    /// Close every connection and the ports.
    pub fn close(mut self) {
        for hang_up in std::mem::take(&mut self.clients).into_values() {
            hang_up();
        }
        drop(self.mail);
        // Wakes the accepting threads, which find nobody to tell and end.
        for port in self.ports {
            TcpStream::connect_timeout(&port, Duration::from_secs(1)).ok();
        }
    }

    fn number(&mut self) -> u32 {
        self.next_client += 1;
        self.next_client
    }

    fn welcome(&mut self, stream: TcpStream, door: Door) {
        let ready = stream.set_nodelay(true).and_then(|()| stream.try_clone());
        let Ok(reader) = ready else { return };
        if self.clients.len() >= MAX_CLIENTS {
            return;
        }
        let client = self.number();
        self.clients.insert(client, hang_up_tcp(stream));
        let post = self.post.clone();
        thread::spawn(move || match door {
            Door::StLink => converse(client, reader, post),
            Door::Usbip => usb_client(client, reader, post),
        });
    }

    fn forget(&mut self, client: u32) {
        self.clients.remove(&client);
        self.connections.forget(client);
        self.links.remove(&client);
    }
}

/// USB.
impl Server {
    /// What was pulled is off the bus; what was plugged in is back in this kernel.
    fn settle(&mut self) -> Result<()> {
        for (client, link) in &self.links {
            let inner = self.handles[link.board].0.borrow();
            if !inner.plugged || inner.plugs != link.plug {
                self.clients.get(client).into_iter().for_each(|hang_up| hang_up());
            }
        }
        let boards = &self.handles;
        self.links.retain(|_, link| boards[link.board].plugged() && boards[link.board].0.borrow().plugs == link.plug);
        self.plug_in()
    }

    fn plug_in(&mut self) -> Result<()> {
        for number in 0..self.boards.len() {
            let free = self.is_free(number);
            let Some(vhci) = &mut self.vhci else { return Ok(()) };
            let plug = Some(self.handles[number].0.borrow().plugs);
            if free && vhci.tried[number] != plug {
                vhci.tried[number] = plug;
                let port = vhci.port + number;
                self.attach(port, number)?;
            }
        }
        Ok(())
    }

    fn is_free(&self, board: usize) -> bool {
        self.handles[board].plugged() && !self.links.values().any(|link| link.board == board)
    }

    fn attach(&mut self, port: usize, number: usize) -> Result<()> {
        let lost = |error: io::Error| Error::command(format!("board {number} lost its connection to vhci_hcd: {error}"));
        let ours = vhci::attach(port, number, &self.handles[number])?;
        let (reader, hang_up) = (ours.try_clone().map_err(lost)?, ours.try_clone().map_err(lost)?);
        let client = self.number();
        self.clients.insert(client, Box::new(move || drop(hang_up.shutdown(Shutdown::Both))));
        let answers = self.link(client, number);
        let post = self.post.clone();
        thread::spawn(move || write_answers(ours, answers));
        thread::spawn(move || read_messages(client, reader, post));
        Ok(())
    }

    fn link(&mut self, client: u32, number: usize) -> Receiver<Held> {
        let (answers, outbox) = mpsc::sync_channel(MAX_UNREAD);
        let board = &self.handles[number];
        self.links.insert(client, Link { board: number, plug: board.0.borrow().plugs, device: Device::new(board), answers });
        outbox
    }

    fn usb_request(&mut self, client: u32, request: usbip::Request) -> (Vec<u8>, Option<Receiver<Held>>) {
        let free: Vec<usize> = (0..self.boards.len()).filter(|board| self.is_free(*board)).collect();
        match request {
            usbip::Request::List => {
                let shown: Vec<_> = free.iter().map(|board| (*board, &self.handles[*board])).collect();
                (usbip::list(&shown), None)
            }
            usbip::Request::Import { bus_id } => match free.into_iter().find(|board| usbip::bus_id(*board) == bus_id) {
                None => (usbip::refused(), None),
                Some(board) => (usbip::imported(board, &self.handles[board]), Some(self.link(client, board))),
            },
        }
    }

    fn usb_message(&mut self, client: u32, message: usbip::Message) {
        let Some(link) = self.links.get_mut(&client) else { return };
        let board = &mut self.boards[link.board];
        match message {
            usbip::Message::Submit(urb) if link.device.is_debug(urb.endpoint) => {
                if link.device.idle() {
                    board.catch_up();
                }
                link.device.submit(urb);
                let due = board.due();
                self.deliver(client, due);
            }
            usbip::Message::Submit(urb) => {
                link.device.submit(urb);
                self.deliver(client, None);
            }
            usbip::Message::Unlink { seq, victim } => {
                let answer = usbip::unlinked(seq, link.device.unlink(victim));
                self.answer_usb(client, vec![Held::now(answer)]);
            }
        }
    }

    /// Hand a client what has ended; data in not before `due`.
    fn deliver(&mut self, client: u32, due: Option<Instant>) {
        let Some(link) = self.links.get_mut(&client) else { return };
        let held = |done: usb::Done| Held { bytes: usbip::submitted(&done), due: due.filter(|_| done.endpoint & 0x80 != 0) };
        let answers = link.device.done().into_iter().map(held).collect();
        self.answer_usb(client, answers);
    }

    fn answer_usb(&mut self, client: u32, answers: Vec<Held>) {
        let Some(link) = self.links.get(&client) else { return };
        if answers.into_iter().any(|held| link.answers.try_send(held).is_err()) {
            self.clients.get(&client).into_iter().for_each(|hang_up| hang_up());
        }
    }

    /// Boards go on while nobody asks anything; what they say by themselves goes to the hosts that wait for it.
    fn live(&mut self) {
        let busy = |number: usize| self.links.values().any(|link| link.board == number && !link.device.idle());
        let quiet: Vec<usize> = (0..self.boards.len()).filter(|number| !busy(*number)).collect();
        quiet.into_iter().for_each(|number| self.boards[number].catch_up());
        for client in self.links.keys().copied().collect::<Vec<_>>() {
            if let Some(link) = self.links.get_mut(&client) {
                link.device.poll();
            }
            self.deliver(client, None);
        }
    }
}

fn hang_up_tcp(stream: TcpStream) -> HangUp {
    Box::new(move || drop(stream.shutdown(Shutdown::Both)))
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

fn accept(listener: TcpListener, door: Door, post: Sender<Mail>) {
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => {
                if post.send(Mail::Client { stream, door }).is_err() {
                    return;
                }
            }
            // Out of file descriptors, or the client was gone before it was met: try again, not at full speed.
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// One client of ST's protocol: read a request, have it answered, write the answer; until it leaves or makes no sense.
fn converse(client: u32, mut stream: TcpStream, post: Sender<Mail>) {
    while let Ok(request) = tcp::read_request(&mut stream) {
        let (reply, answer) = mpsc::channel();
        if post.send(Mail::StLink { client, request, reply }).is_err() {
            return;
        }
        let Ok(held) = answer.recv() else { break };
        if held.write(&mut stream).is_err() {
            break;
        }
    }
    stream.shutdown(Shutdown::Both).ok();
    // Nobody is left to be told when the server has closed.
    post.send(Mail::Gone { client }).ok();
}

/// One client of USB/IP: requests until it has a device, then messages.
fn usb_client(client: u32, mut stream: TcpStream, post: Sender<Mail>) {
    let Ok(mut reader) = stream.try_clone().map(BufReader::new) else {
        post.send(Mail::Gone { client }).ok();
        return;
    };
    while let Ok(request) = usbip::read_request(&mut reader) {
        let (reply, answer) = mpsc::channel();
        if post.send(Mail::Usbip { client, request, reply }).is_err() {
            return;
        }
        let Ok((bytes, answers)) = answer.recv() else { break };
        if stream.write_all(&bytes).is_err() {
            break;
        }
        let Some(answers) = answers else { continue };
        let Ok(writer) = stream.try_clone() else { break };
        thread::spawn(move || write_answers(writer, answers));
        read_on(client, &mut reader, &post);
        break;
    }
    stream.shutdown(Shutdown::Both).ok();
    post.send(Mail::Gone { client }).ok();
}

/// The kernel as a client: messages from the start.
fn read_messages(client: u32, from: impl Read, post: Sender<Mail>) {
    read_on(client, &mut BufReader::new(from), &post);
    post.send(Mail::Gone { client }).ok();
}

fn read_on(client: u32, from: &mut impl Read, post: &Sender<Mail>) {
    while let Ok(message) = usbip::read_message(from) {
        if post.send(Mail::Usb { client, message }).is_err() {
            return;
        }
    }
}

/// Until the device is gone, or the client.
fn write_answers(mut to: impl Write, answers: Receiver<Held>) {
    for held in answers {
        if held.write(&mut to).is_err() {
            return;
        }
    }
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

/// So many bytes of a request.
fn take<const N: usize>(from: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// No request.
fn garbage() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

#[cfg(test)]
mod tests {
    use super::*;

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
