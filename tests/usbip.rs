//! The board as a USB device over a network: a small USB/IP client on the loopback interface.

use rocd::sim::serve::{Clock, Heard, Server};
use rocd::sim::{Board, Config, Inject};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

type Work = Box<dyn FnOnce(&Board) + Send>;

/// Boards live in the thread that serves them; work for the first one is sent there.
struct Served {
    address: SocketAddr,
    work: Sender<Work>,
    thread: Option<JoinHandle<usize>>,
}

impl Served {
    fn new(probes: &'static [&'static str], clock: Clock) -> Served {
        let (tell, told) = mpsc::channel();
        let (work, to_do) = mpsc::channel::<Work>();
        let thread = std::thread::spawn(move || {
            let config = |probe: &&str| Config { chip: Some("stm32g071".into()), probe: Some(probe.to_string()), ..Config::default() };
            let boards: Vec<Board> =
                probes.iter().enumerate().map(|(n, probe)| Board::numbered(&config(probe), n as u32).unwrap()).collect();
            let mut server = Server::new(boards.clone(), clock);
            tell.send(server.usbip("127.0.0.1:0").unwrap()).unwrap();
            let mut left = 0;
            loop {
                left += usize::from(matches!(server.next(Duration::from_millis(5)), Some(Heard::Left)));
                match to_do.try_recv() {
                    Ok(work) => work(&boards[0]),
                    Err(mpsc::TryRecvError::Empty) => {}
                    Err(mpsc::TryRecvError::Disconnected) => break,
                }
            }
            server.close();
            left
        });
        Served { address: told.recv().unwrap(), work, thread: Some(thread) }
    }

    fn on_board(&self, work: impl FnOnce(&Board) + Send + 'static) {
        let (tell, told) = mpsc::channel();
        self.work
            .send(Box::new(move |board| {
                work(board);
                tell.send(()).unwrap();
            }))
            .unwrap();
        told.recv().unwrap();
    }

    fn client(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        Client { stream, seq: 0 }
    }

    /// A client that has the board and has configured it.
    fn device(&self, bus_id: &str) -> Client {
        let mut client = self.client();
        assert_eq!(client.import(bus_id), 0);
        assert_eq!(client.control([0x00, 9, 1, 0, 0, 0, 0, 0]), (0, vec![]));
        client
    }

    /// How many clients left while it served.
    fn end(mut self) -> usize {
        drop(self.work);
        self.thread.take().unwrap().join().unwrap()
    }
}

struct Client {
    stream: TcpStream,
    seq: u32,
}

impl Client {
    fn read(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// Bus ids and product ids of what can be had.
    fn list(&mut self) -> Vec<(String, u16)> {
        self.stream.write_all(&[1, 0x11, 0x80, 5, 0, 0, 0, 0]).unwrap();
        let head = self.read(12);
        assert_eq!(head[..8], [1, 0x11, 0, 5, 0, 0, 0, 0]);
        let one = |client: &mut Client| {
            let device = client.read(312);
            client.read(4 * usize::from(device[311]));
            let bus_id = String::from_utf8(device[256..288].to_vec()).unwrap();
            (bus_id.trim_end_matches('\0').to_string(), u16::from_be_bytes([device[302], device[303]]))
        };
        (0..word(&head, 8)).map(|_| one(self)).collect()
    }

    /// The status; a device is the client's when it is 0.
    fn import(&mut self, bus_id: &str) -> u32 {
        let mut request = [&[1, 0x11, 0x80, 3, 0, 0, 0, 0], bus_id.as_bytes()].concat();
        request.resize(40, 0);
        self.stream.write_all(&request).unwrap();
        let head = self.read(8);
        assert_eq!(head[..4], [1, 0x11, 0, 3]);
        if word(&head, 4) == 0 {
            self.read(312);
        }
        word(&head, 4)
    }

    fn submit(&mut self, endpoint: u8, setup: [u8; 8], len: usize, data: &[u8]) -> u32 {
        self.seq += 1;
        let input = u32::from(endpoint & 0x80 != 0);
        let len = if input == 1 { len } else { data.len() };
        let words = [1, self.seq, 0x10002, input, u32::from(endpoint & 15), 0, len as u32, 0, 0, 0];
        let message = [&words.map(u32::to_be_bytes).concat()[..], &setup, data].concat();
        self.stream.write_all(&message).unwrap();
        self.seq
    }

    fn unlink(&mut self, victim: u32) -> i32 {
        self.seq += 1;
        let words = [2, self.seq, 0x10002, 0, 0, victim, 0, 0, 0, 0, 0, 0];
        self.stream.write_all(&words.map(u32::to_be_bytes).concat()).unwrap();
        let reply = self.read(48);
        assert_eq!((word(&reply, 0), word(&reply, 4)), (4, self.seq));
        word(&reply, 20) as i32
    }

    /// The end of transfer `seq`, which must be the next to end: status, and data in.
    fn ended(&mut self, seq: u32, input: bool) -> (i32, Vec<u8>) {
        let head = self.read(48);
        assert_eq!((word(&head, 0), word(&head, 4)), (3, seq));
        let data = if input { self.read(word(&head, 24) as usize) } else { Vec::new() };
        (word(&head, 20) as i32, data)
    }

    fn control(&mut self, setup: [u8; 8]) -> (i32, Vec<u8>) {
        let input = setup[0] & 0x80;
        let seq = self.submit(input, setup, usize::from(setup[6]), &[]);
        self.ended(seq, input != 0)
    }

    fn put(&mut self, data: &[u8]) -> i32 {
        let seq = self.submit(0x01, [0; 8], 0, data);
        self.ended(seq, false).0
    }

    fn ask(&mut self, command: &[u8], len: usize) -> Vec<u8> {
        let mut block = command.to_vec();
        block.resize(16, 0);
        assert_eq!(self.put(&block), 0);
        let seq = self.submit(0x81, [0; 8], len, &[]);
        let (status, data) = self.ended(seq, true);
        assert_eq!(status, 0);
        data
    }

    fn closed(&mut self) -> bool {
        // A reset counts: the server may close with bytes of ours unread.
        self.stream.read(&mut [0]).map_or(true, |count| count == 0)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[test]
fn a_client_lists_imports_and_talks_to_the_probe() {
    let served = Served::new(&["v2-1", "v3"], Clock::Virtual);
    assert_eq!(served.client().list(), [("1-1".to_string(), 0x374B), ("1-2".into(), 0x374E)]);
    let mut client = served.client();
    assert_ne!(client.import("1-3"), 0, "there is no third");
    assert_eq!(client.import("1-1"), 0);
    let (status, descriptor) = client.control([0x80, 6, 0, 1, 0, 0, 64, 0]);
    assert_eq!((status, &descriptor[..]), (0, &[18, 1, 0, 2, 239, 2, 1, 64, 0x83, 4, 0x4B, 0x37, 0, 1, 1, 2, 3, 1][..]));
    assert_eq!(client.control([0x00, 9, 1, 0, 0, 0, 0, 0]), (0, vec![]));
    assert_eq!(client.ask(&[0xF1], 6), [0x28, 0x59, 0x83, 4, 0x4B, 0x37]);
    assert_eq!(client.ask(&[0xF2, 0x30, 0xA3], 2), [0x80, 0]);
    let data: Vec<u8> = (0..128).collect();
    let mut write = vec![0xF2, 0x08, 0, 0, 0, 0x20, 128, 0];
    write.resize(16, 0);
    assert_eq!((client.put(&write), client.put(&data)), (0, 0));
    assert_eq!(client.ask(&[0xF2, 0x07, 0, 0, 0, 0x20, 128, 0], 128), data);
    // What one has, another cannot have, and does not see; what is given back is there again.
    assert_eq!(served.client().list(), [("1-2".to_string(), 0x374E)]);
    assert_ne!(served.client().import("1-1"), 0);
    drop(client);
    let end = Instant::now() + Duration::from_secs(5);
    while served.client().list().len() < 2 {
        assert!(Instant::now() < end);
    }
    assert_eq!(served.device("1-1").ask(&[0xF5], 2), [1, 0], "it starts over");
}

#[test]
fn a_reply_that_is_not_there_is_waited_for_until_it_comes_or_is_unlinked() {
    let served = Served::new(&["v2-1"], Clock::Virtual);
    let mut client = served.device("1-1");
    let waiting = client.submit(0x81, [0; 8], 6, &[]);
    assert_eq!(client.control([0x80, 8, 0, 0, 0, 0, 1, 0]), (0, vec![1]), "others pass it");
    assert_eq!(client.unlink(waiting), -104);
    assert_eq!(client.unlink(waiting), 0, "it is gone");
    let waiting = client.submit(0x81, [0; 8], 6, &[]);
    let mut version = vec![0xF1];
    version.resize(16, 0);
    assert_eq!(client.put(&version), 0);
    assert_eq!(client.ended(waiting, true), (0, vec![0x28, 0x59, 0x83, 4, 0x4B, 0x37]));
}

#[test]
fn a_stall_is_a_stall_until_it_is_cleared() {
    let served = Served::new(&["v2-1"], Clock::Virtual);
    let mut client = served.device("1-1");
    served.on_board(|board| board.inject(Inject::Stall));
    assert_eq!(client.put(&[0xF1; 16]), -32);
    assert_eq!(client.put(&[0xF1; 16]), -32);
    assert_eq!(client.control([0x02, 1, 0, 0, 1, 0, 0, 0]), (0, vec![]));
    assert_eq!(client.ask(&[0xF5], 2), [1, 0]);
}

#[test]
fn a_pulled_plug_ends_the_connection_and_it_can_be_had_again() {
    let served = Served::new(&["v2-1"], Clock::Virtual);
    let mut client = served.device("1-1");
    client.submit(0x81, [0; 8], 6, &[]);
    served.on_board(Board::unplug);
    assert!(client.closed());
    assert_eq!(served.client().list(), []);
    assert_ne!(served.client().import("1-1"), 0);
    served.on_board(Board::plug);
    let mut client = served.device("1-1");
    served.on_board(|board| board.inject_after(1, Inject::Unplug));
    assert_eq!(client.ask(&[0xF5], 2), [1, 0]);
    client.submit(0x01, [0; 8], 0, &[0xF5; 16]);
    // The command may be acknowledged before the plug is gone.
    let end = Instant::now() + Duration::from_secs(5);
    while !client.closed() {
        assert!(Instant::now() < end);
    }
}

#[test]
fn garbage_and_half_messages_cost_nobody_else_anything() {
    let served = Served::new(&["v2-1", "v3"], Clock::Virtual);
    let mut good = served.device("1-1");
    let mut browser = served.client();
    browser.stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut half = served.client();
    half.stream.write_all(&[1, 0x11, 0x80, 3, 0, 0, 0, 0, b'1']).unwrap();
    let mut babbler = served.device("1-2");
    babbler.stream.write_all(&[0xFF; 48]).unwrap();
    for _ in 0..20 {
        assert_eq!(good.ask(&[0xF5], 2), [1, 0]);
    }
    assert!(browser.closed());
    assert!(babbler.closed());
    // In the middle of a transfer: of its header, of its data, with a reply pending.
    for cut in [20, 48, 50] {
        let end = Instant::now() + Duration::from_secs(5);
        while !served.client().list().iter().any(|(bus_id, _)| bus_id == "1-2") {
            assert!(Instant::now() < end);
        }
        let mut leaver = served.device("1-2");
        leaver.submit(0x81, [0; 8], 64, &[]);
        let words = [1, 99, 0x10002, 0, 1, 0, 16, 0, 0, 0, 0, 0].map(u32::to_be_bytes).concat();
        leaver.stream.write_all(&[words, vec![0xF1, 0]].concat()[..cut]).unwrap();
        drop(leaver);
        assert_eq!(good.ask(&[0xF5], 2), [1, 0]);
    }
    // One that asks and never reads is given up.
    let end = Instant::now() + Duration::from_secs(5);
    while !served.client().list().iter().any(|(bus_id, _)| bus_id == "1-2") {
        assert!(Instant::now() < end);
    }
    let mut deaf = served.device("1-2");
    let words = [1, 7, 0x10002, 1, 0, 0, 255, 0, 0, 0].map(u32::to_be_bytes).concat();
    let strings = [&words[..], &[0x80, 6, 5, 3, 0, 0, 255, 0]].concat();
    let end = Instant::now() + Duration::from_secs(20);
    deaf.stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    while deaf.stream.write_all(&strings).is_ok() {
        assert!(Instant::now() < end, "it is never given up");
    }
    assert_eq!(good.ask(&[0xF5], 2), [1, 0]);
    assert!(served.end() >= 5);
}

/// 40 reads of 6144 bytes at 4 MHz: 1536 words of 22.05 µs and 80 µs each, 1.358 s by the model.
#[test]
fn a_paced_board_takes_the_time_that_the_model_says() {
    let served = Served::new(&["v2-1"], Clock::Paced);
    let mut client = served.device("1-1");
    assert_eq!(client.ask(&[0xF2, 0x43, 0, 0], 2), [0x80, 0]);
    assert_eq!(client.ask(&[0xF2, 0x30, 0xA3], 2), [0x80, 0]);
    let start = Instant::now();
    for _ in 0..40 {
        assert_eq!(client.ask(&[0xF2, 0x07, 0, 0, 0, 0x20, 0, 24], 6144).len(), 6144);
    }
    // No upper bound: the machine may be slow. The replies came no earlier than a real probe's.
    assert!(start.elapsed() >= Duration::from_millis(1350), "{:?}", start.elapsed());
}
