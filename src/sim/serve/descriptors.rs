//! What each kind of probe says it is on USB.
//!
//! Seen on real probes (`lsusb -v` of owners): the device descriptors, the strings 1 to 3, the number of interfaces, the
//! length of a configuration, the debug interface with its endpoints, the currents of V2 and V3, a V3's endpoints 83 and
//! 85. The 300 mA of a V2-1 are UM1724 6.3.1. *Assumed*: the other endpoints of disk and serial port, the CDC
//! capabilities, and a V3's `iConfiguration` text.

use super::super::probes::Kind;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speed {
    /// 12 Mbit/s; bulk packets of 64 bytes.
    Full = 2,
    /// 480 Mbit/s; bulk packets of 512 bytes.
    High = 3,
}

/// Address (bit 7: in), and for one of interrupts its packet and interval; bulk is of the bus's size.
#[derive(Debug)]
pub struct Endpoint {
    pub address: u8,
    interrupt: Option<(u16, u8)>,
}

#[derive(Debug)]
pub struct Interface {
    /// Class, subclass, protocol.
    pub class: [u8; 3],
    string: u8,
    /// Class descriptors between the interface's and its endpoints'.
    between: &'static [u8],
    endpoints: &'static [Endpoint],
}

#[derive(Debug)]
pub struct Shape {
    kind: &'static str,
    pub speed: Speed,
    pub class: [u8; 3],
    /// mA
    current: u16,
    configuration_string: u8,
    pub interfaces: &'static [Interface],
    /// The first interface and the string of the function that has two (serial port).
    association: Option<(u8, u8)>,
    /// From 1 on; `None`: the serial number.
    strings: &'static [Option<&'static str>],
}

pub const BCD_DEVICE: u16 = 0x0100;
pub const CONFIGURATION: u8 = 1;

const VENDOR: [u8; 3] = [0xFF, 0xFF, 0xFF];
/// SCSI, bulk only.
const DISK: [u8; 3] = [0x08, 0x06, 0x50];
const SERIAL: [u8; 3] = [0x02, 0x02, 0x01];
const SERIAL_DATA: [u8; 3] = [0x0A, 0x00, 0x00];
/// An interface association makes a function of two interfaces (USB ECN 2003).
const COMPOSITE: [u8; 3] = [0xEF, 0x02, 0x01];

/// Header (CDC 1.10), call management (none), ACM (line coding and state), union of interfaces 2 and 3 (CDC 5.2.3).
const CDC: &[u8] = &[5, 0x24, 0, 0x10, 1, 5, 0x24, 1, 0, 3, 4, 0x24, 2, 2, 5, 0x24, 6, 2, 3];

const fn bulk(address: u8) -> Endpoint {
    Endpoint { address, interrupt: None }
}

/// The serial port's endpoints: data in, data out; those of the disk: in, out.
pub const CONSOLE_IN: u8 = 0x85;
pub const CONSOLE_OUT: u8 = 0x02;
pub const DISK_IN: u8 = 0x83;
pub const DISK_OUT: u8 = 0x03;

const DISK_ENDS: &[Endpoint] = &[bulk(DISK_IN), bulk(DISK_OUT)];
const NOTIFY_ENDS: &[Endpoint] = &[Endpoint { address: 0x84, interrupt: Some((10, 255)) }];
const CONSOLE_ENDS: &[Endpoint] = &[bulk(CONSOLE_OUT), bulk(CONSOLE_IN)];
const DEBUG_ENDS: &[Endpoint] = &[bulk(0x81), bulk(0x01), bulk(0x82)];

const SHAPES: &[Shape] = &[
    Shape {
        kind: "v2",
        speed: Speed::Full,
        class: [0, 0, 0],
        current: 100,
        configuration_string: 0,
        interfaces: &[Interface { class: VENDOR, string: 4, between: &[], endpoints: &[bulk(0x81), bulk(0x02), bulk(0x83)] }],
        association: None,
        strings: &[Some("STMicroelectronics"), Some("STM32 STLink"), None, Some("ST Link")],
    },
    Shape {
        kind: "v2-1",
        speed: Speed::Full,
        class: COMPOSITE,
        current: 300,
        configuration_string: 0,
        interfaces: &[
            Interface { class: VENDOR, string: 4, between: &[], endpoints: DEBUG_ENDS },
            Interface { class: DISK, string: 5, between: &[], endpoints: DISK_ENDS },
            Interface { class: SERIAL, string: 6, between: CDC, endpoints: NOTIFY_ENDS },
            Interface { class: SERIAL_DATA, string: 7, between: &[], endpoints: CONSOLE_ENDS },
        ],
        association: Some((2, 6)),
        strings: &[
            Some("STMicroelectronics"),
            Some("STM32 STLink"),
            None,
            Some("ST-Link Debug"),
            Some("ST-Link Mass Storage"),
            Some("ST-Link VCP Ctrl"),
            Some("ST-Link VCP Data"),
        ],
    },
    Shape {
        kind: "v3",
        speed: Speed::High,
        class: COMPOSITE,
        current: 500,
        configuration_string: 4,
        interfaces: &[
            Interface { class: VENDOR, string: 5, between: &[], endpoints: DEBUG_ENDS },
            Interface { class: DISK, string: 6, between: &[], endpoints: DISK_ENDS },
            Interface { class: SERIAL, string: 7, between: CDC, endpoints: NOTIFY_ENDS },
            Interface { class: SERIAL_DATA, string: 8, between: &[], endpoints: CONSOLE_ENDS },
        ],
        association: Some((2, 7)),
        strings: &[
            Some("STMicroelectronics"),
            Some("STLINK-V3"),
            None,
            Some("Default Config"),
            Some("ST-Link Debug"),
            Some("ST-Link Mass Storage"),
            Some("ST-Link VCP Ctrl"),
            Some("ST-Link VCP Data"),
        ],
    },
];

// Descriptor types (USB 2.0 table 9-5; IAD: the ECN).
const DEVICE: u8 = 1;
const CONFIG: u8 = 2;
const STRING: u8 = 3;
const INTERFACE: u8 = 4;
const ENDPOINT: u8 = 5;
const QUALIFIER: u8 = 6;
const OTHER_SPEED: u8 = 7;
const ASSOCIATION: u8 = 11;

/// Of endpoint 0.
const CONTROL_PACKET: u8 = 64;
const ENGLISH_US: u16 = 0x0409;

impl Speed {
    /// Of bulk endpoints, bytes.
    pub fn packet(self) -> usize {
        match self {
            Speed::Full => 64,
            Speed::High => 512,
        }
    }
}

impl Shape {
    pub fn of(kind: &Kind) -> &'static Shape {
        SHAPES.iter().find(|shape| shape.kind == kind.name).unwrap_or(&SHAPES[0])
    }

    /// Debug: commands and data out, replies in, trace in.
    pub fn debug(&self) -> (u8, u8, u8) {
        let ends = self.interfaces[0].endpoints;
        (ends[1].address, ends[0].address, ends[2].address)
    }

    pub fn has(&self, endpoint: u8) -> bool {
        self.interfaces.iter().flat_map(|interface| interface.endpoints).any(|end| end.address == endpoint)
    }

    /// What GET_DESCRIPTOR of `wValue` gives; `None`: STALL. The language of a string is not looked at (assumed).
    pub fn descriptor(&self, value: u16, kind: &Kind, serial: &str) -> Option<Vec<u8>> {
        let [index, wanted] = value.to_le_bytes();
        let high = self.speed == Speed::High;
        match (wanted, index) {
            (DEVICE, 0) => Some(self.device(kind)),
            (CONFIG, 0) => Some(self.configuration(CONFIG, self.speed)),
            (STRING, 0) => Some([&[4, STRING], &ENGLISH_US.to_le_bytes()[..]].concat()),
            (STRING, _) => self.strings.get(usize::from(index) - 1).map(|text| string(text.unwrap_or(serial))),
            // What runs at full speed only has no other speed to tell of (USB 2.0 9.6.2).
            (QUALIFIER, 0) if high => Some([&[10, QUALIFIER, 0, 2][..], &self.class, &[CONTROL_PACKET, 1, 0]].concat()),
            (OTHER_SPEED, 0) if high => Some(self.configuration(OTHER_SPEED, Speed::Full)),
            _ => None,
        }
    }

    /// USB 2.0 table 9-8: bcdUSB 2.00; manufacturer, product and serial number are strings 1 to 3.
    fn device(&self, kind: &Kind) -> Vec<u8> {
        let ids = [kind.vid, kind.pid, BCD_DEVICE].map(u16::to_le_bytes).concat();
        [&[18, DEVICE, 0, 2][..], &self.class, &[CONTROL_PACKET], &ids, &[1, 2, 3, 1]].concat()
    }

    /// USB 2.0 tables 9-10, 9-12 and 9-13; bus powered, the current in units of 2 mA.
    fn configuration(&self, kind: u8, speed: Speed) -> Vec<u8> {
        let mut body = Vec::new();
        for (number, interface) in (0..).zip(self.interfaces) {
            if let Some((first, string)) = self.association.filter(|(first, _)| *first == number) {
                body.extend([8, ASSOCIATION, first, 2]);
                body.extend(SERIAL);
                body.push(string);
            }
            body.extend([9, INTERFACE, number, 0, interface.endpoints.len() as u8]);
            body.extend(interface.class);
            body.push(interface.string);
            body.extend(interface.between);
            body.extend(interface.endpoints.iter().flat_map(|end| end.descriptor(speed)));
        }
        let total = (9 + body.len() as u16).to_le_bytes();
        let head = [9, kind, total[0], total[1], self.interfaces.len() as u8, CONFIGURATION, self.configuration_string, 0x80];
        [&head[..], &[(self.current / 2) as u8], &body].concat()
    }
}

impl Interface {
    pub fn addresses(&self) -> Vec<u8> {
        self.endpoints.iter().map(|end| end.address).collect()
    }
}

impl Endpoint {
    fn descriptor(&self, speed: Speed) -> [u8; 7] {
        let (transfer, packet, interval) = match self.interrupt {
            None => (2, speed.packet() as u16, 0),
            Some((packet, interval)) => (3, packet, if speed == Speed::High { 11 } else { interval }),
        };
        let packet = packet.to_le_bytes();
        [7, ENDPOINT, self.address, transfer, packet[0], packet[1], interval]
    }
}

fn string(text: &str) -> Vec<u8> {
    let units: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    [&[2 + units.len() as u8, STRING], &units[..]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, value: u16) -> Option<Vec<u8>> {
        let kind = Kind::named(name).unwrap();
        Shape::of(kind).descriptor(value, kind, "066DFF515055657867152628")
    }

    #[test]
    fn every_kind_of_probe_has_a_shape_of_its_own() {
        for kind in super::super::super::probes::KINDS {
            assert_eq!(Shape::of(kind).kind, kind.name);
        }
    }

    #[test]
    fn device_descriptors_are_those_that_owners_saw() {
        let v2 = [18, 1, 0, 2, 0, 0, 0, 64, 0x83, 4, 0x48, 0x37, 0, 1, 1, 2, 3, 1];
        assert_eq!(of("v2", 0x0100).unwrap(), v2);
        let v3 = [18, 1, 0, 2, 239, 2, 1, 64, 0x83, 4, 0x4E, 0x37, 0, 1, 1, 2, 3, 1];
        assert_eq!(of("v3", 0x0100).unwrap(), v3);
    }

    /// Lengths 39 and 128, 1 and 4 interfaces, 100 and 500 mA, iConfiguration 0 and 4: as seen.
    #[test]
    fn configurations_have_the_length_that_owners_saw() {
        let v2 = of("v2", 0x0200).unwrap();
        assert_eq!((v2.len(), &v2[..9]), (39, &[9, 2, 39, 0, 1, 1, 0, 0x80, 50][..]));
        let v3 = of("v3", 0x0200).unwrap();
        assert_eq!((v3.len(), &v3[..9]), (128, &[9, 2, 128, 0, 4, 1, 4, 0x80, 250][..]));
        assert_eq!(v3[9..39], [9, 4, 0, 0, 3, 255, 255, 255, 5, 7, 5, 0x81, 2, 0, 2, 0, 7, 5, 1, 2, 0, 2, 0, 7, 5, 0x82, 2, 0, 2, 0]);
    }

    #[test]
    fn descriptors_chain_to_the_end_and_endpoints_are_there_once() {
        for name in ["v2", "v2-1", "v3"] {
            let whole = of(name, 0x0200).unwrap();
            let (mut at, mut ends, mut interfaces) = (0, vec![], 0);
            while at < whole.len() {
                let (len, kind) = (usize::from(whole[at]), whole[at + 1]);
                assert!(len >= 2, "{name} at {at}");
                interfaces += usize::from(kind == INTERFACE);
                if kind == ENDPOINT {
                    ends.push(whole[at + 2]);
                }
                at += len;
            }
            assert_eq!((at, interfaces), (whole.len(), usize::from(whole[4])), "{name}");
            let count = ends.len();
            ends.sort_unstable();
            ends.dedup();
            assert_eq!(ends.len(), count, "{name}");
        }
    }

    #[test]
    fn strings_begin_with_the_list_of_languages() {
        assert_eq!(of("v2-1", 0x0300).unwrap(), [4, 3, 9, 4]);
        let serial = of("v2-1", 0x0303).unwrap();
        assert_eq!((serial.len(), &serial[..6]), (50, &[50, 3, b'0', 0, b'6', 0][..]));
        assert_eq!(of("v2", 0x0304).unwrap().len(), 2 + 2 * "ST Link".len());
        assert_eq!(of("v2", 0x0305), None);
    }

    #[test]
    fn only_what_can_run_at_two_speeds_tells_of_the_other() {
        assert_eq!((of("v2", 0x0600), of("v2-1", 0x0700)), (None, None));
        assert_eq!(of("v3", 0x0600).unwrap(), [10, 6, 0, 2, 239, 2, 1, 64, 1, 0]);
        let other = of("v3", 0x0700).unwrap();
        assert_eq!((other[1], &other[18..25]), (7, &[7, 5, 0x81, 2, 64, 0, 0][..]));
    }
}
