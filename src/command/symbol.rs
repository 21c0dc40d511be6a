//! The symbols of the ELF that was programmed or loaded last.

use super::{Args, Command, Cx, Value, spec};
use crate::error::{Error, Result, excerpt};
use crate::image::Symbol;
use crate::near::nearest;

pub const COMMANDS: &[Command] = &[Command::new(
    "symbol <symbol:word>",
    "Show address, size and kind of a symbol of the loaded ELF, by its name or an address in it",
    "program tests/firmware/blinky-h743.elf; symbol main; symbol 0x08000000",
    symbol,
)];

fn symbol(cx: &Cx, args: &Args) -> Result<Value> {
    let word = args.text("symbol")?;
    let names = cx.names.borrow();
    if names.symbols.is_empty() {
        return Err(Error::command("no symbols are known").hint("`program` or `load_image` an ELF file that was not stripped"));
    }
    let address = spec::number(word);
    let found = match address.map(u32::try_from) {
        Some(Ok(address)) => names.symbol(address, |_| true),
        Some(Err(_)) => None,
        None => names.symbols.iter().find(|symbol| symbol.name == word).map(|symbol| (symbol, symbol.name.clone())),
    };
    let (symbol, place) = found.ok_or_else(|| unknown(&names.symbols, word, address.is_some()))?;
    let line = names.line(address.map_or(symbol.address, |address| address as u32));
    let kind = if symbol.function { "function" } else { "object" };
    let shown_line = line.as_ref().map_or(String::new(), |line| format!(" ({line})"));
    let text = format!("{place}{shown_line}: {kind} at {:#010x}, {} bytes", symbol.address, symbol.size);
    let rows = [
        ("name", symbol.name.as_str().into()),
        ("address", symbol.address.into()),
        ("size", symbol.size.into()),
        ("kind", kind.into()),
        ("line", line.into()),
        ("place", place.into()),
    ];
    Ok(Value::shown(Value::map(rows), text))
}

fn unknown(symbols: &[Symbol], word: &str, address: bool) -> Error {
    let shown = excerpt(word);
    if address {
        return Error::command(format!("no symbol at {shown}"));
    }
    let meant = nearest(word, symbols.iter().map(|symbol| symbol.name.as_str()));
    Error::command(match meant {
        Some(near) => format!("no symbol `{shown}`; did you mean `{near}`?"),
        None => format!("no symbol `{shown}`"),
    })
}
