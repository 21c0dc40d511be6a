//! A board in another process: `rocd sim serve`, its door (lines on stdin, answers on stdout), and where it listens.
#![allow(dead_code, reason = "each test file uses its own part of it")]

pub mod gdb;
pub mod verdict;

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

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

/// Both streams of a program and whether it succeeded; ended by force when the time is over.
pub fn finish(command: &mut Command, limit: Duration) -> (String, bool) {
    let log = tempfile::NamedTempFile::new().unwrap();
    // one file, two descriptors: both append
    let file = std::fs::OpenOptions::new().append(true).open(log.path()).unwrap();
    let mut child = command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file).spawn().unwrap();
    let end = Instant::now() + limit;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if Instant::now() > end => {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(10)),
        }
    };
    let said = std::fs::read_to_string(log.path()).unwrap();
    (said, status.is_some_and(|status| status.success()))
}

/// How OpenOCD reaches a served board.
pub struct Way {
    pub name: &'static str,
    pub interface: &'static str,
    pub backend: &'static str,
    pub transport: &'static str,
}

pub const HLA: Way = Way { name: "hla", interface: "stlink", backend: "hla_stlink_backend", transport: "hla_swd" };
pub const DAP: Way = Way { name: "dapdirect", interface: "stlink-dap", backend: "st-link backend", transport: "dapdirect_swd" };

impl Way {
    /// OpenOCD with its stock files, `target` such as stm32h7x, and lines before that one; it opens no port.
    pub fn openocd(&self, port: u16, target: &str, before: &[&str]) -> Command {
        let mut openocd = Command::new("openocd");
        openocd.current_dir(env!("CARGO_MANIFEST_DIR"));
        openocd.args(["-c", "gdb_port disabled", "-c", "telnet_port disabled", "-c", "tcl_port disabled"]);
        openocd.args(["-f", &format!("interface/{}.cfg", self.interface), "-c", &format!("{} tcp {port}", self.backend)]);
        openocd.args(["-c", &format!("transport select {}", self.transport)]);
        for line in before {
            openocd.args(["-c", line]);
        }
        openocd.args(["-f", &format!("target/{target}.cfg")]);
        openocd
    }
}

/// Addresses and bytes of the segments that a debug host loads: PT_LOAD with bytes in the file, at p_paddr.
pub fn segments(elf: &Path) -> Vec<(u32, Vec<u8>)> {
    use object::read::elf::{ElfFile32, ProgramHeader};
    let bytes = std::fs::read(elf).unwrap();
    let file = ElfFile32::<object::Endianness>::parse(&bytes[..]).unwrap();
    let endian = file.endian();
    let loads = file.elf_program_headers().iter().filter(|header| header.p_type(endian) == object::elf::PT_LOAD);
    let segment = |header: &object::elf::ProgramHeader32<object::Endianness>| {
        (header.p_paddr(endian), header.data(endian, &bytes[..]).unwrap().to_vec())
    };
    loads.map(segment).filter(|(_, bytes)| !bytes.is_empty()).collect()
}

/// A board's state with this firmware in flash, so that its core runs from the start.
pub fn programmed(chip: &str, elf: &str) -> tempfile::NamedTempFile {
    let state = tempfile::NamedTempFile::new().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_rocd"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["-f", "interfaces/sim.toml", "-c", &format!("sim chip {chip}"), "-f", &chip[..7]])
        .args(["-c", &format!("program {elf}"), "-c", &format!("sim save {}", quoted(state.path()))])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    state
}
