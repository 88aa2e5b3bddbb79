//! The adapted linear layer of FAAR.

use std::rc::Rc;

use polyptych_kernels::linear;
use polyptych_tensor::{Activations, Linear, Projection, Tensor, cast};

use crate::blocks::asked::Asked;
use crate::blocks::reweight::{streams, task_linear};
use crate::blocks::tensors::widened;
use crate::methods::pdrs::Adapted;

/// `W' x + b` for the shared stream, and where tasks have factors `W'_t x_t + b` for each.
#[derive(Debug)]
pub(super) struct FaarLinear {
    pub(super) base: Linear,
    pub(super) shared: Rc<Adapted>,
    /// One for each task, or none.
    pub(super) tasks: Vec<Rc<Adapted>>,
    pub(super) asked: Asked,
}

impl Projection for FaarLinear {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        let frozen = widened(&self.base.weight);
        let bias = self.base.bias.as_ref();
        // One draw of components for all streams.
        let weight = self.shared.weight(&frozen, train);
        let shared = |t: &Tensor| {
            let bias = bias.map(|bias| cast(bias, t.kind()));
            linear(t, &cast(&weight, t.kind()), bias.as_ref())
        };
        if self.tasks.is_empty() {
            return x.map(shared);
        }
        let weights: Vec<Tensor> =
            self.tasks.iter().map(|task| task.weight(&frozen, train)).collect();
        let weights = self.asked.select(Tensor::stack(&weights, 0));
        streams(x.shared().map(shared), task_linear(x, &weights, bias))
    }
}
