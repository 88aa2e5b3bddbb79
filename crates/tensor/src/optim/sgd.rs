//! Stochastic gradient descent with momentum, in PyTorch's form.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::slots::{Slots, copy_all};
use super::{Group, Optimiser};
use crate::{Result, Tensors};
use polyptych_kernels::SgdStep;

/// Constants of SGD.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SgdConfig {
    /// Decay rate of the momentum buffer.
    pub momentum: f64,
    /// Nesterov's form of momentum.
    pub nesterov: bool,
}

/// `b = momentum b + g + wd p`, `p = p - lr b`.
#[derive(Debug)]
pub struct Sgd {
    config: SgdConfig,
    groups: Vec<Slots<Slot>>,
}

#[derive(Debug)]
struct Slot {
    name: String,
    param: Tensor,
    momentum_buffer: Tensor,
}

impl Sgd {
    /// Starts with zero momentum, which makes the first step the one of PyTorch.
    pub fn new(config: SgdConfig, groups: Vec<Group>) -> Self {
        let slot = |name, param: Tensor| Slot {
            momentum_buffer: param.detach().zeros_like(),
            name,
            param,
        };
        let slots = |group| Slots::of(group, slot);
        Self { config, groups: groups.into_iter().map(slots).collect() }
    }

    fn named(&self) -> Vec<(String, Tensor)> {
        let slots = self.groups.iter().flat_map(|group| &group.slots);
        slots
            .map(|s| (format!("{}.momentum_buffer", s.name), s.momentum_buffer.shallow_clone()))
            .collect()
    }
}

impl Optimiser for Sgd {
    fn step(&mut self, lr: f64) -> Result<()> {
        for Slots { slots, weight_decay, lr_scale } in &self.groups {
            let active: Vec<&Slot> = slots.iter().filter(|s| s.param.grad().defined()).collect();
            if active.is_empty() {
                continue;
            }
            let all = |f: fn(&Slot) -> Tensor| active.iter().map(|s| f(s)).collect::<Vec<_>>();
            let constants = SgdStep {
                lr: lr * lr_scale,
                momentum: self.config.momentum,
                weight_decay: *weight_decay,
                nesterov: self.config.nesterov,
                // A zero buffer gives PyTorch's first step, and knows parameters that start late.
                first_step: false,
            };
            // LibTorch refuses buffers that it has no use for.
            let buffers = match self.config.momentum == 0.0 {
                true => Vec::new(),
                false => all(|s| s.momentum_buffer.shallow_clone()),
            };
            polyptych_kernels::sgd_step(
                &all(|s| s.param.shallow_clone()),
                &all(|s| s.param.grad()),
                &buffers,
                &constants,
            )?;
        }
        Ok(())
    }

    fn drift(&self) -> Tensors {
        let own = |slot: &Slot, decay: f64| {
            let drift = &slot.momentum_buffer * self.config.momentum + slot.param.detach() * decay;
            (slot.name.clone(), drift)
        };
        let groups = self.groups.iter();
        groups.flat_map(|g| g.slots.iter().map(move |s| own(s, g.weight_decay))).collect()
    }

    fn state(&self) -> Tensors {
        self.named().into_iter().map(|(name, t)| (name, t.copy())).collect()
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        copy_all(&self.named(), state)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::decay_groups;
    use tch::Kind;

    #[test]
    fn steps_follow_the_equations_and_resume() {
        [0.9, 0.0].into_iter().for_each(follows);
    }

    fn follows(momentum: f64) {
        let p = Tensor::from_slice(&[1.0f32, -2.0]).view([2, 1]).set_requires_grad(true);
        let config = SgdConfig { momentum, nesterov: false };
        let build =
            |p: &Tensor| Sgd::new(config, decay_groups(vec![("p".into(), p.shallow_clone())], 0.1));
        let (mut expected, mut buffer) = ([1.0f32, -2.0], [0.0f32; 2]);
        let mut optimiser = build(&p);
        for step in 0..4 {
            p.shallow_clone().zero_grad();
            p.square().sum(Kind::Float).backward();
            for i in 0..2 {
                buffer[i] = momentum as f32 * buffer[i] + 2.0 * expected[i] + 0.1 * expected[i];
                expected[i] -= 0.05 * buffer[i];
            }
            let drift = optimiser.drift()["p"].double_value(&[0, 0]);
            let before = p.double_value(&[0, 0]) - 0.05 * (drift + p.grad().double_value(&[0, 0]));
            optimiser.step(0.05).unwrap();
            assert!((p.double_value(&[0, 0]) - before).abs() < 1e-6);
            if step == 1 {
                let state = optimiser.state();
                optimiser = build(&p);
                optimiser.restore(&state).unwrap();
            }
        }
        let found = Vec::<f32>::try_from(p.detach().view([-1])).unwrap();
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?}");
    }
}
