//! Linear probe of dense tasks: batch normalisation and one matrix, as DINOv2 and DINOv3 are
//! evaluated (arXiv 2304.07193, section 7.4, public code `BNHead`).

use polyptych_kernels::upsample;
use polyptych_registry::Part;
use polyptych_tensor::{BatchNorm2d, Conv2d, Scope, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::builder::{FeatureDims, HeadBuilder};
use crate::conv_module::channels_last;
use crate::error::Result;
use crate::head::{Head, HeadInput, channels_first, check_levels};

/// Which levels a linear probe reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbedLevels {
    /// All of them, resized to the finest and put side by side: the evaluation with four layers.
    #[default]
    All,
    /// The last one.
    Last,
}

/// What the linear probe reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LinearProbeConfig {
    /// The levels.
    pub levels: ProbedLevels,
}

/// `bn`: batch normalisation; `conv_seg`: 1 x 1 convolution.
#[derive(Debug)]
struct LinearProbe {
    feature_chs: Vec<i64>,
    levels: ProbedLevels,
    norm: BatchNorm2d,
    output: Conv2d,
}

impl Part for LinearProbeConfig {
    const NAME: &'static str = "linear_probe";
    const SUMMARY: &'static str = "dense, one matrix behind batch normalisation";

    fn example() -> Self {
        Self::default()
    }
}

impl HeadBuilder for LinearProbeConfig {
    fn build(
        &self,
        scope: &Scope,
        FeatureDims { levels, .. }: FeatureDims,
        outputs: i64,
    ) -> Result<Box<dyn Head>> {
        let width = match self.levels {
            ProbedLevels::All => levels.iter().sum(),
            ProbedLevels::Last => levels.last().copied().unwrap_or(0),
        };
        Ok(Box::new(LinearProbe {
            feature_chs: levels.to_vec(),
            levels: self.levels,
            norm: BatchNorm2d::new(&scope.pp("bn"), width)?,
            output: Conv2d::new(&scope.pp("conv_seg"), [width, outputs], [1, 1], true)?,
        }))
    }
}

impl Head for LinearProbe {
    fn forward(&self, features: &HeadInput, train: bool) -> Result<Tensor> {
        let finest = check_levels(&features.levels, &self.feature_chs, train)?;
        let resized = |level: &Tensor| match level.size()[1..3] == finest {
            true => level.shallow_clone(),
            false => upsample(&[level], None, finest),
        };
        let read = match self.levels {
            ProbedLevels::All => &features.levels[..],
            ProbedLevels::Last => &features.levels[features.levels.len() - 1..],
        };
        let together = Tensor::cat(&read.iter().map(resized).collect::<Vec<_>>(), -1);
        let normed = self.norm.forward(&together.permute([0, 3, 1, 2]), train)?;
        Ok(channels_first(&self.output.pointwise(&channels_last(&normed))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{dims, levels, parameters, tensors};
    use polyptych_tensor::{Device, Kind, Store};

    #[test]
    fn counts_and_names_are_those_of_the_public_code() {
        for (levels, width) in [(ProbedLevels::All, 96), (ProbedLevels::Last, 64)] {
            let store = Store::new(Device::Cpu);
            let config = LinearProbeConfig { levels };
            let _ = config.build(&store.root(), dims(&[32, 64]), 7).unwrap();
            assert_eq!(parameters(&store, ""), 2 * width + (width + 1) * 7);
            let names: Vec<String> = tensors(&store).into_keys().collect();
            let norm = ["bias", "running_mean", "running_var", "weight"];
            let expected = norm.map(|name| format!("bn.{name}")).into_iter();
            let output = ["conv_seg.bias", "conv_seg.weight"].map(str::to_owned);
            assert_eq!(names, expected.chain(output).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_last_level_alone_is_read_when_asked_for() {
        let store = Store::new(Device::Cpu);
        let config = LinearProbeConfig { levels: ProbedLevels::Last };
        let head = config.build(&store.root(), dims(&[4, 6]), 1).unwrap();
        let (a, mut b) = (levels(&[4, 6], 2, Kind::Float), levels(&[4, 6], 2, Kind::Float));
        b.levels[1] = a.levels[1].shallow_clone();
        let [a, b] = [a, b].map(|features| head.forward(&features, false).unwrap());
        assert!(a.equal(&b) && a.size() == [2, 1, 12, 8]);
    }
}
