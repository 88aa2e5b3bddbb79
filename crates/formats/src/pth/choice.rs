//! Which state dict of a file is meant, and what was read.

use polyptych_tensor::Tensors;

/// Which of a file's state dicts is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// Whether `state_dict_ema` and `model_ema`, weights averaged over training, come first, as in
    /// timm.
    pub use_ema: bool,
    /// The key of one, such as `student` or `state.model`: no other is read then.
    pub key: Option<String>,
}

impl Default for Choice {
    fn default() -> Self {
        Self { use_ema: true, key: None }
    }
}

/// A state dict of a file.
#[derive(Debug)]
pub struct StateDict {
    /// The key below which it lies; empty where it is all of the file.
    pub key: String,
    /// Keys of others.
    pub others: Vec<String>,
    /// Its tensors, on the CPU, in their own types.
    pub tensors: Tensors,
}
