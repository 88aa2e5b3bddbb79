//! What is wrong with a data set: all of it in one go.

mod entries;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;

use crate::decode::unreadable;
use crate::folder::{Frame, Inspection, Manifest};
use crate::loader::guarded;
use crate::overlap::Overlaps;
use crate::{Dataset, Error, FolderDataset, Orientation, Result, Root, TaskSpec};

/// What a data set holds and what is wrong with it.
#[derive(Debug, Default)]
pub struct ValidationReport {
    /// Samples of each split that could be opened.
    pub samples: Vec<(String, usize)>,
    /// Labels of each task in each of these splits.
    pub labels: Vec<LabelCount>,
    /// Polygons that are skipped, of each task and split that has such.
    pub skipped: Vec<SkippedPolygons>,
    /// Images with an orientation mark other than 1.
    pub marks: Vec<Mark>,
    /// Everything that was found, the folder's first, then split by split in the order of samples.
    pub problems: Vec<Problem>,
    /// Entries of the folder that were reported.
    reported: BTreeSet<PathBuf>,
}

/// How many images of a split have a label of a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelCount {
    /// The split.
    pub split: String,
    /// The task.
    pub task: String,
    /// Images with a label, readable or not.
    pub labelled: usize,
    /// All images.
    pub images: usize,
}

/// Polygons of less than three corners, which no label shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedPolygons {
    /// The split.
    pub split: String,
    /// The task.
    pub task: String,
    /// How many there are.
    pub polygons: usize,
    /// Images that have such.
    pub images: usize,
    /// The first of these.
    pub first: PathBuf,
}

/// An image that a viewer turns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// The split.
    pub split: String,
    /// File of the image.
    pub path: PathBuf,
    /// How it is turned.
    pub orientation: Orientation,
    /// Whether training turns it.
    pub applied: bool,
    /// Whether nobody can say if its labels are drawn on it as it is turned: sizes do not tell, and
    /// the manifest does not say.
    pub undecided: bool,
}

/// One thing that is wrong.
#[derive(Debug)]
pub struct Problem {
    /// The split that it concerns; none where it is the folder's.
    pub split: Option<String>,
    /// What it is.
    pub error: Error,
}

impl ValidationReport {
    /// Reads every image and label that `manifest` describes and `root` holds, on all cores.
    ///
    /// `splits` are all that there are unless some are named. `progress` hears from many threads
    /// of the split in work, its samples read and their number. Beside the files it tells of names
    /// in the folder that are no text or have line ends, links that lead nowhere or out of the
    /// folder unless `root` allows it, images of one name, and images in two splits that do not
    /// say so in `overlaps`, labels and images that are missed by a hair, and orientation marks.
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
        let (mut report, mut overlaps) = (Self::default(), Overlaps::default());
        report.note(None, entries::odd(root));
        for split in if splits.is_empty() { &all } else { splits } {
            match FolderDataset::open(manifest, root, split) {
                Ok(dataset) => {
                    let watch = |done, len| progress(split, done, len);
                    report.read(split, (manifest, root), &dataset, &watch)?;
                    let found = overlaps.add(&dataset);
                    let odd = |error: &Error| !allowed(manifest, error);
                    report.note(Some(split), found.into_iter().filter(odd).collect());
                }
                Err(error) => report.note(Some(split), one_by_one(error)),
            }
        }
        Ok(report)
    }

    fn read(
        &mut self,
        split: &str,
        (manifest, root): (&Path, &Root),
        dataset: &FolderDataset,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<()> {
        let (len, done) = (dataset.len(), AtomicUsize::new(0));
        let read = |index: usize| {
            let found = guarded(dataset, index, || dataset.inspect(index));
            progress(done.fetch_add(1, Ordering::Relaxed) + 1, len);
            found.unwrap_or_else(|panic| Inspection {
                problems: vec![panic],
                ..Inspection::default()
            })
        };
        let mut found: Vec<Inspection> = (0..len).into_par_iter().map(read).collect();
        let problems: Vec<Error> = found.iter_mut().flat_map(|f| f.problems.drain(..)).collect();
        let repeated = dataset.repeated().into_iter().map(|(name, count)| Error::Repeated {
            dataset: dataset.name().to_owned(),
            split: split.to_owned(),
            name,
            count,
        });
        self.samples.push((split.to_owned(), len));
        self.count(split, dataset, &found);
        self.skip(split, dataset, &found);
        self.note(Some(split), problems.into_iter().chain(repeated).collect());
        self.note(Some(split), dataset.misnamed_labels(root));
        self.note(Some(split), dataset.unmatched_image(manifest, root)?.into_iter().collect());
        let decided = Manifest::read(manifest)?.layout.apply_exif_orientation.is_some();
        let undecided = self.mark(split, dataset, &found, decided);
        self.note(Some(split), undecided.into_iter().collect());
        Ok(())
    }

    fn count(&mut self, split: &str, dataset: &FolderDataset, found: &[Inspection]) {
        let has = |place: usize| move |found: &&Inspection| found.labels.get(place) == Some(&true);
        self.labels.extend(dataset.tasks().iter().enumerate().map(|(place, task)| LabelCount {
            split: split.to_owned(),
            task: task.name.clone(),
            labelled: found.iter().filter(has(place)).count(),
            images: found.len(),
        }));
    }

    /// Notes polygons that are skipped.
    fn skip(&mut self, split: &str, dataset: &FolderDataset, found: &[Inspection]) {
        for (place, task) in dataset.tasks().iter().enumerate() {
            let of = |found: &Inspection| found.skipped.get(place).copied().unwrap_or(0);
            let counts = found.iter().map(of).enumerate().filter(|(_, count)| *count > 0);
            let counts: Vec<(usize, usize)> = counts.collect();
            let Some((first, _)) = counts.first() else { continue };
            self.skipped.push(SkippedPolygons {
                split: split.to_owned(),
                task: task.name.clone(),
                polygons: counts.iter().map(|(_, count)| count).sum(),
                images: counts.len(),
                first: dataset.image_file(*first),
            });
        }
    }

    /// Notes orientation marks, and tells of those with which nobody can say where labels belong.
    fn mark(
        &mut self,
        split: &str,
        dataset: &FolderDataset,
        found: &[Inspection],
        decided: bool,
    ) -> Option<Error> {
        let dense: Vec<bool> = dataset.tasks().iter().map(TaskSpec::is_dense).collect();
        let mut all = Vec::new();
        for (index, found) in found.iter().enumerate() {
            let Some(frame) = found.frame else { continue };
            let Frame { orientation, upright: applied, .. } = frame;
            if orientation == Orientation::UPRIGHT {
                continue;
            }
            let (split, path) = (split.to_owned(), dataset.image_file(index));
            let labelled = found.labels.iter().zip(&dense).any(|(has, dense)| *has && *dense);
            let undecided = !decided && labelled && frame.is_unclear();
            all.extend(undecided.then(|| (path.clone(), orientation)));
            self.marks.push(Mark { split, path, orientation, applied, undecided });
        }
        let count = all.len();
        let (first, mark) = all.into_iter().next()?;
        Some(Error::UnclearOrientation { first, mark, count })
    }

    fn note(&mut self, split: Option<&str>, errors: Vec<Error>) {
        for error in errors {
            if let Error::Entry { path, .. } = &error {
                // Every image behind a link would say what is said of the link.
                if path.ancestors().any(|above| self.reported.contains(above)) {
                    continue;
                }
                self.reported.insert(path.clone());
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
        Error::Missing { images } => {
            images.into_iter().map(|image| Error::Missing { images: vec![image] }).collect()
        }
        other => vec![other],
    }
}

#[cfg(test)]
mod tests;
