//! What one image of a folder holds, for whoever looks at all of them.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use super::dataset::FolderDataset;
use super::manifest::Manifest;
use super::pattern::{Pattern, Slots};
use super::picture::Frame;
use super::root::Root;
use super::similar_names::SimilarNames;
use super::split_context::SplitContext;
use super::store::Store;
use super::unmatched::unmatched_images;
use crate::{Error, Result};

/// What one image holds and what is wrong with it.
#[derive(Debug, Default)]
pub(crate) struct Inspection {
    pub(crate) problems: Vec<Error>,
    /// The image, unless it cannot be read.
    pub(crate) frame: Option<Frame>,
    /// Whether each task of the data set has a label here, readable or not.
    pub(crate) labels: Vec<bool>,
    /// Polygons that are skipped in the label of each task.
    pub(crate) skipped: Vec<usize>,
}

impl FolderDataset {
    /// Reads image `index` and all of its labels.
    pub(crate) fn inspect(&self, index: usize) -> Inspection {
        let slots = &self.items[index];
        let (frame, unreadable) = match self.images.read(index, slots) {
            Ok(picture) => (Some(picture.frame), None),
            Err(error) => (None, Some(error)),
        };
        let mut found = Inspection { frame, ..Inspection::default() };
        found.problems.extend(unreadable);
        for (task, labels) in self.tasks.iter().zip(&self.labels) {
            let label = labels
                .as_ref()
                .map_or(Ok(None), |labels| labels.get(index, slots, task, frame.as_ref()));
            found.labels.push(!matches!(label, Ok(None)));
            found.skipped.push(labels.as_ref().map_or(0, |labels| labels.skipped(index)));
            found.problems.extend(label.err());
        }
        found
    }

    /// Whether some image of the split has a file that `pattern` names.
    pub(crate) fn has(&self, root: &Root, pattern: &str) -> bool {
        let pattern = Pattern::parse(pattern);
        let there = |slots: &Slots| {
            let path = |pattern: &Pattern| root.find(pattern.expand(slots));
            pattern.as_ref().is_ok_and(|pattern| path(pattern).is_file())
        };
        self.items.iter().any(there)
    }

    /// Height and width of label `task` of sample `index` as stored.
    pub(crate) fn stored_size(&self, index: usize, task: &str) -> Result<Option<[usize; 2]>> {
        let labels = self.wanted().find(|(spec, _)| spec.name == task);
        labels
            .map_or(Ok(None), |(spec, labels)| labels.stored_size(index, &self.items[index], spec))
    }

    /// Names that several images have, in the order of names, with how many: predictions and
    /// reports could not tell these images apart.
    pub(crate) fn repeated(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for slots in &self.items {
            *counts.entry(self.images.title(slots)).or_insert(0) += 1;
        }
        counts.retain(|_, count| *count > 1);
        counts
    }

    /// The file of image `index`.
    pub(crate) fn image_file(&self, index: usize) -> PathBuf {
        self.images.path(index, &self.items[index])
    }

    /// Labels that are not there, of which a file beside them is called nearly so.
    pub(crate) fn misnamed_labels(&self, root: &Root) -> Vec<Error> {
        let items = self.items.iter().enumerate();
        let images = items.map(|(index, slots)| self.images.path(index, slots));
        let files = || self.wanted().filter_map(|(task, labels)| Some((task, labels.files()?)));
        let labels = files().flat_map(|(_, files)| self.items.iter().flat_map(|s| files.paths(s)));
        let claimed: HashSet<PathBuf> = images.chain(labels).collect();
        let mut near = SimilarNames::new(claimed);
        let mut found = Vec::new();
        for (task, files) in files() {
            for slots in self.items.iter().filter(|slots| !files.has(slots)) {
                let (path, task) = (files.first(slots), task.name.clone());
                let other = near.find(root.path(), &files.first_name(slots));
                found.extend(other.map(|near| Error::MisnamedLabel { task, path, near }));
            }
        }
        found
    }

    /// Images that the pattern nearly fits.
    pub(crate) fn unmatched_image(&self, manifest: &Path, root: &Root) -> Result<Option<Error>> {
        let described = Manifest::read(manifest)?;
        let context =
            SplitContext::new(manifest.display().to_string(), &described, root, &self.split)?;
        if matches!(context.store, Store::Packed(_)) {
            return Ok(None);
        }
        let passed = match context.split.fraction {
            // Shares leave images out, and another split says what is passed over.
            Some([low, _]) if low > 0.0 => Vec::new(),
            Some(_) => {
                let all = context.images.find(root.path(), &context.known())?;
                unmatched_images(&context, &all, false)
            }
            None => unmatched_images(&context, &self.items, false),
        };
        let pattern = context.images.to_string();
        let first = passed.first().cloned();
        Ok(first.map(|first| Error::UnmatchedImage { pattern, first, count: passed.len() }))
    }
}
