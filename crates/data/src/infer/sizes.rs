//! Whether labels have the sizes of their images, and which way up they were drawn.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::series::{Family, Series};
use super::stored;
use crate::decode::{IndexOrColour, Orientation, read_array, read_palette_png, read_photograph};

/// Labels that are compared with their images.
const SAMPLES: usize = 24;

/// Maps of pixels have at least so many numbers on a side, or not so many times fewer than the image.
const LEAST_SIDE: usize = 8;
const SMALLER: usize = 64;

/// What sizes tell of a series of labels.
#[derive(Debug, Default)]
pub(super) struct Sizes {
    /// A label of another size than its image, and that of the image.
    pub(super) other: Option<[[usize; 2]; 2]>,
    /// Whether labels are drawn on images as their orientation marks turn them.
    pub(super) upright: Option<bool>,
    /// The first image with a mark.
    pub(super) marked: Option<(PathBuf, Orientation)>,
}

/// Whether an array is too small beside its image, `[height, width]` each, to be a map of pixels: such
/// are the corners of boxes and the numbers of a camera.
pub(super) fn is_no_map([array, image]: [[usize; 2]; 2]) -> bool {
    let numbers = |[height, width]: [usize; 2]| height.saturating_mul(width);
    array[0].min(array[1]) < LEAST_SIDE && numbers(array).saturating_mul(SMALLER) < numbers(image)
}

/// Compares labels of `series`, which `format` reads, with their images.
pub(super) fn compare(folder: &Path, images: &Series, series: &Series, format: &str) -> Sizes {
    let mut found = Sizes::default();
    let files: HashMap<String, PathBuf> = images.by_key(images).collect();
    for (key, label) in series.by_key(images).take(SAMPLES) {
        let Some(image) = files.get(&key) else { continue };
        let stored = read_photograph(&folder.join(image)).ok();
        let label = size(&folder.join(label), series.family, format);
        if let (Some(stored), Some(label)) = (stored, label) {
            let (height, width, _) = stored.pixels.dim();
            found.note(image, [height, width], stored.orientation, label);
        }
    }
    found
}

impl Sizes {
    fn note(&mut self, image: &Path, size: [usize; 2], mark: Orientation, label: [usize; 2]) {
        if mark != Orientation::UPRIGHT {
            self.marked.get_or_insert((image.to_owned(), mark));
        }
        let lying = [size[1], size[0]];
        match mark.swaps_sides() && size != lying {
            true if label == lying => self.upright = self.upright.or(Some(true)),
            true if label == size => self.upright = Some(false),
            _ if label != size => self.other = self.other.or(Some([label, size])),
            _ => {}
        }
    }
}

fn size(label: &Path, family: Family, format: &str) -> Option<[usize; 2]> {
    match family {
        Family::Array => sides(read_array(label).ok()?.1.shape()),
        Family::Hdf5 | Family::Mat => sides(stored::array(label, format)?.shape()),
        Family::Safetensors => {
            let name = format.split_once(':')?.1;
            let tensors = stored::tensors(label).ok()?;
            sides(tensors.iter().find(|(own, _)| own == name)?.1.get(1..)?)
        }
        Family::Png => Some(match read_palette_png(label).ok()? {
            IndexOrColour::Index(map) => map.words().dim().into(),
            IndexOrColour::Colour(map) => [map.dim().0, map.dim().1],
        }),
        Family::Photo => None,
    }
}

fn sides(shape: &[usize]) -> Option<[usize; 2]> {
    match shape {
        [1, height, width] | [height, width, ..] => Some([*height, *width]),
        _ => None,
    }
}
