//! PHM layers: bottlenecks whose matrices are sums of Kronecker products.
//!
//! Zhang et al., ICLR 2021, arXiv 2102.08597, as adapters in Mahabadi, Henderson and Ruder,
//! "Compacter", NeurIPS 2021, arXiv 2106.04647. Every matrix has its own `A_i`, and its `B_i` are free.
//! They hold a nonlinearity and cannot be merged.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::Plan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::activation::{InitWeights, NonLinearity};
use crate::blocks::bottleneck::{BottleneckOptions, Bottlenecks};
use crate::blocks::kronecker::Kronecker;
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Configuration of PHM layers, in AdapterHub's words.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PhmConfig {
    /// Whether one stands behind attention.
    pub mh_adapter: bool,
    /// Whether one stands behind the MLP.
    pub output_adapter: bool,
    /// Width of the stream per width of the bottleneck, which is then rounded up to a multiple of
    /// `phm_dim`.
    pub reduction_factor: i64,
    /// Activation of the bottleneck.
    pub non_linearity: NonLinearity,
    /// How the matrices start.
    pub init_weights: InitWeights,
    /// Number of products in a sum, and extent of `A_i`; a divisor of the stream's width.
    pub phm_dim: i64,
    /// Standard deviation of the first values of `A_i`.
    pub phm_init_range: f64,
}

impl Default for PhmConfig {
    fn default() -> Self {
        Self {
            mh_adapter: true,
            output_adapter: true,
            reduction_factor: 32,
            non_linearity: NonLinearity::Gelu,
            init_weights: InitWeights::Identity,
            phm_dim: 4,
            phm_init_range: 0.01,
        }
    }
}

impl PhmConfig {
    pub(crate) fn options(&self) -> Result<BottleneckOptions> {
        if self.phm_dim < 1 {
            return Err(config("phm_dim", "at least 1", self.phm_dim));
        }
        if !(self.phm_init_range.is_finite() && self.phm_init_range > 0.0) {
            return Err(config("phm_init_range", "a positive number", self.phm_init_range));
        }
        Ok(BottleneckOptions {
            mh_adapter: self.mh_adapter,
            output_adapter: self.output_adapter,
            reduction_factor: self.reduction_factor,
            multiple: self.phm_dim,
            non_linearity: self.non_linearity,
            init_weights: self.init_weights,
        })
    }
}

impl Part for PhmConfig {
    const NAME: &'static str = "phm";
    const SUMMARY: &'static str = "adapters of Kronecker products";

    fn example() -> Self {
        Self::default()
    }
}

impl Method for PhmConfig {
    fn plan(&self, _tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        let PhmConfig { phm_dim, phm_init_range, .. } = *self;
        let matrices = Kronecker { phm_dim, phm_init_range, rank: None, shared_rule: false };
        Ok(Rc::new(Bottlenecks::new(self.options()?, matrices)?))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*adapter_*"]
    }
}
