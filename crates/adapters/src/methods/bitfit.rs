//! BitFit: only biases train (Ben Zaken, Goldberg and Ravfogel, ACL 2022, arXiv 2106.10199).
//!
//! `y = W x + b` with `W` frozen, and `beta` of every `gamma z + beta` behind a norm. Every bias of
//! the backbone trains, those of the patch embedding included. No parameter is added, so there is
//! nothing to merge.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{ParameterKind, ParameterKinds, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::method::{Form, Method};

/// Configuration of BitFit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BitFitConfig {
    /// Whether a Swin's relative position tables train too; the 0.30 M that tables of multi-task
    /// methods state for BitFit contain them.
    #[serde(default)]
    pub relative_position_bias: bool,
}

impl Part for BitFitConfig {
    const NAME: &'static str = "bitfit";
    const SUMMARY: &'static str = "biases of the backbone";

    fn example() -> Self {
        Self::default()
    }
}

impl Method for BitFitConfig {
    fn plan(&self, _tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        Ok(Rc::new(BitFit::new(*self)))
    }
}

/// BitFit as a plan. See [`BitFitConfig`].
#[derive(Debug, Clone, Copy)]
pub struct BitFit {
    config: BitFitConfig,
}

impl BitFit {
    /// Makes the plan.
    pub fn new(config: BitFitConfig) -> Self {
        Self { config }
    }
}

impl Plan for BitFit {
    fn trains(&self, kinds: &ParameterKinds) -> bool {
        let table = kinds.contains(&ParameterKind::RelativePositionBias);
        kinds.contains(&ParameterKind::Bias) || (self.config.relative_position_bias && table)
    }
}
