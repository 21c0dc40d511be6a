//! The one command table: a usage line is the grammar, and gives parsing, help, completion, Rhai names and hints.
//!
//! A command returns its `Value` and prints nothing; the front-end shows it.

pub mod backtrace;
pub mod board;
pub mod disasm;
pub mod doctor;
pub mod flash;
pub mod info;
pub mod line;
pub mod look;
pub mod memory;
pub mod option;
pub mod probe;
pub mod rtt;
pub mod run;
pub mod serve;
pub mod shell;
pub mod sim;
pub mod spec;
pub mod svd;
pub mod symbol;
pub mod system;
pub mod target;
pub mod value;

pub use spec::{Arg, Args, Spec};
pub use value::Value;

use crate::desc::svd::Svd;
use crate::desc::{Interface, Target};
use crate::error::{Error, Result, excerpt};
use crate::event::Ears;
use crate::image::{Image, Names};
use crate::near::nearest;
use crate::session::{Input, Session, Setup};
use std::cell::{Cell, OnceCell, RefCell, RefMut};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

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
    /// With this many words or more it changes the chip (memory, registers, run state), so `--dry-run` only names it.
    /// Flash commands are `None`: they print what they would do.
    pub changes: Option<usize>,
}

impl Command {
    pub const fn new(usage: &'static str, help: &'static str, example: &'static str, run: Run) -> Command {
        Command { usage, help, run, example, changes: None }
    }

    pub const fn changes(mut self, words: usize) -> Command {
        self.changes = Some(words);
        self
    }
}

/// Words of Rhai, now or in future: a command of this name could not be called as a function.
pub const RESERVED: &str = "\
    as async await break call case catch command const continue curry debug default do else eval export false fn for \
    global go goto if import in is let loop match module new nil null package print private protected public return shared \
    spawn static super switch sync this thread throw true try type_of until use var void while with yield";

/// A word that Rhai keeps for itself.
pub fn reserved(word: &str) -> bool {
    RESERVED.split_whitespace().any(|reserved| reserved == word)
}

/// What carries a command out.
#[derive(Clone, Copy)]
pub enum Action {
    BuiltIn(Run),
    /// A closure of the script engine, by its number.
    Script(usize),
}

/// A command ready to be called: a row of a built-in table, or one that a script defined.
pub struct Entry {
    pub spec: Rc<Spec>,
    pub help: String,
    /// Empty for a command of a script.
    pub example: String,
    pub action: Action,
    /// See `Command::changes`.
    pub changes: Option<usize>,
}

impl Entry {
    /// A refused usage line is an error of kind usage.
    pub fn new(usage: &str, help: &str, example: &str, action: Action) -> Result<Entry> {
        let spec = Rc::new(Spec::new(usage)?);
        let function = spec.function();
        let callable =
            function.starts_with(|c: char| c.is_ascii_alphabetic()) && function.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        if !callable || reserved(&function) {
            return Err(Error::usage(format!("`{}` cannot be a command's name: Rhai could not call {function}()", spec.name))
                .hint("names are words of letters, digits and _, and no words of Rhai"));
        }
        Ok(Entry { spec, help: help.into(), example: example.into(), action, changes: None })
    }

    pub fn name(&self) -> &str {
        &self.spec.name
    }
}

/// The tables of the built-in commands.
pub const BUILT_IN: &[&[Command]] = &[
    system::COMMANDS,
    probe::COMMANDS,
    target::COMMANDS,
    memory::COMMANDS,
    backtrace::COMMANDS,
    disasm::COMMANDS,
    symbol::COMMANDS,
    svd::COMMANDS,
    look::COMMANDS,
    doctor::COMMANDS,
    info::COMMANDS,
    flash::COMMANDS,
    run::COMMANDS,
    option::COMMANDS,
    board::COMMANDS,
    sim::COMMANDS,
    shell::COMMANDS,
    serve::COMMANDS,
    rtt::COMMANDS,
];

/// All commands, by name.
#[derive(Default)]
pub struct Commands {
    entries: Vec<Rc<Entry>>,
}

impl Commands {
    /// Every built-in command; an error of kind usage names the usage line that is at fault.
    pub fn built_in() -> Result<Commands> {
        let mut commands = Commands::default();
        for row in BUILT_IN.iter().copied().flatten() {
            let entry = Entry::new(row.usage, row.help, row.example, Action::BuiltIn(row.run))?;
            commands.add(Entry { changes: row.changes, ..entry });
        }
        Ok(commands)
    }

    /// A command of the same name is replaced: a user's own `program` wins over the one that came with rocd.
    pub fn add(&mut self, entry: Entry) {
        match self.entries.iter_mut().find(|old| old.name() == entry.name()) {
            Some(old) => *old = Rc::new(entry),
            None => self.entries.push(Rc::new(entry)),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Rc<Entry>> {
        self.entries.iter()
    }

    pub fn get(&self, name: &str) -> Option<Rc<Entry>> {
        self.entries.iter().find(|entry| entry.name() == name).cloned()
    }

    /// The command whose name as a Rhai function is `function`.
    pub fn function(&self, function: &str) -> Option<Rc<Entry>> {
        self.entries.iter().find(|entry| entry.spec.function() == function).cloned()
    }

    /// The command with the longest name that these words begin with, and how many words its name has.
    pub fn find<S: AsRef<str>>(&self, words: &[S]) -> Option<(Rc<Entry>, usize)> {
        let length = |entry: &Rc<Entry>| {
            let name = entry.name().split(' ');
            let count = name.clone().count();
            let same = words.len() >= count && name.zip(words).all(|(a, b)| a == b.as_ref());
            same.then_some((entry.clone(), count))
        };
        self.entries.iter().filter_map(length).max_by_key(|(_, count)| *count)
    }

    /// The next word of every command whose name begins with these.
    pub fn next_words<S: AsRef<str>>(&self, words: &[S]) -> Vec<String> {
        let next = |entry: &Rc<Entry>| {
            let mut name = entry.name().split(' ');
            words.iter().all(|word| name.next() == Some(word.as_ref())).then(|| name.next().map(str::to_string)).flatten()
        };
        self.entries.iter().filter_map(next).collect()
    }

    /// "unknown command `flsh`", with the nearest that there is.
    pub fn unknown(&self, words: &[&str]) -> Error {
        let first = words.first().copied().unwrap_or_default();
        let longer = |word: &&&str| self.entries.iter().any(|entry| entry.name().split(' ').next() == Some(**word));
        let known = words.first().filter(longer).is_some();
        let typed = if known { words.iter().take(2).copied().collect::<Vec<_>>().join(" ") } else { first.to_string() };
        let error = Error::usage(match self.suggest(words) {
            Some(near) => format!("unknown command `{}`; did you mean `{near}`?", excerpt(&typed)),
            None => format!("unknown command `{}`", excerpt(&typed)),
        });
        error.hint("`help` lists the commands")
    }

    /// Near is: the same second word under a mistyped first, else the nearest name, else the first name that begins with the nearest first word.
    fn suggest(&self, words: &[&str]) -> Option<&str> {
        let first = words.first()?;
        let typed = words.iter().take(2).copied().collect::<Vec<_>>().join(" ");
        let names = || self.entries.iter().map(|entry| entry.name());
        nearest(&typed, names()).or_else(|| nearest(first, names())).or_else(|| {
            let near = nearest(first, names().filter_map(|name| name.split(' ').next()))?;
            names().find(|name| name.split(' ').next() == Some(near))
        })
    }
}

/// What was chosen before the first attach: files, probe, clock.
#[derive(Default)]
pub struct Settings {
    pub interface: Option<Rc<Interface>>,
    pub target: Option<Rc<Target>>,
    pub khz: Option<u32>,
    /// That clock and no other.
    pub exact: bool,
    pub serial: Option<String>,
    pub usb_path: Option<String>,
    pub under_reset: bool,
    /// The address that servers listen at; `None`: loopback.
    pub bindto: Option<String>,
    /// What `rtt start` goes by.
    pub rtt: Setup,
    /// `--dry-run`
    pub dry_run: bool,
    /// `--timing`, and `timing on`
    pub timing: bool,
    /// `-s`, in order; then $ROCD_PATH and the user's config folder.
    pub search: Vec<PathBuf>,
    /// stdin, where nobody else has it: for the console of the programs that `run` runs.
    pub input: Option<Input>,
    /// Clients have come in by `serve`, and are who says what is to be done.
    pub serving: bool,
    /// The front-end's own options, for the manual page and for shells, and what there is to say about them.
    pub options: Vec<shell::Opt>,
    pub about_options: &'static str,
}

type Attach = Box<dyn Fn(&Cx) -> Result<Session>>;
type OnText<T> = Box<dyn Fn(&Cx, &str) -> Result<T>>;
type Serve = Box<dyn Fn(&Args) -> Result<Value>>;
type OnArgs = Box<dyn Fn(&Cx, usize, &Args) -> Result<Value>>;

/// What the host does for commands: the only way up.
pub struct Up {
    /// Open the interface's probe and attach; runs no hook.
    pub attach: Attach,
    /// Run one line as if typed.
    pub line: OnText<Value>,
    /// Run a .rhai file.
    pub script: OnText<Value>,
    /// Call the function that a target file names for an event; an error if no script defines it.
    pub hook: OnText<()>,
    /// Call the closure of a script's command, `Action::Script`.
    pub closure: OnArgs,
    /// Serve gdb, telnet and Tcl until told to leave: who makes the host puts it here (server.rs).
    pub serve: OnceCell<Serve>,
}

/// What a command may reach. No `RefCell` borrow may live across `run`, `fire` or anything else that runs a script.
pub struct Cx {
    pub ears: Ears,
    pub settings: RefCell<Settings>,
    pub session: RefCell<Option<Session>>,
    /// The embedded board, once one is made (command/sim.rs).
    pub board: RefCell<sim::Slot>,
    /// Of the ELF that was programmed or loaded last; the session speaks of them, too.
    pub names: Rc<RefCell<Names>>,
    /// What peripherals are called: of `svd`, else of the target file's when first asked for.
    pub svd: RefCell<Option<Rc<Svd>>>,
    /// The current core of this front-end.
    pub core: Cell<usize>,
    /// Where clients of RTT come in.
    pub rtt_ports: RefCell<Vec<rtt::Port>>,
    /// Every command there is.
    pub commands: RefCell<Commands>,
    pub up: Up,
    clock: Clock,
}

/// The chip's clock while a probe is open, the wall's otherwise; never runs backwards.
struct Clock {
    start: Instant,
    passed: Cell<Duration>,
    /// The probe's reading, or the wall's, when it was looked at last.
    last: Cell<(bool, Duration)>,
}

impl Clock {
    fn new() -> Clock {
        Clock { start: Instant::now(), passed: Cell::default(), last: Cell::default() }
    }

    fn now(&self, probe: Option<Duration>) -> Duration {
        let reading = (probe.is_some(), probe.unwrap_or_else(|| self.start.elapsed()));
        let (was_probe, then) = self.last.replace(reading);
        let step = match (was_probe, reading) {
            (was, (is, now)) if was == is => now.saturating_sub(then),
            // A probe counts from when it was opened.
            (_, (true, now)) => now,
            (_, (false, _)) => Duration::ZERO,
        };
        self.passed.set(self.passed.get() + step);
        self.passed.get()
    }
}

impl Cx {
    pub fn new(ears: Ears, commands: Commands, up: Up) -> Cx {
        Cx {
            ears,
            settings: RefCell::default(),
            session: RefCell::default(),
            board: RefCell::default(),
            names: Rc::default(),
            svd: RefCell::default(),
            core: Cell::new(0),
            rtt_ports: RefCell::default(),
            commands: RefCell::new(commands),
            up,
            clock: Clock::new(),
        }
    }

    /// Time since the start, on the chip's clock while a probe is open and on the wall's otherwise.
    pub fn now(&self) -> Duration {
        match self.session.try_borrow() {
            Ok(session) => self.clock.now(session.as_ref().map(|session| session.probe.now())),
            Err(_) => self.clock.passed.get(),
        }
    }

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

    /// From now on symbols and source lines are this image's.
    pub fn know(&self, image: Image) {
        *self.names.borrow_mut() = Names::of(image);
    }

    /// The address of a symbol of the ELF that was programmed or loaded last.
    pub fn symbol(&self, name: &str) -> Option<u64> {
        self.names.borrow().symbols.iter().find(|symbol| symbol.name == name).map(|symbol| u64::from(symbol.address))
    }

    /// Check the words behind a command's name, and carry it out.
    pub fn call(&self, entry: &Entry, words: &[String]) -> Result<Value> {
        let args = entry.spec.parse(words, &|name| self.symbol(name))?;
        if entry.changes.is_some_and(|least| words.len() >= least) && self.settings.borrow().dry_run {
            let line = std::iter::once(entry.name()).chain(words.iter().map(String::as_str)).collect::<Vec<_>>().join(" ");
            self.ears.info(format!("dry run: `{line}` was not done"));
            return Ok(Value::None);
        }
        let result = match entry.action {
            Action::BuiltIn(run) => run(self, &args),
            Action::Script(number) => (self.up.closure)(self, number, &args),
        };
        // Work that failed is never at its end, and a script may go on.
        result.inspect_err(|_| self.ears.progress("", 0, 0))
    }
}
