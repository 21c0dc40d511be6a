//! ST-Link V2, V2-1 and V3.

use super::{Driver, UsbId};

const USB: &[UsbId] = &[UsbId { vid: 0x0483, pid: 0x3748, name: "ST-Link V2", out: 0x02, input: 0x81, trace: 0x83 }];

pub const DRIVER: Driver = Driver { name: "stlink", usb: USB, open: |_, _| todo!() };
