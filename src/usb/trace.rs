//! Transfers as text, for `-d3`: a line for each.
//!
//! A line is the time in seconds, the command block, the direction, the data, all bytes in hex, and what went wrong:
//! ```text
//! 0.000210 f5000000000000000000000000000000 in 0001
//! 0.000330 f3070000000000000000000000000000 none
//! 0.000470 f2080000002004000000000000000000 out 78563412
//! 0.001000 reset
//! 0.001200 f5000000000000000000000000000000 in ! the probe was unplugged
//! ```
//! A probe can be made of such lines (tests/stlink_board/replay.rs): log, bug report and test fixture are the same thing.

use super::{Data, Pipe, Room};
use crate::error::Result;
use std::time::Duration;

/// A pipe that tells each transfer to `log`, as one line.
pub struct Trace {
    pipe: Box<dyn Pipe>,
    log: Box<dyn FnMut(String)>,
}

impl Trace {
    pub fn new(pipe: Box<dyn Pipe>, log: Box<dyn FnMut(String)>) -> Trace {
        Trace { pipe, log }
    }

    /// `what`, then the bytes moved, then what went wrong.
    fn tell<T>(&mut self, what: String, bytes: &[u8], result: Result<T>) -> Result<T> {
        let now = self.pipe.now();
        let data = if bytes.is_empty() { String::new() } else { format!(" {}", hex(bytes)) };
        let error = result.as_ref().err().map_or(String::new(), |error| format!(" ! {}", error.message));
        (self.log)(format!("{}.{:06} {what}{data}{error}", now.as_secs(), now.subsec_micros()));
        result
    }
}

impl Pipe for Trace {
    fn transfer(&mut self, cmd: &[u8], data: Data) -> Result<usize> {
        let block = hex(cmd);
        match data {
            Data::None => {
                let result = self.pipe.transfer(cmd, Data::None);
                self.tell(format!("{block} none"), &[], result)
            }
            Data::Out(bytes) => {
                let result = self.pipe.transfer(cmd, Data::Out(bytes));
                self.tell(format!("{block} out"), bytes, result)
            }
            Data::In(buf) => {
                let result = self.pipe.transfer(cmd, Data::In(buf));
                let got = *result.as_ref().unwrap_or(&0);
                self.tell(format!("{block} in"), &buf[..got], result)
            }
        }
    }

    fn reset(&mut self) -> Result<()> {
        let result = self.pipe.reset();
        self.tell("reset".to_string(), &[], result)
    }

    fn room(&self) -> Room {
        self.pipe.room()
    }

    fn now(&self) -> Duration {
        self.pipe.now()
    }

    fn sleep(&mut self, d: Duration) {
        self.pipe.sleep(d)
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
