//! What recipes and manifests can say: every key, every part that has a name, every metric.
//!
//! The texts are the comments of the types that read the files, so they cannot fall behind them.

pub(crate) mod backbones;
pub(crate) mod explain;
pub(crate) mod keys;
mod links;
pub(crate) mod metrics;
pub(crate) mod parts;
#[cfg(test)]
mod tests;
pub(crate) mod values;

use polyptych_data::manifest_schema;
use polyptych_losses::balancers::{BalancerInfo, balancers};
use schemars::schema_for;
use serde::Serialize;
use serde_json::Value;

use crate::recipe::config::Recipe;
use backbones::BackboneInfo;
use keys::Key;
use metrics::{METRICS, MetricInfo};
use parts::PartInfo;

/// Everything that recipes and manifests can say.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reference {
    /// Keys of a recipe, those of parts aside.
    pub recipe: Vec<Key>,
    /// Keys of a data set's manifest.
    pub manifest: Vec<Key>,
    /// Methods, balancers, heads, losses and architectures, with their keys.
    pub parts: Vec<PartInfo>,
    /// Named backbones.
    pub backbones: Vec<BackboneInfo>,
    /// What evaluation prints, by kind of task.
    pub metrics: &'static [MetricInfo],
    /// What each balancer needs and costs.
    pub balancers: Vec<BalancerInfo>,
}

/// The reference of all parts that are registered.
pub fn reference() -> Reference {
    Reference {
        recipe: keys::keys(&recipe_schema(), ""),
        manifest: keys::keys(&manifest_schema(), ""),
        parts: parts::parts(),
        backbones: backbones::backbones(),
        metrics: METRICS,
        balancers: balancers(),
    }
}

/// JSON Schema of a recipe, for editors that complete and check TOML.
pub fn recipe_schema() -> Value {
    schema_for!(Recipe).into()
}
