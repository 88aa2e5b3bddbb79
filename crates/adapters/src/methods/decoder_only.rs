//! Nothing trains in the backbone: only the heads do.

use std::rc::Rc;

use polyptych_registry::Part;
use polyptych_tensor::{NoAdapter, Plan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::method::{AddTask, Form, Method};

/// Configuration of decoders alone, which has no field.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecoderOnlyConfig {}

impl Part for DecoderOnlyConfig {
    const NAME: &'static str = "decoder_only";
    const SUMMARY: &'static str = "heads alone beside a frozen backbone";

    fn example() -> Self {
        Self {}
    }
}

impl Method for DecoderOnlyConfig {
    fn plan(&self, _tasks: &[String], _form: Form) -> Result<Rc<dyn Plan>> {
        Ok(Rc::new(NoAdapter::Frozen))
    }

    fn trains_backbone(&self) -> bool {
        false
    }

    fn not_per_task(&self) -> Option<&'static str> {
        Some("trains nothing that a copy could have for itself")
    }

    fn new_tasks(&self) -> std::result::Result<AddTask, &'static str> {
        Err("whose tasks are independent: train the new ones by themselves")
    }
}
