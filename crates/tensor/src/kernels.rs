//! Operations that LibTorch has in pieces, in one: the bridge to `kernels.cc`.
//!
//! Each has a plain form, which it falls back to where the fast one does not fit: another device,
//! another type, or a trace. The tests compare the two.

// The bridge's items are public in a private module, and its calls take plain numbers: so cxx
// asks.
#![allow(unsafe_code, unreachable_pub, clippy::too_many_arguments)]

use tch::Tensor;

#[cxx::bridge(namespace = "polyptych")]
mod ffi {
    unsafe extern "C++" {
        include!("polyptych-tensor/src/kernels.h");

        // SAFETY: every address must be that of a live `at::Tensor`, or 0 where that is allowed:
        // for a bias.
        unsafe fn linear(x: usize, weight: usize, bias: usize) -> Result<usize>;
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
        fn keep_memory() -> bool;
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

/// Sets each number to zero with probability `p` and scales the rest by `1 / (1 - p)`.
///
/// On the CPU the mask follows from one draw of LibTorch's generator and the index of a number: it
/// is made again in the backward pass, not kept.
pub(crate) fn dropout(x: &Tensor, p: f64) -> Tensor {
    // SAFETY: as above.
    owned("dropout", unsafe { ffi::dropout(address(x), p) })
}

/// What a batch normalisation learns and keeps.
pub(crate) struct Normalised<'t> {
    pub(crate) weight: &'t Tensor,
    pub(crate) bias: &'t Tensor,
    pub(crate) running_mean: &'t Tensor,
    pub(crate) running_var: &'t Tensor,
    pub(crate) momentum: f64,
    pub(crate) eps: f64,
}

/// `relu(batch_norm(x))` of rows, `[positions, chans]`; statistics in float32.
pub(crate) fn batch_norm_relu(x: &Tensor, norm: &Normalised, train: bool) -> Tensor {
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

/// Lets this process keep memory that tensors have freed, instead of having the system clear new
/// pages for every large one: a fifth of a training step on the CPU. For programs to call once at
/// their start; says whether the system can (glibc).
pub fn keep_memory() -> bool {
    ffi::keep_memory()
}

fn address(tensor: &Tensor) -> usize {
    tensor.as_ptr() as usize
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
mod tests {
    #![allow(clippy::unwrap_used)]
    use tch::{Device, Kind, manual_seed, no_grad};

    use super::*;

    fn random(shape: &[i64], kind: Kind) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu)).to_kind(kind).set_requires_grad(true)
    }

    /// Output and gradients of `f` over fresh leaves with the values of `leaves`.
    fn passes(leaves: &[&Tensor], f: impl Fn(&[Tensor]) -> Tensor) -> Vec<Tensor> {
        let fresh: Vec<Tensor> =
            leaves.iter().map(|t| t.detach().copy().set_requires_grad(true)).collect();
        let out = f(&fresh);
        let slope = Tensor::arange(out.numel() as i64, (Kind::Float, Device::Cpu)).sin();
        (out.to_kind(Kind::Float) * slope.view_as(&out)).sum(Kind::Float).backward();
        let grads = fresh.iter().map(Tensor::grad);
        std::iter::once(out.detach()).chain(grads).collect()
    }

    fn agree(fast: &[Tensor], plain: &[Tensor], tolerance: f64) {
        for (index, (fast, plain)) in fast.iter().zip(plain).enumerate() {
            assert_eq!((fast.size(), fast.kind()), (plain.size(), plain.kind()));
            let norm = |t: &Tensor| t.to_kind(Kind::Float).norm().double_value(&[]);
            let apart = norm(&(fast.to_kind(Kind::Float) - plain.to_kind(Kind::Float)));
            assert!(apart <= tolerance * norm(plain), "{index}: {apart} of {}", norm(plain));
        }
    }

    /// Rounding of each type, over sums of some dozens.
    const TYPES: [(Kind, f64); 2] = [(Kind::Float, 1e-5), (Kind::BFloat16, 2e-2)];

    #[test]
    fn linear_is_that_of_libtorch() {
        manual_seed(0);
        for (kind, tolerance) in TYPES {
            let (x, w) = (random(&[2, 5, 24], kind), random(&[18, 24], kind));
            let bias = random(&[18], kind);
            let all = [&x, &w, &bias];
            let fast = passes(&all, |t| linear(&t[0], &t[1], Some(&t[2])));
            agree(&fast, &passes(&all, |t| t[0].linear(&t[1], Some(&t[2]))), tolerance);
            let fast = passes(&all[..2], |t| linear(&t[0], &t[1], None));
            agree(&fast, &passes(&all[..2], |t| t[0].linear(&t[1], None::<&Tensor>)), tolerance);
        }
    }

    #[test]
    fn strided_and_empty_inputs_are_taken() {
        manual_seed(0);
        let (x, w) = (random(&[6, 4], Kind::Float), random(&[3, 6], Kind::Float));
        agree(
            &passes(&[&x, &w], |t| linear(&t[0].tr(), &t[1], None)),
            &passes(&[&x, &w], |t| t[0].tr().linear(&t[1], None::<&Tensor>)),
            1e-5,
        );
        assert_eq!(
            linear(&x.narrow(0, 0, 0).tr().narrow(0, 0, 0), &w.narrow(1, 0, 0), None).size(),
            [0, 3]
        );
    }

    #[test]
    fn the_low_rank_path_is_the_sum_of_its_parts() {
        manual_seed(0);
        for (kind, tolerance) in TYPES {
            let (x, w, c) =
                (random(&[2, 7, 24], kind), random(&[18, 24], kind), random(&[18], kind));
            let (a, b) = (random(&[4, 24], Kind::Float), random(&[18, 4], Kind::Float));
            let all = [&x, &w, &c, &a, &b];
            let fast = passes(&all, |t| {
                low_rank_linear(&t[0], (&t[1], Some(&t[2])), (&t[3], &t[4]), 1.7, 0.0)
            });
            let plain = passes(&all, |t| {
                let low = t[0].linear(&t[3].to_kind(kind), None::<&Tensor>);
                let low = low.linear(&t[4].to_kind(kind), None::<&Tensor>);
                t[0].linear(&t[1], Some(&t[2])) + low * 1.7
            });
            agree(&fast, &plain, tolerance);
        }
    }

    /// With a seed the mask is known: that of dropout alone.
    #[test]
    fn the_low_rank_path_drops_what_dropout_drops() {
        manual_seed(0);
        for (kind, tolerance) in TYPES {
            let (x, w) = (random(&[14, 24], kind), random(&[18, 24], kind));
            let (a, b) = (random(&[4, 24], Kind::Float), random(&[18, 4], Kind::Float));
            let all = [&x, &w, &a, &b];
            let fast = passes(&all, |t| {
                manual_seed(5);
                low_rank_linear(&t[0], (&t[1], None), (&t[2], &t[3]), 1.7, 0.3)
            });
            let plain = passes(&all, |t| {
                manual_seed(5);
                let low = dropout(&t[0], 0.3).linear(&t[2].to_kind(kind), None::<&Tensor>);
                let low = low.linear(&t[3].to_kind(kind), None::<&Tensor>);
                t[0].linear(&t[1], None::<&Tensor>) + low * 1.7
            });
            agree(&fast, &plain, tolerance);
        }
    }

    #[test]
    fn dropout_keeps_its_share_and_repeats_with_its_seed() {
        let x = Tensor::ones([400, 500], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let draw = |seed| {
            manual_seed(seed);
            dropout(&x, 0.05)
        };
        let y = draw(1);
        assert!(y.equal(&draw(1)) && !y.equal(&draw(2)));
        for axis in [0, 1] {
            let kept =
                y.gt(0.0).to_kind(Kind::Float).mean_dim([axis].as_slice(), false, Kind::Float);
            let apart = (kept - 0.95).abs().max().double_value(&[]);
            assert!(apart < 0.06, "{apart}");
        }
        let share = y.gt(0.0).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
        assert!((share - 0.95).abs() < 0.002, "{share}");
        y.sum(Kind::Float).backward();
        assert!(x.grad().equal(&y.detach()));
        let half = draw(1).to_kind(Kind::BFloat16);
        manual_seed(1);
        assert!(dropout(&x.to_kind(Kind::BFloat16), 0.05).equal(&half));
    }

    #[test]
    fn neighbours_fall_independently() {
        manual_seed(3);
        let x = Tensor::ones([1 << 20], (Kind::Float, Device::Cpu));
        let fallen = dropout(&x, 0.5).eq(0.0).to_kind(Kind::Float) - 0.5;
        let count = fallen.size()[0];
        for lag in [1, 2, 64, 768, 3072] {
            let pairs = fallen.narrow(0, 0, count - lag) * fallen.narrow(0, lag, count - lag);
            let correlation = pairs.mean(Kind::Float).double_value(&[]) * 4.0;
            assert!(correlation.abs() < 0.005, "lag {lag}: {correlation}");
        }
    }

    #[test]
    fn normalisation_and_relu_are_those_of_libtorch() {
        manual_seed(0);
        for (kind, tolerance) in TYPES {
            let shape = [300, 70];
            let x = no_grad(|| random(&shape, Kind::Float) * 2.0 + 5.0).to_kind(kind);
            let (weight, bias) = (random(&[70], Kind::Float), random(&[70], Kind::Float));
            let zero = Tensor::zeros([70], (Kind::Float, Device::Cpu));
            let stats = || [zero.copy(), zero.ones_like()];
            let [mean, var] = stats();
            let fast = passes(&[&x, &weight, &bias], |t| {
                let norm = Normalised {
                    weight: &t[1],
                    bias: &t[2],
                    running_mean: &mean,
                    running_var: &var,
                    momentum: 0.1,
                    eps: 1e-5,
                };
                batch_norm_relu(&t[0], &norm, true)
            });
            let [plain_mean, plain_var] = stats();
            let plain = passes(&[&x, &weight, &bias], |t| {
                let (mean, var) = (Some(&plain_mean), Some(&plain_var));
                let wide = t[0].to_kind(Kind::Float);
                let norm =
                    wide.batch_norm(Some(&t[1]), Some(&t[2]), mean, var, true, 0.1, 1e-5, false);
                norm.relu().to_kind(kind)
            });
            agree(&fast, &plain, tolerance);
            agree(&[mean, var], &[plain_mean, plain_var], 1e-5);
        }
    }
}
