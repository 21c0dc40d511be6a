//! `sim trace`: the core's last instructions and what came between them, as rows and as text.

use super::super::disasm::{self, Code, Disassembler};
use super::super::{Args, Cx, Value};
use super::{Past, Result, What, board};
use crate::cortex_m::exception_name;

/// Instructions that `sim trace` shows without a number.
const TRACED: u64 = 20;

/// Of each line: cycle, pc, opcode (none where no instruction is) and text.
pub fn trace(cx: &Cx, args: &Args) -> Result<Value> {
    let mut code = Disassembler::new()?;
    let mut traced = Vec::new();
    for past in board(cx)?.past() {
        traced.push(traced_line(cx, &mut code, past));
    }
    let wanted = usize::try_from(args.opt_num("n").unwrap_or(TRACED)).unwrap_or(usize::MAX);
    let nothing = traced.is_empty();
    let (rows, lines): (Vec<_>, Vec<_>) = traced.split_off(traced.len().saturating_sub(wanted)).into_iter().unzip();
    Ok(Value::shown(rows, if nothing { "the core has done nothing yet".into() } else { lines.join("\n") }))
}

fn traced_line(cx: &Cx, engine: &mut Disassembler, past: Past) -> (Value, String) {
    let (row, text) = match past.what {
        What::Ran { pc, opcode } => {
            let code = Code { pc, opcode };
            let text = engine.text(code);
            (disasm::row(code, &text), disasm::line(cx, code, &text))
        }
        other => {
            let (pc, text) = happened(cx, other);
            ([("pc", pc.into()), ("opcode", Value::None), ("text", text.as_str().into())], text)
        }
    };
    (Value::map([("cycle", past.cycle.into())].into_iter().chain(row)), format!("{:>10} {text}", past.cycle))
}

/// Where, and in words.
fn happened(cx: &Cx, what: What) -> (u32, String) {
    let at = |pc| cx.names.borrow().at(pc);
    match what {
        What::Ran { pc, .. } => (pc, String::new()),
        What::Entered { number, from } => (from, format!("-- {}, from {}", exception(number), at(from))),
        What::Returned { number, to } => (to, format!("-- {} returns to {}", exception(number), at(to))),
        What::Skipped { turns, pc } => (pc, format!("-- {turns} more turns of the loop at {}", at(pc))),
        What::Reset { pc } => (pc, format!("-- reset, starts at {}", at(pc))),
        What::LockedUp { pc } => (pc, format!("-- lockup, at {}", at(pc))),
        What::Halted { pc } => (pc, format!("-- halted at {}", at(pc))),
    }
}

fn exception(number: u16) -> String {
    match exception_name(number.into()) {
        Some(name) => name.to_string(),
        None if number < 16 => format!("exception {number}"),
        None => format!("interrupt {}", number - 16),
    }
}
