//! Teachers: their term joins behind the losses, and a run that is cut is the same run.
use std::path::Path;

use crate::common::{Until, alone, recipe, refused, train};
use polyptych_engine::{Recipe, Trainer};

const LORA: &str = "adapter={method=\"lora\", r=2, target_modules=[\"qkv\"], lora_dropout=0.1}";

fn taught(teacher: &Path, more: &str) -> Recipe {
    let run = teacher.display();
    let distil = format!("distil={{weight=0.9, teachers={{depth=\"{run}\"}}{more}}}");
    recipe(&[LORA, "backbone.weights=none", "seed=3", &distil])
}

fn terms(path: &Path) -> Vec<f64> {
    let log = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let lines = log.lines().map(|line| serde_json::from_str(line).unwrap());
    lines.filter_map(|line: serde_json::Value| line["distillation"].as_f64()).collect()
}

#[test]
fn a_student_of_teachers_goes_on_bit_for_bit() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    drop(train(recipe(&[LORA, "train.lr=1e-3"]), &path("teacher")));
    let (whole, _) = train(taught(&path("teacher"), ""), &path("whole"));
    assert_eq!(terms(&path("whole")).len(), 6);
    assert!(terms(&path("whole")).iter().all(|term| *term > 0.0));
    let (mut first, _) =
        Trainer::start(taught(&path("teacher"), ""), None, &path("parts")).unwrap();
    first.run(&mut Until { until: 4, ..Until::default() }).unwrap();
    drop(first);
    let mut second = Trainer::resume(&path("parts")).unwrap();
    second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    let pairs = whole.model().store.tensors().into_iter().zip(second.model().store.tensors());
    for ((name, one), (_, two)) in pairs {
        assert!(one.equal(&two), "{name}");
    }

    // Without weight it is the run that has no teacher.
    let (plain, _) = train(recipe(&[LORA]), &path("plain"));
    let mut none = taught(&path("teacher"), "");
    none.distil.as_mut().unwrap().weight = 0.0;
    let (none, _) = train(none, &path("none"));
    let pairs = plain.model().store.tensors().into_iter().zip(none.model().store.tensors());
    for ((name, one), (_, two)) in pairs {
        // Running statistics of heads move twice.
        assert!(
            one.equal(&two) || name.contains("running_") || name.contains("num_batches"),
            "{name}"
        );
    }
    let message =
        |recipe: Recipe| Trainer::start(recipe, None, &path("refused")).err().unwrap().to_string();
    let mut other = taught(&path("teacher"), "");
    other.data.img_size = [64, 64];
    let said = message(other);
    assert!(said.contains("data.img_size: expected [64, 64] for the tasks that it"), "{said}");
    assert!(!path("refused").exists());
}

/// Labels and teachers share a pass where losses are summed, and have one each behind a balancer, whose
/// weights here are 1: the gradients are the same.
#[test]
fn one_pass_learns_what_two_learn() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    drop(train(recipe(&[LORA, "train.lr=1e-3"]), &path("teacher")));
    let step = |name: &str, weight: f64, more: &[&str]| {
        let teacher = path("teacher");
        let distil = format!(
            "distil={{weight={weight:?}, teachers={{depth={teacher:?}, semseg={teacher:?}}}}}"
        );
        // Without momentum, decay or clipping, so that a gradient is what a parameter moves by.
        let plain = [
            "seed=5",
            "train.steps=1",
            "train.eval_every=1",
            "train.save_every=1",
            "train.lr=0.1",
            "train.weight_decay=0.0",
            "train.clip_grad_norm=1e9",
            "train.schedule={warmup_steps=0, cooldown_steps=0, start_factor=1.0, min_factor=1.0}",
            "train.optimiser={name=\"sgd\", momentum=0.0, nesterov=false}",
        ];
        let recipe = recipe(&[&[LORA, distil.as_str()][..], &plain[..], more].concat());
        let tensors = train(recipe, &path(name)).0.model().store.tensors();
        let moves_twice = |name: &str| name.contains("running_") || name.contains("num_batches");
        tensors.into_iter().filter(|(name, _)| !moves_twice(name)).collect::<Vec<_>>()
    };
    let one = step("one", 3.0, &[]);
    let two = step("two", 3.0, &["balancer={loss={name=\"ew\"}}"]);
    let none = step("none", 0.0, &[]);
    let apart = (terms(&path("one"))[0] - terms(&path("two"))[0]).abs();
    assert!(apart <= 1e-5 * terms(&path("one"))[0], "{apart}");
    let mut taught = 0;
    for (((name, one), (_, two)), (_, none)) in one.iter().zip(&two).zip(&none) {
        assert!(one.allclose(two, 1e-4, 1e-6, false), "{name}");
        taught += usize::from(!one.allclose(none, 1e-3, 1e-5, false));
    }
    assert!(taught > 4, "{taught}");
}

/// Outputs for losses at a smaller size than the teacher's are none that it can be compared with.
#[test]
fn losses_of_another_size_leave_teachers_a_pass_of_their_own() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    drop(train(recipe(&[LORA, "train.lr=1e-3"]), &path("teacher")));
    let distil = format!("distil={{weight=1.0, teachers={{semseg={:?}}}}}", path("teacher"));
    let smaller = "tasks.semseg.downsample_label_ratio=4";
    drop(train(recipe(&[LORA, &distil, smaller]), &path("student")));
    assert_eq!(terms(&path("student")).len(), 6);
    assert!(terms(&path("student")).iter().all(|term| *term > 0.0));
}

#[test]
fn mistakes_are_named() {
    let _alone = alone();
    for (distil, expected) in [
        ("{weight=-1.0, teachers={depth=\"x\"}}", "distil.weight: expected a finite factor of at"),
        ("{weight=1.0, teachers={}}", "distil.teachers: expected a run for at least one task"),
        ("{weight=1.0, teachers={sal=\"x\"}}", "distil.teachers: expected some of depth, semseg"),
        (
            "{weight=1.0, temperature=0.0, teachers={depth=\"x\"}}",
            "distil.temperature: expected a positive number, found 0",
        ),
        ("{weight=1.0, teachers={depth=\"no/run\"}}", "no/run: expected the folder of a run"),
    ] {
        let message = refused(&[LORA, &format!("distil={distil}")]);
        assert!(message.contains(expected), "{message}");
    }
}
