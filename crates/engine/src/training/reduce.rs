//! Gradients of all ranks as one: each rank has those of its part of the batch, scaled as a part of
//! the whole, so that they add up.

use polyptych_distributed::{GradientBuckets, Ranks};
use polyptych_tensor::{Kind, Tensor};

use crate::Result;

/// The sums of gradients by `params` over all ranks, in flat buckets; one that no rank has stays
/// undefined.
///
/// # Errors
/// A rank that is gone, late or failed.
pub(crate) fn sum_gradients(
    ranks: &Ranks,
    found: Vec<Tensor>,
    params: &[&Tensor],
) -> Result<Vec<Tensor>> {
    let Some(first) = params.first().filter(|_| ranks.are_many()) else { return Ok(found) };
    let defined: Vec<f32> = found.iter().map(|grad| f32::from(u8::from(grad.defined()))).collect();
    let defined = Tensor::from_slice(&defined).to_device(first.device());
    let or_zeros = |(grad, param): (Tensor, &&Tensor)| match grad.defined() {
        true => grad,
        false => param.zeros_like(),
    };
    let mut all: Vec<Tensor> = found.into_iter().zip(params).map(or_zeros).collect();
    all.push(defined);
    let mut sums = ranks.sum(&all.iter().collect::<Vec<_>>())?;
    let counts = sums.pop().unwrap_or_default().to_kind(Kind::Double);
    let counts = Vec::<f64>::try_from(&counts.to_device(polyptych_tensor::Device::Cpu))?;
    let or_none = |(sum, count): (Tensor, f64)| if count > 0.0 { sum } else { Tensor::new() };
    Ok(sums.into_iter().zip(counts).map(or_none).collect())
}

/// Does `backward`, which fills the gradients of the parameters that train, and makes them those of
/// all ranks; `buckets` send them while the pass goes on.
///
/// # Errors
/// What `backward` reports, or a rank that is gone.
pub(crate) fn summed<T>(
    buckets: Option<&GradientBuckets>,
    backward: impl FnOnce() -> Result<T>,
) -> Result<T> {
    match buckets {
        Some(buckets) => buckets.around(backward),
        None => backward(),
    }
}
