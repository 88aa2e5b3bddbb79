//! Which head a task has, as a recipe says it.

use polyptych_tensor::Scope;
use serde::{Deserialize, Serialize};

use crate::{Error, Head, HrnetConfig, LinearConfig, Result, SegformerConfig};

/// A head and its sizes: `head = { name = "segformer", embed_dim = 64 }`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "lowercase")]
pub enum HeadConfig {
    /// Dense, with a wide hidden layer; MTLoRA's default.
    Hrnet(HrnetConfig),
    /// Dense and light.
    Segformer(SegformerConfig),
    /// One matrix for tasks of whole images.
    Linear(LinearConfig),
}

impl HeadConfig {
    /// Whether the output is a map; otherwise it is one row per image.
    pub fn is_dense(&self) -> bool {
        !matches!(self, HeadConfig::Linear(_))
    }

    /// Checks the sizes.
    ///
    /// # Errors
    /// Names the field, its range and what it is.
    pub fn validate(&self) -> Result<()> {
        match self {
            HeadConfig::Hrnet(config) => config.validate(),
            HeadConfig::Segformer(config) => config.validate(),
            HeadConfig::Linear(_) => Ok(()),
        }
    }

    /// Makes the head of one task below `scope`.
    ///
    /// `feature_chs` are the dims of the levels, finest first, and `pooled_dim` is that of the
    /// features of whole images; a head reads one of the two. `outputs` is the number of numbers
    /// per pixel or image.
    ///
    /// # Errors
    /// Sizes below 1, other levels than the configuration is for, a name that is taken.
    pub fn init(
        &self,
        scope: &Scope,
        feature_chs: &[i64],
        pooled_dim: i64,
        outputs: i64,
    ) -> Result<Box<dyn Head>> {
        self.validate()?;
        if outputs < 1 {
            return Err(Error::config("outputs", "1 or more", outputs));
        }
        if self.is_dense() && (feature_chs.is_empty() || feature_chs.iter().any(|&c| c < 1)) {
            let found = format!("{feature_chs:?}");
            return Err(Error::config("feature_chs", "one dim of 1 or more per level", found));
        }
        match self {
            HeadConfig::Hrnet(config) => config.init(scope, feature_chs, outputs),
            HeadConfig::Segformer(config) => config.init(scope, feature_chs, outputs),
            HeadConfig::Linear(config) => config.init(scope, pooled_dim, outputs),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{levels, tensors};
    use polyptych_tensor::{Device, Kind, Store};

    fn parse(json: &str) -> HeadConfig {
        serde_json::from_str(json).unwrap()
    }

    fn dense() -> [HeadConfig; 2] {
        [
            parse(r#"{"name": "hrnet", "channels": [2, 3, 4]}"#),
            parse(r#"{"name": "segformer", "embed_dim": 8}"#),
        ]
    }

    #[test]
    fn names_are_those_of_recipes() {
        assert_eq!(parse(r#"{"name": "hrnet"}"#), HeadConfig::Hrnet(HrnetConfig::default()));
        for config in dense().into_iter().chain([parse(r#"{"name": "linear"}"#)]) {
            assert_eq!(parse(&serde_json::to_string(&config).unwrap()), config);
            let unknown =
                format!(r#"{{"width": 1, {}"#, &serde_json::to_string(&config).unwrap()[1..]);
            let message = serde_json::from_str::<HeadConfig>(&unknown).unwrap_err().to_string();
            assert!(message.contains("unknown field `width`"), "{message}");
        }
    }

    #[test]
    fn maps_have_the_finest_size_in_float32() {
        for config in dense() {
            for kind in [Kind::Float, Kind::BFloat16] {
                let store = Store::new(Device::Cpu);
                let head = config.init(&store.root().pp("sal"), &[4, 6, 8], 0, 5).unwrap();
                for train in [true, false] {
                    let y = head.forward(&levels(&[4, 6, 8], 2, kind), train).unwrap();
                    assert_eq!((y.kind(), y.size()), (Kind::Float, vec![2, 5, 12, 8]));
                }
            }
        }
    }

    #[test]
    fn bf16_is_close_to_float32() {
        for config in dense() {
            let store = Store::new(Device::Cpu);
            let head = config.init(&store.root(), &[4, 6, 8], 0, 5).unwrap();
            let mut features = levels(&[4, 6, 8], 2, Kind::BFloat16);
            let half = head.forward(&features, false).unwrap();
            for level in &mut features.levels {
                *level = level.to_kind(Kind::Float);
            }
            let full = head.forward(&features, false).unwrap();
            // Three roundings to 8 bits of numbers around 1.
            assert!(half.allclose(&full, 2e-2, 2e-2, false), "{:?}", (half - full).abs().max());
        }
    }

    #[test]
    fn every_parameter_and_every_level_learns() {
        for config in dense() {
            for kind in [Kind::Float, Kind::BFloat16] {
                let store = Store::new(Device::Cpu);
                let head = config.init(&store.root(), &[4, 6, 8], 0, 5).unwrap();
                let mut features = levels(&[4, 6, 8], 2, kind);
                for level in &mut features.levels {
                    *level = level.set_requires_grad(true);
                }
                head.forward(&features, true).unwrap().square().sum(Kind::Float).backward();
                store.check_gradients().unwrap();
                for grad in features.levels.iter().map(|level| level.grad()) {
                    assert!(grad.abs().sum(Kind::Float).double_value(&[]) > 0.0);
                    assert_eq!(grad.isfinite().all().int64_value(&[]), 1);
                }
            }
        }
    }

    #[test]
    fn running_statistics_move_in_training_only() {
        for config in dense() {
            let store = Store::new(Device::Cpu);
            let head = config.init(&store.root(), &[4, 6, 8], 0, 5).unwrap();
            let means = || {
                let buffers = tensors(&store).into_iter();
                buffers.filter(|(name, _)| name.ends_with("running_mean")).map(|(_, t)| t.copy())
            };
            let [before, after, trained] = [None, Some(false), Some(true)].map(|train| {
                let features = levels(&[4, 6, 8], 2, Kind::Float);
                let _ = train.map(|train| head.forward(&features, train).unwrap());
                means().next().unwrap()
            });
            assert!(after.equal(&before) && !trained.equal(&before));
        }
    }

    #[test]
    fn one_position_cannot_train() {
        for config in dense() {
            let store = Store::new(Device::Cpu);
            let head = config.init(&store.root(), &[4, 6, 8], 0, 5).unwrap();
            let mut features = levels(&[4, 6, 8], 1, Kind::Float);
            for level in &mut features.levels {
                *level = level.narrow(1, 0, 1).narrow(2, 0, 1);
            }
            let _ = head.forward(&features, false).unwrap();
            let message = head.forward(&features, true).unwrap_err().to_string();
            assert!(message.starts_with("levels[0]: expected 2 or more positions"), "{message}");
            let _ = features.levels.pop();
            let message = head.forward(&features, false).unwrap_err().to_string();
            assert_eq!(message, "levels: expected 3, found 2");
        }
    }

    #[test]
    fn sizes_are_checked() {
        let store = Store::new(Device::Cpu);
        let refusal = |config: &HeadConfig, chs: &[i64], outputs: i64| {
            config.init(&store.root(), chs, 8, outputs).unwrap_err().to_string()
        };
        for config in dense() {
            let message = refusal(&config, &[4, 6, 8], 0);
            assert_eq!(message, "outputs: expected 1 or more, found 0");
            let message = refusal(&config, &[], 1);
            assert_eq!(message, "feature_chs: expected one dim of 1 or more per level, found []");
        }
        let linear = parse(r#"{"name": "linear"}"#);
        let _ = linear.init(&store.root(), &[], 8, 3).unwrap();
        let message = refusal(&linear, &[], 3);
        assert_eq!(message, "parameter `weight`: the name is taken already");
    }
}
