//! What is special about BEiT.

use std::sync::Arc;

use polyptych_registry::Part;
use polyptych_tensor::{Tensor, Tensors};
use serde_json::{Map, Value, json};

use super::config::{BeitConfig, NORM_EPS};
use super::parameters;
use super::relative_bias::EXTRA;
use crate::architectures::architecture::{Architecture, TimmModel, has_rest, timm_answers};
use crate::weights::resample;

impl Part for BeitConfig {
    const NAME: &'static str = "beit";
    const SUMMARY: &'static str = "a ViT with biases of relative positions";

    fn example() -> Self {
        Self::micro()
    }
}

impl Architecture for BeitConfig {
    timm_answers!();

    fn final_norm(&self) -> Option<(&'static str, i64)> {
        Some((if self.norm_behind_pool() { "fc_norm" } else { "norm" }, self.embed_dim))
    }

    fn resample_positions(&self, name: &str, tensor: &Tensor, wanted: &[i64]) -> Option<Tensor> {
        if name.ends_with("relative_position_bias_table") {
            let rows = *tensor.size().first().filter(|rows| **rows > EXTRA)? - EXTRA;
            let near = tensor.narrow(0, 0, rows);
            let near = resample::relative_position_bias_table(&near, self.grid())?;
            return Some(Tensor::cat(&[near, tensor.narrow(0, rows, EXTRA)], 0));
        }
        if !name.ends_with("pos_embed") {
            return None;
        }
        let prefix = wanted.get(1)? - self.grid().iter().product::<i64>();
        resample::pos_embed(tensor, self.grid(), prefix)
    }

    fn config_of(
        &self,
        tensors: &Tensors,
        _fields: &Map<String, Value>,
    ) -> Option<Arc<dyn Architecture>> {
        Some(Arc::new(Self::of_tensors(tensors)?))
    }

    fn computed(&self) -> &'static [&'static str] {
        &["*relative_position_index"]
    }

    fn norm_eps(&self) -> Option<f64> {
        Some(NORM_EPS)
    }

    fn hugging_face_fields(&self) -> Vec<(&'static str, Value)> {
        vec![("num_attention_heads", json!(self.num_heads))]
    }

    fn timm_model(&self) -> Result<TimmModel, String> {
        if has_rest(self.img_size, self.patch_size) {
            return Err(format!(
                "expected sides of images that patches of {} divide, found {:?}: timm drops the \
                 rest, which is padded here; torchscript and onnx do as we do",
                self.patch_size, self.img_size
            ));
        }
        let global_pool = self.global_pool.word();
        let model_args = json!({
            "img_size": self.img_size, "patch_size": self.patch_size, "in_chans": self.in_chans,
            "embed_dim": self.embed_dim, "depth": self.depth, "num_heads": self.num_heads,
            "qkv_bias": self.qkv_bias, "mlp_ratio": self.mlp_ratio,
            "init_values": self.init_values, "use_abs_pos_emb": self.use_abs_pos_emb,
            "use_rel_pos_bias": self.use_rel_pos_bias,
            "use_shared_rel_pos_bias": self.use_shared_rel_pos_bias,
            "use_fc_norm": self.use_fc_norm, "global_pool": global_pool,
        });
        let architecture = "beit_base_patch16_224";
        Ok(TimmModel { architecture, num_features: self.embed_dim, global_pool, model_args })
    }
}
