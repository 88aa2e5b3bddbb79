//! Attention, and windows of maps that it runs in.

use tch::Tensor;

use crate::bridge::{at, ffi, output};

/// `softmax(q k^T / sqrt(head_dim) + bias) v` within each sequence of `qkv`:
/// `[batch, tokens, 3 * dim]` to `[batch, tokens, dim]`.
///
/// The last axis is ordered q, k, v and head-major within each. `bias` is
/// `[windows, heads, tokens, tokens]`, added to the entries of the batch cyclically, so `windows` must
/// divide `batch`. Kept for the backward pass is `qkv`; where a head is too large for the first
/// caches, the probabilities are kept too.
///
/// # Panics
/// As [`linear`](crate::linear).
pub fn attention(qkv: &Tensor, heads: i64, bias: Option<&Tensor>) -> Tensor {
    let none = Tensor::new();
    output("attention", ffi::attention(at(qkv), at(bias.unwrap_or(&none)), heads))
}

/// `[batch, height, width, dim]`, rolled back by `shift`, padded with zeros at its end and cut into
/// windows of `size`: `[batch * windows, area, dim]`. Nothing where it takes other operations: on
/// other devices than the CPU, without numbers, in a trace.
///
/// # Panics
/// As [`linear`](crate::linear).
pub fn cut_windows(map: &Tensor, size: [i64; 2], shift: [i64; 2]) -> Option<Tensor> {
    let cut = || output("cut_windows", ffi::cut_windows(at(map), &size, &shift));
    ffi::moves_windows(at(map)).then(cut)
}

/// The inverse of [`cut_windows`], to maps of `resolution`; nothing where that gives nothing.
///
/// # Panics
/// As [`linear`](crate::linear).
pub fn join_windows(
    windows: &Tensor,
    resolution: [i64; 2],
    size: [i64; 2],
    shift: [i64; 2],
) -> Option<Tensor> {
    let join =
        || output("join_windows", ffi::join_windows(at(windows), &resolution, &size, &shift));
    ffi::moves_windows(at(windows)).then(join)
}
