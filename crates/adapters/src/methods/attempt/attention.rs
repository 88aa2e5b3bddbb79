//! `G`: how much of each source an image wants.

use polyptych_kernels::{layer_norm, linear};
use polyptych_tensor::{Init, ParameterKind, Result, Scope, Tensor, cast};

/// PyTorch's default.
const NORM_EPS: f64 = 1e-5;

/// Settings of `G`.
#[derive(Debug, Clone, Copy)]
pub(super) struct AttentionOptions {
    /// Rows of `W_down`.
    pub(super) attention_dim: i64,
    /// `tau`.
    pub(super) temperature: f64,
}

/// `h = LN(W_up SiLU(W_down x))`, and the temperature of products with it.
#[derive(Debug)]
pub(super) struct Attention {
    /// `W_down`: `[r, d]`.
    pub(super) down: Tensor,
    /// `W_up`: `[d, r]`.
    pub(super) up: Tensor,
    /// `[d]`, as the shift.
    pub(super) norm_weight: Tensor,
    pub(super) norm_bias: Tensor,
    pub(super) temperature: f64,
}

impl Attention {
    /// That of `scope`, which whatever asks for it there shares.
    pub(super) fn new(scope: &Scope, dim: i64, options: AttentionOptions) -> Result<Self> {
        let AttentionOptions { attention_dim, temperature } = options;
        let norm = scope.pp("norm").of_kind(ParameterKind::Norm);
        Ok(Self {
            down: scope.shared_param("down", &[attention_dim, dim], Init::fan_in(dim))?,
            up: scope.shared_param("up", &[dim, attention_dim], Init::fan_in(attention_dim))?,
            norm_weight: norm.shared_param("weight", &[dim], Init::ONES)?,
            norm_bias: norm.of_kind(ParameterKind::Bias).shared_param(
                "bias",
                &[dim],
                Init::ZEROS,
            )?,
            temperature,
        })
    }

    /// `h`, `[.., d]`, of what was pooled, `[.., d]`.
    pub(super) fn query(&self, pooled: &Tensor) -> Tensor {
        let kind = pooled.kind();
        let hidden = linear(pooled, &cast(&self.down, kind), None).silu();
        let wide = linear(&hidden, &cast(&self.up, kind), None);
        layer_norm(&wide, &self.norm_weight, &self.norm_bias, NORM_EPS)
    }
}
