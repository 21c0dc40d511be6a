//! `rocd serve` in a process of its own, on the embedded board.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

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
