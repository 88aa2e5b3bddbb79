//! The recipes of the cases, and models with values in which nothing is zero.

use anyhow::Result;
use polyptych_adapters::Form;
use polyptych_data::{TaskKind, TaskSpec};
use polyptych_engine::{Model, Recipe};
use polyptych_tensor::{Device, Kind, Tensor, no_grad};

use crate::options::{Name, Options};

const TEXT: &str = r#"
description = "what is timed"
seed = 0
device = "cpu"

[data]
prefetch = 1
cache_mib = 0
sampling = "per_dataset"

[[data.train]]
dataset = "scenes"
seed = 0
split = "train"
len = 16
height = 96
width = 96

[[data.eval]]
dataset = "scenes"
seed = 0
split = "val"
len = 1
height = 96
width = 96

[train]
steps = 2
eval_every = 2
save_every = 2
lr = 1e-6
weight_decay = 0.05
clip_grad_norm = 5.0
optimiser = { name = "adamw", betas = [0.9, 0.999], eps = 1e-8 }
schedule = { warmup_steps = 0, cooldown_steps = 0, start_factor = 1.0, min_factor = 1.0 }
"#;

/// Dense tasks: name, kind, classes, weight of the loss.
const DENSE: [(&str, TaskKind, usize, f64); 4] = [
    ("semseg", TaskKind::Semseg, 21, 1.0),
    ("human_parts", TaskKind::HumanParts, 7, 2.0),
    ("sal", TaskKind::Sal, 0, 5.0),
    ("normals", TaskKind::Normals, 0, 10.0),
];

/// Classes of the four fine-grained sets.
const CLASSES: [usize; 4] = [200, 196, 100, 102];

impl Name {
    /// Whether tasks have maps.
    fn is_dense(self) -> bool {
        matches!(self, Name::Mtlora | Name::Vmt)
    }

    fn backbone(self) -> &'static str {
        match self {
            Name::Mtlora | Name::Vmt | Name::Swin => "swin_tiny_patch4_window7_224",
            Name::Emtal | Name::Lora | Name::Full | Name::Vit => "vit_base_patch16_224",
            Name::Loader => unreachable!("it has no model"),
        }
    }

    fn adapter(self, tasks: &[TaskSpec]) -> String {
        let ranks: Vec<String> = tasks.iter().map(|task| format!("{} = 4", task.name)).collect();
        match self {
            Name::Mtlora => format!(
                "method='mtlora', r=64, r_per_task={{ {} }}, scale=4.0, lora_dropout=0.05",
                ranks.join(", ")
            ),
            Name::Emtal => "method='emtal', r=4, num_experts=16, router_temperature=5.0, \
                fading={ start=0.0, end=0.5 }, \
                experts={ method='as_stored' }"
                .into(),
            Name::Lora | Name::Swin | Name::Vit => {
                "method='lora', r=16, lora_alpha=16.0, target_modules='all-linear'".into()
            }
            Name::Full => "method='full'".into(),
            Name::Vmt => "method='vmt_adapter'".into(),
            Name::Loader => unreachable!("it has no model"),
        }
    }
}

/// The tasks of a case, in the order of their names.
pub(crate) fn specs(options: &Options) -> Vec<TaskSpec> {
    let one = |index: usize| match options.case.is_dense() {
        true => {
            let (name, kind, classes, _) = DENSE[index % DENSE.len()];
            spec(name, index / DENSE.len(), kind, classes)
        }
        false => spec("set", index, TaskKind::Classification, CLASSES[index % CLASSES.len()]),
    };
    let mut specs: Vec<TaskSpec> = (0..options.tasks).map(one).collect();
    specs.sort_by(|a, b| a.name.cmp(&b.name));
    specs
}

/// The first of its kind has no number.
fn spec(name: &str, number: usize, kind: TaskKind, classes: usize) -> TaskSpec {
    let name = if number == 0 { name.to_owned() } else { format!("{name}{number}") };
    let classes = (0..classes).map(|class| class.to_string()).collect();
    TaskSpec { name, kind, classes, palette: Vec::new(), flip_pairs: Vec::new() }
}

/// Weight of the loss of a task.
pub(crate) fn weight(spec: &TaskSpec) -> f64 {
    DENSE.iter().find(|(_, kind, ..)| *kind == spec.kind).map_or(1.0, |(.., weight)| *weight)
}

/// The recipe of a case.
fn recipe(options: &Options) -> Result<Recipe> {
    let chance = !options.certain;
    let (case, specs) = (options.case, specs(options));
    let head = if case.is_dense() { "hrnet" } else { "linear" };
    let tasks = specs.iter().map(|spec| {
        let weight = weight(spec);
        format!("tasks.{}={{ weight={weight:?}, head={{ name='{head}' }} }}", spec.name)
    });
    let precision = if options.precision == crate::options::Type::Bf16 { "bf16" } else { "fp32" };
    let size = format!("{0}, {0}", options.size);
    let rate = if chance && case.is_dense() { 0.2 } else { 0.0 };
    let adapter = case.adapter(&specs);
    let adapter = if chance { adapter } else { adapter.replace("dropout=0.05", "dropout=0.0") };
    let mut settings = vec![
        format!("precision='{precision}'"),
        format!(
            "backbone={{ name='{}', weights='none', drop_path_rate={rate:?} }}",
            case.backbone()
        ),
        format!("adapter={{ {adapter} }}"),
        format!("data.img_size=[{size}]"),
        format!("data.batch_size={}", options.batch),
    ];
    settings.extend(tasks);
    Ok(Recipe::parse("bench", &format!("name = \"bench\"\n{TEXT}"), &settings)?)
}

/// The model of a case in `form`.
pub(crate) fn model(options: &Options, form: Form) -> Result<Model> {
    let recipe = recipe(options)?;
    Ok(Model::new(&recipe, &specs(options), form, Device::Cpu)?)
}

/// Gives every factor that starts at zero a value, so that all gradients are there.
pub(crate) fn stir(model: &Model) {
    let stirred = |tensor: &Tensor| drop(tensor.shallow_clone().normal_(0.0, 0.02));
    model.store.for_each(|name, entry| {
        let zero = name.contains("lora_") && entry.tensor.count_nonzero(None).int64_value(&[]) == 0;
        if zero {
            no_grad(|| stirred(&entry.tensor));
        }
    });
}

/// A batch of images, `[batch, 3, size, size]`.
pub(crate) fn images(options: &Options) -> Tensor {
    let shape = [options.batch, 3, options.size, options.size];
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}
