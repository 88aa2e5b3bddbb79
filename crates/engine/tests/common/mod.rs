//! A recipe that trains in seconds, and an observer that stops where a test says.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod counted;
pub(crate) mod methods;
pub(crate) mod processes;

use polyptych_engine::{Evaluation, Observer, Recipe, StepReport, TrainOutcome, Trainer};
use polyptych_losses::balancers::{BalancerConfig, BalancerKind};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

const TEXT: &str = r#"
name = "tiny"
description = "for tests"
seed = 3
device = "cpu"
precision = "fp32"

[backbone]
name = "swin_micro_patch4_window4_128"
weights = "none"
drop_path_rate = 0.2

[adapter]
method = "mtlora"
r = 4
r_per_task = { depth = 2, semseg = 3 }
lora_dropout = 0.1

[data]
img_size = [32, 32]
batch_size = 2
prefetch = 1
cache_mib = 16
augment = { flip = 0.5, scale = [0.8, 1.2], rotate_degrees = 10.0 }

[[data.train]]
dataset = "scenes"
seed = 0
split = "train"
len = 6
height = 32
width = 32

[[data.eval]]
dataset = "scenes"
seed = 0
split = "val"
len = 3
height = 32
width = 32

[tasks.semseg]
weight = 1.0
head = { name = "hrnet", channels = [4, 4, 4, 4], hidden = 8 }

[tasks.depth]
weight = 1.0
head = { name = "segformer", embed_dim = 8, dropout = 0.1 }

[train]
steps = 6
eval_every = 6
save_every = 3
"#;

/// How both recipes learn: the end of their last table.
const RATES: &str = r#"
lr = 1e-2
weight_decay = 0.05
clip_grad_norm = 5.0
optimiser = { name = "adamw", betas = [0.9, 0.999], eps = 1e-8 }
schedule = { warmup_steps = 2, cooldown_steps = 0, start_factor = 0.1, min_factor = 0.1 }
"#;

/// Classification tasks in one space of labels.
const CLASSES: &str = r#"
name = "classes"
description = "for tests"
seed = 3
device = "cpu"
precision = "fp32"

[backbone]
name = "vit_micro_patch8_128"
weights = "none"
drop_path_rate = 0.0

[adapter]
method = "emtal"
r = 2
num_experts = 8

[union]
label_smoothing = 0.1
quality_retaining = { bank = "two_slot" }

[data]
img_size = [32, 32]
batch_size = 4
prefetch = 1
cache_mib = 16

[[data.train]]
dataset = "fine_grained"
domain = "birds"
seed = 0
split = "train"
len = 12
height = 32
width = 32

[[data.train]]
dataset = "fine_grained"
domain = "flowers"
seed = 0
split = "train"
len = 8
height = 32
width = 32

[[data.eval]]
dataset = "fine_grained"
domain = "birds"
seed = 0
split = "val"
len = 12
height = 32
width = 32

[[data.eval]]
dataset = "fine_grained"
domain = "flowers"
seed = 0
split = "val"
len = 16
height = 32
width = 32

[tasks.birds]
weight = 1.0
head = { name = "linear" }

[tasks.flowers]
weight = 1.0
head = { name = "linear" }

[train]
steps = 8
eval_every = 4
save_every = 3
"#;

/// The recipe of classification with overrides.
pub(crate) fn classes(overrides: &[&str]) -> Recipe {
    parse("classes", CLASSES, overrides).unwrap()
}

/// The recipe with overrides.
pub(crate) fn recipe(overrides: &[&str]) -> Recipe {
    try_recipe(overrides).unwrap()
}

/// The recipe, or what is said against the overrides.
pub(crate) fn try_recipe(overrides: &[&str]) -> polyptych_engine::Result<Recipe> {
    parse("tiny", TEXT, overrides)
}

/// The override that chooses a balancer with the settings that it begins with.
pub(crate) fn balanced(config: &BalancerConfig) -> String {
    let settings = toml::Table::try_from(config).unwrap().to_string();
    let settings: Vec<&str> = settings.lines().collect();
    let key = if config.kind() == BalancerKind::Loss { "loss" } else { "gradient" };
    format!("balancer={{{key}={{{}}}}}", settings.join(", "))
}

fn parse(origin: &str, text: &str, overrides: &[&str]) -> polyptych_engine::Result<Recipe> {
    let overrides: Vec<String> = overrides.iter().map(|&text| text.to_owned()).collect();
    Recipe::parse(origin, &format!("{text}{RATES}"), &overrides)
}

/// What is said against a recipe, or against starting it; nothing may be left behind.
pub(crate) fn refused(overrides: &[&str]) -> String {
    let message = match try_recipe(overrides) {
        Err(e) => e.to_string(),
        Ok(recipe) => {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("run");
            let message = Trainer::start(recipe, None, &path).err().unwrap().to_string();
            assert!(!path.exists(), "{message} left a folder");
            message
        }
    };
    assert!(!message.contains('\n'), "{message}");
    message
}

/// Stops after `until` steps and keeps what it is given.
#[derive(Default)]
pub(crate) struct Until {
    pub(crate) until: u64,
    pub(crate) reports: Vec<StepReport>,
    pub(crate) evaluations: Vec<(u64, Evaluation)>,
}

impl Observer for Until {
    fn step(&mut self, report: &StepReport, _steps: u64) {
        self.reports.push(report.clone());
    }

    fn evaluated(&mut self, step: u64, evaluation: &Evaluation) {
        self.evaluations.push((step, evaluation.clone()));
    }

    fn stop(&self) -> bool {
        self.reports.last().is_some_and(|report| report.step == self.until)
    }
}

/// LibTorch's generator is the process's: runs beside each other would draw from one sequence.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static RUNS: Mutex<()> = Mutex::new(());
    RUNS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Trains `recipe` in `path` to the end.
pub(crate) fn train(recipe: Recipe, path: &Path) -> (Trainer, TrainOutcome) {
    let (mut trainer, _) = Trainer::start(recipe, None, path).unwrap();
    let outcome = trainer.run(&mut Until { until: u64::MAX, ..Until::default() }).unwrap();
    (trainer, outcome)
}
