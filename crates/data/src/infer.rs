//! A manifest for a folder of one's own, by looking at it.
//!
//! Files are put together by folder, ending and the words behind their names; the collection that
//! looks most like photographs is taken for the images, and whatever has the same names beside it
//! for their labels. What a label is, its values say.

mod arrays;
mod coco;
mod collect;
mod found;
mod inferred;
mod kind;
mod lists;
mod loose;
mod magic;
mod names;
mod numbered;
mod packed;
mod series;
mod sizes;
mod splits;
mod stored;
mod task;
mod tensors;
#[cfg(test)]
mod tests;
mod text;
mod texts;
mod values;

use std::path::Path;

pub use self::inferred::InferredManifest;
use self::loose::{Loose, look, with, wrong};
use self::series::Series;
use self::splits::Splits;
use crate::Result;

/// Looks at a whole folder: the manifest, if it is of this kind.
/// What it has to say of files that it does not read is added to the notes.
type Recognise = fn(&str, &Path, &mut Vec<String>) -> Result<Option<InferredManifest>>;

/// Kinds of folders that one file gives away, before files are examined one by one.
const KINDS: [Recognise; 2] = [coco::recognise, packed::recognise];

/// Infers the manifest of a data set called `name` that `folder` holds.
///
/// # Errors
/// [`Error::Config`](crate::Error::Config) if there are no photographs, or none with labels, with
/// what was seen instead; [`Error::Io`](crate::Error::Io).
pub fn infer_manifest(name: &str, folder: &Path) -> Result<InferredManifest> {
    let mut before = Vec::new();
    for recognise in KINDS {
        if let Some(mut found) = recognise(name, folder, &mut before)? {
            found.notes.append(&mut before);
            return Ok(found);
        }
    }
    let Loose { images, tasks, labels, mut notes } = look(folder, true)?;
    notes.append(&mut before);
    let classes = images.class_slot().filter(|_| tasks.is_empty());
    if tasks.is_empty() && classes.is_none() {
        let found = format!("images {} and no labels of the same names", images.pattern());
        return Err(wrong(folder, "photographs and labels of the same names", with(found, &notes)));
    }
    let labels: Vec<&Series> = labels.iter().collect();
    let splits = Splits::of(folder, &images, &labels, &mut notes);
    tasks.iter().for_each(|task| notes.extend(task.notes()));
    let text = |splits: &Splits| text::manifest(name, &images, &tasks, splits);
    let held_out = splits.held_out().as_ref().map(text);
    Ok(InferredManifest { manifest: text(&splits), splits: splits.names(), notes, held_out })
}
