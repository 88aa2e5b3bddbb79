//! One pair of low-rank factors: `scale * B A x`.

use polyptych_kernels::{linear, low_rank_linear};
use polyptych_tensor::{Init, Linear, Result, Scope, Tensor, cast};

/// Initial values of a pair of factors.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum LowRankInit {
    /// LoRA's: `A` is `U(-1/sqrt(in), 1/sqrt(in))`, `B` is zero, so the pair starts without effect.
    Identity,
    /// Both are `N(0, std^2)`, as in EMTAL.
    Normal(f64),
}

/// `A`: `[r, in]`, `B`: `[out, r]`.
#[derive(Debug)]
pub(crate) struct LowRank {
    pub(crate) a: Tensor,
    pub(crate) b: Tensor,
}

impl LowRank {
    /// Makes the parameters `names` = (`A`, `B`).
    pub(crate) fn new(
        scope: &Scope,
        names: (&str, &str),
        [in_features, out_features, r]: [i64; 3],
        init: LowRankInit,
    ) -> Result<Self> {
        let (init_a, init_b) = match init {
            LowRankInit::Identity => (Init::fan_in(in_features), Init::ZEROS),
            LowRankInit::Normal(std) => (Init::Normal(std), Init::Normal(std)),
        };
        let a = scope.param(names.0, &[r, in_features], init_a)?;
        let b = scope.param(names.1, &[out_features, r], init_b)?;
        Ok(Self { a, b })
    }

    /// `B A x` for `x`: `[.., in]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let low = linear(x, &cast(&self.a, x.kind()), None);
        linear(&low, &cast(&self.b, x.kind()), None)
    }

    /// `W x + b + scale * B A dropout(x)` for `x`: `[.., in]`.
    pub(crate) fn beside(&self, base: &Linear, x: &Tensor, scale: f64, dropout: f64) -> Tensor {
        let bias = base.bias.as_ref().map(|b| cast(b, x.kind()));
        let base = (&cast(&base.weight, x.kind()), bias.as_ref());
        low_rank_linear(x, base, (&self.a, &self.b), scale, dropout)
    }
}
