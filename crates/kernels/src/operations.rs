//! Operations that LibTorch has in pieces, in one: the bridge to `kernels/*.cc`.
//!
//! Each has a plain form, which it falls back to where the fast one does not fit: another device,
//! another type, or a trace. The tests compare the two.

// The bridge's items are public in a private module, and its calls take plain numbers: so cxx
// asks.
#![allow(unsafe_code, unreachable_pub, clippy::too_many_arguments)]

use std::marker::PhantomData;

use tch::Tensor;

use crate::recompute::Repeat;

#[cxx::bridge(namespace = "polyptych")]
mod ffi {
    extern "Rust" {
        type Repeat;

        fn run(self: &Repeat) -> Result<()>;
    }

    unsafe extern "C++" {
        include!("polyptych-kernels/cpp/kernels.h");

        // SAFETY: every address must be that of a live `at::Tensor`, or 0 where that is allowed:
        // for a bias.
        unsafe fn linear(x: usize, weight: usize, bias: usize) -> Result<usize>;
        // SAFETY: as above.
        unsafe fn linear_gelu(x: usize, weight: usize, bias: usize) -> Result<usize>;
        // SAFETY: as above.
        unsafe fn low_rank_linear(
            x: usize,
            weight: usize,
            bias: usize,
            a: usize,
            b: usize,
            scale: f64,
            dropout: f64,
        ) -> Result<usize>;
        // SAFETY: as above.
        unsafe fn dropout(x: usize, p: f64) -> Result<usize>;
        // SAFETY: as above.
        unsafe fn batch_norm_relu(
            x: usize,
            weight: usize,
            bias: usize,
            running_mean: usize,
            running_var: usize,
            momentum: f64,
            eps: f64,
            train: bool,
        ) -> Result<usize>;
        // SAFETY: as above.
        unsafe fn layer_norm(x: usize, weight: usize, bias: usize, eps: f64) -> Result<usize>;
        // SAFETY: as above.
        unsafe fn gelu(x: usize) -> Result<usize>;
        // SAFETY: as above.
        unsafe fn task_low_rank(x: usize, base: usize, a: usize, b: usize) -> Result<usize>;
        // SAFETY: as above, but 0 for `base`.
        unsafe fn task_up(low: usize, base: usize, b: usize) -> Result<usize>;
        // SAFETY: as above.
        unsafe fn task_hidden(
            x: usize,
            base: usize,
            a: usize,
            b: usize,
            next: usize,
        ) -> Result<usize>;
        // SAFETY: as above.
        unsafe fn attention(qkv: usize, bias: usize, heads: i64) -> Result<usize>;
        // SAFETY: as above, but 0 for `factors`.
        unsafe fn add_branch(x: usize, branch: usize, factors: usize) -> Result<usize>;
        // SAFETY: as above.
        unsafe fn moves_windows(x: usize) -> bool;
        // SAFETY: as above.
        unsafe fn cut_windows(map: usize, size: &[i64], shift: &[i64]) -> Result<usize>;
        // SAFETY: as above.
        unsafe fn join_windows(
            windows: usize,
            resolution: &[i64],
            size: &[i64],
            shift: &[i64],
        ) -> Result<usize>;
        // SAFETY: as above, but 0 for `onto`.
        unsafe fn upsample(levels: &[usize], onto: usize, height: i64, width: i64)
        -> Result<usize>;
        // SAFETY: as above.
        unsafe fn cross_entropy(
            prediction: usize,
            target: usize,
            smoothing: f64,
            background_weight: f64,
            labelled: &mut i64,
        ) -> Result<usize>;
        // SAFETY: as above.
        unsafe fn normals_l1(prediction: usize, target: usize, labelled: &mut i64)
        -> Result<usize>;
        // SAFETY: as above. Where it says true, the thread must call `end_checkpoint`, once.
        unsafe fn begin_checkpoint(repeat: Box<Repeat>, x: usize) -> Result<bool>;
        // SAFETY: see `begin_checkpoint`.
        unsafe fn end_checkpoint();
        // SAFETY: as above.
        unsafe fn backward(outputs: &[usize], gradients: &[usize]) -> Result<()>;
        // SAFETY: as above.
        unsafe fn joint_norm(gradients: &[usize]) -> Result<f64>;
        // SAFETY: as above.
        unsafe fn scale_all(gradients: &[usize], factor: f64) -> Result<()>;
        // SAFETY: as above.
        unsafe fn set_gradient(parameter: usize, gradient: usize) -> Result<()>;
        // SAFETY: as above.
        unsafe fn forget_gradients(parameters: &[usize]);
        fn keep_memory() -> bool;
        fn live_storages() -> i64;
    }
}

/// `y = x W^T + b`: `x` `[.., in]`, `weight` `[out, in]`, `bias` `[out]`, `y` `[.., out]`.
///
/// # Panics
/// Shapes that do not fit, as tch's own operations do.
pub fn linear(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    // SAFETY: the arguments borrow the tensors for the whole call.
    owned("linear", unsafe { ffi::linear(address(x), address(weight), optional(bias)) })
}

/// `gelu(x W^T + b)`; where nothing learns, in one operation.
///
/// # Panics
/// As [`linear`].
pub fn linear_gelu(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Tensor {
    let (x, weight, bias) = (address(x), address(weight), optional(bias));
    // SAFETY: as above.
    owned("linear_gelu", unsafe { ffi::linear_gelu(x, weight, bias) })
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
    let (x, weight, bias) = (address(x), address(weight), optional(bias));
    // SAFETY: as above.
    let made =
        unsafe { ffi::low_rank_linear(x, weight, bias, address(a), address(b), scale, dropout) };
    owned("low_rank_linear", made)
}

/// `x Phi(x)` with the exact normal distribution. An operation of this module that reads the result
/// keeps `x` in its place.
pub fn gelu(x: &Tensor) -> Tensor {
    // SAFETY: as above.
    owned("gelu", unsafe { ffi::gelu(address(x)) })
}

/// `y_t = base + x_t A_t^T B_t^T` for every task: `x` `[tasks, .., in]`, `base` `[.., out]`, `a`
/// `[tasks, r, in]`, `b` `[tasks, out, r]`, `y` `[tasks, .., out]`, all of one type.
///
/// # Panics
/// As [`linear`].
pub fn task_low_rank(x: &Tensor, base: &Tensor, (a, b): (&Tensor, &Tensor)) -> Tensor {
    let (x, base, a, b) = (address(x), address(base), address(a), address(b));
    // SAFETY: as above.
    owned("task_low_rank", unsafe { ffi::task_low_rank(x, base, a, b) })
}

/// The second half of [`task_low_rank`]: `y_t = base + l_t B_t^T` for `low` `[tasks, .., r]`; without
/// a base, the terms alone. What one task gets does not depend on the others, to the last bit.
///
/// # Panics
/// As [`linear`].
pub fn task_up(low: &Tensor, base: Option<&Tensor>, b: &Tensor) -> Tensor {
    // SAFETY: as above.
    owned("task_up", unsafe { ffi::task_up(address(low), optional(base), address(b)) })
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
    let (x, base, a, b) = (address(x), address(base), address(a), address(b));
    // SAFETY: as above.
    owned("task_hidden", unsafe { ffi::task_hidden(x, base, a, b, address(next)) })
}

/// `softmax(q k^T / sqrt(head_dim) + bias) v` within each sequence of `qkv`:
/// `[batch, tokens, 3 * dim]` to `[batch, tokens, dim]`.
///
/// The last axis is ordered q, k, v and head-major within each. `bias` is
/// `[windows, heads, tokens, tokens]`, added to the entries of the batch in turn, so `windows` must
/// divide `batch`. Kept for the backward pass is `qkv`; where a head is too large for the first
/// caches, the shares are kept too.
///
/// # Panics
/// As [`linear`].
pub fn attention(qkv: &Tensor, heads: i64, bias: Option<&Tensor>) -> Tensor {
    // SAFETY: as above.
    owned("attention", unsafe { ffi::attention(address(qkv), optional(bias), heads) })
}

/// `x + factors branch`: `branch` `[n entries, ..]`, `x` `[entries, ..]`, which comes again for
/// every `entries` of the branch, `factors` `[n entries]` in float32, or all 1.
///
/// # Panics
/// As [`linear`].
pub fn add_branch(x: &Tensor, branch: &Tensor, factors: Option<&Tensor>) -> Tensor {
    // SAFETY: as above.
    let made = unsafe { ffi::add_branch(address(x), address(branch), optional(factors)) };
    owned("add_branch", made)
}

/// `[batch, height, width, dim]`, rolled back by `shift`, padded with zeros at its end and cut into
/// windows of `size`: `[batch * windows, area, dim]`. Nothing where it takes other operations: on
/// other devices than the CPU, without numbers, in a trace.
///
/// # Panics
/// As [`linear`].
pub fn cut_windows(map: &Tensor, size: [i64; 2], shift: [i64; 2]) -> Option<Tensor> {
    // SAFETY: as above.
    let cut = unsafe {
        ffi::moves_windows(address(map)).then(|| ffi::cut_windows(address(map), &size, &shift))
    };
    Some(owned("cut_windows", cut?))
}

/// The inverse of [`cut_windows`], to maps of `resolution`; nothing where that gives nothing.
///
/// # Panics
/// As [`linear`].
pub fn join_windows(
    windows: &Tensor,
    resolution: [i64; 2],
    size: [i64; 2],
    shift: [i64; 2],
) -> Option<Tensor> {
    let from = address(windows);
    // SAFETY: as above.
    let joined = unsafe {
        ffi::moves_windows(from).then(|| ffi::join_windows(from, &resolution, &size, &shift))
    };
    Some(owned("join_windows", joined?))
}

/// `onto` and all `levels` resized to `[height, width]`, summed: bilinear, pixels as areas
/// (`align_corners = false`). Levels are `[batch, h, w, chans]`, the rest `[batch, height, width,
/// chans]`, all of one type.
///
/// # Panics
/// As [`linear`].
pub fn upsample(levels: &[&Tensor], onto: Option<&Tensor>, [height, width]: [i64; 2]) -> Tensor {
    let levels: Vec<usize> = levels.iter().copied().map(address).collect();
    // SAFETY: as above.
    owned("upsample", unsafe { ffi::upsample(&levels, optional(onto), height, width) })
}

/// Cross entropy of `prediction`, `[batch, classes, height, width]`, with the class indices in
/// `target`, `[batch, 1, height, width]`, NaN where there is no label, and how many labels there
/// are. The mean is weighted: `background_weight` for class 0 and 1 for the others; `smoothing` is
/// the share of the target that is spread over all classes.
///
/// Nothing where it takes other operations: on other devices than the CPU, in other types than
/// float32, for a few pixels, in a trace. Kept for the backward pass are both arguments and two
/// numbers a pixel.
///
/// # Errors
/// A label that is no class.
pub fn cross_entropy(
    prediction: &Tensor,
    target: &Tensor,
    (smoothing, background_weight): (f64, f64),
) -> crate::Result<Option<(Tensor, i64)>> {
    let (from, to, mut labelled) = (address(prediction), address(target), 0);
    // SAFETY: as above.
    let made = unsafe { ffi::cross_entropy(from, to, smoothing, background_weight, &mut labelled) };
    let torch = |error: cxx::Exception| error.what().into();
    let loss =
        made.map_err(|error| crate::Error::Torch { op: "cross_entropy", reason: torch(error) })?;
    Ok((loss != 0).then(|| (owned("cross_entropy", Ok(loss)), labelled)))
}

/// Mean of `|z / (|z|_2 + 1e-12) - y|` over labelled components of `prediction` and `target`,
/// `[batch, 3, height, width]` both, NaN where there is no label, and how many are labelled.
/// Nothing where [`cross_entropy`] gives nothing.
///
/// # Panics
/// As [`linear`].
pub fn normals_l1(prediction: &Tensor, target: &Tensor) -> Option<(Tensor, i64)> {
    let mut labelled = 0;
    // SAFETY: as above.
    let made = unsafe { ffi::normals_l1(address(prediction), address(target), &mut labelled) };
    (!matches!(made, Ok(0))).then(|| (owned("normals_l1", made), labelled))
}

/// As long as it lives, what operations on this thread keep for their backward pass is dropped, and
/// made again there.
pub(crate) struct Dropping(PhantomData<*const ()>);

impl Dropping {
    /// Begins on the device of `x`; `repeat` makes all of it again. Nothing where no gradient will
    /// be asked for, in a trace, and within another of its kind.
    ///
    /// # Panics
    /// A device that has no generator.
    pub(crate) fn begin(repeat: Repeat, x: &Tensor) -> Option<Self> {
        // SAFETY: as above; a value of this type calls for the end, and none can leave its thread
        // or outlive another.
        let begun = unsafe { ffi::begin_checkpoint(Box::new(repeat), address(x)) };
        let begun = begun.unwrap_or_else(|error| panic!("checkpoint: {error}"));
        begun.then(|| Self(PhantomData))
    }
}

impl Drop for Dropping {
    fn drop(&mut self) {
        // SAFETY: see `begin`.
        unsafe { ffi::end_checkpoint() };
    }
}

/// Carries `gradients` of `outputs`, of the same shapes and types, back to all leaves.
///
/// # Errors
/// What LibTorch reports.
pub fn backward(outputs: &[&Tensor], gradients: &[&Tensor]) -> crate::Result<()> {
    let [outputs, gradients]: [Vec<usize>; 2] =
        [outputs, gradients].map(|all| all.iter().copied().map(address).collect());
    // SAFETY: as above.
    let done = unsafe { ffi::backward(&outputs, &gradients) };
    done.map_err(|error| crate::Error::Torch { op: "backward", reason: error.what().into() })
}

/// Sets each number to zero with probability `p` and scales the rest by `1 / (1 - p)`.
///
/// On the CPU the mask follows from one draw of LibTorch's generator and the index of a number: it
/// is made again in the backward pass, not kept.
///
/// # Panics
/// As [`linear`].
pub fn dropout(x: &Tensor, p: f64) -> Tensor {
    // SAFETY: as above.
    owned("dropout", unsafe { ffi::dropout(address(x), p) })
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

/// `(x - mean) / sqrt(var + eps) * weight + bias` over the last axis; statistics and parameters in
/// float32, the rest in the type of `x`.
///
/// # Panics
/// As [`linear`].
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f64) -> Tensor {
    // SAFETY: as above.
    owned("layer_norm", unsafe { ffi::layer_norm(address(x), address(weight), address(bias), eps) })
}

/// `relu(batch_norm(x))` of rows, `[positions, chans]`; statistics in float32.
///
/// # Panics
/// As [`linear`].
pub fn batch_norm_relu(x: &Tensor, norm: &BatchNorm, train: bool) -> Tensor {
    // SAFETY: as above.
    let made = unsafe {
        ffi::batch_norm_relu(
            address(x),
            address(norm.weight),
            address(norm.bias),
            address(norm.running_mean),
            address(norm.running_var),
            norm.momentum,
            norm.eps,
            train,
        )
    };
    owned("batch_norm_relu", made)
}

/// The Euclidean norm of all `gradients` as one vector; squares in float32, their sums in float64.
///
/// # Panics
/// As [`linear`].
pub fn joint_norm(gradients: &[Tensor]) -> f64 {
    // SAFETY: as above.
    let made = unsafe { ffi::joint_norm(&addresses(gradients)) };
    made.unwrap_or_else(|error| panic!("joint_norm: {error}"))
}

/// Multiplies all `gradients` by `factor`, in place.
///
/// # Panics
/// As [`linear`].
pub fn scale_all(gradients: &[Tensor], factor: f64) {
    // SAFETY: as above.
    let done = unsafe { ffi::scale_all(&addresses(gradients), factor) };
    done.unwrap_or_else(|error| panic!("scale_all: {error}"));
}

/// Makes a copy of `gradient` that of `parameter`, whose shape it has.
///
/// # Errors
/// What LibTorch reports.
pub fn set_gradient(parameter: &Tensor, gradient: &Tensor) -> crate::Result<()> {
    // SAFETY: as above.
    let done = unsafe { ffi::set_gradient(address(parameter), address(gradient)) };
    done.map_err(|error| crate::Error::Torch { op: "set_gradient", reason: error.what().into() })
}

/// Leaves `parameters` without gradients, so that the first that arrives is kept as it is.
pub fn forget_gradients(parameters: &[&Tensor]) {
    let parameters: Vec<usize> = parameters.iter().copied().map(address).collect();
    // SAFETY: as above.
    unsafe { ffi::forget_gradients(&parameters) };
}

/// Lets this process keep memory that tensors have freed; false where the allocator cannot.
pub fn keep_memory() -> bool {
    ffi::keep_memory()
}

/// Storages of tensors on the CPU that are alive, of those made since this was first called.
pub fn live_storages() -> i64 {
    ffi::live_storages()
}

fn address(tensor: &Tensor) -> usize {
    tensor.as_ptr() as usize
}

fn addresses(tensors: &[Tensor]) -> Vec<usize> {
    tensors.iter().map(address).collect()
}

fn optional(tensor: Option<&Tensor>) -> usize {
    tensor.map_or(0, address)
}

fn owned(op: &str, made: Result<usize, cxx::Exception>) -> Tensor {
    let address = made.unwrap_or_else(|error| panic!("{op}: {error}"));
    // SAFETY: the shim hands out a new `at::Tensor`, which nobody else frees.
    unsafe { Tensor::from_ptr(address as *mut _) }
}

#[cfg(test)]
mod tests;
