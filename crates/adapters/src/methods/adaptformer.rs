//! AdaptFormer (Chen et al., NeurIPS 2022, arXiv 2205.13535): slim adapters beside the MLP.
//!
//! `x + MLP(LN_2(x)) + s (relu(u W_d + b_d) W_u + b_u)` with a small fixed scale. The equations of
//! the paper read `u = LN(x)`, the released code `u = x` with a norm of its own as an option, off
//! in the published runs; both are fields. It holds a nonlinearity beside another and cannot be
//! merged.

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

/// Configuration of AdaptFormer; defaults are those of the published image runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptFormerConfig {
    /// Width of the bottleneck, the same in every stage.
    pub bottleneck: i64,
    /// The factor `s` on what the adapter makes.
    pub scale: f64,
    /// Whether the factor is trainable, one number per adapter, from `scale` on.
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

impl Part for AdaptFormerConfig {
    const NAME: &'static str = "adaptformer";
    const SUMMARY: &'static str = "slim adapters beside the MLP";

    fn example() -> Self {
        Self::default()
    }
}

impl Method for AdaptFormerConfig {
    fn plan(&self, _tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        Ok(Rc::new(ParallelAdapters::new(ParallelOptions {
            width: ("bottleneck", Bottleneck::Fixed(self.bottleneck)),
            input: self.input,
            non_linearity: NonLinearity::Relu,
            layernorm: self.layernorm_option,
            dropout: self.dropout,
            scale: ("scale", self.scale),
            learnable_scale: self.learnable_scale,
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
        let message =
            |config: AdaptFormerConfig| config.plan(&[], Form::Adapted).unwrap_err().to_string();
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
            "scale: expected a finite number, other than 0 unless it is trainable, found NaN"
        );
        let from_zero = AdaptFormerConfig { scale: 0.0, learnable_scale: true, ..config };
        from_zero.plan(&[], Form::Adapted).unwrap();
    }
}
