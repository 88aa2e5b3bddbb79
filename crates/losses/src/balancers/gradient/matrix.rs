//! The task gradients as rows of one tensor.

use ndarray::Array2;
use polyptych_tensor::device::vector;
use polyptych_tensor::{Device, Kind, Tensor};

use crate::balancers::gradient::gram::Gram;
use crate::balancers::step_info::StepInfo;
use crate::{Error, Result};

/// Columns turned to float64 at once: bounds the extra memory at 8 MiB for each task.
const CHUNK: i64 = 1 << 20;

/// The Gram matrix of task gradients `[T, P]` of any floating type, in float64 on the task
/// gradients' device.
///
/// # Errors
/// [`Error::Shape`], or as [`Gram::new`].
pub fn gram_of_gradients(gradients: &Tensor) -> Result<Gram> {
    Gram::new(products(gradients, gradients)?)
}

/// The inner products of the same tasks' gradients from two independent batches, `[T, P]` each.
///
/// # Errors
/// [`Error::Shape`], or as [`Gram::cross`].
pub fn cross_gram(one: &Tensor, other: &Tensor) -> Result<Gram> {
    if one.size() != other.size() {
        return Err(bad_shape(&format!("{:?}", one.size()), other));
    }
    Gram::cross(products(one, other)?)
}

fn products(one: &Tensor, other: &Tensor) -> Result<Array2<f64>> {
    let shape = one.size();
    let [tasks, columns] = shape[..] else { return Err(bad_shape("[tasks, parameters]", one)) };
    let mut sum = Tensor::zeros([tasks, tasks], (Kind::Double, one.device()));
    for start in (0..columns).step_by(CHUNK as usize) {
        let part = |gradients: &Tensor| {
            gradients.narrow(1, start, CHUNK.min(columns - start)).to_kind(Kind::Double)
        };
        sum += part(one).matmul(&part(other).transpose(0, 1));
    }
    let numbers = numbers(&sum.flatten(0, -1));
    let matrix = Array2::from_shape_vec((tasks as usize, tasks as usize), numbers);
    Ok(matrix.expect("there are tasks x tasks numbers"))
}

/// Lengths of the task gradients in float64, which also shows whether they are finite.
///
/// # Errors
/// [`Error::Shape`] where there is not one task gradient for each task of the batch, or
/// [`Error::NonFinite`], which names the task.
pub(crate) fn norms(gradients: &Tensor, info: &StepInfo) -> Result<Vec<f64>> {
    if gradients.dim() != 2
        || gradients.size()[0] != info.len() as i64
        || !gradients.is_floating_point()
    {
        return Err(bad_shape(&format!("[{}, parameters]", info.len()), gradients));
    }
    let norms =
        numbers(&gradients.norm_scalaropt_dim_dtype(2, [1i64].as_slice(), false, Kind::Double));
    match info.tasks().iter().zip(&norms).find(|(_, norm)| !norm.is_finite()) {
        None => Ok(norms),
        Some((task, found)) => {
            Err(Error::NonFinite { key: format!("gradients[{task}]"), found: *found })
        }
    }
}

/// `sum_i weights_i rows_i`, `[P]`.
pub(crate) fn weighted_sum(gradients: &Tensor, weights: &[f64]) -> Tensor {
    let weights = column(gradients, weights).transpose(0, 1);
    weights.matmul(gradients).squeeze_dim(0)
}

/// One number for each task gradient, `[T, 1]`, as the task gradients' type.
pub(crate) fn column(gradients: &Tensor, numbers: &[f64]) -> Tensor {
    vector(numbers, gradients.kind(), gradients.device()).unsqueeze(1)
}

/// The moving task gradients of all tasks; those of tasks without labels stay.
#[derive(Debug, Default)]
pub(crate) struct Buffer(pub(crate) Option<Tensor>);

impl Buffer {
    /// `y <- y + fraction (target - y)` for the tasks of the batch; returns theirs.
    ///
    /// # Errors
    /// [`Error::Shape`] where the targets have another length than before.
    pub(crate) fn approach(
        &mut self,
        target: &Tensor,
        fraction: f64,
        info: &StepInfo,
    ) -> Result<Tensor> {
        let shape = [info.num_tasks() as i64, target.size()[1]];
        let buffer = match self.0.take() {
            None => Tensor::zeros(shape, (target.kind(), target.device())),
            Some(buffer) if buffer.size() == shape => buffer.to_device(target.device()),
            Some(buffer) => {
                let error = bad_shape(&format!("[{}, {}]", info.len(), buffer.size()[1]), target);
                self.0 = Some(buffer);
                return Err(error);
            }
        };
        let tasks: Vec<f64> = info.tasks().iter().map(|task| *task as f64).collect();
        let tasks = vector(&tasks, Kind::Int64, target.device());
        let mut buffer = buffer.to_kind(target.kind());
        let gradients = buffer.index_select(0, &tasks).lerp(target, fraction);
        let _ = buffer.index_copy_(0, &tasks, &gradients);
        self.0 = Some(buffer);
        Ok(gradients)
    }

    /// A copy; an empty tensor before the first step.
    pub(crate) fn saved(&self) -> Tensor {
        let empty = || Tensor::zeros([0], (Kind::Float, Device::Cpu));
        self.0.as_ref().map_or_else(empty, Tensor::copy)
    }
}

fn numbers(vector: &Tensor) -> Vec<f64> {
    let vector = vector.to_device(Device::Cpu).contiguous();
    Vec::try_from(&vector).expect("it is a float64 vector")
}

fn bad_shape(expected: &str, gradients: &Tensor) -> Error {
    Error::Shape { key: "gradients", expected: expected.to_owned(), found: gradients.size() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balancers::testing::{info, j3, rows3, tensor};

    #[test]
    fn the_matrix_is_that_of_the_rows() {
        let found = gram_of_gradients(&tensor(&rows3())).unwrap();
        assert!((found.matrix() - j3().matrix()).iter().all(|v| v.abs() < 1e-15));
        let long = Tensor::ones([2, CHUNK + 3], (Kind::Float, Device::Cpu));
        assert!(
            gram_of_gradients(&long).unwrap().matrix().iter().all(|v| *v == (CHUNK + 3) as f64)
        );
    }

    #[test]
    fn two_batches_give_the_symmetric_part_of_their_products() {
        let other = rows3() * 2.0;
        let found = cross_gram(&tensor(&rows3()), &tensor(&other)).unwrap();
        assert!((found.matrix() - j3().matrix() * 2.0).iter().all(|v| v.abs() < 1e-12));
        let message = cross_gram(&tensor(&rows3()), &tensor(&rows3()).narrow(0, 0, 2));
        let message = message.unwrap_err().to_string();
        assert_eq!(message, "gradients: expected shape [3, 4], found [2, 4]");
    }

    #[test]
    fn bad_rows_are_named() {
        let rows = Tensor::from_slice(&[1f32, 2.0, f32::INFINITY, 1.0]).view([2, 2]);
        let message = gram_of_gradients(&rows).unwrap_err().to_string();
        assert_eq!(message, "gram[1]: expected finite numbers, found inf");
        let message = norms(&rows, &info(&[1.0, 1.0])).unwrap_err().to_string();
        assert_eq!(message, "gradients[1]: expected finite numbers, found inf");
        let message = norms(&rows, &info(&[1.0])).unwrap_err().to_string();
        assert_eq!(message, "gradients: expected shape [1, parameters], found [2, 2]");
        let message = gram_of_gradients(&rows.view(-1)).unwrap_err().to_string();
        assert_eq!(message, "gradients: expected shape [tasks, parameters], found [4]");
    }
}
