//! How much tasks count: a fixed weight each.

use polyptych_tensor::Tensor;

use crate::task::LossValue;
use crate::{Error, Result};

/// MTLoRA's weights by task.
pub const DEFAULT_WEIGHTS: [(&str, f64); 6] = [
    ("semseg", 1.0),
    ("human_parts", 2.0),
    ("sal", 5.0),
    ("edge", 50.0),
    ("normals", 10.0),
    ("depth", 1.0),
];

/// MTLoRA's weight of `task`, if it has one.
pub fn default_weight(task: &str) -> Option<f64> {
    DEFAULT_WEIGHTS.iter().find(|(name, _)| *name == task).map(|(_, weight)| *weight)
}

/// `sum_t w_t L_t` with fixed weights, in the order of tasks.
#[derive(Debug, Clone, PartialEq)]
pub struct LossWeights(Vec<f64>);

impl LossWeights {
    /// Takes each task's name, for messages, and weight.
    ///
    /// # Errors
    /// No task, or a weight that is negative or not finite.
    pub fn new<'a>(weights: impl IntoIterator<Item = (&'a str, f64)>) -> Result<Self> {
        let checked = weights.into_iter().map(|(task, weight)| check(task, weight));
        let weights = checked.collect::<Result<Vec<f64>>>()?;
        if weights.is_empty() {
            let (expected, found) = ("at least one task", "none".into());
            return Err(Error::Config { key: "loss_weights".into(), expected, found });
        }
        Ok(Self(weights))
    }

    /// The term of the task at `index`, which must be one of those with a weight.
    pub fn term(&self, index: usize, loss: &LossValue) -> Tensor {
        &loss.loss * self.0[index]
    }

    /// The weighted sum, a float32 scalar.
    ///
    /// # Errors
    /// Another number of losses than of weights.
    pub fn total(&self, losses: &[LossValue]) -> Result<Tensor> {
        if losses.len() != self.0.len() {
            return Err(Error::NumLosses { expected: self.0.len(), found: losses.len() });
        }
        let terms = losses.iter().enumerate().map(|(index, value)| self.term(index, value));
        Ok(terms.reduce(|sum, term| sum + term).expect("there is a weight, so there is a loss"))
    }
}

fn check(task: &str, weight: f64) -> Result<f64> {
    if weight.is_finite() && weight >= 0.0 {
        return Ok(weight);
    }
    let key = format!("loss_weights.{task}");
    Err(Error::Config { key, expected: "a number of 0 or more", found: weight.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(loss: f32) -> LossValue {
        LossValue { loss: Tensor::from(loss), labelled: Tensor::from(1i64) }
    }

    #[test]
    fn the_sum_is_weighted() {
        let tasks = ["semseg", "sal", "normals"].map(|t| (t, default_weight(t).unwrap()));
        let weights = LossWeights::new(tasks).unwrap();
        let total = weights.total(&[value(0.5), value(0.25), value(0.125)]).unwrap();
        assert_eq!(total.double_value(&[]), 0.5 + 5.0 * 0.25 + 10.0 * 0.125);
        assert_eq!(default_weight("flowers"), None);
    }

    #[test]
    fn bad_weights_are_refused() {
        let message = LossWeights::new([("sal", -1.0)]).unwrap_err().to_string();
        assert_eq!(message, "loss_weights.sal: expected a number of 0 or more, found -1");
        let message = LossWeights::new([]).unwrap_err().to_string();
        assert_eq!(message, "loss_weights: expected at least one task, found none");
        let weights = LossWeights::new([("sal", 1.0), ("edge", 1.0)]).unwrap();
        let message = weights.total(&[value(1.0)]).unwrap_err().to_string();
        assert_eq!(message, "losses: expected one for each of 2 tasks, found 1");
    }
}
