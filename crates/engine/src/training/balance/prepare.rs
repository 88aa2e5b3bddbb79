//! What is known before the first step, and what is refused then.

use polyptych_tensor::Tensor;

use super::{ParameterSharing, Prepared, TaskBalancer};
use crate::{Error, Model, Result};

impl TaskBalancer {
    /// Finds out, once, which parameters are shared; to be called before a step is seeded.
    ///
    /// # Errors
    /// A aggregator without shared parameters.
    pub(crate) fn prepare(&mut self, model: &Model, images: &Tensor) -> Result<()> {
        if self.prepared.is_some() || !self.needs_sharing() {
            return Ok(());
        }
        let sharing = ParameterSharing::find(model, &self.params, images)?;
        let norms = self.balancer.norms_over().is_some() && self.tasks.len() > 1;
        if (self.aggregates() || norms) && sharing.shared.is_empty() {
            return Err(self.nothing_to_combine());
        }
        if self.cuts() && model.encode(images, false)?.cut().is_none() {
            return Err(self.nothing_in_common());
        }
        let layout = sharing.layout(&self.params);
        self.prepared = Some(Prepared { sharing, layout, matrix: None, extra: Vec::new() });
        Ok(())
    }

    fn needs_sharing(&self) -> bool {
        let asked = self.balancer.max_norm().is_some() || self.balancer.norms_over().is_some();
        self.aggregates() || self.by_task || asked || self.conflict_every.is_some()
    }

    fn nothing_to_combine(&self) -> Error {
        let reason = "expected trainable parameters that two tasks or more share, found none; a \
                      balancer of kind loss other than gradnorm needs none";
        self.refused(if self.aggregates() { "gradient" } else { "loss" }, reason)
    }

    fn nothing_in_common(&self) -> Error {
        let reason = "expected features that all tasks read, found some of one task alone, which \
                      its adapter makes; mgda needs none";
        self.refused("gradient", reason)
    }

    fn refused(&self, key: &str, reason: &str) -> Error {
        let (origin, key) = (self.name.clone(), format!("balancer.{key}"));
        Error::Recipe { origin, key, reason: reason.into() }
    }
}
