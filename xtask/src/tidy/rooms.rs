//! The rooms of each crate, which are the folders below its `src`, as the architecture page lists
//! them.

use std::collections::{BTreeMap, BTreeSet};

use super::files::{File, PAGE};
use super::table;

/// Folders by crate.
type Rooms = BTreeMap<String, BTreeSet<String>>;

/// Rooms that the page does not list, and rooms that it lists and are not there.
pub(super) fn check(files: &[File]) -> Vec<String> {
    let page = files.iter().find(|file| file.path == PAGE).map_or("", |file| &file.text);
    match listed(page) {
        Some(listed) => compare(&listed, &present(files)),
        None => vec![format!("{PAGE}: expected a table `| crate | rooms |`, found none")],
    }
}

fn listed(page: &str) -> Option<Rooms> {
    let rows = table::rows(page, |cells| cells == ["crate", "rooms"])?;
    let room = |row: &Vec<String>| {
        let [name, rooms] = row.as_slice() else { return None };
        Some((name.trim_matches('`').to_owned(), table::names(rooms).into_iter().collect()))
    };
    rows.iter().map(room).collect()
}

fn present(files: &[File]) -> Rooms {
    let mut rooms = Rooms::new();
    for (name, below) in files.iter().filter(|file| file.is_rust()).filter_map(File::in_crate) {
        let of_crate = rooms.entry(name.to_owned()).or_default();
        if let Some((room, _)) = below.split_once('/')
            && room != "tests"
        {
            of_crate.insert(room.to_owned());
        }
    }
    rooms
}

fn compare(listed: &Rooms, present: &Rooms) -> Vec<String> {
    let names: BTreeSet<&String> = listed.keys().chain(present.keys()).collect();
    let differs = |name: &&String| match (listed.get(*name), present.get(*name)) {
        (Some(listed), Some(present)) => listed != present,
        (None, Some(_)) | (Some(_), None) | (None, None) => true,
    };
    let says = |name: &String| {
        format!(
            "{PAGE}: rooms of {name}: the page lists {}, the tree has {}",
            shown(listed.get(name)),
            shown(present.get(name))
        )
    };
    names.into_iter().filter(differs).map(says).collect()
}

fn shown(rooms: Option<&BTreeSet<String>>) -> String {
    match rooms {
        None => "no such crate".into(),
        Some(rooms) if rooms.is_empty() => "none".into(),
        Some(rooms) => rooms.iter().cloned().collect::<Vec<_>>().join(" "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(page: &str) -> Vec<File> {
        let file = |path: &str, text: &str| File { path: path.into(), text: text.into() };
        let sources = ["lib.rs", "a/b.rs", "c.rs", "tests/d.rs", "a/e/f.rs"];
        let sources = sources.map(|below| file(&format!("crates/x/src/{below}"), ""));
        sources.into_iter().chain([file(PAGE, page), file("xtask/src/main.rs", "")]).collect()
    }

    #[test]
    fn the_page_and_the_tree_agree() {
        let page = "| crate | rooms |\n|---|---|\n| `x` | `a` |\n| `xtask` | none |\n";
        assert_eq!(check(&files(page)), [] as [&str; 0]);
    }

    #[test]
    fn differences_are_named() {
        let page = "| crate | rooms |\n|---|---|\n| `x` | `a` `b` |\n| `y` | `c` |\n";
        assert_eq!(
            check(&files(page)),
            [
                "docs/architecture.md: rooms of x: the page lists a b, the tree has a",
                "docs/architecture.md: rooms of xtask: the page lists no such crate, the tree has none",
                "docs/architecture.md: rooms of y: the page lists c, the tree has no such crate",
            ]
        );
        assert!(check(&files(""))[0].contains("found none"));
    }
}
