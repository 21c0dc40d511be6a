//! What is behind the endpoints of a probe: debug and trace, the disk, the serial port; each packet by packet.

use super::super::cable::{Inject, due};
use super::super::{Board, Inner};
use std::collections::VecDeque;

/// How an endpoint takes a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Ack,
    Stall,
}

const BLOCK: usize = 16;

/// Commands, data and replies of the debug interface.
pub struct Debug {
    board: Board,
    /// A command that is not whole yet: it has 16 bytes, in as many packets as they come in (assumed).
    block: Vec<u8>,
    /// What a test made go wrong with the command that is under way.
    due: Vec<Inject>,
}

impl Debug {
    pub fn new(board: Board) -> Debug {
        Debug { board, block: Vec::new(), due: Vec::new() }
    }

    /// Nothing is half done: the next packet begins a command.
    pub fn idle(&self) -> bool {
        self.block.is_empty() && !self.board.0.borrow().probe.receiving()
    }

    pub fn forget(&mut self) {
        self.block.clear();
        self.due.clear();
    }

    /// A packet of the OUT endpoint, which is short below `whole` bytes. What a packet has behind a command is dropped;
    /// a short one ends a data phase, whose command is not begun then (both assumed).
    pub fn out(&mut self, packet: &[u8], whole: usize) -> Handshake {
        let board = self.board.clone();
        let mut inner = board.0.borrow_mut();
        if inner.probe.receiving() {
            inner.probe.out(packet);
            if packet.len() < whole {
                inner.probe.begin();
            }
        } else {
            let room = BLOCK - self.block.len();
            self.block.extend(&packet[..packet.len().min(room)]);
            if self.block.len() == BLOCK {
                return self.command(&mut inner);
            }
        }
        self.cut(&mut inner);
        Handshake::Ack
    }

    fn command(&mut self, inner: &mut Inner) -> Handshake {
        let block = std::mem::take(&mut self.block);
        self.due = due(&mut inner.injected);
        for what in &self.due {
            inner.apply(*what);
        }
        // Pulled by what was due: nobody is there to answer.
        if !inner.plugged {
            return Handshake::Ack;
        }
        if self.due.contains(&Inject::Stall) {
            return Handshake::Stall;
        }
        inner.probe.out(&block);
        self.cut(inner);
        Handshake::Ack
    }

    fn cut(&mut self, inner: &mut Inner) {
        for what in std::mem::take(&mut self.due) {
            match what {
                Inject::ShortReply(len) => drop(inner.probe.cut(len)),
                // Where no reply is due silence is not noticed: the next command has it.
                Inject::Silent if !inner.probe.cut(0) => inner.injected.push((0, what)),
                _ => {}
            }
        }
    }

    /// The length of the packet that is ready; `None`: NAK. No packet of no bytes follows a reply whose last packet is
    /// whole (assumed: hosts ask for as much as comes).
    pub fn ready(&self, whole: usize) -> Option<usize> {
        Some(self.board.0.borrow().probe.waiting().min(whole)).filter(|len| *len > 0)
    }

    pub fn input(&mut self, len: usize) -> Vec<u8> {
        self.board.0.borrow_mut().probe.input(len).unwrap_or_default()
    }

    /// As `ready`, of the trace endpoint.
    pub fn traced(&self, whole: usize) -> Option<usize> {
        Some(self.board.0.borrow().probe.traced().min(whole)).filter(|len| *len > 0)
    }

    pub fn trace(&mut self, len: usize) -> Vec<u8> {
        self.board.0.borrow_mut().probe.trace_input(len)
    }
}

/// A disk that fails every SCSI command: mass storage is on the bus, and nothing is behind it (assumed).
#[derive(Default)]
pub struct Disk {
    status: Option<[u8; Disk::CSW]>,
}

impl Disk {
    // Command and status wrappers (USB Mass Storage Bulk-Only 1.0, 5.1 and 5.2).
    const CBW: usize = 31;
    const CSW: usize = 13;
    const FAILED: u8 = 1;

    /// A command; whether data in was announced, which ends in a STALL (6.7.2). What is no command stalls (6.6.1).
    pub fn out(&mut self, packet: &[u8]) -> (Handshake, bool) {
        if packet.len() != Disk::CBW || packet[..4] != *b"USBC" {
            return (Handshake::Stall, true);
        }
        let mut status = [0; Disk::CSW];
        status[..4].copy_from_slice(b"USBS");
        // The tag, then the length of the data, none of which moves.
        status[4..12].copy_from_slice(&packet[4..12]);
        status[12] = Disk::FAILED;
        self.status = Some(status);
        let (data, input) = (packet[8..12] != [0; 4], packet[12] & 0x80 != 0);
        if data && !input { (Handshake::Stall, false) } else { (Handshake::Ack, data) }
    }

    pub fn ready(&self) -> Option<usize> {
        self.status.map(|status| status.len())
    }

    pub fn input(&mut self) -> Vec<u8> {
        self.status.take().map(Vec::from).unwrap_or_default()
    }
}

/// The serial port is the other end of the board's console: what that sends comes here (`sim uart` does not see it then),
/// at the firmware's own baud rate.
pub struct Console {
    board: Board,
    /// Rate, stop bits, parity, data bits (CDC PSTN 6.3.11): kept and given back, without effect.
    pub line: [u8; 7],
    sent: VecDeque<u8>,
}

impl Console {
    pub fn new(board: Board) -> Console {
        // 115200 baud, 8N1
        Console { board, line: [0, 0xC2, 1, 0, 0, 0, 8], sent: VecDeque::new() }
    }

    /// What no firmware listens to is lost, as on a wire.
    pub fn out(&mut self, packet: &[u8]) -> Handshake {
        let _ = self.board.send(None, packet);
        Handshake::Ack
    }

    pub fn ready(&mut self, whole: usize) -> Option<usize> {
        self.sent.extend(self.board.take_sent(None).unwrap_or_default());
        Some(self.sent.len().min(whole)).filter(|len| *len > 0)
    }

    pub fn input(&mut self, len: usize) -> Vec<u8> {
        self.sent.drain(..len).collect()
    }
}
