//! Terms that keep the up-projections of experts apart.
//!
//! All experts read one `A`, so that updates are orthogonal where their `B`s are. Singular values
//! and vectors only weigh the terms: no gradient goes through them.

use polyptych_tensor::{Kind, Tensor, no_grad};

/// `sum_{i<j} ||B_i'^T B_j'||^2` for `b`, `[experts, d, r]`: large singular values count less.
pub(super) fn spectral(b: &Tensor) -> Tensor {
    // `B' = B V diag(sqrt(exp(-s / mean(s)))) V^T`.
    let (s, v) = decomposed(b);
    let weights = (decay(&s) * 0.5).exp();
    let scaling = (&v * weights.unsqueeze(1)).matmul(&v.transpose(1, 2));
    let scaled = b.matmul(&scaling);
    // All products of columns at once: `[experts r, experts r]`.
    let [experts, _, r] = b.size()[..] else { unreachable!("b is [experts, d, r]") };
    let columns = scaled.permute([1, 0, 2]).flatten(1, 2);
    let products = columns.tr().matmul(&columns).square().view([experts, r, experts, r]);
    let pairs = products.sum_dim_intlist([1i64, 3].as_slice(), false, None::<Kind>);
    pairs.triu(1).sum(None::<Kind>)
}

/// The mean over experts of `||w (.) (B^T B - c^2 I)||^2`, see
/// [`Regularizer::ScaledIdentity`](super::Regularizer::ScaledIdentity).
pub(super) fn scaled_identity(b: &Tensor) -> Tensor {
    let r = b.size()[2];
    let (s, _) = decomposed(b);
    let e = decay(&s).exp();
    let w = e.unsqueeze(2) * e.unsqueeze(1);
    let gram = b.transpose(1, 2).matmul(b);
    let c2 = b.square().sum_dim_intlist([1i64, 2].as_slice(), true, None::<Kind>) / r as f64;
    let identity = Tensor::eye(r, (b.kind(), b.device()));
    let weighted = (gram - c2 * identity) * w;
    weighted.square().sum_dim_intlist([1i64, 2].as_slice(), false, None::<Kind>).mean(None::<Kind>)
}

/// Singular values, `[experts, r]`, and right singular vectors, `[experts, r, r]`.
///
/// They are those of `B^T B`, which is small and square whatever `d` and `r` are.
fn decomposed(b: &Tensor) -> (Tensor, Tensor) {
    no_grad(|| {
        let gram = b.transpose(1, 2).matmul(b);
        let (_, squares, v) = gram.svd(true, true);
        (squares.clamp_min(0.0).sqrt(), v)
    })
}

/// `-s / mean(s)`, and 0 where all are 0.
fn decay(s: &Tensor) -> Tensor {
    let mean = s.mean_dim([1i64].as_slice(), true, None::<Kind>);
    -(s / mean.clamp_min(f64::from(f32::MIN_POSITIVE)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    fn two() -> Tensor {
        let first = [2.0f64, 0.0, 0.0, 0.5, 0.0, 0.0];
        let second = [1.0, 0.0, 1.0, 0.0, 0.0, 0.2];
        Tensor::from_slice(&[first, second].concat()).view([2, 3, 2])
    }

    #[test]
    fn terms_are_those_of_the_equations() {
        let b = two();
        let plain = b.get(0).tr().matmul(&b.get(1)).square().sum(Kind::Double);
        assert!((plain.double_value(&[]) - 4.25).abs() < 1e-12);
        let found = spectral(&b).double_value(&[]);
        assert!((found - 0.169086).abs() < 1e-6, "{found}");
        let found = scaled_identity(&b).double_value(&[]);
        assert!((found - 0.536469).abs() < 1e-5, "{found}");
    }

    #[test]
    fn experts_that_are_zero_have_no_term_and_a_gradient_of_zero() {
        for term in [spectral, scaled_identity] {
            let b = Tensor::zeros([2, 5, 3], (Kind::Float, Device::Cpu)).set_requires_grad(true);
            let found = term(&b);
            found.backward();
            assert_eq!(found.double_value(&[]), 0.0);
            assert_eq!(b.grad().abs().max().double_value(&[]), 0.0);
        }
    }
}
