//! The usage line is the grammar: `program <file> [<addr>] [verify] [reset]`.
//!
//! Parsed once, it gives parsing, types, help, completion and hints:
//!
//! - leading plain words are the command's name; later ones are literals;
//! - `<kind>` or `<name:kind>` is a value (the kinds are the table `KINDS`; without a name it is named after its kind);
//! - `[…]` is optional, `(a|b)` and `[a|b]` are alternatives, `…` repeats the item before it;
//! - a run of optional literals is taken in any order;
//! - `--word` and `--word <kind>` are options, in any order, before, between or behind the other words.
//!
//! A literal always wins over a value. Where two values could take the same word, the usage line is ambiguous and refused: so
//! one word decides at every point, and parsing needs no way back. (The automaton is Glushkov's: one state per word of the
//! usage line, V. M. Glushkov, "The abstract theory of automata", 1961.)

mod args;
mod kind;
#[cfg(test)]
mod tests;
mod usage;

pub use args::Args;
pub use kind::{Arg, Completion, Kind, Symbols, number, sum};

use crate::error::{Error, Result, excerpt};
use crate::near;
use kind::KINDS;
use std::rc::Rc;

/// `help usage`
pub const RULE: &str = "\
A usage line says how a command is called: program <file> [<addr>] [verify] [reset]

  word            to be typed as it is; the first words are the command's name
  <kind>          a value: addr num int ms float file word reg text
  <name:kind>     a value with a name of its own
  [ … ]           may be left out; [word] beside [word] comes in any order
  (a|b) [a|b]     one of them
  x…              once or several times
  --word <kind>   an option, anywhere among the words

A number is 42, 0x2a or 0b101010, with _ between digits and K (1024) or M (1048576) behind, or a symbol of the
ELF that was programmed or loaded last, or a sum of such: main+0x10. An address is a number below 4096M.";

/// One word of the usage line.
#[derive(Clone)]
enum Symbol {
    Literal(String),
    Value(String, &'static Kind),
}

impl Symbol {
    fn parse_value(inner: &str) -> std::result::Result<Symbol, String> {
        let (name, kind) = inner.split_once(':').unwrap_or((inner, inner));
        let row = KINDS.iter().find(|row| row.name == kind).ok_or_else(|| format!("<{inner}>: there is no kind `{kind}`"))?;
        Ok(Symbol::Value(name.to_string(), row))
    }

    fn name(&self) -> &str {
        match self {
            Symbol::Literal(name) | Symbol::Value(name, _) => name,
        }
    }

    /// As it is spoken of in messages.
    fn show(&self) -> String {
        match self {
            Symbol::Literal(word) => format!("`{word}`"),
            Symbol::Value(name, _) => format!("<{name}>"),
        }
    }
}

struct State {
    symbol: Symbol,
    /// The member of a run in any order: each is taken once.
    once: Option<usize>,
    /// The `a|b` group of literals it is part of, by the text that names the group.
    group: Option<String>,
    follow: Vec<usize>,
    ends: bool,
}

/// `--word` or `--word <kind>`.
struct Opt {
    word: String,
    value: Option<Symbol>,
    required: bool,
    repeats: bool,
}

/// A parsed usage line.
pub struct Spec {
    pub usage: String,
    /// The words that call it, one blank between them: `flash erase_sector`.
    pub name: String,
    states: Vec<State>,
    first: Vec<usize>,
    nullable: bool,
    options: Vec<Opt>,
}

impl std::fmt::Debug for Spec {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "Spec({})", self.usage)
    }
}

impl PartialEq for Spec {
    fn eq(&self, other: &Spec) -> bool {
        self.usage == other.usage
    }
}

/// What may come next, for completion and for hints while typing.
#[derive(Debug, Default)]
pub struct Next {
    pub literals: Vec<String>,
    /// Name and kind of the value that may stand here.
    pub value: Option<(String, &'static Kind)>,
    /// The command is complete without another word.
    pub may_end: bool,
}

impl std::fmt::Display for Next {
    /// As in a usage line: `<addr>`, `[on|off]`.
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let value = self.value.iter().map(|(name, _)| format!("<{name}>"));
        let words: Vec<String> = self.literals.iter().cloned().chain(value).collect();
        match words.join("|") {
            words if words.is_empty() => Ok(()),
            words if self.may_end => write!(f, "[{words}]"),
            words => write!(f, "{words}"),
        }
    }
}

impl Spec {
    /// An error of kind usage says what is wrong with the usage line itself.
    pub fn new(usage: &str) -> Result<Spec> {
        usage::read(usage)
            .and_then(Spec::checked)
            .map_err(|what| Error::usage(format!("usage line `{}`: {what}", excerpt(usage))).hint("`help usage` explains usage lines"))
    }

    /// The name as a Rhai function.
    pub fn function(&self) -> String {
        self.name.replace(' ', "_")
    }

    /// Names must be unlike, and one word must decide at every point.
    fn checked(self) -> std::result::Result<Spec, String> {
        let sets = self.states.iter().map(|state| &state.follow).chain([&self.first]);
        for set in sets {
            for (nth, &a) in set.iter().enumerate() {
                if let Some(&b) = set[nth + 1..].iter().find(|&&b| self.clash(a, b)) {
                    let (a, b) = (self.states[a].symbol.show(), self.states[b].symbol.show());
                    return Err(format!("ambiguous: a word could be {a} or {b}"));
                }
            }
        }
        self.names_are_unlike()?;
        Ok(self)
    }

    fn clash(&self, a: usize, b: usize) -> bool {
        match (&self.states[a].symbol, &self.states[b].symbol) {
            (Symbol::Literal(a), Symbol::Literal(b)) => a == b,
            (Symbol::Value(..), Symbol::Value(..)) => true,
            _ => false,
        }
    }

    fn names_are_unlike(&self) -> std::result::Result<(), String> {
        let mut seen: Vec<&str> = Vec::new();
        let values = self.options.iter().filter_map(|option| option.value.as_ref());
        let symbols = self.states.iter().map(|state| &state.symbol).chain(values);
        let names = symbols.map(Symbol::name).chain(self.options.iter().map(|option| option.word.as_str()));
        for name in names {
            if seen.contains(&name) {
                return Err(format!("`{name}` stands twice; name values apart as in <{name}2:kind>"));
            }
            seen.push(name);
        }
        Ok(())
    }

    /// The words behind the name, checked and converted. The error names the word that does not fit.
    pub fn parse(self: &Rc<Spec>, words: &[String], symbols: Symbols) -> Result<Args> {
        let mut walk = Walk::new(self);
        walk.all(words, symbols)?;
        walk.finish()
    }

    /// What may follow these words (those that do not fit are passed over).
    pub fn next(self: &Rc<Spec>, words: &[String]) -> Next {
        let mut walk = Walk::new(self);
        let number_for_any = |_: &str| Some(0);
        for word in words {
            let _ = walk.word(word, &number_for_any);
        }
        walk.next()
    }

    /// Of each of these words whether it fits where it stands.
    pub fn fits(self: &Rc<Spec>, words: &[String], symbols: Symbols) -> Vec<bool> {
        let mut walk = Walk::new(self);
        words.iter().map(|word| walk.all(std::slice::from_ref(word), symbols).is_ok()).collect()
    }

    /// Every value and literal with the name scripts see, in order: for the map a script's command is given.
    pub fn items(&self) -> impl Iterator<Item = Item<'_>> {
        let value = |symbol: &Symbol, repeats: bool| match symbol {
            Symbol::Literal(_) => None,
            Symbol::Value(..) => Some(repeats),
        };
        let states = self.states.iter().enumerate().map(move |(index, state)| Item {
            name: state.symbol.name(),
            value: value(&state.symbol, self.repeats(index)),
            group: state.group.as_deref(),
        });
        let options = self.options.iter().flat_map(|option| {
            let word = Item { name: &option.word, value: None, group: None };
            let value = option.value.as_ref().map(|symbol| Item { name: symbol.name(), value: Some(option.repeats), group: None });
            [Some(word), value].into_iter().flatten()
        });
        states.chain(options)
    }

    /// The state can come again after itself.
    fn repeats(&self, index: usize) -> bool {
        let mut reached = vec![false; self.states.len()];
        let mut todo = self.states[index].follow.clone();
        while let Some(next) = todo.pop() {
            if !std::mem::replace(&mut reached[next], true) {
                todo.extend(self.states[next].follow.iter().filter(|&&state| self.states[state].once.is_none()));
            }
        }
        reached[index] && self.states[index].once.is_none()
    }
}

/// One name of a usage line.
pub struct Item<'a> {
    pub name: &'a str,
    /// `None`: a literal. `Some(true)`: a value that may come several times.
    pub value: Option<bool>,
    /// The `a|b` group of literals it is part of.
    pub group: Option<&'a str>,
}

/// One pass over the words of a call.
struct Walk<'a> {
    spec: &'a Rc<Spec>,
    at: Option<usize>,
    taken: Vec<usize>,
    /// The option whose value is the next word.
    pending: Option<&'a Opt>,
    args: Args,
}

impl<'a> Walk<'a> {
    fn new(spec: &'a Rc<Spec>) -> Walk<'a> {
        Walk { spec, at: None, taken: Vec::new(), pending: None, args: Args::new(spec.clone()) }
    }

    fn all(&mut self, words: &[String], symbols: Symbols) -> Result<()> {
        for word in words {
            match self.splits(word) {
                true => word.split_whitespace().try_for_each(|part| self.word(part, symbols))?,
                false => self.word(word, symbols)?,
            }
        }
        Ok(())
    }

    /// A word with blanks where only a repeated number may stand is a list.
    fn splits(&self, word: &str) -> bool {
        let list_here = |&state: &usize| match &self.spec.states[state].symbol {
            Symbol::Value(_, kind) => kind.splits && self.spec.repeats(state),
            Symbol::Literal(_) => false,
        };
        self.pending.is_none() && word.trim().contains(char::is_whitespace) && self.allowed().any(|state| list_here(&state))
    }

    fn allowed(&self) -> impl Iterator<Item = usize> + '_ {
        let set = match self.at {
            Some(state) => &self.spec.states[state].follow,
            None => &self.spec.first,
        };
        set.iter().copied().filter(|&state| self.spec.states[state].once.is_none_or(|run| !self.taken.contains(&run)))
    }

    fn word(&mut self, word: &str, symbols: Symbols) -> Result<()> {
        if let Some(option) = self.pending.take() {
            let symbol = option.value.as_ref().expect("only an option with a value waits for one");
            return self.value(symbol, word, symbols);
        }
        if word.starts_with("--") && !self.spec.options.is_empty() {
            return self.option(word);
        }
        let literal = self.allowed().find(|&state| matches!(&self.spec.states[state].symbol, Symbol::Literal(text) if text == word));
        if let Some(state) = literal {
            self.step(state);
            self.args.push_literal(word);
            return Ok(());
        }
        let value = self.allowed().find(|&state| matches!(self.spec.states[state].symbol, Symbol::Value(..)));
        match value {
            Some(state) => {
                self.value(&self.spec.states[state].symbol, word, symbols)?;
                self.step(state);
                Ok(())
            }
            None => Err(self.misfit(word, "fits nothing here")),
        }
    }

    fn step(&mut self, state: usize) {
        self.at = Some(state);
        self.taken.extend(self.spec.states[state].once);
    }

    fn option(&mut self, word: &str) -> Result<()> {
        let Some(option) = self.spec.options.iter().find(|option| option.word == word) else {
            return Err(self.misfit(word, "is no option of this command"));
        };
        if !option.repeats && self.args.has(word) {
            return Err(self.usage_error(format!("{word} is given twice")));
        }
        self.args.push_literal(word);
        self.pending = option.value.is_some().then_some(option);
        Ok(())
    }

    fn value(&mut self, symbol: &Symbol, word: &str, symbols: Symbols) -> Result<()> {
        let Symbol::Value(name, kind) = symbol else { return Err(self.misfit(word, "fits nothing here")) };
        let arg = (kind.parse)(word, symbols).ok_or_else(|| self.misfit(word, &format!("is not {}", kind.expects)))?;
        self.args.push_value(name, arg, word);
        Ok(())
    }

    fn finish(self) -> Result<Args> {
        if let Some(option) = self.pending {
            let value = option.value.as_ref().map(Symbol::show).unwrap_or_default();
            return Err(self.usage_error(format!("{} needs {value}", option.word)));
        }
        if !self.at_end() {
            let wanted = self.allowed().map(|state| self.spec.states[state].symbol.show()).collect::<Vec<_>>().join(" or ");
            return Err(self.usage_error(format!("{} needs {wanted}{}", self.spec.name, self.after())));
        }
        match self.missing_option() {
            Some(option) => Err(self.usage_error(format!("{} needs {}", self.spec.name, option.word))),
            None => Ok(self.args),
        }
    }

    fn missing_option(&self) -> Option<&Opt> {
        self.spec.options.iter().find(|option| option.required && !self.args.has(&option.word))
    }

    /// The words that go by their order are complete.
    fn at_end(&self) -> bool {
        self.at.map_or(self.spec.nullable, |state| self.spec.states[state].ends)
    }

    fn after(&self) -> String {
        self.args.words().last().map_or(String::new(), |word| format!(" after `{word}`"))
    }

    fn next(&self) -> Next {
        if let Some(Symbol::Value(name, kind)) = self.pending.and_then(|option| option.value.as_ref()) {
            return Next { value: Some((name.clone(), *kind)), ..Next::default() };
        }
        let mut next = Next { may_end: self.at_end() && self.missing_option().is_none(), ..Next::default() };
        for state in self.allowed() {
            match &self.spec.states[state].symbol {
                Symbol::Literal(word) => next.literals.push(word.clone()),
                Symbol::Value(name, kind) => next.value = Some((name.clone(), *kind)),
            }
        }
        let open = self.spec.options.iter().filter(|option| option.repeats || !self.args.has(&option.word));
        next.literals.extend(open.map(|option| option.word.clone()));
        next
    }

    fn misfit(&self, word: &str, what: &str) -> Error {
        let literals = self.next().literals;
        let also = match literals.len() {
            0 => String::new(),
            _ if what.starts_with("is not") => format!(", nor one of {}", literals.join(", ")),
            _ => format!("; expected one of {}", literals.join(", ")),
        };
        let hint = near::hint(word, literals.iter().map(String::as_str), &format!("usage: {}", self.spec.usage));
        Error::usage(format!("{}: `{}` {what}{also}", self.spec.name, excerpt(word))).hint(hint)
    }

    fn usage_error(&self, message: String) -> Error {
        Error::usage(message).hint(format!("usage: {}", self.spec.usage))
    }
}
