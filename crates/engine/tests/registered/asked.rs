//! Who asks for some tasks pays for those: other heads do not run, and what is answered is the same.
use std::sync::atomic::Ordering;

use crate::common::counted::{CALLS, CountedConfig};
use crate::common::methods::chosen;
use crate::common::{alone, recipe};
use polyptych_adapters::Form;
use polyptych_data::{TaskKind, TaskSpec};
use polyptych_engine::{Model, Recipe, Task};
use polyptych_heads::HeadConfig;
use polyptych_tensor::{Device, Kind, Tensor, no_grad};

fn spec(name: &str, kind: TaskKind, classes: usize) -> TaskSpec {
    let classes: Vec<String> = (0..classes).map(|class| class.to_string()).collect();
    let palette = vec![[0; 3]; classes.len()];
    TaskSpec { name: name.into(), kind, classes, palette, flip_pairs: vec![] }
}

fn specs() -> [TaskSpec; 2] {
    [spec("depth", TaskKind::Depth, 0), spec("semseg", TaskKind::Semseg, 5)]
}

/// A model whose factors all have an effect.
fn model(recipe: &Recipe, specs: &[TaskSpec], form: Form) -> Model {
    let model = Model::new(recipe, specs, form, Device::Cpu).unwrap();
    no_grad(|| {
        for (_, param) in model.store.tensors() {
            if param.kind() == Kind::Float {
                let noise = param.randn_like() * 0.02;
                drop(param.shallow_clone().g_add_(&noise));
            }
        }
    });
    model
}

fn images() -> Tensor {
    Tensor::randn([2, 3, 32, 32], (Kind::Float, Device::Cpu))
}

fn asked(model: &Model, images: &Tensor, names: &[&str]) -> Vec<Tensor> {
    let wanted = |task: &Task| names.contains(&task.spec.name.as_str());
    no_grad(|| model.forward_some(images, false, wanted)).unwrap()
}

fn close(what: &str, found: &Tensor, expected: &Tensor) {
    let largest = expected.abs().max().double_value(&[]).max(1e-6);
    let difference = (found - expected).abs().max().double_value(&[]);
    assert!(difference <= 1e-5 * largest, "{what}: {difference} of {largest}");
}

#[test]
fn heads_that_nobody_asked_for_do_not_run() {
    let _alone = alone();
    let _ = HeadConfig::register::<CountedConfig>();
    let head = |task: &str| format!("tasks.{task}={{weight=1.0, head={{name='counted'}}}}");
    let names = ["depth", "edge", "human_parts", "normals", "sal", "semseg"];
    let kinds = [
        TaskKind::Depth,
        TaskKind::Edge,
        TaskKind::HumanParts,
        TaskKind::Normals,
        TaskKind::Sal,
        TaskKind::Semseg,
    ];
    let specs = names.iter().zip(kinds).map(|(name, kind)| {
        spec(
            name,
            kind,
            if matches!(kind, TaskKind::HumanParts | TaskKind::Semseg) { 3 } else { 0 },
        )
    });
    let specs: Vec<TaskSpec> = specs.collect();
    let settings: Vec<String> = names.into_iter().map(head).collect();
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let model = model(&recipe(&settings), &specs, Form::Merged);
    let images = images();
    for count in [1, 2, names.len()] {
        CALLS.store(0, Ordering::Relaxed);
        let outputs = asked(&model, &images, &names[names.len() - count..]);
        assert_eq!((outputs.len(), CALLS.load(Ordering::Relaxed)), (count, count));
    }
}

/// Methods that leave out streams of tasks, and one whose tasks share all.
const METHODS: [&str; 4] = ["mtlora", "ditask", "free_sinewich", "lora"];

#[test]
fn one_task_is_answered_as_among_all() {
    let _alone = alone();
    let images = images();
    for method in METHODS {
        let recipe = recipe(&[&chosen(method)]);
        for form in [Form::Adapted, Form::Merged] {
            let model = model(&recipe, &specs(), form);
            let all = no_grad(|| model.forward(&images, false)).unwrap();
            for (index, name) in ["depth", "semseg"].into_iter().enumerate() {
                let one = asked(&model, &images, &[name]);
                close(&format!("{method}, {form:?}: {name}"), &one[0], &all[index]);
            }
            // Nothing of the question is left for the next pass.
            let again = no_grad(|| model.forward(&images, false)).unwrap();
            assert!(again.iter().zip(&all).all(|(a, b)| a.equal(b)), "{method}, {form:?}");
        }
    }
}
