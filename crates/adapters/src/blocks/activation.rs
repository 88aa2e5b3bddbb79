//! What stands between the matrices of a bottleneck, and how those start.

use polyptych_tensor::{Init, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a model with bottlenecks cannot be merged.
pub(crate) const UNMERGEABLE: &str =
    "the bottlenecks are not linear, so that no weight can hold them";

/// Activation of a bottleneck, in AdapterHub's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NonLinearity {
    /// `max(0, x)`.
    Relu,
    /// `x Phi(x)`, exact.
    Gelu,
    /// `x sigmoid(x)`.
    Swish,
}

impl NonLinearity {
    pub(crate) fn apply(self, x: &Tensor) -> Tensor {
        match self {
            NonLinearity::Relu => x.relu(),
            NonLinearity::Gelu => x.gelu("none"),
            NonLinearity::Swish => x.silu(),
        }
    }
}

/// How the matrices of a bottleneck start; biases start at zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum InitWeights {
    /// The way back up starts at zero, so the model starts as the plain backbone.
    #[default]
    Identity,
    /// Both ways start at small random values, as published: nearly the plain backbone.
    Published,
}

impl InitWeights {
    /// How what ends the path through a bottleneck starts; `std` is that of random values.
    pub(crate) fn last(self, std: f64) -> Init {
        match self {
            InitWeights::Identity => Init::ZEROS,
            InitWeights::Published => Init::Normal(std),
        }
    }
}
