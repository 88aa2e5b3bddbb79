//! Full fine-tuning: every parameter of the backbone trains.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{NoAdapter, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::method::{Form, Method};

/// Configuration of full fine-tuning, which has no field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FullConfig {}

impl Part for FullConfig {
    const NAME: &'static str = "full";
    const SUMMARY: &'static str = "full fine-tuning";

    fn example() -> Self {
        Self {}
    }
}

impl Method for FullConfig {
    fn plan(&self, _tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        Ok(Rc::new(NoAdapter::Full))
    }
}
