//! AdamW (Loshchilov and Hutter 2019, Algorithm 2), fused over all parameters of a group.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::slots::{Slots, copy_all};
use super::{Group, Optimiser};
use crate::{Result, Tensors};
use polyptych_kernels::AdamWStep;

/// Constants of AdamW.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdamWConfig {
    /// Decay rates of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
}

impl Default for AdamWConfig {
    /// PyTorch's defaults.
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8 }
    }
}

/// `m = b1 m + (1 - b1) g`, `v = b2 v + (1 - b2) g^2`,
/// `p = p (1 - lr wd) - lr m' / (sqrt(v') + eps)` with bias-corrected `m'`, `v'`.
#[derive(Debug)]
pub struct AdamW {
    config: AdamWConfig,
    groups: Vec<Slots<Slot>>,
}

#[derive(Debug)]
struct Slot {
    name: String,
    param: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    step: Tensor,
}

impl AdamW {
    /// Starts with zero moments.
    pub fn new(config: AdamWConfig, groups: Vec<Group>) -> Self {
        let slots = |group| Slots::of(group, Slot::new);
        Self { config, groups: groups.into_iter().map(slots).collect() }
    }

    fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.groups.iter().flat_map(|group| &group.slots)
    }
}

impl Optimiser for AdamW {
    fn step(&mut self, lr: f64) -> Result<()> {
        for Slots { slots, weight_decay, lr_scale } in &self.groups {
            let active: Vec<&Slot> = slots.iter().filter(|s| s.param.grad().defined()).collect();
            if active.is_empty() {
                continue;
            }
            let all = |f: fn(&Slot) -> Tensor| active.iter().map(|s| f(s)).collect::<Vec<_>>();
            let steps = all(|s| s.step.shallow_clone());
            let constants = AdamWStep {
                lr: lr * lr_scale,
                betas: self.config.betas,
                weight_decay: *weight_decay,
                eps: self.config.eps,
            };
            polyptych_kernels::adamw_step(
                &all(|s| s.param.shallow_clone()),
                &all(|s| s.param.grad()),
                &all(|s| s.exp_avg.shallow_clone()),
                &all(|s| s.exp_avg_sq.shallow_clone()),
                &steps,
                &constants,
            )?;
        }
        Ok(())
    }

    fn drift(&self) -> Tensors {
        let decayed = self.groups.iter().filter(|group| group.weight_decay != 0.0);
        let own = |slot: &Slot, decay: f64| (slot.name.clone(), slot.param.detach() * decay);
        decayed.flat_map(|g| g.slots.iter().map(move |s| own(s, g.weight_decay))).collect()
    }

    fn state(&self) -> Tensors {
        let named = |slot: &Slot| slot.named().map(|(name, t)| (name, t.copy()));
        self.slots().flat_map(named).collect()
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        let targets: Vec<(String, Tensor)> = self
            .slots()
            .flat_map(|slot| slot.named().map(|(name, t)| (name, t.shallow_clone())))
            .collect();
        copy_all(&targets, state)
    }
}

impl Slot {
    fn new(name: String, param: Tensor) -> Self {
        let zeros = || param.detach().zeros_like();
        let step = Tensor::zeros([] as [i64; 0], (Kind::Float, param.device()));
        Self { exp_avg: zeros(), exp_avg_sq: zeros(), step, name, param }
    }

    fn named(&self) -> [(String, &Tensor); 3] {
        let name = &self.name;
        [
            (format!("{name}.exp_avg"), &self.exp_avg),
            (format!("{name}.exp_avg_sq"), &self.exp_avg_sq),
            (format!("{name}.step"), &self.step),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::decay_groups;
    use tch::Device;

    fn parameter() -> Tensor {
        let values = Tensor::from_slice(&[1.0f32, -2.0, 3.0, 0.5, 0.25, -1.0]).view([2, 3]);
        values.set_requires_grad(true)
    }

    fn loss(p: &Tensor, step: i64) -> Tensor {
        (p * (step + 1)).sin().sum(Kind::Float)
    }

    fn run(optimiser: &mut AdamW, p: &Tensor, steps: std::ops::Range<i64>) {
        for step in steps {
            p.shallow_clone().zero_grad();
            loss(p, step).backward();
            optimiser.step(1e-2).unwrap();
        }
    }

    #[test]
    fn steps_follow_the_equations() {
        let p = parameter();
        let (mut m, mut v) = (p.zeros_like().detach(), p.zeros_like().detach());
        let mut expected = p.detach().copy();
        let mut optimiser = AdamW::new(
            AdamWConfig::default(),
            decay_groups(vec![("p".into(), p.shallow_clone())], 0.1),
        );
        for step in 0..5 {
            p.shallow_clone().zero_grad();
            loss(&p, step).backward();
            let g = p.grad().copy();
            m = m * 0.9 + &g * 0.1;
            v = v * 0.999 + g.square() * 0.001;
            let t = (step + 1) as i32;
            let (mc, vc) = (&m / (1.0 - 0.9f64.powi(t)), &v / (1.0 - 0.999f64.powi(t)));
            expected = expected * (1.0 - 1e-2 * 0.1) - (mc / (vc.sqrt() + 1e-8)) * 1e-2;
            optimiser.step(1e-2).unwrap();
        }
        let worst = (p.detach() - expected).abs().max().double_value(&[]);
        assert!(worst < 1e-6, "{worst}");
    }

    #[test]
    fn restored_state_goes_on_bit_for_bit() {
        let build = |p: &Tensor| {
            let groups = decay_groups(vec![("p".into(), p.shallow_clone())], 0.05);
            AdamW::new(AdamWConfig::default(), groups)
        };
        let whole = parameter();
        run(&mut build(&whole), &whole, 0..6);
        let half = parameter();
        let mut first = build(&half);
        run(&mut first, &half, 0..3);
        let resumed = half.detach().copy().set_requires_grad(true);
        let mut second = build(&resumed);
        second.restore(&first.state()).unwrap();
        run(&mut second, &resumed, 3..6);
        assert!(resumed.equal(&whole));
        assert!(second.restore(&Tensors::new()).is_err());
    }

    #[test]
    fn biases_and_tables_do_not_decay() {
        let tensor = |shape: &[i64]| Tensor::zeros(shape, (Kind::Float, Device::Cpu));
        let params = vec![
            ("a.weight".to_owned(), tensor(&[2, 2])),
            ("a.bias".to_owned(), tensor(&[2])),
            ("attn.relative_position_bias_table".to_owned(), tensor(&[9, 2])),
        ];
        let groups = decay_groups(params, 0.05);
        assert_eq!(groups[0].params.len(), 1);
        assert_eq!(groups[1].params.len(), 2);
        assert_eq!(groups[1].weight_decay, 0.0);
    }
}
