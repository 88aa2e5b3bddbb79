//! What can go wrong in a call of LibTorch's.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a library or an operation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A shared library could not be opened.
    #[error("{}: cannot be opened: {reason}", path.display())]
    Library {
        /// The library.
        path: PathBuf,
        /// What the loader said.
        reason: String,
    },
    /// Instructions were asked for that are not there.
    #[error("{reason}")]
    Instructions {
        /// What was expected and found.
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
}

/// What LibTorch said of `op`.
pub(crate) fn torch(op: &'static str) -> impl FnOnce(cxx::Exception) -> Error {
    move |error| Error::Torch { op, reason: error.what().into() }
}
