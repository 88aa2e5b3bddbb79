//! Learning rate over steps: linear warm-up, cosine, constant tail.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Shape of the learning rate, in steps.
///
/// With `W` warm-up and `C` cool-down steps of `N` in all:
/// step `t < W`: `start + (1 - start) * t / W`;
/// then `floor + (1 - floor) * (1 + cos(pi * (t - W) / (N - W - C))) / 2`; from `N - C` on `floor`.
/// Without `warmup_prefix` the cosine has begun under the warm-up: `cos(pi * t / (N - C))`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Whether the cosine begins behind the warm-up; `false` is timm's default, and EMTAL's.
    #[serde(default = "yes")]
    pub warmup_prefix: bool,
}

fn yes() -> bool {
    true
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
        let begin = if self.warmup_prefix { self.warmup_steps } else { 0 };
        let length = steps - begin - self.cooldown_steps;
        let done = (step - begin).min(length) as f64 / length.max(1) as f64;
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
            warmup_prefix: true,
        };
        let rate = |step| 3.125e-5 * schedule.factor(step, 46_800);
        assert!((rate(0) - 3.125e-8).abs() < 1e-15);
        assert!((rate(3120) - 3.125e-5).abs() < 1e-15);
        assert!((rate(46_800) - 3.125e-7).abs() < 1e-15);
    }

    /// methods of EMTAL, section 17: epochs 0, 1, 9, 10, 50, 99, 100, 109 of 110.
    #[test]
    fn emtal_learning_rates() {
        let schedule = Schedule {
            warmup_steps: 10,
            cooldown_steps: 10,
            start_factor: 5e-3,
            min_factor: 1e-2,
            warmup_prefix: false,
        };
        let expected = [5e-6, 1.045e-4, 9.005e-4, 9.757730e-4, 5.05e-4, 1.024425e-5, 1e-5, 1e-5];
        for (epoch, expected) in [0, 1, 9, 10, 50, 99, 100, 109].into_iter().zip(expected) {
            let found = 1e-3 * schedule.factor(epoch, 110);
            assert!((found - expected).abs() < 1e-6 * expected, "epoch {epoch}: {found}");
        }
    }

    #[test]
    fn cooldown_keeps_the_floor() {
        let schedule = Schedule {
            warmup_steps: 2,
            cooldown_steps: 5,
            start_factor: 0.0,
            min_factor: 0.1,
            warmup_prefix: true,
        };
        assert!((5..=20).map(|s| schedule.factor(s + 10, 20)).all(|f| (f - 0.1).abs() < 1e-12));
        let message = schedule.validate(6).unwrap_err().to_string();
        assert_eq!(message, "warmup_steps + cooldown_steps: expected at most 6 steps, found 7");
    }
}
