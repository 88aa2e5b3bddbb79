//! Only a Swin's relative position tables train (a baseline of Liu et al., "Polyhistor", NeurIPS
//! 2022, arXiv 2210.03265).
//!
//! `softmax(q k^T / sqrt(d_h) + B) v`, with `B` read from a table of `(2 w - 1)^2` rows and one
//! column per head, for windows of side `w`. No parameter is added, so there is nothing to merge.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Error, Parameter, ParameterKind, ParameterKinds, Plan, Result as TensorResult, Site,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::method::{Form, Method};

/// Configuration of relative position tables, which has no field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RelativeBiasConfig {}

impl Part for RelativeBiasConfig {
    const NAME: &'static str = "relative_bias";
    const SUMMARY: &'static str = "relative position tables of a Swin";

    fn example() -> Self {
        Self {}
    }
}

impl Method for RelativeBiasConfig {
    fn plan(&self, _tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        Ok(Rc::new(RelativeBias))
    }
}

/// Relative position tables as a plan.
#[derive(Debug)]
pub struct RelativeBias;

impl Plan for RelativeBias {
    /// A backbone without tables would train nothing.
    fn check(&self, _sites: &[Site], parameters: &[Parameter]) -> TensorResult<()> {
        match parameters.iter().any(|parameter| self.trains(&parameter.kinds)) {
            true => Ok(()),
            false => Err(Error::Config {
                key: "relative_bias".into(),
                expected: "a backbone with relative position tables, such as a Swin".into(),
                found: "one without".into(),
            }),
        }
    }

    fn trains(&self, kinds: &ParameterKinds) -> bool {
        kinds.contains(&ParameterKind::RelativePositionBias)
    }
}
