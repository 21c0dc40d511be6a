//! OpenOCD's RPC: Tcl in, its result out, 0x1a behind each; and as much of Tcl as its clients send.
//!
//! Words, "…", {…}, […], $name, `;`; set, return, catch, capture, dict get; what OpenOCD has beside rocd's commands. Anything
//! else is a command of rocd, whose printed form is the result.

use super::Desk;
use crate::command::Value;
use crate::error::{Cause, Error, Result};
use crate::session::{Ran, State};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

const END: u8 = 0x1a;
/// OpenOCD's own limit.
const LONGEST: usize = 4 << 20;
/// `[…]` in `[…]`: far above what clients send, far below what a stack holds.
const DEEPEST: usize = 50;

#[derive(Default)]
pub struct Tcl {
    bytes: Vec<u8>,
    variables: BTreeMap<String, String>,
    /// What is said while a `capture` runs.
    said: Rc<RefCell<String>>,
    captures: usize,
    depth: usize,
    /// What was seen last of the core, by a client that wants to be told.
    seen: Option<Seen>,
}

/// Of the core its state, and how often it was let go, stepped and reset; `Err`: nothing more can be seen of it.
type Seen = Result<(&'static str, Ran)>;

/// Why a script does not go on.
enum End {
    Error(String),
    Return(String),
    /// The host itself ends.
    Leave(Error),
}

type Eval = std::result::Result<String, End>;
type Run = fn(&mut Tcl, &Desk, &[String]) -> Eval;

/// Name, how many words follow at least, and what it does.
const COMMANDS: &[(&str, usize, Run)] = &[
    ("set", 1, Tcl::set),
    ("return", 0, |_, _, words| Err(End::Return(words.first().cloned().unwrap_or_default()))),
    ("catch", 1, Tcl::catch),
    ("capture", 1, Tcl::capture),
    ("dict", 3, dict_get),
    ("target", 1, target),
    ("get_reg", 1, Tcl::get_reg),
    ("set_reg", 1, Tcl::set_reg),
    ("tcl_notifications", 0, Tcl::notifications),
    ("tcl_trace", 0, |_, _, _| Ok(String::new())),
    ("poll", 0, |_, _, _| Ok("background polling: on\n".into())),
    ("version", 0, |_, _, _| Ok(format!("rocd {}", env!("CARGO_PKG_VERSION")))),
    ("exit", 0, |_, desk, _| {
        desk.out.send(vec![END]);
        desk.out.gone.set(true);
        Ok(String::new())
    }),
];

fn failed(error: Error) -> End {
    match error.cause {
        Cause::Exit(_) => End::Leave(error),
        _ => End::Error(error.remedy()),
    }
}

fn wrong(text: impl Into<String>) -> End {
    End::Error(text.into())
}

impl Tcl {
    /// `Err`: a command said to leave, or this is no client.
    pub fn hear(&mut self, desk: &Desk, bytes: &[u8]) -> Result<()> {
        self.bytes.extend(bytes);
        super::no_browser(&self.bytes)?;
        while let Some(end) = self.bytes.iter().position(|byte| *byte == END && !desk.out.gone.get()) {
            let message: Vec<u8> = self.bytes.drain(..=end).collect();
            let text = String::from_utf8_lossy(&message[..end]).into_owned();
            let (reply, left) = match self.script(desk, &text) {
                Ok(reply) | Err(End::Return(reply) | End::Error(reply)) => (reply, Ok(())),
                Err(End::Leave(error)) => (String::new(), Err(error)),
            };
            self.look(desk);
            desk.out.send([reply.as_bytes(), &[END]].concat());
            left?;
        }
        match self.bytes.len() {
            ..=LONGEST => Ok(()),
            len => Err(Error::command(format!("line too long ({len} bytes)"))),
        }
    }

    /// Command by command; the last one's result.
    fn script(&mut self, desk: &Desk, text: &str) -> Eval {
        self.depth += 1;
        let done = if self.depth > DEEPEST { Err(wrong("too many nested evaluations")) } else { self.commands(desk, text) };
        self.depth -= 1;
        done
    }

    fn commands(&mut self, desk: &Desk, text: &str) -> Eval {
        let mut reader = Reader { text: text.chars().collect(), at: 0 };
        let mut last = String::new();
        while let Some(words) = reader.command(&mut |hole| self.filled(desk, hole))? {
            last = self.command(desk, &words)?;
        }
        Ok(last)
    }

    fn filled(&mut self, desk: &Desk, hole: Hole) -> Eval {
        match hole {
            Hole::Script(script) => self.script(desk, script),
            Hole::Variable(name) => self.set(desk, &[name.to_string()]),
        }
    }

    fn command(&mut self, desk: &Desk, words: &[String]) -> Eval {
        let Some((name, rest)) = words.split_first() else { return Ok(String::new()) };
        if let Some((name, least, run)) = COMMANDS.iter().find(|row| row.0 == name) {
            return match rest.len() < *least {
                true => Err(wrong(format!("wrong # args: `{name}` needs {least}"))),
                false => run(self, desk, rest),
            };
        }
        let cores = desk.session().map_err(failed)?.core_names();
        if let Some(core) = cores.iter().position(|core| core == name) {
            return about_core(desk, core, rest);
        }
        if desk.host.cx().commands.borrow().find(words).is_none() {
            return Err(wrong(format!("invalid command name \"{name}\"")));
        }
        let (said, captures) = (self.said.clone(), self.captures);
        let say = move |text: &[u8]| {
            if captures > 0 {
                said.borrow_mut().push_str(&String::from_utf8_lossy(text))
            }
        };
        let mut result = String::new();
        let names = &desk.host.cx().names;
        names.borrow_mut().hushed = true;
        let ran = desk.run(say, |host| host.words(words, &mut |outcome| result = outcome.result.as_ref().map_or(String::new(), in_hex)));
        names.borrow_mut().hushed = false;
        ran.map(|()| result).map_err(failed)
    }

    fn set(&mut self, _: &Desk, words: &[String]) -> Eval {
        if let [name, value, ..] = words {
            self.variables.insert(name.clone(), value.clone());
        }
        self.variables.get(&words[0]).cloned().ok_or_else(|| wrong(format!("can't read \"{}\": no such variable", words[0])))
    }

    /// 0, or 1 and 2 as Tcl counts errors and returns.
    fn catch(&mut self, desk: &Desk, words: &[String]) -> Eval {
        let (code, result) = match self.script(desk, &words[0]) {
            Ok(result) => ("0", result),
            Err(End::Error(result)) => ("1", result),
            Err(End::Return(result)) => ("2", result),
            leave => return leave,
        };
        words.get(1).map(|name| self.variables.insert(name.clone(), result));
        Ok(code.into())
    }

    /// What is said meanwhile, then the result.
    fn capture(&mut self, desk: &Desk, words: &[String]) -> Eval {
        let before = self.said.take();
        self.captures += 1;
        let result = self.script(desk, &words[0]);
        self.captures -= 1;
        let said = self.said.replace(before);
        result.map(|result| format!("{said}{result}"))
    }

    fn get_reg(&mut self, desk: &Desk, words: &[String]) -> Eval {
        let names = words.iter().filter(|word| *word != "-force").flat_map(|word| word.split_whitespace());
        let mut pairs = Vec::new();
        for name in names {
            let value = self.script(desk, &format!("reg {name}"))?;
            pairs.push(format!("{name} {}", value.rsplit(' ').next().unwrap_or_default()));
        }
        Ok(pairs.join(" "))
    }

    fn set_reg(&mut self, desk: &Desk, words: &[String]) -> Eval {
        let pairs: Vec<&str> = words.iter().filter(|word| *word != "-force").flat_map(|word| word.split_whitespace()).collect();
        for pair in pairs.chunks(2) {
            self.script(desk, &format!("reg {}", pair.join(" ")))?;
        }
        Ok(String::new())
    }

    fn notifications(&mut self, desk: &Desk, words: &[String]) -> Eval {
        match words.first().map(String::as_str) {
            Some("on") => self.seen = Some(see(desk)),
            Some("off") => self.seen = None,
            _ => {}
        }
        Ok(String::new())
    }

    /// What became of the core, by whoever's command or by itself, between the replies, in OpenOCD's words and order.
    pub fn look(&mut self, desk: &Desk) {
        let Some(Ok((last, before))) = self.seen.clone() else { return };
        let now = see(desk);
        self.seen = Some(now.clone());
        let Ok((state, ran)) = now.inspect_err(|error| notify(desk, &format!("type error message {}", error.message))) else { return };
        let last = Cell::new(last);
        let changes = |state: &'static str| {
            if last.replace(state) != state {
                notify(desk, &format!("type target_state state {state}"));
            }
        };
        let tell = |events: &[&str], state: &'static str| {
            for event in events {
                notify(desk, &format!("type target_event event {event}"));
                changes(state);
            }
        };
        let reset = ran.resets != before.resets;
        if reset {
            notify(desk, &format!("type target_reset mode {}", ran.mode));
        }
        if ran.resumes != before.resumes {
            tell(&["resume-start"], last.get());
            tell(&["resumed", "resume-end"], "running");
        }
        if ran.steps != before.steps {
            tell(&["step-start", "resumed", "gdb-halt", "halted", "step-end"], state);
        }
        if state == "halted" && (reset || last.get() != state) {
            tell(&["gdb-halt", "halted"], state);
        }
        changes(state);
    }
}

fn see(desk: &Desk) -> Seen {
    Ok((state(desk)?, desk.session()?.ran[desk.core.get()]))
}

fn notify(desk: &Desk, text: &str) {
    desk.out.send([text.as_bytes(), b"\r\n", &[END]].concat());
}

/// As OpenOCD has it.
fn state(desk: &Desk) -> Result<&'static str> {
    Ok(match desk.session()?.state(desk.core.get())? {
        State::Halted(_) => "halted",
        State::Running | State::Sleeping | State::Lockup => "running",
        State::Reset => "reset",
        State::Unavailable => "unknown",
    })
}

/// `dict get DICT KEY`
fn dict_get(_: &mut Tcl, _: &Desk, words: &[String]) -> Eval {
    let entries: Vec<&str> = words[1].split_whitespace().collect();
    let found = entries.chunks(2).find(|entry| entry[0] == words[2]).and_then(|entry| entry.get(1));
    found.map(|value| value.to_string()).ok_or_else(|| wrong(format!("key \"{}\" not known in dictionary", words[2])))
}

fn target(_: &mut Tcl, desk: &Desk, words: &[String]) -> Eval {
    let names = desk.session().map_err(failed)?.core_names();
    match words[0].as_str() {
        "current" => Ok(names.get(desk.core.get()).cloned().unwrap_or_default()),
        "names" => Ok(names.join("\n")),
        "types" => Ok("cortex_m".into()),
        other => Err(wrong(format!("target: unknown subcommand \"{other}\""))),
    }
}

/// `cm7 curstate`, `cm7 debug_reason`
fn about_core(desk: &Desk, core: usize, words: &[String]) -> Eval {
    let now = desk.session().and_then(|mut session| session.state(core)).map_err(failed)?;
    match (words.first().map(String::as_str), now) {
        (Some("curstate"), _) => state(desk).map(str::to_string).map_err(failed),
        (Some("debug_reason"), State::Halted(reason)) => Ok(crate::command::target::reason_word(reason).to_string()),
        (Some("debug_reason"), _) => Ok("target-not-halted".into()),
        (word, _) => Err(wrong(format!("unknown subcommand \"{}\" of a target", word.unwrap_or_default()))),
    }
}

/// OpenOCD's numbers are hexadecimal where several make a list.
fn in_hex(value: &Value) -> String {
    match value {
        Value::List(items) if items.iter().all(|item| matches!(item, Value::Int(_))) => {
            let number = |item: &Value| if let Value::Int(number) = item { format!("{number:#x}") } else { String::new() };
            items.iter().map(number).collect::<Vec<_>>().join(" ")
        }
        Value::None => String::new(),
        Value::Shown(_, text) if text.contains('\n') || text.ends_with(' ') => format!("{text}\n"),
        value => value.to_string(),
    }
}

/// A script as characters.
struct Reader {
    text: Vec<char>,
    at: usize,
}

/// What stands for something else in a word.
enum Hole<'a> {
    Script(&'a str),
    Variable(&'a str),
}

type Fill<'a> = &'a mut dyn FnMut(Hole) -> Eval;

impl Reader {
    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
        self.text[start..self.at].iter().collect()
    }

    /// The words of the next command, substituted.
    fn command(&mut self, fill: Fill) -> std::result::Result<Option<Vec<String>>, End> {
        self.take_while(|c| c.is_whitespace() || c == ';');
        let mut words = Vec::new();
        while self.peek().is_some_and(|c| c != ';' && c != '\n') {
            words.push(match self.peek() {
                Some('{') => self.balanced('{', '}')?,
                Some('"') => {
                    self.at += 1;
                    let word = self.substituted(fill, |c| c == '"')?;
                    self.peek().ok_or_else(|| wrong("missing \""))?;
                    self.at += 1;
                    word
                }
                _ => self.substituted(fill, |c| c.is_whitespace() || c == ';')?,
            });
            self.take_while(|c| c.is_whitespace() && c != '\n');
        }
        Ok((!words.is_empty()).then_some(words))
    }

    /// What is between two brackets.
    fn balanced(&mut self, open: char, close: char) -> Eval {
        let start = self.at + 1;
        let mut depth = 0;
        while let Some(c) = self.peek() {
            self.at += 1;
            depth += i32::from(c == open) - i32::from(c == close);
            if depth == 0 {
                return Ok(self.text[start..self.at - 1].iter().collect());
            }
        }
        Err(wrong(format!("missing close-bracket `{close}`")))
    }

    fn substituted(&mut self, fill: Fill, ends: impl Fn(char) -> bool) -> Eval {
        let mut word = String::new();
        while let Some(c) = self.peek().filter(|c| !ends(*c)) {
            match c {
                '[' => word += &fill(Hole::Script(&self.balanced('[', ']')?))?,
                '$' => {
                    self.at += 1;
                    let name = match self.peek() {
                        Some('{') => self.balanced('{', '}')?,
                        _ => self.take_while(|c| c.is_alphanumeric() || c == '_'),
                    };
                    word += &fill(Hole::Variable(&name))?;
                }
                '\\' => {
                    self.at += 1;
                    word.extend(self.peek());
                    self.at = self.text.len().min(self.at + 1);
                }
                c => {
                    word.push(c);
                    self.at += 1;
                }
            }
            // As long as a message, and no longer: what is put together of itself grows without end.
            if word.len() > LONGEST {
                return Err(wrong("word too long"));
            }
        }
        Ok(word)
    }
}
