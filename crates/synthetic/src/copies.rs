//! Small synthetic copies of published data sets, in the exact layout of their archives.
//!
//! The pictures are the built-in scenes and figures; files, folders, lists, number types and odd
//! cases are those of the originals. What runs on a copy runs on the archive.

mod ade20k;
mod cityscapes;
mod files;
mod fine_grained;
mod hdf5;
mod hypersim;
mod mapillary_vistas;
mod mat;
mod nyud;
mod pascal;
mod picture;
mod scannet;
mod sun_rgbd;
mod taskonomy;
#[cfg(test)]
mod tests;
mod writer;

use std::path::Path;

use self::files::Folder;
pub use self::writer::CopyContents;
use self::writer::CopyWriter;
use polyptych_data::{Error, Result};

type Writer = fn(&mut CopyWriter) -> Result<()>;

/// Every copy that can be made, by the name of its manifest.
const COPIES: [(&str, Writer); 13] = [
    ("ade20k", ade20k::write),
    ("aircraft", fine_grained::aircraft),
    ("cars", fine_grained::cars),
    ("cityscapes", cityscapes::write),
    ("cub", fine_grained::cub),
    ("flowers", fine_grained::flowers),
    ("hypersim", hypersim::write),
    ("mapillary_vistas", mapillary_vistas::write),
    ("nyud", nyud::write),
    ("pascal_context", pascal::write),
    ("scannet", scannet::write),
    ("sun_rgbd", sun_rgbd::write),
    ("taskonomy_tiny", taskonomy::write),
];

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
