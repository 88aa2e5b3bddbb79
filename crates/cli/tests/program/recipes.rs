//! Shipped recipes whose backbones have no test of their own take steps, smaller and with drawn
//! weights, and the README counts the parameters of others.
use std::fs;
use std::path::Path;

use polyptych_engine::{ParameterSummary, Recipe};

use crate::common::Playground;

#[test]
fn dense_recipes_of_several_backbones_take_two_steps() {
    let playground = Playground::new();
    for name in ["dinov2-vits-dense", "dinov3-vits-dense", "swinv2-tiny-dense", "pvtv2-b0-dense"] {
        let small = [
            "device=cpu",
            "backbone.weights=none",
            "data.img_size=[56, 64]",
            "data.batch_size=2",
            "data.train.0.len=4",
            "data.train.0.height=64",
            "data.train.0.width=64",
            "data.eval.0.len=1",
            "data.eval.0.height=64",
            "data.eval.0.width=64",
            "train.steps=2",
            "train.eval_every=2",
            "train.save_every=2",
            "train.schedule.warmup_steps=1",
        ];
        let set = small.iter().flat_map(|field| ["--set", *field]);
        let args: Vec<&str> = ["train", name, "--out", name].into_iter().chain(set).collect();
        let table = playground.succeed(&args);
        for task in ["semseg", "human_parts", "normals", "depth"] {
            assert!(table.contains(&format!("| {task} ")), "{name}: {table}");
        }
        let log = playground.path(&format!("{name}/metrics.jsonl"));
        let log = fs::read_to_string(log).unwrap();
        let lines =
            log.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let steps: Vec<_> = lines.filter(|line| line.get("grad_norm").is_some()).collect();
        assert_eq!(steps.len(), 2, "{name}: {log}");
        for step in steps {
            let losses = step["losses"].as_object().unwrap();
            assert_eq!(losses.len(), 4, "{name}: {step}");
            // What is not finite is null.
            let finite = losses.values().all(|loss| loss.is_f64()) && step["grad_norm"].is_f64();
            assert!(finite && step["skipped"] == false, "{name}: {step}");
        }
    }
}

/// Rows of the README's table of methods, and the rows of `vmt-scenes` that their numbers count.
const COUNTED: &[(&str, &[&str])] = &[
    ("MTLoRA, MTLoRA+", &["MTLoRA"]),
    ("VMT-Adapter, -Lite", &["VMT-Adapter", "VMT-Adapter-Lite"]),
    ("Free Sinewich", &["Free Sinewich"]),
    ("FAAR", &["FAAR"]),
    ("MoDE", &["MoDE by task", "MoDE by token"]),
    ("DiTASK, progressive adaptation, RCM", &["DiTASK", "progressive", "low-rank RCM"]),
    ("PDRS and Sinewich composed", &["composition"]),
    ("PDRS, diff pruning", &["PDRS with anchored DoRA", "Diff pruning"]),
    (
        "InterroGate, ASE, mtLoRA of 2026, MoR1E, MPT, TS-PD, side branch, gated skills",
        &[
            "InterroGate",
            "ASE",
            "block LoRA",
            "MoR1E",
            "MPT",
            "TS-PD",
            "side branch",
            "gated skills",
        ],
    ),
    ("HyperFormer, Polyhistor, -Lite", &["HyperFormer", "Polyhistor", "Polyhistor-Lite"]),
    ("LoRA", &["LoRA"]),
    ("DoRA", &["DoRA"]),
    ("Sine-LoRA, TAPS", &["Sine-LoRA", "low-rank TAPS"]),
    ("SSF", &["SSF"]),
    ("BitFit, relative position tables", &["BitFit", "relative position bias"]),
    ("VPT, shallow and deep", &["VPT-shallow", "VPT-deep"]),
    ("full fine-tuning, heads alone", &["multi-task full fine-tuning", "decoder only"]),
];

#[test]
fn the_readme_counts_what_the_recipe_trains() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("../../README.md")).unwrap();
    let text = fs::read_to_string(root.join("recipes/vmt-scenes.toml")).unwrap();
    let recipe = Recipe::parse("vmt-scenes", &text, &[]).unwrap();
    for (methods, rows) in COUNTED {
        let line = readme.lines().find(|line| line.starts_with(&format!("| {methods} |")));
        let cell = line.expect(methods).split('|').nth(4).unwrap();
        let found: Vec<String> = numbers(cell);
        let counts: Vec<String> = rows.iter().map(|row| millions(&recipe, row)).collect();
        assert_eq!(found, counts, "{methods}");
    }
}

/// The numbers among the words of a cell.
fn numbers(cell: &str) -> Vec<String> {
    let words = cell.split([' ', ',', ';']).filter(|word| word.parse::<f64>().is_ok());
    words.map(str::to_owned).collect()
}

/// The trainable parameters of a row of the table, in millions.
fn millions(recipe: &Recipe, name: &str) -> String {
    let row = recipe.compare.iter().find(|row| row.name == name);
    let recipe = row.map_or_else(|| recipe.clone(), |row| recipe.compared(row).unwrap().0);
    assert_eq!(recipe.label.as_deref(), Some(name));
    let summary = ParameterSummary::of_recipe(&recipe).unwrap();
    format!("{:.2}", summary.total().trainable as f64 / 1e6)
}
