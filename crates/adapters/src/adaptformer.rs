//! AdaptFormer (Chen et al., NeurIPS 2022, arXiv 2205.13535): slim adapters beside the MLP.
//!
//! `x + MLP(LN_2(x)) + s (relu(u W_d + b_d) W_u + b_u)` with a small fixed scale. The equations of
//! the paper read `u = LN(x)`, the released code `u = x` with a norm of its own as an option, off
//! in the published runs; both are fields. It holds a nonlinearity beside another and cannot be
//! folded.

use serde::{Deserialize, Serialize};

use crate::bottleneck::NonLinearity;
use crate::parallel::{ParallelAdapters, Shape};
use crate::{AdapterInput, Bottleneck, Result};

/// Whether an adapter has a layer norm of its own, and where.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LayerNormOption {
    /// None.
    #[default]
    None,
    /// Before the way down.
    In,
    /// Behind the scaled way up.
    Out,
}

/// Configuration of AdaptFormer; defaults are those of the published image runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptFormerConfig {
    /// Width of the bottleneck, the same in every stage.
    pub bottleneck: i64,
    /// The factor `s` on what the adapter makes.
    pub scale: f64,
    /// Whether the factor is learnt, one number per adapter, from `scale` on.
    pub learnable_scale: bool,
    /// A layer norm of the adapter's own.
    pub layernorm_option: LayerNormOption,
    /// What the adapter reads: the residual stream, or what the MLP reads.
    pub input: AdapterInput,
    /// Probability with which a unit of the bottleneck is set to zero in training.
    pub dropout: f64,
}

impl Default for AdaptFormerConfig {
    fn default() -> Self {
        Self {
            bottleneck: 64,
            scale: 0.1,
            learnable_scale: false,
            layernorm_option: LayerNormOption::None,
            input: AdapterInput::Residual,
            dropout: 0.1,
        }
    }
}

impl ParallelAdapters {
    /// AdaptFormer.
    ///
    /// # Errors
    /// A field that is out of range.
    pub fn adaptformer(config: AdaptFormerConfig) -> Result<Self> {
        Self::with(Shape {
            width: ("bottleneck", Bottleneck::Fixed(config.bottleneck)),
            input: config.input,
            non_linearity: NonLinearity::Relu,
            layernorm: config.layernorm_option,
            dropout: config.dropout,
            scale: ("scale", config.scale),
            learnable_scale: config.learnable_scale,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |config| ParallelAdapters::adaptformer(config).unwrap_err().to_string();
        let config = AdaptFormerConfig::default();
        assert_eq!(
            message(AdaptFormerConfig { bottleneck: 0, ..config }),
            "bottleneck: expected at least 1, found 0"
        );
        assert_eq!(
            message(AdaptFormerConfig { dropout: 1.0, ..config }),
            "dropout: expected at least 0 and below 1, found 1"
        );
        assert_eq!(
            message(AdaptFormerConfig { scale: f64::NAN, ..config }),
            "scale: expected a finite number, other than 0 unless it is learnt, found NaN"
        );
        ParallelAdapters::adaptformer(AdaptFormerConfig {
            scale: 0.0,
            learnable_scale: true,
            ..config
        })
        .unwrap();
    }
}
