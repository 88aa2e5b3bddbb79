//! Every architecture in a run: it trains, keeps every bit where its blocks are run again in the
//! backward pass, and goes to ONNX, TorchScript and timm.
//!
//! The list is the program's own, so that what is new is tested or fails here.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;

use common::{Until, alone, try_recipe};
use polyptych_backbones::BackboneConfig;
use polyptych_engine::{ExportFormat, OpenRun, Recipe, Trainer, export};
use polyptych_tensor::Tensor;

/// The smallest variant of every architecture.
fn micro() -> Vec<&'static str> {
    BackboneConfig::variant_names().into_iter().filter(|name| name.contains("micro")).collect()
}

fn recipe(name: &str, grad_checkpointing: bool) -> Recipe {
    let mut recipe = try_recipe(&[
        "train.steps=2",
        "train.eval_every=2",
        "train.save_every=2",
        "train.schedule.warmup_steps=1",
        "data.eval.0.len=1",
        &format!("backbone.name={name:?}"),
        "adapter={method=\"lora\", r=2, target_modules=\"all-linear\"}",
        "tasks.semseg.head={name=\"segformer\", embed_dim=8, dropout=0.0}",
    ])
    .unwrap();
    recipe.backbone.grad_checkpointing = grad_checkpointing;
    recipe
}

fn trained(recipe: Recipe, path: &Path) -> Vec<(String, Tensor)> {
    let (mut trainer, _) = Trainer::start(recipe, None, path).unwrap();
    assert!(trainer.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap().finished);
    trainer.model().store.tensors().into_iter().map(|(name, t)| (name, t.copy())).collect()
}

#[test]
fn every_architecture_trains_with_recomputation_and_is_exported() {
    let _alone = alone();
    let all = micro();
    assert_eq!(all.len(), BackboneConfig::names().len(), "{all:?}");
    for name in all {
        let folder = tempfile::tempdir().unwrap();
        let (plain, again) = (folder.path().join("plain"), folder.path().join("again"));
        let expected = trained(recipe(name, false), &plain);
        for ((param, expected), (_, found)) in
            expected.iter().zip(trained(recipe(name, true), &again))
        {
            assert!(expected.equal(&found), "{name}: {param} differs");
        }
        let run = OpenRun::open(&plain, false, None).unwrap();
        for (format, out) in [
            (ExportFormat::Onnx, "model.onnx"),
            (ExportFormat::TorchScript, "model.pt"),
            (ExportFormat::Timm, "timm"),
        ] {
            let report = export(&run, format, &folder.path().join(out), None);
            let report = report.unwrap_or_else(|e| panic!("{name}: {out}: {e}"));
            assert!(!report.differences.is_empty(), "{name}: {out}");
        }
    }
}
