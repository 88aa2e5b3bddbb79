//! What is special about Swin V2.

use std::sync::Arc;

use polyptych_registry::Part;
use polyptych_tensor::Tensors;
use serde_json::{Map, Value, json};

use super::super::config::NORM_EPS;
use super::config::SwinV2Config;
use super::parameters;
use crate::architectures::architecture::{
    Ambiguity, Architecture, TimmModel, has_rest, timm_answers,
};
use crate::error::Result;

/// No tensor depends on the windows.
const WINDOWS: Ambiguity = Ambiguity {
    key: "window_size",
    expected: "one that the tensors tell",
    found: "none: Swin V2 computes its biases for any window; choose the backbone.name",
    settled_by: Some("window_size"),
};

impl Part for SwinV2Config {
    const NAME: &'static str = "swinv2";
    const SUMMARY: &'static str = "Swin with cosine attention and biases that fit any window";

    fn example() -> Self {
        Self::micro()
    }
}

impl Architecture for SwinV2Config {
    timm_answers!();

    fn classifier(&self) -> &'static str {
        "head.fc"
    }

    fn final_norm(&self) -> Option<(&'static str, i64)> {
        Some(("norm", self.plain().num_features()))
    }

    fn config_of(
        &self,
        tensors: &Tensors,
        fields: &Map<String, Value>,
    ) -> Option<Arc<dyn Architecture>> {
        Some(Arc::new(Self::of_tensors(tensors, fields)?))
    }

    fn ambiguity(&self) -> Option<Ambiguity> {
        Some(WINDOWS)
    }

    fn note_rolled_first(&self) -> Option<String> {
        self.plain().note_padded_shifts()
    }

    fn norm_eps(&self) -> Option<f64> {
        Some(NORM_EPS)
    }

    fn hugging_face_fields(&self) -> Vec<(&'static str, Value)> {
        vec![("num_heads", json!(self.num_heads)), ("use_absolute_embeddings", json!(false))]
    }

    /// Another Swin V2, with dot products and norms of its own.
    fn unsupported_names(&self) -> &'static [&'static str] {
        &["swinv2_cr"]
    }

    fn timm_model(&self) -> Result<TimmModel, String> {
        if has_rest(self.img_size, self.patch_size) {
            return Err(format!(
                "expected sides of images that patches of {} divide, found {:?}: timm drops the \
                 rest, which is padded here; torchscript and onnx do as we do",
                self.patch_size, self.img_size
            ));
        }
        let mut model_args = json!({
            "img_size": self.img_size, "patch_size": self.patch_size, "in_chans": self.in_chans,
            "embed_dim": self.embed_dim, "depths": self.depths, "num_heads": self.num_heads,
            "window_size": self.window_size, "mlp_ratio": self.mlp_ratio,
            "qkv_bias": self.qkv_bias,
        });
        if !self.pretrained_window_sizes.is_empty() {
            model_args["pretrained_window_sizes"] = json!(self.pretrained_window_sizes);
        }
        Ok(TimmModel {
            architecture: "swinv2_tiny_window8_256",
            num_features: self.plain().num_features(),
            global_pool: "avg",
            model_args,
        })
    }
}
