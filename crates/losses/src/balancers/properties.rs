//! What every balancer must do, whatever its equation.

#![allow(clippy::unwrap_used)]

use ndarray::{Array1, Array2, arr1, arr2};
use polyptych_tensor::Kind;

use crate::Error;
use crate::balancers::testing::{
    batch, batch_of, close, configs, direction, gram, j3, numbers, random_rows, rows3, tensor,
};
use crate::balancers::{
    Balancer, BalancerConfig, BalancerKind, Balancing, BalancingConfig, BalancingState, Batch,
    Gram, GramCombiner, Key, gram_of_rows,
};

/// Every Gram combiner at its defaults, new, with its name.
fn combiners(tasks: usize) -> Vec<(&'static str, Box<dyn GramCombiner>)> {
    let made = configs().into_iter().filter_map(|config| match config.init(tasks).unwrap() {
        Balancer::Gram(combiner) => Some((config.name(), combiner)),
        _ => None,
    });
    made.collect()
}

fn weights(combiner: &mut dyn GramCombiner, gram: &Gram) -> Vec<f64> {
    combiner.weights(gram, &batch_of(gram)).unwrap()
}

fn norm(vector: &[f64]) -> f64 {
    vector.iter().map(|v| v * v).sum::<f64>().sqrt()
}

fn cosine(one: &[f64], other: &[f64]) -> f64 {
    one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>() / norm(one) / norm(other)
}

#[test]
fn identical_rows_give_their_direction() {
    let rows = arr2(&[[1.0, -2.0, 0.5], [1.0, -2.0, 0.5], [1.0, -2.0, 0.5]]);
    for (name, mut combiner) in combiners(3) {
        let d = direction(&rows, &weights(&mut *combiner, &gram(&rows)));
        assert!(cosine(&d, &[1.0, -2.0, 0.5]) > 1.0 - 1e-12, "{name}: {d:?}");
    }
}

#[test]
fn permuted_tasks_have_permuted_weights() {
    let order = [2, 0, 1];
    for seed in 0..50 {
        let rows = random_rows(seed, 3, 5);
        let permuted = rows.select(ndarray::Axis(0), &order);
        // Their random orders of tasks are not permuted with the tasks.
        for (name, mut combiner) in
            combiners(3).into_iter().filter(|c| !["pcgrad", "gradvac"].contains(&c.0))
        {
            let plain = weights(&mut *combiner, &gram(&rows));
            let mut other = combiners(3).into_iter().find(|c| c.0 == name).unwrap().1;
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
    let turned = gram_of_rows(&tensor(&turned)).unwrap();
    for ((_, mut one), (_, mut other)) in combiners(3).into_iter().zip(combiners(3)) {
        close(&weights(&mut *one, &turned), &weights(&mut *other, &j3()), 1e-9);
    }
}

#[test]
fn orthogonal_equally_long_rows_have_equal_weights() {
    for tasks in 1..=8 {
        let gram = gram(&(Array2::eye(tasks) * 3.0));
        for (name, mut combiner) in combiners(tasks) {
            let w = weights(&mut *combiner, &gram);
            close(&w, &vec![w[0]; tasks], 1e-12);
            let scale = match combiner_info(name).scale {
                "sum" => 1.0,
                "mean" => 1.0 / tasks as f64,
                // Nash-MTL and FairGrad: rows of length 1.
                _ => 1.0 / 3.0,
            };
            // CAGrad goes c beyond the mean.
            let scale = if name == "cagrad" { scale * 1.5 / 1.25 } else { scale };
            assert!((w[0] - scale).abs() < 1e-12, "{name}: {w:?}");
        }
    }
}

fn combiner_info(name: &str) -> &'static crate::balancers::BalancerInfo {
    crate::balancers::balancers().iter().find(|info| info.name == name).unwrap()
}

#[test]
fn opposite_rows_cancel() {
    let rows = arr2(&[[1.0, 2.0], [-1.0, -2.0]]);
    for (name, mut combiner) in combiners(2) {
        let d = direction(&rows, &weights(&mut *combiner, &gram(&rows)));
        assert!(norm(&d) < 1e-9, "{name}: {d:?}");
    }
}

/// Zeros, twins, opposites, dependent rows and lengths that differ by up to 1e12.
fn hard(seed: u64) -> Array2<f64> {
    let mut rows = random_rows(seed, 4, 1 + seed as usize % 4);
    let pick = random_rows(seed + 1, 4, 3);
    for task in 0..4 {
        let other = rows.row((task + 1) % 4).to_owned();
        let scale = 10f64.powf(pick[[task, 2]].clamp(-3.0, 3.0) * 2.0);
        let row = match (pick[[task, 0]] * 10.0).rem_euclid(6.0) as usize {
            0 => Array1::zeros(rows.ncols()),
            1 => other.clone(),
            2 => -other,
            3 => &other * scale,
            _ => rows.row(task).to_owned() * scale,
        };
        rows.row_mut(task).assign(&row);
    }
    rows
}

#[test]
fn no_matrix_gives_nan() {
    for seed in 0..2000 {
        let rows = hard(seed);
        let gram = gram(&rows);
        let most = gram.norms().fold(0.0, |most: f64, n| most.max(*n));
        for (name, mut combiner) in combiners(4) {
            let w = weights(&mut *combiner, &gram);
            assert!(w.iter().all(|v| v.is_finite()), "{seed} {name}: {w:?} {rows}");
            let d = gram.norm_of(&w);
            // Mean and sum of rows are no longer than this; PCGrad and GradVac lengthen by less
            // than one row for each pair, Aligned by its scale; Nash and IMTL-G have lengths of
            // their own.
            if !["nash_mtl", "fairgrad", "imtl_g", "gradvac"].contains(&name) {
                assert!(d <= 16.0 * most + 1e-12, "{seed} {name}: {d} of {most}");
            }
        }
    }
}

#[test]
fn min_norm_methods_never_harm_a_task_even_so() {
    for seed in 0..2000 {
        let gram = gram(&hard(seed));
        for (name, mut combiner) in combiners(4) {
            if ["mgda", "upgrad", "dualproj"].contains(&name) {
                let w = arr1(&weights(&mut *combiner, &gram));
                let cosines =
                    gram.matrix().dot(&w) / (gram.norms() * gram.diag_max().sqrt() + 1e-300);
                let worst = cosines.fold(0.0, |least: f64, v| least.min(*v));
                assert!(worst > -1e-6, "{seed} {name}: {worst:e}");
            }
        }
    }
}

impl Gram {
    fn diag_max(&self) -> f64 {
        self.matrix().diag().fold(0.0, |most: f64, v| most.max(*v))
    }
}

#[test]
fn zero_gradients_give_a_zero_step() {
    for tasks in 1..=3 {
        let none = Gram::new(Array2::zeros((tasks, tasks))).unwrap();
        for (name, mut combiner) in combiners(tasks) {
            let w = weights(&mut *combiner, &none);
            assert!(w.iter().all(|v| v.is_finite()), "{name}: {w:?}");
        }
    }
}

#[test]
fn tiny_gradients_are_combined_like_large_ones() {
    for scale in [1e-12, 1e12] {
        let scaled = gram(&(rows3() * scale));
        for ((name, mut one), (_, mut other)) in combiners(3).into_iter().zip(combiners(3)) {
            let (found, plain) = (weights(&mut *one, &scaled), weights(&mut *other, &j3()));
            // Nash-MTL and FairGrad give steps of a length of their own.
            let unit = if combiner_info(name).scale == "own" { scale } else { 1.0 };
            close(&found.iter().map(|w| w * unit).collect::<Vec<_>>(), &plain, 1e-9);
        }
    }
}

#[test]
fn a_larger_loss_does_what_is_documented() {
    let scaled = rows3() * arr2(&[[10.0], [1.0], [1.0]]);
    let d = |name: &str, rows: &Array2<f64>| {
        let mut combiner = combiners(3).into_iter().find(|c| c.0 == name).unwrap().1;
        direction(rows, &weights(&mut *combiner, &gram(rows)))
    };
    close(&d("nash_mtl", &scaled), &d("nash_mtl", &rows3()), 1e-9);
    assert!(cosine(&d("imtl_g", &scaled), &d("imtl_g", &rows3())) > 1.0 - 1e-12);
    let aligned = cosine(&d("aligned_mtl", &scaled), &d("aligned_mtl", &rows3()));
    assert!((aligned - 0.9969).abs() < 5e-5, "{aligned}");
    // MGDA moves to the smaller gradient, UPGrad scales that task's own projected row.
    assert!(
        cosine(&d("mgda", &scaled), &[1.0, 0.5, 0.0, 0.2])
            < cosine(&d("mgda", &rows3()), &[1.0, 0.5, 0.0, 0.2])
    );
    let difference = arr1(&d("upgrad", &scaled)) - arr1(&d("upgrad", &rows3()));
    let projected = rows3()
        .t()
        .dot(&crate::balancers::upgrad::projected(j3().matrix(), &arr1(&[1.0 / 3.0, 0.0, 0.0])));
    close(&difference.to_vec(), &(projected * 9.0).to_vec(), 1e-9);
}

/// Every balancer of losses alone, and every combiner with FAMO, which remembers most.
fn balancings() -> Vec<(BalancingConfig, Balancing)> {
    let famo = configs().into_iter().find(|config| config.name() == "famo");
    let of = |config: BalancerConfig| {
        let config = match config.info().kind {
            BalancerKind::Loss => BalancingConfig { loss: Some(config), ..Default::default() },
            _ => BalancingConfig { loss: famo.clone(), gradient: Some(config), private_grad: None },
        };
        let made = config.init(4).unwrap();
        (config, made)
    };
    configs().into_iter().map(of).collect()
}

fn losses(step: u64) -> Vec<f64> {
    random_rows(step, 1, 4).iter().map(|z| z.exp()).collect()
}

/// All numbers that one step gives; task 1 has no labels in odd steps.
fn step(balancing: &mut Balancing, step: u64) -> Vec<f64> {
    let tasks = if step.is_multiple_of(2) { vec![0, 1, 2, 3] } else { vec![0, 2, 3] };
    let of = |all: Vec<f64>| tasks.iter().map(|task| all[*task]).collect::<Vec<f64>>();
    let batch = Batch::new(4, &tasks, &of(losses(step)), Key { seed: 9, step }).unwrap();
    let batch = batch.with_norms(&of(losses(50 + step))).unwrap();
    let batch = batch.with_gains(&of(random_rows(70 + step, 1, 4).into_iter().collect())).unwrap();
    let rows = random_rows(100 + step, 4, 6).select(ndarray::Axis(0), &tasks);
    let mut found = balancing.loss_weights(&batch).unwrap().weights;
    match balancing.kind() {
        BalancerKind::Loss | BalancerKind::Optimiser => {}
        BalancerKind::Gram | BalancerKind::Features => {
            let weights = balancing.row_weights(&gram(&rows), &batch).unwrap();
            found.extend([weights.shared, weights.private].concat());
        }
        BalancerKind::Rows => {
            let (d, private) = balancing.direction(&mut tensor(&rows), &batch).unwrap();
            found.extend([numbers(&d), private].concat());
        }
    }
    balancing.after_step(&batch, Some(&of(losses(step + 1)))).unwrap();
    assert!(found.iter().all(|v| v.is_finite()), "{balancing:?}: {found:?}");
    found
}

/// Through the forms that a checkpoint has.
fn saved(balancing: &Balancing) -> BalancingState {
    let state = balancing.state();
    let json = serde_json::to_string(&(&state.loss, &state.gram)).unwrap();
    let (loss, gram) = serde_json::from_str(&json).unwrap();
    let copies = state.rows.tensors().iter().map(|(name, tensor)| (name.clone(), tensor.copy()));
    BalancingState { loss, gram, rows: copies.collect() }
}

#[test]
fn a_resumed_run_is_the_same_run_bit_for_bit() {
    for (config, mut whole) in balancings() {
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
    for (config, mut balancing) in balancings() {
        step(&mut balancing, 0);
        let state = balancing.state();
        let remembers = !state.loss.arrays().is_empty() || !state.gram.arrays().is_empty();
        let mut three = config.init(3).unwrap();
        assert_eq!(three.restore(&state).is_err(), remembers, "{config:?}");
    }
}

#[test]
fn a_row_that_is_not_finite_changes_nothing() {
    for (_, mut balancing) in balancings() {
        step(&mut balancing, 0);
        let before = saved(&balancing);
        let mut rows = random_rows(0, 4, 6);
        rows[[2, 3]] = f64::NAN;
        let batch = batch(&[1.0; 4]);
        let result = match balancing.kind() {
            BalancerKind::Loss | BalancerKind::Optimiser => {
                batch.with_losses(&[1.0, 1.0, f64::NAN, 1.0]).map(drop)
            }
            BalancerKind::Gram | BalancerKind::Features => Gram::new(rows.dot(&rows.t())).map(drop),
            BalancerKind::Rows => balancing.direction(&mut tensor(&rows), &batch).map(drop),
        };
        let error = result.unwrap_err();
        assert!(
            matches!(error, Error::NonFinite { .. }) && error.to_string().contains("[2]"),
            "{error}"
        );
        let after = saved(&balancing);
        assert_eq!((before.loss, before.gram), (after.loss, after.gram));
        for (name, tensor) in before.rows.tensors() {
            assert!(tensor.equal(&after.rows.tensors()[name]), "{name}");
        }
    }
}

#[test]
fn one_task_gives_its_gradient() {
    let rows = arr2(&[[3.0, 4.0]]);
    for (name, mut combiner) in combiners(1) {
        let d = direction(&rows, &weights(&mut *combiner, &gram(&rows)));
        assert!(cosine(&d, &[3.0, 4.0]) > 1.0 - 1e-12 && norm(&d) > 0.99, "{name}: {d:?}");
    }
    for config in configs() {
        if let Balancer::Rows(mut combiner) = config.init(1).unwrap() {
            let d = numbers(&combiner.direction(&tensor(&rows), &batch(&[1.0])).unwrap());
            assert!(cosine(&d, &[3.0, 4.0]) > 1.0 - 1e-7 && norm(&d) > 0.49, "{config:?}: {d:?}");
        }
    }
}

#[test]
fn rows_of_float32_give_the_same_directions() {
    for config in configs() {
        let made = || match config.init(3).unwrap() {
            Balancer::Rows(combiner) => Some(combiner),
            _ => None,
        };
        let (Some(mut one), Some(mut other)) = (made(), made()) else { continue };
        for _ in 0..2 {
            let rows = tensor(&rows3());
            let found = one.direction(&rows.to_kind(Kind::Float), &batch_of(&j3())).unwrap();
            assert_eq!(found.kind(), Kind::Float);
            let expected = other.direction(&rows, &batch_of(&j3())).unwrap();
            close(&numbers(&found), &numbers(&expected), 1e-6);
        }
    }
}
