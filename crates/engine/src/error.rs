//! What can go wrong in a run.

use std::path::{Path, PathBuf};

use crate::Difference;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a recipe, a run folder or a layer below.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A recipe or another of our own files cannot be read.
    #[error("{origin}: {key}: {reason}")]
    Recipe {
        /// File or name of the recipe.
        origin: String,
        /// Path of the field.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A folder that should be a run is not, or is one of another recipe.
    #[error("{}: {reason}", path.display())]
    Run {
        /// The folder.
        path: PathBuf,
        /// What was expected and found.
        reason: String,
    },
    /// Loss or gradients were not finite for too many steps in a row.
    #[error(
        "step {step}: {what} was NaN or infinite for {count} steps in a row; the state before the \
         last step is in {}; `polyptych replay {}` repeats the step and names the task and the part; \
         try a lower train.lr, more train.schedule.warmup_steps, or precision = \"fp32\"",
        path.display(), path.parent().unwrap_or(path).display()
    )]
    NotFinite {
        /// The last of the steps.
        step: u64,
        /// What was not finite.
        what: String,
        /// How many steps.
        count: u64,
        /// Folder of the state before the last step.
        path: PathBuf,
    },
    /// A merged model, or what was written of one, differs from the model that was trained.
    #[error(
        "{key}: expected the merged model within {tolerance:e} of the largest output, found a \
         difference of {found}"
    )]
    Merge {
        /// The task or output.
        key: String,
        /// Largest difference that is allowed, as a part of the largest output.
        tolerance: f64,
        /// Largest difference on the probe batch.
        found: Difference,
    },
    /// A model whose method does not merge, or not yet.
    #[error("{}: expected a model that merges, found one that does not: {reason}", path.display())]
    Unmergeable {
        /// The folder of the run.
        path: PathBuf,
        /// Why not, and what would change.
        reason: String,
    },
    /// Weights that cannot be had, or are not those that the recipe needs.
    #[error("weights `{name}`: {reason}")]
    Weights {
        /// The name or file.
        name: String,
        /// What was expected and found, and what to do.
        reason: String,
    },
    /// A stage or a closing row that could not begin.
    #[error("{part}: {source}")]
    Later {
        /// Which of them.
        part: String,
        /// The cause.
        source: Box<Error>,
    },
    /// An adapter's configuration.
    #[error("adapter.{0}")]
    Adapters(#[from] polyptych_adapters::Error),
    /// A backbone.
    #[error(transparent)]
    Backbones(#[from] polyptych_backbones::Error),
    /// A data set or sample.
    #[error(transparent)]
    Data(#[from] polyptych_data::Error),
    /// Other processes of the run.
    #[error(transparent)]
    Distributed(#[from] polyptych_distributed::Error),
    /// A head.
    #[error(transparent)]
    Heads(#[from] polyptych_heads::Error),
    /// A loss.
    #[error(transparent)]
    Losses(#[from] polyptych_losses::Error),
    /// A metric.
    #[error(transparent)]
    Metrics(#[from] polyptych_metrics::MetricError),
    /// A file of tensors.
    #[error(transparent)]
    Format(#[from] polyptych_formats::Error),
    /// A fused operation.
    #[error(transparent)]
    Kernel(#[from] polyptych_kernels::Error),
    /// Tensors and devices.
    #[error(transparent)]
    Tensor(#[from] polyptych_tensor::Error),
}

/// Names the file in an input or output error.
pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Error {
    move |source| Error::Io { path: path.into(), source }
}

impl From<polyptych_tensor::TchError> for Error {
    fn from(source: polyptych_tensor::TchError) -> Self {
        Error::Tensor(source.into())
    }
}
