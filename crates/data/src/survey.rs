//! What is wrong with a data set: all of it in one go.

mod entries;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::decode::unreadable;
use crate::loader::guarded;
use crate::overlap::Overlaps;
use crate::{Dataset, Error, FolderDataset, Result, Root};

/// What a data set holds and what is wrong with it.
#[derive(Debug, Default)]
pub struct Survey {
    /// Samples of each split that could be opened.
    pub samples: Vec<(String, usize)>,
    /// Everything that was found, the folder's first, then split by split in the order of samples.
    pub problems: Vec<Problem>,
    /// Entries of the folder that were told of.
    told: BTreeSet<PathBuf>,
}

/// One thing that is wrong.
#[derive(Debug)]
pub struct Problem {
    /// The split that it concerns; none where it is the folder's.
    pub split: Option<String>,
    /// What it is.
    pub error: Error,
}

impl Survey {
    /// Reads every image and label that `manifest` describes and `root` holds, on all cores.
    ///
    /// `splits` are all that there are unless some are named. `progress` hears from many threads
    /// of the split in work, its samples read and their number. Beside the files it tells of names
    /// in the folder that are no text or have line ends, links that lead nowhere or out of the
    /// folder unless `root` allows it, images of one name, and images in two splits that do not
    /// say so in `overlaps`.
    ///
    /// # Errors
    /// A manifest or folder that cannot be read at all; whatever else is wrong is in the result.
    pub fn of_folder(
        manifest: &Path,
        root: &Root,
        splits: &[String],
        progress: &(dyn Fn(&str, usize, usize) + Sync),
    ) -> Result<Self> {
        let all = FolderDataset::splits(manifest)?;
        root.path().metadata().map_err(unreadable(root.path()))?;
        let (mut survey, mut overlaps) = (Self::default(), Overlaps::default());
        survey.note(None, entries::odd(root));
        for split in if splits.is_empty() { &all } else { splits } {
            match FolderDataset::open(manifest, root, split) {
                Ok(dataset) => {
                    survey.read(split, &dataset, &|done, len| progress(split, done, len));
                    let found = overlaps.add(&dataset);
                    let odd = |error: &Error| !allowed(manifest, error);
                    survey.note(Some(split), found.into_iter().filter(odd).collect());
                }
                Err(error) => survey.note(Some(split), one_by_one(error)),
            }
        }
        Ok(survey)
    }

    fn read(
        &mut self,
        split: &str,
        dataset: &FolderDataset,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) {
        let (len, done) = (dataset.len(), AtomicUsize::new(0));
        let read = |index: usize| {
            let problems = guarded(dataset, index, || dataset.problems(index));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, len);
            problems.unwrap_or_else(|panic| vec![panic])
        };
        let problems: Vec<Vec<Error>> = (0..len).into_par_iter().map(read).collect();
        let repeated = dataset.repeated().into_iter().map(|(name, count)| Error::Repeated {
            dataset: dataset.name().to_owned(),
            split: split.to_owned(),
            name,
            count,
        });
        self.samples.push((split.to_owned(), len));
        self.note(Some(split), problems.into_iter().flatten().chain(repeated).collect());
    }

    fn note(&mut self, split: Option<&str>, errors: Vec<Error>) {
        for error in errors {
            if let Error::Entry { path, .. } = &error {
                // Every image behind a link would say what is said of the link.
                if path.ancestors().any(|above| self.told.contains(above)) {
                    continue;
                }
                self.told.insert(path.clone());
            }
            self.problems.push(Problem { split: split.map(str::to_owned), error });
        }
    }
}

/// Whether the manifest says that two splits share images.
fn allowed(manifest: &Path, error: &Error) -> bool {
    match error {
        Error::Overlap { one, other, .. } => {
            FolderDataset::may_overlap(manifest, one, other).unwrap_or(false)
        }
        _ => false,
    }
}

/// Missing images each on their own.
fn one_by_one(error: Error) -> Vec<Error> {
    match error {
        Error::Missing { paths } => {
            paths.into_iter().map(|path| Error::Missing { paths: vec![path] }).collect()
        }
        other => vec![other],
    }
}

#[cfg(test)]
mod tests;
