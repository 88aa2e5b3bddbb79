//! Low-rank adapters: bottlenecks whose matrices are products of two thin factors (a baseline of
//! Mahabadi, Henderson and Ruder, "Compacter", NeurIPS 2021, arXiv 2106.04647).
//!
//! `y + sigma(y W_d + b_d) W_u + b_u` with `W_d = a b^T`, `a`: `[d, rank]`, `b`: `[n, rank]`, and
//! `W_u` likewise. The public code multiplies its factors element by element, which is this product
//! at rank 1 alone; here it is the product at every rank. They hold a nonlinearity and cannot be
//! merged.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{Init, Plan, Result as TensorResult, Scope, Site, Tensor, cast};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::blocks::activation::{InitWeights, NonLinearity};
use crate::blocks::bottleneck::{BottleneckOptions, Bottlenecks, Matrices, Matrix};
use crate::error::{Result, config};
use crate::method::{Form, Method};

/// Configuration of low-rank adapters, in AdapterHub's words.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LowRankAdapterConfig {
    /// Whether one stands behind attention.
    pub mh_adapter: bool,
    /// Whether one stands behind the MLP.
    pub output_adapter: bool,
    /// Reduction factor: width of the stream divided by that of the bottleneck, which is rounded down
    /// and at least 1.
    pub reduction_factor: i64,
    /// Activation of the bottleneck.
    pub non_linearity: NonLinearity,
    /// How the matrices start; published are Glorot's uniform law for every factor.
    pub init_weights: InitWeights,
    /// Rank of both matrices.
    pub rank: i64,
}

impl Default for LowRankAdapterConfig {
    fn default() -> Self {
        Self {
            mh_adapter: true,
            output_adapter: true,
            reduction_factor: 32,
            non_linearity: NonLinearity::Gelu,
            init_weights: InitWeights::Identity,
            rank: 1,
        }
    }
}

impl Part for LowRankAdapterConfig {
    const NAME: &'static str = "low_rank_adapter";
    const SUMMARY: &'static str = "adapters of matrices of low rank";

    fn example() -> Self {
        Self::default()
    }
}

impl Method for LowRankAdapterConfig {
    fn plan(&self, _tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        if self.rank < 1 {
            return Err(config("rank", "at least 1", self.rank));
        }
        let options = BottleneckOptions {
            mh_adapter: self.mh_adapter,
            output_adapter: self.output_adapter,
            reduction_factor: self.reduction_factor,
            multiple: 1,
            non_linearity: self.non_linearity,
            init_weights: self.init_weights,
        };
        Ok(Rc::new(Bottlenecks::new(options, LowRank { rank: self.rank })?))
    }

    fn parameters(&self) -> &'static [&'static str] {
        &["*adapter_*"]
    }
}

/// Makes matrices of rank `rank`.
#[derive(Debug)]
struct LowRank {
    rank: i64,
}

impl Matrices for LowRank {
    fn make(
        &self,
        scope: &Scope,
        _site: &Site,
        [rows, columns]: [i64; 2],
        zero: bool,
    ) -> TensorResult<Box<dyn Matrix>> {
        let r = self.rank;
        let last = if zero { Init::ZEROS } else { Init::glorot(r, columns) };
        Ok(Box::new(LowRankMatrix {
            left: scope.param("W_left", &[rows, r], Init::glorot(rows, r))?,
            right: scope.param("W_right", &[r, columns], last)?,
        }))
    }
}

/// `left`: `[in, rank]`, `right`: `[rank, out]`.
#[derive(Debug)]
struct LowRankMatrix {
    left: Tensor,
    right: Tensor,
}

impl Matrix for LowRankMatrix {
    fn forward(&self, x: &Tensor) -> Tensor {
        x.matmul(&cast(&self.left, x.kind())).matmul(&cast(&self.right, x.kind()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use polyptych_tensor::{Device, Kind};

    #[test]
    fn factors_are_multiplied_as_matrices() {
        let draw = |shape: [i64; 2]| Tensor::randn(shape, (Kind::Float, Device::Cpu));
        let (x, left, right) = (draw([5, 3]), draw([3, 2]), draw([2, 4]));
        let outer = |i: i64| left.select(1, i).outer(&right.select(0, i));
        let expected = x.matmul(&(outer(0) + outer(1)));
        let found = LowRankMatrix { left, right }.forward(&x);
        assert!((found - expected).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn fields_out_of_range_are_named() {
        let message =
            |config: LowRankAdapterConfig| config.plan(&[], Form::Adapted).unwrap_err().to_string();
        let config = LowRankAdapterConfig::default();
        let rank = LowRankAdapterConfig { rank: 0, ..config };
        assert_eq!(message(rank), "rank: expected at least 1, found 0");
        let wide = LowRankAdapterConfig { reduction_factor: 0, ..config };
        assert_eq!(message(wide), "reduction_factor: expected at least 1, found 0");
        let nowhere = LowRankAdapterConfig { mh_adapter: false, output_adapter: false, ..config };
        assert_eq!(
            message(nowhere),
            "output_adapter: expected true where mh_adapter is false, found false"
        );
    }
}
