//! A board's probe as a USB device: control requests, and the transfers (URBs) that wait at its endpoints.
//!
//! As hardware does it: an IN transfer with nothing to send is NAKed, that is, it stays until data comes or it is
//! unlinked; it ends with a short packet or when it is full, and a packet that does not fit is an overflow. A stalled
//! endpoint stays stalled until CLEAR_FEATURE.

use super::super::Board;
use super::descriptors::{CONFIGURATION, CONSOLE_IN, CONSOLE_OUT, DISK_IN, DISK_OUT, Shape};
use super::functions::{Console, Debug, Disk, Handshake};
use std::collections::BTreeSet;

/// A transfer that a host wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Urb {
    pub seq: u32,
    /// Bit 7: in. 0 or 0x80: control.
    pub endpoint: u8,
    pub setup: [u8; 8],
    /// Room for data in.
    pub len: usize,
    /// Data out.
    pub data: Vec<u8>,
    /// Data out of whole packets ends with a packet of no bytes.
    pub zero: bool,
}

/// How a transfer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    pub seq: u32,
    pub endpoint: u8,
    /// 0, or what Linux calls it, negative.
    pub status: i32,
    /// Bytes moved.
    pub moved: usize,
    /// Data in.
    pub data: Vec<u8>,
}

// Linux's names for how a transfer ends.
/// No such endpoint: nobody answers.
pub const EPROTO: i32 = -71;
pub const EPIPE: i32 = -32;
pub const EOVERFLOW: i32 = -75;
pub const ENOMEM: i32 = -12;
/// Unlinked.
pub const ECONNRESET: i32 = -104;

/// More transfers than any host has waiting at one device.
const MOST: usize = 256;
const INPUT: u8 = 0x80;
const ENDPOINT_HALT: u16 = 0;

/// USB 2.0 9.4, table 9-4.
mod request {
    pub const GET_STATUS: u8 = 0;
    pub const CLEAR_FEATURE: u8 = 1;
    pub const SET_FEATURE: u8 = 3;
    pub const SET_ADDRESS: u8 = 5;
    pub const GET_DESCRIPTOR: u8 = 6;
    pub const GET_CONFIGURATION: u8 = 8;
    pub const SET_CONFIGURATION: u8 = 9;
    pub const GET_INTERFACE: u8 = 10;
    pub const SET_INTERFACE: u8 = 11;
    // Bulk-only mass storage 3.1 and 3.2.
    pub const GET_MAX_LUN: u8 = 0xFE;
    pub const RESET_DISK: u8 = 0xFF;
    // CDC PSTN 6.3.
    pub const SET_LINE_CODING: u8 = 0x20;
    pub const GET_LINE_CODING: u8 = 0x21;
    pub const SET_CONTROL_LINES: u8 = 0x22;
}

/// An answer to a control request; `None`: STALL.
type Answer = Option<Vec<u8>>;

pub struct Device {
    board: Board,
    shape: &'static Shape,
    configuration: u8,
    halted: BTreeSet<u8>,
    /// IN transfers in the order they came, each with what it has so far in `data`.
    waiting: Vec<Urb>,
    done: Vec<Done>,
    debug: Debug,
    disk: Disk,
    console: Console,
}

impl Device {
    /// Just plugged in: not configured.
    pub fn new(board: &Board) -> Device {
        Device {
            board: board.clone(),
            shape: Shape::of(board.0.borrow().probe.kind),
            configuration: 0,
            halted: BTreeSet::new(),
            waiting: Vec::new(),
            done: Vec::new(),
            debug: Debug::new(board.clone()),
            disk: Disk::default(),
            console: Console::new(board.clone()),
        }
    }

    /// The endpoint takes commands of the probe.
    pub fn is_debug(&self, endpoint: u8) -> bool {
        let (out, input, _) = self.shape.debug();
        endpoint == out || endpoint == input
    }

    /// No command is half done, and no reply is waiting.
    pub fn idle(&self) -> bool {
        self.debug.idle() && self.debug.ready(1).is_none()
    }

    /// Begin a transfer; `done` tells how it ended, perhaps later.
    pub fn submit(&mut self, urb: Urb) {
        match urb.endpoint {
            0 | INPUT => self.control(urb),
            _ if self.configuration == 0 || !self.shape.has(urb.endpoint) => self.end(urb, EPROTO, 0),
            _ if self.halted.contains(&urb.endpoint) => self.end(urb, EPIPE, 0),
            endpoint if endpoint & INPUT == 0 => self.output(urb),
            _ if self.waiting.len() >= MOST => self.end(urb, ENOMEM, 0),
            _ => self.waiting.push(Urb { data: Vec::new(), ..urb }),
        }
        self.poll();
    }

    /// Cancel a transfer that waits; false: it is not there, it has ended.
    pub fn unlink(&mut self, seq: u32) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|urb| urb.seq != seq);
        self.waiting.len() < before
    }

    /// What has ended since this was last asked.
    pub fn done(&mut self) -> Vec<Done> {
        std::mem::take(&mut self.done)
    }

    /// Give the transfers that wait what there is by now.
    pub fn poll(&mut self) {
        let (mut kept, mut busy) = (Vec::new(), BTreeSet::new());
        for mut urb in std::mem::take(&mut self.waiting) {
            // One transfer at a time has an endpoint, in the order they came.
            let status = if busy.contains(&urb.endpoint) { None } else { self.fill(&mut urb) };
            match status {
                Some(status) => {
                    let moved = urb.data.len();
                    self.end(urb, status, moved);
                }
                None => {
                    busy.insert(urb.endpoint);
                    kept.push(urb);
                }
            }
        }
        self.waiting = kept;
    }

    fn end(&mut self, urb: Urb, status: i32, moved: usize) {
        let data = if urb.endpoint & INPUT != 0 { urb.data } else { Vec::new() };
        self.done.push(Done { seq: urb.seq, endpoint: urb.endpoint, status, moved, data });
    }

    fn output(&mut self, urb: Urb) {
        let whole = self.shape.speed.packet();
        let mut packets: Vec<&[u8]> = urb.data.chunks(whole).collect();
        if urb.data.is_empty() || urb.zero && urb.data.len().is_multiple_of(whole) {
            packets.push(&[]);
        }
        let mut moved = 0;
        let mut status = 0;
        for packet in packets {
            if self.packet(urb.endpoint, packet, whole) == Handshake::Stall {
                self.halted.insert(urb.endpoint);
                status = EPIPE;
                break;
            }
            moved += packet.len();
        }
        self.end(urb, status, moved);
    }

    fn packet(&mut self, endpoint: u8, packet: &[u8], whole: usize) -> Handshake {
        match endpoint {
            _ if endpoint == self.shape.debug().0 => self.debug.out(packet, whole),
            DISK_OUT => {
                let (handshake, stall_input) = self.disk.out(packet);
                if stall_input {
                    self.halted.insert(DISK_IN);
                }
                handshake
            }
            CONSOLE_OUT => self.console.out(packet),
            _ => Handshake::Stall,
        }
    }

    /// Packets for an IN transfer; its status when it has ended.
    fn fill(&mut self, urb: &mut Urb) -> Option<i32> {
        if self.halted.contains(&urb.endpoint) {
            return Some(EPIPE);
        }
        let whole = self.shape.speed.packet();
        loop {
            let room = urb.len - urb.data.len();
            if room == 0 && urb.len > 0 {
                return Some(0);
            }
            let len = match self.ready(urb.endpoint, whole)? {
                // The host is not ready for it, so it stays.
                len if len > room => return Some(EOVERFLOW),
                len => len,
            };
            urb.data.extend(self.take(urb.endpoint, len));
            if len < whole {
                return Some(0);
            }
        }
    }

    /// The length of the packet that an IN endpoint has.
    fn ready(&mut self, endpoint: u8, whole: usize) -> Option<usize> {
        let (_, debug, trace) = self.shape.debug();
        match endpoint {
            _ if endpoint == debug => self.debug.ready(whole),
            _ if endpoint == trace => self.debug.traced(whole),
            DISK_IN => self.disk.ready(),
            CONSOLE_IN => self.console.ready(whole),
            _ => None,
        }
    }

    fn take(&mut self, endpoint: u8, len: usize) -> Vec<u8> {
        match endpoint {
            DISK_IN => self.disk.input(),
            CONSOLE_IN => self.console.input(len),
            _ if endpoint == self.shape.debug().2 => self.debug.trace(len),
            _ => self.debug.input(len),
        }
    }

    fn control(&mut self, mut urb: Urb) {
        let [kind, request, ..] = urb.setup;
        let half = |at: usize| u16::from_le_bytes([urb.setup[at], urb.setup[at + 1]]);
        let (value, index, len) = (half(2), half(4), usize::from(half(6)));
        let answer = self.answer(kind, request, value, index, &urb.data);
        let (status, moved) = match answer {
            None => (EPIPE, 0),
            Some(mut bytes) if kind & INPUT != 0 => {
                bytes.truncate(len.min(urb.len));
                urb.data = bytes;
                (0, urb.data.len())
            }
            Some(_) => (0, urb.data.len()),
        };
        // The direction is the request's, whatever the header says.
        urb.endpoint = kind & INPUT;
        self.end(urb, status, moved);
    }

    fn answer(&mut self, kind: u8, request: u8, value: u16, index: u16, data: &[u8]) -> Answer {
        use request::*;
        let endpoint = index as u8;
        match (kind, request) {
            // Bus powered, no remote wakeup.
            (0x80, GET_STATUS) => Some(vec![0, 0]),
            (0x81, GET_STATUS) => self.interface(index).map(|_| vec![0, 0]),
            (0x82, GET_STATUS) => self.endpoint(endpoint).map(|()| vec![u8::from(self.halted.contains(&endpoint)), 0]),
            (0x02, CLEAR_FEATURE | SET_FEATURE) if value == ENDPOINT_HALT => {
                self.endpoint(endpoint)?;
                if request == CLEAR_FEATURE {
                    self.halted.remove(&endpoint)
                } else {
                    self.halted.insert(endpoint)
                };
                Some(Vec::new())
            }
            (0x00, SET_ADDRESS) => Some(Vec::new()),
            (0x80, GET_DESCRIPTOR) => {
                let inner = self.board.0.borrow();
                self.shape.descriptor(value, inner.probe.kind, &inner.serial)
            }
            (0x80, GET_CONFIGURATION) => Some(vec![self.configuration]),
            (0x00, SET_CONFIGURATION) => self.configure(value),
            // There is one setting of each interface.
            (0x81, GET_INTERFACE) => self.interface(index).map(|_| vec![0]),
            (0x01, SET_INTERFACE) if value == 0 => self.interface(index).map(|number| self.rest(number)),
            (0xA1, GET_MAX_LUN) => self.disk_at(index).map(|()| vec![0]),
            (0x21, RESET_DISK) => self.disk_at(index).map(|()| self.disk = Disk::default()).map(|()| Vec::new()),
            (0x21, SET_LINE_CODING) => {
                self.console.line = data.try_into().ok()?;
                Some(Vec::new())
            }
            (0xA1, GET_LINE_CODING) => self.shape.has(CONSOLE_IN).then(|| self.console.line.to_vec()),
            (0x21, SET_CONTROL_LINES) => self.shape.has(CONSOLE_IN).then(Vec::new),
            _ => None,
        }
    }

    fn interface(&self, index: u16) -> Option<u16> {
        (self.configuration != 0 && usize::from(index) < self.shape.interfaces.len()).then_some(index)
    }

    fn endpoint(&self, endpoint: u8) -> Option<()> {
        (endpoint & !INPUT == 0 || self.configuration != 0 && self.shape.has(endpoint)).then_some(())
    }

    fn disk_at(&self, index: u16) -> Option<()> {
        (index == 1 && self.shape.has(DISK_IN)).then_some(())
    }

    /// A port reset ends with this; USB/IP does not tell of the reset itself, so the probe starts over here (assumed).
    fn configure(&mut self, value: u16) -> Answer {
        if value > u16::from(CONFIGURATION) {
            return None;
        }
        self.configuration = value as u8;
        self.halted.clear();
        self.debug.forget();
        self.board.0.borrow_mut().probe.start_over();
        Some(Vec::new())
    }

    /// SET_INTERFACE: its endpoints are as after SET_CONFIGURATION (USB 2.0 9.1.1.5).
    fn rest(&mut self, interface: u16) -> Vec<u8> {
        let ends = self.shape.interfaces[usize::from(interface)].addresses();
        self.halted.retain(|halted| !ends.contains(halted));
        if interface == 0 {
            self.debug.forget();
        }
        Vec::new()
    }
}

#[cfg(test)]
mod tests;
