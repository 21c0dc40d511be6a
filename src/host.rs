//! The host: sole owner of sessions, commands and the script engine; runs one line at a time.
//!
//! Front-ends hand it lines and show the `Outcome`s, and ask it what they need while a line is being typed. One that lives in a
//! thread of its own puts what it asks into a channel, which is answered where the host is (repl.rs).

mod state;
mod typing;

pub use state::LONGEST_TEXT;
pub use typing::{Choices, LONGEST_COLOURED, Mark};

use crate::command::line::{self, Part, Word, quote};
use crate::command::probe::probes;
use crate::command::sim::{board, keep};
use crate::command::{Commands, Cx, Entry, Settings, Up, Value};
use crate::desc::{self, Description, Interface, Known, Target, Transport};
use crate::error::{Cause, Context, Error, Kind, Result};
use crate::event::{Ears, Event, Sink};
use crate::flash;
use crate::probe::{self, Driver, Info};
use crate::script::Script;
use crate::session::{AttachOptions, Left, Session};
use crate::sim::DEFAULT_CHIP;
use crate::tcp;
use crate::timing::{Book, Counted, Noted, Timing};
use crate::usb::{self, Found, Pipe, Trace};
use std::cell::{OnceCell, RefCell};
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Runs before anything a user gives: `program` and what else is a flow and no primitive.
const START_UP: &str = "scripts/program.rhai";

/// The `-d` level from which every transfer is told.
const TRACE_LEVEL: u8 = 3;

/// What became of one command, or of one piece of Rhai.
#[derive(Debug)]
pub struct Outcome {
    /// As it was typed.
    pub command: String,
    pub result: Result<Value>,
    /// On the chip's clock.
    pub seconds: f64,
    pub wall_seconds: f64,
    pub probe: Option<String>,
    pub chip: Option<String>,
    /// If it was asked for.
    pub timing: Option<Timing>,
}

impl Outcome {
    /// An error from before there was a host or a chip.
    pub fn start_up(command: impl Into<String>, error: Error) -> Outcome {
        Outcome { command: command.into(), result: Err(error), seconds: 0.0, wall_seconds: 0.0, probe: None, chip: None, timing: None }
    }
}

/// What to do with each outcome.
pub type Show<'a> = &'a mut dyn FnMut(&Outcome);

/// The signal that came last, 0 for none.
#[derive(Clone, Default)]
pub struct Cancel(Arc<AtomicUsize>);

/// Nobody waits longer than this for the embedded board to make up for a front-end's idle time, in steps of `SLICE`. Assumed:
/// a key that is pressed meanwhile is still answered at once.
const CATCH_UP: Duration = Duration::from_millis(50);
const SLICE: Duration = Duration::from_millis(2);

/// A command answers a signal within 200 ms; one that has not done so by now will not.
#[cfg(unix)]
const PATIENCE: Duration = Duration::from_secs(1);

/// Signals that end a command, with the exit code 128 + number.
#[cfg(unix)]
const SIGNALS: &[i32] = &[signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP];
#[cfg(not(unix))]
const SIGNALS: &[i32] = &[signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM];

impl Cancel {
    /// From now on these signals are noticed and no longer end the process.
    pub fn on_signals() -> Result<Cancel> {
        let cancel = Cancel::default();
        cancel.clone().listen().map_err(|error| Error::command(format!("signals cannot be caught: {error}")))?;
        Ok(cancel)
    }

    /// A signal that nobody answers, because the system keeps us waiting for a file, must not need `kill -9`: another one
    /// that comes `PATIENCE` later ends the process.
    #[cfg(unix)]
    fn listen(self) -> std::io::Result<()> {
        let mut signals = signal_hook::iterator::Signals::new(SIGNALS)?;
        std::thread::Builder::new().spawn(move || {
            let mut first = Instant::now();
            for signal in signals.forever() {
                let unanswered = self.0.swap(signal.unsigned_abs() as usize, Ordering::SeqCst) != 0;
                match unanswered {
                    false => first = Instant::now(),
                    true if first.elapsed() < PATIENCE => {}
                    true => std::process::exit(128 + signal),
                }
            }
        })?;
        Ok(())
    }

    #[cfg(not(unix))]
    fn listen(self) -> std::io::Result<()> {
        for &signal in SIGNALS {
            signal_hook::flag::register_usize(signal, self.0.clone(), signal as usize)?;
        }
        Ok(())
    }

    /// As if a signal had come.
    pub fn set(&self, signal: i32) {
        self.0.store(signal.unsigned_abs() as usize, Ordering::SeqCst);
    }

    pub fn get(&self) -> i32 {
        i32::try_from(self.0.load(Ordering::SeqCst)).unwrap_or_default()
    }

    /// `Err` once for each signal: what cleans up behind it must not be interrupted by the same one.
    pub fn check(&self) -> Result<()> {
        match i32::try_from(self.0.swap(0, Ordering::SeqCst)).unwrap_or_default() {
            0 => Ok(()),
            signal => Err(Error::command("interrupted").cause(Cause::Interrupted(signal))),
        }
    }
}

/// The process's exit code when this error ends the run.
pub fn exit_code(error: &Error) -> u8 {
    match error.cause {
        Cause::Exit(code) | Cause::Ended(code) => code,
        Cause::Interrupted(signal) | Cause::Abandoned(signal) => 128u8.saturating_add(u8::try_from(signal).unwrap_or(0)),
        _ => error.kind.exit_code(),
    }
}

/// Events go to the front-end whose line runs, else to the one that came with the host, which also has the log of `-d`.
struct Switch {
    own: Rc<dyn Sink>,
    other: RefCell<Option<Rc<dyn Sink>>>,
}

impl Sink for Switch {
    fn emit(&self, event: Event) {
        let other = self.other.borrow().clone().filter(|_| !matches!(event, Event::Debug(..)));
        other.as_ref().unwrap_or(&self.own).emit(event);
    }
}

pub struct Host {
    cx: Rc<Cx>,
    switch: Rc<Switch>,
    script: Rc<Script>,
    cancel: Cancel,
    /// The level of `-d`.
    debug: u8,
    watch: state::Watch,
    book: Rc<Book>,
}

impl Host {
    /// `debug` is the level of `-d`.
    pub fn new(sink: Rc<dyn Sink>, cancel: Cancel, settings: Settings, debug: u8) -> Result<Host> {
        let flag = cancel.clone();
        let switch = Rc::new(Switch { own: sink, other: RefCell::default() });
        let book = Rc::<Book>::default();
        let sink = Rc::new(Noted { sink: switch.clone(), book: book.clone() });
        let still = sink.clone();
        let breathe = move || {
            still.still();
            flag.check()
        };
        let ears = Ears { sink, breathe: Rc::new(breathe) };
        let commands = Commands::built_in()?;
        let mut script = None;
        let cx = Rc::new_cyclic(|weak| {
            let engine = script.insert(Rc::new(Script::new(weak.clone()))).clone();
            Cx::new(ears, commands, up(engine, book.clone(), debug))
        });
        let script = script.expect("new_cyclic has run its closure");
        cx.settings.replace(settings);
        let host = Host { cx, switch, script, cancel, debug, watch: state::Watch::default(), book };
        host.start_up()?;
        Ok(host)
    }

    fn start_up(&self) -> Result<()> {
        let built_in = desc::BUILT_IN.iter().find(|(name, _)| *name == START_UP);
        built_in.map_or(Ok(Value::None), |(name, text)| self.script.load(&self.cx, name, text)).map(|_| ())
    }

    pub fn cx(&self) -> &Cx {
        &self.cx
    }

    pub fn cancel(&self) -> &Cancel {
        &self.cancel
    }

    /// What is said during `work` is heard by another front-end.
    pub fn heard_by<T>(&self, sink: Rc<dyn Sink>, work: impl FnOnce() -> T) -> T {
        let before = self.switch.other.replace(Some(sink));
        let done = work();
        self.switch.other.replace(before);
        done
    }

    /// A file given with -f: an interface, a target or a script.
    pub fn file(&self, name: &str) -> Result<()> {
        let search = self.cx.settings.borrow().search.clone();
        match load(name, &search)? {
            Description::Interface(interface) => self.cx.settings.borrow_mut().interface = Some(Rc::new(interface)),
            Description::Target(target) => self.cx.settings.borrow_mut().target = Some(Rc::new(target)),
            Description::Script(path, text) => {
                self.script.load(&self.cx, &path, &text)?;
            }
        }
        Ok(())
    }

    /// Run a text part by part and show each outcome. The first error ends it.
    pub fn line(&self, text: &str, show: Show) -> Result<()> {
        let mut rest = text;
        while let Some(part) = self.judge(rest, show)? {
            rest = match part {
                Part::Command { entry, words, text, rest } => {
                    self.outcome(text, show, || call(&self.cx, &self.script, &entry, &words))?;
                    rest
                }
                Part::Rhai(text) => {
                    self.outcome(text, show, || self.script.line(&self.cx, text))?;
                    ""
                }
            };
        }
        Ok(())
    }

    /// An open quote belongs to no command yet, but must be shown as the others are.
    fn judge<'a>(&self, text: &'a str, show: Show) -> Result<Option<Part<'a>>> {
        let judged = line::part(text, &self.cx.commands.borrow());
        if let Err(error) = &judged {
            self.outcome(text.trim(), show, || Err(error.clone()))?;
        }
        judged
    }

    /// One command whose words are already apart, as the shell hands them over: never Rhai.
    pub fn words(&self, words: &[String], show: Show) -> Result<()> {
        let text = words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" ");
        self.outcome(&text, show, || {
            let found = self.cx.commands.borrow().find(words);
            let Some((entry, count)) = found else {
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                return Err(self.cx.commands.borrow().unknown(&words));
            };
            self.cx.call(&entry, &words[count..])
        })
    }

    fn outcome(&self, command: &str, show: Show, run: impl FnOnce() -> Result<Value>) -> Result<()> {
        let (wall, start) = (Instant::now(), self.cx.now());
        self.book.begin(self.cx.settings.borrow().timing);
        let result = self.cancel.check().and_then(|()| run());
        let (probe, chip) = self.attached();
        let seconds = (self.cx.now() - start).as_secs_f64();
        let (command, wall_seconds, timing) = (command.to_string(), wall.elapsed().as_secs_f64(), self.book.end());
        let outcome = Outcome { command, result, seconds, wall_seconds, probe, chip, timing };
        show(&outcome);
        self.watch.hear(&outcome);
        outcome.result.map(|_| ())
    }

    fn attached(&self) -> (Option<String>, Option<String>) {
        match self.cx.session.borrow().as_ref() {
            Some(session) => (Some(probe_name(session.probe.info())), Some(session.die.name.clone())),
            None => (None, None),
        }
    }

    /// A front-end has only waited for so long: the embedded board lived meanwhile. Firmware that is busier than this machine
    /// makes it fall behind.
    pub fn waited(&self, time: Duration) {
        let board = self.cx.board.borrow().board.clone();
        let (began, mut left) = (Instant::now(), time);
        while let Some(board) = board.as_ref().filter(|_| !left.is_zero() && began.elapsed() < CATCH_UP) {
            let slice = left.min(SLICE);
            board.pass(slice);
            left -= slice;
        }
    }

    /// The text ends inside a quote, parenthesis or block: another line belongs to it.
    pub fn unfinished(&self, text: &str) -> bool {
        let commands = self.cx.commands.borrow();
        if line::unfinished(text, &commands) {
            return true;
        }
        let rhai = last_part(text, &commands).map(str::to_string);
        drop(commands);
        rhai.is_some_and(|rhai| self.script.unfinished(&self.cx, &rhai))
    }

    /// Names that scripts and lines defined.
    pub fn defined(&self) -> Vec<String> {
        self.script.defined()
    }

    /// Leave the chip as docs/DESIGN.md says, and say how; the embedded board's state file is written.
    pub fn leave(&self) -> Result<()> {
        let left = self.detach();
        left.and(keep(&self.cx))
    }

    fn detach(&self) -> Result<()> {
        let Some(mut session) = self.cx.session.borrow_mut().take() else { return Ok(()) };
        // The signal that brought us here must not cut the farewell short.
        let _ = self.cancel.check();
        let left = match session.detach() {
            // `reset` and `program … reset` promise a running core; after `flash mass_erase` nothing could run
            Err(error) if error.kind == Kind::NotRunning => {
                self.cx.ears.warn(format!("{}; {}", error.message, error.hint.unwrap_or_default()));
                return Ok(());
            }
            left => left.during("leaving the chip")?,
        };
        match left {
            Left::AsFound => {}
            Left::Started => self.cx.ears.info("flash was changed: the chip was reset and is running"),
            Left::Halted { core, pc } => {
                let pc = self.cx.names.borrow().at(pc);
                self.cx.ears.info(format!("{core} is left halted at {pc}; `reset run` or a power cycle starts it"));
            }
        }
        Ok(())
    }
}

/// The Rhai that ends a text, if it ends so.
fn last_part<'a>(text: &'a str, commands: &Commands) -> Option<&'a str> {
    let mut rest = text;
    loop {
        match line::part(rest, commands) {
            Ok(Some(Part::Command { rest: after, .. })) => rest = after,
            Ok(Some(Part::Rhai(text))) => return Some(text),
            _ => return None,
        }
    }
}

/// A command with words that may be expressions.
fn call(cx: &Cx, script: &Script, entry: &Entry, words: &[Word]) -> Result<Value> {
    let mut plain = Vec::new();
    for word in words {
        match word.expression {
            true => plain.extend(script.expression(cx, &word.text)?),
            false => plain.push(word.text.clone()),
        }
    }
    cx.call(entry, &plain)
}

/// Run a text for a command; the last part's value is its own.
fn run_line(cx: &Cx, script: &Script, text: &str) -> Result<Value> {
    let (mut rest, mut last) = (text, Value::None);
    loop {
        let part = line::part(rest, &cx.commands.borrow())?;
        match part {
            Some(Part::Command { entry, words, rest: after, .. }) => {
                last = call(cx, script, &entry, &words)?;
                rest = after;
            }
            Some(Part::Rhai(text)) => return script.line(cx, text),
            None => return Ok(last),
        }
    }
}

fn up(script: Rc<Script>, book: Rc<Book>, debug: u8) -> Up {
    let (for_line, for_script, for_hook, for_closure) = (script.clone(), script.clone(), script.clone(), script);
    Up {
        attach: Box::new(move |cx| {
            let _phase = cx.ears.phase("attach", "");
            attach(cx, &book, debug)
        }),
        line: Box::new(move |cx, text| run_line(cx, &for_line, text)),
        script: Box::new(move |cx, name| {
            let search = cx.settings.borrow().search.clone();
            let found = desc::find(name, desc::Wanted::Script, &search)?;
            for_script.load(cx, &found.path, &found.text)
        }),
        hook: Box::new(move |cx, function| for_hook.hook(cx, function)),
        closure: Box::new(move |cx, number, args| for_closure.closure(cx, number, args)),
        serve: OnceCell::new(),
    }
}

fn load(name: &str, search: &[PathBuf]) -> Result<Description> {
    let probes: Vec<&str> = probe::DRIVERS.iter().map(|driver| driver.name).collect();
    let flash: Vec<&str> = flash::DRIVERS.iter().map(|(name, _)| *name).collect();
    desc::load(name, search, &Known { probes: &probes, flash: &flash })
}

/// Open the probe that was asked for and attach to the chip behind it.
fn attach(cx: &Cx, book: &Rc<Book>, debug: u8) -> Result<Session> {
    let interface = interface(cx)?;
    let driver = probe::DRIVERS.iter().find(|driver| driver.name == interface.driver);
    let driver = driver.ok_or_else(|| Error::usage(format!("there is no probe driver `{}`", interface.driver)))?;
    let (found, pipe) = open(cx, &interface, driver)?;
    let target = target(cx)?;
    let settings = cx.settings.borrow();
    let options = AttachOptions { khz: settings.khz.or(interface.khz), exact: settings.exact, under_reset: settings.under_reset };
    drop(settings);
    let info = Info { serial: found.serial, vid: found.vid, pid: found.pid, path: found.path, ..Info::default() };
    let probe = (driver.open)(Box::new(Counted::new(traced(cx, pipe, debug), book.clone())), info)?;
    let mut session = Session::attach(probe, target, &options, cx.ears.clone())?;
    session.names = cx.names.clone();
    cx.ears.info(greeting(&session));
    Ok(session)
}

/// Without an interface file: any ST-Link.
fn interface(cx: &Cx) -> Result<Rc<Interface>> {
    if let Some(interface) = cx.settings.borrow().interface.clone() {
        return Ok(interface);
    }
    match load("interfaces/stlink.toml", &[])? {
        Description::Interface(interface) => Ok(Rc::new(interface)),
        _ => Err(Error::new(Kind::Bug, "interfaces/stlink.toml is no interface file")),
    }
}

/// On the embedded board the chip is known before it is asked, so its family's target file may be left out.
fn target(cx: &Cx) -> Result<Rc<Target>> {
    if let Some(target) = cx.settings.borrow().target.clone() {
        return Ok(target);
    }
    let missing = || Error::usage("no target file was given").hint("-f stm32h7 or -f stm32g0 says which family the chip is of");
    let chip = cx.board.borrow().board.as_ref().map(|board| board.chip().to_string()).ok_or_else(missing)?;
    let family = chip.get(.."stm32h7".len()).unwrap_or(DEFAULT_CHIP);
    match load(&format!("targets/{family}.toml"), &[]) {
        Ok(Description::Target(target)) => {
            let target = Rc::new(target);
            cx.settings.borrow_mut().target = Some(target.clone());
            Ok(target)
        }
        _ => Err(missing()),
    }
}

fn open(cx: &Cx, interface: &Interface, driver: &Driver) -> Result<(Found, Box<dyn Pipe>)> {
    let board = if interface.transport == Transport::Sim { Some(board(cx)?) } else { None };
    let settings = cx.settings.borrow();
    let wish = Wish {
        ids: &interface.usb,
        serial: settings.serial.as_deref().or(interface.serial.as_deref()),
        path: settings.usb_path.as_deref(),
    };
    let all = board.as_ref().map_or_else(|| probes(interface, driver), |board| Ok(vec![board.found()]))?;
    let found = choose(all, &wish, driver)?;
    let pipe = match (board, interface.server()) {
        (Some(board), _) => board.pipe(),
        (None, Some(address)) => tcp::open(address, &found)?,
        (None, None) => usb::open(&found, driver.usb)?,
    };
    Ok((found, pipe))
}

/// Which of several probes is meant.
struct Wish<'a> {
    /// "0483:374b"; none: any that the driver knows.
    ids: &'a [String],
    serial: Option<&'a str>,
    path: Option<&'a str>,
}

impl Wish<'_> {
    fn fits(&self, found: &Found) -> bool {
        let id = format!("{:04x}:{:04x}", found.vid, found.pid);
        (self.ids.is_empty() || self.ids.iter().any(|wanted| wanted.eq_ignore_ascii_case(&id)))
            && self.serial.is_none_or(|serial| serial.eq_ignore_ascii_case(&found.serial))
            && self.path.is_none_or(|path| path == found.path)
    }

    fn words(&self) -> String {
        let serial = self.serial.map(|serial| format!(" with serial number {serial}"));
        let path = self.path.map(|path| format!(" at USB path {path}"));
        let ids = (!self.ids.is_empty()).then(|| format!(" with USB id {}", self.ids.join(" or ")));
        [serial, path, ids].into_iter().flatten().collect()
    }
}

/// Exactly one probe that fits and can be used; else an error that lists what is there.
fn choose(all: Vec<Found>, wish: &Wish, driver: &Driver) -> Result<Found> {
    let mut fitting: Vec<&Found> = all.iter().filter(|found| wish.fits(found)).collect();
    match fitting.as_mut_slice() {
        [] if all.is_empty() => Err(Error::probe(format!("no probe is plugged in that driver `{}` knows", driver.name))
            .hint("is the cable one with data lines? `-f interfaces/sim.toml` works without a probe")),
        [] => Err(Error::probe(format!("no probe{} is plugged in; there is {}", wish.words(), listed(all.iter(), driver)))
            .hint("`probe list` shows what is plugged in")),
        [one] => match &one.trouble {
            Some(trouble) => Err(Error::probe(format!("{} cannot be used: {trouble}", listed(std::iter::once(&**one), driver)))),
            None => Ok(one.clone()),
        },
        several => {
            let list = listed(several.iter().map(|found| &**found), driver);
            Err(Error::probe(format!("{} probes are plugged in: {list}", several.len()))
                .hint("`adapter serial NUMBER` or `adapter usb location PATH` chooses one; so does `serial` in an interface file"))
        }
    }
}

/// Type, serial and USB path of each.
fn listed<'a>(all: impl Iterator<Item = &'a Found>, driver: &Driver) -> String {
    let name = |found: &Found| found.id(driver.usb).map_or(driver.name, |id| id.name);
    let one = |found: &Found| format!("{} {}", name(found), found.whereabouts());
    all.map(one).collect::<Vec<_>>().join(", ")
}

fn traced(cx: &Cx, pipe: Box<dyn Pipe>, debug: u8) -> Box<dyn Pipe> {
    if debug < TRACE_LEVEL {
        return pipe;
    }
    let ears = cx.ears.clone();
    Box::new(Trace::new(pipe, Box::new(move |line| ears.debug(TRACE_LEVEL, || line))))
}

fn probe_name(info: &Info) -> String {
    format!("{} {}", info.name, info.firmware).trim_end().to_string()
}

/// The one line that says what we are attached to.
fn greeting(session: &Session) -> String {
    let volts = session.volts.map_or(String::new(), |volts| format!(", {volts:.2} V"));
    let kib: u32 = session.banks.iter().map(|bank| bank.size / 1024).sum();
    let banks = match session.banks.len() {
        1 => "1 bank".to_string(),
        several => format!("{several} banks"),
    };
    format!(
        "{} at {} kHz{volts}: {} revision {}, {kib} KiB flash in {banks}",
        probe_name(session.probe.info()),
        session.khz,
        session.die.name,
        session.die.revision(session.rev_id)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(pid: u16, serial: &str, path: &str) -> Found {
        Found { vid: 0x0483, pid, serial: serial.into(), path: path.into(), trouble: None }
    }

    fn chosen(all: &[Found], wish: &Wish) -> Result<String> {
        choose(all.to_vec(), wish, &probe::DRIVERS[0]).map(|found| found.path)
    }

    const ANY: Wish = Wish { ids: &[], serial: None, path: None };

    #[test]
    fn the_only_probe_is_the_one() {
        assert_eq!(chosen(&[found(0x374b, "A1", "1-2")], &ANY).unwrap(), "1-2");
        let error = chosen(&[], &ANY).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (Kind::Probe, "no probe is plugged in that driver `stlink` knows"));
    }

    #[test]
    fn several_probes_are_listed_with_type_serial_and_path() {
        let two = [found(0x374b, "A1", "1-2"), found(0x3748, "", "3-1.4")];
        let error = chosen(&two, &ANY).unwrap_err();
        assert_eq!(exit_code(&error), 3);
        let list = "2 probes are plugged in: ST-Link V2-1 serial A1 at USB path 1-2, ST-Link V2 serial unknown at USB path 3-1.4";
        assert_eq!(error.message, list);
        assert!(error.hint.unwrap().contains("`adapter serial NUMBER`"));
    }

    #[test]
    fn serial_path_and_usb_id_choose_one_of_several() {
        let two = [found(0x374b, "A1", "1-2"), found(0x3748, "B2", "3-1.4")];
        let ids = ["0483:374B".to_string()];
        assert_eq!(chosen(&two, &Wish { serial: Some("b2"), ..ANY }).unwrap(), "3-1.4");
        assert_eq!(chosen(&two, &Wish { path: Some("1-2"), ..ANY }).unwrap(), "1-2");
        assert_eq!(chosen(&two, &Wish { ids: &ids, ..ANY }).unwrap(), "1-2");
        let error = chosen(&two, &Wish { serial: Some("C3"), ..ANY }).unwrap_err();
        assert!(error.message.starts_with("no probe with serial number C3 is plugged in; there is ST-Link V2-1 serial A1"), "{error}");
    }

    #[test]
    fn a_probe_without_permission_says_what_to_do() {
        let barred = Found { trouble: Some("permission denied; add a udev rule".into()), ..found(0x374b, "", "1-2") };
        let error = chosen(&[barred], &ANY).unwrap_err();
        assert!(error.message.ends_with("at USB path 1-2 cannot be used: permission denied; add a udev rule"), "{error}");
        assert_eq!(exit_code(&error), 3);
    }

    #[test]
    fn signals_and_exits_have_their_codes() {
        let error = |cause| Error::command("x").cause(cause);
        assert_eq!([1, 2, 15].map(|signal| exit_code(&error(Cause::Interrupted(signal)))), [129, 130, 143]);
        assert_eq!((exit_code(&error(Cause::Exit(9))), exit_code(&error(Cause::None))), (9, 1));
    }
}
