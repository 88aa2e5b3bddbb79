//! What no balancer can balance: the declared behaviour or nothing, and never a NaN.
//!
//! Losses are functions of two shared numbers and one of every task's own, so that their gradients
//! can be chosen.

use polyptych_distributed::Ranks;
use polyptych_losses::balancers::{BalancerConfig, BalancerKind, BalancerRecipe};
use polyptych_tensor::{Activations, Device, GradScaler, Kind, Tensor};

use super::numbers::numbers;
use super::parameter_sharing::ParameterSharing;
use super::prepared::Prepared;
use super::prepared_balancer::{PreparedBalancer, gradients_by_task};
use super::step::{Clipping, StepLosses};
use super::task_balancer::TaskBalancer;
use crate::model::features::Features;
use crate::recipe::balancer;

/// Losses of the features and of every task's own number.
type Losses = fn(&Tensor, &[Tensor]) -> Vec<Tensor>;

/// Everything of a run but its model.
struct Toy {
    balancer: TaskBalancer,
    prepared: Prepared,
    losses: Losses,
    scaler: Option<GradScaler>,
}

impl Toy {
    /// `num_tasks` tasks with `losses`, balanced by `case`; numbers start at 0.
    fn new(case: &Case, num_tasks: usize, losses: Losses) -> Self {
        let param = |len: i64| Tensor::zeros([len], (Kind::Float, Device::Cpu));
        let own = (0..num_tasks).map(|task| (format!("heads.{task}"), param(1)));
        let shared = [("backbone".to_owned(), param(2))];
        let params: Vec<(String, Tensor)> =
            shared.into_iter().chain(own).map(|(n, p)| (n, p.set_requires_grad(true))).collect();
        let values = values(losses, &params, &features(&params));
        let sharing = ParameterSharing::of(&values, &params).unwrap();
        let balancer = case.balancer(num_tasks, params);
        Self { prepared: Prepared::new(&balancer, sharing), balancer, losses, scaler: None }
    }

    /// One step that changes nothing but what the balancer remembers; the gradients of it.
    fn step(&mut self, step: u64) -> Vec<Tensor> {
        self.balancer.params.iter().for_each(|(_, param)| param.shallow_clone().zero_grad());
        let num_tasks = self.balancer.tasks.len();
        let (labelled, gains) = (vec![true; num_tasks], vec![0.5; num_tasks]);
        for index in 0..self.balancer.extra_batches() {
            let params = &self.balancer.params;
            let losses = &values(self.losses, params, &features(params))[..];
            let (labelled, scaler) = (&labelled[..], self.scaler.as_ref());
            let inputs = StepLosses {
                losses,
                labelled,
                cut: None,
                gains: None,
                ranks: Ranks::ALONE,
                buckets: None,
                scaler,
                step,
            };
            let (balancer, prepared) = (&mut self.balancer, &mut self.prepared);
            PreparedBalancer { balancer, prepared }.collect_extra(index, inputs).unwrap();
        }
        let features = features(&self.balancer.params);
        let (features, cut) = match self.prepared.cuts() {
            true => features.cut().map(|(f, cut)| (f, Some(cut))).unwrap(),
            false => (features, None),
        };
        let losses = values(self.losses, &self.balancer.params, &features);
        let gains = self.balancer.primary().map(|_| &gains[..]);
        let (losses, labelled) = (&losses[..], &labelled[..]);
        let (cut, scaler) = (cut.as_ref(), self.scaler.as_ref());
        let (ranks, buckets) = (Ranks::ALONE, None);
        let inputs = StepLosses { losses, labelled, cut, gains, ranks, buckets, scaler, step };
        let (balancer, prepared) = (&mut self.balancer, &mut self.prepared);
        let found = PreparedBalancer { balancer, prepared }
            .backward(inputs)
            .unwrap()
            .expect("the step is not skipped");
        assert!(found.total.double_value(&[]).is_finite());
        let again = numbers(losses).unwrap();
        self.balancer.after_step(found.info.as_ref().unwrap(), Some(&again)).unwrap();
        let clipping = Clipping { norm: 1.0, max_norm: 5.0 };
        let by_task = gradients_by_task(&self.balancer, &self.prepared, &found, clipping);
        let by_task = by_task.into_iter();
        let by_task = by_task.flat_map(|task| task.grads.into_iter().map(|(_, grad)| grad));
        self.balancer.params.iter().map(|(_, p)| p.grad().copy()).chain(by_task).collect()
    }
}

fn features(params: &[(String, Tensor)]) -> Features {
    let level = Activations::Shared(&params[0].1 * 1.0);
    Features {
        levels: vec![level],
        hidden: None,
        pooled: None,
        texts: Default::default(),
        size: [1, 1],
        streams: None,
    }
}

fn values(losses: Losses, params: &[(String, Tensor)], features: &Features) -> Vec<Tensor> {
    let own: Vec<Tensor> = params[1..].iter().map(|(_, p)| p.shallow_clone()).collect();
    losses(features.levels[0].expect_shared(), &own)
}

/// What balances the tasks of a test.
struct Case {
    name: &'static str,
    /// None for AdaTask, which is an optimiser.
    config: Option<BalancerConfig>,
}

impl Case {
    /// Every balancer with the settings that it begins with.
    fn all() -> Vec<Self> {
        let listed = BalancerConfig::examples().into_iter();
        let adatask = Self { name: "adatask", config: None };
        listed.map(|c| Self { name: c.name(), config: Some(c) }).chain([adatask]).collect()
    }

    fn recipe(&self) -> BalancerRecipe {
        let none = BalancerRecipe::default();
        match self.config.clone() {
            None => none,
            loss if loss.as_ref().is_some_and(|c| c.kind() == BalancerKind::Loss) => {
                BalancerRecipe { loss, ..none }
            }
            gradient => BalancerRecipe { gradient, ..none },
        }
    }

    fn balancer(&self, num_tasks: usize, params: Vec<(String, Tensor)>) -> TaskBalancer {
        TaskBalancer {
            balancer: balancer::of_tasks(self.recipe(), num_tasks).unwrap(),
            by_task: self.config.is_none(),
            conflict_every: None,
            name: "toy".into(),
            tasks: (0..num_tasks).map(|task| task.to_string()).collect(),
            seed: 0,
            params,
        }
    }
}

/// The gradients of three steps with every balancer, all of them finite.
fn every(num_tasks: usize, losses: Losses, check: impl Fn(&Case, &[Tensor])) {
    for case in Case::all() {
        let mut toy = Toy::new(&case, num_tasks, losses);
        for step in 0..3 {
            let grads = toy.step(step);
            for grad in &grads {
                let finite = grad.isfinite().all().int64_value(&[]) == 1;
                assert!(finite, "{}, step {step}: {grads:?}", case.name);
            }
            check(&case, &grads);
        }
    }
}

fn square(t: &Tensor) -> Tensor {
    t.square().sum(Kind::Float)
}

fn length(t: &Tensor) -> f64 {
    t.norm().double_value(&[])
}

#[test]
fn one_task_goes_down_its_own_gradient() {
    every(
        1,
        |z, own| vec![square(&(z - 1.0)) + square(&(&own[0] - 1.0))],
        |case, grads| {
            let [shared, own] = [&grads[0], &grads[1]].map(|g| Vec::<f64>::try_from(g).unwrap());
            assert!(shared[0] < 0.0 && shared[0] == shared[1], "{}: {shared:?}", case.name);
            assert!(own[0] < 0.0, "{}: {own:?}", case.name);
        },
    );
}

#[test]
fn zero_gradients_stay_zero() {
    every(
        3,
        |z, own| own.iter().map(|own| square(z) + square(own)).collect(),
        |case, grads| {
            grads.iter().for_each(|grad| assert_eq!(length(grad), 0.0, "{}", case.name));
        },
    );
}

#[test]
fn a_task_that_has_learnt_all_leaves_the_others_a_gradient_or_none() {
    every(
        3,
        |z, own| {
            let far = |own: &Tensor| square(&(z - 1.0)) + square(&(own - 1.0));
            vec![square(z) + square(&own[0]), far(&own[1]), far(&own[2])]
        },
        |case, grads| {
            let most = grads[0].max().double_value(&[]);
            assert!(most <= 0.0, "{}: {grads:?}", case.name);
            assert_eq!(length(&grads[1]), 0.0, "{}", case.name);
        },
    );
}

#[test]
fn opposite_gradients_cancel_or_one_of_them_wins() {
    every(
        2,
        |z, own| {
            vec![
                square(&(z - 1.0)) + square(&(&own[0] - 1.0)),
                square(&(z + 1.0)) + square(&(&own[1] + 1.0)),
            ]
        },
        |case, grads| {
            let found = length(&grads[0]);
            // A task gradient alone is sqrt(8) long; normalised task gradients are longer by their
            // losses at most. Where chance takes sides, one task may win.
            let random = case.config.as_ref().is_some_and(|config| config.is_random());
            let most = if random { 8f64.sqrt() } else { 1e-5 };
            assert!(found <= most, "{}: {found}", case.name);
        },
    );
}

#[test]
fn a_task_beside_the_shared_parameters_leaves_the_others_balanced() {
    every(
        3,
        |z, own| {
            let apart = square(&(&own[2] - 1.0));
            vec![square(&(z - 1.0)) + square(&own[0]), square(&(z - 2.0)) + square(&own[1]), apart]
        },
        |case, grads| {
            // Its task gradient is 0, which is MGDA's and MGDA-UB's shortest one: they wait for no
            // harm.
            let least = grads[0].max().double_value(&[]);
            assert!(least <= 0.0, "{}: {grads:?}", case.name);
            let own = grads[3].double_value(&[0]);
            assert!(own <= 0.0, "{}: {grads:?}", case.name);
        },
    );
}

/// A scale is a power of two, so no bit of a gradient that keeps its range may change.
#[test]
fn no_gradient_keeps_the_scale_of_its_backward_pass() {
    let losses: Losses = |z, own| {
        let own = own.iter().zip(1..).map(|(own, n)| (own - f64::from(n), f64::from(n)));
        own.map(|(own, n)| square(&(z * n - 1.0)) / n + square(&own)).collect()
    };
    for case in Case::all() {
        let mut plain = Toy::new(&case, 3, losses);
        let mut scaled = Toy::new(&case, 3, losses);
        scaled.scaler = Some(GradScaler::default());
        for step in 0..3 {
            let mut pairs = plain.step(step).into_iter().zip(scaled.step(step));
            assert!(pairs.all(|(one, other)| one.equal(&other)), "{}, step {step}", case.name);
        }
    }
}
