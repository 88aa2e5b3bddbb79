//! One pair of low-rank factors: `scale * B A x`.

use polyptych_tensor::{Init, Result, Scope, Tensor, cast};

/// `A`: `[r, in]`, `B`: `[out, r]`. `B` starts at zero, so the pair starts without effect.
#[derive(Debug)]
pub(crate) struct LowRank {
    pub(crate) a: Tensor,
    pub(crate) b: Tensor,
}

impl LowRank {
    /// Makes the parameters `names` = (`A`, `B`); `A` is `U(-1/sqrt(in), 1/sqrt(in))`.
    pub(crate) fn new(
        scope: &Scope,
        names: (&str, &str),
        [in_features, out_features, r]: [i64; 3],
    ) -> Result<Self> {
        let a = scope.param(names.0, &[r, in_features], Init::fan_in(in_features))?;
        let b = scope.param(names.1, &[out_features, r], Init::ZEROS)?;
        Ok(Self { a, b })
    }

    /// `B A x` for `x`: `[.., in]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Tensor {
        let none = None::<Tensor>;
        x.linear(&cast(&self.a, x.kind()), none.as_ref())
            .linear(&cast(&self.b, x.kind()), none.as_ref())
    }
}
