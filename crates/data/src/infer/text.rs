//! An inferred manifest as people read it.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::series::Series;
use super::splits::{HELD_OUT, SHARES, Splits};
use super::task::Task;

pub(super) fn manifest(name: &str, images: &Series, tasks: &[Task], splits: &Splits) -> String {
    let mut text = start(name);
    put(&mut text, &format!("[layout]\nimages = {:?}\n", images.pattern()));
    if let Some(upright) = tasks.iter().find_map(|task| task.sizes.upright) {
        let drawn = if upright { "upright" } else { "stored" };
        put(&mut text, &format!("# Sizes say that labels are drawn on images as {drawn}.\n"));
        put(&mut text, &format!("apply_exif_orientation = {upright}\n"));
    }
    put(&mut text, "\n[splits]\n");
    put(&mut text, &lines_of(splits, &strata(images, tasks)));
    let names = distinct(tasks.iter().map(|task| task.name.clone()));
    for (task, name) in tasks.iter().zip(names) {
        put(&mut text, &table(task, &name));
    }
    if let Some(slot) = images.class_slot().filter(|_| tasks.is_empty()) {
        let table = format!(
            "\n[[tasks]]\nname = {name:?}\nkind = \"classification\"\nlabel = {slot:?}\nformat = \"path\"\n"
        );
        put(&mut text, &table);
    }
    text
}

/// The first lines of a manifest.
pub(super) fn start(name: &str) -> String {
    format!("# Inferred by `polyptych data new`: read it over.\nname = {name:?}\n\n")
}

/// What shares of images are taken of, in words and as keys of a split.
struct Strata {
    each: &'static str,
    keys: String,
}

/// Each class gives its share, and so do images with labels of the same tasks where some have none.
fn strata(images: &Series, tasks: &[Task]) -> Strata {
    let slot = images.class_slot().filter(|_| tasks.is_empty());
    let partial = tasks.iter().any(|task| task.missing > 0);
    match slot.map(|slot| slot.trim_matches(['{', '}'])) {
        Some(slot) => Strata { each: "each class", keys: format!(", stratify = {slot:?}") },
        None if partial => Strata {
            each: "the images with labels of the same tasks",
            keys: ", stratify_labels = true".to_owned(),
        },
        None => Strata { each: "the images", keys: String::new() },
    }
}

fn lines_of(splits: &Splits, Strata { each, keys }: &Strata) -> String {
    match splits {
        Splits::Folders(names) => {
            names.iter().map(|name| format!("{} = {{}}\n", key(name))).collect()
        }
        Splits::Lists(lists) => {
            let line = |(name, list): (&String, &String)| {
                format!("{} = {{ list = {list:?} }}\n", key(name))
            };
            lists.iter().map(line).collect()
        }
        Splits::Shares => {
            let head = format!("# No folder or list is called like a split: a tenth of {each}.\n");
            let line = |(split, share): &(&str, &str)| {
                format!("{split} = {{ fraction = {share}{keys} }}\n")
            };
            head + &SHARES.iter().map(line).collect::<String>()
        }
        Splits::HeldOut(folder) => {
            let head = format!("# No split but {folder}: a tenth of {each} is held out.\n");
            let line = |(split, (_, share)): (&str, &(&str, &str))| {
                let split = key(split);
                format!("{split} = {{ folder = {folder:?}, fraction = {share}{keys} }}\n")
            };
            head + &[folder.as_str(), HELD_OUT]
                .into_iter()
                .zip(&SHARES)
                .map(line)
                .collect::<String>()
        }
    }
}

/// A key as TOML writes it.
pub(super) fn key(name: &str) -> String {
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain { name.to_owned() } else { format!("{name:?}") }
}

fn put(text: &mut String, more: &str) {
    text.write_str(more).expect("memory takes everything");
}

/// The table of a task.
pub(super) fn table(task: &Task, name: &str) -> String {
    let found = &task.found;
    let mut text = format!(
        "\n[[tasks]]\nname = {name:?}\nkind = {:?}\nlabel = {:?}\nformat = {:?}\n",
        found.kind, task.label, found.format
    );
    if !found.classes.is_empty() {
        if !found.has_names {
            put(&mut text, "# Names by number: give them their own.\n");
        }
        let names = found.classes.iter().map(|class| format!("{class:?}"));
        put(&mut text, &format!("classes = [\n{}]\n", lines(names)));
    }
    if !found.palette.is_empty() {
        let colours = found.palette.iter().map(|colour| format!("{colour:?}"));
        put(&mut text, &format!("palette = [\n{}]\n", lines(colours)));
    }
    if !found.ignore.is_empty() {
        put(&mut text, &format!("ignore = {:?}\n", found.ignore));
    }
    found.keys.iter().for_each(|key| put(&mut text, &format!("{key}\n")));
    text
}

/// Eight a line.
pub(super) fn lines(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    items.chunks(8).map(|chunk| format!("    {},\n", chunk.join(", "))).collect()
}

/// Names that differ, by numbers behind those that come again.
pub(super) fn distinct(names: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let fresh = |name: String| {
        let again = (2..).map(|number| format!("{name}_{number}"));
        let found = std::iter::once(name.clone()).chain(again).find(|n| !seen.contains(n));
        let found = found.expect("numbers do not end");
        seen.insert(found.clone());
        found
    };
    names.map(fresh).collect()
}
