//! What a command returns: data for scripts and `--json`, text for people.

use serde_json::{Map, Number, json};
use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
    /// A value with its own printed form: `mdw` is a list of numbers that prints as a dump.
    Shown(Box<Value>, String),
}

impl Value {
    pub fn shown(value: impl Into<Value>, text: impl Into<String>) -> Value {
        Value::Shown(Box::new(value.into()), text.into())
    }

    pub fn map(entries: impl IntoIterator<Item = (&'static str, Value)>) -> Value {
        Value::Map(entries.into_iter().map(|(key, value)| (key.to_string(), value)).collect())
    }

    /// A list of texts that prints as lines.
    pub fn lines(lines: Vec<String>) -> Value {
        let text = lines.join("\n");
        Value::shown(lines, text)
    }

    /// The value as `--json` prints it: data, without a printed form of its own.
    pub fn json(&self) -> serde_json::Value {
        match self {
            Value::None => serde_json::Value::Null,
            Value::Bool(flag) => json!(flag),
            Value::Int(number) => json!(number),
            Value::Float(number) => Number::from_f64(*number).map_or(serde_json::Value::Null, serde_json::Value::Number),
            Value::Text(text) => json!(text),
            Value::List(items) => items.iter().map(Value::json).collect(),
            Value::Map(entries) => entries.iter().map(|(key, value)| (key.clone(), value.json())).collect::<Map<_, _>>().into(),
            Value::Shown(value, _) => value.json(),
        }
    }

    /// Without a printed form of its own.
    pub fn plain(self) -> Value {
        if let Value::Shown(value, _) = self { *value } else { self }
    }

    /// A map that says itself how it prints, as a script's command may: nothing, if it printed while it worked.
    fn summary(&self) -> Option<&str> {
        let Value::Map(entries) = self else { return None };
        entries.iter().find_map(|(key, value)| match value {
            Value::Text(text) if key == "summary" => Some(text.as_str()),
            _ => None,
        })
    }

    fn is_composite(&self) -> bool {
        match self {
            Value::List(_) | Value::Map(_) => true,
            Value::Shown(_, text) => text.contains('\n'),
            _ => false,
        }
    }

    /// As an element of a Tcl list: one line, braced where it would fall apart.
    fn element(&self) -> String {
        let text = match self {
            Value::List(items) => items.iter().map(Value::element).collect::<Vec<_>>().join(" "),
            Value::Map(entries) => entries.iter().map(|(key, value)| format!("{key} {}", value.element())).collect::<Vec<_>>().join(" "),
            plain => plain.to_string(),
        };
        let falls_apart = text.is_empty() || text.contains([' ', '\t', '\n', ';', '"', '{', '}']);
        if falls_apart { format!("{{{text}}}") } else { text }
    }
}

/// `value!(u32 as Int)`: what a command has at hand, as a `Value`.
macro_rules! value {
    ($($from:ty as $kind:ident),*) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Value {
                Value::$kind(value as _)
            }
        })*
    };
}

value!(bool as Bool, u32 as Int, u64 as Int, usize as Int, f64 as Float, String as Text);

impl From<()> for Value {
    fn from((): ()) -> Value {
        Value::None
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::Text(text.to_string())
    }
}

impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(items: Vec<T>) -> Value {
        Value::List(items.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Value {
        value.map_or(Value::None, Into::into)
    }
}

impl fmt::Display for Value {
    /// As OpenOCD users expect it: plain words, lists as Tcl lists, a table as one line per row.
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let lines = |rows: Vec<String>| rows.join("\n");
        match self {
            Value::None => Ok(()),
            Value::Bool(flag) => write!(f, "{flag}"),
            Value::Int(number) => write!(f, "{number}"),
            Value::Float(number) => write!(f, "{number}"),
            Value::Text(text) | Value::Shown(_, text) => f.write_str(text),
            Value::List(items) if items.iter().any(Value::is_composite) => f.write_str(&lines(items.iter().map(row).collect())),
            Value::List(items) => f.write_str(&items.iter().map(Value::element).collect::<Vec<_>>().join(" ")),
            Value::Map(_) if self.summary().is_some() => f.write_str(self.summary().unwrap_or_default()),
            Value::Map(entries) => f.write_str(&lines(entries.iter().map(|(key, value)| format!("{key}: {}", row(value))).collect())),
        }
    }
}

/// A value on one line of its own: a list or map in a table loses its outer braces.
fn row(value: &Value) -> String {
    match value {
        Value::List(_) | Value::Map(_) => {
            let element = value.element();
            element.strip_prefix('{').and_then(|inner| inner.strip_suffix('}')).map_or(element.clone(), str::to_string)
        }
        plain => plain.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(words: &[&str]) -> Value {
        Value::List(words.iter().map(|word| Value::Text(word.to_string())).collect())
    }

    #[test]
    fn lists_print_as_tcl_lists_and_tables_as_rows() {
        assert_eq!(text(&["a", "b c", ""]).to_string(), "a {b c} {}");
        assert_eq!(Value::List(vec![text(&["a", "b"]), text(&["c d", "e"])]).to_string(), "a b\n{c d} e");
        let map = Value::map([("name", Value::Text("stm32h7".into())), ("banks", text(&["b1", "b2"])), ("n", Value::Int(2))]);
        assert_eq!(map.to_string(), "name: stm32h7\nbanks: b1 b2\nn: 2");
        assert_eq!(Value::List(vec![map]).to_string(), "name stm32h7 banks {b1 b2} n 2");
        assert_eq!(Value::None.to_string(), "");
        assert_eq!(Value::map([("n", Value::Int(2)), ("summary", Value::Text("two".into()))]).to_string(), "two");
    }

    #[test]
    fn json_carries_the_data_and_not_the_printed_form() {
        let value = Value::shown(Value::List(vec![Value::Int(0x1234), Value::Float(1.5)]), "0x20000000: 00001234");
        assert_eq!(value.to_string(), "0x20000000: 00001234");
        assert_eq!(value.json(), json!([4660, 1.5]));
        assert_eq!(Value::Float(f64::NAN).json(), serde_json::Value::Null);
        assert_eq!(Value::map([("ok", Value::Bool(true)), ("none", Value::None)]).json(), json!({"ok": true, "none": null}));
    }
}
