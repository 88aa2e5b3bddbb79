//! EMTAL's options.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::fading::Fading;
use crate::blocks::targets::TargetModules;
use crate::error::{Result, config};
use crate::experts::kmeans::KMeansConfig;
use crate::methods::lora::{Bias, LoraConfig};

/// Where the experts come from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "method", rename_all = "snake_case", deny_unknown_fields)]
pub enum Experts {
    /// Hidden units are clustered when the backbone is loaded, and reordered by expert.
    BalancedKmeans(KMeansConfig),
    /// Blocks of hidden units as they stand: of a backbone that `polyptych moefy` wrote, or, of any
    /// other, arbitrary experts.
    AsStored {},
}

impl Default for Experts {
    fn default() -> Self {
        Experts::BalancedKmeans(KMeansConfig::default())
    }
}

/// Configuration of EMTAL; the defaults are the published code's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct EmtalConfig {
    /// Rank of the factors; the paper has 1, 2 and 4.
    pub r: i64,
    /// Experts in every MLP; must divide its hidden width.
    pub num_experts: i64,
    /// Where the experts come from.
    pub experts: Experts,
    /// Divides the router's logits.
    pub router_temperature: f64,
    /// Keeps only the gates of so many experts, scaled to their common sum: a sparse router, as
    /// in MOELoRA. All experts if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub top_k: Option<i64>,
    /// When the router fades.
    pub fading: Fading,
    /// Keeps the router for good instead; such a model does not merge.
    pub keep_router: bool,
    /// Probability with which an input of the factors is set to zero in training.
    pub lora_dropout: f64,
    /// Which projections carry factors.
    pub target_modules: TargetModules,
}

impl Default for EmtalConfig {
    fn default() -> Self {
        let targets = ["qkv", "proj", "fc1", "fc2"].map(str::to_owned);
        Self {
            r: 4,
            num_experts: 16,
            experts: Experts::default(),
            router_temperature: 5.0,
            top_k: None,
            fading: Fading::default(),
            keep_router: false,
            lora_dropout: 0.0,
            target_modules: TargetModules::Names(targets.into()),
        }
    }
}

impl EmtalConfig {
    /// Checks every field.
    ///
    /// # Errors
    /// The first field that is out of range.
    pub fn validate(&self) -> Result<()> {
        self.lora().validate()?;
        if self.num_experts < 1 {
            return Err(config("num_experts", "at least 1", self.num_experts));
        }
        if let Experts::BalancedKmeans(kmeans) = &self.experts {
            kmeans.validate()?;
        }
        let temperature = self.router_temperature;
        if !(temperature > 0.0 && temperature.is_finite()) {
            return Err(config("router_temperature", "a finite number above 0", temperature));
        }
        match self.top_k {
            Some(k) if !(1..=self.num_experts).contains(&k) => {
                Err(config("top_k", format!("1 to {}", self.num_experts), k))
            }
            _ => self.fading.validate(),
        }
    }

    /// The low-rank part, which has no scale.
    pub(crate) fn lora(&self) -> LoraConfig {
        LoraConfig {
            r: self.r,
            lora_alpha: self.r as f64,
            lora_dropout: self.lora_dropout,
            target_modules: self.target_modules.clone(),
            bias: Bias::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_out_of_range_are_named() {
        for (fields, expected) in [
            (json!({"r": 0}), "r: expected at least 1, found 0"),
            (json!({"num_experts": 0}), "num_experts: expected at least 1, found 0"),
            (
                json!({"router_temperature": 0.0}),
                "router_temperature: expected a finite number above 0, found 0",
            ),
            (json!({"top_k": 17}), "top_k: expected 1 to 16, found 17"),
            (
                json!({"fading": {"start": 0.2, "end": 0.1}}),
                "fading.end: expected above 0.2 and at most 1, found 0.1",
            ),
            (
                json!({"target_modules": []}),
                "target_modules: expected at least one name, found an empty list",
            ),
        ] {
            let config: EmtalConfig = serde_json::from_value(fields).unwrap();
            assert_eq!(config.validate().unwrap_err().to_string(), expected);
        }
    }
}
