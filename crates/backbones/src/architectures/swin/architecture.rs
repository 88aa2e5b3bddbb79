//! What is special about Swin.

use std::sync::Arc;

use polyptych_registry::Part;
use polyptych_tensor::{Tensor, Tensors};
use serde_json::{Map, Value, json};

use super::config::{NORM_EPS, SwinConfig};
use super::parameters;
use crate::architectures::architecture::{Architecture, TimmModel, has_rest, timm_answers};
use crate::error::Result;
use crate::weights::resample;

impl Part for SwinConfig {
    const NAME: &'static str = "swin";
    const SUMMARY: &'static str = "attention within shifted windows, on several resolutions";

    fn example() -> Self {
        Self::micro()
    }
}

impl Architecture for SwinConfig {
    timm_answers!();

    fn classifier(&self) -> &'static str {
        "head.fc"
    }

    fn final_norm(&self) -> Option<(&'static str, i64)> {
        Some(("norm", self.num_features()))
    }

    fn resample_positions(&self, name: &str, tensor: &Tensor, _wanted: &[i64]) -> Option<Tensor> {
        if !name.ends_with("relative_position_bias_table") {
            return None;
        }
        resample::relative_position_bias_table(tensor, self.window(stage_of(name)?)?)
    }

    fn config_of(
        &self,
        tensors: &Tensors,
        _fields: &Map<String, Value>,
    ) -> Option<Arc<dyn Architecture>> {
        Some(Arc::new(Self::of_tensors(tensors)?))
    }

    fn computed(&self) -> &'static [&'static str] {
        &["*.relative_position_index", "*.relative_coords_table", "*.attn_mask"]
    }

    fn check_tensors(&self, origin: &str, tensors: &Tensors) -> Result<()> {
        self.check_tables(origin, tensors)
    }

    fn note_rounded_down(&self, tensors: &Tensors) -> Option<String> {
        self.note_old_tables(tensors)
    }

    fn note_rolled_first(&self) -> Option<String> {
        self.note_padded_shifts()
    }

    fn refuse_rounded_down(&self, origin: &str) -> Result<()> {
        self.refuse_floored_stages(origin)
    }

    fn norm_eps(&self) -> Option<f64> {
        Some(NORM_EPS)
    }

    fn hugging_face_fields(&self) -> Vec<(&'static str, Value)> {
        vec![("num_heads", json!(self.num_heads)), ("use_absolute_embeddings", json!(false))]
    }

    fn timm_model(&self) -> Result<TimmModel, String> {
        if has_rest(self.img_size, self.patch_size) {
            return Err(format!(
                "expected sides of images that patches of {} divide, found {:?}: timm drops the \
                 rest, which is padded here; torchscript and onnx do as we do",
                self.patch_size, self.img_size
            ));
        }
        Ok(TimmModel {
            architecture: "swin_tiny_patch4_window7_224",
            num_features: self.num_features(),
            global_pool: "avg",
            model_args: json!({
                "img_size": self.img_size, "patch_size": self.patch_size,
                "in_chans": self.in_chans, "embed_dim": self.embed_dim, "depths": self.depths,
                "num_heads": self.num_heads, "window_size": self.window_size,
                "mlp_ratio": self.mlp_ratio, "qkv_bias": self.qkv_bias,
            }),
        })
    }
}

/// The number behind `layers.` in a parameter's name.
fn stage_of(name: &str) -> Option<usize> {
    let mut parts = name.split('.').skip_while(|part| *part != "layers");
    parts.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_read_from_names() {
        assert_eq!(stage_of("backbone.layers.2.blocks.5.attn.x"), Some(2));
        assert_eq!(stage_of("blocks.5.attn.x"), None);
    }
}
