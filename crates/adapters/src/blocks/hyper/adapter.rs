//! One bottleneck of every task, with weights that were made for it.

use polyptych_tensor::{Activations, Linear, Projection, Tensor, cast};

use crate::blocks::activation::NonLinearity;

/// Added to the variance by the norm behind a bottleneck, PyTorch's default.
pub(super) const NORM_EPS: f64 = 1e-5;

/// Makes the weights of the bottlenecks at one place.
pub(crate) trait Generator: std::fmt::Debug {
    /// The weights of all tasks as they are now.
    fn weights(&self) -> Weights;
}

/// The weights of one bottleneck of every task, float32.
#[derive(Debug)]
pub(crate) struct Weights {
    /// `[tasks, d, n]`.
    pub(crate) down: Tensor,
    /// `[tasks, n]`, or `[1, n]` where all tasks have the same.
    pub(crate) down_bias: Tensor,
    /// `[tasks, n, d]`.
    pub(crate) up: Tensor,
    /// `[tasks, d]` or `[1, d]`.
    pub(crate) up_bias: Tensor,
    /// Scale and shift, `[tasks, d]` both, of a norm over what the bottleneck makes.
    pub(crate) norm: Option<[Tensor; 2]>,
}

impl Weights {
    /// What the bottlenecks add to their streams: `[tasks, rows, d]` to the same.
    fn term(&self, rows: &Tensor, non_linearity: NonLinearity) -> Tensor {
        let matrix = |t: &Tensor| cast(t, rows.kind());
        let row = |t: &Tensor| matrix(t).unsqueeze(1);
        let hidden = rows.bmm(&matrix(&self.down)) + row(&self.down_bias);
        let out = non_linearity.apply(&hidden).bmm(&matrix(&self.up)) + row(&self.up_bias);
        let Some([scale, shift]) = &self.norm else { return out };
        let none = None::<&Tensor>;
        let normed = out.layer_norm([out.size()[2]], none, none, NORM_EPS, false);
        normed * row(scale) + row(shift)
    }
}

/// A frozen projection with a bottleneck per task behind it.
#[derive(Debug)]
pub(super) struct Adapted {
    pub(super) base: Linear,
    pub(super) generator: Box<dyn Generator>,
    pub(super) tasks: i64,
    pub(super) non_linearity: NonLinearity,
}

impl Adapted {
    /// `[tasks, batch, .., d]` of `y`, which all tasks share before the first bottleneck.
    fn streams(&self, y: Activations) -> Tensor {
        match y {
            Activations::Shared(shared) => {
                let mut shape = shared.size();
                shape.insert(0, self.tasks);
                shared.unsqueeze(0).expand(shape, false)
            }
            Activations::Both { per_task, .. } | Activations::PerTask(per_task) => per_task,
        }
    }
}

impl Projection for Adapted {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        let streams = self.streams(x.map(|t| self.base.forward(t)));
        // One product per task, of one shape: a task's numbers do not depend on the others.
        let rows = streams.flatten(1, -2);
        let term = self.generator.weights().term(&rows, self.non_linearity);
        Activations::PerTask(&streams + term.view(streams.size().as_slice()))
    }
}
