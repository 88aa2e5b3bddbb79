//! What can go wrong with names.

/// Result with [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// A part that cannot be registered.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Its name belongs to another part of the kind.
    #[error("{kind} `{name}`: expected a new name, found one that is already registered")]
    Taken {
        /// The kind of part.
        kind: &'static str,
        /// The name.
        name: &'static str,
    },
}
