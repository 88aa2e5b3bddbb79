//! What the decoders of photographs give.

use ndarray::Array3;

use super::orientation::Orientation;

/// A photograph as stored, and how a viewer turns it.
#[derive(Debug)]
pub(crate) struct Photograph {
    /// RGB, `[height, width, 3]`.
    pub(crate) pixels: Array3<u8>,
    pub(crate) orientation: Orientation,
}
