//! In which type a run computes.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Kind;

/// Type of activations and of frozen weights. Trainable weights, their gradients and the losses
/// are float32 in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// float32 throughout.
    Fp32,
    /// bfloat16; frozen weights are stored in it once.
    Bf16,
    /// float16; frozen weights are stored in it once, and losses are scaled by a
    /// [`GradScaler`](crate::GradScaler), because small gradients would be 0 in it.
    Fp16,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Precision::Fp32 => "fp32",
            Precision::Bf16 => "bf16",
            Precision::Fp16 => "fp16",
        })
    }
}

impl Precision {
    /// LibTorch's name of the type.
    pub fn kind(self) -> Kind {
        match self {
            Precision::Fp32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::Fp16 => Kind::Half,
        }
    }

    /// Whether gradients need a scaled loss.
    pub fn scales_losses(self) -> bool {
        self == Precision::Fp16
    }
}
