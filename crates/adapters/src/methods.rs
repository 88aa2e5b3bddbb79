//! The methods, one file or folder each, and their list.

pub mod adaptformer;
pub mod ase;
pub mod attempt;
pub mod bitfit;
pub mod block_lora;
pub mod compacter;
pub mod decoder_only;
pub mod diff_pruning;
pub mod ditask;
pub mod dora;
pub mod emtal;
pub mod faar;
pub mod fame_vil;
pub mod free_sinewich;
pub mod full;
pub mod houlsby;
pub mod hyperformer;
pub mod interrogate;
pub mod lora;
pub mod low_rank_adapter;
pub mod lv_adapter;
pub mod mode;
pub mod moore;
pub mod mor1e;
pub mod mpt;
pub mod mtlora;
pub mod parallel_adapter;
pub mod pdrs;
pub mod pdrs_sinewich;
pub mod phm;
pub mod polyhistor;
pub mod progressive;
pub mod rcm;
pub mod relative_bias;
pub mod scalearn;
pub mod side_branch;
pub mod sine_lora;
pub mod ssf;
pub mod tadformer;
pub mod taps;
pub mod tdss;
pub mod ts_pd;
pub mod vmt_adapter;
pub mod vpt;

use polyptych_registry::{Value, parts};
use polyptych_tensor::Tensors;

use crate::error::{Error, Result, config};
use crate::method::{AddTask, Method, Pruned};
use crate::peft::factors::PeftFactors;

parts! {
    /// What is trained in the backbone: one entry of a recipe, `method = ".."` and its fields.
    pub struct AdapterConfig(dyn Method), kind = "adapter method", tag = "method";
    full::FullConfig,
    decoder_only::DecoderOnlyConfig,
    bitfit::BitFitConfig,
    relative_bias::RelativeBiasConfig,
    lora::LoraConfig,
    dora::DoraConfig,
    pdrs::PdrsConfig,
    sine_lora::SineLoraConfig,
    ssf::SsfConfig,
    houlsby::HoulsbyConfig,
    parallel_adapter::ParallelAdapterConfig,
    adaptformer::AdaptFormerConfig,
    low_rank_adapter::LowRankAdapterConfig,
    phm::PhmConfig,
    compacter::CompacterConfig,
    hyperformer::HyperFormerConfig,
    polyhistor::PolyhistorConfig,
    mtlora::MtLoraConfig,
    tadformer::TadFormerConfig,
    free_sinewich::FreeSinewichConfig,
    faar::FaarConfig,
    ts_pd::TsPdConfig,
    pdrs_sinewich::PdrsSinewichConfig,
    ditask::DiTaskConfig,
    emtal::EmtalConfig,
    taps::TapsConfig,
    diff_pruning::DiffPruningConfig,
    interrogate::InterroGateConfig,
    progressive::ProgressiveConfig,
    rcm::RcmConfig,
    mode::ModeConfig,
    mor1e::Mor1eConfig,
    moore::MooreConfig,
    ase::AseConfig,
    block_lora::BlockLoraConfig,
    vmt_adapter::VmtAdapterConfig,
    side_branch::SideBranchConfig,
    tdss::TdssConfig,
    vpt::VptConfig,
    mpt::MptConfig,
    attempt::AttemptConfig,
    scalearn::ScaLearnConfig,
    fame_vil::FameVilConfig,
    lv_adapter::LvAdapterConfig,
}

impl AdapterConfig {
    /// How tasks join a trained model; see [`Method::new_tasks`].
    ///
    /// # Errors
    /// A method that has no such way, with its reason and those that have one.
    pub fn takes_new_tasks(&self) -> Result<AddTask> {
        self.new_tasks().map_err(|reason| {
            let able = names_where(|method| method.new_tasks().is_ok());
            let expected =
                format!("{able}, whose tasks own modules beside a trunk that stays as it is");
            config("method", expected, format!("{}, {reason}", self.name()))
        })
    }

    /// The settings of a merged model without what its constants leave unused, and its tensors; see
    /// [`Method::pruned`].
    ///
    /// # Errors
    /// A method whose merged models have no such parts, a tensor that is absent.
    pub fn prune(&self, tasks: &[String], tensors: &Tensors) -> Result<(Self, Tensors)> {
        let refused = || self.prunes_nothing();
        let Pruned { settings, tensors } = self.pruned(tasks, tensors).ok_or_else(refused)??;
        Ok((self.with(settings)?, tensors))
    }

    /// Whether [`AdapterConfig::prune`] has what to take away.
    ///
    /// # Errors
    /// A method whose merged models have no such parts.
    pub fn check_prunes(&self) -> Result<()> {
        if self.has_unused_parts() { Ok(()) } else { Err(self.prunes_nothing()) }
    }

    fn has_unused_parts(&self) -> bool {
        self.pruned(&["task".to_owned()], &Tensors::new()).is_some()
    }

    fn prunes_nothing(&self) -> Error {
        let able = names_where(Self::has_unused_parts);
        config("method", format!("one that prunes, {able}"), self.name())
    }

    /// The same method with other `settings`.
    ///
    /// # Errors
    /// Settings that are not the method's.
    pub fn with(&self, settings: Value) -> Result<Self> {
        let wrong = |found: String| config("method", "settings of the method", found);
        let entry = Self::registry().find(self.name()).ok_or_else(|| wrong(self.name().into()))?;
        entry.read(settings).map(Self).map_err(|e| wrong(e.to_string()))
    }

    /// The parameters in `tensors`, a trained backbone under its own names, as an adapter of PEFT's.
    ///
    /// # Errors
    /// A method or mode that PEFT's LoRA has no parameters for, or a parameter that is absent.
    pub fn to_peft(&self, tensors: &Tensors) -> Result<PeftFactors> {
        self.in_peft(tensors).unwrap_or_else(|| {
            let able = names_where(|method| method.in_peft(&Tensors::new()).is_some());
            let reason = format!("PEFT's LoRA has no such parameters; expected one of {able}");
            Err(Error::NotInPeft { name: self.name().into(), reason })
        })
    }
}

/// Names of all registered methods that `has` accepts, at their examples.
fn names_where(has: impl Fn(&AdapterConfig) -> bool) -> String {
    let all = AdapterConfig::examples();
    all.iter().filter(|method| has(method)).map(|m| m.name()).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::decoder_only::DecoderOnlyConfig;
    use super::rcm::RcmConfig;
    use super::relative_bias::RelativeBiasConfig;
    use super::vmt_adapter::VmtAdapterConfig;
    use super::*;

    #[test]
    fn methods_whose_tasks_share_nothing_that_trains_take_new_tasks() {
        AdapterConfig::from(VmtAdapterConfig::default()).takes_new_tasks().unwrap();
        AdapterConfig::from(RcmConfig::default()).takes_new_tasks().unwrap();
        let expected = "method: expected rcm, vmt_adapter, whose tasks own modules beside a trunk that stays \
             as it is, found ";
        for (method, found) in [
            (RelativeBiasConfig {}.into(), "relative_bias, which could learn a task only by "),
            (DecoderOnlyConfig {}.into(), "decoder_only, whose tasks are independent: train "),
        ] {
            let method: AdapterConfig = method;
            let message = method.takes_new_tasks().unwrap_err().to_string();
            assert!(message.starts_with(&format!("{expected}{found}")), "{message}");
        }
    }

    #[test]
    fn methods_that_are_not_registered_are_named_with_those_that_are() {
        let unknown = serde_json::json!({"method": "lorra"});
        let message = serde_json::from_value::<AdapterConfig>(unknown).unwrap_err().to_string();
        let known: Vec<String> =
            AdapterConfig::names().iter().map(|name| format!("`{name}`")).collect();
        assert_eq!(
            message,
            format!("unknown variant `lorra`, expected one of {}", known.join(", "))
        );
    }
}
