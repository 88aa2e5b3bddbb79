//! Only a Swin's relative position tables train (a baseline of Liu et al., "Polyhistor", NeurIPS
//! 2022, arXiv 2210.03265).
//!
//! `softmax(q k^T / sqrt(d_h) + B) v`, with `B` read from a table of `(2 w - 1)^2` rows and one
//! column per head, for windows of side `w`. No parameter is added, so there is nothing to merge.

use std::cell::RefCell;
use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{
    Error, NoAdapter, Plan, Projection, Result as TensorResult, Scope, Site, Store,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::method::{Form, Method};

/// timm's name of the table, at the end of a parameter's name.
pub(crate) const TABLE: &str = "relative_position_bias_table";

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
        Ok(Rc::new(RelativeBias::default()))
    }
}

/// Relative position tables as a plan.
#[derive(Debug, Default)]
pub struct RelativeBias {
    /// Owner of the parameters of the backbone, once it is being built.
    store: RefCell<Option<Store>>,
}

impl Plan for RelativeBias {
    fn projection(&self, scope: &Scope, site: &Site) -> TensorResult<Box<dyn Projection>> {
        *self.store.borrow_mut() = Some(scope.store().clone());
        NoAdapter::Frozen.projection(scope, site)
    }

    /// A backbone without tables would train nothing.
    fn finish(&self) -> TensorResult<()> {
        let is_table = |(name, _): &(String, _)| name.ends_with(TABLE);
        let store = self.store.borrow();
        match store.as_ref().is_some_and(|store| store.tensors().iter().any(is_table)) {
            true => Ok(()),
            false => Err(Error::Config {
                key: "relative_bias".into(),
                expected: "a backbone with relative position tables, such as a Swin".into(),
                found: "one without".into(),
            }),
        }
    }

    fn trains(&self, name: &str) -> bool {
        name.ends_with(TABLE)
    }
}
