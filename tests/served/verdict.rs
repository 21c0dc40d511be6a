//! Other people's programs as judges of the board: each says one line, for the table at the end of CI.
#![allow(dead_code, reason = "each test file uses its own part of it")]

use std::io::Write;

/// The line `judge: NAME | CHIP | passed` (or `failed`), said when it goes out of scope.
pub struct Verdict(String);

impl Verdict {
    /// `None`: the tool is not installed, which is said, and is a failure where judges are required.
    pub fn of(tool: &str, package: &str, judge: &str, chip: &str) -> Option<Verdict> {
        let missing = format!("{tool} is not installed (Debian: apt-get install {package})");
        Verdict::unless((!there(tool)).then_some(missing), judge, chip)
    }

    /// As `of`, of a judge that needs more than one program: what is `missing`.
    pub fn unless(missing: Option<String>, judge: &str, chip: &str) -> Option<Verdict> {
        let line = format!("judge: {judge} | {chip}");
        let Some(missing) = missing else { return Some(Verdict(line)) };
        assert!(std::env::var("ROCD_JUDGES").as_deref() != Ok("required"), "{missing}");
        say(&format!("skipped: {missing}"));
        say(&format!("{line} | skipped"));
        None
    }
}

impl Drop for Verdict {
    fn drop(&mut self) {
        say(&format!("{} | {}", self.0, if std::thread::panicking() { "failed" } else { "passed" }));
    }
}

/// A program of this name is on the path.
pub fn there(tool: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|folder| folder.join(tool).is_file())
}

/// Not by a macro, whose text cargo would keep to itself.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
