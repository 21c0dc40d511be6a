//! `rocd serve` in a process of its own, on the embedded board.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub struct Rocd {
    child: Child,
    /// Word and address of each port.
    ports: Vec<(String, String)>,
}

impl Rocd {
    /// `ports` as words of `serve`.
    pub fn serve(target: &str, ports: &[&str]) -> Rocd {
        Rocd::after(target, &[], ports)
    }

    /// With lines to be run before.
    pub fn after(target: &str, lines: &[&str], ports: &[&str]) -> Rocd {
        let mut rocd = Command::new(env!("CARGO_BIN_EXE_rocd"));
        rocd.current_dir(env!("CARGO_MANIFEST_DIR")).args(["-q", "-f", "sim", "-f", target]);
        lines.iter().for_each(|line| _ = rocd.args(["-c", line]));
        rocd.args(["-c", &format!("echo serving; serve {}", ports.join(" "))]);
        let mut child = rocd.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().expect("stdout is piped")).lines().map_while(Result::ok);
        said.find(|line| line == "serving").expect("rocd left before it served");
        let count = ports.iter().filter(|word| word.parse::<u16>().is_ok()).count();
        let port = |line: String| {
            line.split_once(' ').map(|(word, rest)| (word.to_string(), rest.split(' ').next().unwrap_or_default().to_string()))
        };
        let ports = said.by_ref().take(count).filter_map(port).collect();
        Rocd { child, ports }
    }

    #[track_caller]
    pub fn address(&self, word: &str) -> &str {
        &self.ports.iter().find(|row| row.0 == word).unwrap_or_else(|| panic!("no port for {word}: {:?}", self.ports)).1
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
