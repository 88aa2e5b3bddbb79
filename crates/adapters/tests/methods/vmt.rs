//! VMT-Adapter: one path by hand, and how its streams depend on each other on a whole backbone.
use std::cell::Cell;
use std::rc::Rc;

use polyptych_adapters::methods::vmt_adapter::add_task;
use polyptych_adapters::{AdapterConfig, Form};
use polyptych_backbones::{Intermediates, Options};
use polyptych_tensor::optim::{AdamW, AdamWConfig, Optimiser, decay_groups};
use polyptych_tensor::{
    Activations, Device, Gate, Kind, LoadOptions, Owner, Parallel, ParameterKinds, Plan,
    Projection, Pyramid, Result, Scope, Site, SiteKind, Store, Tensor, Tensors, matches, no_grad,
};
use serde_json::{Value, json};

use crate::support::{
    Built, TASKS, TOLERANCE, adapter, alone, close, difference, image, random, redraw, site,
    snapshot, tasks,
};

fn vmt(more: Value) -> AdapterConfig {
    let mut fields = json!({"method": "vmt_adapter", "bottleneck": {"fixed": 4}});
    fields.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    adapter(fields)
}

/// What must hold for every way of drawing a task's own from what all share.
fn variants() -> Vec<AdapterConfig> {
    [
        json!({}),
        json!({"ke_blocks": "all"}),
        json!({"knowledge_extraction": "output"}),
        json!({"knowledge_extraction": "linear"}),
        json!({"projections": "tied"}),
        json!({"projections": {"shared_core": {"rank": 3}}}),
    ]
    .into_iter()
    .map(vmt)
    .collect()
}

fn is_vmt(name: &str) -> bool {
    name.contains("vmt_")
}

/// A Swin whose adapters all have an effect.
fn random_swin(config: &AdapterConfig) -> Built {
    let built = Built::adapted(&crate::support::swin(), config, Form::Adapted);
    redraw(&built.store, 0.3, is_vmt);
    built
}

fn set(store: &Store, name: &str, values: &[f32]) {
    let mut tensor = store.tensors().into_iter().find(|(known, _)| known == name).unwrap().1;
    no_grad(|| tensor.copy_(&Tensor::from_slice(values).view(tensor.size().as_slice())));
}

/// The path beside one MLP in the last block of a stage, with its parameters at the top.
fn path(config: &AdapterConfig, tasks: &[String], d: i64) -> (Store, Box<dyn Parallel>) {
    let store = Store::new(Device::Cpu);
    let plan = config.plan(tasks, Form::Adapted).unwrap();
    let mlp = site("layers.0.blocks.1.mlp", SiteKind::Mlp, [d, d]);
    let path = plan.parallel(&store.root(), &mlp).unwrap().unwrap();
    (store, path)
}

/// The hand example of the method's notes: `a_0 = [0.1, 0.05]`, `a_t = [0.25, -0.25]`.
#[test]
fn a_path_follows_its_equations() {
    let _alone = alone();
    for (decoder_input, task) in [("sum", [0.15, -0.3]), ("concat", [0.25, -0.25])] {
        let config = vmt(json!({"bottleneck": {"fixed": 2}, "decoder_input": decoder_input}));
        let (store, path) = path(&config, &tasks(&["depth"]), 2);
        set(&store, "vmt_down.weight", &[0.5, 0.25, -1.0, 0.75]);
        set(&store, "vmt_down.bias", &[0.1, 0.2]);
        set(&store, "vmt_up.weight", &[1.0, 0.5, 0.0, -1.0]);
        set(&store, "vmt_up.bias", &[0.0, 0.05]);
        set(&store, "vmt_ke.depth.weight", &[2.0, 0.5]);
        set(&store, "vmt_ke.depth.bias", &[-0.1, 0.3]);
        let u = Activations::Shared(Tensor::from_slice(&[1f32, -2.0]).view([1, 1, 2]));
        let other = Activations::Shared(random(&[1, 1, 2]));
        let out = path.forward(&other, &u, false);
        let expected = |values: [f32; 2]| Tensor::from_slice(&values);
        close("shared", &out.added.expect_shared().view([2]), &expected([0.1, 0.05]), 1e-6);
        close(decoder_input, &out.aside.unwrap().view([2]), &expected(task), 1e-6);
    }
}

fn levels_equal(found: &Intermediates, expected: &Intermediates, what: &str) {
    for (index, (found, expected)) in found.levels.iter().zip(&expected.levels).enumerate() {
        assert!(found.expect_shared().equal(expected.expect_shared()), "{what}, level {index}");
    }
}

#[test]
fn a_fresh_adapter_is_the_backbone_for_every_task_bit_for_bit() {
    let _alone = alone();
    for backbone in [crate::support::swin(), crate::support::vit()] {
        for config in variants() {
            let built = Built::adapted(&backbone, &config, Form::Adapted);
            let plain = Built::plain(&backbone, Pyramid::AfterBlocks);
            plain.load(&built.tensors().into_iter().filter(|(name, _)| !is_vmt(name)).collect());
            let image = image();
            let (found, expected) = (built.eval(&image), plain.eval(&image));
            levels_equal(&found, &expected, "fresh");
            for level in &found.levels {
                assert_eq!(level.per_task().unwrap().size()[0], TASKS.len() as i64);
                (0..3).for_each(|task| assert!(level.task(task).equal(level.expect_shared())));
            }
        }
    }
}

/// The trunk and the task streams must be dropped together.
#[test]
fn stochastic_depth_draws_once_for_trunk_and_tasks() {
    let _alone = alone();
    let swin = crate::support::swin().with_drop_path_rate(0.9);
    let built = Built::adapted(&swin, &vmt(json!({})), Form::Adapted);
    let image = random(&[16, 3, 32, 32]);
    let runs = [0, 1].map(|_| built.backbone.forward_intermediates(&image, true).unwrap());
    assert!(!runs[0].levels[1].expect_shared().equal(runs[1].levels[1].expect_shared()));
    for level in &runs[0].levels {
        (0..3).for_each(|task| assert!(level.task(task).equal(level.expect_shared())));
    }
}

#[test]
fn a_tasks_module_changes_that_task_alone() {
    let _alone = alone();
    for config in variants() {
        let built = random_swin(&config);
        let image = image();
        let before = built.eval(&image);
        redraw(&built.store, 0.3, |name| name.contains("vmt_ke.normals."));
        let after = built.eval(&image);
        levels_equal(&after, &before, "shared");
        for (before, after) in before.levels.iter().zip(&after.levels) {
            let same = |task| before.task(task).equal(&after.task(task));
            assert_eq!([0, 1, 2].map(same), [true, false, true], "{config:?}");
        }
    }
}

#[test]
fn a_loss_reaches_no_other_tasks_module() {
    let _alone = alone();
    for config in variants() {
        let built = random_swin(&config);
        let out = built.backbone.forward_intermediates(&image(), true).unwrap();
        let one = |level: &Activations| level.task(1).square().sum(Kind::Float);
        out.levels.iter().map(one).reduce(|a, b| a + b).unwrap().backward();
        for (name, tensor) in built.store.trainable() {
            let largest = tensor.grad().abs().max().double_value(&[]);
            let other = name.contains("vmt_ke.") && !name.contains(".normals.");
            assert_eq!(largest == 0.0, other, "{name}: {largest}");
        }
    }
}

/// Counts how often any projection of the trunk is asked.
#[derive(Debug)]
struct Counting {
    plan: Rc<dyn Plan>,
    calls: Rc<Cell<usize>>,
}

#[derive(Debug)]
struct Counted(Box<dyn Projection>, Rc<Cell<usize>>);

impl Projection for Counted {
    fn forward(&self, x: &Activations, train: bool) -> Activations {
        assert!(x.per_task().is_none(), "a task stream in the trunk");
        self.1.set(self.1.get() + 1);
        self.0.forward(x, train)
    }
}

impl Plan for Counting {
    fn projection(&self, scope: &Scope, site: &Site) -> Result<Box<dyn Projection>> {
        let projection = self.plan.projection(scope, site)?;
        Ok(Box::new(Counted(projection, self.calls.clone())))
    }

    fn gate(&self, scope: &Scope, fc1: &Site) -> Result<Option<Box<dyn Gate>>> {
        self.plan.gate(scope, fc1)
    }

    fn parallel(&self, scope: &Scope, mlp: &Site) -> Result<Option<Box<dyn Parallel>>> {
        self.plan.parallel(scope, mlp)
    }

    fn trains(&self, kinds: &ParameterKinds) -> bool {
        self.plan.trains(kinds)
    }
}

#[test]
fn one_pass_through_the_trunk_serves_any_number_of_tasks() {
    let _alone = alone();
    for backbone in [crate::support::swin(), crate::support::vit()] {
        let calls = [1, 8].map(|count| {
            let names: Vec<String> = (0..count).map(|index| format!("task{index}")).collect();
            let plan = vmt(json!({"ke_blocks": "all"})).plan(&names, Form::Adapted).unwrap();
            let calls = Rc::default();
            let built = Built::new(&backbone, Rc::new(Counting { plan, calls: Rc::clone(&calls) }));
            let out = built.eval(&image());
            assert_eq!(out.levels[0].per_task().unwrap().size()[0], count);
            calls.get()
        });
        assert_eq!(calls[0], calls[1]);
    }
}

#[test]
fn fewer_tasks_are_served_as_if_all_were() {
    let _alone = alone();
    for config in variants() {
        for form in [Form::Adapted, Form::Merged] {
            let whole = random_swin(&config);
            let tensors = match form {
                Form::Adapted => whole.tensors(),
                Form::Merged => whole.merged(),
            };
            let all = Built::adapted(&crate::support::swin(), &config, form);
            all.load(&tensors);
            let image = image();
            let expected = all.eval(&image);
            for served in [vec![2], vec![0, 2]] {
                let names: Vec<String> = served.iter().map(|&t| TASKS[t].to_owned()).collect();
                let some = Built::new(&crate::support::swin(), config.plan(&names, form).unwrap());
                let unused = ["*.vmt_ke.*", "*.vmt_up_tasks.*"];
                let options = LoadOptions { allow_unused: &unused, ..LoadOptions::default() };
                some.store.load("all tasks", &tensors, &options).unwrap();
                let found = some.eval(&image);
                levels_equal(&found, &expected, "served");
                for (found, expected) in found.levels.iter().zip(&expected.levels) {
                    let same = |(axis, &task): (usize, &usize)| {
                        found.task(axis as i64).equal(&expected.task(task as i64))
                    };
                    assert!(served.iter().enumerate().all(same), "{config:?} {form:?} {served:?}");
                }
            }
        }
    }
}

#[test]
fn a_task_is_added_without_touching_the_others() {
    let _alone = alone();
    for config in variants() {
        let old = random_swin(&config);
        let before = snapshot(&old.store);
        let more = add_task(&old.tensors(), "depth").unwrap();
        for (name, tensor) in &more {
            let is_new = !before.contains_key(name);
            assert_eq!(is_new, name.contains(".vmt_ke.depth."), "{name}");
            assert!(is_new || tensor.equal(&before[name]), "{name}");
        }
        let names = tasks(&["depth", TASKS[0], TASKS[1], TASKS[2]]);
        let plan = config.plan(&names, Form::Adapted).unwrap();
        let new = Built::new(&crate::support::swin(), plan);
        let is_new = |name: &str| new.owner(name).is_some_and(|owner| owner.task == "depth");
        new.store.set_trainable(is_new);
        new.load(&more);
        let image = image();
        let expected = old.eval(&image);
        old_tasks_are_equal(&new.eval(&image), &expected);
        let loss = |level: &Activations| level.task(0).square().sum(Kind::Float);
        let out = new.backbone.forward_intermediates(&image, true).unwrap();
        out.levels.iter().map(loss).reduce(|a, b| a + b).unwrap().backward();
        new.store.check_gradients().unwrap();
        let groups = decay_groups(new.store.trainable(), 0.05);
        AdamW::new(AdamWConfig::default(), groups).step(1e-2).unwrap();
        let after = new.eval(&image);
        old_tasks_are_equal(&after, &expected);
        assert!(difference(&after.levels[1].task(0), after.levels[1].expect_shared()) > 1e-4);
    }
}

#[test]
fn modules_have_owners_and_nothing_else_has() {
    let _alone = alone();
    let built = random_swin(&vmt(json!({})));
    for (name, _) in built.store.tensors() {
        let owner = built.owner(&name);
        assert_eq!(owner.is_some(), name.contains(".vmt_ke."), "{name}");
        if let Some(Owner { task, stage: Some(stage) }) = owner {
            let start = format!("layers.{stage}.blocks.1.mlp.vmt_ke.{task}.");
            assert!(name.starts_with(&start), "{name} {task} {stage}");
        }
    }
}

fn old_tasks_are_equal(found: &Intermediates, expected: &Intermediates) {
    levels_equal(found, expected, "added");
    for (found, expected) in found.levels.iter().zip(&expected.levels) {
        (0..3).for_each(|task| assert!(found.task(task + 1).equal(&expected.task(task))));
    }
}

#[test]
fn a_task_cannot_be_added_twice_nor_to_another_method() {
    let _alone = alone();
    let message = |tensors: &Tensors, task: &str| add_task(tensors, task).unwrap_err().to_string();
    let tensors = random_swin(&vmt(json!({}))).tensors();
    let twice = "task: expected a task that the model does not have, found edge";
    assert_eq!(message(&tensors, "edge"), twice);
    let dotted = "task: expected a name without dots, found `a.b`";
    assert_eq!(message(&tensors, "a.b"), dotted);
    let plain = Built::plain(&crate::support::swin(), Pyramid::AfterBlocks).tensors();
    let none = "vmt_ke: expected the modules of an unmerged VMT-Adapter, found none";
    assert_eq!(message(&plain, "depth"), none);
}

#[test]
fn heads_may_read_trunk_and_term_side_by_side() {
    let _alone = alone();
    for backbone in [crate::support::swin(), crate::support::vit()] {
        let [sum, concat] = ["sum", "concat"].map(|input| {
            Built::adapted(&backbone, &vmt(json!({"decoder_input": input})), Form::Adapted)
        });
        redraw(&sum.store, 0.3, is_vmt);
        concat.load(&sum.tensors());
        let image = image();
        let (narrow, wide) = (sum.eval(&image), concat.eval(&image));
        for (index, (narrow, wide)) in narrow.levels.iter().zip(&wide.levels).enumerate() {
            let width = narrow.expect_shared().size()[3];
            assert_eq!(concat.backbone.feature_info()[index].num_chs, 2 * width);
            let halves = |task| wide.task(task).chunk(2, -1);
            assert!(
                halves(0)[0].equal(wide.expect_shared())
                    && wide.expect_shared().equal(narrow.expect_shared())
            );
            let expected = narrow.task(1) - narrow.task(0);
            close("term", &(&halves(1)[1] - &halves(0)[1]), &expected, TOLERANCE);
        }
        let merged =
            Built::adapted(&backbone, &vmt(json!({"decoder_input": "concat"})), Form::Merged);
        merged.load(&concat.merged());
        for (found, expected) in merged.eval(&image).levels.iter().zip(&wide.levels) {
            close("merged", &found.task(1), &expected.task(1), TOLERANCE);
        }
    }
}

fn refusal(config: &AdapterConfig, options: Options) -> String {
    let plan = config.plan(&tasks(&TASKS), Form::Adapted).unwrap();
    let store = Store::new(Device::Cpu);
    let built = crate::support::swin().build(&store.root(), plan.as_ref(), options);
    built.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn what_does_not_fit_the_backbone_is_named() {
    let _alone = alone();
    let blocks = "layers.0.blocks.0, layers.0.blocks.1, layers.1.blocks.0, layers.1.blocks.1";
    let dead = "ke_blocks: expected blocks with a tap at or behind them in their stage, found \
                layers.1.blocks.0, whose modules would get no gradient";
    for (fields, expected) in [
        (
            json!({"taps": ["layers.9.blocks.0"]}),
            format!("taps: expected some of {blocks}, found layers.9.blocks.0"),
        ),
        (
            json!({"ke_blocks": {"named": ["blocks.0"]}}),
            format!("ke_blocks.named: expected some of {blocks}, found blocks.0"),
        ),
        (
            json!({"taps": ["layers.0.blocks.0", "layers.0.blocks.1"]}),
            "taps: expected at most one block in each stage, found layers.0.blocks.0 and \
             layers.0.blocks.1"
                .into(),
        ),
        (json!({"taps": ["layers.0.blocks.1"], "ke_blocks": "all"}), dead.into()),
        (
            json!({"ke_blocks": {"named": ["layers.1.blocks.1"]}}),
            "ke_blocks: expected a block with knowledge extraction at or before each tap in its \
             stage, found none for layers.0.blocks.1"
                .into(),
        ),
        (
            json!({"bottleneck": {"reduction": 16}}),
            "layers.0.blocks.0.mlp: bottleneck.reduction: expected at most 12, found 16".into(),
        ),
        (
            json!({"projections": {"shared_core": {"rank": 4}}}),
            "layers.0.blocks.0.mlp: projections.shared_core.rank: expected below the bottleneck's \
             4, found 4"
                .into(),
        ),
    ] {
        let options = Options { features_only: true, ..Options::default() };
        assert_eq!(refusal(&vmt(fields), options), expected);
    }
    let wide = vmt(json!({"decoder_input": "concat"}));
    let expected = "expected streams of the trunk's width, which go on through";
    let merging = Some(Pyramid::AfterMerging);
    for (options, layers) in [
        (Options::default(), "the final norm"),
        (
            Options { features_only: true, pyramid: merging, ..Options::default() },
            "the patch merging",
        ),
    ] {
        let found = refusal(&wide, options);
        assert!(found.contains(&format!("{expected} {layers}, found twice")), "{found}");
    }
}

#[test]
fn a_tap_may_stand_within_a_stage() {
    let _alone = alone();
    let config = vmt(json!({"taps": ["layers.0.blocks.0", "layers.1.blocks.1"]}));
    let built = random_swin(&config);
    let modules: Vec<String> =
        built.tensors().into_keys().filter(|n| matches(&["*.vmt_ke.edge.weight"], n)).collect();
    let path = |block: &str| format!("{block}.mlp.vmt_ke.edge.weight");
    assert_eq!(modules, [path("layers.0.blocks.0"), path("layers.1.blocks.1")]);
    let image = image();
    let before = built.eval(&image);
    redraw(&built.store, 0.3, |name| name.starts_with("layers.0.blocks.1.mlp.vmt_"));
    let after = built.eval(&image);
    assert!(after.levels[0].task(0).equal(&before.levels[0].task(0)));
    assert!(!after.levels[0].expect_shared().equal(before.levels[0].expect_shared()));
}
