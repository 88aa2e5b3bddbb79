//! One block: a depthwise convolution, a norm and a perceptron, beside the stream.

use polyptych_tensor::{Activations, Conv2d, Init, LayerNorm, Result, Tensor, cast};

use super::config::{ConvNextConfig, NORM_EPS};
use crate::blocks::branch::{add_branch, drop_path_rate};
use crate::blocks::layer_scope::LayerScope;
use crate::blocks::mlp::Mlp;
use crate::blocks::tap::{BlockOutput, ParallelPath};

/// Rows and columns of the depthwise kernel.
const KERNEL: i64 = 7;
/// Hidden units of a perceptron per channel.
const MLP_RATIO: i64 = 4;

/// timm's `stages.i.blocks.j`.
#[derive(Debug)]
pub(super) struct Block {
    conv_dw: Conv2d,
    norm: LayerNorm,
    mlp: Mlp,
    beside: ParallelPath,
    /// `[dim]`: LayerScale.
    gamma: Option<Tensor>,
    drop_path: f64,
}

impl Block {
    /// Block `at` of stage `stage`.
    pub(super) fn new(
        scope: &LayerScope,
        config: &ConvNextConfig,
        stage: usize,
        at: usize,
    ) -> Result<Self> {
        let dim = config.dims[stage];
        let gamma = |init| scope.params.param("gamma", &[dim], Init::Const(init));
        let before: usize = config.depths[..stage].iter().sum();
        let blocks = config.depths.iter().sum();
        Ok(Self {
            conv_dw: Conv2d::depthwise(&scope.params.pp("conv_dw"), dim, KERNEL)?,
            norm: LayerNorm::new(&scope.params.pp("norm"), dim, NORM_EPS)?,
            mlp: Mlp::new(&scope.pp("mlp"), dim, MLP_RATIO * dim)?,
            beside: scope.parallel(dim)?,
            gamma: config.ls_init_value.map(gamma).transpose()?,
            drop_path: drop_path_rate(config.drop_path_rate, before + at, blocks),
        })
    }

    /// What stands beside the MLP.
    pub(super) fn beside(&self) -> &ParallelPath {
        &self.beside
    }

    /// `[batch, height, width, dim]` to the same.
    pub(super) fn forward(&self, x: &Activations, train: bool) -> BlockOutput {
        let normed = x.map(|t| self.mixed(t));
        let branch = self.mlp.forward(&normed, train);
        let branch = match &self.gamma {
            Some(gamma) => branch.map(|t| t * cast(gamma, t.kind())),
            None => branch,
        };
        let z = add_branch(x, &branch, self.drop_path, train);
        (z, self.beside.as_ref().map(|path| path.forward(x, &normed, train)))
    }

    fn mixed(&self, map: &Tensor) -> Tensor {
        let mixed = self.conv_dw.forward(&map.permute([0, 3, 1, 2]));
        self.norm.forward(&mixed.permute([0, 2, 3, 1]).contiguous())
    }
}
