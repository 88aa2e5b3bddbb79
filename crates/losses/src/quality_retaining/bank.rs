//! What each class's logits were.

use polyptych_tensor::{Device, Error, Kind, Tensor};

use super::config::{BankForm, QualityRetainingConfig};
use crate::Result;

/// Logits by class, raw and without gradients.
#[derive(Debug)]
pub(super) struct Bank {
    /// `[classes, slots, classes]`, float32, the newest last; 0 where never written.
    pub(super) logits: Tensor,
    /// `[classes, slots]`, bool: what was written.
    pub(super) seen: Tensor,
    form: BankForm,
    momentum: f64,
}

impl Bank {
    pub(super) fn new(
        config: &QualityRetainingConfig,
        classes: i64,
        device: Device,
    ) -> Result<Self> {
        let slots = config.bank.slots();
        let zeros =
            |shape: &[i64], kind| Tensor::f_zeros(shape, (kind, device)).map_err(Error::from);
        Ok(Self {
            logits: zeros(&[classes, slots, classes], Kind::Float)?,
            seen: zeros(&[classes, slots], Kind::Bool)?,
            form: config.bank,
            momentum: config.bank_momentum,
        })
    }

    /// Remembers `logits`, `[batch, classes]` float32, for each of `classes`, `[batch]`.
    ///
    /// A class that comes twice is written once, with its last logits. Every row of a repeated
    /// class carries the same values, so that the order of writes, which a GPU leaves open, does
    /// not matter, and nothing waits for the device. Without `keep`, a bool scalar, nothing
    /// changes.
    pub(super) fn write(&mut self, logits: &Tensor, classes: &Tensor, keep: &Tensor) {
        let newest = logits.index_select(0, &self.last_of_class(classes)).unsqueeze(1);
        let old = self.logits.index_select(0, classes);
        let rows = match self.form {
            BankForm::TwoSlot => Tensor::cat(&[old.narrow(1, 1, 1), newest], 1),
            BankForm::Ema => &old * self.momentum + newest * (1.0 - self.momentum),
        };
        let old_seen = self.seen.index_select(0, classes);
        let before = old_seen.narrow(1, 1, self.form.slots() - 1);
        let seen = Tensor::cat(&[before, old_seen.narrow(1, 0, 1).ones_like()], 1);
        let _ = self.logits.index_copy_(0, classes, &rows.where_self(keep, &old));
        let _ = self.seen.index_copy_(0, classes, &seen.where_self(keep, &old_seen));
    }

    /// For each sample the index of the last sample of its class; `[batch]`.
    fn last_of_class(&self, classes: &Tensor) -> Tensor {
        let samples = Tensor::arange(classes.numel() as i64, (Kind::Int64, classes.device()));
        let none = Tensor::full([self.seen.size()[0]], -1, (Kind::Int64, classes.device()));
        let last = none.internal_scatter_reduce(0, classes, &samples, "amax", true);
        last.index_select(0, classes)
    }
}
