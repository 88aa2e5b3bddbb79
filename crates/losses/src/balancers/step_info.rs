//! What every balancer knows about a step.

use crate::balancers::step_seed::StepSeed;
use crate::{Error, Result};

/// The tasks that have labels in this step, their losses, and the step's randomness.
///
/// A task without labels is left out: it has no task gradient, and what is remembered of it stays.
#[derive(Debug, Clone, PartialEq)]
pub struct StepInfo {
    num_tasks: usize,
    tasks: Vec<usize>,
    losses: Vec<f64>,
    norms: Option<Vec<f64>>,
    gains: Option<Vec<f64>>,
    key: StepSeed,
}

impl StepInfo {
    /// Losses of `tasks`, which are indices among the `num_tasks` of the run.
    ///
    /// # Errors
    /// No task; indices that do not ascend, repeat or are too large; another number of losses;
    /// [`Error::NonFinite`] for a loss, which asks to skip the step.
    pub fn new(num_tasks: usize, tasks: &[usize], losses: &[f64], key: StepSeed) -> Result<Self> {
        let ascending = tasks.windows(2).all(|pair| pair[0] < pair[1]);
        if !ascending || tasks.last().is_none_or(|last| *last >= num_tasks) {
            return Err(Error::TaskList { num_tasks, found: tasks.to_vec() });
        }
        if losses.len() != tasks.len() {
            return Err(Error::NumLosses { expected: tasks.len(), found: losses.len() });
        }
        if let Some((task, found)) = tasks.iter().zip(losses).find(|(_, loss)| !loss.is_finite()) {
            return Err(Error::NonFinite { key: format!("losses[{task}]"), found: *found });
        }
        let (tasks, losses) = (tasks.to_vec(), losses.to_vec());
        Ok(Self { num_tasks, tasks, losses, norms: None, gains: None, key })
    }

    /// A step in which all tasks have labels.
    ///
    /// # Errors
    /// As [`StepInfo::new`].
    pub fn full(losses: &[f64], key: StepSeed) -> Result<Self> {
        let tasks: Vec<usize> = (0..losses.len()).collect();
        Self::new(losses.len(), &tasks, losses, key)
    }

    /// The same step with other losses: those of weighted tasks, or those after the step.
    ///
    /// # Errors
    /// As [`StepInfo::new`].
    pub fn with_losses(&self, losses: &[f64]) -> Result<Self> {
        let other = Self::new(self.num_tasks, &self.tasks, losses, self.key)?;
        Ok(Self { norms: self.norms.clone(), gains: self.gains.clone(), ..other })
    }

    /// The same step with the lengths of the task gradients, of losses that are not weighted, for
    /// [`LossWeighting::norms_over`](crate::balancers::loss::LossWeighting::norms_over).
    ///
    /// # Errors
    /// Another number of lengths, or [`Error::NonFinite`], which asks to skip the step.
    pub fn with_norms(&self, norms: &[f64]) -> Result<Self> {
        let norms = Some(self.numbers("norms", norms)?);
        Ok(Self { norms, ..self.clone() })
    }

    /// The same step with every task's gain, for
    /// [`LossWeighting::primary`](crate::balancers::loss::LossWeighting::primary).
    ///
    /// # Errors
    /// As [`StepInfo::with_norms`].
    pub fn with_gains(&self, gains: &[f64]) -> Result<Self> {
        let gains = Some(self.numbers("gains", gains)?);
        Ok(Self { gains, ..self.clone() })
    }

    fn numbers(&self, key: &str, found: &[f64]) -> Result<Vec<f64>> {
        if found.len() != self.tasks.len() {
            let (key, expected) = (key.to_owned(), "one for each task of the step");
            return Err(Error::Config { key, expected, found: found.len().to_string() });
        }
        match self.tasks.iter().zip(found).find(|(_, number)| !number.is_finite()) {
            None => Ok(found.to_vec()),
            Some((task, number)) => {
                Err(Error::NonFinite { key: format!("{key}[{task}]"), found: *number })
            }
        }
    }

    /// Number of tasks of the run.
    pub fn num_tasks(&self) -> usize {
        self.num_tasks
    }

    /// Indices of the tasks that have labels, ascending.
    pub fn tasks(&self) -> &[usize] {
        &self.tasks
    }

    /// Their losses.
    pub fn losses(&self) -> &[f64] {
        &self.losses
    }

    /// Lengths of their gradients, where the method asked for them.
    pub fn norms(&self) -> Option<&[f64]> {
        self.norms.as_deref()
    }

    /// Their gains, where the method asked for them and the step has any.
    pub fn gains(&self) -> Option<&[f64]> {
        self.gains.as_deref()
    }

    /// The step's randomness.
    pub fn seed(&self) -> StepSeed {
        self.key
    }

    /// Number of tasks that have labels.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Checks that the batch is one of a run of `num_tasks`.
    pub(crate) fn of(&self, num_tasks: usize) -> Result<()> {
        if self.num_tasks == num_tasks {
            return Ok(());
        }
        Err(Error::TaskList { num_tasks, found: self.tasks.clone() })
    }

    /// Losses of a method that negative ones would lead astray.
    ///
    /// # Errors
    /// [`Error::NegativeLoss`].
    pub(crate) fn not_negative(&self) -> Result<&[f64]> {
        match self.tasks.iter().zip(&self.losses).find(|(_, loss)| **loss < 0.0) {
            None => Ok(&self.losses),
            Some((task, found)) => {
                Err(Error::NegativeLoss { key: format!("losses[{task}]"), found: *found })
            }
        }
    }

    /// Losses for a logarithm: at least 1e-8, so that a task that has reached 0 stays finite.
    ///
    /// # Errors
    /// [`Error::NegativeLoss`].
    pub(crate) fn positive(&self) -> Result<Vec<f64>> {
        Ok(self.not_negative()?.iter().map(|loss| loss.max(1e-8)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: StepSeed = StepSeed { seed: 0, step: 0 };

    fn message(tasks: &[usize], losses: &[f64]) -> String {
        StepInfo::new(3, tasks, losses, SEED).unwrap_err().to_string()
    }

    #[test]
    fn bad_steps_are_named() {
        let expected = "tasks: expected ascending, distinct indices below 3, found ";
        assert_eq!(message(&[1, 1], &[1.0, 1.0]), format!("{expected}[1, 1]"));
        assert_eq!(message(&[0, 3], &[1.0, 1.0]), format!("{expected}[0, 3]"));
        assert_eq!(message(&[], &[]), format!("{expected}[]"));
        assert_eq!(message(&[0, 2], &[1.0]), "losses: expected one for each of 2 tasks, found 1");
        let found = message(&[0, 2], &[1.0, f64::NAN]);
        assert_eq!(found, "losses[2]: expected finite numbers, found NaN");
        let two = StepInfo::new(3, &[0, 2], &[1.0, 2.0], SEED).unwrap();
        let found = two.with_norms(&[1.0, f64::INFINITY]).unwrap_err().to_string();
        assert_eq!(found, "norms[2]: expected finite numbers, found inf");
        let found = two.with_gains(&[1.0]).unwrap_err().to_string();
        assert_eq!(found, "gains: expected one for each task of the step, found 1");
    }

    #[test]
    fn losses_for_a_logarithm_are_above_0() {
        let info = StepInfo::full(&[0.0, 2.0], SEED).unwrap();
        assert_eq!(info.positive().unwrap(), [1e-8, 2.0]);
        let message = info.with_losses(&[1.0, -0.5]).unwrap().positive().unwrap_err().to_string();
        assert_eq!(message, "losses[1]: expected a loss of 0 or more, found -0.5");
    }
}
