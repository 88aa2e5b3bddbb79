//! What an optimiser does.

use tch::Tensor;

use crate::{Result, Tensors};

/// The gradients of one task's loss.
#[derive(Debug)]
pub struct TaskGradients {
    /// The task, as index among those of the run.
    pub task: usize,
    /// By the names of the parameters that it reaches.
    pub grads: Vec<(String, Tensor)>,
}

/// One step of learning, over parameters that were given at construction.
pub trait Optimiser {
    /// Updates every parameter that has a gradient; `lr` is the rate of this step.
    ///
    /// # Errors
    /// What LibTorch reports.
    fn step(&mut self, lr: f64) -> Result<()>;

    /// The same with every task's own gradients, whose sum the parameters have; the sum is all that
    /// matters unless [`Optimiser::is_by_task`].
    ///
    /// # Errors
    /// What LibTorch reports, or a parameter that is not known.
    fn step_by_task(&mut self, lr: f64, _tasks: &[TaskGradients]) -> Result<()> {
        self.step(lr)
    }

    /// Whether every task is treated apart: [`Optimiser::step_by_task`] is the one to call.
    fn is_by_task(&self) -> bool {
        false
    }

    /// What a step would add to each gradient by itself: momentum and weight decay, by parameter.
    /// Adam's moments are no part of it, since they do not add up.
    fn drift(&self) -> Tensors;

    /// All numbers with memory, named `<parameter>.<state>`.
    fn state(&self) -> Tensors;

    /// Takes back what [`Optimiser::state`] gave.
    ///
    /// # Errors
    /// State of another set of parameters; nothing is changed then.
    fn restore(&mut self, state: &Tensors) -> Result<()>;
}
