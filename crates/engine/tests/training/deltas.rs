//! A task is a file of differences, and becomes an ordinary checkpoint again, bit for bit.
use std::path::{Path, PathBuf};

use crate::common::methods::VIT;
use crate::common::{alone, recipe, train};
use polyptych_engine::{OpenRun, Taken, merge, merge_delta, save_deltas};
use polyptych_formats::file;
use polyptych_tensor::Tensors;

/// Random values of a backbone, as a file.
fn backbone(folder: &Path, seed: u64) -> PathBuf {
    let path = folder.join(format!("backbone-{seed}.safetensors"));
    let recipe = recipe(&[&VIT[..], &[&format!("seed={seed}")]].concat());
    let specs = polyptych_engine::DataSets::describe(&recipe).unwrap();
    let form = polyptych_adapters::Form::Adapted;
    let full = polyptych_engine::Recipe {
        adapter: polyptych_adapters::methods::full::FullConfig {}.into(),
        ..recipe
    };
    let model =
        polyptych_engine::Model::new(&full, &specs, form, polyptych_tensor::Device::Cpu).unwrap();
    let own = model.store.tensors().into_iter();
    let own: Tensors =
        own.filter_map(|(name, t)| Some((name.strip_prefix("backbone.")?.to_owned(), t))).collect();
    file::save(&path, &own, Default::default()).unwrap();
    path
}

fn trained(folder: &Path, adapter: &str, weights: &Path) -> OpenRun {
    let weights = format!("backbone.weights={:?}", weights.display().to_string());
    let path = folder.join("run");
    let fields = [&VIT[..], &[adapter, &weights, "backbone.per_task=true"]].concat();
    drop(train(recipe(&fields), &path));
    OpenRun::open(&path, false, None).unwrap()
}

const DIFF: &str =
    "adapter={method=\"diff_pruning\", sparsity=0.005, target_modules=[\"fc1\", \"fc2\"]}";
const TAPS: &str = "adapter={method=\"taps\", tau=0.14, lambda=1e-6}";
const LOW_RANK: &str = "adapter={method=\"taps\", tau=0.14, lambda=1e-6, r=2}";

#[test]
fn differences_become_the_checkpoints_that_merging_writes() {
    let _alone = alone();
    for adapter in [DIFF, TAPS, LOW_RANK] {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let weights = backbone(folder.path(), 1);
        let run = trained(folder.path(), adapter, &weights);
        merge(&run, &path("merged"), false).unwrap();
        let report = save_deltas(&run, &path("deltas")).unwrap();
        assert_eq!(report.files.len(), 2, "{adapter}");
        let taken = Taken::of(&run.model).unwrap();
        assert_eq!(taken.columns, ["depth", "semseg"]);
        for (column, (file, task)) in report.files.iter().zip(["depth", "semseg"]).enumerate() {
            assert!(file.file.ends_with(format!("delta.{task}.safetensors")));
            let of_task = |(_, shares): &&(String, Vec<f64>)| shares[column] > 0.0;
            let layers = taken.layers.iter().filter(of_task).count();
            assert!(layers > 0, "{adapter}: {taken}");
            let per_layer = if adapter == DIFF { 1 } else { 2 };
            assert_eq!(file.tensors, per_layer * layers, "{adapter}: {taken}");
            let out = path(&format!("{task}.safetensors"));
            assert_eq!(merge_delta(&file.file, None, &out).unwrap(), file.tensors);
            let (found, expected) = (
                file::load(&out).unwrap().tensors,
                file::load(&path(&format!("merged/backbone.{task}.safetensors"))).unwrap().tensors,
            );
            for (name, tensor) in expected {
                assert!(tensor.equal(&found[&name]), "{adapter}: {task}: {name}");
            }
        }
        if adapter == DIFF {
            let all: i64 = run.model.store.tensors().iter().fold(0, |sum, (name, t)| {
                let own = name.starts_with("tasks.depth.") && name.contains("diff_w.");
                sum + if own { t.numel() as i64 } else { 0 }
            });
            let kept = (0.005 * all as f64).floor() as usize;
            assert!(report.files.iter().all(|file| file.numbers == kept), "{report:?}");
        }
    }
}

#[test]
fn what_does_not_belong_together_is_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let run = trained(folder.path(), LOW_RANK, &backbone(folder.path(), 1));
    let report = save_deltas(&run, &path("deltas")).unwrap();
    let message = save_deltas(&run, &path("deltas")).unwrap_err().to_string();
    assert!(message.ends_with("deltas: expected a new folder, found one"), "{message}");
    let (file, out) = (&report.files[0].file, path("out.safetensors"));
    let refused = |file: &Path, weights: &str| {
        let message = merge_delta(file, Some(weights), &out).unwrap_err().to_string();
        assert!(!out.exists());
        message
    };
    let other = backbone(folder.path(), 2).display().to_string();
    let message = refused(file, &other);
    assert!(message.contains("expected the backbone that") && message.ends_with("found another"));
    assert!(refused(file, "none").ends_with("name a file of its backbone by --weights"));
    let message = refused(Path::new(&other), &other);
    assert!(message.ends_with("expected a file of `polyptych delta`, found another"), "{message}");
    let plain = path("lora");
    let fields = [&VIT[..], &["adapter={method=\"lora\", r=2, target_modules=[\"qkv\"]}"]].concat();
    drop(train(recipe(&fields), &plain));
    let run = OpenRun::open(&plain, false, None).unwrap();
    let message = save_deltas(&run, &path("none")).unwrap_err().to_string();
    assert!(message.ends_with("such as diff_pruning or taps, found lora"), "{message}");
}
