//! The adapted linear layer of InterroGate.

use std::cell::Cell;
use std::rc::Rc;

use polyptych_tensor::{Activations, Linear, Projection, Tensor, cast};

use super::gate::Gates;
use super::pruned::count;
use crate::blocks::low_rank::LowRank;
use crate::blocks::reweight::{TaskWeights, task_linear, task_rows, task_shape};

/// The maps of the shared stream and of the tasks, and what mixes them.
#[derive(Debug)]
pub(super) struct InterroLinear {
    pub(super) base: Linear,
    pub(super) maps: TaskMaps,
    pub(super) gates: Gates,
    /// Multiply-adds of the merged maps.
    pub(super) counted: Rc<Cell<u64>>,
}

/// What tasks have for themselves.
#[derive(Debug)]
pub(super) enum TaskMaps {
    /// Factors beside the frozen weight.
    Factors { shared: LowRank, tasks: Vec<LowRank>, scale: f64 },
    /// A weight each, with zeros in rows of shared channels; that of the shared stream is the
    /// backbone's.
    Merged(TaskWeights),
}

impl Projection for InterroLinear {
    fn forward(&self, x: &Activations, _train: bool) -> Activations {
        let (psi, phi) = match &self.maps {
            TaskMaps::Merged(weights) => {
                let out = self.base.weight.size()[0];
                count(&self.counted, x.expect_shared(), out * (weights.len() as i64 + 1));
                let phi = task_linear(x, &weights.stacked(), self.base.bias.as_ref());
                (self.base.forward(x.expect_shared()), phi)
            }
            TaskMaps::Factors { shared, tasks, scale } => {
                let psi = shared.beside(&self.base, x.expect_shared(), *scale, 0.0);
                (psi, self.of_tasks(x, tasks, *scale))
            }
        };
        let (shared, per_task) = self.gates.mix(psi, &phi);
        Activations::Both { shared, per_task }
    }
}

impl InterroLinear {
    /// `phi`, `[tasks, .., out]`.
    fn of_tasks(&self, x: &Activations, tasks: &[LowRank], scale: f64) -> Tensor {
        let stacked = |factor: fn(&LowRank) -> &Tensor| {
            Tensor::stack(&tasks.iter().map(factor).collect::<Vec<_>>(), 0)
        };
        let (a, b) = (stacked(|pair| &pair.a), stacked(|pair| &pair.b));
        let (count, out) = (tasks.len() as i64, self.base.weight.size()[0]);
        let rows = task_rows(x, count);
        let transposed = |t: &Tensor| cast(t, rows.kind()).transpose(1, 2);
        let term = rows.bmm(&transposed(&a)).bmm(&transposed(&b)) * scale;
        let term = term.view(task_shape(x, count, out).as_slice());
        match x {
            Activations::Shared(shared) => self.base.forward(shared).unsqueeze(0) + term,
            Activations::Both { per_task, .. } | Activations::PerTask(per_task) => {
                self.base.forward(per_task) + term
            }
        }
    }
}
