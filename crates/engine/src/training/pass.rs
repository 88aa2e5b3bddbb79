//! One batch, from images to gradients.

use std::collections::BTreeMap;

use polyptych_data::Batch;
use polyptych_losses::LossValue;
use polyptych_tensor::{GradScaler, Kind, Role, Tensor, manual_seed, no_grad, seed_of_step};
use serde_json::json;

use super::Trainer;
use crate::model::features::Cut;
use crate::training::balance::{BalancedStep, StepInputs, TaskBalancer, backward, numbers};
use crate::{Result, to_tensor};

/// What the gradients of a step were made of.
pub(super) struct Pass {
    /// What was minimised; not a number where the balancer met one that is not finite.
    pub(super) loss: f64,
    /// Whether gradients were formed.
    pub(super) formed: bool,
    /// Parts that are reported by name, not weighted, those without a label too.
    pub(super) losses: BTreeMap<String, LossValue>,
    /// What the balancer made of them, where there is one.
    pub(super) balanced: Option<BalancedStep>,
    /// What went in, `[batch, 3, height, width]`.
    pub(super) images: Tensor,
}

impl Pass {
    /// The losses as numbers; none where the batch has no label of a task.
    pub(super) fn numbers(&self) -> BTreeMap<String, Option<f64>> {
        let number = |value: &LossValue| {
            (value.labelled.int64_value(&[]) > 0).then(|| value.loss.double_value(&[]))
        };
        self.losses.iter().map(|(name, value)| (name.clone(), number(value))).collect()
    }

    /// Whether the forward pass is finite, so that what is not can only be a gradient.
    pub(super) fn losses_are_finite(&self) -> bool {
        let all = self.numbers();
        let finite = all.values().flatten().all(|loss| loss.is_finite());
        (self.loss.is_finite() || !self.formed) && finite
    }
}

impl Trainer {
    /// Goes through the model and back, and fills the gradients anew; `lr`: rate of the step.
    pub(super) fn pass(&mut self, images: Tensor, batch: &Batch, lr: f64) -> Result<Pass> {
        if self.balance.is_some() {
            return self.balanced_pass(images, batch, lr);
        }
        if self.union.is_none() {
            return self.pass_in_turn(images, batch);
        }
        let outputs = self.model.forward_train(&images, self.seed())?;
        self.model.store.zero_grad();
        let (total, losses) = self.losses(&outputs, batch)?;
        backward(&total, self.scaler.as_ref(), &self.model.store.trainable())?;
        Ok(Pass { loss: total.double_value(&[]), formed: true, losses, balanced: None, images })
    }

    /// Tasks of a recipe without a union meet in the trunk alone.
    fn pass_in_turn(&self, images: Tensor, batch: &Batch) -> Result<Pass> {
        self.model.store.zero_grad();
        let weights = self.weights.as_ref().expect("without a union every task has a loss");
        let scale = self.scaler.as_ref().map_or(1.0, GradScaler::scale);
        let (mut losses, mut total) = (Vec::new(), Vec::new());
        self.model.backward_in_turn(&images, self.seed(), |index, output| {
            let loss = self.loss_of(index, output, batch)?;
            let term = weights.term(losses.len(), &loss);
            losses.push(LossValue { loss: loss.loss.detach(), labelled: loss.labelled });
            total.push(term.detach());
            Ok(if scale == 1.0 { term } else { term * scale })
        })?;
        if let Some(scaler) = &self.scaler {
            scaler.unscale(&self.model.store.trainable())?;
        }
        let total = total.into_iter().reduce(|sum, term| sum + term);
        let total = total.expect("a recipe has at least one task");
        let (loss, losses) = (total.double_value(&[]), self.named(losses));
        Ok(Pass { loss, formed: true, losses, balanced: None, images })
    }

    fn balanced_pass(&mut self, images: Tensor, batch: &Batch, lr: f64) -> Result<Pass> {
        let ahead = self.ahead(&images, batch, lr)?;
        let (outputs, cut) = self.outputs(&images)?;
        self.model.store.zero_grad();
        let (values, labelled) = self.labelled(&outputs, batch)?;
        let (step, losses) = (self.state.step, self.weighed(&values));
        let balance = self.balance.as_mut().expect("the caller has asked");
        let balanced = match &ahead {
            Some(gains) => balance.backward(StepInputs {
                losses: &losses,
                labelled: &labelled,
                cut: cut.as_ref(),
                gains: gains.as_deref(),
                scaler: self.scaler.as_ref(),
                step,
            })?,
            None => None,
        };
        let loss = balanced.as_ref().map_or(f64::NAN, |balanced| balanced.total);
        let losses = self.named(values);
        Ok(Pass { loss, formed: balanced.is_some(), losses, balanced, images })
    }

    /// Every pass of a step has the same dropout.
    pub(super) fn seed(&self) -> i64 {
        seed_of_step(self.recipe.seed, self.state.step)
    }

    /// Outputs of a training pass, whose gradients end at the cut if the method asks for one.
    fn outputs(&self, images: &Tensor) -> Result<(Vec<Tensor>, Option<Cut>)> {
        if !self.balance.as_ref().is_some_and(TaskBalancer::cuts) {
            return Ok((self.model.forward_train(images, self.seed())?, None));
        }
        manual_seed(self.seed());
        let features = self.model.encode(images, true)?;
        let (features, cut) = match features.cut() {
            Some((leaves, cut)) => (leaves, Some(cut)),
            None => (features, None),
        };
        Ok((self.model.decode(&features, true)?, cut))
    }

    /// Losses of the tasks that have one of their own, and whether each has labels.
    pub(super) fn labelled(
        &self,
        outputs: &[Tensor],
        batch: &Batch,
    ) -> Result<(Vec<LossValue>, Vec<bool>)> {
        let values = self.losses_alone(outputs, batch)?;
        let counts: Vec<Tensor> = values.iter().map(|v| v.labelled.shallow_clone()).collect();
        let labelled = numbers(&counts)?.into_iter().map(|count| count > 0.0).collect();
        Ok((values, labelled))
    }

    /// What is minimised with fixed weights, and the parts that are reported by name.
    fn losses(
        &mut self,
        outputs: &[Tensor],
        batch: &Batch,
    ) -> Result<(Tensor, BTreeMap<String, LossValue>)> {
        let losses = self.losses_alone(outputs, batch)?;
        let total = self.weights.as_ref().map(|weights| weights.total(&losses)).transpose()?;
        let mut named = self.named(losses);
        let mut terms: Vec<Tensor> = total.into_iter().collect();
        if let Some(union) = &mut self.union {
            let loss = union.forward(outputs, batch)?;
            terms.push(loss.total);
            named.extend(loss.by_task.into_iter().map(|(task, l)| (task, reported(l))));
            let retained = loss.quality_retaining.map(|l| ("quality_retaining".to_owned(), l));
            named.extend(
                retained
                    .map(|(name, loss)| (name, LossValue { loss, labelled: Tensor::from(1i64) })),
            );
        }
        let total = terms.into_iter().reduce(|sum, term| sum + term);
        Ok((total.expect("a recipe has at least one task"), named))
    }

    /// Losses of the tasks that have one of their own, not weighted; `outputs` are those of all
    /// tasks that learn.
    fn losses_alone(&self, outputs: &[Tensor], batch: &Batch) -> Result<Vec<LossValue>> {
        let one = |&index: &usize| {
            let place = self.model.learning().binary_search(&index);
            let output = &outputs[place.expect("only tasks that learn have a loss")];
            self.loss_of(index, output, batch)
        };
        self.alone.iter().map(one).collect()
    }

    fn loss_of(&self, index: usize, output: &Tensor, batch: &Batch) -> Result<LossValue> {
        let task = &self.model.tasks[index];
        let target = to_tensor(&batch.targets[&task.spec.name], self.device);
        Ok(task.loss.forward(output, &target)?)
    }

    fn named(&self, losses: Vec<LossValue>) -> BTreeMap<String, LossValue> {
        let names = self.alone.iter().map(|&index| self.model.tasks[index].spec.name.clone());
        names.zip(losses).collect()
    }

    pub(super) fn weighed(&self, losses: &[LossValue]) -> Vec<Tensor> {
        let weights = self.alone.iter().map(|&index| self.model.tasks[index].recipe.weight);
        losses.iter().zip(weights).map(|(value, weight)| &value.loss * weight).collect()
    }

    /// Tells the balancer that the optimiser's step is done, and notes the conflict in the log.
    pub(super) fn learn(
        &mut self,
        balanced: &BalancedStep,
        images: &Tensor,
        batch: &Batch,
    ) -> Result<()> {
        if let Some(conflict) = &balanced.conflict {
            self.log.write(&json!({"step": self.state.step + 1, "conflict": conflict}))?;
        }
        let Some(told) = &balanced.info else { return Ok(()) };
        let asks_again = self.balance.as_ref().is_some_and(|balance| balance.needs_new_losses());
        let again = if asks_again { Some(self.losses_again(images, batch)?) } else { None };
        let again = again.map(|all| told.tasks().iter().map(|&task| all[task]).collect::<Vec<_>>());
        match &mut self.balance {
            Some(balance) => balance.after_step(told, again.as_deref()),
            None => Ok(()),
        }
    }

    /// Losses of the same batch after the step, under the same dropout; running means stay.
    fn losses_again(&self, images: &Tensor, batch: &Batch) -> Result<Vec<f64>> {
        let buffers = self.buffers();
        let losses = no_grad(|| -> Result<Vec<Tensor>> {
            let outputs = self.model.forward_train(images, self.seed())?;
            Ok(self.weighed(&self.losses_alone(&outputs, batch)?))
        })?;
        put_back(buffers)?;
        numbers(&losses.iter().map(|loss| loss.to_kind(Kind::Float)).collect::<Vec<_>>())
    }

    /// Running means and their like, and copies of them.
    pub(super) fn buffers(&self) -> Vec<(Tensor, Tensor)> {
        let mut buffers = Vec::new();
        self.model.store.for_each(|_, entry| {
            if entry.role == Role::Buffer {
                buffers.push((entry.tensor.shallow_clone(), entry.tensor.copy()));
            }
        });
        buffers
    }
}

/// The loss of a task of the union; none where the batch has no label of it.
fn reported(loss: Option<f64>) -> LossValue {
    let labelled = Tensor::from(i64::from(loss.is_some()));
    LossValue { loss: Tensor::from(loss.unwrap_or_default()), labelled }
}

/// Undoes what passes beside the step did to running means; no graph of theirs may be left.
pub(super) fn put_back(mut buffers: Vec<(Tensor, Tensor)>) -> Result<()> {
    Ok(no_grad(|| buffers.iter_mut().try_for_each(|(buffer, kept)| buffer.f_copy_(kept)))?)
}
