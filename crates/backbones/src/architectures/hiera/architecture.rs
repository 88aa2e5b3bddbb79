//! What is special about Hiera.

use std::sync::Arc;

use polyptych_registry::Part;
use polyptych_tensor::{Tensor, Tensors};
use serde_json::{Map, Value, json};

use super::config::{HieraConfig, NORM_EPS};
use super::parameters;
use crate::architectures::architecture::{Architecture, TimmModel, has_rest, timm_answers};
use crate::weights::resample;

impl Part for HieraConfig {
    const NAME: &'static str = "hiera";
    const SUMMARY: &'static str =
        "attention within units and then among all, pooled from stage to stage";

    fn example() -> Self {
        Self::micro()
    }
}

impl Architecture for HieraConfig {
    timm_answers!();

    fn classifier(&self) -> &'static str {
        "head.fc"
    }

    fn final_norm(&self) -> Option<(&'static str, i64)> {
        Some(("head.norm", self.num_features()))
    }

    fn resample_positions(&self, name: &str, tensor: &Tensor, _wanted: &[i64]) -> Option<Tensor> {
        let fits = name.ends_with("pos_embed") && !self.abs_win_pos_embed;
        fits.then(|| resample::pos_embed(tensor, self.grid(), 0)).flatten()
    }

    fn config_of(
        &self,
        tensors: &Tensors,
        fields: &Map<String, Value>,
    ) -> Option<Arc<dyn Architecture>> {
        // Some fields are lists of a number for each stage or axis.
        let first = |name: &str| {
            let value = fields.get(name)?;
            value.get(0).unwrap_or(value).as_i64()
        };
        let config = Self::of_tensors(tensors, first("num_heads"), first("masked_unit_size"))?;
        let attn = fields.get("masked_unit_attention").and_then(Value::as_array);
        let attn = attn.map(|all| all.iter().filter_map(Value::as_bool).collect::<Vec<_>>());
        let attn = attn.filter(|all| all.len() == config.stages.len());
        let mask_unit_attn = attn.unwrap_or_else(|| config.mask_unit_attn.clone());
        Some(Arc::new(Self { mask_unit_attn, ..config }))
    }

    fn norm_eps(&self) -> Option<f64> {
        Some(NORM_EPS)
    }

    fn hugging_face_fields(&self) -> Vec<(&'static str, Value)> {
        let mask_unit_size = [self.mask_unit_size; 2];
        let heads: Vec<i64> = (0..self.stages.len()).map(|stage| self.num_heads << stage).collect();
        vec![
            ("num_heads", json!(heads)),
            ("masked_unit_size", json!(mask_unit_size)),
            ("masked_unit_attention", json!(self.mask_unit_attn)),
        ]
    }

    fn timm_model(&self) -> Result<TimmModel, String> {
        let unit = self.unit_pixels();
        if has_rest(self.img_size, unit) {
            return Err(format!(
                "expected sides of images that units of {unit} divide, found {:?}, which are padded \
                 here and not in timm; torchscript and onnx do as we do",
                self.img_size
            ));
        }
        let (q_pool, mask_unit_size) = (self.stages.len() - 1, [self.mask_unit_size; 2]);
        Ok(TimmModel {
            architecture: "hiera_tiny_224",
            num_features: self.num_features(),
            global_pool: "avg",
            model_args: json!({
                "img_size": self.img_size, "in_chans": self.in_chans, "embed_dim": self.embed_dim,
                "num_heads": self.num_heads, "stages": self.stages,
                "q_pool": q_pool, "mask_unit_size": mask_unit_size,
                "mask_unit_attn": self.mask_unit_attn, "use_expand_proj": self.use_expand_proj,
                "mlp_ratio": self.mlp_ratio, "init_values": self.init_values,
                "abs_win_pos_embed": self.abs_win_pos_embed,
                "global_pos_size": self.global_pos_size,
            }),
        })
    }
}
