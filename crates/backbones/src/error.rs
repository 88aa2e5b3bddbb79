//! What can go wrong with a backbone.

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a backbone's name, configuration or input.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No backbone has the name.
    #[error(
        "backbone `{name}`: no backbone has this name; near ones are {near} \
         (registered architectures: {architectures})"
    )]
    UnknownName {
        /// What was asked for.
        name: String,
        /// The names that resemble it most, separated by commas.
        near: String,
        /// All architectures, separated by commas.
        architectures: String,
    },
    /// A field of a configuration is out of its range.
    #[error("{key}: expected {expected}, found {found}")]
    Config {
        /// The field.
        key: &'static str,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// The input is no batch of images of the backbone's channels.
    #[error(
        "image: expected [batch, {in_chans}, height, width] of at least one pixel, found {found:?}"
    )]
    Image {
        /// Channels that the backbone is for.
        in_chans: i64,
        /// Shape of the input.
        found: Vec<i64>,
    },
    /// A tensor of a checkpoint is not what its name says.
    #[error("{key}: expected {expected}, found {found}")]
    Weights {
        /// Name of the tensor.
        key: String,
        /// What it must be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
    /// A checkpoint is not what the model needs.
    #[error("{origin}: {key}: expected {expected}, found {found}")]
    Checkpoint {
        /// The file or folder.
        origin: String,
        /// The file, field or tensor in it.
        key: String,
        /// What it must be.
        expected: String,
        /// What it is.
        found: String,
    },
    /// A file of weights cannot be read.
    #[error(transparent)]
    Format(#[from] polyptych_formats::Error),
    /// A parameter or the plan's projection could not be created.
    #[error(transparent)]
    Tensor(#[from] polyptych_tensor::Error),

    /// The plan does not fit the backbone as a whole.
    #[error(transparent)]
    Plan(polyptych_tensor::Error),
}
