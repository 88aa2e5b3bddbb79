//! Folding changes no output, and what it writes can be opened, measured and refused.

use crate::common::{alone, recipe, train};
use polyptych_engine::{DataSets, OpenRun, evaluate, merge};
use polyptych_formats::file;
use polyptych_tensor::{Kind, no_grad};

const METHODS: [&str; 7] = [
    "adapter.scale=2.0",
    "adapter={method=\"mtlora\", r=2, shared_mode=\"matrixv2\", downsampler=true, learnable_scale=true}",
    "adapter={method=\"mtlora\", r=2, shared_mode=\"addition\"}",
    "adapter={method=\"lora\", r=2, target_modules=\"all-linear\"}",
    "adapter={method=\"full\"}",
    "adapter={method=\"hyperformer\", embedding_dim=8}",
    "adapter={method=\"polyhistor\", lite=true, reduction_factor=2, rank=4}",
];

const MORE: &[&str] = &[
    "adapter={method=\"dora\", r=2, target_modules=[\"qkv\", \"fc1\"]}",
    "adapter={method=\"ssf\"}",
];

#[test]
fn a_merged_model_scores_like_the_trained_one() {
    let _alone = alone();
    for method in METHODS {
        let folder = tempfile::tempdir().unwrap();
        let (path, out) = (folder.path().join("run"), folder.path().join("merged"));
        drop(train(recipe(&[method]), &path));
        let run = OpenRun::open(&path, false, None).unwrap();
        let report = merge(&run, &out, false).unwrap();
        assert!(
            report.differences.values().all(|d| d.largest <= 1e-4 * d.of),
            "{method}: {report:?}"
        );
        let merged = OpenRun::open(&out, false, None).unwrap();
        let loader = DataSets::open_eval(&run.recipe).unwrap();
        let scores = |run: &OpenRun| evaluate(&run.model, &loader, None, |_| ()).unwrap();
        let (before, after) = (scores(&run), scores(&merged));
        for ((task, a), (_, b)) in before.headlines().into_iter().zip(after.headlines()) {
            assert!((a.value - b.value).abs() <= 1e-4, "{method}: {task}: {} {}", a.value, b.value);
        }
        let message = merge(&merged, &folder.path().join("again"), false).unwrap_err().to_string();
        assert!(message.ends_with("expected a trained run, found a merged model"), "{message}");
    }
}

#[test]
fn the_plain_part_has_timms_names() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("run"), folder.path().join("merged"));
    drop(train(recipe(&[]), &path));
    merge(&OpenRun::open(&path, false, None).unwrap(), &out, true).unwrap();
    let plain = polyptych_formats::file::load(&out.join("backbone.safetensors")).unwrap().tensors;
    let full = recipe(&["adapter={method=\"full\"}"]);
    let specs = OpenRun::open(&out, false, None).unwrap().folder.specs().unwrap();
    let cpu = polyptych_tensor::Device::Cpu;
    let form = polyptych_adapters::Form::Merged;
    let timm = polyptych_engine::Model::new(&full, &specs, form, cpu).unwrap();
    let expected = timm.store.tensors().into_iter();
    let expected = expected
        .filter_map(|(name, t)| Some((name.strip_prefix("backbone.")?.to_owned(), t.size())));
    let found = plain.iter().map(|(name, t)| (name.clone(), t.size()));
    assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
    assert!(plain.values().all(|t| t.kind() == polyptych_tensor::Kind::Half));
}

/// Runs of shorter types are merged in float32, where the check is made and what is written.
#[test]
fn what_a_run_computes_in_does_not_refuse_it() {
    let _alone = alone();
    for method in METHODS.iter().chain(MORE) {
        for precision in ["precision=\"bf16\"", "precision=\"fp16\""] {
            let folder = tempfile::tempdir().unwrap();
            let (path, out) = (folder.path().join("run"), folder.path().join("merged"));
            drop(train(recipe(&[method, precision]), &path));
            let run = OpenRun::open(&path, false, None).unwrap();
            let report = merge(&run, &out, false).unwrap();
            assert_eq!(report.in_own_precision.len(), report.differences.len());
            for (task, difference) in &report.differences {
                assert!(difference.largest <= 1e-5 * difference.of, "{method}, {task}: {report:?}");
            }
            let merged = file::load(&out.join("model.safetensors")).unwrap().tensors;
            assert!(merged.values().all(|t| t.kind() == Kind::Float), "{method}");
            assert_eq!(OpenRun::open(&out, false, None).unwrap().recipe, run.recipe);
        }
    }
}

/// Outputs of ten thousand have rounding errors above 1e-4.
#[test]
fn large_outputs_are_compared_by_their_size() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let (path, out) = (folder.path().join("run"), folder.path().join("merged"));
    drop(train(recipe(&[METHODS[3]]), &path));
    let run = OpenRun::open(&path, false, None).unwrap();
    for (name, tensor) in run.model.store.tensors() {
        if name.starts_with("heads.") {
            let _ = no_grad(|| tensor.detach().g_mul_scalar_(100.0));
        }
    }
    let report = merge(&run, &out, false).unwrap();
    assert!(report.differences.values().any(|d| d.of > 1e3), "{report:?}");
}
