//! What can go wrong with an adapter.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of an adapter's configuration or file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A field of a configuration is out of its range or contradicts another.
    #[error("{key}: expected {expected}, found {found}")]
    Config {
        /// The field.
        key: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The tensors of a backbone are not what a method needs.
    #[error("{name}: expected {expected}, found {found}")]
    Backbone {
        /// The tensor or module.
        name: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A file of an adapter folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// `adapter_config.json` is not what PEFT writes for LoRA.
    #[error("{}: {reason}", path.display())]
    PeftConfig {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An adapter that PEFT's files cannot express.
    #[error("{name}: {reason}")]
    NotInPeft {
        /// The parameter.
        name: String,
        /// Why.
        reason: String,
    },
    /// A file of tensors.
    #[error(transparent)]
    Format(#[from] polyptych_formats::Error),
    /// The layer below refused.
    #[error(transparent)]
    Tensor(#[from] polyptych_tensor::Error),
}

pub(crate) fn config(
    key: impl Into<String>,
    expected: impl Into<String>,
    found: impl ToString,
) -> Error {
    Error::Config { key: key.into(), expected: expected.into(), found: found.to_string() }
}
