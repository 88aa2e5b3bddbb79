//! What is special about ViT.

use std::sync::Arc;

use polyptych_registry::Part;
use polyptych_tensor::{Tensor, Tensors};
use serde_json::{Map, Value, json};

use super::config::{CLIP_NORM_EPS, NORM_EPS, VitConfig};
use super::parameters;
use crate::architectures::architecture::{
    Ambiguity, Architecture, TimmModel, has_rest, timm_answers,
};
use crate::blocks::act_layer::ActLayer;
use crate::error::Result;
use crate::weights::resample;

/// What a ViT without biases of query, key and value may be.
const WITHOUT_BIAS: Ambiguity = Ambiguity {
    key: "blocks.0.attn.qkv.bias",
    expected: "a bias",
    found: "none: nothing in the tensors tells a plain ViT from one with norms behind attention \
            and MLP, such as vit_base_patch16_rpn_224, which is not supported",
    settled_by: None,
};

/// What a ViT with a norm in front of its blocks may be.
const PRE_NORM: Ambiguity = Ambiguity {
    key: "norm_pre.weight",
    expected: "none",
    found: "one, as CLIP has it: nothing in the tensors tells GELU from QuickGELU; choose the \
            backbone.name, vit_base_patch16_clip_quickgelu_224 or vit_base_patch16_clip_224",
    settled_by: Some("hidden_act"),
};

impl Part for VitConfig {
    const NAME: &'static str = "vit";
    const SUMMARY: &'static str = "attention among all patches, on one resolution";

    fn example() -> Self {
        Self::micro()
    }
}

impl Architecture for VitConfig {
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
        let config = Self::of_tensors(tensors, num_heads)?;
        let named = fields.get("hidden_act").and_then(Value::as_str);
        let act_layer = named.and_then(ActLayer::of_hugging_face).unwrap_or(config.act_layer);
        Some(Arc::new(Self { act_layer, ..config }))
    }

    fn ambiguity(&self) -> Option<Ambiguity> {
        let pre_norm = self.pre_norm.then_some(PRE_NORM);
        pre_norm.or_else(|| (!self.qkv_bias).then_some(WITHOUT_BIAS))
    }

    fn norm_eps(&self) -> Option<f64> {
        Some(self.norm_eps)
    }

    fn hidden_act(&self) -> &'static str {
        self.act_layer.hugging_face()
    }

    fn averaged_classifiers(&self) -> &'static [&'static str] {
        if self.distilled { &["head_dist"] } else { &[] }
    }

    fn hugging_face_fields(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("num_attention_heads", json!(self.num_heads)),
            ("use_swiglu_ffn", json!(self.swiglu_mlp)),
        ]
    }

    /// Norms behind attention and MLP, another GELU, another eps.
    fn unsupported_names(&self) -> &'static [&'static str] {
        &["_rpn_", "siglip", "quickgelu", "_clip"]
    }

    fn timm_model(&self) -> Result<TimmModel, String> {
        let architecture = self.timm_class()?;
        let global_pool = self.global_pool.word();
        let mut model_args = json!({
            "img_size": self.img_size, "patch_size": self.patch_size, "in_chans": self.in_chans,
            "embed_dim": self.embed_dim, "depth": self.depth, "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio, "qkv_bias": self.qkv_bias,
            "init_values": self.init_values, "class_token": self.class_token,
            "reg_tokens": self.reg_tokens, "no_embed_class": self.no_embed_class,
            "global_pool": global_pool, "pre_norm": self.pre_norm, "fc_norm": self.fc_norm,
        });
        if !self.swiglu_mlp {
            model_args["act_layer"] = json!(self.act_layer.word());
        }
        if has_rest(self.img_size, self.patch_size) {
            // timm pads to whole patches, and resamples positions to them, only when asked.
            model_args["dynamic_img_size"] = json!(true);
            model_args["dynamic_img_pad"] = json!(true);
        }
        Ok(TimmModel { architecture, num_features: self.embed_dim, global_pool, model_args })
    }
}

impl VitConfig {
    /// A name of timm's whose class and eps are those of this configuration, as its other numbers
    /// are arguments.
    fn timm_class(&self) -> Result<&'static str, String> {
        match (self.swiglu_mlp, self.distilled, self.norm_eps) {
            (false, false, NORM_EPS) => Ok("vit_base_patch16_224"),
            (false, true, NORM_EPS) => Ok("deit_base_distilled_patch16_224"),
            (false, false, CLIP_NORM_EPS) => Ok("vit_base_patch16_clip_224"),
            (true, false, NORM_EPS) => Ok("vit_giant_patch14_dinov2"),
            (true, _, eps) => Err(format!(
                "expected an eps of {NORM_EPS} and no distillation token beside gated \
                 perceptrons, found {eps}, and distilled = {}",
                self.distilled
            )),
            (_, _, eps) => {
                Err(format!("expected an eps of {NORM_EPS} or {CLIP_NORM_EPS}, found {eps}"))
            }
        }
    }
}
