//! What can go wrong with a battle.

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of settings, or of the layer below.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A setting is out of its range.
    #[error("{key}: expected {expected}, found {found}")]
    Config {
        /// The setting.
        key: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// Tensors and devices.
    #[error(transparent)]
    Tensor(#[from] polyptych_tensor::Error),
}

pub(crate) fn config(key: &str, expected: impl Into<String>, found: impl ToString) -> Error {
    Error::Config { key: key.into(), expected: expected.into(), found: found.to_string() }
}
