//! What a run trained as an adapter of PEFT's.

use std::collections::BTreeMap;
use std::path::Path;

use polyptych_tensor::Tensors;
use serde_json::{Value, json};

use super::adapter::{CONFIG, PeftAdapter};
use super::config::PeftConfig;
use super::fused::{Fused, MAGNITUDE, fused_of, has_started, row_lengths, without_weight};
use crate::blocks::tensors::copy;
use crate::error::Result;

/// What most modules of an adapter have in common.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PeftSettings {
    /// Rank of the factors.
    pub r: i64,
    /// Numerator of the scale `lora_alpha / r`.
    pub lora_alpha: f64,
    /// Probability with which an input of the factors was set to zero in training.
    pub lora_dropout: f64,
    /// Whether magnitudes stand beside the factors.
    pub use_dora: bool,
}

/// The factors that a run trained, in PEFT's words, and the weights that they stand beside.
#[derive(Debug)]
pub struct PeftFactors {
    /// Weights of the backbone under timm's names, whatever trains in them included, but for the
    /// factors.
    pub base: Tensors,
    /// `MODULE.lora_A.weight`, `MODULE.lora_B.weight`, with DoRA `MODULE.lora_magnitude_vector`.
    pub factors: Tensors,
    /// Names of the method that PEFT has no place for: factors of single tasks, routers.
    pub left_out: Vec<String>,
    settings: PeftSettings,
    rank_pattern: BTreeMap<String, i64>,
    alpha_pattern: BTreeMap<String, f64>,
}

impl PeftFactors {
    /// An adapter without modules.
    pub fn empty(settings: PeftSettings) -> Self {
        Self {
            base: Tensors::new(),
            factors: Tensors::new(),
            left_out: Vec::new(),
            settings,
            rank_pattern: BTreeMap::new(),
            alpha_pattern: BTreeMap::new(),
        }
    }

    /// Takes the factors out of `tensors`, a trained backbone whose factors are named as LoRA's.
    ///
    /// Parts of a fused `qkv` become one pair of factors: their `A` one above the other, their `B`
    /// on the diagonal of a block matrix.
    ///
    /// # Errors
    /// A parameter that is absent.
    pub fn new(settings: PeftSettings, tensors: &Tensors) -> Result<Self> {
        let (own, base): (Tensors, Tensors) =
            copy(tensors).into_iter().partition(|(name, _)| name.contains("lora_"));
        let (mut parts, whole): (Tensors, Tensors) =
            own.into_iter().partition(|(name, _)| fused_of(name).is_some());
        let mut adapter = Self::empty(settings);
        while let Some(fused) = Fused::take(&mut parts, &base)? {
            adapter.insert_fused(fused);
        }
        let (routers, factors): (Tensors, Tensors) =
            whole.into_iter().partition(|(name, _)| name.contains("lora_router"));
        adapter.left_out.extend(routers.into_keys());
        adapter.factors.extend(factors);
        adapter.base = base;
        if settings.use_dora {
            adapter.start_magnitudes()?;
        }
        Ok(adapter)
    }

    /// Notes the rank and `lora_alpha` of `module` where they are not those of the settings.
    pub fn set_pattern(&mut self, module: &str, rank: i64, lora_alpha: f64) {
        if rank != self.settings.r {
            self.rank_pattern.insert(exactly(module), rank);
        }
        if lora_alpha != self.settings.lora_alpha {
            self.alpha_pattern.insert(exactly(module), lora_alpha);
        }
    }

    fn insert_fused(&mut self, Fused { path, pairs, a, b, magnitude }: Fused) {
        let PeftSettings { r, lora_alpha, use_dora, .. } = self.settings;
        self.factors.insert(format!("{path}.lora_A.weight"), a);
        self.factors.insert(format!("{path}.lora_B.weight"), b);
        if use_dora {
            self.factors.insert(format!("{path}.{MAGNITUDE}"), magnitude);
        }
        self.set_pattern(&path, pairs * r, pairs as f64 * lora_alpha);
    }

    fn start_magnitudes(&mut self) -> Result<()> {
        for (name, tensor) in &mut self.factors {
            let Some(module) = name.strip_suffix(&format!(".{MAGNITUDE}")) else { continue };
            if has_started(tensor) {
                continue;
            }
            let weight = self.base.get(&format!("{module}.weight"));
            *tensor = row_lengths(weight.ok_or_else(|| without_weight(module))?);
        }
        Ok(())
    }

    /// The backbone with the factors merged into it.
    ///
    /// # Errors
    /// Factors that fit no weight.
    pub fn merged(&self) -> Result<Tensors> {
        let text = self.config_json(&[]).to_string();
        let path = Path::new(CONFIG);
        let config = PeftConfig::parse(path, text.as_bytes())?;
        PeftAdapter::new(path.into(), config, copy(&self.factors)).merge(&self.base)
    }

    fn modules(&self) -> Vec<&str> {
        self.factors.keys().filter_map(|name| name.strip_suffix(".lora_A.weight")).collect()
    }

    /// `adapter_config.json`.
    pub(super) fn config_json(&self, modules_to_save: &[&str]) -> Value {
        json!({
            "peft_type": "LORA",
            "task_type": null,
            "base_model_name_or_path": null,
            "inference_mode": true,
            "r": self.settings.r,
            "lora_alpha": self.settings.lora_alpha,
            "lora_dropout": self.settings.lora_dropout,
            "use_dora": self.settings.use_dora,
            "rank_pattern": self.rank_pattern,
            "alpha_pattern": self.alpha_pattern,
            "target_modules": self.modules(),
            "bias": "none",
            "fan_in_fan_out": false,
            "modules_to_save": (!modules_to_save.is_empty()).then_some(modules_to_save),
        })
    }
}

/// The key of a pattern that means the module `name` alone: PEFT takes a key for an end of names.
fn exactly(name: &str) -> String {
    format!("^{}", name.replace('.', r"\."))
}
