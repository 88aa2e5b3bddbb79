//! Parts of a fused matrix that have factors of their own, as one pair of factors.

use polyptych_tensor::{Error as TensorError, Kind, TchError, Tensor, Tensors};

use super::rows::PARTS;
use crate::blocks::tensors::take;
use crate::error::{Error, Result};

/// PEFT's name of DoRA's magnitudes.
pub(super) const MAGNITUDE: &str = "lora_magnitude_vector";

/// The factors of one fused matrix.
pub(super) struct Fused {
    /// The matrix.
    pub(super) path: String,
    /// How many of its parts have factors.
    pub(super) pairs: i64,
    /// `[pairs r, in]`.
    pub(super) a: Tensor,
    /// `[out, pairs r]`.
    pub(super) b: Tensor,
    /// `[out]`: DoRA's magnitudes, or the lengths of rows where there are none.
    pub(super) magnitude: Tensor,
}

impl Fused {
    /// Takes the factors of the first fused matrix out of `parts`; nothing once there is none.
    ///
    /// # Errors
    /// A part without one of its factors, or a matrix that `base` lacks.
    pub(super) fn take(parts: &mut Tensors, base: &Tensors) -> Result<Option<Self>> {
        let Some(path) = parts.keys().next().and_then(|name| fused_of(name)) else {
            return Ok(None);
        };
        let weight = base.get(&format!("{path}.weight")).ok_or_else(|| without_weight(&path))?;
        let third = weight.size()[0] / 3;
        let (mut all_a, mut all_b, mut lengths) = (Vec::new(), Vec::new(), Vec::new());
        for (index, part) in PARTS.iter().enumerate() {
            let before = index as i64 * third;
            let name = |end: &str| format!("{path}.{part}.{end}");
            let magnitude = parts.remove(&name(MAGNITUDE)).filter(has_started);
            lengths
                .push(magnitude.unwrap_or_else(|| row_lengths(&weight.narrow(0, before, third))));
            let Some(a) = parts.remove(&name("lora_A.weight")) else { continue };
            let b = take(parts, &name("lora_B.weight"))?;
            all_b.push(b.constant_pad_nd([0, 0, before, 2 * third - before]));
            all_a.push(a);
        }
        Ok(Some(Self {
            pairs: all_a.len() as i64,
            a: Tensor::f_cat(&all_a, 0).map_err(tensor)?,
            b: Tensor::f_cat(&all_b, 1).map_err(tensor)?,
            magnitude: Tensor::cat(&lengths, 0),
            path,
        }))
    }
}

/// The fused matrix whose part the factor `name` adapts.
pub(super) fn fused_of(name: &str) -> Option<String> {
    PARTS.iter().find_map(|part| {
        let (attn, _) = name.split_once(&format!(".qkv.{part}.lora_"))?;
        Some(format!("{attn}.qkv"))
    })
}

/// A magnitude of zeros has not started, and stands for the lengths of the weight's rows.
pub(super) fn has_started(magnitude: &Tensor) -> bool {
    magnitude.abs().max().double_value(&[]) > 0.0
}

/// `[rows]`, float32.
pub(super) fn row_lengths(weight: &Tensor) -> Tensor {
    let rows = weight.to_kind(Kind::Float).square();
    rows.sum_dim_intlist([1i64].as_slice(), false, Kind::Float).sqrt()
}

/// A module with factors whose weight is absent.
pub(super) fn without_weight(module: &str) -> Error {
    Error::NotInPeft { name: module.into(), reason: "its weight is absent".into() }
}

fn tensor(cause: TchError) -> Error {
    Error::Tensor(TensorError::from(cause))
}
