//! Attention among all tokens of an image, with a bias for each pair of positions.

use polyptych_kernels::attention;
use polyptych_tensor::{Activations, Projection, Result, SiteKind, Tensor, cast};

use super::config::BeitConfig;
use super::relative_bias::RelativeBias;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::split_bias::SplitBias;

/// timm's `attn`: `qkv`, `q_bias`, `v_bias`, `relative_position_bias_table`, `proj`.
#[derive(Debug)]
pub(super) struct Attention {
    qkv: Box<dyn Projection>,
    split_bias: Option<SplitBias>,
    relative_bias: Option<RelativeBias>,
    proj: Box<dyn Projection>,
    heads: i64,
}

impl Attention {
    pub(super) fn new(scope: &LayerScope, config: &BeitConfig) -> Result<Self> {
        let dim = config.embed_dim;
        let split_bias = || SplitBias::new(&scope.params, dim);
        let relative_bias = || RelativeBias::new(&scope.params, config);
        Ok(Self {
            qkv: scope.projection("qkv", SiteKind::Qkv, [dim, 3 * dim], false)?,
            split_bias: config.qkv_bias.then(split_bias).transpose()?,
            relative_bias: config.use_rel_pos_bias.then(relative_bias).transpose()?,
            proj: scope.projection("proj", SiteKind::Proj, [dim, dim], true)?,
            heads: config.num_heads,
        })
    }

    /// The sum of its own bias and the one that all blocks share,
    /// `[1, heads, 1 + patches, 1 + patches]`, where there are any.
    pub(super) fn bias(
        &self,
        grid: [i64; 2],
        index: &Tensor,
        shared: Option<&Tensor>,
    ) -> Option<Tensor> {
        let own = self.relative_bias.as_ref().map(|bias| bias.of_grid(grid, index));
        match (own, shared) {
            (Some(own), Some(shared)) => Some(own + shared),
            (own, shared) => own.or_else(|| shared.map(Tensor::shallow_clone)),
        }
    }

    /// `[batch, tokens, dim]` to the same.
    pub(super) fn forward(
        &self,
        x: &Activations,
        bias: Option<&Tensor>,
        train: bool,
    ) -> Activations {
        let qkv = self.qkv.forward(x, train);
        let qkv = match &self.split_bias {
            Some(split_bias) => qkv.map(|t| split_bias.add_to(t)),
            None => qkv,
        };
        let attend = |t: &Tensor| {
            let bias = bias.map(|bias| cast(bias, t.kind()));
            attention(t, self.heads, bias.as_ref())
        };
        self.proj.forward(&qkv.map(attend), train)
    }
}
