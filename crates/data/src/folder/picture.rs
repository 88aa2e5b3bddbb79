//! An image as training sees it, and what its orientation mark means for its labels.

use ndarray::Array3;

use crate::check::Fault;
use crate::decode::{Orientation, Photograph};

/// Sides of a label that is resized may be so much longer or shorter than those of its image.
const RATIO: f64 = 0.02;

/// An image, turned or as stored.
#[derive(Debug)]
pub(crate) struct Picture {
    /// RGB, `[height, width, 3]`.
    pub(crate) image: Array3<u8>,
    pub(crate) frame: Frame,
}

/// What labels of an image are compared with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    /// `[height, width]` of the image as training sees it.
    pub(crate) size: [usize; 2],
    pub(crate) orientation: Orientation,
    /// Whether the orientation was applied.
    pub(crate) upright: bool,
}

impl Picture {
    /// A photograph, turned upright or as stored.
    pub(crate) fn of(stored: Photograph, upright: bool) -> Self {
        let Photograph { pixels, orientation } = stored;
        let image = if upright { orientation.applied(pixels) } else { pixels };
        Self { frame: Frame { orientation, upright, ..Frame::of(&image) }, image }
    }

    /// An image that has no mark.
    pub(crate) fn unmarked(image: Array3<u8>) -> Self {
        Self { frame: Frame::of(&image), image }
    }
}

impl Frame {
    fn of(image: &Array3<u8>) -> Self {
        let (height, width, _) = image.dim();
        Self { size: [height, width], orientation: Orientation::UPRIGHT, upright: true }
    }

    /// Refuses a label that lies while its image stands, or the other way round.
    pub(crate) fn accept(&self, label: [usize; 2], resize: bool) -> Result<(), Fault> {
        let [height, width] = self.size;
        let lying = [width, height];
        let like = |size: [usize; 2]| if resize { similar(label, size) } else { label == size };
        if label == [0, 0] || like(self.size) || !like(lying) {
            return Ok(());
        }
        let mark = self.orientation.mark();
        let [h, w] = label;
        if !self.orientation.swaps_sides() {
            // Without `resize` sizes are compared anyway.
            let expected = format!("the proportions of the image, {height} x {width} pixels");
            let found = format!("{h} x {w}, those of the image turned by 90 degrees");
            return if resize { Err(Fault::new(expected, found)) } else { Ok(()) };
        }
        let (state, other) = match self.upright {
            true => ("turned as its orientation mark says", "as stored, without the mark"),
            false => ("as stored", "turned as its orientation mark says"),
        };
        let key = format!(
            "`apply_exif_orientation = {}` in [layout] if labels are drawn on it {other}",
            !self.upright
        );
        let expected =
            format!("{height} x {width} pixels, the size of the image {state}, or {key}");
        Err(Fault::new(expected, format!("{h} x {w} beside orientation mark {mark}")))
    }

    /// Whether a mark was applied or not, and the size of a label cannot tell which is right.
    pub(crate) fn is_unclear(&self) -> bool {
        let [height, width] = self.size;
        self.orientation != Orientation::UPRIGHT
            && (!self.orientation.swaps_sides() || height == width)
    }
}

/// Whether two sizes have the same proportions.
fn similar([height, width]: [usize; 2], [h, w]: [usize; 2]) -> bool {
    let (one, other) = ((height * w) as f64, (width * h) as f64);
    (one - other).abs() <= RATIO * one.max(other)
}
