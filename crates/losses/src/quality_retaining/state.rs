//! What a checkpoint keeps of the loss.

use polyptych_tensor::{Tensor, Tensors, no_grad};

use super::QualityRetaining;
use crate::{Error, Result};

const BANK: &str = "quality_retaining.bank";
const RUNNING_LOSS: &str = "quality_retaining.running_loss";
const SEEN: &str = "quality_retaining.seen";

impl QualityRetaining {
    /// Copies of all that has memory: `quality_retaining.bank` `[classes, slots, classes]`
    /// float32, the newest slot last; `.seen` `[classes, slots]` bool; `.running_loss` `[tasks]`
    /// float64.
    pub fn state(&self) -> Tensors {
        let named = [(BANK, &self.bank.logits), (RUNNING_LOSS, &self.running.0)];
        let named = named.into_iter().chain([(SEEN, &self.bank.seen)]);
        named.map(|(name, tensor)| (name.to_owned(), tensor.copy())).collect()
    }

    /// Goes on from a [`state`](QualityRetaining::state); tensors of other names are left alone.
    ///
    /// # Errors
    /// A tensor that is absent, or of another type or shape, such as a bank of another number of
    /// classes; nothing has changed then.
    pub fn restore(&mut self, state: &Tensors) -> Result<()> {
        let [bank, running, seen] = [
            fitting(state, BANK, &self.bank.logits)?,
            fitting(state, RUNNING_LOSS, &self.running.0)?,
            fitting(state, SEEN, &self.bank.seen)?,
        ];
        no_grad(|| {
            self.bank.logits.copy_(bank);
            self.running.0.copy_(running);
            self.bank.seen.copy_(seen);
        });
        Ok(())
    }
}

fn fitting<'a>(state: &'a Tensors, key: &'static str, wanted: &Tensor) -> Result<&'a Tensor> {
    let wrong = |expected: String, found: String| Error::Mismatch { key, expected, found };
    let (shape, kind) = (wanted.size(), wanted.kind());
    let found =
        state.get(key).ok_or_else(|| wrong(format!("{shape:?}"), "no such tensor".into()))?;
    if found.size() != shape {
        return Err(wrong(format!("{shape:?}"), format!("{:?}", found.size())));
    }
    if found.kind() != kind {
        return Err(wrong(format!("{kind:?}"), format!("{:?}", found.kind())));
    }
    Ok(found)
}
