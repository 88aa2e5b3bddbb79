//! What `polyptych quantize` is asked for.

use std::path::PathBuf;

use crate::ActivationRange;

/// How a model is quantised.
#[derive(Debug, Clone)]
pub struct QuantizeOptions {
    /// Photographs, or folders of them, that inputs of layers are measured on.
    pub calibrate: Vec<PathBuf>,
    /// Photographs that are taken of them at most, at even distances.
    pub num_samples: usize,
    /// By which range inputs become bytes.
    pub activations: ActivationRange,
    /// The relative loss that a task may have at most, as a part of its score.
    pub max_drop: f64,
}
