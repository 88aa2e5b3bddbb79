//! Which streams go on from a level into the next stage.

use polyptych_tensor::{Activations, Plan, Tensor};

/// See the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Onward {
    /// The shared stream alone; the tasks' leave with their level.
    Shared,
    /// All of them.
    All,
}

impl Onward {
    /// What `plan` asks for.
    pub(crate) fn of(plan: &dyn Plan) -> Self {
        if plan.keeps_streams() { Onward::All } else { Onward::Shared }
    }

    /// What goes on of `level`.
    pub(crate) fn of_level(self, level: &Activations) -> Activations {
        match self {
            Onward::Shared => level.without_tasks(),
            Onward::All => Activations {
                shared: level.shared.shallow_clone(),
                per_task: level.per_task.as_ref().map(Tensor::shallow_clone),
            },
        }
    }
}
