//! What a command is given.

use super::{Arg, Spec};
use crate::error::{Error, Kind, Result};
use std::rc::Rc;

/// The arguments of one call, already parsed and checked against the usage line.
#[derive(Clone, Debug, PartialEq)]
pub struct Args {
    spec: Rc<Spec>,
    values: Vec<(String, Arg)>,
    literals: Vec<String>,
    /// The words behind the name, as given.
    words: Vec<String>,
}

impl Args {
    pub(super) fn new(spec: Rc<Spec>) -> Args {
        Args { spec, values: Vec::new(), literals: Vec::new(), words: Vec::new() }
    }

    pub(super) fn push_literal(&mut self, word: &str) {
        self.literals.push(word.to_string());
        self.words.push(word.to_string());
    }

    pub(super) fn push_value(&mut self, name: &str, arg: Arg, word: &str) {
        self.values.push((name.to_string(), arg));
        self.words.push(word.to_string());
    }

    /// A required number by its name in the usage line (an `Error` of kind bug if the grammar has none of that name).
    pub fn num(&self, name: &str) -> Result<u64> {
        self.opt_num(name).ok_or_else(|| self.missing(name))
    }

    pub fn opt_num(&self, name: &str) -> Option<u64> {
        self.nums(name).first().copied()
    }

    /// All values of a repeated item.
    pub fn nums(&self, name: &str) -> Vec<u64> {
        self.of(name).into_iter().filter_map(|arg| if let Arg::Num(number) = arg { Some(*number) } else { None }).collect()
    }

    /// A required word, file name or text.
    pub fn text(&self, name: &str) -> Result<&str> {
        self.opt_text(name).ok_or_else(|| self.missing(name))
    }

    pub fn opt_text(&self, name: &str) -> Option<&str> {
        self.texts(name).first().copied()
    }

    pub fn texts(&self, name: &str) -> Vec<&str> {
        self.of(name).into_iter().filter_map(|arg| if let Arg::Text(text) = arg { Some(text.as_str()) } else { None }).collect()
    }

    /// A literal (or `--option`) of the usage line was given.
    pub fn has(&self, literal: &str) -> bool {
        self.literals.iter().any(|given| given == literal)
    }

    /// Every value of that name, in order.
    pub fn of(&self, name: &str) -> Vec<&Arg> {
        self.values.iter().filter(|(given, _)| given == name).map(|(_, arg)| arg).collect()
    }

    /// The words behind the name, as given.
    pub fn words(&self) -> &[String] {
        &self.words
    }

    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    fn missing(&self, name: &str) -> Error {
        Error::new(Kind::Bug, format!("`{}` has no value <{name}> in this call", self.spec.usage))
    }
}
