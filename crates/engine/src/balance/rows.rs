//! The gradients of each task: shared ones as a row of one matrix, private ones as they are.

use polyptych_tensor::{Kind, Tensor, no_grad};

use crate::Result;
use crate::balance::reach::Reach;

/// The gradients of one step. The matrix is made once and written anew in every step.
#[derive(Debug)]
pub(crate) struct Rows {
    /// `[tasks, columns]`, float32.
    buffer: Tensor,
    /// Private gradients of each task of the step, in the order of [`Reach::private`].
    private: Vec<Vec<Tensor>>,
}

impl Rows {
    /// Room for the rows of `num_tasks` tasks beside `params`.
    pub(crate) fn new(num_tasks: usize, reach: &Reach, params: &[(String, Tensor)]) -> Self {
        let device = params.first().map_or(polyptych_tensor::Device::Cpu, |(_, p)| p.device());
        let buffer = Tensor::zeros([num_tasks as i64, reach.columns()], (Kind::Float, device));
        Self { buffer, private: Vec::new() }
    }

    /// Follows the losses of `tasks`, times `scale`, back, one after the other; gradients are of
    /// the losses themselves. `keep` keeps the last graph.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn collect(
        &mut self,
        losses: &[Tensor],
        tasks: &[usize],
        (reach, params): (&Reach, &[(String, Tensor)]),
        (scale, keep): (f64, bool),
    ) -> Result<()> {
        self.private.clear();
        for (row, &task) in tasks.iter().enumerate() {
            let shared = reach.shared.iter().filter(|shared| shared.tasks.contains(&task));
            let private = reach.private[task].iter().copied();
            let indices: Vec<usize> = shared.map(|s| s.index).chain(private).collect();
            let wanted: Vec<&Tensor> = indices.iter().map(|&index| &params[index].1).collect();
            let keep = keep || row + 1 < tasks.len();
            let found = gradients(&scaled(&losses[task], scale), &wanted, keep)?;
            let mut found = found.into_iter().map(|grad| unscaled(grad, scale));
            self.write(row as i64, task, reach, &mut found)?;
            self.private.push(found.collect());
        }
        Ok(())
    }

    /// Writes one row; a parameter that the task does not reach has gradient 0.
    fn write(
        &mut self,
        row: i64,
        task: usize,
        reach: &Reach,
        found: &mut impl Iterator<Item = Tensor>,
    ) -> Result<()> {
        let row = self.buffer.select(0, row);
        no_grad(|| {
            for shared in &reach.shared {
                let mut place = row.narrow(0, shared.start, shared.len);
                let grad = if shared.tasks.contains(&task) { found.next() } else { None };
                match grad.filter(Tensor::defined) {
                    Some(grad) => place.f_copy_(&grad.reshape([shared.len]))?,
                    None => drop(place.f_zero_()?),
                }
            }
            Ok(())
        })
    }

    /// The rows of the step's tasks, `[tasks of the step, columns]`, a view.
    pub(crate) fn shared(&self) -> Tensor {
        self.buffer.narrow(0, 0, self.private.len() as i64)
    }

    /// Whether all private gradients are finite.
    pub(crate) fn private_are_finite(&self) -> bool {
        let all = self.private.iter().flatten().filter(|grad| grad.defined());
        let norms: Vec<Tensor> = all.map(|grad| grad.norm().to_kind(Kind::Float)).collect();
        norms.is_empty() || Tensor::stack(&norms, 0).sum(Kind::Float).double_value(&[]).is_finite()
    }

    /// Puts `direction`, `[columns]`, and each task's own gradients times its factor into the
    /// gradients of `params`, which must exist.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn deposit(
        &mut self,
        direction: &Tensor,
        tasks: &[usize],
        factors: &[f64],
        (reach, params): (&Reach, &[(String, Tensor)]),
    ) -> Result<()> {
        let put = |index: usize, grad: Tensor| params[index].1.grad().f_copy_(&grad);
        no_grad(|| {
            for shared in &reach.shared {
                let part = direction.narrow(0, shared.start, shared.len);
                put(shared.index, part.view_as(&params[shared.index].1))?;
            }
            for ((grads, &task), factor) in self.private.drain(..).zip(tasks).zip(factors) {
                let mut own =
                    reach.private[task].iter().zip(grads).filter(|(_, grad)| grad.defined());
                own.try_for_each(|(&index, grad)| put(index, grad * *factor))?;
            }
            Ok(())
        })
    }
}

/// `loss * scale`; the loss itself where the scale is 1.
pub(crate) fn scaled(loss: &Tensor, scale: f64) -> Tensor {
    if scale == 1.0 { loss.shallow_clone() } else { loss * scale }
}

/// The gradient of a loss from that of the loss times `scale`.
fn unscaled(grad: Tensor, scale: f64) -> Tensor {
    if scale == 1.0 || !grad.defined() { grad } else { no_grad(|| grad * (1.0 / scale)) }
}

/// Gradients of `loss` by `params`, not defined where it does not depend on one.
///
/// # Errors
/// What LibTorch reports.
pub(crate) fn gradients(loss: &Tensor, params: &[&Tensor], keep: bool) -> Result<Vec<Tensor>> {
    // LibTorch crashes on a loss without a graph, and asked for nothing it fills all gradients.
    if params.is_empty() || !loss.requires_grad() {
        return Ok(params.iter().map(|_| Tensor::new()).collect());
    }
    Ok(Tensor::f_run_backward(&[loss], params, keep, false)?)
}
