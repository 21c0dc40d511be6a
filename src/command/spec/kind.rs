//! Kinds of values: `<addr>`, `<num>`, `<file>` …

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
    Register,
}

/// The address of a symbol of the loaded ELF.
pub type Symbols<'a> = &'a dyn Fn(&str) -> Option<u64>;

/// A kind of value.
pub struct Kind {
    pub name: &'static str,
    /// Ends the sentence "`x` is not …".
    pub expects: &'static str,
    pub completion: Completion,
    pub(super) parse: fn(&str, Symbols) -> Option<Arg>,
    /// Text in {…} may hold several words of a repeated value: `write_memory 0x20000000 8 {1 2 3}`.
    pub(super) splits: bool,
}

impl std::fmt::Debug for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        write!(f, "<{}>", self.name)
    }
}

pub const KINDS: &[Kind] = &[
    kind(
        "addr",
        "an address (a number below 2^32 or a symbol of the loaded ELF)",
        Completion::Symbol,
        |word, symbols| sum(word, symbols).filter(|address| u32::try_from(*address).is_ok()).map(Arg::Num),
        true,
    ),
    kind("num", "a number or a symbol of the loaded ELF", Completion::Symbol, |word, symbols| sum(word, symbols).map(Arg::Num), true),
    kind("int", "a whole number", Completion::None, parse_int, true),
    kind("ms", "a whole number of milliseconds", Completion::None, |word, _| number(word).map(Arg::Num), false),
    kind("float", "a number", Completion::None, |word, _| word.parse().ok().filter(|float: &f64| float.is_finite()).map(Arg::Float), true),
    kind("file", "a file name", Completion::File, parse_word, false),
    kind("word", "a word", Completion::None, parse_word, false),
    kind("reg", "the name of a register", Completion::Register, parse_word, false),
    kind("text", "text", Completion::None, |word, _| Some(Arg::Text(word.to_string())), false),
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

fn parse_int(word: &str, _: Symbols) -> Option<Arg> {
    match word.strip_prefix('-') {
        Some(digits) => number(digits).and_then(|n| 0i64.checked_sub_unsigned(n)).map(Arg::Int),
        None => number(word).and_then(|n| i64::try_from(n).ok()).map(Arg::Int),
    }
}

fn parse_word(word: &str, _: Symbols) -> Option<Arg> {
    (!word.trim().is_empty()).then(|| Arg::Text(word.to_string()))
}

/// `main+0x10`, `0x20000000`, `buffer+64-4`.
pub fn sum(word: &str, symbols: Symbols) -> Option<u64> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
