//! What every balancer must do, whatever its equation.

use ndarray::{Array2, arr1, arr2};
use polyptych_tensor::Kind;

use crate::Error;
use crate::balancers::BalancerConfig;
use crate::balancers::balancer::{Balancer, BalancerState};
use crate::balancers::gradient::GramAggregator;
use crate::balancers::gradient::gram::Gram;
use crate::balancers::gradient::matrix::gram_of_gradients;
use crate::balancers::part::{BalancerKind, Method};
use crate::balancers::recipe::BalancerRecipe;
use crate::balancers::step_info::StepInfo;
use crate::balancers::step_seed::StepSeed;
use crate::balancers::testing::{
    close, cosine, direction, gram, hard, info, info_of, j3, norm, numbers, random_rows, rows3,
    tensor,
};

/// Every Gram aggregator at its defaults, new, with its settings.
fn aggregators(tasks: usize) -> Vec<(BalancerConfig, Box<dyn GramAggregator>)> {
    let methods = BalancerConfig::examples().into_iter().filter_map(|config| {
        match config.init(tasks).unwrap() {
            Method::Gram(aggregator) => Some((config, aggregator)),
            _ => None,
        }
    });
    methods.collect()
}

fn weights(aggregator: &mut dyn GramAggregator, gram: &Gram) -> Vec<f64> {
    aggregator.weights(gram, &info_of(gram)).unwrap()
}

#[test]
fn identical_rows_give_their_direction() {
    let rows = arr2(&[[1.0, -2.0, 0.5], [1.0, -2.0, 0.5], [1.0, -2.0, 0.5]]);
    for (config, mut aggregator) in aggregators(3) {
        let d = direction(&rows, &weights(&mut *aggregator, &gram(&rows)));
        assert!(cosine(&d, &[1.0, -2.0, 0.5]) > 1.0 - 1e-12, "{config:?}: {d:?}");
    }
}

#[test]
fn permuted_tasks_have_permuted_weights() {
    let order = [2, 0, 1];
    for seed in 0..50 {
        let rows = random_rows(seed, 3, 5);
        let permuted = rows.select(ndarray::Axis(0), &order);
        // Their random orders of tasks are not permuted with the tasks.
        for (config, mut aggregator) in aggregators(3).into_iter().filter(|c| !c.0.is_random()) {
            let plain = weights(&mut *aggregator, &gram(&rows));
            let mut other = aggregators(3).into_iter().find(|c| c.0 == config).unwrap().1;
            let found = weights(&mut *other, &gram(&permuted));
            close(&found, &order.map(|task| plain[task]), 1e-6);
        }
    }
}

#[test]
fn rotated_and_longer_rows_have_the_same_weights() {
    // A rotation in the plane of the first two parameters, and two columns of zeros.
    let (sine, cosine) = 0.7f64.sin_cos();
    let mut turned = Array2::zeros((3, 6));
    for (mut to, from) in turned.rows_mut().into_iter().zip(rows3().rows()) {
        let turned = [cosine * from[0] - sine * from[1], sine * from[0] + cosine * from[1]];
        to.assign(&arr1(&[turned[0], 0.0, turned[1], from[2], 0.0, from[3]]));
    }
    let turned = gram_of_gradients(&tensor(&turned)).unwrap();
    for ((_, mut one), (_, mut other)) in aggregators(3).into_iter().zip(aggregators(3)) {
        close(&weights(&mut *one, &turned), &weights(&mut *other, &j3()), 1e-9);
    }
}

#[test]
fn orthogonal_equally_long_rows_have_equal_weights() {
    for tasks in 1..=8 {
        let gram = gram(&(Array2::eye(tasks) * 3.0));
        for (config, mut aggregator) in aggregators(tasks) {
            let w = weights(&mut *aggregator, &gram);
            close(&w, &vec![w[0]; tasks], 1e-12);
            let scale = match config.scale() {
                "sum" => 1.0,
                "mean" => 1.0 / tasks as f64,
                // Nash-MTL and FairGrad: task gradients of length 1.
                _ => 1.0 / 3.0,
            };
            // CAGrad is c longer than the mean.
            let scale = if config.name() == "cagrad" { scale * 1.5 / 1.25 } else { scale };
            assert!((w[0] - scale).abs() < 1e-12, "{config:?}: {w:?}");
        }
    }
}

#[test]
fn opposite_rows_cancel() {
    let rows = arr2(&[[1.0, 2.0], [-1.0, -2.0]]);
    for (config, mut aggregator) in aggregators(2) {
        let d = direction(&rows, &weights(&mut *aggregator, &gram(&rows)));
        assert!(norm(&d) < 1e-9, "{config:?}: {d:?}");
    }
}

#[test]
fn no_matrix_gives_nan() {
    for seed in 0..2000 {
        let rows = hard(seed);
        let gram = gram(&rows);
        let most = gram.norms().fold(0.0, |most: f64, n| most.max(*n));
        for (config, mut aggregator) in aggregators(4) {
            let w = weights(&mut *aggregator, &gram);
            assert!(w.iter().all(|v| v.is_finite()), "{seed} {config:?}: {w:?} {rows}");
            let d = gram.norm_of(&w);
            // Mean and sum of task gradients are no longer than this; PCGrad and GradVac lengthen
            // by less than one task gradient for each pair, Aligned by its scale.
            if config.is_bounded() {
                assert!(d <= 16.0 * most + 1e-12, "{seed} {config:?}: {d} of {most}");
            }
        }
    }
}

#[test]
fn zero_gradients_give_a_zero_step() {
    for tasks in 1..=3 {
        let none = Gram::new(Array2::zeros((tasks, tasks))).unwrap();
        for (config, mut aggregator) in aggregators(tasks) {
            let w = weights(&mut *aggregator, &none);
            assert!(w.iter().all(|v| v.is_finite()), "{config:?}: {w:?}");
        }
    }
}

#[test]
fn tiny_gradients_are_combined_like_large_ones() {
    for scale in [1e-12, 1e12] {
        let scaled = gram(&(rows3() * scale));
        for ((config, mut one), (_, mut other)) in aggregators(3).into_iter().zip(aggregators(3)) {
            let (found, plain) = (weights(&mut *one, &scaled), weights(&mut *other, &j3()));
            // Nash-MTL and FairGrad give steps of a length of their own.
            let unit = if config.scale() == "own" { scale } else { 1.0 };
            close(&found.iter().map(|w| w * unit).collect::<Vec<_>>(), &plain, 1e-9);
        }
    }
}

/// Every balancer of losses alone, and every aggregator with FAMO, which remembers most.
fn all_balancers() -> Vec<(BalancerRecipe, Balancer)> {
    let famo = BalancerConfig::examples().into_iter().find(|config| config.name() == "famo");
    let of = |config: BalancerConfig| {
        let config = match config.info().kind {
            BalancerKind::Loss => BalancerRecipe { loss: Some(config), ..Default::default() },
            _ => BalancerRecipe { loss: famo.clone(), gradient: Some(config), private_grad: None },
        };
        let method = config.init(4).unwrap();
        (config, method)
    };
    BalancerConfig::examples().into_iter().map(of).collect()
}

fn losses(step: u64) -> Vec<f64> {
    random_rows(step, 1, 4).iter().map(|z| z.exp()).collect()
}

/// All numbers that one step gives; task 1 has no labels in odd steps.
fn step(balancer: &mut Balancer, step: u64) -> Vec<f64> {
    let tasks = if step.is_multiple_of(2) { vec![0, 1, 2, 3] } else { vec![0, 2, 3] };
    let of = |all: Vec<f64>| tasks.iter().map(|task| all[*task]).collect::<Vec<f64>>();
    let info = StepInfo::new(4, &tasks, &of(losses(step)), StepSeed { seed: 9, step }).unwrap();
    let info = info.with_norms(&of(losses(50 + step))).unwrap();
    let info = info.with_gains(&of(random_rows(70 + step, 1, 4).into_iter().collect())).unwrap();
    let rows = random_rows(100 + step, 4, 6).select(ndarray::Axis(0), &tasks);
    let mut found = balancer.loss_weights(&info).unwrap().weights;
    match balancer.kind() {
        BalancerKind::Loss | BalancerKind::Optimiser => {}
        BalancerKind::Gram | BalancerKind::Features => {
            let weights = balancer.gradient_weights(&gram(&rows), &info).unwrap();
            found.extend([weights.shared, weights.private].concat());
        }
        BalancerKind::Gradients => {
            let (d, private) = balancer.direction(&mut tensor(&rows), &info).unwrap();
            found.extend([numbers(&d), private].concat());
        }
    }
    balancer.after_step(&info, Some(&of(losses(step + 1)))).unwrap();
    assert!(found.iter().all(|v| v.is_finite()), "{balancer:?}: {found:?}");
    found
}

/// Through the forms that a checkpoint has.
fn saved(balancer: &Balancer) -> BalancerState {
    let state = balancer.state();
    let json = serde_json::to_string(&(&state.loss, &state.gram)).unwrap();
    let (loss, gram) = serde_json::from_str(&json).unwrap();
    let copies =
        state.gradients.tensors().iter().map(|(name, tensor)| (name.clone(), tensor.copy()));
    BalancerState { loss, gram, gradients: copies.collect() }
}

#[test]
fn a_resumed_run_is_the_same_run_bit_for_bit() {
    for (config, mut whole) in all_balancers() {
        (0..5).for_each(|at| drop(step(&mut whole, at)));
        let mut resumed = config.init(4).unwrap();
        resumed.restore(&saved(&whole)).unwrap();
        for at in 5..9 {
            let bits = |found: Vec<f64>| found.iter().map(|v| v.to_bits()).collect::<Vec<u64>>();
            assert_eq!(bits(step(&mut resumed, at)), bits(step(&mut whole, at)), "{config:?}");
        }
    }
}

#[test]
fn states_of_other_runs_are_refused() {
    for (config, mut balancer) in all_balancers() {
        step(&mut balancer, 0);
        let state = balancer.state();
        let remembers = !state.loss.arrays().is_empty() || !state.gram.arrays().is_empty();
        let mut three = config.init(3).unwrap();
        assert_eq!(three.restore(&state).is_err(), remembers, "{config:?}");
    }
}

#[test]
fn a_row_that_is_not_finite_changes_nothing() {
    for (_, mut balancer) in all_balancers() {
        step(&mut balancer, 0);
        let before = saved(&balancer);
        let mut rows = random_rows(0, 4, 6);
        rows[[2, 3]] = f64::NAN;
        let info = info(&[1.0; 4]);
        let result = match balancer.kind() {
            BalancerKind::Loss | BalancerKind::Optimiser => {
                info.with_losses(&[1.0, 1.0, f64::NAN, 1.0]).map(drop)
            }
            BalancerKind::Gram | BalancerKind::Features => Gram::new(rows.dot(&rows.t())).map(drop),
            BalancerKind::Gradients => balancer.direction(&mut tensor(&rows), &info).map(drop),
        };
        let error = result.unwrap_err();
        assert!(
            matches!(error, Error::NonFinite { .. }) && error.to_string().contains("[2]"),
            "{error}"
        );
        let after = saved(&balancer);
        assert_eq!((before.loss, before.gram), (after.loss, after.gram));
        for (name, tensor) in before.gradients.tensors() {
            assert!(tensor.equal(&after.gradients.tensors()[name]), "{name}");
        }
    }
}

#[test]
fn one_task_gives_its_gradient() {
    let rows = arr2(&[[3.0, 4.0]]);
    for (config, mut aggregator) in aggregators(1) {
        let d = direction(&rows, &weights(&mut *aggregator, &gram(&rows)));
        assert!(cosine(&d, &[3.0, 4.0]) > 1.0 - 1e-12 && norm(&d) > 0.99, "{config:?}: {d:?}");
    }
    for config in BalancerConfig::examples() {
        if let Method::Gradients(mut aggregator) = config.init(1).unwrap() {
            let d = numbers(&aggregator.direction(&tensor(&rows), &info(&[1.0])).unwrap());
            assert!(cosine(&d, &[3.0, 4.0]) > 1.0 - 1e-7 && norm(&d) > 0.49, "{config:?}: {d:?}");
        }
    }
}

#[test]
fn rows_of_float32_give_the_same_directions() {
    for config in BalancerConfig::examples() {
        let init = || match config.init(3).unwrap() {
            Method::Gradients(aggregator) => Some(aggregator),
            _ => None,
        };
        let (Some(mut one), Some(mut other)) = (init(), init()) else { continue };
        for _ in 0..2 {
            let rows = tensor(&rows3());
            let found = one.direction(&rows.to_kind(Kind::Float), &info_of(&j3())).unwrap();
            assert_eq!(found.kind(), Kind::Float);
            let expected = other.direction(&rows, &info_of(&j3())).unwrap();
            close(&numbers(&found), &numbers(&expected), 1e-6);
        }
    }
}
