//! A task of an inferred manifest.

use super::found::Found;
use super::sizes::Sizes;

/// A label series that was understood.
pub(super) struct Task {
    pub(super) name: String,
    pub(super) label: String,
    pub(super) found: Found,
    pub(super) sizes: Sizes,
    /// Images without a label.
    pub(super) missing: usize,
}

impl Task {
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = self.found.notes.clone();
        if let Some([[h, w], [height, width]]) = self.sizes.other {
            notes.push(format!(
                "labels of {h} x {w} pixels beside images of {height} x {width}: `resize = true` \
                 brings them to that size"
            ));
        }
        if let Some((image, mark)) = &self.sizes.marked {
            notes.push(format!(
                "{}: orientation mark {} ({}): `apply_exif_orientation` says whether labels are \
                 drawn on the image turned so",
                image.display(),
                mark.mark(),
                mark.describe()
            ));
        }
        if self.missing > 0 {
            let images = if self.missing == 1 {
                "1 image has"
            } else {
                &format!("{} images have", self.missing)
            };
            notes.push(format!("{images} no label"));
        }
        notes.into_iter().map(|note| format!("{}: {note}", self.label)).collect()
    }
}
