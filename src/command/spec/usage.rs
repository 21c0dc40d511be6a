//! A usage line, read: text to tree to automaton.

use super::{Opt, Spec, State, Symbol};

/// Brackets within brackets: far above what a reader follows, far below what a stack holds.
const DEEPEST: usize = 16;
/// Words and brackets of one usage line: the automaton grows with their cube.
const LONGEST: usize = 256;

/// The usage line as a tree.
enum Node {
    Word(Symbol),
    Sequence(Vec<Node>),
    Choice(Vec<Node>),
    Optional(Box<Node>),
    Repeat(Box<Node>),
    AnyOrder(Vec<Node>),
}

/// Why a usage line is refused.
type Read<T> = Result<T, String>;

pub(super) fn read(usage: &str) -> Read<Spec> {
    Reader::read(usage).and_then(Builder::build)
}

/// Usage text to tree.
struct Reader {
    tokens: Vec<String>,
    at: usize,
    depth: usize,
}

impl Reader {
    fn read(usage: &str) -> Read<(String, Vec<String>, Node)> {
        let mut reader = Reader { tokens: tokens(usage)?, at: 0, depth: 0 };
        if reader.tokens.len() > LONGEST {
            return Err(format!("has {} words and brackets, {LONGEST} are the most", reader.tokens.len()));
        }
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
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(format!("brackets stand more than {DEEPEST} deep"));
        }
        let mut list = vec![self.sequence()?];
        while self.take("|") {
            list.push(self.sequence()?);
        }
        if list.iter().any(|node| matches!(node, Node::Sequence(items) if items.is_empty())) {
            return Err("an alternative is empty".into());
        }
        self.depth -= 1;
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
                    let value = items.next_if(is_value);
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
