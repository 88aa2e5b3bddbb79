//! Files that are no images of a split although they nearly fit its pattern.

use std::collections::HashSet;
use std::path::PathBuf;

use super::pattern::Slots;
use super::site::Site;
use super::split::is_image;
use crate::{Error, Result};

/// Images whose names fit the pattern of `site` but for case, or for the ending if `any_ending`;
/// `images` are those that fit.
pub(crate) fn passed_over(site: &Site, images: &[Slots], any_ending: bool) -> Vec<PathBuf> {
    nearly(site, images, any_ending).unwrap_or_default()
}

fn nearly(site: &Site, images: &[Slots], any_ending: bool) -> Result<Vec<PathBuf>> {
    if site.split.list.is_some() || !site.tables.is_empty() {
        return Ok(Vec::new());
    }
    let labels = images.iter().flat_map(|slots| site.label_files(slots));
    let files = images.iter().map(|slots| site.images.expand(slots)).chain(labels);
    let known: HashSet<PathBuf> = files.map(|file| site.root.path().join(file)).collect();
    let (pattern, ending) = match site.images.with_any_ending() {
        Some((pattern, ending)) => (pattern, Some(ending)),
        None => (site.images.clone(), None),
    };
    let mut found = pattern.find_in_any_case(site.root.path(), &site.known())?;
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
pub(crate) fn empty(site: &Site, dataset: &str) -> Error {
    let near = passed_over(site, &[], true);
    let pattern = site.images.to_string();
    let reason = match (near.first(), site.split.fraction) {
        (Some(first), None) => {
            format!(
                "; {pattern} does not fit {}: name its ending, or `{{ext}}` for any",
                first.display()
            )
        }
        (_, Some(share)) => format!("; fraction {share:?} takes none of the images"),
        (None, None) => format!(", looked for {}", site.root.path().join(pattern).display()),
    };
    Error::EmptySplit { dataset: dataset.to_owned(), split: site.name.to_owned(), reason }
}
