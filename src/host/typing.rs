//! What a front-end asks while a line is being typed: how it may go on, and what each part of it is.

use super::Host;
use crate::command::line::{Piece, What, constants, pieces, plain_words, quote};
use crate::command::sim::chips;
use crate::command::spec::Completion;
use crate::command::svd::peripherals;
use crate::command::{Entry, reserved};
use crate::desc::HOOKS;
use std::ops::Range;
use std::rc::Rc;

/// Hints and colours of a longer text would cost more than they help.
pub const LONGEST_COLOURED: usize = 4096;

/// What a part of a line is, for a front-end's colours. What is not marked is plain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// The name of a command.
    Command,
    /// A string or a number.
    Constant,
    /// Names nothing, or fits nothing where it stands.
    Unknown,
}

/// How a line may go on: where the word begins that is being typed, and what may stand there instead, with the blank that follows.
#[derive(Debug, Default, PartialEq)]
pub struct Choices {
    pub start: usize,
    pub words: Vec<String>,
}

/// Values that are no kind of their own: command and name of the value, and what there is.
type Names = fn(&Host) -> Vec<String>;
const NAMES: &[(&str, &str, Names)] = &[
    ("symbol", "symbol", |host| host.values(Completion::Symbol)),
    ("watch", "expr", |host| [host.values(Completion::Register), host.values(Completion::Symbol)].concat()),
    ("hook", "event", |_| HOOKS.iter().map(|event| event.to_string()).collect()),
    ("hook", "function", |host| host.defined()),
    ("targets", "name", |host| host.session_names(|session| session.core_names())),
    ("sim chip", "name", |_| chips()),
    ("sim run", "chip", |_| chips()),
    ("help", "words", |host| host.cx.commands.borrow().iter().map(|entry| entry.name().to_string()).chain(topics()).collect()),
];

fn topics() -> impl Iterator<Item = String> {
    ["lines", "usage"].map(str::to_string).into_iter()
}

/// The last command of a line as it is typed.
struct Typed {
    entry: Option<Rc<Entry>>,
    /// Complete words behind the command's name, or, where no command is named yet, of the name.
    words: Vec<String>,
    /// Where the word begins that is being typed, and its text.
    start: usize,
    word: String,
}

impl Host {
    /// What may stand where a line, complete up to here, is being typed.
    pub fn choices(&self, line: &str) -> Choices {
        let typed = self.typed(line);
        let mut words = Vec::new();
        if let Some(entry) = &typed.entry {
            let next = entry.spec.next(&typed.words);
            words.extend(next.literals);
            if let Some((name, kind)) = next.value {
                let named = NAMES.iter().find(|row| (row.0, row.1) == (entry.name(), &name));
                words.extend(named.map_or_else(|| self.values(kind.completion), |row| (row.2)(self)));
                if kind.completion == Completion::Register {
                    words.extend(peripherals(&self.cx, &typed.word));
                }
                if kind.completion == Completion::File {
                    return Choices { start: typed.start, words: files(&typed.word) };
                }
            }
        }
        let names: Vec<String> = typed.entry.iter().flat_map(|entry| entry.name().split(' ')).map(str::to_string).collect();
        words.extend(self.cx.commands.borrow().next_words(&[names, typed.words.clone()].concat()));
        if typed.entry.is_none() && typed.words.is_empty() {
            words.extend(self.defined());
        }
        words.retain(|word| word.starts_with(&typed.word));
        words.sort();
        words.dedup();
        Choices { start: typed.start, words: words.into_iter().map(|word| word + " ").collect() }
    }

    /// The rest of a command's usage line behind its name, then what may come next.
    pub fn hint(&self, line: &str) -> Option<String> {
        if line.len() > LONGEST_COLOURED {
            return None;
        }
        let typed = self.typed(line);
        let whole = self.typed(&format!("{line} "));
        let entry = whole.entry.filter(|_| typed.word.is_empty() || (whole.words.is_empty() && self.choices(line).words.len() <= 1))?;
        let hint = match whole.words.is_empty() {
            true => entry.spec.usage[entry.name().len()..].trim_start().to_string(),
            false => entry.spec.next(&whole.words).to_string(),
        };
        let blank = if typed.word.is_empty() { "" } else { " " };
        (!hint.is_empty()).then(|| format!("{blank}{hint}"))
    }

    /// The parts of a line that have a meaning of their own, in order.
    pub fn marks(&self, line: &str) -> Vec<(Range<usize>, Mark)> {
        if line.len() > LONGEST_COLOURED {
            return Vec::new();
        }
        let pieces = pieces(line, &self.cx.commands.borrow());
        let mut marks = Vec::new();
        for (nth, piece) in pieces.iter().enumerate() {
            match &piece.what {
                What::Name(entry) => {
                    marks.push((piece.range.clone(), Mark::Command));
                    let words = &pieces[nth + 1..];
                    let count = words.iter().position(|piece| matches!(piece.what, What::Name(_) | What::Rest)).unwrap_or(words.len());
                    self.mark_words(line, entry, &words[..count], &mut marks);
                }
                What::Rest => self.mark_rest(line, piece.range.clone(), &mut marks),
                _ => {}
            }
        }
        marks
    }

    fn mark_words(&self, line: &str, entry: &Rc<Entry>, pieces: &[Piece], marks: &mut Vec<(Range<usize>, Mark)>) {
        let word = |piece: &Piece| match &piece.what {
            What::Word(word) | What::Open(word) => word.clone(),
            // what it comes to is not known yet
            _ => "0".to_string(),
        };
        let words: Vec<String> = pieces.iter().map(word).collect();
        for (piece, fits) in pieces.iter().zip(entry.spec.fits(&words, &|name| self.cx.symbol(name))) {
            let typing = piece.range.end == line.len() && !self.choices(line).words.is_empty();
            match (&piece.what, &line[piece.range.clone()]) {
                (What::Word(_), _) if !fits && !typing => marks.push((piece.range.clone(), Mark::Unknown)),
                (_, text) if text.starts_with(|c: char| c.is_ascii_digit() || ['"', '{'].contains(&c)) => {
                    marks.push((piece.range.clone(), Mark::Constant));
                }
                _ => {}
            }
        }
    }

    /// Rhai, or a name that there is not.
    fn mark_rest(&self, line: &str, range: Range<usize>, marks: &mut Vec<(Range<usize>, Mark)>) {
        let rest = &line[range.clone()];
        let first = plain_words(rest).first().copied().unwrap_or_default();
        let name = first.split('.').next().unwrap_or_default();
        let known = name.is_empty() || reserved(name) || self.defined().iter().any(|known| known == name);
        let typing = rest.trim_end() == rest && !self.choices(line).words.is_empty();
        if !known && !typing && self.cx.commands.borrow().function(name).is_none() {
            marks.push((range.start..range.start + first.len(), Mark::Unknown));
            return;
        }
        marks.extend(constants(rest).into_iter().map(|part| (range.start + part.start..range.start + part.end, Mark::Constant)));
    }

    fn typed(&self, line: &str) -> Typed {
        let pieces = pieces(line, &self.cx.commands.borrow());
        let name = pieces.iter().rposition(|piece| matches!(piece.what, What::Name(_) | What::Rest)).unwrap_or(0);
        let (mut entry, mut words) = (None, Vec::new());
        for piece in &pieces[name..] {
            match &piece.what {
                What::Name(named) if piece.range.end < line.len() => entry = Some(named.clone()),
                What::Name(_) | What::Rest => {
                    let text = &line[piece.range.clone()];
                    let start = |word: &str| word.as_ptr() as usize - line.as_ptr() as usize;
                    words.extend(text.split_whitespace().map(|word| (start(word), start(word) + word.len(), word.to_string())));
                }
                What::Word(word) | What::Open(word) => words.push((piece.range.start, piece.range.end, word.clone())),
                What::Expression => words.push((piece.range.start, piece.range.end, "0".to_string())),
            }
        }
        let (start, word) = match words.pop_if(|(_, end, _)| *end == line.len()) {
            Some((start, _, word)) => (start, word),
            None => (line.len(), String::new()),
        };
        Typed { entry, words: words.into_iter().map(|(_, _, word)| word).collect(), start, word }
    }

    fn values(&self, completion: Completion) -> Vec<String> {
        match completion {
            Completion::Symbol => self.cx.names.borrow().symbols.iter().map(|symbol| symbol.name.clone()).collect(),
            Completion::Register => self.session_names(|session| {
                let registers = session.registers(self.cx.core.get()).unwrap_or_default();
                registers.iter().map(|register| register.name.to_string()).collect()
            }),
            Completion::None | Completion::File => Vec::new(),
        }
    }

    /// Nobody attaches to complete a word.
    fn session_names(&self, names: impl FnOnce(&mut super::Session) -> Vec<String>) -> Vec<String> {
        self.cx.session.borrow_mut().as_mut().map(names).unwrap_or_default()
    }
}

/// The files and folders whose path begins so; a path with blanks in quotes, which stay open behind a folder.
fn files(word: &str) -> Vec<String> {
    let (folder, name) = word.split_at(word.rfind(std::path::is_separator).map_or(0, |last| last + 1));
    let entries = std::fs::read_dir(if folder.is_empty() { "." } else { folder }).into_iter().flatten().flatten();
    let path = |entry: std::fs::DirEntry| {
        let found = entry.file_name().into_string().ok()?;
        let wanted = found.starts_with(name) && (name.starts_with('.') || !found.starts_with('.'));
        let path = quote(&format!("{folder}{found}"));
        wanted.then(|| if entry.path().is_dir() { path.trim_end_matches('"').to_string() + "/" } else { path + " " })
    };
    let mut paths: Vec<String> = entries.filter_map(path).collect();
    paths.sort();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Settings;
    use crate::event::Silent;
    use crate::host::Cancel;

    fn host() -> Host {
        let host = Host::new(Rc::new(Silent), Cancel::default(), Settings::default(), 0).unwrap();
        host.line("command(\"lamp (on|off) [<times:num>]\", \"\", |a| {}); fn flicker() {}", &mut |_| {}).unwrap();
        host
    }

    #[test]
    fn completion_knows_names_literals_and_where_values_stand() {
        let host = host();
        for (line, start, words) in [
            ("lam", 0, vec!["lamp "]),
            ("lamp", 0, vec!["lamp "]),
            ("echo a; lamp o", 13, vec!["off ", "on "]),
            ("lamp on o", 8, vec![]),
            ("flash ba", 6, vec!["banks "]),
            ("flick", 0, vec!["flicker "]),
            ("help lin", 5, vec!["lines "]),
            ("sim chip stm32g07", 9, vec!["stm32g071 "]),
            ("echo \"a; b", 5, vec![]),
            ("let x = lam", 8, vec![]),
        ] {
            let words: Vec<String> = words.into_iter().map(str::to_string).collect();
            assert_eq!(host.choices(line), Choices { start, words }, "{line}");
        }
    }

    #[test]
    fn peripherals_complete_with_their_registers_and_a_register_with_its_fields() {
        let host = host();
        host.line("svd tests/firmware/small.svd", &mut |_| {}).unwrap();
        let words = |line: &str| host.choices(line).words;
        assert_eq!(words("reg RAM2.CR"), ["RAM2.CR ", "RAM2.CR2 "]);
        assert_eq!(words("reg RAM.CR.EN"), ["RAM.CR.EN ", "RAM.CR.EN2 "]);
        assert_eq!(words("reg DB"), ["DBG ", "DBG.IDCODE "]);
        assert_eq!(words("reg RAM.ST[1]"), ["RAM.ST[1] ", "RAM.ST[1].NDTR "]);
    }

    #[test]
    fn the_usage_line_is_the_hint() {
        let host = host();
        for (line, hint) in [
            ("lamp ", Some("(on|off) [<times:num>]")),
            ("lamp", Some(" (on|off) [<times:num>]")),
            ("lamp o", None),
            ("lamp on ", Some("[<times>]")),
            ("lamp on 3 ", None),
            ("sim flas", None),
            ("nothing ", None),
        ] {
            assert_eq!(host.hint(line).as_deref(), hint, "{line}");
        }
    }

    #[test]
    fn every_part_of_a_line_has_its_mark() {
        use Mark::{Command, Constant, Unknown};
        let host = host();
        for (line, marks) in [
            ("lamp on 3", vec![("lamp", Command), ("3", Constant)]),
            ("lamp up 3", vec![("lamp", Command), ("up", Unknown), ("3", Unknown)]),
            ("lamp o", vec![("lamp", Command)]),
            ("lamp ox", vec![("lamp", Command), ("ox", Unknown)]),
            ("echo \"a b", vec![("echo", Command), ("\"a b", Constant)]),
            ("echo hi; flas", vec![("echo", Command)]),
            ("flsh banks", vec![("flsh", Unknown)]),
            ("let v = f(`a`) + 0x20 // 3", vec![("`a`", Constant), ("0x20", Constant)]),
            ("flicker(); x", vec![]),
        ] {
            let found: Vec<(&str, Mark)> = host.marks(line).into_iter().map(|(range, mark)| (&line[range], mark)).collect();
            assert_eq!(found, marks, "{line}");
        }
    }

    #[test]
    fn files_complete_with_their_folder() {
        let folder = tempfile::tempdir().unwrap();
        let inside = folder.path().join("my scripts");
        std::fs::create_dir(&inside).unwrap();
        std::fs::write(inside.join("lab.rhai"), "").unwrap();
        let (host, at) = (host(), folder.path().display().to_string());
        assert_eq!(host.choices(&format!("echo a; script {at}/m")).words, [format!("\"{at}/my scripts/")]);
        let file = Choices { start: 15, words: vec![format!("\"{at}/my scripts/lab.rhai\" ")] };
        assert_eq!(host.choices(&format!("echo a; script \"{at}/my scripts/l")), file);
    }
}
