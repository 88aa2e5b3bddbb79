//! Parallel adapters (He et al., "Towards a Unified View of Parameter-Efficient Transfer Learning",
//! ICLR 2022, arXiv 2110.04366), in AdapterHub's words.
//!
//! `x + MLP(u) + s (sigma(u W_d + b_d) W_u + b_u)` with `u = LN_2(x)`: the adapter reads what the
//! MLP reads. They hold a nonlinearity beside another and cannot be folded.

use serde::{Deserialize, Serialize};

use crate::adaptformer::LayerNormOption;
use crate::bottleneck::NonLinearity;
use crate::parallel::{ParallelAdapters, Shape};
use crate::{AdapterInput, Bottleneck, Result};

/// Configuration of parallel adapters; fields and defaults are AdapterHub's `par_bn`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParallelAdapterConfig {
    /// Width of the stream per width of the bottleneck, rounded down.
    pub reduction_factor: i64,
    /// Activation of the bottleneck.
    pub non_linearity: NonLinearity,
    /// The factor `s` on what the adapter makes.
    pub scaling: f64,
}

impl Default for ParallelAdapterConfig {
    fn default() -> Self {
        Self { reduction_factor: 2, non_linearity: NonLinearity::Relu, scaling: 4.0 }
    }
}

impl ParallelAdapters {
    /// Parallel adapters.
    ///
    /// # Errors
    /// A field that is out of range.
    pub fn new(config: ParallelAdapterConfig) -> Result<Self> {
        Self::with(Shape {
            width: ("reduction_factor", Bottleneck::Reduction(config.reduction_factor)),
            input: AdapterInput::Normed,
            non_linearity: config.non_linearity,
            layernorm: LayerNormOption::None,
            dropout: 0.0,
            scale: ("scaling", config.scaling),
            learnable_scale: false,
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |config| ParallelAdapters::new(config).unwrap_err().to_string();
        let config = ParallelAdapterConfig::default();
        assert_eq!(
            message(ParallelAdapterConfig { reduction_factor: 0, ..config }),
            "reduction_factor: expected at least 1, found 0"
        );
        assert_eq!(
            message(ParallelAdapterConfig { scaling: 0.0, ..config }),
            "scaling: expected a finite number, other than 0 unless it is learnt, found 0"
        );
    }
}
