//! What can go wrong with a file of tensors.

use std::path::PathBuf;

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a file, or of the tensors that it is for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: std::io::Error,
    },
    /// A safetensors file is not what its format says.
    #[error("{}: not a safetensors file: {reason}", path.display())]
    Safetensors {
        /// The file.
        path: PathBuf,
        /// What the reader found.
        reason: String,
    },
    /// A tensor of a type that safetensors cannot hold.
    #[error("{key}: expected a floating-point, integer or boolean tensor, found {found}")]
    Type {
        /// Name of the tensor.
        key: String,
        /// Its type.
        found: String,
    },
    /// A file of PyTorch's is damaged or of a layout that is not read.
    #[error("{}: not a readable PyTorch file: {reason}", path.display())]
    Pth {
        /// The file.
        path: PathBuf,
        /// What the reader found.
        reason: String,
    },
    /// A pickle asks for something that is neither a tensor nor a container.
    #[error(
        "{}: `{what}` is neither tensor nor container: nothing was executed; expected a state dict \
         alone, saved by `torch.save(model.state_dict(), ..)` or as safetensors",
        path.display()
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// The global or opcode.
        what: String,
    },
    /// An archive of arrays, or one of its members, cannot be read.
    #[error("{origin}: {member}: {reason}")]
    Npz {
        /// The file.
        origin: String,
        /// The member, or `archive`.
        member: String,
        /// What the reader found.
        reason: String,
    },
    /// A function that cannot be traced, or a file that is no TorchScript.
    #[error("{}: TorchScript: {reason}", path.display())]
    Script {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// A function that ONNX cannot express here, or a file that is no such file.
    #[error("{}: ONNX: {reason}", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// What was found.
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

impl From<tch::TchError> for Error {
    fn from(source: tch::TchError) -> Self {
        Error::Torch {
            op: "libtorch",
            reason: source.to_string().lines().next().unwrap_or("").into(),
        }
    }
}
