//! ViTDet's simple feature pyramid (Li et al., "Exploring Plain Vision Transformer Backbones for
//! Object Detection", arXiv 2203.16527, section 3) in front of any dense head: the last level of a
//! plain ViT becomes four of 4, 2, 1 and half its size.
//!
//! ```text
//! p_s = LN(W3_s * LN(W1_s resize_s(x)))
//! resize_4 = T2 gelu(LN(T1 x)),  resize_2 = T x,  resize_1 = x,  resize_half = max over 2 x 2
//! ```
//!
//! `T` are transposed convolutions of kernel and stride 2, each of which halves the channels; `W1`
//! and `W3` are convolutions of 1 and 3 without bias; norms are over channels. Parameters have the
//! names of the public code (detectron2), which pads images to whole squares of 2 x 2 positions; an
//! odd side is rounded up here. Each task has a pyramid of its own.

mod level;

use polyptych_registry::Part;
use polyptych_tensor::{Scope, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::HeadConfig;
use crate::builder::{FeatureDims, HeadBuilder};
use crate::conv_module::channels_last;
use crate::error::{Error, Result};
use crate::head::{Head, HeadInput, check_levels};
use crate::segformer::SegformerConfig;
use level::{Level, Resized};

/// Scope of the head that reads the pyramid.
const INNER: &str = "head";

/// A simple feature pyramid and what reads it:
/// `head = { name = "simple_pyramid", channels = 256, head = { name = "upernet" } }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SimplePyramidConfig {
    /// Width of every level of the pyramid.
    #[serde(default = "channels")]
    pub channels: i64,
    /// The dense head that reads the pyramid in place of the levels.
    pub head: HeadConfig,
}

/// ViTDet's.
fn channels() -> i64 {
    256
}

/// `simfp_{2..5}`: levels of the pyramid, finest first; `head`: what reads them.
#[derive(Debug)]
struct SimplePyramid {
    feature_chs: Vec<i64>,
    levels: Vec<Level>,
    head: Box<dyn Head>,
}

impl Part for SimplePyramidConfig {
    const NAME: &'static str = "simple_pyramid";
    const SUMMARY: &'static str =
        "dense, another head behind a pyramid of a plain ViT's last level";

    fn example() -> Self {
        Self { channels: 16, head: SegformerConfig { embed_dim: 16, dropout: 0.1 }.into() }
    }
}

impl HeadBuilder for SimplePyramidConfig {
    fn scale(&self) -> i64 {
        4 * self.head.scale()
    }

    fn grown(&self, name: &str, tensor: &Tensor, wanted: &[i64]) -> Option<Tensor> {
        let inner = name.strip_prefix(INNER)?.strip_prefix('.')?;
        self.head.grown(inner, tensor, wanted)
    }

    fn validate(&self) -> Result<()> {
        if self.channels < 1 {
            return Err(Error::config("channels", "1 or more", self.channels));
        }
        let is_pyramid = self.head.name() == Self::NAME;
        if !self.head.is_dense() || self.head.shares_decoder() || is_pyramid {
            let expected = "a dense head that reads a pyramid, and has no decoder in common with \
                            other tasks";
            return Err(Error::config(INNER, expected, self.head.name()));
        }
        self.head.validate()
    }

    fn build(
        &self,
        scope: &Scope,
        FeatureDims { levels, pooled, text }: FeatureDims,
        outputs: i64,
    ) -> Result<Box<dyn Head>> {
        let dim = width(levels)?;
        let level = |(index, resized): (usize, Resized)| {
            // The public code counts levels by the logarithm of their stride.
            let scope = scope.pp(format!("simfp_{}", index + 2));
            Level::new(&scope, dim, self.channels, resized)
        };
        let pyramid = vec![self.channels; Resized::ALL.len()];
        let features = FeatureDims { levels: &pyramid, pooled, text };
        let head = self.head.init_beside_text(&scope.pp(INNER), features, outputs)?;
        let own = Resized::ALL.into_iter().enumerate().map(level);
        let own = own.collect::<polyptych_tensor::Result<_>>()?;
        Ok(Box::new(SimplePyramid { feature_chs: levels.to_vec(), levels: own, head }))
    }
}

/// The width of all levels, which a plain ViT has.
fn width(levels: &[i64]) -> Result<i64> {
    match levels {
        [first, rest @ ..] if *first > 3 && rest.iter().all(|dim| dim == first) => Ok(*first),
        _ => {
            let expected = "levels of one width, 4 or more, as a plain ViT has (simple_pyramid)";
            Err(Error::config("feature_chs", expected, format!("{levels:?}")))
        }
    }
}

impl Head for SimplePyramid {
    fn forward(&self, features: &HeadInput, train: bool) -> Result<Tensor> {
        let [height, width] = check_levels(&features.levels, &self.feature_chs, train)?;
        // The levels were checked, of which there is one at least.
        let last = &features.levels[features.levels.len() - 1];
        let found = last.size();
        if found[1..3] != [height, width] {
            let key = format!("levels[{}]", features.levels.len() - 1);
            let expected = format!("[{}, {height}, {width}, {}]", found[0], found[3]);
            return Err(Error::Shape { key, expected, found });
        }
        let map = last.permute([0, 3, 1, 2]);
        let levels = self.levels.iter().map(|level| channels_last(&level.forward(&map))).collect();
        self.head.forward(&HeadInput { levels, ..HeadInput::default() }, train)
    }

    fn task_token(&self) -> Option<(&Tensor, f64)> {
        self.head.task_token()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linear_probe::LinearProbeConfig;
    use crate::testing::{dims, parameters, tensors};
    use polyptych_tensor::{Device, Kind, Store, no_grad};
    use std::collections::BTreeMap;

    fn config(channels: i64) -> SimplePyramidConfig {
        SimplePyramidConfig { channels, head: LinearProbeConfig::default().into() }
    }

    /// detectron2's `SimpleFeaturePyramid(scale_factors=(4, 2, 1, 0.5), norm="LN")`.
    #[test]
    fn counts_and_names_are_those_of_the_public_code() {
        let store = Store::new(Device::Cpu);
        let _ = config(256).build(&store.root(), dims(&[768; 4]), 21).unwrap();
        let out = |from: usize| from * 256 + 2 * 256 + 9 * 256 * 256 + 2 * 256;
        let up = |from: usize| from * (from / 2) * 4 + from / 2;
        let finest = up(768) + 2 * 384 + up(384) + out(192);
        let counts = [finest, up(768) + out(384), out(768), out(768)];
        for (index, count) in counts.into_iter().enumerate() {
            assert_eq!(parameters(&store, &format!("simfp_{}.", index + 2)), count);
        }
        // Batch normalisation and a matrix of 4 x 256 channels.
        assert_eq!(parameters(&store, "head."), 2 * 1024 + 1025 * 21);
        let known = tensors(&store);
        for name in ["simfp_2.0.bias", "simfp_2.1.weight", "simfp_2.3.weight", "simfp_2.4.weight"] {
            assert!(known.contains_key(name), "{name}");
        }
        for name in
            ["simfp_2.5.norm.bias", "simfp_3.1.weight", "simfp_4.0.weight", "simfp_5.1.weight"]
        {
            assert!(known.contains_key(name), "{name}");
        }
        assert!(!known.contains_key("simfp_4.0.bias"));
    }

    #[derive(Deserialize)]
    struct Numbers {
        shape: Vec<i64>,
        values: Vec<f32>,
    }

    impl Numbers {
        fn tensor(&self) -> Tensor {
            Tensor::from_slice(&self.values).view(&self.shape[..])
        }
    }

    /// `tests/simple_pyramid/make.py` computed the numbers with torch 2.11.0. The tolerance leaves
    /// room for the order of sums.
    #[test]
    fn levels_are_those_of_pytorch() {
        let text = include_str!("../tests/simple_pyramid/torch.json");
        let numbers: BTreeMap<String, Numbers> = serde_json::from_str(text).unwrap();
        let image = numbers["input"].tensor();
        let dim = image.size()[1];
        let store = Store::new(Device::Cpu);
        for (index, resized) in Resized::ALL.into_iter().enumerate() {
            let name = format!("simfp_{}", index + 2);
            let level = Level::new(&store.root().pp(&name), dim, 3, resized).unwrap();
            for (name, mut tensor) in
                tensors(&store).into_iter().filter(|(n, _)| n.starts_with(&name))
            {
                no_grad(|| tensor.copy_(&numbers[&name].tensor()));
            }
            let (found, expected) =
                (level.forward(&image), numbers[&format!("level{index}")].tensor());
            assert_eq!(found.size(), expected.size(), "{name}");
            assert!(found.allclose(&expected, 1e-5, 1e-5, false), "{name}: {found} {expected}");
        }
        let read = numbers.keys().filter(|name| name.starts_with("simfp_")).count();
        assert_eq!(read, tensors(&store).len());
    }

    #[test]
    fn the_last_level_alone_is_read() {
        let store = Store::new(Device::Cpu);
        let head = config(4).build(&store.root(), dims(&[8; 2]), 1).unwrap();
        let random = || Tensor::randn([2, 3, 5, 8], (Kind::Float, Device::Cpu));
        let last = random();
        let of =
            |first| HeadInput { levels: vec![first, last.shallow_clone()], ..HeadInput::default() };
        let [a, b] = [of(random()), of(random())].map(|input| head.forward(&input, false).unwrap());
        assert!(a.equal(&b) && a.size() == [2, 1, 12, 20]);
        let coarse =
            HeadInput { levels: vec![random(), last.narrow(1, 0, 2)], ..HeadInput::default() };
        let message = head.forward(&coarse, false).unwrap_err().to_string();
        assert_eq!(message, "levels[1]: expected shape [2, 3, 5, 8], found [2, 2, 5, 8]");
    }

    #[test]
    fn what_is_no_plain_vit_or_no_head_for_a_pyramid_is_refused() {
        let store = Store::new(Device::Cpu);
        let message = config(4).build(&store.root(), dims(&[8, 16]), 1).unwrap_err().to_string();
        assert_eq!(
            message,
            "feature_chs: expected levels of one width, 4 or more, as a plain ViT has \
             (simple_pyramid), found [8, 16]"
        );
        for inner in ["linear", "shared_decoder", "simple_pyramid"] {
            let all = HeadConfig::examples();
            let head = all.into_iter().find(|config| config.name() == inner).unwrap();
            let refused = HeadConfig::from(SimplePyramidConfig { channels: 4, head });
            let message = refused.init(&store.root(), &[8; 4], 8, 1).unwrap_err().to_string();
            let found = format!("with other tasks, found {inner}");
            assert!(
                message.starts_with("head: expected a dense head") && message.ends_with(&found)
            );
        }
    }
}
