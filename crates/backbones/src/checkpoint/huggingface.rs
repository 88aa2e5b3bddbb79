//! `config.json` beside weights: what the shapes of tensors do not tell.

use serde::Deserialize;

use crate::{BackboneConfig, Error, Result};

/// The fields of Hugging Face's `config.json` that change what the same tensors compute; of timm's
/// own `config.json` none is there, and nothing is checked.
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
        let found = match backbone {
            BackboneConfig::Swin(_) => self.num_heads.clone(),
            BackboneConfig::Vit(_) => self.num_attention_heads.map(|heads| heads.into()),
        };
        match (&self.hidden_act, found) {
            (Some(act), _) if act != "gelu" => wrong("hidden_act", "gelu".into(), act.clone()),
            (_, Some(found)) if found != heads.1 => {
                wrong(heads.0, heads.1.to_string(), found.to_string())
            }
            _ if self.use_absolute_embeddings => {
                wrong("use_absolute_embeddings", "false".into(), "true".into())
            }
            _ if self.use_swiglu_ffn => wrong("use_swiglu_ffn", "false".into(), "true".into()),
            _ => Ok(()),
        }
    }
}
