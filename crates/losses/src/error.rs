//! What can go wrong between a prediction and its target.

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a configuration, a pair of tensors or a LibTorch call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of a configuration is out of its range.
    #[error("{key}: expected {expected}, found {found}")]
    Config {
        /// Path of the field.
        key: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A tensor has another shape than the loss needs.
    #[error("{key}: expected shape {expected}, found {found:?}")]
    Shape {
        /// `prediction` or `target`.
        key: &'static str,
        /// The shape it must have.
        expected: String,
        /// The shape it has.
        found: Vec<i64>,
    },
    /// Prediction and target live on different devices.
    #[error("target: expected on {expected}, found on {found}")]
    Device {
        /// Where the prediction is.
        expected: String,
        /// Where the target is.
        found: String,
    },
    /// A target holds a number that is no class index.
    #[error("target: expected class indices 0..{classes} or NaN, found {found}")]
    ClassIndex {
        /// Number of classes.
        classes: i64,
        /// The first number that is none.
        found: f64,
    },
    /// The classes of a task do not follow those of the task before.
    #[error("classes of {task}: expected {expected}, found {found}")]
    ClassRange {
        /// The task.
        task: String,
        /// What they must be.
        expected: String,
        /// What they are.
        found: String,
    },
    /// A tensor does not fit the loss that it is given to, or restored into.
    #[error("{key}: expected {expected}, found {found}")]
    Mismatch {
        /// Name of the tensor.
        key: &'static str,
        /// The shape, type, device or values it must have.
        expected: String,
        /// What it has.
        found: String,
    },
    /// Another number of losses than of weights.
    #[error("losses: expected one for each of {expected} tasks, found {found}")]
    NumLosses {
        /// Number of weights.
        expected: usize,
        /// Number of losses.
        found: usize,
    },
    /// A fused operation refused a call.
    #[error(transparent)]
    Kernel(#[from] polyptych_kernels::Error),
    /// LibTorch refused a call.
    #[error(transparent)]
    Tensor(#[from] polyptych_tensor::Error),
    /// A loss or a gradient is NaN or infinite: the step must be skipped. No state has changed.
    #[error("{key}: expected finite numbers, found {found}")]
    NonFinite {
        /// Which loss or row.
        key: String,
        /// The number.
        found: f64,
    },
    /// A loss of a method that takes its logarithm or root is negative.
    #[error("{key}: expected a loss of 0 or more, found {found}")]
    NegativeLoss {
        /// Which loss.
        key: String,
        /// The loss.
        found: f64,
    },
    /// The list of tasks of a step has gaps, repeats or strangers.
    #[error("tasks: expected ascending, distinct indices below {num_tasks}, found {found:?}")]
    TaskList {
        /// Number of tasks of the run.
        num_tasks: usize,
        /// The list.
        found: Vec<usize>,
    },
    /// A Gram matrix is not what rows of that many tasks can have.
    #[error("gram: expected {expected}, found {found}")]
    Gram {
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A balancer was not given what it asks for.
    #[error("{name}: expected {what}, found none")]
    Missing {
        /// The method.
        name: &'static str,
        /// What it needs beside the losses.
        what: &'static str,
    },
    /// A saved state does not fit the balancer.
    #[error("{key}: expected {expected} in the saved state, found {found}")]
    State {
        /// Name of the array.
        key: String,
        /// What must be there.
        expected: String,
        /// What is there.
        found: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The other messages are read where they arise; this one takes two devices.
    #[test]
    fn devices_are_named() {
        let error = Error::Device { expected: "cuda:0".into(), found: "cpu".into() };
        assert_eq!(error.to_string(), "target: expected on cuda:0, found on cpu");
    }
}
