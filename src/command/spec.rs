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

use crate::error::{Error, Result};
use std::rc::Rc;

/// `help usage`
pub const RULE: &str = "\
A usage line says how a command is called: program <file> [<addr>] [verify] [reset]

  word            to be typed as it is; the first words are the command's name
  <kind>          a value: addr num int ms float file word reg text
  <name:kind>     a value with a name of its own
  [ … ]           may be left out; words side by side that may be left out come in any order
  (a|b) [a|b]     one of them
  x…              once or several times
  --word <kind>   an option, anywhere among the words

A number is 42, 0x2a or 0b101010, with _ between digits and K (1024) or M (1048576) behind, or a symbol of the
ELF that was programmed or loaded last, or a sum of such: main+0x10. An address is a number below 4096M.";

/// The value of one word.
#[derive(Clone, Debug, PartialEq)]
pub enum Arg {
    Num(u64),
    Int(i64),
    Float(f64),
    Text(String),
}

/// What completion offers for a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completion {
    None,
    File,
    Symbol,
}

/// The address of a symbol of the loaded ELF.
pub type Symbols<'a> = &'a dyn Fn(&str) -> Option<u64>;

/// A kind of value.
pub struct Kind {
    pub name: &'static str,
    /// Ends the sentence "`x` is not …".
    pub expects: &'static str,
    pub completion: Completion,
    parse: fn(&str, Symbols) -> Option<Arg>,
    /// Text in {…} may hold several words of a repeated value: `write_memory 0x20000000 8 {1 2 3}`.
    splits: bool,
}

pub const KINDS: &[Kind] = &[
    kind("addr", "an address (a number below 2^32 or a symbol of the loaded ELF)", Completion::Symbol, parse_addr, true),
    kind("num", "a number or a symbol of the loaded ELF", Completion::Symbol, parse_num, true),
    kind("int", "a whole number", Completion::None, parse_int, true),
    kind("ms", "a whole number of milliseconds", Completion::None, parse_plain, false),
    kind("float", "a number", Completion::None, parse_float, true),
    kind("file", "a file name", Completion::File, parse_word, false),
    kind("word", "a word", Completion::None, parse_word, false),
    kind("reg", "the name of a register", Completion::None, parse_word, false),
    kind("text", "text", Completion::None, parse_text, false),
];

const fn kind(
    name: &'static str,
    expects: &'static str,
    completion: Completion,
    parse: fn(&str, Symbols) -> Option<Arg>,
    splits: bool,
) -> Kind {
    Kind { name, expects, completion, parse, splits }
}

fn parse_addr(word: &str, symbols: Symbols) -> Option<Arg> {
    sum(word, symbols).filter(|address| u32::try_from(*address).is_ok()).map(Arg::Num)
}

fn parse_num(word: &str, symbols: Symbols) -> Option<Arg> {
    sum(word, symbols).map(Arg::Num)
}

fn parse_int(word: &str, _: Symbols) -> Option<Arg> {
    match word.strip_prefix('-') {
        Some(digits) => number(digits).and_then(|n| 0i64.checked_sub_unsigned(n)).map(Arg::Int),
        None => number(word).and_then(|n| i64::try_from(n).ok()).map(Arg::Int),
    }
}

fn parse_plain(word: &str, _: Symbols) -> Option<Arg> {
    number(word).map(Arg::Num)
}

fn parse_float(word: &str, _: Symbols) -> Option<Arg> {
    word.parse().ok().filter(|float: &f64| float.is_finite()).map(Arg::Float)
}

fn parse_word(word: &str, _: Symbols) -> Option<Arg> {
    (!word.trim().is_empty()).then(|| Arg::Text(word.to_string()))
}

fn parse_text(word: &str, _: Symbols) -> Option<Arg> {
    Some(Arg::Text(word.to_string()))
}

/// `main+0x10`, `0x20000000`, `buffer+64-4`.
fn sum(word: &str, symbols: Symbols) -> Option<u64> {
    let mut total = 0u64;
    let mut rest = word;
    let mut minus = false;
    loop {
        let end = rest.find(['+', '-']).unwrap_or(rest.len());
        let term = number(&rest[..end]).or_else(|| symbols(&rest[..end]))?;
        total = if minus { total.checked_sub(term)? } else { total.checked_add(term)? };
        if end == rest.len() {
            return Some(total);
        }
        minus = rest.as_bytes()[end] == b'-';
        rest = &rest[end + 1..];
    }
}

/// Decimal, 0x, 0b, with `_` anywhere after the first digit and K (1024) or M (1024²) at the end.
pub fn number(word: &str) -> Option<u64> {
    let (digits, scale) = match word.as_bytes().last()? {
        b'K' | b'k' => (&word[..word.len() - 1], 1 << 10),
        b'M' => (&word[..word.len() - 1], 1 << 20),
        _ => (word, 1),
    };
    let (digits, radix) = match digits.get(..2) {
        Some("0x" | "0X") => (&digits[2..], 16),
        Some("0b" | "0B") => (&digits[2..], 2),
        _ => (digits, 10),
    };
    if !digits.starts_with(|first: char| first.is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(&digits.replace('_', ""), radix).ok()?.checked_mul(scale)
}

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

/// The usage line as a tree.
enum Node {
    Word(Symbol),
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    Optional(Box<Node>),
    Repeat(Box<Node>),
    AnyOrder(Vec<Node>),
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
#[derive(Debug, Default, PartialEq)]
pub struct Next {
    pub literals: Vec<String>,
    /// Name and completion of the value that may stand here.
    pub value: Option<(String, Completion)>,
    /// The command is complete without another word.
    pub may_end: bool,
}

impl Spec {
    /// An error of kind usage says what is wrong with the usage line itself.
    pub fn new(usage: &str) -> Result<Spec> {
        Reader::read(usage)
            .and_then(Builder::build)
            .and_then(Spec::checked)
            .map_err(|what| Error::usage(format!("usage line `{usage}`: {what}")).hint("`help usage` explains usage lines"))
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
        Walk { spec, at: None, taken: Vec::new(), pending: None, args: Args { spec: Some(spec.clone()), ..Args::default() } }
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
            self.args.literals.push(word.to_string());
            self.args.words.push(word.to_string());
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
        self.args.literals.push(word.to_string());
        self.args.words.push(word.to_string());
        self.pending = option.value.is_some().then_some(option);
        Ok(())
    }

    fn value(&mut self, symbol: &Symbol, word: &str, symbols: Symbols) -> Result<()> {
        let Symbol::Value(name, kind) = symbol else { return Err(self.misfit(word, "fits nothing here")) };
        let arg = (kind.parse)(word, symbols).ok_or_else(|| self.misfit(word, &format!("is not {}", kind.expects)))?;
        self.args.values.push((name.clone(), arg));
        self.args.words.push(word.to_string());
        Ok(())
    }

    fn finish(self) -> Result<Args> {
        if let Some(option) = self.pending {
            let value = option.value.as_ref().map(Symbol::show).unwrap_or_default();
            return Err(self.usage_error(format!("{} needs {value}", option.word)));
        }
        let next = self.next();
        if !next.may_end {
            let wanted = self.allowed().map(|state| self.spec.states[state].symbol.show()).collect::<Vec<_>>().join(" or ");
            return Err(self.usage_error(format!("{} needs {wanted}{}", self.spec.name, self.after())));
        }
        match self.spec.options.iter().find(|option| option.required && !self.args.has(&option.word)) {
            Some(option) => Err(self.usage_error(format!("{} needs {}", self.spec.name, option.word))),
            None => Ok(self.args),
        }
    }

    fn after(&self) -> String {
        self.args.words.last().map_or(String::new(), |word| format!(" after `{word}`"))
    }

    fn next(&self) -> Next {
        if let Some(Symbol::Value(name, kind)) = self.pending.and_then(|option| option.value.as_ref()) {
            return Next { value: Some((name.clone(), kind.completion)), ..Next::default() };
        }
        let mut next = Next { may_end: self.at.map_or(self.spec.nullable, |state| self.spec.states[state].ends), ..Next::default() };
        for state in self.allowed() {
            match &self.spec.states[state].symbol {
                Symbol::Literal(word) => next.literals.push(word.clone()),
                Symbol::Value(name, kind) => next.value = Some((name.clone(), kind.completion)),
            }
        }
        let open = self.spec.options.iter().filter(|option| option.repeats || !self.args.literals.contains(&option.word));
        next.literals.extend(open.map(|option| option.word.clone()));
        next
    }

    fn misfit(&self, word: &str, what: &str) -> Error {
        let literals = self.next().literals;
        let near = nearest(word, literals.iter().map(String::as_str));
        let also = match literals.len() {
            0 => String::new(),
            _ if what.starts_with("is not") => format!(", nor one of {}", literals.join(", ")),
            _ => format!("; expected one of {}", literals.join(", ")),
        };
        let error = Error::usage(format!("{}: `{word}` {what}{also}", self.spec.name));
        match near {
            Some(near) => error.hint(format!("did you mean `{near}`? usage: {}", self.spec.usage)),
            None => error.hint(format!("usage: {}", self.spec.usage)),
        }
    }

    fn usage_error(&self, message: String) -> Error {
        Error::usage(message).hint(format!("usage: {}", self.spec.usage))
    }
}

/// The word that a mistyped one may stand for: at most a third of its letters differ.
pub fn nearest<'a>(word: &str, words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let limit = (word.chars().count().max(3)) / 3;
    words.map(|known| (distance(word, known), known)).filter(|(far, _)| *far <= limit).min_by_key(|(far, _)| *far).map(|(_, known)| known)
}

/// Levenshtein's, with a swap of neighbours as one step.
pub fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

/// The arguments of one call, already parsed and checked against the usage line.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Args {
    spec: Option<Rc<Spec>>,
    values: Vec<(String, Arg)>,
    literals: Vec<String>,
    /// The words behind the name, as given.
    words: Vec<String>,
}

impl Args {
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

    /// A required signed number (kind `int`).
    pub fn int(&self, name: &str) -> Result<i64> {
        self.opt_int(name).ok_or_else(|| self.missing(name))
    }

    pub fn opt_int(&self, name: &str) -> Option<i64> {
        self.of(name).into_iter().find_map(|arg| if let Arg::Int(number) = arg { Some(*number) } else { None })
    }

    pub fn opt_float(&self, name: &str) -> Option<f64> {
        self.of(name).into_iter().find_map(|arg| if let Arg::Float(number) = arg { Some(*number) } else { None })
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

    pub fn spec(&self) -> Option<&Spec> {
        self.spec.as_deref()
    }

    fn missing(&self, name: &str) -> Error {
        let usage = self.spec.as_ref().map_or("", |spec| &spec.usage);
        Error::new(crate::error::Kind::Bug, format!("`{usage}` has no value <{name}> in this call"))
    }

    /// The arguments `line` gives a command of this usage: for tests of commands.
    #[cfg(test)]
    pub fn example(usage: &str, words: &str) -> Result<Args> {
        let words: Vec<String> = words.split_whitespace().map(str::to_string).collect();
        Rc::new(Spec::new(usage)?).parse(&words, &|_| None)
    }
}

/// Usage text to tree.
struct Reader {
    tokens: Vec<String>,
    at: usize,
}

type Read<T> = std::result::Result<T, String>;

impl Reader {
    fn read(usage: &str) -> Read<(String, Vec<String>, Node)> {
        let mut reader = Reader { tokens: tokens(usage)?, at: 0 };
        let mut name = Vec::new();
        while let Some(word) = reader.peek().filter(|token| is_word(token) && !token.starts_with('-')).map(str::to_string) {
            name.push(word);
            reader.at += 1;
        }
        if name.is_empty() {
            return Err("begins with no plain word, so it has no name".into());
        }
        let node = reader.sequence()?;
        match reader.peek() {
            Some(token) => Err(format!("`{token}` is out of place")),
            None => Ok((usage.to_string(), name, node)),
        }
    }

    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).map(String::as_str)
    }

    fn take(&mut self, token: &str) -> bool {
        let here = self.peek() == Some(token);
        self.at += usize::from(here);
        here
    }

    fn alternatives(&mut self) -> Read<Node> {
        let mut list = vec![self.sequence()?];
        while self.take("|") {
            list.push(self.sequence()?);
        }
        if list.iter().any(|node| matches!(node, Node::Sequence(items) if items.is_empty())) {
            return Err("an alternative is empty".into());
        }
        Ok(if list.len() == 1 { list.remove(0) } else { Node::Choice(list) })
    }

    fn sequence(&mut self) -> Read<Node> {
        let mut items = Vec::new();
        while self.peek().is_some_and(|token| !matches!(token, "|" | "]" | ")")) {
            let item = self.primary()?;
            let item = if self.take("…") { Node::Repeat(Box::new(item)) } else { item };
            items.push(item);
        }
        Ok(if items.len() == 1 { items.remove(0) } else { Node::Sequence(any_order(items)) })
    }

    fn primary(&mut self) -> Read<Node> {
        let token = self.peek().unwrap_or_default().to_string();
        self.at += 1;
        match token.as_str() {
            "[" => self.alternatives().and_then(|node| self.closed("]", Node::Optional(Box::new(node)))),
            "(" => self.alternatives().and_then(|node| self.closed(")", node)),
            "…" => Err("`…` repeats nothing".into()),
            word if word.starts_with('<') => Symbol::parse_value(&word[1..word.len() - 1]).map(Node::Word),
            word => Ok(Node::Word(Symbol::Literal(word.to_string()))),
        }
    }

    fn closed(&mut self, bracket: &str, node: Node) -> Read<Node> {
        if self.take(bracket) { Ok(node) } else { Err(format!("a `{bracket}` is missing")) }
    }
}

fn is_word(token: &str) -> bool {
    !token.starts_with(['[', ']', '(', ')', '|', '…', '<'])
}

fn tokens(usage: &str) -> Read<Vec<String>> {
    let mut tokens = Vec::new();
    let mut rest = usage.trim_start();
    while let Some(first) = rest.chars().next() {
        let len = match first {
            '[' | ']' | '(' | ')' | '|' | '…' => first.len_utf8(),
            '<' => rest.find('>').ok_or("a `>` is missing")? + 1,
            _ => rest.find(|c: char| c.is_whitespace() || "[]()|…<>".contains(c)).unwrap_or(rest.len()),
        };
        if len == 0 {
            return Err(format!("`{first}` is out of place"));
        }
        tokens.push(rest[..len].to_string());
        rest = rest[len..].trim_start();
    }
    Ok(tokens)
}

/// Neighbouring optional literals become one run in any order.
fn any_order(items: Vec<Node>) -> Vec<Node> {
    let mut out: Vec<Node> = Vec::new();
    for item in items {
        match (out.last_mut(), is_optional_literal(&item)) {
            (Some(Node::AnyOrder(run)), true) => run.push(item),
            (_, true) => out.push(Node::AnyOrder(vec![item])),
            _ => out.push(item),
        }
    }
    out
}

fn is_optional_literal(node: &Node) -> bool {
    let literal = |node: &Node| matches!(node, Node::Word(Symbol::Literal(word)) if !word.starts_with("--"));
    match node {
        Node::Optional(inner) => match inner.as_ref() {
            Node::Choice(list) => list.iter().all(literal),
            inner => literal(inner),
        },
        _ => false,
    }
}

fn sequence(node: Node) -> Vec<Node> {
    match node {
        Node::Sequence(items) => items,
        single => vec![single],
    }
}

fn option_word(node: &Node) -> Option<String> {
    match node {
        Node::Word(Symbol::Literal(word)) if word.starts_with("--") => Some(word.clone()),
        _ => None,
    }
}

fn is_value(node: &Node) -> bool {
    match node {
        Node::Repeat(inner) => is_value(inner),
        node => matches!(node, Node::Word(Symbol::Value(..))),
    }
}

/// Tree to automaton.
#[derive(Default)]
struct Builder {
    states: Vec<State>,
    options: Vec<Opt>,
    runs: usize,
    repeating: bool,
}

/// A part of the automaton: where it begins, where it ends, and whether it can be left out.
struct Part {
    first: Vec<usize>,
    last: Vec<usize>,
    nullable: bool,
}

impl Builder {
    fn build((usage, name, node): (String, Vec<String>, Node)) -> Read<Spec> {
        let mut builder = Builder::default();
        let node = builder.take_options(node)?;
        let whole = builder.part(&node)?;
        for &state in &whole.last {
            builder.states[state].ends = true;
        }
        let Builder { states, options, .. } = builder;
        Ok(Spec { usage, name: name.join(" "), states, first: whole.first, nullable: whole.nullable, options })
    }

    /// `--words` stand outside the order of the others, so they leave the tree; only its top level may have them.
    fn take_options(&mut self, node: Node) -> Read<Node> {
        let mut rest = Vec::new();
        let mut items = sequence(node).into_iter().peekable();
        while let Some(item) = items.next() {
            match option_word(&item) {
                Some(word) => {
                    let value = items.next_if(|next| is_value(next));
                    self.add_option(word, value, true, false)?;
                }
                None => rest.extend(self.optional_option(item, false)?),
            }
        }
        Ok(Node::Sequence(rest))
    }

    /// `[--word]`, `[--word <kind>]`, and either with `…`; anything else is handed back.
    fn optional_option(&mut self, item: Node, repeats: bool) -> Read<Option<Node>> {
        let inner = match item {
            Node::Repeat(inner) if matches!(*inner, Node::Optional(_)) => {
                return Ok(self.optional_option(*inner, true)?.map(|node| Node::Repeat(Box::new(node))));
            }
            Node::Optional(inner) => *inner,
            other => return Ok(Some(other)),
        };
        let first = match &inner {
            Node::Sequence(items) => items.first().and_then(option_word),
            single => option_word(single),
        };
        let Some(word) = first else { return Ok(Some(Node::Optional(Box::new(inner)))) };
        let mut behind = sequence(inner).into_iter().skip(1);
        let value = behind.next();
        if behind.next().is_some() {
            return Err(format!("{word} takes one value at most"));
        }
        self.add_option(word, value, false, repeats).map(|()| None)
    }

    fn add_option(&mut self, word: String, value: Option<Node>, required: bool, repeats: bool) -> Read<()> {
        let (value, repeats) = match value {
            Some(Node::Repeat(inner)) => (Some(*inner), true),
            value => (value, repeats),
        };
        let value = match value {
            None => None,
            Some(Node::Word(symbol @ Symbol::Value(..))) => Some(symbol),
            Some(_) => return Err(format!("{word} takes a <value>")),
        };
        self.options.push(Opt { word, value, required, repeats });
        Ok(())
    }

    fn part(&mut self, node: &Node) -> Read<Part> {
        match node {
            Node::Word(symbol) => self.leaf(symbol),
            Node::Sequence(items) => items.iter().try_fold(Part { first: vec![], last: vec![], nullable: true }, |before, item| {
                let after = self.part(item)?;
                self.link(&before.last, &after.first);
                Ok(Part {
                    first: if before.nullable { joined(before.first, &after.first) } else { before.first },
                    last: if after.nullable { joined(before.last, &after.last) } else { after.last },
                    nullable: before.nullable && after.nullable,
                })
            }),
            Node::Choice(list) => self.choice(list),
            Node::Optional(inner) => Ok(Part { nullable: true, ..self.part(inner)? }),
            Node::Repeat(inner) => {
                let outer = std::mem::replace(&mut self.repeating, true);
                let part = self.part(inner)?;
                self.repeating = outer;
                self.link(&part.last, &part.first);
                Ok(part)
            }
            Node::AnyOrder(members) => self.any_order(members),
        }
    }

    fn leaf(&mut self, symbol: &Symbol) -> Read<Part> {
        if symbol.name().starts_with("--") {
            return Err(format!("{} stands too deep: options stand by themselves or in [ ]", symbol.show()));
        }
        self.states.push(State { symbol: symbol.clone(), once: None, group: None, follow: Vec::new(), ends: false });
        let state = vec![self.states.len() - 1];
        Ok(Part { first: state.clone(), last: state, nullable: false })
    }

    fn choice(&mut self, list: &[Node]) -> Read<Part> {
        let mut whole = Part { first: vec![], last: vec![], nullable: false };
        for node in list {
            let part = self.part(node)?;
            whole.first.extend(part.first);
            whole.last.extend(part.last);
            whole.nullable |= part.nullable;
        }
        if list.iter().all(|node| matches!(node, Node::Word(Symbol::Literal(_)))) {
            let group = whole.first.iter().map(|&state| self.states[state].symbol.name()).collect::<Vec<_>>().join("|");
            whole.first.iter().for_each(|&state| self.states[state].group = Some(group.clone()));
        }
        Ok(whole)
    }

    fn any_order(&mut self, members: &[Node]) -> Read<Part> {
        if self.repeating {
            return Err("a run of optional literals cannot be repeated".into());
        }
        let mut parts = Vec::new();
        for member in members {
            let part = self.part(member)?;
            part.first.iter().for_each(|&state| self.states[state].once = Some(self.runs));
            self.runs += 1;
            parts.push(part);
        }
        for from in &parts {
            for to in &parts {
                self.link(&from.last, &to.first);
            }
        }
        let first: Vec<usize> = parts.iter().flat_map(|part| part.first.iter().copied()).collect();
        Ok(Part { last: first.clone(), first, nullable: true })
    }

    fn link(&mut self, from: &[usize], to: &[usize]) {
        for &state in from {
            let follow = std::mem::take(&mut self.states[state].follow);
            self.states[state].follow = joined(follow, to);
        }
    }
}

fn joined(mut set: Vec<usize>, more: &[usize]) -> Vec<usize> {
    set.extend(more.iter().filter(|state| !set.contains(state)).copied().collect::<Vec<_>>());
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(usage: &str) -> Rc<Spec> {
        Rc::new(Spec::new(usage).unwrap())
    }

    fn symbols(name: &str) -> Option<u64> {
        [("main", 0x0800_0100), ("buffer", 0x2000_0010)].iter().find(|row| row.0 == name).map(|row| row.1)
    }

    fn parse(usage: &str, line: &str) -> Result<Args> {
        let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
        spec(usage).parse(&words, &symbols)
    }

    const PROGRAM: &str = "program <file> [<addr>] [bin|elf|ihex|s19] [preverify] [verify] [reset] [noreset] [exit]";

    #[test]
    fn leading_words_are_the_name() {
        assert_eq!(spec("flash erase_sector <bank:num> <first:num> <last:num>").name, "flash erase_sector");
        assert_eq!(spec("flash erase_sector <bank:num>").function(), "flash_erase_sector");
        assert_eq!(spec("echo [-n] [<text>…]").name, "echo");
    }

    #[test]
    fn values_are_found_by_name_or_by_kind() {
        let args = parse("mdw [phys] <addr> [<count:num>]", "phys main+0x10 1_0").unwrap();
        assert!(args.has("phys"));
        assert_eq!((args.num("addr").unwrap(), args.num("count").unwrap()), (0x0800_0110, 10));
        let args = parse("mdw [phys] <addr> [<count:num>]", "buffer-0x10").unwrap();
        assert!(!args.has("phys"));
        assert_eq!((args.num("addr").unwrap(), args.opt_num("count")), (0x2000_0000, None));
        assert_eq!(args.num("cuont").unwrap_err().kind, crate::error::Kind::Bug);
    }

    #[test]
    fn numbers_have_a_base_and_a_scale() {
        let cases: &[(&str, Option<u64>)] = &[
            ("16", Some(16)),
            ("010", Some(10)),
            ("0x2_0", Some(32)),
            ("0XFF", Some(255)),
            ("0b101", Some(5)),
            ("64K", Some(65536)),
            ("2M", Some(2 << 20)),
            ("0x10K", Some(16384)),
            ("", None),
            ("K", None),
            ("0x", None),
            ("_1", None),
            ("1.5", None),
            ("-1", None),
            ("12a", None),
            ("0xffffffffffffffff", Some(u64::MAX)),
            ("0x1ffffffffffffffff", None),
            ("0xffffffffffffffffK", None),
        ];
        for (word, want) in cases {
            assert_eq!(number(word), *want, "{word}");
        }
    }

    #[test]
    fn signed_and_broken_numbers_are_told_apart() {
        assert_eq!(parse("turn <by:int>", "-0x10").unwrap().int("by").unwrap(), -16);
        assert_eq!(parse("scale <by:float>", "-1.5").unwrap().opt_float("by"), Some(-1.5));
        for (usage, word) in
            [("mdw <addr>", "0x100000000"), ("mdw <addr>", "buffer-0x30000000"), ("sleep <ms>", "1.5"), ("sleep <ms>", "main")]
        {
            let error = parse(usage, word).unwrap_err();
            assert!(error.message.contains(&format!("`{word}` is not")), "{error}");
            assert_eq!(error.kind, crate::error::Kind::Usage);
        }
    }

    #[test]
    fn optional_literals_come_in_any_order_and_once() {
        let args = parse(PROGRAM, "app.elf exit elf verify").unwrap();
        assert!(args.has("exit") && args.has("verify") && args.has("elf") && !args.has("bin"));
        assert_eq!(args.text("file").unwrap(), "app.elf");
        assert_eq!(parse(PROGRAM, "app.bin 0x08000000 reset bin").unwrap().opt_num("addr"), Some(0x0800_0000));
        assert!(parse(PROGRAM, "app.elf verify verify").is_err());
        assert!(parse(PROGRAM, "app.elf bin verify elf").is_err());
        assert!(parse(PROGRAM, "app.elf verify 0x08000000").is_err());
    }

    #[test]
    fn a_misspelt_literal_is_named_with_the_nearest() {
        let error = parse(PROGRAM, "app.elf verfy").unwrap_err();
        assert!(error.message.starts_with("program: `verfy` is not an address"), "{error}");
        assert!(error.hint.unwrap().starts_with("did you mean `verify`? usage: program <file>"));
        let error = parse("reset [run|halt|init]", "hlat").unwrap_err();
        assert_eq!(error.message, "reset: `hlat` fits nothing here; expected one of run, halt, init");
        assert!(error.hint.unwrap().starts_with("did you mean `halt`?"));
    }

    #[test]
    fn what_is_missing_or_too_much_is_named() {
        assert_eq!(parse("mww <addr> <value:num>", "main").unwrap_err().message, "mww needs <value> after `main`");
        assert_eq!(parse("mww <addr> <value:num>", "").unwrap_err().message, "mww needs <addr>");
        assert_eq!(parse("halt", "now").unwrap_err().message, "halt: `now` fits nothing here");
        assert_eq!(parse("rbp (all|<addr>)", "").unwrap_err().message, "rbp needs `all` or <addr>");
    }

    #[test]
    fn repeated_items_collect() {
        assert_eq!(parse("sim poke <addr> <byte:num>…", "0 1 2 3").unwrap().nums("byte"), [1, 2, 3]);
        assert!(parse("sim poke <addr> <byte:num>…", "0").is_err());
        assert_eq!(parse("help [<words:word>…]", "").unwrap().texts("words"), Vec::<&str>::new());
        assert_eq!(parse("fill (<addr> <value:num>)…", "1 2 3 4").unwrap().nums("value"), [2, 4]);
        assert!(parse("fill (<addr> <value:num>)…", "1 2 3").is_err());
        let list = ["0x20000000".to_string(), "8".into(), "1 2\n0x3".into(), "phys".into()];
        let args = spec("write_memory <addr> <width:num> <data:num>… [phys]").parse(&list, &symbols).unwrap();
        assert_eq!((args.nums("data"), args.has("phys")), (vec![1, 2, 3], true));
    }

    #[test]
    fn options_stand_anywhere() {
        for board in ["[--board <board:word>]…", "[--board <board:word>…]"] {
            options_of(&format!("sim serve {board} --stlink-tcp <listen:word> [--state <file>] [--quiet]"));
        }
        let args = parse("put <addr> [--width <width:num>] <value:num>", "1 --width 8 2").unwrap();
        assert_eq!((args.num("addr").unwrap(), args.num("width").unwrap(), args.num("value").unwrap()), (1, 8, 2));
        assert_eq!(parse("put --to <addr>…", "--to 1 --to 2").unwrap().nums("addr"), [1, 2]);
    }

    fn options_of(usage: &str) {
        let args = parse(usage, "--board a --stlink-tcp 127.0.0.1:0 --board b --quiet").unwrap();
        assert_eq!((args.texts("board"), args.text("listen").unwrap()), (vec!["a", "b"], "127.0.0.1:0"));
        assert!(args.has("--quiet") && args.has("--board") && !args.has("--state"));
        for (line, message) in [
            ("--board a", "sim serve needs --stlink-tcp"),
            ("--stlink-tcp", "--stlink-tcp needs <listen>"),
            ("--stlink-tcp a --stlink-tcp b", "--stlink-tcp is given twice"),
            ("--stlink-tcp a --quite", "sim serve: `--quite` is no option of this command; expected one of --board, --state, --quiet"),
        ] {
            assert_eq!(parse(usage, line).unwrap_err().message, message);
        }
    }

    #[test]
    fn an_ambiguous_or_broken_usage_line_is_refused() {
        for (usage, what) in [
            ("x [<addr>] <file>", "a word could be <addr> or <file>"),
            ("x [<addr>] [<count:num>]", "a word could be <addr> or <count>"),
            ("x <a:num>… <b:num>", "a word could be <a> or <b>"),
            ("x (a|a)", "a word could be `a` or `a`"),
            ("x <num> <num>", "`num` stands twice"),
            ("x <number>", "there is no kind `number`"),
            ("x [a", "a `]` is missing"),
            ("x a]", "`]` is out of place"),
            ("x <num", "a `>` is missing"),
            ("x > y", "`>` is out of place"),
            ("x (a|)", "an alternative is empty"),
            ("x …", "repeats nothing"),
            ("x ([a] [b])…", "cannot be repeated"),
            ("x [a --b]", "stands too deep"),
            ("<num>", "so it has no name"),
            ("", "so it has no name"),
        ] {
            let error = Spec::new(usage).unwrap_err();
            assert!(error.message.contains(what), "{usage}: {error}");
        }
    }

    #[test]
    fn what_may_come_next_is_known() {
        let program = spec(PROGRAM);
        let next = program.next(&[]);
        assert_eq!((next.value, next.may_end), (Some(("file".into(), Completion::File)), false));
        let next = program.next(&["a.elf".into(), "verify".into()]);
        assert_eq!(next.literals, ["bin", "elf", "ihex", "s19", "preverify", "reset", "noreset", "exit"]);
        assert_eq!((next.value, next.may_end), (None, true));
    }

    #[test]
    fn a_script_sees_names_groups_and_repeats() {
        let spec = spec("x <file> [bin|elf] [<n:num>…]");
        let items: Vec<_> = spec.items().map(|item| (item.name, item.value, item.group)).collect();
        assert_eq!(
            items,
            [("file", Some(false), None), ("bin", None, Some("bin|elf")), ("elf", None, Some("bin|elf")), ("n", Some(true), None)]
        );
    }

    #[test]
    fn near_words_are_near() {
        assert_eq!(nearest("verfiy", ["verify", "reset"].into_iter()), Some("verify"));
        assert_eq!(nearest("xyz", ["verify", "reset"].into_iter()), None);
        assert_eq!((distance("abc", "acb"), distance("", "ab"), distance("kitten", "sitting")), (1, 2, 3));
    }
}
