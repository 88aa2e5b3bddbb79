//! Houlsby's adapters (Houlsby et al., ICML 2019, arXiv 1902.00751, figure 2), in AdapterHub's
//! words.
//!
//! `y + sigma(y W_d + b_d) W_u + b_u` behind attention and behind the MLP, before each is added to
//! the stream. They hold a nonlinearity and cannot be merged.

use std::rc::Rc;

use polyptych_kernels::linear;
use polyptych_registry::Part;
use polyptych_tensor::{Init, Plan, Result as TensorResult, Scope, Site, Tensor, cast};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::activation::{InitWeights, NonLinearity};
use crate::blocks::bottleneck::{BottleneckOptions, Bottlenecks, Matrices, Matrix};
use crate::error::Result;
use crate::method::{Form, Method};

/// Standard deviation of random first values, as published.
const INIT_STD: f64 = 1e-2;

/// Configuration of Houlsby's adapters; fields and defaults are AdapterHub's `double_seq_bn`, the
/// first values aside.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HoulsbyConfig {
    /// Whether one stands behind attention.
    pub mh_adapter: bool,
    /// Whether one stands behind the MLP.
    pub output_adapter: bool,
    /// Reduction factor: width of the stream divided by that of the bottleneck, which is rounded down
    /// and at least 1.
    pub reduction_factor: i64,
    /// Activation of the bottleneck.
    pub non_linearity: NonLinearity,
    /// How the matrices start.
    pub init_weights: InitWeights,
}

impl Default for HoulsbyConfig {
    fn default() -> Self {
        Self {
            mh_adapter: true,
            output_adapter: true,
            reduction_factor: 16,
            non_linearity: NonLinearity::Swish,
            init_weights: InitWeights::Identity,
        }
    }
}

impl Part for HoulsbyConfig {
    const NAME: &'static str = "adapter";
    const SUMMARY: &'static str = "Houlsby's adapters behind attention and the MLP";

    fn example() -> Self {
        Self::default()
    }
}

impl Method for HoulsbyConfig {
    fn plan(&self, _tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        let options = BottleneckOptions {
            mh_adapter: self.mh_adapter,
            output_adapter: self.output_adapter,
            reduction_factor: self.reduction_factor,
            multiple: 1,
            non_linearity: self.non_linearity,
            init_weights: self.init_weights,
        };
        Ok(Rc::new(Bottlenecks::new(options, Dense)?))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*adapter_*"]
    }
}

/// Matrices of free numbers.
#[derive(Debug)]
struct Dense;

impl Matrices for Dense {
    fn make(
        &self,
        scope: &Scope,
        _site: &Site,
        [rows, columns]: [i64; 2],
        zero: bool,
    ) -> TensorResult<Box<dyn Matrix>> {
        let init = if zero { Init::ZEROS } else { Init::Normal(INIT_STD) };
        Ok(Box::new(DenseMatrix { weight: scope.param("weight", &[columns, rows], init)? }))
    }
}

/// `weight`: `[out, in]`, as PyTorch stores a linear map.
#[derive(Debug)]
struct DenseMatrix {
    weight: Tensor,
}

impl Matrix for DenseMatrix {
    fn forward(&self, x: &Tensor) -> Tensor {
        linear(x, &cast(&self.weight, x.kind()), None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_out_of_range_are_named() {
        let message =
            |config: HoulsbyConfig| config.plan(&[], Form::Adapted).unwrap_err().to_string();
        let config = HoulsbyConfig::default();
        assert_eq!(
            message(HoulsbyConfig { reduction_factor: 0, ..config }),
            "reduction_factor: expected at least 1, found 0"
        );
        assert_eq!(
            message(HoulsbyConfig { mh_adapter: false, output_adapter: false, ..config }),
            "output_adapter: expected true where mh_adapter is false, found false"
        );
    }
}
