//! The perceptron of a block, with a depthwise convolution in front of its activation.

use polyptych_kernels::gelu;
use polyptych_tensor::{Activations, Conv2d, Projection, Result, SiteKind, Tensor};

use crate::blocks::layer_scope::LayerScope;

/// timm's `mlp`: `fc1`, `dwconv`, `fc2`.
#[derive(Debug)]
pub(super) struct ConvMlp {
    fc1: Box<dyn Projection>,
    dwconv: Conv2d,
    fc2: Box<dyn Projection>,
    linear: bool,
}

impl ConvMlp {
    pub(super) fn new(scope: &LayerScope, dim: i64, hidden: i64, linear: bool) -> Result<Self> {
        Ok(Self {
            fc1: scope.projection("fc1", SiteKind::Fc1, [dim, hidden], true)?,
            dwconv: Conv2d::depthwise(&scope.params.pp("dwconv"), hidden, 3)?,
            fc2: scope.projection("fc2", SiteKind::Fc2, [hidden, dim], true)?,
            linear,
        })
    }

    /// `[batch, height, width, dim]` to the same.
    pub(super) fn forward(&self, x: &Activations, train: bool) -> Activations {
        let hidden = self.fc1.forward(x, train).map(|t| self.mix(t));
        self.fc2.forward(&hidden, train)
    }

    fn mix(&self, hidden: &Tensor) -> Tensor {
        let map = hidden.permute([0, 3, 1, 2]);
        let map = if self.linear { map.relu() } else { map };
        gelu(&self.dwconv.forward(&map).permute([0, 2, 3, 1]).contiguous())
    }
}
