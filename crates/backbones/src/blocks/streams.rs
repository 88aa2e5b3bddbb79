//! Which streams a level passes to the next stage.

use polyptych_tensor::{Activations, Plan};

/// See the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PassedStreams {
    /// The shared stream alone; the tasks' leave with their level.
    Shared,
    /// All of them.
    All,
}

impl PassedStreams {
    /// What `plan` asks for.
    pub(crate) fn of(plan: &dyn Plan) -> Self {
        if plan.keeps_streams() { PassedStreams::All } else { PassedStreams::Shared }
    }

    /// The streams of `level` that the next stage reads.
    pub(crate) fn of_level(self, level: &Activations) -> Activations {
        match self {
            PassedStreams::Shared => level.without_tasks(),
            PassedStreams::All => level.shallow_clone(),
        }
    }
}
