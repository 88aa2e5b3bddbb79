//! How wide a bottleneck beside an MLP is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Width `k` of the bottleneck beside an MLP of width `d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Bottleneck {
    /// The same `k` everywhere.
    Fixed(i64),
    /// `k = d / reduction`, rounded down.
    Reduction(i64),
}
