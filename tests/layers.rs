//! Who may use whom: docs/DESIGN.md's drawing, checked against every path in src.

use std::fs;
use std::path::{Path, PathBuf};

/// The drawing, from top to bottom: a module may use what stands in a lower row.
const ROWS: &[&[&str]] = &[
    &["main"],
    &["repl", "server"],
    &["host"],
    &["script"],
    &["command"],
    &["session"],
    &["flash", "cortex_m", "desc", "image"],
    &["adi"],
    &["probe"],
    &["tcp", "timing"],
    &["usb"],
    &["event"],
    &["error"],
    &["near"],
];

/// Edges within a row: `plan` is a function of an image, and the loader runs on the core.
const WITHIN: &[(&str, &str)] = &[("flash", "image"), ("flash", "cortex_m")];

/// The embedded board is the far end of the cable: it knows the pipe, and no driver's constant.
const SIM_USES: &[&str] = &["usb", "event", "error"];

/// Who makes boards.
const SIM_USERS: &[&str] = &["host.rs", "command/sim.rs"];

#[test]
fn modules_use_only_what_is_below_them() {
    let mut wrong = vec![];
    for file in sources() {
        let from = file.module().to_string();
        for path in file.paths() {
            let to = path[0].as_str();
            if !allowed(&file.name, &from, to) {
                wrong.push(format!("{}: crate::{}", file.name, path.join("::")));
            }
        }
    }
    assert!(wrong.is_empty(), "edges that docs/DESIGN.md does not draw:\n{}", wrong.join("\n"));
}

fn allowed(file: &str, from: &str, to: &str) -> bool {
    match (from, to) {
        _ if from == to || from == "lib" => true,
        (_, "sim") => SIM_USERS.contains(&file),
        ("sim", _) => SIM_USES.contains(&to),
        _ => row(from) < row(to) || WITHIN.contains(&(from, to)),
    }
}

fn row(module: &str) -> usize {
    let found = ROWS.iter().position(|row| row.contains(&module));
    found.unwrap_or_else(|| panic!("src/{module} is not in docs/DESIGN.md's drawing, or not in this test's copy of it"))
}

#[test]
fn only_script_names_rhai() {
    let names = |file: &Source| file.tokens.windows(2).any(|pair| pair[0] == "rhai" && pair[1] == "::");
    let mut named: Vec<String> = sources().iter().filter(|file| names(file)).map(|file| file.module().to_string()).collect();
    named.dedup();
    assert_eq!(named, ["script"]);
}

#[test]
fn only_main_prints() {
    const MACROS: &[&str] = &["print", "println", "eprint", "eprintln", "dbg"];
    let prints = |file: &Source| file.tokens.windows(2).any(|pair| MACROS.contains(&pair[0].as_str()) && pair[1] == "!");
    // a folder of tests may print its table for --nocapture
    let bound = |file: &Source| file.module() != "main" && !file.name.contains("/tests/");
    let found: Vec<String> = sources().into_iter().filter(|file| bound(file) && prints(file)).map(|file| file.name).collect();
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_reader_of_paths_sees_groups_supers_and_neither_comments_nor_tests() {
    let text = r#"
        //! crate::comment::is_none
        use crate::{error::{Error, Result}, usb};
        use super::{Args, session};
        fn f<'a>(x: &'a str) -> char { let _ = "crate::text"; crate::probe::Width::Byte; 'x' }
        #[cfg(test)]
        mod tests { use crate::sim::Board; }
        use crate::event::Ears;
    "#;
    let seen: Vec<String> = Source::new("command/probe.rs", text).paths().iter().map(|path| path.join("::")).collect();
    let expected = ["error::Error", "error::Result", "usb", "command::Args", "command::session", "probe::Width::Byte", "event::Ears"];
    assert_eq!(seen, expected);
    let top = Source::new("flash/mod.rs", "use super::session::Session; use self::stm32h7::X; use super::super::sim;");
    let seen: Vec<String> = top.paths().iter().map(|path| path.join("::")).collect();
    assert_eq!(seen, ["session::Session", "sim"]);
}

struct Source {
    /// Below src, with `/`.
    name: String,
    /// Without comments, literals and test modules.
    tokens: Vec<String>,
}

impl Source {
    fn new(name: &str, text: &str) -> Source {
        Source { name: name.to_string(), tokens: without_tests(tokens(text)) }
    }

    /// The module directly below the crate that this file belongs to.
    fn module(&self) -> &str {
        self.name.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    /// The modules this file is inside of: `command/probe.rs` is command::probe, `command/mod.rs` is command.
    fn place(&self) -> Vec<String> {
        let stem = self.name.trim_end_matches(".rs").trim_end_matches("/mod");
        stem.split('/').map(str::to_string).collect()
    }

    /// Every path that starts at `crate::` or `super::` (in main also at `rocd::`), from the library's root on.
    fn paths(&self) -> Vec<Vec<String>> {
        let mut found = vec![];
        let mut at = 0;
        while at < self.tokens.len() {
            let start = match self.tokens[at].as_str() {
                // the binary is a crate of its own, which knows the library as `rocd`
                "crate" if self.module() == "main" => Some(vec!["main".to_string()]),
                "rocd" if self.module() == "main" => Some(vec![]),
                "crate" => Some(vec![]),
                "super" => Some(self.place()[..self.place().len().saturating_sub(1)].to_vec()),
                _ => None,
            };
            at += 1;
            match start {
                Some(prefix) if self.is(at, "::") => at = self.tree(at + 1, prefix, &mut found),
                _ => {}
            }
        }
        found.retain(|path| !path.is_empty());
        found
    }

    fn is(&self, at: usize, token: &str) -> bool {
        self.tokens.get(at).is_some_and(|found| found == token)
    }

    /// One path or group behind a `::`; the index after it.
    fn tree(&self, mut at: usize, mut prefix: Vec<String>, found: &mut Vec<Vec<String>>) -> usize {
        if self.is(at, "{") {
            at += 1;
            while at < self.tokens.len() && !self.is(at, "}") {
                at = if self.is(at, ",") { at + 1 } else { self.tree(at, prefix.clone(), found) };
            }
            return at + 1;
        }
        match self.tokens.get(at).map(String::as_str) {
            Some("super") => {
                prefix.pop();
            }
            Some("self") | None => {}
            Some(name) => prefix.push(name.to_string()),
        }
        if self.is(at + 1, "::") {
            return self.tree(at + 2, prefix, found);
        }
        found.push(prefix);
        if self.is(at + 1, "as") { at + 3 } else { at + 1 }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = vec![];
    walk(&root, &mut files);
    files.sort();
    let name = |path: &Path| path.strip_prefix(&root).expect("walk stays below root").to_string_lossy().replace('\\', "/");
    let is_test = |path: &PathBuf| path.file_name().is_some_and(|name| name == "tests.rs");
    let files = files.into_iter().filter(|path| !is_test(path));
    files.map(|path| Source::new(&name(&path), &fs::read_to_string(&path).unwrap())).collect()
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// Words, `::` and single characters; comments, strings and characters are left out.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = vec![];
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let len = match first {
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            _ if rest.starts_with("r#\"") => rest[3..].find("\"#").map_or(rest.len(), |end| end + 5),
            _ if rest.starts_with("r\"") => rest[2..].find('"').map_or(rest.len(), |end| end + 3),
            '"' => string_len(rest),
            '\'' => char_len(rest),
            _ if word(first) => {
                let len = rest.find(|c| !word(c)).unwrap_or(rest.len());
                tokens.push(rest[..len].to_string());
                len
            }
            _ if first.is_whitespace() => first.len_utf8(),
            _ => {
                let len = if rest.starts_with("::") { 2 } else { first.len_utf8() };
                tokens.push(rest[..len].to_string());
                len
            }
        };
        rest = &rest[len..];
    }
    tokens
}

fn word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn string_len(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// A character literal, or just the quote of a lifetime.
fn char_len(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some((at, c))) => text[at + c.len_utf8()..].find('\'').map_or(1, |end| at + c.len_utf8() + end + 1),
        (_, Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

/// Leaves out what `#[cfg(test)]` stands before: tests may use the board from anywhere.
fn without_tests(tokens: Vec<String>) -> Vec<String> {
    const MARK: [&str; 7] = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut kept = vec![];
    let mut at = 0;
    while at < tokens.len() {
        if tokens[at..].iter().zip(MARK).filter(|(token, mark)| token == mark).count() == MARK.len() {
            at = item_end(&tokens, at + MARK.len());
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

/// The index after the `;` or the closing brace of the item that starts here.
fn item_end(tokens: &[String], start: usize) -> usize {
    let mut depth = 0;
    for (at, token) in tokens.iter().enumerate().skip(start) {
        match token.as_str() {
            "{" => depth += 1,
            "}" if depth == 1 => return at + 1,
            "}" => depth -= 1,
            ";" if depth == 0 => return at + 1,
            _ => {}
        }
    }
    tokens.len()
}
