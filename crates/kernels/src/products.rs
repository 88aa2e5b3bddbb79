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
/// either addend is. A `dropout` of 0 is none.
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
