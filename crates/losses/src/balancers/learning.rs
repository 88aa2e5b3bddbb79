//! Loss balancers that learn one number per task beside the model.

use std::fmt::Debug;

use crate::Result;
use crate::balancers::adam::Learned;
use crate::balancers::{Batch, LossBalancer, State, Weighing};

/// What is minimised: a sum of terms, one for each task, of its loss `L` and its number `s`.
pub(crate) trait Objective: Debug + Send {
    /// The losses as the terms take them.
    ///
    /// # Errors
    /// A loss that there is no term for.
    fn losses(&self, batch: &Batch) -> Result<Vec<f64>>;

    /// The term of one task.
    fn term(&self, s: f64, loss: f64) -> Term;
}

/// One task's share of an objective.
pub(crate) struct Term {
    /// Its value.
    pub(crate) value: f64,
    /// Its derivative by the loss, which is the task's weight.
    pub(crate) by_loss: f64,
    /// Its derivative by the learned number.
    pub(crate) by_number: f64,
}

/// The learned numbers, which follow the slopes of their objective.
#[derive(Debug)]
pub(crate) struct Learning<O> {
    pub(crate) numbers: Learned,
    objective: O,
}

impl<O: Objective> Learning<O> {
    pub(crate) fn new(objective: O, numbers: Learned) -> Self {
        Self { numbers, objective }
    }

    fn terms(&self, batch: &Batch) -> Result<Vec<Term>> {
        batch.of(self.numbers.len())?;
        let losses = self.objective.losses(batch)?;
        let numbers = self.numbers.values(batch.tasks()).into_iter();
        Ok(numbers.zip(losses).map(|(s, loss)| self.objective.term(s, loss)).collect())
    }
}

impl<O: Objective> LossBalancer for Learning<O> {
    fn weights(&self, batch: &Batch) -> Result<Weighing> {
        let terms = self.terms(batch)?;
        let weights = terms.iter().map(|term| term.by_loss).collect();
        Ok(Weighing { weights, total: terms.iter().map(|term| term.value).sum() })
    }

    fn after_step(&mut self, batch: &Batch, _new_losses: Option<&[f64]>) -> Result<()> {
        let slopes: Vec<f64> = self.terms(batch)?.iter().map(|term| term.by_number).collect();
        self.numbers.descend(batch.tasks(), &slopes);
        Ok(())
    }

    fn state(&self) -> State {
        self.numbers.state()
    }

    fn restore(&mut self, state: &State) -> Result<()> {
        self.numbers.restore(state)
    }
}
