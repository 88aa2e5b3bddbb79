//! AdaTask: adaptive learning rates for each task (Yang et al., AAAI 2023, arXiv 2211.15055).

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use super::slots::copy_all;
use super::{Group, Optimiser, TaskGradients};
use crate::{Error, Result, Tensors};
use polyptych_kernels::AdamWStep;

/// Constants of AdaTask.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdaTaskConfig {
    /// Decay rates of the first and second moment.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Whether the tasks' steps are averaged: their sum is up to `T` times as long as Adam's.
    pub mean: bool,
}

impl Default for AdaTaskConfig {
    fn default() -> Self {
        Self { betas: [0.9, 0.999], eps: 1e-8, mean: false }
    }
}

/// Adam with moments of their own for every task: `p = p (1 - lr wd) - lr sum_i m_i' / (sqrt(v_i') + eps)`.
///
/// Each task is normalised alone, so a constant factor on its loss changes nothing. Moments exist
/// where a task reaches a parameter; on one that it alone reaches it is ordinary Adam. A task
/// without labels in a step neither moves nor decays: every task counts its own steps.
#[derive(Debug)]
pub struct AdaTask {
    config: AdaTaskConfig,
    tasks: Vec<String>,
    /// Weight decay and factor on the learning rate of every group.
    groups: Vec<[f64; 2]>,
    /// With the index of its group.
    params: BTreeMap<String, (Tensor, usize)>,
    /// By parameter and index of the task.
    slots: BTreeMap<(String, usize), Slot>,
}

#[derive(Debug)]
struct Slot {
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    step: Tensor,
}

const FIELDS: [&str; 3] = ["exp_avg", "exp_avg_sq", "step"];

impl AdaTask {
    /// Starts without moments; `tasks` are the names that its state uses.
    pub fn new(config: AdaTaskConfig, groups: Vec<Group>, tasks: &[String]) -> Self {
        let rates = groups.iter().map(|group| [group.weight_decay, group.lr_scale]).collect();
        let own = |(index, group): (usize, Group)| {
            group.params.into_iter().map(move |(name, param)| (name, (param, index)))
        };
        let params = groups.into_iter().enumerate().flat_map(own).collect();
        Self { config, tasks: tasks.to_vec(), groups: rates, params, slots: BTreeMap::new() }
    }

    /// One task's part of the step.
    fn descend(&mut self, lr: f64, gradients: &TaskGradients) -> Result<()> {
        (0..self.groups.len()).try_for_each(|group| self.descend_in(group, lr, gradients))
    }

    /// The same in one group, fused over its parameters.
    fn descend_in(&mut self, group: usize, lr: f64, gradients: &TaskGradients) -> Result<()> {
        let config = self.config;
        let (mut params, mut grads) = (Vec::new(), Vec::new());
        let (mut firsts, mut seconds, mut steps) = (Vec::new(), Vec::new(), Vec::new());
        for (name, grad) in &gradients.grads {
            let (param, of_group) = self.param(name)?;
            if *of_group != group {
                continue;
            }
            let param = param.shallow_clone();
            let slot = self.slots.entry((name.clone(), gradients.task));
            let slot = slot.or_insert_with(|| Slot::new(&param));
            firsts.push(slot.exp_avg.shallow_clone());
            seconds.push(slot.exp_avg_sq.shallow_clone());
            steps.push(slot.step.shallow_clone());
            params.push(param);
            // The fused step reads numbers as they lie in memory.
            grads.push(grad.contiguous());
        }
        if params.is_empty() {
            return Ok(());
        }
        // What decays is done before, once for all tasks.
        let [_, lr_scale] = self.groups[group];
        let AdaTaskConfig { betas, eps, .. } = config;
        let constants = AdamWStep { lr: lr * lr_scale, betas, weight_decay: 0.0, eps };
        polyptych_kernels::adamw_step(&params, &grads, &firsts, &seconds, &steps, &constants)?;
        Ok(())
    }

    /// Decoupled weight decay of every parameter that the step moves, once.
    fn decay(&self, lr: f64, tasks: &[TaskGradients]) -> Result<()> {
        let names = tasks.iter().flat_map(|task| task.grads.iter().map(|(name, _)| name));
        let names: std::collections::BTreeSet<&String> = names.collect();
        tch::no_grad(|| {
            for name in names {
                let (param, group) = self.param(name)?;
                let [weight_decay, lr_scale] = self.groups[*group];
                if weight_decay != 0.0 {
                    let kept = 1.0 - lr * lr_scale * weight_decay;
                    let _ = param.shallow_clone().f_mul_scalar_(kept)?;
                }
            }
            Ok(())
        })
    }

    fn param(&self, name: &str) -> Result<&(Tensor, usize)> {
        let missing = || Error::OptimiserState {
            expected: format!("a parameter {name}"),
            found: "no such parameter".into(),
        };
        self.params.get(name).ok_or_else(missing)
    }

    fn named(&self) -> Vec<(String, Tensor)> {
        let one = |((name, task), slot): (&(String, usize), &Slot)| {
            let task = &self.tasks[*task];
            let tensors = [&slot.exp_avg, &slot.exp_avg_sq, &slot.step];
            let named =
                |(field, t): (&str, &Tensor)| (format!("{name}.{task}.{field}"), t.shallow_clone());
            FIELDS.into_iter().zip(tensors).map(named).collect::<Vec<_>>()
        };
        self.slots.iter().flat_map(one).collect()
    }

    /// Empty slots for every name of `state` that a parameter and a task can have.
    fn slots_of(&self, state: &Tensors) -> BTreeMap<(String, usize), Slot> {
        let mut slots = BTreeMap::new();
        for (name, (param, _)) in &self.params {
            for (task, task_name) in self.tasks.iter().enumerate() {
                if state.contains_key(&format!("{name}.{task_name}.{}", FIELDS[0])) {
                    slots.insert((name.clone(), task), Slot::new(param));
                }
            }
        }
        slots
    }
}

impl Optimiser for AdaTask {
    /// The gradients of the parameters are those of the first task.
    fn step(&mut self, lr: f64) -> Result<()> {
        let grads = self.params.iter().map(|(name, (param, _))| (name.clone(), param.grad()));
        let grads = grads.filter(|(_, grad)| grad.defined()).collect();
        self.step_by_task(lr, &[TaskGradients { task: 0, grads }])
    }

    fn step_by_task(&mut self, lr: f64, tasks: &[TaskGradients]) -> Result<()> {
        self.decay(lr, tasks)?;
        let share = if self.config.mean { lr / tasks.len().max(1) as f64 } else { lr };
        tasks.iter().try_for_each(|task| self.descend(share, task))
    }

    fn is_by_task(&self) -> bool {
        true
    }

    fn drift(&self) -> Tensors {
        let own = |(name, (param, group)): (&String, &(Tensor, usize))| {
            let [weight_decay, _] = self.groups[*group];
            (weight_decay != 0.0).then(|| (name.clone(), param.detach() * weight_decay))
        };
        self.params.iter().filter_map(own).collect()
    }

    fn state(&self) -> Tensors {
        self.named().into_iter().map(|(name, t)| (name, t.copy())).collect()
    }

    fn restore(&mut self, state: &Tensors) -> Result<()> {
        let slots = self.slots_of(state);
        let before = std::mem::replace(&mut self.slots, slots);
        copy_all(&self.named(), state).inspect_err(|_| self.slots = before)
    }
}

impl Slot {
    fn new(param: &Tensor) -> Self {
        let zeros = || param.detach().zeros_like();
        let step = Tensor::zeros([] as [i64; 0], (Kind::Float, param.device()));
        Self { exp_avg: zeros(), exp_avg_sq: zeros(), step }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::optim::{AdamW, AdamWConfig};

    const STEPS: [[[f64; 2]; 2]; 2] = [[[10.0, -1.0], [0.1, 2.0]], [[8.0, -2.0], [0.2, 1.0]]];

    fn theta() -> Tensor {
        Tensor::from_slice(&[1.0f64, -2.0]).set_requires_grad(true)
    }

    fn group(theta: &Tensor, weight_decay: f64) -> Vec<Group> {
        let params = vec![("p".into(), theta.shallow_clone())];
        vec![Group { params, weight_decay, lr_scale: 1.0 }]
    }

    fn optimiser(theta: &Tensor, config: AdaTaskConfig, weight_decay: f64) -> AdaTask {
        AdaTask::new(config, group(theta, weight_decay), &["a".into(), "b".into()])
    }

    fn gradients(task: usize, numbers: [f64; 2]) -> TaskGradients {
        TaskGradients { task, grads: vec![("p".into(), Tensor::from_slice(&numbers))] }
    }

    fn both(step: [[f64; 2]; 2], scale: f64) -> [TaskGradients; 2] {
        [gradients(0, step[0].map(|g| g * scale)), gradients(1, step[1])]
    }

    fn numbers(theta: &Tensor) -> Vec<f64> {
        Vec::try_from(theta.detach()).unwrap()
    }

    #[track_caller]
    fn agree(found: &[f64], expected: &[f64]) {
        let close = found.iter().zip(expected).all(|(a, b)| (a - b).abs() <= 5.1e-7);
        assert!(close && found.len() == expected.len(), "{found:?} is not {expected:?}");
    }

    fn move_of(config: AdaTaskConfig, scale: f64, steps: usize) -> Vec<f64> {
        let p = theta();
        let mut optimiser = optimiser(&p, config, 0.0);
        for step in &STEPS[..steps] {
            optimiser.step_by_task(1e-3, &both(*step, scale)).unwrap();
        }
        vec![numbers(&p)[0] - 1.0, numbers(&p)[1] + 2.0]
    }

    #[test]
    fn two_steps_are_those_printed() {
        let config = AdaTaskConfig::default();
        agree(&move_of(config, 1.0, 1), &[-0.002, 0.0]);
        agree(&move_of(config, 1.0, 2), &[-0.003953, 0.000033]);
        agree(&move_of(AdaTaskConfig { mean: true, ..config }, 1.0, 1), &[-0.001, 0.0]);
        // Where plain Adam on the sum goes instead.
        let p = theta();
        let mut adam = AdamW::new(AdamWConfig::default(), group(&p, 0.0));
        for (step, expected) in STEPS.iter().zip([[-0.001, -0.001], [-0.001989, -0.000947]]) {
            p.shallow_clone().zero_grad();
            let sum = Tensor::from_slice(&[step[0][0] + step[1][0], step[0][1] + step[1][1]]);
            (&p * sum).sum(Kind::Double).backward();
            adam.step(1e-3).unwrap();
            agree(&[numbers(&p)[0] - 1.0, numbers(&p)[1] + 2.0], &expected);
        }
    }

    #[test]
    fn a_factor_on_a_loss_changes_nothing() {
        let (one, other) = (AdaTaskConfig::default(), AdaTaskConfig::default());
        let (plain, scaled) = (move_of(one, 1.0, 2), move_of(other, 1000.0, 2));
        assert!(plain.iter().zip(scaled).all(|(a, b)| (a - b).abs() < 1e-10));
    }

    #[test]
    fn a_task_that_is_absent_keeps_its_moments() {
        let p = theta();
        let mut optimiser = optimiser(&p, AdaTaskConfig::default(), 0.0);
        optimiser.step_by_task(1e-3, &both(STEPS[0], 1.0)).unwrap();
        let before = optimiser.state();
        let p_before = numbers(&p);
        optimiser.step_by_task(1e-3, &[gradients(0, STEPS[1][0])]).unwrap();
        let after = optimiser.state();
        assert!(after["p.b.exp_avg"].equal(&before["p.b.exp_avg"]));
        assert_eq!(
            (after["p.a.step"].double_value(&[]), after["p.b.step"].double_value(&[])),
            (2.0, 1.0)
        );
        let moved: Vec<f64> = numbers(&p).iter().zip(&p_before).map(|(a, b)| a - b).collect();
        agree(&moved, &[-0.000988126, 0.000965182]);
        optimiser.step_by_task(1e-3, &[]).unwrap();
    }

    #[test]
    fn one_task_is_adamw() {
        let (p, q) = (theta(), theta());
        let mut one = optimiser(&p, AdaTaskConfig::default(), 0.1);
        let mut other = AdamW::new(AdamWConfig::default(), group(&q, 0.1));
        for _ in 0..3 {
            for theta in [&p, &q] {
                theta.shallow_clone().zero_grad();
                theta.sin().sum(Kind::Double).backward();
            }
            one.step(1e-2).unwrap();
            other.step(1e-2).unwrap();
        }
        agree(&numbers(&p), &numbers(&q));
        agree(&Vec::<f64>::try_from(&one.drift()["p"]).unwrap(), &numbers(&(&q * 0.1)));
    }

    #[test]
    fn restored_state_goes_on_bit_for_bit() {
        let (whole, half) = (theta(), theta());
        let config = AdaTaskConfig::default();
        let (mut one, mut two) = (optimiser(&whole, config, 0.1), optimiser(&half, config, 0.1));
        one.step_by_task(1e-2, &both(STEPS[0], 1.0)).unwrap();
        two.step_by_task(1e-2, &both(STEPS[0], 1.0)).unwrap();
        let mut resumed = optimiser(&half, config, 0.1);
        resumed.restore(&two.state()).unwrap();
        one.step_by_task(1e-2, &both(STEPS[1], 1.0)).unwrap();
        resumed.step_by_task(1e-2, &both(STEPS[1], 1.0)).unwrap();
        assert_eq!(numbers(&whole), numbers(&half));

        let mut foreign = resumed.state();
        foreign.insert("q.a.exp_avg".into(), Tensor::from(0.0));
        let message = resumed.restore(&foreign).unwrap_err().to_string();
        assert!(message.contains("6 tensors") && message.contains('7'), "{message}");
        assert_eq!(resumed.state().len(), 6);
        let strange = [TaskGradients { task: 0, grads: vec![("q".into(), Tensor::from(1.0))] }];
        let message = resumed.step_by_task(1e-2, &strange).unwrap_err().to_string();
        assert!(message.contains("a parameter q"), "{message}");
    }
}
