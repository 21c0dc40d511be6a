//! `rocd serve` in a process of its own, on the embedded board.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Rocd {
    child: Child,
    /// Word, address and core of each port.
    ports: Vec<Vec<String>>,
}

impl Rocd {
    /// `ports` as words of `serve`.
    pub fn serve(target: &str, ports: &[&str]) -> Rocd {
        Rocd::after(target, &[], ports)
    }

    /// With lines to be run before.
    pub fn after(target: &str, lines: &[&str], ports: &[&str]) -> Rocd {
        Rocd::with(&[], target, lines, ports)
    }

    /// And options of its own.
    pub fn with(options: &[&str], target: &str, lines: &[&str], ports: &[&str]) -> Rocd {
        let mut rocd = Command::new(env!("CARGO_BIN_EXE_rocd"));
        rocd.current_dir(env!("CARGO_MANIFEST_DIR")).arg("-q").args(options).args(["-f", "sim", "-f", target]);
        lines.iter().for_each(|line| _ = rocd.args(["-c", line]));
        rocd.args(["-c", &format!("echo serving; serve {}", ports.join(" "))]);
        let mut child = rocd.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().expect("stdout is piped")).lines().map_while(Result::ok);
        said.find(|line| line == "serving").expect("rocd left before it served");
        let dual = lines.iter().any(|line| line.contains("stm32h745"));
        let count = |word: &&str| if *word == "gdb" && dual { 2 } else { usize::from(word.parse::<u16>().is_err()) };
        let count = ports.iter().map(count).sum();
        let ports = said.by_ref().take(count).map(|line| line.split(' ').map(str::to_string).collect()).collect();
        Rocd { child, ports }
    }

    #[track_caller]
    pub fn address(&self, word: &str) -> &str {
        &self.port(word, 0)[1]
    }

    /// Of core number `core`: word, address, core.
    #[track_caller]
    pub fn port(&self, word: &str, core: usize) -> &[String] {
        let mut ports = self.ports.iter().filter(|row| row[0] == word);
        ports.nth(core).unwrap_or_else(|| panic!("no port for {word}: {:?}", self.ports))
    }

    /// Ctrl-C; what was said on stderr.
    pub fn leave(mut self) -> String {
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
        self.ended()
    }

    /// Ctrl-C where the probe is gone: the exit code says so.
    pub fn leave_unplugged(mut self) {
        assert!(Command::new("kill").args(["-INT", &self.child.id().to_string()]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(3));
    }

    /// It leaves by itself.
    #[track_caller]
    pub fn ended(&mut self) -> String {
        let mut said = String::new();
        self.child.stderr.take().expect("stderr is piped").read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "`serve` ended with {status}:\n{said}");
        said
    }
}

impl Drop for Rocd {
    /// After a failed assertion nobody else would end it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client that is no more than its connection.
pub struct Line {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Line {
    pub fn to(address: &str) -> Line {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        Line { stream, heard: Vec::new() }
    }

    /// A server that has closed may not take it.
    pub fn send(&mut self, text: &str) {
        let _ = self.stream.write_all(text.as_bytes());
    }

    /// All up to these words, or up to the end.
    pub fn until(&mut self, words: &str) -> String {
        loop {
            if let Some(at) = self.heard.windows(words.len()).position(|heard| heard == words.as_bytes()) {
                let said: Vec<u8> = self.heard.drain(..at + words.len()).collect();
                return String::from_utf8_lossy(&said).into_owned();
            }
            let mut more = [0; 4096];
            match self.stream.read(&mut more) {
                Ok(0) | Err(_) => panic!("`{words}` did not come: {:?}", String::from_utf8_lossy(&self.heard)),
                Ok(count) => self.heard.extend(&more[..count]),
            }
        }
    }

    /// The server has closed, whatever it said before.
    pub fn closed(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }
}

/// gdb's packets, sent by hand.
pub struct Packets {
    pub line: Line,
}

impl Packets {
    pub fn to(address: &str) -> Packets {
        Packets { line: Line::to(address) }
    }

    pub fn send(&mut self, packet: &str) {
        let sum = packet.bytes().fold(0u8, |sum, byte| sum.wrapping_add(byte));
        self.line.send(&format!("${packet}#{sum:02x}"));
    }

    pub fn reply(&mut self) -> String {
        self.line.until("$");
        let reply = self.line.until("#");
        self.line.send("+");
        reply.trim_end_matches('#').to_string()
    }

    pub fn ask(&mut self, packet: &str) -> String {
        self.send(packet);
        self.reply()
    }

    /// What a command says.
    pub fn monitor(&mut self, command: &str) -> String {
        let hex: String = command.bytes().map(|byte| format!("{byte:02x}")).collect();
        let mut said = String::new();
        let mut reply = self.ask(&format!("qRcmd,{hex}"));
        while let Some(text) = reply.strip_prefix('O').filter(|text| *text != "K") {
            let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap() as char;
            said.extend((0..text.len()).step_by(2).map(byte));
            reply = self.reply();
        }
        said
    }
}

/// Of each step that gdb asked for, as the log has it: transfers (a command with its data phase) and instructions.
pub fn steps(log: &str) -> Vec<(usize, usize)> {
    let (mut steps, mut stepping) = (Vec::new(), false);
    for line in log.lines() {
        if let Some((_, packet)) = line.split_once(" gdb: ") {
            // what gdb reads after a stop belongs to it; with breakpoints it begins to go on, and a command is something else
            let steps_on = packet.starts_with("vCont;s") || packet.starts_with("vCont;r");
            if steps_on || ["vCont", "Z", "qRcmd", "D"].iter().any(|other| packet.starts_with(other)) {
                stepping = steps_on;
                steps.extend(stepping.then_some((0, 0)));
            }
        } else if stepping && line.split(' ').any(|word| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit())) {
            let (transfers, instructions) = steps.last_mut().expect("one has begun");
            *transfers += 1;
            // DHCSR with C_MASKINTS, C_STEP and C_DEBUGEN
            *instructions += line.matches("0d005fa0").count();
        }
    }
    steps
}
