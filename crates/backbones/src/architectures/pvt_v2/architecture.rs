//! What is special about PVT v2.

use std::sync::Arc;

use polyptych_registry::Part;
use polyptych_tensor::Tensors;
use serde_json::{Map, Value, json};

use super::config::PvtV2Config;
use super::parameters;
use crate::architectures::architecture::{Architecture, TimmModel, timm_answers};
use crate::error::Result;

impl Part for PvtV2Config {
    const NAME: &'static str = "pvt_v2";
    const SUMMARY: &'static str = "attention to coarser keys and values, on several resolutions";

    fn example() -> Self {
        Self::micro()
    }
}

impl Architecture for PvtV2Config {
    timm_answers!();

    fn config_of(
        &self,
        tensors: &Tensors,
        fields: &Map<String, Value>,
    ) -> Option<Arc<dyn Architecture>> {
        let heads = fields.get("num_attention_heads").and_then(Value::as_array);
        let heads = heads.map(|heads| heads.iter().filter_map(Value::as_i64).collect());
        Some(Arc::new(Self::of_tensors(tensors, heads)?))
    }

    fn hugging_face_fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("num_attention_heads", json!(self.num_heads)),
            ("linear_attention", json!(self.linear)),
        ]
    }

    fn timm_model(&self) -> Result<TimmModel, String> {
        Ok(TimmModel {
            architecture: "pvt_v2_b0",
            num_features: self.num_features(),
            global_pool: "avg",
            model_args: json!({
                "in_chans": self.in_chans, "depths": self.depths, "embed_dims": self.embed_dims,
                "num_heads": self.num_heads, "sr_ratios": self.sr_ratios,
                "mlp_ratios": self.mlp_ratios, "qkv_bias": self.qkv_bias, "linear": self.linear,
            }),
        })
    }
}
