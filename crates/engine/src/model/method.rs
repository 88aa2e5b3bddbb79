//! What a model asks its method in a run, of every trunk.

use polyptych_tensor::{Observed, Plan, Tensor};

use crate::Model;

impl Model {
    /// Tells the method where the run stands: `step` of `steps` are done.
    pub fn set_progress(&self, step: u64, steps: u64) {
        self.plans().for_each(|plan| plan.set_progress(step, steps));
    }

    /// Lets the method read the gradients of a step before the optimiser moves anything.
    pub(crate) fn before_step(&self) {
        self.plans().for_each(Plan::before_step);
    }

    /// The method's own term of the loss, of all copies, and that of the heads' tokens; see
    /// [`Plan::penalty`].
    ///
    /// [`Plan::penalty`]: polyptych_tensor::Plan::penalty
    pub(crate) fn penalty(&self) -> Option<Tensor> {
        let terms = self.plans().filter_map(Plan::penalty);
        terms.chain(self.heads.diversity()).reduce(|sum, term| sum + term)
    }

    /// Why the model cannot be merged as it is now; nothing where it can.
    pub fn unmergeable(&self) -> Option<String> {
        self.plans().find_map(Plan::unmergeable)
    }

    /// What the method noted of every image in the last forward pass outside of training.
    pub(crate) fn observed(&self) -> Observed {
        self.trunks.iter().flat_map(|trunk| trunk.plan.observed()).collect()
    }

    /// Those of images, then that of texts.
    fn plans(&self) -> impl Iterator<Item = &dyn Plan> {
        let images = self.trunks.iter().map(|trunk| trunk.plan.as_ref());
        images.chain(self.text.iter().map(|text| text.plan.as_ref()))
    }
}
