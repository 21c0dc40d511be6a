//! What stands on the command line.

use clap::error::{ContextKind, ContextValue};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use rocd::command::shell::Opt;
use rocd::error::Error;
use std::path::PathBuf;

/// `-f` and `-c` run in the order given.
#[derive(Clone)]
pub enum Step {
    File(String),
    Line(String),
}

#[derive(Clone, Default)]
pub struct Options {
    pub steps: Vec<Step>,
    /// One more command line; each is one word.
    pub words: Vec<String>,
    pub search: Vec<PathBuf>,
    pub debug: u8,
    pub log: Option<PathBuf>,
    pub quiet: bool,
    pub json: bool,
    pub dry_run: bool,
    pub timing: bool,
}

impl Options {
    /// What is to be run stands in the command line: stdin has none of it.
    pub fn asked(&self) -> bool {
        !self.words.is_empty() || self.steps.iter().any(|step| matches!(step, Step::Line(_)))
    }
}

pub enum Parsed {
    Options(Options),
    /// `--help` or `--version`: to be printed, and that is all.
    Text(String),
    /// Kind usage; and whether `--json` was among the words.
    Refused(Error, bool),
}

pub const MORE: &str = "\
-f and -c run in the order given. With -c or a COMMAND, rocd runs it and leaves; without, it gives a prompt, or reads
commands from stdin if that is no terminal. The first error ends the run.

A FILE is found as given, in -s folders, in $ROCD_PATH, in your config folder, then among those built in:
`-f stlink -f stm32h7`. Commands: `rocd help`; how a line is read: `rocd help lines`.

Exit codes: 0 ok, 1 a command failed, 2 usage, 3 no probe, 4 no target, 5 protected, 6 mismatch, 7 not running,
8 image refused, 101 a bug, 129, 130 and 143 ended by SIGHUP, SIGINT and SIGTERM.";

pub fn parse(args: &[String]) -> Parsed {
    let (own, words) = split(args);
    match command().try_get_matches_from(&own) {
        Ok(matches) => Parsed::Options(Options { words: words.to_vec(), ..options(&matches) }),
        Err(error) if !error.use_stderr() => Parsed::Text(error.to_string()),
        Err(error) => Parsed::Refused(refusal(&error), own.iter().any(|arg| arg == "--json")),
    }
}

fn command() -> Command {
    let text = |id: &'static str, value: &'static str, help: &'static str| Arg::new(id).value_name(value).help(help);
    let flag = |id: &'static str, help: &'static str| Arg::new(id).help(help).action(ArgAction::SetTrue);
    Command::new("rocd")
        .no_binary_name(true)
        .version(env!("CARGO_PKG_VERSION"))
        .about(env!("CARGO_PKG_DESCRIPTION"))
        .override_usage("rocd [OPTIONS] [COMMAND…]")
        .after_help(MORE)
        .arg(text("file", "FILE", "Interface, target or .rhai file").short('f').action(ArgAction::Append))
        .arg(text("command", "LINE", "Run this line").short('c').action(ArgAction::Append).allow_hyphen_values(true))
        .arg(text("search", "FOLDER", "Look for files here, too").short('s').action(ArgAction::Append))
        .arg(text("log", "FILE", "Write the log, with its debug lines, to a file").short('l'))
        .arg(
            text("debug", "N", "Say more [-d: 1]: from 1 on the steps, from 3 on every transfer; written -d3")
                .short('d')
                .value_parser(clap::value_parser!(u8).range(0..=3)),
        )
        .arg(flag("quiet", "Results and errors only").short('q'))
        .arg(flag("json", "One line of JSON for each command").long("json"))
        .arg(flag("timing", "Say for each command where its time went").long("timing"))
        .arg(flag("dry-run", "Show what would be erased and written, and change nothing").long("dry-run"))
}

/// Every option, for the manual page and for shells.
pub fn table() -> Vec<Opt> {
    let command = command();
    let word = |arg: &Arg| arg.get_long().map(|long| format!("--{long}")).or_else(|| arg.get_short().map(|short| format!("-{short}")));
    let value =
        |arg: &Arg| arg.get_value_names().filter(|_| arg.get_action().takes_values()).map_or(String::new(), |names| names.join(" "));
    let row = |arg: &Arg| Some(Opt { word: word(arg)?, value: value(arg), help: arg.get_help()?.to_string() });
    command.get_arguments().filter_map(row).collect()
}

/// rocd's own options, and the words from the first on that is neither an option nor the value of one.
fn split(args: &[String]) -> (Vec<String>, &[String]) {
    let mut own = Vec::new();
    let mut at = 0;
    while let Some(arg) = args.get(at).filter(|arg| arg.starts_with('-')) {
        at += 1;
        if arg == "--" {
            break;
        }
        // `-d` alone means `-d1`: its number never stands apart, or `-d probe list` would read wrong.
        own.push(if arg == "-d" { "-d1".to_string() } else { arg.clone() });
        if takes_next(arg) {
            own.extend(args.get(at).cloned());
            at += 1;
        }
    }
    (own, args.get(at..).unwrap_or_default())
}

/// `-f`, also at the end of letters that take no value: `-qf`. In `-fstlink` the value clings to its letter.
fn takes_next(arg: &str) -> bool {
    let letters = arg.strip_prefix('-').filter(|letters| !letters.starts_with('-')).unwrap_or_default();
    letters.find(['f', 'c', 's', 'l', 'd']).is_some_and(|first| first + 1 == letters.len() && !letters.ends_with('d'))
}

fn options(matches: &ArgMatches) -> Options {
    let all = |id: &str| matches.get_many::<String>(id).into_iter().flatten().cloned();
    let at = |id: &str| match matches.value_source(id) {
        Some(ValueSource::CommandLine) => matches.indices_of(id).into_iter().flatten().collect(),
        _ => Vec::new(),
    };
    let files = at("file").into_iter().zip(all("file").map(Step::File));
    let lines = at("command").into_iter().zip(all("command").map(Step::Line));
    let mut steps: Vec<(usize, Step)> = files.chain(lines).collect();
    steps.sort_by_key(|(at, _)| *at);
    Options {
        steps: steps.into_iter().map(|(_, step)| step).collect(),
        words: Vec::new(),
        search: all("search").map(PathBuf::from).collect(),
        debug: matches.get_one("debug").copied().unwrap_or(0),
        log: matches.get_one::<String>("log").map(PathBuf::from),
        quiet: matches.get_flag("quiet"),
        json: matches.get_flag("json"),
        dry_run: matches.get_flag("dry-run"),
        timing: matches.get_flag("timing"),
    }
}

/// clap's first paragraph, as one of our errors.
fn refusal(error: &clap::Error) -> Error {
    let text = error.to_string();
    let fact = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    let meant = match error.get(ContextKind::SuggestedArg) {
        Some(ContextValue::String(option)) => format!("did you mean `{option}`? "),
        _ => String::new(),
    };
    Error::usage(fact.split_whitespace().collect::<Vec<_>>().join(" ")).hint(format!("{meant}rocd --help"))
}
