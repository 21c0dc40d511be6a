//! The embedded script language. The only module that names Rhai.
//!
//! Every command is a function (`flash banks` is `flash_banks()`); `command("usage", "help", |a| …)` defines a new one; errors are
//! thrown as values with `kind`, `message`, `hint` and `trail`. Rhai's own `sleep`, `timestamp`, `print`, `debug`, `exit` and
//! `import` are replaced, because they would speak to the wrong clock, the wrong screen, or the whole disk.
//!
//! Rhai looks native functions up by name and number of arguments, and its errors carry a position only if they come from a function
//! registered so. So `Script::prepare` registers, before a text runs, every command and every name that the text calls; which command
//! a name means, or none, is decided when it is called. An `Engine` cannot change while it runs, so a new name makes a new one.

mod imports;
mod values;

use crate::command::line::quote;
use crate::command::{Action, Args, Cx, Entry, Value, line, reserved};
use crate::error::{Cause, Error, Result, excerpt};
use crate::event::Event;
use crate::near::nearest;
use imports::Imports;
use rhai::{AST, Dynamic, Engine, EvalAltResult, FnPtr, NativeCallContext, ParseErrorType, Position, Scope};
use std::any::TypeId;
use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashMap};
use std::rc::{Rc, Weak};
use values::{ErrorValue, from_thrown, map_of, register_errors, to_dynamic, to_value, words};

/// How deep functions may call each other within one text. Rhai's own limit is 8 in debug builds.
const CALL_LEVELS: usize = 32;
/// How deep scripts may call commands that are scripts: Rhai's count begins anew with each. All levels at their deepest fit in `STACK`.
const SCRIPT_LEVELS: usize = 16;
/// The stack, in bytes, that a thread needs to run scripts.
pub const STACK: usize = 64 << 20;
/// A function takes this many words at most (an array counts as its elements).
const ARITIES: &[fn(&mut Engine, &str, &Weak<Cx>)] = &[
    late::<0>, late::<1>, late::<2>, late::<3>, late::<4>, late::<5>, late::<6>, late::<7>, late::<8>, late::<9>, late::<10>, late::<11>,
    late::<12>,
];
/// Bytes of a text, and elements of a list or a map, with all that is in them: what moves a chip's whole flash about still
/// fits, what doubles itself for ever does not fill the host's memory.
const LONGEST_TEXT: usize = 64 << 20;
const LONGEST_LIST: usize = 4 << 20;
/// More lines of trail than this help nobody.
const LONGEST_TRAIL: usize = 12;
/// Rhai operations between two looks at the cancel flag.
const OPERATIONS_PER_BREATH: u64 = 4096;

type Thrown<T> = std::result::Result<T, Box<EvalAltResult>>;
type Run<T> = std::result::Result<T, Box<Failure>>;

/// The script engine with what scripts have defined so far.
pub struct Script {
    cx: Weak<Cx>,
    engine: RefCell<Option<Rc<Engine>>>,
    /// Names registered in `engine`.
    names: RefCell<BTreeSet<String>>,
    /// Variables of lines and files; away while one of them runs.
    scope: RefCell<Scope<'static>>,
    /// Every function defined so far.
    functions: RefCell<AST>,
    shared: Rc<Shared>,
    depth: Cell<usize>,
}

/// What the engine's own functions reach.
#[derive(Default)]
struct Shared {
    /// Each with the file that defined it, empty for a line.
    closures: RefCell<Vec<(FnPtr, String)>>,
    /// The file in which a function was defined last.
    homes: RefCell<HashMap<String, String>>,
    /// The functions of each file: its commands use these, whatever others define later.
    files: RefCell<HashMap<String, AST>>,
    /// The text of each file, and under no name that of the line that runs: errors show what stands there.
    texts: RefCell<HashMap<String, String>>,
    /// The file whose closure or hook runs: Rhai calls these without their source.
    home: RefCell<String>,
    /// Files whose import is not finished, outermost first.
    importing: RefCell<Vec<String>>,
}

impl Shared {
    fn note_functions(&self, ast: &AST, source: &str) {
        let names = ast.iter_functions().map(|function| (function.name.to_string(), source.to_string()));
        self.homes.borrow_mut().extend(names);
        if !source.is_empty() {
            self.files.borrow_mut().insert(source.to_string(), ast.clone_functions_only());
        }
    }

    fn note_text(&self, source: &str, text: &str) -> Option<String> {
        self.texts.borrow_mut().insert(source.to_string(), text.to_string())
    }

    /// ``board.rhai:7 `mww(base, 1);` ``; of a line only its text.
    fn quoted(&self, source: &str, at: Position) -> Option<String> {
        let texts = self.texts.borrow();
        let text = texts.get(source)?.lines().nth(at.line()?.saturating_sub(1))?.trim();
        let text = format!("`{}`", excerpt(text));
        Some(place(source, at).map_or(text.clone(), |place| format!("{place} {text}")))
    }
}

impl Script {
    /// Costs nothing until a script or an expression runs.
    pub fn new(cx: Weak<Cx>) -> Script {
        Script {
            cx,
            engine: RefCell::default(),
            names: RefCell::default(),
            scope: RefCell::default(),
            functions: RefCell::new(AST::empty()),
            shared: Rc::default(),
            depth: Cell::new(0),
        }
    }

    /// The Rhai part of a line: its variables and functions are there on the next line.
    pub fn line(&self, cx: &Cx, text: &str) -> Result<Value> {
        self.run(cx, "", text).map(|value| to_value(&value)).map_err(|failure| match self.unknown_command(cx, text, &failure) {
            Some(unknown) => unknown,
            None if ends_the_run(&failure.error) => failure.error,
            None => failure.during("running"),
        })
    }

    /// The words that a `( … )` word of a command stands for.
    pub fn expression(&self, cx: &Cx, text: &str) -> Result<Vec<String>> {
        let value = self.run(cx, "", text).map_err(|failure| failure.error.during(format!("evaluating {text}")))?;
        words(&[&value]).map_err(|error| error.during(format!("evaluating {text}")))
    }

    /// Run a .rhai file's text. `source` is its name, for messages and for `import`.
    pub fn load(&self, cx: &Cx, source: &str, text: &str) -> Result<Value> {
        self.run(cx, source, text).map(|value| to_value(&value)).map_err(|failure| match failure.location {
            Some(_) => failure.during("running"),
            None => failure.error.during(format!("running {source}")),
        })
    }

    /// Call a hook: a function without arguments that a script must have defined.
    pub fn hook(&self, cx: &Cx, function: &str) -> Result<()> {
        let functions = self.functions.borrow().clone();
        if !functions.iter_functions().any(|known| known.name == function && known.params.is_empty()) {
            return Err(Error::command(format!("hook function `{function}` is not defined"))
                .hint(format!("define it in a .rhai file given with -f: fn {function}() {{ … }}")));
        }
        let home = self.shared.homes.borrow().get(function).cloned().unwrap_or_default();
        let called = self.at_home(&home, || {
            let options = rhai::CallFnOptions::new().eval_ast(false).rewind_scope(true);
            let engine = self.prepare(cx, "");
            engine
                .call_fn_with_options::<Dynamic>(options, &mut Scope::new(), &functions, function, ())
                .map_err(|error| self.failure(*error, &home))
        });
        called.map(|_| ()).map_err(|failure| failure.during(&format!("running hook {function}")))
    }

    /// Carry out a command that a script defined (`Action::Script`).
    pub fn closure(&self, cx: &Cx, number: usize, args: &Args) -> Result<Value> {
        let (closure, source) = self.shared.closures.borrow()[number].clone();
        let own = self.shared.files.borrow().get(&source).cloned().unwrap_or_else(AST::empty);
        let functions = self.functions.borrow().merge(&own);
        let called = self.at_home(&source, || {
            let engine = self.prepare(cx, "");
            closure.call::<Dynamic>(&engine, &functions, (map_of(args),)).map_err(|error| self.failure(*error, ""))
        });
        called.map(|value| to_value(&value)).map_err(|failure| {
            let call = spoken(&args.spec().name, args.words());
            within(failure.error, failure.location.map_or(call.clone(), |place| format!("{call} ({place})")))
        })
    }

    /// The text is Rhai that ends too early, so another line may follow.
    pub fn unfinished(&self, cx: &Cx, text: &str) -> bool {
        let Err(error) = self.prepare(cx, "").compile(text) else { return false };
        match error.err_type() {
            ParseErrorType::UnexpectedEOF | ParseErrorType::MissingToken(..) => at_end(text, error.position()),
            // Only `…` goes over several lines.
            ParseErrorType::BadInput(rhai::LexError::UnterminatedString) => text.matches('`').count() % 2 == 1,
            _ => false,
        }
    }

    /// Variables and functions that scripts and lines defined: for completion.
    pub fn defined(&self) -> Vec<String> {
        let scope = self.scope.borrow();
        let variables = scope.iter().map(|(name, _, _)| name.to_string());
        let functions = self.functions.borrow();
        let named = functions.iter_functions().filter(|function| !function.name.starts_with("anon$"));
        let mut names: Vec<String> = variables.chain(named.map(|function| function.name.to_string())).collect();
        names.sort();
        names.dedup();
        names
    }

    fn run(&self, cx: &Cx, source: &str, text: &str) -> Run<Dynamic> {
        let outer = self.shared.note_text(source, text);
        let result = self.deeper(|| {
            let engine = self.prepare(cx, text);
            let mut ast = engine.compile(text).map_err(|error| self.failure(error.into(), source))?;
            ast.set_source(source);
            self.shared.note_functions(&ast, source);
            let mut whole = self.functions.borrow().merge(&ast);
            whole.set_source(source);
            *self.functions.borrow_mut() = whole.clone_functions_only();
            let mut scope = self.scope.take();
            let result = engine.eval_ast_with_scope::<Dynamic>(&mut scope, &whole);
            *self.scope.borrow_mut() = scope;
            result.map_err(|error| self.failure(*error, source))
        });
        outer.filter(|_| source.is_empty()).map(|outer| self.shared.note_text(source, &outer));
        result
    }

    fn at_home<T>(&self, home: &str, run: impl FnOnce() -> Run<T>) -> Run<T> {
        let outer = self.shared.home.replace(home.to_string());
        let result = self.deeper(run);
        self.shared.home.replace(outer);
        result
    }

    fn deeper<T>(&self, run: impl FnOnce() -> Run<T>) -> Run<T> {
        if self.depth.get() >= SCRIPT_LEVELS {
            let error = Error::command(format!("scripts and commands call each other more than {SCRIPT_LEVELS} levels deep"))
                .hint("a command that calls itself never ends");
            return Err(Box::new(Failure { error, location: None, not_found: None }));
        }
        self.depth.set(self.depth.get() + 1);
        let result = run();
        self.depth.set(self.depth.get() - 1);
        result
    }

    /// The engine in which every command, and every name that `text` calls, is a function.
    fn prepare(&self, cx: &Cx, text: &str) -> Rc<Engine> {
        let mut names = self.names.borrow_mut();
        let known = names.len();
        names.extend(cx.commands.borrow().iter().map(|entry| entry.spec.function()));
        names.extend(called_names(text).map(str::to_string));
        let mut engine = self.engine.borrow_mut();
        match engine.as_ref() {
            Some(engine) if known == names.len() => engine.clone(),
            _ => engine.insert(Rc::new(self.engine(&names))).clone(),
        }
    }

    fn engine(&self, names: &BTreeSet<String>) -> Engine {
        let mut engine = Engine::new();
        // The optimizer would call functions while a text is only looked at.
        engine.set_optimization_level(rhai::OptimizationLevel::None);
        engine.set_max_call_levels(CALL_LEVELS);
        engine.set_max_expr_depths(64, 32);
        engine.set_max_string_size(LONGEST_TEXT);
        engine.set_max_array_size(LONGEST_LIST);
        engine.set_max_map_size(LONGEST_LIST);
        engine.set_module_resolver(Imports { cx: self.cx.clone(), shared: self.shared.clone() });
        for name in names.iter().filter(|name| !reserved(name)) {
            ARITIES.iter().for_each(|arity| arity(&mut engine, name, &self.cx));
        }
        self.own_words(&mut engine);
        engine
    }

    /// Rhai's own words, replaced.
    fn own_words(&self, engine: &mut Engine) {
        register_errors(engine);
        register_moments(engine, &self.cx);
        let cx = self.cx.clone();
        engine.on_print(move |text| emit(&cx, Event::Output(text.to_string())));
        let cx = self.cx.clone();
        engine.on_debug(move |text, source, position| {
            let place = place(source.unwrap_or_default(), position).map_or(String::new(), |place| format!("{place}: "));
            emit(&cx, Event::Info(format!("{place}{text}")));
        });
        let cx = self.cx.clone();
        engine.on_progress(move |operations| {
            let due = operations % OPERATIONS_PER_BREATH == 0;
            let breathed = if due { cx.upgrade().map_or(Ok(()), |cx| (cx.ears.breathe)()) } else { Ok(()) };
            breathed.err().map(|error| Dynamic::from(ErrorValue(error)))
        });
        // Rhai has sleep(seconds) for exactly these types.
        let cx = self.cx.clone();
        engine.register_raw_fn("sleep", [TypeId::of::<rhai::INT>()], move |ctx: NativeCallContext, args: &mut [&mut Dynamic]| {
            call(&cx, "sleep", &ctx, args)
        });
        engine.register_raw_fn("sleep", [TypeId::of::<rhai::FLOAT>()], |ctx: NativeCallContext, args: &mut [&mut Dynamic]| {
            let error = Error::usage(format!("sleep({}): sleep takes whole milliseconds", args[0]));
            Err::<Dynamic, _>(thrown(error.hint("sleep(500) waits for half a second"), ctx.call_position()))
        });
        self.register_command_word(engine);
    }

    /// `command("usage", "help", |a| …)`
    fn register_command_word(&self, engine: &mut Engine) {
        let (cx, shared) = (self.cx.clone(), Rc::downgrade(&self.shared));
        engine.register_fn("command", move |ctx: NativeCallContext, usage: &str, help: &str, closure: FnPtr| -> Thrown<()> {
            let (Some(cx), Some(shared)) = (cx.upgrade(), shared.upgrade()) else { return Ok(()) };
            let entry = Entry::new(usage, help, "", Action::Script(shared.closures.borrow().len()));
            let entry = entry.map_err(|error| thrown(error, ctx.call_position()))?;
            let source = ctx.call_source().unwrap_or_default().to_string();
            shared.closures.borrow_mut().push((closure, source));
            cx.commands.borrow_mut().add(entry);
            Ok(())
        });
    }

    /// Text that neither names a command nor parses as Rhai is an unknown command, never a parser's message.
    fn unknown_command(&self, cx: &Cx, text: &str, failure: &Failure) -> Option<Error> {
        let words = line::plain_words(text);
        let first = *words.first()?;
        let name = first.split(['.', '-', '/']).next().unwrap_or(first);
        let is_rhai = match failure.not_found.as_ref()? {
            NotFound::Syntax => KEYWORDS.contains(&name) || self.defined().iter().any(|known| known == name),
            NotFound::Name(missing) => missing != name,
        };
        (!is_rhai).then(|| cx.commands.borrow().unknown(&words))
    }

    /// A Rhai error as ours: the functions it passed through become the trail.
    fn failure(&self, error: EvalAltResult, source: &str) -> Box<Failure> {
        // Each function, or imported file, with the position at which it was called.
        let mut calls = Vec::new();
        let mut inner = error;
        let inner = loop {
            match inner {
                EvalAltResult::ErrorInFunctionCall(name, _, next, at) => {
                    calls.push((name, false, at));
                    inner = *next;
                }
                EvalAltResult::ErrorInModule(file, next, at) => {
                    calls.push((file, true, at));
                    inner = *next;
                }
                leaf => break leaf,
            }
        };
        let mut at = inner.position();
        let of_a_file = !source.is_empty() || calls.last().is_some_and(|(_, is_file, _)| *is_file);
        let (mut error, not_found) = leaf(inner, of_a_file);
        if let (Some(NotFound::Name(name)), Some(cx)) = (&not_found, self.cx.upgrade()) {
            let commands = cx.commands.borrow();
            let known: Vec<String> = commands.iter().map(|entry| entry.spec.function()).chain(self.defined()).collect();
            error = match nearest(name, known.iter().map(String::as_str)) {
                Some(same) if same == name => error.hint(format!("`{name}` is a command; in Rhai it is called as {name}(…)")),
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            };
        }
        let homes = self.shared.homes.borrow();
        while let Some((function, is_file, called_at)) = calls.pop() {
            if is_file {
                error = within(error, format!("importing {}", self.shared.quoted(&function, at).unwrap_or(function)));
                at = called_at;
                continue;
            }
            let home = homes.get(&function).map_or(source, String::as_str);
            let place = self.shared.quoted(home, at).filter(|_| !home.is_empty());
            // Called by us and not from a text: the one function that was run.
            if calls.is_empty() && called_at.is_none() {
                return Box::new(Failure { error, location: place, not_found: None });
            }
            let name = if function.starts_with("anon$") { "a closure" } else { &function };
            let doing = place.map_or(format!("calling {name}"), |place| format!("calling {name} ({place})"));
            error = within(error, doing);
            at = called_at;
        }
        Box::new(Failure { error, location: self.shared.quoted(source, at), not_found })
    }
}

/// Words with which only Rhai begins.
const KEYWORDS: &[&str] = &[
    "let", "const", "fn", "private", "if", "else", "switch", "do", "while", "until", "loop", "for", "in", "continue", "break", "return",
    "throw", "try", "catch", "import", "export", "as", "global", "this", "true", "false",
];

/// Rhai's functions that take anything: a command's name registered on top would hide them.
const GENERIC: &[&str] = &["take", "to_string", "to_debug"];

/// An error on its way up, with what is needed to tell it better.
struct Failure {
    error: Error,
    /// Where in the text that was run.
    location: Option<String>,
    not_found: Option<NotFound>,
}

impl Failure {
    fn during(self, doing: &str) -> Error {
        let Failure { error, location, .. } = self;
        within(error, location.map_or(doing.to_string(), |place| format!("{doing} {place}")))
    }
}

enum NotFound {
    /// The text does not parse.
    Syntax,
    /// No variable or function of this name.
    Name(String),
}

/// The trail, without the tail of an endless recursion.
fn within(error: Error, doing: String) -> Error {
    match error.trail.last() {
        Some(last) if *last == doing || error.trail.len() > LONGEST_TRAIL => error,
        Some(_) if error.trail.len() == LONGEST_TRAIL => error.during("…"),
        _ => error.during(doing),
    }
}

/// `board.rhai:7`
fn place(source: &str, position: Position) -> Option<String> {
    position.line().filter(|_| !source.is_empty()).map(|line| format!("{source}:{line}"))
}

/// A command as it would be typed; scripts count in decimal, people read addresses in hex.
fn spoken(name: &str, words: &[String]) -> String {
    let said = |word: &String| match word.parse::<u32>() {
        Ok(number @ 0x1_0000..) => format!("{number:#010x}"),
        _ => quote(word),
    };
    let line = words.iter().fold(name.to_string(), |line, word| format!("{line} {}", said(word)));
    excerpt(&line).into_owned()
}

/// The error that was thrown first.
fn leaf(error: EvalAltResult, of_a_file: bool) -> (Error, Option<NotFound>) {
    match error {
        EvalAltResult::ErrorRuntime(value, _) | EvalAltResult::ErrorTerminated(value, _) => (from_thrown(value), None),
        EvalAltResult::ErrorParsing(what, at) => {
            // Of a file, the trail names the line.
            let column = if of_a_file { at.position().map_or(String::new(), |n| format!(" (column {n})")) } else { format!(" ({at})") };
            (
                Error::usage(format!("{}{column}", sentence(&what.to_string()))).hint("`help lines` tells commands from Rhai"),
                Some(NotFound::Syntax),
            )
        }
        EvalAltResult::ErrorFunctionNotFound(signature, _) => {
            let name = signature.split([' ', '(']).next().unwrap_or_default().to_string();
            if name.starts_with("anon$") {
                let error = Error::command("a closure was called with another number of arguments than it has");
                return (error.hint("a command's closure has one, the words it was given: |a| …"), None);
            }
            (Error::command(format!("there is no command or function {signature}")), Some(NotFound::Name(name)))
        }
        EvalAltResult::ErrorVariableNotFound(name, _) => {
            (Error::command(format!("there is no variable `{name}`")), Some(NotFound::Name(name)))
        }
        EvalAltResult::ErrorModuleNotFound(name, _) => {
            let error = Error::command(format!("there is no module `{name}` here"));
            (error.hint("a closure does not see the file's imports: put the `import` into it"), None)
        }
        EvalAltResult::ErrorStackOverflow(_) => {
            (Error::command(format!("functions call each other more than {CALL_LEVELS} levels deep")), None)
        }
        mut other => {
            let _ = other.take_position();
            (Error::command(sentence(&other.to_string())), None)
        }
    }
}

/// Our messages begin in lower case.
fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or(String::new(), |first| first.to_lowercase().chain(chars).collect())
}

/// Where an unfinished text stops being understood: at its end.
fn at_end(text: &str, position: Position) -> bool {
    let last = text.trim_end().lines().count();
    let Some(line) = position.line() else { return true };
    let width = text.trim_end().lines().last().map_or(0, |line| line.chars().count());
    line > last || (line == last && position.position().is_none_or(|column| column > width))
}

/// Every name that stands before a `(`.
fn called_names(text: &str) -> impl Iterator<Item = &str> {
    let name = |(at, _)| {
        let before = text[..at].trim_end();
        let start = before
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |last| last + before[last..].chars().next().map_or(1, char::len_utf8));
        Some(&before[start..]).filter(|name| name.starts_with(|c: char| c.is_alphabetic() || c == '_'))
    };
    text.match_indices('(').filter_map(name).filter(|name| !KEYWORDS.contains(name) && !GENERIC.contains(name))
}

fn emit(cx: &Weak<Cx>, event: Event) {
    if let Some(cx) = cx.upgrade() {
        cx.ears.sink.emit(event);
    }
}

/// Register `name` with `N` arguments: what it means is decided when it is called.
fn late<const N: usize>(engine: &mut Engine, name: &str, cx: &Weak<Cx>) {
    let (cx, own) = (cx.clone(), name.to_string());
    engine.register_raw_fn(name, [TypeId::of::<Dynamic>(); N], move |ctx: NativeCallContext, args: &mut [&mut Dynamic]| {
        call(&cx, &own, &ctx, args)
    });
}

/// A command as a function.
fn call(cx: &Weak<Cx>, function: &str, ctx: &NativeCallContext, args: &mut [&mut Dynamic]) -> Thrown<Dynamic> {
    let at = ctx.call_position();
    let Some(cx) = cx.upgrade() else { return Err(thrown(Error::command("the host is gone"), at)) };
    let entry = cx.commands.borrow().function(function);
    let Some(entry) = entry else {
        let types = args.iter().map(|arg| ctx.engine().map_type_name(arg.type_name()).to_string()).collect::<Vec<_>>();
        return Err(EvalAltResult::ErrorFunctionNotFound(format!("{function}({})", types.join(", ")), at).into());
    };
    let args: Vec<&Dynamic> = args.iter().map(|arg| &**arg).collect();
    let result = words(&args).and_then(|words| {
        cx.call(&entry, &words).map_err(|error| match entry.action {
            Action::BuiltIn(_) => error.during(spoken(entry.name(), &words)),
            // It has said so itself.
            Action::Script(_) => error,
        })
    });
    result.map(|value| to_dynamic(&value)).map_err(|error| thrown(error, at))
}

fn ends_the_run(error: &Error) -> bool {
    matches!(error.cause, Cause::Interrupted(_) | Cause::Abandoned(_) | Cause::Exit(_))
}

/// Ctrl-C and `exit` cannot be caught by a script.
fn thrown(error: Error, at: Position) -> Box<EvalAltResult> {
    let ends = ends_the_run(&error);
    let value = Dynamic::from(ErrorValue(error));
    Box::new(if ends { EvalAltResult::ErrorTerminated(value, at) } else { EvalAltResult::ErrorRuntime(value, at) })
}

/// A point in time, as `timestamp()` gives it: seconds on the board's clock.
#[derive(Clone, Copy)]
struct Moment(f64);

fn register_moments(engine: &mut Engine, cx: &Weak<Cx>) {
    fn now(cx: &Weak<Cx>) -> f64 {
        cx.upgrade().map_or(0.0, |cx| cx.now().as_secs_f64())
    }
    engine.register_type_with_name::<Moment>("Timestamp");
    let clock = cx.clone();
    engine.register_fn("timestamp", move || Moment(now(&clock)));
    let clock = cx.clone();
    engine.register_get("elapsed", move |moment: &mut Moment| now(&clock) - moment.0);
    engine.register_fn("-", |later: Moment, earlier: Moment| later.0 - earlier.0);
    for name in ["to_string", "to_debug"] {
        engine.register_fn(name, |moment: &mut Moment| format!("{:.6}", moment.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Commands;

    /// `sleep` and `exit` are Rhai's, and replaced on purpose.
    const REPLACED: &[&str] = &["sleep", "exit"];

    #[test]
    fn no_function_of_rhai_hides_a_command() {
        let engine = Engine::new();
        for entry in Commands::built_in().unwrap().iter().filter(|entry| !REPLACED.contains(&entry.name())) {
            for args in ["", "1", "1.5", "\"x\"", "[1]", "()", "1, 2", "\"x\", 1", "\"x\", \"y\"", "1, 2, 3"] {
                let call = format!("{}({args})", entry.spec.function());
                let error = engine.eval::<Dynamic>(&call).map(|value| value.to_string()).expect_err(&call);
                assert!(matches!(*error, EvalAltResult::ErrorFunctionNotFound(..)), "{call}: {error}");
            }
        }
    }

    #[test]
    fn the_names_a_text_calls_are_found() {
        let names: Vec<&str> = called_names("let a = f(1) + mod::g (2); if (x) { to_string(h()) } |k| (k)(3); 5(1) é(1)").collect();
        assert_eq!(names, ["f", "g", "h", "é"]);
    }
}
