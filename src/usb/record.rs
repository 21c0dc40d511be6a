//! Transfers as text: `Trace` writes one line for each, `Replay` answers from such lines.
//!
//! A line is the time in seconds, the command block, the direction, the data, all bytes in hex:
//! ```text
//! 0.000210 f5000000000000000000000000000000 in 0001
//! 0.000330 f3070000000000000000000000000000 none
//! 0.000470 f2080000002004000000000000000000 out 78563412
//! 0.001000 reset
//! 0.001200 f5000000000000000000000000000000 in ! the probe was unplugged
//! ```
//! In lines written by hand the time may be left out, blanks may stand between bytes, trailing zeros of a command may be
//! missing, and `#` begins a comment. Log, bug report and test fixture are the same thing.

use super::{Data, Pipe, Room};
use crate::error::{Cause, Error, Kind, Result};
use std::cell::Cell;
use std::rc::Rc;
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
    fn tell_end<T>(&mut self, what: String, bytes: &[u8], result: Result<T>) -> Result<T> {
        let now = self.pipe.now();
        let data = if bytes.is_empty() { String::new() } else { format!(" {}", hex(bytes)) };
        let error = result.as_ref().err().map_or(String::new(), |error| format!(" {} {}", mark(error.cause), error.message));
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
                self.tell_end(format!("{block} none"), &[], result)
            }
            Data::Out(bytes) => {
                let result = self.pipe.transfer(cmd, Data::Out(bytes));
                self.tell_end(format!("{block} out"), bytes, result)
            }
            Data::In(buf) => {
                let result = self.pipe.transfer(cmd, Data::In(buf));
                let got = *result.as_ref().unwrap_or(&0);
                self.tell_end(format!("{block} in"), &buf[..got], result)
            }
        }
    }

    fn reset(&mut self) -> Result<()> {
        let result = self.pipe.reset();
        self.tell_end("reset".to_string(), &[], result)
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

/// `!!` for a probe that is gone, so that a replay fails the same way.
fn mark(cause: Cause) -> &'static str {
    if cause == Cause::Unplugged { "!!" } else { "!" }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// One recorded line.
#[derive(Clone, Debug, PartialEq)]
struct Line {
    number: usize,
    time: Option<Duration>,
    what: What,
    cmd: Vec<u8>,
    data: Vec<u8>,
    /// The transfer failed with this message, and whether the probe was gone.
    error: Option<(String, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    None,
    Out,
    In,
    Reset,
}

impl Line {
    fn parse(number: usize, text: &str) -> Result<Option<Line>> {
        let text = text.split('#').next().unwrap_or_default();
        let (text, error) = match text.split_once('!') {
            Some((text, message)) => (text, Some((message.trim_start_matches('!').trim().to_string(), message.starts_with('!')))),
            None => (text, None),
        };
        let mut words: Vec<&str> = text.split_whitespace().collect();
        let Some(first) = words.first() else { return Ok(None) };
        let time = first.contains('.').then(|| first.parse().ok().and_then(|s| Duration::try_from_secs_f64(s).ok())).flatten();
        if time.is_some() {
            words.remove(0);
        }
        match parse_what(&words) {
            Some((what, cmd, data)) => Ok(Some(Line { number, time, what, cmd, data, error })),
            None => Err(Error::usage(format!("line {number} of the recording is not a transfer: {text:?}"))),
        }
    }

    fn failure(&self) -> Option<Error> {
        let (message, gone) = self.error.as_ref()?;
        Some(Error::probe(message.clone()).cause(if *gone { Cause::Unplugged } else { Cause::None }))
    }
}

/// With the command block and the data.
fn parse_what(words: &[&str]) -> Option<(What, Vec<u8>, Vec<u8>)> {
    match words {
        ["reset"] => Some((What::Reset, vec![], vec![])),
        _ => {
            let at = words.iter().position(|word| matches!(*word, "none" | "out" | "in"))?;
            let what = match words[at] {
                "none" => What::None,
                "out" => What::Out,
                _ => What::In,
            };
            let cmd = unhex(&words[..at]).filter(|cmd| !cmd.is_empty())?;
            Some((what, cmd, unhex(&words[at + 1..])?))
        }
    }
}

fn unhex(words: &[&str]) -> Option<Vec<u8>> {
    let digits = words.concat();
    if !digits.is_ascii() || digits.len() % 2 != 0 {
        return None;
    }
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).ok()).collect()
}

/// A pipe made of recorded lines. Commands and data sent must be those of the recording, byte for byte; a difference is
/// an error of kind bug that names the line.
pub struct Replay {
    lines: Vec<Line>,
    at: Rc<Cell<usize>>,
    clock: Duration,
}

impl Replay {
    pub fn new(text: &str) -> Result<Replay> {
        let lines = text.lines().enumerate().map(|(index, line)| Line::parse(index + 1, line));
        let lines: Vec<Line> = lines.filter_map(Result::transpose).collect::<Result<_>>()?;
        Ok(Replay { lines, at: Rc::new(Cell::new(0)), clock: Duration::ZERO })
    }

    /// Asked after the replay was given away: how many of its lines were not used yet.
    pub fn unused(&self) -> impl Fn() -> usize + use<> {
        let (at, all) = (self.at.clone(), self.lines.len());
        move || all - at.get()
    }

    /// The next line, if it is of this; what is received is not looked at.
    fn next(&mut self, what: What, cmd: &[u8], sent: &[u8]) -> Result<Line> {
        let now = show(what, cmd, sent);
        let line = self.lines.get(self.at.get()).cloned();
        let line = line.ok_or_else(|| Error::new(Kind::Bug, format!("the recording ends before {now}")))?;
        self.at.set(self.at.get() + 1);
        self.clock = self.clock.max(line.time.unwrap_or_default());
        if line.what != what || !same_command(&line.cmd, cmd) || (what == What::Out && line.data != sent) {
            let then = show(line.what, &line.cmd, &line.data);
            return Err(Error::new(Kind::Bug, format!("line {} of the recording is {then}, but now it is {now}", line.number)));
        }
        line.failure().map_or(Ok(line), Err)
    }
}

fn show(what: What, cmd: &[u8], data: &[u8]) -> String {
    match what {
        What::None => format!("{} none", hex(cmd)),
        What::Out => format!("{} out {}", hex(cmd), hex(data)),
        What::In => format!("{} in", hex(cmd)),
        What::Reset => "reset".to_string(),
    }
}

/// Equal, or equal but for trailing zeros that the recording left out.
fn same_command(recorded: &[u8], now: &[u8]) -> bool {
    now.starts_with(recorded) && now[recorded.len()..].iter().all(|byte| *byte == 0)
}

/// A recorded answer longer than what was asked for means that the request changed.
fn answer(line: &Line, buf: &mut [u8]) -> Result<usize> {
    let (recorded, room) = (&line.data, buf.len());
    let target = buf.get_mut(..recorded.len()).ok_or_else(|| {
        let text = format!("line {} of the recording answers {} bytes, but now {room} are asked for", line.number, recorded.len());
        Error::new(Kind::Bug, text)
    })?;
    target.copy_from_slice(recorded);
    Ok(recorded.len())
}

impl Pipe for Replay {
    fn transfer(&mut self, cmd: &[u8], data: Data) -> Result<usize> {
        match data {
            Data::None => self.next(What::None, cmd, &[]).map(|_| 0),
            Data::Out(bytes) => self.next(What::Out, cmd, bytes).map(|_| bytes.len()),
            Data::In(buf) => answer(&self.next(What::In, cmd, &[])?, buf),
        }
    }

    fn reset(&mut self) -> Result<()> {
        self.next(What::Reset, &[], &[]).map(drop)
    }

    fn now(&self) -> Duration {
        self.clock
    }

    fn sleep(&mut self, d: Duration) {
        self.clock += d;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    const RECORDING: &str = "\
        0.000210 f5000000000000000000000000000000 in 0001\n\
        0.000330 f3070000000000000000000000000000 none\n\
        1.000470 f2080000002004000000000000000000 out 78563412\n\
        1.001000 reset\n\
        1.001200 f5000000000000000000000000000000 in !! the probe was unplugged\n";

    fn block(start: &[u8]) -> [u8; 16] {
        let mut block = [0; 16];
        block[..start.len()].copy_from_slice(start);
        block
    }

    #[test]
    fn what_trace_writes_replay_answers_and_tracing_that_writes_the_same() {
        let lines = Rc::new(RefCell::new(String::new()));
        let log = lines.clone();
        let replay = Replay::new(RECORDING).unwrap();
        let unused = replay.unused();
        let mut pipe = Trace::new(Box::new(replay), Box::new(move |line| *log.borrow_mut() += &(line + "\n")));
        let mut two = [0; 2];
        assert_eq!(pipe.transfer(&block(&[0xf5]), Data::In(&mut two)), Ok(2));
        assert_eq!(two, [0, 1]);
        assert_eq!(pipe.transfer(&block(&[0xf3, 7]), Data::None), Ok(0));
        let write = block(&[0xf2, 8, 0, 0, 0, 0x20, 4]);
        assert_eq!(pipe.transfer(&write, Data::Out(&[0x78, 0x56, 0x34, 0x12])), Ok(4));
        pipe.reset().unwrap();
        let error = pipe.transfer(&block(&[0xf5]), Data::In(&mut two)).unwrap_err();
        assert_eq!((error.cause, error.message.as_str()), (Cause::Unplugged, "the probe was unplugged"));
        assert_eq!(*lines.borrow(), RECORDING);
        assert_eq!(unused(), 0);
    }

    #[test]
    fn a_difference_names_the_line_and_is_a_bug() {
        let cases: [(&str, Data); 4] = [
            ("\n# mode\nf5 in 00 01", Data::None),
            ("\n\nf5 out 00 01", Data::Out(&[0, 2])),
            ("\n\nf5 in 00 01 02", Data::In(&mut [0; 2])),
            ("\n\nf1 in 00 01", Data::In(&mut [0; 2])),
        ];
        for (text, data) in cases {
            let error = Replay::new(text).unwrap().transfer(&block(&[0xf5]), data).unwrap_err();
            assert_eq!(error.kind, Kind::Bug);
            assert!(error.message.starts_with("line 3 of the recording"), "{error}");
        }
        let error = Replay::new("").unwrap().transfer(&block(&[0xf5]), Data::None).unwrap_err();
        assert!(error.message.starts_with("the recording ends before f500"), "{error}");
    }

    #[test]
    fn a_line_that_is_no_transfer_is_refused_by_number() {
        for text in ["f5 in 0", "f5 in xy", "hello", "in 00", "f5 00"] {
            let error = Replay::new(&format!("\n{text}")).err().expect(text);
            assert!(error.message.starts_with("line 2 "), "{error}");
        }
    }

    #[test]
    fn commands_by_hand_may_leave_out_trailing_zeros_but_not_other_bytes() {
        assert!(same_command(&[0xf2, 0x36], &block(&[0xf2, 0x36])));
        assert!(!same_command(&[0xf2, 0x36], &block(&[0xf2, 0x36, 1])));
    }
}
