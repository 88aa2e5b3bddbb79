//! What does one task of six cost, asked alone, over the backbone alone? A forward pass of merged
//! models on Swin-T, by method and head: criterion's time of each, and their ratios from passes one
//! after the other.
//!
//! `POLYPTYCH_PAGE=docs/results/one-task.md` writes the ratios to a page of results.

use std::fmt::Write;
use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group};
use polyptych_adapters::Form;
use polyptych_backbones::{Backbone, BackboneConfig, Options};
use polyptych_benches::{Quartiles, interleaved, machine, recipe};
use polyptych_data::{TaskKind, TaskSpec};
use polyptych_engine::Model;
use polyptych_tensor::{Device, Kind, NoAdapter, Store, Tensor, no_grad};

const BACKBONE: &str = "swin_tiny_patch4_window7_224";
const SIZE: i64 = 224;
/// Passes of each model that count.
const ROUNDS: usize = 15;
/// Largest ratio of one task to the backbone alone.
const GOAL: f64 = 1.15;
const TASKS: [(&str, TaskKind, usize); 6] = [
    ("depth", TaskKind::Depth, 0),
    ("edge", TaskKind::Edge, 0),
    ("human_parts", TaskKind::HumanParts, 7),
    ("normals", TaskKind::Normals, 0),
    ("sal", TaskKind::Sal, 0),
    ("semseg", TaskKind::Semseg, 21),
];
const LORA: &str = "method='lora', r=16, lora_alpha=16.0, target_modules='all-linear'";
const MTLORA: &str = "method='mtlora', r=64, r_per_task={ depth=4, edge=4, human_parts=4, normals=4, \
                      sal=4, semseg=4 }, scale=4.0, lora_dropout=0.0";
/// Name, method and head.
const CASES: [(&str, &str, &str); 4] = [
    ("LoRA, SegFormer head of 64", LORA, "name='segformer', embed_dim=64, dropout=0.0"),
    ("LoRA, SegFormer head of 256", LORA, "name='segformer', embed_dim=256, dropout=0.0"),
    ("LoRA, HRNet head", LORA, "name='hrnet'"),
    ("MTLoRA, HRNet head", MTLORA, "name='hrnet'"),
];

fn specs() -> Vec<TaskSpec> {
    let spec = |(name, kind, classes): (&str, TaskKind, usize)| TaskSpec {
        name: name.into(),
        kind,
        classes: (0..classes).map(|class| class.to_string()).collect(),
        palette: vec![[0; 3]; classes],
        flip_pairs: vec![],
    };
    TASKS.map(spec).into()
}

/// A merged model of random values.
fn merged(adapter: &str, head: &str) -> Model {
    let mut settings = vec![
        format!("backbone={{ name='{BACKBONE}', weights='none', drop_path_rate=0.0 }}"),
        format!("adapter={{ {adapter} }}"),
        format!("data.img_size=[{SIZE}, {SIZE}]"),
        "data.batch_size=1".into(),
    ];
    let task = |(name, ..): (&str, TaskKind, usize)| {
        format!("tasks.{name}={{ weight=1.0, head={{ {head} }} }}")
    };
    settings.extend(TASKS.map(task));
    let recipe = recipe("bench", &settings).expect("the settings are a recipe");
    let model = Model::new(&recipe, &specs(), Form::Merged, Device::Cpu);
    let model = model.expect("the published sizes are valid");
    model.store.set_trainable(|_| false);
    model
}

fn backbone() -> Box<dyn Backbone> {
    let store = Store::new(Device::Cpu);
    let config = BackboneConfig::from_name(BACKBONE).expect("it is timm's");
    let options = Options { features_only: true, ..Options::default() };
    let backbone = config.init(&store.root(), &NoAdapter::Full, options).expect("it is whole");
    store.set_trainable(|_| false);
    backbone
}

fn images() -> Tensor {
    Tensor::randn([1, 3, SIZE, SIZE], (Kind::Float, Device::Cpu))
}

fn alone(backbone: &dyn Backbone, images: &Tensor) {
    black_box(no_grad(|| backbone.forward_intermediates(images, false)).expect("images fit"));
}

fn asked(model: &Model, images: &Tensor, tasks: usize) {
    let wanted = |task: &polyptych_engine::Task| {
        TASKS[TASKS.len() - tasks..].iter().any(|(name, ..)| *name == task.spec.name)
    };
    black_box(no_grad(|| model.forward_some(images, false, wanted)).expect("images fit"));
}

fn each(criterion: &mut Criterion) {
    let images = images();
    let mut group = criterion.benchmark_group("one_of_six_swin_tiny_224px_batch1");
    group.sample_size(10);
    let backbone = backbone();
    group.bench_function("backbone", |b| b.iter(|| alone(backbone.as_ref(), &images)));
    for (name, adapter, head) in CASES {
        let model = merged(adapter, head);
        for tasks in [1, TASKS.len()] {
            let id = BenchmarkId::new(name, tasks);
            group.bench_function(id, |b| b.iter(|| asked(&model, &images, tasks)));
        }
    }
    group.finish();
}

/// All cases, as a table.
fn ratios() -> String {
    let (images, backbone) = (images(), backbone());
    let shown = |q: Quartiles| format!("{:.3} ({:.3} to {:.3})", q.median, q.low, q.high);
    let mut text = String::from(
        "| merged model | backbone alone [s] | semseg alone / backbone | of time on a core | six tasks / backbone |\n\
         |---|---|---|---|---|\n",
    );
    let mut largest = Vec::new();
    for (name, adapter, head) in CASES {
        let model = merged(adapter, head);
        let (plain, one, all) = (
            || alone(backbone.as_ref(), &images),
            || asked(&model, &images, 1),
            || asked(&model, &images, TASKS.len()),
        );
        let rounds = interleaved(&[&plain, &one, &all], ROUNDS);
        let ((wall, core), (six, _)) = (rounds.ratios(1, 0), rounds.ratios(2, 0));
        largest.push((name, core.unwrap_or(wall).median));
        let core = core.map_or_else(String::new, shown);
        let [seconds, wall, six] = [rounds.wall_s(0), wall, six].map(shown);
        writeln!(text, "| {name} | {seconds} | {wall} | {core} | {six} |").expect("text grows");
    }
    let met = largest.iter().filter(|(_, ratio)| *ratio <= GOAL).map(|(name, _)| *name);
    let met: Vec<&str> = met.collect();
    let met = if met.is_empty() { "none".into() } else { met.join("; ") };
    writeln!(text, "\nGoal: one task at most {GOAL} x the backbone alone. Met by: {met}.")
        .expect("text grows");
    text
}

criterion_group!(benches, each);

fn main() {
    // As programs do.
    polyptych_tensor::memory::keep();
    let to = std::env::var_os("POLYPTYCH_PAGE");
    if std::env::args().any(|argument| argument == "--bench") {
        let table = ratios();
        println!("{table}");
        if let Some(path) = &to {
            std::fs::write(path, page(&table)).expect("the page can be written");
        }
    }
    if to.is_none() {
        benches();
        Criterion::default().configure_from_args().final_summary();
    }
}

/// The page of results that `table` belongs to.
fn page(table: &str) -> String {
    format!(
        "# One task of six, asked alone\n\n\
         A request names its tasks; the backbone runs once, and the heads of the others do not run.\n\
         A forward pass without gradients of merged models with random values, {BACKBONE} at {SIZE} \
         px, one image, beside the backbone alone.\n\
         They take turns, {ROUNDS} passes each; median and quartiles, ratios within a round.\n\
         The time on a core changes least with other work on the machine, so the goal is judged by \
         it.\n\n\
         {table}\n\
         MTLoRA keeps small parts of each task in the last block of each stage, also when it is \
         merged: the stream of the task that is asked for is computed beside the shared one.\n\n\
         Machine: {}.\n\
         This page was written by\n\n```console\n\
         $ OMP_NUM_THREADS=1 POLYPTYCH_PAGE=$PWD/docs/results/one-task.md cargo bench -p \
         polyptych-benches --bench one_task\n```\n",
        machine()
    )
}
