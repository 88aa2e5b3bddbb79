//! What is special about ConvNeXt.

use std::sync::Arc;

use polyptych_registry::Part;
use polyptych_tensor::{Plan, Scope, Tensors};
use serde_json::{Map, Value, json};

use super::config::{ConvNextConfig, NORM_EPS};
use super::parameters;
use crate::architectures::architecture::{Architecture, ModelArgs, TimmModel, has_rest, shared};
use crate::architectures::summary::Summary;
use crate::backbone::{Backbone, Options};
use crate::error::Result;

impl Part for ConvNextConfig {
    const NAME: &'static str = "convnext";
    const SUMMARY: &'static str = "depthwise convolutions and perceptrons, on several resolutions";

    fn example() -> Self {
        Self::micro()
    }
}

impl Architecture for ConvNextConfig {
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
        Ok(Box::new(ConvNextConfig::init(self, scope, plan, options)?))
    }

    fn classifier(&self) -> &'static str {
        "head.fc"
    }

    fn first_conv(&self) -> &'static str {
        "stem.0"
    }

    fn final_norm(&self) -> Option<(&'static str, i64)> {
        Some(("head.norm", self.num_features()))
    }

    fn summary_of(&self, tensors: &Tensors) -> Option<Summary> {
        Self::summary_of_tensors(tensors)
    }

    fn config_of(
        &self,
        tensors: &Tensors,
        _fields: &Map<String, Value>,
    ) -> Option<Arc<dyn Architecture>> {
        Some(Arc::new(Self::of_tensors(tensors)?))
    }

    fn has_parameter(&self, name: &str) -> bool {
        parameters::has_parameter(name)
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
