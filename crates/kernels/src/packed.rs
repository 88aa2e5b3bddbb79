//! Linear maps whose matrix lies as products read it.

use tch::Tensor;

use crate::bridge::{at, ffi, optional_output, output};

/// A matrix `[out, in]` whose columns lie in panels, in the order in which products in tiles read
/// them.
///
/// A product of few rows spends up to a twentieth of its time on putting them so; this does it once.
/// The numbers are those of the matrix, and so are products, to the last bit.
#[derive(Debug)]
pub struct PackedWeight {
    panels: Tensor,
    /// `[out, in]`.
    shape: [i64; 2],
}

impl PackedWeight {
    /// Packs `weight`, `[out, in]`; nothing where this machine multiplies such a matrix otherwise.
    pub fn new(weight: &Tensor) -> Option<Self> {
        let &[out, depth] = weight.size().as_slice() else { return None };
        let packed = ffi::pack_linear(at(weight)).unwrap_or_else(|e| panic!("pack_linear: {e}"));
        Some(Self { panels: optional_output(packed)?, shape: [out, depth] })
    }

    /// The matrix, `[out, in]`, put together anew.
    pub fn weight(&self) -> Tensor {
        let [out, depth] = self.shape;
        output("unpack_linear", ffi::unpack_linear(at(&self.panels), out, depth))
    }

    /// `y = x W^T + b`, or GELU of it if `gelu`: `x` `[.., in]`, `bias` `[out]`.
    ///
    /// In a trace, and where `x` is of another type or learns, the matrix is put together first.
    ///
    /// # Panics
    /// Shapes that do not fit, as tch's own operations do.
    pub fn linear(&self, x: &Tensor, bias: Option<&Tensor>, gelu: bool) -> Tensor {
        let none = Tensor::new();
        let ([out, depth], bias) = (self.shape, bias.unwrap_or(&none));
        let done = ffi::packed_linear(at(x), at(&self.panels), out, depth, at(bias), gelu);
        output("packed_linear", done)
    }
}
