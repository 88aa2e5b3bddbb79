//! Methods that take parameters of finished runs.
use std::collections::BTreeMap;
use std::path::Path;

use crate::common::methods::VIT;
use crate::common::{alone, recipe, try_recipe};
use polyptych_engine::{OpenRun, Ranks, Recipe, StagedRun, Trainer};
use polyptych_tensor::Tensor;

const ADAPTER: &str = "adapter={method=\"adapter\", mh_adapter=false, reduction_factor=4, non_linearity=\"relu\", init_weights=\"published\"}";
const SCALEARN: &str = "adapter={method=\"scalearn\", sources=2, reduction_factor=4}";

fn on_vit(more: &[&str]) -> Recipe {
    recipe(&[&VIT[..], &["train.steps=2", "train.eval_every=2"], more].concat())
}

fn trained(more: &[&str], path: &Path) -> BTreeMap<String, Tensor> {
    let (mut trainer, _) = Trainer::start(on_vit(more), None, path).unwrap();
    let mut to_the_end = crate::common::Until { until: u64::MAX, ..Default::default() };
    trainer.run(&mut to_the_end).unwrap();
    trainer.model().store.tensors().into_iter().collect()
}

fn begun(more: &[&str], path: &Path) -> BTreeMap<String, Tensor> {
    let (trainer, _) = Trainer::start(on_vit(more), None, path).unwrap();
    trainer.model().store.tensors().into_iter().collect()
}

fn runs(paths: &[&Path]) -> String {
    let all: Vec<String> = paths.iter().map(|path| format!("\"{}\"", path.display())).collect();
    format!("compose={{runs=[{}]}}", all.join(", "))
}

#[test]
fn sources_are_those_of_the_runs_and_stay() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let one = trained(&[ADAPTER], &path("one"));
    let two = trained(&[ADAPTER, "seed=4"], &path("two"));
    let compose = runs(&[&path("one"), &path("two")]);
    let target = trained(&[SCALEARN, &compose], &path("target"));
    let site = "backbone.blocks.1.mlp.fc2";
    for (index, run) in [&one, &two].into_iter().enumerate() {
        for own in ["adapter_down.weight", "adapter_up.weight", "adapter_up.bias"] {
            let source = &target[&format!("{site}.scalearn_source.{index}.{own}")];
            assert!(source.equal(&run[&format!("{site}.{own}")]), "{index}: {own}");
        }
    }
    let copies = trained(&[SCALEARN, &compose, "backbone.per_task=true"], &path("copies"));
    let source =
        &copies["tasks.depth.backbone.blocks.0.mlp.fc2.scalearn_source.1.adapter_up.weight"];
    assert!(source.equal(&two["backbone.blocks.0.mlp.fc2.adapter_up.weight"]));

    let message = |more: &[&str]| {
        let refused = path("refused");
        let message = Trainer::start(on_vit(more), None, &refused).err().unwrap().to_string();
        assert!(!refused.exists(), "{message}");
        message
    };
    let said = message(&[SCALEARN, &compose, "backbone.name=vit_tiny_patch16_224"]);
    let expected =
        "backbone.name: expected vit_tiny_patch16_224 for the recipe that takes it, found";
    assert!(said.contains(expected), "{said}");
    let said = message(&[&SCALEARN.replace("=4", "=2"), &compose]);
    let expected = "adapter.reduction_factor: expected 2 for the recipe that takes it, found 4";
    assert!(said.contains(expected), "{said}");
    let said = message(&[SCALEARN, "compose={runs=[\"no\", \"run\"]}"]);
    assert!(said.contains("no: expected the folder of a run"), "{said}");
}

#[test]
fn a_target_of_mpt_begins_with_its_sources() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mpt = "adapter={method=\"mpt\", num_tokens=3}";
    let sources = trained(&[mpt], &path("sources"));
    let target =
        "adapter={method=\"mpt\", num_tokens=3, prompt_tuning_init=\"average_source_tasks\"}";
    let found = begun(&[target, &runs(&[&path("sources")])], &path("target"));
    let site = "backbone.blocks.0";
    let shared = format!("{site}.mpt_prompt");
    let of = |run: &BTreeMap<String, Tensor>, task: &str| {
        let [u, v] = ["u", "v"].map(|name| run[&format!("{site}.mpt_{name}.{task}")].detach());
        &run[&shared].detach() * u.matmul(&v)
    };
    let mean = (of(&sources, "depth") + of(&sources, "semseg")) * 0.5;
    for task in ["depth", "semseg"] {
        let apart = of(&found, task) - &mean;
        assert!(apart.abs().max().double_value(&[]) < 1e-6, "{task}");
    }
}

#[test]
fn prompts_of_runs_are_mixed() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let vpt = "adapter={method=\"vpt\", num_tokens=3}";
    let one = trained(&[vpt], &path("one"));
    let two = trained(&[vpt, "seed=4"], &path("two"));
    let attempt = "adapter={method=\"attempt\", num_tokens=3, attention_dim=4, temperature=1.0}";
    let compose = runs(&[&path("one"), &path("two")]);
    let target = trained(&[attempt, &compose], &path("target"));
    for (index, run) in [&one, &two].into_iter().enumerate() {
        let source = &target[&format!("backbone.blocks.0.attempt_source.{index}")];
        assert!(source.equal(&run["backbone.blocks.0.vpt_prompts"]), "{index}");
    }
}

/// Sources and a target of prompts, and of adapters that are mixed, for tasks that sources lack.
#[test]
fn adapters_of_runs_are_mixed() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let one = trained(&[ADAPTER], &path("one"));
    let two = trained(&[ADAPTER, "seed=4"], &path("two"));
    let attempt = "adapter={method=\"attempt\", mix=\"adapters\", reduction_factor=4, attention_dim=4, temperature=1.0}";
    let compose = runs(&[&path("one"), &path("two")]);
    let begun = begun(&[attempt, &compose], &path("begun"));
    let target = trained(&[attempt, &compose], &path("target"));
    let site = "backbone.blocks.1.mlp.fc2";
    for (index, run) in [&one, &two].into_iter().enumerate() {
        for own in ["adapter_down.weight", "adapter_up.weight", "adapter_up.bias"] {
            let source = &target[&format!("{site}.attempt_source.{index}.{own}")];
            assert!(source.equal(&run[&format!("{site}.{own}")]), "{index}: {own}");
        }
    }
    for own in ["backbone.attempt_G.down", "backbone.attempt_G.norm.bias"] {
        let name = own.replace("attempt_G", "attempt_G.160");
        assert!(!target[&name].equal(&begun[&name]), "{name}");
    }
    let refused = attempt.replace("reduction_factor=4", "reduction_factor=2");
    let message = Trainer::start(on_vit(&[&refused, &compose]), None, &path("refused"));
    let message = message.err().unwrap().to_string();
    let expected = "adapter.reduction_factor: expected 2 for the recipe that takes it, found 4";
    assert!(message.contains(expected), "{message}");
}

/// Of one task each, for both.
#[test]
fn sources_of_single_tasks_serve_several() {
    let _alone = alone();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let stages = r#"stage=[{ name = "depth", tasks = ["depth"] }, { name = "semseg", tasks = ["semseg"], from = "fresh" }, { name = "target", from = "fresh", set = ["adapter={ method = \"attempt\", num_tokens = 3, temperature = 32.0 }", "compose={ runs = [\"stage:depth\", \"stage:semseg\"] }"] }]"#;
    let recipe = recipe(&["adapter={method=\"vpt\", num_tokens=3}", "train.steps=2", stages]);
    let mut run = StagedRun::create(Ranks::ALONE, &recipe, None, &path).unwrap();
    while let Some(index) = run.next() {
        let mut trainer = run.open_stage(Ranks::ALONE, index, &[]).unwrap().trainer;
        let mut to_the_end = crate::common::Until { until: u64::MAX, ..Default::default() };
        assert!(trainer.run(&mut to_the_end).unwrap().finished);
        drop(trainer);
        run.finish_stage(Ranks::ALONE, index).unwrap();
    }
    let of = |path: &Path| -> BTreeMap<String, Tensor> {
        let run = OpenRun::open(path, false, None).unwrap();
        run.model.store.tensors().into_iter().collect()
    };
    let target = of(&path);
    for (index, task) in ["depth", "semseg"].into_iter().enumerate() {
        let source = &of(&path.join("stages").join(task))["backbone.layers.0.blocks.0.vpt_prompts"];
        let name = format!("backbone.layers.0.blocks.0.attempt_source.{index}");
        assert!(target[&name].equal(source), "{task}");
        assert!(target.contains_key(&format!("backbone.layers.0.blocks.0.attempt_prompts.{task}")));
    }
}

#[test]
fn mistakes_are_named() {
    let _alone = alone();
    for (adapter, compose, expected) in [
        (SCALEARN, "compose={runs=[\"x\"]}", "compose.runs: expected 2 for the adapter, found 1"),
        (
            "adapter={method=\"full\"}",
            "compose={runs=[\"x\"]}",
            "compose: expected none beside full, which takes nothing of other runs, found one",
        ),
    ] {
        let message = try_recipe(&[adapter, compose]).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}
