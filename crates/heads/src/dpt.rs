//! DPT (Ranftl et al., "Vision Transformers for Dense Prediction", arXiv 2103.13413): the levels of
//! a plain ViT become a pyramid, which is summed from coarse to fine, under the names of Hugging
//! Face's `DPTForSemanticSegmentation`.
//!
//! The unit of the coarsest layer that the public code carries and does not use is left out.

mod fusion;
mod reassemble;

use polyptych_registry::Part;
use polyptych_tensor::{BatchNorm2d, Conv2d, Scope, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::builder::{FeatureDims, HeadBuilder};
use crate::conv_module::channels_last;
use crate::error::{Error, Result};
use crate::head::{Head, HeadInput, channels_first, check_levels};
use fusion::FusionLayer;
use reassemble::Reassemble;

pub use reassemble::Factor;

/// Widths of DPT.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct DptConfig {
    /// What each level is mapped to, finest first; one number per level.
    pub neck_hidden_sizes: Vec<i64>,
    /// How many times larger each level becomes: 4, 2, 1 or 0.5. The published ones are for levels
    /// of one size; those of a pyramid want 1 each.
    pub reassemble_factors: Vec<Factor>,
    /// Width of the sums.
    pub fusion_hidden_size: i64,
    /// Probability that a whole channel is dropped before the last layer, in `[0, 1)`.
    pub dropout: f64,
}

impl Default for DptConfig {
    fn default() -> Self {
        Self {
            neck_hidden_sizes: vec![96, 192, 384, 768],
            reassemble_factors: vec![Factor::Four, Factor::Two, Factor::One, Factor::Half],
            fusion_hidden_size: 256,
            dropout: 0.1,
        }
    }
}

/// `neck.reassemble_stage`, `neck.convs.{i}`, `neck.fusion_stage`; `head.head.0`: 3 x 3 convolution
/// without bias; `head.head.1`: batch normalisation; ReLU; dropout; `head.head.4`: 1 x 1
/// convolution.
#[derive(Debug)]
struct DptHead {
    feature_chs: Vec<i64>,
    reassemble: Vec<Reassemble>,
    convs: Vec<Conv2d>,
    /// Coarsest first.
    fusion: Vec<FusionLayer>,
    hidden: Conv2d,
    norm: BatchNorm2d,
    dropout: f64,
    output: Conv2d,
}

impl Part for DptConfig {
    const NAME: &'static str = "dpt";
    const SUMMARY: &'static str = "dense, finer than the levels of a plain ViT";

    fn example() -> Self {
        Self { neck_hidden_sizes: vec![16, 24, 32, 48], fusion_hidden_size: 32, ..Self::default() }
    }
}

impl HeadBuilder for DptConfig {
    fn validate(&self) -> Result<()> {
        if self.neck_hidden_sizes.is_empty() || self.neck_hidden_sizes.iter().any(|&c| c < 1) {
            let found = format!("{:?}", self.neck_hidden_sizes);
            return Err(Error::config("neck_hidden_sizes", "one number of 1 or more each", found));
        }
        if self.fusion_hidden_size < 1 {
            let found = self.fusion_hidden_size;
            return Err(Error::config("fusion_hidden_size", "1 or more", found));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::config("dropout", "at least 0 and below 1", self.dropout));
        }
        Ok(())
    }

    fn scale(&self) -> i64 {
        self.reassemble_factors.first().map_or(1, |factor| factor.enlarged(2))
    }

    fn build(
        &self,
        scope: &Scope,
        FeatureDims { levels, .. }: FeatureDims,
        outputs: i64,
    ) -> Result<Box<dyn Head>> {
        let (dim, sizes) = (self.fusion_hidden_size, &self.neck_hidden_sizes);
        let each = format!("one number for each of {} levels", levels.len());
        if sizes.len() != levels.len() {
            return Err(Error::config("neck_hidden_sizes", &each, format!("{sizes:?}")));
        }
        if self.reassemble_factors.len() != levels.len() {
            let found = format!("{:?}", self.reassemble_factors);
            return Err(Error::config("reassemble_factors", &each, found));
        }
        let neck = scope.pp("neck");
        let stage = neck.pp("reassemble_stage").pp("layers");
        let parts = levels.iter().zip(sizes).zip(&self.reassemble_factors).enumerate();
        let reassemble = parts
            .map(|(i, ((&from, &to), &factor))| Reassemble::new(&stage.pp(i), [from, to], factor));
        let conv = |(i, &from): (usize, &i64)| {
            let conv = Conv2d::new(&neck.pp("convs").pp(i), [from, dim], [3, 1], false);
            conv.map(|conv| conv.with_padding(1))
        };
        let fusion =
            |i: usize| FusionLayer::new(&neck.pp("fusion_stage").pp("layers").pp(i), dim, i > 0);
        let head = scope.pp("head").pp("head");
        Ok(Box::new(DptHead {
            feature_chs: levels.to_vec(),
            reassemble: reassemble.collect::<Result<_, _>>()?,
            convs: sizes.iter().enumerate().map(conv).collect::<Result<_, _>>()?,
            fusion: (0..levels.len()).map(fusion).collect::<Result<_, _>>()?,
            hidden: Conv2d::new(&head.pp(0), [dim, dim], [3, 1], false)?.with_padding(1),
            norm: BatchNorm2d::new(&head.pp(1), dim)?,
            dropout: self.dropout,
            output: Conv2d::new(&head.pp(4), [dim, outputs], [1, 1], true)?,
        }))
    }
}

impl Head for DptHead {
    fn forward(&self, features: &HeadInput, train: bool) -> Result<Tensor> {
        check_levels(&features.levels, &self.feature_chs, train)?;
        let parts = features.levels.iter().zip(&self.reassemble).zip(&self.convs);
        let pyramid: Vec<Tensor> = parts
            .map(|((level, layer), conv)| {
                conv.forward(&layer.forward(&level.permute([0, 3, 1, 2])))
            })
            .collect();
        let mut coarse: Option<Tensor> = None;
        for (index, layer) in self.fusion.iter().enumerate() {
            let at = pyramid.len() - 1 - index;
            let next = at.checked_sub(1).map(|finer| {
                let size = pyramid[finer].size();
                [size[2], size[3]]
            });
            coarse = Some(layer.forward(coarse.as_ref(), &pyramid[at], next));
        }
        let fused = coarse.unwrap_or_else(|| pyramid[0].shallow_clone());
        let hidden = channels_last(&self.hidden.forward(&fused));
        let hidden = self.norm.forward_relu(&hidden, train)?.permute([0, 3, 1, 2]);
        let dropped = hidden.feature_dropout(self.dropout, train);
        Ok(channels_first(&self.output.pointwise(&dropped.permute([0, 2, 3, 1]))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{dims, parameters, tensors};
    use polyptych_tensor::{Device, Store};

    /// Hugging Face's `DPTForSemanticSegmentation(DPTConfig(num_labels=150))` without its backbone,
    /// the tokens' `readout_projects`, the auxiliary head and the unused unit.
    #[test]
    fn counts_and_names_are_those_of_the_public_code() {
        let store = Store::new(Device::Cpu);
        let _ = DptConfig::default().build(&store.root(), dims(&[768; 4]), 150).unwrap();
        let sizes = [96, 192, 384, 768];
        let projections: usize = sizes.iter().map(|to| 769 * to).sum();
        let resizes = 96 * 96 * 16 + 96 + 192 * 192 * 4 + 192 + 768 * 768 * 9 + 768;
        let convs: usize = sizes.iter().map(|from| from * 256 * 9).sum();
        let (unit, projection) = (2 * (256 * 256 * 9 + 256), 256 * 256 + 256);
        let fusion = 7 * unit + 4 * projection;
        let head = 256 * 256 * 9 + 512 + 257 * 150;
        assert_eq!(parameters(&store, ""), projections + resizes + convs + fusion + head);
        let names = tensors(&store);
        for name in [
            "neck.reassemble_stage.layers.0.projection.weight",
            "neck.reassemble_stage.layers.3.resize.bias",
            "neck.convs.2.weight",
            "neck.fusion_stage.layers.1.residual_layer1.convolution2.weight",
            "neck.fusion_stage.layers.0.projection.bias",
            "head.head.1.running_mean",
            "head.head.4.weight",
        ] {
            assert!(names.contains_key(name), "{name}");
        }
        assert!(!names.keys().any(|name| name.contains("layers.0.residual_layer1")));
        assert!(!names.keys().any(|name| name.contains("layers.2.resize")));
    }

    #[test]
    fn factors_are_numbers_and_others_are_refused() {
        let config: DptConfig =
            serde_json::from_str(r#"{"reassemble_factors": [4, 2, 1, 0.5]}"#).unwrap();
        assert_eq!(config, DptConfig::default());
        let message =
            serde_json::from_str::<DptConfig>(r#"{"reassemble_factors": [3]}"#).unwrap_err();
        assert!(message.to_string().starts_with("expected 4, 2, 1 or 0.5, found 3"), "{message}");
        let store = Store::new(Device::Cpu);
        let message = config.build(&store.root(), dims(&[4, 6]), 1).unwrap_err().to_string();
        let expected = "neck_hidden_sizes: expected one number for each of 2 levels, found [96, \
                        192, 384, 768]";
        assert_eq!(message, expected);
    }
}
