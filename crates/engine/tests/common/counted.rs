//! A head that counts how often it runs.
#![allow(dead_code)]

use std::sync::atomic::{AtomicUsize, Ordering};

use polyptych_heads::{FeatureDims, Head, HeadBuilder, HeadInput, Result};
use polyptych_registry::Part;
use polyptych_tensor::{Conv2d, Kind, Scope, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Calls of all such heads.
pub(crate) static CALLS: AtomicUsize = AtomicUsize::new(0);
/// Those of them in training.
pub(crate) static TRAINED: AtomicUsize = AtomicUsize::new(0);

/// One convolution over the finest level.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CountedConfig {}

impl Part for CountedConfig {
    const NAME: &'static str = "counted";
    const SUMMARY: &'static str = "dense, of the finest level alone";

    fn example() -> Self {
        Self {}
    }
}

impl HeadBuilder for CountedConfig {
    fn build(&self, scope: &Scope, dims: FeatureDims, outputs: i64) -> Result<Box<dyn Head>> {
        Ok(Box::new(Counted(Conv2d::new(scope, [dims.levels[0], outputs], [1, 1], true)?)))
    }
}

#[derive(Debug)]
struct Counted(Conv2d);

impl Head for Counted {
    fn forward(&self, features: &HeadInput, train: bool) -> Result<Tensor> {
        CALLS.fetch_add(1, Ordering::Relaxed);
        TRAINED.fetch_add(usize::from(train), Ordering::Relaxed);
        let map = self.0.pointwise(&features.levels[0]);
        Ok(map.permute([0, 3, 1, 2]).to_kind(Kind::Float))
    }
}
