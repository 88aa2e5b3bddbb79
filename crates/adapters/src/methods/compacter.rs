//! Compacter and Compacter++ (Mahabadi, Henderson and Ruder, NeurIPS 2021, arXiv 2106.04647).
//!
//! PHM layers with `A_i` shared by the matrices of the whole backbone (`adapter_phm_rule`) and
//! `B_i = s_i t_i` of low rank (equations 6 and 7). Compacter stands behind attention and the MLP,
//! Compacter++ (`mh_adapter = false`) behind the MLP only. They hold a nonlinearity and cannot be
//! merged.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::Plan;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::activation::{InitWeights, NonLinearity};
use crate::blocks::bottleneck::Bottlenecks;
use crate::blocks::kronecker::Kronecker;
use crate::error::{Result, config};
use crate::method::{Form, Method};
use crate::methods::phm::PhmConfig;

/// Configuration of Compacter, in AdapterHub's words.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CompacterConfig {
    /// Whether one stands behind attention; not in Compacter++.
    pub mh_adapter: bool,
    /// Whether one stands behind the MLP.
    pub output_adapter: bool,
    /// Reduction factor: width of the stream divided by that of the bottleneck, which is rounded up
    /// to a multiple of `phm_dim`.
    pub reduction_factor: i64,
    /// Activation of the bottleneck.
    pub non_linearity: NonLinearity,
    /// How the matrices start.
    pub init_weights: InitWeights,
    /// Number of products in a sum, and extent of `A_i`; a divisor of the stream's width.
    pub phm_dim: i64,
    /// Rank of `B_i`.
    pub phm_rank: i64,
    /// Standard deviation of the first values of `A_i`.
    pub phm_init_range: f64,
}

impl Default for CompacterConfig {
    fn default() -> Self {
        let phm = PhmConfig::default();
        Self {
            mh_adapter: phm.mh_adapter,
            output_adapter: phm.output_adapter,
            reduction_factor: phm.reduction_factor,
            non_linearity: phm.non_linearity,
            init_weights: phm.init_weights,
            phm_dim: phm.phm_dim,
            phm_rank: 1,
            phm_init_range: phm.phm_init_range,
        }
    }
}

impl CompacterConfig {
    fn phm(&self) -> PhmConfig {
        PhmConfig {
            mh_adapter: self.mh_adapter,
            output_adapter: self.output_adapter,
            reduction_factor: self.reduction_factor,
            non_linearity: self.non_linearity,
            init_weights: self.init_weights,
            phm_dim: self.phm_dim,
            phm_init_range: self.phm_init_range,
        }
    }
}

impl Part for CompacterConfig {
    const NAME: &'static str = "compacter";
    const SUMMARY: &'static str =
        "adapters of Kronecker products of low rank that share their left factors";

    fn example() -> Self {
        Self::default()
    }
}

impl Method for CompacterConfig {
    fn plan(&self, _tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        let CompacterConfig { phm_dim, phm_rank, phm_init_range, .. } = *self;
        if phm_rank < 1 {
            return Err(config("phm_rank", "at least 1", phm_rank));
        }
        let rank = Some(phm_rank);
        let matrices = Kronecker { phm_dim, phm_init_range, rank, shared_rule: true };
        Ok(Rc::new(Bottlenecks::new(self.phm().options()?, matrices)?))
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
            |config: CompacterConfig| config.plan(&[], Form::Adapted).unwrap_err().to_string();
        let config = CompacterConfig::default();
        assert_eq!(
            message(CompacterConfig { phm_rank: 0, ..config }),
            "phm_rank: expected at least 1, found 0"
        );
        assert_eq!(
            message(CompacterConfig { phm_dim: 0, ..config }),
            "phm_dim: expected at least 1, found 0"
        );
        assert_eq!(
            message(CompacterConfig { phm_init_range: 0.0, ..config }),
            "phm_init_range: expected a positive number, found 0"
        );
    }
}
