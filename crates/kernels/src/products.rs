//! Matrix products, with low-rank terms and for all tasks at once.

use tch::Tensor;

use crate::bridge::{at, ffi, output};

/// `y = x W^T + b`: `x` `[.., in]`, `weight` `[out, in]`, `bias` `[out]`, `y` `[.., out]`.
///
/// # Panics
/// Shapes that do not fit, as tch's own operations do.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let none = Tensor::new();
    output("linear", ffi::linear(at(x), at(weight), at(bias.unwrap_or(&none))))
}

/// `gelu(x W^T + b)`; where nothing learns, in one operation.
///
/// # Panics
/// As [`linear`].
pub fn linear_gelu(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let none = Tensor::new();
    output("linear_gelu", ffi::linear_gelu(at(x), at(weight), at(bias.unwrap_or(&none))))
}

/// `y = x W^T + b + s dropout(x) A^T B^T` in the type of `x`: `x` `[.., in]`, `weight` `[out, in]`,
/// `bias` `[out]`, `a` `[r, in]` and `b` `[out, r]` in any type, `y` `[.., out]`.
///
/// Kept for the backward pass are `x` and its image of width `r`; neither the mask of dropout nor
/// either addend is. A `dropout` of 0 is none; then the shape decides how it is computed, see
/// [`LowRankPlan::of`].
///
/// # Panics
/// As [`linear`].
pub fn low_rank_linear(
    x: &Tensor,
    (weight, bias): (&Tensor, Option<&Tensor>),
    (a, b): (&Tensor, &Tensor),
    scale: f64,
    dropout: f64,
) -> Tensor {
    let none = Tensor::new();
    let bias = at(bias.unwrap_or(&none));
    let y = ffi::low_rank_linear(at(x), at(weight), bias, at(a), at(b), scale, dropout);
    output("low_rank_linear", y)
}

/// How a linear map with a low-rank one beside it is computed, forward and back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum LowRankPlan {
    /// `x A^T` and everything behind it beside the weight.
    Beside,
    /// Factors beside the weight, and their gradients from `g^T x` of full width.
    FullGradient,
    /// `W + s B A` in place of the weight, both ways, and gradients from `g^T x`.
    Merged,
}

/// What the choice of a [`LowRankPlan`] depends on: `x` `[rows, input]`, `weight` `[out, input]`.
#[derive(Debug, Clone, Copy)]
pub struct LowRankShape {
    /// Rows of `x`.
    pub rows: i64,
    /// Width of `x`.
    pub input: i64,
    /// Width of the output.
    pub out: i64,
    /// Rank of the factors.
    pub rank: i64,
    /// Whether numbers are bfloat16, which has no room for factors added to a weight.
    pub bf16: bool,
    /// Whether the gradient by `x` is asked for.
    pub input_learns: bool,
    /// Whether that by the weight is.
    pub weight_learns: bool,
}

impl LowRankPlan {
    /// The plan of the fewest operations, which [`low_rank_linear`] takes where there is no dropout
    /// and factors learn. Beside those of the weight itself these are, for `n` rows, `i` inputs,
    /// `o` outputs and rank `r`: `3 n r (i + o)` beside, `2 n r (i + o) + n i o + 2 i o r` with the
    /// full gradient, `n i o + 3 i o r` merged; less where gradients by `x` are not asked for, or
    /// the weight learns too.
    pub fn of(shape: LowRankShape) -> Self {
        let LowRankShape { rows, input, out, rank, bf16, input_learns, weight_learns } = shape;
        match ffi::low_rank_plan(rows, input, out, rank, !bf16, input_learns, weight_learns) {
            0 => Self::Beside,
            1 => Self::FullGradient,
            _ => Self::Merged,
        }
    }
}

/// [`low_rank_linear`] without dropout, computed as `plan` says; float64 too.
///
/// # Panics
/// As [`linear`].
pub fn low_rank_linear_by(
    plan: LowRankPlan,
    x: &Tensor,
    (weight, bias): (&Tensor, Option<&Tensor>),
    (a, b): (&Tensor, &Tensor),
    scale: f64,
) -> Tensor {
    let none = Tensor::new();
    let bias = at(bias.unwrap_or(&none));
    let y = ffi::low_rank_linear_by(plan as u8, at(x), at(weight), bias, at(a), at(b), scale);
    output("low_rank_linear", y)
}

/// `y_t = base + x_t A_t^T B_t^T` for every task: `x` `[tasks, .., in]`, `base` `[.., out]`, `a`
/// `[tasks, r, in]`, `b` `[tasks, out, r]`, `y` `[tasks, .., out]`, all of one type.
///
/// # Panics
/// As [`linear`].
pub fn task_low_rank(x: &Tensor, base: &Tensor, (a, b): (&Tensor, &Tensor)) -> Tensor {
    output("task_low_rank", ffi::task_low_rank(at(x), at(base), at(a), at(b)))
}

/// The second half of [`task_low_rank`]: `y_t = base + l_t B_t^T` for `low` `[tasks, .., r]`; without
/// a base, the terms alone. What one task gets does not depend on the others, to the last bit.
///
/// # Panics
/// As [`linear`].
pub fn task_up(low: &Tensor, base: Option<&Tensor>, b: &Tensor) -> Tensor {
    let none = Tensor::new();
    output("task_up", ffi::task_up(at(low), at(base.unwrap_or(&none)), at(b)))
}

/// Ranks up to which [`task_hidden`] is worth calling.
pub const NARROW_RANK: i64 = 16;

/// `y_t = gelu(base + x_t A_t^T B_t^T) N_t^T` for every task: `x` `[tasks, .., in]`, `base`
/// `[.., hidden]`, `a` `[tasks, r, in]`, `b` `[tasks, hidden, r]`, `next` `[tasks, s, hidden]`, `y`
/// `[tasks, .., s]`, all of one type.
///
/// The hidden layer of a task is made strip by strip, in the backward pass again: it is neither
/// kept nor ever held, whatever the number of tasks.
///
/// # Panics
/// As [`linear`].
pub fn task_hidden(x: &Tensor, base: &Tensor, (a, b): (&Tensor, &Tensor), next: &Tensor) -> Tensor {
    output("task_hidden", ffi::task_hidden(at(x), at(base), at(a), at(b), at(next)))
}
