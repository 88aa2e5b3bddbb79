//! Which tasks learn together: found before training by the similarity of their gradients.

use polyptych_adapters::{Form, Grouping};
use polyptych_data::Batch;
use polyptych_distributed::Ranks;
use polyptych_tensor::{Device, Kind, Tensor, no_grad, seed_of_step};

use super::balance::gradients::{GradOptions, gradients_of_part};
use crate::{DataSets, Error, Model, Recipe, Result, load_backbone, to_tensor};

/// The recipe with the groups that its method has to find, if it has to.
///
/// Every process measures on whole batches, so that all find the same.
///
/// # Errors
/// Data or weights that cannot be read, a backbone with other stages.
pub(super) fn decided(recipe: Recipe, data: &DataSets, device: Device) -> Result<Recipe> {
    let names = recipe.task_names();
    let Some(grouping) = recipe.adapter.grouping(&names) else { return Ok(recipe) };
    let adapter = recipe.adapter.with(grouping.together.clone())?;
    let together = Recipe { adapter, ..recipe.clone() };
    let model = Model::new_among(Ranks::alone(), &together, &data.specs, Form::Adapted, device)?;
    load_backbone(&model, &together.backbone)?;
    let similarities = Measured { recipe: &together, data, model, grouping }.similarities()?;
    let adapter = recipe.adapter.with(recipe.adapter.grouped(&names, &similarities))?;
    Ok(Recipe { adapter, ..recipe })
}

struct Measured<'a> {
    recipe: &'a Recipe,
    data: &'a DataSets,
    model: Model,
    grouping: Grouping,
}

impl Measured<'_> {
    /// `<mean unit gradient of t, mean unit gradient of u>` of every stage.
    fn similarities(&self) -> Result<Vec<Vec<Vec<f64>>>> {
        let params = self.shared()?;
        let mut sums: Vec<Vec<Option<Tensor>>> =
            self.model.tasks.iter().map(|_| self.empty()).collect();
        let mut step = 0;
        for epoch in 0.. {
            for batch in self.data.train.epoch(epoch, 0)? {
                if step == self.grouping.batches {
                    let stages = 0..self.grouping.stages;
                    return Ok(stages.map(|stage| self.products(&sums, stage)).collect());
                }
                self.measure(step, &batch?, &params, &mut sums)?;
                step += 1;
            }
        }
        Ok(Vec::new())
    }

    /// Adds what `batch` says of every task.
    fn measure(
        &self,
        step: usize,
        batch: &Batch,
        params: &[(usize, Tensor)],
        sums: &mut [Vec<Option<Tensor>>],
    ) -> Result<()> {
        let images = to_tensor(&batch.images, self.model.store.device());
        let seed = seed_of_step(self.recipe.seed, step as u64);
        let outputs = self.model.forward_train(&images, seed)?;
        let all: Vec<&Tensor> = params.iter().map(|(_, t)| t).collect();
        for (index, (output, sums)) in outputs.iter().zip(sums).enumerate() {
            let task = &self.model.tasks[index];
            let target = &batch.targets[&task.spec.name];
            let target = to_tensor(target, self.model.store.device());
            let loss = task.loss.forward(output, &task.loss_target(target)?)?.loss;
            let retain_graph = index + 1 < outputs.len();
            let options = GradOptions { ranks: Ranks::ALONE, scale: 1.0, retain_graph };
            self.add(sums, params, &gradients_of_part(&loss, &all, options)?);
        }
        Ok(())
    }

    fn empty(&self) -> Vec<Option<Tensor>> {
        (0..self.grouping.stages).map(|_| None).collect()
    }

    /// What trains in the trunk, with its stage.
    fn shared(&self) -> Result<Vec<(usize, Tensor)>> {
        let trunks = self.model.trunks();
        let stage = |name: &str| trunks.iter().find_map(|trunk| trunk.stage_of(name));
        let all = self.model.store.trainable().into_iter();
        let found: Vec<(usize, Tensor)> =
            all.filter_map(|(name, t)| Some((stage(&name)?, t))).collect();
        let stages = found.iter().map(|(stage, _)| stage + 1).max().unwrap_or(0);
        match stages == self.grouping.stages {
            true => Ok(found),
            false => Err(Error::Recipe {
                origin: self.recipe.name.clone(),
                key: "adapter.num_groups".into(),
                reason: format!(
                    "expected one number per stage of the backbone, {stages}, found {}",
                    self.grouping.stages
                ),
            }),
        }
    }

    /// Adds the unit gradient of every stage to a task's sums.
    fn add(&self, sums: &mut [Option<Tensor>], params: &[(usize, Tensor)], found: &[Tensor]) {
        for (stage, sum) in sums.iter_mut().enumerate() {
            let own = params.iter().zip(found).filter(|((at, _), _)| *at == stage);
            let flat: Vec<Tensor> = own
                .map(|((_, param), grad)| match grad.defined() {
                    true => grad.flatten(0, -1),
                    false => param.detach().zeros_like().flatten(0, -1),
                })
                .collect();
            let unit = unit(&Tensor::cat(&flat, 0));
            *sum = Some(match sum.take() {
                Some(sum) => sum + unit,
                None => unit,
            });
        }
    }

    fn products(&self, sums: &[Vec<Option<Tensor>>], stage: usize) -> Vec<Vec<f64>> {
        let batches = self.grouping.batches as f64;
        let mean = |task: &Vec<Option<Tensor>>| task[stage].as_ref().map(|sum| sum / batches);
        let means: Vec<Option<Tensor>> = sums.iter().map(mean).collect();
        let product = |a: &Option<Tensor>, b: &Option<Tensor>| match (a, b) {
            (Some(a), Some(b)) => a.dot(b).double_value(&[]),
            _ => 0.0,
        };
        means.iter().map(|a| means.iter().map(|b| product(a, b)).collect()).collect()
    }
}

/// Of length 1 in float64; zeros stay.
fn unit(gradient: &Tensor) -> Tensor {
    no_grad(|| {
        let wide = gradient.to_kind(Kind::Double);
        let length = wide.norm().clamp_min(1e-30);
        wide / length
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Unit gradients [1, 0] and [1, 1] of one task, [1, 0] and [0, 1] of another.
    #[test]
    fn similarity_is_the_mean_over_pairs_of_batches() {
        let mean = |a: [f64; 2], b: [f64; 2]| {
            (unit(&Tensor::from_slice(&a)) + unit(&Tensor::from_slice(&b))) / 2.0
        };
        let (a, b) = (mean([2.0, 0.0], [3.0, 3.0]), mean([1.0, 0.0], [0.0, 5.0]));
        assert!((a.dot(&b).double_value(&[]) - 0.603553).abs() < 1e-6);
        assert!((a.dot(&a).double_value(&[]) - 0.853553).abs() < 1e-6);
    }
}
