//! Files that are no images of a split although they nearly fit its pattern.

use std::collections::HashSet;
use std::path::PathBuf;

use super::pattern::Slots;
use super::split::is_image;
use super::split_context::SplitContext;
use crate::{Error, Result};

/// Images whose names fit the pattern of `context` but for case, or for the ending if `any_ending`;
/// `images` are those that fit.
pub(crate) fn unmatched_images(
    context: &SplitContext,
    images: &[Slots],
    any_ending: bool,
) -> Vec<PathBuf> {
    nearly(context, images, any_ending).unwrap_or_default()
}

fn nearly(context: &SplitContext, images: &[Slots], any_ending: bool) -> Result<Vec<PathBuf>> {
    if context.split.list.is_some() || !context.tables.is_empty() {
        return Ok(Vec::new());
    }
    let labels = images.iter().flat_map(|slots| context.label_files(slots));
    let files = images.iter().map(|slots| context.images.expand(slots)).chain(labels);
    let known: HashSet<PathBuf> = files.map(|file| context.root.path().join(file)).collect();
    let (pattern, ending) = match context.images.with_any_ending() {
        Some((pattern, ending)) => (pattern, Some(ending)),
        None => (context.images.clone(), None),
    };
    let mut found = pattern.find_in_any_case(context.root.path(), &context.known())?;
    found.retain(|path| {
        let own = path.extension().map(|own| own.to_string_lossy().to_lowercase());
        let own = own.unwrap_or_default();
        let same = ending.as_ref().is_none_or(|ending| family(ending) == family(&own));
        is_image(&own) && (any_ending || same) && !known.contains(path)
    });
    Ok(found)
}

/// Endings of one format are one.
fn family(ending: &str) -> String {
    match ending.to_lowercase().as_str() {
        "jpeg" | "jpe" => "jpg".to_owned(),
        "tiff" => "tif".to_owned(),
        other => other.to_owned(),
    }
}

/// The error for a split without images.
pub(crate) fn empty(context: &SplitContext, dataset: &str) -> Error {
    let near = unmatched_images(context, &[], true);
    let pattern = context.images.to_string();
    let reason = match (near.first(), context.split.fraction) {
        (Some(first), None) => {
            format!(
                "; {pattern} does not fit {}: name its ending, or `{{ext}}` for any",
                first.display()
            )
        }
        (_, Some(share)) => format!("; fraction {share:?} takes none of the images"),
        (None, None) => match &context.split.list {
            Some(list) => {
                format!("; {} lists none", context.root.path().join(list).display())
            }
            None => format!(", looked for {}", context.root.path().join(pattern).display()),
        },
    };
    Error::EmptySplit { dataset: dataset.to_owned(), split: context.name.to_owned(), reason }
}
