//! Learning rate over steps: linear warm-up, cosine, constant tail.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Shape of the learning rate, in steps.
///
/// With `W` warm-up and `C` cool-down steps of `N` in all:
/// step `t < W`: `start + (1 - start) * t / W`;
/// then `floor + (1 - floor) * (1 + cos(pi * (t - W) / (N - W - C))) / 2`; from `N - C` on `floor`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Steps of linear warm-up.
    pub warmup_steps: u64,
    /// Steps at the end that keep the smallest rate.
    pub cooldown_steps: u64,
    /// Factor at step 0 of the warm-up.
    pub start_factor: f64,
    /// Smallest factor, reached at the end of the cosine.
    pub min_factor: f64,
}

impl Schedule {
    /// Checks the fields against the number of steps of the run.
    ///
    /// # Errors
    /// More warm-up and cool-down than steps, or a factor outside `[0, 1]`.
    pub fn validate(&self, steps: u64) -> Result<()> {
        let fixed = self.warmup_steps.saturating_add(self.cooldown_steps);
        if fixed > steps {
            return Err(Error::Config {
                key: "warmup_steps + cooldown_steps".into(),
                expected: format!("at most {steps} steps"),
                found: fixed.to_string(),
            });
        }
        let factors = [("start_factor", self.start_factor), ("min_factor", self.min_factor)];
        match factors.into_iter().find(|(_, factor)| !(0.0..=1.0).contains(factor)) {
            None => Ok(()),
            Some((key, found)) => Err(Error::Config {
                key: key.into(),
                expected: "a factor between 0 and 1".into(),
                found: found.to_string(),
            }),
        }
    }

    /// Factor on the base learning rate at `step` of `steps`.
    pub fn factor(&self, step: u64, steps: u64) -> f64 {
        if step < self.warmup_steps {
            let done = step as f64 / self.warmup_steps as f64;
            return self.start_factor + (1.0 - self.start_factor) * done;
        }
        let length = steps - self.warmup_steps - self.cooldown_steps;
        let done = (step - self.warmup_steps).min(length) as f64 / length.max(1) as f64;
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        self.min_factor + (1.0 - self.min_factor) * cosine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// methods of MTLoRA, batch 32, 156 iterations an epoch, 20 of 300 epochs of warm-up.
    #[test]
    fn mtlora_learning_rates() {
        let schedule = Schedule {
            warmup_steps: 3120,
            cooldown_steps: 0,
            start_factor: 1e-3,
            min_factor: 1e-2,
        };
        let rate = |step| 3.125e-5 * schedule.factor(step, 46_800);
        assert!((rate(0) - 3.125e-8).abs() < 1e-15);
        assert!((rate(3120) - 3.125e-5).abs() < 1e-15);
        assert!((rate(46_800) - 3.125e-7).abs() < 1e-15);
    }

    #[test]
    fn cooldown_keeps_the_floor() {
        let schedule =
            Schedule { warmup_steps: 2, cooldown_steps: 5, start_factor: 0.0, min_factor: 0.1 };
        assert!((5..=20).map(|s| schedule.factor(s + 10, 20)).all(|f| (f - 0.1).abs() < 1e-12));
        let message = schedule.validate(6).unwrap_err().to_string();
        assert_eq!(message, "warmup_steps + cooldown_steps: expected at most 6 steps, found 7");
    }
}
