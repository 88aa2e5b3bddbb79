//! What methods decide before the first step: groups by similar gradients, clusters of images, axes of
//! answers. It stands in the run, which goes on bit for bit without deciding again.
use std::collections::BTreeMap;
use std::path::Path;

use crate::common::methods::VIT;
use crate::common::{Until, alone, recipe, train, try_recipe};
use polyptych_engine::{OpenRun, Trainer};
use polyptych_tensor::{Kind, Tensor};

const GROUPS: &str =
    "adapter={method=\"progressive\", r=2, num_groups=[1, 1, 2, 2], similarity_batches=4}";
const CLUSTERS: &str = "adapter={method=\"mor1e\", r=2, r2=2, guide=\"images\"}";
const AXES: &str = "adapter={method=\"rcm\", r=2, response_init=true, response_images=4}";
const FULL_AXES: &str = "adapter={method=\"rcm\", response_init=true, response_images=4}";

fn tensors(trainer: &Trainer) -> BTreeMap<String, Tensor> {
    trainer.model().store.tensors().into_iter().map(|(name, t)| (name, t.detach().copy())).collect()
}

#[test]
fn what_was_decided_is_the_runs() {
    let _alone = alone();
    for adapter in [GROUPS, CLUSTERS, AXES] {
        for backbone in [&[][..], &VIT] {
            let fields = [backbone, &[adapter]].concat();
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            let (whole, _) = train(recipe(&fields), &path("whole"));
            let (mut first, _) = Trainer::start(recipe(&fields), None, &path("parts")).unwrap();
            first.run(&mut Until { until: 4, ..Until::default() }).unwrap();
            drop(first);
            let mut second = Trainer::resume(&path("parts")).unwrap();
            second.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
            for ((name, a), (_, b)) in tensors(&whole).into_iter().zip(tensors(&second)) {
                assert!(a.equal(&b), "{adapter}: {name}");
            }
        }
    }
}

#[test]
fn groups_are_written_into_the_recipe_of_the_run() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    drop(train(recipe(&[GROUPS]), &path));
    let run = OpenRun::open(&path, false, None).unwrap();
    let text = run.recipe.to_toml().unwrap();
    assert!(text.contains("groups = [") && !text.contains("num_groups"), "{text}");
    let expected = r#"[[["depth", "semseg"]], [["depth", "semseg"]], [["depth"], ["semseg"]], [["depth"], ["semseg"]]]"#;
    let found: String = text.split_whitespace().collect();
    let expected: String = expected.split_whitespace().collect();
    assert!(found.replace(",]", "]").contains(&expected), "{text}");
    // Another number of stages than the backbone has.
    let other = GROUPS.replace("[1, 1, 2, 2]", "[1, 2]");
    let refused = Trainer::start(recipe(&[&other]), None, &folder.path().join("no"));
    let message = refused.err().map(|e| e.to_string()).unwrap_or_default();
    assert!(message.contains("groups: expected one list per stage of the backbone"), "{message}");
}

/// Turned filters and modulators are the plain backbone.
#[test]
fn axes_leave_the_function_as_it_is() {
    let _alone = alone();
    for adapter in [AXES, FULL_AXES] {
        let folder = tempfile::tempdir().unwrap();
        let start = |adapter: &str, name: &str| {
            Trainer::start(recipe(&[adapter]), None, &folder.path().join(name)).unwrap().0
        };
        let (turned, plain) =
            (start(adapter, "turned"), start(&adapter.replace("true", "false"), "plain"));
        let axes = tensors(&turned).into_iter().filter(|(name, _)| name.ends_with("rcm_U"));
        let mut layers = 0;
        for (name, u) in axes {
            let identity = Tensor::eye(u.size()[0], (Kind::Float, u.device()));
            let gram = u.tr().matmul(&u) - &identity;
            assert!(gram.abs().max().double_value(&[]) < 1e-5, "{name}");
            assert!(!u.equal(&identity), "{name}");
            layers += 1;
        }
        assert!(layers > 10);
        let images = Tensor::rand([2, 3, 32, 32], (Kind::Float, polyptych_tensor::Device::Cpu));
        let outputs = |trainer: &Trainer| {
            polyptych_tensor::no_grad(|| trainer.model().forward(&images, false)).unwrap()
        };
        for (a, b) in outputs(&turned).iter().zip(outputs(&plain)) {
            let largest = b.abs().max().double_value(&[]);
            assert!((a - &b).abs().max().double_value(&[]) < 1e-5 * largest.max(1.0));
        }
    }
}

#[test]
fn more_clusters_than_images_are_refused() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let many = CLUSTERS.replace("r2=2", "r2=4");
    let message = refused(&many, folder.path());
    assert!(
        message.ends_with("guide: expected as many training images as clusters, 8, found 6 images"),
        "{message}"
    );
}

fn refused(adapter: &str, folder: &Path) -> String {
    let recipe = try_recipe(&[adapter]).unwrap();
    let path = folder.join("run");
    let message = Trainer::start(recipe, None, &path).err().map(|e| e.to_string());
    assert!(!path.exists());
    message.unwrap_or_default()
}
