//! How fast the router fades.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Result, config};

/// `alpha = clamp((n / N - start) / (end - start), 0, 1)` after `n` of `N` planned steps.
///
/// An evaluation after `n` steps reads the same `alpha` as the step that follows it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Fading {
    /// Share of the planned steps after which fading begins, in `[0, 1)`.
    pub start: f64,
    /// Share of the planned steps after which the router is gone, above `start` and at most 1.
    pub end: f64,
}

impl Default for Fading {
    /// The published code's: from the first step, complete after half of them.
    fn default() -> Self {
        Self { start: 0.0, end: 0.5 }
    }
}

impl Fading {
    pub(super) fn validate(&self) -> Result<()> {
        if !(0.0..1.0).contains(&self.start) {
            return Err(config("fading.start", "at least 0 and below 1", self.start));
        }
        if !(self.end > self.start && self.end <= 1.0) {
            let expected = format!("above {} and at most 1", self.start);
            return Err(config("fading.end", expected, self.end));
        }
        Ok(())
    }

    /// The share of 1 that the blend takes after `step` of `steps`; 0 is the router alone.
    pub fn alpha(&self, step: u64, steps: u64) -> f64 {
        let done = step as f64 / steps.max(1) as f64;
        ((done - self.start) / (self.end - self.start)).clamp(0.0, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// methods of EMTAL, section 5: 713 batches an epoch, 110 epochs.
    #[test]
    fn the_published_schedule() {
        let fading = Fading::default();
        let alpha = |step| fading.alpha(step, 78_430);
        assert_eq!(alpha(0), 0.0);
        assert_eq!(alpha(713 * 55 / 2), 2.0 * f64::from(713 * 55 / 2) / 78_430.0);
        assert!(alpha(39_214) < 1.0);
        assert_eq!([39_215, 50_000, 78_430].map(alpha), [1.0; 3]);
    }

    #[test]
    fn fading_may_begin_and_end_anywhere() {
        let fading = Fading { start: 0.5, end: 1.0 };
        assert_eq!([0, 50, 75, 100].map(|step| fading.alpha(step, 100)), [0.0, 0.0, 0.5, 1.0]);
        let message = |start, end| match (Fading { start, end }.validate()) {
            Ok(()) => String::new(),
            Err(e) => e.to_string(),
        };
        assert_eq!(message(-0.1, 0.5), "fading.start: expected at least 0 and below 1, found -0.1");
        assert_eq!(message(0.5, 0.5), "fading.end: expected above 0.5 and at most 1, found 0.5");
        assert_eq!(message(0.0, 1.5), "fading.end: expected above 0 and at most 1, found 1.5");
        assert_eq!(message(0.0, f64::NAN), "fading.end: expected above 0 and at most 1, found NaN");
    }
}
