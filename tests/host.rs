//! Lines, scripts and commands through the host, without a chip.

use rocd::command::{Settings, Value};
use rocd::error::{Cause, Error, Kind, Result};
use rocd::event::{Event, Sink};
use rocd::host::{Cancel, Host, exit_code};
use std::cell::RefCell;
use std::fs;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Keeps what was printed.
#[derive(Default)]
struct Kept(RefCell<Vec<Event>>);

impl Sink for Kept {
    fn emit(&self, event: Event) {
        self.0.borrow_mut().push(event);
    }
}

struct Bench {
    host: Host,
    kept: Rc<Kept>,
    cancel: Cancel,
}

impl Bench {
    fn new() -> Bench {
        Bench::with(Settings::default())
    }

    fn with(settings: Settings) -> Bench {
        let (kept, cancel) = (Rc::new(Kept::default()), Cancel::default());
        Bench { host: Host::new(kept.clone(), cancel.clone(), settings, 0).unwrap(), kept, cancel }
    }

    /// The value of the line's last part.
    fn value(&self, line: &str) -> Result<Value> {
        let mut last = Value::None;
        self.host.line(line, &mut |outcome| last = outcome.result.clone().unwrap_or(Value::None))?;
        Ok(last)
    }

    fn fails(&self, line: &str) -> Error {
        self.value(line).expect_err(line)
    }

    fn int(&self, line: &str) -> i64 {
        match self.value(line).unwrap() {
            Value::Int(number) => number,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn output(&self) -> Vec<String> {
        let events = self.kept.0.take();
        events.into_iter().filter_map(|event| if let Event::Output(text) = event { Some(text) } else { None }).collect()
    }
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.display().to_string()
}

#[test]
fn what_one_line_defines_the_next_one_has() {
    let bench = Bench::new();
    bench.value("let base = 0x20000000; fn twice(n) { n * 2 }").unwrap();
    assert_eq!(bench.int("twice(base)"), 0x4000_0000);
    bench.value("base += 4").unwrap();
    bench.value("echo (base) \"(base)\" {(base)} x").unwrap();
    assert_eq!(bench.output(), ["536870916 (base) (base) x"]);
}

#[test]
fn each_part_has_its_outcome_and_the_first_error_ends_the_line() {
    let bench = Bench::new();
    let mut seen = Vec::new();
    let result =
        bench.host.line("echo one; sleep x; echo two", &mut |outcome| seen.push((outcome.command.clone(), outcome.result.is_ok())));
    assert_eq!(seen, [("echo one".to_string(), true), ("sleep x".to_string(), false)]);
    assert_eq!(result.unwrap_err().message, "sleep: `x` is not a whole number of milliseconds");
    assert_eq!(bench.output(), ["one"]);
}

#[test]
fn a_script_command_gets_its_values_by_name() {
    let bench = Bench::new();
    bench
        .value("command(\"take <file> [<n:num>…] [bin|elf] [fast] [--to <addr>]\", \"\", |a| [a.file, a.n, a[\"bin|elf\"], a.elf, a.fast, a.addr, a[\"--to\"]])")
        .unwrap();
    let text = |text: &str| Value::Text(text.into());
    let (yes, no) = (Value::Bool(true), Value::Bool(false));
    let numbers = Value::List(vec![Value::Int(1), Value::Int(2048)]);
    let all = Value::List(vec![text("a b"), numbers, text("elf"), yes.clone(), no.clone(), Value::Int(16), yes]);
    assert_eq!(bench.value("take \"a b\" --to 0x10 1 2K elf").unwrap(), all);
    assert_eq!(bench.value("take(\"a b\", [1, 2048], (), \"elf\", \"--to\", 16)").unwrap(), all);
    let none = Value::List(vec![text("f"), Value::List(vec![]), Value::None, no.clone(), no.clone(), Value::None, no]);
    assert_eq!(bench.value("take f").unwrap(), none);
}

#[test]
fn a_later_definition_replaces_an_earlier_one() {
    let bench = Bench::new();
    bench.value("command(\"echo <words:text>…\", \"mine\", |a| a.words.len())").unwrap();
    assert_eq!(bench.value("echo a b c").unwrap(), Value::Int(3));
    assert_eq!(bench.int("echo(1, 2)"), 2);
}

#[test]
fn a_command_can_be_called_by_the_text_that_defines_it() {
    let bench = Bench::new();
    assert_eq!(bench.int("command(\"half <n:num>\", \"\", |a| a.n / 2); half(half(12))"), 3);
    let folder = tempfile::tempdir().unwrap();
    let script = file(folder.path(), "lab.rhai", "command(\"lab on [<n:num>]\", \"\", |a| if a.n == () { 7 } else { a.n });\nlab_on()");
    assert_eq!(bench.value(&format!("script {script}")).unwrap(), Value::Int(7));
    assert_eq!(bench.int("lab on 9"), 9);
}

#[test]
fn names_that_cannot_be_called_and_broken_usage_lines_are_refused() {
    let bench = Bench::new();
    for (usage, what) in [
        ("print <n:num>", "Rhai could not call print()"),
        ("let <n:num>", "Rhai could not call let()"),
        ("flash-it", "Rhai could not call flash-it()"),
        ("go [<a:num>] [<b:num>]", "ambiguous"),
        ("run <number>", "no kind `number`"),
    ] {
        let error = bench.fails(&format!("command(\"{usage}\", \"\", |a| 1)"));
        assert!(error.message.contains(what), "{error}");
        assert_eq!(error.kind, Kind::Usage);
    }
}

#[test]
fn errors_are_caught_with_kind_message_and_hint() {
    let bench = Bench::new();
    let caught = "try { sleep(\"long\") } catch (e) { [e.kind, e.message, e.hint, e.exit, `${e}`] }";
    let Value::List(parts) = bench.value(&format!("fn f() {{ {} }} f()", caught.replace("[e.kind", "return [e.kind"))).unwrap() else {
        panic!()
    };
    let message = Value::Text("sleep: `long` is not a whole number of milliseconds".into());
    assert_eq!(parts, [Value::Text("usage".into()), message.clone(), Value::Text("usage: sleep <ms>".into()), Value::Int(2), message]);
}

#[test]
fn what_a_script_throws_is_an_error_of_ours() {
    let bench = Bench::new();
    let error = bench.fails("throw #{kind: \"protected\", message: \"locked\", hint: \"unlock it\"}");
    assert_eq!((error.kind, error.message.as_str(), error.hint.as_deref()), (Kind::Protected, "locked", Some("unlock it")));
    assert_eq!(bench.fails("throw \"too hot\"").message, "too hot");
    assert_eq!(bench.fails("try { sleep(-1) } catch (e) { throw e }").kind, Kind::Usage);
    assert_eq!(bench.fails("1 / 0").kind, Kind::Command);
}

#[test]
fn the_trail_names_file_and_line_from_the_inside_out() {
    let folder = tempfile::tempdir().unwrap();
    let script = file(
        folder.path(),
        "lab.rhai",
        "fn inner(n) {\n    sleep(n);\n}\ncommand(\"outer <n:word>\", \"\", |a| {\n    let unused = 1;\n    inner(a.n);\n});\n",
    );
    let bench = Bench::new();
    bench.host.file(&script).unwrap();
    let error = bench.fails("outer \"a b\"");
    let inner = [
        "sleep \"a b\"".to_string(),
        format!("calling inner ({script}:2 `sleep(n);`)"),
        format!("outer \"a b\" ({script}:6 `inner(a.n);`)"),
    ];
    assert_eq!(error.trail, inner);
    let calls = file(folder.path(), "calls.rhai", "\n\nouter(\"x\");\n");
    let error = bench.fails(&format!("script {calls}"));
    assert_eq!(error.trail[2..], [format!("outer x ({script}:6 `inner(a.n);`)"), format!("running {calls}:3 `outer(\"x\");`")]);
    let broken = file(folder.path(), "broken.rhai", "let a = 1;\nlet b = ;\n");
    let error = bench.host.file(&broken).unwrap_err();
    assert_eq!((error.kind, error.trail), (Kind::Usage, vec![format!("running {broken}:2 `let b = ;`")]));
}

#[test]
fn errors_of_imports_hooks_and_lines_show_the_text_that_is_at_fault() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    let rhai = |name: &str, text: &str| file(folder.path(), name, text);
    let broken = rhai("broken.rhai", "let a = 1;\nlet b = ;\n");
    let runs = rhai("runs.rhai", "let a = 1;\n  sleep(-a);\n");
    for (name, place) in [("broken", format!("{broken}:2 `let b = ;`")), ("runs", format!("{runs}:2 `sleep(-a);`"))] {
        let import = format!("import \"{name}\" as m;");
        let main = rhai("main.rhai", &format!("\n{import}\n"));
        let error = bench.fails(&format!("script {main}"));
        let trail = &error.trail[error.trail.len() - 2..];
        assert_eq!(trail, [format!("importing {place}"), format!("running {main}:2 `{import}`")]);
    }
    bench.host.file("stm32h7").unwrap();
    let hook = rhai("hook.rhai", "fn boot() {\n    nosuch + 1\n}\n");
    bench.host.file("sim").unwrap();
    bench.host.file(&hook).unwrap();
    let error = bench.fails("hook reset_init boot; reset init");
    assert_eq!(error.trail, [format!("running hook boot {hook}:2 `nosuch + 1`")]);
    for line in ["let a = ; sleep(1)", "let a = -1; sleep(a)", "1 / 0"] {
        assert_eq!(bench.fails(line).trail.last(), Some(&format!("running `{line}`")));
    }
    bench.value("fn late(n) { sleep(n) }").unwrap();
    assert_eq!(bench.fails("late(-1)").trail, ["sleep -1", "calling late", "running `late(-1)`"]);
}

#[test]
fn helpers_of_one_file_are_not_replaced_by_those_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new();
    bench.host.file(&file(folder.path(), "a.rhai", "fn size() { 1 }\ncommand(\"first\", \"\", |a| size());")).unwrap();
    bench.host.file(&file(folder.path(), "b.rhai", "fn size() { 2 }\ncommand(\"second\", \"\", |a| size());")).unwrap();
    assert_eq!((bench.int("first"), bench.int("second"), bench.int("size()")), (1, 2, 2));
}

#[test]
fn unknown_commands_are_never_a_parsers_message() {
    let bench = Bench::new();
    for line in
        ["flsh", "flsh banks", "flsh write_image app.elf", "flsh 0x10 0x20", "flsh; echo x", "flash-banks now", "fl.sh", "Reset halt"]
    {
        let error = bench.fails(line);
        assert!(error.message.starts_with(&format!("unknown command `{}", line.split([' ', ';']).next().unwrap())), "{line}: {error}");
        assert_eq!(error.kind, Kind::Usage);
    }
    for line in ["x = 5", "x += 5", "x=5", "f(5)", "5 x", "(x)"] {
        let error = bench.fails(line);
        assert!(!error.message.starts_with("unknown command"), "{line} is Rhai: {error}");
    }
    assert_eq!(bench.fails("flsh banks").message, "unknown command `flsh`; did you mean `flash banks`?");
    assert_eq!(bench.fails("flash bnaks").message, "unknown command `flash bnaks`; did you mean `flash banks`?");
    assert_eq!(bench.fails("echoo hi").message, "unknown command `echoo`; did you mean `echo`?");
    bench.value("let a = 1; command(\"mark\", \"\", |a| 1)").unwrap();
    assert_eq!(bench.fails("let b = 2; mark").hint.as_deref(), Some("`mark` is a command; in Rhai it is called as mark(…)"));
    assert_eq!(bench.fails("let b = 2; read_memry(0, 32, 1)").hint.as_deref(), Some("did you mean `read_memory`?"));
    assert_eq!(bench.fails("fn flicker() { 1 } let b = flickr();").hint.as_deref(), Some("did you mean `flicker`?"));
    for (line, message) in [
        ("let x = ", "script is incomplete (line 1, position 8)"),
        ("2 + flsh", "there is no variable `flsh`"),
        ("nothing(1, \"a\")", "there is no command or function nothing(i64, string)"),
    ] {
        assert_eq!(bench.fails(line).message, message);
    }
}

#[test]
fn sleep_takes_milliseconds_and_says_so() {
    let bench = Bench::new();
    let start = Instant::now();
    bench.value("sleep 30; sleep(30)").unwrap();
    assert!((Duration::from_millis(60)..Duration::from_secs(5)).contains(&start.elapsed()));
    let error = bench.fails("sleep(0.5)");
    assert_eq!((error.kind, error.hint.as_deref()), (Kind::Usage, Some("sleep(500) waits for half a second")));
    assert_eq!(bench.fails("sleep 0.5").message, "sleep: `0.5` is not a whole number of milliseconds");
}

#[test]
fn timestamps_count_seconds() {
    let bench = Bench::new();
    let Value::Float(seconds) = bench.value("let a = timestamp(); sleep(20); let b = timestamp(); b - a + a.elapsed").unwrap() else {
        panic!()
    };
    assert!((0.04..5.0).contains(&seconds), "{seconds}");
}

#[test]
fn print_is_a_result_and_debug_is_not() {
    let bench = Bench::new();
    bench.value("print(`a${1 + 1}`); debug(\"x\")").unwrap();
    assert_eq!(*bench.kept.0.borrow(), [Event::Output("a2".into()), Event::Info("\"x\"".into())]);
}

#[test]
fn exit_cannot_be_caught_and_carries_its_code() {
    let bench = Bench::new();
    for (line, code) in
        [("exit", 0), ("exit 42", 42), ("try { exit(3) } catch { }; echo(1)", 3), ("shutdown", 0), ("shutdown error", 1), ("exit()", 0)]
    {
        let error = bench.fails(line);
        assert_eq!((error.cause, exit_code(&error)), (Cause::Exit(code), code), "{line}");
    }
    assert_eq!(bench.fails("exit 256").kind, Kind::Usage);
    assert_eq!(bench.output(), [""; 0]);
}

#[test]
fn ctrl_c_ends_loops_waits_and_handlers() {
    let bench = Bench::new();
    for line in ["loop { }", "loop { try { loop { } } catch { } }", "sleep 3600000", "try { sleep(3600000) } catch { sleep(3600000) }"] {
        let cancel = bench.cancel.clone();
        let stopper = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(100));
            cancel.set(2);
        });
        let start = Instant::now();
        let error = bench.fails(line);
        stopper.join().unwrap();
        assert_eq!((error.cause, exit_code(&error)), (Cause::Interrupted(2), 130), "{line}");
        assert!(start.elapsed() < Duration::from_secs(2), "{line}: {:?}", start.elapsed());
    }
    bench.value("echo still here").unwrap();
}

#[test]
fn endless_recursion_is_an_error() {
    std::thread::Builder::new().stack_size(rocd::script::STACK).spawn(recursion).unwrap().join().unwrap();
}

fn recursion() {
    let bench = Bench::new();
    let nested = (0..8).fold("h(n + 1)".to_string(), |inner, _| format!("(1 + {inner})"));
    let deepest = format!("fn h(n) {{ if n == 28 {{ bottom() }} else {{ {nested} }} }} command(\"bottom\", \"\", |a| h(0)); bottom()");
    let error = bench.fails(&deepest);
    assert_eq!(error.message, "scripts and commands call each other more than 16 levels deep");
    assert_eq!(error.trail.len(), 13, "{error}");
    assert!(bench.fails("fn f(n) { f(n + 1) } f(0)").message.contains("levels deep"));
    assert!(bench.fails("command(\"again\", \"\", |a| again()); again()").message.contains("levels deep"));
    assert!(
        bench
            .fails("fn g(n) { if n == 0 { deep() } else { g(n - 1) } } command(\"deep\", \"\", |a| g(28)); deep()")
            .message
            .contains("levels deep")
    );
    let folder = tempfile::tempdir().unwrap();
    let script = file(folder.path(), "me.rhai", &format!("script({:?})", folder.path().join("me.rhai").display().to_string()));
    assert!(bench.fails(&format!("script {script}")).message.contains("levels deep"));
    assert_eq!(bench.int("1 + 1"), 2);
}

#[test]
fn imports_come_from_beside_the_script_and_from_s_folders_only() {
    let folder = tempfile::tempdir().unwrap();
    let (main, lab) = (folder.path().join("main"), folder.path().join("lab"));
    file(&main, "near.rhai", "fn one() { echo(\"near\"); 1 }");
    file(&lab, "far.rhai", "export const TWO = 2;");
    file(folder.path(), "outside.rhai", "fn three() { 3 }");
    let script = file(&main, "start.rhai", "import \"near\" as near; import \"far\" as far; near::one() + far::TWO");
    let bench = Bench::with(Settings { search: vec![lab], ..Settings::default() });
    assert_eq!(bench.value(&format!("script {script}")).unwrap(), Value::Int(3));
    assert_eq!(bench.output(), ["near"]);
    for path in ["../outside", "/etc/passwd", "nowhere"] {
        let script = file(&main, "bad.rhai", &format!("import \"{path}\" as x;"));
        let error = bench.fails(&format!("script {script}"));
        assert!(error.message.starts_with(&format!("import \"{path}\": ")), "{error}");
        assert_eq!(error.kind, Kind::Usage);
    }
}

#[test]
fn words_of_the_shell_are_never_rhai_and_never_split() {
    let bench = Bench::new();
    let words = |words: &[&str]| words.iter().map(|word| word.to_string()).collect::<Vec<_>>();
    bench.host.words(&words(&["echo", "a b", "(1+1)", "; exit", "\"q\""]), &mut |_| {}).unwrap();
    assert_eq!(bench.output(), ["a b (1+1) ; exit \"q\""]);
    let error = bench.host.words(&words(&["ehco", "x"]), &mut |_| {}).unwrap_err();
    assert_eq!(error.message, "unknown command `ehco`; did you mean `echo`?");
}

#[test]
fn a_text_that_goes_on_is_known() {
    let bench = Bench::new();
    for (text, more) in [
        ("echo {", true),
        ("echo (1 +", true),
        ("echo a; mdw (1 +", true),
        ("echo \"a\"b", false),
        ("fn f() {", true),
        ("let a = [1,", true),
        ("if true {\n  1\n", true),
        ("let a =", true),
        ("echo(1,", true),
        ("`abc", true),
        ("let a = #{", true),
        ("echo x", false),
        ("let a = 1", false),
        ("let = 1", false),
        ("flsh banks", false),
        ("1 +* 2", false),
        ("}", false),
    ] {
        assert_eq!(bench.host.unfinished(text), more, "{text:?}");
    }
}

#[test]
fn values_that_are_no_words_are_refused() {
    let bench = Bench::new();
    let error = bench.fails("echo(#{a: 1})");
    assert_eq!((error.kind, error.message.as_str()), (Kind::Usage, "a value of type map cannot be a word of a command"));
    bench.value("echo(1, 2.5, true, 'c', [\"d\", [3]], (), blob(2, 7))").unwrap();
    assert_eq!(bench.output(), ["1 2.5 true c d 3 7 7"]);
}

#[test]
fn help_is_made_from_the_table() {
    let bench = Bench::new();
    let text = |line: &str| bench.value(line).unwrap().to_string();
    assert!(text("help").contains("sleep <ms>"));
    assert!(text("help sleep").starts_with("sleep <ms>\n  Wait, on the chip's clock\n  example:  sleep 10\n  in Rhai:  sleep(…)"));
    assert!(text("help flash").lines().count() > 3);
    assert!(text("help lines").contains("mww (base + 4) 1"));
    assert!(text("help usage").contains("<name:kind>"));
    assert_eq!(bench.fails("help slep").message, "unknown command `slep`; did you mean `sleep`?");
}
