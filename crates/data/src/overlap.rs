//! Whether an image is in two splits.

use std::collections::HashMap;

use crate::{Dataset, Error, Result};

/// Refuses to measure on images of training. Images that are made rather than read do not
/// count: whoever makes them answers for their splits.
///
/// # Errors
/// [`Error::Overlap`].
pub fn require_disjoint(train: &dyn Dataset, eval: &dyn Dataset) -> Result<()> {
    let mut overlaps = Overlaps::default();
    overlaps.add(eval);
    overlaps.add(train).into_iter().next().map_or(Ok(()), Err)
}

/// The images of splits that were seen.
#[derive(Debug, Default)]
pub(crate) struct Overlaps {
    /// Names of the splits, and which of them hold an image.
    splits: Vec<String>,
    images: HashMap<String, Vec<usize>>,
}

impl Overlaps {
    /// Adds a data set, and tells what it shares with those before: one error for each split of
    /// theirs.
    pub(crate) fn add(&mut self, dataset: &dyn Dataset) -> Vec<Error> {
        let mut found: Vec<Error> = Vec::new();
        let before = self.splits.len();
        for index in 0..dataset.len() {
            let Some(origin) = dataset.origin(index) else { continue };
            let own = self.place(before, origin.split);
            let holders = self.images.entry(origin.image.clone()).or_default();
            for &holder in holders.iter().filter(|&&holder| holder < before) {
                let name = dataset.name();
                tell(&mut found, name, (&self.splits[holder], origin.split), &origin.image);
            }
            if !holders.contains(&own) {
                holders.push(own);
            }
        }
        found
    }

    /// The place of a split of the data set that is added, behind those that were there `before`.
    fn place(&mut self, before: usize, split: &str) -> usize {
        let known = self.splits.iter().skip(before).position(|name| name == split);
        known.map_or_else(
            || {
                self.splits.push(split.to_owned());
                self.splits.len() - 1
            },
            |place| before + place,
        )
    }
}

fn tell(found: &mut Vec<Error>, name: &str, (holder, split): (&String, &str), image: &str) {
    for error in found.iter_mut() {
        if let Error::Overlap { one, other, count, .. } = error
            && (&*one, other.as_str()) == (holder, split)
        {
            *count += 1;
            return;
        }
    }
    found.push(Error::Overlap {
        dataset: name.to_owned(),
        one: holder.clone(),
        other: split.to_owned(),
        count: 1,
        first: image.to_owned(),
    });
}
