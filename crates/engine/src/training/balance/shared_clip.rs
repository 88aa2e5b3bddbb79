//! The gradient over the shared parameters, no longer than a method allows.

use polyptych_tensor::Tensor;
use polyptych_tensor::optim::clip_grad_norm;

use super::parameter_sharing::ParameterSharing;

/// The longest shared gradient that the method allows.
#[derive(Debug)]
pub(super) struct SharedClip {
    max_norm: f64,
    params: Vec<(String, Tensor)>,
}

impl SharedClip {
    /// Of those of `params` that are shared.
    pub(super) fn new(
        max_norm: f64,
        sharing: &ParameterSharing,
        params: &[(String, Tensor)],
    ) -> Self {
        let shared = sharing.shared.iter().map(|shared| {
            let (name, param) = &params[shared.index];
            (name.clone(), param.shallow_clone())
        });
        Self { max_norm, params: shared.collect() }
    }

    /// Shortens the shared gradient to what the method allows.
    pub(super) fn apply(&self) {
        let _norm = clip_grad_norm(&self.params, self.max_norm);
    }
}
