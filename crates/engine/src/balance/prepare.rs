//! What is found out before the first step, and what is refused then.

use polyptych_tensor::Tensor;

use super::{Balance, Found, Reach};
use crate::conflict::Layout;
use crate::{Error, Model, Result};

impl Balance {
    /// Finds out, once, which parameters are shared; to be called before a step is seeded.
    ///
    /// # Errors
    /// A combiner without shared parameters.
    pub(crate) fn prepare(&mut self, model: &Model, images: &Tensor) -> Result<()> {
        if self.found.is_some() || !self.needs_reach() {
            return Ok(());
        }
        let reach = Reach::find(model, &self.params, images)?;
        let norms = self.balancing.norms_over().is_some() && self.tasks.len() > 1;
        if (self.combines() || norms) && reach.shared.is_empty() {
            return Err(self.nothing_to_combine());
        }
        if self.cuts() && model.encode(images, false)?.cut().is_none() {
            return Err(self.nothing_in_common());
        }
        let layout = Layout::new(&reach, &self.params);
        self.found = Some(Found { reach, layout, rows: None, further: Vec::new() });
        Ok(())
    }

    fn needs_reach(&self) -> bool {
        let asked = self.balancing.max_norm().is_some() || self.balancing.norms_over().is_some();
        self.combines() || self.by_task || asked || self.conflict_every.is_some()
    }

    fn nothing_to_combine(&self) -> Error {
        let reason = "expected trainable parameters that two tasks or more share, found none; a \
                      balancer of kind loss other than gradnorm needs none";
        self.refused(if self.combines() { "gradient" } else { "loss" }, reason)
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
