//! Biases of query and value beside a projection that has none: a key's would not change attention.

use polyptych_tensor::{Init, ParameterKind, Result, Scope, Tensor, cast};

/// timm's `q_bias` and `v_bias`, `[dim]` each.
#[derive(Debug)]
pub(crate) struct SplitBias {
    q_bias: Tensor,
    v_bias: Tensor,
}

impl SplitBias {
    /// Both start at zero.
    pub(crate) fn new(scope: &Scope, dim: i64) -> Result<Self> {
        let scope = scope.of_kind(ParameterKind::Bias);
        let bias = |name: &str| scope.param(name, &[dim], Init::ZEROS);
        Ok(Self { q_bias: bias("q_bias")?, v_bias: bias("v_bias")? })
    }

    /// To query, key and value side by side, `[.., 3 * dim]`.
    pub(crate) fn add_to(&self, qkv: &Tensor) -> Tensor {
        let bias = Tensor::cat(&[&self.q_bias, &self.q_bias.zeros_like(), &self.v_bias], 0);
        qkv + cast(&bias, qkv.kind())
    }
}
