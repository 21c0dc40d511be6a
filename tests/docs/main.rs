//! The pages of docs/ say what rocd does: what can be generated is, what is an example is run.
//!
//! `ROCD_BLESS=1 cargo test --test docs` writes it all anew: docs/commands.md, the answers below each `$` line, the pictures.
//! In a page, a block of kind
//!
//! - `console` has lines `$ …`, which a shell runs on the embedded board, each with its answer below;
//! - `rhai` or `toml` whose first line names a file (`// lab.rhai`, `# board.toml`) is that file for the lines that follow.

#[cfg(unix)]
mod picture;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn repo(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// A folder with the firmware in it that this text names, as a reader has one.
fn bench(text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let firmware = [("tests/firmware/blinky-h743.elf", "app.elf"), ("tests/firmware/blinky-g071.elf", "app-g071.elf")];
    for (from, to) in firmware.into_iter().filter(|(_, name)| text.contains(name)) {
        fs::copy(repo(from), folder.path().join(to)).unwrap();
    }
    folder
}

/// What a shell says, stdout and stderr in one.
fn shell(folder: &Path, line: &str) -> String {
    let program = Path::new(env!("CARGO_BIN_EXE_rocd")).parent().unwrap();
    let path = std::env::join_paths([program, Path::new("/usr/bin"), Path::new("/bin")]).unwrap();
    let mut command = Command::new("sh");
    command.args(["-c", &format!("exec 2>&1 </dev/null; {line}")]).current_dir(folder).env("PATH", path);
    command.env_remove("ROCD_PATH").env("HOME", folder).env("XDG_CONFIG_HOME", folder);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// Write it, if blessed, else complain unless it is there already.
fn must_be(path: &Path, text: &str) {
    if std::env::var_os("ROCD_BLESS").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        return fs::write(path, text).unwrap();
    }
    let there = fs::read_to_string(path).unwrap_or_default();
    let differs = there.lines().chain(std::iter::repeat("(end)")).zip(text.lines()).find(|(old, new)| old != new);
    let path = path.display();
    assert!(differs.is_none(), "{path} is not current: {differs:?}; `ROCD_BLESS=1 cargo test --test docs` writes it anew");
    assert_eq!(there.lines().count(), text.lines().count(), "{path} has more lines than it should");
}

/// The commands, as rocd itself lists them with these files loaded.
fn commands(files: &[&str]) -> Vec<serde_json::Value> {
    let mut rocd = Command::new(env!("CARGO_BIN_EXE_rocd"));
    rocd.args(["sim", "stm32h7"].iter().chain(files).flat_map(|file| ["-f", file])).args(["--json", "-c", "help"]);
    let line: serde_json::Value = serde_json::from_slice(&rocd.current_dir(repo("")).output().unwrap().stdout).unwrap();
    line["value"].as_array().unwrap().clone()
}

fn entry(command: &serde_json::Value) -> String {
    let text = |key: &str| command[key].as_str().unwrap_or_default();
    let mut entry = format!("\n### {}\n```\n{}\n```\n{}.", text("name"), text("usage"), text("help"));
    if !text("example").is_empty() {
        entry += &format!(" Example: `{}`.", text("example"));
    }
    entry + &format!(" In Rhai: `{}(…)`.\n", text("function"))
}

#[test]
fn the_command_reference_is_current() {
    let built_in = commands(&[]);
    let mut page = String::from("# Commands\n<!-- made by `ROCD_BLESS=1 cargo test --test docs`; do not edit -->\n");
    page += "`help` lists them, `help reset` explains one; so does this page. [Scripts](scripting.md) call them as functions.\n";
    for (title, line) in
        [("How a line is read", "rocd help lines"), ("How to read a usage line", "rocd help usage"), ("Options", "rocd --help")]
    {
        page += &format!("\n## {title}\n```\n{}\n```\n", shell(&repo(""), line).trim_end());
    }
    page += "\n## All commands\n";
    built_in.iter().for_each(|command| page += &entry(command));
    let mut scripts: Vec<String> =
        fs::read_dir(repo("scripts")).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    scripts.sort();
    for script in scripts {
        let more: Vec<_> = commands(&[&format!("scripts/{script}")]).into_iter().filter(|command| !built_in.contains(command)).collect();
        if !more.is_empty() {
            page += &format!("\n## With `-f {}`\n", script.trim_end_matches(".rhai"));
            more.iter().for_each(|command| page += &entry(command));
        }
    }
    assert!(page.contains("### flash write_image\n") && page.contains("### memtest\n"));
    must_be(&repo("docs/commands.md"), &page);
}

/// The page with the answers that rocd gives now.
fn played(page: &str) -> String {
    let folder = bench(page);
    let mut lines = page.lines().peekable();
    let mut text = String::new();
    while let Some(line) = lines.next() {
        text += &format!("{line}\n");
        let kind = line.strip_prefix("```").filter(|kind| !kind.is_empty());
        let Some(kind) = kind else { continue };
        let mut block = Vec::new();
        while let Some(line) = lines.next_if(|line| *line != "```") {
            block.push(line);
        }
        if kind == "console" {
            for line in block.iter().filter(|line| line.starts_with("$ ")) {
                text += &format!("{line}\n{}", shell(folder.path(), &line[2..]));
            }
            continue;
        }
        let name = block.first().and_then(|first| first.trim_start_matches(['/', '#', ' ']).split([' ', ':']).next());
        if let Some(name) = name.filter(|name| name.ends_with(&format!(".{kind}"))) {
            fs::write(folder.path().join(name), block.join("\n") + "\n").unwrap();
        }
        text += &(block.join("\n") + "\n");
    }
    text
}

fn pages() -> Vec<PathBuf> {
    let files = fs::read_dir(repo("docs")).unwrap().map(|entry| entry.unwrap().path());
    let mut pages: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|x| x == "md") && !path.ends_with("commands.md")).collect();
    pages.sort();
    pages
}

#[test]
#[cfg(unix)]
fn every_example_of_the_pages_answers_so() {
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        must_be(&page, &played(&text));
    }
}

/// The cells of the table's rows behind this heading, without the `code` marks.
fn table(page: &str, heading: &str) -> Vec<Vec<String>> {
    let text = fs::read_to_string(repo(page)).unwrap();
    let (_, behind) = text.split_once(heading).unwrap_or_else(|| panic!("{page} has no {heading}"));
    let rows = behind.lines().skip_while(|line| !line.starts_with("|---")).skip(1).take_while(|line| line.starts_with('|'));
    let cell = |cell: &str| cell.trim().trim_matches('`').replace('\u{1}', "|");
    rows.map(|row| row.trim_matches('|').replace("\\|", "\u{1}").split('|').map(cell).collect()).collect()
}

#[test]
fn every_rocd_line_of_the_table_for_openocds_users_runs() {
    let rows = table("docs/scripting.md", "## OpenOCD's lines");
    assert!(rows.len() >= 30, "{}", rows.len());
    for row in rows {
        let [_, line, rhai] = &row[..] else { panic!("{row:?}") };
        let folder = bench("app.elf");
        let (before, script) = (folder.path().join("before.rhai"), folder.path().join("row.rhai"));
        fs::write(&before, "fn bring_up() { }\nprogram(\"app.elf\", \"reset\"); dump_image(\"ram.bin\", 0x24000000, 64);").unwrap();
        fs::write(&script, rhai).unwrap();
        for last in [["-c", line.as_str()], ["-f", "row.rhai"]] {
            let mut rocd = Command::new(env!("CARGO_BIN_EXE_rocd"));
            rocd.current_dir(folder.path()).args(["-f", "sim", "-f", "stm32h7", "-f", "before.rhai"]).args(last).args(["-c", "echo"]);
            let output = rocd.output().unwrap();
            let leaves = line.starts_with("exit") || line.starts_with("shutdown");
            assert!(output.status.success() || leaves, "{last:?}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

/// The keys of the structs of src/desc.rs and desc/option.rs that TOML fills.
fn keys() -> Vec<String> {
    let sources = ["src/desc.rs", "src/desc/option.rs"].map(|file| fs::read_to_string(repo(file)).unwrap());
    let source: String = sources.iter().map(|source| source.split_once("#[cfg(test)]").unwrap().0).collect();
    let mut keys = Vec::new();
    for part in source.split("#[derive(").skip(1).filter(|part| part.contains("Deserialize") && part.contains("struct")) {
        let mut renamed = None;
        for line in part.split("\n}").next().unwrap().lines().map(str::trim) {
            if let Some((_, name)) = line.split_once("rename = \"") {
                renamed = name.split('"').next().map(str::to_string);
            } else if let Some((name, _)) =
                line.strip_prefix("pub ").filter(|line| !line.contains("struct")).and_then(|line| line.split_once(':'))
            {
                keys.push(renamed.take().unwrap_or(name.to_string()));
            }
        }
    }
    keys
}

#[test]
fn the_reference_of_descriptions_has_every_key_and_no_other() {
    let page = fs::read_to_string(repo("docs/descriptions.md")).unwrap();
    let shown: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let keys = keys();
    assert!(keys.len() > 50 && keys.contains(&"die".to_string()), "{keys:?}");
    keys.iter().for_each(|key| assert!(shown.contains(&key.as_str()), "`{key}` is not in docs/descriptions.md"));
    let more = ["ap", "flash_kib", "word"];
    shown.iter().for_each(|key| assert!(more.contains(key) || keys.iter().any(|known| known == key), "there is no key `{key}`"));
}

#[test]
#[cfg(unix)]
fn the_pictures_are_current() {
    let folder = bench("app.elf");
    let program = picture::of(folder.path(), &["-f", "sim", "-f", "stm32h7", "program", "app.elf", "reset"], &[]);
    must_be(&repo("docs/pictures/program.svg"), &program);
    let typed = [
        "reset halt",
        "bp main 2 hw",
        "resume; wait_halt",
        "disassemble (reg(\"pc\")) 4",
        "let words = read_memory(0x08000000, 32, 2)",
        "print(`stack at ${words[0].to_hex()}`)",
        "flsh banks",
    ];
    let lines: Vec<&str> = ["program app.elf"].into_iter().chain(typed).collect();
    must_be(&repo("docs/pictures/prompt.svg"), &picture::of(folder.path(), &["-f", "sim", "-f", "stm32h7"], &lines));
}

/// Sectors of both banks hold something, and get something else; the firmware before them stays.
#[test]
#[cfg(unix)]
fn the_picture_of_timing_is_current() {
    const MAKE: &str = "program app.elf; flash write_image erase new.bin 0x080c0000 bin; dump_image both.hex 0x080c0000 512K; \
        flash write_image erase old.bin 0x080c0000 bin";
    let folder = bench("app.elf");
    for (name, mark) in [("new.bin", 0x55), ("old.bin", 0xaa)] {
        let noise: Vec<u8> = (0..512u32 << 10).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8 ^ mark).collect();
        fs::write(folder.path().join(name), noise).unwrap();
    }
    let board = "driver = \"stlink\"\ntransport = \"sim\"\nsim.state = \"board.state\"\n";
    fs::write(folder.path().join("board.toml"), board).unwrap();
    let made = shell(folder.path(), &format!("rocd -q -f board.toml -f stm32h7 -c '{MAKE}' && echo made"));
    assert!(made.ends_with("made\n"), "{made}");
    let picture = picture::of(folder.path(), &["--timing", "-f", "board.toml", "-f", "stm32h7", "program", "both.hex", "verify"], &[]);
    // This machine's own time is another in every run.
    let steady = picture.split_inclusive('\n').filter(|line| !line.contains(">wall ")).collect::<String>();
    assert!(steady.contains("erase bank 1") && steady.contains("program bank 2") && steady.len() < picture.len(), "{picture}");
    must_be(&repo("docs/pictures/timing.svg"), &steady);
}

#[test]
fn links_of_the_pages_lead_somewhere() {
    for page in pages().into_iter().chain([repo("README.md"), repo("docs/commands.md")]) {
        let text = fs::read_to_string(&page).unwrap();
        let links = text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split([')', '#']).next())
            .filter(|link| !link.is_empty() && !link.contains("://"));
        links.for_each(|link| assert!(page.parent().unwrap().join(link).exists(), "{}: {link}", page.display()));
    }
}
