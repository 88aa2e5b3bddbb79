//! HyperFormer and Polyhistor: streams of tasks from end to end, which know nothing of each other.
use polyptych_adapters::{AdapterConfig, Form};
use polyptych_backbones::{BackboneConfig, Intermediates, Options};
use polyptych_tensor::{Device, Kind, Store, Tensor, Tensors, no_grad};
use serde_json::{Value, json};

use crate::support::{Built, TASKS, adapter, alone, close, image, redraw, tasks};

fn hyperformer(more: Value) -> AdapterConfig {
    with(
        json!({"method": "hyperformer", "embedding_dim": 4, "hidden_dim": 16, "reduction_factor": 4}),
        more,
    )
}

fn polyhistor(more: Value) -> AdapterConfig {
    with(
        json!({"method": "polyhistor", "embedding_dim": 4, "rank": 2, "reduction_factor": 4}),
        more,
    )
}

fn with(mut fields: Value, more: Value) -> AdapterConfig {
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    adapter(fields)
}

fn methods() -> [AdapterConfig; 5] {
    [
        hyperformer(json!({})),
        hyperformer(json!({"hypernetworks": "block", "bias": "layer"})),
        polyhistor(json!({"mh_adapter": true})),
        polyhistor(json!({"lite": true})),
        polyhistor(json!({"bias": "generated"})),
    ]
}

/// A model in which every parameter of the method shows.
fn trained(backbone: &BackboneConfig, config: &AdapterConfig) -> Built {
    let built = Built::adapted(backbone, config, Form::Adapted);
    redraw(&built.store, 0.5, |name| name.contains("hyper_"));
    built
}

fn parameter(store: &Store, name: &str) -> Tensor {
    store.tensors().into_iter().find(|(known, _)| known == name).unwrap().1
}

fn levels(out: &Intermediates, task: i64) -> Vec<Tensor> {
    out.levels.iter().map(|level| level.task(task)).collect()
}

#[test]
fn tasks_know_nothing_of_each_other() {
    let _alone = alone();
    for backbone in [crate::support::swin(), crate::support::vit()] {
        for config in methods() {
            let (built, image) = (trained(&backbone, &config), image());
            let before = built.eval(&image);
            let mut embedding = parameter(&built.store, "hyper_task.normals");
            let _ = no_grad(|| embedding.g_add_scalar_(1.0));
            let after = built.eval(&image);
            for task in 0..TASKS.len() as i64 {
                for (a, b) in levels(&before, task).iter().zip(levels(&after, task)) {
                    assert_eq!(a.equal(&b), TASKS[task as usize] != "normals", "{config:?}");
                }
            }
            let out = built.backbone.forward_intermediates(&image, true).unwrap();
            let edge = levels(&out, 2).pop().unwrap();
            edge.square().sum(Kind::Float).backward();
            let grad = |task: &str| parameter(&built.store, &format!("hyper_task.{task}")).grad();
            assert_eq!(grad("normals").abs().max().double_value(&[]), 0.0, "{config:?}");
            assert!(grad("edge").abs().max().double_value(&[]) > 0.0, "{config:?}");
        }
    }
}

#[test]
fn streams_of_all_tasks_alone_run_through_the_trunk() {
    let _alone = alone();
    for backbone in [crate::support::swin(), crate::support::vit()] {
        for config in methods() {
            let built = trained(&backbone, &config);
            for level in built.eval(&image()).levels {
                assert!(level.shared().is_none(), "{config:?}");
                assert_eq!(level.per_task().unwrap().size()[..2], [3, 2], "{config:?}");
            }
            // What differs in the first block still differs at the last level.
            let Some(mut own) = parameter_of_the_first_block(&built.store) else { continue };
            let (image, last) = (image(), |out: &Intermediates| levels(out, 1).pop().unwrap());
            let before = last(&built.eval(&image));
            let _ = no_grad(|| own.g_add_scalar_(1.0));
            assert!(!last(&built.eval(&image)).equal(&before), "{config:?}");
        }
    }
}

/// Some methods have none.
fn parameter_of_the_first_block(store: &Store) -> Option<Tensor> {
    let first = ["layers.0.blocks.0.", "blocks.0."];
    let of = |name: &str| name.contains("hyper_") && first.iter().any(|p| name.starts_with(p));
    store.tensors().into_iter().find(|(name, _)| of(name)).map(|(_, tensor)| tensor)
}

#[test]
fn some_tasks_are_served_without_the_others() {
    let _alone = alone();
    for backbone in [crate::support::swin(), crate::support::vit()] {
        for config in methods() {
            let (built, image) = (trained(&backbone, &config), image());
            let all = built.eval(&image);
            for form in [Form::Adapted, Form::Merged] {
                let tensors = match form {
                    Form::Adapted => built.tensors(),
                    Form::Merged => built.merged(),
                };
                let kept = |name: &str| !name.split('.').any(|part| part == "normals");
                let tensors: Tensors = tensors.into_iter().filter(|(name, _)| kept(name)).collect();
                let plan = config.plan(&tasks(&["semseg", "edge"]), form).unwrap();
                let some = Built::new(&backbone, plan);
                some.load(&tensors);
                let some = some.eval(&image);
                for (found, expected) in [(0, 0), (1, 2)] {
                    let pairs = levels(&some, found).into_iter().zip(levels(&all, expected));
                    // A smaller batch may be multiplied in other blocks.
                    pairs.for_each(|(a, b)| {
                        let largest = b.abs().max().double_value(&[]).max(1.0);
                        close(
                            "served alone",
                            &(a / largest),
                            &(b / largest),
                            crate::support::TOLERANCE,
                        );
                    });
                }
            }
        }
    }
}

/// The ViT has one width, so a kernel is one number.
#[test]
fn kernels_of_one_leave_the_template_as_it_is() {
    let _alone = alone();
    let backbone = crate::support::vit();
    let lite = trained(&backbone, &polyhistor(json!({"lite": true})));
    let whole = Built::adapted(&backbone, &polyhistor(json!({})), Form::Adapted);
    for (name, mut tensor) in lite.store.tensors() {
        match name.ends_with(".kernel") {
            true => assert_eq!(no_grad(|| tensor.fill_(1.0)).size(), [1, 1]),
            false => {
                let name = name.replace("hyper_net.template", "hyper_net.12");
                no_grad(|| parameter(&whole.store, &name).copy_(&tensor));
            }
        }
    }
    let image = image();
    let (a, b) = (lite.eval(&image), whole.eval(&image));
    for task in 0..3 {
        levels(&a, task).iter().zip(levels(&b, task)).for_each(|(a, b)| assert!(a.equal(&b)));
    }
}

#[test]
fn what_merging_writes_are_the_generated_matrices() {
    let _alone = alone();
    let built = trained(&crate::support::swin(), &polyhistor(json!({"lite": true})));
    let merged = built.merged();
    let get = |name: &str| parameter(&built.store, name).detach();
    let site = "layers.1.blocks.0.mlp.fc2";
    let factor = |part: &str, rows: i64| {
        let net = get(&format!("hyper_net.template.mlp.down.{part}"));
        net.mv(&get("hyper_task.edge")).view([rows, -1])
    };
    // From width 12 and a bottleneck of 3 to width 24 and one of 6.
    let template = factor("left", 12).matmul(&factor("right", 2));
    let expected = get(&format!("{site}.hyper_down.kernel")).kron(&template);
    let found = &merged[&format!("{site}.hyper_tasks.edge.down.weight")];
    assert_eq!(found.size(), [6, 24]);
    close("K (x) P Q", found, &expected.tr(), 1e-6);
    let shared = &merged[&format!("{site}.hyper_tasks.edge.up.bias")];
    assert!(shared.equal(&get(&format!("{site}.hyper_up.bias"))));
}

fn refusal(backbone: &BackboneConfig, config: &AdapterConfig) -> String {
    let plan = config.plan(&tasks(&TASKS), Form::Adapted).unwrap();
    let root = Store::new(Device::Cpu).root();
    backbone.init(&root, plan.as_ref(), Options::default()).map(|_| ()).unwrap_err().to_string()
}

#[test]
fn what_does_not_fit_a_backbone_is_refused() {
    let _alone = alone();
    let swin = crate::support::swin();
    assert_eq!(
        refusal(&swin, &polyhistor(json!({"reduction_factor": 13}))),
        "layers.0.blocks.0.mlp.fc2: reduction_factor: expected at most 12, found 13"
    );
    assert_eq!(
        refusal(&swin, &polyhistor(json!({"rank": 4}))),
        "layers.0.blocks.0.mlp.fc2: rank: expected at most 3, found 4"
    );
    assert_eq!(
        refusal(&swin, &hyperformer(json!({"reduction_factor": 13}))),
        "layers.0.blocks.0.attn.proj: reduction_factor: expected at most 12, found 13"
    );
}

#[test]
fn a_template_grows_to_multiples_of_its_width_only() {
    let _alone = alone();
    let plan = polyhistor(json!({"lite": true})).plan(&tasks(&TASKS), Form::Adapted).unwrap();
    let root = Store::new(Device::Cpu).root();
    let make = |path: &str, d: i64| {
        let fc2 = crate::support::site(path, polyptych_tensor::SiteKind::Fc2, [4 * d, d]);
        plan.projection(&root.pp(path), &fc2).map(|_| ())
    };
    make("blocks.0.mlp.fc2", 12).unwrap();
    make("blocks.1.mlp.fc2", 36).unwrap();
    let message = make("blocks.2.mlp.fc2", 18).unwrap_err().to_string();
    assert_eq!(message, "blocks.2.mlp.fc2: lite: expected a width that 12 divides, found 18");
}
