//! Every architecture in a run: it trains, keeps every bit where its blocks are run again in the
//! backward pass, and goes to ONNX, TorchScript and timm, which computes the same logits. Every
//! dense head learns behind every architecture, or is refused by name.
//!
//! The lists are the program's own, so that what is new is tested or fails here.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::Path;
use std::process::Command;

use common::{Until, alone, classes, try_recipe};
use polyptych_adapters::Form;
use polyptych_backbones::BackboneConfig;
use polyptych_data::{TaskKind, TaskSpec};
use polyptych_engine::{ExportFormat, Model, OpenRun, Recipe, Trainer, export};
use polyptych_formats::file;
use polyptych_heads::HeadConfig;
use polyptych_tensor::{Device, Kind, Tensor, Tensors, no_grad};

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

/// Sides that no patch, stride or window divides.
const ODD: [usize; 2] = [60, 76];

#[test]
fn every_architecture_is_exported_for_images_that_whole_patches_do_not_fill() {
    let _alone = alone();
    for name in micro() {
        let folder = tempfile::tempdir().unwrap();
        let mut recipe = recipe(name, false);
        recipe.data.img_size = ODD;
        let path = folder.path().join("run");
        trained(recipe, &path);
        let run = OpenRun::open(&path, false, None).unwrap();
        for (format, out) in
            [(ExportFormat::Onnx, "model.onnx"), (ExportFormat::TorchScript, "model.pt")]
        {
            let report = export(&run, format, &folder.path().join(out), None);
            let report = report.unwrap_or_else(|e| panic!("{name}: {out}: {e}"));
            assert!(!report.differences.is_empty(), "{name}: {out}");
        }
    }
}

/// Architectures whose levels are of one size.
const PLAIN: [&str; 3] = ["vit", "eva", "beit"];

fn specs() -> Vec<TaskSpec> {
    let spec = |name: &str, kind, classes: &[&str]| TaskSpec {
        name: name.into(),
        kind,
        classes: classes.iter().map(|&class| class.into()).collect(),
        palette: vec![],
        flip_pairs: vec![],
    };
    let semseg = spec("semseg", TaskKind::Semseg, &["sky", "ground", "thing"]);
    vec![spec("depth", TaskKind::Depth, &[]), semseg]
}

/// All parameters of the model get a finite gradient, and outputs have the size of the image.
fn learns(name: &str, model: &Model) {
    let image = Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu));
    let outputs = model.forward(&image, true).unwrap_or_else(|e| panic!("{name}: {e}"));
    let sizes: Vec<Vec<i64>> = outputs.iter().map(Tensor::size).collect();
    assert_eq!(sizes, [[2, 1, 32, 32], [2, 3, 32, 32]], "{name}");
    let first_class = outputs[1].log_softmax(1, Kind::Float).select(1, 0);
    let loss = outputs[0].square().mean(Kind::Float) - first_class.mean(Kind::Float);
    assert!(loss.double_value(&[]).is_finite(), "{name}");
    loss.backward();
    model.store.check_gradients().unwrap_or_else(|e| panic!("{name}: {e}"));
    for (parameter, tensor) in model.store.trainable() {
        let finite = tensor.grad().isfinite().all().int64_value(&[]) == 1;
        assert!(finite, "{name}: {parameter}");
    }
}

#[test]
fn every_dense_head_learns_behind_every_architecture_or_is_refused_by_name() {
    let _alone = alone();
    let heads: Vec<HeadConfig> =
        HeadConfig::examples().into_iter().filter(|head| head.is_dense()).collect();
    assert!(heads.len() >= 7, "{heads:?}");
    for backbone in micro() {
        let architecture = BackboneConfig::from_name(backbone).unwrap().name();
        for head in &heads {
            let name = format!("{} behind {backbone}", head.name());
            let settings = toml::Value::try_from(head).unwrap();
            let recipe = try_recipe(&[
                "adapter={method=\"full\"}",
                &format!("backbone.name={backbone:?}"),
                &format!("tasks.semseg.head={settings}"),
                &format!("tasks.depth.head={settings}"),
            ])
            .unwrap();
            let refused = head.name() == "simple_pyramid" && !PLAIN.contains(&architecture);
            match Model::new(&recipe, &specs(), Form::Adapted, Device::Cpu) {
                Ok(model) if !refused => learns(&name, &model),
                Err(e) if refused => {
                    let message = e.to_string();
                    assert!(message.contains("as a plain ViT has (simple_pyramid)"), "{message}");
                }
                other => panic!("{name}: {other:?}"),
            }
        }
    }
}

/// Loads an export into timm; prints the largest difference to our logits, of the largest of them.
const LOAD: &str = "
import sys, safetensors.torch, timm, torch
seen = safetensors.torch.load_file(sys.argv[1])
model = timm.create_model('local-dir:' + sys.argv[2], pretrained=True).eval()
with torch.no_grad():
    found = model(seen['image'])
expected = seen['logits']
assert found.shape == expected.shape, (found.shape, expected.shape)
print(((found - expected).abs().max() / expected.abs().max().clamp(min=1)).item())
";

/// The Python with timm: `POLYPTYCH_PYTHON`, or `python3`; none where there is no such one.
fn timm() -> Option<String> {
    let python = std::env::var("POLYPTYCH_PYTHON").unwrap_or_else(|_| "python3".into());
    let found = Command::new(&python).args(["-c", "import timm, torch, safetensors"]).output();
    found.is_ok_and(|output| output.status.success()).then_some(python)
}

#[test]
fn timm_loads_the_export_of_every_architecture_and_gives_its_logits() {
    let Some(python) = timm() else {
        println!("skipped: no Python with timm in POLYPTYCH_PYTHON or as python3");
        return;
    };
    let _alone = alone();
    for name in micro() {
        let folder = tempfile::tempdir().unwrap();
        let [path, seen, out] = ["run", "seen.safetensors", "timm"].map(|n| folder.path().join(n));
        drop(trained(
            classes(&[
                "train.steps=2",
                "train.schedule.warmup_steps=1",
                "data.img_size=[64, 64]",
                &format!("backbone.name={name:?}"),
                "adapter={method=\"lora\", r=2, target_modules=\"all-linear\"}",
            ]),
            &path,
        ));
        let run = OpenRun::open(&path, false, None).unwrap();
        export(&run, ExportFormat::Timm, &out, None).unwrap_or_else(|e| panic!("{name}: {e}"));
        let image = Tensor::randn([2, 3, 64, 64], (Kind::Float, Device::Cpu));
        let logits = no_grad(|| run.model.forward(&image, false)).unwrap();
        let logits = Tensor::cat(&logits, 1);
        let tensors = Tensors::from([("image".to_owned(), image), ("logits".to_owned(), logits)]);
        file::save(&seen, &tensors, Default::default()).unwrap();
        let output = Command::new(&python).args(["-c", LOAD]).args([&seen, &out]).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {errors}");
        let difference: f64 = String::from_utf8(output.stdout).unwrap().trim().parse().unwrap();
        println!("{name}: largest difference {difference:.1e}");
        assert!(difference <= 1e-4, "{name}: {difference}");
    }
}
