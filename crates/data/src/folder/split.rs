//! Which images belong to a split.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::manifest::{Split, refused};
use super::pattern::{Pattern, Slots};
use super::root::Root;
use super::site::Site;
use super::table;
use crate::decode::unreadable;
use crate::key::scramble;
use crate::{Error, Result};

/// The slots of every image of a split, in the order of its list or of paths.
pub(crate) fn images(site: &Site) -> Result<Vec<Slots>> {
    let known = Slots::from([("split".to_owned(), site.folder().to_owned())]);
    let pattern = &site.images;
    let mut images = match &site.split.list {
        Some(list) => listed(site.root, pattern, &site.root.file(list)?, &known)?,
        None if site.tables.is_empty() => pattern.find(site.root.path(), &known)?,
        None => table::join(site.root, &site.tables, &known)?,
    };
    images.retain(|slots| slots.get("ext").is_none_or(|ext| is_image(ext)));
    let only = &site.split.only;
    images.retain(|slots| {
        only.iter().all(|(slot, only)| slots.get(slot).is_some_and(|value| only.allows(value)))
    });
    images.retain(|slots| site.split.takes(&title(pattern, slots)));
    if !site.tables.is_empty() {
        images.sort_by_cached_key(|slots| pattern.expand(slots));
        require(site.root, pattern, &images)?;
    }
    Ok(images)
}

impl Split {
    /// Whether an image of this name falls into the split's fraction.
    pub(crate) fn takes(&self, name: &str) -> bool {
        self.fraction.is_none_or(|[low, high]| (low..high).contains(&share(name)))
    }
}

/// Refuses listed images that are not there, before training starts rather than in the middle.
fn require(root: &Root, pattern: &Pattern, images: &[Slots]) -> Result<()> {
    let paths = images.iter().map(|slots| root.path().join(pattern.expand(slots)));
    let missing: Vec<PathBuf> = paths.filter(|path| !path.exists()).collect();
    missing.is_empty().then_some(()).ok_or(Error::Missing { paths: missing })
}

/// Whether files of this ending are images; folders hold previews, notes and checksums too.
fn is_image(ext: &str) -> bool {
    ["jpg", "jpeg", "png"].iter().any(|known| ext.eq_ignore_ascii_case(known))
}

/// Name of an image: what the slots other than split and extension stand for.
pub(crate) fn title(pattern: &Pattern, slots: &Slots) -> String {
    let mut names: Vec<&str> =
        pattern.slots().filter(|&slot| slot != "split" && slot != "ext").collect();
    names.dedup();
    let values: Vec<&str> =
        names.iter().filter_map(|&slot| slots.get(slot)).map(String::as_str).collect();
    values.join("/")
}

/// The images whose ids a file lists.
fn listed(root: &Root, pattern: &Pattern, list: &Path, known: &Slots) -> Result<Vec<Slots>> {
    let text = fs::read_to_string(list).map_err(unreadable(list))?;
    let ids = text.lines().map(str::trim).filter(|id| !id.is_empty());
    let direct = pattern.slots().all(|slot| slot == "split" || slot == "id");
    let candidates = if direct { Vec::new() } else { pattern.find(root.path(), known)? };
    let by_id: HashMap<&str, &Slots> =
        candidates.iter().filter_map(|slots| Some((slots.get("id")?.as_str(), slots))).collect();
    let mut images = Vec::new();
    for id in ids {
        if !table::is_inside(id) {
            let origin = list.display().to_string();
            return Err(refused(&origin, "id", "a name below the data set's folder", id));
        }
        let mut slots = by_id.get(id).map_or_else(|| known.clone(), |&slots| slots.clone());
        slots.insert("id".to_owned(), id.to_owned());
        images.push(slots);
    }
    require(root, pattern, &images)?;
    Ok(images)
}

/// A number from 0 to 1 that depends on the name alone: FNV-1a of 64 bits, scrambled because it
/// mixes short names badly.
fn share(name: &str) -> f64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    (scramble(hash) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_even_and_do_not_change() {
        let names: Vec<String> = (0..1000).map(|k| format!("{k:04}")).collect();
        for tenth in 0..10 {
            let low = f64::from(tenth) / 10.0;
            let inside = names.iter().filter(|n| (low..low + 0.1).contains(&share(n))).count();
            assert!((60..140).contains(&inside), "{tenth}: {inside}");
        }
    }
}
