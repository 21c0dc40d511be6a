//! Values and errors on their way between commands and Rhai.

use crate::command::{Arg, Args, Value};
use crate::error::{Error, Kind, Result};
use rhai::{Array, Dynamic, Engine};

/// The arguments of a function as the words of a command: `()` is none, an array is its elements.
pub(super) fn words(args: &[&Dynamic]) -> Result<Vec<String>> {
    let mut out = Vec::new();
    for arg in args {
        let array = arg.read_lock::<Array>().map(|array| array.clone());
        let blob = arg.read_lock::<rhai::Blob>().map(|blob| blob.clone());
        match (array, blob) {
            (Some(array), _) => out.extend(words(&array.iter().collect::<Vec<_>>())?),
            (_, Some(blob)) => out.extend(blob.iter().map(u8::to_string)),
            _ => out.extend(word(arg)?),
        }
    }
    Ok(out)
}

fn word(value: &Dynamic) -> Result<Option<String>> {
    let plain = value.is_string() || value.is_int() || value.is_float() || value.is_bool() || value.is_char();
    match () {
        () if value.is_unit() => Ok(None),
        () if plain => Ok(Some(value.to_string())),
        () => Err(Error::usage(format!("a value of type {} cannot be a word of a command", value.type_name()))
            .hint("words are made of text, numbers, booleans, and arrays of them")),
    }
}

/// What a script's command is given: one entry per name of its usage line.
///
/// A value is its number or text, `()` if it was left out, an array if it may come several times. A literal or `--option` is true or false.
/// A group of literals has a further entry by its own text: for `[bin|elf]`, `a["bin|elf"]` is "bin", "elf" or `()`.
pub(super) fn map_of(args: &Args) -> rhai::Map {
    let mut map = rhai::Map::new();
    for item in args.spec().items() {
        let mut values = args.of(item.name).into_iter().map(from_arg);
        let value = match item.value {
            None => args.has(item.name).into(),
            Some(true) => values.collect::<Array>().into(),
            Some(false) => values.next().unwrap_or(Dynamic::UNIT),
        };
        map.insert(item.name.into(), value);
        if let Some(group) = item.group {
            let chosen = map.entry(group.into()).or_insert(Dynamic::UNIT);
            if args.has(item.name) {
                *chosen = item.name.to_string().into();
            }
        }
    }
    map
}

fn from_arg(arg: &Arg) -> Dynamic {
    match arg {
        Arg::Num(number) => (*number as rhai::INT).into(),
        Arg::Int(number) => (*number).into(),
        Arg::Float(number) => (*number).into(),
        Arg::Text(text) => text.clone().into(),
    }
}

pub(super) fn to_dynamic(value: &Value) -> Dynamic {
    match value {
        Value::None => Dynamic::UNIT,
        Value::Bool(flag) => (*flag).into(),
        Value::Int(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Text(text) => text.clone().into(),
        Value::List(items) => items.iter().map(to_dynamic).collect::<Array>().into(),
        Value::Map(entries) => entries.iter().map(|(key, value)| (key.into(), to_dynamic(value))).collect::<rhai::Map>().into(),
        Value::Shown(value, _) => to_dynamic(value),
    }
}

pub(super) fn to_value(value: &Dynamic) -> Value {
    if let Some(items) = value.read_lock::<Array>() {
        return Value::List(items.iter().map(to_value).collect());
    }
    if let Some(map) = value.read_lock::<rhai::Map>() {
        return Value::Map(map.iter().map(|(key, value)| (key.to_string(), to_value(value))).collect());
    }
    if let Some(bytes) = value.read_lock::<rhai::Blob>() {
        return Value::List(bytes.iter().map(|byte| Value::Int((*byte).into())).collect());
    }
    match () {
        () if value.is_unit() => Value::None,
        () if value.is_bool() => Value::Bool(value.as_bool().unwrap_or_default()),
        () if value.is_int() => Value::Int(value.as_int().unwrap_or_default()),
        () if value.is_float() => Value::Float(value.as_float().unwrap_or_default()),
        () => Value::Text(value.to_string()),
    }
}

/// An error as scripts see it.
#[derive(Clone)]
pub(super) struct ErrorValue(pub(super) Error);

impl std::fmt::Display for ErrorValue {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.0.message)
    }
}

pub(super) fn register_errors(engine: &mut Engine) {
    engine.register_type_with_name::<ErrorValue>("Error");
    engine.register_get("kind", |error: &mut ErrorValue| error.0.kind.name().to_string());
    engine.register_get("message", |error: &mut ErrorValue| error.0.message.clone());
    engine.register_get("hint", |error: &mut ErrorValue| error.0.hint.clone().map_or(Dynamic::UNIT, Dynamic::from));
    engine.register_get("trail", |error: &mut ErrorValue| error.0.trail.iter().cloned().map(Dynamic::from).collect::<Array>());
    engine.register_get("exit", |error: &mut ErrorValue| rhai::INT::from(error.0.kind.exit_code()));
    for name in ["to_string", "to_debug"] {
        engine.register_fn(name, |error: &mut ErrorValue| error.0.message.clone());
    }
}

/// What a script threw: our own error again, a map with `kind`, `message` and `hint`, or any text.
pub(super) fn from_thrown(value: Dynamic) -> Error {
    if let Some(ErrorValue(error)) = value.clone().try_cast::<ErrorValue>() {
        return error;
    }
    let Some(map) = value.read_lock::<rhai::Map>() else {
        return Error::command(if value.is_unit() { "a script threw an error without a value".to_string() } else { value.to_string() });
    };
    let entry = |key: &str| map.get(key).filter(|entry| !entry.is_unit()).map(Dynamic::to_string);
    let kind = entry("kind").and_then(|name| Kind::from_name(&name)).unwrap_or(Kind::Command);
    let error = Error::new(kind, entry("message").unwrap_or_else(|| value.to_string()));
    match entry("hint") {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_way_through_rhai() {
        let list = Value::List(vec![Value::Int(-1), Value::Float(0.5), Value::Text("x".into()), Value::None, Value::Bool(true)]);
        let map = Value::Map(vec![("a".into(), list.clone()), ("b".into(), Value::Map(vec![]))]);
        assert_eq!(to_value(&to_dynamic(&map)), map);
        assert_eq!(to_value(&to_dynamic(&Value::shown(list.clone(), "shown"))), list);
    }
}
