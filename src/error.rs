//! The one error type: what happened, while doing what, and what the user can do about it.
//!
//! A leaf states the fact with its numbers; callers add `.during("erasing sector 1 of bank 1")`; the
//! layer that knows the user's world adds `.hint("…")`. It is printed once, at the top.

use std::borrow::Cow;
use std::fmt;

pub type Result<T> = std::result::Result<T, Error>;

/// Who is at fault; decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Command,
    Usage,
    Probe,
    Target,
    Protected,
    Mismatch,
    NotRunning,
    Image,
    Bug,
}

impl Kind {
    const TABLE: &[(Kind, &str, u8)] = &[
        (Kind::Command, "command", 1),
        (Kind::Usage, "usage", 2),
        (Kind::Probe, "probe", 3),
        (Kind::Target, "target", 4),
        (Kind::Protected, "protected", 5),
        (Kind::Mismatch, "mismatch", 6),
        (Kind::NotRunning, "not_running", 7),
        (Kind::Image, "image", 8),
        (Kind::Bug, "bug", 101),
    ];

    fn row(self) -> &'static (Kind, &'static str, u8) {
        Self::TABLE.iter().find(|row| row.0 == self).expect("every kind has a row")
    }

    /// The word scripts and `--json` see.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The process's exit code when an error of this kind ends the run.
    pub fn exit_code(self) -> u8 {
        self.row().2
    }

    pub fn from_name(name: &str) -> Option<Kind> {
        Self::TABLE.iter().find(|row| row.1 == name).map(|row| row.0)
    }
}

/// What the hardware answered, for the layers that decide what to do next (retry, look at FLASH_SR …).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    #[default]
    None,
    /// The AP or DP kept answering WAIT until the deadline; the address is the probe's, where it knows it.
    Wait { address: Option<u32> },
    /// The access was refused by the bus.
    Fault { address: Option<u32> },
    /// No acknowledge, a parity error, or anything else that speaks of the wire and not of the chip.
    Link,
    /// The probe is gone from the bus.
    Unplugged,
    /// A deadline passed.
    Timeout,
    /// Ctrl-C or a termination signal (its number).
    Interrupted(i32),
    /// A second one while an erase was being waited for: it still runs.
    Abandoned(i32),
    /// The probe's firmware does not have what was asked for.
    TooOld,
    /// `exit N` or `shutdown`: no failure, but the run ends here.
    Exit(u8),
    /// What `run` ran ended otherwise than well: the exit code that tells how.
    Ended(u8),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    pub kind: Kind,
    pub message: String,
    /// What was being done, innermost first.
    pub trail: Vec<String>,
    pub hint: Option<String>,
    pub cause: Cause,
}

impl Error {
    pub fn new(kind: Kind, message: impl Into<String>) -> Error {
        Error { kind, message: message.into(), trail: Vec::new(), hint: None, cause: Cause::None }
    }

    pub fn command(message: impl Into<String>) -> Error {
        Error::new(Kind::Command, message)
    }

    pub fn usage(message: impl Into<String>) -> Error {
        Error::new(Kind::Usage, message)
    }

    pub fn probe(message: impl Into<String>) -> Error {
        Error::new(Kind::Probe, message)
    }

    pub fn target(message: impl Into<String>) -> Error {
        Error::new(Kind::Target, message)
    }

    pub fn image(message: impl Into<String>) -> Error {
        Error::new(Kind::Image, message)
    }

    pub fn cause(mut self, cause: Cause) -> Error {
        self.cause = cause;
        self
    }

    pub fn during(mut self, doing: impl fmt::Display) -> Error {
        self.trail.push(doing.to_string());
        self
    }

    /// The innermost hint stays: it was given where most was known.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint.get_or_insert_with(|| hint.into());
        self
    }

    /// Message and hint in one line, for a list.
    pub fn remedy(&self) -> String {
        self.hint.as_ref().map_or(self.message.clone(), |hint| format!("{}; {hint}", self.message))
    }

    /// The bus refused the access (FAULT), as opposed to a broken link.
    pub fn is_fault(&self) -> bool {
        matches!(self.cause, Cause::Fault { .. })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        for doing in &self.trail {
            write!(f, "\n  while {doing}")?;
        }
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

/// A word or line of the user's for a message: its beginning, if it is long.
pub fn excerpt(text: &str) -> Cow<'_, str> {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}… ({} bytes)", &text[..end], text.len())),
    }
}

/// `.during(…)` on results.
pub trait Context<T> {
    fn during(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T> Context<T> for Result<T> {
    fn during(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|error| error.during(doing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_from_the_fact_outwards() {
        let error = Error::new(Kind::Protected, "WRPERR: sector is write protected (FLASH_SR2 = 0x00020000)")
            .during("erasing sector 1 of bank 2, 0x08120000")
            .during("program app.elf")
            .hint("`option read` shows WRPSN2")
            .hint("a later hint says less");
        assert_eq!(
            error.to_string(),
            "error: WRPERR: sector is write protected (FLASH_SR2 = 0x00020000)\n  while erasing sector 1 of bank 2, \
             0x08120000\n  while program app.elf\n  hint: `option read` shows WRPSN2"
        );
        assert_eq!(error.kind.exit_code(), 5);
    }

    #[test]
    fn an_excerpt_says_how_long_the_whole_is() {
        assert_eq!(excerpt("flsh"), "flsh");
        assert_eq!(excerpt(&"é".repeat(1000)), format!("{}… (2000 bytes)", "é".repeat(100)));
    }

    #[test]
    fn kinds_and_names_are_one_to_one() {
        for (kind, name, _) in Kind::TABLE {
            assert_eq!(Kind::from_name(name), Some(*kind));
        }
    }
}
