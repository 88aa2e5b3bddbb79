//! What can go wrong in a head.

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a configuration or of features that do not fit it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of a configuration is out of its range.
    #[error("{key}: expected {expected}, found {found}")]
    Config {
        /// Name of the field.
        key: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Features have another shape than the head was built for.
    #[error("{key}: expected shape {expected}, found {found:?}")]
    Shape {
        /// Name of the tensor, such as `levels[2]`.
        key: String,
        /// The shape it must have.
        expected: String,
        /// The shape it has.
        found: Vec<i64>,
    },
    /// Another number of levels than the head was built for.
    #[error("levels: expected {expected}, found {found}")]
    NumLevels {
        /// Number of levels that the head reads.
        expected: usize,
        /// Number of levels that it got.
        found: usize,
    },
    /// A head of whole images got no pooled features.
    #[error("pooled: expected features of whole images, found none")]
    NoPooled,
    /// A head behind a shared decoder got nothing from it.
    #[error("hidden: expected what the shared decoder makes of the levels, found none")]
    NoHidden,
    /// Batch normalisation cannot learn from one position.
    #[error(
        "levels[0]: expected 2 or more positions in a training batch, found 1 \
         (enlarge the batch or the image)"
    )]
    OnePosition,
    /// A parameter could not be created.
    #[error(transparent)]
    Tensor(#[from] polyptych_tensor::Error),
}

impl Error {
    pub(crate) fn config(key: impl Into<String>, expected: &str, found: impl ToString) -> Self {
        Error::Config { key: key.into(), expected: expected.into(), found: found.to_string() }
    }
}
