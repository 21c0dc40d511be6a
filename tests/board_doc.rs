//! docs/board.md names every file of the board that assumes something.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn every_file_that_assumes_something_is_named() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/board.md")).unwrap();
    let board = root.join("src/sim");
    let names: Vec<String> = assuming(&board).iter().map(|path| path.strip_prefix(&board).unwrap().display().to_string()).collect();
    assert!(names.iter().any(|name| name == "time.rs"), "the search finds what is known to be there: {names:?}");
    let missing: Vec<&String> = names.iter().filter(|name| !names_file(&page, name)).collect();
    assert!(missing.is_empty(), "docs/board.md does not say what these assume: {missing:?}");
}

/// As a word of its own: `soc.rs` is not named by `chips/soc.rs`.
fn names_file(page: &str, name: &str) -> bool {
    page.split([' ', ',', '(', ')', '|', '\n', ';']).any(|word| word == name)
}

fn assuming(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(assuming(&path));
        } else if path.file_name().is_some_and(|name| name != "tests.rs")
            && fs::read_to_string(&path).unwrap().to_lowercase().contains("assumed")
        {
            found.push(path);
        }
    }
    found
}
