//! `doctor`: why a program does not run.

use super::{Args, Command, Cx, Value, flash};
use crate::error::Result;
use crate::image::Image;
use crate::session::{Depth, Finding, Report};

pub const COMMANDS: &[Command] = &[Command::new(
    "doctor [<file> [<addr>]] [passive|reset]",
    "Say why the program does not run: first by what disturbs nothing, then by a short halt (`passive`: without; `reset`: then by \
     a reset, too); a file is compared with flash",
    "doctor; doctor passive",
    doctor,
)];

fn doctor(cx: &Cx, args: &Args) -> Result<Value> {
    let image = args.opt_text("file").map(|_| flash::read_image(cx, args)).transpose()?.map(|(image, _)| image);
    if let Some(image) = image.clone().filter(|image: &Image| !image.symbols.is_empty()) {
        cx.know(image);
    }
    let depth = match (args.has("passive"), args.has("reset")) {
        (true, _) => Depth::Passive,
        (_, true) if !cx.settings.borrow().dry_run => Depth::Reset,
        _ => Depth::Halt,
    };
    let report = cx.session()?.doctor(cx.core.get(), image, depth)?;
    Ok(Value::shown(value(&report), report.lines().join("\n")))
}

fn value(report: &Report) -> Value {
    let finding = |finding: &Finding| {
        let Finding { number, cause, evidence, remedy, .. } = finding;
        let texts =
            [("cause", cause.as_str()), ("evidence", evidence.as_str()), ("remedy", *remedy)].map(|(key, text)| (key, Value::from(text)));
        Value::map([("number", Value::from(u32::from(*number)))].into_iter().chain(texts))
    };
    let facts = report.facts.iter().map(|(name, text)| (*name, Value::from(text.as_str())));
    Value::map([("findings", report.findings.iter().map(finding).collect::<Vec<_>>().into()), ("facts", Value::map(facts))])
}
