//! Every head of the list, with the settings that it begins with.

use super::{HeadConfig, HeadInput};
use crate::hrnet::HrnetConfig;
use crate::simple_pyramid::SimplePyramidConfig;
use crate::testing::{Whole, levels, plain_levels, tensors};
use polyptych_registry::Part;
use polyptych_tensor::{Device, Kind, Store, Tensor};

fn parse(json: &str) -> HeadConfig {
    serde_json::from_str(json).unwrap()
}

/// Dims of four levels, as every backbone has.
const CHS: [i64; 4] = [4, 6, 8, 10];

/// Whether a head is for the levels of a plain ViT, of which it reads the last.
fn is_for_plain(config: &HeadConfig) -> bool {
    config.name() == SimplePyramidConfig::NAME
}

/// Dims of the levels that a head is tested with.
fn chs(config: &HeadConfig) -> [i64; 4] {
    if is_for_plain(config) { [8; 4] } else { CHS }
}

/// Levels that a head is for.
fn features_for(config: &HeadConfig, batch: i64, kind: Kind) -> HeadInput {
    let of = if is_for_plain(config) { plain_levels } else { levels };
    of(&chs(config), batch, kind)
}

/// Every dense head with the settings that it begins with.
fn dense() -> Vec<HeadConfig> {
    HeadConfig::examples().into_iter().filter(|config| config.is_dense()).collect()
}

#[test]
fn names_are_those_of_recipes() {
    assert_eq!(parse(r#"{"name": "hrnet"}"#), HrnetConfig::default().into());
    for config in HeadConfig::examples() {
        assert_eq!(parse(&serde_json::to_string(&config).unwrap()), config);
        let unknown = format!(r#"{{"width": 1, {}"#, &serde_json::to_string(&config).unwrap()[1..]);
        let message = serde_json::from_str::<HeadConfig>(&unknown).unwrap_err().to_string();
        assert!(message.contains("unknown field `width`"), "{message}");
    }
}

#[test]
fn maps_have_the_finest_size_in_float32() {
    for config in dense() {
        for kind in [Kind::Float, Kind::BFloat16] {
            let store = Store::new(Device::Cpu);
            let head = Whole::new(&config, &store.root(), &chs(&config));
            for train in [true, false] {
                let y = head.forward(&features_for(&config, 2, kind), train).unwrap();
                assert_eq!(
                    (y.kind(), y.size()),
                    (Kind::Float, vec![2, 5, 12 * config.scale(), 8 * config.scale()])
                );
            }
        }
    }
}

#[test]
fn rows_have_one_number_per_output_in_float32() {
    let rows = |config: &HeadConfig| !config.is_dense() && !config.is_embedding();
    for config in HeadConfig::examples().into_iter().filter(rows) {
        let head = config.init(&Store::new(Device::Cpu).root(), &[], 8, 5).unwrap();
        let pooled = Tensor::randn([2, 8], (Kind::Float, Device::Cpu)).to_kind(Kind::BFloat16);
        let features = HeadInput { pooled: Some(pooled), ..HeadInput::default() };
        let y = head.forward(&features, true).unwrap();
        assert_eq!((y.kind(), y.size()), (Kind::Float, vec![2, 5]), "{config:?}");
    }
}

#[test]
fn bf16_is_close_to_float32() {
    for config in dense() {
        let store = Store::new(Device::Cpu);
        let head = Whole::new(&config, &store.root(), &chs(&config));
        let mut features = features_for(&config, 2, Kind::BFloat16);
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
            let head = Whole::new(&config, &store.root(), &chs(&config));
            let mut features = features_for(&config, 2, kind);
            for level in &mut features.levels {
                *level = level.set_requires_grad(true);
            }
            head.forward(&features, true).unwrap().square().sum(Kind::Float).backward();
            store.check_gradients().unwrap();
            let unread = if is_for_plain(&config) { features.levels.len() - 1 } else { 0 };
            for grad in features.levels[unread..].iter().map(|level| level.grad()) {
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
        let head = Whole::new(&config, &store.root(), &chs(&config));
        let means = || {
            let buffers = tensors(&store).into_iter();
            buffers.filter(|(name, _)| name.ends_with("running_mean")).map(|(_, t)| t.copy())
        };
        let [before, after, trained] = [None, Some(false), Some(true)].map(|train| {
            let features = features_for(&config, 2, Kind::Float);
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
        let head = Whole::new(&config, &store.root(), &chs(&config));
        let mut features = features_for(&config, 1, Kind::Float);
        for level in &mut features.levels {
            *level = level.narrow(1, 0, 1).narrow(2, 0, 1);
        }
        let _ = head.forward(&features, false).unwrap();
        let message = head.forward(&features, true).unwrap_err().to_string();
        assert!(message.starts_with("levels[0]: expected 2 or more positions"), "{message}");
        let _ = features.levels.pop();
        let message = head.forward(&features, false).unwrap_err().to_string();
        assert_eq!(message, "levels: expected 4, found 3");
    }
}

#[test]
fn sizes_are_checked() {
    let store = Store::new(Device::Cpu);
    let refusal = |config: &HeadConfig, chs: &[i64], outputs: i64| {
        config.init(&store.root(), chs, 8, outputs).unwrap_err().to_string()
    };
    for config in dense() {
        let message = refusal(&config, &CHS, 0);
        assert_eq!(message, "outputs: expected 1 or more, found 0");
        let message = refusal(&config, &[], 1);
        assert_eq!(message, "feature_chs: expected one dim of 1 or more per level, found []");
    }
    let linear = parse(r#"{"name": "linear"}"#);
    let _ = linear.init(&store.root(), &[], 8, 3).unwrap();
    let message = refusal(&linear, &[], 3);
    assert_eq!(message, "parameter `weight`: this name is already in use");
}
