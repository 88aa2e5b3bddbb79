//! Fusion head in the manner of HRNet: every level goes to the finest size, side by side.
//!
//! Sizes, names and start are MTLoRA's (arXiv 2403.20320, public code): its per-task downsampler
//! is the first half of this head, its decoder the second.

use polyptych_registry::Part;
use polyptych_tensor::{BatchNorm2d, Conv2d, Scope, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::builder::{FeatureDims, HeadBuilder};
use crate::error::{Error, Result};
use crate::fuse::HiddenLayer;
use crate::head::{Head, HeadInput, channels_first, check_levels};

/// Widths of the fusion head. A small backbone wants smaller ones than the published defaults.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HrnetConfig {
    /// What each level is reduced to, finest first; one number per level.
    pub channels: Vec<i64>,
    /// Width of the hidden layer; without it, four times the sum of `channels`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hidden: Option<i64>,
}

impl Default for HrnetConfig {
    fn default() -> Self {
        Self { channels: vec![18, 36, 72, 144], hidden: None }
    }
}

/// `downsample_{i}`: 1 x 1 convolution without bias; bilinear to the finest size; concatenation;
/// `last_layer.0`: 1 x 1 convolution; `last_layer.1`: batch normalisation; ReLU;
/// `last_layer.3`: 1 x 1 convolution.
#[derive(Debug)]
struct HrnetHead {
    feature_chs: Vec<i64>,
    downsample: Vec<Conv2d>,
    last: HiddenLayer,
}

impl Part for HrnetConfig {
    const NAME: &'static str = "hrnet";
    const SUMMARY: &'static str = "dense, with a wide hidden layer; MTLoRA's default";

    fn example() -> Self {
        Self::default()
    }
}

impl HeadBuilder for HrnetConfig {
    fn validate(&self) -> Result<()> {
        if self.channels.is_empty() || self.channels.iter().any(|&c| c < 1) {
            let found = format!("{:?}", self.channels);
            return Err(Error::config("channels", "one number of 1 or more per level", found));
        }
        match self.hidden {
            Some(hidden) if hidden < 1 => Err(Error::config("hidden", "1 or more", hidden)),
            _ => Ok(()),
        }
    }

    fn build(
        &self,
        scope: &Scope,
        FeatureDims { levels: feature_chs, .. }: FeatureDims,
        outputs: i64,
    ) -> Result<Box<dyn Head>> {
        if self.channels.len() != feature_chs.len() {
            let expected = format!("one number for each of {} levels", feature_chs.len());
            return Err(Error::config("channels", &expected, format!("{:?}", self.channels)));
        }
        let pairs = feature_chs.iter().zip(&self.channels).enumerate();
        let downsample = pairs.map(|(i, (&from, &to))| {
            Conv2d::new(&scope.pp(format!("downsample_{i}")), [from, to], [1, 1], false)
        });
        let downsample = downsample.collect::<Result<_, _>>()?;
        let fused: i64 = self.channels.iter().sum();
        let hidden = self.hidden.unwrap_or(4 * fused);
        let last = scope.pp("last_layer");
        let last = HiddenLayer {
            conv: Conv2d::new(&last.pp(0), [fused, hidden], [1, 1], true)?,
            norm: BatchNorm2d::new(&last.pp(1), hidden)?,
            output: Conv2d::new(&last.pp(3), [hidden, outputs], [1, 1], true)?,
        };
        Ok(Box::new(HrnetHead { feature_chs: feature_chs.to_vec(), downsample, last }))
    }
}

impl Head for HrnetHead {
    fn forward(&self, features: &HeadInput, train: bool) -> Result<Tensor> {
        let finest = check_levels(&features.levels, &self.feature_chs, train)?;
        let reduced = features.levels.iter().zip(&self.downsample);
        let reduced: Vec<Tensor> = reduced.map(|(x, conv)| conv.pointwise(x)).collect();
        Ok(channels_first(&self.last.forward(&reduced, finest, train)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{dims, levels, parameters, tensors};
    use polyptych_tensor::{Device, Kind, Store};

    const CHS: [i64; 4] = [192, 384, 768, 768];

    fn small(channels: &[i64], hidden: Option<i64>) -> HrnetConfig {
        HrnetConfig { channels: channels.to_vec(), hidden }
    }

    /// Section 6 of the published model's counts: Swin-Tiny, one task with n outputs.
    #[test]
    fn counts_and_names_are_the_published_ones() {
        let store = Store::new(Device::Cpu);
        let _ = HrnetConfig::default().build(&store.root(), dims(&CHS), 21).unwrap();
        assert_eq!(parameters(&store, "downsample_"), 183_168);
        assert_eq!(parameters(&store, "last_layer.0."), 292_680);
        assert_eq!(parameters(&store, "last_layer.1."), 2_160);
        assert_eq!(parameters(&store, "last_layer.3."), 1_081 * 21);
        let shapes = tensors(&store).into_iter().map(|(name, t)| (name, t.size()));
        let expected: [(&str, &[i64]); 12] = [
            ("downsample_0.weight", &[18, 192, 1, 1]),
            ("downsample_1.weight", &[36, 384, 1, 1]),
            ("downsample_2.weight", &[72, 768, 1, 1]),
            ("downsample_3.weight", &[144, 768, 1, 1]),
            ("last_layer.0.bias", &[1080]),
            ("last_layer.0.weight", &[1080, 270, 1, 1]),
            ("last_layer.1.bias", &[1080]),
            ("last_layer.1.running_mean", &[1080]),
            ("last_layer.1.running_var", &[1080]),
            ("last_layer.1.weight", &[1080]),
            ("last_layer.3.bias", &[21]),
            ("last_layer.3.weight", &[21, 1080, 1, 1]),
        ];
        assert!(shapes.eq(expected.map(|(name, shape)| (name.to_string(), shape.to_vec()))));
    }

    /// One level by hand: matrices instead of convolutions.
    #[test]
    fn the_arithmetic_is_that_of_matrices() {
        let store = Store::new(Device::Cpu);
        let head = small(&[3], Some(5)).build(&store.root(), dims(&[4]), 2).unwrap();
        let t = tensors(&store);
        let matrix = |name: &str| t[name].squeeze_dim(-1).squeeze_dim(-1);
        let features = levels(&[4], 2, Kind::Float);
        let x = features.levels[0].reshape([-1, 4]);
        let reduced = x.matmul(&matrix("downsample_0.weight").tr());
        let hidden = reduced.matmul(&matrix("last_layer.0.weight").tr()) + &t["last_layer.0.bias"];
        let hidden = (hidden / (1.0f64 + 1e-5).sqrt()).relu();
        let y = hidden.matmul(&matrix("last_layer.3.weight").tr()) + &t["last_layer.3.bias"];
        let found = head.forward(&features, false).unwrap().permute([0, 2, 3, 1]).reshape([-1, 2]);
        assert!(found.allclose(&y, 1e-5, 1e-5, false));
    }

    #[test]
    fn coarse_levels_stand_behind_the_finest() {
        let store = Store::new(Device::Cpu);
        let head = small(&[2, 3], None).build(&store.root(), dims(&[4, 6]), 1).unwrap();
        let [fine, coarse] =
            <[Tensor; 2]>::try_from(levels(&[4, 6], 2, Kind::Float).levels).unwrap();
        let alone = head.forward(
            &HeadInput { levels: vec![fine.shallow_clone(), coarse * 0.0], ..HeadInput::default() },
            false,
        );
        let column = tensors(&store)["last_layer.0.weight"].narrow(1, 2, 3);
        tch::no_grad(|| drop(column.shallow_clone().zero_()));
        let other = levels(&[4, 6], 2, Kind::Float).levels.pop().unwrap();
        let cut =
            head.forward(&HeadInput { levels: vec![fine, other], ..HeadInput::default() }, false);
        assert!(alone.unwrap().allclose(&cut.unwrap(), 1e-5, 1e-6, false));
    }

    #[test]
    fn sizes_are_checked() {
        let store = Store::new(Device::Cpu);
        let refusal = |config: HrnetConfig| {
            let checked =
                config.validate().and_then(|()| config.build(&store.root(), dims(&CHS), 1));
            checked.unwrap_err().to_string()
        };
        let message = refusal(small(&[1, 2], None));
        assert_eq!(message, "channels: expected one number for each of 4 levels, found [1, 2]");
        let message = refusal(small(&[1, 2, 0, 4], None));
        assert_eq!(
            message,
            "channels: expected one number of 1 or more per level, found [1, 2, 0, 4]"
        );
        let message = refusal(small(&[1, 2, 3, 4], Some(0)));
        assert_eq!(message, "hidden: expected 1 or more, found 0");
    }
}
