//! One block: attention and a perceptron, each on a normalised copy of the stream; the first of a
//! later stage widens the stream and shrinks the map.

use polyptych_tensor::{Activations, Init, LayerNorm, Linear, Result, Scope, Tensor, cast};

use super::attention::{Attention, max_pool, mean_pool};
use super::config::{BlockConfig, NORM_EPS};
use crate::blocks::branch::add_branch;
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::mlp::Mlp;
use crate::blocks::tap::{BlockOutput, ParallelPath};

/// timm's `blocks.i`.
#[derive(Debug)]
pub(super) struct Block {
    norm1: LayerNorm,
    widening: Widening,
    attn: Attention,
    /// `[dim_out]`: LayerScale.
    ls1: Option<Tensor>,
    norm2: LayerNorm,
    mlp: Mlp,
    beside: ParallelPath,
    ls2: Option<Tensor>,
    drop_path: f64,
}

/// What becomes of the stream beside attention.
#[derive(Debug)]
enum Widening {
    /// It stays.
    None,
    /// timm's `proj`, and the largest number of each cell.
    Proj(Linear),
    /// The largest number of each cell beside the mean.
    Pooled,
}

impl Block {
    pub(super) fn new(scope: &LayerScope, config: BlockConfig) -> Result<Self> {
        let [dim, dim_out] = config.attention.dims;
        let norm = |name: &str, dim| LayerNorm::new(&scope.params.pp(name), dim, NORM_EPS);
        let gamma = |name: &str| {
            let scale = |init| scope.params.pp(name).param("gamma", &[dim_out], Init::Const(init));
            config.init_values.map(scale).transpose()
        };
        Ok(Self {
            norm1: norm("norm1", dim)?,
            widening: Widening::new(&scope.params, config)?,
            attn: Attention::new(&scope.pp("attn"), config.attention)?,
            ls1: gamma("ls1")?,
            norm2: norm("norm2", dim_out)?,
            mlp: Mlp::new(&scope.pp("mlp"), dim_out, config.hidden)?,
            beside: scope.parallel(dim_out)?,
            ls2: gamma("ls2")?,
            drop_path: config.drop_path,
        })
    }

    /// What stands beside the MLP.
    pub(super) fn beside(&self) -> &ParallelPath {
        &self.beside
    }

    /// `[batch, height, width, dim]` to the same, or to `[batch, height / 2, width / 2, dim_out]`.
    pub(super) fn forward(&self, x: &Activations, train: bool) -> BlockOutput {
        let normed = x.map(|t| self.norm1.forward(t));
        let attended = scaled(self.ls1.as_ref(), self.attn.forward(&normed, train));
        let x = add_branch(&self.widening.forward(x, &normed), &attended, self.drop_path, train);
        let normed = x.map(|t| self.norm2.forward(t));
        let mixed = scaled(self.ls2.as_ref(), self.mlp.forward(&normed, train));
        let z = add_branch(&x, &mixed, self.drop_path, train);
        (z, self.beside.as_ref().map(|path| path.forward(&x, &normed, train)))
    }
}

impl Widening {
    fn new(scope: &Scope, config: BlockConfig) -> Result<Self> {
        let [dim, dim_out] = config.attention.dims;
        Ok(match (config.attention.pools, config.use_expand_proj) {
            (false, _) => Widening::None,
            (true, true) => Widening::Proj(Linear::new(&scope.pp("proj"), dim, dim_out, true)?),
            (true, false) => Widening::Pooled,
        })
    }

    fn forward(&self, x: &Activations, normed: &Activations) -> Activations {
        match self {
            Widening::None => x.shallow_clone(),
            Widening::Proj(proj) => normed.map(|t| max_pool(&proj.forward(t))),
            Widening::Pooled => x.map(|t| Tensor::cat(&[max_pool(t), mean_pool(t)], -1)),
        }
    }
}

fn scaled(gamma: Option<&Tensor>, branch: Activations) -> Activations {
    match gamma {
        Some(gamma) => branch.map(|t| t * cast(gamma, t.kind())),
        None => branch,
    }
}
