//! A guessed manifest as people read it.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::series::Series;
use super::{Task, distinct};

/// Splits of a folder that has none.
pub(super) const SHARES: [(&str, &str); 2] = [("train", "[0.0, 0.9]"), ("val", "[0.9, 1.0]")];

pub(super) fn manifest(
    name: &str,
    images: &Series,
    tasks: &[Task],
    splits: &BTreeSet<String>,
) -> String {
    let mut text = format!("# Guessed by `polyptych data new`: read it over.\nname = {name:?}\n\n");
    put(&mut text, &format!("[layout]\nimages = {:?}\n\n[splits]\n", images.pattern()));
    for split in splits {
        put(&mut text, &format!("{split} = {{}}\n"));
    }
    if splits.is_empty() {
        put(
            &mut text,
            "# No folder is called like a split: a tenth of the images, by their names.\n",
        );
        SHARES.iter().for_each(|(split, share)| {
            put(&mut text, &format!("{split} = {{ fraction = {share} }}\n"));
        });
    }
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

fn put(text: &mut String, more: &str) {
    text.write_str(more).expect("memory takes everything");
}

fn table(task: &Task, name: &str) -> String {
    let found = &task.found;
    let mut text = format!(
        "\n[[tasks]]\nname = {name:?}\nkind = {:?}\nlabel = {:?}\nformat = {:?}\n",
        found.kind, task.label, found.format
    );
    if found.classes > 0 {
        put(&mut text, "# Names by number: give them their own.\n");
        let names = (0..found.classes).map(|class| format!("{:?}", format!("class {class}")));
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
fn lines(items: impl Iterator<Item = String>) -> String {
    let items: Vec<String> = items.collect();
    items.chunks(8).map(|chunk| format!("    {},\n", chunk.join(", "))).collect()
}
