//! The one command table: a usage line is the grammar, and gives parsing, help, completion, Rhai names and hints.
//!
//! A command returns its `Value` and prints nothing; the front-end shows it.

pub mod flash;
pub mod memory;
pub mod probe;
pub mod server;
pub mod sim;
pub mod system;
pub mod target;

use crate::desc::{Interface, Target};
use crate::error::{Error, Result};
use crate::event::Ears;
use crate::image::Symbol;
use crate::session::Session;
use std::cell::{Cell, RefCell, RefMut};
use std::path::PathBuf;
use std::rc::Rc;

/// What a command returns: data for scripts and `--json`, text for people.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
    /// A value with its own printed form: `mdw` is a list of numbers that prints as a dump.
    Shown(Box<Value>, String),
}

impl Value {
    pub fn shown(value: Value, text: impl Into<String>) -> Value {
        Value::Shown(Box::new(value), text.into())
    }

    pub fn map(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
        Value::Map(entries.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
    }
}

/// The arguments of one call, already parsed and checked against the usage line.
#[derive(Clone, Debug, Default)]
pub struct Args {}

impl Args {
    /// A required number by its name in the usage line (an `Error` of kind bug if the grammar has none of that name).
    pub fn num(&self, name: &str) -> Result<u64> {
        let _ = name;
        todo!()
    }

    pub fn opt_num(&self, name: &str) -> Option<u64> {
        let _ = name;
        todo!()
    }

    /// All values of a repeated item.
    pub fn nums(&self, name: &str) -> Vec<u64> {
        let _ = name;
        todo!()
    }

    /// A required word, file name or text.
    pub fn text(&self, name: &str) -> Result<&str> {
        let _ = name;
        todo!()
    }

    pub fn opt_text(&self, name: &str) -> Option<&str> {
        let _ = name;
        todo!()
    }

    pub fn texts(&self, name: &str) -> Vec<&str> {
        let _ = name;
        todo!()
    }

    /// A literal (or `--option`) of the usage line was given.
    pub fn has(&self, literal: &str) -> bool {
        let _ = literal;
        todo!()
    }
}

pub type Run = fn(&Cx, &Args) -> Result<Value>;

/// One row of the table.
pub struct Command {
    /// The usage line, which is the grammar: `reset [run|halt|init]`.
    pub usage: &'static str,
    /// One line.
    pub help: &'static str,
    pub run: Run,
    /// Runs on the embedded board in a test, after `program tests/firmware/blinky` where it needs firmware.
    pub example: &'static str,
}

impl Command {
    pub const fn new(usage: &'static str, help: &'static str, example: &'static str, run: Run) -> Command {
        Command { usage, help, run, example }
    }
}

/// What was chosen before the first attach: files, probe, clock.
#[derive(Default)]
pub struct Settings {
    pub interface: Option<Rc<Interface>>,
    pub target: Option<Rc<Target>>,
    pub khz: Option<u32>,
    pub serial: Option<String>,
    pub usb_path: Option<String>,
    pub under_reset: bool,
    /// `--dry-run`
    pub dry_run: bool,
    /// `-s`, in order; then $ROCD_PATH and the user's config folder.
    pub search: Vec<PathBuf>,
}

/// What the host does for commands: the only way up.
pub struct Up {
    /// Open the interface's probe and attach; runs no hook.
    pub attach: Box<dyn Fn(&Cx) -> Result<Session>>,
    /// Run one line as if typed.
    pub line: Box<dyn Fn(&Cx, &str) -> Result<Value>>,
    /// Run a .rhai file.
    pub script: Box<dyn Fn(&Cx, &str) -> Result<Value>>,
    /// Call a hook function by name, if a script defines it.
    pub hook: Box<dyn Fn(&Cx, &str) -> Result<()>>,
}

/// What a command may reach. No `RefCell` borrow may live across `run`, `fire` or anything else that runs a script.
pub struct Cx {
    pub ears: Ears,
    pub settings: RefCell<Settings>,
    pub session: RefCell<Option<Session>>,
    /// The embedded board, once one is made (command/sim.rs).
    pub board: RefCell<sim::Slot>,
    /// Symbols of the ELF that was programmed or loaded last.
    pub symbols: RefCell<Vec<Symbol>>,
    /// The current core of this front-end.
    pub core: Cell<usize>,
    pub up: Up,
}

impl Cx {
    /// The session, attached on demand (hook examine_end is fired then).
    pub fn session(&self) -> Result<RefMut<'_, Session>> {
        if self.session.borrow().is_none() {
            let session = (self.up.attach)(self)?;
            *self.session.borrow_mut() = Some(session);
            self.fire("examine_end")?;
        }
        RefMut::filter_map(self.session.borrow_mut(), Option::as_mut)
            .map_err(|_| Error::command("the hook `examine_end` disconnected from the chip"))
    }

    /// Run a target file's event hook, if it names one.
    pub fn fire(&self, event: &str) -> Result<()> {
        let hook = self.settings.borrow().target.as_ref().and_then(|target| target.hooks.get(event).cloned());
        match hook {
            Some(function) => (self.up.hook)(self, &function),
            None => Ok(()),
        }
    }
}
