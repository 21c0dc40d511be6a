//! Where a command's time went: a line for each phase, on a terminal also as bars; and as JSON.

use rocd::host::Outcome;
use rocd::timing::{Counts, Row, Span, Timing, covered};
use serde_json::{Value, json};
use std::time::Duration;

const PHASE: usize = 8;
type Show = fn(&Row) -> String;
/// Heading, width, what it says; the last ones are left out where there is no room.
const COLUMNS: &[(&str, usize, Show)] = &[
    ("seconds", 10, |row| format!("{:.6}", row.time.as_secs_f64())),
    ("transactions", 13, |row| row.counts.transactions.to_string()),
    ("bytes", 10, |row| row.counts.bytes.to_string()),
    ("polls", 8, |row| row.counts.polls.to_string()),
    ("waits", 8, |row| row.counts.waits.to_string()),
    ("waited", 10, |row| format!("{:.6}", row.counts.waited.as_secs_f64())),
];

/// On terminals below this a bank is its name's last word.
const NARROW: usize = 60;
/// How much of a character's time a phase took: at least a little, a quarter, a half, three quarters.
const SHADES: [char; 4] = ['░', '▒', '▓', '█'];
const PLAIN: &str = "\x1b[0m";
const COLOURS: &[(&str, &str)] =
    &[("erase", "\x1b[31m"), ("upload", "\x1b[33m"), ("program", "\x1b[32m"), ("verify", "\x1b[36m"), ("read", "\x1b[34m")];

/// For a terminal of so many columns, or (`None`) for whatever else may read it. Nothing of a command that left the probe alone.
pub fn report(outcome: &Outcome, columns: Option<usize>, colours: bool) -> Option<String> {
    let timing = outcome.timing.as_ref().filter(|timing| timing.total() != Counts::default())?;
    let mut lines = table(timing, outcome.wall_seconds, columns.unwrap_or(usize::MAX));
    if let Some(columns) = columns.filter(|_| timing.spans.len() > 1) {
        lines.extend(bars(timing, columns, colours));
    }
    lines.insert(0, cut(&format!("timing: {}", outcome.command.replace('\n', " ")), columns.unwrap_or(usize::MAX)));
    Some(lines.join("\n"))
}

fn cut(text: &str, columns: usize) -> String {
    text.chars().take(columns).collect()
}

fn table(timing: &Timing, wall: f64, room: usize) -> Vec<String> {
    let mut used = PHASE;
    let shown = COLUMNS.iter().take_while(|column| {
        used += column.1;
        used <= room
    });
    let shown: Vec<_> = shown.collect();
    let line = |first: &str, cell: &dyn Fn(&(&str, usize, Show)) -> String| {
        let cells = shown.iter().map(|column| format!("{:>width$}", cell(column), width = column.1));
        format!("{first:PHASE$}{}", cells.collect::<String>())
    };
    let all = Row { phase: "all", time: timing.time, counts: timing.total() };
    let mut lines = vec![line("", &|column| column.0.to_string())];
    lines.extend(timing.rows.iter().chain([&all]).map(|row| line(row.phase, &|column| column.2(row))));
    lines.push(format!("{:PHASE$}{wall:>10.6}", "wall"));
    lines
}

/// A line for each phase and bank, one column for the same time in all of them.
fn bars(timing: &Timing, columns: usize, colours: bool) -> Vec<String> {
    let mut lanes: Vec<(&str, &str)> = timing.rows.iter().flat_map(|row| lanes(timing, row.phase)).collect();
    lanes.dedup();
    let label = |(phase, bank): &(&str, &str)| match bank.split(' ').next_back().filter(|_| columns < NARROW) {
        Some(last) => format!("{phase} {last}").trim_end().to_string(),
        None => format!("{phase} {bank}").trim_end().to_string(),
    };
    let margin = lanes.iter().map(|lane| label(lane).chars().count()).max().unwrap_or(0) + 1;
    let width = columns.saturating_sub(margin + 1).max(1);
    let end = format!("{:.3}s", timing.time.as_secs_f64());
    let mut lines = vec![cut(&format!("{:margin$}0{end:>rest$}", "", rest = width.saturating_sub(1)), columns)];
    for lane in &lanes {
        let spans: Vec<&Span> = timing.spans.iter().filter(|span| (span.phase, span.bank.as_str()) == *lane).collect();
        let bar: String = (0..width).map(|cell| shade(&spans, timing.time, cell, width)).collect();
        let colour = COLOURS.iter().find(|row| row.0 == lane.0 && colours);
        let bar = bar.trim_end();
        lines.push(match colour {
            Some((_, colour)) => format!("{:margin$}{colour}{bar}{PLAIN}", label(lane)),
            None => format!("{:margin$}{bar}", label(lane)),
        });
    }
    lines
}

/// Those of a phase, by the banks' names.
fn lanes<'t>(timing: &'t Timing, phase: &'t str) -> Vec<(&'t str, &'t str)> {
    let spans = timing.spans.iter().filter(|span| span.phase == phase);
    let mut lanes: Vec<(&str, &str)> = spans.map(|span| (span.phase, span.bank.as_str())).collect();
    lanes.sort_unstable();
    lanes.dedup();
    lanes
}

/// One character of a bar.
fn shade(spans: &[&Span], whole: Duration, cell: usize, cells: usize) -> char {
    let at = |cell: usize| whole.mul_f64(cell as f64 / cells as f64);
    let (from, to) = (at(cell), at(cell + 1));
    match covered(spans.iter().copied(), from, to).as_secs_f64() / (to - from).as_secs_f64() {
        share if share > 0.0 => SHADES[((share * 4.0) as usize).min(3)],
        _ => ' ',
    }
}

/// docs/json.schema.json: `timing`.
pub fn json(timing: &Timing) -> Value {
    let seconds = Duration::as_secs_f64;
    let row = |Row { phase, time, counts }: &Row| {
        let Counts { transactions, bytes, polls, waits, waited } = counts;
        json!({
            "phase": phase, "seconds": seconds(time), "transactions": transactions, "bytes": bytes, "polls": polls, "waits": waits,
            "waited_seconds": seconds(waited),
        })
    };
    let span = |Span { phase, bank, from, to }: &Span| json!({ "phase": phase, "bank": Some(bank).filter(|bank| !bank.is_empty()), "from": seconds(from), "to": seconds(to) });
    json!({
        "seconds": seconds(&timing.time),
        "phases": timing.rows.iter().map(row).collect::<Vec<_>>(),
        "spans": timing.spans.iter().map(span).collect::<Vec<_>>(),
    })
}
