//! The trimmed mean of every coordinate (Yin et al., ICML 2018, arXiv 1803.01498).

use polyptych_registry::Part;
use polyptych_tensor::{Kind, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::expect;
use crate::balancers::gradient::GradientAggregator;
use crate::balancers::gradient::matrix::norms;
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::step_info::StepInfo;

/// For every coordinate the mean without its `trim` largest and `trim` smallest numbers.
///
/// Where there are too few tasks, fewer are left out: of three tasks the median remains, of two
/// their mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrimmedMean {
    /// How many numbers are left out at each end.
    pub trim: usize,
}

impl Default for TrimmedMean {
    fn default() -> Self {
        Self { trim: 1 }
    }
}

impl Part for TrimmedMean {
    const NAME: &'static str = "trimmed_mean";
    const SUMMARY: &'static str = "the mean of every coordinate without its extremes";

    fn example() -> Self {
        TrimmedMean::default()
    }
}

impl BalancerPart for TrimmedMean {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gradients
    }

    fn source(&self) -> &'static str {
        "Yin et al., ICML 2018, arXiv 1803.01498"
    }

    fn scale(&self) -> &'static str {
        "mean"
    }

    fn cost(&self) -> &'static str {
        "T backwards, 4T x P numbers"
    }

    fn init(&self, _num_tasks: usize) -> Result<Method> {
        expect(self.trim > 0, "trim", "at least 1", self.trim as f64)?;
        Ok(Method::gradients(*self))
    }
}

impl GradientAggregator for TrimmedMean {
    fn direction(&mut self, gradients: &Tensor, info: &StepInfo) -> Result<Tensor> {
        norms(gradients, info)?;
        let trim = self.trim.min((info.len() - 1) / 2) as i64;
        let (sorted, _) = gradients.sort(0, false);
        let kept = sorted.narrow(0, trim, info.len() as i64 - 2 * trim);
        Ok(kept.mean_dim([0i64].as_slice(), false, None::<Kind>))
    }
}

#[cfg(test)]
mod tests {
    use ndarray::arr2;

    use super::*;
    use crate::balancers::testing::{agree, info, numbers, refusal, tensor};

    #[test]
    fn extremes_of_every_coordinate_are_left_out() {
        let rows = arr2(&[[1.0, -9.0], [2.0, 4.0], [3.0, 6.0], [100.0, 5.0]]);
        let d = |tasks: usize, trim| {
            let rows = tensor(&rows).narrow(0, 0, tasks as i64);
            let info = info(&[1.0; 4][..tasks]);
            numbers(&TrimmedMean { trim }.direction(&rows, &info).unwrap())
        };
        agree(&d(4, 1), &[2.5, 4.5]);
        agree(&d(4, 7), &[2.5, 4.5]);
        agree(&d(3, 1), &[2.0, 4.0]);
        agree(&d(2, 1), &[1.5, -2.5]);
        agree(&d(1, 1), &[1.0, -9.0]);
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<TrimmedMean>(r#"{"trim": 0}"#);
        assert_eq!(found, "trim: expected at least 1, found 0");
    }
}
