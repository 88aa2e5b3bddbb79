//! Compacter and Compacter++ (Mahabadi, Henderson and Ruder, NeurIPS 2021, arXiv 2106.04647).
//!
//! PHM layers with `A_i` shared by the matrices of the whole backbone (`adapter_phm_rule`) and
//! `B_i = s_i t_i` of low rank (equations 6 and 7). Compacter stands behind attention and the MLP,
//! Compacter++ (`mh_adapter = false`) behind the MLP only. They hold a nonlinearity and cannot be
//! folded.

use std::cell::RefCell;

use serde::{Deserialize, Serialize};

use crate::bottleneck::{Bottlenecks, InitWeights, NonLinearity};
use crate::kronecker::Kronecker;
use crate::{PhmConfig, Result};

/// Configuration of Compacter, in AdapterHub's words.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompacterConfig {
    /// Whether one stands behind attention; not in Compacter++.
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

impl Bottlenecks {
    /// Compacter or, without `mh_adapter`, Compacter++.
    ///
    /// # Errors
    /// A field that is out of range, or no place for an adapter.
    pub fn compacter(config: CompacterConfig) -> Result<Self> {
        let CompacterConfig { phm_dim, phm_rank, phm_init_range, .. } = config;
        if phm_rank < 1 {
            return Err(crate::error::config("phm_rank", "at least 1", phm_rank));
        }
        let (rank, shared_rule) = (Some(phm_rank), Some(RefCell::default()));
        Self::with(config.phm().shape()?, Kronecker { phm_dim, phm_init_range, rank, shared_rule })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn fields_out_of_range_are_named() {
        let message = |config| Bottlenecks::compacter(config).unwrap_err().to_string();
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
