//! What a run leaves behind to go on from.

use std::collections::BTreeMap;

use polyptych_kernels::torch_version;

use super::Trainer;
use crate::run::checkpoint::State;
use crate::{Checkpoint, Result};

impl Trainer {
    /// Notes that a step is done.
    pub(super) fn advance(&mut self) -> Result<()> {
        self.state.step += 1;
        let save = self.recipe.train.save_every;
        if self.due(save) && !self.due(self.recipe.train.eval_every) { self.save() } else { Ok(()) }
    }

    pub(super) fn save(&self) -> Result<()> {
        let limit = self.recipe.train.save_total_limit;
        self.checkpoint().save(&self.folder.checkpoints(), limit)
    }

    pub(super) fn checkpoint(&self) -> Checkpoint {
        let model = self.model.store.tensors().into_iter().collect();
        let state = State {
            files: BTreeMap::new(),
            data: self.data.record().clone(),
            versions: versions(),
            ..self.state.clone()
        };
        let (optimiser, memory) = (self.optimiser.state(), self.objective.state());
        Checkpoint { model, optimiser, memory, state, rounded_up: true }
    }
}

/// What wrote a checkpoint.
pub(super) fn versions() -> String {
    format!("polyptych {}, LibTorch {}", env!("CARGO_PKG_VERSION"), torch_version())
}
