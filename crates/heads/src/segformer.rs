//! All-MLP head of SegFormer (arXiv 2105.15203, section 3.2), under the names of its public code.
//!
//! The unused convolution that the public code carries is left out.

use polyptych_registry::Part;
use polyptych_tensor::{BatchNorm2d, Conv2d, Linear, Scope, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::builder::{FeatureDims, HeadBuilder};
use crate::error::{Error, Result};
use crate::fuse::fuse;
use crate::head::{Head, HeadInput, channels_first, check_levels};

/// Width and dropout of the all-MLP head.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SegformerConfig {
    /// What every level is mapped to, and the width of the fused map.
    pub embed_dim: i64,
    /// Probability that a whole channel is dropped before the last layer, in `[0, 1)`.
    pub dropout: f64,
}

impl Default for SegformerConfig {
    fn default() -> Self {
        Self { embed_dim: 256, dropout: 0.1 }
    }
}

/// `linear_c{i}.proj`, counted from 1: linear map of each level; bilinear to the finest size;
/// concatenation, coarsest level first; `linear_fuse.conv`: 1 x 1 convolution without bias;
/// `linear_fuse.bn`: batch normalisation; ReLU; dropout; `linear_pred`: 1 x 1 convolution.
#[derive(Debug)]
struct SegformerHead {
    feature_chs: Vec<i64>,
    projections: Vec<Linear>,
    fuse: Conv2d,
    norm: BatchNorm2d,
    dropout: f64,
    output: Conv2d,
}

impl Part for SegformerConfig {
    const NAME: &'static str = "segformer";
    const SUMMARY: &'static str = "dense and light";

    fn example() -> Self {
        Self::default()
    }
}

impl HeadBuilder for SegformerConfig {
    fn validate(&self) -> Result<()> {
        if self.embed_dim < 1 {
            return Err(Error::config("embed_dim", "1 or more", self.embed_dim));
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Err(Error::config("dropout", "at least 0 and below 1", self.dropout));
        }
        Ok(())
    }

    fn build(
        &self,
        scope: &Scope,
        FeatureDims { levels: feature_chs, .. }: FeatureDims,
        outputs: i64,
    ) -> Result<Box<dyn Head>> {
        let (dim, fuse) = (self.embed_dim, scope.pp("linear_fuse"));
        let projections = feature_chs.iter().enumerate().map(|(i, &from)| {
            Linear::new(&scope.pp(format!("linear_c{}", i + 1)).pp("proj"), from, dim, true)
        });
        let projections: Vec<Linear> = projections.collect::<Result<_, _>>()?;
        let fused = dim * projections.len() as i64;
        Ok(Box::new(SegformerHead {
            feature_chs: feature_chs.to_vec(),
            projections,
            fuse: Conv2d::new(&fuse.pp("conv"), [fused, dim], [1, 1], false)?,
            norm: BatchNorm2d::new(&fuse.pp("bn"), dim)?,
            dropout: self.dropout,
            output: Conv2d::new(&scope.pp("linear_pred"), [dim, outputs], [1, 1], true)?,
        }))
    }
}

impl Head for SegformerHead {
    fn forward(&self, features: &HeadInput, train: bool) -> Result<Tensor> {
        let finest = check_levels(&features.levels, &self.feature_chs, train)?;
        let coarsest_first = features.levels.iter().zip(&self.projections).rev();
        let projected: Vec<Tensor> = coarsest_first.map(|(x, linear)| linear.forward(x)).collect();
        let fused = self.norm.forward_relu(&fuse(&self.fuse, &projected, finest), train)?;
        // Whole channels fall, which LibTorch expects in front of the positions.
        let dropped = fused.permute([0, 3, 1, 2]).feature_dropout(self.dropout, train);
        Ok(channels_first(&self.output.pointwise(&dropped.permute([0, 2, 3, 1]))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{dims, levels, parameters, tensors};
    use polyptych_tensor::{Device, Kind, Store};

    #[test]
    fn counts_and_names_are_those_of_the_public_code() {
        let store = Store::new(Device::Cpu);
        let _ = SegformerConfig::default().build(&store.root(), dims(&[32, 64]), 7).unwrap();
        assert_eq!(parameters(&store, ""), 33 * 256 + 65 * 256 + 512 * 256 + 512 + 257 * 7);
        let names: Vec<String> = tensors(&store).into_keys().collect();
        assert_eq!(
            names,
            [
                "linear_c1.proj.bias",
                "linear_c1.proj.weight",
                "linear_c2.proj.bias",
                "linear_c2.proj.weight",
                "linear_fuse.bn.bias",
                "linear_fuse.bn.running_mean",
                "linear_fuse.bn.running_var",
                "linear_fuse.bn.weight",
                "linear_fuse.conv.weight",
                "linear_pred.bias",
                "linear_pred.weight",
            ]
        );
    }

    /// The last columns of the fusing matrix read the finest level.
    #[test]
    fn the_coarsest_level_comes_first() {
        let store = Store::new(Device::Cpu);
        let config = SegformerConfig { embed_dim: 3, dropout: 0.0 };
        let head = config.build(&store.root(), dims(&[4, 6]), 1).unwrap();
        let columns = tensors(&store)["linear_fuse.conv.weight"].narrow(1, 0, 3);
        tch::no_grad(|| drop(columns.shallow_clone().zero_()));
        let a = levels(&[4, 6], 2, Kind::Float);
        let mut b = levels(&[4, 6], 2, Kind::Float);
        b.levels[0] = a.levels[0].shallow_clone();
        let [a, b] = [a, b].map(|features| head.forward(&features, false).unwrap());
        assert!(a.equal(&b));
    }

    #[test]
    fn dropout_acts_in_training_only() {
        let store = Store::new(Device::Cpu);
        let config = SegformerConfig { embed_dim: 64, dropout: 0.5 };
        let head = config.build(&store.root(), dims(&[4]), 1).unwrap();
        let features = levels(&[4], 2, Kind::Float);
        let run = |train: bool| head.forward(&features, train).unwrap();
        assert!(run(false).equal(&run(false)));
        assert!(!run(true).equal(&run(true)));
    }

    #[test]
    fn sizes_are_checked() {
        let refusal = |config: SegformerConfig| config.validate().unwrap_err().to_string();
        let message = refusal(SegformerConfig { embed_dim: 0, dropout: 0.1 });
        assert_eq!(message, "embed_dim: expected 1 or more, found 0");
        let message = refusal(SegformerConfig { embed_dim: 8, dropout: 1.0 });
        assert_eq!(message, "dropout: expected at least 0 and below 1, found 1");
    }
}
