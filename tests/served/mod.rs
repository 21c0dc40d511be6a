//! A board in another process: `rocd sim serve`, its door (lines on stdin, answers on stdout), and where it listens.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

pub struct Board {
    child: Child,
    lines: ChildStdin,
    answers: BufReader<ChildStdout>,
    /// host:port of ST's protocol.
    pub address: String,
    folder: tempfile::TempDir,
}

impl Board {
    /// `board` as `--board` takes it: CHIP[,PROBE[:FIRMWARE]]. `more`: further words behind it.
    pub fn serve(board: &str, more: &[&str]) -> Board {
        let mut child = Command::new(env!("CARGO_BIN_EXE_rocd"))
            .args(["sim", "serve", "--board", board, "--stlink-tcp", "127.0.0.1:0"])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = child.stdin.take().expect("stdin is piped");
        let mut answers = BufReader::new(child.stdout.take().expect("stdout is piped"));
        let mut line = String::new();
        answers.read_line(&mut line).unwrap();
        let address = line.trim_end().strip_prefix("stlink-tcp ").unwrap_or_else(|| panic!("`sim serve` said {line:?}")).to_string();
        Board { child, lines, answers, address, folder: tempfile::tempdir().unwrap() }
    }

    pub fn port(&self) -> u16 {
        self.address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("host:port")
    }

    /// An interface file that means this board, made in `folder`.
    pub fn interface(&self, folder: &Path) -> std::path::PathBuf {
        let path = folder.join("served.toml");
        let text = format!("driver = \"stlink\"\ntransport = \"tcp\"\naddress = \"{}\"\n", self.address);
        std::fs::write(&path, text).unwrap();
        path
    }

    /// The lines of the answer before its `ok`.
    pub fn run(&mut self, line: &str) -> Vec<String> {
        writeln!(self.lines, "{line}").unwrap();
        let mut said = vec![];
        loop {
            let mut answer = String::new();
            assert!(self.answers.read_line(&mut answer).unwrap() > 0, "the board left during `{line}`");
            match answer.trim_end() {
                "ok" => return said,
                answer if answer.starts_with("error:") => panic!("`{line}`: {answer}"),
                answer => said.push(answer.to_string()),
            }
        }
    }

    /// The board's memory, by its own door.
    pub fn dump(&mut self, address: u32, len: u32) -> Vec<u8> {
        let path = self.folder.path().join("dump.bin");
        self.run(&format!("sim dump {} {address:#x} {len:#x}", quoted(&path)));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(bytes.len(), len as usize);
        bytes
    }

    pub fn word(&mut self, address: u32) -> u32 {
        let bytes = self.dump(address, 4);
        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
    }

    /// As a power cut: no farewell.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub fn shutdown(mut self) {
        writeln!(self.lines, "shutdown").unwrap();
        assert!(self.child.wait().unwrap().success(), "`sim serve` did not end with exit 0");
    }
}

impl Drop for Board {
    /// After a failed assertion nobody else would end it.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// As one word of a line.
pub fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}
