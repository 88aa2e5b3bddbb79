//! The sum of all losses, each times the weight of its task: `sum_t w_t L_t`.

use std::ops::Range;

use polyptych_losses::{LossValue, LossWeights};
use polyptych_tensor::{GradScaler, Kind, Tensor, scramble};

use super::pass::Pass;
use super::step::StepInputs;
use super::task_losses::{PartOfBatch, TaskLosses, has_labels, loss_of, share_of};
use crate::model::tapped::TappedOutput;
use crate::training::reduce::summed;
use crate::{Inputs, Model, Result};

/// Fixed weights, from the recipe.
#[derive(Debug)]
pub(super) struct WeightedSum {
    losses: TaskLosses,
    weights: LossWeights,
    /// Parts that a batch is gone through in.
    accumulate: usize,
}

impl WeightedSum {
    /// The sum over all tasks that `model` trains, in as many parts of every batch as `accumulate` says.
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
        let (losses, distillation) = match model.ranks.are_many() || self.accumulate > 1 {
            true => (self.by_parts(inputs, scale)?, None),
            false => self.whole(inputs, scale)?,
        };
        if let Some(scaler) = scaler {
            scaler.unscale(&model.store.trainable())?;
        }
        let losses = self.losses.of_whole(model, losses)?;
        let terms = losses.iter().enumerate().map(|(index, loss)| self.weights.term(index, loss));
        let total = terms.reduce(|sum, term| sum + term);
        let loss = total.unwrap_or_else(|| Tensor::from(0f64));
        let losses = self.losses.named(model, losses);
        Ok(Pass { losses, distillation, ..Pass::of(loss) })
    }

    /// The losses, and what outputs and features differ by from those of teachers, which the same pass
    /// learns from where it can.
    fn whole(&self, inputs: StepInputs, scale: f64) -> Result<(Vec<LossValue>, Option<Tensor>)> {
        let StepInputs { model, batch, teachers, .. } = inputs;
        let mut losses = self.nothing(model);
        let mut distillation: Option<Tensor> = None;
        let texts = model.texts(batch.batch)?;
        let read = Inputs { images: batch.images(), texts: texts.as_ref() };
        let teachers = teachers.filter(|teachers| teachers.fit_losses(model, batch.images()));
        let lessons = teachers.map(|teachers| teachers.lessons(batch.batch, batch.images()));
        let lessons = lessons.transpose()?;
        let taught = |index| lessons.as_ref().is_some_and(|lessons| lessons.has(index));
        let unread = model.unread(|index| has_labels(model, index, batch.batch) || taught(index));
        model.backward_without(&unread, read, batch.seed, |index, found| {
            let place = self.losses.place(index);
            let loss = loss_of(model, index, &found.output, batch)?;
            let term = self.weights.term(place, &loss);
            losses[place] = without_graph(loss);
            let lesson = lessons.as_ref().map(|lessons| lessons.term(model, index, found));
            let lesson = lesson.transpose()?.flatten();
            let value = lesson.as_ref().map(Tensor::detach);
            distillation =
                distillation.take().into_iter().chain(value).reduce(|sum, value| sum + value);
            let term = lesson.map_or_else(|| term.shallow_clone(), |lesson| &term + lesson);
            Ok(if scale == 1.0 { term } else { term * scale })
        })?;
        model.without_gradient(&unread)?;
        Ok((losses, distillation))
    }

    /// As [`WeightedSum::whole`], one part after the other: each has its share in the losses of the
    /// whole batch, and their gradients add up. The shares of this rank's parts together.
    fn by_parts(&self, inputs: StepInputs, scale: f64) -> Result<Vec<LossValue>> {
        let StepInputs { model, batch, .. } = inputs;
        let all = self.losses.label_sums(model, batch.batch)?;
        // Of the whole batch, as in one process.
        let unread = model.unread(|index| all[self.losses.place(index)][0] > 0.0);
        let mut losses = self.nothing(model);
        let parts: Vec<_> = parts(batch.batch.names.len(), self.accumulate).collect();
        for (part, rows) in parts.iter().enumerate() {
            // The others wait for the gradients of all parts.
            let buckets = model.gradient_buckets().filter(|_| part + 1 == parts.len());
            let images = batch.images().narrow(0, rows.start as i64, rows.len() as i64);
            let minimised = |index: usize, found: &TappedOutput| {
                let (rows, place) = (rows.clone(), self.losses.place(index));
                let of = PartOfBatch { batch, rows, all: &all[place] };
                let share = share_of(model, index, &found.output, of)?;
                let term = self.weights.term(place, &share);
                let sum = &losses[place].loss + share.loss.detach();
                losses[place] = LossValue { loss: sum, labelled: share.labelled };
                Ok(if scale == 1.0 { term } else { term * scale })
            };
            let seed = part_seed(batch.seed, part);
            summed(buckets, || model.backward_without(&unread, &images, seed, minimised))?;
        }
        model.without_gradient(&unread)?;
        Ok(losses)
    }

    /// The losses of tasks without labels.
    fn nothing(&self, model: &Model) -> Vec<LossValue> {
        let zero = |kind| Tensor::zeros([], (kind, model.store.device()));
        let one = |_| LossValue { loss: zero(Kind::Float), labelled: zero(Kind::Int64) };
        (0..self.losses.len()).map(one).collect()
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
