//! One up-projection per task, with the knowledge extraction and the scale multiplied in.
//!
//! The adapter itself cannot become part of frozen weights, for it runs beside a nonlinear MLP.

use polyptych_kernels::task_up;
use polyptych_tensor::{Init, Result, Scope, Tap, Tensor, Tensors, cast, no_grad};

use super::config::VmtAdapterConfig;
use super::knowledge::{self, SCOPE};
use super::pair::{Pair, multiply};
use crate::blocks::tensors::take;

/// `W_up^t`, `[d, k]`, and `b_up^t`, `[d]`, of every task.
#[derive(Debug)]
pub(super) struct MergedTasks {
    tasks: Vec<(Tensor, Tensor)>,
}

impl MergedTasks {
    /// Makes `vmt_up_tasks.<task>` below `scope`, to be loaded from what [`merge`] made.
    pub(super) fn new(scope: &Scope, [d, k]: [i64; 2], tasks: &[String]) -> Result<Self> {
        let make = |task: &String| {
            let scope = scope.pp("vmt_up_tasks").pp(task);
            let weight = scope.param("weight", &[d, k], Init::ZEROS)?;
            Ok((weight, scope.param("bias", &[d], Init::ZEROS)?))
        };
        Ok(Self { tasks: tasks.iter().map(make).collect::<Result<_>>()? })
    }

    /// As [`Knowledge::terms`](super::knowledge::Knowledge::terms), scaled.
    pub(super) fn terms(&self, pair: &Pair, h: &Tensor, tap: Tap) -> Tensor {
        let (weights, biases): (Vec<_>, Vec<_>) = self.tasks.iter().map(|(w, b)| (w, b)).unzip();
        let (mut weight, mut bias) = (Tensor::stack(&weights, 0), Tensor::stack(&biases, 0));
        if tap == Tap::Sum {
            let (shared, shared_bias) = pair.up_matrix();
            (weight, bias) = (weight - shared, bias - shared_bias);
        }
        let rows = h.flatten(0, -2).unsqueeze(0).expand([self.tasks.len() as i64, -1, -1], false);
        let terms = task_up(&rows, None, &cast(&weight, h.kind()));
        let terms = terms + cast(&bias, h.kind()).unsqueeze(1);
        let mut shape = h.size();
        shape.insert(0, self.tasks.len() as i64);
        shape[h.dim()] = weight.size()[1];
        terms.view(shape.as_slice())
    }
}

/// Merges the adapter at `path` in `tensors`; `tasks` are those that have a module there.
///
/// # Errors
/// A tensor that is absent.
pub(super) fn merge(
    tensors: &mut Tensors,
    path: &str,
    config: &VmtAdapterConfig,
    tasks: &[String],
) -> Result<()> {
    no_grad(|| {
        let scale = match config.scale() {
            (_, true) => take(tensors, &format!("{path}.vmt_scale"))?.double_value(&[0]),
            (fixed, false) => fixed,
        };
        let (down, up) = multiply(tensors, path, config.projections)?;
        let up_bias = take(tensors, &format!("{path}.vmt_up.bias"))?;
        for task in tasks {
            let part = |part: &str| format!("{path}.{SCOPE}.{task}.{part}");
            let (weight, bias) = (take(tensors, &part("weight"))?, take(tensors, &part("bias"))?);
            let kind = config.knowledge_extraction;
            let (weight, bias) = knowledge::merged(kind, [&weight, &bias], [&up, &up_bias]);
            let mut put = |part: &str, tensor: Tensor| {
                tensors.insert(format!("{path}.vmt_up_tasks.{task}.{part}"), tensor * scale)
            };
            put("weight", weight);
            put("bias", bias);
        }
        tensors.insert(format!("{path}.vmt_down.weight"), down);
        tensors.insert(format!("{path}.vmt_up.weight"), up * scale);
        tensors.insert(format!("{path}.vmt_up.bias"), up_bias * scale);
        Ok(())
    })
}
