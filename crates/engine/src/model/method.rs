//! What a model asks its method in a run, of every trunk.

use polyptych_tensor::{Observed, Tensor};

use crate::Model;

impl Model {
    /// Tells the method where the run stands: `step` of `steps` are done.
    pub fn set_progress(&self, step: u64, steps: u64) {
        self.trunks.iter().for_each(|trunk| trunk.plan.set_progress(step, steps));
    }

    /// Lets the method read the gradients of a step before the optimiser moves anything.
    pub(crate) fn before_step(&self) {
        self.trunks.iter().for_each(|trunk| trunk.plan.before_step());
    }

    /// The method's own term of the loss, of all copies; see [`Plan::penalty`].
    ///
    /// [`Plan::penalty`]: polyptych_tensor::Plan::penalty
    pub(crate) fn penalty(&self) -> Option<Tensor> {
        let terms = self.trunks.iter().filter_map(|trunk| trunk.plan.penalty());
        terms.reduce(|sum, term| sum + term)
    }

    /// Why the model cannot be merged as it is now; nothing where it can.
    pub fn unmergeable(&self) -> Option<String> {
        self.trunks.iter().find_map(|trunk| trunk.plan.unmergeable())
    }

    /// What the method noted of every image in the last forward pass outside of training.
    pub(crate) fn observed(&self) -> Observed {
        self.trunks.iter().flat_map(|trunk| trunk.plan.observed()).collect()
    }
}
