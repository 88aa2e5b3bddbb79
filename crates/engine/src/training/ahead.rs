//! What a method asks of other batches before the pass of its own.
//!
//! SDMGrad takes rows of two further batches, Auto-lambda judges a virtual step by one. Passes are
//! those of training; what they do to running means is undone.

use polyptych_data::Batch;
use polyptych_tensor::{GradScaler, Tensor};

use super::Trainer;
use super::pass::put_back;
use crate::training::balance::{LookAhead, StepInputs, TaskBalancer, finite};
use crate::{Result, to_tensor};

/// Batches of every step beside its own: those of the aggregator, then the one that judges.
pub(super) fn further_batches(balance: &TaskBalancer) -> u64 {
    balance.extra_batches() as u64 + u64::from(balance.primary().is_some())
}

impl Trainer {
    /// Every task's gain, where the method looks ahead and the second batch can judge; nothing at
    /// all where a number is not finite, which asks to skip the step.
    pub(super) fn ahead(
        &mut self,
        images: &Tensor,
        batch: &Batch,
        lr: f64,
    ) -> Result<Option<Option<Vec<f64>>>> {
        if self.further.is_empty() {
            return Ok(Some(None));
        }
        let step = self.state.step;
        let further: Vec<Batch> =
            self.further.iter_mut().map(|further| further.at(step)).collect::<Result<_>>()?;
        let buffers = self.buffers();
        let found = self.collect_further(&further).and_then(|()| {
            let judge = further.last().expect("there is one at least");
            finite(self.gains(images, batch, judge, lr))
        });
        put_back(buffers)?;
        found
    }

    fn collect_further(&mut self, further: &[Batch]) -> Result<()> {
        let count = self.balance.as_ref().map_or(0, TaskBalancer::extra_batches);
        for (index, batch) in further.iter().take(count).enumerate() {
            let (losses, labelled) =
                self.train_pass(&to_tensor(&batch.images, self.device), batch)?;
            let (step, scaler) = (self.state.step, self.scaler.as_ref());
            let (losses, labelled) = (&losses[..], &labelled[..]);
            let formed = StepInputs { losses, labelled, cut: None, gains: None, scaler, step };
            if let Some(balance) = &mut self.balance {
                balance.collect_extra(index, formed)?;
            }
        }
        Ok(())
    }

    fn gains(
        &self,
        images: &Tensor,
        batch: &Batch,
        judge: &Batch,
        lr: f64,
    ) -> Result<Option<Vec<f64>>> {
        let Some((balance, primary)) = self.balance.as_ref().and_then(|b| Some((b, b.primary()?)))
        else {
            return Ok(None);
        };
        let params = self.model.store.trainable();
        let scale = self.scaler.as_ref().map_or(1.0, GradScaler::scale);
        let ahead = LookAhead { params: &params, drift: self.optimiser.drift(), lr, scale };
        let judge_images = to_tensor(&judge.images, self.device);
        ahead.gains(
            || {
                let (losses, labelled) = self.train_pass(images, batch)?;
                balance.virtual_total(&losses, &labelled, self.state.step)
            },
            || {
                let (losses, labelled) = self.train_pass(&judge_images, judge)?;
                let known = primary.iter().filter(|&&task| labelled[task]);
                Ok(known.map(|&task| losses[task].shallow_clone()).reduce(|sum, l| sum + l))
            },
            || Ok(self.train_pass(images, batch)?.0),
        )
    }

    /// Losses of every task, times its fixed weight, and whether it has labels.
    fn train_pass(&self, images: &Tensor, batch: &Batch) -> Result<(Vec<Tensor>, Vec<bool>)> {
        let outputs = self.model.forward_train(images, self.seed())?;
        let (values, labelled) = self.labelled(&outputs, batch)?;
        Ok((self.weighed(&values), labelled))
    }
}
