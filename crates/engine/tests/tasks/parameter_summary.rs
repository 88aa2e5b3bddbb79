//! Counts of Swin-T with four tasks, to the unit: the nine published configurations of MTLoRA,
//! those computed for VMT-Adapter, and the comparison methods that have published counts.
use crate::common::{alone, recipe};
use polyptych_adapters::Form;
use polyptych_data::{TaskKind, TaskSpec};
use polyptych_engine::{Model, ParameterSummary, Recipe, TaskRecipe};
use polyptych_heads::linear::LinearConfig;
use polyptych_tensor::Device;

/// `(MTLoRA+, r, r of each task, trainable, total)`.
const PUBLISHED: [(bool, i64, i64, i64, i64); 9] = [
    (false, 16, 4, 4_953_146, 30_871_418),
    (false, 32, 4, 6_083_642, 32_001_914),
    (false, 64, 4, 8_344_634, 34_262_906),
    (true, 4, 4, 2_573_114, 30_039_674),
    (true, 8, 8, 3_148_346, 30_614_906),
    (true, 16, 16, 4_298_810, 31_765_370),
    (true, 16, 4, 3_469_370, 30_935_930),
    (true, 32, 4, 4_664_378, 32_130_938),
    (true, 64, 4, 7_054_394, 34_520_954),
];

const TASKS: [(&str, TaskKind, usize); 4] = [
    ("human_parts", TaskKind::HumanParts, 7),
    ("normals", TaskKind::Normals, 0),
    ("sal", TaskKind::Sal, 0),
    ("semseg", TaskKind::Semseg, 21),
];

fn specs() -> Vec<TaskSpec> {
    let spec = |(name, kind, classes): (&str, TaskKind, usize)| TaskSpec {
        name: name.into(),
        kind,
        classes: (0..classes).map(|index| index.to_string()).collect(),
        palette: vec![],
        flip_pairs: vec![],
    };
    TASKS.into_iter().map(spec).collect()
}

fn swin_tiny(adapter: &str) -> Recipe {
    let head = "{weight=1.0, head={name=\"hrnet\", channels=[18, 36, 72, 144]}}";
    let tasks = TASKS.map(|(name, ..)| format!("{name}={head}")).join(", ");
    recipe(&[
        "backbone.name=swin_tiny_patch4_window7_224",
        "backbone.pyramid=after_merging",
        "data.img_size=[224, 224]",
        &format!("tasks={{{tasks}}}"),
        &format!("adapter={adapter}"),
    ])
}

fn summary(adapter: &str) -> ParameterSummary {
    let model = Model::new(&swin_tiny(adapter), &specs(), Form::Adapted, Device::Cpu).unwrap();
    ParameterSummary::of(&model)
}

#[test]
fn all_published_configurations_count_as_published() {
    let _alone = alone();
    for (plus, r, r_task, trainable, total) in PUBLISHED {
        let ranks = TASKS.map(|(name, ..)| format!("{name}={r_task}")).join(", ");
        let summary = summary(&format!(
            "{{method=\"mtlora\", r={r}, r_per_task={{{ranks}}}, downsampler={plus}}}"
        ));
        let sum = summary.total();
        assert_eq!((sum.trainable, sum.total), (trainable, total), "plus {plus}, r {r}, {r_task}");
        let unused: Vec<&str> = summary.unused.iter().map(|(name, _)| name.as_str()).collect();
        let dead = "backbone.layers.3.blocks.1.mlp.fc2.lora_shared_";
        assert_eq!(unused, [format!("{dead}A"), format!("{dead}B")]);
        assert_eq!(summary.unused.iter().map(|(_, count)| count).sum::<i64>(), 3840 * r);
    }
}

#[test]
fn full_fine_tuning_counts_body_and_decoders() {
    let _alone = alone();
    let sum = summary("{method=\"full\"}").total();
    assert_eq!((sum.trainable, sum.total), (29_464_442, 29_464_442));
    let frozen = summary("{method=\"decoder_only\"}").total();
    assert_eq!((frozen.trainable, frozen.total), (1_946_624, 29_464_442));
}

/// Published counts of methods that have a copy per task (VMT-Adapter's table 1): four times one
/// copy. Frozen numbers are counted once.
#[test]
fn copies_per_task_count_as_published() {
    let _alone = alone();
    let counts = |adapter: &str, per_task: bool| {
        let mut recipe = swin_tiny(adapter);
        recipe.backbone.per_task = per_task;
        let model = Model::new(&recipe, &specs(), Form::Adapted, Device::Cpu).unwrap();
        let sum = ParameterSummary::of(&model).total();
        (sum.trainable - 1_946_624, sum.total - 1_946_624)
    };
    let body = 27_519_354 - 2 * 768;
    // No dense head reads the final norm, whose bias the published 302,184 contain.
    let bitfit = "{method=\"bitfit\", relative_position_bias=true}";
    for (adapter, copies) in [("{method=\"relative_bias\"}", 93_288), (bitfit, 302_184 - 4 * 768)] {
        assert_eq!(counts(adapter, true), (copies, body + copies / 4 * 3), "{adapter}");
    }
    let lora = "{method=\"lora\", r=4, target_modules=[\"qkv\"]}";
    // Widths of the twelve blocks sum to 4,416; `A` reads d and `B` writes 3 d.
    let one = 4 * 4 * 4_416;
    assert_eq!(counts(lora, false), (one, body + one));
    assert_eq!(counts(lora, true), (4 * one, body + 4 * one));
}

/// What trains outside of the heads.
fn encoder(summary: &ParameterSummary) -> i64 {
    let rows = summary.rows.iter().filter(|row| row.group.starts_with("backbone"));
    rows.map(|row| row.trainable).sum()
}

/// Four tasks with modules in all blocks; a fixed scale, as the counts leave out a trainable one.
#[test]
fn vmt_adapter_counts_as_computed() {
    let _alone = alone();
    let vmt = |fields: &str| {
        encoder(&summary(&format!("{{method=\"vmt_adapter\", ke_blocks=\"all\", {fields}}}")))
    };
    let tied = |k: i64| format!("bottleneck={{fixed={k}}}, projections=\"tied\"");
    assert_eq!(vmt("bottleneck={fixed=32}"), 290_496);
    assert_eq!(vmt("bottleneck={reduction=16}"), 276_468);
    assert_eq!(vmt(&format!("{}, scale=1.0", tied(32))), 149_184);
    assert_eq!(vmt(&format!("{}, scale=1.0", tied(21))), 99_420);
    // By default a tied pair learns its scale, one number in each of the twelve blocks.
    assert_eq!(vmt(&tied(21)), 99_420 + 12);
}

/// One copy for all tasks: a quarter of what tables say of one copy for each of four.
#[test]
fn comparison_methods_count_as_published() {
    let _alone = alone();
    assert_eq!(encoder(&summary("{method=\"relative_bias\"}")), 93_288 / 4);
    // Rank 4 from and to all of query, key and value; the widths of the blocks sum to 4,416.
    let lora = "{method=\"lora\", r=4, target_modules=[\"qkv\"]}";
    assert_eq!(encoder(&summary(lora)), 4 * (1 + 3) * 4_416);
    // The published count has the bias of the final norm, which dense tasks do not read.
    let bitfit = "{method=\"bitfit\", relative_position_bias=true}";
    assert_eq!(encoder(&summary(bitfit)), 302_184 / 4 - 768);
    let (mut recipe, mut specs) = (swin_tiny(bitfit), specs());
    let kind = TaskKind::Classification;
    specs.push(TaskSpec { name: "zoo".into(), kind, ..specs[3].clone() });
    let head = LinearConfig {}.into();
    recipe.tasks.insert(
        "zoo".into(),
        TaskRecipe { weight: 1.0, head, loss: None, downsample_label_ratio: None },
    );
    let model = Model::new(&recipe, &specs, Form::Adapted, Device::Cpu).unwrap();
    assert_eq!(encoder(&ParameterSummary::of(&model)), 302_184 / 4);
}

#[test]
fn the_summary_names_what_is_unused() {
    let _alone = alone();
    let text = summary("{method=\"mtlora\", r=64}").to_string();
    let line = "unused: backbone.layers.3.blocks.1.mlp.fc2.lora_shared_A (196,608): \
                kept for compatible files, never trained";
    assert!(text.contains(line), "{text}");
    assert!(text.contains("heads.semseg"), "{text}");
}
