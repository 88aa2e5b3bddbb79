//! What is special about ViT.

use std::sync::Arc;

use polyptych_registry::Part;
use polyptych_tensor::{Plan, Scope, Tensor, Tensors};
use serde_json::{Map, Value, json};

use super::config::{GlobalPool, NORM_EPS, VitConfig};
use super::parameters;
use crate::architectures::architecture::{
    Ambiguity, Architecture, ModelArgs, TimmModel, has_rest, shared,
};
use crate::architectures::summary::Summary;
use crate::backbone::{Backbone, Options};
use crate::error::Result;
use crate::weights::resample;

/// What a ViT without biases of query, key and value may be.
const WITHOUT_BIAS: Ambiguity = Ambiguity {
    key: "blocks.0.attn.qkv.bias",
    expected: "a bias",
    found: "none: nothing in the tensors tells a plain ViT from one with norms behind attention \
            and MLP, such as vit_base_patch16_rpn_224, which is not supported",
};

impl Part for VitConfig {
    const NAME: &'static str = "vit";
    const SUMMARY: &'static str = "attention among all patches, on one resolution";

    fn example() -> Self {
        Self::micro()
    }
}

impl Architecture for VitConfig {
    fn variants(&self) -> Vec<(&'static str, Arc<dyn Architecture>)> {
        shared(Self::variants())
    }

    fn summary(&self) -> Summary {
        self.summarized()
    }

    fn image(&self) -> (i64, [i64; 2]) {
        (self.in_chans, self.img_size)
    }

    fn num_classes(&self) -> i64 {
        self.num_classes
    }

    fn with(&self, args: ModelArgs) -> Arc<dyn Architecture> {
        Arc::new(Self {
            img_size: args.img_size.unwrap_or(self.img_size),
            num_classes: args.num_classes.unwrap_or(self.num_classes),
            in_chans: args.in_chans.unwrap_or(self.in_chans),
            drop_path_rate: args.drop_path_rate.unwrap_or(self.drop_path_rate),
            ..self.clone()
        })
    }

    fn init(&self, scope: &Scope, plan: &dyn Plan, options: Options) -> Result<Box<dyn Backbone>> {
        Ok(Box::new(VitConfig::init(self, scope, plan, options)?))
    }

    fn final_norm(&self) -> Option<(&'static str, i64)> {
        let name = match self.global_pool {
            GlobalPool::Token => "norm",
            GlobalPool::Avg => "fc_norm",
        };
        Some((name, self.embed_dim))
    }

    fn resample_positions(&self, name: &str, tensor: &Tensor, wanted: &[i64]) -> Option<Tensor> {
        if !name.ends_with("pos_embed") {
            return None;
        }
        let prefix = wanted.get(1)? - self.grid().iter().product::<i64>();
        resample::pos_embed(tensor, self.grid(), prefix)
    }

    fn summary_of(&self, tensors: &Tensors) -> Option<Summary> {
        Self::summary_of_tensors(tensors)
    }

    fn config_of(
        &self,
        tensors: &Tensors,
        fields: &Map<String, Value>,
    ) -> Option<Arc<dyn Architecture>> {
        let num_heads = fields.get("num_attention_heads").and_then(Value::as_i64);
        Some(Arc::new(Self::of_tensors(tensors, num_heads)?))
    }

    fn has_parameter(&self, name: &str) -> bool {
        parameters::has_parameter(name)
    }

    fn ambiguity(&self) -> Option<Ambiguity> {
        (!self.qkv_bias).then_some(WITHOUT_BIAS)
    }

    fn norm_eps(&self) -> Option<f64> {
        Some(NORM_EPS)
    }

    fn hugging_face_fields(&self) -> Vec<(&'static str, Value)> {
        vec![("num_attention_heads", json!(self.num_heads)), ("use_swiglu_ffn", json!(false))]
    }

    /// Norms behind attention and MLP, another GELU, another eps.
    fn unsupported_names(&self) -> &'static [&'static str] {
        &["_rpn_", "siglip", "quickgelu", "_clip"]
    }

    fn timm_model(&self) -> Result<TimmModel, String> {
        let global_pool = if self.global_pool == GlobalPool::Avg { "avg" } else { "token" };
        let mut model_args = json!({
            "img_size": self.img_size, "patch_size": self.patch_size, "in_chans": self.in_chans,
            "embed_dim": self.embed_dim, "depth": self.depth, "num_heads": self.num_heads,
            "mlp_ratio": self.mlp_ratio, "qkv_bias": self.qkv_bias,
            "init_values": self.init_values, "class_token": self.class_token,
            "reg_tokens": self.reg_tokens, "no_embed_class": self.no_embed_class,
            "global_pool": global_pool,
        });
        if has_rest(self.img_size, self.patch_size) {
            // timm pads to whole patches, and resamples positions to them, only when asked.
            model_args["dynamic_img_size"] = json!(true);
            model_args["dynamic_img_pad"] = json!(true);
        }
        Ok(TimmModel {
            architecture: "vit_base_patch16_224",
            num_features: self.embed_dim,
            global_pool,
            model_args,
        })
    }
}
