//! What goes into a step.

use std::collections::BTreeMap;

use polyptych_data::Batch;
use polyptych_tensor::optim::Optimiser;
use polyptych_tensor::{Device, Tensor};

use crate::run::upload::uploaded;
use crate::training::distil::Teachers;
use crate::{Model, Result, to_tensor};

/// Images and targets of a batch on the device of a model.
pub(crate) struct OnDevice {
    /// `[batch, 3, height, width]`.
    pub(crate) images: Tensor,
    device: Device,
    /// Those of all tasks that learn; none on the CPU, where they cost nothing to make.
    targets: BTreeMap<String, Tensor>,
}

impl OnDevice {
    /// What `model` reads of `batch`: to a device it goes in one copy, which nobody waits for.
    ///
    /// # Errors
    /// No memory.
    pub(crate) fn new(model: &Model, batch: &Batch) -> Result<Self> {
        let device = model.store.device();
        if device == Device::Cpu {
            let images = to_tensor(&batch.images, device);
            return Ok(Self { images, device, targets: BTreeMap::new() });
        }
        let names = model.learning().iter().map(|&index| model.tasks[index].spec.name.as_str());
        let names: Vec<&str> = names.filter(|name| batch.targets.contains_key(*name)).collect();
        let arrays = names.iter().map(|name| &batch.targets[*name]);
        let mut tensors = uploaded(std::iter::once(&batch.images).chain(arrays), device)?;
        let targets = names.into_iter().map(str::to_owned).zip(tensors.split_off(1)).collect();
        Ok(Self { images: tensors.remove(0), device, targets })
    }

    /// What `task` learns from; `batch` is the one that all of this is of.
    pub(crate) fn target(&self, batch: &Batch, task: &str) -> Tensor {
        match self.targets.get(task) {
            Some(target) => target.shallow_clone(),
            None => to_tensor(&batch.targets[task], self.device),
        }
    }
}

/// The batch of a step.
#[derive(Clone, Copy)]
pub(crate) struct StepBatch<'a> {
    /// Images and targets where the model computes.
    pub(crate) inputs: &'a OnDevice,
    /// Targets and names of the samples.
    pub(crate) batch: &'a Batch,
    /// Steps done before.
    pub(crate) step: u64,
    /// Seed of dropout: every pass of a step has the same.
    pub(crate) seed: i64,
}

impl StepBatch<'_> {
    /// `[batch, 3, height, width]`, on the model's device.
    pub(crate) fn images(&self) -> &Tensor {
        &self.inputs.images
    }

    /// What `task` learns from, on the model's device.
    pub(crate) fn target(&self, task: &str) -> Tensor {
        self.inputs.target(self.batch, task)
    }
}

/// What a step's gradients depend on.
#[derive(Clone, Copy)]
pub(crate) struct StepInputs<'a> {
    pub(crate) model: &'a Model,
    pub(crate) batch: StepBatch<'a>,
    /// The optimiser of the step, for methods that look ahead.
    pub(crate) optimiser: &'a dyn Optimiser,
    /// Finished runs that teach, where there are some.
    pub(crate) teachers: Option<&'a Teachers>,
    /// Learning rate of the step.
    pub(crate) lr: f64,
}
