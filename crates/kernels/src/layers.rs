//! Layers between the products.

use tch::Tensor;

use crate::bridge::{all, at, ffi, output};

/// `x Phi(x)` with the exact normal distribution. An operation of this module that reads the result
/// keeps `x` in its place.
pub fn gelu(x: &Tensor) -> Tensor {
    output("gelu", ffi::gelu(at(x)))
}

/// Sets each number to zero with probability `p` and scales the rest by `1 / (1 - p)`.
///
/// On the CPU the mask follows from one draw of LibTorch's generator and the index of a number: it
/// is made again in the backward pass, not kept.
///
/// # Panics
/// As [`linear`](crate::linear).
pub fn dropout(x: &Tensor, p: f64) -> Tensor {
    output("dropout", ffi::dropout(at(x), p))
}

/// `x + factors branch`: `branch` `[n entries, ..]`, `x` `[entries, ..]`, which comes again for
/// every `entries` of the branch, `factors` `[n entries]` in float32, or all 1.
///
/// # Panics
/// As [`linear`](crate::linear).
pub fn add_branch(x: &Tensor, branch: &Tensor, factors: Option<&Tensor>) -> Tensor {
    let none = Tensor::new();
    output("add_branch", ffi::add_branch(at(x), at(branch), at(factors.unwrap_or(&none))))
}

/// `(x - mean) / sqrt(var + eps) * weight + bias` over the last axis; statistics and parameters in
/// float32, the rest in the type of `x`.
///
/// # Panics
/// As [`linear`](crate::linear).
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Tensor {
    output("layer_norm", ffi::layer_norm(at(x), at(weight), at(bias), eps))
}

/// What a batch normalisation learns and keeps, each `[chans]`.
#[derive(Debug)]
pub struct BatchNorm<'t> {
    /// Scale behind the normalisation.
    pub weight: &'t Tensor,
    /// Shift behind the normalisation.
    pub bias: &'t Tensor,
    /// Mean over batches; a training step moves it.
    pub running_mean: &'t Tensor,
    /// Variance over batches; a training step moves it.
    pub running_var: &'t Tensor,
    /// Share of a batch in the running statistics.
    pub momentum: f64,
    /// Added to the variance.
    pub eps: f64,
}

/// `relu(batch_norm(x))` of rows, `[positions, chans]`; statistics in float32.
///
/// # Panics
/// As [`linear`](crate::linear).
pub fn batch_norm_relu(x: &Tensor, norm: &BatchNorm, train: bool) -> Tensor {
    let y = ffi::batch_norm_relu(
        at(x),
        at(norm.weight),
        at(norm.bias),
        at(norm.running_mean),
        at(norm.running_var),
        norm.momentum,
        norm.eps,
        train,
    );
    output("batch_norm_relu", y)
}

/// `W_2 relu(batch_norm(x W_1^T + b_1 + up(coarse))) + b_2` of maps `[batch, height, width, in]`:
/// the layers of a head behind its levels. `up` resizes maps `[batch, h, w, hidden]` to the size of
/// `x` as [`upsample`] does.
///
/// Where the hidden layer is large on the CPU it is never kept: its blocks are made in the caches,
/// twice forward and twice back.
///
/// # Panics
/// As [`linear`](crate::linear).
pub fn fused_head(
    x: &Tensor,
    coarse: &[&Tensor],
    first: (&Tensor, Option<&Tensor>),
    norm: &BatchNorm<'_>,
    last: (&Tensor, Option<&Tensor>),
    train: bool,
) -> Tensor {
    fused_head_by(false, x, coarse, first, norm, last, train)
}

/// The same, `always` without keeping the hidden layer, or by the rule.
pub(crate) fn fused_head_by(
    always: bool,
    x: &Tensor,
    coarse: &[&Tensor],
    (weight, bias): (&Tensor, Option<&Tensor>),
    norm: &BatchNorm<'_>,
    (last, last_bias): (&Tensor, Option<&Tensor>),
    train: bool,
) -> Tensor {
    let none = Tensor::new();
    let layers = all([weight, bias.unwrap_or(&none), last, last_bias.unwrap_or(&none)]);
    let own = all([norm.weight, norm.bias, norm.running_mean, norm.running_var]);
    let (coarse, momentum, eps) = (all(coarse.iter().copied()), norm.momentum, norm.eps);
    let y = ffi::fused_head(at(x), &coarse, &layers, &own, momentum, eps, train, always);
    output("fused_head", y)
}

/// `onto` and all `levels` resized to `[height, width]`, summed: bilinear, pixels as areas
/// (`align_corners = false`). Levels are `[batch, h, w, chans]`, the rest `[batch, height, width,
/// chans]`, all of one type.
///
/// # Panics
/// As [`linear`](crate::linear).
pub fn upsample(levels: &[&Tensor], onto: Option<&Tensor>, [height, width]: [i64; 2]) -> Tensor {
    let none = Tensor::new();
    let (levels, onto) = (all(levels.iter().copied()), at(onto.unwrap_or(&none)));
    output("upsample", ffi::upsample(&levels, onto, height, width))
}

/// Each plane of `[.., height, width]` filtered along its rows and its columns by the same `taps`,
/// an odd number of them that reads the same from both ends, with zeros beside the plane.
///
/// # Panics
/// As [`linear`](crate::linear).
pub fn filter_planes(planes: &Tensor, taps: &[f64]) -> Tensor {
    output("filter_planes", ffi::filter_planes(at(planes), taps))
}
