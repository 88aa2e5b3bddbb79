//! How MTLoRA's streams depend on each other, on one layer and on a whole Swin.
use polyptych_adapters::{AdapterConfig, Form};
use polyptych_kernels::linear;
use polyptych_tensor::{Activations, Projection, Site, SiteKind, Store, Tensor, no_grad};
use serde_json::json;

use crate::support::{
    Built, TASKS, TOLERANCE, alone, close, difference, image, layer, random, redraw, tasks,
};

const RANKS: [i64; 3] = [2, 4, 1];
const SCALES: [f64; 3] = [4.0, 2.0, 0.5];

fn config(shared_mode: &str, lora_dropout: f64) -> AdapterConfig {
    crate::support::adapter(json!({
        "method": "mtlora",
        "r": 3,
        "r_per_task": {"semseg": RANKS[0], "normals": RANKS[1], "edge": RANKS[2]},
        "scale": SCALES[0],
        "scale_per_task": {"normals": SCALES[1], "edge": SCALES[2]},
        "shared_mode": shared_mode,
        "lora_dropout": lora_dropout,
        "downsampler": true,
    }))
}

fn fc1() -> Site {
    crate::support::site("layers.0.blocks.1.mlp.fc1", SiteKind::Fc1, [6, 10])
}

/// A layer of the last block, all of whose parameters have an effect.
fn random_layer(shared_mode: &str) -> (Store, Box<dyn Projection>) {
    let (store, projection) = layer(&config(shared_mode, 0.0), &tasks(&TASKS), &fc1());
    redraw(&store, 0.5, |_| true);
    (store, projection)
}

fn parameter(store: &Store, name: &str) -> Tensor {
    store.tensors().into_iter().find(|(known, _)| known == name).unwrap().1
}

/// The layer's equations, one task after another.
fn by_the_equations(store: &Store, shared_mode: &str, x: &Activations) -> (Tensor, Vec<Tensor>) {
    let get = |name: &str| parameter(store, name);
    let p = x.expect_shared().matmul(&get("weight").tr()) + get("bias");
    let low = (shared_mode != "addition").then(|| {
        let down = x.expect_shared().matmul(&get("lora_shared_A").tr());
        down.matmul(&get("lora_shared_B").tr()) * SCALES[0]
    });
    let task = |t: usize| {
        let [a, b] = ["A", "B"].map(|f| get(&format!("lora_tasks_{f}.{}", TASKS[t])));
        assert_eq!(a.size()[0], RANKS[t]);
        let y = &p + x.task(t as i64).matmul(&a.tr()).matmul(&b.tr()) * SCALES[t];
        if shared_mode == "matrixv2" { y + low.as_ref().unwrap() } else { y }
    };
    let per_task: Vec<Tensor> = (0..TASKS.len()).map(task).collect();
    let added = low.unwrap_or_else(|| {
        let sum = &per_task[0] + &per_task[1] + &per_task[2];
        let (variance, mean) = sum.var_mean_dim([-1i64].as_slice(), false, true);
        (sum - mean) / (variance + 1e-5).sqrt() * get("lora_norm.weight") + get("lora_norm.bias")
    });
    (p + added, per_task)
}

#[test]
fn a_batch_of_tasks_equals_one_task_after_another() {
    let _alone = alone();
    for shared_mode in ["matrix", "matrixv2", "addition"] {
        for own_streams in [false, true] {
            let (store, projection) = random_layer(shared_mode);
            let shared = Activations::Shared(random(&[2, 5, 4, 6]));
            let x = match own_streams {
                true => shared.with_tasks(random(&[3, 2, 5, 4, 6])),
                false => shared,
            };
            let found = projection.forward(&x, false);
            let (shared, per_task) = by_the_equations(&store, shared_mode, &x);
            close(&format!("{shared_mode}, shared"), found.expect_shared(), &shared, TOLERANCE);
            for (t, expected) in per_task.iter().enumerate() {
                let what = format!("{shared_mode}, {}", TASKS[t]);
                close(&what, &found.task(t as i64), expected, TOLERANCE);
            }
        }
    }
}

#[test]
fn task_factors_of_zero_leave_the_base_of_the_mode() {
    let _alone = alone();
    for (shared_mode, reads_shared) in [("matrix", false), ("matrixv2", true)] {
        let (store, projection) = random_layer(shared_mode);
        redraw(&store, 0.0, |name| name.starts_with("lora_tasks_B"));
        let x = Activations::Both { shared: random(&[2, 5, 6]), per_task: random(&[3, 2, 5, 6]) };
        let out = projection.forward(&x, false);
        let weight = parameter(&store, "weight");
        let plain = linear(x.expect_shared(), &weight, Some(&parameter(&store, "bias")));
        assert!(difference(out.expect_shared(), &plain) > 0.1);
        for task in 0..3 {
            let base = if reads_shared { out.expect_shared() } else { &plain };
            assert!(out.task(task).equal(base), "{shared_mode}, task {task}");
        }
    }
}

/// Merges the shared factors into the weight whether or not that is allowed.
fn merge_by_hand(store: &Store) {
    let [a, mut b] = ["lora_shared_A", "lora_shared_B"].map(|name| parameter(store, name));
    no_grad(|| {
        let _ = parameter(store, "weight").g_add_(&(b.matmul(&a) * SCALES[0]));
        let _ = b.zero_();
    });
}

#[test]
fn merging_the_shared_factors_of_a_last_block_is_wrong_in_matrix_mode_only() {
    let _alone = alone();
    for (shared_mode, allowed) in [("matrix", false), ("matrixv2", true)] {
        let (store, projection) = random_layer(shared_mode);
        let x = Activations::Both { shared: random(&[2, 5, 6]), per_task: random(&[3, 2, 5, 6]) };
        let before = no_grad(|| projection.forward(&x, false));
        merge_by_hand(&store);
        let after = no_grad(|| projection.forward(&x, false));
        close("shared", after.expect_shared(), before.expect_shared(), TOLERANCE);
        for task in 0..3 {
            let change = difference(&after.task(task), &before.task(task));
            assert_eq!(change <= TOLERANCE, allowed, "{shared_mode}, task {task}: {change}");
        }
    }
}

#[test]
fn dropout_falls_on_the_shared_input_and_never_on_a_tasks_own() {
    let _alone = alone();
    let (store, projection) = layer(&config("matrix", 0.5), &tasks(&TASKS), &fc1());
    redraw(&store, 0.5, |_| true);
    let shared = random(&[2, 5, 6]);
    let own = Activations::Both { shared: shared.copy(), per_task: random(&[3, 2, 5, 6]) };
    let (trained, evaluated) = (projection.forward(&own, true), projection.forward(&own, false));
    assert!(!trained.expect_shared().equal(evaluated.expect_shared()));
    assert!(trained.per_task().unwrap().equal(evaluated.per_task().unwrap()));
    let from_shared = Activations::Shared(shared);
    let [trained, evaluated] = [true, false].map(|train| projection.forward(&from_shared, train));
    assert!(!trained.task(1).equal(&evaluated.task(1)));
}

#[test]
fn a_layer_without_task_factors_treats_every_stream_alike() {
    let _alone = alone();
    let reduction = Site {
        last_in_stage: false,
        ..crate::support::site("layers.1.downsample.reduction", SiteKind::Reduction, [6, 10])
    };
    for shared_mode in ["matrix", "matrixv2", "addition", "lora_only"] {
        let (store, projection) = layer(&config(shared_mode, 0.0), &tasks(&TASKS), &reduction);
        redraw(&store, 0.5, |_| true);
        assert_eq!(store.tensors().len(), 4, "weight, bias and one pair of factors");
        let x = Activations::Both { shared: random(&[2, 5, 6]), per_task: random(&[3, 2, 5, 6]) };
        let out = projection.forward(&x, false);
        let alone =
            |t: &Tensor| projection.forward(&Activations::Shared(t.copy()), false).into_shared();
        for task in 0..3 {
            close("task", &out.task(task), &alone(&x.task(task)), TOLERANCE);
        }
        let p =
            x.expect_shared().linear(&parameter(&store, "weight"), Some(parameter(&store, "bias")));
        assert!(difference(out.expect_shared(), &p) > 0.1);
        assert!(projection.forward(&x.without_tasks(), false).per_task().is_none());
    }
}

#[test]
fn a_tasks_factors_change_that_task_alone() {
    let _alone = alone();
    for shared_mode in ["matrix", "matrixv2"] {
        let built =
            Built::adapted(&crate::support::swin(), &config(shared_mode, 0.0), Form::Adapted);
        redraw(&built.store, 0.3, |name| name.contains("lora_"));
        let image = image();
        let before = built.eval(&image);
        redraw(&built.store, 0.3, |name| {
            name.contains("lora_tasks_") && name.ends_with(".normals")
        });
        let after = built.eval(&image);
        for (level, (before, after)) in before.levels.iter().zip(&after.levels).enumerate() {
            assert!(
                before.expect_shared().equal(after.expect_shared()),
                "{shared_mode}, level {level}, shared"
            );
            for (t, task) in TASKS.iter().enumerate() {
                let same = before.task(t as i64).equal(&after.task(t as i64));
                assert_eq!(same, *task != "normals", "{shared_mode}, level {level}, {task}");
            }
        }
    }
}

#[test]
fn streams_of_tasks_that_are_not_asked_for_do_not_run() {
    let _alone = alone();
    let image = image();
    for (shared_mode, form) in [
        ("matrix", Form::Adapted),
        ("matrix", Form::Merged),
        ("matrixv2", Form::Merged),
        ("addition", Form::Adapted),
    ] {
        let built = Built::adapted(&crate::support::swin(), &config(shared_mode, 0.0), form);
        redraw(&built.store, 0.3, |name| name.contains("lora_"));
        let all = built.eval(&image);
        for asked in [&[1usize] as &[usize], &[0, 2]] {
            let apart = built.plan.ask_for(Some(asked));
            // There the shared stream is the sum of those of all tasks.
            assert_eq!(apart, shared_mode != "addition");
            let some = built.eval(&image);
            let tasks: Vec<usize> = if apart { asked.to_vec() } else { vec![0, 1, 2] };
            for (level, (found, expected)) in some.levels.iter().zip(&all.levels).enumerate() {
                assert_eq!(found.per_task().unwrap().size()[0], tasks.len() as i64);
                for (place, task) in tasks.iter().enumerate() {
                    let what = format!("{shared_mode}, {form:?}, level {level}, task {task}");
                    let (found, expected) = (found.task(place as i64), expected.task(*task as i64));
                    close(&what, &found, &expected, TOLERANCE);
                }
            }
            built.plan.ask_for(None);
        }
        let again = built.eval(&image);
        assert!(again.levels.iter().all(|level| level.per_task().unwrap().size()[0] == 3));
    }
}

#[test]
fn task_streams_never_come_back_into_the_backbone() {
    let _alone = alone();
    let built = Built::adapted(&crate::support::swin(), &config("matrix", 0.0), Form::Adapted);
    redraw(&built.store, 0.3, |name| name.contains("lora_"));
    let image = image();
    let before = built.eval(&image);
    let of_the_first_level =
        |name: &str| name.starts_with("layers.0.") && name.contains("lora_tasks_");
    redraw(&built.store, 0.3, of_the_first_level);
    let after = built.eval(&image);
    for (level, (before, after)) in before.levels.iter().zip(&after.levels).enumerate() {
        assert!(before.expect_shared().equal(after.expect_shared()), "level {level}");
        for task in 0..3 {
            assert_eq!(before.task(task).equal(&after.task(task)), level > 0, "level {level}");
        }
    }
}

#[test]
fn trainable_parameters_of_swin_tiny_are_as_many_as_published() {
    let _alone = alone();
    // Counted from the published models without their decoders, 1,946,624 parameters: the
    // factors are 70,656 r + 17,280 sum of r_t, in MTLoRA+ 4,032 r more.
    for (r, r_t, downsampler, expected) in
        [(64, 4, false, 4_798_464 + 1_599_546), (16, 4, true, 1_471_488 + 51_258)]
    {
        let tasks = tasks(&["semseg", "normals", "sal", "human_parts"]);
        let ranks: serde_json::Map<_, _> =
            tasks.iter().map(|task| (task.clone(), json!(r_t))).collect();
        let config = crate::support::adapter(json!({
            "method": "mtlora", "r": r, "r_per_task": ranks, "downsampler": downsampler,
        }));
        let backbone =
            polyptych_backbones::BackboneConfig::from_name("swin_tiny_patch4_window7_224")
                .unwrap()
                .with_num_classes(0);
        let built = Built::new(&backbone, config.plan(&tasks, Form::Adapted).unwrap());
        let numel = |(_, tensor): (String, Tensor)| tensor.numel();
        let found: usize = built.store.trainable().into_iter().map(numel).sum();
        assert_eq!(found, expected, "r {r}, downsampler {downsampler}");
    }
}
