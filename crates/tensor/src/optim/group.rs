//! Which parameters feel weight decay, and how fast each moves.

use std::collections::BTreeMap;

use tch::Tensor;

use crate::matches;

/// Parameters that share a weight decay and a learning rate.
#[derive(Debug)]
pub struct Group {
    /// Parameters by name.
    pub params: Vec<(String, Tensor)>,
    /// Decay per unit of learning rate.
    pub weight_decay: f64,
    /// What the learning rate of a step is multiplied by.
    pub lr_scale: f64,
}

/// The convention of timm and MTLoRA: no decay for one-dimensional tensors and biases, nor for
/// Swin's relative-position tables.
pub fn decay_groups(params: Vec<(String, Tensor)>, weight_decay: f64) -> Vec<Group> {
    let (decayed, plain): (Vec<_>, Vec<_>) =
        params.into_iter().partition(|(name, tensor)| decays(name, tensor));
    let groups = [(decayed, weight_decay), (plain, 0.0)];
    let groups = groups.into_iter().filter(|(params, _)| !params.is_empty());
    groups.map(|(params, weight_decay)| Group { params, weight_decay, lr_scale: 1.0 }).collect()
}

/// `groups` with the parameters apart whose names fit a pattern of `scales`, in which `*` stands for
/// any run of characters: the learning rate of these is multiplied by the pattern's factor.
pub fn scale_groups(groups: Vec<Group>, scales: &BTreeMap<String, f64>) -> Vec<Group> {
    groups.into_iter().flat_map(|group| scaled(group, scales)).collect()
}

fn scaled(mut group: Group, scales: &BTreeMap<String, f64>) -> Vec<Group> {
    let mut apart = Vec::new();
    for (pattern, factor) in scales {
        let (params, rest): (Vec<_>, Vec<_>) =
            group.params.into_iter().partition(|(name, _)| matches(&[pattern], name));
        group.params = rest;
        let lr_scale = group.lr_scale * factor;
        apart.push(Group { params, weight_decay: group.weight_decay, lr_scale });
    }
    let all = std::iter::once(group).chain(apart);
    all.filter(|group| !group.params.is_empty()).collect()
}

fn decays(name: &str, tensor: &Tensor) -> bool {
    let table = ["relative_position_bias_table", "pos_embed", "cls_token"];
    tensor.dim() > 1 && !name.ends_with(".bias") && !table.iter().any(|t| name.ends_with(t))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{AdaTask, AdaTaskConfig, AdamW, AdamWConfig, Optimiser, Sgd, SgdConfig};
    use crate::{Device, Kind};

    fn optimisers(group: impl Fn() -> Vec<Group>) -> [Box<dyn Optimiser>; 3] {
        let sgd = SgdConfig { momentum: 0.9, nesterov: false };
        [
            Box::new(AdamW::new(AdamWConfig::default(), group())),
            Box::new(Sgd::new(sgd, group())),
            Box::new(AdaTask::new(AdaTaskConfig::default(), group(), &["a".into()])),
        ]
    }

    /// Of decay too. What is added to gradients depends on no rate.
    #[test]
    fn a_factor_is_a_larger_rate() {
        let moved = |lr_scale: f64, lr: f64| {
            let p = Tensor::from_slice(&[1.0f64, -2.0]).set_requires_grad(true);
            let group = || {
                let params = vec![("p".to_owned(), p.shallow_clone())];
                vec![Group { params, weight_decay: 0.1, lr_scale }]
            };
            let start = p.detach().copy();
            optimisers(group).map(|mut optimiser| {
                crate::no_grad(|| p.shallow_clone().copy_(&start));
                for _ in 0..2 {
                    p.shallow_clone().zero_grad();
                    p.sin().sum(Kind::Double).backward();
                    optimiser.step(lr).unwrap();
                }
                (p.detach().copy(), optimiser.drift()["p"].copy())
            })
        };
        for ((found, drift), (expected, other)) in moved(4.0, 0.01).iter().zip(moved(1.0, 0.04)) {
            assert!(found.allclose(&expected, 1e-12, 1e-12, false));
            assert!(drift.allclose(&other, 1e-12, 1e-12, false));
        }
    }

    #[test]
    fn parameters_whose_names_fit_have_a_rate_of_their_own() {
        let tensor = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let names = [("a.weight", [2, 2].as_slice()), ("a.bias", &[2]), ("prompts.sal", &[3, 2])];
        let params = names.map(|(name, shape)| (name.to_owned(), tensor(shape))).into();
        let scales = BTreeMap::from([("*prompts*".into(), 100.0), ("*.bias".into(), 0.5)]);
        let groups = scale_groups(decay_groups(params, 0.05), &scales);
        let found: Vec<_> = groups
            .iter()
            .map(|group| {
                let names = group.params.iter().map(|(name, _)| name.as_str());
                (names.collect::<Vec<_>>(), group.weight_decay, group.lr_scale)
            })
            .collect();
        assert_eq!(
            found,
            [
                (vec!["a.weight"], 0.05, 1.0),
                (vec!["prompts.sal"], 0.05, 100.0),
                (vec!["a.bias"], 0.0, 0.5)
            ]
        );
    }
}
