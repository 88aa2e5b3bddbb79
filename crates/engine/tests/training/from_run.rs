//! A recipe starts from the trained values of a run.

use std::collections::BTreeMap;
use std::path::Path;

use crate::common::{alone, recipe, refused, train};
use polyptych_engine::{OpenRun, Recipe, Trainer, merge, summary};
use polyptych_tensor::Tensor;

fn from(run: &Path, extra: &[&str]) -> Recipe {
    let weights = format!("backbone.weights={}", run.display());
    recipe(&[&[weights.as_str()], extra].concat())
}

fn tensors(trainer: &Trainer) -> BTreeMap<String, Tensor> {
    trainer.model().store.tensors().into_iter().collect()
}

#[test]
fn a_run_gives_backbone_adapters_and_heads() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let (first, _) = train(recipe(&[]), &path("run"));
    let (second, preparation) =
        Trainer::start(from(&path("run"), &[]), None, &path("same")).unwrap();
    let (old, new) = (tensors(&first), tensors(&second));
    assert!(old.iter().all(|(name, tensor)| new[name].equal(tensor)));
    let report = summary(&preparation.weights.unwrap());
    assert_eq!(report, format!("{} tensors loaded", old.len()));

    // Another head is new, and said to be; another size is resampled where that is needed.
    let other = ["tasks.depth.head.embed_dim=4", "data.img_size=[64, 64]"];
    let (third, preparation) =
        Trainer::start(from(&path("run"), &other), None, &path("other")).unwrap();
    let report = summary(&preparation.weights.unwrap());
    assert!(report.contains(" new, with initial values (head depth "), "{report}");
    let new = tensors(&third);
    let same = |prefix: &str| {
        old.iter().filter(|(name, _)| name.starts_with(prefix)).all(|(n, t)| new[n].equal(t))
    };
    assert!(same("heads.semseg.") && same("backbone.patch_embed."));
    let without = from(&path("run"), &["backbone.heads=false"]);
    let (_, preparation) = Trainer::start(without, None, &path("none")).unwrap();
    assert!(summary(&preparation.weights.unwrap()).contains("head semseg "));
}

#[test]
fn a_merged_model_gives_a_plain_backbone_to_any_method() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let lora = "adapter={method=\"lora\", r=2, target_modules=\"all-linear\"}";
    // MTLoRA reads other levels by itself, for which heads have other shapes.
    let levels = "backbone.pyramid=after_blocks";
    drop(train(recipe(&[lora, levels]), &path("run")));
    merge(&OpenRun::open(&path("run"), false, None).unwrap(), &path("merged"), false).unwrap();
    let (trainer, preparation) =
        Trainer::start(from(&path("merged"), &[levels]), None, &path("new")).unwrap();
    let report = summary(&preparation.weights.unwrap());
    assert!(report.contains("(adapter "), "{report}");
    let merged = OpenRun::open(&path("merged"), false, None).unwrap();
    let new = tensors(&trainer);
    let (name, head) =
        merged.model.store.tensors().into_iter().find(|(n, _)| n.starts_with("heads.")).unwrap();
    assert!(new[&name].equal(&head));

    let weights = format!("backbone.weights={}", path("run").display());
    let message = refused(&[&weights]);
    assert!(message.contains("expected parameters of the recipe's method, found "), "{message}");
    let message = refused(&[&weights, "backbone.name=swin_tiny_patch4_window7_224"]);
    assert!(message.contains("choose the backbone.name"), "{message}");
    let message = Trainer::resume(&path("merged")).err().unwrap().to_string();
    assert!(message.contains("expected a run, found a merged model; to learn on "), "{message}");
}
