//! What is special about ConvNeXt.

use std::sync::Arc;

use polyptych_registry::Part;
use polyptych_tensor::Tensors;
use serde_json::{Map, Value, json};

use super::config::{ConvNextConfig, NORM_EPS};
use super::parameters;
use crate::architectures::architecture::{Architecture, TimmModel, has_rest, timm_answers};
use crate::error::Result;

impl Part for ConvNextConfig {
    const NAME: &'static str = "convnext";
    const SUMMARY: &'static str = "depthwise convolutions and perceptrons, on several resolutions";

    fn example() -> Self {
        Self::micro()
    }
}

impl Architecture for ConvNextConfig {
    timm_answers!();

    fn classifier(&self) -> &'static str {
        "head.fc"
    }

    fn first_conv(&self) -> &'static str {
        "stem.0"
    }

    fn final_norm(&self) -> Option<(&'static str, i64)> {
        Some(("head.norm", self.num_features()))
    }

    fn config_of(
        &self,
        tensors: &Tensors,
        _fields: &Map<String, Value>,
    ) -> Option<Arc<dyn Architecture>> {
        Some(Arc::new(Self::of_tensors(tensors)?))
    }

    fn norm_eps(&self) -> Option<f64> {
        Some(NORM_EPS)
    }

    fn timm_model(&self) -> Result<TimmModel, String> {
        let reduction = self.reduction();
        if has_rest(self.img_size, reduction) {
            return Err(format!(
                "expected sides of images that {reduction} divides, found {:?}: timm drops the \
                 rest, which is padded here; torchscript and onnx do as we do",
                self.img_size
            ));
        }
        Ok(TimmModel {
            architecture: "convnext_tiny",
            num_features: self.num_features(),
            global_pool: "avg",
            model_args: json!({
                "in_chans": self.in_chans, "depths": self.depths, "dims": self.dims,
                "patch_size": self.patch_size, "ls_init_value": self.ls_init_value,
            }),
        })
    }
}
