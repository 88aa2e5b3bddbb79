//! What is special about PVT v2.

use std::sync::Arc;

use polyptych_registry::Part;
use polyptych_tensor::{Plan, Scope, Tensors};
use serde_json::{Map, Value, json};

use super::config::PvtV2Config;
use super::parameters;
use crate::architectures::architecture::{Architecture, ModelArgs, TimmModel, shared};
use crate::architectures::summary::Summary;
use crate::backbone::{Backbone, Options};
use crate::error::Result;

impl Part for PvtV2Config {
    const NAME: &'static str = "pvt_v2";
    const SUMMARY: &'static str = "attention to coarser keys and values, on several resolutions";

    fn example() -> Self {
        Self::micro()
    }
}

impl Architecture for PvtV2Config {
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
        Ok(Box::new(PvtV2Config::init(self, scope, plan, options)?))
    }

    fn summary_of(&self, tensors: &Tensors) -> Option<Summary> {
        Self::summary_of_tensors(tensors)
    }

    fn config_of(
        &self,
        tensors: &Tensors,
        fields: &Map<String, Value>,
    ) -> Option<Arc<dyn Architecture>> {
        let heads = fields.get("num_attention_heads").and_then(Value::as_array);
        let heads = heads.map(|heads| heads.iter().filter_map(Value::as_i64).collect());
        Some(Arc::new(Self::of_tensors(tensors, heads)?))
    }

    fn has_parameter(&self, name: &str) -> bool {
        parameters::has_parameter(name)
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
