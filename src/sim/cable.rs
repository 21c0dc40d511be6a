//! The near end of the probe's USB cable, a command and its data at a time; and what a test makes go wrong there.

use super::chip::Ns;
use super::{Board, Inner, time};
use crate::error::{Cause, Error, Kind, Result};
use crate::usb::{Data, Pipe};
use std::time::Duration;

/// What a test makes go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inject {
    /// So many commands meet an AP that answers WAIT until the firmware gives up.
    Wait(u32),
    /// Accesses of the word at this address fault, until `Heal`.
    Fault(u32),
    /// The next word on the wire has a wrong parity bit.
    Parity,
    /// The reply of this transfer ends after so many bytes.
    ShortReply(usize),
    /// This transfer ends with a STALL.
    Stall,
    /// This transfer is not answered in time.
    Silent,
    /// The plug is pulled before this transfer.
    Unplug,
    /// Nothing injected stays.
    Heal,
}

pub struct Cable {
    pub board: Board,
    /// The board's time then.
    pub opened: Ns,
    /// Of the plug it is an end of (`Inner::plugs`).
    pub plug: u32,
}

impl Cable {
    /// Everything that starts a transfer begins here: is the plug in, and is something to go wrong now?
    fn begin(&self) -> Result<Vec<Inject>> {
        let mut inner = self.board.0.borrow_mut();
        let due = due(&mut inner.injected);
        for what in &due {
            inner.apply(*what);
        }
        if !inner.plugged || inner.plugs != self.plug {
            return Err(Error::probe("the probe was unplugged").cause(Cause::Unplugged).hint("plug it in again and reconnect"));
        }
        if due.contains(&Inject::Stall) {
            return Err(Error::probe("the probe refused the transfer (STALL)").cause(Cause::Link));
        }
        Ok(due)
    }

    fn fetch(&self, buf: &mut [u8], due: &[Inject]) -> Result<usize> {
        let mut inner = self.board.0.borrow_mut();
        let probe = &mut inner.probe;
        let Some(mut reply) = probe.input(usize::MAX).filter(|_| !due.contains(&Inject::Silent)) else {
            probe.wire.pass(time::USB_TIMEOUT);
            return Err(Error::probe("the probe did not answer within 6 s").cause(Cause::Timeout));
        };
        if let Some(Inject::ShortReply(len)) = due.iter().find(|what| matches!(what, Inject::ShortReply(_))) {
            reply.truncate(*len);
        }
        // libusb's overflow: a packet does not fit what was asked for, and nothing of it is to be trusted.
        if reply.len() > buf.len() {
            let message = format!("the probe sent {} bytes where {} were asked for", reply.len(), buf.len());
            return Err(Error::probe(message).cause(Cause::Link));
        }
        buf[..reply.len()].copy_from_slice(&reply);
        Ok(reply.len())
    }
}

/// Take out what is due at this transfer; the rest comes one transfer nearer.
pub(super) fn due(injected: &mut Vec<(u32, Inject)>) -> Vec<Inject> {
    let now = injected.iter().filter(|(after, _)| *after == 0).map(|(_, what)| *what).collect();
    injected.retain(|(after, _)| *after > 0);
    injected.iter_mut().for_each(|(after, _)| *after -= 1);
    now
}

impl Inner {
    /// What the wire, the chip or the plug does; the rest is the cable's.
    pub(super) fn apply(&mut self, what: Inject) {
        let wire = &mut self.probe.wire;
        match what {
            Inject::Wait(commands) => wire.waits = commands,
            Inject::Fault(address) => wire.dap.broken.push(address & !3),
            Inject::Parity => wire.parity = true,
            Inject::Unplug => {
                self.plugged = false;
                self.probe.start_over();
            }
            Inject::Heal => {
                (wire.waits, wire.parity) = (0, false);
                wire.dap.broken.clear();
                self.injected.clear();
            }
            Inject::ShortReply(_) | Inject::Stall | Inject::Silent => {}
        }
    }
}

impl Pipe for Cable {
    fn transfer(&mut self, cmd: &[u8], data: Data) -> Result<usize> {
        let due = self.begin()?;
        if cmd.len() > 16 {
            return Err(Error::new(Kind::Bug, format!("a command block of {} bytes: 16 are the most", cmd.len())));
        }
        {
            let probe = &mut self.board.0.borrow_mut().probe;
            probe.begin();
            probe.out(cmd);
        }
        if due.contains(&Inject::Silent) && !matches!(data, Data::In(_)) {
            // Where no reply is due silence is not noticed: the next transfer has it.
            self.board.0.borrow_mut().injected.push((0, Inject::Silent));
        }
        match data {
            Data::None => Ok(0),
            Data::Out(bytes) => {
                self.board.0.borrow_mut().probe.out(bytes);
                Ok(bytes.len())
            }
            Data::In(buf) => self.fetch(buf, &due),
        }
    }

    fn read_trace(&mut self, buf: &mut [u8]) -> Result<usize> {
        self.begin()?;
        let bytes = self.board.0.borrow_mut().probe.trace_input(buf.len());
        buf[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }

    fn reset(&mut self) -> Result<()> {
        self.begin()?;
        self.board.0.borrow_mut().probe.start_over();
        Ok(())
    }

    fn now(&self) -> Duration {
        Duration::from_nanos(self.board.0.borrow().probe.wire.now - self.opened)
    }

    fn sleep(&mut self, d: Duration) {
        self.board.pass(d);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_waits_for_its_transfer() {
        let mut injected = vec![(2, Inject::Stall), (0, Inject::Parity), (1, Inject::Silent)];
        assert_eq!(due(&mut injected), [Inject::Parity]);
        assert_eq!(due(&mut injected), [Inject::Silent]);
        assert_eq!(due(&mut injected), [Inject::Stall]);
        assert_eq!(due(&mut injected), []);
    }
}
