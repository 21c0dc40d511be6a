//! telnet: a line editor for whoever comes in, on a terminal of his or as a program that sends lines (RFC 854, 857, 858).

use super::{Desk, Out, shown};
use crate::error::{Cause, Error, Result};
use crate::host::{Choices, Host, LONGEST_TEXT, Outcome};

/// WILL SUPPRESS-GO-AHEAD, WILL ECHO, DO SUPPRESS-GO-AHEAD, DON'T ECHO: key by key, as OpenOCD asks for it.
const HELLO: &[u8] = &[255, 251, 3, 255, 251, 1, 255, 253, 3, 255, 254, 1];
const PROMPT: &str = "> ";
const CONTINUED: &str = "...> ";
/// Nobody looks further back.
const HISTORY: usize = 1000;

/// What the next byte belongs to.
#[derive(Clone, Copy, Default, PartialEq)]
enum State {
    #[default]
    Text,
    Command,
    Option,
    Negotiation,
    Escape,
    Sequence,
}

#[derive(Default)]
pub struct Telnet {
    state: State,
    /// Of a key's sequence, or of a character.
    bytes: Vec<u8>,
    line: Vec<char>,
    at: usize,
    /// The lines before this one of the same text.
    before: String,
    history: Vec<String>,
    /// The line of the history that is shown; its length for none.
    nth: usize,
    after_cr: bool,
}

type Press = fn(&mut Telnet, &Desk) -> Result<()>;

/// Keys by their byte, or what their sequence has behind ESC.
const KEYS: &[(&[&str], Press)] = &[
    (&["\x01", "[H", "[1~"], |telnet, desk| telnet.go(desk, 0)),
    (&["\x05", "[F", "[4~"], |telnet, desk| telnet.go(desk, telnet.line.len())),
    (&["\x02", "[D"], |telnet, desk| telnet.go(desk, telnet.at.saturating_sub(1))),
    (&["\x06", "[C"], |telnet, desk| telnet.go(desk, telnet.at + 1)),
    (&["\x08", "\x7f"], |telnet, desk| telnet.cut(desk, telnet.at.saturating_sub(1), telnet.at)),
    (&["[3~"], |telnet, desk| telnet.cut(desk, telnet.at, telnet.at + 1)),
    (&["\x0b"], |telnet, desk| telnet.cut(desk, telnet.at, telnet.line.len())),
    (&["\x15"], |telnet, desk| telnet.cut(desk, 0, telnet.at)),
    (&["\x17"], |telnet, desk| telnet.cut(desk, telnet.word(), telnet.at)),
    (&["\x10", "[A"], |telnet, desk| telnet.recall(desk, telnet.nth.saturating_sub(1))),
    (&["\x0e", "[B"], |telnet, desk| telnet.recall(desk, telnet.nth + 1)),
    (&["\x0c"], |telnet, desk| telnet.go(desk, telnet.at)),
    (&["\t"], Telnet::complete),
    (&["\x03"], Telnet::forget),
    (&["\x04"], Telnet::end),
    (&["\r", "\n"], Telnet::enter),
];

impl Telnet {
    pub fn new(out: &Out) -> Telnet {
        let hello = format!("rocd {}\r\n\r{PROMPT}", env!("CARGO_PKG_VERSION"));
        out.send([HELLO, hello.as_bytes()].concat());
        Telnet::default()
    }

    /// `Err`: a line said to leave, or this is no telnet.
    pub fn hear(&mut self, desk: &Desk, bytes: &[u8]) -> Result<()> {
        bytes.iter().try_for_each(|byte| if desk.out.gone.get() { Ok(()) } else { self.byte(desk, *byte) })
    }

    fn byte(&mut self, desk: &Desk, byte: u8) -> Result<()> {
        // a terminal's end of line is CR LF or CR NUL
        if std::mem::take(&mut self.after_cr) && matches!(byte, b'\n' | 0) {
            return Ok(());
        }
        self.after_cr = byte == b'\r';
        let (next, key) = match (self.state, byte) {
            (State::Text, 255) => (State::Command, false),
            (State::Text, 27) => (State::Escape, false),
            (State::Text, 0..32 | 127) => (State::Text, true),
            (State::Text, _) => return self.character(desk, byte),
            (State::Command, 251..=254) => (State::Option, false),
            (State::Command, 250) => (State::Negotiation, false),
            // IAC IP
            (State::Command, 244) => return self.key(desk, b"\x03"),
            (State::Negotiation, byte) if byte != 240 => (State::Negotiation, false),
            (State::Escape, b'[' | b'O') => {
                self.bytes = vec![b'['];
                (State::Sequence, false)
            }
            (State::Sequence, b'0'..=b';') => {
                self.bytes.push(byte);
                (State::Sequence, false)
            }
            (State::Sequence, _) => (State::Text, true),
            _ => (State::Text, false),
        };
        self.state = next;
        if key {
            self.bytes.push(byte);
            let key = std::mem::take(&mut self.bytes);
            return self.key(desk, &key);
        }
        Ok(())
    }

    fn key(&mut self, desk: &Desk, key: &[u8]) -> Result<()> {
        self.state = State::Text;
        KEYS.iter().find(|row| row.0.iter().any(|own| own.as_bytes() == key)).map_or(Ok(()), |row| (row.1)(self, desk))
    }

    fn character(&mut self, desk: &Desk, byte: u8) -> Result<()> {
        self.bytes.push(byte);
        let text = match std::str::from_utf8(&self.bytes) {
            Ok(text) => text.to_string(),
            Err(error) if error.error_len().is_none() => return Ok(()),
            Err(_) => "\u{fffd}".to_string(),
        };
        self.bytes.clear();
        if self.line.len() > LONGEST_TEXT {
            return Err(Error::command(format!("a line is longer than {LONGEST_TEXT} characters")));
        }
        let end = self.at == self.line.len();
        for character in text.chars() {
            self.line.insert(self.at, character);
            self.at += 1;
        }
        if end {
            desk.out.send(text.into_bytes());
            return Ok(());
        }
        self.go(desk, self.at)
    }

    fn prompt(&self) -> &'static str {
        if self.before.is_empty() { PROMPT } else { CONTINUED }
    }

    /// The line anew, with the cursor where it belongs.
    fn drawn(&self) -> String {
        let line: String = self.line.iter().collect();
        let back = self.line.len() - self.at;
        let cursor = if back > 0 { format!("\x1b[{back}D") } else { String::new() };
        format!("\r\x1b[K{}{line}{cursor}", self.prompt())
    }

    fn go(&mut self, desk: &Desk, at: usize) -> Result<()> {
        self.at = at.min(self.line.len());
        desk.out.send(self.drawn().into_bytes());
        Ok(())
    }

    fn cut(&mut self, desk: &Desk, from: usize, to: usize) -> Result<()> {
        self.line.drain(from..to.min(self.line.len()));
        self.go(desk, from)
    }

    /// Where the word in front of the cursor begins.
    fn word(&self) -> usize {
        let before = &self.line[..self.at];
        let end = before.iter().rposition(|c| *c != ' ').map_or(0, |at| at + 1);
        before[..end].iter().rposition(|c| *c == ' ').map_or(0, |at| at + 1)
    }

    fn recall(&mut self, desk: &Desk, nth: usize) -> Result<()> {
        self.nth = nth.min(self.history.len());
        self.line = self.history.get(self.nth).map_or(Vec::new(), |line| line.chars().collect());
        self.go(desk, usize::MAX)
    }

    /// As far as all that may come agrees; when that is no further, what may come.
    fn complete(&mut self, desk: &Desk) -> Result<()> {
        let typed: String = self.line[..self.at].iter().collect();
        let text = format!("{}{typed}", self.before);
        let Choices { start, words } = desk.host.choices(&text);
        let word = text.get(start..).unwrap_or_default();
        let Some(first) = words.first() else { return Ok(()) };
        let same = |a: &str, b: &str| a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
        let common = words.iter().map(|other| same(first, other)).min().unwrap_or(0);
        let more: Vec<char> = first.chars().take(common).skip(word.chars().count()).collect();
        if more.is_empty() {
            desk.out.send(format!("\r\n{}\r\n", words.concat()).into_bytes());
        }
        let at = self.at;
        self.line.splice(at..at, more.iter().copied());
        self.go(desk, at + more.len())
    }

    /// Ctrl-C
    fn forget(&mut self, desk: &Desk) -> Result<()> {
        self.line.clear();
        self.before.clear();
        desk.out.send(b"\r\n".to_vec());
        self.go(desk, 0)
    }

    /// Ctrl-D
    fn end(&mut self, desk: &Desk) -> Result<()> {
        desk.out.gone.set(self.line.is_empty());
        Ok(())
    }

    fn enter(&mut self, desk: &Desk) -> Result<()> {
        let line: String = std::mem::take(&mut self.line).into_iter().collect();
        self.at = 0;
        super::no_browser(line.as_bytes())?;
        desk.out.send(b"\r\n".to_vec());
        let text = format!("{}{line}", std::mem::take(&mut self.before));
        if desk.host.unfinished(&text) {
            self.before = text + "\n";
            return self.go(desk, 0);
        }
        if text.trim() == "exit" {
            return self.end(desk);
        }
        if !text.trim().is_empty() && self.history.last() != Some(&text) {
            self.history.push(text.replace('\n', " "));
            self.history.drain(..self.history.len().saturating_sub(HISTORY));
        }
        self.nth = self.history.len();
        self.run(desk, &text)?;
        self.go(desk, 0)
    }

    fn run(&mut self, desk: &Desk, text: &str) -> Result<()> {
        let (out, own) = (desk.out.clone(), desk.out.clone());
        let ended = std::rc::Rc::new(std::cell::Cell::new(true));
        let at_end = ended.clone();
        let show = &mut |outcome: &Outcome| shown(outcome).iter().for_each(|text| own.send(lines(text.as_bytes())));
        let say = move |text: &[u8]| {
            at_end.set(text.ends_with(b"\n"));
            out.send(lines(text));
        };
        let ran = desk.run(say, |host| host.typed_line(text, show));
        if !ended.get() {
            // The prompt would take its place.
            desk.out.send(b"\r\n".to_vec());
        }
        match ran {
            Err(error) if matches!(error.cause, Cause::Exit(_)) => Err(error),
            _ => Ok(()),
        }
    }

    /// Above the line that is being typed.
    pub fn tell(&self, out: &Out, text: &str) {
        out.send([b"\r\x1b[K".to_vec(), lines(format!("{text}\n").as_bytes()), self.drawn().into_bytes()].concat());
    }
}

fn lines(text: &[u8]) -> Vec<u8> {
    text.iter().flat_map(|byte| if *byte == b'\n' { vec![b'\r', b'\n'] } else { vec![*byte] }).collect()
}

/// What the chip did by itself, for those who look on.
pub fn news(host: &Host) -> Vec<String> {
    let heard = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let hear = heard.clone();
    host.heard_by(super::said(move |text| hear.borrow_mut().push(String::from_utf8_lossy(text).trim_end().to_string())), || host.look());
    heard.take()
}
