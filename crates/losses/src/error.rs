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
    /// LibTorch refused a call.
    #[error(transparent)]
    Tensor(#[from] polyptych_tensor::Error),
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
