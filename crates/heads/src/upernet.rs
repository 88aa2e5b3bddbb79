//! UPerNet (Xiao et al., "Unified Perceptual Parsing for Scene Understanding", arXiv 1807.10221):
//! pyramid pooling of the coarsest level, then a feature pyramid, under the names of
//! mmsegmentation's `UPerHead`.

use polyptych_kernels::upsample;
use polyptych_registry::Part;
use polyptych_tensor::{Conv2d, Scope, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::builder::{FeatureDims, HeadBuilder};
use crate::conv_module::{ConvModule, channels_last};
use crate::error::{Error, Result};
use crate::head::{Head, HeadInput, channels_first, check_levels};

/// Widths of UPerNet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct UperNetConfig {
    /// Width of every layer.
    pub channels: i64,
    /// Cells along each side that the coarsest level is averaged in.
    pub pool_scales: Vec<i64>,
    /// Probability that a whole channel is dropped before the last layer, in `[0, 1)`.
    pub dropout: f64,
}

impl Default for UperNetConfig {
    fn default() -> Self {
        Self { channels: 512, pool_scales: vec![1, 2, 3, 6], dropout: 0.1 }
    }
}

/// `psp_modules.{i}.1`: of each mean of the coarsest level; `bottleneck`: of these and the level;
/// `lateral_convs.{i}`: of the finer levels; `fpn_convs.{i}`: of the sums from coarse to fine;
/// `fpn_bottleneck`: of all at the finest size; `conv_seg`: 1 x 1 convolution.
#[derive(Debug)]
struct UperNet {
    feature_chs: Vec<i64>,
    pool_scales: Vec<i64>,
    pooled: Vec<ConvModule>,
    bottleneck: ConvModule,
    lateral: Vec<ConvModule>,
    pyramid: Vec<ConvModule>,
    fuse: ConvModule,
    dropout: f64,
    output: Conv2d,
}

impl Part for UperNetConfig {
    const NAME: &'static str = "upernet";
    const SUMMARY: &'static str = "dense, pooling over the whole map and a feature pyramid";

    fn example() -> Self {
        Self { channels: 64, ..Self::default() }
    }
}

impl HeadBuilder for UperNetConfig {
    fn validate(&self) -> Result<()> {
        if self.channels < 1 {
            return Err(Error::config("channels", "1 or more", self.channels));
        }
        if self.pool_scales.is_empty() || self.pool_scales.iter().any(|&scale| scale < 1) {
            let found = format!("{:?}", self.pool_scales);
            return Err(Error::config("pool_scales", "numbers of 1 or more", found));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::config("dropout", "at least 0 and below 1", self.dropout));
        }
        Ok(())
    }

    fn build(
        &self,
        scope: &Scope,
        FeatureDims { levels, .. }: FeatureDims,
        outputs: i64,
    ) -> Result<Box<dyn Head>> {
        let dim = self.channels;
        let (coarsest, finer) = levels.split_last().ok_or_else(|| {
            Error::config("feature_chs", "one dim of 1 or more per level", "none")
        })?;
        let psp =
            |i: usize| ConvModule::new(&scope.pp("psp_modules").pp(i).pp(1), [*coarsest, dim], 1);
        let lateral = |(i, from): (usize, &i64)| {
            ConvModule::new(&scope.pp("lateral_convs").pp(i), [*from, dim], 1)
        };
        let pyramid = |i: usize| ConvModule::new(&scope.pp("fpn_convs").pp(i), [dim, dim], 3);
        let together = coarsest + dim * self.pool_scales.len() as i64;
        let all = dim * levels.len() as i64;
        Ok(Box::new(UperNet {
            feature_chs: levels.to_vec(),
            pool_scales: self.pool_scales.clone(),
            pooled: (0..self.pool_scales.len()).map(psp).collect::<Result<_, _>>()?,
            bottleneck: ConvModule::new(&scope.pp("bottleneck"), [together, dim], 3)?,
            lateral: finer.iter().enumerate().map(lateral).collect::<Result<_, _>>()?,
            pyramid: (0..finer.len()).map(pyramid).collect::<Result<_, _>>()?,
            fuse: ConvModule::new(&scope.pp("fpn_bottleneck"), [all, dim], 3)?,
            dropout: self.dropout,
            output: Conv2d::new(&scope.pp("conv_seg"), [dim, outputs], [1, 1], true)?,
        }))
    }
}

impl UperNet {
    /// The coarsest level beside its means.
    fn pool(&self, level: &Tensor, train: bool) -> Result<Tensor> {
        let size = [level.size()[1], level.size()[2]];
        let map = level.permute([0, 3, 1, 2]);
        let pooled = self.pool_scales.iter().zip(&self.pooled).map(|(&scale, module)| {
            let cells = channels_last(&map.adaptive_avg_pool2d([scale; 2]));
            Ok(resized(&module.forward(&cells, train)?, size))
        });
        let all = [Ok(level.shallow_clone())].into_iter().chain(pooled);
        let all = all.collect::<Result<Vec<Tensor>>>()?;
        Ok(self.bottleneck.forward(&Tensor::cat(&all, -1), train)?)
    }

    /// Every level, its coarser ones added, `[batch, height, width, channels]` each.
    fn pyramid(&self, levels: &[Tensor], train: bool) -> Result<Vec<Tensor>> {
        let finer = levels.iter().zip(&self.lateral);
        let finer = finer.map(|(level, conv)| Ok(conv.forward(level, train)?));
        let mut sums = finer.collect::<Result<Vec<Tensor>>>()?;
        sums.extend(levels.last().map(|coarsest| self.pool(coarsest, train)).transpose()?);
        for at in (1..sums.len()).rev() {
            let fine = &sums[at - 1];
            sums[at - 1] = fine + resized(&sums[at], [fine.size()[1], fine.size()[2]]);
        }
        for (sum, conv) in sums.iter_mut().zip(&self.pyramid) {
            *sum = conv.forward(sum, train)?;
        }
        Ok(sums)
    }
}

impl Head for UperNet {
    fn forward(&self, features: &HeadInput, train: bool) -> Result<Tensor> {
        let finest = check_levels(&features.levels, &self.feature_chs, train)?;
        if train && features.levels[0].size()[0] < 2 {
            // A mean over the whole map has one position per image.
            return Err(Error::OnePosition);
        }
        let all = self.pyramid(&features.levels, train)?;
        let all: Vec<Tensor> = all.iter().map(|t| resized(t, finest)).collect();
        let fused = self.fuse.forward(&Tensor::cat(&all, -1), train)?;
        let dropped = fused.permute([0, 3, 1, 2]).feature_dropout(self.dropout, train);
        Ok(channels_first(&self.output.pointwise(&dropped.permute([0, 2, 3, 1]))))
    }
}

/// `[batch, height, width, chans]` at another size, bilinearly.
fn resized(map: &Tensor, size: [i64; 2]) -> Tensor {
    match map.size()[1..3] == size {
        true => map.shallow_clone(),
        false => upsample(&[map], None, size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{dims, levels, parameters, tensors};
    use polyptych_tensor::{Device, Kind, Store};

    /// mmsegmentation's `UPerHead(in_channels=[96, 192, 384, 768], channels=512)` for 150 classes,
    /// as it stands behind a Swin-Tiny.
    #[test]
    fn counts_and_names_are_those_of_the_public_code() {
        let store = Store::new(Device::Cpu);
        let config = UperNetConfig::default();
        let _ = config.build(&store.root(), dims(&[96, 192, 384, 768]), 150).unwrap();
        let module = |from: usize, kernel: usize| from * 512 * kernel * kernel + 2 * 512;
        let pooled = 4 * module(768, 1) + module(768 + 4 * 512, 3);
        let lateral = module(96, 1) + module(192, 1) + module(384, 1);
        let pyramid = 3 * module(512, 3) + module(4 * 512, 3);
        assert_eq!(parameters(&store, ""), pooled + lateral + pyramid + 513 * 150);
        let names = tensors(&store);
        for name in [
            "psp_modules.3.1.conv.weight",
            "psp_modules.0.1.bn.running_var",
            "bottleneck.conv.weight",
            "lateral_convs.2.bn.bias",
            "fpn_convs.2.conv.weight",
            "fpn_bottleneck.bn.weight",
            "conv_seg.bias",
        ] {
            assert!(names.contains_key(name), "{name}");
        }
    }

    #[test]
    fn one_image_cannot_train() {
        let store = Store::new(Device::Cpu);
        let head = UperNetConfig::example().build(&store.root(), dims(&[4, 6]), 1).unwrap();
        let message = head.forward(&levels(&[4, 6], 1, Kind::Float), true).unwrap_err();
        assert!(message.to_string().contains("2 or more positions"), "{message}");
    }

    #[test]
    fn sizes_are_checked() {
        let refusal = |config: UperNetConfig| config.validate().unwrap_err().to_string();
        let message = refusal(UperNetConfig { pool_scales: vec![1, 0], ..Default::default() });
        assert_eq!(message, "pool_scales: expected numbers of 1 or more, found [1, 0]");
        let message = refusal(UperNetConfig { channels: 0, ..Default::default() });
        assert_eq!(message, "channels: expected 1 or more, found 0");
    }
}
