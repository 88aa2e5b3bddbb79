//! Small synthetic copies of published data sets, in the exact layout of their archives.
//!
//! The pictures are the built-in scenes and figures; files, folders, lists, number types and odd
//! cases are those of the originals. What runs on a copy runs on the archive.

mod cityscapes;
mod files;
mod fine_grained;
mod mat;
mod nyud;
mod pascal;
mod picture;
mod taskonomy;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use self::files::Folder;
use polyptych_data::{Error, Histogram, Label, Result};

type Writer = fn(&mut CopyWriter) -> Result<()>;

/// Every copy that can be made, by the name of its manifest.
const COPIES: [(&str, Writer); 8] = [
    ("aircraft", fine_grained::aircraft),
    ("cars", fine_grained::cars),
    ("cityscapes", cityscapes::write),
    ("cub", fine_grained::cub),
    ("flowers", fine_grained::flowers),
    ("nyud", nyud::write),
    ("pascal_context", pascal::write),
    ("taskonomy_tiny", taskonomy::write),
];

/// What a synthetic copy holds, which reading it must give again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CopyContents {
    /// Number of images of each split.
    pub images: BTreeMap<String, usize>,
    /// Histogram and number of labels, by split and task.
    pub labels: BTreeMap<(String, String), (usize, Histogram)>,
}

impl CopyContents {
    /// Names of the data sets of which copies can be made.
    pub fn names() -> impl Iterator<Item = &'static str> {
        COPIES.iter().map(|(name, _)| *name)
    }
}

/// Writes a small copy of the data set `name` to `folder`, which must be empty or not there.
///
/// # Errors
/// [`Error::Config`] for a name without a copy and a folder that holds something, [`Error::Io`].
pub fn write_copy(name: &str, folder: &Path) -> Result<CopyContents> {
    let found = COPIES.iter().find(|(known, _)| *known == name);
    let names = || format!("one of {}", CopyContents::names().collect::<Vec<_>>().join(", "));
    let (_, maker) = found.ok_or_else(|| wrong("name", names(), format!("`{name}`")))?;
    if std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some()) {
        let found = format!("{}, which is not empty", folder.display());
        return Err(wrong("folder", "a new folder".to_owned(), found));
    }
    let mut copy = CopyWriter { folder: Folder::new(folder), contents: CopyContents::default() };
    maker(&mut copy)?;
    Ok(copy.contents)
}

fn wrong(key: &str, expected: String, found: String) -> Error {
    Error::Config { origin: "synthetic copy".to_owned(), key: key.to_owned(), expected, found }
}

/// A copy in the making.
struct CopyWriter {
    folder: Folder,
    contents: CopyContents,
}

impl CopyWriter {
    fn image(&mut self, split: &str) {
        *self.contents.images.entry(split.to_owned()).or_default() += 1;
    }

    /// Notes a label as it must be read again.
    fn label(&mut self, split: &str, task: &str, label: &Label) {
        let key = (split.to_owned(), task.to_owned());
        let (count, histogram) = self.contents.labels.entry(key).or_default();
        *count += 1;
        histogram.add(label);
    }
}
