//! A virtual step, judged by a second batch: what would each task's weight have changed?
//!
//! Auto-lambda (arXiv 2202.03091, equations 5 and 6): the derivative of the weighted loss by a
//! weight is that task's loss, so two more forward passes take the place of second derivatives.

use polyptych_distributed::Ranks;
use polyptych_losses::Error as LossError;
use polyptych_tensor::{Tensor, Tensors, no_grad};

use crate::Result;
use crate::training::balance::gradients::{GradOptions, gradients};
use crate::training::balance::numbers::numbers;

/// Length of the shift of the finite difference.
const LENGTH: f64 = 0.01;

/// One step that is not done.
#[derive(Debug)]
pub(crate) struct LookAhead<'a> {
    /// Trainable parameters.
    pub(crate) params: &'a [(String, Tensor)],
    /// What the optimiser adds to each gradient by itself.
    pub(crate) drift: Tensors,
    /// Learning rate of the step.
    pub(crate) lr: f64,
    /// The processes that have a part of both batches each.
    pub(crate) ranks: &'a Ranks,
    /// What losses are multiplied by in backward passes; no gradient keeps it.
    pub(crate) scale: f64,
}

impl LookAhead<'_> {
    /// `lr (L_i(theta + eps v) - L_i(theta - eps v)) / (2 eps)` of every task: `lr g_i . v`, where
    /// `v` is the gradient of what judges behind the step and `eps` makes the shift 0.01 long.
    ///
    /// `total`: what the step goes down; `judge`: a sum of losses of the second batch, nothing
    /// where none has labels; `losses`: those of the step's batch. Parameters come back bit for
    /// bit.
    ///
    /// # Errors
    /// [`LossError::NonFinite`], what LibTorch reports, or what a pass returns.
    pub(crate) fn gains(
        &self,
        total: impl Fn() -> Result<Tensor>,
        judge: impl Fn() -> Result<Option<Tensor>>,
        losses: impl Fn() -> Result<Vec<Tensor>>,
    ) -> Result<Option<Vec<f64>>> {
        let kept: Vec<Tensor> = self.all().map(|param| param.detach().copy()).collect();
        let found = self.probe(&kept, total, judge, losses);
        self.restore(&kept)?;
        found
    }

    fn probe(
        &self,
        kept: &[Tensor],
        total: impl Fn() -> Result<Tensor>,
        judge: impl Fn() -> Result<Option<Tensor>>,
        losses: impl Fn() -> Result<Vec<Tensor>>,
    ) -> Result<Option<Vec<f64>>> {
        let wanted: Vec<&Tensor> = self.all().collect();
        let options = GradOptions { ranks: self.ranks, scale: self.scale, retain_graph: false };
        let grads = gradients(&total()?, &wanted, options)?;
        self.shift(&grads, -self.lr)?;
        self.drift(-self.lr)?;
        let Some(judged) = judge()? else { return Ok(None) };
        let v = gradients(&judged, &wanted, options)?;
        let norm = norm(&v)?;
        if !norm.is_finite() {
            let key = "gradients of the second batch".to_owned();
            return Err(LossError::NonFinite { key, found: norm }.into());
        }
        if norm == 0.0 {
            return Ok(None);
        }
        let eps = LENGTH / norm;
        let shifted = |by: f64| {
            self.restore(kept)?;
            self.shift(&v, by)?;
            numbers(&no_grad(&losses)?)
        };
        let (above, below) = (shifted(eps)?, shifted(-eps)?);
        let pairs = above.iter().zip(below);
        Ok(Some(pairs.map(|(above, below)| self.lr * (above - below) / (2.0 * eps)).collect()))
    }

    fn all(&self) -> impl Iterator<Item = &Tensor> {
        self.params.iter().map(|(_, param)| param)
    }

    fn restore(&self, kept: &[Tensor]) -> Result<()> {
        let copy = |(param, kept): (&Tensor, &Tensor)| param.shallow_clone().f_copy_(kept);
        Ok(no_grad(|| self.all().zip(kept).try_for_each(copy))?)
    }

    fn shift(&self, by: &[Tensor], factor: f64) -> Result<()> {
        no_grad(|| {
            for (param, by) in self.all().zip(by).filter(|(_, by)| by.defined()) {
                let _ = param.shallow_clone().f_add_(&(by * factor))?;
            }
            Ok(())
        })
    }

    /// Momentum and decay of the optimiser, which are those of the values before the step.
    fn drift(&self, factor: f64) -> Result<()> {
        no_grad(|| {
            for (name, param) in self.params {
                if let Some(drift) = self.drift.get(name) {
                    let _ = param.shallow_clone().f_add_(&(drift * factor))?;
                }
            }
            Ok(())
        })
    }
}

/// Joint length of those that are defined.
///
/// Summed here, in order: LibTorch's sum of doubles depends on where they lie in memory, and a
/// resumed run would differ in its last bits.
fn norm(all: &[Tensor]) -> Result<f64> {
    let defined = all.iter().filter(|t| t.defined());
    let norms: Vec<Tensor> = defined.map(Tensor::norm).collect();
    if norms.is_empty() {
        return Ok(0.0);
    }
    Ok(numbers(&norms)?.iter().map(|norm| norm * norm).sum::<f64>().sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn theta() -> Vec<(String, Tensor)> {
        vec![("theta".into(), Tensor::from(0.5f64).set_requires_grad(true))]
    }

    fn losses(params: &[(String, Tensor)]) -> Vec<Tensor> {
        let theta = &params[0].1;
        vec![(theta - 1.0).square() / 2.0, (theta + 2.0).square()]
    }

    fn gains(params: &[(String, Tensor)], drift: Tensors, factor: f64) -> Result<Option<Vec<f64>>> {
        LookAhead { params, drift, lr: 0.1, ranks: Ranks::ALONE, scale: 1.0 }.gains(
            || Ok(losses(params).into_iter().reduce(|one, other| one + other).unwrap() * 0.1),
            || {
                let judged = losses(params).remove(0) * factor;
                // theta' = 0.5 - 0.1 (0.1 x -0.5 + 0.1 x 5).
                let drifted = params[0].1.double_value(&[]);
                assert!((drifted - 0.455).abs() < 1e-12 || drifted < 0.455 - 1e-3);
                Ok(Some(judged))
            },
            || Ok(losses(params)),
        )
    }

    #[test]
    fn gains_are_those_printed() {
        let params = theta();
        let found = gains(&params, Tensors::new(), 1.0).unwrap().unwrap();
        assert!((found[0] - 0.02725).abs() < 1e-9 && (found[1] + 0.2725).abs() < 1e-9, "{found:?}");
        assert_eq!(params[0].1.double_value(&[]), 0.5);
        // Momentum shifts the point at which the second batch is asked: v = 0.455 - 0.1 - 1.
        let drift = Tensors::from([("theta".to_owned(), Tensor::from(1f64))]);
        let found = gains(&params, drift, 1.0).unwrap().unwrap();
        assert!((found[0] - 0.1 * 0.5 * 0.645).abs() < 1e-9, "{found:?}");
    }

    #[test]
    fn without_a_judge_or_a_slope_there_are_no_gains() {
        let params = theta();
        let ahead = LookAhead {
            params: &params,
            drift: Tensors::new(),
            lr: 0.1,
            ranks: Ranks::ALONE,
            scale: 1.0,
        };
        let first = || Ok(losses(&params).remove(0));
        assert!(ahead.gains(first, || Ok(None), || Ok(losses(&params))).unwrap().is_none());
        assert!(gains(&params, Tensors::new(), 0.0).unwrap().is_none());
        let message = gains(&params, Tensors::new(), f64::NAN).unwrap_err().to_string();
        assert!(message.contains("gradients of the second batch: expected finite"), "{message}");
        assert_eq!(params[0].1.double_value(&[]), 0.5);
    }
}
