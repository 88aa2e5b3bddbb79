//! Loss weightings that learn one number per task beside the model.

use std::fmt::Debug;

use crate::Result;
use crate::balancers::loss::adam::TaskNumbers;
use crate::balancers::loss::{LossWeighting, TaskWeights};
use crate::balancers::state::State;
use crate::balancers::step_info::StepInfo;

/// What is minimised: a sum of terms, one for each task, of its loss `L` and its number `s`.
pub(crate) trait Objective: Debug + Send {
    /// The losses as the terms take them.
    ///
    /// # Errors
    /// A loss that there is no term for.
    fn losses(&self, info: &StepInfo) -> Result<Vec<f64>>;

    /// The term of one task.
    fn term(&self, s: f64, loss: f64) -> Term;
}

/// One task's share of an objective.
pub(crate) struct Term {
    /// Its value.
    pub(crate) value: f64,
    /// Its derivative by the loss, which is the task's weight.
    pub(crate) by_loss: f64,
    /// Its derivative by the trainable number.
    pub(crate) by_number: f64,
}

/// The trainable numbers, which follow the slopes of their objective.
#[derive(Debug)]
pub(crate) struct Trainable<O> {
    pub(crate) numbers: TaskNumbers,
    objective: O,
}

impl<O: Objective> Trainable<O> {
    pub(crate) fn new(objective: O, numbers: TaskNumbers) -> Self {
        Self { numbers, objective }
    }

    fn terms(&self, info: &StepInfo) -> Result<Vec<Term>> {
        info.of(self.numbers.len())?;
        let losses = self.objective.losses(info)?;
        let numbers = self.numbers.values(info.tasks()).into_iter();
        Ok(numbers.zip(losses).map(|(s, loss)| self.objective.term(s, loss)).collect())
    }
}

impl<O: Objective> LossWeighting for Trainable<O> {
    fn weights(&self, info: &StepInfo) -> Result<TaskWeights> {
        let terms = self.terms(info)?;
        let weights = terms.iter().map(|term| term.by_loss).collect();
        Ok(TaskWeights { weights, total: terms.iter().map(|term| term.value).sum() })
    }

    fn after_step(&mut self, info: &StepInfo, _new_losses: Option<&[f64]>) -> Result<()> {
        let slopes: Vec<f64> = self.terms(info)?.iter().map(|term| term.by_number).collect();
        self.numbers.descend(info.tasks(), &slopes);
        Ok(())
    }

    fn state(&self) -> Option<&State> {
        Some(&self.numbers.state)
    }

    fn state_mut(&mut self) -> Option<&mut State> {
        Some(&mut self.numbers.state)
    }
}
