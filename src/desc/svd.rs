//! CMSIS-SVD (Arm, CMSIS-SVD 1.3.10): the names of a chip's peripherals, their registers and fields; the XML by crate roxmltree.
//!
//! svd-parser would do as much, but needs a regex engine, and follows elements that derive from each other without end.

use crate::error::{Error, Result};
use roxmltree::{Document, Node};
use std::collections::BTreeSet;
use std::ops::Range;

/// More registers, fields in one, or clusters in clusters, are no chip's: `dim` can ask for any number.
const MOST: usize = 1 << 16;
const MOST_FIELDS: usize = 64;
const DEEPEST: usize = 8;
/// In all, copies too (assumed: ten times the largest file in use).
const MOST_VALUES: usize = 1 << 21;
const LONGEST_CHAIN: usize = 16;

#[derive(Debug, Default)]
pub struct Svd {
    pub path: String,
    pub device: String,
    pub registers: Vec<Register>,
    /// The first field that was left out, in words, and where in the file all are.
    outside: (String, BTreeSet<usize>),
    /// Copies of registers and clusters so far; of fields, their values included.
    copied: usize,
    fields: usize,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Access {
    pub read: bool,
    pub write: bool,
}

#[derive(Clone, Debug)]
pub struct Register {
    /// `RCC.CR`; through clusters, if it is in any: `DMA.ST0.CR`.
    pub name: String,
    pub what: String,
    pub address: u32,
    pub bits: u64,
    pub access: Access,
    /// A read changes something.
    pub acts: bool,
    /// Bits where a 1 acts, and bits where a 0 does: what a write of other bits must not copy.
    pub ones: u64,
    pub zeros: u64,
    /// From the highest bit down.
    pub fields: Vec<Field>,
}

#[derive(Clone, Debug)]
pub struct Field {
    pub name: String,
    pub what: String,
    /// Bits.
    pub at: Range<u64>,
    pub access: Access,
    /// Mask, value and meaning; the first that fits.
    pub values: Vec<(u64, u64, String)>,
}

impl Field {
    fn mask(&self) -> u64 {
        (u64::MAX >> (64 - (self.at.end - self.at.start))) << self.at.start
    }

    pub fn of(&self, value: u64) -> u64 {
        (value & self.mask()) >> self.at.start
    }

    /// What a field that holds `value` means; without a word for it what the field is.
    pub fn meaning(&self, value: u64) -> &str {
        self.values.iter().find(|row| value & row.0 == row.1).map_or(&self.what, |row| &row.2)
    }
}

impl Register {
    /// The register with this field changed and everything else as it is. `None`: `value` does not fit.
    pub fn with(&self, field: &Field, old: u64, value: u64) -> Option<u64> {
        let kept = old & !self.ones | self.zeros;
        let placed = value << field.at.start;
        (field.of(placed) == value).then_some(kept & !field.mask() | placed & field.mask())
    }
}

/// What registers and fields have from what is around them.
#[derive(Clone, Copy)]
struct Usual {
    bits: u64,
    access: Access,
}

impl Svd {
    /// Kind image: it is no SVD, or a faulty one.
    pub fn parse(path: &str, text: &str) -> Result<Svd> {
        let wrong = |why: String| Error::image(format!("{path} is no SVD file: {why}"));
        let document = Document::parse(text).map_err(|error| wrong(error.to_string()))?;
        let device = document.root_element();
        if !device.has_tag_name("device") {
            return Err(wrong(format!("it begins with <{}>, not <device>", device.tag_name().name())));
        }
        let mut svd = Svd { path: path.into(), device: text_of(&[device], "name").unwrap_or_default().into(), ..Svd::default() };
        let usual = svd.usual(&[device], Usual { bits: 32, access: Access { read: true, write: true } })?;
        for node in device.children().filter(|node| node.has_tag_name("peripherals")).flat_map(|node| node.children()) {
            if node.has_tag_name("peripheral") {
                let chain = svd.chain(node)?;
                let Some(registers) = child(&chain, "registers") else { continue };
                let (base, usual) = (svd.need(&chain, "baseAddress")?, svd.usual(&chain, usual)?);
                for (name, offset) in svd.copies(&chain)? {
                    svd.level(registers, &name, base.saturating_add(offset), usual, 0)?;
                }
            }
        }
        Ok(svd)
    }

    /// What a user should hear of fields that no register can have.
    pub fn left_out(&self) -> Option<String> {
        let (first, all) = &self.outside;
        match all.len() {
            0 => None,
            1 => Some(first.clone()),
            count => Some(format!("{first}; {} others are not, either", count - 1)),
        }
    }

    /// The register of this name, and the field if the name is a field's.
    pub fn find(&self, name: &str) -> Option<(&Register, Option<&Field>)> {
        let register = |name: &str| self.registers.iter().find(|register| register.name.eq_ignore_ascii_case(name));
        register(name).map(|register| (register, None)).or_else(|| {
            let (owner, field) = name.rsplit_once('.')?;
            let owner = register(owner)?;
            Some((owner, Some(owner.fields.iter().find(|known| known.name.eq_ignore_ascii_case(field))?)))
        })
    }

    /// The registers of a peripheral or a cluster.
    pub fn within<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a Register> {
        let start = format!("{}.", name.to_lowercase());
        self.registers.iter().filter(move |register| register.name.to_lowercase().starts_with(&start))
    }

    fn bad(&self, node: Node, why: impl std::fmt::Display) -> Error {
        let line = node.document().text_pos_at(node.range().start).row;
        Error::image(format!("{}:{line}: <{}> {} {why}", self.path, node.tag_name().name(), path_of(node)))
    }

    /// An element, what it derives from, what that derives from, and so on.
    fn chain<'a>(&self, node: Node<'a, 'a>) -> Result<Vec<Node<'a, 'a>>> {
        let (mut chain, mut last) = (vec![node], node);
        while let Some(from) = last.attribute("derivedFrom") {
            last = base(last, from).ok_or_else(|| self.bad(last, format!("derives from `{from}`, which is not there")))?;
            if chain.contains(&last) {
                return Err(self.bad(node, format!("derives from itself, by `{from}`")));
            }
            chain.push(last);
            if chain.len() > LONGEST_CHAIN {
                return Err(self.bad(node, format!("derives from others, one from the other, more than {LONGEST_CHAIN} times")));
            }
        }
        Ok(chain)
    }

    fn number(&self, chain: &[Node], tag: &str) -> Result<Option<u64>> {
        let Some(text) = text_of(chain, tag) else { return Ok(None) };
        number(text).map(|(_, value)| Some(value)).ok_or_else(|| self.bad(chain[0], format!("has <{tag}> `{text}`, which is no number")))
    }

    fn need(&self, chain: &[Node], tag: &str) -> Result<u64> {
        self.number(chain, tag)?.ok_or_else(|| self.bad(chain[0], format!("has no <{tag}>")))
    }

    fn usual(&self, chain: &[Node], around: Usual) -> Result<Usual> {
        let access = match text_of(chain, "access") {
            None => around.access,
            Some(word) => Access { read: !["write-only", "writeOnce"].contains(&word), write: word != "read-only" },
        };
        Ok(Usual { bits: self.number(chain, "size")?.unwrap_or(around.bits), access })
    }

    /// Name and offset of each copy of what may be an array: `CCR%s`, `S[%s]`.
    fn copies(&self, chain: &[Node]) -> Result<Vec<(String, u64)>> {
        let name = text_of(chain, "name").ok_or_else(|| self.bad(chain[0], "has no <name>"))?;
        let Some(dim) = self.number(&chain[..1], "dim")? else { return Ok(vec![(name.to_string(), 0)]) };
        let step = self.need(&chain[..1], "dimIncrement")?;
        let most = if chain[0].has_tag_name("field") { MOST_FIELDS } else { MOST };
        if dim > most as u64 || step > 1 << 32 {
            return Err(self.bad(chain[0], format!("is an array of {dim}, {step} apart")));
        }
        let list = text_of(&chain[..1], "dimIndex").unwrap_or_default();
        let ends = list.split_once('-').map(|(first, last)| (first.parse::<u64>(), last, first.bytes().next().unwrap_or(b'A')));
        let index = |nth: u64| match &ends {
            Some((Ok(first), ..)) => first.saturating_add(nth).to_string(),
            Some((_, _, letter)) => char::from(letter.saturating_add(nth as u8)).to_string(),
            None => {
                list.split(',').nth(nth as usize).map(str::trim).filter(|word| !word.is_empty()).map_or(nth.to_string(), str::to_string)
            }
        };
        Ok((0..dim).map(|nth| (name.replace("%s", &index(nth)), nth * step)).collect())
    }

    fn level(&mut self, parent: Node, prefix: &str, base: u64, usual: Usual, depth: usize) -> Result<()> {
        for node in parent.children().filter(is_part) {
            let chain = self.chain(node)?;
            let (offset, usual) = (self.need(&chain, "addressOffset")?, self.usual(&chain, usual)?);
            for (name, step) in self.copies(&chain)? {
                let (name, at) = (format!("{prefix}.{name}"), base.saturating_add(offset).saturating_add(step));
                self.copied += 1;
                if self.copied > MOST {
                    return Err(self.bad(node, format!("is one of more than {MOST} registers")));
                }
                match node.has_tag_name("register") {
                    true => self.register(&chain, name, at, usual)?,
                    false if depth == DEEPEST => return Err(self.bad(node, format!("is the {depth}th cluster in a cluster"))),
                    false => {
                        let inside = *chain.iter().find(|node| node.children().any(|child| is_part(&child))).unwrap_or(&node);
                        self.level(inside, &name, at, usual, depth + 1)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn register(&mut self, chain: &[Node], name: String, address: u64, usual: Usual) -> Result<()> {
        let address = u32::try_from(address).map_err(|_| self.bad(chain[0], format!("is at {address:#x}, beyond 32 bits")))?;
        let mut register = Register {
            name,
            what: words(chain),
            address,
            bits: usual.bits,
            access: usual.access,
            acts: child(chain, "readAction").is_some(),
            ones: 0,
            zeros: 0,
            fields: vec![],
        };
        register.modified(chain, u64::MAX);
        for node in child(chain, "fields").iter().flat_map(|fields| fields.children()).filter(|node| node.has_tag_name("field")) {
            let chain = self.chain(node)?;
            let at = self.bits(&chain)?;
            for (name, step) in self.copies(&chain)? {
                let at = at.start.saturating_add(step)..at.end.saturating_add(step);
                if at.is_empty() || at.end > usual.bits.min(64) {
                    if self.outside.1.is_empty() {
                        self.outside.0 = self.bad(node, "is left out: its bits are not in its register").message;
                    }
                    self.outside.1.insert(node.range().start);
                    continue;
                }
                let access = self.usual(&chain, usual)?.access;
                let field = Field { name, what: words(&chain), at, access, values: self.values(&chain)? };
                self.fields += 1 + field.values.len();
                if self.fields > MOST_VALUES {
                    return Err(self.bad(node, format!("is one of more than {MOST_VALUES} fields and values")));
                }
                register.acts |= child(&chain, "readAction").is_some();
                register.modified(&chain, field.mask());
                register.fields.push(field);
            }
        }
        register.fields.sort_by_key(|field| std::cmp::Reverse(field.at.start));
        self.registers.push(register);
        Ok(())
    }

    /// In one of three forms: lsb and msb, bitOffset and bitWidth, `[7:4]`.
    fn bits(&self, chain: &[Node]) -> Result<Range<u64>> {
        if let Some(range) = text_of(chain, "bitRange") {
            let ends =
                range.trim_matches(['[', ']']).split_once(':').map(|(msb, lsb)| (msb.trim().parse::<u64>(), lsb.trim().parse::<u64>()));
            let Some((Ok(msb), Ok(lsb))) = ends else { return Err(self.bad(chain[0], format!("has <bitRange> `{range}`"))) };
            return Ok(lsb..msb.saturating_add(1));
        }
        if let (Some(lsb), Some(msb)) = (self.number(chain, "lsb")?, self.number(chain, "msb")?) {
            return Ok(lsb..msb.saturating_add(1));
        }
        let low = self.need(chain, "bitOffset")?;
        Ok(low..low.saturating_add(self.number(chain, "bitWidth")?.unwrap_or(1)))
    }

    /// The meanings of what is read; those of `isDefault` last.
    fn values(&self, chain: &[Node]) -> Result<Vec<(u64, u64, String)>> {
        let lists = chain.iter().map(|node| node.children().filter(|node| node.has_tag_name("enumeratedValues")).collect::<Vec<_>>());
        let list = lists.into_iter().find(|lists| !lists.is_empty()).unwrap_or_default();
        let Some(list) = list.iter().find(|list| text_of(&[**list], "usage") != Some("write")) else { return Ok(vec![]) };
        let chain = self.chain(*list)?;
        let holder = chain.iter().find(|node| node.children().any(|child| child.has_tag_name("enumeratedValue")));
        let mut values = vec![];
        for node in holder.iter().flat_map(|list| list.children()).filter(|node| node.has_tag_name("enumeratedValue")) {
            let (name, what) = (text_of(&[node], "name").unwrap_or_default(), words(&[node]));
            let meaning = if what.is_empty() || what == name { name.to_string() } else { format!("{name}: {what}") };
            match text_of(&[node], "value") {
                Some(text) => {
                    let (mask, value) = number(text).ok_or_else(|| self.bad(node, format!("has <value> `{text}`, which is no number")))?;
                    values.push((mask, value, meaning));
                }
                None => values.push((0, 0, meaning)),
            }
        }
        values.sort_by_key(|row| row.0 == 0);
        Ok(values)
    }
}

impl Register {
    /// By `modifiedWriteValues`: oneToClear, zeroToToggle …
    fn modified(&mut self, chain: &[Node], mask: u64) {
        match text_of(chain, "modifiedWriteValues") {
            Some(word) if word.starts_with("one") => self.ones |= mask,
            Some(word) if word.starts_with("zero") => self.zeros |= mask,
            _ => {}
        }
    }
}

fn is_part(node: &Node) -> bool {
    node.has_tag_name("register") || node.has_tag_name("cluster")
}

fn child<'a>(chain: &[Node<'a, 'a>], tag: &str) -> Option<Node<'a, 'a>> {
    chain.iter().find_map(|node| node.children().find(|child| child.has_tag_name(tag)))
}

fn text_of<'a>(chain: &[Node<'a, 'a>], tag: &str) -> Option<&'a str> {
    child(chain, tag)?.text().map(str::trim)
}

/// The description, in one line.
fn words(chain: &[Node]) -> String {
    text_of(chain, "description").unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// `GPIOA.MODER.MODE0`
fn path_of(node: Node) -> String {
    let mut names: Vec<&str> =
        node.ancestors().filter(|node| !node.has_tag_name("device")).filter_map(|node| text_of(&[node], "name")).collect();
    names.reverse();
    names.join(".")
}

/// The nearest element of the same kind whose name, or whose path's end, is this.
fn base<'a>(node: Node<'a, 'a>, from: &str) -> Option<Node<'a, 'a>> {
    let fits = |other: &Node| {
        let named = other.tag_name() == node.tag_name() && text_of(&[*other], "name") == from.rsplit('.').next();
        named && (!from.contains('.') || path_of(*other) == from || path_of(*other).ends_with(&format!(".{from}")))
    };
    node.ancestors().skip(1).find_map(|scope| scope.descendants().find(fits))
}

/// `0x1F`, `#1x0`, `12`: which bits count, and the value.
fn number(text: &str) -> Option<(u64, u64)> {
    let lower = text.trim_start_matches('+').to_lowercase();
    if let Some(digits) = lower.strip_prefix("0x") {
        return u64::from_str_radix(digits, 16).ok().map(|value| (u64::MAX, value));
    }
    if let Some(digits) = lower.strip_prefix('#').or_else(|| lower.strip_prefix("0b")) {
        let value = u64::from_str_radix(&digits.replace('x', "0"), 2).ok()?;
        let open = u64::from_str_radix(&digits.replace('1', "0").replace('x', "1"), 2).ok()?;
        return Some((!open, value));
    }
    lower.parse().ok().map(|value| (u64::MAX, value))
}
