//! `config.json` beside weights: what the shapes of tensors do not tell.

use serde::Deserialize;

use crate::{BackboneConfig, Error, Result, swin, vit};

/// Differences to our norms' eps from here on are refused; Hugging Face's ViT has 1e-12 where timm
/// has 1e-6.
const EPS_TOLERANCE: f64 = 1e-5;
/// Parts of timm's names whose models have our parameters and compute something else with them:
/// norms behind attention and MLP, another GELU, another eps.
const OTHERS: [&str; 4] = ["_rpn_", "siglip", "quickgelu", "_clip"];

/// The fields of Hugging Face's and timm's `config.json` that change what the same tensors compute.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct HuggingFaceConfig {
    /// `vit`, `swin`, `dinov2`.
    pub model_type: Option<String>,
    /// Activation of the MLP.
    pub hidden_act: Option<String>,
    /// Heads of a ViT.
    pub num_attention_heads: Option<i64>,
    /// Heads per stage of a Swin.
    pub num_heads: Option<serde_json::Value>,
    /// Whether a Swin adds learnt positions to its patches.
    pub use_absolute_embeddings: bool,
    /// Whether DINOv2 has a gated MLP.
    pub use_swiglu_ffn: bool,
    /// Eps of norms.
    pub layer_norm_eps: Option<f64>,
    /// timm's name of the model.
    pub architecture: Option<String>,
}

impl HuggingFaceConfig {
    /// Checks that `backbone` computes what the configuration says.
    pub(super) fn check(&self, origin: &str, backbone: &BackboneConfig) -> Result<()> {
        let wrong = |key: &str, expected: String, found: String| {
            let origin = format!("{origin}/config.json");
            Err(Error::Checkpoint { origin, key: key.into(), expected, found })
        };
        let heads = match backbone {
            BackboneConfig::Swin(swin) => ("num_heads", serde_json::json!(swin.num_heads)),
            BackboneConfig::Vit(vit) => ("num_attention_heads", serde_json::json!(vit.num_heads)),
        };
        let norm_eps = match backbone {
            BackboneConfig::Swin(_) => swin::NORM_EPS,
            BackboneConfig::Vit(_) => vit::NORM_EPS,
        };
        let found = match backbone {
            BackboneConfig::Swin(_) => self.num_heads.clone(),
            BackboneConfig::Vit(_) => self.num_attention_heads.map(|heads| heads.into()),
        };
        match (&self.hidden_act, found) {
            (Some(act), _) if act != "gelu" => wrong("hidden_act", "gelu".into(), act.clone()),
            (_, Some(found)) if found != heads.1 => {
                wrong(heads.0, heads.1.to_string(), found.to_string())
            }
            _ if self.layer_norm_eps.is_some_and(|eps| (eps - norm_eps).abs() >= EPS_TOLERANCE) => {
                let found = self.layer_norm_eps.unwrap_or_default();
                wrong("layer_norm_eps", norm_eps.to_string(), found.to_string())
            }
            _ if self.other().is_some() => {
                let found = self.other().unwrap_or_default();
                wrong("architecture", "a ViT or Swin that is supported".into(), found.into())
            }
            _ if self.use_absolute_embeddings => {
                wrong("use_absolute_embeddings", "false".into(), "true".into())
            }
            _ if self.use_swiglu_ffn => wrong("use_swiglu_ffn", "false".into(), "true".into()),
            _ => Ok(()),
        }
    }

    /// timm's name of a model that computes something else with our parameters.
    fn other(&self) -> Option<&str> {
        let name = self.architecture.as_deref()?;
        OTHERS.iter().any(|part| name.contains(part)).then_some(name)
    }
}
