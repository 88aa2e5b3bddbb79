//! What is special about Eva.

use std::sync::Arc;

use polyptych_registry::Part;
use polyptych_tensor::{Tensor, Tensors};
use serde_json::{Map, Value, json};

use super::config::{DINO_NORM_EPS, EvaConfig, NORM_EPS};
use super::parameters;
use crate::architectures::architecture::{Architecture, TimmModel, has_rest, timm_answers};
use crate::error::Result;
use crate::weights::resample;

impl Part for EvaConfig {
    const NAME: &'static str = "eva";
    const SUMMARY: &'static str = "a ViT with rotary positions: DINOv3 and EVA-02";

    fn example() -> Self {
        Self::micro()
    }
}

impl Architecture for EvaConfig {
    timm_answers!();

    fn of_patch_size(&self, patch_size: i64) -> Option<Arc<dyn Architecture>> {
        Some(Arc::new(Self { patch_size, ..self.clone() }))
    }

    fn final_norm(&self) -> Option<(&'static str, i64)> {
        Some((if self.norm_behind_pool() { "fc_norm" } else { "norm" }, self.embed_dim))
    }

    fn resample_positions(&self, name: &str, tensor: &Tensor, wanted: &[i64]) -> Option<Tensor> {
        if !name.ends_with("pos_embed") {
            return None;
        }
        let prefix = wanted.get(1)? - self.grid().iter().product::<i64>();
        resample::pos_embed(tensor, self.grid(), prefix)
    }

    fn config_of(
        &self,
        tensors: &Tensors,
        fields: &Map<String, Value>,
    ) -> Option<Arc<dyn Architecture>> {
        let num_heads = fields.get("num_attention_heads").and_then(Value::as_i64);
        Some(Arc::new(Self::of_tensors(tensors, num_heads)?))
    }

    fn computed(&self) -> &'static [&'static str] {
        &["rope_embed.periods", "*.attn.qkv.bias_mask"]
    }

    fn norm_eps(&self) -> Option<f64> {
        Some(self.norm_eps)
    }

    fn hugging_face_fields(&self) -> Vec<(&'static str, Value)> {
        vec![("num_attention_heads", json!(self.num_heads))]
    }

    /// Positions that are learned per head, norms behind attention and MLP.
    fn unsupported_names(&self) -> &'static [&'static str] {
        &["_rope_mixed_", "enormous"]
    }

    fn timm_model(&self) -> Result<TimmModel, String> {
        let architecture = match self.norm_eps {
            NORM_EPS => "eva02_tiny_patch14_224",
            DINO_NORM_EPS => "vit_small_patch16_dinov3",
            eps => {
                return Err(format!(
                    "expected an eps of {NORM_EPS} or {DINO_NORM_EPS}, found {eps}"
                ));
            }
        };
        let global_pool = self.global_pool.word();
        let mut model_args = json!({
            "img_size": self.img_size, "patch_size": self.patch_size, "in_chans": self.in_chans,
            "embed_dim": self.embed_dim, "depth": self.depth, "num_heads": self.num_heads,
            "qkv_bias": self.qkv_bias, "qkv_fused": self.qkv_fused, "mlp_ratio": self.mlp_ratio,
            "swiglu_mlp": self.swiglu_mlp, "swiglu_align_to": self.swiglu_align_to,
            "scale_mlp": self.scale_mlp, "scale_attn_inner": self.scale_attn_inner,
            "init_values": self.init_values, "class_token": self.class_token,
            "num_reg_tokens": self.num_reg_tokens, "use_abs_pos_emb": self.use_abs_pos_emb,
            "use_rot_pos_emb": self.use_rot_pos_emb, "rope_type": self.rope_type,
            "rope_temperature": self.rope_temperature, "rope_rotate_half": self.rope_rotate_half,
            "ref_feat_shape": self.ref_feat_shape, "use_fc_norm": self.use_fc_norm,
            "global_pool": global_pool,
        });
        if has_rest(self.img_size, self.patch_size) {
            // timm pads to whole patches only when asked.
            model_args["dynamic_img_size"] = json!(true);
            model_args["dynamic_img_pad"] = json!(true);
        }
        Ok(TimmModel { architecture, num_features: self.embed_dim, global_pool, model_args })
    }
}
