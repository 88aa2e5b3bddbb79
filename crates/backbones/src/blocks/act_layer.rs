//! What stands between the two matrices of a perceptron, in timm's words.

use polyptych_kernels::gelu;
use polyptych_tensor::Tensor;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// timm's `act_layer`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActLayer {
    /// `x Phi(x)` with the normal distribution `Phi`.
    #[default]
    Gelu,
    /// The same with the approximation by `tanh`, as SigLIP 2 has it.
    GeluTanh,
    /// `x sigmoid(1.702 x)`, as OpenAI's CLIP has it.
    QuickGelu,
}

impl ActLayer {
    /// Of every element.
    pub(crate) fn forward(self, x: &Tensor) -> Tensor {
        match self {
            ActLayer::Gelu => gelu(x),
            ActLayer::GeluTanh => x.gelu("tanh"),
            ActLayer::QuickGelu => x * (x * 1.702).sigmoid(),
        }
    }

    /// timm's word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            ActLayer::Gelu => "gelu",
            ActLayer::GeluTanh => "gelu_tanh",
            ActLayer::QuickGelu => "quick_gelu",
        }
    }

    /// Hugging Face's word.
    pub(crate) fn hugging_face(self) -> &'static str {
        match self {
            ActLayer::Gelu => "gelu",
            ActLayer::GeluTanh => "gelu_pytorch_tanh",
            ActLayer::QuickGelu => "quick_gelu",
        }
    }

    /// The one that Hugging Face calls `name`.
    pub(crate) fn of_hugging_face(name: &str) -> Option<Self> {
        let all = [ActLayer::Gelu, ActLayer::GeluTanh, ActLayer::QuickGelu];
        all.into_iter().find(|act| act.hugging_face() == name)
    }
}
