//! Built-in commands for the shell: completion and the manual page, made from the tables of options and commands.

use super::{Args, Command, Cx, Value};
use crate::desc::BUILT_IN;
use crate::error::Result;

pub const COMMANDS: &[Command] = &[
    Command::new(
        "completions (bash|zsh|fish)",
        "Print what makes a shell complete rocd's command line: eval \"$(rocd completions bash)\"",
        "completions bash",
        completions,
    ),
    Command::new(
        "complete [<words:text>…]",
        "List what may come after these words of rocd's command line: for shells",
        "complete flash",
        complete,
    ),
    Command::new("man", "Print the manual page: rocd man > rocd.1", "man", man),
];

/// An option of the command line, as its front-end has it.
#[derive(Clone, Debug)]
pub struct Opt {
    /// "-f", "--json"
    pub word: String,
    /// "FILE"; empty for a flag.
    pub value: String,
    pub help: String,
}

/// Each asks `rocd complete`, so it never differs from the program. Files are the shell's own business.
const SHELLS: &[(&str, &str)] = &[
    (
        "bash",
        r#"# eval "$(rocd completions bash)" in ~/.bashrc
_rocd() {
    local IFS=$'\n' before=("${COMP_WORDS[@]:1:COMP_CWORD-1}")
    [[ $3 == -*c ]] && before+=("$2")
    COMPREPLY=($(compgen -W "$("${COMP_WORDS[0]}" complete -- "${before[@]}" 2>/dev/null)" -- "$2"))
}
complete -o default -F _rocd rocd"#,
    ),
    (
        "zsh",
        r#"#compdef rocd
# eval "$(rocd completions zsh)" in ~/.zshrc, behind compinit
_rocd() {
    local -a next
    next=(${(f)"$(${words[1]} complete -- ${words[2,CURRENT-1]} 2>/dev/null)"})
    (( $#next )) && compadd -a next
    _files
}
compdef _rocd rocd"#,
    ),
    (
        "fish",
        r#"# rocd completions fish > ~/.config/fish/completions/rocd.fish
complete -c rocd -a '(rocd complete -- (commandline -opc)[2..] 2>/dev/null)'"#,
    ),
];

fn completions(_: &Cx, args: &Args) -> Result<Value> {
    let text = SHELLS.iter().find(|(shell, _)| args.has(shell)).map_or("", |row| row.1);
    Ok(text.into())
}

fn complete(cx: &Cx, args: &Args) -> Result<Value> {
    let mut words = args.texts("words");
    if words.first() == Some(&"--") {
        words.remove(0);
    }
    let mut next = after(cx, &words);
    next.sort();
    next.dedup();
    Ok(Value::shown(next.iter().map(|word| word.as_str().into()).collect::<Vec<Value>>(), next.join("\n")))
}

/// Options come first; from the first other word on all belongs to a command.
fn after(cx: &Cx, words: &[&str]) -> Vec<String> {
    let options = &cx.settings.borrow().options;
    let mut rest = words;
    while let Some((word, behind)) = rest.split_first().filter(|(word, _)| word.starts_with('-')) {
        // As main splits them: `-qf FILE`, and a `-d` whose number never stands apart.
        let ends = |option: &Opt| !word.starts_with("--") && word.ends_with(&option.word[1..]) && option.word != "-d";
        let takes = options.iter().any(|option| !option.value.is_empty() && ends(option));
        match behind {
            [] if takes && word.ends_with('f') => return BUILT_IN.iter().map(|(path, _)| stem(path).to_string()).collect(),
            [] if takes => return Vec::new(),
            [line] if takes && word.ends_with('c') => return in_line(cx, line),
            _ => rest = &behind[usize::from(takes)..],
        }
    }
    let mut next = words_after(cx, rest);
    if rest.is_empty() {
        next.extend(options.iter().map(|option| option.word.clone()));
    }
    next
}

/// How the text behind `-c` may go on that is being typed: all of it, as a shell has it for one word.
fn in_line(cx: &Cx, line: &str) -> Vec<String> {
    let (before, typed) = line.split_at(line.rfind([' ', ';']).map_or(0, |last| last + 1));
    let words: Vec<&str> = before.rsplit(';').next().unwrap_or_default().split_whitespace().collect();
    words_after(cx, &words).into_iter().filter(|word| word.starts_with(typed)).map(|word| format!("{before}{word}")).collect()
}

/// What may follow these words of a command.
fn words_after(cx: &Cx, words: &[&str]) -> Vec<String> {
    let commands = cx.commands.borrow();
    let typed: Vec<String> = words.iter().map(|word| word.to_string()).collect();
    let mut next = commands.next_words(words);
    if let Some((entry, count)) = commands.find(words) {
        next.extend(entry.spec.next(&typed[count..]).literals);
    }
    next
}

/// "targets/stm32h7.toml" → "stm32h7"
fn stem(path: &str) -> &str {
    path.rsplit('/').next().and_then(|file| file.split('.').next()).unwrap_or(path)
}

/// man(7)
fn man(cx: &Cx, _: &Args) -> Result<Value> {
    let settings = cx.settings.borrow();
    let (version, about) = (env!("CARGO_PKG_VERSION"), env!("CARGO_PKG_DESCRIPTION"));
    let mut page = format!(".TH ROCD 1 \"\" \"rocd {version}\"\n.SH NAME\nrocd \\- {}\n", plain(about));
    page += ".SH SYNOPSIS\n.B rocd\n[OPTIONS] [COMMAND...]\n.SH OPTIONS\n";
    for Opt { word, value, help } in &settings.options {
        page += &format!(".TP\n\\fB{}\\fR {}\n{}\n", plain(word), plain(value), plain(help));
    }
    page += &format!("{}\n.SH COMMANDS\n", plain(settings.about_options).replace("\n\n", "\n.PP\n"));
    let commands = cx.commands.borrow();
    let mut entries: Vec<_> = commands.iter().collect();
    entries.sort_by_key(|entry| entry.name().to_string());
    for entry in entries {
        let (name, rest) = entry.spec.usage.split_at(entry.name().len());
        page += &format!(".TP\n\\fB{}\\fR{}\n{}\n", plain(name), plain(rest), plain(&entry.help));
    }
    Ok(Value::Text(page.trim_end().to_string()))
}

/// What troff would take for itself: backslashes, hyphens, and a dot or quote that begins a line.
fn plain(text: &str) -> String {
    let escaped = text.replace('\\', "\\e").replace('-', "\\-").replace('…', "...");
    let lines = escaped.lines().map(|line| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_string() });
    lines.collect::<Vec<_>>().join("\n")
}
