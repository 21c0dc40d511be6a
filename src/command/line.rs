//! What a line is: command words or Rhai. `RULE` says it to the user, `part` decides it.

use super::{Commands, Entry};
use crate::error::{Error, Result};
use std::ops::Range;
use std::rc::Rc;

/// `help lines`
pub const RULE: &str = "\
A line is a command when its first word (or words, as in `flash banks`) names one, and neither `(` follows
at once nor, after blanks, a single `=`. Anything else is Rhai.

  reset halt                     a command: words, with blanks between them
  mdw 0x20000000 4; resume       `;` or a new line separates; what follows is judged anew
  let n = 4; print(n)            the first part that is no command takes everything to the end as Rhai
  program(\"app.elf\", \"reset\")    Rhai: the same command as a function (a blank in a name becomes `_`)
  reset = 5                      Rhai: an assignment

A word with blanks in it stands in \"…\" or {…}; inside, every character stands for itself, and {…} may be nested.
A word that is wholly ( … ) is a Rhai expression: mww (base + 4) 1. Nothing else is substituted.
Comments (// and /* */) may stand where a command may begin. A .rhai file is Rhai only; the words of rocd's own
command line are one command, and never Rhai.";

/// One word of a command.
#[derive(Clone, Debug, PartialEq)]
pub struct Word {
    pub text: String,
    /// It was wholly `( … )`: a Rhai expression, with its parentheses.
    pub expression: bool,
}

/// What a text begins with.
pub enum Part<'a> {
    Command {
        entry: Rc<Entry>,
        /// Behind the name.
        words: Vec<Word>,
        /// As it was typed.
        text: &'a str,
        /// What follows the separator.
        rest: &'a str,
    },
    /// Everything to the end.
    Rhai(&'a str),
}

/// A text whose quote or parenthesis is still open, or has something stuck to it.
struct Broken {
    unfinished: bool,
    message: String,
}

type Scan<T> = std::result::Result<T, Broken>;

/// Judge what `text` begins with; `None`: nothing is left.
pub fn part<'a>(text: &'a str, commands: &Commands) -> Result<Option<Part<'a>>> {
    scan(text, commands).map_err(|broken| Error::usage(broken.message).hint("`help lines` explains words and quotes"))
}

/// The text ends inside a quote, braces or parentheses, so another line may follow. (Of Rhai, its parser decides.)
pub fn unfinished(text: &str, commands: &Commands) -> bool {
    let mut rest = text;
    loop {
        match scan(rest, commands) {
            Ok(Some(Part::Command { rest: after, .. })) => rest = after,
            Ok(_) => return false,
            Err(broken) => return broken.unfinished,
        }
    }
}

/// A piece of a text as it is typed, with where it stands: for completion and colours.
pub struct Piece {
    pub range: Range<usize>,
    pub what: What,
}

pub enum What {
    /// A command's name.
    Name(Rc<Entry>),
    Word(String),
    /// A word that is an expression.
    Expression,
    /// A word whose quote or brace is still open, without it.
    Open(String),
    /// What is no command, to the end of the text: Rhai, a mistyped name, or nothing yet.
    Rest,
}

/// The pieces of a text that need not be finished.
pub fn pieces(text: &str, commands: &Commands) -> Vec<Piece> {
    let (mut pieces, mut at) = (Vec::new(), 0);
    loop {
        at += start(&text[at..]);
        let Some((entry, behind)) = named(&text[at..], commands) else { break };
        pieces.push(Piece { range: at..at + behind, what: What::Name(entry) });
        at += behind;
        loop {
            at += text[at..].find(|c: char| c == '\n' || !c.is_whitespace()).unwrap_or(text.len() - at);
            if text[at..].is_empty() {
                return pieces;
            }
            if text[at..].starts_with([';', '\n']) {
                break;
            }
            let (what, len) = match word(&text[at..]) {
                Ok((Word { expression: true, .. }, len)) => (What::Expression, len),
                Ok((word, len)) => (What::Word(word.text), len),
                Err(_) => (What::Open(text[at + 1..].to_string()), text.len() - at),
            };
            pieces.push(Piece { range: at..at + len, what });
            at += len;
        }
    }
    pieces.push(Piece { range: at..text.len(), what: What::Rest });
    pieces
}

/// What catches the eye in Rhai: strings and numbers.
pub fn constants(text: &str) -> Vec<Range<usize>> {
    let (mut found, mut at) = (Vec::new(), 0);
    while let Some(c) = text[at..].chars().next() {
        let name = |c: char| c.is_alphanumeric() || c == '_';
        let (len, constant) = match c {
            '"' | '`' | '\'' => (quoted(&text[at..], c).unwrap_or(text.len() - at), true),
            '/' if comment(&text[at..]) > 0 => (comment(&text[at..]), false),
            c if name(c) => (text[at..].find(|c| !name(c)).unwrap_or(text.len() - at), c.is_ascii_digit()),
            c => (c.len_utf8(), false),
        };
        found.extend(constant.then_some(at..at + len));
        at += len;
    }
    found
}

/// The plain words a text begins with, two at most, if it looks like a command: for "unknown command".
pub fn plain_words(text: &str) -> Vec<&str> {
    let line = text.split(['\n', ';']).next().unwrap_or_default();
    let plain = |word: &&str| word.starts_with(|c: char| c.is_alphabetic() || c == '_') && !word.contains(['(', '=', '"', '\'', '`']);
    let mut words = line.split_whitespace();
    let Some(first) = words.next().filter(plain) else { return Vec::new() };
    match words.next() {
        Some(next) if is_operator(next) => Vec::new(),
        Some(next) if plain(&next) => vec![first, next],
        _ => vec![first],
    }
}

/// `=`, `+=`, `=>` … behind a word make it Rhai.
fn is_operator(word: &str) -> bool {
    word.starts_with('=') || (word.ends_with('=') && !word.starts_with(char::is_alphanumeric))
}

fn scan<'a>(text: &'a str, commands: &Commands) -> Scan<Option<Part<'a>>> {
    let text = text[start(text)..].trim_end();
    if text.is_empty() {
        return Ok(None);
    }
    let Some((entry, behind)) = named(text, commands) else { return Ok(Some(Part::Rhai(text))) };
    let mut words = Vec::new();
    let mut at = behind;
    loop {
        at += text[at..].find(|c: char| c == '\n' || !c.is_whitespace()).unwrap_or(text.len() - at);
        if text[at..].is_empty() || text[at..].starts_with([';', '\n']) {
            let rest = text.get(at + 1..).unwrap_or_default();
            return Ok(Some(Part::Command { entry, words, text: text[..at].trim_end(), rest }));
        }
        let (word, len) = word(&text[at..])?;
        words.push(word);
        at += len;
    }
}

/// Past blanks, separators and comments.
fn start(text: &str) -> usize {
    let mut at = 0;
    loop {
        at += text[at..].find(|c: char| c != ';' && !c.is_whitespace()).unwrap_or(text.len() - at);
        match comment(&text[at..]) {
            0 => return at,
            len => at += len,
        }
    }
}

/// The length of the comment that a text begins with.
fn comment(text: &str) -> usize {
    if text.starts_with("//") {
        text.find('\n').unwrap_or(text.len())
    } else if text.starts_with("/*") {
        text.find("*/").map_or(0, |end| end + 2)
    } else {
        0
    }
}

/// The command that the text's first words name, and where they end.
fn named(text: &str, commands: &Commands) -> Option<(Rc<Entry>, usize)> {
    let line = text.split(['\n', ';']).next().unwrap_or_default();
    let names: Vec<&str> = line.split_whitespace().collect();
    let (entry, count) = commands.find(&names)?;
    let last = names[count - 1];
    let behind = last.as_ptr() as usize - text.as_ptr() as usize + last.len();
    let next = text[behind..].trim_start_matches([' ', '\t']);
    let assigned = next.starts_with('=') && !next.starts_with("==");
    (!assigned).then_some((entry, behind))
}

/// One word and the length it takes up.
fn word(text: &str) -> Scan<(Word, usize)> {
    let plain = |text: &str, len| (Word { text: text.to_string(), expression: false }, len);
    match text.as_bytes().first() {
        Some(b'"') => {
            let end = text[1..].find('"').ok_or_else(|| open("\""))? + 2;
            alone(text, end)?;
            Ok(plain(&text[1..end - 1], end))
        }
        Some(b'{') => {
            let end = braces(text).ok_or_else(|| open("}"))?;
            alone(text, end)?;
            Ok(plain(&text[1..end - 1], end))
        }
        Some(b'(') => {
            let end = expression(text).ok_or_else(|| open(")"))?;
            match ends_word(&text[end..]) {
                true => Ok((Word { text: text[..end].to_string(), expression: true }, end)),
                false => Ok(run(text)),
            }
        }
        _ => Ok(run(text)),
    }
}

fn run(text: &str) -> (Word, usize) {
    let end = text.find(|c: char| c == ';' || c.is_whitespace()).unwrap_or(text.len());
    (Word { text: text[..end].to_string(), expression: false }, end)
}

fn open(close: &str) -> Broken {
    Broken { unfinished: true, message: format!("a closing `{close}` is missing") }
}

fn ends_word(after: &str) -> bool {
    after.is_empty() || after.starts_with(|c: char| c == ';' || c.is_whitespace())
}

fn alone(text: &str, end: usize) -> Scan<()> {
    if ends_word(&text[end..]) {
        return Ok(());
    }
    let (stuck, _) = run(&text[end..]);
    Err(Broken { unfinished: false, message: format!("`{}` follows {} without a blank", stuck.text, &text[..end]) })
}

/// Behind the brace that closes the first.
fn braces(text: &str) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        depth += i32::from(c == '{') - i32::from(c == '}');
        if depth == 0 {
            return Some(at + 1);
        }
    }
    None
}

/// Behind the parenthesis that closes the first, as Rhai sees it: strings and comments are passed over.
fn expression(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        at += match c {
            '"' | '`' | '\'' => quoted(&text[at..], c)?,
            '/' if comment(&text[at..]) > 0 => comment(&text[at..]),
            c => c.len_utf8(),
        };
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth == 0 {
            return Some(at);
        }
    }
    None
}

/// The length of a Rhai string with its quotes; `\` takes the next character with it.
fn quoted(text: &str, quote: char) -> Option<usize> {
    let mut chars = text.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// The plain words of a text, quotes taken off.
#[cfg(test)]
pub fn words(text: &str) -> Result<Vec<String>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (next, len) = word(rest).map_err(|broken| Error::usage(broken.message))?;
        assert!(!next.expression, "{text}");
        words.push(next.text);
        rest = rest[len..].trim_start();
    }
    Ok(words)
}

/// A word as it must be typed to be one word.
pub fn quote(word: &str) -> String {
    let plain = !word.is_empty() && !word.contains(|c: char| c == ';' || c.is_whitespace()) && !word.starts_with(['"', '{', '(']);
    if plain {
        word.to_string()
    } else if word.contains('"') || (word.contains(['{', '}']) && braces(&format!("{{{word}}}")) == Some(word.len() + 2)) {
        format!("{{{word}}}")
    } else {
        format!("\"{word}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{Action, Value};

    fn commands() -> Commands {
        let mut commands = Commands::default();
        for usage in
            ["reset [run|halt|init]", "mdw <addr>", "echo [<text>…]", "flash banks", "flash erase_sector <num>", "sim", "sim flash"]
        {
            commands.add(Entry::new(usage, "", "", Action::BuiltIn(|_, _| Ok(Value::None))).unwrap());
        }
        commands
    }

    /// A text as its parts: `name[word|word]`, expressions in «…», Rhai as `rhai:…`.
    fn parts(text: &str) -> String {
        let (commands, mut rest, mut out) = (commands(), text, Vec::new());
        loop {
            match part(rest, &commands) {
                Ok(Some(Part::Command { entry, words, rest: after, .. })) => {
                    let show = |word: &Word| if word.expression { format!("«{}»", word.text) } else { word.text.clone() };
                    out.push(format!("{}[{}]", entry.name(), words.iter().map(show).collect::<Vec<_>>().join("|")));
                    rest = after;
                }
                Ok(Some(Part::Rhai(rhai))) => {
                    out.push(format!("rhai:{rhai}"));
                    break;
                }
                Ok(None) => break,
                Err(error) => {
                    out.push(error.message);
                    break;
                }
            }
        }
        out.join(" & ")
    }

    #[test]
    fn the_line_rule() {
        for (text, want) in [
            ("", ""),
            (" ;; \n ", ""),
            ("reset", "reset[]"),
            ("  reset halt  ", "reset[halt]"),
            ("reset\thalt\r", "reset[halt]"),
            ("reset; mdw 0x0", "reset[] & mdw[0x0]"),
            ("reset\nmdw 0x0;", "reset[] & mdw[0x0]"),
            // Not followed at once by `(` …
            ("reset(\"halt\")", "rhai:reset(\"halt\")"),
            ("reset (1)", "reset[«(1)»]"),
            // … nor by a single `=`.
            ("reset = 5", "rhai:reset = 5"),
            ("reset =5; mdw 0", "rhai:reset =5; mdw 0"),
            ("reset=5", "rhai:reset=5"),
            ("reset == 5", "reset[==|5]"),
            ("flash banks = 1", "rhai:flash banks = 1"),
            // Names of several words: the longest wins, on one line.
            ("flash banks", "flash banks[]"),
            ("flash   erase_sector 1", "flash erase_sector[1]"),
            ("sim flash", "sim flash[]"),
            ("sim chip", "sim[chip]"),
            ("sim\nflash", "sim[] & rhai:flash"),
            ("flash", "rhai:flash"),
            ("flash(1)", "rhai:flash(1)"),
            ("flash_banks()", "rhai:flash_banks()"),
            // The first part that is no command takes the rest.
            ("reset; let a = 1; reset", "reset[] & rhai:let a = 1; reset"),
            ("let v = mdw(0); print(v)", "rhai:let v = mdw(0); print(v)"),
            ("resetx", "rhai:resetx"),
            // Quotes and braces.
            ("echo \"a b; c\" d", "echo[a b; c|d]"),
            ("echo {a {b} \"c} d", "echo[a {b} \"c|d]"),
            ("echo {two\nlines}; reset", "echo[two\nlines] & reset[]"),
            ("echo \"\" {}", "echo[|]"),
            ("echo \"C:\\dir\\\" x", "echo[C:\\dir\\|x]"),
            ("echo a\"b c\"d", "echo[a\"b|c\"d]"),
            ("echo \"(1)\" {(2)}", "echo[(1)|(2)]"),
            ("echo \"a\"b", "`b` follows \"a\" without a blank"),
            ("echo \"a", "a closing `\"` is missing"),
            ("echo {a {b}", "a closing `}` is missing"),
            // Expressions.
            ("mdw (base + 4)", "mdw[«(base + 4)»]"),
            ("mdw (f(\")\", `)`, ')') /* ) */ + 1); reset", "mdw[«(f(\")\", `)`, ')') /* ) */ + 1)»] & reset[]"),
            ("mdw (a\n + b)", "mdw[«(a\n + b)»]"),
            ("mdw (a)b", "mdw[(a)b]"),
            ("mdw a(b c)", "mdw[a(b|c)]"),
            ("mdw (a", "a closing `)` is missing"),
            // Comments where a command may begin, and only there.
            ("// first\nreset", "reset[]"),
            ("/* first */ reset // second", "reset[//|second]"),
            ("// nothing", ""),
            ("echo http://x", "echo[http://x]"),
            ("2 + 2", "rhai:2 + 2"),
        ] {
            assert_eq!(parts(text), want, "{text:?}");
        }
    }

    #[test]
    fn a_quoted_word_is_one_word_again() {
        for word in ["a", "", "a b", "a;b", "say \"hi\" now", "{a b}", "(x)", "tab\there", "C:\\a b\\", "new\nline", "\"x"] {
            let text = format!("echo {}", quote(word));
            let commands = commands();
            let Ok(Some(Part::Command { words, .. })) = part(&text, &commands) else { panic!("{text}") };
            assert_eq!(words, [Word { text: word.to_string(), expression: false }], "{text}");
        }
    }
}
