//! Bytes of numbers, and numbers of bytes.

use tch::{Kind, TchError, Tensor};

use super::{Checked, Operator};

impl Operator<'_> {
    /// `x / scale`, rounded to even, behind the zero point; of one scale, to bytes from 0 to 255.
    pub(super) fn quantize(&self, x: &Tensor) -> Checked<Tensor> {
        let (scale, zero) = (self.input(1)?, self.input(2)?);
        if scale.dim() != 0 || zero.kind() != Kind::Uint8 {
            return Err("expected one scale, and bytes from 0 to 255".into());
        }
        let bytes = || {
            let steps = x.f_div(scale)?.f_round()?.f_add(&zero.to_kind(Kind::Float))?;
            steps.f_clamp(0.0, 255.0)?.f_to_kind(Kind::Uint8)
        };
        bytes().map_err(|e: TchError| e.to_string())
    }

    /// `(x - zero point) scale`, of one scale or of one for each place along `axis`.
    pub(super) fn dequantize(&self, x: &Tensor) -> Checked<Tensor> {
        let (scale, axis) = (self.input(1)?, self.int("axis", 1));
        let zero = self.inputs.get(2).and_then(Option::as_ref);
        let along = |t: &Tensor| -> Result<Tensor, TchError> {
            let mut shape = vec![1; x.dim()];
            match (t.dim(), usize::try_from(axis).ok().and_then(|axis| shape.get_mut(axis))) {
                (1, Some(extent)) => *extent = -1,
                _ => return t.f_to_kind(Kind::Float),
            }
            t.f_to_kind(Kind::Float)?.f_view(shape.as_slice())
        };
        let numbers = || {
            let steps = x.f_to_kind(Kind::Float)?;
            let steps =
                zero.map_or(Ok(steps.shallow_clone()), |zero| steps.f_sub(&along(zero)?))?;
            steps.f_mul(&along(scale)?)
        };
        numbers().map_err(|e| e.to_string())
    }
}
