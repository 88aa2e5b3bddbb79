//! The sum of all losses, each times the weight of its task: `sum_t w_t L_t`.

use std::ops::Range;

use polyptych_losses::{LossValue, LossWeights};
use polyptych_tensor::{GradScaler, scramble};

use super::pass::Pass;
use super::step::StepInputs;
use super::task_losses::{PartOfBatch, TaskLosses, loss_of, share_of};
use crate::training::reduce::sum_parameter_gradients;
use crate::{Model, Result};

/// Fixed weights, from the recipe.
#[derive(Debug)]
pub(super) struct WeightedSum {
    losses: TaskLosses,
    weights: LossWeights,
    /// Parts that a batch is gone through in.
    accumulate: usize,
}

impl WeightedSum {
    /// The sum over all tasks that `model` trains, in `accumulate` parts of every batch.
    ///
    /// # Errors
    /// No task, or a weight that is negative or not finite.
    pub(super) fn new(model: &Model, accumulate: usize) -> Result<Self> {
        let losses = TaskLosses::new(model, |_| false);
        Ok(Self { weights: losses.weights(model)?, losses, accumulate })
    }

    /// Goes forward and back through one head after the other: tasks meet in the trunk alone.
    ///
    /// # Errors
    /// An image of another shape, or a rank that is gone.
    pub(super) fn backward(&self, inputs: StepInputs, scaler: Option<&GradScaler>) -> Result<Pass> {
        let model = inputs.model;
        model.store.zero_grad();
        let scale = scaler.map_or(1.0, GradScaler::scale);
        let losses = match model.ranks.are_many() || self.accumulate > 1 {
            true => self.by_parts(inputs, scale)?,
            false => self.whole(inputs, scale)?,
        };
        let params = model.store.trainable();
        if let Some(scaler) = scaler {
            scaler.unscale(&params)?;
        }
        sum_parameter_gradients(&model.ranks, &params)?;
        let losses = self.losses.of_whole(model, losses)?;
        let terms = losses.iter().enumerate().map(|(index, loss)| self.weights.term(index, loss));
        let total = terms.reduce(|sum, term| sum + term);
        let loss = total.map_or(0.0, |total| total.double_value(&[]));
        let losses = self.losses.named(model, losses);
        Ok(Pass { loss, has_gradients: true, losses, penalty: None, balanced: None })
    }

    fn whole(&self, inputs: StepInputs, scale: f64) -> Result<Vec<LossValue>> {
        let StepInputs { model, batch, .. } = inputs;
        let mut losses = Vec::new();
        model.backward_by_head(batch.images, batch.seed, |index, output| {
            let loss = loss_of(model, index, output, batch.batch)?;
            let term = self.weights.term(losses.len(), &loss);
            losses.push(without_graph(loss));
            Ok(if scale == 1.0 { term } else { term * scale })
        })?;
        Ok(losses)
    }

    /// As [`WeightedSum::whole`], one part after the other: each has its share in the losses of the
    /// whole batch, and their gradients add up. The shares of this rank's parts together.
    fn by_parts(&self, inputs: StepInputs, scale: f64) -> Result<Vec<LossValue>> {
        let StepInputs { model, batch, .. } = inputs;
        let all = self.losses.label_sums(model, batch.batch)?;
        let mut losses: Vec<LossValue> = Vec::new();
        for (part, rows) in parts(batch.batch.names.len(), self.accumulate).enumerate() {
            let images = batch.images.narrow(0, rows.start as i64, rows.len() as i64);
            let mut place = 0;
            model.backward_by_head(&images, part_seed(batch.seed, part), |index, output| {
                let rows = rows.clone();
                let of = PartOfBatch { batch: batch.batch, rows, all: &all[place] };
                let share = share_of(model, index, output, of)?;
                let term = self.weights.term(place, &share);
                match losses.get_mut(place) {
                    Some(sum) => sum.loss = &sum.loss + share.loss.detach(),
                    None => losses.push(without_graph(share)),
                }
                place += 1;
                Ok(if scale == 1.0 { term } else { term * scale })
            })?;
        }
        Ok(losses)
    }
}

fn without_graph(loss: LossValue) -> LossValue {
    LossValue { loss: loss.loss.detach(), labelled: loss.labelled }
}

/// `count` parts of `len` rows; none is empty unless there are fewer rows than parts.
fn parts(len: usize, count: usize) -> impl Iterator<Item = Range<usize>> {
    let at = move |index: usize| len * index / count;
    (0..count).map(move |index| at(index)..at(index + 1)).filter(|rows| !rows.is_empty())
}

/// Seed of dropout of one part: other images draw other masks.
fn part_seed(seed: i64, part: usize) -> i64 {
    if part == 0 { seed } else { scramble((seed as u64).wrapping_add(part as u64)) as i64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_make_the_whole() {
        assert_eq!(parts(7, 3).collect::<Vec<_>>(), [0..2, 2..4, 4..7]);
        assert_eq!(parts(2, 3).collect::<Vec<_>>(), [0..1, 1..2]);
    }
}
