//! What can go wrong with numbers on LibTorch.

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a device, a parameter or a LibTorch call.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A device was asked for that is not there.
    #[error("device `{asked}`: {reason}")]
    Device {
        /// What was asked for.
        asked: String,
        /// Why it cannot be had.
        reason: String,
    },
    /// LibTorch refused a call.
    #[error("{op}: {reason}")]
    Torch {
        /// The operator.
        op: &'static str,
        /// What LibTorch said.
        reason: String,
    },
    /// A part of a batch that another process has.
    #[error("statistics of batches: {reason}")]
    BatchSum {
        /// What the other processes say.
        reason: String,
    },
    /// Two parameters of one name.
    #[error("parameter `{name}`: this name is already in use")]
    DuplicateName {
        /// The full name.
        name: String,
    },
    /// A parameter that does not exist was named.
    #[error("parameter `{name}`: no parameter has this name")]
    UnknownName {
        /// The full name.
        name: String,
    },
    /// A field of a configuration is out of its range.
    #[error("{key}: expected {expected}, found {found}")]
    Config {
        /// Path of the field.
        key: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A tensor has another shape than its user needs.
    #[error("{key}: expected shape {expected}, found {found:?}")]
    Shape {
        /// Name of the tensor.
        key: String,
        /// The shape it must have, named axes included.
        expected: String,
        /// The shape it has.
        found: Vec<i64>,
    },
    /// Tensors in a file do not fit the model.
    #[error("{origin}: {problems}")]
    Load {
        /// The file or checkpoint.
        origin: String,
        /// One clause per tensor that is missing, unused or of another shape.
        problems: String,
    },
    /// A parameter that is declared trainable received no gradient.
    #[error("no gradient reached {names}")]
    NoGradient {
        /// The parameters, separated by commas.
        names: String,
    },
    /// Optimiser state does not fit the parameters.
    #[error("optimiser state: expected {expected}, found {found}")]
    OptimiserState {
        /// What the optimiser needs.
        expected: String,
        /// What was given.
        found: String,
    },
    /// A fused operation refused a call.
    #[error(transparent)]
    Kernel(#[from] polyptych_kernels::Error),
}

impl From<tch::TchError> for Error {
    fn from(source: tch::TchError) -> Self {
        Error::Torch {
            op: "libtorch",
            reason: source.to_string().lines().next().unwrap_or("").into(),
        }
    }
}
