//! Which of the copies in circulation a folder is.

use super::split::SplitFacts;
use crate::folder::Variant;
use crate::{FolderDataset, Root};

/// The first of `variants` that fits, none where none is known, or why each does not.
pub(super) fn judge(
    variants: &[Variant],
    root: &Root,
    datasets: &[FolderDataset],
    splits: &[SplitFacts],
) -> Result<Option<String>, Vec<String>> {
    let mut misfits = Vec::new();
    for variant in variants {
        match misfit(variant, root, datasets, splits) {
            None => return Ok(Some(variant.name.clone())),
            Some(reason) => misfits.push(format!("{}: {reason}", variant.name)),
        }
    }
    if misfits.is_empty() { Ok(None) } else { Err(misfits) }
}

fn misfit(
    variant: &Variant,
    root: &Root,
    datasets: &[FolderDataset],
    splits: &[SplitFacts],
) -> Option<String> {
    for (name, expected) in &variant.images {
        let found = splits.iter().find(|split| split.name == *name).map_or(0, |s| s.images);
        if found != *expected {
            return Some(format!("split {name}: expected {expected} images, found {found}"));
        }
    }
    let missing = |pattern: &&String| !datasets.iter().any(|dataset| dataset.has(root, pattern));
    if let Some(pattern) = variant.has.iter().find(missing) {
        return Some(format!("expected files like {pattern}, found none"));
    }
    let [height, width] = variant.size?;
    match commonest(splits) {
        Some(found) if found == [height, width] => None,
        found => {
            let [h, w] = found.unwrap_or_default();
            Some(format!("expected images of {height} x {width}, found {h} x {w}"))
        }
    }
}

/// Height and width that most images have.
fn commonest(splits: &[SplitFacts]) -> Option<[usize; 2]> {
    let sizes = splits.iter().flat_map(|split| &split.sizes);
    sizes.max_by_key(|(_, count)| **count).map(|(size, _)| *size)
}
