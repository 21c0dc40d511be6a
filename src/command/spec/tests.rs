use super::*;
use crate::command::BUILT_IN;
use crate::command::line::quote;

fn spec(usage: &str) -> Rc<Spec> {
    Rc::new(Spec::new(usage).unwrap())
}

fn symbols(name: &str) -> Option<u64> {
    [("main", 0x0800_0100), ("buffer", 0x2000_0010)].iter().find(|row| row.0 == name).map(|row| row.1)
}

fn parse(usage: &str, line: &str) -> Result<Args> {
    let words: Vec<String> = line.split_whitespace().map(str::to_string).collect();
    spec(usage).parse(&words, &symbols)
}

const PROGRAM: &str = "program <file> [<addr>] [bin|elf|ihex|s19|uf2|dfu] [preverify] [verify] [reset] [noreset] [exit]";

#[test]
fn leading_words_are_the_name() {
    assert_eq!(spec("flash erase_sector <bank:num> <first:num> <last:num>").name, "flash erase_sector");
    assert_eq!(spec("flash erase_sector <bank:num>").function(), "flash_erase_sector");
    assert_eq!(spec("echo [-n] [<text>…]").name, "echo");
}

#[test]
fn values_are_found_by_name_or_by_kind() {
    let args = parse("mdw [phys] <addr> [<count:num>]", "phys main+0x10 1_0").unwrap();
    assert!(args.has("phys"));
    assert_eq!((args.num("addr").unwrap(), args.num("count").unwrap()), (0x0800_0110, 10));
    let args = parse("mdw [phys] <addr> [<count:num>]", "buffer-0x10").unwrap();
    assert!(!args.has("phys"));
    assert_eq!((args.num("addr").unwrap(), args.opt_num("count")), (0x2000_0000, None));
    assert_eq!(args.num("cuont").unwrap_err().kind, crate::error::Kind::Bug);
}

#[test]
fn signed_and_broken_numbers_are_told_apart() {
    assert_eq!(parse("turn <by:int>", "-0x10").unwrap().of("by"), [&Arg::Int(-16)]);
    assert_eq!(parse("scale <by:float>", "-1.5").unwrap().of("by"), [&Arg::Float(-1.5)]);
    for (usage, word) in [("mdw <addr>", "0x100000000"), ("mdw <addr>", "buffer-0x30000000"), ("sleep <ms>", "1.5"), ("sleep <ms>", "main")]
    {
        let error = parse(usage, word).unwrap_err();
        assert!(error.message.contains(&format!("`{word}` is not")), "{error}");
        assert_eq!(error.kind, crate::error::Kind::Usage);
    }
}

#[test]
fn optional_literals_come_in_any_order_and_once() {
    let args = parse(PROGRAM, "app.elf exit elf verify").unwrap();
    assert!(args.has("exit") && args.has("verify") && args.has("elf") && !args.has("bin"));
    assert_eq!(args.text("file").unwrap(), "app.elf");
    assert_eq!(parse(PROGRAM, "app.bin 0x08000000 reset bin").unwrap().opt_num("addr"), Some(0x0800_0000));
    assert!(parse(PROGRAM, "app.elf verify verify").is_err());
    assert!(parse(PROGRAM, "app.elf bin verify elf").is_err());
    assert!(parse(PROGRAM, "app.elf verify 0x08000000").is_err());
}

#[test]
fn a_misspelt_literal_is_named_with_the_nearest() {
    let error = parse(PROGRAM, "app.elf verfy").unwrap_err();
    assert!(error.message.starts_with("program: `verfy` is not an address"), "{error}");
    assert!(error.hint.unwrap().starts_with("did you mean `verify`? usage: program <file>"));
    let error = parse("reset [run|halt|init]", "hlat").unwrap_err();
    assert_eq!(error.message, "reset: `hlat` fits nothing here; expected one of run, halt, init");
    assert!(error.hint.unwrap().starts_with("did you mean `halt`?"));
}

#[test]
fn what_is_missing_or_too_much_is_named() {
    assert_eq!(parse("mww <addr> <value:num>", "main").unwrap_err().message, "mww needs <value> after `main`");
    assert_eq!(parse("mww <addr> <value:num>", "").unwrap_err().message, "mww needs <addr>");
    assert_eq!(parse("halt", "now").unwrap_err().message, "halt: `now` fits nothing here");
    assert_eq!(parse("rbp (all|<addr>)", "").unwrap_err().message, "rbp needs `all` or <addr>");
}

#[test]
fn repeated_items_collect() {
    assert_eq!(parse("sim poke <addr> <byte:num>…", "0 1 2 3").unwrap().nums("byte"), [1, 2, 3]);
    assert!(parse("sim poke <addr> <byte:num>…", "0").is_err());
    assert_eq!(parse("help [<words:word>…]", "").unwrap().texts("words"), Vec::<&str>::new());
    assert_eq!(parse("fill (<addr> <value:num>)…", "1 2 3 4").unwrap().nums("value"), [2, 4]);
    assert!(parse("fill (<addr> <value:num>)…", "1 2 3").is_err());
    let list = ["0x20000000".to_string(), "8".into(), "1 2\n0x3".into(), "phys".into()];
    let args = spec("write_memory <addr> <width:num> <data:num>… [phys]").parse(&list, &symbols).unwrap();
    assert_eq!((args.nums("data"), args.has("phys")), (vec![1, 2, 3], true));
}

#[test]
fn options_stand_anywhere() {
    for board in ["[--board <board:word>]…", "[--board <board:word>…]"] {
        options_of(&format!("sim serve {board} --stlink-tcp <listen:word> [--state <file>] [--quiet]"));
    }
    let args = parse("put <addr> [--width <width:num>] <value:num>", "1 --width 8 2").unwrap();
    assert_eq!((args.num("addr").unwrap(), args.num("width").unwrap(), args.num("value").unwrap()), (1, 8, 2));
    assert_eq!(parse("put --to <addr>…", "--to 1 --to 2").unwrap().nums("addr"), [1, 2]);
}

fn options_of(usage: &str) {
    let args = parse(usage, "--board a --stlink-tcp 127.0.0.1:0 --board b --quiet").unwrap();
    assert_eq!((args.texts("board"), args.text("listen").unwrap()), (vec!["a", "b"], "127.0.0.1:0"));
    assert!(args.has("--quiet") && args.has("--board") && !args.has("--state"));
    for (line, message) in [
        ("--board a", "sim serve needs --stlink-tcp"),
        ("--stlink-tcp", "--stlink-tcp needs <listen>"),
        ("--stlink-tcp a --stlink-tcp b", "--stlink-tcp is given twice"),
        ("--stlink-tcp a --quite", "sim serve: `--quite` is no option of this command; expected one of --board, --state, --quiet"),
    ] {
        assert_eq!(parse(usage, line).unwrap_err().message, message);
    }
}

#[test]
fn an_ambiguous_or_broken_usage_line_is_refused() {
    for (usage, what) in [
        ("x [<addr>] <file>", "a word could be <addr> or <file>"),
        ("x [<addr>] [<count:num>]", "a word could be <addr> or <count>"),
        ("x <a:num>… <b:num>", "a word could be <a> or <b>"),
        ("x (a|a)", "a word could be `a` or `a`"),
        ("x <num> <num>", "`num` stands twice"),
        ("x <number>", "there is no kind `number`"),
        ("x [a", "a `]` is missing"),
        ("x a]", "`]` is out of place"),
        ("x <num", "a `>` is missing"),
        ("x > y", "`>` is out of place"),
        ("x (a|)", "an alternative is empty"),
        ("x …", "repeats nothing"),
        ("x ([a] [b])…", "cannot be repeated"),
        ("x [a --b]", "stands too deep"),
        ("<num>", "so it has no name"),
        ("", "so it has no name"),
        (&format!("x {}", "(".repeat(200)), "brackets stand more than 16 deep"),
        (&format!("x {}", "[a]".repeat(100_000)), "has 300001 words and brackets, 256 are the most"),
    ] {
        let error = Spec::new(usage).unwrap_err();
        assert!(error.message.contains(what), "{usage}: {error}");
    }
}

#[test]
fn what_may_come_next_is_known() {
    let program = spec(PROGRAM);
    let next = program.next(&[]);
    let (name, kind) = next.value.unwrap();
    assert_eq!((name.as_str(), kind.completion, next.may_end), ("file", Completion::File, false));
    let next = program.next(&["a.elf".into(), "verify".into()]);
    assert_eq!(next.literals, ["bin", "elf", "ihex", "s19", "uf2", "dfu", "preverify", "reset", "noreset", "exit"]);
    assert!(next.value.is_none() && next.may_end);
}

#[test]
fn a_script_sees_names_groups_and_repeats() {
    let spec = spec("x <file> [bin|elf] [<n:num>…]");
    let items: Vec<_> = spec.items().map(|item| (item.name, item.value, item.group)).collect();
    assert_eq!(
        items,
        [("file", Some(false), None), ("bin", None, Some("bin|elf")), ("elf", None, Some("bin|elf")), ("n", Some(true), None)]
    );
}

/// Marsaglia's xorshift: the same lines in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % sides as u64) as usize
    }
}

/// Words of each kind that fit.
fn samples(kind: &Kind) -> &'static [&'static str] {
    match kind.name {
        "addr" => &["0x20000000", "main+0x10", "0", "4_095M"],
        "num" => &["7", "0b11", "64K", "buffer-main+main"],
        "int" => &["-0x10", "12"],
        "ms" => &["250"],
        "float" => &["-2.5", "1e-3"],
        "text" => &["", "two words", "{x}", "a;b"],
        _ => &["app.elf", "two words", "x{y", "(1+1)"],
    }
}

/// A valid line, word by word.
fn line(spec: &Rc<Spec>, dice: &mut Dice) -> Vec<String> {
    let mut words = Vec::new();
    for _ in 0..200 {
        let next = spec.next(&words);
        let choices = next.literals.len() + usize::from(next.value.is_some());
        if next.may_end && (choices == 0 || dice.below(3) == 0) {
            break;
        }
        let pick = dice.below(choices);
        words.push(match (next.literals.get(pick), &next.value) {
            (Some(literal), _) => literal.clone(),
            (None, Some((_, kind))) => samples(kind)[dice.below(samples(kind).len())].to_string(),
            (None, None) => unreachable!("{}: {words:?} can neither go on nor end", spec.usage),
        });
    }
    words
}

fn usages() -> impl Iterator<Item = &'static str> {
    const MORE: &[&str] = &[
        PROGRAM,
        "turn <by:int> [<speed:float>]",
        "put [--width <width:num>] <addr> [a|b] [c] [<data:num>…]",
        "x (a <num>|b <file> [<text>…]|c) [d]",
        "x (<key:word> <addr>)… --to <file> [--loud]",
        "x [a [b [<n:num>]]]",
    ];
    BUILT_IN.iter().copied().flatten().map(|row| row.usage).chain(MORE.iter().copied())
}

#[test]
fn valid_lines_of_every_usage_parse_and_print_back_equal() {
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    for usage in usages() {
        let spec = spec(usage);
        for _ in 0..50 {
            let words = line(&spec, &mut dice);
            let args = spec.parse(&words, &symbols).unwrap_or_else(|error| panic!("{usage}: {words:?}: {error}"));
            assert_eq!(args.words(), words, "{usage}");
            let printed: Vec<String> = words.iter().map(|word| quote(word)).collect();
            let again = crate::command::line::words(&printed.join(" ")).unwrap();
            assert_eq!(spec.parse(&again, &symbols).unwrap(), args, "{usage}: {printed:?}");
        }
    }
}

/// A word that no number, no literal and no option is.
const WRONG: &str = "--wr{ong";

#[test]
fn broken_lines_of_every_usage_name_the_word() {
    let mut dice = Dice(0x2545_f491_4f6c_dd1d);
    let mut broken = 0;
    for usage in usages() {
        let spec = spec(usage);
        for _ in 0..50 {
            let mut words = line(&spec, &mut dice);
            let at = dice.below(words.len() + 1);
            let next = spec.next(&words[..at]);
            let takes_any = next.value.is_some_and(|(_, kind)| (kind.parse)(WRONG, &symbols).is_some());
            if takes_any {
                continue;
            }
            words.truncate(at);
            words.push(WRONG.into());
            let error = spec.parse(&words, &symbols).expect_err(usage);
            assert!(error.message.contains(&format!("`{WRONG}`")), "{usage}: {words:?}: {error}");
            assert!(error.hint.is_some_and(|hint| hint.contains(usage)), "{usage}");
            broken += 1;
        }
    }
    assert!(broken > 1000, "{broken}");
}

#[test]
fn a_line_cut_short_says_what_it_needs() {
    let mut dice = Dice(0x0123_4567_89ab_cdef);
    for usage in usages() {
        let spec = spec(usage);
        for _ in 0..20 {
            let mut words = line(&spec, &mut dice);
            words.truncate(dice.below(words.len() + 1));
            if spec.next(&words).may_end {
                continue;
            }
            let error = spec.parse(&words, &symbols).expect_err(usage);
            assert!(error.message.contains(" needs "), "{usage}: {words:?}: {error}");
        }
    }
}
