//! Plugging a board into this kernel's vhci_hcd (Linux Documentation/usb/usbip_protocol.rst, drivers/usb/usbip).
//!
//! The kernel is given one end of a socket pair and talks USB/IP on it; the device is gone when the other end closes.

use crate::error::{Error, Result};
use crate::sim::Board;

/// Ports of the first controller for full and high speed (CONFIG_USBIP_VHCI_HC_PORTS: 8; the other 8 are for USB 3).
pub const PORTS: usize = 8;

#[cfg(target_os = "linux")]
pub use linux::attach;

#[cfg(not(target_os = "linux"))]
pub fn attach(_: usize, _: usize, _: &Board) -> Result<std::net::TcpStream> {
    Err(Error::command("only Linux has vhci_hcd").hint("`--usbip 127.0.0.1:3240` serves another machine"))
}

#[cfg(target_os = "linux")]
mod linux {
    use super::super::usbip::{device_id, speed};
    use super::*;
    use std::io::{self, ErrorKind};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::thread;
    use std::time::Duration;

    const ATTACH: &str = "/sys/devices/platform/vhci_hcd.0/attach";
    /// The kernel needs a moment to let go of a port whose device was pulled. Assumed: a second is enough.
    const TRIES: usize = 50;
    const PAUSE: Duration = Duration::from_millis(20);

    /// Our end of the board numbered `number`, plugged into `port`.
    pub fn attach(port: usize, number: usize, board: &Board) -> Result<UnixStream> {
        let refuse = |error: io::Error| {
            let said = Error::command(format!("board {number} cannot be plugged into port {port} of vhci_hcd ({ATTACH}): {error}"));
            match error.kind() {
                ErrorKind::NotFound => said.hint("load the kernel's module: modprobe vhci_hcd"),
                ErrorKind::PermissionDenied => said.hint("only root may write there"),
                _ => said.hint(format!("ports are 0 to {}; /sys/devices/platform/vhci_hcd.0/status shows which are free", PORTS - 1)),
            }
        };
        let (ours, kernels) = UnixStream::pair().map_err(refuse)?;
        // The number means our own descriptor; the kernel takes a reference of its own.
        let words = format!("{port} {} {} {}", kernels.as_raw_fd(), device_id(number), speed(board) as u32);
        for _ in 1..TRIES {
            match std::fs::write(ATTACH, &words) {
                Err(error) if error.kind() == ErrorKind::ResourceBusy => thread::sleep(PAUSE),
                other => return other.map(|()| ours).map_err(refuse),
            }
        }
        std::fs::write(ATTACH, &words).map(|()| ours).map_err(refuse)
    }
}
