//! What a task makes of the answers of frozen filters.

use polyptych_tensor::{Kind, Tensor};

/// `M_t`.
#[derive(Debug)]
pub(super) struct Modulator {
    pub(super) mixing: Mixing,
    /// `g_t`, `[out]`; none where rows are not normalised.
    pub(super) gain: Option<Tensor>,
}

/// `V_t`.
#[derive(Debug)]
pub(super) enum Mixing {
    /// `[out, out]`.
    Full(Tensor),
    /// `A`: `[r, out]`, `B`: `[out, r]`.
    LowRank { a: Tensor, b: Tensor },
}

impl Modulator {
    /// `M_t W`, `[out, in]`, of `W`; `M_t U^T W` with `axes`.
    pub(super) fn weight(&self, weight: &Tensor, axes: Option<&Tensor>) -> Tensor {
        let turned = axes.map_or_else(|| weight.shallow_clone(), |u| u.tr().matmul(weight));
        let (product, squares) = match &self.mixing {
            Mixing::Full(v) => (v.matmul(&turned), squares_of_rows(v)),
            Mixing::LowRank { a, b } => {
                // `U U^T W` is `W`.
                (weight + b.matmul(&a.matmul(&turned)), squares(a, b, axes))
            }
        };
        match &self.gain {
            None => product,
            Some(gain) => product * (gain / squares.sqrt()).unsqueeze(1),
        }
    }
}

/// `[out]`.
fn squares_of_rows(v: &Tensor) -> Tensor {
    v.square().sum_dim_intlist([1i64].as_slice(), false, None::<Kind>)
}

/// Squared lengths of the rows of `I + B A`, or `U + B A` with `axes`, `[out]`, without that matrix.
fn squares(a: &Tensor, b: &Tensor, axes: Option<&Tensor>) -> Tensor {
    let along = |t: Tensor| t.sum_dim_intlist([1i64].as_slice(), false, None::<Kind>);
    let beside = axes.map_or_else(|| a.tr(), |u| u.matmul(&a.tr()));
    let diagonal = along(b * beside);
    let within = along(b.matmul(&a.matmul(&a.tr())) * b);
    diagonal * 2.0 + within + 1.0
}

/// `[tasks, out, in]`.
pub(super) fn modulated(
    modulators: &[Modulator],
    weight: &Tensor,
    axes: Option<&Tensor>,
) -> Tensor {
    let weights: Vec<Tensor> = modulators.iter().map(|m| m.weight(weight, axes)).collect();
    Tensor::stack(&weights, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::Device;

    fn draw(shape: &[i64]) -> Tensor {
        Tensor::randn(shape, (Kind::Float, Device::Cpu)).set_requires_grad(true)
    }

    fn largest(difference: Tensor) -> f64 {
        difference.abs().max().double_value(&[])
    }

    /// Low-rank and full modulators of the same matrix agree with its definition.
    #[test]
    fn rows_are_as_long_as_their_gain() {
        let (a, b, gain, weight) = (draw(&[2, 5]), draw(&[5, 2]), draw(&[5]), draw(&[5, 7]));
        let v = b.matmul(&a) + Tensor::eye(5, (Kind::Float, Device::Cpu));
        let lengths = squares_of_rows(&v).sqrt();
        let expected = (&v * (&gain / lengths).unsqueeze(1)).matmul(&weight);
        for mixing in [Mixing::LowRank { a, b }, Mixing::Full(v)] {
            let modulator = Modulator { mixing, gain: Some(gain.shallow_clone()) };
            assert!(largest(modulator.weight(&weight, None) - &expected) < 1e-4);
        }
    }

    /// The same with turned filters: `M_t U^T W`, whose `V_t` is `U + B A`.
    #[test]
    fn turned_filters_start_as_the_backbones() {
        let (a, b, gain, weight) = (draw(&[2, 5]), draw(&[5, 2]), draw(&[5]), draw(&[5, 7]));
        let (axes, _) = Tensor::linalg_qr(&draw(&[5, 5]).detach(), "reduced");
        let ones = Tensor::ones([5], (Kind::Float, Device::Cpu));
        let zero = Mixing::LowRank { a: a.shallow_clone(), b: b.zeros_like() };
        for mixing in [zero, Mixing::Full(axes.shallow_clone())] {
            let start = Modulator { mixing, gain: Some(ones.shallow_clone()) };
            assert!(largest(start.weight(&weight, Some(&axes)) - &weight) < 1e-5);
        }
        let v = b.matmul(&a) + &axes;
        let rows = &v * (&gain / squares_of_rows(&v).sqrt()).unsqueeze(1);
        let expected = rows.matmul(&axes.tr()).matmul(&weight);
        for mixing in [Mixing::LowRank { a, b }, Mixing::Full(v)] {
            let modulator = Modulator { mixing, gain: Some(gain.shallow_clone()) };
            assert!(largest(modulator.weight(&weight, Some(&axes)) - &expected) < 1e-4);
        }
    }
}
