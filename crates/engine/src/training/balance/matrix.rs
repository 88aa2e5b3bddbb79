//! The gradients of each task: shared ones as a row of one matrix, private ones as they are.

use polyptych_kernels::set_gradient;
use polyptych_losses::balancers::GradientWeights;
use polyptych_tensor::device::vector;
use polyptych_tensor::optim::TaskGradients;
use polyptych_tensor::{Kind, Tensor, no_grad};

use crate::Result;
use crate::training::balance::gradients::{GradOptions, all_finite, gradients};
use crate::training::balance::parameter_sharing::{ParameterSharing, SharedParams};

/// The gradients of one step. The matrix is allocated once and written anew in every step.
#[derive(Debug)]
pub(crate) struct GradientMatrix {
    /// `[tasks, columns]`, float32.
    buffer: Tensor,
    /// Tasks of the step.
    tasks: Vec<usize>,
    /// Private gradients of each task of the step, in the order of [`ParameterSharing::private`].
    private: Vec<Vec<Tensor>>,
}

impl GradientMatrix {
    /// Room for the task gradients of `num_tasks` tasks beside `params`.
    pub(crate) fn new(
        num_tasks: usize,
        sharing: &ParameterSharing,
        params: &[(String, Tensor)],
    ) -> Self {
        let device = params.first().map_or(polyptych_tensor::Device::Cpu, |(_, p)| p.device());
        let buffer = Tensor::zeros([num_tasks as i64, sharing.columns()], (Kind::Float, device));
        Self { buffer, tasks: Vec::new(), private: Vec::new() }
    }

    /// Follows the losses of `tasks` back, one after the other; `options` keep the last graph or
    /// not.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn collect(
        &mut self,
        losses: &[Tensor],
        tasks: &[usize],
        SharedParams { sharing, params }: SharedParams,
        options: GradOptions,
    ) -> Result<()> {
        self.private.clear();
        self.tasks = tasks.to_vec();
        for (row, &task) in tasks.iter().enumerate() {
            let shared = sharing.shared.iter().filter(|shared| shared.tasks.contains(&task));
            let private = sharing.private[task].iter().copied();
            let indices: Vec<usize> = shared.map(|s| s.index).chain(private).collect();
            let wanted: Vec<&Tensor> = indices.iter().map(|&index| &params[index].1).collect();
            let retain_graph = options.retain_graph || row + 1 < tasks.len();
            let options = GradOptions { retain_graph, ..options };
            let mut found = gradients(&losses[task], &wanted, options)?.into_iter();
            self.write(row as i64, task, sharing, &mut found)?;
            self.private.push(found.collect());
        }
        Ok(())
    }

    /// Writes one row; a parameter that the task does not depend on has gradient 0.
    fn write(
        &mut self,
        row: i64,
        task: usize,
        sharing: &ParameterSharing,
        found: &mut impl Iterator<Item = Tensor>,
    ) -> Result<()> {
        let row = self.buffer.select(0, row);
        no_grad(|| {
            for shared in &sharing.shared {
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

    /// The task gradients of the step's tasks, `[tasks of the step, columns]`, a view.
    pub(crate) fn shared(&self) -> Tensor {
        self.buffer.narrow(0, 0, self.tasks.len() as i64)
    }

    /// The task gradients of `tasks`, where the step has all of them.
    pub(crate) fn of(&self, tasks: &[usize]) -> Option<Tensor> {
        let place = |task: &usize| self.tasks.iter().position(|own| own == task);
        let places: Option<Vec<f64>> = tasks.iter().map(|t| place(t).map(|p| p as f64)).collect();
        let index = vector(&places?, Kind::Int64, self.buffer.device());
        Some(self.buffer.index_select(0, &index))
    }

    /// Every task's gradients times its factors, by the names of the parameters that it depends on.
    pub(crate) fn by_task(
        &self,
        tasks: &[usize],
        factors: &GradientWeights,
        SharedParams { sharing, params }: SharedParams,
    ) -> Vec<TaskGradients> {
        let one = |(row, &task): (usize, &usize)| {
            let shared = sharing.shared.iter().filter(|shared| shared.tasks.contains(&task));
            let shared = shared.map(|shared| {
                let (name, param) = &params[shared.index];
                let part = self.buffer.get(row as i64).narrow(0, shared.start, shared.len);
                (name.clone(), part.view_as(param) * factors.shared[row])
            });
            let private = sharing.private[task].iter().zip(&self.private[row]);
            let private = private.filter(|(_, grad)| grad.defined());
            let private = private
                .map(|(&index, grad)| (params[index].0.clone(), grad * factors.private[row]));
            TaskGradients { task, grads: shared.chain(private).collect() }
        };
        no_grad(|| tasks.iter().enumerate().map(one).collect())
    }

    /// Gives the memory of the private gradients back.
    pub(crate) fn forget_private(&mut self) {
        self.private.clear();
    }

    /// Whether all private gradients are finite; `marked` as for [`all_finite`].
    pub(crate) fn private_are_finite(&self, marked: &mut Tensor) -> bool {
        all_finite(self.private.iter().flatten(), marked)
    }

    /// Makes `direction`, `[columns]`, and each task's own gradients times its factor the gradients
    /// of `params`.
    ///
    /// # Errors
    /// What LibTorch reports.
    pub(crate) fn assign(
        &self,
        direction: &Tensor,
        tasks: &[usize],
        factors: &[f64],
        SharedParams { sharing, params }: SharedParams,
    ) -> Result<()> {
        let put = |index: usize, grad: Tensor| set_gradient(&params[index].1, &grad);
        no_grad(|| {
            for shared in &sharing.shared {
                let part = direction.narrow(0, shared.start, shared.len);
                put(shared.index, part.view_as(&params[shared.index].1))?;
            }
            for ((grads, &task), factor) in self.private.iter().zip(tasks).zip(factors) {
                let mut own =
                    sharing.private[task].iter().zip(grads).filter(|(_, grad)| grad.defined());
                own.try_for_each(|(&index, grad)| put(index, grad * *factor))?;
            }
            sharing.complete(params)
        })
    }
}
