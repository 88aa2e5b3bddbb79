//! Gradient sign dropout (Chen et al., GradDrop, NeurIPS 2020, arXiv 2010.06808).

use polyptych_kernels::upload;
use polyptych_registry::Part;
use polyptych_tensor::Tensor;
use rand::Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::balancers::check::expect_fraction;
use crate::balancers::gradient::GradientAggregator;
use crate::balancers::gradient::matrix::norms;
use crate::balancers::part::{BalancerKind, BalancerPart, Method};
use crate::balancers::step_info::StepInfo;

/// For every coordinate a coin decides whether its positive or its negative parts are kept.
///
/// `P = 1/2 (1 + sum g / sum |g|)`, `U` uniform: the positive ones where `P > U`, the negative
/// ones where `P < U`. `leak` of the others stays. The mean of `d` over `U` is exactly `sum g`,
/// as nothing is added to the denominator, which would drown tiny gradients.
///
/// This is the form on parameter gradients. For the published one pass `sign(Z) dL_i / dZ`,
/// summed over the batch, and mask with what comes back.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Graddrop {
    /// The part of every gradient that is never dropped.
    pub leak: f64,
}

impl Part for Graddrop {
    const NAME: &'static str = "graddrop";
    const SUMMARY: &'static str = "gradient sign dropout: every coordinate keeps one sign";

    fn example() -> Self {
        Graddrop::default()
    }
}

impl BalancerPart for Graddrop {
    fn kind(&self) -> BalancerKind {
        BalancerKind::Gradients
    }

    fn source(&self) -> &'static str {
        "Chen et al., NeurIPS 2020, arXiv 2010.06808"
    }

    fn scale(&self) -> &'static str {
        "sum"
    }

    fn is_random(&self) -> bool {
        true
    }

    fn init(&self, _num_tasks: usize) -> Result<Method> {
        self.validate()?;
        Ok(Method::gradients(*self))
    }
}

impl Graddrop {
    pub(crate) fn validate(&self) -> Result<()> {
        expect_fraction("leak", self.leak)
    }

    fn drop(&self, gradients: &Tensor, coin: &Tensor) -> Tensor {
        let (positive, negative) = parts(gradients);
        let sum = &positive + &negative;
        // Where all are 0, any P does.
        let chance =
            (&sum / (&positive - &negative).clamp_min(f64::from(f32::MIN_POSITIVE)) + 1) / 2;
        let kept = positive * chance.gt_tensor(coin) + negative * chance.lt_tensor(coin);
        sum * self.leak + kept * (1.0 - self.leak)
    }
}

impl GradientAggregator for Graddrop {
    fn direction(&mut self, gradients: &Tensor, info: &StepInfo) -> Result<Tensor> {
        norms(gradients, info)?;
        let mut rng = info.seed().rng(3);
        let coin: Vec<f32> = (0..gradients.size()[1]).map(|_| rng.random()).collect();
        let coin = upload(&[&coin], gradients.device())?.to_kind(gradients.kind());
        Ok(self.drop(gradients, &coin))
    }
}

/// Sums of the positive and of the negative numbers, row by row to spare memory.
fn parts(gradients: &Tensor) -> (Tensor, Tensor) {
    let mut positive = gradients.get(0).zeros_like();
    let mut negative = positive.zeros_like();
    for row in 0..gradients.size()[0] {
        positive += gradients.get(row).clamp_min(0.0);
        negative += gradients.get(row).clamp_max(0.0);
    }
    (positive, negative)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;
    use polyptych_tensor::{Device, Kind};

    use super::*;
    use crate::balancers::step_seed::StepSeed;
    use crate::balancers::testing::{agree, info, numbers, refusal, rows2, rows3, tensor};

    fn d(rows: &Array2<f64>, coin: f64, leak: f64) -> Vec<f64> {
        let rows = tensor(rows);
        let coin = Tensor::full([rows.size()[1]], coin, (Kind::Double, Device::Cpu));
        numbers(&Graddrop { leak }.drop(&rows, &coin))
    }

    #[test]
    fn directions_are_those_printed() {
        agree(&d(&rows2(), 0.5, 0.0), &[6.0, 2.0, 2.0]);
        agree(&d(&rows2(), 0.5, 0.5), &[4.0, 2.0, 2.0]);
        agree(&d(&rows2(), 0.7, 0.0), &[-4.0, 2.0, 2.0]);
        agree(&d(&rows2(), 0.7, 0.5), &[-1.0, 2.0, 2.0]);
        agree(&d(&rows3(), 0.5, 0.0), &[1.4, -1.6, 2.3, 0.4]);
        agree(&d(&rows3(), 0.5, 0.5), &[1.1, -0.85, 2.3, 0.4]);
        agree(&d(&rows3(), 0.3, 0.0), &[1.4, 1.5, 2.3, 0.4]);
        agree(&d(&rows3(), 0.3, 0.5), &[1.1, 0.7, 2.3, 0.4]);
        agree(&d(&rows3(), 0.75, 0.0), &[-0.6, -1.6, 2.3, 0.4]);
        agree(&d(&rows3(), 0.75, 0.5), &[0.1, -0.85, 2.3, 0.4]);
        // The coin falls on the other side just below and above the printed chances.
        agree(&d(&rows2(), 0.599, 0.0)[..1], &[6.0]);
        agree(&d(&rows2(), 0.601, 0.0)[..1], &[-4.0]);
        agree(&d(&rows3(), 0.48387, 0.0)[1..2], &[1.5]);
        agree(&d(&rows3(), 0.483872, 0.0)[1..2], &[-1.6]);
    }

    #[test]
    fn the_mean_over_coins_is_the_sum() {
        let rows = tensor(&rows2());
        let mut sum = [0.0; 3];
        for step in 0..4000 {
            let info = StepInfo::full(&[1.0, 1.0], StepSeed { seed: 1, step }).unwrap();
            let d = numbers(&Graddrop { leak: 0.25 }.direction(&rows, &info).unwrap());
            sum.iter_mut().zip(d).for_each(|(sum, d)| *sum += d / 4000.0);
        }
        // One draw deviates by 0.75 x 10 x sqrt(0.6 x 0.4) = 3.7; five standard errors are 0.29.
        assert!((sum[0] - 2.0).abs() < 0.29 && (sum[1] - 2.0).abs() < 1e-9, "{sum:?}");
    }

    #[test]
    fn zeros_stay_zeros() {
        let rows = Tensor::zeros([2, 3], (Kind::Float, Device::Cpu));
        let found = Graddrop::default().direction(&rows, &info(&[1.0, 1.0])).unwrap();
        assert_eq!(numbers(&found), [0.0; 3]);
    }

    #[test]
    fn constants_are_checked() {
        let found = refusal::<Graddrop>(r#"{"leak": 2}"#);
        assert_eq!(found, "leak: expected a number from 0 to 1, found 2");
    }
}
