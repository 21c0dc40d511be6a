//! A probe made of lines as `-d3` writes them. Commands and data sent must be those of the lines, byte for byte.

use rocd::error::Result;
use rocd::usb::{Data, Pipe};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

/// Command block, direction, data: those not used yet.
pub type Lines = Rc<RefCell<VecDeque<(Vec<u8>, String, Vec<u8>)>>>;

pub fn lines(text: &str) -> Lines {
    let line = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        (unhex(words[1]), words[2].to_string(), unhex(words.get(3).unwrap_or(&"")))
    };
    Rc::new(RefCell::new(text.lines().map(line).collect()))
}

fn unhex(digits: &str) -> Vec<u8> {
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// The lines, and the time that was slept.
pub struct Replay(pub Lines, pub Duration);

impl Pipe for Replay {
    fn transfer(&mut self, cmd: &[u8], data: Data) -> Result<usize> {
        let (block, direction, bytes) = self.0.borrow_mut().pop_front().unwrap_or_else(|| panic!("no line is left for {cmd:02x?}"));
        assert_eq!(cmd, block);
        match data {
            Data::None => assert_eq!(direction, "none"),
            Data::Out(sent) => assert_eq!((direction.as_str(), sent), ("out", &bytes[..])),
            Data::In(buf) => {
                assert_eq!(direction, "in");
                buf[..bytes.len()].copy_from_slice(&bytes);
            }
        }
        Ok(bytes.len())
    }

    fn reset(&mut self) -> Result<()> {
        panic!("no line is a reset")
    }

    fn now(&self) -> Duration {
        self.1
    }

    fn sleep(&mut self, d: Duration) {
        self.1 += d;
    }
}
