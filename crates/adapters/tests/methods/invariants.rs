//! What holds for every method: it starts as the plain backbone, trains what it declares and
//! nothing else, merges without changing outputs, and survives a file.

use std::collections::{BTreeSet, HashMap};

use polyptych_adapters::{Form, is_method_parameter};
use polyptych_backbones::{BackboneConfig, Intermediates, Options};
use polyptych_formats::file;
use polyptych_tensor::optim::{AdamW, AdamWConfig, Optimiser, decay_groups};
use polyptych_tensor::{Device, Kind, Store, Tensor, manual_seed, matches};

use crate::cases::{Case, DEAD, cases};
use crate::support::{
    Built, TASKS, TOLERANCE, alone, close, difference, image, random, redraw, snapshot,
};

/// Every stream that a head can read, by level and task, and the shared ones.
fn streams(out: &Intermediates) -> Vec<(String, Tensor)> {
    let level = |(index, level): (usize, &polyptych_tensor::Activations)| {
        let task = |t: usize| (format!("level {index}, {}", TASKS[t]), level.task(t as i64));
        let shared = level.shared().map(Tensor::shallow_clone);
        let shared = shared.map(|shared| (format!("level {index}, shared"), shared));
        (0..TASKS.len()).map(task).chain(shared).collect::<Vec<_>>()
    };
    out.levels.iter().enumerate().flat_map(level).collect()
}

/// Gives every parameter of the method a value that shows in the outputs.
fn set_off(built: &Built) {
    // The same values whatever was drawn before: units of a narrow bottleneck may all be dead.
    polyptych_tensor::manual_seed(1);
    let trainable = built.store.trainable().into_iter().map(|(name, _)| name);
    let trainable: BTreeSet<String> = trainable.filter(|name| is_method_parameter(name)).collect();
    // What selects layers stays, or some layers would have no effect at all.
    let selects = |name: &str| {
        ["taps_s", "diff_alpha", "diff_group", "interro_alpha", "mor1e_omega", "mor1e_gate"]
            .iter()
            .any(|s| name.contains(s))
    };
    redraw(&built.store, 0.1, |name| trainable.contains(name) && !selects(name));
}

#[test]
fn a_methods_parameters_are_marked_where_they_are_made() {
    let _alone = alone();
    for (architecture, backbone) in
        [("swin", crate::support::swin()), ("vit", crate::support::vit())]
    {
        for case in cases().into_iter().filter(|case| case.fits(&backbone)) {
            for form in [Form::Adapted, Form::Merged] {
                let built = Built::adapted(&backbone, &case.config, form);
                for parameter in &built.parameters {
                    let name = &parameter.name;
                    let what = format!("{architecture}, {}, {form:?}: {name}", case.name);
                    assert_eq!(parameter.adapter, is_method_parameter(name), "{what}");
                }
            }
        }
    }
}

#[test]
fn every_method_starts_as_the_plain_backbone() {
    let _alone = alone();
    for (architecture, backbone) in
        [("swin", crate::support::swin()), ("vit", crate::support::vit())]
    {
        for case in cases().into_iter().filter(|case| case.fits(&backbone)) {
            let adapted = Built::adapted(&backbone, &case.config, Form::Adapted);
            // Addition is not the identity by its formula; its norm at zero has to make it so.
            // EMTAL's factors both start at random values, and its router is not gone yet.
            redraw(&adapted.store, 0.0, |name| {
                ["lora_norm", "lora_B"].iter().any(|p| name.contains(p))
            });
            adapted.plan.set_progress(1, 1);
            let plain = Built::plain(&backbone, adapted.plan.pyramid());
            let weights =
                adapted.tensors().into_iter().filter(|(name, _)| !is_method_parameter(name));
            plain.load(&weights.collect());
            let image = image();
            let (found, expected) = (adapted.eval(&image), plain.eval(&image));
            let expected: HashMap<String, Tensor> = streams(&expected).into_iter().collect();
            for (what, found) in streams(&found) {
                let expected = &expected[&what];
                // A stack of streams may be multiplied in other blocks than one stream is.
                if case.never_plain {
                    assert!(difference(&found, expected) > TOLERANCE, "{}, {what}", case.name);
                    continue;
                }
                let by_task = ["free_sinewich", "pdrs_sinewich", "faar", "ditask"]
                    .contains(&case.config.name());
                let stacked = architecture == "swin" || by_task || adapted.plan.keeps_streams();
                // What is shared is a mixture of the tasks' streams.
                let mixed = case.config.name() == "interrogate";
                let exact = (what.ends_with("shared") && !mixed) || !stacked;
                let what = format!("{architecture}, {}, {what}", case.name);
                // MoORE puts weights together again of their singular vectors.
                let near = if case.config.name() == "moore" { TOLERANCE } else { 1e-6 };
                close(&what, &found, expected, if exact { 0.0 } else { near });
            }
        }
    }
}

#[test]
fn what_trains_is_what_the_method_declares() {
    let _alone = alone();
    for case in cases() {
        let built = Built::adapted(&crate::support::swin(), &case.config, Form::Adapted);
        let names: Vec<String> = built.tensors().into_keys().collect();
        let expected = names.iter().filter(|name| matches(case.trains, name)).cloned();
        let found = built.store.trainable().into_iter().map(|(name, _)| name);
        assert_eq!(found.collect::<Vec<_>>(), expected.collect::<Vec<_>>(), "{}", case.name);
        for pattern in case.trains {
            assert!(names.iter().any(|name| matches(&[pattern], name)), "{}: {pattern}", case.name);
        }
    }
}

/// Mean squared distance of all task streams to random targets, and the method's own term: they reach
/// every parameter.
fn loss(built: &Built) -> Tensor {
    let out = built.backbone.forward_intermediates(&image(), true).unwrap();
    let distance = |t: Tensor| (&t - random(&t.size())).square().mean(Kind::Float);
    let tasks = streams(&out).into_iter().filter(|(what, _)| !what.ends_with("shared"));
    let losses = tasks.map(|(_, stream)| distance(stream)).chain(built.plan.penalty());
    losses.reduce(|a, b| a + b).unwrap()
}

/// Dropout and stochastic depth draw the same, once a seed is set.
#[test]
fn blocks_that_are_run_again_change_no_bit() {
    let _alone = alone();
    for backbone in
        [crate::support::swin(), crate::support::vit()].map(|b| b.with_drop_path_rate(0.3))
    {
        for case in cases().into_iter().filter(|case| case.fits(&backbone)) {
            let plain = Built::adapted(&backbone, &case.config, Form::Adapted);
            set_off(&plain);
            let plan = case.config.plan(&crate::support::tasks(&TASKS), Form::Adapted).unwrap();
            let options =
                Options { features_only: true, grad_checkpointing: true, ..Options::default() };
            let again = Built::with(&backbone, plan, options);
            again.load(&plain.tensors());
            let [expected, found] = [&plain, &again].map(|built| {
                manual_seed(5);
                let loss = loss(built);
                if loss.requires_grad() {
                    loss.backward();
                }
                loss
            });
            assert!(found.equal(&expected), "{}", case.name);
            let pairs = plain.store.trainable().into_iter().zip(again.store.trainable());
            for ((name, expected), (_, found)) in pairs {
                let [expected, found] = [expected.grad(), found.grad()];
                assert_eq!(expected.defined(), found.defined(), "{}: {name}", case.name);
                let same = !expected.defined() || found.equal(&expected);
                assert!(same, "{}: {name}", case.name);
            }
        }
    }
}

#[test]
fn a_step_moves_what_trains_and_leaves_the_rest_bit_for_bit() {
    let _alone = alone();
    for case in cases().into_iter().filter(|case| !case.trains.is_empty()) {
        let built = Built::adapted(&crate::support::swin(), &case.config, Form::Adapted);
        set_off(&built);
        let before = snapshot(&built.store);
        loss(&built).backward();
        let trainable = built.store.trainable();
        let mut optimiser = AdamW::new(AdamWConfig::default(), decay_groups(trainable, 0.05));
        optimiser.step(1e-2).unwrap();
        for (name, after) in built.tensors() {
            let moved = !after.equal(&before[&name]);
            let moves = matches(case.trains, &name) && !case.dead.contains(&name.as_str());
            assert_eq!(moved, moves, "{}: {name}", case.name);
        }
    }
}

#[test]
fn gradients_reach_all_that_trains_but_the_dead_ends() {
    let _alone = alone();
    for backbone in [crate::support::swin(), crate::support::vit()] {
        let fits = |case: &Case| !case.trains.is_empty() && case.fits(&backbone);
        for case in cases().into_iter().filter(fits) {
            let built = Built::adapted(&backbone, &case.config, Form::Adapted);
            set_off(&built);
            loss(&built).backward();
            let without = |(name, tensor): (String, Tensor)| {
                let grad = tensor.grad();
                let reached = grad.defined() && grad.abs().max().double_value(&[]) > 0.0;
                (!reached).then_some(name)
            };
            let found: BTreeSet<String> =
                built.store.trainable().into_iter().filter_map(without).collect();
            assert_eq!(found, dead_ends(&backbone, &case), "{}", case.name);
            built.store.check_gradients().unwrap();
        }
    }
}

fn dead_ends(backbone: &BackboneConfig, case: &Case) -> BTreeSet<String> {
    let name = |name: &&str| match backbone.name() {
        "vit" => name.replace("layers.1.blocks.1", "blocks.2"),
        _ => (*name).to_owned(),
    };
    case.dead.iter().map(name).collect()
}

#[test]
fn merging_changes_no_output() {
    let _alone = alone();
    for case in cases() {
        let backbone = crate::support::swin();
        let built = Built::adapted(&backbone, &case.config, Form::Adapted);
        built.plan.set_progress(1, 1);
        assert_eq!(built.plan.unmergeable(), case.unmergeable, "{}", case.name);
        // Weights as small as fresh ones would make the norms amplify rounding.
        redraw(&built.store, 0.3, |name| !is_method_parameter(name) && !name.contains("norm"));
        let image = image();
        let start = streams(&built.eval(&image));
        set_off(&built);
        let before = snapshot(&built.store);
        let tensors = built.merged();
        for (name, tensor) in built.tensors() {
            assert!(tensor.equal(&before[&name]), "{}: {name} changed by merging", case.name);
        }
        let merged = Built::adapted(&backbone, &case.config, Form::Merged);
        merged.load(&tensors);
        let (expected, found) = (streams(&built.eval(&image)), streams(&merged.eval(&image)));
        for (index, (what, found)) in found.iter().enumerate() {
            let expected = &expected[index].1;
            if built.tensors().keys().any(|name| is_method_parameter(name)) {
                let effect = difference(expected, &start[index].1);
                assert!(effect > 20.0 * TOLERANCE, "{}, {what}: effect {effect}", case.name);
            }
            // The shared stream behind a dropped dead end is nobody's.
            if what != "level 1, shared" || !case.dead.contains(&DEAD[0]) {
                let largest = expected.abs().max().double_value(&[]).max(1.0);
                let what = format!("{}, {what}", case.name);
                close(&what, &(found / largest), &(expected / largest), TOLERANCE);
            }
        }
    }
}

#[test]
fn merging_leaves_only_what_cannot_be_merged() {
    let _alone = alone();
    for case in cases() {
        let built = Built::adapted(&crate::support::swin(), &case.config, Form::Adapted);
        let merged = built.merged();
        let (made, found): (Vec<String>, Vec<String>) = merged
            .into_keys()
            .filter(|name| is_method_parameter(name))
            .partition(|n| matches(case.made, n));
        for pattern in case.made {
            assert!(made.iter().any(|name| matches(&[pattern], name)), "{}: {pattern}", case.name);
        }
        let may_stay = |name: &String| {
            is_method_parameter(name) && matches(case.remain, name) && !matches(case.made, name)
        };
        let expected = built.tensors().into_keys().filter(may_stay);
        assert_eq!(found, expected.collect::<Vec<_>>(), "{}", case.name);
    }
}

#[test]
fn a_model_survives_its_file() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    for case in cases() {
        let built = Built::adapted(&crate::support::swin(), &case.config, Form::Adapted);
        set_off(&built);
        file::save(&path, &built.tensors(), HashMap::new()).unwrap();
        let back = Built::adapted(&crate::support::swin(), &case.config, Form::Adapted);
        back.load(&file::load(&path).unwrap().tensors);
        let image = image();
        let (expected, found) = (streams(&built.eval(&image)), streams(&back.eval(&image)));
        for ((what, found), (_, expected)) in found.iter().zip(&expected) {
            assert!(found.equal(expected), "{}: {what}", case.name);
        }
    }
}

#[test]
fn methods_without_a_place_in_a_vit_are_refused() {
    let _alone = alone();
    for case in cases() {
        let plan = case.config.plan(&crate::support::tasks(&TASKS), Form::Adapted).unwrap();
        let options = Options { features_only: true, ..Options::default() };
        let root = Store::new(Device::Cpu).root();
        let built = crate::support::vit().build(&root, plan.as_ref(), options);
        let refusal = built.err().map(|error| error.to_string());
        assert_eq!(refusal.as_deref(), case.not_on_vit, "{}", case.name);
    }
}
