//! How well each task does lately.

use polyptych_tensor::{Device, Kind, Tensor};

/// `e_t`: a moving average of each task's loss, `[tasks]` float64, since float32 loses the small
/// steps of a momentum near 1.
#[derive(Debug)]
pub(super) struct RunningLoss(pub(super) Tensor);

impl RunningLoss {
    pub(super) fn new(tasks: i64, start: f64, device: Device) -> Self {
        Self(Tensor::full([tasks], start, (Kind::Double, device)))
    }

    /// `e_t <- m e_t + (1 - m) mean of losses` for each task in the batch; others keep theirs.
    ///
    /// `losses` and `tasks` are `[batch]`; without `keep`, a bool scalar, nothing changes.
    pub(super) fn update(&mut self, losses: &Tensor, tasks: &Tensor, momentum: f64, keep: &Tensor) {
        let losses = losses.to_kind(Kind::Double);
        let none = self.0.zeros_like();
        let count = none.index_add(0, tasks, &losses.ones_like());
        let mean = none.index_add(0, tasks, &losses) / count.clamp_min(1.0);
        let moved = &self.0 * momentum + mean * (1.0 - momentum);
        let now = moved.where_self(&count.gt(0.0).logical_and(keep), &self.0);
        self.0.copy_(&now);
    }

    /// The running loss of each of `tasks`; `[batch]` float64.
    pub(super) fn of(&self, tasks: &Tensor) -> Tensor {
        self.0.index_select(0, tasks)
    }
}
