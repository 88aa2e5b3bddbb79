//! Every method by its name in a recipe.

use std::rc::Rc;

use polyptych_tensor::{NoAdapter, Plan};
use serde::{Deserialize, Serialize};

use crate::{
    Emtal, EmtalConfig, Experts, KMeansConfig, Lora, LoraConfig, MtLora, MtLoraConfig, Result,
    VmtAdapter, VmtAdapterConfig,
};

/// Patterns of the names that methods give their own parameters, beside timm's in a backbone; see
/// [`matches`](polyptych_tensor::matches).
pub const PARAMETERS: &[&str] = &["*lora_*", "*vmt_*"];

/// What is trained in the backbone: one entry of a recipe, `method = ".."` and its fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum AdapterConfig {
    /// Full fine-tuning.
    Full,
    /// Nothing: only the heads train.
    DecoderOnly,
    /// LoRA, shared by all tasks.
    Lora(LoraConfig),
    /// MTLoRA or, with `downsampler`, MTLoRA+.
    #[serde(rename = "mtlora")]
    MtLora(MtLoraConfig),
    /// MoEfied LoRA with a router that fades.
    Emtal(EmtalConfig),
    /// VMT-Adapter or, with `projections`, VMT-Adapter-Lite.
    VmtAdapter(VmtAdapterConfig),
}

/// Whether the model trains, or has been folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// As it trains: the method's parameters stand beside the backbone's.
    Adapted,
    /// After folding: what could be folded is part of the backbone's own weights.
    Folded,
}

impl AdapterConfig {
    /// Makes the plan for `tasks`, whose order is that of the task axis.
    ///
    /// # Errors
    /// A configuration that is out of range.
    pub fn plan(&self, tasks: &[String], form: Form) -> Result<Rc<dyn Plan>> {
        Ok(match self {
            AdapterConfig::Full => Rc::new(NoAdapter::Full),
            AdapterConfig::DecoderOnly => Rc::new(NoAdapter::Frozen),
            AdapterConfig::Lora(config) => Rc::new(Lora::new(config.clone(), form)?),
            AdapterConfig::MtLora(config) => Rc::new(MtLora::new(config.clone(), tasks, form)?),
            AdapterConfig::Emtal(config) => Rc::new(Emtal::new(config.clone(), form)?),
            AdapterConfig::VmtAdapter(config) => {
                Rc::new(VmtAdapter::new(config.clone(), tasks, form)?)
            }
        })
    }

    /// How many experts are to be found in every MLP of the backbone before training, and how.
    pub fn experts(&self) -> Option<(usize, &KMeansConfig)> {
        match self {
            AdapterConfig::Emtal(EmtalConfig {
                experts: Experts::BalancedKmeans(config),
                num_experts,
                ..
            }) => Some((*num_experts as usize, config)),
            _ => None,
        }
    }

    /// The method's name, as in a recipe.
    pub fn name(&self) -> &'static str {
        match self {
            AdapterConfig::Full => "full",
            AdapterConfig::DecoderOnly => "decoder_only",
            AdapterConfig::Lora(_) => "lora",
            AdapterConfig::MtLora(_) => "mtlora",
            AdapterConfig::Emtal(_) => "emtal",
            AdapterConfig::VmtAdapter(_) => "vmt_adapter",
        }
    }
}
