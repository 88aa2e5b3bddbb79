//! The classes of a task: named in the manifest, listed in a file, or found as folders.

use std::collections::{BTreeSet, HashMap};

use super::class_list::ClassList;
use super::entry::TaskEntry;
use super::field_error::refused;
use super::format::Format;
use super::pattern::Slots;
use super::split_context::SplitContext;
use super::{natural, table};
use crate::Result;
use crate::check::Fault;

/// Classes of a task once the folder is known, and how its labels call them.
#[derive(Debug)]
pub(crate) struct Classes {
    /// In the order of their indices.
    pub(crate) names: Vec<String>,
    /// From what a label says to the index.
    indices: HashMap<String, u32>,
    /// What a label may say, in words.
    expected: String,
}

impl Classes {
    /// The classes of `task` over the folder of `context`.
    pub(crate) fn of(task: &TaskEntry, context: &SplitContext) -> Result<Self> {
        match (&task.classes, &task.format) {
            (ClassList::File(file), _) => Self::listed(context, file),
            (ClassList::Names(names), Format::Path) if names.is_empty() => {
                Ok(Self::named(folders(task, context)?))
            }
            (ClassList::Names(names), Format::Index | Format::Idx) => {
                let numbers = (0..names.len()).map(|number| number.to_string()).collect();
                Ok(Self::new(names.clone(), numbers))
            }
            (ClassList::Names(names), _) => Ok(Self::named(names.clone())),
        }
    }

    /// Index of the class that a label calls `key`.
    pub(crate) fn index(&self, key: &str) -> std::result::Result<u32, Fault> {
        self.indices.get(key).copied().ok_or_else(|| Fault::new(&self.expected, key))
    }

    fn listed(context: &SplitContext, file: &str) -> Result<Self> {
        let mut rows = table::read(&context.root.file(file)?, "name")?;
        rows.sort_by(|(a, _), (b, _)| natural::order(a, b));
        let (numbers, names) = rows.into_iter().unzip();
        Ok(Self::new(names, numbers))
    }

    fn named(names: Vec<String>) -> Self {
        let expected = format!("one of [{}]", names.join(", "));
        Self { expected, ..Self::new(names.clone(), names) }
    }

    fn new(names: Vec<String>, keys: Vec<String>) -> Self {
        let ends = [keys.first(), keys.last()].map(|key| key.map_or("", String::as_str));
        let expected = format!("a class from {} to {}", ends[0], ends[1]);
        Self { names, indices: keys.into_iter().zip(0..).collect(), expected }
    }
}

/// Names of the folders that stand for the classes, over all splits: a class that one split lacks
/// has its index in that split too.
fn folders(task: &TaskEntry, context: &SplitContext) -> Result<Vec<String>> {
    let mut names = BTreeSet::new();
    for split in &context.folders {
        let known = Slots::from([("split".to_owned(), split.clone())]);
        let slot = task.label.trim_matches(['{', '}']);
        let found = context.images.find_folders(context.root.path(), &known, slot)?;
        names.extend(found.into_iter().filter_map(|mut slots| slots.remove(slot)));
    }
    let mut names: Vec<String> = names.into_iter().collect();
    names.sort_by(|a, b| natural::order(a, b));
    let missing = || {
        let key = format!("tasks.{}.classes", task.name);
        let expected = format!("names, or folders called {} in layout.images", task.label);
        refused(&context.origin, &key, expected, "neither")
    };
    (!names.is_empty()).then_some(names).ok_or_else(missing)
}
