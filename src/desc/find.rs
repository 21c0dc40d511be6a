//! Where description files and scripts are found: as given, -s folders, $ROCD_PATH, the user's config folder, the binary.

use crate::error::{Error, Result};
use crate::near::nearest;
use std::ffi::OsString;
use std::io::Read;
use std::path::{Component, Path, PathBuf};

/// The files inside the binary.
pub const BUILT_IN: &[(&str, &str)] = &[
    ("interfaces/sim.toml", include_str!("../../interfaces/sim.toml")),
    ("interfaces/stlink.toml", include_str!("../../interfaces/stlink.toml")),
    ("interfaces/stlink-tcp.toml", include_str!("../../interfaces/stlink-tcp.toml")),
    ("interfaces/stlink-v2.toml", include_str!("../../interfaces/stlink-v2.toml")),
    ("interfaces/stlink-v3.toml", include_str!("../../interfaces/stlink-v3.toml")),
    ("scripts/bringup.rhai", include_str!("../../scripts/bringup.rhai")),
    ("scripts/memtest.rhai", include_str!("../../scripts/memtest.rhai")),
    ("scripts/production.rhai", include_str!("../../scripts/production.rhai")),
    ("scripts/program.rhai", include_str!("../../scripts/program.rhai")),
    ("scripts/smoke.rhai", include_str!("../../scripts/smoke.rhai")),
    ("targets/stm32g0.toml", include_str!("../../targets/stm32g0.toml")),
    ("targets/stm32h7.toml", include_str!("../../targets/stm32h7.toml")),
];

/// The longest file taken: far above any description or script, far below what would hurt.
const LONGEST: u64 = 1 << 20;

/// What a name may stand for, and so which folders and endings may be left out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// `-f NAME`
    Any,
    /// `script NAME`
    Script,
}

impl Wanted {
    fn shelves(self) -> &'static [(&'static str, &'static str)] {
        const ALL: &[(&str, &str)] = &[("interfaces", "toml"), ("targets", "toml"), ("scripts", "rhai")];
        match self {
            Wanted::Any => ALL,
            Wanted::Script => &ALL[2..],
        }
    }

    /// What stands before the name where a user gives it.
    fn word(self) -> &'static str {
        match self {
            Wanted::Any => "-f",
            Wanted::Script => "script",
        }
    }

    /// "stlink" also as stlink.toml, stlink.rhai; a name with one of the endings only as it is.
    fn with_endings(self, name: &str) -> Vec<String> {
        let mut forms = vec![name.to_string()];
        if self.shelves().iter().all(|(_, ending)| !name.ends_with(&format!(".{ending}"))) {
            for (_, ending) in self.shelves() {
                let form = format!("{name}.{ending}");
                if !forms.contains(&form) {
                    forms.push(form);
                }
            }
        }
        forms
    }

    /// "stlink" also as interfaces/stlink.toml, targets/stlink.toml, scripts/stlink.rhai.
    fn with_shelves(self, name: &str) -> Vec<String> {
        let mut forms = self.with_endings(name);
        let on_a_shelf = self.shelves().iter().any(|(folder, _)| name.starts_with(&format!("{folder}/")));
        let ended = self.shelves().iter().any(|(_, ending)| name.ends_with(&format!(".{ending}")));
        for (folder, ending) in self.shelves().iter().filter(|_| !on_a_shelf) {
            let dotted = format!(".{ending}");
            if !ended || name.ends_with(&dotted) {
                forms.push(format!("{folder}/{}{dotted}", name.strip_suffix(&dotted).unwrap_or(name)));
            }
        }
        forms
    }
}

/// A file that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// For messages; "targets/stm32h7.toml (built in)" for one inside the binary.
    pub path: String,
    pub text: String,
}

/// A folder to look in, and how it came to be looked in.
#[derive(Clone, Debug)]
struct Root {
    folder: PathBuf,
    why: &'static str,
}

/// Find and read a description or script. Kind usage: nowhere, a directory, not UTF-8, empty, too long.
pub fn find(name: &str, wanted: Wanted, search: &[PathBuf]) -> Result<Loaded> {
    find_in(name, wanted, &roots(search, |variable| std::env::var_os(variable).filter(|value| !value.is_empty())))
}

fn roots(search: &[PathBuf], env: impl Fn(&str) -> Option<OsString>) -> Vec<Root> {
    let mut roots: Vec<Root> = search.iter().map(|folder| Root { folder: folder.clone(), why: "-s" }).collect();
    if let Some(list) = env("ROCD_PATH") {
        let folders = std::env::split_paths(&list).filter(|folder| !folder.as_os_str().is_empty());
        roots.extend(folders.map(|folder| Root { folder, why: "$ROCD_PATH" }));
    }
    let config = match cfg!(windows) {
        true => env("APPDATA").map(PathBuf::from),
        false => env("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| env("HOME").map(|home| Path::new(&home).join(".config"))),
    };
    roots.extend(config.map(|folder| Root { folder: folder.join("rocd"), why: "your config folder" }));
    roots
}

fn find_in(name: &str, wanted: Wanted, roots: &[Root]) -> Result<Loaded> {
    if name.trim().is_empty() {
        return Err(Error::usage("an empty file name"));
    }
    let mut directory = None;
    for form in wanted.with_endings(name) {
        match read(Path::new(&form))? {
            Outcome::Text(loaded) => return Ok(loaded),
            Outcome::Directory => directory = directory.or(Some(form)),
            Outcome::Absent => {}
        }
    }
    let forms = if is_explicit(name) { Vec::new() } else { wanted.with_shelves(name) };
    for root in roots {
        for form in &forms {
            if let Outcome::Text(loaded) = read(&root.folder.join(form))? {
                return Ok(loaded);
            }
        }
    }
    let built_in = BUILT_IN.iter().find(|(path, _)| forms.iter().any(|form| form.replace('\\', "/") == *path));
    match (built_in, directory) {
        (Some((path, text)), _) => Ok(Loaded { path: format!("{path} (built in)"), text: text.to_string() }),
        (None, Some(path)) => Err(Error::usage(format!("{path} is a directory")).hint("name a .toml or .rhai file in it")),
        (None, None) => Err(missing(name, wanted, &forms, roots)),
    }
}

/// "/a/b.toml", "./b.toml", "../b.toml" mean one file and no other.
fn is_explicit(name: &str) -> bool {
    let path = Path::new(name);
    path.is_absolute() || matches!(path.components().next(), Some(Component::CurDir | Component::ParentDir))
}

enum Outcome {
    Text(Loaded),
    Directory,
    Absent,
}

fn read(path: &Path) -> Result<Outcome> {
    let shown = path.display();
    match std::fs::metadata(path) {
        Ok(data) if data.is_dir() => return Ok(Outcome::Directory),
        Err(_) => return Ok(Outcome::Absent),
        Ok(_) => {}
    }
    let mut bytes = Vec::new();
    let opened = std::fs::File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    opened.map_err(|error| Error::usage(format!("cannot read {shown}: {error}")))?;
    if bytes.len() as u64 > LONGEST {
        return Err(not_a_description(format!("{shown} is longer than 1 MiB: no description or script")));
    }
    let text = String::from_utf8(bytes)
        .map_err(|error| not_a_description(format!("{shown} is not text: byte {} is not UTF-8", error.utf8_error().valid_up_to())))?;
    // Windows' editors put a byte order mark in front.
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_string();
    if text.trim().is_empty() {
        return Err(Error::usage(format!("{shown} is empty")));
    }
    Ok(Outcome::Text(Loaded { path: shown.to_string(), text }))
}

fn not_a_description(message: String) -> Error {
    Error::usage(message).hint("`-f` takes interface, target and .rhai files; firmware goes into `program FILE`")
}

fn missing(name: &str, wanted: Wanted, forms: &[String], roots: &[Root]) -> Error {
    let mut places = vec![format!("{} (as given)", wanted.with_endings(name).join(", "))];
    places.extend(roots.iter().filter(|_| !forms.is_empty()).map(|root| format!("{} ({})", root.folder.display(), root.why)));
    if !forms.is_empty() {
        places.push("the files built in".into());
    }
    let mut message = format!("no file `{name}`; looked at {}", places.join(", "));
    if !forms.is_empty() {
        message += &format!("; there as {}", forms.join(", "));
    }
    let error = Error::usage(message);
    let mut known = candidates(roots);
    known.retain(|path| wanted.shelves().iter().any(|(_, ending)| path.ends_with(&format!(".{ending}"))));
    match nearest(stem(name), known.iter().map(|path| stem(path))) {
        Some(near) => {
            let path = known.iter().find(|path| stem(path) == near).map_or(near, String::as_str);
            error.hint(format!("did you mean `{} {path}`?", wanted.word()))
        }
        None if name.ends_with(".cfg") => error.hint("OpenOCD's .cfg files are not read: `-f stlink -f stm32h7` (or stm32g0)"),
        None => error.hint(format!("built in are {}", BUILT_IN.iter().map(|(path, _)| *path).collect::<Vec<_>>().join(", "))),
    }
}

/// "targets/stm32h7.toml" → "stm32h7"
fn stem(path: &str) -> &str {
    let file = path.rsplit(['/', '\\']).next().unwrap_or(path);
    file.rsplit_once('.').map_or(file, |(stem, _)| stem)
}

/// Every file that could have been meant: in the folders (and their interfaces, targets, scripts) and in the binary.
fn candidates(roots: &[Root]) -> Vec<String> {
    let mut found: Vec<String> = BUILT_IN.iter().map(|(path, _)| path.to_string()).collect();
    for root in roots {
        for folder in ["", "interfaces", "targets", "scripts"] {
            let entries = std::fs::read_dir(root.folder.join(folder)).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            let wanted = names.filter(|name| name.ends_with(".toml") || name.ends_with(".rhai"));
            found.extend(wanted.map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") }));
        }
    }
    found.sort();
    found.dedup();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn root(folder: &Path) -> Root {
        Root { folder: folder.into(), why: "-s" }
    }

    fn put(folder: &Path, name: &str, bytes: &[u8]) {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    #[test]
    fn short_and_long_names_find_the_same_built_in_file() {
        for name in ["stlink", "stlink.toml", "interfaces/stlink", "interfaces/stlink.toml"] {
            let found = find_in(name, Wanted::Any, &[]).unwrap();
            // Tests run in the package's folder, where the long names are files as given.
            assert_eq!(found.path.trim_end_matches(" (built in)"), "interfaces/stlink.toml", "{name}");
            assert!(found.text.contains("driver = \"stlink\""));
        }
        assert!(find_in("stm32h7", Wanted::Any, &[]).unwrap().text.contains("0x450"));
    }

    #[test]
    fn the_users_folder_comes_before_the_binary_and_the_first_folder_first() {
        let (first, second) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        put(second.path(), "targets/stlink.toml", b"second");
        let roots = [root(first.path()), root(second.path())];
        assert_eq!(find_in("stlink", Wanted::Any, &roots).unwrap().text, "second");
        put(first.path(), "stlink.toml", b"first");
        assert_eq!(find_in("stlink", Wanted::Any, &roots).unwrap().text, "first");
        assert_eq!(find_in("targets/stlink.toml", Wanted::Any, &roots).unwrap().text, "second");
    }

    #[test]
    fn a_path_means_that_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "my.toml", b"mine");
        let full = folder.path().join("my");
        assert_eq!(find_in(full.to_str().unwrap(), Wanted::Any, &[]).unwrap().text, "mine");
        assert!(find_in("./stlink", Wanted::Any, &[root(folder.path())]).is_err());
    }

    #[test]
    fn a_script_is_looked_for_among_scripts() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "scripts/board.rhai", b"script");
        put(folder.path(), "interfaces/board.toml", b"interface");
        let roots = [root(folder.path())];
        assert_eq!(find_in("board", Wanted::Script, &roots).unwrap().text, "script");
        assert_eq!(find_in("board", Wanted::Any, &roots).unwrap().text, "interface");
    }

    #[test]
    fn a_missing_file_lists_every_place_and_the_nearest_name() {
        let folder = tempfile::tempdir().unwrap();
        put(folder.path(), "targets/myboard.toml", b"x");
        let roots = [root(folder.path()), Root { folder: "/nowhere/rocd".into(), why: "your config folder" }];
        let error = find_in("stlnk", Wanted::Any, &roots).unwrap_err();
        assert_eq!(error.kind, Kind::Usage);
        assert_eq!(
            error.message,
            format!(
                "no file `stlnk`; looked at stlnk, stlnk.toml, stlnk.rhai (as given), {} (-s), /nowhere/rocd (your config folder), the files \
                 built in; there as stlnk, stlnk.toml, stlnk.rhai, interfaces/stlnk.toml, targets/stlnk.toml, scripts/stlnk.rhai",
                folder.path().display()
            )
        );
        assert_eq!(error.hint.as_deref(), Some("did you mean `-f interfaces/stlink.toml`?"));
        let hint = |name: &str| find_in(name, Wanted::Any, &roots).unwrap_err().hint.unwrap();
        assert_eq!(hint("target/stm32h7x.cfg"), "did you mean `-f targets/stm32h7.toml`?");
        assert_eq!(hint("stm32h743"), "did you mean `-f targets/stm32h7.toml`?");
        assert_eq!(hint("mybord"), "did you mean `-f targets/myboard.toml`?");
        assert!(hint("board/nucleo.cfg").starts_with("OpenOCD's .cfg files"));
    }

    #[test]
    fn files_that_are_no_text_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = |name: &str| find_in(folder.path().join(name).to_str().unwrap(), Wanted::Any, &[]).unwrap_err();
        put(folder.path(), "app.elf", b"ab\xff\xfe");
        put(folder.path(), "empty.toml", b"\n");
        put(folder.path(), "long.toml", &vec![b'#'; LONGEST as usize + 1]);
        put(folder.path(), "folder/x.toml", b"x");
        assert!(error("app.elf").message.ends_with("app.elf is not text: byte 2 is not UTF-8"));
        assert!(error("app.elf").hint.unwrap().contains("program FILE"));
        assert!(error("empty.toml").message.ends_with("empty.toml is empty"));
        assert!(error("long.toml").message.ends_with("is longer than 1 MiB: no description or script"));
        assert!(error("folder").message.ends_with("folder is a directory"));
        assert_eq!(find_in("", Wanted::Any, &[]).unwrap_err().message, "an empty file name");
    }

    #[test]
    fn folders_come_in_the_order_of_the_manual() {
        let list = std::env::join_paths(["/p1", "/p2"]).unwrap();
        let folders = |env: &[(&str, &OsString)]| {
            let roots = roots(&["/s".into()], |name| env.iter().find(|row| row.0 == name).map(|row| row.1.clone()));
            roots.into_iter().map(|root| root.folder).collect::<Vec<_>>()
        };
        let (config, home) = (OsString::from("/config"), OsString::from("/home/u"));
        assert_eq!(folders(&[]), [PathBuf::from("/s")]);
        let name = if cfg!(windows) { "APPDATA" } else { "XDG_CONFIG_HOME" };
        let expected = ["/s", "/p1", "/p2", "/config/rocd"].map(PathBuf::from);
        assert_eq!(folders(&[("ROCD_PATH", &list), (name, &config), ("HOME", &home)]), expected);
        if !cfg!(windows) {
            assert_eq!(folders(&[("HOME", &home)]), ["/s", "/home/u/.config/rocd"].map(PathBuf::from));
        }
    }
}
