//! Every method by its name in a recipe.

use std::rc::Rc;

use polyptych_tensor::{NoAdapter, Plan};
use serde::{Deserialize, Serialize};

use crate::error::config;
use crate::{
    AdaptFormerConfig, BitFit, BitFitConfig, Bottlenecks, CompacterConfig, Dora, DoraConfig, Emtal,
    EmtalConfig, Experts, HoulsbyConfig, HyperAdapters, HyperFormerConfig, KMeansConfig, Lora,
    LoraConfig, LowRankAdapterConfig, MtLora, MtLoraConfig, ParallelAdapterConfig,
    ParallelAdapters, PhmConfig, PolyhistorConfig, RelativeBias, Result, Ssf, SsfConfig,
    VmtAdapter, VmtAdapterConfig, Vpt, VptConfig,
};

/// What is trained in the backbone: one entry of a recipe, `method = ".."` and its fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum AdapterConfig {
    /// Full fine-tuning.
    Full,
    /// Nothing: only the heads train.
    DecoderOnly,
    /// Biases of the backbone.
    #[serde(rename = "bitfit")]
    BitFit(BitFitConfig),
    /// Relative position tables of a Swin.
    RelativeBias,
    /// LoRA: one set of factors for all tasks or, with `backbone.per_task` of a recipe as for any
    /// method whose parts are one for all, a set for each.
    Lora(LoraConfig),
    /// LoRA on the direction of each weight, beside its magnitude.
    Dora(DoraConfig),
    /// Scale and shift behind linear maps.
    Ssf(SsfConfig),
    /// Houlsby's adapters behind attention and the MLP.
    Adapter(HoulsbyConfig),
    /// Adapters beside the MLP.
    ParallelAdapter(ParallelAdapterConfig),
    /// AdaptFormer: slim adapters beside the MLP.
    #[serde(rename = "adaptformer")]
    AdaptFormer(AdaptFormerConfig),
    /// Adapters of matrices of low rank.
    LowRankAdapter(LowRankAdapterConfig),
    /// Adapters of Kronecker products.
    Phm(PhmConfig),
    /// Compacter or, with `mh_adapter = false`, Compacter++.
    Compacter(CompacterConfig),
    /// Adapters per task whose weights hypernetworks make.
    #[serde(rename = "hyperformer")]
    HyperFormer(HyperFormerConfig),
    /// The same with decomposed hypernetworks or, with `lite`, Polyhistor-Lite.
    Polyhistor(PolyhistorConfig),
    /// MTLoRA or, with `downsampler`, MTLoRA+.
    #[serde(rename = "mtlora")]
    MtLora(MtLoraConfig),
    /// MoEfied LoRA with a router that fades.
    Emtal(EmtalConfig),
    /// VMT-Adapter or, with `projections`, VMT-Adapter-Lite.
    VmtAdapter(VmtAdapterConfig),
    /// Visual prompt tuning, shallow or, with `deep`, deep.
    Vpt(VptConfig),
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
            AdapterConfig::BitFit(config) => Rc::new(BitFit::new(*config)),
            AdapterConfig::RelativeBias => Rc::new(RelativeBias::default()),
            AdapterConfig::Dora(config) => Rc::new(Dora::new(config.clone(), form)?),
            AdapterConfig::Ssf(config) => Rc::new(Ssf::new(config.clone(), form)?),
            AdapterConfig::Adapter(config) => Rc::new(Bottlenecks::houlsby(*config)?),
            AdapterConfig::ParallelAdapter(config) => Rc::new(ParallelAdapters::new(*config)?),
            AdapterConfig::AdaptFormer(config) => Rc::new(ParallelAdapters::adaptformer(*config)?),
            AdapterConfig::LowRankAdapter(config) => Rc::new(Bottlenecks::low_rank(*config)?),
            AdapterConfig::Phm(config) => Rc::new(Bottlenecks::phm(*config)?),
            AdapterConfig::Compacter(config) => Rc::new(Bottlenecks::compacter(*config)?),
            AdapterConfig::HyperFormer(config) => {
                Rc::new(HyperAdapters::hyperformer(*config, tasks, form)?)
            }
            AdapterConfig::Polyhistor(config) => {
                Rc::new(HyperAdapters::polyhistor(*config, tasks, form)?)
            }
            AdapterConfig::Lora(config) => Rc::new(Lora::new(config.clone(), form)?),
            AdapterConfig::MtLora(config) => Rc::new(MtLora::new(config.clone(), tasks, form)?),
            AdapterConfig::Emtal(config) => Rc::new(Emtal::new(config.clone(), form)?),
            AdapterConfig::VmtAdapter(config) => {
                Rc::new(VmtAdapter::new(config.clone(), tasks, form)?)
            }
            AdapterConfig::Vpt(config) => Rc::new(Vpt::new(*config)?),
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

    /// Whether anything trains in the backbone, which tasks may share.
    pub fn trains_backbone(&self) -> bool {
        !matches!(self, AdapterConfig::DecoderOnly)
    }

    /// Why no model has a copy of the method for every task; nothing where one may.
    pub fn not_per_task(&self) -> Option<&'static str> {
        match self {
            AdapterConfig::DecoderOnly => Some("trains nothing that a copy could have for itself"),
            AdapterConfig::Emtal(_) => Some("has one router and one space of labels for all tasks"),
            AdapterConfig::HyperFormer(_)
            | AdapterConfig::MtLora(_)
            | AdapterConfig::Polyhistor(_)
            | AdapterConfig::VmtAdapter(_) => {
                Some("has parts of its own for every task in one trunk")
            }
            _ => None,
        }
    }

    /// Checks that tasks can join a trained model while all that others depend on stays as it is.
    ///
    /// # Errors
    /// Every method but VMT-Adapter, with the reason.
    pub fn takes_new_tasks(&self) -> Result<()> {
        let reason = match self {
            AdapterConfig::VmtAdapter(_) => return Ok(()),
            AdapterConfig::DecoderOnly => {
                "whose tasks are independent: train the new ones by themselves"
            }
            _ => "which could learn a task only by changing what others depend on",
        };
        let expected = "vmt_adapter, whose tasks own modules beside a trunk that stays as it is";
        Err(config("method", expected, format!("{}, {reason}", self.name())))
    }

    /// The method's name, as in a recipe.
    pub fn name(&self) -> &'static str {
        match self {
            AdapterConfig::Full => "full",
            AdapterConfig::DecoderOnly => "decoder_only",
            AdapterConfig::BitFit(_) => "bitfit",
            AdapterConfig::RelativeBias => "relative_bias",
            AdapterConfig::Dora(_) => "dora",
            AdapterConfig::Ssf(_) => "ssf",
            AdapterConfig::Adapter(_) => "adapter",
            AdapterConfig::ParallelAdapter(_) => "parallel_adapter",
            AdapterConfig::AdaptFormer(_) => "adaptformer",
            AdapterConfig::LowRankAdapter(_) => "low_rank_adapter",
            AdapterConfig::Phm(_) => "phm",
            AdapterConfig::Compacter(_) => "compacter",
            AdapterConfig::HyperFormer(_) => "hyperformer",
            AdapterConfig::Polyhistor(_) => "polyhistor",
            AdapterConfig::Lora(_) => "lora",
            AdapterConfig::MtLora(_) => "mtlora",
            AdapterConfig::Emtal(_) => "emtal",
            AdapterConfig::VmtAdapter(_) => "vmt_adapter",
            AdapterConfig::Vpt(_) => "vpt",
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_vmt_adapter_takes_new_tasks() {
        AdapterConfig::VmtAdapter(VmtAdapterConfig::default()).takes_new_tasks().unwrap();
        let expected = "method: expected vmt_adapter, whose tasks own modules beside a trunk that stays as it \
             is, found ";
        for (method, found) in [
            (AdapterConfig::RelativeBias, "relative_bias, which could learn a task only by "),
            (AdapterConfig::DecoderOnly, "decoder_only, whose tasks are independent: train "),
        ] {
            let message = method.takes_new_tasks().unwrap_err().to_string();
            assert!(message.starts_with(&format!("{expected}{found}")), "{message}");
        }
    }
}
