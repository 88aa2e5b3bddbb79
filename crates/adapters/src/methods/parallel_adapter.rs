//! Parallel adapters (He et al., "Towards a Unified View of Parameter-Efficient Transfer Learning",
//! ICLR 2022, arXiv 2110.04366), in AdapterHub's words.
//!
//! `x + MLP(u) + s (sigma(u W_d + b_d) W_u + b_u)` with `u = LN_2(x)`: the adapter reads what the
//! MLP reads. They hold a nonlinearity beside another and cannot be merged.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::Plan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::activation::NonLinearity;
use crate::blocks::parallel::{AdapterInput, LayerNormOption, ParallelAdapters, ParallelOptions};
use crate::blocks::width::Bottleneck;
use crate::error::Result;
use crate::method::{Form, Method};

/// Configuration of parallel adapters; fields and defaults are AdapterHub's `par_bn`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ParallelAdapterConfig {
    /// Reduction factor: width of the stream divided by that of the bottleneck, which is rounded
    /// down.
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

impl Part for ParallelAdapterConfig {
    const NAME: &'static str = "parallel_adapter";
    const SUMMARY: &'static str = "adapters beside the MLP";

    fn example() -> Self {
        Self::default()
    }
}

impl Method for ParallelAdapterConfig {
    fn plan(&self, _tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        Ok(Rc::new(ParallelAdapters::new(ParallelOptions {
            width: ("reduction_factor", Bottleneck::Reduction(self.reduction_factor)),
            input: AdapterInput::Normed,
            non_linearity: self.non_linearity,
            layernorm: LayerNormOption::None,
            dropout: 0.0,
            scale: ("scaling", self.scaling),
            learnable_scale: false,
        })?))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*adapter_*"]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |config: ParallelAdapterConfig| {
            config.plan(&[], Form::Adapted).unwrap_err().to_string()
        };
        let config = ParallelAdapterConfig::default();
        assert_eq!(
            message(ParallelAdapterConfig { reduction_factor: 0, ..config }),
            "reduction_factor: expected at least 1, found 0"
        );
        assert_eq!(
            message(ParallelAdapterConfig { scaling: 0.0, ..config }),
            "scaling: expected a finite number, other than 0 unless it is trainable, found 0"
        );
    }
}
